"""Many columns, shared noise: one factorisation per pattern of gaps and component, then matrix products."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dtrtri

from mixsci.engine.kernels.layout import Array, Parameters, Rows, Shares, Sums, segments, take

_LOG_2PI = np.log(2 * np.pi)
#: Rows worked on at once: their values stay in the cache.
_CHUNK = 2048


def run(rows: Rows, parameters: Parameters, keep: int) -> tuple[Sums, Shares | None]:
    """Sums over the rows and, with `keep`, per-row results in the order of `rows`."""
    (groups, k), d, n = parameters.log_weights.shape, parameters.means.shape[1], rows.x.shape[1]
    counts, g = np.zeros((groups, k)), np.zeros((groups, k, d))
    information, pull = np.zeros((groups, k, d, d)), np.zeros((k, d, d))
    totals, failures = np.zeros(3), np.zeros(k, dtype=np.int64)
    order, runs, seen = segments(rows)
    rows = take(rows, order) if len(seen) > 1 else rows
    moments = (n, k, d) if keep == 2 else (0, k, d)
    shares = Shares(np.empty(n), np.empty((n, k)), np.empty(moments), np.empty((*moments, d)))
    pattern, factors = -1, []
    for start, stop, group, code in runs:
        dims = np.flatnonzero(seen[code])
        if code != pattern:
            pattern, factors = code, _factors(parameters.covariances, rows.shared_noise, dims)
        counted = stop - start if keep else int((rows.weights[start:stop] > 0).sum())
        failures += [0 if factor is not None else counted for factor in factors]
        means, log_weights = parameters.means[:, dims], parameters.log_weights[group][:, None]
        residuals = _Residuals(k, len(dims))
        for low in range(start, stop, _CHUNK):
            part = slice(low, min(low + _CHUNK, stop))
            x = np.ascontiguousarray(rows.x[dims, part])
            log_p = log_weights + _log_densities(x, means, factors)
            r, log_density = _share(log_p, rows.log_background[part])
            if keep:
                shares.log_density[order[part]], shares.responsibilities[order[part]] = log_density, r[:k].T
            if keep == 2:
                _keep_moments(shares, order[part], x, means, factors, dims)
            totals += _weigh(r, log_density, rows.weights[part])
            residuals.add(r[:k], x, means, factors)
        residuals.spread((counts[group], g[group], information[group], pull), factors, dims)
    h = pull - information.sum(axis=0)
    sums = Sums(counts, g, information, h, totals[0], totals[1], totals[2], failures, rows.weights.sum())
    return sums, shares if keep else None


def _factors(covariances: Array, noise: Array, dims: Array) -> list[Array | None]:
    """Inverse Cholesky factor of each component's spread over `dims`; None where it is singular."""
    factors: list[Array | None] = []
    for covariance in covariances:
        try:
            lower = np.linalg.cholesky((covariance + noise)[np.ix_(dims, dims)])
            factors.append(np.ascontiguousarray(dtrtri(lower.T)[0].T))
        except np.linalg.LinAlgError:
            factors.append(None)
    return factors


def _log_densities(x: Array, means: Array, factors: list[Array | None]) -> Array:
    """(K, n) log densities of rows x (o, n); -inf where a spread is singular."""
    o, n = x.shape
    log_p = np.full((len(factors), n), -np.inf)
    # About a common centre a row of ones can carry L mu without losing digits; NumPy's products let other threads run.
    centre = means.mean(axis=0)
    rows = np.vstack([np.ones(n), x - centre[:, None]])
    z, half = np.empty_like(x), o // 2
    for k, factor in enumerate(factors):
        if factor is not None:
            whiten = np.column_stack([factor @ (centre - means[k]), factor])
            # The upper half of a triangle needs half of the columns.
            np.matmul(whiten[:half, : half + 1], rows[: half + 1], out=z[:half])
            np.matmul(whiten[half:], rows, out=z[half:])
            log_det = -np.log(np.diag(factor)).sum()
            log_p[k] = -log_det - 0.5 * (o * _LOG_2PI + np.einsum("an,an->n", z, z))
    return log_p


def _share(log_p: Array, log_background: Array) -> tuple[Array, Array]:
    """Responsibilities (K + 1, n), the background last, and log densities (n,)."""
    log_p = np.vstack([log_p, log_background if len(log_background) else np.full(log_p.shape[1], -np.inf)])
    top = np.maximum(log_p.max(axis=0), -1e300)
    p = np.exp(log_p - top)
    total = p.sum(axis=0)
    with np.errstate(divide="ignore"):
        return p / np.where(total > 0, total, 1.0), top + np.log(total)


def _weigh(r: Array, log_density: Array, weights: Array) -> Array:
    """Log-likelihood, entropy and background count; r is weighted in place."""
    entropy = -np.sum(weights * np.where(r > 0, r * np.log(np.where(r > 0, r, 1.0)), 0.0))
    r *= weights
    return np.array([np.sum(weights[weights > 0] * log_density[weights > 0]), entropy, r[-1].sum()])


class _Residuals:
    """Moments of the residuals x - mu of one segment, r-weighted: count (K,), first (K, o), second (K, o, o)."""

    def __init__(self, k: int, o: int) -> None:
        self.count, self.first, self.second = np.zeros(k), np.zeros((k, o)), np.zeros((k, o, o))

    def add(self, r: Array, x: Array, means: Array, factors: list[Array | None]) -> None:
        """Add rows x (o, n) with responsibilities r (K, n)."""
        room = np.empty_like(x)
        for k, factor in enumerate(factors):
            if factor is not None:
                root = np.sqrt(r[k])
                residual = np.subtract(x, means[k][:, None], out=room)
                residual *= root
                self.count[k] += r[k].sum()
                self.first[k] += residual @ root
                self.second[k] += residual @ residual.T

    def spread(self, sums: tuple[Array, ...], factors: list[Array | None], dims: Array) -> None:
        """Add what they say to counts, g, F and r R'u u'R: the moments seen through the precision."""
        counts, g, information, pull = sums
        at = np.ix_(dims, dims)
        for k, factor in enumerate(factors):
            if factor is not None:
                precision = factor.T @ factor
                counts[k] += self.count[k]
                g[k, dims] += precision @ self.first[k]
                information[k][at] += self.count[k] * precision
                pull[k][at] += precision @ self.second[k] @ precision


def _keep_moments(
    shares: Shares, rows: Array, x: Array, means: Array, factors: list[Array | None], dims: Array
) -> None:
    assert shares.u is not None and shares.precision is not None
    shares.u[rows], shares.precision[rows] = 0.0, 0.0
    for k, factor in enumerate(factors):
        if factor is not None:
            precision = factor.T @ factor
            shares.u[rows[:, None], k, dims] = (precision @ (x - means[k][:, None])).T
            shares.precision[rows[:, None, None], k, dims[:, None], dims] = precision
