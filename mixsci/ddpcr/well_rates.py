"""Lambda of every well, with everything shared held: its likelihood, its maximum, and intervals from its profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import chi2

from mixsci.ddpcr.laws import Scheme
from mixsci.ddpcr.plate_model import AssayFit
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations

Array = np.ndarray

#: Droplets so sure of their state that their log-likelihood is linear in what is left are one row, their mean. Of what
#: looks positive a little doubt is much where positives are rare.
_SURE_NEGATIVE, _SURE = 3e-3, 1e-7
_LEAST_RATE, _MOST_RATE = 1e-9, 50.0
_MOST_STEPS = 1000
#: Gains of the log-likelihood below this end a climb.
_TOL = 1e-8
_MOST_HALVINGS = 60
#: Ends of an interval are found to this share of lambda.
_END = 5e-5


@dataclass(frozen=True, eq=False)
class PlateRates:
    """What the wells of an assay say of their rates, given the plate's states and shapes and each well's baseline.

    Attributes:
        scheme: the targets.
        shares: (n, S) of every distinct droplet: its density under each state, up to a factor of its own.
        beyond: (n,) the same under no population.
        counts: (n,) droplets. begins: (W,) first row of each well.
    """

    scheme: Scheme
    shares: Array
    beyond: Array
    counts: Array
    begins: Array

    @cached_property
    def weights(self) -> Array:
        """(W, S) weights of greatest likelihood under the law."""
        even = np.full((len(self.begins), self.shares.shape[1]), 1.0 / self.shares.shape[1])
        return self._climb(self._linked, self._linked(self._expected(even)))

    @cached_property
    def counted(self) -> Array:
        """(W, S) expected droplets in each state."""
        return self._expected(self.weights)

    @cached_property
    def rates(self) -> Array:
        """(W, T) lambda of greatest likelihood; infinite where no droplet is without the target."""
        found = self.scheme.rates(self._law_rates(self.counted))
        return np.where(found > _MOST_RATE / 2, np.inf, found)

    @cached_property
    def log_likelihood(self) -> Array:
        """(W,) at the maximum, up to a constant for each well."""
        return self._log_likelihood(self.weights)

    def profile(self, t: int, rate: Array) -> Array:
        """(W,) log-likelihood with lambda (W,) of target t held and all else at its best, up to the same constants."""
        return self._log_likelihood(self._climb(lambda counts: self._holding(counts, t, rate), self.weights))

    def interval(self, t: int, level: float = 0.95) -> tuple[Array, Array]:
        """(W,) ends of the profile-likelihood intervals of lambda of target t; from 0 where 0 is likely."""
        drop = 0.5 * float(chi2.ppf(level, 1))
        middle = np.log(np.clip(self.rates[:, t], _LEAST_RATE, _MOST_RATE))
        size = np.clip(np.sqrt(2 * drop) * self.standard_error(t) / np.exp(middle), 0.01, 5.0)

        def short(log_rate: Array) -> Array:
            return self.log_likelihood - drop - self.profile(t, np.exp(log_rate))

        low = _cross(short, middle, -size, np.log(_LEAST_RATE))
        # From where nothing was counted, the first step up leads to one droplet.
        one = np.log(1.0 / np.maximum(self.counted.sum(axis=1), 1.0))
        high = _cross(short, middle, np.maximum(size, one - middle), np.log(_MOST_RATE))
        return np.where(np.isfinite(low), np.exp(low), 0.0), np.where(np.isfinite(high), np.exp(high), np.inf)

    def standard_error(self, t: int) -> Array:
        """(W,) of lambda of target t, from the information of the droplets, less where populations overlap.

        Where less than one droplet was counted it is what that one would make; infinite where lambda is.
        """
        one = 1.0 / np.maximum(self.counted.sum(axis=1), 1.0)
        rate = np.clip(self.rates[:, t], one, _MOST_RATE)
        counts = self.counted + 1e-12
        here, up, down = (self._holding(counts, t, rate * (1 + move)) for move in (0.0, 1e-4, -1e-4))
        slope = (up - down) / (2e-4 * rate)[:, None]
        score = (self.shares * self._spread(slope)).sum(axis=1) / self._density(here)
        information = np.add.reduceat(self.counts * score**2, self.begins)
        found = 1.0 / np.sqrt(np.where(information > 0, information, 1.0))
        return np.where(self.rates[:, t] < one, one, np.where(np.isinf(self.rates[:, t]), np.inf, found))

    @cached_property
    def freely(self) -> tuple[Array, int]:
        """How much more likely weights without the law are: p-values (W,), and the law's degrees of freedom."""
        freedom = len(self.scheme.states) - 1 - self.scheme.n_rates
        if freedom < 1:
            return np.full(len(self.begins), np.nan), 0
        free = self._climb(lambda counts: counts / counts.sum(axis=1, keepdims=True), np.maximum(self.weights, 1e-9))
        gain = np.maximum(self._log_likelihood(free) - self.log_likelihood, 0.0)
        return chi2.sf(2 * gain, freedom), freedom

    # The climb of all wells at once, on few distinct droplets

    def _climb(self, maximise: Callable[[Array], Array], weights: Array) -> Array:
        """Weights (W, S) where EM comes to rest."""
        before = np.full(len(weights), -np.inf)
        for _ in range(_MOST_STEPS):
            weights = maximise(self._expected(weights))
            now = self._log_likelihood(weights)
            if (now - before < _TOL).all():
                break
            before = now
        return weights

    @cached_property
    def _well(self) -> Array:
        """(n,) well of each row."""
        return np.repeat(np.arange(len(self.begins)), np.diff(np.append(self.begins, len(self.counts))))

    def _spread(self, values: Array) -> Array:
        """(n, S) values (W, S) of the wells on their rows."""
        return values[self._well]

    def _density(self, weights: Array) -> Array:
        return (self.shares * self._spread(weights)).sum(axis=1) + self.beyond

    def _expected(self, weights: Array) -> Array:
        parts = self.shares * self._spread(weights)
        parts *= (self.counts / (parts.sum(axis=1) + self.beyond))[:, None]
        return np.add.reduceat(parts, self.begins)

    def _log_likelihood(self, weights: Array) -> Array:
        return np.add.reduceat(self.counts * np.log(self._density(weights)), self.begins)

    def _law_rates(self, counts: Array) -> Array:
        law = self.scheme.law
        _, start = law.start(counts.shape[1], len(counts))
        rates: Array = law.maximise(counts, counts, start, np.zeros(counts.shape[1], dtype=bool))[1]
        return rates

    def _linked(self, counts: Array) -> Array:
        return np.asarray(self.scheme.law.weights(self._law_rates(counts)))

    def _holding(self, counts: Array, t: int, rate: Array) -> Array:
        """Weights (W, S) for expected counts with lambda (W,) of target t held."""
        if not self.scheme.linked:
            rates = self._law_rates(counts)
            rates[:, t] = rate
            return np.asarray(self.scheme.law.weights(rates))
        positive = self.scheme.positive(t)
        share = np.where(positive, -np.expm1(-rate)[:, None], np.exp(-rate)[:, None])
        held = np.where(positive, counts[:, positive].sum(axis=1)[:, None], counts[:, ~positive].sum(axis=1)[:, None])
        return share * counts / np.maximum(held, 1e-300)


