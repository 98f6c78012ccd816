"""Sheets on wells, their columns by our names: samples, targets, and the instrument's own results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixsci.ddpcr.formats.names import plain
from mixsci.ddpcr.formats.text import Names, Table, name_lines
from mixsci.ddpcr.plate import INSTRUMENT_COLUMNS, INSTRUMENT_WORDS, well_name
from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    import pandas as pd

#: A line of a sheet: our column -> what is printed.
Row = dict[str, str]

#: Our column -> names of it as `plain` writes them, where it is not called as ours is.
ALIASES: dict[str, tuple[str, ...]] = {
    "Well": ("well", "wellid", "chipidwellid", "chipid", "wellposition", "position"),
    "Sample": ("sample", "samplename", "sampleid", "name", "sampledescription1", "sampledescription"),
    "Target": ("target", "assay", "targetname"),
    "Concentration": ("concentration", "conccopiesl", "conccopiesul"),
    "Linkage": ("linkage", "copiesllinkedmolecules", "copiesullinkedmolecules"),
    "Threshold": ("threshold", "threshold1"),
}
#: Printed for a number that there is not.
_NONE = {"", "no call", "nan", "n/a", "na", "-"}
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.IGNORECASE)
_NTC = re.compile(
    r"ntc([^a-z].*)?|no[\W_]*template.*|(h2o|blank|neg(ative)?([\W_]*(ctrl|control))?)[\W_]*\d*|water",
    re.IGNORECASE,
)
# QuantaSoft numbers merged wells M01, M02 ...
_MERGED = re.compile(r"M\d+")
# Types of targets, not of samples.
_ROLES = ("Unknown", "Reference")
_TYPE = re.compile(r"(ch\d)?\s*(.*)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sheet:
    """What a sheet says.

    Attributes:
        file: its name.
        printed: `INSTRUMENT_COLUMNS`, every value as printed, "" where it does not say.
        results: whether it holds results of the instrument.
        names: whether it names samples and targets.
        problems: sentences on what of it is not used.
    """

    file: str
    printed: pd.DataFrame
    results: bool
    names: bool = True
    problems: tuple[str, ...] = ()


def has_columns(names: Names, *ours: str) -> bool:
    """Whether all these columns are there, under any of their names."""
    return all(find_column(names, column) is not None for column in ours)


def find_column(names: Names, column: str) -> int | None:
    """Where one of our columns stands, under any of its names; None where it does not."""
    own = [plain(name) for name in names]
    return next((own.index(name) for name in (plain(column), *ALIASES.get(column, ())) if name in own), None)


def read_sheet(table: Table, say: Callable[[Row], Row], *, results: bool) -> Sheet:
    """A sheet of results in our columns.

    Args:
        table: as opened.
        say: from a line by its own names (`plain`), our columns that the sheet says in its own way.
        results: whether they are the instrument's.

    Raises:
        FormatError: no line, or lines of more or fewer values than columns.
    """
    lines, problems = rows_of(table)
    places = {column: place for column in INSTRUMENT_COLUMNS if (place := find_column(table.names, column)) is not None}
    own = [plain(name) for name in table.names]
    rows = [
        (number, {column: line[place] for column, place in places.items()} | say(dict(zip(own, line, strict=False))))
        for number, line in lines
    ]
    return make_sheet(table, rows, problems, results=results)


def rows_of(table: Table) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Lines with their numbers, and a sentence where the last one lacks its end: it is left out.

    Raises:
        FormatError: no line, or lines of more or fewer values than columns.
    """
    lines, named, name = table.rows(), len(table.names), table.path.name
    if not lines:
        raise FormatError(f"{name} must hold a line for each well below its names; it holds none")
    widths = [len(row) for _, row in lines]
    if widths[-1] < min([named, *widths[:-1]]):
        said = f"{name} ends in the middle of line {lines[-1][0]}, which is left out: export or copy it again"
        return _even(lines[:-1], named, name), [said]
    return _even(lines, named, name), []


def _even(lines: list[tuple[int, list[str]]], named: int, name: str) -> list[tuple[int, list[str]]]:
    uneven = [number for number, row in lines if len(row) < named or any(row[named:])]
    if uneven:
        raise FormatError(
            f"{name} must hold a value for each of its {named} columns; {name_lines(uneven)} hold more or fewer: its "
            "delimiter or its first line is not the right one, or it is damaged"
        )
    return lines


