"""Rows that share their noise: one factorisation per pattern of gaps and component; `shared` has one pattern."""

from __future__ import annotations

import numpy as np

from mixsci.engine.kernels import soa
from mixsci.engine.kernels.layout import Parameters, Rows, Shares, Sums, packed_sums, segments, take

_BLOCK = 192


def run(rows: Rows, parameters: Parameters, keep: int) -> tuple[Sums, Shares | None]:
    """Sums over the rows and, with `keep` = 1, their densities and responsibilities; moments are for `rowwise`."""
    if keep == 2 or rows.noise is not None or rows.projection is not None:
        raise ValueError("this kernel sums rows that share their noise and have no projection")
    (groups, k), d = parameters.log_weights.shape, parameters.means.shape[1]
    triangle, n = d * (d + 1) // 2, rows.x.shape[1] if keep else 0
    order, runs, seen = segments(rows)
    if len(seen) > 1:
        rows = take(rows, order)
    counts, g, f, q = (
        np.zeros((groups, k, 1)),
        np.zeros((groups, k, d)),
        np.zeros((groups, k, triangle)),
        np.zeros((k, triangle)),
    )
    totals, failures = np.zeros(3), np.zeros(k, dtype=np.int64)
    log_density, r = np.empty(n), np.empty((k, n))
    soa.grouped(
        rows.x, rows.shared_noise, rows.weights, rows.log_background, runs, seen, *parameters,
        _BLOCK, counts, g, f, q, totals, failures, keep, log_density, r,
    )  # fmt: skip
    sums = packed_sums(rows, d, counts, g, f, q, totals, failures)
    if not keep:
        return sums, None
    back = np.empty(n, dtype=np.int64)
    back[order] = np.arange(n)
    in_order = len(seen) == 1
    return sums, Shares(log_density if in_order else log_density[back], (r if in_order else r[:, back]).T, None, None)
