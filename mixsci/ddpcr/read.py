"""A plate from a folder of files: the droplets of every well, and what the sheets beside them say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.formats import ENDINGS, long_table, read_file, sample_sheet
from mixsci.ddpcr.formats.droplets import broken_well
from mixsci.ddpcr.formats.names import names_amplitudes, well_in
from mixsci.ddpcr.formats.reader import Droplets
from mixsci.ddpcr.formats.sheets import Sheet, to_numbers
from mixsci.ddpcr.formats.text import Table, few
from mixsci.ddpcr.plate import INSTRUMENT_COLUMNS, PROBLEM_COLUMNS, SAMPLE_COLUMNS, Plate, Well
from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    import pandas as pd

#: A problem as a row of `Plate.problems`.
Problem = tuple[str, str, str]

_MOST_THREADS = 4
# What a type says when nobody gave one.
_PLAIN_TYPES = ("", "Unknown")


@dataclass(frozen=True, eq=False)
class _Found:
    """What one file gave."""

    path: Path
    kind: str = ""
    content: Droplets | Sheet | None = None
    problem: str = ""

    @property
    def holds_droplets(self) -> bool:
        """Whether it is a file of droplets, damaged or not."""
        return isinstance(self.content, Droplets) or bool(self.problem and names_amplitudes(self.path))


def read_plate(
    folder_or_files: str | Path | Iterable[str | Path],
    droplet_volume_nl: float = 0.85,
    *,
    columns: Mapping[str, str] | None = None,
    samples: str | Path | pd.DataFrame | None = None,
) -> Plate:
    """The plate in a folder: droplets by well, samples and the instrument's results from sheets beside them.

    A well that cannot be used keeps its place with a reason in `Well.problem` and in `Plate.problems`; the others are
    read all the same.

    Args:
        folder_or_files: a folder (hidden and foreign files in it are passed over), or the files themselves.
        droplet_volume_nl: volume of a droplet in nL; 0.85 reproduces the results of Bio-Rad's QX200.
        columns: where no reader knows the files: "Ch1", "Ch2" ... -> the columns of amplitudes, and "well" -> the
            column of wells where a file holds more than one.
        samples: a sheet, or a table with columns such as Well, Sample and Target; it has precedence over sheets in
            the folder.

    Raises:
        FormatError: no such folder, no file of droplets in it, or a sheet named in `samples` that cannot be read.
        DataError: a volume that is not positive, or a mapping that names no channel.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from mixsci.ddpcr.formats import write_quantasoft
        >>> from mixsci.ddpcr.read import read_plate
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_quantasoft(folder / "Run_A01_Amplitude.csv", [[900.0, 800.0]] * 60 + [[5000.0, 850.0]] * 40,
        ...                  [1] * 60 + [2] * 40)
        >>> _ = (folder / "samples.csv").write_text(chr(10).join(["Well,Sample", "A01,tumour"]))
        >>> plate = read_plate(folder)
        >>> plate, plate.wells["A01"]
        (Plate(1 wells, 100 droplets), Well(A01, 100 droplets in Ch1, Ch2))
        >>> plate.samples[["Well", "Channel", "Sample"]]
          Well Channel  Sample
        0  A01     Ch1  tumour
        1  A01     Ch2  tumour
    """
    volume = _volume(droplet_volume_nl)
    if columns is not None:
        long_table.mapped(columns)
    given = [] if samples is None else [_read_samples(samples)]
    paths = _paths(folder_or_files)
    with ThreadPoolExecutor(max_workers=min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda path: _read(path, columns), paths))
    if not any(one.holds_droplets for one in found):
        raise FormatError(_nothing(folder_or_files, found))
    wells, problems = _wells(found)
    sheets = [*given, *(one.content for one in found if isinstance(one.content, Sheet))]
    problems += [("", sheet.file, said) for sheet in sheets for said in sheet.problems]
    problems += _unmatched(wells, sheets)
    return Plate(wells, _samples(wells, sheets), _instrument(sheets), _table(problems), volume)


def _volume(droplet_volume_nl: Any) -> float:
    try:
        volume = float(droplet_volume_nl)
    except (TypeError, ValueError):
        volume = float("nan")
    if not 0.0 < volume < float("inf"):
        raise DataError(f"droplet_volume_nl must be a volume in nL above 0; got {droplet_volume_nl!r}")
    return volume


def _paths(folder_or_files: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files to look into, by name.

    Raises:
        FormatError: a folder that does not exist.
    """
    if not isinstance(folder_or_files, str | Path):
        return sorted({Path(file) for file in folder_or_files})
    folder = Path(folder_or_files)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise FormatError(f"{folder} must be a folder of amplitude files; there is none of this name")
    shown = (path for path in folder.iterdir() if not path.name.startswith((".", "~$")))
    found = sorted(path for path in shown if path.suffix.lower() in ENDINGS and path.is_file())
    return [path for path in found if not _is_part(path, found)]


