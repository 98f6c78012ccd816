"""Discrete or continuous: closed forms and brute force where one peak has them, laws elsewhere."""

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.stats import chi2, norm

import mixsci as mx
from mixsci.engine.inference.intrinsic import IntrinsicVariance
from mixsci.engine.inference.measuring import RepeatedError, typical_variance
from tests import discrete_accuracy

QUICK = {"n_boot": 19, "rng": 3, "workers": 1, "starts": 3}


def peaks(n, *, intrinsic=0.0, error=0.4, seed=0):
    rng = np.random.default_rng(seed)
    types = rng.choice([8.0, 10.0, 13.0], size=n)
    return types + rng.normal(0.0, np.hypot(intrinsic, error), size=n)


def one_peak(x, sigma, variance):
    """Greatest log-likelihood of one Gaussian peak of this intrinsic variance, its mean free."""
    total = sigma**2 + variance
    mean = np.average(x, weights=1 / total)
    return norm.logpdf(x, mean, np.sqrt(total)).sum()


@pytest.mark.parametrize("intrinsic", [0.0, 0.5, 2.0])
def test_one_peak_agrees_with_brute_force(intrinsic):
    rng = np.random.default_rng(5)
    sigma = rng.uniform(0.5, 1.5, size=80)
    x = 3.0 + rng.normal(0.0, np.hypot(sigma, intrinsic))
    answer = mx.discrete_or_continuous(x, sigma, 1, **QUICK)
    found = minimize(lambda v: -one_peak(x, sigma, v[0] ** 2), [1.0], tol=1e-10)
    variance = found.x[0] ** 2
    statistic = 2 * (-found.fun - one_peak(x, sigma, 0.0))
    assert answer.statistic == pytest.approx(statistic, abs=1e-3)
    assert answer.excess[0] == pytest.approx(variance, abs=0.01)
    fallen = lambda v: 2 * (-found.fun - one_peak(x, sigma, v)) - chi2.ppf(0.95, 1)  # noqa: E731
    low = 0.0 if fallen(0.0) <= 0 else brentq(fallen, 0.0, variance)
    np.testing.assert_allclose(answer.interval[0], [low, brentq(fallen, variance, 100.0)], atol=0.01)


def test_columns_of_one_peak_are_judged_apart():
    rng = np.random.default_rng(1)
    x = rng.normal(0.0, [1.0, 20.0], size=(150, 2))
    both = mx.discrete_or_continuous(x, [0.7, 15.0], 1, **QUICK)
    for j, error in enumerate([0.7, 15.0]):
        alone = mx.discrete_or_continuous(x[:, j], error, 1, **QUICK)
        assert both.excess[j] == pytest.approx(x[:, j].var() - error**2, rel=0.02)
        np.testing.assert_allclose(both.interval[j], alone.interval[0], rtol=0.02, atol=0.01 * error**2)


def test_a_profile_holds_one_variance_and_frees_the_others():
    """Overlapping peaks in two columns: the held variance is what it was, the likelihood that of an outer search."""
    rng = np.random.default_rng(2)
    label = rng.integers(2, size=150)
    x = label[:, None] * 2.0 + rng.normal(0.0, [1.2, 1.3], size=(150, 2))
    obs = mx.Observations(x, mx.noise.from_errors([0.9, 0.9]))
    best = mx.fit(mx.Model(2, covariance="tied_diag"), obs, rng=0)
    profile = IntrinsicVariance.of(best, obs, 1).profile(0, 0.1)
    held = mx.Model(2, covariance="tied_diag", frozen=mx.Frozen(covariances=[True, True]))

    def outer(root):
        covariance = np.tile(np.diag([0.1, root[0] ** 2]), (2, 1, 1))
        start = mx.Mixture(best.mixture.weights, best.mixture.means, covariance)
        return -mx.fit(held, obs, start=start, tol=1e-9).log_likelihood

    assert profile == pytest.approx(-minimize(outer, [0.5], method="Nelder-Mead").fun, abs=2e-3)


@pytest.mark.parametrize(("intrinsic", "verdict"), [(0.0, "discrete"), (0.4, "continuous")])
def test_types_are_told_from_variation(intrinsic, verdict):
    answer = mx.discrete_or_continuous(peaks(300, intrinsic=intrinsic), 0.4, 3, **QUICK)
    assert answer.verdict == verdict
    assert answer.interval[0, 0] <= intrinsic**2 <= answer.interval[0, 1]
    assert answer.discrete.mixture.covariances.max() == 0.0
    assert answer.ratio == pytest.approx(answer.excess / 0.16)
    assert str(answer).startswith({"discrete": "nothing speaks", "continuous": "3 peaks, wider"}[verdict])


def test_few_rows_with_large_errors_cannot_tell():
    answer = mx.discrete_or_continuous(peaks(12, error=1.0, seed=2), 1.0, 3, **QUICK)
    assert answer.verdict == "undecided"


