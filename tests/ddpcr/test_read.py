"""Plates from folders: real ones whole, broken ones without the loss of any other well."""

import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from mixsci.ddpcr.formats import write_quantasoft
from mixsci.ddpcr.plate import INSTRUMENT_COLUMNS, PROBLEM_COLUMNS, SAMPLE_COLUMNS, Plate, Well, calls_of, clusters
from mixsci.ddpcr.read import read_plate
from mixsci.errors import DataError, FormatError
from tests.ddpcr.broken import BREAKS, DROPLETS, HEALTHY, MANY, SHEET_BREAKS, real_droplets, real_sheets

VOLUME_UL = 0.85e-3


def copies(positives, total):
    """Copies/µL of a share of positive droplets."""
    return -np.log1p(-positives / total) / VOLUME_UL


# --- real plates -----------------------------------------------------------------------------------------------------


def test_podcall_is_read_whole(real_data):
    plate = read_plate(real_data / "ddpcr" / "podcall_vim_4plex")
    sizes = {"A04": 18739, "B04": 16933, "D04": 11713, "D05": 12642, "H05": 19638}
    assert {name: len(well) for name, well in plate.wells.items()} == sizes
    assert list(plate.wells) == list(sizes)
    assert plate.problems.empty
    assert plate.droplet_volume_nl == 0.85
    for row in plate.instrument.itertuples():
        well = plate.wells[row.Well]
        positive = well.calls[:, well.channels.index(row.Channel)] == 1
        assert positive.sum() == row.Positives
        assert (~positive).sum() == row.Negatives
        assert len(well) == row.AcceptedDroplets
        # The threshold is printed rounded: only droplets within one unit of it may lie on its other side.
        amplitudes = well.amplitudes[:, well.channels.index(row.Channel)]
        assert (amplitudes[positive] > row.Threshold - 1).all()
        assert (amplitudes[~positive] < row.Threshold + 1).all()
    assert plate.samples.to_numpy().tolist()[-2:] == [
        ["H05", "Ch1", "VIM", "NTC", "NTC"],
        ["H05", "Ch2", "new4Plex", "NTC", "NTC"],
    ]
    np.testing.assert_array_equal(plate.wells["A04"].amplitudes[:2], [[939.5401, 11795.0137], [971.184143, 7867.81543]])


def test_dpcp_is_read_whole(real_data):
    plate = read_plate(real_data / "ddpcr" / "dpcp_dilution")
    assert plate.problems.empty
    assert list(plate.wells) == ["A01", "A04", "B01", "B04", "C01", "D01", "E01", "F01", "F04", "G01", "H01"]
    tbp = {"A01": 179.8, "B01": 87.0, "C01": 38.9, "D01": 18.9, "E01": 9.67, "F01": 5.12, "G01": 3.25, "H01": 1.53}
    for name, expected in {**tbp, "A04": 0.81, "B04": 0.16, "F04": 0.0}.items():
        amplitudes = plate.wells[name].amplitudes
        assert copies((amplitudes[:, 0] > 4600).sum(), len(amplitudes)) == pytest.approx(expected, abs=0.06)
    by_cluster = copies((plate.wells["A01"].calls == 1).sum(axis=0), len(plate.wells["A01"]))
    np.testing.assert_allclose(by_cluster, [180.4, 351.6], atol=0.06)
    a01 = plate.samples[plate.samples["Well"] == "A01"]
    assert a01[["Channel", "Target", "Sample"]].to_numpy().tolist() == [
        ["Ch1", "TBP", "10 ng"],
        ["Ch2", "RPPH1", "10 ng"],
        ["", "NAGK", "10 ng"],
    ]
    assert set(plate.samples.loc[plate.samples["SampleType"] == "NTC", "Well"]) == {"F04"}


def test_definetherain_is_read_whole(real_data):
    plate = read_plate(real_data / "ddpcr" / "definetherain_albumin")
    assert plate.problems.empty
    assert len(plate.wells) == 28
    assert sum(map(len, plate.wells.values())) == 349_033
    assert {well.channels for well in plate.wells.values()} == {("Ch1",)}
    sample = plate.samples.set_index("Well")["Sample"]
    found = {name: [] for name in ("10e5", "10e4", "10e3")}
    for name, well in plate.wells.items():
        found.get(sample[name], []).append(copies((well.amplitudes[:, 0] > 13800).sum(), len(well)))
    np.testing.assert_allclose(sorted(found["10e5"]), [2541, 2546, 2557, 2580], atol=0.6)
    np.testing.assert_allclose(sorted(found["10e4"]), [264, 265, 266, 278], atol=0.6)
    np.testing.assert_allclose(sorted(found["10e3"]), [39.5, 41.3, 42.9, 46.1], atol=0.06)


