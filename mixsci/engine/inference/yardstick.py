"""Directions in which a mixture may move, and how far each goes in what one row says of its components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixsci.engine.inference.numbers import Layout
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import overall_variances
from mixsci.engine.model.statistics import Stats

Array = np.ndarray

#: What fewer expected rows than this speak for is not known.
FEWEST_ROWS = 0.5
#: Step of finite differences, and the largest share of a component's spread that a step may take.
STEP, LARGEST_SHARE = 1e-4, 0.05
#: Share of a component's own precision in the yardstick, so that what is never measured has a length too; and the share
#: of the variance of all rows that a component is taken to have for this at least.
_OWN, _LEAST_SPREAD = 1e-3, 1e-6
_TINY = 1e-304


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions by rows: what each does to theta (q, p) and to the numbers of the mixture (q, numbers)."""

    theta: Array
    numbers: Array

    def __len__(self) -> int:
        return len(self.theta)

    def combine(self, matrix: Array) -> Directions:
        """The directions whose shares of these are the columns of a matrix (q, r)."""
        return Directions(matrix.T @ self.theta, matrix.T @ self.numbers)

    @staticmethod
    def joined(*parts: Directions) -> Directions:
        """All directions of several."""
        return Directions(np.vstack([part.theta for part in parts]), np.vstack([part.numbers for part in parts]))


@dataclass(frozen=True, eq=False)
class Yardstick:
    """How far a direction goes: a length of one is what a single row leaves open of a mean or a spread, noise included.

    Weights are measured in shares of themselves, or of half a row where they are smaller.

    Args:
        mixture: where the directions begin. layout: of its numbers. stats: what the rows say of it.
    """

    mixture: Mixture
    layout: Layout
    stats: Stats

    @cached_property
    def group_rows(self) -> Array:
        """(G,) expected rows of each group, background left out, at least a little."""
        return np.maximum(self.stats.grouped[0].sum(axis=1), 1e-8)

    @cached_property
    def rows(self) -> Array:
        """(K,) expected rows of each component."""
        return np.asarray(self.stats.grouped[0].sum(axis=0))

    @cached_property
    def roots(self) -> Array:
        """(K, D, D) L with L L' what an average row of each component says of its mean."""
        some = (self.rows > 1e-8)[:, None, None]
        seen = self.stats.grouped[2].sum(axis=0)
        blur = np.diag(seen.sum(axis=0)) / self.rows.sum()
        least = overall_variances(self.mixture) + np.divide(1.0, blur, out=np.zeros(len(blur)), where=blur > 0)
        own = np.linalg.inv(self.mixture.covariances + _LEAST_SPREAD * np.diag(least))
        seen = seen / np.where(some, self.rows[:, None, None], 1.0)
        return np.linalg.cholesky(np.where(some, seen, own) + _OWN * own)

    @cached_property
    def own_roots(self) -> Array:
        """(K, D, D) L with L L' the precision of each component, its narrowest directions made a little wider."""
        least = 1e-12 * overall_variances(self.mixture)
        size = np.sqrt(np.maximum(np.diagonal(self.mixture.covariances, axis1=1, axis2=2), least))
        values, vectors = np.linalg.eigh(self.mixture.covariances / (size[:, :, None] * size[:, None, :]))
        values = np.sqrt(np.maximum(values, 1e-14 * np.maximum(values[:, -1:], 1e-2)))
        return vectors / values[:, None, :] / size[:, :, None]

    @property
    def least_weights(self) -> Array:
        """(G, 1) weights of half a row."""
        return FEWEST_ROWS / self.group_rows[:, None]

    def by_component(self, directions: Directions) -> Array:
        """(q, K) how far each takes weight, mean or covariance of each component, whichever goes farthest."""
        parts = self.layout.split(directions.numbers)
        weights = np.atleast_2d(self.mixture.weights)
        changed = np.abs(parts["weights"].reshape(len(directions), *weights.shape))
        return np.max([
            (changed / np.maximum(weights, self.least_weights)).max(axis=1),
            np.linalg.norm(np.einsum("kba,qkb->qka", self.roots, parts["means"]), axis=2),
            np.linalg.norm(congruent(parts["covariances"], self.roots), axis=(2, 3)),
        ], axis=0)  # fmt: skip

    def lengths(self, directions: Directions) -> Array:
        """(q,) how far each goes, in the part in which it goes farthest."""
        parts = self.layout.split(directions.numbers)
        sizes = [self.by_component(directions).max(axis=1)]
        if "offsets" in parts:
            rooted = np.einsum("kba,qgb->qgka", self.roots, parts["offsets"])
            sizes.append(np.linalg.norm(rooted, axis=3).max(axis=(1, 2)))
        if "background" in parts:
            share = self.mixture.background.weight
            least = FEWEST_ROWS / self.group_rows.sum()
            sizes.append(np.abs(parts["background"]) / max(share * (1.0 - share), least))
        return np.asarray(np.max(sizes, axis=0))

    def steps(self, directions: Directions, length: float = STEP) -> Array:
        """(q,) the step along each that has this length, or less where a covariance would lose its spread."""
        changed = congruent(self.layout.split(directions.numbers)["covariances"], self.own_roots)
        spread = np.linalg.norm(changed, axis=(2, 3)).max(axis=1)
        return np.minimum(
            length / np.maximum(self.lengths(directions), _TINY), LARGEST_SHARE / np.maximum(spread, _TINY)
        )

    def of_length_one(self, directions: Directions) -> Directions:
        """The same directions, each of length one."""
        by = 1.0 / np.maximum(self.lengths(directions), _TINY)[:, None]
        return Directions(directions.theta * by, directions.numbers * by)


def congruent(changes: Array, roots: Array) -> Array:
    """L' dSigma L of changes (..., K, D, D) of covariances, with L (K, D, D)."""
    return np.asarray(roots.transpose(0, 2, 1) @ changes @ roots)
