"""Laws of the climb: it never falls, its sums are the score, it ends where brute force ends, however it is run."""

from __future__ import annotations

import itertools
import pickle
import warnings
from dataclasses import fields

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.em import steps
from mixsci.engine.em.stopping import aitken_gap
from tests import oracles
from tests.problems import Problem, draw_rows, random_covariances, random_problem

PROBLEMS = 200
STATES = 15
#: The fit is stopped before its end on purpose.
ENDS_EARLY = pytest.mark.filterwarnings("ignore::mixsci.errors.ConvergenceWarning")


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
    ("none", "none", 0),
    ("none", "none", 2),
    ("shared", "none", 0),
    ("errors", "none", 2),
    ("full", "none", 0),
    ("full", "shared", 2),
    ("errors", "rows", 0),
    ("full", "rows", 2),
]


@pytest.mark.parametrize(("noise", "projection", "groups"), SCORES)
def test_stats_are_the_score(noise, projection, groups):
    rng = np.random.default_rng(3)
    means = rng.normal(size=(2, 2)) * 2
    obs, _ = draw_rows(rng, means, n=40, noise=noise, projection=projection, groups=groups, gaps=0.2, row_weights=True)
    weights = rng.dirichlet(np.full(2, 9.0), size=groups) if groups else rng.dirichlet(np.full(2, 9.0))
    covariances = random_covariances(rng, 2, 2)
    offsets = rng.normal(size=(groups, 2)) if groups else None
    mixture = mx.Mixture(weights, means, covariances, offsets=offsets, group_labels=obs.group_labels)
    stats = mx.expect(mixture, obs)

    def close(got, expected):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(stats.F).max())

    g = stats.g if groups else stats.g[None]
    close(
        g.sum(axis=0),
        oracles.gradient(lambda m: oracles.dense_log_likelihood(obs, weights, m, covariances, offsets), means),
    )
    slope = oracles.gradient(
        lambda s: oracles.dense_log_likelihood(obs, weights, means, (s + s.transpose(0, 2, 1)) / 2, offsets),
        covariances,
    )
    close(stats.H / 2, slope)
    close(
        stats.counts / weights,
        oracles.gradient(lambda w: oracles.dense_log_likelihood(obs, w, means, covariances, offsets), weights),
    )
    if groups:
        close(
            g.sum(axis=1),
            oracles.gradient(lambda b: oracles.dense_log_likelihood(obs, weights, means, covariances, b), offsets),
        )


def test_stats_of_blocks_add():
    rng = np.random.default_rng(5)
    obs, _ = draw_rows(rng, rng.normal(size=(3, 2)), n=200, noise="full", gaps=0.3)
    mixture = mx.Mixture([0.2, 0.3, 0.5], rng.normal(size=(3, 2)), random_covariances(rng, 3, 2))
    whole, parts = (
        mx.expect(mixture, obs),
        mx.expect(mixture, obs.take(slice(0, 70))) + mx.expect(mixture, obs.take(slice(70, None))),
    )
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
    _, height = oracles.climb(
        lambda v: oracles.dense_log_likelihood(obs, *unpack(v)), at + 0.05 * rng.normal(size=at.shape)
    )
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
    assert (
        np.abs(
            (fit.mixture.means[order] - means - level) / np.sqrt(np.diagonal(np.linalg.inv(F), axis1=1, axis2=2))
        ).max()
        < 4
    )


@pytest.mark.parametrize("prior_sd", [None, 0.5])
def test_grouped_optimum_is_that_of_brute_force(prior_sd):
    obs, _, _, means = grouped_rows(np.random.default_rng(2), groups=3, rows=40, gaps=0.2)
    model = mx.Model(2, covariance="tied_spherical", offsets=mx.Offsets(prior_sd))
    fit = mx.fit(model, obs, rng=0, tol=1e-11)

    def unpack(v):
        return (
            oracles.softmax(v[:3, None]),
            v[3:7].reshape(2, 2),
            np.exp(v[7]) * np.tile(np.eye(2), (2, 1, 1)),
            v[8:].reshape(3, 2),
        )

    def objective(v):
        weights, mean, covariance, offset = unpack(v)
        prior = 0.0 if prior_sd is None else -0.5 * np.sum((offset / prior_sd) ** 2)
        return oracles.dense_log_likelihood(obs, weights, mean, covariance, offset) + prior

    _, height = oracles.climb(objective, np.concatenate([np.zeros(3), means.ravel(), np.zeros(7)]))
    assert fit.converged
    assert fit.objective == pytest.approx(height, abs=1e-6)


