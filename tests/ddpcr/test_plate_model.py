"""The plate model finds what a plate was made of: levels, spreads, baselines, weights, and each well's own shifts."""

import numpy as np
import pytest

from mixsci.ddpcr.landmarks import landmarks
from mixsci.ddpcr.lattice import candidates
from mixsci.ddpcr.laws import parse
from mixsci.ddpcr.plate_model import fit_assay
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.shifts import settled
from mixsci.ddpcr.simulate import simulate_plate
from mixsci.errors import DataError
from tests.ddpcr.plates import (
    NEGATIVE,
    NOISE,
    POSITIVE,
    WIDER_NOISE,
    one_probe,
    one_target,
    plate_of,
    two_targets,
)

both = pytest.mark.parametrize("quantified", [one_target, two_targets])


def fitted(wells, controls=(), *, free=False):
    """The plate model of wells of one channel."""
    marks = landmarks(wells, controls)
    placed = candidates(parse("binary", ("Ch1",)), marks, ("Ch1",))[0]
    return fit_assay([f"A{i + 1:02d}" for i in range(len(wells))], wells, marks, placed, free=free)


def by_state(found):
    """(W, S) weights of the states in every well."""
    weights = found.fit.mixture.weights
    return np.stack([weights[:, found.layout.state_of == s].sum(axis=1) for s in range(len(found.levels))], axis=1)


@pytest.fixture(scope="module")
def drifting():
    """Clean droplets of wells whose baselines differ, the last far from all others."""
    rng = np.random.default_rng(1)
    shifts = np.array([-150.0, -60.0, 0.0, 70.0, 140.0, 30.0, 1500.0])
    drawn = [one_probe(rng, rate) for rate in (0.0, 0.02, 0.2, 0.5, 1.0, 2.0, 0.5)]
    wells = [x + shift for (x, _), shift in zip(drawn, shifts, strict=True)]
    return fitted(wells, [0]), wells, shifts, np.array([k for _, k in drawn])


# --- what a plate was made of ----------------------------------------------------------------------------------------


def test_levels_and_spreads_are_found(drifting):
    found, *_ = drifting
    low, high = found.levels[:, 0]
    assert high - low == pytest.approx(POSITIVE - NEGATIVE, abs=15)
    (resolution,) = found.resolution
    assert resolution == pytest.approx((POSITIVE - NEGATIVE) / (NOISE + WIDER_NOISE), rel=0.05)


def test_baselines_are_found(drifting):
    found, wells, *_ = drifting
    offsets = np.asarray(found.fit.mixture.offsets)[:, 0]
    own = [np.median(x[x < x.min() + 1500]) for x in wells]
    np.testing.assert_allclose(found.levels[0, 0] + offsets, own, atol=12)


def test_drift_is_told_in_units_of_the_usual_one(drifting):
    found, _, shifts, _ = drifting
    usual = 1.4826 * np.median(np.abs(shifts - np.median(shifts)))
    for well, shift in enumerate(shifts):
        assert found.drift(well)[0] == pytest.approx(
            abs(shift - np.median(shifts)) / usual, abs=0.3 + 0.05 * abs(shift) / usual
        )
    assert float(found.drift(6)[1]) == pytest.approx(usual, rel=0.15)


