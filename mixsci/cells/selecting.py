"""How many clusters: fits of several numbers and families side by side, and what the cells can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixsci.cells.clustering import table_of_choices
from mixsci.cells.clusterings import CRITERIA, begin, best_of, numbers_of, verdict, warn_of_outcome
from mixsci.engine.tables import refuse_unknown

if TYPE_CHECKING:
    from anndata import AnnData


def select(
    adata: AnnData, n_components: Any = range(1, 9), *, covariance: Any = "auto", criterion: str = "bic",
    layer: str | None = None, use_rep: str | None = None, mask_var: Any = None, n_factors: int | None = None,
    noise_layer: str | None = None, weights: str | None = None, batch: str | None = None, zeros: str = "value",
    prior: Any = True, starts: int | None = None, key_added: str = "select", rng: Any = None, random_state: Any = None,
    workers: Any = None, copy: bool = False,
) -> AnnData | None:  # fmt: skip
    """Compare numbers of clusters and families of covariance; say plainly where the cells cannot tell.

    Args:
        adata: cells by variables; NaN = missing.
        n_components: numbers of clusters.
        criterion: "bic" (of families it takes one as `mixture` does), "aic", "icl", or "held_out": the density of
            hidden values given the others of their cells.
        covariance, layer, use_rep, mask_var, n_factors, noise_layer, weights, batch, zeros, prior, starts, rng,
            random_state, workers, copy: as in `mixture`.
        key_added: name of the results.

    Returns:
        The copy, if asked for. Written is uns[key]: `choices`, columns of a table with a row for every fit;
        `n_components` and `covariance` of the best; `verdict`, a sentence that says so, or that K is undecided where
        the criterion of several differs by less than 2. `mixsci.cells.pl.selection` draws it.

    Raises:
        DataError: arguments that do not fit the AnnData or one another.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(300, 5, 3, missing=0.2, rng=1)
        >>> cells.tl.select(adata, range(1, 5), covariance="tied", rng=1)
        >>> int(adata.uns["select"]["n_components"])
        3
    """
    refuse_unknown(criterion, CRITERIA, "criterion")
    values = {"layer": layer, "use_rep": use_rep, "mask_var": mask_var, "noise_layer": noise_layer, "zeros": zeros}
    adata, clusterer = begin(
        adata, key_added, copy=copy, values=values | {"weights": weights, "batch": batch}, covariance=covariance,
        n_factors=n_factors, prior=prior, starts=starts, rng=rng, random_state=random_state, workers=workers,
    )  # fmt: skip
    numbers = numbers_of(n_components, clusterer.n_cells)
    found = clusterer.settled(list(clusterer.each(numbers, held_out=criterion == "held_out")), criterion)
    best = best_of(found, criterion)
    warn_of_outcome(best)
    adata.uns[key_added] = {
        "choices": table_of_choices(found), "criterion": criterion, "n_components": best.n_components,
        "covariance": best.family, "n_factors": best.n_factors, "verdict": verdict(found, criterion),
    }  # fmt: skip
    return adata if copy else None
