"""Stick-breaking weights: the evidence bound never falls, is a bound, and is scikit-learn's on complete rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import gammaln, multigammaln
from scipy.stats import gamma, norm
from sklearn.mixture import BayesianGaussianMixture

import mixsci as mx
from mixsci.engine.em.begin import ready
from mixsci.engine.em.variational_fit import VariationalFit
from mixsci.engine.model.variational import VariationalModel
from mixsci.engine.model.wishart import BLOCKS
from tests.oracles import row_weights
from tests.problems import draw_rows, random_covariances
from tests.separated import separated_set

STRUCTURES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")


def prior(d, seed=0, **changes):
    """A prior with all its numbers, in D dimensions."""
    rng = np.random.default_rng(seed)
    scale = random_covariances(rng, 1, d)[0]
    return mx.prior.GaussWishart(
        **({"mean_precision": 0.3, "mean": rng.normal(size=d), "dof": d + 1.5, "scale": scale} | changes)
    )


def problem(seed):
    """Rows with gaps, noise, projections and weights; a model of posteriors; a mixture to begin from."""
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    means = 3.0 * rng.normal(size=(k, d))
    noise, view = str(rng.choice(["none", "shared", "errors", "full"])), str(rng.choice(["none", "shared", "rows"]))
    groups = int(rng.choice([0, 0, 2]))
    obs, _ = draw_rows(rng, means, n=70, noise=noise, projection=view, groups=groups)
    floor = float(rng.choice([0.0, 0.3]))
    weights = mx.weights.StickBreaking(float(rng.choice([0.2, 1.0, 5.0])))
    model = mx.Model(k, covariance=STRUCTURES[seed % 6], weights=weights, prior=prior(d, seed), floor=floor)
    start = mx.Mixture(np.full(k, 1 / k), means + rng.normal(size=(k, d)), random_covariances(rng, k, d))
    return model, obs, start


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("accelerate", [False, True])
def test_the_bound_never_falls(seed, accelerate):
    model, obs, start = problem(seed)
    bounds = []
    for state in mx.iterate(model, obs, start=start, accelerate=accelerate, workers=1):
        bounds.append(state.objective)
        if state.iteration > 25:
            break
    assert np.isfinite(bounds).all()
    assert all(after >= before - 1e-9 * abs(before) for before, after in pairwise(bounds))
    assert bounds[-1] > bounds[0]


@pytest.mark.parametrize("seed", range(3))
def test_every_step_is_the_best_posterior_for_its_rows(seed):
    """Given the shares of an E-step no posterior nearby has a higher bound: the M-step is the exact maximum."""
    model, obs, start = problem(seed)
    model, start = ready(model, start, obs)
    mixture, _ = mx.em_step(model, start, obs)
    for _ in range(2000):
        before = mixture
        mixture, stats = mx.em_step(model, mixture, obs)
        if np.abs(model.pack(mixture) - model.pack(before)).max() < 1e-10:
            break
    best, rng, here = stats.log_likelihood + model.log_prior(before), np.random.default_rng(seed), model.pack(mixture)
    for _ in range(10):
        step = 1e-3 * rng.normal(size=len(here)) * model.sizes(mixture) / np.sqrt(stats.row_weight)
        other = model.unpack(here + step, mixture)
        assert mx.expect(other, obs).log_likelihood + model.log_prior(other) <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("seed", range(6))
def test_packing_a_posterior_is_exact(seed):
    model, obs, start = problem(seed)
    model, start = ready(model, start, obs)
    mixture, _ = mx.em_step(model, start, obs)
    back = model.unpack(model.pack(mixture), mixture)
    for name in ("weights", "means", "covariances", "counts", "log_shares"):
        np.testing.assert_allclose(getattr(back, name), getattr(mixture, name), rtol=1e-9, atol=1e-12)
    assert mixture.counts.sum() == pytest.approx(row_weights(obs).sum())


# --- an independent package ------------------------------------------------------------------------------------------


def their_fit(x, k, belief, seed):
    return BayesianGaussianMixture(
        n_components=k, weight_concentration_prior=0.7, mean_prior=belief.mean,
        mean_precision_prior=belief.mean_precision, degrees_of_freedom_prior=belief.dof, covariance_prior=belief.scale,
        reg_covar=0.0, tol=1e-12, max_iter=20_000, random_state=seed,
    ).fit(x)  # fmt: skip


def test_complete_rows_have_the_posterior_of_scikit_learn():
    """Of its full covariances: to the others it applies the expected log determinant of a full Wishart matrix."""
    rng, belief, k = np.random.default_rng(3), prior(2), 4
    x = np.concatenate([rng.normal(at, 1.0, size=(40, 2)) for at in ([-3, 0], [3, 1], [0, 4])])
    model, apart = mx.Model(k, weights=mx.weights.StickBreaking(0.7), prior=belief), []
    for seed in range(2):
        theirs = their_fit(x, k, belief, seed)
        ours = climbed(model, x, mx.Mixture(theirs.weights_, theirs.means_, theirs.covariances_))
        np.testing.assert_allclose(ours.mixture.weights, theirs.weights_, atol=2e-5)
        np.testing.assert_allclose(ours.mixture.means, theirs.means_, atol=2e-4)
        np.testing.assert_allclose(ours.mixture.covariances, theirs.covariances_, atol=2e-4)
        np.testing.assert_allclose(ours.mixture.counts, theirs.mean_precision_ - belief.mean_precision, atol=5e-3)
        apart.append(ours.objective - theirs.lower_bound_)
    # Both bounds differ by a constant that depends on the prior alone.
    assert apart[0] == pytest.approx(apart[1], abs=1e-4)


def test_in_one_dimension_all_shapes_are_one():
    x = np.random.default_rng(4).normal(np.repeat([-3.0, 3.0], 30))[:, None]
    begin = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], np.ones((2, 1, 1)))
    bounds = [
        climbed(mx.Model(2, kind, "stick-breaking", prior=prior(1)), x, begin).objective for kind in STRUCTURES[2:4]
    ]
    full = climbed(mx.Model(2, "full", "stick-breaking", prior=prior(1)), x, begin).objective
    assert bounds == pytest.approx([full, full], rel=1e-10)


def climbed(model, obs, begin):
    """The last state of a climb to its end."""
    for state in mx.iterate(model, obs, start=begin):
        if (state.iteration > 5 and state.gap < 1e-10) or state.iteration > 2000:
            break
    return state


# --- the evidence itself ---------------------------------------------------------------------------------------------


def partitions(items):
    """All ways to divide a list among clusters."""
    if not items:
        yield []
        return
    first, *rest = items
    for parts in partitions(rest):
        for at in range(len(parts)):
            yield [*parts[:at], [first, *parts[at]], *parts[at + 1 :]]
        yield [[first], *parts]


def log_evidence(n, alpha, log_marginal):
    """log p(rows) of a Dirichlet process mixture: the sum over all partitions (Antoniak 1974)."""
    process = gammaln(alpha) - gammaln(alpha + n)
    terms = [
        process + sum(np.log(alpha) + gammaln(len(part)) + log_marginal(part) for part in parts)
        for parts in partitions(list(range(n)))
    ]
    return float(np.logaddexp.reduce(terms))


def log_marginal_of(x, belief):
    """log p of complete rows (n, D) of one component, its mean and precision integrated out (Murphy 2007, eq. 266)."""
    n, d = x.shape
    beta, nu, mean = belief.mean_precision + n, belief.dof + n, x.mean(axis=0)
    share = belief.mean_precision * n / beta
    apart = mean - belief.mean
    scale = belief.scale + (x - mean).T @ (x - mean) + share * np.outer(apart, apart)
    dets = belief.dof * np.linalg.slogdet(belief.scale)[1] - nu * np.linalg.slogdet(scale)[1]
    gammas = multigammaln(nu / 2, d) - multigammaln(belief.dof / 2, d)
    return -n * d / 2 * np.log(np.pi) + gammas + 0.5 * dets + d / 2 * np.log(belief.mean_precision / beta)


def highest_bound(model, obs, seeds=6):
    """The highest evidence bound from a few starts."""
    rng, bounds = np.random.default_rng(0), []
    k, d = model.n_components, obs.n_dims
    for _ in range(seeds):
        begin = mx.Mixture(np.full(k, 1 / k), 2 * rng.normal(size=(k, d)), random_covariances(rng, k, d))
        bounds.append(climbed(model, obs, begin).objective)
    return max(bounds)


@pytest.mark.parametrize("d", [1, 2])
def test_the_bound_lies_below_the_evidence(d):
    rng, belief, alpha = np.random.default_rng(d), prior(d), 0.8
    x = np.concatenate([rng.normal(-4, 1, size=(3, d)), rng.normal(4, 1, size=(4, d))])
    exact = log_evidence(len(x), alpha, lambda rows: log_marginal_of(x[rows], belief))
    model = mx.Model(4, weights=mx.weights.StickBreaking(alpha), prior=belief)
    bound = highest_bound(model, mx.Observations(x))
    assert exact - 4.0 < bound < exact


def test_with_a_single_row_the_bound_of_one_component_is_close_to_the_evidence():
    """One row leaves the partition no choice: all that is lost is the dependence of mean and precision on the row."""
    x, belief = np.array([[0.7]]), prior(1, mean_precision=2.0, dof=6.0)
    exact = log_marginal_of(x, belief)
    model = mx.Model(1, weights=mx.weights.StickBreaking(1e-9), prior=belief)
    # A mean and precision that have a posterior of their own given complete rows lose nothing at all.
    assert highest_bound(model, mx.Observations(x), 1) == pytest.approx(exact, abs=1e-7)


def test_with_gaps_the_bound_lies_below_the_evidence():
    """Diagonal covariances let the evidence of rows with gaps be written down, column by column."""
    rng, alpha = np.random.default_rng(5), 0.8
    belief = prior(2, scale=np.diag([0.8, 1.3]), dof=2.5)
    x = np.concatenate([rng.normal(-4, 1, size=(3, 2)), rng.normal(4, 1, size=(3, 2))])
    x[1, 0] = x[4, 1] = np.nan

    def log_marginal(rows):
        columns = [x[rows, j][~np.isnan(x[rows, j])] for j in range(2)]
        alone = [prior(1, mean=belief.mean[[j]], scale=belief.scale[[j]][:, [j]], dof=belief.dof) for j in range(2)]
        return sum(
            log_marginal_of(column[:, None], one) for column, one in zip(columns, alone, strict=True) if len(column)
        )

    exact = log_evidence(len(x), alpha, log_marginal)
    model = mx.Model(3, covariance="diag", weights=mx.weights.StickBreaking(alpha), prior=belief)
    assert exact - 6.0 < highest_bound(model, mx.Observations(x)) < exact


def test_with_noise_the_bound_lies_below_the_evidence():
    """Three rows with errors: mean and precision integrated numerically for every subset."""
    belief, alpha = prior(1, mean=np.zeros(1), dof=4.0, mean_precision=0.5), 0.8
    x, sigma = np.array([-1.5, -1.0, 3.0]), np.array([0.5, 1.0, 0.7])
    rate = belief.scale[0, 0] / 2

    log_precision, mean = np.meshgrid(np.linspace(-8.0, 7.0, 301), np.linspace(-20.0, 20.0, 1001))
    precision = np.exp(log_precision)
    before = gamma.logpdf(precision, belief.dof / 2, scale=1 / rate) + log_precision
    before += norm.logpdf(mean, 0.0, 1 / np.sqrt(belief.mean_precision * precision))

    def log_marginal(rows):
        seen = sum(norm.logpdf(x[row], mean, np.sqrt(1 / precision + sigma[row] ** 2)) for row in rows)
        return float(np.log(np.exp(before + seen).sum() * 0.05 * 0.04))

    assert abs(log_marginal([])) < 1e-3

    exact = log_evidence(len(x), alpha, log_marginal)
    obs = mx.Observations(x[:, None], mx.noise.from_errors(sigma[:, None]))
    bound = highest_bound(mx.Model(3, weights=mx.weights.StickBreaking(alpha), prior=belief), obs)
    assert exact - 4.0 < bound < exact


@pytest.mark.parametrize("structure", BLOCKS, ids=lambda kind: kind.__name__)
def test_divergence_of_precisions_is_the_one_of_draws(structure):
    """E log q - log p over draws of the precisions, whose densities scipy knows, is the closed form."""
    d, dof, before = 2, 7.5, 4.0
    rng, blocks = np.random.default_rng(2), BLOCKS[structure]
    sigma = structure().shape(random_covariances(rng, 1, d))
    expected = structure().shape(random_covariances(rng, 1, d))[0]
    exact = blocks.divergence(sigma, np.array([dof]), expected, before)
    total, variance, excess = 0.0, 0.0, 0.0
    for q, p in zip(blocks.of(sigma)[0], blocks.of(expected[None])[0], strict=True):
        nu, nu0 = blocks.freedom(np.array([dof, before]), d)
        after, prior_law = wishart_law(nu, q), wishart_law(nu0, p)
        draws = after.rvs(5_000, random_state=rng).reshape(5_000, *q.shape)
        lasts = np.moveaxis(draws, 0, -1)
        gains = after.logpdf(lasts) - prior_law.logpdf(lasts)
        total, variance = total + float(np.mean(gains)), variance + float(np.var(gains)) / len(draws)
        repeated = d / (len(blocks.of(sigma)[0]) * len(q))
        excess += repeated * float(np.mean(np.linalg.slogdet(draws)[1]) + np.linalg.slogdet(q)[1])
    assert abs(exact - total) < 4.0 * np.sqrt(variance)
    assert float(blocks.log_det_excess(np.array([dof]), d)[0]) == pytest.approx(excess, abs=0.06)


def wishart_law(dof, expected_inverse):
    from scipy.stats import wishart

    return wishart(dof, np.linalg.inv(expected_inverse) / dof)


# --- fits ------------------------------------------------------------------------------------------------------------

HARD = {"complete": {}, "gaps": {"gaps": 0.3}, "noise": {"noise": True}, "both": {"gaps": 0.3, "noise": True}}


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("seed", [9])
def test_a_fit_finds_the_number_of_components(kind, seed):
    obs, k = separated_set(seed, **HARD[kind])
    fit = mx.fit(mx.Model(10, weights="stick-breaking"), obs, rng=seed)
    assert fit.converged
    assert fit.mixture.n_components == fit.model.n_components == k
    assert fit.objective == pytest.approx(fit.history[-1])
    assert np.diff(fit.history).min(initial=0.0) > -1e-9 * abs(fit.objective)
    assert fit.log_likelihood == pytest.approx(fit.log_density(obs) @ row_weights(obs))
    assert (np.diff(fit.mixture.weights) <= 0).all()


def test_units_do_not_matter():
    obs, _ = separated_set(9, gaps=0.2)
    fit = mx.fit(mx.Model(8, weights="stick-breaking"), obs, rng=1)
    scale, shift = np.array([1e-4, 300.0])[: obs.width], 5.0
    scale = np.resize(scale, obs.width)
    other = mx.fit(mx.Model(8, weights="stick-breaking"), mx.Observations(obs.x * scale + shift), rng=1)
    np.testing.assert_allclose(other.mixture.means, fit.mixture.means * scale + shift, rtol=1e-4)
    np.testing.assert_allclose(other.mixture.weights, fit.mixture.weights, rtol=1e-4)


def test_row_weights_are_rows_many_times_over():
    obs, _ = separated_set(7)
    twice = mx.fit(mx.Model(5, weights="stick-breaking"), mx.Observations(np.tile(obs.x, (2, 1))), rng=0)
    heavy = mx.fit(
        mx.Model(5, weights="stick-breaking"), mx.Observations(obs.x, row_weights=np.full(len(obs), 2.0)), rng=0
    )
    assert heavy.objective == pytest.approx(twice.objective, abs=1e-2)
    np.testing.assert_allclose(heavy.mixture.means, twice.mixture.means, atol=1e-3)


def test_threads_blocks_and_groups():
    obs, k = separated_set(8)
    model = mx.Model(6, weights="stick-breaking")
    one, two = (mx.fit(model, obs, rng=0, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.mixture.means, two.mixture.means)
    halves = [mx.Observations(half) for half in np.array_split(obs.x, 2)]
    blocks = mx.fit(model, mx.from_blocks(lambda: iter(halves)), rng=0)
    assert blocks.mixture.n_components == k
    grouped = mx.fit(model, mx.Observations(obs.x, groups=np.arange(len(obs)) % 2), rng=0)
    assert grouped.mixture.n_components == k
    np.testing.assert_array_equal(grouped.mixture.weights[0], grouped.mixture.weights[1])


def test_a_fit_is_saved_with_its_posteriors(tmp_path):
    obs, k = separated_set(7, gaps=0.1)
    fit = mx.fit(mx.Model(5, weights="stick-breaking"), obs, rng=0)
    fit.save(tmp_path / "fit.json")
    back = mx.load(tmp_path / "fit.json")
    assert isinstance(back, VariationalFit)
    assert isinstance(back.model, VariationalModel)
    assert back.objective == fit.objective
    np.testing.assert_array_equal(back.variational.log_shares, fit.variational.log_shares)
    np.testing.assert_array_equal(back.predict(obs), fit.predict(obs))
    bound = mx.expect(back.variational, obs).log_likelihood + back.model.log_prior(back.variational)
    assert bound == pytest.approx(fit.objective, rel=1e-12)
    assert back.variational.counts.sum() == pytest.approx(fit.n, rel=1e-6)
    assert len(back.variational.counts) == k


def test_more_components_than_rows_are_cut():
    assert mx.fit(mx.Model(10, weights="stick-breaking"), np.array([[0.0], [1.0], [9.0]]), rng=0).converged


# --- what is refused -------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(50, 2))
STICKS = {"weights": "stick-breaking"}
REFUSED = {
    "background": (lambda: fitted(background=mx.UniformBackground([-9, -9], [9, 9])), "no background and no offsets"),
    "scaled": (lambda: fitted(covariance="scaled"), "full, diagonal or spherical covariances"),
    "fixed means": (lambda: fitted(means=mx.means.Fixed(np.zeros((3, 2)))), "means must be free"),
    "hard": (lambda: fitted(assignment="hard"), "share rows among components"),
    "another prior": (lambda: fitted(prior=mx.prior.InverseWishart()), "is a GaussWishart"),
    "that prior elsewhere": (lambda: mx.Model(2, prior=mx.prior.GaussWishart()), "goes with StickBreaking"),
    "an open prior": (lambda: mx.em_step(mx.Model(3, **STICKS), start(), X), "takes numbers from data"),
    "few degrees": (lambda: fitted(prior=mx.prior.GaussWishart(dof=0.5)), "above D - 1 = 1"),
    "another size": (lambda: fitted(prior=mx.prior.GaussWishart(scale=np.eye(3))), "scale"),
    "alpha": (lambda: mx.weights.StickBreaking(0.0), "alpha must be positive"),
    "precision": (lambda: mx.prior.GaussWishart(mean_precision=-1.0), "must be positive"),
    "scale": (lambda: mx.prior.GaussWishart(scale=[[1.0, 2.0], [2.0, 1.0]]), "positive definite"),
    "mean": (lambda: mx.prior.GaussWishart(mean=[np.nan]), "finite"),
    "checkpoint": (lambda: mx.fit(mx.Model(3, **STICKS), X, checkpoint="x"), "known number of components"),
    "split": (lambda: mx.fit(mx.Model(3, **STICKS), X, split_and_merge=True), "known number of components"),
    "select": (lambda: mx.select(X, model=mx.Model(3, **STICKS)), "known number of components"),
    "errors": (lambda: mx.standard_errors(fitted(), X), "known number of components"),
    "factors": (lambda: mx.FactorModel(2, 1, weights="stick-breaking"), "free weights"),
}


def fitted(**settings):
    return mx.fit(mx.Model(3, **{**STICKS, **settings}), X, rng=0)


def start():
    return mx.Mixture(np.full(3, 1 / 3), X[:3], np.tile(np.eye(2), (3, 1, 1)))


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_in_a_sentence(case):
    act, sentence = REFUSED[case]
    with pytest.raises(mx.DataError, match=sentence):
        act()
