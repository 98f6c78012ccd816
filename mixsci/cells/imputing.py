"""Fill gaps after a fit: expected values with their uncertainty, or draws for multiple imputation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.again import matrix_again
from mixsci.cells.annotations import refuse_backed, refuse_key, written_to
from mixsci.cells.clusterings import one_seed
from mixsci.cells.matrix import Matrix
from mixsci.cells.results import load
from mixsci.engine.em.result import Fit
from mixsci.engine.tables import as_generator
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


def impute(
    adata: AnnData,
    key: str = "mixture",
    *,
    method: str = "mean",
    n_draws: int = 5,
    key_added: str | None = None,
    rng: Any = None,
    random_state: Any = None,
    copy: bool = False,
) -> AnnData | None:
    """Fill the gaps of the values that a fit was made of; observed values stay as they are.

    Args:
        adata: with the results of `mixture` or `factor`.
        key: their name.
        method: "mean", expected values and their standard deviations, clusters' disagreement included; "draw", whole
            draws from what the fit and the cell leave open, to carry on with each and pool (Rubin 1987).
        n_draws: number of draws.
        key_added: name of the results; None = f"{key}_imputed" or f"{key}_draw".
        rng, random_state: seed or generator of draws.
        copy: return a changed copy.

    Returns:
        The copy, if asked for. Written are layers[key_added] and layers[f"{key_added}_sd"] (0 where a value was
        observed), or layers[f"{key_added}_0"] ...; variables that the fit did not use keep their gaps. Of a fit of a
        representation, the same in obsm.

    Raises:
        DataError: no such results, an unknown method, an X that lies in a file.

    Example:
        >>> import numpy as np
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 8, 3, missing=0.3, rng=1)
        >>> cells.tl.mixture(adata, 3, covariance="tied", rng=1)
        >>> cells.tl.impute(adata)
        >>> bool(np.isnan(adata.X).any()), bool(np.isnan(adata.layers["mixture_imputed"]).any())
        (True, False)
    """
    if method not in ("mean", "draw"):
        raise DataError(f'method must be "mean" or "draw"; got {method!r:.80}')
    if method == "draw" and (isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 1):
        raise DataError(f"n_draws must be a whole number, 1 or more; got {n_draws!r:.80}")
    adata = written_to(adata, copy=copy)
    fit, matrix = load(adata, key), matrix_again(adata, key)
    refuse_backed(adata, adata.uns[key]["params"].get("layer"), "impute")
    name = key_added or f"{key}_{'imputed' if method == 'mean' else 'draw'}"
    refuse_key(name)
    if method == "mean":
        filled, sd = _means(fit, matrix)
        _write(adata, matrix, {name: filled, f"{name}_sd": sd})
    else:
        generator = as_generator(one_seed(rng, random_state))
        _write(adata, matrix, {f"{name}_{i}": _draw(fit, matrix, generator) for i in range(n_draws)})
    return adata if copy else None


def _means(fit: Fit, matrix: Matrix) -> tuple[Array, Array]:
    filled = np.empty((matrix.n_obs, len(matrix.names)))
    sd = np.empty(filled.shape)
    for rows, obs in matrix.parts():
        filled[rows], sd[rows] = fit.mixture.impute(obs)
    return filled, sd


def _draw(fit: Fit, matrix: Matrix, rng: np.random.Generator) -> Array:
    return np.concatenate([fit.mixture.draw(obs, rng=rng) for _, obs in matrix.parts()])


def _write(adata: AnnData, matrix: Matrix, named: dict[str, Array]) -> None:
    """Write values (n, D) as layers, or those of a representation into obsm."""
    for name, values in named.items():
        if matrix.columns is None:
            adata.obsm[name] = values
            continue
        whole = np.full(adata.shape, np.nan)
        whole[:, matrix.columns] = values
        adata.layers[name] = whole
