"""The report on gaps counts what is there, and what too few values leave out is said."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from mixsci.cells import pp, simulate_cells
from mixsci.errors import DataError

X = np.array([
    [1.0, np.nan, 0.0, 2.0],
    [1.5, np.nan, 0.0, np.nan],
    [np.nan, np.nan, np.nan, np.nan],
    [2.0, 3.0, 0.0, 4.0],
    [0.0, np.nan, 0.0, np.nan],
])  # fmt: skip


def annotated(values=X):
    return ad.AnnData(values, obs=pd.DataFrame({"run": list("aabba")}, index=[f"c{i}" for i in range(5)]))


#: How X is stored; the report is the same.
STORED = {
    "dense": annotated,
    "sparse": lambda: annotated(sparse.csr_matrix(X)),
    "dask": lambda: annotated(da.from_array(X, chunks=(2, 3))),
    "layer": lambda: ad.AnnData(np.ones((5, 4)), obs=annotated().obs, layers={"l": X}),
}


@pytest.mark.parametrize("stored", STORED)
def test_the_report_counts_what_is_there(stored):
    adata = STORED[stored]()
    assert pp.missingness(adata, groupby="run", layer="l" if stored == "layer" else None) is None
    np.testing.assert_allclose(adata.obs["missingness"], [0.25, 0.5, 1.0, 0.0, 0.5])
    assert adata.obs["missingness_observed"].tolist() == [3, 2, 0, 4, 2]
    np.testing.assert_allclose(adata.obs["missingness_zeros"], [0.25, 0.25, 0.0, 0.25, 0.5])
    np.testing.assert_allclose(adata.var["missingness"], [0.2, 0.8, 0.2, 0.6])
    assert adata.var["missingness_observed"].tolist() == [4, 1, 4, 2]
    np.testing.assert_allclose(adata.var["missingness_zeros"], [0.2, 0.0, 0.8, 0.0])
    report = adata.uns["missingness"]
    assert report["share"] == 9 / 20
    assert report["share_zeros"] == 5 / 20
    assert (report["n_patterns"], report["share_complete"]) == (4, 0.2)
    assert (report["n_empty_cells"], report["n_empty_vars"]) == (1, 0)
    assert np.isnan(report["rho"])  # four variables are too few
    assert not report["depends_on_intensity"]
    np.testing.assert_allclose(adata.varm["missingness"]["a"], [0.0, 1.0, 0.0, 2 / 3])
    np.testing.assert_allclose(report["groups"]["share"], [5 / 12, 4 / 8])
    assert report["groups"].index.tolist() == ["a", "b"]


def test_the_report_survives_a_file(tmp_path):
    adata = simulate_cells(60, 12, missing=0.4, batches=2, rng=1)
    pp.missingness(adata, groupby="batch", key_added="gaps")
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    pd.testing.assert_frame_equal(back.var, adata.var)
    pd.testing.assert_frame_equal(back.varm["gaps"], adata.varm["gaps"])
    groups = adata.uns["gaps"].pop("groups")
    pd.testing.assert_frame_equal(back.uns["gaps"].pop("groups"), groups)
    assert back.uns["gaps"] == adata.uns["gaps"]


def test_gaps_that_depend_on_intensity_are_told():
    adata = simulate_cells(300, 60, missing=0.4, not_at_random=2.0, rng=1)
    with pytest.warns(UserWarning, match=r"missing where they are low: over 60 variables .* -0\.9\d \(p = ") as told:
        pp.missingness(adata)
    assert len(told) == 1
    report = adata.uns["missingness"]
    test = stats.spearmanr(np.nanmean(adata.X, axis=0), np.isnan(adata.X).mean(axis=0))
    assert (report["rho"], report["p_value"]) == pytest.approx((test.statistic, test.pvalue))
    assert report["depends_on_intensity"]


def test_gaps_at_random_are_not_accused():
    accused = 0
    for seed in range(20):
        adata = simulate_cells(200, 60, missing=0.4, rng=seed)
        pp.missingness(adata)
        accused += adata.uns["missingness"]["depends_on_intensity"]
    assert accused == 0


def test_a_copy_leaves_the_input_alone():
    adata = annotated()
    told = pp.missingness(adata, copy=True)
    assert "missingness" in told.uns
    assert not adata.uns
    assert list(adata.obs) == ["run"]


def test_a_view_becomes_an_anndata_of_its_own():
    whole = annotated()
    part = whole[:3]
    with pytest.warns(ad.ImplicitModificationWarning):
        pp.missingness(part)
    assert part.obs["missingness"].tolist() == [0.25, 0.5, 1.0]
    assert list(whole.obs) == ["run"]


def test_a_backed_anndata_gets_its_report(tmp_path):
    annotated().write_h5ad(tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    pp.missingness(adata)
    assert adata.uns["missingness"]["share"] == 9 / 20
    with pytest.raises(DataError, match="cannot be copied in memory"):
        pp.missingness(adata, copy=True)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"layer": "l"}, "layer must be in layers"),
        ({"groupby": "batch"}, "groupby must name a column of obs"),
        ({"key_added": "a/b"}, "without a slash"),
        ({"copy": "yes"}, "copy must be True or False"),
    ],
)
def test_what_does_not_fit_is_refused(keywords, sentence):
    with pytest.raises(DataError, match=sentence):
        pp.missingness(annotated(), **keywords)


# --- leaving out -----------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_and_named():
    adata = annotated()
    with pytest.warns(UserWarning, match=r"left out 3 of 4 variables \(1, 2, 3\) and 0 of 5 cells"):
        assert pp.filter_missing(adata) is None
    assert adata.var_names.tolist() == ["0"]
    assert adata.uns["filter_missing"]["vars"].tolist() == ["1", "2", "3"]
    assert adata.uns["filter_missing"]["cells"].tolist() == []


#: Rules -> the variables and the cells that stay of X.
RULES = [
    ({"min_values": 1, "keep_constant": True}, [0, 1, 2, 3], [0, 1, 2, 3, 4]),
    ({"min_values": 1}, [0, 3], [0, 1, 2, 3, 4]),  # one value has no spread
    ({"min_values": 2, "keep_constant": True}, [0, 2, 3], [0, 1, 2, 3, 4]),
    ({"min_values": 1, "max_share_vars": 0.2, "keep_constant": True}, [0, 2], [0, 1, 2, 3, 4]),
    ({"min_values": 1, "max_share_cells": 0.5, "keep_constant": True}, [0, 1, 2, 3], [0, 1, 3, 4]),
    # Without cell 2, variable 3 is missing in half of the cells, and stays.
    ({"min_values": 2, "max_share_cells": 0.9, "max_share_vars": 0.6, "keep_constant": True}, [0, 2, 3], [0, 1, 3, 4]),
]


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(("rules", "variables", "cells"), RULES)
def test_rules_leave_what_they_say(stored, rules, variables, cells):
    adata, layer = STORED[stored](), "l" if stored == "layer" else None
    kept = pp.filter_missing(adata, layer=layer, copy=True, **rules)
    assert kept.var_names.tolist() == [str(j) for j in variables]
    assert kept.obs_names.tolist() == [f"c{i}" for i in cells]
    assert adata.shape == (5, 4)


def test_nothing_is_said_where_nothing_is_left_out():
    adata = simulate_cells(50, 5, rng=1)
    pp.filter_missing(adata)
    assert adata.shape == (50, 5)


@pytest.mark.filterwarnings("ignore:left out")
def test_what_was_left_out_survives_a_file(tmp_path):
    adata = annotated()
    pp.filter_missing(adata, min_values=2, layer=None)
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad").uns["filter_missing"]
    assert back["params"] == adata.uns["filter_missing"]["params"]
    assert back["vars"].tolist() == ["1", "2"]


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"max_share_vars": 1.5}, "max_share_vars must be a share from 0 to 1; got 1.5"),
        ({"max_share_cells": "half"}, "max_share_cells must be one number"),
        ({"min_values": 0}, "min_values must be a whole number"),
        ({"min_values": 9}, "these rules leave 0 variables"),
        ({"max_share_cells": 0.0, "keep_constant": True, "max_share_vars": 0.0, "min_values": 5}, "relax them"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules, sentence):
    with pytest.raises(DataError, match=sentence):
        pp.filter_missing(annotated(), **rules)


def test_a_file_is_not_filtered(tmp_path):
    annotated().write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="load it with to_memory"):
        pp.filter_missing(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"))


def test_of_scope_the_peptides_without_three_values_are_left_out(real_data):
    adata = ad.read_h5ad(real_data / "cells" / "scope2_peptides.h5ad")
    seen = (~np.isnan(adata.X)).sum(axis=0)
    with pytest.warns(UserWarning, match="left out 109 of 4652 variables"):
        pp.filter_missing(adata)
    assert adata.n_vars == (seen >= 3).sum()
