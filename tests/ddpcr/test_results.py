"""The table of results: the instrument's columns in its order, and numbers that hang together."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from mixsci.ddpcr.concentrations import concentration, rate_interval
from mixsci.ddpcr.merge import merge_rates, merge_wells
from mixsci.ddpcr.plate import Well
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.ratios import copy_number, fractional_abundance, linkage, rate_correlation, ratio
from mixsci.ddpcr.results import OURS, QUANTASOFT, merged_rows, table
from mixsci.errors import DataError
from tests.ddpcr.plates import VOLUME_UL, by_target, one_probe, one_target, plate_of, two_targets
from tests.ddpcr.printed import rows as printed_rows

CELLS = ["Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-"]
ENDS = ["Concentration", "PoissonConfMin", "PoissonConfMax"]
both = pytest.mark.parametrize("quantified", [one_target, two_targets])


@cache
def anew(quantified, **changes):
    """The rows of the wells under other settings, from the same fit."""
    _, q = quantified()
    return table(q.plate, q.assays, replace(q.settings, **changes))


def wells_of(q):
    return by_target(q.results[~q.results["Well"].str.startswith("M")])


# --- columns ---------------------------------------------------------------------------------------------------------


def test_columns_are_those_of_quantasoft_in_its_order(real_data):
    header = list(printed_rows(real_data / "ddpcr" / "podcall_vim_4plex" / "quantasoft_results.csv")[0])
    assert list(QUANTASOFT) == [name for name in header if name]
    header = list(printed_rows(real_data / "ddpcr" / "counts_quantasoft" / "20-1276.csv")[0])
    assert list(QUANTASOFT) == [name for name in header if name]


@both
def test_our_columns_stand_after_those_of_the_instrument(quantified):
    _, q = quantified()
    assert list(q.results.columns) == [*QUANTASOFT, *OURS]
    assert not set(QUANTASOFT) & set(OURS)


def test_one_row_for_each_well_and_target_in_the_order_of_the_plate():
    _, q = two_targets()
    rows = wells_of(q)
    wells = [name for name in q.plate.wells for _ in range(2)]
    assert rows.index.tolist() == list(zip(wells, ["Mutant", "Wild type"] * 5, strict=True))
    assert (rows["Channel"].to_numpy() == ["Ch1", "Ch2"] * 5).all()
    assert set(rows["TargetType"]) == {"Ch1Unknown", "Ch2Unknown", "Ch1NTC", "Ch2NTC"}
    assert set(rows["Status"]) == {"OK"}
    assert rows.loc[("A01", "Mutant"), "Sample"] == "low"


# --- numbers that hang together --------------------------------------------------------------------------------------


@both
def test_counts_add_up(quantified):
    _, q = quantified()
    rows = wells_of(q)
    np.testing.assert_array_equal(rows["Positives"] + rows["Negatives"], rows["AcceptedDroplets"])
    for (well, _), row in rows.iterrows():
        assert row["AcceptedDroplets"] + row["Outliers"] == len(q.plate.wells[well])
    if quantified is two_targets:
        np.testing.assert_array_equal(rows[CELLS].sum(axis=1), rows["AcceptedDroplets"])
        first = rows.xs("Mutant", level="Target")
        second = rows.xs("Wild type", level="Target")
        np.testing.assert_array_equal(first["Positives"], first["Ch1+Ch2+"] + first["Ch1+Ch2-"])
        np.testing.assert_array_equal(second["Positives"], second["Ch1+Ch2+"] + second["Ch1-Ch2+"])


@both
def test_concentrations_are_lambda_over_the_volume(quantified):
    _, q = quantified()
    rows = wells_of(q)
    np.testing.assert_allclose(rows["Concentration"], rows["Lambda"] / VOLUME_UL, rtol=1e-9, atol=1e-5)
    np.testing.assert_allclose(rows["CopiesPer20uLWell"], 20 * rows["Concentration"], rtol=1e-12)
    assert (rows["PoissonConfMin"] <= rows["PoissonConfMin68"]).all()
    assert (rows["PoissonConfMin68"] <= rows["Concentration"]).all()
    assert (rows["Concentration"] <= rows["PoissonConfMax68"]).all()
    assert (rows["PoissonConfMax68"] < rows["PoissonConfMax"]).all()
    assert (rows["DropletVolume_nL"] == 0.85).all()


@both
def test_means_of_amplitudes_are_those_of_the_calls(quantified):
    _, q = quantified()
    rows = wells_of(q)
    for (well, target), row in rows.iterrows():
        droplets = q.droplets(well)
        droplets = droplets[droplets["Cluster"] > 0]
        x, positive = droplets[f"{row['Channel']} Amplitude"], droplets[f"P({target})"] > 0.5
        assert row["MeanAmplitudeTotal"] == pytest.approx(x.mean())
        assert row["MeanAmplitudeofNegatives"] == pytest.approx(x[~positive].mean())
        assert row["MeanAmplitudeofPositives"] == pytest.approx(x[positive].mean() if positive.any() else 0)
        assert row["MeanAmplitudeofNegatives"] < row["Threshold"]


@both
def test_limits_are_those_of_the_controls(quantified):
    _, q = quantified()
    rows = wells_of(q)
    for (_, target), row in rows.iterrows():
        blank, detected = q.lob[target].per_ul()
        assert (row["LoB"], row["LoD"]) == (blank, detected)
        assert row["AboveLoB"] == (row["Positives"] > q.lob[target].lob)


def test_without_controls_there_are_no_limits():
    x, _ = one_probe(np.random.default_rng(1), 0.3)
    q = quantify(plate_of({"A01": x}))
    assert q.lob == {}
    assert q.results[["LoB", "LoD", "AboveLoB"]].isna().all(axis=None)


@both
def test_the_instruments_own_numbers_stand_beside_ours(quantified):
    made, q = quantified()
    rows, sheet = wells_of(q), made.plate.instrument.set_index(["Well", "Target"])
    for key, row in rows.iterrows():
        assert row["PositivesInstrument"] == sheet.loc[key, "Positives"]
        assert row["ConcentrationInstrument"] == sheet.loc[key, "Concentration"]


# --- kinds of interval -----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("ci", ["instrument", "exact", "wilson"])
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_intervals_of_called_droplets(quantified, ci, level):
    rows = anew(quantified, ci=ci, level=level)
    expected = concentration(rows["Positives"], rows["AcceptedDroplets"], ci=ci, level=level)
    for column, numbers in zip(ENDS, expected, strict=True):
        np.testing.assert_allclose(rows[column], numbers, rtol=1e-12)


@both
def test_one_sigma_is_that_of_the_instrument(quantified):
    """68 %, not 68.27 %: z = 1, and 1.369 droplets where none is positive."""
    rows = anew(quantified, ci="instrument")
    expected = concentration(rows["Positives"], rows["AcceptedDroplets"], level=0.68)
    for column, numbers in zip(("PoissonConfMin68", "PoissonConfMax68"), expected[1:], strict=True):
        np.testing.assert_allclose(rows[column], numbers, rtol=1e-12)


@both
def test_profile_intervals_are_about_those_of_counting(quantified):
    """Where hardly a droplet is in doubt the profile ends where likelihood and exact intervals do."""
    _, q = quantified()
    profile, counted = wells_of(q), by_target(anew(quantified, ci="wilson"))
    width, other = (rows["PoissonConfMax"] - rows["PoissonConfMin"] for rows in (profile, counted))
    many = profile["Positives"] >= 20
    assert many.sum() >= 4
    np.testing.assert_allclose(width[many] / other[many], 1.0, atol=0.1)
    assert (width[many] > 0.97 * other[many]).all()


@both
def test_higher_levels_are_wider(quantified):
    _, q = quantified()
    wide, narrow = by_target(anew(quantified, level=0.99)), wells_of(q)
    assert (wide["PoissonConfMax"] > narrow["PoissonConfMax"]).all()
    assert (wide["PoissonConfMin"] <= narrow["PoissonConfMin"]).all()
    np.testing.assert_array_equal(wide["Concentration"], narrow["Concentration"])


def test_an_error_of_the_volume_widens():
    _, q = one_target()
    wide, narrow = by_target(anew(one_target, volume_sd_nl=0.05)), wells_of(q)
    seen = narrow["Positives"] > 20
    sides = [np.log(rows["PoissonConfMax"] / rows["Concentration"])[seen] for rows in (wide, narrow)]
    np.testing.assert_allclose(sides[0], np.hypot(sides[1], 1.959964 * 0.05 / 0.85), rtol=1e-6)


def test_volumes_that_differ_raise_lambda():
    """lambda = (P0^(-c²) - 1) / c² for volumes of a Gamma law."""
    _, q = one_target()
    plain, varied = wells_of(q), by_target(anew(one_target, droplet_cv=0.2))
    for column in ENDS:
        empty = np.exp(-plain[column] * VOLUME_UL)
        np.testing.assert_allclose(varied[column] * VOLUME_UL, (empty**-0.04 - 1) / 0.04, rtol=1e-9, atol=1e-12)


def test_the_volume_is_that_of_the_plate():
    x, positive = one_probe(np.random.default_rng(2), 0.3)
    plate = replace(plate_of({"A01": x}), droplet_volume_nl=0.5)
    row = quantify(plate, ci="exact").results.iloc[0]
    assert row["DropletVolume_nL"] == 0.5
    assert row["Concentration"] == pytest.approx(rate_interval(positive, 3000).value / 0.5e-3)


# --- two targets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ci", "method"), [("profile", "mover"), ("exact", "mover"), ("instrument", "instrument")])
def test_ratio_abundance_and_linkage_follow_from_both_targets(ci, method):
    rows = by_target(anew(two_targets, ci=ci))
    first, second = (rows.xs(target, level="Target") for target in ("Mutant", "Wild type"))
    one, other = ([part[name] for name in ENDS] for part in (first, second))
    cells = [first[name] for name in CELLS]
    shared = rate_correlation(*cells) if method == "mover" else 0.0
    for name, verb in (("Ratio", ratio), ("FractionalAbundance", fractional_abundance)):
        expected = verb(one, other, method=method, correlation=shared)
        columns = (name, f"Poisson{name}Min", f"Poisson{name}Max")
        for column, numbers in zip(columns, expected, strict=True):
            np.testing.assert_allclose(first[column], numbers, rtol=1e-9, equal_nan=True)
            np.testing.assert_array_equal(first[column], second[column])
    linked = linkage(*cells)
    for column, numbers in zip(("Linkage", "LinkageMin", "LinkageMax"), linked, strict=True):
        np.testing.assert_allclose(first[column], numbers, rtol=1e-9)


def test_abundance_is_in_percent():
    made, q = two_targets()
    row = wells_of(q).loc[("A03", "Mutant")]
    truth = made.truth.set_index(["Well", "Target"])["Lambda"]
    share = 100 * truth["A03", "Mutant"] / (truth["A03", "Mutant"] + truth["A03", "Wild type"])
    assert row["FractionalAbundance"] == pytest.approx(100 * row["Ratio"] / (1 + row["Ratio"]))
    assert row["PoissonFractionalAbundanceMin"] < share < row["PoissonFractionalAbundanceMax"]
    assert row["PoissonFractionalAbundanceMin"] > 20


def test_copies_per_genome_stand_beside_the_reference():
    _, q = two_targets()
    rows = wells_of(q)
    for method, table_ in (("mover", rows), ("instrument", by_target(anew(two_targets, ci="instrument")))):
        first, second = (table_.xs(target, level="Target") for target in ("Mutant", "Wild type"))
        found = copy_number([first[name] for name in ENDS], [second[name] for name in ENDS], 2.0, method=method)
        for column, numbers in zip(("CNV", "PoissonCNVMin", "PoissonCNVMax"), found, strict=True):
            np.testing.assert_allclose(first[column], numbers, rtol=1e-9, equal_nan=True)
        assert second["CNV"].isna().all()
    assert (rows["ReferenceCopies"] == 2).all()
    three = by_target(anew(two_targets, ci="instrument", reference_copies=3.0))
    np.testing.assert_allclose(three["CNV"], 1.5 * table_["CNV"], equal_nan=True)


def test_one_target_has_no_ratio():
    _, q = one_target()
    assert q.results[["Ratio", "FractionalAbundance", "Linkage", "CNV", *CELLS]].isna().all(axis=None)


# --- merged wells ----------------------------------------------------------------------------------------------------


def test_wells_of_a_sample_are_merged():
    _, q = two_targets()
    merged = q.results[q.results["Well"].str.startswith("M")]
    assert merged[["Well", "Sample", "Target", "MergedWells"]].to_numpy().tolist() == [
        ["M01", "low", "Mutant", "A01,A02"],
        ["M01", "low", "Wild type", "A01,A02"],
        ["M02", "high", "Mutant", "A03,A04"],
        ["M02", "high", "Wild type", "A03,A04"],
    ]
    rows = wells_of(q)
    for row in merged.itertuples():
        own = rows.loc[[(name, row.Target) for name in row.MergedWells.split(",")]]
        ends = [own[name] * VOLUME_UL for name in ENDS]
        expected = merge_rates(*ends, own["AcceptedDroplets"])
        assert row.Concentration == pytest.approx(expected.concentration.value, rel=1e-6)
        assert row.PoissonConfMin == pytest.approx(expected.concentration.low, rel=1e-6)
        assert row.PoissonConfMax == pytest.approx(expected.concentration.high, rel=1e-6)
        assert row.TotalConfMin == pytest.approx(expected.total.low, rel=1e-6)
        assert row.TotalConfMax == pytest.approx(expected.total.high, rel=1e-6)
        assert row.Positives == own["Positives"].sum()
        assert row.AcceptedDroplets == own["AcceptedDroplets"].sum()
        assert row.TotalConfMin <= row.PoissonConfMin <= row.Concentration <= row.PoissonConfMax <= row.TotalConfMax
        # Merged wells are known better than each alone.
        width = own["PoissonConfMax"] - own["PoissonConfMin"]
        assert row.PoissonConfMax - row.PoissonConfMin < 0.8 * width.max()


@pytest.mark.parametrize(("ci", "scatter"), [("instrument", "instrument"), ("exact", "moments")])
def test_called_droplets_are_merged_by_adding_them(ci, scatter):
    _, q = two_targets()
    settings = replace(q.settings, ci=ci)
    rows = anew(two_targets, ci=ci)
    merged = merged_rows(rows, q.assays, settings, {"A01": "x", "A02": "x", "A03": "x", "A05": "alone"})
    made = merged[len(rows) :]
    pd.testing.assert_frame_equal(merged[: len(rows)], rows, check_dtype=False)
    assert made["MergedWells"].tolist() == ["A01,A02,A03"] * 2
    for row in made.itertuples():
        own = rows[rows["Well"].isin(["A01", "A02", "A03"]) & (rows["Target"] == row.Target)]
        expected = merge_wells(own["Positives"], own["AcceptedDroplets"], ci=ci, scatter=scatter)
        found = [row.Concentration, row.PoissonConfMin, row.PoissonConfMax, row.TotalConfMin, row.TotalConfMax]
        np.testing.assert_allclose(found, [*expected.concentration, *expected.total[1:]], rtol=1e-9)


def test_ratio_of_merged_wells_is_that_of_their_droplets():
    _, q = two_targets()
    for row in q.results[q.results["MergedWells"] != ""].itertuples():
        own = wells_of(q).loc[[(name, "Mutant") for name in row.MergedWells.split(",")]]
        cells = [own[name].sum() for name in CELLS]
        assert row.Ratio == pytest.approx(-np.log1p(-(cells[0] + cells[1]) / sum(cells)) / (
            -np.log1p(-(cells[0] + cells[2]) / sum(cells))
        ), rel=0.05)  # fmt: skip
        assert row.FractionalAbundance == pytest.approx(100 * row.Ratio / (1 + row.Ratio))
        assert row.PoissonRatioMin < row.Ratio < row.PoissonRatioMax
        width = own["PoissonRatioMax"] - own["PoissonRatioMin"]
        assert row.PoissonRatioMax - row.PoissonRatioMin < 0.8 * width.max()
        linked = linkage(*cells)
        assert row.Linkage == pytest.approx(float(linked.value))


def test_wells_without_a_negative_droplet_are_merged_too():
    rng = np.random.default_rng(4)
    drawn = {
        name: one_probe(rng, rate)[0] for name, rate in zip(("A01", "A02", "A03", "A04"), (50, 50, 0, 0.3), strict=True)
    }
    q = quantify(plate_of(drawn, kinds={"A03": "NTC"}), merge={"A01": "full", "a02": "full"})
    row = q.results.set_index("Well").loc["M01"]
    assert row["Concentration"] == row["PoissonConfMax"] == np.inf
    # Twice the droplets of one well without a negative one among them.
    alone = q.results.set_index("Well").loc["A01", "PoissonConfMin"]
    assert alone < row["PoissonConfMin"] < alone + 1.2 * np.log(2) / VOLUME_UL


@pytest.mark.parametrize("merge", [None, {}, {"A01": "alone"}])
def test_wells_alone_are_not_merged(merge):
    _, q = two_targets()
    rows = anew(two_targets, ci="wilson")
    assert len(merged_rows(rows, q.assays, q.settings, merge)) == len(rows)


@pytest.mark.parametrize(
    ("merge", "words"), [("wells", "merge must be None"), ({"B11": "x"}, "merge names wells B11"), (3, "got 3")]
)
def test_merging_that_cannot_be_is_refused(merge, words):
    _, q = two_targets()
    with pytest.raises(DataError, match=words):
        merged_rows(anew(two_targets, ci="wilson"), q.assays, q.settings, merge)


# --- wells that cannot be quantified ---------------------------------------------------------------------------------


def test_wells_with_a_problem_have_a_row_and_a_reason():
    rng = np.random.default_rng(3)
    broken = Well("B01", np.empty((0, 0)), (), problem="x_B01_Amplitude.csv must have a header; it is empty")
    few = one_probe(rng, 0.3, n=20)[0]
    wells = {"A01": one_probe(rng, 0.3)[0], "B01": broken, "B02": one_probe(rng, 0.1)[0], "C01": few}
    q = quantify(plate_of(wells))
    assert q.results["Well"].tolist() == ["A01", "B01", "B02", "C01"]
    rows = q.results.set_index("Well")
    for well, reason in (("B01", broken.problem), ("C01", "20 droplets")):
        assert rows.loc[well, "Status"] == "No Call"
        assert "no call" in rows.loc[well, "QC"]
        assert rows.loc[well, [*ENDS, "Lambda", "Positives"]].isna().all()
        (said,) = q.qc.query("Well == @well")["Reason"]
        assert reason in said
        with pytest.raises(DataError, match=reason.replace(".", r"\.")):
            q.calls(well)
    assert rows.loc[["A01", "B02"], ENDS].notna().all(axis=None)


def test_numbers_are_finite_or_say_why():
    """Of a quantified well nothing but what does not apply is missing."""
    for quantified in (one_target, two_targets):
        _, q = quantified()
        rows = wells_of(q)
        told = [
            "Concentration",
            "PoissonConfMin",
            "PoissonConfMax",
            "Lambda",
            "LambdaSE",
            "ExpectedPositives",
            "Threshold",
        ]
        assert np.isfinite(rows[told].to_numpy(dtype=float)).all()


def test_the_file_reads_back(tmp_path):
    _, q = two_targets()
    path = q.to_csv(tmp_path / "results.csv")
    assert path == tmp_path / "results.csv"
    assert b"\r" not in path.read_bytes()
    read = pd.read_csv(path)
    assert list(read.columns) == list(q.results.columns)
    np.testing.assert_allclose(read["Concentration"], q.results["Concentration"].astype(float), rtol=1e-12)
    np.testing.assert_array_equal(read["Well"], q.results["Well"])
