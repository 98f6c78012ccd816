"""Values that say nothing become gaps, on request and into a layer of their own."""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from mixsci.cells.annotations import refuse_backed, refuse_key, table_of, written_to
from mixsci.cells.arrays import Lazy, Sparse, Table, checked_pieces
from mixsci.engine.tables import as_number
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

_COMPARISONS: dict[str, Callable[[Any, float], Any]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TEXT = re.compile(r"\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class _Limit:
    """Values on one side of a limit."""

    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.sign}{self.limit:g}"

    def __call__(self, values: Array) -> Array:
        return np.asarray(_COMPARISONS[self.sign](values, self.limit))


@dataclass(frozen=True)
class _Equal:
    """Values that are one of a few numbers."""

    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return ", ".join(f"{number:g}" for number in self.numbers)

    def __call__(self, values: Array) -> Array:
        # A number that is no float32 itself, 0.1, is found among those that are.
        return np.isin(values, np.array(self.numbers, dtype=values.dtype if values.dtype.kind == "f" else float))


def mark_missing(
    adata: AnnData, value: Any, *, layer: str | None = None, key_added: str = "marked", copy: bool = False
) -> AnnData | None:
    """A layer in which some values are gaps; X and other layers stay as they are.

    Nothing else makes gaps of zeros or of values at a limit of detection. Such values are not missing at random: a low
    value is likelier to be one. What a fit makes of them is as good as that is harmless.

    Args:
        adata: cells by variables; NaN = missing.
        value: a number, several, or text: "<=x", ">=x", "<x", ">x".
        layer: whose values; None = X.
        key_added: the layer to write; what was marked stands in uns[key_added].
        copy: return a copy with the layer, instead of writing into `adata`.

    Returns:
        None, or the copy.

    Raises:
        DataError: no such value or text; zeros of a sparse matrix, each of which would have to be stored; a backed X.

    Example:
        >>> import anndata, numpy as np, warnings
        >>> from mixsci import cells
        >>> adata = anndata.AnnData(np.array([[28.0, 19.5], [22.1, 28.0]]))
        >>> with warnings.catch_warnings(action="ignore"):
        ...     cells.pp.mark_missing(adata, 28)
        >>> adata.layers["marked"].tolist(), adata.uns["marked"]["n_marked"]
        ([[nan, 19.5], [22.1, nan]], 2)
    """
    chosen = _chosen(value)
    refuse_key(key_added)
    adata = written_to(adata, copy=copy)
    refuse_backed(adata, layer, "mark_missing")
    table, label = table_of(adata, layer=layer)
    _refuse_zeros_of_sparse(table, label, chosen)
    n_marked = sum(int(np.count_nonzero(chosen(values))) for _, values in checked_pieces(table, label))
    adata.layers[key_added] = _marked(table, chosen)
    adata.uns[key_added] = {
        "params": {"value": str(chosen), "layer": layer or "X"},
        "n_marked": n_marked,
        "share": n_marked / (adata.n_obs * adata.n_vars),
    }
    _warn_of_marks(label, chosen, n_marked, adata.n_obs * adata.n_vars)
    return adata if copy else None


def _chosen(value: Any) -> _Limit | _Equal:
    """Which values are meant."""
    if isinstance(value, str):
        found = _TEXT.fullmatch(value)
        if not found:
            raise DataError(f'value must be a number, several, or text such as "<=0"; got {value!r:.80}')
        return _Limit(found[1], _number(found[2]))
    several = value if isinstance(value, Iterable) else [value]
    numbers = sorted({_number(one) for one in several})
    if not numbers:
        raise DataError("value must be a number or several; got none")
    return _Equal(tuple(numbers))


def _number(value: Any) -> float:
    try:
        value = float(value) if isinstance(value, str) else value
    except ValueError:
        raise DataError(f"a limit must be a number; got {value!r:.80}") from None
    return as_number(value, "the value to mark")


def _refuse_zeros_of_sparse(table: Table, label: str, chosen: _Limit | _Equal) -> None:
    if not isinstance(table, Sparse) or not chosen(np.zeros(1)).any():
        return
    zeros = int(np.prod(table.shape)) - table.values.count_nonzero()
    raise DataError(
        f"{label} is sparse, and marking {chosen} would store a gap for each of its {zeros} zeros: "
        'pass zeros="missing" to the fit, or make it dense first, adata.X.toarray()'
    )


def _marked(table: Table, chosen: _Limit | _Equal) -> Any:
    """The values of a table with gaps where they are chosen; dense, sparse or lazy as they were."""
    if isinstance(table, Lazy):
        return table.values.map_blocks(_gapped, chosen, dtype=np.result_type(table.values.dtype, np.float32))
    return _gapped(table.values, chosen)  # type: ignore[attr-defined]


def _gapped(values: Any, chosen: _Limit | _Equal) -> Any:
    if sparse.issparse(values):
        # Only what is stored can be chosen here: zeros were refused, in chunks of Dask they are made dense.
        if not chosen(np.zeros(1)).any():
            marked = values.astype(np.result_type(values.dtype, np.float32))
            marked.data = _gapped(marked.data, chosen)
            return marked
        values = values.toarray()
    return np.where(chosen(values), np.nan, values).astype(np.result_type(values.dtype, np.float32), copy=False)


def _warn_of_marks(label: str, chosen: _Limit | _Equal, n_marked: int, n_values: int) -> None:
    if n_marked:
        text = (
            f"{n_marked} of {n_values} values of {label} ({chosen}) are gaps now; zeros of counts and values at a "
            "limit of detection are not missing at random, and with them as gaps means and imputed values come out too "
            "far from that limit"
        )
    else:
        text = f"no value of {label} is {chosen}: nothing was marked"
    warnings.warn(text, UserWarning, stacklevel=3)
