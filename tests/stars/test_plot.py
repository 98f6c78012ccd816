"""Pictures of stars show what was found: points, ellipses, limits and words are read back from the Axes."""

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from astropy.table import QTable
from matplotlib.collections import PathCollection
from matplotlib.patches import Ellipse, StepPatch
from scipy.stats import binom, norm

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError
from mixsci.plot import PALETTE
from mixsci.stars import plot
from mixsci.stars.blocks import KinematicsBlocks
from mixsci.stars.forecasts import Calibration
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.portrait import label, portrait, sky, verdict
from mixsci.stars.velocity_fit import VelocityFit


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def stream():
    made = stars.simulate_stream(2000, 0.08, rng=3)
    return stars.fit_stream(made.table, frame=made.frame)


@pytest.fixture(scope="module")
def disc():
    made = stars.simulate_disc(1500, rng=1)
    return stars.deconvolve(stars.from_gaia(made.table, "uvw"), [1, 2], starts=2, tol=1e-4)


@pytest.fixture(scope="module")
def with_gaps():
    """Proper motions and radial velocities of which most are missing."""
    made = stars.simulate_stream(900, 0.2, rng=5)
    kin = stars.from_gaia(made.table, "pm+rv", frame=made.frame)
    return stars.deconvolve(kin, 1)


def dots(ax):
    """(n, 2) the stars drawn in a panel."""
    return np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() == "o"])


def ellipses(ax):
    """Ellipses that are drawn, their white rims left out."""
    return [patch for patch in ax.findobj(Ellipse) if patch.get_edgecolor()[:3] != (1.0, 1.0, 1.0)]


def spread(ellipse, level):
    """The covariance whose ellipse at `level` standard deviations this is."""
    angle = np.radians(ellipse.get_angle())
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    axes = np.diag([(ellipse.get_width() / 2 / level) ** 2, (ellipse.get_height() / 2 / level) ** 2])
    return turn @ axes @ turn.T


def words(axes):
    """All that is written in a figure."""
    figure = np.asarray(axes).ravel()[0].figure
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


def written(figure):
    """The words of a figure that are drawn: ticks beyond the edges are not."""
    for ax in figure.axes:
        legend = ax.get_legend()
        yield from [*ax.texts, *(legend.findobj(plt.Text) if legend else [])]
        yield ax.title if ax.get_title() else ax._left_title
        if not ax.axison:
            continue
        for axis in (ax.xaxis, ax.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            yield from [label for tick in ticks for label in (tick.label1, tick.label2)]
    for legend in figure.legends:
        yield from legend.findobj(plt.Text)


def texts_overlap(axes):
    """Pairs of words that lie on one another once the figure is drawn."""
    figure = np.asarray(axes).ravel()[0].figure
    figure.canvas.draw()
    seen = [text for text in written(figure) if text.get_text().strip() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent().shrunk(0.9, 0.8)) for text in seen]
    return [
        (one, other)
        for i, (one, first) in enumerate(boxes)
        for other, second in boxes[i + 1 :]
        if first.overlaps(second)
    ]


# --- corner ----------------------------------------------------------------------------------------------------------


def test_stars_below_the_diagonal_are_the_deconvolved_ones(stream):
    axes = plot.plot_corner(stream)
    denoised = stream.denoised()
    expected = np.stack([denoised[name].value for name in stream.latent_names], axis=1)
    kept = np.asarray(stream.membership()["p_outlier"]) <= 0.5
    assert axes.shape == (2, 2)
    assert np.array_equal(dots(axes[1, 0]), expected[kept])
    assert 0 < (~kept).sum() < 30
    assert any(word.startswith(f"{(~kept).sum()} outlier") or "not deconvolved" in word for word in words(axes))


def test_stars_above_the_diagonal_are_those_measured(stream):
    axes = plot.plot_corner(stream)
    assert np.array_equal(dots(axes[0, 1]), stream.kinematics.observations.x[:, ::-1])


