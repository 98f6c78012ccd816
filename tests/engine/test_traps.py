"""Where EM stands still or falls into a hole: equal means, and components that collapse."""

from __future__ import annotations

import numpy as np
import pytest

import mixsci as mx

IDENTITY = np.eye(2)


def two_clouds(seed=0, d=2):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(-2.0, 1.0, (300, d)), rng.normal(2.0, 1.0, (200, d))])


# --- equal means -----------------------------------------------------------------------------------------------------


def equal_means(k, d, at=1.0):
    weights = np.arange(1.0, k + 1)
    return mx.Mixture(weights / weights.sum(), np.full((k, d), at), np.tile(2.0 * np.eye(d), (k, 1, 1)))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("accelerate", [False, True])
def test_a_start_with_equal_means_ends_as_one_gaussian(k, accelerate):
    x = two_clouds()
    x[::6, 0] = np.nan
    one = mx.fit(mx.Model(1), x, tol=1e-12)
    trapped = mx.fit(mx.Model(k), x, start=equal_means(k, 2), accelerate=accelerate, tol=1e-12)
    assert trapped.converged
    assert trapped.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(trapped.mixture.means, np.tile(one.mixture.means, (k, 1)), atol=1e-5)
    np.testing.assert_allclose(trapped.responsibilities(x), np.tile(equal_means(k, 2).weights, (len(x), 1)), atol=1e-6)


def test_there_the_score_is_zero_but_it_is_no_maximum():
    x = two_clouds()
    one = mx.fit(mx.Model(1), x, tol=1e-12)
    mean, covariance = one.mixture.means[0], one.mixture.covariances[0]
    stats = mx.expect(mx.Mixture([0.6, 0.4], [mean, mean], [covariance, covariance]), x)
    np.testing.assert_allclose(stats.g, 0.0, atol=1e-4)
    np.testing.assert_allclose(stats.H, 0.0, atol=1e-3)
    apart = 0.1 * np.linalg.eigh(covariance)[1][:, -1]
    moved = mx.Mixture(
        [0.6, 0.4], [mean + 0.4 * apart, mean - 0.6 * apart], [covariance - 0.24 * np.outer(apart, apart)] * 2
    )
    assert mx.expect(moved, x).log_likelihood > one.log_likelihood


def test_standard_errors_notice_the_saddle():
    x = two_clouds(d=1)
    with pytest.warns(UserWarning, match="the fit is no maximum in means"):
        mx.standard_errors(mx.fit(mx.Model(2), x, start=equal_means(2, 1)), x)


@pytest.mark.parametrize("seed", range(5))
def test_default_starts_are_never_trapped(seed):
    x = two_clouds(seed)
    one, two = (mx.fit(mx.Model(k), x, rng=seed) for k in (1, 2))
    assert two.log_likelihood > one.log_likelihood + 50
    np.testing.assert_allclose(np.sort(two.mixture.means[:, 0]), [-2.0, 2.0], atol=0.3)


def test_means_left_open_escape():
    x, start = two_clouds(), equal_means(2, 2, at=np.nan)
    fit = mx.fit(mx.Model(2), x, start=start, starts=3, rng=0)
    np.testing.assert_allclose(np.sort(fit.mixture.means[:, 0]), [-2.0, 2.0], atol=0.3)


# --- collapse --------------------------------------------------------------------------------------------------------


def repeated_rows():
    """60 rows, four of which are one, and a start whose second component sits on these."""
    x = np.random.default_rng(3).normal(size=(60, 2))
    x[:4] = x[0]
    return x, mx.Mixture([0.9, 0.1], [[0.0, 0.0], x[0]], [IDENTITY, 1e-3 * IDENTITY])


def test_without_a_prior_a_component_collapses_and_says_so():
    x, start = repeated_rows()
    with pytest.warns(mx.ConvergenceWarning, match=r"use fewer components, a floor, a prior"):
        fit = mx.fit(mx.Model(2), x, start=start)
    assert fit.outcome is mx.Outcome.COLLAPSED
    assert np.isfinite(fit.log_likelihood)


def test_the_likelihood_has_no_maximum_there():
    x, start = repeated_rows()
    spreads = [IDENTITY * 10.0**-power for power in (4, 8, 12)]
    climb = [
        mx.expect(mx.Mixture(start.weights, start.means, [IDENTITY, spread]), x).log_likelihood for spread in spreads
    ]
    # Four rows, two dimensions: every factor 1e-4 of the variance is worth 4 log 1e4.
    np.testing.assert_allclose(np.diff(climb), 4 * np.log(1e4), rtol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_without_a_start_of_its_own_a_fit_stays_away_from_the_hole(seed):
    x, _ = repeated_rows()
    fit = mx.fit(mx.Model(2), x, rng=seed)
    assert fit.converged
    assert np.linalg.eigvalsh(fit.mixture.covariances).min() > 1e-4


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_an_inverse_wishart_prior_bounds_every_eigenvalue(scale):
    """The M-step is (scatter + scale) / (N_k + dof + D + 1), and scatter is never negative."""
    x, start = repeated_rows()
    fit = mx.fit(mx.Model(2, prior=mx.prior.InverseWishart(scale * IDENTITY, dof=1.0)), x, start=start)
    assert fit.converged
    counts = fit.responsibilities(x).sum(axis=0)
    least = np.linalg.eigvalsh(fit.mixture.covariances)[:, 0]
    assert (least >= (1 - 1e-6) * scale / (counts + 1.0 + 2 + 1)).all()
    assert least.min() >= (1 - 1e-6) * scale / (len(x) + 4.0)


@pytest.mark.parametrize("model", [
    mx.Model(2, prior=mx.prior.InverseWishart()), mx.Model(2, floor=0.01), mx.Model(2, covariance="tied"),
])  # fmt: skip
def test_each_remedy_that_the_sentence_names_helps(model):
    x, start = repeated_rows()
    fit = mx.fit(model, x, start=start)
    assert fit.converged
    assert np.linalg.eigvalsh(fit.mixture.covariances).min() > 0.005
