"""The arrays an AnnData holds, dense, sparse, lazy or on disk, read as dense numbers some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from mixsci.engine.execution import is_dask
from mixsci.engine.observations import LARGEST
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

#: A block holds about a sixteenth of the rows, within these bounds on rows and values.
_BLOCKS, _FEWEST_ROWS, _MOST_ROWS, _MOST_VALUES = 16, 128, 16_384, 1 << 21


class Table(Protocol):
    """Numbers (n, D) of cells by variables; NaN = missing."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells n and variables D."""

    def read(self, rows: slice) -> Array:
        """(b, D) dense values of some rows that follow one another."""

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """All rows in order, in blocks of bounded size: which rows, and their (b, D) dense values."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of values that are read a block at a time, each as `read` of the kind makes it dense."""

    values: Any

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self.values.shape
        return n, d

    def read(self, rows: slice) -> Array:
        """(b, D) dense values of some rows."""
        return _densified(self.values[rows])

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        """All rows in order, in blocks: which rows, and their values."""
        return ((rows, self.read(rows)) for rows in cuts(self.shape))


@dataclass(frozen=True, eq=False)
class Dense(_Rows):
    """Values in memory: array, masked array or data frame."""

    def read(self, rows: slice) -> Array:
        return self.values[rows]


@dataclass(frozen=True, eq=False)
class Sparse(_Rows):
    """Values in memory of which most are zero; zeros that are not stored are zeros."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Values in a file, dense or stored row by row."""

    values: Any
    columns: Array | None

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self.values.shape
        return n, d if self.columns is None else len(self.columns)

    def read(self, rows: slice) -> Array:
        values = _densified(self.values[rows])
        return values if self.columns is None else values[:, self.columns]

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        # A row is read with all its variables, also where few of them are asked for.
        return ((rows, self.read(rows)) for rows in cuts(self.values.shape))


@dataclass(frozen=True, eq=False)
class Lazy(_Rows):
    """Values that Dask makes when they are asked for, its chunks of rows dense or sparse."""

    def read(self, rows: slice) -> Array:
        return _densified(self.values[rows].compute())

    def pieces(self) -> Iterator[tuple[slice, Array]]:
        start = 0
        # Chunk by chunk: smaller slices would make each chunk several times.
        for number in range(self.values.numblocks[0]):
            chunk = self.values.blocks[number].compute()
            for rows in cuts(chunk.shape):
                values = _densified(chunk[rows])
                yield slice(start + rows.start, start + rows.start + len(values)), values
            start += chunk.shape[0]


def cuts(shape: tuple[int, int]) -> Iterator[slice]:
    """The rows of each block of a table (n, D)."""
    n, d = shape
    most = max(min(_MOST_ROWS, _MOST_VALUES // max(d, 1)), _FEWEST_ROWS)
    size = int(np.clip(-(-n // _BLOCKS), _FEWEST_ROWS, most))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def as_table(values: Any, label: str, columns: Array | None = None) -> Table:
    """A way to read any array of an AnnData.

    Args:
        values: (n, D) dense, masked, sparse, Dask or backed array, or a data frame.
        label: what to call it in messages.
        columns: the variables to read; None = all.

    Raises:
        DataError: numbers that are complex, text, or an array of a kind that cannot be read row by row.
    """
    _refuse_kind(values, label)
    return next(open_table for is_kind, open_table in _KINDS if is_kind(values))(values, label, columns)


def checked_pieces(table: Table, label: str) -> Iterator[tuple[slice, Array]]:
    """The pieces of a table, infinite values refused; `label` is what to call it."""
    for rows, values in table.pieces():
        refuse_large(values, rows.start, label)
        yield rows, values


def refuse_large(x: Array, start: int, label: str) -> None:
    """Refuse infinite values in a block (b, D) whose first row is `start`."""
    with np.errstate(invalid="ignore"):
        bad = np.abs(x) > LARGEST
    if bad.any():
        raise DataError(
            f"{label} must be finite and at most {LARGEST:.0e} in size; got {x[bad][0]} in {rows_of(bad, start)}: "
            "write missing values as NaN"
        )


def rows_of(bad: Array, start: int) -> str:
    """The rows of a block where `bad` (b, D) holds anywhere, as words; `start` is the first of the block."""
    return name_rows(np.concatenate([np.zeros(start, dtype=bool), bad.any(axis=1)]))


def dense(values: Any) -> Array:
    """(b, D) values of a dense or sparse block, NaN where they are masked."""
    return _densified(values)


def _dense(values: Any, label: str, columns: Array | None) -> Table:
    numbers = as_numbers(np.asarray(values) if type(values).__name__ == "ArrayView" else values, label).values
    if numbers.ndim != 2:
        raise DataError(f"{label} must have shape (n cells, m variables); got {numbers.shape}: write [:, None] for one")
    return Dense(numbers if columns is None else numbers[:, columns])


def _sparse(values: Any, _: str, columns: Array | None) -> Table:
    # Rows of columns stored one by one would be searched for anew in every block.
    rows = values.tocsr()
    return Sparse(rows if columns is None else rows[:, columns])


def _compressed(values: Any, label: str, columns: Array | None) -> Table:
    if values.format != "csr":
        raise DataError(
            f"a sparse {label} on disk must be stored row by row (csr); got {values.format}: "
            "write it as csr, or load it with adata.to_memory()"
        )
    return Stored(values, columns)


def _stored(values: Any, _: str, columns: Array | None) -> Table:
    return Stored(values, columns)


def _lazy(values: Any, label: str, columns: Array | None) -> Table:
    if not hasattr(values, "chunks") or np.isnan(values.shape).any():
        raise DataError(
            f"{label} in Dask must be an array whose numbers of rows are known; got {type(values).__name__}: "
            "call compute_chunk_sizes() on it"
        )
    whole = values.rechunk({1: -1})
    return Lazy(whole if columns is None else whole[:, columns])


def _always(_: Any) -> bool:
    return True


def _is_compressed(values: Any) -> bool:
    """Whether it is a sparse matrix in a file."""
    return hasattr(values, "to_memory") and hasattr(values, "format")


def _is_stored(values: Any) -> bool:
    """Whether it is a dense array in a file: those of HDF5 and Zarr have chunks, those in memory none."""
    return hasattr(values, "chunks") and hasattr(values, "dtype")


#: Kind of array -> how it is opened; the first that fits.
_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str, Array | None], Table]], ...] = (
    (is_dask, _lazy),
    (sparse.issparse, _sparse),
    (_is_compressed, _compressed),
    (_is_stored, _stored),
    (_always, _dense),
)


def _refuse_kind(values: Any, label: str) -> None:
    """Refuse what is not numbers before any of it is read; objects in memory may be numbers and are looked at."""
    if type(values).__module__.partition(".")[0] in ("cupy", "cupyx"):
        raise DataError(f"{label} must lie in the memory of the processor; it lies on a GPU: bring it back first")
    dtype = getattr(values, "dtype", None)
    if dtype is not None and getattr(dtype, "kind", "O") not in "fiubO":
        raise DataError(
            f"{label} must hold real numbers; got {dtype}: convert it, text and complex numbers have no mean"
        )


def _densified(values: Any) -> Array:
    if sparse.issparse(values):
        return values.toarray()
    return as_numbers(values, "a block").values
