"""One call of `fit` with a mixture of factors: from one analyser for all rows to many starts in its few factors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from mixsci.engine.em.begin import facts_of
from mixsci.engine.em.result import Fit
from mixsci.engine.em.seeding import distances, lloyd, seeds
from mixsci.engine.em.start import draw_rows
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import expect
from mixsci.engine.em.task import Ended, Task, rank
from mixsci.engine.execution import Run, map_runs
from mixsci.engine.evaluate import group_codes
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels import information
from mixsci.engine.model.factors import principal
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray

#: Values that starts look at, and rows at least.
_SAMPLE_VALUES, _SAMPLE_ROWS = 4_000_000, 1000
#: Passes: of the analyser of all rows, with loadings held, of a start, of the best few starts.
_PILOT, _HELD, _SHORT, _LONG = 60, 10, 15, 200
_PILOT_TOL, _SHORT_TOL, _LONG_TOL = 1e-4, 1e-3, 1e-5
_BEST = 3
#: Rows that k-means looks at.
_SEED_ROWS = 4000
_EMPTY = 1e-3


@dataclass(frozen=True, eq=False)
class Columns:
    """Number, mean and sum of squares about it of the observed values of every variable; `a + b` joins rows."""

    count: Array
    mean: Array
    square: Array

    def __add__(self, other: Columns) -> Columns:
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(len(count)), where=count > 0)
        apart = other.mean - self.mean
        square = self.square + other.square + apart**2 * self.count * share
        return Columns(count, self.mean + apart * share, square)

    @classmethod
    def of(cls, run: Run) -> Columns:
        """Of the rows of a run."""
        return reduce(add, (cls._of_block(block) for block in run.blocks))

    @classmethod
    def _of_block(cls, block: Observations) -> Columns:
        seen = block.seen()
        x = np.where(seen, np.asarray(block.x, dtype=float), 0.0)
        count = seen.sum(axis=0)
        mean = x.sum(axis=0) / np.maximum(count, 1)
        return cls(count, mean, (np.where(seen, x - mean, 0.0) ** 2).sum(axis=0))


class FactorTask(Task):
    """A fit of a mixture of factors."""

    def look(self, rng: np.random.Generator) -> None:
        """Learn the rows' number and groups and the variables' spread; refuse what cannot be fitted."""
        facts = facts_of(self.obs, self.workers)
        if facts.n_rows and not facts.weighted:
            raise DataError("at least one row must have a weight above zero; none has")
        self.n_rows, self.set_aside, self.labels = facts.n_rows, facts.set_aside, facts.labels or None
        if self.model.offsets and not self.labels:
            raise DataError('offsets="group" needs rows with groups: give groups= to the observations')
        self.columns = reduce(add, map_runs(Columns.of, self.obs, self.workers))
        width = len(self.columns.count)
        most = max(_SAMPLE_ROWS, _SAMPLE_VALUES // width)
        self.rows = draw_rows(self.obs, most, rng, workers=self.workers, n_rows=self.n_rows)
        self._refuse_poor(width)
        self.model = self.model.resolve(self.columns.square / self.columns.count)

    def _refuse_poor(self, width: int) -> None:
        names = self.rows.names or tuple(f"column {j}" for j in range(width))
        flat = self.columns.square <= 1e-24 * self.columns.count * np.maximum(self.columns.mean**2, 1e-300)
        for bad, why in ((self.columns.count == 0, "an observed value"), (flat, "values that differ")):
            if bad.any():
                listed = ", ".join(names[j] for j in np.flatnonzero(bad)[:5])
                raise DataError(f"every variable must have {why}; {int(bad.sum())} have not ({listed}): leave them out")
        if self.model.n_factors >= min(width, self.n_rows):
            raise DataError(
                f"factors must be fewer than variables and rows; got {self.model.n_factors} of them for {width} "
                f"variables and {self.n_rows} rows"
            )
        if self.model.n_components > self.n_rows:
            raise DataError(f"there must be at least as many rows as components; got {self.n_rows} rows")

    def begin(self, rng: np.random.Generator, starts: int) -> tuple[FactorMixture, tuple[float, ...]]:
        """The mixture to climb from: the given one, or the best of short climbs from one analyser of a sample."""
        if self.start is not None:
            if not isinstance(self.start, FactorMixture) or self.start.n_components != self.model.n_components:
                raise DataError(f"start must be a FactorMixture of {self.model.n_components} components")
            return self._certain(self.start), ()
        pilot = self._pilot(rng)
        if self.model.n_components == 1:
            return pilot, ()
        points, resolved = self._scores(pilot, rng)
        short = [self._climbed(self._drawn(pilot, points, resolved, rng, kind), _SHORT_TOL, _SHORT) for kind in range(2 * starts)]  # noqa: E501
        best = sorted(short, key=rank, reverse=True)[:_BEST]
        longer = [self._climbed(ended.state.mixture, _LONG_TOL, _LONG) for ended in best]
        return max(longer, key=rank).state.mixture, tuple(ended.state.objective for ended in short)

    def _climbed(self, mixture: FactorMixture, tol: float, passes: int, model: Any = None) -> Ended:
        if model is None:
            return self._run(self.rows, mixture, tol, passes, [], None, None)
        whole, self.model = self.model, model
        try:
            return self._run(self.rows, mixture, tol, passes, [], None, None)
        finally:
            self.model = whole

    def _pilot(self, rng: np.random.Generator) -> FactorMixture:
        """One analyser for the rows of the sample, from their singular vectors with gaps at the mean."""
        model = replace(self.model, n_components=1, loadings="common", covariance="tied")
        mixture = self._certain(self._from_singular_vectors(model.n_factors, rng))
        return self._climbed(mixture, _PILOT_TOL, _PILOT, model).state.mixture

    def _from_singular_vectors(self, q: int, rng: np.random.Generator) -> FactorMixture:
        from scipy.sparse.linalg import svds

        rows, model = self.rows, self.model
        sd = np.sqrt(model.variances)
        seen, codes = rows.seen(), np.zeros(len(rows), dtype=np.int64) if rows.groups is None else rows.groups
        x = np.where(seen, (np.asarray(rows.x, dtype=float) - self.columns.mean) / sd, 0.0)
        shifts = None
        if model.offsets:
            shifts = np.array([x[codes == g].sum(axis=0) / (seen[codes == g].sum(axis=0) + 2.0) for g in range(len(self.labels or ()))])
            x = np.where(seen, x - shifts[codes], 0.0)
        start = rng.standard_normal(min(x.shape))
        _, size, axes = svds(x, k=q, v0=start) if q < min(x.shape) - 1 else np.linalg.svd(x, full_matrices=False)
        order = np.argsort(-size)[:q]
        # Gaps at the mean make factors look small: they are scaled up by what was seen.
        loadings = axes[order].T * size[order] / np.sqrt(np.maximum(seen.sum(axis=0), 1.0))[:, None]
        left = np.clip(1.0 - (loadings**2).sum(axis=1), 0.3, 1.0)
        labels = self.labels
        return FactorMixture(
            np.ones((len(labels), 1)) if labels else [1.0], np.zeros((1, q)), np.eye(q)[None], group_labels=labels,
            loadings=loadings * sd[:, None], intercept=self.columns.mean, uniquenesses=left * model.variances,
            shifts=None if shifts is None else shifts * sd,
        )  # fmt: skip

    def _certain(self, mixture: FactorMixture) -> FactorMixture:
        """The mixture with a first guess of what is known of its loadings, where the model has priors."""
        if not self.model.prior:
            return mixture
        q, many = mixture.n_dims, mixture.loadings if mixture.own else mixture.loadings[None]
        a, b = np.tril_indices(q)
        scale = np.array([(each / mixture.uniquenesses[:, None]).T @ each / len(each) + 1e-3 * np.eye(q) for each in many])
        precision = np.linalg.inv(scale) + (self.columns.count[:, None, None] * np.eye(q) / len(many))[None].repeat(len(many), 0).transpose(1, 0, 2, 3)  # noqa: E501
        return replace(mixture, scale=scale, doubt=np.linalg.inv(precision).transpose(1, 0, 2, 3)[..., a, b])

    def _scores(self, pilot: FactorMixture, rng: np.random.Generator) -> tuple[Array, Array]:
        """Scores (n, q) of some rows under one analyser, and the share (n, q) of their variance that is known."""
        few = self.rows
        if len(few) > _SEED_ROWS:
            few = few.take(np.sort(rng.choice(len(few), _SEED_ROWS, replace=False)))
        few = few.take(np.flatnonzero(few.seen().any(axis=1)))
        means, covariances = pilot.posterior(few, workers=self.workers)
        return means, np.clip(1.0 - np.diagonal(covariances, axis1=1, axis2=2), 1e-3, 1.0)

    def _drawn(
        self, pilot: FactorMixture, points: Array, resolved: Array, rng: np.random.Generator, kind: int
    ) -> FactorMixture:
        """Components at seeds among the scores; with common loadings these are held while the components settle."""
        k, q = self.model.n_components, pilot.n_dims
        centres = seeds(points, resolved, k, np.empty((0, q)), rng)
        if kind % 2 == 0:
            centres = lloyd(points, resolved, centres, np.zeros(k, dtype=bool))
        label = distances(points, resolved, centres).argmin(axis=1)
        counts = np.bincount(label, minlength=k) + 1.0
        apart = points - centres[label]
        within = apart.T @ apart / len(points) + np.diag((1.0 - resolved).mean(axis=0)) + 0.05 * np.eye(q)
        weights = counts / counts.sum()
        whole = np.tile(weights, (pilot.n_groups, 1)) if pilot.n_groups else weights
        if self.model.own:
            root = np.linalg.cholesky(within)
            return self._certain(pilot.evolve(
                weights=whole, means=np.zeros((k, q)), covariances=np.tile(np.eye(q), (k, 1, 1)),
                loadings=np.tile(pilot.loadings @ root, (k, 1, 1)), intercept=pilot.intercept + centres @ pilot.loadings.T,
                doubt=None, scale=None,
            ))  # fmt: skip
        return self._settled(pilot.evolve(weights=whole, means=centres, covariances=np.tile(within, (k, 1, 1))))

    def _settled(self, mixture: FactorMixture) -> FactorMixture:
        """A few EM steps on the factors alone."""
        (analyser,) = mixture.analysers
        codes = group_codes(mixture, self.rows)
        codes = np.zeros(len(self.rows), dtype=np.int64) if codes is None else codes
        rows = analyser.view(self.rows, codes).summaries
        for _ in range(_HELD):
            with np.errstate(divide="ignore"):
                log_weights = np.log(np.atleast_2d(mixture.weights))
            found = information.run(rows, log_weights, mixture.means, mixture.covariances)
            mixture = self.model.move_factors(mixture, found.counts, found.means, found.squares)
        return mixture

    def _turn(self, ended: Ended) -> Ended:
        """Uniquenesses are above zero: EM leaves no direction."""
        return ended

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it: of the point estimates, priors charged with what they and their bound cost."""
        state = ended.state
        mixture = principal(state.mixture)
        if ordered:
            mixture = by_weight(mixture)
        stats = expect(mixture, self.obs, workers=self.workers)
        outcome = ended.outcome
        if outcome is Outcome.CONVERGED and (stats.grouped.sum(axis=0) < _EMPTY).any():
            outcome = Outcome.EMPTY_COMPONENT
        names = self.obs.names if isinstance(self.obs, Observations) else self.rows.names
        return Fit(
            model=self.model, mixture=mixture, log_likelihood=stats.log_likelihood,
            log_prior=state.objective - stats.log_likelihood if self.model.prior else 0.0, entropy=stats.entropy,
            n=stats.row_weight, n_rows=self.n_rows, n_free=self.model.n_free(mixture.n_variables, mixture.n_groups),
            outcome=outcome, gap=state.gap, n_iter=state.iteration, history=tuple(ended.history), starts=reached,
            names=names, set_aside=self.set_aside,
        )  # fmt: skip


def by_weight(mixture: FactorMixture) -> FactorMixture:
    """Components by falling weight."""
    order = np.argsort(-mixture.pooled_weights, kind="stable")
    own = {"loadings": mixture.loadings[order], "intercept": mixture.intercept[order]} if mixture.own else {}
    return replace(
        mixture, weights=mixture.weights[..., order], means=mixture.means[order], covariances=mixture.covariances[order],
        **own,
    )  # fmt: skip
