"""Standard errors are those of closed forms and of an independent Hessian; where nothing is known they say so."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mixsci as mx
from mixsci.engine.em.steps import expect
from mixsci.engine.inference.knowledge import Problem
from mixsci.engine.inference.numbers import covariance_block
from mixsci.engine.inference.uncertainty import METHODS, StandardErrors, standard_errors
from mixsci.engine.inference.yardstick import Directions
from mixsci.engine.model.covariances import STRUCTURES, Full, Proportional
from mixsci.engine.model.priors import Pseudo
from tests import oracles
from tests.problems import draw_rows, random_covariances, random_problem

TIGHT = {"tol": 1e-13, "max_iter": 20_000}


def hessian(function, at, step=1e-3):
    """Second derivatives by four-point differences, twice, extrapolated to no step."""

    def once(h):
        eye, out = h * np.eye(len(at)), np.empty((len(at), len(at)))
        for i in range(len(at)):
            for j in range(i + 1):
                corners = [s * t * function(at + s * eye[i] + t * eye[j]) for s in (1, -1) for t in (1, -1)]
                out[i, j] = out[j, i] = sum(corners) / (4 * h * h)
        return out

    return (4 * once(step / 2) - once(step)) / 3


def one_gaussian(x, tol=1e-13, **options):
    obs = x if isinstance(x, mx.Observations) else mx.Observations(x)
    start = mx.Mixture([1.0], np.zeros((1, obs.n_dims)), np.eye(obs.n_dims)[None])
    return mx.fit(mx.Model(1, **options), obs, start=start, tol=tol, max_iter=20_000), obs


def two_clusters(seed=0, n=400, apart=6.0, d=1):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.3
    return rng.normal(size=(n, d)) * np.where(label, 0.7, 1.3)[:, None] + apart * label[:, None]


def fit_two(x, model=None, **options):
    d = x.n_dims if isinstance(x, mx.Observations) else x.shape[1]
    start = mx.Mixture([0.7, 0.3], np.array([[0.0], [6.0]]) * np.ones(d), np.tile(np.eye(d), (2, 1, 1)))
    return mx.fit(model or mx.Model(2), x, start=start, **(TIGHT | options))


def spread_of_entries(sigma, n):
    """Standard errors of a covariance from n rows: sqrt((S_ii S_jj + S_ij^2) / n)."""
    variances = np.diag(sigma)
    return np.sqrt((variances[:, None] * variances + sigma**2) / n)


# --- the score and the curvature are derivatives of the objective ----------------------------------------------------


def check_derivatives(model, mixture, obs, rng):
    """Score and information along random directions, against differences of the row-by-row log-likelihood."""
    problem = Problem(model, mixture, expect(mixture, obs))
    information, _ = problem.known(obs, "observed", 1)
    theta, count = model.pack(mixture), len(problem.directions)
    if not count:
        return

    def objective(change):
        there = model.unpack(theta + change, mixture)
        return oracles.log_likelihood(there, obs) + model.log_prior(there)

    for _ in range(2):
        along = rng.normal(size=count)
        line = problem.directions.combine(along[:, None])
        h = float(problem.yardstick.steps(line, 2e-3)[0]) / 2
        low, back, here, ahead, far = (objective(i * h * line.theta[0]) for i in (-2, -1, 0, 1, 2))
        slope = (8 * (ahead - back) - (far - low)) / (12 * h)
        bend = (16 * (ahead + back) - (far + low) - 30 * here) / (12 * h**2)
        size = np.abs(problem.score) @ np.abs(along) + count
        assert problem.score @ along == pytest.approx(slope, abs=1e-6 * size)
        size = np.abs(along) @ np.abs(information) @ np.abs(along)
        assert along @ information @ along == pytest.approx(-bend, abs=2e-6 * size + 1e-5)


@pytest.mark.parametrize("seed", range(0, 168, 17))
def test_score_and_information_are_derivatives_of_the_objective(seed):
    """Every structure and law, with ladders, offsets, background, priors, frozen parts, noise, gaps and projections."""
    problem = random_problem(seed)
    check_derivatives(problem.model, problem.start, problem.obs, np.random.default_rng(seed))


LAWS = {
    "shared": (mx.weights.Free(dirichlet=2.0, shared=True), 4),
    "multiplex": (mx.weights.Multiplex([1, 1]), 4),
    "linked": (mx.weights.LinkedDuplex(), 4),
    "blend": (mx.weights.Occupancy(mx.weights.Poisson("tail"), (1, mx.weights.Blend(
        [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]], prior_counts=2.0))), 4),
}  # fmt: skip


@pytest.mark.parametrize("groups", [0, 2])
@pytest.mark.parametrize("law", LAWS)
def test_laws_of_several_rates_and_shapes(law, groups):
    rng = np.random.default_rng(3)
    weights, k = LAWS[law]
    means = 2.0 * np.arange(k)[:, None] + rng.normal(size=(k, 1))
    obs, _ = draw_rows(rng, means, n=50, groups=groups, gaps=0.0, row_weights=True)
    model = mx.Model(k, weights=weights)
    start, rates = weights.start(k, max(groups, 1))
    frozen = np.zeros(k, dtype=bool)
    vector = weights.pack(start, rates, frozen)
    start, rates = weights.unpack(vector + 0.2 * rng.normal(size=len(vector)), start, rates, frozen)
    pick = (lambda part: part) if groups else (lambda part: None if part is None else part[0])
    mixture = mx.Mixture(
        pick(start), means, 0.5 + rng.random((k, 1, 1)), rates=pick(rates), group_labels=obs.group_labels
    )
    check_derivatives(model, mixture, obs, rng)


@pytest.mark.parametrize("seed", range(0, 200, 9))
def test_there_are_as_many_directions_as_free_parameters(seed):
    problem = random_problem(seed)
    model, mixture = problem.model, problem.start
    if mixture.theta is not None and mixture.offsets is not None:
        pytest.skip("what a ladder and offsets share shows in the information only")
    found = Problem(model, mixture, expect(mixture, problem.obs))
    still = sum(len(part) for name, part in found.held.items() if name != "theta")
    level = mixture.n_dims * model.centred
    assert len(found.directions) + still - level == model.n_free(mixture.n_dims, mixture.n_groups)


class Foreign:
    """A structure that the engine knows nothing of but its methods."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


