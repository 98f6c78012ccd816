"""Hard assignment: k-means where spheres are equal, the classification likelihood everywhere else."""

from __future__ import annotations

import itertools
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris

import mixsci as mx
from mixsci.engine.hard_mixture import HardMixture
from tests import oracles
from tests.problems import draw_rows, random_covariances, random_problem

SPHERES = {"covariance": "tied_spherical", "weights": "equal"}


def k_means(k):
    return mx.Model(k, assignment="hard", **SPHERES)


def spheres(centres, variance=1.0):
    k, d = centres.shape
    return mx.Mixture(np.full(k, 1 / k), centres, np.tile(variance * np.eye(d), (k, 1, 1)))


def inertia(fit, x):
    """The variance of the spheres is the mean square distance per observed value."""
    return fit.mixture.covariances[0, 0, 0] * np.isfinite(x).sum()


def hardened(problem):
    """The problem with every row given to one component; a background has no such limit."""
    model = replace(problem.model, assignment="hard", background=None)
    return model, replace(problem.start, background=None)


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


# --- k-means ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_from_the_same_start_it_is_k_means_step_by_step(iris, k, seed):
    centres = iris[np.random.default_rng(seed).choice(len(iris), k, replace=False)]
    theirs = KMeans(k, init=centres, n_init=1, tol=0, algorithm="lloyd").fit(iris)
    ours = mx.fit(k_means(k), iris, start=spheres(centres), accelerate=False, tol=1e-12)
    assert ours.converged
    assert inertia(ours, iris) == pytest.approx(theirs.inertia_, rel=1e-12)
    np.testing.assert_array_equal(ours.predict(iris), theirs.labels_)
    np.testing.assert_allclose(ours.mixture.means, theirs.cluster_centers_, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_the_best_of_many_starts_is_that_of_k_means(iris, k):
    theirs = KMeans(k, n_init=50, random_state=0).fit(iris)
    ours = mx.fit(k_means(k), iris, starts=50, rng=0)
    assert inertia(ours, iris) == pytest.approx(theirs.inertia_, rel=1e-4)


def test_with_gaps_distances_and_means_are_those_of_what_was_seen():
    rng = np.random.default_rng(2)
    centres = np.array([[0.0, 0.0, 0.0], [3.0, 3.0, 0.0], [0.0, 3.0, 3.0]])
    x = centres[rng.integers(3, size=400)] + rng.normal(size=(400, 3))
    x[rng.random(x.shape) < 0.3] = np.nan
    fit = mx.fit(k_means(3), x, rng=0, tol=1e-12)
    square = np.nansum((x[:, None] - fit.mixture.means) ** 2, axis=2)
    seen, label = np.isfinite(x).any(axis=1), square.argmin(axis=1)
    np.testing.assert_array_equal(fit.predict(x)[seen], label[seen])
    for k, mean in enumerate(fit.mixture.means):
        np.testing.assert_allclose(mean, np.nanmean(x[seen & (label == k)], axis=0), atol=1e-6)
    assert inertia(fit, x) == pytest.approx(square.min(axis=1).sum(), rel=1e-6)


def test_with_errors_means_weigh_rows_by_what_they_know():
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.2, 3.0, size=(300, 1))
    x = np.repeat([[0.0], [20.0]], 150, axis=0) + rng.normal(size=(300, 1)) + sigma * rng.normal(size=(300, 1))
    obs = mx.Observations(x, mx.noise.from_errors(sigma))
    fit = mx.fit(k_means(2), obs, rng=0, tol=1e-12)
    weights = 1.0 / (fit.mixture.covariances[0, 0, 0] + sigma[:, 0] ** 2)
    for k, mean in enumerate(fit.mixture.means[:, 0]):
        own = fit.predict(obs) == k
        assert mean == pytest.approx(np.average(x[own, 0], weights=weights[own]), abs=1e-5)


def test_shrinking_spheres_tend_to_k_means(iris):
    hard = mx.fit(k_means(3), iris, rng=0)
    model = mx.Model(3, frozen=mx.Frozen(covariances=True), **SPHERES)
    apart, certain = [], []
    for share in (1.0, 0.1, 0.01, 0.001):
        start = spheres(hard.mixture.means, share * hard.mixture.covariances[0, 0, 0])
        soft = mx.fit(model, iris, start=start)
        apart.append(np.abs(soft.mixture.means - hard.mixture.means).max())
        certain.append(soft.responsibilities(iris).max(axis=1).mean())
    assert apart == sorted(apart, reverse=True) and apart[0] > 0.02 and apart[-1] < 1e-3
    assert certain == sorted(certain) and certain[-1] > 0.999
    np.testing.assert_array_equal(soft.predict(iris), hard.predict(iris))


# --- every model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 56, 8))
def test_the_objective_never_falls(first):
    for seed in range(first, first + 8):
        model, start = hardened(problem := random_problem(seed))
        states = itertools.islice(mx.iterate(model, problem.obs, start=start, workers=1), 12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mx.ConvergenceWarning)  # with few rows a component may collapse
            climb = np.array([state.objective for state in states])
        assert (np.diff(climb) >= -1e-9 * np.maximum(np.abs(climb[1:]), 1.0)).all(), str(problem)


