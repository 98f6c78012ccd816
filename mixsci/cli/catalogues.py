"""The commands on a catalogue of stars: from a file to velocities, members, and the files an astronomer takes away."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixsci.cli.console import (
    AsJson,
    Seed,
    listed,
    note,
    numbers_of,
    say,
    say_json,
    show,
    table,
    warnings_as_notes,
)
from mixsci.cli.plates import wrote
from mixsci.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from mixsci.stars.blocks import KinematicsBlocks
    from mixsci.stars.kinematics import Kinematics
    from mixsci.stars.streams import StreamFit
    from mixsci.stars.velocity_fit import VelocityFit


class Space(StrEnum):
    """What is fitted."""

    pm = "pm"
    pm_parallax = "pm+parallax"
    pm_rv = "pm+rv"
    tangential = "tangential"
    uvw = "uvw"


class StreamSpace(StrEnum):
    """What a stream is looked for in."""

    pm = "pm"
    pm_parallax = "pm+parallax"
    pm_rv = "pm+rv"
    tangential = "tangential"


class Criterion(StrEnum):
    """By what the number of components is chosen."""

    bic = "bic"
    held_out = "held_out"


Catalog = Annotated[
    Path,
    typer.Argument(
        metavar="CATALOG", help="A table of stars: FITS, VOTable, ECSV, CSV or parquet; or a folder of parquet or FITS."
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for tables, pictures, report and model.")]
Columns = Annotated[
    str, typer.Option(help="Columns whose names are not recognised, pmra=my_pm,pmra_error=my_sigma,id=name.")
]
Frame = Annotated[
    str,
    typer.Option(help="Frame of the motions: icrs, galactic, GD1, sagittarius ...; default: icrs, for uvw galactic."),
]
Pole = Annotated[str, typer.Option(help="The great circle about this pole in place of a frame: ra,dec in deg.")]
Through = Annotated[str, typer.Option(help="The great circle through two points: ra,dec,ra,dec in deg.")]
ZeroPoint = Annotated[str, typer.Option(help="Zero point of the parallaxes, mas, subtracted: a number or a column.")]
MaxRuwe = Annotated[float | None, typer.Option(help="Leave out stars of a larger RUWE.")]
Reflex = Annotated[bool, typer.Option("--reflex", help="Take away what the motion of the Sun adds; needs distances.")]
Selection = Annotated[
    str, typer.Option(help="What the survey kept, in measured columns: pmra=-10:10,pmdec=:5. Undone in the fit.")
]
Hdu = Annotated[str, typer.Option(help="Number or name of the table in a FITS file; default: the first.")]
Pictures = Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw pictures and write the report.")]


def deconvolve(
    catalog: Catalog,
    *,
    components: Annotated[
        str, typer.Option("-k", "--components", help="Number of components: 3, or 1-6 to choose among.")
    ],
    space: Annotated[Space, typer.Option(help="What is fitted.")] = Space.pm,
    out: Out = None,
    columns: Columns = "",
    frame: Frame = "",
    pole: Pole = "",
    through: Through = "",
    zero_point: ZeroPoint = "",
    min_parallax_snr: Annotated[
        float, typer.Option(help="Leave out stars of a smaller parallax over error, where it is divided by.")
    ] = 10.0,
    max_ruwe: MaxRuwe = None,
    reflex: Reflex = False,
    covariance: Annotated[
        str, typer.Option(help="Columns of velocity covariances in place of errors: c_ll,c_lb,c_bb.")
    ] = "",
    selection: Selection = "",
    criterion: Annotated[Criterion, typer.Option(help="What chooses among several -k.")] = Criterion.bic,
    outliers: Annotated[bool, typer.Option("--outliers", help="Add a uniform component (pm spaces).")] = False,
    bovy_w: Annotated[float | None, typer.Option(help="Regulariser w of extreme deconvolution, in x².")] = None,
    floor: Annotated[float, typer.Option(help="Smallest variance allowed in any direction.")] = 0.0,
    starts: Annotated[int | None, typer.Option(min=1, help="Starts of which the best goes on: 10.")] = None,
    seed: Seed = 0,
    blocks: Annotated[bool, typer.Option("--blocks", help="Go over a file larger than memory block by block.")] = False,
    hdu: Hdu = "",
    pictures: Pictures = True,
    as_json: AsJson = False,
) -> None:
    """The distribution of velocities behind a catalogue, errors taken out, gaps integrated out."""
    from mixsci.engine.model.priors import Bovy
    from mixsci.stars.deconvolution import deconvolve as run

    counts = numbers_of(components)
    kin, counted = stars_in(
        catalog, out, hdu=hdu, space=space.value, columns=_named(columns, "--columns", "pmra=my_pm"),
        frame=_frame(frame, pole, through), zero_point=_zero_point(zero_point), min_parallax_snr=min_parallax_snr,
        max_ruwe=max_ruwe, covariance=listed(covariance) or None, reflex=reflex, blocks=blocks,
    )  # fmt: skip
    with warnings_as_notes():
        found = run(
            kin, counts[0] if len(counts) == 1 else counts, prior=None if bovy_w is None else Bovy(bovy_w),
            selection=_limits(selection), outliers=outliers, criterion=criterion.value, floor=floor, starts=starts,
            rng=seed, progress=True,
        )  # fmt: skip
        _refuse_useless(found)
    _finish(found, counted, out, pictures=pictures, as_json=as_json)


def stream(
    catalog: Catalog,
    *,
    frame: Frame = "",
    pole: Pole = "",
    through: Through = "",
    out: Out = None,
    space: Annotated[StreamSpace, typer.Option(help="What is fitted.")] = StreamSpace.pm,
    width: Annotated[float, typer.Option(help="Stars within this latitude are on the track, deg.")] = 1.0,
    gap: Annotated[float | None, typer.Option(help="Stars beyond it are beside the track, deg; 1.5 widths.")] = None,
    background: Annotated[int, typer.Option(min=1, help="Components of the field.")] = 2,
    components: Annotated[int, typer.Option("--stream", min=1, help="Components of the stream.")] = 1,
    mean: Annotated[str, typer.Option(help="A guess of the stream's mean in its frame, a,b; default: searched.")] = "",
    columns: Columns = "",
    zero_point: ZeroPoint = "",
    max_ruwe: MaxRuwe = None,
    reflex: Reflex = False,
    selection: Selection = "",
    outliers: Annotated[bool, typer.Option("--outliers/--no-outliers", help="A uniform component besides.")] = True,
    seed: Seed = 0,
    hdu: Hdu = "",
    pictures: Pictures = True,
    as_json: AsJson = False,
) -> None:
    """A stream before its field: the field is learnt beside the track and held, then the stream is fitted on it."""
    from mixsci.stars.streams import fit_stream

    if not (frame or pole or through):
        raise typer.BadParameter("a stream needs its great circle: give --frame, --pole or --through")
    kin, counted = stars_in(
        catalog, out, hdu=hdu, space=space.value, columns=_named(columns, "--columns", "pmra=my_pm"),
        frame=_frame(frame, pole, through), zero_point=_zero_point(zero_point), max_ruwe=max_ruwe, reflex=reflex,
    )  # fmt: skip
    with warnings_as_notes():
        found = fit_stream(
            kin, background=background, stream=components, width_deg=width, gap_deg=gap, outliers=outliers,
            mean=_numbers(mean, "--mean", None) if mean else None, selection=_limits(selection), rng=seed,
        )  # fmt: skip
        _refuse_useless(found)
    _finish(found, counted, out, pictures=pictures, as_json=as_json)


# --- the stars -------------------------------------------------------------------------------------------------------


@dataclass
class Counted:
    """What a catalogue holds, in numbers; those of several tables add up.

    Attributes:
        name: of the catalogue.
        n_table: its rows. n_stars: those that are used.
        missing: column -> stars without a value.
        left_out: (what, reason) -> rows, or values, that are not used.
        notes: what was taken for granted.
    """

    name: str
    n_table: int = 0
    n_stars: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, kin: Kinematics) -> None:
        """Count the stars of one more table."""
        from mixsci.stars.kinematics import reasons

        self.n_table += kin.n_table
        self.n_stars += len(kin)
        gaps = (~kin.observations.seen()).sum(axis=0)
        self.missing.update({name: int(n) for name, n in zip(kin.names, gaps, strict=True) if n})
        self.left_out.update(reasons(kin.dropped))
        self.notes.update(dict.fromkeys(kin.notes))

    def sentences(self) -> Iterator[str]:
        """What a person should know of the rows, one line each."""
        from mixsci.stars.kinematics import left_out

        yield from (f"left out {sentence}" for sentence in left_out(self.left_out))
        yield from self.notes


def stars_in(
    path: Path, out: Path | None = None, *, hdu: str = "", blocks: bool = False, **settings: Any
) -> tuple[Kinematics | KinematicsBlocks, Counted]:
    """The stars of a catalogue and what is in it; the folder for results is made."""
    from mixsci.stars.blocks import KinematicsBlocks
    from mixsci.stars.gaia import from_gaia
    from mixsci.stars.readers import BLOCK_READERS, is_in_blocks, read

    whole = not (blocks or path.is_dir())
    if blocks and not is_in_blocks(path):
        raise DataError(f"--blocks needs a folder or a file that ends in {', '.join(BLOCK_READERS)}; got {path.name}")
    _keep_apart(path, out)
    given: Any = (
        read(path, hdu=int(hdu) if hdu.isdecimal() else hdu or None) if whole else path if path.is_dir() else [path]
    )
    counted = Counted(path.name)
    with warnings.catch_warnings():
        # The same is said below, line by line and for all blocks together.
        warnings.simplefilter("ignore", UserWarning)
        kin = from_gaia(given, **settings)
        parts: Iterable[Kinematics] = kin.kinematics() if isinstance(kin, KinematicsBlocks) else [kin]
        for part in parts:
            counted.add(part)
    for sentence in counted.sentences():
        note(sentence)
    if not counted.n_stars:
        raise DataError("at least one star must be usable; none is")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    return kin, counted


def _keep_apart(path: Path, out: Path | None) -> None:
    """Refuse to write where a folder of catalogues is read: the next run would take results for stars."""
    if out is not None and path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise DataError(f"--out must not lie in the folder that is read, {path}: name one elsewhere; got {out}")


def _refuse_useless(found: VelocityFit) -> None:
    from mixsci.engine.em.state import Outcome

    if found.outcome in (Outcome.COLLAPSED, Outcome.NOT_FINITE):
        raise DataError(found.outcome.value)


# --- what was found --------------------------------------------------------------------------------------------------


def _finish(found: VelocityFit, counted: Counted, out: Path | None, *, pictures: bool, as_json: bool) -> None:
    """Print a fit and write its files; exit code 1 where it was interrupted."""
    from mixsci.engine.em.state import Outcome

    with warnings_as_notes():
        files = [] if out is None else found.write(out, pictures=pictures)
        result = as_dict(found, counted, files) if as_json else None
        lines = [] if as_json else list(_told(found, counted))
    if result is not None:
        say_json(result)
    for line in lines:
        say(line) if isinstance(line, str) else show(line)
    if files and out is not None and not as_json:
        say(wrote(files, out))
    if found.outcome is Outcome.INTERRUPTED:
        raise typer.Exit(1)


def _told(found: VelocityFit, counted: Counted) -> Iterator[str | Table]:
    yield described(found, counted)
    yield from results(found)
    yield from in_words(found)


def described(found: VelocityFit, counted: Counted) -> str:
    """The stars in words: how many, in which space and frame, what is missing."""
    kin = found.kinematics
    gaps = ", ".join(f"{n} without {name}" for name, n in counted.missing.items())
    words = f"{counted.name}: {counted.n_stars} of {counted.n_table} stars, {kin.space} in {kin.frame.label}"
    return f"{words} ({gaps})" if gaps else words


def results(found: VelocityFit) -> Iterator[str | Table]:
    """The components as tables: weights and means, then dispersions and angles, each with its standard error."""
    means, shapes = found.to_table(), found.ellipsoids()
    label = [f"{k} {name}" for k, name in enumerate(means["population"])] if "population" in means.colnames else None
    names = [name for name in means.colnames if f"{name}_error" in means.colnames]
    angles = [name for name in shapes.colnames if f"{name}_error" in shapes.colnames and not name.startswith("sigma_")]
    place = {"weight": "weight"} | {name: name for name in found.latent_names}
    width = {name: f"σ {name.removeprefix('sigma_')}" for name in names if name.startswith("sigma_")}
    turn = dict.fromkeys(angles, "tilt") if len(angles) == 1 else {name: name.replace("_", " ") for name in angles}
    yield "\nWeights and means, ± standard error:"
    yield _table([(means, place)], label)
    yield "\nDispersions behind the errors, and the angles of their ellipses:"
    yield _table([(means, width), (shapes, turn)], label)


def _table(parts: Sequence[tuple[Any, dict[str, str]]], labels: Sequence[str] | None) -> Table:
    """Columns of tables with their errors, under names and units."""
    head, columns = ["component"], []
    for source, names in parts:
        for name, shown in names.items():
            values, errors, unit = _column(source[name]), _column(source[f"{name}_error"]), _unit(source[name])
            percent = 100.0 if name == "weight" else 1.0
            head.append(f"{shown} [{'%' if name == 'weight' else unit}]")
            columns.append([rounded(percent * v, percent * e) for v, e in zip(values, errors, strict=True)])
    body = [list(line) for line in zip(*columns, strict=True)]
    labels = labels or [str(k) for k in range(len(body))]
    return table(head, [[label, *line] for label, line in zip(labels, body, strict=True)], left=head[:1])


def in_words(found: VelocityFit) -> Iterator[str | Table]:
    """How the fit ended, how many components were chosen, and what a stream comes to."""
    from mixsci.stars.streams import StreamFit

    fit = found.fit
    if found.choices is not None:
        yield "\nNumbers of components that were tried (smaller BIC is better):"
        yield _choices(found.choices)
    yield f"\n{fit.outcome.value} ({fit.n_iter} pass{'es' * (fit.n_iter != 1)})"
    yield f"log-likelihood {fit.log_likelihood:.4f}, {fit.n_free} free parameters, BIC {fit.bic:.2f}"
    if found.mixture.background is not None:
        share = 100.0 * found.mixture.background.weight
        yield f"outliers: {f'{share:.2g}' if share >= 0.01 else 'below 0.01'} % of the stars"
    if isinstance(found, StreamFit):
        yield from stream_in_words(found)


def stream_in_words(found: StreamFit) -> Iterator[str]:
    """The evidence for a stream, and its members."""
    from mixsci.stars.report import evidence

    field = "given" if found.n_beside is None else f"fitted to {found.n_beside} stars beside the track and held"
    yield f"the field was {field}, the stream fitted to {found.fit.n_rows} on it"
    change = f"{abs(found.bic_gain):.1f} {'smaller' if found.bic_gain > 0 else 'larger'}"
    yield f"evidence for a stream: {evidence(found.bic_gain)}; BIC is {change} with it than without"
    members = counted_members(found)
    words = f"members with P >= {members['threshold']:g}: {members['n']} of {found.fit.n_rows} stars on the track"
    yield words + (
        f", expected purity {100 * members['purity']:.1f} %, completeness {100 * members['completeness']:.1f} %"
        if members["n"]
        else ""
    )


def counted_members(found: StreamFit) -> dict[str, Any]:
    """How many stars are members, and what share of them and of all members that should be."""
    from mixsci.stars.memberships import purity_completeness
    from mixsci.stars.portrait import THRESHOLD, probabilities

    (line,) = purity_completeness(probabilities(found), thresholds=[THRESHOLD])
    return {name: plain(line[name]) for name in ("threshold", "n", "purity", "completeness")}


def as_dict(found: VelocityFit, counted: Counted, files: Sequence[Path] = ()) -> dict[str, Any]:
    """All of a fit as plain numbers and text, for JSON."""
    fit, kin = found.fit, found.kinematics
    means, shapes = found.to_table(), found.ellipsoids()
    background = found.mixture.background
    return {
        "catalogue": counted.name,
        "space": kin.space,
        "frame": kin.frame.label,
        "columns": dict(zip(kin.names, kin.units, strict=True)),
        "dimensions": dict(zip(kin.latent_names, kin.latent_units, strict=True)),
        "n_table": counted.n_table,
        "n_stars": counted.n_stars,
        "missing": dict(counted.missing),
        "left_out": [{"what": what, "reason": reason, "n": n} for (what, reason), n in counted.left_out.items()],
        "notes": list(counted.notes),
        "n_rows": fit.n_rows,
        "outcome": fit.outcome.name,
        "converged": fit.converged,
        "n_iter": fit.n_iter,
        "log_likelihood": fit.log_likelihood,
        "n_free": fit.n_free,
        "bic": fit.bic,
        "aic": fit.aic,
        "units": {name: str(source[name].unit or "") for source in (means, shapes) for name in source.colnames},
        "components": [one | other for one, other in zip(_records(means), _records(shapes), strict=True)],
        "standard_errors": found.standard_errors.method,
        "outlier_share": None if background is None else background.weight,
        "tried": None if found.choices is None else _records(found.choices),
        "stream": _stream_as_dict(found),
        "files": [str(file) for file in files],
    }


def _stream_as_dict(found: VelocityFit) -> dict[str, Any] | None:
    from mixsci.stars.report import evidence
    from mixsci.stars.streams import StreamFit

    if not isinstance(found, StreamFit):
        return None
    return {
        "components": list(found.members),
        "gain": found.gain,
        "bic_gain": found.bic_gain,
        "evidence": evidence(found.bic_gain),
        "n_beside": found.n_beside,
        "members": counted_members(found),
    }


def _choices(choices: Any) -> Table:
    """The numbers of components that were tried."""
    head = ["components", "log-likelihood", "parameters", "BIC", "AIC"]
    names = ["n_components", "log_likelihood", "n_free", "bic", "aic"]
    if "held_out" in choices.colnames:
        head, names = [*head, "held out"], [*names, "held_out"]
    forms = {"n_components": "d", "n_free": "d", "held_out": ".6f"}
    body = [
        [*(f"{plain(row[name]):{forms.get(name, '.2f')}}" for name in names), "chosen" if row["best"] else ""]
        for row in choices
    ]
    return table([*head, ""], body)


def rounded(value: float, error: float) -> str:
    """A number and its standard error; alone where it was held, with a question mark where nothing is known."""
    from mixsci.report import plus_minus

    if error == 0:
        return f"{value:.4g}"
    return plus_minus(value, error) if math.isfinite(error) else f"{value:.4g} ± ?"


def _column(column: Any) -> list[float]:
    return [float(value) for value in getattr(column, "value", column)]


def _unit(column: Any) -> str:
    """Its unit as text, "km/s"; "" for none."""
    unit = getattr(column, "unit", None)
    return "" if unit is None else str(unit).replace(" ", "")


def _records(source: Any) -> list[dict[str, Any]]:
    return [{name: plain(row[name]) for name in source.colnames} for row in source]


def plain(value: Any) -> Any:
    """A plain value of JSON, its unit taken off: None for what is missing or infinite, a number of Python's own."""
    value = getattr(value, "value", value)
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- options ---------------------------------------------------------------------------------------------------------


