"""Droplets of any instrument in a parquet file: a row per droplet, a column of wells, one per channel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixsci.ddpcr.formats.droplets import channel_columns
from mixsci.ddpcr.formats.long_table import by_well
from mixsci.ddpcr.formats.reader import MOST_IN_LONG_TABLE, Droplets
from mixsci.ddpcr.formats.text import Columns
from mixsci.errors import FormatError


def read_parquet(path: Path, mapping: Mapping[str, str] | None = None) -> Droplets | None:
    """The wells of a parquet file; None where its columns are not those of droplets.

    Args:
        path: the file.
        mapping: "well", "Ch1" ... -> columns; without it they are "Well", "Ch1 Amplitude" ...

    Raises:
        FormatError: no parquet, too many rows, text for numbers, or pyarrow is not installed.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise FormatError(f"{path.name}: parquet needs pyarrow: python -m pip install 'mixsci[io]'") from None
    try:
        file = pq.ParquetFile(path)
        well, channels = _columns(tuple(file.schema_arrow.names), mapping, path.name)
        if not well or not channels:
            return None
        rows = file.metadata.num_rows
        table = file.read(columns=[well, *channels.values()]).to_pandas() if rows <= MOST_IN_LONG_TABLE else None
    except (ValueError, OSError, KeyError, TypeError, NotImplementedError) as error:
        said = str(error).strip().partition("\n")[0]
        raise FormatError(f"{path.name} cannot be read as parquet: {said}") from None
    if table is None:
        raise FormatError(f"{path.name} must hold at most {MOST_IN_LONG_TABLE:,} droplets; it holds {rows:,}: split it")
    text = [name for name in channels.values() if table[name].dtype.kind not in "fiu"]
    if text:
        raise FormatError(f"{path.name} must hold numbers in {', '.join(text)}; it holds text: convert it")
    values = table[list(channels.values())].to_numpy(dtype=np.float64)
    lines = np.arange(1, len(values) + 1)
    bad = {int(row): f"row {row + 1} holds an infinite value" for row in np.flatnonzero(np.isinf(values).any(axis=1))}
    return by_well(Columns(values, bad, lines, table[well].astype(str).to_numpy(dtype=object)), tuple(channels), path)


def _columns(names: tuple[str, ...], mapping: Mapping[str, str] | None, file: str) -> tuple[str, dict[str, str]]:
    """The column of wells and those of the channels, blank where they are not among `names`."""
    if mapping is not None:
        channels = {key: name for key, name in mapping.items() if key != "well"}
        present = set(mapping.values()) <= set(names)
        return (mapping.get("well", ""), dict(sorted(channels.items()))) if present else ("", {})
    well = next((name for name in names if name.lower() == "well"), "")
    return well, {channel: names[index] for channel, index in channel_columns(names, file).items()}
