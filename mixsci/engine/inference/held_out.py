"""How well a model foretells what it has not seen: whole rows, or single values given the others of their row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray
Refit = Callable[[Observations], Fit]

#: Share of the observed values that is hidden at a time.
_HIDDEN = 0.1


class Part(NamedTuple):
    """What is fitted, and the log density (nats) of what was kept from the fit, in all and how much of it there is."""

    seen: Observations
    score: Callable[[Fit], float]
    size: float


def rows_left_out(obs: Observations, folds: int, rng: np.random.Generator) -> Iterator[Part]:
    """Each of `folds` parts of the rows foretold by the fit of the others (Smyth 2000): nats per row."""
    if len(obs) < folds:
        raise DataError(f"there must be a row for every fold; got {len(obs)} rows and {folds} folds")
    fold, weights = rng.permutation(len(obs)) % folds, obs.seen_weight
    for number in range(folds):
        out = np.flatnonzero(fold == number)
        size = float(weights[out].sum())
        if size > 0:
            yield Part(obs.take(np.flatnonzero(fold != number)), _of_rows(obs.take(out), weights[out]), size)


def values_left_out(obs: Observations, folds: int, rng: np.random.Generator) -> Iterator[Part]:
    """A tenth of the observed values hidden, `folds` times, and foretold from the others of their rows: nats per value.

    With gaps, errors and projections as they are: log p(row) - log p(what is left of it).
    """
    weights = obs.seen_weight
    for _ in range(folds):
        hidden, rest = hide(obs, obs.seen() & (rng.random(obs.x.shape) < _HIDDEN))
        size = float(weights @ hidden.sum(axis=1))
        if size > 0:
            yield Part(rest, _of_values(obs, rest, weights), size)


def hide(obs: Observations, wanted: Array) -> tuple[Array, Observations]:
    """Which values (n, m) are hidden of those wanted, and the rows without them.

    The last values of a column stay: without two there is nothing to fit.
    """
    hidden = wanted.copy()
    hidden[:, (obs.seen() & ~hidden).sum(axis=0) < 2] = False
    return hidden, obs.valued(np.where(hidden, np.nan, obs.x))


#: Criterion -> how rows are parted for it.
PARTS: dict[str, Callable[[Observations, int, np.random.Generator], Iterator[Part]]] = {
    "cross_validation": rows_left_out,
    "held_out": values_left_out,
}


def foretold(refit: Refit, obs: Any, criterion: str, folds: int, seed: int) -> tuple[float, ...]:
    """Mean log density of what was kept from each fit, in the same parts for the same seed.

    Args:
        refit: rows -> the fit of the model to them.
        obs: all rows, in memory.
        criterion: a name of PARTS.
        folds: number of parts.
        seed: of the parts: models are compared on the same ones.
    """
    if not isinstance(obs, Observations):
        raise DataError(
            f'"{criterion}" keeps rows from the fit and needs them in memory: choose by "bic", or load them'
        )
    parts = PARTS[criterion](obs, folds, np.random.default_rng(seed))
    found = tuple(part.score(refit(part.seen)) / part.size for part in parts)
    if not found:
        raise DataError("there must be a value that can be hidden; every column has too few: choose by bic")
    return found


def _of_rows(out: Observations, weights: Array) -> Callable[[Fit], float]:
    return lambda fit: float(weights @ fit.mixture.log_density(out, workers=1))


def _of_values(obs: Observations, rest: Observations, weights: Array) -> Callable[[Fit], float]:
    return lambda fit: float(
        weights @ (fit.mixture.log_density(obs, workers=1) - fit.mixture.log_density(rest, workers=1))
    )
