"""Kinematics: what a catalogue says of velocities, ready for a fit, with a list of everything that was left out."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.noise import from_covariances
from mixsci.engine.observations import Observations
from mixsci.engine.tables import refuse_unknown
from mixsci.errors import DataError, name_rows
from mixsci.stars.catalogue import as_catalogue, column, row_count
from mixsci.stars.frames import Orientation, orientation
from mixsci.stars.geometry import solar_velocity, tangent_basis
from mixsci.stars.spaces import SPACES, Converted, Settings, Space

if TYPE_CHECKING:
    from astropy.table import QTable, Table

Array = np.ndarray

#: Frame of the motions where none is asked for; else ICRS.
_FRAMES = {"uvw": "galactic"}
#: Roles whose correlations and units a space takes for granted where the table is silent.
_ROLES = {"pm": ("pmra", "pmdec"), "pm+rv": ("pmra", "pmdec"), "pm+parallax": ("parallax", "pmra", "pmdec", "distance")}
#: The number of one star in a reason; limits that were set stay.
_NUMBER = re.compile(r"(?<= )-?[\d.]+(e[+-]?\d+)?(?= (?:mas |kpc )?is )")


@dataclass(frozen=True, eq=False, repr=False)
class Kinematics:
    """Stars as a fit takes them; `from_gaia` and `from_velocities` make it.

    Attributes:
        observations: n rows as measured, a missing value NaN, each with its covariance and its projection, if any.
        names, units: of the m measured columns.
        latent_names, latent_units: of the D dimensions that are fitted.
        rows: (n,) number of each star in the table, 0 the first.
        dropped: table of everything left out: row, id, what ("row", or the column whose value was not used), reason.
        space: its name, of `SPACES`.
        frame: the frame of the sky that motions refer to.
        lon, lat: (n,) position of each star in the frame, deg.
        ids: (n,) name of each star, or None.
        notes: what was taken for granted, one sentence each.
        n_table: rows of the table, those left out included.
        reflex: (3,) velocity of the Sun that was added, along the axes of ICRS, km/s; None = as seen from the Sun.
    """

    observations: Observations
    names: tuple[str, ...]
    units: tuple[str, ...]
    latent_names: tuple[str, ...]
    latent_units: tuple[str, ...]
    rows: Array
    dropped: Table
    space: str
    frame: Orientation
    lon: Array
    lat: Array
    ids: Array | None = None
    notes: tuple[str, ...] = ()
    n_table: int = 0
    reflex: Array | None = None

    def __repr__(self) -> str:
        out = int((self.dropped["what"] == "row").sum())
        left = f", {out} left out" if out else ""
        return f"Kinematics({len(self)} stars in {self.space}: {', '.join(self.names)}{left})"

    def __len__(self) -> int:
        return len(self.observations)

    def take(self, rows: Any) -> Kinematics:
        """Some of the stars: a slice, (n,) of bool, or numbers in the order asked for; `dropped` stays that of all."""
        rows = _numbers(rows, len(self))
        return replace(
            self,
            observations=self.observations.take(rows),
            rows=self.rows[rows],
            lon=self.lon[rows],
            lat=self.lat[rows],
            ids=None if self.ids is None else self.ids[rows],
        )

    @property
    def view(self) -> Array:
        """(n, D) directions: the radial velocity of a star is view · v of its latent point v.

        Raises:
            DataError: a space that says nothing of radial velocities.
        """
        if self.space == "uvw":
            return np.asarray(tangent_basis(self.lon, self.lat)[:, 0])
        if "radial_velocity" not in self.latent_names:
            raise DataError(f'radial velocities are those of the spaces "uvw" and "pm+rv"; got stars in {self.space!r}')
        along = np.array([name == "radial_velocity" for name in self.latent_names], dtype=float)
        return np.broadcast_to(along, (len(self), len(along)))

    @property
    def added(self) -> Array:
        """(n,) what the correction by the Sun's motion added to radial velocities, km/s."""
        if self.reflex is None:
            return np.zeros(len(self))
        return np.asarray(tangent_basis(self.lon, self.lat)[:, 0] @ (self.frame.matrix @ self.reflex))

    @property
    def radial(self) -> int | None:
        """Which of the measured columns is the radial velocity, if any."""
        named = [j for j, name in enumerate(self.names) if name in ("v_r", "radial_velocity")]
        return named[0] if named else None


