"""Which law a plate obeys: its populations say how many targets and classes there are, their counts say which law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import xlogy

from mixsci.ddpcr.landmarks import Landmarks
from mixsci.ddpcr.lattice import Placed, candidates, place
from mixsci.ddpcr.laws import Request, Target
from mixsci.ddpcr.plate_model import fit_assay
from mixsci.engine.model.weights import Binomial, Poisson

Array = np.ndarray

#: Classes looked for where a channel shows more than one positive population.
_CLASSES = 7
#: Wells that are enough to tell laws apart.
_MOST_WELLS = 16
#: Share of the droplets that may lie in a class the law does not know.
_ASTRAY = 1e-3
_LOOSE_TOL = 1e-5


def choose(request: Request, marks: Landmarks, channels: tuple[str, ...], wells: Sequence[Array]) -> Placed:
    """The scheme that a request and a plate's populations ask for, its open laws chosen over the plate."""
    found = candidates(request, marks, channels)[0]
    open_targets = [t for t, target in enumerate(found.scheme.targets) if target.kind == "open"]
    if not open_targets:
        return found
    counts = _class_counts(found, marks, wells)
    targets = list(found.scheme.targets)
    for t in open_targets:
        targets[t] = best_law(targets[t], counts[t], request.kinds(t))
    return place(replace(found.scheme, targets=tuple(targets)), found, marks)


def _class_counts(found: Placed, marks: Landmarks, wells: Sequence[Array]) -> list[Array]:
    """For every target the droplets (W, K_t) in each of its classes, with weights that obey no law."""
    wide = tuple(
        replace(target, classes=_CLASSES) if target.kind == "open" else target for target in found.scheme.targets
    )
    chosen = _telling(wells, marks)
    fewer = replace(marks, baselines=marks.baselines[chosen])
    placed = place(replace(found.scheme, targets=wide), found, marks)
    fit = fit_assay([str(i) for i in chosen], [wells[i] for i in chosen], fewer, placed, tol=_LOOSE_TOL, free=True)
    mixture = fit.fit.mixture
    counts = mixture.weights * mixture.group_rows[:, None]
    states = placed.scheme.states
    of_component = states[fit.layout.state_of]
    return [
        np.stack([counts[:, of_component[:, t] == k].sum(axis=1) for k in range(target.classes)], axis=-1)
        for t, target in enumerate(wide)
    ]


def _telling(wells: Sequence[Array], marks: Landmarks) -> list[int]:
    """The wells with most droplets away from the negatives, at most so many."""
    away = [
        int((np.abs(well - base) > 6 * marks.spread).any(axis=1).sum())
        for well, base in zip(wells, marks.baselines, strict=True)
    ]
    return sorted(np.argsort(away, kind="stable")[::-1][:_MOST_WELLS].tolist())


def best_law(target: Target, counts: Array, kinds: Sequence[str] = ("binomial", "poisson")) -> Target:
    """The target with the law under which the droplets (W, K) of its classes are most probable.

    All laws have one rate for every well, so that likelihoods are compared as they are; binary where no more than one
    positive class holds droplets.
    """
    held = counts.sum(axis=0) > 1e-4 * counts.sum()
    highest = int(np.flatnonzero(held).max(initial=1))
    if highest < 2 and "binomial" in kinds:
        return replace(target, classes=2, kind="binomial")
    options = [replace(target, classes=k + 1, kind="binomial") for k in range(1, counts.shape[1])]
    options += [replace(target, classes=max(highest, 1) + 1, kind="poisson")]
    return max((option for option in options if option.kind in kinds), key=lambda option: _score(option, counts))


def _score(target: Target, counts: Array) -> float:
    """Log-likelihood of the droplets of all wells under a law; few may lie in classes it does not know."""
    law = Poisson(classes=target.classes) if target.kind == "poisson" else Binomial(target.classes - 1)
    known = counts[:, : target.classes].copy()
    if target.kind == "poisson":
        known[:, -1] += counts[:, target.classes :].sum(axis=1)
    weights, rates = law.start(target.classes, len(counts))
    weights, _ = law.maximise(known, weights, rates, np.zeros(target.classes, dtype=bool))
    total = float(xlogy(known, np.maximum(weights, _ASTRAY / target.classes)).sum())
    beyond = 0.0 if target.kind == "poisson" else float(counts[:, target.classes :].sum())
    return total + beyond * float(np.log(_ASTRAY / counts.shape[1]))
