"""Sheets in Excel files: the first sheet of the workbook as the same text a CSV file holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from mixsci.ddpcr.formats.reader import MOST_IN_SHEET
from mixsci.ddpcr.formats.text import Names, Table, find_names
from mixsci.errors import FormatError


def open_excel(path: Path, known: Callable[[Names], bool]) -> Table:
    """The table in the first sheet of a workbook; lines are numbered as its rows.

    Raises:
        FormatError: no workbook, an empty or a very long one, or openpyxl is not installed.
    """
    import pandas as pd

    try:
        cells = pd.read_excel(path, header=None, dtype=str, keep_default_na=False, nrows=MOST_IN_SHEET + 1)
    except ImportError:
        raise FormatError(
            f"{path.name}: Excel files need openpyxl: python -m pip install openpyxl, or export the sheet as CSV"
        ) from None
    except Exception:  # noqa: BLE001 - openpyxl raises whatever a damaged archive makes it raise
        raise FormatError(f"{path.name} must be an Excel workbook; it is none: export the sheet as CSV") from None
    if not len(cells):
        raise FormatError(f"{path.name} is empty: export it again")
    if len(cells) > MOST_IN_SHEET:
        raise FormatError(f"{path.name} must hold at most {MOST_IN_SHEET:,} lines; it holds more: is it one export?")
    written = io.StringIO()
    rows = [[str(value).replace("\n", " ") for value in row] for row in cells.to_numpy()]
    csv.writer(written, lineterminator="\n").writerows(rows)
    text = written.getvalue().encode()
    line, names, delimiter = find_names(text, known)
    return Table(path, names, delimiter, text.split(b"\n", line + 1)[line + 1], line + 2)
