"""Pictures of mixtures and fits: every function takes `ax=None` and returns the Axes; no fit is made here.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; a component keeps its colour everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture
from mixsci.engine.em.result import Fit
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels.circular import log_normaliser
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mixsci.engine.inference.select import Selection

Array = np.ndarray

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#4D4D4D",
    "#882255", "#44AA99", "#999933", "#332288", "#DDCC77", "#117733", "#AA4499", "#88CCEE",
)  # fmt: skip
_INK, _PALE = "#262626", "#9A9A9A"
#: More components than this are told apart by their place alone.
_MOST_LABELS = 20
#: Covariances of more variables than this are too large to be worth drawing two of.
_MOST_VARIABLES = 200


def plot_fit(fit: Fit, ax: Axes | None = None, **options: Any) -> Axes:
    """The mixture found: its density in one dimension, else the ellipses of the first two; `Fit.plot` calls it.

    Where rows have angles: the first of them on its circle.
    """
    if isinstance(fit.mixture, CircularMixture):
        return plot_circle(fit, ax=ax, **options)
    draw = plot_density if fit.mixture.n_variables == 1 else plot_ellipses
    return draw(fit, ax=ax, **options)


def plot_ellipses(
    mixture: Mixture | Fit,
    dims: Sequence[int] = (0, 1),
    *,
    ax: Axes | None = None,
    levels: Sequence[float] = (1.0, 2.0),
    points: Any = None,
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """Every component as ellipses in two of its dimensions; a component without spread is a cross.

    Args:
        mixture: a `Mixture` or a `Fit`. Weights are pooled over groups, offsets left out.
        dims: which two dimensions.
        ax: where to draw; None = a new figure.
        levels: radii of the ellipses, in standard deviations (1 and 2 hold 39 % and 86 % of a component).
        points: rows to draw behind them, (n, D) or `Observations`; those with a gap in either dimension are left out.
        names: names of all dimensions; None = those of the fit.
        labels: write number and weight beside each component.

    Example:
        >>> import mixsci as mx
        >>> two = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [5.0, 5.0]], [[[1.0, 0.0], [0.0, 1.0]]] * 2)
        >>> mx.plot.plot_ellipses(two).get_xlabel()
        'x0'
    """
    here = _mixture_of(mixture)
    i, j = _two(dims, here.n_dims)
    ax = _axes(ax)
    _scatter(ax, points, (i, j))
    for k in range(here.n_components):
        _component(ax, here.means[k, [i, j]], here.covariances[k][np.ix_([i, j], [i, j])], levels, k)
    if labels:
        _write_weights(ax, here, (i, j), levels)
    ax.autoscale_view()
    named = _names(mixture, names)
    return _dress(ax, named[i], named[j])


def plot_density(
    mixture: Mixture | Fit,
    dim: int = 0,
    *,
    ax: Axes | None = None,
    data: Any = None,
    bins: int | str = "auto",
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """The density of one dimension, and what each component adds to it; a component without spread is a line.

    Args:
        mixture: a `Mixture` or a `Fit`. Weights are pooled over groups, offsets left out.
        dim: which dimension.
        ax: where to draw; None = a new figure.
        data: (n,) or (n, D) values, or `Observations`, for a histogram behind it. Where they carry noise the histogram
            is wider than the density, which is free of it.
        bins: of the histogram, as numpy takes them.
        names: names of all dimensions; None = those of the fit.
        labels: a legend with the weight of each component.
    """
    here, ax = _mixture_of(mixture), _axes(ax)
    _histogram(ax, data, dim, bins)
    grid, parts = _parts(here, dim)
    for k, part in enumerate(parts):
        _add_part(ax, grid, part, here, dim, k)
    ax.plot(grid, parts.sum(axis=0) + _background(here, dim, grid), color=_INK, lw=1.6, label="all")
    ax.set_ylim(bottom=0.0)
    if labels and here.n_components <= _MOST_LABELS:
        ax.legend(frameon=False, fontsize="small")
    return _dress(ax, _names(mixture, names)[dim], "density")


def plot_selection(selection: Selection, *, ax: Axes | None = None) -> Axes:
    """The criterion of a `Selection` over the number of components, a line for each covariance.

    The minimum stands in a ring, the elbow in a square; in the grey band an information criterion cannot tell fits from
    the best. Hollow marks are fits that did not come to their end.

    Args:
        selection: of `mixsci.select`.
        ax: where to draw; None = a new figure.
    """
    from mixsci.engine.inference.select import CRITERIA, UNDECIDED

    ax, criterion = _axes(ax), CRITERIA[selection.criterion]
    for i, name in enumerate(dict.fromkeys(one.covariance for one in selection.candidates)):
        own = [one for one in selection.candidates if one.covariance == name]
        values = [criterion.value(one) for one in own]
        ax.plot([one.n_components for one in own], values, "-o", color=_color(i), ms=5, lw=1.3, label=name)
        failed = [(one.n_components, v) for one, v in zip(own, values, strict=True) if not one.fit.converged]
        ax.plot(*zip(*failed, strict=True) if failed else ([], []), "o", color=_color(i), mfc="white", ms=5)
    best = selection.of_each_number
    for k, mark, what in ((selection.minimum, "o", "minimum"), (selection.elbow, "s", "elbow")):
        ax.plot(k, criterion.value(best[k]), mark, ms=13, mfc="none", mec=_INK, mew=1.3, label=f"{what}, K = {k}")
    if not criterion.errors:
        least = criterion.value(best[selection.minimum])
        ax.axhspan(least, least + UNDECIDED, color=_PALE, alpha=0.35, linewidth=0, zorder=0)
    ax.set_xticks(sorted(best))
    ax.legend(frameon=False, fontsize="small")
    what = f"minus {criterion.words} (nats)" if criterion.errors else criterion.words
    return _dress(ax, "number of components K", what)


def plot_circle(
    mixture: CircularMixture | Fit,
    column: int | None = None,
    *,
    ax: Axes | None = None,
    data: Any = None,
    bins: int = 36,
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """The density of an angle on its circle, and what each component adds to it: areas, not radii, are shares.

    Args:
        mixture: a `CircularMixture` or its `Fit`. Weights are pooled over groups.
        column: which column; None = the first angle.
        ax: polar Axes; None = a new figure. The angle 0 is on the right and angles go anticlockwise.
        data: (n,) or (n, m) values, or `Observations`, for a rose histogram behind it.
        bins: sectors of the rose.
        names: names of all columns; None = those of the fit.
        labels: a legend with the weight of each component.

    Example:
        >>> import mixsci as mx
        >>> hours = mx.CircularMixture([1.0], directions=[[23.0]], concentrations=[[5.0]], period=24)
        >>> mx.plot.plot_circle(hours).get_xticklabels()[1].get_text()
        '3'
    """
    here = mixture.mixture if isinstance(mixture, Fit) else mixture
    if not isinstance(here, CircularMixture):
        raise DataError(f"a circle shows a mixture with angles; got {type(here).__name__}: use plot_density")
    column = here.angles[0] if column is None else column
    if column not in here.angles:
        raise DataError(f"column must be one of the angles {list(here.angles)}; got {column}")
    ax = _polar(ax)
    a = here.angles.index(column)
    _rose(ax, data, column, float(here.period[a]), bins)
    turn, parts = _parts_on_circle(here, a)
    for k, part in enumerate(parts):
        weight = _percent(float(here.pooled_weights[k]) * _foreground(here))
        ax.fill(turn, np.sqrt(2.0 * part), facecolor=_color(k), alpha=0.25, lw=0)
        ax.plot(turn, np.sqrt(2.0 * part), color=_color(k), lw=1.3, label=f"{k}: {weight}")
    outside = (1.0 - _foreground(here)) / TURN
    ax.plot(turn, np.sqrt(2.0 * (parts.sum(axis=0) + outside)), color=_INK, lw=1.6, label="all")
    if labels and here.n_components <= _MOST_LABELS:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return _dress_circle(ax, float(here.period[a]), _names(mixture, names)[column])


def plot_history(fit: Fit, *, ax: Axes | None = None) -> Axes:
    """What each pass over the data still had to gain, in nats on a logarithmic axis: a sound climb falls straight."""
    ax = _axes(ax)
    left = fit.objective + fit.gap - np.array(fit.history)
    passes = np.arange(1, len(left) + 1)
    seen = np.isfinite(left) & (left > 0)
    ax.plot(passes[seen], left[seen], color=PALETTE[0], marker="o", ms=3.5, lw=1.4)
    ax.set_yscale("log" if seen.any() else "linear")
    ax.locator_params(axis="x", integer=True)
    ax.set_title(fit.outcome.name.replace("_", " ").lower(), loc="left", fontsize="small", color=_PALE)
    return _dress(ax, "passes over the data", "left to gain (nats)")


def plot_responsibilities(
    r: Array, x: Any = None, *, ax: Axes | None = None, dims: Sequence[int] = (0, 1), names: Sequence[str] | None = None
) -> Axes:
    """Which component each row belongs to, undecided rows between the colours.

    Args:
        r: (n, K) responsibilities. What rows lack to one (a background) is pale.
        x: None: a strip per row, sorted. (n,) or (n, 1): the same along x. (n, D) or `Observations`: points in two
            dimensions, in the mixed colours of their components. Rows with a gap where they would be drawn stay out.
        ax: where to draw; None = a new figure.
        dims: which two dimensions.
        names: names of all dimensions.
    """
    r, ax = np.asarray(r, dtype=float), _axes(ax)
    if r.ndim != 2:
        raise DataError(f"responsibilities must have shape (n, K); got {r.shape}")
    values = None if x is None else _values(x)
    if values is not None and len(values) != len(r):
        raise DataError(f"x must have the {len(r)} rows of the responsibilities; got {len(values)}")
    if values is not None and values.shape[1] > 1:
        i, j = _two(dims, values.shape[1])
        ax.scatter(values[:, i], values[:, j], c=_mixed(r), s=14, linewidths=0)
        named = _names(x, names, values.shape[1])
        return _dress(ax, named[i], named[j])
    return _strips(ax, r, values, _names(x, names, 1)[0])


def plot_pairs(
    mixture: Mixture | Fit, *, axes: Any = None, points: Any = None, names: Sequence[str] | None = None, most: int = 5
) -> Array:
    """All pairs of the first few dimensions as ellipses, with each one's density on the diagonal; (D, D) Axes.

    Args:
        mixture: a `Mixture` or a `Fit`.
        axes: (D, D) Axes to draw in; None = a new figure.
        points: rows to draw behind, (n, D) or `Observations`.
        names: names of all dimensions; None = those of the fit.
        most: dimensions at most.
    """
    d, named = min(_mixture_of(mixture).n_dims, most), _names(mixture, names)
    axes = _grid(d) if axes is None else np.asarray(axes)
    if axes.shape != (d, d):
        raise DataError(f"axes must have shape (D, D) = {(d, d)}; got {axes.shape}")
    for row in range(d):
        for column in range(d):
            _pair(axes[row, column], mixture, row, column, points, named, last=row == d - 1)
    _align(axes)
    return axes


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


def _pair(
    ax: Axes, mixture: Mixture | Fit, row: int, column: int, points: Any, names: Sequence[str], *, last: bool
) -> None:
    if column > row:
        ax.set_axis_off()
    elif column == row:
        plot_density(mixture, row, ax=ax, data=points, names=names, labels=row == 0)
        ax.set(yticks=[], ylabel="")
    else:
        plot_ellipses(mixture, (column, row), ax=ax, points=points, names=names, labels=False)
        ax.set_ylabel(ax.get_ylabel() if column == 0 else "")
    ax.set_xlabel(ax.get_xlabel() if last else "")


def _align(axes: Array) -> None:
    """The same range for a dimension wherever it is drawn."""
    d = len(axes)
    for j in range(d):
        ranges = [axes[row, j].get_xlim() for row in range(j, d)] + [axes[j, column].get_ylim() for column in range(j)]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        for row in range(j, d):
            axes[row, j].set_xlim(low, high)
        for column in range(j):
            axes[j, column].set_ylim(low, high)


def _mixture_of(mixture: Mixture | Fit) -> Mixture:
    """The mixture in its variables; of one of factors pooled over groups."""
    found = mixture.mixture if isinstance(mixture, Fit) else mixture
    if isinstance(found, CircularMixture):
        raise DataError("angles are drawn by plot_circle, other columns as marginal([...]) of them")
    if not isinstance(found, FactorMixture):
        return found
    if found.n_variables > _MOST_VARIABLES:
        raise DataError(
            f"a mixture of factors is drawn in at most {_MOST_VARIABLES} variables; got {found.n_variables}: draw its "
            "marginal([...]) of some"
        )
    pooled = replace(found, weights=found.pooled_weights, group_labels=None, group_rows=None, shifts=None)
    return pooled.dense()


def _names(owner: Any, names: Sequence[str] | None, count: int | None = None) -> list[str]:
    """Names of all dimensions: those given, those of the fit or the observations, or x0, x1 ..."""
    if count is None:
        count = (owner.mixture if isinstance(owner, Fit) else owner).n_variables
    found = list(names if names is not None else getattr(owner, "names", None) or ())
    if names is not None and len(found) != count:
        raise DataError(f"names must name all {count} dimensions; got {found}")
    return [str(name) for name in found] if len(found) == count else [f"x{j}" for j in range(count)]


def _values(points: Any) -> Array:
    """(n, D) values of an array or of `Observations`."""
    values = np.asarray(getattr(points, "x", points), dtype=float)
    return values[:, None] if values.ndim == 1 else values


def _two(dims: Sequence[int], n_dims: int) -> tuple[int, int]:
    if len(dims) != 2 or not all(0 <= dim < n_dims for dim in dims):
        raise DataError(f"dims must be two of the dimensions 0 to {n_dims - 1}; got {tuple(dims)}")
    return int(dims[0]), int(dims[1])


def _color(k: int) -> str:
    return PALETTE[k % len(PALETTE)]


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5.2, 3.9), layout="constrained")[1]


def _grid(d: int) -> Array:
    import matplotlib.pyplot as plt

    return np.asarray(
        plt.subplots(d, d, figsize=(2.6 * d + 0.6, 2.3 * d + 0.4), squeeze=False, layout="constrained")[1]
    )


def _polar(ax: Axes | None) -> Axes:
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(figsize=(5.4, 4.2), subplot_kw={"projection": "polar"}, layout="constrained")[1]
    if ax.name != "polar":
        raise DataError('a circle needs polar Axes: plt.subplots(subplot_kw={"projection": "polar"})')
    return ax


def _rose(ax: Axes, data: Any, column: int, period: float, bins: int) -> None:
    """Sectors whose areas are the shares of the rows in them."""
    if data is None:
        return
    values = _values(data)
    values = values[:, column if values.shape[1] > 1 else 0]
    values = np.mod(values[np.isfinite(values)], period) * (TURN / period)
    density, edges = np.histogram(values, bins=bins, range=(0.0, TURN), density=True)
    ax.bar(
        edges[:-1], np.sqrt(2.0 * density), width=np.diff(edges), align="edge", color="#D9D9D9", edgecolor="white",
        linewidth=0.4, label="rows",
    )  # fmt: skip


def _parts_on_circle(mixture: CircularMixture, a: int) -> tuple[Array, Array]:
    """A grid (t,) of radians that resolves every component, and what each adds to the density (K, t) per radian."""
    centre, kappa = mixture.directions[:, a] * (TURN / mixture.period[a]), mixture.concentrations[:, a]
    reach = np.sinh(np.linspace(-6.0, 6.0, 181)) / np.sinh(6.0) * np.pi
    grid = np.sort(np.mod(np.concatenate([(centre[:, None] + reach).ravel(), np.linspace(0.0, TURN, 181)]), TURN))
    grid = np.append(grid, TURN + grid[0])
    apart = -2.0 * kappa[:, None] * np.sin((grid - centre[:, None]) / 2.0) ** 2
    density = np.exp(apart - log_normaliser(kappa)[:, None]) / TURN
    return grid, (mixture.pooled_weights * _foreground(mixture))[:, None] * density


def _dress_circle(ax: Axes, period: float, name: str) -> Axes:
    """Angles in their own units around the circle, no radii."""
    ticks = np.arange(8) / 8
    ax.set_xticks(TURN * ticks, [f"{period * tick:.4g}" for tick in ticks])
    ax.set_yticks([])
    ax.set_xlabel(name.replace("$", r"\$"))
    ax.grid(visible=True, color="#E6E6E6", lw=0.6)
    ax.set_axisbelow(True)
    return ax


def _dress(ax: Axes, x_name: str, y_name: str) -> Axes:
    """Names on the axes, a faint grid, no box."""
    # A dollar sign would open a formula: names are text.
    ax.set_xlabel(x_name.replace("$", r"\$"))
    ax.set_ylabel(y_name.replace("$", r"\$"))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color="#E6E6E6", lw=0.6)
    ax.set_axisbelow(True)
    return ax


def _percent(weight: float) -> str:
    return f"{weight:.0%}" if weight >= 0.095 or weight == 0 else f"{weight:.1%}" if weight >= 0.001 else "<0.1%"


def _scatter(ax: Axes, points: Any, dims: tuple[int, int]) -> None:
    if points is None:
        return
    x, y = _values(points)[:, list(dims)].T
    size = float(np.clip(3000 / max(len(x), 1), 1.5, 12.0))
    ax.scatter(x, y, s=size, color=_PALE, alpha=0.45, linewidths=0, rasterized=True, zorder=1)


def _component(ax: Axes, mean: Array, covariance: Array, levels: Sequence[float], k: int) -> None:
    from matplotlib.patches import Ellipse

    values, vectors = np.linalg.eigh(covariance)
    axes = 2.0 * np.sqrt(np.maximum(values, 0.0))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    for level in levels:
        shape = {"xy": mean, "width": level * axes[1], "height": level * axes[0], "angle": angle}
        ax.add_patch(Ellipse(**shape, facecolor=_color(k), alpha=0.16, linewidth=0, zorder=2))
        ax.add_patch(Ellipse(**shape, fill=False, edgecolor=_color(k), linewidth=1.4, zorder=3))
    ax.plot(*mean, marker="+" if values[1] > 0 else "x", color=_color(k), ms=7, mew=1.6, zorder=4)


def _write_weights(ax: Axes, mixture: Mixture, dims: tuple[int, int], levels: Sequence[float]) -> None:
    """Number and weight above the widest ellipse of each component, on a white rim."""
    from matplotlib.patheffects import withStroke

    if mixture.n_components > _MOST_LABELS:
        return
    i, j = dims
    for k, weight in enumerate(mixture.pooled_weights):
        top = mixture.means[k, j] + max(levels, default=0.0) * np.sqrt(max(mixture.covariances[k, j, j], 0.0))
        text = ax.annotate(
            f"{k}: {_percent(weight)}", (mixture.means[k, i], top), (0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize="small", fontweight="bold", color=_color(k), zorder=6,
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _histogram(ax: Axes, data: Any, dim: int, bins: int | str) -> None:
    if data is None:
        return
    values = _values(data)
    values = values[:, dim if values.shape[1] > 1 else 0]
    values = values[np.isfinite(values)]
    if len(values):
        ax.hist(values, bins=bins, density=True, color="#D9D9D9", edgecolor="white", linewidth=0.4, label="rows")


def _parts(mixture: Mixture, dim: int) -> tuple[Array, Array]:
    """A grid (t,) that resolves every component, and w_k N(t; mu_k, sigma_k) (K, t); zero for those without spread."""
    mean, sigma = mixture.means[:, dim], np.sqrt(np.maximum(mixture.covariances[:, dim, dim], 0.0))
    reach = np.linspace(-3.6, 3.6, 145)
    grid = np.unique((mean[:, None] + np.maximum(sigma, 1e-3 * (np.ptp(mean) or 1.0))[:, None] * reach).ravel())
    width = np.where(sigma > 0, sigma, 1.0)
    share = np.where(sigma > 0, mixture.pooled_weights, 0.0) * _foreground(mixture)
    density = np.exp(-0.5 * ((grid - mean[:, None]) / width[:, None]) ** 2) / (np.sqrt(2 * np.pi) * width[:, None])
    return grid, share[:, None] * density


def _foreground(mixture: Mixture) -> float:
    return 1.0 if mixture.background is None else 1.0 - float(mixture.background.weight)


def _background(mixture: Mixture, dim: int, grid: Array) -> Array:
    if mixture.background is None:
        return np.zeros_like(grid)
    return np.exp(mixture.background.marginal([dim]).log_density(grid[None]))


def _add_part(ax: Axes, grid: Array, part: Array, mixture: Mixture, dim: int, k: int) -> None:
    label = f"{k}: {_percent(mixture.pooled_weights[k])}"
    if mixture.covariances[k, dim, dim] <= 0:
        ax.axvline(mixture.means[k, dim], color=_color(k), lw=1.6, ls="--", label=label)
        return
    ax.fill_between(grid, part, color=_color(k), alpha=0.18, linewidth=0)
    ax.plot(grid, part, color=_color(k), lw=1.3, label=label)


def _mixed(r: Array) -> Array:
    """(n, 3) colours: those of the components in the shares of their responsibilities."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(_color(k)) for k in range(r.shape[1])] + [to_rgb("#D9D9D9")])
    rest = np.clip(1.0 - r.sum(axis=1, keepdims=True), 0.0, 1.0)
    return np.clip(np.hstack([r, rest]) @ colors, 0.0, 1.0)


def _strips(ax: Axes, r: Array, values: Array | None, name: str) -> Axes:
    """Responsibilities stacked to one, in the order of x, or by component and then by certainty."""
    if values is None:
        order = np.lexsort([-r.max(axis=1, initial=0.0), r.argmax(axis=1)])
        at = np.arange(len(r))
    else:
        seen = np.flatnonzero(np.isfinite(values[:, 0]))
        order = seen[np.argsort(values[seen, 0])]
        at = values[order, 0]
    labels = [str(k) for k in range(r.shape[1])]
    ax.stackplot(at, r[order].T, colors=[_color(k) for k in range(r.shape[1])], labels=labels, linewidth=0)
    ax.set_ylim(0.0, 1.0)
    ax.margins(x=0.0)
    ax.legend(title="component", frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _dress(ax, "rows, sorted" if values is None else name, "responsibility")
