"""A model bundles the assumptions: what may vary, and how. Its M-step makes a new mixture from sums over rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from mixsci.engine.execution import one_blas_thread
from mixsci.engine.hard_mixture import HardMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.covariances import STRUCTURES
from mixsci.engine.model.law import WeightModel
from mixsci.engine.model.linear import precisions
from mixsci.engine.model.means import MEANS, Ladder, Offsets
from mixsci.engine.model.priors import Dirichlet, GaussWishart, Pseudo, no_prior
from mixsci.engine.model.statistics import Stats, moments
from mixsci.engine.model.weights import WEIGHTS, Free, StickBreaking
from mixsci.engine.tables import is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: What rows may belong to, and the kind of mixture in which they do.
KINDS: dict[str, type[Mixture]] = {"soft": Mixture, "hard": HardMixture}
#: A component with fewer expected rows keeps its mean: there is nothing to move it.
_FEWEST_ROWS = 1e-8


@dataclass(frozen=True, eq=False)
class Frozen:
    """What keeps its starting value: (K,) masks, or True for all components."""

    weights: Any = False
    means: Any = False
    covariances: Any = False

    def mask(self, what: str, k: int) -> Array:
        """(K,) mask of one kind of parameter."""
        mask = np.asarray(getattr(self, what), dtype=bool)
        if mask.shape not in ((), (k,)):
            raise DataError(f"frozen {what} must be one truth value or (K,) = ({k},); got shape {mask.shape}")
        return np.broadcast_to(mask, k).copy()


@dataclass(frozen=True, eq=False)
class Model:
    """What is assumed of a mixture.

    Args:
        n_components: K.
        covariance: "full", "tied", "diag", "spherical", "tied_diag", "tied_spherical", "scaled" (l_k C) or an object.
        weights: "free", "equal", "poisson" or an object of `mixsci.weights`.
        means: "free", or an object of `mixsci.means`.
        offsets: None, "group", or `Offsets(prior_sd)`: a shift for every group.
        background: None or `UniformBackground(low, high)`.
        prior: None, an object of `mixsci.prior`, or several.
        frozen: `Frozen(...)`: what keeps its starting value.
        floor: smallest eigenvalue allowed to a covariance, units of x squared.
        assignment: "soft", rows belong to every component with its probability; "hard", to the most probable one alone,
            and what is climbed is the classification likelihood (`HardMixture`).

    Raises:
        DataError: an unknown name, or choices that exclude each other.

    Example:
        >>> import mixsci as mx
        >>> mx.Model(n_components=2, covariance="tied").n_free(3)
        13
    """

    n_components: int = 1
    covariance: Any = "full"
    weights: Any = "free"
    means: Any = "free"
    offsets: Any = None
    background: UniformBackground | None = None
    prior: Any = None
    frozen: Frozen | None = None
    floor: float = 0.0
    assignment: str = "soft"

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (a frozen dataclass sets itself up)
        if not is_whole(self.n_components):
            raise DataError(f"n_components must be a whole number, 1 or more; got {self.n_components!r}")
        put("n_components", int(self.n_components))
        put("covariance", choice("covariance", self.covariance, STRUCTURES))
        put("weights", choice("weights", self.weights, WEIGHTS))
        put("means", choice("means", self.means, MEANS))
        put("offsets", _offsets(self.offsets))
        put("prior", _priors(self.prior))
        if self.background is not None and not isinstance(self.background, UniformBackground):
            raise DataError(f"background must be a UniformBackground; got {_say(self.background)}")
        frozen = Frozen() if self.frozen is None else self.frozen
        if not isinstance(frozen, Frozen):
            raise DataError(f"frozen must be a mixsci.Frozen(...); got {_say(self.frozen)}")
        put("frozen", frozen)
        put("masks", {what: frozen.mask(what, self.n_components) for what in ("weights", "means", "covariances")})
        if not (isinstance(self.floor, Real) and np.isfinite(self.floor) and self.floor >= 0):
            raise DataError(f"floor must be finite and not negative; got {self.floor}")
        for prior in self.prior:
            if isinstance(prior, Dirichlet):
                _require_free_weights(self.weights, "a Dirichlet prior")
                put("weights", replace(self.weights, dirichlet=prior.alpha))
        self._check_frozen()
        self._check_assignment()
        self._check_prior()
        # A law refuses a number of components that is not its own.
        self.weights.start(self.n_components, 1)

    def _check_frozen(self) -> None:
        if self.mask("weights").any():
            _require_free_weights(self.weights, "frozen weights")
        if self.mask("means").any() and not self.means.free:
            raise DataError("frozen means go with free means; hold a ladder's theta by means.Fixed")

    def _check_assignment(self) -> None:
        if not isinstance(self.assignment, str) or self.assignment not in KINDS:
            raise DataError(f"assignment must be one of {', '.join(map(repr, KINDS))}; got {_say(self.assignment)}")
        if self.kind is HardMixture and self.background is not None:
            raise DataError('assignment="hard" gives every row to a component: leave out the background')

    def _check_prior(self) -> None:
        if not isinstance(self.weights, StickBreaking) and any(isinstance(each, GaussWishart) for each in self.prior):
            raise DataError("a GaussWishart prior goes with StickBreaking weights; use InverseWishart beside others")

    @property
    def kind(self) -> type[Mixture]:
        """The kind of mixture that is fitted."""
        return KINDS[self.assignment]

    def __repr__(self) -> str:
        return f"Model({self.n_components} components, {self.covariance}, {type(self.weights).__name__} weights)"

    def mask(self, what: str) -> Array:
        """(K,) which of "weights", "means" or "covariances" are frozen."""
        found: Array = self.__dict__["masks"][what]
        return found

    def pseudo(self, d: int) -> Pseudo:
        """The prior on covariances as pseudo-data."""
        found = [prior.pseudo(d) for prior in self.prior if hasattr(prior, "pseudo")]
        return found[0] if found else no_prior(d)

    @property
    def anything_frozen(self) -> bool:
        """Whether some parameter keeps its starting value."""
        return any(bool(self.mask(what).any()) for what in ("weights", "means", "covariances"))

    @property
    def ordered(self) -> bool:
        """Whether something about the model gives its components an order."""
        factors = bool(getattr(self.covariance, "factors", ()))
        return self.anything_frozen or factors or np.ndim(getattr(self.weights, "dirichlet", 1.0)) > 0

    @property
    def pseudo_is_set(self) -> bool:
        """Whether a prior keeps covariances from collapsing."""
        return any(hasattr(prior, "pseudo") for prior in self.prior)

    def resolve(self, spread: Array) -> Model:
        """The model with everything set that it takes from the data's spread (D,)."""
        return replace(self, prior=tuple(
            prior.resolve(spread, self.n_components) if hasattr(prior, "resolve") else prior for prior in self.prior
        ))  # fmt: skip

    def maximise(self, mixture: Mixture, stats: Stats) -> Mixture:
        """M-step: the mixture of greatest expected posterior density given `stats` of `mixture`."""
        with one_blas_thread(mixture.n_dims):
            return self._maximised(mixture, stats)

    def _maximised(self, mixture: Mixture, stats: Stats) -> Mixture:
        counts, _, _ = stats.grouped
        means, theta, offsets, moved = self._locate(mixture, stats)
        scatter = moments(mixture, stats, moved).scatter
        weights, rates = self.weights.maximise(
            counts, np.atleast_2d(mixture.weights), _rates(mixture), self.mask("weights")
        )
        background = mixture.background
        if background is not None:
            background = background.maximise(stats.background_count, float(counts.sum()) + stats.background_count)
        covariances = self._spread(mixture, scatter, counts.sum(axis=0))
        grouped = mixture.weights.ndim == 2
        return mixture.evolve(
            weights=weights if grouped else weights[0],
            rates=rates if grouped or rates is None else rates[0],
            means=means, theta=theta, offsets=offsets, covariances=covariances, background=background,
            group_rows=counts.sum(axis=1) if grouped else None,
        )  # fmt: skip

    def _locate(self, mixture: Mixture, stats: Stats) -> tuple[Array, Array | None, Array | None, Array]:
        """New means, theta and offsets, and the change (G, K, D) really made to mu_k + b_g."""
        counts, g, _ = stats.grouped
        if self.means.free and mixture.offsets is None and not self.mask("covariances").any():
            change = np.where(self.mask("means")[:, None], 0.0, _free_steps(mixture, counts, g))
            return mixture.means + change, None, None, np.broadcast_to(change, g.shape)
        information, still = self._information(mixture, stats)
        change, theta = self.means.step(information.sum(axis=0), g.sum(axis=0), still, mixture.theta)
        change = np.where(
            self.mask("means")[:, None] | (counts.sum(axis=0) <= _FEWEST_ROWS)[:, None] & self.means.free, 0.0, change
        )
        means = mixture.means + change
        if mixture.offsets is None:
            return means, theta, None, np.broadcast_to(change, g.shape)
        left = g - np.einsum("gkij,kj->gki", information, change)
        shift = self.offsets.step(information.sum(axis=1), left.sum(axis=1), np.concatenate(still), mixture.offsets)
        moved = change + shift[:, None]
        means, offsets = self._centre(means, mixture.offsets + shift, counts.sum(axis=1))
        return means, theta, offsets, moved

    def _information(self, mixture: Mixture, stats: Stats) -> tuple[Array, list[Array]]:
        """Information (G, K, D, D) on the means, and the directions (c, D) in which each must not move.

        Where Sigma_k is held the latent points are not augmented and F is the information; else it is N_k Sigma_k^-1,
        read as a limit where Sigma_k is singular: a direction without spread does not move.
        """
        counts, _, seen = stats.grouped
        held = self.mask("covariances")
        precision, flat = precisions(mixture.covariances)
        information = np.where(held[:, None, None], seen, counts[..., None, None] * precision)
        nobody = counts.sum(axis=0) <= _FEWEST_ROWS
        still = [flat[k][:0] if held[k] or nobody[k] else flat[k] for k in range(len(held))]
        return information, still

    def _centre(self, means: Array, offsets: Array, rows: Array) -> tuple[Array, Array]:
        """Offsets of weighted mean zero, where their level is undetermined; the means take the rest."""
        if not self.centred:
            return means, offsets
        level = rows @ offsets / rows.sum() if rows.sum() > 0 else np.zeros(means.shape[1])
        return means + level, offsets - level

    @property
    def centred(self) -> bool:
        """Whether the level of the offsets is shared with the means, so that it is set to zero."""
        return (
            self.offsets is not None
            and self.offsets.prior_sd is None
            and self.means.free
            and not self.mask("means").any()
        )

    def _spread(self, mixture: Mixture, scatter: Array, counts: Array) -> Array:
        held = self.mask("covariances")
        if held.all():
            return np.asarray(mixture.covariances)
        out, free = mixture.covariances.copy(), ~held
        pseudo = self.pseudo(mixture.n_dims)
        found = self.covariance.maximise(scatter[free], counts[free], mixture.covariances[free], pseudo, self.floor)
        out[free] = found
        return out

    def log_prior(self, mixture: Mixture) -> float:
        """Log prior density of a mixture, up to a constant."""
        free = ~self.mask("covariances")
        total = float(self.weights.log_prior(np.atleast_2d(mixture.weights)))
        if free.any():
            total += self.covariance.log_prior(mixture.covariances[free], self.pseudo(mixture.n_dims))
        if mixture.offsets is not None and self.offsets is not None:
            total += self.offsets.log_prior(mixture.offsets)
        return total

    def n_free(self, n_dims: int, n_groups: int = 0) -> int:
        """Number of free parameters of a mixture in D dimensions with G groups."""
        k, groups = self.n_components, max(n_groups, 1)
        free = k - int(self.mask("covariances").sum())
        total = int(self.weights.n_free(k, groups, self.mask("weights")))
        total += self._n_free_places(n_dims, groups)
        total += self.covariance.n_free(free, n_dims) if free else 0
        return total + (0 if self.background is None else self.background.n_free)

    def _n_free_places(self, d: int, groups: int) -> int:
        """Free parameters of means and offsets; a level that both could carry counts once."""
        means = self.means.n_free(self.n_components, d) - int(self.mask("means").sum()) * d * self.means.free
        if self.offsets is None:
            return means
        if self.offsets.prior_sd is None and isinstance(self.means, Ladder):
            level = np.tile(np.eye(d), (self.n_components, 1))
            whole = np.hstack([self.means.design.reshape(len(level), -1), level])
            return int(np.linalg.matrix_rank(whole)) - d + groups * d
        return means + (groups - self.centred) * d

    # The coordinates in which a fit is accelerated: what is frozen or fixed is not in them

    def pack(self, mixture: Mixture) -> Array:
        """The free numbers of a mixture as one vector; `unpack` is its inverse."""
        return np.concatenate([part.ravel() for part in self._parts(mixture)])

    def unpack(self, vector: Array, like: Mixture) -> Mixture:
        """The mixture with these free numbers, all else as in `like`; covariances are brought back to the floor."""
        sizes = [part.size for part in self._parts(like)]
        weights, means, offsets, covariances, background = np.split(vector, np.cumsum(sizes)[:-1])
        held = self.mask("covariances")
        found, rates = self.weights.unpack(weights, np.atleast_2d(like.weights), _rates(like), self.mask("weights"))
        changes: dict[str, Any] = self._unpack_means(means, like)
        if not held.all():
            changes["covariances"] = like.covariances.copy()
            changes["covariances"][~held] = self.covariance.unpack(covariances, like.covariances[~held], self.floor)
        if offsets.size:
            changes["offsets"] = offsets.reshape(like.offsets.shape)
        if background.size:
            changes["background"] = replace(
                like.background, weight=float(1.0 / (1.0 + np.exp(np.clip(-background[0], -700, 700))))
            )
        grouped = like.weights.ndim == 2
        changes["rates"] = rates if grouped or rates is None else rates[0]
        return like.evolve(weights=found if grouped else found[0], **changes)

    def sizes(self, mixture: Mixture) -> Array:
        """For every number of `pack` the size of a step that matters, about its standard error times sqrt(rows)."""
        weights = np.atleast_2d(mixture.weights)
        pooled = np.maximum(mixture.pooled_weights, 1e-6)
        sd = np.sqrt(
            np.maximum(
                np.diagonal(mixture.covariances, axis1=1, axis2=2),
                np.maximum(1e-12 * overall_variances(mixture), 1e-100),
            )
        )
        held = self.mask("covariances")
        if mixture.theta is not None:
            means = 1.0 / np.sqrt(np.einsum("kip,ki->p", self.means.design**2, pooled[:, None] / sd**2) + 1e-300)
        else:
            means = (sd / np.sqrt(pooled)[:, None])[~self.mask("means")] if self.means.free else np.empty(0)
        typical = 1.0 / np.sqrt(np.einsum("k,ki->i", pooled, 1.0 / sd**2))
        offsets = np.empty(0)
        if mixture.offsets is not None:
            rows = np.full(mixture.n_groups, 1.0) if mixture.group_rows is None else mixture.group_rows
            offsets = typical / np.sqrt(rows / max(rows.sum(), 1e-300) + 1e-6)[:, None]
        spread = np.empty(0) if held.all() else self.covariance.spread(mixture.covariances[~held], pooled[~held])
        background = (
            np.empty(0) if self._background(mixture).size == 0 else 1.0 / np.sqrt([mixture.background.weight + 1e-6])
        )
        return np.concatenate([
            self.weights.spread(weights, self.mask("weights")), means.ravel(), offsets.ravel(), spread, background,
        ])  # fmt: skip

    def _parts(self, mixture: Mixture) -> tuple[Array, Array, Array, Array, Array]:
        held = self.mask("covariances")
        if mixture.theta is not None:
            means = mixture.theta
        else:
            means = mixture.means[~self.mask("means")] if self.means.free else np.empty(0)
        return (
            self.weights.pack(np.atleast_2d(mixture.weights), _rates(mixture), self.mask("weights")),
            means,
            np.empty(0) if mixture.offsets is None else mixture.offsets,
            np.empty(0) if held.all() else self.covariance.pack(mixture.covariances[~held]),
            self._background(mixture),
        )

    def _background(self, mixture: Mixture) -> Array:
        if mixture.background is None or mixture.background.fixed:
            return np.empty(0)
        weight = np.clip(mixture.background.weight, 1e-300, 1.0 - 1e-12)
        return np.array([np.log(weight) - np.log1p(-weight)])

    def _unpack_means(self, vector: Array, like: Mixture) -> dict[str, Any]:
        if like.theta is not None:
            return {"theta": vector, "means": self.means.means(vector)}
        if not vector.size:
            return {}
        means = like.means.copy()
        means[~self.mask("means")] = vector.reshape(-1, like.n_dims)
        return {"means": means}


