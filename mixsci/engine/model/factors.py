"""Mixtures of factors: what is assumed of many variables that few factors move, and the M-step.

With priors the loadings of a variable, in units of its uniqueness, are normal about zero with one covariance for all
variables, which is learnt. They are integrated over, not maximised: variables with few values keep uncertain loadings
and say less. The objective is then a bound on the log evidence (variational EM; Bishop 1999 for one analyser, Ghahramani
& Beal 2000 for mixtures); without priors it is the log-likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from mixsci.engine.execution import one_blas_thread
from mixsci.engine.factor_mixture import FactorMixture, unpacked
from mixsci.engine.model.covariances import Families, Full, raise_eigenvalues
from mixsci.engine.model.factor_regression import Coefficients, regress
from mixsci.engine.model.factor_sums import FactorStats
from mixsci.engine.model.model import _choice, _whole
from mixsci.engine.model.weights import WEIGHTS
from mixsci.errors import DataError

Array = np.ndarray

#: Pseudo-rows of a uniqueness, around half of the variable's variance; and of a free covariance of factors, plus q.
_PSEUDO_ROWS, _HALF, _OWN_ROWS = 2.0, 0.5, 2.0
#: Precision of a shift in units of 1 / uniqueness: as if it had been seen so many times to be zero.
_SHIFT_ROWS = 2.0
#: Without priors a uniqueness keeps this share of the variance of its variable: the likelihood has no end.
_LEAST_SHARE = 1e-6
#: Least variance of a factor within components, where it is one over all; rounding keeps above `_NOTHING`.
_LEAST_SPREAD, _NOTHING = 1e-4, 1e-10
#: Pseudo-variables of the scale of own loadings, and the squared loading, in units of the uniqueness, they speak for.
_SCALE_ROWS, _SCALE = 1.0, 0.01
_FEWEST_ROWS = 1e-8


@dataclass(frozen=True, eq=False)
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

    Raises:
        DataError: choices that exclude each other.

    Example:
        >>> import mixsci as mx
        >>> mx.FactorModel(n_components=3, n_factors=2).n_free(20)
        85
    """

    n_components: int = 1
    n_factors: int = 2
    loadings: Literal["common", "own"] = "common"
    covariance: Literal["tied", "full"] = "tied"
    weights: Any = "free"
    offsets: Literal["group"] | None = None
    prior: bool | None = True
    floor: float = 0.05
    variances: Any = None

    def __post_init__(self) -> None:
        for name in ("n_components", "n_factors"):
            if not _whole(getattr(self, name)):
                raise DataError(f"{name} must be a whole number, 1 or more; got {getattr(self, name)!r}")
            object.__setattr__(self, name, int(getattr(self, name)))
        for name, names in _CHOICES.items():
            if getattr(self, name) not in names:
                raise DataError(f"{name} must be one of {', '.join(map(repr, names))}; got {getattr(self, name)!r}")
        object.__setattr__(self, "weights", _choice("weights", self.weights, WEIGHTS))
        if self.weights.linked:
            raise DataError("a mixture of factors has free weights: linked ones go with mixsci.Model")
        if self.own and self.offsets is not None:
            raise DataError('offsets go with common loadings: components of their own cannot share a shift, use "common"')
        if not 0 <= float(self.floor) < 1:
            raise DataError(f"floor must be a share of the variance, in [0, 1); got {self.floor}")

    def __repr__(self) -> str:
        return f"FactorModel({self.n_components} components, {self.n_factors} {self.loadings} factors, {self.covariance})"

    @property
    def own(self) -> bool:
        """Whether every component has loadings of its own."""
        return self.loadings == "own"

    @property
    def analysers(self) -> int:
        """Number of analysers: 1, or one for each component."""
        return self.n_components if self.own else 1

    @property
    def pseudo_is_set(self) -> bool:
        """Uniquenesses keep a likelihood from running away."""
        return True

    def mask(self, what: str) -> Array:
        """(K,) nothing is frozen."""
        return np.zeros(self.n_components, dtype=bool)

    def resolve(self, variances: Array) -> FactorModel:
        """The model with the variances (D,) of the variables, from which it takes its floor and priors."""
        return replace(self, variances=np.asarray(variances, dtype=float))

    @property
    def floors(self) -> Array:
        """(D,) least uniquenesses."""
        return np.asarray(max(self.floor, _LEAST_SHARE) * self.variances)

    def maximise(self, mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
        """M-step: a mixture of greater expected log-likelihood (and prior) given `stats` of `mixture`."""
        with one_blas_thread():
            return self._variables(self.move_factors(mixture, stats.grouped, stats.means, stats.squares), stats)

    def move_factors(self, mixture: FactorMixture, counts: Array, firsts: Array, squares: Array) -> FactorMixture:
        """New weights, and of common loadings new means and covariances of the factors.

        Args:
            counts: (G, K). firsts: (K, q) and squares: (K, q(q+1)/2) sums of r E v and r E v v'.
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
            changes |= {"means": means, "covariances": self._spread(mixture.covariances, scatter, rows)}
        return mixture.evolve(**changes)

    def _spread(self, current: Array, scatter: Array, rows: Array) -> Array:
        """Covariances (K, q, q) of the factors; free ones are drawn towards their mean by a few pseudo-rows.

        The log prior is -v/2 (K log det mean_k S_k - sum_k log det S_k): it knows no frame. Its first term is bounded
        below by its tangent, and what is left is maximised in closed form, v S M^-1 S + (N_k - v) S = scatter_k.
        """
        k, q = len(rows), self.n_factors
        scatter = _symmetric(scatter)
        # A floor that the last covariances keep: no step can lose by it.
        floor = np.full(k, np.clip(np.linalg.eigvalsh(current).min(), _NOTHING, _LEAST_SPREAD))
        if self.covariance == "tied" or k == 1:
            pooled = scatter.sum(axis=0) / max(float(rows.sum()), _FEWEST_ROWS)
            return np.broadcast_to(raise_eigenvalues(pooled[None], floor[:1]), current.shape).copy()
        if not self.prior:
            free = scatter / np.maximum(rows, _FEWEST_ROWS)[:, None, None]
            return np.where((rows > _FEWEST_ROWS)[:, None, None], raise_eigenvalues(free, floor), current)
        pseudo, root = q + _OWN_ROWS, np.linalg.cholesky(current.mean(axis=0))
        inside = np.linalg.solve(root, np.linalg.solve(root, scatter).transpose(0, 2, 1))
        values, vectors = np.linalg.eigh((inside + inside.transpose(0, 2, 1)) / 2)
        lack = pseudo - rows[:, None]
        # The positive root, written so that nothing cancels where rows are many.
        size = np.sqrt(lack**2 + 4.0 * pseudo * np.maximum(values, 0.0))
        sizes = np.where(lack > 0, (lack + size) / (2.0 * pseudo), 2.0 * np.maximum(values, 0.0) / (size - lack))
        turned = root @ vectors
        return raise_eigenvalues(_symmetric((turned * sizes[:, None, :]) @ turned.transpose(0, 2, 1)), floor)

    def _variables(self, mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
        """New loadings, intercepts, shifts and uniquenesses; then the frame of the factors is set anew."""
        shift_rows = _SHIFT_ROWS if self.prior else 0.0
        found = [
            regress(
                sums, None if mixture.scale is None else mixture.scale[c], mixture.shifts, mixture.loadings.shape[-2:],
                shift_rows,
            )
            for c, sums in enumerate(stats.regressions)
        ]  # fmt: skip
        psi = self._uniquenesses(mixture, stats, found, shift_rows)
        # What is known of loadings is kept as it is, measured in the new uniquenesses where noise made them differ.
        ratio = mixture.uniquenesses / psi if stats.blurred else np.ones(len(psi))
        doubt = scale = None
        if self.prior:
            doubt = np.array([each.doubt * ratio[:, None] for each in found])
            seen = [
                (each.loadings / psi[:, None]).T @ each.loadings + unpacked(part, self.n_factors).sum(axis=0)
                for each, part in zip(found, doubt, strict=True)
            ]
            scale = (np.array(seen) + self._least_scale * np.eye(self.n_factors)) / (len(psi) + self._scale_rows)
        stacked = lambda name: np.array([getattr(each, name) for each in found])  # noqa: E731 (one for each analyser)
        level = np.atleast_2d(mixture.intercept) + stacked("intercept")
        new = mixture.evolve(
            loadings=stacked("loadings") if self.own else found[0].loadings,
            intercept=level if self.own else level[0],
            shifts=None if mixture.shifts is None else found[0].shifts,
            uniquenesses=psi, doubt=doubt, scale=scale,
        )  # fmt: skip
        if self.own:
            return new
        return in_frame(_centred(new, stats) if self.prior else recentred(new))

    @property
    def _scale_rows(self) -> float:
        """Pseudo-variables of the prior of the scale of loadings: factors of their own that nothing needs come to rest.

        Common factors have no frame that such a prior could know, and need none.
        """
        return _SCALE_ROWS if self.own else 0.0

    @property
    def _least_scale(self) -> float:
        return _SCALE_ROWS * _SCALE if self.own else 0.0

    def _uniquenesses(
        self, mixture: FactorMixture, stats: FactorStats, found: list[Coefficients], shift_rows: float
    ) -> Array:
        """(D,) what the factors leave, given the new loadings; what noise hides of it is expected (EM on e)."""
        sums = stats.blurred or stats.regressions
        left = sum(each.left(part) for each, part in zip(found, sums, strict=True))
        rows = stats.seen
        total = left + stats.hidden * mixture.uniquenesses
        if self.prior:
            assert mixture.scale is not None
            precision = np.linalg.inv(mixture.scale)
            total = total + sum(
                np.einsum("di,ij,dj->d", each.loadings, precision[c], each.loadings) for c, each in enumerate(found)
            )
            if mixture.shifts is not None:
                total = total + shift_rows * (found[0].shifts ** 2).sum(axis=0)
            total, rows = total + _PSEUDO_ROWS * _HALF * self.variances, rows + _PSEUDO_ROWS
            if stats.blurred:
                # Here what is known of loadings stays as it is while the uniqueness moves.
                known = sum(each.spread(part) + each.pull(precision[c]) for c, (each, part) in enumerate(zip(found, sums, strict=True)))  # noqa: E501
                total, rows = total + mixture.uniquenesses * known, rows + self.analysers * self.n_factors
        return np.maximum(total / np.maximum(rows, _FEWEST_ROWS), self.floors)

    def log_prior(self, mixture: FactorMixture) -> float:
        """What priors add to the objective: minus what is spent on loadings, uniquenesses, shifts and covariances."""
        total = float(self.weights.log_prior(np.atleast_2d(mixture.weights)))
        if not self.prior:
            return total
        if not self.own and self.covariance == "full" and self.n_components > 1:
            each, whole = np.linalg.slogdet(mixture.covariances)[1], np.linalg.slogdet(mixture.covariances.mean(axis=0))[1]
            total += 0.5 * (self.n_factors + _OWN_ROWS) * float((each - whole).sum())
        psi = mixture.uniquenesses
        total -= 0.5 * _PSEUDO_ROWS * float((np.log(psi / self.variances) + _HALF * self.variances / psi).sum())
        if mixture.shifts is not None:
            total -= 0.5 * _SHIFT_ROWS * float((mixture.shifts**2 / psi).sum())
        if mixture.scale is not None and self.own:
            traces = np.trace(np.linalg.inv(mixture.scale), axis1=1, axis2=2)
            total -= 0.5 * float((self._scale_rows * np.linalg.slogdet(mixture.scale)[1] + self._least_scale * traces).sum())
        return total - (0.0 if mixture.doubt is None else _cost_of_loadings(mixture))

    def n_free(self, n_variables: int, n_groups: int = 0) -> int:
        """Number of free parameters with D variables and G groups, what only turns the frame left out."""
        k, q, groups = self.n_components, self.n_factors, max(n_groups, 1)
        total = int(self.weights.n_free(k, groups, self.mask("weights"))) + n_variables
        if self.own:
            return total + k * (n_variables * (q + 1) - q * (q - 1) // 2)
        shifts = (groups - 1) * n_variables if self.offsets else 0
        square = q * (q + 1) // 2
        return total + n_variables * (q + 1) + shifts + k * q + square * (k if self.covariance == "full" else 1) - q * (q + 1)

    # The coordinates in which a fit is accelerated: what is known of loadings stays that of the last EM step

    def pack(self, mixture: FactorMixture) -> Array:
        """The free numbers of a mixture as one vector; `unpack` is its inverse, `doubt` and `scale` left as they are."""
        return np.concatenate([part.ravel() for part in self._parts(mixture)])

    def unpack(self, vector: Array, like: FactorMixture) -> FactorMixture:
        """The mixture with these free numbers, brought back to the floors."""
        parts = self._parts(like)
        pieces = np.split(vector, np.cumsum([part.size for part in parts])[:-1])
        weights, means, covariances, loadings, intercept, shifts, log_psi = pieces
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
        return like.evolve(**changes)

    def sizes(self, mixture: FactorMixture) -> Array:
        """For every number of `pack` the size of a step that matters, about its standard error times sqrt(rows)."""
        weights, pooled = np.atleast_2d(mixture.weights), np.maximum(mixture.pooled_weights, 1e-6)
        sd, q = np.sqrt(mixture.uniquenesses), self.n_factors
        share = np.sqrt(pooled)[:, None] if self.own else np.ones((1, 1))
        own = np.empty(0)
        spread = own
        if not self.own:
            own = np.repeat(1.0 / np.sqrt(pooled), q)
            spread = self._structure.spread(mixture.covariances, pooled)
        groups = np.empty(0)
        if mixture.shifts is not None:
            groups = np.tile(sd, mixture.n_groups) * np.sqrt(mixture.n_groups)
        level = (sd / share).ravel()
        return np.concatenate([
            self.weights.spread(weights, self.mask("weights")), own, spread, np.repeat(level, q), level, groups,
            np.full(len(sd), np.sqrt(2.0)),
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
        )  # fmt: skip


_CHOICES = {"loadings": ("common", "own"), "covariance": ("tied", "full"), "offsets": (None, "group")}


# The frame of the factors


def total_covariance(mixture: FactorMixture) -> tuple[Array, Array]:
    """Mean (q,) and covariance (q, q) of all factors."""
    weights = mixture.pooled_weights
    mean = weights @ mixture.means
    apart = mixture.means - mean
    return mean, np.einsum("k,kij->ij", weights, mixture.covariances) + (weights[:, None] * apart).T @ apart


def in_frame(mixture: FactorMixture, turn: Array | None = None) -> FactorMixture:
    """The same mixture with factors of total covariance one, perhaps turned: the loadings take the change."""
    _, whole = total_covariance(mixture)
    values, vectors = np.linalg.eigh(whole)
    root = np.sqrt(np.maximum(values, np.finfo(float).tiny))
    forth, back = (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
    if turn is not None:
        forth, back = forth @ turn, turn.T @ back
    changes = {
        "loadings": mixture.loadings @ forth,
        "means": mixture.means @ back.T,
        "covariances": _symmetric(back @ mixture.covariances @ back.T),
    }
    if mixture.doubt is not None:
        a, b = np.tril_indices(len(values))
        changes["doubt"] = (forth.T @ unpacked(mixture.doubt, len(values)) @ forth)[..., a, b]
        changes["scale"] = _symmetric(forth.T @ mixture.scale @ forth)
    return mixture.evolve(**changes)


def recentred(mixture: FactorMixture, by: Array | None = None) -> FactorMixture:
    """The same mixture with factors of mean zero (or moved by -`by`): the intercept takes the change."""
    mean = total_covariance(mixture)[0] if by is None else by
    return mixture.evolve(means=mixture.means - mean, intercept=mixture.intercept + mixture.loadings @ mean)


def _centred(mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
    """The mixture with its factors moved to where uncertain loadings do least harm: the bound rises."""
    (sums,) = stats.regressions
    doubt, rows, along = unpacked(mixture.doubt[0], mixture.n_dims), sums.one.sum(axis=0), sums.v.sum(axis=0)
    whole = np.einsum("d,dij->ij", rows, doubt)
    pull = np.einsum("dij,dj->i", doubt, along)
    return recentred(mixture, np.linalg.lstsq(whole, pull, rcond=None)[0])


def principal(mixture: FactorMixture) -> FactorMixture:
    """The mixture as users get it: what is uncertain of loadings left out, factors of mean zero and covariance one.

    Factors come in the order of what they explain, each turned so that most of its loadings are positive; the shifts
    of groups have mean zero over rows.
    """
    plain = mixture.evolve(doubt=None, scale=None)
    if plain.shifts is not None:
        rows = np.ones(plain.n_groups) if plain.group_rows is None else plain.group_rows
        level = rows @ plain.shifts / rows.sum()
        plain = plain.evolve(shifts=plain.shifts - level, intercept=plain.intercept + level)
    if plain.own:
        return plain
    plain = in_frame(recentred(plain))
    says = (plain.loadings / plain.uniquenesses[:, None]).T @ plain.loadings
    turn = np.linalg.eigh(says)[1][:, ::-1]
    sign = np.where((plain.loadings @ turn / np.sqrt(plain.uniquenesses)[:, None]).sum(axis=0) < 0, -1.0, 1.0)
    return in_frame(plain, turn * sign)


def _cost_of_loadings(mixture: FactorMixture) -> float:
    """Divergence of what is known of the loadings from their prior, nats."""
    q, psi, total = mixture.n_dims, mixture.uniquenesses[:, None], 0.0
    many = mixture.loadings if mixture.own else mixture.loadings[None]
    for loadings, doubt, scale in zip(many, mixture.doubt, mixture.scale, strict=True):
        precision, known = np.linalg.inv(scale), unpacked(doubt, q)
        pull = (loadings @ precision * loadings / psi).sum() + np.einsum("ij,dij->", precision, known)
        spent = len(known) * np.linalg.slogdet(scale)[1] - np.linalg.slogdet(known)[1].sum()
        total += 0.5 * float(pull + spent - q * len(known))
    return total


def _symmetric(matrices: Array) -> Array:
    return np.asarray((matrices + np.swapaxes(matrices, -1, -2)) / 2)
