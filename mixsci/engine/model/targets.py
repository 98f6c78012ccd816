"""Laws of copies: how the rates of one or several targets become weights of what is seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import gammaln, xlogy

from mixsci.engine.model.law import FULL_RATE, RateLaw, odds, spread_of_rate
from mixsci.errors import DataError

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Binomial(RateLaw):
    """w_k = C(L, k) p^k (1 - p)^(L - k), p = 1 - e^(-lambda / L): k of L loci that share one dye are lit.

    lambda is the sum of the rates of the loci, which are the same; the classes are k = 0 .. L.

    Args:
        loci: L, 1 or more; 1 is the law of positive and negative.

    Raises:
        DataError: loci that are no whole number.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> mx.weights.Binomial(2).weights(np.array([2 * np.log(2)]))
        array([[0.25, 0.5 , 0.25]])
    """

    loci: int

    def __post_init__(self) -> None:
        if not _whole(self.loci):
            raise DataError(f"loci must be a whole number, 1 or more; got {self.loci!r}")

    @property
    def size(self) -> int:
        """Number of classes K."""
        return int(self.loci) + 1

    def weights(self, rates: Array, k: int | None = None) -> Array:
        """Weights (G, L + 1) for lambda (G,)."""
        lit, dark = np.arange(self.classes_of(k)), self.loci - np.arange(self.size)
        each = rates[:, None] / self.loci
        chances = gammaln(self.size) - gammaln(lit + 1) - gammaln(dark + 1)
        weights = np.exp(chances + xlogy(lit, -np.expm1(-each)) - dark * each)
        return weights / weights.sum(axis=1, keepdims=True)

    def estimate(self, counts: Array) -> Array:
        """lambda = -L ln(1 - p) with p = sum_k k N_k / (L N)."""
        lit = np.arange(self.size)
        return np.minimum(self.loci * np.log1p(odds(counts @ lit, counts @ (self.loci - lit))), FULL_RATE)


@dataclass(frozen=True, eq=False)
class Multiplex(RateLaw):
    """pi_s = product over targets t of pi^t(k_t; lambda_t): independent targets, each with a law and a rate of its own.

    States are all combinations of counts, the last target's running fastest; `states` lists them. Rates are (G, T).

    Args:
        laws: for every target the number of its loci or a law of stated classes, `Poisson(classes=4)`, `Binomial(2)`.

    Raises:
        DataError: no laws, or one without stated classes or of several rates.

    Example:
        >>> import mixsci as mx
        >>> mx.weights.Multiplex([1, 2]).states.tolist()
        [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    """

    laws: Sequence[Any]

    def __post_init__(self) -> None:
        given = self.laws
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or not len(given):
            raise DataError(f"laws of a multiplex must be a list, one for every target; got {given!r}")
        object.__setattr__(self, "laws", tuple(Binomial(int(law)) if _whole(law) else law for law in given))
        for law in self.laws:
            if not isinstance(law, RateLaw) or law.shape or law.size is None:
                raise DataError(
                    "a target's law must be a number of loci or a law of one rate and stated classes; "
                    f"got {law!r}: write 1, Binomial(2) or Poisson(classes=4)"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """(T,) classes of every target."""
        return tuple(law.size for law in self.laws)

    @property
    def size(self) -> int:
        return int(np.prod(self.sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a group's rates."""
        return (len(self.laws),)

    @property
    def states(self) -> Array:
        """(K, T) copies of each target in every class."""
        return np.stack(np.unravel_index(np.arange(self.size), self.sizes), axis=-1)

    def weights(self, rates: Array, k: int | None = None) -> Array:
        """Weights (G, S) for lambda (G, T)."""
        self.classes_of(k)
        weights = np.ones((len(rates), 1))
        for law, rate in zip(self.laws, rates.T, strict=True):
            weights = (weights[:, :, None] * law.weights(rate)[:, None, :]).reshape(len(rates), -1)
        return weights

    def estimate(self, counts: Array) -> Array:
        """Each target's own, from the counts summed over the other targets."""
        margins = self.margins(counts)
        return np.stack([law.estimate(each) for law, each in zip(self.laws, margins, strict=True)], axis=-1)

    def margins(self, values: Array) -> list[Array]:
        """For every target its classes (G, K_t), from values (G, S) summed over the other targets."""
        grid = values.reshape(-1, *self.sizes)
        targets = range(1, grid.ndim)
        return [grid.sum(axis=tuple(other for other in targets if other != t)) for t in targets]

    def spread(self, weights: Array, frozen: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""
        return np.stack([spread_of_rate(1.0 - each[:, 0]) for each in self.margins(weights)], axis=-1).ravel()

    def check(self, rates: Array | None, k: int) -> None:
        """Raise a DataError if the rates found lie outside what the law can say."""
        for t, law in enumerate(self.laws):
            law.check(None if rates is None else rates[..., t], law.size)


@dataclass(frozen=True, eq=False)
class LinkedDuplex(RateLaw):
    """Two targets on molecules that hold the first alone (a), the second alone (b) or both (c): rates (G, 3).

    States are 00, 01, 10, 11, as of `Multiplex([1, 1])`, which this is where c = 0:

        pi_00 = e^-(a+b+c), pi_01 = e^-(a+c) (1 - e^-b), pi_10 = e^-(b+c) (1 - e^-a), pi_11 = the rest

    Example:
        >>> import numpy as np, mixsci as mx
        >>> mx.weights.LinkedDuplex().weights(np.array([[0.0, 0.0, np.log(2)]]))
        array([[0.5, 0. , 0. , 0.5]])
    """

    @property
    def size(self) -> int:
        return 4

    @property
    def shape(self) -> tuple[int, ...]:
        return (3,)

    @property
    def states(self) -> Array:
        return np.array([[0, 0], [0, 1], [1, 0], [1, 1]])

    def weights(self, rates: Array, k: int | None = None) -> Array:
        """Weights (G, 4) for a, b, c (G, 3)."""
        self.classes_of(k)
        a, b, c = rates.T
        first, second, unlinked = -np.expm1(-a), -np.expm1(-b), np.exp(-c)
        weights = [
            np.exp(-a - b - c), np.exp(-a - c) * second, np.exp(-b - c) * first,
            first * second * unlinked - np.expm1(-c),
        ]  # fmt: skip
        return np.stack(weights, axis=-1)

    def estimate(self, counts: Array) -> Array:
        """c = ln(N N_00 / (N_0. N_.0)), a = ln(N_.0 / N_00), b = ln(N_0. / N_00); c = 0 and a, b by margins if c < 0.

        Without c >= 0 these make pi_s = N_s / N, and a, b are never negative. In pi the likelihood is concave and
        a, b >= 0 convex, so where that c is negative the maximum has c = 0.
        """
        none, second, first, both = counts.T
        linked = none * both - first * second
        c = np.where(linked > 0, np.log1p(odds(np.maximum(linked, 0.0), (none + second) * (none + first))), 0.0)
        a = np.log1p(np.where(c > 0, odds(first, none), odds(first + both, none + second)))
        b = np.log1p(np.where(c > 0, odds(second, none), odds(second + both, none + first)))
        return np.minimum(np.stack([a, b, c], axis=-1), FULL_RATE)

    def spread(self, weights: Array, frozen: Array) -> Array:
        none, second, first, both = weights.T
        return spread_of_rate(np.stack([first, second, none * both - first * second], axis=-1)).ravel()


def _whole(value: Any) -> bool:
    """Whether it is a whole number, 1 or more."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
