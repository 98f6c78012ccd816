"""Markers: which variables differ between a cluster and the others, counted over the values that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from mixsci.cells.annotations import listed, refuse_key, refuse_others, table_of, written_to
from mixsci.cells.arrays import Table
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Effective values that each side of a comparison needs.
FEWEST = 2.0
#: A standard error is at least this share of the spread of a variable, so that sides without spread have a score.
_LEAST_ERROR = 1e-6


def rank_markers(
    adata: AnnData,
    key: str = "mixture",
    *,
    layer: str | None = None,
    groups: str | Sequence[str] = "all",
    reference: str = "rest",
    n_vars: int | None = None,
    key_added: str = "rank_genes_groups",
    copy: bool = False,
) -> AnnData | None:
    """Variables that differ between each cluster and the rest, best first, where scanpy looks for them.

    A cell counts for a cluster by its probability r to belong to it, and for a variable only where that is observed.
    With means m, variances v and effective numbers n = (sum r)^2 / sum r^2, the score is Welch's
    t = (m - m') / sqrt(v/n + v'/n'): that of `scipy.stats.ttest_ind(equal_var=False)` where clusters are sharp, and a
    little too small where cells belong to both sides in part.

    The clusters were found in the data that test them (double dipping), so p values are too small: read them as an
    order, and judge by `effects`.

    Args:
        adata: cells with a mixture, obsm["mixture_proba"].
        key: of the mixture.
        layer: whose values; None = X. On a logarithmic scale, as scanpy expects.
        groups: clusters to rank for; "all".
        reference: a cluster to compare with; "rest" = all other cells.
        n_vars: how many variables to keep of each cluster; None = all.
        key_added: where in uns the tables go.
        copy: return a changed copy instead.

    Returns:
        None, or the copy. Written is uns["rank_genes_groups"], with a column per cluster: names; scores; pvals;
        pvals_adj (Benjamini & Hochberg 1995); logfoldchanges = m - m', in units of the values: fold changes where they
        are logarithms; effects = (m - m') / sqrt((v + v')/2), and effects_se; n_obs, observed values of the cluster.
        By variable: pts and pts_rest, shares of observed values that are not 0; observed, share of cells with a value.
        A variable with fewer than two effective values on a side stands last, with score 0 and p 1.

    Raises:
        DataError: no mixture of this name, unknown clusters, fewer than two clusters.

    Example:
        >>> import anndata, numpy as np, pandas as pd
        >>> x = np.array([[0.0, 1.0], [0.2, np.nan], [5.0, 1.1], [5.2, 0.9], [np.nan, 1.0]])
        >>> adata = anndata.AnnData(x, var=pd.DataFrame(index=["CD3", "CD19"]))
        >>> adata.obsm["mixture_proba"] = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
        >>> rank_markers(adata)
        >>> adata.uns["rank_genes_groups"]["names"]["1"].tolist()
        ['CD3', 'CD19']
    """
    refuse_key(key_added)
    tables = _tables(adata, key, layer, groups, reference, n_vars)
    adata = written_to(adata, copy=copy)
    adata.uns[key_added] = tables
    return adata if copy else None


def _tables(adata: AnnData, key: str, layer: str | None, groups: Any, reference: str, n_vars: Any) -> dict[str, Any]:
    """What goes into uns."""
    refuse_others(adata)
    r, names = _memberships(adata, key)
    chosen = _chosen(groups, reference, names)
    if n_vars is not None and (isinstance(n_vars, bool) or not isinstance(n_vars, int | np.integer) or n_vars < 1):
        raise DataError(f"n_vars must be a whole number, at least 1; got {n_vars!r}")
    sums = _summed(table_of(adata, layer=layer)[0], r)
    compared = [_compared(sums, names.index(name), names, reference) for name in chosen]
    params = {"groupby": key, "reference": reference, "method": "t-test by responsibilities", "use_raw": False}
    params |= {"corr_method": "benjamini-hochberg"} | ({} if layer is None else {"layer": layer})
    return {"params": params, **_ranked(compared, chosen, adata.var_names, n_vars)}


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over observed values, (D,) of all cells or (K, D) by cluster.

    Attributes:
        weight: sum of r. squares: of r^2. first, second: of r (x - origin) and r (x - origin)^2.
        zeros: of r where x is 0. cells: of r over all cells, (K, 1) or ().
        origin: (D,) near the means, for the sake of digits.
    """

    weight: Array
    squares: Array
    first: Array
    second: Array
    zeros: Array
    cells: Array
    origin: Array

    @property
    def n(self) -> Array:
        """Effective number of values (Kish 1965)."""
        return _share(self.weight**2, self.squares)

    @property
    def means(self) -> Array:
        """Means, less the origin."""
        return _share(self.first, self.weight)

    @property
    def variances(self) -> Array:
        """Variances, over the effective number less one."""
        n = self.n
        spread = np.maximum(_share(self.second, self.weight) - self.means**2, 0.0)
        return spread * _share(n, n - 1.0)


