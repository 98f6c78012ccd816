"""The columns of a table of any kind: each as float64 in the unit asked for, NaN wherever the table has nothing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np

from mixsci.errors import DataError

Array = np.ndarray

_KNOWN_TABLES = (
    "an astropy Table or QTable, a SkyCoord, a pandas DataFrame, a structured array, a pyarrow Table or a mapping of "
    "arrays"
)
#: Frames of SkyCoord that are rotations of ICRS, where proper motions, distances and velocities can be told apart.
_ROTATIONS = ("icrs", "fk5", "galactic")


@dataclass(frozen=True, eq=False, repr=False)
class Column:
    """One column as it came.

    Attributes:
        values: (n,) of any type.
        gaps: (n,) True where the table masks the value, or None.
        unit: unit or text of a unit, None where the table gives none.
    """

    values: Any
    gaps: Array | None = None
    unit: Any = None

    @property
    def has_unit(self) -> bool:
        """Whether the table says the unit; a dimensionless one says nothing."""
        return self.unit is not None and bool(str(self.unit).strip())


@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """The columns of a table of any kind: their names, the number of rows, and each column by its name.

    Attributes:
        names: of the columns.
        n_rows: number of rows n.
        get: the column of a name.
        parts: names of parts of a column, "place.ra" -> "ra".
    """

    names: tuple[str, ...]
    n_rows: int
    get: Callable[[str], Column]
    parts: Mapping[str, str] = field(default_factory=dict)

    def known_as(self, name: str) -> str:
        """What a column is recognised by: its name in lower case, of a part that of the part."""
        return self.parts.get(name, name).lower()

    def require(self, *names: str) -> None:
        """Refuse names that the table lacks; the message lists those it has."""
        absent = [name for name in names if name not in self.names]
        if absent:
            raise DataError(f"the table has no column {', '.join(map(repr, absent))}; it has {list_names(self.names)}")

    def numbers(self, name: str, unit: str, assumed: str | None = None) -> Array:
        """(n,) float64 values of a column, NaN where masked, null, NaN or infinite.

        Args:
            name: of the column.
            unit: of the result, as text astropy reads.
            assumed: unit of a column that has none; None = `unit`.

        Raises:
            DataError: no such column, values that are not numbers, or a unit that does not convert.
        """
        self.require(name)
        column = self.get(name)
        values = _numbers(column, name)
        if values.shape != (self.n_rows,):
            raise DataError(
                f"column {name!r} must hold one number per row, shape ({self.n_rows},); it has {values.shape}"
            )
        values[~np.isfinite(values)] = np.nan
        factor = _factor(column.unit if column.has_unit else assumed, unit, name)
        return values if factor == 1.0 else values * factor

    def labels(self, name: str) -> Array:
        """(n,) values of a column that names the rows, as they came; None where masked or null."""
        self.require(name)
        column = self.get(name)
        values = column.values
        nullable = hasattr(values, "to_numpy") and not isinstance(values.dtype, np.dtype)
        values = values.to_numpy(dtype=object) if nullable else np.asarray(values)
        if values.shape != (self.n_rows,):
            raise DataError(f"column {name!r} must hold one name per row; it has shape {values.shape}")
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        if column.gaps is not None and column.gaps.any():
            values = values.astype(object)
            values[column.gaps] = None
        return _plain_labels(values)


def as_columns(table: Any) -> Columns:
    """The columns of a table of any kind that `mixsci.stars` takes.

    Raises:
        DataError: no table, two columns of one name, or columns of different lengths.
    """
    for fits, open_table in _KINDS:
        if fits(table):
            columns = open_table(table)
            twice = sorted({name for name in columns.names if columns.names.count(name) > 1})
            if twice:
                raise DataError(f"columns must have names of their own; {list_names(twice)} stands twice: rename one")
            return columns
    kind = type(table)
    home = "" if kind.__module__ == "builtins" else kind.__module__.partition(".")[0] + "."
    hint = ": read it with mixsci.stars.read" if isinstance(table, str) or hasattr(table, "__fspath__") else ""
    raise DataError(f"the table must be {_KNOWN_TABLES}; got {home}{kind.__name__}{hint}")


def row_count(table: Any) -> int:
    """Number of rows of a table of any kind.

    Example:
        >>> row_count({"ra": [10.0, 20.0], "dec": [0.0, 5.0]})
        2
    """
    return as_columns(table).n_rows


def column(table: Any, name: str, unit: str) -> Array:
    """(n,) float64 values of one column of a table of any kind, NaN where there is none.

    Args:
        table: as `mixsci.stars.from_gaia` takes it.
        name: of the column.
        unit: of the result; a column without a unit is taken to be in it.

    Raises:
        DataError: no such column, values that are not numbers, or a unit that does not convert.

    Example:
        >>> import astropy.units as u
        >>> column({"v": [1.0, float("inf")] * u.m / u.s}, "v", "km / s")
        array([0.001,   nan])
    """
    return as_columns(table).numbers(name, unit)


def list_names(names: Any, most: int = 30) -> str:
    """Names as words, the first of them where they are many."""
    names = list(names)
    return ", ".join(str(name) for name in names[:most]) + (f" ... ({len(names)} in all)" if len(names) > most else "")


@lru_cache(maxsize=1024)
def read_unit(text: str) -> Any:
    """The unit a text stands for, as Gaia's, VizieR's and astropy's files write it; None where none can be found."""
    import astropy.units as u

    text = text.strip()
    wrapped = re.fullmatch(r"Angle\[(.*)\]", text)
    # Quotes declare a unit that the VO standard lacks; astropy has those that Gaia quotes.
    text = (wrapped.group(1) if wrapped else text).replace("'", "")
    for spelling in ("generic", "cds"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            try:
                return u.Unit(text, format=spelling)
            except (ValueError, TypeError):
                continue
    return None


def _factor(given: Any, wanted: str, name: str) -> float:
    """What values in the unit given are multiplied by."""
    if given is None or (isinstance(given, str) and given == wanted):
        return 1.0
    import astropy.units as u

    known = isinstance(given, u.UnitBase) and not isinstance(given, u.UnrecognizedUnit)
    unit = given if known else read_unit(str(given))
    target = u.Unit(wanted)
    # Logarithmic units convert, but not by a factor.
    if isinstance(unit, u.UnitBase) and unit.is_equivalent(target):
        return float(unit.to(target))
    raise DataError(
        f"column {name!r} must be in {wanted or 'no unit'}, or a unit that converts to it; it is in {str(given)!r}: "
        "correct its unit, or name another column"
    )


def _numbers(column: Column, name: str) -> Array:
    """(n,) a float64 copy of the values, NaN in the gaps."""
    values = column.values
    if hasattr(values, "to_numpy") and getattr(getattr(values, "dtype", None), "kind", "O") in "fiu":
        values = values.to_numpy(dtype=float, na_value=np.nan)
    try:
        values = np.asarray(values)
    except ValueError:
        raise DataError(f"column {name!r} must hold one number per row; it holds lists of different lengths") from None
    gaps = column.gaps
    if values.dtype.kind not in "fiu":
        values = _from_objects(values, gaps, name)
    with np.errstate(over="ignore"):
        values = values.astype(np.float64)
    if gaps is not None:
        values[gaps] = np.nan
    return values


def _from_objects(values: Array, gaps: Array | None, name: str) -> Array:
    """Floats of Python objects: numbers, or None and its kin; text is refused even where it spells a number."""
    import pandas as pd

    if values.ndim != 1:
        raise DataError(f"column {name!r} must hold one number per row; it has shape {values.shape}")
    if values.dtype.kind not in "OUST":
        raise DataError(f"column {name!r} must hold numbers; it holds {values.dtype}: convert it, or name another")
    values = values.astype(object)
    empty = np.asarray(pd.isna(values)) | (False if gaps is None else gaps)
    kind = pd.api.types.infer_dtype(values[~empty], skipna=False)
    if kind not in ("empty", "integer", "floating", "mixed-integer-float", "decimal"):
        there = np.flatnonzero(~empty)
        strange = [row for row in there if not isinstance(values[row], int | float | np.number)]
        row = int((strange or there)[0])
        raise DataError(
            f"column {name!r} must hold numbers; got {_shown(values[row])} in row {row}: convert it, or name another"
        )
    result = np.full(len(values), np.nan)
    try:
        result[~empty] = values[~empty].astype(float)
    except OverflowError:
        raise DataError(f"column {name!r} must hold numbers below 1e308; it has larger ones: correct them") from None
    return result


def _shown(value: Any) -> str:
    return " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())[:60]


def _plain_labels(values: Array) -> Array:
    """Labels in the machine's byte order; whole numbers held as objects become int64 again."""
    if values.dtype.kind != "O":
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    import pandas as pd

    values = values.copy()
    values[np.asarray(pd.isna(values))] = None
    return values.astype(np.int64) if pd.api.types.infer_dtype(values, skipna=False) == "integer" else values


# --- tables of each kind ---------------------------------------------------------------------------------------------


def _split(value: Any) -> Column:
    """A column of arrays with its mask and unit; a unit that its reader did not know stands in `meta`."""
    unit = getattr(value, "unit", None)
    if unit is None:
        # Packages of units besides astropy say `units`.
        unit = getattr(value, "units", None) or (getattr(value, "meta", None) or {}).get("unit")
    if isinstance(value, np.ma.MaskedArray):
        return Column(np.ma.getdata(value), np.ma.getmaskarray(value), unit)
    if hasattr(value, "unmasked"):
        return Column(np.asarray(value.unmasked), np.asarray(value.mask), unit)
    return Column(value, None, unit)


def _of_astropy(table: Any) -> Columns:
    """A Table or QTable; a column of SkyCoord becomes `name.ra`, `name.dec` and so on."""
    columns: dict[str, Callable[[], Any]] = {}
    parts: dict[str, str] = {}
    for name, column in table.columns.items():
        if _is_sky(column) and column.frame.name in _ROTATIONS and len(column.shape) == 1:
            of_sky = _sky_parts(column)
            parts |= {f"{name}.{part}": part for part in of_sky}
            columns |= {f"{name}.{part}": make for part, make in of_sky.items()}
        else:
            columns[name] = partial(table.columns.__getitem__, name)
    return Columns(tuple(columns), len(table), lambda name: _split(columns[name]()), parts)


def _of_sky(sky: Any) -> Columns:
    if sky.shape == () or len(sky.shape) != 1:
        raise DataError(f"a SkyCoord must have shape (n,), one place per star; got {sky.shape}")
    parts = _sky_parts(sky)
    return Columns(tuple(parts), len(sky), lambda name: _split(parts[name]()))


def _sky_parts(sky: Any) -> dict[str, Callable[[], Any]]:
    """What a SkyCoord holds, in ICRS: each part by its name in astropy."""
    if sky.frame.name not in _ROTATIONS:
        raise DataError(f"a SkyCoord must be in the frame {', '.join(_ROTATIONS)}; got {sky.frame.name}: write .icrs")
    motion = type(next(iter(sky.data.differentials.values()), None)).__name__
    moves = motion not in ("NoneType", "RadialDifferential")
    parts: dict[str, Callable[[], Any]] = {name: partial(_turned, sky, name, moves=moves) for name in ("ra", "dec")}
    if not type(sky.data).__name__.startswith("UnitSpherical"):
        parts["distance"] = partial(getattr, sky, "distance")
    if moves:
        parts |= {name: partial(_turned, sky, name, moves=moves) for name in ("pm_ra_cosdec", "pm_dec")}
    if motion != "NoneType" and not motion.startswith("UnitSpherical"):
        parts["radial_velocity"] = partial(getattr, sky, "radial_velocity")
    return parts


def _turned(sky: Any, name: str, *, moves: bool) -> Any:
    """Part of a place or motion on the sky in ICRS, turned without distance and velocity: their gaps would spread."""
    import astropy.coordinates as coord

    if sky.frame.name == "icrs":
        return getattr(sky, name)
    place = sky.represent_as("unitspherical") if not moves else sky.represent_as("unitspherical", "unitsphericalcoslat")
    frame = sky.frame.realize_frame(place if moves else place.without_differentials())
    return getattr(frame.transform_to(coord.ICRS()), name)


def _of_pandas(table: Any) -> Columns:
    """A DataFrame; an index with a name counts as a column."""
    names = tuple(str(name) for name in table.columns)
    indexed = str(table.index.name) if table.index.name is not None and table.index.name not in names else None

    def get(name: str) -> Column:
        return Column(table.index.to_series() if name == indexed else table.iloc[:, names.index(name)])

    return Columns(names if indexed is None else (*names, indexed), len(table), get)


def _of_arrow(table: Any) -> Columns:
    def get(name: str) -> Column:
        # As floats, whole numbers beside nulls would lose digits.
        return Column(table.column(name).to_pandas(integer_object_nulls=True))

    return Columns(tuple(table.column_names), table.num_rows, get)


def _of_records(table: Any) -> Columns:
    """A structured array, masked or not, or the records of a FITS table with their units and nulls."""
    if table.ndim != 1:
        raise DataError(f"a structured array must have shape (n,); got {table.shape}")
    described = table.columns if type(table).__name__ == "FITS_rec" else None

    def get(name: str) -> Column:
        if described is None:
            return _split(table[name])
        null, values = scaled_null(described[name]), np.asarray(table[name])
        return Column(values, None if null is None else values == null, described[name].unit)

    return Columns(tuple(table.dtype.names), len(table), get)


def scaled_null(column: Any) -> float | None:
    """What stands for no value in a column of whole numbers of a FITS table, as its scaled values show it."""
    if not isinstance(column.null, int | np.integer):
        return None
    scale = 1 if column.bscale in ("", None) else column.bscale
    zero = 0 if column.bzero in ("", None) else column.bzero
    return column.null * scale + zero


def _of_mapping(table: Mapping[Any, Any]) -> Columns:
    keys = {str(name): name for name in table}
    bare = [name for name, key in keys.items() if not _is_listed(table[key])]
    if bare:
        raise DataError(f"a mapping must hold columns, (n,) each; {list_names(bare)} is none: leave it out")
    lengths = {name: len(table[key]) for name, key in keys.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:10])
        raise DataError(f"columns must be of one length; got {said}")
    return Columns(tuple(keys), next(iter(lengths.values()), 0), lambda name: _split_any(table[keys[name]]))


def _is_listed(value: Any) -> bool:
    try:
        return not isinstance(value, str | bytes) and len(value) >= 0
    except TypeError:
        return False


def _split_any(value: Any) -> Column:
    """A column of a mapping, where a pandas Series has no unit but an index that could have one."""
    return Column(value) if hasattr(value, "iloc") else _split(value)


def _is_sky(table: Any) -> bool:
    return hasattr(table, "frame") and hasattr(table, "represent_as")


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Columns]], ...] = (
    (lambda table: hasattr(table, "colnames"), _of_astropy),
    (lambda table: hasattr(table, "iloc") and hasattr(table, "to_numpy") and table.ndim == 2, _of_pandas),
    (lambda table: hasattr(table, "column_names") and hasattr(table, "num_rows"), _of_arrow),
    (lambda table: isinstance(table, Mapping), _of_mapping),
    (lambda table: bool(getattr(getattr(table, "dtype", None), "names", None)), _of_records),
    (_is_sky, _of_sky),
)
