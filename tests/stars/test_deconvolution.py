"""Deconvolved distributions: closed forms, the truth of simulations, and errors that are as large as they say."""

import copy
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError
from mixsci.stars.deconvolution import omega_of
from mixsci.stars.ellipsoids import dispersions, tilt

DISC = mx.Mixture(
    [0.7, 0.3],
    [[-10.0, -20.0, -7.0], [30.0, -90.0, 5.0]],
    [
        [[900.0, 80.0, -20.0], [80.0, 400.0, 10.0], [-20.0, 10.0, 250.0]],
        [[300.0, 0.0, 0.0], [0.0, 500.0, 90.0], [0.0, 90.0, 300.0]],
    ],
)
ONE = mx.Mixture([1.0], DISC.means[:1], DISC.covariances[:1])


def near(n, mixture=DISC, missing=0.5, seed=0):
    """Stars near the Sun in the space of (U, V, W), some without a radial velocity."""
    made = stars.simulate_disc(n, mixture=mixture, without_velocity=missing, rng=seed)
    return stars.from_gaia(made.table, "uvw", min_parallax_snr=0)


def motions(x, error, rho=None, **more):
    """Stars with these proper motions (n, 2) and errors, one number, (n,) or (n, 2)."""
    error = np.broadcast_to(np.reshape(error, (-1, 1)) if np.ndim(error) == 1 else error, x.shape)
    table = {"pmra": x[:, 0], "pmdec": x[:, 1], "pmra_error": error[:, 0], "pmdec_error": error[:, 1]}
    table["pmra_pmdec_corr"] = np.zeros(len(x)) if rho is None else rho
    table |= {"ra": np.linspace(0, 350, len(x)), "dec": np.linspace(-60, 60, len(x))}
    return stars.from_gaia(table | more)


def normal(n, mean, covariance, seed=0):
    return np.random.default_rng(seed).multivariate_normal(mean, covariance, n)


SPREAD = np.array([[2.0, 0.6], [0.6, 0.8]])
EXACT = 1e-7  # mas/yr


@pytest.fixture(scope="module")
def disc():
    return near(2000)


@pytest.fixture(scope="module")
def two(disc):
    return stars.deconvolve(disc, 2)


# --- closed forms -----------------------------------------------------------------------------------------------------


def test_one_component_of_exact_motions_is_their_mean_and_covariance():
    x = normal(400, [1.0, -3.0], SPREAD)
    row = stars.deconvolve(motions(x, EXACT), 1).to_table()[0]
    n, covariance = len(x), np.cov(x.T, ddof=0)
    expected = {
        "weight": (1.0, 0.0),
        "pmra": (x[:, 0].mean(), np.sqrt(covariance[0, 0] / n)),
        "pmdec": (x[:, 1].mean(), np.sqrt(covariance[1, 1] / n)),
        "sigma_pmra": (np.sqrt(covariance[0, 0]), np.sqrt(covariance[0, 0] / (2 * n))),
        "sigma_pmdec": (np.sqrt(covariance[1, 1]), np.sqrt(covariance[1, 1] / (2 * n))),
        "cov_pmra_pmdec": (
            covariance[0, 1], np.sqrt((covariance[0, 0] * covariance[1, 1] + covariance[0, 1] ** 2) / n),
        ),
    }  # fmt: skip
    for name, (value, error) in expected.items():
        assert u.Quantity(row[name]).value == pytest.approx(value, rel=1e-6), name
        assert u.Quantity(row[f"{name}_error"]).value == pytest.approx(error, rel=1e-5, abs=1e-12), name


def test_equal_noise_is_taken_out_of_the_covariance_and_stays_in_its_error():
    x, noise = normal(500, [0.0, 0.0], SPREAD) + normal(500, [0, 0], 0.5 * np.eye(2), seed=1), 0.5
    row = stars.deconvolve(motions(x, np.sqrt(noise)), 1).to_table()[0]
    total, n = np.cov(x.T, ddof=0), 500
    sigma = np.sqrt(total[0, 0] - noise)
    assert row["sigma_pmra"].value == pytest.approx(sigma, rel=1e-5)
    assert row["cov_pmra_pmdec"].value == pytest.approx(total[0, 1], rel=1e-5)
    assert row["pmra_error"].value == pytest.approx(np.sqrt(total[0, 0] / n), rel=1e-5)
    # Of a variance the error is that of the observed one, sqrt(2 / n) of it; of its root half that over the root.
    assert row["sigma_pmra_error"].value == pytest.approx(np.sqrt(2 / n) * total[0, 0] / (2 * sigma), rel=1e-4)


