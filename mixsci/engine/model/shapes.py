"""Shapes of states: which share q of a state each of its sub-components has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.special import xlogy

from mixsci.engine.model.law import SMALLEST_WEIGHT
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray

#: Less than this of a basis row is rounding.
_NOTHING = 1e-13
_MOST_STEPS = 100
#: A step that promises less than this, per row, is the last.
_LAST_GAIN = 1e-15
_MOST_HALVINGS = 40


class Shape(Protocol):
    """What a shape can do; q is (J,) and sums to one."""

    @property
    def size(self) -> int:
        """Number of sub-components J."""

    @property
    def n_free(self) -> int:
        """Number of free parameters."""

    @property
    def n_packed(self) -> int:
        """Length of what `pack` gives."""

    def read(self, mass: Array) -> Array:
        """q behind weights (J,) that are q times any number; where to begin if that is nothing."""

    def maximise(self, counts: Array, q: Array) -> Array:
        """q of greatest expected posterior density for counts (J,), from the q before."""

    def log_prior(self, q: Array) -> float:
        """Log prior density, up to a constant."""

    def pack(self, q: Array) -> Array:
        """The numbers behind q as an unconstrained vector."""

    def unpack(self, vector: Array, q: Array) -> Array:
        """q from such a vector."""

    def spread(self, mass: Array) -> Array:
        """The size of each number of `pack`, for weights (J,) of the sub-components."""


@dataclass(frozen=True, eq=False)
class Held:
    """Shares that stay as they are."""

    q: Array
    n_free = n_packed = 0

    @property
    def size(self) -> int:
        return len(self.q)

    def read(self, mass: Array) -> Array:
        return self.q

    def maximise(self, counts: Array, q: Array) -> Array:
        return self.q

    def log_prior(self, q: Array) -> float:
        return 0.0

    def pack(self, q: Array) -> Array:
        return np.empty(0)

    def unpack(self, vector: Array, q: Array) -> Array:
        return self.q

    def spread(self, mass: Array) -> Array:
        return np.empty(0)


@dataclass(frozen=True, eq=False)
class Loose:
    """Shares free to sum to one."""

    size: int

    @property
    def n_free(self) -> int:
        return self.size - 1

    @property
    def n_packed(self) -> int:
        return self.size

    def read(self, mass: Array) -> Array:
        return self.maximise(mass, np.full(self.size, 1.0 / self.size))

    def maximise(self, counts: Array, q: Array) -> Array:
        total = counts.sum()
        return counts / total if total > 0 else q

    def log_prior(self, q: Array) -> float:
        return 0.0

    def pack(self, q: Array) -> Array:
        return np.log(np.maximum(q, SMALLEST_WEIGHT))

    def unpack(self, vector: Array, q: Array) -> Array:
        found = np.exp(np.clip(vector - vector.max(), -700.0, 0.0))
        return found / found.sum()

    def spread(self, mass: Array) -> Array:
        return 1.0 / np.sqrt(mass + 1e-6)


@dataclass(frozen=True, eq=False)
class Blend:
    """q = c B: a shape blended from few rows, smooth where they are (Bernstein polynomials along a path of rain).

    Args:
        basis: (B, J) rows, none negative, each with sum 1, linearly independent; a core or a tail is a row of its own.
        prior_counts: pseudo-rows of each basis row, one number or (B,), not negative: log prior sum_b a_b log c_b.
        held: (B,) shares c that stay as they are; None = found.

    Raises:
        DataError: rows that are not such a basis, or numbers that do not match them.

    Example:
        >>> import mixsci as mx
        >>> blend = mx.weights.Blend([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], held=[0.8, 0.2])
        >>> blend.shares([0.8, 0.2])
        array([0.8, 0.1, 0.1])
    """

    basis: Any
    prior_counts: Any = None
    held: Any = None

    def __post_init__(self) -> None:
        basis = as_numbers(self.basis, "the basis of a blend").values.astype(float)
        right = basis.ndim == 2 and 0 not in basis.shape and bool((basis >= 0).all())
        if not right or (np.abs(basis.sum(axis=1) - 1.0) > 1e-8).any() or not np.isfinite(basis).all():
            raise DataError(
                "the basis of a blend must be (B, J), not negative, every row with sum 1; got "
                + (f"sums {basis.sum(axis=1).tolist()}" if right else f"shape {basis.shape}")
            )
        if np.linalg.matrix_rank(basis) < len(basis):
            raise DataError(
                f"the {len(basis)} rows of a blend's basis must be linearly independent; their rank is "
                f"{np.linalg.matrix_rank(basis)}: leave out rows that others make up"
            )
        object.__setattr__(self, "basis", basis)
        self._check_prior(len(basis))
        self._check_held(len(basis))

    def _check_prior(self, rows: int) -> None:
        if self.prior_counts is None:
            return
        prior = as_numbers(self.prior_counts, "prior_counts of a blend").values.astype(float)
        if prior.shape not in ((), (rows,)) or not (np.isfinite(prior) & (prior >= 0)).all():
            raise DataError(
                f"prior_counts of a blend must be finite and not negative, one number or (B,) = ({rows},); "
                f"got {prior.tolist()}"
            )
        object.__setattr__(self, "prior_counts", np.broadcast_to(prior, rows).copy())

    def _check_held(self, rows: int) -> None:
        if self.held is None:
            return
        held = as_numbers(self.held, "held shares of a blend").values.astype(float)
        if held.shape != (rows,) or not (held >= 0).all() or not abs(held.sum() - 1.0) <= 1e-8:
            raise DataError(
                f"held shares of a blend must be (B,) = ({rows},), not negative, with sum 1; got {held.tolist()}"
            )
        object.__setattr__(self, "held", held)

    @property
    def size(self) -> int:
        return int(self.basis.shape[1])

    @property
    def n_free(self) -> int:
        return 0 if self.held is not None else len(self.basis) - 1

    @property
    def n_packed(self) -> int:
        return 0 if self.held is not None else len(self.basis)

    def shares(self, c: Any) -> Array:
        """q (J,) = c B of the sub-components for shares c (B,) of the rows."""
        return np.asarray(c, dtype=float) @ self.basis

    def coefficients(self, q: Array) -> Array:
        """Shares c (B,) of the rows with c B = q (J,), or nearest to q in likelihood where no blend is q."""
        if self.held is not None:
            return np.asarray(self.held)
        c = q @ self._inverse
        if c.min() < -1e-9 or np.abs(c @ self.basis - q).max() > 1e-9:
            return self._climb(q, np.full(len(c), 1.0 / len(c)), np.zeros(len(c)))
        c = np.where(c > _NOTHING, c, 0.0)
        return c / c.sum()

    def read(self, mass: Array) -> Array:
        total = mass.sum()
        if self.held is not None or total <= 0:
            return self.shares(np.full(len(self.basis), 1.0 / len(self.basis)) if self.held is None else self.held)
        return mass / total

    def maximise(self, counts: Array, q: Array) -> Array:
        return q if self.held is not None else self.shares(self._climb(counts, self.coefficients(q), self._prior))

    def log_prior(self, q: Array) -> float:
        if self.held is not None or not self._prior.any():
            return 0.0
        return float(xlogy(self._prior, self.coefficients(q)).sum())

    def pack(self, q: Array) -> Array:
        # Roots of shares, unlike logarithms, reach a share of zero, and all have the same standard error.
        return np.empty(0) if self.held is not None else np.sqrt(self.coefficients(q))

    def unpack(self, vector: Array, q: Array) -> Array:
        roots = np.maximum(vector, 0.0)
        if self.held is not None or not roots.any():
            return q
        c = (roots / roots.max()) ** 2
        return self.shares(c / c.sum())

    def spread(self, mass: Array) -> Array:
        return np.full(self.n_packed, 0.5 / np.sqrt(mass.sum() + 1e-6))

    @cached_property
    def _inverse(self) -> Array:
        return np.linalg.pinv(self.basis)

    @cached_property
    def _prior(self) -> Array:
        return np.zeros(len(self.basis)) if self.prior_counts is None else np.asarray(self.prior_counts)

    def _climb(self, counts: Array, c: Array, prior: Array) -> Array:
        """The c that maximises sum_j N_j log(c B)_j + sum_b a_b log c_b, from c; there is one maximum.

        Newton's method with c >= 0 kept: with -sum_b c_b added to the likelihood the sum of c is one at the maximum.
        """
        seen = (counts > 0) & self.basis.any(axis=0)
        total = counts[seen].sum() + prior.sum()
        if total <= 0:
            return c
        rise = _Rise(self.basis[:, seen], counts[seen] / total, prior / total)
        here = rise.inside(c)
        for _ in range(_MOST_STEPS):
            slope, step = rise.newton(here)
            found = rise.along(here, slope, step)
            here = here if found is None else found
            if found is None or slope @ step <= _LAST_GAIN:
                break
        here = here / here.sum()
        return here if rise.height(here) >= rise.height(c) else c


@dataclass(frozen=True, eq=False)
class _Rise:
    """sum_j n_j log(c B)_j + sum_b a_b log c_b - sum_b c_b, with n (J,) and a (B,) of sum one together."""

    basis: Array
    n: Array
    a: Array

    def inside(self, c: Array) -> Array:
        """c, moved inwards where nothing of a row is left that the counts or the prior ask for."""
        middle = np.full(len(c), 1.0 / len(c))
        lost = (c @ self.basis < 1e-9 * (middle @ self.basis)).any() or (c[self.a > 0] < 1e-9).any()
        return (c + middle) / 2 if lost else c

    def height(self, c: Array) -> float:
        q = c @ self.basis
        if min(q.min(initial=1.0), c[self.a > 0].min(initial=1.0)) <= 0:
            return -np.inf
        return float(self.n @ np.log(q) + xlogy(self.a, c).sum() - c.sum())

    def newton(self, c: Array) -> tuple[Array, Array]:
        """The slope (B,) here, and the step (B,) to the top, with c >= 0, of the parabola that touches here."""
        pull = self.n / (c @ self.basis)
        back = np.divide(self.a, c, out=np.zeros(len(c)), where=c > 0)
        slope = self.basis @ pull + back - 1.0
        # n > 0, so pull^2 / n = n / q^2.
        bend = (self.basis * (pull**2 / self.n)) @ self.basis.T
        diagonal = bend.diagonal() + np.divide(back, c, out=np.zeros(len(c)), where=c > 0)
        # Counts in few places leave some directions flat.
        bend.flat[:: len(c) + 1] = diagonal + 1e-10 * (1.0 + diagonal)
        return slope, _top(bend, slope + bend @ c, c) - c

    def along(self, c: Array, slope: Array, step: Array) -> Array | None:
        """The first point that rises on the way of halved steps; None where there is none.

        No share with counts is cut by more than a factor of twenty at once: from near zero the way back is long.
        """
        height, rise = self.height(c), float(slope @ step)
        reach = min(1.0, 0.95 / max(float((-(step @ self.basis) / (c @ self.basis)).max(initial=0.0)), 0.5))
        for _ in range(_MOST_HALVINGS):
            found = np.maximum(c + reach * step, 0.0)
            if self.height(found) >= height + 1e-4 * reach * rise - _LAST_GAIN:
                return found
            reach /= 2
        return None


def _top(bend: Array, pull: Array, c: Array) -> Array:
    """The c >= 0 of greatest c'pull - c'bend c / 2, from one such c: active sets (Lawson & Hanson 1974, ch. 23)."""
    free, least = c > 0, 1e-12 * max(1.0, float(np.abs(pull).max()))
    for _ in range(4 * len(c)):
        target = np.zeros(len(c))
        target[free] = np.linalg.solve(bend[np.ix_(free, free)], pull[free])
        below = target < 0
        if below.any():
            reach = c[below] / (c[below] - target[below])
            c = np.maximum(c + reach.min() * (target - c), 0.0)
            c[np.flatnonzero(below)[reach.argmin()]] = 0.0
            free = free & (c > 0)
            continue
        c = target
        gain = np.where(free, -np.inf, pull - bend @ c)
        if gain.max() <= least:
            break
        free = free.copy()
        free[gain.argmax()] = True
    return c


def is_shape(value: Any) -> bool:
    """Whether it is a number of sub-components, weights of them that sum to one, or a shape."""
    if hasattr(value, "maximise"):
        return True
    try:
        q = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    if q.ndim == 0:
        return bool(q >= 1 and q == np.floor(q))
    return bool(q.ndim == 1 and (q >= 0).all() and abs(q.sum() - 1) < 1e-8)


def as_shape(value: Any) -> Any:
    """The shape that a user names: a number = free shares, weights = held ones, a `Blend` itself."""
    if hasattr(value, "maximise"):
        return value
    if np.ndim(value):
        return Held(np.asarray(value, dtype=float))
    return Loose(int(value)) if int(value) > 1 else Held(np.ones(1))
