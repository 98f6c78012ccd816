"""Published numbers and those of other packages, on real data and on data their authors list."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from astropy.io import fits
from sklearn import mixture as theirs

import mixsci as mx
from mixsci.compat import extreme_deconvolution


@pytest.fixture(scope="module")
def hipparcos(real_data):
    """Tangential velocities of Hipparcos stars (vl, vb), their covariances and projections from (U, V, W), km/s."""
    table = fits.getdata(real_data / "stars" / "hipparcos_db98.fits")
    column = {name: table[name].astype(float) for name in ("l", "b", "vl", "vb", "c_ll", "c_lb", "c_bb")}
    sin_l, cos_l = np.sin(np.radians(column["l"])), np.cos(np.radians(column["l"]))
    sin_b, cos_b = np.sin(np.radians(column["b"])), np.cos(np.radians(column["b"]))
    x = np.stack([column["vl"], column["vb"]], axis=1)
    covariances = np.stack([column[name] for name in ("c_ll", "c_lb", "c_lb", "c_bb")], axis=1).reshape(-1, 2, 2)
    along_l = np.stack([-sin_l, cos_l, np.zeros_like(sin_l)], axis=1)
    along_b = np.stack([-sin_b * cos_l, -sin_b * sin_l, cos_b], axis=1)
    return x, covariances, np.stack([along_l, along_b], axis=1)


# --- Bovy, Hogg & Roweis (2009): ten components behind 11 865 stars ---------------------------------------------------


@pytest.fixture
def ten(real_data):
    """The published mixture: amplitudes, means, covariances; and the file they are from."""
    published = json.loads((real_data / "stars" / "bhr2009_k10.json").read_text())
    return [np.array(published[name]) for name in ("amp", "mean", "covar")], published


def test_log_likelihood_at_the_published_parameters(hipparcos, ten):
    x, covariances, projection = hipparcos
    parameters, _ = ten
    obs = mx.Observations(x, covariances, projection)
    mean = mx.expect(mx.Mixture(*parameters), obs).log_likelihood / len(x)
    assert mean == pytest.approx(-8.75629300973195, abs=1e-10)
    assert extreme_deconvolution(x, covariances, *parameters, projection, likeonly=True) == pytest.approx(
        mean, abs=1e-12
    )


def test_twenty_steps_with_w_of_four(hipparcos, ten):
    x, covariances, projection = hipparcos
    parameters, _ = ten
    found = extreme_deconvolution(x, covariances, *parameters, projection, w=4, tol=1e-300, maxiter=20)
    assert found == pytest.approx(-8.75586093834643, abs=1e-10)


def test_the_climb_of_the_c_package_to_its_end(hipparcos, ten):
    x, covariances, projection = hipparcos
    parameters, published = ten
    end = published["refit_bovy_c_w4_tol1e6_from_here"]
    found = extreme_deconvolution(x, covariances, *parameters, projection, w=4)
    assert found == pytest.approx(-8.755791742102478, abs=1e-10)
    for ours, name in zip(parameters, ("amp", "mean", "covar"), strict=True):
        np.testing.assert_allclose(ours, end[name], rtol=1e-8, atol=1e-8)


def test_fit_needs_at_most_half_the_passes_of_plain_em(hipparcos, ten):
    x, covariances, projection = hipparcos
    obs, start = mx.Observations(x, covariances, projection), mx.Mixture(*ten[0])
    model, wanted = mx.Model(10, prior=mx.prior.Bovy(4.0)), len(x) * (-8.755791742 - 1e-9)
    climb = mx.iterate(model, obs, start=start, accelerate=False)
    plain = next(state.iteration for state in climb if state.log_likelihood >= wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.ConvergenceWarning)  # it is stopped half way on purpose
        half = mx.fit(model, obs, start=start, max_iter=plain // 2)
    assert half.n_iter <= plain // 2
    assert half.log_likelihood >= wanted


# --- Hogg et al. (2005): disk and halo behind 20 subsamples by colour -------------------------------------------------


@pytest.fixture(scope="module")
def subsamples(real_data, hipparcos):
    """For each subsample its rows (x, covariances, projection) and what was published; and the start of all."""
    published = json.loads((real_data / "stars" / "hogg2005_fits.json").read_text())
    init = published["init"]
    start = init["amp"], init["mean"], [np.eye(3) * variance for variance in init["covar_diag"]]
    parts = [(tuple(part[wanted["rows"]] for part in hipparcos), wanted) for wanted in published["subsamples"]]
    assert len(parts) == 20
    return parts, start


def test_the_twenty_published_fits_step_by_step(subsamples):
    parts, start = subsamples
    for (x, covariances, projection), wanted in parts:
        amp, mean, covar = (np.array(part, dtype=float) for part in start)
        held = {"fixmean": [False, True], "fixcovar": [False, True]}
        found = extreme_deconvolution(x, covariances, amp, mean, covar, projection, tol=1e-7, **held)
        assert found == pytest.approx(wanted["avg_loglike_bovy_c"], abs=1e-8)
        np.testing.assert_allclose(mean, wanted["mean"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(covar, wanted["covar"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(amp, wanted["amp"], rtol=0, atol=1e-8)


def test_the_twenty_published_fits_by_fit(subsamples):
    parts, start = subsamples
    model = mx.Model(2, frozen=mx.Frozen(means=[False, True], covariances=[False, True]))
    for (x, covariances, projection), wanted in parts:
        found = mx.fit(model, mx.Observations(x, covariances, projection), start=mx.Mixture(*start))
        assert found.log_likelihood / len(x) >= wanted["avg_loglike_bovy_c"] - 1e-7
        np.testing.assert_allclose(found.mixture.means, wanted["mean"], rtol=0, atol=0.05)
        np.testing.assert_array_equal(found.mixture.means[1], start[1][1])
        np.testing.assert_array_equal(found.mixture.covariances[1], start[2][1])


# --- The example in the documentation of the C package ----------------------------------------------------------------


def listed():
    """200 values that see one of two latent dimensions in turn: the listed ones are these draws to nine digits."""
    values = 1.0 + np.random.RandomState(1).normal(size=(200, 1))
    projection = np.zeros((200, 1, 2))
    projection[::2, 0, 0] = projection[1::2, 0, 1] = 1.0
    return values, np.full((200, 1), 0.01), projection


def test_the_listed_data_are_these_draws():
    values, _, _ = listed()
    first, last = [2.62434536, 0.388243586, 0.471828248, -0.0729686222, 1.86540763], 2.04444209
    np.testing.assert_allclose(values[:5, 0], first, rtol=1e-8)
    assert values[-1, 0] == pytest.approx(last, rel=1e-8)


def test_the_listed_example():
    values, variances, projection = listed()
    amp, mean = np.full(2, 0.5), np.array([[0.86447943, 0.322681], [0.67078879, 0.45087394]])
    # Neither symmetric nor, by its upper triangle, positive semi-definite; each row sees one of its variances alone.
    covar = np.array([
        [[0.03821028, 0.04108113], [0.04014796, 0.03173839]], [[0.06219194, 0.04302473], [0.09738021, 0.06778009]],
    ])  # fmt: skip
    with pytest.warns(UserWarning, match=r"components \[0\] is not positive semi-definite"):
        found = extreme_deconvolution(values, variances, amp, mean, covar, projection=projection)
    assert found == pytest.approx(-1.3114744655258121, abs=1e-4)
    np.testing.assert_allclose(mean, [[2.30368235, 1.70701517], [1.08009397, 0.8888667]], rtol=0, atol=3e-3)
    assert covar[0, 0, 0] == pytest.approx(0.445645987259, abs=3e-3)
    np.testing.assert_allclose(amp, [0.11968415, 0.880315852981], rtol=0, atol=3e-3)


def test_fit_finds_a_better_mixture_for_the_listed_data():
    found = mx.fit(mx.Model(2), mx.Observations(*_from_variances(*listed())), rng=0)
    assert found.converged
    assert found.log_likelihood / 200 >= -1.3114744655258121


def _from_variances(x, variances, projection):
    return x, mx.noise.from_variances(variances), projection


# --- Tully & Fisher: one degenerate ellipse ---------------------------------------------------------------------------

RELATION = {
    "B": (-8.04, -19.77),
    "V": (-8.86, -20.33),
    "R": (-8.79, -20.64),
    "I": (-9.26, -21.12),
    "H": (-11.03, -21.73),
}


def galaxies(real_data, band):
    """log W20 and magnitude (n, 2) of the galaxies seen in a band, and their variances."""
    lines = (real_data / "stars" / "tully_fisher.dat").read_text().splitlines()
    fields = [line.split("|") for line in lines if not line.startswith("#")]
    at = 1 + 2 * "BVRIH".index(band)
    seen = np.array([[row[i] for i in (11, at, 12, at + 1)] for row in fields if row[at].strip()], dtype=float)
    return seen[:, :2], seen[:, 2:] ** 2


def slope_and_zero_point(mean, covariance):
    """The line along the long axis: mag = slope (log W - 2.5) + zero point."""
    axis = np.linalg.eigh(covariance)[1][:, -1]
    slope = axis[1] / axis[0]
    return slope, mean[1] + slope * (2.5 - mean[0])


@pytest.mark.parametrize(("band", "wanted"), RELATION.items())
def test_tully_fisher_step_by_step(real_data, band, wanted):
    x, variances = galaxies(real_data, band)
    amp, mean, covar = np.ones(1), np.zeros((1, 2)), np.diag(np.ptp(x, axis=0) ** 2)[None]
    extreme_deconvolution(x, variances, amp, mean, covar, tol=1e-5)
    slope, zero_point = slope_and_zero_point(mean[0], covar[0])
    assert slope == pytest.approx(wanted[0], abs=0.03)
    assert zero_point == pytest.approx(wanted[1], abs=0.01)


@pytest.mark.parametrize(("band", "wanted"), RELATION.items())
def test_tully_fisher_by_fit(real_data, band, wanted):
    x, variances = galaxies(real_data, band)
    found = mx.fit(mx.Model(1), mx.Observations(x, mx.noise.from_variances(variances)), rng=0)
    slope, zero_point = slope_and_zero_point(found.mixture.means[0], found.mixture.covariances[0])
    assert slope == pytest.approx(wanted[0], abs=0.03)
    assert zero_point == pytest.approx(wanted[1], abs=0.01)


# --- scikit-learn on complete data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_parameters_are_those_of_scikit_learn(covariance_type):
    rng = np.random.default_rng(7)
    centres = np.array([[-3.0, 0.0, 1.0], [1.0, 2.0, 0.0], [3.0, -2.0, -1.0]])
    X = centres[rng.integers(3, size=600)] + rng.normal(size=(600, 3)) * [1.0, 0.7, 1.3]
    precision = {
        "full": np.tile(np.eye(3), (3, 1, 1)),
        "tied": np.eye(3),
        "diag": np.ones((3, 3)),
        "spherical": np.ones(3),
    }
    settings = {
        "covariance_type": covariance_type, "reg_covar": 0.0, "tol": 1e-12, "max_iter": 20_000, "n_init": 1,
        "weights_init": np.full(3, 1 / 3), "means_init": 0.8 * centres, "precisions_init": precision[covariance_type],
    }  # fmt: skip
    wanted = theirs.GaussianMixture(3, **settings).fit(X)
    found = mx.GaussianMixture(3, **settings).fit(X)
    assert found.converged_
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=0, atol=1e-6, err_msg=name)
    assert found.lower_bound_ == pytest.approx(wanted.lower_bound_, abs=1e-10)
    np.testing.assert_allclose(found.score_samples(X), wanted.score_samples(X), atol=1e-6)
    assert found.bic(X) == pytest.approx(wanted.bic(X), rel=1e-9)
    assert found.aic(X) == pytest.approx(wanted.aic(X), rel=1e-9)
    np.testing.assert_array_equal(found.predict(X), wanted.predict(X))