@dataclass(frozen=True, eq=False)
class Compared:
    """(D,) numbers of every variable, a cluster against its reference; NaN where there are too few values."""

    scores: Array
    pvals: Array
    pvals_adj: Array
    logfoldchanges: Array
    effects: Array
    effects_se: Array
    n_obs: Array
    pts: Array
    pts_rest: Array
    observed: Array


def _memberships(adata: AnnData, key: str) -> tuple[Array, list[str]]:
    """(n, K) probabilities of clusters, and their names."""
    if f"{key}_proba" not in adata.obsm:
        raise DataError(f"obsm must hold {key}_proba, the probabilities of clusters; call cells.tl.mixture first")
    r = np.asarray(adata.obsm[f"{key}_proba"], dtype=float)
    if r.ndim != 2 or r.shape[1] < 2:
        raise DataError(f"markers tell clusters apart, of which there must be two or more; {key} has {r.shape[-1]}")
    return np.nan_to_num(r), [str(k) for k in range(r.shape[1])]


def _chosen(groups: Any, reference: Any, names: list[str]) -> list[str]:
    """The clusters to rank for."""
    if reference != "rest" and reference not in names:
        raise DataError(f'reference must be "rest" or a cluster, one of {listed(names)}; got {reference!r:.80}')
    asked = (names if groups == "all" else [groups]) if isinstance(groups, str) else list(groups)
    if any(each not in names for each in asked) or len(set(asked)) < len(asked):
        raise DataError(f"groups must be clusters, each once, of {listed(names)}; got {asked!r:.80}")
    chosen = [name for name in asked if name != reference]
    if not chosen:
        raise DataError(f"groups must hold a cluster other than the reference; got {groups!r:.80}")
    return chosen


def _summed(table: Table, r: Array) -> tuple[Sums, Sums]:
    """Sums by cluster, and over all cells."""
    by, every, origin = np.zeros(()), np.zeros(()), None
    for rows, values in table.pieces():
        if origin is None:
            # Any point near the means will do.
            origin = np.nan_to_num(_share(np.nansum(values, axis=0), (~np.isnan(values)).sum(axis=0)))
        by = by + _parts(values, origin, r[rows])
        every = every + _parts(values, origin, np.ones((len(values), 1)))
    assert origin is not None
    one = every[:, 0]
    return (
        Sums(by[0], by[1], by[2], by[3], by[4], r.sum(axis=0)[:, None], origin),
        Sums(one[0], one[1], one[2], one[3], one[4], np.array(float(len(r))), origin),
    )


def _parts(values: Array, origin: Array, r: Array) -> Array:
    """(5, K, D) sums of r, r^2, r x, r x^2 and r where x is 0, over observed values."""
    seen = ~np.isnan(values)
    x = np.where(seen, values - origin, 0.0)
    return np.array([r.T @ seen, (r**2).T @ seen, r.T @ x, r.T @ x**2, r.T @ (values == 0)])


def _compared(sums: tuple[Sums, Sums], k: int, names: list[str], reference: str) -> Compared:
    by, every = sums
    ours = _of(by, k)
    other = _rest(every, ours) if reference == "rest" else _of(by, names.index(reference))
    with np.errstate(invalid="ignore", divide="ignore"):
        return _welch(ours, other, _of_all(every))


def _of(by: Sums, k: int) -> Sums:
    return Sums(by.weight[k], by.squares[k], by.first[k], by.second[k], by.zeros[k], by.cells[k], by.origin)


