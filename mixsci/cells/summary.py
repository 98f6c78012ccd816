"""What one pass over cells by variables finds: values observed, zeros, means, spreads, patterns of gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Summary:
    """Numbers of n cells by D variables, which add up over blocks of cells.

    Attributes:
        counts: (D,) number of observed values.
        zeros: (D,) how many of them are zero.
        means: (D,) their mean; NaN where nothing is observed.
        squares: (D,) their squared deviations from it, summed.
        least, largest: (D,) ends of the values; NaN where nothing is observed.
        observed: (n,) number of observed values of each cell.
        zeros_of_cell: (n,) how many of them are zero.
        patterns: distinct patterns of gaps.
    """

    counts: Array
    zeros: Array
    means: Array
    squares: Array
    least: Array
    largest: Array
    observed: Array
    zeros_of_cell: Array
    patterns: frozenset[bytes]

    @property
    def shares(self) -> Array:
        """(D,) share of cells in which a variable is missing."""
        n = len(self.observed)
        return np.asarray((n - self.counts) / max(n, 1))

    @property
    def sd(self) -> Array:
        """(D,) standard deviation of the observed values, over their number less one; NaN for fewer than two."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.counts > 1, np.sqrt(self.squares / (self.counts - 1)), np.nan)


def summarise(x: Array) -> Summary:
    """The summary of a block (b, D); NaN = missing."""
    x = x.astype(float, copy=False)
    seen, zero = ~np.isnan(x), x == 0
    counts, filled = seen.sum(axis=0), np.where(seen, x, 0.0)
    with np.errstate(invalid="ignore"):
        means = filled.sum(axis=0) / counts
    apart = np.where(seen, filled - means, 0.0)
    patterns = frozenset(row.tobytes() for row in np.unique(np.packbits(seen, axis=1), axis=0))
    return Summary(
        counts, zero.sum(axis=0), means, (apart**2).sum(axis=0),
        np.fmin.reduce(x, initial=np.nan), np.fmax.reduce(x, initial=np.nan),
        seen.sum(axis=1), zero.sum(axis=1), patterns,
    )  # fmt: skip


def join(parts: Iterable[Summary]) -> Summary:
    """The summary of several blocks, one after the other (Chan, Golub & LeVeque 1983, eq. 1.5)."""
    parts = list(parts)
    counts = np.array([part.counts for part in parts])
    filled = np.nan_to_num([part.means for part in parts])
    with np.errstate(invalid="ignore"):
        means = (counts * filled).sum(axis=0) / counts.sum(axis=0)
    between = counts * (filled - np.nan_to_num(means)) ** 2
    return Summary(
        counts.sum(axis=0), np.sum([part.zeros for part in parts], axis=0), means,
        np.sum([part.squares for part in parts], axis=0) + between.sum(axis=0),
        np.fmin.reduce([part.least for part in parts]), np.fmax.reduce([part.largest for part in parts]),
        np.concatenate([part.observed for part in parts]), np.concatenate([part.zeros_of_cell for part in parts]),
        frozenset().union(*(part.patterns for part in parts)),
    )  # fmt: skip
