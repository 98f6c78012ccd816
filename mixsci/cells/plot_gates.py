"""Pictures of gates: what was written by `cells.tl.gate` and `cells.tl.mixture` is drawn, nothing is fitted here.

Negative cells are blue and positive ones orange, which colour-blind readers tell apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from mixsci.cells.annotations import column_of, labels_of, listed, refuse_others, table_of
from mixsci.cells.gates import KEY, column_name
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALE, PALETTE, axes, dress

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

_BARS = "#DDDDDD"
_NEGATIVE, _POSITIVE = PALETTE[0], PALETTE[1]
#: Cells farther out than these quantiles widen no axis.
_TAILS = (0.0005, 0.9995)
_BINS = 80
#: Of the corners - -, - +, + - and + + of a pair.
_CORNERS = (PALE, PALETTE[0], PALETTE[1], PALETTE[2])
#: Ellipses of one and of two standard deviations.
_LEVELS = (1.0, 2.0)


def gate(
    adata: AnnData,
    marker: str | tuple[str, str],
    *,
    key: str = KEY,
    group: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """A gate: the cells, the populations under them, the threshold with its interval, and P(positive).

    One marker is a histogram with the density of every population and of all, the threshold as a line in its interval,
    and P(positive) on an axis at the right. A pair is a scatter of cells in the colours of their corner, with ellipses
    of one and two standard deviations for every population.

    Args:
        adata: cells that were gated.
        marker: name of a marker, or of both of a pair.
        key: in uns, where the gate is.
        group: which group, where each has a gate of its own.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: a marker that was not gated, several groups and none named.

    Example:
        >>> import anndata, numpy as np, pandas as pd
        >>> from mixsci.cells import gates, plot_gates
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(0, 1, 300), rng.normal(6, 1, 100)])[:, None]
        >>> adata = anndata.AnnData(x, var=pd.DataFrame(index=["CD3"]))
        >>> gates.gate(adata, "CD3", rng=0)
        >>> plot_gates.gate(adata, "CD3").get_xlabel()
        'CD3'
    """
    refuse_others(adata)
    lines, populations = _lines(adata, marker, key, group)
    x = _gated(adata, lines, key)
    ax = _wide(ax)
    (_draw_one if len(lines) == 1 else _draw_pair)(ax, adata.obs, lines, populations, x, key)
    return _finished(ax, show, save)


def density(
    adata: AnnData,
    variable: str,
    *,
    key: str = "mixture",
    layer: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """The values of one variable, cluster by cluster: histograms on one scale, with how many cells have a value.

    Args:
        adata: cells with labels.
        variable: name of a variable.
        key: column of obs with the labels; colours are those of uns["mixture_colors"] where there are any.
        layer: whose values; None = X.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: an unknown variable or column, no observed value.

    Example:
        >>> import anndata, numpy as np, pandas as pd
        >>> from mixsci.cells import plot_gates
        >>> adata = anndata.AnnData(np.arange(6.0)[:, None], var=pd.DataFrame(index=["CD3"]))
        >>> adata.obs["mixture"] = pd.Categorical(list("000111"))
        >>> plot_gates.density(adata, "CD3").get_ylabel()
        'cells'
    """
    refuse_others(adata)
    labels = column_of(adata, "obs", key, "key").astype("category")
    values = _values(adata, [variable], layer)[:, 0]
    seen = ~np.isnan(values)
    if not seen.any():
        raise DataError(f"{variable} must have an observed value to be drawn; it has none")
    names = labels.cat.categories
    colors = list(adata.uns.get(f"{key}_colors", [])) or [PALETTE[k % len(PALETTE)] for k in range(len(names))]
    ax = _wide(ax)
    edges = np.linspace(*_range(values[seen]), _BINS + 1)
    for k, name in enumerate(names):
        here = values[seen & (labels == name).to_numpy()]
        style: dict[str, Any] = {"bins": edges, "color": colors[k % len(colors)]}
        ax.hist(np.clip(here, edges[0], edges[-1]), **style, alpha=0.25)
        ax.hist(np.clip(here, edges[0], edges[-1]), **style, histtype="step", lw=1.3, label=f"{name} ({len(here)})")
    _legend(ax, title=key)
    return _finished(dress(ax, variable, "cells"), show, save)


# --- what was written ------------------------------------------------------------------------------------------------


def _lines(adata: AnnData, marker: Any, key: str, group: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lines of one gate in the tables of thresholds and of populations."""
    if key not in adata.uns or "thresholds" not in adata.uns[key]:
        raise DataError(f"uns must hold the gates under {key!r}; call cells.tl.gate first")
    every = adata.uns[key]["thresholds"]
    name = marker if isinstance(marker, str) else "_".join(marker)
    label = column_name(name)
    lines = every[every["gate"] == label]
    if not len(lines):
        raise DataError(f"marker must be one that was gated, of {listed(every['gate'].unique())}; got {marker!r:.80}")
    groups = list(lines["group"].unique())
    if group is None and len(groups) > 1:
        raise DataError(f"{name} has a gate in each group: pass group=, one of {listed(groups)}")
    if group is not None and group not in groups:
        raise DataError(f"group must be one of {listed(groups)}; got {group!r:.80}")
    chosen, table = groups[0] if group is None else group, adata.uns[key]["populations"]
    return lines[lines["group"] == chosen], table[(table["gate"] == label) & (table["group"] == chosen)]