@dataclass(frozen=True, eq=False)
class Conversion:
    """How tables become kinematics: everything but the table, so that any block is converted alike.

    Attributes:
        space: of `SPACES`.
        columns: role -> name of the column, where names are not recognised.
        covariance: names of the columns with the covariance of the two velocities across the line of sight.
        settings: all else.
        whole: keep a column that nobody in the table has, so that all blocks have the same.
    """

    space: Space
    columns: Mapping[str, str] | None
    covariance: tuple[str, ...] | None
    settings: Settings
    whole: bool = False

    def __call__(self, table: Any) -> Kinematics:
        """The kinematics of a table."""
        catalogue = as_catalogue(table, self.columns)
        settings = self.settings
        if self.covariance is not None:
            along, both, across = (column(table, name, "km2 / s2") for name in self.covariance)
            settings = replace(settings, covariance=(along, both, across))
        if isinstance(settings.zero_point, str):
            settings = replace(settings, zero_point=column(table, settings.zero_point, "mas"))
        found = self.space.convert(catalogue, settings)
        notes = catalogue.notes(*_ROLES.get(self.space.name, _ROLES["pm+parallax"]))
        exact = (np.diagonal(found.covariances, axis1=1, axis2=2) == 0.0) & ~np.isnan(found.x)
        if exact.any():
            notes = (*notes, f"errors are 0, taken as exact, in {name_rows(exact.any(axis=1))}")
        return self._kinematics(found, catalogue.ids, notes)

    def nothing(self) -> Kinematics:
        """The kinematics of no star."""
        frame, none = self.settings.frame, np.empty(0)
        m, d = len(self.space.units()), len(self.space.latent_names(frame))
        projected = None if self.space.name != "uvw" else np.empty((0, m, d))
        empty = Converted(np.empty((0, m)), np.empty((0, m, m)), projected, none.astype(object), (), none, none)
        return self._kinematics(empty, None, ())

    def _kinematics(self, found: Converted, ids: Array | None, notes: tuple[str, ...]) -> Kinematics:
        space, frame = self.space, self.settings.frame
        return _kinematics(
            found, ids, space.names(frame), space.units(), space.latent_names(frame), space.latent_units(),
            space.name, frame, notes, whole=self.whole, reflex=self.settings.reflex,
        )  # fmt: skip


def conversion(
    space: str = "pm",
    columns: Mapping[str, str] | None = None,
    frame: Any = None,
    zero_point: Any = None,
    min_parallax_snr: float | None = None,
    *,
    max_ruwe: float | None = None,
    covariance: Sequence[str] | None = None,
    reflex: Any = None,
) -> Conversion:
    """The conversion that `from_gaia` carries out, its settings checked; see there."""
    refuse_unknown(space, SPACES, "space")
    if covariance is not None and not _three(covariance):
        raise DataError(
            "covariance must name three columns: of v_lon, of both, of v_lat in (km/s)^2; "
            f"got {covariance!r}"
        )  # fmt: skip
    chosen = SPACES[space]
    return Conversion(
        chosen,
        columns,
        None if covariance is None else tuple(covariance),
        Settings(
            frame=orientation(_FRAMES.get(space) if frame is None else frame),
            zero_point=zero_point,
            min_parallax_snr=10.0 if min_parallax_snr is None else min_parallax_snr,
            max_ruwe=max_ruwe,
            reflex=solar_velocity(reflex),
        ),
    )


