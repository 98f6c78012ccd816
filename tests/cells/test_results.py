"""What a fit says of cells stands where users of scverse look, survives a file, and the fit comes back bit for bit."""

from dataclasses import replace

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import mixsci as mx
from mixsci.cells import load, simulate_cells
from mixsci.cells.matrix import matrix_of
from mixsci.cells.results import as_storable, assign, by_weight, write_mixture
from mixsci.engine.em import archive
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.errors import DataError, FormatError

USED = np.arange(6) != 2


@pytest.fixture(scope="module")
def made():
    """Cells in two batches, one of them without a value, and a fit to five of their six variables."""
    adata = simulate_cells(300, 6, 3, batches=2, separation=4.0, rng=1)
    adata.X[7] = np.nan
    matrix = matrix_of(adata, mask_var=USED, batch="batch")
    # The heaviest component is not the first, so that labels and components differ.
    start = mx.fit(mx.Model(3, offsets="group"), matrix.obs, rng=1).mixture
    turned = start.evolve(
        **{
            name: getattr(start, name)[..., ::-1] if name == "weights" else getattr(start, name)[::-1]
            for name in ("weights", "means", "covariances")
        }
    )
    return adata, matrix, mx.fit(mx.Model(3, offsets="group"), matrix.obs, start=turned)


@pytest.fixture
def written(made):
    adata, matrix, fit = made
    adata = adata.copy()
    found = write_mixture(adata, "mixture", fit, matrix, params={"n_components": 3, "batch": "batch", "layer": None})
    return adata, found


def test_labels_are_numbered_by_falling_weight(made, written):
    _, _, fit = made
    adata, _ = written
    assert by_weight(fit).tolist() != [0, 1, 2]
    assert adata.obs["mixture"].cat.categories.tolist() == ["0", "1", "2"]
    weights = adata.uns["mixture"]["weights"]
    assert (np.diff(weights) < 0).all()
    np.testing.assert_array_equal(weights, fit.mixture.pooled_weights[adata.uns["mixture"]["order"]])


def test_numbers_are_those_of_the_fit(made, written):
    _, matrix, fit = made
    adata, found = written
    order, r = adata.uns["mixture"]["order"], fit.responsibilities(matrix.obs)
    np.testing.assert_array_equal(adata.obsm["mixture_proba"], r[:, order])
    seen = matrix.seen
    np.testing.assert_array_equal(adata.obs["mixture"].cat.codes[seen], r[:, order].argmax(axis=1)[seen])
    np.testing.assert_array_equal(adata.obs["mixture_prob"][seen], r.max(axis=1)[seen])
    np.testing.assert_array_equal(adata.obs["mixture_log_density"][seen], fit.log_density(matrix.obs)[seen])
    np.testing.assert_allclose(
        adata.obs["mixture_entropy"][seen], stats.entropy(r[seen], axis=1) / np.log(3), atol=1e-12
    )
    means = adata.varm["mixture_means"]
    np.testing.assert_array_equal(means[USED], fit.mixture.means[order].T)
    assert np.isnan(means[~USED]).all()
    assert repr(found) == "Assignment(300 cells, 3 components)"


def test_a_cell_without_a_value_has_no_label(made, written):
    _, _, fit = made
    adata, _ = written
    assert adata.obs["mixture"].isna().to_numpy().nonzero()[0].tolist() == [7]
    assert adata.obs.loc["cell_7", ["mixture_prob", "mixture_entropy", "mixture_log_density"]].isna().all()
    group = fit.mixture.group_labels.index(adata.obs["batch"].iloc[7])
    np.testing.assert_allclose(adata.obsm["mixture_proba"][7], fit.mixture.weights[group][by_weight(fit)])


def test_facts_are_those_of_the_fit(made, written):
    _, matrix, fit = made
    entry = written[0].uns["mixture"]
    assert entry["params"] == {"n_components": 3, "batch": "batch"}
    for name in ("bic", "icl", "log_likelihood", "n_free", "converged"):
        assert entry[name] == getattr(fit, name)
    assert entry["outcome"] == fit.outcome.name
    assert entry["history"].tolist() == list(fit.history)
    assert (entry["n_patterns"], entry["n_seen"], entry["version"]) == (matrix.n_patterns, 299, mx.__version__)
    assert entry["names"].tolist() == list(matrix.names)
    assert entry["batches"].tolist() == ["batch_0", "batch_1"]


def test_everything_reads_back_from_a_file(written, tmp_path):
    adata, _ = written
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    np.testing.assert_array_equal(back.obsm["mixture_proba"], adata.obsm["mixture_proba"])
    np.testing.assert_array_equal(back.varm["mixture_means"], adata.varm["mixture_means"])
    np.testing.assert_array_equal(back.uns["mixture_colors"], adata.uns["mixture_colors"])
    assert_same(back.uns["mixture"], adata.uns["mixture"])


