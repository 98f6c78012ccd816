"""Pictures of a fit to stars: every function takes `ax=None` or `axes=None` and returns Axes; nothing is fitted here.

Colours are those of `mixsci.plot`, which colour-blind readers tell apart. Where a fit has members, a stream, they alone
have colour. Of very many stars a random share is drawn, always the same, and the picture says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALE, PALETTE
from mixsci.stars.blocks import KinematicsBlocks
from mixsci.stars.forecasts import Calibration
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.memberships import purity_completeness
from mixsci.stars.portrait import THRESHOLD, Portrait, label, plural, portrait, probabilities, sky, symbol, verdict
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

Array = np.ndarray

_FAINT, _DENOISED = "#E6E6E6", "#6F8CA8"
#: Of members and of all else.
_STREAM, _FIELD = PALETTE[1], "#4D4D4D"
#: From no member to a member: grey, then ever darker.
_CHANCES = ("#CBCBCB", "#E3B778", "#D55E00", "#8C2D04")
#: Ellipses lie at so many standard deviations.
_LEVELS = (1.0, 2.0)
#: Stars farther than this beyond a tail of this share are not shown, as a share of the range between both tails.
_TAIL, _FAR = 0.05, 0.5
#: The margin that a panel keeps, as a share of its range.
_MARGIN = 0.06
#: The ellipses of components with a larger weight are shown whole.
_COMMON = 0.1
#: Size of one panel of many, and of two, inches.
CELL = (2.45, 2.4)
PANEL = (4.1, 3.4)
_DASHES = ("-", "--", ":", "-.")
#: A band that so large a share of bins lies in where all is well.
_BAND = 0.95
#: Stars with bars of their errors: more are a blot.
_MOST_BARS = 1500
_SMALL = 8.0
#: Stars nowhere farther apart in longitude than this, deg, are all around the sky.
_GAP = 20.0


# --- components and stars --------------------------------------------------------------------------------------------


def plot_corner(
    fit: VelocityFit,
    *,
    kin: Kinematics | KinematicsBlocks | None = None,
    axes: Any = None,
    observed: bool = True,
) -> Array:
    r"""All pairs of the dimensions; (D, D) Axes.

    Below the diagonal: the deconvolved stars (means of what is known of each) and every component as ellipses of one
    and two standard deviations. Above it: the stars as measured, with the ellipses and a cross of the median errors;
    nothing where what is measured is a projection of the dimensions ("uvw"). On the diagonal: the deconvolved density,
    what each component adds, and the histogram of the measured values, which their errors widen.

    Args:
        fit: what `deconvolve` or `fit_stream` gives.
        kin: the stars; None = those of the fit.
        axes: (D, D) Axes to draw in; None = a new figure.
        observed: draw what was measured, too.

    Raises:
        DataError: no stars, or Axes of another shape.

    Example:
        >>> from mixsci import stars
        >>> made = stars.simulate_stream(2000, 0.08, rng=3)
        >>> found = stars.fit_stream(made.table, frame=made.frame)
        >>> stars.plot.plot_corner(found)[1, 0].get_xlabel()
        '$\\mu_{\\phi_1}$ (mas/yr)'
    """
    shown, mixture = portrait(fit, kin), fit.mixture
    d = mixture.n_dims
    axes = _new(d, d, CELL) if axes is None else np.asarray(axes)
    if axes.shape != (d, d):
        raise DataError(f"axes must have shape (D, D) = {(d, d)}; got {axes.shape}")
    both, styles = observed and shown.observed is not None, looks(fit)
    limits = [_limits(fit, shown, j, both=both) for j in range(d)]
    for row, column in np.ndindex(d, d):
        ax = axes[row, column]
        if row == column:
            _marginal(ax, mixture, row, shown.observed if both else None, limits[row], styles)
        elif row > column or both:
            _pair(ax, mixture, shown, (column, row), styles, measured=row < column)
        else:
            ax.set_axis_off()
    _frame(axes, fit, limits, both=both)
    if both and shown.errors is not None:
        _crosses(axes, shown.errors, limits)
    _legend(axes, styles, _notes(fit, shown, limits, both=both), both=both)
    return axes


@dataclass(frozen=True)
class Look:
    """How a component is drawn, and what it is called."""

    color: str
    dashes: str
    width: float
    fill: float
    name: str

    @property
    def line(self) -> dict[str, Any]:
        """The options of a line that is drawn so."""
        return {"color": self.color, "ls": self.dashes, "lw": self.width}


def looks(fit: VelocityFit) -> list[Look]:
    """A look for each component: members in colour and thick, all else grey; without members a colour each."""
    mixture = fit.mixture
    outside = 1.0 if mixture.background is None else 1.0 - float(mixture.background.weight)
    shares = [_percent(outside * float(weight)) for weight in mixture.weights]
    if not fit.members:
        return [
            Look(PALETTE[k % len(PALETTE)], _DASHES[k // len(PALETTE) % len(_DASHES)], 1.3, 0.10, f"{k}: {share}")
            for k, share in enumerate(shares)
        ]
    ours = [k in fit.members for k in range(mixture.n_components)]
    place = [ours[:k].count(mine) for k, mine in enumerate(ours)]
    return [
        Look(_STREAM if mine else _FIELD, _DASHES[at % len(_DASHES)], 2.0 if mine else 1.1, 0.25 if mine else 0.0,
              f"{'stream' if mine else 'field'} {k}: {share}")
        for k, (mine, at, share) in enumerate(zip(ours, place, shares, strict=True))
    ]  # fmt: skip


def _percent(share: float) -> str:
    if share < 0.001:
        return "<0.1 %" if share > 0.0 else "0 %"
    return f"{100.0 * share:.0f} %" if share >= 0.095 else f"{100.0 * share:.1f} %"


def _limits(fit: VelocityFit, shown: Portrait, dim: int, *, both: bool) -> tuple[float, float]:
    """The range of a dimension: almost all stars, and every component that is a member or common."""
    values = [_deconvolved(shown)[:, dim]]
    if both and shown.observed is not None:
        values.append(shown.observed[:, dim])
    reach = _reach(np.concatenate(values))
    sigma = np.sqrt(np.maximum(fit.mixture.covariances[:, dim, dim], 0.0))
    for k, (mean, weight) in enumerate(zip(fit.mixture.means[:, dim], fit.mixture.weights, strict=True)):
        if k in fit.members or weight > _COMMON:
            reach = min(reach[0], mean - _LEVELS[-1] * sigma[k]), max(reach[1], mean + _LEVELS[-1] * sigma[k])
    return _widened(*reach, float(sigma.max()))


def _reach(values: Array) -> tuple[float, float]:
    """The range of values without those far beyond almost all others."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
    far = _FAR * (high - low)
    near = values[(values >= low - far) & (values <= high + far)]
    return float(near.min()), float(near.max())


