"""Clusters of one panel given to cells measured with another: markers they lack are gaps, nothing is fitted again."""

import numpy as np

from mixsci import cells

adata = cells.simulate_cells(900, 14, 4, missing=0.1, rng=5)
known, new = adata[:600].copy(), adata[600:].copy()
cells.tl.mixture(known, 4, covariance="tied", rng=0)
print(cells.load(known).outcome.value)

panel = new[:, [0, 2, 4, 5, 7, 8, 9, 11]].copy()  # eight of the fourteen markers ...
panel.var_names = ["CD45", *panel.var_names[1:]]  # ... of which the first has no namesake in the reference
cells.tl.map(known, panel)
print(f"{panel.uns['mixture']['n_variables']} of {known.n_vars} markers are known to both")

cells.tl.map(known, new)
for name, cells_of in (("the whole panel", new), ("seven markers", panel)):
    right = cells.agreement(cells_of.obs["mixture"], cells_of.obs["cell_type"])
    doubt = cells_of.obs["mixture_entropy"].mean()
    print(f"{name}: agreement with the truth {right:.2f}, mean entropy {doubt:.3f}")
    assert right > 0.8
assert panel.obs["mixture_entropy"].mean() > new.obs["mixture_entropy"].mean()

# A cell of which one marker was measured is assigned too, as surely as one marker allows; one of none is not.
few = panel[:5].copy()
few.X[:, 2:] = np.nan
few.X[4] = np.nan
cells.tl.map(known, few)
for label, prob in zip(few.obs["mixture"].astype(object), few.obs["mixture_prob"], strict=True):
    print("no value, no cluster" if np.isnan(prob) else f"cluster {label} with probability {prob:.2f}")
assert few.obs["mixture"].isna().tolist() == [False] * 4 + [True]