def assert_same(found, wanted):
    """Dictionaries of numbers, texts, arrays and dictionaries are the same, to the last bit."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, dict):
            assert_same(found[name], value)
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value)
        else:
            assert found[name] == value


def test_the_fit_reads_back_bit_for_bit(made, written, tmp_path):
    _, matrix, fit = made
    written[0].write_h5ad(tmp_path / "a.h5ad")
    back = load(ad.read_h5ad(tmp_path / "a.h5ad"))
    assert archive.to_text(back) == archive.to_text(fit)
    fit.save(tmp_path / "fit.json")
    assert (tmp_path / "fit.json").read_text("utf-8") == written[0].uns["mixture"]["fit"]
    np.testing.assert_array_equal(back.responsibilities(matrix.obs), fit.responsibilities(matrix.obs))
    assert back.outcome is fit.outcome


@pytest.mark.parametrize("stored", [sparse.csr_matrix, lambda x: da.from_array(x, chunks=(70, 6))])
def test_cells_in_blocks_get_what_they_get_in_memory(made, stored):
    adata, matrix, fit = made
    other = ad.AnnData(stored(adata.X), obs=adata.obs, var=adata.var)
    blocks = matrix_of(other, mask_var=USED, batch="batch")
    found, wanted = assign(fit, blocks), assign(fit, matrix)
    np.testing.assert_allclose(found.proba, wanted.proba, atol=1e-12)
    np.testing.assert_allclose(found.log_density, wanted.log_density, rtol=1e-12)


def test_a_representation_has_its_means_in_uns(made):
    adata = made[0].copy()
    matrix = matrix_of(adata, mask_var=USED)
    fit = mx.fit(mx.Model(2), matrix.obs, starts=1, rng=1)
    write_mixture(adata, "mixture", fit, matrix)
    adata.obsm["rep"] = adata.layers["complete"][:, :2]
    matrix = matrix_of(adata, use_rep="rep")
    fit = mx.fit(mx.Model(2), matrix.obs, starts=1, rng=1)
    write_mixture(adata, "mixture", fit, matrix)
    assert "mixture_means" not in adata.varm
    np.testing.assert_array_equal(adata.uns["mixture"]["means"], fit.mixture.means[by_weight(fit)].T)
    assert adata.obs["mixture"].notna().all()


def test_one_component_is_certain(made):
    adata, matrix, _ = made
    adata = adata.copy()
    write_mixture(adata, "one", mx.fit(mx.Model(1), matrix_of(adata).obs, rng=1), matrix_of(adata))
    assert (adata.obs["one_entropy"][matrix.seen] == 0).all()
    assert adata.obs["one"].cat.categories.tolist() == ["0"]


def test_even_chances_have_entropy_one():
    adata = ad.AnnData(np.array([[0.0], [9.0]]))
    matrix = matrix_of(adata)
    fit = mx.fit(mx.Model(2), np.array([[-1.0], [1.0], [-1.1], [1.1]]), rng=1, max_iter=1)
    even = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]]] * 2)
    object.__setattr__(fit, "mixture", even)
    np.testing.assert_allclose(assign(fit, matrix).entropy, [1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("key", ["nothing", None, "truth"])
def test_results_that_are_not_there_are_refused(written, key):
    with pytest.raises(
        DataError, match=f"key must name results of a fit in uns, of which there are mixture; got {key!r}"
    ):
        load(written[0], key)


def test_a_damaged_fit_is_refused(written):
    adata, _ = written
    adata.uns["mixture"]["fit"] = adata.uns["mixture"]["fit"][:-9]
    with pytest.raises(FormatError, match=r"uns\['mixture'\] is not a mixsci model"):
        load(adata)


def test_other_cells_and_other_keys_are_refused(made):
    adata, matrix, fit = made
    with pytest.raises(DataError, match="must hold the 10 cells of the AnnData; got 300 cells"):
        write_mixture(adata[:10].copy(), "mixture", fit, matrix)
    with pytest.raises(DataError, match="without a slash"):
        write_mixture(adata, "a/b", fit, matrix)
    with pytest.raises(DataError, match="must be an AnnData"):
        load(fit)


#: What may be asked of a fit -> what a file holds.
STORABLE = [
    ({"a": None, "b": {"c": None, "d": 1}}, {"b": {"d": 1}}),
    (range(1, 4), [1, 2, 3]),
    (("full", "diag"), ["full", "diag"]),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    ([1.5, 2], [1.5, 2.0]),
    (mx.Outcome, repr(mx.Outcome)),
]


@pytest.mark.parametrize(("value", "stored"), STORABLE)
def test_what_a_file_holds_of_params(value, stored, tmp_path):
    found = as_storable(value)
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == stored
    adata = ad.AnnData(np.ones((1, 1)), uns={"value": found})
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert_same(dict(ad.read_h5ad(tmp_path / "a.h5ad").uns), {"value": found})


def test_a_mixture_of_factors_has_its_means_in_the_variables(made):
    adata, _, fit = made
    adata, plain = adata.copy(), matrix_of(adata, mask_var=USED)
    rng = np.random.default_rng(1)
    loadings, intercept, centres = rng.normal(size=(5, 2)), rng.normal(size=5), np.array([[1.0, 0.0], [-3.0, 2.0]])
    found = FactorMixture(
        [0.3, 0.7], centres, [np.eye(2)] * 2, loadings=loadings, intercept=intercept, uniquenesses=np.ones(5)
    )
    factors = replace(fit, mixture=found)
    write_mixture(adata, "factors", factors, plain)
    np.testing.assert_allclose(adata.varm["factors_means"][USED], (centres[::-1] @ loadings.T + intercept).T)
    assert archive.to_text(load(adata, "factors")) == archive.to_text(factors)
