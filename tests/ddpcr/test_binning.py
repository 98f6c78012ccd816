"""Bins lose no droplet, and of the likelihood nothing that matters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mixsci.ddpcr.binning import ABOVE, BELOW, aside, gather
from mixsci.ddpcr.well_rates import PlateRates, plate_rates, state_shares
from tests.ddpcr.plates import one_target, two_targets


def droplets(seed, n, channels, spread):
    """Negatives at 0, positives far above, dust far below and a few impossible ones."""
    rng = np.random.default_rng(seed)
    x = spread * rng.standard_normal((n, channels))
    x += spread * 60 * (rng.random((n, channels)) < 0.3)
    x[rng.random(n) < 0.02, 0] -= 20 * spread
    x[rng.random(n) < 0.005, 0] += 3000 * spread
    return x


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=4),
    channels=st.sampled_from([1, 2]),
    spread=st.floats(0.01, 500),
)
def test_no_droplet_is_lost(seed, sizes, channels, spread):
    wells = [droplets(seed + i, n, channels, spread) for i, n in enumerate(sizes)]
    baselines = np.zeros((len(wells), channels))
    found = gather(wells, baselines, np.full(channels, spread))
    assert len(found.x) == len(found.counts) == len(found.well)
    assert (found.counts >= 1).all()
    np.testing.assert_array_equal(np.bincount(found.well, found.counts, len(wells)) + found.gated, sizes)
    for number, well in enumerate(wells):
        here = found.well == number
        out = aside(well, baselines[number], np.full(channels, spread))
        assert found.gated[number] == out.sum()
        # Sums, and so the mean of the well, are kept.
        np.testing.assert_allclose(
            found.counts[here] @ found.x[here], well[~out].sum(axis=0), rtol=1e-9, atol=1e-6 * spread * len(well)
        )
        bins = found.bin_of[number]
        np.testing.assert_array_equal(bins < 0, out)
        np.testing.assert_array_equal(np.bincount(bins[~out], minlength=here.sum()), found.counts[here])
        np.testing.assert_array_equal(np.flatnonzero(here)[:1], found.begins[number : number + 1][: here.sum()])


@pytest.mark.parametrize("channels", [1, 2])
def test_droplets_lie_near_the_mean_of_their_bin(channels):
    spread = 100.0
    well = droplets(1, 5000, channels, spread)
    found = gather([well], np.zeros((1, channels)), np.full(channels, spread))
    kept = found.bin_of[0] >= 0
    apart = np.abs(well[kept] - found.x[found.bin_of[0][kept]]) / spread
    # Bins widen upwards, as populations do.
    near = (np.abs(well[kept]) < 5 * spread).all(axis=1)
    assert apart[near].max() < 0.35
    assert (apart < 0.35 + 0.025 * np.abs(well[kept]) / spread).all()
    assert len(found.x) < 0.6 * len(well)


def test_bins_follow_each_wells_baseline():
    well = droplets(2, 3000, 1, 100.0)
    found = gather([well, well + 730.0], np.array([[0.0], [730.0]]), np.array([100.0]))
    one, other = (found.x[found.well == number] for number in (0, 1))
    np.testing.assert_allclose(other, one + 730.0, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(found.bin_of[0], found.bin_of[1])


def test_droplets_far_off_are_set_aside():
    well = np.array([[0.0, 0.0], [-BELOW - 0.1, 0.0], [0.0, -BELOW - 0.1], [BELOW + 1, 0.0], [0.0, ABOVE + 1], [-7, 7]])
    out = aside(10 * well + 50, np.array([50.0, 50.0]), np.array([10.0, 10.0]))
    np.testing.assert_array_equal(out, [False, True, True, False, True, False])


def test_a_well_of_dust_alone_has_no_bins():
    found = gather([np.full((9, 1), -5000.0), np.zeros((4, 1))], np.zeros((2, 1)), np.array([100.0]))
    np.testing.assert_array_equal(found.gated, [9, 0])
    assert found.counts.sum() == 4
    assert (found.well == 1).all()


# --- the likelihood --------------------------------------------------------------------------------------------------


def unbinned(plate, assay):
    """The same likelihood with a row for every droplet."""
    parts = []
    for name, well in assay.wells.items():
        x = plate.wells[name].amplitudes
        x = x[assay.fit.binned.bin_of[well.number] >= 0]
        parts.append((*state_shares(assay.fit, well.mixture, x), np.ones(len(x))))
    begins = np.cumsum([0] + [len(part[2]) for part in parts[:-1]])
    return PlateRates(assay.fit.scheme, *(np.concatenate(each) for each in zip(*parts, strict=True)), begins)


@pytest.mark.parametrize("quantified", [one_target, two_targets])
def test_bins_say_of_lambda_what_droplets_say(quantified):
    """Rates and the ends of their intervals agree to 2 % of a standard error."""
    made, q = quantified()
    (assay,) = q.assays
    binned, single = assay.rates, unbinned(made.plate, assay)
    for t in range(len(assay.targets)):
        error = single.standard_error(t)
        assert (np.abs(binned.rates[:, t] - single.rates[:, t]) < 0.02 * error).all()
        for one, other in zip(binned.interval(t), single.interval(t), strict=True):
            assert (np.abs(one - other) < 0.03 * error).all()
        np.testing.assert_allclose(binned.standard_error(t), error, rtol=0.01)


def test_rows_of_sure_droplets_change_nothing():
    """Droplets sure of their state are one row for each state: the likelihood at other rates stays that of the bins."""
    _, q = two_targets()
    (assay,) = q.assays
    fit, mixtures = assay.fit, [well.mixture for well in assay.wells.values()]
    joined = plate_rates(fit, mixtures)
    parts = []
    for number, mixture in enumerate(mixtures):
        here = fit.binned.well == number
        parts.append((*state_shares(fit, mixture, fit.binned.x[here]), fit.binned.counts[here]))
    begins = np.cumsum([0] + [len(part[2]) for part in parts[:-1]])
    single = replace(
        joined,
        begins=begins,
        **dict(zip(("shares", "beyond", "counts"), map(np.concatenate, zip(*parts, strict=True)), strict=True)),
    )
    assert len(joined.counts) < len(single.counts)
    np.testing.assert_allclose(joined.rates, single.rates, rtol=1e-4, atol=1e-8)
    for t in range(2):
        held = 1.2 * np.maximum(single.rates[:, t], 1e-3)
        fallen = [each.log_likelihood - each.profile(t, held) for each in (joined, single)]
        np.testing.assert_allclose(*fallen, rtol=1e-3, atol=1e-3)
