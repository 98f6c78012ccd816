"""Which component each row belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.errors import DataError
from mixsci.plot.mixtures import names_of, two_of
from mixsci.plot.paper import LIGHT, MOST_LABELS, axes, color_of, dress
from mixsci.plot.rows import observed, seen_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


def plot_responsibilities(
    r: Array,
    data: Any = None,
    *,
    ax: Axes | None = None,
    dims: Sequence[int | str] = (0, 1),
    names: Sequence[str] | None = None,
) -> Axes:
    """Which component each row belongs to, undecided rows between the colours.

    Args:
        r: (n, K) responsibilities. What rows lack to one (a background) is pale.
        data: None: a strip per row, sorted. (n,) or (n, 1): the same along it. (n, m) or `Observations`: points in two
            of their columns, as measured, in the mixed colours of their components. Rows with a gap where they would be
            drawn stay out.
        ax: where to draw; None = a new figure.
        dims: which two columns, by number or name.
        names: names of all columns; None = those of the data.

    Raises:
        DataError: responsibilities of other rows, columns that are none.
    """
    r = np.asarray(r, dtype=float)
    if r.ndim != 2:
        raise DataError(f"responsibilities must have shape (n, K); got {r.shape}")
    rows = None if data is None else observed(data)
    if rows is not None and len(rows) != len(r):
        raise DataError(f"data must have the {len(r)} rows of the responsibilities; got {len(rows)}")
    if rows is None or rows.width == 1:
        name = "rows, sorted" if rows is None else names_of(rows, names, 1)[0]
        return _strips(axes(ax), r, None if rows is None else seen_values(rows)[:, 0], name)
    named = names_of(rows, names, rows.width)
    i, j = two_of(dims, named)
    ax, values = axes(ax), seen_values(rows)
    ax.scatter(values[:, i], values[:, j], c=_mixed(r), s=14, linewidths=0)
    _legend_of_colours(ax, r)
    return dress(ax, named[i], named[j])


def _mixed(r: Array) -> Array:
    """(n, 3) colours: those of the components in the shares of their responsibilities."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(color_of(k)) for k in range(r.shape[1])] + [to_rgb(LIGHT)])
    rest = np.clip(1.0 - r.sum(axis=1, keepdims=True), 0.0, 1.0)
    return np.clip(np.hstack([r, rest]) @ colors, 0.0, 1.0)


def _strips(ax: Axes, r: Array, values: Array | None, name: str) -> Axes:
    """Responsibilities stacked to one, in the order of the values (n,), or by component and then by certainty."""
    if values is None:
        order = np.lexsort([-r.max(axis=1, initial=0.0), r.argmax(axis=1)])
        at = np.arange(len(r))
    else:
        seen = np.flatnonzero(np.isfinite(values))
        order = seen[np.argsort(values[seen])]
        at = values[order]
    labels = [str(k) for k in range(r.shape[1])]
    ax.stackplot(at, r[order].T, colors=[color_of(k) for k in range(r.shape[1])], labels=labels, linewidth=0)
    ax.set_ylim(0.0, 1.0)
    ax.margins(x=0.0)
    _legend_beside(ax)
    return dress(ax, name, "responsibility")


def _legend_of_colours(ax: Axes, r: Array) -> None:
    if r.shape[1] > MOST_LABELS:
        return
    for k in range(r.shape[1]):
        ax.scatter([], [], s=14, color=color_of(k), label=str(k))
    if (r.sum(axis=1) < 0.5).any():
        ax.scatter([], [], s=14, color=LIGHT, label="none")
    _legend_beside(ax)


def _legend_beside(ax: Axes) -> None:
    ax.legend(title="component", frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
