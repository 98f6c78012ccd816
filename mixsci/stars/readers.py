"""Catalogues in files: FITS, VOTable, ECSV, CSV and parquet, whole or in blocks; units and gaps are kept."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.errors import DataError, FormatError
from mixsci.stars.columns import list_names, read_unit, scaled_null

if TYPE_CHECKING:
    from astropy.table import QTable, Table

Array = np.ndarray
Hdu = int | str | None

#: Rows of a block where none are asked for: 25 columns of them take 50 MB.
BLOCK_ROWS = 250_000
#: What the VOTable reader puts before a message: file, line, column and code.
_PLACE = re.compile(r"^.*?:\d+:\d+: (?:[EW]\d+: )?")


def read(path: str | Path, *, hdu: Hdu = None) -> QTable:
    r"""The table in a file as a QTable: values with their units, gaps masked.

    A column whose unit astropy does not know stays without one; its text stands in `meta["unit"]` of the column.

    Args:
        path: of a file that ends in one of `READERS`; text, FITS and VOTable also with .gz.
        hdu: number or name of the table in a FITS file; None = the first one.

    Raises:
        FormatError: an ending no reader knows, or a file that holds no such table.
        OSError: a file that cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mixsci.stars.readers import read
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "stars.csv"
        ...     _ = path.write_text("source_id,parallax\n1,2.5\n2,\n", encoding="utf-8")
        ...     print(read(path))
        source_id parallax
        --------- --------
                1      2.5
                2       --
    """
    path = Path(path)
    ending = _ending(path, READERS)
    if hdu is not None and ending not in _FITS:
        raise DataError(f"hdu chooses a table of a FITS file; {path} is none: leave hdu out")
    _look(path)
    with _named(path), _quiet():
        table = _finish(READERS[ending](path, **({} if hdu is None else {"hdu": hdu})))
    if not len(table) or not table.colnames:
        raise FormatError(f"{path} must hold a table with at least one row; it holds none")
    return table


def read_blocks(
    path: str | Path | Iterable[str | Path],
    rows: int = BLOCK_ROWS,
    columns: Sequence[str] | None = None,
    *,
    hdu: Hdu = None,
) -> Iterator[QTable]:
    """Blocks of rows of a catalogue larger than memory, one QTable after the other, always in the same order.

    Args:
        path: a parquet or FITS file, several of them, or a folder with such files at any depth, by name.
        rows: at most so many in a block.
        columns: the columns to read; None = all.
        hdu: number or name of the table in FITS files; None = the first one.

    Raises:
        FormatError: a file of another kind, or one that holds no such table.
        DataError: a column that a file lacks, or rows < 1.
        OSError: a file that cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from astropy.table import Table
        >>> from mixsci.stars.readers import read_blocks
        >>> with TemporaryDirectory() as folder:
        ...     Table({"pmra": [1.0, 2.0, 3.0]}, units=["mas / yr"]).write(Path(folder) / "stars.fits")
        ...     for table in read_blocks(folder, rows=2):
        ...         print(table["pmra"])
        [1. 2.] mas / yr
        [3.] mas / yr
    """
    if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or rows < 1:
        raise DataError(f"rows must be a whole number of at least 1; got {rows!r}")
    if isinstance(columns, str):
        raise DataError(f"columns must be a list of names; got {columns!r}: write [{columns!r}]")
    files = _files(path)
    for file in files:
        _ending(file, BLOCK_READERS)
        _look(file)
    return _blocks(files, int(rows), None if columns is None else list(columns), hdu)


def is_in_blocks(path: str | Path) -> bool:
    """Whether `read_blocks` takes a file or folder."""
    return Path(path).is_dir() or _suffix(Path(path)) in BLOCK_READERS


def _blocks(files: Sequence[Path], rows: int, columns: list[str] | None, hdu: Hdu) -> Iterator[QTable]:
    for file in files:
        ending = _ending(file, BLOCK_READERS)
        with _named(file):
            for table in BLOCK_READERS[ending](file, rows, columns, hdu):
                yield _finish(table)


def _files(path: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files of a catalogue, in an order that is the same every time."""
    if not isinstance(path, str | Path):
        paths = [Path(one) for one in path]
        if not paths:
            raise DataError("path must name at least one file; the list is empty")
        return paths
    path = Path(path)
    if not path.is_dir():
        return [path]
    # HATS catalogues hold a few rows once more, as a picture of the whole.
    files = [file for file in sorted(path.rglob("*")) if _is_part(file) and file.name != "data_thumbnail.parquet"]
    if not files:
        raise FormatError(f"{path} must hold files that end in one of {', '.join(BLOCK_READERS)}; it holds none")
    return files


