"""How much components overlap: the chance that a point of one is taken for one of another (Melnykov & Maitra 2010)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.inference.matching import LEAST_SPREAD
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import overall_variances
from mixsci.engine.observations import Observations

Array = np.ndarray


def overlap(mixture: Mixture, draws: int, rng: np.random.Generator) -> Array:
    """(K, K) chance that a point of component i (rows) is more probable under j (columns), weights included.

    Of the components themselves, noise removed; 0 on the diagonal. Exact in one dimension, else from draws of each.
    """
    plain = _plain(mixture)
    if mixture.n_components == 1:
        return np.zeros((1, 1))
    if plain.n_variables == 1 and not isinstance(plain, FactorMixture):
        return _exact(plain)
    return np.array([_taken(plain, i, draws, rng) for i in range(plain.n_components)])


def _plain(mixture: Any) -> Any:
    """The mixture without groups and background, weights pooled, each component with some spread."""
    nothing = dict.fromkeys(("rates", "offsets", "group_labels", "group_rows", "background"))
    if isinstance(mixture, FactorMixture):
        return mixture.evolve(weights=mixture.pooled_weights, shifts=None, **nothing)
    spread = mixture.covariances + np.diag(LEAST_SPREAD * overall_variances(mixture))
    return mixture.evolve(weights=mixture.pooled_weights, covariances=spread, **nothing)


def _taken(plain: Any, i: int, draws: int, rng: np.random.Generator) -> Array:
    """(K,) shares of points of one component that each is more probable for."""
    alone = np.eye(plain.n_components)[i]
    points, _ = plain.evolve(weights=alone).sample(draws, rng=rng)
    shares = plain.responsibilities(Observations(points))
    return np.asarray((shares > shares[:, [i]]).mean(axis=0))


def _exact(plain: Mixture) -> Array:
    k = plain.n_components
    return np.array([[0.0 if i == j else _beyond(plain, i, j) for j in range(k)] for i in range(k)])


def _beyond(plain: Mixture, i: int, j: int) -> float:
    """P(a t^2 + b t + c > 0) for a standard normal t: where component j is more probable than i."""
    weights, means, variances = plain.weights, plain.means[:, 0], plain.covariances[:, 0, 0]
    if weights[i] == 0 or weights[j] == 0:
        return float(weights[j] > 0)
    ratio, step = variances[i] / variances[j], (means[i] - means[j]) / np.sqrt(variances[j])
    a, b = (1.0 - ratio) / 2.0, -np.sqrt(ratio) * step
    c = float(np.log(weights[j] / weights[i]) + np.log(ratio) / 2.0 - step**2 / 2.0)
    if a == 0.0:
        return float(ndtr(c / abs(b))) if b else float(c > 0.0)
    inside = b * b - 4.0 * a * c
    if inside <= 0.0:
        return float(a > 0.0)
    half = -(b + np.copysign(np.sqrt(inside), b)) / 2.0
    low, high = sorted((c / half, half / a))
    return float(ndtr(low) + ndtr(-high)) if a > 0.0 else float(ndtr(high) - ndtr(low))