# --- however it is run -----------------------------------------------------------------------------------------------


@ENDS_EARLY
@pytest.mark.parametrize("groups", [0, 3])
def test_the_result_does_not_depend_on_the_number_of_threads(groups):
    rng = np.random.default_rng(4)
    n = 9000
    x = clusters(rng, n)
    x[rng.random(x.shape) < 0.1] = np.nan
    labels = rng.integers(groups, size=n) if groups else None
    obs = mx.Observations(x, mx.noise.from_errors(rng.uniform(0.1, 0.5, size=x.shape)), groups=labels)
    model = mx.Model(3, offsets="group" if groups else None)
    assert len(list(obs.blocks())) >= 4
    fits = [mx.fit(model, obs, rng=1, starts=2, max_iter=6, tol=1e-300, workers=workers) for workers in (1, 2, 3)]
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
    units = scale[:, None] * scale
    np.testing.assert_allclose(b.mixture.weights, a.mixture.weights, rtol=1e-5)
    np.testing.assert_allclose(b.mixture.means / scale, a.mixture.means, rtol=1e-4)
    np.testing.assert_allclose(b.mixture.covariances / units, a.mixture.covariances, rtol=1e-3, atol=1e-4)
    assert abs(b.n_iter - a.n_iter) <= 5


@pytest.mark.parametrize("power", [-27, 27, (-27, 27)])
def test_scaling_by_powers_of_two_changes_no_digit_of_a_pass(power):
    """Such a scale rounds nothing, so plain EM must go the very same way."""
    rng = np.random.default_rng(1)
    x, scale = clusters(rng), np.broadcast_to(np.exp2(power), 2)
    start = mx.Mixture([0.3, 0.3, 0.4], rng.normal(size=(3, 2)), np.tile(np.eye(2), (3, 1, 1)))
    scaled = mx.Mixture(start.weights, start.means * scale, start.covariances * scale[:, None] * scale)
    for _ in range(5):
        start, _ = mx.em_step(mx.Model(3), start, x)
        scaled, _ = mx.em_step(mx.Model(3), scaled, x * scale)
    np.testing.assert_allclose(scaled.weights, start.weights, rtol=1e-12)
    np.testing.assert_allclose(scaled.means / scale, start.means, rtol=1e-12)
    np.testing.assert_allclose(scaled.covariances / scale[:, None] / scale, start.covariances, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("means", ["offsets", "ladder"])
def test_columns_in_very_different_units_all_move(means):
    """The information form inverts covariances: the small column must not pass for one without spread."""
    rng = np.random.default_rng(4)
    x = np.array([[-3.0, -3.0], [3.0, 3.0]])[rng.integers(2, size=300)] + rng.normal(size=(300, 2))
    groups = rng.integers(3, size=300)
    x += 2.0 * rng.normal(size=(3, 2))[groups]
    found = []
    for scale in (np.ones(2), np.array([1e-8, 1e8])):
        design = np.stack([np.eye(2), -np.eye(2)]) * scale[:, None]
        model = mx.Model(
            2,
            offsets="group" if means == "offsets" else None,
            means="free" if means == "offsets" else mx.means.Ladder(design),
        )
        start = mx.Mixture(
            [0.5, 0.5], np.array([[-2.0, -2.0], [2.0, 2.0]]) * scale, np.tile(np.diag(scale**2), (2, 1, 1))
        )
        rows = mx.Observations(x * scale, groups=groups if means == "offsets" else None)
        found.append(mx.fit(model, rows, start=start, tol=1e-9).mixture.means / scale)
    np.testing.assert_allclose(found[1], found[0], atol=1e-3)


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
        return mx.Observations(
            x[rows], mx.noise.from_errors(sigma[rows]), groups=None if codes is None else codes[rows]
        )

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
    x = 6.0 * np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])[rng.integers(3, size=600)] + rng.normal(size=(600, 2))
    source = mx.from_blocks(lambda: iter([x[:250], x[250:]]))
    a, b = mx.fit(mx.Model(3), x, rng=0, tol=1e-10), mx.fit(mx.Model(3), source, rng=0, tol=1e-10)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-5)


