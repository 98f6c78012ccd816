"""How many components, and of which covariance: fits side by side, and what a criterion says of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.fit import check_settings, fit
from mixsci.engine.em.nested import fit_with_more
from mixsci.engine.em.result import Fit
from mixsci.engine.em.watching import counted
from mixsci.engine.execution import Workers, map_blocks, thread_count
from mixsci.engine.inference.held_out import PARTS, foretold
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations, as_source
from mixsci.engine.tables import as_generator, is_whole, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Array = np.ndarray
Make = Callable[[int, str], Any]

#: What an information criterion cannot tell apart (Kass & Raftery 1995).
UNDECIDED = 2.0
#: The share of the fall of a criterion that an elbow leaves.
_LITTLE = 0.05


@dataclass(frozen=True, eq=False)
class Candidate:
    """One fit that was compared.

    Attributes:
        n_components, covariance: what it was fitted with. fit: what came of it.
        foretold: mean log density of what was kept from each fold's fit, nats; empty where that was not asked for.
        kept: the criterion that asked for it, "cross_validation" or "held_out", or "".
    """

    n_components: int
    covariance: str
    fit: Fit = field(repr=False)
    foretold: tuple[float, ...] = ()
    kept: str = ""

    @property
    def held_out(self) -> float:
        """Mean log density of what was kept from the fits, nats per row or per value; NaN where not asked for."""
        return float(np.mean(self.foretold)) if self.foretold else np.nan


@dataclass(frozen=True)
class Criterion:
    """What fits are compared by: its name in words, its value for a candidate (smaller is better).

    Attributes:
        unit: of a value that has an error, over folds; none where differences have a fixed size that says nothing.
    """

    words: str
    value: Callable[[Candidate], float]
    unit: str = ""

    def error(self, one: Candidate, best: Candidate) -> float:
        """Standard error, over folds, of the difference of a candidate from the best; NaN where there are not two."""
        if not self.unit or len(best.foretold) < 2:
            return np.nan
        by_fold = np.subtract(best.foretold, one.foretold)
        return float(np.std(by_fold, ddof=1) / np.sqrt(len(by_fold)))

    def undecided(self, one: Candidate, best: Candidate) -> bool:
        """Whether the criterion cannot tell a candidate from the best."""
        apart = self.value(one) - self.value(best)
        if not self.unit:
            return apart < UNDECIDED
        error = self.error(one, best)
        return bool(np.isnan(error) or apart <= error)


CRITERIA: dict[str, Criterion] = {
    "bic": Criterion("BIC", lambda one: one.fit.bic),
    "aic": Criterion("AIC", lambda one: one.fit.aic),
    "icl": Criterion("ICL", lambda one: one.fit.icl),
    "cross_validation": Criterion("the log density of rows left out", lambda one: -one.held_out, "nats per row"),
    "held_out": Criterion("the log density of hidden values", lambda one: -one.held_out, "nats per value"),
}


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """Fits side by side.

    Attributes:
        candidates: all that were fitted, by covariance, then number of components.
        criterion: name of what they are compared by.
    """

    candidates: tuple[Candidate, ...]
    criterion: str

    def __post_init__(self) -> None:
        refuse_unknown(self.criterion, CRITERIA, "criterion")
        if CRITERIA[self.criterion].unit and any(one.kept != self.criterion for one in self.candidates):
            raise DataError(
                f"{self.criterion!r} needs fits of its own, which these candidates have not: call "
                f"mixsci.select(..., criterion={self.criterion!r})"
            )

    def by(self, criterion: str) -> Selection:
        """The same fits judged by another criterion: "bic", "aic" or "icl"."""
        return replace(self, criterion=criterion)

    def __repr__(self) -> str:
        return f"Selection({len(self.candidates)} fits: {self.verdict})"

    @property
    def fits(self) -> dict[tuple[int, str], Fit]:
        """(n_components, covariance) -> fit."""
        return {(one.n_components, one.covariance): one.fit for one in self.candidates}

    @property
    def best(self) -> Fit:
        """The fit that the criterion likes best."""
        return self._best.fit

    @property
    def of_each_number(self) -> dict[int, Candidate]:
        """Number of components -> its best candidate: fits that came to their end go first."""
        numbers = sorted({one.n_components for one in self.candidates})
        return {k: self._least([one for one in self.candidates if one.n_components == k]) for k in numbers}

    @property
    def minimum(self) -> int:
        """The number of components at which the criterion is least."""
        return self._best.n_components

    @property
    def elbow(self) -> int:
        """The number of components after which the criterion hardly falls any more.

        The smallest that brings 95 % of the fall from the worst number before the minimum to the minimum.
        """
        least, each = self._value(self._best), self.of_each_number.items()
        values = {k: self._value(one) for k, one in each if k <= self.minimum and np.isfinite(self._value(one))}
        fall = max(values.values(), default=least) - least
        near = [k for k, value in values.items() if value - least <= _LITTLE * fall]
        return min(near, default=self.minimum)

    @property
    def verdict(self) -> str:
        """What the criterion says of the number of components, in a sentence."""
        best, by_number = self._best, self.of_each_number
        if len(by_number) == 1:
            return f"K = {best.n_components} was the only number tried"
        near = sorted(k for k, one in by_number.items() if CRITERIA[self.criterion].undecided(one, best))
        what = CRITERIA[self.criterion].words
        if len(near) > 1:
            edge = "; more than the largest that was tried may serve as well" if near[-1] == max(by_number) else ""
            return f"K is undecided: {what} cannot tell K = {_listed(near, 'and')} apart{edge}"
        runner = self._least([one for k, one in by_number.items() if k != best.n_components])
        apart = self._value(runner) - self._value(best)
        edge = ", the largest that was tried" if best.n_components == max(by_number) else ""
        return (
            f"K = {best.n_components} ({_listed(self.covariances, 'or')}){edge}: by {what} it is ahead of K = "
            f"{runner.n_components} by {apart:.3g}"
        )

    @property
    def covariances(self) -> tuple[str, ...]:
        """Covariances of the best number of components that the criterion cannot tell from the best, which is first."""
        best, judge = self._best, CRITERIA[self.criterion]
        others = [one for one in self.candidates if one.n_components == best.n_components and one is not best]
        alike = [one.covariance for one in others if one.fit.converged and judge.undecided(one, best)]
        return (best.covariance, *alike)

    @property
    def table(self) -> pd.DataFrame:
        """A line for every fit: n_components, covariance, log_likelihood, n_free, bic, aic, icl, held_out, outcome."""
        import pandas as pd

        lines = [
            {"n_components": one.n_components, "covariance": one.covariance, "log_likelihood": one.fit.log_likelihood}
            | {name: getattr(one.fit, name) for name in ("n_free", "bic", "aic", "icl")}
            | {"held_out": one.held_out, "outcome": one.fit.outcome.name}
            for one in self.candidates
        ]
        return pd.DataFrame(lines)

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """The criterion above its least over the number of components; see `mixsci.plot.plot_selection`."""
        from mixsci.plot import plot_selection

        return plot_selection(self, ax=ax)

    @property
    def _best(self) -> Candidate:
        return self._least(list(self.of_each_number.values()))

    def _value(self, one: Candidate) -> float:
        return CRITERIA[self.criterion].value(one)

    def _least(self, candidates: Sequence[Candidate]) -> Candidate:
        return min([one for one in candidates if one.fit.converged] or candidates, key=self._value)


def select(
    obs: Any, n_components: Any = range(1, 9), covariance: Any = ("full", "diag"), criterion: str = "bic", *,
    model: Model | Make | None = None, starts: int = 10, folds: int = 5, tol: float = 1e-6, max_iter: int = 10_000,
    rng: Any = None, workers: Workers = None, progress: bool = False,
) -> Selection:  # fmt: skip
    """Fit several numbers of components and covariances, and compare them.

    Every number of components is fitted from `starts` starts of its own and from the fit of the number before with its
    worst components split: within a covariance the objective never falls with K.

    Args:
        obs: `Observations`, an array or data frame (NaN = missing), or a source of blocks.
        n_components: numbers of components.
        covariance: one or several covariances, as `Model` takes them by name; in one dimension "full" and "diag" are
            one, and where both are asked for "full" is fitted.
        criterion: "bic", "aic", "icl" (smaller is better); "cross_validation", the log density of rows that a fit has
            not seen (nats per row), or "held_out", that of values it has not seen given the others of their rows (nats
            per value): these two take `folds` further fits for each.
        model: a `Model` (or `FactorModel`) of which all but number and covariance is taken: weights, background, prior,
            floor, offsets. Or a function of (n_components, covariance) that gives one, as laws of weights need.
        starts, tol, max_iter: of each fit, as in `mixsci.fit`.
        folds: parts of "cross_validation" and "held_out".
        rng: seed or generator.
        workers: threads, which share the covariances among them; or a Dask client. The result does not depend on it.
        progress: show on standard error which fits are done.

    Raises:
        DataError: an unknown criterion or covariance, numbers that are none, rows that cannot be fitted.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-3, 1, (150, 2)), rng.normal(3, 1, (150, 2))])
        >>> x[::7, 0] = np.nan
        >>> mx.select(x, range(1, 5), rng=0).minimum
        2
    """
    obs, numbers = as_source(obs), _numbers(n_components)
    names = _names(covariance, one_dimension=getattr(obs, "n_dims", 0) == 1)
    refuse_unknown(criterion, CRITERIA, "criterion")
    check_settings(tol, max_iter, starts)
    if not is_whole(folds) or folds < 2:
        raise DataError(f"folds must be a whole number, 2 or more; got {folds!r}")
    generator = as_generator(rng)
    along = isinstance(obs, Observations) and thread_count(workers) > 1 and len(names) > 1
    compare = Comparison(
        obs, _maker(model), criterion, int(folds), int(generator.integers(2**32)),
        {"tol": tol, "max_iter": max_iter, "workers": 1 if along else workers}, starts,
    )  # fmt: skip
    for name in names:
        compare.make(numbers[0], name)
    chains = zip(names, generator.spawn(len(names)), strict=True)
    with warnings.catch_warnings():
        # Outcomes stand in the table: a fit that is not taken needs no warning.
        warnings.simplefilter("ignore")
        fits = partial(_chain, compare, numbers)
        found = map_blocks(lambda of: list(fits(of)), chains, workers) if along else map(fits, chains)
        every = (one for chain in found for one in chain)
        shown = counted(every, "comparing", len(names) * len(numbers), show=progress)
        return Selection(tuple(shown), criterion)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What the fits of one comparison share.

    Attributes:
        make: (K, covariance) -> model. seed: of the parts that are kept from fits. settings: of `fit`.
    """

    obs: Any
    make: Make
    criterion: str
    folds: int
    seed: int
    settings: dict[str, Any]
    starts: int

    def one(self, k: int, covariance: str, smaller: Fit | None, rng: np.random.Generator) -> Candidate:
        """The fit of one number and covariance, which begins from that of a smaller number, too."""
        model = self.make(k, covariance)
        found = fit_with_more(model, self.obs, smaller, starts=self.starts, rng=rng, **self.settings)
        if self.criterion not in PARTS:
            return Candidate(k, covariance, found)
        refit = partial(fit, model, starts=self.starts, rng=rng, **self.settings)
        told = foretold(refit, self.obs, self.criterion, self.folds, self.seed)
        return Candidate(k, covariance, found, told, self.criterion)


