"""Precision matrices that are Wishart variables: independent blocks of them, as many as a covariance structure has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, multigammaln

from mixsci.engine.model.covariances import Diagonal, Full, Spherical, Structure

Array = np.ndarray


@dataclass(frozen=True)
class Blocks:
    """How a precision matrix in D dimensions falls into Wishart variables that do not depend on one another.

    Attributes:
        whole: one block of D dimensions; else of one dimension each.
        shared: one block says the precision of all D dimensions, and has D times the degrees of freedom.
    """

    whole: bool = False
    shared: bool = False

    def of(self, matrices: Array) -> Array:
        """The blocks (f, b, q, q) of matrices (f, D, D)."""
        if self.whole:
            return matrices[:, None]
        variances = np.diagonal(matrices, axis1=1, axis2=2)
        return (variances[:, :1] if self.shared else variances)[..., None, None]

    def freedom(self, dof: Array, d: int) -> Array:
        """Degrees of freedom of every block."""
        return dof * d if self.shared else dof

    def log_det_excess(self, dof: Array, d: int) -> Array:
        """E log det Lambda - log det E Lambda (f,) in D dimensions: below 0, towards 0 with the degrees of freedom."""
        return _excess(dof, d) if self.whole else d * _excess(self.freedom(dof, d), 1)

    def divergence(self, covariances: Array, dof: Array, prior: Array, prior_dof: float) -> float:
        """Kullback-Leibler divergence of Wishart variables from their prior, nats, all blocks added.

        Args:
            covariances: (f, D, D) inverses of the expected precisions. dof: (f,) degrees of freedom.
            prior: (D, D) inverse of the precision that the prior expects. prior_dof: its degrees of freedom.
        """
        d = covariances.shape[-1]
        sigma, before = self.of(covariances), self.of(prior[None])
        q = sigma.shape[-1]
        nu, nu0 = self.freedom(dof, d)[:, None], self.freedom(np.array([prior_dof]), d)[:, None]
        log_det, log_det0 = np.linalg.slogdet(sigma)[1], np.linalg.slogdet(before)[1]
        expected = _excess(nu, q) - log_det
        trace = np.trace(np.linalg.solve(sigma, np.broadcast_to(before, sigma.shape)), axis1=-2, axis2=-1)
        each = _log_constant(nu, log_det, q) - _log_constant(nu0, log_det0, q)
        each = each + 0.5 * ((nu - nu0) * expected + nu0 * trace - nu * q)
        return float(each.sum())


#: The structures whose precisions are Wishart variables.
BLOCKS: dict[type, Blocks] = {
    Full: Blocks(whole=True),
    Diagonal: Blocks(),
    Spherical: Blocks(shared=True),
}


def blocks_of(structure: Structure) -> Blocks | None:
    """The blocks of a covariance structure, None where it has none."""
    return BLOCKS.get(type(structure))


def _excess(dof: Array, q: int) -> Array:
    """E log det Lambda - log det E Lambda of Wishart variables of q dimensions (Bishop 2006, equation B.81)."""
    halves = (dof[..., None] - np.arange(q)) / 2.0
    return digamma(halves).sum(axis=-1) + q * (np.log(2.0) - np.log(dof))


def _log_constant(dof: Array, log_det: Array, q: int) -> Array:
    """log B of Wishart variables, given log det of the inverse of their mean (Bishop 2006, equation B.79)."""
    return dof / 2.0 * (q * np.log(dof) + log_det - q * np.log(2.0)) - multigammaln_(dof / 2.0, q)


def multigammaln_(a: Array, q: int) -> Array:
    """log of the multivariate gamma function, of every element."""
    return np.vectorize(lambda one: multigammaln(one, q), otypes=[float])(a)
