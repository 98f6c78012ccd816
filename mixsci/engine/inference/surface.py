"""The objective about a fit, as a surface over its free directions, with one number of the mixture to watch on it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mixsci.engine.em.steps import expect
from mixsci.engine.inference.numbers import Coordinates, coordinates, moved, slopes
from mixsci.engine.inference.sides import Sides
from mixsci.engine.inference.uncertainty import StandardErrors
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.covariances import Families
from mixsci.engine.model.model import overall_variances
from mixsci.engine.model.statistics import Stats
from mixsci.errors import DataError

Array = np.ndarray

#: Steps of differences, in steps of a frame.
_STEP = 1e-3
#: Changes of a number, by a step of a standard error, that are none, and that are next to none.
_STILL, _FLAT = 1e-9, 1e-2
#: Length, in standard errors, of a step that is as good as none.
_SHORT = 1e-7
#: Least curvature; length of steps below which it is rounding.
_FLATTEST, _ROUNDED = 1e-6, 1e-6


class Surface:
    """The objective over the free directions of a fit, and a number.

    Args:
        sure: standard errors of the fit. obs: its rows. workers: threads.
        number: mixture -> how far it is from its value at the fit, in standard errors. top: the objective of the fit.
    """

    def __init__(
        self, sure: StandardErrors, obs: Any, workers: Any, number: Callable[[Mixture], float], top: float = 0.0
    ) -> None:
        self.model, self.theta, self.obs, self.workers = sure.model, sure.free.theta, obs, workers
        self.number, self.mixture, self.top = number, sure.mixture, top
        self.free = ~sure.model.mask("covariances")

    @property
    def fit(self) -> Point:
        """The fit, where the free directions are such that the curvature is one."""
        return Point(self, self.mixture, np.eye(len(self.theta)))


class Ways(NamedTuple):
    """Steps (q,) from a point: `onwards`, along the profile for each standard error of the number, and `up`.

    The second keeps the number and leads to the greatest objective, with a `gain` in nats.
    """

    onwards: Array
    up: Array
    gain: float


class Point:
    """A mixture on a surface, and what is seen from there along its q free directions.

    These are straight lines in the numbers of `model.pack`, each a standard error of the fit long.

    Args:
        surface: where it lies. mixture: the mixture. curvature: (q, q) of the objective, measured here or nearby.
    """

    def __init__(self, surface: Surface, mixture: Mixture, curvature: Array) -> None:
        self.surface, self.mixture, self.curvature = surface, mixture, curvature

    def stepped(self, step: Array) -> Point:
        """The point a step (q,) away; no side of a covariance loses more than nine tenths of itself on it."""
        model = self.surface.model
        there = model.unpack(model.pack(self.mixture) + step @ self.surface.theta, self.mixture)
        if isinstance(model.covariance, Families):
            there = there.evolve(
                covariances=self._turned(self.coordinates.layout.split(step @ self.lines)["covariances"])
            )
            there = model.unpack(model.pack(there), there) if model.floor > 0 else there
        return Point(self.surface, there, self.curvature)

    def _turned(self, changes: Array) -> Array:
        """(..., K, D, D) covariances after changes of them."""
        return np.where(self.surface.free[:, None, None], self.sides.stepped(changes), self.mixture.covariances)

    def _values(self, steps: Array) -> Array:
        """(s,) the number after small steps (s, q)."""
        parts = self.coordinates.layout.split(steps @ self.lines)
        if isinstance(self.surface.model.covariance, Families):
            parts["covariances"] = self._turned(parts["covariances"]) - self.mixture.covariances
        ends = [{name: part[i] for name, part in parts.items()} for i in range(len(steps))]
        return np.array([self.surface.number(moved(self.mixture, end)) for end in ends])

    @cached_property
    def stats(self) -> Stats | None:
        """What the rows say of it; None where it is no mixture."""
        try:
            stats = expect(self.mixture, self.surface.obs, workers=self.surface.workers)
            whole = np.isfinite(stats.log_likelihood + self.surface.model.log_prior(self.mixture))
        except (DataError, np.linalg.LinAlgError):
            return None
        return stats if whole and not stats.failures.any() else None

    @cached_property
    def fall(self) -> float:
        """Nats by which the objective is below that of the fit."""
        if self.stats is None:
            return np.inf
        return float(self.surface.top - self.stats.log_likelihood - self.surface.model.log_prior(self.mixture))

    @property
    def depth(self) -> float:
        """Root of twice the fall: where the objective is a parabola, how many standard errors away it is."""
        return float(np.sqrt(2.0 * max(self.fall, 0.0)))

    @cached_property
    def coordinates(self) -> Coordinates:
        """Its free numbers."""
        return coordinates(self.surface.model, self.mixture)

    @cached_property
    def lines(self) -> Array:
        """(q, numbers) what the free directions do to the numbers of the mixture."""
        return np.asarray(self.surface.theta @ self.coordinates.jacobian.T)

    @cached_property
    def sides(self) -> Sides:
        """Its covariances by their sides."""
        scale = np.sqrt(overall_variances(self.mixture))
        return Sides(self.mixture.covariances, scale, self.surface.model.floor)

    @cached_property
    def shares(self) -> Array:
        """(q, K, D, D) what the free directions do to each covariance, as shares of its sides."""
        return self.sides.shares(self.coordinates.layout.split(self.lines)["covariances"])

    @cached_property
    def frame(self) -> Array:
        """(q, q) steps by columns, none of them longer than a standard error, or than a covariance is wide."""
        flat = self.shares.reshape(len(self.lines), -1)
        axes, size, _ = np.linalg.svd(np.hstack([np.eye(len(flat)), flat]), full_matrices=False)
        return np.asarray(axes / size)

    @cached_property
    def away(self) -> float:
        """How far the number is from that of the fit, in standard errors."""
        return self.surface.number(self.mixture)

    @cached_property
    def along(self) -> Array:
        """(q,) slope of that, by differences."""
        ahead, back = np.split(self._values(_STEP * np.vstack([self.frame.T, -self.frame.T])), 2)
        return np.linalg.solve(self.frame.T, (ahead - back) / (2.0 * _STEP))

    @property
    def pull(self) -> Array:
        """(q,) change of the number by each step of the frame."""
        return np.asarray(self.along @ self.frame)

    @property
    def way(self) -> Array:
        """(q,) the step that changes the number most among those as long as the frame's."""
        return np.asarray(self.frame @ self.pull / max(float(np.linalg.norm(self.pull)), 1e-300))

    @property
    def stands(self) -> bool:
        """Whether no step moves the number: it is at its edge."""
        return bool(np.linalg.norm(self.pull) < _STILL)

    @property
    def flat(self) -> bool:
        """Whether next to nothing does."""
        return bool(np.linalg.norm(self.pull) < _FLAT)

    @property
    def endless(self) -> bool:
        """Whether steps of next to no length move the number: as a logarithm of what is as good as zero."""
        return bool(np.linalg.norm(self.way) < _SHORT * np.linalg.norm(self.pull))

    @cached_property
    def slope(self) -> Array:
        """(q,) slope of the fall."""
        if self.stats is None:
            return np.full(len(self.lines), np.nan)
        here = self.coordinates
        score = here.jacobian.T @ here.layout.join(slopes(self.mixture, self.stats)) + here.prior_slope
        return np.asarray(-self.surface.theta @ score)

    @cached_property
    def price(self) -> float:
        """Nats that the number costs, for each standard error."""
        return float(self.pull @ (self.slope @ self.frame) / max(self.pull @ self.pull, 1e-300))

    def ways(self) -> Ways:
        """Where to go from here, by Newton's method."""
        rest = self.frame @ (self.frame.T @ (self.slope - self.price * self.along))
        bent = self.curvature + self.sides.walls(self.shares, rest)
        level = np.linalg.qr(self.along[:, None], mode="complete")[0][:, 1:]
        size, axes = np.linalg.eigh(level.T @ bent @ level)
        axes = level @ axes
        back = axes / np.maximum(np.abs(size), _FLATTEST) @ axes.T
        onwards = (self.along - back @ (bent @ self.along)) / (self.along @ self.along)
        return Ways(onwards, -back @ self.slope, float(self.slope @ back @ self.slope) / 2.0)

    def measured(self, price: float) -> Point:
        """This point, its curvature measured here, less that of the number at a price: two passes for each direction.

        It stays as it was between steps so short that rounding hides it, and where one leads out of all mixtures.
        """
        ends = [[self.stepped(sign * _STEP * step) for sign in (1.0, -1.0)] for step in self.frame.T]
        slopes_there = [[end.slope - price * end.along if price else end.slope for end in pair] for pair in ends]
        local = np.array([ahead - back for ahead, back in slopes_there]) @ self.frame / (2.0 * _STEP)
        if not np.isfinite(local).all():
            return self
        lengths = np.linalg.norm(self.frame, axis=0)
        local = np.where(
            np.minimum.outer(lengths, lengths) > _ROUNDED, local, self.frame.T @ self.curvature @ self.frame
        )
        back, found = np.linalg.inv(self.frame), copy(self)
        found.curvature = back.T @ (local + local.T) @ back / 2.0
        return found
