"""Directions and motions on the sky: projections of velocities, proper motions in other frames, the Sun's motion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows
from mixsci.stars.frames import Orientation, orientation, unit_vectors

Array = np.ndarray

#: One au per Julian year in km/s: the speed across the sky of 1 mas/yr at a parallax of 1 mas, or a distance of 1 kpc.
AU_PER_YEAR = 4.740470463533348


def tangent_basis(lon: Any, lat: Any) -> Array:
    """(..., 3, 3) rows: unit vectors away from us, along growing longitude, along growing latitude.

    (v_r, v_lon, v_lat) = tangent_basis @ velocity, in the axes of the frame that lon and lat (deg) belong to.

    Raises:
        DataError: latitudes beyond 90 deg.

    Example:
        >>> from mixsci.stars.geometry import tangent_basis
        >>> tangent_basis(0.0, 0.0)
        array([[ 1.,  0.,  0.], [-0.,  1.,  0.], [-0., -0.,  1.]])
    """
    lon, lat = _degrees(lon, "longitudes"), _degrees(lat, "latitudes")
    _refuse_beyond_poles(lat)
    away = unit_vectors(lon, lat)
    east, north = _tangents(lon, lat)
    return np.moveaxis(np.stack([away, east, north]), (0, 1), (-2, -1))


def uvw_projection(ra: Any, dec: Any, frame: Any = "galactic") -> Array:
    """(n, 3, 3) projections R of space velocities: (v_r, v_lon, v_lat) = R (U, V, W).

    v_lon and v_lat are along the frame's longitude (cosine of latitude included) and latitude: l and b for "galactic",
    whose axes U, V, W point to the Galactic centre, along Galactic rotation and to the North Galactic Pole. Where a
    radial velocity is missing its line is left out (Bovy, Hogg & Roweis 2009, ApJ 700, 1794). Every R is orthogonal, at
    poles too.

    Args:
        ra, dec: (n,) ICRS, deg.
        frame: whose axes and longitude, see `orientation`.

    Example:
        >>> import numpy as np
        >>> from mixsci.stars.geometry import uvw_projection
        >>> R = uvw_projection([266.405, 10.0], [-28.936, 80.0])
        >>> R.shape, bool(np.allclose(R @ R.transpose(0, 2, 1), np.eye(3)))
        ((2, 3, 3), True)
        >>> np.abs(R[0].round(3))  # towards the Galactic centre v_r is U, v_l is V, v_b is W
        array([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]])
    """
    ra, dec = _degrees(ra, "ra"), _degrees(dec, "dec")
    _refuse_beyond_poles(dec)
    ra, dec = np.broadcast_arrays(ra, dec)
    return project(ra, dec, orientation(frame))


def project(ra: Array, dec: Array, to: Orientation) -> Array:
    """(..., 3, 3) the projections of `uvw_projection`, of plain numbers."""
    basis = np.empty((*np.shape(ra), 3, 3))
    basis[..., 0, :] = np.moveaxis(to.matrix @ unit_vectors(ra, dec), 0, -1)
    east, north = (np.moveaxis(np.tensordot(to.matrix, tangent, 1), 0, -1) for tangent in _tangents(ra, dec))
    turned = turn(ra, dec, to)
    for row in range(2):
        basis[..., 1 + row, :] = turned[..., row, :1] * east + turned[..., row, 1:] * north
    return basis


def turn(ra: Array, dec: Array, to: Orientation) -> Array:
    """(..., 2, 2) matrices that take motions along (ra, dec) to motions along (longitude, latitude) of a frame.

    Both are motions on the sky, the cosine of latitude included. The angle is that under which the star sees the
    frame's pole; a star at that pole keeps an angle, though any would do.
    """
    east, north = _tangents(ra, dec)
    sine, cosine = -np.tensordot(to.matrix[2], east, 1), np.tensordot(to.matrix[2], north, 1)
    length = np.hypot(sine, cosine)
    at_pole = length == 0.0
    length = np.where(at_pole, 1.0, length)
    sine, cosine = sine / length, np.where(at_pole, 1.0, cosine / length)
    hand = np.sign(np.linalg.det(to.matrix))
    matrix = np.empty((*np.shape(ra), 2, 2))
    matrix[..., 0, 0], matrix[..., 0, 1] = hand * cosine, hand * sine
    matrix[..., 1, 0], matrix[..., 1, 1] = -sine, cosine
    return matrix


def turned(x: Array, covariances: Array, angles: Array) -> tuple[Array, Array]:
    """x (n, m) and covariances (n, m, m) whose first two columns are motions, turned by matrices (n, 2, 2)."""
    x = x.copy()
    x[:, :2] = np.einsum("nab,nb->na", angles, x[:, :2])
    covariances = covariances.copy()
    covariances[:, :2] = np.einsum("nab,nbj->naj", angles, covariances[:, :2])
    covariances[:, :, :2] = np.einsum("nab,njb->nja", angles, covariances[:, :, :2])
    return x, covariances


def solar_velocity(reflex: Any) -> Array | None:
    """(3,) velocity of the Sun about the Galactic centre, along the axes of ICRS, in km/s; None for none.

    Args:
        reflex: True for the velocity of astropy's default Galactocentric frame; (3,) numbers in km/s, a Quantity, a
            CartesianRepresentation or CartesianDifferential for a velocity along the axes of that frame (its
            `galcen_v_sun`); a Galactocentric frame; False or None for no correction.

    Raises:
        DataError: anything else.

    Example:
        >>> from mixsci.stars.geometry import solar_velocity
        >>> speed = float((solar_velocity([12.9, 245.6, 7.78]) ** 2).sum() ** 0.5)
        >>> round(speed, 6)
        246.061574
    """
    if reflex is None or reflex is False:
        return None
    if isinstance(reflex, str):
        raise DataError(f"reflex must be True or the velocity of the Sun; got {reflex!r}")
    from astropy import units as u
    from astropy.coordinates import ICRS, CartesianDifferential, CartesianRepresentation

    frame = _galactocentric(reflex)
    still = CartesianDifferential(np.zeros(3) * u.km / u.s)
    # A star at rest in the Galaxy moves, as we see it, against the Sun.
    star = frame.realize_frame(CartesianRepresentation(np.zeros(3) * u.kpc, differentials=still))
    velocity = star.transform_to(ICRS()).velocity.d_xyz
    return -velocity.to_value(u.km / u.s)


def to_frame(
    x: Any,
    covariances: Any,
    coord: Any,
    frame: Any,
    reflex: Any = None,
    *,
    distance: Any = None,
    distance_error: Any = None,
) -> tuple[Array, Array | None]:
    """Proper motions and their covariances in another frame: (n, m) and (n, m, m), in the order they came.

    x = (along longitude with the cosine of latitude, along latitude, ...), mas/yr, in the frame of the coordinates. The
    first two columns and their covariances turn by the angle between the frames' tangents; a third is a radial velocity
    in km/s, which no rotation changes; further ones pass as they are. With `reflex` the motion of the Sun about the
    Galactic centre is added back: proper motion + v_sun / (k distance), radial velocity + v_sun. Errors of positions
    are neglected; those of distances are taken as independent of x, and to first order.

    Args:
        x: (n, m >= 2) values; NaN = missing.
        covariances: (n, m, m), or None.
        coord: (n,) SkyCoord, or (ra, dec) in deg of ICRS.
        frame: the frame wanted, see `orientation`.
        reflex: whether and for which velocity of the Sun to correct, see `solar_velocity`.
        distance: (n,) kpc or Quantity; by default those of coord. Only a correction needs it.
        distance_error: (n,) standard errors, which widen the covariances by the uncertainty of the correction.

    Raises:
        DataError: shapes that do not match, a correction without distances, distances that are not above 0.

    Example:
        >>> import numpy as np
        >>> from mixsci.stars.geometry import to_frame
        >>> x, C = to_frame([[3.0, 4.0]], np.diag([0.04, 0.01])[None], ([120.0], [30.0]), "galactic")
        >>> float(round(np.hypot(*x[0]), 6)), float(round(np.trace(C[0]), 6))
        (5.0, 0.05)
    """
    lon, lat, own = _positions(coord)
    x, spread = _motions(x, covariances, len(lon))
    wanted = orientation(frame)
    angles = turn(lon, lat, replace(wanted, matrix=wanted.matrix @ own.matrix.T))
    velocity = solar_velocity(reflex)
    if velocity is not None:
        kpc, error = _distances(distance, distance_error, coord, len(lon))
        seen = tangent_basis(lon, lat) @ (own.matrix @ velocity)
        x, spread = corrected(x, spread, seen[:, 1:], 1.0 / kpc, (error / kpc**2) ** 2, np.zeros_like(x))
        if x.shape[1] > 2:
            x[:, 2] += seen[:, 0]
    x, spread = turned(x, spread, angles)
    return x, None if covariances is None else spread


def corrected(
    x: Array, covariances: Array, across: Array, nearness: Array, variance: Array, shared: Array
) -> tuple[Array, Array]:
    """x and covariances whose first two columns, proper motions in mas/yr, have the Sun's motion added back.

    Args:
        x: (n, m); covariances: (n, m, m).
        across: (n, 2) velocity of the Sun along the directions of the proper motions, km/s.
        nearness: (n,) 1/distance in 1/kpc, that is the parallax in mas, of any sign: the correction is linear in it.
        variance: (n,) of nearness.
        shared: (n, m) covariance of nearness with every column of x.
    """
    slope = across / AU_PER_YEAR
    x, covariances = x.copy(), covariances.copy()
    x[:, :2] += slope * nearness[:, None]
    covariances[:, :2] += slope[:, :, None] * shared[:, None, :]
    covariances[:, :, :2] += shared[:, :, None] * slope[:, None, :]
    covariances[:, :2, :2] += slope[:, :, None] * slope[:, None, :] * variance[:, None, None]
    return x, covariances


def _tangents(lon: Array, lat: Array) -> tuple[Array, Array]:
    """(3, ...) unit vectors along growing longitude and along growing latitude."""
    lon, lat = np.radians(lon), np.radians(lat)
    sin_lon, cos_lon, sin_lat = np.sin(lon), np.cos(lon), np.sin(lat)
    east = np.stack([-sin_lon, cos_lon, np.zeros_like(lon)])
    return east, np.stack([-sin_lat * cos_lon, -sin_lat * sin_lon, np.cos(lat)])


def _degrees(angle: Any, what: str) -> Array:
    return plain(angle, "deg", what)


def plain(values: Any, unit: str, what: str) -> Array:
    """Plain numbers in a unit; what has no unit is taken to be in it, what is masked is NaN."""
    if hasattr(values, "to_value"):
        from astropy.units import UnitConversionError

        try:
            values = values.to_value(unit)
        except UnitConversionError:
            raise DataError(f"{what} must be in {unit} or what converts to it; got {values.unit}") from None
        if hasattr(values, "filled"):
            values = values.filled(np.nan)
    return as_numbers(values, what).values.astype(float, copy=False)


def _refuse_beyond_poles(lat: Array) -> None:
    beyond = np.abs(lat) > 90.0
    if beyond.any():
        raise DataError(
            f"latitudes and declinations must lie within 90 deg; got {np.atleast_1d(lat)[np.atleast_1d(beyond)][0]} in "
            f"{name_rows(np.atleast_1d(beyond))}: correct or blank them"
        )


def _galactocentric(reflex: Any) -> Any:
    """astropy's Galactocentric frame with the velocity of the Sun that was asked for."""
    from astropy import units as u
    from astropy.coordinates import CartesianDifferential, CartesianRepresentation, Galactocentric

    if reflex is True:
        return Galactocentric()
    if isinstance(reflex, Galactocentric):
        return reflex.replicate_without_data()
    if isinstance(reflex, CartesianDifferential | CartesianRepresentation):
        reflex = reflex.d_xyz if isinstance(reflex, CartesianDifferential) else reflex.xyz
    velocity = plain(reflex, "km / s", "the velocity of the Sun")
    if velocity.shape != (3,) or not np.isfinite(velocity).all():
        raise DataError(
            "reflex must be True, three numbers in km/s, a CartesianDifferential or a Galactocentric frame; "
            f"got {' '.join(repr(reflex).split())}"
        )
    return Galactocentric(galcen_v_sun=CartesianDifferential(velocity * u.km / u.s))


