"""The bootstrap likelihood-ratio test: exchangeable, never negative, the same decision when it stops early."""

import numpy as np
import pytest
from scipy import stats

import mixsci as mx
from mixsci.engine.em.splitting import split
from mixsci.engine.inference.redrawing import most_extreme, replicates


def two(apart, n=120, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=n) + apart * (np.arange(n) % 2))[:, None]


def tied(k):
    return mx.Model(k, covariance="tied")


def test_two_clear_components_are_told_from_one():
    found = mx.likelihood_ratio_test(two(5.0), 1, 2, 19, starts=2, rng=0)
    assert found.p_value == 0.05
    assert found.alternative.log_likelihood - found.null.log_likelihood == pytest.approx(found.statistic / 2)
    assert (found.statistics >= 0).all()
    assert len(found.statistics) == 19


def test_a_third_component_is_not_called_for():
    found = mx.likelihood_ratio_test(two(5.0), tied(2), tied(3), 19, starts=2, rng=0)
    assert found.p_value > 0.05


def test_replicates_are_seen_as_the_rows_are():
    x = two(4.0)
    x[::5] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors(np.full(x.shape, 0.7)), row_weights=np.tile([1.0, 2.0], 60))
    found = mx.likelihood_ratio_test(obs, tied(1), tied(2), 9, starts=2, rng=0)
    assert found.null.n == found.alternative.n == pytest.approx(obs.row_weights[~np.isnan(x[:, 0])].sum())
    assert found.p_value == 0.1


def test_the_statistic_of_nested_gaussians_is_chi_squared():
    # Full against diagonal covariance of one component is regular: the bootstrap must find chi-squared with 1 degree.
    x = np.random.default_rng(3).normal(size=(200, 2))
    found = mx.likelihood_ratio_test(x, mx.Model(1, "diag"), mx.Model(1, "full"), 99, starts=1, rng=0)
    assert stats.kstest(found.statistics, "chi2", (1,)).pvalue > 0.01


def test_groups_keep_their_weights():
    x, codes = two(5.0), np.arange(120) % 2
    found = mx.likelihood_ratio_test(mx.Observations(x, groups=codes), tied(1), tied(2), 9, starts=2, rng=0)
    assert found.alternative.mixture.n_groups == 2


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_stopping_early_leaves_the_decision(level):
    rng = np.random.default_rng(0)
    for statistic in rng.normal(1.0, 1.0, 100):
        drawn = rng.normal(size=99)
        whole = replicates(iter(drawn), statistic, None)
        p = (1 + (whole >= statistic).sum()) / 100
        early = replicates(iter(drawn), statistic, most_extreme(99, level))
        extreme = int((early >= statistic).sum())
        early_p = extreme / len(early) if len(early) < 99 else (1 + extreme) / 100
        assert (early_p <= level) == (p <= level)


def test_too_few_replicates_never_reach_the_level_early_or_not():
    found = mx.likelihood_ratio_test(two(5.0), tied(1), tied(2), 9, starts=1, early_stop=True, rng=0, workers=1)
    assert found.p_value == 0.1


def test_it_stops_early_where_nothing_is_there():
    whole, early = (
        mx.likelihood_ratio_test(two(0.0), tied(1), tied(2), 19, starts=1, early_stop=stop, rng=1, workers=1)
        for stop in (False, True)
    )
    assert early.stopped
    assert len(early.statistics) < 19
    np.testing.assert_array_equal(early.statistics, whole.statistics[: len(early.statistics)])
    assert (early.p_value <= 0.05) == (whole.p_value <= 0.05)


