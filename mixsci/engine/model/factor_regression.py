"""Every variable's regression on the factors, an intercept and the shifts of groups, from sums over rows.

What stands alone in its rows is eliminated first, the shifts and then the intercept: what is left to solve for every
variable are q equations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mixsci.engine.kernels.information import packed, unpacked
from mixsci.engine.model.factor_sums import Regressions

Array = np.ndarray

#: Fewer rows than this say nothing.
_FEWEST_ROWS = 1e-8
#: Scaled equations with smaller roots do not tell all; directions of smaller eigenvalues are left alone.
_LEAST_ROOT, _LEAST_VALUE = 1e-6, 1e-10


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What the regressions gave.

    Attributes:
        loadings: (D, q). intercept: (D,) the change of it. shifts: (G, D) whole ones, or None.
        moved: (G, D) changes of intercept + shift; (1, D) without shifts.
        doubt: (D, q(q+1)/2) covariances of the loadings in units of Psi.
    """

    loadings: Array
    intercept: Array
    shifts: Array | None
    moved: Array
    doubt: Array

    def left(self, sums: Regressions) -> Array:
        """(D,) sums of squares that loadings, intercept and shifts leave."""
        along = (self.moved[:, :, None] * sums.v).sum(axis=0)
        explained = (2.0 * (sums.yv - along) - _times(sums.vv, self.loadings)) * self.loadings
        total = sums.yy - explained.sum(axis=1) + (self.moved * (self.moved * sums.one - 2.0 * sums.y)).sum(axis=0)
        return np.maximum(total, 0.0)

    def spread(self, sums: Regressions) -> Array:
        """(D,) traces of covariance of loadings times sum of E v v'."""
        q = self.loadings.shape[1]
        return np.einsum("dij,dji->d", unpacked(self.doubt, q), unpacked(sums.vv, q))

    def pull(self, precision: Array) -> Array:
        """(D,) traces of covariance of loadings times the precision (q, q) of their prior."""
        return np.einsum("dij,ji->d", unpacked(self.doubt, len(precision)), precision)


class _Equations(NamedTuple):
    """vv l + v c = yv, v'l + n c = y for the loadings l and the change c of the intercept of every variable."""

    vv: Array
    v: Array
    n: Array
    yv: Array
    y: Array


def regress(sums: Regressions, scale: Array | None, shifts: Array | None, shift_rows: float) -> Coefficients:
    """Loadings, intercept and shifts of greatest expected log-likelihood and prior.

    Args:
        sums: over rows. scale: (q, q) covariance of the prior of loadings in units of Psi, or None.
        shifts: (G, D) of now, or None. shift_rows: pseudo-rows that say a shift is zero; without any, the level of the
            shifts is free and the intercept stays.
    """
    q = sums.yv.shape[1]
    whole = unpacked(sums.vv, q)
    if scale is not None:
        whole += np.linalg.inv(scale)
    if shifts is None:
        left = _Equations(whole, sums.v.sum(axis=0), sums.one.sum(axis=0), sums.yv, sums.y.sum(axis=0))
    else:
        left = _without_shifts(sums, whole, shifts, shift_rows)
    loadings, intercept = _solve(left, np.diagonal(whole, axis1=1, axis2=2))
    change = np.zeros((1, len(intercept)))
    if shifts is not None:
        explained = np.einsum("gdq,dq->gd", sums.v, loadings) + sums.one * intercept
        change = _over(sums.y - shift_rows * shifts - explained, sums.one + shift_rows)
    doubt = np.zeros(sums.vv.shape) if scale is None else packed(np.linalg.inv(whole))
    return Coefficients(loadings, intercept, None if shifts is None else shifts + change, intercept + change, doubt)


def _without_shifts(sums: Regressions, whole: Array, shifts: Array, shift_rows: float) -> _Equations:
    """What the equations are once each shift d of a group is put as (y - r s - v'l - n c) / (n + r), r pseudo-rows."""
    rows = sums.one + shift_rows
    free, held = _over(1.0, rows), _over(shift_rows, rows)
    return _Equations(
        whole - np.einsum("gdi,gd,gdj->dij", sums.v, free, sums.v),
        (held[:, :, None] * sums.v).sum(axis=0),
        (held * sums.one).sum(axis=0),
        sums.yv - np.einsum("gdi,gd->di", sums.v, free * (sums.y - shift_rows * shifts)),
        (held * (sums.y + sums.one * shifts)).sum(axis=0),
    )


def _solve(equations: _Equations, size: Array) -> tuple[Array, Array]:
    """Loadings (D, q), of least length where the rows do not tell all, and changes of the intercept (D,)."""
    vv, v, n, yv, y = equations
    mean = _over(v, n[:, None])
    matrix, right = vv - v[:, :, None] * mean[:, None, :], yv - v * _over(y, n)[:, None]
    # In units of what the equations were: what is left of them may be rounding.
    root = np.sqrt(np.maximum(size, 1e-300))
    matrix, right = matrix / root[:, :, None] / root[:, None, :], right / root
    loadings = _solved(matrix, right) / root
    return loadings, _over(y, n) - (mean * loadings).sum(axis=1)


def _solved(matrix: Array, right: Array) -> Array:
    """Solutions (D, q) of equations whose diagonal was one, of least length where they do not tell all."""
    try:
        if (np.diagonal(np.linalg.cholesky(matrix), axis1=1, axis2=2) > _LEAST_ROOT).all():
            return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(matrix)
    inverse = np.where(values > _LEAST_VALUE, 1.0 / np.where(values > _LEAST_VALUE, values, 1.0), 0.0)
    return np.einsum("dij,dj,dkj,dk->di", vectors, inverse, vectors, right, optimize=True)


def _over(values: Array | float, rows: Array) -> Array:
    """Values over rows, 0 where there are none."""
    return np.asarray(np.where(rows > _FEWEST_ROWS, values, 0.0) / np.where(rows > _FEWEST_ROWS, rows, 1.0))


def _times(triangles: Array, vectors: Array) -> Array:
    """(D, q) symmetric matrices, packed, times vectors (D, q)."""
    return np.einsum("dij,dj->di", unpacked(triangles, vectors.shape[1]), vectors)
