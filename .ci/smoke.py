"""What a user does first with the package as it is installed: fit gaps and errors, ask, save, load, find, cluster."""

import tempfile
from pathlib import Path

import numpy as np

import mixsci as mx

rng = np.random.default_rng(0)
centres = np.array([[0.0, 0.0], [8.0, 8.0]])
truth = centres[np.repeat([0, 1], 200)] + rng.normal(size=(400, 2))
sigma = rng.uniform(0.1, 1.0, truth.shape)
x = truth + sigma * rng.normal(size=truth.shape)
x[rng.random(x.shape) < 0.2] = np.nan

obs = mx.Observations(x, noise=mx.noise.from_errors(sigma))
fit = mx.fit(mx.Model(n_components=2), obs, rng=0)
assert fit.converged, fit.outcome
means = fit.mixture.means[np.argsort(fit.mixture.means[:, 0])]
assert np.abs(means - centres).max() < 0.5, means
assert np.isfinite(fit.posterior(obs)[0]).all()

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.json"
    fit.save(path)
    again = mx.load(path)
np.testing.assert_array_equal(again.mixture.means, fit.mixture.means)
np.testing.assert_array_equal(again.mixture.covariances, fit.mixture.covariances)

labels = mx.GaussianMixture(n_components=2, random_state=0).fit(x).predict(x)
seen = np.isfinite(x).any(axis=1)
half = labels[:200][seen[:200]]
assert max(np.mean(half == 0), np.mean(half == 1)) > 0.95

made = mx.ddpcr.simulate_plate([0.1, 1.0], n_droplets=4000, controls=1, rng=1)
with tempfile.TemporaryDirectory() as folder:
    q = mx.ddpcr.quantify(mx.ddpcr.read_plate(made.write(Path(folder) / "plate")))
    files = q.write(Path(folder) / "quantified")
    assert all(file.stat().st_size for file in files)
assert np.allclose(q.results["Lambda"], [0.1, 1.0, 0.0], rtol=0.15), q.results["Lambda"]

sky = mx.stars.simulate_stream(1500, 0.08, rng=3)
with tempfile.TemporaryDirectory() as folder:
    stream = mx.stars.fit_stream(sky.write(Path(folder) / "sky.ecsv"), frame=sky.frame)
    assert all(file.stat().st_size for file in stream.write(Path(folder) / "stream"))
assert np.abs(stream.mixture.means[0] - sky.mean).max() < 0.2, stream.mixture.means[0]

matrix = mx.cells.simulate_cells(200, 8, 3, missing=0.3, batches=2, rng=1)
mx.cells.tl.mixture(matrix, 3, covariance=["tied", "factor"], n_factors=2, batch="batch", rng=0)
mx.cells.tl.impute(matrix)
assert mx.cells.agreement(matrix.obs["mixture"], matrix.obs["cell_type"]) > 0.9
assert np.isfinite(matrix.layers["mixture_imputed"]).all()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "cells.h5ad"
    matrix.write_h5ad(path)
    assert mx.cells.load(mx.cells.read(path)).bic == mx.cells.load(matrix).bic

print(f"mixsci {mx.__version__} of {Path(mx.__file__).parent} fits, asks, saves, loads, quantifies, finds, clusters")
