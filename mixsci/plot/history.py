"""The climb of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.plot.paper import PALE, PALETTE, axes, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_history(fit: Fit, *, ax: Axes | None = None) -> Axes:
    """What each pass over the data still had to gain, in nats on a logarithmic axis: a sound climb falls straight."""
    ax = axes(ax)
    left = fit.objective + fit.gap - np.array(fit.history)
    passes = np.arange(1, len(left) + 1)
    seen = np.isfinite(left) & (left > 0)
    ax.plot(passes[seen], left[seen], color=PALETTE[0], marker="o", ms=3.5, lw=1.4)
    ax.set_yscale("log" if seen.any() else "linear")
    ax.locator_params(axis="x", integer=True)
    ax.set_title(fit.outcome.name.replace("_", " ").lower(), loc="left", fontsize="small", color=PALE)
    return dress(ax, "passes over the data", "left to gain (nats)")