@dataclass(frozen=True, eq=False)
class WellRates:
    """One well of `PlateRates`.

    Attributes:
        of_plate: all wells. well: its number among them.
    """

    of_plate: PlateRates
    well: int

    @property
    def weights(self) -> Array:
        """(S,) weights of the states."""
        return np.asarray(self.of_plate.weights[self.well])

    @property
    def counted(self) -> Array:
        """(S,) expected droplets in each state."""
        return np.asarray(self.of_plate.counted[self.well])

    @property
    def rates(self) -> Array:
        """(T,) lambda of greatest likelihood."""
        return np.asarray(self.of_plate.rates[self.well])

    @property
    def total(self) -> float:
        """Expected droplets of the assay."""
        return float(self.counted.sum())

    @property
    def freely(self) -> tuple[float, int]:
        """p-value of the law against weights without it, and its degrees of freedom."""
        p_values, freedom = self.of_plate.freely
        return float(p_values[self.well]), freedom


def _cross(short: Callable[[Array], Array], middle: Array, step: Array, edge: float) -> Array:
    """Where functions that are negative at `middle` (W,) rise through zero in the direction of `step`.

    Returns:
        (W,) places; infinite, with the sign of the step, where one stays negative up to the edge.
    """
    sign = np.sign(step)
    clip = (lambda x: np.minimum(x, edge)) if sign[0] > 0 else (lambda x: np.maximum(x, edge))
    inside, outside = middle.copy(), clip(middle + step)
    below, above = np.full(len(middle), -1.0), short(outside)
    while ((above < 0) & (outside != edge)).any():
        further = (above < 0) & (outside != edge)
        step = np.where(further, 2 * step, step)
        inside, below = np.where(further, outside, inside), np.where(further, above, below)
        outside = np.where(further, clip(outside + step), outside)
        above = np.where(further, short(outside), above)
    never = above < 0
    for _ in range(_MOST_HALVINGS):
        if (never | (np.abs(outside - inside) < _END)).all():
            break
        # Regula falsi with halving (Illinois), kept off the ends.
        share = np.clip(below / np.where(above > below, below - above, -1.0), 0.02, 0.98)
        share = np.where(np.isfinite(share), share, 0.5)
        between = inside + share * (outside - inside)
        value = short(between)
        up = value >= 0
        above, below = np.where(up, value, 0.5 * above), np.where(up, 0.5 * below, value)
        inside, outside = np.where(up, inside, between), np.where(up, between, outside)
    return np.where(never, sign * np.inf, (inside + outside) / 2)


