"""Where climbs begin: k-means++ on what the rows say of their latent points, gaps and noise respected.

Everything happens in coordinates scaled by each dimension's noise-corrected robust spread, so a fit is equivariant:
columns times c give means times c and the same responsibilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from mixsci.engine.em.begin import complete
from mixsci.engine.em.seeding import distances, lloyd, seeds
from mixsci.engine.em.steps import em_step
from mixsci.engine.execution import Run, Workers, map_runs
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.linear import climb as least_squares
from mixsci.engine.model.means import Ladder
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations, as_observations, join
from mixsci.errors import DataError

Array = np.ndarray

#: Rows that starts look at.
SAMPLE_ROWS = 20_000
_SEED_ROWS = 4_000
_SINGLE_STEPS = 12


@dataclass(frozen=True, eq=False)
class Sketch:
    """What a sample of rows says of the latent points before any component is known; found when first asked for.

    Attributes:
        sample: the rows themselves. few: those of them that centres are drawn from.
        location, robust_spread: (D,) robust centre and noise-corrected standard deviation.
        workers: threads.
    """

    sample: Observations
    few: Observations
    location: Array
    robust_spread: Array
    workers: Workers

    @cached_property
    def single(self) -> Mixture:
        """One Gaussian for all rows."""
        return _single_gaussian(self.sample, self.location, self.robust_spread, self.workers)

    @property
    def covariance(self) -> Array:
        """(D, D) latent covariance under one Gaussian."""
        return np.asarray(self.single.covariances[0])

    @property
    def spread(self) -> Array:
        """(D,) noise-corrected standard deviation of the latent points."""
        if self.sample.projection is None:
            return self.robust_spread
        return np.sqrt(np.maximum(np.diagonal(self.covariance), 1e-24 * self.robust_spread**2))

    @property
    def points(self) -> Array:
        """(n, D) the latent point of each of the few rows, gaps filled by regression under one Gaussian."""
        return self._latent[0]

    @property
    def resolved(self) -> Array:
        """(n, D) share of the latent variance that each of them resolves: 0 = missing, 1 = exact."""
        return self._latent[1]

    @property
    def groups(self) -> Array | None:
        """(n,) codes of their groups, or None."""
        return None if self.few.groups is None else np.asarray(self.few.groups)

    @cached_property
    def _latent(self) -> tuple[Array, Array]:
        return _latent(self.few, self.single)


def sketch(obs: Any, rng: np.random.Generator, workers: Workers, n_rows: int | None = None) -> Sketch:
    """What a sample of the rows says; refuses rows from which nothing can be learnt."""
    sample = draw_rows(obs, SAMPLE_ROWS, rng, workers=workers, n_rows=n_rows)
    if sample.row_weights is not None and not sample.row_weights.all():
        sample = sample.take(np.flatnonzero(sample.row_weights))
    if not sample.seen().any():
        raise DataError("at least one value must be observed; all are missing")
    refuse_empty_columns(sample)
    location, spread = _location_and_spread(sample)
    few = sample.take(_some(len(sample), _SEED_ROWS, rng))
    few = few.take(np.flatnonzero(few.seen().any(axis=1)))
    return Sketch(sample, few, location, spread, workers)


def draw_rows(
    obs: Any, most: int, rng: np.random.Generator, *, workers: Workers = None, n_rows: int | None = None
) -> Observations:
    """At most so many rows, drawn without replacement; all of them where there are no more.

    Rows of a source are drawn where they lie, each with a random key, and those with the lowest keys are the sample.

    Args:
        n_rows: number of rows, if known: no more of them than needed are then brought here.
    """
    if isinstance(obs, Observations):
        return obs if len(obs) <= most else obs.take(_some(len(obs), most, rng))
    # With a margin of 6 standard deviations, rows enough have keys below this.
    below = 1.0 if n_rows is None else (most + 6 * np.sqrt(most)) / max(n_rows, 1)
    draw = partial(_rows_with_keys, int(rng.integers(2**63)), below)
    kept: list[Observations] = []
    keys = np.empty(0)
    for blocks, their_keys in map_runs(draw, obs, workers):
        kept += blocks
        keys = np.concatenate([keys, their_keys])
        if len(keys) > 4 * most:
            chosen = np.sort(np.argsort(keys)[:most])
            kept, keys = [join(kept).take(chosen)], keys[chosen]
    if not kept:
        raise DataError("there must be at least one row; got none")
    whole = join(kept)
    return whole if len(whole) <= most else whole.take(np.sort(np.argsort(keys)[:most]))


def _rows_with_keys(seed: int, below: float, run: Run) -> tuple[list[Observations], Array]:
    """The rows of a run whose random keys are low enough, block by block, and their keys."""
    rng = np.random.default_rng([seed, run.number])
    kept, keys = [], [np.empty(0)]
    for block in filter(len, run.blocks):
        key = rng.random(len(block))
        low = np.flatnonzero(key < below)
        kept.append(block if len(low) == len(block) else block.take(low))
        keys.append(key[low])
    return kept, np.concatenate(keys)


def draw_start(
    model: Model, view: Sketch, rng: np.random.Generator, kind: int, given: Mixture | None, labels: Any
) -> Mixture:
    """A mixture to climb from: number `kind` of the ways to draw one, the open or unfrozen parts of `given` filled."""
    offsets = _draw_offsets(model, view, labels, kind)
    points = view.points if offsets is None or view.groups is None else view.points - offsets[view.groups]
    scaled = points / view.spread
    held = _held_means(model, given)
    centres = np.empty((model.n_components, scaled.shape[1]))
    if given is not None and held.any():
        centres[held] = given.means[held] / view.spread
    centres[~held] = seeds(scaled, view.resolved, int((~held).sum()), centres[held], rng)
    if kind % 3 == 0:
        centres = lloyd(scaled, view.resolved, centres, held)
    if isinstance(model.means, Ladder):
        centres = _ladder_centres(model.means, centres * view.spread, rng) / view.spread
    elif model.weights.linked:
        centres = centres[np.argsort(centres.sum(axis=1), kind="stable")]
    label = distances(scaled, view.resolved, centres).argmin(axis=1)
    counts = np.bincount(label, minlength=model.n_components).astype(float)
    within = _within(view, scaled, centres, label, wide=kind % 3 == 2)
    return _assemble(model, view, centres * view.spread, counts, within, offsets, given, labels)


def fill(given: Mixture, drawn: Mixture, model: Model, *, only_frozen: bool) -> Mixture:
    """`drawn`, with the parts of `given` that are not open (or, if `only_frozen`, that are frozen) put in."""
    changes: dict[str, Any] = {}
    for name in ("weights", "means", "covariances"):
        theirs, ours = getattr(given, name), getattr(drawn, name)
        kept = ~np.isnan(theirs)
        if only_frozen:
            mask = model.mask(name)
            kept &= mask if name == "weights" else mask.reshape(-1, *[1] * (theirs.ndim - 1))
        value = np.where(kept, theirs, ours)
        if name == "weights" and not kept.all():
            value = _rest_of_weights(kept, theirs, ours)
        changes[name] = value
    return complete(model, replace(drawn, **changes), drawn.group_labels)


def from_labels(obs: Any, labels: Any, model: Model | None = None) -> Mixture:
    """The mixture whose components are the labelled rows: a start from a clustering that is known.

    Args:
        obs: rows, each counted once; gaps are filled by regression under one Gaussian.
        labels: (n,) codes 0 .. K-1.
        model: what is assumed; None = full covariances.
    """
    rows = as_observations(obs)
    labels = np.asarray(labels)
    if labels.shape != (len(rows),) or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise DataError(
            f"labels must be whole numbers of shape (n,) = ({len(rows)},), 0 or more; got {labels.dtype} {labels.shape}"
        )
    k = int(labels.max()) + 1
    r = np.eye(k)[labels]
    location, spread = _location_and_spread(rows)
    points, _ = _latent(rows, _single_gaussian(rows, location, spread, None))
    counts = r.sum(axis=0)
    if (counts == 0).any():
        raise DataError(f"every label from 0 to {k - 1} must occur; {int(np.flatnonzero(counts == 0)[0])} does not")
    means = r.T @ points / counts[:, None]
    apart = points[:, None] - means
    scatter = np.einsum("nk,nki,nkj->kij", r, apart, apart)
    model = model or Model(k)
    if model.n_components != k:
        raise DataError(f"the model must have a component for every label; got {model.n_components} for {k} labels")
    floor = 1e-6 * np.diag(spread**2)
    covariances = model.covariance.maximise(
        scatter + counts[:, None, None] * floor,
        counts,
        np.tile(floor, (k, 1, 1)),
        model.resolve(spread).pseudo(points.shape[1]),
        model.floor,
    )
    means, theta = model.means.place(means)
    return Mixture(counts / counts.sum(), means, covariances, theta=theta)


# The sketch


def _some(n: int, most: int, rng: np.random.Generator) -> Array:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def refuse_empty_columns(sample: Observations) -> None:
    """Refuse rows of which a column has no value at all; what a projection sees is not looked at."""
    if sample.projection is not None:
        return
    empty = ~sample.seen().any(axis=0)
    if empty.any():
        names = sample.names or tuple(f"column {j}" for j in range(sample.width))
        listed = ", ".join(names[j] for j in np.flatnonzero(empty))
        raise DataError(f"every column must have an observed value; {listed} has none: leave it out")


def _location_and_spread(sample: Observations) -> tuple[Array, Array]:
    """Robust centre and noise-corrected robust standard deviation (D,) of the latent points."""
    seen = sample.seen()
    x = np.where(seen, np.asarray(sample.x, dtype=float), np.nan)
    rows = seen.any(axis=1)
    variances = np.diagonal(sample.noise.covariances(len(x)), axis1=1, axis2=2)[rows]
    centre = np.nanmedian(x[rows], axis=0) if sample.projection is None else np.zeros(sample.width)
    spread = np.array([_spread(x[rows][:, j] - centre[j], variances[:, j]) for j in range(sample.width)])
    if sample.projection is None:
        return centre, spread
    return np.zeros(sample.n_dims), np.full(sample.n_dims, np.sqrt(np.mean(spread**2)))


def _spread(apart: Array, variance: Array) -> float:
    """Noise-corrected robust standard deviation; never quite zero unless all values are the same and exact."""
    kept = ~np.isnan(apart)
    if not kept.any():
        return 1.0
    apart, variance = apart[kept], variance[kept]
    robust = 1.4826 * float(np.median(np.abs(apart)))
    plain = float(np.sqrt(np.mean(apart**2)))
    raw = robust if robust > 1e-3 * plain else plain
    noise = float(np.median(variance))
    size = np.sqrt(max(raw**2 - noise, 0.05 * raw**2))
    return size if size > 0 else np.sqrt(noise) if noise > 0 else 1.0


def _single_gaussian(sample: Observations, location: Array, spread: Array, workers: Workers) -> Mixture:
    """One Gaussian for all rows, after a few steps of EM; complete rows without noise need one."""
    rows = (
        sample if sample.groups is None else Observations(sample.x, sample.noise, sample.projection, sample.row_weights)
    )
    model = Model(1, floor=0.0, prior=None)
    single = Mixture([1.0], location[None], np.diag(spread**2)[None])
    exact = rows.projection is None and not rows.has_noise and bool(rows.seen().all())
    for _ in range(1 if exact else _SINGLE_STEPS):
        single, _ = em_step(model, single, rows, workers=workers)
        # Flat directions would stay flat: keep a little spread in each.
        single = replace(single, covariances=single.covariances + 1e-6 * np.diag(spread**2))
    return single


def _latent(rows: Observations, single: Mixture) -> tuple[Array, Array]:
    """Latent points (n, D) under one Gaussian and the share (n, D) of their variance that each row resolves."""
    n, m, sigma = len(rows), rows.width, single.covariances[0]
    seen = rows.seen()
    view = np.broadcast_to(
        np.eye(m) if rows.projection is None else np.nan_to_num(rows.projection), (n, m, rows.n_dims)
    )
    view = view * seen[:, :, None]
    noise = rows.noise.covariances(n) * (seen[:, :, None] & seen[:, None, :])
    total = view @ sigma @ view.transpose(0, 2, 1) + noise
    scale = np.trace(total, axis1=1, axis2=2) / m + np.trace(sigma) / len(sigma)
    diagonal = np.arange(m)
    total[:, diagonal, diagonal] += np.where(seen, 1e-12, 1.0) * scale[:, None]
    residual = np.where(seen, np.asarray(rows.x, dtype=float), 0.0) - np.einsum("nmd,d->nm", view, single.means[0])
    gain = np.linalg.solve(total, view @ sigma).transpose(0, 2, 1)
    points = single.means[0] + np.einsum("ndm,nm->nd", gain, residual)
    resolved = np.einsum("ndm,nmd->nd", gain, view @ sigma) / np.diagonal(sigma)
    if rows.projection is None:
        # A value that was seen is a better place for a centre than its shrunken estimate.
        points = np.where(seen, np.nan_to_num(np.asarray(rows.x, dtype=float)), points)
    return points, np.clip(resolved, 1e-3, 1.0)


# The mixture drawn


def _held_means(model: Model, given: Mixture | None) -> Array:
    """(K,) means that are not to be drawn: frozen ones that the start gives."""
    if given is None:
        return np.zeros(model.n_components, dtype=bool)
    return model.mask("means") & ~np.isnan(given.means).any(axis=1)


def _ladder_centres(ladder: Ladder, centres: Array, rng: np.random.Generator) -> Array:
    """Means on the ladder through a few random matches of components and ordered centres."""
    k, d, p = ladder.design.shape
    centres = centres[np.argsort((centres / np.maximum(np.ptp(centres, axis=0), 1e-300)).sum(axis=1), kind="stable")]
    anchors = min(k, max(2, -(-p // d)))
    rungs = np.sort(rng.choice(k, anchors, replace=False)) if k > anchors else np.arange(k)
    rungs[0] = 0
    places = np.sort(rng.choice(k, anchors, replace=False)) if k > anchors else np.arange(k)
    design = ladder.design[rungs].reshape(-1, p)
    wanted = (centres[places] - ladder.fixed[rungs]).ravel()
    return ladder.means(least_squares(design.T @ design, design.T @ wanted))


def _within(view: Sketch, scaled: Array, centres: Array, label: Array, *, wide: bool) -> Array:
    """(D, D) covariance within components: the single Gaussian's, shrunk by what the centres explain."""
    d = len(view.spread)
    if wide:
        share = np.full(d, len(centres) ** (-2.0 / d))
    else:
        total = view.resolved * (scaled - scaled.mean(axis=0)) ** 2
        inside = view.resolved * (scaled - centres[label]) ** 2
        share = np.clip(inside.sum(axis=0) / np.maximum(total.sum(axis=0), 1e-300), 0.02, 1.0)
    root = np.sqrt(share)
    return view.covariance * root[:, None] * root


