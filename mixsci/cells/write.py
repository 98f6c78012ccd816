"""A clustering as a folder of files: tables, pictures, a report, and the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mixsci.cells.annotations import refuse_others
from mixsci.cells.report import as_html, draw
from mixsci.cells.results import load
from mixsci.cells.tabulated import (
    cells_table,
    choices_table,
    clusters_table,
    gaps_table,
    markers_table,
    means_table,
)

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: What may be written, by name; those of an earlier fit would be taken for those of this one.
_TABLES = ("clusters", "cells", "means", "markers", "choices", "missingness")
_PICTURES = ("clusters", "markers", "pair", "proba", "entropy", "choices", "missingness", "intensity", "held_out")


def write_report(
    adata: AnnData, folder: str | Path, key: str = "mixture", *, title: str = "", pictures: bool = True
) -> list[Path]:
    """Everything about a clustering to look at and to send; returns the files in the order they were written.

    `clusters.csv`, `cells.csv`, `means.csv`, `choices.csv`, with `tl.rank_markers(key_added=f"{key}_markers")` also
    `markers.csv`, with `pp.missingness` `missingness.csv`; `model.json` (`mixsci.load` reads it); pictures, and
    `report.html` around them: with `tl.held_out` it says how hidden values are foretold. Files of these names are
    replaced or taken away, all else stays.

    Args:
        adata: with the results of `tl.mixture`.
        folder: made if it is not there.
        key: name of the results.
        title: of the report; "" = how many clusters of how many cells.
        pictures: draw the pictures, and the report around them.

    Raises:
        DataError: no such results.
        OSError: a folder that cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(100, 5, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> with TemporaryDirectory() as folder:
        ...     print(*(path.name for path in cells.write_report(adata, folder, pictures=False)))
        clusters.csv cells.csv means.csv choices.csv model.json
    """
    refuse_others(adata)
    fit, folder = load(adata, key), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (
        *(f"{name}.csv" for name in _TABLES),
        *(f"{name}.png" for name in _PICTURES),
        "model.json",
        "report.html",
    ):
        (folder / name).unlink(missing_ok=True)
    files = [_table(frame, folder / f"{name}.csv") for name, frame in tables_of(adata, key).items()]
    fit.save(folder / "model.json")
    files.append(folder / "model.json")
    return files + (_pages(adata, key, folder, title) if pictures else [])


def tables_of(adata: AnnData, key: str = "mixture") -> dict[str, pd.DataFrame]:
    """Name of a table -> the table, for all there are."""
    found = {
        "clusters": clusters_table(adata, key), "cells": cells_table(adata, key), "means": means_table(adata, key),
        "choices": choices_table(adata, key),
    }  # fmt: skip
    if f"{key}_markers" in adata.uns:
        found["markers"] = markers_table(adata, f"{key}_markers")
    if "use_rep" not in adata.uns[key]["params"] and "missingness" in adata.var:
        found["missingness"] = gaps_table(adata)
    return found


def _table(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, float_format="%.10g", index=frame.index.name is not None or frame.index.nlevels > 1)
    return path


def _pages(adata: AnnData, key: str, folder: Path, title: str) -> list[Path]:
    """The pictures, and the page around them."""
    drawn = draw(adata, key)
    for name, png in drawn.items():
        (folder / f"{name}.png").write_bytes(png)
    page = folder / "report.html"
    page.write_text(as_html(adata, key, title=title, pictures=drawn), encoding="utf-8", newline="\n")
    return [*(folder / f"{name}.png" for name in drawn), page]
