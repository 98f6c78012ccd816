"""Transforms of values that leave gaps where they are: one class of rule for every kind, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from mixsci.cells.annotations import listed, refuse_backed, refuse_key, table_of, written_to
from mixsci.cells.arrays import Lazy, Sparse, Table, checked_pieces
from mixsci.cells.summary import Summary, join, summarise
from mixsci.engine.tables import as_number, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Added to a share and to what it lacks to one, so that 0 and 1 have an M-value.
_OFFSET = 0.01


@dataclass(frozen=True)
class Kind:
    """One transform.

    Attributes:
        apply: (values (b, D), means (D,), sd (D,), cofactor) -> (b, D).
        inside: which values can be transformed, from the least and the largest of each variable.
        rule: the same in words.
        keeps_zero: whether a zero stays one, so that a sparse matrix stays sparse.
        two_valued: whether variables with two values make sense.
    """

    apply: Callable[[Array, Array, Array, float], Array]
    inside: Callable[[Array, Array], Array] = lambda least, _: np.ones(len(least), dtype=bool)
    rule: str = ""
    keeps_zero: bool = False
    two_valued: bool = True


def arcsinh(values: Array, _means: Array, _sd: Array, cofactor: float) -> Array:
    """arsinh(x / cofactor), linear near zero and logarithmic far from it: flow and mass cytometry."""
    return np.arcsinh(values / cofactor)


def log1p(values: Array, _means: Array, _sd: Array, _cofactor: float) -> Array:
    """log(1 + x): counts."""
    return np.log1p(values)


def clr(values: Array, _means: Array, _sd: Array, _cofactor: float) -> Array:
    """log(1 + x) less its mean over the observed variables of a cell (Stoeckius et al. 2017): counts of antibodies."""
    logs = np.log1p(values)
    seen = ~np.isnan(logs)
    total = np.where(seen, logs, 0.0).sum(axis=1, keepdims=True)
    return logs - total / np.maximum(seen.sum(axis=1, keepdims=True), 1)


def logit(values: Array, _means: Array, _sd: Array, _cofactor: float) -> Array:
    """log(x / (1 - x)): shares between 0 and 1."""
    return np.log(values) - np.log1p(-values)


def m_value(values: Array, _means: Array, _sd: Array, _cofactor: float) -> Array:
    """log2((x + a) / (1 - x + a)), a = 0.01: shares of methylation (Du et al. 2010)."""
    return np.log2((values + _OFFSET) / (1.0 - values + _OFFSET))


def scale(values: Array, means: Array, sd: Array, _cofactor: float) -> Array:
    """(x - mean) / sd of the observed values of a variable; one without spread is 0."""
    return (values - means) / np.where(sd > 0, sd, 1.0)


KINDS: dict[str, Kind] = {
    "arcsinh": Kind(arcsinh, keeps_zero=True),
    "log1p": Kind(log1p, lambda least, _: least > -1, "above -1", keeps_zero=True),
    "clr": Kind(clr, lambda least, _: least >= 0, "0 or more"),
    "logit": Kind(logit, lambda least, most: (least > 0) & (most < 1), "between 0 and 1, neither of them, "
                  'for which there is "m_value"', two_valued=False),
    "m_value": Kind(m_value, lambda least, most: (least >= 0) & (most <= 1), "from 0 to 1", two_valued=False),
    "scale": Kind(scale),
}  # fmt: skip


def transform(
    adata: AnnData,
    kind: str,
    *,
    layer: str | None = None,
    key_added: str | None = None,
    cofactor: float = 150.0,
    copy: bool = False,
) -> AnnData | None:
    """A layer with transformed values; gaps stay gaps, X and other layers stay as they are.

    Args:
        adata: cells by variables; NaN = missing.
        kind: "arcsinh" (x / cofactor), "log1p", "clr" (log(1 + x) less its mean over the observed variables of the
            cell), "logit", "m_value" (log2 of (x + 0.01) / (1 - x + 0.01)) or "scale" (mean 0, sd 1 per variable).
        layer: whose values; None = X.
        key_added: the layer to write; None = named like the kind.
        cofactor: of "arcsinh": about 150 for flow, 5 for mass cytometry.
        copy: return a copy with the layer, instead of writing into `adata`.

    Returns:
        None, or the copy.

    Raises:
        DataError: an unknown kind, values outside its range, logit or M-value of variables with two values, a kind
            that would make a sparse matrix dense, a backed X.

    Example:
        >>> import anndata, numpy as np
        >>> from mixsci import cells
        >>> adata = anndata.AnnData(np.array([[0.0, np.nan], [2.0, 1.0]]))
        >>> cells.pp.transform(adata, "scale")
        >>> adata.layers["scale"].round(3).tolist()
        [[-0.707, nan], [0.707, 0.0]]
    """
    refuse_unknown(kind, KINDS, "kind")
    key, chosen = kind if key_added is None else key_added, KINDS[kind]
    refuse_key(key)
    if key == layer:
        raise DataError(f"a transform must not overwrite what it is made of; got layer and key_added {key!r}")
    cofactor = _positive(cofactor)
    adata = written_to(adata, copy=copy)
    refuse_backed(adata, layer, "transform")
    table, label = table_of(adata, layer=layer)
    found = _checked(table, label, kind, [str(name) for name in adata.var_names])
    adata.layers[key] = _transformed(table, chosen, found, cofactor)
    params: dict[str, Any] = {"kind": kind, "layer": layer or "X"}
    adata.uns[key] = {"params": params | ({"cofactor": cofactor} if kind == "arcsinh" else {})}
    return adata if copy else None


def _transformed(table: Table, kind: Kind, found: Summary, cofactor: float) -> Any:
    """The transformed values of a table; sparse or lazy as they were."""
    arguments = (kind.apply, found.means, found.sd, cofactor)
    if isinstance(table, Lazy):
        return table.values.map_blocks(_apply, *arguments, dtype=np.result_type(table.values.dtype, np.float32))
    return _apply(table.values, *arguments)  # type: ignore[attr-defined]


def _apply(values: Any, apply: Callable[..., Array], means: Array, sd: Array, cofactor: float) -> Any:
    if sparse.issparse(values):
        done = values.astype(np.result_type(values.dtype, np.float32))
        done.data = apply(done.data, means, sd, cofactor)
        return done
    # A float32 layer stays one: half the memory, and more digits than were measured.
    kept = np.result_type(values.dtype, np.float32)
    return np.asarray(apply(values.astype(kept, copy=False), means, sd, cofactor), dtype=kept)


def _checked(table: Table, label: str, kind: str, names: list[str]) -> Summary:
    """The summary of a table that can be transformed.

    Raises:
        DataError: naming the first variables that cannot, or a sparse table that would become dense.
    """
    rules = KINDS[kind]
    if not rules.keeps_zero and _is_sparse(table):
        raise DataError(
            f"{kind} moves zeros, so a sparse {label} would become dense: make it dense first, or use log1p"
        )
    found = join(summarise(values) for _, values in checked_pieces(table, label))
    if not rules.two_valued:
        _refuse_two_valued(table, label, kind, names, found)
    outside = (found.counts > 0) & ~rules.inside(found.least, found.largest)
    if outside.any():
        j = int(np.flatnonzero(outside)[0])
        raise DataError(
            f"{kind} needs values {rules.rule}; {_named(names, outside)} of {label} have others: "
            f"{names[j]} goes from {found.least[j]:g} to {found.largest[j]:g}"
        )
    return found


def _refuse_two_valued(table: Table, label: str, kind: str, names: list[str], found: Summary) -> None:
    two = (found.counts > 2) & (found.least < found.largest)
    for _, values in checked_pieces(table, label):
        two &= ((values == found.least) | (values == found.largest) | np.isnan(values)).all(axis=0)
    if two.any():
        raise DataError(
            f"{kind} needs shares; {_named(names, two)} of {label} have two values only, calls such as 0 and 1, which "
            "stay two values whatever is done to them: fit them as they are"
        )


def _is_sparse(table: Table) -> bool:
    return isinstance(table, Sparse) or (isinstance(table, Lazy) and sparse.issparse(table.values._meta))


def _named(names: list[str], bad: Array) -> str:
    return listed([names[j] for j in np.flatnonzero(bad)], 3)


def _positive(cofactor: Any) -> float:
    found = as_number(cofactor, "cofactor")
    if found <= 0:
        raise DataError(f"cofactor must be positive; got {found:g}")
    return found
