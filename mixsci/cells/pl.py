"""Draw what was found: every function takes `ax=None` and returns the Axes; nothing is fitted here."""

from mixsci.cells.plot_calibration import calibration
from mixsci.cells.plot_certainty import entropy, proba
from mixsci.cells.plot_ellipses import ellipses
from mixsci.cells.plot_embedding import embedding
from mixsci.cells.plot_gates import density, gate
from mixsci.cells.plot_markers import markers
from mixsci.cells.plot_missingness import missingness, missingness_intensity
from mixsci.cells.plot_selection import selection

__all__ = [
    "calibration", "density", "ellipses", "embedding", "entropy", "gate", "markers", "missingness",
    "missingness_intensity", "proba", "selection",
]  # fmt: skip
