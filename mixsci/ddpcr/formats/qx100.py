"""Droplets of the first QX100: "Assay1 Amplitude", "Assay2 Amplitude", the second often empty, no calls."""

from __future__ import annotations

import re

from mixsci.ddpcr.formats.droplets import channel_columns, read_well
from mixsci.ddpcr.formats.reader import Droplets, Reader
from mixsci.ddpcr.formats.text import Names, Table

_NAME = re.compile(r"assay[ ._]?([12])[ ._]?amplitude", re.IGNORECASE)


def recognises(names: Names) -> bool:
    """Whether there are columns such as "Assay1 Amplitude"."""
    return any(_NAME.fullmatch(name) for name in names)


def read(table: Table) -> Droplets:
    """The well; assay 1 is Ch1, assay 2 is Ch2.

    Raises:
        FormatError: damage, named by line.
    """
    return read_well(table, channel_columns(table.names, table.path.name, _channel))


def _channel(name: str) -> str:
    found = _NAME.fullmatch(name)
    return f"Ch{found[1]}" if found else ""


READER = Reader(recognises, read)
