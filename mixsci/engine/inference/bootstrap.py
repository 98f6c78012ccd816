"""How sure a fit is, by fitting again: to rows drawn from it, or to its own rows with weights drawn at random."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import ndtr, ndtri

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.fit import check_settings, fit as fit_to
from mixsci.engine.em.ordering import gives_order, reordered
from mixsci.engine.em.result import Fit, fit_of
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import expect
from mixsci.engine.em.watching import counted
from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.inference.matching import match
from mixsci.engine.inference.numbers import parts_of
from mixsci.engine.inference.redrawing import redraw
from mixsci.engine.inference.uncertainty import number_of, refuse_other_rows, with_errors
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_chance, as_generator, is_whole, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Kind = Literal["parametric", "weighted", "rows"]
IntervalKind = Literal["percentile", "basic", "bias_corrected"]

#: Share of replicates that may be lost, or unclear in their labels, before it is said.
_SOME = 0.05


def _drawn(fit: Fit, obs: Observations, rng: np.random.Generator) -> Observations:
    return redraw(fit.mixture, obs, rng)


def _reweighted(_: Fit, obs: Observations, rng: np.random.Generator) -> Observations:
    """A row of weight 2 is the row twice: the sum of two exponential weights."""
    own = obs.each_weight
    drawn = rng.standard_gamma(own)
    return obs.weighted(drawn * (own.sum() / drawn.sum()))


def _resampled(_: Fit, obs: Observations, rng: np.random.Generator) -> Observations:
    """A row of weight 2 is drawn as two rows are."""
    own, total = obs.each_weight, obs.each_weight.sum()
    count = max(round(total), 1)
    return obs.weighted(rng.multinomial(count, own / total) * (total / count))


#: Kind -> the rows of a replicate.
KINDS: dict[str, Callable[[Fit, Observations, np.random.Generator], Observations]] = {
    "parametric": _drawn,
    "weighted": _reweighted,
    "rows": _resampled,
}


def _percentile(draws: Array, _: Array, level: float) -> tuple[Array, Array]:
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low, high


def _basic(draws: Array, value: Array, level: float) -> tuple[Array, Array]:
    low, high = _percentile(draws, value, level)
    return 2.0 * value - high, 2.0 * value - low


def _bias_corrected(draws: Array, value: Array, level: float) -> tuple[Array, Array]:
    """Quantiles moved by twice the normal score of the share of replicates below the value (Efron 1981)."""
    below = ((draws < value).sum(axis=0) + (draws == value).sum(axis=0) / 2) / len(draws)
    shift = 2.0 * ndtri(np.clip(below, 0.5 / len(draws), 1.0 - 0.5 / len(draws)))
    z = float(ndtri(0.5 + level / 2))
    flat = draws.reshape(len(draws), -1)
    low, high = (
        np.array([np.quantile(one, share) for one, share in zip(flat.T, np.ravel(ndtr(shift + end)), strict=True)])
        for end in (-z, z)
    )
    return low.reshape(value.shape), high.reshape(value.shape)


#: Kind -> ends of an interval from replicates (b, ...), the value (...) and a level.
INTERVALS: dict[str, Callable[[Array, Array, float], tuple[Array, Array]]] = {
    "percentile": _percentile,
    "basic": _basic,
    "bias_corrected": _bias_corrected,
}


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Refits of a fit, their components in its order.

    Attributes:
        mixture: the fitted mixture. mixtures: b refitted ones, those that kept all components.
        kind: how the rows of the replicates were made.
        lost: replicates left out, by outcome: a component collapsed or died, or there was no fit.
        unclear: refits among `mixtures` whose components could as well have other labels.
        unfinished: refits among `mixtures` that stopped before their end.
        names: of the variables, if they have any.
    """

    mixture: Mixture
    mixtures: tuple[Mixture, ...] = field(repr=False)
    kind: str
    lost: dict[str, int]
    unclear: int
    unfinished: int
    names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        lost = "".join(f", {count} lost ({name})" for name, count in self.lost.items())
        unclear = f", {self.unclear} with unclear labels" if self.unclear else ""
        unfinished = f", {self.unfinished} unfinished" if self.unfinished else ""
        return f"Bootstrap({len(self.mixtures)} {self.kind} replicates{lost}{unclear}{unfinished})"

    @cached_property
    def weights(self) -> Array:
        """(b, K) or (b, G, K) weights of the refits."""
        return np.array([each.weights for each in self.mixtures])

    @cached_property
    def means(self) -> Array:
        """(b, K, D) means of the refits, in the variables; angles within half a period of the fit's."""
        return np.array([each.component_means() for each in self.mixtures])

    @cached_property
    def covariances(self) -> Array:
        """(b, K, D, D) covariances of the refits.

        Raises:
            DataError: mixtures of factors, whose factors turn from one refit to the next.
        """
        if isinstance(self.mixture, FactorMixture):
            raise DataError("factors turn from refit to refit: ask draws(...) of what does not, component_variances()")
        return np.array([each.covariances for each in self.mixtures])

    @cached_property
    def standard_errors(self) -> dict[str, Array]:
        """Standard deviation over the refits of weights, means (K, D), covariances and what else there is."""
        found = [_numbers(each) for each in self.mixtures]
        return {name: np.std([each[name] for each in found], axis=0, ddof=1) for name in found[0]}

    def draws(self, function: Callable[[Mixture], Any]) -> Array:
        """(b, ...) values of a function of each refitted mixture."""
        return np.array([number_of(function, each) for each in self.mixtures])

    def of(self, function: Callable[[Mixture], Any]) -> tuple[Array, Array]:
        """Value and standard error of a function of the mixture."""
        return number_of(function, self.mixture), self.draws(function).std(axis=0, ddof=1)

    def summary(self) -> pd.DataFrame:
        """The table of the components, `Fit.summary`, with the standard error of every number beside it."""
        return with_errors(self, self.names)

    def interval(
        self, function: Callable[[Mixture], Any], level: float = 0.95, kind: IntervalKind = "percentile"
    ) -> tuple[Array, Array]:
        """Lower and upper ends for a function of the mixture.

        Args:
            function: mixture -> number or array.
            level: chance to hold the true value, in (0, 1).
            kind: "percentile", the quantiles of the replicates; "basic", those of value minus error; "bias_corrected",
                quantiles moved by the median bias (Efron 1981).

        Raises:
            DataError: a level that so few replicates cannot tell, or an unknown kind.
        """
        level = as_chance(level, "level")
        refuse_unknown(kind, INTERVALS, "kind")
        needed = int(np.ceil(2.0 / (1.0 - level) - 1e-9))
        if len(self.mixtures) < needed:
            raise DataError(
                f"an interval of level {level:g} needs {needed} replicates or more; got {len(self.mixtures)}: raise n"
            )
        return INTERVALS[kind](self.draws(function), number_of(function, self.mixture), level)


