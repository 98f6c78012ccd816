"""Clusters of cells: from any kind of matrix, with gaps, batches, noise and weights, written where users look."""

import warnings

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mixsci as mx
from mixsci import cells
from mixsci.cells.clusterings import Clustering, best_of, numbers_of, verdict
from mixsci.cells.families import FAMILIES, families
from mixsci.cells.labellings import agreement
from mixsci.errors import DataError


def few(seed=1, **settings):
    return cells.simulate_cells(300, 6, 3, missing=0.25, rng=seed, **settings)


def many(seed=1, **settings):
    return cells.simulate_cells(200, 60, 3, n_factors=2, missing=0.4, rng=seed, **settings)


def in_dask(x):
    return da.from_array(x, (64, -1))


def truth(adata):
    return agreement(adata.obs["mixture"].astype(str), adata.obs["cell_type"])


# --- families ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_finds_clear_types(name):
    adata = few()
    cells.tl.mixture(adata, 3, covariance=name, n_factors=2, rng=0)
    assert truth(adata) > 0.85
    assert adata.uns["mixture"]["params"]["covariance"] == name


def test_auto_compares_exact_families_for_few_variables_and_factors_beyond():
    assert [family.name for family in families("auto", 6)] == ["full", "scaled", "tied", "factor_tied", "factor_free"]
    assert [family.name for family in families("auto", 60)] == ["factor_tied", "factor_free"]
    assert [family.name for family in families("auto", 1)] == ["full", "tied"]
    assert [family.name for family in families(["diag", "factor", "diag"], 9)] == ["diag", "factor_tied", "factor_free"]


def test_the_choice_is_the_one_of_least_bic():
    adata = few()
    cells.tl.mixture(adata, [2, 3], covariance=["full", "tied"], rng=0)
    choices = pd.DataFrame(adata.uns["mixture"]["choices"])
    assert len(choices) == 4
    best = choices.loc[choices["bic"].idxmin()]
    params = adata.uns["mixture"]["params"]
    assert (params["covariance"], params["n_components"]) == (best["covariance"], best["n_components"])
    assert adata.uns["mixture"]["bic"] == best["bic"]
    assert cells.load(adata).bic == best["bic"]


def test_a_prior_of_ones_own_is_used():
    adata = few()
    prior = mx.prior.InverseWishart(np.eye(6), 5.0)
    cells.tl.mixture(adata, 3, covariance="full", prior=prior, rng=0)
    (used,) = cells.load(adata).model.prior
    np.testing.assert_array_equal(used.scale, np.eye(6))
    assert used.dof == 5.0


# --- matrices of every kind -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [False, True])
@pytest.mark.parametrize(
    "kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, lambda x: da.from_array(x, (64, -1))]
)
def test_matrices_of_every_kind_give_the_same_clusters(kind, factors):
    plain = cells.simulate_cells(200, 12, 3, n_factors=2 if factors else None, missing=0.0, sparse=True, rng=2)
    plain.X = np.asarray(plain.X.todense() if hasattr(plain.X, "todense") else plain.X)
    other = ad.AnnData(kind(plain.X), plain.obs, plain.var)
    for adata in (plain, other):
        cells.tl.mixture(adata, 3, covariance="factor_tied" if factors else "tied", n_factors=2, starts=3, rng=0)
    assert agreement(plain.obs["mixture"], other.obs["mixture"]) > 0.95
    assert other.uns["mixture"]["log_likelihood"] == pytest.approx(plain.uns["mixture"]["log_likelihood"], abs=1.0)


def test_a_backed_file_is_clustered_without_being_loaded(tmp_path):
    adata = many()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    cells.tl.mixture(backed, 3, n_factors=2, rng=0)
    assert truth(backed) > 0.9
    backed.file.close()


def test_a_representation_is_clustered():
    adata = many()
    cells.tl.factor(adata, 2, rng=0)
    cells.tl.mixture(adata, 3, use_rep="X_factor", rng=0)
    assert truth(adata) > 0.9
    assert "mixture_means" not in adata.varm
    assert adata.uns["mixture"]["means"].shape == (2, 3)