def _assemble(
    model: Model,
    view: Sketch,
    means: Array,
    counts: Array,
    within: Array,
    offsets: Array | None,
    given: Mixture | None,
    labels: Any,
) -> Mixture:
    k, d = model.n_components, len(view.spread)
    means, theta = model.means.place(means)
    groups = max(len(labels or ()), 1)
    counts = counts + 1.0
    weights, rates = model.weights.start(k, groups)
    weights, rates = model.weights.maximise(np.tile(counts, (groups, 1)), weights, rates, np.zeros(k, dtype=bool))
    current = np.tile(within, (k, 1, 1))
    covariances, free = current.copy(), ~model.mask("covariances")
    if free.any():
        scatter = current * counts[:, None, None]
        covariances[free] = model.covariance.maximise(
            scatter[free], counts[free], current[free], model.pseudo(d), model.floor
        )
    mixture = model.kind(
        weights if labels else weights[0], means, covariances, theta=theta, offsets=offsets, group_labels=labels,
        rates=rates if labels or rates is None else rates[0], background=model.background,
        state_of_component=getattr(model.weights, "state_of_component", None),
    )  # fmt: skip
    return mixture if given is None else fill(given, mixture, model, only_frozen=not given.open)


def _draw_offsets(model: Model, view: Sketch, labels: Any, kind: int) -> Array | None:
    """Zero, or for every second start the shift of each group's median."""
    if model.offsets is None:
        return None
    if not labels:
        raise DataError('offsets="group" needs rows with groups: give groups= to the observations')
    offsets = np.zeros((len(labels), len(view.spread)))
    if kind % 2 == 1 and view.groups is not None:
        centre = np.median(view.points, axis=0)
        for code in np.unique(view.groups):
            offsets[code] = np.median(view.points[view.groups == code], axis=0) - centre
    return offsets


def _rest_of_weights(kept: Array, theirs: Array, ours: Array) -> Array:
    """Weights that keep some of `theirs` and share the rest as `ours` do."""
    share = 1.0 - np.where(kept, theirs, 0.0).sum(axis=-1, keepdims=True)
    rest = np.where(kept, 0.0, ours)
    total = rest.sum(axis=-1, keepdims=True)
    return np.where(kept, theirs, rest * share / np.where(total > 0, total, 1.0))
