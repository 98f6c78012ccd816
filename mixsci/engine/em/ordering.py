"""The order of components: by falling weight, unless something else gives them one."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture

Array = np.ndarray
Kind = TypeVar("Kind", bound=Mixture)


def gives_order(model: Any, mixture: Any) -> bool:
    """Whether a ladder, a law, fixed means or something held gives the components an order of their own."""
    if isinstance(mixture, FactorMixture | CircularMixture):
        return False
    return mixture.theta is not None or model.weights.linked or not model.means.free or model.ordered


def by_weight(mixture: Kind) -> Kind:
    """The mixture with its components by falling weight."""
    return reordered(mixture, falling(mixture))


def falling(mixture: Mixture) -> Array:
    """(K,) components by falling weight."""
    return np.argsort(-mixture.pooled_weights, kind="stable")


def reordered(mixture: Kind, order: Array) -> Kind:
    """The mixture with its components in another order (K,)."""
    changes = {name: getattr(mixture, name)[order] for name in mixture.by_component}
    return mixture.evolve(weights=mixture.weights[..., order], **changes)
