"""Limits of blank and of detection, by their definitions and by simulated controls."""

import numpy as np
import pytest
from scipy import stats

from mixsci.ddpcr.controls import limit_of_blank, limit_of_detection, limits
from mixsci.errors import DataError


def test_many_controls_are_ranked():
    """CLSI EP17: with 35 blanks the rank is 0.5 + 0.95 * 35 = 33.75, three quarters between the 33rd and the 34th."""
    blanks = np.random.default_rng(1).permutation([0] * 20 + [1] * 10 + [2] * 3 + [6] * 2)
    assert limit_of_blank(blanks) == pytest.approx(2 + 0.75 * 4)
    assert limit_of_blank(np.arange(1, 61)) == pytest.approx(0.5 + 0.95 * 60)
    assert limit_of_blank(np.arange(1, 61), alpha=0.1) == pytest.approx(54.5)


@pytest.mark.parametrize(("blanks", "alpha"), [([0] * 4, 0.05), ([0, 1, 0, 2], 0.05), ([3] * 29, 0.01), ([12], 0.05)])
def test_few_controls_bound_a_poisson_law(blanks, alpha):
    mean = stats.chi2.ppf(1 - alpha, 2 * (sum(blanks) + 1)) / 2 / len(blanks)
    assert limit_of_blank(blanks, alpha) == stats.poisson.ppf(1 - alpha, mean)


@pytest.mark.parametrize("lob", [0, 1, 2, 2.4, 6, 30])
def test_what_is_detected_exceeds_a_blank(lob):
    lod = limit_of_detection(lob)
    assert stats.poisson.sf(lob, lod) == pytest.approx(0.95, abs=1e-9)
    assert stats.poisson.sf(lob, 0.99 * lod) < 0.95


def test_three_copies_are_detected_where_blanks_are_clean():
    found = limits([0] * 40, 15000)
    assert (found.lob, round(found.lod, 3)) == (0, 2.996)
    assert found.n_controls == 40
    assert found.method == "limit of blank: 0.95 quantile of 40 controls (CLSI EP17); limit of detection: Poisson."


def test_samples_with_little_template_give_the_spread():
    samples = [[3, 5, 4, 8], [6, 7, 3]]
    sd = np.sqrt((3 * np.var(samples[0], ddof=1) + 2 * np.var(samples[1], ddof=1)) / 5)
    found = limits([0] * 40, 15000, low_level=samples)
    assert found.lod == pytest.approx(1.644854 * sd, rel=1e-6)
    assert "2 samples with little template" in found.method


def test_limits_as_concentrations():
    found = limits([0, 0, 1, 0], [14000, 16000, 15000, 15000])
    lob, lod = found.per_ul(0.85)
    assert found.droplets == 15000
    assert lob == pytest.approx(-np.log1p(-found.lob / 15000) / 0.85e-3)
    assert lod == pytest.approx(found.lod / 15000 / 0.85e-3)


def test_above_a_blank_means_more_than_its_limit():
    found = limits([0, 0, 0, 0], 15000)
    np.testing.assert_array_equal(found.above([[0, 2], [2.5, 3]]), [[False, False], [True, True]])
    assert found.above(3)


@pytest.mark.parametrize("controls", [1, 4, 12, 29])
@pytest.mark.parametrize("mean", [0.02, 0.5, 3.0])
def test_blanks_seldom_exceed_the_limit_of_few_controls(controls, mean):
    rng = np.random.default_rng(2)
    chance = [stats.poisson.sf(limit_of_blank(rng.poisson(mean, controls)), mean) for _ in range(300)]
    assert np.mean(chance) <= 0.05
    # Not on average only: the bound on the mean holds in 95 % of plates.
    assert np.mean(np.array(chance) <= 0.05) >= 0.93


@pytest.mark.parametrize("mean", [0.02, 0.5, 3.0])
def test_blanks_exceed_the_limit_of_many_controls_as_often_as_told(mean):
    rng = np.random.default_rng(3)
    chance = [stats.poisson.sf(limit_of_blank(rng.poisson(mean, 60)), mean) for _ in range(300)]
    assert np.mean(chance) <= 0.06


def test_wells_without_droplets_are_no_controls():
    assert limits([0, 0, 0], [15000, 0, 15000]).n_controls == 2


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([], []), {}, "needs at least one well without template; got none"),
        (([0], [0]), {}, "needs at least one well"),
        (([20], [10]), {}, "got 20 of 10"),
        (([0], [10]), {"alpha": 0}, "alpha must lie between 0 and 1"),
        (([0], [10]), {"beta": 5}, "beta must lie between 0 and 1"),
        (([0], [10]), {"low_level": [[3]]}, "at least two counts per sample"),
        (([0], [10]), {"low_level": []}, "at least two counts per sample"),
        (([0], [10]), {"low_level": [[3, np.nan]]}, "at least two counts per sample"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(DataError, match=words):
        limits(*arguments, **options)


def test_refuses_counts_that_are_none():
    with pytest.raises(DataError, match="positives of controls must be counts; not so in row 1"):
        limit_of_blank([0, -1])
    with pytest.raises(DataError, match="lob must not be negative"):
        limit_of_detection(-1)
