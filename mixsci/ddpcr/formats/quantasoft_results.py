"""Results as QuantaSoft 1.6 (TypeAssay, Assay) and 1.7.4 (TargetType, Target) export them."""

from __future__ import annotations

from mixsci.ddpcr.formats.names import plain
from mixsci.ddpcr.formats.reader import MOST_IN_SHEET, Reader
from mixsci.ddpcr.formats.sheets import Row, Sheet, read_sheet, split_type
from mixsci.ddpcr.formats.text import Names, Table

_MARKS = ({"well", "typeassay"}, {"well", "targettype", "copiesper20ulwell"})


def recognises(names: Names) -> bool:
    """Whether the columns are those of either version."""
    own = {plain(name) for name in names}
    return any(marks <= own for marks in _MARKS)


def read(table: Table) -> Sheet:
    """The sheet; lines of version 1.7.4 may hold one blank value more than there are names.

    Tables that mixsci wrote itself (they have LambdaSE) tell of samples, but not what the instrument found.

    Raises:
        FormatError: no line, or lines of more values than columns.
    """
    return read_sheet(table, _say, results="LambdaSE" not in table.names)


def _say(own: Row) -> Row:
    channel, kind = split_type(own.get("targettype") or own.get("typeassay", ""))
    return {"Channel": channel, "SampleType": kind, "TargetType": kind}


READER = Reader(recognises, read, MOST_IN_SHEET, "lines")
