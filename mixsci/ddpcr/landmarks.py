"""Where the droplets of a plate gather: the negatives of every well, and the positive populations above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixsci.ddpcr.peaks import Peak, peaks

Array = np.ndarray

#: A mode this high beside the highest of its well may be its negatives ...
_MAJOR = 0.015
#: ... and is taken for them without other wells' word from this height on.
_PLAIN = 0.05
#: Distances above the negatives are compressed from so many of their standard deviations on: populations widen upwards.
_COMPRESS = 8.0
_FEWEST_IN_PEAK = 8
#: Modes of wells so many spreads apart are not the same population.
_APART = 12.0
_MOST_PEAKS = 14
#: Droplets further out than so many times the range of nearly all are not looked at.
_ROOM = 100.0
_ROUNDS = 6
#: Values are rounded where more than this share of neighbours are equal.
_TIES = 0.5
#: No population is taken to be narrower than this share of its well's range: amplitudes may be rounded.
_FINEST = 1e-3
#: So many standard deviations of the negatives around them are theirs.
_AROUND = 5.0
#: So far above the negatives a droplet is positive, if anything.
_FAR = 12.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Negatives and positive populations of wells that share an assay.

    Attributes:
        baselines: (W, C) place of the negatives of each well.
        level: (C,) their place on the plate.
        spread: (C,) their standard deviation within wells.
        places: (P, C) positive populations, as shifts from the negatives, the largest first.
        masses: (P,) droplets around each.
        lone: (C, C) for every channel the middle of the droplets far up along it, as a shift; NaN where there are none.
    """

    baselines: Array
    level: Array
    spread: Array
    places: Array
    masses: Array
    lone: Array


def landmarks(wells: Sequence[Array], controls: Sequence[int] = ()) -> Landmarks:
    """Landmarks of wells (n_w, C), some of them controls without template."""
    wells = [_within(well) for well in wells]
    spread = np.median([[_narrowest(x) for x in well.T] for well in wells], axis=0)
    modes = [[_modes(well[:, c], spread[c]) for c in range(len(spread))] for well in wells]
    level = np.array([_consensus([each[c] for each in modes], controls, spread[c]) for c in range(len(spread))])
    reach = np.array([_reach([each[c] for each in modes], level[c], spread[c]) for c in range(len(spread))])
    baselines = np.array([
        [_highest(each[c], level[c], reach[c]) for c in range(len(spread))] for each in modes
    ])  # fmt: skip
    baselines = np.array([_alone(well, base, spread) for well, base in zip(wells, baselines, strict=True)])
    spread = _spread_of_negatives(wells, baselines, spread)
    shifts = np.concatenate([well - base for well, base in zip(wells, baselines, strict=True)])
    places, masses = _positives(shifts, spread)
    return Landmarks(baselines, level, spread, places, masses, _lone(shifts, spread))


def squeeze(shifts: Array, spread: Array) -> Array:
    """Shifts (n, C) from the negatives with large ones compressed, as populations widen upwards."""
    return np.asarray(np.arcsinh(shifts / (_COMPRESS * spread)))


def _within(well: Array) -> Array:
    """A well without droplets so far out that they would hide all others."""
    low, high = np.quantile(well, [0.005, 0.995], axis=0)
    room = _ROOM * np.maximum(high - low, 1e-300)
    return well[((well >= low - room) & (well <= high + room)).all(axis=1)]


