"""What the engine is compared with: row by row with scipy, or densely in NumPy; nothing shared with the kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import mixsci as mx

Array = np.ndarray


def view_of(obs: mx.Observations, i: int) -> Array:
    """R (m, D) of row i."""
    if obs.projection is None:
        return np.eye(obs.width)
    return obs.projection if obs.projection.ndim == 2 else obs.projection[i]


def log_terms(mixture: mx.Mixture, obs: mx.Observations) -> Array:
    """(n, K + 1) log of weight times density of every row under every component, the background last."""
    noise, seen = obs.noise.covariances(len(obs)), obs.seen()
    out = np.empty((len(obs), mixture.n_components + 1))
    for i in range(len(obs)):
        at = np.flatnonzero(seen[i])
        view, error = view_of(obs, i)[at], noise[i][np.ix_(at, at)]
        weights, offset = of_row(mixture, obs, i)
        for k in range(mixture.n_components):
            density = 0.0
            if len(at):
                mean, spread = view @ (mixture.means[k] + offset), view @ mixture.covariances[k] @ view.T + error
                density = multivariate_normal(mean, spread).logpdf(obs.x[i, at])
            with np.errstate(divide="ignore"):
                out[i, k] = np.log(weights[k]) + density
        out[i, -1] = _background(mixture, obs.x[i], at)
    if mixture.background is not None:
        out[:, :-1] += np.log1p(-mixture.background.weight)
    return out


def _background(mixture: mx.Mixture, x: Array, at: Array) -> float:
    box = mixture.background
    if box is None or box.weight == 0 or ((x[at] < box.low[at]) | (x[at] > box.high[at])).any():
        return -np.inf
    return float(np.log(box.weight) - np.log(box.high[at] - box.low[at]).sum())


def of_row(mixture: mx.Mixture, obs: mx.Observations, i: int) -> tuple[Array, Array]:
    """Weights (K,) and offset (D,) of the group of row i."""
    if mixture.group_labels is None:
        return mixture.weights, np.zeros(mixture.n_dims)
    g = mixture.group_labels.index(obs.group_labels[obs.groups[i]])
    return mixture.weights[g], np.zeros(mixture.n_dims) if mixture.offsets is None else mixture.offsets[g]


def log_density(mixture: mx.Mixture, obs: mx.Observations) -> Array:
    """(n,) log densities, row by row."""
    return logsumexp(log_terms(mixture, obs), axis=1)


def row_weights(obs: mx.Observations) -> Array:
    """(n,) weights of the rows, 0 where nothing is observed."""
    weights = np.ones(len(obs)) if obs.row_weights is None else obs.row_weights
    return weights * obs.seen().any(axis=1)


def log_likelihood(mixture: mx.Mixture, obs: mx.Observations) -> float:
    """Total log-likelihood, row by row."""
    return float(row_weights(obs) @ log_density(mixture, obs))


def posterior(mixture: mx.Mixture, obs: mx.Observations) -> tuple[Array, Array]:
    """Latent means (n, D) and covariances (n, D, D): for each component the joint Gaussian of v and x, conditioned."""
    terms = log_terms(mixture, obs)[:, :-1]
    r = np.exp(terms - logsumexp(terms, axis=1, keepdims=True))
    noise, seen = obs.noise.covariances(len(obs)), obs.seen()
    means, covariances = np.zeros((len(obs), mixture.n_dims)), np.zeros((len(obs), mixture.n_dims, mixture.n_dims))
    for i in range(len(obs)):
        at = np.flatnonzero(seen[i])
        view = view_of(obs, i)[at]
        _, offset = of_row(mixture, obs, i)
        second = np.zeros((mixture.n_dims, mixture.n_dims))
        for k in range(mixture.n_components):
            sigma, centre = mixture.covariances[k], mixture.means[k] + offset
            gain = sigma @ view.T @ np.linalg.inv(view @ sigma @ view.T + noise[i][np.ix_(at, at)])
            mean = centre + gain @ (obs.x[i, at] - view @ centre)
            means[i] += r[i, k] * mean
            second += r[i, k] * (sigma - gain @ view @ sigma + np.outer(mean, mean))
        covariances[i] = second - np.outer(means[i], means[i])
    return means, covariances


def dense_log_likelihood(
    obs: mx.Observations, weights: Array, means: Array, covariances: Array, offsets: Array | None = None
) -> float:
    """Total log-likelihood by batched determinants and solves, fast enough to be optimised; weights (K,) or (G, K)."""
    n, m = obs.x.shape
    view = np.broadcast_to(np.eye(m) if obs.projection is None else obs.projection, (n, m, means.shape[1]))
    seen = obs.seen()
    centre = means[None] if offsets is None else means[None] + offsets[obs.groups][:, None]
    residual = np.where(
        seen[:, None], np.where(seen, obs.x, 0.0)[:, None] - np.einsum("nmd,nkd->nkm", view, centre), 0.0
    )
    spread = np.einsum("nad,kde,nbe->nkab", view, covariances, view) + obs.noise.covariances(n)[:, None]
    spread = np.where((seen[:, :, None] & seen[:, None, :])[:, None], spread, np.eye(m))
    distance = np.einsum("nkm,nkm->nk", residual, np.linalg.solve(spread, residual[..., None])[..., 0])
    density = -0.5 * (distance + np.linalg.slogdet(spread)[1] + seen.sum(axis=1)[:, None] * np.log(2 * np.pi))
    log_weights = np.log(np.maximum(weights, 1e-300))
    return float(
        row_weights(obs) @ logsumexp(density + (log_weights if weights.ndim == 1 else log_weights[obs.groups]), axis=1)
    )


def climb(objective: Callable[[Array], float], start: Array) -> tuple[Array, float]:
    """A maximum of a function of a vector near `start`, by quasi-Newton steps on finite differences."""
    start = np.asarray(start, dtype=float)
    best = minimize(lambda v: -objective(v), start, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000})
    again = minimize(lambda v: -objective(v), best.x, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    return again.x, -float(again.fun)


def softmax(logs: Array) -> Array:
    """Weights from log-ratios to the first, along the last axis."""
    logs = np.concatenate([np.zeros((*logs.shape[:-1], 1)), logs], axis=-1)
    return np.exp(logs - logsumexp(logs, axis=-1, keepdims=True))


def gradient(function: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """Central differences of a function at `at`, of its shape."""
    out = np.empty(at.shape)
    for index in np.ndindex(at.shape):
        there, back = at.copy(), at.copy()
        there[index] += step
        back[index] -= step
        out[index] = (function(there) - function(back)) / (2 * step)
    return out


def factor_log_terms(mixture: mx.FactorMixture, obs: mx.Observations) -> Array:
    """(n, K) log of weight times density of every row under every component, from its dense covariance."""
    seen, noise = obs.seen(), obs.noise.covariances(len(obs))
    out = np.empty((len(obs), mixture.n_components))
    for i in range(len(obs)):
        at = np.flatnonzero(seen[i])
        g = None if mixture.group_labels is None else mixture.group_labels.index(obs.group_labels[obs.groups[i]])
        weights = mixture.weights if g is None else mixture.weights[g]
        for k in range(mixture.n_components):
            loadings = mixture.loadings[k] if mixture.own else mixture.loadings
            level = mixture.intercept[k] if mixture.own else mixture.intercept
            level = level if mixture.shifts is None or g is None else level + mixture.shifts[g]
            spread = loadings @ mixture.covariances[k] @ loadings.T + np.diag(mixture.uniquenesses) + noise[i]
            density = 0.0
            if len(at):
                mean = (loadings @ mixture.means[k] + level)[at]
                density = multivariate_normal(mean, spread[np.ix_(at, at)]).logpdf(obs.x[i, at])
            with np.errstate(divide="ignore"):
                out[i, k] = np.log(weights[k]) + density
    return out


def factor_log_likelihood(mixture: mx.FactorMixture, obs: mx.Observations) -> float:
    """Total log-likelihood of a mixture of factors, row by row."""
    return float(row_weights(obs) @ logsumexp(factor_log_terms(mixture, obs), axis=1))


def factors_given(x: Array, view: Array, noise: Array, mean: Array, covariance: Array) -> tuple[float, Array, Array]:
    """Log density of one row x = R v + e, and mean and covariance of v ~ N(mean, covariance) given it."""
    spread = view @ covariance @ view.T + noise
    gain = covariance @ view.T @ np.linalg.inv(spread)
    log_density = multivariate_normal(view @ mean, spread).logpdf(x)
    return float(log_density), mean + gain @ (x - view @ mean), covariance - gain @ view @ covariance
