"""Negatives of every well and positive populations of a plate are found where they were planted."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mixsci.ddpcr.landmarks import landmarks

NOISE = 100.0


def droplets(rng, level, steps, counts, noise=NOISE):
    """(n, C) droplets: the first count at the level, each other one a step from it."""
    places = np.vstack([np.zeros(np.size(level)), steps])
    parts = [
        level + place + noise * (1.0 + 0.5 * (place != 0).any()) * rng.standard_normal((count, np.size(level)))
        for place, count in zip(places, counts, strict=True)
    ]
    return np.concatenate(parts)


def line(rng, level, gap, rate, n=3000):
    positive = rng.binomial(n, -np.expm1(-rate))
    return droplets(rng, np.array([level]), np.array([[gap]]), (n - positive, positive))


@settings(max_examples=30)
@given(
    level=st.floats(-3000, 9000),
    gap=st.floats(1500, 12_000),
    rates=st.lists(st.sampled_from([0.0, 0.02, 0.3, 1.0, 2.0]), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_negatives_and_positives_of_one_channel(level, gap, rates, seed):
    """Wells drift by 1.5 % of the gap; the first has some of both."""
    rng = np.random.default_rng(seed)
    levels = level + 0.015 * gap * rng.standard_normal(len(rates) + 1)
    wells = [line(rng, own, gap, rate) for own, rate in zip(levels, [0.3, *rates], strict=True)]
    found = landmarks(wells)
    np.testing.assert_allclose(found.baselines[:, 0], levels, atol=0.5 * NOISE)
    assert found.level[0] == pytest.approx(np.median(levels), abs=0.02 * gap + 0.5 * NOISE)
    assert found.spread[0] == pytest.approx(NOISE, rel=0.2)
    np.testing.assert_allclose(found.places, [[gap]], atol=1.0 * NOISE + 0.02 * gap)
    positives = sum((well[:, 0] > own + gap / 2).sum() for well, own in zip(wells, levels, strict=True))
    assert found.masses[0] == pytest.approx(positives, rel=0.05)


def test_controls_tell_negatives_from_positives():
    """In most wells nearly all droplets are positive: only the controls say which population is which."""
    rng = np.random.default_rng(1)
    levels = 2000.0 + 80.0 * rng.standard_normal(6)
    wells = [line(rng, own, 6000.0, rate) for own, rate in zip(levels, [5.0, 4.0, 6.0, 8.0, 5.0, 0.0], strict=True)]
    found = landmarks(wells, controls=[5])
    # The last but one well of rate 8 has about one negative: there the plate's level stands in.
    np.testing.assert_allclose(found.baselines[[0, 1, 4, 5], 0], levels[[0, 1, 4, 5]], atol=0.6 * NOISE)
    assert np.abs(found.baselines - 2000.0).max() < 500
    np.testing.assert_allclose(found.places, [[6000.0]], atol=150)


def test_wells_without_positives_have_no_populations():
    rng = np.random.default_rng(2)
    wells = [1000.0 + NOISE * rng.standard_normal((4000, 2)) for _ in range(3)]
    found = landmarks(wells, controls=[0, 1, 2])
    assert found.places.shape == (0, 2)
    assert found.masses.shape == (0,)
    np.testing.assert_allclose(found.spread, NOISE, rtol=0.1)
    np.testing.assert_allclose(found.baselines, 1000.0, atol=0.4 * NOISE)


def test_populations_of_two_channels():
    rng = np.random.default_rng(3)
    level, steps = np.array([1250.0, 1170.0]), np.array([[4900.0, -110.0], [0.0, 1800.0], [4700.0, 1690.0]])
    wells = [droplets(rng, level, steps, counts, 50.0) for counts in ((2000, 600, 500, 150), (2500, 40, 900, 30))]
    found = landmarks(wells)
    assert found.places.shape == (3, 2)
    order = [int(np.linalg.norm(found.places - step, axis=1).argmin()) for step in steps]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(found.places[order], steps, atol=100)
    np.testing.assert_allclose(found.masses[order], [640, 1400, 180], rtol=0.1)
    assert (np.diff(found.masses) <= 0).all()


def test_rungs_of_a_ladder_are_populations_of_their_own():
    rng = np.random.default_rng(4)
    steps = 1850.0 * np.arange(1, 5)[:, None]
    level = np.array([7700.0])
    control = droplets(rng, level, steps[:0], (4000,), 205.0)
    found = landmarks([droplets(rng, level, steps, (1500, 1500, 900, 600, 300), 205.0), control], controls=[1])
    np.testing.assert_allclose(np.sort(found.places[:3, 0]), steps[:3, 0], atol=150)


def test_dust_and_a_droplet_far_off_move_nothing():
    rng = np.random.default_rng(5)
    clean = line(rng, 8600.0, 10_000.0, 0.2)
    dust = np.concatenate([rng.uniform(500, 6000, 60), rng.uniform(25_000, 34_000, 5), [90_000.0]])[:, None]
    one, other = landmarks([clean]), landmarks([np.concatenate([clean, dust])])
    np.testing.assert_allclose(other.baselines, one.baselines, atol=0.3 * NOISE)
    np.testing.assert_allclose(other.spread, one.spread, rtol=0.1)
    assert np.abs(other.places - 10_000.0).min() < 200
    assert (other.places > 0).all()


@pytest.mark.parametrize(("factor", "shift"), [(3.0, 100.0), (0.01, -50.0)])
def test_landmarks_move_and_stretch_with_the_droplets(factor, shift):
    rng = np.random.default_rng(6)
    wells = [line(rng, 1000.0, 5000.0, rate) for rate in (0.1, 0.9, 0.0)]
    one, other = landmarks(wells, [2]), landmarks([factor * well + shift for well in wells], [2])
    np.testing.assert_allclose(other.baselines, factor * one.baselines + shift, rtol=1e-9)
    np.testing.assert_allclose(other.level, factor * one.level + shift, rtol=1e-9)
    np.testing.assert_allclose(other.spread, factor * one.spread, rtol=1e-9)
    np.testing.assert_allclose(other.places, factor * one.places, rtol=1e-9)
    np.testing.assert_array_equal(other.masses, one.masses)


def test_order_of_droplets_does_not_matter():
    rng = np.random.default_rng(7)
    wells = [line(rng, 1000.0, 5000.0, rate) for rate in (0.1, 0.9)]
    one, other = landmarks(wells), landmarks([rng.permutation(well) for well in wells])
    for name in ("baselines", "level", "spread", "places", "masses"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-12)
