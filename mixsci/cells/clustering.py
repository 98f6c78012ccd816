"""Cluster cells: a mixture of the cells of an AnnData, its number of clusters and family of covariance by BIC."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from mixsci.cells.annotations import refuse_key, written_to
from mixsci.cells.clusterings import Clusterer, Clustering, best_of, numbers_of, verdict
from mixsci.cells.labellings import warn_of_batches
from mixsci.cells.matrix import matrix_of
from mixsci.cells.results import as_storable, write_mixture
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData


def mixture(
    adata: AnnData,
    n_components: Any,
    *,
    layer: str | None = None,
    use_rep: str | None = None,
    mask_var: Any = None,
    covariance: Any = "auto",
    n_factors: int | None = None,
    noise_layer: str | None = None,
    weights: str | None = None,
    batch: str | None = None,
    zeros: str = "value",
    prior: Any = True,
    starts: int | None = None,
    tol: float = 1e-6,
    key_added: str = "mixture",
    rng: Any = None,
    random_state: Any = None,
    workers: Any = None,
    copy: bool = False,
) -> AnnData | None:
    """Cluster cells; missing values are integrated out, never filled in.

    Args:
        adata: cells by variables. Dense, sparse, Dask-lazy or backed X; NaN = missing.
        n_components: number of clusters, or several numbers of which BIC takes one.
        layer: whose values; None = X.
        use_rep: instead of variables, a representation in obsm.
        mask_var: which variables: a column of var, or booleans.
        covariance: "auto", or one or several of "full", "scaled" (one shape, a size for each), "tied", "diag",
            "spherical", "tied_diag", "tied_spherical", "factor" (few factors common to all clusters: "factor_tied",
            "factor_free") and "factor_own" (factors of their own); BIC takes one of several. "auto" is full, scaled,
            tied and factor for up to 30 variables, factor beyond.
        n_factors: number of factors; None = chosen by BIC, from that of all cells as one cluster on (of a sample of the
            cells where they hold more than 4 million values).
        noise_layer: layer with the standard deviation of the error of every value.
        weights: column of obs with weights of the cells.
        batch: column of obs with the batch of every cell: it shifts every variable by an amount of its own, and its
            clusters have shares of their own.
        zeros: "value", or "missing" to take every zero as a gap.
        prior: True = weakly informative, free of units, counted once on what clusters share; None = maximum likelihood;
            or, for families without factors, an object of `mixsci.prior`.
        starts, tol: of each fit, as in `mixsci.fit`.
        key_added: name of the results.
        rng: seed or generator; `random_state` is another name for it.
        workers: threads, or a Dask client.
        copy: return a changed copy.

    Returns:
        The copy, if asked for. Written are obs[key] (category "0", "1", ... by falling weight; missing for a cell
        without a value), obs[f"{key}_prob"], obs[f"{key}_entropy"], obs[f"{key}_log_density"], obsm[f"{key}_proba"],
        varm[f"{key}_means"], uns[f"{key}_colors"] and uns[key], with `verdict` and `choices` where several fits were
        compared. `mixsci.cells.load(adata, key)` gives the fit.

    Raises:
        DataError: arguments that do not fit the AnnData or one another.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 8, 3, missing=0.3, rng=1)
        >>> cells.tl.mixture(adata, 3, rng=1)
        >>> cells.agreement(adata.obs["mixture"], adata.obs["cell_type"]) > 0.9
        True
    """
    adata = written_to(adata, copy=copy)
    refuse_key(key_added)
    matrix = matrix_of(
        adata, layer=layer, use_rep=use_rep, mask_var=mask_var, noise_layer=noise_layer, weights=weights, batch=batch,
        zeros=zeros, spread=True,
    )  # fmt: skip
    numbers = numbers_of(n_components, int(matrix.seen.sum()))
    clusterer = Clusterer(
        matrix, covariance, n_factors, batch is not None, prior, starts, tol, one_seed(rng, random_state), workers
    )
    found = list(clusterer.each(numbers))
    best = best_of(found)
    params = {
        "layer": layer, "use_rep": use_rep, "noise_layer": noise_layer, "weights": weights, "batch": batch,
        "zeros": zeros, "covariance": best.family, "n_components": best.n_components, "n_factors": best.n_factors,
    }  # fmt: skip
    assignment = write_mixture(adata, key_added, best.fit, matrix, params=params)
    adata.uns[key_added]["verdict"] = verdict(found)
    adata.uns[key_added]["choices"] = table_of_choices(found)
    _tell(best, found)
    warn_of_batches(adata, assignment.codes, batch)
    return adata if copy else None


def table_of_choices(found: list[Clustering]) -> dict[str, Any]:
    """The fits as columns that survive a file."""
    rows = [one.row() for one in found]
    return {name: as_storable([row[name] for row in rows]) for name in rows[0]}


def one_seed(rng: Any, random_state: Any) -> Any:
    """The seed under either of its names."""
    if rng is not None and random_state is not None:
        raise DataError("rng and random_state are two names of one thing: give one of them")
    return random_state if rng is None else rng


def _tell(best: Clustering, found: list[Clustering]) -> None:
    """Warn where the number of clusters was asked for and BIC cannot tell."""
    sentence = verdict(found)
    if "undecided" in sentence:
        warnings.warn(f"{sentence}; taken was K = {best.n_components}", UserWarning, stacklevel=3)
