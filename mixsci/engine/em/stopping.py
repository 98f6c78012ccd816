"""When to stop: an estimate of how much the objective can still gain, never the last increase itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Accelerated climbs gain unevenly: gains are compared over a few passes, and the worst of a few estimates counts.
_WINDOW, _WORST_OF = 3, 4
#: Objectives an estimate looks back on.
LOOK_BACK = 2 * _WINDOW + _WORST_OF
#: A step below this share of what matters is rounding: the climb stands still.
_STILL = 1e-11


def aitken_gap(objectives: Sequence[float], window: int = 1) -> float:
    """Remaining gain from objectives whose gains over `window` passes shrink by a constant factor.

    With gains d1, d2 the rest of the geometric series is d2 a / (1 - a), a = d2 / d1 (Aitken; McLachlan & Peel
    2000). Infinite while there are too few, or where the gains do not shrink.

    Example:
        >>> aitken_gap([0.0, 1.0, 1.5])
        0.5
    """
    if len(objectives) < 2 * window + 1:
        return np.inf
    first = objectives[-1 - window] - objectives[-1 - 2 * window]
    second = objectives[-1] - objectives[-1 - window]
    if second <= rounding(objectives[-1]):
        return max(second, 0.0)
    return second * second / (first - second) if first > second else np.inf


def accelerated_gap(objectives: Sequence[float]) -> float:
    """Remaining gain of an accelerated climb: the worst of the last few estimates over a few passes each."""
    if len(objectives) < LOOK_BACK:
        return np.inf
    ends = range(len(objectives) - _WORST_OF + 1, len(objectives) + 1)
    return max(aitken_gap(objectives[:end], _WINDOW) for end in ends)


def stands_still(step: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether an EM step, compared with the sizes of steps that matter, is nothing but rounding."""
    return bool(np.all(np.abs(step) <= _STILL * sizes))


def rounding(objective: float) -> float:
    """The size of a change in the objective that is rounding."""
    return 16 * np.finfo(float).eps * max(abs(objective), 1.0)