def test_weights_follow_from_the_rates(drifting):
    found, _, _, positives = drifting
    rates = np.asarray(found.fit.mixture.rates).reshape(len(positives), -1)
    np.testing.assert_allclose(by_state(found), found.scheme.law.weights(rates), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(1 - np.exp(-rates[1:, 0]), positives[1:] / 3000, rtol=0.01)
    assert rates[0, 0] < 1e-4


@both
def test_shapes_are_shared_by_all_wells(quantified):
    _, q = quantified()
    fit = q.assays[0].fit
    weights = fit.fit.mixture.weights
    state_of = fit.layout.state_of
    inside = weights / np.stack([np.bincount(state_of, row) for row in weights])[:, state_of]
    heavy = np.stack([np.bincount(state_of, row) for row in weights])[:, state_of] > 1e-6
    for k in range(weights.shape[1]):
        np.testing.assert_allclose(inside[heavy[:, k], k], inside[heavy[:, k], k].mean(), rtol=1e-5, atol=1e-12)


@both
def test_simulated_levels_are_found(quantified):
    made, q = quantified()
    fit, assay = q.assays[0].fit, made.assay
    for t in range(len(assay.targets)):
        step = fit.levels[fit.scheme.single(t)] - fit.levels[0]
        np.testing.assert_allclose(step, assay.steps[t], atol=0.03 * assay.gaps.max())
        channel = int(np.argmax(assay.steps[t]))
        wide = np.hypot(assay.noise[channel], assay.spread * assay.steps[t, channel])
        expected = assay.steps[t, channel] / (assay.noise[channel] + wide)
        # The cores are narrower than the whole, whose tails are components of their own.
        assert expected * 0.95 < fit.resolution[t] < expected * 1.4


def test_free_weights_are_the_counts(drifting):
    linked, wells, _, positives = drifting
    found = fitted(wells, [0], free=True)
    np.testing.assert_allclose(by_state(found)[1:, 1], positives[1:] / 3000, rtol=0.01)
    # One rate for two states says all that free weights say.
    assert found.fit.log_likelihood == pytest.approx(linked.fit.log_likelihood, abs=0.5)


def test_new_names_change_nothing_else(drifting):
    found, *_ = drifting
    named = found.named(["VIM"])
    assert [target.name for target in named.scheme.targets] == ["VIM"]
    np.testing.assert_array_equal(named.levels, found.levels)


def test_many_wells_are_fitted_as_few_are():
    """From 41 wells on a few show the way: what is found is what their droplets say all the same."""
    rates = np.tile([0.0, 0.05, 0.3, 1.0], 11)
    made = simulate_plate(rates[:42], n_droplets=600, controls=2, rng=2)
    q = quantify(made.plate)
    assert q.plate_fit.converged
    rows = q.results.merge(made.truth, on="Well", suffixes=("", "True"))
    counted = -np.log1p(-rows["Occupied"] / rows["Droplets"])
    apart = np.abs(rows["Lambda"] - counted) / np.maximum(rows["LambdaSE"], 1 / 600)
    assert apart.max() < 1.0
    assert len(rows) == 44


def test_calls_instead_of_amplitudes_are_refused():
    x = np.repeat([[1000.0], [6000.0]], [2000, 1000], axis=0)
    with pytest.raises(DataError, match="droplets must have amplitudes of their own"):
        quantify(plate_of({"A01": x, "A02": x}))


# --- shifts of states within a well ----------------------------------------------------------------------------------


def core_means(found, mixture):
    return np.array([mixture.means[k, 0] for k, part in enumerate(found.layout.parts) if part.kind == "core"])


def test_states_move_where_a_well_has_them():
    """One well is brighter by 1 % of the gap: its own droplets say so, not the plate."""
    rng = np.random.default_rng(3)
    wells = [one_probe(rng, rate)[0] for rate in (0.0, 0.3, 0.5, 0.4, 0.6)]
    brighter = wells[-1].copy()
    brighter[brighter > 3500] += 50.0
    found = fitted([*wells[:-1], brighter], [0])
    before, after = found.fit.mixture.of_group(4), settled(found, 4)
    own = brighter[brighter > 3500].mean()
    gap = core_means(found, before)[1]
    assert abs(core_means(found, after)[1] - own) < 0.5 * abs(gap - own)
    assert abs(core_means(found, after)[1] - own) < 15


@pytest.mark.parametrize("strays", [0, 3])
def test_states_nobody_is_in_stay(strays):
    rng = np.random.default_rng(4)
    wells = [one_probe(rng, rate)[0] for rate in (0.0, 0.3, 0.5)]
    wells[0][:strays] = 5200.0
    found = fitted(wells, [0])
    before, after = found.fit.mixture.of_group(0), settled(found, 0)
    assert core_means(found, after)[1] == core_means(found, before)[1]
    assert abs(core_means(found, after)[0] - core_means(found, before)[0]) < 0.3 * NOISE


def test_rain_moves_with_the_states_it_lies_between():
    _, q = one_target()
    fit = q.assays[0].fit
    for well in q.assays[0].wells.values():
        moved = well.mixture.means - fit.fit.mixture.of_group(well.number).means
        cores = [k for k, part in enumerate(fit.layout.parts) if part.kind == "core"]
        low, high = moved[cores]
        np.testing.assert_allclose(moved[:, 0], np.where(
            fit.layout.at > 0, (1 - fit.layout.at) * low + fit.layout.at * high, moved[cores][fit.layout.state_of, 0]
        ), atol=1e-6)  # fmt: skip
