"""Published fits and the figures of real catalogues, through the doors that astronomers use."""

import json
import warnings

import numpy as np
import pytest

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "stars"


@pytest.fixture(scope="module")
def hipparcos(folder):
    return stars.read(folder / "hipparcos_db98.fits")


@pytest.fixture(scope="module")
def kin(hipparcos):
    """The velocities across the sky that the authors computed."""
    return stars.from_velocities(hipparcos)


@pytest.fixture(scope="module")
def from_motions(hipparcos):
    """The same stars, velocities made of their proper motions and parallaxes."""
    return stars.from_gaia(hipparcos, "uvw", covariance=("c_ll", "c_lb", "c_bb"))


@pytest.fixture(scope="module")
def sagittarius(folder):
    return stars.read(folder / "sagittarius_vasiliev2020_subset.csv")


@pytest.fixture(scope="module")
def gaia(folder):
    return stars.read(folder / "gaia_dr3_random1000.fits")


# --- Bovy, Hogg & Roweis (2009): ten components -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def ten(folder):
    published = json.loads((folder / "bhr2009_k10.json").read_text())
    return mx.Mixture(*(published[name] for name in ("amp", "mean", "covar")))


@pytest.fixture(scope="module")
def refit(kin, ten):
    return stars.deconvolve(kin, 10, start=ten, prior=mx.prior.Bovy(4.0))


def test_hipparcos_velocities_are_in_galactic_axes(kin):
    assert len(kin) == 11_865
    assert (kin.names, kin.latent_names) == (("v_l", "v_b"), ("U", "V", "W"))
    assert (set(kin.units), set(kin.latent_units)) == ({"km / s"}, {"km / s"})
    assert len(kin.dropped) == 0
    assert kin.frame.label == "galactic"


def test_log_likelihood_of_the_published_mixture(kin, ten):
    found = mx.expect(ten, kin.observations).log_likelihood / len(kin)
    assert found == pytest.approx(-8.75629300973195, abs=1e-10)


def test_the_climb_from_the_published_mixture(kin, refit):
    assert refit.converged
    assert refit.log_likelihood / len(kin) >= -8.755791742102478


def test_groups_of_moving_stars_keep_their_places(refit, ten):
    # Sirius, Hyades and Arcturus stay where they were published.
    for group in ([9.2, 3.9, -6.0], [-40.1, -18.9, -0.6], [2.1, -103.1, -8.2]):
        nearest = np.abs(ten.means - group).sum(axis=1).argmin()
        np.testing.assert_allclose(ten.means[nearest], group, rtol=0, atol=0.1)
        assert np.abs(refit.mixture.means[nearest] - group).max() < 2.5


def test_ten_components_from_motions_say_the_same(kin, from_motions, refit, ten):
    other = stars.deconvolve(from_motions, 10, start=ten, prior=mx.prior.Bovy(4.0))
    own, swapped = {}, {}
    for name, rows, ours, theirs in (("file", kin, refit, other), ("motions", from_motions, other, refit)):
        own[name] = ours.mixture.log_density(rows.observations).mean()
        swapped[name] = theirs.mixture.log_density(rows.observations).mean()
    assert swapped == pytest.approx(own, abs=1e-3)


# --- Hogg et al. (2005): a disc before a halo that is held ------------------------------------------------------------


@pytest.fixture(scope="module")
def published(folder):
    found = json.loads((folder / "hogg2005_fits.json").read_text())
    assert len(found["subsamples"]) == 20
    return found


def disc_and_halo(kin, published, wanted):
    """The fit of a subsample from the published start, the halo held."""
    init = published["init"]
    start = mx.Mixture(init["amp"], init["mean"], [variance * np.eye(3) for variance in init["covar_diag"]])
    frozen = mx.Frozen(means=[False, True], covariances=[False, True])
    return stars.deconvolve(kin.take(wanted["rows"]), 2, start=start, frozen=frozen)


def test_twenty_published_discs(kin, published):
    for wanted in published["subsamples"]:
        found = disc_and_halo(kin, published, wanted)
        assert found.log_likelihood / len(wanted["rows"]) >= wanted["avg_loglike_bovy_c"] - 1e-7
        np.testing.assert_allclose(found.mixture.means, wanted["mean"], rtol=0, atol=0.05)
        np.testing.assert_array_equal(found.mixture.means[1], [0.0, -220.0, 0.0])
        np.testing.assert_array_equal(found.mixture.covariances[1], 1e4 * np.eye(3))


def test_twenty_published_discs_from_motions(from_motions, published):
    for wanted in published["subsamples"]:
        found = disc_and_halo(from_motions, published, wanted)
        np.testing.assert_allclose(found.mixture.means, wanted["mean"], rtol=0, atol=0.3)


def test_the_motion_of_the_sun(kin, published):
    # Their abstract: 10.1 +- 0.5 and 6.7 +- 0.2 km/s, the mean motion of all but the bluest stars with its sign turned.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two subsamples have no halo, whose share then has no error
        tables = [disc_and_halo(kin, published, wanted).to_table()[:1] for wanted in published["subsamples"][1:]]
    for name, value, error in (("U", 10.1, 0.5), ("W", 6.7, 0.2)):
        means, errors = (np.array([table[column][0].value for table in tables]) for column in (name, f"{name}_error"))
        assert -np.average(means, weights=errors**-2) == pytest.approx(value, abs=error)