def test_the_folder_of_formats_is_read(real_data):
    plate = read_plate(real_data / "ddpcr" / "formats")
    assert list(plate.wells) == ["A01"]
    said = dict(zip(plate.problems["File"], plate.problems["Problem"], strict=True))
    assert "at least 50 droplets; it has 4" in said["qxmanager_header_A01_Amplitude.csv"]
    assert "names well B02, of which there are no droplets" in said["quantasoft_16_results.csv"]
    assert "and 47 more, of which there are no droplets" in said["qx600_cluster_data_q4ddpcr.csv"]
    assert len(plate.problems) == 4
    # The two QuantaSoft files say the same.
    assert len(plate.instrument) == 4 + 176


# --- ten ways to break a file ----------------------------------------------------------------------------------------

KINDS = (*DROPLETS, "podcall", "dpcp", "definetherain", "qxmanager")
SHEETS = ("QuantaSoft 1.6", "QuantaSoft 1.7.4", "merged wells", "QX Manager", "QX600", "dpcp", "definetherain")


def healthy(folder):
    """A second well, which must come to no harm."""
    write_quantasoft(folder / HEALTHY, np.arange(2.0 * MANY).reshape(MANY, 2), np.ones(MANY))


def is_unharmed(plate):
    well = plate.wells["B01"]
    np.testing.assert_array_equal(well.amplitudes, np.arange(2.0 * MANY).reshape(MANY, 2))
    return well.problem == "" and "B01" not in plate.problems["Well"].tolist()


def lines_of(kind, real_data):
    return DROPLETS.get(kind) or real_droplets(real_data)[kind]


