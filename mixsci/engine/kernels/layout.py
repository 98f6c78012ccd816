"""What goes into a kernel and what comes out, as plain arrays."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Rows(NamedTuple):
    """One block of n rows, rows last so that loops over them vectorise.

    Attributes:
        x: (m, n) values, NaN = missing.
        shared_noise: (m, m) noise covariance of every row, used where `noise` is None.
        noise: (m(m+1)/2, n) lower triangles of each row's noise covariance, or None.
        projection: (m, D, n) of each row, or None for the identity.
        weights: (n,) row weights; 0 for a row with nothing observed.
        log_background: (n,) log density of the uniform background times its weight; (0,) without one.
        groups: (n,) ascending group codes.
    """

    x: Array
    shared_noise: Array
    noise: Array | None
    projection: Array | None
    weights: Array
    log_background: Array
    groups: Array


class Parameters(NamedTuple):
    """A mixture as plain arrays: log_weights (G, K), means (K, D), covariances (K, D, D)."""

    log_weights: Array
    means: Array
    covariances: Array


class Sums(NamedTuple):
    """Sums over rows: counts (G, K), g (G, K, D), F (G, K, D, D), H (K, D, D), and scalars.

    failures (K,) counts the rows whose spread R S R' + C is singular for a component: they are left out of its sums.
    """

    counts: Array
    g: Array
    F: Array
    H: Array
    log_likelihood: float
    entropy: float
    background: float
    failures: Array
    row_weight: float


class Shares(NamedTuple):
    """What each row says: log_density (n,), responsibilities (n, K); if asked for u = R'u and precision = R'T^-1 R."""

    log_density: Array
    responsibilities: Array
    u: Array | None
    precision: Array | None


def group_segments(rows: Rows) -> Array:
    """(s, 3) start, stop and group of each run of equal group codes."""
    n = len(rows.groups)
    if (rows.groups == rows.groups[0]).all():
        return np.array([[0, n, rows.groups[0]]], dtype=np.int64)
    starts = np.flatnonzero(np.diff(rows.groups, prepend=-1))
    return np.column_stack([starts, np.append(starts[1:], n), rows.groups[starts]]).astype(np.int64)


def segments(rows: Rows) -> tuple[Array, Array, Array]:
    """Runs of rows with one group and one pattern of gaps.

    Returns:
        order (n,) that sorts the rows by pattern, then group; runs (s, 4): start, stop, group, pattern; seen (p, m).
    """
    gaps = np.isnan(rows.x)
    n = gaps.shape[1]
    if not gaps.any():
        runs = group_segments(rows)
        return (
            np.arange(n),
            np.column_stack([runs, np.zeros(len(runs), dtype=np.int64)]),
            np.ones((1, len(gaps)), dtype=bool),
        )
    first, code = _patterns(gaps)
    order = np.lexsort((rows.groups, code))
    key = code[order] * (rows.groups.max() + 1) + rows.groups[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    stops = np.append(starts[1:], n)
    runs = np.column_stack([starts, stops, rows.groups[order[starts]], code[order[starts]]]).astype(np.int64)
    return order, runs, ~gaps[:, first].T


def _patterns(gaps: Array) -> tuple[Array, Array]:
    """First row (p,) of each pattern of gaps (m, n), and the pattern (n,) of each row."""
    packed = np.packbits(gaps, axis=0)
    if len(packed) <= 8:
        # Whole numbers, in the order of their bytes, are sorted much faster than columns.
        keys = np.zeros((packed.shape[1], 8), dtype=np.uint8)
        keys[:, : len(packed)] = packed.T
        _, first, code = np.unique(keys.view(">u8").astype(np.uint64)[:, 0], return_index=True, return_inverse=True)
    else:
        _, first, code = np.unique(packed, axis=1, return_index=True, return_inverse=True)
    return first, code.reshape(-1)


def take(rows: Rows, order: Array) -> Rows:
    """The rows in another order."""
    return Rows(
        np.ascontiguousarray(rows.x[:, order]),
        rows.shared_noise,
        None if rows.noise is None else np.ascontiguousarray(rows.noise[:, order]),
        None if rows.projection is None else np.ascontiguousarray(rows.projection[:, :, order]),
        rows.weights[order],
        rows.log_background[order] if len(rows.log_background) else rows.log_background,
        rows.groups[order],
    )


def unpack(lower: Array, d: int) -> Array:
    """Symmetric matrices (..., d, d) from packed lower triangles (..., d(d+1)/2)."""
    return lower[..., _places(d)]


@cache
def _places(d: int) -> Array:
    """(d, d) place of each entry of a symmetric matrix in its packed lower triangle."""
    a, b = np.indices((d, d))
    high, low = np.maximum(a, b), np.minimum(a, b)
    return high * (high + 1) // 2 + low


def packed_sums(
    rows: Rows, d: int, counts: Array, g: Array, f: Array, q: Array, totals: Array, failures: Array
) -> Sums:
    """Sums of what compiled kernels add up: packed triangles of F (G, K, .) and of r R'u u'R (K, .), H = q - F."""
    information = unpack(f, d)
    h = unpack(q, d) - information.sum(axis=0)
    likelihood, entropy, background = totals
    return Sums(counts[:, :, 0], g, information, h, likelihood, entropy, background, failures, rows.weights.sum())


def full_noise(rows: Rows) -> Array:
    """(n, m, m) noise covariances of the rows."""
    m, n = rows.x.shape
    if rows.noise is None:
        return np.broadcast_to(rows.shared_noise, (n, m, m))
    return unpack(np.ascontiguousarray(rows.noise.T), m)
