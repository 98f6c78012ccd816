"""The density of an angle on its circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture
from mixsci.engine.em.result import Fit
from mixsci.engine.kernels.circular import see
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from mixsci.plot.curves import add_background, add_measured, add_whole
from mixsci.plot.mixtures import names_of, place_of, share_label, shares_of
from mixsci.plot.paper import LIGHT, MOST_LABELS, color_of
from mixsci.plot.rows import Noise, noise_of, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


def plot_circle(
    mixture: CircularMixture | Fit,
    column: int | str | None = None,
    *,
    ax: Axes | None = None,
    data: Any = None,
    bins: int = 36,
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """The density of an angle on its circle, and what each component adds to it: areas, not radii, are shares.

    Where rows carry noise a dashed line is the density that such rows have, as in `plot_density`.

    Args:
        mixture: a `CircularMixture` or its `Fit`. Weights are pooled over groups.
        column: which column, by number or name; None = the first angle.
        ax: polar Axes; None = a new figure. The angle 0 is on the right and angles go anticlockwise.
        data: (n,) or (n, m) values, or `Observations`, for a rose histogram behind it, weights of rows counted.
        bins: sectors of the rose.
        names: names of all columns; None = those of the fit.
        labels: a legend with the share of the rows of each component.

    Raises:
        DataError: a mixture without angles, a column that is none of them, rows of other columns.

    Example:
        >>> import mixsci as mx
        >>> hours = mx.CircularMixture([1.0], directions=[[23.0]], concentrations=[[5.0]], period=24)
        >>> mx.plot.plot_circle(hours).get_xticklabels()[1].get_text()
        '3'
    """
    here = mixture.mixture if isinstance(mixture, Fit) else mixture
    if not isinstance(here, CircularMixture):
        raise DataError(f"a circle shows a mixture with angles; got {type(here).__name__}: use plot_density")
    named = names_of(mixture, names)
    column = place_of(
        here.angles[0] if column is None else column, named, "column must be one of the angles", here.angles
    )
    rows, ax = rows_of(data, mixture, [column]), _polar(ax)
    a = here.angles.index(column)
    period = float(here.period[a])
    bars = _rose(ax, rows, period, bins)
    turn = _turns(here, a)
    parts = shares_of(here)[:, None] * _on_circle(here, a, turn)
    for k, part in enumerate(parts):
        ax.fill(turn, np.sqrt(2.0 * part), facecolor=color_of(k), alpha=0.25, lw=0)
        ax.plot(turn, np.sqrt(2.0 * part), color=color_of(k), lw=1.3, label=share_label(here, k))
    outside = _background_on_circle(here, column, a, turn)
    add_background(ax, turn, np.sqrt(2.0 * outside), here)
    whole, noise = parts.sum(axis=0) + outside, noise_of(rows)
    add_whole(ax, turn, np.sqrt(2.0 * whole), blurred=noise is not None)
    ax.set_ylim(bottom=0.0)
    if noise is not None:
        measured = outside + _blurred_on_circle(here, a, turn, noise)
        add_measured(ax, turn, np.sqrt(2.0 * measured), bars)
    if labels and here.n_components <= MOST_LABELS:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return _dress_circle(ax, period, named[column])


def _polar(ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(figsize=(5.4, 4.2), subplot_kw={"projection": "polar"}, layout="constrained")[1]
    if ax.name != "polar":
        raise DataError('a circle needs polar Axes: plt.subplots(subplot_kw={"projection": "polar"})')
    return ax


def _rose(ax: Axes, rows: Observations | None, period: float, bins: int) -> float:
    """Sectors whose areas are the shares of the rows in them; returns the largest radius."""
    if rows is None or not len(rows):
        return 0.0
    values = np.mod(rows.x[:, 0], period) * (TURN / period)
    density, edges = np.histogram(values, bins=bins, range=(0.0, TURN), density=True, weights=rows.each_weight)
    radii = np.sqrt(2.0 * density)
    ax.bar(
        edges[:-1], radii, width=np.diff(edges), align="edge", color=LIGHT, edgecolor="white", linewidth=0.4,
        label="rows",
    )  # fmt: skip
    return float(radii.max())


def _turns(mixture: CircularMixture, a: int) -> Array:
    """A grid (t,) of radians, once around, that resolves every component."""
    centre = mixture.radians[0][:, a]
    reach = np.sinh(np.linspace(-6.0, 6.0, 181)) / np.sinh(6.0) * np.pi
    grid = np.sort(np.mod(np.concatenate([(centre[:, None] + reach).ravel(), np.linspace(0.0, TURN, 181)]), TURN))
    return np.append(grid, TURN + grid[0])


def _on_circle(mixture: CircularMixture, a: int, turn: Array, variance: float = 0.0) -> Array:
    """Density (K, t) per radian of an angle under every component, measured with noise of this variance, radians^2."""
    turn_of, kappa = mixture.radians
    errors = np.array([[np.sqrt(variance)]]) if variance > 0 else None
    return np.exp(see(turn[:, None], errors, turn_of[:, [a]], kappa[:, [a]]).log_density).T


def _blurred_on_circle(mixture: CircularMixture, a: int, turn: Array, noise: Noise) -> Array:
    """Density (t,) per radian of an angle as rows measure it, the background left out."""
    unit = (TURN / float(mixture.period[a])) ** 2
    each = (shares_of(mixture) @ _on_circle(mixture, a, turn, unit * variance) for variance in noise.variances)
    return np.sum([share * one for share, one in zip(noise.shares, each, strict=True)], axis=0)


def _background_on_circle(mixture: CircularMixture, column: int, a: int, turn: Array) -> Array:
    """What the background adds to the density (t,) per radian: its box may be less than the circle."""
    if mixture.background is None:
        return np.zeros_like(turn)
    period = float(mixture.period[a])
    side = mixture.background.marginal([column])
    values = side.low[0] + np.mod(turn * (period / TURN) - side.low[0], period)
    return np.exp(side.log_density(values[None])) * (period / TURN)


def _dress_circle(ax: Axes, period: float, name: str) -> Axes:
    """Angles in their own units around the circle, no radii."""
    ticks = np.arange(8) / 8
    ax.set_xticks(TURN * ticks, [f"{period * tick:.4g}" for tick in ticks])
    ax.set_yticks([])
    ax.set_xlabel(name.replace("$", r"\$"))
    ax.grid(visible=True, color="#E6E6E6", lw=0.6)
    ax.set_axisbelow(True)
    return ax
