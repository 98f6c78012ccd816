"""The command on a matrix of cells: from a file with gaps to one with clusters, and what a biologist takes away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixsci.cli.console import AsJson, Seed, listed, numbers_of, say, say_json, show, table, warnings_as_notes
from mixsci.cli.plates import wrote
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

#: Markers that are named beside a cluster.
_MARKERS = 4


class Zeros(StrEnum):
    """What a zero is."""

    value = "value"
    missing = "missing"


def about() -> None:
    """A group of commands, though there is one: `mixsci cells cluster`."""


def cluster(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Cells: .h5ad, or a table with a row for every cell.")],
    *,
    components: Annotated[
        str, typer.Option("-k", "--components", help="Number of clusters: 4, or 2-6 to choose by BIC.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, .h5ad: the cells and all results.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for tables, pictures, report and model.")] = None,
    layer: Annotated[str, typer.Option(help="Whose values; default: X.")] = "",
    use_rep: Annotated[str, typer.Option(help="Instead of variables, a representation in obsm: X_pca.")] = "",
    mask_var: Annotated[str, typer.Option(help="Column of var, True for the variables to use.")] = "",
    min_values: Annotated[
        int | None, typer.Option(min=1, help="Leave out variables with fewer values, and those that never vary.")
    ] = None,
    batch: Annotated[
        str, typer.Option(help="Column of obs with batches: they shift variables and have shares of their own.")
    ] = "",
    noise_layer: Annotated[str, typer.Option(help="Layer with the standard error of every value.")] = "",
    weights: Annotated[str, typer.Option(help="Column of obs with weights of the cells.")] = "",
    zeros: Annotated[Zeros, typer.Option(help="What a zero is.")] = Zeros.value,
    covariance: Annotated[
        str, typer.Option(help="auto, or one or several of full, scaled, tied, diag, factor ...")
    ] = "auto",
    n_factors: Annotated[int | None, typer.Option(min=1, help="Number of factors; default: chosen by BIC.")] = None,
    prior: Annotated[bool, typer.Option("--prior/--no-prior", help="Weakly informative, free of units.")] = True,
    starts: Annotated[int | None, typer.Option(min=1, help="Starts of which the best goes on: 10.")] = None,
    impute: Annotated[bool, typer.Option("--impute", help="Add layers with gaps filled, and how surely.")] = False,
    key: Annotated[str, typer.Option(help="Name of the results.")] = "mixture",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Cluster cells with missing values; how many clusters, how surely each cell belongs, and what marks them."""
    from mixsci import cells

    numbers = numbers_of(components)
    _keep_apart(path, out, report)
    with warnings_as_notes():
        adata = cells.read(path, labels=_labels_of(path, batch, weights))
        _prepare(adata, layer=layer or None, use_rep=use_rep, batch=batch or None, min_values=min_values)
        cells.tl.mixture(
            adata, numbers[0] if len(numbers) == 1 else numbers, layer=layer or None, use_rep=use_rep or None,
            mask_var=mask_var or None, covariance=listed(covariance), n_factors=n_factors,
            noise_layer=noise_layer or None, weights=weights or None, batch=batch or None, zeros=zeros.value,
            prior=True if prior else None, starts=starts, key_added=key, rng=seed,
        )  # fmt: skip
        _refuse_useless(adata, key)
        follow_up(adata, key, impute=impute, held_out=report is not None, seed=seed)
        files = written(adata, key, out, report, title=path.name)
    if as_json:
        say_json(as_dict(adata, key, path.name, files))
    else:
        tell(adata, key, path.name)
        _tell_files(files, out, report)
    if str(adata.uns[key]["outcome"]) == "INTERRUPTED":
        raise typer.Exit(1)


# --- the cells -------------------------------------------------------------------------------------------------------


def _keep_apart(path: Path, out: Path | None, report: Path | None) -> None:
    """Refuse to write over what is read, or into files of another kind."""
    if out is not None and out.suffix.lower() != ".h5ad":
        raise DataError(f"--out must end in .h5ad; got {out}")
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise DataError(f"--out must not be the file that is read, {path}: name another")
    if out is not None and not out.parent.is_dir():
        raise DataError(f"--out must lie in a folder that is there; got {out}")
    if report is not None and report.exists() and not report.is_dir():
        raise DataError(f"--report must be a folder; {report} is a file")


