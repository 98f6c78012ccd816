"""Anderson acceleration: from the last few EM steps, the point at which the next step would vanish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray

_DEPTH = 10
#: Directions of the memory smaller than this share of the largest are rounding.
_RESOLVED = 1e-10


@dataclass(frozen=True, eq=False)
class Anderson:
    """The memory of a climb in the coordinates of the model (Walker & Ni 2011, type II); a value: nothing changes it.

    Attributes:
        points: (j, p) packed mixtures, oldest first. steps: (j, p) EM steps from them.
        sizes: (p,) what a step in each coordinate is compared with.
    """

    points: Array
    steps: Array
    sizes: Array

    @classmethod
    def begin(cls, sizes: Array) -> Anderson:
        """No memory yet."""
        return cls(np.empty((0, len(sizes))), np.empty((0, len(sizes))), sizes)

    def remember(self, point: Array, step: Array) -> Anderson:
        """The memory with one more EM step, the oldest forgotten."""
        points = np.vstack([self.points, point])[-(_DEPTH + 1) :]
        steps = np.vstack([self.steps, step])[-(_DEPTH + 1) :]
        return Anderson(points, steps, self.sizes)

    def leap(self) -> Array:
        """The step (p,) from the newest point to where the EM step is predicted to vanish; the EM step without memory."""
        newest = self.steps[-1]
        if len(self.steps) < 2:
            return newest
        bends, moves = np.diff(self.steps, axis=0) / self.sizes, np.diff(self.points, axis=0) / self.sizes
        share = np.linalg.lstsq(bends.T, newest / self.sizes, rcond=_RESOLVED)[0]
        return newest - self.sizes * ((moves + bends).T @ share)

    def remaining(self, rows: float) -> float:
        """Predicted gain from the newest point to the top: half of EM's information between its step and the leap."""
        return 0.5 * rows * float(np.sum(self.steps[-1] / self.sizes * (self.leap() / self.sizes)))

    def as_arrays(self) -> dict[str, Any]:
        """The memory as arrays, for a checkpoint."""
        return {"points": self.points, "steps": self.steps, "sizes": self.sizes}
