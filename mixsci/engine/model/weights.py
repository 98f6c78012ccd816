"""Weight models: how expected counts become weights; a new one is a class, WEIGHTS names those without arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import gammainc, gammaln, xlogy

from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray

#: Smallest lambda: zero could not be left again.
SMALLEST_RATE = 1e-12
LARGEST_RATE = 1e6
_SMALLEST_WEIGHT = 1e-300


class WeightModel(Protocol):
    """What a weight model can do; weights are (G, K), with G = 1 where rows have no groups."""

    linked: bool

    def start(self, k: int, groups: int) -> tuple[Array, Array | None]:
        """Weights (G, K) and rates (G,) to begin from."""

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
        if np.shape(self.dirichlet) not in {(), (k,)}:
            raise DataError(f"Dirichlet alpha must be one number or (K,) = ({k},); got {np.shape(self.dirichlet)}")
        return np.full((groups, k), 1.0 / k), None

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        if self.shared:
            counts = np.broadcast_to(counts.sum(axis=0), counts.shape)
        wanted = np.where(frozen, 0.0, counts + np.asarray(self.dirichlet) - 1.0)
        total = wanted.sum(axis=1, keepdims=True)
        share = 1.0 - np.where(frozen, weights, 0.0).sum(axis=1, keepdims=True)
        found = wanted * (share / np.where(total > 0, total, 1.0))
        return np.where(frozen | (total <= 0), weights, found), None

    def log_prior(self, weights: Array) -> float:
        return float(xlogy(np.asarray(self.dirichlet) - 1.0, weights[:1] if self.shared else weights).sum())

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        return (1 if self.shared else groups) * max(int((~frozen).sum()) - 1, 0)

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        return np.log(np.maximum(self._own(weights)[:, ~frozen], _SMALLEST_WEIGHT)).ravel()

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        if frozen.all():
            return weights, None
        logs = vector.reshape(len(self._own(weights)), -1)
        found = np.exp(logs - logs.max(axis=1, keepdims=True))
        found = found * (weights[:, ~frozen].sum(axis=1, keepdims=True) / found.sum(axis=1, keepdims=True))
        out = weights.copy()
        out[:, ~frozen] = np.where(weights[:, ~frozen] > 0, found, 0.0)
        return out, None

    def spread(self, weights: Array, frozen: Array) -> Array:
        return (1.0 / np.sqrt(self._own(weights)[:, ~frozen] + 1e-6)).ravel()

    def _own(self, weights: Array) -> Array:
        """The rows of weights (G, K) that are free numbers."""
        return weights[:1] if self.shared else weights

    def check(self, rates: Array | None, k: int) -> None:
        """Free weights can say anything."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """Weights held at given values (K,), in every group."""

    weights: Any
    linked = True

    def __post_init__(self) -> None:
        weights = as_numbers(self.weights, "fixed weights").values.astype(float)
        if weights.ndim != 1 or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-8:
            raise DataError(f"fixed weights must be (K,), not negative, and sum to 1; got {weights.tolist()}")
        object.__setattr__(self, "weights", weights)

    def start(self, k: int, groups: int) -> tuple[Array, None]:
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
class Poisson:
    """w_k = e^-lambda lambda^k / k!: component k holds k copies; lambda per group.

    Args:
        last: what the last class M = K - 1 means: "tail" = M or more, "truncated" = exactly M, renormalised,
            "open" = exactly M, for K so large that P(k >= K) < 1e-9.
    """

    last: str = "tail"
    linked = True

    def __post_init__(self) -> None:
        if self.last not in _LAST_CLASSES:
            raise DataError(f'last must be "tail", "truncated" or "open"; got {self.last!r}')

    def weights(self, rates: Array, k: int) -> Array:
        """Weights (G, K) for lambda (G,)."""
        n = np.arange(k)
        logs = xlogy(n, rates[:, None]) - gammaln(n + 1)
        # A law that is renormalised needs ratios only, and they do not underflow.
        logs -= rates[:, None] if self.last == "tail" else logs.max(axis=1, keepdims=True)
        weights = np.exp(logs)
        if self.last == "tail" and k > 1:
            weights[:, -1] = gammainc(k - 1, rates)
        return weights / weights.sum(axis=1, keepdims=True)

    def start(self, k: int, groups: int) -> tuple[Array, Array]:
        rates = np.full(groups, 1.0)
        return self.weights(rates, k), rates

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array]:
        total = counts.sum(axis=1)
        found = np.clip(_LAST_CLASSES[self.last](counts), SMALLEST_RATE, LARGEST_RATE)
        assert rates is not None
        rates = np.where(total > 0, found, rates)
        return self.weights(rates, counts.shape[1]), rates

    def log_prior(self, weights: Array) -> float:
        return 0.0

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        return groups

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        assert rates is not None
        return np.log(np.maximum(rates, SMALLEST_RATE))

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array]:
        rates = np.exp(np.clip(vector, np.log(SMALLEST_RATE), np.log(LARGEST_RATE)))
        return self.weights(rates, weights.shape[1]), rates

    def spread(self, weights: Array, frozen: Array) -> Array:
        return 1.0 / np.sqrt(1.0 - weights[:, 0] + 1e-6)

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
    """lambda whose mean among 0..M equals the mean copies; the mean rises with lambda."""
    k, mean = counts.shape[1], _mean_copies(counts)
    if k == 1:
        return np.full(len(counts), SMALLEST_RATE)
    truncated = Poisson("truncated")
    return _root(lambda rate: mean - truncated.weights(rate, k) @ np.arange(k), len(counts))


def _tail_rate(counts: Array) -> Array:
    """lambda that maximises sum_{k<M} N_k (k log lambda - lambda) + N_M log P(K >= M); for M = 1 it is -ln(N_0 / N)."""
    last = counts.shape[1] - 1
    if last == 0:
        return np.full(len(counts), SMALLEST_RATE)
    below, copies = counts[:, :-1].sum(axis=1), counts[:, :-1] @ np.arange(last)

    def slope(rate: Array) -> Array:
        reached = gammainc(last, rate)
        edge = np.exp(xlogy(last, rate) - rate - gammaln(last))
        return copies - below * rate + counts[:, -1] * edge / np.maximum(reached, 1e-300)

    return _root(slope, len(counts))


_LAST_CLASSES: dict[str, Callable[[Array], Array]] = {
    "tail": _tail_rate,
    "truncated": _truncated_rate,
    # Where K is large enough this is sum k N_k / N; where a climb strays beyond, it still never falls.
    "open": _truncated_rate,
}


def _root(falling: Callable[[Array], Array], n: int) -> Array:
    """Roots (n,) of functions that fall with the rate, by bisection of its logarithm to the last bit."""
    low, high = np.full(n, np.log(SMALLEST_RATE)), np.full(n, np.log(LARGEST_RATE))
    for _ in range(80):
        middle = (low + high) / 2
        above = falling(np.exp(middle)) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp((low + high) / 2)


@dataclass(frozen=True, eq=False)
class Occupancy:
    """States with a shape: state s is a small mixture, w_sj = pi_s(lambda) q_sj, with q shared by all groups.

    Rain is a path of sub-components, a heavy tail a core and a wide copy of it; neither needs a loop of its own.

    Args:
        law: the weight model of the states (`Poisson`, `Free`, ...).
        shapes: for every state the number of its sub-components (q then free) or their weights q (held).

    Raises:
        DataError: a shape that is neither a number nor weights that sum to one.
    """

    law: Any
    shapes: Sequence[Any]
    linked = True

    def __post_init__(self) -> None:
        if not hasattr(self.law, "maximise"):
            raise DataError(f"the law of the states must be an object such as Poisson(); got {self.law!r}")
        for shape in self.shapes:
            if not _is_shape(shape):
                raise DataError(f"a state's shape is a number of sub-components or weights that sum to 1; got {shape}")

    @property
    def state_of_component(self) -> tuple[int, ...]:
        """The state of each component."""
        return tuple(s for s, shape in enumerate(self.shapes) for _ in range(self._size(shape)))

    def start(self, k: int, groups: int) -> tuple[Array, Array | None]:
        state = np.array(self.state_of_component)
        if len(state) != k:
            raise DataError(
                f"the shapes of these states have {len(state)} sub-components in all; the model has {k} components"
            )
        pi, rates = self.law.start(len(self.shapes), groups)
        q = np.concatenate([self._held(shape) for shape in self.shapes])
        return pi[:, state] * q, rates

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        state = np.array(self.state_of_component)
        pi, rates = self.law.maximise(
            self._sum(counts), self._sum(weights), rates, np.zeros(len(self.shapes), dtype=bool)
        )
        return pi[:, state] * self._share(counts.sum(axis=0), self._within(weights)), rates

    def log_prior(self, weights: Array) -> float:
        return float(self.law.log_prior(self._sum(weights)))

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        states = len(self.shapes)
        inner = sum(self._size(shape) - 1 for shape in self.shapes if np.ndim(shape) == 0)
        return int(self.law.n_free(states, groups, np.zeros(states, dtype=bool))) + inner

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        outer = self.law.pack(self._sum(weights), rates, np.zeros(len(self.shapes), dtype=bool))
        inner = np.log(np.maximum(self._within(weights)[self._free], _SMALLEST_WEIGHT))
        return np.concatenate([outer, inner])

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        state, free = np.array(self.state_of_component), self._free
        split = len(vector) - int(free.sum())
        pi, rates = self.law.unpack(vector[:split], self._sum(weights), rates, np.zeros(len(self.shapes), dtype=bool))
        q = self._within(weights)
        q[free] = np.exp(np.clip(vector[split:] - vector[split:].max(initial=-np.inf), -700.0, 0.0))
        return pi[:, state] * self._share(q, q), rates

    def spread(self, weights: Array, frozen: Array) -> Array:
        outer = self.law.spread(self._sum(weights), np.zeros(len(self.shapes), dtype=bool))
        return np.concatenate([outer, 1.0 / np.sqrt(weights.mean(axis=0)[self._free] + 1e-6)])

    def check(self, rates: Array | None, k: int) -> None:
        self.law.check(rates, len(self.shapes))

    @property
    def _free(self) -> Array:
        """(K,) sub-components whose share of their state is estimated."""
        return np.array(
            [np.ndim(self.shapes[s]) == 0 and self._size(self.shapes[s]) > 1 for s in self.state_of_component]
        )

    def _sum(self, values: Array) -> Array:
        """(G, K) summed over the sub-components of each state, (G, S)."""
        starts = np.concatenate([[0], np.cumsum([self._size(shape) for shape in self.shapes])[:-1]])
        return np.add.reduceat(values, starts, axis=1)

    def _within(self, weights: Array) -> Array:
        """q (K,): the share of each component in its state."""
        q = np.concatenate([self._held(shape) for shape in self.shapes])
        return np.where(self._free, self._share(weights.sum(axis=0), q), q)

    def _share(self, counts: Array, q: Array) -> Array:
        """q (K,) from counts (K,) where it is estimated; as it was where held or without counts."""
        total = self._sum(counts[None])[0][np.array(self.state_of_component)]
        found = counts / np.where(total > 0, total, 1.0)
        return np.where(self._free & (total > 0), found, q)

    @staticmethod
    def _size(shape: Any) -> int:
        return int(shape) if np.ndim(shape) == 0 else len(shape)

    @staticmethod
    def _held(shape: Any) -> Array:
        return np.full(int(shape), 1.0 / int(shape)) if np.ndim(shape) == 0 else np.asarray(shape, dtype=float)


def _is_shape(shape: Any) -> bool:
    """Whether it is a number of sub-components, or weights of them that sum to one."""
    try:
        q = np.asarray(shape, dtype=float)
    except (TypeError, ValueError):
        return False
    if q.ndim == 0:
        return bool(q >= 1 and q == np.floor(q))
    return bool(q.ndim == 1 and (q >= 0).all() and abs(q.sum() - 1) < 1e-8)


WEIGHTS: dict[str, WeightModel] = {"free": Free(), "poisson": Poisson()}
