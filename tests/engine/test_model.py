"""M-steps are maxima, laws are exact, shortcuts equal the long way; one checker per contract runs over its table."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import poisson

import mixsci as mx
from mixsci.engine.model.covariances import STRUCTURES
from mixsci.engine.model.priors import Pseudo, no_prior
from tests import oracles
from tests.lambda_bias import z_score
from tests.problems import draw_rows, random_covariances

K, D = 3, 2
NOBODY = np.zeros(K, dtype=bool)


def near(rng, vector, count=200):
    """Vectors around one, at distances from 1e-4 to 0.3 of its entries."""
    sizes = 10.0 ** rng.uniform(-4, -0.5, size=(count, 1))
    return vector + sizes * (np.abs(vector) + 0.05) * rng.normal(size=(count, len(vector)))


# --- covariances -----------------------------------------------------------------------------------------------------

SHAPES = STRUCTURES | {
    "factors": mx.covariances.Scaled([1.0, 2.0, 9.0]),
    "two families": mx.covariances.Scaled([1.0, 1.0, 4.0], codes=[0, 1, 1]),
}
PRIORS = {"none": no_prior(D), "prior": Pseudo(3.0, np.array([[1.0, 0.2], [0.2, 0.7]]))}


def expected_density(structure, covariances, scatter, counts, pseudo):
    """What the M-step maximises."""
    values = np.linalg.slogdet(covariances)[1]
    traces = np.einsum("kij,kji->k", np.linalg.inv(covariances), scatter)
    return -0.5 * float(counts @ values + traces.sum()) + structure.log_prior(covariances, pseudo)


@pytest.mark.parametrize("floor", [0.0, 0.6])
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("name", SHAPES)
def test_covariances_are_the_maximum_that_their_structure_allows(name, prior, floor):
    rng = np.random.default_rng(1)
    structure, pseudo, counts = SHAPES[name], PRIORS[prior], np.array([10.0, 40.0, 5.0])
    scatter = counts[:, None, None] * random_covariances(rng, K, D)
    found = structure.maximise(scatter, counts, random_covariances(rng, K, D), pseudo, floor)
    best = expected_density(structure, found, scatter, counts, pseudo)
    lowest = np.linalg.eigvalsh(found)[:, 0]
    assert lowest.min() >= floor * (1 - 1e-12)
    vector = structure.pack(found)
    np.testing.assert_allclose(structure.unpack(vector, found, floor), found, rtol=1e-9, atol=1e-12)
    for other in near(rng, vector):
        changed = structure.unpack(other, found, floor)
        assert np.linalg.eigvalsh(changed)[:, 0].min() >= floor * (1 - 1e-9)
        assert expected_density(structure, changed, scatter, counts, pseudo) <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("name", SHAPES)
def test_what_every_structure_does(name):
    rng = np.random.default_rng(2)
    structure = SHAPES[name]
    counts = np.array([10.0, 40.0, 0.0])
    current = structure.maximise(
        random_covariances(rng, K, D), np.ones(K), random_covariances(rng, K, D), no_prior(D), 0.0
    )
    scatter = counts[:, None, None] * random_covariances(rng, K, D)
    found = structure.maximise(scatter, counts, current, no_prior(D), 0.0)
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    assert (np.linalg.eigvalsh(found)[:, 0] > 0).all()
    # Sizes of a "scaled" structure and its matrix share one number, which counts once.
    assert structure.n_free(K, D) == len(structure.pack(found)) - (name == "scaled")
    assert structure.spread(found, np.full(K, 1 / 3)).shape == structure.pack(found).shape
    assert (structure.spread(found, np.full(K, 1 / 3)) > 0).all()
    nobody = structure.maximise(np.zeros((K, D, D)), np.zeros(K), current, no_prior(D), 0.0)
    np.testing.assert_allclose(nobody, current, rtol=1e-12)
    units = np.array([1e-6, 1e6]) if name in {"full", "tied", "diag", "tied_diag", "factors"} else np.array([1e6, 1e6])
    scale = units[:, None] * units
    np.testing.assert_allclose(
        structure.maximise(scatter * scale, counts, current * scale, no_prior(D), 0.0) / scale,
        found,
        rtol=1e-9,
        atol=1e-12,
    )
    assert pickle.loads(pickle.dumps(structure)) == structure


def test_shapes_are_what_their_names_say():
    rng = np.random.default_rng(3)
    counts = np.array([10.0, 40.0, 5.0])
    scatter = counts[:, None, None] * random_covariances(rng, K, D)
    found = {
        name: shape.maximise(scatter, counts, np.tile(np.eye(D), (K, 1, 1)), no_prior(D), 0.0)
        for name, shape in SHAPES.items()
    }
    each, pooled = scatter / counts[:, None, None], scatter.sum(axis=0) / counts.sum()
    np.testing.assert_allclose(found["full"], each)
    np.testing.assert_allclose(found["tied"], np.tile(pooled, (K, 1, 1)))
    np.testing.assert_allclose(found["diag"], each * np.eye(D))
    np.testing.assert_allclose(found["tied_diag"], np.tile(pooled * np.eye(D), (K, 1, 1)))
    np.testing.assert_allclose(found["spherical"], np.trace(each, axis1=1, axis2=2)[:, None, None] / D * np.eye(D))
    np.testing.assert_allclose(found["tied_spherical"], np.tile(np.trace(pooled) / D * np.eye(D), (K, 1, 1)))
    factors = np.array([1.0, 2.0, 9.0])[:, None, None]
    np.testing.assert_allclose(found["factors"], factors * (scatter / factors).sum(axis=0) / counts.sum())
    ratios = found["scaled"] / found["scaled"][0]
    np.testing.assert_allclose(ratios, ratios[:, :1, :1] * np.ones((D, D)), rtol=1e-9)


# --- weights ---------------------------------------------------------------------------------------------------------

LAWS = {
    "free": mx.weights.Free(),
    "dirichlet": mx.weights.Free(dirichlet=[2.0, 1.0, 5.0]),
    "shared": mx.weights.Free(dirichlet=2.0, shared=True),
    "fixed": mx.weights.Fixed([0.2, 0.3, 0.5]),
    "tail": mx.weights.Poisson("tail"),
    "truncated": mx.weights.Poisson("truncated"),
    "open": mx.weights.Poisson("open"),
    "occupancy": mx.weights.Occupancy(mx.weights.Poisson("tail"), (1, 2)),
    "occupancy, held": mx.weights.Occupancy(mx.weights.Free(), ([0.4, 0.6], 1)),
}
COUNTS = np.array([[20.0, 10.0, 4.0], [3.0, 30.0, 60.0]])


@pytest.mark.parametrize("name", LAWS)
def test_weights_are_the_maximum_that_their_law_allows(name):
    rng = np.random.default_rng(4)
    law = LAWS[name]
    weights, rates = law.maximise(COUNTS, *law.start(K, 2), NOBODY)

    def expected_density(w):
        return float((COUNTS * np.log(np.maximum(w, 1e-300))).sum()) + law.log_prior(w)

    best, vector = expected_density(weights), law.pack(weights, rates, NOBODY)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    again, rates_again = law.unpack(vector, weights, rates, NOBODY)
    np.testing.assert_allclose(again, weights, rtol=1e-10)
    assert law.spread(weights, NOBODY).shape == vector.shape
    if rates is not None:
        np.testing.assert_allclose(rates_again, rates, rtol=1e-10)
        assert law.n_free(K, 2, NOBODY) == len(vector) - (name == "occupancy")
    for other in near(rng, vector):
        changed, _ = law.unpack(other, weights, rates, NOBODY)
        np.testing.assert_allclose(changed.sum(axis=1), 1.0, rtol=1e-12)
        assert expected_density(changed) <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("name", LAWS)
def test_a_group_without_rows_keeps_its_weights(name):
    law = LAWS[name]
    weights, rates = law.maximise(COUNTS, *law.start(K, 2), NOBODY)
    empty, rates_empty = law.maximise(np.vstack([COUNTS[:1], np.zeros((1, K))]), weights, rates, NOBODY)
    assert np.isfinite(empty).all()
    np.testing.assert_allclose(empty.sum(axis=1), 1.0)
    if rates is not None:
        assert rates_empty[1] == rates[1]


@pytest.mark.parametrize("share", [1e-9, 1e-3, 0.3, 0.9, 1 - 1e-9])
def test_presence_or_absence_gives_lambda_exactly(share):
    """Two classes, the last "1 or more": lambda = -ln(N0 / N)."""
    counts = 1e6 * np.array([[1 - share, share]])
    weights, rates = mx.weights.Poisson("tail").maximise(
        counts, np.array([[0.5, 0.5]]), np.ones(1), np.zeros(2, dtype=bool)
    )
    assert rates[0] == pytest.approx(-np.log1p(-share), rel=1e-12)
    np.testing.assert_allclose(weights, [[1 - share, share]], rtol=1e-9)


@pytest.mark.parametrize("rate", [1e-6, 0.01, 0.5, 2.0, 8.0, 50.0, 900.0])
@pytest.mark.parametrize("last", ["tail", "truncated"])
def test_poisson_weights_are_those_of_scipy_and_give_lambda_back(last, rate):
    k = 5
    weights = mx.weights.Poisson(last).weights(np.array([rate]), k)
    expected = poisson.pmf(np.arange(k), rate)
    if last == "tail":
        expected[-1] = poisson.sf(k - 2, rate)
    else:
        logs = poisson.logpmf(np.arange(k), rate)
        expected = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    np.testing.assert_allclose(weights[0], expected, rtol=1e-11, atol=1e-300)
    if rate < 100:  # beyond, all rows but a rounding error are in the last class
        _, back = mx.weights.Poisson(last).maximise(1e5 * weights, weights, np.ones(1), np.zeros(k, dtype=bool))
        assert back[0] == pytest.approx(rate, rel=1e-6 if rate == 50 and last == "tail" else 1e-9)


def test_an_open_law_is_the_mean_number_of_copies():
    counts = 1e4 * mx.weights.Poisson("open").weights(np.array([0.3, 1.1]), 20)
    _, rates = mx.weights.Poisson("open").maximise(counts, counts / 1e4, np.ones(2), np.zeros(20, dtype=bool))
    np.testing.assert_allclose(rates, counts @ np.arange(20) / 1e4, rtol=1e-12)


def test_an_open_law_names_the_components_it_needs():
    rng = np.random.default_rng(0)
    x = (10.0 * rng.poisson(1.0, size=500) + rng.normal(size=500))[:, None]
    ladder = mx.means.Ladder(np.stack([np.ones(4), np.arange(4)], axis=-1)[:, None, :])
    start = mx.Mixture(np.full(4, 0.25), 10.0 * np.arange(4)[:, None], np.ones((4, 1, 1)))
    with pytest.raises(mx.DataError, match=r'with lambda = .*, K = 1\d; got K = 4: add components or use last="tail"'):
        mx.fit(mx.Model(4, weights=mx.weights.Poisson("open"), means=ladder, covariance="tied"), x, start=start)


def test_frozen_weights_stay_and_the_rest_shares_what_is_left():
    frozen = np.array([False, True, False])
    start = np.array([[0.25, 0.5, 0.25]])
    weights, _ = mx.weights.Free().maximise(COUNTS[:1], start, None, frozen)
    np.testing.assert_allclose(weights, [[0.5 * 20 / 24, 0.5, 0.5 * 4 / 24]])


def test_states_share_their_counts():
    law = mx.weights.Occupancy(mx.weights.Poisson("tail"), (1, 2, [0.25, 0.75]))
    assert law.state_of_component == (0, 1, 1, 2, 2)
    counts = np.array([[50.0, 20.0, 10.0, 6.0, 4.0]])
    weights, rates = law.maximise(counts, *law.start(5, 1), np.zeros(5, dtype=bool))
    pi, lam = mx.weights.Poisson("tail").maximise(
        np.array([[50.0, 30.0, 10.0]]), np.full((1, 3), 1 / 3), np.ones(1), NOBODY
    )
    np.testing.assert_allclose(rates, lam)
    np.testing.assert_allclose(weights, pi[:, [0, 1, 1, 2, 2]] * [1, 2 / 3, 1 / 3, 0.25, 0.75])
    assert law.n_free(5, 1, np.zeros(5, dtype=bool)) == 2


@pytest.mark.parametrize("last", ["tail", "truncated", "open"])
@pytest.mark.parametrize("rate", [0.01, 0.1, 1.0, 2.0, 4.0])
def test_lambda_is_unbiased(last, rate):
    """12 ladders of 10,000 rows; `python -m tests.lambda_bias` runs 200 of each."""
    assert abs(z_score(last, rate, runs=12)) < 4


@pytest.mark.parametrize("rate", [0.1, 2.0])
def test_lambda_is_unbiased_with_gaps_noise_and_groups(rate):
    assert abs(z_score("tail", rate, runs=10, hard=True)) < 4


def test_shared_weights_are_those_of_all_groups_together():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=300) + 3 * rng.integers(2, size=300))[:, None]
    groups = rng.integers(3, size=300)
    start = mx.Mixture([0.5, 0.5], [[-1.0], [4.0]], np.ones((2, 1, 1)))
    one = mx.fit(mx.Model(2), x, start=start, tol=1e-10)
    shared = mx.fit(
        mx.Model(2, weights=mx.weights.Free(shared=True)), mx.Observations(x, groups=groups), start=start, tol=1e-10
    )
    assert shared.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(shared.mixture.weights, np.tile(one.mixture.weights, (3, 1)), atol=1e-4)
    assert shared.n_free == one.n_free


# --- priors ----------------------------------------------------------------------------------------------------------


def one_gaussian(x, prior):
    start = mx.Mixture([1.0], x[:1], np.eye(2)[None])
    return mx.fit(mx.Model(1, prior=prior), x, start=start, tol=1e-12)


def test_priors_on_covariances_are_pseudo_rows():
    x = np.random.default_rng(0).normal(size=(30, 2)) @ [[2.0, 0.0], [1.0, 0.5]]
    scatter = (x - x.mean(axis=0)).T @ (x - x.mean(axis=0))
    bovy = one_gaussian(x, mx.prior.Bovy(4.0))
    np.testing.assert_allclose(bovy.mixture.covariances[0], (scatter + 4 * np.eye(2)) / 31, rtol=1e-9)
    scale = np.array([[3.0, 1.0], [1.0, 2.0]])
    wishart = one_gaussian(x, mx.prior.InverseWishart(scale, dof=5.0))
    np.testing.assert_allclose(wishart.mixture.covariances[0], (scatter + scale) / (30 + 5 + 3), rtol=1e-9)
    towards = one_gaussian(x, mx.prior.InverseWishart.towards(scale, 1e9))
    np.testing.assert_allclose(towards.mixture.covariances[0], scale, rtol=1e-6)
    assert bovy.objective == bovy.log_likelihood + bovy.log_prior


def test_a_prior_left_open_is_set_by_the_data_and_follows_their_units():
    x = np.random.default_rng(0).normal(size=(60, 2))
    a, b = (
        mx.fit(mx.Model(2, prior=mx.prior.InverseWishart()), x * scale, rng=0, tol=1e-10) for scale in (1.0, 1000.0)
    )
    np.testing.assert_allclose(b.mixture.covariances / 1e6, a.mixture.covariances, rtol=1e-3, atol=1e-4)


def test_a_dirichlet_prior_is_pseudo_rows_on_weights():
    x = np.concatenate([np.full(30, 0.0), np.full(10, 100.0)])[:, None] + np.random.default_rng(0).normal(size=(40, 1))
    fit = mx.fit(mx.Model(2, prior=mx.prior.Dirichlet(11.0)), x, rng=0)
    np.testing.assert_allclose(fit.mixture.weights, [40 / 60, 20 / 60], rtol=1e-9)
    grouped = mx.Model(2, weights=mx.weights.Free(shared=True), prior=mx.prior.Dirichlet(11.0))
    assert grouped.weights.shared


# --- means -----------------------------------------------------------------------------------------------------------


def rows_and_start(seed, *, noise="full", groups=0, k=3, d=2):
    rng = np.random.default_rng(seed)
    means = 3 * rng.normal(size=(k, d))
    obs, _ = draw_rows(rng, means, n=80, noise=noise, groups=groups, gaps=0.2)
    return obs, mx.Mixture(
        rng.dirichlet(np.ones(k)),
        means + rng.normal(size=(k, d)),
        random_covariances(rng, k, d),
        group_labels=obs.group_labels,
    )


@pytest.mark.parametrize("seed", range(4))
def test_free_means_equal_a_ladder_with_a_rung_for_every_number(seed):
    """The shortcut Sigma g / N is the information form with N Sigma^-1."""
    obs, start = rows_and_start(seed)
    k, d = start.means.shape
    ladder = mx.means.Ladder(np.eye(k * d).reshape(k, d, k * d))
    means, theta = ladder.place(start.means)
    free, _ = mx.em_step(mx.Model(k), start, obs)
    long = mx.Mixture(start.weights, means, start.covariances, theta=theta)
    long, _ = mx.em_step(mx.Model(k, means=ladder), long, obs)
    np.testing.assert_allclose(long.means, free.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(long.covariances, free.covariances, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_offsets_of_one_group_change_nothing(seed):
    """One group's offset is all level: centred it is zero, and the means go as without."""
    obs, start = rows_and_start(seed)
    one = mx.Observations(obs.x, obs.noise, row_weights=obs.row_weights, groups=["all"] * len(obs))
    grouped = mx.Mixture(start.weights, start.means, start.covariances, group_labels=("all",), offsets=np.zeros((1, 2)))
    a = mx.fit(mx.Model(3, floor=0.05), obs, start=start, tol=1e-10)
    b = mx.fit(mx.Model(3, floor=0.05, offsets="group"), one, start=grouped, tol=1e-10)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(b.mixture.offsets, 0.0, atol=1e-12)
    assert b.n_free == a.n_free


