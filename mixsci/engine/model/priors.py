"""Priors as pseudo-data: a pseudo-count and a pseudo-scatter on covariances, pseudo-rows on weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.model.concentration import Concentration
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError

__all__ = ["Bovy", "Concentration", "Dirichlet", "InverseWishart", "Pseudo", "no_prior"]

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
class GaussWishart:
    """The conjugate prior of a variational fit: Lambda ~ Wishart(dof, scale^-1), mu | Lambda ~ N(mean, (b Lambda)^-1).

    It goes with `mixsci.weights.StickBreaking`. What is None is set from the data.

    Args:
        mean_precision: b > 0, how many rows the prior's mean counts for.
        mean: (D,) where means are expected; None = the median of the rows.
        dof: degrees of freedom, above D - 1; None = D.
        scale: (D, D) symmetric positive definite, squared units of x; scale / dof is the inverse of the expected
            precision; None = diag(robust variances) K^(-2/D) (Fraley & Raftery 2007).

    Raises:
        DataError: numbers that are not positive, a scale that is not positive definite.
    """

    mean_precision: float = 0.01
    mean: Any = None
    dof: float | None = None
    scale: Any = None

    def __post_init__(self) -> None:
        for name in ("mean_precision", "dof"):
            value = getattr(self, name)
            if value is not None and not as_number(value, name) > 0:
                raise DataError(f"{name} of a Gauss-Wishart prior must be positive; got {value}")
        if self.mean is not None:
            mean = np.atleast_1d(as_numbers(self.mean, "the mean of a Gauss-Wishart prior").values.astype(float))
            if mean.ndim != 1 or not np.isfinite(mean).all():
                raise DataError(f"the mean of a Gauss-Wishart prior must be (D,) and finite; got {mean.tolist()}")
            object.__setattr__(self, "mean", mean)
        if self.scale is not None:
            scale = np.atleast_2d(as_numbers(self.scale, "a Wishart scale").values.astype(float))
            if scale.ndim != 2 or scale.shape[0] != scale.shape[1] or not _is_definite(scale):
                raise DataError(f"a Wishart scale must be symmetric positive definite (D, D); got {scale.tolist()}")
            object.__setattr__(self, "scale", scale)

    def resolve(self, spread: Array, k: int) -> GaussWishart:
        """The prior with scale and degrees of freedom set from the data's spread (D,) where they were left open."""
        d = len(spread)
        scale = np.diag(spread**2) * k ** (-2.0 / d) if self.scale is None else self.scale
        return replace(self, scale=scale, dof=float(d) if self.dof is None else self.dof)

    def located(self, centre: Array) -> GaussWishart:
        """The prior with its mean at a centre (D,) of the data where it was left open."""
        return self if self.mean is not None else replace(self, mean=centre)

    def pseudo(self, d: int) -> Pseudo:
        """Its degrees of freedom and scale in D dimensions."""
        if self.scale is None or self.dof is None or self.mean is None:
            raise DataError("this Gauss-Wishart prior takes numbers from data: use it through fit, or give them all")
        if self.scale.shape != (d, d) or self.mean.shape != (d,):
            raise DataError(
                f"a Gauss-Wishart prior must have a scale (D, D) = {(d, d)} and a mean (D,) = {(d,)}; got "
                f"{self.scale.shape} and {self.mean.shape}"
            )
        if not self.dof > d - 1:
            raise DataError(f"dof of a Gauss-Wishart prior must be above D - 1 = {d - 1}; got {self.dof}")
        return Pseudo(self.dof, self.scale)

    @property
    def freedom(self) -> float:
        """Degrees of freedom, once they are known."""
        assert self.dof is not None
        return self.dof


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


def _is_definite(scale: Array) -> bool:
    return _is_semidefinite(scale) and bool(np.linalg.eigvalsh(scale)[0] > 0)
