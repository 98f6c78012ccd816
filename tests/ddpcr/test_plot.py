"""Pictures of plates show what was found: places, colours and words are read back from the Axes."""

import io
import struct

import matplotlib.image as mpimg
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Ellipse, FancyBboxPatch, StepPatch

from mixsci.ddpcr import plot
from mixsci.ddpcr.palette import INK, PALE, WARNING
from mixsci.ddpcr.portrait import OUTLIER, number, portrait, results_of, wells_of
from mixsci.errors import DataError
from tests.ddpcr.conftest import COMMA


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def cells(ax):
    """Well -> (frame is a control's, words in it) of a heat map."""
    found = {}
    for box in (patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)):
        x, y = round(box.get_x() + 0.44), round(box.get_y() + 0.44)
        words = [
            t.get_text() for t in ax.texts if abs(t.get_position()[0] - x) < 0.4 and abs(t.get_position()[1] - y) < 0.4
        ]
        found[f"{chr(ord('A') + y)}{x + 1:02d}"] = (box.get_linewidth() > 1, [word for word in words if word])
    return found


def markers(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker]


def upright(ax):
    """Places of the dashed lines that cross an Axes."""
    dashed = (line for line in ax.lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 2)
    return [line.get_xdata()[0] for line in dashed]


def dots(ax):
    """(n, 2) all droplets drawn in an Axes, in its coordinates of data."""
    found = [line.get_xydata() for line in ax.lines if line.get_marker() == "o" and line.get_linestyle() == "None"]
    return np.concatenate(found)


# --- the plate -------------------------------------------------------------------------------------------------------


def test_a_heat_map_holds_the_numbers_of_every_well(outputs_duplex):
    q = outputs_duplex
    for target, ax in zip(q.assays[0].targets, plot.plate(q), strict=True):
        rows = results_of(q, target)
        found = cells(ax)
        assert set(found) == set(rows["Well"])
        for row in rows.itertuples():
            control, words = found[row.Well]
            assert control == (row.Well == "A04")
            assert words[0] == number(row.Concentration)
        assert ax.get_title(loc="left") == f"{target}, copies/µL"
        assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(i + 1) for i in range(12)]


def test_higher_concentrations_are_darker(outputs_single):
    ax = plot.plate(outputs_single)
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    light = {name: sum(box.get_facecolor()[:3]) for name, box in zip(cells(ax), boxes, strict=True)}
    rising = results_of(outputs_single).sort_values("Concentration")["Well"]
    assert (np.diff([light[name] for name in rising]) <= 0).all()
    assert light["A01"] > light["A02"] > light["A03"] > light["A04"]


def test_marks_of_a_heat_map_and_their_key(outputs_duplex):
    ax = plot.plate(outputs_duplex, COMMA)
    flagged = {round(line.get_xdata()[0] - 0.36) for line in markers(ax, (3, 0, 0))}
    assert flagged == {0, 1, 2, 3}
    crosses = [line for line in ax.lines if line.get_color() == PALE and len(line.get_xdata()) == 2]
    assert {(np.mean(line.get_xdata()), np.mean(line.get_ydata())) for line in crosses} == {(1.0, 1.0)}
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["control without template", "grey number: not above the limit of blank", "flagged", "no result"]
    grey = [text.get_text() for text in ax.texts if text.get_color() == PALE]
    assert grey[0] == "0"


def test_a_plate_without_controls_and_flags_has_no_key(outputs_two_assays):
    q = outputs_two_assays
    q = type(q)(q.plate, q.assays, q.settings, q.results, q.qc.iloc[:0])
    assert plot.plate(q, "Other").get_legend() is None


def test_a_target_needs_one_axes(outputs_duplex):
    ax = plt.subplots()[1]
    assert plot.plate(outputs_duplex, "RPP30", ax=ax) is ax
    both = plt.subplots(1, 2)[1]
    assert list(plot.plate(outputs_duplex, ax=both)) == list(both)
    with pytest.raises(DataError, match="one Axes for each of"):
        plot.plate(outputs_duplex, ax=ax)
    with pytest.raises(DataError, match="target must be one of"):
        plot.plate(outputs_duplex, "KRAS")


def test_wells_beyond_h12_ask_for_a_plate_of_384(outputs_saturated):
    ax = plot.plate(outputs_saturated)
    assert ax.get_xlim() == (-0.5, 23.5)
    assert ax.get_ylim() == (15.5, -0.5)
    assert cells(ax)["P24"] == (False, ["∞"])


# --- a well ----------------------------------------------------------------------------------------------------------


