"""Fits that find the number of components: from many, the one that is missed least goes, until the best is passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mixsci.engine.em.checkpoint import Checkpoint
from mixsci.engine.em.ordering import by_weight, falling, reordered
from mixsci.engine.em.result import Fit
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import Memory, expect
from mixsci.engine.em.task import Ended, Task, rank
from mixsci.engine.em.variational_fit import VariationalFit
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.variational import VariationalModel, assumed
from mixsci.engine.model.weights import Free
from mixsci.engine.observations import Observations
from mixsci.engine.variational_mixture import VariationalMixture

Array = np.ndarray

#: Climbs on the way tell numbers of components apart; the last one is as exact as was asked for.
_TOL, _PASSES = 1e-4, 300


class PruningTask(Task):
    """A fit whose model says how many components there may be at most."""

    def _check_rows(self) -> None:
        """There are no more components than rows; what the model takes from the rows it takes now."""
        rows = int(self._view.sample.seen().any(axis=1).sum())
        most = self.n_rows if len(self._view.sample) < self.n_rows else max(rows, 1)
        model = replace(self.model, n_components=min(self.model.n_components, most))
        self.model = assumed(model, self._view.points.shape[1])
        super()._check_rows()

    def climb(
        self, mixture: Mixture, saved: Checkpoint | None, reached: tuple[float, ...], memory: Memory | None = None,
        history: Sequence[float] = (),
    ) -> Ended:  # fmt: skip
        """Climb, remove the component that is missed least, and so on; the best number of them climbs to its end."""
        if self.interrupted:
            return super().climb(mixture, saved, reached)
        rough = max(self.tol, _TOL), min(self.max_iter, _PASSES)
        visited = [self._alive(mixture, *rough)]
        while visited[-1].state.mixture.n_components > 1 and visited[-1].outcome is not Outcome.INTERRUPTED:
            last = visited[-1].state.mixture
            visited.append(self._alive(without(last, missed_least(last, self.sample)), *rough))
        best = self._fewest(visited)
        if visited[-1].outcome is Outcome.INTERRUPTED:
            return replace(best, outcome=Outcome.INTERRUPTED)
        ended = self._alive(best.state.mixture, self.tol, self.max_iter)
        self.model = self._of(ended.state.mixture.n_components)
        return self._turn(ended)

    def _fewest(self, visited: Sequence[Ended]) -> Ended:
        """The best of climbs to fewer and fewer components; of those that climb equally high the last."""
        usable, highest = max(self.score(ended) for ended in visited)
        same = _TOL * visited[0].state.row_weight
        return [ended for ended in visited if self.score(ended) >= (usable, highest - same)][-1]

    def score(self, ended: Ended) -> tuple[bool, float]:
        """What makes one number of components better than another."""
        return rank(ended)

    def _alive(self, mixture: Mixture, tol: float, passes: int) -> Ended:
        """A climb on all rows, begun anew without a component whenever one dies or is left with too few rows."""
        while True:
            model = self._of(mixture.n_components)
            ended = self._run(self.obs, mixture, tol, passes, [], None, None, model=model)
            counts = ended.state.counts.reshape(-1, mixture.n_components).sum(axis=0)
            dead = int(counts.argmin()) if counts.min() <= model.weights.least_rows else ended.component
            if dead is None or mixture.n_components == 1 or ended.outcome is Outcome.INTERRUPTED:
                return ended
            mixture = without(ended.state.mixture, dead)

    def _of(self, k: int) -> Any:
        """The model of so many components."""
        return replace(self.model, n_components=k)


class AnnihilatingTask(PruningTask):
    """A fit in which components die (Figueiredo & Jain 2002); short climbs before it have them all."""

    def _short(self, mixture: Mixture) -> Ended:
        model = replace(self.model, weights=Free(shared=True))
        return self._run(self._view.sample, mixture, 1e-3, 40, [], None, None, model=model)

    def score(self, ended: Ended) -> tuple[bool, float]:
        """Minus the length of the message."""
        state, (usable, _) = ended.state, rank(ended)
        return usable, state.log_likelihood - self._message(ended)

    def _message(self, ended: Ended) -> float:
        return float(self.model.weights.message(ended.state.mixture.pooled_weights, ended.state.row_weight))

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it: its objective is minus the message length, with the prior on covariances."""
        state = ended.state
        shift = -self._message(ended) - self.model.weights.log_prior(np.atleast_2d(state.mixture.weights))
        ended = replace(
            ended, state=replace(state, log_prior=state.log_prior + shift),
            history=tuple(objective + shift for objective in ended.history),
        )  # fmt: skip
        return super().finish(ended, reached, ordered=ordered)


class VariationalTask(PruningTask):
    """A fit of the posteriors behind stick-breaking weights."""

    def _check_rows(self) -> None:
        super()._check_rows()
        assert isinstance(self.model, VariationalModel)
        centre = np.median(self._view.points, axis=0)
        self.model = replace(self.model, prior=self.model.belief.located(centre))

    def _turn(self, ended: Ended) -> Ended:
        """The prior leaves no direction without spread: there is nothing to turn."""
        return ended

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it."""
        state, whole = ended.state, ended.state.mixture
        assert isinstance(whole, VariationalMixture)
        if ordered:
            whole = by_weight(whole)
        stats = expect(whole.point, self.obs, workers=self.workers)
        names = self.obs.names if isinstance(self.obs, Observations) else self._view.sample.names
        return VariationalFit(
            model=self.model, mixture=whole.point, log_likelihood=stats.log_likelihood,
            log_prior=state.objective - stats.log_likelihood, entropy=stats.entropy, n=stats.row_weight,
            n_rows=self.n_rows, n_free=self.model.n_free(whole.n_dims, whole.n_groups), outcome=ended.outcome,
            gap=state.gap, n_iter=state.iteration, history=tuple(ended.history), starts=reached, names=names,
            set_aside=self.set_aside, variational=whole,
        )  # fmt: skip


def missed_least(mixture: Mixture, sample: Observations) -> int:
    """The component without which the log-likelihood falls least before any step: sum of log(1 - r_k) over rows."""
    seen = mixture.seen_by_rows if isinstance(mixture, VariationalMixture) else mixture
    left = np.log(np.maximum(1.0 - seen.responsibilities(sample), 1e-300))
    weights = sample.each_weight
    share = np.maximum(1.0 - seen.pooled_weights, 1e-300)
    return int(np.argmax(weights @ left - weights.sum() * np.log(share)))


def without(mixture: Mixture, k: int) -> Mixture:
    """The mixture with its component k removed, the others by falling weight."""
    order = falling(mixture)
    rest = reordered(mixture, order[order != k])
    rest = rest.evolve(weights=rest.weights / rest.weights.sum(axis=-1, keepdims=True))
    return rest.evolve(counts=None, log_shares=None) if isinstance(rest, VariationalMixture) else rest
