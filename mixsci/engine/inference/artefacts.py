"""Components that look like artefacts of fitting: too few rows, no spread, one Gaussian in two, weights at an edge."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.linalg import eigh

from mixsci.engine.em.fit import fit as fit_to
from mixsci.engine.em.result import Fit
from mixsci.engine.em.splitting import can_be_split, merged
from mixsci.engine.em.state import Outcome
from mixsci.engine.inference.matching import LEAST_SPREAD, bhattacharyya
from mixsci.engine.inference.measuring import typical_variance
from mixsci.engine.inference.yardstick import FEWEST_ROWS
from mixsci.engine.model.law import FULL_RATE, SMALLEST_RATE
from mixsci.engine.model.model import Model, overall_variances
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray

#: Shares of the variance of the others below which a component is narrow: where it has few rows, and however many.
_NARROW, _FLAT = 1e-4, 1e-8
#: Rows for each of its numbers below which a narrow component has few.
_FEW_ROWS = 10.0
#: Share of the variance of the errors below which a component has no spread beyond them.
_BELOW_NOISE = 1e-3
#: Bhattacharyya distance below which two components are nearly the same.
_SAME = 0.01
#: Share of the rows of the smaller that two components must have in common to be tried as one; passes of that trial.
_COMMON, _MOST_PASSES = 0.05, 200


@dataclass(frozen=True)
class Finding:
    """One thing that looks like an artefact.

    Attributes:
        kind: name of the check. components: which it is about; none for the fit as a whole.
        sentence: what was seen, and what to do.
    """

    kind: str
    components: tuple[int, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class Examined:
    """What checks look at.

    Attributes:
        fit: the fit. obs: its rows. rows: (K,) expected rows. together: (K, K) expected rows in common, sum r_i r_j.
        workers: threads.
    """

    fit: Fit
    obs: Observations
    rows: Array
    together: Array
    workers: Any

    @cached_property
    def numbers(self) -> Array:
        """(K,) free numbers of each component's own mean and covariance."""
        model, d, k = self.fit.model, self.fit.mixture.n_variables, self.fit.mixture.n_components
        if not isinstance(model, Model):
            return np.full(k, replace(model, n_components=k + 1).n_free(d) - model.n_free(d) - 1)
        means = np.where(model.mask("means"), 0, d if model.means.free else 0)
        spread = model.covariance.n_free(2, d) - model.covariance.n_free(1, d)
        return means + np.where(model.mask("covariances"), 0, spread)

    @cached_property
    def alive(self) -> Array:
        """(K,) components that half a row or more speaks for."""
        return self.rows >= FEWEST_ROWS

    @cached_property
    def same(self) -> list[tuple[int, int]]:
        """Pairs of components that are nearly the same."""
        apart = bhattacharyya(self.fit.mixture, self.fit.mixture)
        return [pair for pair in self.pairs if apart[pair] < _SAME]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs i < j of components that rows speak for."""
        alive = np.flatnonzero(self.alive)
        return [(int(i), int(j)) for i in alive for j in alive if i < j]


#: The components of an artefact, and a sentence.
Found = Iterator[tuple[tuple[int, ...], str]]


class Check(Protocol):
    """One kind of artefact."""

    def find(self, seen: Examined) -> Found:
        """The components of each such artefact, and a sentence."""


class Unfinished:
    """The climb did not come to its end."""

    def find(self, seen: Examined) -> Found:
        if seen.fit.outcome not in (Outcome.CONVERGED, Outcome.EMPTY_COMPONENT):
            yield (), seen.fit.outcome.value


class Tiny:
    """Fewer rows than numbers to be found from them."""

    def find(self, seen: Examined) -> Found:
        for k in _where(seen.alive & (seen.rows < seen.numbers)):
            few = f"component {k} has {seen.rows[k]:.3g} rows for {seen.numbers[k]} numbers of its own"
            yield (k,), f"{few}: fit fewer components, or a covariance with fewer numbers"


class Collapsed:
    """No spread in some direction: at the floor, or far narrower than the other components."""

    def find(self, seen: Examined) -> Found:
        model, mixture = seen.fit.model, seen.fit.mixture
        if not isinstance(model, Model):
            return
        low = np.linalg.eigvalsh(mixture.covariances)[:, 0]
        at_floor = (model.floor > 0) & (low <= model.floor * (1.0 + 1e-6))
        # Under noise a narrow component is none that collapsed: below it, `BelowNoise` says so.
        least = np.where(seen.rows < _FEW_ROWS * seen.numbers, _NARROW, _FLAT) * (not seen.obs.has_noise)
        for k in _where(seen.alive & ~model.mask("covariances")):
            share = _narrowest(seen, k)
            if at_floor[k]:
                yield (k,), f"component {k} is as narrow as the floor allows: {_COLLAPSED}"
            elif share < least[k]:
                narrow = f"{share**-0.5:.2g} times narrower than the others in some direction"
                yield (k,), f"component {k}, of {seen.rows[k]:.3g} rows, is {narrow}: {_COLLAPSED}"


_COLLAPSED = "it may have collapsed onto rows that lie together by chance or are equal; give a prior or a floor"


def _narrowest(seen: Examined, k: int) -> float:
    """Least share that the variance of a component has of those of the others, over directions; 1 without others."""
    mixture, rows = seen.fit.mixture, np.delete(seen.rows, k)
    if rows.sum() <= 0:
        return 1.0
    least = LEAST_SPREAD**2 * np.diag(overall_variances(mixture))
    others = np.average(np.delete(mixture.covariances, k, axis=0), axis=0, weights=rows)
    return float(eigh(mixture.covariances[k] + least, others + least, eigvals_only=True)[0])


class BelowNoise:
    """No spread beyond that of the errors."""

    def find(self, seen: Examined) -> Found:
        model, mixture, obs = seen.fit.model, seen.fit.mixture, seen.obs
        if not isinstance(model, Model) or obs.projection is not None or not obs.has_noise:
            return
        spread = np.diagonal(mixture.covariances, axis1=1, axis2=2)
        flat = (spread < _BELOW_NOISE * typical_variance(obs)).any(axis=1)
        for k in _where(seen.alive & flat & ~model.mask("covariances")):
            why = "it is one value blurred, or the errors are stated too large"
            yield (k,), f"component {k} has no spread beyond the errors: {why}; ask mixsci.discrete_or_continuous"


class Duplicates:
    """Two components that are nearly the same Gaussian."""

    def find(self, seen: Examined) -> Found:
        for i, j in seen.same:
            yield (i, j), f"components {i} and {j} are nearly the same: fit one component less"


class Halves:
    """Two components that one describes as well: merged and fitted again, BIC falls."""

    def find(self, seen: Examined) -> Found:
        if not can_be_split(seen.fit.model):
            return
        common = seen.together / np.maximum(np.minimum(seen.rows[:, None], seen.rows), FEWEST_ROWS)
        for i, j in seen.pairs:
            if common[i, j] < _COMMON or (i, j) in seen.same:
                continue
            gain = seen.fit.bic - _bic_of_one(seen, i, j)
            if gain > 0.0:
                yield (
                    (i, j),
                    f"one component in the place of {i} and {j} lowers BIC by {gain:.3g}: they may be its halves",
                )


def _bic_of_one(seen: Examined, i: int, j: int) -> float:
    """BIC of the fit with one component in the place of two; infinite where there is no such fit."""
    fit = seen.fit
    with warnings.catch_warnings():
        # A trial that stops early has a BIC that is too large, which is no finding.
        warnings.simplefilter("ignore")
        try:
            model = replace(fit.model, n_components=fit.mixture.n_components - 1)
            start = merged(fit.mixture, i, j)
            return fit_to(model, seen.obs, start=start, max_iter=_MOST_PASSES, workers=seen.workers).bic
        except DataError:
            return np.inf


class AtEdge:
    """Weights and rates that nothing speaks for."""

    def find(self, seen: Examined) -> Found:
        mixture, model = seen.fit.mixture, seen.fit.model
        held = model.mask("weights") | model.weights.linked
        for k in _where(~seen.alive & ~held):
            yield (k,), f"component {k} has lost its rows: fit fewer components, or from more starts"
        background = mixture.background
        if background is not None and not background.fixed and background.weight * seen.fit.n < FEWEST_ROWS:
            yield (), "less than half a row speaks for the background: leave it out"
        rates = np.ravel([] if mixture.rates is None else mixture.rates)
        edge = int(((rates < 10.0 * SMALLEST_RATE) | (rates > 0.99 * FULL_RATE)).sum())
        if edge:
            yield (
                (),
                f"{edge} of {rates.size} rates stand at an edge: all rows are negative there, or none; take bounds",
            )


def _where(mask: Array) -> list[int]:
    return [int(k) for k in np.flatnonzero(mask)]


CHECKS: dict[str, Check] = {
    "unfinished": Unfinished(),
    "tiny": Tiny(),
    "collapsed": Collapsed(),
    "below noise": BelowNoise(),
    "duplicates": Duplicates(),
    "halves": Halves(),
    "at edge": AtEdge(),
}


def findings(seen: Examined) -> tuple[Finding, ...]:
    """What every check finds."""
    return tuple(
        Finding(kind, components, sentence)
        for kind, check in CHECKS.items()
        for components, sentence in check.find(seen)
    )
