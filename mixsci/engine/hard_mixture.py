"""A mixture whose rows belong wholly to one component: the limit in which k-means is a mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixsci.engine.evaluate import evaluate
from mixsci.engine.execution import Workers
from mixsci.engine.kernels.layout import Shares, Sums
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_observations

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class HardMixture(Mixture):
    """A mixture whose rows each belong wholly to one component k, the one with the greatest w_k p_k(x).

    `log_density` is log max_k w_k p_k(x), responsibilities are 0 and 1, and what EM climbs is the classification
    likelihood (Celeux & Govaert 1992). With equal weights and spheres of one size it is k-means.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.array([[0.0], [1.0], [9.0], [10.0], [np.nan]])
        >>> model = mx.Model(2, covariance="tied_spherical", weights="equal", assignment="hard")
        >>> fit = mx.fit(model, x, rng=0)
        >>> fit.mixture.means.round(6).ravel(), fit.responsibilities(x[:3])
        (array([0.5, 9.5]), array([[1., 0.], [1., 0.], [0., 1.]]))
    """

    def __repr__(self) -> str:
        return f"Hard{super().__repr__()}"

    def shares(self, obs: Any, *, workers: Workers = None) -> Shares:
        """Both `log_density` (n,) and `responsibilities` (n, K) of rows, from one pass over them."""
        obs = as_observations(obs)
        soft = super().shares(obs, workers=workers)
        greatest = soft.responsibilities.max(axis=1)
        log_share = np.log(np.where(obs.seen().any(axis=1), greatest, 1.0))
        return Shares(soft.log_density + log_share, _wholly(soft.responsibilities), None, None)

    def sums(self, block: Observations, backend: str = "numba") -> Sums:
        """The sums of the E-step over a block: every component sees the rows that are its own."""
        soft, shares = evaluate(self, block, keep=1, backend=backend)
        assert shares is not None
        label = shares.responsibilities.argmax(axis=1)
        counts, g, F, H = (np.zeros_like(part) for part in (soft.counts, soft.g, soft.F, soft.H))
        log_likelihood = 0.0
        for k in np.unique(label):
            own, _ = evaluate(self._alone(int(k)), block.take(np.flatnonzero(label == k)), backend=backend)
            # Rows of unknown groups come after the known ones, where there are any.
            here = slice(len(own.counts))
            counts[here, k], g[here, k], F[here, k], H[k] = own.counts[:, 0], own.g[:, 0], own.F[:, 0], own.H[0]
            log_likelihood += own.log_likelihood
        return soft._replace(counts=counts, g=g, F=F, H=H, log_likelihood=log_likelihood, entropy=0.0)

    def _alone(self, k: int) -> Mixture:
        """Component k with its weight and nothing else."""
        return self.evolve(
            weights=self.weights[..., [k]], means=self.means[[k]], covariances=self.covariances[[k]],
            state_of_component=None,
        )  # fmt: skip

    def _posterior_by_component(self, block: Observations) -> tuple[Array, Array, Array]:
        share, means, spread = super()._posterior_by_component(block)
        return _wholly(share), means, spread


def _wholly(share: Array) -> Array:
    """Responsibilities (n, K) with everything given to the greatest, the first of equals."""
    return np.eye(share.shape[1])[share.argmax(axis=1)]
