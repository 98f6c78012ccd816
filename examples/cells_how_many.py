"""How many clusters: what BIC says, what hidden values say, and when the cells cannot tell."""

import warnings

import matplotlib.pyplot as plt

from mixsci import cells

plt.switch_backend("Agg")
adata = cells.simulate_cells(400, 8, 3, missing=0.3, rng=1)
cells.tl.select(adata, range(1, 5), covariance=["tied", "full"], rng=0)
print(adata.uns["select"]["verdict"])
assert adata.uns["select"]["n_components"] == 3

cells.tl.select(adata, range(2, 5), covariance="tied", criterion="held_out", key_added="foretold", rng=0)
print(adata.uns["foretold"]["verdict"])
cells.pl.selection(adata, save="selection.png")

# Two types that overlap, seen in few cells: a sentence says that the data do not decide.
few = cells.simulate_cells(60, 5, 2, missing=0.3, separation=3.5, rng=4)
cells.tl.select(few, [1, 2, 3], covariance="tied", rng=0)
print(few.uns["select"]["verdict"])
assert "undecided" in few.uns["select"]["verdict"]

with warnings.catch_warnings(action="always", record=True) as said:
    cells.tl.mixture(few, [1, 2, 3], covariance="tied", rng=0)
print(*(warning.message for warning in said), sep="\n")
print(cells.load(few).outcome.value)
