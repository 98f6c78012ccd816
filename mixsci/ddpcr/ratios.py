"""What two targets of the same droplets say together: ratio, fractional abundance, copy number, linkage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import xlogy

from mixsci.ddpcr.concentrations import (
    DROPLET_VOLUME_NL,
    Estimate,
    as_estimate,
    concentration_of,
    counts,
    rate,
    rate_interval,
    sigmas,
)
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

_HALVINGS = 40
_ROUNDS, _SETTLED = 500, 1e-11


def ratio(first: Any, second: Any, *, method: str = "mover", level: float = 0.95, correlation: Any = 0.0) -> Estimate:
    """Concentration of the first target over that of the second, and its interval. The droplet volume cancels.

    Args:
        first: (value, low, high) of a rate or a concentration, or (positives, total); numbers or arrays.
        second: the same of the other target.
        method: "mover" (Donner & Zou: from the two intervals, also with few or no positives), "log" (normal on the log
            scale, the delta method for counts), "instrument" (what QuantaSoft and QX Manager print).
        level: of confidence, where counts are given.
        correlation: of the two estimates, what `rate_correlation` gives for targets read in the same droplets; the
            instrument takes it as 0.

    Returns:
        0 with an upper end where the first is 0, infinity with a lower end where the second is, NaN between 0 and
        infinity where both are.

    Raises:
        DataError: an unknown method, ends that do not hold their value, impossible counts.

    >>> value, low, high = ratio((2739, 18739), (12903, 18739), method="instrument")
    >>> f"{value:.3f} [{low:.3f}, {high:.3f}]"
    '0.135 [0.130, 0.141]'
    >>> value, low, high = ratio((2, 15000), (9000, 15000))
    >>> f"{value:.6f} [{low:.6f}, {high:.6f}]"
    '0.000146 [0.000018, 0.000526]'
    """
    way = _method(method)
    one, other = _triple(first, "first", way, level), _triple(second, "second", way, level)
    shared = _bounded(correlation)
    shapes = [np.shape(part) for part in (one.value, other.value, shared)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        given = ", ".join(str(shape) for shape in shapes)
        raise DataError(f"first, second and correlation must have one shape; got {given}") from None
    return way.combine(one, other, shared)


def fractional_abundance(
    first: Any, second: Any, *, method: str = "mover", level: float = 0.95, correlation: Any = 0.0
) -> Estimate:
    """Share of the first target in both, percent: 100 r / (1 + r) of their ratio r; arguments as in `ratio`.

    >>> value, low, high = fractional_abundance((2739, 18739), (12903, 18739), method="instrument")
    >>> f"{value:.2f} [{low:.2f}, {high:.2f}]"
    '11.93 [11.49, 12.37]'
    """
    found = ratio(first, second, method=method, level=level, correlation=correlation)
    return _method(method).abundance(found)


def copy_number(
    first: Any,
    second: Any,
    reference_copies: float = 2.0,
    *,
    method: str = "mover",
    level: float = 0.95,
    correlation: Any = 0.0,
) -> Estimate:
    """Copies of the first target per genome with so many of the second: their ratio times `reference_copies`.

    >>> copy_number((15347, 19626), (10497, 19626)).value.round(2)
    np.float64(3.98)
    """
    copies = as_number(reference_copies, "reference_copies")
    if copies <= 0:
        raise DataError(f"reference_copies must be positive; got {copies:g}")
    found = ratio(first, second, method=method, level=level, correlation=correlation)
    return Estimate(*(copies * part for part in found))


def rate_correlation(n_both: Any, n_1: Any, n_2: Any, n_none: Any) -> Array:
    """Correlation of the two rates read in the same droplets; 0 where the targets are independent.

    With q00, q1 and q2 the shares of droplets without either, without the first and without the second,
    N Cov(lambda1, lambda2) = q00 / (q1 q2) - 1 and N Var(lambda) = (1 - q) / q.

    Args:
        n_both: any shape, droplets positive for both.
        n_1: for the first alone.
        n_2: for the second alone.
        n_none: for neither.

    >>> rate_correlation(5944, 4996, 5093, 4453).round(3)
    np.float64(0.01)
    """
    both, only_1, only_2, none = _cells(n_both, n_1, n_2, n_none)
    total, free_1, free_2 = both + only_1 + only_2 + none, none + only_2, none + only_1
    spread = (total - free_1) * (total - free_2) * free_1 * free_2
    shared = none * total - free_1 * free_2
    return np.where(spread > 0, shared / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)[()]


def linkage(
    n_both: Any,
    n_1: Any,
    n_2: Any,
    n_none: Any,
    volume_nl: float = DROPLET_VOLUME_NL,
    *,
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
) -> Estimate:
    """Copies/µL of molecules that carry both targets, as the instrument counts them, with an interval it does not give.

    Copies of the first target alone, of the second alone and linked ones fall into droplets independently, with rates
    a, b and c. Then c = ln(N N00 / (N1- N2-)), where the last two count the droplets without the first and without the
    second; less than nothing is nothing. The ends are where twice the log-likelihood, the greatest over a and b, lies
    by the chi-square quantile below its maximum.

    Args:
        n_both: any shape, droplets positive for both.
        n_1: for the first alone.
        n_2: for the second alone.
        n_none: for neither.
        volume_nl: volume of a droplet, nL.
        level: of confidence.
        volume_sd_nl: standard deviation of that volume, nL.

    Returns:
        NaN between 0 and infinity where no droplet is without one of the targets.

    Raises:
        DataError: counts that are missing, negative or infinite, naming the first entries.

    >>> value, low, high = linkage(5944, 4996, 5093, 4453)
    >>> f"{value:.2f} [{low:.2f}, {high:.2f}]"
    '13.28 [0.00, 31.58]'
    """
    cells = _cells(n_both, n_1, n_2, n_none)
    value, low, high = (part.reshape(cells[0].shape) for part in _linked_rate(cells, level))
    return concentration_of(value, low, high, volume_nl, level=level, volume_sd_nl=volume_sd_nl)


class Method(NamedTuple):
    """A way to a ratio: rates from counts, two of them combined, and the abundance that follows from the ratio."""

    marginal: Callable[[Array, Array, float], Estimate]
    combine: Callable[[Estimate, Estimate, Array], Estimate]
    abundance: Callable[[Estimate], Estimate]


def _instrument(first: Estimate, second: Estimate, _correlation: Array) -> Estimate:
    """r ± r sqrt((h1 / v1)² + (h2 / v2)²), h half the width of an interval; 0 ± 0 where both are 0, as printed."""
    h1, h2 = (first.high - first.low) / 2, (second.high - second.low) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first.value / second.value
        half = np.hypot(h1, value * h2) / second.value
        low, high = np.maximum(value - half, 0.0), value + half
    none = (first.value == 0) & (second.value == 0)
    value, low, high = (np.where(none, 0.0, part) for part in (value, low, high))
    endless = np.isinf(value) | np.isnan(low) | np.isnan(high)
    return Estimate(value[()], np.where(endless, 0.0, low)[()], np.where(endless, np.inf, high)[()])


def _mover(first: Estimate, second: Estimate, correlation: Array) -> Estimate:
    """Donner & Zou (2012): r is refuted where first - r second, with the distances to the ends as its errors, is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first.value / second.value
        low = _edge(first, second, first.low, second.high, correlation)[0]
        high = _edge(first, second, first.high, second.low, correlation)[1]
    return _bound(value, low, high, first, second)


