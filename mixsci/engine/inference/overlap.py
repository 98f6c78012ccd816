"""How much components overlap: the chance that a point of one is more probable in another."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from mixsci.engine.circular_mixture import refuse_angles
from mixsci.engine.em.result import mixture_of
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.hard_mixture import HardMixture
from mixsci.engine.inference.points import even_points
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import overall_variances
from mixsci.errors import DataError

Array = np.ndarray

#: Share of the variance of all rows that every covariance gets, so that those without spread have a density.
_LEAST_SPREAD = 1e-12
#: Points, a power of two, over which all directions but one are averaged.
_POINTS = 4096
#: Components that differ by less, in their own standard deviations, are the same.
_SAME = 1e-9


def overlap(mixture: Any) -> Array:
    """Chances (K, K) that a point of component i is more probable in component j, weights included; 0 for j = i.

    Pair by pair, as if there were no third, of points without gaps and errors (Melnykov & Maitra 2010): what would be
    left if everything were measured exactly. Groups count together, by their pooled weights; a background does not
    count. One direction is integrated exactly, so that one dimension is exact; the others are averaged over points that
    fill the space evenly, to about 1e-4.

    Args:
        mixture: a `Mixture`, or a `Fit` that holds one.

    Raises:
        DataError: no mixture of Gaussians, or one of factors.

    Example:
        >>> import mixsci as mx
        >>> pair = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
        >>> mx.overlap(pair).round(3)
        array([[0.   , 0.159],
               [0.159, 0.   ]])
    """
    mixture = mixture_of(mixture)
    refuse_angles(mixture, "overlap is that")
    if isinstance(mixture, FactorMixture | HardMixture) or mixture.open:
        raise DataError(
            f"overlap is that of a complete Mixture of Gaussians; got {type(mixture).__name__}: for factors "
            "take mixsci.diagnose(fit, obs).confusion"
        )
    with one_blas_thread(mixture.n_dims):
        return _pairwise(mixture)


def _pairwise(mixture: Mixture) -> Array:
    k, d = mixture.means.shape
    least = np.diag(_LEAST_SPREAD * overall_variances(mixture))
    roots = np.linalg.cholesky(mixture.covariances + least)
    # One point without coordinates where a single direction is all there is.
    points = even_points(_POINTS, d - 1) if d > 1 else np.empty((1, 0))
    with np.errstate(divide="ignore"):  # a weight of zero
        log_weights = np.log(mixture.pooled_weights)
    out = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            if i != j and min(log_weights[i], log_weights[j]) > -np.inf:
                change = np.linalg.solve(roots[j], roots[i])
                apart = np.linalg.solve(roots[i], mixture.means[j] - mixture.means[i])
                out[i, j] = _chance(change, apart, log_weights[j] - log_weights[i], points)
    return out


def _chance(change: Array, apart: Array, log_odds: float, points: Array) -> float:
    """P(Q < c) for z standard normal, Q = sum_l lambda_l (z_l - d_l)^2 - z_l^2: twice the log density of i over j.

    Args:
        change: (D, D) from standard deviations of i to those of j. apart: (D,) distance of the means, in those of i.
        log_odds: log w_j / w_i.
        points: (s, D - 1) points that stand for standard normal ones.
    """
    _, singular, turned = np.linalg.svd(change)
    stretch, step = singular**2, turned @ apart
    if np.abs(stretch - 1.0).max() < _SAME and np.abs(step).max() < _SAME:
        return float(np.heaviside(log_odds, 0.5))
    c = 2.0 * log_odds + 2.0 * np.log(singular).sum()
    # The direction that says most is integrated.
    first = int(np.argmax((stretch - 1.0) ** 2 / 2.0 + (stretch * step) ** 2))
    rest = np.delete(np.arange(len(step)), first)
    others = stretch[rest] * (points - step[rest]) ** 2 - points**2
    return float(_below(stretch[first], step[first], c - others.sum(axis=1)).mean())


def _below(stretch: float, step: float, c: Array) -> Array:
    """P(stretch (z - step)^2 - z^2 < c) for z standard normal: a z^2 + 2 b z + e < 0 between its roots or outside."""
    a, b, e = stretch - 1.0, -stretch * step, stretch * step**2 - c
    inner = b * b - a * e
    with np.errstate(divide="ignore", invalid="ignore"):
        # Neither root loses its digits where the other is far away, or gone with a = 0.
        q = -(b + np.copysign(np.sqrt(np.maximum(inner, 0.0)), b))
        ends = np.sort([q / a, e / q], axis=0) if a else np.sort([np.copysign(np.inf, q), e / q], axis=0)
    between = np.where(inner > 0, ndtr(ends[1]) - ndtr(ends[0]), 0.0)
    return between if a >= 0 else 1.0 - between
