"""A picture of the choice of the number of clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import refuse_others
from mixsci.cells.plot_canvas import beside, entry_of, finish, head, place
from mixsci.engine.em.state import Outcome
from mixsci.engine.inference.select import UNDECIDED
from mixsci.errors import DataError
from mixsci.plot.paper import PALETTE, dress
from mixsci.plot.selection import above, ring, say_undecided

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

#: Criterion -> its name, and whether less of it is better.
_CRITERIA = {
    "bic": ("BIC", True), "aic": ("AIC", True), "icl": ("ICL", True),
    "held_out": ("log density of a hidden value (nats)", False),
}  # fmt: skip
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "h")


def selection(
    adata: AnnData,
    key: str = "select",
    *,
    criterion: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: Any = None,
) -> Axes:
    """The criterion over the number of clusters, a line for each family of covariance, its best fit in a ring.

    BIC, AIC and ICL are drawn above their minimum, whose value stands at the axis. In the grey band, up to 2, they
    cannot tell fits apart; above it a wide range is logarithmic. Hollow marks are fits that did not come to their end.

    Args:
        adata: with results of `tl.select`; those of `tl.mixture` and `tl.factor` have such a table, too.
        key: their name.
        criterion: "bic", "aic", "icl" or "held_out"; None = that by which was chosen.
        ax: where to draw; None = a new figure.
        show: True: show the figure.
        save: path to save the figure to.

    Raises:
        DataError: no such results, a criterion that was not looked at.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 4, 2, rng=1)
        >>> cells.tl.select(adata, [1, 2, 3], covariance="tied", rng=1)
        >>> cells.pl.selection(adata).get_xlabel()
        'number of clusters K'
    """
    refuse_others(adata)
    entry = entry_of(adata, key, "choices", "tl.select")
    chosen_by = str(entry.get("criterion", "bic"))
    table, criterion = _table(entry), chosen_by if criterion is None else criterion
    values, name, less = _values(table, criterion)
    ax = place(ax, 6.4, 3.9)
    best = _best(values, less, table["done"])
    heights = values - values[best] if less else values
    for i, family in enumerate(dict.fromkeys(table["family"])):
        _line(ax, table, heights, table["family"] == family, i)
    ring(ax, table["number"][best], heights[best], "o", 11, "best")
    if less:
        say_undecided(ax, UNDECIDED)
        above(ax, heights, UNDECIDED)
    dress(ax, table["what"], f"{name} above {values[best]:,.1f}" if less else name)
    _ticks(ax, np.unique(table["number"]))
    if criterion == chosen_by and "verdict" in entry:
        head(ax, str(entry["verdict"]))
    beside(ax)
    finish(ax, save, show=show)
    return ax


def _table(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fits: number of clusters or factors, family, whether they came to their end, and every criterion."""
    choices = {name: np.atleast_1d(np.asarray(column)) for name, column in entry["choices"].items()}
    of_factors = "n_components" not in choices
    number = choices["n_factors" if of_factors else "n_components"].astype(int)
    family = choices.get("covariance", np.array(["one analyser"] * len(number))).astype(str).astype(object)
    ended = choices.get("outcome", np.array([Outcome.CONVERGED.name] * len(number)))
    done = np.array([Outcome[str(name)].converged for name in ended])
    return {
        **choices, "number": number, "family": family, "done": done,
        "what": "number of factors" if of_factors else "number of clusters K",
        "q": np.zeros(len(number), dtype=int) if of_factors else choices["n_factors"].astype(int),
    }  # fmt: skip


def _values(table: Mapping[str, Any], criterion: str) -> tuple[Array, str, bool]:
    there = [name for name in _CRITERIA if name in table and np.isfinite(np.asarray(table[name], dtype=float)).any()]
    if criterion not in there:
        raise DataError(
            f"criterion must be one that was looked at, {', '.join(map(repr, there))}; got {criterion!r:.80}"
        )
    return np.asarray(table[criterion], dtype=float), *_CRITERIA[criterion]


def _best(values: Array, less: bool, done: Array) -> int:  # noqa: FBT001 (two kinds of criteria)
    """The best of the fits that came to their end, or of all where none did."""
    usable = done if done.any() else np.ones_like(done)
    return int(np.argmin(np.where(usable & np.isfinite(values), values if less else -values, np.inf)))


def _line(ax: Axes, table: Mapping[str, Any], heights: Array, own: Array, i: int) -> None:
    """One family: a line through its fits."""
    order = np.argsort(table["number"][own], kind="stable")
    x, y, done = table["number"][own][order], heights[own][order], table["done"][own][order]
    factors = np.unique(table["q"][own])
    family = str(table["family"][own][0])
    label = family + (f", q = {factors[0]}" if len(factors) == 1 and factors[0] else "")
    style: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "marker": _MARKS[i % len(_MARKS)], "ms": 5.5}
    ax.plot(x, y, lw=1.3, label=label, zorder=3, **style)
    ax.plot(x[~done], y[~done], ls="", mfc="white", zorder=4, **style)


def _ticks(ax: Axes, numbers: Array) -> None:
    if len(numbers) <= 20:
        ax.set_xticks(numbers)
    ax.margins(x=0.06)
