"""Ratio, abundance, copies and linkage: the instrument's to the printed digit, and how often they hold the truth."""

import numpy as np
import pytest
from scipy import optimize

from mixsci.ddpcr.concentrations import Estimate, concentration, rate, rate_interval
from mixsci.ddpcr.ratios import METHODS, copy_number, fractional_abundance, linkage, rate_correlation, ratio
from mixsci.errors import DataError
from tests.ddpcr.printed import (
    CELLS,
    LEVELS,
    NO_CALL,
    QUANTASOFT,
    QX_MANAGER,
    columns,
    misprints,
    pairs,
    qx_manager,
    single,
)
from tests.test_docs import run_examples

all_methods = pytest.mark.parametrize("method", METHODS)
RATIOS = {"podcall_vim_4plex": 4, "19-3581": 12, "20-0109": 46, "20-1276": 93}


def counted(row):
    return float(row["Positives"]), float(row["AcceptedDroplets"])


def called(path):
    """Pairs of rows for which the instrument gave a ratio, and those of them with positives of both targets."""
    given = [pair for pair in pairs(path) if pair[0]["Ratio"] not in NO_CALL]
    return given, [pair for pair in given if all(float(row["Positives"]) for row in pair)]


def names(base, ending):
    return base, f"Poisson{base}Min{ending}", f"Poisson{base}Max{ending}"


def duplex(rng, a, b, c, droplets, size):
    """Counts (both, first alone, second alone, none) of wells with rates a, b and, linked, c."""
    none = np.exp(-(a + b + c))
    first, second = np.exp(-(b + c)) - none, np.exp(-(a + c)) - none
    return rng.multinomial(droplets, [max(1 - none - first - second, 0.0), first, second, none], size).T


# --- what the instruments print --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", LEVELS)
@pytest.mark.parametrize("name", QUANTASOFT)
def test_quantasoft_to_the_printed_digit(real_data, name, ending):
    found = called(real_data / "ddpcr" / name)[1]
    assert len(found) == next(n for part, n in RATIOS.items() if part in name)
    wrong = []
    for first, second in found:
        given = {"method": "instrument", "level": LEVELS[ending]}
        both = counted(first), counted(second)
        for base, estimate in (("Ratio", ratio), ("FractionalAbundance", fractional_abundance)):
            checked = (None, *names(base, ending)[1:]) if ending else names(base, ending)
            wrong += misprints(first, checked, estimate(*both, **given))
    assert not wrong


def test_quantasoft_where_there_is_nothing_to_divide(real_data):
    """It prints 0 ± 0 for 0 / 0, and a million for infinity; an abundance of up to 250 % is not repeated here."""
    for name in QUANTASOFT:
        given, positive = called(real_data / "ddpcr" / name)
        for first, second in (pair for pair in given if pair not in positive):
            found = ratio(counted(first), counted(second), method="instrument")
            share = fractional_abundance(counted(first), counted(second), method="instrument")
            printed = [float(first[text]) for text in (*names("Ratio", ""), *names("FractionalAbundance", ""))]
            if float(first["Positives"]):
                assert printed == [1_000_000, 0, 1_000_000, 100, 0, 250]
                assert tuple(found) == (np.inf, 0, np.inf)
                assert tuple(share) == (100, 0, 100)
            else:
                assert printed == [0] * 6
                assert tuple(found) == tuple(share) == (0, 0, 0)


@pytest.mark.parametrize("ending", LEVELS)
def test_qx_manager_to_its_fifteenth_digit(real_data, ending):
    found = pairs(real_data / "ddpcr" / QX_MANAGER)
    assert len(found) == 6
    for first, second in found:
        kept = [
            tuple(single(part) for part in qx_manager(rate_interval(*counted(row), level=LEVELS[ending])))
            for row in (first, second)
        ]
        for base, estimate in (("Ratio", ratio), ("CNV", copy_number), ("FractionalAbundance", fractional_abundance)):
            value, *ends = estimate(*kept, method="instrument")
            # The copy number itself is kept in single precision, its ends are not.
            found = np.array([single(value) if base == "CNV" else value, *ends])
            printed = columns([first], names(base, ending))[0]
            half = 0.5 * 10 ** (np.floor(np.log10(printed)) - 14)
            # One rounding of doubles stands between the order of its operations and ours.
            assert (np.abs(found - printed) <= half + np.spacing(printed)).all()


