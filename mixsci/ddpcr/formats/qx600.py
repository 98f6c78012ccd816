"""Clusters as QX Manager exports them for a QX600: counts and mean amplitudes of each, no droplets."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from mixsci.ddpcr.formats.reader import MOST_IN_SHEET, Reader
from mixsci.ddpcr.formats.sheets import Row, Sheet, is_number, make_sheet, rows_of
from mixsci.ddpcr.formats.text import Names, Table, name_lines
from mixsci.ddpcr.plate import well_name
from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    import pandas as pd

_SECOND = re.compile(rb"^[^\n]*Cluster 1[^\n]*Cluster 2", re.MULTILINE)
_MOMENT = re.compile(r"Ch[1-6] (Mean|StdDev)")
_OTHERS = {"Well", "Count", "Cluster ID", ""}
_CALLS = ("0", "1", "u")


def recognises(names: Names) -> bool:
    """Whether there are wells, counts, means of channels and a cluster."""
    return {"Well", "Count", "Ch1 Mean", "Cluster ID"} <= {*names}


def read(table: Table) -> Sheet:
    """The sheet: of each well and target the droplets that are positive and negative, unclassified ones in neither.

    Raises:
        FormatError: damage, named by line.
    """
    lines, problems = _lines(table)
    place, targets = {name: j for j, name in enumerate(table.names)}, _targets(table.names)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    first: dict[tuple[str, str], int] = {}
    for number, line in lines:
        for target in targets:
            call = line[place[target]].lower()
            key = (line[place["Well"]], target)
            if call:
                first.setdefault(key, number)
                counts.setdefault(key, dict.fromkeys(_CALLS, 0))[call] += int(line[place["Count"]])
    rows = [(first[key], _row(*key, sums)) for key, sums in counts.items()]
    return make_sheet(table, rows, problems, results=True, names=False)


def read_clusters(table: Table) -> pd.DataFrame:
    """One row per well and cluster: Well, the calls of each target (1, 0, -1 unclassified, NaN none), Count, and mean
    and standard deviation of every channel.

    Raises:
        FormatError: damage, named by line.
    """
    import pandas as pd

    lines, problems = _lines(table)
    if problems:
        raise FormatError(problems[0])
    text = pd.DataFrame([line[: len(table.names)] for _, line in lines], columns=list(table.names))
    numbers = text.drop(columns="Well").replace({"u": "-1", "U": "-1", "": "nan"}).astype("float64")
    return pd.concat([text["Well"].map(well_name), numbers], axis=1)


def _lines(table: Table) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """The lines of the first table; the second, on how far clusters lie apart, is left alone.

    Raises:
        FormatError: a count that is no number, a call that is none, means that are no numbers, a well that is none.
    """
    second = _SECOND.search(table.body)
    first = replace(table, body=table.body[: second.start()] if second else table.body)
    lines, problems = rows_of(first)
    wrong = [(number, said) for number, line in lines if (said := _what_is_wrong(table.names, line))]
    if wrong:
        raise FormatError(
            f"{table.path.name} must hold wells, calls and numbers; line {wrong[0][0]} holds {wrong[0][1]}"
            + (f", and so do {name_lines([number for number, _ in wrong[1:]])}" if len(wrong) > 1 else "")
        )
    return _without_doubles(table, lines, problems)


def _without_doubles(
    table: Table, lines: list[tuple[int, list[str]]], problems: list[str]
) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Lines without the wells of which a cluster stands twice, and a sentence on each of these."""
    key = [table.names.index(name) for name in ("Well", *_targets(table.names))]
    clusters = Counter(tuple(line[j] for j in key) for _, line in lines)
    twice = sorted({cluster[0] for cluster, count in clusters.items() if count > 1})
    said = [f"{table.path.name} must hold each cluster once; {well} holds one twice and is left out" for well in twice]
    return [(number, line) for number, line in lines if line[key[0]] not in twice], [*problems, *said]


def _what_is_wrong(names: Names, line: list[str]) -> str:
    for name, value in zip(names, line, strict=False):
        if name == "Well":
            right = _is_well(value)
        elif name in _targets(names):
            right = value.lower() in {"", *_CALLS}
        elif name == "Count":
            right = value.isdecimal()
        else:
            right = not value or is_number(value)
        if not right:
            return f"{value[:30]!r} as {name}"
    return ""


def _targets(names: Names) -> list[str]:
    """The columns that hold calls."""
    return [name for name in names if name not in _OTHERS and not _MOMENT.fullmatch(name)]


def _row(well: str, target: str, sums: dict[str, int]) -> Row:
    counts = {"Positives": sums["1"], "Negatives": sums["0"], "AcceptedDroplets": sum(sums.values())}
    return {"Well": well, "Target": target, **{name: str(count) for name, count in counts.items()}}


def _is_well(text: str) -> bool:
    try:
        return bool(well_name(text))
    except DataError:
        return False


READER = Reader(recognises, read, MOST_IN_SHEET, "lines")