@pytest.mark.parametrize("way", BREAKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_file_is_named_and_harms_no_other(kind, way, real_data, tmp_path):
    lines = lines_of(kind, real_data)
    do, says = BREAKS[way]
    healthy(tmp_path)
    do(lines, tmp_path)
    plate = read_plate(tmp_path)
    assert is_unharmed(plate)
    (tmp_path / lines.name).unlink()
    broken = [well for name, well in plate.wells.items() if name != "B01"]
    if says is None:
        assert plate.problems.empty
        assert len(broken) == 1
        assert len(broken[0]) == len(lines.rows)
        return
    assert len(plate.problems) == 1
    row = plate.problems.iloc[0]
    assert re.search(says, row["Problem"])
    assert lines.name.removesuffix(".csv") in row["File"]
    for well in broken:
        assert well.problem == row["Problem"]
        assert row["Well"] == well.name
    assert kind == "long table" or len(broken) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_names_are_believed(kind, real_data, tmp_path):
    lines = lines_of(kind, real_data)
    lines.write(tmp_path)
    plain = next(iter(read_plate(tmp_path).wells.values()))
    BREAKS["swapped header"][0](lines, tmp_path)
    swapped = next(iter(read_plate(tmp_path).wells.values()))
    other = {"Ch1": "Ch2", "Ch2": "Ch1"}
    assert sorted(other[name] for name in swapped.channels) == sorted(plain.channels)
    for j, name in enumerate(swapped.channels):
        np.testing.assert_array_equal(swapped.amplitudes[:, j], plain.amplitudes[:, plain.channels.index(other[name])])


@pytest.mark.parametrize("way", SHEET_BREAKS)
@pytest.mark.parametrize("kind", SHEETS)
def test_a_broken_sheet_is_named_and_harms_no_well(kind, way, real_data, tmp_path):
    lines = real_sheets(real_data)[kind]
    do, says = SHEET_BREAKS[way]
    healthy(tmp_path)
    do(lines, tmp_path)
    plate = read_plate(tmp_path)
    assert is_unharmed(plate)
    (tmp_path / lines.name).unlink()
    said = [row.Problem for row in plate.problems.itertuples() if row.File == lines.name]
    if says is None:
        assert all("of which there are no droplets" in sentence for sentence in said)
        return
    assert any(re.search(says, sentence) for sentence in said)


@given(
    st.sampled_from(sorted(DROPLETS)),
    st.lists(st.tuples(st.integers(0, 1 << 11), st.integers(0, 40), st.binary(max_size=6)), min_size=1, max_size=4),
)
def test_no_damage_to_bytes_ends_a_plate(tmp_path_factory, kind, edits):
    folder = tmp_path_factory.mktemp("damaged")
    healthy(folder)
    path = DROPLETS[kind].write(folder)
    data = path.read_bytes()
    for place, length, put in edits:
        data = data[:place] + put + data[place + length :]
    path.write_bytes(data)
    plate = read_plate(folder)
    others = [well for name, well in plate.wells.items() if name != "B01"]
    # A long table may come to name the healthy well, too.
    assert is_unharmed(plate) or "stands in Run_B01_Amplitude.csv and droplets.csv" in plate.wells["B01"].problem
    assert all(np.isfinite(well.amplitudes).all() for well in others)
    assert all(len(well) >= 50 or well.problem for well in others)


def test_ten_million_droplets_are_refused_in_little_time_and_memory(tmp_path):
    healthy(tmp_path)
    BREAKS["10 million droplets"][0](DROPLETS["QuantaSoft"], tmp_path)
    program = (
        "import sys, time, tracemalloc, pandas; from mixsci.ddpcr.read import read_plate\n"
        "begin = time.process_time(); read_plate(sys.argv[1]); seconds = time.process_time() - begin\n"
        "tracemalloc.start(); read_plate(sys.argv[1])\n"
        "print(seconds, tracemalloc.get_traced_memory()[1] / 2**20)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    (tmp_path / "Run_A01_Amplitude.csv").unlink()
    # Time of the processor, without the tracing of memory: other tests run beside this one.
    seconds, megabytes = map(float, run.stdout.split())
    assert seconds < 5
    assert megabytes < 300


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_plate_is_in_the_order_of_its_wells(tmp_path):
    for well in ("H12", "A10", "A2", "B01", "a01"):
        write_quantasoft(tmp_path / f"x_{well}_Amplitude.csv", np.ones((MANY, 2)), np.ones(MANY))
    plate = read_plate(tmp_path)
    assert list(plate.wells) == ["A01", "A02", "A10", "B01", "H12"]
    assert plate.samples["Well"].tolist() == [name for name in plate.wells for _ in range(2)]
    assert list(plate.samples) == list(SAMPLE_COLUMNS)
    assert list(plate.instrument) == list(INSTRUMENT_COLUMNS)
    assert plate.instrument.empty
    assert list(plate.problems) == list(PROBLEM_COLUMNS)
    assert set(plate.samples["Sample"]) == {""}
    assert repr(plate) == "Plate(5 wells, 300 droplets)"


def test_foreign_and_hidden_files_are_passed_over(tmp_path):
    healthy(tmp_path)
    (tmp_path / ".hidden_A01_Amplitude.csv").write_bytes(b"\x00\x01")
    (tmp_path / "._Run_A02_Amplitude.csv").write_bytes(b"\x00\x05")
    (tmp_path / "~$results.xlsx").write_bytes(b"lock")
    (tmp_path / "protocol.txt").write_text("mix and shake")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "temperatures.csv").write_text("time,celsius\n1,60\n")
    (tmp_path / "older_C01_Amplitude.csv").mkdir()
    plate = read_plate(tmp_path)
    assert list(plate.wells) == ["B01"]
    assert plate.problems.empty


def test_a_file_of_droplets_without_a_well_is_named(tmp_path):
    healthy(tmp_path)
    DROPLETS["QuantaSoft"].write(tmp_path, "Run_Amplitude.csv")
    (tmp_path / "Other_Amplitude.csv").write_text("a,b\n1,2\n")
    plate = read_plate(tmp_path)
    assert list(plate.wells) == ["B01"]
    assert plate.problems["Well"].tolist() == ["", ""]
    assert plate.problems["File"].tolist() == ["Other_Amplitude.csv", "Run_Amplitude.csv"]
    assert "must have columns such as Ch1 Amplitude" in plate.problems["Problem"][0]
    assert "it has a, b" in plate.problems["Problem"][0]
    assert "must be named after its well" in plate.problems["Problem"][1]


def test_files_may_be_named_one_by_one(tmp_path):
    healthy(tmp_path)
    for well in ("A01", "A02", "A03"):
        DROPLETS["QuantaSoft"].write(tmp_path, f"x_{well}_Amplitude.csv")
    files = [tmp_path / f"x_{well}_Amplitude.csv" for well in ("A03", "A01")]
    assert list(read_plate(files).wells) == ["A01", "A03"]
    assert list(read_plate(str(files[0])).wells) == ["A03"]
    plate = read_plate([*files, tmp_path / "x_A09_Amplitude.csv"])
    assert list(plate.wells) == ["A01", "A03", "A09"]
    assert plate.wells["A09"].problem == "x_A09_Amplitude.csv cannot be opened: No such file or directory"


def test_folders_without_droplets_are_refused(tmp_path):
    with pytest.raises(FormatError, match="nowhere must be a folder of amplitude files; there is none"):
        read_plate(tmp_path / "nowhere")
    with pytest.raises(FormatError, match=r"it holds no file ending in \.csv"):
        read_plate(tmp_path)
    (tmp_path / "samples.csv").write_text("Well,Sample\nA01,x\n")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match=r"it holds notes.csv \(not known\), samples.csv \(sample sheet\): export"):
        read_plate(tmp_path)
    with pytest.raises(FormatError, match="the list of files must hold files of droplets"):
        read_plate([])


