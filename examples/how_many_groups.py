"""How many groups are there, in flowers and in wines? BIC, ICL, a test, and components put together."""

from dataclasses import replace

import numpy as np
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score

import mixsci as mx

# Iris: three species, of which two overlap. BIC and ICL take two components of their own covariances; with one that all
# share two do not do, as the test says: what a component may be decides how many there are.
flowers, species = load_iris(return_X_y=True)
found = mx.select(flowers, range(1, 6), ("full", "tied", "scaled"), starts=5, rng=0)
for criterion in ("bic", "icl"):
    found = replace(found, criterion=criterion)  # the same fits, judged otherwise
    print(f"iris, {criterion.upper()}: {found.verdict}; elbow at {found.elbow}. {found.best.outcome.value}")
print(found.table.drop(columns="held_out").round(1).to_string(index=False))

one, two, three = (mx.Model(k, covariance="tied") for k in (1, 2, 3))
for null, alternative in ((one, two), (two, three)):
    test = mx.likelihood_ratio_test(flowers, null, alternative, 19, starts=3, early_stop=True, rng=0)
    print(f"iris, {null.n_components} against {alternative.n_components} components: {test}")
labels = mx.fit(mx.Model(3), flowers, rng=0).predict(flowers)
print(f"iris, three components if asked for: agreement with the species {adjusted_rand_score(species, labels):.2f}")

# Wines: thirteen measurements of wines of three growers, a fifth of them lost. With so many numbers per covariance a
# prior is called for.
wines, grower = load_wine(return_X_y=True)
wines = (wines - wines.mean(axis=0)) / wines.std(axis=0)
wines[np.random.default_rng(0).random(wines.shape) < 0.2] = np.nan
model = mx.Model(prior=mx.prior.InverseWishart())
found = mx.select(wines, range(1, 6), ("tied", "tied_diag", "diag"), model=model, starts=5, rng=0)
print(f"wines: {found.verdict}; elbow at {found.elbow}")
print(f"wines: agreement with the growers {adjusted_rand_score(grower, found.best.predict(wines)):.2f}")

# Components need not be clusters. Round ones of a size are many; merging puts those together that share flowers.
round_ = mx.fit(mx.Model(8, covariance="tied_spherical"), flowers, rng=0)
merging = mx.merge_components(round_, flowers)
for k in (8, merging.elbow, 3, 2):
    agreement = adjusted_rand_score(species, merging.labels(flowers, k))
    print(f"iris, {k} clusters of 8 round components: entropy {merging.entropy[k]:.1f} nats, agreement {agreement:.2f}")