@pytest.mark.parametrize("inner", [Full(), Proportional()])
def test_a_structure_of_your_own_needs_no_derivatives(inner):
    rng = np.random.default_rng(1)
    covariances = STRUCTURES["scaled"].maximise(
        random_covariances(rng, 3, 2), np.ones(3), random_covariances(rng, 3, 2), Pseudo(0.0, np.zeros((2, 2))), 0.0
    )
    pseudo = Pseudo(3.0, np.array([[1.0, 0.2], [0.2, 0.7]]))
    known, found = covariance_block(inner, covariances, pseudo), covariance_block(Foreign(inner), covariances, pseudo)
    scores = rng.normal(size=(3, 2, 2))
    scores = (scores + scores.transpose(0, 2, 1)).ravel()
    np.testing.assert_allclose(found.jacobian, known.jacobian, atol=1e-8)
    np.testing.assert_allclose(found.slope, known.slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.bend(scores), known.bend(scores), rtol=1e-4, atol=1e-5 * np.abs(scores).max())


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [[1.0, 1.0, 1.0], [1.0, 1e6, 1e-6]])
def test_one_gaussian(units):
    x = np.random.default_rng(0).normal(size=(300, 3)) @ np.random.default_rng(1).normal(size=(3, 3)) * units
    fit, obs = one_gaussian(x)
    found, sigma = standard_errors(fit, obs), fit.mixture.covariances[0]
    np.testing.assert_allclose(found.means[0], np.sqrt(np.diag(sigma) / 300), rtol=1e-8)
    np.testing.assert_allclose(found.covariances[0], spread_of_entries(sigma, 300), rtol=1e-6)
    np.testing.assert_array_equal(found.weights, [0.0])
    assert found.rates is found.theta is found.offsets is found.background is None


def test_one_gaussian_with_columns_that_are_nearly_the_same():
    x = np.random.default_rng(0).normal(size=(200, 1)) * [1.0, 1.0]
    x[:, 1] += 1e-3 * np.random.default_rng(1).normal(size=200)
    start = mx.Mixture([1.0], x.mean(axis=0)[None], np.cov(x.T, ddof=0)[None])
    fit = mx.fit(mx.Model(1), x, start=start)
    found, sigma = standard_errors(fit, x), fit.mixture.covariances[0]
    np.testing.assert_allclose(found.covariances[0], spread_of_entries(sigma, 200), rtol=1e-5)
    value, error = found.of(lambda mixture: np.log(np.linalg.det(mixture.covariances[0])))
    assert value == pytest.approx(np.log(np.linalg.det(sigma)))
    # tr(E) of a Wishart of 200 degrees of freedom: the log determinant has variance 2 D / n, whatever the matrix.
    assert error == pytest.approx(np.sqrt(2 * 2 / 200), rel=1e-4)


def test_one_gaussian_with_the_same_noise_everywhere():
    rng = np.random.default_rng(2)
    noise = np.array([[0.5, 0.2], [0.2, 0.8]])
    x = rng.normal(size=(400, 2)) @ np.linalg.cholesky(noise + np.array([[2.0, -0.5], [-0.5, 1.0]])).T
    fit, obs = one_gaussian(mx.Observations(x, mx.noise.from_covariances(noise)))
    found, total = standard_errors(fit, obs), fit.mixture.covariances[0] + noise
    np.testing.assert_allclose(found.means[0], np.sqrt(np.diag(total) / 400), rtol=1e-7)
    np.testing.assert_allclose(found.covariances[0], spread_of_entries(total, 400), rtol=1e-6)


def test_scores_and_sandwich_of_one_gaussian_are_moments():
    x = np.random.default_rng(3).exponential(size=(500, 1))
    fit, obs = one_gaussian(x)
    apart = x[:, 0] - x.mean()
    second, third, fourth = (np.mean(apart**power) for power in (2, 3, 4))
    sandwich = standard_errors(fit, obs, method="sandwich")
    exact = np.array([[second, third], [third, fourth - second**2]]) / 500
    np.testing.assert_allclose(sandwich.covariance[1:, 1:], exact, rtol=1e-6)
    outer = 500 * np.array([
        [1 / second, third / (2 * second**3)],
        [third / (2 * second**3), (fourth / second**2 - 1) / (4 * second**2)],
    ])  # fmt: skip
    scores = standard_errors(fit, obs, method="scores")
    np.testing.assert_allclose(scores.covariance[1:, 1:], np.linalg.inv(outer), rtol=1e-8)


