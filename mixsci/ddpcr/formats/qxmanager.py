"""Droplets as QX Manager exports them: three lines on calls, then a column per channel and one per target."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from mixsci.ddpcr.formats.droplets import channel_columns, read_well
from mixsci.ddpcr.formats.names import channel_of
from mixsci.ddpcr.formats.reader import Droplets, Reader
from mixsci.ddpcr.formats.text import Names, Table

Array = np.ndarray

_NAME = re.compile(r"ch[1-6]amplitude", re.IGNORECASE)


def recognises(names: Names) -> bool:
    """Whether there are columns such as "Ch1Amplitude", and neither well nor cluster."""
    return any(_NAME.fullmatch(name) for name in names) and not {"well", "cluster"} & {name.lower() for name in names}


def read(table: Table) -> Droplets:
    """The well; the call of the first target is that of the first channel, and so on.

    Calls are left out where there are not as many targets as channels with values. "u" is unclassified.

    Raises:
        FormatError: damage, named by line.
    """
    targets = [index for index, name in enumerate(table.names) if name and not channel_of(name)]
    return read_well(
        _without_words(table), channel_columns(table.names, table.path.name), (targets, _calls) if targets else None
    )


def _without_words(table: Table) -> Table:
    """The same with -1 for a call "u", which would keep all numbers from the fast parser."""
    if b"u" not in table.body:
        return table
    mark = table.delimiter.encode()
    call = re.compile(mark + rb' *"?u"? *(?=' + mark + rb"|\n|\Z)")
    return replace(table, body=call.sub(mark + b"-1", table.body))


def _calls(values: Array, channels: tuple[str, ...]) -> Array | None:
    matched = values.shape[1] == len(channels) and np.isin(values, (-1, 0, 1)).all()
    return values.astype(np.int8) if matched else None


READER = Reader(recognises, read)
