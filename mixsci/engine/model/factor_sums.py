"""What rows say of a mixture of factors: moments of the factors, and for every variable its regression on them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mixsci.engine.evaluate import group_codes
from mixsci.engine.factor_mixture import FactorMixture, View
from mixsci.engine.kernels.information import Expected
from mixsci.engine.observations import Observations

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Regressions:
    """Sums over rows for the regression of every variable on the factors v and the groups; `a + b` joins two blocks.

    With y = x - intercept - shift, and for each value a weight: the row's, times the share of Psi in its variance.

    Attributes:
        vv: (D, q(q+1)/2) of E v v'. v: (G, D, q) of E v. one: (G, D) of 1.
        yv: (D, q) of y E v. y: (G, D) of y. yy: (D,) of y squared.
    """

    vv: Array
    v: Array
    one: Array
    yv: Array
    y: Array
    yy: Array

    def __add__(self, other: Regressions) -> Regressions:
        return Regressions(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @classmethod
    def of(cls, weights: Array, apart: Array, found: Expected, codes: Array, groups: int) -> Regressions:
        """The sums of one block: weights and apart (n, D)."""
        first, weighed = np.ascontiguousarray(found.first.T), weights * apart
        v, one, y = (np.zeros((groups, *shape)) for shape in ((apart.shape[1], first.shape[1]), *2 * (apart.shape[1:],)))
        for g in np.unique(codes):
            rows = codes == g if groups > 1 else slice(None)
            v[g], one[g], y[g] = weights[rows].T @ first[rows], weights[rows].sum(axis=0), weighed[rows].sum(axis=0)
        return cls(weights.T @ found.second.T, v, one, weighed.T @ first, y, (weighed * apart).sum(axis=0))


@dataclass(frozen=True, eq=False)
class FactorStats:
    """Sums over rows for one EM step of a mixture of factors; `a + b` joins two blocks of rows.

    Attributes:
        counts: (K,) or (G, K) expected rows per component.
        means: (K, q) and squares: (K, q(q+1)/2) of the factors, sums of r E v and r E v v'.
        regressions: of the common analyser, or of that of each component.
        blurred: the same with the share of Psi squared, where values have noise, else ().
        seen: (D,) rows in which each variable is observed. hidden: (D,) of them, what noise hides: sums of 1 - share.
        log_likelihood: total, nats. entropy: - sum of r log r. n_rows, row_weight: as in `Stats`.
        failures: (K,) rows without a density: none, uniquenesses are positive.
    """

    counts: Array
    means: Array
    squares: Array
    regressions: tuple[Regressions, ...]
    blurred: tuple[Regressions, ...]
    seen: Array
    hidden: Array
    log_likelihood: float
    entropy: float
    n_rows: int
    row_weight: float
    failures: Array

    def __add__(self, other: FactorStats) -> FactorStats:
        return FactorStats(*(_joined(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)))

    @property
    def grouped(self) -> Array:
        """(G, K) counts, with G = 1 where rows have no groups."""
        return np.atleast_2d(self.counts)


def factor_stats(mixture: FactorMixture, block: Observations) -> FactorStats:
    """The sums over the rows of a block."""
    found = mixture.expected(block)
    codes = group_codes(mixture, block)
    codes = np.zeros(len(block), dtype=np.int64) if codes is None else codes
    _, first = found[0]
    weights, r = found[0][0].summaries.weights, first.responsibilities
    parts = [_of_analyser(mixture, k, view, one, codes, noisy=block.has_noise) for k, (view, one) in enumerate(found)]
    counts = np.zeros(np.atleast_2d(mixture.weights).shape)
    np.add.at(counts, codes, weights[:, None] * r)
    moments = _own_moments(found, weights, r) if mixture.own else (first.means, first.squares)
    seen = weights @ block.seen()
    return FactorStats(
        counts if mixture.n_groups else counts[0], *moments, tuple(one for one, _ in parts),
        tuple(two for _, two in parts if two is not None), seen, seen - sum(one.one.sum(axis=0) for one, _ in parts),
        float(weights @ first.log_density), _entropy(weights, r), len(block), float(weights.sum()),
        np.zeros(mixture.n_components, dtype=np.int64),
    )  # fmt: skip


def _of_analyser(
    mixture: FactorMixture, k: int, view: View, found: Expected, codes: Array, *, noisy: bool
) -> tuple[Regressions, Regressions | None]:
    """The regressions of one analyser, and those with the share of Psi squared where there is noise."""
    rows = view.summaries.weights * (found.responsibilities[:, k] if mixture.own else 1.0)
    groups = max(mixture.n_groups, 1)
    weights = rows[:, None] * view.share
    plain = Regressions.of(weights, view.apart, found, codes, groups)
    if not noisy:
        return plain, None
    return plain, Regressions.of(weights * view.share, view.apart, found, codes, groups)


def _own_moments(found: list[tuple[View, Expected]], weights: Array, r: Array) -> tuple[Array, Array]:
    """Sums (K, q) and (K, q(q+1)/2) over rows of the moments of each component's own factors."""
    shares = weights[:, None] * r
    means = np.array([one.first @ shares[:, k] for k, (_, one) in enumerate(found)])
    return means, np.array([one.second @ shares[:, k] for k, (_, one) in enumerate(found)])


def _entropy(weights: Array, r: Array) -> float:
    return float(-(weights @ (r * np.log(np.where(r > 0, r, 1.0))).sum(axis=1)))


def _joined(one: object, other: object) -> object:
    """The sum of two values, or of two tuples of regressions one by one."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return tuple(a + b for a, b in zip(one, other, strict=True))
    return one + other  # type: ignore[operator]