@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0])
def test_lambda_of_presence_or_absence(rate):
    rng = np.random.default_rng(4)
    x = 100.0 * (rng.poisson(rate, size=1000) > 0) + rng.normal(size=1000)
    means = mx.means.Ladder(np.array([[[1.0]], [[1.0]]]), np.array([[0.0], [100.0]]))
    model = mx.Model(2, weights=mx.weights.Poisson(), means=means, covariance="tied")
    fit = fit_two(x[:, None], model)
    found, rate = standard_errors(fit, x[:, None]), float(fit.mixture.rates)
    assert found.rates == pytest.approx(np.sqrt(np.expm1(rate) / 1000), rel=1e-6)
    np.testing.assert_allclose(found.weights, np.exp(-rate) * found.rates, rtol=1e-6)
    # All rows together know the one number behind both means, and their spread.
    variance = fit.mixture.covariances[0, 0, 0]
    np.testing.assert_allclose(found.theta, np.sqrt(variance / 1000), rtol=1e-6)
    np.testing.assert_allclose(found.means, np.sqrt(variance / 1000), rtol=1e-6)
    np.testing.assert_allclose(found.covariances, variance * np.sqrt(2 / 1000), rtol=1e-6)


def test_lambda_of_every_number_of_copies():
    rng = np.random.default_rng(5)
    copies = rng.poisson(0.8, size=800)
    x = (100.0 * copies + rng.normal(size=800))[:, None]
    model = mx.Model(12, weights=mx.weights.Poisson("open"), means=mx.means.Fixed(100.0 * np.arange(12)[:, None]),
                     covariance="tied")  # fmt: skip
    start = mx.Mixture(np.full(12, 1 / 12), 100.0 * np.arange(12)[:, None], np.ones((12, 1, 1)))
    fit = mx.fit(model, x, start=start, **TIGHT)
    assert standard_errors(fit, x).rates == pytest.approx(np.sqrt(copies.mean() / 800), rel=1e-5)


def test_weights_of_clusters_far_apart_are_shares():
    x = two_clusters(apart=50.0)
    fit = fit_two(x)
    w = fit.mixture.weights[0]
    np.testing.assert_allclose(standard_errors(fit, x).weights, np.sqrt(w * (1 - w) / 400), rtol=1e-6)


def test_the_weight_of_a_background_is_a_share():
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.normal(size=300), rng.uniform(100, 200, size=100)])[:, None]
    fit, obs = one_gaussian(x, background=mx.UniformBackground([99.0], [201.0], weight=0.2))
    found = standard_errors(fit, obs)
    assert fit.mixture.background.weight == pytest.approx(0.25)
    assert found.background == pytest.approx(np.sqrt(0.25 * 0.75 / 400), rel=1e-6)
    np.testing.assert_allclose(found.means, np.sqrt(fit.mixture.covariances[0] / 300), rtol=1e-6)


def test_priors_count_as_rows():
    x = np.random.default_rng(7).normal(size=(60, 2)) @ [[2.0, 0.0], [1.0, 0.5]]
    fit, obs = one_gaussian(x, prior=mx.prior.InverseWishart([[3.0, 1.0], [1.0, 2.0]], dof=5.0))
    found = standard_errors(fit, obs)
    np.testing.assert_allclose(found.covariances[0], spread_of_entries(fit.mixture.covariances[0], 68), rtol=1e-6)
    y = two_clusters(apart=50.0)
    fit = fit_two(y, mx.Model(2, prior=mx.prior.Dirichlet(11.0)))
    w = fit.mixture.weights[0]
    np.testing.assert_allclose(standard_errors(fit, y).weights, np.sqrt(w * (1 - w) / 420), rtol=1e-6)


# --- an independent Hessian ------------------------------------------------------------------------------------------

SHAPES = {
    "full": (6, lambda v: [[[v[0], v[1]], [v[1], v[2]]], [[v[3], v[4]], [v[4], v[5]]]]),
    "tied": (3, lambda v: [[[v[0], v[1]], [v[1], v[2]]]] * 2),
    "diag": (4, lambda v: [[[v[0], 0], [0, v[1]]], [[v[2], 0], [0, v[3]]]]),
    "spherical": (2, lambda v: [v[0] * np.eye(2), v[1] * np.eye(2)]),
    "tied_diag": (2, lambda v: [np.diag(v)] * 2),
    "tied_spherical": (1, lambda v: [v[0] * np.eye(2)] * 2),
    "scaled": (4, lambda v: [v[3] * np.array([[v[0], v[1]], [v[1], v[2]]]), [[v[0], v[1]], [v[1], v[2]]]]),
    "factors": (3, lambda v: [[[v[0], v[1]], [v[1], v[2]]], 4 * np.array([[v[0], v[1]], [v[1], v[2]]])]),
}


def free_numbers(structure, covariances):
    """Numbers that `SHAPES` makes these covariances of."""
    a, b = covariances
    whole = [a[0, 0], a[0, 1], a[1, 1], b[0, 0], b[0, 1], b[1, 1]]
    picks = {"full": range(6), "tied": range(3), "diag": (0, 2, 3, 5), "spherical": (0, 3), "tied_diag": (0, 2),
             "tied_spherical": (0,), "factors": range(3)}  # fmt: skip
    if structure == "scaled":
        return np.array([*whole[3:], a[0, 0] / b[0, 0]])
    return np.array([whole[i] for i in picks[structure]])


def overlapping(seed=8, n=250):
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0], [3.0, 1.0]])
    obs, _ = draw_rows(rng, means, n=n, noise="errors", gaps=0.15, row_weights=False)
    return obs


