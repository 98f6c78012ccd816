"""Several components for one cluster: components merged by the entropy of their responsibilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import xlogy

from mixsci.engine.em.result import mixture_of
from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import as_source
from mixsci.engine.tables import is_whole
from mixsci.errors import DataError

Array = np.ndarray
Clusters = tuple[tuple[int, ...], ...]

#: Entropy, nats per row, below which components are told apart as they are.
_CLEAR = 0.01


@dataclass(frozen=True, eq=False, repr=False)
class Merging:
    """Clusters made of components, for every number of them.

    Attributes:
        mixture: whose components they are.
        clusters: number of clusters -> the components of each, from all K apart down to one.
        entropy: number of clusters -> entropy of the rows' shares in them, nats, summed over rows.
        merged_rows: number of clusters -> expected rows of the two that were merged to come down to it; K -> 0.
    """

    mixture: Mixture = field(repr=False)
    clusters: dict[int, Clusters]
    entropy: dict[int, float]
    merged_rows: dict[int, float]

    def __repr__(self) -> str:
        return f"Merging({self.mixture.n_components} components, elbow at {self.elbow} clusters)"

    @property
    def elbow(self) -> int:
        """The number of clusters below which merging no longer removes much entropy.

        Entropy is drawn over the rows merged so far; of all pairs of lines that meet at a number of clusters the pair
        that fits best is taken (Baudry et al. 2010, section 4). With fewer than four components there is no telling,
        and where rows are in no doubt there is nothing to merge: the number of components.
        """
        numbers = sorted(self.clusters, reverse=True)
        if len(numbers) < 4 or self.entropy[numbers[0]] < _CLEAR * self.merged_rows[1]:
            return numbers[0]
        along = np.cumsum([self.merged_rows[k] for k in numbers])
        heights = np.array([self.entropy[k] for k in numbers])
        inside = range(1, len(numbers) - 1)
        return numbers[min(inside, key=lambda at: _misfit_of_lines(along, heights, at))]

    def labels(self, obs: Any, n_clusters: int, *, workers: Workers = None) -> Array:
        """The most probable cluster (n,) of each row; -1 where a background is more probable than any."""
        shares = self.probabilities(obs, n_clusters, workers=workers)
        found = shares.argmax(axis=1)
        return np.where(shares.max(axis=1) < 1.0 - shares.sum(axis=1), -1, found)

    def probabilities(self, obs: Any, n_clusters: int, *, workers: Workers = None) -> Array:
        """Probabilities (n, n_clusters) that each row belongs to each cluster: those of its components together."""
        if not is_whole(n_clusters) or n_clusters not in self.clusters:
            raise DataError(f"n_clusters must be from 1 to {self.mixture.n_components}; got {n_clusters!r}")
        return joined(self.mixture.responsibilities(obs, workers=workers), self.clusters[n_clusters])


def merge_components(fit: Any, obs: Any, *, workers: Workers = None) -> Merging:
    """Merge the components of a fit, two at a time, into clusters that rows can be told apart by.

    A cluster that is not Gaussian takes several components: BIC counts components, not clusters. At each step the two
    clusters are merged whose merging lowers the entropy of the rows' shares most (Baudry, Raftery, Celeux, Lo &
    Gottardo 2010); density and fit stay what they are.

    Args:
        fit: a `Fit` or a `Mixture`, of any kind.
        obs: rows, with gaps, errors, weights and groups as they are; or a source of blocks.
        workers: threads.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> ring = rng.uniform(0, np.pi, 300)
        >>> x = np.column_stack([np.cos(ring), np.sin(ring)]) + 0.05 * rng.normal(size=(300, 2))
        >>> x = np.concatenate([x, rng.normal([0, -3], 0.3, (150, 2))])
        >>> merging = mx.merge_components(mx.fit(mx.Model(5), x, rng=0), x)
        >>> sorted(np.bincount(merging.labels(x, 2)).tolist())
        [150, 300]
    """
    mixture = mixture_of(fit)
    clusters: Clusters = tuple((k,) for k in range(mixture.n_components))
    gains, rows, entropy = _sums(mixture, obs, workers)
    found, entropies, merged = {len(clusters): clusters}, {len(clusters): entropy}, {len(clusters): 0.0}
    while len(clusters) > 1:
        i, j = _most(gains)
        entropy -= gains[i, j]
        merged[len(clusters) - 1] = rows[i] + rows[j]
        clusters = _together(clusters, i, j)
        found[len(clusters)], entropies[len(clusters)] = clusters, max(float(entropy), 0.0)
        gains, rows, _ = _sums(mixture, obs, workers, clusters)
    return Merging(mixture, found, entropies, merged)


def joined(shares: Array, clusters: Clusters) -> Array:
    """(n, c) shares of clusters of components, from those of the components (n, K)."""
    return np.column_stack([shares[:, list(cluster)].sum(axis=1) for cluster in clusters])


def _sums(mixture: Mixture, obs: Any, workers: Workers, clusters: Clusters | None = None) -> tuple[Array, Array, float]:
    """(c, c) entropy that merging each pair removes, (c,) expected rows, and the entropy of the shares."""

    def of_block(block: Any) -> tuple[Array, Array, float]:
        shares = mixture.shares(block, workers=1).responsibilities
        shares = shares if clusters is None else joined(shares, clusters)
        weights = block.seen_weight
        alone = weights @ xlogy(shares, shares)
        # One row of pairs at a time: all at once would take (n, c, c) numbers.
        pairs = (shares[:, k : k + 1] + shares for k in range(shares.shape[1]))
        together = np.array([weights @ xlogy(pair, pair) for pair in pairs])
        return together - alone[:, None] - alone, weights @ shares, -float(alone.sum())

    parts = list(map_blocks(of_block, as_source(obs).blocks(), workers))
    gains, rows, entropy = (sum(part[i] for part in parts) for i in range(3))
    return np.asarray(gains), np.asarray(rows), float(entropy)


def _most(gains: Array) -> tuple[int, int]:
    """The pair i < j whose merging removes most."""
    i, j = np.triu_indices(len(gains), 1)
    best = int(np.argmax(gains[i, j]))
    return int(i[best]), int(j[best])


def _together(clusters: Clusters, i: int, j: int) -> Clusters:
    merged = tuple(sorted(clusters[i] + clusters[j]))
    return tuple(merged if k == i else cluster for k, cluster in enumerate(clusters) if k != j)


def _misfit_of_lines(along: Array, heights: Array, at: int) -> float:
    """Squared misfit of two lines that share the point number `at`."""
    return sum(_misfit_of_line(along[part], heights[part]) for part in (slice(0, at + 1), slice(at, None)))


def _misfit_of_line(x: Array, y: Array) -> float:
    design = np.column_stack([np.ones(len(x)), x])
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(((y - fitted) ** 2).sum())
