"""Fitting: many short starts, the best climbs, the outcome is said plainly."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.checkpoint import Checkpoint
from mixsci.engine.em.start import Sketch, draw_start, fill, sketch
from mixsci.engine.em.state import Outcome, State
from mixsci.engine.em.steps import Collapse, Memory, bare, climb
from mixsci.engine.em.stopping import rounding
from mixsci.engine.em.watching import every, progress, record
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations, as_observations
from mixsci.errors import ConvergenceWarning, DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = np.ndarray

_SHORT_PASSES = 40
_SHORT_TOL = 1e-3
_CHECKPOINT_SECONDS = 10.0
#: A component with fewer expected rows than this has lost them all.
_EMPTY = 1e-3
#: Passes without a gain beyond rounding after which nothing more is to be had.
_STALLED_AFTER = 8


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted mixture and how it was found; it never holds the data.

    Methods of `Mixture` (log_density, responsibilities, posterior, ...) are handed on to `mixture`.

    Attributes:
        model: what was assumed. mixture: what was found.
        log_likelihood: total, nats, of `mixture`. log_prior: log prior density, up to a constant.
        entropy: of the responsibilities.
        n: sum of the weights of rows with at least one observed value. n_rows: all rows.
        n_free: number of free parameters.
        outcome: how the climb ended; its value says what to do. gap: estimated remaining gain, total, nats.
        n_iter: passes over the data of the last climb. history: its objectives.
        starts: objectives that the short starts reached.
        names: names of the columns.
        set_aside: observed values set aside because they had no error.
    """

    model: Model
    mixture: Mixture
    log_likelihood: float
    log_prior: float
    entropy: float
    n: float
    n_rows: int
    n_free: int
    outcome: Outcome
    gap: float
    n_iter: int
    history: tuple[float, ...]
    starts: tuple[float, ...] = ()
    names: tuple[str, ...] | None = None
    set_aside: int = 0

    def __repr__(self) -> str:
        return f"Fit({self.mixture!r}, log-likelihood {self.log_likelihood:.6g}, {self.outcome.name})"

    def __getattr__(self, name: str) -> Any:
        # Only what a mixture offers is handed on; copying and pickling look for other names before `mixture` is there.
        if name.startswith("_") or not hasattr(Mixture, name) or "mixture" not in self.__dict__:
            raise AttributeError(f"a Fit has no attribute {name!r}")
        return getattr(self.mixture, name)

    @property
    def objective(self) -> float:
        """What was climbed: log-likelihood plus log prior."""
        return self.log_likelihood + self.log_prior

    @property
    def converged(self) -> bool:
        """Whether the climb came to its end."""
        return self.outcome.converged

    @property
    def bic(self) -> float:
        """Bayesian information criterion, -2 L + n_free log n; smaller is better."""
        return -2 * self.log_likelihood + self.n_free * float(np.log(self.n))

    @property
    def aic(self) -> float:
        """Akaike information criterion, -2 L + 2 n_free; smaller is better."""
        return -2 * self.log_likelihood + 2 * self.n_free

    @property
    def icl(self) -> float:
        """Integrated completed likelihood, BIC + 2 entropy (Biernacki, Celeux & Govaert 2000); smaller is better."""
        return self.bic + 2 * self.entropy

    def summary(self) -> pd.DataFrame:
        """A table of the components under the names of the columns."""
        return self.mixture.summary(self._latent_names)

    def marginal(self, dims: Sequence[int | str], *, group: Hashable | None = None) -> Mixture:
        """The mixture of some of the dimensions, by number or name."""
        return self.mixture.marginal([self._dim(dim) for dim in dims], group=group)

    def condition(
        self, values: dict[int | str, float], errors: dict[int | str, float] | None = None, *, group: Hashable | None = None
    ) -> Mixture:
        """The mixture of the other dimensions given values of some, by number or name; see `Mixture.condition`."""
        named = {self._dim(dim): value for dim, value in values.items()}
        return self.mixture.condition(named, {self._dim(dim): s for dim, s in (errors or {}).items()}, group=group)

    def save(self, path: str | Path) -> None:
        """Write the fit to a JSON file that `mixsci.load` reads back exactly."""
        from mixsci.engine.em.archive import save

        save(self, path)

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the mixture: its density in one dimension, else the ellipses of the first two."""
        from mixsci.plot import plot_fit

        return plot_fit(self, ax=ax, **options)

    @property
    def _latent_names(self) -> tuple[str, ...] | None:
        return self.names if self.names is not None and len(self.names) == self.mixture.n_dims else None

    def _dim(self, dim: int | str) -> int:
        if not isinstance(dim, str):
            return dim
        names = self._latent_names or ()
        if dim not in names:
            raise DataError(f"dimensions are named {', '.join(names) or 'by number'}; got {dim!r}")
        return names.index(dim)


def fit(
    model: Model,
    obs: Any,
    *,
    start: Mixture | None = None,
    starts: int | None = None,
    tol: float = 1e-6,
    max_iter: int = 10_000,
    accelerate: bool = True,
    rng: Any = None,
    workers: int | None = None,
    progress: bool = False,
    checkpoint: str | Path | None = None,
    split_and_merge: bool = False,
) -> Fit:
    """The mixture of greatest posterior density (likelihood, without a prior) that the climbs found.

    Args:
        model: what is assumed.
        obs: `Observations`, an array or data frame (NaN = missing), or a source of blocks.
        start: a mixture to begin from. NaN leaves a part open to be drawn. With `starts` > 1 its frozen parts are
            taken from it and all else is drawn anew.
        starts: short climbs, of which the best goes on; default 10, with a `start` 1.
        tol: stop when the estimated remaining gain of the objective per row (nats) is below it.
        max_iter: passes over the data at most.
        accelerate: False is plain EM.
        rng: seed or generator of the starts.
        workers: threads; None = all processors. The result does not depend on it.
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
    obs = obs if hasattr(obs, "blocks") else as_observations(obs)
    _check_settings(tol, max_iter, starts)
    task = _Task(model, obs, start, tol, max_iter, accelerate, workers, progress)
    saved = None if checkpoint is None else Checkpoint(checkpoint)
    generator = np.random.default_rng(rng) if saved is None else saved.generator(rng)
    task.look(generator)
    resumed = None if saved is None else saved.resume(task.model, task.n_rows)
    if resumed is None:
        begin, reached = task.begin(generator, starts if starts is not None else (10 if start is None else 1))
        ended = task.climb(begin, saved, reached)
    else:
        begin, memory, history, reached = resumed
        ended = task.climb(begin, saved, reached, memory, history)
    if split_and_merge and ended.outcome is not Outcome.INTERRUPTED:
        from mixsci.engine.em.splitting import split_and_merge as improve

        ended = improve(task, ended, generator)
    found = task.finish(ended, reached, ordered=start is None)
    if saved is not None and found.converged:
        saved.remove()
    if not found.converged and found.outcome is not Outcome.INTERRUPTED:
        warnings.warn(found.outcome.value, ConvergenceWarning, stacklevel=2)
    return found


