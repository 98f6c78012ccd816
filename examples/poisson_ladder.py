"""Droplets: brightness climbs a ladder with the number of molecules, and that number follows Poisson's law."""

import numpy as np

import mixsci as mx

# Droplets hold 0, 1, 2, 3 or more molecules, 0.9 on average. Each molecule adds 400 to a brightness of 1000.
rate, rungs = 0.9, 4
rng = np.random.default_rng(1)
copies = np.minimum(rng.poisson(rate, 5000), rungs - 1)
brightness = 1000.0 + 400.0 * copies + rng.normal(0.0, 90.0, 5000)
brightness[rng.random(5000) < 0.05] = np.nan

# Means on a ladder of two parameters, weights tied to one rate, one spread for all.
steps = np.stack([np.ones(rungs), np.arange(rungs)], axis=-1)[:, None, :]
model = mx.Model(
    n_components=rungs, covariance="tied", means=mx.means.Ladder(steps), weights=mx.weights.Poisson(last="tail")
)
fit = mx.fit(model, brightness[:, None], rng=1)
print(fit.outcome.value)
print(f"{fit.n_free} numbers were fitted: a rate, the foot and the step of the ladder, a spread")
print(f"molecules per droplet {float(fit.mixture.rates):.3f} (truth {rate})")
print("foot and step of the ladder", fit.mixture.theta.round(1), "(truth 1000 and 400)")
print(fit.summary().round(3))
