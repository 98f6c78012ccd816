"""One checker for every kind of noise; sigma or sigma squared never depends on a shape."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.noise import NoNoise, join_noise
from tests.problems import random_covariances

N, M = 7, 3
RNG = np.random.default_rng(0)
SIGMA, MATRICES = RNG.uniform(0.1, 2.0, size=(N, M)), random_covariances(RNG, N, M)
EYE = np.eye(M)
KINDS = {
    "none": (NoNoise(M), np.zeros((N, M, M))),
    "errors": (mx.noise.from_errors(SIGMA), SIGMA[:, :, None] ** 2 * EYE),
    "errors of columns": (mx.noise.from_errors(SIGMA[0]), np.tile(np.diag(SIGMA[0] ** 2), (N, 1, 1))),
    "variances": (mx.noise.from_variances(SIGMA), SIGMA[:, :, None] * EYE),
    "variances of columns": (mx.noise.from_variances(SIGMA[0]), np.tile(np.diag(SIGMA[0]), (N, 1, 1))),
    "covariances": (mx.noise.from_covariances(MATRICES), MATRICES),
    "one covariance": (mx.noise.from_covariances(MATRICES[0]), np.tile(MATRICES[0], (N, 1, 1))),
    "semi-definite": (mx.noise.from_covariances(np.ones((N, M, M))), np.ones((N, M, M))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_every_noise_does(kind):
    noise, expected = KINDS[kind]
    np.testing.assert_allclose(noise.covariances(N), expected)
    lower = noise.packed(N)
    assert lower.shape == (M * (M + 1) // 2, N)
    np.testing.assert_allclose(lower.T, expected[:, *np.tril_indices(M)])
    assert noise.width == M
    assert np.all(noise.known()) and np.all(noise.finite())
    some = noise[np.array([4, 1])] if noise.per_row else noise[slice(0, 2)]
    np.testing.assert_allclose(some.covariances(2), expected[[4, 1]] if noise.per_row else expected[:2])
    np.testing.assert_allclose(pickle.loads(pickle.dumps(noise)).covariances(N), expected)
    if noise.per_row:
        assert len(noise) == N and noise.shape[0] == N
        np.testing.assert_allclose(join_noise([noise[:3], noise[3:]]).covariances(N), expected)
    else:
        assert join_noise([noise, noise]) is noise


def test_a_three_dimensional_array_is_covariances():
    obs = mx.Observations(np.zeros((N, M)), MATRICES)
    np.testing.assert_array_equal(obs.noise.covariances(N), MATRICES)


@pytest.mark.parametrize("make", [mx.noise.from_errors, mx.noise.from_variances])
def test_values_without_error_are_set_aside_and_counted(make):
    sigma = np.where(np.arange(N * M).reshape(N, M) % 5 == 0, np.nan, 1.0)
    x = np.ones((N, M))
    x[0, 0] = np.nan
    obs = mx.Observations(x, make(sigma, missing="gap"))
    np.testing.assert_array_equal(obs.set_aside, (np.isnan(sigma) & ~np.isnan(x)).sum(axis=0))
    np.testing.assert_array_equal(obs.seen(), ~np.isnan(sigma) & ~np.isnan(x))
    obs = mx.Observations(np.where(np.isnan(sigma), np.nan, 1.0), make(sigma))
    assert not obs.set_aside.any()


def test_a_covariance_without_a_variance_sets_the_value_aside():
    matrices = MATRICES.copy()
    matrices[2, 1, :] = matrices[2, :, 1] = np.nan
    obs = mx.Observations(np.ones((N, M)), mx.noise.from_covariances(matrices, missing="gap"))
    np.testing.assert_array_equal(obs.set_aside, [0, 1, 0])
    with pytest.raises(mx.DataError, match="in row 2"):
        mx.Observations(np.ones((N, M)), matrices)


@pytest.mark.parametrize("scale", [1e-16, 1e16])
def test_covariances_of_any_size_may_be_semidefinite(scale):
    """Rounding of a product of rank one is no reason to refuse it."""
    root = np.random.default_rng(1).normal(size=(50, 3, 1))
    matrices = root @ root.transpose(0, 2, 1) * scale
    assert len(mx.noise.from_covariances(matrices)) == 50


INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])
BAD = {
    "negative errors": (
        lambda: mx.noise.from_errors([[1, 1], [1, -1]]),
        "standard deviations and must not be negative; they are in row 1",
    ),
    "negative error of a column": (lambda: mx.noise.from_errors([1.0, -1.0]), "must not be negative"),
    "negative variances": (lambda: mx.noise.from_variances([[1, 1], [-1, 1]]), "negative; it is in row 1"),
    "negative variance of a column": (lambda: mx.noise.from_variances([-1.0, 1.0]), "must not be negative"),
    "minus infinity": (
        lambda: mx.noise.from_covariances([[[1, 0], [0, -np.inf]]]),
        "must not be negative; they are in row 0",
    ),
    "text": (lambda: mx.noise.from_errors([["a", 1]]), "errors must be numbers; got .*'a'"),
    "text in covariances": (lambda: mx.noise.from_covariances([[["a", 1], [1, 2]]]), "covariances must be numbers"),
    "one number": (lambda: mx.noise.from_errors(1.0), r"shape \(n, m\) or \(m,\); got \(\)"),
    "errors of three dimensions": (lambda: mx.noise.from_errors(np.ones((2, 2, 2))), r"got \(2, 2, 2\)"),
    "covariances not square": (lambda: mx.noise.from_covariances(np.ones((4, 2, 3))), r"got \(4, 2, 3\)"),
    "asymmetric": (
        lambda: mx.noise.from_covariances([np.eye(2), [[1, 0.5], [0.2, 1]]]),
        "symmetric; they are not in row 1",
    ),
    "indefinite": (
        lambda: mx.noise.from_covariances([np.eye(2), INDEFINITE, np.eye(2), INDEFINITE]),
        "not in rows 1 and 3: check",
    ),
    "indefinite for all": (lambda: mx.noise.from_covariances(INDEFINITE), "positive semi-definite"),
    "half unknown": (
        lambda: mx.noise.from_covariances([[[1, np.nan], [np.nan, 1]]]),
        "finite where both variances are; see row 0",
    ),
    "unknown for all": (lambda: mx.noise.from_errors([1.0, np.nan]), "shared by all rows must be finite"),
    "policy": (lambda: mx.noise.from_errors([1.0], missing="drop"), '"refuse" or "gap"; got \'drop\''),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_noise_is_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_row_numbers_count_from_the_first_row_of_all():
    matrices = np.tile(np.eye(2), (70_000, 1, 1))
    matrices[69_999] = INDEFINITE
    with pytest.raises(mx.DataError, match="row 69999"):
        mx.noise.from_covariances(matrices)
    x = np.zeros((70_000, 1))
    x[69_998] = np.inf
    with pytest.raises(mx.DataError, match="row 69998"):
        mx.Observations(x)