def bootstrap(
    fit: Fit, obs: Any, n: int = 200, *, kind: Kind = "parametric", tol: float = 1e-6, max_iter: int = 10_000,
    rng: Any = None, workers: Workers = None, progress: bool = False,
) -> Bootstrap:  # fmt: skip
    """Fit again n times, each time from the fit, and see how far the numbers go.

    Components of a refit get the labels of those of the fit that they lie nearest to, by their Bhattacharyya distances,
    unless a law, a ladder or something held gives them an order. Directions of angles are given within half a period of
    those of the fit: they do not jump where the circle is cut.

    Args:
        fit: a fit of the rows.
        obs: the rows it was fitted to, in memory.
        n: replicates.
        kind: "parametric", rows drawn from the fit with the gaps, errors, projections, weights and groups of the rows;
            "weighted", the rows with exponential weights (Newton & Raftery 1994; for mixtures O'Hagan et al. 2019):
            components need not be Gaussian, and hardly ever die; "rows", rows drawn with replacement.
        tol, max_iter: of each fit, as in `mixsci.fit`.
        rng: seed or generator.
        workers: threads, which share the replicates among them. The result does not depend on it.
        progress: show on standard error how many replicates are done.

    Raises:
        DataError: not a fit, other rows than those of the fit, an unknown kind.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (300, 1))])
        >>> again = mx.bootstrap(mx.fit(mx.Model(2), x, rng=0), x, 50, rng=0)
        >>> again.standard_errors["weights"].round(2)
        array([0.02, 0.02])
    """
    fit, obs, rng = fit_of(fit), as_observations(obs), as_generator(rng)
    refuse_search(fit.model, "a bootstrap goes")
    refuse_unknown(kind, KINDS, "kind")
    check_settings(tol, max_iter)
    if not is_whole(n) or n < 2:
        raise DataError(f"n must be a whole number of replicates, 2 or more; got {n!r}")
    refuse_other_rows(fit, expect(fit.mixture, obs, workers=workers))
    again = partial(_again, fit, obs, KINDS[kind], {"tol": tol, "max_iter": max_iter})
    with warnings.catch_warnings():
        # How refits ended is counted in the result.
        warnings.simplefilter("ignore")
        drawn = map_blocks(again, rng.spawn(int(n)), workers, columns=obs.width)
        found = list(counted(drawn, "replicates", int(n), show=progress))
    result = _gathered(fit, found, kind)
    for sentence in _remarks(result, int(n)):
        warnings.warn(sentence, stacklevel=2)
    return result


