"""Lambda of a well: exact where populations do not overlap, and what brute force finds where they do."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import xlogy

from mixsci.ddpcr.laws import Scheme, Target
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate
from mixsci.ddpcr.well_rates import PlateRates, WellRates
from tests.ddpcr.plates import VOLUME_UL, one_target

BINARY = Scheme((Target("A"),))
DUPLEX = Scheme((Target("A"), Target("B")))
LINKED = Scheme((Target("A"), Target("B")), linked=True)
LADDER = Scheme((Target("A", 5),))


def counted(scheme, *wells):
    """Wells whose droplets (S,) are sure of their states."""
    n_states = len(scheme.states)
    shares = np.tile(np.eye(n_states), (len(wells), 1))
    begins = n_states * np.arange(len(wells))
    return PlateRates(scheme, shares, np.zeros(len(shares)), np.concatenate(wells).astype(float), begins)


def blurred(scheme, seed, weights, n=3000, overlap=2.0, beyond=0.0):
    """One well: droplets of states with these weights, seen through densities that overlap."""
    rng = np.random.default_rng(seed)
    state = rng.choice(len(weights), n, p=weights)
    seen = scheme.states[state] + rng.standard_normal((n, scheme.states.shape[1])) / overlap
    away = ((seen[:, None] - scheme.states) ** 2).sum(axis=2)
    shares = np.exp(-0.5 * overlap**2 * (away - away.min(axis=1, keepdims=True)))
    return PlateRates(scheme, shares, np.full(n, beyond), np.ones(n), np.array([0]))


def log_likelihood(found, *rates):
    """Of one well at rates of the law, from its densities alone."""
    weights = found.scheme.law.weights(np.array([rates], dtype=float))[0]
    return float(found.counts @ np.log(found.shares @ weights + found.beyond))


def fall(k, n, rate):
    """Twice by how much the log-likelihood of k positives of n falls from its maximum to a rate."""
    best = xlogy(k, k / n) + xlogy(n - k, 1 - k / n)
    return 2 * (best - xlogy(k, -np.expm1(-rate)) + (n - k) * rate)


# --- no overlap ------------------------------------------------------------------------------------------------------


@given(n=st.integers(50, 40_000), share=st.floats(0.0, 0.9995))
def test_rate_without_overlap_is_that_of_the_empty_droplets(n, share):
    k = min(round(share * n), n - 1)
    found = counted(BINARY, [n - k, k])
    assert found.rates[0, 0] == pytest.approx(-np.log((n - k) / n), rel=1e-9, abs=2e-9)
    np.testing.assert_allclose(found.counted, [[n - k, k]], rtol=1e-12, atol=1e-12)


@settings(max_examples=60)
@given(n=st.integers(50, 40_000), share=st.floats(0.0, 0.9995), level=st.sampled_from([0.68, 0.95, 0.99]))
def test_interval_without_overlap_is_that_of_the_binomial_likelihood(n, share, level):
    k = min(round(share * n), n - 1)
    (low,), (high,) = counted(BINARY, [n - k, k]).interval(0, level)
    drop, rate = stats.chi2.ppf(level, 1), -np.log((n - k) / n)
    most = brentq(lambda end: fall(k, n, end) - drop, rate, 40.0, xtol=1e-14)
    assert high == pytest.approx(most, rel=3e-5)
    if k == 0:
        assert low == 0
        assert most == pytest.approx(drop / 2 / n)
    else:
        least = brentq(lambda end: fall(k, n, end) - drop, 1e-12, rate, xtol=1e-16)
        assert low == pytest.approx(least, rel=3e-5)


def test_nothing_but_positives_are_infinitely_many_copies():
    found = counted(BINARY, [0, 4000])
    low, high = found.interval(0)
    assert found.rates[0, 0] == np.inf
    assert high[0] == np.inf
    # 2 n e^-lambda = 3.84, but for the little that ln(1 - x) differs from -x.
    assert low[0] == pytest.approx(-np.log(stats.chi2.ppf(0.95, 1) / 8000), rel=1e-3)


@pytest.mark.parametrize(("k", "n"), [(2, 16_000), (300, 3000), (2500, 3000)])
def test_standard_error_without_overlap(k, n):
    rate = -np.log1p(-k / n)
    assert counted(BINARY, [n - k, k]).standard_error(0)[0] == pytest.approx(np.sqrt(np.expm1(rate) / n), rel=1e-3)


def test_standard_error_where_nothing_was_counted_is_that_of_one_droplet():
    """It grows with the droplets counted: none is known no worse than one."""
    errors = [counted(BINARY, [5000 - k, k]).standard_error(0)[0] for k in range(5)]
    assert errors[0] == pytest.approx(1 / 5000)
    assert (np.diff(errors) > -1e-7).all()


@given(a=st.floats(0.02, 3), b=st.floats(0.02, 3), n=st.integers(500, 20_000))
def test_two_targets_without_overlap_are_two_counts(a, b, n):
    states = np.random.default_rng(0).multinomial(n, DUPLEX.law.weights(np.array([[a, b]]))[0])
    found = counted(DUPLEX, states)
    without = np.array([states[:2].sum(), states[[0, 2]].sum()])
    np.testing.assert_allclose(found.rates[0], -np.log(without / n), rtol=1e-9)


@given(st.tuples(*[st.integers(5, 4000)] * 4))
def test_linked_targets_without_overlap_have_the_instruments_linkage(states):
    """c = ln(N N00 / (N1- N2-)); the rates of the targets are those of their own empty droplets."""
    none, second, first, _ = states
    n, no_first, no_second = sum(states), none + second, none + first
    found = counted(LINKED, states)
    if none * n > no_first * no_second:
        np.testing.assert_allclose(found.rates[0], -np.log(np.array([no_first, no_second]) / n), rtol=1e-6)
        np.testing.assert_allclose(found.weights[0], np.array(states) / n, rtol=1e-5)
    else:
        # Fewer coincidences than chance has: nothing is linked.
        expected = -np.log(np.array([no_first, no_second]) / n)
        np.testing.assert_allclose(found.weights[0], DUPLEX.law.weights(expected[None])[0], rtol=1e-4)


def test_ladder_without_overlap_is_binomial():
    states = np.array([5836, 8151, 3921, 792, 39])
    found = counted(LADDER, states)
    lit = states @ np.arange(5) / (4 * states.sum())
    assert found.rates[0, 0] == pytest.approx(-4 * np.log1p(-lit), rel=1e-9)


# --- overlap ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.003, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("overlap", [2.0, 4.0, 8.0])
def test_rate_is_that_of_greatest_likelihood(rate, overlap):
    found = blurred(BINARY, 1, [np.exp(-rate), -np.expm1(-rate)], overlap=overlap)
    best = minimize_scalar(lambda log: -log_likelihood(found, np.exp(log)), bounds=(-12, 3), method="bounded")
    assert found.log_likelihood[0] == pytest.approx(-best.fun, abs=1e-4)
    assert found.log_likelihood[0] >= -best.fun - 1e-6
    error = found.standard_error(0)[0]
    assert abs(found.rates[0, 0] - np.exp(best.x)) < 0.02 * error


@pytest.mark.parametrize("rate", [0.003, 0.1, 1.0])
def test_interval_ends_where_the_likelihood_has_fallen(rate):
    found = blurred(BINARY, 2, [np.exp(-rate), -np.expm1(-rate)], overlap=4.0)
    (low,), (high,) = found.interval(0)
    drop = stats.chi2.ppf(0.95, 1) / 2
    for end in (low, high):
        if end > 0:
            assert found.log_likelihood[0] - log_likelihood(found, end) == pytest.approx(drop, abs=1e-3)
    assert low < found.rates[0, 0] < high


@pytest.mark.parametrize("rate", [0.003, 0.1, 1.0])
def test_overlap_never_narrows_an_interval(rate):
    """The likelihood falls no faster than that of the expected counts (Jensen): their ends lie within ours."""
    found = blurred(BINARY, 3, [np.exp(-rate), -np.expm1(-rate)], overlap=3.0)
    n, k = found.counted[0].sum(), found.counted[0, 1]
    (low,), (high,) = found.interval(0)
    drop = stats.chi2.ppf(0.95, 1)
    assert fall(k, n, high) >= drop * (1 - 1e-3)
    assert low == 0 or fall(k, n, low) >= drop * (1 - 1e-3)
    assert found.standard_error(0)[0] >= np.sqrt(np.expm1(found.rates[0, 0]) / n) * (1 - 1e-6)


@pytest.mark.parametrize("scheme", [DUPLEX, LADDER, LINKED], ids=["duplex", "ladder", "linked"])
def test_weights_are_those_of_greatest_likelihood(scheme):
    truth = (0.4, 0.9, 0.2)[: scheme.n_rates]
    found = blurred(scheme, 4, scheme.law.weights(np.array([truth]))[0], overlap=3.0)
    best = minimize(lambda logs: -log_likelihood(found, *np.exp(logs)), np.log(truth), method="Nelder-Mead", tol=1e-9)
    assert found.log_likelihood[0] >= -best.fun - 1e-5
    np.testing.assert_allclose(found.rates[0], scheme.rates(np.exp(best.x)), rtol=2e-3)


@pytest.mark.parametrize("t", [0, 1])
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3])
def test_profile_of_a_duplex_is_the_maximum_over_the_other_rate(t, factor):
    found = blurred(DUPLEX, 5, DUPLEX.law.weights(np.array([[0.3, 1.1]]))[0], overlap=2.5)
    held = factor * found.rates[0, t]

    def left(log_other):
        rates = np.array([held, np.exp(log_other)])
        return -log_likelihood(found, *(rates if t == 0 else rates[::-1]))

    best = minimize_scalar(left, bounds=(-8, 2), method="bounded", options={"xatol": 1e-10})
    assert found.profile(t, np.array([held]))[0] == pytest.approx(-best.fun, abs=1e-5)


@pytest.mark.parametrize("t", [0, 1])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_profile_of_linked_targets_is_the_maximum_over_all_else(t, factor):
    """Held is a + c, or b + c: what is left are two numbers, sought as weights of the states that keep the share."""
    truth = (0.3, 0.8, 0.2)
    found = blurred(LINKED, 6, LINKED.law.weights(np.array([truth]))[0], overlap=2.5)
    held = factor * found.rates[0, t]

    def left(logits):
        linked = held / (1 + np.exp(-logits[0]))
        alone = (held - linked, np.exp(logits[1]))
        return -log_likelihood(found, *(alone if t == 0 else alone[::-1]), linked)

    best = minimize(left, [0.0, -1.0], method="Nelder-Mead", tol=1e-10)
    assert found.profile(t, np.array([held]))[0] == pytest.approx(-best.fun, abs=2e-3)


@pytest.mark.parametrize("scheme", [DUPLEX, LINKED], ids=["duplex", "linked"])
def test_interval_of_a_duplex_ends_where_its_profile_has_fallen(scheme):
    found = blurred(scheme, 7, scheme.law.weights(np.array([(0.2, 0.6, 0.3)[: scheme.n_rates]]))[0], overlap=3.0)
    drop = stats.chi2.ppf(0.95, 1) / 2
    for t in range(2):
        ends = found.interval(t)
        for end in ends:
            assert found.log_likelihood[0] - found.profile(t, end)[0] == pytest.approx(drop, abs=2e-3)
        # Many droplets: the interval is about that of the standard error.
        assert (ends[1] - ends[0])[0] / (2 * 1.96) == pytest.approx(found.standard_error(t)[0], rel=0.05)


def test_droplets_of_no_population_are_not_among_them():
    """Dust, as likely under either state: what is left has its own rate."""
    shares = np.array([[1.0, 0.0], [0.0, 1.0], [1e-12, 1e-12]])
    found = PlateRates(BINARY, shares, np.array([0.0, 0.0, 1.0]), np.array([600.0, 400.0, 100.0]), np.array([0]))
    assert found.counted.sum() == pytest.approx(1000, rel=1e-9)
    assert found.rates[0, 0] == pytest.approx(-np.log(0.6), rel=1e-9)


# --- wells -----------------------------------------------------------------------------------------------------------


def test_wells_side_by_side_are_wells_alone():
    rates = (0.0, 0.004, 0.3, 1.5)
    alone = [blurred(BINARY, seed, [np.exp(-r), -np.expm1(-r)], overlap=4.0) for seed, r in enumerate(rates)]
    begins = np.cumsum([0, *(len(each.counts) for each in alone[:-1])])
    parts = (np.concatenate([getattr(each, name) for each in alone]) for name in ("shares", "beyond", "counts"))
    together = PlateRates(BINARY, *parts, begins)
    for well, each in enumerate(alone):
        assert together.rates[well, 0] == pytest.approx(each.rates[0, 0], rel=1e-4, abs=1e-7)
        for one, other in zip(together.interval(0), each.interval(0), strict=True):
            assert one[well] == pytest.approx(other[0], rel=1e-3, abs=1e-7)
        own = WellRates(together, well)
        assert own.total == pytest.approx(3000, rel=1e-9)
        assert own.weights.sum() == pytest.approx(1)
        np.testing.assert_array_equal(own.rates, together.rates[well])
        np.testing.assert_array_equal(own.counted, together.counted[well])


# --- the law against none --------------------------------------------------------------------------------------------


def test_p_values_of_a_law_that_holds_are_uniform():
    rng = np.random.default_rng(8)
    weights = DUPLEX.law.weights(np.array([[0.5, 0.7]]))[0]
    p_values, freedom = counted(DUPLEX, *rng.multinomial(3000, weights, 400)).freely
    assert freedom == 1
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert 0.02 < (p_values < 0.05).mean() < 0.09


def test_p_values_are_those_of_the_likelihood_ratio():
    states = np.array([1500, 620, 480, 230])
    p_values, _ = counted(DUPLEX, states).freely
    g = stats.chi2_contingency(states.reshape(2, 2), correction=False, lambda_="log-likelihood")
    assert p_values[0] == pytest.approx(g.pvalue, rel=1e-4)


def test_linked_targets_break_the_law_of_independent_ones():
    rng = np.random.default_rng(9)
    weights = LINKED.law.weights(np.array([[0.2, 0.3, 0.2]]))[0]
    p_values, _ = counted(DUPLEX, *rng.multinomial(3000, weights, 50)).freely
    assert p_values.max() < 1e-6


def test_a_ladder_that_is_no_poisson_is_seen():
    """The ladder of PoDCall's A04, by its counts between valleys: binomial it fits, Poisson it does not."""
    states = np.array([5836, 8151, 3921, 792, 39])
    as_ladder, freedom = counted(LADDER, states).freely
    assert freedom == 3
    as_copies, _ = counted(Scheme((Target("A", 5, "poisson"),)), states).freely
    assert as_copies[0] < 1e-50 < as_ladder[0]