def test_denoised_stars_are_shrunken_towards_the_mean():
    x = normal(200, [1.0, -3.0], SPREAD)
    rng = np.random.default_rng(2)
    kin = motions(x, rng.uniform(0.3, 1.5, (200, 2)), rng.uniform(-0.5, 0.5, 200))
    found = stars.deconvolve(kin, 1)
    mean, spread = found.mixture.means[0], found.mixture.covariances[0]
    table, noise = found.denoised(), kin.observations.noise.covariances(200)
    gain = spread @ np.linalg.inv(spread + noise)
    expected = mean + np.einsum("nab,nb->na", gain, x - mean)
    left = spread - gain @ spread
    for j, name in enumerate(("pmra", "pmdec")):
        np.testing.assert_allclose(table[name].to_value("mas / yr"), expected[:, j], rtol=1e-10)
        np.testing.assert_allclose(table[f"{name}_error"].to_value("mas / yr"), np.sqrt(left[:, j, j]), rtol=1e-10)
    np.testing.assert_allclose(table["cov_pmra_pmdec"].to_value("mas2 / yr2"), left[:, 0, 1], rtol=1e-8)


def test_denoised_velocities_are_nearer_to_the_truth_than_measured_ones():
    made = stars.simulate_disc(1500, mixture=DISC, without_velocity=0.5, rng=3)
    kin = stars.from_gaia(made.table, "uvw", min_parallax_snr=0)
    table = stars.deconvolve(kin, 2).denoised()
    z = np.array([(table[name] - made.truth[name]) / table[f"{name}_error"] for name in "UVW"])
    # The errors that are stated are those that are made.
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.12)
    missing = np.isnan(kin.observations.x[:, 0])
    assert (table["U_error"][missing].mean()) > 3 * table["U_error"][~missing].mean()


def test_bovys_prior_adds_a_little_to_every_variance():
    x = normal(50, [0.0, 0.0], SPREAD)
    found = stars.deconvolve(motions(x, EXACT), 1, prior=mx.prior.Bovy(3.0))
    expected = (50 * np.cov(x.T, ddof=0) + 3.0 * np.eye(2)) / 51
    np.testing.assert_allclose(found.mixture.covariances[0], expected, rtol=1e-6)


# --- truth of simulations ---------------------------------------------------------------------------------------------


def test_two_populations_are_found_with_errors_that_are_true(two):
    order = [int(np.abs(two.mixture.means - mean).sum(axis=1).argmin()) for mean in DISC.means]
    assert sorted(order) == [0, 1]
    table = two.to_table()[order]
    z = [(table["weight"] - DISC.weights) / table["weight_error"]]
    for j, name in enumerate("UVW"):
        sigma = np.sqrt(DISC.covariances[:, j, j])
        z.append((table[name].value - DISC.means[:, j]) / table[f"{name}_error"].value)
        z.append((table[f"sigma_{name}"].value - sigma) / table[f"sigma_{name}_error"].value)
    z = np.array(z)
    assert np.abs(z).max() < 4
    # 13 of these 14 are independent.
    assert 0.3 < np.sqrt((z**2).mean()) < 1.6


def test_standard_errors_are_those_of_a_bootstrap(disc):
    few, rng, drawn = disc.take(slice(300)), np.random.default_rng(5), []
    found = stars.deconvolve(few, 1)
    row = found.to_table()[0]
    for _ in range(50):
        again = few.take(rng.integers(300, size=300))
        mixture = stars.deconvolve(again, 1, start=found.mixture, tol=1e-4).mixture
        drawn.append([*mixture.means[0], *np.sqrt(np.diag(mixture.covariances[0]))])
    spread = np.std(drawn, axis=0)
    stated = [row[f"{name}_error"].value for name in ("U", "V", "W", "sigma_U", "sigma_V", "sigma_W")]
    # Two populations under one component: means agree, dispersions are not quite those of a normal distribution.
    np.testing.assert_allclose(stated[:3], spread[:3], rtol=0.35)
    np.testing.assert_allclose(stated[3:], spread[3:], rtol=0.5)


