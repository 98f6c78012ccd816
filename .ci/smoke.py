"""What a user does first, with the package as it is installed: import, fit gaps and errors, ask, save and load."""

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

print(f"mixsci {mx.__version__} of {Path(mx.__file__).parent} fits, asks, saves and loads")
