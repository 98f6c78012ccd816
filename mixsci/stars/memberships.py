"""Who belongs: probabilities and Bayes factors of stars, and what a threshold on them buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows
from mixsci.stars.kinematics import Kinematics, star_table

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray


def membership(fit: Any, kin: Kinematics | None = None, *, components: Sequence[int] | None = None) -> QTable:
    """One row per star with the probability that it belongs to a population.

    Columns: row, id, position; `p_member` and `log_bayes_factor` = ln p(star | population) - ln p(star | all else),
    where a population is given; `component`, the most probable one (-1: an outlier); `p_0`, `p_1` ... of each;
    `p_outlier`. A log Bayes factor does not contain how common the population is; p_member does:
    logit(p) = log Bayes factor + logit(weight of the population).

    Args:
        fit: what `deconvolve` or `fit_stream` gives.
        kin: the stars; None = those of the fit.
        components: numbers of the components that are the population; None = the `members` of the fit.

    Raises:
        DataError: components that do not exist, or all of them where there is nothing else.
    """
    kin = fit.kinematics if kin is None else kin
    mixture, table = fit.mixture, star_table(kin)
    r = mixture.responsibilities(kin.observations)
    population = tuple(fit.members if components is None else components)
    if population:
        factor = log_bayes_factor(mixture, kin, population)
        table["p_member"], table["log_bayes_factor"] = expit(factor + _prior_log_odds(mixture, population)), factor
    outlier = np.clip(1.0 - r.sum(axis=1), 0.0, 1.0)
    table["component"] = np.where(outlier > r.max(axis=1), -1, r.argmax(axis=1))
    for k in range(mixture.n_components):
        table[f"p_{k}"] = r[:, k]
    table["p_outlier"] = outlier if mixture.background is not None else 0.0
    return table


def log_bayes_factor(mixture: Mixture, kin: Kinematics, population: Sequence[int]) -> Array:
    """(n,) ln p(star | components of the population) - ln p(star | the others and the outliers)."""
    ours, others = _parts(mixture, population)
    return np.asarray(ours.log_density(kin.observations) - others.log_density(kin.observations))


def purity_completeness(probabilities: Any, truth: Any = None, *, thresholds: Any = None) -> QTable:
    """What a threshold on the probability of membership buys.

    Columns: threshold; n, the stars at or above it; purity, the expected share of members among them (the mean of their
    probabilities); completeness, the expected share of all members that they are. With `truth` also true_purity and
    true_completeness.

    Args:
        probabilities: (n,) of membership.
        truth: (n,) of bool, who is a member, where that is known.
        thresholds: to tabulate; None = 0, 0.01 ... 0.99.

    Raises:
        DataError: probabilities outside [0, 1].

    Example:
        >>> from mixsci import stars
        >>> curve = stars.purity_completeness([0.9, 0.8, 0.1], thresholds=[0.5])
        >>> float(curve["purity"][0].round(3)), float(curve["completeness"][0].round(3))
        (0.85, 0.944)
    """
    from astropy.table import QTable

    p = as_numbers(probabilities, "probabilities").values.astype(float)
    bad = ~((p >= 0) & (p <= 1))
    if p.ndim != 1 or not len(p) or bad.any():
        raise DataError(f"probabilities must be (n,) numbers in [0, 1]; got shape {p.shape}, wrong in {name_rows(bad)}")
    at = np.arange(100) / 100 if thresholds is None else np.atleast_1d(np.asarray(thresholds, dtype=float))
    taken = p >= at[:, None]
    n = taken.sum(axis=1)
    table = QTable({"threshold": at, "n": n})
    for prefix, given in (("", p), ("true_", truth)):
        if given is not None:
            member = np.asarray(given, dtype=float)
            if member.shape != p.shape:
                raise DataError(f"truth must have the shape of the probabilities, {p.shape}; got {member.shape}")
            found = taken @ member
            table[f"{prefix}purity"] = np.divide(found, n, out=np.full(len(at), np.nan), where=n > 0)
            table[f"{prefix}completeness"] = found / max(member.sum(), np.finfo(float).tiny)
    return table


def _parts(mixture: Mixture, population: Sequence[int]) -> tuple[Mixture, Mixture]:
    """The mixture of some components, and that of the others with the background; weights of each sum to one."""
    chosen = np.zeros(mixture.n_components, dtype=bool)
    if any(not 0 <= int(k) < mixture.n_components for k in population):
        raise DataError(f"components must be numbers from 0 to {mixture.n_components - 1}; got {list(population)}")
    chosen[list(population)] = True
    if chosen.all() and mixture.background is None:
        raise DataError("a population needs something it stands out from: fit more components, or outliers")
    share = 0.0 if mixture.background is None else mixture.background.weight
    rest = mixture.weights[~chosen].sum()
    if chosen.all():
        # Nothing but the background is left: its weight cannot be 1, so a component stays in name.
        others = replace(mixture, background=replace(mixture.background, weight=1.0 - 1e-12))
    else:
        outside = share / max(share + (1.0 - share) * rest, np.finfo(float).tiny)
        background = None if mixture.background is None else replace(mixture.background, weight=outside)
        others = _some(mixture, ~chosen, background)
    return _some(mixture, chosen, None), others


def _some(mixture: Mixture, chosen: Array, background: Any) -> Mixture:
    weights = mixture.weights[chosen]
    return Mixture(weights / weights.sum(), mixture.means[chosen], mixture.covariances[chosen], background=background)


def _prior_log_odds(mixture: Mixture, population: Sequence[int]) -> float:
    share = 0.0 if mixture.background is None else mixture.background.weight
    ours = (1.0 - share) * mixture.weights[list(population)].sum()
    return float(np.log(ours) - np.log1p(-ours))
