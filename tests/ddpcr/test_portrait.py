"""What pictures are drawn from: curves are the mixture's density, codes are the calls, spots hide no droplet."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.integrate import trapezoid

from mixsci.ddpcr.palette import colors_of_codes, darker
from mixsci.ddpcr.portrait import (
    OUTLIER,
    above_blank,
    apart,
    codes_of,
    names_of_codes,
    number,
    portrait,
    results_of,
    targets_of,
    wells_of,
)
from mixsci.errors import DataError


@pytest.fixture(params=["outputs_single", "outputs_duplex", "outputs_two_assays"])
def quantified(request):
    return request.getfixturevalue(request.param)


def test_codes_are_the_calls(quantified):
    for name in wells_of(quantified):
        here = portrait(quantified, name)
        counts = np.bincount(here.codes[here.codes != OUTLIER], minlength=len(here.well.states))
        np.testing.assert_array_equal(counts, here.well.states)
        assert (here.codes == OUTLIER).sum() == here.well.outliers


def test_curves_are_the_density_of_the_wells_own_mixture(quantified):
    for name in wells_of(quantified):
        here = portrait(quantified, name)
        mixture = here.well.mixture.evolve(weights=here.weights, background=None)
        for channel in range(len(here.channels)):
            grid = np.linspace(*here.edges(channel)[[0, -1]], 200)
            width = np.diff(here.edges(channel))[0]
            density = np.exp(mixture.marginal([channel]).log_density(grid[:, None]))
            np.testing.assert_allclose(
                here.curves(channel, grid).sum(axis=0), here.well.accepted * width * density, rtol=1e-9
            )


def test_curves_hold_the_droplets_of_each_state(quantified):
    name = wells_of(quantified)[1]
    here = portrait(quantified, name)
    edges = here.edges(0)
    wide = np.linspace(edges[0] - 20_000, edges[-1] + 20_000, 60_001)
    each = trapezoid(here.curves(0, wide), wide, axis=1) / np.diff(edges)[0]
    np.testing.assert_allclose(each, here.well.accepted * here.well.rates.weights, rtol=1e-4)


def test_lines_are_the_curves_and_their_sum(quantified):
    here = portrait(quantified, wells_of(quantified)[0])
    grid, lines = here.lines_along(0)
    total = here.curves(0, grid).sum(axis=0)
    seen = np.isfinite(lines[-1][1])
    np.testing.assert_allclose(lines[-1][1][seen], total[seen])
    assert (total[~seen] < 0.1).all()
    assert len(lines) == len(np.unique(here.code_of_state)) + 1


def test_bars_hold_every_droplet(quantified):
    here = portrait(quantified, wells_of(quantified)[0])
    for channel in range(len(here.channels)):
        assert sum(held.sum() for _, held in here.bars(channel)) == len(here.x)


def test_corners_hold_all_droplets_and_states(quantified):
    for name in wells_of(quantified):
        here = portrait(quantified, name)
        low, high = here.corners
        for points in (here.x, here.levels[here.shown]):
            assert ((points > low) & (points < high)).all()
        assert here.shown.sum() > len(here.assay.targets)
        assert (here.shown | ~here.present).all()


def test_rain_leads_from_a_state_to_one_with_a_target_more(quantified):
    here = portrait(quantified, wells_of(quantified)[0])
    assert here.rain_paths
    for low, high in here.rain_paths:
        steps = here.scheme.states[high] - here.scheme.states[low]
        assert sorted(steps) == [0] * (len(steps) - 1) + [1]


def test_a_portrait_of_no_well_says_why(outputs_duplex):
    with pytest.raises(DataError, match=r"B02_Amplitude\.csv is empty"):
        portrait(outputs_duplex, "B02")
    with pytest.raises(DataError, match="no such well"):
        portrait(outputs_duplex, "H12")


def test_words_about_a_well(outputs_duplex):
    here = portrait(outputs_duplex, "a2")
    assert here.title == "A02  -RT $x$"
    rows = results_of(outputs_duplex, well="A02")
    for (line, _), row in zip(here.lines, rows.itertuples(), strict=False):
        values = [number(value) for value in (row.Concentration, row.PoissonConfMin, row.PoissonConfMax)]
        assert line == f"{row.Target}  {values[0]} [{values[1]}, {values[2]}] copies/µL"
    assert here.lines[-1][0] == "flags: few droplets"
    blank = portrait(outputs_duplex, "A04").lines
    assert [line.endswith(", not above blank") for line, _ in blank] == [True, True, False]


def test_targets_and_wells_come_in_their_order(outputs_duplex, outputs_two_assays):
    assert targets_of(outputs_duplex) == list(outputs_duplex.assays[0].targets)
    assert targets_of(outputs_two_assays) == ["Target", "Other"]
    assert wells_of(outputs_duplex) == ["A01", "A02", "A03", "A04"]
    assert set(results_of(outputs_duplex)["Well"]) == {"A01", "A02", "A03", "A04"}


def test_codes_and_their_names_agree():
    called = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=bool)
    names = np.array(names_of_codes(("a", "b", "c")))[codes_of(called)]
    assert names.tolist() == ["negative", "c", "b", "a + c", "a + b + c"]


@given(st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_no_droplet_is_hidden_but_behind_one_of_its_own_code_at_its_own_spot(n, seed):
    rng = np.random.default_rng(seed)
    points, codes = rng.uniform(-1.0, 3.0, (n, 2)), rng.integers(-1, 4, n)
    low, high, spots = np.array([-1.0, -1.0]), np.array([3.0, 3.0]), (9, 5)
    first, counts = apart(points, codes, (low, high), spots)
    assert counts.sum() == n
    cell = np.minimum(((points - low) / (high - low) * spots).astype(int), np.array(spots) - 1)
    drawn = {(*cell[i], codes[i]) for i in first}
    assert len(drawn) == len(first)
    assert drawn == {(*cell[i], codes[i]) for i in range(n)}


@pytest.mark.parametrize(
    ("value", "said"),
    [(99.96, "100"), (99.94, "99.9"), (9.994, "9.99"), (9.996, "10.0"), (0.0994, "0.099"), (np.inf, "∞"), (0.0, "0")],
)
def test_numbers_to_the_digits_that_matter(value, said):
    assert number(value) == said


def test_above_a_blank_unless_the_results_say_no():
    assert above_blank(True)
    assert above_blank(np.nan)
    assert not above_blank(np.False_)


@pytest.mark.parametrize("n_targets", [1, 2, 3, 4])
def test_every_code_has_a_colour_of_its_own(n_targets):
    colors = colors_of_codes(("Ch1", "Ch2"), n_targets)
    assert len(set(colors)) == 2**n_targets
    assert all(brightness(darker(color)) < brightness(color) for color in colors)


def brightness(color):
    return sum(int(color[i : i + 2], 16) for i in (1, 3, 5))


def test_a_target_alone_in_the_second_channel_is_green():
    assert colors_of_codes(("Ch2",), 1)[1] == colors_of_codes(("Ch1", "Ch2"), 2)[1]
    assert colors_of_codes(("Ch1",), 1)[1] == colors_of_codes(("Ch1", "Ch2"), 2)[2]
