"""The commands on catalogues of stars: what they print is what the functions find, and nothing is left out unseen."""

import json
import re
import warnings

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from typer.testing import CliRunner

from mixsci import stars
from mixsci.cli import app
from mixsci.engine.em.state import Outcome
from mixsci.stars.frames import FRAMES, orientation
from mixsci.stars.simulate import small_catalogue
from tests.conftest import ROOT

STREAM = ROOT / "data" / "stars_stream.ecsv"
GD1 = ("--frame", "GD1")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in ("stars", *arguments)])


def found_by(*arguments):
    """Everything a command found; what is no JSON, such as NaN, is an error."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout, parse_constant=pytest.fail)


def assert_refused(done, *words):
    """Exit code 1 and, last, one line that holds these words."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    *notes, last = done.stderr.splitlines()
    assert all(line.startswith("note: ") for line in notes)
    assert last.startswith("mixsci: ")
    for word in words:
        assert word in last


def assert_same_numbers(components, *tables):
    """The components of a JSON result are the rows of tables of a fit."""
    for source in tables:
        for name in source.colnames:
            column = np.asarray(getattr(source[name], "value", source[name]))
            assert [component[name] for component in components] == column.tolist()


@pytest.fixture(scope="module")
def disc():
    """Stars around the Sun, one in five with a radial velocity; some parallaxes are poor, some errors blank."""
    table = Table(stars.simulate_disc(800, without_velocity=0.8, rng=4).table)
    for name in table.colnames:
        table[name] = MaskedColumn(table[name])
    faint, bright = (np.flatnonzero(table["radial_velocity"].mask == gap) for gap in (True, False))
    table["parallax"][faint[:7]] = -0.3
    table["parallax_error"][faint[7:20]] = table["parallax"][faint[7:20]] / 5
    table["pmra_error"].mask[faint[20:23]] = True
    table["pmdec_error"].mask[faint[20:23]] = True
    table["radial_velocity_error"].mask[bright[:2]] = True
    return table


@pytest.fixture
def catalogue(tmp_path, disc):
    """The path of that catalogue in a file."""
    path = tmp_path / "disc.fits"
    disc.write(path)
    return path


@pytest.fixture
def no_pictures(monkeypatch):
    """Files without pictures, whose drawing is tested where it is written."""
    write = stars.VelocityFit.write
    monkeypatch.setattr(stars.VelocityFit, "write", lambda found, out, **_: write(found, out, pictures=False))


# --- deconvolve ------------------------------------------------------------------------------------------------------


def test_deconvolve_finds_what_the_functions_find(catalogue, disc):
    found = found_by("deconvolve", catalogue, "--space", "uvw", "-k", "2")
    with pytest.warns(UserWarning, match="left out"):
        kin = stars.from_gaia(disc, "uvw")
    fit = stars.deconvolve(kin, 2)
    assert found["log_likelihood"] == fit.log_likelihood
    assert (found["n_table"], found["n_stars"], found["n_rows"]) == (800, len(kin), len(kin))
    assert (found["space"], found["frame"]) == ("uvw", "galactic")
    assert found["dimensions"] == {"U": "km / s", "V": "km / s", "W": "km / s"}
    assert_same_numbers(found["components"], fit.to_table(), fit.ellipsoids())
    assert found["units"]["cov_U_V_error"] == "km2 / s2"
    assert found["units"]["vertex_deviation"] == "deg"
    assert found["stream"] is found["tried"] is None


def test_deconvolve_prints_units_errors_and_how_it_ended(catalogue):
    done = run("deconvolve", catalogue, "--space", "uvw", "-k", "2")
    assert done.exit_code == 0, done.output
    first = "disc.fits: 777 of 800 stars, uvw in galactic (619 without v_r)"
    assert done.stdout.splitlines()[0] == first
    heads = [line for line in done.stdout.splitlines() if line.startswith("component")]
    units = "[km/s]"
    assert heads[0].split() == ["component", "weight", "[%]", *("U", units, "V", units, "W", units)]
    assert heads[1].split("σ")[1].split() == ["U", units]
    assert "vertex deviation [deg]" in heads[1]
    assert re.search(r"^0 +\d+\.\d ± \d+\.\d +-?\d+\.\d+ ± \d+\.\d+ ", done.stdout, re.MULTILINE)
    assert Outcome.CONVERGED.value in done.stdout
    assert re.search(r"^log-likelihood -\d+\.\d{4}, 19 free parameters, BIC \d+\.\d\d$", done.stdout, re.MULTILINE)


