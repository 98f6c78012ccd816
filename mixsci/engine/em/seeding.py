"""Centres to begin from: k-means++ and a few steps of Lloyd, each dimension counting as far as a row resolves it."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_STEPS = 20


def distances(points: Array, resolved: Array, centres: Array) -> Array:
    """(n, K) squared distances, each dimension counting as far as the row resolves it."""
    share = resolved / resolved.mean(axis=1, keepdims=True)
    return (share * points**2).sum(axis=1)[:, None] - 2 * (share * points) @ centres.T + share @ (centres**2).T


def seeds(points: Array, resolved: Array, k: int, known: Array, rng: np.random.Generator) -> Array:
    """k centres by k-means++ (Arthur & Vassilvitskii 2007), away from those already known."""
    sure = resolved.mean(axis=1)
    nearest = distances(points, resolved, known).min(axis=1) if len(known) else None
    found: list[Array] = []
    for _ in range(k):
        # Rows that resolve little make poor centres.
        chance = sure if nearest is None else np.maximum(nearest, 0.0) * sure
        chance = chance if chance.sum() > 0 else sure
        centre = points[rng.choice(len(points), p=chance / chance.sum())]
        found.append(centre)
        reach = distances(points, resolved, centre[None])[:, 0]
        nearest = reach if nearest is None else np.minimum(nearest, reach)
    return np.array(found).reshape(k, points.shape[1])


def lloyd(points: Array, resolved: Array, centres: Array, held: Array) -> Array:
    """Centres (K, D) moved to the means of the points nearest to them, a few times; those `held` (K,) stay."""
    for _ in range(_STEPS):
        label = distances(points, resolved, centres).argmin(axis=1)
        member = np.eye(len(centres))[label]
        total = member.T @ resolved
        moved = np.where(total > 0, member.T @ (resolved * points) / np.where(total > 0, total, 1.0), centres)
        moved[held] = centres[held]
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres
