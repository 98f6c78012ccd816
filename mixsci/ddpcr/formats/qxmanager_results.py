"""Results as QX Manager exports them in its data table."""

from __future__ import annotations

from mixsci.ddpcr.formats.names import plain
from mixsci.ddpcr.formats.reader import MOST_IN_SHEET, Reader
from mixsci.ddpcr.formats.sheets import Row, Sheet, has_columns, read_sheet
from mixsci.ddpcr.formats.text import Names, Table

#: Dyes of the two channels of a QX200; others have channels of their own in other instruments.
CHANNELS = {"FAM": "Ch1", "EVAGREEN": "Ch1", "HEX": "Ch2", "VIC": "Ch2"}


def recognises(names: Names) -> bool:
    """Whether there are wells, targets, concentrations, and dyes or descriptions of samples."""
    own = {plain(name) for name in names}
    return has_columns(names, "Well", "Concentration", "Target") and bool(own & {"dyenames", "sampledescription1"})


def read(table: Table) -> Sheet:
    """The sheet; the channel is that of the dye, a sample all its descriptions.

    Raises:
        FormatError: no line, or lines of more values than columns.
    """
    return read_sheet(table, _say, results=True)


def _say(own: Row) -> Row:
    described = [own.get(f"sampledescription{j}", "") for j in range(1, 5)]
    return {
        "Channel": CHANNELS.get(own.get("dyenames", "").upper(), ""),
        "Sample": ", ".join(text for text in described if text) or own.get("sample", ""),
        "SampleType": own.get("sampletype") or own.get("targettype", ""),
    }


READER = Reader(recognises, read, MOST_IN_SHEET, "lines")
