"""Laws of the climb: it never falls, its sums are the score, it ends where brute force ends, however it is run."""

from __future__ import annotations

import itertools
import pickle
import warnings
from dataclasses import fields

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.em.stopping import aitken_gap
from mixsci.engine.observations import BLOCK_ROWS
from tests import oracles
from tests.problems import Problem, draw_rows, random_covariances, random_problem

PROBLEMS = 200
STATES = 15


def objectives(problem: Problem, *, accelerate: bool) -> np.ndarray:
    """The first objectives of a climb; fewer where a component collapses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.ConvergenceWarning)
        states = mx.iterate(problem.model, problem.obs, start=problem.start, accelerate=accelerate, workers=1)
        return np.array([state.objective for state in itertools.islice(states, STATES)])


def clusters(rng: np.random.Generator, n: int = 300, d: int = 2, k: int = 3, apart: float = 6.0) -> np.ndarray:
    """Rows of k round clusters."""
    return apart * rng.normal(size=(k, d))[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def same(a: mx.Mixture, b: mx.Mixture) -> bool:
    """Whether two mixtures are equal bit for bit."""
    names = ("weights", "means", "covariances", "rates", "theta", "offsets")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


# --- the objective never falls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, PROBLEMS, 10))
def test_the_objective_never_falls(first):
    """In every one of 200 random problems, to 1e-9 of its size, accelerated and not."""
    for seed in range(first, first + 10):
        problem = random_problem(seed)
        for accelerate in (False, True):
            path = objectives(problem, accelerate=accelerate)
            gains = np.diff(path) / np.maximum(1.0, np.abs(path[1:]))
            assert np.isfinite(path).all() and len(path) == STATES, str(problem)
            assert gains.min() >= -1e-9, f"{problem}, accelerate={accelerate}: {gains.min()}"


@pytest.mark.parametrize("seed", range(0, PROBLEMS, 8))
def test_what_is_frozen_comes_back_bit_for_bit(seed):
    problem = random_problem(seed)
    *_, last = itertools.islice(mx.iterate(problem.model, problem.obs, start=problem.start, workers=1), 8)
    for what in ("weights", "means", "covariances"):
        held = problem.model.mask(what)
        kept, given = getattr(last.mixture, what), getattr(problem.start, what)
        if what == "weights":
            kept, given = kept.T, given.T
        np.testing.assert_array_equal(kept[held], given[held])
    np.testing.assert_allclose(last.mixture.weights.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(last.mixture.covariances, last.mixture.covariances.transpose(0, 2, 1))


@pytest.mark.floors
def test_states_speak_of_their_own_mixture():
    problem = random_problem(7)
    for state in itertools.islice(mx.iterate(problem.model, problem.obs, start=problem.start), 4):
        assert state.log_likelihood == pytest.approx(oracles.log_likelihood(state.mixture, problem.obs), rel=1e-10)
        assert state.log_prior == problem.model.log_prior(state.mixture)
        assert state.objective == state.log_likelihood + state.log_prior


# --- the sums are the score ------------------------------------------------------------------------------------------

SCORES = [
    ("none", "none", 0), ("none", "none", 2), ("shared", "none", 0), ("errors", "none", 2), ("full", "none", 0),
    ("full", "shared", 2), ("errors", "rows", 0), ("full", "rows", 2),
]  # fmt: skip


@pytest.mark.parametrize(("noise", "projection", "groups"), SCORES)
def test_stats_are_the_score(noise, projection, groups):
    rng = np.random.default_rng(3)
    means = rng.normal(size=(2, 2)) * 2
    obs, _ = draw_rows(rng, means, n=40, noise=noise, projection=projection, groups=groups, gaps=0.2, row_weights=True)
    weights = rng.dirichlet(np.ones(2), size=groups) if groups else rng.dirichlet(np.ones(2))
    covariances = random_covariances(rng, 2, 2)
    offsets = rng.normal(size=(groups, 2)) if groups else None
    mixture = mx.Mixture(weights, means, covariances, offsets=offsets, group_labels=obs.group_labels)
    stats = mx.expect(mixture, obs)

    def close(got, expected):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(stats.F).max())

    g = stats.g if groups else stats.g[None]
    close(g.sum(axis=0), oracles.gradient(lambda m: oracles.dense_log_likelihood(obs, weights, m, covariances, offsets), means))
    slope = oracles.gradient(lambda s: oracles.dense_log_likelihood(obs, weights, means, (s + s.transpose(0, 2, 1)) / 2, offsets), covariances)
    close(stats.H / 2, slope)
    close(stats.counts / weights, oracles.gradient(lambda w: oracles.dense_log_likelihood(obs, w, means, covariances, offsets), weights))
    if groups:
        close(g.sum(axis=1), oracles.gradient(lambda b: oracles.dense_log_likelihood(obs, weights, means, covariances, b), offsets))


def test_stats_of_blocks_add():
    rng = np.random.default_rng(5)
    obs, _ = draw_rows(rng, rng.normal(size=(3, 2)), n=200, noise="full", gaps=0.3)
    mixture = mx.Mixture([0.2, 0.3, 0.5], rng.normal(size=(3, 2)), random_covariances(rng, 3, 2))
    whole, parts = mx.expect(mixture, obs), mx.expect(mixture, obs.take(slice(0, 70))) + mx.expect(mixture, obs.take(slice(70, None)))
    for field in fields(whole):
        np.testing.assert_allclose(getattr(parts, field.name), getattr(whole, field.name), rtol=1e-12, atol=1e-10)


# --- where it ends ---------------------------------------------------------------------------------------------------


def test_discrete_types_reach_their_optimum_from_08_away():
    """Without spread of their own (Sigma = 0, held) the latent step stands still; least squares does not."""
    rng = np.random.default_rng(0)
    truth = np.array([[-1.5, 0.0], [1.5, 0.5]])
    x = truth[rng.integers(2, size=400)] + rng.normal(size=(400, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    obs = mx.Observations(x, mx.noise.from_covariances(np.eye(2)))
    start = mx.Mixture([0.5, 0.5], truth + 0.8, np.zeros((2, 2, 2)))
    fit = mx.fit(mx.Model(2, frozen=mx.Frozen(covariances=True)), obs, start=start, tol=1e-12)

    def objective(v):
        return oracles.dense_log_likelihood(obs, oracles.softmax(v[:1]), v[1:].reshape(2, 2), np.zeros((2, 2, 2)))

    best, height = oracles.climb(objective, np.concatenate([[0.0], truth.ravel()]))
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(height, abs=1e-6)
    np.testing.assert_allclose(fit.mixture.means, best[1:].reshape(2, 2), atol=1e-4)
    assert not fit.mixture.covariances.any()


@pytest.mark.parametrize("accelerate", [False, True])
def test_a_free_fit_ends_at_the_brute_force_optimum(accelerate):
    rng = np.random.default_rng(8)
    means = np.array([[-2.0, 0.0], [2.0, 1.0]])
    obs, _ = draw_rows(rng, means, n=150, noise="full", gaps=0.2, row_weights=False)
    fit = mx.fit(mx.Model(2), obs, tol=1e-11, rng=0, accelerate=accelerate)
    rows, columns = np.tril_indices(2)

    def unpack(v):
        roots = np.zeros((2, 2, 2))
        roots[:, rows, columns] = v[5:].reshape(2, 3)
        return oracles.softmax(v[:1]), v[1:5].reshape(2, 2), roots @ roots.transpose(0, 2, 1)

    w, m = fit.mixture.weights, fit.mixture.means
    roots = np.linalg.cholesky(fit.mixture.covariances)[:, rows, columns]
    at = np.concatenate([[np.log(w[1] / w[0])], m.ravel(), roots.ravel()])
    _, height = oracles.climb(lambda v: oracles.dense_log_likelihood(obs, *unpack(v)), at + 0.05 * rng.normal(size=at.shape))
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(height, abs=1e-6)


def grouped_rows(rng, groups, rows, gaps):
    """Rows of groups that share two components and differ in weights and offsets, with noise and gaps."""
    means, covariances = np.array([[-3.0, 0.0], [3.0, 1.0]]), np.array([np.eye(2), [[1.0, 0.4], [0.4, 0.8]]])
    weights, offsets = rng.dirichlet([3.0, 3.0], size=groups), rng.normal(size=(groups, 2))
    codes = np.repeat(np.arange(groups), rows)
    label = (rng.random(len(codes)) > weights[codes, 0]).astype(int)
    v = means[label] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[label], rng.normal(size=(len(codes), 2)))
    sigma = rng.uniform(0.1, 0.8, size=v.shape)
    x = v + offsets[codes] + sigma * rng.normal(size=v.shape)
    x[rng.random(x.shape) < gaps] = np.nan
    return mx.Observations(x, mx.noise.from_errors(sigma), groups=codes), weights, offsets, means


def test_groups_recover_their_weights_and_offsets():
    """40 groups, 20 % gaps, noise: within 4 standard errors, the offsets' from F, the truth centred alike."""
    obs, weights, offsets, means = grouped_rows(np.random.default_rng(11), groups=40, rows=150, gaps=0.2)
    fit = mx.fit(mx.Model(2, offsets="group"), obs, rng=0, starts=4, tol=1e-9)
    order = np.argsort(fit.mixture.means[:, 0])
    stats = mx.expect(fit.mixture, obs)
    level = fit.mixture.group_rows @ offsets / fit.mixture.group_rows.sum()
    assert fit.converged
    assert np.diff(fit.history).min() >= -1e-9 * abs(fit.objective)
    np.testing.assert_allclose(fit.mixture.group_rows @ fit.mixture.offsets, 0.0, atol=1e-8 * len(obs))
    errors = np.sqrt(np.diagonal(np.linalg.inv(stats.F.sum(axis=1)), axis1=1, axis2=2))
    assert np.abs((fit.mixture.offsets - (offsets - level)) / errors).max() < 4
    n = fit.mixture.group_rows
    assert np.abs((fit.mixture.weights[:, order] - weights) / np.sqrt(weights * (1 - weights) / n[:, None])).max() < 4
    F = stats.F.sum(axis=0)[order]
    assert np.abs((fit.mixture.means[order] - means - level) / np.sqrt(np.diagonal(np.linalg.inv(F), axis1=1, axis2=2))).max() < 4


