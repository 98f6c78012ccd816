"""Pictures of how sure clusters are: entropies, and the probabilities of every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import column_of, refuse_others
from mixsci.cells.plot_bins import Bins, bins_of
from mixsci.cells.plot_canvas import (
    NOTHING,
    Clusters,
    array_of,
    beside,
    clusters_of,
    figure_of,
    finish,
    head,
    place,
    plain,
    share_of,
)
from mixsci.cells.plot_embedding import embedding
from mixsci.errors import DataError
from mixsci.plot.paper import INK, dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: Where shares of cells are read off.
_GRID = np.linspace(0.0, 1.0, 501)
#: Cells above this entropy are counted in the title: between two clusters they are no surer than 89 to 11.
_UNSURE = 0.5
#: Almost all cells are above the very lowest entropies: the axis ends at the share above 0.01.
_SURE = 5
_MOST_BINS = 300
_DASHES = ("-", "--", ":", "-.")


def entropy(
    adata: AnnData,
    key: str = "mixture",
    basis: str | None = None,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """How sure cells are of their cluster: the share of every cluster's cells above an entropy, or on an embedding.

    Entropy is -sum_k r_k log r_k / log K: 0 where a cell belongs to one cluster, 1 where to all alike.

    Args:
        adata: with results of `tl.mixture`.
        key: their name.
        basis: an embedding in obsm to draw the cells in; None = shares of cells.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such results or embedding.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 4, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> cells.pl.entropy(adata).get_xlabel()
        'entropy: 0 = certain, 1 = anything goes'
    """
    refuse_others(adata)
    values = column_of(adata, "obs", f"{key}_entropy", "key").to_numpy(dtype=float, na_value=np.nan)
    if basis is not None:
        return embedding(adata, basis, "entropy", key=key, ax=ax, show=show, save=save)
    clusters, ax = clusters_of(adata, key), place(ax, 6.4, 3.9)
    shares = np.zeros(len(_GRID))
    for k, name in enumerate(clusters.names):
        own = values[clusters.codes == k]
        color, dashes = clusters.colors[k], _DASHES[clusters.colors[:k].count(clusters.colors[k]) % len(_DASHES)]
        ax.plot(_GRID, above := _above(own), color=color, ls=dashes, lw=1.4, label=f"{plain(name)} ({len(own):,})")
        shares = np.maximum(shares, above)
    seen = values[np.isfinite(values)]
    ax.plot(_GRID, _above(seen), color=INK, lw=2.0, label=f"all ({len(seen):,})")
    dress(ax, "entropy: 0 = certain, 1 = anything goes", "share of cells above")
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.1 * max(float(shares[_SURE:].max(initial=0.0)), 0.05)))
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    if len(seen):
        head(ax, f"{share_of(float((seen > _UNSURE).mean()))} of {len(seen):,} cells have an entropy above {_UNSURE:g}")
    beside(ax, key)
    finish(ax, save, show=show)
    return ax


def proba(
    adata: AnnData, key: str = "mixture", *, ax: Axes | None = None, show: bool | None = None, save: Any = None
) -> Axes:
    """The probability of every cluster for every cell: cells by cluster, the surest first; means where there are many.

    Args:
        adata: with results of `tl.mixture`.
        key: their name.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such results.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 4, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> cells.pl.proba(adata).get_ylabel()
        'mixture'
    """
    refuse_others(adata)
    r = array_of(adata, "obsm", f"{key}_proba", "probabilities of clusters that tl.mixture writes")
    clusters = clusters_of(adata, key)
    if r.shape[1] != len(clusters.names):
        raise DataError(
            f"obs {key} must have a label for each of the {r.shape[1]} clusters; it has {len(clusters.names)}"
        )
    # Cells without a label come last.
    groups = np.where(clusters.codes < 0, len(clusters.names), clusters.codes)
    bins = bins_of(-r.max(axis=1), _MOST_BINS, groups)
    count = len(clusters.names)
    ax = place(ax, 7.2, float(np.clip(1.6 + 0.34 * count, 2.8, 7.0)))
    edges = np.arange(count + 1) - 0.5
    mesh = ax.pcolormesh(bins.edges, edges, bins.means(r).T, cmap="Greys", vmin=0.0, vmax=1.0, rasterized=True)
    ax.invert_yaxis()
    _name_clusters(ax, clusters)
    _strip(ax, clusters, bins)
    for end in bins.ends[1:-1]:
        ax.axvline(end, color=INK, lw=0.5)
    each = int(bins.sizes.max(initial=1))
    ax.set_xlabel("cells, by cluster and probability" + (f"; one field: mean of up to {each:,}" if each > 1 else ""))
    ax.xaxis.set_major_formatter(lambda cell, _: f"{cell:,.0f}")
    ax.set_ylabel(plain(key))
    scale = figure_of(ax).colorbar(mesh, ax=ax, pad=0.02, aspect=25, ticks=[0.0, 0.5, 1.0])
    scale.set_label("probability")
    finish(ax, save, show=show)
    return ax


def _above(values: Array) -> Array:
    """Share of values above each place of the grid."""
    ordered = np.sort(values)
    return 1.0 - np.searchsorted(ordered, _GRID, side="right") / max(len(ordered), 1)


def _name_clusters(ax: Axes, clusters: Clusters) -> None:
    names = [f"{plain(name)} ({count:,})" for name, count in zip(clusters.names, clusters.counts, strict=True)]
    ax.set_yticks(range(len(names)), names, fontsize="small")
    ax.tick_params(axis="y", length=0)


def _strip(ax: Axes, clusters: Clusters, bins: Bins) -> None:
    """The colours of the clusters above their cells."""
    above = ax.inset_axes((0.0, 1.02, 1.0, 0.05))
    present = np.flatnonzero(clusters.counts)
    colors = [clusters.colors[k] for k in present] + ([NOTHING] if clusters.n_without else [])
    for low, high, color in zip(bins.ends, bins.ends[1:], colors, strict=False):
        above.axvspan(low, high, color=color, linewidth=0)
    above.set(xlim=(0, bins.ends[-1]), xticks=[], yticks=[])
    above.spines[:].set_visible(False)
    if clusters.n_without:
        above.text(bins.ends[-1], 1.15, f"NA ({clusters.n_without:,})", ha="right", va="bottom", fontsize="x-small",
                   transform=above.get_xaxis_transform())  # fmt: skip