@pytest.mark.parametrize("volume", [0, -1, np.nan, np.inf, "big", None])
def test_the_volume_is_positive(volume, tmp_path):
    healthy(tmp_path)
    with pytest.raises(DataError, match="droplet_volume_nl must be a volume in nL above 0"):
        read_plate(tmp_path, volume)


def test_a_plate_of_bad_wells_is_still_a_plate(tmp_path):
    (tmp_path / "x_A01_Amplitude.csv").write_bytes(b"")
    plate = read_plate(tmp_path)
    assert plate.wells["A01"].problem == "x_A01_Amplitude.csv is empty: export it again"
    assert plate.samples.to_numpy().tolist() == [["A01", "", "", "", ""]]
    assert repr(plate) == "Plate(1 wells, 0 droplets, 1 unusable)"


def test_few_droplets_stay_with_their_problem(tmp_path):
    for n in (49, 50):
        write_quantasoft(tmp_path / "x_A01_Amplitude.csv", np.ones((n, 2)), np.ones(n))
        well = read_plate(tmp_path).wells["A01"]
        assert len(well) == n
        assert bool(well.problem) == (n == 49)


def test_columns_are_mapped_for_the_whole_folder(tmp_path):
    rows = [f"{well},{i},{i + 0.5}" for well in ("A01", "A02") for i in range(MANY)]
    (tmp_path / "one.csv").write_text("\n".join(["pos,blue,red", *rows]))
    (tmp_path / "samples.csv").write_text("Well,Sample\nA01,x\nA02,NTC\n")
    plate = read_plate(tmp_path, columns={"well": "pos", "Ch1": "blue", "Ch2": "red"})
    assert {name: len(well) for name, well in plate.wells.items()} == {"A01": MANY, "A02": MANY}
    assert plate.samples["SampleType"].tolist() == ["Unknown", "Unknown", "NTC", "NTC"]
    (tmp_path / "two.csv").write_text("pos|blue|red\nB01|1|2\n")
    plate = read_plate(tmp_path, columns={"well": "pos", "Ch1": "blue", "Ch2": "red"})
    assert plate.problems["File"].tolist() == ["two.csv"]
    with pytest.raises(DataError, match="columns must map"):
        read_plate(tmp_path, columns={"FAM": "blue"})


def test_files_of_single_channels_beside_all_channels_are_passed_over(tmp_path):
    lines = DROPLETS["Stilla"]
    lines.write(tmp_path)
    lines.write(tmp_path, "Run_A01_Channel1_RawData.csv")
    plate = read_plate(tmp_path)
    assert plate.problems.empty
    assert len(plate.wells["A01"]) == MANY


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    for j in range(1, 13):
        write_quantasoft(tmp_path / f"x_A{j:02d}_Amplitude.csv", rng.random((MANY, 2)), rng.integers(0, 5, MANY))
    many = read_plate(tmp_path)
    monkeypatch.setattr("mixsci.ddpcr.read._MOST_THREADS", 1)
    one = read_plate(tmp_path)
    assert list(many.wells) == list(one.wells)
    for name in many.wells:
        pd.testing.assert_frame_equal(many.droplets(name), one.droplets(name))


# --- samples ---------------------------------------------------------------------------------------------------------