@pytest.mark.parametrize("prior_sd", [None, 0.5])
def test_grouped_optimum_is_that_of_brute_force(prior_sd):
    obs, _, _, means = grouped_rows(np.random.default_rng(2), groups=3, rows=40, gaps=0.2)
    model = mx.Model(2, covariance="tied_spherical", offsets=mx.Offsets(prior_sd))
    fit = mx.fit(model, obs, rng=0, tol=1e-11)

    def unpack(v):
        return oracles.softmax(v[:3, None]), v[3:7].reshape(2, 2), np.exp(v[7]) * np.tile(np.eye(2), (2, 1, 1)), v[8:].reshape(3, 2)

    def objective(v):
        weights, mean, covariance, offset = unpack(v)
        prior = 0.0 if prior_sd is None else -0.5 * np.sum((offset / prior_sd) ** 2)
        return oracles.dense_log_likelihood(obs, weights, mean, covariance, offset) + prior

    _, height = oracles.climb(objective, np.concatenate([np.zeros(3), means.ravel(), np.zeros(7)]))
    assert fit.converged
    assert fit.objective == pytest.approx(height, abs=1e-6)


# --- however it is run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [0, 3])
def test_the_result_does_not_depend_on_the_number_of_threads(groups):
    rng = np.random.default_rng(4)
    n = 2 * BLOCK_ROWS + 500
    x = clusters(rng, n)
    x[rng.random(x.shape) < 0.1] = np.nan
    labels = rng.integers(groups, size=n) if groups else None
    obs = mx.Observations(x, mx.noise.from_errors(rng.uniform(0.1, 0.5, size=x.shape)), groups=labels)
    model = mx.Model(3, offsets="group" if groups else None)
    fits = [mx.fit(model, obs, rng=1, starts=2, max_iter=6, tol=1e-300, workers=workers) for workers in QUIET((1, 2, 3))]
    assert all(same(fits[0].mixture, fit.mixture) for fit in fits)
    assert len({fit.history for fit in fits}) == 1
    r = [fits[0].responsibilities(obs, workers=workers) for workers in (1, 3)]
    np.testing.assert_array_equal(*r)


