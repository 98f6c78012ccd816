"""Replicate wells taken together: one concentration, and how far the wells scatter beyond counting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, chdtri, stdtrit

from mixsci.ddpcr.concentrations import (
    DROPLET_VOLUME_NL,
    Estimate,
    as_estimate,
    concentration_of,
    counts,
    instrument_sigmas,
    rate,
    rate_interval,
    sigmas,
)
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray


@dataclass(frozen=True)
class Merged:
    """Several wells as one.

    Args:
        concentration: copies/µL; its interval is that of counting droplets, "Poisson" in the instrument's tables.
        total: the same value; its interval holds the scatter between the wells too.
        n_wells: wells with droplets.
        droplets: in all of them.
        between_cv: standard deviation of the true concentrations of the wells, relative to their mean, as often
            estimated too large as too small; 0 where they scatter no more than counting does, NaN for one well.
        dispersion: scatter of the wells over what counting explains, near 1 if nothing else scatters; NaN for one well.
        p_value: probability of as much scatter or more by counting alone (chi-square); NaN for one well.
    """

    concentration: Estimate
    total: Estimate
    n_wells: int
    droplets: float
    between_cv: float
    dispersion: float
    p_value: float


def merge_wells(
    positives: Any,
    total: Any,
    volume_nl: float = DROPLET_VOLUME_NL,
    ci: str = "instrument",
    *,
    scatter: str = "moments",
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
    droplet_cv: float = 0.0,
) -> Merged:
    """Replicate wells merged by adding their droplets, as the instrument does.

    Args:
        positives: (n,) droplets with the target, per well.
        total: (n,) accepted droplets, per well; wells without any are left out.
        volume_nl: volume of a droplet, nL.
        ci: interval of the added counts, as in `concentration`.
        scatter: what goes into the total interval: "moments" (the between-well variance, with Student's t) or
            "instrument" (as it prints: counting or the mean of the wells ± 1.96 standard errors, what reaches further).
        level: of confidence.
        volume_sd_nl: standard deviation of the volume, the same for all wells, nL.
        droplet_cv: coefficient of variation of the volumes among the droplets of a well.

    Raises:
        DataError: impossible counts, or no droplets at all.

    >>> merged = merge_wells([2, 4, 1], [16163, 16377, 15447], scatter="instrument")
    >>> [f"{number:.2f}" for number in merged.total]
    ['0.17', '0.05', '0.33']
    """
    k, n = (np.atleast_1d(part).ravel() for part in counts(positives, total))
    k, n = k[n > 0], n[n > 0]
    if not len(n):
        raise DataError("wells to be merged must have droplets; got none: leave this group out")
    pooled = rate_interval(k.sum(), n.sum(), ci, level=level, droplet_cv=droplet_cv)
    # A well without negatives would have an infinite rate: it counts as if it had half of one.
    rates = rate(np.minimum(k, n - 0.5), n, droplet_cv=droplet_cv)
    empty = max(1 - k.sum() / n.sum(), 0.5 / n.sum())
    wells = _Wells(rates, n, pooled, (1 - empty) / empty ** (1 + 2 * droplet_cv**2), level)
    return _merge(wells, scatter, volume_nl, volume_sd_nl)


def merge_rates(
    rates: Any,
    low: Any,
    high: Any,
    droplets: Any,
    volume_nl: float = DROPLET_VOLUME_NL,
    *,
    scatter: str = "moments",
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
) -> Merged:
    """Replicate wells merged from their rates and the intervals of these, each weighing as many as its droplets.

    The distances from the mean to its ends are those of the wells, times their weights, added as errors are (MOVER:
    Zou & Donner 2008), so that what widens the interval of a well, as misclassification does, widens theirs.

    Args:
        rates: (n,) copies per droplet of each well.
        low: (n,) lower ends.
        high: (n,) upper ends.
        droplets: (n,) droplets of each well.
        volume_nl: volume of a droplet, nL.
        scatter: as in `merge_wells`.
        level: of confidence, also of the ends given.
        volume_sd_nl: standard deviation of the volume, nL.

    Raises:
        DataError: rates that are not finite, ends that do not hold them, droplets that are not positive.

    >>> merged = merge_rates([0.10, 0.12], [0.09, 0.11], [0.11, 0.13], [15000, 15000])
    >>> [f"{number:.1f}" for number in merged.concentration]
    ['129.4', '121.1', '137.7']
    """
    found = as_estimate((rates, low, high), "rates, low, high")
    given = np.atleast_1d(*found, as_numbers(droplets, "droplets").values)
    try:
        value, lower, upper, n = np.broadcast_arrays(*given)
    except ValueError:
        raise DataError(f"rates and droplets must have one shape; got {given[0].shape} and {given[3].shape}") from None
    bad = ~(np.isfinite(value) & np.isfinite(upper) & np.isfinite(n) & (n > 0))
    if bad.any() or not len(n):
        raise DataError(
            f"wells to be merged must have finite rates and ends, and droplets; not so in {name_rows(bad.ravel())}: "
            "leave these out"
        )
    share = n / n.sum()
    mean = share @ value
    ends = mean - np.linalg.norm(share * (value - lower)), mean + np.linalg.norm(share * (upper - value))
    spread = n * (upper - lower) / (2 * sigmas(level))
    wells = _Wells(value, n, Estimate(mean, *ends), float(spread @ spread / n.sum()), level)
    return _merge(wells, scatter, volume_nl, volume_sd_nl)


@dataclass(frozen=True, eq=False)
class _Wells:
    """Wells to be merged: rates (n,), droplets (n,), what counting says of all, and its variance for one droplet."""

    rates: Array
    droplets: Array
    pooled: Estimate
    variance: float
    level: float


def _scatter(wells: _Wells) -> tuple[float, float, float]:
    """Between-well coefficient of variation, dispersion and p-value.

    The moments of DerSimonian & Laird (1986), about the median: with w_i the inverse variances that counting gives the
    wells, taken at the rate of all so that wells without positives count too, Q = Σ w_i (rate_i - mean)² follows
    1 + C tau² / (n - 1) times a chi-square law of n - 1 degrees, C = Σ w_i - Σ w_i² / Σ w_i. Where m is the median of
    that law, tau² = (Q / m - 1) (n - 1) / C, not below 0, is as often too large as too small; with its mean for m it is
    more often too small the fewer the wells.
    """
    degrees = len(wells.rates) - 1
    if not degrees:
        return np.nan, np.nan, np.nan
    mean = wells.droplets @ wells.rates / wells.droplets.sum()
    if mean == 0:
        return 0.0, 0.0, 1.0
    weights = wells.droplets / wells.variance
    q = float(weights @ (wells.rates - mean) ** 2)
    excess = max(q / chdtri(degrees, 0.5) - 1, 0.0) * degrees
    tau2 = excess / (weights.sum() - weights @ weights / weights.sum())
    return float(np.sqrt(tau2) / mean), q / degrees, float(chdtrc(degrees, q))


def _moments(wells: _Wells) -> Estimate:
    """Both sides of the pooled interval made sqrt(side² + (t tau)² Σ n_i² / (Σ n_i)²), t of n - 1 degrees."""
    value, low, high = wells.pooled
    degrees = len(wells.rates) - 1
    if not (degrees and np.isfinite(value)):
        return wells.pooled
    tau = _scatter(wells)[0] * value
    added = stdtrit(degrees, (1 + wells.level) / 2) * tau * np.linalg.norm(wells.droplets) / wells.droplets.sum()
    return Estimate(value, np.maximum(value - np.hypot(value - low, added), 0.0), value + np.hypot(high - value, added))


def _instrument(wells: _Wells) -> Estimate:
    """The pooled interval or mean ± z standard errors of the wells as they are, what reaches further."""
    if len(wells.rates) == 1:
        return wells.pooled
    value, low, high = wells.pooled
    mean, half = wells.rates.mean(), instrument_sigmas(wells.level) * wells.rates.std(ddof=1) / len(wells.rates) ** 0.5
    return Estimate(value, np.clip(mean - half, 0.0, low), np.maximum(mean + half, high))


#: Name -> interval of merged wells with the scatter between them.
SCATTERS: dict[str, Callable[[_Wells], Estimate]] = {"moments": _moments, "instrument": _instrument}


def _merge(wells: _Wells, scatter: str, volume_nl: float, volume_sd_nl: float) -> Merged:
    if scatter not in SCATTERS:
        raise DataError(f"scatter must be one of {', '.join(SCATTERS)}; got {scatter!r}")
    counted, total = (
        concentration_of(*found, volume_nl, level=wells.level, volume_sd_nl=volume_sd_nl)
        for found in (wells.pooled, SCATTERS[scatter](wells))
    )
    return Merged(counted, total, len(wells.rates), float(wells.droplets.sum()), *_scatter(wells))
