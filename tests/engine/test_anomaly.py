"""Chances of rows to be as improbable: closed forms, uniformity whatever rows lack, sentences."""

import numpy as np
import pytest
from scipy.stats import chi2, kstest

import mixsci as mx


def pair():
    return mx.Mixture([0.6, 0.4], [[0.0, 0.0], [6.0, 2.0]], [[[1.0, 0.5], [0.5, 1.0]], [[2.0, 0.0], [0.0, 0.3]]])


def test_of_one_gaussian_it_is_that_of_the_mahalanobis_distance():
    one = mx.Mixture([1.0], [[1.0, 2.0]], [[[2.0, 0.7], [0.7, 1.0]]])
    sigma, n = np.array([0.5, 0.2]), 4000
    x = np.array([[1.0, 2.0], [3.0, 2.0], [np.nan, 4.0], [1.5, 0.0]])
    found = mx.anomaly_chances(one, mx.Observations(x, mx.noise.from_errors(sigma)), n, rng=0)
    total = one.covariances[0] + np.diag(sigma**2)
    for row, p in zip(x, found, strict=True):
        seen = ~np.isnan(row)
        apart = (row - one.means[0])[seen]
        exact = chi2.sf(apart @ np.linalg.solve(total[np.ix_(seen, seen)], apart), seen.sum())
        # Four standard errors of a share of n draws.
        assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / n) + 1 / n)


def test_rows_of_the_mixture_have_uniform_chances_whatever_they_lack():
    rng = np.random.default_rng(1)
    x, _ = pair().sample(600, rng=rng)
    sigma = rng.uniform(0.1, 2.0, x.shape)
    x += sigma * rng.normal(size=x.shape)
    lacks = rng.random(600) < 0.4
    x[lacks, 1] = np.nan
    p = mx.anomaly_chances(pair(), mx.Observations(x, mx.noise.from_errors(sigma)), 199, rng=2)
    for some in (lacks, ~lacks, sigma[:, 0] > 1.0):
        assert kstest(p[some], "uniform").pvalue > 0.01


def test_projections_groups_angles_and_factors_are_taken():
    rng = np.random.default_rng(3)
    line = mx.Observations([[0.0], [30.0]], mx.noise.from_errors([0.5]), projection=[[1.0, 1.0]])
    assert (mx.anomaly_chances(pair(), line, 99, rng=0) == 0.01).tolist() == [False, True]
    by_group = mx.Mixture([[1.0, 0.0], [0.0, 1.0]], [[0.0], [9.0]], [[[1.0]], [[1.0]]], group_labels=("a", "b"))
    rows = mx.Observations([[9.0], [9.0]], groups=["a", "b"])
    assert (mx.anomaly_chances(by_group, rows, 99, rng=0) == 0.01).tolist() == [True, False]
    hues = mx.CircularMixture([1.0], directions=[[0.0]], concentrations=[[20.0]], period=360)
    assert (mx.anomaly_chances(hues, np.array([[355.0], [180.0]]), 99, rng=0) == 0.01).tolist() == [False, True]
    x = rng.normal(size=(100, 5)) + 3.0 * rng.normal(size=(100, 1))
    factors = mx.fit(mx.FactorModel(1, 1), x, rng=0)
    odd = np.array([[9.0, -9.0, 9.0, -9.0, 9.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert (mx.anomaly_chances(factors, odd, 99, rng=0) == 0.01).tolist() == [True, False]


def test_nothing_speaks_against_a_row_without_values():
    assert mx.anomaly_chances(pair(), np.full((2, 2), np.nan), 19, rng=0).tolist() == [1.0, 1.0]


def test_chances_do_not_depend_on_threads():
    x, _ = pair().sample(50, rng=0)
    one, two = (mx.anomaly_chances(pair(), x, 40, rng=5, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_bad_input_is_refused():
    for ask, words in (
        (lambda: mx.anomaly_chances("pair", np.zeros((2, 2))), "a mixture is needed, a Mixture or a Fit"),
        (lambda: mx.anomaly_chances(pair(), np.zeros((2, 3))), "3"),
        (lambda: mx.anomaly_chances(pair(), np.zeros((2, 2)), 0), "n must be a whole number of draws"),
    ):
        with pytest.raises(mx.DataError, match=words):
            ask()
