"""States with a shape: each is a small mixture of its own, and a law says how many rows it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixsci.engine.model.shapes import as_shape, is_shape
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Occupancy:
    """States with a shape: state s is a small mixture, w_sj = pi_s(lambda) q_sj, with q shared by all groups.

    Rain is a path of sub-components, a heavy tail a core and a wide copy of it; neither needs a loop of its own.

    Args:
        law: the weight model of the states (`Poisson`, `Multiplex`, `Free`, ...).
        shapes: the number of sub-components (q then free), their weights q (held), or a `Blend`; one for every state.
        shape_of_state: (S,) which of the shapes each state has; states of one shape share their q. None = each its own.

    Raises:
        DataError: a shape that is none, or numbers of states that differ.

    Example:
        >>> import mixsci as mx
        >>> law = mx.weights.Occupancy(mx.weights.Multiplex([1, 1]), (1, 3), shape_of_state=(0, 1, 1, 1))
        >>> law.state_of_component
        (0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    """

    law: Any
    shapes: Sequence[Any]
    shape_of_state: Any = None
    linked = True

    def __post_init__(self) -> None:
        if not hasattr(self.law, "maximise"):
            raise DataError(f"the law of the states must be an object such as Poisson(); got {self.law!r}")
        if isinstance(self.shapes, str) or not isinstance(self.shapes, Sequence | np.ndarray) or not len(self.shapes):
            raise DataError(f"shapes must be a list, one for every state; got {self.shapes!r}: write [1, 3]")
        for shape in self.shapes:
            if not is_shape(shape):
                raise DataError(
                    f"a state's shape is a number of sub-components, weights that sum to 1 or a Blend; got {shape}"
                )
        if self.shape_of_state is not None:
            object.__setattr__(self, "shape_of_state", _as_places(self.shape_of_state, len(self.shapes)))
        size = getattr(self.law, "size", None)
        if size is not None and size != self.n_states:
            raise DataError(
                f"every state of the law needs a shape; the law has {size} states, the shapes are of {self.n_states}"
            )

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.shapes if self.shape_of_state is None else self.shape_of_state)

    @property
    def size(self) -> int:
        """Number of components K."""
        return len(self.state_of_component)

    @cached_property
    def state_of_component(self) -> tuple[int, ...]:
        """The state of each component."""
        return tuple(np.repeat(np.arange(self.n_states), self._lengths).tolist())

    def state_weights(self, weights: Array) -> Array:
        """(G, S) weights of the states, or their counts, from those (G, K) of the components."""
        return np.add.reduceat(weights, self._begins, axis=1)

    def shares(self, weights: Array) -> list[Array]:
        """For every shape the share q (J,) of each of its sub-components, from weights (G, K)."""
        return [shape.read(mass) for shape, mass in zip(self._shapes, self._pooled(weights), strict=True)]

    def start(self, k: int, groups: int) -> tuple[Array, Array | None]:
        """Weights (G, K) and rates to begin from."""
        if self.size != k:
            raise DataError(
                f"the shapes of these states have {self.size} sub-components in all; the model has {k} components"
            )
        pi, rates = self.law.start(self.n_states, groups)
        return self._join(pi, [shape.read(np.zeros(shape.size)) for shape in self._shapes]), rates

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        """Weights and rates of greatest expected posterior density."""
        pi, rates = self.law.maximise(self.state_weights(counts), self.state_weights(weights), rates, self._nobody)
        parts = zip(self._shapes, self._pooled(counts), self.shares(weights), strict=True)
        return self._join(pi, [shape.maximise(each, q) for shape, each, q in parts]), rates

    def log_prior(self, weights: Array) -> float:
        """Log prior density, up to a constant."""
        inner = sum(shape.log_prior(q) for shape, q in zip(self._shapes, self.shares(weights), strict=True))
        return float(self.law.log_prior(self.state_weights(weights)) + inner)

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        """Number of free parameters."""
        inner = sum(shape.n_free for shape in self._shapes)
        return int(self.law.n_free(self.n_states, groups, self._nobody)) + inner

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        """The free numbers behind the weights, as an unconstrained vector."""
        outer = self.law.pack(self.state_weights(weights), rates, self._nobody)
        inner = [shape.pack(q) for shape, q in zip(self._shapes, self.shares(weights), strict=True)]
        return np.concatenate([outer, *inner])

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, Array | None]:
        """Weights and rates from such a vector."""
        lengths = [shape.n_packed for shape in self._shapes]
        outer, *inner = np.split(vector, len(vector) - sum(lengths) + np.concatenate([[0], np.cumsum(lengths)[:-1]]))
        pi, rates = self.law.unpack(outer, self.state_weights(weights), rates, self._nobody)
        parts = zip(self._shapes, inner, self.shares(weights), strict=True)
        return self._join(pi, [shape.unpack(part, q) for shape, part, q in parts]), rates

    def spread(self, weights: Array, frozen: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""
        outer = self.law.spread(self.state_weights(weights), self._nobody)
        masses = self._pooled(weights / len(weights))
        return np.concatenate([outer, *(shape.spread(each) for shape, each in zip(self._shapes, masses, strict=True))])

    def check(self, rates: Array | None, k: int) -> None:
        """Raise a DataError if the rates found lie outside what the law can say."""
        self.law.check(rates, self.n_states)

    @cached_property
    def _shapes(self) -> tuple[Any, ...]:
        return tuple(as_shape(shape) for shape in self.shapes)

    @cached_property
    def _lengths(self) -> Array:
        """(S,) sub-components of each state."""
        places = range(self.n_states) if self.shape_of_state is None else self.shape_of_state
        return np.array([self._shapes[place].size for place in places])

    @cached_property
    def _begins(self) -> Array:
        """(S,) the first component of each state."""
        return np.concatenate([[0], np.cumsum(self._lengths)[:-1]])

    @cached_property
    def _members(self) -> tuple[Array, ...]:
        """For every shape the components (its states, J) that have it."""
        places = np.arange(self.n_states) if self.shape_of_state is None else np.array(self.shape_of_state)
        return tuple(
            self._begins[places == place][:, None] + np.arange(shape.size) for place, shape in enumerate(self._shapes)
        )

    @cached_property
    def _nobody(self) -> Array:
        return np.zeros(self.n_states, dtype=bool)

    def _pooled(self, values: Array) -> list[Array]:
        """For every shape values (G, K) summed over groups and over its states, (J,)."""
        whole = values.sum(axis=0)
        return [whole[members].sum(axis=0) for members in self._members]

    def _join(self, pi: Array, shares: list[Array]) -> Array:
        """Weights (G, K) from those of the states (G, S) and the shares within each shape."""
        within = np.empty(self.size)
        for members, q in zip(self._members, shares, strict=True):
            within[members] = q
        return pi[:, np.array(self.state_of_component)] * within


def _as_places(given: Any, shapes: int) -> tuple[int, ...]:
    """The place in `shapes` of each state's shape, every shape in use."""
    places = as_numbers(given, "shape_of_state").values
    whole = places.ndim == 1 and places.dtype.kind in "iu" and places.size > 0
    if not whole or set(places.tolist()) != set(range(shapes)):
        raise DataError(
            f"shape_of_state must give each state one of the shapes 0 to {shapes - 1} and use them all; got {given!r}"
        )
    return tuple(places.tolist())