def plate_rates(found: AssayFit, mixtures: Sequence[Mixture]) -> PlateRates:
    """The likelihood of the wells of an assay from their binned droplets, the states where `mixtures` (W) have them."""
    parts = [_distinct(found, mixture, well) for well, mixture in enumerate(mixtures)]
    shares, beyond, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
    begins = np.cumsum([0] + [len(part[2]) for part in parts[:-1]])
    return PlateRates(found.scheme, shares, beyond, counts, begins)


def _distinct(found: AssayFit, mixture: Mixture, well: int) -> tuple[Array, Array, Array]:
    """Rows of one well: droplets that are sure of their state are one row for each state."""
    here = found.binned.of(well)
    counts = found.binned.counts[here]
    shares, beyond = state_shares(found, mixture, found.binned.x[here])
    sure = (shares[:, 0] > 1.0 - _SURE_NEGATIVE) | (shares.max(axis=1) > 1.0 - _SURE)
    held = (shares.argmax(axis=1)[sure] == np.arange(shares.shape[1])[:, None]) * counts[sure]
    total = held.sum(axis=1)
    mean = held[total > 0] / total[total > 0, None]
    return (
        np.concatenate([shares[~sure], mean @ shares[sure]]),
        np.concatenate([beyond[~sure], mean @ beyond[sure]]),
        np.concatenate([counts[~sure], total[total > 0]]),
    )


def state_shares(found: AssayFit, mixture: Mixture, x: Array) -> tuple[Array, Array]:
    """Densities (n, S) of amplitudes x (n, C) under each state, and (n,) under no population, up to a factor by row."""
    n_states = len(found.scheme.states)
    neutral = mixture.evolve(weights=found.layout.weigh(np.full(n_states, 1.0 / n_states), mixture.weights))
    shares = neutral.responsibilities(Observations(x))
    # Components stand state by state, the core first.
    joined = np.add.reduceat(shares, found.layout.cores, axis=1)
    return joined, np.maximum(1.0 - joined.sum(axis=1), 0.0) / n_states
