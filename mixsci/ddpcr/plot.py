"""Pictures of a quantified plate: every function takes `ax=None` and returns the Axes; nothing is fitted here.

Droplets have the colours of `mixsci.ddpcr.palette`, black those of no population. Droplets at the same spot of a
picture are drawn once; where droplets lie on one another the spot is darker.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mixsci.ddpcr.calls import Calls
from mixsci.ddpcr.palette import HEAT, INK, PALE, TARGETS, WARNING, darker
from mixsci.ddpcr.portrait import (
    OUTLIER,
    Portrait,
    above_blank,
    apart,
    names_of_codes,
    number,
    portrait,
    results_of,
    short,
    targets_of,
    wells_of,
)
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import StepPatch

    from mixsci.ddpcr.quantified import Quantification

Array = np.ndarray

#: Spots of a plane, of a strip of droplets, and of the column of a well, along their sides.
_PLANE, _STRIP, _COLUMN = (420, 320), (420, 14), (14, 420)
_SHADES = 4
#: Ellipses lie at so many standard deviations.
_RADIUS = 2.0
#: Part of a histogram, at its foot, that is left to the droplets themselves.
_FOOT = 0.17
#: Height of a line of words above a picture, points.
_LINE = 11.5
#: Up to so many wells have their names upright; beyond so many only the first well of each row is named.
_FEW_NAMES, _MOST_NAMES = 16, 110
_DPI = 100
#: Levels of red, green and blue in the picture of a well: droplets look the same in so few.
_LEVELS = 32
#: Behind words, so that they stand out from droplets.
_PAPER = {"facecolor": "white", "alpha": 0.72, "linewidth": 0, "pad": 0.6}


# --- the plate -------------------------------------------------------------------------------------------------------


def plate(q: Quantification, target: str | None = None, ax: Any = None) -> Any:
    """The plate as a heat map of copies/µL: the Axes of a target, or (T,) of them, one below the other.

    Controls have a frame, flagged wells a triangle, and wells without a result a cross; a number in grey is not above
    the limit of blank.

    Args:
        q: a quantified plate.
        target: which; None = all.
        ax: where to draw, one Axes per target; None = a new figure.

    Raises:
        DataError: a target the plate does not have, or another number of Axes than of targets.

    Example:
        >>> from mixsci import ddpcr
        >>> q = ddpcr.quantify(ddpcr.simulate_plate([0.1, 0.5], n_droplets=2000, controls=1, rng=1).plate)
        >>> ddpcr.plot.plate(q).get_title(loc="left")
        'Target, copies/µL'
    """
    targets = targets_of(q)
    if target is not None and target not in targets:
        raise DataError(f"target must be one of {', '.join(targets)}; got {target!r}")
    chosen = targets if target is None else [target]
    axes = _plate_axes(q, len(chosen)) if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != len(chosen):
        raise DataError(f"ax must be one Axes for each of {', '.join(chosen)}; got {len(axes)}: or name one target")
    for each, name in zip(axes, chosen, strict=True):
        _heat_map(each, q, name)
    return axes[0] if len(chosen) == 1 else axes


def _shape_of(q: Quantification) -> tuple[int, int]:
    """Rows and columns of the plate: of 96 wells, or of 384 where a well asks for it."""
    fits = all(name[0] <= "H" and int(name[1:]) <= 12 for name in q.plate.wells)
    return (8, 12) if fits else (16, 24)


def _plate_axes(q: Quantification, count: int) -> Array:
    width, height = (8.6, 5.6) if _shape_of(q)[0] == 8 else (15.0, 9.6)
    return np.asarray(_figure(width, count * height).subplots(count, 1, squeeze=False)).ravel()


def _heat_map(ax: Axes, q: Quantification, target: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns = _shape_of(q)
    found = results_of(q, target)
    colors = LinearSegmentedColormap.from_list("copies", HEAT)
    values = found["Concentration"].to_numpy(dtype=float)
    top = float(values[np.isfinite(values)].max(initial=0.0)) or 1.0
    flagged = {str(well) for well, name in zip(q.qc["Well"], q.qc["Target"], strict=True) if name in {"", target}}
    _empty_plate(ax, rows, columns)
    for row in found.to_dict("records"):
        _cell(ax, row, colors, top, flagged=row["Well"] in flagged, small=rows > 8)
    for name, well in q.plate.wells.items():
        if well.problem:
            _cross(ax, _place(name))
    _key(ax, q, found, flagged)
    ax.set_title(_plain(f"{target}, copies/µL"), loc="left", fontweight="bold", fontsize=11, pad=22)


def _place(well: str) -> tuple[int, int]:
    """Column and row of a well, from 0."""
    return int(well[1:]) - 1, ord(well[0]) - ord("A")


def _empty_plate(ax: Axes, rows: int, columns: int) -> None:
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
    ax.set_xticks(range(columns), [str(column + 1) for column in range(columns)])
    ax.set_yticks(range(rows), [chr(ord("A") + row) for row in range(rows)])
    ax.tick_params(length=0, labelsize=8, labelcolor="#6A6A6A")
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.spines[:].set_visible(False)
    x, y = np.meshgrid(range(columns), range(rows))
    ax.plot(x.ravel(), y.ravel(), "o", ms=2.2, color="#DADADA", zorder=0)


def _cell(ax: Axes, row: Mapping[Any, Any], colors: Colormap, top: float, *, flagged: bool, small: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = _place(row["Well"])
    value = row["Concentration"]
    # Three decades are told apart.
    shade = float(np.log1p(1000 * min(value, top) / top) / np.log1p(1000.0)) if value > 0 else 0.0
    edge = ("#D0DCE4", 0.6) if row["SampleType"] != "NTC" else (INK, 1.5)
    box = FancyBboxPatch((x - 0.44, y - 0.44), 0.88, 0.88, boxstyle="round,pad=0,rounding_size=0.1")
    box.set(facecolor=colors(shade), edgecolor=edge[0], linewidth=edge[1])
    ax.add_patch(box)
    ink = "white" if shade > 0.56 else INK if above_blank(row["AboveLoB"]) else PALE
    sample = "" if small else _plain(short(str(row["Sample"]), 11))
    words: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
    ax.text(x, y - 0.1 * bool(sample), number(value), fontsize=5.5 if small else 9, fontweight="bold", **words)
    ax.text(x, y + 0.27, sample, fontsize=5.2, **words)
    if flagged:
        size = 4.4 if small else 6.0
        ax.plot(x + 0.36, y - 0.34, marker=(3, 0, 0), ms=size, color=WARNING, mec="white", mew=0.4)


def _cross(ax: Axes, at: tuple[int, int]) -> None:
    for sign in (1, -1):
        ends = np.array([-0.3, 0.3])
        ax.plot(at[0] + ends, at[1] + sign * ends, color=PALE, lw=1.6, zorder=1)


def _key(ax: Axes, q: Quantification, found: pd.DataFrame, flagged: set[str]) -> None:
    """What the marks mean, for those that are there."""
    from matplotlib.lines import Line2D

    marks: list[Line2D] = []
    if (found["SampleType"] == "NTC").any():
        frame = "control without template"
        marks.append(Line2D([], [], ls="", marker="s", color="white", mec=INK, mew=1.5, ms=8, label=frame))
    if not all(map(above_blank, found["AboveLoB"])):
        grey = "grey number: not above the limit of blank"
        marks.append(Line2D([], [], ls="", marker="$0$", color=PALE, ms=6, label=grey))
    if flagged & {str(name) for name in found["Well"]}:
        marks.append(Line2D([], [], ls="", marker=(3, 0, 0), color=WARNING, ms=7, label="flagged"))
    if any(well.problem for well in q.plate.wells.values()):
        marks.append(Line2D([], [], ls="", marker="x", color=PALE, mew=1.6, ms=7, label="no result"))
    if marks:
        ax.legend(
            handles=marks, loc="upper left", bbox_to_anchor=(0.0, -0.005), ncols=len(marks), frameon=False,
            fontsize=7.5, handletextpad=0.3, columnspacing=1.4, borderaxespad=0.2, handlelength=1.4,
        )  # fmt: skip


# --- a well ----------------------------------------------------------------------------------------------------------


def well(q: Quantification, well: str, ax: Axes | None = None, *, calls: Calls | None = None) -> Axes:
    """The droplets of a well, coloured by call, and what was fitted to them.

    One channel: `histogram`. Two: the droplets in their plane; of each population its level (+) and the ellipse at two
    standard deviations of its core, dotted where it holds no droplet; of rain the way it lies on, a pale line.

    Args:
        q: a quantified plate.
        well: its name.
        ax: where to draw; None = a new figure.
        calls: of the droplets, where they are at hand.

    Raises:
        DataError: a well that was not quantified.
    """
    here, ax = portrait(q, well, calls), _axes(ax)
    if len(here.channels) == 2:
        _plane(ax, here)
    else:
        _histogram(ax, here, 0)
    return _head(ax, here)


def histogram(
    q: Quantification, well: str, channel: str | None = None, ax: Axes | None = None, *, calls: Calls | None = None
) -> Axes:
    """Droplets of a well along one channel, the curve of each population and of all (dotted), and themselves below.

    The axis of counts is logarithmic: rain and a single positive are seen beside thousands of negatives.

    Args:
        q: a quantified plate.
        well: its name.
        channel: which; None = the first.
        ax: where to draw; None = a new figure.
        calls: of the droplets, where they are at hand.

    Raises:
        DataError: a well that was not quantified, or a channel it does not have.
    """
    here, ax = portrait(q, well, calls), _axes(ax)
    if channel is not None and channel not in here.channels:
        raise DataError(f"channel must be one of {', '.join(here.channels)}; got {channel!r}")
    _histogram(ax, here, 0 if channel is None else here.channels.index(channel))
    return _head(ax, here)


def _plane(ax: Axes, here: Portrait) -> None:
    _scatter(ax, here)
    for start, end in here.rain_paths:
        if here.present[end]:
            color = here.colors[here.code_of_state[end]]
            ax.plot(*here.levels[[start, end]].T, color=color, lw=0.9, alpha=0.45, zorder=3)
    for state in np.flatnonzero(here.shown):
        _ellipse(ax, here, int(state))
    (left, bottom), (right, top) = here.corners
    ax.set(xlim=(left, right), ylim=(bottom, top))
    _name_populations(ax, here)
    _number_rungs(ax, here)
    ax.locator_params(nbins=6)
    _dress(ax, f"{here.channels[0]} amplitude", f"{here.channels[1]} amplitude")


def _scatter(ax: Axes, here: Portrait) -> None:
    first, counts = apart(here.x, here.codes, here.corners, _PLANE)
    steps = np.minimum(np.log2(counts).astype(int), _SHADES - 1)
    # Crowded spots come last: their shade is what tells a core from its rim.
    for step in range(_SHADES):
        for code in np.unique(here.codes):
            own = first[(steps == step) & (here.codes[first] == code)]
            color = darker(here.colors[code], 0.5 * step / (_SHADES - 1))
            _dots(ax, here.x[own, 0], here.x[own, 1], color, size=2.0)


def _dots(ax: Axes, x: Array, y: Array, color: str, *, size: float, **options: Any) -> None:
    # One marker stamped many times: a scatter with a colour for each point takes ten times as long.
    ax.plot(x, y, ls="", marker="o", ms=size, mew=0, color=color, rasterized=True, **{"zorder": 2} | options)


def _ellipse(ax: Axes, here: Portrait, state: int) -> None:
    from matplotlib.patches import Ellipse

    values, vectors = np.linalg.eigh(here.spreads[state])
    x, y = here.levels[state].tolist()
    width, height = 2 * _RADIUS * np.sqrt(np.maximum(values[::-1], 0.0))
    angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
    color, there = darker(here.colors[here.code_of_state[state]]), bool(here.present[state])
    for rim, wider in (("white", 1.4), (color, 0.0)):
        ring = Ellipse((x, y), width, height, angle=angle, fill=False, edgecolor=rim, zorder=4)
        ring.set(linewidth=wider + (1.3 if there else 0.8), linestyle="-" if there else ":", alpha=1 if there else 0.6)
        # As add_patch would, without working out limits that are known.
        ax.add_artist(ring)
    ax.plot(x, y, "+", color="white" if there else PALE, ms=6, mew=1.2, zorder=5)


def _name_populations(ax: Axes, here: Portrait) -> None:
    """What is called how, and how many droplets: above the droplets of each, moved up where words would meet."""
    low, high = here.corners
    size = np.asarray(ax.get_window_extent().size) / _figure_of(ax).dpi * 72
    taken: list[tuple[float, float, float]] = []
    for code, words in _populations(here):
        own = here.x[here.codes == code]
        half = 2.35 * len(words)
        place = (np.array([np.median(own[:, 0]), np.quantile(own[:, 1], 0.995)]) - low) / (high - low) * size
        x, y = float(np.clip(place[0], half, max(size[0] - half, half))), float(place[1]) + 2.0
        while any(abs(x - other) < half + wide and abs(y - height) < 9.5 for other, height, wide in taken):
            y += 1.0
        taken.append((x, y, half))
        _label(ax, words, here.colors[code], (0.0, 0.0), (x, y), xycoords="axes fraction")


def _populations(here: Portrait) -> list[tuple[int, str]]:
    """Code of everything called in a well, its name, and how many droplets are called so."""
    names = names_of_codes(here.assay.targets)
    codes, counts = np.unique(here.codes[here.codes != OUTLIER], return_counts=True)
    return [
        (code, _plain(f"{short(names[code], 26)}  {count:,}"))
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    ]


def _label(
    ax: Axes, words: str, color: str, at: tuple[float, float], aside: tuple[float, float], **options: Any
) -> None:
    ax.annotate(
        words, at, aside, textcoords="offset points", ha="center", va="bottom", fontsize=7.5, fontweight="bold",
        color=darker(color), zorder=7, bbox=_PAPER, annotation_clip=False, **options,
    )  # fmt: skip


def _number_rungs(ax: Axes, here: Portrait) -> None:
    """How many loci are lit, beside each rung of a ladder."""
    states = here.scheme.states
    for t, target in enumerate(here.scheme.targets):
        alone = (np.delete(states, t, axis=1) == 0).all(axis=1) & (states[:, t] > 0)
        for state in np.flatnonzero(alone & (target.classes > 2)):
            x = here.levels[state, 0] - 2.1 * np.sqrt(here.spreads[state, 0, 0])
            style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 8, "color": INK, "bbox": _PAPER}
            ax.text(x, here.levels[state, 1], f"{states[state, t]} ", zorder=7, **style)


def _histogram(ax: Axes, here: Portrait, channel: int) -> None:
    bars, edges = here.bars(channel), here.edges(channel)
    for code, held in bars:
        ax.stairs(held, edges, baseline=1e-3, fill=True, color=here.colors[code], alpha=0.38, lw=0, zorder=1)
    grid, curves = here.lines_along(channel)
    for color, curve in curves:
        ax.plot(grid, curve, color=color, **_stroke(color))
    top = _top(bars)
    bottom = 10 ** ((np.log10(0.6) - _FOOT * np.log10(top)) / (1 - _FOOT))
    ax.set_yscale("log")
    ax.set(xlim=(edges[0], edges[-1]), ylim=(bottom, top))
    ax.set_yticks([tick for tick in 10.0 ** np.arange(6) if tick < top])
    _name_ticks(ax.yaxis)
    _strew(ax, here, channel)
    _mark_thresholds(ax, here, channel)
    _name_peaks(ax, here, channel)
    _dress(ax, f"{here.channels[channel]} amplitude", "droplets per bin")
    ax.grid(visible=False, axis="x")


def _stroke(color: str) -> dict[str, Any]:
    """The style of a curve: that of all droplets is dotted."""
    return {"lw": 0.9, "ls": (0, (1, 1.2)), "zorder": 4} if color == INK else {"lw": 1.3, "zorder": 3}


def _top(bars: Sequence[tuple[int, Array]]) -> float:
    """Where a logarithmic axis of counts ends, room for a name above the highest bar."""
    return 3.0 * max(float(held.max()) for _, held in bars)


def _name_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))


def _strew(ax: Axes, here: Portrait, channel: int) -> None:
    """Every droplet below the histogram, at a height that means nothing."""
    x, aside, edges = here.x[:, channel], _spread_out(len(here.x)), here.edges(channel)
    corners = np.array([edges[0], 0.0]), np.array([edges[-1], 1.0])
    first, _ = apart(np.column_stack([x, aside]), here.codes, corners, _STRIP)
    ax.axhspan(0.0, _FOOT - 0.015, transform=ax.transAxes, color="white", zorder=3.5, lw=0)
    for code in np.unique(here.codes):
        own = first[here.codes[first] == code]
        height = 0.015 + (_FOOT - 0.04) * aside[own]
        _dots(ax, x[own], height, here.colors[code], size=1.7, transform=ax.get_xaxis_transform(), zorder=5)


def _spread_out(n: int) -> Array:
    """(n,) places in [0, 1), evenly strewn whatever the order of the droplets."""
    return np.asarray((np.arange(n) * 0.6180339887498949) % 1.0)


def _mark_thresholds(ax: Axes, here: Portrait, channel: int) -> None:
    left, right = ax.get_xlim()
    for _, at in here.along(channel):
        if np.isfinite(at):
            ax.axvline(at, color=INK, lw=0.9, ls="--", zorder=3)
            way, side = (-1, "right") if at > left + 0.7 * (right - left) else (1, "left")
            ax.annotate(
                f"positive from {at:,.0f}", (at, 1.0), (3 * way, -3), xycoords=ax.get_xaxis_transform(),
                textcoords="offset points", ha=side, va="top", fontsize=7, color=INK, zorder=7, bbox=_PAPER,
            )  # fmt: skip


def _name_peaks(ax: Axes, here: Portrait, channel: int) -> None:
    """What is called how, and how many droplets, above the highest bar of each."""
    edges, bars = here.edges(channel), dict(here.bars(channel))
    for code, words in _populations(here):
        half = 0.0056 * len(words) * (edges[-1] - edges[0])
        x = float(np.clip(edges[bars[code].argmax()], edges[0] + half, edges[-1] - half))
        _label(ax, words, here.colors[code], (x, max(float(bars[code].max()), 2.0)), (0, 3))


def _margin(ax: Axes, here: Portrait, channel: int) -> None:
    """The histogram of a channel beside the plane, above it or at its right; heights are decimal logarithms."""
    upright, bars, edges = channel == 0, here.bars(channel), here.edges(channel)
    least, most = np.log10([0.5, _top(bars)])
    ax.set_axis_off()
    for code, held in bars:
        ax.add_artist(_steps(np.log10(np.maximum(held, 0.5)), edges, least, here.colors[code], upright=upright))
    grid, curves = here.lines_along(channel)
    for color, curve in curves:
        heights = np.log10(curve)
        ax.plot(*((grid, heights) if upright else (heights, grid)), color=color, **_stroke(color))
    ends = (edges[0], edges[-1]), (least, most)
    ax.set(xlim=ends[not upright], ylim=ends[upright])


def _steps(heights: Array, edges: Array, least: float, color: str, *, upright: bool) -> StepPatch:
    from matplotlib.patches import StepPatch

    steps = StepPatch(heights, edges, baseline=least, orientation="vertical" if upright else "horizontal", fill=True)
    steps.set(color=color, alpha=0.38, linewidth=0)
    return steps


def _head(ax: Axes, here: Portrait) -> Axes:
    """Above the picture: the well and its sample, and a line for each target and for the flags."""
    count = len(here.lines)
    ax.set_title(_plain(here.title), loc="left", fontweight="bold", fontsize=10.5, pad=6 + _LINE * count, y=1.0)
    for i, (line, color) in enumerate(here.lines):
        ax.annotate(
            _plain(line), (0.0, 1.0), (0, 5 + _LINE * (count - 1 - i)), xycoords="axes fraction",
            textcoords="offset points", fontsize=8, color=color, va="bottom", annotation_clip=False,
        )  # fmt: skip
    return ax


# --- all wells side by side ------------------------------------------------------------------------------------------


def droplets(
    q: Quantification,
    channel: str | None = None,
    ax: Axes | None = None,
    *,
    portraits: Mapping[str, Portrait] | None = None,
) -> Axes:
    """Every droplet of a channel, well beside well, coloured by call; the bar of a well is where its positives begin.

    Args:
        q: a quantified plate.
        channel: which; None = the first.
        ax: where to draw; None = a new figure.
        portraits: of the wells, where they are at hand.

    Raises:
        DataError: a channel no well has.
    """
    known = list(dict.fromkeys(name for assay in q.assays for name in assay.group.channels))
    channel = known[0] if channel is None else channel
    if channel not in known:
        raise DataError(f"channel must be one of {', '.join(known)}; got {channel!r}")
    wells = [name for name in wells_of(q) if channel in q.assay_of(name).group.channels]
    ax = _axes(ax, width=float(np.clip(0.16 * len(wells) + 1.5, 5.0, 16.0)))
    for i, name in enumerate(wells):
        here = portrait(q, name) if portraits is None else portraits[name]
        _column(ax, here, here.channels.index(channel), i)
    controls = {name for assay in q.assays for name in assay.group.controls}
    _name_wells(ax, wells, controls)
    _dress(ax, "well; in bold: controls" if controls else "well", f"{channel} amplitude")
    ax.grid(visible=False, axis="x")
    ax.tick_params(axis="x", length=0)
    return ax


def _name_wells(ax: Axes, wells: Sequence[str], controls: set[str]) -> None:
    first = [i for i, name in enumerate(wells) if i == 0 or name[0] != wells[i - 1][0]]
    named = list(range(len(wells))) if len(wells) <= _MOST_NAMES else first
    size = float(np.clip(900 / max(len(named), 1), 5.5, 8.5))
    turn = 90 if len(named) > _FEW_NAMES else 0
    ax.set_xticks(named, [wells[i] for i in named], rotation=turn, fontsize=size)
    for label, i in zip(ax.get_xticklabels(), named, strict=True):
        label.set_fontweight("bold" if wells[i] in controls else "normal")
    ax.set_xlim(-0.7, len(wells) - 0.3)


def _column(ax: Axes, here: Portrait, channel: int, at: int) -> None:
    x, aside = here.x[:, channel], _spread_out(len(here.x))
    corners = np.array([0.0, x.min()]), np.array([1.0, x.max() + 1.0])
    first, _ = apart(np.column_stack([aside, x]), here.codes, corners, _COLUMN)
    codes = _codes_along(here, channel)[first]
    for code in np.unique(codes):
        own = first[codes == code]
        _dots(ax, at - 0.4 + 0.8 * aside[own], x[own], here.colors[code], size=1.3)
    for _, threshold in here.along(channel):
        if np.isfinite(threshold):
            ax.plot([at - 0.45, at + 0.45], [threshold, threshold], color=INK, lw=1.0, zorder=3)


def _codes_along(here: Portrait, channel: int) -> Array:
    """(n,) codes by the one target that lights along a channel; by all targets where there is no such one."""
    own = here.along(channel)
    if len(own) != 1:
        return here.codes
    return np.where(here.codes == OUTLIER, OUTLIER, here.codes & (1 << (len(here.scheme.targets) - 1 - own[0][0])))


# --- beside the instrument -------------------------------------------------------------------------------------------


def instrument(q: Quantification, ax: Axes | None = None) -> Axes:
    """Concentrations here, with their intervals, over those of the instrument; on the line they agree.

    Args:
        q: a quantified plate, its instrument's results among the files that were read.
        ax: where to draw; None = a new figure.

    Raises:
        DataError: the instrument's results were not among the files.
    """
    rows = results_of(q)
    both = rows[["ConcentrationInstrument", "Concentration"]].to_numpy(dtype=float)
    rows, both = rows[np.isfinite(both).all(axis=1)], both[np.isfinite(both).all(axis=1)]
    if not len(rows):
        raise DataError("the plate has no results of the instrument: read its results sheet with the droplets")
    ax = _axes(ax, width=5.4)
    top = float(both.max()) or 1.0
    least = min(float(both[both > 0].min(initial=top)), top / 10) / 2
    for i, target in enumerate(targets_of(q)):
        own = rows[rows["Target"] == target]
        if len(own):
            _agreement(ax, own, target, TARGETS[i % len(TARGETS)])
    ax.axline((0, 0), slope=1, color=PALE, lw=0.9, zorder=1)
    ticks = [0.0, *(tick for tick in 10.0 ** np.arange(-3, 7) if 1.5 * least <= tick <= 2 * top)]
    ax.set_xscale("symlog", linthresh=least, linscale=0.3)
    ax.set_yscale("symlog", linthresh=least, linscale=0.3)
    ax.set(xlim=(-0.4 * least, 2 * top), ylim=(-0.4 * least, 2 * top), xticks=ticks, yticks=ticks)
    _name_ticks(ax.xaxis)
    _name_ticks(ax.yaxis)
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return _dress(ax, "instrument, copies/µL", "here, copies/µL")


def _agreement(ax: Axes, rows: pd.DataFrame, target: str, color: str) -> None:
    names = ("ConcentrationInstrument", "Concentration", "PoissonConfMin", "PoissonConfMax")
    x, y, low, high = (rows[name].to_numpy(dtype=float) for name in names)
    reach = np.nan_to_num([np.maximum(y - low, 0), np.maximum(high - y, 0)], posinf=0.0)
    ax.errorbar(x, y, yerr=reach, fmt="o", ms=4, color=color, lw=1.0, label=_plain(target), zorder=3)


# --- files -----------------------------------------------------------------------------------------------------------


def plate_picture(q: Quantification, target: str | None = None) -> bytes:
    """The plate as a PNG: of one target, or of all."""
    rows, _ = _shape_of(q)
    width, height = (7.6, 5.2) if rows == 8 else (14.0, 9.2)
    targets = targets_of(q) if target is None else [target]
    figure = _bare_figure(width, height * len(targets))
    share = 1.0 / len(targets)
    places = [(0.035, 1 - (i + 1) * share + 0.07 * share, 0.95, 0.79 * share) for i in range(len(targets))]
    plate(q, target, ax=[figure.add_axes(place) for place in places])
    # The eye does see steps between the pale cells of a plate.
    return _png(figure, dpi=130 if rows == 8 else 100, levels=256)


def well_picture(here: Portrait) -> bytes:
    """A well as a PNG: its histogram, or the plane of its two channels with their histograms at its sides."""
    top = 0.34 + _LINE / 72 * len(here.lines)
    if len(here.channels) == 1:
        height = 3.5 + top
        figure = _bare_figure(6.4, height)
        ax = figure.add_axes((0.095, 0.5 / height, 0.885, 3.0 / height))
        _histogram(ax, here, 0)
    else:
        height = 5.3 + top
        figure = _bare_figure(7.2, height)
        _plane(figure.add_axes((0.095, 0.5 / height, 0.76, 4.1 / height)), here)
        _margin(figure.add_axes((0.86, 0.5 / height, 0.12, 4.1 / height)), here, 1)
        ax = figure.add_axes((0.095, 4.62 / height, 0.76, 0.62 / height))
        _margin(ax, here, 0)
    _head(ax, here)
    return _png(figure)


def droplets_picture(q: Quantification, channel: str, portraits: Mapping[str, Portrait]) -> bytes:
    """All wells of a channel side by side as a PNG."""
    count = sum(channel in here.channels for here in portraits.values())
    width = float(np.clip(0.13 * count + 1.2, 5.0, 13.5))
    figure = _bare_figure(width, 3.9)
    droplets(q, channel, figure.add_axes((0.75 / width, 0.2, 1 - 0.85 / width, 0.77)), portraits=portraits)
    return _png(figure)


def instrument_picture(q: Quantification) -> bytes:
    """Concentrations beside the instrument's as a PNG."""
    figure = _bare_figure(5.2, 4.2)
    instrument(q, figure.add_axes((0.13, 0.13, 0.84, 0.84)))
    return _png(figure)


