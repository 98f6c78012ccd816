"""The commands that write simulated data whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixsci.cli.console import Seed, listed, say
from mixsci.errors import DataError

Catalogue = Annotated[Path, typer.Option("-o", "--out", help="File to write: .ecsv, .csv, .fits or .vot.")]
#: What the catalogue of the demo is like.
_SMALL: dict[str, Any] = {"n": 1200, "fraction": 0.08}


def stars(
    out: Annotated[Path, typer.Option("-o", "--out", help="CSV file to write.")],
    *,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="Number of stars.")] = 1000,
    seed: Seed = 1,
) -> None:
    """A plain table of stars with errors and gaps, as CSV, with the population of each star."""
    from mixsci.simulate import star_catalogue

    star_catalogue(rows, rng=seed).to_csv(out, index=False)
    say(f"wrote {out}: {rows} stars")


def stream(
    out: Catalogue,
    *,
    rows: Annotated[int | None, typer.Option("-n", "--rows", min=1, help="Number of stars: 1200.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Share of the stream: 0.08.")] = None,
    frame: Annotated[str | None, typer.Option(help="Frame with the stream on its equator: GD1.")] = None,
    contrast: Annotated[float | None, typer.Option(help="How far it stands from the field: 1.")] = None,
    seed: Seed = 1,
) -> None:
    """A catalogue as Gaia's with a cold stream before disc and halo; without options the one of the demo."""
    from mixsci.stars.simulate import simulate_stream, small_catalogue

    asked = {"n": rows, "fraction": fraction, "frame": frame, "contrast": contrast}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    made = simulate_stream(**(_SMALL | given), rng=seed) if given else small_catalogue(rng=seed)
    made.write(out)
    own = int((made.truth["population"] == "stream").sum())
    say(f"wrote {out}: {len(made.table)} stars, {own} of a stream, the population of each in the last column")


def disc(
    out: Catalogue,
    *,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="Number of stars.")] = 10_000,
    without_velocity: Annotated[float, typer.Option(help="Share without a radial velocity; the faintest.")] = 0.95,
    seed: Seed = 1,
) -> None:
    """A catalogue as Gaia's of stars around the Sun, velocities from a disc and moving groups."""
    from mixsci.stars.simulate import simulate_disc

    made = simulate_disc(rows, without_velocity=without_velocity, rng=seed)
    made.write(out)
    known = rows - round(without_velocity * rows)
    say(f"wrote {out}: {rows} stars, {known} with a radial velocity, the component of each in the last column")


def cells(
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write: .h5ad.")],
    *,
    rows: Annotated[int | None, typer.Option("-n", "--cells", min=1, help="Number of cells: 500.")] = None,
    variables: Annotated[int | None, typer.Option("--vars", min=1, help="Number of variables: 30.")] = None,
    types: Annotated[int | None, typer.Option(min=1, help="Number of cell types: 4.")] = None,
    factors: Annotated[int | None, typer.Option(min=1, help="Factors the types differ in; all variables.")] = None,
    missing: Annotated[float | None, typer.Option(help="Share of values that are missing: 0.2.")] = None,
    not_at_random: Annotated[
        float | None, typer.Option(help="How much likelier low values are missing, in log odds per sd: 0.")
    ] = None,
    batches: Annotated[int | None, typer.Option(min=1, help="Number of batches: 1.")] = None,
    batch_effect: Annotated[float | None, typer.Option(help="Standard deviation of their shifts: 1.")] = None,
    separation: Annotated[float | None, typer.Option(help="Distance of the closest types, in sd: 6.")] = None,
    seed: Seed = 1,
) -> None:
    """Cells of several types with gaps, as an AnnData with its truth; without options the one of the demo."""
    from mixsci.cells.simulate import simulate_cells, small_cells

    if out.suffix != ".h5ad":
        raise DataError(f"--out must end in .h5ad; got {out}")
    asked = {
        "n_cells": rows, "n_vars": variables, "n_types": types, "n_factors": factors, "missing": missing,
        "not_at_random": not_at_random, "batches": batches, "batch_effect": batch_effect, "separation": separation,
    }  # fmt: skip
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    made = simulate_cells(**given, rng=seed) if given else small_cells(rng=seed)
    made.write_h5ad(out)
    say(f"wrote {out}: {made.n_obs} cells, {made.n_vars} variables, the type of each cell in obs cell_type")


def ddpcr(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    *,
    rates: Annotated[
        list[str] | None,
        typer.Option(help="Copies per droplet in each well, 0.002,0.02,0.2; once for each target, up to three times."),
    ] = None,
    droplets: Annotated[int | None, typer.Option(min=1, help="Droplets in a well, with --rates: 16000.")] = None,
    controls: Annotated[int | None, typer.Option(min=0, help="Wells without template, with --rates: 4.")] = None,
    rain: Annotated[float | None, typer.Option(help="Share of rain, with --rates: 0.02.")] = None,
    seed: Seed = 1,
) -> None:
    """A ddPCR plate as the instrument exports it, with its truth; without --rates a mutant beside its wild type."""
    from mixsci.ddpcr.simulate import simulate_plate, small_plate

    asked = {"n_droplets": droplets, "controls": controls, "rain": rain}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if given and not rates:
        raise typer.BadParameter("--droplets, --controls and --rain go with --rates: give the copies per droplet too")
    made = simulate_plate(_rates(rates), rng=seed, **given) if rates else small_plate(rng=seed)
    made.write(out)
    say(f"wrote {out}: {len(made.plate.wells)} wells, {sum(map(len, made.plate.wells.values()))} droplets")


def _rates(texts: list[str]) -> dict[str, list[float]] | list[float]:
    """Copies per droplet of each target; one number holds for every well."""
    numbers = [[_number(part) for part in listed(text)] for text in texts]
    if len(numbers) == 1:
        return numbers[0]
    return {f"Target {t + 1}": column for t, column in enumerate(numbers)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"--rates must hold numbers such as 0.002,0.02,0.2; got {text!r}") from None
