"""Which cells are positive, how surely, and what it costs to hide half of the values; then markers and odd cells."""

import anndata
import numpy as np
import pandas as pd

from mixsci import cells

rng = np.random.default_rng(1)
kinds = np.array(["B cell", "CD4 T cell", "CD8 T cell", "neither"])
names = ["CD3", "CD19", "CD4", "CD8"]
levels = np.array([[0.2, 5.5, 0.3, 0.1], [4.3, 0.0, 5.2, 0.0], [4.0, 0.0, 0.2, 4.5], [0.2, 0.1, 0.3, 0.2]])
kind = rng.choice(4, 1500, p=[0.15, 0.4, 0.2, 0.25])
x = levels[kind] + rng.normal(0.0, 0.7, (1500, 4))
x[rng.random(x.shape) < 0.5] = np.nan  # half of the values were not measured
x[:5] = [-4.0, 9.0, -4.0, 9.0]  # five cells of no kind

adata = anndata.AnnData(x, var=pd.DataFrame(index=names))
adata.obs["kind"] = pd.Categorical(kinds[kind])

cells.tl.gate(adata, ["CD3", "CD19"], rng=0)
cells.tl.gate(adata, ["CD4", "CD8"], parent="CD3_pos", rng=0)  # of T cells only
for sentence in adata.uns["gates"]["thresholds"]["sentence"]:
    print(sentence)

t_cell = np.isin(kind, [1, 2])
called = adata.obs["CD3_pos"].notna()
right = (adata.obs["CD3_pos"] == t_cell)[called].mean()
print(f"\nCD3 tells T cells from others in {right:.1%} of the {called.sum()} cells that have it")
assert right > 0.98

cells.tl.mixture(adata, 4, covariance=["tied", "full"], rng=0)
print(cells.load(adata).outcome.value)
cells.tl.rank_markers(adata)
ranked = adata.uns["rank_genes_groups"]
for cluster in ranked["names"].dtype.names:
    best, effect, n = (ranked[field][cluster][0] for field in ("names", "effects", "n_obs"))
    most = adata.obs.loc[adata.obs["mixture"] == cluster, "kind"].value_counts().index[0]
    print(f"cluster {cluster}, mostly {most}: {best} {effect:+.1f} standard deviations, seen in {n:.0f} cells")

cells.tl.outliers(adata, level=0.001)
odd = adata.obs["mixture_outlier"].fillna(value=False).to_numpy(dtype=bool)
print(f"\n{odd[:5].sum()} of 5 odd cells flagged, and {odd[5:].sum()} of the {len(odd) - 5} others")
assert odd[:5].all()
assert odd[5:].mean() < 0.005
