"""Markers agree with scipy's t test where clusters are sharp, count what is observed, and lie where scanpy looks."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import false_discovery_control, ttest_ind

from mixsci.cells.markers import rank_markers
from mixsci.errors import DataError

NAMES = [f"g{j}" for j in range(6)]


def make(x, r):
    labels = pd.Categorical.from_codes(r.argmax(axis=1), [str(k) for k in range(r.shape[1])])
    obs = pd.DataFrame({"mixture": labels}, index=[str(i) for i in range(len(r))])
    adata = anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(x.shape[1])]))
    adata.obsm["mixture_proba"] = r
    return adata


@pytest.fixture
def sharp():
    """Three sharp clusters of cells with gaps; g0 is high in cluster 1, g3 low in cluster 2."""
    rng = np.random.default_rng(0)
    label = rng.choice(3, 240, p=[0.5, 0.3, 0.2])
    x = rng.normal(size=(240, 6)) * [1, 2, 0.5, 1, 1, 10] + 100.0
    x[:, 0] += 1.5 * (label == 1)
    x[:, 3] -= 1.0 * (label == 2)
    x[rng.random(x.shape) < 0.4] = np.nan
    return make(x, np.eye(3)[label])


def frame(adata, group, key="rank_genes_groups"):
    """What `scanpy.get.rank_genes_groups_df` makes of the layout, word for word without scanpy."""
    found = adata.uns[key]
    columns = ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"]
    table = pd.DataFrame({name: pd.DataFrame(found[name])[group] for name in columns})
    table["pct_nz_group"] = found["pts"].loc[table["names"], group].to_numpy()
    return table


def field(adata, name, group):
    """A column of numbers by variable."""
    found = adata.uns["rank_genes_groups"]
    return pd.Series(found[name][group], index=found["names"][group])


def effective(r):
    return r.sum() ** 2 / (r**2).sum()


@pytest.mark.parametrize("reference", ["rest", "2"])
def test_sharp_clusters_have_the_scores_of_a_t_test(sharp, reference):
    rank_markers(sharp, reference=reference)
    x, label = np.asarray(sharp.X), sharp.obs["mixture"].to_numpy()
    for group in sharp.uns["rank_genes_groups"]["scores"].dtype.names:
        other = label != group if reference == "rest" else label == reference
        known = ttest_ind(x[label == group], x[other], equal_var=False, nan_policy="omit")
        np.testing.assert_allclose(field(sharp, "scores", group)[NAMES], known.statistic, rtol=1e-9)
        np.testing.assert_allclose(field(sharp, "pvals", group)[NAMES], known.pvalue, rtol=1e-8)
        adjusted = false_discovery_control(np.asarray(known.pvalue))
        np.testing.assert_allclose(field(sharp, "pvals_adj", group)[NAMES], adjusted, rtol=1e-8)
        apart = np.nanmean(x[label == group], axis=0) - np.nanmean(x[other], axis=0)
        np.testing.assert_allclose(field(sharp, "logfoldchanges", group)[NAMES], apart, atol=1e-9)
        spread = np.sqrt((np.nanvar(x[label == group], 0, ddof=1) + np.nanvar(x[other], 0, ddof=1)) / 2)
        np.testing.assert_allclose(field(sharp, "effects", group)[NAMES], apart / spread, rtol=1e-8)
        np.testing.assert_array_equal(field(sharp, "n_obs", group)[NAMES], (~np.isnan(x[label == group])).sum(0))


def test_cells_between_clusters_count_in_part():
    rng = np.random.default_rng(1)
    r = rng.dirichlet([0.5, 0.5, 0.5], 80)
    x = rng.normal(size=(80, 2)) + 50.0 * r[:, [0, 1]]
    x[rng.random(x.shape) < 0.3] = np.nan
    adata = make(x, r)
    rank_markers(adata)
    for j in range(2):
        seen = ~np.isnan(x[:, j])
        w, v, y = r[seen, 0], 1 - r[seen, 0], x[seen, j]
        sides = []
        for weights in (w, v):
            n, mean = effective(weights), np.average(y, weights=weights)
            sides.append((n, mean, np.average((y - mean) ** 2, weights=weights) * n / (n - 1)))
        (n, m, s), (n_rest, m_rest, s_rest) = sides
        score = (m - m_rest) / np.sqrt(s / n + s_rest / n_rest)
        assert field(adata, "scores", "0")[f"g{j}"] == pytest.approx(score, rel=1e-9)
        assert field(adata, "n_obs", "0")[f"g{j}"] == pytest.approx(w.sum())


def test_standard_errors_of_effects_are_their_spread():
    """Over many draws; both sides Gaussian, of different size and spread."""
    rng = np.random.default_rng(2)
    x = np.vstack([rng.normal(2.0, 1.0, (60, 4000)), rng.normal(0.0, 1.5, (90, 4000))])
    adata = make(x, np.eye(2)[np.repeat([0, 1], [60, 90])])
    rank_markers(adata)
    assert field(adata, "effects_se", "0").mean() == pytest.approx(field(adata, "effects", "0").std(), rel=0.05)


def test_p_values_are_even_where_clusters_do_not_come_from_the_data():
    rng = np.random.default_rng(3)
    adata = make(rng.normal(size=(100, 3000)), np.eye(2)[rng.integers(0, 2, 100)])
    rank_markers(adata)
    pvals = field(adata, "pvals", "0")
    np.testing.assert_allclose([(pvals < level).mean() for level in (0.05, 0.5)], [0.05, 0.5], atol=0.03)
    assert (field(adata, "pvals_adj", "0") > 0.05).all()


def test_the_layout_is_that_of_scanpy(sharp):
    rank_markers(sharp, groups=["1", "2"], n_vars=4)
    found = sharp.uns["rank_genes_groups"]
    assert found["names"].dtype.names == ("1", "2")
    assert found["names"].shape == (4,)
    assert {"groupby", "reference", "method", "use_raw"} <= set(found["params"])
    assert (found["params"]["groupby"], found["params"]["reference"]) == ("mixture", "rest")
    table = frame(sharp, "1")
    assert table["names"][0] == "g0"
    assert table["scores"].is_monotonic_decreasing
    assert ((table["pvals_adj"] >= table["pvals"]) & (table["pvals_adj"] <= 1)).all()
    assert found["observed"].loc["g0", "1"] == pytest.approx(
        np.mean(~np.isnan(sharp[sharp.obs["mixture"] == "1", "g0"].X))
    )


def test_shares_of_values_that_are_not_zero_are_those_of_observed_values():
    x = np.array([[0.0, np.nan], [1.0, 2.0], [0.0, 0.0], [np.nan, 3.0], [2.0, 1.0], [1.0, 0.0]])
    adata = make(x, np.eye(2)[[0, 0, 0, 1, 1, 1]])
    rank_markers(adata)
    found = adata.uns["rank_genes_groups"]
    np.testing.assert_allclose(found["pts"]["0"], [1 / 3, 1 / 2])
    np.testing.assert_allclose(found["pts_rest"]["0"], [1.0, 2 / 3])
    np.testing.assert_allclose(found["observed"]["1"], [2 / 3, 1.0])


def test_variables_without_values_stand_last():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    x[:20, 1] = np.nan
    x[:, 2] = np.where(np.arange(40) < 20, 1.0, 0.0)
    adata = make(x, np.eye(2)[np.repeat([0, 1], 20)])
    rank_markers(adata)
    table = frame(adata, "0").set_index("names")
    # Sides without spread that differ come first, with a score all the same.
    assert table.index.tolist() == ["g2", "g0", "g1"]
    assert np.isfinite(table["scores"]).all()
    assert table.loc["g2", "pvals"] < 1e-100
    assert table.loc["g1", ["scores", "pvals", "pvals_adj"]].tolist() == [0.0, 1.0, 1.0]
    assert np.isnan(field(adata, "logfoldchanges", "0")["g1"])
    assert field(adata, "n_obs", "0")["g1"] == 0


def test_sparse_values_and_layers_give_the_same(sharp):
    x = np.nan_to_num(np.asarray(sharp.X)) * (np.random.default_rng(0).random(sharp.shape) < 0.5)
    sharp.layers["dense"], sharp.layers["sparse"] = x, sparse.csr_matrix(x)
    rank_markers(sharp, layer="dense", key_added="dense")
    rank_markers(sharp, layer="sparse", key_added="sparse")
    for group in "012":
        pd.testing.assert_frame_equal(frame(sharp, group, "dense"), frame(sharp, group, "sparse"))
    assert sharp.uns["sparse"]["params"]["layer"] == "sparse"


def test_markers_survive_a_file(sharp, tmp_path):
    copied = rank_markers(sharp, copy=True)
    assert not sharp.uns
    copied.write_h5ad(tmp_path / "ranked.h5ad")
    back = anndata.read_h5ad(tmp_path / "ranked.h5ad")
    written, found = copied.uns["rank_genes_groups"], back.uns["rank_genes_groups"]
    assert set(found) == set(written)
    assert found["params"] == written["params"]
    for name in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges", "effects", "effects_se", "n_obs"):
        assert found[name].tolist() == written[name].tolist()
    for name in ("pts", "pts_rest", "observed"):
        pd.testing.assert_frame_equal(found[name], written[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": "other"}, "obsm must hold other_proba"),
        ({"groups": ["7"]}, "groups must be clusters, each once, of 0, 1, 2"),
        ({"groups": ["1", "1"]}, "each once"),
        ({"groups": "1", "reference": "1"}, "a cluster other than the reference"),
        ({"reference": "all"}, 'reference must be "rest" or a cluster'),
        ({"n_vars": 0}, "n_vars must be a whole number"),
        ({"layer": "nothing"}, "layer must be in layers"),
        ({"key_added": "a/b"}, "without a slash"),
    ],
)
def test_what_cannot_be_ranked_is_refused(sharp, arguments, message):
    with pytest.raises(DataError, match=message):
        rank_markers(sharp, **arguments)


def test_one_cluster_has_no_markers(sharp):
    sharp.obsm["mixture_proba"] = np.ones((sharp.n_obs, 1))
    with pytest.raises(DataError, match="there must be two or more"):
        rank_markers(sharp)
