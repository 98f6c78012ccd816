"""Rows that differ in noise, gaps or projection: one factorisation per row and component, vectorised over rows."""

from __future__ import annotations

import numpy as np

from mixsci.engine.kernels import soa
from mixsci.engine.kernels.layout import Parameters, Rows, Shares, Sums, group_segments, packed_sums, unpack

_CACHE_BYTES = 400_000


def run(rows: Rows, parameters: Parameters, keep: int) -> tuple[Sums, Shares | None]:
    """Sums over the rows and, with `keep`, per-row results."""
    (groups, k), d = parameters.log_weights.shape, parameters.means.shape[1]
    m, n = rows.x.shape
    triangle = d * (d + 1) // 2
    noise = rows.noise
    if noise is None:
        noise = np.repeat(rows.shared_noise[np.tril_indices(m)][:, None], n, axis=1)
    counts, g, f, q = (
        np.zeros((groups, k, 1)),
        np.zeros((groups, k, d)),
        np.zeros((groups, k, triangle)),
        np.zeros((k, triangle)),
    )
    totals, failures = np.zeros(3), np.zeros(k, dtype=np.int64)
    kept = (n if keep else 0, n if keep == 2 else 0)
    log_density, r = np.empty(kept[0]), np.empty((k, kept[0]))
    u, precision = np.empty((k, d, kept[1])), np.empty((k, triangle, kept[1]))
    soa.rowwise(
        rows.x, noise, rows.projection, rows.weights, rows.log_background, group_segments(rows), *parameters,
        _block_size(m, d, k), counts, g, f, q, totals, failures, keep, log_density, r, u, precision,
    )  # fmt: skip
    sums = packed_sums(rows, d, counts, g, f, q, totals, failures)
    if not keep:
        return sums, None
    if keep == 1:
        return sums, Shares(log_density, r.T, None, None)
    return sums, Shares(log_density, r.T, u.transpose(2, 0, 1), unpack(precision.transpose(2, 0, 1), d))


def _block_size(m: int, d: int, k: int) -> int:
    """Rows in a block: as many, in eights, as keep the per-component results in the cache."""
    per_row = 8 * (k * (d + d * (d + 1) // 2 + 2) + m * (m + 1) // 2 + m * (d + 3) + 10)
    return int(np.clip(_CACHE_BYTES // per_row // 8 * 8, 8, 192))
