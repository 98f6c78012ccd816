"""Deconvolve a star catalogue: every value has an error of its own, and most velocities are missing."""

from pathlib import Path

import numpy as np
import pandas as pd

import mixsci as mx
from mixsci import plot

stars = pd.read_csv(Path(__file__).parent.parent / "data" / "stars.csv")
names = ["pmra", "pmdec", "vlos"]
print(f"{len(stars)} stars; without a value:", stars[names].isna().sum().to_dict())

# Blank cells are gaps, errors are standard deviations. No star is left out.
errors = stars[[f"{name}_error" for name in names]]
obs = mx.Observations(stars[names], noise=mx.noise.from_errors(errors))
fit = mx.fit(mx.Model(n_components=3), obs, rng=1)
print(fit.outcome.value)
print(fit.summary().round(2))

# The narrow component is the stream. Its spread is that of the stars themselves, the errors are taken out.
stream = int(np.argmin(fit.mixture.covariances[:, 0, 0]))
members = fit.responsibilities(obs)[:, stream] > 0.9
truth = (stars["population"] == "stream").to_numpy()
print(f"{members.sum()} sure members of the stream; {(members & truth).sum()} of them truly are")
print(f"measured scatter of pmra {stars['pmra'][members].std():.3f}, of the stream itself "
      f"{np.sqrt(fit.mixture.covariances[stream, 0, 0]):.3f} mas/yr")  # fmt: skip

# What would the velocity of a star be, that was never measured?
means, covariances = fit.posterior(obs)
star = int(np.flatnonzero(members & stars["vlos"].isna())[0])
print(f"star {star}: vlos {means[star, 2]:.0f} ± {np.sqrt(covariances[star, 2, 2]):.0f} km/s, foretold from its motion")

axes = plot.plot_pairs(fit, data=obs, names=["pmra (mas/yr)", "pmdec (mas/yr)", "vlos (km/s)"])
Path("stars.png").write_bytes(plot.as_png(axes[0, 0]))
