"""Peaks stand where droplets were planted, and nowhere else."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.signal import find_peaks, peak_prominences

from mixsci.ddpcr.peaks import peaks

BANDWIDTH = 0.5


def places(found):
    return np.array([peak.place for peak in found])


def cloud(seed, centres, sizes, spread=1.0):
    rng = np.random.default_rng(seed)
    parts = [
        centre + spread * rng.standard_normal((size, np.size(centre)))
        for centre, size in zip(centres, sizes, strict=True)
    ]
    return np.concatenate(parts)


def effective_counts(x, at):
    """Droplets under one bandwidth: a sum of kernels, so scaled that its variance is its mean."""
    kernels = np.exp(-0.5 * ((at[:, None] - x) / BANDWIDTH) ** 2) / (np.sqrt(2 * np.pi) * BANDWIDTH)
    return np.sqrt(4 * np.pi) * BANDWIDTH * kernels.sum(axis=1)


# --- planted populations ---------------------------------------------------------------------------------------------


@given(
    gaps=st.lists(st.floats(8, 60), min_size=0, max_size=4),
    sizes=st.lists(st.integers(60, 2000), min_size=5, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_finds_planted_populations_on_a_line(gaps, sizes, seed):
    centres = np.cumsum([0.0, *gaps])
    x = cloud(seed, centres, sizes[: len(centres)])
    found = np.sort(places(peaks(x, np.array([BANDWIDTH])))[:, 0])
    assert len(found) == len(centres)
    np.testing.assert_allclose(found, centres, atol=1.0)


@settings(max_examples=40)
@given(
    cells=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6),
    sizes=st.lists(st.integers(150, 900), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_finds_planted_populations_in_a_plane(cells, sizes, seed):
    centres = 9.0 * np.array(sorted(cells))
    x = cloud(seed, centres, sizes[: len(centres)])
    found = places(peaks(x, np.array([BANDWIDTH, BANDWIDTH])))
    assert len(found) == len(centres)
    nearest = np.linalg.norm(found[:, None] - centres, axis=2)
    assert sorted(nearest.argmin(axis=1)) == list(range(len(centres)))
    assert nearest.min(axis=1).max() < 1.2


@pytest.mark.parametrize("seed", range(5))
def test_flat_noise_has_one_peak(seed):
    x = np.random.default_rng(seed).uniform(0, 100, (25_000, 1))
    assert len(peaks(x, np.array([BANDWIDTH]))) == 1


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scipy(seed):
    """The maxima of a kernel density that stand out, from scipy's prominences."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 60, 9)
    x = cloud(seed, centres, rng.integers(50, 900, 9))[:, 0]
    at = np.arange(x.min() - 3, x.max() + 3, 0.1)
    density = effective_counts(x, at)
    maxima, _ = find_peaks(density)
    height = density[maxima]
    saddle = height - peak_prominences(density, maxima)[0]
    # Near the limits of what stands out a grid decides: there the two may differ.
    rise, clear = height / np.maximum(saddle, 1e-9) / 1.5, (height - saddle) / (4 * np.sqrt(saddle + 1))
    margin = np.minimum(rise, clear)
    found = np.sort(places(peaks(x[:, None], np.array([BANDWIDTH])))[:, 0])
    for place in at[maxima[margin > 1.15]]:
        assert np.abs(found - place).min() < BANDWIDTH
    allowed = at[maxima[margin > 0.85]]
    for place in found:
        assert np.abs(allowed - place).min() < BANDWIDTH


def test_height_and_saddle_count_droplets_under_one_bandwidth():
    spread, n = 3.0, 12_000
    x = cloud(1, (0.0, 15.0), (n, n // 2), spread)
    high, low = peaks(x, np.array([BANDWIDTH]))
    at = np.linspace(-5, 20, 251)
    density = effective_counts(x[:, 0], at)
    assert high.height == pytest.approx(density.max(), rel=0.03)
    assert low.height == pytest.approx(density[at > 8].max(), rel=0.03)
    assert low.saddle == pytest.approx(density[(at > 2) & (at < 13)].min(), rel=0.05)
    assert high.saddle == 0
    assert high.height == pytest.approx(n * np.sqrt(2) * BANDWIDTH / np.hypot(spread, BANDWIDTH), rel=0.05)


def test_a_few_droplets_far_away_are_a_peak():
    """What stands alone has a pass of height 0: four droplets in one place already stand out."""
    x = np.concatenate([cloud(2, (0.0,), (3000,)), np.full((4, 1), 40.0)])
    assert np.abs(places(peaks(x, np.array([BANDWIDTH]))) - 40.0).min() < BANDWIDTH
    x = np.concatenate([cloud(2, (0.0,), (3000,)), np.full((2, 1), 40.0)])
    assert np.abs(places(peaks(x, np.array([BANDWIDTH]))) - 40.0).min() > 10


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plane():
    return cloud(3, ((0.0, 0.0), (12.0, 0.0), (0.0, 9.0)), (2000, 700, 300))


def test_the_highest_comes_first(plane):
    heights = [peak.height for peak in peaks(plane, np.array([BANDWIDTH] * 2))]
    assert heights == sorted(heights, reverse=True)
    assert len(heights) == 3


def test_order_of_droplets_does_not_matter(plane):
    found = peaks(plane, np.array([BANDWIDTH] * 2))
    again = peaks(np.random.default_rng(0).permutation(plane), np.array([BANDWIDTH] * 2))
    np.testing.assert_array_equal(places(again), places(found))
    assert [peak.height for peak in again] == [peak.height for peak in found]


def test_weights_are_repeated_droplets(plane):
    times = np.random.default_rng(1).integers(1, 4, len(plane))
    weighted = peaks(plane, np.array([BANDWIDTH] * 2), times)
    repeated = peaks(np.repeat(plane, times, axis=0), np.array([BANDWIDTH] * 2))
    np.testing.assert_array_equal(places(weighted), places(repeated))
    np.testing.assert_allclose([p.height for p in weighted], [p.height for p in repeated], rtol=1e-12)


def test_peaks_move_and_stretch_with_the_droplets(plane):
    found = peaks(plane, np.array([BANDWIDTH] * 2))
    factor, shift = np.array([3.0, 0.25]), np.array([100.0, -40.0])
    moved = peaks(factor * plane + shift, factor * BANDWIDTH)
    np.testing.assert_allclose(places(moved), factor * places(found) + shift, rtol=1e-9)


def test_no_droplets_have_no_peak():
    assert peaks(np.empty((0, 1)), np.array([1.0])) == []
    assert peaks(np.empty((0, 2)), np.array([1.0, 1.0])) == []


def test_droplets_in_one_place_are_one_peak():
    (found,) = peaks(np.full((500, 1), 7.0), np.array([BANDWIDTH]))
    assert found.place == pytest.approx(7.0, abs=BANDWIDTH)
