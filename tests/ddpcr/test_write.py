"""A folder holds everything that was found, reads back as it was written, and loses nothing that lay in it."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mixsci as mx
from mixsci import ddpcr
from mixsci.ddpcr import qc
from mixsci.ddpcr.portrait import wells_of
from mixsci.ddpcr.results import OURS, QUANTASOFT
from mixsci.ddpcr.write import safe, write
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from tests.conftest import ROOT
from tests.ddpcr.conftest import COMMA, DOLLARS, FORMULA, SCRIPT
from tests.test_docs import run_examples


@pytest.fixture(scope="module")
def duplex(outputs_duplex, tmp_path_factory):
    folder = tmp_path_factory.mktemp("duplex") / "deep" / "out"
    told = []
    return folder, write(outputs_duplex, folder, progress=lambda *what: told.append(what)), told


@pytest.fixture(scope="module")
def two_assays(outputs_two_assays, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return folder, outputs_two_assays.write(folder, pictures=False)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_files_written_are_the_files_told(duplex):
    folder, files, _ = duplex
    wells = ("A01", "A02", "A03", "A04")
    tables = {"results.csv", "qc.csv", "dmiqe.csv", "model.json", "plate.png", "report.html"}
    expected = tables | {f"droplets/{well}_Amplitude.csv" for well in wells} | {f"wells/{well}.png" for well in wells}
    assert names(folder) == expected
    assert {path.relative_to(folder).as_posix() for path in files} == expected
    assert len(files) == len(expected)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files if path.suffix == ".png")


def test_progress_goes_from_nothing_to_all(duplex):
    _, _, told = duplex
    assert told[:4] == [("writing wells", done, 4) for done in range(4)]
    assert told[-1] == ("writing the report", 4, 4)


def test_without_pictures(two_assays):
    folder, files = two_assays
    assert names(folder) == {path.relative_to(folder).as_posix() for path in files}
    assert not [name for name in names(folder) if name.endswith((".png", ".html"))]
    assert not (folder / "wells").exists()


# --- tables ----------------------------------------------------------------------------------------------------------


def test_results_read_back(duplex, outputs_duplex):
    found = pd.read_csv(duplex[0] / "results.csv")
    results = outputs_duplex.results
    assert list(found) == list(results)
    assert len(found) == len(results)
    numbers = ("Concentration", "PoissonConfMin", "PoissonConfMax", "Positives", "Lambda", "LoB", "CNV")
    for name in (*numbers, "TotalConfMax"):
        np.testing.assert_allclose(found[name].astype(float), results[name].astype(float), rtol=1e-12)
    assert found["Target"].dropna().tolist() == [name for name in results["Target"] if name]
    quality = pd.read_csv(duplex[0] / "qc.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(quality, outputs_duplex.qc.astype(str), check_dtype=False)
    assert list(pd.read_csv(duplex[0] / "dmiqe.csv")) == ["Item", "Value", "Note"]


def test_counts_are_written_as_whole_numbers(duplex, outputs_duplex):
    found = pd.read_csv(duplex[0] / "results.csv", dtype=str, keep_default_na=False).set_index(["Well", "Target"])
    accepted = outputs_duplex.assays[0].wells["A01"].accepted
    assert found.loc["A01", "AcceptedDroplets"].tolist() == [str(accepted)] * 2
    counts = found[["Positives", "Negatives", "Ch1+Ch2+", "Outliers", "PositivesInstrument"]].to_numpy().ravel()
    assert all(count.isdigit() or not count for count in counts)
    assert found.loc[("B02", ""), "Positives"] == ""


def test_counts_that_are_no_whole_numbers_stay_as_they_are(outputs_two_assays, tmp_path):
    results = outputs_two_assays.results.assign(PositivesInstrument=[1.0, 2.5, np.nan, 4.0])
    write(replace(outputs_two_assays, results=results), tmp_path, pictures=False)
    found = pd.read_csv(tmp_path / "results.csv")
    np.testing.assert_array_equal(found["PositivesInstrument"], results["PositivesInstrument"])


def test_text_that_looks_like_a_formula_begins_with_an_apostrophe(duplex, outputs_duplex):
    found = pd.read_csv(duplex[0] / "results.csv").drop_duplicates("Well").set_index("Well")["Sample"]
    assert found["A01"] == SCRIPT
    assert found["A02"] == f"'{DOLLARS}"
    assert found["A04"] == f"'{FORMULA}"
    assert set(outputs_duplex.results["Sample"]) >= {DOLLARS, FORMULA}


@pytest.mark.parametrize("text", ["=1", "+ctrl", "-RT", "@x", "\tx", "\rx"])
def test_formulas_are_made_safe_and_numbers_left_alone(text):
    table = pd.DataFrame({"words": [text, f"a{text}"], "numbers": [-1.0, 2.0], "mixed": [-1, text]})
    found = safe(table)
    assert found["words"].tolist() == [f"'{text}", f"a{text}"]
    assert found["numbers"].tolist() == [-1.0, 2.0]
    assert found["mixed"].tolist() == [-1, f"'{text}"]
    assert table["words"][0] == text


# --- droplets --------------------------------------------------------------------------------------------------------


def test_droplets_read_back_with_their_clusters(duplex, outputs_duplex):
    plate = ddpcr.read_plate(duplex[0] / "droplets")
    assert set(plate.wells) == set(wells_of(outputs_duplex))
    for name, well in plate.wells.items():
        expected = outputs_duplex.droplets(name)
        np.testing.assert_array_equal(well.amplitudes, outputs_duplex.plate.wells[name].amplitudes)
        np.testing.assert_array_equal(well.frame()["Cluster"], expected["Cluster"])
        positives = (well.calls == 1).sum(axis=0)
        np.testing.assert_array_equal(positives, outputs_duplex.assays[0].wells[name].positives)


def test_droplets_carry_the_probability_of_every_target(duplex, outputs_duplex):
    expected = outputs_duplex.droplets("A02")
    found = pd.read_csv(duplex[0] / "droplets" / "A02_Amplitude.csv")
    assert list(found) == list(expected)
    for name in (f"P({COMMA})", "P(RPP30)", "P(outlier)"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-300)


def test_a_target_alone_in_the_second_channel_reads_back_there(two_assays, outputs_two_assays):
    plate = ddpcr.read_plate(two_assays[0] / "droplets")
    for name in ("B01", "B02"):
        assert plate.wells[name].channels == ("Ch2",)
        assert (plate.wells[name].calls == 1).sum() == outputs_two_assays.assays[1].wells[name].positives[0]
    assert (plate.wells["A02"].calls == 1).sum() == outputs_two_assays.assays[0].wells["A02"].positives[0]


def test_a_written_plate_is_quantified_as_it_was(duplex, outputs_duplex):
    again = ddpcr.quantify(ddpcr.read_plate(duplex[0] / "droplets"), law="binary", ntc=["A04"])
    before = outputs_duplex.results[outputs_duplex.results["MergedWells"] == ""].dropna(subset="Lambda")
    np.testing.assert_allclose(again.results["Lambda"], before["Lambda"], rtol=1e-9)


# --- models ----------------------------------------------------------------------------------------------------------


def test_the_model_reads_back_and_predicts_the_same(duplex, outputs_duplex):
    loaded, fit = mx.load(duplex[0] / "model.json"), outputs_duplex.plate_fit
    x = outputs_duplex.plate.wells["A02"].amplitudes
    obs = Observations(x, groups=np.full(len(x), 1))
    np.testing.assert_array_equal(loaded.responsibilities(obs), fit.responsibilities(obs))
    np.testing.assert_array_equal(loaded.mixture.rates, fit.mixture.rates)


def test_every_assay_has_a_model(two_assays, outputs_two_assays):
    folder, _ = two_assays
    assert {name for name in names(folder) if name.startswith("model")} == {"model-1.json", "model-2.json"}
    for i, assay in enumerate(outputs_two_assays.assays):
        loaded = mx.load(folder / f"model-{i + 1}.json")
        np.testing.assert_array_equal(loaded.mixture.means, assay.fit.fit.mixture.means)


# --- folders ---------------------------------------------------------------------------------------------------------


def test_what_else_lies_in_the_folder_stays(outputs_two_assays, tmp_path):
    (tmp_path / "droplets").mkdir()
    kept = {tmp_path / "notes.txt": "mine", tmp_path / "droplets" / "C01_Amplitude.csv": "old"}
    for path, text in kept.items():
        path.write_text(text)
    (tmp_path / "results.csv").write_text("replaced")
    write(outputs_two_assays, tmp_path, pictures=False)
    assert {path: path.read_text() for path in kept} == kept
    assert (tmp_path / "results.csv").read_text().startswith("Well,")


@pytest.mark.parametrize("inside", ["", "droplets"])
def test_the_files_that_were_read_are_not_written_over(outputs_single, tmp_path, inside):
    source = tmp_path / inside
    source.mkdir(exist_ok=True)
    plate = outputs_single.plate
    wells = {name: replace(well, source=source / f"{name}_Amplitude.csv") for name, well in plate.wells.items()}
    q = replace(outputs_single, plate=replace(plate, wells=wells))
    with pytest.raises(DataError, match="name another folder"):
        write(q, tmp_path)
    assert not names(tmp_path)
    assert write(q, tmp_path / "out", pictures=False)


# --- the page about it -----------------------------------------------------------------------------------------------

PAGE = "docs/ddpcr-outputs.md"


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = run_examples(PAGE)["files"]
    assert all((tmp_path / path).exists() for path in files)
    assert plt.get_fignums()
    plt.close("all")


def test_the_page_names_every_file_and_column(duplex):
    text = (ROOT / PAGE).read_text("utf-8")
    named = set(re.findall(r"`([^`\n]+)`", text))
    starts = tuple(name.removesuffix("...") for name in named if name.endswith("..."))
    columns = [name.removesuffix("68") for name in (*QUANTASOFT, *OURS)]
    assert [name for name in columns if name not in named and not name.startswith(starts)] == []
    assert {name for name in names(duplex[0]) if "02" not in name and "03" not in name and "04" not in name} <= named


def test_the_page_says_what_to_do_about_every_flag():
    text = (ROOT / PAGE).read_text("utf-8")
    listed = set(
        re.findall(r"^\| `([^`]+)` \|", text[text.index("## Flags") : text.index("## Droplets")], re.MULTILINE)
    )
    tuples = [node for node in ast.walk(ast.parse(Path(qc.__file__).read_text("utf-8"))) if isinstance(node, ast.Tuple)]
    third = [node.elts[2] for node in tuples if len(node.elts) == 4]
    assert listed == {node.value for node in third if isinstance(node, ast.Constant)}
