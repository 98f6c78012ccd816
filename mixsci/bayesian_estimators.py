"""The scikit-learn face of mixtures that find their number of components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.variational_fit import VariationalFit
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import GaussWishart, InverseWishart
from mixsci.engine.model.weights import Annihilating, StickBreaking
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_numbers, refuse_unknown
from mixsci.errors import DataError
from mixsci.estimators import GaussianMixture, generator_of

Array = np.ndarray


class BayesianGaussianMixture(GaussianMixture):
    """A Gaussian mixture that finds its number of components, for rows with gaps and errors.

    Parameters are those of scikit-learn's class of that name where they have a meaning; all methods are those of
    `GaussianMixture`, of the components that are left.

    Args:
        n_components: how many components there may be at most.
        covariance_type: "full", "tied", "diag", "spherical", "tied_diag" or "tied_spherical"; with annihilating weights
            "scaled", too.
        tol: estimated remaining gain of the objective per row (nats), not the size of the last one.
        reg_covar: smallest eigenvalue allowed to a covariance, units of X squared; it is not added to anything.
        max_iter: passes over the data at most.
        n_init: short climbs of which the best goes on.
        random_state: None, a seed, or a generator of NumPy.
        verbose: show the climb where standard error is a terminal.
        weights: "stick-breaking", variational (Blei & Jordan 2006), or "annihilating", by message length (Figueiredo &
            Jain 2002).
        weight_concentration_prior: alpha of stick-breaking weights, above 0; None = 1.
        mean_precision_prior: how many rows the prior on means counts for; None = 0.01.
        mean_prior: (D,) where means are expected; None = the median of the rows.
        degrees_of_freedom_prior: of the prior on covariances; None = D (stick-breaking) or 1 (annihilating).
        covariance_prior: its scale, units of X squared: (D, D), (D,) variances or a number; None = from the data.

    Attributes:
        n_components_: how many components are left.
        weights_: (K,). means_: (K, D). covariances_: in the shape of `covariance_type`, see `GaussianMixture`.
        converged_, n_iter_: whether the last climb came to its end, and its passes over the data.
        lower_bound_: per row, the bound on the log evidence, or minus the length of the message. lower_bounds_: after
            each pass of the last climb.
        weight_concentration_: of stick-breaking weights, (a, b) of the posteriors Beta(a, b) of the sticks, (K,) each.
        mean_precision_, degrees_of_freedom_: (K,) of the posteriors of means and precisions, the same.
        n_features_in_, feature_names_in_: columns of X.
        fit_: the `Fit` behind all this.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> X = np.concatenate([rng.normal(-3, 1, (200, 2)), rng.normal(3, 1, (300, 2))])
        >>> X[::7, 0] = np.nan
        >>> mx.BayesianGaussianMixture(6, random_state=0).fit(X).weights_.round(2)
        array([0.6, 0.4])
    """

    def __init__(
        self,
        n_components: int = 10,
        *,
        covariance_type: Any = "full",
        tol: float = 1e-6,
        reg_covar: float = 1e-6,
        max_iter: int = 10_000,
        n_init: int = 10,
        random_state: Any = None,
        verbose: int = 0,
        weights: str = "stick-breaking",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state
        self.verbose = verbose
        self.weights = weights
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        noise: Any = None,
        projection: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> Self:
        """The estimator itself, fitted; see `GaussianMixture.fit`. Groups share the weights."""
        super().fit(X, noise=noise, projection=projection, sample_weight=sample_weight, groups=groups)
        self.n_components_ = self.fit_.mixture.n_components
        if isinstance(self.fit_, VariationalFit):
            known: Any = self.fit_
            model, counts = known.model, known.variational.counts
            self.weight_concentration_ = model.weights.sticks(counts)
            self.mean_precision_ = model.belief.mean_precision + counts
            self.degrees_of_freedom_ = model.freedom(counts)
        return self

    def _model(self) -> Model:
        return Model(
            self.n_components, covariance=self.covariance_type, weights=self._choice.law(self), floor=self.reg_covar
        )

    def _search(self, model: Model, obs: Observations) -> Fit:
        return fit(
            replace(model, prior=self._choice.prior(self, obs.n_dims)), obs, starts=self.n_init, tol=self.tol,
            max_iter=self.max_iter, rng=generator_of(self.random_state), progress=bool(self.verbose),
        )  # fmt: skip

    @property
    def _choice(self) -> _Choice:
        refuse_unknown(self.weights, _CHOICES, "weights")
        return _CHOICES[self.weights]


class _Choice(NamedTuple):
    """What makes weights and priors of an estimator's parameters."""

    law: Callable[[BayesianGaussianMixture], StickBreaking | Annihilating]
    prior: Callable[[BayesianGaussianMixture, int], GaussWishart | InverseWishart]


def _sticks(asked: BayesianGaussianMixture) -> StickBreaking:
    alpha = asked.weight_concentration_prior
    return StickBreaking() if alpha is None else StickBreaking(alpha)


def _belief(asked: BayesianGaussianMixture, d: int) -> GaussWishart:
    rows = asked.mean_precision_prior
    known = {} if rows is None else {"mean_precision": rows}
    return GaussWishart(
        mean=asked.mean_prior, dof=asked.degrees_of_freedom_prior, scale=_matrix(asked.covariance_prior, d), **known
    )


def _annihilating(asked: BayesianGaussianMixture) -> Annihilating:
    for name in ("weight_concentration_prior", "mean_precision_prior", "mean_prior"):
        if getattr(asked, name) is not None:
            raise DataError(f'{name} goes with weights="stick-breaking"; these are "annihilating": leave it None')
    return Annihilating()


def _pseudo(asked: BayesianGaussianMixture, d: int) -> InverseWishart:
    return InverseWishart(_matrix(asked.covariance_prior, d), asked.degrees_of_freedom_prior)


#: Kinds of weights by name.
_CHOICES = {
    "stick-breaking": _Choice(_sticks, _belief),
    "annihilating": _Choice(_annihilating, _pseudo),
}


def _matrix(scale: Any, d: int) -> Array | None:
    """(D, D) of a matrix, of variances (D,), or of one variance."""
    if scale is None:
        return None
    values = as_numbers(scale, "covariance_prior").values.astype(float)
    if values.shape not in ((), (d,), (d, d)):
        raise DataError(f"covariance_prior must be one variance, ({d},) or ({d}, {d}); got shape {values.shape}")
    return values if values.ndim == 2 else values * np.eye(d)
