"""Discrete types blurred by error, or continuous variation? Asked of peaks whose measurement error is known.

Values x = v + e, the error e known. If each peak is one discrete type, v takes K values only and a component is as wide
as the error; if the things themselves vary, it is wider. The two are compared by their likelihoods, and the ratio is
judged by rows drawn from the discrete fit (McLachlan 1987), since it has no known distribution at the edge.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.steps import expect
from mixsci.engine.em.watching import counted
from mixsci.engine.inference.climbing import climb_from
from mixsci.engine.inference.intrinsic import IntrinsicVariance
from mixsci.engine.inference.measuring import measured, residual, typical_variance
from mixsci.engine.inference.redrawing import most_extreme, p_value, replicates
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_chance, as_generator, counted_noun, is_whole, refuse_unknown
from mixsci.errors import ConvergenceWarning, DataError

Array = np.ndarray
Verdict = Literal["discrete", "continuous", "undecided"]

#: Structure of the intrinsic variances in the continuous model.
SPREADS = {"tied": "tied_diag", "own": "diag"}
#: Share of the error's variance from which an intrinsic variance is climbed to: EM leaves zero only slowly.
_FIRST_SHARE = 0.5
#: Remaining gain, nats, at which climbs end; and by how much log-likelihoods of one optimum may differ.
_GAP = 2e-3
_SAME = 1e-2


@dataclass(frozen=True, eq=False, repr=False)
class Discreteness:
    """What rows say of discrete types against continuous variation; `print` it for a sentence.

    Attributes:
        verdict: "continuous" where p_value <= level; else "discrete", or "undecided" where the interval of the
            intrinsic variance reaches beyond that of the error.
        p_value: chance of a ratio so large among discrete types. level: at which it is judged.
        statistic: twice the gain in log-likelihood, nats. statistics: those of the rows drawn from the discrete fit.
        discrete, continuous: the two fits.
        error_variance: (D,) median variance of the errors, in squared units of x.
        excess: (D,) intrinsic variance, shared by the components, 0 or more, in squared units of x.
        interval: (D, 2) its ends, by profile likelihood. confidence: their chance to hold it.
        residual: (D,) mean squared distance from the discrete types in units of the error's variance: about 1 where
            the errors are right and the types discrete, less where the errors are stated too large.
    """

    verdict: Verdict
    p_value: float
    level: float
    statistic: float
    statistics: Array
    discrete: Fit
    continuous: Fit
    error_variance: Array
    excess: Array
    interval: Array
    confidence: float
    residual: Array

    def __repr__(self) -> str:
        return f"Discreteness({self.verdict}, p = {self.p_value:.3g})"

    def __str__(self) -> str:
        ends = np.sqrt(np.column_stack([self.excess, self.interval]))
        parts = [f"{sd:.3g} [{low:.3g}, {high:.3g}]" for sd, low, high in ends]
        errors = ", ".join(f"{sd:.3g}" for sd in np.sqrt(self.error_variance))
        said = _SENTENCES[self.verdict].format(types=counted_noun(self.discrete.n_components, _NOUNS[self.verdict]))
        return (
            f"{said} (p = {self.p_value:.3g}); intrinsic standard deviation, with its {100 * self.confidence:g} % "
            f"interval: {', '.join(parts)}, where the error's is {errors}{_TOO_LARGE if self.too_narrow.any() else ''}"
        )

    @property
    def ratio(self) -> Array:
        """(D,) intrinsic variance in units of the error's."""
        return self.excess / self.error_variance

    @property
    def too_narrow(self) -> Array:
        """(D,) whether peaks are narrower than errors of the stated size make them, by three standard errors."""
        return self.residual < 1.0 - 3.0 * np.sqrt(2.0 / self.discrete.n)


_TOO_LARGE = "; the peaks are narrower than errors of the stated size would make them: check the errors"
_SENTENCES = {
    "discrete": "nothing speaks against {types} blurred by error",
    "continuous": "{types}, wider than errors alone make a peak: continuous variation",
    "undecided": "these rows cannot tell {types} from continuous variation",
}
_NOUNS = {"discrete": "discrete type", "continuous": "peak", "undecided": "discrete type"}


