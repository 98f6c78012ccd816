"""Probabilities and calls of single droplets, and what the plate says of rain, dust and thresholds."""

import numpy as np
import pytest

from mixsci.ddpcr.calls import Calls
from mixsci.ddpcr.plate import calls_of
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate
from mixsci.errors import DataError
from tests.ddpcr.plates import NEGATIVE, NOISE, one_probe, one_target, plate_of, two_targets

both = pytest.mark.parametrize("quantified", [one_target, two_targets])


def wells(quantified):
    made, q = quantified()
    for assay in q.assays:
        for name, well in assay.wells.items():
            yield made, assay, name, well, q.calls(name)


# --- probabilities ---------------------------------------------------------------------------------------------------


@both
def test_probabilities_are_probabilities(quantified):
    for made, assay, name, _, found in wells(quantified):
        n = len(made.plate.wells[name])
        assert found.positive.shape == found.seen.shape == (n, len(assay.targets))
        assert found.outlier.shape == (n,)
        for values in (found.positive, found.outlier, found.seen):
            assert ((values >= 0) & (values <= 1 + 1e-12)).all()
        # A droplet of no population holds no target.
        assert (found.positive + found.outlier[:, None] <= 1 + 1e-9).all()
        assert (found.seen <= found.positive).all()


@both
def test_counts_of_a_well_are_those_of_its_droplets(quantified):
    for _, _, _, well, found in wells(quantified):
        np.testing.assert_allclose(found.positive.sum(axis=0), well.expected, rtol=1e-12)
        np.testing.assert_allclose(found.seen.sum(axis=0), well.seen, rtol=1e-12)
        np.testing.assert_array_equal(found.called[found.accepted].sum(axis=0), well.positives)
        assert well.accepted == found.accepted.sum()
        assert well.outliers == (~found.accepted).sum()
        assert well.states.sum() == well.accepted


@both
def test_expected_positives_agree_with_those_called(quantified):
    """They differ by what calls round off, most of it rain under the negatives."""
    for _, _, _, well, found in wells(quantified):
        rounded_off = np.minimum(found.positive, 1 - found.positive)[found.accepted].sum(axis=0)
        assert (np.abs(well.expected - well.positives) <= rounded_off + 0.5).all()
        assert (rounded_off < 1 + 0.04 * well.positives).all()


@both
def test_expected_positives_are_those_of_lambda(quantified):
    """The rates and the droplets are one model: -ln(1 - share) of the expected positives is lambda."""
    for _, assay, _, well, found in wells(quantified):
        total = (1 - found.outlier).sum()
        for t in range(len(assay.targets)):
            assert -np.log1p(-well.expected[t] / total) == pytest.approx(well.rates.rates[t], rel=2e-3, abs=2e-5)


@both
def test_expected_positives_are_those_that_hold_a_copy(quantified):
    made, _ = quantified()
    truth = made.truth.set_index(["Well", "Target"])["Occupied"]
    for _, assay, name, well, found in wells(quantified):
        unsure = np.sqrt((found.positive * (1 - found.positive)).sum(axis=0))
        for t, target in enumerate(assay.targets):
            # Rain under the negatives is inferred from that above them.
            hidden = 0.01 * truth[name, target]
            assert abs(well.expected[t] - truth[name, target]) < 3 + 4 * unsure[t] + hidden, (name, target)


@both
def test_calls_are_right_but_for_a_few(quantified):
    made, _ = quantified()
    for _, _, name, _, found in wells(quantified):
        wrong = found.called != (made.copies[name] > 0)
        assert wrong.mean() < 0.02


def test_probabilities_are_calibrated():
    """Of droplets that are neither here nor there as many hold a copy as their probabilities say."""
    made, q = one_target()
    found = [(q.calls(name).positive[:, 0], made.copies[name][:, 0] > 0) for name in q.assays[0].wells]
    p, truth = (np.concatenate(each) for each in zip(*found, strict=True))
    between = (p > 1e-3) & (p < 1 - 1e-3)
    assert between.sum() > 20
    spread = np.sqrt((p * (1 - p))[between].sum())
    assert abs(p[between].sum() - truth[between].sum()) < 4 * spread + 2


def test_more_light_is_more_likely_positive():
    """Along the one channel, from the negatives' level to that of the positives."""
    made, q = one_target()
    for name in ("A01", "A02", "A03"):
        x, p = made.plate.wells[name].amplitudes[:, 0], q.calls(name).positive[:, 0]
        order = np.argsort(x)
        levels = q.assays[0].fit.levels[:, 0]
        between = (x[order] > levels[0]) & (x[order] < levels[1])
        assert (np.diff(p[order][between]) > -0.01).all()


