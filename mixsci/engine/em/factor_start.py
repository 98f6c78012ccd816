"""Starts of mixtures of factors: one analyser for all rows, components at seeds among its scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import svds

from mixsci.engine.em.factor_begin import Columns, Labels
from mixsci.engine.em.seeding import distances, lloyd, seeds
from mixsci.engine.execution import Workers
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels import information
from mixsci.engine.kernels.information import Summaries
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.observations import Observations

Array = np.ndarray

#: Rows that k-means looks at, and rows that components settle on.
_SEED_ROWS, _SETTLING_ROWS = 4000, 2000
#: EM steps in which components settle, and the gain per row, nats, below which they have.
_STEPS, _SETTLED = 25, 1e-3
#: Pseudo-rows that say a shift is zero, and the least uniqueness as a share of the variance, of a first analyser.
_SHIFT_ROWS, _LEAST_LEFT = 2.0, 0.3


def analyser_of(
    rows: Observations, columns: Columns, q: int, labels: Labels, rng: np.random.Generator, *, shifted: bool
) -> FactorMixture:
    """One analyser for rows, from their singular vectors with gaps at the mean of the variable, or of the group.

    Args:
        rows: some rows. columns: of all rows. q: number of factors. labels: of the groups. rng: for the first vector.
        shifted: whether groups shift the variables.
    """
    sd, seen = np.sqrt(columns.variances), rows.seen()
    x = np.where(seen, (np.asarray(rows.x, dtype=float) - columns.mean) / sd, 0.0)
    shifts = _shifts_of(x, seen, rows, labels) if shifted and labels else None
    if shifts is not None:
        x = np.where(seen, x - shifts[_codes(rows)], 0.0)
    size, axes = _singular(x, q, rng)
    # Gaps at the mean make factors look small: they are scaled up by what was seen.
    loadings = axes.T * size / np.sqrt(np.maximum(seen.sum(axis=0), 1.0))[:, None]
    left = np.clip(1.0 - (loadings**2).sum(axis=1), _LEAST_LEFT, 1.0)
    return FactorMixture(
        np.ones((len(labels), 1)) if labels else [1.0], np.zeros((1, q)), np.eye(q)[None], group_labels=labels,
        loadings=loadings * sd[:, None], intercept=columns.mean, uniquenesses=left * columns.variances,
        shifts=None if shifts is None else shifts * sd,
    )  # fmt: skip


def _singular(x: Array, q: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The q largest singular values and their axes (q, D)."""
    if q < min(x.shape) - 1:
        _, size, axes = svds(x, k=q, v0=rng.standard_normal(min(x.shape)))
    else:
        _, size, axes = np.linalg.svd(x, full_matrices=False)
    order = np.argsort(-size)[:q]
    return size[order], axes[order]


def _codes(rows: Observations) -> Array:
    return np.zeros(len(rows), dtype=np.int64) if rows.groups is None else np.asarray(rows.groups)


def _shifts_of(x: Array, seen: Array, rows: Observations, labels: Labels) -> Array:
    """(G, D) means of groups, shrunk where values are few."""
    member = [_codes(rows) == g for g in range(len(labels or ()))]
    return np.array([x[own].sum(axis=0) / (seen[own].sum(axis=0) + _SHIFT_ROWS) for own in member])


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores (n, q) of some rows under one analyser, and the share (n, q) of their variance that is known."""

    points: Array
    resolved: Array

    @classmethod
    def of(cls, analyser: FactorMixture, rows: Observations, rng: np.random.Generator, workers: Workers) -> Scores:
        """Of some of these rows."""
        few = _few(rows, _SEED_ROWS, rng)
        few = few.take(np.flatnonzero(few.seen().any(axis=1)))
        means, covariances = analyser.posterior(few, workers=workers)
        return cls(means, np.clip(1.0 - np.diagonal(covariances, axis1=1, axis2=2), 1e-3, 1.0))


def _few(rows: Observations, most: int, rng: np.random.Generator) -> Observations:
    return rows if len(rows) <= most else rows.take(np.sort(rng.choice(len(rows), most, replace=False)))


def drawn(
    model: FactorModel, analyser: FactorMixture, scores: Scores, rng: np.random.Generator, *, refined: bool
) -> FactorMixture:
    """Components at seeds among the scores, refined by k-means or not."""
    (points, resolved), k, q = (scores.points, scores.resolved), model.n_components, analyser.n_dims
    centres = seeds(points, resolved, k, np.empty((0, q)), rng)
    if refined:
        centres = lloyd(points, resolved, centres, np.zeros(k, dtype=bool))
    label = distances(points, resolved, centres).argmin(axis=1)
    counts = np.bincount(label, minlength=k) + 1.0
    apart = points - centres[label]
    within = apart.T @ apart / len(points) + np.diag((1.0 - resolved).mean(axis=0)) + 0.05 * np.eye(q)
    weights = counts / counts.sum()
    return analyser.evolve(
        weights=np.tile(weights, (analyser.n_groups, 1)) if analyser.n_groups else weights,
        means=centres, covariances=np.tile(within, (k, 1, 1)),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Settling:
    """Rows as a common analyser sees them: components settle in its few factors while it stays as it is."""

    model: FactorModel
    rows: Summaries

    @classmethod
    def on(cls, model: FactorModel, analyser: FactorMixture, rows: Observations, rng: np.random.Generator) -> Settling:
        """On some of these rows."""
        few = _few(rows, _SETTLING_ROWS, rng)
        return cls(model, analyser.analysers[0].view(few, analyser.codes_of(few)).summaries)

    def settled(self, mixture: FactorMixture) -> tuple[FactorMixture, float]:
        """The mixture after some EM steps on the factors alone, and the objective that it had before the last."""
        objective, least = -np.inf, _SETTLED * float(self.rows.weights.sum())
        known = {"doubt": mixture.doubt, "scale": mixture.scale}
        # What loadings cost stays the same.
        mixture = mixture.evolve(doubt=None, scale=None)
        for _ in range(_STEPS):
            with np.errstate(divide="ignore"):
                log_weights = np.log(np.atleast_2d(mixture.weights))
            found = information.run(self.rows, log_weights, mixture.means, mixture.covariances)
            reached = float(self.rows.weights @ found.log_density) + self.model.log_prior(mixture)
            mixture = self.model.move_factors(mixture, found.counts, found.means, found.squares)
            if reached - objective < least:
                break
            objective = reached
        return mixture.evolve(**known), reached
