"""Covariance structures: how expected scatter becomes covariances; a new one is a class and a line in STRUCTURES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import numpy as np

from mixsci.engine.mixture import all_above
from mixsci.engine.model.priors import Pseudo
from mixsci.errors import DataError

Array = np.ndarray

#: Fewer expected rows than this say nothing about a covariance: it stays as it was.
FEWEST_ROWS = 1e-8
#: The share of the last covariance, in every direction, that an accelerated step leaves at least.
_INSIDE = 0.1


class Structure(Protocol):
    """What a covariance structure can do; all methods see the components that are not frozen."""

    def maximise(self, scatter: Array, counts: Array, current: Array, pseudo: Pseudo, floor: float) -> Array:
        """(K, D, D) covariances of greatest expected posterior density, eigenvalues at least `floor`."""

    def log_prior(self, covariances: Array, pseudo: Pseudo) -> float:
        """Log prior density, up to a constant."""

    def n_free(self, k: int, d: int) -> int:
        """Number of free parameters of K components in D dimensions."""

    def pack(self, covariances: Array) -> Array:
        """The free numbers behind the covariances, as a vector."""

    def unpack(self, vector: Array, like: Array, floor: float) -> Array:
        """Covariances (K, D, D) from such a vector, brought back to eigenvalues of at least `floor`."""

    def spread(self, covariances: Array, weights: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""


@dataclass(frozen=True)
class Families:
    """Covariances equal up to known factors within families, each family of one shape (full, diagonal or spherical)."""

    tied: bool = False

    def families(self, k: int) -> tuple[Array, Array]:
        """Family code (K,) and factor (K,) of every component."""
        return np.zeros(k, dtype=int) if self.tied else np.arange(k), np.ones(k)

    def shape(self, scatter: Array) -> Array:
        """Scatter matrices (f, D, D) brought to the shape of the structure."""
        return scatter

    def numbers(self, matrices: Array) -> Array:
        """The free numbers of matrices (f, D, D), (f, p)."""
        a, b = _lower(matrices.shape[-1])
        return matrices[:, a, b]

    def matrices(self, numbers: Array, d: int) -> Array:
        """Matrices (f, D, D) from their free numbers (f, p)."""
        out = np.zeros((len(numbers), d, d))
        a, b = _lower(d)
        out[:, a, b] = numbers
        out[:, b, a] = numbers
        return out

    def maximise(self, scatter: Array, counts: Array, current: Array, pseudo: Pseudo, floor: float) -> Array:
        codes, factors = self.families(len(counts))
        pooled, total = _pool(scatter / factors[:, None, None], codes), _pool(counts, codes) + pseudo.count
        seen = total > FEWEST_ROWS
        base = self.shape(pooled + pseudo.scatter) / np.where(seen, total, 1.0)[:, None, None]
        smallest = np.array([factors[codes == code].min() for code in range(len(base))])
        base = raise_eigenvalues(base, floor / smallest)
        return np.where(seen[codes][:, None, None], base[codes] * factors[:, None, None], current)

    def log_prior(self, covariances: Array, pseudo: Pseudo) -> float:
        return float(pseudo.log_density(self._base(covariances)).sum())

    def n_free(self, k: int, d: int) -> int:
        codes, _ = self.families(k)
        return len(np.unique(codes)) * self.numbers(np.zeros((1, d, d))).shape[1]

    def pack(self, covariances: Array) -> Array:
        return self.numbers(self._base(covariances)).ravel()

    def unpack(self, vector: Array, like: Array, floor: float) -> Array:
        codes, factors = self.families(len(like))
        base = keep_inside(self.matrices(vector.reshape(codes.max() + 1, -1), like.shape[-1]), self._base(like))
        smallest = np.array([factors[codes == code].min() for code in range(len(base))])
        return raise_eigenvalues(base, floor / smallest)[codes] * factors[:, None, None]

    def spread(self, covariances: Array, weights: Array) -> Array:
        codes, _ = self.families(len(covariances))
        sd = np.sqrt(np.diagonal(self._base(covariances), axis1=1, axis2=2))
        size = self.numbers(np.maximum(sd[:, :, None] * sd[:, None, :], 1e-300))
        return (size / np.sqrt(_pool(weights, codes) + 1e-6)[:, None]).ravel()

    def _base(self, covariances: Array) -> Array:
        codes, factors = self.families(len(covariances))
        first = [int(np.flatnonzero(codes == code)[0]) for code in range(codes.max() + 1)]
        return covariances[first] / factors[first][:, None, None]


@dataclass(frozen=True)
class Full(Families):
    """Any covariance; one for all components if `tied`."""


@dataclass(frozen=True)
class Diagonal(Families):
    """No correlations; one covariance for all components if `tied`."""

    def shape(self, scatter: Array) -> Array:
        return scatter * np.eye(scatter.shape[-1])

    def numbers(self, matrices: Array) -> Array:
        return np.diagonal(matrices, axis1=1, axis2=2).copy()

    def matrices(self, numbers: Array, d: int) -> Array:
        return numbers[:, :, None] * np.eye(d)


@dataclass(frozen=True)
class Spherical(Families):
    """One variance in every direction; one for all components if `tied`."""

    def shape(self, scatter: Array) -> Array:
        d = scatter.shape[-1]
        return np.trace(scatter, axis1=1, axis2=2)[:, None, None] / d * np.eye(d)

    def numbers(self, matrices: Array) -> Array:
        return matrices[:, :1, 0]

    def matrices(self, numbers: Array, d: int) -> Array:
        return numbers[:, :, None] * np.eye(d)


@dataclass(frozen=True)
class Scaled(Families):
    """Sigma_k = c_k B_f with known factors c_k: a core and its heavy tail, the steps of a rain path.

    Args:
        factors: (K,) c_k > 0, one for every component whose covariance is not frozen.
        codes: (K,) number 0, 1, ... of the base matrix B_f each component uses; None = one for all.

    Raises:
        DataError: factors that are not positive, or codes that do not match them.
    """

    tied: bool = field(init=False, default=True)
    factors: Sequence[float]
    codes: Sequence[int] | None = None

    def __post_init__(self) -> None:
        factors = tuple(float(factor) for factor in self.factors)
        if not factors or min(factors) <= 0 or not np.isfinite(factors).all():
            raise DataError(f"factors of scaled covariances must be positive and finite; got {factors}")
        codes = None if self.codes is None else tuple(int(code) for code in self.codes)
        if codes is not None and (len(codes) != len(factors) or sorted(set(codes)) != list(range(max(codes) + 1))):
            raise DataError(f"codes must give each of the {len(factors)} components a number 0, 1, ...; got {codes}")
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "codes", codes)

    def families(self, k: int) -> tuple[Array, Array]:
        if k != len(self.factors):
            raise DataError(f"scaled covariances have {len(self.factors)} factors; the model has {k} free components")
        return np.zeros(k, dtype=int) if self.codes is None else np.array(self.codes), np.array(self.factors)


@dataclass(frozen=True)
class Proportional:
    """Sigma_k = l_k C: one shape and orientation, a volume of its own for every component (mclust's VEE)."""

    def maximise(self, scatter: Array, counts: Array, current: Array, pseudo: Pseudo, floor: float) -> Array:
        # The prior is counted once on the shared matrix: every component carries its share.
        k, d = len(counts), scatter.shape[-1]
        scatter, counts = scatter + pseudo.scatter / k, counts + pseudo.count / k
        if counts.sum() <= FEWEST_ROWS:
            return current
        sizes, shape = self._split(current)
        for _ in range(100):
            # A component without spread says nothing of the shape.
            wide = sizes > 0
            if not wide.any():
                return current
            pooled = (scatter[wide] / sizes[wide, None, None]).sum(axis=0) / counts[wide].sum()
            shape = raise_eigenvalues(pooled[None], np.array([floor / sizes[wide].min()]))[0]
            before, sizes = sizes, self._sizes(scatter, counts, shape, sizes, floor, d)
            if np.abs(sizes - before).max() <= 1e-13 * sizes.max():
                break
        return sizes[:, None, None] * shape

    def _sizes(self, scatter: Array, counts: Array, shape: Array, sizes: Array, floor: float, d: int) -> Array:
        values, vectors = np.linalg.eigh(shape)
        if values[0] <= 0:
            return sizes
        inside = np.einsum("ai,kab,bi->ki", vectors, scatter, vectors) / values
        best = inside.sum(axis=1) / (d * np.where(counts > FEWEST_ROWS, counts, np.inf))
        return np.maximum(np.where(counts > FEWEST_ROWS, best, sizes), floor / values[0])

    def log_prior(self, covariances: Array, pseudo: Pseudo) -> float:
        return float(pseudo.log_density(covariances).mean())

    def n_free(self, k: int, d: int) -> int:
        return d * (d + 1) // 2 + k - 1

    def pack(self, covariances: Array) -> Array:
        sizes, shape = self._split(covariances)
        return np.concatenate([sizes, shape[np.tril_indices(len(shape))]])

    def unpack(self, vector: Array, like: Array, floor: float) -> Array:
        k, d = len(like), like.shape[-1]
        sizes, shape = self._split(like)
        numbers = np.zeros((1, d, d))
        a, b = np.tril_indices(d)
        numbers[0, a, b] = numbers[0, b, a] = vector[k:]
        shape = keep_inside(numbers, shape[None])[0]
        sizes = np.maximum(vector[:k], _INSIDE * sizes)
        if floor > 0:
            sizes = np.maximum(sizes, floor / max(np.linalg.eigvalsh(shape)[0], 1e-300))
        return sizes[:, None, None] * shape

    def spread(self, covariances: Array, weights: Array) -> Array:
        sizes, shape = self._split(covariances)
        sd = np.sqrt(np.diagonal(shape))
        inside = np.maximum(sd[:, None] * sd, 1e-300)[np.tril_indices(len(shape))]
        return np.concatenate([np.maximum(sizes, 1e-300) / np.sqrt(weights + 1e-6), inside])

    def _split(self, covariances: Array) -> tuple[Array, Array]:
        """Sizes (K,) and the shared matrix of mean eigenvalue one."""
        d = covariances.shape[-1]
        sizes = np.trace(covariances, axis1=1, axis2=2) / d
        largest = int(sizes.argmax())
        shape = covariances[largest] / sizes[largest] if sizes[largest] > 0 else np.eye(d)
        return sizes, shape


STRUCTURES: dict[str, Structure] = {
    "full": Full(),
    "tied": Full(tied=True),
    "diag": Diagonal(),
    "spherical": Spherical(),
    "tied_diag": Diagonal(tied=True),
    "tied_spherical": Spherical(tied=True),
    "scaled": Proportional(),
}


def raise_eigenvalues(matrices: Array, floor: Array) -> Array:
    """Symmetric matrices (f, D, D) with eigenvalues at least floor (f,): the exact maximum under that constraint."""
    floor = np.maximum(floor, 0.0)
    if all_above(matrices, floor):
        return matrices
    # Without a floor, columns of very different units must not hide one another where rounding falls below zero.
    size = np.sqrt(np.maximum(np.diagonal(matrices, axis1=1, axis2=2), 0.0))
    size = np.where((floor[:, None] > 0) | (size <= 0), 1.0, size)
    units = size[:, :, None] * size[:, None, :]
    values, vectors = np.linalg.eigh(matrices / units)
    low = values[:, 0] < floor
    if not low.any():
        return matrices
    raised = (vectors * np.maximum(values, floor[:, None])[:, None, :]) @ vectors.transpose(0, 2, 1) * units
    raised = (raised + raised.transpose(0, 2, 1)) / 2
    return np.where(low[:, None, None], raised, matrices)


def keep_inside(matrices: Array, like: Array) -> Array:
    """Matrices (f, D, D) kept at least a share of `like` in every direction, and without spread where it has none.

    A leap must not land on the boundary: EM never leaves a direction without spread.
    """
    size = np.sqrt(np.diagonal(like, axis1=1, axis2=2))
    size = np.where(size > 0, size, 1.0)
    # Columns of very different units must not hide one another.
    units = size[:, :, None] * size[:, None, :]
    values, vectors = np.linalg.eigh(like / units)
    root = np.sqrt(np.maximum(values, 0.0))
    flat = root <= 1e-8 * root[:, -1:]
    whiten = vectors * np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, root))[:, None, :]
    inside, turn = np.linalg.eigh(whiten.transpose(0, 2, 1) @ (matrices / units) @ whiten)
    colour = (vectors * root[:, None, :]) @ turn
    kept = (colour * np.maximum(inside, _INSIDE)[:, None, :]) @ colour.transpose(0, 2, 1) * units
    return (kept + kept.transpose(0, 2, 1)) / 2


@cache
def _lower(d: int) -> tuple[Array, Array]:
    return np.tril_indices(d)


def _pool(values: Array, codes: Array) -> Array:
    out = np.zeros((codes.max() + 1, *values.shape[1:]))
    np.add.at(out, codes, values)
    return out