def _is_part(file: Path) -> bool:
    return file.is_file() and not file.name.startswith((".", "_")) and _suffix(file) in BLOCK_READERS


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _ending(path: Path, known: Iterable[str]) -> str:
    if _suffix(path) not in known:
        raise FormatError(f"{path} must end in one of {', '.join(known)}: convert it first")
    return _suffix(path)


def _look(path: Path) -> None:
    """Open a file, so that one that is not there is an OSError, and refuse an empty one."""
    with path.open("rb") as file:
        if not file.read(1):
            raise FormatError(f"{path} must hold a table; it is empty")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever a reader says of a damaged file becomes one sentence with its name."""
    try:
        yield
    except (MemoryError, DataError):
        raise
    except Exception as error:  # each library raises what the damage makes it raise
        said = _PLACE.sub("", str(error).strip()).partition("\n")[0].partition(". ")[0]
        if isinstance(error, FormatError) and said.startswith(str(path)):
            raise
        said = said.replace(str(path), "it") or type(error).__name__
        raise FormatError(f"{path} cannot be read as a table: {said}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Readers do not warn of units and other oddities; of lost rows they must."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*truncated.*")
        yield


def _finish(table: Table) -> QTable:
    """A table with units that astropy knows, as a QTable; other units move to the notes of their columns."""
    from astropy.table import QTable

    with _quiet():
        for column in table.columns.values():
            _mend_unit(column)
        return QTable(table, copy=False)


def _wanted(columns: list[str] | None, there: Sequence[str]) -> list[str]:
    """The columns asked for, or all."""
    absent = [name for name in columns or () if name not in there]
    if absent:
        raise DataError(f"the table has no column {', '.join(absent)}; it has {list_names(there)}")
    return list(there) if columns is None else columns


def _mend_unit(column: Any) -> None:
    import astropy.units as u

    given = getattr(column, "unit", None)
    if given is None or not hasattr(column, "meta"):
        return
    unit = read_unit(str(given)) if isinstance(given, u.UnrecognizedUnit) else given
    if unit is not None and column.dtype.kind in "fiu":
        column.unit = unit
        return
    column.unit = None
    column.meta["unit"] = str(given)


# --- FITS ------------------------------------------------------------------------------------------------------------


@contextmanager
def _fits_table(path: Path, hdu: Hdu, *, memmap: bool) -> Iterator[Any]:
    """The part of an open FITS file that holds the table."""
    from astropy.io import fits

    with _quiet():
        file = fits.open(path, memmap=memmap)
    try:
        with _quiet():
            chosen = _choose_table(list(file), hdu)
        yield chosen
    finally:
        file.close()


def _choose_table(parts: Sequence[Any], hdu: Hdu) -> Any:
    tables = {i: part for i, part in enumerate(parts) if type(part).__name__ in ("BinTableHDU", "TableHDU")}
    if not tables:
        raise FormatError("it holds no table")
    if hdu is None:
        return next(iter(tables.values()))
    asked = hdu.upper() if isinstance(hdu, str) else hdu
    for i, part in tables.items():
        if asked in (i, part.name):
            return part
    there = list_names(f"{i} {part.name}".strip() for i, part in tables.items())
    raise FormatError(f"it holds no table {hdu!r}; its tables are {there}")


def _read_fits(path: Path, hdu: Hdu = None) -> Table:
    from astropy.table import Table

    with _fits_table(path, hdu, memmap=False) as part:
        return _mask_nulls(Table.read(part, format="fits"), part)


def _fits_blocks(path: Path, rows: int, columns: list[str] | None, hdu: Hdu) -> Iterator[Table]:
    from astropy.table import Table

    with _fits_table(path, hdu, memmap=True) as part:
        names = _wanted(columns, part.columns.names)
        for start in range(0, len(part.data), rows):
            with _quiet():
                block = type(part)(data=part.data[start : start + rows], header=part.header)
                table = _mask_nulls(Table.read(block, format="fits"), part)[names]
            yield table


def _mask_nulls(table: Table, part: Any) -> Table:
    """A table without the values that stand for none in scaled columns: astropy looks for them after scaling."""
    for name in part.columns.names:
        null = scaled_null(part.columns[name])
        if null is not None and name in table.colnames:
            gaps = np.asarray(table[name]) == null
            table[name] = np.ma.MaskedArray(table[name], gaps)
    return table


# --- VOTable, ECSV, CSV ----------------------------------------------------------------------------------------------


def _read_votable(path: Path) -> Table:
    from astropy.io import votable

    return votable.parse(path, verify="ignore").get_first_table().to_table(use_names_over_ids=True)


def _read_ecsv(path: Path) -> Table:
    """A table in ECSV; Gaia's own files write "null" where there is nothing."""
    from astropy.table import Table

    read_as = partial(Table.read, path, format="ascii.ecsv")
    try:
        return read_as()
    except ValueError:
        return read_as(fill_values=[("", "0"), ("null", "0")])


