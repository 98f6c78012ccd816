"""Turning flat components: the way out of a point where EM stands still without being at an optimum.

Where noise blurs a component that has next to no spread in some directions N, EM can hardly turn it: the covariance
moves within its range R only. To second order the log-likelihood of turning the axes of R by A towards N is

    sum_r lambda_r (A_r' H_Nr + A_r' H_NN A_r / 2),   with H the score 2 dL/dSigma,

which is greatest at A = -H_NN^-1 H_NR, and moving the mean along N gains g_N' F_NN^-1 g_N / 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mixsci.engine.em.steps import expect
from mixsci.engine.execution import Workers
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.covariances import Full
from mixsci.engine.model.model import Model
from mixsci.engine.model.statistics import Stats

Array = np.ndarray

#: A direction is flat where the spread is this small a share of what a row's noise leaves to be known.
_FLAT = 1e-2
_HALVINGS = 6


def turn(model: Model, mixture: Mixture, obs: Any, least: float, workers: Workers) -> Mixture | None:
    """The mixture with its flat components turned if that gains more than `least` nats, else None."""
    if model.covariance != Full() or not model.means.free or model.offsets is not None:
        return None
    stats = expect(mixture, obs, workers=workers)
    free = ~(model.mask("means") | model.mask("covariances"))
    turns = {int(k): found for k in np.flatnonzero(free) if (found := _best_turn(mixture, stats, int(k))) is not None}
    if sum(gain for gain, _, _ in turns.values()) <= least:
        return None
    here = stats.log_likelihood + model.log_prior(mixture)
    for halving in range(_HALVINGS):
        trial = _turned(mixture, turns, 0.5**halving)
        there = expect(trial, obs, workers=workers)
        if not there.failures.any() and there.log_likelihood + model.log_prior(trial) > here + least / 2:
            return trial
    return None


def _best_turn(mixture: Mixture, stats: Stats, k: int) -> tuple[float, Array, Array] | None:
    """Predicted gain, turn (D, D) of the axes and step (D,) of the mean of one component; None without a flat side."""
    counts, g, information = stats.grouped
    count, score, known = counts[:, k].sum(), g[:, k].sum(axis=0), information[:, k].sum(axis=0)
    values, axes = np.linalg.eigh(mixture.covariances[k])
    inside = axes.T @ known @ axes
    flat = values * np.diag(inside) < _FLAT * count
    if count <= 0 or not flat.any():
        return None
    curve = axes.T @ stats.H[k] @ axes
    down, across = -curve[np.ix_(flat, flat)], curve[np.ix_(flat, ~flat)]
    # Where spread itself would gain EM finds it alone.
    if np.linalg.eigvalsh(down)[0] <= 0:
        return None
    tilt = np.linalg.solve(down, across)
    step = np.linalg.lstsq(inside[np.ix_(flat, flat)], (axes.T @ score)[flat], rcond=1e-10)[0]
    gain = 0.5 * float(np.sum(values[~flat] * (across * tilt).sum(axis=0)) + (axes.T @ score)[flat] @ step)
    return gain, axes[:, flat] @ tilt @ axes[:, ~flat].T, axes[:, flat] @ step


def _turned(mixture: Mixture, turns: dict[int, tuple[float, Array, Array]], share: float) -> Mixture:
    means, covariances = mixture.means.copy(), mixture.covariances.copy()
    for k, (_, tilt, step) in turns.items():
        turned = np.eye(len(tilt)) + share * tilt
        covariances[k] = turned @ covariances[k] @ turned.T
        covariances[k] = (covariances[k] + covariances[k].T) / 2
        means[k] = means[k] + share * step
    return replace(mixture, means=means, covariances=covariances)
