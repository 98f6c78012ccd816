"""Gaps and errors in scikit-learn: choose the number of components by cross-validation, then clean the table."""

import numpy as np
import sklearn
from sklearn.model_selection import GridSearchCV

import mixsci as mx

# Three kinds of objects, four measured columns, every value with an error of its own, one value in five missing.
rng = np.random.default_rng(3)
kind = rng.integers(3, size=600)
truth = rng.normal(size=(3, 4))[kind] * 3.0 + rng.normal(size=(600, 4)) @ np.diag([1.0, 0.6, 0.4, 0.8])
sigma = rng.uniform(0.1, 1.5, truth.shape)
X = truth + sigma * rng.normal(size=truth.shape)
X[rng.random(X.shape) < 0.2] = np.nan
noise = mx.noise.from_errors(sigma)

# With routing on, every fold gets the errors of its own rows, in fit and in score.
sklearn.set_config(enable_metadata_routing=True)
search = GridSearchCV(mx.GaussianMixture(n_init=4, random_state=0), {"n_components": [1, 2, 3, 4]}, cv=3)
search.fit(X, noise=noise)
for settings, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
    print(f"{settings['n_components']} components: {score:.3f} nats for a row that was held out")
gm = search.best_estimator_
print(f"chosen: {gm.n_components}. {gm.fit_.outcome.value}")

# The answers take the errors too. denoise gives the values behind them, with what is left of their uncertainty.
values, covariances = gm.denoise(X, noise=noise)
seen = ~np.isnan(X)
stated = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)[~seen].mean())
print(f"error of observed values: measured {(X - truth)[seen].std():.2f}, denoised {(values - truth)[seen].std():.2f}")
print(f"error of missing values: filled {(values - truth)[~seen].std():.2f}, stated {stated:.2f}")

# impute fills the gaps alone, for tools that cannot take them.
filled = gm.impute(X, noise=noise)
print(f"{np.isnan(X).sum()} gaps filled; observed values untouched: {bool((filled[seen] == X[seen]).all())}")

# Without its errors the same table seems wider than it is.
plain = mx.GaussianMixture(gm.n_components, n_init=4, random_state=0).fit(X)
spread = [np.sqrt(np.average([np.trace(C) for C in m.covariances_], weights=m.weights_)) for m in (plain, gm)]
print(f"spread within a component: {spread[0]:.2f} if errors are ignored, {spread[1]:.2f} behind them; truth 1.47")
