"""Transforms are what their formulas say, and gaps stay where they are."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, special

from mixsci.cells import pp
from mixsci.cells.transforms import KINDS
from mixsci.errors import DataError

SHARES = np.array([[0.1, np.nan, 0.25], [0.9, 0.5, 0.75], [0.3, 0.4, np.nan], [0.6, 0.2, 0.1]])
SOME = pd.DataFrame(SHARES)
#: Kind -> the same by others, on shares; NaN where SHARES has it.
WANTED = {
    "arcsinh": np.arcsinh(SHARES / 5.0),
    "log1p": np.log1p(SHARES),
    "clr": np.log1p(SOME).sub(np.log1p(SOME).mean(axis=1), axis=0).to_numpy(),
    "logit": special.logit(SHARES),
    "m_value": np.log2((SHARES + 0.01) / (1.01 - SHARES)),
    "scale": ((SOME - SOME.mean()) / SOME.std()).to_numpy(),
}


def test_every_kind_is_tested():
    assert WANTED.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", WANTED)
@pytest.mark.parametrize("stored", ["dense", "float32", "masked", "layer", "dask"])
def test_values_are_what_the_formula_says(kind, stored):
    values = {
        "float32": SHARES.astype(np.float32),
        "masked": np.ma.masked_array(np.nan_to_num(SHARES), mask=np.isnan(SHARES)),
        "dask": da.from_array(SHARES, chunks=(3, 2)),
    }.get(stored, SHARES)
    layered = stored == "layer"
    adata = ad.AnnData(np.ones((4, 3)) if layered else values, layers={"l": SHARES} if layered else None)
    assert pp.transform(adata, kind, layer="l" if layered else None, cofactor=5.0) is None
    found = np.asarray(adata.layers[kind])
    np.testing.assert_allclose(found, WANTED[kind], rtol=3e-5 if stored == "float32" else 1e-12, atol=1e-6)
    assert found.dtype == (np.float32 if stored == "float32" else float)
    assert adata.uns[kind]["params"]["kind"] == kind


@pytest.mark.parametrize("kind", [name for name in KINDS if KINDS[name].keeps_zero])
def test_a_sparse_matrix_stays_one_where_zero_stays_zero(kind):
    x = sparse.random(50, 4, density=0.3, format="csc", random_state=1)
    adata = ad.AnnData(x)
    pp.transform(adata, kind, cofactor=5.0)
    assert sparse.issparse(adata.layers[kind])
    dense = ad.AnnData(x.toarray())
    pp.transform(dense, kind, cofactor=5.0)
    np.testing.assert_array_equal(adata.layers[kind].toarray(), dense.layers[kind])


@pytest.mark.parametrize("kind", [name for name in KINDS if not KINDS[name].keeps_zero])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_sparse_matrix_is_not_made_dense(kind, lazy):
    x = sparse.csr_matrix(np.nan_to_num(SHARES))
    values = da.from_array(x.toarray(), chunks=(2, 3)).map_blocks(sparse.csr_matrix) if lazy else x
    with pytest.raises(DataError, match=f"{kind} moves zeros, so a sparse X would become dense"):
        pp.transform(ad.AnnData(values), kind)


@pytest.mark.parametrize("kind", ["logit", "m_value"])
def test_calls_are_no_shares(kind):
    calls = np.array([[0.0, 0.1], [1.0, 0.2], [np.nan, 0.3], [0.0, 0.4]])
    with pytest.raises(DataError, match=f"{kind} needs shares; 0 of X have two values only, calls such as 0 and 1"):
        pp.transform(ad.AnnData(calls), kind)


def test_two_cells_with_two_shares_are_no_calls():
    adata = ad.AnnData(np.array([[0.2], [np.nan], [0.4]]))
    pp.transform(adata, "logit")
    np.testing.assert_allclose(adata.layers["logit"], special.logit(adata.X))


def test_scaled_values_have_mean_zero_and_spread_one():
    rng = np.random.default_rng(1)
    x = rng.normal(5e6, 1e-2, (3000, 3))  # far from zero: sums of squares would lose the spread
    x[rng.random(x.shape) < 0.4] = np.nan
    x[:, 2] = 7.0
    adata = ad.AnnData(x)
    pp.transform(adata, "scale")
    scaled = adata.layers["scale"]
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0, ddof=1)[:2], 1.0, rtol=1e-6)
    assert (scaled[:, 2] == 0).all()


def test_a_variable_without_values_stays_without():
    adata = ad.AnnData(np.array([[np.nan, 1.0], [np.nan, 2.0]]))
    for kind in ("scale", "clr", "arcsinh"):
        pp.transform(adata, kind)
        assert np.isnan(adata.layers[kind][:, 0]).all()


@pytest.mark.parametrize(
    ("values", "kind", "keywords", "sentence"),
    [
        (SHARES, "boxcox", {}, "kind must be one of 'arcsinh', 'log1p'"),
        (SHARES, 3, {}, "kind must be one of"),
        (-SHARES, "clr", {}, r"clr needs values 0 or more; 0, 1, 2 of X have others: 0 goes from -0.9 to -0.1"),
        (SHARES - 2, "log1p", {}, "log1p needs values above -1"),
        (2 * SHARES, "logit", {}, r"logit needs values between 0 and 1, neither of them, for which there is .m_value."),
        (2 * SHARES, "m_value", {}, "m_value needs values from 0 to 1"),
        (SHARES, "arcsinh", {"cofactor": 0}, "cofactor must be positive"),
        (SHARES, "scale", {"layer": "l"}, "layer must be in layers"),
        (SHARES, "scale", {"key_added": "a/b"}, "without a slash"),
        (SHARES, "scale", {"layer": "scale"}, "must not overwrite what it is made of"),
        (SHARES * np.inf, "scale", {}, "X must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(values, kind, keywords, sentence):
    with pytest.raises(DataError, match=sentence):
        pp.transform(ad.AnnData(values), kind, **keywords)


def test_a_copy_leaves_the_input_alone():
    adata = ad.AnnData(SHARES.copy())
    assert "z" in pp.transform(adata, "scale", key_added="z", copy=True).layers
    assert "z" not in adata.layers
    np.testing.assert_array_equal(adata.X, SHARES)


def test_layers_survive_a_file(tmp_path):
    adata = ad.AnnData(SHARES)
    for kind in KINDS:
        pp.transform(adata, kind)
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    for kind in KINDS:
        np.testing.assert_array_equal(back.layers[kind], adata.layers[kind])
        assert back.uns[kind] == adata.uns[kind]


def test_a_file_is_not_transformed(tmp_path):
    ad.AnnData(SHARES).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(DataError, match="load it with adata"):
        pp.transform(ad.read_h5ad(tmp_path / "a.h5ad", backed="r"), "scale")


def test_of_methylation_calls_no_logit_is_taken(real_data):
    adata = ad.read_h5ad(real_data / "cells" / "scmt_methylation_cpg_islands.h5ad")
    for kind in ("logit", "m_value"):
        with pytest.raises(DataError, match="two values only"):
            pp.transform(adata, kind)
