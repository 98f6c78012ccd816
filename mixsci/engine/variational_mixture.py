"""A mixture whose parameters are not known but have a posterior: what a variational fit climbs with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp

from mixsci.engine.kernels.layout import Sums
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations


@dataclass(frozen=True, eq=False, repr=False)
class VariationalMixture(Mixture):
    """Components of which only posteriors are known: Gaussian in the mean, Wishart in the precision, sticks in weights.

    `weights` and `means` are expected ones, `covariances` the inverses of the expected precisions; what a mixture says
    of rows is said at these. The E-step alone sees more: E log N(v; mu_k, Lambda_k^-1) is log N(v; m_k, Sigma_k) + c_k
    with one c_k at every v, so gaps, noise and projections are marginalised as ever, c_k in all D dimensions, and rows
    see component k with log weight E log w_k + c_k.

    Args:
        counts: (K,) rows that each component is expected to have, from which all posteriors follow; None in a start,
            which has none.
        log_shares: (K,) E log w_k + c_k with c_k = (E log det Lambda_k - log det E Lambda_k) / 2 - D / (2 beta_k).
    """

    counts: Any = None
    log_shares: Any = None

    def __repr__(self) -> str:
        return f"Variational{super().__repr__()}"

    @property
    def point(self) -> Mixture:
        """The mixture of the expected parameters."""
        return Mixture(self.weights, self.means, self.covariances, group_labels=self.group_labels)

    @property
    def seen_by_rows(self) -> Self:
        """The mixture that gives rows the shares that the posteriors give them."""
        if self.log_shares is None:
            return self
        shares = np.exp(self.log_shares - logsumexp(self.log_shares))
        return self.evolve(weights=np.broadcast_to(shares, self.weights.shape), log_shares=None)

    @property
    def by_component(self) -> tuple[str, ...]:
        """Names of the parts that have an entry for every component, weights aside."""
        return super().by_component if self.counts is None else (*super().by_component, "counts", "log_shares")

    def sums(self, block: Observations, backend: str = "numba") -> Sums:
        """The sums of the E-step over one block of rows; `log_likelihood` is their part of the evidence bound."""
        sums = super(VariationalMixture, self.seen_by_rows).sums(block, backend)
        if self.log_shares is None:
            return sums
        return sums._replace(log_likelihood=float(sums.log_likelihood + sums.row_weight * logsumexp(self.log_shares)))
