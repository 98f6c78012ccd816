"""Components that look like artefacts: each kind is a class that looks for it, ARTEFACTS names them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.special import gammainc

from mixsci.engine.em.fit import fit as fit_to
from mixsci.engine.em.result import Fit
from mixsci.engine.em.splitting import can_be_split, moments_of_both
from mixsci.engine.em.state import Outcome
from mixsci.engine.execution import Workers
from mixsci.engine.inference.clarity import Clarity
from mixsci.engine.inference.matching import bhattacharyya
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.law import FULL_RATE, SMALLEST_RATE
from mixsci.engine.model.model import Model, overall_variances
from mixsci.engine.model.weights import Free, Poisson
from mixsci.errors import ConvergenceWarning, DataError

Array = np.ndarray

_SMALLEST = float(np.finfo(float).tiny)
#: A variance below this share of that of all rows, in some direction, is none.
_NO_SPREAD = 1e-8
#: How much above its floor a variance still stands at it.
_AT_FLOOR = 1e-3
#: A component with fewer rows per number than this, and a variance below this share of the others', may be an accident.
_FEW_ROWS, _THIN = 4.0, 1e-2
#: Standard errors that a variance must have above zero to be one.
_SIGNIFICANT = 2.0
#: Two components share rows if so large a part of the smaller one's is as much the other's.
_SHARED = 0.02
#: Shares of two components of which they are halves.
_HALVES = (0.4, 0.6)
#: Bhattacharyya distance below which two components are in one place.
_COINCIDENT = 0.01
#: Passes of the climb after a merge; wherever it ends, BIC there is an upper bound.
_PASSES = 300
#: Share of the rows that a law sees beyond its last class before it is said.
_BEYOND = 0.01
#: A rate so many times the smallest one is at its edge.
_EDGE = 10.0


@dataclass(frozen=True)
class Finding:
    """One remark on components.

    Attributes:
        kind: its name in `ARTEFACTS`. components: which. sentence: what was found, and what to do.
    """

    kind: str
    components: tuple[int, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, eq=False)
class Case:
    """What is looked at: a fit of a `Model`, its rows, and how clearly it divides them."""

    fit: Fit
    obs: Any
    clarity: Clarity
    workers: Workers

    @property
    def model(self) -> Model:
        """What was assumed."""
        return self.fit.model

    @property
    def mixture(self) -> Mixture:
        """What was found."""
        return self.fit.mixture

    @property
    def free(self) -> list[int]:
        """Components whose covariance is not held."""
        return [int(k) for k in np.flatnonzero(~self.model.mask("covariances"))]

    @property
    def can_merge(self) -> bool:
        """Whether a mixture of one component less is of the same kind."""
        return can_be_split(self.model) and not self.model.ordered and isinstance(self.model.weights, Free)

    @cached_property
    def seen(self) -> Array:
        """(K,) expected rows of each component that see the column they see least."""
        return self.clarity.seen.min(axis=1) if self.clarity.seen.size else self.clarity.rows

    @cached_property
    def errors(self) -> Array:
        """(K, D) mean error variances of what each component's rows see; zeros where rows see a projection."""
        mean = self.clarity.errors / np.maximum(self.clarity.seen, _SMALLEST)
        return mean if mean.size else np.zeros(self.mixture.means.shape)

    @property
    def or_prior(self) -> str:
        """The advice to give a prior, where there is none."""
        return "" if self.model.pseudo_is_set else ", or give the model a prior"

    @property
    def blurred(self) -> Array:
        """(K, D, D) covariances with the mean error variances of each component's rows."""
        return np.asarray(self.mixture.covariances + self.errors[:, :, None] * np.eye(self.mixture.n_dims))

    def numbers(self, k: int) -> int:
        """Free numbers that are component k's own."""
        model, d = self.model, self.mixture.n_dims
        places = d * bool(model.means.free and not model.mask("means")[k])
        structure = model.covariance
        spread = 0 if model.mask("covariances")[k] else structure.n_free(2, d) - structure.n_free(1, d)
        return places + spread + (not model.weights.linked and not model.mask("weights")[k])


Found = Iterator[tuple[tuple[int, ...], str]]


class Artefact(Protocol):
    """A kind of artefact."""

    def find(self, case: Case) -> Found:
        """Components, and the sentence that says what is wrong with them."""


