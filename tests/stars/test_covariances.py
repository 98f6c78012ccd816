"""Covariances from the columns of Gaia, entry by entry, and what is said where the table is silent."""

import numpy as np
import pytest

from mixsci.errors import DataError
from mixsci.stars.catalogue import as_catalogue
from mixsci.stars.covariances import gaia_covariance
from mixsci.stars.readers import read

FIVE = ("ra", "dec", "parallax", "pmra", "pmdec")


@pytest.fixture(scope="module")
def gaia(real_data):
    return read(real_data / "stars" / "gaia_dr3_random1000.fits")


def test_covariances_are_errors_times_correlations(gaia):
    found = gaia_covariance(gaia, FIVE)
    scale = np.array([1 / 3.6e6, 1 / 3.6e6, 1, 1, 1])  # errors of positions: mas to deg
    for row in (0, 17, 999):
        sigma = np.array([gaia[f"{name}_error"][row].value for name in FIVE], dtype=float) * scale
        rho = np.eye(5)
        for i, a in enumerate(FIVE):
            for j, b in enumerate(FIVE[i + 1 :], i + 1):
                rho[i, j] = rho[j, i] = gaia[f"{a}_{b}_corr"][row]
        np.testing.assert_allclose(found[row], np.diag(sigma) @ rho @ np.diag(sigma), rtol=1e-12)


def test_a_missing_value_has_no_covariance(gaia):
    found = gaia_covariance(gaia, ("pmra", "pmdec", "radial_velocity"))
    seen = ~np.isnan(as_catalogue(gaia).values["radial_velocity"])
    assert 0 < seen.sum() < 100
    np.testing.assert_array_equal(np.isnan(found[:, 2]).all(axis=1), ~seen)
    np.testing.assert_array_equal(np.isnan(found[:, :, 2]).all(axis=1), ~seen)
    assert np.isfinite(found[:, :2, :2]).all()
    np.testing.assert_array_equal(found[seen][:, 2, :2], 0)


def test_order_is_that_of_the_coords(gaia):
    one, other = gaia_covariance(gaia, ("pmra", "parallax")), gaia_covariance(gaia, ("parallax", "pmra"))
    np.testing.assert_array_equal(one, other[:, ::-1, ::-1])


def test_absent_correlations_are_told_once():
    table = {"pmra": [1.0], "pmra_error": [0.1], "pmdec": [2.0], "pmdec_error": [0.2], "plx": [3.0], "e_plx": [0.3]}
    with pytest.warns(UserWarning, match="no column .*pmra_pmdec_corr.*uncorrelated") as told:
        found = gaia_covariance(table, ("parallax", "pmra", "pmdec"))
    assert len(told) == 1
    np.testing.assert_allclose(found[0], np.diag([0.09, 0.01, 0.04]), rtol=1e-12)


def test_columns_may_be_named():
    table = {"x": [1.0], "sx": [0.5]}
    found = gaia_covariance(table, ["pmra"], columns={"pmra": "x", "pmra_error": "sx"})
    np.testing.assert_array_equal(found, [[[0.25]]])


@pytest.mark.parametrize(
    ("coords", "said"),
    [(("pmra", "bp_rp"), "coords must be some of ra, dec"), ((), "coords must be"), ("pmra", "coords must be")],
)
def test_unknown_coords_are_refused(coords, said):
    with pytest.raises(DataError, match=said):
        gaia_covariance({"pmra": [1.0], "pmra_error": [0.1]}, coords)


def test_what_the_table_lacks_is_named():
    with pytest.raises(DataError, match="pmdec, pmdec_error"):
        gaia_covariance({"pmra": [1.0], "pmra_error": [0.1]})
