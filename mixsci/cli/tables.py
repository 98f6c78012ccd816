"""The commands on a table of numbers: fit it, and show what was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixsci.cli.console import AsJson, Seed, listed, note, say, say_json, show, table, warnings_as_notes
from mixsci.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from mixsci.engine.em.result import Fit
    from mixsci.engine.mixture import Mixture
    from mixsci.engine.observations import Observations

#: More columns than this stand below one another instead of side by side.
_MOST_BESIDE = 6


class MissingError(StrEnum):
    """What an observed value without an error is."""

    refuse = "refuse"
    gap = "gap"


def fit(
    path: Annotated[
        Path, typer.Argument(metavar="TABLE", help="A table with a line of names: csv, tsv, txt, json or parquet.")
    ],
    *,
    components: Annotated[int, typer.Option("-k", "--components", min=1, help="Number of components.")],
    columns: Annotated[str, typer.Option(help="Columns to fit, a,b,c; default: all numbers that are no errors.")] = "",
    errors: Annotated[str, typer.Option(help="Columns of their standard errors, in the same order.")] = "",
    missing_error: Annotated[MissingError, typer.Option(help="A value without an error.")] = MissingError.refuse,
    covariance: Annotated[str, typer.Option(help="full, tied, diag, spherical, tied_diag, ...")] = "full",
    floor: Annotated[float, typer.Option(help="Smallest variance allowed in any direction.")] = 0.0,
    starts: Annotated[int, typer.Option(min=1, help="Starts of which the best goes on.")] = 10,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for model, tables, picture and report.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit a table of numbers, with gaps (blank) and errors."""
    from mixsci import tables
    from mixsci.engine.model.model import Model
    from mixsci.report import as_dict

    if errors and not columns:
        raise typer.BadParameter("--errors goes with --columns: name the columns they belong to, in the same order")
    model = Model(components, covariance=covariance, floor=floor)
    data = tables.read(path)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    choice = tables.choose(data, listed(columns), listed(errors))
    obs = tables.observe(data, choice, missing=missing_error.value)
    found = climb(model, obs, starts=starts, seed=seed)
    for sentence in choice.notes:
        note(sentence)
    files = written(found, obs, out, title=path.name)
    if as_json:
        say_json(as_dict(found))
    else:
        say(f"{path.name}: {described(obs, errors=choice.errors is not None)}")
        tell(found, files)
    _end(found)


def info(
    path: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model.json, written by `mixsci fit --out` or Fit.save.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what a saved model holds."""
    from mixsci.engine.em.archive import load
    from mixsci.engine.em.result import Fit
    from mixsci.report import as_dict

    found = load(path)
    if as_json:
        say_json(as_dict(found) if isinstance(found, Fit) else _mixture_as_dict(found))
    elif isinstance(found, Fit):
        say(f"{path.name}: {found.model!r}, fitted to {found.n_rows} rows")
        tell(found, [])
    else:
        show(components_table(found, [f"x{j}" for j in range(found.n_dims)]))


def climb(model: Any, obs: Observations, *, starts: int, seed: int) -> Fit:
    """The fit, its warnings as notes.

    Raises:
        DataError: a fit without a usable result; the message is its remedy.
    """
    from mixsci.engine.em.fit import fit as run
    from mixsci.engine.em.state import Outcome

    with warnings_as_notes():
        found = run(model, obs, starts=starts, rng=seed, progress=True)
        if found.outcome in (Outcome.COLLAPSED, Outcome.NOT_FINITE):
            raise DataError(found.outcome.value)
    return found


def written(found: Fit, obs: Observations, folder: Path | None, *, title: str) -> list[Path]:
    """The files of a fit, where a folder is given."""
    if folder is None:
        return []
    from mixsci import report

    return report.write(found, obs, folder, title=title)


def tell(found: Fit, files: Sequence[Path]) -> None:
    """Print the components, how the fit ended, and where the files are."""
    from mixsci.report import names_of

    show(components_table(found.mixture, names_of(found)))
    say(f"{found.outcome.value} ({found.n_iter} pass{'es' * (found.n_iter != 1)})")
    say(f"log-likelihood {found.log_likelihood:.6f}, {found.n_free} free parameters, BIC {found.bic:.3f}")
    if files:
        say(f"wrote {', '.join(str(file) for file in files)}")


def components_table(mixture: Mixture, names: Sequence[str], labels: Sequence[str] = ()) -> Table:
    """Weights, and mean ± standard deviation under the names of the columns."""
    from mixsci.report import plus_minus

    labels = labels or [str(k) for k in range(mixture.n_components)]
    sd = (mixture.covariances.diagonal(axis1=1, axis2=2).clip(min=0.0)) ** 0.5
    weights = [f"{100 * weight:.1f} %" for weight in mixture.pooled_weights]
    cells = [[plus_minus(*pair) for pair in zip(*both, strict=True)] for both in zip(mixture.means, sd, strict=True)]
    head = ["component", "weight", *names]
    body = [[label, weight, *line] for label, weight, line in zip(labels, weights, cells, strict=True)]
    if len(names) > _MOST_BESIDE:
        head, *body = [list(line) for line in zip(head, *body, strict=True)]
    return table(head, body, left=head[:1])


def described(obs: Observations, *, errors: bool) -> str:
    """The rows in words: how many, which gaps, what was set aside."""
    names, seen = obs.names or (), obs.seen()
    gaps = [f"{int(n)} without {name}" for name, n in zip(names, (~seen).sum(axis=0), strict=True) if n]
    words = f"{len(obs)} rows, {len(names)} column{'s' * (len(names) > 1)}{' with errors' * errors}"
    words += f" ({', '.join(gaps)})" if gaps else ""
    aside = [f"{int(n)} values of {name}" for name, n in zip(names, obs.set_aside, strict=True) if n]
    return words + (f"\n{', '.join(aside)} without an error were set aside: they count as missing" if aside else "")


def _end(found: Fit) -> None:
    """Exit code 1 where the climb was interrupted: what was printed is the best so far."""
    from mixsci.engine.em.state import Outcome

    if found.outcome is Outcome.INTERRUPTED:
        raise typer.Exit(1)


def _mixture_as_dict(mixture: Mixture) -> dict[str, Any]:
    return {
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
    }
