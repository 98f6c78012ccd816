"""The scikit-learn face: a mixture that fits rows with gaps and errors and stands in pipelines and searches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.start import Sketch, draw_start, sketch
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import expect
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import Dirichlet
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray


#: The default of reg_covar; variance of a column, in units of it, below which its components may not be seen.
_FLOOR, _WIDE = 1e-6, 30.0


class MixtureFace(DensityMixin, BaseEstimator):
    """What all faces share: rows checked as scikit-learn asks, what is learnt of a fit, what a fit says of rows.

    Methods that take rows stand in each face: scikit-learn reads from them what travels with the rows.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def sample(self, n_samples: int = 1, *, group: Any = None) -> tuple[Array, Array]:
        """Points (n_samples, D) without errors and the component (n_samples,) of each; -1 for the background."""
        if n_samples < 1:
            raise DataError(f"n_samples must be 1 or more; got {n_samples}")
        return self._found.sample(n_samples, rng=generator_of(self.random_state), group=group)

    def _checked(self, X: Any, *, reset: bool) -> Array:
        """Values (n, m) of X, after scikit-learn's checks."""
        if not reset:
            check_is_fitted(self)
        if isinstance(X, np.ma.MaskedArray):
            X = np.ma.filled(X.astype(float), np.nan)
        return np.asarray(
            validate_data(self, X, reset=reset, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan")
        )

    def _learn(self, found: Fit) -> None:
        """Keep a fit and what every face says of it."""
        names = getattr(self, "feature_names_in_", None)
        self.fit_ = found if names is None else replace(found, names=tuple(str(name) for name in names))
        self.weights_ = found.mixture.weights
        self.converged_, self.n_iter_ = found.converged, found.n_iter
        self.lower_bound_ = found.objective / found.n
        self.lower_bounds_ = [objective / found.n for objective in found.history]

    @property
    def _fitted(self) -> Fit:
        check_is_fitted(self)
        return self.fit_

    @property
    def _found(self) -> Mixture:
        return self._fitted.mixture

    def _judged(self, obs: Observations) -> Fit:
        """The fit with the log-likelihood, entropy and number of other rows."""
        stats = expect(self._found, obs)
        if stats.row_weight <= 0:
            raise DataError("at least one value must be observed in a row with weight; all are missing")
        return replace(self._fitted, log_likelihood=stats.log_likelihood, entropy=stats.entropy, n=stats.row_weight)


def _warn_of_units(obs: Observations, floor: float) -> None:
    """Say which columns vary so little that a floor which nobody asked for decides what is found in them."""
    if floor != _FLOOR:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without values
        variances = np.nanvar(np.asarray(obs.x, dtype=float), axis=0)
    small = np.flatnonzero((variances > 0) & (variances < _WIDE * floor))
    if len(small):
        names = obs.names or range(obs.width)
        listed = ", ".join(str(names[j]) for j in small[:5]) + (" ..." if len(small) > 5 else "")
        warnings.warn(
            f"columns must vary by far more than reg_covar={floor:g} allows for; {listed} have variances down to "
            f"{variances[small].min():.2g}: scale them, or lower reg_covar",
            stacklevel=3,
        )


class GaussianMixture(MixtureFace):
    """A Gaussian mixture with the interface of scikit-learn's class of that name, for rows with gaps and errors.

    NaN in X is a gap, marginalised. Errors go to the methods: `noise` takes what `Observations` takes, an object of
    `mixsci.noise` or (n, m, m) covariances. Where metadata are routed, `noise` and `projection` travel by default.

    Args:
        n_components: K.
        covariance_type: "full", "tied", "diag", "spherical", "tied_diag", "tied_spherical", "scaled" or an object of
            `mixsci.covariances`.
        tol: estimated remaining gain of the objective per row (nats), not the size of the last one.
        reg_covar: smallest eigenvalue allowed to a covariance, units of X squared; it is not added to anything.
        max_iter: passes over the data at most.
        n_init: starts. With "kmeans" they are short climbs of which the best goes on, else each is climbed to its end.
        init_params: "kmeans" (k-means++ with and without Lloyd's steps, gaps and errors respected), "k-means++"
            (without), "random_from_data" (means at random rows) or "random" (means of randomly weighted rows).
        weights_init: (K,) weights to begin from.
        means_init: (K, D) means to begin from; weights then begin equal.
        precisions_init: inverse covariances to begin from, in the shape of `covariances_`.
        random_state: None, a seed, or a generator of NumPy.
        warm_start: begin where the last fit ended.
        verbose: show the climb where standard error is a terminal.
        prior: an object of `mixsci.prior`, or several.
        background: `UniformBackground`; rows that belong to it are predicted as -1.
        weights: "free", "poisson" or an object of `mixsci.weights`.
        weight_concentration_prior: alpha >= 1 of a Dirichlet prior on free weights.

    Attributes:
        weights_: (K,), or (G, K) with groups. means_: (K, D).
        covariances_: (K, D, D) if "full", "scaled" or an object; (D, D) if "tied", (K, D) if "diag", (K,) if
            "spherical", (D,) if "tied_diag", () if "tied_spherical".
        precisions_, precisions_cholesky_: their inverses and the upper Cholesky factors of those, in the same shape;
            absent where a covariance is singular.
        converged_, n_iter_: whether the climb came to its end, and its passes over the data.
        lower_bound_: what was climbed (log-likelihood plus log prior), per row. lower_bounds_: after each pass.
        n_features_in_, feature_names_in_: columns of X.
        fit_: the `Fit` behind all this.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> X = np.concatenate([rng.normal(-3, 1, (200, 2)), rng.normal(3, 1, (300, 2))])
        >>> X[::7, 0] = np.nan
        >>> gm = mx.GaussianMixture(2, random_state=0).fit(X)
        >>> gm.weights_.round(2)
        array([0.6, 0.4])
    """

    # What rows cannot be understood without travels with them.
    __metadata_request__fit = {"noise": True, "projection": True}  # noqa: RUF012 (as scikit-learn reads it)
    __metadata_request__predict = __metadata_request__fit
    __metadata_request__predict_proba = __metadata_request__fit
    __metadata_request__score = __metadata_request__fit

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: Any = "full",
        tol: float = 1e-6,
        reg_covar: float = 1e-6,
        max_iter: int = 10_000,
        n_init: int = 10,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        prior: Any = None,
        background: Any = None,
        weights: Any = "free",
        weight_concentration_prior: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.prior = prior
        self.background = background
        self.weights = weights
        self.weight_concentration_prior = weight_concentration_prior

    # Fitting

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
        """The estimator itself, fitted.

        Args:
            X: (n, m) values; NaN, masked or pd.NA = missing.
            y: not looked at.
            noise: None, an object of `mixsci.noise`, or (n, m, m) covariances.
            projection: (m, D) or (n, m, D) what rows see of the latent points; None = the identity.
            sample_weight: (n,) weight 2 is the row twice, weight 0 the row absent.
            groups: (n,) labels; every group has weights of its own.

        Raises:
            DataError: rows or settings that cannot be used, in one sentence.
        """
        obs = self._observe(X, noise, projection, groups, sample_weight, reset=True)
        _warn_of_units(obs, self.reg_covar)
        found = self._search(self._model(), obs)
        self._knew_errors = obs.has_noise
        self._learn(found)
        self.means_ = found.mixture.means
        self.covariances_ = _shape_of(self.covariance_type).pack(found.mixture.covariances)
        return self

    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        *,
        noise: Any = None,
        projection: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> Array:
        """Labels (n,) of the rows that were fitted; see `fit` and `predict`."""
        self.fit(X, noise=noise, projection=projection, sample_weight=sample_weight, groups=groups)
        return self.predict(X, noise=noise, projection=projection, groups=groups)

    def _model(self) -> Model:
        prior = () if self.prior is None else self.prior if isinstance(self.prior, list | tuple) else (self.prior,)
        if self.weight_concentration_prior is not None:
            prior = (*prior, Dirichlet(self.weight_concentration_prior))
        return Model(
            self.n_components,
            covariance=self.covariance_type,
            weights=self.weights,
            background=self.background,
            prior=prior,
            floor=self.reg_covar,
        )

    def _search(self, model: Model, obs: Observations) -> Fit:
        """The best fit from the starts that the parameters ask for."""
        settings: dict[str, Any] = {"tol": self.tol, "max_iter": self.max_iter, "progress": bool(self.verbose)}
        if self.warm_start and hasattr(self, "fit_"):
            return fit(model, obs, start=self.fit_.mixture, **settings)
        rng, given = generator_of(self.random_state), self._given(model, obs.n_dims)
        if given is not None and not given.open:
            return fit(model, obs, start=given, **settings)
        if self.init_params == "kmeans":
            return fit(model, obs, start=given, starts=self.n_init, rng=rng, **settings)
        starts = self._starts(model, obs, given, rng)
        return max((fit(model, obs, start=start, rng=rng, **settings) for start in starts), key=_rank)

    def _given(self, model: Model, d: int) -> Mixture | None:
        """The mixture of what the user gave to begin from, the rest open; None where nothing was given."""
        if self.weights_init is None and self.means_init is None and self.precisions_init is None:
            return None
        k = model.n_components
        weights = np.full(k, np.nan if self.means_init is None or model.weights.linked else 1.0 / k)
        covariances = np.full((k, d, d), np.nan)
        if self.precisions_init is not None:
            covariances = _inverse(_shape_of(self.covariance_type).unpack(self.precisions_init, k, d))
        return Mixture(
            weights if self.weights_init is None else self.weights_init,
            np.full((k, d), np.nan) if self.means_init is None else self.means_init,
            covariances,
        )

    def _starts(
        self, model: Model, obs: Observations, given: Mixture | None, rng: np.random.Generator
    ) -> Iterator[Mixture]:
        """Mixtures to climb from, one for each of n_init."""
        if self.init_params not in ("k-means++", "random", "random_from_data"):
            raise DataError(
                f'init_params must be "kmeans", "k-means++", "random" or "random_from_data"; got {self.init_params!r}'
            )
        view = sketch(obs, rng, None)
        model = model.resolve(view.spread)
        for _ in range(self.n_init):
            if self.init_params == "k-means++":
                yield draw_start(model, view, rng, 1, given, obs.group_labels)
            else:
                yield _with_means(_random_means(self.init_params, view, model.n_components, rng), given, model)

    def _observe(
        self, X: Any, noise: Any, projection: Any, groups: Any, sample_weight: Any = None, *, reset: bool = False
    ) -> Observations:
        return Observations(self._checked(X, reset=reset), noise, projection, sample_weight, groups)

    # What the mixture says of rows

    def predict(self, X: Any, *, noise: Any = None, projection: Any = None, groups: Any = None) -> Array:
        """The most probable component (n,) of each row; -1 where the background is more probable than any."""
        return self._found.predict(self._observe(X, noise, projection, groups))

    def predict_proba(self, X: Any, *, noise: Any = None, projection: Any = None, groups: Any = None) -> Array:
        """Probabilities (n, K) of the components for each row; rows sum to 1 - P(background)."""
        return self._found.responsibilities(self._observe(X, noise, projection, groups))

    def score_samples(self, X: Any, *, noise: Any = None, projection: Any = None, groups: Any = None) -> Array:
        """Log density (n,) of each row as measured: errors added, gaps marginalised."""
        return self._found.log_density(self._observe(X, noise, projection, groups))

    def score(
        self,
        X: Any,
        y: Any = None,
        *,
        noise: Any = None,
        projection: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> float:
        """Mean log density of the rows with at least one observed value."""
        judged = self._judged(self._observe(X, noise, projection, groups, sample_weight))
        if noise is None and self._knew_errors:
            # Cross-validation that routes no metadata hands errors to fit alone.
            warnings.warn(
                "score takes these rows as exact, but fit knew of errors: pass noise=, in cross-validation after "
                "sklearn.set_config(enable_metadata_routing=True)",
                stacklevel=2,
            )
        return judged.log_likelihood / judged.n

    def bic(
        self, X: Any, *, noise: Any = None, projection: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> float:
        """Bayesian information criterion of the rows, -2 L + n_free log n; smaller is better."""
        return self._judged(self._observe(X, noise, projection, groups, sample_weight)).bic

    def aic(
        self, X: Any, *, noise: Any = None, projection: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> float:
        """Akaike information criterion of the rows, -2 L + 2 n_free; smaller is better."""
        return self._judged(self._observe(X, noise, projection, groups, sample_weight)).aic

    def icl(
        self, X: Any, *, noise: Any = None, projection: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> float:
        """Integrated completed likelihood of the rows, BIC + 2 entropy; smaller is better."""
        return self._judged(self._observe(X, noise, projection, groups, sample_weight)).icl

    def denoise(self, X: Any, *, noise: Any = None, projection: Any = None, groups: Any = None) -> tuple[Array, Array]:
        """Means (n, D) and covariances (n, D, D) of the latent points given the rows: errors removed, gaps filled."""
        return self._found.posterior(self._observe(X, noise, projection, groups))

    def impute(self, X: Any, *, noise: Any = None, projection: Any = None, groups: Any = None) -> Array:
        """X (n, m) with each gap at its expected value given the rest of its row; observed values stay as they are."""
        obs = self._observe(X, noise, projection, groups)
        points, _ = self._found.posterior(obs)
        if obs.projection is not None:
            points = np.einsum("...md,nd->nm" if obs.projection.ndim == 2 else "nmd,nd->nm", obs.projection, points)
        return np.where(obs.seen(), obs.x, points)

    @property
    def precisions_cholesky_(self) -> Array:
        """Upper Cholesky factors of the inverse covariances, in the shape of `covariances_`."""
        try:
            return _shape_of(self.covariance_type).precision_factors(self.covariances_)
        except np.linalg.LinAlgError:
            raise AttributeError("a covariance is singular: it has no precision; reg_covar > 0 avoids it") from None

    @property
    def precisions_(self) -> Array:
        """Inverse covariances, in the shape of `covariances_`."""
        factors = self.precisions_cholesky_
        if _shape_of(self.covariance_type).matrices:
            return factors @ factors.swapaxes(-1, -2)
        return factors**2


@dataclass(frozen=True)
class _Shape:
    """How covariances of one kind are written down: once if tied; as matrices, diagonals or single variances."""

    kind: str = "full"
    tied: bool = False

    @property
    def matrices(self) -> bool:
        """Whether whole matrices are written down."""
        return self.kind == "full"

    def pack(self, covariances: Array) -> Array:
        """The numbers written down for covariances (K, D, D)."""
        values = covariances[0] if self.tied else covariances
        if self.kind == "full":
            return values
        variances = np.diagonal(values, axis1=-2, axis2=-1)
        return variances.copy() if self.kind == "diag" else variances[..., 0].copy()

    def unpack(self, values: Any, k: int, d: int) -> Array:
        """Matrices (K, D, D) from numbers so written down."""
        values = np.asarray(values, dtype=float)
        wanted = self.pack(np.zeros((k, d, d))).shape
        if values.shape != wanted:
            raise DataError(f"precisions_init must have shape {wanted}; got {values.shape}")
        if self.kind != "full":
            values = (values[..., None] if self.kind == "diag" else values[..., None, None]) * np.eye(d)
        return np.broadcast_to(values, (k, d, d))

    def precision_factors(self, values: Array) -> Array:
        """Upper Cholesky factors of the inverses; raises LinAlgError where there is none."""
        if self.matrices:
            roots = np.linalg.cholesky(values)
            eye = np.eye(values.shape[-1])
            factors = [solve_triangular(root, eye, lower=True).T for root in roots.reshape(-1, *eye.shape)]
            return np.array(factors).reshape(values.shape)
        if not (values > 0).all():
            raise np.linalg.LinAlgError
        return 1.0 / np.sqrt(values)


_SHAPES = {
    "full": _Shape(),
    "tied": _Shape(tied=True),
    "diag": _Shape("diag"),
    "spherical": _Shape("spherical"),
    "tied_diag": _Shape("diag", tied=True),
    "tied_spherical": _Shape("spherical", tied=True),
    "scaled": _Shape(),
}


def _shape_of(covariance_type: Any) -> _Shape:
    return _SHAPES[covariance_type] if isinstance(covariance_type, str) else _SHAPES["full"]


def _rank(found: Fit) -> tuple[bool, float]:
    """A fit that ended on a mixture beats one that did not, however high a collapse climbs."""
    usable = found.outcome not in {Outcome.COLLAPSED, Outcome.NOT_FINITE}
    return usable, found.objective


def _inverse(precisions: Array) -> Array:
    """Covariances (K, D, D) of precisions."""
    lopsided = not np.allclose(precisions, precisions.swapaxes(-1, -2))
    if lopsided or not (np.isfinite(precisions).all() and (np.linalg.eigvalsh(precisions) > 0).all()):
        raise DataError("precisions_init must be symmetric and positive definite; it is not")
    covariances = np.linalg.inv(precisions)
    return (covariances + covariances.swapaxes(-1, -2)) / 2


def _random_means(init_params: str, view: Sketch, k: int, rng: np.random.Generator) -> Array:
    """(K, D) means at random rows, or of randomly weighted rows."""
    n = len(view.points)
    if init_params == "random_from_data":
        return view.points[rng.choice(n, size=k, replace=n < k)]
    share = rng.random((n, k))
    share /= share.sum(axis=1, keepdims=True)
    return (share / share.sum(axis=0)).T @ view.points


def _with_means(means: Array, given: Mixture | None, model: Model) -> Mixture:
    """A start with these means, equal weights and open covariances, but for what is given."""
    k, d = means.shape
    # A law that orders the components (more copies, further up) would be lost on means in random order.
    means = means[np.argsort(means.sum(axis=1))] if model.weights.linked else means
    weights = np.full(k, np.nan if model.weights.linked else 1.0 / k)
    if given is None:
        return Mixture(weights, means, np.full((k, d, d), np.nan))
    return Mixture(
        np.where(np.isnan(given.weights), weights, given.weights),
        np.where(np.isnan(given.means), means, given.means),
        given.covariances,
    )


def generator_of(random_state: Any) -> np.random.Generator:
    """NumPy's generator for what scikit-learn calls a random state."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(check_random_state(random_state).randint(2**31 - 1, size=4))
