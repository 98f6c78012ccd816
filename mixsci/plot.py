"""Pictures of mixtures and fits: every function takes `ax=None` and returns the Axes; no fit is made here.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; a component keeps its colour everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture
from mixsci.engine.em.result import Fit
from mixsci.engine.evaluate import group_codes
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels.circular import see
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_numbers
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
_INK, _PALE, _FAINT = "#262626", "#9A9A9A", "#E8E8E8"
#: More components than this are told apart by their place alone.
_MOST_LABELS = 20
#: Covariances of more variables than this are too large to be worth drawing two of.
_MOST_VARIABLES = 200
#: Rows of more different errors than this are spoken for by as many of them.
_MOST_NOISES = 200
#: More bars than this are finer than a picture.
_MOST_BARS = 400
#: A density free of noise that rises above the rows by more than this factor is cut there.
_CUT, _IS_CUT = 2.5, " (cut"
#: A range of so many times what tells nothing is drawn on a scale that is logarithmic above it.
_WIDE = 12.5
#: Names that an error message lists.
_MOST_NAMES = 30


def plot_fit(fit: Fit, ax: Axes | None = None, **options: Any) -> Axes:
    """The mixture found: its density in one dimension, else the ellipses of the first two; `Fit.plot` calls it.

    Where rows have angles: the first of them on its circle. `data=`, `names=` and `labels=` are taken by all three.
    """
    if isinstance(fit.mixture, CircularMixture):
        return plot_circle(fit, ax=ax, **options)
    draw = plot_density if fit.mixture.n_variables == 1 else plot_ellipses
    return draw(fit, ax=ax, **options)


def plot_ellipses(
    mixture: Mixture | Fit,
    dims: Sequence[int | str] = (0, 1),
    *,
    ax: Axes | None = None,
    data: Any = None,
    levels: Sequence[float] = (1.0, 2.0),
    names: Sequence[str] | None = None,
    labels: bool = True,
) -> Axes:
    """Every component as ellipses in two of its dimensions; a component without spread is a cross.

    Args:
        mixture: a `Mixture` or a `Fit`. Weights are pooled over groups, offsets left out.
        dims: which two dimensions, by number or name.
        ax: where to draw; None = a new figure.
        data: rows to draw behind them, (n, D) or `Observations`, as measured but for the offset of their group; those
            with a gap in either dimension are left out.
        levels: radii of the ellipses, in standard deviations (1 and 2 hold 39 % and 86 % of a component).
        names: names of all dimensions; None = those of the fit.
        labels: write number and share of the rows beside each component.

    Raises:
        DataError: dimensions that are none, rows of other columns or through a projection.

    Example:
        >>> import mixsci as mx
        >>> two = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [5.0, 5.0]], [[[1.0, 0.0], [0.0, 1.0]]] * 2)
        >>> mx.plot.plot_ellipses(two).get_xlabel()
        'x0'
    """
    here, named = _mixture_of(mixture), _names(mixture, names)
    i, j = _two(dims, named)
    rows = _rows(data, mixture, [i, j])
    ax = _axes(ax)
    _scatter(ax, rows)
    for k in range(here.n_components):
        _component(ax, here.means[k, [i, j]], here.covariances[k][np.ix_([i, j], [i, j])], levels, k)
    if labels:
        _write_weights(ax, here, (i, j), levels)
    ax.autoscale_view()
    return _dress(ax, named[i], named[j])


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
    here, named = _mixture_of(mixture), _names(mixture, names)
    dim = _place(dim, named, "dim must be one of")
    rows = _rows(data, mixture, [dim])
    ax = _axes(ax)
    bars = _histogram(ax, rows, bins)
    grid, parts = _parts(here, dim)
    for k, part in enumerate(parts):
        _add_part(ax, grid, part, here, dim, k)
    _add_background(ax, grid, outside := _background(here, dim, grid), here)
    whole, noise = parts.sum(axis=0) + outside, _noise_of(rows)
    _add_whole(ax, grid, whole, blurred=noise is not None)
    ax.set_ylim(bottom=0.0)
    if noise is not None:
        _add_measured(ax, *_blurred(here, dim, noise), bars, f"; peak {whole.max():.3g}")
    if labels and here.n_components <= _MOST_LABELS:
        ax.legend(frameon=False, fontsize="small")
    return _dress(ax, named[dim], "density")


def plot_selection(selection: Selection, *, ax: Axes | None = None) -> Axes:
    """The criterion of a `Selection` over the number of components, above that of the best, a line for each covariance.

    The minimum stands in a ring, the elbow in a square, and hollow marks are fits that did not come to their end. In
    the grey band an information criterion cannot tell fits from the best; where rows or values were left out, it cannot
    where the bar, a standard error of the difference over the folds, comes down to 0. A wide range is logarithmic above
    what is undecided.

    Args:
        selection: of `mixsci.select`.
        ax: where to draw; None = a new figure.
    """
    from mixsci.engine.inference.select import CRITERIA, UNDECIDED

    ax, criterion, each = _axes(ax), CRITERIA[selection.criterion], selection.of_each_number
    best, elbow = each[selection.minimum], each[selection.elbow]
    least, ones = criterion.value(best), selection.candidates
    heights = np.array([criterion.value(one) - least for one in ones])
    errors = np.array([criterion.error(one, best) for one in ones])
    families = np.array([one.covariance for one in ones])
    for i, name in enumerate(dict.fromkeys(families.tolist())):
        own = np.flatnonzero(families == name)
        done = np.array([ones[j].fit.converged for j in own])
        _line(ax, [ones[j].n_components for j in own], heights[own], done, errors[own], label=name, color=_color(i))
    _ring(ax, best.n_components, 0.0, "o", 11, f"minimum, K = {best.n_components}")
    _ring(ax, elbow.n_components, criterion.value(elbow) - least, "s", 13, f"elbow, K = {elbow.n_components}")
    if not all(one.fit.converged for one in ones):
        ax.plot([], [], "o", color=_PALE, mfc="white", ms=5, label="not at its end")
    _say_undecided(ax, 0.0 if criterion.unit else UNDECIDED)
    reach = np.nan_to_num(errors)
    ends = np.concatenate([heights - reach, heights + reach])
    _above(ax, ends, _scale_of(errors) if criterion.unit else UNDECIDED)
    ax.set_xticks(sorted(each))
    ax.legend(frameon=False, fontsize="small", markerscale=0.7)
    lost = f"{criterion.words}:\nloss against {-least:,.4g} of the best ({criterion.unit})"
    return _dress(ax, "number of components K", lost if criterion.unit else f"{criterion.words} above {least:,.1f}")


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
    named = _names(mixture, names)
    column = _place(
        here.angles[0] if column is None else column, named, "column must be one of the angles", here.angles
    )
    rows, ax = _rows(data, mixture, [column]), _polar(ax)
    a = here.angles.index(column)
    period = float(here.period[a])
    bars = _rose(ax, rows, period, bins)
    turn = _turns(here, a)
    parts = _shares(here)[:, None] * _on_circle(here, a, turn)
    for k, part in enumerate(parts):
        ax.fill(turn, np.sqrt(2.0 * part), facecolor=_color(k), alpha=0.25, lw=0)
        ax.plot(turn, np.sqrt(2.0 * part), color=_color(k), lw=1.3, label=_share_label(here, k))
    outside = _background_on_circle(here, column, a, turn)
    _add_background(ax, turn, np.sqrt(2.0 * outside), here)
    whole, noise = parts.sum(axis=0) + outside, _noise_of(rows)
    _add_whole(ax, turn, np.sqrt(2.0 * whole), blurred=noise is not None)
    ax.set_ylim(bottom=0.0)
    if noise is not None:
        measured = outside + _blurred_on_circle(here, a, turn, noise)
        _add_measured(ax, turn, np.sqrt(2.0 * measured), bars)
    if labels and here.n_components <= _MOST_LABELS:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return _dress_circle(ax, period, named[column])


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
    r: Array,
    data: Any = None,
    *,
    ax: Axes | None = None,
    dims: Sequence[int | str] = (0, 1),
    names: Sequence[str] | None = None,
) -> Axes:
    """Which component each row belongs to, undecided rows between the colours.

    Args:
        r: (n, K) responsibilities. What rows lack to one (a background) is pale.
        data: None: a strip per row, sorted. (n,) or (n, 1): the same along it. (n, m) or `Observations`: points in two
            of their columns, as measured, in the mixed colours of their components. Rows with a gap where they would be
            drawn stay out.
        ax: where to draw; None = a new figure.
        dims: which two columns, by number or name.
        names: names of all columns; None = those of the data.

    Raises:
        DataError: responsibilities of other rows, columns that are none.
    """
    r = np.asarray(r, dtype=float)
    if r.ndim != 2:
        raise DataError(f"responsibilities must have shape (n, K); got {r.shape}")
    rows = None if data is None else _observed(data)
    if rows is not None and len(rows) != len(r):
        raise DataError(f"data must have the {len(r)} rows of the responsibilities; got {len(rows)}")
    if rows is None or rows.width == 1:
        name = "rows, sorted" if rows is None else _names(rows, names, 1)[0]
        return _strips(_axes(ax), r, None if rows is None else _seen_values(rows)[:, 0], name)
    named = _names(rows, names, rows.width)
    i, j = _two(dims, named)
    ax, values = _axes(ax), _seen_values(rows)
    ax.scatter(values[:, i], values[:, j], c=_mixed(r), s=14, linewidths=0)
    _legend_of_colours(ax, r)
    return _dress(ax, named[i], named[j])


def plot_pairs(
    mixture: Mixture | Fit,
    dims: Sequence[int | str] | None = None,
    *,
    axes: Any = None,
    data: Any = None,
    names: Sequence[str] | None = None,
    most: int = 5,
) -> Array:
    """All pairs of a few dimensions as ellipses, with each one's density on the diagonal; (D, D) Axes.

    Args:
        mixture: a `Mixture` or a `Fit`.
        dims: which D dimensions, by number or name; None = the first, `most` of them at most.
        axes: (D, D) Axes to draw in; None = a new figure.
        data: rows to draw behind, (n, D) or `Observations`; see `plot_ellipses` and `plot_density`.
        names: names of all dimensions; None = those of the fit.
        most: dimensions at most, where `dims` does not say which.

    Raises:
        DataError: dimensions that are none, Axes of another shape, rows of other columns or through a projection.
    """
    here, named = _mixture_of(mixture), _names(mixture, names)
    asked = range(min(here.n_dims, most)) if dims is None else dims
    at = [_place(dim, named, "dims must be distinct ones of") for dim in asked]
    if len(set(at)) < len(at) or not at:
        raise DataError(f"dims must be distinct dimensions, one or more; got {list(asked)}")
    d, rows = len(at), None if data is None else _observed(data)
    _rows(rows, mixture, at)
    axes = _grid(d) if axes is None else np.asarray(axes)
    if axes.shape != (d, d):
        raise DataError(f"axes must have shape (D, D) = {(d, d)}; got {axes.shape}")
    for row in range(d):
        for column in range(row + 1):
            _pair(axes[row, column], mixture, (at[column], at[row]), rows, named, first=not column, last=row == d - 1)
        for column in range(row + 1, d):
            axes[row, column].set_axis_off()
    _align(axes)
    _legend_of_pairs(axes)
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
    ax: Axes, mixture: Mixture | Fit, at: tuple[int, int], rows: Any, named: Sequence[str], *, first: bool, last: bool
) -> None:
    """One field: a density on the diagonal, ellipses below it."""
    if at[0] == at[1]:
        plot_density(mixture, at[0], ax=ax, data=rows, names=named, labels=False)
        ax.set(yticks=[], ylabel="")
    else:
        plot_ellipses(mixture, at, ax=ax, data=rows, names=named, labels=False)
        ax.set_ylabel(ax.get_ylabel() if first else "")
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


class _Noise(NamedTuple):
    """Variances (L,) of the noise of rows in one dimension, and the share (L,) of the rows with each."""

    variances: Array
    shares: Array


def _found(mixture: Mixture | Fit) -> Mixture:
    return mixture.mixture if isinstance(mixture, Fit) else mixture


def _mixture_of(mixture: Mixture | Fit) -> Mixture:
    """The mixture in its variables; of one of factors pooled over groups."""
    found = _found(mixture)
    if isinstance(found, CircularMixture):
        raise DataError("angles are drawn by plot_circle, other columns as marginal([...]) of them")
    if found.open:
        raise DataError("a mixture to draw must have no part left open (NaN): fit it first")
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
        count = _found(owner).n_variables
    found = list(names if names is not None else getattr(owner, "names", None) or ())
    if names is not None and len(found) != count:
        raise DataError(f"names must name all {count} dimensions; got {found}")
    return [str(name) for name in found] if len(found) == count else [f"x{j}" for j in range(count)]


def _place(dim: int | str, named: Sequence[str], rule: str, among: Sequence[int] | None = None) -> int:
    """The place of a dimension given by number or name; refuses what is not there, in the words of `rule`."""
    count, at = len(named), -1
    if isinstance(dim, str):
        at = named.index(dim) if dim in named else -1
    elif isinstance(dim, int | np.integer) and not isinstance(dim, bool) and -count <= dim < count:
        at = int(dim) % count
    among = range(count) if among is None else among
    if at not in among:
        listed = ", ".join(f"{j} {named[j]!r}" for j in list(among)[:_MOST_NAMES])
        raise DataError(f"{rule} {listed}{' ...' if len(among) > _MOST_NAMES else ''}; got {dim!r}")
    return at


def _two(dims: Sequence[int | str], named: Sequence[str]) -> tuple[int, int]:
    rule = "dims must be two of"
    at = [_place(dim, named, rule) for dim in ([dims] if isinstance(dims, str | int) else dims)]
    if len(set(at)) != 2 or len(at) != 2:
        raise DataError(f"{rule} the {len(named)} dimensions; got {dims!r}")
    return at[0], at[1]


def _observed(data: Any) -> Observations:
    """Rows as `Observations`; values of one dimension may come without columns."""
    flat = getattr(data, "ndim", None) == 1 or (isinstance(data, Sequence) and np.ndim(data[:1]) == 1)
    return as_observations(as_numbers(data, "data").values[:, None] if flat else data)


def _seen_values(rows: Observations) -> Array:
    """(n, m) values as floats, NaN where there is a gap or noise without bound."""
    return np.where(rows.seen(), rows.x, np.nan)


def _rows(data: Any, mixture: Mixture | Fit, dims: list[int]) -> Observations | None:
    """Some dimensions of rows, less the offsets of their groups: as a mixture without offsets describes them."""
    if data is None:
        return None
    rows, found = _observed(data), _found(mixture)
    if rows.projection is not None:
        raise DataError(
            "rows to draw must hold values of the dimensions; these see a projection: draw their latent points, "
            "data=fit.posterior(obs)[0], or leave data out"
        )
    if rows.width == found.n_variables:
        rows = rows.valued(_seen_values(rows) - _offsets(found, rows)).of_columns(dims)
    elif rows.width != 1 or len(dims) != 1:
        raise DataError(f"data must have the {found.n_variables} columns of the mixture; got {rows.width}")
    # A row of weight 0 is absent.
    return rows.take(rows.seen().all(axis=1) & (rows.each_weight > 0))


def _offsets(mixture: Mixture, rows: Observations) -> Array | float:
    """(n, D) shift of every row, 0 where its group is not known."""
    shifts = mixture.shifts if isinstance(mixture, FactorMixture) else mixture.offsets
    codes = group_codes(mixture, rows)
    if shifts is None or codes is None:
        return 0.0
    return np.vstack([shifts, np.zeros(shifts.shape[1])])[codes]


def _noise_of(rows: Observations | None) -> _Noise | None:
    """The noise of rows of one dimension, thinned to even shares of the rows where it has many values."""
    if rows is None or not rows.has_noise or not len(rows):
        return None
    variances, which = np.unique(rows.noise.covariances(len(rows))[:, 0, 0], return_inverse=True)
    shares = np.bincount(which, rows.each_weight) / rows.each_weight.sum()
    if not variances.any():
        return None
    if len(variances) <= _MOST_NOISES:
        return _Noise(variances, shares)
    middles = (np.arange(_MOST_NOISES) + 0.5) / _MOST_NOISES
    at = np.searchsorted(np.cumsum(shares), middles)
    return _Noise(variances[np.minimum(at, len(variances) - 1)], np.full(_MOST_NOISES, 1.0 / _MOST_NOISES))


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
        plt.subplots(
            d, d, figsize=(max(2.6 * d + 0.6, 5.2), max(2.3 * d + 0.4, 3.9)), squeeze=False, layout="constrained"
        )[1]
    )


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
        edges[:-1], radii, width=np.diff(edges), align="edge", color="#D9D9D9", edgecolor="white", linewidth=0.4,
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


def _blurred_on_circle(mixture: CircularMixture, a: int, turn: Array, noise: _Noise) -> Array:
    """Density (t,) per radian of an angle as rows measure it, the background left out."""
    unit = (TURN / float(mixture.period[a])) ** 2
    each = (_shares(mixture) @ _on_circle(mixture, a, turn, unit * variance) for variance in noise.variances)
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


def _share_label(mixture: Mixture, k: int) -> str:
    return f"{k}: {_percent(float(_shares(mixture)[k]))}"


def _scatter(ax: Axes, rows: Observations | None) -> None:
    if rows is None:
        return
    size = float(np.clip(3000 / max(len(rows), 1), 1.5, 12.0))
    x, y = rows.x.T
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
    for k in range(mixture.n_components):
        top = mixture.means[k, j] + max(levels, default=0.0) * np.sqrt(max(mixture.covariances[k, j, j], 0.0))
        text = ax.annotate(
            _share_label(mixture, k), (mixture.means[k, i], top), (0, 3), textcoords="offset points",
            ha="center", va="bottom", fontsize="small", fontweight="bold", color=_color(k), zorder=6,
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _histogram(ax: Axes, rows: Observations | None, bins: int | str) -> float:
    """Bars whose areas are the shares of the rows in them; returns the height of the highest."""
    if rows is None or not len(rows):
        return 0.0
    values = rows.x[:, 0]
    edges = np.histogram_bin_edges(values, bins)
    if isinstance(bins, str) and len(edges) > _MOST_BARS + 1:
        edges = np.linspace(edges[0], edges[-1], _MOST_BARS + 1)
    heights = ax.hist(
        values, bins=edges.tolist(), weights=rows.each_weight, density=True, color="#D9D9D9", edgecolor="white",
        linewidth=0.4, label="rows",
    )[0]  # fmt: skip
    return float(np.max(heights))


def _parts(mixture: Mixture, dim: int) -> tuple[Array, Array]:
    """A grid (t,) that resolves every component, and w_k N(t; mu_k, sigma_k) (K, t); zero for those without spread."""
    mean, sigma = mixture.means[:, dim], _sd(mixture, dim)
    grid = _grid_of(mean, np.maximum(sigma, 1e-3 * (np.ptp(mean) or 1.0)))
    return grid, _shares(mixture)[:, None] * _normal(grid - mean[:, None], sigma[:, None])


def _blurred(mixture: Mixture, dim: int, noise: _Noise) -> tuple[Array, Array]:
    """A grid (t,), and the density (t,) of values that rows with such noise have; noise leaves the background alone."""
    mean, variance = mixture.means[:, dim], _sd(mixture, dim) ** 2
    few = np.quantile(noise.variances, [0.0, 0.5, 1.0])
    widths = np.sqrt(variance[:, None] + few)
    grid = _grid_of(np.repeat(mean, len(few)), np.maximum(widths.ravel(), 1e-3 * widths.max()))
    density = _background(mixture, dim, grid)
    for weight, middle, spread in zip(_shares(mixture), mean, variance, strict=True):
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


def _shares(mixture: Mixture) -> Array:
    """(K,) shares of the rows: weights, less what the background takes."""
    return mixture.pooled_weights * (1.0 - _stray(mixture))


def _stray(mixture: Mixture) -> float:
    return 0.0 if mixture.background is None else float(mixture.background.weight)


def _background(mixture: Mixture, dim: int, grid: Array) -> Array:
    if mixture.background is None:
        return np.zeros_like(grid)
    return np.exp(mixture.background.marginal([dim]).log_density(grid[None]))


def _add_background(ax: Axes, grid: Array, outside: Array, mixture: Mixture) -> None:
    if mixture.background is not None:
        ax.plot(grid, outside, color=_PALE, lw=1.3, ls=":", label=f"background: {_percent(_stray(mixture))}")


def _add_part(ax: Axes, grid: Array, part: Array, mixture: Mixture, dim: int, k: int) -> None:
    label = _share_label(mixture, k)
    if mixture.covariances[k, dim, dim] <= 0:
        ax.axvline(mixture.means[k, dim], color=_color(k), lw=1.6, ls="--", label=label)
        return
    ax.fill_between(grid, part, color=_color(k), alpha=0.18, linewidth=0)
    ax.plot(grid, part, color=_color(k), lw=1.3, label=label)


def _add_whole(ax: Axes, grid: Array, height: Array, *, blurred: bool) -> None:
    ax.plot(grid, height, color=_INK, lw=1.6, label="all, free of noise" if blurred else "all")


def _add_measured(ax: Axes, grid: Array, height: Array, bars: float, peak: str = "") -> None:
    """The line of what rows with noise measure; one of what is free of noise that is far higher is cut, and says so."""
    free = ax.lines[-1]
    ax.plot(grid, height, color=_INK, lw=1.6, ls=(0, (4, 2)), label="all, as measured")
    top = (np.sqrt(_CUT) if ax.name == "polar" else _CUT) * max(bars, float(height.max()))
    if np.max(free.get_ydata()) > top:
        ax.set_ylim(0.0, top)
        free.set_label(f"{free.get_label()}{_IS_CUT}{peak})")


def _mixed(r: Array) -> Array:
    """(n, 3) colours: those of the components in the shares of their responsibilities."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(_color(k)) for k in range(r.shape[1])] + [to_rgb("#D9D9D9")])
    rest = np.clip(1.0 - r.sum(axis=1, keepdims=True), 0.0, 1.0)
    return np.clip(np.hstack([r, rest]) @ colors, 0.0, 1.0)


