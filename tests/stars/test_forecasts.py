"""Predicted radial velocities: conditional densities by SciPy, and quantiles that are as even as they should be."""

import json

import numpy as np
import pytest
from astropy.table import Table
from scipy.stats import kstest, norm

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError
from mixsci.stars.forecasts import calibrate, forecast, quantile
from mixsci.stars.geometry import tangent_basis

DISC = mx.Mixture(
    [0.7, 0.3],
    [[-10.0, -20.0, -7.0], [30.0, -90.0, 5.0]],
    [
        [[900.0, 80.0, -20.0], [80.0, 400.0, 10.0], [-20.0, 10.0, 250.0]],
        [[300.0, 0.0, 0.0], [0.0, 500.0, 90.0], [0.0, 90.0, 300.0]],
    ],
)


def near(n, missing=0.0, seed=0, space="uvw"):
    table = stars.simulate_disc(n, mixture=DISC, without_velocity=missing, rng=seed).table
    return stars.from_gaia(table, space, min_parallax_snr=0)


def observed(lon, lat, mixture, noise, error, seed):
    """Stars at these places with velocities drawn from a mixture and covariances (n, 2, 2) across the sky."""
    rng, n = np.random.default_rng(seed), len(lon)
    x = np.einsum("nab,nb->na", tangent_basis(lon, lat), mixture.sample(n, rng=rng)[0])
    x[:, 0] += error * rng.normal(size=n)
    x[:, 1:] += np.einsum("nab,nb->na", np.linalg.cholesky(noise), rng.normal(size=(n, 2)))
    columns = {"l": lon, "b": lat, "rv": x[:, 0], "e": np.full(n, error), "vl": x[:, 1], "vb": x[:, 2]}
    columns |= {"c_ll": noise[:, 0, 0], "c_lb": noise[:, 0, 1], "c_bb": noise[:, 1, 1]}
    return Table(columns)


def by_hand(mixture, kin, i):
    """Shares, means and variances (K,) of the radial velocity of a star, from its velocity across the sky."""
    R = tangent_basis(kin.lon[i : i + 1], kin.lat[i : i + 1])[0]
    x = kin.observations.x[i, 1:]
    noise = kin.observations.noise.covariances(len(kin))[i, 1:, 1:]
    log_share, means, variances = [], [], []
    for weight, mean, spread in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        m, c = R @ mean, R @ spread @ R.T
        total = c[1:, 1:] + noise
        gain = c[0, 1:] @ np.linalg.inv(total)
        means.append(m[0] + gain @ (x - m[1:]))
        variances.append(c[0, 0] - gain @ c[1:, 0])
        apart = x - m[1:]
        log_share.append(np.log(weight) - 0.5 * (apart @ np.linalg.solve(total, apart) + np.linalg.slogdet(total)[1]))
    share = np.exp(log_share - np.max(log_share))
    return share / share.sum(), np.array(means), np.array(variances)


# --- against conditioning by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0.0, 0.5, 1.0])
def test_predictions_are_conditional_distributions(missing):
    table, kin = forecast(DISC, near(60, missing)), near(60, 0.0)  # the same stars, whose velocities are there to skip
    for i, row in enumerate(table):
        share, means, variances = by_hand(DISC, kin, i)
        mean = share @ means
        assert row["radial_velocity"].value == pytest.approx(mean, rel=1e-9)
        spread = np.sqrt(share @ (variances + (means - mean) ** 2))
        assert row["radial_velocity_error"].value == pytest.approx(spread, rel=1e-9)
        for name, level in (("q16", 0.16), ("q50", 0.5), ("q84", 0.84)):
            below = share @ norm.cdf(row[name].value, means, np.sqrt(variances))
            assert below == pytest.approx(level, rel=1e-9)


def test_a_measured_velocity_is_not_used_for_its_own_prediction():
    kin = near(40)
    moved = kin.observations.x.copy()
    moved[:, 0] += 500.0
    other = type(kin)(**{**vars(kin), "observations": kin.observations.valued(moved)})
    first, second = forecast(DISC, kin), forecast(DISC, other)
    for name in first.colnames:
        np.testing.assert_array_equal(first[name], second[name])


def test_proper_motions_predict_velocities_too():
    kin = near(300, 0.5, space="pm+rv")
    spread = np.array([[400.0, 100.0, 60.0], [100.0, 300.0, -90.0], [60.0, -90.0, 900.0]])
    mixture = mx.Mixture([1.0], [[1.0, 2.0, -12.0]], [spread])
    table = forecast(mixture, kin)
    noise = kin.observations.noise.covariances(300)[:, :2, :2]
    gain = np.einsum("a,nab->nb", spread[2, :2], np.linalg.inv(spread[:2, :2] + noise))
    expected = -12.0 + np.einsum("na,na->n", gain, kin.observations.x[:, :2] - [1.0, 2.0])
    np.testing.assert_allclose(table["radial_velocity"].value, expected, rtol=1e-9)
    np.testing.assert_allclose(table["radial_velocity_error"].value, np.sqrt(900.0 - gain @ spread[2, :2]), rtol=1e-9)
    assert table["q16"].unit == table["radial_velocity_error"].unit == "km / s"


def test_levels_may_be_chosen():
    table = forecast(DISC, near(20), levels=(0.025, 0.5, 0.975))
    names = [name for name in table.colnames if name.startswith("q")]
    assert names == ["q2.5", "q50", "q97.5"]
    assert (np.diff(np.array([table[name].value for name in names]), axis=0) > 0).all()
    np.testing.assert_array_equal(table["q50"], forecast(DISC, near(20))["q50"])


