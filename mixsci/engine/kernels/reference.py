"""The sums written for reading, not speed: every other kernel is tested against this one."""

from __future__ import annotations

import numpy as np

from mixsci.engine.kernels.layout import Array, Parameters, Rows, Shares, Sums, full_noise

_LOG_2PI = np.log(2 * np.pi)


def run(rows: Rows, parameters: Parameters, keep: int) -> tuple[Sums, Shares | None]:
    """Sums over the rows and, with `keep`, per-row results; one row and one component at a time."""
    log_weights, means, covariances = parameters
    (groups, k), d, n = log_weights.shape, means.shape[1], rows.x.shape[1]
    counts, g, f, h = np.zeros((groups, k)), np.zeros((groups, k, d)), np.zeros((groups, k, d, d)), np.zeros((k, d, d))
    log_likelihood = entropy = background = 0.0
    failures = np.zeros(k, dtype=np.int64)
    kept = np.empty(n), np.empty((n, k)), np.empty((n, k, d)), np.empty((n, k, d, d))
    noise = full_noise(rows)
    for i in range(n):
        projection = np.eye(d) if rows.projection is None else rows.projection[:, :, i]
        group, weight = rows.groups[i], rows.weights[i]
        log_p = np.append(np.empty(k), rows.log_background[i] if len(rows.log_background) else -np.inf)
        u, precision = np.zeros((k, d)), np.zeros((k, d, d))
        for j in range(k):
            try:
                density, u[j], precision[j] = _component(rows.x[:, i], projection, noise[i], means[j], covariances[j])
            except np.linalg.LinAlgError:
                failures[j] += keep > 0 or weight > 0
                density = -np.inf
            log_p[j] = log_weights[group, j] + density
        top = max(log_p.max(), -1e300)
        p = np.exp(log_p - top)
        r = p / p.sum() if p.sum() > 0 else p
        with np.errstate(divide="ignore"):
            log_density = top + np.log(p.sum())
        kept[0][i], kept[1][i], kept[2][i], kept[3][i] = log_density, r[:k], u, precision
        if weight > 0:
            log_likelihood += weight * log_density
            entropy -= weight * np.sum(r[r > 0] * np.log(r[r > 0]))
            background += weight * r[k]
            r = weight * r[:k]
            counts[group] += r
            g[group] += r[:, None] * u
            f[group] += r[:, None, None] * precision
            h += r[:, None, None] * (u[:, :, None] * u[:, None, :] - precision)
    return Sums(counts, g, f, h, log_likelihood, entropy, background, failures, rows.weights.sum()), Shares(
        *kept
    ) if keep else None


def _component(x: Array, projection: Array, noise: Array, mean: Array, covariance: Array) -> tuple[float, Array, Array]:
    """log N(x; R mu, T), R'T^-1 (x - R mu) and R'T^-1 R over the seen values of one row."""
    seen = np.flatnonzero(~np.isnan(x))
    projection, noise = projection[seen], noise[np.ix_(seen, seen)]
    factor = np.linalg.cholesky(projection @ covariance @ projection.T + noise)
    residual = np.linalg.solve(factor, x[seen] - projection @ mean)
    view = np.linalg.solve(factor, projection)
    log_density = -0.5 * (len(seen) * _LOG_2PI + residual @ residual) - np.log(np.diag(factor)).sum()
    return log_density, view.T @ residual, view.T @ view
