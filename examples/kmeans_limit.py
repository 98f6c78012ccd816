"""k-means is a mixture at its limit: equal spheres that shrink to nothing, and what is lost on the way."""

import numpy as np

import mixsci as mx

# Three clouds that touch, one value in ten missing.
rng = np.random.default_rng(6)
centres = np.array([[0.0, 0.0], [3.0, 0.5], [1.0, 3.0]])
truth = rng.integers(3, size=600)
x = centres[truth] + rng.normal(size=(600, 2))
x[rng.random(x.shape) < 0.1] = np.nan
x = x[np.isfinite(x).any(axis=1)]

# The limit itself: every row wholly to the nearest mean, over what was seen of it.
spheres = {"n_components": 3, "covariance": "tied_spherical", "weights": "equal"}
hard = mx.fit(mx.Model(**spheres, assignment="hard"), x, rng=0)
print(hard.outcome.value)
variance = hard.mixture.covariances[0, 0, 0]
print(f"k-means: inertia {variance * np.isfinite(x).sum():.1f} over {np.isfinite(x).sum()} values, {variance:.3f} each")

# On the way there: the same model, soft, its spheres held at ever smaller sizes.
held = mx.Model(**spheres, frozen=mx.Frozen(covariances=True))
print("variance held   distance of means from those of k-means   mean probability of the component chosen")
for share in (1.0, 0.3, 0.1, 0.03, 0.01, 0.001):
    start = mx.Mixture(np.full(3, 1 / 3), hard.mixture.means, np.tile(share * variance * np.eye(2), (3, 1, 1)))
    soft = mx.fit(held, x, start=start)
    apart = np.linalg.norm(soft.mixture.means - hard.mixture.means, axis=1).max()
    print(f"{share * variance:13.4f} {apart:20.5f} {soft.responsibilities(x).max(axis=1).mean():40.4f}")

# What the limit costs: rows cut off at the borders make clouds look smaller and further apart than they are.
free = mx.fit(mx.Model(**spheres), x, rng=0)
within = free.mixture.covariances[0, 0, 0]
print(f"\nvariance within a cloud: truly 1, k-means {variance:.2f}, the soft mixture {within:.2f}")


def nearest_pair(means: np.ndarray) -> float:
    """The least distance between two means."""
    apart = np.linalg.norm(means[:, None] - means, axis=2)
    return float(apart[apart > 0].min())


found = [nearest_pair(means) for means in (centres, hard.mixture.means, free.mixture.means)]
print("nearest two means: truly {:.2f}, k-means {:.2f}, the soft mixture {:.2f} apart".format(*found))
