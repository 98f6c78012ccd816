"""Pictures show what the mixture holds: places, sizes, colours and names are read back from the Axes."""

import io
from types import SimpleNamespace

import matplotlib.image as mpimg
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from scipy.integrate import trapezoid

import mixsci as mx
from mixsci import plot
from mixsci.engine.inference.select import CRITERIA, Candidate, Selection
from tests.test_docs import run_examples

MIXTURE = mx.Mixture(
    [0.25, 0.75],
    [[0.0, 1.0, 2.0], [5.0, -5.0, 0.0]],
    [np.diag([4.0, 1.0, 9.0]), [[2.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.5]]],
)


@pytest.fixture(scope="module")
def fitted():
    made = mx.simulate.rows(MIXTURE, 300, gaps=0.1, rng=1)
    table = pd.DataFrame(made.observations.x, columns=["u (km/s)", "v (km/s)", "cost ($)"])
    obs = mx.Observations(table)
    return mx.fit(mx.Model(n_components=2), obs, rng=1), obs


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def ellipses(ax):
    return [patch for patch in ax.patches if isinstance(patch, Ellipse) and not patch.get_fill()]


def test_every_plot_draws_in_the_axes_given_and_returns_them(fitted):
    fit, obs = fitted
    r = fit.responsibilities(obs)
    for draw in (
        lambda ax: plot.plot_fit(fit, ax=ax),
        lambda ax: fit.plot(ax=ax, data=obs),
        lambda ax: plot.plot_ellipses(fit, ax=ax),
        lambda ax: plot.plot_density(fit, 1, ax=ax, data=obs),
        lambda ax: plot.plot_history(fit, ax=ax),
        lambda ax: plot.plot_responsibilities(r, obs, ax=ax),
        lambda ax: plot.plot_responsibilities(r, ax=ax),
    ):
        ax = plt.subplots()[1]
        assert draw(ax) is ax
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        plt.close("all")


def test_ellipses_lie_where_the_components_are():
    ax = plot.plot_ellipses(MIXTURE, (0, 1), levels=(1.0, 2.0))
    found = ellipses(ax)
    assert len(found) == 4
    np.testing.assert_allclose(found[0].center, [0.0, 1.0])
    assert sorted([found[1].width, found[1].height]) == pytest.approx([4.0, 8.0])  # 2 sigma: diameters 4 sigma
    tilted = found[2]
    values, vectors = np.linalg.eigh(MIXTURE.covariances[1][:2, :2])
    long = np.array([np.cos(np.radians(tilted.angle)), np.sin(np.radians(tilted.angle))])
    assert abs(long @ vectors[:, 1]) == pytest.approx(1.0)
    assert (tilted.width, tilted.height) == pytest.approx(tuple(2 * np.sqrt(values[::-1])))


def test_ellipses_follow_the_dimensions_asked_for():
    ax = plot.plot_ellipses(MIXTURE, (2, 0), names=["a", "b", "c"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("c", "a")
    np.testing.assert_allclose(ellipses(ax)[0].center, [2.0, 0.0])


def test_components_are_labelled_with_their_weight():
    texts = [text.get_text() for text in plot.plot_ellipses(MIXTURE).texts]
    assert texts == ["0: 25%", "1: 75%"]


def test_all_ellipses_are_inside_the_picture():
    ax = plot.plot_ellipses(MIXTURE, (0, 1))
    low, high = ax.get_ylim()
    assert low <= -5.0 - 2.0
    assert high >= 1.0 + 2.0


def test_a_component_without_spread_is_a_cross():
    points = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], np.zeros((2, 2, 2)))
    ax = plot.plot_ellipses(points)
    assert [line.get_marker() for line in ax.lines] == ["x", "x"]
    ax.figure.canvas.draw()


def test_names_are_text_and_not_formulas(fitted):
    fit, _ = fitted
    ax = plot.plot_ellipses(fit, (0, 2))
    assert ax.get_xlabel() == "u (km/s)"
    ax.figure.canvas.draw()
    assert ax.get_ylabel() == r"cost (\$)"