def make_sheet(
    table: Table, lines: Sequence[tuple[int, Row]], problems: Sequence[str], *, results: bool, names: bool = True
) -> Sheet:
    """A sheet of lines in our columns; lines that cannot be used are left out and named."""
    import pandas as pd

    file = table.path.name
    rows = [(number, _normal(row, table.delimiter)) for number, row in lines]
    nameless = [*dict.fromkeys(number for number, row in rows if not row["Well"])]
    used, contradictory = _without_contradictions([(number, row) for number, row in rows if row["Well"]])
    said = [*problems, *(f"{file}: {sentence}" for sentence in contradictory)]
    if nameless:
        said.append(f"{file} must name a well such as A01 in each line; none is in {name_lines(nameless)}: left out")
    bad = [(number, column, row[column]) for number, row in used for column in _numbers() if _is_text(row[column])]
    if bad:
        number, column, value = bad[0]
        others = f" ({len(bad)} such values)" if len(bad) > 1 else ""
        said.append(f"{file} must hold numbers; line {number} holds {value[:30]!r} as {column}{others}: left out")
    printed = pd.DataFrame([row for _, row in used], columns=list(INSTRUMENT_COLUMNS), dtype=object)
    return Sheet(file, printed, results, names, tuple(said))


def to_numbers(printed: pd.DataFrame) -> pd.DataFrame:
    """The same sheet with numbers as numbers, NaN where none is printed or "No Call"."""
    import pandas as pd

    table = printed.copy()
    for column in _numbers():
        table[column] = pd.Series([_number(text) for text in printed[column]], index=printed.index, dtype="float64")
    return table


def is_number(text: str) -> bool:
    """Whether a value as printed is a number."""
    return bool(_NUMBER.fullmatch(text))


def sample_type(row: Mapping[str, str]) -> str:
    """The type of a sample: "NTC" for a control without template by its type or name, or else what the sheet says.

    Example:
        >>> from mixsci.ddpcr.formats.sheets import sample_type
        >>> sample_type({"SampleType": "Unknown", "Sample": "NTC 2"}), sample_type({"SampleType": "Pos Ctrl"})
        ('NTC', 'PosCtrl')
    """
    said = "".join(row.get("SampleType", "").split())
    if said in _ROLES:
        said = ""
    is_control = said.lower().endswith(("ntc", "negctrl")) or bool(_NTC.fullmatch(row.get("Sample", "").strip()))
    return "NTC" if is_control else said or "Unknown"


def split_type(text: str) -> tuple[str, str]:
    """Channel and type of a QuantaSoft type, ("Ch1", "Unknown") of "Ch1Unknown"."""
    found = _TYPE.fullmatch(text.strip())
    channel, rest = (found[1] or "", found[2]) if found else ("", text)
    return channel.capitalize(), "".join(rest.split())


def _numbers() -> list[str]:
    return [column for column in INSTRUMENT_COLUMNS if column not in INSTRUMENT_WORDS]


def _is_text(text: str) -> bool:
    return text.lower() not in _NONE and not is_number(text)


def _number(text: str) -> float:
    return float(text) if is_number(text) else float("nan")


def _normal(row: Row, delimiter: str) -> Row:
    """All our columns of a line: wells and types as ours are written, points for decimal commas; no well is ""."""
    full = dict.fromkeys(INSTRUMENT_COLUMNS, "") | row
    if delimiter != ",":
        full |= {name: full[name].replace(",", ".") for name in _numbers() if _DECIMAL_COMMA.fullmatch(full[name])}
    try:
        well = well_name(full["Well"])
    except DataError:
        well = full["Well"] if full["MergedWells"] and _MERGED.fullmatch(full["Well"]) else ""
    return full | {"Well": well, "SampleType": sample_type(full)}


def _without_contradictions(lines: list[tuple[int, Row]]) -> tuple[list[tuple[int, Row]], list[str]]:
    """Lines once each, without the wells of which two lines say different things of one target."""
    first: dict[tuple[str, ...], tuple[int, Row]] = {}
    twice: dict[str, list[int]] = {}
    for number, row in lines:
        key = (row["Well"], row["Channel"], row["Target"], row["MergedWells"])
        before, known = first.setdefault(key, (number, row))
        if known != row:
            twice[row["Well"]] = sorted({*twice.get(row["Well"], []), before, number})
    said = [f"{well} stands in {name_lines(where)}, which differ: none is used" for well, where in twice.items()]
    return [line for line in first.values() if line[1]["Well"] not in twice], said