@pytest.mark.parametrize(
    ("noise", "projection", "groups"),
    [("none", "none", 0), ("errors", "none", 2), ("full", "none", 0), ("full", "shared", 2), ("full", "rows", 2)],
)
def test_its_sums_are_the_score_of_the_classification_likelihood(noise, projection, groups):
    rng = np.random.default_rng(4)
    means = 3.0 * rng.normal(size=(3, 2))
    obs, _ = draw_rows(rng, means, n=50, noise=noise, projection=projection, groups=groups, gaps=0.2, row_weights=True)
    weights = rng.dirichlet(np.full(3, 9.0), size=groups or None)
    rest = {"group_labels": obs.group_labels, "offsets": rng.normal(size=(groups, 2)) if groups else None}
    covariances, row_weights = random_covariances(rng, 3, 2), obs.row_weights

    def likelihood(means, covariances=covariances):
        mixture = HardMixture(weights, means, (covariances + covariances.transpose(0, 2, 1)) / 2, **rest)
        return float(row_weights @ mixture.log_density(obs))

    stats = mx.expect(HardMixture(weights, means, covariances, **rest), obs)
    assert stats.log_likelihood == pytest.approx(likelihood(means), rel=1e-12)
    near = {"rtol": 1e-6, "atol": 1e-6 * np.abs(stats.F).max()}
    _, g, _ = stats.grouped
    np.testing.assert_allclose(g.sum(axis=0), oracles.gradient(likelihood, means), **near)
    slope = oracles.gradient(lambda s: likelihood(means, s), covariances)
    np.testing.assert_allclose(stats.H / 2, slope, **near)
    shares = HardMixture(weights, means, covariances, **rest).responsibilities(obs)
    seen = obs.seen().any(axis=1)
    np.testing.assert_allclose(stats.grouped[0].sum(axis=0), (row_weights * seen) @ shares)


def test_rows_belong_wholly_to_the_component_that_a_soft_mixture_finds_most_probable():
    soft = mx.Mixture([0.2, 0.5, 0.3], [[-1.0], [0.0], [2.0]], [[[1.0]], [[2.0]], [[0.5]]])
    hard = HardMixture(soft.weights, soft.means, soft.covariances)
    x = np.array([[-3.0], [0.1], [2.5], [np.nan]])
    np.testing.assert_array_equal(hard.responsibilities(x), np.eye(3)[soft.predict(x)])
    best = soft.responsibilities(x[:3]).max(axis=1)
    np.testing.assert_allclose(hard.log_density(x), [*(soft.log_density(x[:3]) + np.log(best)), 0.0], atol=1e-15)
    filled, sd = HardMixture([0.5, 0.5], [[0.0, -9.0], [5.0, 9.0]], [np.eye(2)] * 2).impute(np.array([[2.4, np.nan]]))
    assert filled[0, 1] == -9.0 and sd[0, 1] == 1.0


def test_the_fit_knows_its_rows_and_has_no_entropy(iris):
    fit = mx.fit(mx.Model(3, assignment="hard"), iris, rng=0)
    assert fit.log_likelihood == pytest.approx(fit.log_density(iris).sum(), rel=1e-12)
    assert fit.entropy == 0.0 and fit.icl == fit.bic
    soft = mx.fit(mx.Model(3), iris, start=fit.mixture)
    assert type(soft.mixture) is mx.Mixture
    assert soft.log_likelihood > fit.log_likelihood


def test_results_are_the_same_for_threads_blocks_and_in_a_file(iris, tmp_path):
    x = np.tile(iris, (200, 1)) + np.random.default_rng(0).normal(scale=0.1, size=(30_000, 4))
    start = spheres(x[[0, 60, 120]])
    one, two = (mx.fit(k_means(3), x, start=start, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.mixture.means, two.mixture.means)
    parts = mx.from_blocks(lambda: (mx.Observations(part) for part in np.array_split(x, 7)))
    blocks = mx.fit(k_means(3), parts, start=start)
    np.testing.assert_allclose(blocks.mixture.means, one.mixture.means, rtol=1e-9)
    one.save(tmp_path / "fit.json")
    for back in (mx.load(tmp_path / "fit.json"), pickle.loads(pickle.dumps(one))):
        assert type(back.mixture) is HardMixture
        np.testing.assert_array_equal(back.responsibilities(iris), one.responsibilities(iris))


def test_what_has_no_hard_limit_is_refused(iris):
    with pytest.raises(mx.DataError, match="assignment must be one of 'soft', 'hard'; got 'firm'"):
        mx.Model(2, assignment="firm")
    with pytest.raises(mx.DataError, match="assignment must be one of 'soft', 'hard'; got list"):
        mx.Model(2, assignment=["hard"])
    with pytest.raises(mx.DataError, match="leave out the background"):
        mx.Model(2, assignment="hard", background=mx.UniformBackground([0.0], [1.0]))
    fit = mx.fit(k_means(2), iris, rng=0)
    with pytest.raises(mx.DataError, match="standard errors are those of a likelihood"):
        mx.standard_errors(fit, iris)
