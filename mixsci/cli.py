"""The command line: arguments in, one verb called, files out. Results on standard output, notes on standard error.

Exit codes: 0 done, 1 input that cannot be used (one line says why), 2 a wrong command.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    from rich.table import Table

    from mixsci.engine.em.result import Fit
    from mixsci.engine.mixture import Mixture
    from mixsci.engine.observations import Observations

#: More columns than this stand below one another instead of side by side.
_MOST_BESIDE = 6


class _OneLine(TyperGroup):
    """Commands whose bad input ends in one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            _refuse(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        except (DataError, FormatError) as error:
            _refuse(str(error))
        except MemoryError:
            _refuse("this needs more memory than there is: fit fewer columns or rows")


app = typer.Typer(
    cls=_OneLine, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Gaussian mixtures for real scientific data: gaps, measurement errors, weights tied by physics.",
)  # fmt: skip
simulation = typer.Typer(cls=_OneLine, no_args_is_help=True, help="Write simulated data whose truth is known.")
app.add_typer(simulation, name="simulate")


class MissingError(StrEnum):
    """What an observed value without an error is."""

    refuse = "refuse"
    gap = "gap"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def fit(
    table: Annotated[Path, typer.Argument(help="A table with a line of names: csv, tsv, txt, json or parquet.")],
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

    if errors and not columns:
        raise typer.BadParameter("--errors goes with --columns: name the columns they belong to, in the same order")
    model = Model(components, covariance=covariance, floor=floor)
    data = tables.read(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    choice = tables.choose(data, _listed(columns), _listed(errors))
    obs = tables.observe(data, choice, missing=missing_error.value)
    found = _fit(model, obs, starts=starts, seed=seed)
    for sentence in choice.notes:
        _note(sentence)
    files = _written(found, obs, out, title=table.name)
    if as_json:
        _print_json(_as_dict(found))
    else:
        _say(f"{table.name}: {_described(obs, errors=choice.errors is not None)}")
        _tell(found, files)
    _end(found)


@app.command()
def info(
    model: Annotated[Path, typer.Argument(help="A model.json, written by `mixsci fit --out` or Fit.save.")],
    as_json: AsJson = False,
) -> None:
    """Show what a saved model holds."""
    from mixsci.engine.em.archive import load
    from mixsci.engine.em.result import Fit

    found = load(model)
    if as_json:
        _print_json(_as_dict(found) if isinstance(found, Fit) else _mixture_as_dict(found))
    elif isinstance(found, Fit):
        _say(f"{model.name}: {found.model!r}, fitted to {found.n_rows} rows")
        _tell(found, [])
    else:
        _print(_components(found, [f"x{j}" for j in range(found.n_dims)]))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for what it writes.")] = Path("mixsci-demo"),
    as_json: AsJson = False,
) -> None:
    """Deconvolve a simulated star catalogue with errors and gaps: table, picture, model and report."""
    from mixsci import simulate, tables
    from mixsci.engine.model.model import Model

    out.mkdir(parents=True, exist_ok=True)
    stars = simulate.star_catalogue(1000, rng=1)
    stars.to_csv(out / "stars.csv", index=False)
    names = simulate.STAR_COLUMNS
    choice = tables.choose(stars, names, [f"{name}_error" for name in names])
    obs = tables.observe(stars, choice)
    found = _fit(Model(len(simulate.STAR_POPULATIONS)), obs, starts=10, seed=0)
    files = [out / "stars.csv", *_written(found, obs, out, title="Simulated stars: a stream before disc and halo")]
    if as_json:
        _print_json(_as_dict(found))
        return
    _say(f"A simulated catalogue of a stream before disc and halo: {_described(obs, errors=True)}")
    _say("\nDrawn from (pmra and pmdec in mas/yr, vlos in km/s):")
    _print(_components(simulate.STARS, names, simulate.STAR_POPULATIONS))
    _say("\nFound, with the errors taken out and the gaps integrated out:")
    _tell(found, files)


@app.command()
def warmup() -> None:
    """Compile the kernels ahead of the first fit; they are kept on disk."""
    began = time.perf_counter()
    for kind, obs in _kinds_of_rows():
        _fit(_tiny_model(), obs, starts=1, seed=0).mixture.posterior(obs)
        _note(f"{kind} ready after {time.perf_counter() - began:.1f} s")
    _say(f"mixsci is warm ({time.perf_counter() - began:.1f} s)")


@simulation.command()
def stars(
    out: Annotated[Path, typer.Option("-o", "--out", help="CSV file to write.")],
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="Number of stars.")] = 1000,
    seed: Seed = 1,
) -> None:
    """A star catalogue with errors and gaps, as CSV, with the population of each star."""
    from mixsci.simulate import star_catalogue

    star_catalogue(rows, rng=seed).to_csv(out, index=False)
    _say(f"wrote {out}: {rows} stars")


def _fit(model: Any, obs: Observations, *, starts: int, seed: int) -> Fit:
    """The fit, its warnings as notes.

    Raises:
        DataError: a fit without a usable result; the message is its remedy.
    """
    from mixsci.engine.em.fit import fit as climb
    from mixsci.engine.em.state import Outcome

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = climb(model, obs, starts=starts, rng=seed, progress=True)
    if found.outcome in (Outcome.COLLAPSED, Outcome.NOT_FINITE):
        raise DataError(found.outcome.value)
    for sentence in dict.fromkeys(str(warning.message) for warning in caught):
        _note(sentence)
    return found


