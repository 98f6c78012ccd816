"""Mixtures of factors: exact against dense Gaussians, never falling, equivariant, and right about what is missing."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import FactorAnalysis

import mixsci as mx
from mixsci.engine.em.factor_begin import columns_of
from mixsci.engine.em.steps import climb, expect, ready, stats_of_block
from mixsci.engine.model.factor_frame import in_frame, moved, own_frame, principal, total_covariance
from mixsci.engine.model.factor_regression import regress
from mixsci.engine.model.factor_sums import factor_stats
from tests import oracles

Array = np.ndarray
FactorModel, Observations = mx.FactorModel, mx.Observations


@dataclass(frozen=True)
class Rows:
    """Rows of a mixture of factors, and what they were made from."""

    obs: mx.Observations
    whole: Array
    labels: Array
    truth: mx.FactorMixture


def rows(
    seed: int, n: int = 90, d: int = 8, q: int = 2, k: int = 3, *, gaps: float = 0.3, noisy: bool = False,
    groups: int = 0, own: bool = False, apart: float = 2.0, uneven: bool = False,
) -> Rows:  # fmt: skip
    """Rows of a random mixture, some values missing, perhaps with errors, in groups that shift them."""
    rng = np.random.default_rng(seed)
    shifts = rng.normal(size=(groups, d)) if groups else None
    truth = mx.FactorMixture(
        rng.dirichlet(np.full(k, 5.0)), apart * rng.normal(size=(k, q)), np.tile(np.eye(q), (k, 1, 1)),
        loadings=rng.normal(size=(k, d, q) if own else (d, q)), intercept=rng.normal(size=(k, d) if own else d),
        uniquenesses=rng.uniform(0.3, 1.5, size=d), shifts=shifts,
        group_labels=tuple(range(groups)) if groups else None,
    )  # fmt: skip
    codes = rng.integers(groups, size=n) if groups else None
    plain = replace(truth, shifts=None, group_labels=None, weights=truth.pooled_weights)
    whole, labels = plain.sample(n, rng=rng)
    if shifts is not None:
        whole = whole + shifts[codes]
    sigma = rng.uniform(0.2, 1.0, size=whole.shape)
    x = whole + (sigma * rng.normal(size=whole.shape) if noisy else 0.0)
    x[rng.random(x.shape) < gaps] = np.nan
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n) if uneven else None
    return Rows(
        Observations(x, mx.noise.from_errors(sigma) if noisy else None, row_weights=weights, groups=codes),
        whole, labels, truth,
    )  # fmt: skip


def refuse(sentence: str, function: Any, *args: Any, **settings: Any) -> None:
    with pytest.raises(mx.DataError, match=sentence):
        function(*args, **settings)


# The model, by name
KINDS = [
    {"covariance": "tied"}, {"covariance": "full"}, {"loadings": "own"}, {"covariance": "full", "offsets": "group"},
    {"weights": mx.weights.Free(dirichlet=2.0), "offsets": "group"}, {"weights": mx.weights.Free(shared=True)},
]  # fmt: skip


def random_problem(seed: int, prior: bool | None) -> tuple[mx.FactorModel, mx.Observations, mx.FactorMixture]:
    """A model, rows that it fits, and a start some way off."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    own, k = kind.get("loadings") == "own", int(rng.integers(1, 4))
    d, q = int(rng.integers(4, 9)), int(rng.integers(1, 4))
    grouped = not own and ("offsets" in kind or rng.random() < 0.3)
    made = rows(
        seed, int(rng.integers(30, 80)), d, q, k, gaps=float(rng.choice([0.0, 0.2, 0.6])),
        noisy=bool(rng.random() < 0.4), groups=int(rng.choice([2, 3])) if grouped else 0,
        uneven=bool(rng.random() < 0.3),
    )  # fmt: skip
    model = FactorModel(k, q, prior=prior, **kind)
    off = rng.normal(size=(k, d, q) if own else (d, q))
    start = mx.FactorMixture(
        np.full(k, 1.0 / k), rng.normal(size=(k, q)), np.tile(np.eye(q), (k, 1, 1)), loadings=off,
        intercept=np.zeros((k, d) if own else d), uniquenesses=np.full(d, 3.0),
    )  # fmt: skip
    model, start = ready(model, start, made.obs)
    return model, made.obs, start


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [True, None])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_log_likelihood_is_that_of_dense_gaussians(kind, noisy, prior):
    own = kind.get("loadings") == "own"
    made = rows(3, n=60, d=6, noisy=noisy, groups=0 if own else 3, own=own, uneven=True)
    fit = mx.fit(FactorModel(2, 2, prior=prior, **kind), made.obs, rng=0, starts=1)
    wanted = oracles.factor_log_likelihood(fit.mixture, made.obs)
    assert fit.log_likelihood == pytest.approx(wanted, rel=1e-12, abs=1e-8)
    terms = oracles.factor_log_terms(fit.mixture, made.obs)
    r = np.exp(terms - np.logaddexp.reduce(terms, axis=1, keepdims=True))
    np.testing.assert_allclose(fit.responsibilities(made.obs), r, atol=1e-10)
    np.testing.assert_array_equal(fit.predict(made.obs), fit.responsibilities(made.obs).argmax(axis=1))


