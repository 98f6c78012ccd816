"""From columns of a table to the droplets of a well: what every reader of amplitudes shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mixsci.ddpcr.formats.names import channel_of, well_in
from mixsci.ddpcr.formats.reader import MOST_DROPLETS, Droplets
from mixsci.ddpcr.formats.text import Columns, Names, Table, columns, name_lines
from mixsci.ddpcr.plate import MOST_CHANNELS, Well
from mixsci.errors import FormatError

Array = np.ndarray
#: Columns of calls (n, t) and the channels kept -> calls (n, C), or None.
ToCalls = Callable[[Array, tuple[str, ...]], Array | None]

#: With fewer no share of positives means anything.
FEWEST = 50


def channel_columns(names: Names, file: str, channel: Callable[[str], str] = channel_of) -> dict[str, int]:
    """Channel -> index of its column, Ch1 first, by name wherever the column stands.

    Raises:
        FormatError: two columns of one channel.
    """
    found = [(channel(name), index) for index, name in enumerate(names) if channel(name)]
    twice = sorted(name for name, count in Counter(name for name, _ in found).items() if count > 1)
    if twice:
        raise FormatError(f"{file} must have one column for each channel; it has more for {', '.join(twice)}")
    return dict(sorted(found))


def read_well(table: Table, channels: Mapping[str, int], calls: tuple[list[int], ToCalls] | None = None) -> Droplets:
    """The well of a file that holds one; its problem says why it cannot be quantified.

    Args:
        table: as opened.
        channels: channel -> index of its column.
        calls: indices of the columns of calls, and what makes calls of them.

    Raises:
        FormatError: damage, named by line, or a file not named after a well.
    """
    name = well_in(table.path)
    if not name:
        raise FormatError(f"{table.path.name} must be named after its well, such as Plate_A01_Amplitude.csv: rename it")
    extra, to_calls = calls or ([], lambda _codes, _channels: None)
    found = columns(table, [*channels.values(), *extra])
    refuse_damage(found, table.path)
    values, kept = with_values(found.values[:, : len(channels)], tuple(channels))
    codes = found.values[:, len(channels) :]
    given = codes.size > 0 and not np.isnan(codes).any()
    read = to_calls(codes, kept) if given else None
    well = make_well(name, values, kept, read, table.path)
    if not given or read is not None:
        return Droplets((well,))
    said = f"the calls in {', '.join(table.names[j] for j in extra)} cannot be matched with {', '.join(kept)}"
    return Droplets((well,), (f"{said}; they are left out",))


def with_values(amplitudes: Array, channels: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """Amplitudes (n, C) and channels (C,) without the columns that hold no value."""
    kept = [j for j in range(len(channels)) if not np.isnan(amplitudes[:, j]).all()]
    return amplitudes[:, kept], tuple(channels[j] for j in kept)


def make_well(name: str, amplitudes: Array, channels: tuple[str, ...], calls: Array | None, path: Path) -> Well:
    """A well with the problem its number of droplets is, if it is one; too many are not kept."""
    n = len(amplitudes)
    if n > MOST_DROPLETS:
        said = f"{path.name} must hold at most {MOST_DROPLETS:,} droplets in a well; {name} has {n:,}: is it one well?"
        return broken_well(name, path, said)
    if not n or not channels:
        return broken_well(name, path, f"{path.name} holds no droplets of {name}: export it again")
    if len(channels) > MOST_CHANNELS:
        raise FormatError(f"{path.name} must hold at most {MOST_CHANNELS} channels; it holds {len(channels)}")
    said = f"{name} must have at least {FEWEST} droplets; it has {n}: leave it out or read it again"
    return Well(name, amplitudes, channels, calls, path, said if n < FEWEST else "")


def broken_well(name: str, path: Path, problem: str) -> Well:
    """A well without droplets and the reason."""
    return Well(name, np.empty((0, 0)), (), None, path, problem)


def refuse_damage(found: Columns, path: Path) -> None:
    """Raise a FormatError that names the first lines that cannot be read.

    Raises:
        FormatError: any bad row.
    """
    if not found.bad:
        return
    rows = sorted(found.bad)
    said = found.bad[rows[0]]
    others = f" (damaged too: {name_lines(found.lines[rows[1:]])})" if len(rows) > 1 else ""
    if said.startswith("it ends"):
        raise FormatError(f"{path.name} must be whole; {said}: export or copy it again")
    raise FormatError(f"{path.name} must hold a number in every place; {said}{others}: correct it or export it again")
