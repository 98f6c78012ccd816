"""Many columns, shared noise: one factorisation per pattern of gaps and component, then matrix products."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dtrtri

from mixsci.engine.kernels.layout import Array, Parameters, Rows, Shares, Sums, segments, take

_LOG_2PI = np.log(2 * np.pi)
#: Rows worked on at once: their values stay in the cache.
_CHUNK = 1024
#: Squared distance, in a component's own spread, from which its moments are taken about its own mean.
_FAR = 1e4


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
        segment = _Segment(means, factors)
        for low in range(start, stop, _CHUNK):
            part = slice(low, min(low + _CHUNK, stop))
            centred = segment.centred(rows.x[dims, part])
            r, log_density = _share(log_weights + segment.log_densities(centred), rows.log_background[part])
            if keep:
                shares.log_density[order[part]], shares.responsibilities[order[part]] = log_density, r[:k].T
            if keep == 2:
                _keep_moments(shares, order[part], rows.x[dims, part], means, factors, dims)
            totals += _weigh(r, log_density, rows.weights[part])
            segment.add(centred, r[:k])
        segment.spread((counts[group], g[group], information[group], pull), dims)
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


class _Segment:
    """Rows of one pattern and group: seen about a common centre, a row of ones above them carries every mean.

    `moments` (K, o + 1, o + 1) are r-weighted second moments of (1, x - centre - shift): the shift is a component's own
    mean where it lies so far off, in its own spread, that moments about the centre would lose digits.
    """

    def __init__(self, means: Array, factors: list[Array | None]) -> None:
        self.factors, self.centre = factors, means.mean(axis=0)
        self.apart = means - self.centre
        self.whiten = [
            None if f is None else np.column_stack([-f @ d, f]) for f, d in zip(factors, self.apart, strict=True)
        ]
        far = [w is not None and bool(w[:, 0] @ w[:, 0] > _FAR) for w in self.whiten]
        self.shift = np.where(np.array(far)[:, None], self.apart, 0.0)
        self.moments = np.zeros((len(factors), means.shape[1] + 1, means.shape[1] + 1))

    def centred(self, x: Array) -> Array:
        """(o + 1, n) rows about the centre, ones first."""
        rows = np.empty((len(x) + 1, x.shape[1]))
        rows[0] = 1.0
        np.subtract(x, self.centre[:, None], out=rows[1:])
        return rows

    def log_densities(self, rows: Array) -> Array:
        """(K, n) log densities; -inf where a spread is singular. NumPy's products let other threads run meanwhile."""
        o, half = len(rows) - 1, (len(rows) - 1) // 2
        log_p = np.full((len(self.factors), rows.shape[1]), -np.inf)
        z = np.empty((o, rows.shape[1]))
        for k, whiten in enumerate(self.whiten):
            if whiten is not None:
                # The upper half of a triangle needs half of the columns.
                np.matmul(whiten[:half, : half + 1], rows[: half + 1], out=z[:half])
                np.matmul(whiten[half:], rows, out=z[half:])
                log_det = -np.log(np.diag(whiten[:, 1:])).sum()
                log_p[k] = -log_det - 0.5 * (o * _LOG_2PI + np.einsum("an,an->n", z, z))
        return log_p

    def add(self, rows: Array, r: Array) -> None:
        """Add rows with responsibilities r (K, n)."""
        room = np.empty_like(rows)
        for k, whiten in enumerate(self.whiten):
            if whiten is not None:
                np.multiply(rows, np.sqrt(r[k]), out=room)
                if self.shift[k].any():
                    room[1:] -= self.shift[k][:, None] * room[0]
                self.moments[k] += room @ room.T

    def spread(self, sums: tuple[Array, ...], dims: Array) -> None:
        """Add what the moments say to counts, g, F and r R'u u'R: seen through the precision."""
        counts, g, information, pull = sums
        at = np.ix_(dims, dims)
        for k, factor in enumerate(self.factors):
            if factor is not None:
                left = np.append(0.0, self.apart[k] - self.shift[k])
                move = np.eye(len(left))
                move[:, 0] -= left
                about = move @ self.moments[k] @ move.T
                precision, count = factor.T @ factor, about[0, 0]
                counts[k] += count
                g[k, dims] += precision @ about[1:, 0]
                information[k][at] += count * precision
                pull[k][at] += precision @ about[1:, 1:] @ precision


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