def test_quantiles_are_inverse_to_probabilities():
    rng = np.random.default_rng(1)
    shares, means = rng.dirichlet(np.ones(4), 200), rng.normal(0, 80, (200, 4))
    variances = rng.uniform(1, 40, (200, 4)) ** 2
    for level in (1e-4, 0.3, 0.5, 0.999):
        at = quantile(shares, means, variances, level)
        reached = (shares * norm.cdf(at[:, None], means, np.sqrt(variances))).sum(axis=1)
        np.testing.assert_allclose(reached, level, rtol=1e-6)
    assert quantile(np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)), 0.5)[0] == pytest.approx(0.0, abs=1e-9)


# --- calibration ------------------------------------------------------------------------------------------------------


def test_quantiles_of_simulated_stars_are_uniform():
    made = calibrate(DISC, near(2000))
    assert len(made.rows) == 2000
    assert kstest(made.quantiles, "uniform").pvalue == made.p_value > 0.01
    assert kstest(made.quantiles, "uniform").statistic == made.ks


def test_a_fit_predicts_velocities_that_it_has_never_seen():
    fitted, fresh = near(2000, 0.9), near(2000, seed=1)
    found = stars.deconvolve(fitted, 2)
    made = found.calibrate_radial_velocity(fresh)
    assert made.p_value > 0.01
    # Stars of which it has seen the velocity are no harder, and there are 200 of them.
    assert len(found.calibrate_radial_velocity().rows) == 200
    assert found.calibrate_radial_velocity().p_value > 0.01
    z = (made.measured - made.predicted) / np.hypot(made.predicted_error, made.measured_error)
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.15)


def test_errors_of_measurements_are_allowed_for():
    table = observed(*np.random.default_rng(3).uniform([[0], [-70]], [[360], [70]], (2, 1500)), DISC,
                     np.tile(4.0 * np.eye(2), (1500, 1, 1)), 40.0, seed=4)  # fmt: skip
    settings = {"v_rad": "rv", "v_rad_error": "e"}
    made = calibrate(DISC, stars.from_velocities(table, **settings))
    assert made.p_value > 0.01
    np.testing.assert_allclose(made.measured_error, 40.0)
    # Were they thought to be exact, far too many would lie in the wings.
    table["e"] = 1e-3
    blind = calibrate(DISC, stars.from_velocities(table, **settings))
    assert blind.p_value < 1e-6
    np.testing.assert_array_equal(blind.predicted, made.predicted)


def test_a_wrong_model_is_found_out():
    for factor in (0.6, 1.7):
        wrong = mx.Mixture(DISC.weights, DISC.means, factor * DISC.covariances)
        assert calibrate(wrong, near(2000)).p_value < 1e-4


@pytest.fixture(scope="module")
def ten(real_data):
    """Ten components behind the Hipparcos stars, fitted; and the stars."""
    folder = real_data / "stars"
    published = json.loads((folder / "bhr2009_k10.json").read_text())
    start = mx.Mixture(*(published[name] for name in ("amp", "mean", "covar")))
    kin = stars.from_velocities(stars.read(folder / "hipparcos_db98.fits"))
    return stars.deconvolve(kin, 10, start=start, prior=mx.prior.Bovy(4.0)).mixture, kin


def test_velocities_hidden_from_the_hipparcos_model_are_found(ten):
    mixture, kin = ten
    noise = kin.observations.noise.covariances(len(kin))
    table = observed(kin.lon, kin.lat, mixture, noise, 0.5, seed=5)
    full = stars.from_velocities(table, v_rad="rv", v_rad_error="e")
    made = calibrate(mixture, full)
    assert len(made.rows) == 11_865
    assert made.p_value > 0.01
    # What was hidden is found within the limits that were stated.
    hidden = forecast(mixture, stars.from_velocities(table))
    inside = (table["rv"] > hidden["q16"].value) & (table["rv"] < hidden["q84"].value)
    assert inside.mean() == pytest.approx(0.68, abs=4 * np.sqrt(0.68 * 0.32 / len(table)))
    np.testing.assert_array_equal(hidden["radial_velocity"].value, made.predicted)
    # In every third of the sky, seen from its pole.
    for low, high in ((-90, -19.5), (-19.5, 19.5), (19.5, 90)):
        assert kstest(made.quantiles[(kin.lat > low) & (kin.lat <= high)], "uniform").pvalue > 0.003


# --- what is refused --------------------------------------------------------------------------------------------------


def test_spaces_without_a_line_of_sight_are_refused():
    for space in ("pm", "tangential"):
        kin = near(50, space=space)
        found = stars.deconvolve(kin, 1)
        with pytest.raises(DataError, match="uvw"):
            found.predict_radial_velocity()
        with pytest.raises(DataError, match="measured radial velocity"):
            found.calibrate_radial_velocity()


def test_a_calibration_needs_measured_velocities():
    with pytest.raises(DataError, match="measured radial velocity"):
        calibrate(DISC, near(50, 1.0))


@pytest.mark.parametrize("levels", [(0.0,), (1.0,), (0.5, 2.0), (float("nan"),)], ids=str)
def test_levels_are_checked(levels):
    with pytest.raises(DataError, match="level"):
        forecast(DISC, near(10), levels=levels)


def test_repr_says_how_well_it_went():
    assert repr(calibrate(DISC, near(100))).startswith("Calibration(100 stars, KS distance 0.")
