"""The command line: results on standard output; where input cannot be used one line on standard error, no traceback."""

import dataclasses
import gzip
import html.parser
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mixsci as mx
from mixsci import cells, ddpcr, report, tables
from mixsci.cli import app
from mixsci.engine.em.state import Outcome
from tests.conftest import ROOT

STARS = str(ROOT / "data" / "stars.csv")
STREAM = ROOT / "data" / "stars_stream.ecsv"
CELLS = ROOT / "data" / "cells.h5ad"
STAR_COLUMNS = ("--columns", "pmra,pmdec,vlos", "--errors", "pmra_error,pmdec_error,vlos_error")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def two_clouds(n=30):
    rng = np.random.default_rng(0)
    clouds = np.concatenate([rng.normal(0.0, 1.0, (n, 2)), rng.normal(8.0, 1.0, (n, 2))])
    return pd.DataFrame(clouds, columns=["a", "b"])


@pytest.fixture
def table(tmp_path):
    """Writes a table of two clouds with some columns replaced or added; returns its path."""

    def write(**columns):
        path = tmp_path / "table.csv"
        two_clouds().assign(**columns).to_csv(path, index=False)
        return path

    return write


def changed(row, value):
    column = two_clouds()["a"].astype(object)
    column[row] = value
    return column


def assert_refused(done, *words):
    """Exit code 1 and one line that holds these words."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    assert re.fullmatch(r"mixsci: [^\n]+\n", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


# --- fit -------------------------------------------------------------------------------------------------------------


@pytest.mark.floors
def test_fit_prints_components_under_the_names_of_the_columns():
    done = run("fit", STARS, "-k", "3", *STAR_COLUMNS)
    assert done.exit_code == 0, done.output
    head = next(line for line in done.stdout.splitlines() if line.startswith("component"))
    assert head.split() == ["component", "weight", "pmra", "pmdec", "vlos"]
    assert "1000 rows, 3 columns with errors (51 without pmra, 51 without pmdec, 770 without vlos)" in done.stdout
    assert "Converged" in done.stdout
    assert done.stderr == ""


def test_fit_finds_what_the_engine_finds():
    found = json.loads(run("fit", STARS, "-k", "3", *STAR_COLUMNS, "--json").stdout)
    stars = pd.read_csv(STARS)
    names = ["pmra", "pmdec", "vlos"]
    noise = mx.noise.from_errors(stars[[f"{name}_error" for name in names]])
    fit = mx.fit(mx.Model(n_components=3), mx.Observations(stars[names], noise), rng=0)
    assert found["log_likelihood"] == fit.log_likelihood
    assert found["converged"]
    for component, mean, covariance in zip(found["components"], fit.means, fit.covariances, strict=True):
        assert list(component["mean"].values()) == mean.tolist()
        assert list(component["mean"]) == names
        assert component["covariance"] == covariance.tolist()


def test_fit_writes_model_tables_picture_and_report(tmp_path, table):
    out = tmp_path / "deep" / "fitted"
    done = run("fit", table(), "-k", "2", "--out", out)
    assert done.exit_code == 0, done.output
    fit = mx.load(out / "model.json")
    assert fit.names == ("a", "b")
    np.testing.assert_allclose(pd.read_csv(out / "components.csv")[["a", "b"]], fit.means)
    rows = pd.read_csv(out / "rows.csv")
    r = fit.responsibilities(two_clouds())
    np.testing.assert_allclose(rows[["p_0", "p_1"]], r, atol=1e-9)
    np.testing.assert_array_equal(rows["component"], r.argmax(axis=1))
    np.testing.assert_allclose(rows[["a_denoised", "b_denoised"]], two_clouds(), rtol=1e-8)
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert_whole_page((out / "report.html").read_text("utf-8"))


def assert_whole_page(text):
    """A page whose tags close, that asks for nothing from elsewhere and shows two pictures."""
    opened, links, pictures = [], [], 0

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            nonlocal pictures
            links.extend(value for name, value in attrs if name in ("src", "href"))
            pictures += tag == "img"
            if tag not in ("meta", "img"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert not opened
    assert pictures == 2
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert not re.search(r"\bnan\b|\binf\b", text)


def test_names_in_a_report_are_escaped(table):
    x = pd.DataFrame({"<script>alert(1)</script>": two_clouds()["a"], "b": two_clouds()["b"]})
    obs = mx.Observations(x)
    page = report.as_html(mx.fit(mx.Model(2), obs, rng=0), obs, title="a & b")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<title>a &amp; b</title>" in page


def test_without_columns_errors_and_text_are_left_out_and_said(table):
    path = table(a_err=0.1, e_b=0.2, c_error=0.3, kind="star", void=np.nan, flag=True)
    done = run("fit", path, "-k", "2")
    assert done.exit_code == 0, done.output
    notes = done.stderr.splitlines()
    assert "note: fitting all columns of numbers: a, b" in notes
    assert "note: left out as text: kind" in notes
    assert "note: left out as empty: void" in notes
    assert "note: left out as true or false: flag" in notes
    assert any("left out as errors, and not used: a_err, e_b, c_error" in note for note in notes)


def test_the_covariance_and_the_floor_are_those_asked_for(table):
    arguments = ("-k", "1", "--covariance", "spherical", "--floor", "100")
    found = json.loads(run("fit", table(), *arguments, "--json").stdout)
    assert found["components"][0]["covariance"] == [[100.0, 0.0], [0.0, 100.0]]
    assert found["n_free"] == 3


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.tsv", lambda x, path: x.to_csv(path, sep="\t", index=False)),
        ("t.txt", lambda x, path: path.write_text(x.to_string(index=False))),
        ("t.csv.gz", lambda x, path: path.write_bytes(gzip.compress(x.to_csv(index=False).encode()))),
        ("t.csv", lambda x, path: x.to_csv(path, sep=";", decimal=",", index=False)),
        ("T.CSV", lambda x, path: x.to_csv(path, index=False, encoding="utf-8-sig")),
        ("t.json", lambda x, path: x.to_json(path, orient="records")),
    ],
)
def test_the_same_table_is_read_from_every_kind_of_file(tmp_path, name, write):
    x = two_clouds().round(4)
    write(x, tmp_path / name)
    pd.testing.assert_frame_equal(tables.read(tmp_path / name), x)


def test_parquet_is_read_or_its_reader_named(tmp_path):
    path = tmp_path / "t.parquet"
    try:
        two_clouds().to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        assert_refused(run("fit", path, "-k", "1"), "mixsci[io]")
    else:
        assert run("fit", path, "-k", "2").exit_code == 0


def test_a_warning_of_the_fit_is_one_note(monkeypatch):
    import mixsci.engine.em.fit as module

    whole = module.fit
    monkeypatch.setattr(module, "fit", lambda *given, **options: whole(*given, **options, max_iter=2))
    done = run("fit", STARS, "-k", "3", *STAR_COLUMNS)
    assert done.exit_code == 0, done.output
    assert done.stderr == f"note: {Outcome.MAX_ITER.value}\n"
    assert Outcome.MAX_ITER.value in done.stdout


def test_an_interrupted_fit_is_shown_and_ends_with_1(table, monkeypatch):
    import mixsci.engine.em.fit as module

    whole = module.fit
    cut = lambda *given, **options: dataclasses.replace(whole(*given, **options), outcome=Outcome.INTERRUPTED)  # noqa: E731
    monkeypatch.setattr(module, "fit", cut)
    done = run("fit", table(), "-k", "2")
    assert done.exit_code == 1
    assert Outcome.INTERRUPTED.value in done.stdout


# --- input that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"a": changed(3, "oops")}, ("-k", "2"), ("'a'", "'oops'", "row 3")),
        ({"a": changed(3, "oops")}, ("-k", "2", "--columns", "a,b"), ("'a'", "'oops'", "row 3")),
        ({"c": "text"}, ("-k", "2", "--columns", "a,c"), ("'c'", "numbers")),
        ({"a": changed(7, np.inf)}, ("-k", "2"), ("inf", "row 7")),
        ({"a": changed(7, -np.inf)}, ("-k", "2"), ("inf", "row 7")),
        ({"a": changed(7, "1e400")}, ("-k", "2"), ("'1e400'", "row 7")),
        ({"a": two_clouds()["a"] * 1e60}, ("-k", "2"), ("at most", "units")),
        ({"c": np.nan}, ("-k", "2", "--columns", "a,c"), ("c holds none",)),
        ({"a": np.nan, "b": np.nan}, ("-k", "2"), ("column of numbers",)),
        ({"b": 5.0}, ("-k", "2"), ("b (always 5)",)),
        ({"a": 1.0, "b": 2.0}, ("-k", "2"), ("always",)),
        ({"a": 1.0, "b": 2.0}, ("-k", "1"), ("always",)),
        ({}, ("-k", "61"), ("60 rows", "K = 61")),
        ({}, ("-k", "60"), ()),
        ({"b": two_clouds()["a"] * 2}, ("-k", "2"), ()),
        ({"e": -0.1}, ("-k", "2", "--columns", "a", "--errors", "e"), ("negative", "rows 0, 1")),
        ({"e": changed(4, np.nan)}, ("-k", "1", "--columns", "b", "--errors", "e"), ("b: 1", "row 4", "gap")),
        ({"e": np.inf}, ("-k", "2", "--columns", "a", "--errors", "e"), ("all are missing",)),
        ({}, ("-k", "2", "--columns", "a,zz"), ("no column zz", "a, b")),
        ({}, ("-k", "2", "--columns", "a,a"), ("a stands twice",)),
        ({"e": 0.1}, ("-k", "2", "--columns", "a", "--errors", "b,e"), ("one column for each",)),
        ({}, ("-k", "2", "--covariance", "round"), ("'full'", "'round'")),
        ({}, ("-k", "2", "--floor", "-1"), ("floor",)),
        ({}, ("-k", "2", "--floor", "nan"), ("floor",)),
    ],
)  # fmt: skip
def test_bad_values_and_settings_are_one_line(table, columns, options, words):
    assert_refused(run("fit", table(**columns), *options), *words)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", ("cannot be read",)),
        ("blank.csv", b"\n\n\n", ("cannot be read",)),
        ("names.csv", b"a,b\n", ("at least one row",)),
        ("binary.csv", bytes(range(256)) * 40, ("not text",)),
        ("zero.csv", b"a,b\n1,2\n\0\0,3\n", ("not text",)),
        ("latin.csv", "a,b\xe9\n1,2\n".encode("latin1"), ("UTF-8",)),
        ("long.csv", b"a,b\n1,2\n1,2,3\n", ("line 3",)),
        ("longer.csv", b"a,b\n1,2,3\n3,4,5\n", ("cannot be read",)),
        ("quote.csv", b'a,b\n"1,2\n3,4\n', ("cannot be read",)),
        ("numbers.csv", b"1,2\n3,4\n", ("must name the columns",)),
        ("hash.txt", b"# a b\n1 2\n3 4\n", ("without a #",)),
        ("twice.csv", b"a,a\n1,2\n3,4\n", ("a stands twice",)),
        ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], ("cut.csv.gz",)),
        ("plain.csv.gz", b"a,b\n1,2\n", ("gzip",)),
        ("cut.json", b"{", ("cannot be read",)),
        ("number.json", b"3", ("cannot be read",)),
        ("nested.json", b'[{"a": [1, 2], "b": 1}]', ("plain values",)),
        ("table.fits", b"SIMPLE  =", (".csv", ".parquet")),
        ("one.csv", b"a,b\n1,2\n", ()),
        ("two.csv", b"a,b\n1,2\n3,4\n", ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "-",
)
def test_files_that_are_no_such_table_are_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert_refused(run("fit", tmp_path / name, "-k", "2"), *words)


def test_files_that_are_not_there_are_one_line(tmp_path):
    assert_refused(run("fit", tmp_path / "none.csv", "-k", "2"), "none.csv")
    assert_refused(run("fit", tmp_path, "-k", "2"))
    assert_refused(run("info", tmp_path / "none.json"), "none.json")
    assert_refused(run("simulate", "stars", "-o", tmp_path / "none" / "stars.csv"), "none")


def test_a_folder_that_is_a_file_is_one_line(table):
    path = table()
    assert_refused(run("fit", path, "-k", "2", "--out", path), str(path))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": "mixsci", "version": 99}', '{"format": "mixsci", "version": 1}']
)
def test_files_that_hold_no_model_are_one_line(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    assert_refused(run("info", tmp_path / "model.json"), "model.json")


def test_a_collapse_is_one_line_with_a_remedy(tmp_path):
    x = two_clouds()
    x.loc[40:, ["a", "b"]] = [20.0, 20.0]
    x.to_csv(tmp_path / "t.csv", index=False)
    assert_refused(run("fit", tmp_path / "t.csv", "-k", "2"), "floor")
    assert run("fit", tmp_path / "t.csv", "-k", "2", "--floor", "0.01").exit_code == 0


@pytest.mark.parametrize("scale", [1e-60, 1e-20, 1e20, 1e45])
def test_the_scale_of_a_column_does_not_matter(table, scale):
    plain = json.loads(run("fit", table(), "-k", "2", "--json").stdout)
    done = run("fit", table(a=two_clouds()["a"] * scale), "-k", "2", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["log_likelihood"] == pytest.approx(plain["log_likelihood"] - 60 * np.log(scale), rel=1e-9)
    for here, there in zip(found["components"], plain["components"], strict=True):
        assert here["mean"]["a"] == pytest.approx(scale * there["mean"]["a"], rel=1e-6)


def test_rows_with_nothing_observed_stay(table):
    empty = two_clouds()
    empty.loc[5] = np.nan
    done = run("fit", table(a=empty["a"], b=empty["b"]), "-k", "2", "--json")
    found = json.loads(done.stdout)
    assert (found["n_rows"], found["n"]) == (60, 59)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "t.csv"),
        ("fit", "-k", "2"),
        ("fit", "t.csv", "-k", "0"),
        ("fit", "t.csv", "-k", "two"),
        ("fit", "t.csv", "-k", "2", "--errors", "e"),
        ("fit", "t.csv", "-k", "2", "--missing-error", "perhaps"),
        ("fit", "t.csv", "-k", "2", "--seed", "-1"),
        ("simulate", "planets"),
        ("nonsense",),
    ],
)
def test_a_wrong_command_ends_with_2(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr


# --- the other commands ----------------------------------------------------------------------------------------------


def test_info_shows_what_was_fitted(tmp_path, table):
    run("fit", table(), "-k", "2", "--out", tmp_path)
    shown, fitted = run("info", tmp_path / "model.json"), run("fit", table(), "-k", "2")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1:] == fitted.stdout.splitlines()[1:]
    assert json.loads(run("info", tmp_path / "model.json", "--json").stdout)["columns"] == ["a", "b"]


def test_demo_finds_what_it_simulated(tmp_path):
    done = run("demo", "--out", tmp_path / "demo", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    stream, true = found["stars"]["components"][0], found["stars"]["truth"]
    for name in ("pm_phi1", "pm_phi2", "sigma_pm_phi1", "sigma_pm_phi2"):
        assert abs(stream[name] - true[name]) < 3 * stream[f"{name}_error"]
    assert found["stars"]["stream"]["evidence"] == "very strong"
    assert 100 * found["stars"]["stream"]["members"]["purity"] == pytest.approx(true["purity"], abs=3)
    assert true["purity"] > 90
    assert true["completeness"] > 90
    assert found["cells"]["truth"]["agreement"] > 0.95
    assert found["cells"]["truth"]["filled_r2"] > 0.9
    assert len(found["cells"]["clusters"]) == 4
    truth = ddpcr.small_plate(rng=1).truth.set_index(["Well", "Target"])
    results = pd.DataFrame(found["ddpcr"]["results"]).set_index(["Well", "Target"])
    assert list(results.index) == list(truth.index)
    held = (results["PoissonConfMin"] <= truth["Concentration"]) & (truth["Concentration"] <= results["PoissonConfMax"])
    assert held.sum() >= 14
    assert (results["Concentration"].xs("A07") == 0).all()


def test_demo_writes_a_folder_for_each_science(tmp_path):
    done = run("demo", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "stars").iterdir()}
    assert written >= {"catalogue.ecsv", "components.ecsv", "stars.ecsv", "model.json", "corner.png", "report.html"}
    made, kept = (pd.read_csv(path, comment="#", sep=" ") for path in (tmp_path / "stars/catalogue.ecsv", STREAM))
    pd.testing.assert_frame_equal(made, kept, atol=2e-3)
    assert re.search(r"^pm_phi1 +-8 +-8\.0\d+ ± 0\.0\d+$", done.stdout, re.MULTILINE)
    assert {path.name for path in (tmp_path / "ddpcr").iterdir()} == {"plate", *WRITTEN}
    written = {path.name for path in (tmp_path / "cells").iterdir()}
    assert written >= {"cells.h5ad", "clustered.h5ad", "clusters.csv", "cells.csv", "report.html", "missingness.png"}
    np.testing.assert_array_equal(cells.read(tmp_path / "cells" / "cells.h5ad").X, cells.read(CELLS).X)
    assert re.search(r"^0 +type_0 +36\.0 +3\d\.\d +1\d\d +", done.stdout, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == {"stars", "cells", "ddpcr"}
    assert re.search(r"^well +sample +target +truth +copies/µL", done.stdout, re.MULTILINE)


def test_warmup_goes_through_every_kernel(monkeypatch):
    from mixsci.engine import kernels

    used, choose = set(), kernels.choose
    monkeypatch.setattr(
        kernels, "choose", lambda *given, **options: used.add(choose(*given, **options)) or choose(*given, **options)
    )
    assert run("warmup").exit_code == 0
    assert used == set(kernels.KERNELS) - {"reference"}


def test_simulated_stars_are_those_of_the_seed(tmp_path):
    assert run("simulate", "stars", "-o", tmp_path / "s.csv", "-n", "20", "--seed", "5").exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "s.csv"), mx.simulate.star_catalogue(20, rng=5))


@pytest.mark.parametrize("page", ["cli.md", "choose.md", "cells.md", "ddpcr.md", "stars.md", "stars-streams.md"])
def test_the_commands_of_the_docs_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The demo has tests of its own.
    commands = re.findall(r"^mixsci (?!demo)([^#\n]+)", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
    assert len(commands) >= 2
    pd.read_csv(STARS).to_csv("catalogue.csv", index=False)
    for command in commands:
        assert run(*shlex.split(command)).exit_code == 0, command


# --- plates of droplets ----------------------------------------------------------------------------------------------

#: What a quantified plate is written as.
WRITTEN = {"results.csv", "qc.csv", "dmiqe.csv", "model.json", "droplets", "wells", "plate.png", "report.html"}


@pytest.fixture
def plate(tmp_path):
    """The folder of a small plate: three wells and a control, one target."""
    folder = tmp_path / "plate"
    rates = ("--rates", "0.05,0.5,0.5", "--droplets", "1500", "--controls", "1")
    assert run("simulate", "ddpcr", "-o", folder, *rates).exit_code == 0
    return folder


def quantified(*arguments):
    """Everything a command found; what is no JSON, such as NaN, is an error."""
    done = run("ddpcr", "quantify", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout, parse_constant=pytest.fail)


@pytest.mark.floors
def test_a_plate_prints_one_line_for_each_well_and_target(plate):
    done = run("ddpcr", "quantify", plate)
    assert done.exit_code == 0, done.output
    head, _, *lines = done.stdout.splitlines()
    assert re.fullmatch("well +sample +target +copies/µL +95 % interval +positives +droplets +flags *", head)
    results = ddpcr.quantify(ddpcr.read_plate(plate)).results
    for line, row in zip(lines, results.itertuples(), strict=False):
        words = line.split()
        assert words[0] == row.Well
        assert words[-4:-2] == [str(row.Positives), str(row.AcceptedDroplets)]
        low, high = float(words[-7]), float(words[-5])
        assert (low, high) == pytest.approx((row.PoissonConfMin, row.PoissonConfMax), abs=(high - low) / 15)
    assert lines[4] == "Target: law binary, 4 wells, controls A04"
    assert lines[5].startswith("Target: limit of blank")


def test_a_plate_as_json_is_what_quantify_finds(plate):
    found = quantified(plate, "--ci", "exact", "--level", "0.9", "--volume", "0.75", "--volume-sd", "0.02")
    q = ddpcr.quantify(ddpcr.read_plate(plate, 0.75), ci="exact", level=0.9, volume_sd_nl=0.02)
    results = pd.DataFrame(found["results"])
    assert list(results) == list(q.results)
    for name in ("Concentration", "PoissonConfMin", "PoissonConfMax", "Lambda", "Positives"):
        np.testing.assert_array_equal(results[name], q.results[name])
    assert [row["Flag"] for row in found["qc"]] == list(q.qc["Flag"])
    assert (found["ci"], found["level"], found["droplet_volume_nl"], found["files"]) == ("exact", 0.9, 0.75, [])
    law = {"targets": ["Target"], "channels": ["Ch1"], "law": "binary"}
    assert found["assays"] == [law | {"wells": ["A01", "A02", "A03", "A04"], "controls": ["A04"]}]


def test_a_plate_is_written_and_its_results_are_not_read_again(plate):
    out = plate / "deep" / "quantified"
    first = quantified(plate, "-o", out)
    assert {path.name for path in out.iterdir()} == WRITTEN
    assert {str(path) for path in out.rglob("*.*") if path.is_file()} == set(first["files"])
    results = pd.read_csv(out / "results.csv")
    np.testing.assert_allclose(results["Concentration"], [row["Concentration"] for row in first["results"]])
    second = quantified(plate, "-o", out)
    assert second == first


def test_pictures_can_be_left_out(plate, tmp_path):
    done = run("ddpcr", "quantify", plate, "-o", tmp_path / "out", "--no-pictures")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN - {"wells", "plate.png", "report.html"}
    files = "results.csv, qc.csv, dmiqe.csv, model.json, droplets/ (4 files)"
    assert done.stdout.splitlines()[-1] == f"wrote {tmp_path / 'out'}: {files}"


def test_quantify_may_be_left_out(plate):
    assert run("ddpcr", plate).stdout == run("ddpcr", "quantify", plate).stdout
    assert run("ddpcr", "--ntc", "A04", plate).exit_code == 0


def test_controls_targets_and_channels_are_those_asked_for(tmp_path):
    run("simulate", "ddpcr", "-o", tmp_path, "--rates", "0.3,0", "--rates", "0.6", "--droplets", "1000")
    found = quantified(
        tmp_path, "--ntc", "a2, A06", "--targets", "Ch2=RPP30,Ch1=BRAF", "--law", "Ch1=binary,Ch2=binary"
    )
    assert found["assays"][0]["targets"] == ["BRAF", "RPP30"]
    assert found["assays"][0]["controls"] == ["A02", "A06"]
    one = quantified(tmp_path, "--channels", "Ch2", "--targets", "RPP30")
    assert one["assays"][0]["channels"] == ["Ch2"]
    assert {row["Target"] for row in one["results"]} == {"RPP30"}


def test_replicates_are_merged_and_copies_counted(tmp_path):
    run("simulate", "ddpcr", "-o", tmp_path, "--rates", "0.6,0.6", "--rates", "0.2", "--droplets", "2000")
    asked = ("--merge", "sample", "--reference", "Target 2", "--law", "binary")
    done = run("ddpcr", "quantify", tmp_path, *asked)
    assert done.exit_code == 0, done.output
    assert re.search(r"copies +95 % interval +flags", done.stdout.splitlines()[0])
    merged = next(line for line in done.stdout.splitlines() if line.startswith("M01"))
    assert merged.split()[:5] == ["M01", "Sample", "1", "Target", "1"]
    row = quantified(tmp_path, *asked, "--reference-copies", "1")["results"][0]
    assert row["CNV"] == pytest.approx(3.0, rel=0.15)


def test_a_sheet_of_samples_and_a_table_of_unknown_origin(tmp_path):
    rng = np.random.default_rng(0)
    made = ddpcr.simulate_plate([0.2, 0.0], n_droplets=800, controls=0, rng=rng).plate
    droplets = [pd.DataFrame({"pos": well.name, "FAM": well.amplitudes[:, 0]}) for well in made.wells.values()]
    pd.concat(droplets).to_csv(tmp_path / "droplets.csv", index=False)
    pd.DataFrame({"Well": ["A01", "A02"], "Sample": ["tumour", "water"], "SampleType": ["Unknown", "NTC"]}).to_csv(
        tmp_path / "sheet.csv", index=False
    )
    where = ("--columns", "Ch1=FAM, well=pos", "--samples", tmp_path / "sheet.csv")
    found = quantified(tmp_path / "droplets.csv", *where)
    assert [row["Sample"] for row in found["results"]] == ["tumour", "water"]
    assert found["assays"][0]["controls"] == ["A02"]


def test_a_broken_well_is_a_note_and_the_others_have_results(plate):
    file = plate / "simulated_A02_Amplitude.csv"
    file.write_bytes(file.read_bytes()[:200])
    done = run("ddpcr", "quantify", plate)
    assert done.exit_code == 0, done.output
    assert re.search(r"^note: .*simulated_A02_Amplitude.csv", done.stderr, re.MULTILINE)
    assert re.search(r"^A02 .*no call", done.stdout, re.MULTILINE)
    assert re.search(r"^A03 +Sample 2 +Target +\d", done.stdout, re.MULTILINE)
    found = quantified(plate)
    assert [row["Concentration"] is None for row in found["results"]] == [False, True, False, False]
    assert len(found["problems"]) == 1


def test_flags_are_notes_and_said_once_where_many_wells_share_them(plate):
    notes = run("ddpcr", "quantify", plate).stderr.splitlines()
    assert all(line.startswith("note: ") for line in notes)
    few = [line for line in notes if "few droplets" in line]
    assert len(few) == 1
    assert few[0].startswith("note: few droplets in 4 wells, A01 to A04; in A01: ")


def test_progress_shows_in_a_terminal_alone(plate, monkeypatch):
    quiet = run("ddpcr", "quantify", plate)
    assert "droplets" in quiet.stderr
    assert "counting" not in quiet.stderr
    monkeypatch.setenv("FORCE_COLOR", "1")
    loud = run("ddpcr", "quantify", plate)
    assert "counting droplets" in loud.stderr
    assert "counting droplets" not in loud.stdout


def test_a_narrow_terminal_cuts_nothing(plate, monkeypatch):
    wide = run("ddpcr", "quantify", plate).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    narrow = run("ddpcr", "quantify", plate).stdout
    assert re.sub(r"\x1b\[[0-9;]*m", "", narrow) == wide


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--law", "silly"), ("law must be", "'silly'")),
        (("--law", "Ch3=binary"), ("Ch3", "Ch1")),
        (("--law", "linked"), ("two channels",)),
        (("--ntc", "B07"), ("B07", "A01, A02, A03, A04")),
        (("--ntc", "tube 3"), ("such as A01", "'tube 3'")),
        (("--channels", "Ch2"), ("Ch1", "got Ch2")),
        (("--targets", "A,B"), ("1 different names", "A, B")),
        (("--targets", "Ch1="), ("--targets", "Ch1=FAM")),
        (("--columns", "FAM"), ("--columns", "'FAM'")),
        (("--reference", "RPP30"), ("Target", "'RPP30'")),
        (("--volume", "0"), ("volume", "0.0")),
        (("--volume-sd", "-1"), ("volume_sd_nl", "-1")),
        (("--level", "95"), ("level", "0.95")),
        (("--samples", "none.csv"), ("none.csv",)),
    ],
)  # fmt: skip
def test_settings_that_a_plate_cannot_have_are_one_line(plate, options, words):
    assert_refused(run("ddpcr", "quantify", plate, *options), *words)


def test_folders_that_hold_no_plate_are_one_line(tmp_path, plate):
    assert_refused(run("ddpcr", "quantify", tmp_path / "none"), "none")
    assert_refused(run("ddpcr", tmp_path / "none"), "none")
    assert_refused(run("ddpcr", "quantify", tmp_path), "must hold files of droplets")
    (tmp_path / "file").write_text("")
    assert_refused(run("ddpcr", "quantify", plate, "-o", tmp_path / "file"), str(tmp_path / "file"))
    assert not list(plate.glob("results*"))


@pytest.mark.parametrize("below", ["", "droplets"])
def test_a_plate_is_not_written_over(plate, below):
    folder = plate.rename(plate.parent / "droplets")
    out = folder if not below else folder.parent
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    assert_refused(run("ddpcr", "quantify", folder, "-o", out), "--out must not be the folder that is read")
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before


def test_simulated_plates_are_those_of_the_seed(tmp_path):
    assert run("simulate", "ddpcr", "-o", tmp_path / "one", "--seed", "5").exit_code == 0
    ddpcr.small_plate(rng=5).write(tmp_path / "other")
    assert folder_of(tmp_path / "one") == folder_of(tmp_path / "other")
    arguments = ("--rates", "0.1,0.2", "--rates", "0.6", "--droplets", "300", "--controls", "1", "--rain", "0.1")
    done = run("simulate", "ddpcr", "-o", tmp_path / "more", *arguments)
    assert done.exit_code == 0, done.output
    rates = {"Target 1": [0.1, 0.2], "Target 2": 0.6}
    made = ddpcr.simulate_plate(rates, n_droplets=300, controls=1, rain=0.1, rng=1)
    made.write(tmp_path / "same")
    assert folder_of(tmp_path / "more") == folder_of(tmp_path / "same")
    assert done.stdout == f"wrote {tmp_path / 'more'}: 3 wells, {sum(map(len, made.plate.wells.values()))} droplets\n"


def folder_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rates", "0.1,much"), ("--rates", "'much'")),
        (("--rates", ","), ("rates",)),
        (("--rates", "30"), ("from 0 to 20",)),
        (("--rates", "0.1,0.2", "--rates", "0.1,0.2,0.3"), ("rates",)),
        (("--rates", "0.1", "--rain", "2"), ("rain",)),
        (("--rates", "1", "--rates", "1", "--rates", "1", "--rates", "1"), ("4 targets",)),
    ],
)
def test_plates_that_cannot_be_simulated_are_one_line(tmp_path, options, words):
    assert_refused(run("simulate", "ddpcr", "-o", tmp_path / "plate", *options), *words)
    assert not (tmp_path / "plate").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("ddpcr",),
        ("ddpcr", "quantify"),
        ("ddpcr", "plate", "--ci", "narrow"),
        ("ddpcr", "plate", "--level", "high"),
        ("ddpcr", "plate", "--merge", "all"),
        ("ddpcr", "plate", "--law"),
        ("simulate", "ddpcr"),
        ("simulate", "ddpcr", "-o", "plate", "--droplets", "100"),
        ("simulate", "ddpcr", "-o", "plate", "--rates", "1", "--controls", "-1"),
    ],
)
def test_a_wrong_command_on_plates_ends_with_2(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stderr
    assert not list(tmp_path.iterdir())


# --- as a process ----------------------------------------------------------------------------------------------------


def process(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-X", "importtime", "-m", "mixsci.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)


@pytest.mark.floors
def test_help_loads_nothing_heavy():
    done = process("--help")
    assert done.returncode == 0
    for command in ("fit", "info", "demo", "warmup", "simulate", "ddpcr"):
        assert re.search(rf"^\W*{command}\b", done.stdout, re.MULTILINE)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"pandas", "scipy", "numba", "matplotlib", "astropy", "sklearn", "jinja2"}


def test_a_process_ends_with_the_exit_code_and_one_line(tmp_path):
    done = process("fit", str(tmp_path / "none.csv"), "-k", "1")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 1
    assert lines == [f"mixsci: No such file or directory: {tmp_path / 'none.csv'}"]


# --- real data -------------------------------------------------------------------------------------------------------

SAGITTARIUS = ("--columns", "pmra,pmdec,vlos", "--errors", "pmraerr,pmdecerr,vloserr", "-k", "2")


def test_a_real_catalogue_with_gaps_and_lacking_errors(real_data):
    path = real_data / "stars" / "sagittarius_vasiliev2020_subset.csv"
    done = run("fit", path, *SAGITTARIUS, "--missing-error", "gap")
    assert done.exit_code == 0, done.output
    assert "23 values of vlos without an error were set aside" in done.stdout
    assert "Converged" in done.stdout
    assert re.search(r"^component +weight +pmra +pmdec +vlos$", done.stdout, re.MULTILINE)


def test_a_real_catalogue_with_lacking_errors_is_refused(real_data):
    path = real_data / "stars" / "sagittarius_vasiliev2020_subset.csv"
    table = pd.read_csv(path)
    lacking = np.flatnonzero(table["vlos"].notna() & table["vloserr"].isna())
    assert len(lacking) == 23
    rows = "rows " + ", ".join(str(row) for row in lacking[:5])
    assert_refused(run("fit", path, *SAGITTARIUS), "vlos: 23", rows, "--missing-error gap")


def test_a_real_plate_brings_along_what_the_instrument_found(real_data):
    folder = real_data / "ddpcr" / "podcall_vim_4plex"
    found = quantified(folder, "--law", "Ch1=binary,Ch2=multiplex:4")
    results = pd.DataFrame(found["results"]).set_index(["Well", "Target"])
    assert found["assays"][0]["controls"] == ["H05"]
    assert found["problems"] == []
    assert results["PositivesInstrument"].loc[:, "VIM"].tolist() == [2739, 670, 59, 1727, 0]
    assert results["ConcentrationInstrument"].loc[:, "VIM"].tolist() == [186.0, 47.5, 5.9, 173.0, 0.0]
    assert results["Positives"].loc["H05"].tolist() == [0, 0]
    assert list(results["Sample"].loc[:, "VIM"]) == ["SW1463", "SW403", "SW480", "IVDZ_bisulf", "NTC"]
