"""One climb from a given mixture, without the checks and the words of a fit: for the many that a bootstrap needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixsci.engine.em.state import State
from mixsci.engine.em.steps import iterate
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations

_MOST_PASSES = 10_000


def climb_from(model: Model, obs: Observations, start: Mixture, *, gap: float = 2e-3, workers: Any = 1) -> State:
    """Where the climb from a start ends: at an estimated remaining gain of `gap` nats, or after 10,000 passes.

    Args:
        model: what is assumed; frozen parts keep their values in the start.
        obs: rows as measured.
        start: a complete mixture.
        gap: nats, of all rows together.
        workers: threads.
    """
    for state in iterate(model, obs, start=start, workers=workers):
        done = state.gap <= gap or state.iteration >= _MOST_PASSES
        if done or not np.isfinite(state.objective):
            break
    return state
