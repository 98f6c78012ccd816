"""A picture of two variables of a clustering: cells, and the fit as ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import labels_of, listed, refuse_others, table_of
from mixsci.cells.plot_canvas import (
    NOTHING,
    Clusters,
    clusters_of,
    dots,
    entry_of,
    finish,
    head,
    name_clusters,
    place,
    size_of,
)
from mixsci.cells.results import by_weight, load
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError
from mixsci.plot.paper import dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: Ellipses of one and of two standard deviations, which hold 39 % and 86 % of a component.
_LEVELS = (1.0, 2.0)
#: Cells farther out than these quantiles widen no axis.
_TAILS = (0.0005, 0.9995)
_TURN = np.linspace(0.0, 2.0 * np.pi, 181)


def ellipses(
    adata: AnnData,
    x: str,
    y: str,
    key: str = "mixture",
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """Two variables: cells in the colours of their clusters, and every component as ellipses.

    Ellipses are those of one and two standard deviations of the components' marginals, without the errors of single
    values. A cell that has one of the two values is a tick at the margin. Where batches shift the variables, values
    are drawn less the shift of their batch.

    Args:
        adata: with results of `tl.mixture`.
        x, y: names of two variables of the fit.
        key: name of the results.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such results, a variable that the fit did not use.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 4, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> cells.pl.ellipses(adata, "marker_0", "marker_1").get_xlabel()
        'marker_0'
    """
    refuse_others(adata)
    entry = entry_of(adata, key, "fit", "tl.mixture")
    fit, clusters = load(adata, key), clusters_of(adata, key)
    names = [str(name) for name in entry["names"]]
    at = _two(names, x, y)
    values, shifted = _values(adata, entry, [names[j] for j in at], at, fit.mixture)
    ax = place(ax, 6.4, 4.6)
    means, spreads = _moments(fit.mixture, at)
    dots(ax, values, clusters, alpha=0.5)
    for label, k in enumerate(by_weight(fit)):
        _ellipse(ax, means[k], spreads[k], clusters, label)
    _frame(ax, values, means, spreads)
    _ticks(ax, values, clusters)
    dress(ax, x, y)
    head(ax, _sentence(values, shifted=shifted))
    name_clusters(ax, clusters)
    finish(ax, save, show=show)
    return ax


def _sentence(values: Array, *, shifted: bool) -> str:
    """What is not drawn as a dot, and what was taken off."""
    neither = int(np.isnan(values).all(axis=1).sum())
    one = int(np.isnan(values).any(axis=1).sum()) - neither
    gaps = f"{one:,} cells have one of the two (ticks), {neither:,} neither" if one or neither else ""
    return "\n".join(filter(None, ["values less the shift of their batch" if shifted else "", gaps]))


def _two(names: list[str], x: Any, y: Any) -> list[int]:
    for name in (x, y):
        if name not in names:
            raise DataError(f"x and y must be variables of the fit, {listed(names)}; got {name!r:.80}")
    return [names.index(x), names.index(y)]


def _values(adata: AnnData, entry: Any, names: list[str], at: list[int], mixture: Mixture) -> tuple[Array, bool]:
    """(n, 2) values as the fit saw them, less the shifts of batches, and whether there are any."""
    params = entry.get("params", {})
    rep = params.get("use_rep")
    here = np.array(at) if rep not in (None, "X") else np.array([adata.var_names.get_loc(name) for name in names])
    table, _ = table_of(adata, layer=params.get("layer"), use_rep=rep, columns=here)
    values = np.concatenate([np.array(part, dtype=float) for _, part in table.pieces()])
    if params.get("zeros") == "missing":
        values[values == 0] = np.nan
    shifts = mixture.shifts if isinstance(mixture, FactorMixture) else mixture.offsets
    if shifts is None or params.get("batch") is None or mixture.group_labels is None:
        return values, False
    place_of = {str(label): g for g, label in enumerate(mixture.group_labels)}
    codes = [place_of.get(label, -1) for label in labels_of(adata, params["batch"], "batch")]
    return values - np.vstack([shifts, np.zeros(shifts.shape[1])])[codes][:, at], True


def _moments(mixture: Mixture, at: list[int]) -> tuple[Array, Array]:
    """Means (K, 2) and covariances (K, 2, 2) of the components in two variables."""
    means = mixture.component_means()[:, at]
    if not isinstance(mixture, FactorMixture):
        return means, mixture.covariances[:, at][:, :, at]
    loadings = np.broadcast_to(mixture.loadings[..., at, :], (len(means), 2, mixture.n_dims))
    inside = np.einsum("kiq,kqr,kjr->kij", loadings, mixture.covariances, loadings)
    return means, inside + np.diag(mixture.uniquenesses[at])


def _ellipse(ax: Axes, mean: Array, spread: Array, clusters: Clusters, label: int) -> None:
    """A component on a white rim, with its number at its mean."""
    values, vectors = np.linalg.eigh(spread)
    round_ = (vectors * np.sqrt(np.maximum(values, 0.0))) @ [np.cos(_TURN), np.sin(_TURN)]
    color = clusters.colors[label] if label < len(clusters.colors) else "black"
    for level in _LEVELS:
        line = mean[0] + level * round_[0], mean[1] + level * round_[1]
        ax.plot(*line, color="white", lw=3.0, alpha=0.8, zorder=3)
        ax.plot(*line, color=color, lw=1.5, zorder=4, label=f"_{label} at {level:g}")
    box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": color, "linewidth": 1.2, "alpha": 0.9}
    ax.text(
        mean[0], mean[1], str(label), ha="center", va="center", fontsize="small", fontweight="bold", color=color,
        bbox=box, zorder=5, clip_on=True,
    )  # fmt: skip


def _frame(ax: Axes, values: Array, means: Array, spreads: Array) -> None:
    """Limits that hold almost all cells and every ellipse, with room for ticks at the margin."""
    limits = []
    for j in range(2):
        seen = values[np.isfinite(values[:, j]), j]
        reach = _LEVELS[-1] * np.sqrt(np.maximum(spreads[:, j, j], 0.0))
        ends = [means[:, j] - reach, means[:, j] + reach, np.quantile(seen, _TAILS) if len(seen) else []]
        low, high = np.concatenate(ends).min(), np.concatenate(ends).max()
        margin = (high - low) or 1.0
        limits.append((float(low - 0.07 * margin), float(high + 0.03 * margin)))
    ax.set(xlim=limits[0], ylim=limits[1])


def _ticks(ax: Axes, values: Array, clusters: Clusters) -> None:
    """Cells with one of the two values, at the margin where the other is unknown."""
    seen = np.isfinite(values)
    alone = {0: seen[:, 0] & ~seen[:, 1], 1: seen[:, 1] & ~seen[:, 0]}
    colors = np.array([*clusters.colors, NOTHING], dtype=object)
    for j, own in alone.items():
        here = np.flatnonzero(own)
        if not len(here):
            continue
        along, across = values[here, j], np.full(len(here), 0.016)
        x, y = (along, across) if j == 0 else (across, along)
        # Along the axis in its units, across it in shares of the axes.
        place_at = ax.get_xaxis_transform() if j == 0 else ax.get_yaxis_transform()
        ax.scatter(
            x, y, marker="|" if j == 0 else "_", s=42, linewidths=0.6, zorder=2,
            c=list(colors[clusters.codes[here]]), alpha=float(np.clip(60 * size_of(len(here)) / 500, 0.15, 0.7)),
            transform=place_at, rasterized=True,
        )  # fmt: skip