def _end(found: Fit) -> None:
    """Exit code 1 where the climb was interrupted: what was printed is the best so far."""
    from mixsci.engine.em.state import Outcome

    if found.outcome is Outcome.INTERRUPTED:
        raise typer.Exit(1)


def _written(found: Fit, obs: Observations, folder: Path | None, *, title: str) -> list[Path]:
    if folder is None:
        return []
    from mixsci import report

    return report.write(found, obs, folder, title=title)


def _tell(found: Fit, files: Sequence[Path]) -> None:
    """The components, how the fit ended, and where the files are."""
    from mixsci.report import names_of

    _print(_components(found.mixture, names_of(found)))
    _say(f"{found.outcome.value} ({found.n_iter} pass{'es' * (found.n_iter != 1)})")
    _say(f"log-likelihood {found.log_likelihood:.6f}, {found.n_free} free parameters, BIC {found.bic:.3f}")
    if files:
        _say(f"wrote {', '.join(str(file) for file in files)}")


def _components(mixture: Mixture, names: Sequence[str], labels: Sequence[str] = ()) -> Table:
    """Weights, and mean ± standard deviation under the names of the columns."""
    from rich import box
    from rich.table import Table

    from mixsci.report import plus_minus

    labels = labels or [str(k) for k in range(mixture.n_components)]
    sd = (mixture.covariances.diagonal(axis1=1, axis2=2).clip(min=0.0)) ** 0.5
    weights = [f"{100 * weight:.1f} %" for weight in mixture.pooled_weights]
    cells = [[plus_minus(*pair) for pair in zip(*both, strict=True)] for both in zip(mixture.means, sd, strict=True)]
    head = ["component", "weight", *names]
    body = [[label, weight, *line] for label, weight, line in zip(labels, weights, cells, strict=True)]
    if len(names) > _MOST_BESIDE:
        head, *body = [list(line) for line in zip(head, *body, strict=True)]
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for j, name in enumerate(head):
        shown.add_column(_plain(name), justify="left" if j == 0 else "right", no_wrap=True)
    for line in body:
        shown.add_row(*(_plain(cell) for cell in line))
    return shown


def _described(obs: Observations, *, errors: bool) -> str:
    """The rows in words: how many, which gaps, what was set aside."""
    names, seen = obs.names or (), obs.seen()
    gaps = [f"{int(n)} without {name}" for name, n in zip(names, (~seen).sum(axis=0), strict=True) if n]
    words = f"{len(obs)} rows, {len(names)} column{'s' * (len(names) > 1)}{' with errors' * errors}"
    words += f" ({', '.join(gaps)})" if gaps else ""
    aside = [f"{int(n)} values of {name}" for name, n in zip(names, obs.set_aside, strict=True) if n]
    return words + (f"\n{', '.join(aside)} without an error were set aside: they count as missing" if aside else "")


def _as_dict(found: Fit) -> dict[str, Any]:
    from mixsci.report import as_dict

    return as_dict(found)


def _mixture_as_dict(mixture: Mixture) -> dict[str, Any]:
    return {
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
    }


def _kinds_of_rows() -> Iterator[tuple[str, Observations]]:
    """A few rows of every kind that has a kernel of its own."""
    import numpy as np

    from mixsci.engine.noise import from_covariances, from_errors
    from mixsci.engine.observations import Observations

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-4.0, 1.0, (40, 3)), rng.normal(4.0, 1.0, (40, 3))])
    gappy = x.copy()
    gappy[::4, 0] = np.nan
    sigma = rng.uniform(0.1, 0.5, x.shape)
    yield "complete rows", Observations(x)
    yield "rows with gaps", Observations(gappy)
    yield "rows with errors", Observations(gappy, from_errors(sigma))
    yield "rows with covariances", Observations(x, from_covariances(sigma[:, :, None] ** 2 * np.eye(3)))
    views = np.broadcast_to(np.eye(3)[:2], (len(x), 2, 3)) + 0.1 * rng.normal(size=(len(x), 2, 3))
    yield "projected rows", Observations(np.einsum("nmd,nd->nm", views, x), from_errors(sigma[:, :2]), views)
    wide = np.concatenate([rng.normal(-4.0, 1.0, (60, 20)), rng.normal(4.0, 1.0, (60, 20))])
    yield "wide rows", Observations(wide)


def _tiny_model() -> Any:
    from mixsci.engine.model.model import Model

    return Model(2, floor=1e-3)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _plain(text: str) -> Any:
    """Text that rich shows as it is, whatever brackets it holds."""
    from rich.text import Text

    return Text(text)


def _print(shown: Table) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no width: nothing is cut.
        console.width = 10_000
    console.print(shown)


def _say(text: str) -> None:
    typer.echo(text)


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def _note(text: str) -> None:
    typer.secho(f"note: {_on_one_line(text)}", fg=typer.colors.YELLOW, err=True)


def _refuse(text: str) -> None:
    """End with exit code 1 and one line on standard error."""
    typer.secho(f"mixsci: {_on_one_line(text)}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1) from None


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