def _narrowest(x: Array, share: float = 0.1) -> float:
    """About the standard deviation of the narrowest large population: around the shortest stretch with a share of x."""
    ordered = np.sort(x)
    held = max(int(share * len(x)), 1)
    first = int((ordered[held:] - ordered[:-held]).argmin())
    centre, spread = float(ordered[first + held // 2]), float(ordered[first + held] - ordered[first])
    steps = np.diff(ordered)
    # Values rounded to a step say nothing of a spread below it.
    rounded = float(steps[steps > 0].min(initial=np.inf)) if (steps == 0).mean() > _TIES else 0.0
    least = max(_FINEST * float(ordered[-1] - ordered[0]), rounded)
    for _ in range(_ROUNDS):
        near = ordered[np.abs(ordered - centre) <= 3 * max(spread, least)]
        centre = float(np.median(near))
        spread = 1.4826 * float(np.median(np.abs(near - centre)))
    return max(spread, least)


def _modes(x: Array, spread: float) -> list[Peak]:
    """Modes of one channel of one well, from below."""
    return sorted(peaks(x[:, None], np.array([0.5 * spread])), key=lambda peak: float(peak.place[0]))


def _consensus(modes: Sequence[list[Peak]], controls: Sequence[int], spread: float) -> float:
    """The level of the negatives: of the controls where there are, else the lowest where wells have a major mode.

    A mode that a single well has, and that is low, may be dust.
    """
    chosen = [each for each in ([modes[i] for i in controls] or modes) if each]
    lowest = sorted(_lowest_major(each) for each in chosen)
    places = np.array([place for place, _ in lowest])
    ends = np.flatnonzero(np.diff(places, append=np.inf) > _APART * spread)
    begin = 0
    for end in ends:
        together = lowest[begin : end + 1]
        if len(together) > 1 or together[0][1] >= _PLAIN or end == ends[-1]:
            return float(np.median(places[begin : end + 1]))
        begin = int(end) + 1
    raise AssertionError("the last group always counts")


def _lowest_major(modes: list[Peak]) -> tuple[float, float]:
    """Place of the lowest major mode, and its height beside the highest."""
    highest = max(peak.height for peak in modes)
    first = next(peak for peak in modes if peak.height >= _MAJOR * highest)
    return float(first.place[0]), first.height / highest


def _reach(modes: Sequence[list[Peak]], level: float, spread: float) -> float:
    """How far a well's negatives may lie from the level: half-way to the next population of the plate."""
    above = [_next_above(each, level + 6 * spread) for each in modes if each]
    above = [place - level for place in above if np.isfinite(place)]
    return 0.5 * float(np.median(above)) if above else np.inf


def _next_above(modes: list[Peak], place: float) -> float:
    """Place of the lowest major mode above a place; infinite where there is none."""
    highest = max(peak.height for peak in modes)
    return min(
        (float(peak.place[0]) for peak in modes if peak.place[0] > place and peak.height >= _PLAIN * highest),
        default=np.inf,
    )


def _highest(modes: list[Peak], level: float, reach: float) -> float:
    """The highest mode of a well near the level of the negatives; the level itself where it has none in reach."""
    near = [peak for peak in modes if abs(float(peak.place[0]) - level) <= reach]
    return float(max(near, key=lambda peak: peak.height).place[0]) if near else level


def _alone(well: Array, base: Array, spread: Array) -> Array:
    """The baseline of a well (C,), each channel among droplets negative in the other: positives cannot shift it."""
    out = base.copy()
    for c in range(len(base)):
        near = np.delete(np.abs(well - base) < _AROUND * spread, c, axis=1).all(axis=1)
        if len(base) > 1 and near.sum() >= _FEWEST_IN_PEAK:
            out[c] = _highest(_modes(well[near, c], spread[c]), base[c], _AROUND * spread[c])
    return out


def _spread_of_negatives(wells: Sequence[Array], baselines: Array, rough: Array) -> Array:
    """(C,) robust standard deviations about the baselines of all wells."""
    found = np.empty_like(rough)
    for c in range(len(rough)):
        near = []
        for well, base in zip(wells, baselines[:, c], strict=True):
            shift = well[:, c] - base
            near.append(shift[np.abs(shift) < 3 * rough[c]])
        found[c] = 1.4826 * np.median(np.abs(np.concatenate(near)))
    return np.maximum(found, 0.3 * rough)


def _positives(shifts: Array, spread: Array) -> tuple[Array, Array]:
    """Places (P, C) and masses (P,) of populations other than the negatives."""
    squeezed = squeeze(shifts, spread)
    found = peaks(squeezed, np.full(len(spread), 0.6 / _COMPRESS))
    places = np.array([_COMPRESS * spread * np.sinh(peak.place) for peak in found]).reshape(-1, len(spread))
    far = (np.abs(places) > _AROUND * spread).any(axis=1) & (places > -_AROUND * spread).all(axis=1)
    places = places[far]
    outside = squeezed[(np.abs(shifts) > _AROUND * spread).any(axis=1)]
    owner = _nearest_place(outside, squeeze(places, spread))
    masses = np.bincount(owner[owner >= 0], minlength=len(places)).astype(float)
    order = np.argsort(-masses)[:_MOST_PEAKS]
    order = order[masses[order] >= _FEWEST_IN_PEAK]
    return places[order], masses[order]


def _lone(shifts: Array, spread: Array) -> Array:
    """(C, C) medians of the droplets far up each channel and not in the other."""
    far = shifts > _FAR * spread
    found = np.full((len(spread), len(spread)), np.nan)
    for c in range(len(spread)):
        here = far[:, c] & (np.abs(np.delete(shifts / spread, c, axis=1)) < _AROUND).all(axis=1)
        if here.any():
            found[c] = np.median(shifts[here], axis=0)
    return found


def _nearest_place(points: Array, places: Array) -> Array:
    """(n,) index of the place nearest to each point; -1 where none is near."""
    nearest, distance = np.full(len(points), -1), np.full(len(points), (4.0 / _COMPRESS) ** 2)
    for index, place in enumerate(places):
        away = ((points - place) ** 2).sum(axis=1)
        closer = away < distance
        nearest[closer], distance[closer] = index, away[closer]
    return nearest