def test_the_cross_is_of_the_median_errors(stream):
    ax = plot.plot_corner(stream)[0, 1]
    (cross,) = ax.containers
    across, along = (np.ptp(bars.get_segments()[0], axis=0) for bars in cross.lines[2])
    sigma = np.sqrt(np.median(np.diagonal(stream.kinematics.observations.noise.covariances(1094), 0, 1, 2), axis=0))
    assert across[0] / 2 == pytest.approx(sigma[1], rel=0.02)
    assert along[1] / 2 == pytest.approx(sigma[0], rel=0.02)


@pytest.mark.parametrize("place", [(1, 0), (0, 1)])
def test_ellipses_are_the_components_at_one_and_two_sigma(stream, place):
    ax, dims = plot.plot_corner(stream)[place], [place[1], place[0]]
    drawn = ellipses(ax)
    assert len(drawn) == 2 * stream.mixture.n_components
    for k in range(stream.mixture.n_components):
        for ellipse, level in zip(drawn[2 * k : 2 * k + 2], (1.0, 2.0), strict=True):
            assert np.allclose(ellipse.get_center(), stream.mixture.means[k, dims])
            assert np.allclose(spread(ellipse, level), stream.mixture.covariances[k][np.ix_(dims, dims)])


def test_a_stream_alone_has_colour(stream):
    drawn = ellipses(plot.plot_corner(stream)[1, 0])
    colored = [np.ptp(ellipse.get_edgecolor()[:3]) > 0.3 for ellipse in drawn]
    assert colored == [True, True, False, False, False, False]
    assert drawn[0].get_linewidth() > drawn[2].get_linewidth()


def test_densities_on_the_diagonal_are_those_of_the_mixture(stream):
    ax = plot.plot_corner(stream)[0, 0]
    (whole,) = [line for line in ax.lines if line.get_label() == "deconvolved"]
    grid, density = whole.get_data()
    mixture, box = stream.mixture, stream.mixture.background
    sigma = np.sqrt(mixture.covariances[:, 0, 0])
    expected = (1 - box.weight) * mixture.weights @ norm.pdf(grid, mixture.means[:, :1], sigma[:, None])
    assert np.allclose(density, expected + box.weight / (box.high[0] - box.low[0]), rtol=1e-12)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.03)
    # The narrow stream is resolved.
    assert density.max() == pytest.approx(expected.max(), rel=1e-2)
    assert (np.diff(grid)[np.abs(grid[1:] - mixture.means[0, 0]) < sigma[0]] < 0.1 * sigma[0]).all()


def test_the_histogram_is_of_what_was_measured_and_counts_all(stream):
    ax = plot.plot_corner(stream)[0, 0]
    (patch,) = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    values, edges, _ = patch.get_data()
    x = stream.kinematics.observations.x[:, 0]
    counts = np.histogram(x, edges)[0]
    assert np.allclose(values, counts / len(x) / np.diff(edges))
    assert counts.sum() < len(x)


def test_space_velocities_show_no_stars_as_measured(disc):
    axes = plot.plot_corner(disc)
    assert [[ax.axison for ax in row] for row in axes] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    denoised = disc.denoised()
    assert np.array_equal(dots(axes[2, 1]), np.stack([denoised["V"].value, denoised["W"].value], axis=1))
    assert not [patch for ax in axes.diagonal() for patch in ax.patches if isinstance(patch, StepPatch)]
    assert [ax.get_xlabel() for ax in axes[2]] == ["U (km/s)", "V (km/s)", "W (km/s)"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "V (km/s)", "W (km/s)"]


def test_components_without_members_have_a_colour_and_a_share_each(disc):
    axes = plot.plot_corner(disc)
    found = [text.get_text() for text in axes[0, -1].get_legend().get_texts()]
    assert len(found) == disc.mixture.n_components + 2
    shares = [float(word.split()[1]) for word in found[:-2]]
    assert np.allclose(shares, 100 * disc.mixture.weights, atol=0.51)
    assert [look.color for look in plot.looks(disc)] == list(PALETTE[: disc.mixture.n_components])


def test_names_and_units_stand_at_the_edges(stream):
    axes = plot.plot_corner(stream)
    assert [ax.get_xlabel() for ax in axes[1]] == [r"$\mu_{\phi_1}$ (mas/yr)", r"$\mu_{\phi_2}$ (mas/yr)"]
    assert axes[1, 0].get_ylabel() == r"$\mu_{\phi_2}$ (mas/yr)"
    assert axes[0, 1].get_ylabel() == r"$\mu_{\phi_1}$ (mas/yr)"
    assert axes[0, 1].yaxis.get_label_position() == "right"


