"""Simulated plates follow the laws they were told, and their truth is that of their droplets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixsci.ddpcr.assay import ASSAYS, Assay
from mixsci.ddpcr.plate import Plate
from mixsci.ddpcr.read import read_plate
from mixsci.ddpcr.simulate import (
    dilution_series,
    simulate_plate,
    small_plate,
    well_names,
)
from mixsci.errors import DataError
from tests.conftest import ROOT

# A p-value below this, at a fixed seed, is a broken law and no accident.
RARE = 1e-4
#: Levels without any noise: what remains is what the test is about.
STILL = {"rain": 0.0, "stray": 0.0, "drift": 0.0, "tails": 0.0, "skew": 0.0}


def silent(assay, **changes):
    """An assay whose droplets lie exactly at their levels."""
    nothing = dict.fromkeys(("noise", "spread", "more_copies", "gain_drift", "competition"), 0.0)
    return replace(assay, **nothing, **changes)


ONE, TWO, LADDER = (silent(ASSAYS[name]) for name in ("singleplex", "duplex", "ladder"))


def amplitudes(made):
    return np.concatenate([well.amplitudes for well in made.plate.wells.values()])


def copies(made):
    return np.concatenate(list(made.copies.values()))


def p_of_counts(found, shares):
    """p of counts against shares; what is expected fewer than five times is put together in the last one."""
    found, expected = np.asarray(found, dtype=float), np.asarray(shares) * np.sum(found)
    many = expected >= 5
    found, expected = (np.append(values[many], values[~many].sum()) for values in (found, expected))
    seen = expected > 0
    return stats.chisquare(found[seen], expected[seen], sum_check=False).pvalue


# --- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0005, 0.01, 0.1, 1.0, 4.0])
def test_occupied_share_is_that_of_poisson_copies(rate):
    truth = simulate_plate(np.full(90, rate), n_droplets=2000, controls=0, rng=1).truth
    p = -np.expm1(-rate)
    variance = truth["Droplets"] * p * (1 - p)
    apart = truth["Occupied"] - truth["Droplets"] * p
    assert abs(apart.sum() / np.sqrt(variance.sum())) < 4
    # Few counts per well are skewed: there wells are put together by thirty.
    group = np.arange(90) // (30 if rate < 0.01 else 1)
    squares = apart.groupby(group).sum() ** 2 / variance.groupby(group).sum()
    assert RARE < stats.chi2.sf(squares.sum(), len(squares)) < 1 - RARE


@pytest.mark.parametrize("rate", [0.1, 1.0, 4.0])
def test_copies_are_poisson(rate):
    made = simulate_plate([rate], n_droplets=40_000, controls=0, rng=2)
    found = np.bincount(made.copies["A01"][:, 0], minlength=20)
    assert p_of_counts(found, stats.poisson.pmf(np.arange(len(found)), rate)) > RARE


def test_targets_fall_independently():
    made = simulate_plate([[0.8, 0.3]], n_droplets=40_000, controls=0, rng=3)
    lit = made.copies["A01"] > 0
    assert stats.chi2_contingency(pd.crosstab(lit[:, 0], lit[:, 1])).pvalue > RARE


def test_linked_copies_light_both_targets():
    a, b, c = 0.5, 0.2, 0.3
    made = simulate_plate([[a + c, b + c]], linked=c, n_droplets=60_000, controls=0, rng=4)
    first, second = (made.copies["A01"] > 0).T
    none, only_1, only_2 = np.exp(-(a + b + c)), np.exp(-(b + c)), np.exp(-(a + c))
    shares = [none, only_1 - none, only_2 - none, 1 - only_1 - only_2 + none]
    found = [(~first & ~second).sum(), (first & ~second).sum(), (~first & second).sum(), (first & second).sum()]
    assert p_of_counts(found, shares) > RARE
    n = len(first)
    covariance = np.cov(made.copies["A01"].T)[0, 1]
    assert abs(covariance - c) < 4 * np.sqrt(((a + c) * (b + c) + c**2 + c) / n)
    assert (made.truth["Linked"] == c).all()
    assert made.truth["Lambda"].tolist() == [a + c, b + c]


def test_loci_on_one_dye_are_a_binomial_ladder():
    made = simulate_plate([[0.0, 1.2]], assay=LADDER, n_droplets=40_000, controls=0, rng=5, **STILL)
    rungs = (made.plate.wells["A01"].amplitudes[:, 1] - LADDER.baseline[1]) / LADDER.steps[1, 1]
    np.testing.assert_allclose(rungs, rungs.round(), atol=1e-5)
    found = np.bincount(rungs.round().astype(int), minlength=5)
    assert p_of_counts(found, stats.binom.pmf(np.arange(5), 4, -np.expm1(-0.3))) > RARE
    assert abs(made.truth["Copies"][1] / made.truth["Droplets"][1] - 1.2) < 4 * np.sqrt(1.2 / len(rungs))


def test_volumes_of_droplets_vary_as_told():
    cv, rate = 0.4, 3.0
    truth = simulate_plate([rate], droplet_cv=cv, n_droplets=100_000, controls=0, rng=6).truth
    empty, n = (1 + rate * cv**2) ** (-1 / cv**2), truth["Droplets"][0]
    assert abs(truth["Occupied"][0] - n * (1 - empty)) < 4 * np.sqrt(n * empty * (1 - empty))
    assert abs(truth["Copies"][0] - n * rate) < 4 * np.sqrt(n * (rate + rate**2 * cv**2))


def test_accepted_droplets_vary_around_the_number_asked_for():
    n = simulate_plate(np.zeros(384), n_droplets=100, controls=0, rng=7).truth["Droplets"]
    assert abs(n.mean() - 100) < 4 * 8 / np.sqrt(384)
    assert 7 < n.std() < 9


# --- light -----------------------------------------------------------------------------------------------------------


def test_a_droplet_shines_as_its_lit_loci_do():
    made = simulate_plate([[0.5, 0.5]], assay=TWO, n_droplets=3000, controls=0, rng=8, **STILL)
    levels = TWO.baseline + (made.copies["A01"] > 0) @ TWO.steps
    np.testing.assert_allclose(made.plate.wells["A01"].amplitudes, levels, atol=0.01)


def test_more_copies_add_a_little_light():
    assay = silent(ASSAYS["singleplex"])
    made = simulate_plate([3.0], assay=replace(assay, more_copies=0.2), n_droplets=3000, controls=0, rng=8, **STILL)
    k = made.copies["A01"][:, 0]
    share = (made.plate.wells["A01"].amplitudes[:, 0] - assay.baseline[0]) / assay.steps[0, 0]
    np.testing.assert_allclose(share, np.where(k > 0, 1 + 0.2 * (1 - 0.5 ** np.maximum(k - 1, 0)), 0), atol=1e-5)


def test_a_lit_target_dims_its_competitor():
    assay = replace(TWO, competition=((0.0, 0.25), (0.0, 0.0)))
    made = simulate_plate([[1.0, 1.0]], assay=assay, n_droplets=3000, controls=0, rng=9, **STILL)
    both = (made.copies["A01"] > 0).all(axis=1)
    level = assay.baseline + assay.steps[0] / 1.25 + assay.steps[1]
    np.testing.assert_allclose(made.plate.wells["A01"].amplitudes[both], np.tile(level, (both.sum(), 1)), atol=0.01)


@pytest.mark.parametrize("shape", [(1.0, 1.0), (4.0, 1.0)])
def test_rain_lies_on_the_way_up_in_its_share(shape):
    assay = silent(ASSAYS["singleplex"], rain_shape=shape)
    made = simulate_plate([2.0] * 5, assay=assay, n_droplets=8000, controls=1, rng=10, **(STILL | {"rain": 0.05}))
    way = (amplitudes(made)[:, 0] - assay.baseline[0]) / assay.steps[0, 0]
    positive = copies(made)[:, 0] > 0
    rain = positive & (way < 1 - 1e-6)
    truth = made.truth
    assert rain.sum() == truth["Rain"].sum()
    assert abs(rain.sum() - 0.05 * positive.sum()) < 4 * np.sqrt(0.05 * 0.95 * positive.sum())
    assert stats.kstest(way[rain], stats.beta(*shape).cdf).pvalue > RARE
    assert (way[~positive] == 0).all()
    assert truth["Rain"].iloc[-1] == 0


def test_rain_of_a_ladder_lies_below_its_rung():
    made = simulate_plate([[0.0, 2.0]], assay=LADDER, n_droplets=4000, controls=0, rng=11, **(STILL | {"rain": 0.2}))
    rungs = (made.plate.wells["A01"].amplitudes[:, 1] - LADDER.baseline[1]) / LADDER.steps[1, 1]
    on_the_way = np.abs(rungs - rungs.round()) > 1e-5
    assert abs(on_the_way.sum() - made.truth["Rain"][1]) <= 2
    assert rungs[on_the_way].max() > 1


def test_rain_may_differ_by_target():
    truth = simulate_plate([[1.0, 1.0]], rain=(0.3, 0.0), rng=12).truth
    assert truth["Rain"][0] > 0.25 * truth["Occupied"][0]
    assert truth["Rain"][1] == 0


def test_strays_lie_among_the_droplets_of_controls_too():
    made = simulate_plate([0.0] * 4, assay=ONE, n_droplets=10_000, controls=4, rng=13, **(STILL | {"stray": 0.01}))
    way = (amplitudes(made)[:, 0] - ONE.baseline[0]) / ONE.steps[0, 0]
    n = len(way)
    for truth in (made.truth[:4], made.truth[4:]):
        assert abs(truth["Strays"].sum() - 0.01 * n / 2) < 4 * np.sqrt(0.01 * n / 2)
    assert stats.kstest(way[way > 0], stats.beta(1, 4).cdf).pvalue > RARE
    assert (made.truth["Occupied"] == 0).all()


def test_noise_has_the_skewness_and_the_correlation_asked_for():
    assay = replace(TWO, noise=(50.0, 80.0), correlation=-0.4)
    made = simulate_plate([[0, 0]], assay=assay, n_droplets=100_000, controls=0, rng=14, **(STILL | {"skew": (0.5, 0)}))
    x = amplitudes(made)
    n = len(x)
    assert abs(stats.skew(x[:, 0]) - 0.5) < 4 * np.sqrt(10 / n)
    np.testing.assert_allclose(x.std(axis=0), [50.0, 80.0], rtol=4 / np.sqrt(n))
    assert abs(np.corrcoef(x.T)[0, 1] + 0.4) < 4 / np.sqrt(n)


def test_tails_are_a_share_of_wider_noise():
    assay = replace(ONE, noise=(100.0,))
    x = amplitudes(simulate_plate([0], assay=assay, n_droplets=100_000, controls=0, rng=15, **(STILL | {"tails": 0.1})))
    far = np.abs(x - assay.baseline) > 300
    p = 0.9 * 2 * stats.norm.sf(3) + 0.1 * 2 * stats.norm.sf(3 / 2.5)
    assert abs(far.sum() - len(x) * p) < 4 * np.sqrt(len(x) * p)


def test_wells_drift_as_told():
    told = STILL | {"drift": 0.03}
    made = simulate_plate(np.zeros((380, 2)), assay=TWO, n_droplets=20, controls=4, rng=16, **told)
    shifts = np.array([well.amplitudes[0] for well in made.plate.wells.values()]) - TWO.baseline
    z = shifts / (0.03 * TWO.gaps)
    assert (np.abs(z.mean(axis=0)) < 4 / np.sqrt(384)).all()
    assert (np.abs(z.std(axis=0) - 1) < 4 / np.sqrt(2 * 384)).all()
    for well in made.plate.wells.values():
        assert (well.amplitudes == well.amplitudes[0]).all()


def test_gaps_of_wells_drift_as_told():
    assay = replace(ONE, gain_drift=0.05)
    made = simulate_plate(np.full(384, 20.0), assay=assay, n_droplets=5, controls=0, rng=17, **STILL)
    gains = [(well.amplitudes[0, 0] - assay.baseline[0]) / assay.steps[0, 0] for well in made.plate.wells.values()]
    assert abs(np.mean(gains) - 1) < 4 * 0.05 / np.sqrt(384)
    assert abs(np.std(gains) - 0.05) < 4 * 0.05 / np.sqrt(2 * 384)


def test_positives_spread_with_their_step():
    assay = replace(ONE, spread=0.05)
    x = amplitudes(simulate_plate([20.0], assay=assay, n_droplets=20_000, controls=0, rng=18, **STILL))
    assert abs(x.std() / assay.steps[0, 0] - 0.05) < 4 * 0.05 / np.sqrt(2 * len(x))


def test_dust_is_left_out_of_the_truth():
    made = simulate_plate([1.0] * 4, assay=ONE, outliers=0.1, n_droplets=4000, rng=19, **STILL)
    assay, dust = made.assay, copies(made)[:, 0] < 0
    n = len(dust)
    assert abs(dust.sum() - 0.1 * n) < 4 * np.sqrt(0.09 * n)
    way = (amplitudes(made)[:, 0] - assay.baseline[0]) / assay.steps[0, 0]
    assert ((way[dust] < -0.1) | (way[dust] > 1.25)).all()
    assert set(way[~dust].round(5)) == {0.0, 1.0}
    assert made.truth["Droplets"].sum() == n - dust.sum()
    assert made.truth["Occupied"].sum() == (copies(made) > 0).sum()
    assert made.truth["Copies"].sum() == copies(made)[~dust].sum()


# --- plate and truth -------------------------------------------------------------------------------------------------


def test_truth_is_that_of_the_droplets():
    made = simulate_plate({"A": [0.1, 1.0], "B": 0.3}, n_droplets=2000, droplet_volume_nl=0.5, rng=20)
    assert made.plate.droplet_volume_nl == 0.5
    for (well, target), row in made.truth.set_index(["Well", "Target"]).iterrows():
        own = made.copies[well][:, ["A", "B"].index(target)]
        assert len(own) == len(made.plate.wells[well]) == row["Droplets"]
        assert row["Copies"] == own.sum()
        assert row["Occupied"] == (own > 0).sum()
        assert row["Concentration"] == pytest.approx(1000 * row["Lambda"] / 0.5)
    assert made.truth.query("Target == 'A'")["Lambda"].tolist() == [0.1, 1.0, 0, 0, 0, 0]
    assert made.truth.query("Target == 'B'")["Lambda"].tolist() == [0.3, 0.3, 0, 0, 0, 0]


def test_copies_stand_in_the_order_of_the_droplets():
    made = simulate_plate([0.7], assay=ONE, n_droplets=3000, rng=21, **STILL)
    x = made.plate.wells["A01"].amplitudes[:, 0]
    assert (np.diff(x) >= 0).all()
    np.testing.assert_array_equal(x > ONE.thresholds[0], made.copies["A01"][:, 0] > 0)


def test_controls_are_clean_and_last():
    made = simulate_plate([2.0] * 12, n_droplets=3000, controls=3, rain=0.1, stray=0.0, tails=0.0, rng=22)
    assert isinstance(made.plate, Plate)
    assert list(made.plate.wells)[-3:] == ["B01", "B02", "B03"]
    samples = made.plate.samples.set_index("Well")
    assert samples["SampleType"].tolist() == ["Unknown"] * 12 + ["NTC"] * 3
    for name in ("B01", "B02", "B03"):
        well = made.plate.wells[name]
        assert (made.copies[name] == 0).all()
        assert (well.calls == 0).all()
        assert (np.abs(well.amplitudes - made.assay.baseline) < 0.2 * made.assay.gaps).all()


def test_wells_of_the_same_rates_are_replicates_of_one_sample():
    samples = simulate_plate([0.1, 0.2, 0.1], n_droplets=10, controls=1, rng=1).plate.samples
    assert samples["Sample"].tolist() == ["Sample 1", "Sample 2", "Sample 1", "NTC"]


def test_every_target_has_its_channel():
    samples = simulate_plate([[0.1, 0.2, 0.3]], n_droplets=10, controls=0, rng=1).plate.samples
    assert samples[["Channel", "Target"]].to_numpy().tolist() == [
        ["Ch1", "Target 1"], ["Ch2", "Target 2"], ["", "Target 3"],
    ]  # fmt: skip
    alone = Assay(("A",), baseline=(0.0, 0.0), steps=((0.0, 100.0),), noise=(1.0, 1.0))
    made = simulate_plate([0.5], assay=alone, n_droplets=100, controls=0, rng=1)
    assert made.plate.samples[["Channel", "Target"]].to_numpy().tolist() == [["Ch1", ""], ["Ch2", "A"]]
    assert (made.plate.wells["A01"].calls[:, 0] == 0).all()
    assert np.isnan(made.plate.instrument["Threshold"][0])


def test_calls_and_results_are_those_of_one_threshold():
    made = simulate_plate([[0.2, 1.0]] * 2, n_droplets=5000, rng=23)
    for row in made.plate.instrument.itertuples():
        j = ("Ch1", "Ch2").index(row.Channel)
        well = made.plate.wells[row.Well]
        assert row.Threshold == pytest.approx(made.assay.baseline[j] + made.assay.steps[j, j] / 2)
        np.testing.assert_array_equal(well.calls[:, j], well.amplitudes[:, j] > row.Threshold)
        assert row.Positives == well.calls[:, j].sum()
        assert row.Positives + row.Negatives == row.AcceptedDroplets == len(well)
        expected = -np.log(row.Negatives / len(well)) * 1000 / 0.85
        assert row.Concentration == pytest.approx(expected, rel=0.02, abs=0.06)
        assert row.PoissonConfMin <= row.Concentration <= row.PoissonConfMax


def test_rates_come_as_arrays_mappings_and_tables():
    rates = np.array([[0.1, 0.2], [0.3, 0.4]])
    first = simulate_plate(rates, n_droplets=100, rng=1)
    assert first.assay is ASSAYS["duplex"]
    named = simulate_plate({"A": rates[:, 0], "B": rates[:, 1]}, n_droplets=100, rng=1)
    assert named.assay.targets == ("A", "B")
    table = simulate_plate(pd.DataFrame(rates, columns=["A", "B"]), n_droplets=100, rng=1)
    swapped = simulate_plate({"B": rates[:, 1], "A": rates[:, 0]}, assay=named.assay, n_droplets=100, rng=1)
    for other in (named, table, swapped):
        np.testing.assert_array_equal(amplitudes(first), amplitudes(other))
    assert len(simulate_plate({"A": 0.5, "B": 0.1}, n_droplets=100, controls=0, rng=1).plate.wells) == 1


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_plate():
    first, second = (simulate_plate([0.5, 1.0], n_droplets=500, outliers=0.01, rng=24) for _ in range(2))
    np.testing.assert_array_equal(amplitudes(first), amplitudes(second))
    pd.testing.assert_frame_equal(first.truth, second.truth)
    third = simulate_plate([0.5, 1.0], n_droplets=500, outliers=0.01, rng=np.random.default_rng(24))
    np.testing.assert_array_equal(amplitudes(first), amplitudes(third))
    other = simulate_plate([0.5, 1.0], n_droplets=500, outliers=0.01, rng=25)
    assert amplitudes(other)[0, 0] != amplitudes(first)[0, 0]


def test_more_wells_change_nothing_in_the_others():
    few = simulate_plate([0.5, 1.0], n_droplets=500, controls=1, rng=26)
    many = simulate_plate([0.5, 1.0, 2.0, 3.0], n_droplets=500, controls=2, rng=26)
    for one, other in (("A01", "A01"), ("A02", "A02"), ("A03", "A05")):
        np.testing.assert_array_equal(few.plate.wells[one].amplitudes, many.plate.wells[other].amplitudes)
        np.testing.assert_array_equal(few.copies[one], many.copies[other])


def test_wells_are_not_alike():
    made = simulate_plate([1.0, 1.0], n_droplets=500, rng=27)
    assert made.plate.wells["A01"].amplitudes[0, 0] != made.plate.wells["A02"].amplitudes[0, 0]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "assay"),
    [
        ([0.1, 2.0], None),
        ([[0.1, 0.5]], None),
        ([[0.1, 0.1, 0.1]], None),
        ([[0.1, 0.5]], "ladder"),
        ([20.0], None),
        ({"Gene, wild type": [0.1]}, None),
    ],
)
def test_written_plates_are_read_back(rates, assay, tmp_path):
    made = simulate_plate(rates, assay=assay, n_droplets=800, controls=1, rng=28)
    folder = made.write(tmp_path / "new" / "plate")
    read = read_plate(folder)
    assert list(read.wells) == list(made.plate.wells)
    for name, well in made.plate.wells.items():
        np.testing.assert_array_equal(read.wells[name].amplitudes, well.amplitudes)
        np.testing.assert_array_equal(read.wells[name].calls, well.calls)
        assert read.wells[name].channels == well.channels
        assert not read.wells[name].problem
    pd.testing.assert_frame_equal(read.samples, made.plate.samples)
    pd.testing.assert_frame_equal(read.instrument, made.plate.instrument)
    pd.testing.assert_frame_equal(read.problems, made.plate.problems)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "truth" / "truth.csv"), made.truth, check_dtype=False)


def test_a_plate_is_not_written_over_another(tmp_path):
    simulate_plate([0.1, 0.2], n_droplets=50, rng=1).write(tmp_path)
    simulate_plate([0.3, 0.4], n_droplets=50, rng=1).write(tmp_path)
    with pytest.raises(DataError, match=r"must not hold another plate; it holds simulated_A06_Amplitude\.csv"):
        simulate_plate([0.1], n_droplets=50, rng=1).write(tmp_path)
    with pytest.raises(DataError, match="choose another folder"):
        simulate_plate([0.1, 0.2], n_droplets=50, rng=1).write(tmp_path, name="mine")


def test_the_small_plate_in_data_is_made_again(tmp_path):
    made = small_plate(rng=1)
    made.write(tmp_path)
    kept = ROOT / "data" / "ddpcr"
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert sum((kept / file).stat().st_size for file in files) < 1.5e6
    for file in files:
        pd.testing.assert_frame_equal(
            pd.read_csv(tmp_path / file, index_col=False), pd.read_csv(kept / file, index_col=False), atol=0.02
        )
    assert made.plate.samples["SampleType"].tolist().count("NTC") == 4


# --- names and helpers -----------------------------------------------------------------------------------------------


def test_wells_are_named_in_the_order_of_the_plate():
    assert well_names(1) == ("A01",)
    assert well_names(96)[-1] == "H12"
    assert well_names(13)[-1] == "B01"
    assert well_names(97)[24] == "B01"
    assert well_names(384)[-1] == "P24"
    assert len(set(well_names(384))) == 384


def test_a_dilution_series_falls_by_its_factor():
    np.testing.assert_allclose(dilution_series(1.0, steps=3, replicates=2), [1, 1, 0.1, 0.1, 0.01, 0.01])
    assert len(dilution_series(4.0)) == 24
    assert dilution_series(1.0, factor=1e6, steps=200, replicates=1)[-1] == 0


def test_repr_is_short():
    assert repr(simulate_plate([0.1], n_droplets=1, controls=1, rng=1)) == "SimulatedPlate(2 wells, 2 droplets)"


# --- what defaults were measured on ----------------------------------------------------------------------------------


def robust(x):
    """Median and half the width of the middle 68 %."""
    low, middle, high = np.quantile(x, [0.16, 0.5, 0.84])
    return middle, (high - low) / 2


def test_the_one_probe_assay_is_that_of_a_real_plate(real_data):
    plate = read_plate(real_data / "ddpcr" / "definetherain_albumin")
    made = simulate_plate(np.full(28, 0.22), n_droplets=12_500, controls=0, rng=29).plate
    bases, gaps = {}, {}
    for name, which in (("real", plate), ("made", made)):
        x = [well.amplitudes[:, 0] for well in which.wells.values()]
        negative = [robust(each[each < 11_500]) for each in x]
        positive = [robust(each[each > 15_000]) for each in x if (each > 15_000).sum() > 400]
        bases[name] = np.median(negative, axis=0)
        gaps[name] = np.median(positive, axis=0) - [bases[name][0], 0]
    np.testing.assert_allclose(bases["made"], bases["real"], rtol=0.05)
    np.testing.assert_allclose(gaps["made"], gaps["real"], rtol=0.05)


def test_the_two_colour_assay_is_that_of_a_real_plate(real_data):
    real = read_plate(real_data / "ddpcr" / "dpcp_dilution").wells["C01"].amplitudes
    made = simulate_plate([[0.035] * 3], n_droplets=40_000, controls=0, drift=0, rng=30)
    x, k = made.plate.wells["A01"].amplitudes, made.copies["A01"]
    boxes = {
        (0, 0, 0): (real[:, 0] < 1900) & (real[:, 1] < 1600),
        (1, 0, 0): (real[:, 0] > 4600) & (real[:, 1] < 1750),
        (0, 1, 0): (real[:, 0] < 1900) & (real[:, 1] > 2600),
        (0, 0, 1): (real[:, 0] > 2600) & (real[:, 0] < 3800) & (real[:, 1] > 1900) & (real[:, 1] < 3300),
    }
    for state, box in boxes.items():
        ours = np.median(x[((k > 0) == state).all(axis=1)], axis=0)
        np.testing.assert_allclose(ours, np.median(real[box], axis=0), atol=0.05 * made.assay.gaps.max())


# --- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": [-0.1]}, "rates must be copies per droplet from 0 to 20; got -0.1 in row 0"),
        ({"rates": [0.1, 186.0]}, "multiply copies/µL by the droplet's volume"),
        ({"rates": [0.1, np.nan]}, "got nan in row 1"),
        ({"rates": []}, "rates must have shape"),
        ({"rates": 0.5}, "rates must have shape"),
        ({"rates": np.ones((2, 2, 2))}, "rates must have shape"),
        ({"rates": ["much"]}, "rates"),
        ({"rates": {}}, "rates must have"),
        ({"rates": {"A": [0.1, 0.2], "B": [0.1, 0.2, 0.3]}}, "as many numbers"),
        ({"rates": {"A": [0.1]}, "assay": "duplex"}, "rates must hold the targets of the assay"),
        ({"rates": {"A": [0.1]}, "assay": ONE}, "rates must hold the targets of the assay, Target; got A"),
        ({"rates": np.ones((2, 4))}, "an assay must be given for 4 targets"),
        ({"rates": [0.1], "assay": "quadruplex"}, "assay must be an Assay or one of singleplex"),
        ({"rates": [0.1], "assay": 3}, "assay must be an Assay"),
        ({"rates": np.ones(381)}, "at most 384 wells; got 385"),
        ({"rates": [0.1], "n_droplets": 0}, "n_droplets must be a whole number, 1 or more; got 0"),
        ({"rates": [0.1], "n_droplets": 10.5}, "n_droplets must be a whole number"),
        ({"rates": [0.1], "controls": -1}, "controls must be a whole number, 0 or more; got -1"),
        ({"rates": [0.1], "controls": True}, "controls must be a whole number"),
        ({"rates": [0.1], "rain": 1.0}, "rain must be .* at least 0 and below 1; got 1"),
        ({"rates": [0.1], "rain": -0.01}, "rain must be"),
        ({"rates": [0.1], "rain": (0.1, 0.1)}, r"rain must be numbers of shape \(1,\)"),
        ({"rates": [0.1], "stray": 2}, "stray must be"),
        ({"rates": [0.1], "tails": np.nan}, "tails must be"),
        ({"rates": [0.1], "skew": 1.0}, "skew must be .* at least -0.99 and at most 0.99; got 1"),
        ({"rates": [0.1], "drift": -1}, "drift must be one number, at least 0; got -1"),
        ({"rates": [0.1], "drift": [0.1, 0.1]}, "drift must be one number"),
        ({"rates": [0.1], "outliers": "some"}, "outliers must be"),
        ({"rates": [0.1], "droplet_cv": -0.1}, "droplet_cv must be"),
        ({"rates": [0.1], "droplet_cv": 1.5}, "droplet_cv must be one number, at least 0 and at most 1"),
        ({"rates": [0.1], "droplet_volume_nl": 0}, "droplet_volume_nl must be"),
        ({"rates": [0.1], "linked": 0.1}, "linked copies need two targets"),
        ({"rates": [[0.1, 0.1]], "linked": 0.05, "assay": "ladder"}, "linked copies need two targets"),
        ({"rates": [[0.1, 0.2]], "linked": 0.15}, "must not exceed the lower"),
        ({"rates": [[0.1, 0.2]], "linked": [0.05, 0.05]}, r"linked must be numbers of shape \(1,\)"),
        ({"rates": [0.1], "rng": "seed"}, "rng must be"),
        ({"rates": [0.1], "rng": -1}, "rng must be"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        simulate_plate(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ()}, "targets must be different names"),
        ({"targets": ("A", "A")}, "targets must be different names"),
        ({"baseline": (1.0, 2.0, 3.0)}, "one or two; got 3"),
        ({"baseline": (1.0,)}, "steps must be numbers of shape"),
        ({"steps": ((100.0, 0.0), (0.0, 10.0))}, "those of Target 2 do not"),
        ({"steps": ((100.0, 0.0), (0.0, np.inf))}, "steps must be numbers"),
        ({"noise": (-1.0, 1.0)}, "noise must be .* at least 0"),
        ({"loci": (1,)}, "loci must have one number for each of 2 targets"),
        ({"loci": (1, 0)}, "loci must be a whole number, 1 or more; got 0"),
        ({"competition": -0.1}, "competition must be"),
        ({"correlation": 1.5}, "correlation must be one number, at least -1 and at most 1"),
        ({"spread": -0.1}, "spread must be"),
        ({"rain_shape": (0.0, 1.0)}, "rain_shape must be"),
        ({"stray_shape": (1.0, 1.0, 1.0)}, "stray_shape must be"),
    ],
)
def test_bad_assays_are_refused_in_one_sentence(changes, message):
    usual = {"targets": ("Target 1", "Target 2"), "baseline": (1000.0, 1000.0), "noise": (10.0, 10.0)}
    usual["steps"] = ((5000.0, 0.0), (0.0, 5000.0))
    with pytest.raises(DataError, match=message):
        Assay(**(usual | changes))


@pytest.mark.parametrize("arguments", [(-1.0,), (30.0,), (1.0, 0.5), (1.0, 10.0, 0)])
def test_bad_dilution_series_are_refused(arguments):
    names = ("highest", "factor", "steps")
    with pytest.raises(DataError, match="must be"):
        dilution_series(**dict(zip(names, arguments, strict=False)))