def _widened(low: float, high: float, scale: float = 0.0) -> tuple[float, float]:
    """A range with a margin; about a single value, one of some width."""
    margin = _MARGIN * (high - low) if high > low else 3.0 * scale or max(1e-3, 0.1 * abs(low))
    return low - margin, high + margin


def _marginal(
    ax: Axes, mixture: Mixture, dim: int, observed: Array | None, limits: tuple[float, float], styles: Sequence[Look]
) -> None:
    """One dimension: the measured values as a histogram, the deconvolved density, and what each component adds."""
    if observed is not None:
        _histogram(ax, observed[:, dim], limits)
    grid = _fine(mixture, dim, limits)
    parts = _parts(mixture, dim, grid)
    for part, look in zip(parts, styles, strict=True):
        ax.plot(grid, part, **look.line | {"lw": 0.8 * look.width})
        ax.fill_between(grid, part, color=look.color, alpha=look.fill, linewidth=0)
    ax.plot(grid, parts.sum(axis=0) + _uniform(mixture, dim, grid), color=INK, lw=1.5, label="deconvolved")
    ax.set(xlim=limits, ylim=(0.0, None), yticks=[])


def _histogram(ax: Axes, values: Array, limits: tuple[float, float]) -> None:
    """The density of values, those beyond the limits counted too."""
    values = values[np.isfinite(values)]
    bins = int(np.clip(2.0 * np.cbrt(len(values)), 8, 50))
    counts, edges = np.histogram(values, bins=bins, range=limits)
    density = counts / max(len(values), 1) / np.diff(edges)
    ax.stairs(density, edges, fill=True, color="#DCDCDC", label="as measured")