def _labels_of(path: Path, *columns: str) -> list[str]:
    """Columns that are no variables although they may hold numbers; an AnnData keeps them apart itself."""
    return [] if path.suffix.lower() == ".h5ad" else [name for name in columns if name]


def _prepare(adata: Any, *, layer: str | None, use_rep: str, batch: str | None, min_values: int | None) -> None:
    """Leave out variables with too few values, and look at the gaps."""
    from mixsci import cells
    from mixsci.cells.annotations import labels_of

    if batch is not None:
        labels_of(adata, batch, "batch")
    if min_values is not None:
        cells.pp.filter_missing(adata, min_values=min_values, layer=layer)
    if not use_rep:
        cells.pp.missingness(adata, layer=layer, groupby=batch)


def _refuse_useless(adata: Any, key: str) -> None:
    from mixsci.engine.em.state import Outcome

    outcome = Outcome[str(adata.uns[key]["outcome"])]
    if outcome in (Outcome.COLLAPSED, Outcome.NOT_FINITE):
        raise DataError(outcome.value)


def follow_up(adata: Any, key: str, *, impute: bool, held_out: bool, seed: int) -> None:
    """What follows from clusters: their markers, gaps filled, hidden values foretold, where that is asked for."""
    from mixsci import cells

    params = adata.uns[key]["params"]
    if params["n_components"] > 1 and "use_rep" not in params:
        cells.tl.rank_markers(adata, key, layer=params.get("layer"), key_added=f"{key}_markers")
    if impute:
        cells.tl.impute(adata, key)
    if held_out:
        cells.tl.held_out(adata, key, rng=seed)


def written(adata: Any, key: str, out: Path | None, report: Path | None, *, title: str) -> list[Path]:
    """The files of a clustering, where they are asked for."""
    from mixsci import cells

    files = [] if report is None else cells.write_report(adata, report, key, title=title)
    if out is not None:
        adata.write_h5ad(out)
        files = [out, *files]
    return files


# --- what was found --------------------------------------------------------------------------------------------------


def tell(adata: Any, key: str, name: str) -> None:
    """Print the clusters, what BIC says of their number, and how the fit ended."""
    from mixsci import cells
    from mixsci.cells.tabulated import choices_table

    entry, fit = adata.uns[key], cells.load(adata, key)
    say(f"{name}: {described(adata, key)}")
    show(clusters_shown(adata, key))
    choices = choices_table(adata, key)
    if len(choices) > 1:
        say("\nFits that were compared (BIC as seen chooses the covariance, BIC the number of clusters):")
        show(_choices_shown(choices))
    say(f"\n{entry['verdict']}")
    say(f"{fit.outcome.value} ({fit.n_iter} pass{'es' * (fit.n_iter != 1)})")
    say(f"log-likelihood {fit.log_likelihood:.4f}, {fit.n_free} free parameters, BIC {fit.bic:.2f}")


def _tell_files(files: Sequence[Path], out: Path | None, report: Path | None) -> None:
    if out is not None:
        say(f"wrote {out}")
    if report is not None:
        say(wrote([file for file in files if file != out], report))


def described(adata: Any, key: str) -> str:
    """The cells in words: how many, of which values, what is missing."""
    entry = adata.uns[key]
    n, d = adata.n_obs, len(entry["names"])
    words = f"{n} cells, {d} variables of {entry['input']}"
    said = []
    if "use_rep" not in entry["params"]:
        share = float(adata.var.loc[entry["names"], "missingness"].mean())
        said = [f"{100 * share:.1f} % missing"] if share else ["none missing"]
    said += [f"{len(entry['batches'])} batches"] if "batches" in entry else []
    empty = n - int(entry["n_seen"])
    said += [f"{empty} without a value, in no cluster"] if empty else []
    return f"{words} ({', '.join(said)})" if said else words


