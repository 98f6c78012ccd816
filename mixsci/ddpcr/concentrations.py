"""From counts of droplets to copies per droplet (lambda) and per microlitre, with intervals, the instrument's too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import betaincinv, gammainc, gammaincinv, lambertw, ndtri

from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

#: Volume of a QX200 droplet, nL.
DROPLET_VOLUME_NL = 0.85
#: Counts from which the instrument trusts the normal law.
MANY = 100
_GRID = 1000  # steps per count in the instrument's intervals of few counts
_SIGMAS = {0.95: 1.96, 0.68: 1.0}
# Printed for no positives at 68 %: 1.366 to 1.370 in every export seen, where the rule below gives 1.140.
_NONE_AT_68 = 1.369


class Estimate(NamedTuple):
    """A number with the ends of its confidence interval: `value, low, high`, arrays where the input was arrays."""

    value: Array
    low: Array
    high: Array


def concentration(
    positives: Any,
    total: Any,
    volume_nl: float = DROPLET_VOLUME_NL,
    ci: str = "instrument",
    *,
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
    droplet_cv: float = 0.0,
) -> Estimate:
    """Concentration of a target, copies/µL, and its interval: -ln(negatives / total) / volume.

    No positives give 0 with an upper end; nothing but positives gives infinity with a lower end; no droplets at all
    give NaN, "no call", between 0 and infinity.

    Args:
        positives: any shape, droplets with the target; soft counts need not be whole.
        total: same shape or one number, accepted droplets.
        volume_nl: volume of a droplet, nL.
        ci: "instrument" (what QuantaSoft and QX Manager print), "exact" (Clopper & Pearson) or "wilson".
        level: of confidence.
        volume_sd_nl: standard deviation of that volume, nL; widens the interval.
        droplet_cv: coefficient of variation of the volumes among the droplets of a well.

    Raises:
        DataError: counts that are missing, negative or larger than the total, naming the first entries.

    >>> value, low, high = concentration(2739, 18739)
    >>> f"{value:.0f} [{low:.0f}, {high:.0f}]"
    '186 [179, 193]'
    >>> concentration([0, 59], [19638, 11713]).high.round(2)
    array([0.18, 7.6 ])
    """
    found = rate_interval(positives, total, ci, level=level, droplet_cv=droplet_cv)
    return concentration_of(*found, volume_nl, level=level, volume_sd_nl=volume_sd_nl)


def concentration_of(
    rate: Any,
    low: Any,
    high: Any,
    volume_nl: float = DROPLET_VOLUME_NL,
    *,
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
) -> Estimate:
    """Copies/µL from copies per droplet and the ends of their interval, which the volume's own error widens.

    On the log scale each side becomes sqrt(side² + (z u(V) / V)²): u(C)²/C² = u(lambda)²/lambda² + u(V)²/V².

    Args:
        rate: lambda, any shape; NaN where there is no estimate.
        low: its lower end.
        high: its upper end.
        volume_nl: volume of a droplet, nL.
        level: of confidence, of the ends given.
        volume_sd_nl: standard deviation of that volume, nL.

    Raises:
        DataError: ends that do not hold the rate between them, a volume that is not positive.

    >>> concentration_of(0.085, 0.080, 0.090).high.round(1)
    np.float64(105.9)
    >>> concentration_of(0.085, 0.080, 0.090, volume_sd_nl=0.02).high.round(1)
    np.float64(107.6)
    """
    found = as_estimate((rate, low, high), "rate, low, high")
    volume, sd = _positive(volume_nl, "volume_nl"), _not_negative(volume_sd_nl, "volume_sd_nl")
    return Estimate(*(part * 1000.0 / volume for part in widen(found, sigmas(level) * sd / volume)))


def rate(positives: Any, total: Any, *, droplet_cv: float = 0.0) -> Array:
    """Copies per droplet, lambda = -ln(negatives / total): the maximum of the likelihood.

    Where the volumes of droplets follow a Gamma law of coefficient of variation c, P0 = (1 + lambda c²)^(-1/c²) and
    lambda = (P0^(-c²) - 1) / c².

    Args:
        positives: any shape, droplets with the target.
        total: same shape or one number, accepted droplets.
        droplet_cv: c.

    >>> rate([0, 5000, 9999, 10000], 10000).round(4)
    array([0.    , 0.6931, 9.2103,    inf])
    """
    k, n = counts(positives, total)
    return _copies(np.where(n > 0, k / np.maximum(n, 1e-300), np.nan), _not_negative(droplet_cv, "droplet_cv"))[()]


def rate_interval(
    positives: Any, total: Any, ci: str = "instrument", *, level: float = 0.95, droplet_cv: float = 0.0
) -> Estimate:
    """Copies per droplet with an interval; arguments as in `concentration`.

    >>> rate_interval(0, 10000, "exact").high.round(6)
    np.float64(0.000369)
    """
    if ci not in INTERVALS:
        raise DataError(f"ci must be one of {', '.join(INTERVALS)}; got {ci!r}")
    k, n = counts(positives, total)
    cv = _not_negative(droplet_cv, "droplet_cv")
    ends = INTERVALS[ci](k, np.maximum(n, 1e-300), _share(level))
    low, high = (_copies(np.clip(end, 0.0, 1.0), cv) for end in ends)
    empty = n == 0
    value = rate(k, n, droplet_cv=cv)
    return Estimate(value, np.where(empty, 0.0, low)[()], np.where(empty, np.inf, high)[()])


def count_interval(positives: Any, level: float = 0.95) -> tuple[Array, Array]:
    """Shortest interval of a Poisson mean after these counts, as the instrument has it for fewer than 100.

    The posterior under a flat prior is Gamma(count + 1, 1). The interval of highest density is cut on a grid of 0.001
    counts: the largest lower end whose partner of equal density, rounded up, leaves at least `level` between them.

    Args:
        positives: any shape, counts, not negative.
        level: of confidence.

    >>> count_interval([0, 1, 2])
    (array([0.   , 0.042, 0.303]), array([2.996, 4.776, 6.406]))
    """
    level = _share(level)
    asked, where = np.unique(as_numbers(positives, "positives").values.astype(float), return_inverse=True)
    bad = ~(np.isfinite(asked) & (asked >= 0))
    if bad.any():
        raise DataError(
            f"counts must be finite and not negative; got {asked[bad][0]:g} in {name_rows(bad[where].ravel())}"
        )
    below, above = np.zeros(len(asked)), np.ceil(_GRID * asked)
    while (above - below > 1).any():
        middle = np.floor((below + above) / 2)
        covers = _cover(asked, middle / _GRID) >= level
        below, above = np.where(covers, middle, below), np.where(covers, above, middle)
    low = below / _GRID
    one_sided = np.ceil(_GRID * gammaincinv(asked + 1, level)) / _GRID
    high = np.where(low > 0, _partner(asked, low), one_sided)
    return low[where].reshape(np.shape(positives))[()], high[where].reshape(np.shape(positives))[()]


def as_printed(value: Any, low: Any, high: Any) -> Estimate:
    """The three numbers rounded as QuantaSoft prints them: to two digits of the width of the interval.

    >>> [float(number) for number in as_printed(185.88, 178.95, 192.89)]
    [186.0, 179.0, 193.0]
    >>> [float(number) for number in as_printed(3252.1, 3185.7, 3322.4)]
    [3250.0, 3190.0, 3320.0]
    """
    numbers = as_estimate((value, low, high), "value, low, high")
    with np.errstate(invalid="ignore", divide="ignore"):
        digits = np.floor(np.log10(numbers.high - numbers.low)) - 1
    usable = np.isfinite(digits)
    unit = 10.0 ** np.where(usable, np.abs(digits), 0.0)
    rounded = (np.where(digits < 0, np.rint(number * unit) / unit, np.rint(number / unit) * unit) for number in numbers)
    return Estimate(*(np.where(usable, new, old)[()] for new, old in zip(rounded, numbers, strict=True)))


def counts(positives: Any, total: Any) -> tuple[Array, Array]:
    """Positives and totals as arrays of one shape.

    Raises:
        DataError: counts that are missing, negative or larger than the total, naming the first entries.
    """
    k, n = as_numbers(positives, "positives").values, as_numbers(total, "total").values
    try:
        k, n = np.broadcast_arrays(k.astype(float), n.astype(float))
    except ValueError:
        raise DataError(f"positives and total must have one shape; got {k.shape} and {n.shape}") from None
    bad = ~((k >= 0) & (k <= n * (1 + 1e-9)) & np.isfinite(n))
    if bad.any():
        first = np.flatnonzero(bad)[0]
        raise DataError(
            f"positives must be counts between 0 and the total; got {k.flat[first]:g} of {n.flat[first]:g} "
            f"in {name_rows(bad.ravel())}: correct these entries or leave them out"
        )
    return np.minimum(k, n), n


def as_estimate(numbers: Any, what: str) -> Estimate:
    """A number and its ends as arrays of one shape; NaN with the ends 0 and infinity says that nothing is known.

    Raises:
        DataError: negative numbers, or ends that do not hold the number between them, naming the first entries.
    """
    parts = [as_numbers(part, what).values.astype(float) for part in numbers]
    try:
        value, low, high = np.broadcast_arrays(*parts)
    except ValueError:
        raise DataError(f"{what} must have one shape; got {', '.join(str(part.shape) for part in parts)}") from None
    slack = 1e-9 * np.where(np.isfinite(value), np.abs(value), 0.0)
    bad = ~((low >= 0) & (low <= high) & (np.isnan(value) | ((low <= value + slack) & (value <= high + slack))))
    if bad.any():
        first = np.flatnonzero(bad)[0]
        raise DataError(
            f"{what} must be 0 <= low <= value <= high; got {value.flat[first]:g} in [{low.flat[first]:g}, "
            f"{high.flat[first]:g}], {name_rows(bad.ravel())}: give value, lower and upper end in this order"
        )
    return Estimate(value[()], low[()], high[()])


def widen(found: Estimate, spread: Any) -> Estimate:
    """The estimate with each side of its interval, on the log scale, made sqrt(side² + spread²).

    A side that reaches 0 or infinity, or starts there, is endless on that scale already and stays.
    """
    value, low, high = found
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = _excess(np.log(value / low), spread), _excess(np.log(high / value), spread)
    return Estimate(value, low * np.exp(-lower), high * np.exp(upper))


def sigmas(level: float) -> float:
    """Half the width of a normal interval of this level, in standard deviations."""
    return float(ndtri((1 + _share(level)) / 2))


def instrument_sigmas(level: float) -> float:
    """The same as the instrument takes it: 1.96 for 95 % and 1 for 68 %."""
    return _SIGMAS.get(_share(level), sigmas(level))


def _instrument(k: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Wald on the fraction of positives; where they or the negatives are few, the shortest Gamma interval of these."""
    few, full = k < MANY, n - k < MANY
    p = k / n
    half = instrument_sigmas(level) * np.sqrt(p * (1 - p) / n)
    low_count, high_count = count_interval(np.where(few, k, np.where(full, n - k, 0.0)), level)
    if level == 0.68:
        high_count = np.where(few & (k == 0), _NONE_AT_68, high_count)
    kinds = [few, full]
    low = np.select(kinds, [low_count / n, 1 - high_count / n], p - half)
    return low, np.select(kinds, [high_count / n, 1 - low_count / n], p + half)


