"""One call of `fit`: what it learns of the rows, where it starts, how it climbs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.em.begin import check_start, complete, facts_of
from mixsci.engine.em.checkpoint import Checkpoint
from mixsci.engine.em.ordering import by_weight, gives_order
from mixsci.engine.em.result import Fit
from mixsci.engine.em.start import Sketch, draw_rows, draw_start, sketch
from mixsci.engine.em.state import Outcome, State
from mixsci.engine.em.steps import CollapseError, Memory, bare, climb
from mixsci.engine.em.stopping import rounding
from mixsci.engine.em.turning import turn
from mixsci.engine.em.watching import every, progress, record
from mixsci.engine.execution import Workers
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

_SHORT_PASSES = 40
_SHORT_TOL = 1e-3
#: From so many rows on a climb on one in so many comes first.
_MANY_ROWS, _SAMPLED = 300_000, 16
_CHECKPOINT_SECONDS = 10.0
_MOST_TURNS = 30
#: A component with fewer expected rows than this has lost them all.
_EMPTY = 1e-3
#: Passes without a gain beyond rounding after which nothing more is to be had; more than a gap estimate looks back on.
_STALLED_AFTER = 16


@dataclass(frozen=True, eq=False)
class Ended:
    """Where a climb ended; `component` is the one that collapsed."""

    state: State
    outcome: Outcome
    history: tuple[float, ...]
    component: int | None = None


class Task:
    """One call of `fit`: its settings, and what it has learnt of the rows."""

    def __init__(
        self,
        model: Any,
        obs: Any,
        start: Mixture | None,
        *,
        tol: float,
        max_iter: int,
        accelerate: bool,
        workers: Workers,
        show: bool,
    ) -> None:
        self.model, self.obs, self.start, self.tol, self.max_iter = model, obs, start, tol, max_iter
        self.accelerate, self.workers, self.show = accelerate, workers, show
        self.labels: tuple[Hashable, ...] | None = None
        self.view: Sketch | None = None
        self.n_rows = self.set_aside = 0
        self.interrupted = False

    def look(self, rng: np.random.Generator) -> None:
        """Learn the rows' number, groups, spread; refuse what cannot be fitted."""
        facts = facts_of(self.obs, self.workers)
        if facts.n_rows and not facts.weighted:
            raise DataError("at least one row must have a weight above zero; none has")
        self.n_rows, self.set_aside, self.labels = facts.n_rows, facts.set_aside, facts.labels or None
        if self.start is not None:
            check_start(self.model, self.start, self.obs, self.labels)
        self.view = sketch(self.obs, rng, self.workers, self.n_rows)
        self._check_rows()
        self.model = self.model.resolve(self.view.spread)
        self.model.pseudo(self.view.points.shape[1])

    def begin(self, rng: np.random.Generator, starts: int) -> tuple[Mixture, tuple[float, ...]]:
        """The mixture to climb from: the given one, or the best of short climbs on a sample."""
        if self.start is not None and starts == 1 and not self.start.open:
            return complete(self.model, self.start, self.labels), ()
        best, reached = self.seek(rng, starts)
        return self.nearer(best, rng), reached

    def seek(
        self, rng: np.random.Generator, starts: int, also: Sequence[Mixture] = ()
    ) -> tuple[Ended, tuple[float, ...]]:
        """The best of short climbs on a sample, from drawn mixtures and from others given, and what each reached."""
        best, reached = None, []
        for kind in range(starts + len(also)):
            try:
                ended = self._short(self.draw(rng, kind) if kind < starts else also[kind - starts])
            except KeyboardInterrupt:
                if best is None:
                    raise
                self.interrupted = True
                break
            reached.append(ended.state.objective if ended.outcome is not Outcome.COLLAPSED else -np.inf)
            if best is None or rank(ended) > rank(best):
                best = ended
            if ended.outcome is Outcome.INTERRUPTED:
                self.interrupted = True
                break
        assert best is not None
        self.model.weights.check(best.state.mixture.rates, self.model.n_components)
        return best, tuple(reached)

    def draw(self, rng: np.random.Generator, kind: int) -> Mixture:
        """A mixture to climb from, number `kind` of the ways to draw one."""
        return draw_start(self.model, self._view, rng, kind, self.start, self.labels)

    def nearer(self, best: Ended, rng: np.random.Generator) -> Mixture:
        """Where a climb on a larger sample ends, if rows are so many that it spares passes over all of them."""
        if self.n_rows < _MANY_ROWS or self.interrupted:
            return best.state.mixture
        sample = draw_rows(self.obs, self.n_rows // _SAMPLED, rng, workers=self.workers, n_rows=self.n_rows)
        ended = self._run(sample, best.state.mixture, self.tol, self.max_iter, [], None, None)
        self.interrupted = ended.outcome is Outcome.INTERRUPTED
        usable, _ = rank(ended)
        return ended.state.mixture if usable else best.state.mixture

    def climb(
        self, mixture: Mixture, saved: Checkpoint | None, reached: tuple[float, ...], memory: Memory | None = None,
        history: Sequence[float] = (),
    ) -> Ended:  # fmt: skip
        """Climb on all rows; a component that collapses is put elsewhere once. Interrupted starts get one pass."""
        mark = "" if saved is None else saved.mark(self.obs, self.n_rows, self.start)
        act = None if saved is None else lambda state: saved.write(self.model, mark, state, reached)
        past = list(history)
        if saved is not None:
            saved.history = past
        if self.interrupted:
            return replace(self._run(self.obs, mixture, self.tol, 1, past, None, None), outcome=Outcome.INTERRUPTED)
        ended = self._run(self.obs, mixture, self.tol, self.max_iter, past, memory, act)
        if ended.outcome is Outcome.COLLAPSED and ended.component is not None and self.start is None:
            again = self._run(self.obs, self._revive(ended), self.tol, self.max_iter, [], None, act)
            ended = again if rank(again) > rank(ended) else ended
        ended = self._turn(ended)
        if saved is not None:
            saved.write(self.model, mark, ended.state, reached)
        return ended

    def _turn(self, ended: Ended) -> Ended:
        """Go on where EM stands still without being at an optimum: flat components turned, then the climb again."""
        for _ in range(_MOST_TURNS):
            least = self.tol * ended.state.row_weight
            left = self.max_iter - ended.state.iteration
            if ended.outcome not in (Outcome.CONVERGED, Outcome.STALLED) or not self._noisy or left < 1:
                return ended
            turned = turn(self.model, ended.state.mixture, self.obs, least, self.workers)
            if turned is None:
                return ended
            again = self._run(self.obs, turned, self.tol, left, [], None, None)
            if rank(again) <= rank(ended):
                return ended
            passes = ended.state.iteration + again.state.iteration
            state = replace(again.state, iteration=passes)
            ended = replace(again, state=state, history=(*ended.history, *again.history))
        return ended

    @property
    def _noisy(self) -> bool:
        return self._view.sample.has_noise

    def retry(self, mixture: Mixture) -> Ended:
        """A climb on all rows from a rearranged mixture."""
        return self._run(self.obs, mixture, self.tol, self.max_iter, [], None, None)

    @property
    def sample(self) -> Observations:
        """The rows that starts look at."""
        return self._view.sample

    def _short(self, mixture: Mixture) -> Ended:
        return self._run(self._view.sample, mixture, _SHORT_TOL, _SHORT_PASSES, [], None, None)

    def _run(
        self,
        obs: Any,
        mixture: Mixture,
        tol: float,
        max_iter: int,
        history: list[float],
        memory: Memory | None,
        act: Any,
        *,
        model: Any = None,
    ) -> Ended:
        states: Iterator[State] = climb(
            model or self.model, obs, mixture, accelerate=self.accelerate, workers=self.workers, memory=memory
        )
        states = record(states, history)
        states = progress(states, "fitting") if self.show else states
        states = states if act is None else every(states, _CHECKPOINT_SECONDS, act)
        return _watch(states, tol, max_iter, history)

    def _revive(self, ended: Ended) -> Mixture:
        """The last mixture with the collapsed component put where it was drawn before, as wide as all rows."""
        view, mixture, k = self._view, ended.state.mixture, ended.component
        means, covariances, weights = mixture.means.copy(), mixture.covariances.copy(), mixture.weights.copy()
        density = mixture.log_density(view.sample, workers=self.workers)
        worst = None
        if view.sample.projection is None:
            worst = int(np.argmin(np.where(view.sample.seen().all(axis=1), density, np.inf)))
        means[k] = view.location if worst is None else view.sample.x[worst]
        covariances[k] = view.covariance
        if not self.model.weights.linked:
            weights[..., k] = 1.0 / mixture.n_components
            weights /= weights.sum(axis=-1, keepdims=True)
        return replace(mixture, means=means, covariances=covariances, weights=weights)

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it."""
        state = ended.state
        self.model.weights.check(state.mixture.rates, self.model.n_components)
        ordered = ordered and not gives_order(self.model, state.mixture)
        mixture = by_weight(state.mixture) if ordered else state.mixture
        names = self.obs.names if isinstance(self.obs, Observations) else self._view.sample.names
        outcome = ended.outcome
        if outcome is Outcome.CONVERGED and self._has_empty(state):
            outcome = Outcome.EMPTY_COMPONENT
        return Fit(
            model=self.model, mixture=mixture, log_likelihood=state.log_likelihood, log_prior=state.log_prior,
            entropy=state.entropy, n=state.row_weight, n_rows=self.n_rows,
            n_free=self.model.n_free(mixture.n_variables, mixture.n_groups), outcome=outcome, gap=state.gap,
            n_iter=state.iteration, history=tuple(ended.history), starts=reached, names=names, set_aside=self.set_aside,
        )  # fmt: skip

    @property
    def _view(self) -> Sketch:
        assert self.view is not None
        return self.view

    def _has_empty(self, state: State) -> bool:
        frozen = self.model.mask("weights")
        return not self.model.weights.linked and bool(
            (state.counts.reshape(-1, len(frozen)).sum(axis=0)[~frozen] < _EMPTY).any()
        )

    def _check_rows(self) -> None:
        view, k = self._view, self.model.n_components
        seen = view.sample.seen().any(axis=1)
        if k > self.n_rows or (len(view.sample) == self.n_rows and k > seen.sum()):
            raise DataError(
                f"there must be at least as many rows as components; got {int(seen.sum())} rows and K = {k}"
            )
        if self.model.anything_frozen and self.start is None:
            raise DataError("frozen parts keep their starting value: give start=, a Mixture that holds them")
        if bare(self.model, view.sample) and view.sample.projection is None:
            self._refuse_constant(view.sample)

    def _refuse_constant(self, sample: Observations) -> None:
        x = np.asarray(sample.x, dtype=float)
        low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        size = np.maximum(np.abs(low), np.abs(high))
        constant = (high - low <= 1e-13 * size) & ~self.model.mask("covariances").all()
        if constant.any():
            names = sample.names or tuple(f"column {j}" for j in range(sample.width))
            listed = ", ".join(f"{names[j]} (always {low[j]:g})" for j in np.flatnonzero(constant))
            raise DataError(
                f"every column must vary; {listed} does not: leave it out, or give noise, a floor or a prior"
            )


def _watch(states: Iterator[State], tol: float, max_iter: int, history: list[float]) -> Ended:
    """Follow a climb to its end and say how it ended."""
    state: State | None = None
    try:
        for state in states:
            if not np.isfinite(state.objective):
                return Ended(state, Outcome.NOT_FINITE, tuple(history))
            if state.gap <= tol * state.row_weight:
                return Ended(state, Outcome.CONVERGED, tuple(history))
            if _stalled(history):
                return Ended(state, Outcome.STALLED, tuple(history))
            if state.iteration >= max_iter:
                return Ended(state, Outcome.MAX_ITER, tuple(history))
    except KeyboardInterrupt:
        if state is None:
            raise
        return Ended(state, Outcome.INTERRUPTED, tuple(history))
    except CollapseError as collapse:
        if state is None:
            raise DataError(
                f"component {collapse.component} begins without spread, and rows carry no noise there: use fewer "
                "components, a floor, a prior, or a start with a larger covariance"
            ) from None
        return Ended(state, Outcome.COLLAPSED, tuple(history), collapse.component)
    raise RuntimeError("a climb goes on for ever")


def _stalled(history: list[float]) -> bool:
    if len(history) <= _STALLED_AFTER:
        return False
    return history[-1] - history[-1 - _STALLED_AFTER] <= rounding(history[-1])


def rank(ended: Ended) -> tuple[bool, float]:
    """What makes one climb better than another: that it can be used, then its objective."""
    usable = ended.outcome not in (Outcome.COLLAPSED, Outcome.NOT_FINITE)
    return usable, ended.state.objective
