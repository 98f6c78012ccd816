"""Factors of cells, filled gaps, numbers of clusters, new cells: what they say agrees with what is known."""

import anndata as ad
import numpy as np
import pytest
from scipy.stats import norm

from mixsci import cells
from mixsci.cells.clusterings import Clusterer
from mixsci.cells.labellings import agreement
from mixsci.cells.matrix import matrix_of
from mixsci.errors import DataError


@pytest.fixture(scope="module")
def made():
    adata = cells.simulate_cells(300, 50, 3, n_factors=2, missing=0.5, rng=1)
    cells.tl.factor(adata, 2, rng=0)
    cells.tl.mixture(adata, 3, covariance="factor_tied", n_factors=2, rng=0)
    return adata


# --- factors ----------------------------------------------------------------------------------------------------------


def test_factors_are_those_that_made_the_cells(made):
    truth = made.obsm["factors"] - made.obsm["factors"].mean(axis=0)
    found = made.obsm["X_factor"]
    turn, *_ = np.linalg.lstsq(found, truth, rcond=None)
    assert 1.0 - ((truth - found @ turn) ** 2).sum() / (truth**2).sum() > 0.95
    np.testing.assert_allclose((found**2 + made.obsm["X_factor_sd"] ** 2).mean(axis=0), 1.0, atol=0.05)


def test_factors_come_in_the_order_of_what_they_explain(made):
    ratio = made.uns["factor"]["variance_ratio"]
    assert ratio.shape == (2,)
    assert 0 < ratio.sum() < 1
    says = (made.varm["factor_loadings"] ** 2 / cells.load(made, "factor").mixture.uniquenesses[:, None]).sum(axis=0)
    assert says[0] > says[1]


def test_fewer_values_make_a_factor_less_sure():
    adata = cells.simulate_cells(200, 40, 2, n_factors=1, missing=0.2, rng=2)
    adata.X[:20, 2:] = np.nan
    adata.X[20] = np.nan
    cells.tl.factor(adata, 1, rng=0)
    sd = adata.obsm["X_factor_sd"][:, 0]
    assert sd[:20].min() > 2 * np.median(sd[21:])
    assert (adata.obsm["X_factor"][20, 0], sd[20]) == (0.0, 1.0)


def test_the_number_of_factors_is_found():
    adata = cells.simulate_cells(400, 30, 1, n_factors=3, missing=0.3, rng=3)
    cells.tl.factor(adata, rng=0)
    assert adata.obsm["X_factor"].shape[1] == 3
    tried = adata.uns["factor"]["choices"]
    assert tried["n_factors"][np.argmin(tried["bic"])] == 3


def test_a_batch_does_not_become_a_factor():
    adata = cells.simulate_cells(300, 30, 2, n_factors=1, missing=0.3, batches=2, batch_effect=2.0, rng=4)
    cells.tl.factor(adata, 1, batch="batch", rng=0)
    batch = adata.obs["batch"].cat.codes
    assert abs(np.corrcoef(adata.obsm["X_factor"][:, 0], batch)[0, 1]) < 0.2
    kinds = adata.obs["cell_type"].cat.codes
    assert abs(np.corrcoef(adata.obsm["X_factor"][:, 0], kinds)[0, 1]) > 0.8


def test_variables_that_were_left_out_have_no_loadings():
    adata = cells.simulate_cells(100, 12, 2, n_factors=1, missing=0.2, rng=5)
    cells.tl.factor(adata, 1, mask_var=np.arange(12) < 10, rng=0)
    assert np.isnan(adata.varm["factor_loadings"]).any(axis=1).tolist() == [False] * 10 + [True] * 2


# --- filled gaps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["mixture", "factor"])
def test_gaps_are_filled_with_a_known_error(made, key):
    adata = made.copy()
    cells.tl.impute(adata, key)
    filled, sd = adata.layers[f"{key}_imputed"], adata.layers[f"{key}_imputed_sd"]
    seen = ~np.isnan(adata.X)
    np.testing.assert_array_equal(filled[seen], adata.X[seen])
    assert not sd[seen].any()
    z = (adata.layers["complete"] - filled)[~seen] / sd[~seen]
    assert 0.88 < np.mean(np.abs(z) < norm.ppf(0.95)) < 0.92
    naive = adata.layers["complete"] - np.nanmean(adata.X, axis=0)
    assert ((adata.layers["complete"] - filled)[~seen] ** 2).mean() < 0.4 * (naive[~seen] ** 2).mean()