def test_threads_change_nothing():
    one, more = (mx.likelihood_ratio_test(two(2.0), tied(1), tied(2), 8, starts=2, rng=2, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.statistics, more.statistics)


def test_fits_stand_for_their_models():
    x = two(3.0)
    fits = [mx.fit(tied(k), x, rng=0) for k in (1, 2)]
    one, other = (mx.likelihood_ratio_test(x, *pair, 5, starts=2, rng=0) for pair in (fits, (tied(1), tied(2))))
    assert one.statistic == other.statistic
    np.testing.assert_array_equal(one.statistics, other.statistics)


def test_mixtures_of_factors_and_of_angles_are_tested_too():
    rng = np.random.default_rng(0)
    types = rng.integers(2, size=80)
    x = 4.0 * types[:, None] * np.ones(6) + rng.normal(size=(80, 6))
    x[rng.random(x.shape) < 0.2] = np.nan
    angles = np.where(types, 2.0, 0.0)[:, None] + 0.3 * rng.normal(size=(80, 1))
    for rows, null, more in (
        (x, mx.FactorModel(1, 1), mx.FactorModel(2, 1)),
        (angles, mx.CircularModel(1), mx.CircularModel(2)),
    ):
        assert mx.likelihood_ratio_test(rows, null, more, 4, starts=2, rng=0).p_value == 0.2


def test_rows_not_in_memory_are_refused():
    with pytest.raises(mx.DataError, match="must be in memory"):
        mx.likelihood_ratio_test(mx.from_blocks(lambda: [two(1.0)]), 1, 2)


def test_the_alternative_never_ends_below_the_null():
    for seed in range(8):
        x = two(0.0, 80, seed)
        found = mx.likelihood_ratio_test(x, tied(2), tied(3), 1, starts=1, rng=seed)
        assert found.alternative.objective >= found.null.objective - 1e-9


def test_a_component_split_in_two_keeps_its_moments():
    mixture = mx.Mixture([0.4, 0.6], [[0.0, 1.0], [5.0, 5.0]], [[[4.0, 1.0], [1.0, 2.0]], np.eye(2)])
    more = split(mixture, 0)
    mean = more.weights @ more.means
    np.testing.assert_allclose(mean, mixture.weights @ mixture.means)

    def second(m):
        return np.einsum("k,kij->ij", m.weights, m.covariances + m.means[:, :, None] * m.means[:, None, :])

    np.testing.assert_allclose(second(more), second(mixture))
    assert (np.linalg.eigvalsh(more.covariances) > 0).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((2, 1), "the alternative must have more free parameters"),
        ((1, "two"), "alternative must be a number of components, a Model or a Fit"),
        ((1, 2, 0), "n_boot must be a whole number, 1 or more"),
        ((mx.Model(1, background=mx.UniformBackground([-9.0], [9.0])), 2), "give both a background, or neither"),
        ((mx.Model(1, frozen=mx.Frozen(means=[True])), 2), "test models without frozen parts"),
        ((1, mx.Model(4, weights=mx.weights.StickBreaking())), "likelihoods are compared with a known number"),
        ((1, mx.Model(2, "tied_spherical", assignment="hard")), "alternative must be fitted by likelihood"),
    ],
)
def test_bad_input_ends_in_a_sentence(arguments, sentence):
    with pytest.raises(mx.DataError, match=sentence):
        mx.likelihood_ratio_test(two(1.0), *arguments, starts=1, rng=0)


def test_a_row_of_weight_two_is_the_row_twice():
    x = np.random.default_rng(3).normal(size=(45, 1))
    rows = mx.Observations(x, row_weights=np.full(45, 2.0))
    one, other = (mx.likelihood_ratio_test(r, tied(1), tied(2), 39, starts=2, rng=0) for r in (rows, np.vstack([x, x])))
    assert one.statistic == pytest.approx(other.statistic, abs=1e-3)
    assert np.median(one.statistics) == pytest.approx(np.median(other.statistics), abs=0.8)


def test_models_of_which_one_does_not_hold_the_other():
    x = np.random.default_rng(3).normal(size=(60, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
    with pytest.warns(UserWarning, match="nats below the null"):
        mx.likelihood_ratio_test(x, mx.Model(1, "full"), mx.Model(2, "diag"), 3, starts=1, rng=0)
    angles = np.random.default_rng(3).uniform(0, 6, size=(60, 1))
    for null, more in (
        (mx.Model(1), mx.CircularModel(2)),
        (mx.CircularModel(1), mx.Model(2)),
        (mx.CircularModel(1, period=6), mx.CircularModel(2, period=12)),
    ):
        with pytest.raises(mx.DataError, match="models of one kind"):
            mx.likelihood_ratio_test(angles, null, more, 3, rng=0)