@pytest.mark.parametrize("structure", SHAPES)
def test_two_components_with_noise_and_gaps(structure):
    """Against the inverse of a numerical Hessian of a log-likelihood that shares nothing with the engine."""
    obs = overlapping()
    covariance = mx.covariances.Scaled([1.0, 4.0]) if structure == "factors" else structure
    fit = fit_two(obs, mx.Model(2, covariance=covariance))
    count, make = SHAPES[structure]
    mixture = fit.mixture

    def objective(v):
        w = 1 / (1 + np.exp(-v[0]))
        return oracles.dense_log_likelihood(
            obs, np.array([w, 1 - w]), v[1:5].reshape(2, 2), np.array(make(v[5:]), dtype=float)
        )

    share = mixture.weights[0]
    at = np.array([np.log(share / (1 - share)), *mixture.means.ravel(), *free_numbers(structure, mixture.covariances)])
    covariance = np.linalg.inv(-hessian(objective, at))
    errors = np.sqrt(np.diag(covariance))
    found = standard_errors(fit, obs)
    assert len(found.free) == 5 + count
    np.testing.assert_allclose(found.weights, share * (1 - share) * errors[0], rtol=1e-5)
    np.testing.assert_allclose(found.means.ravel(), errors[1:5], rtol=1e-5)

    def numbers(mixture):
        share = mixture.weights[0]
        return [np.log(share / (1 - share)), *mixture.means.ravel(), *free_numbers(structure, mixture.covariances)]

    value, error = found.of(numbers)
    np.testing.assert_allclose(value, at)
    np.testing.assert_allclose(error, errors, rtol=2e-5)
    np.testing.assert_allclose(found.covariance_of(numbers), covariance, rtol=1e-4, atol=1e-5 * errors.min() ** 2)
    entries = [found.covariances[0, 0, 0], found.covariances[1, 1, 1]]
    by_function = found.of(lambda mixture: [mixture.covariances[0, 0, 0], mixture.covariances[1, 1, 1]])[1]
    np.testing.assert_allclose(entries, by_function, rtol=1e-6)


def test_groups_and_offsets():
    """Offsets have mean zero over the rows: the level belongs to the means."""
    rng = np.random.default_rng(9)
    groups, label = np.repeat([0, 1, 2], [80, 100, 60]), rng.random(240) < 0.4
    x = (rng.normal(size=240) + 4.0 * label + np.array([-1.0, 0.5, 1.0])[groups])[:, None]
    obs = mx.Observations(x, groups=groups)
    fit = fit_two(obs, mx.Model(2, covariance="tied", offsets="group"))
    mixture, rows = fit.mixture, np.array([80.0, 100.0, 60.0])

    def objective(v):
        first = 1 / (1 + np.exp(-v[:3]))
        offsets = np.array([v[3], v[4], -(80 * v[3] + 100 * v[4]) / 60])
        weights = np.column_stack([first, 1 - first])
        return oracles.dense_log_likelihood(obs, weights, v[5:7, None], np.full((2, 1, 1), v[7]), offsets[:, None])

    logits = np.log(mixture.weights[:, 0] / mixture.weights[:, 1])
    at = np.array([*logits, *mixture.offsets[:2, 0], *mixture.means[:, 0], mixture.covariances[0, 0, 0]])
    assert rows @ mixture.offsets[:, 0] == pytest.approx(0.0, abs=1e-9)
    covariance = np.linalg.inv(-hessian(objective, at))
    errors, found = np.sqrt(np.diag(covariance)), standard_errors(fit, obs)
    last = np.array([-80 / 60, -100 / 60])
    np.testing.assert_allclose(found.weights[:, 0], np.prod(mixture.weights, axis=1) * errors[:3], rtol=1e-5)
    np.testing.assert_allclose(found.offsets[:2, 0], errors[3:5], rtol=1e-5)
    assert found.offsets[2, 0] == pytest.approx(np.sqrt(last @ covariance[3:5, 3:5] @ last), rel=1e-5)
    np.testing.assert_allclose(found.means[:, 0], errors[5:7], rtol=1e-5)
    np.testing.assert_allclose(found.covariances[:, 0, 0], errors[7], rtol=1e-5)


def test_what_is_frozen_has_no_error_and_helps_the_rest():
    obs = overlapping()
    free = fit_two(obs)
    masks = {"weights": [True, False], "means": [True, False], "covariances": [False, True]}
    model = mx.Model(2, frozen=mx.Frozen(**masks))
    fit = mx.fit(model, obs, start=free.mixture, **TIGHT)
    found, loose = standard_errors(fit, obs), standard_errors(free, obs)
    np.testing.assert_array_equal(found.weights, 0.0)
    np.testing.assert_array_equal(found.means[0], 0.0)
    np.testing.assert_array_equal(found.covariances[1], 0.0)
    assert (found.means[1] < loose.means[1]).all() and (found.means[1] > 0).all()
    assert len(found.free) == fit.n_free == 5
    assert found.covariance.shape == (6, 6)  # the logarithm of the one free weight, which can go nowhere, is packed too


def test_nothing_free_has_no_errors():
    obs = overlapping()
    start = fit_two(obs).mixture
    fit = mx.fit(mx.Model(2, frozen=mx.Frozen(weights=True, means=True, covariances=True)), obs, start=start)
    for method in METHODS:
        found = standard_errors(fit, obs, method=method)
        assert not found.means.any() and not found.covariances.any() and not found.weights.any()
        assert found.covariance.shape == (0, 0)
        assert found.of(lambda mixture: mixture.means)[1].tolist() == [[0.0, 0.0], [0.0, 0.0]]


# --- rows, threads, sources ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["observed", "scores", "sandwich"])
def test_a_row_of_weight_two_is_the_row_twice(method):
    x = two_clusters(n=120)
    weights = np.random.default_rng(0).integers(0, 3, size=120).astype(float)
    weighted = mx.Observations(x, row_weights=weights)
    repeated = np.repeat(x, weights.astype(int), axis=0)
    fits = fit_two(weighted), fit_two(repeated)
    one, two = (standard_errors(fit, rows, method=method) for fit, rows in zip(fits, (weighted, repeated), strict=True))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-6)


