"""Droplets as QuantaSoft exports them: a column per channel and the cluster of each droplet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixsci.ddpcr.formats.droplets import channel_columns, read_well
from mixsci.ddpcr.formats.names import channel_of
from mixsci.ddpcr.formats.reader import Droplets, Reader
from mixsci.ddpcr.formats.text import Names, Table
from mixsci.ddpcr.plate import calls_of
from mixsci.errors import DataError

Array = np.ndarray

# QX Manager writes the name and the number together.
_NAME = re.compile(r"(?:ch|channel)[ ._]?[1-6][ ._]amplitude", re.IGNORECASE)


def recognises(names: Names) -> bool:
    """Whether there are columns such as "Ch1 Amplitude" or "Ch1.Amplitude", or one of clusters with them; no well."""
    own = {name.lower() for name in names}
    written = any(_NAME.fullmatch(name) for name in names) or ("cluster" in own and any(map(channel_of, names)))
    return written and "well" not in own


def read(table: Table) -> Droplets:
    """The well; its calls from Cluster: 1 = Ch1-Ch2-, 2 = Ch1+Ch2-, 3 = Ch1+Ch2+, 4 = Ch1-Ch2+, 0 = gated.

    Calls are left out where Cluster holds other codes, or where there are channels beyond Ch2.

    Raises:
        FormatError: damage, named by line.
    """
    cluster = [index for index, name in enumerate(table.names) if name.lower() == "cluster"][:1]
    return read_well(table, channel_columns(table.names, table.path.name), (cluster, _calls) if cluster else None)


def write_quantasoft(
    path: str | Path,
    amplitudes: Array,
    cluster: Array,
    probabilities: Mapping[str, Array] | None = None,
    channels: Sequence[str] = ("Ch1", "Ch2"),
) -> None:
    """Write a file of amplitudes as QuantaSoft does; `read_plate` reads the same numbers back.

    Args:
        path: named after the well, such as Plate_A01_Amplitude.csv.
        amplitudes: (n, C) fluorescence.
        cluster: (n,) codes 0 to 4.
        probabilities: name of a further column, such as "P(Ch1+)" -> (n,) values, written to six digits.
        channels: (C,) names; of Ch1 and Ch2 the one that is absent gets a column without values.

    Raises:
        DataError: shapes that do not match.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mixsci.ddpcr.formats import write_quantasoft
        >>> path = Path(tempfile.mkdtemp()) / "Plate_A01_Amplitude.csv"
        >>> write_quantasoft(path, [[1200.5, 900.25], [5400.0, 950.0]], [1, 2], {"P(Ch1+)": [0.0001, 0.98]})
        >>> print(path.read_text())
        Ch1 Amplitude,Ch2 Amplitude,Cluster,P(Ch1+)
        1200.5,900.25,1,0.0001
        5400.0,950.0,2,0.98
        <BLANKLINE>
    """
    amplitudes = np.asarray(amplitudes, dtype=np.float64)
    further = {name: np.asarray(values, dtype=np.float64) for name, values in (probabilities or {}).items()}
    codes = np.asarray(cluster, dtype=np.int64)
    n = len(amplitudes)
    if amplitudes.shape != (n, len(channels)) or any(values.shape != (n,) for values in (codes, *further.values())):
        raise DataError(
            f"amplitudes must have shape (n, {len(channels)}), cluster and probabilities (n,); "
            f"got {amplitudes.shape}, {codes.shape}" + "".join(f", {values.shape}" for values in further.values())
        )
    place = {name: j for j, name in enumerate(channels)}
    shown = [*dict.fromkeys(["Ch1", "Ch2", *channels])]
    lists = [amplitudes[:, place[name]].tolist() for name in shown if name in place]
    layout = ",".join([*("%r" if name in place else "" for name in shown), "%d", *["%.6g"] * len(further)])
    rows = map(layout.__mod__, zip(*lists, codes.tolist(), *(v.tolist() for v in further.values()), strict=True))
    header = ",".join([*(f"{name} Amplitude" for name in shown), "Cluster", *further])
    Path(path).write_text("\n".join([header, *rows, ""]), encoding="utf-8", newline="\n")


def _calls(codes: Array, channels: tuple[str, ...]) -> Array | None:
    known = np.isin(codes, range(5)).all() and set(channels) <= {"Ch1", "Ch2"}
    return calls_of(codes[:, 0].astype(np.int64), channels) if known else None


READER = Reader(recognises, read)