def test_a_seed_repeats_a_fit_and_other_seeds_differ():
    x = clusters(np.random.default_rng(0))
    model = mx.Model(3)
    assert same(mx.fit(model, x, rng=5).mixture, mx.fit(model, x, rng=5).mixture)
    assert mx.fit(model, x, rng=5).starts != mx.fit(model, x, rng=6).starts


@pytest.mark.parametrize("scale", [1e-8, 1e8, (1e-8, 1e8)])
def test_fit_is_equivariant_under_scale(scale):
    rng = np.random.default_rng(1)
    x = clusters(rng)
    x[rng.random(x.shape) < 0.1] = np.nan
    sigma, scale = rng.uniform(0.1, 0.6, size=x.shape), np.broadcast_to(scale, 2)
    a = mx.fit(mx.Model(3), mx.Observations(x, mx.noise.from_errors(sigma)), rng=2, tol=1e-9)
    b = mx.fit(mx.Model(3), mx.Observations(x * scale, mx.noise.from_errors(sigma * scale)), rng=2, tol=1e-9)
    np.testing.assert_allclose(b.mixture.weights, a.mixture.weights, rtol=1e-5)
    np.testing.assert_allclose(b.mixture.means, a.mixture.means * scale, rtol=1e-4)
    np.testing.assert_allclose(b.mixture.covariances, a.mixture.covariances * scale[:, None] * scale, rtol=1e-3, atol=1e-4 * scale.min() ** 2)
    assert b.n_iter == a.n_iter


