"""What all pictures of cells share: where they are drawn, clusters and their looks, cells as dots, results by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import column_of, listed
from mixsci.errors import DataError
from mixsci.plot.paper import INK, PALETTE, axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

Array = np.ndarray

FAINT = "#E6E6E6"
#: Of cells without a label, a value or a number.
NOTHING = "#C9C9C9"
#: Where colours are used up, clusters of one colour differ in their marks.
MARKERS = ("o", "^", "s", "D", "v", "P")
#: Lines of a legend before it has a second column.
_LEGEND_LINES = 16
_DPI = 150


# --- where to draw ---------------------------------------------------------------------------------------------------


def place(ax: Axes | None, width: float = 6.4, height: float = 4.2) -> Axes:
    """Where to draw; None = a new figure of this size, inches."""
    if ax is not None:
        return ax
    ax = axes(None)
    figure_of(ax).set_size_inches(width, height)
    return ax


def figure_of(ax: Axes) -> Any:
    """The whole figure, also where the Axes lie in a part of it."""
    return ax.figure.figure


def finish(ax: Axes, save: Any, *, show: bool | None) -> None:
    """Save the figure, with all that stands beside its Axes, and show it, where that is asked for."""
    if save is not None:
        figure_of(ax).savefig(save, bbox_inches="tight", dpi=_DPI)
    if show:
        figure_of(ax).show()


def plain(text: Any) -> str:
    """Names of users as text on one line: a dollar sign would open a formula."""
    return " ".join(str(text).replace("$", r"\$").split())


def head(ax: Axes, text: str) -> None:
    """One or two lines above the picture, at its left."""
    lines = "\n".join(plain(line) for line in text.split("\n"))
    ax.set_title(lines, loc="left", fontsize="medium", color=INK)


def beside(ax: Axes, title: str | None = None) -> None:
    """A legend at the right, where it hides nothing."""
    handles, _ = ax.get_legend_handles_labels()
    if not handles:
        return
    columns = -(-len(handles) // _LEGEND_LINES)
    ax.legend(
        frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, ncols=columns,
        title=None if title is None else plain(title), title_fontsize="small", alignment="left",
    )  # fmt: skip


def share_of(part: float) -> str:
    """A share as percent."""
    return f"{100 * part:.0f} %" if part >= 0.095 or part == 0 else f"{100 * part:.1f} %"


# --- results ---------------------------------------------------------------------------------------------------------


def entry_of(adata: AnnData, key: Any, holds: str, maker: str) -> Mapping[str, Any]:
    """Results in uns that hold a part of this name; `maker` is the verb that writes them.

    Raises:
        DataError: no such results.
    """
    entry = adata.uns.get(key) if isinstance(key, str) else None
    if not isinstance(entry, Mapping) or holds not in entry:
        there = [name for name, value in adata.uns.items() if isinstance(value, Mapping) and holds in value]
        raise DataError(f"key must name results of {maker} in uns, of which there are {listed(there)}; got {key!r:.80}")
    return entry


def array_of(adata: AnnData, part: str, name: str, what: str) -> Array:
    """(n, K) numbers of obsm or varm.

    Raises:
        DataError: no such array.
    """
    there = getattr(adata, part)
    if name not in there:
        raise DataError(f"{part} must hold {name}, {what}; there are {listed(there.keys())}")
    values = np.asarray(there[name], dtype=float)
    return values[:, None] if values.ndim == 1 else values


# --- clusters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clusters:
    """Labels of n cells, and how each label is drawn.

    Attributes:
        title: what they are.
        names: of the K labels.
        codes: (n,) number of the label; -1 = none.
        colors: (K,) of the labels.
        markers: (K,) of the labels: those that share a colour differ.
    """

    title: str
    names: tuple[str, ...]
    codes: Array
    colors: tuple[str, ...]
    markers: tuple[str, ...]

    @property
    def counts(self) -> Array:
        """(K,) number of cells with each label."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    @property
    def n_without(self) -> int:
        """Number of cells without a label."""
        return int((self.codes < 0).sum())


def clusters_of(adata: AnnData, key: str, what: str = "key") -> Clusters:
    """The labels of a column of obs in the colours that uns has for them.

    Raises:
        DataError: an unknown column.
    """
    labels = column_of(adata, "obs", key, what).astype("category").cat
    names = tuple(str(name) for name in labels.categories)
    colors = colors_of(adata, key, len(names))
    markers = tuple(MARKERS[colors[:k].count(color) % len(MARKERS)] for k, color in enumerate(colors))
    return Clusters(str(key), names, labels.codes.to_numpy().astype(int), colors, markers)


def colors_of(adata: AnnData, key: str, count: int) -> tuple[str, ...]:
    """Colours of the labels of a column: those in uns where there are enough, else those of this package.

    A colour that comes again is replaced by another, as long as there are any.
    """
    stored = [str(color) for color in np.ravel(adata.uns.get(f"{key}_colors", []))][:count]
    first = stored if len(stored) == count else [PALETTE[k % len(PALETTE)] for k in range(count)]
    more = iter([color for color in PALETTE if color not in first])
    return tuple(next(more, color) if color in first[:k] else color for k, color in enumerate(first))


# --- cells -----------------------------------------------------------------------------------------------------------


def shuffled(n: int) -> Array:
    """The numbers 0 to n - 1 in an order that is always the same and hides no cluster under another."""
    return np.random.default_rng(0).permutation(n)


def size_of(n: int) -> float:
    """Area of a dot where n of them are drawn."""
    return float(np.clip(9000 / max(n, 1), 1.6, 16.0))


def dots(ax: Axes, xy: Array, clusters: Clusters, **options: Any) -> None:
    """Cells (n, 2) in the colours of their clusters, those without a label in grey below; NaN stays out."""
    seen = np.isfinite(xy).all(axis=1)
    style: dict[str, Any] = {"s": size_of(int(seen.sum())), "linewidths": 0, "rasterized": True, "alpha": 0.7} | options
    bare = seen & (clusters.codes < 0)
    if bare.any():
        ax.scatter(xy[bare, 0], xy[bare, 1], color=NOTHING, zorder=1, **style)
    colors = np.array(clusters.colors, dtype=object)
    order = shuffled(len(xy))
    for marker in dict.fromkeys(clusters.markers):
        own = np.array([each == marker for each in clusters.markers] + [False])
        here = order[seen[order] & own[clusters.codes[order]]]
        if len(here):
            ax.scatter(xy[here, 0], xy[here, 1], c=list(colors[clusters.codes[here]]), marker=marker, zorder=2, **style)


def name_clusters(ax: Axes, clusters: Clusters) -> None:
    """A legend of the clusters, with how many cells each has."""
    looks = zip(clusters.names, clusters.colors, clusters.markers, clusters.counts, strict=True)
    for name, color, marker, count in looks:
        ax.scatter([], [], s=26, color=color, marker=marker, linewidths=0, label=f"{plain(name)} ({count:,})")
    if clusters.n_without:
        ax.scatter([], [], s=26, color=NOTHING, linewidths=0, label=f"NA ({clusters.n_without:,})")
    beside(ax, clusters.title)