def test_what_is_missing_is_filled_as_dense_gaussians_fill_it():
    made = rows(5, noisy=True, groups=2, n=40)
    fit = mx.fit(FactorModel(3, 2, offsets="group"), made.obs, rng=0, starts=2)
    for label in (0, 1):
        here = np.flatnonzero(made.obs.groups == label)
        part = Observations(made.obs.x[here], made.obs.noise[here])
        dense = fit.mixture.dense(group=label)
        for one, other in zip(fit.impute(made.obs.take(here)), dense.impute(part), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-8)


def test_scores_are_those_of_the_dense_gaussian():
    made = rows(6, k=1, noisy=True)
    mixture = mx.fit(FactorModel(1, 2), made.obs, rng=0).mixture
    means, covariances = mixture.posterior(made.obs)
    seen, noise = made.obs.seen(), made.obs.noise.variances
    for i in range(len(made.obs)):
        at = seen[i]
        spread = np.diag(mixture.uniquenesses[at] + noise[i, at])
        x = made.obs.x[i, at] - mixture.intercept[at]
        _, mean, covariance = oracles.factors_given(
            x, mixture.loadings[at], spread, mixture.means[0], mixture.covariances[0]
        )
        np.testing.assert_allclose(means[i], mean, atol=1e-9)
        np.testing.assert_allclose(covariances[i], covariance, atol=1e-9)


