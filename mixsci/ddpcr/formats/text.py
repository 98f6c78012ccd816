"""Tables in text as instruments write them: any encoding, line end, delimiter and decimal mark; damage has its line."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixsci.errors import FormatError

Array = np.ndarray
Names = tuple[str, ...]

#: Where names of columns are looked for: preambles are shorter.
_PREAMBLE = 50  # lines
_ABOVE = re.compile(r"\W*target value of", re.IGNORECASE)
_HEAD = 1 << 16  # bytes
#: Files up to this size are read before their lines are counted.
_SMALL = 1 << 25  # bytes
_LARGEST = 1 << 29  # bytes
_DELIMITERS = ("\t", ";", ",")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: Characters of a value, and damaged lines, that are quoted in sentences.
_LONG = 30
_MOST_NAMED = 1000
# No text holds these; tab, line ends and form feed are left out.
_CONTROLS = bytes([*range(9), *range(14, 32)])
#: A decimal this short is a quotient of exact integers, read right by any parser; longer ones take a slower one.
_SHORT = 15


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A table as it stands in a file.

    Attributes:
        path: the file.
        names: the columns, as written.
        delimiter: what separates values.
        body: the lines below the names, in UTF-8, each ended by a line feed.
        first: number of the first of these lines in the file, counted from 1.
    """

    path: Path
    names: Names
    delimiter: str
    body: bytes
    first: int

    def rows(self) -> list[tuple[int, list[str]]]:
        """The lines that are not blank: number in the file, and values without quotes and outer blanks.

        Raises:
            FormatError: values too long for a table.
        """
        reader = csv.reader(io.StringIO(self.body.decode("utf-8"), newline=""), delimiter=self.delimiter)
        try:
            found = [(self.first - 1 + reader.line_num, [value.strip() for value in row]) for row in reader]
        except csv.Error:
            raise _endless(self, reader.line_num) from None
        return [(line, row) for line, row in found if any(row)]


@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """Chosen columns of a table as numbers.

    Attributes:
        values: (n, k) NaN where blank or no number.
        bad: row -> what is wrong with it; a blank is wrong only in a column that has values.
        lines: (n,) numbers of the rows' lines in the file.
        labels: (n,) values of one more column, as written, or None.
    """

    values: Array
    bad: dict[int, str] = field(default_factory=dict)
    lines: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    labels: Array | None = None


def head(path: Path) -> bytes:
    """The beginning of a file as decoded text, enough to recognise it by.

    Raises:
        FormatError: an empty file, or no text.
        OSError: a file that cannot be opened.
    """
    with path.open("rb") as file:
        return decode(file.read(_HEAD), path.name)


def is_no_table(path: Path) -> bool:
    """Whether a file is empty or no text.

    Raises:
        OSError: a file that cannot be opened.
    """
    try:
        return not head(path)
    except FormatError:
        return True


def open_table(path: Path, known: Callable[[Names], bool], most: int, what: str) -> Table:
    """The table in a file.

    Args:
        path: the file.
        known: whether names are those of columns; the first line of such names ends the preamble.
        most: a file of more lines, a preamble apart, is refused before it is loaded.
        what: what its lines hold, for that refusal.

    Raises:
        FormatError: a file that is too long, empty, or no text.
        OSError: a file that cannot be opened.
    """
    _refuse_long(path, most, what)
    text = decode(path.read_bytes(), path.name)
    line, names, delimiter = find_names(text, known)
    body = text.split(b"\n", line + 1)[line + 1 :]
    return Table(path, names, delimiter, body[0] if body else b"", line + 2)


def decode(data: bytes, name: str) -> bytes:
    """Text in UTF-8 with line feeds, from UTF-8, UTF-16 with its mark, cp1252, or Mac Roman where lines end in CR.

    Raises:
        FormatError: nothing in it, or bytes that no text holds.
    """
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
    elif data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", errors="replace").encode()
    if data.translate(None, delete=_CONTROLS) != data:
        raise FormatError(f"{name} must be a text file; it holds binary data: export it as CSV")
    if not data.strip():
        raise FormatError(f"{name} is empty: export it again")
    if not data.isascii():
        data = _utf8(data)
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def find_names(text: bytes, known: Callable[[Names], bool]) -> tuple[int, Names, str]:
    """Where a table begins: index of the line of names, the names, the delimiter.

    Names no reader knows are those of the first line that is neither blank nor QX Manager's legend of calls.
    """
    lines = [line.decode("utf-8", errors="replace") for line in text.split(b"\n", _PREAMBLE)[:_PREAMBLE]]
    for index, line in enumerate(lines):
        for delimiter in _DELIMITERS:
            names = _split(line, delimiter)
            if known(names):
                return index, names, delimiter
    index = next((i for i, line in enumerate(lines) if line.strip() and not _ABOVE.match(line)), 0)
    delimiter = max(_DELIMITERS, key=lines[index].count)
    return index, _split(lines[index], delimiter), delimiter


