"""Many rows in few bins, so that a picture shows shares and means instead of whichever rows its pixels fall on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Bins:
    """n things in an order, cut into bins that never straddle two groups.

    Attributes:
        order: (n,) the things in their order.
        edges: (b + 1,) where the bins begin and end, counted in things; 0 first, n last.
        ends: (G + 1,) the same of the groups.
    """

    order: Array
    edges: Array
    ends: Array

    @property
    def sizes(self) -> Array:
        """(b,) how many things are in each bin."""
        return np.diff(self.edges)

    @property
    def of_each(self) -> Array:
        """(n,) the bin of each thing."""
        found = np.empty(len(self.order), dtype=np.int64)
        found[self.order] = np.repeat(np.arange(len(self.sizes)), self.sizes)
        return found

    def means(self, values: Array) -> Array:
        """(b, ...) means of values (n, ...) over each bin."""
        sums = np.add.reduceat(values[self.order], self.edges[:-1], axis=0, dtype=float)
        return sums / self.sizes.reshape(-1, *[1] * (values.ndim - 1))


def bins_of(values: Array, most: int, groups: Array | None = None) -> Bins:
    """Things (n,) by group and then by value, in about `most` bins of about the same size, each group in one or more.

    Args:
        values: (n,) what to order by; the lowest first.
        most: number of bins; one for each thing where there are no more.
        groups: (n,) number of the group of each, 0 to G - 1.

    Example:
        >>> bins = bins_of(np.array([3.0, 1.0, 2.0, 0.0]), 2)
        >>> bins.order.tolist(), bins.edges.tolist()
        ([3, 1, 2, 0], [0, 2, 4])
    """
    groups = np.zeros(len(values), dtype=np.int64) if groups is None else groups
    counts = np.bincount(groups)
    counts = counts[counts > 0]
    ends = np.concatenate([[0], np.cumsum(counts)])
    parts = np.clip(np.rint(counts * (most / max(len(values), 1))).astype(int), 1, counts)
    edges = [
        np.rint(np.linspace(low, high, part + 1))[:-1] for low, high, part in zip(ends, ends[1:], parts, strict=False)
    ]
    return Bins(np.lexsort([values, groups]), np.append(np.concatenate(edges), ends[-1]).astype(np.int64), ends)
