"""What rows say of a mixture of factors: moments of the factors, and for every variable its regression on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

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
    def of(cls, share: Array, weighed: Array, apart: Array, rows: Rows) -> Regressions:
        """The sums of one block: share (n, D) or (1, D), share times apart and apart (n, D)."""
        d, q = apart.shape[1], rows.first.shape[1]
        v, one, y = (np.zeros((rows.groups, *shape)) for shape in ((d, q), (d,), (d,)))
        for g, members in rows.by_group():
            mine = share if len(share) == 1 else share[members]
            v[g], y[g] = _sums(mine, rows.first[members]), weighed[members].T @ rows.weights[members]
            one[g] = _sums(mine, rows.weights[members, None])[:, 0]
        yy = np.einsum("n,nd,nd->d", rows.weights, weighed, apart)
        return cls(_sums(share, rows.second), v, one, weighed.T @ rows.first, y, yy)


class Rows(NamedTuple):
    """What sums over rows weigh their values by.

    Attributes:
        weights: (n,). first: (n, q) and second: (n, q(q+1)/2) weights times moments of the factors.
        codes: (n,) of `groups` groups; rows of other codes stand in no group.
    """

    weights: Array
    first: Array
    second: Array
    codes: Array
    groups: int

    @classmethod
    def of(cls, weights: Array, found: Expected, codes: Array, groups: int) -> Rows:
        """Rows with these weights and the factors found in them."""
        return cls(weights, weights[:, None] * found.first.T, weights[:, None] * found.second.T, codes, max(groups, 1))

    def by_group(self) -> Iterator[tuple[int, slice | Array]]:
        """Every group that has rows here, and which they are."""
        present = np.unique(self.codes)
        for g in present[present < self.groups]:
            yield int(g), slice(None) if len(present) == 1 else np.flatnonzero(self.codes == g)


def _sums(share: Array, values: Array) -> Array:
    """(D, p) sums over rows of share (n, D) times values (n, p); (1, D) is the share of every row."""
    return share.T @ (values.sum(axis=0, keepdims=True) if len(share) == 1 else values)


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
    found, codes = mixture.expected(block), mixture.codes_of(block)
    (view, first), *_ = found
    weights, r = view.summaries.weights, first.responsibilities
    counts = np.zeros((mixture.n_groups + 1, mixture.n_components))
    np.add.at(counts, codes, weights[:, None] * r)
    parts = [_of_analyser(mixture, k, view, one, codes) for k, (view, one) in enumerate(found)]
    regressions, blurred = tuple(one for one, _ in parts), tuple(two for _, two in parts)
    precise = np.asarray(sum(one.one.sum(axis=0) for one in regressions))
    seen = _sums((view.values.share > 0).astype(float), weights[:, None])[:, 0] if block.has_noise else precise
    return FactorStats(
        counts=counts[:-1] if mixture.n_groups else counts[0],
        **(_own_moments(found, weights, r) if mixture.own else {"means": first.means, "squares": first.squares}),
        regressions=regressions, blurred=blurred if block.has_noise else (), seen=seen, hidden=seen - precise,
        log_likelihood=float(weights @ first.log_density), entropy=_entropy(weights, r), n_rows=len(block),
        row_weight=float(weights.sum()), failures=np.zeros(mixture.n_components, dtype=np.int64),
    )  # fmt: skip


def _of_analyser(
    mixture: FactorMixture, k: int, view: View, found: Expected, codes: Array
) -> tuple[Regressions, Regressions]:
    """The regressions of one analyser, and those with the share of Psi squared: the same where there is no noise."""
    weights = view.summaries.weights * found.responsibilities[:, k] if mixture.own else view.summaries.weights
    rows = Rows.of(weights, found, codes, mixture.n_groups)
    share, apart, weighed = view.values.share, view.values.apart, view.weighed
    plain = Regressions.of(share, weighed, apart, rows)
    return plain, plain if weighed is apart else Regressions.of(share**2, share * weighed, apart, rows)


def _own_moments(found: list[tuple[View, Expected]], weights: Array, r: Array) -> dict[str, Array]:
    """Sums (K, q) and (K, q(q+1)/2) over rows of the moments of each component's own factors."""
    shares = weights[:, None] * r
    return {
        "means": np.array([one.first @ shares[:, k] for k, (_, one) in enumerate(found)]),
        "squares": np.array([one.second @ shares[:, k] for k, (_, one) in enumerate(found)]),
    }


def _entropy(weights: Array, r: Array) -> float:
    return float(-(weights @ (r * np.log(np.where(r > 0, r, 1.0))).sum(axis=1)))


def _joined(one: Any, other: Any) -> Any:
    """The sum of two values, or of two tuples of regressions one by one."""
    return tuple(a + b for a, b in zip(one, other, strict=True)) if isinstance(one, tuple) else one + other
