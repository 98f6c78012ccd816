"""When to stop: an estimate of how much the objective can still gain, never the last increase itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def aitken_gap(objectives: Sequence[float]) -> float:
    """Remaining gain from the last three objectives of plain EM, whose increases shrink by a constant factor.

    With increases d1, d2 the rest of the geometric series is d2 a / (1 - a), a = d2 / d1 (Aitken; McLachlan & Peel 2000,
    sec. 2.11). Infinite where the increases do not shrink.

    Example:
        >>> aitken_gap([0.0, 1.0, 1.5])
        0.5
    """
    if len(objectives) < 3:
        return np.inf
    first, second = objectives[-2] - objectives[-3], objectives[-1] - objectives[-2]
    if second <= 0:
        return 0.0
    if first <= second:
        return np.inf
    return second * second / (first - second)


def rounding(objective: float) -> float:
    """The size of a change in the objective that is rounding."""
    return 16 * np.finfo(float).eps * max(abs(objective), 1.0)
