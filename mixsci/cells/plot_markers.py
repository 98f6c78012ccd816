"""A picture of markers: how clusters differ in the variables that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import listed, refuse_others
from mixsci.cells.plot_canvas import (
    Clusters,
    array_of,
    clusters_of,
    figure_of,
    finish,
    place,
    plain,
    share_of,
)
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALE, dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: Without a ranking so many variables are drawn at most.
_MOST = 40
#: Area of the dot of a cluster all of whose cells have a value.
_LARGEST = 150.0
_KEY = "rank_genes_groups"


def markers(
    adata: AnnData,
    key: str = "mixture",
    *,
    n_vars: int = 4,
    var_names: Sequence[str] | None = None,
    key_markers: str = _KEY,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """Means of the clusters in the variables that tell them apart, as dots: colour = mean, area = cells with a value.

    Colours go, for each variable, from the lowest mean of a cluster to the highest. Areas need a ranking of
    `tl.rank_markers`, and so does the order: the best of cluster 0, then those of cluster 1 ...

    Args:
        adata: with results of `tl.mixture`.
        key: their name.
        n_vars: how many of the best variables of every cluster.
        var_names: these variables instead. Without them and without a ranking: all that the fit used.
        key_markers: name of the ranking in uns.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such results, an unknown variable, too many variables and no ranking.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 12, 3, rng=1)
        >>> cells.tl.mixture(adata, 3, covariance="tied", rng=1)
        >>> cells.tl.rank_markers(adata)
        >>> cells.pl.markers(adata, n_vars=2).get_ylabel()
        'mixture'
    """
    refuse_others(adata)
    means = array_of(adata, "varm", f"{key}_means", "means of clusters that tl.mixture writes")
    clusters = clusters_of(adata, key)
    ranking = _ranking(adata, key, key_markers)
    names, starts = _chosen(adata, means, ranking, n_vars, var_names)
    shown = means[adata.var_names.get_indexer(names)]
    seen = _observed(ranking, names, clusters)
    longest = max(len(name) for name in names)
    height = 1.9 + 0.3 * len(clusters.names) + 0.075 * longest
    ax = place(ax, float(np.clip(2.6 + 0.27 * len(names), 4.6, 16.0)), float(np.clip(height, 3.0, 9.0)))
    _draw(ax, _scaled(shown), seen, clusters, [plain(name) for name in names])
    for start in starts:
        ax.axvline(start - 0.5, color=PALE, lw=0.7)
    dress(ax, "", key)
    ax.grid(visible=False)
    finish(ax, save, show=show)
    return ax


def _ranking(adata: AnnData, key: str, key_markers: str) -> Mapping[str, Any] | None:
    """The ranking of these clusters, where there is one."""
    found = adata.uns.get(key_markers)
    if not isinstance(found, Mapping) or "names" not in found:
        if key_markers != _KEY:
            there = [
                name
                for name, value in adata.uns.items()
                if isinstance(value, Mapping) and "names" in value and "scores" in value
            ]
            raise DataError(
                f"key_markers must name a ranking of tl.rank_markers, one of {listed(there)}; got {key_markers!r:.80}"
            )
        return None
    return found if found.get("params", {}).get("groupby", key) == key else None


def _chosen(
    adata: AnnData, means: Array, ranking: Mapping[str, Any] | None, n_vars: Any, var_names: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """Names of the variables to draw, each once, and where those of the next cluster begin."""
    if var_names is not None:
        names = [var_names] if isinstance(var_names, str) else list(var_names)
        unknown = [name for name in names if name not in adata.var_names]
        if unknown or not names:
            raise DataError(
                f"var_names must be variables, of {listed(adata.var_names)}; got {(unknown or ['none'])[0]!r:.80}"
            )
        return names, []
    if ranking is not None:
        return _best(ranking, n_vars)
    used = [str(name) for name in adata.var_names[np.isfinite(means).all(axis=1)]]
    if len(used) > _MOST:
        raise DataError(
            f"{len(used)} variables are too many to draw: call cells.tl.rank_markers first, or pass var_names"
        )
    return used, []


def _best(ranking: Mapping[str, Any], n_vars: Any) -> tuple[list[str], list[int]]:
    if isinstance(n_vars, bool) or not isinstance(n_vars, int | np.integer) or n_vars < 1:
        raise DataError(f"n_vars must be a whole number, at least 1; got {n_vars!r:.80}")
    table = ranking["names"]
    names: list[str] = []
    starts = []
    for group in table.dtype.names:
        fresh = [str(name) for name in table[group][:n_vars] if str(name) not in names]
        names += fresh
        starts.append(len(names))
    return names, sorted({start for start in starts if start < len(names)})


def _observed(ranking: Mapping[str, Any] | None, names: list[str], clusters: Clusters) -> Array | None:
    """(D, K) share of the cells of a cluster that have a value; None where that is not known of all."""
    table = None if ranking is None else ranking.get("observed")
    if table is None or not set(clusters.names) <= set(map(str, table.columns)):
        return None
    return table.loc[names, list(clusters.names)].to_numpy(dtype=float)


def _scaled(means: Array) -> Array:
    """(D, K) means from 0 = the lowest of a variable to 1 = the highest."""
    low, high = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
    return (means - low) / np.where(high > low, high - low, 1.0)


def _draw(ax: Axes, heights: Array, seen: Array | None, clusters: Clusters, names: list[str]) -> None:
    d, k = heights.shape
    x, y = np.meshgrid(np.arange(d), np.arange(k), indexing="ij")
    sizes = _LARGEST * (np.ones((d, k)) if seen is None else seen)
    points = ax.scatter(
        x.ravel(), y.ravel(), s=sizes.ravel(), c=heights.ravel(), cmap="Blues", vmin=0.0, vmax=1.0, edgecolors=INK,
        linewidths=0.5,
    )  # fmt: skip
    ax.set(xlim=(-0.7, d - 0.3), ylim=(k - 0.4, -0.6))
    ax.set_xticks(range(d), names, rotation=90, fontsize="small")
    labels = [f"{plain(name)} ({count:,})" for name, count in zip(clusters.names, clusters.counts, strict=True)]
    ax.set_yticks(range(k), labels, fontsize="small")
    ax.tick_params(length=0)
    scale = figure_of(ax).colorbar(points, ax=ax, pad=0.02, aspect=22, ticks=[0.0, 1.0])
    scale.set_ticklabels(["lowest mean\nof a cluster", "highest mean\nof a cluster"])
    scale.ax.tick_params(labelsize="small", length=0)
    if seen is not None:
        _name_sizes(ax, seen)


def _name_sizes(ax: Axes, seen: Array) -> None:
    """What the areas say."""
    for share in (1.0, 0.5, 0.1) if seen.min() < 0.5 else (1.0, 0.5):
        ax.scatter([], [], s=_LARGEST * share, color="white", edgecolors=INK, linewidths=0.5, label=share_of(share))
    ax.legend(
        title="cells with a value", frameon=False, fontsize="small", title_fontsize="small", loc="lower left",
        bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2, handletextpad=0.4, columnspacing=1.2, alignment="left",
    )  # fmt: skip
