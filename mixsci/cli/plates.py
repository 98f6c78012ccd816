"""The commands on a plate of droplets: from a folder to concentrations and the files a lab takes away."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixsci.cli.console import (
    AsJson,
    OneLine,
    listed,
    note,
    progress_bar,
    say,
    say_json,
    show,
    table,
    warnings_as_notes,
)
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from mixsci.ddpcr.quantified import Quantification

#: A flag that more wells share is said once, with the first as an example.
_MOST_ALIKE = 3


class Interval(StrEnum):
    """How intervals are found."""

    profile = "profile"
    instrument = "instrument"
    exact = "exact"
    wilson = "wilson"


class Merge(StrEnum):
    """Which wells are one sample."""

    sample = "sample"


class QuantifyFirst(OneLine):
    """Commands of which the first may be left out: a folder in place of a command is quantified."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What is left of the arguments, the command put first where it is missing."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["quantify", *args]
        return super().parse_args(ctx, args)


def quantify(
    folder: Annotated[Path, typer.Argument(metavar="PLATE_DIR", help="Folder with the amplitude files of a plate.")],
    *,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder for results, droplets, pictures, report and model.")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="A sheet of samples that holds above those in PLATE_DIR.")
    ] = None,
    columns: Annotated[str, typer.Option(help="For tables of unknown origin, Ch1=FAM,Ch2=HEX,well=Position.")] = "",
    channels: Annotated[str, typer.Option(help="One or two channels to use, Ch1,Ch2; default: all.")] = "",
    targets: Annotated[str, typer.Option(help="Names, in the order of the channels: BRAF,RPP30.")] = "",
    ntc: Annotated[str, typer.Option(help="Wells without template, H05,F04; default: as the samples have it.")] = "",
    law: Annotated[
        str, typer.Option(help="auto, binary, poisson, multiplex:4, linked, or Ch1=binary,Ch2=multiplex:4.")
    ] = "auto",
    ci: Annotated[
        Interval, typer.Option(help="Intervals: profile allows for misclassified droplets, instrument is the vendor's.")
    ] = Interval.profile,
    level: Annotated[float, typer.Option(help="Level of confidence.")] = 0.95,
    volume: Annotated[float, typer.Option(help="Volume of a droplet, nL.")] = 0.85,
    volume_sd: Annotated[float, typer.Option(help="Its standard deviation, nL: widens intervals.")] = 0.0,
    droplet_cv: Annotated[float, typer.Option(help="Variation of volumes among droplets, 0.03 for 3 %.")] = 0.0,
    merge: Annotated[Merge | None, typer.Option(help="Add a row for the wells of each sample.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Target of known copies per genome: gives copy numbers.")
    ] = None,
    reference_copies: Annotated[float, typer.Option(help="Copies of the reference per genome.")] = 2.0,
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw the plate and every well.")] = True,
    as_json: AsJson = False,
) -> None:
    """Concentrations of every target in every well, with intervals and flags."""
    from mixsci.ddpcr.quantification import quantify as run
    from mixsci.ddpcr.read import read_plate

    plate = read_plate(folder, volume, columns=_pairs(columns, "--columns") or None, samples=samples)
    if out is not None:
        _keep_apart(folder, out)
        out.mkdir(parents=True, exist_ok=True)
    with warnings_as_notes(), progress_bar() as tell:
        found = run(
            plate, law, ntc=listed(ntc) or None, ci=ci.value, merge=merge and merge.value, targets=_names(targets),
            channels=listed(channels) or None, reference=reference, reference_copies=reference_copies, level=level,
            volume_sd_nl=volume_sd, droplet_cv=droplet_cv, progress=tell,
        )  # fmt: skip
        files = [] if out is None else found.write(out, pictures=pictures, progress=tell)
    if as_json:
        say_json(as_dict(found, files))
        return
    tell_all(found)
    if files:
        say(wrote(files, Path(out or "")))


def tell_all(found: Quantification) -> None:
    """Print the results, the assays behind them, and as notes what a person should look at."""
    show(results_table(found))
    say(assays_in_words(found))
    for sentence in _problems(found.plate.problems):
        note(sentence)
    for sentence in _flags(found.qc):
        note(sentence)


def assays_in_words(found: Quantification) -> str:
    """A line for each assay, its law, wells and controls, and one for the limits of each of its targets."""
    lines = []
    for assay in found.assays:
        controls = ", ".join(assay.group.controls) or "none"
        lines.append(f"{assay.name}: law {assay.law}, {len(assay.wells)} wells, controls {controls}")
        for target, limit in assay.limits.items():
            blank, detected = limit.per_ul(found.settings.volume_nl)
            lines.append(f"{target}: limit of blank {blank:.2g} copies/µL, limit of detection {detected:.2g}")
    return "\n".join(lines)