def _exact(k: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Clopper & Pearson (1934): the ends at which the tail beyond the count has (1 - level) / 2."""
    tail = (1 - level) / 2
    low = betaincinv(np.maximum(k, 1e-300), n - k + 1, tail)
    high = betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail)
    return np.where(k > 0, low, 0.0), np.where(k < n, high, 1.0)


def _wilson(k: Array, n: Array, level: float) -> tuple[Array, Array]:
    """Wilson (1927): the fractions that the count does not refute by its normal score."""
    z2 = sigmas(level) ** 2
    far = k + z2 / 2 + np.sqrt(z2 * (k * (1 - k / n) + z2 / 4))
    # The lower end by the product of the roots: their difference would lose the smallest counts.
    return k**2 / (n * far), np.where(k < n, far / (n + z2), 1.0)


#: Name -> ends of an interval of the fraction of positives, from positives, total and level.
INTERVALS: dict[str, Callable[[Array, Array, float], tuple[Array, Array]]] = {
    "instrument": _instrument,
    "exact": _exact,
    "wilson": _wilson,
}


def _copies(positive: Array, cv: float) -> Array:
    """Copies per droplet from the fraction of positive droplets."""
    with np.errstate(divide="ignore"):
        log_empty = np.log1p(-positive)
    return np.expm1(-(cv**2) * log_empty) / cv**2 if cv else -log_empty


def _partner(k: Array, low: Array) -> Array:
    """The grid point at or above the number on the far side of k where Gamma(k + 1) is as dense as at `low` > 0."""
    k, low = np.maximum(k, 1e-300), np.maximum(low, 1e-300)
    far = -k * lambertw(-(low / k) * np.exp(-low / k), -1).real
    return np.ceil(_GRID * far) / _GRID


def _cover(k: Array, low: Array) -> Array:
    """What Gamma(k + 1) holds between `low` > 0 and its partner."""
    return gammainc(k + 1, _partner(k, low)) - gammainc(k + 1, low)


def _excess(side: Array, spread: Any) -> Array:
    """sqrt(side² + spread²) - side, without loss where the side is infinite; 0 where it is unknown."""
    longest = np.hypot(side, spread) + side
    return np.where(longest > 0, spread**2 / np.where(longest > 0, longest, 1.0), 0.0)


def _share(level: Any) -> float:
    share = as_number(level, "level")
    if not 0 < share < 1:
        raise DataError(f"level must lie between 0 and 1, such as 0.95; got {share:g}")
    return share


def _positive(number: Any, what: str) -> float:
    value = as_number(number, what)
    if value <= 0:
        raise DataError(f"{what} must be positive; got {value:g}")
    return value


def _not_negative(number: Any, what: str) -> float:
    value = as_number(number, what)
    if value < 0:
        raise DataError(f"{what} must not be negative; got {value:g}")
    return value