def test_shares_of_populations_far_apart_have_binomial_errors():
    x = np.concatenate([normal(300, [0.0, 0.0], SPREAD), normal(100, [40.0, 0.0], SPREAD, seed=1)])
    table = stars.deconvolve(motions(x, 0.01), 2).to_table()
    np.testing.assert_allclose(table["weight"], [0.75, 0.25], rtol=1e-9)
    np.testing.assert_allclose(table["weight_error"], np.sqrt(0.75 * 0.25 / 400), rtol=1e-6)


def test_a_missing_radial_velocity_costs_the_line_of_sight_only():
    ball = mx.Mixture([1.0], ONE.means, [400.0 * np.eye(3)])
    with_all, without = near(1500, ball, 0.0), near(1500, ball, 1.0)
    full, part = (stars.deconvolve(kin, 1).to_table()[0] for kin in (with_all, without))
    for name in "UVW":
        assert abs(part[name].value - ONE.means[0]["UVW".index(name)]) < 4 * part[f"{name}_error"].value
        # Two of three projections are left: variances of means grow by three halves.
        ratio = (part[f"{name}_error"] / full[f"{name}_error"]).value
        assert ratio == pytest.approx(np.sqrt(1.5), rel=0.08)


# --- how many components ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_the_number_of_components_is_found(criterion):
    kin = near(800)
    found = stars.deconvolve(kin, [1, 2, 3], criterion=criterion, starts=2)
    table = found.choices
    assert found.mixture.n_components == 2
    np.testing.assert_array_equal(table["n_components"], [1, 2, 3])
    np.testing.assert_array_equal(table["best"], [False, True, False])
    np.testing.assert_array_equal(table["n_free"], [9, 19, 29])
    assert (np.diff(table["log_likelihood"]) > 0).all()
    np.testing.assert_allclose(table["bic"], table["n_free"] * np.log(800) - 2 * table["log_likelihood"], rtol=1e-12)
    fits = [stars.deconvolve(kin, k, starts=2) for k in (1, 2)]
    assert [fit.log_likelihood for fit in fits] == list(table["log_likelihood"][:2])
    np.testing.assert_array_equal(found.mixture.means, fits[1].mixture.means)
    if criterion == "held_out":
        # It is an estimate of what the fits say of stars that they have never seen.
        fresh = near(5000, seed=99).observations
        gain = fits[1].mixture.log_density(fresh) - fits[0].mixture.log_density(fresh)
        assert table["held_out"][1] - table["held_out"][0] == pytest.approx(
            gain.mean(), abs=3 * gain.std() / np.sqrt(800)
        )


def test_one_population_is_not_taken_apart():
    assert stars.deconvolve(near(800, ONE), range(1, 4), starts=2).mixture.n_components == 1


def test_without_a_choice_there_is_no_table_of_choices(two):
    assert two.choices is None


# --- frozen parts, outliers and selections ----------------------------------------------------------------------------


def test_what_is_frozen_stays_and_has_no_error(disc):
    frozen = mx.Frozen(means=[True, False], covariances=[True, False])
    found = stars.deconvolve(disc, 2, start=DISC, frozen=frozen)
    np.testing.assert_array_equal(found.mixture.means[0], DISC.means[0])
    np.testing.assert_array_equal(found.mixture.covariances[0], DISC.covariances[0])
    assert not np.array_equal(found.mixture.means[1], DISC.means[1])
    table = found.to_table()
    for name in ("U", "V", "W", "sigma_U", "sigma_V", "sigma_W", "cov_U_V"):
        assert table[f"{name}_error"][0] == 0
        assert table[f"{name}_error"][1] > 0


def test_outliers_are_kept_from_the_dispersions():
    x = normal(900, [0.0, 0.0], SPREAD)
    x = np.concatenate([x, np.random.default_rng(1).uniform(-30, 30, (100, 2))])
    kin = motions(x, 0.2)
    found, bare = stars.deconvolve(kin, 1, outliers=True), stars.deconvolve(kin, 1)
    row = found.to_table()[0]
    assert abs(row["sigma_pmra"].value - np.sqrt(2.0)) < 4 * row["sigma_pmra_error"].value
    assert bare.to_table()["sigma_pmra"][0].value > 3 * np.sqrt(2.0)
    share = found.mixture.background.weight
    assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 1000))
    assert found.to_table().meta["outlier_share"] == share
    assert bare.to_table().meta["outlier_share"] == 0.0
    table = found.membership()
    assert table["p_outlier"][900:].mean() > 0.9
    assert table["p_outlier"][:900].mean() < 0.02
    box = mx.UniformBackground([-40.0, -40.0], [40.0, 40.0], weight=0.2)
    given = stars.deconvolve(kin, 1, outliers=box)
    np.testing.assert_array_equal(given.mixture.background.high, box.high)