def test_what_is_left_out_is_counted_by_reason_on_one_line_each(catalogue):
    done = run("deconvolve", catalogue, "--space", "uvw", "-k", "1")
    assert done.stderr.splitlines() == [
        "note: left out 13 rows: parallax over error ... is below 10",
        "note: left out 7 rows: parallax ... mas is not above 0",
        "note: left out 3 rows: pmra has no error",
        "note: left out 2 values of radial_velocity: radial_velocity has no error",
    ]


def test_json_counts_what_is_left_out_too(catalogue):
    found = found_by("deconvolve", catalogue, "--space", "uvw", "-k", "1")
    assert {(line["what"], line["n"]) for line in found["left_out"]} == {
        ("row", 13), ("row", 7), ("row", 3), ("radial_velocity", 2),
    }  # fmt: skip
    assert found["missing"] == {"v_r": 619}


def test_missing_correlations_are_a_note(tmp_path):
    table = Table(small_catalogue(rng=1).table)["source_id", "pmra", "pmdec", "pmra_error", "pmdec_error"]
    table.write(tmp_path / "bare.csv")
    done = run("deconvolve", tmp_path / "bare.csv", "-k", "1")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == [
        "note: the table has no column pmra_pmdec_corr: errors taken as uncorrelated"
    ]  # fmt: skip


def test_a_climb_that_is_cut_off_is_one_note(catalogue, monkeypatch):
    import mixsci.stars.deconvolution as module

    whole = module.fit
    monkeypatch.setattr(module, "fit", lambda *given, **options: whole(*given, **options | {"max_iter": 2}))
    done = run("deconvolve", catalogue, "-k", "3")
    assert done.exit_code == 0, done.output
    assert f"note: {Outcome.MAX_ITER.value}" in done.stderr.splitlines()
    assert Outcome.MAX_ITER.value in done.stdout


@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_the_number_of_components_is_chosen(catalogue, criterion):
    found = found_by("deconvolve", catalogue, "--space", "tangential", "-k", "1-2", "--criterion", criterion)
    tried = found["tried"]
    assert [line["n_components"] for line in tried] == [1, 2]
    best = min(tried, key=lambda line: line["bic"]) if criterion == "bic" else max(tried, key=lambda x: x["held_out"])
    assert [line["best"] for line in tried] == [line is best for line in tried]
    assert len(found["components"]) == best["n_components"]


def test_the_numbers_of_components_that_were_tried_are_shown(catalogue):
    printed = run("deconvolve", catalogue, "-k", "1-2").stdout
    lines = printed.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("components"))
    assert lines[at].split() == ["components", "log-likelihood", "parameters", "BIC", "AIC"]
    assert [line.split()[0] for line in lines[at + 2 : at + 4]] == ["1", "2"]
    assert sum("chosen" in line for line in lines) == 1


