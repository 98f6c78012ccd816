"""Rows that a mixture does not explain: how improbable each is among rows that are seen as it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from mixsci.engine.em.result import mixture_of
from mixsci.engine.em.watching import counted
from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.inference.redrawing import latent_points
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_observations, observe
from mixsci.engine.tables import as_generator, is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: What is rounding of a log density: rows without a value are as probable as one another.
_ROUNDING = 1e-12


def anomaly_chances(
    mixture: Any, obs: Any, n: int = 999, *, rng: Any = None, workers: Workers = None, progress: bool = False
) -> Array:
    """(n_rows,) chances that a row of the mixture, seen as each row is, has a density as low as that row.

    Log densities of rows with other gaps and errors cannot be compared; these chances can. Rows of the mixture have
    them uniform whatever they lack, so that those at most 0.01 are a false alarm for one row in a hundred. They are
    counted among rows drawn anew, (1 + those as improbable) / (1 + n) (Davison & Hinkley 1997, section 4.2), and cost
    n passes over the rows.

    Args:
        mixture: what is normal: a `Mixture` of any kind, a `Fit`, a fitted estimator or a selection.
        obs: the rows, with the gaps, noise, projections and groups that they have; in memory.
        n: draws for each row: the least chance is 1 / (n + 1).
        rng: seed or generator.
        workers: threads, which share the draws among them. The result does not depend on it.
        progress: show on standard error how many draws are done.

    Returns:
        A row without a value has chance 1, as nothing speaks against it.

    Raises:
        DataError: no mixture, rows of another width or not in memory, a number of draws that is none.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> normal = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [5.0, 5.0]], [np.eye(2), np.eye(2)])
        >>> rows = np.array([[5.0, 4.0], [5.0, 0.0], [5.0, np.nan]])
        >>> mx.anomaly_chances(normal, rows, rng=0).round(2)
        array([0.59, 0.  , 1.  ])
    """
    mixture, obs, rng = mixture_of(mixture), as_observations(obs), as_generator(rng)
    if not is_whole(n):
        raise DataError(f"n must be a whole number of draws, 1 or more; got {n!r:.80}")
    drawn = map_blocks(partial(_drawn, mixture, obs), rng.spawn(int(n)), workers, columns=obs.width)
    density, lower = mixture.log_density(obs, workers=workers), np.ones(len(obs))
    for again in counted(drawn, "draws", int(n), show=progress):
        lower += again <= density + _ROUNDING * np.abs(density)
    return lower / (1 + n)


def _drawn(mixture: Mixture, obs: Observations, rng: np.random.Generator) -> Array:
    """(n_rows,) log densities of rows drawn from a mixture and seen as given rows are."""
    return np.asarray(mixture.log_density(observe(latent_points(mixture, obs, rng), obs, rng), workers=1))
