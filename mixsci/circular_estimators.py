"""The scikit-learn face of mixtures with angles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.model.circular import CircularModel
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from mixsci.estimators import MixtureFace, generator_of

Array = np.ndarray


class VonMisesMixture(MixtureFace):
    """A mixture for angles, hues, hours, position angles, that knows that a circle has no ends; and for mixed rows.

    Every component is a product of von Mises densities, one for each angle, and a Gaussian in the other columns, if
    there are any. NaN in X is a gap, marginalised; errors go to the methods as `noise`, in the units of X.

    Args:
        n_components: K.
        period: of every angle, or one for each: 2 pi, 360 (degrees), 24 (hours), 180 (axes). Angles outside wrap.
        angles: numbers or names of the columns that are angles; None = all.
        covariance_type: of the other columns, as of `GaussianMixture`.
        tol: estimated remaining gain of the objective per row (nats).
        reg_covar: smallest eigenvalue allowed to a covariance, squared units of X; it is not added to anything.
        max_iter: passes over the data at most.
        n_init: short climbs of which the best goes on.
        random_state: None, a seed, or a generator of NumPy.
        verbose: show the climb where standard error is a terminal.
        prior: True, weak priors that keep components from collapsing onto one angle or point; objects of
            `mixsci.prior`, such as `Concentration`; None, maximum likelihood.
        background: `UniformBackground`; rows that belong to it are predicted as -1.
        weights: "free", "equal" or an object of `mixsci.weights` without a law.

    Attributes:
        weights_: (K,), or (G, K) with groups.
        means_: (K, m) mean directions of angles, in [0, period), and means of the other columns, in the units of X.
        kappas_: (K, A) concentrations of the angles; in radians a standard deviation of about 1 / sqrt(kappa).
        covariances_: (K, D, D) of the other columns.
        converged_, n_iter_: whether the climb came to its end, and its passes over the data.
        lower_bound_: what was climbed (log-likelihood plus log prior), per row. lower_bounds_: after each pass.
        n_features_in_, feature_names_in_: columns of X.
        fit_: the `Fit` behind all this.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(0)
        >>> hue = np.concatenate([rng.normal(0, 12, 200), rng.normal(120, 20, 100)])[:, None] % 360
        >>> reds, greens = mx.VonMisesMixture(2, period=360, random_state=0).fit(hue).means_[:, 0]
        >>> bool(min(reds, 360 - reds) < 3), bool(abs(greens - 120) < 8)
        (True, True)
    """

    # What rows cannot be understood without travels with them.
    __metadata_request__fit = {"noise": True}  # noqa: RUF012 (as scikit-learn reads it)
    __metadata_request__predict = __metadata_request__fit
    __metadata_request__predict_proba = __metadata_request__fit
    __metadata_request__score = __metadata_request__fit

    def __init__(
        self,
        n_components: int = 1,
        *,
        period: Any = 2.0 * np.pi,
        angles: Any = None,
        covariance_type: Any = "full",
        tol: float = 1e-6,
        reg_covar: float = 1e-6,
        max_iter: int = 10_000,
        n_init: int = 10,
        random_state: Any = None,
        verbose: int = 0,
        prior: Any = True,
        background: Any = None,
        weights: Any = "free",
    ) -> None:
        self.n_components = n_components
        self.period = period
        self.angles = angles
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state
        self.verbose = verbose
        self.prior = prior
        self.background = background
        self.weights = weights

    def fit(self, X: Any, y: Any = None, *, noise: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """The estimator itself, fitted.

        Args:
            X: (n, m) values; NaN, masked or pd.NA = missing.
            y: not looked at.
            noise: None, an object of `mixsci.noise`, or (n, m, m) covariances, without correlations of angles.
            sample_weight: (n,) weight 2 is the row twice, weight 0 the row absent.
            groups: (n,) labels; every group has weights of its own.

        Raises:
            DataError: rows or settings that cannot be used, in one sentence.
        """
        obs = self._observe(X, noise, groups, sample_weight, reset=True)
        found = fit(
            self._model(), obs, starts=self.n_init, tol=self.tol, max_iter=self.max_iter,
            rng=generator_of(self.random_state), progress=bool(self.verbose),
        )  # fmt: skip
        self._learn(found)
        mixture: Any = found.mixture
        self.means_, self.kappas_, self.covariances_ = (
            mixture.component_means(), mixture.concentrations, mixture.covariances
        )  # fmt: skip
        return self

    def fit_predict(
        self, X: Any, y: Any = None, *, noise: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> Array:
        """Labels (n,) of the rows that were fitted; see `fit` and `predict`."""
        self.fit(X, noise=noise, sample_weight=sample_weight, groups=groups)
        return self.predict(X, noise=noise, groups=groups)

    def _model(self) -> CircularModel:
        return CircularModel(
            self.n_components, angles=self._columns(), period=self.period, covariance=self.covariance_type,
            weights=self.weights, background=self.background, prior=self.prior, floor=self.reg_covar,
        )  # fmt: skip

    def _columns(self) -> list[Any] | None:
        """Numbers of the columns that are angles; None = all."""
        if self.angles is None:
            return None
        alone = isinstance(self.angles, str) or not isinstance(self.angles, Iterable)
        asked = [self.angles] if alone else list(self.angles)
        names = list(getattr(self, "feature_names_in_", ()))
        lost = [name for name in asked if isinstance(name, str) and name not in names]
        if lost:
            raise DataError(f"angles must name columns of X; {lost[0]!r} is none of {names}")
        found = [names.index(name) if isinstance(name, str) else name for name in asked]
        if any(isinstance(j, int | np.integer) and j >= self.n_features_in_ for j in found):
            raise DataError(f"angles must be columns of X, 0 to {self.n_features_in_ - 1}; got {asked}")
        return found

    def _observe(
        self, X: Any, noise: Any, groups: Any, sample_weight: Any = None, *, reset: bool = False
    ) -> Observations:
        return Observations(self._checked(X, reset=reset), noise, None, sample_weight, groups)

    # What the mixture says of rows

    def predict(self, X: Any, *, noise: Any = None, groups: Any = None) -> Array:
        """The most probable component (n,) of each row; -1 where the background is more probable than any."""
        return self._found.predict(self._observe(X, noise, groups))

    def predict_proba(self, X: Any, *, noise: Any = None, groups: Any = None) -> Array:
        """Probabilities (n, K) of the components for each row; rows sum to 1 - P(background)."""
        return self._found.responsibilities(self._observe(X, noise, groups))

    def score_samples(self, X: Any, *, noise: Any = None, groups: Any = None) -> Array:
        """Log density (n,) of each row as measured, per unit of every column: errors added, gaps marginalised."""
        return self._found.log_density(self._observe(X, noise, groups))

    def score(
        self, X: Any, y: Any = None, *, noise: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> float:
        """Mean log density of the rows with at least one observed value."""
        judged = self._judged(self._observe(X, noise, groups, sample_weight))
        return judged.log_likelihood / judged.n

    def bic(self, X: Any, *, noise: Any = None, sample_weight: Any = None, groups: Any = None) -> float:
        """Bayesian information criterion of the rows, -2 L + n_free log n; smaller is better."""
        return self._judged(self._observe(X, noise, groups, sample_weight)).bic

    def aic(self, X: Any, *, noise: Any = None, sample_weight: Any = None, groups: Any = None) -> float:
        """Akaike information criterion of the rows, -2 L + 2 n_free; smaller is better."""
        return self._judged(self._observe(X, noise, groups, sample_weight)).aic

    def icl(self, X: Any, *, noise: Any = None, sample_weight: Any = None, groups: Any = None) -> float:
        """Integrated completed likelihood of the rows, BIC + 2 entropy; smaller is better."""
        return self._judged(self._observe(X, noise, groups, sample_weight)).icl

    def impute(self, X: Any, *, noise: Any = None, groups: Any = None) -> Array:
        """X (n, m) with each gap filled: angles by the mean direction given the rest of the row, others by the mean."""
        return self._found.impute(self._observe(X, noise, groups))[0]