def clusters_shown(adata: Any, key: str, extra: Mapping[str, Sequence[str]] | None = None) -> Table:
    """One line per cluster: share, cells, how surely they belong, and what marks it.

    Args:
        adata: with clusters.
        key: their name.
        extra: more columns, by their heads.
    """
    from mixsci.cells.tabulated import clusters_table

    found, marks = clusters_table(adata, key), markers_of(adata, key)
    head = ["cluster", *(extra or {}), "share [%]", "cells", "mean probability", *(["marked by"] if marks else [])]
    body = []
    for i, (name, row) in enumerate(found.iterrows()):
        line = [str(name), *(column[i] for column in (extra or {}).values())]
        line += [f"{100 * row['weight']:.1f}", f"{row['n_cells']:.0f}", _number(row["mean_prob"], ".3f")]
        body.append([*line, *([", ".join(marks.get(str(name), ()))] if marks else [])])
    return table(head, body, left=[*head[:1], *(extra or {}), "marked by"])


def markers_of(adata: Any, key: str) -> dict[str, list[str]]:
    """The first markers of every cluster with their effects, in standard deviations: "CD3 +2.1"."""
    from mixsci.cells.tabulated import markers_table

    if f"{key}_markers" not in adata.uns:
        return {}
    lines = markers_table(adata, f"{key}_markers").groupby(level="cluster", sort=False).head(_MARKERS).reset_index()
    found: dict[str, list[str]] = {}
    for name, variable, effect in zip(lines["cluster"], lines["variable"], lines["effects"], strict=True):
        found.setdefault(str(name), []).append(f"{variable} {effect:+.1f}")
    return found


def _choices_shown(choices: pd.DataFrame) -> Table:
    head = ["clusters", "covariance", "factors", "log-likelihood", "parameters", "BIC as seen", "BIC", ""]
    body = [
        [
            str(row["n_components"]), row["covariance"], str(row["n_factors"] or ""), f"{row['log_likelihood']:.2f}",
            str(row["n_free"]), f"{row['seen_bic']:.2f}", f"{row['bic']:.2f}", "taken" if row["taken"] else "",
        ]
        for row in choices.to_dict("records")
    ]  # fmt: skip
    return table(head, body, left=["covariance"])


def as_dict(adata: Any, key: str, name: str, files: Sequence[Path] = ()) -> dict[str, Any]:
    """All of a clustering as plain numbers and text, for JSON."""
    from mixsci import cells
    from mixsci.cells.tabulated import choices_table, clusters_table, means_table

    entry, fit, marks = adata.uns[key], cells.load(adata, key), markers_of(adata, key)
    clusters = _records(clusters_table(adata, key).reset_index())
    means = means_table(adata, key)
    for one in clusters:
        one |= {
            "mean": {str(v): plain(x) for v, x in means[one["cluster"]].items()},
            "markers": marks.get(one["cluster"]),
        }
    return {
        "file": name,
        "n_cells": adata.n_obs,
        "n_seen": int(entry["n_seen"]),
        "input": str(entry["input"]),
        "variables": [str(variable) for variable in entry["names"]],
        "params": {option: plain(value) for option, value in entry["params"].items()},
        "missingness": _gaps(adata, entry),
        "verdict": str(entry["verdict"]),
        "outcome": fit.outcome.name,
        "converged": fit.converged,
        "n_iter": fit.n_iter,
        "log_likelihood": fit.log_likelihood,
        "n_free": fit.n_free,
        "bic": fit.bic,
        "icl": plain(fit.icl),
        "clusters": clusters,
        "tried": _records(choices_table(adata, key)),
        "files": [str(file) for file in files],
    }


def _gaps(adata: Any, entry: Any) -> dict[str, Any] | None:
    """The single numbers of the report on gaps."""
    if "use_rep" in entry["params"]:
        return None
    report = adata.uns["missingness"]
    return {name: plain(value) for name, value in report.items() if name not in ("params", "groups")}


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def plain(value: Any) -> Any:
    """A plain value of JSON: None for what is missing or infinite, and Python's own numbers for NumPy's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else ""
