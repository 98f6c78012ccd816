"""The shape of a component: principal dispersions and the angles of its velocity ellipsoid."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def dispersions(covariances: Array) -> Array:
    """(K, D) standard deviations along the principal axes, the largest first."""
    values = np.linalg.eigvalsh(covariances)[:, ::-1]
    return np.asarray(np.sqrt(np.maximum(values, 0.0)))


def tilt(covariances: Array, a: int, b: int) -> Array:
    """(K,) angle in deg, in (-90, 90], from axis a towards b to the longer axis of the ellipse in these two dimensions.

    tan(2 angle) = 2 C_ab / (C_aa - C_bb): for a = U, b = V the vertex deviation, for a = U, b = W the tilt (Binney &
    Merrifield 1998, section 10.3.2).
    """
    return np.asarray(
        np.degrees(0.5 * np.arctan2(2.0 * covariances[:, a, b], covariances[:, a, a] - covariances[:, b, b]))
    )


def round_tilt(angles: Array, about: Array) -> Array:
    """Angles of axes (mod 180 deg) written next to given ones, so that small changes stay small."""
    return about + np.mod(angles - about + 90.0, 180.0) - 90.0
