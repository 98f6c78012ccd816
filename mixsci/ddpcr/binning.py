"""Droplets of a well gathered into narrow bins: many fewer rows, the same likelihood for all that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

#: Bins are so many standard deviations of the negatives wide, near them: of a variance 1/12 of their square is lost ...
WIDTH = {1: 0.1, 2: 0.4}
#: ... and wider from so many standard deviations above them on, as populations are.
WIDEN = 15.0
#: A droplet so many standard deviations below the negatives, or above, in any channel, is no droplet of the assay.
BELOW, ABOVE = 8.0, 1000.0


@dataclass(frozen=True, eq=False)
class Binned:
    """Bins of all wells: their mean amplitude, the droplets in each, and the well.

    Attributes:
        x: (n, C) mean amplitudes. counts: (n,) droplets. well: (n,) number of the well.
        gated: (W,) droplets set aside, far from all populations.
        begins: (W,) first bin of each well.
        bin_of: for every well (n_w,) the bin of each droplet, counted from the well's first; -1 where set aside.
    """

    x: Array
    counts: Array
    well: Array
    gated: Array
    begins: Array
    bin_of: tuple[Array, ...]

    def of(self, well: int) -> slice:
        """The bins of a well."""
        ends = np.append(self.begins, len(self.counts))
        return slice(int(ends[well]), int(ends[well + 1]))


def aside(well: Array, baseline: Array, spread: Array) -> Array:
    """(n,) droplets far below the negatives or impossibly far above: dust, bubbles, torn droplets."""
    shift = (well - baseline) / spread
    return np.asarray(((shift < -BELOW) | (shift > ABOVE)).any(axis=1))


def gather(wells: Sequence[Array], baselines: Array, spread: Array) -> Binned:
    """The droplets of wells (n_w, C) in bins that follow each well's own baseline."""
    x, counts, gated, bin_of = [], [], [], []
    for well, base in zip(wells, baselines, strict=True):
        out = aside(well, base, spread)
        gated.append(int(out.sum()))
        squeezed = WIDEN * np.arcsinh((well[~out] - base) / (WIDEN * spread))
        means, held, inverse = _bins(well[~out], squeezed / WIDTH[well.shape[1]])
        x.append(means)
        counts.append(held)
        places = np.full(len(well), -1, dtype=np.int32)
        places[~out] = inverse
        bin_of.append(places)
    sizes = [len(each) for each in counts]
    begins = np.cumsum([0, *sizes[:-1]])
    numbers = np.repeat(np.arange(len(wells)), sizes)
    return Binned(np.concatenate(x), np.concatenate(counts), numbers, np.array(gated), begins, tuple(bin_of))


def _bins(points: Array, places: Array) -> tuple[Array, Array, Array]:
    """Mean (n, C) and number (n,) of the points in every unit cell of their places that holds any, and each point's."""
    if not len(points):
        return np.empty((0, points.shape[1])), np.empty(0), np.empty(0, dtype=np.int64)
    cell = np.floor(places - places.min(axis=0)).astype(np.int64)
    code = np.ravel_multi_index(tuple(cell.T), tuple(cell.max(axis=0) + 1))
    _, inverse, counts = np.unique(code, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(inverse, weights=column) for column in points.T], axis=-1)
    return sums / counts[:, None], counts.astype(float), inverse
