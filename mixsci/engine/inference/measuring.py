"""Values with their error: known, or found from repeated measurements; and how both would come out another time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixsci.engine.inference.redrawing import redraw
from mixsci.engine.mixture import Mixture
from mixsci.engine.noise import from_errors, from_variances
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

#: What is rounding of a share.
_ROUNDING = 1e-12


class Measured(Protocol):
    """Rows and what is known of their error."""

    @property
    def observations(self) -> Observations:
        """The rows with their noise."""

    @property
    def doubt(self) -> Array:
        """(D,) standard error of the typical error variance, in squared units of x."""

    def again(self, mixture: Mixture, rng: np.random.Generator) -> Observations:
        """Rows measured in the same way of things drawn from a mixture."""


@dataclass(frozen=True, eq=False)
class KnownError:
    """Rows whose errors are known."""

    observations: Observations

    @property
    def doubt(self) -> Array:
        return np.zeros(self.observations.width)

    def again(self, mixture: Mixture, rng: np.random.Generator) -> Observations:
        return redraw(mixture, self.observations, rng)


@dataclass(frozen=True, eq=False)
class RepeatedError:
    """Means of repeated measurements, whose error is what the repeats differ by.

    Args:
        means: (n, D), NaN where a thing was never measured. times: (n, D) how often it was.
        variances: (D,) of one measurement, pooled over all things. degrees: (D,) of freedom of these.
    """

    means: Array
    times: Array
    variances: Array
    degrees: Array

    @classmethod
    def of(cls, values: Array) -> RepeatedError:
        """From values (n, r, D), NaN = not measured."""
        seen = ~np.isnan(values)
        times = seen.sum(axis=1)
        degrees = np.maximum(times - 1, 0).sum(axis=0)
        if not degrees.all():
            raise DataError(
                f"something must be measured twice in every column; in column {int(np.argmin(degrees))} nothing is: "
                "give its error instead"
            )
        sums = np.where(seen, values, 0.0).sum(axis=1)
        means = np.where(times > 0, sums / np.maximum(times, 1), np.nan)
        apart = np.where(seen, values - means[:, None], 0.0)
        variances = (apart**2).sum(axis=(0, 1)) / degrees
        if not variances.all():
            raise DataError(
                f"repeats must differ; those of column {int(np.argmin(variances))} never do: give the error they have"
            )
        return cls(means, times, variances, degrees)

    @property
    def observations(self) -> Observations:
        return self._rows(self.means, self.variances)

    @property
    def doubt(self) -> Array:
        return typical_variance(self.observations) * np.sqrt(2.0 / self.degrees)

    def again(self, mixture: Mixture, rng: np.random.Generator) -> Observations:
        means = redraw(mixture, self.observations, rng).x
        return self._rows(means, self.variances * rng.chisquare(self.degrees) / self.degrees)

    def _rows(self, means: Array, variances: Array) -> Observations:
        return Observations(
            means, from_variances(np.where(self.times > 0, variances, np.inf) / np.maximum(self.times, 1))
        )


def measured(x: Any, error: Any, *, repeats: bool) -> Measured:
    """Values as users give them, with their error; see `discrete_or_continuous`."""
    if repeats:
        return RepeatedError.of(_repeated(x, error))
    obs = x if isinstance(x, Observations) else _observed(x, error)
    if isinstance(x, Observations) and error is not None:
        raise DataError("Observations carry their own noise: leave error None")
    if not obs.each_weight.all():
        obs = obs.take(np.flatnonzero(obs.each_weight))
    blank = ~obs.seen().any(axis=0)
    if blank.any():
        raise DataError(f"every column needs a value; column {int(np.argmax(blank))} has none: leave it out")
    if obs.projection is not None:
        raise DataError("rows that see a projection are not asked for types: give the columns in which types differ")
    variances = np.broadcast_to(_variances(obs), obs.x.shape)
    exact = np.asarray((obs.seen() & ~(variances > 0)).any(axis=1))
    if exact.any():
        raise DataError(f"every value needs an error above 0; those of {name_rows(exact)} have none: give the error")
    return KnownError(obs)


def typical_variance(obs: Observations) -> Array:
    """(D,) variances of the errors, the median over the values that are seen, by the weights of their rows."""
    variances, weights = np.broadcast_to(_variances(obs), obs.x.shape), obs.each_weight
    return np.array([_median(one[seen], weights[seen]) for one, seen in zip(variances.T, obs.seen().T, strict=True)])


def _median(values: Array, weights: Array) -> float:
    """The median of values that each stand so many times."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    below /= below[-1]
    middle = values[order[[np.argmax(below > 0.5 - _ROUNDING), np.argmax(below > 0.5 + _ROUNDING)]]]
    return float(middle.mean())


def residual(mixture: Mixture, obs: Observations) -> Array:
    """(D,) mean squared distance of values from the components they belong to, in units of their error's variance."""
    weights = obs.each_weight
    shares = weights[:, None] * mixture.responsibilities(obs)
    seen = obs.seen()
    variances = np.where(seen, _variances(obs), 1.0)
    apart = np.where(seen, obs.x, 0.0)[:, None] - np.where(seen[:, None], mixture.means, 0.0)
    total = np.einsum("nk,nkd->d", shares, apart**2 / variances[:, None])
    return np.asarray(total / (weights @ seen))


def _variances(obs: Observations) -> Array:
    return np.diagonal(obs.noise.covariances(len(obs)), axis1=1, axis2=2)


def _observed(x: Any, error: Any) -> Observations:
    values = as_numbers(x, "x").values.astype(float)
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise DataError(
            f"x must have shape (n,) or (n, D), at least one value; got {values.shape}: say repeats=True for repeats"
        )
    column = values.ndim == 1 or values.shape[1] == 1
    values = values.reshape(len(values), -1)
    if error is None:
        raise DataError("the error must be known: give standard deviations, or repeats=True with repeated values")
    if hasattr(error, "covariances"):
        return Observations(values, error)
    sigma = as_numbers(error, "error").values.astype(float)
    if sigma.ndim == 0:
        sigma = np.full(values.shape[1], float(sigma))
    elif sigma.ndim == 1 and column and len(sigma) == len(values):
        sigma = sigma[:, None]
    return Observations(values, from_errors(sigma))


def _repeated(x: Any, error: Any) -> Array:
    values = as_numbers(x, "x").values.astype(float)
    if error is not None:
        raise DataError("with repeats=True the error is found from the repeats: leave error None")
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(f"x with repeats must have shape (n, r) or (n, r, D); got {values.shape}")
    if np.isinf(values).any():
        raise DataError("values must be finite, NaN = not measured; some are infinite: correct or blank them")
    return values[:, :, None] if values.ndim == 2 else values
