"""The E-step of rows that are known by what they say of few factors: the kernel of high dimension.

A row enters as (h, J, c) = (R'C^-1 x, R'C^-1 R, x'C^-1 x + log det C + m log 2 pi), C > 0 and J perhaps singular. With
S = L L' the covariance of a component, M = I + L'J L and a = h - J mu,

    -2 log p = c - 2 h'mu + mu'J mu - a'L M^-1 L'a + log det M,    v | row ~ N(mu + L M^-1 L'a, L M^-1 L')

Rows lie last, in blocks, the loop over rows innermost so that it vectorises. Triangles are packed by rows.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

Array = np.ndarray

# No loop both sums and stores: the order of its sum would hang on where arrays lie.
_kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
_BLOCK = 64


class Values(NamedTuple):
    """Values as an analyser sees them.

    Attributes:
        apart: (n, D) x minus its level, 0 where missing.
        share: (n, D) of Psi in the variance of each value, 0 where missing; (1, D) where all rows have the same.
        c: (n,) sums over the values of a row of apart^2 / variance + log(2 pi variance).
        seen: (n,) number of values.
    """

    apart: Array
    share: Array
    c: Array
    seen: Array


class Summaries(NamedTuple):
    """Rows as summaries.

    Attributes:
        h: (q, n). c: (n,). weights: (n,) of the rows. groups: (n,) codes.
        J: (q(q+1)/2, n) lower triangles; (q(q+1)/2, 1) where all rows have the same.
    """

    h: Array
    J: Array
    c: Array
    weights: Array
    groups: Array


class Expected(NamedTuple):
    """What the factors are, row by row and summed.

    Attributes:
        log_density: (n,). responsibilities: (n, K).
        first: (q, n) and second: (q(q+1)/2, n) moments of the factors given each row.
        counts: (G, K) sums of w r. means: (K, q) sums of w r E v. squares: (K, q(q+1)/2) sums of w r E v v'.
    """

    log_density: Array
    responsibilities: Array
    first: Array
    second: Array
    counts: Array
    means: Array
    squares: Array


@cache
def triangle(q: int) -> tuple[Array, Array]:
    """Rows and columns (q(q+1)/2,) of a lower triangle packed by rows."""
    a, b = np.tril_indices(q)
    return a, b


def packed(matrices: Array) -> Array:
    """(..., q(q+1)/2) lower triangles of symmetric matrices (..., q, q)."""
    a, b = triangle(matrices.shape[-1])
    return matrices[..., a, b]


def unpacked(triangles: Array, q: int) -> Array:
    """Symmetric matrices (..., q, q) of packed lower triangles (..., q(q+1)/2)."""
    a, b = triangle(q)
    out = np.empty((*triangles.shape[:-1], q, q))
    out[..., a, b] = triangles
    out[..., b, a] = triangles
    return out


def read(x: Array, levels: Array, codes: Array, uniquenesses: Array, noise: Array) -> Values:
    """The values of a block, in one look at each of them.

    Args:
        x: (n, D), NaN = missing. levels: (G, D) expected without factors, by the codes (n,) of the rows.
        uniquenesses: (D,) variances Psi. noise: (n, D) or (1, D) variances of errors, inf = missing.
    """
    spread = uniquenesses + noise
    size, ratio = np.log(2.0 * np.pi * spread), uniquenesses / spread
    x = np.ascontiguousarray(x if x.dtype.kind == "f" else x.astype(float))
    out = Values(np.empty(x.shape), np.empty(x.shape), np.empty(len(x)), np.empty(len(x), dtype=np.int64))
    _read(x, np.ascontiguousarray(levels), codes, spread, size, ratio, *out)
    alike = len(noise) == 1 and len(x) and (out.seen == x.shape[1]).all()
    return out._replace(share=out.share[:1]) if alike else out


def run(rows: Summaries, log_weights: Array, means: Array, covariances: Array) -> Expected:
    """Responsibilities and moments of the factors under a mixture of log weights (G, K), means and covariances."""
    roots, tied = roots_of(covariances)
    (q, n), k, p = rows.h.shape, len(means), len(rows.J)
    if rows.J.shape[1] < n:
        return _run_alike(rows, log_weights, means, roots)
    out = Expected(
        np.empty(n), np.empty((n, k)), np.empty((q, n)), np.empty((p, n)),
        np.zeros(log_weights.shape), np.zeros((k, q)), np.zeros((k, p)),
    )  # fmt: skip
    _run(*rows, np.ascontiguousarray(log_weights), np.ascontiguousarray(means), roots, tied, *out)
    return out


def _run_alike(rows: Summaries, log_weights: Array, means: Array, roots: Array) -> Expected:
    """The same for rows of one J: each component has one factorisation for all of them."""
    q, k = len(rows.h), len(means)
    J = unpacked(rows.J[:, 0], q)
    M = np.eye(q) + np.swapaxes(roots, 1, 2) @ J @ roots
    R = np.linalg.cholesky(M)
    W = np.linalg.solve(R, np.swapaxes(roots, 1, 2))
    V = np.swapaxes(W, 1, 2) @ W
    apart = rows.h - (means @ J)[:, :, None]
    y = W @ apart
    quad = rows.c - np.einsum("kq,kqn->kn", means, rows.h + apart) - (y * y).sum(axis=1)
    log_det = np.log(np.diagonal(R, axis1=1, axis2=2)).sum(axis=1)
    log_p = log_weights[rows.groups].T - 0.5 * quad - log_det[:, None]
    log_density, r = shares_of(np.ascontiguousarray(log_p.T))
    z, weighed = means[:, :, None] + np.swapaxes(W, 1, 2) @ y, rows.weights[:, None] * r
    counts, second, squares = np.zeros(log_weights.shape), packed(V).T @ r.T, np.empty((k, len(rows.J)))
    np.add.at(counts, rows.groups, weighed)
    _add_squares(z, np.ascontiguousarray(r.T), np.ascontiguousarray(weighed.T), second, squares)
    squares += weighed.sum(axis=0)[:, None] * packed(V)
    first, sums = np.einsum("kqn,nk->qn", z, r), (z @ weighed.T[:, :, None])[..., 0]
    return Expected(log_density, r, first, second, counts, sums, squares)


def shares_of(log_p: Array) -> tuple[Array, Array]:
    """Log densities (n,) and responsibilities (n, K) of log weights times densities (n, K)."""
    top = log_p.max(axis=1, keepdims=True)
    p = np.exp(log_p - top)
    total = p.sum(axis=1, keepdims=True)
    return (top + np.log(total))[:, 0], p / total


def roots_of(covariances: Array) -> tuple[Array, bool]:
    """Lower triangular L (K, q, q) with L L' the covariances, which may be singular, and whether all are the same."""
    tied = bool((covariances == covariances[0]).all())
    try:
        return np.linalg.cholesky(covariances), tied
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariances)
        halves = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        return np.ascontiguousarray(np.linalg.qr(halves.transpose(0, 2, 1))[1].transpose(0, 2, 1)), tied


