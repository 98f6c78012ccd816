"""Profile intervals: how far a number can be moved, all else fitted anew, before the likelihood has fallen too far."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from mixsci.engine.em.result import Fit, fit_of
from mixsci.engine.em.state import Outcome
from mixsci.engine.execution import one_blas_thread
from mixsci.engine.inference.surface import Point, Surface, Ways
from mixsci.engine.inference.uncertainty import StandardErrors, standard_errors
from mixsci.engine.inference.walls import with_walls
from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_chance
from mixsci.errors import DataError

#: Ends are found to this share of a standard error, and the number is held to this; a greater fall is a jump.
_FINE, _MISSED, _JUMP = 1e-4, 1e-7, 1e-2
#: Shares of a standard error that are rounding of the number, and that are none where it should end at zero.
_ROUNDING, _NOTHING = 1e-9, 1e-3
#: A step must take the number this share of the way that its slope promises, and the objective this share of its gain.
_LEAST_WAY, _LEAST_RISE = 0.3, 1e-4
#: Climbs with a number held: nats to which they go, or this share of the objective where its rounding is more.
_LEAST_GAIN, _LEAST_SHARE = 1e-6, 1e-13
#: A step that leaves more than this share of what the last one promised was taken with a curvature that is out of date.
_SLOW = 0.2
#: Steps of a climb, steps to hold a number, halvings of each, and climbs of one side that may fail, at most.
_MOST_STEPS, _MOST_MOVES, _HALVINGS, _TRIES = 30, 100, 12, 10
#: Standard errors beyond which a profile that has not fallen is taken never to fall.
_FARTHEST = 50.0


def profile_interval(
    fit: Fit, obs: Any, what: Callable[[Mixture], Any], level: float = 0.95, *, workers: Any = None
) -> tuple[float, float]:
    """Lower and upper end for one number: where twice the fall of the profile log-likelihood is that of the level.

    It needs no symmetry, and does not depend on whether the number or its logarithm is asked for. With a prior it is
    the log density of the posterior that is profiled. Ends are found to 1e-4 standard errors, on the way out from the
    fit: the interval is that of the maximum that was fitted. From point to point the others follow by Newton's method
    with the number held; a covariance may lose its spread on the way, and find it again.

    Args:
        fit: a fit that converged.
        obs: the rows it was fitted to.
        what: mixture -> one number that moves smoothly with the mixture: a mean, a variance, a weight, lambda, a
            difference or a ratio of them.
        level: chance to hold the true value, in (0, 1).
        workers: threads, or a Dask client; None = all processors.

    Returns:
        The ends; -inf or inf, with a warning, where the likelihood never falls so far; where the number comes to an
        edge before (a weight or a variance of 0), that edge, with a warning; nan, with a warning, where no maximum
        could be followed so far.

    Raises:
        DataError: a fit that did not converge; what has no standard error, because the rows do not tell it; what
            `mixsci.standard_errors` refuses.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(10.0, 2.0, size=(40, 1))
        >>> fit = mx.fit(mx.Model(1), x, rng=0)
        >>> low, high = mx.profile_interval(fit, x, lambda mixture: mixture.covariances[0, 0, 0])
        >>> round(low, 2), round(high, 2)
        (1.65, 3.98)
    """
    fit, level = fit_of(fit), as_chance(level, "level")
    if not (fit.converged or fit.outcome is Outcome.STALLED):
        raise DataError(f"a profile needs the maximum of a fit, and this one has not come to it. {fit.outcome}")
    with warnings.catch_warnings():
        # What the rows do not tell is refused below, if it is this number.
        warnings.simplefilter("ignore")
        sure = with_walls(standard_errors(fit, obs, workers=workers), obs, workers)
    profile, reach = Profile(sure, obs, workers, what, fit.objective), float(ndtri(0.5 + level / 2))
    with one_blas_thread():
        ends = [profile.end(side, reach) for side in _SIDES]
    for _, remark in ends:
        if remark:
            warnings.warn(remark, stacklevel=2)
    return ends[0][0], ends[1][0]


class _LostError(Exception):
    """The profile could not be followed."""


class Profile:
    """One number over a surface, and its profile on the way out.

    Args:
        sure: standard errors of the fit. obs: its rows. workers: threads. what: mixture -> the number.
        top: the objective of the fit.
    """

    def __init__(
        self, sure: StandardErrors, obs: Any, workers: Any, what: Callable[[Mixture], Any], top: float
    ) -> None:
        value, error = sure.of(what)
        if value.shape:
            raise DataError(f"a profile is that of one number; the function gave an array of shape {value.shape}")
        if not error > _ROUNDING * abs(value):
            why = "is not told by the rows" if np.isnan(error) else "is held"
            raise DataError(f"a profile interval needs a number with a standard error; this one {why}")
        self.what, self.value, self.error = what, float(value), float(error)
        self.surface = Surface(sure, obs, workers, self._away, top)
        self.least = max(_LEAST_GAIN, _LEAST_SHARE * abs(self.surface.top))
        #: What is known of the profile on the way out, and how many climbs have failed there.
        self.points, self.failed = [self.surface.fit], 0

    def end(self, side: float, reach: float) -> tuple[float, str]:
        """Where the root of twice the fall comes to `reach`, below (-1) or above (1) the fit, and a remark or ""."""
        self.points, self.failed, far = [self.surface.fit], 0, side * reach
        try:
            while abs(far) < _FARTHEST:
                limit = held(self.points[-1], far)
                if abs(limit.away - far) > _MISSED and (limit.flat or limit.endless):
                    return self._last(limit, side, reach)
                found = self.best(far, enough=reach)
                if found.depth >= reach:
                    return self._between(found, reach), ""
                far *= 2.0
        except _LostError:
            return np.nan, _LOST.format(_SIDES[side], self._at(self.points[-1].away))
        return side * np.inf, _OPEN.format(_SIDES[side])

    def _last(self, limit: Point, side: float, reach: float) -> tuple[float, str]:
        """The end where the number goes no farther than to a limit: at its edge, or for ever while nothing changes."""
        found = self.best(side * max(side * limit.away - _FINE, 0.0) if limit.flat else limit.away, enough=reach)
        if found.depth >= reach:
            return self._between(found, reach), ""
        if not limit.flat:
            return side * np.inf, _OPEN.format(_SIDES[side])
        return self._at(limit.away), _AT_EDGE.format(_SIDES[side])

    def _away(self, mixture: Mixture) -> float:
        """How far the number is from that of the fit, in standard errors."""
        with np.errstate(all="ignore"):
            return (float(np.asarray(self.what(mixture))) - self.value) / self.error

    def _at(self, away: float) -> float:
        """The number, `away` standard errors from that of the fit; next to zero it is zero."""
        found = self.value + away * self.error
        return found if abs(found) > _NOTHING * self.error else 0.0

    def _between(self, beyond: Point, reach: float) -> float:
        """The number where the profile has fallen to `reach`, before a point where it has fallen farther."""
        near = max((point for point in self.points if point.depth < reach), key=lambda point: abs(point.away))
        end = brentq(lambda t: self.best(t).depth - reach, near.away, beyond.away, xtol=_FINE)
        if abs(self.best(end).depth - reach) > _JUMP:
            raise _LostError
        return self._at(float(end))

    def _before(self, t: float) -> Point:
        """The point before t that is nearest to it."""
        return max((point for point in self.points if abs(point.away) <= abs(t)), key=lambda point: abs(point.away))

    def best(self, t: float, enough: float = np.inf) -> Point:
        """The point of the profile where the number is held at t, or one before where the fall is enough.

        It is climbed to from the nearest one before; where that fails, by steps half as long.
        """
        near, goal = self._before(t), t
        if abs(near.away - t) < _MISSED:
            return near
        while self.failed < _TRIES:
            found = climbed(near, goal, self.least)
            if found is None:
                self.failed += 1
                goal = (near.away + goal) / 2.0
                continue
            self.points.append(found)
            if goal == t or found.depth >= enough:
                return found
            near, goal = found, t
        raise _LostError


def climbed(near: Point, t: float, least: float) -> Point | None:
    """The best point with the number held at t, from a point nearby, to `least` nats; None where it is not found."""
    ahead = near.stepped((t - near.away) * near.ways().onwards)
    start = ahead if abs(t - ahead.away) < abs(t - near.away) else near
    point, last, fresh = held(start, t), np.inf, False
    for _ in range(_MOST_STEPS):
        if point is None or not abs(point.away - t) < _MISSED or point.stats is None:
            return None
        ways = point.ways()
        if ways.gain < least:
            return point
        higher = None if ways.gain > _SLOW * last and not fresh else _higher(point, t, ways, least)
        if higher is None and fresh:
            return None
        point, last, fresh = (point.measured(point.price), last, True) if higher is None else (higher, ways.gain, False)
    return None


def _higher(point: Point, t: float, ways: Ways, least: float) -> Point | None:
    """The first higher point on the way up, by halves; None where there is none."""
    share = 1.0
    for _ in range(_HALVINGS):
        there = held(point.stepped(share * ways.up), t)
        enough = point.fall - _LEAST_RISE * (share * ways.gain - least)
        if abs(there.away - t) < _MISSED and there.fall < enough:
            return there
        share /= 2.0
    return None


def held(point: Point, t: float) -> Point:
    """A point with the number held at t, near another, whatever the objective; or the nearest to that."""
    for _ in range(_MOST_MOVES):
        there = None if abs(t - point.away) < _MISSED or point.stands or point.endless else _nearer(point, t)
        if there is None:
            break
        point = there
    return point


def _nearer(point: Point, t: float) -> Point | None:
    """A point whose number is nearer to t, by a step no longer than those of the frame; None where there is none."""
    pull, gap = float(np.linalg.norm(point.pull)), t - point.away
    share = float(np.clip(gap / pull, -1.0, 1.0))
    for _ in range(2 * _HALVINGS if np.isfinite(pull) else 0):
        there = point.stepped(share * point.way)
        if abs(gap) - abs(t - there.away) > _LEAST_WAY * abs(share) * pull:
            return there
        share /= 2.0
    return None


_SIDES = {-1.0: "below", 1.0: "above"}
_OPEN = "the likelihood never falls as far as the level asks {} the fit"
_AT_EDGE = "the number comes to an edge {} the fit before the likelihood falls as far as the level asks"
_LOST = (
    "a profile {} the fit needs a maximum wherever the number is held; beyond {:.6g} none was found, so this end is "
    "nan: fit with a smaller tol, or ask mixsci.bootstrap"
)
