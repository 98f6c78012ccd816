"""Beaks of three depths: three types measured with error, or do birds vary within a type?"""

import numpy as np

import mixsci as mx

rng = np.random.default_rng(4)
types, shares, n = np.array([8.0, 9.5, 11.5]), [0.4, 0.35, 0.25], 400
which = rng.choice(3, size=n, p=shares)

# The calliper errs by 0.35 mm, as its maker says. On one island birds of a type are alike, on the other they vary.
error = 0.35
alike = types[which] + error * rng.normal(size=n)
varied = types[which] + 0.3 * rng.normal(size=n) + error * rng.normal(size=n)
for island, depth in {"first": alike, "second": varied}.items():
    answer = mx.discrete_or_continuous(depth, error, n_components=3, n_boot=99, early_stop=True, rng=1)
    print(f"{island} island: {answer.discrete.outcome.value}")
    print(f"  {answer}")
    print(f"  intrinsic sd {np.sqrt(answer.excess[0]):.2f} mm, at most {np.sqrt(answer.interval[0, 1]):.2f} mm")

# Nobody knows the error of the second calliper: every third bird was measured twice, and the error follows from these.
twice = (types[which] + 0.3 * rng.normal(size=n))[:, None] + error * rng.normal(size=(n, 2))
twice[np.arange(n) % 3 > 0, 1] = np.nan
answer = mx.discrete_or_continuous(twice, None, n_components=3, repeats=True, n_boot=99, early_stop=True, rng=1)
print(f"error found from repeats: variance of a mean {answer.error_variance[0]:.3f} mm^2\n  {answer}")

# How many birds does it take to know that there are two types, so and so far apart, with such a calliper?
for apart in (0.3, 0.5, 0.7):
    pair = mx.Mixture([0.5, 0.5], [[0.0], [apart]], np.full((2, 1, 1), 1e-6))
    calliper = mx.noise.from_errors([error])
    known = mx.resolvability(pair, n, covariance="known", noise=calliper).rows_needed
    free = mx.resolvability(pair, n, covariance="tied", noise=calliper).rows_needed
    print(
        f"types {apart} mm apart: {known:.0f} birds if nothing but the error spreads them, {free:.0f} if they may vary"
    )
