"""Cluster cells: a mixture of the cells of an AnnData, its number of clusters and family of covariance by BIC."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from mixsci.cells.clusterings import Clustering, begin, best_of, numbers_of, verdict, warn_of_outcome
from mixsci.cells.labellings import warn_of_batches
from mixsci.cells.results import as_storable, write_mixture

if TYPE_CHECKING:
    from anndata import AnnData


def mixture(
    adata: AnnData, n_components: Any, *, layer: str | None = None, use_rep: str | None = None, mask_var: Any = None,
    covariance: Any = "auto", n_factors: int | None = None, noise_layer: str | None = None, weights: str | None = None,
    batch: str | None = None, zeros: str = "value", prior: Any = True, starts: int | None = None, tol: float = 1e-6,
    key_added: str = "mixture", rng: Any = None, random_state: Any = None, workers: Any = None, copy: bool = False,
) -> AnnData | None:  # fmt: skip
    """Cluster cells; missing values are integrated out, never filled in.

    Args:
        adata: cells by variables. Dense, sparse, Dask-lazy or backed X; NaN = missing.
        n_components: number of clusters, or several numbers of which BIC takes one.
        layer: whose values; None = X. use_rep: instead of variables, a representation in obsm.
        mask_var: which variables: a column of var, or booleans.
        covariance: "auto" (full, scaled, tied and factor for up to 30 variables, factor beyond), or one or several of
            "full", "scaled" (one shape, many sizes), "tied", "diag", "spherical", "tied_diag", "tied_spherical",
            "factor" (common to all clusters: "factor_tied", "factor_free"), "factor_own". Of several BIC takes one,
            each parameter counted with the cells that speak of it.
        n_factors: number of factors; None = chosen by BIC (of a sample of cells beyond 4 million values).
        noise_layer: layer with the standard deviation of the error of every value.
        weights: column of obs with weights of the cells.
        batch: column of obs with batches: each shifts every variable, and has shares of the clusters of its own.
        zeros: "value", or "missing" to take every zero as a gap.
        prior: True = weakly informative, free of units; None = maximum likelihood; or, without factors, of `mx.prior`.
        starts, tol: of each fit, as in `mixsci.fit`.
        key_added: name of the results. copy: return a changed copy.
        rng: seed or generator; `random_state` is another name for it. workers: threads, or a Dask client.

    Returns:
        The copy, if asked for. Written are obs[key] ("0", "1", ... by falling weight; missing for a cell without a
        value), obs[f"{key}_prob"], _entropy and _log_density, obsm[f"{key}_proba"], varm[f"{key}_means"] and uns[key],
        with a `verdict` and the `choices` compared. `mixsci.cells.load(adata, key)` gives the fit.

    Raises:
        DataError: arguments that do not fit the AnnData or one another.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 8, 3, missing=0.3, rng=1)
        >>> cells.tl.mixture(adata, 3, rng=1)
        >>> cells.agreement(adata.obs["mixture"], adata.obs["cell_type"]) > 0.9
        True
    """
    values = {"layer": layer, "use_rep": use_rep, "noise_layer": noise_layer, "weights": weights, "batch": batch}
    adata, clusterer = begin(
        adata, key_added, copy=copy, values=values | {"mask_var": mask_var, "zeros": zeros}, covariance=covariance,
        n_factors=n_factors, prior=prior, starts=starts, tol=tol, rng=rng, random_state=random_state, workers=workers,
    )  # fmt: skip
    numbers = numbers_of(n_components, clusterer.n_cells)
    found = clusterer.settled(list(clusterer.each(numbers)))
    best = best_of(found)
    chosen = {"covariance": best.family, "n_components": best.n_components, "n_factors": best.n_factors}
    assignment = write_mixture(adata, key_added, best.fit, clusterer.matrix, params=values | {"zeros": zeros} | chosen)
    sentence = verdict(found)
    adata.uns[key_added] |= {"verdict": sentence, "choices": table_of_choices(found)}
    _tell(sentence, best)
    warn_of_outcome(best)
    warn_of_batches(adata, assignment.codes, batch)
    return adata if copy else None


def table_of_choices(found: list[Clustering]) -> dict[str, Any]:
    """The fits as columns that survive a file."""
    rows = [one.row() for one in found]
    return {name: as_storable([row[name] for row in rows]) for name in rows[0]}


def _tell(sentence: str, best: Clustering) -> None:
    """Warn where BIC cannot tell the number of clusters that was asked for."""
    if "undecided" in sentence:
        warnings.warn(f"{sentence}; taken was K = {best.n_components}", UserWarning, stacklevel=3)
