"""Spaces of motion: from the columns of a catalogue to values, covariances and projections, row by row.

Errors of positions are neglected: at a milliarcsecond they change no direction that matters. Nothing is divided by a
parallax that could be zero: see `mixsci.stars.distances`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mixsci.errors import DataError
from mixsci.stars.catalogue import Catalogue
from mixsci.stars.converted import Converted, Settings, in_blocks
from mixsci.stars.covariances import covariances_of
from mixsci.stars.distances import Depths, distances, nearness, parallax_values
from mixsci.stars.frames import Orientation
from mixsci.stars.geometry import AU_PER_YEAR, corrected, project, tangent_basis, turn, turned
from mixsci.stars.ledger import Ledger

__all__ = ["SPACES", "Converted", "ProperMotions", "Settings", "Space", "SpaceVelocities", "Tangential", "velocities"]

Array = np.ndarray

_MOTIONS = ("pmra", "pmdec")
_ABSENT = "proper motion (0, 0) stands for an absent one"


class Space(Protocol):
    """A way to put the motion of a star into numbers."""

    @property
    def name(self) -> str:
        """By which users choose it."""

    def names(self, frame: Orientation) -> tuple[str, ...]:
        """What the m columns of x are called."""

    def units(self) -> tuple[str, ...]:
        """Units of the m columns, as text astropy reads."""

    def latent_names(self, frame: Orientation) -> tuple[str, ...]:
        """What the D coordinates of the latent velocity are called."""

    def latent_units(self) -> tuple[str, ...]:
        """Units of the D coordinates."""

    def convert(self, catalogue: Catalogue, settings: Settings) -> Converted:
        """The rows of a catalogue in this space.

        Raises:
            DataError: columns that the space needs and the catalogue lacks.
        """


@dataclass(frozen=True)
class ProperMotions:
    """Proper motions as observed, with one more column or none: x = (pm_lon, pm_lat, ...), the identity projection.

    Attributes:
        name: of the space.
        more: "parallax", "radial_velocity" or nothing.
    """

    name: str
    more: tuple[str, ...] = ()

    def names(self, frame: Orientation) -> tuple[str, ...]:
        motions = (f"pm_{frame.lon_name}", f"pm_{frame.lat_name}") if frame.turns else _MOTIONS
        return (*motions, *self.more)

    def units(self) -> tuple[str, ...]:
        unit = {"parallax": "mas", "radial_velocity": "km / s"}
        return ("mas / yr", "mas / yr", *(unit[role] for role in self.more))

    def latent_names(self, frame: Orientation) -> tuple[str, ...]:
        return self.names(frame)

    def latent_units(self) -> tuple[str, ...]:
        return self.units()

    def convert(self, catalogue: Catalogue, settings: Settings) -> Converted:
        return in_blocks(self.convert_block, catalogue, settings)

    def convert_block(self, catalogue: Catalogue, settings: Settings) -> Converted:
        """A block of rows, settings spread over them."""
        roles, why = (*_MOTIONS, *self.more), f"space {self.name!r}"
        catalogue.require(*roles, why=why)
        if settings.covariance is not None:
            raise DataError(f"covariance= holds those of velocities, which {why} has none of: leave it out")
        moves = settings.frame.turns or settings.reflex is not None
        ledger = Ledger(catalogue)
        ra, dec = _positions(catalogue, ledger, why, needed=moves)
        _leave_out_ruwe(catalogue, ledger, settings.max_ruwe)
        x, covariances = _measured(catalogue, ledger, roles, settings)
        if settings.reflex is not None:
            depths = nearness(catalogue, ledger, settings.zero_point, roles, why=f"a correction in {why}")
            sun = tangent_basis(ra, dec) @ settings.reflex
            _tell_lost(ledger, x, np.isnan(depths.values), "no distance by which to correct {} for the Sun's motion")
            x, covariances = corrected(x, covariances, sun[:, 1:], depths.values, depths.variance, depths.shared)
            if "radial_velocity" in self.more:
                x[:, 2] += sun[:, 0]
        if settings.frame.turns:
            _tell_lost(ledger, x, _half(x), f"{{}} alone cannot be turned to {settings.frame.label}")
            x, covariances = turned(x, covariances, turn(ra, dec, settings.frame))
        _leave_out_empty(catalogue, ledger, x, roles)
        return _converted(x, covariances, None, ledger, settings.frame.position(ra, dec))


@dataclass(frozen=True)
class Tangential:
    """Velocities across the sky, x = (v_lon, v_lat) in km/s: v = k pm / parallax."""

    name: str = "tangential"

    def names(self, frame: Orientation) -> tuple[str, ...]:
        return (f"v_{frame.lon_name}", f"v_{frame.lat_name}")

    def units(self) -> tuple[str, ...]:
        return ("km / s", "km / s")

    def latent_names(self, frame: Orientation) -> tuple[str, ...]:
        return self.names(frame)

    def latent_units(self) -> tuple[str, ...]:
        return self.units()

    def convert(self, catalogue: Catalogue, settings: Settings) -> Converted:
        return in_blocks(self.convert_block, catalogue, settings)

    def convert_block(self, catalogue: Catalogue, settings: Settings) -> Converted:
        """A block of rows, settings spread over them."""
        ledger = Ledger(catalogue)
        moves = settings.frame.turns or settings.reflex is not None
        ra, dec = _positions(catalogue, ledger, f"space {self.name!r}", needed=moves)
        _leave_out_ruwe(catalogue, ledger, settings.max_ruwe)
        x, covariances = _across(catalogue, ledger, settings, ra, dec, self.name)
        _leave_out_empty(catalogue, ledger, x, _MOTIONS)
        return _converted(x, covariances, None, ledger, settings.frame.position(ra, dec))


@dataclass(frozen=True)
class SpaceVelocities:
    """Velocities in three dimensions, x = (v_r, v_lon, v_lat) = R (U, V, W) in km/s; v_r may be missing.

    A row without a radial velocity contributes through the two lines of R that it has (Bovy, Hogg & Roweis 2009).
    """

    name: str = "uvw"

    def names(self, frame: Orientation) -> tuple[str, ...]:
        return ("v_r", f"v_{frame.lon_name}", f"v_{frame.lat_name}")

    def units(self) -> tuple[str, ...]:
        return ("km / s",) * 3

    def latent_names(self, frame: Orientation) -> tuple[str, ...]:
        return ("U", "V", "W") if getattr(frame.frame, "name", "") == "galactic" else ("v_x", "v_y", "v_z")

    def latent_units(self) -> tuple[str, ...]:
        return self.units()

    def convert(self, catalogue: Catalogue, settings: Settings) -> Converted:
        return in_blocks(self.convert_block, catalogue, settings)

    def convert_block(self, catalogue: Catalogue, settings: Settings) -> Converted:
        """A block of rows, settings spread over them."""
        ledger = Ledger(catalogue)
        ra, dec = _positions(catalogue, ledger, f"space {self.name!r}", needed=True)
        _leave_out_ruwe(catalogue, ledger, settings.max_ruwe)
        x = np.full((catalogue.n_rows, 3), np.nan)
        covariances = np.full((catalogue.n_rows, 3, 3), np.nan)
        x[:, 1:], covariances[:, 1:, 1:] = _across(catalogue, ledger, settings, ra, dec, self.name)
        roles: tuple[str, ...] = _MOTIONS
        if "radial_velocity" in catalogue.values:
            roles = (*_MOTIONS, "radial_velocity")
            catalogue.require("radial_velocity", why=f"space {self.name!r}")
            radial, variance = _measured(catalogue, ledger, ("radial_velocity",), settings)
            x[:, 0], covariances[:, 0, 0] = radial[:, 0], variance[:, 0, 0]
            both = ~np.isnan(x[:, :1]) & ~np.isnan(x[:, 1:])
            covariances[:, 0, 1:] = covariances[:, 1:, 0] = np.where(both, 0.0, np.nan)
        projection = project(ra, dec, settings.frame)
        if settings.reflex is not None:
            x[:, 0] += projection[:, 0] @ (settings.frame.matrix @ settings.reflex)
        _leave_out_empty(catalogue, ledger, x, roles)
        return _converted(x, covariances, projection, ledger, settings.frame.position(ra, dec))


#: Name of a space -> the space.
SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        ProperMotions("pm"),
        ProperMotions("pm+parallax", ("parallax",)),
        ProperMotions("pm+rv", ("radial_velocity",)),
        Tangential(),
        SpaceVelocities(),
    )
}


def _positions(catalogue: Catalogue, ledger: Ledger, why: str, *, needed: bool) -> tuple[Array, Array]:
    """ra and dec (n,) in deg; NaN where the catalogue has none and none are needed."""
    if needed:
        catalogue.require("ra", "dec", errors=False, why=f"{why} in this frame")
    if not {"ra", "dec"} <= set(catalogue.values):
        nothing = np.full(catalogue.n_rows, np.nan)
        return nothing, nothing
    ra, dec = catalogue.values["ra"], catalogue.values["dec"]
    if needed:
        ledger.leave_out(np.isnan(ra) | np.isnan(dec), "no position")
    return ra, dec


def _leave_out_ruwe(catalogue: Catalogue, ledger: Ledger, most: float | None) -> None:
    if most is None:
        return
    catalogue.require("ruwe", errors=False, why="max_ruwe")
    ruwe = catalogue.values["ruwe"]
    ledger.leave_out(np.isnan(ruwe), f"no ruwe to compare with {most:g}")
    # Rounded up, so that 1.401 does not read as 1.40.
    shown = np.ceil(ruwe * (100.0 * (1.0 - 1e-12))) / 100.0
    ledger.leave_out_by(ruwe > most, shown, lambda value: f"ruwe {value:.2f} is above {most:g}")


def _measured(
    catalogue: Catalogue, ledger: Ledger, roles: tuple[str, ...], settings: Settings, *, errors: bool = True
) -> tuple[Array, Array]:
    """Values (n, m) of the roles and their covariances, NaN where a value is missing, means absent or has no error."""
    absent = catalogue.zero_motions
    columns = []
    for role in roles:
        values = parallax_values(catalogue, settings.zero_point) if role == "parallax" else catalogue.values[role]
        if role in _MOTIONS and absent.any():
            ledger.set_aside(role, absent, _ABSENT)
            values = np.where(absent, np.nan, values)
        if errors:
            unknown = ~np.isnan(values) & np.isnan(catalogue.errors[role])
            ledger.set_aside(role, unknown, "{} has no error")
            values = np.where(unknown, np.nan, values)
        columns.append(values)
    x = np.stack(columns, axis=-1)
    return x, covariances_of(catalogue, roles, x) if errors else np.full((*x.shape, len(roles)), np.nan)


def _across(
    catalogue: Catalogue, ledger: Ledger, settings: Settings, ra: Array, dec: Array, name: str
) -> tuple[Array, Array]:
    """Velocities (n, 2) across the sky in the frame, km/s, with their covariances."""
    errors, why = settings.covariance is None, f"space {name!r}"
    catalogue.require(*_MOTIONS, errors=errors, why=why)
    depths = distances(catalogue, ledger, settings.zero_point, settings.min_parallax_snr, why=why, errors=errors)
    motions, covariances = _measured(catalogue, ledger, _MOTIONS, settings, errors=errors)
    x, covariances = velocities(motions, covariances, depths)
    if settings.reflex is not None:
        x += tangent_basis(ra, dec)[:, 1:] @ settings.reflex
    if settings.frame.turns:
        _tell_lost(ledger, x, _half(x), f"{{}} alone cannot be turned to {settings.frame.label}")
        x, covariances = turned(x, covariances, turn(ra, dec, settings.frame))
    if settings.covariance is None:
        return x, covariances
    return _with_given(x, settings.covariance, ledger)


def velocities(motions: Array, covariances: Array, depths: Depths) -> tuple[Array, Array]:
    """Velocities k d pm (n, 2) in km/s and their covariances to first order, J S J' with J = k (d, d, pm).

    For a distance d = 1 / parallax this is J of v = k pm / parallax.

    Args:
        motions: (n, 2) mas/yr; covariances: (n, 2, 2).
        depths: distances in kpc, whose errors share with the motions.
    """
    kpc = depths.values[:, None]
    cross = motions[:, :, None] * (kpc * depths.shared)[:, None, :]
    spread = kpc[:, :, None] ** 2 * covariances + cross + cross.transpose(0, 2, 1)
    spread += motions[:, :, None] * motions[:, None, :] * depths.variance[:, None, None]
    return AU_PER_YEAR * kpc * motions, AU_PER_YEAR**2 * spread


def _with_given(x: Array, given: tuple[Array, ...], ledger: Ledger) -> tuple[Array, Array]:
    """x with covariances that the user gave; rows where they are not complete are left out."""
    along, both, across = given
    ledger.leave_out(np.isnan(along + both + across), "no covariance of its velocity")
    return x, np.stack([np.stack([along, both], axis=-1), np.stack([both, across], axis=-1)], axis=-2)


def _converted(
    x: Array, covariances: Array, projection: Array | None, ledger: Ledger, position: tuple[Array, Array]
) -> Converted:
    """The result, with what has no value NaN in the covariances too."""
    missing = np.isnan(x)
    covariances[missing] = np.nan
    covariances.transpose(0, 2, 1)[missing] = np.nan
    return Converted(x, covariances, projection, ledger.reasons, ledger.aside(), *position)


def _half(x: Array) -> Array:
    """(n,) True where one of the two motions is missing."""
    missing = np.isnan(x[:, :2])
    return missing[:, 0] != missing[:, 1]


def _tell_lost(ledger: Ledger, x: Array, rows: Array, reason: str) -> None:
    """Note the motions that are there in some rows and cannot be used."""
    for j, role in enumerate(_MOTIONS):
        ledger.set_aside(role, rows & ~np.isnan(x[:, j]), reason)


def _leave_out_empty(catalogue: Catalogue, ledger: Ledger, x: Array, roles: tuple[str, ...]) -> None:
    """Leave out rows in which no value is left."""
    names = " and no ".join(catalogue.columns.get(role, role) for role in roles)
    ledger.leave_out_empty(np.isnan(x).all(axis=1), names)
