"""All pairs of a few dimensions, with each one's density on the diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError
from mixsci.plot.curves import IS_CUT
from mixsci.plot.density import plot_density
from mixsci.plot.ellipses import plot_ellipses
from mixsci.plot.mixtures import mixture_of, names_of, place_of
from mixsci.plot.paper import MOST_LABELS
from mixsci.plot.rows import observed, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


def plot_pairs(
    mixture: Mixture | Fit,
    dims: Sequence[int | str] | None = None,
    *,
    axes: Any = None,
    data: Any = None,
    names: Sequence[str] | None = None,
    most: int = 5,
) -> Array:
    """All pairs of a few dimensions as ellipses, with each one's density on the diagonal; (D, D) Axes.

    Args:
        mixture: a `Mixture` or a `Fit`.
        dims: which D dimensions, by number or name; None = the first, `most` of them at most.
        axes: (D, D) Axes to draw in; None = a new figure.
        data: rows to draw behind, (n, D) or `Observations`; see `plot_ellipses` and `plot_density`.
        names: names of all dimensions; None = those of the fit.
        most: dimensions at most, where `dims` does not say which.

    Raises:
        DataError: dimensions that are none, Axes of another shape, rows of other columns or through a projection.
    """
    here, named = mixture_of(mixture), names_of(mixture, names)
    asked = range(min(here.n_dims, most)) if dims is None else dims
    at = [place_of(dim, named, "dims must be distinct ones of") for dim in asked]
    if len(set(at)) < len(at) or not at:
        raise DataError(f"dims must be distinct dimensions, one or more; got {list(asked)}")
    d, rows = len(at), None if data is None else observed(data)
    rows_of(rows, mixture, at)
    axes = _grid(d) if axes is None else np.asarray(axes)
    if axes.shape != (d, d):
        raise DataError(f"axes must have shape (D, D) = {(d, d)}; got {axes.shape}")
    for row in range(d):
        for column in range(row + 1):
            _pair(axes[row, column], mixture, (at[column], at[row]), rows, named, first=not column, last=row == d - 1)
        for column in range(row + 1, d):
            axes[row, column].set_axis_off()
    _align(axes)
    _legend_of_pairs(axes)
    return axes


def _grid(d: int) -> Array:
    import matplotlib.pyplot as plt

    return np.asarray(
        plt.subplots(
            d, d, figsize=(max(2.6 * d + 0.6, 5.2), max(2.3 * d + 0.4, 3.9)), squeeze=False, layout="constrained"
        )[1]
    )


def _pair(
    ax: Axes, mixture: Mixture | Fit, at: tuple[int, int], rows: Any, named: Sequence[str], *, first: bool, last: bool
) -> None:
    """One field: a density on the diagonal, ellipses below it."""
    if at[0] == at[1]:
        plot_density(mixture, at[0], ax=ax, data=rows, names=named, labels=False)
        ax.set(yticks=[], ylabel="")
    else:
        plot_ellipses(mixture, at, ax=ax, data=rows, names=named, labels=False)
        ax.set_ylabel(ax.get_ylabel() if first else "")
    ax.set_xlabel(ax.get_xlabel() if last else "")


def _align(axes: Array) -> None:
    """The same range for a dimension wherever it is drawn."""
    d = len(axes)
    for j in range(d):
        ranges = [axes[row, j].get_xlim() for row in range(j, d)] + [axes[j, column].get_ylim() for column in range(j)]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        for row in range(j, d):
            axes[row, j].set_xlim(low, high)
        for column in range(j):
            axes[j, column].set_ylim(low, high)


def _legend_of_pairs(axes: Array) -> None:
    """What the densities on the diagonal show, in the empty corner."""
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(handles) > MOST_LABELS + 4:
        return
    if len(axes) > 1:
        # Peaks differ by dimension.
        cut = {label.partition(IS_CUT)[0] for ax in axes.diagonal() for label in _labels(ax) if IS_CUT in label}
        labels = [label.partition(IS_CUT)[0] for label in labels]
        labels = [f"{label}\n(cut where far higher)" if label in cut else label for label in labels]
    place = "best" if len(axes) == 1 else "upper right"
    legend = axes[0, -1].legend(handles, labels, frameon=False, fontsize="small", loc=place)
    # It may reach into the empty fields beside it, and must not push the others aside.
    legend.set_in_layout(False)


def _labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]
