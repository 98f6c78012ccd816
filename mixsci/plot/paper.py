"""What all pictures share: where they are drawn, their colours, names on their axes, and the picture as a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#4D4D4D",
    "#882255", "#44AA99", "#999933", "#332288", "#DDCC77", "#117733", "#AA4499", "#88CCEE",
)  # fmt: skip
INK, PALE, LIGHT, FAINT = "#262626", "#9A9A9A", "#D9D9D9", "#E8E8E8"
#: More components than this are told apart by their place alone.
MOST_LABELS = 20


def axes(ax: Axes | None) -> Axes:
    """Where to draw; None = a new figure."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5.2, 3.9), layout="constrained")[1]


def blank(rows: int = 1, columns: int = 1, *, panel: tuple[float, float] = (4.6, 3.4)) -> Array:
    """(rows, columns) empty Axes of a figure that no window shows; `panel` is the size of each, inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * panel[0], rows * panel[1]), layout="constrained")
    return np.asarray(figure.subplots(rows, columns, squeeze=False))


def as_png(ax: Axes, *, dpi: int = 150) -> bytes:
    """The whole figure of an Axes as the bytes of a PNG."""
    buffer = io.BytesIO()
    cast("Figure", ax.figure).savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def color_of(k: int) -> str:
    """The colour of a component, the same everywhere; they come round again."""
    return PALETTE[k % len(PALETTE)]


def dress(ax: Axes, x_name: str, y_name: str) -> Axes:
    """Names on the axes, a faint grid, no box."""
    # A dollar sign would open a formula: names are text.
    ax.set_xlabel(x_name.replace("$", r"\$"))
    ax.set_ylabel(y_name.replace("$", r"\$"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#E6E6E6", lw=0.6)
    ax.set_axisbelow(True)
    return ax


def percent(weight: float) -> str:
    """A share as percent, in the digits that tell."""
    return f"{weight:.0%}" if weight >= 0.095 or weight == 0 else f"{weight:.1%}" if weight >= 0.001 else "<0.1%"