def test_what_was_not_measured_is_not_drawn_and_is_counted(with_gaps):
    axes = plot.plot_corner(with_gaps)
    known = with_gaps.kinematics.observations.seen()[:, 2]
    assert 0 < known.sum() < 0.5 * len(known)
    assert len(dots(axes[2, 0])) == len(dots(axes[0, 2])) == known.sum()
    assert len(dots(axes[1, 0])) == len(known)
    assert any(f"{(~known).sum()} stars without" in word for word in words(axes))


def test_far_stars_do_not_stretch_the_picture(stream):
    kin = stream.kinematics
    x = kin.observations.x.copy()
    x[0] = 1e6, -1e6
    far = replace(kin, observations=kin.observations.valued(x))
    calm, axes = plot.plot_corner(stream), plot.plot_corner(stream, kin=far)
    for ax, other in zip(axes.ravel(), calm.ravel(), strict=True):
        assert np.allclose(ax.get_xlim(), other.get_xlim(), rtol=0.05)
    assert any("beyond the edges" in word for word in words(axes))


def test_limits_hold_the_same_dimension_everywhere(stream):
    axes = plot.plot_corner(stream)
    assert axes[0, 0].get_xlim() == axes[1, 0].get_xlim() == axes[0, 1].get_ylim()
    assert axes[1, 1].get_xlim() == axes[0, 1].get_xlim() == axes[1, 0].get_ylim()


def test_given_axes_are_used_and_others_refused(stream):
    _, given = plt.subplots(2, 2)
    assert plot.plot_corner(stream, axes=given)[1, 0] is given[1, 0]
    assert plt.get_fignums() == [1]
    with pytest.raises(DataError, match=r"\(2, 2\); got \(3, 3\)"):
        plot.plot_corner(stream, axes=plt.subplots(3, 3)[1])


def test_what_was_measured_can_be_left_out(stream):
    axes = plot.plot_corner(stream, observed=False)
    assert not axes[0, 1].axison
    assert not axes[0, 1].lines


def test_of_very_many_stars_some_are_drawn_and_every_member(stream):
    n = len(stream.kinematics)
    p = np.asarray(stream.membership()["p_member"])
    shown = portrait(stream, most=100)
    member = int((p >= 0.5).sum())
    assert shown.n == n
    assert (shown.p >= 0.5).sum() == member > 150
    # The others are drawn by chance, 100 in n.
    expected = (n - member) * 100 / n
    assert abs(len(shown) - member - expected) < 4 * np.sqrt(expected)
    again = portrait(stream, most=100)
    assert np.array_equal(shown.denoised, again.denoised)


def test_a_thinned_picture_says_so(stream, monkeypatch):
    monkeypatch.setattr("mixsci.stars.plot.portrait", lambda *a, **k: portrait(*a, **k, most=100))
    n = len(stream.kinematics)
    assert any(f"of {n:,} stars drawn" in word for word in words(plot.plot_corner(stream)))
    assert any("others drawn" in word for word in words(plot.plot_membership(stream)))


def test_stars_in_blocks_are_drawn_as_those_in_memory():
    made = stars.simulate_disc(600, rng=2)
    halves = [made.table[:250], made.table[250:]]
    blocks = stars.from_gaia(halves, "uvw")
    fit = stars.deconvolve(stars.from_gaia(made.table, "uvw"), 1)
    assert isinstance(blocks, KinematicsBlocks)
    whole, parted = portrait(fit), portrait(fit, blocks)
    assert parted.n == whole.n == 600
    assert np.allclose(parted.denoised, whole.denoised)
    assert np.allclose(dots(plot.plot_corner(fit, kin=blocks)[1, 0]), whole.denoised[:, :2])


# --- sizes nobody plans for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [[0], [0, 1], slice(0, 5)])
def test_few_stars(stream, rows):
    few = stream.kinematics.take(rows)
    axes = plot.plot_corner(stream, kin=few)
    assert len(dots(axes[0, 1])) == len(few)
    axes[0, 0].figure.canvas.draw()
    plot.plot_membership(stream, kin=few)[0].figure.canvas.draw()


