"""Covariances that a fit to noisy rows has brought to nothing: on the way out from the fit they may come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from mixsci.engine.em.steps import bare, expect
from mixsci.engine.inference.numbers import Layout, coordinates
from mixsci.engine.inference.surface import Point, Surface
from mixsci.engine.inference.uncertainty import StandardErrors
from mixsci.engine.inference.yardstick import LARGEST_SHARE, Directions, Yardstick
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model, overall_variances

Array = np.ndarray

#: What is added to a covariance, as a share of that of all rows, so that none stands where it could not leave.
_LIFT = 1e-6
#: Curvature that is rounding, in directions of length one, and least of a maximum, in those of a standard error.
_NOTHING, _LEAST = 1e-7, 1e-3
#: Steps of the delta method, in standard errors.
_STEP = 0.01


def with_walls(sure: StandardErrors, obs: Any, workers: Any) -> StandardErrors:
    """Standard errors that count as free too what was lost because a covariance stands at a wall, if rows tell it.

    They are those of the curvature there, although the objective falls from a wall by its slope first.
    """
    moving = np.abs(Layout.of(sure.mixture).split(sure.lost.numbers)["covariances"]).any(axis=(1, 2, 3))
    if bare(sure.model, obs) or not moving.any():
        return sure
    mixture, inner = _lifted(sure.model, sure.mixture), len(sure.free)
    theta = np.vstack([sure.free.theta, sure.lost.theta[moving]])
    whole = Directions(theta, theta @ coordinates(sure.model, mixture).jacobian.T)
    bent = _curvature(replace(sure, mixture=mixture, free=whole), inner, obs, workers)
    size, axes = np.linalg.eigh(bent[inner:, inner:])
    seen = size > _NOTHING
    told = block_diag(np.eye(inner), axes[:, seen] / np.sqrt(size[seen]))
    untold = block_diag(np.zeros((inner, 0)), axes[:, ~seen])
    size, axes = np.linalg.eigh(told.T @ bent @ told)
    if size.min(initial=1.0) < _LEAST:
        return sure
    free = whole.combine(told @ axes / np.sqrt(size))
    still = Directions(sure.lost.theta[~moving], sure.lost.numbers[~moving])
    lost = Directions.joined(still, whole.combine(untold))
    yardstick = Yardstick(mixture, Layout.of(mixture), expect(mixture, obs, workers=workers))
    steps = np.minimum(_STEP, yardstick.steps(free, LARGEST_SHARE))
    return replace(sure, mixture=mixture, free=free, lost=lost, steps=steps)


def _lifted(model: Model, mixture: Mixture) -> Mixture:
    """The mixture with a little more in every free covariance."""
    more = _LIFT * overall_variances(mixture).min() * np.eye(mixture.n_dims)
    free = ~model.mask("covariances")[:, None, None]
    lifted = mixture.evolve(covariances=mixture.covariances + np.where(free, more, 0.0))
    return model.unpack(model.pack(lifted), lifted)


def _curvature(sure: StandardErrors, inner: int, obs: Any, workers: Any) -> Array:
    """(q, q) of the objective at a mixture; zero beyond the first `inner` directions where steps are too short."""
    known = np.diag((np.arange(len(sure.free)) < inner).astype(float))
    return Point(Surface(sure, obs, workers, lambda _: 0.0), sure.mixture, known).measured(0.0).curvature