def test_a_ladder_is_kept_exactly_and_ends_at_its_optimum():
    rng = np.random.default_rng(5)
    design = np.stack([np.ones(3), np.arange(3)], axis=-1)[:, None, :]
    x = (1.0 + 2.5 * rng.integers(3, size=300) + 0.4 * rng.normal(size=300))[:, None]
    ladder = mx.means.Ladder(design, fixed=[[0.1], [0.0], [-0.1]])
    fit = mx.fit(mx.Model(3, means=ladder, covariance="tied"), x, rng=0, tol=1e-12)
    np.testing.assert_allclose(fit.mixture.means, ladder.means(fit.mixture.theta), rtol=1e-14)

    def objective(v):
        return oracles.dense_log_likelihood(
            mx.Observations(x), oracles.softmax(v[3:]), ladder.means(v[:2]), np.exp(v[2]) * np.ones((3, 1, 1))
        )

    best, height = oracles.climb(objective, np.array([1.0, 2.5, -2.0, 0.0, 0.0]))
    assert fit.log_likelihood == pytest.approx(height, abs=1e-6)
    np.testing.assert_allclose(fit.mixture.theta, best[:2], atol=1e-4)
    assert fit.n_free == 2 + 1 + 2


def test_fixed_means_do_not_move():
    obs, start = rows_and_start(1)
    fit = mx.fit(mx.Model(3, means=mx.means.Fixed(start.means)), obs, rng=0)
    np.testing.assert_array_equal(fit.mixture.means, start.means)
    # Covariances are then about the fixed means.
    moved, stats = mx.em_step(mx.Model(3, means=mx.means.Fixed(start.means)), start, obs)
    sigma, n = start.covariances, stats.counts[:, None, None]
    np.testing.assert_allclose(moved.covariances, sigma + sigma @ stats.H @ sigma / n, rtol=1e-9, atol=1e-12)