def test_no_star_is_refused(stream):
    with pytest.raises(DataError, match="at least one star; got none"):
        plot.plot_corner(stream, kin=stream.kinematics.take([]))
    with pytest.raises(DataError, match="must be Kinematics"):
        plot.plot_corner(stream, kin=stream.kinematics.observations)


def test_a_component_without_spread_is_a_cross(stream):
    covariances = stream.mixture.covariances.copy()
    covariances[0] = 0.0
    flat = replace(stream, fit=replace(stream.fit, mixture=replace(stream.mixture, covariances=covariances)))
    ax = plot.plot_corner(flat)[1, 0]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert np.allclose(cross.get_xydata()[0], stream.mixture.means[0])
    assert len(ellipses(ax)) == 4


def test_no_radial_velocity_at_all_in_space_velocities():
    table = stars.simulate_disc(400, rng=2).table
    table["radial_velocity"] = np.nan
    kin = stars.from_gaia(table, "uvw")
    axes = plot.plot_corner(stars.deconvolve(kin, 1))
    assert kin.radial is None
    assert len(dots(axes[1, 0])) == 400


def test_many_components_keep_apart_by_dashes(stream):
    mixture = mx.Mixture(np.full(12, 1 / 12), np.zeros((12, 2)), np.tile(np.eye(2), (12, 1, 1)))
    many = VelocityFit(replace(stream.fit, mixture=mixture), stream.kinematics)
    drawn = plot.looks(many)
    assert len({(look.color, look.dashes) for look in drawn}) == 12
    assert not texts_overlap(plot.plot_corner(many))


@pytest.mark.parametrize("draw", ["corner", "membership", "purity"])
def test_no_words_lie_on_others(stream, draw):
    assert not texts_overlap(getattr(plot, f"plot_{draw}")(stream))


def test_no_words_of_three_dimensions_lie_on_others(disc, with_gaps):
    assert not texts_overlap(plot.plot_corner(disc))
    assert not texts_overlap(plot.plot_corner(with_gaps))


# --- membership ------------------------------------------------------------------------------------------------------


def points(ax):
    """Places (n, 2), probabilities (n,) and sizes (n,) of the stars in a panel."""
    (found,) = [item for item in ax.collections if isinstance(item, PathCollection)]
    return np.asarray(found.get_offsets()), np.asarray(found.get_array()), found.get_sizes()


def test_members_are_coloured_by_probability_and_lie_on_top(stream):
    axes = plot.plot_membership(stream)
    kin, p = stream.kinematics, np.asarray(stream.membership()["p_member"])
    order = np.argsort(p, kind="stable")
    lon = np.where(kin.lon > 180, kin.lon - 360, kin.lon)
    for ax, expected in zip(axes, (np.stack([lon, kin.lat], axis=1), kin.observations.x), strict=True):
        place, value, size = points(ax)
        assert np.allclose(place, expected[order])
        assert np.allclose(value, p[order], atol=1e-12)
        assert (size[value >= 0.5] > size[value < 0.5].max()).all()


def test_membership_is_labelled_and_counted(stream):
    axes = plot.plot_membership(stream, threshold=0.9)
    member = int((np.asarray(stream.membership()["p_member"]) >= 0.9).sum())
    assert axes[0].get_xlabel() == r"$\phi_1$ (deg)"
    assert axes[0].get_ylabel() == r"$\phi_2$ (deg)"
    assert axes[1].get_xlabel() == r"$\mu_{\phi_1}$ (mas/yr)"
    assert axes[0].get_title(loc="left") == f"{member} of {len(stream.kinematics)} stars with P ≥ 0.9"
    assert "probability of membership" in words(axes)


def test_the_ellipse_is_that_of_the_stream(stream):
    (ellipse,) = ellipses(plot.plot_membership(stream)[1])
    assert np.allclose(ellipse.get_center(), stream.mixture.means[0])
    assert np.allclose(spread(ellipse, 2.0), stream.mixture.covariances[0])


