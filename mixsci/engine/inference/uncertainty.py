"""How sure the numbers of a fit are: standard errors from the score, by the delta method for all that follows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from mixsci.engine.em.result import Fit
from mixsci.engine.em.steps import expect
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.inference.directions import free_directions
from mixsci.engine.inference.information import observed_information, refuse_singular, row_scores
from mixsci.engine.inference.numbers import Coordinates, Layout, coordinates, moved, parts_of, slopes
from mixsci.engine.inference.yardstick import LARGEST_SHARE, Directions, Yardstick, congruent
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.model.statistics import Stats
from mixsci.engine.observations import as_observations
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError

Array = np.ndarray
Method = Literal["observed", "scores", "sandwich", "auto"]

METHODS = ("observed", "scores", "sandwich", "auto")
#: Rows times components times free numbers up to which "auto" takes the passes of "observed": seconds.
MOST_CELLS = 300_000_000
#: Curvature below this share of what complete rows would give is rounding: nothing is known of such a direction.
_NOTHING = 1e-8
#: A number that a lost direction of length one moves by more than this share of its standard error is lost.
_LEAST_MOVE, _ROUNDING = 0.1, 1e-9
#: Steps of the delta method, in standard errors and in lengths of a lost direction.
_STEP, _INWARDS = 0.01, 1e-3
#: Nats that a fit may have left before its standard errors are called into question.
_MOST_LEFT = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class StandardErrors:
    """Standard errors of a fit: square roots of the variances that maximum likelihood has in large samples.

    NaN stands where the rows say nothing of a number; what was frozen or fixed has 0.

    Attributes:
        mixture: the fitted mixture.
        method: "observed", "scores" or "sandwich".
        covariance: (p, p) covariance of `model.pack(mixture)`; weights are packed as logarithms, which are fixed up to
            a constant only, so it may be singular.
        weights, means, covariances: of the shapes of the mixture's.
        rates, theta, offsets, background: of the shapes of the mixture's, None where it has none.
        free: directions of one standard error each, independent of one another. lost: those that nothing holds.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(10.0, 2.0, size=(400, 1))
        >>> sure = standard_errors(mx.fit(mx.Model(1), x, rng=0), x)
        >>> sure.means.round(3)
        array([[0.098]])
        >>> sure.of(lambda mixture: np.sqrt(mixture.covariances[0, 0, 0]))[1].round(3)
        array(0.069)
    """

    mixture: Mixture
    method: str
    covariance: Array
    weights: Array
    means: Array
    covariances: Array
    rates: Array | None
    theta: Array | None
    offsets: Array | None
    background: float | None
    free: Directions = field(repr=False)
    lost: Directions = field(repr=False)
    steps: Array = field(repr=False)

    def __repr__(self) -> str:
        return f"StandardErrors({len(self.free)} free directions, {len(self.lost)} lost, {self.method})"

    def of(self, function: Callable[[Mixture], Any]) -> tuple[Array, Array]:
        """Value and standard error of a function of the mixture, of one shape.

        Args:
            function: mixture -> number or array, smooth where the mixture is.
        """
        value, changes, lost = self._linear(function)
        error = np.sqrt((changes**2).sum(axis=0))
        return value, np.where(lost, np.nan, error)

    def covariance_of(self, function: Callable[[Mixture], Any]) -> Array:
        """(s, s) covariance of what a function of the mixture gives, s numbers in all."""
        value, changes, lost = self._linear(function)
        flat, gone = changes.reshape(len(changes), value.size), lost.ravel()
        return np.where(gone[:, None] | gone, np.nan, flat.T @ flat)

    def interval(self, function: Callable[[Mixture], Any], level: float = 0.95) -> tuple[Array, Array]:
        """Lower and upper ends: value -+ z standard errors.

        They hold best for functions without a bound: log variances, log-odds of weights.

        Args:
            function: mixture -> number or array.
            level: chance to hold the true value, in (0, 1).
        """
        level = as_number(level, "level")
        if not 0.0 < level < 1.0:
            raise DataError(f"level must lie between 0 and 1; got {level}")
        value, error = self.of(function)
        width = float(ndtri(0.5 + level / 2)) * error
        return value - width, value + width

    def _linear(self, function: Callable[[Mixture], Any]) -> tuple[Array, Array, Array]:
        """Value, its changes (q, ...) by one standard error along each free direction, and where it is lost."""
        value = _value(function, self.mixture)
        changes = np.zeros((len(self.free), *value.shape))
        for j, step in enumerate(self.steps):
            ahead, back = (_value(function, self._at(self.free.numbers[j], sign * step)) for sign in (1.0, -1.0))
            changes[j] = (ahead - back) / (2.0 * step)
        error = np.sqrt((changes**2).sum(axis=0))
        lost = np.zeros(value.shape, dtype=bool)
        for numbers in self.lost.numbers:
            lost |= _is_lost(self._change(function, value, numbers), error, value)
        return value, changes, lost

    def _change(self, function: Callable[[Mixture], Any], value: Array, numbers: Array) -> Array:
        """By how much a lost direction changes a function; NaN where it leads out of what the function can take."""
        try:
            with np.errstate(all="ignore"):
                return np.asarray((_value(function, self._at(numbers, _INWARDS)) - value) / _INWARDS)
        except (DataError, np.linalg.LinAlgError):
            return np.full(value.shape, np.nan)

    def _at(self, numbers: Array, step: float) -> Mixture:
        return moved(self.mixture, Layout.of(self.mixture).split(step * numbers))


def standard_errors(fit: Fit, obs: Any, *, method: Method = "observed", workers: Any = None) -> StandardErrors:
    """Standard errors of every number of a fit, and by the delta method of whatever follows from it.

    Args:
        fit: a fit that converged.
        obs: the rows it was fitted to.
        method: "observed", the information A is minus the second derivatives of log-likelihood and log prior, from two
            passes over the rows for every free number; "scores", it is the sum B of outer products of the scores of
            rows, from one pass, which agrees where the model is right; "sandwich", the covariance is A^-1 B A^-1, which
            holds where it is not (White 1982); "auto", "observed" while rows x components x free numbers are at most
            3e8, else "scores".
        workers: threads, or a Dask client; None = all processors.

    Returns:
        What is estimated with weights per row counts a row of weight 2 as two. A number at an edge (a weight of zero,
        a covariance without spread or at its floor) is NaN, and the others are those of a model that holds it there.

    Raises:
        DataError: not a fit, other rows than those of the fit, or rows without a density.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (300, 1))])
        >>> standard_errors(mx.fit(mx.Model(2), x, rng=0), x).weights.round(3)
        array([0.022, 0.022])
    """
    obs = obs if hasattr(obs, "blocks") else as_observations(obs)
    chosen = _chosen(fit, obs, method)
    stats = expect(fit.mixture, obs, workers=workers)
    _refuse_other_rows(fit, stats)
    with one_blas_thread():
        problem = _Problem(fit.model, fit.mixture, stats)
        found = _solved(problem, *problem.known(obs, chosen, workers))
        errors = _errors(problem, found, chosen)
    for sentence in found.remarks(problem):
        warnings.warn(sentence, stacklevel=2)
    return errors


def _chosen(fit: Any, obs: Any, method: str) -> str:
    """The method to use."""
    if not isinstance(fit, Fit):
        raise DataError(f"fit must be what mixsci.fit returns; got {type(fit).__name__}")
    if method not in METHODS:
        raise DataError(f"method must be one of {', '.join(map(repr, METHODS))}; got {method!r}")
    alone = not hasattr(obs, "complete")
    if method in ("scores", "sandwich") and not alone:
        raise DataError(f'method {method!r} needs rows that nothing was selected from: use method="observed"')
    if method != "auto":
        return method
    cells = fit.n_rows * fit.mixture.n_components * len(fit.model.pack(fit.mixture))
    return "observed" if cells <= MOST_CELLS or not alone else "scores"


def _refuse_other_rows(fit: Fit, stats: Stats) -> None:
    refuse_singular(stats)
    size = max(abs(fit.log_likelihood), stats.row_weight)
    if stats.n_rows != fit.n_rows or abs(stats.log_likelihood - fit.log_likelihood) > 1e-9 * size:
        raise DataError(
            f"these are not the rows of the fit: its {fit.n_rows} rows have log-likelihood {fit.log_likelihood:.10g}, "
            f"these {stats.n_rows} have {stats.log_likelihood:.10g}; give the rows, noise, weights and groups it had"
        )


class _Problem:
    """A model at a mixture: in which directions it is free, and what is known of each."""

    def __init__(self, model: Model, mixture: Mixture, stats: Stats) -> None:
        self.model, self.mixture, self.stats = model, mixture, stats
        self.coordinates: Coordinates = coordinates(model, mixture)
        self.layout = self.coordinates.layout
        self.scores = self.layout.join(slopes(mixture, stats))
        self.yardstick = Yardstick(mixture, self.layout, stats)
        free = free_directions(model, self.coordinates, self.yardstick)
        self.directions, self.held = free.directions, free.lost

    def known(self, obs: Any, method: str, workers: Any) -> tuple[Array, Array | None]:
        """Information (q, q) on the free directions, prior included, and the scatter of scores for a sandwich."""
        scatter = None
        if method != "observed":
            scatter = row_scores(self.directions, self.yardstick, obs, workers)
        extra = self.coordinates.bend(self.scores if method != "scores" else np.zeros(self.layout.size))
        if method == "scores":
            assert scatter is not None
            data = scatter
        else:
            data = observed_information(self.directions, self.yardstick, obs, workers)
        information = data - self.directions.theta @ extra @ self.directions.theta.T
        return information, scatter if method == "sandwich" else None

    @property
    def score(self) -> Array:
        """(q,) slope of the objective along the free directions."""
        return self.directions.numbers @ self.scores + self.directions.theta @ self.coordinates.prior_slope

    @property
    def centre(self) -> Array:
        """(D, q) rows that must not move: the mean of the offsets, where it is set to zero."""
        if not self.model.centred:
            return np.zeros((0, len(self.directions)))
        counts, _, _ = self.stats.grouped
        return np.einsum("g,qgd->dq", counts.sum(axis=1), self.layout.split(self.directions.numbers)["offsets"])

    def leaving(self, step: Array) -> Array:
        """Rows (c, q) that keep the covariances from a step (q,) that would leave them without spread."""
        change = self.layout.split(self.directions.numbers)["covariances"]
        there = self.mixture.covariances + np.einsum("q,qkab->kab", step, change)
        own = self.yardstick.own_roots
        values, vectors = np.linalg.eigh(congruent(there, own))
        flat = [int(k) for k in np.flatnonzero(~self.model.mask("covariances")) if values[k, 0] <= 0]
        rows = [change[:, k] @ (own[k] @ vectors[k][:, values[k] <= 0]) for k in flat]
        count = len(self.directions)
        return np.concatenate([np.zeros((0, count)), *(row.reshape(count, -1).T for row in rows)])


@dataclass(frozen=True, eq=False)
class _Solved:
    """Free directions of one standard error each, lost ones by reason, and the nats that a Newton step would gain."""

    free: Directions
    lost: dict[str, Directions]
    left: float

    def remarks(self, problem: _Problem) -> list[str]:
        """What must be said of the standard errors."""
        said = [_reason(problem, name, part) for name, part in self.lost.items() if len(part)]
        found = [f"some standard errors are NaN: {'; '.join(said)}"] if said else []
        if self.left > _MOST_LEFT:
            found.append(
                f"the fit has about {self.left:.2g} nats to go, so its standard errors are not those of a maximum: "
                "fit again with a smaller tol"
            )
        return found


def _solved(problem: _Problem, information: Array, scatter: Array | None) -> _Solved:
    """Inverts the information where it is positive and the mixture can move."""
    centre, edges = problem.centre, np.zeros((0, len(information)))
    score = problem.score
    while True:
        _, inside = _seen_and_unseen(np.vstack([centre, edges]))
        values, vectors = np.linalg.eigh(inside.T @ information @ inside)
        known = values > _NOTHING
        free = inside @ (vectors[:, known] / np.sqrt(values[known]))
        rows = problem.leaving(free @ (free.T @ score))
        if not len(rows):
            break
        edges = np.vstack([edges, rows])
    gain = float(((free.T @ score) ** 2).sum() / 2)
    if scatter is not None:
        spread, axes = np.linalg.eigh(free.T @ scatter @ free)
        free = free @ (axes * np.sqrt(np.maximum(spread, 0.0)))
    lost = problem.held | {
        "shrinking": problem.directions.combine(_seen_and_unseen(edges)[0]),
        "unknown": problem.directions.combine(inside @ vectors[:, ~known & (values >= -_NOTHING)]),
        "rising": problem.directions.combine(inside @ vectors[:, values < -_NOTHING]),
    }
    lost = {name: problem.yardstick.of_length_one(part) for name, part in lost.items()}
    return _Solved(problem.directions.combine(free), lost, gain)


def _seen_and_unseen(rows: Array) -> tuple[Array, Array]:
    """Orthonormal bases (q, .) of what rows (n, q) see, and of what they do not."""
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    _, seen, axes = np.linalg.svd(rows / np.where(size > 0, size, 1.0), full_matrices=True)
    rank = int((seen > 1e-9).sum())
    return axes[:rank].T, axes[rank:].T


def _reason(problem: _Problem, name: str, lost: Directions) -> str:
    """Whose numbers the lost directions of one kind are, and why."""
    whose, parts = _listed(problem, lost), _parts_lost(problem, lost)
    return {
        "weights": f"less than half a row speaks for the weight {whose}",
        "background": "less than half a row speaks for the background",
        "rows": f"less than half a row speaks for {parts} {whose}".rstrip(),
        "theta": "theta has parts that no mean depends on",
        "flat": f"the covariance {whose} has no spread in some direction, or lies at its floor",
        "shrinking": f"the covariance {whose} has next to no spread in some direction",
        "unknown": f"the rows do not tell {parts} {whose}".rstrip(),
        "rising": f"the fit is no maximum in {parts} {whose}".rstrip(),
    }[name]


def _parts_lost(problem: _Problem, lost: Directions) -> str:
    """What directions move, in words."""
    parts = problem.layout.split(problem.yardstick.of_length_one(lost).numbers)
    return " and ".join(name for name in parts if name not in ("rates", "theta") and parts[name].any())


def _listed(problem: _Problem, lost: Directions) -> str:
    """The components that directions move, in words."""
    far = np.flatnonzero(problem.yardstick.by_component(lost).max(axis=0) > _LEAST_MOVE)
    few, more = far[:5], f" ... ({len(far)} in all)" if len(far) > 5 else ""
    return f"of component{'s' if len(few) > 1 else ''} {', '.join(map(str, few))}{more}" if len(few) else ""


def _errors(problem: _Problem, found: _Solved, method: str) -> StandardErrors:
    """The standard errors of every number, NaN where it is lost."""
    mixture, free, lost = problem.mixture, found.free, Directions.joined(*found.lost.values())
    values = problem.layout.join(parts_of(mixture))
    error = np.sqrt((free.numbers**2).sum(axis=0))
    gone = np.any(_is_lost(lost.numbers, error, values), axis=0)
    parts = problem.layout.split(np.where(gone, np.nan, error))
    of_theta = np.sqrt((free.theta**2).sum(axis=0))
    lost_theta = np.any(_is_lost(lost.theta, of_theta, np.zeros(len(of_theta))), axis=0)
    background = parts.get("background")
    return StandardErrors(
        mixture=mixture,
        method=method,
        covariance=np.where(np.logical_or.outer(lost_theta, lost_theta), np.nan, free.theta.T @ free.theta),
        weights=parts["weights"],
        means=parts["means"],
        covariances=parts["covariances"],
        rates=parts.get("rates"),
        theta=parts.get("theta"),
        offsets=parts.get("offsets"),
        background=None if background is None else float(background),
        free=free,
        lost=lost,
        steps=np.minimum(_STEP, problem.yardstick.steps(free, LARGEST_SHARE)),
    )


def _is_lost(change: Array, error: Array, value: Array) -> Array:
    """Whether the change by a lost direction is more than a small share of a standard error."""
    return ~(np.abs(change) <= _LEAST_MOVE * error + _ROUNDING * np.abs(value))


def _value(function: Callable[[Mixture], Any], mixture: Mixture) -> Array:
    return np.array(as_numbers(function(mixture), "what the function gives").values, dtype=float)