def test_cells_without_a_value_have_no_label():
    adata = many()
    adata.X[[3, 9]] = np.nan
    cells.tl.mixture(adata, 3, n_factors=2, rng=0)
    assert np.flatnonzero(adata.obs["mixture"].isna()).tolist() == [3, 9]
    np.testing.assert_allclose(adata.obsm["mixture_proba"][3], adata.uns["mixture"]["weights"])


def test_weights_count_as_cells():
    adata = few()
    keep = np.arange(300) % 5 > 0
    adata.obs["weight"] = keep.astype(float)
    cells.tl.mixture(adata, 3, covariance="full", weights="weight", rng=0)
    assert cells.load(adata).n == keep.sum()


def test_errors_are_taken_out_of_the_spread():
    rng = np.random.default_rng(0)
    adata = cells.simulate_cells(400, 5, 2, missing=0.1, rng=3)
    sigma = np.full(adata.shape, 1.5)
    adata.X = adata.X + sigma * rng.standard_normal(adata.shape)
    adata.layers["sigma"] = sigma
    spreads = []
    for noise in (None, "sigma"):
        for covariance in ("tied", "factor_tied"):
            cells.tl.mixture(adata, 2, covariance=covariance, n_factors=1, noise_layer=noise, prior=None, rng=0)
            spreads.append(cells.load(adata).mixture.component_variances().mean())
    np.testing.assert_allclose(spreads[2:], np.array(spreads[:2]) - 1.5**2, rtol=0.2)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["tied", "factor_tied"])
def test_batches_are_estimated_with_the_rest(covariance):
    adata = cells.simulate_cells(
        300, 20, 2, n_factors=1, missing=0.3, batches=3, batch_effect=4.0, separation=4.0, rng=4
    )
    cells.tl.mixture(adata, 2, covariance=covariance, n_factors=1, batch="batch", rng=0)
    assert truth(adata) > 0.85
    mixture = cells.load(adata).mixture
    shifts = mixture.shifts if covariance == "factor_tied" else mixture.offsets
    found = shifts - shifts.mean(axis=0)
    assert np.corrcoef(found.ravel(), np.asarray(adata.varm["batch_shifts"]).T.ravel())[0, 1] > 0.95
    assert mixture.weights.shape == (3, 2)


def test_clusters_that_follow_a_batch_are_spoken_of():
    adata = cells.simulate_cells(
        300, 20, 2, n_factors=1, missing=0.3, batches=2, batch_effect=6.0, separation=2.0, rng=4
    )
    with pytest.warns(UserWarning, match="follow obs column 'batch'"):
        cells.tl.mixture(adata, 2, covariance="factor_tied", n_factors=1, rng=0)


def test_columns_that_are_no_batch_are_not_spoken_of():
    adata = few()
    adata.obs["offset"] = adata.obs["cell_type"].astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells.tl.mixture(adata, 3, covariance="tied", rng=0)


# --- one seed, one answer ---------------------------------------------------------------------------------------------


def test_a_seed_settles_all():
    first, second = (cells.simulate_cells(120, 36, 3, n_factors=2, missing=0.4, rng=1) for _ in range(2))
    cells.tl.mixture(first, 3, covariance="factor_tied", rng=5)
    cells.tl.mixture(second, 3, covariance="factor_tied", random_state=5, workers=1)
    pd.testing.assert_frame_equal(first.obs, second.obs)
    assert first.uns["mixture"]["fit"] == second.uns["mixture"]["fit"]


def test_a_copy_leaves_the_original():
    adata = few()
    copy = cells.tl.mixture(adata, 3, covariance="tied", copy=True, rng=0)
    assert "mixture" in copy.obs
    assert "mixture" not in adata.obs


