"""Sums over rows, and per-row results: the only code that touches every row in every pass.

A kernel takes `Rows` (one block of rows, structure-of-arrays) and `Parameters` (the mixture as plain arrays) and
returns `Sums`; with `keep` it also returns `Shares`, what each row says. `reference` is written to be read and is the
oracle of every test; `choose` picks the fast kernel from plain facts. A new one is a module with `run` and a line in
KERNELS.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Literal

import numpy as np

from mixsci.engine.kernels.layout import Parameters, Rows, Shares, Sums, segments

Keep = Literal[0, 1, 2]
Kernel = Callable[[Rows, Parameters, Keep], tuple[Sums, Shares | None]]

#: Each kernel and the module that holds it: modules load when first used, Numba is not for the import of mixsci.
KERNELS = {
    "reference": "reference",
    "shared": "grouped",
    "patterns": "grouped",
    "blas": "blas",
    "rowwise": "rowwise",
    "projected": "rowwise",
}

#: From this many columns on, matrix products beat loops over rows.
BLAS_COLUMNS = 17
#: A factorisation per pattern pays from this many rows per pattern on.
ROWS_PER_PATTERN = 8


def choose(rows: Rows, keep: Keep = 0) -> str:
    """The fastest kernel for these rows."""
    if rows.projection is not None:
        return "projected"
    if rows.noise is not None:
        return "rowwise"
    wide = len(rows.x) >= BLAS_COLUMNS
    if keep == 2:
        return "blas" if wide else "rowwise"
    complete = not np.isnan(rows.x).any()
    if complete or len(rows.x[0]) >= ROWS_PER_PATTERN * len(segments(rows)[1]):
        return "blas" if wide else ("shared" if complete else "patterns")
    return "blas" if wide and len(rows.x[0]) >= 2 * len(segments(rows)[1]) else "rowwise"


def run(rows: Rows, parameters: Parameters, *, keep: Keep = 0, backend: str = "numba") -> tuple[Sums, Shares | None]:
    """Sums over a block (and, with `keep`, per-row results: 1 densities and responsibilities, 2 also moments).

    Args:
        backend: "numba" chooses the fastest kernel; else a name of KERNELS.
    """
    name = choose(rows, keep) if backend == "numba" else backend
    if name not in KERNELS:
        raise ValueError(f'backend must be "numba" or one of {", ".join(KERNELS)}; got {backend!r}')
    kernel: Kernel = import_module(f"{__name__}.{KERNELS[name]}").run
    return kernel(rows, parameters, keep)
