"""BIC in which every number of a fit counts with the cells that speak of it, as gaps and small clusters ask for.

BIC charges each parameter ln(n) / 2 nats for n rows. A covariance of two variables of one cluster is spoken of only by
the cells of that cluster that have both: with half of the values missing by a quarter of them. Charged with all cells,
rich families look worse than they are, and the more so the more is missing (Raftery 1995; Pauler 1998 on what n is).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mixsci.cells.matrix import Matrix
from mixsci.engine.em.result import Fit

Array = np.ndarray


def seen_bic(family: str, fit: Fit, matrix: Matrix, pairs: Array | None) -> float:
    """-2 log-likelihood + the sum over parameters of ln(rows that speak of it); smaller is better.

    Args:
        family: its name, of `mixsci.cells.families.FAMILIES`. fit: of that family.
        matrix: the cells. pairs: (D, D) cells that have both of two variables; None where factors stand behind them.
    """
    cells = _Cells(max(float(fit.n), 1.0), np.maximum(matrix.counts, 1.0), pairs, fit)
    shares = (cells.k - 1) * cells.groups * cells.all
    batched = getattr(fit.model, "offsets", None) is not None
    return -2.0 * fit.log_likelihood + shares + cells.shifts * batched + _CHARGES[family](cells)


class _Cells:
    """How many cells speak of what, as logarithms."""

    def __init__(self, n: float, seen: Array, pairs: Array | None, fit: Fit) -> None:
        weights = np.maximum(fit.mixture.pooled_weights, 1.0 / n)
        self.k, self.d, self.q = len(weights), len(seen), fit.mixture.n_dims
        self.groups = max(fit.mixture.n_groups, 1)
        self.shifts = (self.groups - 1) * float(np.log(np.maximum(seen / self.groups, 1.0)).sum())
        self.all, self.shares = float(np.log(n)), float(np.log(weights).sum())
        self.each = float(np.log(seen).sum())
        triangle = np.tril_indices(len(seen))
        self.pairs = 0.0 if pairs is None else float(np.log(np.maximum(pairs, 1.0))[triangle].sum())

    def per_cluster(self, count: int, logs: float) -> float:
        """Charge of `count` numbers of every cluster, of which the cells of all clusters would say `logs`."""
        return self.k * logs + count * self.shares


def _exact(spread: Callable[[_Cells], float]) -> Callable[[_Cells], float]:
    """Means of every cluster in every variable, and what is charged for the covariances."""
    return lambda cells: cells.per_cluster(cells.d, cells.each) + spread(cells)


def _factors(spread: Callable[[_Cells], float]) -> Callable[[_Cells], float]:
    """Loadings, intercepts and uniquenesses, means of the factors, what only turns them taken off."""

    def charge(cells: _Cells) -> float:
        q = cells.q
        variables = (q + 2) * cells.each - q * (q + 1) * cells.all
        return variables + cells.per_cluster(q, q * cells.all) + spread(cells)

    return charge


def _own(cells: _Cells) -> float:
    q = cells.q
    count = cells.d * (q + 1) - q * (q - 1) // 2
    return cells.each + cells.per_cluster(count, (q + 1) * cells.each - q * (q - 1) / 2 * cells.all)


def _triangle(size: int) -> int:
    return size * (size + 1) // 2


def _sizes(cells: _Cells) -> float:
    """One size for every cluster, all but one of them free."""
    return cells.per_cluster(1, cells.all) * (cells.k - 1) / cells.k


_CHARGES: dict[str, Callable[[_Cells], float]] = {
    "full": _exact(lambda cells: cells.per_cluster(_triangle(cells.d), cells.pairs)),
    "scaled": _exact(lambda cells: cells.pairs + _sizes(cells)),
    "tied": _exact(lambda cells: cells.pairs),
    "diag": _exact(lambda cells: cells.per_cluster(cells.d, cells.each)),
    "spherical": _exact(lambda cells: cells.per_cluster(1, cells.all)),
    "tied_diag": _exact(lambda cells: cells.each),
    "tied_spherical": _exact(lambda cells: cells.all),
    "factor_tied": _factors(lambda cells: _triangle(cells.q) * cells.all),
    "factor_free": _factors(lambda cells: cells.per_cluster(_triangle(cells.q), _triangle(cells.q) * cells.all)),
    "factor_own": _own,
}
