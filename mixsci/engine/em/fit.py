"""Fitting: many short starts, the best climbs, the outcome is said plainly."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from mixsci.engine.em.checkpoint import Checkpoint
from mixsci.engine.em.circular_task import CircularTask
from mixsci.engine.em.factor_task import FactorTask
from mixsci.engine.em.pruning import AnnihilatingTask, VariationalTask
from mixsci.engine.em.result import Fit
from mixsci.engine.em.splitting import require_free, split_and_merge as leave_poor_optimum
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.task import Task
from mixsci.engine.execution import Workers
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.model.circular import CircularModel
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.model.model import Model
from mixsci.engine.model.weights import Annihilating, StickBreaking
from mixsci.engine.observations import as_source
from mixsci.engine.tables import as_generator, as_number, is_whole
from mixsci.errors import ConvergenceWarning, DataError


def fit(
    model: Model | FactorModel | CircularModel,
    obs: Any,
    *,
    start: Mixture | None = None,
    starts: int | None = None,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    accelerate: bool = True,
    rng: Any = None,
    workers: Workers = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    split_and_merge: bool = False,
) -> Fit:
    """The mixture of greatest posterior density (likelihood, without a prior) that the climbs found.

    Args:
        model: what is assumed: a `Model`, a `FactorModel` of many variables, or a `CircularModel` of angles.
        obs: `Observations`, an array or data frame (NaN = missing), or a source of blocks.
        start: a mixture to begin from. NaN leaves a part open to be drawn. With `starts` > 1 its frozen parts are
            taken from it and all else is drawn anew.
        starts: short climbs, of which the best goes on; default 10, with a `start` 1.
        tol: stop when the estimated remaining gain of the objective per row (nats) is below it.
        max_iter: passes over the data at most.
        accelerate: False is plain EM.
        rng: seed or generator of the starts.
        workers: threads, or a client of dask.distributed; None = all processors. The result does not depend on it.
        progress: show the climb on standard error.
        checkpoint: a file written every few seconds, and from which an interrupted fit goes on to the identical result.
        split_and_merge: after convergence, try to merge two components and split a third (Ueda et al. 2000).

    Raises:
        DataError: rows or settings that cannot be used, in one sentence.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-3, 1, (200, 2)), rng.normal(3, 1, (300, 2))])
        >>> x[::7, 0] = np.nan
        >>> mx.fit(mx.Model(n_components=2), x, rng=0).mixture.weights.round(2)
        array([0.6, 0.4])
    """
    obs = as_source(obs)
    check_settings(tol, max_iter, 1 if starts is None else starts)
    if split_and_merge:
        require_free(model)
    task = _task_of(model)(
        model, obs, start, tol=tol, max_iter=max_iter, accelerate=accelerate, workers=workers, show=progress
    )
    if checkpoint is not None:
        refuse_search(model, "a checkpoint goes")
    saved = None if checkpoint is None else Checkpoint(checkpoint)
    found = _carry_out(task, int(starts or (10 if start is None else 1)), rng, saved, improve=split_and_merge)
    if not found.converged and found.outcome is not Outcome.INTERRUPTED:
        warnings.warn(found.outcome.value, ConvergenceWarning, stacklevel=2)
    return found


#: How a fit of each kind of weights or model begins and ends; the first that fits.
TASKS: dict[type, type[Task]] = {
    StickBreaking: VariationalTask,
    Annihilating: AnnihilatingTask,
    Model: Task,
    FactorModel: FactorTask,
    CircularModel: CircularTask,
}


def _task_of(model: Any) -> type[Task]:
    for kind, task in TASKS.items():
        if isinstance(model, kind) or isinstance(getattr(model, "weights", None), kind):
            return task
    raise DataError(f"model must be a Model, FactorModel or CircularModel; got {type(model).__name__}")


def _carry_out(task: Task, starts: int, rng: Any, saved: Checkpoint | None, *, improve: bool) -> Fit:
    """Look at the rows, draw and climb, or go on from a checkpoint; the checkpoint goes when the fit has converged."""
    generator = as_generator(rng) if saved is None else saved.generator(rng)
    task.look(generator)
    resumed = None if saved is None else saved.resume(task.model, saved.mark(task.obs, task.n_rows, task.start))
    if resumed is None:
        begin, reached = task.begin(generator, starts)
        ended = task.climb(begin, saved, reached)
    else:
        begin, memory, history, reached = resumed
        ended = task.climb(begin, saved, reached, memory, history)
    if improve and ended.outcome is not Outcome.INTERRUPTED:
        ended = leave_poor_optimum(task, ended, generator)
    found = task.finish(ended, reached, ordered=task.start is None)
    if saved is not None and found.converged:
        saved.remove()
    return found


def check_settings(tol: float, max_iter: int, starts: int = 1) -> None:
    """Refuse a tolerance, passes or starts that a fit cannot have."""
    if as_number(tol, "tol") <= 0:
        raise DataError(f"tol must be positive; got {tol}")
    for name, number in (("max_iter", max_iter), ("starts", starts)):
        if not is_whole(number):
            raise DataError(f"{name} must be a whole number, 1 or more; got {number!r:.80}")