def _gated(adata: AnnData, lines: pd.DataFrame, key: str) -> Array:
    """(n, D) values of the markers, NaN in cells that the gate left out."""
    x = _values(adata, list(lines["marker"]), lines["layer"].iloc[0] or None)
    for j, marker in enumerate(lines["marker"]):
        x[adata.obs[f"{column_name(marker, key)}_pos_prob"].isna().to_numpy(), j] = np.nan
    by, group = lines["by"].iloc[0], lines["group"].iloc[0]
    if by:
        x[labels_of(adata, by, "by") != group] = np.nan
    return x


def _values(adata: AnnData, names: list[str], layer: str | None) -> Array:
    unknown = [name for name in names if name not in adata.var_names]
    if unknown:
        raise DataError(f"there must be a variable {unknown[0]!r}; there are {listed(adata.var_names)}")
    columns = np.array([adata.var_names.get_loc(name) for name in names])
    table, _ = table_of(adata, layer=layer, columns=columns)
    return np.concatenate([np.array(values, dtype=float) for _, values in table.pieces()])


# --- what is drawn ---------------------------------------------------------------------------------------------------


def _draw_one(ax: Axes, obs: pd.DataFrame, lines: pd.DataFrame, populations: pd.DataFrame, x: Array, key: str) -> None:
    line: Any = lines.iloc[0]
    seen = ~np.isnan(x[:, 0])
    low, high = _range(x[seen, 0])
    ax.hist(np.clip(x[seen, 0], low, high), bins=_BINS, range=(low, high), density=True, color=_BARS)
    grid = np.linspace(low, high, 600)
    parts = [one.weight * norm.pdf(grid, one.mean, one.sd) for one in populations.itertuples()]
    one: Any
    for one, part in zip(populations.itertuples(), parts, strict=True):
        color = _POSITIVE if one.positive else _NEGATIVE
        sign = "positive" if one.positive else "negative"
        ax.fill_between(grid, part, color=color, alpha=0.15, linewidth=0)
        ax.plot(grid, part, color=color, lw=1.3, label=f"{sign}, {_percent(one.weight)}")
    ax.plot(grid, np.sum(parts, axis=0), color=INK, lw=1.4, label="all")
    _threshold(line, ax.axvline, ax.axvspan)
    dress(ax, line["marker"], "density")
    _title(ax, line)
    ax.set(xlim=(low, high), ylim=(0.0, None))
    chances = obs[f"{column_name(line['marker'], key)}_pos_prob"].to_numpy()
    some = bool(populations["positive"].any())
    if some:
        _second_axis(ax, x[seen, 0], chances[seen])
    _legend(ax, beside=1.15 if some else 1.02)


