"""How large the variance of things themselves is, beyond that of their errors: profile likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.state import State
from mixsci.engine.inference.climbing import climb_from
from mixsci.engine.inference.measuring import typical_variance
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.covariances import Diagonal
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.model.priors import Pseudo
from mixsci.engine.observations import Observations

Array = np.ndarray

#: Ends of intervals are found to this share of themselves and of the error's variance.
_FINE = 1e-3
_MOST_DOUBLINGS = 60
#: Gain, nats, below which turns of a profile over several dimensions end, and their number at most.
_LEAST_GAIN, _MOST_TURNS = 1e-3, 50


@dataclass(frozen=True, eq=False)
class IntrinsicVariance:
    """The intrinsic variances that all components share, one for each dimension, and their likelihood.

    Args:
        best: the fit of greatest likelihood, its covariances diagonal and tied. obs: its rows. workers: threads.
    """

    best: Fit
    obs: Observations
    workers: Any

    @classmethod
    def of(cls, continuous: Fit, obs: Observations, workers: Any) -> IntrinsicVariance:
        """From any fit with diagonal covariances."""
        if not continuous.model.covariance.tied:
            shared = Model(continuous.n_components, covariance="tied_diag")
            tol = _LEAST_GAIN / len(obs)
            continuous = fit(shared, obs, start=continuous.mixture, tol=tol, workers=workers)
        return cls(continuous, obs, workers)

    @cached_property
    def values(self) -> Array:
        """(D,) variances, in squared units of x; 0 where that is as good."""
        found, least = np.diagonal(self.best.mixture.covariances[0]), self.best.log_likelihood - _LEAST_GAIN
        none = [self.profile(dim, 0.0) >= least for dim in range(self.obs.width)]
        return np.where(none, 0.0, found)

    def interval(self, confidence: float, doubt: Array) -> Array:
        """(D, 2) where the profile has fallen so far; 0 where it does not on the way there.

        Args:
            confidence: chance to hold the true value.
            doubt: (D,) standard errors of the error variances. Both doubts are independent: distances from the value
                add in squares (Zou & Donner 2008).
        """
        z = float(ndtri(0.5 + confidence / 2.0))
        ends = np.array([self._ends(dim, z) for dim in range(self.obs.width)])
        here = self.values[:, None]
        return np.maximum(here + np.hypot(ends - here, z * doubt[:, None]) * [-1.0, 1.0], 0.0)

    def _ends(self, dim: int, z: float) -> tuple[float, float]:
        here, unit = float(self.values[dim]), float(typical_variance(self.obs)[dim])

        def fallen(variance: float) -> float:
            return 2.0 * (self.best.log_likelihood - self.profile(dim, variance)) - z**2

        return _root(fallen, here, 0.0, unit), _root(fallen, here, _beyond(fallen, here, unit), unit)

    def profile(self, dim: int, variance: float) -> float:
        """Greatest log-likelihood where one of the variances is held."""
        covariance = self.best.mixture.covariances.copy()
        covariance[:, dim, dim] = variance
        start, k = self.best.mixture.evolve(covariances=covariance), self.best.n_components
        held = Model(k, covariance="tied_diag", frozen=Frozen(covariances=[True] * k))
        others = Model(k, covariance=_Others(tied=True, dim=dim, held=variance))
        found = self._climb(held, start)
        # EM moves no mean where a component has no spread, unless all spreads are held: so in turns.
        for _ in range(_MOST_TURNS if self.obs.width > 1 else 0):
            before = found.log_likelihood
            found = self._climb(held, self._climb(others, found.mixture).mixture)
            if found.log_likelihood - before < _LEAST_GAIN:
                break
        return found.log_likelihood

    def _climb(self, model: Model, start: Mixture) -> State:
        return climb_from(model, self.obs, start, gap=_LEAST_GAIN, workers=self.workers)


@dataclass(frozen=True)
class _Others(Diagonal):
    """No correlations; the variance of one dimension is held."""

    dim: int = 0
    held: float = 0.0

    def numbers(self, matrices: Array) -> Array:
        return np.delete(super().numbers(matrices), self.dim, axis=1)

    def matrices(self, numbers: Array, d: int) -> Array:
        return super().matrices(np.insert(numbers, self.dim, self.held, axis=1), d)

    def maximise(self, scatter: Array, counts: Array, current: Array, pseudo: Pseudo, floor: float) -> Array:
        found = super().maximise(scatter, counts, current, pseudo, floor)
        found[:, self.dim, self.dim] = self.held
        return found


def _beyond(fallen: Callable[[float], float], here: float, unit: float) -> float:
    """A variance at which a profile has fallen far enough; infinite where rows say too little for that."""
    for step in unit * 2.0 ** np.arange(_MOST_DOUBLINGS):
        if fallen(here + step) >= 0.0:
            return float(here + step)
    return np.inf


def _root(fallen: Callable[[float], float], here: float, far: float, unit: float) -> float:
    """Where a profile has fallen enough on the way from its maximum to a far end; the far end if it never has."""
    if here == far or not np.isfinite(far) or fallen(far) <= 0.0:
        return far
    return float(brentq(fallen, min(here, far), max(here, far), xtol=_FINE * unit, rtol=_FINE))