class Tiny:
    """Fewer rows than free numbers."""

    def find(self, case: Case) -> Found:
        """Components that stand for fewer rows than they have numbers."""
        for k, rows in enumerate(case.seen):
            if rows < case.numbers(k):
                sentence = (
                    f"component {k} has {case.numbers(k)} free numbers and {rows:.1f} rows to find them from: fit "
                    f"fewer, or give all components one covariance{case.or_prior}"
                )
                yield (k,), sentence


class Collapsed:
    """No spread in some direction, or none above the floor."""

    def find(self, case: Case) -> Found:
        """Components that only their floor, or rounding, keeps from a likelihood without end."""
        covariances, floor = case.mixture.covariances, case.model.floor
        sd = np.sqrt(overall_variances(case.mixture))
        lowest = np.linalg.eigvalsh(covariances)[:, 0]
        share = np.linalg.eigvalsh(covariances / np.outer(sd, sd))[:, 0]
        exact = not case.clarity.errors.any()
        # A fit that ends in a collapse gives its last mixture before it.
        falling = min(case.free, key=lambda k: share[k]) if case.fit.outcome is Outcome.COLLAPSED else None
        for k in case.free:
            if floor > 0 and lowest[k] <= floor * (1.0 + _AT_FLOOR):
                yield (k,), self._at_floor(k, floor) + case.or_prior
            elif k == falling or (exact and share[k] < _NO_SPREAD):
                yield (k,), self._without_spread(k) + case.or_prior

    def _at_floor(self, k: int, floor: float) -> str:
        return (
            f"component {k} stands at the floor of {floor:g}: its smallest variance is the floor's, not its rows': fit "
            "fewer components"
        )

    def _without_spread(self, k: int) -> str:
        return (
            f"component {k} has no spread in some direction: its rows repeat one another there, or it collapses onto "
            "few; use a floor or fewer components"
        )


class Thin:
    """Far less spread than the others in some direction, and few rows (McLachlan & Peel 2000, section 3.10)."""

    def find(self, case: Case) -> Found:
        """Components that a few rows which happen to lie on a line or a plane may have made."""
        rows, spread = case.clarity.rows, case.blurred
        for k in case.free if len(rows) > 1 else ():
            others = np.average(np.delete(spread, k, 0), 0, np.delete(rows, k) + _SMALLEST)
            share = _least_share(spread[k], others)
            few = case.numbers(k) <= case.seen[k] < _FEW_ROWS * case.numbers(k)
            if few and _NO_SPREAD <= share < _THIN:
                sentence = (
                    f"component {k}, of {rows[k]:.1f} rows, is {1.0 / np.sqrt(share):.0f} times as narrow as the "
                    "others in some direction, as few rows that happen to lie so make one: compare other starts"
                    f"{case.or_prior}"
                )
                yield (k,), sentence


class LostInErrors:
    """A variance that the errors of its rows hide."""

    def find(self, case: Case) -> Found:
        """Components whose variance in some columns is less than two of its standard errors."""
        inside = case.mixture.component_variances()
        sure = _SIGNIFICANT * np.sqrt(2.0 / np.maximum(case.clarity.rows, 1.0))[:, None]
        if case.clarity.seen.size:
            sure = _SIGNIFICANT * np.sqrt(2.0 / np.maximum(case.clarity.seen, 1.0))
        hidden = (case.errors > 0) & (inside < sure * (inside + case.errors))
        for k in case.free:
            if hidden[k].any():
                sentence = (
                    f"component {k} may have no spread of its own in {_named(case, hidden[k])}, where the errors "
                    "explain that of its rows: read its variance there as an upper limit"
                )
                yield (k,), sentence