CUT = 0.6


@pytest.fixture(scope="module")
def cut():
    """Proper motions of one population of which those on one side of a line through it are lost."""
    x = normal(1500, [1.0, -3.0], SPREAD, seed=12) + normal(1500, [0, 0], 0.09 * np.eye(2), seed=13)
    return motions(x[x[:, 0] > CUT], 0.3)


def z_of(found):
    """Deviations from the truth of `cut` in standard errors."""
    row, truth = found.to_table()[0], {"pmra": 1.0, "pmdec": -3.0}
    truth |= {"sigma_pmra": np.sqrt(2.0), "sigma_pmdec": np.sqrt(0.8)}
    return np.array([(row[name].value - value) / row[f"{name}_error"].value for name, value in truth.items()])


def test_a_truncated_sample_is_biased_unless_its_limits_are_given(cut):
    found = stars.deconvolve(cut, 1, selection={"pmra": (CUT, np.inf)})
    assert found.converged
    assert np.abs(z_of(found)).max() < 3.5
    biased = np.abs(z_of(stars.deconvolve(cut, 1)))
    assert biased[0] > 15
    assert biased[2] > 10


def test_limits_may_come_in_three_ways(cut):
    limits, box = {"pmra": (CUT, np.inf)}, stars.Box([CUT, -np.inf], [np.inf, np.inf])
    x = np.concatenate([cut.observations.x, cut.observations.x - [1.5, 0.0]])
    kept = (x[:, 0] >= CUT).astype(float)
    assert 0.3 < kept.mean() < 0.9
    for way in (limits, box, lambda x: (x[:, 0] >= CUT).astype(float)):
        np.testing.assert_array_equal(omega_of(way, cut)(x), kept)
    few = cut.take(slice(250))
    first, second = (stars.deconvolve(few, 1, selection=way, tol=1e-4) for way in (limits, box))
    assert first.log_likelihood == second.log_likelihood
    np.testing.assert_array_equal(first.mixture.covariances, second.mixture.covariances)


def test_a_selection_that_keeps_everything_changes_nothing(cut):
    bare = stars.deconvolve(cut, 1)
    found = stars.deconvolve(cut, 1, selection=lambda x: np.ones(len(x)))
    np.testing.assert_allclose(found.mixture.means, bare.mixture.means, atol=1e-6)
    assert found.log_likelihood == pytest.approx(bare.log_likelihood, abs=1e-6)


# --- the same every time ----------------------------------------------------------------------------------------------


def test_threads_and_time_change_nothing(disc, two):
    for again in (stars.deconvolve(disc, 2, workers=1), stars.deconvolve(disc, 2, workers=2, rng=0)):
        assert again.log_likelihood == two.log_likelihood
        np.testing.assert_array_equal(again.mixture.means, two.mixture.means)
        np.testing.assert_array_equal(again.mixture.covariances, two.mixture.covariances)


def test_other_starts_end_at_the_same_place(disc, two):
    other = stars.deconvolve(disc, 2, rng=7)
    assert other.log_likelihood == pytest.approx(two.log_likelihood, abs=2e-6 * len(disc))


def test_a_fit_can_be_copied_and_sent_elsewhere(two):
    for again in (copy.copy(two), copy.deepcopy(two), pickle.loads(pickle.dumps(two))):
        np.testing.assert_array_equal(again.to_table()["U"], two.to_table()["U"])
        assert (again.bic, repr(again)) == (two.bic, repr(two))
    with pytest.raises(AttributeError, match="speed"):
        _ = two.speed


# --- tables -----------------------------------------------------------------------------------------------------------