def test_one_component_without_gaps_is_factor_analysis():
    made = rows(1, n=400, d=10, q=3, k=1, gaps=0.0)
    ours = mx.fit(FactorModel(1, 3, prior=None, floor=0.0), made.whole, rng=0, tol=1e-10)
    theirs = FactorAnalysis(3, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(made.whole)
    assert ours.log_likelihood == pytest.approx(theirs.score(made.whole) * 400, abs=1e-3)
    np.testing.assert_allclose(ours.mixture.uniquenesses, theirs.noise_variance_, rtol=1e-2)
    np.testing.assert_allclose(ours.mixture.dense().covariances[0], theirs.get_covariance(), atol=0.01)


# --- the climb -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", [True, None], ids=["prior", "no prior"])
@pytest.mark.parametrize("accelerate", [False, True], ids=["plain", "accelerated"])
@pytest.mark.parametrize("decade", range(10))
def test_the_objective_never_falls(decade, accelerate, prior):
    for seed in range(10 * decade, 10 * decade + 10):
        model, obs, start = random_problem(seed, prior)
        states = climb(model, obs, start, accelerate=accelerate, workers=1)
        reached = np.array([state.objective for state in itertools.islice(states, 12)])
        assert (np.diff(reached) >= -1e-9 * np.abs(reached[1:])).all(), (seed, model)


@pytest.mark.parametrize("kind", [*KINDS[:2], KINDS[3]], ids=str)
@pytest.mark.parametrize("noisy", [False, True])
def test_at_convergence_the_likelihood_has_no_slope(kind, noisy):
    made = rows(8, n=400, d=6, q=1, k=2, noisy=noisy, groups=2 if "offsets" in kind else 0, apart=3.0)
    model = FactorModel(2, 1, prior=None, floor=0.0, **kind)
    fit = mx.fit(model, made.obs, rng=0, tol=1e-11)
    mixture = fit.mixture

    def slope(name: str) -> Array:
        at = getattr(mixture, name)
        changed = lambda value: float(mixture.evolve(**{name: value}).log_density(made.obs).sum())  # noqa: E731
        return oracles.gradient(changed, at, 1e-5)

    names = ["loadings", "intercept", "uniquenesses", "means"]
    for name in (*names, "covariances") if kind["covariance"] == "full" else names:
        assert np.abs(slope(name)).max() < 0.02, name
    if mixture.shifts is not None:
        assert np.abs(slope("shifts")).max() < 0.02


def test_own_loadings_end_without_slope():
    made = rows(9, n=400, d=6, q=1, k=2, own=True, apart=0.0)
    mixture = mx.fit(FactorModel(2, 1, "own", prior=None, floor=0.0), made.obs, rng=0, tol=1e-11).mixture
    for name in ("loadings", "intercept", "uniquenesses"):
        changed = lambda value, name=name: float(mixture.evolve(**{name: value}).log_density(made.obs).sum())  # noqa: E731
        assert np.abs(oracles.gradient(changed, getattr(mixture, name), 1e-5)).max() < 0.02, name


def test_em_steps_by_hand_are_the_climb():
    model, obs, start = random_problem(1, prior=True)
    states = list(itertools.islice(mx.iterate(model, obs, start=start, accelerate=False), 4))
    mixture = start
    for state in states:
        objective = expect(mixture, obs).log_likelihood + model.log_prior(mixture)
        assert objective == state.objective
        mixture, _ = mx.em_step(model, mixture, obs)


def test_a_step_from_any_start_takes_what_is_lacking_from_the_rows():
    made = rows(2, groups=2)
    plain = replace(made.truth, shifts=None, group_labels=None, weights=made.truth.pooled_weights)
    found, stats = mx.em_step(FactorModel(3, 2, offsets="group"), plain, made.obs)
    assert found.shifts.shape == (2, 8)
    assert stats.counts.shape == (2, 3)


def test_pack_and_unpack_are_inverse():
    for seed in range(12):
        model, _, start = random_problem(seed, prior=True)
        found = model.unpack(model.pack(start), start)
        for name in ("weights", "means", "covariances", "loadings", "intercept", "uniquenesses", "shifts"):
            if getattr(start, name) is not None:
                np.testing.assert_allclose(getattr(found, name), getattr(start, name), rtol=1e-12)
        assert model.sizes(start).shape == model.pack(start).shape


def test_regressions_are_those_of_numpy():
    rng = np.random.default_rng(0)
    v, psi = rng.normal(size=(60, 2)), np.array([0.5, 2.0])
    y = v @ [[1.0, 0.5], [0.0, -2.0]] + 3.0 + rng.normal(size=(60, 2))
    groups = np.arange(60) % 3
    known = mx.FactorMixture(
        np.ones((3, 1)), [[0.0, 0.0]], [np.zeros((2, 2))], loadings=np.zeros((2, 2)), intercept=[0.0, 0.0],
        uniquenesses=psi, group_labels=(0, 1, 2), shifts=np.zeros((3, 2)),
    )  # fmt: skip
    (sums,) = factor_stats(known, Observations(y, groups=groups)).regressions
    # The factors are put in by hand: without any the kernel has them all at zero.
    member = np.eye(3)[groups]
    a, b = np.tril_indices(2)
    sums = replace(
        sums, vv=np.tile((v[:, a] * v[:, b]).sum(axis=0), (2, 1)), yv=y.T @ v,
        v=np.einsum("ng,nq->gq", member, v)[:, None, :].repeat(2, axis=1),
    )  # fmt: skip
    found = regress(sums, None, known.shifts, 0.0)
    for j in range(2):
        wanted, *_ = np.linalg.lstsq(np.column_stack([v, member]), y[:, j], rcond=None)
        np.testing.assert_allclose(found.loadings[j], wanted[:2], atol=1e-10)
        np.testing.assert_allclose(found.moved[:, j], wanted[2:], atol=1e-10)
    rows_, zeros = 4.0, np.zeros((3, 5))
    held = regress(sums, np.diag([0.5, 0.2]), known.shifts, rows_)
    design = np.column_stack([v, np.ones(60), member])
    pseudo = np.vstack([np.diag([2.0, 5.0]) ** 0.5 @ np.eye(2, 6), np.hstack([zeros[:, :3], 2.0 * np.eye(3)])])
    for j in range(2):
        full, target = np.vstack([design, pseudo]), np.concatenate([y[:, j], np.zeros(5)])
        wanted, *_ = np.linalg.lstsq(full, target, rcond=None)
        np.testing.assert_allclose(held.loadings[j], wanted[:2], atol=1e-10)
        np.testing.assert_allclose(held.intercept[j], wanted[2], atol=1e-10)
        np.testing.assert_allclose(held.shifts[:, j], wanted[3:], atol=1e-10)


def test_a_variable_seen_in_fewer_rows_than_factors_keeps_a_finite_fit():
    made = rows(4, n=60, q=3)
    x = made.obs.x.copy()
    x[2:, 0], x[:2, 0] = np.nan, [0.0, 1.0]
    for prior in (True, None):
        fit = mx.fit(FactorModel(2, 3, prior=prior), x, rng=0, starts=2)
        assert np.isfinite(fit.mixture.loadings).all()
        assert np.isfinite(fit.objective)


@pytest.mark.parametrize(
    ("model", "groups", "wanted"),
    [
        # D(q + 1) loadings and intercepts, D uniquenesses, K - 1 weights, K q means, q(q + 1)/2 each, less the frame.
        (FactorModel(3, 2), 0, 20 * 3 + 20 + 2 + 6 + 3 - 6),
        (FactorModel(3, 2, covariance="full"), 0, 20 * 3 + 20 + 2 + 6 + 9 - 6),
        (FactorModel(1, 2), 0, 20 * 3 + 20 - 1),
        (FactorModel(3, 2, "own"), 0, 3 * (20 * 3 - 1) + 20 + 2),
        (FactorModel(3, 2, offsets="group"), 4, 20 * 3 + 20 + 4 * 2 + 6 + 3 - 6 + 3 * 20),
        (FactorModel(3, 2, offsets="group", weights=mx.weights.Free(shared=True)), 4, 20 * 3 + 20 + 2 + 6 + 3 - 6 + 60),
    ],
)
def test_free_parameters_are_counted_without_the_frame(model, groups, wanted):
    assert model.n_free(20, groups) == wanted


def test_free_parameters_are_the_rank_of_what_the_rows_see():
    model = FactorModel(3, 2, covariance="full", prior=None).resolve(np.ones(6))
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 2, 2))
    like = mx.FactorMixture(
        [0.2, 0.3, 0.5], rng.normal(size=(3, 2)), root @ root.transpose(0, 2, 1), loadings=rng.normal(size=(6, 2)),
        intercept=rng.normal(size=6), uniquenesses=rng.uniform(0.5, 1.0, size=6),
    )  # fmt: skip
    at = model.pack(like)

    def seen(vector: Array) -> Array:
        dense = model.unpack(vector, like).dense()
        return np.concatenate([dense.weights, dense.means.ravel(), dense.covariances.ravel()])

    steps = 1e-6 * np.eye(len(at))
    slopes = [(seen(at + step) - seen(at - step)) / 2e-6 for step in steps]
    assert np.linalg.matrix_rank(slopes, tol=1e-5) == model.n_free(6)


