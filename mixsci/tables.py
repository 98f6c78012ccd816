"""Tables in files: read them, choose columns and their errors, make observations of them. What is left out is said."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.noise import Policy, from_errors
from mixsci.engine.observations import Observations
from mixsci.errors import DataError, FormatError, name_rows

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

_ERROR_SUFFIX = re.compile(r"_?err(or)?$", re.IGNORECASE)
_LOOK = 1 << 20  # bytes
_ERROR_PREFIX = re.compile(r"^(e|err|sigma)_", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """Which columns are fitted, which hold their errors, and what was left out and why (one sentence each)."""

    columns: tuple[str, ...]
    errors: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def read(path: str | Path) -> pd.DataFrame:
    """The table in a file, its first line the names of the columns.

    Raises:
        FormatError: an ending no reader knows, or a file that is not such a table.
        OSError: a file that cannot be opened.
    """
    path = Path(path)
    reader = READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)
    if reader is None:
        raise FormatError(f"{path} must end in one of {', '.join(READERS)} (text also with .gz): convert it first")
    try:
        table = reader(path)
    except UnicodeDecodeError:
        raise FormatError(f"{path} cannot be read as a table: it is not UTF-8 text; save it as such") from None
    except (ValueError, EOFError, OverflowError, Warning) as error:
        said = str(error).strip().partition("\n")[0]
        raise FormatError(f"{path} cannot be read as a table: {said}") from None
    if not len(table.columns) or not len(table):
        raise FormatError(f"{path} must hold at least one row below the names of the columns; it holds none")
    return table


def choose(table: pd.DataFrame, columns: Sequence[str] = (), errors: Sequence[str] = ()) -> Choice:
    """The columns to fit: those named, or else all numbers that are no errors.

    Raises:
        DataError: columns the table lacks, named twice, or as many errors as there are not columns.
    """
    _require(table, (*columns, *errors))
    if errors and len(errors) != len(columns):
        raise DataError(f"errors must name one column for each of the {len(columns)} columns; got {', '.join(errors)}")
    if columns:
        return Choice(tuple(columns), tuple(errors) or None)
    names = [str(name) for name in table.columns]
    is_error = {name: _is_error(name, names) for name in names}
    why = {name: "an error" if is_error[name] else _unfit(table[name]) for name in names}
    taken = tuple(name for name in names if not why[name])
    if not taken:
        raise DataError(f"the table must have a column of numbers; it has {', '.join(names)}")
    return Choice(taken, None, _notes(taken, why))


def observe(table: pd.DataFrame, choice: Choice, *, missing: Policy = "refuse") -> Observations:
    """The chosen columns as observations, blanks as gaps.

    Args:
        table: what `read` gives.
        choice: what `choose` gives.
        missing: an observed value without an error is refused, or set aside as a "gap".

    Raises:
        DataError: text among numbers, columns without values, infinite values, negative or missing errors.
    """
    import pandas as pd

    x = pd.DataFrame({name: _numbers(table[name]) for name in choice.columns})
    empty = [name for name in choice.columns if x[name].isna().all()]
    if empty:
        raise DataError(f"every column must hold values; {', '.join(empty)} holds none: leave it out")
    if choice.errors is None:
        return Observations(x)
    sigma = np.stack([_numbers(table[name]) for name in choice.errors], axis=-1)
    _refuse_unknown(x, sigma, missing)
    return Observations(x, from_errors(sigma, missing=missing))


def _read_text(path: Path) -> pd.DataFrame:
    import pandas as pd

    options = _dialect(path) | {"index_col": False, "skipinitialspace": True}
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, **options)
    _check_names([str(name).strip() for name in header.iloc[0]])
    with warnings.catch_warnings():
        # Lines longer than the header would lose values in silence.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(path, low_memory=False, **options)
    table.columns = table.columns.str.strip()
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise FormatError("parquet needs pyarrow: python -m pip install 'mixsci[io]'") from None


def _read_json(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_json(path, convert_dates=False)
    if table.map(lambda value: isinstance(value, list | dict)).to_numpy().any():
        raise FormatError("it must be a list of records with plain values")
    table.columns = table.columns.astype(str)
    return table


#: Ending of a file -> its reader.
READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": _read_text,
    ".tsv": _read_text,
    ".txt": _read_text,
    ".dat": _read_text,
    ".json": _read_json,
    ".parquet": _read_parquet,
}


def _dialect(path: Path) -> dict[str, Any]:
    """What separates values (tab, semicolon, comma, else blanks), and the decimal mark: a comma in some `;` files."""
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        begin = file.read(_LOOK)
        # pandas would read a zero byte as the end of a value.
        if b"\0" in begin or any(b"\0" in part for part in iter(lambda: file.read(_LOOK), b"")):
            raise FormatError("it is not text")
    first = begin.partition(b"\n")[0].decode("utf-8", errors="replace")
    mark = next((mark for mark in "\t;," if mark in first), r"\s+")
    return {"sep": mark, "decimal": "," if mark == ";" and re.search(rb"\d,\d", begin) else "."}


def _check_names(names: Sequence[str]) -> None:
    """Refuse a first line that is no line of names: pandas would take numbers for names and rename doubles."""
    if names[0].startswith("#"):
        raise FormatError("its first line must name the columns, without a # before them")
    if all(_is_number(name) for name in names):
        raise FormatError(f"its first line must name the columns; it holds the numbers {', '.join(names[:5])}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(f"columns must have names of their own; {', '.join(twice)} stands twice")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _require(table: pd.DataFrame, names: Sequence[str]) -> None:
    present = [str(name) for name in table.columns]
    absent = [name for name in names if name not in present]
    if absent:
        few = ", ".join(present[:30]) + (" ..." if len(present) > 30 else "")
        raise DataError(f"the table has no column {', '.join(absent)}; it has {few}")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise DataError(f"name each column once; {', '.join(twice)} stands twice")


def _is_error(name: str, names: Sequence[str]) -> bool:
    """Whether a column is an error by its name: X_error, X_err, Xerr, or, beside an X, e_X, err_X, sigma_X."""
    base = _ERROR_PREFIX.sub("", name)
    return bool(_ERROR_SUFFIX.search(name)) or (base != name and base in names)


def _unfit(column: pd.Series) -> str:
    """Why a column is not to be fitted unasked, or nothing; one that mixes numbers with text is taken, then refused."""
    import pandas as pd

    if column.isna().all():
        return "empty"
    if pd.api.types.is_bool_dtype(column):
        return "true or false"
    if pd.api.types.is_numeric_dtype(column):
        return ""
    return "" if pd.to_numeric(column, errors="coerce").notna().any() else "text"


def _notes(taken: Sequence[str], why: dict[str, str]) -> tuple[str, ...]:
    left = {reason: [name for name in why if why[name] == reason] for reason in dict.fromkeys(why.values()) if reason}
    notes = [f"fitting all columns of numbers: {', '.join(taken)}"]
    notes += [f"left out as {reason}: {', '.join(names)}" for reason, names in left.items() if reason != "an error"]
    if "an error" in left:
        notes.append(
            f"left out as errors, and not used: {', '.join(left['an error'])}; use them with --columns and --errors"
        )
    return tuple(notes)


def _numbers(column: pd.Series) -> Array:
    """(n,) values of a column, blanks NaN."""
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce")
    bad = (values.isna() & column.notna()).to_numpy()
    if bad.any() or pd.api.types.is_datetime64_any_dtype(column):
        first = column[bad].iloc[0] if bad.any() else column.iloc[0]
        raise DataError(
            f"column {column.name!r} must hold numbers; got {str(first)[:40]!r} in {name_rows(bad)} "
            "(0 is the first below the names): leave the column out, or correct or blank these values"
        )
    return values.to_numpy(dtype=float, na_value=np.nan)


def _refuse_unknown(x: pd.DataFrame, sigma: Array, missing: Policy) -> None:
    """Refuse observed values without an error in the words of the command line."""
    unknown = x.notna().to_numpy() & np.isnan(sigma)
    if missing == "gap" or not unknown.any():
        return
    counts = ", ".join(f"{name}: {n}" for name, n in zip(x.columns, unknown.sum(axis=0), strict=True) if n)
    raise DataError(
        f"every observed value needs an error; {int(unknown.sum())} have none ({counts}), in "
        f"{name_rows(unknown.any(axis=1))} (0 is the first below the names): give them, or set these values aside with "
        "--missing-error gap"
    )
