"""What is said where: results on standard output, notes and progress on standard error, one line and an exit code."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")]


class OneLine(TyperGroup):
    """Commands whose bad input ends in one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """What the command gives, or exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            refuse(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        except (DataError, FormatError) as error:
            refuse(str(error))
        except MemoryError:
            refuse("this needs more memory than there is: fit fewer columns or rows")


def say(text: str) -> None:
    """Print a line of the result."""
    typer.echo(text)


def say_json(value: dict[str, Any]) -> None:
    """Print the whole result for other programs."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def note(text: str) -> None:
    """Print what a person should know beside the result, on one line."""
    typer.secho(f"note: {_on_one_line(text)}", fg=typer.colors.YELLOW, err=True)


def refuse(text: str) -> NoReturn:
    """End with exit code 1 and one line on standard error."""
    typer.secho(f"mixsci: {_on_one_line(text)}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1) from None


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Warnings of what runs inside become notes, each once; those from one library to another are left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for of_libraries in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", of_libraries)
        yield
    for sentence in dict.fromkeys(str(warning.message) for warning in caught):
        note(sentence)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function to be told (what, done, all), shown as a bar; nothing is shown where there is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _done, _total: None
        return
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            # A bar without a total moves: before the first part is done nobody knows how long one takes.
            bars.update(task, description=what, completed=done, total=total if done else None)

        yield tell


def listed(text: str) -> list[str]:
    """The names in "a, b, c"."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers_of(text: str) -> list[int]:
    """Numbers of components in "3" or "1-6"."""
    found = re.fullmatch(r"([1-9]\d*)(?:-([1-9]\d*))?", text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if last < first:
        raise typer.BadParameter(f"-k must be a number of components, 3, or a range of them, 1-6; got {text!r}")
    return list(range(first, last + 1))


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> Table:
    """Lines under their names: numbers to the right, the columns `left` to the left."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in head:
        shown.add_column(_plain(name), justify="left" if name in left else "right", no_wrap=True)
    for line in body:
        shown.add_row(*(_plain(cell) for cell in line))
    return shown


def show(shown: Table) -> None:
    """Print a table as wide as it is: a narrow terminal breaks its lines, and no digit is cut off."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    console.width = 10_000
    console.width = Measurement.get(console, console.options, shown).maximum
    console.print(shown)


def _plain(text: str) -> Any:
    """Text that rich shows as it is, whatever brackets it holds."""
    from rich.text import Text

    return Text(text)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