def results_table(found: Quantification, truth: Mapping[tuple[str, str], float] | None = None) -> Table:
    """One line per well and target: sample, copies/µL with the interval, positives of accepted droplets, flags.

    Args:
        found: a plate quantified.
        truth: (well, target) -> copies/µL, where it is known; shown beside what was found.
    """
    interval = f"{100 * found.settings.level:g} % interval"
    copies = found.results["CNV"].notna().any()
    head = ["well", "sample", "target", *(["truth"] if truth else []), "copies/µL", interval, "positives", "droplets"]
    head += [*(["copies", interval] if copies else []), "flags"]
    body = []
    for row in _rows(found.results):
        line = [row["Well"], _text(row["Sample"]) or _text(row["SampleType"]), _text(row["Target"])]
        line += [f"{truth.get((row['Well'], row['Target']), math.nan):.4g}"] if truth else []
        line += [*_rounded(row, "Concentration", "PoissonConf"), _count(row["Positives"])]
        line += [_count(row["AcceptedDroplets"]), *(_rounded(row, "CNV", "PoissonCNV") if copies else [])]
        body.append([*line, _text(row["QC"])])
    return table(head, body, left=("well", "sample", "target", "flags"))


def as_dict(found: Quantification, files: Sequence[Path]) -> dict[str, Any]:
    """Everything found, for JSON: what is not a finite number is null."""
    return {
        "droplet_volume_nl": found.settings.volume_nl,
        "ci": found.settings.ci,
        "level": found.settings.level,
        "assays": [
            {
                "targets": list(assay.targets),
                "channels": list(assay.group.channels),
                "law": assay.law,
                "wells": list(assay.wells),
                "controls": list(assay.group.controls),
            }
            for assay in found.assays
        ],
        "results": _records(found.results),
        "qc": _records(found.qc),
        "problems": _records(found.plate.problems),
        "files": [str(file) for file in files],
    }


def _keep_apart(folder: Path, out: Path) -> None:
    """Refuse to write where the droplets are read: results would be taken for sheets, droplets for those of a plate."""
    if folder.resolve() in (out.resolve(), (out / "droplets").resolve()):
        raise DataError(
            f"--out must not be the folder that is read, {folder}: name another, such as {folder / 'mixsci'}"
        )


def _names(text: str) -> list[str] | None:
    """Names in the order of the channels, from "VIM,4Plex" or "Ch1=VIM,Ch2=4Plex"."""
    if "=" not in text:
        return listed(text) or None
    return [name for _, name in sorted(_pairs(text, "--targets").items())]


def _pairs(text: str, option: str) -> dict[str, str]:
    parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in listed(text))]
    if not all(name and value for name, value in parts):
        raise DataError(f"{option} must have a name and a value in each part, such as Ch1=FAM,Ch2=HEX; got {text!r}")
    return dict(parts)


def _problems(problems: pd.DataFrame) -> Iterator[str]:
    for well, file, problem in zip(problems["Well"], problems["File"], problems["Problem"], strict=True):
        place = " ".join(part for part in (well, file) if part and part not in problem)
        yield f"{place}: {problem}" if place else problem


def _flags(qc: pd.DataFrame) -> Iterator[str]:
    """The flags in words: one line each, or one for many wells with the same."""
    wells: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for well, target, flag, reason in qc.itertuples(index=False):
        wells.setdefault((target, flag), []).append((well, reason))
    for (target, flag), said in wells.items():
        about = f"{flag} ({target})" if target else flag
        if len(said) > _MOST_ALIKE:
            yield f"{about} in {len(said)} wells, {said[0][0]} to {said[-1][0]}; in {said[0][0]}: {said[0][1]}"
        else:
            yield from (f"{about} in {well}: {reason}" for well, reason in said)


def _rounded(row: Mapping[str, Any], value: str, ends: str) -> list[str]:
    """A number and its interval, to two digits of the width of the interval."""
    from mixsci.ddpcr.concentrations import as_printed

    numbers = [row[value], row[f"{ends}Min"], row[f"{ends}Max"]]
    if any(number is None or math.isnan(number) for number in numbers):
        return ["", ""]
    middle, low, high = (f"{float(number):.6g}" for number in as_printed(*numbers))
    return [middle, f"{low} - {high}"]


def _count(number: Any) -> str:
    return "" if number is None or math.isnan(number) else f"{number:.0f}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _finite(value) for name, value in row.items()} for row in _rows(frame)]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _finite(value: Any) -> Any:
    """A plain value of JSON: None for what is missing or infinite, and Python's own numbers for NumPy's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def wrote(files: Sequence[Path], out: Path) -> str:
    """The files in words: those in the folder by name, those in folders below it by number."""
    names = [file.relative_to(out).as_posix() for file in files]
    alone = [name for name in names if "/" not in name]
    below = Counter(name.partition("/")[0] for name in names if "/" in name)
    return f"wrote {out}: {', '.join([*alone, *(f'{folder}/ ({n} files)' for folder, n in below.items())])}"