def _png(figure: Figure, dpi: int = _DPI, levels: int = _LEVELS) -> bytes:
    """The figure as a PNG; with fewer levels of red, green and blue it is half as large."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import imsave

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the tables beside the pictures have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        canvas.draw()
    colors = np.asarray(canvas.buffer_rgba())[..., :3]
    steps = np.rint(np.arange(256) * (levels - 1) / 255)
    nearest = np.rint(steps * 255 / (levels - 1)).astype(np.uint8)
    buffer = io.BytesIO()
    imsave(buffer, nearest[colors], format="png", dpi=dpi, pil_kwargs={"compress_level": 4})
    return buffer.getvalue()


def _bare_figure(width: float, height: float) -> Figure:
    """A figure that no window shows and no list keeps; its size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI)


# --- what all share --------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def _figure_of(ax: Axes) -> Figure:
    return cast("Figure", ax.figure)


def _axes(ax: Axes | None, width: float = 6.4) -> Axes:
    return _figure(width, 4.6).subplots() if ax is None else ax


def _dress(ax: Axes, x_name: str, y_name: str) -> Axes:
    """Names on the axes, a faint grid, no box."""
    ax.set_xlabel(_plain(x_name), fontsize=8.5)
    ax.set_ylabel(_plain(y_name), fontsize=8.5)
    ax.tick_params(labelsize=8, color=PALE)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(PALE)
    ax.grid(visible=True, color="#ECECEC", lw=0.6)
    ax.set_axisbelow(True)
    return ax


def _plain(text: str) -> str:
    """Text of users on one line, and as text: a dollar sign would open a formula."""
    return " ".join(text.replace("$", r"\$").split("\n")).replace("\r", " ").replace("\t", " ")
