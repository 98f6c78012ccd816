"""Which component of one mixture is which of another: labels of refits follow those of the fit they came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels import circular
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import overall_variances

Array = np.ndarray

#: Share of the variance of all rows that every covariance gets, so that those without spread have distances too.
_LEAST_SPREAD = 1e-8
#: A labelling is clear where every exchange of two labels takes them at least so many times as far apart.
_CLEAR = 2.0


@dataclass(frozen=True, eq=False)
class Matching:
    """Components (K,) of another mixture in the order of one, and whether no other order is nearly as good."""

    order: Array
    clear: bool


def match(one: Mixture, other: Mixture) -> Matching:
    """The order of the components of another mixture in which they lie nearest to those of one.

    The sum of their Bhattacharyya distances is least; the order is clear where every exchange of two components makes
    their two distances more than twice as large.
    """
    apart = bhattacharyya(one, other)
    _, order = linear_sum_assignment(apart)
    return Matching(order, _is_clear(apart[:, order]))


def _is_clear(apart: Array) -> bool:
    """Whether matched distances, on the diagonal, are clearly the smaller ones in every pair of components."""
    own = np.diagonal(apart)
    kept, exchanged = own[:, None] + own, apart + apart.T
    rest = ~np.eye(len(own), dtype=bool)
    return bool((exchanged[rest] > _CLEAR * kept[rest]).all())


def bhattacharyya(one: Mixture, other: Mixture) -> Array:
    """(K, L) Bhattacharyya distances of components: -log of the integral of sqrt(p q), of Gaussians.

    Mixtures of factors are compared by means and variances in their variables; of components with angles the distances
    of their angles, von Mises, and of the other columns add up.
    """
    if isinstance(one, FactorMixture):
        return _apart_by_variable(one, other)
    if isinstance(one, CircularMixture) and isinstance(other, CircularMixture):
        return _apart_as_gaussians(one, other) + circular.distances(*one.radians, *other.radians)
    return _apart_as_gaussians(one, other)


def _apart_as_gaussians(one: Mixture, other: Mixture) -> Array:
    least = np.diag(_LEAST_SPREAD * overall_variances(one))
    spread, its_spread = one.covariances + least, other.covariances + least
    root = np.linalg.cholesky((spread[:, None] + its_spread) / 2)
    step = np.linalg.solve(root, (one.means[:, None] - other.means)[..., None])[..., 0]
    own, its = (_log_det(np.linalg.cholesky(each)) for each in (spread, its_spread))
    distance = (step**2).sum(axis=-1) / 8 + (_log_det(root) - (own[:, None] + its) / 2) / 2
    return np.maximum(distance, 0.0)


def _apart_by_variable(one: Mixture, other: Mixture) -> Array:
    means, its_means = one.component_means(), other.component_means()
    spread, its_spread = one.component_variances(), other.component_variances()
    middle = (spread[:, None] + its_spread) / 2
    step = (means[:, None] - its_means) ** 2 / middle
    logs = np.log(middle) - (np.log(spread)[:, None] + np.log(its_spread)) / 2
    return np.maximum((step / 8 + logs / 2).sum(axis=-1), 0.0)


def _log_det(roots: Array) -> Array:
    return 2.0 * np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
