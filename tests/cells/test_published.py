"""Real cells of known kinds: how well they are sorted; a part of `python -m tests.cells_accuracy`."""

import warnings

import anndata
import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from mixsci import cells
from mixsci.errors import DataError
from tests import cells_accuracy as accuracy


def test_flow_with_a_third_of_the_values_hidden(real_data):
    adata = accuracy.hidden(accuracy.flow_cells(real_data), 0.3, 0)
    exact = accuracy.ours(adata, "manual_gate", accuracy.FLOW_KINDS, 0, covariance="full").ari
    assert exact >= 0.88
    full = accuracy.filled(adata, "KNN")
    assert exact >= accuracy.theirs(full, "manual_gate", accuracy.FLOW_KINDS, 0) + 0.10


def test_flow_with_half_of_the_values_hidden_takes_its_family_by_itself(real_data):
    adata = accuracy.hidden(accuracy.flow_cells(real_data), 0.5, 0)
    found = accuracy.ours(adata, "manual_gate", accuracy.FLOW_KINDS, 0, covariance=["full", "scaled", "tied"])
    assert found.what == "full"
    assert found.ari >= 0.75


def test_wine_with_a_third_of_the_values_hidden():
    part = accuracy.hidden(accuracy.wines(), accuracy.WINE_HIDDEN, 2)
    found = accuracy.ours(part, "grower", 3, 2, covariance=["full", "scaled", "tied"])
    assert found.ari >= 0.80


# --- single-cell proteomics: six runs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scope2(real_data):
    """The cells and their thousand most variable peptides."""
    adata = accuracy.scope2_cells(real_data)
    most = np.argsort(-np.nanvar(adata.X, axis=0), kind="stable")[:1000]
    return adata[:, np.sort(most)].copy()


@pytest.mark.parametrize("seed", [0, 1])
def test_kinds_of_cells_are_found_through_the_shifts_of_runs(scope2, seed):
    found = accuracy.ours(scope2, "sample_type", 2, seed, batch="set", covariance="factor_tied", n_factors=2)
    assert found.ari >= 0.93


@pytest.mark.parametrize(("factors", "follow"), [(2, False), (5, True)])
def test_clusters_that_follow_the_runs_are_told(scope2, factors, follow):
    blind = scope2.copy()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cells.tl.mixture(blind, 2, covariance="factor_tied", n_factors=factors, rng=0)
    follows = adjusted_rand_score(blind.obs["set"].astype(str), blind.obs["mixture"].astype(str))
    assert (follows > 0.2) == follow
    assert any("pass batch='set'" in str(one.message) for one in said) == follow


# --- embryos, methylation ---------------------------------------------------------------------------------------------


def test_kinds_of_cells_of_embryos(real_data):
    adata = accuracy.guo_cells(real_data)
    for share, least in ((0.0, 0.78), (0.5, 0.65)):
        part = accuracy.hidden(adata, share, 0)
        found = accuracy.ours(part, "kind", accuracy.GUO_KINDS, 0, covariance="factor_tied", n_factors=7, starts=5)
        assert found.ari >= least


@pytest.fixture(scope="module")
def methylation(real_data):
    return accuracy.methylation_cells(real_data)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_factor_of_methylation_is_its_level(methylation, seed):
    found = methylation.copy()
    cells.tl.factor(found, 1, rng=seed)
    assert accuracy.area(found) >= 0.99


def test_calls_have_no_logit(methylation):
    with pytest.raises(DataError, match="two values only"):
        cells.pp.transform(methylation.copy(), "logit")


# --- expression: zeros are values -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rna(real_data):
    """The cells and genes that at least a quarter of them express and a quarter do not."""
    adata = anndata.read_h5ad(real_data / "cells" / "scmt_rna.h5ad")
    expressed = (adata.X > 0).mean(axis=0)
    return adata[:, (expressed > 0.25) & (expressed < 0.75)][:, :400].copy()


def sorted_with(adata, **settings):
    found = adata.copy()
    cells.tl.mixture(found, 2, covariance="factor_tied", n_factors=2, rng=0, **settings)
    return cells.load(found)


def test_zeros_of_expression_are_values(rna):
    dense = sorted_with(rna)
    assert dense.mixture.n_variables == rna.n_vars
    # Zeros that are not stored are the same zeros.
    thin = rna.copy()
    thin.X = sparse.csr_matrix(thin.X)
    assert sorted_with(thin).log_likelihood == pytest.approx(dense.log_likelihood, rel=1e-9)
    # Means of components, weighed, are those of all values, zeros among them.
    level = dense.mixture.weights @ dense.mixture.component_means()
    np.testing.assert_allclose(level, rna.X.mean(axis=0), rtol=0, atol=0.05 * rna.X.std(axis=0).max())


def test_zeros_are_missing_on_request_alone_with_a_warning(rna):
    kept = sorted_with(rna)
    with pytest.warns(UserWarning, match="zeros are taken as missing"):
        dropped = sorted_with(rna, zeros="missing")
    assert (dropped.mixture.component_means() > kept.mixture.component_means().max(axis=0)).mean() > 0.5
    gaps = rna.copy()
    gaps.X = np.where(gaps.X == 0, np.nan, gaps.X)
    assert sorted_with(gaps).log_likelihood == pytest.approx(dropped.log_likelihood, rel=1e-9)