class Superfluous:
    """Two components that serve no better than one."""

    def find(self, case: Case) -> Found:
        """Pairs that share rows, and for which one component has no worse a BIC; no component twice."""
        if not case.can_merge:
            return
        done: set[int] = set()
        for i, j in _neighbours(case.clarity):
            # A component that two others border on is spared once.
            gain = -np.inf if done & {i, j} else self._gain(case, i, j)
            if gain >= 0.0:
                done |= {i, j}
                yield (i, j), self._sentence(case, i, j, gain)

    def _gain(self, case: Case, i: int, j: int) -> float:
        """By how much BIC falls when two components become one and all climb on."""
        fewer = replace(case.model, n_components=case.model.n_components - 1, frozen=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                found = fit_to(
                    fewer, case.obs, start=merged(case.mixture, i, j), max_iter=_PASSES, workers=case.workers
                )
            except (DataError, np.linalg.LinAlgError):
                return -np.inf
        return case.fit.bic - found.bic

    def _sentence(self, case: Case, i: int, j: int, gain: float) -> str:
        rows = case.clarity.rows[[i, j]]
        share = rows[0] / rows.sum()
        like = "halve one cluster" if _HALVES[0] <= share <= _HALVES[1] else "describe one cluster"
        return (
            f"components {i} and {j} {like}, {share:.0%} and {1.0 - share:.0%} of it: with one in their place BIC is "
            f"{gain:.1f} lower; fit fewer components"
        )


class Coincident:
    """Two components in one place, where a law or something held forbids to make them one."""

    def find(self, case: Case) -> Found:
        """Pairs that no row can tell apart; asked where `Superfluous` is not."""
        if case.can_merge or not case.model.means.free:
            return
        near = np.triu(bhattacharyya(case.mixture, case.mixture) < _COINCIDENT, 1)
        for i, j in np.argwhere(near).tolist():
            sentence = (
                f"components {i} and {j} lie in one place, where their rows cannot be told apart: the climb may have "
                "ended in a trap; give more starts, a start, or tie the means"
            )
            yield (i, j), sentence


class AtEdge:
    """A law of weights at its edge, or with rows beyond its last class."""

    def find(self, case: Case) -> Found:
        """Rates that rows hold on one side only, and classes that are missing."""
        rates, last = case.mixture.rates, case.mixture.n_components - 1
        if rates is None:
            return
        if (rates <= _EDGE * SMALLEST_RATE).any() or (rates >= FULL_RATE).any():
            sentence = (
                "a rate of the weights stands at its edge, as rows of some group are all empty or all full: read it "
                "as a limit, not as a number"
            )
            yield (0, last), sentence
        beyond = _share_beyond(case)
        if beyond > _BEYOND:
            yield (last,), f"by the law of its weights {beyond:.1%} of the rows lie beyond component {last}: add more"


#: Kind -> what looks for it.
ARTEFACTS: dict[str, Artefact] = {
    "tiny": Tiny(),
    "collapsed": Collapsed(),
    "thin": Thin(),
    "lost in errors": LostInErrors(),
    "superfluous": Superfluous(),
    "coincident": Coincident(),
    "at edge": AtEdge(),
}


def artefacts(case: Case) -> tuple[Finding, ...]:
    """Everything that is found, kind by kind."""
    return tuple(
        Finding(kind, components, sentence)
        for kind, artefact in ARTEFACTS.items()
        for components, sentence in artefact.find(case)
    )


def merged(mixture: Mixture, i: int, j: int) -> Mixture:
    """The mixture with components i and j as one, in the place of i: weights added, moments kept."""
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances.copy()
    weights[..., i] += weights[..., j]
    means[i], covariances[i] = moments_of_both(mixture, i, j)
    return replace(
        mixture,
        weights=np.delete(weights, j, axis=-1),
        means=np.delete(means, j, axis=0),
        covariances=np.delete(covariances, j, axis=0),
    )


def _neighbours(clarity: Clarity) -> list[tuple[int, int]]:
    """Pairs i < j that share rows, most first, each component with the one it shares most with."""
    rows = np.maximum(clarity.rows, _SMALLEST)
    share = clarity.shared / np.minimum.outer(rows, rows)
    np.fill_diagonal(share, 0.0)
    partner = share.argmax(axis=1)
    pairs = {tuple(sorted((i, int(j)))) for i, j in enumerate(partner) if share[i, j] > _SHARED}
    return sorted(((i, j) for i, j in pairs), key=lambda pair: -share[pair])


def _least_share(covariance: Array, other: Array) -> float:
    """The least of v'A v / v'B v over directions v."""
    try:
        root = np.linalg.cholesky(other)
    except np.linalg.LinAlgError:
        return np.inf
    half = np.linalg.solve(root, covariance)
    return float(np.linalg.eigvalsh(np.linalg.solve(root, half.T))[0])


def _share_beyond(case: Case) -> float:
    """Share of the rows that a Poisson law puts beyond its last class, where that class is one number of copies."""
    law, mixture = case.model.weights, case.mixture
    if not isinstance(law, Poisson) or (law.last == "tail" and mixture.theta is None):
        return 0.0
    rows = np.ones(1) if mixture.group_rows is None else mixture.group_rows
    return float(np.average(np.atleast_1d(gammainc(mixture.n_components, mixture.rates)), weights=rows))


def _named(case: Case, some: Array) -> str:
    names, columns = case.fit.names, np.flatnonzero(some)
    found = [f"column {j}" if names is None else names[j] for j in columns]
    return ", ".join(found[:5]) + (" ..." if len(found) > 5 else "")
