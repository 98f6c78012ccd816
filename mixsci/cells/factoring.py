"""Few factors behind many variables: an embedding with its uncertainty, gaps integrated out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.clusterings import begin, warn_of_outcome
from mixsci.cells.families import FAMILIES
from mixsci.cells.matrix import Matrix
from mixsci.cells.results import as_storable, facts_of_fit, spread_over_variables
from mixsci.engine.em.result import Fit
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


def factor(
    adata: AnnData, n_factors: int | None = None, *, layer: str | None = None, mask_var: Any = None,
    noise_layer: str | None = None, weights: str | None = None, batch: str | None = None, zeros: str = "value",
    prior: bool | None = True, criterion: str = "bic", tol: float = 1e-6, key_added: str = "factor", rng: Any = None,
    random_state: Any = None, workers: Any = None, copy: bool = False,
) -> AnnData | None:  # fmt: skip
    """Factors of the cells: principal components that know gaps, errors and batches, and how sure they are.

    Args:
        adata: cells by variables; NaN = missing.
        n_factors: number of factors; None = where the criterion is least.
        criterion: "bic"; or "held_out", minus the density of hidden values given the others of their cells.
        layer, mask_var, noise_layer, weights, batch, zeros, prior, tol, rng, random_state, workers, copy: as in
            `mixture`.
        key_added: name of the results.

    Returns:
        The copy, if asked for. Written are obsm[f"X_{key}"] (n, q), factors of mean 0 and variance 1 in the order of
        what they explain, for `sc.pp.neighbors(use_rep=...)`; obsm[f"X_{key}_sd"], their standard deviations given the
        cell (a cell without a value has mean 0 and standard deviation 1); varm[f"{key}_loadings"] (n_vars, q), NaN for
        variables that were not used; uns[key] with the share of variance that each explains and the fit.

    Raises:
        DataError: arguments that do not fit the AnnData or one another.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 40, 3, n_factors=2, missing=0.5, rng=1)
        >>> cells.tl.factor(adata, 2, rng=1)
        >>> adata.obsm["X_factor"].shape, adata.varm["factor_loadings"].shape
        ((300, 2), (40, 2))
    """
    if criterion not in ("bic", "held_out"):
        raise DataError(f'criterion must be "bic" or "held_out"; got {criterion!r:.80}')
    values = {"layer": layer, "noise_layer": noise_layer, "weights": weights, "batch": batch, "zeros": zeros}
    adata, clusterer = begin(
        adata, key_added, copy=copy, values=values | {"mask_var": mask_var}, covariance="factor_tied", prior=prior,
        n_factors=n_factors, tol=tol, rng=rng, random_state=random_state, workers=workers, criterion=criterion,
    )  # fmt: skip
    found, matrix = clusterer.one(1, FAMILIES["factor_tied"]), clusterer.matrix
    warn_of_outcome(found)
    facts = facts_of_fit(found.fit, matrix) | {"params": values | {"n_factors": found.n_factors}}
    if n_factors is None:
        tried = clusterer.factor_table
        facts["choices"] = {"n_factors": list(tried), criterion: list(tried.values())}
    write_factors(adata, key_added, found.fit, matrix, facts)
    return adata if copy else None


def write_factors(adata: AnnData, key: str, fit: Fit, matrix: Matrix, facts: dict[str, Any]) -> None:
    """Write scores, their standard deviations, loadings and facts."""
    assert isinstance(fit.mixture, FactorMixture)
    scores = np.empty((matrix.n_obs, fit.mixture.n_dims))
    sd = np.empty(scores.shape)
    for rows, obs in matrix.parts():
        scores[rows], covariances = fit.mixture.posterior(obs)
        sd[rows] = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))
    adata.obsm[f"X_{key}"], adata.obsm[f"X_{key}_sd"] = scores, sd
    assert matrix.columns is not None
    adata.varm[f"{key}_loadings"] = spread_over_variables(fit.mixture.loadings, matrix.columns, adata.n_vars)
    adata.uns[key] = as_storable(facts | {"variance_ratio": variance_ratio(fit.mixture)})


def variance_ratio(mixture: FactorMixture) -> Array:
    """(q,) share of the variables' variance, each scaled to one, that each factor explains."""
    whole = (mixture.loadings**2).sum(axis=1) + mixture.uniquenesses
    return np.asarray((mixture.loadings**2 / whole[:, None]).mean(axis=0))