def _fine(mixture: Mixture, dim: int, limits: tuple[float, float]) -> Array:
    """A grid over the limits that resolves every component, however narrow."""
    mean, sigma = mixture.means[:, dim], np.sqrt(np.maximum(mixture.covariances[:, dim, dim], 0.0))
    near = (mean[:, None] + sigma[:, None] * np.linspace(-4.0, 4.0, 121)).ravel()
    grid = np.concatenate([np.linspace(*limits, 301), near])
    return np.unique(grid[(grid >= limits[0]) & (grid <= limits[1])])


def _parts(mixture: Mixture, dim: int, grid: Array) -> Array:
    """(K, t) what each component adds to the density of a dimension; nothing where it has no spread."""
    variance = np.maximum(mixture.covariances[:, dim, dim], 0.0)[:, None]
    width = np.sqrt(np.where(variance > 0, variance, 1.0))
    density = np.exp(-0.5 * ((grid - mixture.means[:, dim, None]) / width) ** 2) / (np.sqrt(2.0 * np.pi) * width)
    outside = 1.0 if mixture.background is None else 1.0 - float(mixture.background.weight)
    return np.asarray(np.where(variance > 0, outside * mixture.weights[:, None] * density, 0.0))


def _uniform(mixture: Mixture, dim: int, grid: Array) -> Array:
    """(t,) what a uniform background adds."""
    if mixture.background is None:
        return np.zeros_like(grid)
    return np.exp(mixture.background.marginal([dim]).log_density(grid[None]))


def _pair(
    ax: Axes, mixture: Mixture, shown: Portrait, dims: tuple[int, int], styles: Sequence[Look], *, measured: bool
) -> None:
    """Two dimensions: stars and ellipses."""
    values = shown.values if measured else _deconvolved(shown)
    _dots(ax, values[:, list(dims)], PALE if measured else _DENOISED)
    for k, look in enumerate(styles):
        _ellipses(ax, mixture.means[k, list(dims)], mixture.covariances[k][np.ix_(dims, dims)], look)


def _deconvolved(shown: Portrait) -> Array:
    """(s, D) deconvolved values; NaN for outliers, and where nothing was measured but what the model expects."""
    values = shown.denoised.copy()
    values[shown.outlier] = np.nan
    if shown.observed is not None:
        values[np.isnan(shown.observed)] = np.nan
    return values


def _dots(ax: Axes, xy: Array, color: str, **options: Any) -> None:
    xy = xy[np.isfinite(xy).all(axis=1)]
    size = float(np.clip(40.0 / np.sqrt(max(len(xy), 1)), 0.9, 4.0))
    ax.plot(*xy.T, ls="", marker="o", ms=size, mew=0, color=color, alpha=0.45, rasterized=True, zorder=1, **options)


def _ellipses(ax: Axes, mean: Array, covariance: Array, look: Look, levels: Sequence[float] = _LEVELS) -> None:
    """A component at one and two standard deviations, on a white rim; without spread a cross."""
    from matplotlib.patches import Ellipse

    values, vectors = np.linalg.eigh(covariance)
    sides, order = 2.0 * np.sqrt(np.maximum(values, 0.0)), 3 + look.width
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    if sides[1] <= 0.0:
        ax.plot(*mean, marker="x", color=look.color, ms=7, mew=1.6, zorder=order)
        return
    for level in levels:
        shape = {"xy": tuple(mean), "width": level * sides[1], "height": level * sides[0], "angle": angle}
        ax.add_artist(Ellipse(**shape, fill=False, edgecolor="white", linewidth=look.width + 1.2, zorder=order - 0.05))
        ax.add_artist(
            Ellipse(**shape, fill=False, edgecolor=look.color, linewidth=look.width, ls=look.dashes, zorder=order)
        )


