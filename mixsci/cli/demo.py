"""The command that shows it all on simulated inputs whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixsci.cli.console import AsJson, progress_bar, say, say_json, show, warnings_as_notes
from mixsci.cli.plates import as_dict as plate_as_dict, assays_in_words, results_table, wrote
from mixsci.cli.tables import climb, components_table, described, tell, written

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import Quantification
    from mixsci.engine.em.result import Fit
    from mixsci.engine.observations import Observations


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("mixsci-demo"),
    *,
    as_json: AsJson = False,
) -> None:
    """Deconvolve simulated stars and quantify a simulated plate of droplets: tables, pictures, models and reports."""
    from mixsci.report import as_dict

    obs, fit, star_files = _stars(out / "stars")
    if not as_json:
        _tell_stars(obs, fit, star_files)
    truth, found, plate_files = _droplets(out / "ddpcr")
    if as_json:
        say_json({"stars": as_dict(fit), "ddpcr": plate_as_dict(found, plate_files)})
    else:
        _tell_droplets(truth, found, plate_files, out / "ddpcr")


def _stars(folder: Path) -> tuple[Observations, Fit, list[Path]]:
    """The rows of a simulated catalogue, what was fitted to them, and the files."""
    from mixsci import simulate, tables
    from mixsci.engine.model.model import Model

    folder.mkdir(parents=True, exist_ok=True)
    stars = simulate.star_catalogue(1000, rng=1)
    stars.to_csv(folder / "stars.csv", index=False)
    choice = tables.choose(stars, simulate.STAR_COLUMNS, [f"{name}_error" for name in simulate.STAR_COLUMNS])
    obs = tables.observe(stars, choice)
    fit = climb(Model(len(simulate.STAR_POPULATIONS)), obs, starts=10, seed=0)
    files = written(fit, obs, folder, title="Simulated stars: a stream before disc and halo")
    return obs, fit, [folder / "stars.csv", *files]


def _tell_stars(obs: Observations, fit: Fit, files: list[Path]) -> None:
    from mixsci import simulate

    say(f"A simulated catalogue of a stream before disc and halo: {described(obs, errors=True)}")
    say("\nDrawn from (pmra and pmdec in mas/yr, vlos in km/s):")
    show(components_table(simulate.STARS, simulate.STAR_COLUMNS, simulate.STAR_POPULATIONS))
    say("\nFound, with the errors taken out and the gaps integrated out:")
    tell(fit, files)


def _droplets(folder: Path) -> tuple[pd.DataFrame, Quantification, list[Path]]:
    """The truth of a simulated plate, what was found in its files, and the files."""
    from mixsci.ddpcr.quantification import quantify
    from mixsci.ddpcr.read import read_plate
    from mixsci.ddpcr.simulate import small_plate

    made = small_plate(rng=1)
    plate = read_plate(made.write(folder / "plate"))
    with warnings_as_notes(), progress_bar() as progress:
        found = quantify(plate, progress=progress)
        files = found.write(folder, progress=progress)
    return made.truth, found, files


def _tell_droplets(truth: pd.DataFrame, found: Quantification, files: list[Path], folder: Path) -> None:
    say("\nA simulated plate of droplets, a mutant beside its wild type, and two controls without template:")
    known = zip(truth["Well"], truth["Target"], truth["Concentration"], strict=True)
    show(results_table(found, {(well, target): value for well, target, value in known}))
    say(assays_in_words(found))
    say(wrote(files, folder))
