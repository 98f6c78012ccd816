"""What a row says of the distance between two components: Fisher information, other numbers known or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixsci.engine.inference.information import scores_of
from mixsci.engine.inference.numbers import Layout, coordinates
from mixsci.engine.inference.points import Points
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.errors import DataError

Array = np.ndarray

#: Directions of the other numbers that carry less than this share of what the largest does are one with others.
_STILL = 1e-13


@dataclass(frozen=True, eq=False)
class Line:
    """The line between two components, in units of their pooled standard deviation along it.

    Args:
        mixture: of which they are two. first, second: their numbers.
        blur: (D, D) mean noise of the rows.
    """

    mixture: Mixture
    first: int
    second: int
    blur: Array

    @property
    def pair(self) -> Array:
        """(2,) numbers of both."""
        return np.array([self.first, self.second])

    @property
    def within(self) -> Array:
        """(D, D) pooled covariance of the two."""
        weights = self.mixture.weights[self.pair]
        shares = weights / weights.sum() if weights.sum() > 0 else np.full(2, 0.5)
        return np.einsum("k,kij->ij", shares, self.mixture.covariances[self.pair])

    @property
    def half(self) -> float:
        """Half their distance, theta."""
        return float(np.linalg.norm(self._whitened)) / 2.0

    @property
    def unit(self) -> Array:
        """(D,) a step of one standard deviation from the first to the second."""
        apart = self._whitened
        size = float(np.linalg.norm(apart))
        axis = apart / size if size > 0 else np.eye(len(apart))[0]
        return np.asarray(self._root @ axis)

    @property
    def gauge(self) -> Array:
        """(D,) what measures such steps: gauge @ unit = 1; across the line it sees nothing."""
        return np.linalg.solve(self.within + self.blur, self.unit)

    @property
    def _root(self) -> Array:
        try:
            return np.linalg.cholesky(self.within + self.blur)
        except np.linalg.LinAlgError:
            raise DataError(
                f"components {self.first} and {self.second} have no spread in some direction, where nothing can hide "
                "that they are two: give the rows noise"
            ) from None

    @property
    def _whitened(self) -> Array:
        apart = self.mixture.means[self.second] - self.mixture.means[self.first]
        return np.asarray(np.linalg.solve(self._root, apart))

    def along(self) -> Array:
        """(numbers,) change of the mixture's numbers by one of theta: both means move apart."""
        means = np.zeros_like(self.mixture.means)
        means[self.first], means[self.second] = -self.unit, self.unit
        return Layout.of(self.mixture).join({"means": means})

    def across(self, model: Model) -> Array:
        """(q, numbers) changes of all other free numbers: those that leave theta as it is."""
        found = coordinates(model, self.mixture)
        free = found.jacobian.T
        gauge = np.zeros_like(self.mixture.means)
        gauge[self.first], gauge[self.second] = -self.gauge / 2.0, self.gauge / 2.0
        seen = free @ found.layout.join({"means": gauge})
        return np.asarray(free - np.outer(seen, self.along()))


def information(line: Line, points: Points) -> tuple[float, float]:
    """Fisher information on theta of a row, all other numbers known, and its standard error."""
    return points.mean(scores_of(line.mixture, line.along()[None], points.rows)[:, 0] ** 2)


def efficient_information(line: Line, points: Points, model: Model) -> tuple[float, float]:
    """Fisher information on theta of a row, all other free numbers unknown, and its standard error.

    It is the mean square of what is left of the score when the scores of the others are projected out.
    """
    score = scores_of(line.mixture, line.along()[None], points.rows)[:, 0]
    others = scores_of(line.mixture, line.across(model), points.rows)
    root = np.sqrt(points.weights)
    rows = root[:, None] * others
    size = np.linalg.norm(rows, axis=0)
    rows = rows[:, size > 0] / size[size > 0]
    share = np.linalg.lstsq(rows, root * score, rcond=_STILL)[0]
    left = root * score - rows @ share
    return points.mean(left**2 / points.weights)
