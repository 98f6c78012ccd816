"""Every format as instruments write it: exact values, encodings and line ends, and files written by ourselves."""

import math
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from mixsci.ddpcr import formats
from mixsci.ddpcr.formats import names, sheets, text
from mixsci.ddpcr.formats.reader import Droplets
from mixsci.ddpcr.plate import INSTRUMENT_COLUMNS, INSTRUMENT_WORDS
from mixsci.errors import DataError, FormatError
from tests.ddpcr.broken import DROPLETS, MANY, QX_MANAGER, Lines, real_droplets, real_sheets

WITH_CALLS = ("QuantaSoft", "QX Manager")


@pytest.fixture(scope="module")
def folder(real_data):
    return real_data / "ddpcr"


def well_of(path):
    _, found = formats.read_file(path)
    assert isinstance(found, Droplets)
    assert len(found.wells) == 1
    return found.wells[0]


# --- recognition -----------------------------------------------------------------------------------------------------


def header_of(path):
    head = text.head(path)
    return text.find_names(head, lambda found: bool(formats.recognise(found)))[1]


def test_every_file_is_recognised_as_what_it_is(folder):
    expected = {
        "formats/quantasoft_16_results.csv": "QuantaSoft results",
        "formats/quantasoft_174_trailing_comma.csv": "QuantaSoft results",
        "formats/qx600_cluster_data_q4ddpcr.csv": "QX600 clusters",
        "formats/qxmanager_header_A01_Amplitude.csv": "QX Manager droplets",
        "podcall_vim_4plex/VIM_4Plex_A04_Amplitude.csv": "QuantaSoft droplets",
        "podcall_vim_4plex/quantasoft_results.csv": "QuantaSoft results",
        "counts_quantasoft/20-1276.csv": "QuantaSoft results",
        "counts_quantasoft/qxmanager_smn2_datatable.csv": "QX Manager results",
        "definetherain_albumin/Big test 6.12.12_A08_Amplitude.csv": "QX100 droplets",
        "definetherain_albumin/plate_layout.csv": "sample sheet",
        "dpcp_dilution/Template_sampleTable.csv": "sample sheet",
    }
    assert {name: formats.recognise(header_of(folder / name)) for name in expected} == expected


@pytest.mark.parametrize("kind", DROPLETS)
def test_one_reader_alone_knows_a_file_of_droplets(kind, tmp_path):
    found = header_of(DROPLETS[kind].write(tmp_path))
    assert sum(reader.recognises(found) for reader in formats.READERS.values()) == 1


def test_foreign_tables_are_nobodys():
    for columns in (("time", "temperature"), ("x", "y"), ("Well",), ("Sample", "Value"), ("",)):
        assert formats.recognise(columns) == ""


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "well"),
    [
        ("VIM_4Plex_A04_Amplitude.csv", "A04"),
        ("Big test 6.12.12_A08_Amplitude.csv", "A08"),
        ("plate B2 of 3.1_H12_Amplitude.csv", "H12"),
        ("A1_Amplitude.csv", "A01"),
        ("run.c7.Amplitude.csv", "C07"),
        ("run_P24_Amplitude.csv", "P24"),
        ("run_A01_Amplitude (1).csv", "A01"),
        ("chip_B3_RawData.csv", "B03"),
        ("D05.csv", "D05"),
        ("run_A25_Amplitude.csv", ""),
        ("run_Q01_Amplitude.csv", ""),
        ("run_A00_Amplitude.csv", ""),
        ("plate123_Amplitude.csv", ""),
        ("HEXA01_Amplitude.csv", ""),
    ],
)
def test_wells_are_read_from_the_names_of_files(name, well, tmp_path):
    assert names.well_in(tmp_path / name) == well


# --- droplets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DROPLETS)
def test_made_files_give_the_droplets_written(kind, tmp_path):
    well = well_of(DROPLETS[kind].write(tmp_path))
    i = np.arange(MANY)
    assert (well.name, well.channels, well.problem) == ("A01", ("Ch1", "Ch2"), "")
    np.testing.assert_array_equal(well.amplitudes, np.stack([1000.5 + i, 2000.25 + i], axis=1))
    assert (well.calls is not None) == (kind in WITH_CALLS)