# --- thresholds, rain, dust ------------------------------------------------------------------------------------------


def test_a_threshold_separates_the_calls():
    made, q = one_target()
    for name, well in q.assays[0].wells.items():
        x, called = made.plate.wells[name].amplitudes[:, 0], q.calls(name).called[:, 0]
        step = np.ptp(q.assays[0].fit.levels[:, 0]) / 400
        clear = np.abs(x - well.thresholds[0]) > step
        np.testing.assert_array_equal(called[clear], x[clear] > well.thresholds[0])


def test_rain_is_the_share_that_was_simulated():
    made = simulate_plate([0.5, 1.0], rain=0.1, n_droplets=5000, controls=1, rng=3)
    found = quantify(made.plate).results["RainFraction"]
    truth = made.truth["Rain"][:2].sum() / made.truth["Occupied"][:2].sum()
    np.testing.assert_allclose(found[:2], truth, atol=0.02)


def test_dust_belongs_to_no_population():
    rng = np.random.default_rng(4)
    x, positive = one_probe(rng, 0.4)
    dust = np.concatenate([rng.uniform(-4000, NEGATIVE - 12 * NOISE, 90), rng.uniform(200_000, 300_000, 5)])[:, None]
    order = rng.permutation(len(x) + len(dust))
    is_dust = np.repeat([False, True], [len(x), len(dust)])[order]
    q = quantify(plate_of({"A01": np.concatenate([x, dust])[order], "A02": one_probe(rng, 0.0)[0]}))
    found = q.calls("A01")
    np.testing.assert_array_equal(found.accepted, ~is_dust)
    np.testing.assert_array_equal(found.clusters() == 0, is_dust)
    row = q.results.iloc[0]
    assert (row["Outliers"], row["AcceptedDroplets"]) == (95, 3000)
    assert abs(row["Positives"] - positive) <= 1
    assert row["Lambda"] == pytest.approx(-np.log1p(-positive / 3000), rel=1e-3)


def test_nothing_of_a_control_is_seen():
    """Seen positives lie where droplets of the controls do not come."""
    _, q = one_target()
    for name in q.assays[0].group.controls:
        assert q.assays[0].wells[name].seen[0] == pytest.approx(q.calls(name).positive[q.calls(name).called].sum())
    assert 0 < q.assays[0].reach[0] < 1


# --- codes -----------------------------------------------------------------------------------------------------------


def made_up(positive, outlier=None):
    positive = np.array(positive, dtype=float)
    return Calls(positive, np.zeros(len(positive)) if outlier is None else np.array(outlier), positive)


def test_codes_of_one_target():
    np.testing.assert_array_equal(made_up([[0.2], [0.9], [0.9]], [0, 0, 0.6]).clusters(), [1, 2, 0])


def test_codes_of_two_targets_are_the_instruments():
    found = made_up([[0.1, 0.2], [0.9, 0.3], [0.8, 0.7], [0.4, 0.6], [0.9, 0.9]], [0, 0, 0, 0, 1])
    codes = found.clusters()
    np.testing.assert_array_equal(codes, [1, 2, 3, 4, 0])
    np.testing.assert_array_equal(calls_of(codes, ("Ch1", "Ch2"))[:4], found.called[:4])


def test_codes_of_three_targets_are_all_different():
    states = np.array([[code >> t & 1 for t in range(3)] for code in range(8)])
    np.testing.assert_array_equal(made_up(0.9 * states).clusters(), np.arange(1, 9))


# --- the droplets of a well ------------------------------------------------------------------------------------------


@both
def test_droplets_stand_in_the_files_order(quantified):
    made, q = quantified()
    for assay in q.assays:
        for name in assay.wells:
            table, found = q.droplets(name), q.calls(name)
            well = made.plate.wells[name]
            np.testing.assert_array_equal(table[[f"{c} Amplitude" for c in well.channels]], well.amplitudes)
            np.testing.assert_array_equal(table["Cluster"], found.clusters())
            np.testing.assert_array_equal(table[[f"P({target})" for target in assay.targets]], found.positive)
            np.testing.assert_array_equal(table["P(outlier)"], found.outlier)
            assert len(table.columns) == len(well.channels) + len(assay.targets) + 2


def test_calls_of_an_unknown_well_are_refused():
    _, q = one_target()
    with pytest.raises(DataError, match="well H12 was not quantified: the plate has no such well"):
        q.calls("h12")
    with pytest.raises(DataError, match="a well must be a row"):
        q.droplets("Z99")
