"""Cells of another AnnData, with other gaps or another panel, under a fit that stays as it is."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from mixsci.cells.annotations import listed, refuse_key, refuse_others, written_to
from mixsci.cells.matrix import matrix_of
from mixsci.cells.results import as_storable, assign_rows, load, write_assignment
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Fewer of the fit's variables than this share of them is worth a word.
_FEW = 0.5


def map_cells(
    adata_ref: AnnData,
    adata: AnnData,
    key: str = "mixture",
    *,
    layer: str | None = None,
    batch: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Give new cells the clusters of a fit: variables that they lack are gaps, and gaps need no retraining.

    Args:
        adata_ref: with the results of `mixture`.
        adata: new cells; variables are matched by name, those that the fit does not know are left alone. Values must be
            on the scale of the reference.
        key: name of the results.
        layer: of the new cells; None = that of the fit.
        batch: column of obs of the new cells with batches that the fit knows; others get no shift and pooled weights.
        key_added: name of the results in the new cells; None = `key`.
        copy: return a changed copy.

    Returns:
        The copy, if asked for. Written is what `mixture` writes of cells: labels, probabilities, entropy, log density.

    Raises:
        DataError: no such results, a fit of a representation, no variable in common.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(400, 8, 3, missing=0.2, rng=1)
        >>> known, new = adata[:300].copy(), adata[300:, :5].copy()
        >>> cells.tl.mixture(known, 3, covariance="tied", rng=1)
        >>> cells.tl.map(known, new)
        >>> cells.agreement(new.obs["mixture"], new.obs["cell_type"]) > 0.8
        True
    """
    refuse_others(adata_ref)
    adata, key_added = written_to(adata, copy=copy), key if key_added is None else key_added
    refuse_key(key_added)
    fit, entry = load(adata_ref, key), adata_ref.uns[key]
    params = entry["params"]
    if params.get("use_rep") is not None:
        raise DataError("a fit of a representation cannot be mapped: put the new cells into that representation first")
    names = [str(name) for name in entry["names"]]
    common = _common(adata, names)
    given = params.get("layer") if layer is None else layer
    matrix = matrix_of(
        adata, layer=given, mask_var=np.isin(adata.var_names.astype(str), names), batch=batch,
        zeros=str(params.get("zeros", "value")), empty=True,
    )  # fmt: skip
    found = assign_rows(fit, matrix, lambda obs: _widened(obs, common, len(names)))
    write_assignment(adata, key_added, found)
    adata.uns[key_added] = as_storable({
        "params": {"mapped": True, "layer": given, "key": key}, "n_variables": len(common), "names": names,
        "weights": entry["weights"],
    })  # fmt: skip
    return adata if copy else None


def _common(adata: AnnData, names: list[str]) -> Array:
    """Places among the fit's variables of those that the new cells have, in their order."""
    if not adata.var_names.is_unique:
        raise DataError("names of variables must be unique to be matched: call adata.var_names_make_unique() first")
    place = {name: i for i, name in enumerate(names)}
    common = np.array([place[name] for name in adata.var_names.astype(str) if name in place], dtype=np.int64)
    if not len(common):
        raise DataError(
            f"new cells must share variables with the fit, {listed(names)}; they have {listed(adata.var_names)}"
        )
    if len(common) < _FEW * len(names):
        warnings.warn(
            f"the new cells have {len(common)} of the fit's {len(names)} variables: clusters that differ in others "
            "cannot be told apart",
            UserWarning,
            stacklevel=3,
        )
    return common


def _widened(obs: Observations, common: Array, width: int) -> Observations:
    """The rows with all variables of the fit, gaps where they have none."""
    x = np.full((len(obs), width), np.nan)
    x[:, common] = obs.x
    wide = Observations(x)
    for name in ("groups", "group_labels", "order"):
        object.__setattr__(wide, name, getattr(obs, name))
    return wide
