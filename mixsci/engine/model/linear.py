"""Small least-squares problems of the M-step, where some directions may have to stand still."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

#: Eigenvalues below this share of the largest count as zero.
FLAT = 1e-13


def climb(information: Array, score: Array, still: Array | None = None) -> Array:
    """The step t that maximises score't - t'information t / 2, least-norm where flat.

    Args:
        information: (p, p) positive semi-definite. score: (p,).
        still: (c, p) directions that must not move: still t = 0.
    """
    size = np.sqrt(np.diagonal(information))
    scale = 1.0 / np.where(size > 0, size, 1.0)
    information, score = information * scale[:, None] * scale, score * scale
    if still is None or not len(still):
        return scale * _solve(information, score)
    free = _null_space(still * scale)
    return scale * (free @ _solve(free.T @ information @ free, free.T @ score))


def precisions(covariances: Array) -> tuple[Array, list[Array]]:
    """Inverses (K, D, D) on the directions that have spread, and for each component its directions without (c, D)."""
    size = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    scale = 1.0 / np.where(size > 0, size, 1.0)
    # Columns of very different units must not hide one another.
    values, vectors = np.linalg.eigh(covariances * scale[:, :, None] * scale[:, None, :])
    spread = values > FLAT * np.maximum(values[:, -1:], 0.0)
    inverse = np.where(spread, 1.0 / np.where(spread, values, 1.0), 0.0)
    rooted = vectors * scale[:, :, None]
    still = [rooted[k][:, ~spread[k]].T for k in range(len(values))]
    return (rooted * inverse[:, None, :]) @ rooted.transpose(0, 2, 1), still


def _solve(information: Array, score: Array) -> Array:
    values, vectors = np.linalg.eigh(information)
    kept = values > FLAT * max(values[-1], 0.0) if len(values) else values > 0
    return vectors[:, kept] @ ((vectors[:, kept].T @ score) / values[kept])


def _null_space(directions: Array) -> Array:
    _, size, basis = np.linalg.svd(directions, full_matrices=True)
    rank = int((size > 1e-12 * max(size[0], 1e-300)).sum()) if len(size) else 0
    return basis[rank:].T
