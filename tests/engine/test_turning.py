"""Flat components under noise: EM stands still there, a turn goes on."""

from __future__ import annotations

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.em.turning import turn


def line(seed: int, n: int = 25) -> mx.Observations:
    """Points on a straight line, blurred: the optimum has next to no spread across it."""
    rng = np.random.default_rng(seed)
    t = rng.normal(size=(n, 1))
    sigma = rng.uniform(0.02, 0.05, size=(n, 2)) * [1.0, 6.0]
    return mx.Observations(t * [0.15, -1.3] + sigma * rng.normal(size=(n, 2)), mx.noise.from_errors(sigma))


@pytest.mark.parametrize("seed", range(6))
def test_every_start_ends_at_the_same_line(seed):
    obs = line(seed)
    wide = mx.Mixture([1.0], [[0.3, 0.5]], [np.diag([1.0, 9.0])])
    fits = [mx.fit(mx.Model(1), obs, start=wide), *(mx.fit(mx.Model(1), obs, rng=rng) for rng in range(3))]
    assert all(fit.converged for fit in fits)
    found = [fit.log_likelihood for fit in fits]
    assert max(found) - min(found) < 1e-3
    slopes = [fit.mixture.covariances[0, 0, 1] / fit.mixture.covariances[0, 0, 0] for fit in fits]
    assert np.ptp(slopes) < 0.02 * abs(slopes[0])


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_a_turn_gains_where_em_stands_still(seed):
    obs = line(seed)
    best = mx.fit(mx.Model(1), obs, tol=1e-10, rng=0).mixture
    values, axes = np.linalg.eigh(best.covariances[0])
    turned_by = np.array([[1.0, -1e-3], [1e-3, 1.0]]) @ axes[:, 1]
    flat = mx.Mixture([1.0], best.means, [values[1] * np.outer(turned_by, turned_by) + 1e-14 * np.eye(2)])
    step, stats = mx.em_step(mx.Model(1), flat, obs)
    turned = turn(mx.Model(1), flat, obs, 1e-9, None)
    assert turned is not None
    by_em = mx.expect(step, obs).log_likelihood - stats.log_likelihood
    by_turn = mx.expect(turned, obs).log_likelihood - stats.log_likelihood
    assert by_turn > 10 * by_em > 0


def test_an_optimum_is_not_turned():
    obs = line(1)
    best = mx.fit(mx.Model(1), obs, tol=1e-9, rng=0)
    assert turn(mx.Model(1), best.mixture, obs, 1e-3, None) is None
    assert turn(mx.Model(1, covariance="diag"), best.mixture, obs, 0.0, None) is None