@pytest.mark.parametrize("name", QUANTASOFT)
def test_linkage_of_quantasoft_to_its_three_digits(real_data, name):
    printed = [row for pair in pairs(real_data / "ddpcr" / name) for row in pair if row["Linkage"] not in NO_CALL]
    assert len(printed) == QUANTASOFT[name] + 13 * ("19-3581" in name)
    found = linkage(*columns(printed, CELLS).T).value
    assert [float(f"{value:.3g}") for value in found] == [float(row["Linkage"]) for row in printed]


def test_linkage_of_qx_manager_to_its_fifteenth_digit(real_data):
    for first, _ in pairs(real_data / "ddpcr" / QX_MANAGER):
        found = single(linkage(*columns([first], CELLS)[0]).value * 0.85e-3) / single(0.85) * 1000
        assert f"{found:.15g}" == first["Linkage"]


# --- the methods -----------------------------------------------------------------------------------------------------


def simulate(a, b, c, method, *, correlated, size=4000):
    rng = np.random.default_rng(7)
    both, first, second, none = duplex(rng, a, b, c, 15000, size)
    correlation = rate_correlation(both, first, second, none) if correlated else 0.0
    found = ratio((both + first, 15000), (both + second, 15000), method=method, correlation=correlation)
    truth = (a + c) / (b + c)
    return np.mean(found.low > truth), np.mean(found.high < truth)


# Few mutants beside many wild types, few of both, many of both.
@pytest.mark.parametrize(
    ("a", "b"), [(0.0001, 0.3), (0.0004, 0.05), (0.0006, 0.0006), (0.002, 1.0), (0.01, 0.01), (1.0, 2.0), (3.0, 0.1)]
)
def test_mover_misses_neither_side_too_often(a, b):
    above, below = simulate(a, b, 0.0, "mover", correlated=False)
    assert above <= 0.032
    assert below <= 0.032
    assert above + below >= 0.005


@pytest.mark.parametrize(("a", "b"), [(0.002, 1.0), (0.01, 0.01), (1.0, 2.0), (3.0, 0.1)])
def test_log_holds_the_truth_where_both_are_many(a, b):
    above, below = simulate(a, b, 0.0, "log", correlated=False)
    assert 0.037 <= above + below <= 0.063


@pytest.mark.parametrize("method", ["mover", "log"])
@pytest.mark.parametrize(("a", "b", "c"), [(0.05, 0.05, 0.5), (0.3, 1.0, 1.0), (0.01, 0.02, 0.1)])
def test_targets_in_one_droplet_share_their_error(method, a, b, c):
    assert 0.037 <= sum(simulate(a, b, c, method, correlated=True)) <= 0.063
    assert sum(simulate(a, b, c, method, correlated=False)) < 0.03


@all_methods
def test_methods_agree_where_counts_are_large(method):
    many = (600_000, 1_000_000), (300_000, 1_000_000)
    found, other = ratio(*many, method=method), ratio(*many, method="log")
    assert found.value == other.value
    np.testing.assert_allclose(found[1:], other[1:], rtol=1e-4)


def test_log_is_the_delta_method():
    k1, k2, n = 4000, 900, 15000
    found = np.log(np.array(ratio((k1, n), (k2, n), method="log")))
    sd = [np.sqrt(k / (n * (n - k))) / rate(k, n) for k in (k1, k2)]
    np.testing.assert_allclose(np.diff(found[[1, 0, 2]]), 1.959964 * np.hypot(*sd), rtol=1e-6)


def test_mover_refutes_what_lies_outside():
    """By its definition: at an end the difference first - r second has reached its own end."""
    first, second, shared = Estimate(0.20, 0.15, 0.28), Estimate(0.5, 0.44, 0.55), 0.4
    found = ratio(first, second, correlation=shared)
    for r, d1, d2 in ((found.low, 0.05, 0.05), (found.high, 0.08, 0.06)):
        error = np.sqrt(d1**2 + (r * d2) ** 2 - 2 * shared * r * d1 * d2)
        assert abs(first.value - r * second.value) == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize("method", ["mover", "log"])
def test_exchanging_the_targets_inverts(method):
    one, other = (40, 15000), (9000, 14000)
    np.testing.assert_allclose(
        ratio(other, one, method=method), 1 / np.array(ratio(one, other, method=method))[[0, 2, 1]], rtol=1e-12
    )
    np.testing.assert_allclose(
        fractional_abundance(other, one, method=method),
        100 - np.array(fractional_abundance(one, other, method=method))[[0, 2, 1]],
        rtol=1e-12,
    )


