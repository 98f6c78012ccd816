"""Tails of a mixture against those of one Gaussian of its mean and variance: what a rare noisy state does to errors."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from mixsci.engine.circular_mixture import refuse_angles
from mixsci.engine.em.result import mixture_of
from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_number, as_numbers, refuse_unknown
from mixsci.errors import DataError

Array = np.ndarray
Side = Literal["both", "above", "below"]


@dataclass(frozen=True, eq=False, repr=False)
class Tails:
    """Chances to lie farther than some distances from a centre, all of the shape of `distance`.

    Attributes:
        distance: from the centre, in the units of the data. centre, side: as asked for.
        sd: standard deviation of the mixture, and of the Gaussian compared with.
        log_probability: log chance under the mixture; finite where the chance itself is below all numbers.
        log_gaussian: log chance under the Gaussian of the same mean and variance.
    """

    distance: Array
    centre: float
    side: Side
    sd: float
    log_probability: Array
    log_gaussian: Array

    def __repr__(self) -> str:
        return f"Tails({self.side} {self.centre:.4g}, {self.distance.size} distances)"

    @property
    def probability(self) -> Array:
        """Chance under the mixture."""
        return np.exp(self.log_probability)

    @property
    def gaussian(self) -> Array:
        """Chance under the Gaussian."""
        return np.exp(self.log_gaussian)

    @property
    def log10_ratio(self) -> Array:
        """Decimal logarithm of how many times more likely the mixture makes it."""
        return (self.log_probability - self.log_gaussian) / np.log(10.0)

    @property
    def sigmas(self) -> Array:
        """The distance in standard deviations."""
        return self.distance / self.sd

    @property
    def equivalent_sigmas(self) -> Array:
        """The distance, in standard deviations, at which a Gaussian about the centre is as likely as the mixture."""
        log_p = self.log_probability - (np.log(2.0) if self.side == "both" else 0.0)
        return -ndtri_exp(np.minimum(log_p, 0.0))

    @property
    def loss_db(self) -> Array:
        """What the mixture costs, 20 log10(sigmas / equivalent_sigmas): by so many decibels less signal, or margin.

        Infinite where a Gaussian would have to have its centre beyond the threshold; negative where the mixture errs
        less often than the Gaussian.
        """
        with np.errstate(divide="ignore"):
            return 20.0 * np.log10(self.sigmas / np.maximum(self.equivalent_sigmas, 0.0))


def tails(
    mixture: Any, distance: Any, *, side: Side = "both", centre: float | None = None, group: Hashable | None = None
) -> Tails:
    """Chances of a one-dimensional mixture to lie far out, beside those of one Gaussian of its mean and variance.

    Args:
        mixture: a `Mixture`, or a `Fit` that holds one, in one dimension: take `marginal([dim])` of others.
        distance: one number or an array, above 0, in the units of the data.
        side: "both" sides of the centre, "above" or "below".
        centre: from where distances count; None = the mean of the mixture.
        group: whose mixture, where it differs by group.

    Raises:
        DataError: more than one dimension, a distance that is not positive and finite, a mixture without any spread.

    Example:
        >>> import mixsci as mx
        >>> channel = mx.Mixture([0.99, 0.01], [[0.0], [0.0]], [[[1.0]], [[25.0]]])
        >>> far = mx.tails(channel, [3.0, 6.0])
        >>> far.probability.round(5), far.log10_ratio.round(1)
        (array([0.00816, 0.0023 ]), array([0.1, 4.5]))
    """
    here = _one_dimension(mixture, group)
    refuse_unknown(side, _SIDES, "side")
    distance = as_numbers(distance, "distance").values.astype(float)
    if not (np.isfinite(distance) & (distance > 0)).all():
        raise DataError("distances must be finite and above 0; some are not: give the side and the distance apart")
    mean, sd = _moments(here)
    if sd == 0.0:
        raise DataError("this mixture has no spread at all: its tails are nothing or everything")
    middle = mean if centre is None else as_number(centre, "centre")
    gaussian = Mixture([1.0], [[mean]], [[[sd * sd]]])
    logs = [_SIDES[side](each, middle, distance) for each in (here, gaussian)]
    return Tails(distance, middle, side, sd, *logs)


def _one_dimension(mixture: Any, group: Hashable | None) -> Mixture:
    mixture = mixture_of(mixture)
    refuse_angles(mixture, "tails are those")
    if mixture.n_variables != 1:
        raise DataError(f"tails need one dimension; take marginal([dim]) of these {mixture.n_variables}")
    here: Mixture = mixture.marginal([0], group=group)
    return here


def _moments(mixture: Mixture) -> tuple[float, float]:
    """Mean and standard deviation, the background's box included."""
    weights, means, variances = mixture.weights, mixture.means[:, 0], mixture.covariances[:, 0, 0]
    if mixture.background is not None:
        low, high, share = mixture.background.low[0], mixture.background.high[0], mixture.background.weight
        weights = np.append((1.0 - share) * weights, share)
        means, variances = np.append(means, (low + high) / 2.0), np.append(variances, (high - low) ** 2 / 12.0)
    mean = float(weights @ means)
    return mean, float(np.sqrt(weights @ (variances + (means - mean) ** 2)))


def _log_above(mixture: Mixture, t: Array) -> Array:
    """log P(v > t)."""
    apart, sigma = mixture.means[:, 0] - t[..., None], np.sqrt(mixture.covariances[:, 0, 0])
    with np.errstate(divide="ignore"):  # no weight, or all of it on the other side: probability zero
        # A component without spread is a step.
        each = np.where(sigma > 0, log_ndtr(apart / np.where(sigma > 0, sigma, 1.0)), np.log(1.0 * (apart > 0)))
        found = np.logaddexp.reduce(each + np.log(mixture.weights), axis=-1)
        if mixture.background is None:
            return np.asarray(found)
        low, high, share = mixture.background.low[0], mixture.background.high[0], mixture.background.weight
        box = np.clip((high - t) / (high - low), 0.0, 1.0)
        return np.asarray(np.logaddexp(np.log1p(-share) + found, np.log(share) + np.log(box)))


def _mirrored(mixture: Mixture) -> Mixture:
    """The mixture of minus v."""
    box = mixture.background
    if box is not None:
        box = type(box)(-box.high, -box.low, box.weight, box.fixed)
    return Mixture(mixture.weights, -mixture.means, mixture.covariances, background=box)


def _above(mixture: Mixture, centre: float, distance: Array) -> Array:
    return _log_above(mixture, centre + distance)


def _below(mixture: Mixture, centre: float, distance: Array) -> Array:
    return _log_above(_mirrored(mixture), distance - centre)


def _both(mixture: Mixture, centre: float, distance: Array) -> Array:
    return np.asarray(np.logaddexp(_above(mixture, centre, distance), _below(mixture, centre, distance)))


_SIDES: dict[str, Callable[[Mixture, float, Array], Array]] = {"both": _both, "above": _above, "below": _below}
