"""What the rows say of a mixture: the curvature of the log-likelihood, and the scores of single rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from mixsci.engine.em.steps import expect
from mixsci.engine.evaluate import evaluate, group_codes
from mixsci.engine.execution import Run, map_runs
from mixsci.engine.inference.numbers import Layout, moved, slopes
from mixsci.engine.inference.yardstick import Directions, Yardstick
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.statistics import Stats
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray

#: Numbers kept per block of rows.
_MOST_NUMBERS = 1 << 22


def observed_information(directions: Directions, yardstick: Yardstick, obs: Any, workers: Any) -> Array:
    """(q, q) minus the second derivatives of the log-likelihood along straight lines, in two passes for each of them.

    Central differences of the score, by steps of a small share of a component's own spread: their relative error is
    the square of the step, and rounding divided by it, whatever the number of rows.
    """
    layout, mixture = yardstick.layout, yardstick.mixture

    def score(change: Array) -> Array:
        there = moved(mixture, layout.split(change))
        stats = expect(there, obs, workers=workers)
        refuse_singular(stats)
        return layout.join(slopes(there, stats))

    out = np.empty((len(directions), len(directions)))
    for j, (step, along) in enumerate(zip(yardstick.steps(directions), directions.numbers, strict=True)):
        out[:, j] = directions.numbers @ (score(-step * along) - score(step * along)) / (2.0 * step)
    return (out + out.T) / 2.0


def refuse_singular(stats: Stats) -> None:
    """Raise where a component has no density for some rows, or the log-likelihood is no number."""
    if stats.failures.any():
        k = int(np.flatnonzero(stats.failures)[0])
        raise DataError(
            f"standard errors need a density of every row; component {k} has none for {stats.failures[k]} rows: its "
            "covariance is singular there, give the rows noise or the model a floor or a prior"
        )
    if not np.isfinite(stats.log_likelihood):
        raise DataError(
            f"standard errors need a finite log-likelihood; got {stats.log_likelihood}: fit the rows to a maximum first"
        )


def row_scores(directions: Directions, yardstick: Yardstick, obs: Any, workers: Any) -> Array:
    """(q, q) sum over rows of w s s', s the score of a row: in one pass, in memory for a block of rows."""
    work = _ScoresOfRun(yardstick.mixture, yardstick.layout, directions.numbers)
    return reduce(add, map_runs(work, obs, workers, columns=getattr(obs, "width", None)))


def scores_of(mixture: Mixture, directions: Array, obs: Observations) -> Array:
    """(n, q) scores of rows along changes (q, numbers) of the numbers of a mixture."""
    work = _ScoresOfRun(mixture, Layout.of(mixture), directions)
    return np.concatenate([work._scores(part) for part in work._parts(obs)])


@dataclass(frozen=True, eq=False)
class _ScoresOfRun:
    """run -> sum of w s s' (q, q) over its rows, s along directions (q, numbers); it can be sent to where rows lie."""

    mixture: Mixture
    layout: Layout
    directions: Array

    def __call__(self, run: Run) -> Array:
        parts = (self._of_part(part) for block in run.blocks for part in self._parts(block))
        return reduce(add, parts, np.zeros((len(self.directions),) * 2))

    def _parts(self, block: Observations) -> Iterator[Observations]:
        k, d = self.mixture.means.shape
        size = max(_MOST_NUMBERS // (k * (d * d + d + 1) + len(self.directions)), 64)
        for start in range(0, len(block), size):
            yield block.take(slice(start, start + size))

    def _of_part(self, block: Observations) -> Array:
        weights = block.each_weight
        weights = np.where(block.seen().any(axis=1), weights, 0.0)
        rooted = self._scores(block) * np.sqrt(weights)[:, None]
        return np.asarray(rooted.T @ rooted)

    def _scores(self, block: Observations) -> Array:
        """(n, q) score of each row."""
        _, shares = evaluate(self.mixture, block, keep=2)
        assert shares is not None and shares.u is not None and shares.precision is not None
        along, r, u = self.layout.split(self.directions), shares.responsibilities, shares.u
        (n, k), q, d = r.shape, len(self.directions), u.shape[2]
        pull = r[:, :, None] * u
        bent = r[:, :, None, None] * (u[:, :, :, None] * u[:, :, None, :] - shares.precision)
        out = pull.reshape(n, k * d) @ along["means"].reshape(q, k * d).T
        out += bent.reshape(n, k * d * d) @ (along["covariances"].reshape(q, k * d * d).T / 2)
        codes = group_codes(self.mixture, block)
        for g, rows in _groups(codes, n):
            weights = np.atleast_2d(self.mixture.weights)[g]
            share = np.divide(r[rows], weights, out=np.zeros((len(r[rows]), k)), where=weights > 0)
            out[rows] += share @ along["weights"].reshape(q, len(np.atleast_2d(self.mixture.weights)), k)[:, g].T
            if "offsets" in along:
                out[rows] += pull[rows].sum(axis=1) @ along["offsets"][:, g].T
        if "background" in along:
            box = self.mixture.background.weight
            inside = r.sum(axis=1)
            outside = (1.0 - inside) / box if box > 0 else np.zeros(n)
            out += (outside - inside / (1.0 - box))[:, None] * along["background"]
        return out


def _groups(codes: Array | None, n: int) -> Iterator[tuple[int, slice | Array]]:
    """(group, its rows) of the groups that a block has."""
    if codes is None:
        yield 0, slice(0, n)
        return
    for g in np.unique(codes):
        yield int(g), np.flatnonzero(codes == g)
