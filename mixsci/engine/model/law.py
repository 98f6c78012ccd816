"""What a law of weights can do, and what laws share whose weights follow from rates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from mixsci.errors import DataError

Array = np.ndarray

#: Smallest lambda: zero could not be left again.
SMALLEST_RATE = 1e-12
LARGEST_RATE = 1e6
#: Where every row is positive lambda has no maximum; beyond this the weight of an empty class could not be left again.
FULL_RATE = 690.0
SMALLEST_WEIGHT = 1e-300
_MOST_STEPS = 100
#: Newton squares its error: after a step in log lambda this small nothing but rounding is left.
_LAST_STEP = 1e-10


class WeightModel(Protocol):
    """What a weight model can do; weights are (G, K), with G = 1 where rows have no groups.

    Rates are (G,), or (G, T) for a law of T rates, or None for a law without rates.
    """

    linked: bool

    def start(self, k: int, groups: int) -> tuple[Array, Array | None]:
        """Weights (G, K) and rates to begin from."""

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        """Weights and rates of greatest expected posterior density; `frozen` (K,) weights stay."""

    def log_prior(self, weights: Array) -> float:
        """Log prior density, up to a constant."""

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        """Number of free parameters."""

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        """The free numbers behind the weights, as an unconstrained vector."""

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        """Weights and rates from such a vector; what is not in it is taken from `weights` and `rates`."""

    def spread(self, weights: Array, frozen: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""

    def check(self, rates: Array | None, k: int) -> None:
        """Raise a DataError if the weights found lie outside what the model can say."""


class RateLaw(ABC):
    """Weights that follow from rates, every group's own: a law adds its weights and its M-step."""

    linked = True

    @property
    def size(self) -> int | None:
        """Number of classes K, None where the law takes as many as the model has components."""
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a group's rates: () for one, (T,) for T of them."""
        return ()

    @property
    def states(self) -> Array:
        """(K, T) copies of each target in every class, for a law of stated classes."""
        return np.arange(self.classes_of(None))[:, None]

    @abstractmethod
    def weights(self, rates: Array, k: int | None = None) -> Array:
        """Weights (G, K) at rates (G,) or (G, T); k where the law itself does not state its classes."""

    @abstractmethod
    def estimate(self, counts: Array) -> Array:
        """The rates of greatest expected likelihood for counts (G, K), before they are limited."""

    def classes_of(self, k: int | None) -> int:
        """The number of classes: the law's own, or k.

        Raises:
            DataError: two numbers that differ, or none.
        """
        size = k if self.size is None else self.size
        if size is None:
            raise DataError(f"{type(self).__name__} must know its number of classes; it was given none: state classes=")
        if k is not None and k != size:
            raise DataError(f"this {type(self).__name__} law has {size} classes; it was asked for {k}")
        return size

    def start(self, k: int, groups: int) -> tuple[Array, Array]:
        rates = np.ones((groups, *self.shape))
        return self.weights(rates, k), rates

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array]:
        assert rates is not None
        seen = (counts.sum(axis=1) > 0).reshape(-1, *(1 for _ in self.shape))
        rates = np.where(seen, np.clip(self.estimate(counts), SMALLEST_RATE, LARGEST_RATE), rates)
        return self.weights(rates, counts.shape[1]), rates

    def log_prior(self, weights: Array) -> float:
        return 0.0

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        return groups * int(np.prod(self.shape))

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        assert rates is not None
        return np.log(np.maximum(rates, SMALLEST_RATE)).ravel()

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array]:
        rates = np.exp(np.clip(vector, np.log(SMALLEST_RATE), np.log(LARGEST_RATE))).reshape(-1, *self.shape)
        return self.weights(rates, weights.shape[1]), rates

    def spread(self, weights: Array, frozen: Array) -> Array:
        return spread_of_rate(1.0 - weights[:, 0])

    def check(self, rates: Array | None, k: int) -> None:  # noqa: B027 (most such laws can say every rate)
        """Weights that follow from rates can always be said."""


def spread_of_rate(occupied: Array) -> Array:
    """Size of a step in log lambda where this share of the rows is not empty: its standard error times sqrt(rows)."""
    return 1.0 / np.sqrt(np.maximum(occupied, 0.0) + 1e-6)


def odds(part: Array, whole: Array) -> Array:
    """part / whole, at most 1e300, so that lambda = ln(1 + odds) is finite."""
    least = np.maximum(np.maximum(whole, 1e-300 * part), 5e-324)
    return np.divide(part, least, out=np.zeros(np.shape(part)), where=part > 0)


def root(falling: Callable[[Array], tuple[Array, Array]], guess: Array) -> Array:
    """Rates (n,) at which functions that fall with the rate are zero, to the last bits.

    Newton's method in log lambda, kept inside a bracket that shrinks.

    Args:
        falling: rates -> values (n,) and slopes (n,) with respect to log lambda.
        guess: (n,) rates to begin from.
    """
    x = np.log(np.clip(guess, SMALLEST_RATE, LARGEST_RATE))
    low, high = np.full(len(x), np.log(SMALLEST_RATE)), np.full(len(x), np.log(LARGEST_RATE))
    for _ in range(_MOST_STEPS):
        value, slope = falling(np.exp(x))
        low, high = np.where(value > 0, x, low), np.where(value > 0, high, x)
        target = x - np.divide(value, slope, out=np.full(len(x), np.inf), where=slope < 0)
        target = np.where((target >= low) & (target <= high), target, (low + high) / 2)
        moved, x = np.abs(target - x), target
        if (moved <= _LAST_STEP).all():
            break
    return np.exp(x)
