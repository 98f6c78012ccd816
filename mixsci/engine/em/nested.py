"""The fit of a model that holds a smaller one: from starts of its own, and from the smaller fit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mixsci.engine.em.begin import check_start, complete
from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.splitting import can_be_split, misfit, split
from mixsci.engine.em.start import draw_rows
from mixsci.engine.em.task import Task
from mixsci.engine.execution import Workers
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model

#: Rows on which it is seen which component fits worst.
_MOST_ROWS = 20_000
#: Distance of the halves of a component from its mean, in standard deviations.
_APART = 0.7
#: Halves so near to each other hardly change the objective: a climb from there ends no lower than the smaller fit.
_NEAR = 0.05


def fit_with_more(
    model: Any, obs: Any, smaller: Fit | None, *, starts: int, rng: np.random.Generator, workers: Workers = None,
    **settings: Any,
) -> Fit:  # fmt: skip
    """The best fit from fresh starts and from a fit of fewer components, of which the worst are split in two.

    Args:
        model: what is assumed.
        obs: the rows.
        smaller: a fit of the same rows whose mixtures the model holds, but for the number of components; None = none.
        starts: fresh starts.
        rng: generator of the starts.
        workers: as in `mixsci.fit`.
        settings: tol and max_iter of `mixsci.fit`.
    """
    if smaller is None or not can_be_split(model) or smaller.mixture.n_components > model.n_components:
        return fit(model, obs, starts=starts, rng=rng, workers=workers, **settings)
    grown = partial(_grown, smaller, obs, model, rng)
    found = _fit_also_from(grown(_APART), model, obs, starts, rng, workers, **settings)
    if found.objective < smaller.objective:
        found = _better(found, fit(model, obs, start=grown(_NEAR), workers=workers, **settings))
    return found


def _fit_also_from(
    start: Mixture, model: Model, obs: Any, starts: int, rng: np.random.Generator, workers: Workers, *, tol: float,
    max_iter: int,
) -> Fit:  # fmt: skip
    """A fit that has one start more than the fresh ones."""
    task = Task(model, obs, None, tol=tol, max_iter=max_iter, accelerate=True, workers=workers, show=False)
    task.look(rng)
    check_start(model, start, obs, task.labels)
    best, reached = task.seek(rng, starts, [complete(task.model, start, task.labels)])
    if task.sample is obs:
        # The short climb saw all rows: it goes on where it stood.
        ended = task.climb(best.state.mixture, None, reached, best.state.memory, best.history[:-1])
    else:
        ended = task.climb(task.nearer(best, rng), None, reached)
    return task.finish(ended, reached, ordered=True)


def _grown(smaller: Fit, obs: Any, model: Any, rng: np.random.Generator, apart: float) -> Mixture:
    """The smaller mixture with its worst components split until it has as many as the model."""
    sample = draw_rows(obs, _MOST_ROWS, rng)
    mixture = smaller.mixture
    while mixture.n_components < model.n_components:
        mixture = split(mixture, int(np.argmax(misfit(mixture, sample))), apart)
    return mixture


def _better(one: Fit, other: Fit) -> Fit:
    """The fit of the higher objective, one that came to its end before one that did not."""
    return max((one, other), key=lambda found: (found.converged, found.objective))
