"""Seeded rows, with and without noise, and the mixture from which every package starts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SEED = 20240229
BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Parameters:
    """Weights (K,), means (K, d) and covariances (K, d, d) of a mixture, as plain arrays."""

    weights: Array
    means: Array
    covariances: Array


@dataclass(frozen=True)
class Problem:
    """Rows x (n, d), their noise covariances (n, d, d) or None, and the start of the climb."""

    x: Array
    noise: Array | None
    start: Parameters

    @property
    def cells(self) -> int:
        """Rows times components: the unit in which passes are compared."""
        return len(self.x) * len(self.start.weights)

    def head(self, n_rows: int) -> "Problem":
        """The first rows of this problem, copied."""
        return Problem(self.x[:n_rows].copy(), None if self.noise is None else self.noise[:n_rows].copy(), self.start)


def complete(n_rows: int, d: int, n_components: int) -> Problem:
    """Rows without gaps or noise."""
    rng = np.random.default_rng(SEED)
    truth = overlapping_mixture(d, n_components, rng)
    x = np.empty((n_rows, d))
    for rows in blocks(n_rows):
        x[rows] = latent_points(truth, len(x[rows]), rng)
    return Problem(x, None, perturbed(truth, rng))


def noisy(n_rows: int, d: int, n_components: int) -> Problem:
    """Rows with a full noise covariance each, of about the size of a component."""
    rng = np.random.default_rng(SEED)
    truth = overlapping_mixture(d, n_components, rng)
    x, noise = np.empty((n_rows, d)), np.empty((n_rows, d, d))
    # Filled in place, block by block: temporaries as large as the rows would hide the memory that is to be measured.
    for rows in blocks(n_rows):
        x[rows] = latent_points(truth, len(x[rows]), rng)
        x[rows] += fill_noise(noise[rows], rng)
    return Problem(x, noise, perturbed(truth, rng))


def blocks(n_rows: int) -> list[slice]:
    """Slices that cover the rows in order."""
    return [slice(low, min(low + BLOCK_ROWS, n_rows)) for low in range(0, n_rows, BLOCK_ROWS)]


def overlapping_mixture(d: int, n_components: int, rng: np.random.Generator) -> Parameters:
    """Components about four of their widths apart in any dimension, so that no package gains by skipping rows."""
    weights = rng.dirichlet(np.full(n_components, 10.0))
    means = rng.normal(scale=3 / np.sqrt(d), size=(n_components, d))
    factors = rng.normal(scale=1 / np.sqrt(d), size=(n_components, d, d))
    return Parameters(weights, means, factors @ factors.transpose(0, 2, 1) + 0.3 * np.eye(d))


def perturbed(truth: Parameters, rng: np.random.Generator) -> Parameters:
    """A start beside the truth: equal weights, shifted means, covariances half as large again."""
    n_components, d = truth.means.shape
    shift = rng.normal(scale=0.5 / np.sqrt(d), size=(n_components, d))
    return Parameters(np.full(n_components, 1 / n_components), truth.means + shift, 1.5 * truth.covariances)


def latent_points(truth: Parameters, n_rows: int, rng: np.random.Generator) -> Array:
    """Noise-free points (n, d) drawn from the mixture."""
    labels = rng.choice(len(truth.weights), size=n_rows, p=truth.weights)
    steps = rng.standard_normal((n_rows, truth.means.shape[1]))
    points = truth.means[labels]
    for k, factor in enumerate(np.linalg.cholesky(truth.covariances)):
        points[labels == k] += steps[labels == k] @ factor.T
    return points


def fill_noise(out: Array, rng: np.random.Generator) -> Array:
    """Errors (n, d) drawn from covariances A Aᵀ + 0.01 I, which are written into out (n, d, d)."""
    n_rows, d, _ = out.shape
    factors = rng.normal(size=out.shape) * rng.uniform(0.2, 1.0, size=(n_rows, 1, 1)) / np.sqrt(d)
    np.matmul(factors, factors.transpose(0, 2, 1), out=out)
    out += 0.01 * np.eye(d)
    errors = np.einsum("nij,nj->ni", factors, rng.standard_normal((n_rows, d)))
    return errors + 0.1 * rng.standard_normal((n_rows, d))