def test_a_direction_without_spread_does_not_move():
    """Sigma free but singular: read as a limit, the latent step stays within its range."""
    x = 3.0 + np.random.default_rng(0).normal(size=(100, 2))
    obs = mx.Observations(x, mx.noise.from_errors([0.5, 0.5]), groups=np.arange(100) % 2)
    line = np.array([1.0, 2.0])
    start = mx.Mixture([1.0], [[0.0, 0.0]], [np.outer(line, line)], group_labels=(0, 1), offsets=np.zeros((2, 2)))
    moved, _ = mx.em_step(mx.Model(1, offsets=mx.Offsets(1.0)), start, obs)
    across = np.array([2.0, -1.0])
    assert np.abs(moved.means @ line).max() > 0.1
    np.testing.assert_allclose((moved.means + moved.offsets) @ across, 0.0, atol=1e-9)


# --- background ------------------------------------------------------------------------------------------------------


def test_a_background_takes_what_belongs_to_no_component():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(900, 2)), rng.uniform(-20, 20, size=(100, 2))])
    fit = mx.fit(mx.Model(1, background=mx.UniformBackground([-20, -20], [20, 20])), x, rng=0)
    assert fit.mixture.background.weight == pytest.approx(0.1, abs=0.03)
    np.testing.assert_allclose(fit.mixture.covariances[0], np.eye(2), atol=0.2)
    np.testing.assert_allclose(fit.mixture.weights, [1.0])
    held = mx.fit(mx.Model(1, background=mx.UniformBackground([-20, -20], [20, 20], weight=0.3, fixed=True)), x, rng=0)
    assert held.mixture.background.weight == 0.3
    assert held.n_free == fit.n_free - 1


