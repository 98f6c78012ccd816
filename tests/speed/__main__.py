"""`python -m tests.speed`: run the comparisons and print them as tables in Markdown."""

import argparse
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from pathlib import Path

from threadpoolctl import threadpool_info

from .comparisons import MEMORY, MEMORY_ROWS, QUICK_REPEATS, QUICK_SHARE, REPEATS, SPEED, Memory, Speed
from .memory import measure
from .problems import Array
from .race import Lane, disagreement, race
from .rivals import first_line, load
from .threads import THREADS

RIVALS = ("scikit_learn", "astroml", "pygmmis")
LIBRARIES = ("mixsci", "numpy", "scipy", "numba", "scikit-learn", "astroML", "pygmmis")
SPEED_HEADS = (
    "comparison", "rows x columns, K", "rival", "mixsci s/pass", "rival s/pass", "mixsci ns", "rival ns",
    "ratio", "median ratio", "target", "met", "difference",
)  # fmt: skip
MEMORY_HEADS = ("comparison", "what", "rows", "MB", "target", "met")


@dataclass(frozen=True)
class Row:
    """One line of a table: its cells, whether its target was met (None: not judged), and what went wrong."""

    cells: tuple[str, ...]
    met: bool | None
    errors: tuple[str, ...] = ()


def main() -> int:
    """0 where every target judged was met, 1 where one was missed."""
    options = parse()
    say(environment())
    speed = [told(speed_row(case, options)) for case in chosen(SPEED, options.only)]
    memory = [told(memory_row(case, options)) for case in chosen(MEMORY, options.only)]
    print_table(f"EM passes on {THREADS} threads", SPEED_HEADS, speed)
    print_table("Peak memory above the rows and a warm-up fit", MEMORY_HEADS, memory)
    say("\n".join(["## Notes", "", *(f"- {note}" for note in notes(speed + memory))]))
    return int(any(row.met is False for row in speed + memory))


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed", description="Time mixsci against its peers.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, few repeats: a try, not a figure")
    parser.add_argument("--only", default="", metavar="NAME", help="comparisons whose name contains NAME")
    parser.add_argument("--repeats", type=int, help=f"rounds of every comparison (default {REPEATS})")
    options = parser.parse_args()
    options.repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    if not chosen(SPEED + MEMORY, options.only):
        parser.error(f"no comparison has {options.only!r} in its name; there are {names(SPEED + MEMORY)}")
    return options


def chosen(cases: tuple, only: str) -> list:
    """The comparisons whose name contains the word."""
    return [case for case in cases if only in case.name]


def names(cases: tuple[Speed | Memory, ...]) -> str:
    """The names of the comparisons in one line."""
    return ", ".join(case.name for case in cases)


def speed_row(case: Speed, options: argparse.Namespace) -> Row:
    """Race one comparison."""
    problem = case.problem(options.quick)()
    (ours, *_), (rival, *others) = race(["ours", case.rival], problem, case.passes, options.repeats)
    ratio = rival.best / ours.best
    met = judge(ours, rival, ratio >= case.target)
    cells = (
        case.name,
        f"{grouped(len(problem.x))} x {case.d}, {case.n_components}",
        f"{rival.name}, {rival.blas_threads} BLAS" if others else rival.name,
        *(number(lane.best, ".3g") for lane in (ours, rival)),
        *(number(1e9 * lane.best / problem.cells, ".3g") for lane in (ours, rival)),
        number(ratio, ".1f"),
        number(rival.typical / ours.typical, ".1f"),
        f">= {case.target:g}",
        verdict(met),
        agreement(ours, rival, problem.x) if case.same_model else "-",
    )
    return Row(cells, met, tuple(f"{lane.name} gave no figure: {lane.error}" for lane in (ours, rival) if lane.error))


def agreement(ours: Lane, rival: Lane, x: Array) -> str:
    """How far the first passes of two packages differ: means / covariances."""
    if ours.first is None or rival.first is None:
        return "-"
    return " / ".join(f"{difference:.0e}" for difference in disagreement(ours.first, rival.first, x))


