"""How clearly components divide the rows at hand: sums over rows, with their gaps, errors, weights and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import xlogy

from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_source

Array = np.ndarray

#: Probabilities below rounding of the others are all alike.
_LEAST = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Clarity:
    """Sums over rows of weight w with probabilities r; `a + b` joins two blocks of rows.

    Attributes:
        rows: (K,) expected rows, sum of w r. labelled: (K,) rows whose most probable component it is.
        sure: (K,) sum of w r over the rows it labels. log_odds: (K,) of log r / r of the next best over them.
        largest: of these log odds.
        entropy: (K,) - sum of w r log r.
        given: (K, K) sum of w r_i over the rows that j labels. shared: (K, K) sum of w r_i r_j.
        seen: (K, m) sum of w r over rows that see a column, errors: (K, m) of w r times the variance of its error;
            empty where columns are not those of the components.
    """

    rows: Array
    labelled: Array
    sure: Array
    log_odds: Array
    largest: float
    entropy: Array
    given: Array
    shared: Array
    seen: Array
    errors: Array

    def __add__(self, other: Clarity) -> Clarity:
        sums = {name: value + getattr(other, name) for name, value in vars(self).items()}
        return Clarity(**sums | {"largest": max(self.largest, other.largest)})


def clarity(mixture: Mixture, obs: Any, workers: Workers) -> Clarity:
    """The sums over all rows, in one pass."""
    first, *rest = map_blocks(lambda block: _of_block(mixture, block), as_source(obs).blocks(), workers)
    return sum(rest, first)


def _of_block(mixture: Mixture, block: Observations) -> Clarity:
    r = mixture.shares(block, workers=1).responsibilities
    weights = block.seen_weight
    weighted = weights[:, None] * r
    label, odds = _labels(r, mixture)
    mine = (label[:, None] == np.arange(mixture.n_components)) * weights[:, None]
    return Clarity(
        rows=weighted.sum(axis=0),
        labelled=mine.sum(axis=0),
        sure=(mine * r).sum(axis=0),
        log_odds=odds @ mine,
        largest=float(np.max(odds, where=(label >= 0) & (weights > 0), initial=0.0)),
        entropy=-(weights @ xlogy(r, r)),
        given=r.T @ mine,
        shared=weighted.T @ r,
        **_of_columns(mixture, block, weighted),
    )


def _labels(r: Array, mixture: Mixture) -> tuple[Array, Array]:
    """The most probable component (n,), -1 for a background, and the log odds (n,) against the next best."""
    strays = np.zeros(len(r)) if mixture.background is None else 1.0 - r.sum(axis=1)
    every = np.maximum(np.column_stack([r, strays]), _LEAST)
    label = every.argmax(axis=1)
    two = np.partition(every, -2, axis=1)[:, -2:]
    return np.where(label == r.shape[1], -1, label), np.log(two[:, 1] / two[:, 0])


def _of_columns(mixture: Mixture, block: Observations, weighted: Array) -> dict[str, Array]:
    """Rows that see each column and their error variances, by component."""
    width = 0 if block.projection is not None or isinstance(mixture, FactorMixture) else block.width
    seen = block.seen()[:, :width]
    columns = [block.noise.of_columns([j]).covariances(len(block))[:, 0, 0] for j in range(width)]
    errors = np.column_stack(columns) if columns else np.empty((len(block), 0))
    return {"seen": weighted.T @ seen, "errors": weighted.T @ np.where(seen, errors, 0.0)}