def _cross(ax: Axes, errors: Array, limits: Sequence[tuple[float, float]]) -> None:
    """The median errors of two dimensions, in the lower left corner where they fit into it."""
    x, y = (_median(column) for column in errors.T)
    at = [
        low + max(0.05 * (high - low) + size, 0.1 * (high - low))
        for (low, high), size in zip(limits, (x, y), strict=True)
    ]
    ax.errorbar(
        at[0], at[1], xerr=x, yerr=y, fmt="none", ecolor=INK, elinewidth=1.2, zorder=8,
        label="median error",
    )  # fmt: skip


def _median(errors: Array) -> float:
    errors = errors[np.isfinite(errors)]
    return float(np.median(errors)) if len(errors) else 0.0


def _frame(axes: Any, fit: VelocityFit, limits: Sequence[tuple[float, float]], *, both: bool) -> None:
    """Limits, names and ticks: names at the foot and at the left, or at the right above the diagonal."""
    d = len(axes)
    names = [label(*each) for each in zip(fit.latent_names, fit.kinematics.latent_units, strict=True)]
    for row, column in np.ndindex(d, d):
        ax = axes[row, column]
        if column > row and not both:
            continue
        _dress(ax).set_xlim(limits[column])
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelsize=_SMALL, labelbottom=row == d - 1)
        ax.set_xlabel(names[column] if row == d - 1 else "")
        if row != column:
            ax.set_ylim(limits[row])
            ax.locator_params(axis="y", nbins=5)
            right, last = column > row, column == (d - 1 if column > row else 0)
            ax.yaxis.set_label_position("right" if right else "left")
            ax.tick_params(labelleft=not right and last, labelright=right and last)
            ax.set_ylabel(names[row] if last else "")


def _crosses(axes: Any, errors: Array, limits: Sequence[tuple[float, float]]) -> None:
    for row, column in np.ndindex(axes.shape):
        if column > row:
            _cross(axes[row, column], errors[:, [column, row]], (limits[column], limits[row]))


