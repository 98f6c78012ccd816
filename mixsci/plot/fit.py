"""The picture of a fit, chosen by what it was fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.result import Fit
from mixsci.plot.circle import plot_circle
from mixsci.plot.density import plot_density
from mixsci.plot.ellipses import plot_ellipses

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_fit(fit: Fit, ax: Axes | None = None, **options: Any) -> Axes:
    """The mixture found: its density in one dimension, else the ellipses of the first two; `Fit.plot` calls it.

    Where rows have angles: the first of them on its circle. `data=`, `names=` and `labels=` are taken by all three.
    """
    if isinstance(fit.mixture, CircularMixture):
        return plot_circle(fit, ax=ax, **options)
    draw = plot_density if fit.mixture.n_variables == 1 else plot_ellipses
    return draw(fit, ax=ax, **options)
