"""What the data say about a mixture: sums over rows that are also the score, and the moments that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from mixsci.engine.mixture import Mixture

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Stats:
    """Sums over rows; `a + b` joins two blocks of rows.

    They are the score of the log-likelihood L: dL/dmeans = g, dL/dcovariances = H / 2, dL/dweights = counts / weights.

    Attributes:
        counts: (K,) or (G, K) expected rows per component: sum of r.
        background_count: expected rows of the background.
        g: (K, D) or (G, K, D) sum of r R'u, u = T^-1 (x - R mu), T = R Sigma R' + C.
        F: (K, D, D) or (G, K, D, D) sum of r R'T^-1 R: the information on the means.
        H: (K, D, D) sum of r R'(u u' - T^-1)R.
        log_likelihood: total, nats.
        entropy: - sum over rows and classes of r log r.
        n_rows: rows seen. row_weight: their weights, over rows with at least one observed value.
        failures: (K,) rows for which a component's spread T was singular.
    """

    counts: Array
    background_count: float
    g: Array
    F: Array
    H: Array
    log_likelihood: float
    entropy: float
    n_rows: int
    row_weight: float
    failures: Array

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @property
    def grouped(self) -> tuple[Array, Array, Array]:
        """counts (G, K), g (G, K, D), F (G, K, D, D), with G = 1 where rows have no groups."""
        k, d = self.g.shape[-2:]
        counts = self.counts.reshape(-1, k)
        return counts, self.g.reshape(len(counts), k, d), self.F.reshape(len(counts), k, d, d)


@dataclass(frozen=True, eq=False)
class Moments:
    """Expected moments of the latent points: counts (K,), means (K, D), scatter (K, D, D) about the new means."""

    counts: Array
    means: Array
    scatter: Array


def moments(mixture: Mixture, stats: Stats, moved: Array | None = None) -> Moments:
    """Expected latent moments after one E-step (the M-step of Bovy, Hogg & Roweis 2011, in increments).

    Args:
        moved: (G, K, D) change really made to the means (offsets included); None = to the expected latent means.
            Scatter is about the means so moved.
    """
    counts, g, _ = stats.grouped
    sigma, total = mixture.covariances, counts.sum(axis=0)
    step = np.einsum("kij,gkj->gki", sigma, g)
    free = step.sum(axis=0) / np.maximum(total, np.finfo(float).tiny)[:, None]
    if moved is None:
        moved = np.broadcast_to(free, step.shape)
    cross = np.einsum("gki,gkj->kij", step, moved)
    back = np.einsum("gk,gki,gkj->kij", counts, moved, moved)
    scatter = total[:, None, None] * sigma + sigma @ stats.H @ sigma - cross - cross.transpose(0, 2, 1) + back
    # Rounding asymmetry grows by a constant factor per step; left alone it ends the fit.
    return Moments(total, mixture.means + free, (scatter + scatter.transpose(0, 2, 1)) / 2)
