"""Velocities near the Sun, nineteen in twenty stars without a radial velocity: moving groups before a disc."""

import numpy as np
from astropy.table import QTable

from mixsci import stars


def show(table: QTable) -> None:
    """Print a table with two decimals."""
    table.round(2)
    print(*table.pformat(max_width=-1), "", sep="\n")


made = stars.simulate_disc(8000, without_velocity=0.95, rng=1)  # the columns of Gaia, and the truth behind them
kin = stars.from_gaia(made.table, "uvw")  # (v_r, v_l, v_b) = R (U, V, W), without v_r where it was not measured
print(kin)
known = kin.observations.seen()[:, kin.radial]
print(f"{known.sum()} of {len(kin)} stars have a radial velocity")

# A star without one still tells two of its three velocities, and there are nineteen times as many of these.
everyone = stars.deconvolve(kin, 1).to_table()
measured = stars.deconvolve(kin.take(known), 1).to_table()
for name in kin.latent_names:
    few, many = (float(table[f"{name}_error"][0].value) for table in (measured, everyone))
    print(f"mean {name}: ± {few:.2f} km/s from stars with a radial velocity, ± {many:.2f} from all")
    assert few > 3 * many

fit = stars.deconvolve(kin, range(3, 5), starts=4)  # the number of components that BIC wants
show(fit.choices["n_components", "bic", "best"])
print(fit.outcome.value)
show(fit.to_table()["component", "weight", "U", "V", "W", "sigma_U", "sigma_V", "sigma_W"])
show(fit.ellipsoids()["component", "vertex_deviation", "vertex_deviation_error"])

# The moving groups that stand out from the disc are found where they were put, in three dimensions.
found = fit.mixture.means
for group, name in ((2, "Hyades"), (3, "Sirius")):
    true = made.mixture.means[group]
    k = int(np.linalg.norm(found - true, axis=1).argmin())
    error = fit.standard_errors.means[k]
    words = ", ".join(f"{value:.1f} ± {sd:.1f}" for value, sd in zip(found[k], error, strict=True))
    print(f"{name}: ({words}) km/s, drawn from {true}")
    assert (np.abs(found[k] - true) < 4 * error).all()
