"""Simulated cells follow the law they were told, and the AnnData in data/ is made again from its seed."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from mixsci.cells import simulate_cells
from mixsci.cells.simulate import small_cells
from mixsci.errors import DataError
from tests.conftest import ROOT

# A p-value below this, at a fixed seed, is a broken law and no accident.
RARE = 1e-4


def residuals(adata):
    """What is left of the complete values when all that is known is taken off."""
    kinds, runs = (adata.obs[name].cat.codes.to_numpy() for name in ("cell_type", "batch"))
    values = adata.layers["complete"] - adata.varm["batch_shifts"].to_numpy().T[runs]
    return values - adata.varm["means"].to_numpy().T[kinds]


def test_values_are_mean_plus_shift_plus_noise():
    adata = simulate_cells(3000, 12, 3, batches=2, batch_effect=2.0, rng=1)
    assert stats.kstest(residuals(adata).ravel(), "norm").pvalue > RARE
    seen = ~np.isnan(adata.X)
    np.testing.assert_array_equal(adata.X[seen], adata.layers["complete"][seen])
    np.testing.assert_allclose(adata.varm["batch_shifts"].sum(axis=1), 0.0, atol=1e-12)


def test_with_factors_types_differ_in_the_factors_alone():
    adata = simulate_cells(3000, 12, 3, n_factors=2, rng=1)
    loadings, scores = adata.varm["loadings"], adata.obsm["factors"]
    assert (loadings.shape, scores.shape) == ((12, 2), (3000, 2))
    kinds = adata.obs["cell_type"].cat.codes.to_numpy()
    centres = np.array([scores[kinds == k].mean(axis=0) for k in range(3)])
    assert stats.kstest((scores - centres[kinds]).ravel(), "norm").pvalue > RARE
    covariance = np.cov(residuals(adata).T)
    np.testing.assert_allclose(covariance, loadings @ loadings.T + np.eye(12), atol=0.3)


@pytest.mark.parametrize("n_factors", [None, 3])
def test_the_closest_types_lie_as_far_apart_as_asked(n_factors):
    adata = simulate_cells(2000, 20, 4, n_factors=n_factors, separation=5.0, missing=0.0, rng=2)
    kinds = adata.obs["cell_type"].cat.codes.to_numpy()
    points = adata.X if n_factors is None else adata.obsm["factors"]
    centres = [points[kinds == k].mean(axis=0) for k in range(4)]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i]]
    assert min(apart) == pytest.approx(5.0, abs=0.4)
    assert not np.isnan(adata.X).any()


def test_types_and_batches_have_their_shares():
    adata = simulate_cells(5000, 2, 4, batches=3, rng=3)
    counts = adata.obs["cell_type"].value_counts(sort=False)
    assert stats.chisquare(counts, 5000 * adata.uns["truth"]["weights"]).pvalue > RARE
    assert stats.chisquare(adata.obs["batch"].value_counts()).pvalue > RARE


@pytest.mark.parametrize("slope", [0.0, 1.0, -3.0])
def test_gaps_have_their_share_and_depend_on_values_as_asked(slope):
    adata = simulate_cells(2000, 20, missing=0.35, not_at_random=slope, rng=4)
    gaps, values = np.isnan(adata.X), adata.layers["complete"]
    assert stats.binomtest(int(gaps.sum()), gaps.size, 0.35).pvalue > RARE
    low, high = values < np.quantile(values, 0.2), values > np.quantile(values, 0.8)
    odds = [gaps[part].mean() / (1 - gaps[part].mean()) for part in (low, high)]
    # The middles of the lowest and the highest fifth of a normal law lie 2.8 standard deviations apart.
    assert np.log(odds[0] / odds[1]) == pytest.approx(2.8 * slope, abs=0.1 + 0.15 * abs(2.8 * slope))


def test_sparse_cells_hold_counts_with_zeros_and_stored_gaps():
    adata = simulate_cells(200, 10, sparse=True, rng=5)
    assert sparse.issparse(adata.X)
    assert sparse.issparse(adata.layers["complete"])
    complete = adata.layers["complete"].toarray()
    np.testing.assert_allclose(np.expm1(complete), np.round(np.expm1(complete)), atol=1e-9)
    assert 0.1 < (complete == 0).mean() < 0.9
    seen = ~np.isnan(adata.X.toarray())
    assert 0.15 < 1 - seen.mean() < 0.25
    np.testing.assert_array_equal(adata.X.toarray()[seen], complete[seen])


def test_a_seed_makes_the_same_cells_again():
    first, second, other = (simulate_cells(50, 5, n_factors=2, rng=rng) for rng in (1, np.random.default_rng(1), 2))
    np.testing.assert_array_equal(first.X, second.X)
    pd.testing.assert_frame_equal(first.obs, second.obs)
    assert not np.array_equal(first.layers["complete"], other.layers["complete"])


def test_cells_survive_a_file(tmp_path):
    adata = simulate_cells(50, 5, n_factors=2, batches=2, sparse=True, rng=1)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert_same(ad.read_h5ad(tmp_path / "a.h5ad"), adata)


def test_one_cell_of_one_type():
    assert simulate_cells(1, 1, 1, rng=1).shape == (1, 1)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"n_cells": 0}, "n_cells must be a whole number, 1 or more; got 0"),
        ({"n_vars": 2.5}, "n_vars must be a whole number"),
        ({"n_types": True}, "n_types must be a whole number"),
        ({"n_factors": -1}, "n_factors must be a whole number"),
        ({"n_factors": 0}, "n_factors must be a whole number"),
        ({"batches": "two"}, "batches must be a whole number"),
        ({"missing": 1.0}, "missing must be from 0 to 0.99; got 1"),
        ({"batch_effect": -1}, "batch_effect must be from 0"),
        ({"not_at_random": float("nan")}, "not_at_random must be finite"),
        ({"rng": "seed"}, "rng must be a seed"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(keywords, sentence):
    with pytest.raises(DataError, match=sentence):
        simulate_cells(**keywords)


def test_the_cells_in_data_are_made_again_from_their_seed():
    path = ROOT / "data" / "cells.h5ad"
    assert path.stat().st_size < 300_000
    assert_same(ad.read_h5ad(path), small_cells(rng=1), atol=1e-3)


def assert_same(found, wanted, atol=0.0):
    """Everything in two AnnData is the same; rounded values may differ in their last digit between machines."""
    pd.testing.assert_frame_equal(found.obs, wanted.obs)
    pd.testing.assert_frame_equal(found.var, wanted.var)
    assert found.uns["truth"].keys() == wanted.uns["truth"].keys()
    for name, value in wanted.uns["truth"].items():
        np.testing.assert_allclose(found.uns["truth"][name], value)
    for part in ("layers", "obsm", "varm"):
        assert getattr(found, part).keys() == getattr(wanted, part).keys()
        for name, value in getattr(wanted, part).items():
            np.testing.assert_allclose(plain(getattr(found, part)[name]), plain(value), atol=atol)
    np.testing.assert_allclose(plain(found.X), plain(wanted.X), atol=atol)


def plain(values):
    return values.toarray() if sparse.issparse(values) else np.asarray(values)
