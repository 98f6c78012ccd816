"""Anderson acceleration: from the last few EM steps, the point at which the next step would vanish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

Array = np.ndarray

_DEPTH = 10
#: Directions of the memory smaller than this share of the largest are rounding.
_RESOLVED = 1e-10
_FIRST_REACH = 4.0


@dataclass(frozen=True, eq=False)
class Anderson:
    """The memory of a climb in the coordinates of the model (Walker & Ni 2011, type II); a value: nothing changes it.

    Attributes:
        points: (j, p) packed mixtures, oldest first. steps: (j, p) EM steps from them.
        sizes: (p,) what a step in each coordinate is compared with.
        reach: longest stride, in EM steps, where EM steps grow.
    """

    points: Array
    steps: Array
    sizes: Array
    reach: float = _FIRST_REACH

    @classmethod
    def begin(cls, sizes: Array, reach: float = _FIRST_REACH) -> Anderson:
        """No memory yet."""
        return cls(np.empty((0, len(sizes))), np.empty((0, len(sizes))), sizes, reach)

    def remember(self, point: Array, step: Array) -> Anderson:
        """The memory with one more EM step, the oldest forgotten."""
        points = np.vstack([self.points, point])[-(_DEPTH + 1) :]
        steps = np.vstack([self.steps, step])[-(_DEPTH + 1) :]
        return replace(self, points=points, steps=steps)

    @property
    def ready(self) -> bool:
        """Whether there is enough memory to leap."""
        return len(self.steps) > 1

    def leap(self) -> Array:
        """The step (p,) from the newest point: to where the EM step is predicted to vanish, or a stride ahead."""
        return self._stride() if self.rising else self._target

    @cached_property
    def rising(self) -> bool:
        """Whether the predicted fixed point lies behind: EM steps grow, as where the objective leaves a saddle."""
        return self.ready and float((self._target / self.sizes) @ (self.steps[-1] / self.sizes)) <= 0

    def judged(self, *, accepted: bool) -> Anderson:
        """The memory after a leap: strides get longer where they gain, shorter where they lose."""
        if not self.rising:
            return self
        return replace(self, reach=self.reach * 4.0 if accepted else max(self.reach / 4.0, 2.0))

    @cached_property
    def _target(self) -> Array:
        newest = self.steps[-1]
        bends, moves = np.diff(self.steps, axis=0) / self.sizes, np.diff(self.points, axis=0) / self.sizes
        share = np.linalg.lstsq(bends.T, newest / self.sizes, rcond=_RESOLVED)[0]
        return newest - self.sizes * ((moves + bends).T @ share)

    def _stride(self) -> Array:
        move = np.linalg.norm((self.points[-1] - self.points[-2]) / self.sizes)
        bend = np.linalg.norm((self.steps[-1] - self.steps[-2]) / self.sizes)
        return self.steps[-1] * min(float(move / bend) if bend > 0 else np.inf, self.reach)
