"""Pictures show what the mixture holds: places, sizes, colours and names are read back from the Axes."""

import io

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
        lambda ax: fit.plot(ax=ax, points=obs),
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
    part, whole = (line.get_ydata() for line in plot.plot_density(one).lines)
    np.testing.assert_allclose(whole - part, 0.2 / 40.0)


def test_a_density_of_points_is_a_line_at_each():
    ax = plot.plot_density(mx.Mixture([0.4, 0.6], [[0.0], [3.0]], np.zeros((2, 1, 1))), labels=False)
    assert [line.get_xdata()[0] for line in ax.lines[:2]] == [0.0, 3.0]


def test_the_fit_chooses_its_picture(fitted):
    fit, obs = fitted
    assert ellipses(fit.plot())
    one = mx.fit(mx.Model(n_components=1), obs.x[:, [0]], rng=1)
    assert one.plot().get_ylabel() == "density"


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
    axes = plot.plot_pairs(fit, points=obs)
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
        (lambda: plot.plot_ellipses(MIXTURE, (0, 3)), "dims must be two"),
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
        (lambda: plot.plot_circle(HUES, ax=plt.subplots()[1]), "polar Axes"),
        (lambda: plot.plot_density(HUES), "plot_circle"),
    ],
)
def test_what_has_no_circle_is_refused(ask, message):
    with pytest.raises(mx.DataError, match=message):
        ask()
