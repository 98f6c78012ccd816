"""Pictures of cells in an embedding: by cluster, by how sure it is, by any column of obs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import column_of, listed, refuse_others
from mixsci.cells.plot_canvas import (
    NOTHING,
    array_of,
    clusters_of,
    dots,
    figure_of,
    finish,
    head,
    name_clusters,
    place,
    plain,
    size_of,
)
from mixsci.errors import DataError
from mixsci.plot.paper import INK, dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: More cells than this have crosses of their uncertainty only where that is asked for.
_FEW = 300
#: Columns of a mixture, by their short names -> scale of colours and its ends.
_SCALES: dict[str, tuple[str, float | None, float | None]] = {
    "entropy": ("viridis", 0.0, 1.0),
    "prob": ("viridis_r", 0.0, 1.0),
}


def embedding(
    adata: AnnData,
    basis: str = "X_factor",
    color: str | None = None,
    *,
    key: str = "mixture",
    dims: tuple[int, int] = (0, 1),
    uncertainty: bool | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """Cells in two dimensions of an embedding, coloured by cluster, by how sure that is, or by a column of obs.

    Args:
        adata: with the embedding.
        basis: its name in obsm, with or without "X_".
        color: "entropy" or "prob" of the mixture, or a column of obs; None = the clusters.
        key: name of the mixture.
        dims: which two dimensions. An embedding with one is drawn along x, cells spread out at random.
        uncertainty: crosses of one standard deviation, obsm[f"{basis}_sd"]; None = where there are few cells.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such embedding, column or dimension; crosses asked for and no standard deviations.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 30, 2, n_factors=2, rng=1)
        >>> cells.tl.factor(adata, 2, rng=1)
        >>> cells.pl.embedding(adata, "factor", "cell_type").get_xlabel()[:8]
        'factor 1'
    """
    refuse_others(adata)
    basis = _basis(adata, basis)
    column = _column(adata, color, key)
    xy, used, names = _points(adata, basis, dims)
    ax = place(ax, 6.4, 4.6)
    if _with_crosses(adata, basis, uncertainty):
        _crosses(ax, xy, array_of(adata, "obsm", f"{basis}_sd", "standard deviations")[:, used])
    if _is_number(adata.obs[column]):
        _by_number(ax, xy, adata.obs[column].to_numpy(dtype=float, na_value=np.nan), column, key)
    else:
        clusters = clusters_of(adata, column, "color")
        dots(ax, xy, clusters)
        name_clusters(ax, clusters)
    dress(ax, *names)
    if len(used) == 1:
        ax.set(yticks=[], ylim=(-0.15, 1.15))
    finish(ax, save, show=show)
    return ax


def _basis(adata: AnnData, basis: Any) -> str:
    found = [name for name in (basis, f"X_{basis}") if isinstance(name, str) and name in adata.obsm]
    if not found:
        raise DataError(f"basis must be in obsm, one of {listed(adata.obsm.keys())}; got {basis!r:.80}")
    return found[0]


def _column(adata: AnnData, color: str | None, key: str) -> str:
    """The column of obs that a colour is of."""
    if color is None:
        column_of(adata, "obs", key, "key")
        return key
    if isinstance(color, str) and color not in adata.obs and f"{key}_{color}" in adata.obs:
        return f"{key}_{color}"
    column_of(adata, "obs", color, "color")
    return color


def _points(adata: AnnData, basis: str, dims: Any) -> tuple[Array, list[int], tuple[str, str]]:
    """(n, 2) where the cells are, the dimensions that say so, and names of the axes."""
    values = array_of(adata, "obsm", basis, "an embedding")
    width = values.shape[1]
    stem = basis.removeprefix("X_")
    entry = adata.uns.get(stem)
    shares = np.ravel(entry["variance_ratio"] if isinstance(entry, Mapping) and "variance_ratio" in entry else [])

    def named(j: int) -> str:
        stem_of = stem.upper() if stem in ("umap", "pca", "tsne") else stem
        return f"{stem_of} {j + 1}" + (f" ({100 * shares[j]:.0f} % of variance)" if j < len(shares) == width else "")

    if width == 1:
        return np.column_stack([values[:, 0], np.random.default_rng(0).random(len(values))]), [0], (named(0), "")
    right = len(dims) == 2 and all(isinstance(j, int | np.integer) and 0 <= j < width for j in dims)
    if not right:
        raise DataError(f"dims must be two of the dimensions 0 to {width - 1} of {basis}; got {dims!r:.80}")
    i, j = int(dims[0]), int(dims[1])
    return values[:, [i, j]], [i, j], (named(i), named(j))


def _with_crosses(adata: AnnData, basis: str, uncertainty: Any) -> bool:
    if uncertainty is not None:
        return bool(uncertainty)
    return f"{basis}_sd" in adata.obsm and adata.n_obs <= _FEW


def _crosses(ax: Axes, xy: Array, sd: Array) -> None:
    """Crosses of one standard deviation; of one dimension, bars."""
    seen = np.isfinite(xy).all(axis=1)
    ax.errorbar(
        xy[seen, 0], xy[seen, 1], xerr=sd[seen, 0], yerr=sd[seen, 1] if sd.shape[1] > 1 else None, fmt="none",
        ecolor=NOTHING, elinewidth=0.7, zorder=0.5,
    )  # fmt: skip


def _is_number(column: Any) -> bool:
    return column.dtype.kind in "iuf"


def _by_number(ax: Axes, xy: Array, values: Array, column: str, key: str) -> None:
    """Cells in the colours of a scale, the largest on top, those without a number in grey."""
    style: dict[str, Any] = {"s": size_of(len(xy)), "linewidths": 0, "rasterized": True}
    known = np.isfinite(values)
    if (~known).any():
        ax.scatter(xy[~known, 0], xy[~known, 1], color=NOTHING, zorder=1, **style)
        head(ax, f"grey: {int((~known).sum()):,} cells without a number")
    short = column.removeprefix(f"{key}_")
    name, low, high = _SCALES.get(short, ("viridis", None, None))
    order = np.flatnonzero(known)[np.argsort(values[known] * (-1 if short == "prob" else 1), kind="stable")]
    points = ax.scatter(
        xy[order, 0], xy[order, 1], c=values[order], cmap=name, vmin=low, vmax=high, zorder=2, alpha=0.85, **style
    )
    scale = figure_of(ax).colorbar(points, ax=ax, pad=0.02, aspect=30)
    scale.set_label(plain(_TITLES.get(short, column)), color=INK)
    scale.outline.set_visible(False)
    scale.solids.set_alpha(1.0)


_TITLES = {"entropy": "entropy: 0 = certain, 1 = anything goes", "prob": "probability of the cluster"}
