"""The folder of a fit to stars: every table is read back by other programs, and the page is safe and complete."""

import csv
import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table

import mixsci as mx
from mixsci import stars
from mixsci.stars.portrait import probabilities
from mixsci.stars.report import as_html, draw, evidence
from mixsci.stars.write import star_rows, write, write_rows


@pytest.fixture(scope="module")
def stream():
    made = stars.simulate_stream(1500, 0.1, rng=3)
    return stars.fit_stream(made.table, frame=made.frame)


@pytest.fixture(scope="module")
def disc():
    made = stars.simulate_disc(600, rng=1)
    return stars.deconvolve(stars.from_gaia(made.table, "uvw"), [1, 2], starts=2, tol=1e-4)


@pytest.fixture(scope="module")
def written(stream, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream") / "new" / "folder"
    return folder, stream.write(folder)


@pytest.fixture(scope="module")
def pictures(stream):
    return draw(stream)


def same(one, other):
    """Whether two tables hold the same columns, units and values, to ten digits."""
    assert one.colnames == other.colnames
    for name in one.colnames:
        assert one[name].unit == other[name].unit, name
        values, again = (np.asarray(getattr(table[name], "value", table[name])) for table in (one, other))
        if values.dtype.kind == "f":
            assert np.allclose(values, again, rtol=1e-9, atol=1e-300, equal_nan=True), name
        else:
            assert (values == again).all(), name
    return True


# --- the folder ------------------------------------------------------------------------------------------------------


def test_a_stream_leaves_its_files(written):
    folder, files = written
    assert [file.name for file in files] == [
        *("components.ecsv", "ellipsoids.ecsv", "stars.ecsv", "dropped.csv", "model.json"),
        *("corner.png", "membership.png", "purity.png", "report.html"),
    ]
    assert sorted(folder.iterdir()) == sorted(files)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files if file.suffix == ".png")


def test_velocities_leave_theirs(disc, tmp_path):
    names = [file.name for file in write(disc, tmp_path)]
    assert names[5:] == ["corner.png", "calibration.png", "radial_velocities.png", "choices.png", "report.html"]


def test_pictures_can_be_left_out(stream, tmp_path):
    names = [file.name for file in write(stream, tmp_path, pictures=False)]
    assert names == ["components.ecsv", "ellipsoids.ecsv", "stars.ecsv", "dropped.csv", "model.json"]


def test_tables_are_read_back_with_units_and_meta(stream, written):
    folder, _ = written
    for name, expected in (("components", stream.to_table()), ("ellipsoids", stream.ellipsoids())):
        found = QTable.read(folder / f"{name}.ecsv")
        assert same(found, expected)
        assert found.meta["frame"] == stream.kinematics.frame.label
        assert found.meta["bic_gain"] == pytest.approx(stream.bic_gain)


def test_the_model_is_read_back(stream, written):
    fit = mx.load(written[0] / "model.json")
    assert np.array_equal(fit.mixture.means, stream.mixture.means)
    assert fit.names == stream.latent_names


def test_there_is_a_row_for_every_star(stream, written):
    found = QTable.read(written[0] / "stars.ecsv")
    members, denoised = stream.membership(), stream.denoised()
    assert np.array_equal(found["row"], stream.kinematics.rows)
    assert np.array_equal(found["id"], stream.kinematics.ids)
    assert found["id"].dtype.kind == "i"
    for name in ("p_member", "log_bayes_factor", "component", "p_0", "p_outlier"):
        assert np.allclose(found[name], members[name], rtol=1e-9, atol=1e-300)
    for name in stream.latent_names:
        assert found[f"{name}_denoised"].unit == u.mas / u.yr
        assert np.allclose(found[f"{name}_denoised"], denoised[name], rtol=1e-9)
        assert np.allclose(found[f"{name}_denoised_error"], denoised[f"{name}_error"], rtol=1e-9)
    assert found["cov_pm_phi1_pm_phi2"].unit == u.mas**2 / u.yr**2
    assert found.meta["space"] == "pm"


def test_radial_velocities_are_predicted_where_the_space_knows_them(disc, stream):
    predicted, found = disc.predict_radial_velocity(), star_rows(disc, disc.kinematics)
    assert np.array_equal(found["radial_velocity_predicted"], predicted["radial_velocity"])
    assert np.array_equal(found["radial_velocity_predicted_error"], predicted["radial_velocity_error"])
    assert np.array_equal(found["radial_velocity_q16"], predicted["q16"])
    assert not [name for name in star_rows(stream, stream.kinematics).colnames if "radial" in name]


def test_predictions_stand_beside_what_is_deconvolved():
    made = stars.simulate_stream(500, 0.2, rng=5)
    fit = stars.deconvolve(stars.from_gaia(made.table, "pm+rv", frame=made.frame), 1)
    found = star_rows(fit, fit.kinematics)
    assert np.array_equal(found["radial_velocity_denoised"], fit.denoised()["radial_velocity"])
    assert np.array_equal(found["radial_velocity_predicted"], fit.predict_radial_velocity()["radial_velocity"])
    assert len(set(found.colnames)) == len(found.colnames)


