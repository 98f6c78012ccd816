"""The wells of one assay as one mixture: shared states and shapes, and for every well its own lambda and baseline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixsci.ddpcr.binning import Binned, gather
from mixsci.ddpcr.landmarks import Landmarks, squeeze
from mixsci.ddpcr.lattice import Placed
from mixsci.ddpcr.laws import Scheme
from mixsci.ddpcr.states import Layout, layout, share_spreads
from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.covariances import Scaled
from mixsci.engine.model.means import Offsets
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.model.priors import InverseWishart
from mixsci.engine.observations import Observations
from mixsci.errors import ConvergenceWarning, DataError

Array = np.ndarray

#: Share of droplets of no population, so low that, spread over the whole range, it never outweighs a rare positive.
_OUTLIERS = 1e-5
#: A well's baseline is expected within this share of the range of amplitudes around the plate's.
_DRIFT = 0.1
_PRIOR_ROWS = 10.0
#: Wells that show the way where there are more than twice as many.
_GUIDES, _GUIDE_TOL = 20, 1e-6


@dataclass(frozen=True, eq=False)
class AssayFit:
    """The wells of an assay and what was found of them.

    Attributes:
        names: (W,) wells. layout: the components. fit: of the engine. binned: the droplets it saw.
        marks: where the search began. unseen: channels without a positive population.
    """

    names: tuple[str, ...]
    layout: Layout
    fit: Fit
    binned: Binned
    marks: Landmarks
    unseen: tuple[int, ...] = ()

    @property
    def scheme(self) -> Scheme:
        """The targets."""
        return self.layout.scheme

    def named(self, names: Sequence[str]) -> AssayFit:
        """The same with other names of the targets."""
        return replace(self, layout=replace(self.layout, scheme=self.scheme.named(names)))

    @property
    def levels(self) -> Array:
        """(S, C) amplitudes of the states, without the wells' offsets."""
        return np.asarray(self.fit.mixture.means[self.layout.cores])

    @property
    def resolution(self) -> tuple[float, ...]:
        """(T,) distance from without to with each target, over the sum of the two standard deviations along it."""
        places, spreads = self.levels, self.fit.mixture.covariances[self.layout.cores]
        found = []
        for t in range(len(self.scheme.targets)):
            one = self.scheme.single(t)
            step = places[one] - places[0]
            unit = step / np.linalg.norm(step)
            along = [np.sqrt(unit @ spreads[state] @ unit) for state in (0, one)]
            found.append(float(np.linalg.norm(step) / sum(along)))
        return tuple(found)

    def drift(self, well: int) -> tuple[float, str]:
        """How far a well's baseline lies from the plate's, in units of the usual drift, and that drift in words."""
        offsets = np.asarray(self.fit.mixture.offsets)
        middle = np.median(offsets, axis=0)
        usual = np.maximum(1.4826 * np.median(np.abs(offsets - middle), axis=0), 0.5 * self.marks.spread)
        return float((np.abs(offsets[well] - middle) / usual).max()), ", ".join(f"{size:.0f}" for size in usual)


def fit_assay(
    names: Sequence[str], wells: Sequence[Array], marks: Landmarks, placed: Placed, *, tol: float = 1e-6,
    free: bool = False, progress: bool = False,
) -> AssayFit:  # fmt: skip
    """The plate model of wells (n_w, C) that share an assay; `free` unties the weights of the states from any law."""
    binned = gather(wells, marks.baselines, marks.spread)
    membership = _nearest_state(binned, marks, placed.places)
    masses = np.bincount(membership, weights=binned.counts, minlength=len(placed.places))
    plan = layout(placed, marks.spread, masses)
    if len(binned.x) <= len(plan.parts):
        raise DataError(
            f"droplets must have amplitudes of their own; wells {', '.join(names[:5])} hold {len(binned.x)} different "
            "ones: export amplitudes as they were measured, not calls"
        )
    model, start = _begin(binned, marks, placed, plan, membership, masses, free=free)
    if len(wells) > 2 * _GUIDES:
        start = _guided(model, start, binned, _telling(binned, marks))
    obs = Observations(binned.x, row_weights=binned.counts, groups=binned.well)
    found = fit(model, obs, start=start, tol=tol, progress=progress)
    return AssayFit(tuple(names), plan, found, binned, marks, placed.unseen)


def _guided(model: Model, start: Mixture, binned: Binned, chosen: Array) -> Mixture:
    """The start with populations and shapes as a few telling wells have them: little is then left to climb."""
    here = np.isin(binned.well, chosen)
    obs = Observations(binned.x[here], row_weights=binned.counts[here], groups=binned.well[here])
    fewer = replace(
        start, weights=start.weights[chosen], offsets=start.offsets[chosen], group_labels=tuple(chosen.tolist()),
        rates=None if start.rates is None else start.rates[chosen],
    )  # fmt: skip
    with warnings.catch_warnings():
        # Whether the climb of all wells ends well is what counts.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fit(model, obs, start=fewer, tol=_GUIDE_TOL).mixture
    states = np.array(model.weights.state_of_component)
    sums = [np.bincount(states, weights=row)[states] for row in (found.pooled_weights, *start.weights)]
    weights = np.array(sums[1:]) * (found.pooled_weights / np.where(sums[0] > 0, sums[0], 1.0))
    offsets = start.offsets + (found.offsets - start.offsets[chosen]).mean(axis=0)
    offsets[chosen] = found.offsets
    return replace(
        start, weights=weights / weights.sum(axis=1, keepdims=True), means=found.means, theta=found.theta,
        covariances=found.covariances, offsets=offsets,
    )  # fmt: skip