def test_a_plane_shows_droplets_at_their_place(outputs_duplex):
    here = portrait(outputs_duplex, "A02")
    ax = plot.well(outputs_duplex, "A02")
    drawn = dots(ax)
    assert {tuple(point) for point in drawn} <= {tuple(point) for point in here.x}
    size = np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)
    nearest = np.abs(here.x[:, None] - drawn[None]).min(axis=1) / size
    assert nearest.max() < 1 / 200
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Ch1 amplitude", "Ch2 amplitude")


def test_a_plane_shows_ellipses_levels_and_ways_of_rain(outputs_duplex):
    here = portrait(outputs_duplex, "A02")
    ax = plot.well(outputs_duplex, "A02")
    rings = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    assert len(rings) == 2 * here.shown.sum()
    assert {tuple(ring.get_center()) for ring in rings} == {tuple(level) for level in here.levels[here.shown]}
    sizes = sorted(ring.width * ring.height for ring in rings[1::2])
    areas = sorted(16 * np.sqrt(np.linalg.det(spread)) for spread in here.spreads[here.shown])
    np.testing.assert_allclose(sizes, areas, rtol=1e-9)
    plus = np.concatenate([line.get_xydata() for line in markers(ax, "+")])
    np.testing.assert_allclose(plus, here.levels[here.shown])
    ways = [line.get_xydata() for line in ax.lines if line.get_alpha() == 0.45]
    expected = [here.levels[[low, high]] for low, high in here.rain_paths if here.present[high]]
    np.testing.assert_allclose(ways, expected)


def test_a_plane_names_populations_with_their_droplets(outputs_duplex):
    here = portrait(outputs_duplex, "A02")
    none, second, first, both = here.well.states
    words = texts(plot.well(outputs_duplex, "A02"))
    assert f"negative  {none:,}" in words
    assert f"RPP30  {second:,}" in words
    assert f"{COMMA}  {first:,}" in words
    assert any(word.endswith(f"  {both:,}") and word.startswith(COMMA[:10]) for word in words)


def test_populations_that_are_not_there_are_dotted(outputs_duplex):
    here = portrait(outputs_duplex, "A04")
    ax = plot.well(outputs_duplex, "A04")
    rings = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    there = [ring.get_linestyle() == "-" for ring in rings[::2]]
    assert there == here.present[here.shown].tolist()
    assert sum(there) == 1


def test_above_a_picture_stand_sample_numbers_and_flags(outputs_duplex):
    here = portrait(outputs_duplex, "A02")
    ax = plot.well(outputs_duplex, "A02")
    assert ax.get_title(loc="left") == r"A02  -RT \$x\$"
    lines = [(text.get_text(), text.get_color()) for text in ax.texts]
    for line, color in here.lines:
        assert (line, color) in lines
    assert (here.lines[-1][0], WARNING) in lines


def test_one_channel_is_a_histogram_with_its_curves(outputs_single):
    q = outputs_single
    here = portrait(q, "A03")
    ax = plot.well(q, "A03")
    steps = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    assert sum(step.get_data().values.sum() for step in steps) == len(here.x)
    grid, lines = here.lines_along(0)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == len(grid)]
    for line, (color, curve) in zip(drawn, lines, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)
        assert line.get_color() == color
    assert ax.get_yscale() == "log"
    threshold = here.well.thresholds[0]
    assert upright(ax) == [threshold]
    assert f"positive from {threshold:,.0f}" in texts(ax)
    assert f"Target  {here.well.positives[0]:,}" in texts(ax)


def test_every_droplet_lies_below_its_histogram(outputs_single):
    here = portrait(outputs_single, "A02")
    ax = plot.well(outputs_single, "A02")
    x, height = dots(ax).T
    assert set(x) <= set(here.x[:, 0])
    assert ((height > 0) & (height < 0.17)).all()
    nearest = np.abs(here.x[:, 0][:, None] - x[None]).min(axis=1)
    assert nearest.max() < np.ptp(ax.get_xlim()) / 400


def test_a_histogram_of_either_channel(outputs_duplex):
    q = outputs_duplex
    for number_, channel in enumerate(("Ch1", "Ch2")):
        ax = plot.histogram(q, "A01", channel)
        assert ax.get_xlabel() == f"{channel} amplitude"
        here = portrait(q, "A01")
        assert upright(ax) == [here.along(number_)[0][1]]
    with pytest.raises(DataError, match="channel must be one of Ch1, Ch2"):
        plot.histogram(q, "A01", "Ch3")


def test_calls_at_hand_are_not_made_again(outputs_single, monkeypatch):
    calls = outputs_single.calls("A01")
    monkeypatch.setattr(type(outputs_single), "calls", lambda *_: pytest.fail("called again"))
    assert plot.well(outputs_single, "A01", calls=calls).get_title(loc="left").startswith("A01")


