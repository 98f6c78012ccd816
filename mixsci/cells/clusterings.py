"""Fits of a matrix for numbers of clusters and families of covariance, and which of them to take."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import refuse_key, written_to
from mixsci.cells.families import FAMILIES, Assumed, Family, families
from mixsci.cells.matrix import Matrix, matrix_of
from mixsci.cells.seen_bic import seen_bic
from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.start import draw_rows
from mixsci.engine.execution import Workers
from mixsci.engine.factor_mixture import variances_of
from mixsci.engine.inference.held_out import hide
from mixsci.engine.inference.select import UNDECIDED
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_generator, refuse_unknown
from mixsci.errors import ConvergenceWarning, DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Numbers of factors that are tried, from the fewest on, until BIC has risen twice.
_FACTORS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 25, 30, 40, 50)
#: Passes of a fit at most: what climbs longer has a direction that the cells do not tell.
_PASSES = 2000
#: Values of a sample on which the number of factors is chosen; starts and passes of the fits that it is chosen by.
_MOST_VALUES, _FEW_STARTS, _FEW_PASSES = 4_000_000, 1, 400
#: With one cluster these are what others are too.
_SAME_ALONE = ("scaled", "tied", "factor_free", "factor_own", "tied_diag", "tied_spherical")
#: Share of a variance that errors leave at least.
_LEAST_LEFT = 0.05
#: Share of observed values that are hidden to see how well they are foretold, and how many times.
_HIDDEN, _FOLDS = 0.1, 2


@dataclass(frozen=True, eq=False)
class Clustering:
    """One fit: of which family, with how many clusters and factors, and how well it foretells hidden values.

    Attributes:
        seen_bic: BIC in which every parameter counts with the cells that speak of it.
        held_out: log density of a hidden value given the others of its cell, nats, mean over hidden values; NaN = not
            asked for.
    """

    family: str
    n_components: int
    n_factors: int
    fit: Fit = field(repr=False)
    held_out: float = np.nan
    seen_bic: float = np.nan

    def row(self) -> dict[str, Any]:
        """Its line of a table."""
        found = self.fit
        return {
            "n_components": self.n_components, "covariance": self.family, "n_factors": self.n_factors,
            "seen_bic": self.seen_bic, "bic": found.bic, "aic": found.aic, "icl": found.icl,
            "log_likelihood": found.log_likelihood, "n_free": found.n_free, "held_out": self.held_out,
            "outcome": found.outcome.name,
        }  # fmt: skip


@dataclass(eq=False)
class Clusterer:
    """Fits of one matrix: what they share.

    Attributes:
        matrix: the cells. covariance: names of families. n_factors: number of factors, None = chosen by BIC.
        batches: whether batches shift variables. prior, starts, tol, rng, workers: of the fits.
        criterion: what the number of factors is chosen by, "bic" or "held_out".
    """

    matrix: Matrix
    covariance: Any = "auto"
    n_factors: int | None = None
    batches: bool = False
    prior: Any = True
    starts: int | None = None
    tol: float = 1e-6
    rng: Any = None
    workers: Workers = None
    criterion: str = "bic"

    def __post_init__(self) -> None:
        self.rng = as_generator(self.rng)
        self.families = self._without_impossible(families(self.covariance, len(self.matrix.names)))

    @property
    def n_cells(self) -> int:
        """Number of cells with a value."""
        return int(self.matrix.seen.sum())

    @cached_property
    def sd(self) -> Array:
        """(D,) standard deviations of the observed values, errors taken out, where some spread is left."""
        noise, seen = np.zeros(len(self.matrix.names)), self.matrix.counts
        for _, obs in self.matrix.parts():
            variances = variances_of(obs)
            if variances is not None:
                noise += np.where(obs.seen(), variances, 0.0).sum(axis=0)
        variance = self.matrix.sd**2
        return np.sqrt(np.maximum(variance - noise / seen, _LEAST_LEFT * variance))

    @cached_property
    def pairs(self) -> Array:
        """(D, D) cells that have both of two variables."""
        seen = (obs.seen().astype(float) for _, obs in self.matrix.parts())
        return np.asarray(sum(part.T @ part for part in seen))

    @cached_property
    def sample(self) -> Observations:
        """Cells on which the number of factors is chosen: all of them where they are few."""
        most = max(1000, _MOST_VALUES // len(self.matrix.names))
        return draw_rows(self.matrix.obs, most, self.rng, workers=self.workers, n_rows=self.matrix.n_obs)

    @cached_property
    def most_factors(self) -> int:
        """The largest number of factors that the cells allow."""
        return max(min(len(self.matrix.names), int(self.sample.seen().any(axis=1).sum())) - 1, 1)

    @cached_property
    def factor_table(self) -> dict[int, float]:
        """Number of factors -> criterion of one analyser for the sample, smaller is better; till it has risen twice."""
        tried: dict[int, float] = {}
        for q in (q for q in _FACTORS if q <= self.most_factors):
            model = FactorModel(1, q, offsets="group" if self.batches else None, prior=True if self.prior else None)
            held_out = self.criterion == "held_out"
            tried[q] = -self._foretold(model, self.sample) if held_out else self._fit(model, self.sample).bic
            if min(list(tried.values())[-2:]) > min(tried.values()):
                break
        return tried

    @property
    def factors(self) -> int:
        """The number of factors of all cells as one cluster: as asked for, or the best of the table."""
        if self.n_factors is not None:
            return self.n_factors
        return min(self.factor_table, key=lambda q: self.factor_table[q])

    def factors_for(self, k: int, family: Family) -> int:
        """The number of factors of k clusters: from that of one cluster on, as long as BIC of the sample falls."""
        best = self.factors
        if self.n_factors is not None or k == 1:
            return best

        @cache
        def bic(q: int) -> float:
            if not 1 <= q <= self.most_factors:
                return np.inf
            # A factor too many dies slowly, and BIC sees that it is one long before.
            model = self._model(k, family, q)
            return self._fit(model, self.sample, starts=_FEW_STARTS, max_iter=_FEW_PASSES).bic

        step = 1 if bic(best + 1) < bic(best) else -1
        while bic(best + step) < bic(best):
            best += step
        return best

    def each(self, numbers: Sequence[int], *, held_out: bool = False) -> Iterator[Clustering]:
        """A fit for every number of clusters and every family."""
        for k in numbers:
            for family in self.families:
                if k > 1 or family.name not in _SAME_ALONE or family is self.families[0]:
                    yield self.one(k, family, held_out=held_out)

    def one(self, k: int, family: Family, *, held_out: bool = False) -> Clustering:
        """The fit of one family with k clusters."""
        return self._with_factors(k, family, self.factors_for(k, family) if family.factors else 0, held_out=held_out)

    def settled(self, found: Sequence[Clustering], criterion: str = "bic") -> list[Clustering]:
        """The fits, the best of each number of clusters with the number of factors that whole fits settle on.

        `factors_for` takes single starts for it, which may miss: where two numbers are nearly as good, so do seeds.
        """
        best = best_of_each(found, criterion)
        return [self._settled(one) if one in best else one for one in found]

    def _settled(self, one: Clustering) -> Clustering:
        if self.n_factors is not None or not one.n_factors or one.n_components == 1:
            return one
        more = self._climbed(one, 1)
        return more if more is not one else self._climbed(one, -1)

    def _climbed(self, one: Clustering, step: int) -> Clustering:
        """The fit with so many factors more, or less, as BIC falls with."""
        family, q = FAMILIES[one.family], one.n_factors + step
        if not 1 <= q <= self.most_factors:
            return one
        next_ = self._with_factors(one.n_components, family, q, held_out=not np.isnan(one.held_out))
        return self._climbed(next_, step) if next_.fit.bic < one.fit.bic else one

    def _with_factors(self, k: int, family: Family, q: int, *, held_out: bool) -> Clustering:
        model = self._model(k, family, q)
        found = self._fit(model, self.matrix.obs)
        foretold = self._foretold(model, self.matrix.obs) if held_out else np.nan
        pairs = None if family.factors else self.pairs
        return Clustering(family.name, k, q, found, foretold, seen_bic(family.name, found, self.matrix, pairs))

    def _model(self, k: int, family: Family, q: int) -> Any:
        return family.make(k, Assumed(self.sd, self.batches, self.prior, q or 1))

    def _fit(self, model: Any, obs: Any, starts: int | None = None, max_iter: int = _PASSES) -> Fit:
        with warnings.catch_warnings():
            # Of many fits only what became of the one that is taken matters: `warn_of_outcome` says it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return fit(
                model, obs, starts=starts or self.starts, tol=self.tol, max_iter=max_iter, rng=self.rng,
                workers=self.workers,
            )  # fmt: skip

    def _foretold(self, model: Any, obs: Any) -> float:
        """Mean log density of hidden values given the others of their cells, under fits that have not seen them."""
        if not isinstance(obs, Observations):
            raise DataError("held-out values need cells in memory: choose by bic, or load with to_memory()")
        rng, total, count = np.random.default_rng(0), 0.0, 0
        for _ in range(_FOLDS):
            hidden, rest = hide(obs, obs.seen() & (rng.random(obs.x.shape) < _HIDDEN))
            found = self._fit(model, rest)
            total += float((found.log_density(obs) - found.log_density(rest)).sum())
            count += int(hidden.sum())
        return total / max(count, 1)

    def _without_impossible(self, asked: tuple[Family, ...]) -> tuple[Family, ...]:
        """The families that these cells allow: factors need more variables than one, and more cells than factors."""
        d, wanted = len(self.matrix.names), 1 if self.n_factors is None else self.n_factors
        if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or wanted < 1:
            raise DataError(f"n_factors must be a whole number, 1 or more; got {self.n_factors!r}")
        fit_in = wanted < min(d, int(self.matrix.seen.sum()))
        kept = tuple(family for family in asked if not family.factors or fit_in)
        if not kept:
            raise DataError(
                f"factors must be fewer than variables and cells; got {wanted} of them for {d} variables and "
                f"{int(self.matrix.seen.sum())} cells: use another covariance"
            )
        return kept


def begin(
    adata: AnnData, key_added: str, *, copy: bool, values: Mapping[str, Any], rng: Any, random_state: Any,
    **settings: Any,
) -> tuple[AnnData, Clusterer]:  # fmt: skip
    """Where a verb begins: the AnnData to write into, and the fits of its values.

    Args:
        adata, key_added, copy: of the verb.
        values: arguments of `matrix_of`.
        rng, random_state: a seed under one of its names.
        settings: of `Clusterer`.
    """
    adata = written_to(adata, copy=copy)
    refuse_key(key_added)
    seed, matrix = one_seed(rng, random_state), matrix_of(adata, spread=True, **values)
    return adata, Clusterer(matrix, batches=values.get("batch") is not None, rng=seed, **settings)


def warn_of_outcome(taken: Clustering) -> None:
    """Say how the fit that was taken ended, if not well; for a verb to call."""
    if not taken.fit.converged:
        warnings.warn(taken.fit.outcome.value, ConvergenceWarning, stacklevel=3)


def one_seed(rng: Any, random_state: Any) -> Any:
    """The seed under either of its names."""
    if rng is not None and random_state is not None:
        raise DataError("rng and random_state are two names of one thing: give one of them")
    return random_state if rng is None else rng


CRITERIA = {
    "bic": lambda one: one.fit.bic,
    "aic": lambda one: one.fit.aic,
    "icl": lambda one: one.fit.icl,
    "held_out": lambda one: -one.held_out,
}


#: What takes the family where the number of clusters is given: with gaps plain BIC is too hard on rich families.
_OF_FAMILIES = {**CRITERIA, "bic": lambda one: one.seen_bic}
_IN_WORDS = {"bic": "BIC", "aic": "AIC", "icl": "ICL"}


def best_of(found: Sequence[Clustering], criterion: str = "bic") -> Clustering:
    """The clustering that a criterion likes best: usable ones first."""
    return _least(best_of_each(found, criterion), CRITERIA[criterion])


def best_of_each(found: Sequence[Clustering], criterion: str = "bic") -> list[Clustering]:
    """The clustering of every number of clusters that a criterion likes best: usable ones first."""
    refuse_unknown(criterion, CRITERIA, "criterion")
    numbers = sorted({one.n_components for one in found})
    return [_least([one for one in found if one.n_components == k], _OF_FAMILIES[criterion]) for k in numbers]


def _least(found: Sequence[Clustering], value: Callable[[Clustering], float]) -> Clustering:
    return min([one for one in found if one.fit.converged] or found, key=value)


def numbers_of(n_components: Any, n_cells: int) -> list[int]:
    """Numbers of clusters from one or several."""
    asked = [n_components] if isinstance(n_components, int | np.integer) else n_components
    right = isinstance(asked, list | tuple | range | np.ndarray) and len(asked) > 0 and all(
        isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1 for k in asked
    )  # fmt: skip
    if not right:
        raise DataError(f"n_components must be a whole number, 1 or more, or several of them; got {n_components!r:.80}")
    if max(asked) > n_cells:
        raise DataError(f"there must be a cell with a value for every cluster; got {n_cells} of them for {max(asked)}")
    return sorted({int(k) for k in asked})


def verdict(found: Sequence[Clustering], criterion: str = "bic") -> str:
    """What the criterion says of the number of clusters, in a sentence."""
    by_number = {one.n_components: one for one in best_of_each(found, criterion)}
    best = best_of(found, criterion)
    if criterion == "held_out":
        return f"K = {best.n_components} ({best.family}) foretells hidden values best"
    value = CRITERIA[criterion]
    near = sorted({one.n_components for one in found if abs(value(one) - value(best)) < UNDECIDED})
    if len(near) > 1:
        listed = ", ".join(map(str, near[:-1])) + f" and {near[-1]}"
        return f"K is undecided: {_IN_WORDS[criterion]} of K = {listed} differ by less than {UNDECIDED:g}"
    if len(by_number) == 1:
        return f"K = {best.n_components} was the only number tried"
    runner = min((one for k, one in by_number.items() if k != best.n_components), key=value)
    more, what = value(runner) - value(best), _IN_WORDS[criterion]
    return (
        f"K = {best.n_components} ({best.family}): {what} of the next best, K = {runner.n_components}, is larger by "
        f"{more:.1f}"
    )