def test_any_population_can_be_shown(disc):
    axes = plot.plot_membership(disc, components=[0])
    assert np.allclose(np.sort(points(axes[0])[1]), np.sort(disc.membership(components=[0])["p_member"]), atol=1e-12)
    assert axes[1].get_xlabel() == "U (km/s)"
    with pytest.raises(DataError, match="name its components="):
        plot.plot_membership(disc)


def test_a_group_across_zero_longitude_stays_together(stream):
    kin = replace(stream.kinematics, lon=np.mod(stream.kinematics.lon + 170.0, 360.0))
    for turn in (0.0, 90.0, 190.0):
        moved = replace(kin, lon=np.mod(kin.lon + turn, 360.0))
        place, _, _ = points(plot.plot_membership(stream, kin=moved)[0])
        assert np.ptp(place[:, 0]) < 61.0
        assert -180.0 <= place[:, 0].min() < 360.0


def test_all_around_the_sky_longitudes_stay_as_they_are(disc):
    place, _, _ = points(plot.plot_membership(disc, components=[0])[0])
    assert np.allclose(np.sort(place[:, 0]), np.sort(np.mod(disc.kinematics.lon, 360.0)))


def test_stars_without_positions_leave_words(stream):
    nowhere = np.full(len(stream.kinematics), np.nan)
    axes = plot.plot_membership(stream, kin=replace(stream.kinematics, lon=nowhere, lat=nowhere))
    assert [text.get_text() for text in axes[0].texts] == ["none of the stars has a value here"]
    assert f"{len(nowhere):,} without a value" in axes[0].get_title(loc="left")
    assert len(points(axes[1])[0]) == len(nowhere)


def test_membership_takes_two_axes(stream):
    _, given = plt.subplots(1, 2)
    assert plot.plot_membership(stream, axes=given)[1] is given[1]
    with pytest.raises(DataError, match="two Axes"):
        plot.plot_membership(stream, axes=plt.subplots(1, 3)[1])


def test_purity_and_completeness_are_those_of_the_table(stream):
    table = stars.purity_completeness(stream.membership()["p_member"])
    ax = plot.plot_purity(stream)
    found = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert np.array_equal(found["purity"], table["purity"])
    assert np.array_equal(found["completeness"], table["completeness"])
    truth = np.arange(4) % 2 == 0
    given = stars.purity_completeness([0.9, 0.2, 0.8, 0.1], truth, thresholds=[0.0, 0.5, 0.95])
    _, ax = plt.subplots()
    assert plot.plot_purity(given, ax=ax) is ax
    dashed = {line.get_label(): line.get_ydata() for line in ax.lines if line.get_linestyle() == "--"}
    assert np.array_equal(dashed["true purity"], given["true_purity"], equal_nan=True)
    assert np.array_equal(dashed["true completeness"], [1.0, 1.0, 0.0])


# --- radial velocities -----------------------------------------------------------------------------------------------


def calibration(n, rng=0, quantiles=None):
    from scipy.stats import kstest

    draw = np.random.default_rng(rng)
    u = draw.uniform(size=n) if quantiles is None else quantiles
    predicted, error = 30 * draw.standard_normal(n), draw.uniform(5, 20, n)
    measured = predicted + error * norm.ppf(u)
    tested = kstest(u, "uniform")
    return Calibration(np.arange(n), measured, np.ones(n), predicted, error, u, tested.statistic, tested.pvalue)


def test_calibration_counts_quantiles_beside_their_band():
    found = calibration(200)
    _, given = plt.subplots()
    ax = found.plot(ax=given)
    assert ax is given
    (steps,) = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    values, edges, _ = steps.get_data()
    assert np.array_equal(values, np.histogram(found.quantiles, edges)[0])
    assert values.sum() == 200
    (band,) = [patch for patch in ax.patches if not isinstance(patch, StepPatch)]
    low, high = binom.interval(0.95, 200, 1 / 20)
    assert (band.get_y(), band.get_y() + band.get_height()) == (low, high)
    assert ax.get_title(loc="left") == verdict(found)


def test_the_verdict_follows_the_test():
    assert verdict(calibration(200)).startswith("Quantiles cannot be told from uniform ones")
    assert verdict(calibration(200, quantiles=np.random.default_rng(0).beta(3, 3, 200))).startswith("Quantiles differ")


