"""Priors as pseudo-data: a pseudo-count and a pseudo-scatter on covariances, pseudo-rows on weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Pseudo:
    """log p(Sigma) = - count/2 log det Sigma - tr(scatter Sigma^-1)/2 + const; M-step: (S + scatter) / (N + count)."""

    count: float
    scatter: Array

    def log_density(self, covariances: Array) -> Array:
        """(f,) log prior densities of covariances (f, D, D), up to a constant; -inf where singular."""
        if self.count == 0 and not self.scatter.any():
            return np.zeros(len(covariances))
        values, vectors = np.linalg.eigh(covariances)
        ok = values[:, 0] > 0
        values = np.where(ok[:, None], values, 1.0)
        inside = np.einsum("fai,ab,fbi->fi", vectors, self.scatter, vectors)
        density = -0.5 * (self.count * np.log(values).sum(axis=1) + (inside / values).sum(axis=1))
        return np.where(ok, density, -np.inf)


@dataclass(frozen=True, eq=False)
class InverseWishart:
    """Inverse-Wishart prior on every free covariance (once on a shared one): no component collapses.

    The M-step is (N_k S_k + scale) / (N_k + dof + D + 1).

    Args:
        scale: (D, D) scale matrix, squared units of x; None = towards the data's spread:
            diag(robust variances) K^(-2/D) times the pseudo-count (Fraley & Raftery 2007).
        dof: degrees of freedom; None = 1, a pseudo-count dof + D + 1 of D + 2 rows.

    Raises:
        DataError: a scale that is not symmetric positive semi-definite, or a pseudo-count that is not positive.
    """

    scale: Any = None
    dof: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            scale = np.atleast_2d(as_numbers(self.scale, "an inverse-Wishart scale").values.astype(float))
            if scale.ndim != 2 or scale.shape[0] != scale.shape[1] or not _is_semidefinite(scale):
                raise DataError(
                    f"an inverse-Wishart scale must be symmetric positive semi-definite (D, D); got {scale.tolist()}"
                )
            object.__setattr__(self, "scale", scale)
        if self.dof is not None:
            object.__setattr__(self, "dof", as_number(self.dof, "dof of an inverse-Wishart prior"))

    @classmethod
    def towards(cls, mode: Any, pseudo_count: float) -> InverseWishart:
        """The prior that pulls every covariance towards `mode` (D, D) with the weight of `pseudo_count` rows."""
        mode = np.atleast_2d(as_numbers(mode, "the mode of an inverse-Wishart prior").values.astype(float))
        pseudo_count = as_number(pseudo_count, "pseudo_count")
        return cls(scale=mode * pseudo_count, dof=pseudo_count - len(mode) - 1)

    def resolve(self, spread: Array, k: int) -> InverseWishart:
        """The prior with its scale set from the data's spread (D,) (standard deviations) where it was left open."""
        if self.scale is not None:
            return self
        d = len(spread)
        return replace(self, scale=np.diag(spread**2) * k ** (-2.0 / d) * self._count(d))

    def pseudo(self, d: int) -> Pseudo:
        """Its pseudo-count and pseudo-scatter in D dimensions."""
        if self.scale is None:
            raise DataError("this inverse-Wishart prior takes its scale from data: use it through fit, or give scale=")
        if self.scale.shape != (d, d):
            raise DataError(f"an inverse-Wishart scale must have shape (D, D) = {(d, d)}; got {self.scale.shape}")
        return Pseudo(self._count(d), self.scale)

    def _count(self, d: int) -> float:
        """Its pseudo-count in D dimensions."""
        count = (1.0 if self.dof is None else self.dof) + d + 1
        if count <= 0:
            raise DataError(f"an inverse-Wishart prior needs dof + D + 1 > 0; got dof = {self.dof} in {d} dimensions")
        return count


@dataclass(frozen=True, eq=False)
class Bovy:
    """The prior of extreme deconvolution: Sigma_k = (S_k + w I) / (N_k + 1) (Bovy, Hogg & Roweis 2011).

    Args:
        w: squared units of x; 0 = no prior.
    """

    w: float

    def __post_init__(self) -> None:
        w = as_number(self.w, "w")
        if w < 0:
            raise DataError(f"w must be finite and not negative; got {w}: 0 means no prior")
        object.__setattr__(self, "w", w)

    def resolve(self, spread: Array, k: int) -> Bovy:
        """Itself: w is in the units of the data."""
        return self

    def pseudo(self, d: int) -> Pseudo:
        """Its pseudo-count and pseudo-scatter in D dimensions."""
        return Pseudo(1.0 if self.w > 0 else 0.0, self.w * np.eye(d))


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """Dirichlet prior on free weights: alpha - 1 >= 0 pseudo-rows per component.

    Args:
        alpha: one number or (K,), each at least 1.
    """

    alpha: Any

    def __post_init__(self) -> None:
        alpha = as_numbers(self.alpha, "Dirichlet alpha").values
        if alpha.ndim > 1 or not (np.isfinite(alpha).all() and (alpha >= 1).all()):
            raise DataError(
                f"Dirichlet alpha must be at least 1 and finite, one number or (K,); got {alpha.tolist()}: "
                "smaller has no maximum inside"
            )


def no_prior(d: int) -> Pseudo:
    """No prior on covariances."""
    return Pseudo(0.0, np.zeros((d, d)))


def _is_semidefinite(scale: Array) -> bool:
    size = np.abs(scale).max(initial=0.0)
    if not np.isfinite(size) or np.abs(scale - scale.T).max(initial=0.0) > 1e-8 * size:
        return False
    return bool(np.linalg.eigvalsh(scale)[0] >= -1e-8 * size)
