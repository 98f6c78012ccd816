"""Radial velocities that were not measured, from all that was, and how well such predictions fare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from mixsci.stars.kinematics import Kinematics, star_table

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.axes import Axes

Array = np.ndarray

_LEVELS = (0.16, 0.5, 0.84)
_CHUNK = 1 << 16
#: Halvings of what lies between the quantiles of the components: the rest is far below a metre per second.
_HALVINGS = 36


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Predicted beside measured radial velocities.

    Attributes:
        rows: (n,) numbers of the stars in their table.
        measured, measured_error: (n,) km/s.
        predicted, predicted_error: (n,) mean and standard deviation of the prediction, km/s, without the measurement's.
        quantiles: (n,) where the measured value falls in its prediction, the measurement's error allowed for; uniform
            in [0, 1] where the model is right (Bovy, Hogg & Roweis 2009, section 5.2).
        ks: Kolmogorov-Smirnov distance of the quantiles from uniform ones. p_value: chance of a larger one.
    """

    rows: Array
    measured: Array
    measured_error: Array
    predicted: Array
    predicted_error: Array
    quantiles: Array
    ks: float
    p_value: float

    def __repr__(self) -> str:
        return f"Calibration({len(self.rows)} stars, KS distance {self.ks:.3g}, p = {self.p_value:.3g})"

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the quantiles beside uniform ones."""
        from mixsci.stars.plot import plot_calibration

        return plot_calibration(self, ax=ax)


def forecast(mixture: Mixture, kin: Kinematics, levels: Sequence[float] = _LEVELS) -> QTable:
    """One row per star with the radial velocity expected from all else that was measured of it, in km/s.

    Columns: row, id, position; radial_velocity and radial_velocity_error, mean and standard deviation of the
    prediction; q16, q50, q84, its quantiles (it has several peaks where components disagree). The error of no
    measurement is in them; velocities are as seen from the Sun, of a star that is no outlier. A measured radial
    velocity is not used for its own prediction.

    Args:
        mixture: of the velocities.
        kin: the stars.
        levels: of the quantiles.
    """
    from astropy import units as u

    shares, means, variances = mixture.forecast(_hidden(kin), kin.view)
    means = means - kin.added[:, None]
    mean, sd = _moments(shares, means, variances)
    table = star_table(kin)
    table["radial_velocity"], table["radial_velocity_error"] = mean * u.km / u.s, sd * u.km / u.s
    for level in levels:
        table[f"q{100 * level:g}"] = quantile(shares, means, variances, level) * u.km / u.s
    return table


def calibrate(mixture: Mixture, kin: Kinematics) -> Calibration:
    """Predictions for the stars whose radial velocity is known, made as if it were not.

    Raises:
        DataError: no star with a radial velocity.
    """
    from scipy.stats import kstest

    radial = kin.radial
    known = np.empty(0, dtype=int) if radial is None else np.flatnonzero(kin.observations.seen()[:, radial])
    if radial is None or not len(known):
        raise DataError("a calibration needs stars with a measured radial velocity; there is none")
    stars = kin.take(known)
    measured = stars.observations.x[:, radial] - stars.added
    noise = stars.observations.noise.covariances(len(stars))[:, radial, radial]
    shares, means, variances = mixture.forecast(_hidden(stars), stars.view)
    means = means - stars.added[:, None]
    mean, sd = _moments(shares, means, variances)
    quantiles = (shares * ndtr((measured[:, None] - means) / np.sqrt(variances + noise[:, None]))).sum(axis=1)
    tested = kstest(quantiles, "uniform")
    return Calibration(
        stars.rows, measured, np.sqrt(noise), mean, sd, quantiles, float(tested.statistic), float(tested.pvalue)
    )


def quantile(shares: Array, means: Array, variances: Array, level: float) -> Array:
    """(n,) quantiles of n mixtures of K Gaussians in one dimension, shares, means and variances (n, K)."""
    if not 0.0 < level < 1.0:
        raise DataError(f"quantiles are defined for levels between 0 and 1; got {level}")
    parts = [
        _bisected(shares[at], means[at], np.sqrt(variances[at]), level)
        for at in (slice(start, start + _CHUNK) for start in range(0, len(shares), _CHUNK))
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _bisected(shares: Array, means: Array, sd: Array, level: float) -> Array:
    """A quantile of a mixture lies between the lowest and the highest that a component of it has."""
    own = means + ndtri(level) * sd
    low, high = np.where(shares > 0, own, np.inf).min(axis=1), np.where(shares > 0, own, -np.inf).max(axis=1)
    scale = np.where(sd > 0, sd, np.finfo(float).tiny)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (shares * ndtr((middle[:, None] - means) / scale)).sum(axis=1) >= level
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


def _moments(shares: Array, means: Array, variances: Array) -> tuple[Array, Array]:
    mean = (shares * means).sum(axis=1)
    variance = (shares * (variances + (means - mean[:, None]) ** 2)).sum(axis=1)
    return mean, np.sqrt(variance)


def _hidden(kin: Kinematics) -> Observations:
    """The rows without their radial velocities."""
    if kin.radial is None:
        return kin.observations
    x: Any = kin.observations.x.copy()
    x[:, kin.radial] = np.nan
    return kin.observations.valued(x)