@pytest.mark.parametrize("spread", ["tied", "own"])
def test_units_change_nothing(spread):
    x = peaks(150, intrinsic=0.3)
    here = mx.discrete_or_continuous(x, 0.4, 3, spread=spread, **QUICK)
    there = mx.discrete_or_continuous(1e6 * x, 0.4e6, 3, spread=spread, **QUICK)
    assert there.p_value == here.p_value
    np.testing.assert_allclose(there.interval, 1e12 * here.interval, rtol=5e-3, atol=1e9)


def test_errors_that_are_stated_too_large_are_noticed():
    x = peaks(300)
    right, large = (mx.discrete_or_continuous(x, error, 3, **QUICK) for error in (0.4, 0.6))
    assert right.residual == pytest.approx(1.0, abs=0.2)
    assert large.residual == pytest.approx(right.residual * (0.4 / 0.6) ** 2, rel=0.15)
    assert not right.too_narrow.any()
    assert large.too_narrow.all()
    assert "check the errors" in str(large)
    assert "check the errors" not in str(right)


def test_one_wild_error_does_not_change_the_answer():
    x, sigma = peaks(200, intrinsic=0.4), np.full(200, 0.4)
    sigma[0] = 1e4
    answer = mx.discrete_or_continuous(x, sigma, 3, **QUICK)
    without = mx.discrete_or_continuous(x[1:], sigma[1:], 3, **QUICK)
    assert answer.verdict == "continuous"
    np.testing.assert_allclose(answer.interval, without.interval, rtol=0.02)


def test_own_spreads_are_found():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 0.5, 200), rng.normal(6, 1.0, 200)])
    answer = mx.discrete_or_continuous(x, 0.5, 2, spread="own", **QUICK)
    spreads = answer.continuous.mixture.covariances[np.argsort(answer.continuous.mixture.means[:, 0]), 0, 0]
    assert answer.verdict == "continuous"
    assert spreads[0] < 0.1
    assert spreads[1] > 0.5


def test_stopping_early_never_changes_the_decision():
    for seed in range(4):
        x = peaks(60, intrinsic=0.15, seed=seed)
        whole = mx.discrete_or_continuous(x, 0.4, 3, n_boot=39, rng=seed, workers=1, starts=3)
        early = mx.discrete_or_continuous(x, 0.4, 3, n_boot=39, rng=seed, workers=1, starts=3, early_stop=True)
        assert (early.p_value <= 0.05) == (whole.p_value <= 0.05)
        np.testing.assert_array_equal(early.statistics, whole.statistics[: len(early.statistics)])


def test_gaps_weights_and_groups_are_taken():
    rng = np.random.default_rng(4)
    x = np.stack([peaks(200), peaks(200, seed=0) / 10], axis=1)
    x[rng.random(x.shape) < 0.3] = np.nan
    obs = mx.Observations(
        x, mx.noise.from_errors([0.4, 0.05]), row_weights=np.ones(200), groups=rng.integers(2, size=200)
    )
    answer = mx.discrete_or_continuous(obs, None, 3, **QUICK)
    assert answer.excess.shape == (2,)
    assert answer.discrete.mixture.weights.shape == (2, 3)
    assert answer.verdict != "continuous"


def test_rows_that_say_next_to_nothing_leave_the_interval_open():
    obs = mx.Observations([[1.0], [2.0]], mx.noise.from_errors([0.5]), row_weights=[1e-3, 1e-3])
    answer = mx.discrete_or_continuous(obs, None, 1, **QUICK)
    assert answer.interval[0].tolist() == [0.0, np.inf]
    assert answer.verdict == "undecided"


# Repeats


def repeated(n=200, r=3, *, intrinsic=0.0, seed=0):
    rng = np.random.default_rng(seed)
    things = rng.choice([8.0, 10.0, 13.0], size=n) + rng.normal(0, intrinsic, n)
    return things[:, None] + rng.normal(0, 0.7, (n, r))


def test_the_error_of_repeats_is_that_within_things():
    values = repeated()
    rows = RepeatedError.of(values[:, :, None])
    assert rows.variances == pytest.approx([values.var(axis=1, ddof=1).mean()])
    np.testing.assert_allclose(rows.observations.x[:, 0], values.mean(axis=1))
    np.testing.assert_allclose(rows.observations.noise.variances[:, 0], rows.variances[0] / 3)


def test_things_measured_less_often_have_larger_errors():
    values = repeated()
    values[::2, 2] = np.nan
    values[0] = np.nan
    rows = RepeatedError.of(values[:, :, None]).observations
    np.testing.assert_allclose(rows.noise.variances[2, 0] / rows.noise.variances[1, 0], 1.5)
    assert np.isnan(rows.x[0, 0])


def test_another_time_the_error_is_found_anew():
    rows = RepeatedError.of(repeated(n=20, r=2)[:, :, None])
    rng = np.random.default_rng(0)
    one = mx.Mixture([1.0], [[0.0]], [[[0.0]]])
    again = [rows.again(one, rng) for _ in range(2000)]
    found = np.array([2 * new.noise.variances[0, 0] for new in again])
    assert found.mean() == pytest.approx(rows.variances[0], rel=0.03)
    assert found.std() == pytest.approx(rows.variances[0] * np.sqrt(2 / 20), rel=0.1)
    spread = np.mean([new.x.var() for new in again[:300]])
    assert spread == pytest.approx(rows.variances[0] / 2, rel=0.1)