@pytest.mark.parametrize("space", list(stars.SPACES))
def test_every_space_writes_a_folder(space, tmp_path):
    kin = stars.from_gaia(stars.simulate_disc(250, rng=4).table, space)
    fit = stars.deconvolve(kin, 1)
    fit.write(tmp_path, pictures=False)
    found = QTable.read(tmp_path / "stars.ecsv")
    assert same(found, star_rows(fit, kin))
    assert len(QTable.read(tmp_path / "components.ecsv")) == 1


def test_what_was_left_out_is_named(tmp_path):
    table = stars.simulate_disc(200, rng=4).table
    table["pmra"][3] = np.nan
    table["parallax"][5] = -1.0 * u.mas
    with pytest.warns(UserWarning, match="left out"):
        kin = stars.from_gaia(table, "uvw")
    fit = stars.deconvolve(kin, 1)
    fit.write(tmp_path, pictures=False)
    with (tmp_path / "dropped.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(int(line["row"]), line["reason"]) for line in lines] == [
        (int(row), reason) for row, reason in zip(kin.dropped["row"], kin.dropped["reason"], strict=True)
    ]
    assert {3, 5} == {int(line["row"]) for line in lines}
    page = html.unescape(as_html(fit, pictures={"corner": b""}))
    assert "<dt>rows left out</dt><dd>2</dd>" in page
    assert all(re.sub(r"-?\d.*", "", line["reason"])[:15] in page for line in lines)


# --- stars in blocks -------------------------------------------------------------------------------------------------


def test_blocks_are_written_part_by_part(tmp_path):
    table = stars.simulate_disc(500, rng=6).table
    whole = stars.from_gaia(table, "uvw")
    blocks = stars.from_gaia([table[:200], table[200:450], table[450:]], "uvw")
    fit = stars.deconvolve(blocks, 1)
    (tmp_path / "stars").mkdir()
    (tmp_path / "stars" / "part-0007.ecsv").write_text("an earlier run", encoding="utf-8")
    files = fit.write(tmp_path)
    parts = [file for file in files if file.parent.name == "stars"]
    assert [part.name for part in parts] == ["part-0000.ecsv", "part-0001.ecsv", "part-0002.ecsv"]
    assert sorted((tmp_path / "stars").iterdir()) == parts
    found = [QTable.read(part) for part in parts]
    assert [len(part) for part in found] == [200, 250, 50]
    assert np.concatenate([part["row"] for part in found]).tolist() == list(range(500))
    expected = star_rows(replace(fit, kinematics=whole), whole)
    for name in ("U_denoised", "radial_velocity_predicted"):
        assert np.allclose(np.concatenate([part[name].value for part in found]), expected[name].value, rtol=1e-9)
    assert {"corner.png", "report.html", "dropped.csv"} <= {file.name for file in files}


def test_members_of_blocks_are_counted_over_all(stream):
    frame = stream.kinematics.frame.frame
    table = stars.simulate_stream(1500, 0.1, rng=3).table
    blocks = stars.from_gaia([table[:700], table[700:]], "pm", frame=frame)
    whole = stars.from_gaia(table, "pm", frame=frame)
    found = probabilities(replace(stream, kinematics=blocks))
    assert np.allclose(found, stars.membership(stream, whole)["p_member"])


# --- long tables -----------------------------------------------------------------------------------------------------


def test_long_tables_are_what_astropy_writes(tmp_path):
    rng = np.random.default_rng(0)
    n = 9000
    table = QTable({
        "id": 2**60 + np.arange(n), "x": rng.standard_normal(n) * u.km / u.s, "p": rng.uniform(size=n) ** 40,
        "component": rng.integers(-1, 5, n), "good": rng.uniform(size=n) < 0.5,
    })  # fmt: skip
    table["x"][::7] = np.nan
    table["p"][3] = np.inf
    table.meta["frame"] = "made: up, with # and 'quotes'"
    found = QTable.read(write_rows(table, tmp_path / "long.ecsv"))
    table.write(tmp_path / "astropy.ecsv")
    assert same(found, QTable.read(tmp_path / "astropy.ecsv"))
    assert found.meta == table.meta
    assert isinstance(found["x"], u.Quantity)
    assert found["id"].dtype == np.int64


NAMES = ["plain", "two words", 'a "quoted", one', "=1+1", "ünïcode", "#hash", "%d"]


@pytest.mark.parametrize(
    "column",
    [
        np.array(NAMES),
        np.array(NAMES, dtype=object),
        MaskedColumn(NAMES, mask=[0, 1, 0, 0, 0, 0, 1]),
        MaskedColumn(np.array(NAMES, dtype=object), mask=[0, 1, 0, 0, 0, 0, 1]),
        MaskedColumn(np.arange(7), mask=[0, 1, 0, 0, 0, 0, 1]),
        MaskedColumn(np.arange(7.0), mask=[0, 1, 0, 0, 0, 0, 1]),
    ],
    ids=["text", "objects", "masked text", "masked objects", "masked numbers", "masked reals"],
)
def test_names_and_masks_survive(column, tmp_path):
    found = Table.read(write_rows(Table({"id": column, "v": np.arange(7.0)}), tmp_path / "names.ecsv"))
    mask = np.asarray(getattr(column, "mask", np.zeros(7, dtype=bool)))
    assert np.array_equal(getattr(found["id"], "mask", np.zeros(7, dtype=bool)), mask)
    assert [v for v, gone in zip(found["id"], mask, strict=True) if not gone] == [
        v for v, gone in zip(column, mask, strict=True) if not gone
    ]