def discrete_or_continuous(
    x: Any, error: Any, n_components: int, *, repeats: bool = False, spread: Literal["tied", "own"] = "tied",
    n_boot: int = 199, level: float = 0.05, confidence: float = 0.95, early_stop: bool = False, starts: int = 10,
    rng: Any = None, workers: Any = None, progress: bool = False,
) -> Discreteness:  # fmt: skip
    """Are the peaks discrete types blurred by a known error, or do the things themselves vary?

    Args:
        x: (n,) or (n, D) values, NaN = missing, or `Observations` with noise; with `repeats` (n, r) or (n, r, D).
        error: standard deviations, one number, (n,) of one column, (D,) or (n, D); or an object of `mixsci.noise`; None
            where `Observations` carry it, or where it is found from repeats.
        n_components: number of peaks K, the same in both models. Too few of them look like continuous variation.
        repeats: each thing was measured r times (NaN = not measured): the error is what its values differ by, equal for
            all things and independent between columns. How far it is known enters the p-value and the interval.
        spread: intrinsic variances of the continuous model: "tied", shared by the components, or "own".
        n_boot: sets of rows drawn from the discrete fit.
        level: chance to call discrete types continuous, in (0, 1).
        confidence: of the interval, in (0, 1).
        early_stop: draw no further sets once p is certain to be above `level`; it is then the share of the sets drawn
            whose ratio is as large (Besag & Clifford 1991).
        starts: of each of the two fits.
        rng: seed or generator.
        workers: threads; None = all processors.
        progress: show on standard error how many sets are done.

    Raises:
        DataError: values without an error, or with an error of 0; a projection; repeats of which no thing has two.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> types = rng.choice([8.0, 10.0, 12.0], size=300)
        >>> depth = types + rng.normal(0.0, 0.4, size=300)
        >>> answer = mx.discrete_or_continuous(depth, 0.4, 3, n_boot=39, rng=1)
        >>> answer.verdict
        'discrete'
    """
    _check_settings(n_components, spread, n_boot, level, confidence, starts)
    rng, rows = as_generator(rng), measured(x, error, repeats=repeats)
    question = _Question(int(n_components), rows.observations.width, SPREADS[spread], workers)
    with warnings.catch_warnings():
        # A climb to a variance of zero has no end, and stops within the tolerance all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        answer = question.ask(rows.observations, starts, rng)
        again = (question.again(rows.again(answer.discrete.mixture, rng), answer.begin) for _ in range(n_boot))
        shown = counted(again, "replicates", n_boot, show=progress)
        statistics = replicates(shown, answer.statistic, most_extreme(n_boot, level) if early_stop else None)
        intrinsic = IntrinsicVariance.of(answer.continuous, rows.observations, workers)
        interval = intrinsic.interval(confidence, rows.doubt)
    p = p_value(statistics, answer.statistic, int(n_boot))
    return _judged(rows.observations, answer, statistics, p, intrinsic.values, interval, level, confidence)


def _judged(
    obs: Observations, answer: _Answer, statistics: Array, p: float, excess: Array, interval: Array, level: float,
    confidence: float,
) -> Discreteness:  # fmt: skip
    variance = typical_variance(obs)
    return Discreteness(
        verdict=_verdict(p, level, interval[:, 1] / variance), p_value=p, level=level,
        statistic=answer.statistic, statistics=statistics, discrete=answer.discrete, continuous=answer.continuous,
        error_variance=variance, excess=excess, interval=interval, confidence=confidence,
        residual=residual(answer.discrete.mixture, obs),
    )  # fmt: skip


def _check_settings(n_components: int, spread: str, n_boot: int, level: float, confidence: float, starts: int) -> None:
    refuse_unknown(spread, SPREADS, "spread")
    for name, number in (("n_components", n_components), ("n_boot", n_boot), ("starts", starts)):
        if not is_whole(number):
            raise DataError(f"{name} must be a whole number, 1 or more; got {number!r}")
    for name, value in (("level", level), ("confidence", confidence)):
        as_chance(value, name)
    if level * (n_boot + 1) < 1.0:
        raise DataError(
            f"n_boot must be at least 1 / level - 1 = {np.ceil(1.0 / level) - 1:.0f}, or no p-value can reach the "
            f"level {level}; got {n_boot}"
        )


