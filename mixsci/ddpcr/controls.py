"""Limits of blank and of detection, from wells without template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaincinv, ndtri, pdtr

from mixsci.ddpcr.concentrations import DROPLET_VOLUME_NL, concentration, counts
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

#: Controls from which the limit of blank is read off their own distribution.
ENOUGH_CONTROLS = 30


@dataclass(frozen=True)
class Limits:
    """What a blank may show, and what a sample must hold to be seen.

    Args:
        lob: limit of blank, positive droplets per well: a blank shows no more but with probability alpha.
        lod: limit of detection, copies per well (in its droplets): so many exceed `lob` but with probability beta.
        n_controls: wells without template behind them.
        droplets: of such a well, on average.
        method: how they were found, one sentence.
    """

    lob: float
    lod: float
    n_controls: int
    droplets: float
    method: str

    def above(self, positives: Any) -> Array:
        """Whether wells with so many positive droplets, of about as many as the controls have, exceed a blank.

        >>> limits([0] * 40, 15000).above([0, 1, 5])
        array([False,  True,  True])
        """
        return (as_numbers(positives, "positives").values > self.lob)[()]

    def per_ul(self, volume_nl: float = DROPLET_VOLUME_NL) -> tuple[float, float]:
        """Both limits as concentrations, copies/µL.

        >>> tuple(round(limit, 2) for limit in limits([0] * 40, 15000).per_ul())
        (0.0, 0.23)
        """
        lob = concentration(min(self.lob, self.droplets), self.droplets, volume_nl).value
        return float(lob), float(self.lod / self.droplets * 1000.0 / volume_nl)


def limits(
    positives: Any,
    total: Any,
    *,
    alpha: float = 0.05,
    beta: float = 0.05,
    low_level: Sequence[Any] | None = None,
) -> Limits:
    """Limit of blank and limit of detection of an assay.

    Args:
        positives: (n,) positive droplets of the wells without template.
        total: (n,) their accepted droplets, or one number for all.
        alpha: share of blanks that may exceed the limit of blank.
        beta: share of samples at the limit of detection that may be missed.
        low_level: positive droplets of replicates of one or more samples with little template, one list per sample;
            without them the limit of detection is that of a Poisson count.

    Raises:
        DataError: no control, impossible counts, a share outside (0, 1), a sample of fewer than two replicates.

    >>> found = limits([0, 0, 0, 0], 15000)
    >>> found.lob, round(found.lod, 2)
    (2.0, 6.3)
    """
    k, n = (np.atleast_1d(part).ravel() for part in counts(positives, total))
    k, n = k[n > 0], n[n > 0]
    blank, said = _blank(k, _share(alpha, "alpha"))
    detected, also = _detection(blank, low_level, _share(beta, "beta"))
    return Limits(blank, detected, len(k), float(n.mean()), f"{said}; {also}.")


def limit_of_blank(positives: Any, alpha: float = 0.05) -> float:
    """Positive droplets that a well without template exceeds with probability alpha at most.

    From 30 controls on, the value at rank 0.5 + (1 - alpha) n, between two ranks in proportion (CLSI EP17). Fewer say
    little about their own tail: then the smallest count that a Poisson law exceeds with probability alpha at most, its
    mean the upper bound, at 1 - alpha, of what all the controls show.

    Args:
        positives: (n,) positive droplets of the controls.
        alpha: see above.

    >>> limit_of_blank([0] * 30), limit_of_blank([0] * 4), limit_of_blank([0])
    (0.0, 2.0, 6.0)
    """
    return _blank(as_numbers(positives, "positives").values, _share(alpha, "alpha"))[0]


def limit_of_detection(lob: float, low_level: Sequence[Any] | None = None, beta: float = 0.05) -> float:
    """Copies per well that exceed the limit of blank but with probability beta.

    The smallest mean of a Poisson count that does; with replicates of samples with little template,
    lob + z sd, their pooled standard deviation and z = 1.645 for beta = 0.05 (CLSI EP17).

    Args:
        lob: limit of blank, positive droplets.
        low_level: as in `limits`.
        beta: see above.

    >>> round(limit_of_detection(0), 2), round(limit_of_detection(3), 2)
    (3.0, 7.75)
    >>> round(limit_of_detection(0, [[3, 5, 4, 8], [6, 7, 3, 4]]), 2)
    3.29
    """
    blank = as_number(lob, "lob")
    if blank < 0:
        raise DataError(f"lob must not be negative; got {blank:g}")
    return _detection(blank, low_level, _share(beta, "beta"))[0]


def _blank(positives: Array, alpha: float) -> tuple[float, str]:
    k = np.atleast_1d(positives).ravel().astype(float)
    bad = ~(np.isfinite(k) & (k >= 0))
    if bad.any():
        raise DataError(f"positives of controls must be counts; not so in {name_rows(bad)}: leave these out")
    if not len(k):
        raise DataError("a limit of blank needs at least one well without template; got none")
    if len(k) >= ENOUGH_CONTROLS:
        lob = float(np.quantile(k, 1 - alpha, method="hazen"))
        return lob, f"limit of blank: {1 - alpha:.3g} quantile of {len(k)} controls (CLSI EP17)"
    mean = gammaincinv(k.sum() + 1, 1 - alpha) / len(k)
    said = f"limit of blank: Poisson, mean at most {mean:.3g} by {len(k)} control{'s' * (len(k) > 1)} ({1 - alpha:.3g})"
    return _poisson_quantile(mean, 1 - alpha), said


def _poisson_quantile(mean: float, share: float) -> float:
    count = 0.0
    while pdtr(count, mean) < share:
        count += 1
    return count


def _detection(lob: float, low_level: Sequence[Any] | None, beta: float) -> tuple[float, str]:
    if low_level is None:
        return float(gammaincinv(np.floor(lob) + 1, 1 - beta)), "limit of detection: Poisson"
    samples = [as_numbers(sample, "low_level").values.astype(float).ravel() for sample in low_level]
    if not samples or any(len(sample) < 2 or not np.isfinite(sample).all() for sample in samples):
        raise DataError("low_level must be one list of at least two counts per sample, as in [[3, 5, 4], [6, 2, 4]]")
    degrees = sum(len(sample) - 1 for sample in samples)
    sd = np.sqrt(sum(((sample - sample.mean()) ** 2).sum() for sample in samples) / degrees)
    return float(lob + ndtri(1 - beta) * sd), f"limit of detection: {len(samples)} samples with little template"


def _share(number: Any, what: str) -> float:
    share = as_number(number, what)
    if not 0 < share < 1:
        raise DataError(f"{what} must lie between 0 and 1, such as 0.05; got {share:g}")
    return share