def test_the_options_of_conversion_and_fit_are_those_of_the_functions(catalogue, disc):
    found = found_by(
        "deconvolve", catalogue, "-k", "2", "--space", "tangential", "--frame", "galactic", "--zero-point", "-0.03",
        "--min-parallax-snr", "4", "--max-ruwe", "1.2", "--reflex", "--bovy-w", "4", "--seed", "3", "--starts", "2",
        "--selection", "v_l=-900:900,v_b=:800", "--floor", "0.1",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kin = stars.from_gaia(
            disc, "tangential", frame="galactic", zero_point=-0.03, min_parallax_snr=4, max_ruwe=1.2, reflex=True
        )
    from mixsci.engine.model.priors import Bovy

    fit = stars.deconvolve(
        kin, 2, prior=Bovy(4.0), rng=3, starts=2, floor=0.1, selection={"v_l": (-900, 900), "v_b": (-np.inf, 800)}
    )
    assert found["log_likelihood"] == fit.log_likelihood
    assert_same_numbers(found["components"], fit.to_table())


def test_columns_and_a_zero_point_are_named(tmp_path, disc):
    renamed = disc.copy()
    renamed.rename_columns(["pmra", "pmra_error"], ["motion", "its_sigma"])
    renamed["offset"] = np.full(len(disc), -0.03)
    renamed.write(tmp_path / "r.fits")
    disc.write(tmp_path / "d.fits")
    fit = ("-k", "1", "--space", "tangential", "--zero-point")
    named = ("--columns", "pmra=motion, pmra_error=its_sigma")
    # Correlations are named after their columns: renamed ones have none.
    correlations = ("pmra_pmdec_corr=pmra_pmdec_corr", "parallax_pmra_corr=parallax_pmra_corr")
    named = (named[0], ",".join([named[1], *correlations]))
    there = found_by("deconvolve", tmp_path / "r.fits", *fit, "offset", *named)
    here = found_by("deconvolve", tmp_path / "d.fits", *fit, "-0.03")
    assert there["log_likelihood"] == here["log_likelihood"]


def test_velocities_whose_covariances_are_columns(real_data):
    path = real_data / "stars" / "hipparcos_db98.fits"
    found = found_by("deconvolve", path, "--space", "uvw", "-k", "1", "--covariance", "c_ll,c_lb,c_bb")
    assert found["n_stars"] == 11865
    (component,) = found["components"]
    # The motion of the Sun against stars near it (Dehnen & Binney 1998: 10, 5 and 7 km/s, V with its drift).
    assert component["U"] == pytest.approx(-10, abs=1.5)
    assert component["W"] == pytest.approx(-7, abs=1)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["ecsv", "csv", "fits", "vot", "parquet"])
def test_the_same_catalogue_is_fitted_from_every_kind_of_file(tmp_path, ending):
    path = tmp_path / f"stars.{ending}"
    made = small_catalogue(rng=1)
    if ending == "parquet":
        made.table.to_pandas().to_parquet(path)
    else:
        made.write(path)
    found, kept = (found_by("deconvolve", file, "-k", "1") for file in (path, STREAM))
    assert found["log_likelihood"] == pytest.approx(kept["log_likelihood"], rel=1e-12)


def test_a_folder_and_a_file_in_blocks_give_what_the_whole_gives(tmp_path, disc):
    folder = tmp_path / "parts"
    folder.mkdir()
    for i, rows in enumerate((slice(0, 400), slice(400, 401), slice(401, None))):
        disc[rows].write(folder / f"part{i}.parquet")
    disc.write(tmp_path / "disc.fits")
    asked = ("--space", "uvw", "-k", "1")
    whole = found_by("deconvolve", tmp_path / "disc.fits", *asked)
    for place in ((folder,), (tmp_path / "disc.fits", "--blocks")):
        parts = found_by("deconvolve", *place, *asked)
        assert parts["log_likelihood"] == pytest.approx(whole["log_likelihood"], rel=1e-9)
        assert sorted(map(str, parts["left_out"])) == sorted(map(str, whole["left_out"]))
        assert (parts["n_table"], parts["n_stars"], parts["missing"]) == (800, 777, {"v_r": 619})


def test_results_do_not_go_where_a_folder_is_read(tmp_path, disc):
    disc.write(tmp_path / "disc.fits")
    assert_refused(run("deconvolve", tmp_path, "-k", "1", "-o", tmp_path / "out"), "--out", str(tmp_path))


def test_another_table_of_a_fits_file_is_chosen(tmp_path, disc):
    from astropy.io import fits

    small = Table({"a": [1.0]})
    parts = [fits.PrimaryHDU(), fits.table_to_hdu(small), fits.table_to_hdu(disc)]
    parts[2].name = "GAIA"
    fits.HDUList(parts).writeto(tmp_path / "two.fits")
    by_name, by_number = (
        found_by("deconvolve", tmp_path / "two.fits", "-k", "1", "--hdu", hdu) for hdu in ("GAIA", "2")
    )
    assert by_name == by_number
    assert_refused(run("deconvolve", tmp_path / "two.fits", "-k", "1"), "pmra")


