"""The density of one dimension, and what each component adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.circular_mixture import TURN
from mixsci.engine.em.result import Fit
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.plot.curves import add_background, add_measured, add_whole
from mixsci.plot.mixtures import mixture_of, names_of, place_of, share_label, shares_of
from mixsci.plot.paper import LIGHT, MOST_LABELS, axes, color_of, dress
from mixsci.plot.rows import Noise, noise_of, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

#: More bars than this are finer than a picture.
_MOST_BARS = 400


def plot_density(
    mixture: Mixture | Fit,
    dim: int | str = 0,
    *,
    ax: Axes | None = None,
    data: Any = None,
    bins: int | str = "auto",
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """The density of one dimension, and what each component adds to it; a component without spread is a line.

    Where rows carry noise a dashed line is the density that such rows have, the mixture blurred by the noise of each:
    it is what the histogram is to be compared with. A density free of noise that is far higher is cut, and the legend
    tells its peak.

    Args:
        mixture: a `Mixture` or a `Fit`. Weights are pooled over groups, offsets left out.
        dim: which dimension, by number or name.
        ax: where to draw; None = a new figure.
        data: (n,) or (n, D) values, or `Observations`, for a histogram behind it, weights of rows counted; as measured
            but for the offset of their group.
        bins: of the histogram, as numpy takes them.
        names: names of all dimensions; None = those of the fit.
        labels: a legend with the share of the rows of each component.

    Raises:
        DataError: a dimension that is none, rows of other columns or through a projection.
    """
    here, named = mixture_of(mixture), names_of(mixture, names)
    dim = place_of(dim, named, "dim must be one of")
    rows = rows_of(data, mixture, [dim])
    ax = axes(ax)
    bars = _histogram(ax, rows, bins)
    grid, parts = _parts(here, dim)
    for k, part in enumerate(parts):
        _add_part(ax, grid, part, here, dim, k)
    add_background(ax, grid, outside := _background(here, dim, grid), here)
    whole, noise = parts.sum(axis=0) + outside, noise_of(rows)
    add_whole(ax, grid, whole, blurred=noise is not None)
    ax.set_ylim(bottom=0.0)
    if noise is not None:
        add_measured(ax, *_blurred(here, dim, noise), bars, f"; peak {whole.max():.3g}")
    if labels and here.n_components <= MOST_LABELS:
        ax.legend(frameon=False, fontsize="small")
    return dress(ax, named[dim], "density")


def _histogram(ax: Axes, rows: Observations | None, bins: int | str) -> float:
    """Bars whose areas are the shares of the rows in them; returns the height of the highest."""
    if rows is None or not len(rows):
        return 0.0
    values = rows.x[:, 0]
    edges = np.histogram_bin_edges(values, bins)
    if isinstance(bins, str) and len(edges) > _MOST_BARS + 1:
        edges = np.linspace(edges[0], edges[-1], _MOST_BARS + 1)
    heights = ax.hist(
        values, bins=edges.tolist(), weights=rows.each_weight, density=True, color=LIGHT, edgecolor="white",
        linewidth=0.4, label="rows",
    )[0]  # fmt: skip
    return float(np.max(heights))


def _add_part(ax: Axes, grid: Array, part: Array, mixture: Mixture, dim: int, k: int) -> None:
    label = share_label(mixture, k)
    if mixture.covariances[k, dim, dim] <= 0:
        ax.axvline(mixture.means[k, dim], color=color_of(k), lw=1.6, ls="--", label=label)
        return
    ax.fill_between(grid, part, color=color_of(k), alpha=0.18, linewidth=0)
    ax.plot(grid, part, color=color_of(k), lw=1.3, label=label)


def _parts(mixture: Mixture, dim: int) -> tuple[Array, Array]:
    """A grid (t,) that resolves every component, and w_k N(t; mu_k, sigma_k) (K, t); zero for those without spread."""
    mean, sigma = mixture.means[:, dim], _sd(mixture, dim)
    grid = _grid_of(mean, np.maximum(sigma, 1e-3 * (np.ptp(mean) or 1.0)))
    return grid, shares_of(mixture)[:, None] * _normal(grid - mean[:, None], sigma[:, None])


def _background(mixture: Mixture, dim: int, grid: Array) -> Array:
    if mixture.background is None:
        return np.zeros_like(grid)
    return np.exp(mixture.background.marginal([dim]).log_density(grid[None]))


def _blurred(mixture: Mixture, dim: int, noise: Noise) -> tuple[Array, Array]:
    """A grid (t,), and the density (t,) of values that rows with such noise have; noise leaves the background alone."""
    mean, variance = mixture.means[:, dim], _sd(mixture, dim) ** 2
    few = np.quantile(noise.variances, [0.0, 0.5, 1.0])
    widths = np.sqrt(variance[:, None] + few)
    grid = _grid_of(np.repeat(mean, len(few)), np.maximum(widths.ravel(), 1e-3 * widths.max()))
    density = _background(mixture, dim, grid)
    for weight, middle, spread in zip(shares_of(mixture), mean, variance, strict=True):
        density += weight * (_normal((grid - middle)[:, None], np.sqrt(spread + noise.variances)) @ noise.shares)
    return grid, density


def _grid_of(means: Array, widths: Array) -> Array:
    """(t,) points that resolve bumps of these means and widths, no closer than the narrowest asks for."""
    points, closest = means[:, None] + widths[:, None] * np.linspace(-3.6, 3.6, 145), 0.05 * widths.min()
    first = np.unique(np.round((points - means.min()) / closest), return_index=True)[1]
    return np.sort(points.ravel()[first])


def _normal(apart: Array, sd: Array) -> Array:
    """Density at a distance from the mean; zero without spread."""
    width = np.where(sd > 0, sd, 1.0)
    return np.where(sd > 0, np.exp(-0.5 * (apart / width) ** 2) / (np.sqrt(TURN) * width), 0.0)


def _sd(mixture: Mixture, dim: int) -> Array:
    return np.sqrt(np.maximum(mixture.covariances[:, dim, dim], 0.0))