def from_velocities(
    table: Any,
    lon: str = "l",
    lat: str = "b",
    v_lon: str = "vl",
    v_lat: str = "vb",
    v_rad: str | None = None,
    covariance: Sequence[str] = ("c_ll", "c_lb", "c_bb"),
    frame: Any = "galactic",
    *,
    v_rad_error: str | None = None,
    id: str | None = None,  # noqa: A002 (what the column is called)
) -> Kinematics:
    """Stars whose velocities across the line of sight are made already, in the space "uvw".

    Args:
        table: of any kind.
        lon, lat: columns of the position in the frame, deg.
        v_lon, v_lat: columns of the velocities along longitude (cosine of latitude included) and latitude, km/s.
        v_rad, v_rad_error: columns of the radial velocity and its error, km/s; a blank is a gap.
        covariance: columns of (v_lon, v_lon), (v_lon, v_lat), (v_lat, v_lat), (km/s)².
        frame: that positions and velocities refer to.
        id: column of the names of the stars.

    Raises:
        DataError: columns that are missing, or no star that can be used.

    Warns:
        UserWarning: one sentence that counts what was left out; `dropped` names every row.
    """
    if not _three(covariance):
        raise DataError(f"covariance must name three columns; got {covariance!r}")
    if (v_rad is None) != (v_rad_error is None):
        raise DataError("v_rad and v_rad_error go together: name both columns or none")
    n, at, uvw = row_count(table), orientation(frame), SPACES["uvw"]
    place = np.stack([column(table, name, "deg") for name in (lon, lat)])
    x, spread = np.full((n, 3), np.nan), np.zeros((n, 3, 3))
    x[:, 1], x[:, 2] = (column(table, name, "km / s") for name in (v_lon, v_lat))
    parts = [column(table, name, "km2 / s2") for name in covariance]
    spread[:, 1, 1], spread[:, 1, 2], spread[:, 2, 2] = parts
    spread[:, 2, 1] = spread[:, 1, 2]
    aside: tuple[tuple[str, Array, str], ...] = ()
    if v_rad is not None and v_rad_error is not None:
        x[:, 0], spread[:, 0, 0], unknown = _radial(table, v_rad, v_rad_error)
        aside = ((v_rad, unknown, f"{v_rad} has no error"),) if unknown.any() else ()
    why = np.full(n, "", dtype=object)
    why[np.isnan(parts).any(axis=0)] = "no covariance of its velocity"
    why[np.isnan(x[:, 1:]).any(axis=1)] = "no velocity across the line of sight"
    why[np.isnan(place).any(axis=0)] = "no position"
    basis = np.full((n, 3, 3), np.nan)
    basis[why == ""] = tangent_basis(*place[:, why == ""])
    found = _kinematics(
        Converted(x, spread, basis, why, aside, *place),
        None if id is None else as_catalogue(table, {"id": id}).ids,
        uvw.names(at), uvw.units(), uvw.latent_names(at), uvw.latent_units(), "uvw", at, (),
    )  # fmt: skip
    tell(found)
    return found


def _radial(table: Any, name: str, error: str) -> tuple[Array, Array, Array]:
    """Radial velocities (n,), their variances, and where they have none and are not used."""
    values, sigma = column(table, name, "km / s"), column(table, error, "km / s")
    if (sigma < 0).any():
        raise DataError(f"column {error!r} must hold errors that are not negative; they are in {name_rows(sigma < 0)}")
    unknown = ~np.isnan(values) & np.isnan(sigma)
    return np.where(unknown, np.nan, values), np.where(np.isnan(sigma), 0.0, sigma**2), unknown


def _three(names: Any) -> bool:
    return isinstance(names, list | tuple) and len(names) == 3 and all(isinstance(name, str) for name in names)


def _numbers(rows: Any, n: int) -> Array:
    """Numbers of some of n rows.

    Raises:
        DataError: rows that are no slice, no (n,) of bool and no numbers below n.
    """
    if isinstance(rows, slice):
        return np.arange(n)[rows]
    chosen = np.atleast_1d(np.asarray(rows))
    fits = chosen.shape == (n,) if chosen.dtype == bool else chosen.dtype.kind in "iu" or not chosen.size
    if chosen.ndim != 1 or not fits:
        raise DataError(f"rows must be a slice, ({n},) of bool or whole numbers; got {chosen.dtype} {chosen.shape}")
    if chosen.dtype == bool:
        return np.flatnonzero(chosen)
    if ((chosen < -n) | (chosen >= n)).any():
        raise DataError(f"rows must be numbers below {n}; got {chosen.max()}")
    return np.arange(n)[chosen.astype(np.int64)]


def star_table(kin: Kinematics) -> QTable:
    """The rows of the table the stars come from, their names, and where they are."""
    from astropy import units as u
    from astropy.table import QTable

    table = QTable({"row": kin.rows})
    if kin.ids is not None:
        table["id"] = kin.ids
    table[kin.frame.lon_name], table[kin.frame.lat_name] = kin.lon * u.deg, kin.lat * u.deg
    return table


