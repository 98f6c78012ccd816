"""Real blood cells (scanpy's pbmc68k_reduced), half of the values hidden: clusters before and after, gaps filled."""

import sys

import numpy as np

from mixsci import cells

try:
    import scanpy as sc
except ImportError:
    print("skipped: this example reads a file that comes with scanpy: python -m pip install scanpy")
    sys.exit()

adata = sc.datasets.pbmc68k_reduced().raw.to_adata()  # 700 cells, log(1 + normalised counts)
adata.X = adata.X.toarray()
whole = adata[:, np.argsort(-adata.X.var(axis=0))[:40]].copy()  # genes that vary most: rare ones are no Gaussians
print(f"{whole.n_obs} cells, {whole.n_vars} genes")

settings = {"n_components": 6, "n_factors": 5, "covariance": "factor_tied", "rng": 0}
cells.tl.mixture(whole, **settings)
print(cells.load(whole).outcome.value)
print(f"agreement with the types of the authors: {cells.agreement(whole.obs['mixture'], whole.obs['bulk_labels']):.2f}")

hidden = whole.copy()
hidden.X[np.random.default_rng(0).random(hidden.shape) < 0.5] = np.nan
cells.tl.mixture(hidden, **settings)
print(
    f"with half of the values hidden:          {cells.agreement(hidden.obs['mixture'], hidden.obs['bulk_labels']):.2f}"
)
print(f"agreement of both clusterings: {cells.agreement(whole.obs['mixture'], hidden.obs['mixture']):.2f}")

cells.tl.impute(hidden)
gaps, means = np.isnan(hidden.X), np.nanmean(hidden.X, axis=0)
left = np.mean((hidden.layers["mixture_imputed"] - whole.X)[gaps] ** 2)
print(f"hidden values are foretold with R² = {1 - left / np.mean((means - whole.X)[gaps] ** 2):.2f}")
assert left < np.mean((means - whole.X)[gaps] ** 2)