@pytest.mark.usefixtures("no_pictures")
def test_a_fit_is_written_and_said(tmp_path, catalogue):
    out = tmp_path / "deep" / "out"
    done = run("deconvolve", catalogue, "--space", "uvw", "-k", "1", "-o", out)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].startswith(f"wrote {out}: ")
    found = found_by("deconvolve", catalogue, "--space", "uvw", "-k", "1", "-o", out)
    assert {str(path) for path in out.rglob("*") if path.is_file()} == set(found["files"])


# --- stream ----------------------------------------------------------------------------------------------------------


def test_stream_finds_what_fit_stream_finds():
    found = found_by("stream", STREAM, *GD1)
    fit = stars.fit_stream(stars.read(STREAM), "GD1")
    assert found["log_likelihood"] == fit.log_likelihood
    assert_same_numbers(found["components"], fit.to_table(), fit.ellipsoids())
    assert [component["population"] for component in found["components"]] == ["stream", "field", "field"]
    p = np.asarray(fit.membership()["p_member"])
    stream = found["stream"]
    assert (stream["components"], stream["gain"], stream["bic_gain"]) == ([0], fit.gain, fit.bic_gain)
    assert stream["members"]["n"] == (p >= 0.5).sum()
    assert stream["members"]["purity"] == pytest.approx(p[p > 0.5].mean())
    assert stream["members"]["completeness"] == pytest.approx(p[p > 0.5].sum() / p.sum())
    assert stream["n_beside"] == len(fit.field_fit.kinematics)


def test_stream_prints_populations_evidence_and_members():
    done = run("stream", STREAM, *GD1)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert re.search(r"^0 stream +\d+\.\d ± \d\.\d +-8\.\d+ ± 0\.0\d+ +-3\.\d+ ± 0\.0\d+$", done.stdout, re.MULTILINE)
    held = r"^1 field +\d+\.\d ± \d\.\d +-\d\.\d+ +-\d\.\d+$"
    assert re.search(held, done.stdout, re.MULTILINE), "means of the field are held: no error stands beside them"
    evidence = r"^evidence for a stream: very strong; BIC is \d{3}\.\d smaller with it than without$"
    assert re.search(evidence, done.stdout, re.MULTILINE)
    members = (
        r"^members with P >= 0\.5: \d+ of 360 stars on the track, expected purity \d+\.\d %, completeness \d+\.\d %$"
    )
    assert re.search(members, done.stdout, re.MULTILINE)


def test_without_a_stream_there_is_no_evidence(tmp_path):
    made = stars.simulate_stream(1500, 0.0, outliers=0.0, rng=2)
    made.write(tmp_path / "field.ecsv")
    done = run("stream", tmp_path / "field.ecsv", *GD1)
    assert done.exit_code == 0, done.output
    assert "evidence for a stream: none; BIC is" in done.stdout
    assert "larger with it than without" in done.stdout


def test_a_great_circle_by_its_pole_or_two_points_is_that_of_the_name():
    named = found_by("stream", STREAM, *GD1)
    pole = ",".join(map(str, FRAMES["GD1"].pole))
    by_pole = found_by("stream", STREAM, "--pole", pole)
    angles = ",".join(f"{angle:.12f}" for angle in (*on_track(-20.0), *on_track(25.0)))
    for other in (by_pole, found_by("stream", STREAM, "--through", angles)):
        assert other["log_likelihood"] == pytest.approx(named["log_likelihood"], rel=1e-9)
        assert "pole" in other["frame"]


def on_track(phi1):
    """ra and dec (deg) of a point on the track of GD-1."""
    from astropy.coordinates import SkyCoord

    point = SkyCoord(phi1, 0.0, unit="deg", frame=orientation("GD1").frame).icrs
    return point.ra.deg, point.dec.deg


