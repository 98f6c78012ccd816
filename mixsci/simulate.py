"""Rows whose truth is known: latent points from a mixture, then noise, projections and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, observe
from mixsci.engine.tables import as_generator
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Simulated:
    """Rows as measured, with what no measurement shows.

    Attributes:
        observations: the n rows.
        latent: (n, D) points behind them, offsets of groups included.
        labels: (n,) component of each row; -1 for the background.
    """

    observations: Observations
    latent: Array
    labels: Array

    def __repr__(self) -> str:
        return f"Simulated({self.observations!r})"


def rows(
    mixture: Mixture,
    n: int,
    *,
    noise: Any = None,
    gaps: Any = 0.0,
    projection: Any = None,
    groups: Any = None,
    rng: Any = None,
) -> Simulated:
    """n rows drawn from a mixture and seen through noise, gaps and a projection.

    Args:
        mixture: the truth.
        n: number of rows.
        noise: None, an object of `mixsci.noise`, or (n, m, m) covariances.
        gaps: share of values missing, one number or (m,) one per column; or an (n, m) mask, True = missing.
        projection: (m, D) or (n, m, D); None = the identity.
        groups: (n,) the group of each row, where the mixture differs by group.
        rng: seed or generator.

    Raises:
        DataError: shares of gaps outside [0, 1], or shapes that do not match.

    Example:
        >>> import mixsci as mx
        >>> truth = mx.Mixture([0.3, 0.7], [[0.0], [5.0]], [[[1.0]], [[1.0]]])
        >>> made = mx.simulate.rows(truth, 200, noise=mx.noise.from_errors([0.5]), gaps=0.1, rng=1)
        >>> made.observations, made.latent.shape
        (Observations(200 rows x 1 columns, SharedNoise), (200, 1))
    """
    rng = as_generator(rng)
    latent, labels = _points(mixture, n, groups, rng)
    width = mixture.n_dims if projection is None else np.shape(projection)[-2]
    blank = np.where(_missing(gaps, (n, width), rng), np.nan, 0.0)
    seen_as = Observations(blank, noise, projection, groups=groups)
    return Simulated(observe(latent, seen_as, rng), latent, labels)


def star_catalogue(n: int = 1000, rng: Any = None) -> pd.DataFrame:
    """A table of n stars of a cold stream before disc and halo, with errors, and velocities for few.

    Columns: pmra and pmdec (mas/yr) and vlos (km/s), each with its standard error in a column X_error; g_mag;
    population, the truth. Faint stars have larger errors; only bright ones have a velocity, one in twenty lacks
    its proper motion.

    Args:
        n: number of stars.
        rng: seed or generator.

    Example:
        >>> import mixsci as mx
        >>> list(mx.simulate.star_catalogue(5, rng=1).columns[:4])
        ['g_mag', 'pmra', 'pmra_error', 'pmdec']
    """
    import pandas as pd

    from mixsci.engine.noise import from_errors

    rng = as_generator(rng)
    g_mag = np.sort(20.0 - rng.exponential(1.6, n).clip(max=8.0))
    sigma = _star_errors(g_mag).round(3)
    made = rows(STARS, n, noise=from_errors(sigma), gaps=_star_gaps(g_mag, rng), rng=rng)
    table = {"g_mag": g_mag.round(2)}
    for j, name in enumerate(STAR_COLUMNS):
        x = made.observations.x[:, j]
        table[name] = x.round(3)
        table[f"{name}_error"] = np.where(np.isnan(x), np.nan, sigma[:, j])
    table["population"] = np.array(STAR_POPULATIONS)[made.labels]
    return pd.DataFrame(table)


#: Columns of `star_catalogue` that are measured, and the populations behind it.
STAR_COLUMNS = ("pmra", "pmdec", "vlos")
STAR_POPULATIONS = ("disc", "halo", "stream")
STARS = Mixture(
    weights=[0.5, 0.2, 0.3],
    means=[[-1.2, -3.4, 10.0], [0.3, -1.8, -60.0], [-2.7, -1.35, 142.0]],
    covariances=[
        [[0.85, 0.25, 8.0], [0.25, 0.6, 3.0], [8.0, 3.0, 900.0]],
        [[3.2, -0.6, 20.0], [-0.6, 2.6, -15.0], [20.0, -15.0, 12000.0]],
        [[0.024, 0.006, 0.2], [0.006, 0.021, 0.1], [0.2, 0.1, 120.0]],
    ],
)


def _points(mixture: Mixture, n: int, groups: Any, rng: np.random.Generator) -> tuple[Array, Array]:
    """Latent points (n, D) and components (n,); every row from the mixture of its group."""
    if groups is None:
        return mixture.sample(n, rng=rng)
    if len(groups) != n:
        raise DataError(f"groups must have shape (n,) = ({n},); got {np.shape(groups)}")
    points, labels = np.empty((n, mixture.n_dims)), np.empty(n, dtype=np.int64)
    for label in dict.fromkeys(np.asarray(groups).tolist()):
        here = np.array([other == label for other in np.asarray(groups).tolist()])
        points[here], labels[here] = mixture.sample(int(here.sum()), rng=rng, group=label)
    return points, labels


def _missing(gaps: Any, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """(n, m) True where a value is missing."""
    gaps = np.asarray(gaps)
    if gaps.dtype == bool and gaps.shape == shape:
        return gaps
    if gaps.shape not in ((), shape[1:]) or gaps.dtype == bool or not ((gaps >= 0) & (gaps <= 1)).all():
        raise DataError(f"gaps must be shares in [0, 1], one or ({shape[1]},), or a mask of shape {shape}; got {gaps}")
    return rng.random(shape) < gaps


def _star_errors(g_mag: Array) -> Array:
    """(n, 3) standard errors in mas/yr, mas/yr and km/s at magnitudes (n,)."""
    faint = 10.0 ** (0.2 * (g_mag - 20.0))
    return np.stack([0.02 + 0.55 * faint, 0.02 + 0.45 * faint, 0.8 + 14.0 * faint], axis=-1)


def _star_gaps(g_mag: Array, rng: np.random.Generator) -> Array:
    """(n, 3) True where a star of magnitude g_mag (n,) lacks a value."""
    no_motion = rng.random(len(g_mag)) < 0.05
    no_velocity = rng.random(len(g_mag)) > np.where(g_mag < 18.0, 0.6, 0.05)
    return np.stack([no_motion, no_motion, no_velocity], axis=-1)