# --- the frame -------------------------------------------------------------------------------------------------------


def test_a_change_of_frame_changes_nothing_that_rows_see():
    made = rows(7)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    for other in (
        in_frame(made.truth), in_frame(made.truth, turn), moved(made.truth, np.array([1.0, -2.0])),
        own_frame(made.truth), principal(made.truth), principal(own_frame(made.truth)),
    ):  # fmt: skip
        np.testing.assert_allclose(other.log_density(made.obs), made.truth.log_density(made.obs), atol=1e-9)


def test_users_get_factors_of_mean_zero_and_variance_one_in_order():
    made = rows(7, groups=3)
    mixture = mx.fit(FactorModel(3, 2, offsets="group"), made.obs, rng=0, starts=2).mixture
    mean, covariance = total_covariance(mixture)
    np.testing.assert_allclose(mean, 0.0, atol=1e-10)
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-10)
    says = (mixture.loadings / mixture.uniquenesses[:, None]).T @ mixture.loadings
    np.testing.assert_allclose(says - np.diag(np.diag(says)), 0.0, atol=1e-8)
    assert (np.diff(np.diag(says)) < 0).all()
    np.testing.assert_allclose(mixture.group_rows @ mixture.shifts, 0.0, atol=1e-8)
    assert (np.diff(mixture.pooled_weights) <= 0).all()


# --- laws ------------------------------------------------------------------------------------------------------------


def test_other_units_of_the_variables_change_nothing_else():
    made = rows(11, noisy=True, groups=2)
    units = np.array([1e-3, 1.0, 1e4, 2.0, 0.5, 1.0, 30.0, 7.0])
    scaled = Observations(
        made.obs.x * units, mx.noise.from_variances(made.obs.noise.variances * units**2), groups=made.obs.groups
    )
    one, other = (
        mx.fit(FactorModel(3, 2, covariance="full", offsets="group"), obs, rng=0, starts=2)
        for obs in (made.obs, scaled)
    )
    np.testing.assert_allclose(other.responsibilities(scaled), one.responsibilities(made.obs), atol=1e-4)
    np.testing.assert_allclose(
        other.mixture.loadings, one.mixture.loadings * units[:, None], rtol=1e-3, atol=1e-3 * units.max()
    )
    values = made.obs.seen().sum(axis=0) @ np.log(units)
    assert other.log_likelihood == pytest.approx(one.log_likelihood - values, abs=1e-3)


def test_a_row_of_weight_two_is_the_row_twice():
    made = rows(12)
    weights = np.where(np.arange(90) % 3 == 0, 2.0, 1.0)
    weighted, twice = Observations(made.obs.x, row_weights=weights), np.repeat(made.obs.x, weights.astype(int), axis=0)
    start = replace(made.truth, means=made.truth.means + 0.5)
    one, other = (mx.fit(FactorModel(3, 2), obs, start=start, max_iter=40, tol=1e-9) for obs in (weighted, twice))
    assert one.objective == pytest.approx(other.objective, abs=1e-6)
    np.testing.assert_allclose(one.mixture.loadings, other.mixture.loadings, atol=1e-5)
    assert one.n == other.n


def test_blocks_of_rows_add():
    for seed in range(6):
        model, obs, start = random_problem(seed, prior=True)
        whole = stats_of_block(start, obs, "numba")
        parts = stats_of_block(start, obs.take(slice(0, 7)), "numba") + stats_of_block(
            start, obs.take(slice(7, None)), "numba"
        )
        np.testing.assert_allclose(parts.counts, whole.counts, rtol=1e-12)
        assert parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
        for one, other in zip(parts.regressions, whole.regressions, strict=True):
            for name in ("vv", "v", "one", "yv", "y", "yy"):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9)
        after, wanted = model.maximise(start, parts), model.maximise(start, whole)
        np.testing.assert_allclose(after.loadings, wanted.loadings, rtol=1e-6, atol=1e-8)