def test_fit_is_equivariant_under_permutation_of_columns():
    rng = np.random.default_rng(2)
    x = clusters(rng, d=3)
    order = np.array([2, 0, 1])
    a, b = (mx.fit(mx.Model(3), rows, rng=3, tol=1e-10) for rows in (x, x[:, order]))
    assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-5)
    np.testing.assert_allclose(b.mixture.means, a.mixture.means[:, order], atol=1e-3)


@pytest.mark.parametrize("groups", [False, True])
def test_a_source_of_blocks_gives_the_same_sums(groups):
    rng = np.random.default_rng(6)
    x = clusters(rng, 700)
    x[rng.random(x.shape) < 0.2] = np.nan
    codes = rng.integers(3, size=700) if groups else None
    sigma = rng.uniform(0.1, 0.5, size=x.shape)

    def part(rows):
        return mx.Observations(x[rows], mx.noise.from_errors(sigma[rows]), groups=None if codes is None else codes[rows])

    source = mx.from_blocks(lambda: (part(slice(i, i + 100)) for i in range(0, 700, 100)))
    model = mx.Model(3, offsets="group" if groups else None)
    whole = mx.fit(model, part(slice(None)), rng=0, tol=1e-9)
    blocks = mx.fit(model, source, start=whole.mixture, tol=1e-9)
    a, b = mx.expect(whole.mixture, part(slice(None))), mx.expect(whole.mixture, source)
    for field in fields(a):
        np.testing.assert_allclose(getattr(b, field.name), getattr(a, field.name), rtol=1e-12, atol=1e-9)
    assert blocks.log_likelihood >= whole.log_likelihood - 1e-9
    assert (blocks.n, blocks.n_rows) == (whole.n, whole.n_rows)


def test_a_fit_from_blocks_alone_finds_what_a_fit_of_the_whole_finds():
    rng = np.random.default_rng(7)
    x = clusters(rng, 600)
    source = mx.from_blocks(lambda: iter([x[:250], x[250:]]))
    a, b = mx.fit(mx.Model(3), x, rng=0, tol=1e-10), mx.fit(mx.Model(3), source, rng=0, tol=1e-10)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-5)


# --- stopping, interruption, resumption ------------------------------------------------------------------------------


def QUIET(items):
    """The items, with convergence warnings switched off meanwhile: the fit is stopped early on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.ConvergenceWarning)
        yield from items


class Interrupting:
    """A source whose reader presses Ctrl-C in pass number `after`."""

    def __init__(self, x, after):
        self.x, self.after, self.passes = x, after, 0

    def blocks(self):
        self.passes += 1
        if self.passes > self.after:
            raise KeyboardInterrupt
        yield mx.Observations(self.x)