def test_results_survive_a_file(tmp_path):
    adata = many(batches=2)
    cells.tl.mixture(adata, [2, 3], n_factors=2, batch="batch", rng=0)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = ad.read_h5ad(tmp_path / "cells.h5ad")
    fit, before = cells.load(again), cells.load(adata)
    assert fit.bic == before.bic
    np.testing.assert_array_equal(fit.mixture.loadings, before.mixture.loadings)
    np.testing.assert_array_equal(again.obsm["mixture_proba"], adata.obsm["mixture_proba"])
    assert again.obs["mixture"].equals(adata.obs["mixture"])
    assert again.uns["mixture"]["verdict"] == adata.uns["mixture"]["verdict"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_components": 0}, "whole number"),
        ({"n_components": 2.0}, "whole number"),
        ({"n_components": []}, "whole number"),
        ({"n_components": True}, "whole number"),
        ({"n_components": 5000}, "a cell with a value for every cluster"),
        ({"covariance": "round"}, "covariance must be of"),
        ({"covariance": 3}, "covariance must be a name"),
        ({"covariance": "factor", "n_factors": 6}, "fewer than variables"),
        ({"n_factors": 0, "covariance": "factor"}, "n_factors must be a whole number"),
        ({"n_factors": 1.5}, "n_factors must be a whole number"),
        ({"covariance": "factor", "n_factors": 1, "prior": mx.prior.Bovy(1.0)}, "priors of their own"),
        ({"rng": 1, "random_state": 2}, "two names"),
        ({"key_added": "a/b"}, "key_added"),
        ({"batch": "nowhere"}, "nowhere"),
        ({"layer": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(settings, said):
    adata = few()
    with pytest.raises(DataError, match=said):
        cells.tl.mixture(adata, **({"n_components": 3} | settings))
    assert "mixture" not in adata.obs


def test_variables_that_say_nothing_are_named():
    adata = few()
    adata.X[:, 2] = 1.0
    with pytest.raises(DataError, match=r"vary; always the same are marker_2: .*filter_missing"):
        cells.tl.mixture(adata, 3)


# --- verdicts ---------------------------------------------------------------------------------------------------------


class _Fit:
    def __init__(self, bic, converged=True):
        self.bic, self.icl, self.aic, self.converged = bic, bic, bic, converged


def line(k, bic, family="tied", *, held_out=np.nan, converged=True, seen_bic=None):
    return Clustering(family, k, 0, _Fit(bic, converged), held_out, bic if seen_bic is None else seen_bic)


def test_numbers_within_two_are_undecided():
    sentence = verdict([line(2, 10.0), line(3, 11.5), line(4, 11.9), line(5, 13.0), line(3, 11.0, "full")])
    assert sentence == "K is undecided: BIC of K = 2, 3 and 4 differ by less than 2"


def test_families_are_taken_by_who_speaks_of_their_parameters_and_numbers_by_bic():
    lines = [line(2, 10.0, seen_bic=9.0), line(2, 14.0, "full", seen_bic=5.0), line(3, 15.5), line(4, 30.0)]
    assert best_of(lines).family == "full"
    assert verdict(lines) == "K is undecided: BIC of K = 2 and 3 differ by less than 2"


def test_a_clear_number_is_named_with_its_lead():
    assert verdict([line(2, 10.0), line(3, 25.0)]) == "K = 2 (tied): BIC of the next best, K = 3, is larger by 15.0"
    assert "was the only number tried" in verdict([line(2, 10.0)])
    assert "K = 3 (tied) foretells" in verdict([line(2, 1.0, held_out=-2.0), line(3, 2.0, held_out=-1.0)], "held_out")


def test_fits_that_did_not_converge_come_last():
    assert best_of([line(2, 10.0, converged=False), line(3, 20.0)]).n_components == 3
    with pytest.raises(DataError, match="criterion"):
        best_of([line(2, 1.0)], "luck")
    assert numbers_of(range(3, 1, -1), 10) == [2, 3]


def test_agreement_is_the_adjusted_rand_index():
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
        assert agreement(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert agreement([1, 1, 1], ["a", "a", "a"]) == 1.0