@all_methods
def test_the_volume_cancels(method):
    rates = [rate_interval(k, 15000) for k in (40, 9000)]
    per_ul = [concentration(k, 15000) for k in (40, 9000)]
    np.testing.assert_allclose(ratio(*rates, method=method), ratio(*per_ul, method=method), rtol=1e-12)


@all_methods
def test_edges_are_defined(method):
    k = np.array([0, 1, 9000, 15000])
    first, second = np.meshgrid(k, k, indexing="ij")
    found = ratio((first, 15000), (second, 15000), method=method)
    share = fractional_abundance((first, 15000), (second, 15000), method=method)
    for estimate in (found, share):
        assert not np.isnan(estimate.low).any()
        assert not np.isnan(estimate.high).any()
        known = ~np.isnan(estimate.value)
        assert (estimate.low[known] <= estimate.value[known]).all()
        assert (estimate.value[known] <= estimate.high[known]).all()
    assert (found.value[0, 1:] == 0).all()
    assert np.isinf(found.value[1:, 0]).all()
    assert (found.high[1:, 0] == np.inf).all()
    assert (found.low[0] == 0).all()
    unknown = ratio((0, 0), (5, 15000), method=method)
    assert np.isnan(unknown.value)
    assert (unknown.low, unknown.high) == (0, np.inf)


@pytest.mark.parametrize(("method", "high"), [("mover", 0.24), ("log", 0.25)])
def test_errors_that_are_one_cancel(method, high):
    found = ratio((0.2, 0.16, high), (0.4, 0.32, 2 * high), method=method, correlation=1.0)
    np.testing.assert_allclose(found, 0.5, rtol=1e-7)


@pytest.mark.parametrize("method", ["mover", "log"])
def test_no_mutants_leave_an_upper_end(method):
    found = fractional_abundance((0, 15000), (9000, 15000), method=method)
    assert found.value == found.low == 0
    assert 0.02 < found.high < 0.04
    opposite = ratio((9000, 15000), (0, 15000), method=method)
    assert opposite.value == opposite.high == np.inf
    assert opposite.low == pytest.approx(100 / found.high - 1, rel=1e-9)


@all_methods
def test_arrays_are_single_wells_side_by_side(method):
    k = np.array([0, 3, 700, 12000])
    together = np.array(ratio((k, 15000), (9000, 15000), method=method, correlation=np.full(4, 0.1)))
    apart = [ratio((one, 15000), (9000, 15000), method=method, correlation=0.1) for one in k]
    np.testing.assert_array_equal(together.T, apart)


def test_copies_are_a_multiple_of_the_ratio():
    counts = (15347, 19626), (10497, 19626)
    np.testing.assert_array_equal(copy_number(*counts, 3), 3 * np.array(ratio(*counts)))


def test_correlation_of_the_rates_is_that_of_simulated_wells():
    both, first, second, none = duplex(np.random.default_rng(3), 0.3, 0.6, 0.4, 15000, 20000)
    seen = np.corrcoef(rate(both + first, 15000), rate(both + second, 15000))[0, 1]
    assert rate_correlation(both, first, second, none).mean() == pytest.approx(seen, abs=0.02)
    assert rate_correlation(100, 900, 900, 8100) == pytest.approx(0, abs=1e-12)
    assert rate_correlation(0, 0, 0, 10) == 0
    assert rate_correlation(5, 0, 0, 5) == 1


# --- linkage ---------------------------------------------------------------------------------------------------------


def greatest(counts, c):
    """Log-likelihood at c, greatest over a and b, by a general optimiser."""

    def minus(logs):
        a, b = np.exp(logs)
        none = np.exp(-(a + b + c))
        first, second = -np.exp(-(b + c)) * np.expm1(-a), -np.exp(-(a + c)) * np.expm1(-b)
        both = np.expm1(-a) * np.expm1(-b) * np.exp(-c) - np.expm1(-c)
        return -np.dot(counts, np.log(np.maximum([both, first, second, none], 1e-300)))

    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 5000}
    return -min(optimize.minimize(minus, [s, s], method="Nelder-Mead", options=options).fun for s in (-6.0, -0.5))


