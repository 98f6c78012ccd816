"""Frames of the sky as rotations of ICRS: by name, from astropy, or along a stream's great circle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixsci.errors import DataError

if TYPE_CHECKING:
    from astropy.coordinates import BaseCoordinateFrame, SkyOffsetFrame

Array = np.ndarray

# Published matrices carry ten digits.
_ORTHOGONAL = 1e-9
# Two points this close (rad) or this close to opposite define no great circle.
_APART = 1e-8


class Circle(NamedTuple):
    """A great circle: its pole and the origin of its longitude, (ra, dec) in deg, and where they were published."""

    pole: tuple[float, float]
    origin: tuple[float, float]
    source: str


#: Frames known by name; None = astropy's frame of that name.
FRAMES: Mapping[str, Circle | None] = {
    "icrs": None,
    "galactic": None,
    "GD1": Circle((34.5987, 29.7331), (200.0, 59.4504341), "Koposov, Rix & Hogg 2010, ApJ 712, 260, appendix"),
    "sagittarius": Circle(
        (123.6474013798, -59.5217806459),
        (284.0387675133, -29.0040835262),
        "the plane and origin of Majewski et al. 2003 in the sense of the catalogue of Vasiliev, Belokurov & Erkal "
        "2021: right-handed, longitude grows along the leading arm",
    ),
}


@dataclass(frozen=True, eq=False)
class Orientation:
    """A frame of the sky reduced to the rotation that it is.

    Attributes:
        matrix: (3, 3) takes unit vectors of ICRS to those of the frame.
        lon_name, lat_name: what longitude and latitude are called: "ra", "dec"; "l", "b"; "phi1", "phi2".
        label: the frame in words.
        frame: the frame of astropy.
        wrap: longitudes end below this, in deg: 360 or 180.
    """

    matrix: Array
    lon_name: str
    lat_name: str
    label: str
    frame: Any
    wrap: float = 360.0

    @property
    def turns(self) -> bool:
        """Whether it differs from ICRS."""
        return not np.array_equal(self.matrix, np.eye(3))

    def position(self, ra: Any, dec: Any) -> tuple[Array, Array]:
        """Longitude and latitude (n,) in the frame, of positions (n,) in ICRS; all in deg."""
        if not self.turns:
            return np.mod(ra, 360.0), np.asarray(dec, dtype=float)
        x, y, z = self.matrix @ unit_vectors(ra, dec)
        lon = np.degrees(np.arctan2(y, x))
        lon = np.where(lon < self.wrap - 360.0, lon + 360.0, lon)
        return lon, np.degrees(np.arctan2(z, np.hypot(x, y)))


def orientation(frame: Any = None) -> Orientation:
    """The rotation that a frame is.

    Args:
        frame: None (ICRS), a name of `FRAMES` or of astropy, an astropy frame class or instance, a SkyCoord.

    Raises:
        DataError: no frame, or one that is not a rotation of ICRS (it has a centre, a velocity or an epoch of its own).

    Example:
        >>> from mixsci.stars.frames import orientation
        >>> galactic = orientation("galactic")
        >>> galactic.lon_name, galactic.lat_name
        ('l', 'b')
        >>> [round(float(angle), 3) for angle in galactic.position(266.405, -28.936)]  # the Galactic centre
        [0.0, 0.0]
    """
    if isinstance(frame, Orientation):
        return frame
    name = frame if isinstance(frame, str) else ""
    astropy_frame = _frame(frame)
    lon, lat = _names(astropy_frame)
    offset = _is_offset(astropy_frame)
    return Orientation(
        matrix=_matrix(astropy_frame),
        lon_name=lon,
        lat_name=lat,
        label=name or _label(astropy_frame),
        frame=astropy_frame,
        wrap=180.0 if offset else 360.0,
    )


def great_circle(start: Any = None, end: Any = None, *, pole: Any = None, origin: Any = None) -> SkyOffsetFrame:
    """The frame along a great circle: its longitude runs along the circle, its latitude across.

    Either through two points, where longitude grows from `start` towards `end` on the shorter way, or about a pole,
    where it grows anticlockwise as seen from above the pole. Points are (ra, dec) in deg or anything astropy takes to
    ICRS.

    Args:
        start, end: two points on the circle.
        pole: its pole, at latitude 90 deg.
        origin: longitude 0 is at the point of the circle nearest to it. By default `start`, or for a pole where the
            circle crosses the celestial equator northwards.

    Raises:
        DataError: not exactly two points or a pole; points that coincide or are opposite; an origin at the pole.

    Example:
        >>> from mixsci.stars.frames import great_circle, orientation
        >>> stream = orientation(great_circle((229.0, 0.0), (240.0, 6.0)))
        >>> [abs(round(float(angle), 9)) for angle in stream.position(229.0, 0.0)]
        [0.0, 0.0]
    """
    if (pole is None) == (start is None or end is None) or (pole is not None and start is not None):
        raise DataError(
            "a great circle needs two points, start and end, or a pole: give the one or the other, (ra, dec) in deg"
        )
    if pole is None:
        first, second = _direction(start, "start"), _direction(end, "end")
        north = _across(first, second, "start and end must differ and not be opposite points of the sky")
        towards = first if origin is None else _direction(origin, "origin")
    else:
        north = _direction(pole, "pole")
        towards = _ascending(north) if origin is None else _direction(origin, "origin")
    side = _across(north, towards, "the origin of a great circle must not be its pole")
    return _offset_frame(np.cross(side, north), north)


def unit_vectors(lon: Any, lat: Any) -> Array:
    """(3, ...) unit vectors towards longitudes and latitudes in deg."""
    lon, lat = np.radians(lon), np.radians(lat)
    across = np.cos(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), np.sin(lat)])


def _frame(frame: Any) -> BaseCoordinateFrame:
    """The astropy frame behind what a user gave, without data."""
    from astropy.coordinates import ICRS, BaseCoordinateFrame, SkyCoord

    if frame is None:
        return ICRS()
    if isinstance(frame, str):
        return _named(frame)
    if isinstance(frame, SkyCoord):
        frame = frame.frame
    if isinstance(frame, type) and issubclass(frame, BaseCoordinateFrame):
        frame = frame()
    if not isinstance(frame, BaseCoordinateFrame):
        raise DataError(
            "frame must be a name, an astropy frame or what great_circle gives; "
            f"got {type(frame).__name__}: write for example frame='galactic'"
        )
    return frame.replicate_without_data()


def _named(name: str) -> BaseCoordinateFrame:
    from astropy.coordinates import frame_transform_graph

    circle = {known.lower(): circle for known, circle in FRAMES.items()}.get(name.lower())
    if circle is not None:
        return great_circle(pole=circle.pole, origin=circle.origin)
    found = frame_transform_graph.lookup_name(name.lower())
    if found is None:
        raise DataError(
            f"frame {name!r} is not known; there are {', '.join(FRAMES)} and the names of astropy's frames: "
            "pass one of them, an astropy frame, or what great_circle gives"
        )
    return found()


def _matrix(frame: BaseCoordinateFrame) -> Array:
    """(3, 3) rotation from ICRS to a frame."""
    from astropy import units as u
    from astropy.coordinates import ICRS, ConvertError, UnitSphericalRepresentation

    # A SkyOffsetFrame about a point of ICRS is an ICRS by class.
    if type(frame) is ICRS:
        return np.eye(3)
    # The axes, and two more directions that show whether the map is linear.
    lon, lat = np.array([0.0, 90.0, 0.0, 45.0, 250.0]), np.array([0.0, 0.0, 90.0, 30.0, -60.0])
    try:
        found = ICRS(UnitSphericalRepresentation(lon * u.deg, lat * u.deg)).transform_to(frame)
        vectors = found.represent_as(UnitSphericalRepresentation).to_cartesian().xyz.value
    except (TypeError, ValueError, AttributeError, ConvertError, u.UnitsError) as error:
        raise _no_rotation(frame) from error
    if vectors.shape != (3, 5):
        raise _no_rotation(frame)
    matrix = vectors[:, :3]
    off = np.abs(matrix @ matrix.T - np.eye(3)).max(), np.abs(matrix @ unit_vectors(lon, lat) - vectors).max()
    if max(off) > _ORTHOGONAL:
        raise _no_rotation(frame)
    return matrix


def _no_rotation(frame: BaseCoordinateFrame) -> DataError:
    return DataError(
        f"a frame must be a rotation of ICRS; {frame.name or type(frame).__name__} is none, as it has a centre, a "
        "velocity or an epoch of its own: take galactic, a stream's great circle or another frame fixed to the sky"
    )


def _names(frame: BaseCoordinateFrame) -> tuple[str, str]:
    if _is_offset(frame):
        return "phi1", "phi2"
    parts = {part: name for name, part in frame.get_representation_component_names().items()}
    return parts.get("lon", "lon"), parts.get("lat", "lat")


def _is_offset(frame: BaseCoordinateFrame) -> bool:
    from astropy.coordinates import SkyOffsetFrame

    return isinstance(frame, SkyOffsetFrame)


def _label(frame: BaseCoordinateFrame) -> str:
    if not _is_offset(frame):
        return str(frame.name or type(frame).__name__)
    from astropy.coordinates import ICRS

    origin = frame.origin.transform_to(ICRS())
    north = _matrix(frame)[2]
    pole = np.degrees(np.arctan2(north[1], north[0])) % 360.0, np.degrees(np.arcsin(north[2]))
    return (
        f"great circle with its pole at ra {pole[0]:.4f}, dec {pole[1]:z.4f} "
        f"and its origin at ra {origin.ra.deg:.4f}, dec {origin.dec.deg:z.4f}"
    )


def _direction(point: Any, name: str) -> Array:
    """(3,) unit vector of ICRS towards a point: (ra, dec) in deg, a SkyCoord or a frame with data."""
    from astropy.coordinates import ICRS, BaseCoordinateFrame, SkyCoord

    if isinstance(point, SkyCoord | BaseCoordinateFrame):
        icrs = point.transform_to(ICRS())
        angles = np.array([icrs.ra.deg, icrs.dec.deg])
    else:
        try:
            angles = np.array([_degrees(angle) for angle in point])
        except (TypeError, ValueError):
            angles = np.empty(0)
    if angles.shape != (2,) or not np.isfinite(angles).all() or abs(angles[1]) > 90.0:
        raise DataError(
            f"{name} must be one point, (ra, dec) in deg or a SkyCoord; got {' '.join(repr(point).split())}"
        )
    return unit_vectors(*angles)


def _degrees(angle: Any) -> float:
    return float(angle.to_value("deg") if hasattr(angle, "to_value") else angle)


def _across(one: Array, other: Array, rule: str) -> Array:
    """(3,) unit vector at right angles to two directions."""
    vector = np.cross(one, other)
    length = np.linalg.norm(vector)
    if length < _APART:
        raise DataError(f"{rule}; they are {np.degrees(np.arctan2(length, one @ other)):.3g} deg apart: choose others")
    return vector / length


def _ascending(north: Array) -> Array:
    """(3,) where the great circle about a pole crosses the equator northwards; ra 90 for the equator itself."""
    angle = np.arctan2(north[1], north[0]) + np.pi / 2
    return np.array([np.cos(angle), np.sin(angle), 0.0])


def _offset_frame(origin: Array, north: Array) -> SkyOffsetFrame:
    """astropy's frame with its origin at one direction and its pole at another, at right angles to it."""
    from astropy import units as u
    from astropy.coordinates import ICRS, SkyOffsetFrame

    ra, dec = np.arctan2(origin[1], origin[0]), np.arctan2(origin[2], np.hypot(origin[0], origin[1]))
    eastwards = np.array([-np.sin(ra), np.cos(ra), 0.0])
    northwards = np.array([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    rotation = np.arctan2(north @ eastwards, north @ northwards)
    return SkyOffsetFrame(origin=ICRS(ra * u.rad, dec * u.rad), rotation=rotation * u.rad)