def judge(ours: Lane, rival: Lane, reached: bool) -> bool | None:
    """Whether a target was met: not if ours failed, and nobody knows if only the rival did."""
    if ours.error:
        return False
    return None if rival.error else reached


def memory_row(case: Memory, options: argparse.Namespace) -> Row:
    """Measure one peak in a process of its own."""
    n_rows = MEMORY_ROWS // QUICK_SHARE if options.quick else MEMORY_ROWS
    errors: tuple[str, ...] = ()
    try:
        used = measure(case.task, n_rows)
    except RuntimeError as error:
        used, errors = float("nan"), (f"no figure: {error}",)
    met = None if case.target_mb is None else used <= case.target_mb
    target = "-" if case.target_mb is None else f"<= {case.target_mb:g}"
    return Row((case.name, case.what, grouped(n_rows), number(used, ".0f"), target, verdict(met)), met, errors)


def notes(rows: list[Row]) -> list[str]:
    """How to read the figures, what failed in this run, and what is broken in a rival with these libraries."""
    how = [
        "s/pass: a climb of many passes less a climb of one, the quickest of each; setting-up cancels. "
        "median ratio: from the median over the rounds, in which the packages take turns.",
        "ns: nanoseconds per pass, row and component. difference: the largest of any mean / of any covariance after "
        "one pass from the same start, in units of the spread of the columns.",
    ]
    return [*how, *(sentence for name in RIVALS for sentence in remarks(name)), *failed(rows)]


def failed(rows: list[Row]) -> list[str]:
    """Every error once, with the comparisons in which it came."""
    where: dict[str, list[str]] = {}
    for row in rows:
        for error in row.errors:
            where.setdefault(error, []).append(row.cells[0])
    return [f"{', '.join(places)}: {error}" for error, places in where.items()]


def remarks(file: str) -> list[str]:
    """What one rival's file says of it, and which of its features fail."""
    try:
        rival = load(file)
    except Exception as error:
        return [f"{file} cannot be imported: {first_line(error)}"]
    broken = [f"{rival.NAME} {release(rival.DISTRIBUTION)}, numpy {release('numpy')}: {b}" for b in rival.breakages()]
    return [*rival.NOTES, *broken]


def environment() -> str:
    """Versions, processor, and threads."""
    libraries = ", ".join(f"{name} {release(name)}" for name in LIBRARIES)
    blas = ", ".join(
        sorted({f"{b['internal_api']} {b['version']}" for b in threadpool_info() if b["user_api"] == "blas"})
    )
    return (
        f"Python {platform.python_version()}, {libraries}  \n"
        f"{processor()}, {os.cpu_count()} logical CPUs, {THREADS} threads used, "
        f"BLAS {blas or 'unknown'}, load before the run {load_average()}"
    )


def load_average() -> str:
    """How many other tasks kept the processors busy in the last minute."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def processor() -> str:
    """The model name of the processor, as far as the system tells."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def release(distribution: str) -> str:
    """The installed version of a package."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def grouped(count: int) -> str:
    """A whole number in groups of three digits."""
    return f"{count:_}".replace("_", " ")


def number(value: float, form: str) -> str:
    """A figure, or a dash where there is none."""
    return "-" if isnan(value) else format(value, form)


def verdict(met: bool | None) -> str:
    """The word for a target that was met, missed, or not judged."""
    return {True: "yes", False: "NO", None: "-"}[met]


def print_table(title: str, heads: tuple[str, ...], rows: list[Row]) -> None:
    """A Markdown table, columns aligned."""
    if not rows:
        return
    lines = [heads, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, tuple("-" * width for width in widths))
    body = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    say("\n".join([f"## {title}", "", *body]))


def say(text: str) -> None:
    """Print a paragraph on the output."""
    print(text, end="\n\n", flush=True)


def told(row: Row) -> Row:
    """The row, shown on the error stream as soon as it is there."""
    print(" | ".join(row.cells), file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