def test_the_options_of_a_stream_are_those_of_fit_stream():
    found = found_by(
        "stream", STREAM, *GD1, "--space", "pm+parallax", "--width", "0.8", "--gap", "1.2", "--background", "1",
        "--stream", "2", "--mean", "-8,-3.5,0.1", "--no-outliers", "--max-ruwe", "1.4",
    )  # fmt: skip
    with pytest.warns(UserWarning, match="left out"):
        fit = stars.fit_stream(
            stars.read(STREAM), "GD1", 1, space="pm+parallax", width_deg=0.8, gap_deg=1.2, stream=2,
            mean=[-8, -3.5, 0.1], outliers=False, max_ruwe=1.4,
        )  # fmt: skip
    assert found["log_likelihood"] == fit.log_likelihood
    assert found["stream"]["components"] == [0, 1]
    assert found["outlier_share"] is None
    assert all("ruwe" in line["reason"] for line in found["left_out"])


@pytest.mark.usefixtures("no_pictures")
def test_a_stream_is_written_with_its_members(tmp_path):
    done = run("stream", STREAM, *GD1, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    fit = stars.fit_stream(stars.read(STREAM), "GD1")
    written = stars.read(tmp_path / "out" / "stars.ecsv")
    np.testing.assert_allclose(written["p_member"], fit.membership()["p_member"], atol=1e-6)


# --- input that cannot be used ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deconvolve", "none.fits", "-k", "1"), ("none.fits",)),
        (("deconvolve", STREAM, "-k", "1", "--space", "uvw", "--outliers"), ("outliers",)),
        (("deconvolve", STREAM, "-k", "1", "--columns", "pmra=zz"), ("zz",)),
        (("deconvolve", STREAM, "-k", "1", "--columns", "pmra"), ("--columns", "pmra=my_pm")),
        (("deconvolve", STREAM, "-k", "1", "--columns", "nonsense=pmra"), ("nonsense",)),
        (("deconvolve", STREAM, "-k", "1", "--frame", "fk9"), ("fk9", "GD1")),
        (("deconvolve", STREAM, "-k", "1", "--pole", "12"), ("--pole", "2 numbers")),
        (("deconvolve", STREAM, "-k", "1", "--pole", "12,north"), ("--pole", "north")),
        (("deconvolve", STREAM, "-k", "1", "--through", "1,2,3"), ("--through", "4 numbers")),
        (("deconvolve", STREAM, "-k", "1", "--through", "1,2,1,2"), ("apart",)),
        (("deconvolve", STREAM, "-k", "1", "--selection", "pmra"), ("--selection",)),
        (("deconvolve", STREAM, "-k", "1", "--selection", "pmra=3"), ("both ends", "'3'")),
        (("deconvolve", STREAM, "-k", "1", "--selection", "pmra=a:b"), ("--selection", "'a'")),
        (("deconvolve", STREAM, "-k", "1", "--selection", "U=0:1"), ("pmra, pmdec",)),
        (("deconvolve", STREAM, "-k", "1", "--selection", "pmra=0:1"), ("keeps",)),
        (("deconvolve", STREAM, "-k", "1", "--zero-point", "zz", "--space", "pm+parallax"), ("zz",)),
        (("deconvolve", STREAM, "-k", "1", "--max-ruwe", "0.001"), ("none is",)),
        (("deconvolve", STREAM, "-k", "1", "--max-ruwe", "-1"), ("max_ruwe",)),
        (("deconvolve", STREAM, "-k", "1", "--min-parallax-snr", "-1"), ("min_parallax_snr",)),
        (("deconvolve", STREAM, "-k", "5000"), ("1200 rows", "5000")),
        (("deconvolve", STREAM, "-k", "1", "--blocks"), (".parquet", ".fits")),
        (("deconvolve", STREAM, "-k", "1", "--hdu", "2"), ("hdu",)),
        (("stream", STREAM, *GD1, "--width", "0"), ("width",)),
        (("stream", STREAM, *GD1, "--width", "80", "--gap", "85"), ("beside",)),
        (("stream", STREAM, *GD1, "--mean", "1"), ("mean", "2 numbers")),
        (("stream", STREAM, *GD1, "--mean", "here"), ("--mean", "here")),
        (("stream", ROOT / "data", *GD1), ("data",)),
    ],
    ids=lambda value: " ".join(map(str, value[2:])) if isinstance(value, tuple) else "-",
)
def test_input_that_cannot_be_used_is_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*arguments), *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ("deconvolve", STREAM),
        ("deconvolve", STREAM, "-k", "0"),
        ("deconvolve", STREAM, "-k", "two"),
        ("deconvolve", STREAM, "-k", "3-2"),
        ("deconvolve", STREAM, "-k", "2", "--space", "uv"),
        ("deconvolve", STREAM, "-k", "2", "--criterion", "best"),
        ("deconvolve", STREAM, "-k", "2", "--frame", "GD1", "--pole", "1,2"),
        ("stream", STREAM),
        ("stream", STREAM, *GD1, "--space", "uvw"),
        ("stream", STREAM, *GD1, "--through", "1,2,3,4"),
        ("cluster", STREAM),
    ],
    ids=lambda value: " ".join(map(str, value[2:])),
)
def test_a_wrong_command_ends_with_2(arguments):
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr


