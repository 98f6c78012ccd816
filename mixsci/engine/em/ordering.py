"""The order of components: by falling weight, unless something else gives them one."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixsci.engine.factor_mixture import FactorMixture

Array = np.ndarray


def gives_order(model: Any, mixture: Any) -> bool:
    """Whether a ladder, a law, fixed means or something held gives the components an order of their own."""
    if isinstance(mixture, FactorMixture):
        return False
    return mixture.theta is not None or model.weights.linked or not model.means.free or model.ordered


def by_weight(mixture: Any) -> Any:
    """The mixture with its components by falling weight."""
    return reordered(mixture, np.argsort(-mixture.pooled_weights, kind="stable"))


def reordered(mixture: Any, order: Array) -> Any:
    """The mixture with its components in another order (K,)."""
    own = ("loadings", "intercept") if isinstance(mixture, FactorMixture) and mixture.own else ()
    changes = {name: getattr(mixture, name)[order] for name in ("means", "covariances", *own)}
    return mixture.evolve(weights=mixture.weights[..., order], **changes)
