"""One call of `fit` for a mixture of rows with angles."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture, refuse_projection
from mixsci.engine.em.begin import facts_of, ready
from mixsci.engine.em.circular_start import CircularSketch, as_wide_as_all, circular_sketch, drawn
from mixsci.engine.em.ordering import by_weight
from mixsci.engine.em.result import Fit
from mixsci.engine.em.task import Ended, Task
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.circular import CircularModel
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

#: Turns over which angles range that are hardly meant to be radians.
_MANY_TURNS = 2.0


class CircularTask(Task):
    """A fit of a mixture of rows with angles."""

    view: Any

    def look(self, rng: np.random.Generator) -> None:
        """Learn the rows' number, groups, spread; refuse what cannot be fitted."""
        facts = facts_of(self.obs, self.workers)
        if not facts.weighted:
            raise DataError("at least one row must have a weight above zero; none has")
        self.n_rows, self.set_aside, self.labels = facts.n_rows, facts.set_aside, facts.labels or None
        if isinstance(self.obs, Observations):
            refuse_projection(self.obs)
        view = circular_sketch(self.model, self.obs, rng, self.workers, self.n_rows)
        _warn_of_degrees(self.model, view.sample)
        self.view, self.model = view, self.model.resolve(view.spread[: len(view.location)], view.dispersion)
        if self.start is not None:
            _, self.start = ready(self.model, self.start, self.obs, self.workers)
        elif self.model.n_components > view.sample.seen().any(axis=1).sum():
            raise DataError(
                f"there must be at least as many rows as components; got {self.n_rows} rows and K = "
                f"{self.model.n_components}"
            )

    def begin(self, rng: np.random.Generator, starts: int) -> tuple[Mixture, tuple[float, ...]]:
        """The mixture to climb from: the given one, or the best of short climbs on a sample."""
        if self.start is None:
            return super().begin(rng, starts)
        if starts > 1:
            raise DataError(f"a start is climbed from once; got starts={starts}: leave one of the two out")
        return self.start, ()

    def draw(self, rng: np.random.Generator, kind: int) -> Mixture:
        """A mixture to climb from, number `kind` of the ways to draw one."""
        return drawn(self.model, self._seen, rng, kind, self.labels)

    @property
    def _seen(self) -> CircularSketch:
        assert isinstance(self.view, CircularSketch)
        return self.view

    def _turn(self, ended: Ended) -> Ended:
        """Angles leave no direction without spread, and ordinary columns have few."""
        return ended

    def _revive(self, ended: Ended) -> Mixture:
        mixture = ended.state.mixture
        assert isinstance(mixture, CircularMixture) and ended.component is not None
        return as_wide_as_all(mixture, self._seen, ended.component)

    def finish(self, ended: Ended, reached: tuple[float, ...], *, ordered: bool) -> Fit:
        """The fit as users get it, components by falling weight."""
        if ordered:
            ended = replace(ended, state=replace(ended.state, mixture=by_weight(ended.state.mixture)))
        return super().finish(ended, reached, ordered=False)


def _warn_of_degrees(model: CircularModel, sample: Observations) -> None:
    """Say that angles in radians, which nobody may have asked for, range over many turns."""
    x = np.asarray(sample.x, dtype=float)[:, model.columns(sample.width)]
    turns = (np.nanmax(x, axis=0) - np.nanmin(x, axis=0)) / model.periods(sample.width)
    if (np.ravel(model.period) == TURN).any() and turns.max() > _MANY_TURNS:
        warnings.warn(
            f"angles range over {turns.max():.3g} periods of 2 pi: give period=360 if they are degrees", stacklevel=2
        )