def _legend_of_colours(ax: Axes, r: Array) -> None:
    if r.shape[1] > _MOST_LABELS:
        return
    for k in range(r.shape[1]):
        ax.scatter([], [], s=14, color=_color(k), label=str(k))
    if (r.sum(axis=1) < 0.5).any():
        ax.scatter([], [], s=14, color="#D9D9D9", label="none")
    _legend_beside(ax)


def _legend_beside(ax: Axes) -> None:
    ax.legend(title="component", frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _strips(ax: Axes, r: Array, values: Array | None, name: str) -> Axes:
    """Responsibilities stacked to one, in the order of the values (n,), or by component and then by certainty."""
    if values is None:
        order = np.lexsort([-r.max(axis=1, initial=0.0), r.argmax(axis=1)])
        at = np.arange(len(r))
    else:
        seen = np.flatnonzero(np.isfinite(values))
        order = seen[np.argsort(values[seen])]
        at = values[order]
    labels = [str(k) for k in range(r.shape[1])]
    ax.stackplot(at, r[order].T, colors=[_color(k) for k in range(r.shape[1])], labels=labels, linewidth=0)
    ax.set_ylim(0.0, 1.0)
    ax.margins(x=0.0)
    _legend_beside(ax)
    return _dress(ax, name, "responsibility")


def _legend_of_pairs(axes: Array) -> None:
    """What the densities on the diagonal show, in the empty corner."""
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if len(handles) > _MOST_LABELS + 4:
        return
    if len(axes) > 1:
        # Peaks differ by dimension.
        cut = {label.partition(_IS_CUT)[0] for ax in axes.diagonal() for label in _labels(ax) if _IS_CUT in label}
        labels = [label.partition(_IS_CUT)[0] for label in labels]
        labels = [f"{label}\n(cut where far higher)" if label in cut else label for label in labels]
    place = "best" if len(axes) == 1 else "upper right"
    legend = axes[0, -1].legend(handles, labels, frameon=False, fontsize="small", loc=place)
    # It may reach into the empty fields beside it, and must not push the others aside.
    legend.set_in_layout(False)


def _labels(ax: Axes) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def _ring(ax: Axes, k: int, height: float, mark: str, size: float, label: str) -> None:
    ax.plot(k, height, mark, ms=size, mfc="none", mec=_INK, mew=1.2, zorder=5, label=label)


def _line(ax: Axes, x: Any, y: Array, done: Array, errors: Array, *, label: str, color: str) -> None:
    """Fits of one covariance in the order of K, hollow where they did not come to their end; errors may be NaN."""
    ax.plot(x, y, "-o", color=color, ms=5, lw=1.3, label=label)
    ax.plot(np.array(x)[~done], y[~done], "o", color=color, mfc="white", ms=5)
    if np.isfinite(errors).any():
        ax.errorbar(x, y, errors, fmt="none", ecolor=color, elinewidth=1.1, capsize=3, zorder=2)


def _say_undecided(ax: Axes, band: float) -> None:
    """What cannot be told from the best: what lies in the band, or has a bar that comes down to the line."""
    if band:
        ax.axhspan(0.0, band, color=_FAINT, zorder=0, label=f"undecided, less than {band:g}", linewidth=0)
        return
    ax.axhline(0.0, color=_PALE, lw=0.9, zorder=1, label="best; undecided where a standard error reaches it")


def _scale_of(errors: Array) -> float:
    """The power of ten nearest to most errors; 0 where there are none."""
    there = errors[np.isfinite(errors) & (errors > 0)]
    return float(10.0 ** np.round(np.log10(np.median(there)))) if len(there) else 0.0


def _above(ax: Axes, heights: Array, unit: float) -> None:
    """A scale of differences from the best, logarithmic above `unit`, what tells nothing, where they are many of it."""
    known = heights[np.isfinite(heights)]
    top, low = float(known.max(initial=0.0)), float(known.min(initial=0.0))
    unit = unit or top or 1.0
    top = max(top, unit)
    wide = top > _WIDE * unit
    if wide:
        ax.set_yscale("symlog", linthresh=unit, linscale=0.5)
        tens = 10.0 ** np.arange(np.floor(np.log10(unit)) + 1, np.ceil(np.log10(top)) + 1)
        ticks = [tick for tick in (0.0, unit, *tens[tens > 1.5 * unit]) if tick <= 2.5 * top]
        ax.set_yticks(ticks, [f"{tick:,.0f}" if tick >= 1000 else f"{tick:.3g}" for tick in ticks])
        ax.minorticks_off()
    # A little below zero, so that the ring of the best is whole; bars, and fits that failed, may lie below it.
    ax.set_ylim(min(-0.3 * unit, low - 0.15 * unit), top * (1.8 if wide else 1.08) + 0.25 * unit)
