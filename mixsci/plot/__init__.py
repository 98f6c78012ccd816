"""Pictures of mixtures and fits: every function takes `ax=None` and returns the Axes; no fit is made here.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; a component keeps its colour everywhere.
"""

from mixsci.plot.circle import plot_circle
from mixsci.plot.density import plot_density
from mixsci.plot.ellipses import plot_ellipses
from mixsci.plot.fit import plot_fit
from mixsci.plot.history import plot_history
from mixsci.plot.pairs import plot_pairs
from mixsci.plot.paper import PALETTE, as_png, blank
from mixsci.plot.responsibilities import plot_responsibilities
from mixsci.plot.selection import plot_selection

__all__ = [
    "PALETTE", "as_png", "blank", "plot_circle", "plot_density", "plot_ellipses", "plot_fit", "plot_history",
    "plot_pairs", "plot_responsibilities", "plot_selection",
]  # fmt: skip