def _named(text: str, option: str, example: str) -> dict[str, str] | None:
    """Values by name in "a=b,c=d"; None for nothing."""
    parts = [(name.strip(), value.strip()) for name, _, value in (part.partition("=") for part in listed(text))]
    if not all(name and value for name, value in parts):
        raise DataError(f"{option} must have a name and a value in each part, such as {example}; got {text!r}")
    return dict(parts) or None


def _limits(text: str) -> dict[str, tuple[float, float]] | None:
    """Limits by column in "pmra=-10:10,pmdec=:5"; an end left out is infinite."""
    limits = {}
    for name, ends in (_named(text, "--selection", "pmra=-10:10") or {}).items():
        low, colon, high = ends.partition(":")
        if not colon:
            raise DataError(f"--selection must give both ends of {name}, such as -10:10 or :10; got {ends!r}")
        limits[name] = (_number(low, "--selection", -math.inf), _number(high, "--selection", math.inf))
    return limits or None


def _frame(name: str, pole: str, through: str) -> Any:
    """The frame of the motions: by name, or along a great circle."""
    from mixsci.stars.frames import great_circle

    if sum(map(bool, (name, pole, through))) > 1:
        raise typer.BadParameter("give one of --frame, --pole and --through")
    if pole:
        return great_circle(pole=_numbers(pole, "--pole", 2))
    if through:
        points = _numbers(through, "--through", 4)
        return great_circle(points[:2], points[2:])
    return name or None


def _zero_point(text: str) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _numbers(text: str, option: str, n: int | None) -> tuple[float, ...]:
    """The numbers in "1.5,-2", so many or as many as there are."""
    found = tuple(_number(part, option) for part in text.split(","))
    if n is not None and len(found) != n:
        raise DataError(f"{option} must hold {n} numbers, separated by commas; got {text!r}")
    return found


def _number(text: str, option: str, default: float | None = None) -> float:
    if default is not None and not text.strip():
        return default
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{option} must hold numbers; got {text!r}") from None