def test_a_name_stays_on_its_line(tmp_path):
    found = Table.read(write_rows(Table({"id": ["one\nname", "other"]}), tmp_path / "lines.ecsv"))
    assert list(found["id"]) == ["one name", "other"]


def test_bytes_become_text(tmp_path):
    found = Table.read(write_rows(Table({"id": np.array([b"HD 1", b"HD 22"])}), tmp_path / "bytes.ecsv"))
    assert list(found["id"]) == ["HD 1", "HD 22"]


def test_no_rows_leave_a_table(tmp_path):
    found = QTable.read(write_rows(QTable({"x": [] * u.km, "id": np.array([], dtype=int)}), tmp_path / "none.ecsv"))
    assert len(found) == 0
    assert found.colnames == ["x", "id"]


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_stands_alone(written):
    page = (written[0] / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page
    assert not re.search(r'(src|href)="http', page)


def test_the_page_says_what_was_fitted(stream, written):
    page = html.unescape((written[0] / "report.html").read_text(encoding="utf-8"))
    beside = stream.field_fit.n_rows
    assert f"{stream.n_rows} on the track; the field was learnt from {beside:,} beside it and held" in page
    assert stream.outcome.value in page
    assert stream.kinematics.frame.label in page
    assert "Evidence for a stream: very strong" in page
    assert f"BIC is {stream.bic_gain:,.1f} smaller" in page
    table, k = stream.to_table(), 0
    weight, error = 100 * table["weight"][k], 100 * table["weight_error"][k]
    assert mx.report.plus_minus(weight, error) in page
    assert mx.report.plus_minus(table["pm_phi1"][k].value, table["pm_phi1_error"][k].value) in page
    assert "(held)" in page
    curve = stars.purity_completeness(stream.membership()["p_member"], thresholds=[0.5])
    assert f"<td>0.5</td><td>{curve['n'][0]}</td><td>{100 * curve['purity'][0]:.1f} %</td>" in page


def test_the_page_of_velocities_says_how_predictions_fare(disc):
    drawn = dict.fromkeys(("corner", "calibration", "radial_velocities", "choices"), b"")
    page = html.unescape(as_html(disc, pictures=drawn))
    calibration = disc.calibrate_radial_velocity()
    assert f"p = {calibration.p_value:.2g}" in page
    assert f"{disc.mixture.n_components} (chosen)" in page
    assert "vertex deviation (deg)" in page
    gaps = int((~disc.kinematics.observations.seen()[:, 0]).sum())
    assert f"{gaps} without v_r" in page
    assert "Members" not in page


def test_a_selection_is_named(stream, pictures):
    assert "what the survey lost" not in as_html(stream, pictures=pictures)
    kin = stream.kinematics.take(np.abs(stream.kinematics.observations.x[:, 0]) < 6.0)
    cut = stars.deconvolve(kin, 1, selection={"pm_phi1": (-6.0, 6.0)}, tol=1e-3)
    assert "what the survey lost is allowed for" in as_html(cut, pictures={"corner": b""})


def test_no_evidence_is_said(stream, pictures):
    page = as_html(replace(stream, gain=1.0), pictures=pictures)
    assert "Evidence for a stream: none" in page
    assert "larger with it" in page


@pytest.mark.parametrize(
    ("gain", "words"), [(-1.0, "none"), (0.0, "none"), (1.0, "hardly any"), (5.0, "positive"), (8.0, "strong")]
)
def test_evidence_in_words(gain, words):
    assert evidence(gain) == words


def test_names_of_users_are_escaped(stream, pictures):
    nasty = "<script>alert('&')</script>"
    frame = replace(stream.kinematics.frame, label=nasty)
    dropped = Table({"row": [0, 1], "what": ["row", nasty], "reason": [nasty, "it has no error"]})
    kin = replace(stream.kinematics, frame=frame, dropped=dropped, notes=(nasty,))
    page = as_html(replace(stream, kinematics=kin), title=nasty, pictures=pictures)
    assert "<script>" not in page
    assert page.count(html.escape(nasty, quote=True).replace("&#x27;", "&#39;")) >= 5


def test_standard_errors_that_are_not_known_leave_a_question_mark(stream, pictures):
    errors = replace(stream.standard_errors, means=np.full_like(stream.mixture.means, np.nan))
    fit = replace(stream)
    object.__setattr__(fit, "standard_errors", errors)
    page = as_html(fit, pictures=pictures)
    assert page.count("± ?") >= stream.mixture.n_components * 2


def test_json_of_the_model_is_json(written):
    assert json.loads((written[0] / "model.json").read_text(encoding="utf-8"))
