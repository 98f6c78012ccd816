"""A user's own sheet: a well and a sample in each line, with targets and channels where it names them."""

from __future__ import annotations

import re

from mixsci.ddpcr.formats.names import plain
from mixsci.ddpcr.formats.qxmanager_results import CHANNELS
from mixsci.ddpcr.formats.reader import MOST_IN_SHEET, Reader
from mixsci.ddpcr.formats.sheets import Row, Sheet, find_column, has_columns, make_sheet, rows_of
from mixsci.ddpcr.formats.text import Names, Table

# "Ch1 target", "FAM target", "VIC/HEX target", "Target 3".
_TARGET = re.compile(r"(ch[1-6]|fam|evagreen|vic|hex|vichex|hexvic)target|target\d")
_ABSENT = {"", "na", "n/a", "none", "-"}


def recognises(names: Names) -> bool:
    """Whether there are columns of wells and of samples."""
    return has_columns(names, "Well", "Sample")


def read(table: Table) -> Sheet:
    """The sheet; a line that names several targets gives a row for each, numbered ones without a channel.

    Raises:
        FormatError: no line, or lines of more or fewer values than columns.
    """
    lines, problems = rows_of(table)
    rows = [(number, row) for number, line in lines for row in _rows(table.names, line)]
    return make_sheet(table, rows, problems, results=False)


def _rows(names: Names, line: list[str]) -> list[Row]:
    own = {plain(name): value for name, value in zip(names, line, strict=False)}
    places = {column: find_column(names, column) for column in ("Well", "Sample", "Target")}
    said = {column: "" if place is None else line[place] for column, place in places.items()}
    said["SampleType"] = own.get("sampletype") or own.get("type", "")
    said["Channel"] = _channel(own.get("channel") or own.get("dye", ""))
    targets = [
        {"Channel": _channel(name.partition("target")[0]), "Target": value}
        for name, value in own.items()
        if _TARGET.fullmatch(name) and value.lower() not in _ABSENT
    ]
    return [said | target for target in targets] or [said]


def _channel(text: str) -> str:
    """The channel that is meant, "Ch1" of "ch1", "1" and "FAM"; "" of what names none."""
    short = plain(text)
    dyes = [channel for dye, channel in CHANNELS.items() if dye.lower() in short]
    number = re.fullmatch(r"(?:ch|channel)?([1-6])", short)
    return f"Ch{number[1]}" if number else dyes[0] if dyes else ""


READER = Reader(recognises, read, MOST_IN_SHEET, "lines")
