"""Replicates merged: as the instrument merges them, and how often the total interval holds the truth."""

import numpy as np
import pytest
from scipy import stats

from mixsci.ddpcr.concentrations import concentration, rate_interval
from mixsci.ddpcr.merge import SCATTERS, merge_rates, merge_wells
from mixsci.errors import DataError
from tests.ddpcr.printed import LEVELS, NO_CALL, QUANTASOFT, columns, misprints, parts, rows

MERGED = {"19-3581": 6, "20-0109": 12, "20-1276": 24}
COUNTS = ("Positives", "AcceptedDroplets")


def plate(rng, rate, cv, wells):
    """Positives and totals of wells whose true rates scatter by cv."""
    total = rng.integers(12_000, 19_000, wells)
    sd = np.sqrt(np.log1p(cv**2))
    true = rate * np.exp(rng.normal(0.0, sd, wells) - sd**2 / 2)
    return rng.binomial(total, -np.expm1(-true)), total


# --- what the instrument prints --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", LEVELS)
@pytest.mark.parametrize("name", [name for name in QUANTASOFT if "counts" in name])
def test_merged_rows_to_the_printed_digit(real_data, name, ending):
    table = rows(real_data / "ddpcr" / name)
    merged = [row for row in table if row["MergedWells"] and row["Concentration"] not in NO_CALL]
    assert len(merged) == next(n for part, n in MERGED.items() if part in name)
    wrong = []
    for row in merged:
        positives, total = columns(parts(row, table), COUNTS).T
        assert (positives.sum(), total.sum()) == tuple(columns([row], COUNTS)[0])
        found = merge_wells(positives, total, scatter="instrument", level=LEVELS[ending])
        for base, estimate in (("Poisson", found.concentration), ("Total", found.total)):
            ends = [f"{base}ConfMin{ending}", f"{base}ConfMax{ending}"]
            # It prints a negative end in one row.
            shown = row | {ends[0]: row[ends[0]].replace("-0.02", "0")}
            value = None if ending or base == "Total" else "Concentration"
            wrong += misprints(shown, [value, *ends], estimate)
    assert not wrong


# --- scatter ---------------------------------------------------------------------------------------------------------


def test_scatter_is_that_of_moments_about_the_median():
    positives, total = np.array([120, 180, 150, 260]), np.array([15000, 16000, 14000, 18000])
    found = merge_wells(positives, total, 1000.0)
    rates = -np.log1p(-positives / total)
    share = positives.sum() / total.sum()
    weights = total * (1 - share) / share
    mean = weights @ rates / weights.sum()
    q = weights @ (rates - mean) ** 2
    scale = weights.sum() - (weights**2).sum() / weights.sum()
    assert found.dispersion == pytest.approx(q / 3, rel=1e-12)
    assert found.p_value == pytest.approx(stats.chi2.sf(q, 3), rel=1e-9)
    # With the estimate put in for tau, Q is the median of its law.
    inflated = 1 + scale * (found.between_cv * mean) ** 2 / 3
    assert stats.chi2.cdf(q / inflated, 3) == pytest.approx(0.5, rel=1e-9)
    value, _, high = found.concentration
    added = stats.t.ppf(0.975, 3) * found.between_cv * value * np.sqrt((total**2).sum()) / total.sum()
    assert found.total.high - value == pytest.approx(np.hypot(high - value, added), rel=1e-9)


@pytest.mark.parametrize("rate", [0.0003, 0.01, 0.5, 3.0])
def test_p_values_are_uniform_where_only_counting_scatters(rate):
    rng = np.random.default_rng(5)
    p = np.array([merge_wells(*plate(rng, rate, 0.0, 4)).p_value for _ in range(500)])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p < level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 500))


def test_scatter_is_found():
    rng = np.random.default_rng(6)
    found = [merge_wells(*plate(rng, 0.5, 0.1, 6)) for _ in range(300)]
    assert np.median([one.between_cv for one in found]) == pytest.approx(0.1, rel=0.1)
    assert np.mean([one.p_value < 0.01 for one in found]) > 0.97


@pytest.mark.parametrize(
    ("rate", "cv", "wells", "least"),
    [
        *((rate, 0.0, wells, 0.945) for rate in (0.0003, 0.05, 2.0) for wells in (2, 4)),
        *((rate, 0.1, 2, 0.88) for rate in (0.02, 0.5)),  # Student's t has one degree of freedom there
        *((rate, 0.1, wells, 0.915) for rate in (0.02, 0.5) for wells in (3, 4, 8)),
    ],
)
def test_total_holds_the_truth(rate, cv, wells, least):
    rng = np.random.default_rng(8)
    found = [merge_wells(*plate(rng, rate, cv, wells), 1000.0).total for _ in range(500)]
    assert least <= np.mean([one.low <= rate <= one.high for one in found]) <= 0.99


