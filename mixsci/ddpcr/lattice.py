"""Which targets explain the populations of a plate: steps from the negatives whose sums lie where droplets gather."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mixsci.ddpcr.landmarks import Landmarks
from mixsci.ddpcr.laws import Request, Scheme, Target, on_channel
from mixsci.errors import DataError

Array = np.ndarray

#: Where a sum of steps is large in a channel, it may fall short by competition and exceed by cross-talk so far.
_SHORT, _LONG = 0.35, 1.3
#: Elsewhere it may miss by this share of the channel's largest step.
_MISS = 0.25
#: A target stands along a channel where the other channel moves by at most this share of that channel's range.
_ALONG = 0.2
#: What one more target or one more class must explain, in populations.
_COST_TARGET, _COST_CLASS = 0.6, 0.3
#: Weight of the mean squared distance of the populations from where the sums of steps would have them.
_COST_MISS = 1.0
#: A population left over counts in full from this share of the largest on; less may be a clump of rain.
_SLIGHT = 0.03
#: A population so near to a state, as a share of the largest steps, is part of it.
_NEAR = 0.12
#: Populations among which the steps of so many targets are looked for, the largest first.
_MOST_CHOICES = {3: 10, 4: 8}
_SOME_SIGNAL = 10.0
#: The first population along a channel holds this share of the largest there, or is a clump of rain; ...
_FIRST_WORTH = 0.05
#: ... others hold less, and each lies this part of the first one's way further up than the one before.
_NEXT_WORTH, _NEXT = 0.003, 0.4
#: Without any positive droplets, positives are taken to lie so many standard deviations above the negatives.
_NOWHERE = 40.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A scheme on the populations of a plate.

    Attributes:
        steps: (T, C) what one class of each target adds.
        places: (S, C) place of each state, as a shift from the negatives.
        masses: (S,) about the droplets in it.
        cost: populations it leaves unexplained, and a little for what it assumes.
        unseen: targets without a positive population.
    """

    scheme: Scheme
    steps: Array
    places: Array
    masses: Array
    cost: float
    unseen: tuple[int, ...] = ()


def candidates(request: Request, marks: Landmarks, channels: tuple[str, ...]) -> list[Placed]:
    """Schemes that fit a request, placed on the populations of a plate, the most telling first.

    Raises:
        DataError: fewer populations in the plane of two channels than targets asked for.
    """
    found = [placed for steps, scheme, unseen in _proposals(request, marks, channels)
             for placed in [_explain(scheme, steps, marks, unseen)]]  # fmt: skip
    if not found:
        raise DataError(
            f'law="{request.plane}" needs as many positive populations as targets; {len(marks.places)} were found: add '
            "positive controls, or ask for fewer targets"
        )
    best: dict[str, Placed] = {}
    for placed in sorted(found, key=lambda each: each.cost):
        best.setdefault(_key(placed.scheme), placed)
    return list(best.values())


def _key(scheme: Scheme) -> str:
    return f"{scheme.linked} {[(target.classes, target.kind, target.channel) for target in scheme.targets]}"


def _proposals(
    request: Request, marks: Landmarks, channels: tuple[str, ...]
) -> Iterator[tuple[Array, Scheme, tuple[int, ...]]]:
    if request.plane in {"auto", "linked"}:
        specs = ("binary",) * 2 if request.plane == "linked" else ("auto",) * 2
        for steps, scheme, unseen in _along_channels(specs, marks, channels):
            yield steps, replace(scheme, linked=request.plane == "linked"), unseen
        if request.plane == "auto":
            yield from _in_plane((3, 4), marks)
    elif request.plane:
        yield from _in_plane((int(request.plane.partition(":")[2]),), marks)
    else:
        yield from _along_channels(request.per_channel, marks, channels)


def _along_channels(
    specs: tuple[str, ...], marks: Landmarks, channels: tuple[str, ...]
) -> Iterator[tuple[Array, Scheme, tuple[int, ...]]]:
    """One target for each channel, one step up its populations."""
    steps, unseen, targets = [], [], []
    for c, (spec, name) in enumerate(zip(specs, channels, strict=True)):
        seen = _on_axis(marks, c)
        if len(seen):
            steps.append(seen[0])
        else:
            guess = np.eye(len(channels))[c] * _NOWHERE * marks.spread[c]
            steps.append(guess if np.isnan(marks.lone[c]).any() else marks.lone[c])
            unseen.append(c)
        targets.append(on_channel(spec, name, c, len(seen)))
    yield np.array(steps), Scheme(tuple(targets)), tuple(unseen)


