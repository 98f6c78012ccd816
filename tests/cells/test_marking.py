"""Values become gaps on request alone, in a layer of their own, and a sentence says what that means."""

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

from mixsci.cells import pp
from mixsci.errors import DataError

X = np.array([[28.0, 19.5, 0.0], [22.1, 28.0, 30.0], [np.nan, 0.0, 22.1]])
RANDOM = "ignore:.*not missing at random:UserWarning"

#: Value -> which entries it means.
CHOICES = [
    (28, X == 28),
    (28.0, X == 28),
    ([28, 0], (X == 28) | (X == 0)),
    ({28, 30}, X >= 28),
    (np.array([22.1]), X == 22.1),
    (">=28", X >= 28),
    ("> 28", X > 28),
    ("<=19.5", X <= 19.5),
    (" <19.5 ", X < 19.5),
    ("<=1e1", X == 0),
]


@pytest.mark.filterwarnings(RANDOM)
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("layer", [None, "l"])
@pytest.mark.parametrize(("value", "chosen"), CHOICES)
def test_values_become_gaps_in_a_layer(value, chosen, layer, lazy):
    values = da.from_array(X.copy(), chunks=(2, 2)) if lazy else X.copy()
    adata = ad.AnnData(values if layer is None else np.ones((3, 3)), layers={"l": values} if layer else None)
    pp.mark_missing(adata, value, layer=layer)
    np.testing.assert_array_equal(np.asarray(adata.layers["marked"]), np.where(chosen, np.nan, X))
    np.testing.assert_array_equal(np.asarray(adata.X if layer is None else adata.layers["l"]), X)
    note = adata.uns["marked"]
    assert (note["n_marked"], note["share"]) == (chosen.sum(), chosen.sum() / 9)
    assert note["params"]["layer"] == (layer or "X")


@pytest.mark.filterwarnings(RANDOM)
@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_kinds_of_numbers(kind):
    adata = ad.AnnData(np.array([[1, 2], [3, 2]]).astype(kind) / (kind(10) if kind is np.float32 else 1))
    pp.mark_missing(adata, 0.2 if kind is np.float32 else 2)
    assert np.isnan(adata.layers["marked"]).tolist() == [[False, True], [False, True]]
    assert adata.layers["marked"].dtype == (np.float32 if kind is np.float32 else float)


@pytest.mark.filterwarnings(RANDOM)
def test_a_fraction_marks_no_whole_number():
    adata = ad.AnnData(np.array([[1, 2], [3, 2]]))
    with pytest.warns(UserWarning, match="no value of X is 2.5: nothing was marked"):
        pp.mark_missing(adata, 2.5)


def test_what_it_means_is_said():
    with pytest.warns(UserWarning, match=r"3 of 9 values of X \(>=28\) are gaps now; .* not missing at random"):
        pp.mark_missing(ad.AnnData(X), ">=28")


def test_nothing_marked_is_said():
    with pytest.warns(UserWarning, match="no value of X is 99: nothing was marked"):
        pp.mark_missing(ad.AnnData(X), 99)


@pytest.mark.filterwarnings(RANDOM)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
def test_stored_values_of_a_sparse_matrix(kind):
    adata = ad.AnnData(kind(np.nan_to_num(X)))
    pp.mark_missing(adata, ">=28", key_added="seen")
    assert sparse.issparse(adata.layers["seen"])
    np.testing.assert_array_equal(adata.layers["seen"].toarray(), np.where(X >= 28, np.nan, np.nan_to_num(X)))
    assert adata.X.max() == 30


@pytest.mark.parametrize("value", [0, "<=0", "<5", {0, 28}])
def test_zeros_of_a_sparse_matrix_would_all_be_stored(value):
    adata = ad.AnnData(sparse.csr_matrix(np.nan_to_num(X)))
    with pytest.raises(DataError, match='a gap for each of its 3 zeros: pass zeros="missing"'):
        pp.mark_missing(adata, value)


@pytest.mark.filterwarnings(RANDOM)
def test_a_masked_array_keeps_its_gaps():
    adata = ad.AnnData(np.ma.masked_array(np.ones((2, 2)), mask=np.eye(2)))
    adata.X[0, 1] = 7.0
    pp.mark_missing(adata, 7)
    np.testing.assert_array_equal(adata.layers["marked"], [[np.nan, np.nan], [1.0, np.nan]])


@pytest.mark.filterwarnings(RANDOM)
def test_marks_survive_a_file(tmp_path):
    adata = ad.AnnData(X)
    pp.mark_missing(adata, {28, 30})
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(back.layers["marked"], adata.layers["marked"])
    assert back.uns["marked"] == adata.uns["marked"]
    assert back.uns["marked"]["params"]["value"] == "28, 30"


@pytest.mark.filterwarnings(RANDOM)
def test_a_copy_leaves_the_input_alone():
    adata = ad.AnnData(X)
    assert "marked" in pp.mark_missing(adata, 28, copy=True).layers
    assert "marked" not in adata.layers


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("below 3", "value must be a number, several, or text"),
        ("<=x", "a limit must be a number; got 'x'"),
        (float("nan"), "the value to mark must be finite"),
        (None, "the value to mark must be one number"),
        ([], "got none"),
        (["a"], "must be a number"),
    ],
)
def test_values_that_make_no_sense_are_refused(value, sentence):
    with pytest.raises(DataError, match=sentence):
        pp.mark_missing(ad.AnnData(X), value)


def test_a_file_is_not_marked(tmp_path):
    ad.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="load it with adata"):
        pp.mark_missing(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"), 28)


@pytest.mark.filterwarnings(RANDOM)
def test_of_guo_the_cycles_that_mean_not_detected(real_data):
    adata = ad.read_h5ad(real_data / "cells" / "guo2010_ct.h5ad")
    pp.mark_missing(adata, ">=28")
    assert adata.uns["marked"]["share"] == pytest.approx(0.248, abs=5e-4)
    assert np.nanmax(adata.layers["marked"]) < 28
