"""A quantified plate as a folder of files: tables, droplets, pictures, a report, and the models behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixsci.ddpcr import dmiqe, plot
from mixsci.ddpcr.calls import Calls
from mixsci.ddpcr.formats.quantasoft import write_quantasoft
from mixsci.ddpcr.portrait import Portrait, portrait, wells_of
from mixsci.ddpcr.report import report
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import Quantification

Progress = Callable[[str, int, int], None]

#: Programs of tables take text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COUNTS = (
    *("Positives", "Negatives", "Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-", "AcceptedDroplets", "Outliers"),
    *("ReferenceAssayNumber", "TargetAssayNumber", "PositivesInstrument"),
)


def write(
    q: Quantification, folder: str | Path, *, pictures: bool = True, progress: Progress | None = None
) -> list[Path]:
    """Everything a lab takes away; returns the files in the order they were written.

    `results.csv`, `qc.csv`, `dmiqe.csv`, `model.json` (`model-1.json` ... where there are several assays; `mixsci.load`
    reads them), `droplets/A01_Amplitude.csv` ... (`read_plate` reads them), `wells/A01.png` ..., `plate.png`,
    `report.html`. Files of these names are replaced, all others stay.

    In the tables, text that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        q: a quantified plate.
        folder: made if it is not there.
        pictures: draw the plate and the wells, and the report around them.
        progress: told (what, done, all).

    Raises:
        DataError: the folder the droplets were read from, whose files would be replaced.
        OSError: a folder that cannot be written.
    """
    folder = Path(folder)
    _keep_apart(q, folder)
    for part in (folder, folder / "droplets", *([folder / "wells"] if pictures else [])):
        part.mkdir(parents=True, exist_ok=True)
    files = [*_tables(q, folder), *_models(q, folder)]
    names, portraits, drawn = wells_of(q), {}, {}
    for done, name in enumerate(names):
        _tell(progress, "writing wells", done, len(names))
        found = q.calls(name)
        files.append(_droplets(q, name, found, folder / "droplets"))
        if pictures:
            portraits[name] = portrait(q, name, found)
            drawn[name] = plot.well_picture(portraits[name])
            files.append(_bytes(folder / "wells" / f"{name}.png", drawn[name]))
    if pictures:
        _tell(progress, "writing the report", len(names), len(names))
        files += _pages(q, folder, portraits, drawn)
    return files


def _keep_apart(q: Quantification, folder: Path) -> None:
    """Refuse to write among files that were read: droplets would be replaced, results taken for the instrument's."""
    read = {well.source.resolve().parent for well in q.plate.wells.values() if well.source is not None}
    if {folder.resolve(), (folder / "droplets").resolve()} & read:
        raise DataError(f"results must not be written where the droplets were read, {folder}: name another folder")


def _tables(q: Quantification, folder: Path) -> list[Path]:
    tables = {"results.csv": q.results, "qc.csv": q.qc, "dmiqe.csv": dmiqe.table(q)}
    for name, table in tables.items():
        _counted(safe(table)).to_csv(folder / name, index=False, lineterminator="\n")
    return [folder / name for name in tables]


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with counts as whole numbers, which one missing among them would make floating."""
    import pandas as pd

    counts = {name: pd.to_numeric(table[name]) for name in _COUNTS if name in table}
    return table.assign(
        **{name: held.astype("Int64") for name, held in counts.items() if (held.dropna() % 1 == 0).all()}
    )


def safe(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before text that a spreadsheet would take for a formula; numbers as they are.

    Example:
        >>> import pandas as pd
        >>> from mixsci.ddpcr.write import safe
        >>> safe(pd.DataFrame({"Sample": ["-RT", "liver"], "Change": [-1.5, 2.0]}))
          Sample  Change
        0   '-RT    -1.5
        1  liver     2.0
    """
    words = [name for name in table if table[name].dtype == object or str(table[name].dtype).startswith("str")]
    return table.assign(**{str(name): table[name].map(_safe) for name in words})


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _models(q: Quantification, folder: Path) -> list[Path]:
    names = ["model.json"] if len(q.assays) == 1 else [f"model-{i + 1}.json" for i in range(len(q.assays))]
    for name, assay in zip(names, q.assays, strict=True):
        assay.fit.fit.save(folder / name)
    return [folder / name for name in names]


def _droplets(q: Quantification, name: str, found: Calls, folder: Path) -> Path:
    """The droplets of a well as QuantaSoft exports them, with our clusters and the probability of each target."""
    file, assay = q.plate.wells[name], q.assay_of(name)
    probabilities = {_header(f"P({target})"): found.positive[:, t] for t, target in enumerate(assay.targets)}
    probabilities["P(outlier)"] = found.outlier
    path = folder / f"{name}_Amplitude.csv"
    write_quantasoft(path, file.amplitudes, found.clusters(), probabilities, channels=file.channels)
    return path


def _header(name: str) -> str:
    """The name of a column on one line, in quotes where it needs them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([" ".join(name.split())])
    return line.getvalue()


def _pages(q: Quantification, folder: Path, portraits: dict[str, Portrait], drawn: dict[str, bytes]) -> list[Path]:
    plate = _bytes(folder / "plate.png", plot.plate_picture(q))
    return [plate, report(q, folder / "report.html", portraits=portraits, pictures=drawn)]


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