def _telling(binned: Binned, marks: Landmarks) -> Array:
    """The wells with most droplets away from the negatives, and those with fewest, in order."""
    away = (np.abs(binned.x - marks.baselines[binned.well]) > 6 * marks.spread).any(axis=1)
    order = np.argsort(np.bincount(binned.well, weights=away * binned.counts, minlength=len(marks.baselines)))
    return np.sort(np.concatenate([order[: _GUIDES // 4], order[-_GUIDES + _GUIDES // 4 :]]))


def _begin(
    binned: Binned, marks: Landmarks, placed: Placed, plan: Layout, membership: Array, masses: Array, *, free: bool
) -> tuple[Model, Mixture]:
    """The model of an assay, and the mixture its climb begins at."""
    spreads = _spreads(binned, marks, placed.places, membership, masses)
    codes = share_spreads(plan.scheme, masses)
    covariances, held = plan.covariances(spreads, placed.places, marks.spread)
    ladder, weights = plan.means(), plan.weights(free=free)
    level = marks.baselines.mean(axis=0)
    theta = _theta(plan, placed.places, level, masses, marks.spread)
    low, high = binned.x.min(axis=0), binned.x.max(axis=0)
    margin = 0.05 * (high - low)
    model = Model(
        len(plan.parts), covariance=Scaled(*plan.families(codes)), weights=weights, means=ladder,
        offsets=Offsets(_DRIFT * (high - low)),
        prior=InverseWishart.towards(np.diag((1.5 * marks.spread) ** 2), _PRIOR_ROWS),
        background=UniformBackground(low - margin, high + margin, _OUTLIERS, fixed=True),
        frozen=Frozen(covariances=held),
    )  # fmt: skip
    counts = _state_counts(plan, binned, membership, len(marks.baselines))
    start = Mixture(
        _start_weights(plan, counts), ladder.means(theta), covariances, theta=theta,
        rates=None if free else plan.scheme.law.estimate(counts), offsets=marks.baselines - level,
        group_labels=tuple(range(len(marks.baselines))),
    )  # fmt: skip
    return model, start


def _theta(plan: Layout, places: Array, level: Array, masses: Array, spread: Array) -> Array:
    """Level vectors behind the states' places, seen states counting most; populations begin to lean upwards."""
    trust = np.sqrt(1.0 + masses)[:, None]
    trust[0] = np.sqrt(1.0 + masses.sum())
    vectors = np.linalg.lstsq(plan.levels * trust, (places - plan.held) * trust, rcond=None)[0]
    vectors[0] += level
    return np.concatenate([vectors.ravel(), 2.0 * spread[plan.skewed]])


def _state_counts(plan: Layout, binned: Binned, membership: Array, n_wells: int) -> Array:
    """(W, S) droplets nearest to each state, and a little in every state."""
    counts = np.full((n_wells, len(plan.scheme.states)), 0.5 / len(plan.scheme.states))
    np.add.at(counts, (binned.well, membership), binned.counts)
    return counts


def _start_weights(plan: Layout, counts: Array) -> Array:
    """(W, K) weights: the states' shares of each well, spread over their components as the shapes begin."""
    weights = (counts / counts.sum(axis=1, keepdims=True))[:, plan.state_of] * plan.shares()
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _nearest_state(binned: Binned, marks: Landmarks, places: Array) -> Array:
    """(n,) state whose place is nearest, distances above the negatives compressed as populations widen."""
    points = squeeze(binned.x - marks.baselines[binned.well], marks.spread)
    targets = squeeze(places, marks.spread)
    away = ((points[:, None, :] - targets) ** 2).sum(axis=-1)
    return np.asarray(away.argmin(axis=1))


def _spreads(binned: Binned, marks: Landmarks, places: Array, membership: Array, masses: Array) -> Array:
    """(S, C, C) diagonal covariances of the states, from the middle half of their droplets."""
    out = np.empty((len(places), *2 * (places.shape[1],)))
    for state, place in enumerate(places):
        size = 1.5 * marks.spread + 0.03 * np.abs(place)
        here = membership == state
        if masses[state] >= 50:
            away = np.abs(binned.x[here] - marks.baselines[binned.well[here]] - place)
            size = np.array([_weighted_median(column, binned.counts[here]) for column in away.T]) * 1.4826
        out[state] = np.diag(np.maximum(size, 0.5 * marks.spread) ** 2)
    return out


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
