"""Points that stand for what is integrated over: a grid with weights in one dimension, draws or even points in more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri
from scipy.stats.qmc import Sobol

from mixsci.engine.inference.redrawing import latent_points
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, observe

Array = np.ndarray

#: Panels of a grid: as far from every mean and as wide, in standard deviations of every component; nodes of each.
_REACH, _WIDTH, _NODES = 12.0, 0.5, 16
#: Rows whose weights are smaller than this share of the largest say nothing.
_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Points:
    """Rows with weights that sum to one: means over them are those over the mixture.

    Args:
        rows: n of them. weights: (n,). exact: whether they integrate, or were drawn and leave an error.
    """

    rows: Observations
    weights: Array
    exact: bool

    def mean(self, values: Array) -> tuple[float, float]:
        """Mean of values (n,) and its standard error, 0 where it is exact."""
        mean = float(self.weights @ values)
        if self.exact:
            return mean, 0.0
        return mean, float(np.sqrt(self.weights @ (values - mean) ** 2 / len(values)))

    @cached_property
    def weighted(self) -> Observations:
        """The rows with row weights that sum to their number."""
        return self.rows.weighted(self.weights * len(self.weights))


def grid_of(mixture: Mixture) -> Points:
    """Nodes of Gauss and Legendre on panels narrow against every component of a one-dimensional mixture.

    Panels end half a standard deviation of each component apart, out to twelve from its mean, where 1e-32 is left.
    """
    means, sigma = mixture.means[:, 0], np.sqrt(mixture.covariances[:, 0, 0])
    steps = np.arange(-_REACH, _REACH + _WIDTH / 2, _WIDTH)
    edges = np.unique(means[:, None] + sigma[:, None] * steps)
    node, share = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1.0 + node)).reshape(-1, 1)
    weights = (half * share).ravel() * np.exp(mixture.log_density(x))
    some = weights > _LEAST
    return Points(Observations(x[some]), weights[some] / weights[some].sum(), exact=True)


def even_points(n: int, dims: int) -> Array:
    """(n, dims) points that fill a standard normal evenly, always the same; n a power of 2."""
    # The first point of the sequence is the corner 0: all are moved to the middles of their cells.
    return np.asarray(ndtri(Sobol(dims, scramble=False).random(n) + 0.5 / n))


def draws_of(mixture: Mixture, like: Observations, n: int, rng: np.random.Generator) -> Points:
    """n rows drawn from a mixture, each seen as one of given rows is, the more often the more these weigh."""
    weights = like.each_weight
    design = like.take(rng.choice(len(like), size=n, p=weights / weights.sum())).weighted(np.ones(n))
    return Points(observe(latent_points(mixture, design, rng), design, rng), np.full(n, 1.0 / n), exact=False)
