"""Single cells by mass spectrometry: runs that shift, proteins that a whole run lacks, half of the values missing."""

import warnings

import numpy as np

from mixsci import cells

rng = np.random.default_rng(7)
adata = cells.simulate_cells(300, 100, 3, n_factors=2, missing=0.3, batches=6, batch_effect=5.0, rng=7)
runs = adata.obs["batch"].cat.codes.to_numpy()
adata.X[(rng.random((6, adata.n_vars)) < 0.3)[runs]] = np.nan  # what a run did not identify is missing in all its cells

cells.pp.missingness(adata, groupby="batch")
report = adata.uns["missingness"]
print(f"{report['share']:.0%} of the values are missing; {report['share_complete']:.0%} of the cells are complete")

# Beyond 30 variables few factors stand in for covariances; their number is chosen by BIC, shifts of runs are fitted.
cells.tl.mixture(adata, 3, covariance="factor_tied", batch="batch", rng=0)
params = adata.uns["mixture"]["params"]
right = cells.agreement(adata.obs["mixture"], adata.obs["cell_type"])
print(cells.load(adata).outcome.value)
print(f"{params['n_factors']} factors ({params['covariance']}), agreement with the truth {right:.2f}")
assert right > 0.9

with warnings.catch_warnings(action="always", record=True) as said:
    cells.tl.mixture(adata, 3, covariance="factor_tied", n_factors=2, key_added="blind", rng=0)
print(f"without batch= it is {cells.agreement(adata.obs['blind'], adata.obs['cell_type']):.2f}")
print(*(f"warning: {warning.message}" for warning in said), sep="\n")
assert any("looks like a batch" in str(warning.message) for warning in said)

cells.tl.factor(adata, params["n_factors"], batch="batch", rng=0)  # for sc.pp.neighbors(adata, use_rep="X_factor")
n_seen = (~np.isnan(adata.X)).sum(axis=1)
few, many = (adata.obsm["X_factor_sd"][which].mean() for which in (n_seen < 45, n_seen > 55))
print(f"\nfactors of cells with fewer than 45 values are known to {few:.3f}, of those with more than 55 to {many:.3f}")
assert few > many

table = adata.uns["mixture"]["batch_weights"]
print("shares of the clusters, run by run:")
for name, shares in zip(adata.uns["mixture"]["batches"], table, strict=True):
    print(name, " ".join(f"{share:.2f}" for share in shares))