def _kinematics(
    found: Converted, ids: Array | None, names: tuple[str, ...], units: tuple[str, ...],
    latent_names: tuple[str, ...], latent_units: tuple[str, ...], space: str, frame: Orientation,
    notes: tuple[str, ...], *, whole: bool = False,
    reflex: Array | None = None,
) -> Kinematics:  # fmt: skip
    used = np.flatnonzero(found.reasons == "")
    # A column nobody has is one dimension less to compute with; what is fitted stays the same.
    seen = np.ones(len(names), dtype=bool)
    if found.projection is not None and len(used) and not whole:
        seen = ~np.isnan(found.x[used]).all(axis=0)
    keep = np.flatnonzero(seen)
    observations = Observations(
        found.x[np.ix_(used, keep)],
        _noise(found.covariances, used, keep),
        None if found.projection is None else found.projection[np.ix_(used, keep)],
    )
    names = tuple(names[j] for j in keep)
    object.__setattr__(observations, "names", names)
    return Kinematics(
        observations, names, tuple(units[j] for j in keep), latent_names, latent_units, used,
        _dropped(found, ids), space, frame, found.lon[used], found.lat[used],
        None if ids is None else ids[used], notes, len(found.reasons), reflex,
    )  # fmt: skip


def _noise(covariances: Array, used: Array, keep: Array) -> Any:
    """The noise of the rows that are used, refused by their numbers in the table."""
    matrices = covariances[np.ix_(used, keep, keep)]
    try:
        return from_covariances(matrices)
    except DataError:
        whole = np.zeros((len(covariances), len(keep), len(keep)))
        whole[used] = matrices
        return from_covariances(whole)


def _dropped(found: Converted, ids: Array | None) -> Table:
    """The table of what was left out, by row."""
    from astropy.table import Table

    out = np.flatnonzero(found.reasons != "")
    lines = [(int(row), "row", str(found.reasons[row])) for row in out]
    for name, mask, reason in found.set_aside:
        lines += [(int(row), name, reason) for row in np.flatnonzero(mask) if found.reasons[row] == ""]
    lines.sort(key=lambda line: line[0])
    rows = np.array([line[0] for line in lines], dtype=np.int64)
    table = Table({"row": rows})
    if ids is not None:
        table["id"] = ids[rows]
    table["what"] = np.array([line[1] for line in lines], dtype=str)
    table["reason"] = np.array([line[2] for line in lines], dtype=str)
    return table


def reasons(dropped: Table) -> Counter[tuple[str, str]]:
    """How many were left out of each kind: (what, the reason with its numbers taken out) -> count."""
    pairs = zip(dropped["what"], dropped["reason"], strict=True)
    return Counter((str(what), _NUMBER.sub("...", str(reason))) for what, reason in pairs)


def left_out(counts: Counter[tuple[str, str]]) -> list[str]:
    """What was left out in words, the most frequent reason first."""
    return [f"{count} {_plural(what, count)}: {reason}" for (what, reason), count in counts.most_common()]


def _plural(what: str, count: int) -> str:
    return ("row" if count == 1 else "rows") if what == "row" else f"{'value' if count == 1 else 'values'} of {what}"


def require_same(kin: Any, like: Any) -> None:
    """Refuse stars that are not in the space and frame of others."""
    if (kin.reflex is None) != (like.reflex is None) or not np.array_equal(kin.reflex, like.reflex):
        raise DataError("stars must be corrected for the motion of the Sun as those of the fit were: give both reflex=")
    if kin.latent_names != like.latent_names or kin.frame.label != like.frame.label:
        raise DataError(
            f"stars must be in the space and frame of the fit, {like.space} in {like.frame.label}; "
            f"got {kin.space} in {kin.frame.label}"
        )


def tell(found: Kinematics, stacklevel: int = 3, *, where: str = "") -> None:
    """Refuse kinematics of no star; warn, for the caller's caller, of what was left out and taken for granted."""
    sentences = left_out(reasons(found.dropped))
    if not len(found):
        raise DataError(f"at least one star must be usable; none is ({'; '.join(sentences[:4])})")
    if sentences:
        warnings.warn(
            f"{where}left out {'; '.join(sentences)} (all are named in .dropped)", UserWarning, stacklevel=stacklevel
        )
    if found.notes:
        warnings.warn("; ".join(found.notes), UserWarning, stacklevel=stacklevel)