@_kernel
def _read(x, levels, codes, spread, size, ratio, apart, share, c, count):
    n, d = x.shape
    for i in range(n):
        level, row = levels[codes[i]], i if len(spread) > 1 else 0
        for j in range(d):
            seen = x[i, j] == x[i, j] and spread[row, j] < np.inf
            apart[i, j] = x[i, j] - level[j] if seen else 0.0
            share[i, j] = ratio[row, j] if seen else 0.0
        total, known = 0.0, 0
        for j in range(d):
            seen = share[i, j] > 0.0
            known += 1 if seen else 0
            total += apart[i, j] * apart[i, j] / spread[row, j] + size[row, j] if seen else 0.0
        c[i], count[i] = total, known


@_kernel
def _run(
    h, J, c, weights, groups, log_weights, mu, roots, tied, log_density, responsibilities, first, second, counts, means,
    squares,
):  # fmt: skip
    q, n = h.shape
    k = len(mu)
    p = q * (q + 1) // 2
    full, JL, M = np.empty((q, q, _BLOCK)), np.empty((q, q, _BLOCK)), np.empty((q, q, _BLOCK))
    W, V = np.empty((q, q, _BLOCK)), np.empty((p, _BLOCK))
    a, y, quad = np.empty((q, _BLOCK)), np.empty((q, _BLOCK)), np.empty(_BLOCK)
    log_det, log_p = np.empty(_BLOCK), np.empty((k, _BLOCK))
    z, zz, tmp, share = np.empty((k, q, _BLOCK)), np.empty((k, p, _BLOCK)), np.empty(_BLOCK), np.empty(_BLOCK)
    for lo in range(0, n, _BLOCK):
        m = min(_BLOCK, n - lo)
        for i in range(q):
            for j in range(i + 1):
                for s in range(m):
                    full[i, j, s] = J[i * (i + 1) // 2 + j, lo + s]
                for s in range(m):
                    full[j, i, s] = full[i, j, s]
        for e in range(k):
            L = roots[e]
            if e == 0 or not tied:
                _factorise(full, L, q, m, JL, M, W, V, log_det)
            _moments(h, c, full, mu[e], L, M, W, V, q, lo, m, a, y, quad, tmp, z[e], zz[e])
            for s in range(m):
                log_p[e, s] = log_weights[groups[lo + s], e] - 0.5 * quad[s] - log_det[s]
        _share(log_p, k, lo, m, log_density, responsibilities)
        for j in range(q):
            _average(z[:, j], responsibilities, k, lo, m, tmp)
            for s in range(m):
                first[j, lo + s] = tmp[s]
        for j in range(p):
            _average(zz[:, j], responsibilities, k, lo, m, tmp)
            for s in range(m):
                second[j, lo + s] = tmp[s]
        for e in range(k):
            for s in range(m):
                share[s] = weights[lo + s] * responsibilities[lo + s, e]
            for s in range(m):
                counts[groups[lo + s], e] += share[s]
            for j in range(q):
                means[e, j] += _dot(share, z[e, j], tmp, m)
            for j in range(p):
                squares[e, j] += _dot(share, zz[e, j], tmp, m)


@_kernel
def _add_squares(z, r, weighed, second, squares):
    """Adds averages of z z' over components to second (p, n); sums of them over rows are squares (k, p)."""
    k, q, n = z.shape
    tmp = np.empty(n)
    for e in range(k):
        for i in range(q):
            for j in range(i + 1):
                at = i * (i + 1) // 2 + j
                for s in range(n):
                    tmp[s] = z[e, i, s] * z[e, j, s]
                for s in range(n):
                    second[at, s] += r[e, s] * tmp[s]
                total = 0.0
                for s in range(n):
                    total += weighed[e, s] * tmp[s]
                squares[e, at] = total


@_kernel
def _factorise(full, L, q, m, JL, M, W, V, log_det):
    """M = I + L'J L by Cholesky in place, W = R^-1 L' with M = R R', V = W'W (packed), and log det R."""
    for i in range(q):
        for j in range(q):
            for s in range(m):
                JL[i, j, s] = full[i, j, s] * L[j, j]
            for e in range(j + 1, q):
                for s in range(m):
                    JL[i, j, s] += full[i, e, s] * L[e, j]
    for s in range(m):
        log_det[s] = 0.0
    for i in range(q):
        for j in range(i + 1):
            for s in range(m):
                M[i, j, s] = 1.0 if i == j else 0.0
            for e in range(i, q):
                for s in range(m):
                    M[i, j, s] += L[e, i] * JL[e, j, s]
    for i in range(q):
        for j in range(i + 1):
            for e in range(j):
                for s in range(m):
                    M[i, j, s] -= M[i, e, s] * M[j, e, s]
            if i == j:
                for s in range(m):
                    M[i, i, s] = np.sqrt(M[i, i, s])
                for s in range(m):
                    log_det[s] += np.log(M[i, i, s])
            else:
                for s in range(m):
                    M[i, j, s] /= M[j, j, s]
    for i in range(q):
        for j in range(q):
            for s in range(m):
                W[i, j, s] = L[j, i]
            for e in range(i):
                for s in range(m):
                    W[i, j, s] -= M[i, e, s] * W[e, j, s]
            for s in range(m):
                W[i, j, s] /= M[i, i, s]
    for i in range(q):
        for j in range(i + 1):
            at = i * (i + 1) // 2 + j
            for s in range(m):
                V[at, s] = 0.0
            for e in range(q):
                for s in range(m):
                    V[at, s] += W[e, i, s] * W[e, j, s]


@_kernel
def _moments(h, c, full, mu, L, M, W, V, q, lo, m, a, y, quad, tmp, z, zz):
    """E v (q, m) and E v v' (packed) of one component, and c - 2 h'mu + mu'J mu - |y|^2 with y = R^-1 L'a."""
    for s in range(m):
        quad[s] = c[lo + s]
    for i in range(q):
        for s in range(m):
            a[i, s] = h[i, lo + s]
        for e in range(q):
            for s in range(m):
                a[i, s] -= full[i, e, s] * mu[e]
        for s in range(m):
            quad[s] -= mu[i] * (h[i, lo + s] + a[i, s])
    for i in range(q):
        for s in range(m):
            tmp[s] = 0.0
        for e in range(i, q):
            for s in range(m):
                tmp[s] += L[e, i] * a[e, s]
        for e in range(i):
            for s in range(m):
                tmp[s] -= M[i, e, s] * y[e, s]
        for s in range(m):
            y[i, s] = tmp[s] / M[i, i, s]
        for s in range(m):
            quad[s] -= y[i, s] * y[i, s]
    for i in range(q):
        for s in range(m):
            z[i, s] = mu[i]
        for e in range(q):
            for s in range(m):
                z[i, s] += W[e, i, s] * y[e, s]
    for i in range(q):
        for j in range(i + 1):
            at = i * (i + 1) // 2 + j
            for s in range(m):
                zz[at, s] = V[at, s] + z[i, s] * z[j, s]


@_kernel
def _share(log_p, k, lo, m, log_density, responsibilities):
    """Log densities and responsibilities of the rows of a block."""
    for s in range(m):
        top = -np.inf
        for e in range(k):
            top = max(top, log_p[e, s])
        total = 0.0
        for e in range(k):
            total += np.exp(log_p[e, s] - top)
        log_density[lo + s] = top + np.log(total)
        for e in range(k):
            responsibilities[lo + s, e] = np.exp(log_p[e, s] - top) / total


@_kernel
def _average(values, responsibilities, k, lo, m, out):
    """Averages (m,) of values (k, m) over components."""
    for s in range(m):
        out[s] = 0.0
    for e in range(k):
        for s in range(m):
            out[s] += responsibilities[lo + s, e] * values[e, s]


@_kernel
def _dot(a, b, tmp, m):
    for s in range(m):
        tmp[s] = a[s] * b[s]
    total = 0.0
    for s in range(m):
        total += tmp[s]
    return total
