"""Anomaly detection: which rows are none of the kinds that were learnt, at a rate of false alarms chosen beforehand.

Rows have gaps and errors, so the log densities of two are not comparable: fewer values, another scale. What is: the
chance that a row of the same design would be as improbable. For normal rows it is uniform, whatever they lack.
"""

import numpy as np

import mixsci as mx


def observe(latent: np.ndarray, rng: np.random.Generator) -> mx.Observations:
    """Rows as sensors give them: errors of 0.1 to 0.8, one value in five missing."""
    sigma = rng.uniform(0.1, 0.8, latent.shape)
    x = latent + sigma * rng.normal(size=latent.shape)
    x[rng.random(x.shape) < 0.2] = np.nan
    return mx.Observations(x, noise=mx.noise.from_errors(sigma))


# Three ways in which a machine runs, in four sensors; learnt from 1500 rows of normal running.
rng = np.random.default_rng(8)
normal = mx.Mixture(
    [0.5, 0.3, 0.2],
    [[0.0, 0.0, 0.0, 0.0], [5.0, 4.0, 0.0, 2.0], [0.0, 6.0, 5.0, -3.0]],
    [0.3 * np.eye(4) + 0.7, np.diag([1.0, 0.3, 1.0, 0.3]), 0.6 * np.eye(4)],
)
train = observe(normal.sample(1500, rng=rng)[0], rng)
fit = mx.fit(mx.Model(n_components=3), train, rng=0)
print(fit.outcome.value)

# Held-out normal rows, and rows in which one sensor shows what it showed at another time: in its range, out of tune.
held_out = observe(normal.sample(1000, rng=rng)[0], rng)
broken, faulty = normal.sample(300, rng=rng)[0], rng.integers(4, size=300)
broken[np.arange(300), faulty] = rng.permutation(broken)[np.arange(300), faulty]
broken = observe(broken, rng)
chance, chance_broken = (mx.anomaly_chances(fit, rows, 399, rng=rng) for rows in (held_out, broken))

print("\nrate asked for   false alarms among 1000 normal rows   found of 300 broken ones")
for rate in (0.01, 0.05, 0.1):
    print(f"{rate:14.0%} {np.mean(chance <= rate):30.1%} {np.mean(chance_broken <= rate):28.1%}")

# A bar on the density itself is the same on average, and unfair: alarms by the number of sensors that were seen.
bar = np.quantile(fit.log_density(train), 0.05)
seen = held_out.seen().sum(axis=1)
print("\nfalse alarms at 5 %, by sensors seen   one bar on the density   chance by design")
for count in (2, 3, 4):
    here = seen == count
    alarms = np.mean(fit.log_density(held_out)[here] <= bar), np.mean(chance[here] <= 0.05)
    print(f"{count} ({here.sum()} rows) {alarms[0]:40.1%} {alarms[1]:18.1%}")

# Which sensor is it? The one without which the row is normal.
complete = np.flatnonzero(broken.seen().all(axis=1))
row = complete[chance_broken[complete].argmin()]
sigma = np.sqrt(np.diagonal(broken.noise.covariances(len(broken))[row]))
without = np.where(np.eye(4, dtype=bool), np.nan, broken.x[row])
again = mx.anomaly_chances(fit, mx.Observations(without, mx.noise.from_errors(np.tile(sigma, (4, 1)))), 399, rng=rng)
print(f"\nrow {row} has a chance of {chance_broken[row]:.3f}; its sensor {faulty[row]} is out of tune")
for sensor in range(4):
    print(f"without sensor {sensor} its chance is {again[sensor]:.3f}")
