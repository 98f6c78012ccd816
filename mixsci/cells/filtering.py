"""Leave out variables and cells with too few values, and say how many."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import listed, table_of, written_to
from mixsci.cells.arrays import Table, checked_pieces
from mixsci.cells.summary import Summary, join, summarise
from mixsci.engine.tables import as_number
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


@dataclass(frozen=True)
class _Rule:
    max_share_vars: float
    max_share_cells: float
    min_values: int
    keep_constant: bool

    def variables(self, found: Summary) -> Array:
        """(n_vars,) True for variables that stay."""
        n = len(found.observed)
        stay = (found.counts >= self.min_values) & _few(n - found.counts, n, self.max_share_vars)
        return np.asarray(stay & (self.keep_constant | ~(found.least == found.largest)))

    def cells(self, found: Summary) -> Array:
        """(n_obs,) True for cells that stay, their shares taken over the variables that stay."""
        d = len(found.counts)
        return _few(d - found.observed, d, self.max_share_cells)


def _few(gaps: Array, of: int, share: float) -> Array:
    """Where gaps are no larger a share than this; 3 of 10 are 0.3, whatever binary fractions make of it."""
    return np.asarray(gaps <= share * of + 1e-9)


def filter_missing(
    adata: AnnData,
    *,
    max_share_vars: float = 1.0,
    max_share_cells: float = 1.0,
    min_values: int = 3,
    keep_constant: bool = False,
    layer: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """The AnnData without variables and cells that have too few values; a warning says how many were left out.

    The share of gaps of a cell is taken over the variables that stay, that of a variable over the cells that stay: the
    rules are applied in turn until nothing more falls out.

    Args:
        adata: cells by variables; NaN = missing.
        max_share_vars: variables with a larger share of gaps are left out.
        max_share_cells: cells with a larger share of gaps are left out; 1 keeps all, also those without a value.
        min_values: variables with fewer values are left out.
        keep_constant: keep variables whose values are all the same.
        layer: whose values; None = X.
        copy: return a filtered copy, instead of changing `adata`.

    Returns:
        None, or the copy. uns["filter_missing"] holds the rules and the names of what was left out, vars and cells.

    Raises:
        DataError: shares outside 0 to 1, rules that leave nothing, a backed AnnData.

    Example:
        >>> import anndata, numpy as np, warnings
        >>> from mixsci import cells
        >>> x = np.array([[1.0, np.nan], [0.5, 2.0], [0.1, np.nan]])
        >>> with warnings.catch_warnings(action="always", record=True) as said:
        ...     kept = cells.pp.filter_missing(anndata.AnnData(x), copy=True)
        >>> kept.shape, str(said[0].message)
        ((3, 1), 'left out 1 of 2 variables (1) and 0 of 3 cells: too few values, or all the same')
    """
    rule = _rule(max_share_vars, max_share_cells, min_values, keep_constant)
    adata = written_to(adata, copy=copy)
    if adata.isbacked:
        raise DataError("filter_missing changes the AnnData, and this one lies in a file: load it with to_memory()")
    variables, some = _staying(*table_of(adata, layer=layer), rule)
    out = {
        "vars": np.array(adata.var_names[~variables], dtype=object),
        "cells": np.array(adata.obs_names[~some], dtype=object),
    }
    if len(out["vars"]) or len(out["cells"]):
        _warn_of(out, adata.shape)
    adata._inplace_subset_var(variables)
    adata._inplace_subset_obs(some)
    adata.uns["filter_missing"] = {"params": {**vars(rule), "layer": layer or "X"}, **out}
    return adata if copy else None


def _staying(table: Table, label: str, rule: _Rule) -> tuple[Array, Array]:
    """(n_vars,) and (n_obs,) True for what stays when the rules have nothing more to leave out."""
    n, d = table.shape
    variables, some = np.ones(d, dtype=bool), np.ones(n, dtype=bool)
    while True:
        stay = variables & rule.variables(_summary(table, label, cells=some))
        left = some & rule.cells(_summary(table, label, variables=stay)) if rule.max_share_cells < 1.0 else some
        if not stay.any() or not left.any():
            raise DataError(
                f"some values of {label} must stay; these rules leave {stay.sum()} variables and {left.sum()} cells: "
                "relax them"
            )
        if (stay == variables).all() and (left == some).all():
            return variables, some
        variables, some = stay, left


def _summary(table: Table, label: str, *, cells: Array | None = None, variables: Array | None = None) -> Summary:
    """Of some of the cells, or of some of the variables."""
    which = slice(None) if variables is None else variables
    pieces = checked_pieces(table, label)
    return join(summarise(values[slice(None) if cells is None else cells[rows]][:, which]) for rows, values in pieces)


def _rule(max_share_vars: Any, max_share_cells: Any, min_values: Any, keep_constant: Any) -> _Rule:
    shares = {"max_share_vars": max_share_vars, "max_share_cells": max_share_cells}
    numbers = {name: as_number(value, name) for name, value in shares.items()}
    for name, number in numbers.items():
        if not 0.0 <= number <= 1.0:
            raise DataError(f"{name} must be a share from 0 to 1; got {number:g}")
    if isinstance(min_values, bool) or not isinstance(min_values, int | np.integer) or min_values < 1:
        raise DataError(f"min_values must be a whole number, 1 or more; got {min_values!r:.80}")
    return _Rule(**numbers, min_values=int(min_values), keep_constant=bool(keep_constant))


def _warn_of(out: dict[str, Array], shape: tuple[int, int]) -> None:
    named = {part: f" ({listed(names, 3)})" if len(names) else "" for part, names in out.items()}
    warnings.warn(
        f"left out {len(out['vars'])} of {shape[1]} variables{named['vars']} and {len(out['cells'])} of {shape[0]} "
        f"cells{named['cells']}: too few values, or all the same",
        UserWarning,
        stacklevel=3,
    )
