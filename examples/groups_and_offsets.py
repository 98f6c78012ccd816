"""Batches that share their populations, each with its own mix of them and a drift of its own."""

import numpy as np

import mixsci as mx

# Two populations. Four batches hold different shares of them, and each is shifted as a whole.
batches = ("Monday", "Tuesday", "Wednesday", "Thursday")
truth = mx.Mixture(
    weights=[[0.8, 0.2], [0.5, 0.5], [0.3, 0.7], [0.6, 0.4]],
    means=[[0.0, 0.0], [5.0, 2.0]],
    covariances=[np.eye(2), 0.5 * np.eye(2)],
    offsets=[[0.9, -0.4], [-0.6, 0.3], [0.2, 0.7], [-0.5, -0.6]],
    group_labels=batches,
)
labels = np.repeat(batches, 400)
made = mx.simulate.rows(truth, len(labels), noise=mx.noise.from_errors([0.3, 0.3]), gaps=0.2, groups=labels, rng=1)

fit = mx.fit(mx.Model(n_components=2, offsets="group"), made.observations, rng=1)
print(fit.outcome.value)
print(fit.summary().round(2))

# Components come by falling weight; the labels of the groups stand in fit.mixture.group_labels.
order = np.argsort(fit.mixture.means[:, 0])
for label, weights, offset in zip(
    fit.mixture.group_labels, fit.mixture.weights[:, order], fit.mixture.offsets, strict=True
):
    g = batches.index(label)
    print(f"{label:9s}  weights {weights.round(2)} (truth {truth.weights[g]})  "
          f"offset {offset.round(2)} (truth {truth.offsets[g]})")  # fmt: skip

# A group's own mixture, its offset added to the means.
print("Monday:", fit.of_group("Monday").summary().round(2), sep="\n")
