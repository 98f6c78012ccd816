"""A picture of held-out values: foretold beside measured, and whether the errors are honest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import refuse_others
from mixsci.cells.holding import LEVELS
from mixsci.cells.plot_canvas import entry_of, finish, head, share_of, shuffled, size_of
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALE, PALETTE, axes, dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: So many values have bars of their errors; more are a blot.
_MOST_BARS = 250
#: So many values are drawn, always the same ones.
_MOST_DOTS = 20_000
_BINS = 20
_TAILS = (0.001, 0.999)


def calibration(
    adata: AnnData,
    key: str = "mixture",
    *,
    key_held_out: str | None = None,
    ax: Any = None,
    show: bool | None = None,
    save: Any = None,
) -> dict[str, Axes]:
    """Hidden values beside what was foretold, with errors, and where values fall in their predictions.

    At the left every value, in standard deviations of its variable from its mean: on the line all is foretold, along
    x = 0 no more than the mean. At the right the histogram of quantiles, even where errors are honest; a valley in the
    middle = errors too small, a hill = too large.

    Args:
        adata: with what `tl.held_out` keeps.
        key: name of the results that were checked.
        key_held_out: name of what was kept; None = f"{key}_held_out".
        ax: two Axes to draw in; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Returns:
        Axes of "values" and of "quantiles".

    Raises:
        DataError: nothing was held out, another number of Axes.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 6, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> cells.tl.held_out(adata, rng=1)
        >>> sorted(cells.pl.calibration(adata))
        ['quantiles', 'values']
    """
    refuse_others(adata)
    found = entry_of(adata, f"{key}_held_out" if key_held_out is None else key_held_out, "quantile", "tl.held_out")
    left, right = _pair(ax)
    _draw_values(left, found)
    _draw_quantiles(right, found)
    finish(left, save, show=show)
    return {"values": left, "quantiles": right}


def _pair(ax: Any) -> tuple[Axes, Axes]:
    if ax is None:
        first = axes(None)
        figure: Any = first.figure
        figure.set_size_inches(9.4, 4.2)
        first.remove()
        left, right = figure.subplots(1, 2)
        return left, right
    given = np.ravel(np.array(ax, dtype=object))
    if len(given) != 2:
        raise DataError(f"ax must be two Axes, of values and of quantiles; got {len(given)}")
    return given[0], given[1]


def _draw_values(ax: Axes, found: Mapping[str, Any]) -> None:
    variable = np.asarray(found["variable"], dtype=int)
    centre, scale = np.asarray(found["centre"])[variable], np.asarray(found["scale"])[variable]
    x, y = (np.asarray(found["expected"]) - centre) / scale, (np.asarray(found["value"]) - centre) / scale
    sd = np.asarray(found["sd"]) / scale
    few = shuffled(len(x))[:_MOST_DOTS]
    ax.scatter(
        x[few], y[few], s=size_of(len(few)), color=PALETTE[0], alpha=0.45, linewidths=0, rasterized=True, zorder=3
    )
    ends = np.quantile(np.concatenate([x, y]), _TAILS)
    margin = 0.06 * float(ends[1] - ends[0]) or 0.5
    limits = float(ends[0]) - margin, float(ends[1]) + margin
    ax.axline((0.0, 0.0), slope=1.0, color=INK, lw=1.0, zorder=4)
    ax.axvline(0.0, color=PALE, lw=0.8, ls="--", zorder=1)
    ax.set(xlim=limits, ylim=limits)
    ax.set_box_aspect(1.0)
    if len(x) <= _MOST_BARS:
        ax.errorbar(x, y, xerr=sd, fmt="none", ecolor=PALE, elinewidth=0.7, zorder=2, label="sd of each")
    else:
        at, typical = limits[0] + 0.05 * (limits[1] - limits[0]), float(np.median(sd))
        ax.errorbar(
            at + typical, limits[1] - margin, xerr=typical, fmt="o", ms=3, color=INK, capsize=2, label="median sd"
        )
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    dress(ax, "foretold, in sd of its variable", "measured, in sd of its variable")
    told = "a fit that has not seen them" if bool(found["refit"]) else "a fit that has seen them"
    drawn = f", {len(few):,} drawn" if len(few) < len(x) else ""
    head(ax, f"R² {float(found['r2']):.2f}: {len(x):,} hidden values{drawn},\nforetold by {told}")


def _draw_quantiles(ax: Axes, found: Mapping[str, Any]) -> None:
    quantiles = np.asarray(found["quantile"], dtype=float)
    heights, edges = np.histogram(quantiles, bins=_BINS, range=(0.0, 1.0))
    density = heights / max(len(quantiles), 1) * _BINS
    ax.stairs(density, edges, fill=True, color=PALETTE[5], alpha=0.6, label="hidden values")
    ax.stairs(density, edges, color=PALETTE[0], lw=1.0)
    ax.axhline(1.0, color=INK, lw=1.1, ls="--", label="honest errors")
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, max(1.5, 1.25 * float(density.max(initial=1.0)))))
    ax.legend(frameon=False, fontsize="small", loc="upper center", ncols=2)
    dress(ax, "quantile of the measured value in its prediction", "density")
    ax.set_box_aspect(1.0)
    held = [
        f"{100 * level:.0f} % intervals hold {share_of(float(found[f'coverage_{100 * level:.0f}']))}"
        for level in LEVELS
    ]
    head(ax, f"{held[0]},\n{held[1]}")
