"""What every droplet of a well is: the probability of each target in it, and the call that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixsci.ddpcr.plate_model import AssayFit
from mixsci.ddpcr.well_rates import state_shares
from mixsci.engine.mixture import Mixture

Array = np.ndarray

_POINTS = 401
#: Bins less sure than this of their state have their droplets looked at one by one.
_UNSURE = 1e-4
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Calls:
    """The droplets of one well, in the file's order.

    Attributes:
        positive: (n, T) probability of each target.
        outlier: (n,) probability of no population at all; 1 far below the negatives or above all.
        seen: (n, T) the same as `positive` where a control's droplets do not reach, 0 elsewhere.
        alone: code of the target where there is but one: 2 in Ch1, 4 in Ch2.
    """

    positive: Array
    outlier: Array
    seen: Array
    alone: int = 2

    @property
    def called(self) -> Array:
        """(n, T) targets called: more probable than not."""
        return np.asarray(self.positive > 0.5)

    @property
    def accepted(self) -> Array:
        """(n,) droplets of the assay: those of no population are not."""
        return np.asarray(self.outlier <= 0.5)

    def clusters(self) -> Array:
        """(n,) QuantaSoft's codes: 1 no target, 2 the first, 3 both, 4 the second, 0 no droplet of the assay.

        With more than two targets they are 1 + the sum of 2^t over the targets t called.
        """
        called = self.called
        if called.shape[1] == 1:
            codes = np.where(called[:, 0], self.alone, 1)
        elif called.shape[1] == 2:
            first, second = called.T
            codes = np.where(first, np.where(second, 3, 2), np.where(second, 4, 1))
        else:
            codes = 1 + called @ (1 << np.arange(called.shape[1]))
        return np.where(self.accepted, codes, 0)


def calls(found: AssayFit, well: int, mixture: Mixture, weights: Array, x: Array, reach: Array) -> Calls:
    """The calls of droplets x (n, C) of a well, whose states have weights (S,) and lie where `mixture` has them.

    Args:
        reach: (T,) how far towards each target a control's droplets come, as shares of the way (see `towards`).
    """
    parts, beyond, gated = state_parts(found, well, mixture, weights, x)
    states = found.scheme.states
    positive = np.stack([parts[:, states[:, t] > 0].sum(axis=1) for t in range(states.shape[1])], axis=-1)
    seen = np.zeros_like(positive)
    for t in range(states.shape[1]):
        maybe = positive[:, t] > _NOTHING
        far = towards(found, mixture, t, x[maybe], parts[maybe]) > reach[t]
        seen[maybe, t] = np.where(far, positive[maybe, t], 0.0)
    return Calls(positive, np.where(gated, 1.0, beyond), seen)


def state_parts(found: AssayFit, well: int, mixture: Mixture, weights: Array, x: Array) -> tuple[Array, Array, Array]:
    """Probabilities (n, S) of the states and (n,) of no population, and (n,) droplets far below the negatives.

    Droplets of a bin that is sure of its state share its probabilities; all others have their own.
    """
    bins = found.binned.bin_of[well]
    shared, shared_beyond = _normalised(found, mixture, weights, found.binned.x[found.binned.of(well)])
    gated = bins < 0
    parts, beyond = np.zeros((len(x), len(weights))), np.zeros(len(x))
    parts[~gated], beyond[~gated] = shared[bins[~gated]], shared_beyond[bins[~gated]]
    unsure = ~gated & (parts.max(axis=1) < 1.0 - _UNSURE)
    parts[unsure], beyond[unsure] = _normalised(found, mixture, weights, x[unsure])
    return parts, beyond, gated


def _normalised(found: AssayFit, mixture: Mixture, weights: Array, x: Array) -> tuple[Array, Array]:
    if not len(x):
        return np.zeros((0, len(weights))), np.zeros(0)
    shares, beyond = state_shares(found, mixture, x)
    parts = shares * weights
    total = parts.sum(axis=1) + beyond
    return parts / total[:, None], beyond / total


def towards(found: AssayFit, mixture: Mixture, t: int, x: Array, parts: Array) -> Array:
    """(n,) how far droplets have come from without target t to its first class: 0 there, 1 here.

    Measured along that way, in units of the negatives' spread, from the state each droplet would have without t.
    """
    levels = mixture.means[found.layout.cores]
    states = found.scheme.states
    others = np.delete(states, t, axis=1)
    without = np.flatnonzero(states[:, t] == 0)
    # The likeliest company of each droplet, whatever its class of t.
    company = np.stack([parts[:, (others == others[base]).all(axis=1)].sum(axis=1) for base in without], axis=-1)
    base = without[company.argmax(axis=1)]
    first = [
        int(np.flatnonzero((others == others[b]).all(axis=1) & (states[:, t] == 1))[0]) for b in range(len(states))
    ]
    step = (levels[first] - levels)[base] / found.marks.spread**2
    way = ((levels[first] - levels)[base] * step).sum(axis=1)
    return np.asarray(((x - levels[base]) * step).sum(axis=1) / np.where(way > 0, way, 1.0))


def reach_of_controls(
    found: AssayFit, mixtures: Sequence[Mixture], weights: Array, wells: Mapping[int, Array]
) -> Array:
    """(T,) how far towards each target droplets without it come, in the controls; in all wells where there are none.

    Args:
        mixtures, weights: of all wells (W, S). wells: droplets of the controls (or of all wells), by number.
    """
    n_targets = found.scheme.states.shape[1]
    farthest = np.zeros(n_targets)
    for well, x in wells.items():
        parts, beyond, gated = state_parts(found, well, mixtures[well], weights[well], x)
        usable = ~gated & (beyond <= 0.5)
        for t in range(n_targets):
            negative = usable & (parts[:, found.scheme.states[:, t] == 0].sum(axis=1) > 0.5)
            if negative.any():
                farthest[t] = max(
                    farthest[t], float(towards(found, mixtures[well], t, x[negative], parts[negative]).max())
                )
    return farthest


def rain_fraction(found: AssayFit, mixture: Mixture, weights: Array) -> Array:
    """(T,) share of the droplets with each target that lie on its way up, by the shapes and a well's weights."""
    parts = found.layout.weigh(weights, mixture.weights)
    out = np.zeros(len(found.scheme.targets))
    for t in range(len(out)):
        positive = found.scheme.states[found.layout.state_of, t] > 0
        rain = np.array([part.kind == "rain" and part.target == t for part in found.layout.parts])
        out[t] = parts[positive & rain].sum() / max(parts[positive].sum(), 1e-300)
    return out


def threshold(found: AssayFit, mixture: Mixture, weights: Array, t: int) -> float:
    """Amplitude in the channel of target t from which a droplet without any other target is called positive."""
    channel = found.scheme.targets[t].channel
    if channel is None:
        return float("nan")
    states = found.scheme.states
    single = found.scheme.single(t)
    low, high = mixture.means[found.layout.cores[[0, single]]]
    way = low + np.linspace(0.0, 1.0, _POINTS)[:, None] * (high - low)
    shares, _ = state_shares(found, mixture, way)
    parts = shares * weights
    positive = parts[:, states[:, t] > 0].sum(axis=1) > 0.5 * parts.sum(axis=1)
    last = int(np.flatnonzero(~positive).max(initial=0))
    return float(way[min(last + 1, _POINTS - 1), channel])
