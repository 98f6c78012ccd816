"""The command on cells: what it prints and writes is what the verbs find, and the file it reads stays as it is."""

import html.parser
import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mixsci as mx
from mixsci import cells
from mixsci.cells.simulate import small_cells
from mixsci.cli import app

FAST = ("--covariance", "tied", "--starts", "3")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def cluster(*arguments):
    return run("cells", "cluster", *arguments)


def found_by(*arguments):
    """Everything a command found; what is no JSON, such as NaN, is an error."""
    done = cluster(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout, parse_constant=pytest.fail)


def assert_refused(done, *words):
    """Exit code 1 and one line that holds these words."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert re.fullmatch(r"mixsci: [^\n]+\n", done.stderr), done.stderr
    for word in words:
        assert word in done.stderr


def three_types(**options):
    return cells.simulate_cells(150, 6, 3, missing=0.2, batches=2, rng=2, **options)


@pytest.fixture
def path(tmp_path):
    """The file of cells of three types; one cell has no value."""
    adata = three_types()
    adata.X[7] = np.nan
    adata.layers["twice"] = 2 * adata.X
    adata.obs["weight"] = 1.0
    adata.obsm["X_two"] = adata.layers["complete"][:, :2].copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


# --- what is found ---------------------------------------------------------------------------------------------------


@pytest.mark.floors
def test_cells_are_clustered_as_by_the_verb(path):
    found, adata = found_by(path, "-k", "3", *FAST, "--batch", "batch"), anndata.read_h5ad(path)
    cells.tl.mixture(adata, 3, covariance="tied", starts=3, batch="batch", rng=0)
    fit = cells.load(adata)
    assert found["log_likelihood"] == fit.log_likelihood
    assert (found["n_cells"], found["n_seen"]) == (150, 149)
    assert [one["cluster"] for one in found["clusters"]] == ["0", "1", "2"]
    np.testing.assert_allclose([one["weight"] for one in found["clusters"]], adata.uns["mixture"]["weights"])
    counts = adata.obs["mixture"].value_counts(sort=False)
    assert [one["n_cells"] for one in found["clusters"]] == counts.tolist()
    for k, one in enumerate(found["clusters"]):
        assert list(one["mean"]) == adata.var_names.tolist()
        np.testing.assert_allclose(list(one["mean"].values()), adata.varm["mixture_means"][:, k])
    assert found["params"]["batch"] == "batch"
    assert found["files"] == []


def test_clusters_are_printed_with_shares_and_markers(path):
    done = cluster(path, "-k", "3", *FAST)
    assert done.exit_code == 0, done.output
    first, head = done.stdout.splitlines()[:2]
    assert first == "cells.h5ad: 150 cells, 6 variables of X (23.0 % missing, 1 without a value, in no cluster)"
    assert re.split(r" {2,}", head.strip()) == ["cluster", "share [%]", "cells", "mean probability", "marked by"]
    assert re.search(r"^0 +\d\d\.\d +\d+ +[01]\.\d{3} +marker_\d \+\d\.\d", done.stdout, re.MULTILINE)
    assert "K = 3 was the only number tried" in done.stdout
    assert "Converged" in done.stdout


def test_the_number_of_clusters_is_chosen_and_what_was_compared_shown(path):
    found = found_by(path, "-k", "1-4", *FAST, "--batch", "batch")
    assert [row["n_components"] for row in found["tried"]] == [1, 2, 3, 4]
    assert [row["taken"] for row in found["tried"]] == [False, False, True, False]
    assert found["verdict"].startswith("K = 3 (tied): BIC of the next best")
    assert "Fits that were compared" in cluster(path, "-k", "1-4", *FAST, "--batch", "batch").stdout


def test_a_warning_is_a_note(path):
    done = cluster(path, "-k", "2", *FAST, "--zeros", "missing")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("note: zeros are taken as missing")


# --- what is written -------------------------------------------------------------------------------------------------


def test_the_file_written_holds_all_results_and_the_one_read_stays(path, tmp_path):
    before, out = path.read_bytes(), tmp_path / "out.h5ad"
    done = cluster(path, "-k", "3", *FAST, "--batch", "batch", "--impute", "--key", "type", "-o", out)
    assert done.exit_code == 0, done.output
    assert path.read_bytes() == before
    adata, again = anndata.read_h5ad(path), anndata.read_h5ad(out)
    cells.tl.mixture(adata, 3, covariance="tied", starts=3, batch="batch", key_added="type", rng=0)
    cells.tl.impute(adata, "type")
    assert again.obs["type"].isna().tolist() == [i == 7 for i in range(150)]
    pd.testing.assert_series_equal(again.obs["type"], adata.obs["type"])
    np.testing.assert_array_equal(again.layers["type_imputed"], adata.layers["type_imputed"])
    np.testing.assert_array_equal(again.X, adata.X)
    assert cells.load(again, "type").bic == cells.load(adata, "type").bic
    assert again.uns["type_markers"]["names"].dtype.names == ("0", "1", "2")
    assert again.uns["missingness"]["share"] == pytest.approx(np.isnan(adata.X).mean())


def test_the_report_is_a_folder_of_tables_pictures_and_one_page(path, tmp_path):
    out = tmp_path / "deep" / "report"
    found = found_by(path, "-k", "2-3", *FAST, "--batch", "batch", "--report", out)
    assert {str(file) for file in out.iterdir()} == set(found["files"])
    assert {file.name for file in out.glob("*.csv")} == {
        *("clusters.csv", "cells.csv", "means.csv", "choices.csv", "markers.csv", "missingness.csv")
    }
    assert mx.load(out / "model.json").log_likelihood == found["log_likelihood"]
    rows = pd.read_csv(out / "cells.csv", index_col="cell")
    assert rows["cluster"].isna().sum() == 1
    np.testing.assert_allclose(rows[["p_0", "p_1", "p_2"]].sum(axis=1), 1.0)
    clusters = pd.read_csv(out / "clusters.csv")
    np.testing.assert_allclose(clusters["weight"], [one["weight"] for one in found["clusters"]])
    assert {"weight_batch_0", "weight_batch_1"} <= set(clusters)
    assert {"missing_batch_0", "missing_batch_1"} <= set(pd.read_csv(out / "missingness.csv"))
    for picture in out.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert_whole_page((out / "report.html").read_text("utf-8"), len(list(out.glob("*.png"))))


def assert_whole_page(text, n_pictures):
    """A page whose tags close, that asks for nothing from elsewhere and shows all pictures."""
    opened, links = [], []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            links.extend(value for name, value in attrs if name in ("src", "href"))
            if tag not in ("meta", "img"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert not opened
    assert len(links) == n_pictures
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not re.search(r"\bnan\b|\binf\b", text)


@pytest.mark.parametrize("options", [("-k", "1"), ("-k", "2", "--use-rep", "X_two"), ("-k", "3", "--mask-var", "some")])
def test_reports_are_written_of_one_cluster_of_representations_and_of_some_variables(path, tmp_path, options):
    adata = anndata.read_h5ad(path)
    adata.var["some"] = [True, True, False, True, False, False]
    adata.write_h5ad(path)
    done = cluster(path, *options, *FAST, "--report", tmp_path / "r", "-o", tmp_path / "o.h5ad", "--impute")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert_whole_page(page, len(list((tmp_path / "r").glob("*.png"))))
    assert anndata.read_h5ad(tmp_path / "o.h5ad").obs["mixture"].notna().sum() >= 149


def test_factors_of_each_cluster_have_a_report_too(path, tmp_path):
    done = cluster(path, "-k", "2", "--covariance", "factor_own", "--n-factors", "1", "--report", tmp_path / "r")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "r" / "clusters.png").exists()


def test_files_of_an_earlier_report_are_taken_away(path, tmp_path):
    cluster(path, "-k", "2-3", *FAST, "--report", tmp_path / "r")
    (tmp_path / "r" / "mine.txt").write_text("kept")
    cluster(path, "-k", "1", *FAST, "--report", tmp_path / "r")
    left = {file.name for file in (tmp_path / "r").iterdir()}
    assert "mine.txt" in left
    assert not left & {"markers.csv", "markers.png", "choices.png", "pair.png"}


def test_names_in_a_report_are_escaped(tmp_path):
    adata = three_types()
    adata.var_names = ["<script>alert(1)</script>", "a$b$", *adata.var_names[2:]]
    adata.write_h5ad(tmp_path / "<b>.h5ad")
    done = cluster(tmp_path / "<b>.h5ad", "-k", "2", *FAST, "--report", tmp_path / "r")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<title>&lt;b&gt;.h5ad</title>" in page


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_table_gives_what_the_same_anndata_gives(tmp_path):
    adata = three_types()
    table = adata.to_df().assign(batch=adata.obs["batch"].cat.codes, kind=adata.obs["cell_type"])
    table.to_csv(tmp_path / "t.csv", index_label="cell")
    adata.write_h5ad(tmp_path / "t.h5ad")
    from_table = found_by(tmp_path / "t.csv", "-k", "3", *FAST, "--batch", "batch", "-o", tmp_path / "o.h5ad")
    whole = found_by(tmp_path / "t.h5ad", "-k", "3", *FAST, "--batch", "batch")
    assert from_table["log_likelihood"] == pytest.approx(whole["log_likelihood"], rel=1e-9)
    written = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert written.obs_names.tolist() == adata.obs_names.tolist()
    assert written.var_names.tolist() == adata.var_names.tolist()
    assert written.obs["kind"].tolist() == adata.obs["cell_type"].tolist()


def test_variables_with_too_few_values_are_left_out_and_said(tmp_path):
    adata = three_types()
    adata.X[2:, 0] = np.nan
    adata.write_h5ad(tmp_path / "t.h5ad")
    done = cluster(tmp_path / "t.h5ad", "-k", "2", *FAST, "--min-values", "3")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("note: left out 1 of 6 variables (marker_0)")


# --- input that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-k", "200"), ("149", "200")),
        (("-k", "3", "--layer", "none"), ("layer", "complete")),
        (("-k", "3", "--batch", "run"), ("batch must name a column of obs", "cell_type")),
        (("-k", "3", "--weights", "run"), ("weights must name a column of obs",)),
        (("-k", "3", "--mask-var", "some"), ("mask_var must name a column of var",)),
        (("-k", "3", "--use-rep", "X_pca"), ("X_two",)),
        (("-k", "3", "--noise-layer", "none"), ("complete",)),
        (("-k", "3", "--covariance", "round"), ("'factor_tied'", "'round'")),
        (("-k", "3", "--covariance", "factor", "--n-factors", "6"), ("factors must be fewer",)),
        (("-k", "3", "--key", "a/b"), ("without a slash",)),
        (("-k", "3", "-o", "out.csv"), ("--out must end in .h5ad",)),
        (("-k", "3", "-o", "nowhere/out.h5ad"), ("folder that is there",)),
    ],
)
def test_bad_settings_are_one_line(path, options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(cluster(path, *options), *words)


def test_the_file_that_is_read_is_never_written(path, tmp_path):
    (tmp_path / "same.h5ad").symlink_to(path)
    for out in (path, tmp_path / "same.h5ad"):
        assert_refused(cluster(path, "-k", "2", "-o", out), "must not be the file that is read")
    assert_refused(cluster(path, "-k", "2", "--report", path), "is a file")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.h5ad", None, ("No such file",)),
        ("text.h5ad", b"a,b\n1,2\n", ("no file of HDF5",)),
        ("empty.h5ad", b"", ("no file of HDF5",)),
        ("cut.h5ad", b"\x89HDF\r\n\x1a\n and no more", ("cannot be read as an AnnData",)),
        ("t.loom", b"", (".h5ad", ".csv")),
        ("t.csv", b"a,b\nx,y\n", ("column of numbers",)),
        ("t.csv", b"a,b\n1,2\n3,oops\n4,5\n", ("'b'", "'oops'", "row 1")),
        ("t.csv", b"a,b\n1,2\n", ("vary",)),
    ],
)
def test_files_that_hold_no_cells_are_one_line(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_refused(cluster(tmp_path / name, "-k", "1"), *words)


def test_other_files_of_hdf5_are_one_line(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["matrix"] = [1.0, 2.0]
    assert_refused(cluster(tmp_path / "other.h5ad", "-k", "1"), "cannot be read as an AnnData")


@pytest.mark.parametrize(
    "arguments",
    [
        ("cluster", "t.h5ad"),
        ("cluster", "t.h5ad", "-k", "0"),
        ("cluster", "t.h5ad", "-k", "4-2"),
        ("cluster", "-k", "2"),
        ("cluster", "t.h5ad", "-k", "2", "--zeros", "perhaps"),
        ("nonsense",),
    ],
)
def test_a_wrong_command_ends_with_2(arguments):
    done = run("cells", *arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr


# --- simulated cells and kernels -------------------------------------------------------------------------------------


def test_simulated_cells_are_those_of_the_seed(tmp_path):
    options = ("-n", "50", "--vars", "7", "--types", "2", "--missing", "0.4", "--batches", "3", "--factors", "2")
    assert run("simulate", "cells", "-o", tmp_path / "s.h5ad", *options, "--seed", "5").exit_code == 0
    made, same = anndata.read_h5ad(tmp_path / "s.h5ad"), cells.simulate_cells(
        50, 7, 2, missing=0.4, batches=3, n_factors=2, rng=5
    )  # fmt: skip
    np.testing.assert_array_equal(made.X, same.X)
    assert run("simulate", "cells", "-o", tmp_path / "d.h5ad").exit_code == 0
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "d.h5ad").X, small_cells(rng=1).X)


def test_simulations_that_make_no_sense_are_one_line(tmp_path):
    assert_refused(run("simulate", "cells", "-o", tmp_path / "s.csv"), ".h5ad")
    assert_refused(run("simulate", "cells", "-o", tmp_path / "s.h5ad", "--missing", "2"), "missing must be from 0")
    assert_refused(run("simulate", "cells", "-o", tmp_path / "none" / "s.h5ad"), "none")


def test_warmup_compiles_what_factors_of_cells_need():
    from mixsci.engine.kernels import information

    assert run("warmup").exit_code == 0
    compiled = [getattr(information, name) for name in dir(information)]
    compiled = [function for function in compiled if hasattr(function, "signatures")]
    before = sum(len(function.signatures) for function in compiled)
    adata = small_cells(rng=1)
    cells.tl.mixture(adata, 2, covariance="factor_free", batch="batch", n_factors=2, rng=0)
    cells.tl.factor(adata, 2, rng=0)
    cells.tl.impute(adata, "factor")
    assert before
    assert sum(len(function.signatures) for function in compiled) == before