def _second_axis(ax: Axes, x: Array, p: Array) -> None:
    """P(positive) along the values."""
    order = np.argsort(x)
    right = ax.twinx()
    right.plot(x[order], p[order], color=PALE, lw=1.2, ls=(0, (4, 2)))
    right.set(ylim=(0.0, 1.05), yticks=[0.0, 0.5, 1.0])
    right.set_ylabel("P(positive)", color="#6E6E6E")
    right.tick_params(axis="y", colors="#6E6E6E")
    right.spines[["top", "left"]].set_visible(False)
    ax.plot([], [], color=PALE, lw=1.2, ls=(0, (4, 2)), label="P(positive)")


def _draw_pair(ax: Axes, obs: pd.DataFrame, lines: pd.DataFrame, populations: pd.DataFrame, x: Array, key: str) -> None:
    corners = obs[column_name(lines["gate"].iloc[0], key)].cat
    seen = ~np.isnan(x).any(axis=1)
    size = float(np.clip(6000 / max(seen.sum(), 1), 1.2, 12.0))
    for code, (name, color) in enumerate(zip(corners.categories, _CORNERS, strict=True)):
        here = seen & (corners.codes.to_numpy() == code)
        ax.scatter(x[here, 0], x[here, 1], s=size, color=color, alpha=0.35, linewidths=0, rasterized=True)
        if here.any():
            share = _percent(here.sum() / seen.sum())
            ax.scatter([], [], s=26, color=color, linewidths=0, label=f"{name}, {share}")
    for one in populations.itertuples():
        _ellipses(ax, one)
    _threshold(lines.iloc[0], ax.axvline, ax.axvspan)
    _threshold(lines.iloc[1], ax.axhline, ax.axhspan, label=None)
    dress(ax, *lines["marker"])
    ax.set(xlim=_range(x[seen, 0]), ylim=_range(x[seen, 1]))
    _legend(ax)


def _ellipses(ax: Axes, one: Any) -> None:
    """The ellipses of a population of two markers."""
    covariance = np.array([[one.sd**2, one.correlation * one.sd * one.sd_2], [0.0, one.sd_2**2]])
    covariance[1, 0] = covariance[0, 1]
    turn = np.linspace(0.0, 2.0 * np.pi, 181)
    round_ = np.linalg.cholesky(covariance) @ [np.cos(turn), np.sin(turn)]
    for level in _LEVELS:
        ax.plot(one.mean + level * round_[0], one.mean_2 + level * round_[1], color=INK, lw=0.9, alpha=0.8)


def _threshold(line: Any, draw_line: Any, draw_span: Any, label: str | None = "threshold") -> None:
    """The threshold of a marker, and its interval where there is one."""
    if np.isfinite(line["low"]):
        draw_span(line["low"], line["high"], color=INK, alpha=0.14, linewidth=0)
    if np.isfinite(line["threshold"]):
        interval = f" ({line['level'] * 100:g} %)" if np.isfinite(line["low"]) else ""
        draw_line(line["threshold"], color=INK, lw=1.1, ls=":", label=label and label + interval)


def _title(ax: Axes, line: Any) -> None:
    where = f" in {line['group']}" if line["group"] else ""
    inside = f" of {line['parent']}" if line["parent"] else ""
    words = f"{_percent(line['share'])} positive{inside}{where}, {line['n_cells']} cells"
    ax.set_title(words.replace("$", r"\$"), loc="left", fontsize="medium", color=INK)


def _wide(ax: Axes | None) -> Axes:
    """Where to draw; a new figure has room for a legend at the right."""
    if ax is not None:
        return ax
    ax = axes(None)
    _figure(ax).set_size_inches(6.8, 3.9)
    return ax


def _figure(ax: Axes) -> Any:
    """The whole figure, also where the Axes lie in a part of it."""
    return ax.figure.figure


def _legend(ax: Axes, title: str | None = None, *, beside: float = 1.02) -> None:
    """A legend beside the axes, where it hides nothing."""
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(beside, 1.0), title=title)


def _range(values: Array) -> tuple[float, float]:
    """Where almost all values lie, with a margin."""
    low, high = np.quantile(values, _TAILS)
    margin = 0.03 * (high - low) or 0.5
    return float(low - margin), float(high + margin)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def _finished(ax: Axes, show: bool | None, save: Any) -> Axes:  # noqa: FBT001 (as scverse has them)
    """The Axes, after the figure was saved or shown."""
    if save is not None:
        _figure(ax).savefig(save)
    if show:
        _figure(ax).show()
    return ax