def _on_axis(marks: Landmarks, channel: int) -> Array:
    """Populations along a channel, the nearest first that holds a good part of the droplets."""
    # A channel without signal of its own must not make a little cross-talk look large.
    size = np.maximum(np.abs(marks.places).max(axis=0, initial=0.0), _SOME_SIGNAL * marks.spread)
    away = np.delete(np.abs(marks.places) / size, channel, axis=1).max(axis=1, initial=0.0)
    here = marks.places[:, channel] / size[channel]
    along = (away <= _ALONG * np.maximum(here, 0.5)) & (here > 0)
    largest = marks.masses[along].max(initial=0.0)
    found: list[Array] = []
    for p in sorted(np.flatnonzero(along), key=lambda p: float(marks.places[p, channel])):
        apart = found[-1][channel] + _NEXT * found[0][channel] if found else 0.0
        worth = _NEXT_WORTH if found else _FIRST_WORTH
        if marks.masses[p] >= worth * largest and marks.places[p, channel] >= apart:
            found.append(marks.places[p])
    return np.array(found).reshape(-1, len(size))


def _in_plane(numbers: tuple[int, ...], marks: Landmarks) -> Iterator[tuple[Array, Scheme, tuple[int, ...]]]:
    """Every choice of populations as the steps of so many targets, by rising angle from the first channel."""
    for number in numbers:
        looked_at = marks.places[: _MOST_CHOICES.get(number, len(marks.places))]
        for chosen in combinations(range(len(looked_at)), number):
            steps = looked_at[list(chosen)]
            if _rungs(steps):
                continue
            order = np.argsort(np.arctan2(*(np.maximum(steps, 0.0) / np.abs(steps).max(axis=0)).T[::-1]))
            yield steps[order], Scheme(tuple(Target(f"Target {t + 1}") for t in range(number))), ()


def _rungs(steps: Array) -> bool:
    """Whether one step is twice or three times another: rungs of one ladder, not targets of their own."""
    size = np.abs(steps).max(axis=0)
    return any(
        (np.abs(other - times * one) <= 0.15 * size).all()
        for one in steps
        for other in steps
        for times in (2, 3)
        if one is not other
    )


def _explain(scheme: Scheme, steps: Array, marks: Landmarks, unseen: tuple[int, ...]) -> Placed:
    """The scheme with its states on the populations they explain, and the cost of those they leave."""
    places = scheme.states @ steps
    masses = np.zeros(len(places))
    left = list(range(len(marks.places)))
    missed = []
    size = np.abs(steps).max(axis=0)
    order = sorted(range(1, len(places)), key=lambda s: (scheme.states[s].sum(), s))
    wanted = places.copy()
    for state in order:
        near = [p for p in left if _plausible(marks.places[p], wanted[state], size)]
        if not near:
            continue
        nearest = min(near, key=lambda p: float((((marks.places[p] - wanted[state]) / size) ** 2).sum()))
        missed.append(float((((marks.places[nearest] - wanted[state]) / size) ** 2).sum()))
        places[state], masses[state] = marks.places[nearest], marks.masses[nearest]
        left.remove(nearest)
    near_enough = np.maximum(_NEAR * size, 6 * marks.spread)
    unexplained = [p for p in left if not _beside(marks.places[p], places, near_enough)]
    slight = _SLIGHT * marks.masses.max(initial=1.0)
    cost = float(np.minimum(marks.masses[unexplained] / slight, 1.0).sum()) + _COST_MISS * float(
        np.mean(missed or [0.0])
    )
    return Placed(scheme, steps, _bridged(scheme, places, masses, steps), masses, cost + _cost(scheme, masses), unseen)


def _cost(scheme: Scheme, masses: Array) -> float:
    """What a scheme assumes: targets, classes beyond two, and highest classes that nobody was seen in."""
    extra = sum(target.classes - 2 for target in scheme.targets)
    empty = sum(masses[scheme.states[:, t] == target.classes - 1].sum() == 0 for t, target in enumerate(scheme.targets))
    return _COST_TARGET * len(scheme.targets) + _COST_CLASS * (extra + empty)


def _beside(seen: Array, places: Array, near: Array) -> bool:
    """Whether a population lies beside a state: large populations may show two peaks."""
    return bool((np.abs(places - seen) <= near).all(axis=1).any())


def place(scheme: Scheme, like: Placed, marks: Landmarks) -> Placed:
    """A scheme of the same targets with other classes, on the populations of a plate."""
    return _explain(scheme, like.steps, marks, like.unseen)


def _plausible(seen: Array, wanted: Array, size: Array) -> bool:
    """Whether a population may be the one wanted: each channel within the factors of competition and cross-talk."""
    large = np.abs(wanted) > _MISS * size
    short = seen >= np.where(large, np.minimum(_SHORT * wanted, _LONG * wanted), -np.inf)
    long = seen <= np.where(large, np.maximum(_SHORT * wanted, _LONG * wanted), np.inf)
    close = np.abs(seen - wanted) <= _MISS * size
    return bool((close | (large & short & long)).all())


def _bridged(scheme: Scheme, places: Array, masses: Array, steps: Array) -> Array:
    """Places of states nobody was seen in: from the seen state one class below, one step on."""
    out = places.copy()
    for state in range(1, len(places)):
        if masses[state] > 0 or scheme.states[state].sum() == 1:
            continue
        there = np.flatnonzero(scheme.states[state])
        out[state] = np.mean([out[scheme.beside(state, int(t), -1)] + steps[t] for t in there], axis=0)
    return out
