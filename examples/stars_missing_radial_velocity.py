"""Radial velocities that were not measured, predicted from proper motions and parallaxes, and put to the test."""

import numpy as np

from mixsci import stars

made = stars.simulate_disc(6000, without_velocity=0.9, rng=2)
kin = stars.from_gaia(made.table, "uvw")
fit = stars.deconvolve(kin, 4, starts=3)
print(fit.outcome.value)

predicted = fit.predict_radial_velocity()  # mean, error and quantiles for every star
first = predicted["id", "radial_velocity", "radial_velocity_error", "q16", "q50", "q84"][:5]
first.round(1)
print(*first.pformat(max_width=-1), sep="\n")

# The truth of the stars without a radial velocity is known here, as they are simulated.
unknown = ~kin.observations.seen()[:, kin.radial]
true = made.truth["radial_velocity"][kin.rows][unknown].value
mean, low, high = (predicted[name][unknown].value for name in ("radial_velocity", "q16", "q84"))
inside = np.mean((low < true) & (true < high))
spread, left = true.std(), (true - mean).std()
print(f"{unknown.sum()} unmeasured velocities scatter by {spread:.1f} km/s, about their forecast by {left:.1f}")
print(f"{100 * inside:.1f} % of them lie between the 16 % and the 84 % quantile")
assert left < 0.85 * spread
assert abs(inside - 0.68) < 0.03

# Where velocities were measured the same test needs no truth: each is predicted as if it were not known.
test = fit.calibrate_radial_velocity()
print(test)
assert test.p_value > 0.01