@pytest.mark.parametrize("n", [1, 2, 300])
def test_measured_lie_against_predicted(n):
    found = calibration(n)
    for ax in (plot.plot_radial_velocities(found), found.plot()):
        ax.figure.canvas.draw()
        assert not texts_overlap(ax)
    ax = plot.plot_radial_velocities(found)
    assert np.array_equal(
        np.sort(dots(ax), axis=0), np.sort(np.stack([found.predicted, found.measured], axis=1), axis=0)
    )
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel().endswith("(km/s)")
    assert ax.get_ylabel().endswith("(km/s)")


def test_bars_of_very_many_are_thinned_and_counted():
    ax = plot.plot_radial_velocities(calibration(5000))
    assert len(dots(ax)) == 1500
    assert ax.get_title(loc="left").startswith("1,500 of 5,000 stars drawn")


def test_bars_are_the_errors():
    found = calibration(1)
    (bars,) = plot.plot_radial_velocities(found).containers
    across, along = (np.ptp(part.get_segments()[0], axis=0) for part in bars.lines[2])
    assert across[0] == pytest.approx(2 * found.predicted_error[0])
    assert along[1] == pytest.approx(2 * found.measured_error[0])


# --- numbers of components -------------------------------------------------------------------------------------------


def test_choices_mark_the_chosen(disc):
    ax = plot.plot_choices(disc)
    curve, chosen = ax.lines
    assert np.array_equal(curve.get_ydata(), disc.choices["bic"])
    assert chosen.get_xdata() == [disc.mixture.n_components]
    assert chosen.get_ydata() == [min(disc.choices["bic"])]
    assert "BIC" in ax.get_ylabel()


def test_choices_by_held_out_stars():
    table = QTable({"n_components": [3, 1, 2], "held_out": [-1.0, -3.0, -2.0], "best": [True, False, False]})
    _, given = plt.subplots()
    ax = plot.plot_choices(table, ax=given)
    assert ax is given
    assert np.array_equal(ax.lines[0].get_xydata(), [[1, -3], [2, -2], [3, -1]])
    assert "held-out" in ax.get_ylabel()


def test_one_number_of_components_is_no_choice(stream):
    with pytest.raises(DataError, match="one number of components"):
        plot.plot_choices(stream)


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("pmra", "mas / yr", r"$\mu_{\alpha*}$ (mas/yr)"),
        ("pm_l", "mas / yr", r"$\mu_{l}$ (mas/yr)"),
        ("pm_Lambda", "mas / yr", r"$\mu_{\mathrm{Lambda}}$ (mas/yr)"),
        ("radial_velocity", "km / s", r"$v_\mathrm{r}$ (km/s)"),
        ("v_dec", "km / s", r"$v_{\delta}$ (km/s)"),
        ("parallax", "mas", r"$\varpi$ (mas)"),
        ("W", "km / s", "W (km/s)"),
        ("a$b", "mas", r"a\$b (mas)"),
    ],
)
def test_dimensions_are_written_with_their_units(name, unit, expected):
    assert label(name, unit) == expected
    _, ax = plt.subplots()
    ax.set_xlabel(label(name, unit))
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", ["ra", "dec", "l", "b", "phi1", "lon", "weird $_{"])
def test_angles_of_any_name_can_be_drawn(name):
    _, ax = plt.subplots()
    ax.set_xlabel(sky(name))
    ax.figure.canvas.draw()
    assert ax.get_xlabel().endswith("(deg)")


@pytest.mark.parametrize("space", list(stars.SPACES))
def test_every_space_has_its_picture(real_data, space):
    with warnings.catch_warnings():
        # Stars with a poor parallax are left out of some spaces, which is said.
        warnings.simplefilter("ignore", UserWarning)
        kin = stars.from_gaia(stars.read(real_data / "stars" / "gaia_dr3_random1000.fits"), space)
    assert isinstance(kin, Kinematics)
    fit = stars.deconvolve(kin, 1)
    axes = plot.plot_corner(fit)
    d = fit.mixture.n_dims
    assert axes.shape == (d, d)
    assert [ax.get_xlabel() for ax in axes[-1]] == [
        label(name, unit) for name, unit in zip(kin.latent_names, kin.latent_units, strict=True)
    ]
    assert not texts_overlap(axes)