def test_any_number_of_threads_gives_the_same_bits():
    made = rows(13, n=2600, d=40, groups=2)
    one, two = (expect(made.truth, made.obs, workers=workers) for workers in (1, 2))
    assert one.log_likelihood == two.log_likelihood
    np.testing.assert_array_equal(one.regressions[0].vv, two.regressions[0].vv)
    np.testing.assert_array_equal(made.truth.impute(made.obs, workers=1)[0], made.truth.impute(made.obs, workers=2)[0])


def test_rows_in_blocks_give_the_fit_of_rows_in_memory():
    made = rows(14, n=300)
    blocks = mx.from_blocks(lambda: (made.obs.x[i : i + 70] for i in range(0, 300, 70)))
    here, there = (mx.fit(FactorModel(3, 2), source, rng=0, starts=2) for source in (made.obs.x, blocks))
    assert there.objective == pytest.approx(here.objective, abs=1e-3)
    np.testing.assert_allclose(there.mixture.loadings, here.mixture.loadings, atol=1e-2)


def test_rows_in_dask_give_the_fit_of_rows_in_memory():
    da = pytest.importorskip("dask.array")
    made = rows(14, n=300)
    source = mx.from_dask(da.from_array(made.obs.x, chunks=(100, 8)))
    start = replace(made.truth, means=made.truth.means + 0.5)
    here, there = (mx.fit(FactorModel(3, 2), obs, start=start) for obs in (made.obs.x, source))
    assert there.objective == pytest.approx(here.objective, abs=1e-6)


def test_single_precision_is_enough():
    made = rows(14, n=300)
    one, other = (mx.fit(FactorModel(3, 2), made.obs.x.astype(kind), rng=0, starts=2) for kind in (np.float32, float))
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-2)


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_groups_and_their_shifts_are_found():
    made = rows(15, n=1500, d=12, k=3, groups=3, apart=3.0)
    fit = mx.fit(FactorModel(3, 2, offsets="group"), made.obs, rng=0, starts=4)
    wanted = made.truth.shifts - np.average(made.truth.shifts, axis=0, weights=fit.mixture.group_rows)
    assert np.abs(fit.mixture.shifts - wanted).max() < 0.35
    overlap = np.array([[np.mean(made.labels[fit.predict(made.obs) == k] == j) for j in range(3)] for k in range(3)])
    assert (overlap.max(axis=1) > 0.8).all()


@pytest.mark.parametrize("own", [False, True])
def test_ninety_percent_intervals_hold_ninety_percent_of_what_was_hidden(own):
    made = rows(16, n=1200, d=20, q=2, k=3, gaps=0.5, own=own)
    fit = mx.fit(FactorModel(3, 2, "own" if own else "common"), made.obs, rng=0, starts=2)
    filled, sd = fit.impute(made.obs)
    hidden = ~made.obs.seen()
    inside = np.abs(made.whole - filled)[hidden] < norm.ppf(0.95) * sd[hidden]
    assert 0.88 < inside.mean() < 0.92
    np.testing.assert_array_equal(sd[~hidden], 0.0)


@pytest.mark.parametrize("own", [False, True])
def test_draws_have_the_mean_and_spread_that_impute_says(own):
    made = rows(17, n=8, own=own, gaps=0.5)
    filled, sd = made.truth.impute(made.obs)
    rng = np.random.default_rng(0)
    draws = np.array([made.truth.draw(made.obs, rng=rng) for _ in range(1500)])
    hidden = sd > 0
    np.testing.assert_array_equal(draws[:, ~hidden], np.broadcast_to(filled[~hidden], (1500, (~hidden).sum())))
    apart = (draws.mean(axis=0) - filled)[hidden] / (sd[hidden] / np.sqrt(1500))
    assert np.abs(apart).max() < 4.5
    np.testing.assert_allclose(draws.std(axis=0)[hidden], sd[hidden], rtol=0.15)


def test_a_draw_keeps_what_variables_have_in_common():
    made = rows(18, n=1, k=1, gaps=0.0)
    x = np.full((4000, 8), np.nan)
    draws = made.truth.draw(x, rng=1)
    np.testing.assert_allclose(np.cov(draws.T), made.truth.dense().covariances[0], atol=0.35)


@pytest.mark.parametrize("own", [False, True])
def test_samples_have_the_moments_of_the_components(own):
    truth = rows(19, own=own).truth
    x, labels = truth.sample(60_000, rng=0)
    for k in range(3):
        np.testing.assert_allclose(x[labels == k].mean(axis=0), truth.component_means()[k], atol=0.1)
        np.testing.assert_allclose(x[labels == k].var(axis=0), truth.component_variances()[k], rtol=0.06)
    np.testing.assert_allclose(np.bincount(labels) / 60_000, truth.weights, atol=0.01)