@dataclass(frozen=True, eq=False)
class _Refit:
    """What came of one replicate: its mixture, or None where it lost a component."""

    mixture: Mixture | None
    outcome: str
    clear: bool = True


#: Outcomes whose mixtures have lost a component.
_LOST = (Outcome.COLLAPSED, Outcome.EMPTY_COMPONENT, Outcome.NOT_FINITE)


def _again(
    fit: Fit,
    obs: Observations,
    make: Callable[[Fit, Observations, np.random.Generator], Observations],
    settings: dict[str, Any],
    rng: np.random.Generator,
) -> _Refit:
    try:
        found = fit_to(fit.model, make(fit, obs, rng), start=fit.mixture, rng=rng, workers=1, **settings)
    except (DataError, np.linalg.LinAlgError):
        return _Refit(None, "NO_FIT")
    if found.outcome in _LOST:
        return _Refit(None, found.outcome.name)
    mixture, clear = found.mixture, True
    if not gives_order(fit.model, fit.mixture):
        matched = match(fit.mixture, mixture)
        mixture, clear = reordered(mixture, matched.order), matched.clear
    return _Refit(mixture.beside(fit.mixture), found.outcome.name, clear)


def _gathered(fit: Fit, found: list[_Refit], kind: str) -> Bootstrap:
    kept = [one for one in found if one.mixture is not None]
    if len(kept) < 2:
        raise DataError(
            f"a bootstrap needs refits that keep all components; {len(kept)} of {len(found)} did: give the model a "
            "prior, a floor or fewer components"
        )
    lost = [one.outcome for one in found if one.mixture is None]
    return Bootstrap(
        mixture=fit.mixture,
        mixtures=tuple(one.mixture for one in kept if one.mixture is not None),
        kind=kind,
        lost={name: lost.count(name) for name in sorted(set(lost))},
        unclear=sum(not one.clear for one in kept),
        unfinished=sum(not Outcome[one.outcome].converged for one in kept),
        names=fit.names_of_variables,
    )


def _remarks(result: Bootstrap, n: int) -> list[str]:
    """What must be said of the refits."""
    said, lost = [], sum(result.lost.values())
    if lost > _SOME * n:
        said.append(
            f"{lost} of {n} refits lost a component and are left out, so that errors are too small: give the model a "
            "prior or fewer components"
        )
    if result.unclear > _SOME * n:
        said.append(
            f"in {result.unclear} of {n} refits the components could have other labels: trust functions that do not "
            "depend on labels, or fit fewer components"
        )
    if result.unfinished > _SOME * n:
        said.append(f"{result.unfinished} of {n} refits stopped before their end: raise max_iter or tol")
    return said


def _numbers(mixture: Mixture) -> dict[str, Array]:
    """What a mixture has that keeps its meaning from refit to refit."""
    if isinstance(mixture, FactorMixture):
        return {"weights": mixture.weights, "means": mixture.component_means()}
    parts = parts_of(mixture) | {"means": mixture.component_means()}
    return parts | {"concentrations": mixture.concentrations} if isinstance(mixture, CircularMixture) else parts
