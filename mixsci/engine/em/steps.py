"""One EM step, and the climb as a generator of states."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, reduce, singledispatch
from operator import add
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.acceleration import Anderson
from mixsci.engine.em.begin import ready, ready_for_step
from mixsci.engine.em.state import Outcome, State
from mixsci.engine.em.stopping import LOOK_BACK, accelerated_gap, aitken_gap, stands_still
from mixsci.engine.evaluate import warn_of_unknown_groups
from mixsci.engine.execution import Run, Workers, map_runs, thread_count
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture, all_above
from mixsci.engine.model.automatic import finds_number
from mixsci.engine.model.circular import CircularStats, circular_stats
from mixsci.engine.model.factor_sums import FactorStats, factor_stats
from mixsci.engine.model.model import Model, overall_variances
from mixsci.engine.model.statistics import Stats
from mixsci.engine.observations import Observations, as_source, in_blocks
from mixsci.errors import ConvergenceWarning, DataError

Array = np.ndarray

#: A covariance is collapsed where an eigenvalue falls below this share of the data's variance in that direction.
COLLAPSED = 1e-12
#: Fewer rows times components than this are done before a second thread has woken; wide rows count for several.
_FEW_CELLS, _WIDE = 20_000, 16


class CollapseError(Exception):
    """A component without noise, floor or prior has lost its spread; `component` says which."""

    def __init__(self, component: int) -> None:
        super().__init__(Outcome.COLLAPSED.value)
        self.component = component


def expect(mixture: Mixture, obs: Any, *, backend: str = "numba", workers: Workers = None) -> Stats:
    """E-step: the sums over all rows that the M-step needs.

    Args:
        mixture: the mixture at which responsibilities are taken.
        obs: `Observations`, an array, or a source of blocks.
        backend: "numba", or "reference" (plain NumPy, slow).
        workers: threads, or a Dask client for rows in Dask; None = what there is. The result does not depend on it.
    """
    obs = as_source(obs)
    threads, columns = thread_count(workers), None
    if isinstance(obs, Observations):
        columns, rows = max(obs.width, obs.n_dims), mixture.block_rows or obs.block_rows
        cells = len(obs) * mixture.n_components * max(obs.width // _WIDE, 1)
        workers = 1 if cells < _FEW_CELLS or len(obs) <= rows else threads
        if mixture.group_labels is not None and obs.group_labels is not mixture.group_labels:
            warn_of_unknown_groups(mixture, obs)
    source = in_blocks(obs, mixture.block_rows)
    found = map_runs(partial(_stats_of_run, mixture, backend), source, workers, columns=columns)
    parts = (stats for stats in found if stats is not None)
    first = next(parts, None)
    if first is None:
        raise DataError("there must be at least one row; got none")
    stats, complete = reduce(add, parts, first), getattr(obs, "complete", None)
    # Rows that a selection lost belong to the sums (em/selection.py).
    return stats if complete is None else complete(mixture, stats, partial(expect, backend=backend, workers=workers))


def em_step(model: Model, mixture: Mixture, obs: Any, *, workers: Workers = None) -> tuple[Mixture, Stats]:
    """One EM step: the next mixture, and the sums taken at the one given.

    Groups, offsets, a background, theta or rates that the model has and the mixture lacks are added first. A
    `FactorModel` without `variances` takes them from the rows, in a pass of its own.
    """
    obs = as_source(obs)
    model, mixture = ready_for_step(model, mixture, obs, workers)
    stats = expect(mixture, obs, workers=workers)
    return model.maximise(mixture, stats), stats


def iterate(
    model: Model, obs: Any, *, start: Mixture, accelerate: bool = True, workers: Workers = None
) -> Iterator[State]:
    """States of the climb from `start`, for ever; the caller decides when to stop, show or save.

    It ends by itself, with a warning, only where a component collapses.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(size=(100, 1))
        >>> start = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
        >>> for state in mx.iterate(mx.Model(2), x, start=start):
        ...     if state.gap < 1e-3:
        ...         break
    """
    obs = as_source(obs)
    model, start = ready(model, start, obs, workers)
    try:
        yield from climb(model, obs, start, accelerate=accelerate, workers=workers)
    except CollapseError as collapse:
        warnings.warn(f"component {collapse.component}: {Outcome.COLLAPSED.value}", ConvergenceWarning, stacklevel=2)


@dataclass(frozen=True, eq=False)
class Memory:
    """What a climb must know of its past to go on as if it had never stopped."""

    anderson: Anderson
    objectives: tuple[float, ...]
    passes: int


def climb(
    model: Model, obs: Any, mixture: Mixture, *, accelerate: bool, workers: Workers, memory: Memory | None = None
) -> Iterator[State]:
    """States of the climb; raises `CollapseError` where a component does."""
    at = _visit(model, obs, mixture, workers)
    if np.isneginf(at.log_prior):
        # A start that the prior forbids (no spread, a weight of zero): one step leads inside.
        at = _visit(model, obs, model.maximise(mixture, at.stats), workers)
    memory = memory or Memory(Anderson.begin(model.sizes(mixture)), (), 1)
    while True:
        plain = model.maximise(at.mixture, at.stats)
        here = model.pack(at.mixture)
        anderson = memory.anderson.remember(here, model.pack(plain) - here)
        objectives = (*memory.objectives, at.objective)[-LOOK_BACK:]
        gap = _gap(anderson, objectives, accelerate=accelerate)
        yield State(
            memory.passes, at.mixture, at.stats.log_likelihood, at.log_prior, gap,
            at.stats.entropy, at.stats.row_weight, at.stats.counts, memory,
        )  # fmt: skip
        _refuse_collapse(plain, obs, model)
        at, anderson, passes = _advance(model, obs, at, plain, here, anderson, workers, accelerate=accelerate)
        memory = Memory(anderson, objectives, memory.passes + passes)


def _advance(
    model: Model,
    obs: Any,
    at: _Visit,
    plain: Mixture,
    here: Array,
    anderson: Anderson,
    workers: Workers,
    *,
    accelerate: bool,
) -> tuple[_Visit, Anderson, int]:
    """The next visit, what the accelerator then remembers, and the passes it took."""
    if not (accelerate and anderson.ready):
        return _visit(model, obs, plain, workers), anderson, 1
    found = _leap(model, obs, here + anderson.leap(), plain, at, workers)
    judged = anderson.judged(accepted=found is not None)
    if found is not None:
        return found, judged, 1
    # A leap that loses ground is forgotten with everything it was built on.
    fresh = Anderson.begin(model.sizes(at.mixture), judged.reach).remember(here, anderson.steps[-1])
    return _visit(model, obs, plain, workers), fresh, 2


class _Visit:
    """A mixture with what one pass over the data says of it."""

    __slots__ = ("log_prior", "mixture", "objective", "stats")

    def __init__(self, mixture: Mixture, stats: Stats, log_prior: float) -> None:
        self.mixture, self.stats, self.log_prior = mixture, stats, log_prior
        self.objective = stats.log_likelihood + log_prior


def _visit(model: Model, obs: Any, mixture: Mixture, workers: Workers) -> _Visit:
    stats = expect(mixture, obs, workers=workers)
    if stats.failures.any():
        raise CollapseError(int(np.flatnonzero(stats.failures)[0]))
    return _Visit(mixture, stats, model.log_prior(mixture))


def _leap(model: Model, obs: Any, target: Array, plain: Mixture, at: _Visit, workers: Workers) -> _Visit | None:
    """The visit of the accelerated step, or None where it is no mixture or the objective would fall."""
    if not np.isfinite(target).all():
        return None
    try:
        mixture = model.unpack(target, plain)
        _refuse_collapse(mixture, obs, model)
        found = _visit(model, obs, mixture, workers)
    except (CollapseError, DataError, np.linalg.LinAlgError):
        return None
    return found if found.objective >= at.objective else None


def _gap(anderson: Anderson, objectives: tuple[float, ...], *, accelerate: bool) -> float:
    if stands_still(anderson.steps[-1], anderson.sizes):
        return 0.0
    if not accelerate:
        return aitken_gap(objectives)
    return np.inf if anderson.rising else accelerated_gap(objectives)


def _refuse_collapse(mixture: Mixture, obs: Any, model: Model) -> None:
    """Raise where a component has died, or a free covariance has lost a direction that nothing else blurs."""
    if finds_number(model) and (mixture.weights <= 0).any():
        raise CollapseError(int(np.atleast_2d(mixture.weights)[0].argmin()))
    if not bare(model, obs):
        return
    free = ~model.mask("covariances")
    scale = 1.0 / np.sqrt(overall_variances(mixture))
    scaled = mixture.covariances * scale[:, None] * scale
    if all_above(scaled, np.full(len(scaled), COLLAPSED)):
        return
    collapsed = free & (np.linalg.eigvalsh(scaled)[:, 0] < COLLAPSED)
    if collapsed.any():
        raise CollapseError(int(np.flatnonzero(collapsed)[0]))


def bare(model: Model, obs: Any) -> bool:
    """Whether nothing keeps a covariance from collapsing: no noise, floor or prior."""
    if model.floor > 0 or model.pseudo_is_set:
        return False
    rows = getattr(obs, "observed", obs)
    return isinstance(rows, Observations) and not rows.has_noise


def _stats_of_run(mixture: Mixture, backend: str, run: Run) -> Stats | None:
    """The sums over the rows of a run, in block order; None where it has none."""
    parts = [stats_of_block(mixture, block, backend) for block in run.blocks if len(block)]
    return reduce(add, parts) if parts else None


@singledispatch
def stats_of_block(mixture: Mixture, block: Observations, backend: str) -> Any:
    """The sums over the rows of a block; another kind of mixture registers its own."""
    sums = mixture.sums(block, backend)
    groups = mixture.n_groups
    known = slice(0, groups) if groups else 0
    return Stats(
        counts=sums.counts[known], background_count=float(sums.background), g=sums.g[known], F=sums.F[known], H=sums.H,
        log_likelihood=float(sums.log_likelihood), entropy=float(sums.entropy), n_rows=len(block),
        row_weight=float(sums.row_weight), failures=sums.failures,
    )  # fmt: skip


@stats_of_block.register
def _(mixture: FactorMixture, block: Observations, backend: str) -> FactorStats:
    if backend != "numba":
        raise DataError(f"a factor mixture has one kernel: leave out backend={backend!r}")
    return factor_stats(mixture, block)


@stats_of_block.register
def _(mixture: CircularMixture, block: Observations, backend: str) -> CircularStats:
    return circular_stats(mixture, block, backend)