def test_the_table_has_units_errors_and_the_frame(two):
    table = two.to_table()
    units = {"weight": None, "U": u.km / u.s, "sigma_W": u.km / u.s, "cov_U_V": (u.km / u.s) ** 2}
    for name, unit in units.items():
        assert table[name].unit == table[f"{name}_error"].unit == unit
    assert {name for name in table.colnames if "error" not in name} == {
        *("component", "weight", "U", "V", "W", "sigma_U", "sigma_V", "sigma_W", "cov_U_V", "cov_U_W", "cov_V_W")
    }
    meta = {"space": "uvw", "frame": "galactic", "n_rows": 2000, "outcome": "CONVERGED", "outlier_share": 0.0}
    assert {name: table.meta[name] for name in meta} == meta
    assert table.meta["bic"] == two.bic == pytest.approx(19 * np.log(2000) - 2 * two.log_likelihood)
    assert table["weight"].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("space", "names", "unit"),
    [
        ("pm", ("pmra", "pmdec"), "mas / yr"),
        ("pm+rv", ("pmra", "pmdec", "radial_velocity"), "mas / yr"),
        ("pm+parallax", ("pmra", "pmdec", "parallax"), "mas / yr"),
        ("tangential", ("v_ra", "v_dec"), "km / s"),
    ],
)
def test_every_space_has_its_names_and_units(space, names, unit):
    kin = stars.from_gaia(stars.simulate_disc(300, without_velocity=0.5, rng=1).table, space, min_parallax_snr=0)
    found = stars.deconvolve(kin, 1)
    table = found.to_table()
    assert tuple(found.latent_names) == names
    assert table[names[0]].unit == u.Unit(unit)
    assert table[f"cov_{names[0]}_{names[-1]}"].unit == u.Unit(unit) * found.units[-1]
    assert found.ellipsoids()["component"].tolist() == [0]
    assert ("sigma_1" in found.ellipsoids().colnames) == (len(set(found.units)) == 1)


# Names in the header of a FITS file are longer than its standard has them.
@pytest.mark.filterwarnings("ignore:.*HIERARCH card will be created")
@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_tables_come_back_from_files(two, tmp_path, ending):
    for name in ("to_table", "ellipsoids", "denoised", "membership", "predict_radial_velocity"):
        table = getattr(two, name)()
        table.write(tmp_path / f"{name}.{ending}")
        again = QTable.read(tmp_path / f"{name}.{ending}")
        assert again.colnames == table.colnames
        for column in table.colnames:
            assert again[column].unit == table[column].unit
            np.testing.assert_array_equal(np.asarray(again[column]), np.asarray(table[column]))
        keys = {key.lower(): value for key, value in again.meta.items()}
        assert all(keys[key.lower()] == value for key, value in table.meta.items())


# --- ellipsoids -------------------------------------------------------------------------------------------------------


def turned(angle, values=(900.0, 400.0, 100.0), axes=(0, 1)):
    """A covariance (3, 3) whose first axis is turned by an angle (deg) in the plane of two axes."""
    turn, c, s = np.eye(3), np.cos(np.radians(angle)), np.sin(np.radians(angle))
    (a, b) = axes
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = c, -s, s, c
    return turn @ np.diag(values) @ turn.T


@pytest.mark.parametrize("angle", [-80.0, -30.0, 0.0, 12.5, 60.0, 89.0])
def test_the_angle_of_an_ellipse_is_that_by_which_it_was_turned(angle):
    for axes in ((0, 1), (0, 2), (1, 2)):
        covariance = turned(angle, axes=axes) if axes != (1, 2) else turned(angle, (50.0, 900.0, 400.0), axes)
        assert tilt(covariance[None], *axes)[0] == pytest.approx(angle, abs=1e-9)
        expected = np.sqrt(np.sort([900.0, 400.0, 100.0] if axes != (1, 2) else [50.0, 900.0, 400.0])[::-1])
        np.testing.assert_allclose(dispersions(covariance[None])[0], expected, rtol=1e-12)


def test_the_error_of_an_angle_of_exact_motions():
    x = normal(600, [0.0, 0.0], SPREAD)
    table = stars.deconvolve(motions(x, EXACT), 1).ellipsoids()
    small, large = np.linalg.eigvalsh(np.cov(x.T, ddof=0))
    # Principal axes of a normal sample (Anderson 1963): l1 l2 / (n (l1 - l2)^2) is the variance of their angle.
    assert table["tilt_pmra_pmdec_error"][0].to_value("rad") == pytest.approx(
        np.sqrt(small * large / 600) / (large - small), rel=1e-3
    )
    for name, value in (("sigma_1", large), ("sigma_2", small)):
        assert table[name][0].value == pytest.approx(np.sqrt(value), rel=1e-6)
        assert table[f"{name}_error"][0].value == pytest.approx(np.sqrt(value / 1200), rel=1e-3)
        assert table[name].unit == u.mas / u.yr


