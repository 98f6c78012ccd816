"""Clusters of cells of which two values in five are missing, measured in two batches: labels, and how sure they are."""

import warnings

import numpy as np

from mixsci import cells

adata = cells.simulate_cells(400, 12, 4, missing=0.4, batches=2, batch_effect=1.5, rng=3)  # or anndata.read_h5ad(path)
cells.pp.missingness(adata)  # warns where gaps depend on intensity
report = adata.uns["missingness"]
print(f"{report['share']:.0%} of the values are missing, {report['share_complete']:.0%} of the cells are complete")

# Nothing is filled in before the fit: gaps are integrated out, shifts of the batches are fitted with the rest.
cells.tl.mixture(adata, range(3, 6), covariance="tied", batch="batch", rng=0)
fit = cells.load(adata)
print(adata.uns["mixture"]["verdict"])
print(fit.outcome.value)
print(adata.obs[["mixture", "mixture_prob", "mixture_entropy"]].head().round(3))

right = cells.agreement(adata.obs["mixture"], adata.obs["cell_type"])
print(f"\nagreement with the truth (adjusted Rand index): {right:.2f}")
assert right > 0.85

with warnings.catch_warnings(action="always", record=True) as said:
    cells.tl.mixture(adata, 4, covariance="tied", key_added="blind", rng=0)
blind = cells.agreement(adata.obs["blind"], adata.obs["cell_type"])
print(f"without batch= it is {blind:.2f}")
for warning in said:
    print(f"and a warning says: {warning.message}")
assert blind < right

cells.tl.impute(adata)  # expected values and their standard deviations, as layers
gaps, true = np.isnan(adata.X), adata.layers["complete"]
filled, sd = adata.layers["mixture_imputed"], adata.layers["mixture_imputed_sd"]
means = np.nanmean(adata.X, axis=0)
error, plain = (np.sqrt(np.mean((x - true)[gaps] ** 2)) for x in (filled, np.broadcast_to(means, true.shape)))
print(f"\ngaps are filled to {error:.2f}, by means of the variables to {plain:.2f}")
within = np.mean((np.abs(filled - true) < 1.645 * sd)[gaps])
print(f"{within:.0%} of the true values lie in their 90 % interval")
assert error < plain
assert abs(within - 0.9) < 0.04

cells.tl.rank_markers(adata)
ranked = adata.uns["rank_genes_groups"]
for cluster in ranked["names"].dtype.names:
    print(f"cluster {cluster}: {', '.join(ranked['names'][cluster][:3])}")
adata.write_h5ad("clustered.h5ad")
