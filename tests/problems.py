"""Random problems by number: rows as measured, a model of any kind, and a complete mixture to begin from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import mixsci as mx
from mixsci.engine.model.priors import no_prior

Array = np.ndarray

STRUCTURES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical", "scaled", "factors")
WEIGHTS = ("free", "dirichlet", "fixed", "tail", "truncated", "open", "occupancy")
MEANS = ("free", "free", "fixed", "ladder")
NOISES = ("none", "shared", "errors", "full")
PROJECTIONS = ("none", "none", "shared", "rows")
OFFSETS = (None, "group", "prior")


@dataclass(frozen=True)
class Problem:
    """Rows, what is assumed of them, and where a climb begins."""

    seed: int
    model: mx.Model
    obs: mx.Observations
    start: mx.Mixture

    def __str__(self) -> str:
        noise = type(self.obs.noise).__name__
        projection = "" if self.obs.projection is None else f" seen through {self.obs.projection.shape}"
        parts = (self.model.means, self.model.offsets, self.model.background, *self.model.prior)
        names = ", ".join(type(part).__name__ for part in parts if part is not None)
        frozen = [what for what in ("weights", "means", "covariances") if self.model.mask(what).any()]
        return (
            f"{self.seed}: {self.model!r}, {names}, frozen {frozen}, {noise}{projection}, {self.start.n_groups} groups"
        )


def random_problem(seed: int) -> Problem:
    """Problem number `seed`: every pair of structure and weights comes by once in 56, all else is drawn."""
    rng = np.random.default_rng(seed)
    structure, law = STRUCTURES[seed % len(STRUCTURES)], WEIGHTS[seed // len(STRUCTURES) % len(WEIGHTS)]
    d, k = int(rng.integers(1, 4)), _components(law, rng)
    groups = int(rng.choice([0, 0, 2, 3]))
    projection = str(rng.choice(PROJECTIONS))
    noise = str(rng.choice(NOISES))
    means = rng.normal(size=(k, d)) * 3.0
    obs, latent = draw_rows(rng, means, n=int(rng.integers(40, 90)), noise=noise, projection=projection, groups=groups)
    model = _model(rng, structure, law, means, obs, latent, groups)
    return Problem(seed, model, obs, make_start(rng, model, means, obs))


def _components(law: str, rng: np.random.Generator) -> int:
    return {"open": 9, "occupancy": 5, "fixed": 3}.get(law) or int(rng.integers(2, 5))


def random_covariances(rng: np.random.Generator, k: int, d: int) -> Array:
    """(K, D, D) positive definite matrices of size one."""
    root = rng.normal(size=(k, d, d))
    return root @ root.transpose(0, 2, 1) / d + 0.1 * np.eye(d)


def draw_rows(
    rng: np.random.Generator,
    means: Array,
    *,
    n: int = 60,
    noise: str = "none",
    projection: str = "none",
    groups: int = 0,
    gaps: float | None = None,
    row_weights: bool | None = None,
) -> tuple[mx.Observations, Array]:
    """Rows of a mixture with these means, seen through noise, projection and gaps; and their latent points."""
    k, d = means.shape
    label = rng.integers(k, size=n)
    roots = np.linalg.cholesky(random_covariances(rng, k, d))
    latent = means[label] + np.einsum("nij,nj->ni", roots[label], rng.normal(size=(n, d)))
    codes = rng.integers(groups, size=n) if groups else None
    if codes is not None:
        latent = latent + rng.normal(size=(groups, d))[codes]
    view = _projection(rng, projection, n, d, noise)
    clean = latent if view is None else np.einsum("nmd,nd->nm", np.broadcast_to(view, (n, *view.shape[-2:])), latent)
    errors, covariances = draw_noise(rng, noise, n, clean.shape[1])
    x = (
        clean
        if covariances is None
        else clean + np.einsum("nab,nb->na", np.linalg.cholesky(covariances), rng.normal(size=clean.shape))
    )
    gaps = float(rng.choice([0.0, 0.15, 0.4])) if gaps is None else gaps
    x[rng.random(x.shape) < gaps] = np.nan
    if gaps:
        x[0] = np.nan
    weighted = rng.random() < 0.3 if row_weights is None else row_weights
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n) if weighted else None
    labels = None if codes is None else [f"group {code}" for code in codes]
    return mx.Observations(x, errors, view, weights, labels), latent


def draw_noise(rng: np.random.Generator, kind: str, n: int, m: int) -> tuple[Any, Array | None]:
    """Noise of one kind as `Observations` takes it, and its covariances (n, m, m)."""
    if kind == "none":
        return None, None
    if kind == "shared":
        covariance = 0.3 * random_covariances(rng, 1, m)[0]
        return mx.noise.from_covariances(covariance), np.broadcast_to(covariance, (n, m, m))
    if kind == "errors":
        sigma = rng.uniform(0.2, 1.0, size=(n, m))
        return mx.noise.from_errors(sigma), sigma[:, :, None] ** 2 * np.eye(m)
    covariances = 0.3 * random_covariances(rng, n, m)
    return covariances, covariances


def _projection(rng: np.random.Generator, kind: str, n: int, d: int, noise: str) -> Array | None:
    """Through more columns than dimensions only with noise: without it their spread would be singular."""
    if kind == "none":
        return None
    m = int(rng.integers(1, d + (2 if noise != "none" else 1)))
    return rng.normal(size=(m, d) if kind == "shared" else (n, m, d))


def _model(
    rng: np.random.Generator, structure: str, law: str, means: Array, obs: mx.Observations, latent: Array, groups: int
) -> mx.Model:
    k, d = means.shape
    kind = str(rng.choice(MEANS))
    masks = {what: rng.random(k) < 0.4 for what in ("weights", "means", "covariances") if rng.random() < 0.3}
    if kind != "free":
        masks.pop("means", None)
    if law not in ("free", "dirichlet"):
        masks.pop("weights", None)
    held = masks.get("covariances", np.zeros(k, dtype=bool))
    per_row = obs.projection is not None and obs.projection.ndim == 3
    return mx.Model(
        k,
        covariance=mx.covariances.Scaled(np.linspace(1.0, 4.0, max(int((~held).sum()), 1)))
        if structure == "factors"
        else structure,
        weights=_weights(law, k),
        means=_means(rng, kind, means),
        offsets=_offsets(rng, groups),
        background=None if per_row or rng.random() < 0.6 else _background(obs),
        prior=_prior(rng, d),
        frozen=mx.Frozen(**masks),
        floor=float(rng.choice([0.0, 0.0, 0.05])),
    )


def _weights(law: str, k: int) -> Any:
    if law == "occupancy":
        return mx.weights.Occupancy(mx.weights.Poisson("tail"), (1, 2, [0.3, 0.7]))
    if law in ("tail", "truncated", "open"):
        return mx.weights.Poisson(law)
    named = {
        "free": "free",
        "dirichlet": mx.weights.Free(dirichlet=3.0),
        "fixed": mx.weights.Fixed(np.arange(1, k + 1) / (k * (k + 1) / 2)),
    }
    return named[law]


def _means(rng: np.random.Generator, kind: str, means: Array) -> Any:
    k, d = means.shape
    if kind == "free":
        return "free"
    if kind == "fixed":
        return mx.means.Fixed(means)
    return mx.means.Ladder(rng.normal(size=(k, d, int(rng.integers(1, d + 2)))), means)


def _offsets(rng: np.random.Generator, groups: int) -> Any:
    kind = OFFSETS[rng.integers(len(OFFSETS))] if groups else None
    return mx.Offsets(prior_sd=0.7) if kind == "prior" else kind


def _background(obs: mx.Observations) -> mx.UniformBackground:
    return mx.UniformBackground(np.nanmin(obs.x, axis=0) - 1.0, np.nanmax(obs.x, axis=0) + 1.0, weight=0.1)


def _prior(rng: np.random.Generator, d: int) -> Any:
    return [
        None,
        None,
        mx.prior.InverseWishart(scale=0.5 * random_covariances(rng, 1, d)[0], dof=2.0),
        mx.prior.Bovy(0.3),
    ][rng.integers(4)]


def make_start(rng: np.random.Generator, model: mx.Model, means: Array, obs: mx.Observations) -> mx.Mixture:
    """A complete mixture that the model allows, at some distance from these means."""
    k, d = means.shape
    labels = obs.group_labels
    groups = len(labels or (0,))
    placed, theta = model.means.place(means + rng.normal(size=means.shape))
    weights, rates = model.weights.start(k, groups)
    if rates is None and not model.weights.linked:
        weights = rng.dirichlet(np.full(k, 3.0), size=groups)
    elif rates is not None:
        rates = rng.uniform(0.05, 0.2, size=groups)
        weights, rates = model.weights.unpack(
            _rates_into(model, weights, rates), weights, rates, np.zeros(k, dtype=bool)
        )
    covariances = random_covariances(rng, k, d)
    free = ~model.mask("covariances")
    if free.any():
        counts = np.ones(int(free.sum()))
        covariances[free] = model.covariance.maximise(
            covariances[free], counts, covariances[free], no_prior(d), model.floor
        )
    return mx.Mixture(
        weights if labels else weights[0],
        placed,
        covariances,
        theta=theta,
        group_labels=labels,
        background=model.background,
        rates=rates if labels or rates is None else rates[0],
        offsets=None if model.offsets is None else np.zeros((groups, d)),
    )


def _rates_into(model: mx.Model, weights: Array, rates: Array) -> Array:
    return model.weights.pack(weights, rates, np.zeros(weights.shape[1], dtype=bool))
