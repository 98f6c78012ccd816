"""The command that shows it all on simulated inputs whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixsci.cli.catalogues import (
    Counted,
    as_dict as stream_as_dict,
    counted_members,
    described,
    plain,
    rounded,
    stars_in,
    stream_in_words,
)
from mixsci.cli.console import AsJson, progress_bar, say, say_json, show, table, warnings_as_notes
from mixsci.cli.matrices import (
    as_dict as cells_as_dict,
    clusters_shown,
    described as cells_described,
    follow_up,
    written,
)
from mixsci.cli.plates import as_dict as plate_as_dict, assays_in_words, results_table, wrote

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from mixsci.ddpcr.quantified import Quantification
    from mixsci.stars.simulate import SimulatedStream
    from mixsci.stars.streams import StreamFit


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("mixsci-demo"),
    *,
    as_json: AsJson = False,
) -> None:
    """Find a simulated stream of stars, cluster simulated cells with gaps, quantify a simulated plate of droplets."""
    made, stream, counted, star_files = _stars(out / "stars")
    if not as_json:
        _tell_stars(made, stream, counted)
        say(wrote(star_files, out / "stars"))
    clustered, cell_files = _cells(out / "cells")
    if not as_json:
        _tell_cells(clustered)
        say(wrote(cell_files, out / "cells"))
    truth, found, plate_files = _droplets(out / "ddpcr")
    if as_json:
        say_json({
            "stars": stream_as_dict(stream, counted, star_files) | {"truth": dict(_truth(made, stream))},
            "cells": cells_as_dict(clustered, "mixture", "cells.h5ad", cell_files) | {"truth": _cell_truth(clustered)},
            "ddpcr": plate_as_dict(found, plate_files),
        })  # fmt: skip
    else:
        _tell_droplets(truth, found, plate_files, out / "ddpcr")


def _stars(folder: Path) -> tuple[SimulatedStream, StreamFit, Counted, list[Path]]:
    """A simulated catalogue, what was found in its file, what is in it, and the files."""
    from mixsci.stars.simulate import small_catalogue
    from mixsci.stars.streams import fit_stream

    folder.mkdir(parents=True, exist_ok=True)
    made = small_catalogue(rng=1)
    path = made.write(folder / "catalogue.ecsv")
    kin, counted = stars_in(path, frame="GD1")
    with warnings_as_notes():
        found = fit_stream(kin)
        files = found.write(folder)
    return made, found, counted, [path, *files]


def _truth(made: SimulatedStream, found: StreamFit) -> Iterator[tuple[str, float]]:
    """What was drawn, for every number that is shown: of the stars on the track, in % and mas/yr."""
    stars = found.membership()
    own = made.truth["population"][stars["row"]] == "stream"
    taken = stars["p_member"] >= counted_members(found)["threshold"]
    yield "weight", 100.0 * float(own.mean())
    for j, name in enumerate(found.latent_names):
        yield name, float(made.mean[j])
        yield f"sigma_{name}", float(made.covariance[j, j] ** 0.5)
    yield "purity", 100.0 * float(own[taken].mean())
    yield "completeness", 100.0 * float(taken[own].mean())


def _tell_stars(made: SimulatedStream, found: StreamFit, counted: Counted) -> None:
    say(f"A simulated stream of stars before disc and halo; {described(found, counted)}")
    say("\nProper motions (mas/yr) of the stream, errors of measurement taken out, and its members:")
    show(_beside(dict(_truth(made, found)), found))
    for line in stream_in_words(found):
        say(line)


def _beside(truth: dict[str, float], found: StreamFit) -> Table:
    """Truth beside what was found, with its standard error."""
    row, members = found.to_table()[0], counted_members(found)
    shown = {"weight": "share on the track [%]", "purity": "purity [%]", "completeness": "completeness [%]"}
    body = []
    for name, true in truth.items():
        if name in members:
            value = f"{100 * members[name]:.1f}"
        else:
            scale = 100.0 if name == "weight" else 1.0
            value = rounded(*(scale * plain(row[column]) for column in (name, f"{name}_error")))
        body.append([shown.get(name, name.replace("sigma_", "σ ")), f"{true:.3g}", value])
    return table(["", "truth", "found"], body, left=[""])


def _cells(folder: Path) -> tuple[Any, list[Path]]:
    """Simulated cells, clustered from their file, and the files."""
    from mixsci import cells
    from mixsci.cells.simulate import small_cells

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cells.h5ad"
    small_cells(rng=1).write_h5ad(path)
    with warnings_as_notes():
        adata = cells.read(path)
        cells.pp.missingness(adata, groupby="batch")
        cells.tl.mixture(adata, range(3, 6), covariance="factor_tied", batch="batch", rng=0)
        follow_up(adata, "mixture", impute=True, held_out=True, seed=0)
        files = written(adata, "mixture", folder / "clustered.h5ad", folder, title="Simulated cells")
    return adata, [path, *files]


def _cell_truth(adata: Any) -> dict[str, Any]:
    """What was drawn: shares of the types, and how far clusters and filled gaps agree with the truth."""
    import numpy as np

    from mixsci import cells

    shares = adata.obs["cell_type"].value_counts(normalize=True, sort=False)
    gaps, true = np.isnan(adata.X), adata.layers["complete"]
    left = (adata.layers["mixture_imputed"] - true)[gaps]
    return {
        "shares": {str(name): float(share) for name, share in shares.items()},
        "agreement": cells.agreement(adata.obs["mixture"], adata.obs["cell_type"]),
        "filled_r2": float(1.0 - (left**2).sum() / ((true - np.nanmean(adata.X, axis=0))[gaps] ** 2).sum()),
    }


def _tell_cells(adata: Any) -> None:
    truth = _cell_truth(adata)
    kinds = [
        str(adata.obs.loc[adata.obs["mixture"] == name, "cell_type"].mode().iloc[0])
        for name in adata.obs["mixture"].cat.categories
    ]
    say(f"\nSimulated cells of four types in two batches; {cells_described(adata, 'mixture')}")
    extra = {"mostly": kinds, "truth [%]": [f"{100 * truth['shares'][kind]:.1f}" for kind in kinds]}
    show(clusters_shown(adata, "mixture", extra))
    say(f"{adata.uns['mixture']['verdict']}")
    say(f"agreement with the truth (adjusted Rand index): {truth['agreement']:.2f}")
    say(f"gaps filled: R² beside the truth {truth['filled_r2']:.2f}, where means of the variables have 0")


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