def test_clusters_of_quantasoft_are_calls(tmp_path):
    well = well_of(DROPLETS["QuantaSoft"].write(tmp_path))
    np.testing.assert_array_equal(well.calls, [[0, 0], [1, 0], [1, 1], [0, 1]] * (MANY // 4))
    np.testing.assert_array_equal(well.frame()["Cluster"], [1, 2, 3, 4] * (MANY // 4))


def test_clusters_are_read_however_channels_are_written(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1Amplitude,Ch2Amplitude,Cluster\n" + "1,2,3\n" * MANY)
    np.testing.assert_array_equal(well_of(path).calls, [[1, 1]] * MANY)


def test_gated_droplets_are_called_in_no_channel(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1 Amplitude,Ch2 Amplitude,Cluster\n" + "1,2,0\n3,4,3\n" * 30)
    well = well_of(path)
    np.testing.assert_array_equal(well.calls, [[-1, -1], [1, 1]] * 30)
    np.testing.assert_array_equal(well.frame()["Cluster"], [0, 3] * 30)


def test_unknown_clusters_are_left_out_with_a_note(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1 Amplitude,Ch2 Amplitude,Cluster\n" + "1,2,9\n3,4,3\n" * 30)
    _, found = formats.read_file(path)
    assert found.wells[0].calls is None
    assert found.wells[0].problem == ""
    assert "calls in Cluster cannot be matched with Ch1, Ch2" in found.notes[0]


def test_calls_of_qx_manager_go_by_target(tmp_path):
    well = well_of(DROPLETS["QX Manager"].write(tmp_path))
    np.testing.assert_array_equal(well.calls[:6], [[0, 0], [1, 1], [-1, 0], [0, 1], [1, 0], [-1, 1]])


def test_more_targets_than_channels_give_no_calls(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("\n".join([*QX_MANAGER, "Ch1Amplitude,Ch2Amplitude,a,b,c,", *["1,2,0,1,0,"] * MANY]))
    _, found = formats.read_file(path)
    assert found.wells[0].calls is None
    assert "calls in a, b, c" in found.notes[0]


def test_the_qx_manager_file_is_read_exactly(folder):
    well = well_of(folder / "formats" / "qxmanager_header_A01_Amplitude.csv")
    expected = [[2382.14, 6258.282], [9197.797, 6078.402], [9017.031, 1560.016], [2233.898, 6130.72]]
    np.testing.assert_array_equal(well.amplitudes, expected)
    np.testing.assert_array_equal(well.calls, [[0, 1], [1, 1], [1, 0], [0, 1]])
    assert "at least 50 droplets; it has 4" in well.problem


def test_a_channel_without_values_is_left_out(folder):
    well = well_of(folder / "definetherain_albumin" / "Big test 6.12.12_A08_Amplitude.csv")
    assert well.channels == ("Ch1",)
    assert well.amplitudes.shape == (11810, 1)
    np.testing.assert_array_equal(well.amplitudes[:3, 0], [7762.2417, 7809.73047, 7890.21973])


def test_one_channel_keeps_its_calls(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1 Amplitude,Ch2 Amplitude,Cluster\n" + ",2,1\n,4,4\n" * 30)
    well = well_of(path)
    assert well.channels == ("Ch2",)
    np.testing.assert_array_equal(well.calls, [[0], [1]] * 30)
    np.testing.assert_array_equal(well.frame()["Cluster"], [1, 4] * 30)


def test_columns_are_found_by_name(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Cluster,Ch2 Amplitude,Ch1 Amplitude\n" + "2,7.5,8.5\n" * MANY)
    well = well_of(path)
    np.testing.assert_array_equal(well.amplitudes, [[8.5, 7.5]] * MANY)
    np.testing.assert_array_equal(well.calls, [[1, 0]] * MANY)


def test_six_channels_are_read(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    header = ",".join(f"Ch{j}Amplitude" for j in range(1, 7))
    path.write_text("\n".join([header, *["1,2,3,4,5,6"] * MANY]))
    well = well_of(path)
    assert well.channels == tuple(f"Ch{j}" for j in range(1, 7))
    np.testing.assert_array_equal(well.amplitudes[0], [1, 2, 3, 4, 5, 6])
    assert list(well.frame()) == [f"Ch{j} Amplitude" for j in range(1, 7)]


def test_two_columns_of_one_channel_are_refused(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1 Amplitude,Ch1 Amplitude\n" + "1,2\n" * MANY)
    assert "A01_Amplitude.csv must have one column for each channel; it has more for Ch1" in well_of(path).problem


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("x,y,Green,Blue,index", [40, 30]),
        ("X (px),Y (px),Channel 2,Channel 1,Droplet index", [40, 30]),
        ("x,y,FAM,Cy5,index", [30, 40]),
        ("index,pos x,Red,Infra-red,pos y", [30, 40]),
    ],
)
def test_channels_of_stilla_are_numbered(columns, values, tmp_path):
    path = tmp_path / "chip_A01_RawData.csv"
    path.write_text("\n".join([columns, *["1,2,30,40,5"] * MANY]))
    well = well_of(path)
    assert well.channels == ("Ch1", "Ch2")
    np.testing.assert_array_equal(well.amplitudes, [values] * MANY)


def test_stilla_holds_six_channels_at_most(tmp_path):
    path = tmp_path / "chip_A01_RawData.csv"
    path.write_text("\n".join(["x,y,a,b,c,d,e,f,g,index", *["1,2,3,4,5,6,7,8,9,0"] * MANY]))
    assert "at most 6 channels" in well_of(path).problem


# --- text ------------------------------------------------------------------------------------------------------------


ENCODINGS = {
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "BOM": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16, big end first": lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be"),
    "semicolons": lambda data: data.replace(b",", b";"),
    "tabs": lambda data: data.replace(b",", b"\t"),
    "semicolons and decimal commas": lambda data: data.replace(b",", b";").replace(b".", b","),
    "blanks": lambda data: data.replace(b",", b" , "),
    "no last line end": lambda data: data.rstrip(b"\n"),
    "lines of delimiters below": lambda data: data + b",,\n,,\n",
    "blank lines below": lambda data: data + b"\n\n",
}


@pytest.mark.parametrize("how", ENCODINGS)
@pytest.mark.parametrize("kind", DROPLETS)
def test_the_same_droplets_however_the_text_is_written(kind, how, tmp_path):
    path = DROPLETS[kind].write(tmp_path)
    plain = well_of(path)
    data = ENCODINGS[how](path.read_bytes())
    if kind == "dotted" and how == "semicolons and decimal commas":
        data = data.replace(b"Ch1,", b"Ch1.").replace(b"Ch2,", b"Ch2.")
    path.write_bytes(data)
    well = well_of(path)
    assert (well.name, well.channels, well.problem) == (plain.name, plain.channels, "")
    np.testing.assert_array_equal(well.amplitudes, plain.amplitudes)
    assert (well.calls is None) == (plain.calls is None)
    if plain.calls is not None:
        np.testing.assert_array_equal(well.calls, plain.calls)


def test_quoted_numbers_with_decimal_commas_are_read(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text('"Ch1 Amplitude","Ch2 Amplitude"\n' + '"1234,5","900,25"\n' * MANY)
    np.testing.assert_array_equal(well_of(path).amplitudes, [[1234.5, 900.25]] * MANY)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "mac_roman", "cp437"])
@pytest.mark.parametrize("mu", ["\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}", "u"])
def test_the_micro_sign_is_read_in_any_encoding(encoding, mu, folder, tmp_path):
    whole = (folder / "counts_quantasoft" / "qxmanager_smn2_datatable.csv").read_text(encoding="utf-8")
    path = tmp_path / "table.csv"
    path.write_bytes(whole.replace("\N{MICRO SIGN}", mu).encode(encoding, errors="replace"))
    assert formats.read_results(path)["Concentration"].iloc[0] == 898.375854492188


def test_names_of_samples_keep_their_letters(tmp_path):
    for encoding, end in (("utf-8", "\n"), ("cp1252", "\r\n"), ("mac_roman", "\r")):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(end.join(["Well,Sample", "A01,Müller é"]).encode(encoding))
        assert formats.read_results(path)["Sample"].tolist() == ["Müller é"]


@pytest.mark.parametrize("bad", ["NaN", "inf", "-inf", "1e999", "abc", "1.2.3", "12,5", "0x10", "1_000", "", "True"])
def test_what_is_no_number_is_named_with_its_line(bad, tmp_path):
    lines = DROPLETS["QuantaSoft"]
    rows = list(lines.rows)
    rows[7] = f'"{bad}",2000.25,1' if "," in bad else f"{bad},2000.25,1"
    path = replace(lines, rows=tuple(rows)).write(tmp_path)
    well = well_of(path)
    if bad == "12,5":
        assert well.amplitudes[7, 0] == 12.5
        return
    assert len(well) == 0
    assert f"line 9 holds {bad!r} as Ch1 Amplitude" in well.problem


def test_lines_are_counted_in_the_file(tmp_path):
    lines = DROPLETS["QX Manager"]
    rows = list(lines.rows)
    rows[3] = rows[3].replace("1003.5", "x")
    rows[20] = rows[20].replace("1020.5", "y")
    for end in ("\n", "\r", "\r\n"):
        problem = well_of(replace(lines, rows=tuple(rows), end=end).write(tmp_path)).problem
        assert "line 9 holds 'x' as Ch1Amplitude (damaged too: line 26)" in problem


def test_lines_of_other_lengths_are_named(tmp_path):
    lines = DROPLETS["QuantaSoft"]
    rows = list(lines.rows)
    rows[5] += ",9"
    problem = well_of(replace(lines, rows=tuple(rows)).write(tmp_path)).problem
    assert "line 7 holds 4 values where others hold 3" in problem


def test_fewer_values_than_columns_are_refused(tmp_path):
    path = tmp_path / "A01_Amplitude.csv"
    path.write_text("Ch1 Amplitude,Ch2 Amplitude,Cluster\n" + "1,2\n" * MANY)
    assert "a value for each of its 3 columns" in well_of(path).problem
    path.write_text("Ch1 Amplitude,Ch2 Amplitude\n" + "1,2,3\n" * MANY)
    assert "line 2 holds 3 values for 2 columns" in well_of(path).problem


def test_a_cut_number_with_all_values_is_not_noticed_but_a_missing_value_is(tmp_path):
    lines = DROPLETS["QuantaSoft"]
    path = lines.write(tmp_path)
    whole = path.read_bytes()
    for less in range(1, 9):
        path.write_bytes(whole[:-less])
        well = well_of(path)
        assert (well.problem == "") == (less == 1)
        assert not well.problem or f"ends in the middle of line {MANY + 1}" in well.problem


def test_every_number_is_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.lognormal(8, 3, 400), -rng.random(100), 10.0 ** rng.uniform(-200, 200, 100)])
    path = tmp_path / "A01_Amplitude.csv"
    for digits in (4, 9, 14, 15, 17):
        written = [f"{value:.{digits}g}" for value in values]
        path.write_text("\n".join(["Ch1 Amplitude,Ch2 Amplitude", *(f"{value}," for value in written)]))
        assert well_of(path).amplitudes[:, 0].tolist() == [float(value) for value in written]


# --- tables of many wells --------------------------------------------------------------------------------------------


def long_table(tmp_path, rows, names="Well,Ch1 Amplitude,Ch2 Amplitude"):
    path = tmp_path / "table.csv"
    path.write_text("\n".join([names, *rows, ""]))
    return path


def test_a_long_table_gives_each_well_its_droplets(tmp_path):
    rows = [f"{well},{1000 + i},{2000 + i}" for i in range(MANY) for well in ("B2", "A01", "h12")]
    _, found = formats.read_file(long_table(tmp_path, rows))
    assert [well.name for well in found.wells] == ["A01", "B02", "H12"]
    for well in found.wells:
        np.testing.assert_array_equal(well.amplitudes, np.stack([1000 + np.arange(MANY), 2000 + np.arange(MANY)], 1))


def test_wells_of_a_long_table_may_differ_in_channels(tmp_path):
    _, found = formats.read_file(long_table(tmp_path, ["A01,1,2"] * MANY + ["A02,,3"] * MANY))
    assert [well.channels for well in found.wells] == [("Ch1", "Ch2"), ("Ch2",)]
    assert not any(well.problem for well in found.wells)


def test_damage_in_a_long_table_is_that_of_one_well(tmp_path):
    rows = ["A01,1,2"] * MANY + ["A02,x,3"] + ["A02,4,3"] * MANY + ["A03,5,"] + ["A03,5,6"] * MANY
    _, found = formats.read_file(long_table(tmp_path, rows))
    problems = {well.name: well.problem for well in found.wells}
    assert problems["A01"] == ""
    assert f"line {MANY + 2} holds 'x' as Ch1 Amplitude" in problems["A02"]
    assert f"line {2 * MANY + 3} has a blank" in problems["A03"]


def test_a_cut_long_table_is_the_problem_of_its_last_well(tmp_path):
    path = long_table(tmp_path, ["A01,1,2"] * MANY + ["B01,3,4"] * MANY)
    path.write_bytes(path.read_bytes()[:-4])
    _, found = formats.read_file(path)
    problems = {well.name: well.problem for well in found.wells}
    assert problems["A01"] == ""
    assert f"ends in the middle of line {2 * MANY + 1}" in problems["B01"]


def test_droplets_without_a_well_are_noted(tmp_path):
    rows = ["A01,1,2"] * MANY + ["control,3,4", ",5,6"]
    _, found = formats.read_file(long_table(tmp_path, rows))
    assert [well.name for well in found.wells] == ["A01"]
    assert f"the droplets of lines {MANY + 2} and {MANY + 3} are left out" in found.notes[0]


def test_too_many_droplets_in_one_well_of_a_long_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"Well,Ch1 Amplitude\n" + b"A01,5\n" * 1_000_001 + b"A02,7\n" * MANY)
    _, found = formats.read_file(path)
    assert [len(well) for well in found.wells] == [0, MANY]
    assert "at most 1,000,000 droplets in a well; A01 has 1,000,001" in found.wells[0].problem


def test_columns_may_be_mapped(tmp_path):
    path = long_table(tmp_path, ["A01,9,5.5,6.5"] * MANY, "position,time,FAM,HEX")
    assert formats.read_file(path) == ("", None)
    _, found = formats.read_file(path, {"well": "position", "Ch1": "FAM", "Ch2": "HEX"})
    np.testing.assert_array_equal(found.wells[0].amplitudes, [[5.5, 6.5]] * MANY)


def test_mapped_columns_without_wells_are_one_well_per_file(tmp_path):
    path = tmp_path / "run_C03.csv"
    path.write_text("\n".join(["red,blue", *["1.5,2.5"] * MANY]))
    _, found = formats.read_file(path, {"Ch2": "red", "Ch1": "blue"})
    assert found.wells[0].name == "C03"
    np.testing.assert_array_equal(found.wells[0].amplitudes, [[2.5, 1.5]] * MANY)


@pytest.mark.parametrize("mapping", [{}, {"well": "Well"}, {"Ch7": "x"}, {"well": "Well", "FAM": "x"}])
def test_a_mapping_names_channels(mapping, tmp_path):
    with pytest.raises(DataError, match="columns must map 'Ch1'"):
        formats.read_file(long_table(tmp_path, ["A01,1,2"]), mapping)


def test_parquet_is_a_long_table(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "plate.parquet"
    table = pd.DataFrame({"Well": ["A1"] * MANY + ["B1"] * MANY, "FAM": np.arange(2.0 * MANY), "HEX": 7})
    table.to_parquet(path)
    assert formats.read_file(path) == ("", None)
    _, found = formats.read_file(path, {"well": "Well", "Ch1": "FAM", "Ch2": "HEX"})
    assert [well.name for well in found.wells] == ["A01", "B01"]
    np.testing.assert_array_equal(found.wells[1].amplitudes[:2], [[60, 7], [61, 7]])
    table.loc[3, "FAM"] = np.inf
    table.rename(columns={"FAM": "Ch1 Amplitude"}).to_parquet(path)
    _, found = formats.read_file(path)
    assert "row 4 holds an infinite value" in found.wells[0].problem
    assert found.wells[1].problem == ""
    table.assign(FAM="high").to_parquet(path)
    with pytest.raises(FormatError, match="must hold numbers in FAM"):
        formats.read_file(path, {"well": "Well", "Ch1": "FAM"})
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(FormatError, match="cannot be read as parquet"):
        formats.read_file(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FormatError, match=r"needs pyarrow: python -m pip install 'mixsci\[io\]'"):
        formats.read_file(tmp_path / "plate.parquet")


# --- sheets ----------------------------------------------------------------------------------------------------------


def test_quantasoft_174_is_read_as_printed(folder):
    path = folder / "podcall_vim_4plex" / "quantasoft_results.csv"
    printed = formats.read_results(path, as_printed=True).iloc[1]
    assert printed[["Well", "Channel", "Target", "Sample", "SampleType", "TargetType", "Status"]].tolist() == [
        *("B04", "Ch1", "VIM", "SW403", "Unknown", "Unknown", "Manual")
    ]
    assert printed[["Concentration", "PoissonConfMin", "PoissonConfMax"]].tolist() == ["47.5", "43.9", "51.1"]
    assert printed[["Positives", "Negatives", "AcceptedDroplets", "Threshold"]].tolist() == [
        *("670", "16263", "16933", "2684")
    ]
    assert printed[["Ratio", "PoissonRatioMin", "PoissonRatioMax"]].tolist() == ["0.07", "0.065", "0.076"]
    abundance = ["FractionalAbundance", "PoissonFractionalAbundanceMin", "PoissonFractionalAbundanceMax"]
    assert printed[abundance].tolist() == ["6.57", "6.09", "7.06"]
    assert printed[["Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-"]].tolist() == ["250", "420", "7143", "9120"]


def test_every_value_of_a_sheet_is_that_under_its_name(folder):
    """Against the csv module: QuantaSoft's own names are ours, and its lines are one value too long."""
    import csv

    for path in [
        *sorted((folder / "counts_quantasoft").glob("2*.csv")),
        folder / "podcall_vim_4plex/quantasoft_results.csv",
    ]:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names, *lines = csv.reader(file)
        printed = formats.read_results(path, as_printed=True)
        assert len(printed) == len(lines)
        for column in {*INSTRUMENT_COLUMNS} & {*names}:
            if column not in ("TargetType", "Well"):
                assert printed[column].tolist() == [line[names.index(column)].strip() for line in lines]


def test_numbers_are_what_is_printed(folder):
    for path in sorted((folder / "counts_quantasoft").glob("*.csv")):
        printed, table = formats.read_results(path, as_printed=True), formats.read_results(path)
        assert list(table) == list(printed) == list(INSTRUMENT_COLUMNS)
        for column in INSTRUMENT_COLUMNS:
            for said, value in zip(printed[column], table[column], strict=True):
                if column in INSTRUMENT_WORDS:
                    assert said == value
                else:
                    assert math.isnan(value) if said in ("", "No Call") else value == float(said)


def test_no_call_is_no_number(folder):
    path = folder / "counts_quantasoft" / "19-3581.csv"
    printed, table = formats.read_results(path, as_printed=True), formats.read_results(path)
    assert printed["Concentration"].iloc[1] == "No Call"
    assert math.isnan(table["Concentration"].iloc[1])
    assert table["SampleType"].iloc[1] == "NTC"
    assert table["Negatives"].iloc[1] == 75618


def test_quantasoft_16_is_read(folder):
    table = formats.read_results(folder / "formats" / "quantasoft_16_results.csv")
    assert table[["Well", "Channel", "Target", "Sample", "Status"]].to_numpy().tolist() == [
        ["A01", "Ch1", "t1.fw", "a1", "Manual"],
        ["B02", "Ch1", "t2.fw", "b2", "Manual"],
        ["A01", "Ch2", "t1.rev", "a1", "Manual"],
        ["B02", "Ch2", "t2.rev", "b2", "Manual"],
    ]
    other = formats.read_results(folder / "formats" / "quantasoft_174_trailing_comma.csv")
    pd.testing.assert_frame_equal(table, other)


def test_qx_manager_results_are_read(folder):
    table = formats.read_results(folder / "counts_quantasoft" / "qxmanager_smn2_datatable.csv")
    assert len(table) == 12
    first = table.iloc[0]
    assert first[["Well", "Channel", "Target", "Sample", "SampleType", "TargetType", "Status"]].tolist() == [
        *("A01", "Ch1", "1", "SMN2 Control 2 copies", "PosCtrl", "Unknown", "OK")
    ]
    assert first[["Positives", "Negatives", "AcceptedDroplets"]].tolist() == [10940, 9546, 20486]
    assert first[["Linkage", "CNV", "ReferenceCopies", "Ratio"]].tolist() == [
        *(13.280726377593, 1.97360336780548, 2, 0.986801694358231)
    ]
    assert first[["Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-"]].tolist() == [5944, 4996, 5093, 4453]
    assert table.iloc[1][["Channel", "TargetType"]].tolist() == ["Ch2", "Reference"]


def test_qx_manager_results_with_semicolons(folder, tmp_path):
    import csv

    path = folder / "counts_quantasoft" / "qxmanager_smn2_datatable.csv"
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    other = tmp_path / "table.csv"
    body = [[value.replace(".", ",") for value in line] for line in lines[1:]]
    with other.open("w", newline="", encoding="cp1252") as file:
        csv.writer(file, delimiter=";").writerows([lines[0], *body])
    pd.testing.assert_frame_equal(formats.read_results(other), formats.read_results(path))


def test_clusters_of_a_qx600_become_counts(folder):
    path = folder / "formats" / "qx600_cluster_data_q4ddpcr.csv"
    clusters, table = formats.read_clusters(path), formats.read_results(path)
    assert clusters.shape == (446, 19)
    assert clusters.iloc[0, :6].tolist() == ["A01", 0, 0, 0, 0, 15222]
    assert clusters.iloc[1][["Ch1 Mean", "Ch6 StdDev"]].tolist() == [3855.17108154297, 32.5842787645896]
    for well, name in (("A01", "Target 1"), ("H05", "Target 2"), ("B07", "Target 4")):
        here = clusters[clusters["Well"] == well]
        row = table[(table["Well"] == well) & (table["Target"] == name)].iloc[0]
        assert row["Positives"] == here.loc[here[name] == 1, "Count"].sum()
        assert row["Negatives"] == here.loc[here[name] == 0, "Count"].sum()
        assert row["AcceptedDroplets"] == here["Count"].sum()
    h05 = table[table["Well"] == "H05"]
    assert h05["Target"].tolist() == ["Target 1", "Target 2"]
    assert h05["Positives"].tolist() == [236 + 665, 205 + 665]
    assert h05["Negatives"].tolist() == [18002 + 205, 18002 + 236]


def test_unclassified_clusters_are_neither(tmp_path):
    path = tmp_path / "clusters.csv"
    path.write_text("Well,T1,Count,Ch1 Mean,Ch1 StdDev,Cluster ID,\nA01,0,90,1,1,1,\nA01,1,7,2,1,2,\nA01,u,3,3,1,3,\n")
    row = formats.read_results(path).iloc[0]
    assert row[["Positives", "Negatives", "AcceptedDroplets"]].tolist() == [7, 90, 100]
    assert formats.read_clusters(path)["T1"].tolist() == [0, 1, -1]


def test_a_users_sheets_are_read(folder):
    table = formats.read_results(folder / "dpcp_dilution" / "Template_sampleTable.csv")
    assert len(table) == 33
    first = table[table["Well"] == "A01"][["Channel", "Target", "Sample"]].to_numpy().tolist()
    assert sorted(first) == [["", "NAGK", "10 ng"], ["Ch1", "TBP", "10 ng"], ["Ch2", "RPPH1", "10 ng"]]
    assert set(table[table["SampleType"] == "NTC"]["Well"]) == {"F04"}
    layout = formats.read_results(folder / "definetherain_albumin" / "plate_layout.csv")
    assert layout["Sample"].value_counts().to_dict() == {
        **dict.fromkeys(["10e0", "10e1", "10e2", "10e3", "10e4", "10e5"], 4),
        "Neg": 4,
    }
    assert set(layout[layout["SampleType"] == "NTC"]["Sample"]) == {"Neg"}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("NTC", "", "NTC"),
        ("ntc 3", "Unknown", "NTC"),
        ("NTC_plasma", "", "NTC"),
        ("No template control", "Unknown", "NTC"),
        ("no-template", "", "NTC"),
        ("H2O", "Unknown", "NTC"),
        ("water", "", "NTC"),
        ("Blank 2", "", "NTC"),
        ("neg", "", "NTC"),
        ("Negative control 1", "", "NTC"),
        ("tumour", "NTC", "NTC"),
        ("tumour", "NegCtrl", "NTC"),
        ("tumour", "Neg Ctrl", "NTC"),
        ("tumour", "Pos Ctrl", "PosCtrl"),
        ("tumour", "", "Unknown"),
        ("waterfall lake 3", "", "Unknown"),
        ("H2O2 treated", "", "Unknown"),
        ("Negev soil", "", "Unknown"),
        ("NTCP gene", "", "Unknown"),
        ("blanket", "", "Unknown"),
        ("", "", "Unknown"),
    ],
)
def test_controls_are_known_by_type_or_name(name, kind, expected):
    assert sheets.sample_type({"Sample": name, "SampleType": kind}) == expected


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [
        ("Well,Sample,Target", "A1,x,VIM", [("", "VIM")]),
        ("Well,Sample,Target,Channel", "A1,x,VIM,2", [("Ch2", "VIM")]),
        ("well id,sample name,Ch1 target,Ch2 target", "A1,x,VIM,ACT", [("Ch1", "VIM"), ("Ch2", "ACT")]),
        ("Well,Name,Target,Dye", "A1,x,VIM,HEX", [("Ch2", "VIM")]),
        ("Well,Sample,FAM target,HEX target", "A1,x,NA,ACT", [("Ch2", "ACT")]),
        ("Well,Sample", "A1,x", [("", "")]),
    ],
)
def test_targets_of_sample_sheets(names, values, expected, tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text(f"{names}\n{values}\n")
    table = formats.read_results(path)
    assert list(zip(table["Channel"], table["Target"], strict=True)) == expected
    assert set(table["Sample"]) == {"x"}
    assert set(table["Well"]) == {"A01"}


def test_words_that_are_no_sheet_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("time,value\n1,2\n")
    with pytest.raises(FormatError, match=r"table.csv must be a sheet of results or samples.*it has time, value"):
        formats.read_results(path)
    with pytest.raises(FormatError, match="must hold clusters of a QX600"):
        formats.read_clusters(path)
    with pytest.raises(FormatError, match="cannot be opened: No such file"):
        formats.read_results(tmp_path / "nowhere.csv")


def test_excel_without_openpyxl_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "")
    with pytest.raises(FormatError, match="Excel files need openpyxl: python -m pip install openpyxl"):
        formats.read_results(tmp_path / "table.xlsx")


def test_excel_sheets_are_read(folder, tmp_path):
    pytest.importorskip("openpyxl")
    path = folder / "counts_quantasoft" / "qxmanager_smn2_datatable.csv"
    pd.read_csv(path).to_excel(tmp_path / "table.xlsx", index=False)
    pd.testing.assert_frame_equal(formats.read_results(tmp_path / "table.xlsx"), formats.read_results(path))
    (tmp_path / "table.xlsx").write_bytes(b"no workbook")
    with pytest.raises(FormatError, match="must be an Excel workbook"):
        formats.read_results(tmp_path / "table.xlsx")


# --- written by ourselves --------------------------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=FINITE),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read_back(tmp_path_factory, amplitudes, seed):
    rng = np.random.default_rng(seed)
    cluster, chance = rng.integers(0, 5, len(amplitudes)), rng.random(len(amplitudes))
    path = tmp_path_factory.mktemp("written") / "Run_A01_Amplitude.csv"
    formats.write_quantasoft(path, amplitudes, cluster, {"P(Ch1+)": chance, "P(Ch2+)": 1 - chance})
    well = well_of(path)
    np.testing.assert_array_equal(well.amplitudes, amplitudes)
    np.testing.assert_array_equal(well.frame()["Cluster"], cluster)
    written = pd.read_csv(path)
    assert list(written) == ["Ch1 Amplitude", "Ch2 Amplitude", "Cluster", "P(Ch1+)", "P(Ch2+)"]
    np.testing.assert_allclose(written["P(Ch1+)"], chance, rtol=1e-5)


@pytest.mark.parametrize("channels", [("Ch1",), ("Ch2",), ("Ch2", "Ch1"), ("Ch1", "Ch2", "Ch3")])
def test_channels_keep_their_names_when_written(channels, tmp_path):
    amplitudes = np.random.default_rng(2).random((MANY, len(channels)))
    path = tmp_path / "Run_A01_Amplitude.csv"
    formats.write_quantasoft(path, amplitudes, np.ones(MANY), channels=channels)
    well = well_of(path)
    assert well.channels == tuple(sorted(channels))
    np.testing.assert_array_equal(well.amplitudes, amplitudes[:, np.argsort(channels)])


def test_shapes_that_do_not_match_are_not_written(tmp_path):
    path = tmp_path / "Run_A01_Amplitude.csv"
    for cluster, further in ((np.ones(3), None), (np.ones(4), {"P(Ch1+)": np.ones(5)})):
        with pytest.raises(DataError, match="cluster and probabilities"):
            formats.write_quantasoft(path, np.ones((4, 2)), cluster, further)
    assert not path.exists()


def test_real_files_are_read_value_by_value(real_data):
    for lines in real_droplets(real_data).values():
        path = next((real_data / "ddpcr").rglob(lines.name))
        rows = path.read_text(encoding="utf-8").splitlines()[len(lines.top) :]
        expected = [[float(value) for value in row.split(",")[:2] if value] for row in rows]
        assert well_of(path).amplitudes.tolist() == expected


def test_tables_of_the_tests_hold_every_reader(real_data):
    made = [*DROPLETS.values(), *real_droplets(real_data).values(), *real_sheets(real_data).values()]
    known = {formats.recognise(text._split(lines.top[-1], ",")) for lines in made}
    assert known == {*formats.READERS}
    assert all(isinstance(lines, Lines) for lines in made)
