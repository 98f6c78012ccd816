"""Peaks of a cloud of droplets, in one channel or two: where the density stands out from the passes around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

Array = np.ndarray

#: A peak must rise to this multiple of the highest pass that leads to a higher one ...
_RISE = 1.5
#: ... and so many standard deviations of the pass's own count.
_CLEAR = 4.0
_CELLS_PER_BANDWIDTH = 2.0
#: Cells of the grid along each side, by the number of channels.
_MOST_CELLS = {1: 20_000, 2: 1_000}


@dataclass(frozen=True, eq=False)
class Peak:
    """A peak: its place (C,), and the droplets under one bandwidth there and at the pass to a higher peak."""

    place: Array
    height: float
    saddle: float


def peaks(points: Array, bandwidth: Array, weights: Array | None = None) -> list[Peak]:
    """Peaks of points (n, C), the highest first.

    Args:
        points: (n, C), C = 1 or 2.
        bandwidth: (C,) of the Gaussian kernel, in units of the points.
        weights: (n,) droplets behind every point.
    """
    if not len(points):
        return []
    finest = np.ptp(points, axis=0) / _MOST_CELLS[points.shape[1]]
    step = np.maximum(np.asarray(bandwidth, dtype=float) / _CELLS_PER_BANDWIDTH, finest)
    step = np.where(step > 0, step, 1.0)
    low = points.min(axis=0) - 6 * step
    index = np.floor((points - low) / step).astype(np.int64)
    shape = tuple(index.max(axis=0) + 7)
    flat = np.ravel_multi_index(tuple(index.T), shape)
    counts = np.bincount(flat, weights=weights, minlength=int(np.prod(shape))).reshape(shape)
    kernel = (np.sqrt(4 * np.pi) * _CELLS_PER_BANDWIDTH) ** len(shape)
    density = gaussian_filter(counts.astype(float), _CELLS_PER_BANDWIDTH, mode="constant") * kernel
    found = [Peak(low + (np.array(cell) + 0.5) * step, *levels) for cell, levels in _standing_out(density)]
    return sorted(found, key=lambda peak: -peak.height)


def _standing_out(density: Array) -> list[tuple[tuple[int, ...], tuple[float, float]]]:
    """Cells of maxima that stand out, with their height and that of the pass: cells join from the highest down."""
    shape, flat = density.shape, density.ravel()
    order = np.argsort(-flat, kind="stable")
    order = order[: int((flat > 0.5).sum())]
    steps = _neighbours(shape)
    owner = np.full(flat.size, -1)
    top: dict[int, int] = {}
    found = []
    for cell in order.tolist():
        around = {
            _root(owner, cell + step) for step in steps if 0 <= cell + step < flat.size and owner[cell + step] >= 0
        }
        if not around:
            owner[cell] = cell
            top[cell] = cell
            continue
        best, *others = sorted(around, key=lambda root: -flat[root])
        owner[cell] = best
        for root in others:
            if _clear(flat[root], flat[cell]):
                found.append((root, float(flat[cell])))
            owner[root] = best
    found += [(root, 0.0) for root in top if owner[root] == root and _clear(flat[root], 0.0)]
    return [
        (tuple(int(i) for i in np.unravel_index(root, shape)), (float(flat[root]), saddle)) for root, saddle in found
    ]


def _clear(height: float, saddle: float) -> bool:
    return bool(height >= _RISE * saddle and height - saddle >= _CLEAR * np.sqrt(saddle + 1.0))


def _root(owner: Array, cell: int) -> int:
    while owner[cell] != cell:
        owner[cell] = owner[owner[cell]]
        cell = int(owner[cell])
    return cell


def _neighbours(shape: tuple[int, ...]) -> list[int]:
    """Steps to the cells around one in a flat array; margins keep them from wrapping."""
    if len(shape) == 1:
        return [-1, 1]
    width = shape[1]
    return [-1, 1, -width, width, -width - 1, -width + 1, width - 1, width + 1]