def columns(table: Table, indices: Sequence[int], label: int | None = None, *, gaps: bool = False) -> Columns:
    """Columns as numbers, those at `indices` (k,), and as words, that at `label`.

    Args:
        table: as opened.
        indices: places of the columns of numbers.
        label: place of the column of words.
        gaps: a blank is allowed everywhere, not only in a column without values.

    Raises:
        FormatError: lines that hold fewer values than columns are named.
    """
    body, delimiter = _without_quotes(table)
    if delimiter != ",":
        body = body.replace(b",", b".")  # a decimal comma
    choice = _Choice(table, body, delimiter, tuple(indices), label, gaps)
    found = _parse_even(choice)
    return _parse_uneven(choice) if found is None else found


def name_lines(lines: Iterable[int], most: int = 5) -> str:
    """Line numbers as words: "line 3", "lines 3, 17 and 20", "lines 3, 4, 5, 6, 7 ... (12 in all)"."""
    numbers = list(lines)
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    if len(numbers) <= most:
        return "lines " + ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    return "lines " + ", ".join(map(str, numbers[:most])) + f" ... ({len(numbers)} in all)"


def few(names: Names, most: int = 8) -> str:
    """The first names, for a sentence."""
    return ", ".join(name[:40] for name in names[:most]) + (" ..." if len(names) > most else "")


def _refuse_long(path: Path, most: int, what: str) -> None:
    """Refuse a file of too many lines or bytes without loading it."""
    size = path.stat().st_size
    if size > _SMALL and _more_lines(path, most + _PREAMBLE):
        raise FormatError(f"{path.name} must hold at most {most:,} {what}; it holds more: is it one export?")
    if size > _LARGEST:
        raise FormatError(f"{path.name} must hold at most {_LARGEST >> 20} MB; it holds {size >> 20} MB: split it")


def _more_lines(path: Path, most: int) -> bool:
    feeds = returns = 0
    with path.open("rb") as file:
        for part in iter(lambda: file.read(1 << 22), b""):
            feeds += part.count(b"\n")
            returns += part.count(b"\r")
            if max(feeds, returns) > most:
                return True
    return False


