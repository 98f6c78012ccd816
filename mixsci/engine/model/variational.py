"""The model behind stick-breaking weights: its M-step gives posteriors, what it climbs is the evidence bound.

    bound = sum_i log sum_k exp(E log w_k + c_k) N(x_i; R_i m_k, R_i Sigma_k R_i' + C_i) - KL(posterior | prior)
    c_k = (E log det Lambda_k - log det E Lambda_k) / 2 - D / (2 beta_k),    Sigma_k = (E Lambda_k)^-1

With N_k rows expected of component k, beta_k = beta_0 + N_k and nu_k = nu_0 + N_k, and means and covariances follow
from the moments of the latent points (Bishop 2006, equations 10.58 to 10.63). The latent points of rows with gaps and
noise have a posterior of their own beside that of the parameters, so that the bound holds for them too.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from mixsci.engine.execution import one_blas_thread
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.automatic import StickBreaking, finds_number
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import GaussWishart
from mixsci.engine.model.statistics import Stats, moments
from mixsci.engine.model.wishart import Blocks, blocks_of
from mixsci.engine.variational_mixture import VariationalMixture
from mixsci.errors import DataError

Array = np.ndarray

#: Fewer expected rows than this are none.
_FEWEST_ROWS = 1e-10


class VariationalModel(Model):
    """A model with stick-breaking weights, whose mixtures are posteriors."""

    @property
    def kind(self) -> type[Mixture]:
        """The kind of mixture that is fitted."""
        return VariationalMixture

    @property
    def belief(self) -> GaussWishart:
        """The prior on means and covariances."""
        found: GaussWishart = self.prior[0]
        return found

    @property
    def blocks(self) -> Blocks:
        """How precisions fall into Wishart variables."""
        found = blocks_of(self.covariance)
        assert found is not None
        return found

    def freedom(self, counts: Array) -> Array:
        """(K,) degrees of freedom of the precisions, given expected rows (K,)."""
        return self._freedom_of_families(counts)[self._families(counts)]

    def maximise(self, mixture: Mixture, stats: Stats) -> Mixture:
        """M-step: the posterior of greatest evidence bound given `stats` of `mixture`."""
        self.pseudo(mixture.n_dims)  # refuses a prior that is not complete
        with one_blas_thread(mixture.n_dims):
            means = self._means(mixture, stats)
            counts = stats.grouped[0].sum(axis=0)
            return self.posterior(mixture, counts, means, self._covariances(mixture, stats, means))

    def posterior(self, like: Mixture, counts: Array, means: Array, covariances: Array) -> Mixture:
        """The posterior with these expected rows (K,), means and covariances; all else is as in `like`."""
        d = means.shape[1]
        cost = 0.5 * (self.blocks.log_det_excess(self.freedom(counts), d) - d / (self.belief.mean_precision + counts))
        weights = self.weights.weights(counts)
        return like.evolve(
            weights=weights if like.weights.ndim == 1 else np.tile(weights, (len(like.weights), 1)),
            means=means, covariances=covariances, counts=counts, log_shares=self.weights.log_weights(counts) + cost,
        )  # fmt: skip

    def _means(self, mixture: Mixture, stats: Stats) -> Array:
        counts, g, _ = stats.grouped
        rows, strength = counts.sum(axis=0)[:, None], self.belief.mean_precision
        latent = rows * mixture.means + np.einsum("kij,gkj->ki", mixture.covariances, g)
        return np.asarray((strength * self.belief.mean + latent) / (strength + rows))

    def _covariances(self, mixture: Mixture, stats: Stats, means: Array) -> Array:
        counts, g, _ = stats.grouped
        scatter = moments(mixture, stats, np.broadcast_to(means - mixture.means, g.shape)).scatter
        apart = means - self.belief.mean
        scatter = scatter + self.belief.mean_precision * apart[:, :, None] * apart[:, None, :]
        pseudo = self.pseudo(mixture.n_dims)
        found = self.covariance.maximise(scatter, counts.sum(axis=0), mixture.covariances, pseudo, self.floor)
        return np.asarray(found)

    def log_prior(self, mixture: Mixture) -> float:
        """Minus the divergence of the posterior from the prior; minus infinity of a mixture without a posterior."""
        counts = getattr(mixture, "counts", None)
        if counts is None:
            return -np.inf
        parts = self._divergence_of_means(mixture, counts), self._divergence_of_precisions(mixture, counts)
        return -float(self.weights.divergence(counts) + sum(parts))

    def _divergence_of_means(self, mixture: Mixture, counts: Array) -> float:
        d, strength = mixture.n_dims, self.belief.mean_precision
        apart = mixture.means - self.belief.mean
        distance = np.einsum("ki,ki->k", apart, np.linalg.solve(mixture.covariances, apart[..., None])[..., 0])
        share = strength / (strength + counts)
        return float(0.5 * np.sum(d * (share - 1.0 - np.log(share)) + strength * distance))

    def _divergence_of_precisions(self, mixture: Mixture, counts: Array) -> float:
        first = np.unique(self._families(counts), return_index=True)[1]
        pseudo = self.pseudo(mixture.n_dims)
        expected = self.covariance.shape(pseudo.scatter[None])[0] / pseudo.count
        freedom = self._freedom_of_families(counts)
        return self.blocks.divergence(mixture.covariances[first], freedom, expected, pseudo.count)

    def _families(self, counts: Array) -> Array:
        """(K,) code of the family of each component; one for all where covariances are tied."""
        codes, _ = self.covariance.families(len(counts))
        return np.asarray(codes)

    def _freedom_of_families(self, counts: Array) -> Array:
        """(f,) degrees of freedom of the precision of each family."""
        return np.asarray(self.belief.freedom + np.bincount(self._families(counts), weights=counts))

    # Expected rows, means and covariances are all the numbers there are

    def pack(self, mixture: Mixture) -> Array:
        """The free numbers of a posterior as one vector; `unpack` is its inverse."""
        counts = np.log(np.maximum(mixture.counts, _FEWEST_ROWS))  # type: ignore[attr-defined]
        return np.concatenate([counts, mixture.means.ravel(), self.covariance.pack(mixture.covariances)])

    def unpack(self, vector: Array, like: Mixture) -> Mixture:
        """The posterior with these free numbers; no component has more rows than all had together."""
        k, d = like.means.shape
        counts, means, covariances = np.split(vector, [k, k + k * d])
        most = float(np.log(like.counts.sum()))  # type: ignore[attr-defined]
        found = self.covariance.unpack(covariances, like.covariances, self.floor)
        return self.posterior(like, np.exp(np.minimum(counts, most)), means.reshape(k, d), found)


def assumed(model: Model, n_dims: int) -> Model:
    """The model that is climbed in D dimensions: weights that find the number of components know a component's size.

    Raises:
        DataError: a model that such weights do not go with.
    """
    if not finds_number(model):
        return model
    _refuse(model)
    structure = model.covariance
    parameters = n_dims + structure.n_free(2, n_dims) - structure.n_free(1, n_dims)
    model = replace(model, weights=model.weights.settled(parameters))
    if not isinstance(model.weights, StickBreaking) or isinstance(model, VariationalModel):
        return model
    parts = {field.name: getattr(model, field.name) for field in fields(model)}
    return VariationalModel(**{**parts, "prior": model.prior or GaussWishart()})


def _refuse(model: Model) -> None:
    """Refuse what weights that find the number of components do not go with."""
    law = type(model.weights).__name__
    if not model.means.free or model.anything_frozen or model.ordered:
        raise DataError(
            f"{law} weights remove components: means must be free, nothing frozen, covariances without factors"
        )
    if model.assignment != "soft":
        raise DataError(f'{law} weights share rows among components: leave out assignment="{model.assignment}"')
    if isinstance(model.weights, StickBreaking):
        _refuse_without_posterior(model)


def _refuse_without_posterior(model: Model) -> None:
    if model.background is not None or model.offsets is not None:
        raise DataError("StickBreaking weights know no background and no offsets: use Annihilating weights, which do")
    if blocks_of(model.covariance) is None:
        raise DataError(
            "StickBreaking weights go with full, diagonal or spherical covariances, each component's own or tied, and "
            f"Annihilating weights with 'scaled' and all others; got {model.covariance}"
        )
    if any(not isinstance(prior, GaussWishart) for prior in model.prior):
        raise DataError(
            f"the prior beside StickBreaking weights is a GaussWishart; got {type(model.prior[0]).__name__}"
        )
