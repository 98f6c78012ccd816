"""Concentrations and their intervals: the instrument's to the printed digit, and against independent computations."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize, stats

from mixsci.ddpcr.concentrations import (
    INTERVALS,
    as_printed,
    concentration,
    concentration_of,
    count_interval,
    rate,
    rate_interval,
)
from mixsci.errors import DataError
from tests.ddpcr.printed import LEVELS, NO_CALL, QUANTASOFT, QX_MANAGER, misprints, qx_manager, rows, single


def all_cis(test):
    return pytest.mark.parametrize("ci", INTERVALS)(test)


def counted(row):
    return float(row["Positives"]), float(row["AcceptedDroplets"])


def names(ending):
    return "Concentration", f"PoissonConfMin{ending}", f"PoissonConfMax{ending}"


# --- what the instruments print --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", LEVELS)
@pytest.mark.parametrize("name", QUANTASOFT)
def test_quantasoft_to_the_printed_digit(real_data, name, ending):
    called = [row for row in rows(real_data / "ddpcr" / name) if row["Concentration"] not in NO_CALL]
    assert len(called) == QUANTASOFT[name]
    checked = (None, *names(ending)[1:]) if ending else names(ending)
    wrong = [misprints(row, checked, concentration(*counted(row), level=LEVELS[ending])) for row in called]
    assert not [text for texts in wrong for text in texts]


@pytest.mark.parametrize("ending", LEVELS)
def test_qx_manager_to_the_last_bit(real_data, ending):
    table = rows(real_data / "ddpcr" / QX_MANAGER)
    assert len(table) == 12
    for row in table:
        found = qx_manager(rate_interval(*counted(row), level=LEVELS[ending]))
        assert found == tuple(single(float(row[name])) for name in names(ending))


def test_wells_without_a_call_have_counts_all_the_same(real_data):
    table = rows(real_data / "ddpcr" / "counts_quantasoft" / "19-3581.csv")
    silent = [row for row in table if row["Concentration"] in NO_CALL]
    assert len(silent) == 13
    for row in silent:
        assert concentration(*counted(row)).value == 0


def test_printing_keeps_two_digits_of_the_width():
    assert tuple(as_printed(0.2874, 0.0867, 0.6774)) == (0.29, 0.09, 0.68)
    assert tuple(as_printed(3252.07, 3185.74, 3322.36)) == (3250, 3190, 3320)
    assert tuple(as_printed(1.0, 1.0, 1.0)) == (1, 1, 1)
    assert tuple(as_printed(np.inf, 5.123, np.inf)) == (np.inf, 5.123, np.inf)


# --- the instrument's interval of few counts -------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.95, 0.68, 0.9])
def test_few_counts_get_the_shortest_interval(level):
    for k in (1, 2, 5, 20, 59, 99):
        law = stats.gamma(k + 1)
        most = law.ppf(1 - level)
        width = optimize.minimize_scalar(
            lambda low, law=law: law.ppf(min(law.cdf(low) + level, 1)) - low, bounds=(0, most), method="bounded"
        ).fun
        low, high = count_interval(k, level)
        assert law.cdf(high) - law.cdf(low) >= level
        # A step of 0.001 down moves the upper end of one count, where the density is steep below and flat above, most.
        assert width - 1e-6 <= high - low <= width + (0.015 if k == 1 else 0.008)


@pytest.mark.parametrize("k", [1, 3, 42, 99, 0.6, 7.3])
def test_the_lower_end_is_the_largest_step_that_leaves_enough(k):
    law = stats.gamma(k + 1)

    def upper(low):
        """The first step beyond the point as dense as `low`, by bisection."""
        far = optimize.brentq(lambda x: law.logpdf(x) - law.logpdf(low), k, k + 200, xtol=1e-12)
        return np.ceil(1000 * far) / 1000

    low, high = count_interval(k)
    assert low == pytest.approx(round(1000 * low) / 1000, abs=1e-12)
    assert high == pytest.approx(upper(low), abs=1e-9)
    assert law.cdf(upper(low + 0.001)) - law.cdf(low + 0.001) < 0.95 <= law.cdf(high) - law.cdf(low)


def test_no_counts_end_at_three():
    assert count_interval(0)[1] == 2.996
    assert rate_interval(0, 20000).high == pytest.approx(-np.log1p(-2.996 / 20000))


def test_few_negatives_mirror_few_positives():
    low, high = count_interval(7)
    found = rate_interval(19993, 20000)
    assert found.low == pytest.approx(-np.log(high / 20000))
    assert found.high == pytest.approx(-np.log(low / 20000))


# --- against other computations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ci", ["exact", "wilson"])
@pytest.mark.parametrize("level", [0.95, 0.68])
def test_agrees_with_scipy(ci, level):
    for k, n in ((0, 10), (1, 10), (10, 10), (3, 15000), (9000, 15000), (14999, 15000)):
        other = stats.binomtest(k, n).proportion_ci(level, method=ci)
        found = rate_interval(k, n, ci, level=level)
        np.testing.assert_allclose(-np.expm1(-np.array(found[1:])), (other.low, other.high), rtol=1e-9, atol=1e-12)


# Averages over neighbouring rates: coverage of a count jumps by a few percent where one more count is let in.
@pytest.mark.parametrize(
    ("ci", "least", "most"), [("instrument", 0.942, 0.985), ("exact", 0.95, 0.99), ("wilson", 0.94, 0.965)]
)
@pytest.mark.parametrize("expected", [2, 10, 60, 150, 3000, 14000, 19900, 19990])
def test_covers_the_truth_as_often_as_it_says(ci, least, most, expected):
    n = 20000
    k = np.arange(n + 1)
    found = rate_interval(k, n, ci)
    cover = []
    for positive in np.clip(expected + np.linspace(-0.5, 0.5, 15) * np.sqrt(min(expected, n - expected)), 0.5, n - 0.5):
        truth = -np.log1p(-positive / n)
        chance = stats.binom.pmf(k, n, positive / n)
        cover.append(chance[(found.low <= truth) & (truth <= found.high)].sum())
    assert least <= np.mean(cover) <= most
    assert ci != "exact" or min(cover) >= 0.95


@pytest.mark.parametrize("cv", [0.03, 0.2, 0.6])
def test_volumes_of_a_gamma_law(cv):
    law = stats.gamma(1 / cv**2, scale=cv**2)
    for truth in (0.01, 1.0, 4.0):
        empty = integrate.quad(lambda v, t=truth: np.exp(-t * v) * law.pdf(v), 0, np.inf, epsabs=1e-13)[0]
        assert rate(1 - empty, 1, droplet_cv=cv) == pytest.approx(truth, rel=1e-6)
    assert rate(0.9, 1, droplet_cv=1e-5) == pytest.approx(rate(0.9, 1), rel=1e-9)


def test_errors_of_counting_and_of_the_volume_add():
    counting = np.log(np.array(concentration(5000, 15000)))
    both = np.log(np.array(concentration(5000, 15000, volume_sd_nl=0.017)))
    volume = stats.norm.ppf(0.975) * 0.017 / 0.85
    assert both[0] == counting[0]
    np.testing.assert_allclose((both[1:] - both[0]) ** 2, (counting[1:] - counting[0]) ** 2 + volume**2, rtol=1e-12)


def test_the_volume_leaves_endless_sides_alone():
    found = concentration([0, 100, 0], [100, 100, 0], volume_sd_nl=0.1)
    plain = concentration([0, 100, 0], [100, 100, 0])
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_error_at_all_keeps_the_interval():
    assert tuple(concentration_of(0.1, 0.1, 0.1, 1.0)) == (100, 100, 100)


# --- edges -----------------------------------------------------------------------------------------------------------


@all_cis
def test_edges_are_defined(ci):
    none, every, empty = (concentration(k, n, ci=ci) for k, n in ((0, 15000), (15000, 15000), (0, 0)))
    assert none.value == none.low == 0
    assert 0.2 < none.high < 0.31
    assert every.value == every.high == np.inf
    assert 9000 < every.low < 11000
    assert np.isnan(empty.value)
    assert (empty.low, empty.high) == (0, np.inf)


@all_cis
def test_rate_approaches_the_fraction_of_positives(ci):
    found = rate_interval(3, 1e9, ci)
    assert found.value == pytest.approx(3e-9, rel=1e-8)
    assert found.low < 3e-9 < found.high < 1e-8


@all_cis
@pytest.mark.parametrize("n", [1, 5, 150, 199, 15000])
def test_holds_its_value(ci, n):
    found = concentration(np.concatenate([10.0 ** np.arange(-300, 0, 4), np.linspace(0, n, 401)]), n, ci=ci)
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


@all_cis
def test_more_positives_mean_more(ci):
    k = np.concatenate([np.linspace(0, 99, 500), np.linspace(100, 14900, 500), np.linspace(14901, 15000, 500)])
    found = rate_interval(k, 15000, ci)
    assert (np.diff(found.value) > 0).all()
    # The instrument changes its formula at 100 positives and at 100 negatives, with a jump.
    jumps = [499, 999] if ci == "instrument" else []
    for end in (found.low, found.high):
        assert np.delete(end[1:] >= end[:-1], jumps).all()


@all_cis
def test_higher_level_is_wider(ci):
    narrow, wide = (rate_interval([0, 3, 300, 14990], 15000, ci, level=level) for level in (0.9, 0.99))
    assert (wide.low <= narrow.low).all()
    assert (wide.high > narrow.high).all()


@all_cis
def test_arrays_are_single_wells_side_by_side(ci):
    k, n = np.array([[0, 12, 100], [5000, 14990, 15000]]), np.array([[15000], [15000]])
    together = np.array(concentration(k, n, ci=ci))
    apart = np.array([[concentration(one, 15000, ci=ci) for one in line] for line in k])
    assert together.shape == (3, 2, 3)
    np.testing.assert_array_equal(np.moveaxis(apart, -1, 0), together)


def test_takes_what_users_hold():
    table = pd.DataFrame({"Positives": [59, 670], "AcceptedDroplets": [11713, 16933]})
    found = concentration(table["Positives"], table["AcceptedDroplets"])
    np.testing.assert_allclose(found.value.round(1), [5.9, 47.5])
    assert isinstance(concentration(59, 11713).value, float)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([5, 20000, 3], 15000), {}, r"between 0 and the total; got 20000 of 15000 in row 1"),
        (([-1], [10]), {}, "got -1 of 10"),
        (([np.nan, 3], [10, 10]), {}, "got nan of 10 in row 0"),
        (([1, 2], [10, 10, 10]), {}, "one shape"),
        ((1, np.inf), {}, "got 1 of inf"),
        (("many", 10), {}, "numbers"),
        ((1, 10), {"ci": "wald"}, "ci must be one of instrument, exact, wilson; got 'wald'"),
        ((1, 10), {"level": 95}, "level must lie between 0 and 1"),
        ((1, 10), {"volume_nl": 0}, "volume_nl must be positive"),
        ((1, 10), {"volume_sd_nl": -0.1}, "volume_sd_nl must not be negative"),
        ((1, 10), {"droplet_cv": -0.1}, "droplet_cv must not be negative"),
        ((1, 10), {"droplet_cv": "3 %"}, "droplet_cv must be one number"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(DataError, match=words):
        concentration(*arguments, **options)


@pytest.mark.parametrize("ends", [(3, 1, 2), (1, 2, 3), (-1, -2, 0), (1, np.nan, 2)])
def test_refuses_ends_that_do_not_hold_the_value(ends):
    with pytest.raises(DataError, match="0 <= low <= value <= high"):
        concentration_of(*ends)


def test_refuses_impossible_counts():
    with pytest.raises(DataError, match="got -2 in row 1"):
        count_interval([1, -2])