def _legend(axes: Array, styles: Sequence[Look], notes: Sequence[str], *, both: bool) -> None:
    """What is drawn how, and what is not drawn: above the panels, or in the corner that they leave free."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], **look.line, label=look.name) for look in styles]
    handles.append(Line2D([], [], color=INK, lw=1.5, label="all"))
    handles.append(Line2D([], [], ls="", marker="o", ms=4, mew=0, color=_DENOISED, label="deconvolved"))
    if both:
        handles.append(Patch(color=PALE, label="as measured"))
        handles.append(Line2D([], [], ls="", marker="+", ms=8, mew=1.1, color=INK, label="median error"))
    figure, options = axes[0, 0].figure, _LEGEND | {"handles": handles, "title": "\n".join(notes) or None}
    if not both:
        # It reaches over the empty places at its left, which the layout would move away.
        axes[0, -1].legend(loc="upper right", ncols=1 + len(styles) // 6, **options).set_in_layout(False)
    elif figure.get_layout_engine() is not None:
        figure.legend(loc="outside upper center", ncols=len(axes) + 1, **options)
    else:
        axes[0, -1].legend(loc="lower right", bbox_to_anchor=(1.0, 1.04), ncols=len(axes) + 1, **options)


_LEGEND = {
    "frameon": False, "fontsize": _SMALL, "title_fontsize": _SMALL, "alignment": "left", "borderaxespad": 0.0,
    "handlelength": 1.6, "columnspacing": 1.2,
}  # fmt: skip


def _notes(fit: VelocityFit, shown: Portrait, limits: Sequence[tuple[float, float]], *, both: bool) -> list[str]:
    """What the picture does not show, counted."""
    s, notes = len(shown), []
    if s < shown.n:
        notes.append(f"{s:,} of {shown.n:,} stars drawn, of these")
    low, high = np.array(limits).T
    values = [_deconvolved(shown), *([shown.observed] if both and shown.observed is not None else [])]
    beyond = int(np.any([((v < low) | (v > high)).any(axis=1) for v in values], axis=0).sum())
    if beyond:
        notes.append(f"{plural(beyond, 'star')} beyond the edges")
    if shown.outlier.any():
        notes.append(f"{plural(int(shown.outlier.sum()), 'outlier')}, not deconvolved")
    if shown.observed is not None:
        gaps = zip(np.isnan(shown.observed).sum(axis=0).tolist(), fit.latent_names, strict=True)
        notes += [f"{plural(gap, 'star')} without {symbol(name)}" for gap, name in gaps if gap]
    return notes


# --- members ---------------------------------------------------------------------------------------------------------


def plot_membership(
    fit: VelocityFit,
    *,
    kin: Kinematics | KinematicsBlocks | None = None,
    axes: Any = None,
    threshold: float = THRESHOLD,
    components: Sequence[int] | None = None,
) -> Array:
    """Who belongs: stars on the sky, and in the first two dimensions, coloured by probability; (2,) Axes.

    Members lie on top, in an ellipse of two standard deviations. Velocities are those measured, or deconvolved ones
    where what is measured is a projection.

    Args:
        fit: what `fit_stream` or `deconvolve` gives.
        kin: the stars; None = those of the fit.
        axes: two Axes to draw in; None = a new figure.
        threshold: stars of this probability or more are drawn large, and counted.
        components: numbers of the components that are the population; None = the `members` of the fit.

    Raises:
        DataError: a fit without members, where no components are named.
    """
    ours = _population(fit, components)
    shown = portrait(fit, kin, components=ours, threshold=threshold)
    axes = _new(1, 2, PANEL)[0] if axes is None else np.asarray(axes).ravel()
    if axes.shape != (2,):
        raise DataError(f"axes must be two Axes; got {axes.shape}")
    frame, units = fit.kinematics.frame, fit.kinematics.latent_units
    _members(axes[0], np.stack([_unbroken(shown.lon), shown.lat], axis=1), shown, threshold, _told(shown, threshold))
    means, covariances = fit.mixture.means[list(ours), :2], fit.mixture.covariances[list(ours), :2, :2]
    reach = _LEVELS[-1] * np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))
    whole = np.concatenate([means - reach, means + reach])
    points = _members(axes[1], shown.values[:, :2], shown, threshold, "ellipse: 2σ, errors taken out", whole)
    axes[0].set(xlabel=sky(frame.lon_name), ylabel=sky(frame.lat_name))
    axes[1].set(xlabel=label(fit.latent_names[0], units[0]), ylabel=label(fit.latent_names[1], units[1]))
    for mean, covariance in zip(means, covariances, strict=True):
        _ellipses(axes[1], mean, covariance, Look(INK, "-", 1.3, 0.0, ""), levels=_LEVELS[-1:])
    bar = axes[0].figure.colorbar(points, ax=list(axes), label="probability of membership", pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=_SMALL)
    return axes


def plot_purity(fit: Any, *, ax: Axes | None = None) -> Axes:
    """What a threshold on the probability of membership buys: purity and completeness.

    Args:
        fit: what `fit_stream` gives, or a table of `purity_completeness`; dashed: the true shares, where the table has
            them.
        ax: where to draw; None = a new figure.
    """
    ax = _axes(ax)
    table = purity_completeness(probabilities(fit)) if isinstance(fit, VelocityFit) else fit
    at = np.asarray(table["threshold"])
    for name, color in (("purity", PALETTE[0]), ("completeness", PALETTE[1])):
        ax.plot(at, table[name], color=color, lw=1.8, label=name)
        if f"true_{name}" in table.colnames:
            ax.plot(at, table[f"true_{name}"], color=color, lw=1.2, ls="--", label=f"true {name}")
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.02), xlabel="threshold on the probability of membership", ylabel="share")
    ax.legend(frameon=False, fontsize=_SMALL, loc="lower center")
    return _dress(ax)


def _population(fit: VelocityFit, components: Sequence[int] | None) -> tuple[int, ...]:
    ours = tuple(fit.members if components is None else components)
    if not ours:
        raise DataError("membership is of a population: name its components=, or fit a stream, whose members are known")
    return ours


def _members(
    ax: Axes, xy: Array, shown: Portrait, threshold: float, words: str, whole: Array | None = None
) -> PathCollection:
    """Stars coloured by probability, the likeliest on top, those above the threshold large; `whole` stays inside."""
    from matplotlib.colors import LinearSegmentedColormap

    assert shown.p is not None
    held = np.flatnonzero(np.isfinite(xy).all(axis=1))
    order = held[np.argsort(shown.p[held], kind="stable")]
    small, large = np.clip([4e3 / len(xy), 8e3 / max(int((shown.p >= threshold).sum()), 1)], [0.8, 3.0], [6.0, 14.0])
    x, y = xy[order].T
    points = ax.scatter(
        x, y, c=shown.p[order], s=np.where(shown.p[order] >= threshold, large, small), vmin=0.0, vmax=1.0,
        cmap=LinearSegmentedColormap.from_list("membership", _CHANCES), linewidths=0, rasterized=True,
    )  # fmt: skip
    inside = np.concatenate([xy[shown.p >= threshold], np.empty((0, 2)) if whole is None else whole])
    low, high = np.array([_widened(*_spanned(*columns)) for columns in zip(xy.T, inside.T, strict=True)]).T
    _dress(ax).set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.locator_params(nbins=5)
    ax.tick_params(labelsize=_SMALL)
    if not len(held):
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "none of the stars has a value here", transform=ax.transAxes, ha="center", fontsize=_SMALL)
    beyond, gaps = int(((xy < low) | (xy > high)).any(axis=1).sum()), len(xy) - len(held)
    absent = [f"{beyond:,} beyond the edges"] * (beyond > 0) + [f"{gaps:,} without a value"] * (gaps > 0)
    _say(ax, "\n".join([words, *([", ".join(absent)] if absent else [])]))
    return points


def _told(shown: Portrait, threshold: float) -> str:
    """How many stars are members, and how many of the others are drawn."""
    assert shown.p is not None
    member = int((shown.p >= threshold).sum())
    drawn = "" if len(shown) == shown.n else f", {len(shown) - member:,} others drawn"
    return f"{member:,} of {plural(shown.n, 'star')} with P ≥ {threshold:g}{drawn}"


def _spanned(values: Array, inside: Array) -> tuple[float, float]:
    """The range of almost all values, and of all those that must be inside."""
    inside = inside[np.isfinite(inside)]
    low, high = _reach(values)
    return min(low, float(inside.min(initial=low))), max(high, float(inside.max(initial=high)))


def _unbroken(lon: Array) -> Array:
    """Longitudes cut in the widest gap between stars, so that no group is torn; as they are all around the sky."""
    held = np.sort(np.mod(lon[np.isfinite(lon)], 360.0))
    if not len(held):
        return lon
    gaps = np.diff(held, append=held[0] + 360.0)
    if gaps.max() < _GAP:
        return np.mod(lon, 360.0)
    start = held[(int(gaps.argmax()) + 1) % len(held)]
    turned = start + np.mod(lon - start, 360.0)
    return turned - (360.0 if np.nanmax(turned) >= 360.0 else 0.0)


# --- radial velocities -----------------------------------------------------------------------------------------------


def plot_calibration(calibration: Calibration, *, ax: Axes | None = None) -> Axes:
    """How predicted radial velocities fare: quantiles of the measured ones, beside uniform ones and their scatter.

    Args:
        calibration: of `VelocityFit.calibrate_radial_velocity`.
        ax: where to draw; None = a new figure.
    """
    ax, n = _axes(ax), len(calibration.quantiles)
    bins = int(np.clip(n // 10, 5, 20))
    counts, edges = np.histogram(calibration.quantiles, bins=bins, range=(0.0, 1.0))
    low, high = binom.interval(_BAND, n, 1.0 / bins)
    ax.axhspan(float(low), float(high), color="#DDDDDD", lw=0, label=f"{100 * _BAND:.0f} % of bins, if uniform")
    ax.axhline(n / bins, color=INK, lw=1.0, ls="--", label="uniform")
    ax.stairs(counts, edges, color=PALETTE[0], lw=1.9, baseline=0.0, label=plural(n, "star"))
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.45 * max(float(counts.max()), float(high))))
    ax.set(xlabel="quantile of the measured radial velocity in its prediction", ylabel="stars per bin")
    ax.legend(frameon=False, fontsize=_SMALL, loc="upper center", ncols=3, columnspacing=1.2, handlelength=1.5)
    _say(ax, verdict(calibration))
    return _dress(ax)


def plot_radial_velocities(calibration: Calibration, *, ax: Axes | None = None) -> Axes:
    """Measured against predicted radial velocities with the standard deviations of both; on the line they agree.

    Args:
        calibration: of `VelocityFit.calibrate_radial_velocity`.
        ax: where to draw; None = a new figure.
    """
    ax, n = _axes(ax), len(calibration.rows)
    some = np.sort(np.random.default_rng(0).permutation(n)[:_MOST_BARS])
    x, y = calibration.predicted[some], calibration.measured[some]
    ax.errorbar(
        x, y, xerr=calibration.predicted_error[some], yerr=calibration.measured_error[some], fmt="o",
        ms=float(np.clip(60.0 / np.sqrt(len(some)), 1.8, 4.5)), mew=0, color=PALETTE[0], ecolor="#A9BFD0",
        elinewidth=0.6, alpha=0.9, rasterized=True,
    )  # fmt: skip
    low, high = np.array([_reach(x), _reach(y)]).T
    limits = _widened(float(low.min()), float(high.max()), float(np.median(calibration.predicted_error)))
    ax.plot(limits, limits, color=INK, lw=1.1, ls="--", zorder=5)
    ax.set(
        xlim=limits, ylim=limits, xlabel="predicted radial velocity (km/s)", ylabel="measured (km/s)", aspect="equal"
    )
    beyond = int(((np.minimum(x, y) < limits[0]) | (np.maximum(x, y) > limits[1])).sum())
    words = plural(n, "star") if len(some) == n else f"{len(some):,} of {n:,} stars drawn"
    _say(ax, f"{words}, {beyond:,} beyond the edges" if beyond else words)
    return _dress(ax)


# --- numbers of components -------------------------------------------------------------------------------------------


def plot_choices(fit: Any, *, ax: Axes | None = None) -> Axes:
    """The numbers of components that were tried: held-out log-likelihood where it was measured, else BIC.

    Args:
        fit: what `deconvolve` gives for several numbers of components, or its table `choices`.
        ax: where to draw; None = a new figure.

    Raises:
        DataError: a fit of one number of components.
    """
    table = fit.choices if isinstance(fit, VelocityFit) else fit
    if table is None:
        raise DataError("one number of components was fitted: pass several to deconvolve to compare them")
    ax, (name, words) = _axes(ax), _CRITERIA["held_out" in table.colnames]
    k, score = np.asarray(table["n_components"]), np.asarray(table[name], dtype=float)
    order, best = np.argsort(k), np.asarray(table["best"], dtype=bool)
    ax.plot(k[order], score[order], color=PALETTE[0], lw=1.4, marker="o", ms=5)
    ax.plot(k[best], score[best], ls="", marker="o", ms=12, mfc="none", mec=PALETTE[1], mew=2.0, label="chosen")
    ax.locator_params(axis="x", integer=True)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set(xlabel="number of components", ylabel=words)
    ax.legend(frameon=False, fontsize=_SMALL)
    return _dress(ax)


#: Whether stars were held out -> the column that chose, and what it is.
_CRITERIA = {True: ("held_out", "held-out log-likelihood per star (nats)"), False: ("bic", "BIC (smaller is better)")}


# --- paper -----------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None) -> Axes:
    return _new(1, 1, (4.8, 3.6))[0, 0] if ax is None else ax


def _new(rows: int, columns: int, panel: tuple[float, float]) -> Array:
    """(rows, columns) Axes of a new figure."""
    import matplotlib.pyplot as plt

    size = columns * panel[0], rows * panel[1]
    return np.asarray(plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")[1])


def _say(ax: Axes, words: str) -> None:
    ax.set_title(words, loc="left", fontsize=_SMALL, color=INK)


def _dress(ax: Axes) -> Axes:
    """A faint grid, no box."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color=_FAINT, lw=0.6)
    ax.set_axisbelow(True)
    return ax
