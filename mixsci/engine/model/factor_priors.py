"""Weakly informative priors of mixtures of factors: they know no units and no frame."""

from __future__ import annotations

import numpy as np

from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels.information import packed, unpacked
from mixsci.engine.model.covariances import raise_eigenvalues
from mixsci.engine.model.factor_frame import symmetric

Array = np.ndarray

#: Pseudo-rows of a uniqueness, around a share of the variance that is learnt of all variables.
PSEUDO_ROWS = 2.0
#: Precision of a shift in units of 1 / uniqueness: as if it had been seen so many times to be zero.
SHIFT_ROWS = 2.0
#: Pseudo-rows of a component's own covariance of factors, beyond q.
_OWN_ROWS = 2.0
#: Pseudo-variables of the scale of own loadings, and the squared loading, in units of the uniqueness, they speak for.
#: Factors that nothing needs come to rest by it; common factors have no frame that it could know, and need none.
SCALE_ROWS, SCALE = 1.0, 0.01
#: A squared loading, in units of the uniqueness, that is nothing.
_LEAST_SCALE = 1e-9


def of_uniquenesses(uniquenesses: Array, variances: Array) -> float:
    """Log prior density of uniquenesses (D,) of variables of these variances, with the likeliest typical share."""
    share = typical_share(uniquenesses, variances)
    return -0.5 * PSEUDO_ROWS * float(np.log(uniquenesses / (share * variances)).sum())


def typical_share(uniquenesses: Array, variances: Array) -> float:
    """The share of their variances around which uniquenesses (D,) are likeliest: the harmonic mean of their shares."""
    return len(variances) / float((variances / uniquenesses).sum())


def of_shifts(shifts: Array, uniquenesses: Array) -> float:
    """Log prior density of the shifts (G, D) of groups, but for their number."""
    return -0.5 * SHIFT_ROWS * float((shifts**2 / uniquenesses).sum())


def of_covariances(covariances: Array) -> float:
    """Log prior density of the components' covariances (K, q, q): -v/2 (K log det mean_k S_k - sum_k log det S_k)."""
    each, whole = np.linalg.slogdet(covariances)[1], np.linalg.slogdet(covariances.mean(axis=0))[1]
    return 0.5 * (covariances.shape[1] + _OWN_ROWS) * float((each - whole).sum())


def best_covariances(current: Array, scatter: Array, rows: Array, floor: Array) -> Array:
    """Covariances (K, q, q) that gain under their prior, from scatter (K, q, q) of so many rows (K,).

    The first term of the prior is bounded below by its tangent at the current ones, of mean M, and what is left is
    maximised in closed form: v S M^-1 S + (N_k - v) S = scatter_k.
    """
    pseudo, root = scatter.shape[1] + _OWN_ROWS, np.linalg.cholesky(current.mean(axis=0))
    inside = np.linalg.solve(root, np.linalg.solve(root, scatter).transpose(0, 2, 1))
    values, vectors = np.linalg.eigh(symmetric(inside))
    values, lack = np.maximum(values, 0.0), pseudo - rows[:, None]
    # The positive root, written so that nothing cancels where rows are many.
    size = np.sqrt(lack**2 + 4.0 * pseudo * values)
    sizes = np.where(lack > 0, (lack + size) / (2.0 * pseudo), 2.0 * values / np.where(lack > 0, 1.0, size - lack))
    turned = root @ vectors
    return raise_eigenvalues(symmetric((turned * sizes[:, None, :]) @ turned.transpose(0, 2, 1)), floor)


def best_scale(loadings: Array, doubt: Array, uniquenesses: Array, current: Array, *, own: bool) -> Array:
    """(q, q) the covariance of the loadings of all variables in units of their uniqueness, as far as they are known."""
    d, q = loadings.shape
    seen = (loadings / uniquenesses[:, None]).T @ loadings + unpacked(doubt.sum(axis=0), q)
    found = (seen + SCALE_ROWS * SCALE * np.eye(q)) / (d + SCALE_ROWS) if own else seen / d
    # A factor that nothing needs would shrink for ever; the floor is one that the current scale keeps.
    least = np.clip(np.linalg.eigvalsh(current)[:1], np.finfo(float).tiny, _LEAST_SCALE)
    return raise_eigenvalues(symmetric(found)[None], least)[0]


def of_scales(scales: Array) -> float:
    """Log prior density of the covariances (C, q, q) of own loadings."""
    traces = np.trace(np.linalg.inv(scales), axis1=1, axis2=2)
    return -0.5 * SCALE_ROWS * float((np.linalg.slogdet(scales)[1] + SCALE * traces).sum())


def cost_of_loadings(mixture: FactorMixture) -> float:
    """Divergence of what is known of the loadings from their prior, nats: what the bound lies below by."""
    q, psi, total = mixture.n_dims, mixture.uniquenesses[:, None], 0.0
    many = mixture.loadings if mixture.own else mixture.loadings[None]
    for loadings, doubt, scale in zip(many, mixture.doubt, mixture.scale, strict=True):
        precision, known = np.linalg.inv(scale), unpacked(doubt, q)
        pull = (loadings @ precision * loadings / psi).sum() + (precision * known.sum(axis=0)).sum()
        spent = len(known) * np.linalg.slogdet(scale)[1] - np.linalg.slogdet(known)[1].sum()
        total += 0.5 * float(pull + spent - q * len(known))
    return total


def with_scale(mixture: FactorMixture, logarithms: Array) -> dict[str, Array]:
    """Another scale, from packed logarithms (C, q(q+1)/2), and the doubt that the same rows leave under it."""
    values, vectors = np.linalg.eigh(unpacked(logarithms, mixture.n_dims))
    sizes = np.exp(np.clip(values, np.log(_LEAST_SCALE), 600.0))
    scale = symmetric((vectors * sizes[:, None, :]) @ vectors.transpose(0, 2, 1))
    change = np.linalg.inv(scale) - np.linalg.inv(mixture.scale)
    known = np.linalg.inv(unpacked(mixture.doubt, mixture.n_dims)) + change[:, None]
    roots = np.linalg.inv(np.linalg.cholesky(symmetric(known)))
    return {"scale": scale, "doubt": packed(np.swapaxes(roots, -1, -2) @ roots)}


def logarithms(matrices: Array) -> Array:
    """Logarithms of symmetric positive matrices (..., q, q)."""
    values, vectors = np.linalg.eigh(matrices)
    return symmetric(
        (vectors * np.log(np.maximum(values, np.finfo(float).tiny))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    )
