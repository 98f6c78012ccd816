"""Mixtures of factors: what is assumed of many variables that few factors move, and the M-step.

With priors the loadings of a variable, in units of its uniqueness, are normal about zero with one covariance for all
variables, which is learnt. They are integrated over, not maximised: variables with few values keep uncertain loadings
and say less. The objective is then a bound on the log evidence (variational EM; Bishop 1999 for one analyser,
Ghahramani & Beal 2000 for mixtures); without priors it is the log-likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mixsci.engine.execution import one_blas_thread
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels.information import packed, unpacked
from mixsci.engine.model import factor_priors as priors
from mixsci.engine.model.automatic import finds_number
from mixsci.engine.model.covariances import Families, Full, raise_eigenvalues
from mixsci.engine.model.factor_frame import centred, in_frame, moved, symmetric, total_covariance
from mixsci.engine.model.factor_regression import Coefficients, regress
from mixsci.engine.model.factor_sums import FactorStats
from mixsci.engine.model.model import choice
from mixsci.engine.model.weights import WEIGHTS
from mixsci.engine.tables import as_number, as_numbers, is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: Without priors a uniqueness keeps this share of the variance of its variable: the likelihood has no end.
_LEAST_SHARE = 1e-6
#: Least variance of a factor within components, where it is one over all; rounding keeps above `_NOTHING`.
_LEAST_SPREAD, _NOTHING = 1e-4, 1e-10
_FEWEST_ROWS = 1e-8
_CHOICES = {
    "loadings": ("common", "own"), "covariance": ("tied", "full"), "offsets": (None, "group"),
    "prior": (True, None, False),
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class FactorModel:
    """What is assumed of a mixture in few factors behind many variables; gaps and noise per value are exact.

    Args:
        n_components: K.
        n_factors: q.
        loadings: "common" to all components, or their "own" (then every component has factors N(0, I)).
        covariance: of the factors of common loadings: "tied" or "full" (one for each component).
        weights: "free" or `mixsci.weights.Free(...)`; per group where rows have groups.
        offsets: None or "group": every group shifts every variable by an amount of its own.
        prior: True, weakly informative priors that know no units; None, maximum likelihood.
        floor: least uniqueness, a share of the variance of its variable.
        variances: (D,) of the variables, for floor and priors; None = as the rows have them.

    Raises:
        DataError: choices that exclude each other.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> model = mx.FactorModel(n_components=3, n_factors=2)
        >>> model, model.n_free(20)
        (FactorModel(3 components, 2 common factors, tied), 85)
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(100, 1)) * np.linspace(1, 2, 20) + 0.1 * rng.normal(size=(100, 20))
        >>> x[rng.random(x.shape) < 0.5] = np.nan
        >>> filled, sd = mx.fit(mx.FactorModel(1, 1), x, rng=0).impute(x)
        >>> bool(np.isfinite(filled).all())
        True
    """

    n_components: int = 1
    n_factors: int = 2
    loadings: Literal["common", "own"] = "common"
    covariance: Literal["tied", "full"] = "tied"
    weights: Any = "free"
    offsets: Literal["group"] | None = None
    prior: bool | None = True
    floor: float = 0.005
    variances: Any = None

    def __post_init__(self) -> None:
        for name in ("n_components", "n_factors"):
            if not is_whole(getattr(self, name)):
                raise DataError(f"{name} must be a whole number, 1 or more; got {getattr(self, name)!r}")
            object.__setattr__(self, name, int(getattr(self, name)))
        for name, names in _CHOICES.items():
            if not any(getattr(self, name) is each or getattr(self, name) == each for each in names):
                raise DataError(f"{name} must be one of {', '.join(map(repr, names))}; got {getattr(self, name)!r}")
        object.__setattr__(self, "weights", choice("weights", self.weights, WEIGHTS))
        if self.weights.linked or finds_number(self):
            raise DataError("a mixture of factors has free weights; got a law: laws of weights go with mixsci.Model")
        self.weights.start(self.n_components, 1)
        if self.own and self.offsets is not None:
            raise DataError('offsets go with common loadings; got own ones: use loadings="common"')
        if not 0 <= as_number(self.floor, "floor") < 1:
            raise DataError(f"floor must be a share of the variance, in [0, 1); got {self.floor}")
        if self.variances is not None:
            object.__setattr__(self, "variances", _positive(self.variances))

    def __repr__(self) -> str:
        parts = (f"{self.n_components} components", f"{self.n_factors} {self.loadings} factors")
        return f"FactorModel({', '.join(parts if self.own else (*parts, self.covariance))})"

    @property
    def own(self) -> bool:
        """Whether every component has loadings of its own."""
        return self.loadings == "own"

    @property
    def pseudo_is_set(self) -> bool:
        """Uniquenesses keep a likelihood from running away."""
        return True

    def mask(self, what: str) -> Array:
        """(K,) nothing is frozen."""
        return np.zeros(self.n_components, dtype=bool)

    def resolve(self, variances: Array) -> FactorModel:
        """The model with the variances (D,) of the variables, from which it takes its floor and priors."""
        return replace(self, variances=variances)

    @property
    def floors(self) -> Array:
        """(D,) least uniquenesses."""
        return np.asarray(max(self.floor, _LEAST_SHARE) * self.variances)

    # The M-step

    def maximise(self, mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
        """M-step: a mixture of greater expected log-likelihood (and prior) given `stats` of `mixture`."""
        with one_blas_thread():
            return self._variables(self.move_factors(mixture, stats.grouped, stats.means, stats.squares), stats)

    def move_factors(self, mixture: FactorMixture, counts: Array, firsts: Array, squares: Array) -> FactorMixture:
        """New weights, and of common loadings new means and covariances of the factors.

        Args:
            mixture: as it was. counts: (G, K). firsts: (K, q) and squares: (K, q(q+1)/2) sums of r E v and r E v v'.
        """
        weights, _ = self.weights.maximise(counts, np.atleast_2d(mixture.weights), None, self.mask("weights"))
        changes: dict[str, Any] = {"weights": weights if mixture.n_groups else weights[0]}
        if mixture.n_groups:
            changes["group_rows"] = counts.sum(axis=1)
        if not self.own:
            rows = counts.sum(axis=0)
            alive = np.maximum(rows, _FEWEST_ROWS)
            means = np.where((rows > _FEWEST_ROWS)[:, None], firsts / alive[:, None], mixture.means)
            scatter = unpacked(squares, self.n_factors) - rows[:, None, None] * means[:, :, None] * means[:, None]
            changes |= {"means": means, "covariances": self._spread(mixture.covariances, symmetric(scatter), rows)}
        return mixture.evolve(**changes)

    def _spread(self, current: Array, scatter: Array, rows: Array) -> Array:
        """Covariances (K, q, q) of the factors; free ones are drawn towards their mean where there are priors."""
        # A floor that the last covariances keep: no step can lose by it.
        floor = np.full(len(rows), np.clip(np.linalg.eigvalsh(current).min(), _NOTHING, _LEAST_SPREAD))
        if self.covariance == "tied" or len(rows) == 1:
            pooled = scatter.sum(axis=0) / max(float(rows.sum()), _FEWEST_ROWS)
            return np.broadcast_to(raise_eigenvalues(pooled[None], floor[:1]), current.shape).copy()
        if self.prior:
            return priors.best_covariances(current, scatter, rows, floor)
        free = scatter / np.maximum(rows, _FEWEST_ROWS)[:, None, None]
        return np.where((rows > _FEWEST_ROWS)[:, None, None], raise_eigenvalues(free, floor), current)

    def _variables(self, mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
        """New loadings, intercepts, shifts and uniquenesses; then the frame of the factors is set anew."""
        scales = [None] * len(stats.regressions) if mixture.scale is None else mixture.scale
        found = [
            regress(sums, scale, mixture.shifts, self._shift_rows)
            for sums, scale in zip(stats.regressions, scales, strict=True)
        ]
        psi = self._uniquenesses(mixture, stats, found)
        loadings, change = (np.array([getattr(each, name) for each in found]) for name in ("loadings", "intercept"))
        level = np.atleast_2d(mixture.intercept) + change
        new = mixture.evolve(
            loadings=loadings if self.own else loadings[0], intercept=level if self.own else level[0],
            shifts=found[0].shifts, uniquenesses=psi, **self._known(mixture, stats, found, psi),
        )  # fmt: skip
        if self.own:
            return new
        return in_frame(centred(new, stats) if self.prior else moved(new, total_covariance(new)[0]))

    @property
    def _shift_rows(self) -> float:
        return priors.SHIFT_ROWS if self.prior else 0.0

    def _known(
        self, mixture: FactorMixture, stats: FactorStats, found: list[Coefficients], psi: Array
    ) -> dict[str, Array]:
        """What is known of the loadings and the scale of all, where there are priors."""
        if not self.prior:
            return {}
        # It is kept as it is, measured in the new uniquenesses where noise made them differ.
        ratio = mixture.uniquenesses / psi if stats.blurred else np.ones(len(psi))
        doubt = np.array([each.doubt * ratio[:, None] for each in found])
        scales = [
            priors.best_scale(each.loadings, part, psi, current, own=self.own)
            for each, part, current in zip(found, doubt, mixture.scale, strict=True)
        ]
        return {"doubt": doubt, "scale": np.array(scales)}

    def _uniquenesses(self, mixture: FactorMixture, stats: FactorStats, found: list[Coefficients]) -> Array:
        """(D,) what the factors leave, given the new loadings; what noise hides of it is expected (EM on e)."""
        sums = stats.blurred or stats.regressions
        left, rows = sum(each.left(part) for each, part in zip(found, sums, strict=True)), stats.seen
        total = left + stats.hidden * mixture.uniquenesses
        if self.prior:
            more, pseudo = self._from_priors(mixture, found, stats)
            total, rows = total + more, rows + pseudo
        return np.maximum(total / np.maximum(rows, _FEWEST_ROWS), self.floors)

    def _from_priors(
        self, mixture: FactorMixture, found: list[Coefficients], stats: FactorStats
    ) -> tuple[Array, float]:
        """(D,) sums of squares that priors add to what is left of each variable, and their pseudo-rows."""
        precisions, rows = np.linalg.inv(mixture.scale), priors.PSEUDO_ROWS
        total = (
            priors.PSEUDO_ROWS * priors.typical_share(mixture.uniquenesses, self.variances) * np.asarray(self.variances)
        )
        for each, precision in zip(found, precisions, strict=True):
            total = total + (each.loadings @ precision * each.loadings).sum(axis=1)
        if found[0].shifts is not None:
            total = total + priors.SHIFT_ROWS * (found[0].shifts ** 2).sum(axis=0)
        # With noise, what is known of loadings stays as it is while the uniqueness moves.
        for each, part, precision in zip(found, stats.blurred, precisions, strict=bool(stats.blurred)):
            total = total + mixture.uniquenesses * (each.spread(part) + each.pull(precision))
            rows += self.n_factors
        return total, rows

    def log_prior(self, mixture: FactorMixture) -> float:
        """What priors add to the objective: minus what is spent on loadings, uniquenesses, shifts and covariances."""
        total = float(self.weights.log_prior(np.atleast_2d(mixture.weights)))
        if not self.prior:
            return total
        total += priors.of_uniquenesses(mixture.uniquenesses, self.variances)
        if not self.own and self.covariance == "full" and self.n_components > 1:
            total += priors.of_covariances(mixture.covariances)
        if mixture.shifts is not None:
            total += priors.of_shifts(mixture.shifts, mixture.uniquenesses)
        if mixture.scale is not None and self.own:
            total += priors.of_scales(mixture.scale)
        return total - (0.0 if mixture.doubt is None else priors.cost_of_loadings(mixture))

    def n_free(self, n_variables: int, n_groups: int = 0) -> int:
        """Number of free parameters with D variables and G groups, what only turns the frame left out."""
        k, q, d, groups = self.n_components, self.n_factors, n_variables, max(n_groups, 1)
        total = int(self.weights.n_free(k, groups, self.mask("weights"))) + d
        if self.own:
            return total + k * (d * (q + 1) - q * (q - 1) // 2)
        spreads = (k if self.covariance == "full" else 1) * q * (q + 1) // 2
        shifts = (groups - 1) * d if self.offsets else 0
        return total + d * (q + 1) + shifts + k * q + spreads - q * (q + 1)

    # The coordinates in which a fit is accelerated: what rows say of loadings stays that of the last EM step

    def pack(self, mixture: FactorMixture) -> Array:
        """The free numbers of a mixture as one vector; `unpack` is its inverse."""
        return np.concatenate([part.ravel() for part in self._parts(mixture)])

    def unpack(self, vector: Array, like: FactorMixture) -> FactorMixture:
        """The mixture with these free numbers, brought back to the floors."""
        sizes = [part.size for part in self._parts(like)]
        parts = np.split(vector, np.cumsum(sizes)[:-1])
        weights, means, covariances, loadings, intercept, shifts, log_psi, scale = parts
        found, _ = self.weights.unpack(weights, np.atleast_2d(like.weights), None, self.mask("weights"))
        changes: dict[str, Any] = {
            "weights": found if like.weights.ndim == 2 else found[0],
            "loadings": loadings.reshape(like.loadings.shape),
            "intercept": intercept.reshape(like.intercept.shape),
            "uniquenesses": np.maximum(np.exp(np.clip(log_psi, -600, 600)), self.floors),
        }
        if not self.own:
            changes["means"] = means.reshape(like.means.shape)
            changes["covariances"] = self._structure.unpack(covariances, like.covariances, 0.0)
        if shifts.size:
            changes["shifts"] = shifts.reshape(like.shifts.shape)
        if scale.size:
            changes |= priors.with_scale(like, scale.reshape(len(like.scale), -1))
        return like.evolve(**changes)

    def sizes(self, mixture: FactorMixture) -> Array:
        """For every number of `pack` the size of a step that matters, about its standard error times sqrt(rows)."""
        weights, pooled = np.atleast_2d(mixture.weights), np.maximum(mixture.pooled_weights, 1e-6)
        sd, share = np.sqrt(mixture.uniquenesses), np.sqrt(pooled)[:, None] if self.own else np.ones((1, 1))
        means = spread = groups = np.empty(0)
        if not self.own:
            means = np.repeat(1.0 / np.sqrt(pooled), self.n_factors)
            spread = self._structure.spread(mixture.covariances, pooled)
        if mixture.shifts is not None:
            groups = np.tile(sd, mixture.n_groups) * np.sqrt(mixture.n_groups)
        level, scale = (sd / share).ravel(), self._parts(mixture)[-1]
        return np.concatenate([
            self.weights.spread(weights, self.mask("weights")), means, spread, np.repeat(level, self.n_factors), level,
            groups, np.full(len(sd), np.sqrt(2.0)), np.ones(scale.size),
        ])  # fmt: skip

    @property
    def _structure(self) -> Families:
        return Full(tied=self.covariance == "tied")

    def _parts(self, mixture: FactorMixture) -> tuple[Array, ...]:
        nothing = np.empty(0)
        return (
            self.weights.pack(np.atleast_2d(mixture.weights), None, self.mask("weights")),
            nothing if self.own else mixture.means,
            nothing if self.own else self._structure.pack(mixture.covariances),
            mixture.loadings, mixture.intercept,
            nothing if mixture.shifts is None else mixture.shifts,
            np.log(mixture.uniquenesses),
            nothing if mixture.scale is None else packed(priors.logarithms(mixture.scale)),
        )  # fmt: skip


def _positive(variances: Any) -> Array:
    found = as_numbers(variances, "variances").values.astype(float)
    if found.ndim != 1 or not (np.isfinite(found) & (found > 0)).all():
        raise DataError(f"variances must have shape (D,), be positive and finite; got shape {found.shape}")
    return found
