"""The matrix that earlier results are of, read again from the AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import listed
from mixsci.cells.matrix import Matrix, matrix_of
from mixsci.cells.results import entry_of_fit
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


def matrix_again(adata: AnnData, key: str, **changes: Any) -> Matrix:
    """The values that the fit of the results `key` was made of.

    Args:
        adata: with the results.
        key: their name.
        changes: arguments of `matrix_of` that differ from those of the fit: another layer, no noise.

    Raises:
        DataError: no results of this name, or variables that are no longer there.
    """
    entry = entry_of_fit(adata, key)
    params = {name: value for name, value in entry.get("params", {}).items() if name in _OPTIONS}
    params |= changes
    if params.get("use_rep") is None:
        params["mask_var"] = _chosen(adata, [str(name) for name in entry["names"]], key)
    return matrix_of(adata, **params)


_OPTIONS = ("layer", "use_rep", "noise_layer", "weights", "batch", "zeros")


def _chosen(adata: AnnData, names: list[str], key: str) -> Any:
    """(n_vars,) True for the variables of a fit, which must all be there and in their order."""
    chosen = np.isin(adata.var_names.astype(str), names)
    if list(adata.var_names[chosen].astype(str)) != names:
        raise DataError(
            f"the variables of {key!r} must all be there, in their order: {listed(names)}; for other panels use tl.map"
        )
    return chosen
