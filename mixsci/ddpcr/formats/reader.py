"""What a reader is: how its files are recognised by the names of their columns, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mixsci.ddpcr.formats.text import Names, Table
from mixsci.ddpcr.plate import Well

Found = TypeVar("Found")

#: Droplets in one well: no instrument makes a twentieth of it.
MOST_DROPLETS = 1_000_000
#: Lines of a table of many wells, and of a sheet.
MOST_IN_LONG_TABLE = 5_000_000
MOST_IN_SHEET = 100_000


@dataclass(frozen=True, eq=False)
class Droplets:
    """What a file of droplets holds: wells, and sentences on what of it is not used."""

    wells: tuple[Well, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader(Generic[Found]):
    """A way to read files.

    Attributes:
        recognises: whether a file of such columns is its own.
        read: what stands in the table.
        most: files of more lines are refused unread.
        what: what its lines hold, in words.
    """

    recognises: Callable[[Names], bool]
    read: Callable[[Table], Found]
    most: int = MOST_DROPLETS
    what: str = "droplets"
