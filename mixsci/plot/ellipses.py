"""Components as ellipses in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.plot.mixtures import mixture_of, names_of, share_label, two_of
from mixsci.plot.paper import MOST_LABELS, PALE, axes, color_of, dress
from mixsci.plot.rows import rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


def plot_ellipses(
    mixture: Mixture | Fit,
    dims: Sequence[int | str] = (0, 1),
    *,
    ax: Axes | None = None,
    data: Any = None,
    levels: Sequence[float] = (1.0, 2.0),
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """Every component as ellipses in two of its dimensions; a component without spread is a cross.

    Args:
        mixture: a `Mixture` or a `Fit`. Weights are pooled over groups, offsets left out.
        dims: which two dimensions, by number or name.
        ax: where to draw; None = a new figure.
        data: rows to draw behind them, (n, D) or `Observations`, as measured but for the offset of their group; those
            with a gap in either dimension are left out.
        levels: radii of the ellipses, in standard deviations (1 and 2 hold 39 % and 86 % of a component).
        names: names of all dimensions; None = those of the fit.
        labels: write number and share of the rows beside each component.

    Raises:
        DataError: dimensions that are none, rows of other columns or through a projection.

    Example:
        >>> import mixsci as mx
        >>> two = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [5.0, 5.0]], [[[1.0, 0.0], [0.0, 1.0]]] * 2)
        >>> mx.plot.plot_ellipses(two).get_xlabel()
        'x0'
    """
    here, named = mixture_of(mixture), names_of(mixture, names)
    i, j = two_of(dims, named)
    rows = rows_of(data, mixture, [i, j])
    ax = axes(ax)
    _scatter(ax, rows)
    for k in range(here.n_components):
        _component(ax, here.means[k, [i, j]], here.covariances[k][np.ix_([i, j], [i, j])], levels, k)
    if labels:
        _write_weights(ax, here, (i, j), levels)
    ax.autoscale_view()
    return dress(ax, named[i], named[j])


def _scatter(ax: Axes, rows: Observations | None) -> None:
    if rows is None:
        return
    size = float(np.clip(3000 / max(len(rows), 1), 1.5, 12.0))
    x, y = rows.x.T
    ax.scatter(x, y, s=size, color=PALE, alpha=0.45, linewidths=0, rasterized=True, zorder=1)


def _component(ax: Axes, mean: Array, covariance: Array, levels: Sequence[float], k: int) -> None:
    from matplotlib.patches import Ellipse

    values, vectors = np.linalg.eigh(covariance)
    lengths = 2.0 * np.sqrt(np.maximum(values, 0.0))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    for level in levels:
        shape = {"xy": mean, "width": level * lengths[1], "height": level * lengths[0], "angle": angle}
        ax.add_patch(Ellipse(**shape, facecolor=color_of(k), alpha=0.16, linewidth=0, zorder=2))
        ax.add_patch(Ellipse(**shape, fill=False, edgecolor=color_of(k), linewidth=1.4, zorder=3))
    ax.plot(*mean, marker="+" if values[1] > 0 else "x", color=color_of(k), ms=7, mew=1.6, zorder=4)


def _write_weights(ax: Axes, mixture: Mixture, dims: tuple[int, int], levels: Sequence[float]) -> None:
    """Number and weight above the widest ellipse of each component, on a white rim."""
    from matplotlib.patheffects import withStroke

    if mixture.n_components > MOST_LABELS:
        return
    i, j = dims
    for k in range(mixture.n_components):
        top = mixture.means[k, j] + max(levels, default=0.0) * np.sqrt(max(mixture.covariances[k, j, j], 0.0))
        text = ax.annotate(
            share_label(mixture, k), (mixture.means[k, i], top), (0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize="small", fontweight="bold", color=color_of(k), zorder=6,
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