@pytest.mark.parametrize(("intrinsic", "verdict"), [(0.0, "discrete"), (0.5, "continuous")])
def test_repeats_tell_types_from_variation(intrinsic, verdict):
    values = repeated(intrinsic=intrinsic)
    answer = mx.discrete_or_continuous(values, None, 3, repeats=True, **QUICK)
    assert answer.verdict == verdict
    sigma = np.sqrt(values.var(axis=1, ddof=1).mean() / 3)
    known = mx.discrete_or_continuous(values.mean(axis=1), sigma, 3, **QUICK)
    assert answer.excess == pytest.approx(known.excess, abs=1e-6)
    assert answer.interval[0, 1] > known.interval[0, 1]


# What is refused


@pytest.mark.parametrize(
    ("x", "error", "options", "message"),
    [
        ([1.0, 2.0], None, {}, "the error must be known"),
        ([1.0, 2.0], 0.0, {}, "error above 0"),
        ([1.0, 2.0], -1.0, {}, "must not be negative"),
        ([1.0, 2.0], [0.1, 0.1, 0.1], {}, "noise must match x"),
        (np.ones((3, 2, 2)), 0.1, {}, "repeats=True"),
        (np.ones((3, 2)), 0.1, {"repeats": True}, "leave error None"),
        ([1.0, 2.0], None, {"repeats": True}, r"shape \(n, r\)"),
        ([[1.0, np.nan], [np.nan, 2.0]], None, {"repeats": True}, "measured twice"),
        ([[1.0, 1.0], [2.0, 2.0]], None, {"repeats": True}, "repeats must differ"),
        ([[1.0, np.inf], [2.0, 2.0]], None, {"repeats": True}, "must be finite"),
        ([[1.0, np.nan], [2.0, np.nan]], 0.1, {}, "column 1 has none"),
        ([1.0, 2.0], 0.1, {"n_boot": 10}, "at least 1 / level - 1 = 19"),
        ([], 0.1, {}, "at least one value"),
        ([1.0, 2.0], 0.1, {"n_boot": 0}, "n_boot must be a whole number"),
        ([1.0, 2.0], 0.1, {"level": 1.5}, "level must lie between"),
        ([1.0, 2.0], 0.1, {"spread": "full"}, "spread must be one of"),
        (mx.Observations([[1.0]], mx.noise.from_errors([0.1])), 0.1, {}, "leave error None"),
        (mx.Observations([[1.0]], mx.noise.from_errors([0.1]), [[1.0, 2.0]]), None, {}, "projection"),
    ],
)
def test_what_cannot_be_asked_is_refused(x, error, options, message):
    with pytest.raises(mx.DataError, match=message):
        mx.discrete_or_continuous(x, error, 1, **options)


@pytest.mark.parametrize("k", [0, "2", 1.5, True])
def test_a_number_of_peaks_that_is_none_is_refused(k):
    with pytest.raises(mx.DataError, match="n_components must be a whole number"):
        mx.discrete_or_continuous([1.0, 2.0], 0.1, k)


def test_a_short_run_of_the_acceptance():
    error = discrete_accuracy.ERROR
    assert discrete_accuracy.share("rejects", runs=8, intrinsic=0.0, n=150, seed=1, workers=1) <= 0.25
    assert discrete_accuracy.share("rejects", runs=2, intrinsic=error, n=500, seed=1, workers=1) == 1.0
    assert discrete_accuracy.share("holds", runs=8, intrinsic=error, n=200, seed=1, workers=1) >= 0.75


def test_rows_without_weight_change_nothing():
    rng = np.random.default_rng(8)
    x, sigma = rng.choice([0.0, 1.0], 25) + 0.5 * rng.normal(size=25), np.full(25, 0.5)
    settings = {"n_boot": 19, "rng": 0, "starts": 2}
    one = mx.discrete_or_continuous(x, sigma, 2, **settings)
    obs = mx.Observations(
        np.append(x, np.zeros(30))[:, None], mx.noise.from_errors(np.append(sigma, np.repeat([0.0, 5.0], 15))[:, None]),
        row_weights=np.repeat([1.0, 0.0], [25, 30]),
    )  # fmt: skip
    other = mx.discrete_or_continuous(obs, None, 2, **settings)
    assert other.verdict == one.verdict
    assert other.error_variance == pytest.approx(one.error_variance)
    assert other.statistic == pytest.approx(one.statistic, abs=0.01)


def test_the_typical_error_is_a_median_by_weight():
    def of(sigma, weights=None):
        noise = mx.noise.from_variances(np.array(sigma, dtype=float)[:, None])
        return typical_variance(mx.Observations(np.zeros((len(sigma), 1)), noise, row_weights=weights))[0]

    for sigma in ([3, 1, 2], [4, 1, 2, 8], [5.0]):
        assert of(sigma) == np.median(sigma)
    assert of([1, 2, 4], [1.0, 1.0, 3.0]) == np.median([1, 2, 4, 4, 4])
    assert of([1, 2, 4], [1.0, 1.0, 2.0]) == np.median([1, 2, 4, 4])
