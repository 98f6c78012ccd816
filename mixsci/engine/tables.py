"""Numbers from whatever users hold them in: arrays, masked arrays, data frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mixsci.errors import DataError, name_rows


@dataclass(frozen=True)
class Numbers:
    """Values as a numeric array (missing = NaN) and the column names they came with, if any."""

    values: np.ndarray
    names: tuple[str, ...] | None


def as_numbers(table: Any, what: str) -> Numbers:
    """Values of an array, masked array or data frame; nothing is copied where the numbers are real already.

    Raises:
        DataError: text or other things that are not numbers, naming the first of them.
    """
    names = None
    if hasattr(table, "columns") and hasattr(table, "to_numpy"):
        names = tuple(str(name) for name in table.columns)
        _refuse_text(table, what)
        if any(dtype.kind == "O" for dtype in table.dtypes):
            return Numbers(_from_objects(table.to_numpy(dtype=object), what), names)
        return Numbers(table.to_numpy(dtype=float, na_value=np.nan), names)
    if hasattr(table, "to_numpy"):
        table = table.to_numpy()
    if isinstance(table, np.ma.MaskedArray):
        gaps, table = np.ma.getmaskarray(table), np.ma.getdata(table)
        if table.dtype.kind not in "fiu":
            table = table.astype(object)
            table[gaps] = None
            table = _from_objects(table, what)
        return Numbers(np.where(gaps, np.nan, table), names)
    try:
        values = np.asarray(table)
    except ValueError:
        raise DataError(f"{what} must be a table with rows of one length; got rows that differ") from None
    if values.ndim == 0 and values.dtype.kind not in "fiub":
        raise DataError(f"{what} must be an array of numbers or a data frame; got {type(table).__name__}")
    if values.dtype.kind == "c":
        raise DataError(f"{what} must be real numbers; got complex ones")
    if values.dtype.kind not in "fiub":
        values = _from_objects(values, what)
    return Numbers(values, names)


def as_number(value: Any, what: str) -> float:
    """One finite number as a float.

    Raises:
        DataError: text, nothing, a table, NaN or infinity.
    """
    if isinstance(value, str | bytes | complex) or bool(getattr(value, "ndim", 0)) or not _converts(value):
        raise DataError(f"{what} must be one number; got {' '.join(repr(value).split())}")
    number = float(value)
    if not np.isfinite(number):
        raise DataError(f"{what} must be finite; got {number}")
    return number


def as_chance(value: Any, what: str) -> float:
    """One number strictly between 0 and 1, such as a level.

    Raises:
        DataError: what is none.
    """
    number = as_number(value, what)
    if not 0.0 < number < 1.0:
        raise DataError(f"{what} must lie between 0 and 1; got {number}")
    return number


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, 1 or more."""
    return isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer() and float(value) >= 1


def counted_noun(n: int, noun: str) -> str:
    """A number and what it counts: "1 row", "2 rows"."""
    return f"{n} {noun}{'s' * (n != 1)}"


def refuse_unknown(value: Any, known: Iterable[str], what: str) -> None:
    """Refuse what is not one of the names there are."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise DataError(f"{what} must be one of {', '.join(map(repr, names))}; got {value!r:.80}")


def as_generator(rng: Any) -> np.random.Generator:
    """A generator of random numbers: one given, or one made of a seed; None = a seed of chance.

    Raises:
        DataError: what is neither.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise DataError(f"rng must be a seed, a whole number not negative, or a generator; got {rng!r}") from None


def _refuse_text(table: Any, what: str) -> None:
    for name in table.columns:
        column = table[name]
        if getattr(column, "ndim", 1) != 1:
            raise DataError(f"columns of {what} must have names of their own; {name!r} stands twice")
        if column.dtype.kind not in "fiub" and not _numeric(column):
            bad = np.array([not _is_number(value) for value in column])
            first = column.iloc[int(np.flatnonzero(bad)[0])] if bad.any() else column.dtype
            raise DataError(
                f"{what} must be numbers; column {name!r} has {first!r} in {name_rows(bad)}: leave it out or convert it"
            )


def _numeric(column: Any) -> bool:
    return getattr(column.dtype, "_is_numeric", False) or all(_is_number(value) for value in column)


def _is_number(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return not isinstance(value, str | bytes) and _converts(value)


def _converts(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _from_objects(values: np.ndarray, what: str) -> np.ndarray:
    flat = values.reshape(-1)
    bad = np.array([not _is_number(value) for value in flat], dtype=bool)
    if bad.any():
        where = np.unravel_index(int(np.flatnonzero(bad)[0]), values.shape)
        place = f"row {where[0]}" + (f", column {where[1]}" if len(where) > 1 else "")
        first = flat[bad][0]
        first = first.item() if isinstance(first, np.generic) else first
        raise DataError(f"{what} must be numbers; got {first!r} at {place}: leave it out or convert it")
    return np.array(
        [np.nan if type(v).__name__ in ("NAType", "NoneType", "NaTType") else float(v) for v in flat]
    ).reshape(values.shape)
