"""A fit to stars as a folder of files: tables with units, a row for every star, pictures, a report, and the model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.stars.forecasts import forecast
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.memberships import membership
from mixsci.stars.report import as_html, draw
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from astropy.table import QTable, Table

Array = np.ndarray

#: Stars that are put into words at once.
_ROWS = 1 << 12
_PARTS = "part-{:04d}.ecsv"
#: What a fit may write besides, by name.
_WRITTEN = (
    *("components.ecsv", "ellipsoids.ecsv", "stars.ecsv", "dropped.csv", "model.json", "report.html", "corner.png"),
    *("membership.png", "purity.png", "calibration.png", "radial_velocities.png", "choices.png"),
)


def write(fit: VelocityFit, folder: str | Path, *, pictures: bool = True) -> list[Path]:
    """Everything an astronomer takes away; returns the files in the order they were written.

    `components.ecsv`, `ellipsoids.ecsv`, `stars.ecsv` (`star_rows`; of stars in blocks `stars/part-0000.ecsv` ..., one
    for each), `dropped.csv`, `model.json` (`mixsci.load` reads it), `corner.png` and, where there is something to show,
    `membership.png`, `purity.png`, `calibration.png`, `radial_velocities.png`, `choices.png`; `report.html`. Files of
    these names are replaced, parts of an earlier run are taken away, all else stays.

    Args:
        fit: what `deconvolve` or `fit_stream` gives.
        folder: made if it is not there.
        pictures: draw the pictures, and the report around them.

    Raises:
        OSError: a folder that cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    files = [_small(fit.to_table(), folder / "components.ecsv"), _small(fit.ellipsoids(), folder / "ellipsoids.ecsv")]
    files += _stars(fit, folder)
    files.append(_dropped(fit.kinematics.dropped, folder / "dropped.csv"))
    fit.fit.save(folder / "model.json")
    files.append(folder / "model.json")
    if pictures:
        files += _pages(fit, folder)
    return files


def star_rows(fit: VelocityFit, kin: Kinematics) -> QTable:
    """One row per star with all that the fit says of it.

    Columns: row, id, position; `p_member` and `log_bayes_factor` where the fit has members, `component`, `p_0` ...,
    `p_outlier` (see `membership`); for every dimension U `U_denoised` and `U_denoised_error`, `cov_U_V` for every pair;
    `radial_velocity_predicted`, its `_error`, and `radial_velocity_q16`, `_q50`, `_q84` where the space knows radial
    velocities (see `forecast`).

    Args:
        fit: what was found.
        kin: the stars.
    """
    table, own = membership(fit, kin), fit.denoised(kin)
    for name in fit.latent_names:
        table[f"{name}_denoised"], table[f"{name}_denoised_error"] = own[name], own[f"{name}_error"]
    for name in own.colnames:
        if name.startswith("cov_"):
            table[name] = own[name]
    if kin.space in _RADIAL:
        predicted = forecast(fit.mixture, kin)
        for name in predicted.colnames:
            if name.startswith(("radial_velocity", "q")):
                table[_named(name)] = predicted[name]
    table.meta = {"space": kin.space, "frame": kin.frame.label}
    return table


#: Spaces in which radial velocities can be predicted.
_RADIAL = ("uvw", "pm+rv")


def _named(name: str) -> str:
    """A column of a forecast, its name made to stand beside others."""
    if name.startswith("q"):
        return f"radial_velocity_{name}"
    return name.replace("radial_velocity", "radial_velocity_predicted")


def _small(table: Table, path: Path) -> Path:
    table.write(path, format="ascii.ecsv", overwrite=True)
    return path


def _clear(folder: Path) -> None:
    """Remove what an earlier fit left: its pictures and parts would be taken for those of this one."""
    for old in (*(folder / name for name in _WRITTEN), *(folder / "stars").glob("part-*.ecsv")):
        old.unlink(missing_ok=True)


def _stars(fit: VelocityFit, folder: Path) -> list[Path]:
    """A row for every star; a file for every block."""
    kin = fit.kinematics
    if isinstance(kin, Kinematics):
        return [write_rows(star_rows(fit, kin), folder / "stars.ecsv")]
    parts = folder / "stars"
    parts.mkdir(exist_ok=True)
    blocks = (stars for stars in kin.kinematics() if len(stars))
    return [write_rows(star_rows(fit, stars), parts / _PARTS.format(i)) for i, stars in enumerate(blocks)]


def write_rows(table: Table, path: Path) -> Path:
    """Write a long table as ECSV, numbers to ten digits; returns the path.

    What astropy's own writer gives, in a tenth of the time.

    Example:
        >>> import tempfile
        >>> from astropy import units as u
        >>> from astropy.table import QTable
        >>> table = QTable({"name": ["HD 1", "HD 2"], "U": [1.5, float("nan")] * u.km / u.s})
        >>> path = write_rows(table, Path(tempfile.mkdtemp()) / "stars.ecsv")
        >>> QTable.read(path)["U"]
        <Quantity [1.5, nan] km / s>
    """
    plain = table.copy(copy_data=False)
    for name in plain.colnames:
        if plain[name].dtype.kind in "OS":
            plain[name] = _texts(plain[name])
    head = io.StringIO()
    plain[:0].write(head, format="ascii.ecsv", delimiter=",")
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(head.getvalue().rstrip("\r\n").replace("\r\n", "\n") + "\n")
        file.writelines(_lines([_cells(plain[name]) for name in plain.colnames], len(plain)))
    return path


def _texts(column: Any) -> Any:
    """A column as text, what is masked left so."""
    from astropy.table import MaskedColumn

    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in np.asarray(column)]
    mask = getattr(column, "mask", None)
    return texts if mask is None else MaskedColumn(texts, mask=mask)


def _cells(column: Any) -> tuple[str, Array]:
    """How a value of a column is written, and the values, (n,)."""
    values, mask = np.asarray(getattr(column, "value", column)), getattr(column, "mask", None)
    if mask is None and values.dtype.kind in _FORMATS:
        return _FORMATS[values.dtype.kind], values
    texts = [_quoted(str(value)) for value in values.tolist()]
    return "%s", np.where(np.zeros(len(texts), dtype=bool) if mask is None else mask, "", np.array(texts, dtype=object))


#: Kind of numbers -> how they are written.
_FORMATS = {"f": "%.10g", "i": "%d", "u": "%d"}


def _quoted(text: str) -> str:
    """A text in quotes, on one line."""
    return '"{}"'.format(" ".join(text.splitlines()).replace('"', '""'))


def _lines(columns: Sequence[tuple[str, Array]], n: int) -> Iterator[str]:
    """The rows as text, many at once: one format for all is what makes it fast."""
    line = ",".join(form for form, _ in columns) + "\n"
    for start in range(0, n, _ROWS):
        values = [column[start : start + _ROWS].tolist() for _, column in columns]
        yield line * len(values[0]) % tuple(chain.from_iterable(zip(*values, strict=True)))


def _dropped(table: Table, path: Path) -> Path:
    """What was left out, and why."""
    table.write(path, format="ascii.csv", overwrite=True)
    return path


def _pages(fit: VelocityFit, folder: Path) -> list[Path]:
    """The pictures, and the page around them."""
    drawn = draw(fit)
    for name, png in drawn.items():
        (folder / f"{name}.png").write_bytes(png)
    page = folder / "report.html"
    page.write_text(as_html(fit, pictures=drawn), encoding="utf-8", newline="\n")
    return [*(folder / f"{name}.png" for name in drawn), page]