def _positions(coord: Any) -> tuple[Array, Array, Orientation]:
    """Longitudes and latitudes (n,) in deg, and the frame they are in."""
    from astropy.coordinates import BaseCoordinateFrame, SkyCoord, UnitSphericalRepresentation

    if isinstance(coord, SkyCoord | BaseCoordinateFrame):
        own = orientation(coord)
        sphere = coord.represent_as(UnitSphericalRepresentation)
        lon, lat = sphere.lon.deg, sphere.lat.deg
    else:
        own = orientation(None)
        try:
            lon, lat = coord
        except (TypeError, ValueError):
            raise DataError(f"coord must be a SkyCoord or (ra, dec) in deg; got {type(coord).__name__}") from None
    lon, lat = np.broadcast_arrays(np.atleast_1d(_degrees(lon, "ra")), np.atleast_1d(_degrees(lat, "dec")))
    _refuse_beyond_poles(lat)
    return lon, lat, own


def _motions(x: Any, covariances: Any, n: int) -> tuple[Array, Array]:
    """Values (n, m) and covariances (n, m, m), 0 where none are given."""
    x = plain(x, "mas / yr", "x")
    if x.ndim != 2 or x.shape[0] != n or x.shape[1] < 2:
        raise DataError(f"x must have shape (n, m >= 2) with n = {n} as the coordinates have; got {x.shape}")
    if covariances is None:
        return x, np.zeros((*x.shape, x.shape[1]))
    covariances = plain(covariances, "mas2 / yr2", "covariances")
    if covariances.shape != (*x.shape, x.shape[1]):
        raise DataError(f"covariances must have shape {(*x.shape, x.shape[1])} to match x; got {covariances.shape}")
    return x, covariances


def _distances(distance: Any, error: Any, coord: Any, n: int) -> tuple[Array, Array]:
    """Distances (n,) in kpc and their errors, 0 where none are given."""
    from astropy.coordinates import SphericalRepresentation

    if distance is None and not isinstance(coord, tuple | list):
        own = coord.represent_as(SphericalRepresentation).distance
        distance = None if own.unit.is_equivalent("") else own
    if distance is None:
        raise DataError("a correction for the motion of the Sun needs distances: give distance=, in kpc")
    kpc = np.broadcast_to(plain(distance, "kpc", "distance"), (n,))
    if (kpc <= 0.0).any():
        raise DataError(f"distances must be above 0; they are not in {name_rows(kpc <= 0.0)}: correct or blank them")
    return kpc, np.broadcast_to(np.zeros(1) if error is None else plain(error, "kpc", "distance_error"), (n,))