@pytest.mark.parametrize("method", ["observed", "scores", "sandwich"])
def test_threads_and_blocks_change_nothing(method):
    x = two_clusters(n=30_000)
    fit = fit_two(x, tol=1e-9)
    one, two = (standard_errors(fit, x, method=method, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.covariance, two.covariance)
    source = mx.from_blocks(lambda: (x[i : i + 7000] for i in range(0, 30_000, 7000)))
    np.testing.assert_allclose(standard_errors(fit, source, method=method).covariance, one.covariance, rtol=1e-6)


def test_scores_agree_with_the_curvature_where_the_model_is_right():
    obs = overlapping(seed=1, n=4000)
    fit = fit_two(obs)
    errors = [standard_errors(fit, obs, method=method) for method in ("observed", "scores", "sandwich")]
    for name in ("weights", "means"):
        for other in errors[1:]:
            np.testing.assert_allclose(getattr(other, name), getattr(errors[0], name), rtol=0.25)
    background = mx.UniformBackground(np.nanmin(obs.x, axis=0) - 1, np.nanmax(obs.x, axis=0) + 1, weight=0.05)
    problem = Problem(mx.Model(2, background=background), fit.mixture.evolve(background=background), expect(
        fit.mixture.evolve(background=background), obs))  # fmt: skip
    assert problem.known(obs, "scores", 1)[0].shape == (12, 12)


def row_by_row(problem, obs):
    """(q, q) sum of outer products, from the scores of E-steps over single rows."""
    total = 0.0
    weights = oracles.row_weights(obs)
    for i in np.flatnonzero(weights):
        row = obs.take(np.array([i]))
        alone = Problem(problem.model, problem.mixture, expect(problem.mixture, row))
        score = problem.directions.numbers @ alone.scores
        total = total + np.outer(score, score) / weights[i]
    return total


@pytest.mark.parametrize("seed", [0, 7, 9, 16, 22, 35, 57])
def test_scores_of_rows_are_those_of_rows_alone(seed):
    problem = random_problem(seed)
    found = Problem(problem.model, problem.start, expect(problem.start, problem.obs))
    prior = found.coordinates.bend(np.zeros(found.layout.size))
    theta = found.directions.theta
    outer = found.known(problem.obs, "scores", 1)[0] + theta @ prior @ theta.T
    by_rows = row_by_row(found, problem.obs)
    np.testing.assert_allclose(outer, by_rows, atol=1e-9 * np.abs(by_rows).max())


class Doubled:
    """Rows to which the source adds as many again, unseen."""

    def __init__(self, obs):
        self.obs = obs

    def blocks(self):
        return self.obs.blocks()

    def complete(self, mixture, kept, expect):
        more = kept + expect(mixture, self.obs)
        return replace(more, n_rows=kept.n_rows, row_weight=kept.row_weight)


def test_what_a_source_adds_to_the_sums_counts():
    x = mx.Observations(two_clusters())
    fit = fit_two(x)
    double = replace(fit, log_likelihood=2 * fit.log_likelihood)
    for method in ("observed", "auto"):
        found = standard_errors(double, Doubled(x), method=method)
        np.testing.assert_allclose(found.means, standard_errors(fit, x).means / np.sqrt(2), rtol=1e-9)
    with pytest.raises(mx.DataError, match="needs rows that nothing was selected from"):
        standard_errors(double, Doubled(x), method="scores")


def test_auto_takes_the_passes_while_they_are_cheap(monkeypatch):
    x = two_clusters(n=100)
    fit = fit_two(x)
    assert standard_errors(fit, x, method="auto").method == "observed"
    monkeypatch.setattr("mixsci.engine.inference.uncertainty.MOST_CELLS", 100)
    assert standard_errors(fit, x, method="auto").method == "scores"


# --- what follows from a mixture -------------------------------------------------------------------------------------


def test_intervals_are_the_value_and_so_many_standard_errors():
    x = two_clusters()
    fit = fit_two(x)
    found = standard_errors(fit, x)
    value, error = found.of(lambda mixture: mixture.quantile(np.array([0.1, 0.5])))
    np.testing.assert_allclose(value, fit.mixture.quantile(np.array([0.1, 0.5])))
    low, high = found.interval(lambda mixture: mixture.quantile(np.array([0.1, 0.5])), level=0.9)
    np.testing.assert_allclose((high - low) / error, 2 * norm.ppf(0.95), rtol=1e-9)
    np.testing.assert_allclose((high + low) / 2, value)
    assert found.of(lambda mixture: mixture.means[1, 0])[1] == pytest.approx(found.means[1, 0], rel=1e-9)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.covariance, found.covariance)
    assert repr(found) == "StandardErrors(5 free directions, 0 lost, observed)"
    assert isinstance(found, StandardErrors)


def test_draws_spread_as_standard_errors_say():
    x = two_clusters()
    fit = fit_two(x)
    found = standard_errors(fit, x)
    # Weights are packed as logarithms, which are fixed up to a constant: their difference is.
    turn = np.vstack([[1.0, -1.0, 0.0, 0.0, 0.0, 0.0], np.eye(6)[2:]])
    drawn = np.array([turn @ fit.model.pack(draw) for draw in found.draws(1024)])
    wanted = turn @ found.covariance @ turn.T
    size = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose((drawn.mean(axis=0) - turn @ fit.model.pack(fit.mixture)) / size, 0.0, atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T) / (size[:, None] * size), wanted / (size[:, None] * size), atol=0.02)
    for one, other in zip(found.draws(8), found.draws(8), strict=True):
        np.testing.assert_array_equal(one.means, other.means)