@pytest.mark.parametrize("angle", [20.0, 88.0])
def test_vertex_deviations_scatter_as_their_errors_say(angle):
    truth = mx.Mixture([1.0], [[-10.0, -20.0, -7.0]], [turned(angle)])
    z = []
    for seed in range(20):
        row = stars.deconvolve(near(300, truth, 0.7, seed), 1, start=truth).ellipsoids()[0]
        off = (row["vertex_deviation"] - angle * u.deg).to_value("deg")
        z.append((np.mod(off + 90, 180) - 90) / row["vertex_deviation_error"].to_value("deg"))
        assert row["vertex_deviation"].unit == row["tilt"].unit == u.deg
    assert abs(np.mean(z)) < 4 / np.sqrt(20)
    assert np.std(z) == pytest.approx(1.0, abs=4 / np.sqrt(40))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": []}, "n_components"),
        ({"n_components": [2, 0]}, "n_components"),
        ({"n_components": True}, "n_components"),
        ({"n_components": "two"}, "n_components"),
        ({"n_components": 2.5}, "n_components"),
        ({"n_components": None}, "n_components"),
        ({"n_components": [1, 2], "criterion": "loud"}, "criterion must be one of 'bic', 'held_out'"),
        ({"criterion": "loud"}, "criterion must be one of 'bic', 'held_out'"),
        ({"n_components": 5000}, "at least as many rows"),
        ({"selection": {"pmra": (0, 1)}}, "v_r, v_l, v_b; got pmra"),
        ({"selection": {"v_r": (0,)}}, "v_r"),
        ({"selection": {"v_r": "low"}}, "v_r"),
        ({"selection": {"v_r": (5, 1)}}, "low < high"),
        ({"selection": {"v_l": (-10, 10)}}, "keeps none like rows"),
        ({"selection": {"v_r": (-1e4, 1e4)}}, "missing"),
        ({"selection": stars.Box([0], [1])}, "3 dimensions"),
        ({"selection": 3}, "selection"),
        ({"selection": lambda x: x}, "one chance per row"),
        ({"selection": lambda x: np.full(len(x), 2.0)}, r"chances in \[0, 1\]"),
        ({"selection": lambda x: ["yes"] * len(x)}, "selection"),
        ({"outliers": True}, "no one box"),
        ({"outliers": 0.1}, "outliers must be"),
        ({"start": mx.Mixture([1.0], [[0.0]], [[[1.0]]]), "n_components": 1}, "3 dimensions"),
        ({"start": "here"}, "start"),
        ({"frozen": mx.Frozen(means=True)}, "start="),
        ({"prior": 4.0}, "prior"),
        ({"tol": 0.0}, "tol"),
        ({"starts": 0}, "starts"),
        ({"workers": 0}, "workers"),
        ({"floor": -1.0}, "floor"),
        ({"covariance": "round"}, "covariance"),
        ({"rng": "dice"}, "rng"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_settings_are_checked(disc, settings, said):
    with pytest.raises(DataError, match=said):
        stars.deconvolve(disc, **settings)


def test_outliers_must_be_asked_for_plainly():
    with pytest.raises(DataError, match="outliers must be"):
        stars.deconvolve(motions(normal(50, [0, 0], SPREAD), 0.1), 1, outliers=0.1)


@pytest.mark.parametrize("kin", [None, np.zeros((5, 2)), {"pmra": [1.0]}], ids=["none", "array", "table"])
def test_only_kinematics_are_deconvolved(kin):
    with pytest.raises(DataError, match="as from_gaia makes them"):
        stars.deconvolve(kin)


def test_stars_must_be_in_the_space_and_frame_of_the_fit(disc, two):
    table = stars.simulate_disc(50, rng=1).table
    for other in (stars.from_gaia(table, "uvw", frame="icrs", min_parallax_snr=0), stars.from_gaia(table, "pm+rv")):
        for verb in ("membership", "denoised", "predict_radial_velocity", "calibrate_radial_velocity"):
            with pytest.raises(DataError, match="space and frame of the fit"):
                getattr(two, verb)(other)
        with pytest.raises(DataError, match="space and frame of the fit"):
            stars.membership(two, other)
    with pytest.raises(DataError, match="must be Kinematics"):
        two.membership(table)
    for verb in ("membership", "denoised", "predict_radial_velocity"):
        assert len(getattr(two, verb)(disc.take([]))) == 0


@pytest.mark.parametrize("rows", [[10**6], [True, False], [0.5], "all"], ids=str)
def test_stars_that_are_not_there_cannot_be_taken(disc, rows):
    with pytest.raises(DataError, match="rows"):
        disc.take(rows)
