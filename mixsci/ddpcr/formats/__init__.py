"""Files of instruments, one reader each, recognised by the names of their columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixsci.ddpcr.formats import (
    long_table,
    quantasoft,
    quantasoft_results,
    qx100,
    qx600,
    qxmanager,
    qxmanager_results,
    sample_sheet,
    stilla,
)
from mixsci.ddpcr.formats.droplets import broken_well
from mixsci.ddpcr.formats.excel import open_excel
from mixsci.ddpcr.formats.names import names_amplitudes, well_in
from mixsci.ddpcr.formats.parquet import read_parquet
from mixsci.ddpcr.formats.quantasoft import write_quantasoft
from mixsci.ddpcr.formats.reader import MOST_IN_SHEET, Droplets, Reader
from mixsci.ddpcr.formats.sheets import Sheet, to_numbers
from mixsci.ddpcr.formats.text import Names, Table, few, find_names, head, is_no_table, open_table
from mixsci.errors import FormatError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READERS", "read_clusters", "read_file", "read_results", "write_quantasoft"]

#: What a file of droplets is called -> its reader.
DROPLETS: dict[str, Reader[Droplets]] = {
    "QuantaSoft droplets": quantasoft.READER,
    "QX100 droplets": qx100.READER,
    "QX Manager droplets": qxmanager.READER,
    "Stilla droplets": stilla.READER,
    "table of droplets": long_table.READER,
}
_ONE_WELL = tuple(DROPLETS)[:-1]
#: What a sheet is called -> its reader; a user's own comes last, as results name wells and samples too.
SHEETS: dict[str, Reader[Sheet]] = {
    "QX600 clusters": qx600.READER,
    "QuantaSoft results": quantasoft_results.READER,
    "QX Manager results": qxmanager_results.READER,
    "sample sheet": sample_sheet.READER,
}
#: All readers, tried in this order.
READERS: dict[str, Reader[Any]] = {**DROPLETS, **SHEETS}
#: Endings of files that are looked into.
ENDINGS = (".csv", ".txt", ".tsv", ".xlsx", ".parquet")
#: Of these, endings that other files have as often.
_NOTES = (".txt", ".tsv")


def recognise(names: Names, readers: Mapping[str, Reader[Any]] = READERS) -> str:
    """What a file of such columns is called, or "" where no reader knows it."""
    return next((name for name, reader in readers.items() if reader.recognises(names)), "")


def read_file(path: Path, columns: Mapping[str, str] | None = None) -> tuple[str, Droplets | Sheet | None]:
    """What a file is called and what stands in it; ("", None) where no reader knows it.

    Args:
        path: the file.
        columns: "well", "Ch1" ... -> columns, where the user names those of droplets.

    Raises:
        FormatError: damage, or a file that by its name or columns is meant to be read, though no reader knows it.
        OSError: a file that cannot be opened.
    """
    readers = READERS if columns is None else {"mapped table of droplets": long_table.mapped(columns), **READERS}

    def known(names: Names) -> bool:
        return bool(recognise(names, readers))

    ending = path.suffix.lower()
    if ending == ".parquet":
        found = read_parquet(path, columns)
        return ("", None) if found is None else ("table of droplets", found)
    table = open_excel(path, known) if ending == ".xlsx" else None
    if ending in _NOTES and not names_amplitudes(path) and is_no_table(path):
        return "", None
    names = find_names(head(path), known)[1] if table is None else table.names
    name = recognise(names, readers)
    if not name:
        _refuse_strange(path, names, [] if columns is None else [*columns.values()])
        return "", None
    reader = readers[name]
    try:
        return name, reader.read(open_table(path, known, reader.most, reader.what) if table is None else table)
    except FormatError as error:
        if name not in _ONE_WELL or not well_in(path):
            raise
        return name, Droplets((broken_well(well_in(path), path, str(error)),))


def read_results(path: str | Path, *, as_printed: bool = False) -> pd.DataFrame:
    """The instrument's own results, one row per well and target, or a sheet of samples, in `INSTRUMENT_COLUMNS`.

    Args:
        path: results of QuantaSoft or QX Manager, clusters of a QX600, or a sheet of samples.
        as_printed: all values as the words in the file, with the digits printed there.

    Returns:
        The rows of the file: concentrations in copies/µL, abundances in %, NaN for "No Call" and blanks, "" for words
        that are absent.

    Raises:
        FormatError: no such file, no sheet, or anything in it that cannot be used.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mixsci.ddpcr import formats
        >>> path = Path(tempfile.mkdtemp()) / "results.csv"
        >>> lines = ["Well,Sample,TargetType,Target,CopiesPer20uLWell,Concentration",
        ...          "A1,NTC,Ch1Unknown,VIM,,No Call", "B1,tumour,Ch1Unknown,VIM,3720,186"]
        >>> _ = path.write_text(chr(10).join(lines))
        >>> formats.read_results(path)[["Well", "Channel", "Target", "SampleType", "Concentration"]]
          Well Channel Target SampleType  Concentration
        0  A01     Ch1    VIM        NTC            NaN
        1  B01     Ch1    VIM    Unknown          186.0
    """
    sheet = read_sheet(Path(path))
    if sheet.problems:
        raise FormatError(sheet.problems[0])
    return sheet.printed if as_printed else to_numbers(sheet.printed)


def read_sheet(path: Path) -> Sheet:
    """A sheet with what of it cannot be used.

    Raises:
        FormatError: no such file, or no sheet.
    """
    table = _open_sheet(path)
    name = recognise(table.names)
    if name not in SHEETS:
        raise FormatError(
            f"{path.name} must be a sheet of results or samples, with columns such as Well and Sample; "
            f"it has {few(table.names)}"
        )
    return SHEETS[name].read(table)


def read_clusters(path: str | Path) -> pd.DataFrame:
    """Clusters of a QX600: Well, calls of each target (1, 0, -1 unclassified, NaN none), Count, and the mean and
    standard deviation of the amplitudes in every channel.

    Raises:
        FormatError: no such file, other columns, or damage.
    """
    table = _open_sheet(Path(path))
    if not qx600.recognises(table.names):
        raise FormatError(f"{table.path.name} must hold clusters of a QX600; it has the columns {few(table.names)}")
    return qx600.read_clusters(table)


def _open_sheet(path: Path) -> Table:
    def known(names: Names) -> bool:
        return bool(recognise(names))

    try:
        is_excel = path.suffix.lower() == ".xlsx"
        return open_excel(path, known) if is_excel else open_table(path, known, MOST_IN_SHEET, "lines")
    except OSError as error:
        raise FormatError(f"{path} cannot be opened: {error.strerror or error}") from None


def _refuse_strange(path: Path, names: Names, asked: Sequence[str]) -> None:
    """Refuse a file that no reader knows though it may be meant for one; any other is none of ours."""
    line = ", ".join(names)
    if names_amplitudes(path) or any(word.lower() in line.lower() for word in ("amplitude", *asked)):
        raise FormatError(
            f"{path.name} must have columns such as Ch1 Amplitude, separated by commas, semicolons or tabs; it has "
            f"{few(names)}: export it again, or name its columns with columns={{'Ch1': ...}}"
        )
    if re.search(r"\bwell\b", line, re.IGNORECASE):
        raise FormatError(
            f"{path.name} must have columns of wells and samples, separated by commas, semicolons or tabs, to be read; "
            f"it has {few(names)}"
        )
