"""A cold stream before its field: who belongs to it, how surely, and what a threshold buys."""

import numpy as np
from astropy.table import QTable

from mixsci import stars


def show(table: QTable) -> None:
    """Print a table with three decimals."""
    table.round(3)
    print(*table.pformat(max_width=-1), sep="\n")


made = stars.simulate_stream(4000, 0.04, frame="GD1", rng=1)  # one star in 25 is of the stream
fit = stars.fit_stream(made.table, frame="GD1")  # the field beside the track first, then the stream on it
print(fit.outcome.value)
show(fit.to_table()["population", "weight", "weight_error", "pm_phi1", "pm_phi1_error", "pm_phi2", "pm_phi2_error"])
print(f"BIC is {fit.bic_gain:.0f} smaller with a stream than without")
assert fit.bic_gain > 10

error = fit.standard_errors.means[0]
for name, value, sd, true in zip(fit.latent_names, fit.mixture.means[0], error, made.mean, strict=True):
    print(f"{name}: {value:.3f} ± {sd:.3f} mas/yr, drawn from {true:.3f}")
    assert abs(value - true) < 4 * sd

members = fit.membership()
truth = np.asarray(made.truth["population"][members["row"]] == "stream")
curve = stars.purity_completeness(members["p_member"], truth, thresholds=[0.1, 0.5, 0.9])
print("\nAbove a probability, expected and true:")
for line in curve:
    print(
        f"P >= {line['threshold']:.1f}: {line['n']} stars, purity {line['purity']:.2f} ({line['true_purity']:.2f}), "
        f"completeness {line['completeness']:.2f} ({line['true_completeness']:.2f})"
    )
    assert abs(line["purity"] - line["true_purity"]) < 0.1
    assert abs(line["completeness"] - line["true_completeness"]) < 0.1

# What the motions alone say, whatever the share of the stream: add a prior of your own, of place or colour.
print("\nThe five clearest:")
best = members[np.argsort(members["log_bayes_factor"])[-5:]]
show(best["id", "phi1", "phi2", "p_member", "log_bayes_factor"])