@pytest.mark.parametrize("own", [False, True])
def test_a_marginal_is_the_density_of_rows_without_the_rest(own):
    made = rows(20, own=own, groups=0 if own else 2)
    dims = [5, 0, 3]
    x = np.full(made.obs.x.shape, np.nan)
    x[:, dims] = made.obs.x[:, dims]
    part = Observations(made.obs.x[:, dims], groups=None if own else made.obs.groups)
    rest = Observations(x, groups=None if own else made.obs.groups)
    np.testing.assert_allclose(made.truth.marginal(dims).log_density(part), made.truth.log_density(rest), atol=1e-10)


def test_the_mixture_of_a_group_is_that_of_its_rows():
    made = rows(21, groups=3)
    here = np.flatnonzero(made.obs.groups == 1)
    alone = made.truth.of_group(1)
    np.testing.assert_allclose(
        alone.log_density(made.obs.x[here]), made.truth.log_density(made.obs.take(here)), atol=1e-12
    )
    assert made.truth.sample(3, group=1, rng=0)[0].shape == (3, 8)
    refuse("differs by group", made.truth.sample, 3)


def test_rows_of_groups_that_are_not_known_get_pooled_weights_and_no_shift():
    made = rows(21, groups=2)
    strange = Observations(made.obs.x, groups=["elsewhere"] * 90)
    plain = replace(made.truth, weights=made.truth.pooled_weights, shifts=None, group_labels=None)
    with pytest.warns(UserWarning, match="90 rows belong to no group"):
        found = made.truth.log_density(strange)
    np.testing.assert_allclose(found, plain.log_density(made.obs.x), atol=1e-12)


def test_one_variable_has_quantiles():
    one = rows(22).truth.marginal([3])
    t = one.quantile([0.05, 0.5, 0.99])
    np.testing.assert_allclose(one.cdf(t), [0.05, 0.5, 0.99])
    np.testing.assert_allclose(one.sf(t), [0.95, 0.5, 0.01])


def test_factors_that_nothing_needs_vanish_under_priors():
    made = rows(1, n=300, d=20, q=2, k=2, gaps=0.4)
    train, test = made.obs.x[:200], made.obs.x[200:]
    few, many, loose = (
        mx.fit(FactorModel(2, q, prior=prior), train, rng=0, starts=2) for q, prior in ((2, True), (5, True), (5, None))
    )
    size = np.linalg.norm(many.mixture.loadings / np.sqrt(many.mixture.uniquenesses)[:, None], axis=0)
    assert (size[:2] > 1.0).all()
    assert (size[2:] < 1e-3).all()
    held_out = [fit.log_density(test).mean() for fit in (few, many, loose)]
    assert held_out[1] == pytest.approx(held_out[0], abs=0.01)
    assert held_out[2] < held_out[1] - 0.1


def test_the_bound_lies_below_the_evidence():
    """One variable, one factor, one row: the evidence is an integral over the loading, done on a grid."""
    obs, psi, scale = Observations(np.array([[1.3]])), 0.7, 2.0
    model = FactorModel(1, 1).resolve(np.array([1.0]))
    grid = np.linspace(-40.0, 40.0, 400_001)
    prior = norm.pdf(grid, scale=np.sqrt(psi * scale))
    evidence = np.log(np.trapezoid(prior * norm.pdf(1.3, scale=np.sqrt(grid**2 + psi)), grid))
    for loading, doubt in itertools.product((-1.0, 0.0, 0.5), (0.1, 1.0, 2.0)):
        mixture = mx.FactorMixture(
            [1.0], [[0.0]], [[[1.0]]], loadings=[[loading]], intercept=[0.0], uniquenesses=[psi],
            doubt=[[[doubt]]], scale=[[[scale]]],
        )  # fmt: skip
        spent = model.log_prior(mixture) - model.log_prior(mixture.evolve(doubt=None, scale=None))
        assert expect(mixture, obs).log_likelihood + spent < evidence


# --- doors -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> tuple[mx.Fit, Rows]:
    made = rows(30, groups=2)
    return mx.fit(FactorModel(2, 2, offsets="group"), made.obs, rng=0, starts=2), made


def test_a_fit_comes_back_from_its_file_and_from_pickle_exactly(fitted, tmp_path):
    fit, made = fitted
    fit.save(tmp_path / "fit.json")
    for again in (mx.load(tmp_path / "fit.json"), pickle.loads(pickle.dumps(fit))):
        assert repr(again) == repr(fit)
        assert again.objective == fit.objective
        np.testing.assert_array_equal(again.log_density(made.obs), fit.log_density(made.obs))
        np.testing.assert_array_equal(again.model.variances, fit.model.variances)