def three_wells(folder):
    for well in ("A01", "A02", "A03"):
        write_quantasoft(folder / f"x_{well}_Amplitude.csv", np.ones((MANY, 2)), np.ones(MANY))


def test_sheets_are_merged(tmp_path):
    three_wells(tmp_path)
    (tmp_path / "results.csv").write_text(
        "Well,Sample,TargetType,Target,CopiesPer20uLWell,Concentration\n"
        "A01,,Ch1Unknown,VIM,20,1\nA01,,Ch2Reference,ACT,40,2\nA02,,Ch1NTC,VIM,0,0\nA02,,Ch2NTC,ACT,0,0\n"
    )
    (tmp_path / "samples.csv").write_text("Well,Sample\nA01,tumour\nA02,buffer\nA03,water\n")
    plate = read_plate(tmp_path)
    assert plate.samples.to_numpy().tolist() == [
        ["A01", "Ch1", "VIM", "tumour", "Unknown"],
        ["A01", "Ch2", "ACT", "tumour", "Unknown"],
        ["A02", "Ch1", "VIM", "buffer", "NTC"],
        ["A02", "Ch2", "ACT", "buffer", "NTC"],
        ["A03", "Ch1", "", "water", "NTC"],
        ["A03", "Ch2", "", "water", "NTC"],
    ]
    assert plate.instrument["Concentration"].tolist() == [1, 2, 0, 0]
    assert plate.problems.empty


def test_a_sheet_that_is_given_has_precedence(tmp_path):
    three_wells(tmp_path)
    (tmp_path / "samples.csv").write_text("Well,Sample\nA01,old\nA02,old\n")
    own = pd.DataFrame(
        {"Well": ["A1", "A3"], "Sample": ["new", "NTC"], "Ch2 target": ["VIM", None], "Age": [3.5, np.nan]}
    )
    own.to_csv(tmp_path.parent / "own.csv", index=False)
    for sheet in (own, tmp_path.parent / "own.csv"):
        plate = read_plate(tmp_path, samples=sheet)
        assert plate.samples.to_numpy().tolist() == [
            ["A01", "Ch1", "", "new", "Unknown"],
            ["A01", "Ch2", "VIM", "new", "Unknown"],
            ["A02", "Ch1", "", "old", "Unknown"],
            ["A02", "Ch2", "", "old", "Unknown"],
            ["A03", "Ch1", "", "NTC", "NTC"],
            ["A03", "Ch2", "", "NTC", "NTC"],
        ]


def test_a_sheet_that_is_given_must_be_one(tmp_path):
    three_wells(tmp_path)
    with pytest.raises(FormatError, match="cannot be opened"):
        read_plate(tmp_path, samples=tmp_path / "nowhere.csv")
    with pytest.raises(FormatError, match="must have columns of wells and samples"):
        read_plate(tmp_path, samples=tmp_path / "x_A01_Amplitude.csv")
    with pytest.raises(DataError, match=r"samples must be a file or a table .* got int"):
        read_plate(tmp_path, samples=7)
    with pytest.raises(FormatError, match="samples must have columns such as Well and Sample; it has a, b"):
        read_plate(tmp_path, samples=pd.DataFrame({"a": [1], "b": [2]}))


def test_wells_of_sheets_and_files_that_do_not_match_are_named_once(tmp_path):
    three_wells(tmp_path)
    rows = [f"{row}{column:02d},s" for row in "BCDEFGH" for column in range(1, 13)]
    (tmp_path / "samples.csv").write_text("\n".join(["Well,Sample", "A01,x", *rows]))
    plate = read_plate(tmp_path)
    assert plate.problems["File"].tolist() == ["samples.csv", ""]
    few = "B01, B02, B03, B04, B05, B06, B07, B08 and 76 more"
    assert plate.problems["Problem"].tolist() == [
        f"samples.csv names wells {few}, of which there are no droplets",
        "no sheet names wells A02, A03: their samples are not known",
    ]


def test_merged_wells_name_the_samples_of_theirs(tmp_path):
    three_wells(tmp_path)
    (tmp_path / "results.csv").write_text(
        "Well,Sample,TargetType,Target,CopiesPer20uLWell,Concentration,MergedWells\n"
        'M01,tumour,Ch1Unknown,VIM,20,1,"(A01,A02)"\nA02,plasma,Ch1Unknown,VIM,20,1,\nA03,NTC,Ch1Unknown,VIM,0,0,\n'
    )
    plate = read_plate(tmp_path)
    assert plate.samples["Sample"].tolist() == ["tumour", "tumour", "plasma", "plasma", "NTC", "NTC"]
    assert plate.instrument["Well"].tolist() == ["M01", "A02", "A03"]
    assert plate.problems.empty