def _rest(every: Sums, ours: Sums) -> Sums:
    """Sums with weights 1 - r."""
    return Sums(
        every.weight - ours.weight,
        np.maximum(every.weight - 2.0 * ours.weight + ours.squares, 0.0),
        every.first - ours.first,
        np.maximum(every.second - ours.second, 0.0),
        every.zeros - ours.zeros,
        every.cells - ours.cells,
        every.origin,
    )


def _of_all(every: Sums) -> Array:
    """(D,) standard deviations over all cells."""
    return np.sqrt(every.variances)


def _welch(ours: Sums, other: Sums, spread: Array) -> Compared:
    apart = ours.means - other.means
    terms = np.array([ours.variances / ours.n, other.variances / other.n])
    free = np.array([ours.n, other.n]) - 1.0
    error = np.maximum(np.sqrt(terms.sum(axis=0)), _LEAST_ERROR * spread)
    enough = np.min([ours.n, other.n, ours.weight, other.weight], axis=0) >= FEWEST
    scores = np.where(enough, np.where(apart == 0, 0.0, apart / error), np.nan)
    # Welch-Satterthwaite; sides without spread leave the number of values.
    freedom = np.where(terms.any(axis=0), terms.sum(axis=0) ** 2 / (terms**2 / free).sum(axis=0), free.sum(axis=0))
    pvals = 2.0 * student.sf(np.abs(scores), freedom)
    sd = np.maximum(np.sqrt((ours.variances + other.variances) / 2.0), _LEAST_ERROR * spread)
    effects = np.where(enough, np.where(apart == 0, 0.0, apart / sd), np.nan)
    # By the delta method, values being near Gaussian: the variance of a variance is 2 v^2 / (n - 1).
    loose = (np.array([ours.variances, other.variances]) ** 2 / free).sum(axis=0) / (8.0 * sd**4)
    return Compared(
        scores=scores,
        pvals=pvals,
        pvals_adj=_adjusted(pvals),
        logfoldchanges=np.where(np.minimum(ours.weight, other.weight) > 0, apart, np.nan),
        effects=effects,
        effects_se=np.where(enough, np.sqrt((error / sd) ** 2 + effects**2 * loose), np.nan),
        n_obs=ours.weight,
        pts=1.0 - ours.zeros / ours.weight,
        pts_rest=1.0 - other.zeros / other.weight,
        observed=ours.weight / ours.cells,
    )


def _adjusted(pvals: Array) -> Array:
    """p values adjusted for their number (Benjamini & Hochberg 1995), NaN left out."""
    adjusted = np.full(len(pvals), np.nan)
    tested = np.flatnonzero(~np.isnan(pvals))
    order = tested[np.argsort(pvals[tested])[::-1]]
    ranks = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.minimum.accumulate(pvals[order] * len(order) / ranks), 1.0)
    return adjusted


def _ranked(compared: list[Compared], groups: list[str], names: Any, n_vars: Any) -> dict[str, Any]:
    """Record arrays with a column per cluster, in the order of the scores, and data frames in that of the variables."""
    import pandas as pd

    names = np.array([str(name) for name in names], dtype=object)
    # NaN goes last, and there says nothing.
    orders = [np.argsort(-each.scores, kind="stable")[:n_vars] for each in compared]
    found = {"names": _records(groups, [names[order] for order in orders])}
    for field, filler in _FILLERS.items():
        columns = [getattr(each, field)[order] for each, order in zip(compared, orders, strict=True)]
        found[field] = _records(groups, [np.where(np.isnan(column), filler, column) for column in columns])
    frames = {
        field: pd.DataFrame({group: getattr(each, field) for group, each in zip(groups, compared, strict=True)}, names)
        for field in ("pts", "pts_rest", "observed")
    }
    return found | frames


#: Column -> what stands where there are too few values.
_FILLERS = {
    "scores": 0.0, "pvals": 1.0, "pvals_adj": 1.0, "logfoldchanges": np.nan, "effects": np.nan, "effects_se": np.nan,
    "n_obs": 0.0,
}  # fmt: skip


def _records(groups: list[str], columns: list[Array]) -> Any:
    return np.rec.fromarrays(
        columns, dtype=[(group, column.dtype) for group, column in zip(groups, columns, strict=True)]
    )


def _share(part: Array, whole: Array) -> Array:
    """part / whole, NaN where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(np.asarray(whole) > 0, part / np.asarray(whole, dtype=float), np.nan))