def choice(what: str, value: Any, table: dict[str, Any]) -> Any:
    """The object that a name stands for in a table of choices; an object of such a kind stands for itself."""
    if isinstance(value, str) and value in table:
        return table[value]
    if isinstance(value, str) or not hasattr(value, "n_free"):
        raise DataError(f"{what} must be one of {', '.join(map(repr, table))} or an object; got {_say(value)}")
    return value


def _say(value: Any) -> str:
    """A value in one line: text as it is, anything else by its type."""
    return repr(value) if isinstance(value, str) else type(value).__name__


def _offsets(offsets: Any) -> Offsets | None:
    if offsets is None or isinstance(offsets, Offsets):
        return offsets
    if offsets is True or (isinstance(offsets, str) and offsets == "group"):
        return Offsets()
    raise DataError(f'offsets must be None, "group" or mixsci.Offsets(...); got {_say(offsets)}')


def _priors(prior: Any) -> tuple[Any, ...]:
    """The priors as a tuple: at most one on covariances and one on weights."""
    priors = () if prior is None else tuple(prior) if isinstance(prior, list | tuple) else (prior,)
    known = [each for each in priors if hasattr(each, "pseudo") or isinstance(each, Dirichlet)]
    on_weights = sum(isinstance(each, Dirichlet) for each in known)
    if len(known) < len(priors) or on_weights > 1 or len(known) - on_weights > 1:
        raise DataError(
            "prior must be an object of mixsci.prior, at most one on covariances and one on weights; got "
            + ", ".join(map(_say, priors))
        )
    return priors


def _require_free_weights(weights: WeightModel, what: str) -> None:
    if not isinstance(weights, Free):
        raise DataError(f"{what} goes with free weights; these are {type(weights).__name__}")


def _free_steps(mixture: Mixture, counts: Array, g: Array) -> Array:
    """(K, D) steps to the expected latent means; none for a component that has no rows."""
    total = counts.sum(axis=0)
    step = np.einsum("kij,kj->ki", mixture.covariances, g.sum(axis=0))
    return np.where((total > _FEWEST_ROWS)[:, None], step / np.maximum(total, _FEWEST_ROWS)[:, None], 0.0)


def _rates(mixture: Mixture) -> Array | None:
    """Rates (G,) or (G, T), with G = 1 where rows have no groups."""
    if mixture.rates is None:
        return None
    return np.asarray(mixture.rates if mixture.weights.ndim == 2 else mixture.rates[None])


def overall_variances(mixture: Mixture) -> Array:
    """(D,) variances of the mixture as a whole."""
    weights = mixture.pooled_weights
    means = weights @ mixture.means
    inside = weights @ np.diagonal(mixture.covariances, axis1=1, axis2=2)
    return np.maximum(inside + weights @ (mixture.means - means) ** 2, 1e-300)
