"""Rows that share their noise: one factorisation per pattern of gaps and component; `shared` has one pattern."""

from __future__ import annotations

import numpy as np

from mixsci.engine.kernels import soa
from mixsci.engine.kernels.layout import Parameters, Rows, Sums, packed_sums, segments, take

_BLOCK = 192


def run(rows: Rows, parameters: Parameters, keep: int) -> tuple[Sums, None]:
    """Sums over the rows; per-row results are the `rowwise` kernel's."""
    if keep or rows.noise is not None or rows.projection is not None:
        raise ValueError("this kernel sums rows that share their noise and have no projection")
    (groups, k), d = parameters.log_weights.shape, parameters.means.shape[1]
    triangle = d * (d + 1) // 2
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
    soa.grouped(
        rows.x, rows.shared_noise, rows.weights, rows.log_background, runs, seen, *parameters,
        _BLOCK, counts, g, f, q, totals, failures,
    )  # fmt: skip
    return packed_sums(rows, d, counts, g, f, q, totals, failures), None
