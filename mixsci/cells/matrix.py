"""The matrix of a fit: which values of an AnnData it looks at, with their gaps, noise, weights and batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import labels_of, listed, refuse_others, table_of, variables_of, weights_of
from mixsci.cells.arrays import Dense, Lazy, Table, dense, refuse_large, rows_of
from mixsci.cells.summary import Summary, join, summarise
from mixsci.engine.execution import DaskSource, Run, Workers, map_runs
from mixsci.engine.noise import from_errors
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Matrix:
    """Cells by variables as a fit takes them; `matrix_of` makes it.

    Attributes:
        obs: the n cells as measured: `Observations` where values are dense and in memory, else a source of blocks.
        names: (D,) names of the variables.
        n_obs: number of cells n.
        seen: (n,) True for cells with at least one observed value.
        columns: (D,) which variables of the AnnData they are; None for a representation in obsm.
        label: what it is: "X", "layer counts", "obsm X_pca".
        counts: (D,) number of observed values. sd: (D,) their standard deviation.
        n_patterns: number of distinct patterns of gaps.
    """

    obs: Any
    names: tuple[str, ...]
    n_obs: int
    seen: Array
    columns: Array | None
    label: str
    counts: Array
    sd: Array
    n_patterns: int

    def __repr__(self) -> str:
        return f"Matrix({self.label}: {self.n_obs} cells x {len(self.names)} variables)"

    def parts(self) -> Iterator[tuple[slice, Observations]]:
        """The cells in their order, in blocks small enough to be dense: which cells, and their observations."""
        if isinstance(self.obs, Observations):
            return iter([(slice(0, self.n_obs), self.obs)])
        return self.obs.parts()


@dataclass(frozen=True, eq=False)
class Reading:
    """How values of some cells become observations; what differs by cell is kept for all of them.

    Attributes:
        names: (D,) names of the variables.
        label: what the values are.
        zeros_missing: whether a zero is a gap.
        weights: (n,) weights of the cells, or None.
        batches: (n,) batch of each cell, or None.
        errors: of the values, or None.
        errors_label: what the errors are.
    """

    names: tuple[str, ...]
    label: str
    zeros_missing: bool = False
    weights: Array | None = None
    batches: Array | None = None
    errors: Table | None = None
    errors_label: str = ""

    def __call__(self, x: Array, rows: slice, sigma: Array | None = None) -> Observations:
        """Observations of the cells `rows` with values x (b, D); sigma where errors are read together with values."""
        refuse_large(x, rows.start, self.label)
        if self.zeros_missing:
            x = np.where(x == 0, np.nan, x)
        if sigma is None and self.errors is not None:
            sigma = self.errors.read(rows)
        obs = Observations(
            x,
            None if sigma is None else from_errors(_checked(sigma, x, rows.start, self)),
            row_weights=None if self.weights is None else self.weights[rows],
            groups=None if self.batches is None else self.batches[rows],
        )
        object.__setattr__(obs, "names", self.names)
        return obs


@dataclass(frozen=True, eq=False, repr=False)
class MatrixSource:
    """Cells that are never dense all at once: blocks of them are, one after the other, in every pass."""

    table: Table
    reading: Reading

    def __repr__(self) -> str:
        n, d = self.table.shape
        return f"{type(self).__name__}({self.reading.label}: {n} cells x {d} variables)"

    def parts(self) -> Iterator[tuple[slice, Observations]]:
        """The cells in their order: which, and their observations."""
        for rows, values in self.table.pieces():
            yield rows, self.reading(values, rows)

    def blocks(self) -> Iterator[Observations]:
        """The cells in blocks."""
        for _, part in self.parts():
            yield from part.blocks()


@dataclass(frozen=True, eq=False, repr=False)
class LazySource(MatrixSource):
    """Cells in Dask: the work of a fit is done where their chunks lie."""

    table: Lazy

    @cached_property
    def _dask(self) -> DaskSource:
        values = self.table.values
        parts = {"x": values, "rows": values.map_blocks(_row_numbers, dtype=np.int64, chunks=(values.chunks[0], (1,)))}
        reading = self.reading
        if isinstance(reading.errors, Lazy):
            parts["errors"] = reading.errors.values
            reading = replace(reading, errors=None)
        return DaskSource(parts, _FromChunk(reading))

    def map(self, function: Callable[[Run], Any], workers: Workers = None) -> Iterator[Any]:
        """function(run) for every chunk of rows, in order; see `mixsci.engine.execution.map_runs`."""
        return self._dask.map(function, workers)


@dataclass(frozen=True, eq=False)
class _FromChunk:
    """Observations of one chunk of a Dask array."""

    reading: Reading

    def __call__(self, part: Mapping[str, Any]) -> Observations:
        first, n = int(part["rows"][0, 0]), len(part["rows"])
        errors = None if "errors" not in part else dense(part["errors"])
        return self.reading(dense(part["x"]), slice(first, first + n), errors)


def _row_numbers(_: Any, block_info: Any = None) -> Array:
    """(b, 1) numbers of the rows in a chunk; Dask says which it is."""
    low, high = block_info[0]["array-location"][0]
    return np.arange(low, high)[:, None]


def matrix_of(
    adata: AnnData,
    *,
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: Any = None,
    noise_layer: str | None = None,
    weights: str | None = None,
    batch: str | None = None,
    zeros: str = "value",
    spread: bool = False,
    empty: bool = False,
) -> Matrix:
    """The values of an AnnData that a fit looks at; NaN = missing, a zero is a value, also where it is not stored.

    Args:
        adata: cells by variables; dense, masked, sparse, Dask-lazy or backed.
        layer: whose values; None = X.
        use_rep: instead of variables, a representation in obsm; "X" = X.
        mask_var: which variables: the name of a column of var, or (n_vars,) booleans.
        noise_layer: layer with the standard deviation of every value.
        weights: column of obs with weights of the cells, not negative.
        batch: column of obs with the batch of every cell.
        zeros: "value", or "missing" to take every zero as a gap.
        spread: whether to refuse variables whose values are all the same.
        empty: whether variables without an observed value may stay.

    Raises:
        DataError: an argument that does not fit the AnnData; infinite values; a variable without an observed value.

    Example:
        >>> import anndata, numpy as np
        >>> adata = anndata.AnnData(np.array([[1.0, np.nan], [0.5, 2.0], [np.nan, np.nan]]))
        >>> matrix = matrix_of(adata)
        >>> matrix, matrix.seen.tolist()
        (Matrix(X: 3 cells x 2 variables), [True, True, False])
    """
    refuse_others(adata)
    if zeros not in ("value", "missing"):
        raise DataError(f'zeros must be "value" or "missing"; got {zeros!r}')
    _refuse_together(layer, use_rep, {"mask_var": mask_var is not None, "noise_layer": noise_layer is not None,
                                      'zeros="missing"': zeros == "missing"})  # fmt: skip
    if zeros == "missing":
        _warn_of_zeros()
    columns = None if use_rep not in (None, "X") else variables_of(adata, mask_var)
    every = columns is None or len(columns) == adata.n_vars
    table, label = table_of(adata, layer=layer, use_rep=use_rep, columns=None if every else columns)
    reading = Reading(
        names=_names(adata, use_rep, columns, table.shape[1]),
        label=label,
        zeros_missing=zeros == "missing",
        weights=None if weights is None else weights_of(adata, weights),
        batches=None if batch is None else labels_of(adata, batch, "batch"),
    )
    if noise_layer is not None:
        errors, errors_label = table_of(adata, layer=noise_layer, columns=None if every else columns)
        reading = replace(reading, errors=errors, errors_label=errors_label)
    return _surveyed(table, reading, columns, spread=spread, empty=empty)


# --- one pass over the values ----------------------------------------------------------------------------------------


def _surveyed(table: Table, reading: Reading, columns: Array | None, *, spread: bool, empty: bool) -> Matrix:
    obs = _source(table, reading)
    # Blocks of a source with batches are sorted by batch; without them they come in the order of the cells.
    found = join(map_runs(_summary_of, _source(table, replace(reading, batches=None))))
    if not empty:
        _refuse_variables(found.counts == 0, reading, "have an observed value; without one are")
    if spread:
        _refuse_variables(found.least == found.largest, reading, "vary; always the same are")
    seen, n_patterns = found.observed > 0, len(found.patterns)
    sd = np.sqrt(found.squares / np.maximum(found.counts, 1))
    return Matrix(obs, reading.names, len(seen), seen, columns, reading.label, found.counts, sd, n_patterns)


def _source(table: Table, reading: Reading) -> Any:
    if isinstance(table, Dense) and (reading.errors is None or isinstance(reading.errors, Dense)):
        return reading(table.values, slice(0, table.shape[0]))
    return LazySource(table, reading) if isinstance(table, Lazy) else MatrixSource(table, reading)


def _summary_of(run: Run) -> Summary:
    return join(summarise(np.where(block.seen(), block.x, np.nan)) for block in run.blocks)


def _refuse_variables(bad: Array, reading: Reading, rule: str) -> None:
    if bad.any():
        names = listed([reading.names[j] for j in np.flatnonzero(bad)], 5)
        raise DataError(
            f"every variable of {reading.label} must {rule} {names}: "
            "leave them out with cells.pp.filter_missing(adata) or with mask_var"
        )


# --- checks ----------------------------------------------------------------------------------------------------------


def _refuse_together(layer: Any, use_rep: Any, others: Mapping[str, bool]) -> None:
    if use_rep is None:
        return
    if not isinstance(use_rep, str):
        raise DataError(f"use_rep must be the name of a representation in obsm; got {use_rep!r:.80}")
    if layer is not None:
        raise DataError(f"values come from one place: give layer or use_rep, not both; got {layer!r} and {use_rep!r}")
    wrong = [name for name, given in others.items() if given] if use_rep != "X" else []
    if wrong:
        raise DataError(f"{wrong[0]} is about variables, a representation in obsm has none: leave it out with use_rep")


def _names(adata: AnnData, use_rep: str | None, columns: Array | None, width: int) -> tuple[str, ...]:
    if columns is not None:
        return tuple(str(name) for name in adata.var_names[columns])
    named = getattr(adata.obsm[use_rep], "columns", None)
    return tuple(str(name) for name in named) if named is not None else tuple(f"{use_rep}-{j}" for j in range(width))


def _checked(sigma: Array, x: Array, start: int, reading: Reading) -> Array:
    """Errors (b, D), none of them negative, one for every observed value."""
    negative, unknown = sigma < 0, np.isnan(sigma) & ~np.isnan(x)
    if negative.any():
        raise DataError(
            f"{reading.errors_label} must hold standard deviations; some are negative in {rows_of(negative, start)}: "
            "correct or blank them"
        )
    if unknown.any():
        raise DataError(
            f"every observed value of {reading.label} needs an error; {reading.errors_label} has none in "
            f"{rows_of(unknown, start)}: give them, or write these values as NaN"
        )
    return sigma


def _warn_of_zeros() -> None:
    warnings.warn(
        "zeros are taken as missing: zeros of counts are not missing at random, a low value is likelier to be one, so "
        'means and imputed values come out too high; keep zeros="value" unless a zero says nothing',
        UserWarning,
        stacklevel=3,
    )
