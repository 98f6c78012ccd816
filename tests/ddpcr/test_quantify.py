"""From a plate to concentrations: laws that hold whatever the plate, and the plates that users have."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixsci.ddpcr.concentrations import rate_interval
from mixsci.ddpcr.plate import Well
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate
from mixsci.errors import DataError
from tests.ddpcr.plates import (
    NUMBERS,
    VOLUME_UL,
    by_target,
    one_probe,
    one_target,
    plate_of,
    two_targets,
    with_droplets,
)

both = pytest.mark.parametrize("quantified", [one_target, two_targets])


def same(one, other, *, rtol, atol=1e-12):
    """Whether two tables have the same numbers."""
    one, other = by_target(one), by_target(other)
    assert one.index.sort_values().equals(other.index.sort_values())
    left, right = (table[NUMBERS].to_numpy(dtype=float) for table in (one, other.loc[one.index]))
    np.testing.assert_allclose(right, left, rtol=rtol, atol=atol)


def anew(quantified, plate, **options):
    """Results of a plate with the settings of one that was quantified."""
    _, q = quantified()
    merge = "Sample" if quantified is two_targets else None
    return quantify(plate, merge=merge, reference=q.settings.reference, **options).results


def wells(seed, *rates, n=3000):
    """Droplets of one probe in A01, A02 ..., and how many of them are positive."""
    rng = np.random.default_rng(seed)
    drawn = {f"A{i + 1:02d}": one_probe(rng, rate, n) for i, rate in enumerate(rates)}
    return {name: x for name, (x, _) in drawn.items()}, {name: k for name, (_, k) in drawn.items()}


def right(q, positives, n=3000):
    """Every well has the lambda of its count, and an interval about as wide as that of counting."""
    rows = q.results.set_index("Well")
    for well, k in positives.items():
        row, counted = rows.loc[well], rate_interval(k, n, "exact")
        assert row["Lambda"] == pytest.approx(-np.log1p(-k / n), rel=5e-3, abs=1.5e-5), well
        assert abs(row["Positives"] - k) <= 1
        assert row["PoissonConfMin"] * VOLUME_UL >= 0.8 * counted.low - 1e-9
        assert row["PoissonConfMax"] * VOLUME_UL <= 1.1 * counted.high


def flags_of(q, well):
    return set(q.qc[q.qc["Well"] == well]["Flag"]) - {"few droplets"}


# --- laws ------------------------------------------------------------------------------------------------------------


@both
def test_truth_is_found(quantified):
    made, q = quantified()
    rows = by_target(q.results[~q.results["Well"].str.startswith("M")])
    truth = made.truth.set_index(["Well", "Target"])
    z = (rows["Lambda"] - truth["Lambda"]) / rows["LambdaSE"]
    assert z.abs().max() < 3.5
    controls = truth["Lambda"] == 0
    assert (rows[controls]["Positives"] <= 1).all()
    assert (rows[controls]["PoissonConfMin"] == 0).all()


@both
@pytest.mark.parametrize("processors", [1, 2])
def test_the_same_plate_gives_the_same_numbers_on_any_number_of_threads(quantified, processors, monkeypatch):
    made, q = quantified()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    pd.testing.assert_frame_equal(anew(quantified, made.plate), q.results)


@both
def test_order_of_droplets_changes_nothing(quantified):
    made, q = quantified()
    rng = np.random.default_rng(0)
    shuffled = with_droplets(replace(made.plate, wells=without_calls(made.plate)), rng.permutation)
    same(q.results, anew(quantified, shuffled), rtol=1e-9)


def without_calls(plate):
    return {name: replace(well, calls=None) for name, well in plate.wells.items()}


@both
def test_unit_of_the_amplitudes_changes_nothing(quantified):
    made, q = quantified()
    other = anew(quantified, with_droplets(made.plate, lambda x: 3.0 * x + 100.0))
    same(q.results, other, rtol=1e-6)
    for column in ("Threshold", "MeanAmplitudeofNegatives", "MeanAmplitudeTotal"):
        np.testing.assert_allclose(other[column], 3.0 * q.results[column] + 100.0, rtol=1e-6)


@both
def test_places_of_wells_change_nothing(quantified):
    made, q = quantified()
    names = list(made.plate.wells)
    moved = dict(zip(names, names[::-1], strict=True))
    plate = replace(
        made.plate,
        wells={name: replace(made.plate.wells[moved[name]], name=name) for name in names},
        samples=made.plate.samples.assign(Well=made.plate.samples["Well"].map(moved)),
        instrument=made.plate.instrument.assign(Well=made.plate.instrument["Well"].map(moved)),
    )
    found = anew(quantified, plate)
    found = found[~found["Well"].str.startswith("M")]
    same(q.results[~q.results["Well"].str.startswith("M")], found.assign(Well=found["Well"].map(moved)), rtol=1e-9)


def test_channels_in_another_order_give_the_same_numbers():
    made, q = two_targets()
    wells_ = {
        name: replace(well, amplitudes=well.amplitudes[:, ::-1], calls=well.calls[:, ::-1])
        for name, well in made.plate.wells.items()
    }
    swapped = {"Ch1": "Ch2", "Ch2": "Ch1"}
    tables = {
        name: table.assign(Channel=table["Channel"].map(swapped))
        for name, table in (("samples", made.plate.samples), ("instrument", made.plate.instrument))
    }
    found = by_target(quantify(replace(made.plate, wells=wells_, **tables)).results)
    rows = by_target(q.results[~q.results["Well"].str.startswith("M")])
    assert (rows["Channel"].map(swapped) == found.loc[rows.index, "Channel"]).all()
    error = np.maximum(rows["LambdaSE"], 1e-5)
    assert ((rows["Lambda"] - found.loc[rows.index, "Lambda"]).abs() < 0.02 * error).all()


def test_wells_of_another_assay_change_nothing():
    x, _ = wells(1, 0.3, 0.0)
    y = {f"B{name[1:]}": 0.4 * well + 3000 for name, well in wells(2, 0.5, 0.0)[0].items()}
    targets = dict.fromkeys(x, ("X",)) | dict.fromkeys(y, ("Y",))
    kinds = {"A02": "NTC", "B02": "NTC"}
    q = quantify(plate_of(x | y, targets=targets, kinds=kinds))
    assert [assay.name for assay in q.assays] == ["X", "Y"]
    assert sorted(q.lob) == ["X", "Y"]
    for part in (x, y):
        alone = quantify(plate_of(part, targets=targets, kinds=kinds))
        same(alone.results, q.results[q.results["Well"].isin(part)], rtol=1e-12)
    with pytest.raises(DataError, match=r"has 2 assays: take the fit of one, q\.assays\[0\]\.fit\.fit"):
        _ = q.plate_fit


# --- plates as users have them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.003, 0.3, 3.0])
def test_a_plate_of_one_well(rate):
    x, positives = wells(3, rate)
    right(quantify(plate_of(x)), positives)


@pytest.mark.parametrize("kinds", [{}, dict.fromkeys(("A01", "A02"), "NTC")], ids=["no controls", "only controls"])
def test_nothing_but_negatives(kinds):
    """None of them is called, the upper end is that of counting, and a flag says that no positives were seen."""
    x, positives = wells(4, 0.0, 0.0)
    q = quantify(plate_of(x, kinds=kinds))
    right(q, positives)
    for row in q.results.itertuples():
        assert row.Positives == row.Concentration == row.PoissonConfMin == 0
        assert row.PoissonConfMax * VOLUME_UL == pytest.approx(1.92 / 3000, rel=0.02)
        assert row.LambdaSE <= row.PoissonConfMax * VOLUME_UL
        assert flags_of(q, row.Well) == {"no positives on the plate"}
    assert (set(q.lob) == {"Ch1"}) == bool(kinds)


def test_wells_without_controls():
    x, positives = wells(5, 0.02, 0.3, 1.0)
    right(quantify(plate_of(x)), positives)


def test_high_wells_without_controls():
    """Most droplets of most wells are positive: the one well of few says where the negatives are."""
    x, positives = wells(6, 6.0, 0.1, 4.0)
    right(quantify(plate_of(x)), positives)


def test_saturated_wells_beside_a_control():
    x, positives = wells(7, 8.0, 8.0, 0.0)
    q = quantify(plate_of(x, kinds={"A03": "NTC"}))
    right(q, {"A03": 0})
    for well in ("A01", "A02"):
        assert flags_of(q, well) == {"saturated"}
        row = q.results.set_index("Well").loc[well]
        empty = 3000 - positives[well]
        if empty:
            assert row["Lambda"] == pytest.approx(-np.log(empty / 3000), rel=0.02)
        assert row["PoissonConfMin"] * VOLUME_UL < 8 < row["PoissonConfMax"] * VOLUME_UL


def test_wells_without_a_negative_droplet():
    """More than can be counted: infinity with a lower end, and a flag."""
    x, _ = wells(8, 50.0, 0.0)
    q = quantify(plate_of(x, kinds={"A02": "NTC"}))
    row = q.results.iloc[0]
    assert row["Concentration"] == row["PoissonConfMax"] == np.inf
    assert row["PoissonConfMin"] * VOLUME_UL == pytest.approx(-np.log(1.92 / 3000), rel=0.01)
    assert flags_of(q, "A01") == {"saturated"}
    right(q, {"A02": 0})


def test_one_saturated_population_alone_is_said_to_be_undecidable():
    """Without a control nobody can tell whether all droplets are positive or none is."""
    x, _ = wells(9, 50.0, 50.0)
    q = quantify(plate_of(x))
    assert all("no positives on the plate" in flags_of(q, well) for well in x)


@pytest.mark.parametrize("others", [0, 2])
def test_three_positives_on_the_whole_plate(others):
    x, positives = wells(10, *[0.0] * (1 + others))
    x["A01"][:3, 0] = [6000.0, 6050.0, 5920.0]
    q = quantify(plate_of(x, kinds={"A03": "NTC"} if others else {}))
    right(q, positives | {"A01": 3})
    row = q.results.iloc[0]
    assert row["PoissonConfMin"] > 0
    assert flags_of(q, "A01") == {"no positives on the plate"}


@pytest.mark.parametrize("n", [60, 200])
def test_few_droplets(n):
    x, positives = wells(11, 0.3, 0.6, n=n)
    q = quantify(plate_of(x))
    right(q, positives, n)
    assert set(q.qc["Flag"]) == {"few droplets"}


def test_wells_of_very_different_sizes():
    rng = np.random.default_rng(12)
    sizes = {"A01": 60, "A02": 20_000, "A03": 700}
    drawn = {name: one_probe(rng, 0.3, n) for name, n in sizes.items()}
    q = quantify(plate_of({name: x for name, (x, _) in drawn.items()}))
    for name, n in sizes.items():
        rows = q.results[q.results["Well"] == name]
        right(replace(q, results=rows), {name: drawn[name][1]}, n)


@pytest.mark.parametrize("n", [0, 1, 49])
def test_a_well_of_hardly_any_droplets_does_not_stop_the_plate(n):
    x, positives = wells(13, 0.3, 0.1)
    q = quantify(plate_of(x | {"A03": x["A01"][:n]}))
    right(q, positives)
    assert q.results.set_index("Well").loc["A03", "Status"] == "No Call"
    (said,) = q.qc.query("Well == 'A03'")["Reason"]
    assert f"it has {n} droplets" in said


@pytest.mark.parametrize("shift", [-5000.0, -50_000.0, 1e6])
def test_amplitudes_of_any_sign(shift):
    x, positives = wells(14, 0.3, 0.05)
    right(quantify(plate_of({name: well + shift for name, well in x.items()})), positives)


def test_identical_droplets_count_each():
    x, positives = wells(15, 0.3, 0.05)
    x["A01"] = np.repeat(x["A01"], 3, axis=0)
    q = quantify(plate_of(x))
    right(q, {"A02": positives["A02"]})
    right(q, {"A01": 3 * positives["A01"]}, 9000)


@pytest.mark.parametrize("unit", [1, 10, 30, 50, 100])
def test_rounded_amplitudes(unit):
    """Many ties: in steps of up to the noise, which is a hundred."""
    x, positives = wells(16, 0.3, 0.02, 0.0)
    q = quantify(plate_of({name: unit * np.rint(well / unit) for name, well in x.items()}, kinds={"A03": "NTC"}))
    right(q, positives)


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("gap", [0.6, 3.0])
def test_a_channel_without_any_signal(channel, gap):
    x, positives = wells(17, 0.3, 0.05, 0.0)
    rng = np.random.default_rng(18)
    pairs = {}
    for name, well in x.items():
        silent = 800 + 90 * rng.standard_normal(len(well))
        lit = 1000 + gap * (well[:, 0] - 1000) * np.where(well[:, 0] > 3500, 1.0, 1 / gap)
        pairs[name] = np.column_stack([lit, silent] if channel == 0 else [silent, lit])
    q = quantify(plate_of(pairs, kinds={"A03": "NTC"}))
    rows = by_target(q.results)
    lit, silent = (f"Ch{1 + number}" for number in (channel, 1 - channel))
    for well, k in positives.items():
        assert rows.loc[(well, lit), "Lambda"] == pytest.approx(-np.log1p(-k / 3000), rel=5e-3, abs=1e-5)
        assert rows.loc[(well, silent), "Positives"] == 0
        assert rows.loc[(well, silent), "PoissonConfMax"] < 1.0
    said = q.qc[q.qc["Flag"] == "no positives on the plate"]
    assert set(said["Target"]) == {silent}


def test_a_constant_channel_is_left_out():
    x, positives = wells(19, 0.3, 0.05)
    q = quantify(plate_of({name: np.column_stack([well, np.full(len(well), 500.0)]) for name, well in x.items()}))
    right(q, positives)
    assert q.assays[0].group.channels == ("Ch1",)


def test_nothing_but_a_constant_is_refused():
    with pytest.raises(DataError, match="amplitudes must vary; those of Ch1 are the same in all droplets"):
        quantify(plate_of({"A01": np.full((3000, 1), 1000.0), "A02": np.full((3000, 1), 1000.0)}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_amplitudes_that_are_no_numbers_are_refused(bad):
    x, _ = wells(20, 0.3)
    x["A01"][7] = bad
    with pytest.raises(DataError, match="amplitudes must be finite numbers; they are not in row 7"):
        Well("A01", x["A01"], ("Ch1",))


@pytest.mark.parametrize("far", [1e5, 1e8, 1e12, -1e5])
def test_a_droplet_far_off_spoils_nothing(far):
    x, positives = wells(21, 0.3, 0.05)
    x["A01"] = np.vstack([x["A01"], [[far]]])
    q = quantify(plate_of(x))
    right(q, positives)
    assert q.results.iloc[0]["Outliers"] == 1


def test_targets_that_are_linked_or_not_have_the_same_lambda():
    made = simulate_plate([[0.4, 0.4]], linked=0.2, n_droplets=2000, controls=0, rng=4)
    linked, single = (by_target(quantify(made.plate, law=law).results) for law in ("linked", "binary"))
    apart = (linked["Lambda"] - single["Lambda"]).abs() / single["LambdaSE"]
    assert apart.max() < 1.0
    truth = made.truth["Occupied"] / made.truth["Droplets"]
    np.testing.assert_allclose(linked["Lambda"], -np.log1p(-truth), rtol=0.02)


@pytest.mark.parametrize("law", ["multiplex:4", "poisson:3"])
def test_a_law_that_does_not_hold_is_flagged(law):
    """The droplets of one probe have no second rung: where there are many the law asked for is refuted."""
    x, _ = wells(23, 0.3, 1.0, 0.0)
    q = quantify(plate_of(x, kinds={"A03": "NTC"}), law=law)
    assert q.assays[0].law == law
    assert ["law" in flags_of(q, well) for well in x] == [True, True, False]


def test_channels_may_be_looked_at_one_by_one():
    """A channel alone shows fewer things than both together, but the same counts where nothing competes."""
    made, q = two_targets()
    alone = quantify(made.plate, channels=["Ch1"])
    rows = by_target(q.results).xs("Mutant", level="Target")
    found = by_target(alone.results).xs("Mutant", level="Target")
    assert alone.assays[0].targets == ("Mutant",)
    error = np.maximum(rows.loc[found.index, "LambdaSE"], 1e-3)
    assert ((found["Lambda"] - rows.loc[found.index, "Lambda"]).abs() < 0.5 * error).all()


# --- settings --------------------------------------------------------------------------------------------------------


def test_targets_may_be_named():
    x, _ = wells(22, 0.3, 0.1)
    q = quantify(plate_of(x), targets=["VIM"])
    assert set(q.results["Target"]) == {"VIM"}
    assert q.assays[0].targets == ("VIM",)
    assert "P(VIM)" in q.droplets("a1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ci": "wald"}, "ci must be one of profile, instrument, exact, wilson; got 'wald'"),
        ({"level": 95}, "level must be between 0 and 1, such as 0.95; got 95"),
        ({"level": 0}, "level must be between 0 and 1"),
        ({"level": "high"}, "level must be one number"),
        ({"volume_sd_nl": -1}, "volume_sd_nl must not be negative; got -1"),
        ({"droplet_cv": -0.1}, "droplet_cv must not be negative"),
        ({"reference_copies": 0}, "reference_copies must be positive; got 0"),
        ({"reference": "RPP30"}, "reference must be one of the targets Target; got 'RPP30'"),
        ({"law": "triplex"}, "law must be"),
        ({"law": "linked"}, "speaks of two channels"),
        ({"ntc": ["H12"]}, "ntc names wells H12"),
        ({"channels": ["Ch2"]}, "channels must be among those of well A01"),
        ({"targets": ["one", "two"]}, "targets must be 1 different names; got one, two"),
        ({"merge": "wells"}, "merge must be None"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options, words):
    made = simulate_plate([0.3, 0.1], n_droplets=500, controls=1, rng=5)
    with pytest.raises(DataError, match=words):
        quantify(made.plate, **options)


def test_what_is_going_on_is_told():
    told = []
    made = simulate_plate([0.3, 0.1], n_droplets=500, controls=1, rng=5)
    quantify(made.plate, progress=lambda *step: told.append(step))
    assert {"finding populations", "fitting the plate", "counting droplets"} <= {what for what, _, _ in told}
    assert all(0 <= done <= total == 3 for _, done, total in told)


@both
def test_a_quantification_answers_for_its_wells(quantified):
    made, q = quantified()
    assert q.plate is not None
    assert q.plate_fit.converged
    assert q.assay_of("a1") is q.assays[0]
    assert set(q.lob) == set(q.assays[0].targets)
    assert f"{len(made.plate.wells)} wells" in repr(q)
    with pytest.raises(DataError, match="well H12 was not quantified: the plate has no such well"):
        q.assay_of("H12")


def test_the_input_is_left_alone():
    made = simulate_plate([0.3], n_droplets=500, controls=1, rng=6)
    before = {name: well.amplitudes.copy() for name, well in made.plate.wells.items()}
    samples = made.plate.samples.copy()
    quantify(made.plate)
    for name, well in made.plate.wells.items():
        np.testing.assert_array_equal(well.amplitudes, before[name])
    pd.testing.assert_frame_equal(made.plate.samples, samples)
