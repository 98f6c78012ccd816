"""Fit a mixture to a plain table, and ask it things."""

import numpy as np

import mixsci as mx

# Two clouds of points in two columns.
rng = np.random.default_rng(1)
x = np.concatenate([rng.normal([0, 0], [1.0, 0.5], (300, 2)), rng.normal([4, 3], [0.7, 1.2], (700, 2))])

# What is assumed, then what was found.
fit = mx.fit(mx.Model(n_components=2), x, rng=1)
print(fit.outcome.value)
print(fit.summary().round(2))

# Which component does a point belong to, and how surely?
points = np.array([[0.0, 0.0], [2.0, 1.5], [4.0, 3.0]])
print("responsibilities\n", fit.responsibilities(points).round(3))

# What does the second column look like where the first one is 1?
print("given x0 = 1:", fit.condition({0: 1.0}).summary(["x1"]).round(2), sep="\n")

# How many components? Smaller is better.
for k in (1, 2, 3):
    print(f"{k} components: BIC {mx.fit(mx.Model(n_components=k), x, rng=1).bic:.1f}")