def _chain(compare: Comparison, numbers: list[int], of: tuple[str, np.random.Generator]) -> Iterator[Candidate]:
    """All numbers of components of one covariance, from the smallest on."""
    (covariance, rng), smaller = of, None
    for k in numbers:
        found = compare.one(k, covariance, smaller, rng)
        yield found
        smaller = found.fit


def _maker(model: Any) -> Make:
    if model is None:
        return lambda k, covariance: Model(k, covariance=covariance)
    if callable(model):
        return _checked(model)
    if isinstance(model, Fit) or not hasattr(model, "n_components"):
        raise DataError(f"model must be a mixsci.Model or a function that makes one; got {type(model).__name__}")
    refuse_search(model, "fits are compared")
    if getattr(model, "anything_frozen", False):
        raise DataError("frozen parts keep the value of a start, and fits that are compared have none: leave them free")
    return lambda k, covariance: replace(model, n_components=k, covariance=covariance)


def _listed(found: Sequence[Any], last: str) -> str:
    return f" {last} ".join(filter(None, (", ".join(map(str, found[:-1])), str(found[-1]))))


def _checked(make: Make) -> Make:
    try:
        signature(make).bind(1, "full")
    except TypeError:
        raise DataError(
            "model must be a function of two arguments, (n_components, covariance); this one is not"
        ) from None
    return make


def _numbers(n_components: Any) -> list[int]:
    asked = [n_components] if np.ndim(n_components) == 0 else list(n_components)
    if not asked or not all(is_whole(k) for k in asked):
        raise DataError(f"n_components must be whole numbers, 1 or more; got {n_components!r:.80}")
    return sorted({int(k) for k in asked})


def _names(covariance: Any, *, one_dimension: bool) -> list[str]:
    asked = list(covariance) if isinstance(covariance, Iterable) and not isinstance(covariance, str) else [covariance]
    if not asked or not all(isinstance(name, str) for name in asked):
        raise DataError(f"covariance must be a name or several; got {covariance!r:.80}")
    twice = one_dimension and "full" in asked
    return [name for name in dict.fromkeys(asked) if not (twice and name == "diag")]