# --- the model as a whole --------------------------------------------------------------------------------------------

LADDER = mx.means.Ladder(np.ones((3, 2, 1)))
RUNGS = mx.means.Ladder(np.stack([np.ones((3, 2)), np.arange(3.0)[:, None] * np.ones((3, 2))], axis=-1))
N_FREE = [
    ({}, 0, 2 + 6 + 9),
    ({"covariance": "tied"}, 0, 2 + 6 + 3),
    ({"covariance": "diag"}, 0, 2 + 6 + 6),
    ({"covariance": "spherical"}, 0, 2 + 6 + 3),
    ({"covariance": "tied_diag"}, 0, 2 + 6 + 2),
    ({"covariance": "tied_spherical"}, 0, 2 + 6 + 1),
    ({"covariance": "scaled"}, 0, 2 + 6 + 3 + 2),
    ({"covariance": mx.covariances.Scaled([1, 2, 3])}, 0, 2 + 6 + 3),
    ({"weights": mx.weights.Fixed([0.2, 0.3, 0.5])}, 0, 6 + 9),
    ({"weights": "poisson"}, 0, 1 + 6 + 9),
    ({"weights": "poisson"}, 4, 4 + 6 + 9),
    ({}, 4, 8 + 6 + 9),
    ({"weights": mx.weights.Free(shared=True)}, 4, 2 + 6 + 9),
    ({"offsets": "group"}, 4, 8 + 6 + 9 + 3 * 2),
    ({"offsets": mx.Offsets(1.0)}, 4, 8 + 6 + 9 + 4 * 2),
    # This ladder is one level, and a level is what offsets carry too.
    ({"means": LADDER, "offsets": "group"}, 4, 8 + 0 + 9 + 4 * 2),
    ({"means": RUNGS, "offsets": "group"}, 4, 8 + 1 + 9 + 4 * 2),
    ({"means": RUNGS, "offsets": mx.Offsets(1.0)}, 4, 8 + 2 + 9 + 4 * 2),
    ({"means": mx.means.Fixed(np.zeros((3, 2)))}, 0, 2 + 9),
    ({"frozen": mx.Frozen(means=[True, False, False], covariances=True)}, 0, 2 + 4),
    ({"frozen": mx.Frozen(weights=[True, False, False])}, 0, 1 + 6 + 9),
    ({"background": mx.UniformBackground([0, 0], [1, 1])}, 0, 2 + 6 + 9 + 1),
]