@dataclass(frozen=True, eq=False)
class Ended:
    """Where a climb ended."""

    state: State
    outcome: Outcome
    history: tuple[float, ...]


class _Task:
    """One call of `fit`: its settings, and what it has learnt of the rows."""

    def __init__(
        self, model: Model, obs: Any, start: Mixture | None, tol: float, max_iter: int, accelerate: bool, workers: int | None, show: bool
    ) -> None:
        self.model, self.obs, self.start, self.tol, self.max_iter = model, obs, start, tol, max_iter
        self.accelerate, self.workers, self.show = accelerate, workers, show
        self.labels: tuple[Hashable, ...] | None = None
        self.view: Sketch | None = None
        self.n_rows = self.set_aside = 0

    def look(self, rng: np.random.Generator) -> None:
        """Learn the rows' number, groups, spread; refuse what cannot be fitted."""
        labels: dict[Hashable, None] = {}
        for block in [self.obs] if isinstance(self.obs, Observations) else self.obs.blocks():
            self.n_rows += len(block)
            self.set_aside += int(block.set_aside.sum())
            labels.update(dict.fromkeys(block.group_labels or ()))
        self.labels = tuple(labels) or None
        if self.start is not None:
            self._check_start()
        self.view = sketch(self.obs, rng, self.workers)
        self._check_rows()
        self.model = self.model.resolve(self.view.spread)
        self.model.pseudo(self.view.points.shape[1])

    def begin(self, rng: np.random.Generator, starts: int) -> tuple[Mixture, tuple[float, ...]]:
        """The mixture to climb from: the given one, or the best of short climbs on a sample."""
        if self.start is not None and starts == 1 and not self.start.open:
            return self._completed(self.start), ()
        best, reached = None, []
        for kind in range(starts):
            ended = self._short(draw_start(self.model, self._view, rng, kind, self.start, self.labels))
            reached.append(ended.state.objective if ended.outcome is not Outcome.COLLAPSED else -np.inf)
            if best is None or _rank(ended) > _rank(best):
                best = ended
            if ended.outcome is Outcome.INTERRUPTED:
                break
        assert best is not None
        return best.state.mixture, tuple(reached)

    def climb(
        self, mixture: Mixture, saved: Checkpoint | None, reached: tuple[float, ...], memory: Memory | None = None,
        history: Sequence[float] = (),
    ) -> Ended:  # fmt: skip
        """Climb on all rows; a component that collapses is put elsewhere once."""
        act = None if saved is None else lambda state: saved.write(self.model, self.n_rows, state, reached)
        past = list(history)
        if saved is not None:
            saved.history = past
        ended = self._run(self.obs, mixture, self.tol, self.max_iter, past, memory, act)
        if ended.outcome is Outcome.COLLAPSED and ended.component is not None and self.start is None:
            again = self._run(self.obs, self._revive(ended), self.tol, self.max_iter, [], None, act)
            ended = again if _rank(again) > _rank(ended) else ended
        if saved is not None:
            saved.write(self.model, self.n_rows, ended.state, reached)
        return ended

    def _short(self, mixture: Mixture) -> Ended:
        return self._run(self._view.sample, mixture, _SHORT_TOL, _SHORT_PASSES, [], None, None)

    def _run(
        self, obs: Any, mixture: Mixture, tol: float, max_iter: int, history: list[float], memory: Memory | None, act: Any
    ) -> _EndedClimb:
        states: Iterator[State] = climb(self.model, obs, mixture, accelerate=self.accelerate, workers=self.workers, memory=memory)
        states = record(states, history)
        states = progress(states, "fitting") if self.show else states
        states = states if act is None else every(states, _CHECKPOINT_SECONDS, act)
        return _watch(states, tol, max_iter, history)

    def _revive(self, ended: _EndedClimb) -> Mixture:
        """The last mixture with the collapsed component put where it was drawn before, as wide as all rows."""
        view, mixture, k = self._view, ended.state.mixture, ended.component
        means, covariances, weights = mixture.means.copy(), mixture.covariances.copy(), mixture.weights.copy()
        density = mixture.log_density(view.sample, workers=self.workers)
        worst = int(np.argmin(np.where(view.sample.seen().all(axis=1), density, np.inf))) if view.sample.projection is None else None
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
        mixture = _by_weight(state.mixture, self.model) if ordered else state.mixture
        names = self.obs.names if isinstance(self.obs, Observations) else self._view.sample.names
        outcome = ended.outcome
        if outcome is Outcome.CONVERGED and self._has_empty(state):
            outcome = Outcome.EMPTY_COMPONENT
        return Fit(
            model=self.model, mixture=mixture, log_likelihood=state.log_likelihood, log_prior=state.log_prior,
            entropy=state.entropy, n=state.row_weight, n_rows=self.n_rows,
            n_free=self.model.n_free(mixture.n_dims, mixture.n_groups), outcome=outcome, gap=state.gap,
            n_iter=state.iteration, history=tuple(ended.history), starts=reached, names=names, set_aside=self.set_aside,
        )  # fmt: skip

    @property
    def _view(self) -> Sketch:
        assert self.view is not None
        return self.view

    def _has_empty(self, state: State) -> bool:
        frozen = self.model.mask("weights")
        return not self.model.weights.linked and bool((state.counts.reshape(-1, len(frozen)).sum(axis=0)[~frozen] < _EMPTY).any())

    def _completed(self, start: Mixture) -> Mixture:
        """A start given whole, with what the model adds to it: groups, offsets, rates, theta, background."""
        groups = max(len(self.labels or ()), 1)
        changes: dict[str, Any] = {}
        if self.labels and start.group_labels is None:
            changes["group_labels"] = self.labels
            changes["weights"] = np.tile(np.atleast_2d(start.weights), (groups, 1))[:groups]
        if self.model.offsets is not None and start.offsets is None:
            changes["offsets"] = np.zeros((groups, start.n_dims))
        if start.theta is None:
            changes["means"], changes["theta"] = self.model.means.place(start.means)
        if self.model.background is not None and start.background is None:
            changes["background"] = self.model.background
        changes["state_of_component"] = getattr(self.model.weights, "state_of_component", None)
        start = replace(start, **changes)
        if self.model.weights.linked:
            start = self._link(start, groups)
        return start

    def _link(self, start: Mixture, groups: int) -> Mixture:
        """The start with weights that obey the law: its rates if it has them, else those nearest to its weights."""
        k, none = self.model.n_components, np.zeros(self.model.n_components, dtype=bool)
        weights, rates = self.model.weights.start(k, groups)
        if start.rates is None:
            given = np.atleast_2d(start.weights)
            weights, rates = self.model.weights.maximise(given, given if rates is None else weights, rates, none)
        else:
            packed = self.model.weights.pack(np.atleast_2d(start.weights), np.atleast_1d(start.rates), none)
            weights, rates = self.model.weights.unpack(packed, np.atleast_2d(start.weights), np.atleast_1d(start.rates), none)
        grouped = start.weights.ndim == 2
        return replace(start, weights=weights if grouped else weights[0], rates=rates if grouped or rates is None else rates[0])

    def _check_start(self) -> None:
        start, k = self.start, self.model.n_components
        assert start is not None
        if start.n_components != k:
            raise DataError(f"start must have the model's {k} components; got {start.n_components}")
        if isinstance(self.obs, Observations) and start.n_dims != self.obs.n_dims:
            raise DataError(f"start must have the {self.obs.n_dims} dimensions of the rows; got {start.n_dims}")
        if start.group_labels is not None and set(self.labels or ()) - set(start.group_labels):
            raise DataError("start must know every group of the rows; start from a mixture without groups, or from one of these groups")

    def _check_rows(self) -> None:
        view, k = self._view, self.model.n_components
        seen = view.sample.seen().any(axis=1)
        if k > self.n_rows or (len(view.sample) == self.n_rows and k > seen.sum()):
            raise DataError(f"there must be at least as many rows as components; got {int(seen.sum())} rows and K = {k}")
        frozen = self.model.mask("means").any() or self.model.mask("covariances").any() or self.model.mask("weights").any()
        if frozen and self.start is None:
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
            raise DataError(f"every column must vary; {listed} does not: leave it out, or give noise, a floor or a prior")