def _log(first: Estimate, second: Estimate, correlation: Array) -> Estimate:
    """The distances to the ends on the log scale, added as errors are; where a value is 0, as `_mover`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = first.value / second.value
        low = value * np.exp(-_far(np.log(first.value / first.low), np.log(second.high / second.value), correlation))
        high = value * np.exp(_far(np.log(first.high / first.value), np.log(second.value / second.low), correlation))
    other = _mover(first, second, correlation)
    zero = (first.value == 0) | (second.value == 0)
    return _bound(value, np.where(zero, other.low, low), np.where(zero, other.high, high), first, second)


def _far(one: Array, two: Array, correlation: Array) -> Array:
    """Standard error of a difference from those of its correlated parts."""
    return np.sqrt(np.maximum(one**2 + two**2 - 2 * correlation * one * two, 0.0))


def _edge(first: Estimate, second: Estimate, end: Array, other: Array, correlation: Array) -> tuple[Array, Array]:
    """Both roots r of (v1 - r v2)² = d1² + r² d2² - 2 rho r |d1 d2|, d the distances to these ends, free of 0 / 0."""
    v1, v2 = first.value, second.value
    cross = v1 * v2 - correlation * np.abs((end - v1) * (other - v2))
    above, below = end * (2 * v1 - end), other * (2 * v2 - other)
    larger = cross + np.sqrt(np.maximum(cross**2 - above * below, 0.0))
    return above / larger, larger / below


def _bound(value: Array, low: Array, high: Array, first: Estimate, second: Estimate) -> Estimate:
    """The ends found; where infinities leave none, the end of one over the far end of the other, or no end."""
    with np.errstate(divide="ignore", invalid="ignore"):
        least, most = first.low / second.high, first.high / second.low
    endless = ~(np.isfinite(first.value) & np.isfinite(second.value))
    low = np.where(endless | np.isnan(low), least, low)
    high = np.where(endless | np.isnan(high), most, high)
    low, high = np.where(np.isnan(low), 0.0, np.maximum(low, 0.0)), np.where(np.isnan(high), np.inf, high)
    return Estimate(value[()], np.fmin(low, value)[()], np.fmax(high, value)[()])


def _delta(k: Array, n: Array, level: float) -> Estimate:
    """Rates of counts with normal intervals on the log scale; N Var(lambda) = (1 - q) / q, q the share of negatives."""
    value = rate(k, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        side = np.exp(sigmas(level) * np.sqrt(k / (n * (n - k))) / value)
        low, high = value / side, value * side
    # At an edge the normal law says nothing.
    edge = rate_interval(k, n, "exact", level=level)
    usable = (k > 0) & (k < n)
    return Estimate(value, np.where(usable, low, edge.low), np.where(usable, high, edge.high))


def _of_interval(ci: str) -> Callable[[Array, Array, float], Estimate]:
    return lambda k, n, level: rate_interval(k, n, ci, level=level)


def _symmetric_share(found: Estimate) -> Estimate:
    """100 (r / (1 + r) ± half / (1 + r)²), as the instrument has it."""
    value = _share_of(found.value)
    with np.errstate(invalid="ignore"):
        half = 100 * (found.high - found.value) / (1 + found.value) ** 2
    endless = ~np.isfinite(found.high)
    low, high = np.where(endless, 0.0, np.maximum(value - half, 0.0)), np.where(endless, 100.0, value + half)
    return Estimate(value, low[()], high[()])


def _share_of(r: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(r), 100.0, 100 * r / (1 + r))[()]


def _shares(found: Estimate) -> Estimate:
    return Estimate(*(_share_of(part) for part in found))


#: Name -> way to a ratio.
METHODS: dict[str, Method] = {
    "mover": Method(_of_interval("exact"), _mover, _shares),
    "log": Method(_delta, _log, _shares),
    "instrument": Method(_of_interval("instrument"), _instrument, _symmetric_share),
}


def _method(name: Any) -> Method:
    if name not in METHODS:
        raise DataError(f"method must be one of {', '.join(METHODS)}; got {name!r}")
    return METHODS[name]


def _triple(given: Any, what: str, way: Method, level: float) -> Estimate:
    """(value, low, high) as it is, or the rates of (positives, total)."""
    try:
        parts = tuple(given)
    except TypeError:
        parts = ()
    if len(parts) == 3:
        return as_estimate(parts, what)
    if len(parts) == 2:
        return as_estimate(way.marginal(*counts(*parts), level), what)
    raise DataError(f"{what} must be (value, low, high) or (positives, total); got {str(given)[:60]}")


def _bounded(correlation: Any) -> Array:
    share = as_numbers(correlation, "correlation").values.astype(float)
    if not (np.abs(share) <= 1).all():
        raise DataError(f"correlation must lie between -1 and 1; got {share[~(np.abs(share) <= 1)].flat[0]:g}")
    return share


def _cells(*given: Any) -> tuple[Array, Array, Array, Array]:
    """The four counts as arrays of one shape."""
    parts = [as_numbers(part, "n_both, n_1, n_2, n_none").values.astype(float) for part in given]
    try:
        both, only_1, only_2, none = np.broadcast_arrays(*parts)
    except ValueError:
        raise DataError(
            f"n_both, n_1, n_2, n_none must have one shape; got {', '.join(str(part.shape) for part in parts)}"
        ) from None
    bad = ~np.all([(part >= 0) & np.isfinite(part) for part in (both, only_1, only_2, none)], axis=0)
    if bad.any():
        raise DataError(
            f"n_both, n_1, n_2, n_none must be counts, not negative; not so in {name_rows(bad.ravel())}: "
            "correct these entries or leave them out"
        )
    return both, only_1, only_2, none


def _linked_rate(cells: tuple[Array, ...], level: float) -> Estimate:
    """c of the linked molecules, copies per droplet, one per cell of the flattened counts."""
    both, only_1, only_2, none = (part.ravel() for part in cells)
    known = (none + only_2 > 0) & (none + only_1 > 0)
    value, low, high = np.full(len(known), np.nan), np.zeros(len(known)), np.full(len(known), np.inf)
    if known.any():
        likelihood = _Linked(both[known], only_1[known], only_2[known], none[known])
        value[known] = likelihood.best()
        low[known], high[known] = likelihood.interval(sigmas(level) ** 2)
    return Estimate(value, low, high)


@dataclass(frozen=True, eq=False)
class _Linked:
    """Likelihood of the linked rate c, the greatest over the others, for counts (n,).

    With u and v the chances that a droplet is free of the first and of the second target, it holds none with the chance
    u v e^c, only the first with v (1 - u e^c), only the second with u (1 - v e^c), and both with
    (1 - u)(1 - v) + u v (e^c - 1).
    """

    both: Array
    only_1: Array
    only_2: Array
    none: Array

    def best(self) -> Array:
        """c (n,) of greatest likelihood."""
        with np.errstate(divide="ignore"):
            free = np.log(self.none + self.only_1) + np.log(self.none + self.only_2)
            return np.maximum(np.log(self._total()) + np.log(self.none) - free, 0.0)

    def profile(self, c: Array) -> Array:
        """Log-likelihood (n,) at c, greatest over u and v, which take turns."""
        grown, total = np.exp(c), self._total()
        free_1, free_2 = self.none + self.only_2, self.none + self.only_1
        u, v = np.minimum(free_1 / total, 1 / grown), np.minimum(free_2 / total, 1 / grown)
        for _ in range(_ROUNDS):
            before = u
            u = _best_share(free_1, self.only_1, self.both, v, u, grown)
            v = _best_share(free_2, self.only_2, self.both, u, v, grown)
            if (np.abs(u - before) <= _SETTLED * u).all():
                break
        return (
            xlogy(self.none, u * v * grown)
            + xlogy(self.only_1, v * np.maximum(1 - u * grown, 0.0))
            + xlogy(self.only_2, u * np.maximum(1 - v * grown, 0.0))
            + xlogy(self.both, (1 - u) * (1 - v) + u * v * np.expm1(c))
        )

    def interval(self, quantile: float) -> tuple[Array, Array]:
        """Ends of the c at which twice the log-likelihood is no more than `quantile` below its maximum."""
        best = self.best()
        least = self.profile(best) - quantile / 2
        zero, outside = np.zeros_like(best), best + 1 / self._total()
        while (inside := self.profile(outside) >= least).any():
            outside = np.where(inside, best + 2 * (outside - best), outside)
        low = np.where(self.profile(zero) >= least, 0.0, self._cross(best, zero, least))
        return low, self._cross(best, outside, least)

    def _total(self) -> Array:
        return self.both + self.only_1 + self.only_2 + self.none

    def _cross(self, inside: Array, outside: Array, least: Array) -> Array:
        """Where between them the likelihood passes `least`, by halving."""
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            kept = self.profile(middle) >= least
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        return (inside + outside) / 2


def _best_share(free: Array, only: Array, both: Array, other: Array, now: Array, grown: Array) -> Array:
    """u of greatest likelihood for given v: the smaller root of its quadratic; `now` where that is 0 / 0."""
    rest, left = 1 - other, np.maximum(1 - other * grown, 0.0)
    square = grown * left * (free + only + both)
    linear = free * (left + grown * rest) + only * grown * rest + both * left
    constant = free * rest
    bottom = linear + np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0.0))
    return np.where(bottom > 0, 2 * constant / np.where(bottom > 0, bottom, 1.0), now)
