"""What follows from a mixture: against scipy, dense formulas and draws."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import mixsci as mx
from tests.problems import random_covariances

RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = 2 * RNG.normal(size=(3, 3))
COVARIANCES = random_covariances(RNG, 3, 3)
MIXTURE = mx.Mixture(WEIGHTS, MEANS, COVARIANCES)
LINE = mx.Mixture([0.3, 0.7], [[-1.0], [2.0]], [[[0.25]], [[4.0]]])
BOX = mx.UniformBackground([-6.0], [10.0], weight=0.2)
BOXED = mx.Mixture(LINE.weights, LINE.means, LINE.covariances, background=BOX)
GROUPED = mx.Mixture(
    [[0.3, 0.7], [0.9, 0.1]],
    LINE.means,
    LINE.covariances,
    offsets=[[0.5], [-0.5]],
    group_labels=("a", "b"),
    group_rows=[30, 10],
)


def density(mixture, points):
    return sum(
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )


# --- one dimension ---------------------------------------------------------------------------------------------------


@pytest.mark.floors
def test_cdf_and_sf_are_those_of_scipy():
    t = np.linspace(-8, 12, 41).reshape(1, 41)
    expected = [
        sum(
            w * getattr(norm(m[0], np.sqrt(c[0, 0])), name)(t)
            for w, m, c in zip(LINE.weights, LINE.means, LINE.covariances, strict=True)
        )
        for name in ("cdf", "sf")
    ]
    np.testing.assert_allclose(LINE.cdf(t), expected[0], rtol=1e-12)
    np.testing.assert_allclose(LINE.sf(t), expected[1], rtol=1e-12)
    uniform = np.clip((t + 6) / 16, 0, 1)
    np.testing.assert_allclose(BOXED.cdf(t), 0.8 * expected[0] + 0.2 * uniform, rtol=1e-12)
    np.testing.assert_allclose(BOXED.sf(t), 0.8 * expected[1] + 0.2 * (1 - uniform), rtol=1e-12)


def test_the_upper_tail_keeps_its_digits():
    assert LINE.sf(50.0) == pytest.approx(0.7 * norm(2, 2).sf(50.0), rel=1e-10)
    assert 0 < LINE.sf(50.0) < 1e-100


@pytest.mark.parametrize("mixture", [LINE, BOXED])
def test_quantiles_invert_the_cdf(mixture):
    q = np.array([1e-12, 1e-3, 0.3, 0.5, 0.77, 1 - 1e-9])
    t = mixture.quantile(q)
    np.testing.assert_allclose(np.where(q < 0.5, mixture.cdf(t), 1 - mixture.sf(t)), q, rtol=1e-9)
    assert (np.diff(t) > 0).all()
    assert mixture.quantile(0.5).shape == ()


def test_a_component_without_spread_is_a_step():
    steps = mx.Mixture([0.4, 0.6], [[0.0], [1.0]], np.zeros((2, 1, 1)))
    np.testing.assert_allclose(steps.cdf([-0.1, 0.0, 0.5, 1.0]), [0, 0.4, 0.4, 1])
    np.testing.assert_allclose(steps.sf([-0.1, 0.0, 0.5, 1.0]), [1, 0.6, 0.6, 0])
    np.testing.assert_allclose(steps.quantile([0.2, 0.7]), [0, 1], atol=1e-12)


# --- fewer dimensions ------------------------------------------------------------------------------------------------


def test_a_marginal_is_the_integral_over_the_rest():
    marginal, side = MIXTURE.marginal([2]), np.arange(-12.0, 12.0, 0.1)
    a, b = np.meshgrid(side, side)
    for t in (-1.0, 0.3, 2.0):
        whole = density(MIXTURE, np.stack([a, b, np.full(a.shape, t)], axis=-1)).sum() * 0.1**2
        assert np.exp(marginal.log_density([[t]])[0]) == pytest.approx(whole, rel=1e-9)
    swapped = MIXTURE.marginal([1, 0])
    np.testing.assert_array_equal(swapped.means, MEANS[:, [1, 0]])
    np.testing.assert_array_equal(swapped.covariances[:, 0, 1], COVARIANCES[:, 1, 0])


def test_a_condition_is_the_joint_over_the_marginal():
    given = {0: 0.4, 2: -1.0}
    conditioned = MIXTURE.condition(given)
    t = np.linspace(-5, 5, 11)
    joint = density(MIXTURE, np.column_stack([np.full(11, 0.4), t, np.full(11, -1.0)]))
    expected = joint / density(MIXTURE.marginal([0, 2]), [0.4, -1.0])
    np.testing.assert_allclose(np.exp(conditioned.log_density(t[:, None])), expected, rtol=1e-10)
    # The same, blurred: the posterior of a row seen in some of its dimensions.
    errors = {0: 0.3, 2: 0.5}
    row = mx.Observations([[0.4, np.nan, -1.0]], mx.noise.from_errors([0.3, 1.0, 0.5]))
    mean, covariance = MIXTURE.posterior(row)
    conditioned = MIXTURE.condition(given, errors)
    centre = conditioned.weights @ conditioned.means[:, 0]
    spread = conditioned.weights @ (conditioned.covariances[:, 0, 0] + (conditioned.means[:, 0] - centre) ** 2)
    np.testing.assert_allclose((mean[0, 1], covariance[0, 1, 1]), (centre, spread), rtol=1e-10)


def test_a_condition_far_from_every_component_stays_a_mixture():
    far = MIXTURE.condition({0: 1e8})
    assert far.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(far.means).all()


def test_conditioning_a_background_weighs_it_anew():
    box = mx.UniformBackground([-5.0, -5.0], [5.0, 5.0], weight=0.3)
    mixture = mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)], background=box)
    for value in (0.0, 3.0):
        inside = 0.7 * norm.pdf(value)
        outside = 0.3 / 10
        assert mixture.condition({0: value}).background.weight == pytest.approx(outside / (inside + outside))
    assert mixture.condition({0: 7.0}).background.weight == 0.0


# --- draws -----------------------------------------------------------------------------------------------------------


def test_draws_have_the_moments_of_the_mixture():
    n = 200_000
    points, labels = MIXTURE.sample(n, rng=1)
    counts = np.bincount(labels, minlength=3)
    assert np.abs((counts - n * WEIGHTS) / np.sqrt(n * WEIGHTS * (1 - WEIGHTS))).max() < 4
    for k in range(3):
        mine = points[labels == k]
        errors = np.sqrt(np.diag(COVARIANCES[k]) / len(mine))
        assert np.abs((mine.mean(axis=0) - MEANS[k]) / errors).max() < 4.5
        np.testing.assert_allclose(np.cov(mine.T), COVARIANCES[k], atol=0.05)
    np.testing.assert_array_equal(MIXTURE.sample(5, rng=3)[0], MIXTURE.sample(5, rng=3)[0])
    assert MIXTURE.sample(0, rng=0)[0].shape == (0, 3)


def test_draws_include_the_background():
    points, labels = BOXED.sample(100_000, rng=0)
    strays = points[labels == -1]
    assert len(strays) == pytest.approx(20_000, abs=4 * np.sqrt(16_000))
    assert strays.min() >= -6 and strays.max() <= 10
    assert np.abs(np.sort(points[:, 0])[50_000] - BOXED.quantile(0.5)) < 0.05


# --- groups and background -------------------------------------------------------------------------------------------


def test_a_mixture_of_one_group_has_its_weights_and_its_offset():
    one = GROUPED.of_group("b")
    np.testing.assert_array_equal(one.weights, [0.9, 0.1])
    np.testing.assert_array_equal(one.means, LINE.means - 0.5)
    np.testing.assert_allclose(GROUPED.pooled_weights, (30 * np.array([0.3, 0.7]) + 10 * np.array([0.9, 0.1])) / 40)
    rows = mx.Observations([[0.2], [1.0]], groups=["b", "b"])
    np.testing.assert_allclose(GROUPED.log_density(rows), one.log_density(rows.x), rtol=1e-13)
    np.testing.assert_allclose(GROUPED.cdf(0.3, group="b"), one.cdf(0.3))
    assert quad(lambda t: float(np.exp(one.log_density([[t]])[0])), -30, 30)[0] == pytest.approx(1.0)
    with pytest.raises(mx.DataError, match="pass group=, one of 'a', 'b'"):
        GROUPED.cdf(0.3)
    with pytest.raises(mx.DataError, match="group must be one of 'a', 'b'; got 'c'"):
        GROUPED.of_group("c")


def test_a_row_belongs_to_components_and_background_with_probability_one():
    rows = np.array([[0.0], [-5.5], [9.9], [11.0], [np.nan]])
    total = BOXED.responsibilities(rows).sum(axis=1) + BOXED.background_probability(rows)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)
    assert BOXED.predict(np.array([[-5.5]]))[0] == -1
    assert BOXED.background_probability(np.array([[11.0]]))[0] == 0.0
    np.testing.assert_array_equal(LINE.background_probability(rows), 0.0)
    np.testing.assert_array_equal(LINE.predict(np.array([[-1.0], [4.0]])), [0, 1])


def test_rows_far_outside_keep_finite_densities():
    rows = np.array([[1e6], [-1e6], [1e12]])
    assert np.isfinite(LINE.log_density(rows)).all()
    np.testing.assert_allclose(LINE.responsibilities(rows).sum(axis=1), 1.0)


# --- as a value ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixture", [MIXTURE, BOXED, GROUPED])
def test_mixtures_pickle_and_say_little(mixture):
    again = pickle.loads(pickle.dumps(mixture))
    for name in ("weights", "means", "covariances", "offsets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(mixture, name))
    assert again.group_labels == mixture.group_labels
    assert len(repr(mixture)) < 80


def test_a_mixture_does_not_share_its_arrays_with_the_caller():
    means = MEANS.copy()
    mixture = mx.Mixture(WEIGHTS, means, COVARIANCES)
    means[:] = 0.0
    np.testing.assert_array_equal(mixture.means, MEANS)


def test_a_summary_has_one_line_per_component():
    table = MIXTURE.summary(["u", "v", "w"])
    assert list(table.columns) == ["weight", "u", "v", "w", "sd(u)", "sd(v)", "sd(w)"]
    np.testing.assert_allclose(table["sd(v)"], np.sqrt(COVARIANCES[:, 1, 1]))


EYES = np.tile(np.eye(2), (2, 1, 1))
TWO = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], EYES)
OPEN = mx.Mixture([np.nan, np.nan], [[0.0], [1.0]], np.ones((2, 1, 1)))
SINGULAR = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], np.zeros((2, 2, 2)))
BAD = {
    "weights": (lambda: mx.Mixture([0.5, 0.4], TWO.means, EYES), "must sum to 1; got sums 0.9"),
    "negative weights": (lambda: mx.Mixture([1.5, -0.5], TWO.means, EYES), "must not be negative"),
    "weights of others": (lambda: mx.Mixture([1.0], TWO.means, EYES), r"weights must have shape \(K,\) = \(2,\)"),
    "weights in words": (lambda: mx.Mixture(["a", "b"], TWO.means, EYES), "weights must be numbers"),
    "ragged means": (
        lambda: mx.Mixture([0.5, 0.5], [[0.0], [0.0, 1.0]], EYES),
        "means must be a table with rows of one length",
    ),
    "means of one dimension": (lambda: mx.Mixture([0.5, 0.5], [0.0, 1.0], EYES), r"means must have shape \(K, D\)"),
    "no components": (lambda: mx.Mixture([], np.empty((0, 2)), np.empty((0, 2, 2))), "neither of them 0"),
    "no dimensions": (lambda: mx.Mixture([1.0], np.empty((1, 0)), np.empty((1, 0, 0))), "neither of them 0"),
    "covariances of others": (lambda: mx.Mixture([0.5, 0.5], TWO.means, np.eye(2)), "covariances must have shape"),
    "asymmetric": (lambda: mx.Mixture([1.0], [[0, 0]], [[[1, 0.3], [0.1, 1]]]), "symmetric; that of component 0"),
    "indefinite": (
        lambda: mx.Mixture([0.5, 0.5], TWO.means, [np.eye(2), [[1, 2], [2, 1]]]),
        "semi-definite; that of component 1",
    ),
    "infinite": (lambda: mx.Mixture([1.0], [[0, np.inf]], [np.eye(2)]), "must be finite"),
    "offsets without groups": (lambda: mx.Mixture([1.0], [[0.0]], [[[1.0]]], offsets=[[0.0]]), "need group_labels"),
    "one label twice": (
        lambda: mx.Mixture([1.0], [[0.0]], [[[1.0]]], group_labels=("a", "a")),
        "differ from one another",
    ),
    "open density": (lambda: OPEN.log_density([[0.0]]), "parts left open"),
    "open draws": (lambda: OPEN.sample(3), "parts left open"),
    "open cdf": (lambda: OPEN.cdf(0.0), "parts left open"),
    "singular density": (
        lambda: SINGULAR.log_density([[0.0, 0.0]]),
        "covariance is singular and 1 rows carry no noise there",
    ),
    "singular condition": (lambda: SINGULAR.condition({0: 1.0}), "give errors= to condition"),
    "negative number of draws": (lambda: TWO.sample(-1), "n must not be negative"),
    "nothing given": (lambda: TWO.condition({}), "condition needs values"),
    "all given": (lambda: TWO.condition({0: 1.0, 1: 1.0}), "must leave others"),
    "unknown dimension": (lambda: TWO.condition({5: 1.0}), r"from 0 to 1; got \[5\]"),
    "one dimension twice": (lambda: TWO.condition({0: 1.0, -2: 1.0}), "distinct"),
    "NaN given": (lambda: TWO.condition({0: np.nan}), "must be finite"),
    "errors of others": (lambda: TWO.condition({0: 1.0}, {1: 0.1}), "errors must be those of the values"),
    "negative error": (lambda: TWO.condition({0: 1.0}, {0: -0.1}), "errors not negative"),
    "a marginal of nothing": (lambda: TWO.marginal([]), "at least one dimension"),
    "a marginal twice": (lambda: TWO.marginal([0, 0]), "distinct"),
    "cdf of two dimensions": (lambda: TWO.cdf(0.0), r"take marginal\(\[dim\]\) of these 2"),
    "quantile of two dimensions": (lambda: TWO.quantile(0.5), r"take marginal\(\[dim\]\) of these 2"),
    "quantile at the end": (lambda: LINE.quantile([0.5, 1.0]), "strictly between 0 and 1"),
    "a box of other dimensions": (
        lambda: mx.Mixture(TWO.weights, TWO.means, EYES, background=BOX).log_density([[0, 0]]),
        "2 dimensions of the rows",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_mixtures_and_questions_are_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_forecast_is_the_conditional_of_the_joint():
    rng = np.random.default_rng(4)
    roots = rng.normal(size=(2, 3, 3))
    mixture = mx.Mixture([0.3, 0.7], rng.normal(size=(2, 3)), roots @ roots.transpose(0, 2, 1) + np.eye(3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    x, sigma = rng.normal(size=(5, 3)), rng.uniform(0.1, 1.0, (5, 3))
    x[:, 0] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors(sigma), turn)
    shares, means, variances = mixture.forecast(obs, turn[0])
    turned = mx.Mixture(mixture.weights, mixture.means @ turn.T, turn @ mixture.covariances @ turn.T)
    for i in range(5):
        given = turned.condition({1: x[i, 1], 2: x[i, 2]}, {1: sigma[i, 1], 2: sigma[i, 2]})
        np.testing.assert_allclose(shares[i], given.weights, rtol=1e-10)
        np.testing.assert_allclose(means[i], given.means[:, 0], rtol=1e-10)
        np.testing.assert_allclose(variances[i], given.covariances[:, 0, 0], rtol=1e-9)
    with pytest.raises(mx.DataError, match="view must have shape"):
        mixture.forecast(obs, np.zeros((4, 3)))
