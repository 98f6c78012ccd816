"""The rows that are drawn, in the dimensions of a picture, and their noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.evaluate import group_codes
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError
from mixsci.plot.mixtures import unwrapped

Array = np.ndarray

#: Rows of more different errors than this are spoken for by as many of them.
_MOST_NOISES = 200


class Noise(NamedTuple):
    """Variances (L,) of the noise of rows in one dimension, and the share (L,) of the rows with each."""

    variances: Array
    shares: Array


def observed(data: Any) -> Observations:
    """Rows as `Observations`; values of one dimension may come without columns."""
    flat = getattr(data, "ndim", None) == 1 or (isinstance(data, Sequence) and np.ndim(data[:1]) == 1)
    return as_observations(as_numbers(data, "data").values[:, None] if flat else data)


def seen_values(rows: Observations) -> Array:
    """(n, m) values as floats, NaN where there is a gap or noise without bound."""
    return np.where(rows.seen(), rows.x, np.nan)


def rows_of(data: Any, mixture: Mixture | Fit, dims: list[int]) -> Observations | None:
    """Some dimensions of rows, less the offsets of their groups: as a mixture without offsets describes them."""
    if data is None:
        return None
    rows, found = observed(data), unwrapped(mixture)
    if rows.projection is not None:
        raise DataError(
            "rows to draw must hold values of the dimensions; these see a projection: draw their latent points, "
            "data=fit.posterior(obs)[0], or leave data out"
        )
    if rows.width == found.n_variables:
        rows = rows.valued(seen_values(rows) - _offsets(found, rows)).of_columns(dims)
    elif rows.width != 1 or len(dims) != 1:
        raise DataError(f"data must have the {found.n_variables} columns of the mixture; got {rows.width}")
    # A row of weight 0 is absent.
    return rows.take(rows.seen().all(axis=1) & (rows.each_weight > 0))


def _offsets(mixture: Mixture, rows: Observations) -> Array | float:
    """(n, D) shift of every row, 0 where its group is not known."""
    shifts = mixture.shifts if isinstance(mixture, FactorMixture) else mixture.offsets
    codes = group_codes(mixture, rows)
    if shifts is None or codes is None:
        return 0.0
    return np.vstack([shifts, np.zeros(shifts.shape[1])])[codes]


def noise_of(rows: Observations | None) -> Noise | None:
    """The noise of rows of one dimension, thinned to even shares of the rows where it has many values."""
    if rows is None or not rows.has_noise or not len(rows):
        return None
    variances, which = np.unique(rows.noise.covariances(len(rows))[:, 0, 0], return_inverse=True)
    shares = np.bincount(which, rows.each_weight) / rows.each_weight.sum()
    if not variances.any():
        return None
    if len(variances) <= _MOST_NOISES:
        return Noise(variances, shares)
    middles = (np.arange(_MOST_NOISES) + 0.5) / _MOST_NOISES
    at = np.searchsorted(np.cumsum(shares), middles)
    return Noise(variances[np.minimum(at, len(variances) - 1)], np.full(_MOST_NOISES, 1.0 / _MOST_NOISES))
