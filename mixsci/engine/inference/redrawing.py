"""New rows from a mixture, seen as given rows are: what a parametric bootstrap fits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, observe
from mixsci.errors import DataError

Array = np.ndarray

#: Rows at most; what is rounding of a weight.
_MOST_ROWS, _ROUNDING = 50_000_000, 1e-9


def redraw(mixture: Mixture, like: Observations, rng: np.random.Generator) -> Observations:
    """Rows drawn from a mixture with the gaps, noise, projections and groups of given rows, as often as these weigh.

    Args:
        mixture: where the new rows come from; each row from the mixture of its own group, where it differs by group.
        like: the rows whose design is kept.
        rng: generator of the draws.

    Raises:
        DataError: weights that stand for more than 50 million rows.
    """
    like = unfolded(like)
    return observe(latent_points(mixture, like, rng), like, rng)


def unfolded(obs: Observations) -> Observations:
    """Rows of weight 1 in place of weighted ones: of weight 2.5, two rows and half of one."""
    if obs.row_weights is None:
        return obs
    times = np.ceil(obs.row_weights - _ROUNDING).astype(int)
    if times.sum() > _MOST_ROWS:
        raise DataError(
            f"rows drawn anew are as many as the weights say, at most {_MOST_ROWS:,}; these say {times.sum():,}: scale "
            "importance weights by mixsci.effective_rows, or bin counts more coarsely"
        )
    rows = np.repeat(np.arange(len(obs)), times)
    weights, last = np.ones(len(rows)), np.cumsum(times)[times > 0] - 1
    weights[last] = (obs.row_weights - times + 1.0)[times > 0]
    return obs.take(rows).weighted(weights)


def latent_points(mixture: Any, like: Observations, rng: np.random.Generator) -> Array:
    """(n, D) points drawn from a mixture, one for each of given rows; of mixtures of factors, in the variables."""
    if mixture.group_labels is None or like.groups is None:
        return np.asarray(mixture.sample(len(like), rng=rng)[0])
    points = np.empty((len(like), mixture.n_variables))
    for code, label in enumerate(like.group_labels or ()):
        here = np.flatnonzero(like.groups == code)
        points[here] = mixture.sample(len(here), rng=rng, group=label)[0]
    return points


def replicates(drawn: Iterable[float], statistic: float, most: int | None) -> Array:
    """(b,) statistics of rows drawn anew, of which at most so many are as extreme as the rows' own; None = all."""
    kept, extreme = [], 0
    for value in drawn:
        kept.append(value)
        extreme += value >= statistic
        if most is not None and extreme >= most:
            break
    return np.array(kept)


def p_value(drawn: Array, statistic: float, n_boot: int) -> float:
    """(1 + those as extreme) / (1 + b) of b replicates; where they stopped early, those / b (Besag & Clifford 1991)."""
    extreme = int((drawn >= statistic).sum())
    return extreme / len(drawn) if len(drawn) < n_boot else (1 + extreme) / (1 + len(drawn))


def most_extreme(n_boot: int, level: float) -> int:
    """As many replicates as extreme as the rows' own, and p is above the level whatever the others are.

    One is enough where so few replicates cannot bring p down to the level at all.
    """
    return max(int(np.floor(level * (1 + n_boot) + 1e-9)), 1)