def test_the_summary_speaks_of_the_variables(fitted):
    table = fitted[0].summary()
    assert list(table.columns)[:2] == ["weight", "x0"]
    np.testing.assert_array_equal(table["x3"], fitted[0].mixture.component_means()[:, 3])
    np.testing.assert_array_equal(table["sd(x3)"], np.sqrt(fitted[0].mixture.component_variances()[:, 3]))


def test_pictures_are_of_the_variables(fitted):
    fit = fitted[0]
    mean, spread = fit.mixture.component_means()[:, 3], np.sqrt(fit.mixture.component_variances()[:, 3])
    low, high = mx.plot.plot_density(fit, dim=3).get_xlim()
    assert low < (mean - 2 * spread).min()
    assert high > (mean + 2 * spread).max()
    assert fit.plot().get_ylabel() == "x1"


def test_a_fit_goes_on_from_its_checkpoint_to_the_same_end(tmp_path):
    made, path = rows(31, n=200), tmp_path / "checkpoint"
    model = FactorModel(3, 2, covariance="full")
    whole = mx.fit(model, made.obs, rng=5, starts=1, tol=1e-9)
    with pytest.warns(mx.ConvergenceWarning):
        mx.fit(model, made.obs, rng=5, starts=1, tol=1e-9, max_iter=3, checkpoint=path)
    again = mx.fit(model, made.obs, rng=99, starts=1, tol=1e-9, checkpoint=path)
    assert again.objective == whole.objective
    np.testing.assert_array_equal(again.mixture.loadings, whole.mixture.loadings)
    assert not path.exists()


def test_an_interrupted_start_gives_the_best_so_far(monkeypatch):
    passes = itertools.count()
    maximise = FactorModel.maximise

    def interrupted(self, mixture, stats):
        if next(passes) == 30:
            raise KeyboardInterrupt
        return maximise(self, mixture, stats)

    monkeypatch.setattr(FactorModel, "maximise", interrupted)
    fit = mx.fit(FactorModel(3, 2), rows(32).obs, rng=0)
    assert fit.outcome is mx.Outcome.INTERRUPTED
    assert np.isfinite(fit.objective)


def test_a_fit_begins_at_a_start(fitted):
    fit, made = fitted
    again = mx.fit(fit.model, made.obs, start=fit.mixture)
    assert again.objective == pytest.approx(fit.objective, abs=1e-3)
    own = mx.fit(FactorModel(2, 2, "own"), made.obs.x, start=fit.mixture.of_group(0))
    assert own.mixture.own


def test_settings_that_cannot_be_are_refused_in_a_sentence():
    for sentence, settings in [
        ("n_components must be a whole number", {"n_components": 2.5}),
        ("n_components must be a whole number", {"n_components": "two"}),
        ("n_factors must be a whole number", {"n_factors": 0}),
        ("loadings must be one of 'common', 'own'", {"loadings": "mine"}),
        ("covariance must be one of 'tied', 'full'", {"covariance": "diag"}),
        ("prior must be one of True, None", {"prior": mx.prior.InverseWishart()}),
        ("offsets must be one of None, 'group'", {"offsets": "well"}),
        ("floor must be a share", {"floor": 1.0}),
        ("floor must be one number", {"floor": "little"}),
        ("free weights; got a law", {"weights": "poisson"}),
        (r"alpha must be one number or \(K,\)", {"weights": mx.weights.Free(dirichlet=[2.0] * 3)}),
        ("offsets go with common loadings", {"loadings": "own", "offsets": "group"}),
        ("variances must have shape", {"variances": [1.0, -1.0]}),
    ]:
        refuse(sentence, FactorModel, **{"n_components": 2, "n_factors": 1} | settings)
    assert FactorModel(2.0, 1.0).n_components == 2