def test_what_is_held_is_the_same_in_every_draw():
    x = two_clusters()
    model = mx.Model(2, frozen=mx.Frozen(means=[True, False]))
    fit = mx.fit(model, x, start=fit_two(x).mixture)
    draws = standard_errors(fit, x).draws(8)
    assert all((draw.means[0] == fit.mixture.means[0]).all() for draw in draws)
    assert len({float(draw.means[1, 0]) for draw in draws}) == 8


def test_errors_of_theta_are_those_of_numbers_made_of_it():
    """The covariance of theta, carried to means and log-odds by hand."""
    x = two_clusters()
    fit = fit_two(x)
    found = standard_errors(fit, x)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)[2:4]), found.means[:, 0], rtol=1e-9)
    odds = np.array([1.0, -1.0]) @ found.covariance[:2, :2] @ [1.0, -1.0]
    log_odds = found.of(lambda mixture: np.log(mixture.weights[0] / mixture.weights[1]))[1]
    assert np.sqrt(odds) == pytest.approx(log_odds, rel=1e-4)


def test_errors_follow_the_units_of_the_columns():
    obs = overlapping()
    scale = np.array([1e-3, 1e4])
    scaled = mx.Observations(obs.x * scale, mx.noise.from_variances(obs.noise.variances * scale**2))
    start = fit_two(obs).mixture
    fit = mx.fit(mx.Model(2), obs, start=start, **TIGHT)
    other = mx.Mixture(start.weights, start.means * scale, start.covariances * scale[:, None] * scale)
    one, two = standard_errors(fit, obs), standard_errors(mx.fit(mx.Model(2), scaled, start=other, **TIGHT), scaled)
    np.testing.assert_allclose(two.means / scale, one.means, rtol=1e-5)
    np.testing.assert_allclose(two.covariances / (scale[:, None] * scale), one.covariances, rtol=1e-5)


def coverage(make, truth, numbers, runs=200):
    """Share of 95 % intervals that hold the truth, for every number, and pooled."""
    hits = []
    for seed in range(runs):
        rows, start = make(np.random.default_rng(seed))
        fit = mx.fit(mx.Model(2), rows, start=start, workers=1)
        low, high = standard_errors(fit, rows, workers=1).interval(numbers)
        hits.append((low <= truth) & (truth <= high))
    return np.mean(hits, axis=0)


def test_intervals_cover_the_truth():
    truth = mx.Mixture([0.6, 0.4], [[0.0], [5.0]], [[[1.0]], [[0.5]]])

    def make(rng):
        v, _ = truth.sample(300, rng=rng)
        sigma = rng.uniform(0.2, 0.8, size=v.shape)
        return mx.Observations(v + sigma * rng.normal(size=v.shape), mx.noise.from_errors(sigma)), truth

    def numbers(mixture):
        return np.array([
            np.log(mixture.weights[0] / mixture.weights[1]), *mixture.means[:, 0], *np.log(mixture.covariances[:, 0, 0])
        ])  # fmt: skip

    share = coverage(make, numbers(truth), numbers)
    assert (share > 0.91).all() and (share <= 0.99).all()
    assert 0.93 < share.mean() < 0.97


# --- where nothing is known ------------------------------------------------------------------------------------------


def quietly(fit, obs, **options):
    """Standard errors, and what was said of them."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = standard_errors(fit, obs, **options)
    assert all(warning.filename == __file__ for warning in said)
    return found, [str(warning.message) for warning in said]


def test_a_component_without_rows():
    x = two_clusters()
    start = mx.Mixture([0.4, 0.2, 0.4], [[0.0], [1e4], [6.0]], np.ones((3, 1, 1)))
    fit = mx.fit(mx.Model(3), x, start=start, **TIGHT)
    assert fit.outcome is mx.Outcome.EMPTY_COMPONENT
    whole = standard_errors(fit_two(x), x)
    for method in ("observed", "scores", "sandwich"):
        found, said = quietly(fit, x, method=method)
        assert len(said) == 1 and "weight of component 1" in said[0]
        for name in ("weights", "means", "covariances"):
            lost = np.isnan(getattr(found, name)).reshape(3, -1).all(axis=1)
            assert lost.tolist() == [False, True, False]
        value, error = found.of(lambda mixture: [mixture.weights[1], mixture.means[0, 0], mixture.means[1, 0]])
        assert np.isnan(error).tolist() == [True, False, True] and np.isfinite(value).all()
        if method == "observed":
            np.testing.assert_allclose(found.means[[0, 2]], whole.means, rtol=1e-5)
            np.testing.assert_allclose(found.weights[[0, 2]], whole.weights, rtol=1e-5)
    assert np.isnan(found.covariance_of(lambda mixture: mixture.means[:2, 0])).tolist() == [[False, True], [True, True]]


def test_a_class_that_no_row_is_in():
    """A well without positives: its rate stands at its edge, the other's is as it was."""
    rng = np.random.default_rng(1)
    groups = np.repeat(["none", "some"], 300)
    x = rng.normal(size=600) + 20.0 * ((groups == "some") & (rng.random(600) < 0.4))
    obs = mx.Observations(x[:, None], groups=groups)
    fit = fit_two(obs, mx.Model(2, weights=mx.weights.Poisson(), covariance="tied"))
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "less than half a row" in said[0]
    assert np.isnan(found.rates).tolist() == [True, False]
    assert np.isnan(found.weights).tolist() == [[True, True], [False, False]]
    assert found.rates[1] == pytest.approx(np.sqrt(np.expm1(fit.mixture.rates[1]) / 300), rel=1e-6)
    assert np.isfinite(found.means).all()


