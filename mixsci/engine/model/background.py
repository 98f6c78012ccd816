"""A uniform component over a box: what belongs to no population."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError

Array = np.ndarray

#: Largest share of a background: with all of it, no component would be left to climb.
LARGEST_WEIGHT = 1.0 - 1e-12


@dataclass(frozen=True, eq=False)
class UniformBackground:
    """p(x) = eps U(x) + (1 - eps) sum_k w_k N_k(x), with U constant on a box in the observed coordinates.

    Blurring of the box's edges by noise is neglected; a missing coordinate drops its side.

    Args:
        low, high: (m,) corners of the box, in the units of x.
        weight: eps, the share of the background; the starting value unless `fixed`.
        fixed: hold eps at `weight`.

    Raises:
        DataError: corners that do not span a box, or a weight outside [0, 1).
    """

    low: Any
    high: Any
    weight: float = 0.05
    fixed: bool = False

    def __post_init__(self) -> None:
        low, high = _corner(self.low, "low"), _corner(self.high, "high")
        if low.ndim != 1 or low.shape != high.shape or not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
            raise DataError(
                f"a background's box needs finite low < high of one shape (m,); got {low.tolist()} and {high.tolist()}"
            )
        weight = as_number(self.weight, "a background's weight")
        if not 0.0 <= weight < 1.0:
            raise DataError(f"a background's weight must be in [0, 1); got {weight}")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def n_free(self) -> int:
        """1 if the weight is estimated."""
        return 0 if self.fixed else 1

    def log_density(self, x: Array, projection: Array | None = None) -> Array:
        """log(eps U) (n,) of values x (m, n); missing coordinates (NaN) drop their side of the box."""
        if projection is not None and projection.ndim == 3:
            raise DataError("a uniform background needs rows seen through one projection; these differ by row")
        if len(x) != len(self.low):
            raise DataError(f"a background's box must have the {len(x)} dimensions of the rows; got {len(self.low)}")
        low, high = self.low[:, None], self.high[:, None]
        missing = np.isnan(x)
        inside = (missing | ((x >= low) & (x <= high))).all(axis=0)
        size = np.where(missing, 0.0, np.log(high - low)).sum(axis=0)
        with np.errstate(divide="ignore"):
            return np.where(inside, np.log(self.weight) - size, -np.inf)

    def maximise(self, count: float, total: float) -> UniformBackground:
        """The background with the share of rows it took."""
        if self.fixed or total <= 0:
            return self
        return replace(self, weight=min(count / total, LARGEST_WEIGHT))

    def marginal(self, dims: list[int]) -> UniformBackground:
        """The background over some of the coordinates."""
        return replace(self, low=self.low[dims], high=self.high[dims])

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """(n, m) draws."""
        return rng.uniform(self.low, self.high, size=(n, len(self.low)))

    def cdf(self, t: Array) -> Array:
        """P(X <= t) under the box, one dimension."""
        return np.clip((t - self.low[0]) / (self.high[0] - self.low[0]), 0.0, 1.0)


def _corner(values: Any, which: str) -> Array:
    return np.atleast_1d(as_numbers(values, f"{which} of a background's box").values.astype(float))
