"""Covariances of the values of a catalogue, from its errors and correlations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from mixsci.errors import DataError
from mixsci.stars.catalogue import PAIRS, ROLES, Catalogue, as_catalogue

Array = np.ndarray


def gaia_covariance(
    table: Any, coords: Sequence[str] = ("pmra", "pmdec"), columns: Mapping[str, str] | None = None
) -> Array:
    """(n, m, m) covariances of the values of each row, in the units of Gaia (mas, mas/yr, km/s; distances kpc).

    Row and column of a value that is missing, or has no error, are NaN. Correlations that the table does not give are
    taken as 0 with one warning; radial velocities and distances are uncorrelated with the rest.

    Args:
        table: any table, as `mixsci.stars.from_gaia` takes it.
        coords: m of "ra", "dec", "parallax", "pmra", "pmdec", "radial_velocity", "distance". The errors of ra are
            those of ra cos(dec), in deg as the values.
        columns: names of columns, where they are not recognised.

    Raises:
        DataError: coords that are none of these, values or errors that the table lacks.

    Example:
        >>> from mixsci.stars.covariances import gaia_covariance
        >>> table = {"pmra": [3.0], "pmra_error": [0.2], "pmdec": [1.0], "pmdec_error": [0.1], "pmra_pmdec_corr": [0.5]}
        >>> gaia_covariance(table).round(6)
        array([[[0.04, 0.01], [0.01, 0.01]]])
    """
    unknown = [role for role in coords if role not in ROLES[:-1]]
    if unknown or not len(coords) or isinstance(coords, str):
        raise DataError(f"coords must be some of {', '.join(ROLES[:-1])}; got {coords!r}")
    catalogue = table if isinstance(table, Catalogue) else as_catalogue(table, columns)
    catalogue.require(*coords, why="a covariance")
    notes = catalogue.notes(*coords)
    if notes:
        warnings.warn("; ".join(notes), UserWarning, stacklevel=2)
    return covariances_of(catalogue, coords, np.stack([catalogue.values[role] for role in coords], axis=-1))


def covariances_of(catalogue: Catalogue, roles: Sequence[str], x: Array) -> Array:
    """(n, m, m) covariances of the roles, NaN in row and column where x (n, m) is NaN or has no error."""
    errors = [np.where(np.isnan(x[:, j]), np.nan, catalogue.errors[role]) for j, role in enumerate(roles)]
    matrices = np.empty((catalogue.n_rows, len(roles), len(roles)))
    for j, error in enumerate(errors):
        matrices[:, j, j] = error * error
    for a, b in combinations(range(len(roles)), 2):
        matrices[:, a, b] = matrices[:, b, a] = correlation(catalogue, roles[a], roles[b]) * errors[a] * errors[b]
    return matrices


def correlation(catalogue: Catalogue, a: str, b: str) -> Array | float:
    """(n,) correlation of the errors of two roles, 0 where the catalogue gives none."""
    known = (a, b) in PAIRS or (b, a) in PAIRS
    return catalogue.correlation(a, b) if known else 0.0