def test_the_density_has_the_weight_of_each_component_under_it():
    ax = plot.plot_density(MIXTURE, 0, labels=False)
    first, second, whole = (line.get_xydata().T for line in ax.lines)
    assert trapezoid(first[1], first[0]) == pytest.approx(0.25, abs=1e-3)
    assert trapezoid(second[1], second[0]) == pytest.approx(0.75, abs=1e-3)
    np.testing.assert_allclose(whole[1], np.exp(MIXTURE.marginal([0]).log_density(whole[0][:, None])), atol=1e-12)


def test_a_background_lifts_the_density():
    background = mx.UniformBackground([-20.0], [20.0], weight=0.2)
    one = mx.Mixture([1.0], [[0.0]], [[[1.0]]], background=background)
    ax = plot.plot_density(one)
    part, outside, whole = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(outside, 0.2 / 40.0)
    np.testing.assert_allclose(whole - part, outside)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0: 80%", "background: 20%", "all"]


def test_a_density_of_points_is_a_line_at_each():
    ax = plot.plot_density(mx.Mixture([0.4, 0.6], [[0.0], [3.0]], np.zeros((2, 1, 1))), labels=False)
    assert [line.get_xdata()[0] for line in ax.lines[:2]] == [0.0, 3.0]


def test_the_fit_chooses_its_picture(fitted):
    fit, obs = fitted
    assert ellipses(fit.plot())
    one = mx.fit(mx.Model(n_components=1), obs.x[:, [0]], rng=1)
    assert one.plot().get_ylabel() == "density"


# --- names and rows --------------------------------------------------------------------------------------------------


