"""One call of `fit` for a mixture of factors: one analyser for all rows first, then many starts in its few factors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixsci.engine.em.begin import facts_of
from mixsci.engine.em.factor_begin import Columns, columns_of, complete_factors
from mixsci.engine.em.factor_start import Scores, Settling, analyser_of, drawn
from mixsci.engine.em.ordering import by_weight
from mixsci.engine.em.result import Fit
from mixsci.engine.em.start import draw_rows
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import expect
from mixsci.engine.em.task import Ended, Task, rank
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.model.factor_frame import principal
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

#: Values that starts look at, and rows at least and at most.
_SAMPLE_VALUES, _FEWEST_ROWS, _MOST_ROWS = 4_000_000, 1000, 20_000
#: Passes and tolerance of the analyser of all rows, and of own loadings before any is left out.
_PILOT, _PILOT_TOL, _OWN = 60, 1e-4, 5
#: Rounds of climbs: the starts that take part at least and at most, passes and tolerance of each.
_ROUNDS = ((6, 30, 12, 1e-3), (2, 6, 200, 1e-4))
#: Values of the sample times starts in a round, and rows times components times seeds: the more the smaller they are.
_CLIMBED_VALUES, _SEEDED_ROWS = 600_000, 200_000
#: Seeds for each start that was asked for, at least and at most; every other one with k-means.
_SEEDS = (2, 20)
#: Starts that come closer per row than this, nats, are one.
_SAME = 1e-4
#: A component with fewer expected rows than this has lost them all.
_EMPTY = 1e-3


class FactorTask(Task):
    """A fit of a mixture of factors."""

    columns: Columns
    rows: Observations

    def look(self, rng: np.random.Generator) -> None:
        """Learn the rows' number and groups and the variables' spread; refuse what cannot be fitted."""
        facts = facts_of(self.obs, self.workers)
        if not facts.n_rows:
            raise DataError("there must be at least one row; got none")
        if not facts.weighted:
            raise DataError("at least one row must have a weight above zero; none has")
        self.n_rows, self.set_aside, self.labels = facts.n_rows, facts.set_aside, facts.labels or None
        if self.model.offsets and not self.labels:
            raise DataError('offsets="group" needs rows with groups: give groups= to the observations')
        self.columns = columns_of(self.obs, self.workers)
        self._refuse_few()
        self.columns.refuse_poor()
        width = len(self.columns.count)
        most = int(np.clip(_SAMPLE_VALUES // width, _FEWEST_ROWS, _MOST_ROWS))
        self.rows = draw_rows(self.obs, most, rng, workers=self.workers, n_rows=self.n_rows)
        if self.model.variances is None:
            self.model = self.model.resolve(self.columns.variances)

    def _refuse_few(self) -> None:
        width, model = len(self.columns.count), self.model
        if not self.columns.count.any():
            raise DataError("at least one value must be observed; all are missing")
        if model.variances is not None and np.shape(model.variances) != (width,):
            raise DataError(f"variances must have shape (D,) = ({width},); got {np.shape(model.variances)}")
        if model.n_factors >= min(width, self.n_rows):
            raise DataError(
                f"factors must be fewer than variables and rows; got {model.n_factors} of them for {width} "
                f"variables and {self.n_rows} rows"
            )
        if model.n_components > self.n_rows:
            raise DataError(
                f"there must be at least as many rows as components; got {self.n_rows} rows and K = "
                f"{model.n_components}"
            )

    def begin(self, rng: np.random.Generator, starts: int) -> tuple[FactorMixture, tuple[float, ...]]:
        """The mixture to climb from: the given one, or the best of short climbs from one analyser of a sample."""
        if self.start is None:
            # Held once for all of them: many short steps would spend their time on it.
            with one_blas_thread():
                return self._best(rng, starts)
        if starts > 1:
            raise DataError(f"a start is climbed from once; got starts={starts}: leave one of the two out")
        return complete_factors(self.model, self.start, self.columns, self.labels), ()

    def _best(self, rng: np.random.Generator, starts: int) -> tuple[FactorMixture, tuple[float, ...]]:
        """The best of many starts, of which fewer and fewer take part in longer climbs."""
        pilot = self._pilot(rng)
        if self.model.n_components == 1:
            return complete_factors(self.model, pilot, self.columns, self.labels), ()
        seeds = int(np.clip(_SEEDED_ROWS // (len(self.rows) * self.model.n_components), *_SEEDS))
        found = self._starts(pilot, rng, (_SEEDS[0] if self.model.own else seeds) * starts)
        reached = tuple(objective for _, objective in found)
        for fewest, most, passes, tol in _ROUNDS:
            part = int(np.clip(_CLIMBED_VALUES * starts // (10 * self.rows.x.size), fewest, most))
            found = [self._climbed(mixture, tol, passes) for mixture, _ in _distinct(found, self._same)[:part]]
        return max(found, key=lambda each: each[1])[0], reached

    @property
    def _same(self) -> float:
        return _SAME * len(self.rows)

    def _pilot(self, rng: np.random.Generator) -> FactorMixture:
        """One analyser for the rows of the sample."""
        model = replace(self.model, n_components=1, loadings="common", covariance="tied", weights="free")
        first = analyser_of(
            self.rows, self.columns, model.n_factors, self.labels, rng, shifted=model.offsets is not None
        )
        begin = complete_factors(model, first, self.columns, self.labels)
        return _of(self._run(self.rows, begin, _PILOT_TOL, _PILOT, [], None, None, model=model))

    def _starts(self, pilot: FactorMixture, rng: np.random.Generator, many: int) -> list[tuple[FactorMixture, float]]:
        """Many starts and the objective of each, up to a constant; with common loadings these are held meanwhile."""
        scores = Scores.of(pilot, self.rows, rng, self.workers)
        begins = [drawn(self.model, pilot, scores, rng, refined=kind % 2 == 0) for kind in range(many)]
        if not self.model.own:
            settling = Settling.on(self.model, pilot, self.rows, rng)
            return [settling.settled(mixture) for mixture in begins]
        return [
            self._climbed(complete_factors(self.model, mixture, self.columns, self.labels), _PILOT_TOL, _OWN)
            for mixture in begins
        ]

    def _climbed(self, mixture: FactorMixture, tol: float, passes: int) -> tuple[FactorMixture, float]:
        """Where a short climb on the sample ends, and its objective."""
        if self.interrupted:
            return mixture, -np.inf
        ended = self._run(self.rows, mixture, tol, passes, [], None, None)
        self.interrupted = ended.outcome is Outcome.INTERRUPTED
        usable, objective = rank(ended)
        return _of(ended), objective if usable else -np.inf

    def _turn(self, ended: Ended) -> Ended:
        """Uniquenesses are above zero: EM leaves no direction."""
        return ended

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it: of the point estimates, priors charged with what they and their bound cost."""
        state = ended.state
        mixture = principal(_of(ended))
        if ordered:
            mixture = by_weight(mixture)
        stats = expect(mixture, self.obs, workers=self.workers)
        outcome = ended.outcome
        if outcome is Outcome.CONVERGED and (np.atleast_2d(stats.counts).sum(axis=0) < _EMPTY).any():
            outcome = Outcome.EMPTY_COMPONENT
        return Fit(
            model=self.model, mixture=mixture, log_likelihood=stats.log_likelihood,
            log_prior=state.objective - stats.log_likelihood if self.model.prior else 0.0, entropy=stats.entropy,
            n=stats.row_weight, n_rows=self.n_rows, n_free=self.model.n_free(mixture.n_variables, mixture.n_groups),
            outcome=outcome, gap=state.gap, n_iter=state.iteration, history=tuple(ended.history), starts=reached,
            names=self.columns.names, set_aside=self.set_aside,
        )  # fmt: skip


def _of(ended: Ended) -> FactorMixture:
    mixture = ended.state.mixture
    assert isinstance(mixture, FactorMixture)
    return mixture


def _distinct(found: list[tuple[FactorMixture, float]], same: float) -> list[tuple[FactorMixture, float]]:
    """The best first, and of those that reached the same the first alone."""
    kept: list[tuple[FactorMixture, float]] = []
    for mixture, objective in sorted(found, key=lambda each: -each[1]):
        if not kept or kept[-1][1] - objective > same:
            kept.append((mixture, objective))
    return kept