def test_a_covariance_at_its_floor():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 2)) * [1.0, 0.1]
    fit, obs = one_gaussian(x, floor=0.05, covariance="diag")
    assert fit.mixture.covariances[0, 1, 1] == pytest.approx(0.05)
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "lies at its floor" in said[0]
    assert np.isnan(found.covariances[0]).tolist() == [[False, False], [False, True]]
    assert found.covariances[0, 0, 0] == pytest.approx(fit.mixture.covariances[0, 0, 0] * np.sqrt(2 / 300), rel=1e-6)
    np.testing.assert_array_equal(found.covariances[0, 0, 1], 0.0)


def discrete(rng, n=400, spread=0.0):
    """Two types, blurred by errors that are known."""
    sigma = rng.uniform(0.5, 1.5, size=(n, 1))
    types = np.where(rng.random((n, 1)) < 0.5, 0.0, 8.0)
    return mx.Observations(types + sigma * rng.normal(size=(n, 1)) * (1 - spread), mx.noise.from_errors(sigma))


def test_a_covariance_without_spread_under_noise():
    obs = discrete(np.random.default_rng(3))
    start = mx.Mixture([0.5, 0.5], [[0.0], [8.0]], np.zeros((2, 1, 1)))
    held = mx.fit(mx.Model(2, frozen=mx.Frozen(covariances=True)), obs, start=start, **TIGHT)
    fit = replace(held, model=mx.Model(2, covariance="tied"))
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "no spread" in said[0]
    assert np.isnan(found.covariances).all()
    fixed = standard_errors(held, obs)
    np.testing.assert_allclose(found.means, fixed.means, rtol=1e-8)
    np.testing.assert_allclose(found.weights, fixed.weights, rtol=1e-8)


def test_one_true_value_behind_all_rows():
    rng = np.random.default_rng(10)
    sigma = rng.uniform(0.5, 1.5, size=(200, 1))
    obs = mx.Observations(3.0 + sigma * rng.normal(size=(200, 1)), mx.noise.from_errors(sigma))
    mixture = mx.Mixture([1.0], [[np.average(obs.x, weights=sigma**-2)]], [[[0.0]]])
    fit = replace(
        one_gaussian(two_clusters(n=200))[0],
        model=mx.Model(1, frozen=mx.Frozen(covariances=True)),
        mixture=mixture,
        log_likelihood=expect(mixture, obs).log_likelihood,
    )
    assert standard_errors(fit, obs).means[0, 0] == pytest.approx(np.sum(sigma**-2) ** -0.5, rel=1e-8)
    found, said = quietly(replace(fit, model=mx.Model(1)), obs)
    assert len(said) == 1 and np.isnan(found.covariances).all()
    assert found.means[0, 0] == pytest.approx(np.sum(sigma**-2) ** -0.5, rel=1e-8)


def test_a_spread_that_shrinks_to_nothing_under_noise():
    """Rows that scatter less than their errors: the climb stops near zero spread, and there is no error of it."""
    obs = discrete(np.random.default_rng(4), spread=0.2)
    held = mx.Model(2, frozen=mx.Frozen(covariances=True))
    start = mx.fit(held, obs, start=mx.Mixture([0.5, 0.5], [[0.0], [8.0]], np.full((2, 1, 1), 1e-6)), **TIGHT).mixture
    fit = mx.fit(mx.Model(2, covariance="tied"), obs, start=start, tol=1e-6)
    assert 0 < fit.mixture.covariances[0, 0, 0] < 1e-5
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "tend to an edge" in said[0]
    assert np.isnan(found.covariances).all() and np.isfinite(found.means).all()


def test_a_background_without_rows():
    x = np.random.default_rng(8).normal(size=(20_000, 1))
    fit, obs = one_gaussian(x, background=mx.UniformBackground([-8.0], [8.0], weight=0.01), tol=1e-6)
    assert 0 < fit.mixture.background.weight < 1e-3
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "background" in said[0]
    assert np.isnan(found.background)
    assert found.means[0, 0] == pytest.approx(np.sqrt(fit.mixture.covariances[0, 0, 0] / 20_000), rel=1e-2)


def test_a_dimension_that_no_row_measures():
    rng = np.random.default_rng(5)
    view = np.array([[1.0, 0.0]])
    obs = mx.Observations(rng.normal(size=(200, 1)), projection=view)
    start = mx.Mixture([1.0], [[0.0, 0.0]], np.eye(2)[None])
    fit = mx.fit(mx.Model(1), obs, start=start, **TIGHT)
    found, said = quietly(fit, obs)
    assert said == ["some standard errors are NaN: the rows do not tell means and covariances of component 0"]
    assert np.isnan(found.means).tolist() == [[False, True]]
    assert np.isnan(found.covariances).tolist() == [[[False, True], [True, True]]]
    assert found.means[0, 0] == pytest.approx(np.sqrt(fit.mixture.covariances[0, 0, 0] / 200), rel=1e-6)


def test_a_ladder_that_could_carry_the_level_of_the_offsets():
    rng = np.random.default_rng(6)
    groups = np.repeat([0, 1], 150)
    x = (rng.normal(size=300) + 6.0 * (rng.random(300) < 0.5) + groups)[:, None]
    obs = mx.Observations(x, groups=groups)
    ladder = mx.means.Ladder(np.stack([np.ones(2), np.arange(2)], axis=-1)[:, None, :])
    fit = fit_two(obs, mx.Model(2, means=ladder, offsets="group", covariance="tied"))
    found, said = quietly(fit, obs)
    assert len(said) == 1 and "the rows do not tell means and offsets of components 0, 1" in said[0]
    assert np.isnan(found.means).all() and np.isnan(found.offsets).all()
    assert np.isnan(found.theta).tolist() == [True, False]
    value, error = found.of(lambda mixture: mixture.means[0] + mixture.offsets)
    assert np.isfinite(error).all() and (error < 0.2).all() and value.shape == (2, 1)


