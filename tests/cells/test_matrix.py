"""The matrix of a fit holds the values of the AnnData, however they are stored, or says in a sentence why it cannot."""

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mixsci as mx
from mixsci.cells.matrix import matrix_of
from mixsci.engine.execution import map_runs
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from tests.engine.test_dask import local_client

N, D = 700, 6


@pytest.fixture(scope="module")
def x():
    """Values of which some are missing, some zero; cell 5 has none, variable 3 has zeros alone and gaps."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(N, D)) + 3.0 * (np.arange(N) % 2)[:, None]
    values[rng.random(values.shape) < 0.1] = 0.0
    values[:, 3] = 0.0
    values[rng.random(values.shape) < 0.3] = np.nan
    values[5] = np.nan
    return values


@pytest.fixture
def adata(x):
    return annotated(x)


def annotated(values, **parts):
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(x_of(values)))])
    obs["run"] = pd.Categorical(np.where(np.arange(len(obs)) % 3 == 0, "b", "a"))
    obs["times"] = 1.0 + np.arange(len(obs)) % 2
    var = pd.DataFrame(index=[f"v{j}" for j in range(values.shape[1])])
    var["used"] = np.arange(len(var)) != 3
    sd = np.full(values.shape, 0.5)
    return ad.AnnData(values, obs=obs, var=var, layers={"sd": sd}, **parts)


def x_of(values):
    return range(values.shape[0])


def on_disk(values, folder):
    annotated(values).write_h5ad(folder / "cells.h5ad")
    return ad.read_h5ad(folder / "cells.h5ad", backed="r")


#: How X is stored -> the AnnData with it.
STORED = {
    "dense": lambda x, _: annotated(x),
    "fortran": lambda x, _: annotated(np.asfortranarray(x)),
    "masked": lambda x, _: annotated(np.ma.masked_array(np.nan_to_num(x, nan=7.0), mask=np.isnan(x))),
    "nullable": lambda x, _: annotated(pd.DataFrame(x).astype("Float64").to_numpy(dtype=object)),
    "view": lambda x, _: annotated(np.vstack([x, x]))[:N],
    "csr_matrix": lambda x, _: annotated(sparse.csr_matrix(x)),
    "csc_matrix": lambda x, _: annotated(sparse.csc_matrix(x)),
    "csr_array": lambda x, _: annotated(sparse.csr_array(x)),
    "csc_array": lambda x, _: annotated(sparse.csc_array(x)),
    "view of sparse": lambda x, _: annotated(sparse.csr_matrix(np.vstack([x, x])))[:N],
    "dask": lambda x, _: annotated(da.from_array(x, chunks=(300, 4))),
    "view of dask": lambda x, _: annotated(da.from_array(np.vstack([x, x]), chunks=(300, 4)))[:N],
    "dask of sparse": lambda x, _: annotated(da.from_array(x, chunks=(300, 6)).map_blocks(sparse.csr_matrix)),
    "backed": on_disk,
    "backed sparse": lambda x, folder: on_disk(sparse.csr_matrix(x), folder),
    "view of backed": lambda x, folder: on_disk(np.vstack([x, x]), folder)[:N],
}
#: Which of them a fit takes whole: the others come in blocks.
WHOLE = {"dense", "fortran", "masked", "nullable", "view", "view of backed"}


def together(matrix):
    """All values in the order of the cells."""
    return np.concatenate([obs.x for _, obs in matrix.parts()])


@pytest.mark.parametrize("stored", STORED)
def test_values_are_those_of_the_anndata_however_they_are_stored(x, stored, tmp_path):
    matrix = matrix_of(STORED[stored](x, tmp_path))
    assert isinstance(matrix.obs, Observations) == (stored in WHOLE)
    np.testing.assert_array_equal(together(matrix), x)
    np.testing.assert_array_equal(matrix.seen, ~np.isnan(x).all(axis=1))
    np.testing.assert_array_equal(matrix.counts, (~np.isnan(x)).sum(axis=0))
    assert (matrix.n_obs, matrix.label, matrix.names) == (N, "X", tuple(f"v{j}" for j in range(D)))
    assert matrix.n_patterns == len(np.unique(np.isnan(x), axis=0))


@pytest.mark.parametrize("stored", STORED)
def test_sums_of_a_pass_are_the_same_however_values_are_stored(x, stored, tmp_path):
    keywords = {"mask_var": "used", "noise_layer": "sd", "weights": "times", "batch": "run"}
    matrix = matrix_of(STORED[stored](x, tmp_path), **keywords)
    plain = annotated(x)
    used = [j for j in range(D) if j != 3]
    obs = mx.Observations(
        x[:, used],
        mx.noise.from_errors(np.full((N, D - 1), 0.5)),
        row_weights=plain.obs["times"].to_numpy(),
        groups=plain.obs["run"].tolist(),
    )
    mixture = mx.Mixture(
        [[0.2, 0.8], [0.6, 0.4]], np.arange(10.0).reshape(2, 5), [np.eye(5)] * 2, group_labels=("a", "b")
    )
    found, wanted = mx.expect(mixture, matrix.obs), mx.expect(mixture, obs)
    assert found.log_likelihood == pytest.approx(wanted.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.counts, wanted.counts, rtol=1e-12)
    assert matrix.columns.tolist() == used


@pytest.mark.parametrize("stored", ["dask", "dask of sparse"])
def test_chunks_are_worked_on_where_they_lie(x, stored, tmp_path):
    adata = STORED[stored](x, tmp_path)
    adata.layers["sd"] = da.from_array(adata.layers["sd"], chunks=(100, 6))
    matrix = matrix_of(adata, mask_var="used", batch="run", noise_layer="sd")
    mixture = mx.Mixture([1.0], np.zeros((1, 5)), [np.eye(5)])
    here = mx.expect(mixture, matrix.obs)
    with local_client() as client:
        there = list(map_runs(lambda run: sum(len(block) for block in run.blocks), matrix.obs, client))
    assert there == [300, 300, 100]
    dense = annotated(x)
    assert here.log_likelihood == pytest.approx(
        mx.expect(mixture, matrix_of(dense, mask_var="used", noise_layer="sd").obs).log_likelihood, rel=1e-12
    )


def test_sparse_cells_are_dense_a_block_at_a_time():
    """The largest block is far smaller than the whole."""
    x = sparse.random(20_000, 500, density=0.01, format="csr", random_state=1)
    x.data[:] = 1.0
    matrix = matrix_of(annotated(x))
    assert max(obs.x.size for _, obs in matrix.parts()) <= 1 << 21
    assert sum(len(block) for block in matrix.obs.blocks()) == 20_000


def test_a_layer_and_a_representation(adata, x):
    adata.layers["twice"] = 2 * x
    adata.obsm["X_pca"] = np.nan_to_num(x)[:, :2]
    adata.obsm["named"] = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]}, index=adata.obs_names)
    np.testing.assert_array_equal(together(matrix_of(adata, layer="twice")), 2 * x)
    matrix = matrix_of(adata, use_rep="X_pca", batch="run")
    assert (matrix.label, matrix.names, matrix.columns) == ("obsm X_pca", ("X_pca-0", "X_pca-1"), None)
    assert matrix_of(adata, use_rep="named").names == ("a", "b")
    assert matrix_of(adata, use_rep="X", mask_var="used").columns.tolist() == [0, 1, 2, 4, 5]
    assert repr(matrix) == "Matrix(obsm X_pca: 700 cells x 2 variables)"


@pytest.mark.parametrize(
    "mask", [[True, False] * 3, np.array([1, 0] * 3, bool), pd.array([True, False] * 3, "boolean")]
)
def test_a_mask_chooses_variables(adata, x, mask):
    matrix = matrix_of(adata, mask_var=mask)
    np.testing.assert_array_equal(together(matrix), x[:, ::2])
    assert matrix.names == ("v0", "v2", "v4")


@pytest.mark.parametrize("kind", [int, np.int8, np.float32, np.float16, bool])
def test_numbers_of_any_kind(kind):
    values = np.array([[0, 1], [1, 1], [1, 0]]).astype(kind)
    np.testing.assert_array_equal(together(matrix_of(annotated(values))), values)
    if kind is not np.float16:  # SciPy has none
        np.testing.assert_array_equal(together(matrix_of(annotated(sparse.csr_matrix(values)))), values)


@pytest.mark.parametrize("stored", ["dense", "csr_matrix", "csc_array", "dask", "backed"])
def test_zeros_are_values_until_asked_otherwise(x, stored, tmp_path):
    adata = STORED[stored](x, tmp_path)
    with pytest.warns(UserWarning, match="not missing at random"):
        matrix = matrix_of(adata, zeros="missing", mask_var="used")
    used = np.delete(x, 3, axis=1)
    np.testing.assert_array_equal(together(matrix), np.where(used == 0, np.nan, used))


def test_errors_of_missing_values_may_be_missing(adata, x):
    adata.layers["sd"] = np.where(np.isnan(x), np.nan, 0.5)
    assert matrix_of(adata, noise_layer="sd").obs.has_noise


def test_a_value_with_infinite_error_is_missing(adata):
    adata.layers["sd"][7] = np.inf
    assert not matrix_of(adata, noise_layer="sd").seen[7]


def test_the_input_is_left_alone(adata, x):
    with pytest.warns(UserWarning, match="zeros"):
        matrix_of(adata, zeros="missing", mask_var="used", noise_layer="sd")
    np.testing.assert_array_equal(adata.X, x)


def without(adata, name):
    adata.obs.loc["c9", name] = np.nan
    return adata


def with_value(adata, value, part="X"):
    (adata.X if part == "X" else adata.layers[part])[3, 2] = value
    return adata


#: What is wrong -> the AnnData made of a good one, arguments, what the sentence says.
WRONG = {
    "no anndata": (lambda _: np.eye(3), {}, "must be an AnnData; got ndarray"),
    "no cells": (lambda a: a[:0], {}, "must hold cells"),
    "no variables": (lambda a: a[:, :0], {}, "at least one variable"),
    "no X": (lambda a: ad.AnnData(obs=a.obs, layers={"l": a.X}), {}, "X must hold values; it is empty"),
    "layer": (lambda a: a, {"layer": "counts"}, "layer must be in layers, one of sd; got 'counts'"),
    "layer number": (lambda a: a, {"layer": 3}, "layer must be in layers"),
    "use_rep": (lambda a: a, {"use_rep": "X_pca"}, "use_rep must be in obsm, one of none there is; got 'X_pca'"),
    "use_rep number": (lambda a: a, {"use_rep": 3}, "use_rep must be the name"),
    "both": (lambda a: a, {"use_rep": "X", "layer": "sd"}, "not both"),
    "mask with rep": (lambda a: a, {"use_rep": "X_pca", "mask_var": "used"}, "mask_var is about variables"),
    "noise with rep": (lambda a: a, {"use_rep": "X_pca", "noise_layer": "sd"}, "noise_layer is about variables"),
    "mask name": (lambda a: a, {"mask_var": "hvg"}, "mask_var must name a column of var, one of used; got 'hvg'"),
    "mask shape": (lambda a: a, {"mask_var": [True]}, r"must have shape \(n_vars,\) = \(6,\); got \(1,\)"),
    "mask numbers": (lambda a: a, {"mask_var": np.arange(6)}, "must be True or False for every variable; got int64"),
    "mask of none": (lambda a: a, {"mask_var": np.zeros(6, bool)}, "mask_var leaves none"),
    "mask with NA": (lambda a: a, {"mask_var": pd.array([True, None] * 3, "boolean")}, "must be True or False"),
    "noise name": (lambda a: a, {"noise_layer": "se"}, "layer must be in layers, one of sd"),
    "noise negative": (lambda a: with_value(a, -1.0, "sd"), {"noise_layer": "sd"}, "some are negative in row 3"),
    "noise unknown": (lambda a: with_value(a, np.nan, "sd"), {"noise_layer": "sd"}, "layer sd has none in row 3"),
    "weights name": (lambda a: a, {"weights": "w"}, "weights must name a column of obs"),
    "weights text": (lambda a: a, {"weights": "run"}, "weights must be a column of numbers"),
    "weights missing": (lambda a: without(a, "times"), {"weights": "times"}, "finite and not negative; .* row 9"),
    "batch name": (lambda a: a, {"batch": ["run"]}, "batch must name a column of obs"),
    "batch numbers": (lambda a: a, {"batch": "times"}, "batch must be a column of labels"),
    "batch missing": (lambda a: without(a, "run"), {"batch": "run"}, "every cell needs a batch; .* none in row 9"),
    "zeros": (lambda a: a, {"zeros": "gap"}, 'zeros must be "value" or "missing"'),
    "infinite": (lambda a: with_value(a, np.inf), {}, "X must be finite and at most 1e.50 in size; got inf in row 3"),
    "complex": (lambda _: ad.AnnData(np.eye(3) * 1j), {}, "X must hold real numbers; got complex128"),
    "text": (lambda _: ad.AnnData(np.array([["a", "b"]])), {}, "X must hold real numbers; got <U1"),
    "empty": (lambda _: ad.AnnData(np.array([[1.0, np.nan]])), {}, "have an observed value; without one are 1: leave"),
    "constant": (lambda a: a, {"spread": True}, "must vary; always the same are v3: leave them out with cells.pp"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_refused_in_a_sentence(adata, x, wrong):
    spoil, keywords, sentence = WRONG[wrong]
    adata.X = x.copy()
    adata.obs["times"] = adata.obs["times"].astype(float)
    with pytest.raises(DataError, match=sentence) as told:
        matrix_of(spoil(adata), **keywords)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("stored", ["csr_matrix", "dask", "backed"])
def test_rows_of_later_blocks_are_named_by_their_number_in_the_whole(x, stored, tmp_path):
    spoilt = x.copy()
    spoilt[650, 1] = np.inf
    with pytest.raises(DataError, match="got inf in row 650"):
        matrix_of(STORED[stored](spoilt, tmp_path))


def test_a_view_that_has_lost_its_mask_is_refused(x):
    adata = annotated(np.ma.masked_array(np.nan_to_num(x), mask=np.isnan(x)))
    with pytest.raises(DataError, match="the mask is lost in it"):
        matrix_of(adata[:100])


def test_a_file_stored_by_variable_is_refused(x, tmp_path):
    with pytest.raises(DataError, match=r"must be stored row by row \(csr\); got csc"):
        matrix_of(on_disk(sparse.csc_matrix(x), tmp_path))


def test_real_gaps_of_joined_panels():
    """Outer joins leave true gaps in dense data: whole blocks of them."""
    first, second = (ad.AnnData(np.ones((4, 2)), var=pd.DataFrame(index=names)) for names in (["a", "b"], ["b", "c"]))
    matrix = matrix_of(ad.concat([first, second], join="outer", index_unique="-", keys=["1", "2"]))
    assert matrix.counts.tolist() == [4, 8, 4]
    assert matrix.n_patterns == 2
