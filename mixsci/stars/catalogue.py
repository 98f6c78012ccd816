"""A catalogue of stars: the columns of any table found by their meaning, as plain numbers in Gaia's units.

`ALIASES`, `ID_ALIASES`, `STEMS` and the three lists of forms say which names are recognised; upper and lower case are
the same. Proper motions in right ascension are taken to be mu_alpha cos(dec), as all of these catalogues give them: a
table cannot say otherwise. A column without a unit is taken to be in Gaia's, a distance in kpc.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, permutations
from typing import Any, Generic, TypeVar

import numpy as np

from mixsci.errors import DataError, name_rows
from mixsci.stars.columns import Columns, as_columns, column, list_names, row_count

__all__ = ["ALIASES", "ROLES", "UNITS", "Catalogue", "as_catalogue", "column", "row_count"]

Array = np.ndarray
Pair = tuple[str, str]
Key = TypeVar("Key", bound=Hashable)

#: What a column may mean, and the unit it is kept in.
UNITS: dict[str, str] = {
    "ra": "deg",
    "dec": "deg",
    "parallax": "mas",
    "pmra": "mas / yr",
    "pmdec": "mas / yr",
    "radial_velocity": "km / s",
    "distance": "kpc",
    "ruwe": "",
}
ROLES = tuple(UNITS)
#: Pairs whose correlation a catalogue may give, in Gaia's order.
PAIRS: tuple[Pair, ...] = tuple(combinations(ROLES[:5], 2))

#: Role -> names of its column, Gaia's first.
ALIASES: dict[str, tuple[str, ...]] = {
    "ra": ("ra", "ra_icrs", "raj2000", "_ra_icrs", "_raj2000", "_ra", "radeg", "rarad"),
    "dec": ("dec", "de_icrs", "dej2000", "_de_icrs", "_dej2000", "_de", "dedeg", "derad", "de"),
    "parallax": ("parallax", "plx", "plx_value"),
    "pmra": ("pmra", "pm_ra_cosdec", "pmra_cosdec", "pmracosdec"),
    "pmdec": ("pmdec", "pm_dec", "pmde"),
    "radial_velocity": (
        *("radial_velocity", "dr3_radial_velocity", "dr2_radial_velocity", "rv", "hrv"),
        *("vlos", "v_los", "vrad", "rvz_radvel", "rv_value"),
    ),
    "distance": ("distance", "dist"),
    "ruwe": ("ruwe",),
}
ID_ALIASES = (
    *("source_id", "dr3_source_id", "edr3_source_id", "gaia_source_id", "dr2_source_id", "source", "gaiadr3"),
    *("gaiaedr3", "gaiadr2", "designation", "hip", "hip_id", "main_id", "name", "id"),
)
#: Names of an error, by the name of its column.
ERROR_FORMS = ("{}_error", "{}error", "{}_err", "{}err", "e_{}", "err_{}", "sigma_{}")
#: Names of a correlation, by the stems of its two columns in either order.
CORRELATION_FORMS = ("{}_{}_corr", "{}_{}_cor", "{}{}cor", "{}{}corr", "corr_{}_{}", "rho_{}_{}")
#: Role -> how correlations are named after it, besides its column itself.
STEMS: dict[str, tuple[str, ...]] = {
    "ra": ("ra",),
    "dec": ("dec", "de"),
    "parallax": ("parallax", "plx"),
    "pmra": ("pmra", "pm_ra_cosdec"),
    "pmdec": ("pmdec", "pmde", "pm_dec"),
}
#: Correlations with a name of their own.
CORRELATION_ALIASES: dict[Pair, tuple[str, ...]] = {("pmra", "pmdec"): ("pmcorr", "pm_corr", "corr_pm")}

#: Units of errors that have none, where Gaia's is not that of the value.
_ERROR_UNITS = {"ra": "mas", "dec": "mas"}
#: The same place at another epoch: the first name in the list serves, no question asked.
_INTERCHANGEABLE = ("ra", "dec", "id")
_BOUNDS = {"ra": (-360.0, 360.0), "dec": (-90.0, 90.0)}


class Drawn(Mapping[Key, Array], Generic[Key]):
    """Arrays by key, each made when it is first asked for and then kept: most spaces use few of the columns."""

    def __init__(self, keys: Iterable[Key], make: Callable[[Key], Array]) -> None:
        self._keys = tuple(keys)
        self._make = make
        self._made: dict[Key, Array] = {}

    def __getitem__(self, key: Key) -> Array:
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, rows: Any) -> Drawn[Key]:
        """The same keys with some of the rows of each array."""
        return Drawn(self._keys, lambda key: self[key][rows])


@dataclass(frozen=True, eq=False, repr=False)
class Catalogue:
    """The columns of a catalogue as float64 in the units of `UNITS`; NaN where masked, null, NaN or infinite.

    A column is converted and checked when it is first asked for, so that what a space does not need costs nothing.

    Attributes:
        n_rows: number of stars n.
        values: role -> (n,) values, for the roles that the table has.
        errors: role -> (n,) standard errors in the unit of the values; those of ra are of ra cos(dec), as Gaia's.
        correlations: pair of roles in Gaia's order -> (n,) as the table has them, NaN included.
        columns: "pmra", "pmra_error", "pmra_pmdec_corr", "id" -> name of that column in the table.
        ids: (n,) source_id or another name of each star, as it came, or None.
        names: all columns of the table.
        remarks: role -> what was taken for granted of it, one sentence.

    Example:
        >>> from mixsci.stars.catalogue import as_catalogue
        >>> stars = as_catalogue({"RA_ICRS": [10.0, 20.0], "Plx": [2.0, -0.1], "e_Plx": [0.1, 0.2], "RV": [None, 12.0]})
        >>> stars
        Catalogue(2 stars: ra, parallax ± error, radial_velocity)
        >>> stars.values["radial_velocity"], stars.columns["parallax_error"]
        (array([nan, 12.]), 'e_Plx')
    """

    n_rows: int
    values: Mapping[str, Array]
    errors: Mapping[str, Array]
    correlations: Mapping[Pair, Array]
    columns: Mapping[str, str]
    ids: Array | None
    names: tuple[str, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        roles = [role + (" ± error" if role in self.errors else "") for role in ROLES if role in self.values]
        return f"Catalogue({self.n_rows} stars: {', '.join(roles)})"

    def __len__(self) -> int:
        return self.n_rows

    @property
    def zero_motions(self) -> Array:
        """(n,) True where both proper motions are exactly 0: how some catalogues say that there is none."""
        if not {"pmra", "pmdec"} <= set(self.values):
            return np.zeros(self.n_rows, dtype=bool)
        return (self.values["pmra"] == 0) & (self.values["pmdec"] == 0)

    def require(self, *roles: str, errors: bool = True, why: str = "") -> None:
        """Refuse a catalogue that lacks one of the roles, or one of their errors.

        Args:
            roles: of `ROLES`.
            errors: whether each needs its error too.
            why: what needs them, for the message: "space 'uvw'".

        Raises:
            DataError: naming what is missing, the columns of the table, and how to name others.
        """
        missing = [role for role in roles if role not in self.values]
        missing += [f"{role}_error" for role in roles if errors and role not in self.errors]
        if missing:
            names = ", ".join(f"{name!r}: ..." for name in missing)
            raise DataError(
                f"{why or 'this'} needs the columns {', '.join(missing)}, which the table does not have under a known "
                f"name; it has {list_names(self.names)}: name yours with columns={{{names}}}"
            )

    def correlation(self, a: str, b: str) -> Array:
        """(n,) correlation of the errors of two roles, 0 where the table gives none (`notes` tells)."""
        values = self.correlations.get(_in_order(a, b))
        return np.zeros(self.n_rows) if values is None else np.nan_to_num(values, nan=0.0)

    def notes(self, *roles: str) -> tuple[str, ...]:
        """What is taken for granted where these roles are used, one sentence each: units, correlations."""
        notes = [self.remarks[role] for role in roles if role in self.remarks]
        pairs = [pair for pair in PAIRS if set(pair) <= set(roles) and set(pair) <= set(self.errors)]
        absent = [_name(pair) for pair in pairs if pair not in self.correlations]
        if absent:
            notes.append(f"the table has no column {', '.join(absent)}: errors taken as uncorrelated")
        for pair in pairs:
            gaps = self._silent(pair)
            if gaps.any():
                notes.append(f"column {self.columns[_name(pair)]} is blank in {name_rows(gaps)}: 0 taken there")
        return tuple(notes)

    def take(self, rows: Any) -> Catalogue:
        """Some of the stars: a slice, (n,) of bool, or their numbers in the order asked for."""
        return Catalogue(
            len(np.arange(self.n_rows)[rows]),
            _take(self.values, rows),
            _take(self.errors, rows),
            _take(self.correlations, rows),
            self.columns,
            None if self.ids is None else self.ids[rows],
            self.names,
            self.remarks,
        )

    def _silent(self, pair: Pair) -> Array:
        """(n,) True where both values and both errors are there and their correlation is not."""
        if pair not in self.correlations:
            return np.zeros(self.n_rows, dtype=bool)
        known = [self.values[role] for role in pair if role in self.values] + [self.errors[role] for role in pair]
        return np.isnan(self.correlations[pair]) & ~np.isnan(known).any(axis=0)


def as_catalogue(table: Any, columns: Mapping[str, str] | None = None) -> Catalogue:
    """The catalogue in a table of any kind, its columns found by name.

    Args:
        table: astropy Table or QTable, SkyCoord, pandas DataFrame, structured array, pyarrow Table, mapping of arrays.
        columns: names that win over those recognised: a role of `ROLES`, `{role}_error`, `{a}_{b}_corr` or "id" -> the
            name of the column. A role named here takes its error by that name alone (`my_pm`: `my_pm_error`,
            `e_my_pm` ...): errors of another column are not its own.

    Raises:
        DataError: no table, no rows, names unknown or twice; and, when a column is first used, values that are not
            numbers, units that do not convert, negative errors, correlations outside [-1, 1].

    Example:
        >>> from mixsci.stars.catalogue import as_catalogue
        >>> stars = as_catalogue({"my_pm": [1.0, 2.0], "pmdec": [0.0, 3.0]}, columns={"pmra": "my_pm"})
        >>> stars.values["pmra"]
        array([1., 2.])
    """
    source = as_columns(table)
    if not source.names or not source.n_rows:
        raise DataError("the table must have at least one row; it has none")
    found = _find(source, _check_named(source, {} if columns is None else columns))
    return Catalogue(
        source.n_rows,
        Drawn((role for role in ROLES if role in found), partial(_value, source, found)),
        Drawn((role for role in ROLES if f"{role}_error" in found), partial(_error, source, found)),
        Drawn((pair for pair in PAIRS if _name(pair) in found), partial(_correlation, source, found)),
        found,
        source.labels(found["id"]) if "id" in found else None,
        source.names,
        _remarks(source, found),
    )


# --- which column is what --------------------------------------------------------------------------------------------


def _in_order(a: str, b: str) -> Pair:
    """A pair of roles in Gaia's order."""
    for pair in ((a, b), (b, a)):
        if pair in PAIRS:
            return pair
    raise DataError(f"correlations are between two of {', '.join(ROLES[:5])}; got {a} and {b}")


