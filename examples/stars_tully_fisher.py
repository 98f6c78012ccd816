"""The Tully-Fisher line, brightness of galaxies against their rotation: errors on both axes, values missing.

An ordinary least-squares line is too flat, because errors widen the line widths. One Gaussian behind the errors has the
right slope: that of the mean magnitude at a given width.
"""

import numpy as np

import mixsci as mx

BANDS = ("B", "V", "I")
SLOPE, ZERO_POINT, SCATTER = np.array([-8.0, -8.8, -9.3]), np.array([-19.8, -20.3, -21.1]), 0.3


def observe(n: int, rng: np.random.Generator) -> mx.Observations:
    """n galaxies: log line width and a magnitude in each band, with errors; some bands were not observed."""
    width = rng.normal(2.55, 0.12, n)
    magnitudes = SLOPE * (width[:, None] - 2.5) + ZERO_POINT + SCATTER * rng.normal(size=(n, 3))
    truth = np.column_stack([width, magnitudes])
    sigma = rng.uniform([0.03, 0.1, 0.1, 0.1], [0.08, 0.3, 0.2, 0.2], truth.shape)
    x = truth + sigma * rng.normal(size=truth.shape)
    x[:, 1:][rng.random(magnitudes.shape) < 0.15] = np.nan
    return mx.Observations(x, noise=mx.noise.from_errors(sigma))


def lines(mixture: mx.Mixture) -> np.ndarray:
    """(bands, 2) slope and zero point of the mean magnitude at a given log width, 2.5 for the zero point."""
    mean, covariance = mixture.means[0], mixture.covariances[0]
    slope = covariance[0, 1:] / covariance[0, 0]
    return np.column_stack([slope, mean[1:] + slope * (2.5 - mean[0])])


rng = np.random.default_rng(5)
galaxies = observe(400, rng)
fit = mx.fit(mx.Model(n_components=1), galaxies, rng=0)
print(fit.outcome.value)
found = lines(fit.mixture)

# How sure the lines are: from the curvature of the likelihood, by the delta method ...
_, sure = mx.standard_errors(fit, galaxies).of(lines)

# ... and by the jackknife: leave out one galaxy in twenty, twenty times.
parts = 20
turn = rng.permutation(len(galaxies)) % parts
kept = [galaxies.take(np.flatnonzero(turn != part)) for part in range(parts)]
each = np.array([lines(mx.fit(mx.Model(n_components=1), rows, rng=0).mixture) for rows in kept])
jackknife = np.sqrt((parts - 1) * each.var(axis=0))

for j, band in enumerate(BANDS):
    seen = ~np.isnan(galaxies.x[:, j + 1])
    naive = np.polyfit(galaxies.x[seen, 0] - 2.5, galaxies.x[seen, j + 1], 1)
    print(
        f"{band}: slope {found[j, 0]:.2f} ± {sure[j, 0]:.2f} (jackknife {jackknife[j, 0]:.2f}), zero point "
        f"{found[j, 1]:.2f} ± {sure[j, 1]:.2f}; least squares {naive[0]:.2f}; truth {SLOPE[j]:.2f}, {ZERO_POINT[j]:.2f}"
    )
    assert abs(found[j, 0] - SLOPE[j]) < 3 * sure[j, 0]
    assert naive[0] > SLOPE[j] + 5 * sure[j, 0], "least squares is far too flat"