@pytest.mark.parametrize(("choices", "groups", "expected"), N_FREE)
def test_free_parameters_are_counted(choices, groups, expected):
    assert mx.Model(3, **choices).n_free(2, groups) == expected


BAD = {
    "no components": (lambda: mx.Model(0), "n_components must be a whole number, 1 or more; got 0"),
    "half a component": (lambda: mx.Model(2.5), "n_components"),
    "NaN components": (lambda: mx.Model(float("nan")), "n_components"),
    "components in words": (lambda: mx.Model("3"), "n_components"),
    "no number of components": (lambda: mx.Model(None), "n_components"),
    "true components": (lambda: mx.Model(True), "n_components"),
    "unknown covariance": (lambda: mx.Model(2, covariance="round"), "covariance must be one of 'full', 'tied'"),
    "a number as covariance": (lambda: mx.Model(2, covariance=3), "covariance must be one of"),
    "unknown weights": (lambda: mx.Model(2, weights="poison"), "weights must be one of"),
    "a list as weights": (lambda: mx.Model(2, weights=[0.5, 0.5]), "weights must be one of"),
    "an array as means": (lambda: mx.Model(2, means=np.zeros((2, 1))), "means must be one of"),
    "unknown offsets": (lambda: mx.Model(2, offsets="wells"), 'offsets must be None, "group" or'),
    "an array as offsets": (lambda: mx.Model(2, offsets=np.zeros((2, 1))), 'offsets must be None, "group" or'),
    "true background": (lambda: mx.Model(2, background=True), "background must be a UniformBackground"),
    "a number as prior": (lambda: mx.Model(2, prior=4.0), "prior must be an object of mixsci.prior"),
    "too few degrees of freedom": (
        lambda: mx.prior.InverseWishart(dof=-9.0).resolve(np.ones(2), 3),
        r"needs dof \+ D \+ 1 > 0",
    ),
    "two priors on covariances": (
        lambda: mx.Model(2, prior=[mx.prior.Bovy(1), mx.prior.InverseWishart()]),
        "at most one on covariances",
    ),
    "true frozen": (lambda: mx.Model(2, frozen=True), "frozen must be"),
    "a mask of others": (lambda: mx.Model(2, frozen=mx.Frozen(means=[True] * 3)), r"frozen means .* got shape \(3,\)"),
    "frozen ladder": (
        lambda: mx.Model(3, means=LADDER, frozen=mx.Frozen(means=True)),
        "frozen means go with free means",
    ),
    "frozen Poisson": (
        lambda: mx.Model(3, weights="poisson", frozen=mx.Frozen(weights=True)),
        "frozen weights goes with free weights",
    ),
    "Dirichlet on Poisson": (
        lambda: mx.Model(3, weights="poisson", prior=mx.prior.Dirichlet(2)),
        "Dirichlet prior goes with free",
    ),
    "negative floor": (lambda: mx.Model(2, floor=-1.0), "floor must be finite and not negative"),
    "NaN floor": (lambda: mx.Model(2, floor=float("nan")), "floor must be finite"),
    "floor in words": (lambda: mx.Model(2, floor="a"), "floor must be finite"),
    "Dirichlet below one": (lambda: mx.prior.Dirichlet(0.5), "at least 1"),
    "free weights below one": (lambda: mx.weights.Free(dirichlet=0.5), "at least 1"),
    "Dirichlet of others": (
        lambda: mx.Model(2, prior=mx.prior.Dirichlet([1, 2, 3])).weights.start(2, 1),
        r"one number or \(K,\)",
    ),
    "fixed weights": (lambda: mx.weights.Fixed([0.5, 0.6]), "sum to 1"),
    "last class": (lambda: mx.weights.Poisson("none"), '"tail", "truncated" or "open"'),
    "a shape of nothing": (lambda: mx.weights.Occupancy(mx.weights.Free(), (1, 0)), "a state's shape is a number"),
    "negative factors": (lambda: mx.covariances.Scaled([1.0, -1.0]), "factors of scaled covariances must be positive"),
    "codes with a hole": (lambda: mx.covariances.Scaled([1.0, 1.0], codes=[0, 2]), "codes must give each of the 2"),
    "fixed means": (lambda: mx.means.Fixed([1.0, 2.0]), "fixed means must be finite"),
    "design": (lambda: mx.means.Ladder(np.ones((3, 2))), r"shape \(K, D, p\)"),
    "fixed part of others": (
        lambda: mx.means.Ladder(np.ones((3, 2, 1)), np.ones((2, 2))),
        "fixed part must have shape",
    ),
    "negative w": (lambda: mx.prior.Bovy(-1.0), "w must be finite and not negative"),
    "indefinite scale": (lambda: mx.prior.InverseWishart([[1, 2], [2, 1]]), "positive semi-definite"),
    "offsets' prior": (lambda: mx.Offsets(prior_sd=[1.0, float("nan")]), "prior_sd of offsets must be positive"),
    "a box inside out": (lambda: mx.UniformBackground([1.0], [0.0]), "low < high"),
    "all background": (lambda: mx.UniformBackground([0.0], [1.0], weight=1.0), r"must be in \[0, 1\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_models_are_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_models_pickle_and_say_little():
    model = mx.Model(
        3,
        covariance="diag",
        weights="poisson",
        prior=mx.prior.Bovy(1.0),
        frozen=mx.Frozen(covariances=[True, False, False]),
    )
    again = pickle.loads(pickle.dumps(model))
    assert again.n_free(2) == model.n_free(2)
    assert repr(model) == "Model(3 components, Diagonal(tied=False), Poisson weights)"
