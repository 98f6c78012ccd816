"""How much is missing, in which patterns, and whether it depends on intensity."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import labels_of, refuse_key, table_of, written_to
from mixsci.cells.arrays import Table, checked_pieces
from mixsci.cells.summary import Summary, join, summarise

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Missing depends on intensity where the rank correlation is at least this strong, and this unlikely by chance.
_STRONG, _RARE = 0.2, 0.01
#: Fewer variables than this have no rank correlation to speak of.
_FEWEST_VARIABLES = 5


def missingness(
    adata: AnnData,
    *,
    layer: str | None = None,
    groupby: str | None = None,
    key_added: str = "missingness",
    copy: bool = False,
) -> AnnData | None:
    """A report on gaps, written into the AnnData; a warning where missing depends on intensity.

    The test is Spearman's rank correlation, over variables, of the mean of a variable and its share of gaps. Fits
    take values as missing at random; low values that are missing more often than high ones are not.

    Args:
        adata: cells by variables; NaN = missing.
        layer: whose values; None = X.
        groupby: column of obs; the same again for each of its labels.
        key_added: where the report goes.
        copy: return a copy with the report, instead of writing into `adata`.

    Returns:
        None, or the copy. Written are

        - obs and var, columns `{key}` (share of gaps), `{key}_observed` (number of values) and `{key}_zeros` (share of
          zeros, which are values); in var `{key}_mean`, mean of the values;
        - uns[key]: share, share_zeros, n_patterns, share_complete (of cells without a gap), n_empty_cells,
          n_empty_vars, rho and p_value of the test (NaN without gaps), depends_on_intensity;
        - with groupby: uns[key]["groups"], the same for each label as a table, and varm[key], the share of gaps
          (n_vars x labels).

    Raises:
        DataError: a layer or column that is not there, infinite values, cells without a label.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(200, 10, missing=0.3, rng=1)
        >>> cells.pp.missingness(adata)
        >>> round(adata.uns["missingness"]["share"], 2), adata.uns["missingness"]["depends_on_intensity"]
        (0.31, False)
    """
    refuse_key(key_added)
    adata = written_to(adata, copy=copy)
    table, label = table_of(adata, layer=layer)
    groups = None if groupby is None else labels_of(adata, groupby, "groupby")
    whole, parts = _summaries(table, label, groups)
    report = _report(whole)
    _write_shares(adata, key_added, whole)
    adata.uns[key_added] = {"params": _params(layer, groupby), **report}
    if groups is not None:
        _write_groups(adata, key_added, parts)
    if report["depends_on_intensity"]:
        _warn_of_intensity(label, report, int((whole.counts > 0).sum()))
    return adata if copy else None


def _summaries(table: Table, label: str, groups: Array | None) -> tuple[Summary, dict[str, Summary]]:
    """Of all cells, and of those of each group."""
    whole: list[Summary] = []
    parts: dict[str, list[Summary]] = {name: [] for name in ([] if groups is None else np.unique(groups))}
    for rows, values in checked_pieces(table, label):
        whole.append(summarise(values))
        for name, found in parts.items():
            found.append(summarise(values[groups[rows] == name]))  # type: ignore[index]
    return join(whole), {name: join(found) for name, found in parts.items()}


def _report(found: Summary) -> dict[str, Any]:
    """What a summary says in single numbers."""
    n, d = len(found.observed), len(found.counts)
    rho, p_value = _by_intensity(found)
    return {
        "n_cells": n,
        "share": float((n * d - found.counts.sum()) / (n * d)),
        "share_zeros": float(found.zeros.sum() / (n * d)),
        "n_patterns": len(found.patterns),
        "share_complete": float((found.observed == d).mean()),
        "n_empty_cells": int((found.observed == 0).sum()),
        "n_empty_vars": int((found.counts == 0).sum()),
        "rho": rho,
        "p_value": p_value,
        "depends_on_intensity": bool(abs(rho) >= _STRONG and p_value < _RARE),
    }


def _by_intensity(found: Summary) -> tuple[float, float]:
    """Rank correlation of the mean of a variable and its share of gaps, with its p-value; NaN where there is none."""
    from scipy.stats import spearmanr

    used = found.counts > 0
    means, shares = found.means[used], found.shares[used]
    if len(means) < _FEWEST_VARIABLES or np.ptp(means) == 0 or np.ptp(shares) == 0:
        return float("nan"), float("nan")
    test = spearmanr(means, shares)
    return float(test.statistic), float(test.pvalue)


def _write_shares(adata: AnnData, key: str, found: Summary) -> None:
    n, d = len(found.observed), len(found.counts)
    sides = {"obs": (found.observed, found.zeros_of_cell, d), "var": (found.counts, found.zeros, n)}
    for part, (observed, zeros, most) in sides.items():
        columns = {key: (most - observed) / most, f"{key}_observed": observed, f"{key}_zeros": zeros / most}
        for name, values in columns.items():
            # A view becomes an AnnData of its own at the first of these, so that obs and var are asked for anew.
            getattr(adata, part)[name] = values
    adata.var[f"{key}_mean"] = found.means


def _write_groups(adata: AnnData, key: str, parts: Mapping[str, Summary]) -> None:
    import pandas as pd

    adata.uns[key]["groups"] = pd.DataFrame([_report(found) for found in parts.values()], index=list(parts))
    adata.varm[key] = pd.DataFrame({name: found.shares for name, found in parts.items()}, index=adata.var_names)


def _params(layer: str | None, groupby: str | None) -> dict[str, str]:
    """Arguments as a file can hold them, which has no None."""
    return {"layer": layer or "X"} | ({} if groupby is None else {"groupby": groupby})


def _warn_of_intensity(label: str, report: Mapping[str, Any], n_vars: int) -> None:
    side = "low" if report["rho"] < 0 else "high"
    warnings.warn(
        f"values of {label} are missing where they are {side}: over {n_vars} variables the rank correlation of mean "
        f"and share of gaps is {report['rho']:.2f} (p = {report['p_value']:.1g}); fits take gaps as missing at random, "
        "so means and imputed values may be off",
        UserWarning,
        stacklevel=3,
    )