def _is_part(path: Path, all_paths: Sequence[Path]) -> bool:
    """Whether a file holds one channel of a well of which another holds all, as Stilla's export has both."""
    well = well_in(path)
    is_part = "channel" in path.stem.lower() and "rawdata" in path.stem.lower()
    return is_part and any(well_in(other) == well and "channel" not in other.stem.lower() for other in all_paths)


def _read(path: Path, columns: Mapping[str, str] | None) -> _Found:
    """What a file gives; whatever is wrong with it is said, never raised."""
    try:
        kind, content = read_file(path, columns)
    except FormatError as error:
        return _Found(path, problem=str(error))
    except OSError as error:
        return _Found(path, problem=f"{path.name} cannot be opened: {error.strerror or error}")
    return _Found(path, kind, content)


def _read_samples(samples: Any) -> Sheet:
    """The sheet the user names.

    Raises:
        FormatError: one that cannot be read.
        DataError: neither a file nor a table.
    """
    if isinstance(samples, str | Path):
        path = Path(samples)
        found = _read(path, None)
        if isinstance(found.content, Sheet):
            return found.content
        raise FormatError(
            found.problem or f"{path.name} must have columns of wells and samples, such as Well and Sample"
        )
    if not hasattr(samples, "to_csv"):
        raise DataError(f"samples must be a file or a table (DataFrame); got {type(samples).__name__}")
    text = samples.to_csv(index=False, header=False, lineterminator="\n").encode()
    names = tuple(map(str, samples.columns))
    if not sample_sheet.recognises(names):
        raise FormatError(f"samples must have columns such as Well and Sample; it has {few(names)}")
    return sample_sheet.read(Table(Path("samples"), names, ",", text, 1))


def _nothing(folder_or_files: Any, found: Sequence[_Found]) -> str:
    """The sentence on a folder without droplets."""
    said = [f"{one.path.name} ({one.problem or one.kind or 'not known'})" for one in found]
    listed = ", ".join(said[:5]) + (f" and {len(said) - 5} more" if len(said) > 5 else "")
    where = str(folder_or_files) if isinstance(folder_or_files, str | Path) else "the list of files"
    holds = f"it holds {listed}" if said else f"it holds no file ending in {', '.join(ENDINGS)}"
    return f"{where} must hold files of droplets such as Plate_A01_Amplitude.csv; {holds}: export amplitudes to it"


def _wells(found: Sequence[_Found]) -> tuple[dict[str, Well], list[Problem]]:
    """Wells in the order of the plate, and what is wrong with them and with files."""
    claims: dict[str, list[Well]] = {}
    problems: list[Problem] = []
    for one in found:
        if isinstance(one.content, Droplets):
            problems += [("", one.path.name, note) for note in one.content.notes]
        for well in _wells_of(one):
            claims.setdefault(well.name, []).append(well)
        if one.problem and not _wells_of(one):
            problems.append(("", one.path.name, one.problem))
    wells = {name: _only(claims[name]) for name in sorted(claims)}
    problems += [(name, _file(well), well.problem) for name, well in wells.items() if well.problem]
    return wells, problems


def _wells_of(one: _Found) -> tuple[Well, ...]:
    """The wells in a file; of a damaged one that which its name says."""
    if isinstance(one.content, Droplets):
        return one.content.wells
    name = well_in(one.path)
    if one.problem and name and names_amplitudes(one.path):
        return (broken_well(name, one.path, one.problem),)
    return ()


def _only(claims: Sequence[Well]) -> Well:
    """The well, or one with a problem where several files claim it: which is right is not ours to guess."""
    if len(claims) == 1:
        return claims[0]
    files = " and ".join(_file(well) for well in claims)
    first = claims[0]
    said = f"{first.name} must stand in one file; it stands in {files}: remove all but the right one"
    return replace(first, amplitudes=np.empty((0, 0)), channels=(), calls=None, problem=said)


