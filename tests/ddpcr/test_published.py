"""Published plates: what instruments, fixed gates and controls say of them, and what we find."""

from dataclasses import replace

import numpy as np
import pytest

from mixsci.ddpcr.concentrations import concentration
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.read import read_plate
from mixsci.ddpcr.results import table
from tests.ddpcr.plates import VOLUME_UL

#: Amplitudes by which the positives of definetherain and dPCP were counted.
ALBUMIN_THRESHOLD = 13800.0
TBP_GATE, CH1_GATE, CH2_GATE = 4600.0, 2200.0, 1750.0
DILUTION = ("A01", "B01", "C01", "D01", "E01", "F01", "G01", "H01", "A04", "B04")
STRAY_WELL = "F10"
CONTROLS = ("A11", "B11", "C11", "D11")
WITH_TEMPLATE = ("A04", "B04", "D04", "D05")


def found(results, target, column="Concentration"):
    """Well -> number of a target."""
    return results[results["Target"] == target].set_index("Well")[column]


def beyond(plate, well, channel, gate, ci="exact"):
    """Copies/µL, with an interval, of the droplets beyond a gate."""
    amplitudes = plate.wells[well].amplitudes[:, channel]
    return concentration(int((amplitudes > gate).sum()), len(amplitudes), ci=ci)


def agrees(value, gated, share):
    """Whether a value lies within a share of that of a gate, or in its interval."""
    return abs(value - gated.value) <= share * gated.value or gated.low <= value <= gated.high


def mode(amplitudes):
    """The middle of the shortest stretch that holds a third of the droplets: their negatives."""
    ordered = np.sort(amplitudes)
    held = len(ordered) // 3
    first = int(np.argmin(ordered[held:] - ordered[:-held]))
    return float(ordered[first : first + held].mean())


# --- PoDCall: two channels, a ladder of four loci on the second ------------------------------------------------------


@pytest.fixture(scope="module")
def podcall(real_data):
    plate = read_plate(real_data / "ddpcr" / "podcall_vim_4plex")
    return plate, quantify(plate)


def test_law_of_each_channel_is_found(podcall):
    _, q = podcall
    (assay,) = q.assays
    assert assay.targets == ("VIM", "new4Plex")
    assert [target.describe() for target in assay.fit.scheme.targets] == ["binary", "multiplex:4"]
    assert q.plate_fit.converged


@pytest.mark.parametrize("well", WITH_TEMPLATE)
def test_ladder_agrees_with_the_instrument(podcall, well):
    plate, q = podcall
    printed = plate.instrument.query("Well == @well and Channel == 'Ch2'").iloc[0]
    value = found(q.results, "new4Plex")[well]
    near = abs(value - printed["Concentration"]) <= 0.02 * printed["Concentration"]
    assert near or printed["PoissonConfMin"] <= value <= printed["PoissonConfMax"]


@pytest.mark.parametrize("well", WITH_TEMPLATE)
def test_rain_is_counted_between_the_instrument_and_what_controls_leave_open(podcall, well):
    """From its lower end to all droplets beyond the reach of the control, and 7 % for rain under the negatives."""
    plate, q = podcall
    control, own = (plate.wells[name].amplitudes[:, 0] for name in ("H05", well))
    gate = mode(own) + control.max() - mode(control)
    most = 1.07 * beyond(plate, well, 0, gate).value
    least = plate.instrument.query("Well == @well and Channel == 'Ch1'").iloc[0]["PoissonConfMin"]
    assert least <= found(q.results, "VIM")[well] <= most
    # The seen positives are among those beyond the reach: nothing is extrapolated in them.
    assert least <= found(q.results, "VIM", "SeenConcentration")[well] <= most


@pytest.mark.parametrize(
    ("well", "least", "most"), [("A04", 179, 211), ("B04", 43.9, 58.5), ("D04", 4.5, 9.0), ("D05", 165, 198)]
)
def test_rain_is_counted_within_the_stated_range(podcall, well, least, most):
    assert least <= found(podcall[1].results, "VIM")[well] <= most


def test_extrapolated_rain_is_a_column_of_its_own(podcall):
    _, q = podcall
    for target in ("VIM", "new4Plex"):
        seen, expected = found(q.results, target, "SeenPositives"), found(q.results, target, "ExpectedPositives")
        assert (seen <= expected + 1e-6).all()
        total = found(q.results, target, "AcceptedDroplets")
        for well in WITH_TEMPLATE:
            from_seen = -np.log1p(-seen[well] / total[well]) / VOLUME_UL
            assert found(q.results, target, "SeenConcentration")[well] == pytest.approx(from_seen, rel=1e-9)
    # Rain of VIM runs on under the negatives.
    assert (found(q.results, "VIM", "SeenConcentration") < found(q.results, "VIM"))[list(WITH_TEMPLATE)].all()


