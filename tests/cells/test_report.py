"""Clusterings as tables and files, cells seen from where clusters lie farthest apart, and cells in files."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

import mixsci as mx
from mixsci import cells
from mixsci.cells.tabulated import choices_table, clusters_table, markers_table, means_table
from mixsci.cells.views import view


@pytest.fixture(scope="module")
def found():
    """Cells of three types in two batches, clustered; one has no value."""
    adata = cells.simulate_cells(150, 6, 3, missing=0.2, batches=2, batch_effect=8.0, separation=9.0, rng=2)
    adata.X[7] = np.nan
    cells.tl.mixture(adata, [2, 3], covariance="tied", batch="batch", starts=5, rng=0)
    return adata


def test_tables_say_what_the_fields_say(found):
    clusters, fit = clusters_table(found), cells.load(found)
    assert clusters["weight"].sum() == pytest.approx(1.0)
    assert clusters["n_cells"].sum() == 149
    np.testing.assert_allclose(clusters[["weight_batch_0", "weight_batch_1"]].T, found.uns["mixture"]["batch_weights"])
    first = found.obs["mixture"] == "0"
    assert clusters["mean_prob"].iloc[0] == pytest.approx(found.obs.loc[first, "mixture_prob"].mean())
    np.testing.assert_array_equal(means_table(found), found.varm["mixture_means"])
    taken = choices_table(found).query("taken")
    assert taken["log_likelihood"].tolist() == [fit.log_likelihood]


def test_markers_stand_with_the_share_of_cells_that_have_them(found):
    adata = found.copy()
    cells.tl.rank_markers(adata, key_added="marks")
    table, ranked = markers_table(adata, "marks"), adata.uns["marks"]
    assert table.loc["1"].index.tolist() == ranked["names"]["1"].tolist()
    for name, share in table.loc["2"]["observed"].items():
        assert share == ranked["observed"].loc[name, "2"]


def test_a_view_separates_clusters_and_aligns_batches(found):
    rows, places = view(found)
    assert rows.tolist() == [i for i in range(150) if i != 7]
    labels, runs = found.obs["mixture"].iloc[rows], found.obs["batch"].iloc[rows]
    frame = pd.DataFrame(places, index=rows)
    centres, spread = frame.groupby(labels.to_numpy()).mean(), frame.groupby(labels.to_numpy()).std()
    assert np.linalg.norm(np.diff(centres.to_numpy(), axis=0), axis=1).min() > 4
    # What is expected of a cell spreads less than the cells do.
    assert (spread < 1.1).all(axis=None)
    for cluster in centres.index:
        mine = (labels == cluster).to_numpy()
        by_run = frame[mine].groupby(runs.to_numpy()[mine]).mean().to_numpy()
        assert np.abs(by_run[0] - by_run[1]).max() < 1.0


@pytest.mark.parametrize("covariance", ["factor_tied", "factor_own"])
def test_views_of_many_cells_are_of_some(covariance):
    adata = cells.simulate_cells(300, 20, 2, n_factors=2, missing=0.3, rng=3)
    adata.X = csr_matrix(adata.X)
    cells.tl.mixture(adata, 2, covariance=covariance, n_factors=2, starts=2, rng=0)
    rows, places = view(adata, most=100)
    assert (len(rows), places.shape) == (100, (100, 2))
    side = places[:, 0] > np.median(places[:, 0])
    assert cells.agreement(side, adata.obs["mixture"].iloc[rows]) > 0.3


def test_a_view_of_one_dimension_has_one():
    adata = cells.simulate_cells(100, 1, 2, missing=0.0, rng=3)
    cells.tl.mixture(adata, 2, rng=0)
    assert view(adata)[1].shape == (100, 1)


def test_a_report_needs_no_more_than_a_clustering(found, tmp_path):
    files = {path.name for path in cells.write_report(found, tmp_path / "deep" / "r", title="Mine & yours")}
    assert {"clusters.csv", "clusters.png", "choices.png", "report.html", "model.json"} <= files
    assert not files & {"markers.csv", "missingness.csv", "held_out.png"}
    page = (tmp_path / "deep" / "r" / "report.html").read_text("utf-8")
    assert "<title>Mine &amp; yours</title>" in page
    with pytest.raises(mx.DataError, match="key must name results"):
        cells.write_report(found, tmp_path, "other")


@pytest.mark.parametrize("rows", [["a", "b"], ["a", "a"], [1, 2]])
def test_the_first_column_names_cells_where_it_can(tmp_path, rows):
    table = pd.DataFrame({"cell": rows, "x": [1.5, np.nan], "y": [2, 3], "flag": [True, False], "kind": ["T", None]})
    table.to_csv(tmp_path / "t.csv", index=False)
    adata = cells.read(tmp_path / "t.csv")
    named = rows == ["a", "b"]
    assert adata.obs_names.tolist() == (["a", "b"] if named else ["0", "1"])
    assert adata.var_names.tolist() == ([] if rows != [1, 2] else ["cell"]) + ["x", "y"]
    assert adata.obs["flag"].tolist() == ["True", "False"]
    assert adata.obs["kind"].isna().tolist() == [False, True]
    adata.write_h5ad(tmp_path / "t.h5ad")
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "t.h5ad").X, adata.X)


def test_labels_that_are_numbers_are_named(tmp_path):
    pd.DataFrame({"x": [1.0, 2.0], "run": [1, 2]}).to_csv(tmp_path / "t.csv", index=False)
    assert cells.read(tmp_path / "t.csv", labels=["run"]).obs["run"].tolist() == ["1", "2"]
    with pytest.raises(mx.DataError, match="no column day; it has x, run"):
        cells.read(tmp_path / "t.csv", labels=["day"])
