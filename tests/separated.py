"""Sets of rows from one to six well-separated components, on which the number of components is to be found.

Components lie at least 6 of the largest standard deviations apart in every pair, in 2 to 4 dimensions; each has its
own covariance with standard deviations between 0.5 and 1, and 10 % or more of the rows. Values are missing at random;
errors are given with each row, 0.3 to 0.6 in every dimension.
"""

from __future__ import annotations

import numpy as np

import mixsci as mx

APART = 6.0
ROWS_PER_COMPONENT = 150
MOST = 6
_SEED = 20261128


def truth(seed: int) -> mx.Mixture:
    """The mixture behind set number `seed`; K = 1 to 6 in turn."""
    rng = np.random.default_rng([_SEED, seed])
    k, d = 1 + seed % MOST, 2 + seed // MOST % 3
    means = np.empty((0, d))
    while len(means) < k:
        mean = rng.uniform(-9.0, 9.0, d)
        if (np.linalg.norm(means - mean, axis=1) >= APART).all():
            means = np.vstack([means, mean])
    turns = np.linalg.qr(rng.normal(size=(k, d, d)))[0]
    sd = rng.uniform(0.5, 1.0, (k, 1, d))
    least = 0.1
    weights = least + (1.0 - k * least) * rng.dirichlet(np.ones(k))
    return mx.Mixture(weights, means, (turns * sd**2) @ turns.transpose(0, 2, 1))


def separated_set(seed: int, gaps: float = 0.0, *, noise: bool = False) -> tuple[mx.Observations, int]:
    """Set number `seed` and its K, a share of the values missing, and with errors if asked for."""
    mixture, rng = truth(seed), np.random.default_rng([_SEED, seed, 1])
    n = ROWS_PER_COMPONENT * mixture.n_components
    errors = mx.noise.from_errors(rng.uniform(0.3, 0.6, (n, mixture.n_dims))) if noise else None
    made = mx.simulate.rows(mixture, n, noise=errors, gaps=gaps, rng=rng)
    return made.observations, mixture.n_components