@dataclass(frozen=True, eq=False)
class _EndedClimb(Ended):
    component: int | None = None


def _watch(states: Iterator[State], tol: float, max_iter: int, history: list[float]) -> _EndedClimb:
    """Follow a climb to its end and say how it ended."""
    state: State | None = None
    try:
        for state in states:
            if not np.isfinite(state.objective):
                return _EndedClimb(state, Outcome.NOT_FINITE, tuple(history))
            if state.gap <= tol * state.row_weight:
                return _EndedClimb(state, Outcome.CONVERGED, tuple(history))
            if _stalled(history):
                return _EndedClimb(state, Outcome.STALLED, tuple(history))
            if state.iteration >= max_iter:
                return _EndedClimb(state, Outcome.MAX_ITER, tuple(history))
    except KeyboardInterrupt:
        if state is None:
            raise
        return _EndedClimb(state, Outcome.INTERRUPTED, tuple(history))
    except Collapse as collapse:
        if state is None:
            raise DataError(
                f"the spread of component {collapse.component} of the start is singular and rows carry no noise there: "
                "give it a larger covariance, or the model a floor"
            ) from None
        return _EndedClimb(state, Outcome.COLLAPSED, tuple(history), collapse.component)
    raise RuntimeError("a climb goes on for ever")


