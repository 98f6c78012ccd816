"""Weight models: how expected counts become weights; a new one is a class, WEIGHTS names those without arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import gammainc, gammaln, xlogy

from mixsci.engine.model.automatic import Annihilating, StickBreaking
from mixsci.engine.model.law import FULL_RATE, SMALLEST_RATE, SMALLEST_WEIGHT, RateLaw, WeightModel, odds, root
from mixsci.engine.model.occupancy import Occupancy
from mixsci.engine.model.shapes import Blend
from mixsci.engine.model.targets import Binomial, LinkedDuplex, Multiplex
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray

#: The laws that users name as `mixsci.weights.<law>`, and what laws are made of.
__all__ = [
    "WEIGHTS", "Annihilating", "Binomial", "Blend", "Fixed", "Free", "LinkedDuplex", "Multiplex", "Occupancy",
    "Poisson", "StickBreaking", "WeightModel",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Free:
    """Weights free to sum to one, per group.

    Args:
        dirichlet: alpha >= 1 of a Dirichlet prior, one number or (K,); alpha - 1 pseudo-rows per component.
        shared: one set of weights for all groups.
    """

    dirichlet: Any = 1.0
    shared: bool = False
    linked = False

    def __post_init__(self) -> None:
        alpha = as_numbers(self.dirichlet, "Dirichlet alpha").values
        if alpha.ndim > 1 or not (np.isfinite(alpha).all() and (alpha >= 1).all()):
            raise DataError(
                f"Dirichlet alpha must be at least 1 and finite, one number or (K,); got {alpha.tolist()}: "
                "smaller has no maximum inside"
            )

    def start(self, k: int, groups: int) -> tuple[Array, None]:
        """Weights (G, K) and rates to begin from."""
        if np.shape(self.dirichlet) not in {(), (k,)}:
            raise DataError(f"Dirichlet alpha must be one number or (K,) = ({k},); got {np.shape(self.dirichlet)}")
        return np.full((groups, k), 1.0 / k), None

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        """Weights and rates of greatest expected posterior density."""
        if self.shared:
            counts = np.broadcast_to(counts.sum(axis=0), counts.shape)
        wanted = np.where(frozen, 0.0, counts + np.asarray(self.dirichlet) - 1.0)
        total = wanted.sum(axis=1, keepdims=True)
        share = 1.0 - np.where(frozen, weights, 0.0).sum(axis=1, keepdims=True)
        found = wanted * (share / np.where(total > 0, total, 1.0))
        return np.where(frozen | (total <= 0), weights, found), None

    def log_prior(self, weights: Array) -> float:
        """Log prior density, up to a constant."""
        return float(xlogy(np.asarray(self.dirichlet) - 1.0, weights[:1] if self.shared else weights).sum())

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        """Number of free parameters."""
        return (1 if self.shared else groups) * max(int((~frozen).sum()) - 1, 0)

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        """The free numbers behind the weights, as an unconstrained vector."""
        return np.log(np.maximum(self._own(weights)[:, ~frozen], SMALLEST_WEIGHT)).ravel()

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        """Weights and rates from such a vector."""
        if frozen.all():
            return weights, None
        logs = vector.reshape(len(self._own(weights)), -1)
        found = np.exp(logs - logs.max(axis=1, keepdims=True))
        found = found * (weights[:, ~frozen].sum(axis=1, keepdims=True) / found.sum(axis=1, keepdims=True))
        out = weights.copy()
        out[:, ~frozen] = np.where(weights[:, ~frozen] > 0, found, 0.0)
        return out, None

    def spread(self, weights: Array, frozen: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""
        return (1.0 / np.sqrt(self._own(weights)[:, ~frozen] + 1e-6)).ravel()

    def _own(self, weights: Array) -> Array:
        """The rows of weights (G, K) that are free numbers."""
        return weights[:1] if self.shared else weights

    def check(self, rates: Array | None, k: int) -> None:
        """Free weights can say anything."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """Weights held at given values (K,), in every group; None = all equal."""

    weights: Any = None
    linked = True

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        weights = as_numbers(self.weights, "fixed weights").values.astype(float)
        if weights.ndim != 1 or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-8:
            raise DataError(f"fixed weights must be (K,), not negative, and sum to 1; got {weights.tolist()}")
        object.__setattr__(self, "weights", weights)

    def start(self, k: int, groups: int) -> tuple[Array, None]:
        if self.weights is None:
            return np.full((groups, k), 1.0 / k), None
        if len(self.weights) != k:
            raise DataError(f"fixed weights must have shape (K,) = ({k},); got {self.weights.shape}")
        return np.tile(self.weights, (groups, 1)), None

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        return self.start(counts.shape[1], len(counts))

    def log_prior(self, weights: Array) -> float:
        return 0.0

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        return 0

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        return np.empty(0)

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        return weights, None

    def spread(self, weights: Array, frozen: Array) -> Array:
        return np.empty(0)

    def check(self, rates: Array | None, k: int) -> None:
        """Held weights stay what they are."""


@dataclass(frozen=True, eq=False)
class Poisson(RateLaw):
    """w_k = e^-lambda lambda^k / k!: component k holds k copies; lambda per group.

    Args:
        last: what the last class M = K - 1 means: "tail" = M or more, "truncated" = exactly M, renormalised,
            "open" = exactly M, for K so large that P(k >= K) < 1e-9.
        classes: K, where it must be stated (as a factor of `Multiplex`); None = the model's components.

    Raises:
        DataError: another last class, or a number of classes that is not 2 or more.
    """

    last: str = "tail"
    classes: int | None = None

    def __post_init__(self) -> None:
        if self.last not in _LAST_CLASSES:
            raise DataError(f'last must be "tail", "truncated" or "open"; got {self.last!r}')
        whole = isinstance(self.classes, Integral) and not isinstance(self.classes, bool)
        if self.classes is not None and not (whole and self.classes >= 2):
            raise DataError(f"classes must be a whole number, 2 or more, or None; got {self.classes!r}")

    @property
    def size(self) -> int | None:
        """Number of classes K."""
        return self.classes

    def weights(self, rates: Array, k: int | None = None) -> Array:
        """Weights (G, K) for lambda (G,)."""
        k = self.classes_of(k)
        n = np.arange(k)
        logs = xlogy(n, rates[:, None]) - gammaln(n + 1)
        # A law that is renormalised needs ratios only, and they do not underflow.
        logs -= rates[:, None] if self.last == "tail" else logs.max(axis=1, keepdims=True)
        weights = np.exp(logs)
        if self.last == "tail" and k > 1:
            weights[:, -1] = gammainc(k - 1, rates)
        return weights / weights.sum(axis=1, keepdims=True)

    def estimate(self, counts: Array) -> Array:
        """lambda (G,) of greatest expected likelihood for counts (G, K)."""
        return _LAST_CLASSES[self.last](counts)

    def check(self, rates: Array | None, k: int) -> None:
        if self.last != "open" or rates is None:
            return
        largest = float(np.max(rates))
        if gammainc(k, largest) >= 1e-9:
            needed = k
            while gammainc(needed, largest) >= 1e-9:
                needed += 1
            raise DataError(
                f"an open Poisson law needs components for all but 1e-9 of the rows: with lambda = {largest:.4g}, "
                f'K = {needed}; got K = {k}: add components or use last="tail"'
            )


def _mean_copies(counts: Array) -> Array:
    total = counts.sum(axis=1)
    return counts @ np.arange(counts.shape[1]) / np.where(total > 0, total, 1.0)


def _truncated_rate(counts: Array) -> Array:
    """lambda whose mean among 0..M equals the mean copies; its slope in log lambda is the variance."""
    k, mean = counts.shape[1], _mean_copies(counts)
    n, truncated = np.arange(k), Poisson("truncated")

    def excess(rate: Array) -> tuple[Array, Array]:
        weights = truncated.weights(rate, k)
        average = weights @ n
        return mean - average, average**2 - weights @ n**2

    return root(excess, mean)


def _tail_rate(counts: Array) -> Array:
    """lambda that maximises sum_{k<M} N_k (k log lambda - lambda) + N_M log P(K >= M); for M = 1 it is -ln(N_0 / N)."""
    last = counts.shape[1] - 1
    if last == 0:
        return np.full(len(counts), SMALLEST_RATE)
    if last == 1:
        return np.minimum(np.log1p(odds(counts[:, 1], counts[:, 0])), FULL_RATE)
    below, copies = counts[:, :-1].sum(axis=1), counts[:, :-1] @ np.arange(last)

    def slope(rate: Array) -> tuple[Array, Array]:
        edge = np.exp(xlogy(last, rate) - rate - gammaln(last)) / np.maximum(gammainc(last, rate), 1e-300)
        return copies - below * rate + counts[:, -1] * edge, counts[:, -1] * edge * (last - rate - edge) - below * rate

    return np.minimum(root(slope, _mean_copies(counts)), FULL_RATE)


_LAST_CLASSES: dict[str, Callable[[Array], Array]] = {
    "tail": _tail_rate,
    "truncated": _truncated_rate,
    # Where K is large enough this is sum k N_k / N; where a climb strays beyond, it still never falls.
    "open": _truncated_rate,
}

WEIGHTS: dict[str, WeightModel] = {
    "free": Free(), "equal": Fixed(), "poisson": Poisson(), "annihilating": Annihilating(),
    "stick-breaking": StickBreaking(),
}  # fmt: skip