def test_our_own_results_are_not_those_of_the_instrument(tmp_path):
    three_wells(tmp_path)
    (tmp_path / "results.csv").write_text(
        "Well,Sample,TargetType,Target,CopiesPer20uLWell,Concentration,LambdaSE\nA01,tumour,Ch1Unknown,VIM,20,1,0.1\n"
    )
    plate = read_plate(tmp_path)
    assert plate.instrument.empty
    assert plate.samples.iloc[0].tolist() == ["A01", "Ch1", "VIM", "tumour", "Unknown"]


def test_several_targets_in_one_channel_are_several_rows(tmp_path):
    three_wells(tmp_path)
    (tmp_path / "results.csv").write_text(
        "Well,Sample description 1,Sample description 2,Target,Conc(copies/µL),DyeName(s),SampleType\n"
        "A01,a,day 2,VIM,1,FAM,Unknown\nA01,a,day 2,ACT,1,FAM,Unknown\nA01,a,day 2,RPP,1,HEX,Unknown\n",
        encoding="utf-8",
    )
    here = read_plate(tmp_path).samples.query("Well == 'A01'")
    assert here[["Channel", "Target"]].to_numpy().tolist() == [["Ch1", "VIM"], ["Ch1", "ACT"], ["Ch2", "RPP"]]
    assert set(here["Sample"]) == {"a, day 2"}


# --- values ----------------------------------------------------------------------------------------------------------


def test_an_unknown_well_is_named(tmp_path):
    healthy(tmp_path)
    plate = read_plate(tmp_path)
    assert len(plate.droplets("b1")) == MANY
    with pytest.raises(DataError, match="the plate has no well A01; it has B01"):
        plate.droplets("A01")
    with pytest.raises(DataError, match="a well must be a row A to P"):
        plate.droplets("Z99")


def test_shapes_of_a_well_are_checked():
    with pytest.raises(DataError, match=r"amplitudes must have shape \(n, 2\); got \(3, 1\)"):
        Well("A01", np.ones((3, 1)), ("Ch1", "Ch2"))
    with pytest.raises(DataError, match="calls must have the shape of the amplitudes"):
        Well("A01", np.ones((3, 2)), ("Ch1", "Ch2"), np.ones((3, 1)))


def test_codes_and_calls_say_the_same():
    codes = np.array([0, 1, 2, 3, 4])
    np.testing.assert_array_equal(calls_of(codes, ("Ch1", "Ch2")), [[-1, -1], [0, 0], [1, 0], [1, 1], [0, 1]])
    np.testing.assert_array_equal(clusters(calls_of(codes, ("Ch1", "Ch2")), ("Ch1", "Ch2")), codes)
    np.testing.assert_array_equal(clusters(calls_of(codes, ("Ch2", "Ch1")), ("Ch2", "Ch1")), codes)


def test_calls_beyond_two_channels_have_columns_of_their_own():
    well = Well("A01", np.ones((2, 3)), ("Ch1", "Ch2", "Ch3"), [[1, 0, -1], [0, 0, 1]])
    assert well.frame().iloc[0].tolist() == [1, 1, 1, 1, 0, -1]
    assert list(well.frame())[3:] == ["Ch1 Call", "Ch2 Call", "Ch3 Call"]


def test_a_plate_is_read_and_written_fast(tmp_path):
    """Ten wells of 16,000 droplets and two channels; time of the processor, which other programs do not share."""
    rng = np.random.default_rng(4)
    amplitudes, codes = rng.lognormal(8, 0.5, (16_000, 2)).round(4), rng.integers(1, 5, 16_000)
    read_times, write_times = [], []
    for _ in range(3):
        begin = time.process_time()
        for j in range(1, 11):
            write_quantasoft(tmp_path / f"x_A{j:02d}_Amplitude.csv", amplitudes, codes, {"P(Ch1+)": amplitudes[:, 0]})
        write_times.append(time.process_time() - begin)
        begin = time.process_time()
        plate = read_plate(tmp_path)
        read_times.append(time.process_time() - begin)
    assert isinstance(plate, Plate)
    assert min(read_times) < 0.4
    assert min(write_times) < 0.8
