"""The curves of a density, on an axis or around a circle: the background, all together, all as measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixsci.engine.mixture import Mixture
from mixsci.plot.mixtures import stray_of
from mixsci.plot.paper import INK, PALE, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

#: A density free of noise that rises above the rows by more than this factor is cut there.
_CUT = 2.5
#: How the label of a curve that is cut goes on.
IS_CUT = " (cut"


def add_background(ax: Axes, grid: Array, outside: Array, mixture: Mixture) -> None:
    """What the background adds, dotted, with its share of the rows."""
    if mixture.background is not None:
        ax.plot(grid, outside, color=PALE, lw=1.3, ls=":", label=f"background: {percent(stray_of(mixture))}")


def add_whole(ax: Axes, grid: Array, height: Array, *, blurred: bool) -> None:
    """Components and background together; `blurred` where a second line shows rows with their noise."""
    ax.plot(grid, height, color=INK, lw=1.6, label="all, free of noise" if blurred else "all")


def add_measured(ax: Axes, grid: Array, height: Array, bars: float, peak: str = "") -> None:
    """The line of what rows with noise measure; one of what is free of noise that is far higher is cut, and says so."""
    free = ax.lines[-1]
    ax.plot(grid, height, color=INK, lw=1.6, ls=(0, (4, 2)), label="all, as measured")
    top = (np.sqrt(_CUT) if ax.name == "polar" else _CUT) * max(bars, float(height.max()))
    if np.max(free.get_ydata()) > top:
        ax.set_ylim(0.0, top)
        free.set_label(f"{free.get_label()}{IS_CUT}{peak})")