def _stalled(history: list[float]) -> bool:
    if len(history) <= _STALLED_AFTER:
        return False
    return history[-1] - history[-1 - _STALLED_AFTER] <= rounding(history[-1])


def _rank(ended: Ended) -> tuple[bool, float]:
    usable = ended.outcome not in (Outcome.COLLAPSED, Outcome.NOT_FINITE)
    return usable, ended.state.objective


def _by_weight(mixture: Mixture, model: Model) -> Mixture:
    """Components by falling weight, unless something gives them an order."""
    ordered = mixture.theta is not None or model.weights.linked or not model.means.free or model.ordered
    if ordered:
        return mixture
    order = np.argsort(-mixture.pooled_weights, kind="stable")
    return replace(
        mixture, weights=mixture.weights[..., order], means=mixture.means[order], covariances=mixture.covariances[order]
    )


def _check_settings(tol: float, max_iter: int, starts: int | None) -> None:
    if not (np.isfinite(tol) and tol > 0):
        raise DataError(f"tol must be positive; got {tol}")
    if max_iter < 1 or int(max_iter) != max_iter:
        raise DataError(f"max_iter must be a whole number, 1 or more; got {max_iter}")
    if starts is not None and (starts < 1 or int(starts) != starts):
        raise DataError(f"starts must be a whole number, 1 or more; got {starts}")


__all__ = ["Ended", "Fit", "fill", "fit"]
