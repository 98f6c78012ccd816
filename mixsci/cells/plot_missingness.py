"""Pictures of gaps: where they are, and whether they depend on intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import column_of, refuse_others, table_of
from mixsci.cells.arrays import Table
from mixsci.cells.plot_bins import Bins, bins_of
from mixsci.cells.plot_canvas import entry_of, figure_of, finish, head, place, plain, share_of
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALE, PALETTE, dress

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: Bins of cells and of variables: every one is larger than a pixel.
_MOST_CELLS, _MOST_VARIABLES = 150, 200
#: More variables than this have no names at the axis.
_MOST_NAMES = 50
#: Names of groups stand at least this share of the height apart.
_APART = 0.035
_CMAP, _BAR = "Blues", PALETTE[0]


def missingness(
    adata: AnnData,
    *,
    layer: str | None = None,
    groupby: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> dict[str, Axes]:
    """Where values are missing: a map of cells by variables, with the share of gaps of every one at its sides.

    Cells lie by group and then by number of gaps, variables by share of gaps, fewest first. Where there are many, a
    field of the map is the share of gaps among several cells and variables, all of which are counted.

    Args:
        adata: cells by variables; dense, sparse, Dask-lazy or backed; NaN = missing.
        layer: whose values; None = X.
        groupby: column of obs with labels; cells without one come last, as NA.
        ax: where to draw the map, its sides beside it; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Returns:
        Axes of the "map", of shares by variable "vars", of shares by cell "cells", and of the "scale".

    Raises:
        DataError: a layer or column that is not there.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 20, missing=0.3, rng=1)
        >>> sorted(cells.pl.missingness(adata, groupby="batch"))
        ['cells', 'map', 'scale', 'vars']
    """
    refuse_others(adata)
    table, _ = table_of(adata, layer=layer)
    names, codes = _groups(adata, groupby)
    of_cell, of_variable = _counted(table)
    rows = bins_of(of_cell, _MOST_CELLS, codes)
    columns = bins_of(of_variable, _MOST_VARIABLES)
    shares = _shares(table, rows, columns)
    ax = place(ax, 7.6, 5.0)
    mesh = ax.pcolormesh(columns.edges, rows.edges, shares, cmap=_CMAP, vmin=0.0, vmax=1.0, rasterized=True)
    ax.invert_yaxis()
    _name_variables(ax, adata.var_names, columns)
    _name_groups(ax, names, groupby, rows)
    n, d = table.shape
    axes = {"map": ax, **_sides(ax, rows, columns, of_cell / max(d, 1), of_variable / max(n, 1))}
    axes["scale"] = ax.inset_axes((1.21, 0.0, 0.025, 1.0))
    figure_of(ax).colorbar(mesh, cax=axes["scale"], ticks=[0.0, 0.5, 1.0]).set_label("share of gaps")
    axes["scale"].set_yticklabels(["0", "50 %", "100 %"])
    head(axes["vars"], _sentence(rows, columns, of_cell))
    finish(ax, save, show=show)
    return axes


def missingness_intensity(
    adata: AnnData, *, key: str = "missingness", ax: Axes | None = None, show: bool | None = None, save: Any = None
) -> Axes:
    """The share of gaps of every variable over its mean, as `pp.missingness` found them, with what its test says.

    Args:
        adata: with a report of `pp.missingness`.
        key: its name.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such report.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 20, missing=0.3, rng=1)
        >>> cells.pp.missingness(adata)
        >>> cells.pl.missingness_intensity(adata).get_ylabel()
        'share of gaps'
    """
    refuse_others(adata)
    entry = entry_of(adata, key, "rho", "pp.missingness")
    if f"{key}_mean" not in adata.var:
        raise DataError(f"var must hold {key}_mean; call cells.pp.missingness again")
    means, shares = (adata.var[name].to_numpy(dtype=float) for name in (f"{key}_mean", key))
    ax = place(ax, 5.6, 4.0)
    many = len(means) > 300
    ax.scatter(
        means, shares, s=7 if many else 22, alpha=0.35 if many else 0.8, color=PALETTE[0], linewidths=0, rasterized=True
    )
    dress(ax, f"mean of the observed values of a variable, {_source(entry)}", "share of gaps")
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25 %", "50 %", "75 %", "100 %"])
    head(ax, _finding(entry))
    finish(ax, save, show=show)
    return ax


# --- what is missing -------------------------------------------------------------------------------------------------


def _groups(adata: AnnData, groupby: str | None) -> tuple[list[str], Array | None]:
    """Names of the groups that have cells, in their order, and the number of that of every cell."""
    if groupby is None:
        return [], None
    labels = column_of(adata, "obs", groupby, "groupby").astype("category").cat
    every = [*map(str, labels.categories), "NA"]
    codes = np.where(labels.codes < 0, len(every) - 1, labels.codes)
    used, codes = np.unique(codes, return_inverse=True)
    return [every[code] for code in used], codes


def _counted(table: Table) -> tuple[Array, Array]:
    """Number of gaps of every cell (n,) and of every variable (D,)."""
    n, d = table.shape
    of_cell, of_variable = np.zeros(n, dtype=np.int64), np.zeros(d, dtype=np.int64)
    for rows, values in table.pieces():
        gaps = np.isnan(values)
        of_cell[rows], of_variable = gaps.sum(axis=1), of_variable + gaps.sum(axis=0)
    return of_cell, of_variable


def _shares(table: Table, rows: Bins, columns: Bins) -> Array:
    """Share of gaps in every field of the map, bins of cells by bins of variables."""
    counts, bin_of = np.zeros((len(rows.sizes), table.shape[1]), dtype=np.int64), rows.of_each
    for at, values in table.pieces():
        own = bin_of[at]
        order = np.argsort(own, kind="stable")
        first = np.flatnonzero(np.diff(own[order], prepend=-1))
        counts[own[order][first]] += np.add.reduceat(np.isnan(values)[order], first, axis=0, dtype=np.int64)
    return columns.means(counts.T).T / rows.sizes[:, None]


# --- what is drawn ---------------------------------------------------------------------------------------------------


def _sides(ax: Axes, rows: Bins, columns: Bins, of_cell: Array, of_variable: Array) -> dict[str, Axes]:
    """Shares of gaps by variable above the map, and by cell at its right."""
    above, right = ax.inset_axes((0.0, 1.03, 1.0, 0.16)), ax.inset_axes((1.03, 0.0, 0.13, 1.0))
    above.stairs(columns.means(of_variable), columns.edges, fill=True, color=_BAR)
    right.stairs(rows.means(of_cell), rows.edges, fill=True, color=_BAR, orientation="horizontal")
    above.set(xlim=ax.get_xlim(), ylim=(0.0, 1.0), xticks=[], yticks=[0.0, 1.0])
    right.set(ylim=ax.get_ylim(), xlim=(0.0, 1.0), yticks=[], xticks=[0.0, 1.0])
    above.set_yticklabels(["0", "100 %"], fontsize="x-small")
    right.xaxis.tick_top()
    right.set_xticklabels(["0", "100 %"], fontsize="x-small")
    above.spines["top"].set_visible(False)
    right.spines["bottom"].set_visible(False)
    for side in (above, right):
        side.spines[:].set_color(PALE)
        side.spines["right"].set_visible(False)
        side.tick_params(color=PALE)
    return {"vars": above, "cells": right}


def _name_variables(ax: Axes, names: Any, columns: Bins) -> None:
    d = len(columns.order)
    if d <= _MOST_NAMES:
        shown = [plain(names[j]) for j in columns.order]
        ax.set_xticks(np.arange(d) + 0.5, shown, rotation=90, fontsize="small" if d <= 25 else "x-small")
        ax.tick_params(axis="x", length=0)
        return
    ax.set_xlabel("variables, by share of gaps")


def _name_groups(ax: Axes, names: list[str], groupby: str | None, rows: Bins) -> None:
    """Groups by name at their middle, between lines; where they are thin some names stay out."""
    if not names:
        ax.set_ylabel("cells, by number of gaps")
        return
    middles, last, shown = (rows.ends[1:] + rows.ends[:-1]) / 2, -np.inf, []
    for middle in middles:
        far = middle - last >= _APART * rows.ends[-1]
        shown.append(far)
        last = middle if far else last
    for end in rows.ends[1:-1]:
        ax.axhline(end, color=INK, lw=0.7)
    some = [(middle, plain(name)) for middle, name, far in zip(middles, names, shown, strict=True) if far]
    ax.set_yticks([middle for middle, _ in some], [name for _, name in some], fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylabel(f"cells, by {plain(groupby)} and number of gaps")


def _sentence(rows: Bins, columns: Bins, of_cell: Array) -> str:
    n, d = len(rows.order), len(columns.order)
    text = f"{share_of(of_cell.sum() / max(n * d, 1))} of {n:,} cells × {d:,} variables are missing"
    tall, wide = rows.sizes.max(initial=1), columns.sizes.max(initial=1)
    return (
        text
        if tall == wide == 1
        else f"{text};\none field of the map: {_up_to(tall, 'cell')} × {_up_to(wide, 'variable')}"
    )


def _up_to(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"up to {count:,} {noun}s"


def _source(entry: Any) -> str:
    name = str(entry.get("params", {}).get("layer", "X"))
    return "X" if name == "X" else f"layer {name}"


def _finding(entry: Any) -> str:
    """What the test said, in a few words."""
    rho, p = float(entry["rho"]), float(entry["p_value"])
    if not np.isfinite(rho):
        return "too few variables, or too few gaps, to say whether they depend on intensity"
    side = f"{'low' if rho < 0 else 'high'} values are missing more often"
    words = side if bool(entry["depends_on_intensity"]) else "gaps do not depend on intensity"
    return f"{words}: rank correlation {rho:.2f}, p = {p:.1g}".replace("-", "−")