@pytest.mark.parametrize("target", ["VIM", "new4Plex"])
def test_control_of_both_channels_is_empty(podcall, target):
    _, q = podcall
    assert found(q.results, target)["H05"] <= 0.18
    assert found(q.results, target, "PoissonConfMax")["H05"] <= 0.18
    assert found(q.results, target, "SeenConcentration")["H05"] <= 0.18
    assert found(q.results, target, "SampleType")["H05"] == "NTC"
    assert not found(q.results, target, "AboveLoB")["H05"]


def test_the_instruments_own_numbers_stand_beside_ours(podcall):
    plate, q = podcall
    for row in plate.instrument.itertuples():
        ours = q.results.query("Well == @row.Well and Target == @row.Target").iloc[0]
        assert ours["ConcentrationInstrument"] == row.Concentration
        assert ours["PositivesInstrument"] == row.Positives
        assert ours["Sample"] == row.Sample


def test_intervals_of_the_instrument_are_those_of_our_counts(podcall):
    plate, q = podcall
    rows = table(plate, q.assays, replace(q.settings, ci="instrument"))
    many = rows[rows["Positives"] >= 100]
    p, n = many["Positives"] / many["AcceptedDroplets"], many["AcceptedDroplets"]
    half = 1.96 * np.sqrt(p * (1 - p) / n)
    for column, share in (("Concentration", p), ("PoissonConfMin", p - half), ("PoissonConfMax", p + half)):
        np.testing.assert_allclose(many[column], -np.log1p(-share) / VOLUME_UL, rtol=1e-12)
    np.testing.assert_array_equal(rows["Positives"], q.results["Positives"])
    every = concentration(rows["Positives"], rows["AcceptedDroplets"])
    for column, numbers in zip(("Concentration", "PoissonConfMin", "PoissonConfMax"), every, strict=True):
        np.testing.assert_allclose(rows[column], numbers, rtol=1e-12)
    none = rows[rows["Positives"] == 0]
    assert len(none) == 2
    np.testing.assert_allclose(none["PoissonConfMax"].round(2), 0.18)


# --- definetherain: one probe, ten-fold dilutions, four controls -----------------------------------------------------


@pytest.fixture(scope="module")
def albumin(real_data):
    plate = read_plate(real_data / "ddpcr" / "definetherain_albumin")
    return plate, {"named": quantify(plate, ntc=CONTROLS), "read from the sheet": quantify(plate)}


@pytest.fixture(params=["named", "read from the sheet"])
def albumin_results(albumin, request):
    plate, found_by = albumin
    return plate, found_by[request.param].results.set_index("Well")


def groups(results, *names):
    return results[results["Sample"].isin(names)]


def test_controls_of_albumin_are_known(albumin_results):
    _, results = albumin_results
    assert tuple(results.index[results["SampleType"] == "NTC"]) == CONTROLS
    assert (results["Law"] == "binary").all()
    assert len(results) == 28


def test_controls_of_albumin_hold_at_most_three_positives(albumin_results):
    _, results = albumin_results
    assert (results.loc[list(CONTROLS), "Positives"] <= 3).all()
    assert (results.loc[list(CONTROLS), "ExpectedPositives"] <= 3).all()


def test_high_dilutions_of_albumin_follow_the_threshold(albumin_results):
    plate, results = albumin_results
    many = groups(results, "10e5", "10e4", "10e3")
    assert len(many) == 12
    for well, value in many["Concentration"].items():
        assert value == pytest.approx(beyond(plate, well, 0, ALBUMIN_THRESHOLD).value, rel=0.03), well


def test_low_dilutions_of_albumin_lie_in_the_thresholds_interval(albumin_results):
    plate, results = albumin_results
    few = groups(results, "10e2", "10e1", "10e0").drop(STRAY_WELL)
    assert len(few) == 11
    for well, value in few["Concentration"].items():
        counted = beyond(plate, well, 0, ALBUMIN_THRESHOLD)
        assert counted.low <= value <= counted.high, well


