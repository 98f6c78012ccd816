"""Profile intervals: how far a number can be moved, all else fitted anew, before the likelihood has fallen too far."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import ndtri

from mixsci.engine.em.result import Fit
from mixsci.engine.em.steps import expect
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.inference.numbers import Coordinates, coordinates, moved, slopes
from mixsci.engine.inference.uncertainty import StandardErrors, standard_errors
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.statistics import Stats
from mixsci.engine.tables import as_chance
from mixsci.errors import DataError

Array = np.ndarray

#: Ends are found to this share of a standard error.
_FINE = 1e-4
#: Climbs with a number held: nats to which they go, steps at most, and how often they begin again.
_LEAST_GAIN, _MOST_STEPS, _TRIES = 1e-9, 200, 3
#: Where a climb has ended: standard errors by which the number may miss, and slope in nats per standard error.
_MISSED, _STEEPEST = 1e-5, 1e-2
#: Nats of a mixture that is none, so that a step there is taken back; fall where a number cannot be.
_IMPOSSIBLE, _NOWHERE = 1e8, 1e4
#: Standard errors beyond which a profile that has not fallen is taken never to fall, and what is a jump of it.
_FARTHEST, _JUMP = 50.0, 0.01
#: Steps of differences of the number, in standard errors; what is rounding of it.
_STEP, _ROUNDING = 1e-3, 1e-9


def profile_interval(
    fit: Fit, obs: Any, what: Callable[[Mixture], Any], level: float = 0.95, *, workers: Any = None
) -> tuple[float, float]:
    """Lower and upper end for one number: where twice the fall of the profile log-likelihood is that of the level.

    It needs no symmetry, and does not depend on whether the number or its logarithm is asked for. With a prior it is
    the log density of the posterior that is profiled. Ends are found to 1e-4 standard errors, on the way out from the
    fit: the interval is that of the maximum that was fitted.

    Args:
        fit: a fit that converged.
        obs: the rows it was fitted to.
        what: mixture -> one number that moves smoothly with the mixture: a mean, a variance, a weight, lambda, a
            difference or a ratio of them.
        level: chance to hold the true value, in (0, 1).
        workers: threads, or a Dask client; None = all processors.

    Returns:
        The ends; -inf or inf, with a warning, where the likelihood never falls so far; where the number comes to an
        edge before (a weight of 0), that edge, with a warning.

    Raises:
        DataError: what has no standard error, because the rows do not tell it; what `mixsci.standard_errors` refuses.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(10.0, 2.0, size=(40, 1))
        >>> fit = mx.fit(mx.Model(1), x, rng=0)
        >>> low, high = mx.profile_interval(fit, x, lambda mixture: mixture.covariances[0, 0, 0])
        >>> round(low, 2), round(high, 2)
        (1.65, 3.98)
    """
    level = as_chance(level, "level")
    with warnings.catch_warnings():
        # What the rows do not tell is refused below, if it is this number.
        warnings.simplefilter("ignore")
        sure = standard_errors(fit, obs, workers=workers)
    profile, reach = Profile(Surface(sure, obs, workers), what), float(ndtri(0.5 + level / 2))
    with one_blas_thread():
        ends = [profile.end(side, reach) for side in _SIDES]
    for _, remark in ends:
        if remark:
            warnings.warn(remark, stacklevel=2)
    return ends[0][0], ends[1][0]


class Point:
    """A point z (q,) over the free directions of a fit, each one standard error long, and the objective there.

    Near the fit the objective is below that of the fit by z^2 / 2.
    """

    def __init__(self, surface: Surface, z: Array) -> None:
        self.surface, self.z, self.model = surface, z, surface.sure.model

    @cached_property
    def mixture(self) -> Mixture:
        """The mixture at this point."""
        return self.model.unpack(self.surface.origin + self.z @ self.surface.sure.free.theta, self.surface.sure.mixture)

    @cached_property
    def stats(self) -> Stats | None:
        """What the rows say of it; None where it is no mixture."""
        try:
            stats = expect(self.mixture, self.surface.obs, workers=self.surface.workers)
            whole = np.isfinite(stats.log_likelihood + self.model.log_prior(self.mixture))
        except (DataError, np.linalg.LinAlgError):
            return None
        return stats if whole and not stats.failures.any() else None

    @cached_property
    def coordinates(self) -> Coordinates:
        """Its free numbers."""
        return coordinates(self.model, self.mixture)

    @property
    def fall(self) -> float:
        """Nats by which the objective is below that of the fit."""
        if self.stats is None:
            return _IMPOSSIBLE
        return self.surface.top - self.stats.log_likelihood - self.model.log_prior(self.mixture)

    @cached_property
    def slope(self) -> Array:
        """(q,) slope of that."""
        if self.stats is None:
            return np.zeros(len(self.z))
        here = self.coordinates
        score = here.jacobian.T @ here.layout.join(slopes(self.mixture, self.stats)) + here.prior_slope
        return -self.surface.sure.free.theta @ score

    def changes(self, function: Callable[[Mixture], float]) -> Array:
        """(q,) slope of a function of the mixture, by differences along straight lines in its numbers."""
        layout, along = self.coordinates.layout, self.surface.sure.free.theta @ self.coordinates.jacobian.T
        ends = [[function(moved(self.mixture, layout.split(h * line))) for h in (_STEP, -_STEP)] for line in along]
        return np.array([(ahead - back) / (2.0 * _STEP) for ahead, back in ends])


class Surface:
    """The objective over the free directions of a fit.

    Args:
        sure: standard errors of the fit. obs: its rows. workers: threads.
    """

    def __init__(self, sure: StandardErrors, obs: Any, workers: Any) -> None:
        self.sure, self.obs, self.workers = sure, obs, workers
        self.origin = sure.model.pack(sure.mixture)
        self.top = 0.0
        self._last = Point(self, np.zeros(len(sure.free)))
        self.top = -self._last.fall

    def at(self, z: Array) -> Point:
        """The point z; the last one is kept, since a climb asks for all it has one by one."""
        if not np.array_equal(z, self._last.z):
            self._last = Point(self, z.copy())
        return self._last


class Profile:
    """One number over a surface, and its profile on the way out.

    Args:
        surface: the objective. what: mixture -> the number.
    """

    def __init__(self, surface: Surface, what: Callable[[Mixture], Any]) -> None:
        self.surface, self.what = surface, what
        value, error = surface.sure.of(what)
        if value.shape:
            raise DataError(f"a profile is that of one number; the function gave an array of shape {value.shape}")
        if not error > _ROUNDING * abs(value):
            why = "is not told by the rows" if np.isnan(error) else "is held"
            raise DataError(f"a profile interval needs a number with a standard error; this one {why}")
        self.value, self.error = float(value), float(error)
        #: Where the profile was: standard errors from the fit -> point.
        self.points: dict[float, Array] = {}

    def end(self, side: float, reach: float) -> tuple[float, str]:
        """Where the root of twice the fall comes to `reach`, below (-1) or above (1) the fit, and a remark or "".

        Without a maximum nearby the number has come to its edge: the profile there jumps to infinity.
        """
        self.points = {}
        far, fallen = reach, lambda t: self.fallen(side * t) - reach if t else -reach
        while fallen(far) < 0.0:
            if far > _FARTHEST:
                return side * np.inf, f"the likelihood never falls as far as the level asks {_SIDES[side]} the fit"
            far *= 2.0
        end = float(brentq(fallen, 0.0, far, xtol=_FINE))
        last = max((abs(t) for t in self.points if abs(t) <= end), default=0.0)
        at_edge = fallen(last) < -_JUMP
        remark = (
            f"the number comes to an edge {_SIDES[side]} the fit before the likelihood falls as far as the level asks"
        )
        return self.value + side * end * self.error, remark if at_edge else ""

    def fallen(self, t: float) -> float:
        """Root of twice the fall of the profile at t standard errors from the fit; infinite where there is none."""
        z = self._guess(t)
        for _ in range(_TRIES):
            z = self._climbed(z, t)
            if self._is_best(z, t):
                self.points[t] = z
                return float(np.sqrt(2.0 * max(self.surface.at(z).fall, 0.0)))
        return _NOWHERE

    def _guess(self, t: float) -> Array:
        """A point to begin from: on the line to the nearest that is known, or along the slope at the fit."""
        near = min(self.points, key=lambda known: abs(known - t), default=0.0)
        if near == 0.0:
            origin = np.zeros(len(self.surface.sure.free))
            return t * self.slope(origin)
        return self.points[near] * (t / near)

    def _climbed(self, z: Array, t: float) -> Array:
        held = {"type": "eq", "fun": lambda z: self.away(z) - t, "jac": self.slope}
        at, settings = self.surface.at, {"ftol": _LEAST_GAIN, "maxiter": _MOST_STEPS}
        found = minimize(
            lambda z: at(z).fall, z, jac=lambda z: at(z).slope, method="SLSQP", constraints=[held], options=settings
        )
        return np.asarray(found.x)

    def _is_best(self, z: Array, t: float) -> bool:
        """Whether the number is where it is held, and the objective level but for what that costs."""
        point, along = self.surface.at(z), self.slope(z)
        rest = point.slope - along * (along @ point.slope) / max(float(along @ along), 1e-300)
        return bool(point.fall < _IMPOSSIBLE and abs(self.away(z) - t) < _MISSED and np.linalg.norm(rest) < _STEEPEST)

    def away(self, z: Array) -> float:
        """How far the number at a point is from that of the fit, in standard errors."""
        return self._of(self.surface.at(z).mixture)

    def slope(self, z: Array) -> Array:
        """(q,) derivatives of that."""
        return self.surface.at(z).changes(self._of)

    def _of(self, mixture: Mixture) -> float:
        return (float(np.asarray(self.what(mixture))) - self.value) / self.error


_SIDES = {-1.0: "below", 1.0: "above"}