def test_dimensions_are_taken_by_name(fitted):
    fit, obs = fitted
    ax = plot.plot_ellipses(fit, ("cost ($)", "u (km/s)"), data=obs)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"cost (\$)", "u (km/s)")
    np.testing.assert_allclose(ellipses(ax)[0].center, fit.mixture.means[0, [2, 0]])
    assert plot.plot_density(fit, "v (km/s)", data=obs).get_xlabel() == "v (km/s)"
    ax = plot.plot_responsibilities(fit.responsibilities(obs), obs, dims=("v (km/s)", 0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("v (km/s)", "u (km/s)")
    axes = plot.plot_pairs(fit, ["v (km/s)", "u (km/s)"])
    assert axes.shape == (2, 2)
    assert (axes[1, 0].get_xlabel(), axes[1, 0].get_ylabel()) == ("v (km/s)", "u (km/s)")
    assert plot.plot_density(MIXTURE, "mass", names=["u", "v", "mass"]).get_xlabel() == "mass"
    assert plot.plot_density(MIXTURE, -1).get_xlabel() == "x2"


X = np.array([[0.0, 1.0, 2.0], [np.nan, -5.0, 0.5], [4.0, np.nan, 1.0], [5.0, -4.0, np.nan], [1.0, 2.0, 3.0]])
UNBOUNDED = np.where(np.arange(15).reshape(5, 3) == 12, np.inf, 0.3)
ROWS = {
    "gappy": X,
    "masked": np.ma.masked_invalid(X),
    "a table with a column x": pd.DataFrame(X, columns=["x", "y", "z"]).convert_dtypes(),
    "lists": X.tolist(),
    "noisy": mx.Observations(X, mx.noise.from_errors(0.1 + np.arange(15.0).reshape(5, 3))),
    "noise without bound": mx.Observations(X, mx.noise.from_errors(UNBOUNDED)),
    "correlated noise": mx.Observations(X, mx.noise.from_covariances(np.eye(3) + 0.5)),
    "weighted": mx.Observations(X, row_weights=[1, 2, 0, 1, 1]),
    "grouped": mx.Observations(X, groups=list("abcab")),
    "nothing seen": np.full((2, 3), np.nan),
    "no rows": np.empty((0, 3)),
}
SHIFTED = mx.Mixture(
    [[0.25, 0.75], [0.5, 0.5]], MIXTURE.means, MIXTURE.covariances, offsets=[[0.0, 0.0, 0.0], [10.0, 0.0, -10.0]],
    group_labels=("a", "b"), group_rows=[1.0, 1.0],
)  # fmt: skip


@pytest.mark.parametrize("rows", ROWS.values(), ids=list(ROWS))
def test_every_plot_takes_every_kind_of_rows(rows):
    axes = plt.subplots(3, 2)[1]
    plot.plot_pairs(SHIFTED, (0, 2), axes=axes[:2], data=rows)
    plot.plot_ellipses(MIXTURE, ax=axes[2, 0], data=rows)
    plot.plot_responsibilities(np.full((len(rows), 2), 0.5), rows, ax=axes[2, 1])
    axes[0, 0].figure.canvas.draw()


def test_rows_through_a_projection_have_no_place(fitted):
    fit, _ = fitted
    rows = mx.Observations(X[:, :2], projection=np.eye(2, 3))
    for draw in (
        fit.plot,
        lambda data: plot.plot_density(fit, data=data),
        lambda data: plot.plot_pairs(fit, data=data),
    ):
        with pytest.raises(mx.DataError, match=r"these see a projection: draw their latent points, data=fit.posterior"):
            draw(data=rows)
    assert ellipses(fit.plot(data=fit.posterior(rows)[0]))
    assert plot.plot_responsibilities(fit.responsibilities(rows), rows).get_xlabel() == "x0"


def test_rows_are_drawn_less_the_offset_of_their_group():
    rows = mx.Observations([[0.0, 1.0, 2.0], [10.0, 1.0, -8.0], [3.0, 3.0, 3.0]], groups=["a", "b", "unknown"])
    drawn = plot.plot_ellipses(SHIFTED, (0, 2), data=rows).collections[0].get_offsets()
    np.testing.assert_allclose(drawn, [[0.0, 2.0], [0.0, 2.0], [3.0, 3.0]])


def test_rows_with_a_gap_or_no_weight_stay_out():
    errors = mx.noise.from_errors([[0.1, 0.1, 0.1], [np.inf, 0.1, 0.1], [0.1, 0.1, 0.1]])
    rows = mx.Observations([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], errors, row_weights=[1.0, 1.0, 0.0])
    drawn = plot.plot_ellipses(MIXTURE, data=rows).collections[0].get_offsets()
    np.testing.assert_allclose(drawn, [[1.0, 2.0]])


def test_bars_count_the_weights_of_rows():
    rows = mx.Observations([[0.0], [1.0]], row_weights=[1.0, 3.0])
    ax = plot.plot_density(mx.Mixture([1.0], [[0.0]], [[[1.0]]]), data=rows, bins=2)
    assert [bar.get_height() * bar.get_width() for bar in ax.patches] == pytest.approx([0.25, 0.75])


def test_one_value_far_off_does_not_ask_for_a_million_bars():
    values = np.append(np.random.default_rng(0).normal(size=1000), 1e6)
    assert len(plot.plot_density(mx.Mixture([1.0], [[0.0]], [[[1.0]]]), data=values).patches) <= 400


# --- as measured -----------------------------------------------------------------------------------------------------


def measured(ax):
    return next(line for line in ax.lines if line.get_label() == "all, as measured").get_xydata().T


def test_the_density_as_measured_is_the_mean_over_rows_of_that_under_their_noise():
    rng = np.random.default_rng(1)
    errors = rng.uniform(0.0, 2.0, (60, 3))
    rows = mx.Observations(MIXTURE.sample(60, rng=rng)[0], mx.noise.from_errors(errors), row_weights=rng.random(60))
    t, density = measured(plot.plot_density(MIXTURE, 1, data=rows))
    assert trapezoid(density, t) == pytest.approx(1.0, abs=1e-3)
    one, few = MIXTURE.marginal([1]), slice(0, None, 40)
    each = [
        np.exp(one.log_density(mx.Observations(t[few, None], mx.noise.from_errors([sigma])))) for sigma in errors[:, 1]
    ]
    np.testing.assert_allclose(density[few], np.average(each, axis=0, weights=rows.row_weights), rtol=1e-9)


def test_the_density_as_measured_is_a_convolution():
    even = np.linspace(-30.0, 30.0, 6001)
    latent = np.exp(MIXTURE.marginal([0]).log_density(even[:, None]))
    blur = np.exp(-0.5 * (even / 1.5) ** 2) / (1.5 * np.sqrt(2.0 * np.pi))
    convolved = np.convolve(latent, blur, mode="same") * 0.01
    rows = mx.Observations(np.zeros((1, 3)), mx.noise.from_errors([1.5, 1.0, 1.0]))
    t, density = measured(plot.plot_density(MIXTURE, 0, data=rows))
    np.testing.assert_allclose(density, np.interp(t, even, convolved), atol=1e-5)


def test_many_different_errors_are_spoken_for_by_some():
    rng = np.random.default_rng(2)
    sigma, point = rng.lognormal(-1.0, 1.0, 5000), mx.Mixture([1.0], [[3.0]], [[[0.0]]])
    rows = mx.Observations(3.0 + sigma[:, None] * rng.normal(size=(5000, 1)), mx.noise.from_errors(sigma[:, None]))
    t, density = measured(plot.plot_density(point, data=rows))
    assert trapezoid(density, t) == pytest.approx(1.0, abs=0.01)
    scaled = (t[:, None] - 3.0) / sigma
    exact = np.mean(np.exp(-0.5 * scaled**2) / (np.sqrt(2.0 * np.pi) * sigma), axis=1)
    assert np.abs(density - exact).max() < 0.02 * exact.max()


def test_a_peak_far_above_the_rows_is_cut_and_told():
    sharp = mx.Mixture([0.5, 0.5], [[0.0], [3.0]], [[[1.0]], [[0.008**2]]])
    rows = mx.Observations(sharp.sample(500, rng=0)[0], mx.noise.from_errors([0.5]))
    ax = plot.plot_density(sharp, data=rows)
    peak, top = max(line.get_ydata().max() for line in ax.lines), ax.get_ylim()[1]
    assert peak > 20.0
    assert max(bar.get_height() for bar in ax.patches) > 0.25 * top
    assert f"all, free of noise (cut; peak {peak:.3g})" in [text.get_text() for text in ax.get_legend().get_texts()]
    # Free of noise, there is nothing to compare the density with but itself.
    assert plot.plot_density(sharp).get_ylim()[1] > peak


def test_noise_of_nothing_adds_no_line():
    rows = mx.Observations(X, mx.noise.from_errors([0.0, 0.0, 1.0]))
    assert "all" in [line.get_label() for line in plot.plot_density(MIXTURE, 0, data=rows).lines]


# --- selections ------------------------------------------------------------------------------------------------------


def candidates(criterion, *foretold):
    fits = [SimpleNamespace(converged=k != 1, bic=100.0 * abs(k - 2)) for k in range(len(foretold))]
    pairs = enumerate(zip(fits, foretold, strict=True))
    return tuple(Candidate(k + 1, "full", fit, one, criterion) for k, (fit, one) in pairs)


FORETOLD = ((-3.0, -3.3, -3.1), (-2.0, -2.2, -2.2), (-1.9, -2.1, -2.0), (-2.0, -2.1, -1.95))


@pytest.mark.parametrize("criterion", ["cross_validation", "held_out"])
def test_bars_are_the_errors_by_which_the_verdict_is_made(criterion):
    ones = candidates(criterion, *FORETOLD)
    ax = plot.plot_selection(Selection(ones, criterion))
    bars = np.array([np.diff(segment[:, 1])[0] / 2.0 for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(bars, [CRITERIA[criterion].error(one, ones[2]) for one in ones], atol=1e-12)
    heights = ax.lines[0].get_ydata()
    undecided = [CRITERIA[criterion].undecided(one, ones[2]) for one in ones]
    assert (heights - bars <= 1e-12).tolist() == undecided == [False, False, True, True]
    assert ("nats per row" in ax.get_ylabel()) == (criterion == "cross_validation")
    assert ("nats per value" in ax.get_ylabel()) == (criterion == "held_out")
    ax.figure.canvas.draw()


def test_the_undecided_band_is_seen_and_named():
    ax = plot.plot_selection(Selection(candidates("bic", *FORETOLD), "bic"))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"undecided, less than 2", "not at its end", "minimum, K = 3"} <= set(labels)
    pixels = ax.transData.transform([[1.0, 0.0], [1.0, 2.0]])[:, 1]
    assert np.diff(pixels)[0] > 0.05 * ax.bbox.height
    assert ax.get_ylabel() == "BIC above 0.0"


@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_a_selection_of_one_is_drawn(criterion):
    plot.plot_selection(Selection(candidates(criterion, (-1.0,)), criterion)).figure.canvas.draw()


# --- other pictures --------------------------------------------------------------------------------------------------


def test_history_falls_to_what_remains(fitted):
    fit, _ = fitted
    left = plot.plot_history(fit).lines[0].get_ydata()
    assert (np.diff(left) <= 1e-9 * abs(fit.objective)).all()
    assert left[-1] == pytest.approx(fit.gap, abs=1e-9 * abs(fit.objective))


def test_rows_get_the_colours_of_their_components():
    r = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])
    points = plot.plot_responsibilities(r, np.arange(8.0).reshape(4, 2)).collections[0]
    first, second = (np.array(to_rgb(color)) for color in plot.PALETTE[:2])
    pale = np.array(to_rgb("#D9D9D9"))
    np.testing.assert_allclose(points.get_facecolors()[:, :3], [first, second, (first + second) / 2, pale], atol=1e-12)


def test_strips_leave_out_rows_that_have_no_place():
    r = np.array([[1.0, 0.0], [0.2, 0.8], [0.5, 0.5]])
    ax = plot.plot_responsibilities(r, [2.0, np.nan, 1.0], names=["t (s)"])
    assert ax.get_xlim() == (1.0, 2.0)
    assert ax.get_xlabel() == "t (s)"


def test_pairs_show_a_dimension_in_one_range_everywhere(fitted):
    fit, obs = fitted
    axes = plot.plot_pairs(fit, data=obs)
    assert axes.shape == (3, 3)
    assert axes[1, 0].get_xlim() == axes[2, 0].get_xlim() == axes[0, 0].get_xlim()
    assert axes[2, 1].get_xlim() == axes[1, 0].get_ylim()
    assert not axes[0, 1].axison


def test_a_picture_is_a_png_that_no_window_shows(fitted):
    fit, _ = fitted
    picture = mpimg.imread(io.BytesIO(plot.as_png(plot.plot_fit(fit, ax=plot.blank()[0, 0]))))
    assert picture.std() > 0.01
    assert not plt.get_fignums()


def test_the_page_of_plots_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_examples("docs/plots.md")
    assert mpimg.imread(tmp_path / "stars.png").std() > 0.01


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot.plot_ellipses(MIXTURE, (0, 3)), "dims must be two of 0 'x0', 1 'x1', 2 'x2'; got 3"),
        (lambda: plot.plot_ellipses(MIXTURE, (1, 1)), "dims must be two"),
        (lambda: plot.plot_ellipses(MIXTURE, 1), "dims must be two"),
        (lambda: plot.plot_ellipses(MIXTURE, ("x0", "mass")), "dims must be two of .*'x2'; got 'mass'"),
        (lambda: plot.plot_density(MIXTURE, "mass"), "dim must be one of .*'x2'; got 'mass'"),
        (lambda: plot.plot_density(MIXTURE, 3), "dim must be one of"),
        (lambda: plot.plot_pairs(MIXTURE, [0, 0]), "dims must be distinct"),
        (lambda: plot.plot_pairs(MIXTURE, ["x0", "mass"]), "dims must be distinct ones of .*got 'mass'"),
        (lambda: plot.plot_density(MIXTURE, data=np.ones((4, 2))), "data must have the 3 columns .* got 2"),
        (lambda: plot.plot_ellipses(MIXTURE, data=np.ones(4)), "data must have the 3 columns .* got 1"),
        (lambda: plot.plot_ellipses(MIXTURE, data=[["a", "b", "c"]]), "x must be numbers"),
        (lambda: plot.plot_pairs(MIXTURE, data=mx.from_blocks(list)), "rows in memory"),
        (lambda: plot.plot_density(mx.Mixture([1.0], [[np.nan]], [[[1.0]]])), "left open"),
        (lambda: plot.plot_ellipses(MIXTURE, names=["a"]), "names must name all 3"),
        (lambda: plot.plot_responsibilities([0.5, 0.5]), r"shape \(n, K\)"),
        (lambda: plot.plot_responsibilities(np.ones((2, 1)), [1.0]), "must have the 2 rows"),
        (lambda: plot.plot_pairs(MIXTURE, axes=plot.blank(2, 2)), r"axes must have shape \(D, D\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(mx.DataError, match=message):
        draw()


HUES = mx.CircularMixture([0.7, 0.3], directions=[[350.0], [120.0]], concentrations=[[20.0], [400.0]], period=360.0)


def test_areas_on_the_circle_are_shares():
    rows = HUES.sample(500, rng=0)[0]
    ax = plot.plot_circle(HUES, data=rows, bins=24)
    assert ax.name == "polar"
    for line, share in zip(ax.lines, (0.7, 0.3, 1.0), strict=True):
        turn, radius = line.get_data()
        assert trapezoid(radius**2 / 2, turn) == pytest.approx(share, abs=0.01)
    sectors = sum(bar.get_height() ** 2 / 2 * bar.get_width() for bar in ax.patches if hasattr(bar, "get_height"))
    assert sectors == pytest.approx(1.0)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "45", "90", "135", "180", "225", "270", "315"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0: 70%", "1: 30%", "all", "rows"]


def test_an_angle_as_measured_is_what_a_fit_takes_it_for():
    errors = np.array([[5.0], [20.0], [20.0]])
    rows = mx.Observations([[350.0], [100.0], [np.nan]], mx.noise.from_errors(errors))
    turn, radius = measured(plot.plot_circle(HUES, "hue (deg)", data=rows, names=["hue (deg)"]))
    assert trapezoid(radius**2 / 2, turn) == pytest.approx(1.0, abs=0.01)
    at = np.degrees(turn)[::50, None]
    each = [np.exp(HUES.log_density(mx.Observations(at, mx.noise.from_errors([sigma])))) for sigma in (5.0, 20.0)]
    np.testing.assert_allclose(radius[::50] ** 2 / 2, np.degrees(1.0) * np.mean(each, axis=0), rtol=1e-9)


def test_a_background_of_half_a_circle_lifts_that_half():
    half = mx.UniformBackground([180.0], [360.0], weight=0.2)
    mixed = mx.CircularMixture([1.0], directions=[[20.0]], concentrations=[[9.0]], period=360.0, background=half)
    ax = plot.plot_circle(mixed)
    turn, radius = ax.lines[1].get_data()
    within = np.abs(np.sin(turn)) > 1e-6  # the edges of the box aside
    lifted = np.where(np.sin(turn) < 0, 0.2 / np.pi, 0.0)
    np.testing.assert_allclose(radius[within] ** 2 / 2, lifted[within], atol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0: 80%", "background: 20%", "all"]


def test_a_fit_of_angles_is_drawn_on_its_circle():
    rows = HUES.sample(200, rng=0)[0]
    mixed = pd.DataFrame({"light": np.arange(200.0), "hue": rows[:, 0]})
    fit = mx.fit(mx.CircularModel(2, angles=[1], period=360), mx.Observations(mixed), rng=0)
    ax = plt.subplots(subplot_kw={"projection": "polar"})[1]
    assert fit.plot(ax=ax, data=mixed) is ax
    assert ax.get_xlabel() == "hue"
    assert fit.marginal(["light"]).n_dims == 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: plot.plot_circle(MIXTURE), "plot_density"),
        (lambda: plot.plot_circle(HUES, 3), "one of the angles"),
        (lambda: plot.plot_circle(HUES, "hue"), "one of the angles 0 'x0'; got 'hue'"),
        (lambda: plot.plot_circle(HUES, data=mx.Observations([[1.0]], projection=[[1.0]])), "see a projection"),
        (lambda: plot.plot_circle(HUES, ax=plt.subplots()[1]), "polar Axes"),
        (lambda: plot.plot_density(HUES), "plot_circle"),
    ],
)
def test_what_has_no_circle_is_refused(ask, message):
    with pytest.raises(mx.DataError, match=message):
        ask()