def test_a_droplet_where_controls_have_one_is_no_positive(albumin_results):
    """The one droplet of F10 beyond the threshold lies where one of a control does: the threshold counts both."""
    plate, results = albumin_results
    droplets = {well: plate.wells[well].amplitudes[:, 0] for well in (STRAY_WELL, *CONTROLS)}
    above = {well: np.sort(x[x > ALBUMIN_THRESHOLD] - mode(x)) for well, x in droplets.items()}
    stray = above.pop(STRAY_WELL)
    assert len(stray) == 1
    spread = 1.4826 * np.median(np.abs(droplets[STRAY_WELL] - mode(droplets[STRAY_WELL])))
    assert np.abs(np.concatenate(list(above.values())) - stray).min() < spread
    row, counted = results.loc[STRAY_WELL], beyond(plate, STRAY_WELL, 0, ALBUMIN_THRESHOLD)
    assert row["Concentration"] < counted.low < row["PoissonConfMax"] < counted.high


def test_intervals_of_albumin_hold_their_value(albumin_results):
    _, results = albumin_results
    value, low, high = (results[name] for name in ("Concentration", "PoissonConfMin", "PoissonConfMax"))
    assert ((low <= value) & (value <= high)).all()
    none = results[results["Positives"] == 0]
    assert len(none) >= 7
    # Twice the log-likelihood falls by 3.84 where 1.92 droplets are expected and none is seen.
    np.testing.assert_allclose(none["PoissonConfMax"] * VOLUME_UL * none["AcceptedDroplets"], 1.92, rtol=0.1)


# --- dPCP: three targets in the plane of two channels ----------------------------------------------------------------


@pytest.fixture(scope="module")
def dilution(real_data):
    plate = read_plate(real_data / "ddpcr" / "dpcp_dilution")
    return plate, quantify(plate)


def test_three_targets_are_found_in_two_channels(dilution):
    _, q = dilution
    (assay,) = q.assays
    assert assay.law == "multiplex:3"
    assert set(assay.targets) == {"TBP", "NAGK", "RPPH1"}
    assert q.plate_fit.converged
    # TBP lights along the first channel, RPPH1 along the second, NAGK in both.
    steps = {}
    for t, target in enumerate(assay.targets):
        alone = (assay.fit.scheme.states.sum(axis=1) == 1) & (assay.fit.scheme.states[:, t] == 1)
        steps[target] = (assay.fit.levels[alone] - assay.fit.levels[0])[0]
    assert steps["TBP"][0] > 10 * abs(steps["TBP"][1])
    assert steps["RPPH1"][1] > 10 * abs(steps["RPPH1"][0])
    assert min(steps["NAGK"]) > 500


@pytest.mark.parametrize(
    ("targets", "channel", "gate"),
    [(("TBP",), 0, TBP_GATE), (("TBP", "NAGK"), 0, CH1_GATE), (("NAGK", "RPPH1"), 1, CH2_GATE)],
    ids=["TBP", "TBP and NAGK", "NAGK and RPPH1"],
)
def test_targets_follow_their_gates(dilution, targets, channel, gate):
    plate, q = dilution
    for well in DILUTION:
        value = sum(found(q.results, target)[well] for target in targets)
        gated = beyond(plate, well, channel, gate)
        assert agrees(value, gated, 0.05), (well, value, gated)


@pytest.mark.parametrize("well", ["A04", "B04"])
def test_wells_the_instrument_got_wrong_are_right(dilution, well):
    plate, q = dilution
    value = found(q.results, "TBP")[well] + found(q.results, "NAGK")[well]
    gated = beyond(plate, well, 0, CH1_GATE).value
    assert value == pytest.approx(gated, rel=0.05)
    called = concentration(int((plate.wells[well].calls[:, 0] == 1).sum()), len(plate.wells[well])).value
    assert called > 3 * value


@pytest.mark.parametrize("target", ["TBP", "NAGK", "RPPH1"])
def test_control_of_the_dilution_is_empty(dilution, target):
    _, q = dilution
    row = q.results.query("Well == 'F04' and Target == @target").iloc[0]
    assert row["SampleType"] == "NTC"
    assert row["Positives"] == 0
    assert row["Concentration"] < 0.005
    assert row["PoissonConfMin"] == 0
    assert row["PoissonConfMax"] < 0.2


def test_targets_of_the_dilution_fall_with_it(dilution):
    """Single-copy genes: the three targets agree, and each is about half of the step before."""
    _, q = dilution
    amounts = np.array([10 / 2**step for step in range(6)])
    for target in ("TBP", "NAGK", "RPPH1"):
        values = np.array([found(q.results, target)[well] for well in DILUTION[:6]])
        slope = np.polyfit(np.log(amounts), np.log(values), 1)[0]
        assert slope == pytest.approx(1.0, abs=0.15)