def test_a_well_that_was_not_quantified_has_no_picture(outputs_duplex):
    with pytest.raises(DataError, match=r"B02_Amplitude\.csv is empty"):
        plot.well(outputs_duplex, "B02")


# --- all wells, and the instrument -----------------------------------------------------------------------------------


def test_droplets_of_all_wells_side_by_side(outputs_duplex):
    q = outputs_duplex
    ax = plot.droplets(q, "Ch2")
    labels = {tick.get_text(): tick.get_fontweight() for tick in ax.get_xticklabels()}
    assert labels == {"A01": "normal", "A02": "normal", "A03": "normal", "A04": "bold"}
    drawn = dots(ax)
    for i, name in enumerate(wells_of(q)):
        here = portrait(q, name)
        column = drawn[np.abs(drawn[:, 0] - i) <= 0.4, 1]
        assert set(column) <= set(here.x[:, 1])
        assert {here.x[:, 1].min(), here.x[:, 1].max()} <= set(column)
    bars = [line.get_ydata()[0] for line in ax.lines if line.get_color() == INK and len(line.get_xdata()) == 2]
    assert bars == [q.assays[0].wells[name].thresholds[1] for name in wells_of(q)]


def test_droplets_are_coloured_by_the_target_of_the_channel(outputs_duplex):
    q = outputs_duplex
    here = portrait(q, "A02")
    ax = plot.droplets(q, "Ch1")
    low, high = {}, {}
    for line in (line for line in ax.lines if line.get_marker() == "o"):
        low[line.get_color()] = min(line.get_ydata().min(), low.get(line.get_color(), np.inf))
        high[line.get_color()] = max(line.get_ydata().max(), high.get(line.get_color(), -np.inf))
    assert {here.colors[0], here.colors[2]} <= set(low) <= {here.colors[0], here.colors[2], here.colors[OUTLIER]}


def test_only_wells_with_the_channel_stand_side_by_side(outputs_two_assays):
    ax = plot.droplets(outputs_two_assays, "Ch2")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["B01", "B02"]
    assert plot.droplets(outputs_two_assays).get_ylabel() == "Ch1 amplitude"
    with pytest.raises(DataError, match="channel must be one of Ch1, Ch2"):
        plot.droplets(outputs_two_assays, "Ch6")


def test_many_wells_are_named_by_their_rows(outputs_single, monkeypatch):
    monkeypatch.setattr(plot, "_MOST_NAMES", 3)
    ax = plot.droplets(outputs_single)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["A01"]


def test_concentrations_over_those_of_the_instrument(outputs_duplex):
    ax = plot.instrument(outputs_duplex)
    for target, container in zip(outputs_duplex.assays[0].targets, ax.containers, strict=True):
        rows = results_of(outputs_duplex, target)
        x, y = container.lines[0].get_data()
        np.testing.assert_array_equal(x, rows["ConcentrationInstrument"].astype(float))
        np.testing.assert_array_equal(y, rows["Concentration"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(outputs_duplex.assays[0].targets)


def test_without_an_instrument_there_is_nothing_to_compare(outputs_single):
    with pytest.raises(DataError, match="no results of the instrument"):
        plot.instrument(outputs_single)


# --- files -----------------------------------------------------------------------------------------------------------


def size_of(png):
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24])


def test_pictures_are_pngs_that_no_list_of_figures_keeps(outputs_duplex, outputs_single):
    q = outputs_duplex
    portraits = {name: portrait(q, name) for name in wells_of(q)}
    pictures = [
        plot.plate_picture(q), plot.well_picture(portraits["A01"]), plot.droplets_picture(q, "Ch1", portraits),
        plot.instrument_picture(q), plot.well_picture(portrait(outputs_single, "A01")),
    ]  # fmt: skip
    for picture in pictures:
        width, height = size_of(picture)
        assert 400 < width < 1500
        assert 300 < height < 1500
        image = mpimg.imread(io.BytesIO(picture))[..., :3]
        assert image.std() > 0.02
        assert np.median(image) == 1.0
    one, all_ = (size_of(plot.plate_picture(q, target)) for target in ("RPP30", None))
    assert all_ == (one[0], 2 * one[1])
    assert not plt.get_fignums()


def test_a_name_the_font_lacks_is_no_warning(outputs_single):
    q = outputs_single
    results = q.results.assign(Sample="样品 $\\alpha$\n二")
    named = type(q)(q.plate, q.assays, q.settings, results, q.qc)
    assert size_of(plot.well_picture(portrait(named, "A01")))
    assert size_of(plot.plate_picture(named))
