"""Starts of mixtures with angles: k-means++ with every angle a point on its circle, so that turning changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture, Halves, halved, wrapped
from mixsci.engine.em.begin import Labels
from mixsci.engine.em.seeding import distances, lloyd, seeds
from mixsci.engine.em.start import SAMPLE_ROWS, draw_rows, refuse_empty_columns, sketch
from mixsci.engine.execution import Workers
from mixsci.engine.kernels import circular
from mixsci.engine.model.circular import LEAST_DISPERSION, CircularModel
from mixsci.engine.observations import Observations

Array = np.ndarray

#: Rows that k-means looks at.
_SEED_ROWS = 4_000
#: What is not observed still counts this much, as in `em/start.py`.
_UNSEEN = 1e-3


@dataclass(frozen=True, eq=False)
class CircularSketch:
    """What a sample of rows says before any component is known.

    Attributes:
        sample: the rows themselves.
        points: (n, D + 2A) some of them: ordinary columns over their spread, angles as points on circles.
        resolved: (n, D + 2A) share of the variance that the row resolves.
        location, spread, covariance: (D,), (D,), (D, D) of the ordinary columns, noise removed.
        dispersion: (A,) 1 - R of the angles, errors removed.
    """

    sample: Observations
    points: Array
    resolved: Array
    location: Array
    spread: Array
    covariance: Array
    dispersion: Array


def circular_sketch(
    model: CircularModel, obs: Any, rng: np.random.Generator, workers: Workers, n_rows: int
) -> CircularSketch:
    """What a sample of the rows says; refuses columns without values."""
    sample = draw_rows(obs, SAMPLE_ROWS, rng, workers=workers, n_rows=n_rows)
    if sample.row_weights is not None and not sample.row_weights.all():
        sample = sample.take(np.flatnonzero(sample.row_weights))
    angles, period = model.columns(sample.width), model.periods(sample.width)
    refuse_empty_columns(sample)
    halves = halved(sample, angles, period)
    if halves.ordinary is None:
        location, spread, covariance = np.zeros(0), np.ones(0), np.eye(0)
    else:
        plain = sketch(halves.ordinary, rng, workers)
        location, spread, covariance = plain.location, plain.spread, plain.covariance
    dispersion, middle = _dispersion(halves)
    rows = np.flatnonzero(sample.seen().any(axis=1))
    rows = rows if len(rows) <= _SEED_ROWS else np.sort(rng.choice(rows, _SEED_ROWS, replace=False))
    few = halved(sample.take(rows), angles, period)
    flat, sure = _flat_points(few, location, spread)
    round_, known = _round_points(few, dispersion, middle)
    return CircularSketch(
        sample, np.hstack([flat, round_]), np.hstack([sure, known]), location, spread, covariance, dispersion
    )


def drawn(
    model: CircularModel, view: CircularSketch, rng: np.random.Generator, kind: int, labels: Labels
) -> CircularMixture:
    """A mixture to climb from: components at seeds among the rows, as wide as the rows about them."""
    k, d = model.n_components, len(view.spread)
    points, resolved = view.points, view.resolved
    centres = seeds(points, resolved, k, np.empty((0, points.shape[1])), rng)
    if kind % 3 == 0:
        centres = lloyd(points, resolved, centres, np.zeros(k, dtype=bool))
    label = distances(points, resolved, centres).argmin(axis=1)
    counts = np.bincount(label, minlength=k) + 1.0
    share = _share_within(points, resolved, centres, label, d, wide=kind % 3 == 2)
    turn = np.arctan2(centres[:, d + 1 :: 2], centres[:, d::2])
    within = view.dispersion * share[d:]
    angles, period = model.columns(view.sample.width), model.periods(view.sample.width)
    weights, root = counts / counts.sum(), np.sqrt(share[:d])
    return CircularMixture(
        np.tile(weights, (len(labels), 1)) if labels else weights,
        centres[:, :d] * view.spread,
        np.tile(view.covariance * root[:, None] * root, (k, 1, 1)),
        group_labels=labels, background=model.background, directions=wrapped(turn * (period / TURN), period),
        concentrations=np.tile(circular.concentration(within), (k, 1)), angles=angles, period=period,
    )  # fmt: skip


def as_wide_as_all(mixture: CircularMixture, view: CircularSketch, k: int) -> CircularMixture:
    """The mixture with component k as wide as all rows in every column, its directions kept."""
    means, covariances, kappa = mixture.means.copy(), mixture.covariances.copy(), mixture.concentrations.copy()
    means[k], covariances[k] = view.location, view.covariance
    kappa[k] = circular.concentration(view.dispersion)
    return replace(mixture, means=means, covariances=covariances, concentrations=kappa)


def _dispersion(halves: Halves) -> tuple[Array, Array]:
    """(A,) dispersions 1 - R of the true angles, and the mean (A,) of the points on the circle as complex numbers."""
    z = np.exp(1j * halves.angles)
    middle = np.nanmean(z, axis=0)
    # The digits of 1 - R where all angles are close: chords about the mean direction.
    apart = halves.angles - np.angle(middle)
    raw = np.nanmean(2.0 * np.sin(apart / 2.0) ** 2, axis=0)
    if halves.errors is not None:
        # An error shortens the mean resultant by exp(-sigma^2 / 2).
        shorter = np.exp(-np.median(halves.errors**2, axis=0) / 2.0)
        raw = np.maximum(1.0 - (1.0 - raw) / shorter, 0.05 * raw)
    return np.clip(raw, LEAST_DISPERSION, 1.0), middle


def _flat_points(halves: Halves, location: Array, spread: Array) -> tuple[Array, Array]:
    """Ordinary columns (n, D) over their spread, gaps at the centre, and the share of variance that each resolves."""
    if halves.ordinary is None:
        nothing = np.empty((len(halves.angles), 0))
        return nothing, nothing
    rows = halves.ordinary
    seen = rows.seen()
    variances = np.diagonal(rows.noise.covariances(len(rows)), axis1=1, axis2=2)
    resolved = np.where(seen, spread**2 / (spread**2 + variances), _UNSEEN)
    return np.where(seen, np.asarray(rows.x, dtype=float), location) / spread, np.maximum(resolved, _UNSEEN)


def _round_points(halves: Halves, dispersion: Array, middle: Array) -> tuple[Array, Array]:
    """Angles as cosines and sines (n, 2A) of unit spread, gaps at the mean, and what each row resolves of them."""
    n, a = halves.angles.shape
    seen = ~np.isnan(halves.angles)
    z = np.where(seen, np.exp(1j * np.where(seen, halves.angles, 0.0)), middle)
    # The points of a circle have variance 1 - R^2.
    z = z / np.sqrt(dispersion * (2.0 - dispersion))
    sharp = np.ones((n, a)) if halves.errors is None else dispersion / (dispersion + halves.errors**2 / 2.0)
    resolved = np.where(seen, np.maximum(sharp, _UNSEEN), _UNSEEN)
    return np.stack([z.real, z.imag], axis=2).reshape(n, 2 * a), np.repeat(resolved, 2, axis=1)


def _share_within(points: Array, resolved: Array, centres: Array, label: Array, d: int, *, wide: bool) -> Array:
    """(D + A,) share of the variance of each column that lies within components."""

    def joined(values: Array) -> Array:
        return np.concatenate([values[:d], values[d::2] + values[d + 1 :: 2]])

    total = joined((resolved * (points - points.mean(axis=0)) ** 2).sum(axis=0))
    if wide:
        return np.full(len(total), len(centres) ** (-2.0 / len(total)))
    inside = joined((resolved * (points - centres[label]) ** 2).sum(axis=0))
    return np.clip(inside / np.maximum(total, 1e-300), 0.02, 1.0)