def _file(well: Well) -> str:
    return well.source.name if well.source else ""


def _unmatched(wells: Mapping[str, Well], sheets: Sequence[Sheet]) -> list[Problem]:
    """One sentence for each sheet that names wells without droplets, one for all wells that no sheet names."""
    problems: list[Problem] = []
    named: set[str] = set()
    for sheet in sheets:
        here = {well for row in _rows(sheet) for well in row["Wells"]}
        named |= here
        if absent := sorted(here - wells.keys()):
            problems.append(("", sheet.file, f"{sheet.file} names {_few(absent)}, of which there are no droplets"))
    if named and (silent := [name for name in wells if name not in named]):
        problems.append(("", "", f"no sheet names {_few(silent)}: their samples are not known"))
    return problems


def _few(names: Sequence[str]) -> str:
    kind = "well" if len(names) == 1 else "wells"
    return f"{kind} {', '.join(names[:8])}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _rows(sheet: Sheet) -> list[dict[str, Any]]:
    """The lines of a sheet, each with the wells it speaks of: its own, or those that were merged in it."""
    rows = [{str(key): value for key, value in row.items()} for row in sheet.printed.to_dict("records")]
    return [row | {"Wells": _merged(row["MergedWells"]) or [row["Well"]]} for row in rows]


def _merged(text: str) -> list[str]:
    """The wells of "(B01,C01)"."""
    return [name for part in text.strip("() ").split(",") if (name := well_in(Path(part.strip())))]


def _samples(wells: Mapping[str, Well], sheets: Sequence[Sheet]) -> pd.DataFrame:
    """At least one row for every well and channel."""
    import pandas as pd

    said: dict[str, list[dict[str, Any]]] = {name: [] for name in wells}
    for order, sheet in enumerate(sheets):
        # A line on the well itself goes before one in which it was merged.
        for row in sorted(_rows(sheet), key=lambda row: bool(row["MergedWells"])) if sheet.names else ():
            for name in row["Wells"]:
                said.get(name, []).append(row | {"Sheet": order})
    rows = [row for name, well in wells.items() for row in _sample_rows(well, said[name])]
    return pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS), dtype=object)


def _sample_rows(well: Well, said: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The rows of one well: each channel once for every target in it, then targets without a channel."""
    channels = well.channels or tuple(sorted({row["Channel"] for row in said} - {""})) or ("",)
    rows = []
    for channel in dict.fromkeys((*channels, "")):
        targets = [*dict.fromkeys(row["Target"] for row in said if row["Channel"] == channel and row["Target"])]
        for target in targets or ([""] if channel in channels else []):
            near, anywhere = _about(said, channel, target)
            kind = _first((row["SampleType"] for row in near), _PLAIN_TYPES) or ("Unknown" if near else "")
            sample = _first(row["Sample"] for row in anywhere)
            rows.append({"Well": well.name, "Channel": channel, "Target": target, "Sample": sample, "SampleType": kind})
    return rows


def _about(
    said: Sequence[Mapping[str, Any]], channel: str, target: str
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """What sheets say that holds for a target, and all they say of its well, by sheet and then by how near it is."""

    def distance(row: Mapping[str, Any]) -> int:
        if row["Channel"] == channel and row["Target"] in (target, ""):
            return 0
        return 2 if row["Channel"] else 1

    anywhere = sorted(said, key=lambda row: (row["Sheet"], distance(row)))
    return [row for row in anywhere if distance(row) < 2] or anywhere, anywhere


def _first(words: Iterable[str], empty: Sequence[str] = ("",)) -> str:
    return next((word for word in words if word not in empty), "")


def _instrument(sheets: Sequence[Sheet]) -> pd.DataFrame:
    """The results of all sheets, each row once."""
    import pandas as pd

    results = [sheet.printed for sheet in sheets if sheet.results]
    printed = pd.concat(results) if results else pd.DataFrame(columns=list(INSTRUMENT_COLUMNS), dtype=object)
    return to_numbers(printed.drop_duplicates(ignore_index=True))


def _table(problems: Sequence[Problem]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS), dtype=object)
