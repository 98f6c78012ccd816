"""How many groups are there, in flowers and in wines? BIC, ICL, a test, and components put together."""

import numpy as np
from sklearn.datasets import load_iris, load_wine, make_moons
from sklearn.metrics import adjusted_rand_score

import mixsci as mx

# Iris: three species, of which two overlap. BIC and ICL take two components of their own covariances; with one that all
# share two do not do, as the test says: what a component may be decides how many there are.
flowers, species = load_iris(return_X_y=True)
found = mx.select(flowers, range(1, 6), ("full", "tied", "scaled"), starts=5, rng=0)
for criterion in ("bic", "icl"):
    found = found.by(criterion)  # the same fits, judged otherwise
    print(f"iris, {criterion.upper()}: {found.verdict}; elbow at {found.elbow}. {found.best.outcome.value}")
print(found.table.drop(columns="held_out").round(1).to_string(index=False))

one, two, three = (mx.Model(k, covariance="tied") for k in (1, 2, 3))
for null, alternative in ((one, two), (two, three)):
    test = mx.likelihood_ratio_test(flowers, null, alternative, 19, starts=3, early_stop=True, rng=0)
    print(f"iris, {null.n_components} against {alternative.n_components} components: {test}")
labels = mx.fit(mx.Model(3), flowers, rng=0).predict(flowers)
print(f"iris, three components if asked for: agreement with the species {adjusted_rand_score(species, labels):.2f}")

# Wines: thirteen measurements of wines of three growers, a fifth of them lost. A covariance has 91 numbers here; two or
# three factors say what matters of it with far fewer, and BIC finds the growers.
wines, grower = load_wine(return_X_y=True)
wines = (wines - wines.mean(axis=0)) / wines.std(axis=0)
wines[np.random.default_rng(0).random(wines.shape) < 0.2] = np.nan
found = mx.select(wines, range(1, 6), "full", model=mx.FactorModel(n_factors=3), starts=3, rng=0)
print(f"wines: {found.verdict}; elbow at {found.elbow}")
print(f"wines: agreement with the growers {adjusted_rand_score(grower, found.best.predict(wines)):.2f}")

# Components need not be clusters: a bent one takes several Gaussians, which merging puts together again.
bent, moon = make_moons(400, noise=0.08, random_state=0)
found = mx.select(bent, range(1, 9), "full", starts=5, rng=0)
merging = mx.merge_components(found.best, bent)
print(f"moons: {found.minimum} components; merging proposes {merging.elbow} clusters")
for k in sorted({found.minimum, merging.elbow, 2}, reverse=True):
    agreement = adjusted_rand_score(moon, merging.labels(bent, k))
    print(f"moons, {k} clusters: entropy {merging.entropy[k]:.1f} nats, agreement {agreement:.2f}")
