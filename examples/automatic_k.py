"""How many kinds of grains? Of at most eight the fit finds it, from sizes with errors and gaps."""

import numpy as np

import mixsci as mx

# Length, width and density of grains of four kinds, each value with its error, a quarter of them lost.
kinds = mx.Mixture(
    [0.4, 0.3, 0.2, 0.1],
    [[5.0, 3.0, 2.6], [8.0, 4.0, 2.7], [4.0, 3.5, 4.2], [9.0, 7.0, 3.3]],
    [np.diag([0.5, 0.3, 0.04]), np.diag([0.8, 0.2, 0.03]), np.diag([0.2, 0.2, 0.05]), np.diag([0.6, 0.6, 0.04])],
)
rng = np.random.default_rng(3)
errors = rng.uniform(0.2, 0.6, (600, 3)) * [1.0, 1.0, 0.3]
made = mx.simulate.rows(kinds, 600, noise=mx.noise.from_errors(errors), gaps=0.25, rng=rng)
grains = made.observations

for weights in ("stick-breaking", "annihilating"):
    found = mx.BayesianGaussianMixture(8, weights=weights, random_state=0).fit(grains.x, noise=grains.noise)
    print(f"{weights}: {found.n_components_} kinds of 8 offered. {found.fit_.outcome.value}")
    print(f"    shares {found.weights_.round(2)}")

# Posteriors are for choosing: the number that was found is fitted once more, for standard errors.
fit = mx.fit(mx.Model(found.n_components_), grains, start=found.fit_.mixture)
print(f"means   {fit.mixture.means.round(2).tolist()}")
print(f"+-      {mx.standard_errors(fit, grains).means.round(2).tolist()}")