def _verdict(p: float, level: float, reach: Array) -> Verdict:
    if p <= level:
        return "continuous"
    return "discrete" if (reach <= 1.0).all() else "undecided"


@dataclass(frozen=True, eq=False)
class _Answer:
    """Both fits to one set of rows; `begin` holds the mixtures from which rows like these find theirs."""

    discrete: Fit
    continuous: Fit
    begin: tuple[Mixture, ...]

    @property
    def statistic(self) -> float:
        return _statistic(self.discrete.log_likelihood, self.continuous.log_likelihood)


def _statistic(discrete: float, continuous: float) -> float:
    return max(2.0 * (continuous - discrete), 0.0)


@dataclass(frozen=True, eq=False)
class _Question:
    """How the two models are fitted to rows with K peaks in D columns."""

    n_components: int
    n_dims: int
    structure: str
    workers: Any

    @property
    def continuous(self) -> Model:
        """Components with intrinsic variances."""
        return Model(self.n_components, covariance=self.structure)

    @property
    def discrete(self) -> Model:
        """Components whose covariances keep their value in the start: 0."""
        held = Frozen(covariances=[True] * self.n_components)
        return Model(self.n_components, covariance=self.structure, frozen=held)

    def ask(self, obs: Observations, starts: int, rng: np.random.Generator) -> _Answer:
        """Both fits from many starts, and each from where the other ended."""
        k, d = self.n_components, self.n_dims
        anywhere = Mixture(np.full(k, np.nan), np.full((k, d), np.nan), np.zeros((k, d, d)))
        discrete = self._fit(self.discrete, obs, start=anywhere, starts=starts, rng=rng)
        continuous = self._fit(self.continuous, obs, starts=starts, rng=rng)
        discrete = _best(discrete, self._fit(self.discrete, obs, start=_narrow(continuous.mixture)))
        near = self._fit(self.continuous, obs, start=_wide(discrete.mixture, obs))
        best = _best(near, continuous)
        # Two optima far apart: rows drawn anew may find either.
        apart = best.log_likelihood - near.log_likelihood > _SAME
        return _Answer(discrete, best, (discrete.mixture, best.mixture) if apart else (discrete.mixture,))

    def again(self, obs: Observations, begin: tuple[Mixture, ...]) -> float:
        """The statistic of rows drawn anew."""
        ends = [climb_from(self.discrete, obs, _narrow(mixture), gap=_GAP, workers=self.workers) for mixture in begin]
        discrete = max(ends, key=lambda state: state.log_likelihood)
        if len(begin) == 1 and self._falls(discrete.mixture, obs):
            return 0.0
        wide = (_wide(mixture, obs) for mixture in (discrete.mixture, *begin[1:]))
        ends = [climb_from(self.continuous, obs, mixture, gap=_GAP, workers=self.workers) for mixture in wide]
        return _statistic(discrete.log_likelihood, max(state.log_likelihood for state in ends))

    def _falls(self, mixture: Mixture, obs: Observations) -> bool:
        """Whether the likelihood falls from intrinsic variances of zero, whichever of them grows."""
        slopes = np.diagonal(expect(mixture, obs, workers=self.workers).H, axis1=1, axis2=2)
        tied = self.structure == SPREADS["tied"]
        return bool(((slopes.sum(axis=0) if tied else slopes) <= 0.0).all())

    def _fit(self, model: Model, obs: Observations, **options: Any) -> Fit:
        return fit(model, obs, tol=_GAP / len(obs), workers=self.workers, **options)


def _best(*fits: Fit) -> Fit:
    """The fit of greatest log-likelihood, the first of equals."""
    return max(fits, key=lambda each: each.log_likelihood)


def _narrow(mixture: Mixture) -> Mixture:
    return mixture.evolve(covariances=np.zeros_like(mixture.covariances))


def _wide(mixture: Mixture, obs: Observations) -> Mixture:
    """The mixture with at least a share of the error's variance in every component."""
    least = _FIRST_SHARE * typical_variance(obs)
    variances = np.maximum(np.diagonal(mixture.covariances, axis1=1, axis2=2), least)
    return mixture.evolve(covariances=variances[:, :, None] * np.eye(mixture.n_dims))