def test_draws_vary_as_the_standard_deviation_says(made):
    adata = made.copy()
    cells.tl.impute(adata)
    cells.tl.impute(adata, method="draw", n_draws=40, rng=0)
    draws = np.array([adata.layers[f"mixture_draw_{i}"] for i in range(40)])
    gap = np.isnan(adata.X)
    np.testing.assert_array_equal(draws[:, ~gap], np.broadcast_to(adata.X[~gap], draws[:, ~gap].shape))
    sd = adata.layers["mixture_imputed_sd"][gap]
    z = (draws.mean(axis=0) - adata.layers["mixture_imputed"])[gap] / sd * np.sqrt(40)
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1.0, abs=0.05)
    assert (draws.var(axis=0, ddof=1)[gap] / sd**2).mean() == pytest.approx(1.0, abs=0.02)


def test_what_cannot_be_filled_is_refused(made):
    with pytest.raises(DataError, match="method"):
        cells.tl.impute(made, method="guess")
    with pytest.raises(DataError, match="n_draws"):
        cells.tl.impute(made, method="draw", n_draws=0)
    with pytest.raises(DataError, match="key must name results"):
        cells.tl.impute(made, "nothing")


# --- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["bic", "icl", "held_out"])
def test_the_number_of_types_is_found(criterion):
    adata = cells.simulate_cells(300, 5, 3, missing=0.2, separation=7.0, rng=6)
    cells.tl.select(adata, [1, 2, 3], covariance="tied", criterion=criterion, starts=3, rng=0)
    found = adata.uns["select"]
    assert (found["n_components"], found["covariance"], found["criterion"]) == (3, "tied", criterion)
    assert np.isnan(found["choices"]["held_out"]).all() == (criterion != "held_out")
    assert "K = 3" in found["verdict"]


def test_what_cannot_be_chosen_by_is_refused():
    adata = cells.simulate_cells(50, 5, 2, rng=6)
    with pytest.raises(DataError, match="criterion"):
        cells.tl.select(adata, [1, 2], criterion="luck")


def test_hidden_values_are_foretold_as_a_regression_would():
    """Two variables of one Gaussian: the density of one given the other, by hand."""
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], 4000)
    clusterer = Clusterer(matrix_of(ad.AnnData(x)), "full", rng=0)
    (found,) = clusterer.each([1], held_out=True)
    alone, given = -0.5 * np.log(2 * np.pi * np.e), -0.5 * np.log(2 * np.pi * np.e * (1 - 0.8**2))
    # One hidden value in ten has its partner hidden too: half of such a pair then stands alone.
    assert found.held_out == pytest.approx(0.95 * given + 0.05 * alone, abs=0.05)


# --- new cells --------------------------------------------------------------------------------------------------------


def test_the_same_cells_get_the_same_clusters(made):
    again = ad.AnnData(made.X.copy(), var=made.var)
    cells.tl.map(made, again)
    np.testing.assert_allclose(again.obsm["mixture_proba"], made.obsm["mixture_proba"], atol=1e-12)
    assert again.obs["mixture"].tolist() == made.obs["mixture"].tolist()


def test_another_panel_in_another_order_is_matched_by_name(made):
    rng = np.random.default_rng(0)
    chosen = rng.permutation(50)[:30]
    panel = made[:, chosen].copy()
    panel.obs = made.obs[["cell_type"]].copy()
    strange = ad.AnnData(
        np.hstack([panel.X, rng.standard_normal((300, 2))]), panel.obs, {"names": [*panel.var_names, "x", "y"]}
    )
    strange.var_names = [*panel.var_names, "x", "y"]
    cells.tl.map(made, strange, key_added="mapped")
    np.testing.assert_allclose(
        strange.obs["mapped_log_density"], cells.load(made).mixture.marginal(chosen).log_density(panel.X), rtol=1e-9
    )
    assert agreement(strange.obs["mapped"], strange.obs["cell_type"]) > 0.9


def test_few_variables_are_spoken_of_and_none_refused(made):
    with pytest.warns(UserWarning, match="have 5 of the fit's 50"):
        cells.tl.map(made, made[:, :5].copy(), key_added="mapped")
    other = made[:, :5].copy()
    other.var_names = list("abcde")
    with pytest.raises(DataError, match="must share variables"):
        cells.tl.map(made, other)