def _read_text(path: Path) -> Table:
    """A table in text with a line of names; ECSV by its first line, whatever the ending."""
    from astropy.table import Table

    from mixsci import tables

    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        is_ecsv = file.read(7) == b"# %ECSV"
    return _read_ecsv(path) if is_ecsv else Table.from_pandas(tables.read(path))


# --- parquet ---------------------------------------------------------------------------------------------------------


def _parquet() -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise FormatError("parquet needs pyarrow: python -m pip install 'mixsci[io]'") from None
    return pq


def _read_parquet(path: Path) -> Table:
    from astropy.table import Table

    arrow = _parquet().read_table(path)
    if b"table_meta_yaml" in (arrow.schema.metadata or {}):
        return Table.read(path, format="parquet")
    return _of_arrow(arrow, _units_of_arrow(arrow.schema), arrow.schema.names)


def _parquet_blocks(path: Path, rows: int, columns: list[str] | None, hdu: Hdu) -> Iterator[Table]:
    if hdu is not None:
        raise DataError(f"hdu chooses a table of a FITS file; {path} is none: leave hdu out")
    with _parquet().ParquetFile(path) as file:
        there = file.schema_arrow.names
        names = _wanted(columns, there)
        masks = [f"{name}.mask" for name in names if f"{name}.mask" in there]
        units = _units_of_arrow(file.schema_arrow)
        for groups in _join_groups([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)], rows):
            for batch in file.iter_batches(rows, groups, columns=list(dict.fromkeys([*names, *masks]))):
                yield _of_arrow(batch, units, [name for name in names if columns or name not in masks])


def _join_groups(sizes: Sequence[int], rows: int) -> list[list[int]]:
    """Neighbouring row groups, as many together as make one block: read all at once, a file would be held whole."""
    joined: list[list[int]] = []
    held = 0
    for group, size in enumerate(sizes):
        if joined and held + size <= rows:
            joined[-1].append(group)
            held += size
        else:
            joined.append([group])
            held = size
    return joined


def _units_of_arrow(schema: Any) -> dict[str, str]:
    """Column -> text of its unit, from what astropy and others note in a parquet file."""
    from astropy.table import meta

    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode("utf-8", "replace") for field in schema}
    header = (schema.metadata or {}).get(b"table_meta_yaml")
    noted = [] if header is None else meta.get_header_from_yaml(header.decode("utf-8").split("\n"))["datatype"]
    return {name: unit for name, unit in units.items() if unit} | {
        column["name"]: str(column["unit"]) for column in noted if column.get("unit")
    }


def _of_arrow(arrow: Any, units: dict[str, str], names: Sequence[str]) -> Table:
    """An arrow table or batch of rows: nulls are masked, as are the rows that a column `name.mask` says."""
    from astropy.table import Table

    columns = {}
    for name in names:
        values, gaps = _plain(arrow.column(name)), np.array(arrow.column(name).is_null())
        if f"{name}.mask" in arrow.schema.names:
            gaps |= np.array(arrow.column(f"{name}.mask"), dtype=bool)
        columns[name] = np.ma.MaskedArray(values, gaps) if gaps.any() else values
    table = Table(columns, copy=False)
    for name in units.keys() & set(names):
        _note_unit(table[name], units[name])
    return table


def _plain(values: Any) -> Array:
    """(n,) values of an arrow column in the type that they have without nulls."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    elif pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    kind = values.type
    if values.null_count and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        values = values.fill_null(False if pa.types.is_boolean(kind) else 0)
    array = np.array(values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(["" if value is None else value for value in array], dtype=str)
    return array


def _note_unit(column: Any, text: str) -> None:
    unit = read_unit(text)
    if unit is None:
        column.meta["unit"] = text
    else:
        column.unit = unit


# --- endings ---------------------------------------------------------------------------------------------------------

_FITS = (".fits", ".fit")
#: Ending of a file -> its reader.
READERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_FITS, _read_fits),
    **dict.fromkeys((".vot", ".votable", ".xml"), _read_votable),
    ".ecsv": _read_ecsv,
    **dict.fromkeys((".csv", ".tsv", ".txt", ".dat"), _read_text),
    ".parquet": _read_parquet,
}
#: Ending of a file -> what reads it block by block.
BLOCK_READERS: dict[str, Callable[[Path, int, list[str] | None, Hdu], Iterator[Any]]] = {
    ".parquet": _parquet_blocks,
    **dict.fromkeys(_FITS, _fits_blocks),
}