def test_random_stars_of_gaia_say_what_they_lack(real_data):
    path = real_data / "stars" / "gaia_dr3_random1000.fits"
    done = run("deconvolve", path, "--space", "uvw", "-k", "1")
    assert done.exit_code == 0, done.output
    counts = [int(number) for number in re.findall(r"left out (\d+) rows", done.stderr)]
    assert f"{1000 - sum(counts)} of 1000 stars" in done.stdout
    assert all(line.startswith("note: ") for line in done.stderr.splitlines())


# --- simulated catalogues --------------------------------------------------------------------------------------------


def test_a_simulated_stream_is_that_of_the_seed(tmp_path):
    path = tmp_path / "s.ecsv"
    asked = ("-n", "50", "--fraction", "0.2", "--frame", "galactic", "--contrast", "2", "--seed", "5")
    done = CliRunner().invoke(app, ["simulate", "stream", "-o", str(path), *asked])
    assert done.exit_code == 0, done.output
    made = stars.simulate_stream(50, 0.2, frame="galactic", contrast=2.0, rng=5)
    written = stars.read(path)
    np.testing.assert_array_equal(written["pmra"], made.table["pmra"])
    assert list(written["population"]) == list(made.truth["population"])
    assert done.stdout.startswith(f"wrote {path}: 50 stars, {(made.truth['population'] == 'stream').sum()} of a stream")


def test_without_options_it_is_the_catalogue_of_the_demo(tmp_path):
    path = tmp_path / "s.csv"
    assert CliRunner().invoke(app, ["simulate", "stream", "-o", str(path)]).exit_code == 0
    np.testing.assert_allclose(stars.read(path)["pmra"], small_catalogue(rng=1).table["pmra"].value)


def test_simulated_stars_around_the_sun(tmp_path):
    path = tmp_path / "d.fits"
    asked = ("-n", "100", "--without-velocity", "0.7", "--seed", "2")
    done = CliRunner().invoke(app, ["simulate", "disc", "-o", str(path), *asked])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"wrote {path}: 100 stars, 30 with a radial velocity")
    written = stars.read(path)
    assert (~np.asarray(written["radial_velocity"].mask)).sum() == 30
    np.testing.assert_array_equal(
        written["pmdec"], stars.simulate_disc(100, without_velocity=0.7, rng=2).table["pmdec"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stream", "-o", "s.doc"), (".ecsv", "s.doc")),
        (("stream", "-o", "none/s.ecsv"), ("none",)),
        (("stream", "-o", "s.ecsv", "--fraction", "2"), ("fraction",)),
        (("stream", "-o", "s.ecsv", "--frame", "nowhere"), ("nowhere",)),
        (("disc", "-o", "s.ecsv", "--without-velocity", "-1"), ("without_velocity",)),
    ],
)
def test_what_cannot_be_simulated_is_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(CliRunner().invoke(app, ["simulate", *arguments]), *words)
