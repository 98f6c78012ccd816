"""What an AnnData holds, by name: arrays and columns, each checked where it is asked for."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.arrays import Table, as_table
from mixsci.errors import DataError, name_rows

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


def table_of(
    adata: AnnData, *, layer: str | None = None, use_rep: str | None = None, columns: Array | None = None
) -> tuple[Table, str]:
    """A way to read X, a layer or a representation, and what it is called.

    Raises:
        DataError: a name that is not there, an empty X, values that are not numbers.
    """
    if layer is not None:
        values, label = _entry(adata, "layers", "layer", layer), f"layer {layer}"
    elif use_rep in (None, "X"):
        values, label = adata.X, "X"
    else:
        values, label = _entry(adata, "obsm", "use_rep", use_rep), f"obsm {use_rep}"
    if values is None:
        raise DataError(f"X must hold values; it is empty: name a layer, one of {listed(adata.layers)}")
    _refuse_lost_mask(adata, label, layer)
    return as_table(values, label, columns), label


def variables_of(adata: AnnData, mask_var: Any = None) -> Array:
    """(D,) numbers of the variables that a mask chooses; None = all.

    Raises:
        DataError: an unknown column, another number of values, values that are not True or False, no variable.
    """
    if mask_var is None:
        return _some(np.arange(adata.n_vars), "the AnnData")
    named = isinstance(mask_var, str)
    values = column_of(adata, "var", mask_var, "mask_var") if named else mask_var
    what = f"mask_var {mask_var!r}" if named else "mask_var"
    mask = np.asarray(values)
    if mask.shape != (adata.n_vars,):
        raise DataError(f"{what} must have shape (n_vars,) = ({adata.n_vars},); got {mask.shape}")
    if mask.dtype != bool and not all(isinstance(value, bool | np.bool_) for value in mask.tolist()):
        raise DataError(
            f"{what} must be True or False for every variable; got {mask.dtype}: fill gaps, compare numbers"
        )
    return _some(np.flatnonzero(mask.astype(bool)), what)


def weights_of(adata: AnnData, name: str) -> Array:
    """(n,) weights of the cells.

    Raises:
        DataError: an unknown column, text, weights that are negative, missing or infinite.
    """
    column = column_of(adata, "obs", name, "weights")
    if column.dtype.kind not in "fiub":
        raise DataError(f"weights must be a column of numbers; obs[{name!r}] holds {column.dtype}: convert it")
    values = column.to_numpy(dtype=float, na_value=np.nan)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise DataError(f"weights in obs[{name!r}] must be finite and not negative; they are not in {name_rows(bad)}")
    return values


def labels_of(adata: AnnData, name: str, what: str) -> Array:
    """(n,) labels of the cells as text, of a column that is categorical, text, whole numbers or booleans.

    Raises:
        DataError: an unknown column, numbers with fractions, a cell without a label.
    """
    column = column_of(adata, "obs", name, what)
    if column.dtype.kind in "fc":
        raise DataError(
            f"{what} must be a column of labels; obs[{name!r}] holds {column.dtype}: make it text or categorical"
        )
    bad = column.isna().to_numpy()
    if bad.any():
        raise DataError(
            f"every cell needs a {what}; obs[{name!r}] has none in {name_rows(bad)}: fill it or leave these cells out"
        )
    return np.array([str(value) for value in column], dtype=object)


def column_of(adata: AnnData, part: str, name: Any, what: str) -> Any:
    """A column of obs or var by its name.

    Raises:
        DataError: no such column.
    """
    frame = getattr(adata, part)
    if not isinstance(name, Hashable) or name not in frame.columns:
        raise DataError(f"{what} must name a column of {part}, one of {listed(frame.columns)}; got {name!r:.80}")
    return frame[name]


def refuse_others(adata: Any) -> None:
    """Refuse anything but an AnnData with cells in it."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise DataError(f"the first argument must be an AnnData; got {type(adata).__name__}: write anndata.AnnData(x)")
    if not adata.n_obs:
        raise DataError("the AnnData must hold cells; it has none")


def listed(names: Any, most: int = 8) -> str:
    """The first of some names, as words."""
    # None is the name that newer releases of anndata give to X among the layers.
    names = [str(name) for name in names if name is not None]
    return (", ".join(names[:most]) + (f" ... ({len(names)} in all)" if len(names) > most else "")) or "none there is"


def _entry(adata: AnnData, part: str, what: str, name: Any) -> Any:
    there = getattr(adata, part)
    if not isinstance(name, str) or name not in there:
        raise DataError(f"{what} must be in {part}, one of {listed(there.keys())}; got {name!r:.80}")
    return there[name]


def _refuse_lost_mask(adata: AnnData, label: str, layer: str | None) -> None:
    """A view of a masked array comes without its mask: gaps would be read as values."""
    if not adata.is_view or label.startswith("obsm"):
        return
    whole = adata._adata_ref
    if isinstance(whole.X if layer is None else whole.layers[layer], np.ma.MaskedArray):
        raise DataError(
            f"a view of an AnnData must not have a masked {label}, for the mask is lost in it: "
            "write gaps as NaN first, adata.X = adata.X.filled(numpy.nan)"
        )


def _some(columns: Array, what: str) -> Array:
    if not len(columns):
        raise DataError(f"there must be at least one variable to look at; {what} leaves none")
    return columns


def written_to(adata: AnnData, *, copy: bool) -> AnnData:
    """The AnnData to write results into: itself, or a copy.

    Raises:
        DataError: not an AnnData; a copy of one that lies in a file.
    """
    refuse_others(adata)
    if not isinstance(copy, bool | np.bool_):
        raise DataError(f"copy must be True or False; got {copy!r:.80}")
    if copy and adata.isbacked:
        raise DataError("a backed AnnData cannot be copied in memory: leave copy=False, or load it with to_memory()")
    return adata.copy() if copy else adata


def refuse_backed(adata: AnnData, layer: str | None, verb: str) -> None:
    """Refuse to write a layer as large as an X that lies in a file."""
    if adata.isbacked and layer is None:
        raise DataError(f"{verb} writes a layer in memory, and X lies in a file: load it with adata.to_memory()")


def refuse_key(key: Any, what: str = "key_added") -> None:
    """Refuse a name that HDF5 would take for a path, or that is none."""
    if not isinstance(key, str) or not key or "/" in key:
        raise DataError(f"{what} must be a name, text without a slash; got {key!r:.80}")
