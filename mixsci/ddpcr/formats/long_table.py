"""Droplets of any instrument in one table: a row per droplet, a column of wells, one per channel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from mixsci.ddpcr.formats.droplets import broken_well, channel_columns, make_well, read_well, with_values
from mixsci.ddpcr.formats.names import channel_of
from mixsci.ddpcr.formats.reader import MOST_IN_LONG_TABLE, Droplets, Reader
from mixsci.ddpcr.formats.text import Columns, Names, Table, columns, name_lines
from mixsci.ddpcr.plate import MOST_CHANNELS, Well, well_name
from mixsci.errors import DataError

Array = np.ndarray

#: What a mapping may name.
KEYS = ("well", *(f"Ch{j + 1}" for j in range(MOST_CHANNELS)))


def recognises(names: Names) -> bool:
    """Whether there is a column "Well" and one such as "Ch1 Amplitude"."""
    return "well" in map(str.lower, names) and any(map(channel_of, names))


def read(table: Table) -> Droplets:
    """The wells, by the names of the columns.

    Raises:
        FormatError: lines that hold fewer values than columns are named.
    """
    well = [name.lower() for name in table.names].index("well")
    return split(table, well, channel_columns(table.names, table.path.name))


def mapped(mapping: Mapping[str, str]) -> Reader[Droplets]:
    """A reader of tables with columns of any name.

    Args:
        mapping: "well" -> column of wells (absent where each file is one well and named after it), "Ch1" ... "Ch6" ->
            columns of amplitudes.

    Raises:
        DataError: other keys, or no channel.
    """
    keys = [key for key in KEYS if key in mapping]
    if len(keys) != len(mapping) or not set(keys) - {"well"}:
        raise DataError(
            f"columns must map 'Ch1' ... 'Ch{MOST_CHANNELS}', at least one, and 'well' to names of columns; "
            f"got {', '.join(map(repr, mapping)) or 'nothing'}"
        )
    most = MOST_IN_LONG_TABLE if "well" in mapping else Reader.most
    return Reader(partial(_has, dict(mapping)), partial(_read_mapped, dict(mapping)), most)


def _has(mapping: Mapping[str, str], names: Names) -> bool:
    return set(mapping.values()) <= set(names)


def _read_mapped(mapping: Mapping[str, str], table: Table) -> Droplets:
    indices = {key: table.names.index(mapping[key]) for key in KEYS if key in mapping}
    well = indices.pop("well", None)
    return read_well(table, indices) if well is None else split(table, well, indices)


def split(table: Table, well: int, channels: Mapping[str, int]) -> Droplets:
    """One well for each in the column of wells; damage in a line is the problem of its well alone.

    Args:
        table: as opened.
        well: index of the column of wells.
        channels: channel -> index of its column.

    Raises:
        FormatError: lines that hold fewer values than columns are named.
    """
    found = columns(table, list(channels.values()), label=well, gaps=True)
    return by_well(found, tuple(channels), table.path)


def by_well(found: Columns, channels: tuple[str, ...], path: Path) -> Droplets:
    """The wells of rows that are labelled with theirs; a line without is in none, and a note names it."""
    labels = [] if found.labels is None else found.labels.tolist()
    name_of = {label: _well_of(label) for label in dict.fromkeys(labels)}
    names = sorted({*name_of.values()} - {""})
    place = {name: j for j, name in enumerate(names)}
    codes = np.array([place.get(name_of[label], -1) for label in labels], dtype=np.int64)
    if len(codes) > 1 and found.bad.get(len(codes) - 1, "").startswith("it ends"):
        codes[-1] = codes[-2]  # what is lost follows on the well before
    if not labels:
        return Droplets((), (f"{path.name} holds no droplets: export it again",))
    nameless = found.lines[codes < 0]
    wells = [_one(name, np.flatnonzero(codes == j), found, channels, path) for name, j in place.items()]
    if not len(nameless):
        return Droplets(tuple(wells))
    said = (
        f"{path.name} must name a well such as A01 in every line; the droplets of {name_lines(nameless)} are left out"
    )
    return Droplets(tuple(wells), (said,))


def _one(name: str, rows: Array, found: Columns, channels: tuple[str, ...], path: Path) -> Well:
    values, kept = with_values(found.values[rows], channels)
    damage = [found.bad[row] for row in rows.tolist() if row in found.bad] if found.bad else []
    damage += [f"line {line} has a blank" for line in found.lines[rows[np.isnan(values).any(axis=1)]][:1]]
    if damage:
        said = f"{path.name} must be whole and hold a number in every place; {damage[0]}: correct it or export it again"
        return broken_well(name, path, said)
    return make_well(name, values, kept, None, path)


def _well_of(label: object) -> str:
    try:
        return well_name(str(label))
    except DataError:
        return ""


READER = Reader(recognises, read, MOST_IN_LONG_TABLE)