def test_a_ladder_with_a_number_too_many():
    x = two_clusters()
    ladder = mx.means.Ladder(np.array([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]))
    fit = fit_two(x, mx.Model(2, means=ladder))
    found, said = quietly(fit, x)
    assert len(said) == 1 and "theta" in said[0]
    assert np.isnan(found.theta).tolist() == [True, True, False]
    np.testing.assert_allclose(found.means, standard_errors(fit_two(x), x).means, rtol=1e-6)


def test_a_saddle_is_no_maximum():
    """Two components at one place: nothing tells them apart, and the objective rises where they part."""
    x = np.random.default_rng(7).normal(size=(200, 1)) + 3.0 * np.repeat([0, 1], 100)[:, None]
    single, _ = one_gaussian(x)
    start = mx.Mixture([0.5, 0.5], np.repeat(single.mixture.means, 2, axis=0), np.repeat(single.covariances, 2, axis=0))
    fit = mx.fit(mx.Model(2), x, start=start, tol=1e-9)
    found, said = quietly(fit, x)
    assert len(said) == 1 and "the fit is no maximum in" in said[0]
    assert np.isnan(found.means).all()
    middle = found.of(lambda mixture: mixture.weights @ mixture.means)[1]
    np.testing.assert_allclose(middle, standard_errors(single, x).means[0], rtol=1e-6)


def test_a_fit_that_stopped_early_says_so():
    x = two_clusters(apart=2.0, n=2000)
    with pytest.warns(mx.ConvergenceWarning):
        fit = fit_two(x, max_iter=5)
    _, said = quietly(fit, x)
    assert any("nats to go" in sentence for sentence in said)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_other_rows_are_refused():
    x = two_clusters()
    fit = fit_two(x)
    for other in (x[:-1], x + 1e-3, mx.Observations(x, row_weights=np.full(400, 2.0))):
        with pytest.raises(mx.DataError, match="these are not the rows of the fit"):
            standard_errors(fit, other)
    with pytest.raises(mx.DataError, match="1 dimensions"):
        standard_errors(fit, np.hstack([x, x]))


def test_what_is_no_fit_or_no_method_is_refused():
    x = two_clusters()
    fit = fit_two(x)
    with pytest.raises(mx.DataError, match=r"fit must be what mixsci\.fit returns, .* got Mixture"):
        standard_errors(fit.mixture, x)
    with pytest.raises(
        mx.DataError, match="method must be one of 'observed', 'scores', 'sandwich', 'auto'; got 'fast'"
    ):
        standard_errors(fit, x, method="fast")
    found = standard_errors(fit, x)
    for level in (0.0, 1.0, 95):
        with pytest.raises(mx.DataError, match="level must lie between 0 and 1"):
            found.interval(lambda mixture: mixture.means, level=level)
    with pytest.raises(mx.DataError, match="what the function gives must be"):
        found.of(repr)


def test_rows_without_a_density_are_refused():
    x = two_clusters()
    fit = fit_two(x)
    flat = fit.mixture.evolve(covariances=np.zeros((2, 1, 1)))
    with pytest.raises(mx.DataError, match="component 0 has none for 400 rows"):
        standard_errors(replace(fit, mixture=flat), x)


def test_directions_join_in_order():
    one = Directions(np.ones((1, 2)), np.zeros((1, 3)))
    both = Directions.joined(one, Directions(np.zeros((2, 2)), np.ones((2, 3))))
    assert len(both) == 3
    np.testing.assert_array_equal(both.combine(np.eye(3)[:, [2]]).numbers, np.ones((1, 3)))


def test_a_table_has_errors_beside_the_numbers():
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"a": rng.normal(3.0, 2.0, 400), "b": rng.normal(0.0, 1.0, 400)})
    fit = mx.fit(mx.Model(1), x, rng=0)
    sure, again = mx.standard_errors(fit, x), mx.bootstrap(fit, x, 200, rng=0)
    for table in (sure.summary(), again.summary()):
        assert list(table)[:4] == ["weight", "weight_error", "a", "a_error"]
        assert table["a_error"][0] == pytest.approx(2.0 / 20, rel=0.15)
        assert table["sd(b)_error"][0] == pytest.approx(1.0 / np.sqrt(800), rel=0.15)
    pd.testing.assert_frame_equal(sure.summary()[list(fit.summary())], fit.summary())


def test_estimators_and_selections_stand_for_their_fits():
    x = np.random.default_rng(0).normal(size=(60, 1))
    estimator = mx.GaussianMixture(1, random_state=0).fit(x)
    selection = mx.select(x, [1], "full", starts=1, rng=0)
    for found in (estimator, selection):
        assert mx.standard_errors(found, x).means == pytest.approx(x.std() / np.sqrt(60), rel=1e-3)
        assert len(mx.bootstrap(found, x, 2, rng=0).mixtures) == 2
        assert mx.diagnose(found, x).rows == pytest.approx([60.0])
        assert mx.tails(found, 1.0).probability > 0
    with pytest.raises(mx.DataError, match="a fitted estimator or a selection; got GaussianMixture"):
        mx.standard_errors(mx.GaussianMixture(), x)


def test_functions_that_are_none_are_refused():
    x = np.random.default_rng(0).normal(size=(60, 1))
    sure = mx.standard_errors(mx.fit(mx.Model(1), x), x)
    with pytest.raises(mx.DataError, match="a function of a mixture is needed"):
        sure.of(3)
    with pytest.raises(mx.DataError, match="it gives NaN"):
        sure.of(lambda mixture: np.nan * mixture.means)
    for n in (0, 3, 2.0, "a"):
        with pytest.raises(mx.DataError, match="n must be a power of 2"):
            sure.draws(n)
