"""Cells in files: an AnnData in .h5ad, or a table with a row for every cell and a column for every variable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci import tables
from mixsci.errors import DataError, FormatError, name_rows

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: Ending of the files that anndata writes.
H5AD = ".h5ad"
#: A column of text is one of labels if less than this share of it can be read as numbers.
_MOSTLY = 0.5


def read(path: str | Path, *, labels: Sequence[str] = ()) -> AnnData:
    r"""The cells in a file.

    Args:
        path: .h5ad, or a table as `mixsci.tables.read` takes it: csv, tsv, txt, json, parquet. Of a table, columns of
            numbers are variables, blanks are gaps, columns of text go to obs; the first column holds the names of the
            cells if it is text in which nothing stands twice.
        labels: columns of a table that go to obs although they hold numbers: runs 1, 2, 3.

    Raises:
        FormatError: a file that holds no such thing.
        DataError: text among numbers, a table without numbers, a label that is no column.
        OSError: a file that cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mixsci import cells
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "cells.csv"
        ...     _ = path.write_text("cell,CD3,CD19,kind\na,1.5,,T\nb,,2.0,B\n")
        ...     adata = cells.read(path)
        >>> adata.obs_names.tolist(), adata.var_names.tolist(), adata.obs["kind"].tolist()
        (['a', 'b'], ['CD3', 'CD19'], ['T', 'B'])
    """
    path = Path(path)
    if path.suffix.lower() == H5AD:
        return _read_h5ad(path)
    if Path(path.name.lower().removesuffix(".gz")).suffix not in tables.READERS:
        raise FormatError(f"{path} must end in {', '.join([H5AD, *tables.READERS])}: convert it first")
    return from_table(tables.read(path), labels=labels)


def from_table(table: pd.DataFrame, *, labels: Sequence[str] = ()) -> AnnData:
    """Cells by variables of a data frame; which of its columns are what is said in `read`."""
    import pandas as pd
    from anndata import AnnData

    absent = [name for name in labels if name not in table.columns]
    if absent:
        raise DataError(f"the table has no column {', '.join(absent)}; it has {_few(table.columns)}")
    names = _names(table)
    rest = table if names is None else table.iloc[:, 1:]
    variables = [name for name in rest if name not in labels and _is_variable(rest[name])]
    if not variables:
        raise DataError(f"the table must have a column of numbers; it has {_few(table.columns)}")
    index = pd.Index([str(i) for i in range(len(table))] if names is None else names)
    obs = rest.drop(columns=variables).set_axis(index)
    for name in obs:
        obs[name] = obs[name].astype(str).where(obs[name].notna())
    x = np.column_stack([rest[name].to_numpy(dtype=float, na_value=np.nan) for name in variables])
    return AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(variables)))


def _read_h5ad(path: Path) -> AnnData:
    """An AnnData; what its own reader says of other files is put into one sentence."""
    import anndata

    with path.open("rb") as file:
        begin = file.read(8)
    if begin != b"\x89HDF\r\n\x1a\n":
        raise FormatError(f"{path} is no file of HDF5, in which anndata writes: save it with adata.write_h5ad(path)")
    try:
        adata = anndata.read_h5ad(path)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - other files of HDF5 fail in any way
        said = re.sub(r"\s+", " ", str(error))[:200]
        raise FormatError(f"{path} cannot be read as an AnnData: {said}") from None
    if not adata.n_obs or not adata.n_vars:
        raise FormatError(f"{path} must hold cells and variables; it holds {adata.n_obs} and {adata.n_vars}")
    return adata


def _names(table: pd.DataFrame) -> list[str] | None:
    """The names of the cells in the first column, or None where it holds something else."""
    import pandas as pd

    first = table.iloc[:, 0]
    blank = str(table.columns[0]).startswith("Unnamed:")
    text = not pd.api.types.is_numeric_dtype(first) and pd.to_numeric(first, errors="coerce").isna().all()
    if not (blank or text) or first.isna().any() or first.duplicated().any():
        return None
    return [str(name) for name in first]


def _is_variable(column: pd.Series) -> bool:
    """Whether a column holds numbers, and not labels.

    Raises:
        DataError: some text among numbers.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    found = pd.to_numeric(column, errors="coerce")
    bad = (found.isna() & column.notna()).to_numpy()
    if found.notna().sum() < _MOSTLY * column.notna().sum() or not found.notna().any():
        return False
    raise DataError(
        f"column {column.name!r} must hold numbers, or labels; got {str(column[bad].iloc[0])[:40]!r} among numbers in "
        f"{name_rows(bad)} (0 is the first below the names): correct or blank these values"
    )


def _few(names: Any) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:20]) + (" ..." if len(listed) > 20 else "")
