"""How sure the numbers of a fit are: standard errors from the score, by the delta method for all that follows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import ndtri

from mixsci.engine.em.result import Fit, fit_of
from mixsci.engine.em.steps import expect
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.inference.information import refuse_singular
from mixsci.engine.inference.knowledge import Problem, Solved, solve
from mixsci.engine.inference.numbers import Layout, moved, parts_of
from mixsci.engine.inference.points import even_points
from mixsci.engine.inference.yardstick import LARGEST_SHARE, Directions
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.model.model import Model
from mixsci.engine.model.statistics import Stats
from mixsci.engine.observations import as_observations
from mixsci.engine.tables import as_chance, as_numbers, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Method = Literal["observed", "scores", "sandwich", "auto"]

METHODS = ("observed", "scores", "sandwich", "auto")
#: Rows times components times free numbers up to which "auto" takes the passes of "observed": seconds.
MOST_CELLS = 300_000_000
#: Free numbers at most: their covariance is one matrix.
MOST_NUMBERS = 10_000
#: A number that a lost direction of length one moves by more than this share of its standard error is lost.
_LEAST_MOVE, _ROUNDING = 0.1, 1e-9
#: Steps of the delta method, in standard errors and in lengths of a lost direction.
_STEP, _INWARDS = 0.01, 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class StandardErrors:
    """Standard errors of a fit: square roots of the variances that maximum likelihood has in large samples.

    NaN stands where the rows say nothing of a number; what was frozen or fixed has 0.

    Attributes:
        model: what was assumed. mixture: the fitted mixture.
        method: "observed", "scores" or "sandwich".
        covariance: (p, p) covariance of `model.pack(mixture)`; weights are packed as logarithms, which are fixed up to
            a constant only, so it may be singular.
        weights, means, covariances: of the shapes of the mixture's.
        rates, theta, offsets, background: of the shapes of the mixture's, None where it has none.
        free: directions of one standard error each, independent of one another. lost: those that nothing holds.
        steps: of finite differences along the free ones, in standard errors.
        names: of the variables, if they have any.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(10.0, 2.0, size=(400, 1))
        >>> sure = standard_errors(mx.fit(mx.Model(1), x, rng=0), x)
        >>> sure.means.round(3)
        array([[0.1]])
        >>> value, error = sure.of(lambda mixture: np.sqrt(mixture.covariances[0, 0, 0]))
        >>> round(float(value), 3), round(float(error), 3)
        (1.99, 0.07)
    """

    model: Model
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
    names: tuple[str, ...] | None = None

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

    def summary(self) -> pd.DataFrame:
        """The table of the components, `Fit.summary`, with the standard error of every number beside it."""
        return with_errors(self, self.names)

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
        level = as_chance(level, "level")
        value, error = self.of(function)
        width = float(ndtri(0.5 + level / 2)) * error
        return value - width, value + width

    def draws(self, n: int) -> list[Mixture]:
        """n mixtures that the rows leave open: normal about the fit in the numbers of `model.pack`, always the same.

        Their average of a function is what is expected of it when the fit's own uncertainty counts too.

        Args:
            n: a power of 2, so that the draws fill the space evenly.

        Raises:
            DataError: another number.

        Example:
            >>> import numpy as np, mixsci as mx
            >>> x = np.random.default_rng(0).normal(10.0, 2.0, size=(400, 1))
            >>> sure = standard_errors(mx.fit(mx.Model(1), x, rng=0), x)
            >>> round(float(np.std([draw.means[0, 0] for draw in sure.draws(64)])), 1)
            0.1
        """
        if not isinstance(n, int | np.integer) or n < 1 or n & (n - 1):
            raise DataError(f"n must be a power of 2, so that draws are even; got {n!r}")
        if not len(self.free):
            return [self.mixture]
        # A triangular root, so that draws do not hang on how the free directions happen to be turned.
        triangle: Array = np.linalg.qr(self.free.theta, mode="r")  # type: ignore[assignment]
        root = triangle * np.where(np.diagonal(triangle) < 0, -1.0, 1.0)[:, None]
        here = self.model.pack(self.mixture)
        return [self.model.unpack(here + step, self.mixture) for step in even_points(n, len(self.free)) @ root]

    def _linear(self, function: Callable[[Mixture], Any]) -> tuple[Array, Array, Array]:
        """Value, its changes (q, ...) by one standard error along each free direction, and where it is lost."""
        value = number_of(function, self.mixture)
        changes = np.zeros((len(self.free), *value.shape))
        for j, step in enumerate(self.steps):
            ahead, back = (value_of(function, self._at(self.free.numbers[j], sign * step)) for sign in (1.0, -1.0))
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
                return np.asarray((value_of(function, self._at(numbers, _INWARDS)) - value) / _INWARDS)
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
    fit, obs = fit_of(fit), obs if hasattr(obs, "blocks") else as_observations(obs)
    chosen = _chosen(fit, obs, method)
    stats = expect(fit.mixture, obs, workers=workers)
    refuse_other_rows(fit, stats)
    with one_blas_thread():
        problem = Problem(fit.model, fit.mixture, stats)
        found = solve(problem, *problem.known(obs, chosen, workers))
        errors = replace(_errors(problem, found, chosen), names=fit.names_of_variables)
    for sentence in found.remarks(problem):
        warnings.warn(sentence, stacklevel=2)
    return errors


def _chosen(fit: Any, obs: Any, method: str) -> str:
    """The method to use."""
    if not isinstance(fit.model, Model):
        raise DataError(
            f"standard errors are those of a mixsci.Model; got a {type(fit.model).__name__}: ask mixsci.bootstrap"
        )
    refuse_search(fit.model, "standard errors go")
    if fit.model.assignment != "soft":
        raise DataError('standard errors are those of a likelihood: fit with assignment="soft", from start=fit.mixture')
    refuse_unknown(method, METHODS, "method")
    count, alone = len(fit.model.pack(fit.mixture)), not hasattr(obs, "complete")
    if count > MOST_NUMBERS:
        raise DataError(f"standard errors are found together, of at most {MOST_NUMBERS} numbers; this fit has {count}")
    if method in ("scores", "sandwich") and not alone:
        raise DataError(f'method {method!r} needs rows that nothing was selected from: use method="observed"')
    if method != "auto":
        return method
    cells = fit.n_rows * fit.mixture.n_components * count
    return "observed" if cells <= MOST_CELLS or not alone else "scores"


def refuse_other_rows(fit: Fit, stats: Stats) -> None:
    """Raise where rows are not those of a fit, as far as their number and log-likelihood tell."""
    refuse_singular(stats)
    size = max(abs(fit.log_likelihood), stats.row_weight)
    if stats.n_rows != fit.n_rows or abs(stats.log_likelihood - fit.log_likelihood) > 1e-9 * size:
        raise DataError(
            f"these are not the rows of the fit: its {fit.n_rows} rows have log-likelihood {fit.log_likelihood:.10g}, "
            f"these {stats.n_rows} have {stats.log_likelihood:.10g}; give the rows, noise, weights and groups it had"
        )


def _errors(problem: Problem, found: Solved, method: str) -> StandardErrors:
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
        model=problem.model,
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


def value_of(function: Callable[[Mixture], Any], mixture: Mixture) -> Array:
    """What a function gives of a mixture, as numbers."""
    if not callable(function):
        raise DataError(f"a function of a mixture is needed, such as lambda m: m.means[0, 0]; got {function!r:.80}")
    return np.array(as_numbers(function(mixture), "what the function gives").values, dtype=float)


def number_of(function: Callable[[Mixture], Any], mixture: Mixture) -> Array:
    """The same where it must be a number."""
    found = value_of(function, mixture)
    if np.isnan(found).any():
        raise DataError(f"the function must give numbers; of {mixture!r} it gives NaN")
    return found


def with_errors(sure: Any, names: tuple[str, ...] | None) -> pd.DataFrame:
    """The table of the components of a mixture, the standard error of every column in one beside it."""
    table = sure.mixture.summary(names)
    with np.errstate(invalid="ignore"):  # a variance that a step takes below zero: its error is NaN
        _, errors = sure.of(lambda mixture: mixture.summary(names).to_numpy())
    for j, name in enumerate(list(table)):
        table.insert(2 * j + 1, f"{name}_error", errors[:, j])
    return table
