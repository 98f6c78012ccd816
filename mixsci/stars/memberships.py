"""Who belongs: probabilities and Bayes factors of stars, and what a threshold on them buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, log_expit, logsumexp

from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows
from mixsci.stars.kinematics import Kinematics, star_table

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray


def membership(fit: Any, kin: Any = None, *, components: Sequence[int] | int | None = None) -> Any:
    """One row per star with the probability that it belongs to a population; `VelocityFit.membership`.

    Args:
        fit: what `deconvolve` or `fit_stream` gives.
        kin: the stars; None = those of the fit. For blocks of stars an iterator of tables comes back.
        components: numbers of the components that are the population; None = the `members` of the fit.

    Raises:
        DataError: stars of another space or frame, components that do not exist, or all of them where there is
            nothing else.
    """
    if not callable(getattr(fit, "membership", None)):
        raise DataError(f"fit must be what deconvolve or fit_stream gives; got {type(fit).__name__}")
    return fit.membership(kin, components=components)


def membership_table(mixtures: Sequence[Mixture], kin: Kinematics, population: Sequence[int]) -> QTable:
    """One row per star, averaged over mixtures: the one fitted, or draws of what it leaves open, the fitted one first.

    A star near a stream that few stars make has pulled it its way; the average over draws does not take it at its word.

    Columns: row, id, position; `p_member` and `log_bayes_factor` = ln p(star | population) - ln p(star | all else),
    where there is a population; `component`, the most probable one (-1: an outlier); `p_0`, `p_1` ... of each;
    `p_outlier`. A log Bayes factor does not contain how common the population is; p_member does:
    logit(p) = log Bayes factor + logit(weight of the population).
    """
    table, mixture = star_table(kin), mixtures[0]
    r = np.mean([each.responsibilities(kin.observations) for each in mixtures], axis=0)
    if len(population):
        odds = _log_odds(mixtures, kin, population)
        table["p_member"], table["log_bayes_factor"] = expit(odds), odds - _prior_log_odds(mixture, population)
    outlier = np.clip(1.0 - r.sum(axis=1), 0.0, 1.0)
    table["component"] = np.where(outlier > r.max(axis=1), -1, r.argmax(axis=1))
    for k in range(mixture.n_components):
        table[f"p_{k}"] = r[:, k]
    table["p_outlier"] = outlier if mixture.background is not None else 0.0
    return table


def _log_odds(mixtures: Sequence[Mixture], kin: Kinematics, population: Sequence[int]) -> Array:
    """(n,) log odds of the mean probability of membership."""
    odds = np.array([log_bayes_factor(each, kin, population) + _prior_log_odds(each, population) for each in mixtures])
    return np.asarray(
        odds[0] if len(odds) == 1 else logsumexp(log_expit(odds), axis=0) - logsumexp(log_expit(-odds), axis=0)
    )


def population_of(components: Any, mixture: Mixture) -> tuple[int, ...]:
    """Distinct numbers of components, one or more."""
    listed = [components] if isinstance(components, int | np.integer) else components
    k = mixture.n_components
    right = isinstance(listed, list | tuple | range | np.ndarray) and all(
        isinstance(each, int | np.integer) and not isinstance(each, bool) and 0 <= each < k for each in listed
    )
    if not right or not len(listed) or len(set(listed)) < len(listed):
        raise DataError(f"components must be distinct numbers from 0 to {k - 1}; got {components!r}")
    return tuple(int(each) for each in listed)


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
    if p.ndim != 1 or not len(p):
        raise DataError(f"probabilities must have shape (n,), n at least 1; got {p.shape}")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise DataError(f"probabilities must be in [0, 1]; they are not in {name_rows(bad)}")
    at = np.atleast_1d(as_numbers(np.arange(100) / 100 if thresholds is None else thresholds, "thresholds").values)
    if at.ndim != 1 or not np.isfinite(at).all():
        raise DataError(f"thresholds must be numbers, shape (t,); got {at.tolist()}")
    taken = p >= at[:, None]
    n = taken.sum(axis=1)
    table = QTable({"threshold": at, "n": n})
    for prefix, given in (("", p), ("true_", truth)):
        if given is not None:
            member = np.asarray(given)
            if member.shape != p.shape or (given is truth and member.dtype != bool):
                raise DataError(f"truth must be {p.shape} of bool; got {member.dtype} {member.shape}")
            found = taken @ member.astype(float)
            table[f"{prefix}purity"] = np.divide(found, n, out=np.full(len(at), np.nan), where=n > 0)
            table[f"{prefix}completeness"] = found / max(member.sum(), np.finfo(float).tiny)
    return table


def _parts(mixture: Mixture, population: Sequence[int]) -> tuple[Mixture, Mixture]:
    """The mixture of some components, and that of the others with the background; weights of each sum to one."""
    chosen = np.zeros(mixture.n_components, dtype=bool)
    chosen[list(population)] = True
    if chosen.all() and mixture.background is None:
        raise DataError("a population needs something it stands out from: fit more components, or outliers")
    share = 0.0 if mixture.background is None else mixture.background.weight
    rest = mixture.weights[~chosen].sum()
    if mixture.weights[chosen].sum() == 0.0 or rest + share == 0.0:
        raise DataError("a population and all else must both have a weight above 0; one of them has none")
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