@pytest.mark.parametrize("scheme", [BINARY, LINKED], ids=["binary", "linked"])
def test_laws_with_as_many_rates_as_weights_cannot_be_broken(scheme):
    p_values, freedom = counted(scheme, np.full(len(scheme.states), 100)).freely
    assert freedom == 0
    assert np.isnan(p_values).all()


# --- wells of plates -------------------------------------------------------------------------------------------------


def test_rates_of_a_plate_are_those_of_its_truth():
    made, q = one_target()
    truth = made.truth["Occupied"] / made.truth["Droplets"]
    for well, share in zip(made.truth["Well"], truth, strict=True):
        row = q.results[q.results["Well"] == well].iloc[0]
        # Apart from what cannot be told apart, the droplets that hold a copy are counted.
        assert abs(row["Lambda"] + np.log1p(-share)) < 0.35 * row["LambdaSE"] + 0.002 * row["Lambda"], well


def test_linkage_is_recovered():
    linked = np.array([0.2, 0.1, 0.0])
    rates = [[0.4, 0.3], [0.2, 0.5], [0.3, 0.3]]
    made = simulate_plate(rates, linked=linked, n_droplets=4000, controls=1, rng=11)
    q = quantify(made.plate, law="linked")
    assert q.assays[0].law == "linked"
    rows = q.results.merge(made.truth[["Well", "Target", "Lambda"]], on=["Well", "Target"], suffixes=("", "True"))
    apart = np.abs(rows["Lambda"] - rows["LambdaTrue"]) / rows["LambdaSE"]
    assert apart.max() < 3.5
    for well, truth in zip(("A01", "A02", "A03"), linked / VOLUME_UL, strict=True):
        row = rows[rows["Well"] == well].iloc[0]
        assert row["LinkageMin"] <= truth <= row["LinkageMax"]
    assert rows.loc[rows["Well"] == "A01", "LinkageMin"].min() > 150
    assert rows["LawP"].isna().all()
