"""The criterion of a selection over the number of components, and what it leaves undecided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.plot.paper import FAINT, INK, PALE, axes, color_of, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixsci.engine.inference.select import Selection

Array = np.ndarray

#: A range of so many times what tells nothing is drawn on a scale that is logarithmic above it.
_WIDE = 12.5


def plot_selection(selection: Selection, *, ax: Axes | None = None) -> Axes:
    """The criterion of a `Selection` over the number of components, above that of the best, a line for each covariance.

    The minimum stands in a ring, the elbow in a square, and hollow marks are fits that did not come to their end. In
    the grey band an information criterion cannot tell fits from the best; where rows or values were left out, it cannot
    where the bar, a standard error of the difference over the folds, comes down to 0. A wide range is logarithmic above
    what is undecided.

    Args:
        selection: of `mixsci.select`.
        ax: where to draw; None = a new figure.
    """
    from mixsci.engine.inference.select import CRITERIA, UNDECIDED

    ax, criterion, each = axes(ax), CRITERIA[selection.criterion], selection.of_each_number
    best, elbow = each[selection.minimum], each[selection.elbow]
    least, ones = criterion.value(best), selection.candidates
    heights = np.array([criterion.value(one) - least for one in ones])
    errors = np.array([criterion.error(one, best) for one in ones])
    families = np.array([one.covariance for one in ones])
    for i, name in enumerate(dict.fromkeys(families.tolist())):
        own = np.flatnonzero(families == name)
        done = np.array([ones[j].fit.converged for j in own])
        _line(ax, [ones[j].n_components for j in own], heights[own], done, errors[own], label=name, color=color_of(i))
    ring(ax, best.n_components, 0.0, "o", 11, f"minimum, K = {best.n_components}")
    ring(ax, elbow.n_components, criterion.value(elbow) - least, "s", 13, f"elbow, K = {elbow.n_components}")
    if not all(one.fit.converged for one in ones):
        ax.plot([], [], "o", color=PALE, mfc="white", ms=5, label="not at its end")
    say_undecided(ax, 0.0 if criterion.unit else UNDECIDED)
    reach = np.nan_to_num(errors)
    ends = np.concatenate([heights - reach, heights + reach])
    above(ax, ends, _scale_of(errors) if criterion.unit else UNDECIDED)
    ax.set_xticks(sorted(each))
    ax.legend(frameon=False, fontsize="small", markerscale=0.7)
    lost = f"{criterion.words}:\nloss against {-least:,.4g} of the best ({criterion.unit})"
    return dress(ax, "number of components K", lost if criterion.unit else f"{criterion.words} above {least:,.1f}")


def _line(ax: Axes, x: Any, y: Array, done: Array, errors: Array, *, label: str, color: str) -> None:
    """Fits of one covariance in the order of K, hollow where they did not come to their end; errors may be NaN."""
    ax.plot(x, y, "-o", color=color, ms=5, lw=1.3, label=label)
    ax.plot(np.array(x)[~done], y[~done], "o", color=color, mfc="white", ms=5)
    if np.isfinite(errors).any():
        ax.errorbar(x, y, errors, fmt="none", ecolor=color, elinewidth=1.1, capsize=3, zorder=2)


def ring(ax: Axes, k: int, height: float, mark: str, size: float, label: str) -> None:
    """A hollow mark around the height at one number of components K."""
    ax.plot(k, height, mark, ms=size, mfc="none", mec=INK, mew=1.2, zorder=5, label=label)


def say_undecided(ax: Axes, band: float) -> None:
    """What cannot be told from the best: what lies in the band, or has a bar that comes down to the line."""
    if band:
        ax.axhspan(0.0, band, color=FAINT, zorder=0, label=f"undecided, less than {band:g}", linewidth=0)
        return
    ax.axhline(0.0, color=PALE, lw=0.9, zorder=1, label="best; undecided where a standard error reaches it")


def _scale_of(errors: Array) -> float:
    """The power of ten nearest to most errors; 0 where there are none."""
    there = errors[np.isfinite(errors) & (errors > 0)]
    return float(10.0 ** np.round(np.log10(np.median(there)))) if len(there) else 0.0


def above(ax: Axes, heights: Array, unit: float) -> None:
    """A scale of differences from the best, logarithmic above `unit`, what tells nothing, where they are many of it."""
    known = heights[np.isfinite(heights)]
    top, low = float(known.max(initial=0.0)), float(known.min(initial=0.0))
    unit = unit or top or 1.0
    top = max(top, unit)
    wide = top > _WIDE * unit
    if wide:
        ax.set_yscale("symlog", linthresh=unit, linscale=0.5)
        tens = 10.0 ** np.arange(np.floor(np.log10(unit)) + 1, np.ceil(np.log10(top)) + 1)
        ticks = [tick for tick in (0.0, unit, *tens[tens > 1.5 * unit]) if tick <= 2.5 * top]
        ax.set_yticks(ticks, [f"{tick:,.0f}" if tick >= 1000 else f"{tick:.3g}" for tick in ticks])
        ax.minorticks_off()
    # A little below zero, so that the ring of the best is whole; bars, and fits that failed, may lie below it.
    ax.set_ylim(min(-0.3 * unit, low - 0.15 * unit), top * (1.8 if wide else 1.08) + 0.25 * unit)