@pytest.mark.parametrize(
    "counts", [(5944, 4996, 5093, 4453), (9, 20, 30, 15000), (3000, 0, 200, 9000), (1500, 300, 400, 8000)]
)
def test_the_ends_of_linkage_lie_on_the_likelihood(counts):
    value, low, high = (part * 0.85e-3 for part in linkage(*counts))
    peak = greatest(counts, value)
    for c in (0.9 * value + 1e-4, 1.1 * value):
        assert greatest(counts, c) < peak + 1e-7
    assert 2 * (peak - greatest(counts, high)) == pytest.approx(1.959964**2, abs=1e-4)
    if low > 0:
        assert 2 * (peak - greatest(counts, low)) == pytest.approx(1.959964**2, abs=1e-4)
    else:
        assert 2 * (peak - greatest(counts, 0.0)) <= 1.959964**2


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (0.0005, 0.0005, 0.0005),
        (0.1, 0.1, 0.005),
        (0.5, 0.5, 0.05),
        (2.0, 2.0, 0.1),
        (0.05, 0.02, 0.3),
        (1.0, 1.0, 1.0),
    ],
)
def test_linkage_holds_the_truth(a, b, c):
    found = linkage(*duplex(np.random.default_rng(11), a, b, c, 15000, 3000), 1000.0)
    assert 0.935 <= np.mean((found.low <= c) & (c <= found.high)) <= 0.965


@pytest.mark.parametrize("share", [0.001, 0.1, 1.0])
def test_nothing_linked_is_seldom_contradicted(share):
    found = linkage(*duplex(np.random.default_rng(12), share, share, 0.0, 15000, 3000))
    assert np.mean(found.low > 0) <= 0.032


def test_edges_of_linkage():
    for counts in ((0, 0, 0, 0), (10, 0, 0, 0), (5, 5, 0, 0)):
        found = linkage(*counts)
        assert np.isnan(found.value)
        assert (found.low, found.high) == (0, np.inf)
    for counts in ((0, 0, 0, 15000), (0, 10, 20, 15000), (5, 5, 5, 0)):
        found = linkage(*counts)
        assert found.value == found.low == 0 < found.high < np.inf
    every = linkage(3000, 0, 0, 9000)
    assert every.value == pytest.approx(concentration(3000, 12000).value)
    assert every.low < every.value < every.high


def test_linkage_of_arrays_and_of_an_uncertain_volume():
    counts = np.array([[5944, 4996, 5093, 4453], [9, 20, 30, 15000], [0, 0, 0, 0]]).T
    together = np.array(linkage(*counts))
    np.testing.assert_allclose(together.T, [linkage(*one) for one in counts.T], rtol=1e-9)
    assert linkage(*counts[:, 1], volume_sd_nl=0.1).high > together[2, 1]
    assert np.shape(linkage(*counts[:, 1]).value) == ()


def test_the_examples_of_the_page_run(capsys):
    run_examples("docs/ddpcr-numbers.md")
    assert capsys.readouterr().out == "186 [179, 193]\n"


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (((1, 10), (1, 10)), {"method": "fieller"}, "method must be one of mover, log, instrument; got 'fieller'"),
        ((7.0, (1, 10)), {}, r"first must be \(value, low, high\) or \(positives, total\); got 7.0"),
        (((1, 10), (1, 2, 3, 4)), {}, "second must be"),
        (((1, 10), (2, 3, 4)), {}, "second must be 0 <= low <= value <= high"),
        (((11, 10), (1, 10)), {}, "got 11 of 10"),
        (((1, 10), (1, 10)), {"correlation": 1.2}, "correlation must lie between -1 and 1; got 1.2"),
        (((1, 10), (1, 10)), {"correlation": np.nan}, "correlation must lie"),
        (((1, 10), (1, 10)), {"level": 1}, "level must lie"),
        (((1, 10), ([1, 2, 3], 10), 0), {}, "reference_copies must be positive; got 0"),
        ((([1, 2], 10), ([1, 2, 3], 10)), {}, r"must have one shape; got \(2,\), \(3,\), \(\)"),
        ((([1, 2], 10), ([1, 2], 10)), {"correlation": [0.1, 0.2, 0.3]}, "must have one shape"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(DataError, match=words):
        copy_number(*arguments, **options)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((1, 2, -3, 4), "must be counts, not negative; not so in row 0"),
        ((1, 2, [3, np.nan], 4), "not so in row 1"),
        ((1, 2, [3, 4], [1, 2, 3]), "must have one shape"),
    ],
)
def test_linkage_refuses(counts, words):
    with pytest.raises(DataError, match=words):
        linkage(*counts)