# --- stopping, interruption, resumption ------------------------------------------------------------------------------


def interrupt_in_pass(monkeypatch, number):
    """Ctrl-C is pressed in pass `number`, the 12 of the first look included; the list returned counts the passes."""
    passes, expect = [], steps.expect

    def pressed(*args, **kwargs):
        passes.append(1)
        if len(passes) == number:
            raise KeyboardInterrupt
        return expect(*args, **kwargs)

    monkeypatch.setattr(steps, "expect", pressed)
    return passes


def test_ctrl_c_returns_the_best_mixture_so_far(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    start = mx.Mixture([0.5, 0.5], [[-0.1, 0.0], [0.1, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    interrupt_in_pass(monkeypatch, 18)
    fit = mx.fit(mx.Model(2), x, start=start)
    assert fit.outcome is mx.Outcome.INTERRUPTED
    assert not fit.converged
    assert fit.log_likelihood == pytest.approx(oracles.log_likelihood(fit.mixture, mx.Observations(x)), rel=1e-10)
    assert fit.history[-1] == fit.objective


@pytest.mark.parametrize("number", [30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40])
def test_ctrl_c_while_starting_ends_the_fit(monkeypatch, number):
    """Whether it falls into a start or between two; the mixture returned has been looked at on all rows."""
    x = clusters(np.random.default_rng(0))
    passes = interrupt_in_pass(monkeypatch, number)
    fit = mx.fit(mx.Model(3), x, rng=0)
    assert fit.outcome is mx.Outcome.INTERRUPTED
    assert len(passes) == number + 1
    assert fit.log_likelihood == pytest.approx(oracles.log_likelihood(fit.mixture, mx.Observations(x)), rel=1e-10)


@ENDS_EARLY
@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("stops", [(5,), (2, 9)])
def test_a_resumed_fit_is_the_uninterrupted_one_bit_for_bit(tmp_path, accelerate, stops):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2)) + 3.0 * rng.integers(2, size=(300, 1))
    x[rng.random(x.shape) < 0.1] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors([0.3, 0.2]))
    settings = {"tol": 1e-8, "accelerate": accelerate, "starts": 2}
    whole = mx.fit(mx.Model(2), obs, rng=9, **settings)
    path = tmp_path / "fit.json"
    for stop in stops:
        part = mx.fit(mx.Model(2), obs, rng=9, max_iter=stop, checkpoint=path, **settings)
        assert part.outcome is mx.Outcome.MAX_ITER
    resumed = mx.fit(mx.Model(2), obs, rng=1234, checkpoint=path, **settings)
    assert whole.converged and whole.n_iter > max(stops)
    assert same(resumed.mixture, whole.mixture)
    assert (resumed.history, resumed.starts, resumed.n_iter) == (whole.history, whole.starts, whole.n_iter)
    assert (resumed.log_likelihood, resumed.gap, resumed.outcome) == (whole.log_likelihood, whole.gap, whole.outcome)
    assert not path.exists()


@ENDS_EARLY
def test_an_interrupted_fit_is_resumed_from_its_checkpoint(tmp_path, monkeypatch):
    x = clusters(np.random.default_rng(1), apart=1.0)
    start = mx.Mixture(np.full(3, 1 / 3), np.random.default_rng(2).normal(size=(3, 2)), np.tile(np.eye(2), (3, 1, 1)))
    whole = mx.fit(mx.Model(3), x, start=start, tol=1e-8)
    path = tmp_path / "fit.json"
    with monkeypatch.context() as patch:
        interrupt_in_pass(patch, 25)
        assert mx.fit(mx.Model(3), x, start=start, tol=1e-8, checkpoint=path).outcome is mx.Outcome.INTERRUPTED
    resumed = mx.fit(mx.Model(3), x, start=start, tol=1e-8, checkpoint=path)
    assert same(resumed.mixture, whole.mixture)
    assert resumed.history == whole.history


@ENDS_EARLY
def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    x = clusters(np.random.default_rng(0))
    path = tmp_path / "fit.json"
    mx.fit(mx.Model(3), x, rng=0, max_iter=2, tol=1e-12, checkpoint=path)
    with pytest.raises(mx.DataError, match="of another model, rows or start"):
        mx.fit(mx.Model(2), x, rng=0, checkpoint=path)
    with pytest.raises(mx.DataError, match="of another model, rows or start"):
        mx.fit(mx.Model(3), x[:-1], rng=0, checkpoint=path)


@pytest.mark.floors
def test_a_fit_that_runs_out_of_passes_says_so():
    with pytest.warns(mx.ConvergenceWarning, match="max_iter"):
        fit = mx.fit(mx.Model(3), clusters(np.random.default_rng(0), apart=0.5), rng=0, max_iter=3, tol=1e-12)
    assert (fit.outcome, fit.n_iter, fit.converged) == (mx.Outcome.MAX_ITER, 3, False)


def test_the_estimated_gap_is_that_of_a_longer_climb():
    """Within a factor of ten, for plain EM (Aitken) and accelerated."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 1)) + 2.5 * rng.integers(2, size=(500, 1))
    start = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], np.ones((2, 1, 1)))
    best = mx.fit(mx.Model(2), x, start=start, tol=1e-13).objective
    for accelerate in (False, True):
        fit = mx.fit(mx.Model(2), x, start=start, tol=1e-6, accelerate=accelerate)
        assert fit.gap <= 1e-6 * len(x)
        assert best - fit.objective <= 10 * max(fit.gap, 1e-9)


def test_aitken_knows_a_geometric_series():
    series = 5.0 - 2.0 * 0.7 ** np.arange(12)
    assert aitken_gap(series) == pytest.approx(2.0 * 0.7**11)
    assert aitken_gap(series, window=3) == pytest.approx(2.0 * 0.7**11)
    assert aitken_gap([0.0, 1.0, 3.0]) == np.inf


# --- components that empty or collapse -------------------------------------------------------------------------------

COLLAPSES = {
    "two points": (np.repeat([[0.0, 1.0], [5.0, -2.0]], 15, axis=0), 2),
    "a cluster of one point": (np.vstack([np.random.default_rng(0).normal(size=(30, 2)), [[1e8, 1e8]]]), 2),
    "many components": (np.random.default_rng(1).normal(size=(30, 2)), 12),
    "as many as rows": (np.random.default_rng(1).normal(size=(6, 2)), 6),
    "repeated rows": (np.vstack([np.random.default_rng(0).normal(size=(40, 2)), np.full((12, 2), 6.0)]), 2),
    "collinear": (np.random.default_rng(2).normal(size=(50, 1)) * [1.0, 2.0], 2),
    "two rows": (np.array([[0.0, 0.0], [1.0, 2.0]]), 1),
}


@ENDS_EARLY
@pytest.mark.parametrize("case", COLLAPSES)
def test_a_collapse_is_an_outcome_not_an_error(case):
    x, k = COLLAPSES[case]
    fit = mx.fit(mx.Model(k), x, rng=0)
    for value in (fit.mixture.weights, fit.mixture.means, fit.mixture.covariances, fit.log_likelihood, fit.entropy):
        assert np.isfinite(value).all()
    assert fit.outcome in {mx.Outcome.COLLAPSED, mx.Outcome.CONVERGED, mx.Outcome.EMPTY_COMPONENT}


@pytest.mark.parametrize("case", COLLAPSES)
@pytest.mark.parametrize("help_", ["floor", "prior", "noise"])
def test_floor_prior_and_noise_prevent_a_collapse(case, help_):
    x, k = COLLAPSES[case]
    noise = mx.noise.from_errors([0.1, 0.1]) if help_ == "noise" else None
    model = mx.Model(
        k, floor=1e-3 if help_ == "floor" else 0.0, prior=mx.prior.InverseWishart() if help_ == "prior" else None
    )
    fit = mx.fit(model, mx.Observations(x, noise), rng=0, starts=3)
    assert fit.converged
    assert np.isfinite(fit.mixture.covariances).all()
    np.testing.assert_allclose(
        fit.log_likelihood, oracles.log_likelihood(fit.mixture, mx.Observations(x, noise)), rtol=1e-8
    )


def test_an_empty_component_is_named():
    x = np.random.default_rng(0).normal(size=(200, 1))
    start = mx.Mixture([0.5, 0.5], [[0.0], [1e4]], [[[1.0]], [[1.0]]])
    fit = mx.fit(mx.Model(2), x, start=start)
    assert fit.outcome is mx.Outcome.EMPTY_COMPONENT
    assert fit.converged
    np.testing.assert_allclose(fit.mixture.weights, [1.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_a_free_covariance_without_spread_does_not_stand_still(spread):
    """EM never leaves a direction without spread: such a start would pass for converged."""
    rng = np.random.default_rng(0)
    x = 4.0 * rng.integers(2, size=(400, 1)) + spread * rng.normal(size=(400, 1)) + rng.normal(size=(400, 1))
    obs = mx.Observations(x, mx.noise.from_errors([1.0]))
    flat = mx.Mixture([0.5, 0.5], [[0.8], [4.8]], np.zeros((2, 1, 1)))
    wide = mx.Mixture([0.5, 0.5], [[0.0], [4.0]], np.ones((2, 1, 1)))
    found, wanted = (mx.fit(mx.Model(2), obs, start=start, tol=1e-9) for start in (flat, wide))
    assert found.converged
    assert found.log_likelihood == pytest.approx(wanted.log_likelihood, abs=1e-3)


def test_a_start_is_brought_to_what_the_model_allows():
    rng = np.random.default_rng(1)
    obs = mx.Observations(rng.normal(size=(80, 2)), groups=np.arange(80) % 2)
    start = mx.Mixture([0.4, 0.6], [[-1.0, 0.0], [1.0, 0.5]], [[[2.0, 0.5], [0.5, 1.0]], np.eye(2)])
    model = mx.Model(
        2, covariance="tied_spherical", floor=0.2, offsets="group", means=mx.means.Fixed([[-1, 0], [1, 0]])
    )
    states = list(itertools.islice(mx.iterate(model, obs, start=start), 12))
    first = states[0].mixture
    np.testing.assert_allclose(first.covariances[0], first.covariances[1])
    np.testing.assert_array_equal(first.means, [[-1, 0], [1, 0]])
    assert first.offsets.shape == (2, 2)
    objectives = [state.objective for state in states]
    assert (np.diff(objectives) >= -1e-9 * abs(objectives[0])).all()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)], group_labels=("a",)), "differs by group"),
        (
            mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)], background=mx.UniformBackground([0, 0], [1, 1])),
            "has a background",
        ),
        (mx.Mixture([1.0], [[0.0]], [[[1.0]]]), "2 dimensions"),
    ],
)
def test_a_start_with_what_the_model_lacks_is_refused(start, message):
    x = np.random.default_rng(0).normal(size=(20, 2))
    for call in (lambda: mx.fit(mx.Model(1), x, start=start), lambda: next(mx.iterate(mx.Model(1), x, start=start))):
        with pytest.raises(mx.DataError, match=message):
            call()


def test_iterate_ends_with_a_warning_where_a_component_collapses():
    x = np.vstack([np.random.default_rng(0).normal(size=(30, 2)), [[100.0, 100.0]]])
    start = mx.Mixture([0.9, 0.1], [[0.0, 0.0], [100.0, 100.0]], np.tile(np.eye(2), (2, 1, 1)))
    with pytest.warns(mx.ConvergenceWarning, match="component 1"):
        states = list(itertools.islice(mx.iterate(mx.Model(2), x, start=start), 50))
    assert all(np.isfinite(state.objective) for state in states)


def test_rows_that_weigh_nothing_leave_the_start_as_it_was():
    x = np.random.default_rng(0).normal(size=(20, 2))
    start = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [1.0, 1.0]], np.tile(np.eye(2), (2, 1, 1)))
    mixture, stats = mx.em_step(mx.Model(2), start, mx.Observations(x, row_weights=np.zeros(20)))
    assert same(mixture, start)
    assert (stats.log_likelihood, stats.row_weight) == (0.0, 0.0)


# --- split and merge -------------------------------------------------------------------------------------------------


def test_split_and_merge_leaves_a_poor_optimum():
    """Two components on one cluster and one on two: the trap of Ueda et al."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-10, 1, (200, 2)), rng.normal(10, 1, (200, 2)), rng.normal(14, 1, (200, 2))])
    start = mx.Mixture(
        np.full(3, 1 / 3), [[-11.0, -10], [-9.0, -10], [12.0, 12]], np.tile(np.eye(2), (3, 1, 1)) * [1, 1]
    )
    stuck = mx.fit(mx.Model(3), x, start=start)
    freed = mx.fit(mx.Model(3), x, start=start, split_and_merge=True, rng=0)
    best = mx.fit(mx.Model(3), x, rng=0)
    assert stuck.objective < best.objective - 10
    assert freed.objective == pytest.approx(best.objective, abs=1e-2)
    assert freed.history[-1] == freed.objective


def test_split_and_merge_refuses_what_cannot_be_rearranged():
    with pytest.raises(mx.DataError, match="split_and_merge"):
        mx.fit(mx.Model(2), np.random.default_rng(0).normal(size=(50, 2)), split_and_merge=True)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tol": 0.0}, "tol must be positive"),
        ({"tol": float("nan")}, "tol must be finite"),
        ({"max_iter": 0}, "max_iter must be a whole number"),
        ({"starts": 0}, "starts must be a whole number"),
        ({"workers": 0}, "workers must be a number of threads"),
        ({"start": "kmeans"}, "start must be a Mixture"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(mx.DataError, match=message):
        mx.fit(mx.Model(1), np.random.default_rng(0).normal(size=(20, 1)), **settings)


# --- the fit as a value ----------------------------------------------------------------------------------------------


def test_a_fit_knows_its_criteria():
    rng = np.random.default_rng(0)
    obs, _ = draw_rows(rng, np.array([[0.0, 0.0], [4.0, 4.0]]), n=120, noise="full", gaps=0.2, row_weights=True)
    fit = mx.fit(mx.Model(2), obs, rng=0)
    weights = oracles.row_weights(obs)
    r = fit.responsibilities(obs)
    entropy = -float(weights @ np.where(r > 0, r * np.log(np.maximum(r, 1e-300)), 0.0).sum(axis=1))
    assert fit.n == weights.sum() and fit.n_rows == len(obs)
    assert fit.entropy == pytest.approx(entropy, rel=1e-8)
    assert fit.bic == -2 * fit.log_likelihood + 11 * np.log(fit.n)
    assert fit.aic == -2 * fit.log_likelihood + 22
    assert fit.icl == fit.bic + 2 * fit.entropy


def test_components_come_by_falling_weight_unless_ordered():
    x = np.concatenate(
        [np.random.default_rng(0).normal(m, 1, (n, 1)) for m, n in ((0.0, 50), (10.0, 200), (20.0, 100))]
    )
    assert np.all(np.diff(mx.fit(mx.Model(3), x, rng=0).mixture.weights) < 0)
    start = mx.Mixture(np.full(3, 1 / 3), [[0.0], [10.0], [20.0]], np.ones((3, 1, 1)))
    np.testing.assert_allclose(mx.fit(mx.Model(3), x, start=start).mixture.means.ravel(), [0, 10, 20], atol=0.5)


def test_fits_pickle_and_say_little():
    fit = mx.fit(mx.Model(2), clusters(np.random.default_rng(0), k=2), rng=0)
    again = pickle.loads(pickle.dumps(fit))
    assert same(again.mixture, fit.mixture)
    assert again.history == fit.history
    assert len(repr(fit)) < 120 and len(repr(fit.model)) < 120 and len(repr(fit.mixture)) < 120
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = fit.nonsense