def test_total_is_never_narrower_than_counting():
    rng = np.random.default_rng(9)
    for scatter in SCATTERS:
        for _ in range(100):
            found = merge_wells(*plate(rng, 0.01, 0.05, 3), scatter=scatter)
            assert found.total.low <= found.concentration.low
            assert found.total.high >= found.concentration.high


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scatter", SCATTERS)
def test_one_well_says_nothing_of_scatter(scatter):
    found = merge_wells(59, 11713, scatter=scatter)
    assert tuple(found.total) == tuple(found.concentration) == tuple(concentration(59, 11713))
    assert np.isnan([found.between_cv, found.dispersion, found.p_value]).all()


@pytest.mark.parametrize("scatter", SCATTERS)
def test_empty_controls_merge(scatter):
    found = merge_wells([0, 0, 0, 0], [15000, 16000, 14000, 0], scatter=scatter)
    assert (found.n_wells, found.droplets) == (3, 45000)
    assert (found.between_cv, found.dispersion, found.p_value) == (0, 0, 1)
    assert tuple(found.total) == tuple(found.concentration) == tuple(concentration(0, 45000))


@pytest.mark.parametrize("scatter", SCATTERS)
def test_full_wells_merge(scatter):
    found = merge_wells([15000, 15000], [15000, 15000], scatter=scatter)
    assert found.total.value == np.inf
    assert found.total.low > 0
    one = merge_wells([15000, 14990], [15000, 15000], scatter=scatter)
    assert one.concentration.value == pytest.approx(concentration(29990, 30000).value)
    assert np.isfinite([one.total.low, one.total.high, one.p_value]).all()


def test_merging_equal_wells_is_adding_their_droplets():
    found = merge_wells([500] * 4, [15000] * 4, 0.85, "exact", volume_sd_nl=0.02, droplet_cv=0.1)
    assert tuple(found.total) == tuple(found.concentration)
    expected = concentration(2000, 60000, ci="exact", volume_sd_nl=0.02, droplet_cv=0.1)
    np.testing.assert_allclose(found.concentration, expected, rtol=1e-12)
    assert found.dispersion == pytest.approx(0, abs=1e-12)


# --- rates -----------------------------------------------------------------------------------------------------------


def test_rates_merge_as_their_counts_do():
    positives, total = np.array([1200, 1700, 1450]), np.array([15000, 18000, 15500])
    by_counts = merge_wells(positives, total)
    by_rates = merge_rates(*rate_interval(positives, total), total)
    for one, other in ((by_counts.concentration, by_rates.concentration), (by_counts.total, by_rates.total)):
        np.testing.assert_allclose(one, other, rtol=2e-3)
    assert by_rates.between_cv == pytest.approx(by_counts.between_cv, rel=0.05)
    assert by_rates.p_value == pytest.approx(by_counts.p_value, rel=0.1)


def test_wells_known_badly_widen_what_is_merged():
    sharp = merge_rates([0.1, 0.1], [0.09, 0.09], [0.11, 0.11], 15000, 1000.0)
    blurred = merge_rates([0.1, 0.1], [0.09, 0.05], [0.11, 0.15], 15000, 1000.0)
    assert sharp.concentration.high - 0.1 == pytest.approx(0.01 / np.sqrt(2))
    assert blurred.concentration.high - 0.1 == pytest.approx(np.hypot(0.01, 0.05) / 2)


def test_rates_weigh_as_many_as_their_droplets():
    found = merge_rates([0.1, 0.4], [0.1, 0.4], [0.11, 0.41], [20000, 10000], 1000.0)
    assert found.concentration.value == pytest.approx(0.2)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([0, 0], [0, 0]), {}, "must have droplets; got none"),
        (([], []), {}, "must have droplets"),
        (([5, 20], [10, 10]), {}, "got 20 of 10 in row 1"),
        (([5, 2], [10, 10]), {"scatter": "total"}, "scatter must be one of moments, instrument; got 'total'"),
        (([5, 2], [10, 10]), {"ci": "profile"}, "ci must be one of"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(DataError, match=words):
        merge_wells(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.1, np.inf], [0.0, 1.0], [0.2, np.inf], [10, 10]), "finite rates and ends, and droplets; not so in row 1"),
        (([0.1, np.nan], [0.0, 0.0], [0.2, np.inf], [10, 10]), "not so in row 1"),
        (([0.1, 0.1], [0.0, 0.0], [0.2, 0.2], [10, 0]), "not so in row 1"),
        (([0.1, 0.1], [0.2, 0.0], [0.2, 0.2], [10, 10]), "0 <= low <= value <= high"),
        (([0.1, 0.1], [0.0, 0.0], [0.2, 0.2], [10, 10, 10]), "must have one shape"),
    ],
)
def test_refuses_rates(arguments, words):
    with pytest.raises(DataError, match=words):
        merge_rates(*arguments)