def _utf8(data: bytes) -> bytes:
    """The same text in UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        old_mac = b"\r" in data and b"\n" not in data
        return data.decode("mac_roman" if old_mac else "cp1252", errors="replace").encode()
    return data


def _split(line: str, delimiter: str) -> Names:
    """Names between delimiters, without the blank ones at the end."""
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return (line[:_LONG],)
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _without_quotes(table: Table) -> tuple[bytes, str]:
    """The body without quotes, and its delimiter: where there were quotes the tab.

    Raises:
        FormatError: a quote that does not end.
    """
    body = table.body if table.body.endswith(b"\n") or not table.body else table.body + b"\n"
    if b'"' not in body:
        return body, table.delimiter
    text = io.StringIO(body.decode("utf-8"), newline="")
    reader = csv.reader(text, delimiter=table.delimiter, skipinitialspace=True)
    try:
        # Blank lines stay, so that lines keep their numbers.
        return "".join("\t".join(row) + "\n" for row in reader).encode(), "\t"
    except csv.Error:
        raise _endless(table, reader.line_num) from None


def _endless(table: Table, line: int) -> FormatError:
    said = f"a value ends nowhere, up to line {table.first - 1 + line}"
    return FormatError(f"{table.path.name} must hold short values, with quotes in pairs; {said}: export it again")


@dataclass(frozen=True, eq=False, repr=False)
class _Choice:
    """What is asked of a table, and its body with points as decimal marks and without quotes."""

    table: Table
    body: bytes
    delimiter: str
    indices: tuple[int, ...]
    label: int | None
    gaps: bool


def _parse_even(choice: _Choice) -> Columns | None:
    """Columns of a body in which all lines hold as many values and all values are numbers; None of any other."""
    import pandas as pd

    shape, named, label = _shape(choice.body, choice.delimiter), len(choice.table.names), choice.label
    if shape is None or shape[0] < named:
        return None
    width, longest = shape
    beyond = list(range(named, width))
    numbers = sorted({*choice.indices, *beyond})
    exact = longest > _SHORT or b"e" in choice.body or b"E" in choice.body
    dtype = dict.fromkeys(numbers, "str" if exact else "float64") | ({} if label is None else {label: "str"})
    options: dict[str, Any] = {"sep": choice.delimiter, "dtype": dtype, "usecols": sorted(dtype)}
    if not exact:
        options["na_values"] = {column: [""] for column in numbers}
    try:
        frame = pd.read_csv(
            io.BytesIO(choice.body), header=None, quoting=csv.QUOTE_NONE, keep_default_na=False, **options
        )
        if exact:
            frame = pd.DataFrame({j: _to_floats(frame[j]) if j in numbers else frame[j] for j in dtype})
    except (ValueError, OverflowError):
        return None
    values = frame[list(choice.indices)].to_numpy(dtype=np.float64)
    blank = np.isnan(values)
    allowed = blank if choice.gaps else blank.all(axis=0)
    if not (np.isfinite(values) | allowed).all() or frame[beyond].notna().to_numpy().any():
        return None
    lines = np.arange(choice.table.first, choice.table.first + len(values))
    return Columns(values, {}, lines, None if label is None else frame[label].to_numpy(dtype=object))


def _to_floats(words: Iterable[str]) -> list[float]:
    """Words as numbers, rounded as Python rounds; NaN for a blank.

    Raises:
        ValueError: a word that is no number.
    """
    return [float(word.replace("_", "x")) if word else np.nan for word in words]


def _shape(body: bytes, delimiter: str) -> tuple[int, int] | None:
    """Values in every line and characters of the longest, or None where lines differ."""
    data = np.frombuffer(body, dtype=np.uint8)
    places = np.flatnonzero((data == ord(delimiter)) | (data == ord("\n")))
    if not len(places):
        return None
    ends = data[places] == ord("\n")
    width = int(ends.argmax()) + 1
    if not np.array_equal(np.flatnonzero(ends), np.arange(width - 1, len(ends), width)):
        return None
    return width, int(np.diff(places, prepend=-1).max()) - 1


def _parse_uneven(choice: _Choice) -> Columns:
    """The same line by line, with what is wrong in each."""
    table, indices = choice.table, choice.indices
    widths = Counter(len(row) for _, row in _lines(choice))
    width = _width(table, widths)
    used = [any(_cell(row, j) for _, row in _lines(choice)) for j in indices]
    # Arrays take a tenth of the memory of lists.
    values, lines = array("d"), array("q")
    words: list[str] = []
    bad: dict[int, str] = {}
    row: list[bytes] = []
    for i, (line, row) in enumerate(_lines(choice)):
        cells = [_cell(row, j) for j in indices]
        numbers = [_value(cell) for cell in cells]
        values.extend(numbers)
        lines.append(line)
        if choice.label is not None:
            words.append(_cell(row, choice.label).decode("utf-8", errors="replace"))
        needed = [use and not (choice.gaps and not cell) for use, cell in zip(used, cells, strict=True)]
        wrong = _what_is_wrong(row, cells, numbers, needed, width, table, indices)
        if wrong:
            bad[i] = f"line {line} {wrong}" if len(bad) < _MOST_NAMED else "lines are damaged"
    last = len(lines) - 1
    if last in bad and _is_cut(table, row, width, [_cell(row, j) for j in indices]):
        bad[last] = f"it ends in the middle of line {lines[last]}"
    labels = None if choice.label is None else np.array(words, dtype=object)
    return Columns(np.array(values).reshape(-1, len(indices)), bad, np.array(lines), labels)


def _lines(choice: _Choice) -> Iterator[tuple[int, list[bytes]]]:
    """Lines that are not blank, with their numbers; without the lines of delimiters spreadsheets end tables with."""
    mark = choice.delimiter.encode()
    end = choice.body.find(b"\n", len(choice.body.rstrip(b" \n" + mark)))
    for number, line in enumerate(io.BytesIO(choice.body[: end + 1]), choice.table.first):
        if line.strip():
            yield number, line.removesuffix(b"\n").split(mark)


def _width(table: Table, widths: Counter[int]) -> int:
    """How many values a line should hold.

    Raises:
        FormatError: most lines hold fewer than there are names.
    """
    named = len(table.names)
    width = max((size for size, count in widths.items() if count == max(widths.values())), default=named)
    if width < named and widths.total() > 1:
        raise FormatError(
            f"{table.path.name} must hold a value for each of its {named} columns ({few(table.names)}); most "
            f"lines hold {width}: its delimiter or its first line is not the right one"
        )
    return max(width, named)


def _what_is_wrong(
    row: list[bytes],
    cells: list[bytes],
    values: list[float],
    needed: list[bool],
    width: int,
    table: Table,
    indices: tuple[int, ...],
) -> str:
    """In words, or "" where nothing is."""
    named = len(table.names)
    if len(row) != width:
        return f"holds {len(row)} values where others hold {width}"
    if width > named and any(value.strip() for value in row[named:]):
        return f"holds {len(row)} values for {named} columns"
    for j, index in enumerate(indices):
        if needed[j] and not math.isfinite(values[j]):
            return f"holds {cells[j][:_LONG].decode(errors='replace')!r} as {table.names[index]}"
    return ""


def _is_cut(table: Table, row: list[bytes], width: int, cells: list[bytes]) -> bool:
    """Whether the last line lacks its end: too few values, or a last one that is blank before the file ends."""
    return len(row) < width or (not cells[-1] and not table.body.endswith(b"\n"))


def _cell(row: list[bytes], index: int) -> bytes:
    return row[index].strip() if index < len(row) else b""


def _value(cell: bytes) -> float:
    return float(cell) if _NUMBER.fullmatch(cell) else np.nan
