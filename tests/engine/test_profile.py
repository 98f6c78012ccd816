"""Profile intervals are those of closed forms, of grids, of fits with the number held, and of another optimiser."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal, norm

import mixsci as mx
from mixsci.engine.inference import profile
from mixsci.engine.inference.profile import profile_interval

TIGHT = {"tol": 1e-13, "max_iter": 20_000}
REACH = chi2.ppf(0.95, 1)


def two_clusters(seed=0, n=60, d=1, apart=4.0):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.35
    return rng.normal(size=(n, d)) * np.where(label, 0.8, 1.2)[:, None] + apart * label[:, None]


def start_of(d=1, apart=4.0):
    return mx.Mixture([0.65, 0.35], np.array([[0.0], [apart]]) * np.ones(d), np.tile(np.eye(d), (2, 1, 1)))


# --- closed forms ----------------------------------------------------------------------------------------------------


def test_mean_and_variance_of_one_gaussian():
    n = 25
    x = np.random.default_rng(0).normal(10.0, 2.0, size=(n, 1))
    fit, s2 = mx.fit(mx.Model(1), x, rng=0, **TIGHT), x.var()
    low, high = profile_interval(fit, x, lambda mixture: mixture.means[0, 0])
    half = np.sqrt(s2 * np.expm1(REACH / n))
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=1e-3 * half)

    def fallen(variance):
        return n * (np.log(variance / s2) + s2 / variance - 1.0) - REACH

    ends = brentq(fallen, 0.1 * s2, s2), brentq(fallen, s2, 10 * s2)
    assert profile_interval(fit, x, lambda mixture: mixture.covariances[0, 0, 0]) == pytest.approx(ends, rel=1e-4)
    logs = profile_interval(fit, x, lambda mixture: np.log(mixture.covariances[0, 0, 0]))
    assert np.exp(logs) == pytest.approx(ends, rel=1e-4)


def test_correlation_of_one_gaussian():
    """Twice the fall is -n log((1 - r^2)(1 - rho^2) / (1 - r rho)^2), the other numbers fitted anew."""
    n = 40
    x = np.random.default_rng(2).multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 2.0]], size=n)
    fit, r = mx.fit(mx.Model(1), x, rng=0, **TIGHT), np.corrcoef(x.T)[0, 1]

    def fallen(rho):
        return -n * np.log((1 - r**2) * (1 - rho**2) / (1 - r * rho) ** 2) - REACH

    def correlation(mixture):
        sigma = mixture.covariances[0]
        return sigma[0, 1] / np.sqrt(sigma[0, 0] * sigma[1, 1])

    ends = brentq(fallen, -0.99, r), brentq(fallen, r, 0.99)
    assert profile_interval(fit, x, correlation) == pytest.approx(ends, abs=1e-4)


def test_lambda_where_droplets_are_clearly_positive_or_negative():
    """Well apart, the likelihood of lambda is that of the binomial share of positives."""
    n, positive = 200, 61
    x = np.concatenate([np.random.default_rng(1).normal(size=n - positive), np.full(positive, 100.0)])
    x[n - positive :] += np.random.default_rng(2).normal(size=positive)
    model = mx.Model(2, weights="poisson", covariance="tied")
    start = mx.Mixture([0.5, 0.5], [[0.0], [100.0]], np.ones((2, 1, 1)), rates=0.5)
    fit = mx.fit(model, x[:, None], start=start, **TIGHT)

    def log_likelihood(rate):
        return positive * np.log(-np.expm1(-rate)) - (n - positive) * rate

    best = -np.log1p(-positive / n)
    ends = [brentq(lambda rate: 2 * (log_likelihood(best) - log_likelihood(rate)) - REACH, *pair) for pair in (
        (0.01, best), (best, 3.0))]  # fmt: skip
    assert profile_interval(fit, x[:, None], lambda mixture: mixture.rates) == pytest.approx(ends, rel=1e-4)


# --- grids -----------------------------------------------------------------------------------------------------------


def profile_on_grid(log_likelihood, values, others):
    """Greatest log-likelihood (v,) over the other number, the parabola through the best three points."""
    best = []
    for value in values:
        along = np.array([log_likelihood(value, other) for other in others])
        at = int(along.argmax())
        low, here, high = along[at - 1 : at + 2]
        best.append(here + (high - low) ** 2 / (8 * (2 * here - low - high)))
    return np.array(best)


@pytest.mark.parametrize("d", [1, 2])
def test_ends_are_where_a_grid_has_them(d):
    """One dimension: both means; two: both coordinates of one mean. Gaps and errors; all else held."""
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.2, 0.7, size=(60, d))
    x = two_clusters(3, d=d, apart=2.5) + sigma * rng.normal(size=(60, d))
    if d == 2:
        x[rng.random(x.shape) < 0.2] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors(sigma))
    held = [False, False] if d == 1 else [True, False]
    model = mx.Model(2, frozen=mx.Frozen(weights=True, means=held, covariances=True))
    fit = mx.fit(model, obs, start=start_of(d, 2.5), **TIGHT)
    one, other = ((0, 0), (1, 0)) if d == 1 else ((1, 0), (1, 1))

    def log_likelihood(value, rest):
        means = fit.mixture.means.copy()
        means[one], means[other] = value, rest
        return fit.mixture.evolve(means=means).log_density(obs, workers=1).sum()

    low, high = profile_interval(fit, obs, lambda mixture: mixture.means[one])
    others = fit.mixture.means[other] + np.linspace(-0.8, 0.8, 33)
    fall = 2.0 * (fit.log_likelihood - profile_on_grid(log_likelihood, [low, high], others))
    assert fall == pytest.approx([REACH, REACH], abs=2e-3)
    middle = np.linspace(low, high, 7)[1:-1]
    assert (2.0 * (fit.log_likelihood - profile_on_grid(log_likelihood, middle, others)) < REACH).all()


# --- another optimiser, and fits with the number held ----------------------------------------------------------------


NUMBERS = {
    "mean": (lambda mixture: mixture.means[1, 0], 1),
    "log variance": (lambda mixture: np.log(mixture.covariances[1, 0, 0]), 3),
    "log-odds": (lambda mixture: np.log(mixture.weights[1] / mixture.weights[0]), 4),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_ends_are_those_of_another_optimiser(name):
    x = two_clusters()
    fit = mx.fit(mx.Model(2), x, start=start_of(), **TIGHT)
    number, held = NUMBERS[name]
    mixture = fit.mixture
    at_fit = np.concatenate([
        mixture.means[:, 0], np.log(mixture.covariances[:, 0, 0]), [np.log(mixture.weights[1] / mixture.weights[0])]
    ])  # fmt: skip

    def log_likelihood(free, value):
        m0, m1, s0, s1, odds = np.insert(free, held, value)
        shares = -np.logaddexp(0, odds), -np.logaddexp(0, -odds)
        parts = [share + norm.logpdf(x[:, 0], m, np.exp(s / 2)) for share, m, s in zip(
            shares, (m0, m1), (s0, s1), strict=True)]  # fmt: skip
        return logsumexp(parts, axis=0).sum()

    for end in profile_interval(fit, x, number):
        best = minimize(lambda free, end=end: -log_likelihood(free, end), np.delete(at_fit, held), tol=1e-10)
        assert 2.0 * (fit.log_likelihood + best.fun) == pytest.approx(REACH, abs=2e-3)


def test_ends_of_a_step_of_a_ladder_are_those_of_fits_that_hold_it():
    """Errors, gaps, groups with weights and offsets, a prior and a background: what is held is a ladder less a step."""
    rng = np.random.default_rng(5)
    codes, copies = np.arange(150) % 2, rng.integers(3, size=150)
    sigma = rng.uniform(0.2, 0.6, size=(150, 2))
    x = 4.0 * copies[:, None] * [1.0, 0.5] + 0.5 * codes[:, None] + np.hypot(1.0, sigma) * rng.normal(size=(150, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors(sigma), groups=codes)
    design = np.zeros((3, 2, 3))
    design[:, 0, 0] = design[:, 1, 1] = 1.0
    design[:, :, 2] = np.arange(3)[:, None] * [1.0, 0.5]
    options = {
        "covariance": "tied",
        "offsets": mx.Offsets(prior_sd=0.5),
        "background": mx.UniformBackground([-6.0, -6.0], [18.0, 14.0], weight=0.02),
        "prior": mx.prior.InverseWishart(scale=np.eye(2), dof=3.0),
    }
    start = mx.Mixture(np.full(3, 1 / 3), design @ [0.0, 0.0, 4.0], np.tile(np.eye(2), (3, 1, 1)))
    fit = mx.fit(mx.Model(3, means=mx.means.Ladder(design), **options), obs, start=start, **TIGHT)
    for end in profile_interval(fit, obs, lambda mixture: mixture.theta[2]):
        ladder = mx.means.Ladder(design[:, :, :2], design[:, :, 2] * end)
        held = mx.fit(mx.Model(3, means=ladder, **options), obs, start=start, **TIGHT)
        assert 2.0 * (fit.objective - held.objective) == pytest.approx(REACH, abs=2e-3)


def test_the_level_is_that_of_the_fall():
    x = np.random.default_rng(0).normal(size=(30, 1))
    fit = mx.fit(mx.Model(1), x, rng=0, **TIGHT)
    low, high = profile_interval(fit, x, lambda mixture: mixture.means[0, 0], 0.5)
    half = np.sqrt(x.var() * np.expm1(chi2.ppf(0.5, 1) / 30))
    assert high - low == pytest.approx(2 * half, rel=1e-3)


# --- covariances near zero, beneath errors ---------------------------------------------------------------------------


def beneath_errors(x):
    """Rows (n, D), each with an error of one."""
    return mx.Observations(x, mx.noise.from_errors(np.ones(x.shape)))


def variance_of(k):
    return lambda mixture: mixture.covariances[k, 0, 0]


@pytest.mark.parametrize(("seed", "edge"), [(0, False), (2, True)])
def test_variance_of_one_gaussian_beneath_errors(seed, edge):
    """The mean is that of the rows whatever the variance, so that the profile is a formula."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 0.3, size=(400, 1)) + rng.normal(size=(400, 1))
    obs = beneath_errors(x)
    fit = mx.fit(mx.Model(1), obs, rng=0, **TIGHT)

    def fallen(variance):
        return 2.0 * (fit.log_likelihood - norm.logpdf(x, x.mean(), np.sqrt(1.0 + variance)).sum()) - REACH

    at_fit = fit.mixture.covariances[0, 0, 0]
    assert (fallen(0.0) < 0) == edge
    low, high = 0.0 if edge else brentq(fallen, 0.0, at_fit), brentq(fallen, at_fit, 1.0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert profile_interval(fit, obs, variance_of(0)) == pytest.approx((low, high), abs=2e-5)
        logs = profile_interval(fit, obs, lambda mixture: np.log(mixture.covariances[0, 0, 0]))
    assert np.exp(logs) == pytest.approx([low, high], rel=1e-3, abs=1e-12)
    remarks = ["comes to an edge below the fit", "never falls as far as the level asks below the fit"]
    assert len(said) == 2 * edge and all(part in str(one.message) for part, one in zip(remarks, said, strict=False))


def two_beneath_errors(seed):
    """Two clusters of points without spread, seen with errors."""
    rng = np.random.default_rng(seed)
    x = (rng.choice([0, 5], 400) + rng.normal(0.0, 1.0, 400))[:, None]
    return mx.fit(mx.Model(2), beneath_errors(x), rng=0), x


def best_of_two(fit, x, held, value):
    """Greatest log-likelihood with one of log-odds, means and variances held, by a bounded optimiser from three places.

    Variances are those of a mixture of Gaussians of variance one more.
    """
    mixture = fit.mixture
    at = np.array([np.log(mixture.weights[1] / mixture.weights[0]), *mixture.means[:, 0], *mixture.covariances.ravel()])

    def lost(free):
        odds, m0, m1, v0, v1 = np.insert(free, held, value)
        parts = [share + norm.logpdf(x[:, 0], m, np.sqrt(1.0 + v)) for share, m, v in zip(
            (-np.logaddexp(0, odds), -np.logaddexp(0, -odds)), (m0, m1), (v0, v1), strict=True)]  # fmt: skip
        return -logsumexp(parts, axis=0).sum()

    bounds = np.delete(np.array([(-9.0, 9.0)] * 3 + [(0.0, 9.0)] * 2), held, axis=0)
    starts = [np.delete(at + more * np.array([0, 0, 0, 1, 1]), held) for more in (0.0, 0.05, 0.2)]
    options = {"ftol": 1e-14, "gtol": 1e-8}
    return max(-minimize(lost, start, bounds=bounds, method="L-BFGS-B", options=options).fun for start in starts)


#: Number, its place in `best_of_two`.
OF_TWO = {
    "log-odds": (lambda mixture: np.log(mixture.weights[1] / mixture.weights[0]), 0),
    "mean": (lambda mixture: mixture.means[0, 0], 1),
    "variance": (variance_of(0), 3),
    "other variance": (variance_of(1), 4),
}


@pytest.mark.parametrize("name", OF_TWO)
@pytest.mark.parametrize("seed", [4, 2])
@pytest.mark.filterwarnings("ignore:the number comes to an edge")
def test_ends_of_two_components_beneath_errors_are_those_of_a_bounded_optimiser(seed, name):
    """Of the second fit a variance is zero, and comes back when other numbers move."""
    (fit, x), (number, held) = two_beneath_errors(seed), OF_TWO[name]
    for end in profile_interval(fit, beneath_errors(x), number):
        fall = 2.0 * (fit.log_likelihood - best_of_two(fit, x, held, end))
        assert fall == pytest.approx(REACH, abs=3e-3) or (end == 0.0 and held > 2 and fall < REACH)


def test_a_mean_beneath_errors_ends_where_fits_that_hold_it_do():
    fit, x = two_beneath_errors(4)
    for end in profile_interval(fit, beneath_errors(x), lambda mixture: mixture.means[0, 0]):
        start = fit.mixture.evolve(means=np.array([[end], fit.mixture.means[1]]), covariances=np.full((2, 1, 1), 0.1))
        model = mx.Model(2, frozen=mx.Frozen(means=[True, False]))
        held = mx.fit(model, beneath_errors(x), start=start, **TIGHT)
        assert 2.0 * (fit.log_likelihood - held.log_likelihood) == pytest.approx(REACH, abs=3e-3)


def test_a_flat_component_of_two_dimensions_turns_on_the_way():
    """A covariance with a side of next to nothing; held is a mean, and the others climb in roots of covariances."""
    rng = np.random.default_rng(3)
    label, x = rng.choice(2, 300), rng.normal(size=(300, 2)) * [0.05, 0.6] + rng.normal(size=(300, 2))
    x += label[:, None] * [6.0, 3.0]
    fit = mx.fit(mx.Model(2), beneath_errors(x), rng=0)
    mixture, low = fit.mixture, np.tril_indices(2)
    roots = np.linalg.cholesky(mixture.covariances + 1e-6 * np.eye(2))
    at_fit = np.concatenate([[np.log(mixture.weights[1] / mixture.weights[0])], mixture.means.ravel()[1:],
                             roots[:, *low].ravel()])  # fmt: skip
    assert (np.linalg.eigvalsh(mixture.covariances)[:, 0] < 1e-4).all()

    def lost(free, value):
        means, roots = np.append(value, free[1:4]).reshape(2, 2), np.zeros((2, 2, 2))
        roots[:, *low] = free[4:].reshape(2, 3)
        shares = -np.logaddexp(0, free[0]), -np.logaddexp(0, -free[0])
        parts = [share + multivariate_normal.logpdf(x, mean, root @ root.T + np.eye(2)) for share, mean, root in zip(
            shares, means, roots, strict=True)]  # fmt: skip
        return -logsumexp(parts, axis=0).sum()

    for end in profile_interval(fit, beneath_errors(x), lambda mixture: mixture.means[0, 0]):
        starts = [np.append(at_fit[:4], at_fit[4:] + more) for more in (0.0, 0.05)]
        best = min(minimize(lost, start, args=(end,), tol=1e-7).fun for start in starts)
        assert 2.0 * (fit.log_likelihood + best) == pytest.approx(REACH, abs=5e-3)


def test_a_profile_that_is_lost_gives_no_end(monkeypatch):
    x = two_clusters()
    fit = mx.fit(mx.Model(2), x, start=start_of(), **TIGHT)
    monkeypatch.setattr(profile, "climbed", lambda *_: None)
    with pytest.warns(UserWarning, match="none was found, so this end is nan") as said:
        ends = profile_interval(fit, x, lambda mixture: mixture.means[0, 0])
    assert np.isnan(ends).all() and len(said) == 2


# --- open ends and edges ---------------------------------------------------------------------------------------------


def hardly_any_of_the_second():
    """Rows of which hardly any comes from the second of two components, both known."""
    x = np.append(np.random.default_rng(4).normal(size=29), 2.0)[:, None]
    model = mx.Model(2, frozen=mx.Frozen(means=True, covariances=True))
    start = mx.Mixture([0.9, 0.1], [[0.0], [2.0]], np.ones((2, 1, 1)))
    return mx.fit(model, x, start=start, **TIGHT), x


def test_a_likelihood_that_never_falls_leaves_the_interval_open():
    fit, x = hardly_any_of_the_second()
    assert 0.005 < fit.mixture.weights[1] < 0.2
    with pytest.warns(UserWarning, match="never falls as far as the level asks below the fit"):
        low, high = profile_interval(fit, x, lambda mixture: np.log(mixture.weights[1] / mixture.weights[0]))
    assert low == -np.inf
    with pytest.warns(UserWarning, match="comes to an edge below the fit"):
        least, most = profile_interval(fit, x, lambda mixture: mixture.weights[1])
    assert least == 0.0
    assert np.log(most / (1 - most)) == pytest.approx(high, abs=1e-3)

    def fallen(weight):
        parts = np.log1p(-weight) + norm.logpdf(x[:, 0]), np.log(weight) + norm.logpdf(x[:, 0], 2.0)
        return 2.0 * (fit.log_likelihood - logsumexp(parts, axis=0).sum()) - REACH

    assert most == pytest.approx(brentq(fallen, fit.mixture.weights[1], 0.9), rel=1e-4)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_what_has_no_profile_is_refused():
    x = two_clusters()
    fit = mx.fit(mx.Model(2), x, start=start_of(), **TIGHT)
    with pytest.raises(mx.DataError, match=r"a profile is that of one number; the function gave an array of shape \(2"):
        profile_interval(fit, x, lambda mixture: mixture.weights)
    with pytest.raises(mx.DataError, match="needs a number with a standard error; this one is held"):
        profile_interval(fit, x, lambda mixture: mixture.weights.sum())
    with pytest.raises(mx.DataError, match="level must lie between 0 and 1; got 95"):
        profile_interval(fit, x, lambda mixture: mixture.weights[0], 95)
    with pytest.raises(mx.DataError, match="these are not the rows of the fit"):
        profile_interval(fit, x[1:], lambda mixture: mixture.weights[0])
    factors = mx.fit(mx.FactorModel(1, 1), np.hstack([x, x**2, -x]), rng=0)
    with pytest.raises(mx.DataError, match="got a FactorModel"):
        profile_interval(factors, x, lambda mixture: mixture.weights[0])


def test_what_rows_do_not_tell_is_refused():
    obs = mx.Observations(np.random.default_rng(5).normal(size=(80, 1)), projection=np.array([[1.0, 0.0]]))
    fit = mx.fit(mx.Model(1), obs, start=mx.Mixture([1.0], [[0.0, 0.0]], np.eye(2)[None]), **TIGHT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(mx.DataError, match="this one is not told by the rows"):
            profile_interval(fit, obs, lambda mixture: mixture.means[0, 1])
        low, high = profile_interval(fit, obs, lambda mixture: mixture.means[0, 0])
    assert low < fit.mixture.means[0, 0] < high


def test_a_fit_without_a_maximum_is_refused():
    x = np.random.default_rng(0).normal(size=(4, 6))
    with pytest.warns(mx.ConvergenceWarning):
        collapsed = mx.fit(mx.Model(1), x, rng=0)
    with pytest.raises(mx.DataError, match=r"has not come to it\. A component collapsed"):
        profile_interval(collapsed, x, lambda mixture: mixture.means[0, 0])
