"""Every variable's regression on the factors, an intercept and the shifts of groups, from sums over rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixsci.engine.factor_mixture import unpacked
from mixsci.engine.model.factor_sums import Regressions

Array = np.ndarray

_FEWEST_ROWS = 1e-8


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What the regressions gave.

    Attributes:
        loadings: (D, q). intercept: (D,) the change of it. shifts: (G, D) whole ones, or None.
        moved: (G, D) changes of intercept + shift. doubt: (D, q(q+1)/2) covariances of the loadings in units of Psi.
    """

    loadings: Array
    intercept: Array
    shifts: Array | None
    moved: Array
    doubt: Array

    def left(self, sums: Regressions) -> Array:
        """(D,) sums of squares that loadings, intercept and shifts leave."""
        level = self.moved[:, :, None]
        explained = (2.0 * sums.yv - (level * sums.v).sum(axis=0) * 2.0 - _times(sums.vv, self.loadings)) * self.loadings
        total = sums.yy - explained.sum(axis=1) + (self.moved * (self.moved * sums.one - 2.0 * sums.y)).sum(axis=0)
        return np.maximum(total, 0.0)

    def spread(self, sums: Regressions) -> Array:
        """(D,) traces of covariance of loadings times sum of E v v'."""
        q = self.loadings.shape[1]
        return np.einsum("dij,dji->d", unpacked(self.doubt, q), unpacked(sums.vv, q))

    def pull(self, precision: Array) -> Array:
        """(D,) traces of covariance of loadings times the precision of their prior."""
        return np.einsum("dij,ji->d", unpacked(self.doubt, len(precision)), precision)


def regress(
    sums: Regressions, scale: Array | None, shifts: Array | None, shape: tuple[int, int], shift_rows: float
) -> Coefficients:
    """Loadings, intercept and shifts of greatest expected log-likelihood and prior.

    Args:
        sums: over rows. scale: (q, q) covariance of the prior of loadings in units of Psi, or None.
        shifts: (G, D) of now, or None. shape: (D, q). shift_rows: pseudo-rows that say a shift is zero.
    """
    (d, q), groups = shape, len(sums.one)
    many = shifts is not None
    columns = q + 1 + groups * many
    matrix, right = np.zeros((d, columns, columns)), np.zeros((d, columns))
    matrix[:, :q, :q] = unpacked(sums.vv, q) + (0.0 if scale is None else np.linalg.inv(scale))
    matrix[:, :q, q], matrix[:, q, q] = sums.v.sum(axis=0), sums.one.sum(axis=0)
    right[:, :q], right[:, q] = sums.yv, sums.y.sum(axis=0)
    if shifts is not None:
        at = np.arange(q + 1, columns)
        matrix[:, :q, q + 1 :], matrix[:, q, q + 1 :] = sums.v.transpose(1, 2, 0), sums.one.T
        matrix[:, at, at] = sums.one.T + shift_rows
        right[:, q + 1 :] = (sums.y - shift_rows * shifts).T
        if not shift_rows:
            # Without a prior the level of the shifts is free: their mean is held at zero, and unseen ones too.
            rows = sums.one.T
            matrix[:, q + 1 :, q + 1 :] += rows[:, :, None] * rows[:, None] / np.maximum(rows.sum(axis=1), 1.0)[:, None, None]
            right[:, q + 1 :] -= rows * (rows * shifts.T).sum(axis=1, keepdims=True) / np.maximum(rows.sum(axis=1), 1.0)[:, None]
            matrix[:, at, at] = np.where(rows > _FEWEST_ROWS, matrix[:, at, at], 1.0)
    lower = np.tril_indices(columns, -1)
    matrix[:, lower[0], lower[1]] = matrix[:, lower[1], lower[0]]
    found = _solve(matrix, right)
    change = found[:, q + 1 :].T if many else np.zeros((groups, d))
    a, b = np.tril_indices(q)
    return Coefficients(
        found[:, :q], found[:, q], None if shifts is None else shifts + change, found[:, q] + change,
        np.linalg.inv(matrix[:, :q, :q])[:, a, b] if scale is not None else np.zeros((d, len(a))),
    )  # fmt: skip


def _solve(matrix: Array, right: Array) -> Array:
    """Solutions (D, p), of least norm in units of the diagonal where a variable's few rows do not tell all."""
    size = np.sqrt(np.maximum(np.diagonal(matrix, axis1=1, axis2=2), 1e-300))
    scaled = matrix / size[:, :, None] / size[:, None, :]
    try:
        root = np.linalg.cholesky(scaled)
        if (np.diagonal(root, axis1=1, axis2=2) > 1e-6).all():
            return np.asarray(np.linalg.solve(scaled, (right / size)[..., None])[..., 0] / size)
    except np.linalg.LinAlgError:
        pass
    return np.asarray((np.linalg.pinv(scaled, rcond=1e-10, hermitian=True) @ (right / size)[..., None])[..., 0] / size)


def _times(triangles: Array, vectors: Array) -> Array:
    """(D, q) symmetric matrices, packed, times vectors (D, q)."""
    return np.einsum("dij,dj->di", unpacked(triangles, vectors.shape[1]), vectors)