def _name(pair: Pair) -> str:
    return "{}_{}_corr".format(*pair)


def _keys() -> dict[str, str]:
    """Everything `columns` may name -> the key it is kept under."""
    keys = {role: role for role in ROLES} | {f"{role}_error": f"{role}_error" for role in ROLES[:-1]} | {"id": "id"}
    return keys | {_name((a, b)): _name(_in_order(a, b)) for a, b in permutations(ROLES[:5], 2)}


def _check_named(source: Columns, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns named by the user, by the keys they are kept under."""
    if not isinstance(columns, Mapping):
        raise DataError(f"columns must map roles to names, {{'pmra': 'my_pm'}}; got {type(columns).__name__}")
    keys = _keys()
    unknown = [str(key) for key in columns if key not in keys]
    if unknown:
        raise DataError(
            f"columns may name {', '.join(ROLES)}, one of these with _error, two of the first five with _corr "
            f"('pmra_pmdec_corr'), or id; got {', '.join(unknown)}"
        )
    bad = [key for key, name in columns.items() if not isinstance(name, str)]
    if bad:
        raise DataError(f"columns must map each role to the name of one column; {bad[0]} is {columns[bad[0]]!r}")
    source.require(*columns.values())
    named = {keys[key]: name for key, name in columns.items()}
    if len(named) < len(columns):
        raise DataError(f"columns must name each correlation once; got {', '.join(columns)}")
    values = [name for key, name in named.items() if key in ROLES]
    twice = [name for name in values if values.count(name) > 1]
    if twice:
        raise DataError(f"columns must name another column for each role; {twice[0]} stands twice")
    return named


def _find(source: Columns, named: dict[str, str]) -> dict[str, str]:
    """Key -> column of the table, for all that is named or recognised."""
    there: dict[str, list[str]] = {}
    for name in source.names:
        there.setdefault(source.known_as(name), []).append(name)
    free = {name: [n for n in hits if n not in named.values()] for name, hits in there.items()}
    found = dict(named)
    for key, aliases in (*ALIASES.items(), ("id", ID_ALIASES)):
        if key not in named:
            _put(found, key, free, aliases)
    known = {role: source.known_as(found[role]) for role in ROLES if role in found}
    for role in ROLES[:-1]:
        if f"{role}_error" not in named:
            _put(found, f"{role}_error", free, _error_names(role, known.get(role), there))
    for pair in PAIRS:
        if _name(pair) not in named:
            _put(found, _name(pair), free, _correlation_names(pair, known, found))
    return found


def _put(found: dict[str, str], key: str, there: dict[str, list[str]], aliases: Iterable[str]) -> None:
    """Note the column that answers to one of the aliases, if one does and no other."""
    hits = [name for alias in dict.fromkeys(aliases) for name in there.get(alias, ())]
    exact = [name for name in hits if name == key] or [name for name in hits if name.lower() == key]
    if len(exact) == 1 or (hits and key in _INTERCHANGEABLE):
        hits = [*exact, *hits][:1]
    if len(hits) > 1:
        raise DataError(
            f"one column must be {key}; {list_names(hits)} could be it: choose with columns={{{key!r}: {hits[0]!r}}}"
        )
    if hits:
        found[key] = hits[0]


def _error_names(role: str, name: str | None, there: Mapping[str, list[str]]) -> list[str]:
    """Names of the error of a role: after its own column, or after another usual name that is no column itself."""
    own = [] if name is None else [form.format(name) for form in ERROR_FORMS]
    if any(alias in there for alias in own):
        return own
    usual = name is None or name in ALIASES[role]
    bases = [alias for alias in ALIASES[role] if usual and alias not in there]
    return own + [form.format(base) for base in bases for form in ERROR_FORMS]


def _correlation_names(pair: Pair, known: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Names of the correlation of two roles, after the usual stems where the errors are the usual ones."""
    usual = [_is_usual(role, known, found) for role in pair]
    stems = [(*(STEMS[role] if plain else ()), known.get(role, role)) for role, plain in zip(pair, usual, strict=True)]
    orders = [(a, b) for a in stems[0] for b in stems[1]] + [(b, a) for a in stems[0] for b in stems[1]]
    names = [form.format(a, b) for form in CORRELATION_FORMS for a, b in orders]
    return names + (list(CORRELATION_ALIASES.get(pair, ())) if all(usual) else [])


def _is_usual(role: str, known: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether the errors of a role are those that catalogues have under the usual names."""
    if known.get(role, role) in ALIASES[role]:
        return True
    error = found.get(f"{role}_error", "").lower()
    return any(error == form.format(alias) for alias in ALIASES[role] for form in ERROR_FORMS)


# --- one column ------------------------------------------------------------------------------------------------------


def _value(source: Columns, found: Mapping[str, str], role: str) -> Array:
    values = source.numbers(found[role], UNITS[role])
    low, high = _BOUNDS.get(role, (-np.inf, np.inf))
    _refuse(values, (values < low) | (values > high), found[role], f"lie between {low:g} and {high:g} {UNITS[role]}")
    return values


def _error(source: Columns, found: Mapping[str, str], role: str) -> Array:
    name = found[f"{role}_error"]
    values = source.numbers(name, UNITS[role], _ERROR_UNITS.get(role))
    _refuse(values, values < 0, name, "hold errors that are not negative")
    return values


def _correlation(source: Columns, found: Mapping[str, str], pair: Pair) -> Array:
    name = found[_name(pair)]
    values = source.numbers(name, "")
    _refuse(values, np.abs(values) > 1, name, "hold correlations between -1 and 1")
    return values


def _refuse(values: Array, bad: Array, name: str, rule: str) -> None:
    if bad.any():
        raise DataError(
            f"column {name!r} must {rule}; got {values[bad][0]:g} in {name_rows(bad)}: correct them, or blank what is "
            "missing"
        )


def _remarks(source: Columns, found: Mapping[str, str]) -> dict[str, str]:
    """What a table leaves open that Gaia's conventions do not settle."""
    name = found.get("distance")
    if name is None or source.get(name).has_unit:
        return {}
    return {"distance": f"column {name} has no unit: taken to be in kpc"}


def _take(arrays: Mapping[Any, Array], rows: Any) -> Mapping[Any, Array]:
    return arrays.take(rows) if isinstance(arrays, Drawn) else {key: value[rows] for key, value in arrays.items()}