# --- Vasiliev & Belokurov (2020): Sagittarius -------------------------------------------------------------------------


def test_sagittarius_within_six_degrees(sagittarius):
    with pytest.warns(UserWarning, match="no column pmra_pmdec_corr"):
        kin = stars.from_gaia(sagittarius, "pm")
    near = kin.take(np.abs(np.asarray(sagittarius["Lambda"])) < 6)
    found = stars.deconvolve(near, 1).to_table()[0]
    assert len(near) == 575
    assert found["pmra"].to_value("mas / yr") == pytest.approx(-2.673, abs=5e-4)
    assert found["pmdec"].to_value("mas / yr") == pytest.approx(-1.347, abs=5e-4)
    assert found["sigma_pmra"].to_value("mas / yr") ** 2 == pytest.approx(0.0241, rel=0.02)
    assert found["sigma_pmdec"].to_value("mas / yr") ** 2 == pytest.approx(0.0214, rel=0.02)
    assert found["cov_pmra_pmdec"].to_value("mas2 / yr2") == pytest.approx(0.0062, rel=0.02)


@pytest.mark.parametrize("space", ["pm+rv", "uvw"])
def test_velocities_without_an_error_are_named(sagittarius, space):
    bare = np.flatnonzero(np.isfinite(np.asarray(sagittarius["vlos"])) & np.isnan(np.asarray(sagittarius["vloserr"])))
    assert len(bare) == 23
    with pytest.warns(UserWarning, match="left out|taken") as told:
        kin = stars.from_gaia(sagittarius, space)
    assert "left out 23 values of vlos: vlos has no error" in str(told[0].message)
    np.testing.assert_array_equal(kin.dropped["row"], bare)
    assert set(kin.dropped["what"]) == {"vlos"}
    assert set(kin.dropped["reason"]) == {"vlos has no error"}
    # The stars themselves stay, through their proper motions.
    assert len(kin) == 1000
    assert np.isnan(kin.observations.x[bare, kin.radial]).all()
    assert np.isfinite(kin.observations.x[:, kin.radial]).sum() == 98 - 23


def test_the_mean_velocity_of_sagittarius(sagittarius):
    with pytest.warns(UserWarning, match="left out 23 values|no column pmra_pmdec_corr"):
        kin = stars.from_gaia(sagittarius, "pm+rv")
    near = kin.take(np.abs(np.asarray(sagittarius["Lambda"])) < 6)
    row = stars.deconvolve(near, 1).to_table()[0]
    assert abs(row["radial_velocity"].value - 144.0) < 2 * row["radial_velocity_error"].value
    # Few of the 575 have a velocity: the proper motions are those of all of them.
    assert row["pmra"].value == pytest.approx(-2.673, abs=2e-3)
    assert row["pmdec"].value == pytest.approx(-1.347, abs=2e-3)


# --- Gaia DR3: a thousand random stars --------------------------------------------------------------------------------


@pytest.mark.parametrize("space", stars.SPACES)
def test_every_space_takes_random_stars_of_gaia(gaia, space):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kin = stars.from_gaia(gaia, space)
        found = stars.deconvolve(kin, 1)
        tables = [found.to_table(), found.ellipsoids(), found.denoised(), found.membership()]
    # Most stars are too far away to divide by their parallax, which is all there is to say.
    poor = space in ("tangential", "uvw")
    assert [str(each.message).split(":")[0] for each in told] == (["left out 690 rows"] if poor else [])
    assert not poor or "245 rows: parallax ... mas is not above" in str(told[0].message)
    assert len(kin) + len(kin.dropped) == kin.n_table == 1000
    assert len(kin) == (65 if poor else 1000)
    assert found.converged
    assert not np.isinf(kin.observations.x).any()
    for table in tables:
        for name in table.colnames:
            values = np.asarray(table[name])
            assert values.dtype.kind != "f" or np.isfinite(values).all(), name


def test_negative_parallaxes_are_named_and_never_divided_by(gaia):
    with pytest.warns(UserWarning, match="left out"):
        kin = stars.from_gaia(gaia, "uvw")
    negative = np.flatnonzero(np.asarray(gaia["parallax"]) <= 0)
    assert len(negative) > 100
    assert not np.isin(negative, kin.rows).any()
    reasons = dict(zip(kin.dropped["row"], kin.dropped["reason"], strict=True))
    assert all(reasons[row].endswith("is not above 0") for row in negative)
    np.testing.assert_array_equal(np.asarray(gaia["source_id"])[kin.dropped["row"]], kin.dropped["id"])


def test_what_a_space_needs_is_said(gaia):
    few = gaia["ra", "dec", "pmra", "pmdec", "pmra_error", "pmdec_error", "pmra_pmdec_corr"]
    assert len(stars.from_gaia(few, "pm")) == 1000
    needed = {"pm+rv": "radial_velocity", "pm+parallax": "parallax", "tangential": "parallax", "uvw": "parallax"}
    for space, name in needed.items():
        with pytest.raises(DataError, match=rf"{name}.*columns="):
            stars.from_gaia(few, space)