@pytest.mark.parametrize(
    ("sentence", "model", "change"),
    [
        ("fewer than variables and rows", FactorModel(1, 8), lambda x: x),
        ("fewer than variables and rows", FactorModel(1, 1), lambda x: x[:1]),
        ("at least one row", FactorModel(1, 1), lambda x: x[:0]),
        ("as many rows as components", FactorModel(9, 1), lambda x: x[:5]),
        ("at least one value must be observed", FactorModel(1, 1), lambda x: np.full(x.shape, np.nan)),
        (r"1 have not \(column 3\)", FactorModel(1, 1), lambda x: np.where(np.arange(8) == 3, np.nan, x)),
        ("values that differ", FactorModel(1, 1), lambda x: np.where(np.arange(8) == 3, 7.0, x)),
        ("weight above zero", FactorModel(1, 1), lambda x: Observations(x, row_weights=np.zeros(len(x)))),
        ("needs rows with groups", FactorModel(2, 1, offsets="group"), lambda x: x),
        (
            "errors of single values", FactorModel(1, 1),
            lambda x: Observations(x, mx.noise.from_covariances(np.eye(8) + 0.1)),
        ),
        ("rows with a projection", FactorModel(1, 1), lambda x: Observations(x, projection=np.eye(8))),
        (r"variances must have shape \(D,\) = \(8,\)", FactorModel(1, 1, variances=[1.0]), lambda x: x),
        ("the same columns", FactorModel(1, 1), lambda x: mx.from_blocks(lambda: [x, x[:, :5]])),
        ("at least one row", FactorModel(1, 1), lambda _: mx.from_blocks(list)),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_fitted_are_refused_in_a_sentence(sentence, model, change):
    refuse(sentence, mx.fit, model, change(rows(33).obs.x.copy()), rng=0)


def test_starts_of_another_kind_are_refused_in_a_sentence(fitted):
    fit, made = fitted
    x, plain = made.obs.x, mx.Mixture([1.0], np.zeros((1, 8)), np.eye(8)[None])
    own, open_ = own_frame(fit.mixture.of_group(0)), fit.mixture.of_group(0).evolve(means=np.full((2, 2), np.nan))
    for sentence, model, obs, start in [
        ("start must be a FactorMixture", FactorModel(1, 2), x, plain),
        ("start is a FactorMixture, the model is not", mx.Model(2), x, fit.mixture),
        ("start must have 3 components; got 2", FactorModel(3, 2), made.obs, fit.mixture),
        ("start must have 3 factors; got 2", FactorModel(2, 3), made.obs, fit.mixture),
        ("start must have 5 variables; got 8", FactorModel(2, 2), x[:, :5], fit.mixture),
        ("start has shifts", FactorModel(2, 2), made.obs, fit.mixture),
        ("start differs by group", FactorModel(2, 2), x, fit.mixture.evolve(shifts=None)),
        ("loadings of its components' own", FactorModel(2, 2), x, own),
        ("start must be whole", FactorModel(2, 2), x, open_),
        ("know every group", fit.model, Observations(x, groups=["c"] * 90), fit.mixture),
    ]:
        refuse(sentence, mx.fit, model, obs, start=start)
    refuse("climbed from once", mx.fit, fit.model, made.obs, start=fit.mixture, starts=2)
    refuse("start must be a FactorMixture", mx.em_step, fit.model, plain, made.obs)
    refuse("model must be a Model, FactorModel or CircularModel", mx.fit, "gaussian", x)


def test_what_a_mixture_of_factors_does_not_offer_is_said_in_a_sentence(fitted):
    fit, made = fitted
    own = own_frame(fit.mixture.of_group(0))
    refuse("standard errors are those of a mixsci.Model", mx.standard_errors, fit, made.obs)
    refuse("split_and_merge goes with mixsci.Model", mx.fit, FactorModel(3, 2), made.obs, split_and_merge=True)
    refuse("share no factors", own.posterior, made.obs.x)
    refuse("conditioned row by row", fit.condition, {0: 1.0})
    refuse("forecasts its variables", fit.forecast, made.obs, np.ones(8))
    refuse("single variable", own.cdf, 0.0)
    refuse("mixture's 8 variables; got 3", fit.log_density, made.obs.x[:, :3])
    refuse("one kernel", mx.expect, fit.mixture, made.obs, backend="reference")
    refuse("distinct numbers from 0 to 7", fit.marginal, [1, 1])
    refuse("at most 200 variables", mx.plot.plot_density, rows(0, d=201).truth)


def test_parts_that_do_not_fit_one_another_are_refused():
    good: dict[str, Any] = {"loadings": np.ones((4, 1)), "intercept": np.zeros(4), "uniquenesses": np.ones(4)}
    for sentence, change in [
        ("loadings must have shape", {"loadings": None}),
        ("loadings must have shape", {"loadings": np.ones((4, 2))}),
        ("loadings of a factor mixture must be finite", {"loadings": np.full((4, 1), np.nan)}),
        ("intercept must have shape", {"intercept": np.zeros(3)}),
        ("uniquenesses must be positive", {"uniquenesses": np.zeros(4)}),
        ("shifts must have shape", {"shifts": np.zeros((2, 4))}),
        ("one variable or more", {"loadings": np.ones((0, 1)), "intercept": np.ones(0), "uniquenesses": np.ones(0)}),
    ]:
        refuse(sentence, mx.FactorMixture, [1.0], [[0.0]], [[[1.0]]], **good | change)


def test_columns_are_summed_over_blocks_and_weights():
    made = rows(34, uneven=True)
    found = columns_of(mx.from_blocks(lambda: [made.obs.take(slice(0, 40)), made.obs.take(slice(40, None))]))
    masked = np.ma.masked_invalid(made.obs.x)
    weights = np.broadcast_to(made.obs.row_weights[:, None], masked.shape)
    mean = np.ma.average(masked, axis=0, weights=weights)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(
        found.variances, np.ma.average((masked - mean) ** 2, axis=0, weights=weights), rtol=1e-12
    )
