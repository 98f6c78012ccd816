"""What a clustering found, as data frames: clusters, cells, means, markers, the fits that were compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.results import by_weight, load

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: What `tl.rank_markers` says of a variable and is told on.
_MARKER = ("names", "effects", "effects_se", "logfoldchanges", "scores", "pvals_adj", "n_obs")


def clusters_table(adata: AnnData, key: str = "mixture") -> pd.DataFrame:
    """One line per cluster: its share, of every batch where there are several, its cells and how sure they are.

    Columns: weight, `weight_BATCH` ..., n_cells (cells most probably of it), mean_prob (mean of their probabilities)
    and mean_entropy.

    Example:
        >>> from mixsci import cells
        >>> from mixsci.cells.tabulated import clusters_table
        >>> adata = cells.simulate_cells(200, 6, 2, rng=1)
        >>> cells.tl.mixture(adata, 2, covariance="tied", rng=1)
        >>> clusters_table(adata).columns.tolist()
        ['weight', 'n_cells', 'mean_prob', 'mean_entropy']
    """
    import pandas as pd

    entry, labels = adata.uns[key], adata.obs[key]
    names = [str(name) for name in labels.cat.categories]
    table = pd.DataFrame({"weight": np.asarray(entry["weights"])}, index=pd.Index(names, name="cluster"))
    if "batches" in entry:
        shares = np.atleast_2d(entry["batch_weights"])
        table = table.assign(**{f"weight_{name}": row for name, row in zip(entry["batches"], shares, strict=True)})
    of = adata.obs.groupby(labels.astype(str).where(labels.notna()))
    table["n_cells"] = labels.value_counts().reindex(names).to_numpy()
    for column in ("prob", "entropy"):
        table[f"mean_{column}"] = of[f"{key}_{column}"].mean().reindex(names).to_numpy()
    return table


def cells_table(adata: AnnData, key: str = "mixture") -> pd.DataFrame:
    """One line per cell, in their order: cluster (blank without a value), prob, entropy, log_density, p_0, p_1 ..."""
    import pandas as pd

    columns: dict[str, Any] = {"cluster": adata.obs[key].astype(object).to_numpy()}
    columns |= {name: adata.obs[f"{key}_{name}"].to_numpy() for name in ("prob", "entropy", "log_density")}
    columns |= {f"p_{k}": column for k, column in enumerate(np.asarray(adata.obsm[f"{key}_proba"]).T)}
    return pd.DataFrame(columns, index=pd.Index(adata.obs_names, name="cell"))


def means_table(adata: AnnData, key: str = "mixture") -> pd.DataFrame:
    """One line per variable of the fit: its mean in every cluster."""
    import pandas as pd

    fit, names = load(adata, key), [str(name) for name in adata.uns[key]["names"]]
    means = fit.mixture.component_means()[by_weight(fit)].T
    return pd.DataFrame(means, pd.Index(names, name="variable"), [str(k) for k in range(means.shape[1])])


def markers_table(adata: AnnData, key: str) -> pd.DataFrame:
    """One line per cluster and variable, in the order of `tl.rank_markers`.

    Args:
        adata: with markers.
        key: where they are in uns.
    """
    import pandas as pd

    ranked = adata.uns[key]
    parts = [
        pd.DataFrame({name: ranked[name][cluster] for name in _MARKER}).assign(
            cluster=cluster, observed=ranked["observed"][cluster].reindex(ranked["names"][cluster]).to_numpy()
        )
        for cluster in ranked["names"].dtype.names
    ]
    table = pd.concat(parts, ignore_index=True).rename(columns={"names": "variable"})
    return table.set_index(["cluster", "variable"])


def choices_table(adata: AnnData, key: str = "mixture") -> pd.DataFrame:
    """One line per fit that was compared, the one that was taken marked: see `tl.mixture` for how it was chosen."""
    import pandas as pd

    entry = adata.uns[key]
    table, params = pd.DataFrame(dict(entry["choices"])), entry["params"]
    taken = (table["n_components"] == params["n_components"]) & (table["covariance"] == params["covariance"])
    return table.dropna(axis=1, how="all").assign(taken=taken)


def gaps_table(adata: AnnData, key: str = "missingness") -> pd.DataFrame:
    """One line per variable: share of gaps, values, share of zeros, and the share of gaps in every batch."""
    import pandas as pd

    names = {key: "missing", f"{key}_observed": "observed", f"{key}_zeros": "zeros"}
    table = adata.var[list(names)].rename(columns=names).rename_axis("variable")
    by_batch = adata.varm.get(key)
    if isinstance(by_batch, pd.DataFrame):
        table = table.join(by_batch.add_prefix("missing_").set_axis(table.index))
    return table
