"""Droplets of one well from Stilla's Naica: where each lies in the image, its number, and a column per channel."""

from __future__ import annotations

import re

from mixsci.ddpcr.formats.droplets import read_well
from mixsci.ddpcr.formats.names import plain
from mixsci.ddpcr.formats.reader import Droplets, Reader
from mixsci.ddpcr.formats.text import Names, Table, few
from mixsci.ddpcr.plate import MOST_CHANNELS
from mixsci.errors import FormatError

_PLACE = re.compile(r"(?:pos|position|center|centre)?([xy])(?:pos|position|coord|coordinate)?(?:px|pixels?|m|um|mm)?")
_NUMBER = re.compile(r"(?:droplets?|crystals?|partitions?)?(?:index|id|no|number)?")
_CHANNEL = re.compile(r"(?:ch|channel)([1-6])\D*")
# Channels of the Naica are named after colours, here from short to long waves.
_COLOURS = ("blue", "teal", "green", "yellow", "red", "infrared")


def recognises(names: Names) -> bool:
    """Whether there are places x and y of droplets, their numbers, columns beside them, and no well."""
    own = [plain(name) for name in names]
    places = {found[1] for name in own if (found := _PLACE.fullmatch(name))}
    numbered = any(_NUMBER.fullmatch(name) for name in own)
    return places == {"x", "y"} and numbered and bool(_channels(names)) and "well" not in own


def read(table: Table) -> Droplets:
    """The well, without calls; every column that is neither place nor number is a channel.

    A channel is numbered as its name says ("Channel 2"), or in the order of colours, or else as it stands in the file.

    Raises:
        FormatError: damage, named by line, or more than six channels.
    """
    indices = _channels(table.names)
    if len(indices) > MOST_CHANNELS:
        got = few(tuple(table.names[index] for index in indices))
        raise FormatError(
            f"{table.path.name} must hold at most {MOST_CHANNELS} channels beside x, y and index; got {got}"
        )
    return read_well(table, _numbered({plain(table.names[index]).replace("-", ""): index for index in indices}))


def _numbered(places: dict[str, int]) -> dict[str, int]:
    """Channel -> index of its column, from the plain names of the columns."""
    said = {found[1]: index for name, index in places.items() if (found := _CHANNEL.fullmatch(name))}
    if len(said) == len(places):
        return {f"Ch{number}": said[number] for number in sorted(said)}
    coloured = {*places} <= {*_COLOURS}
    order = [name for name in _COLOURS if name in places] if coloured else list(places)
    return {f"Ch{1 + j}": places[name] for j, name in enumerate(order)}


def _channels(names: Names) -> list[int]:
    """Indices of the columns that are neither place nor number."""
    return [i for i, name in enumerate(names) if not (_PLACE.fullmatch(plain(name)) or _NUMBER.fullmatch(plain(name)))]


READER = Reader(recognises, read)
