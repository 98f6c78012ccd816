"""Refits spread as theory says, keep the labels of the fit, and say what was lost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import i0e, i1e

import mixsci as mx
from mixsci.engine.em.ordering import reordered
from mixsci.engine.inference.bootstrap import INTERVALS, KINDS, bootstrap
from mixsci.engine.inference.matching import bhattacharyya, match


def two_clusters(seed=0, n=400, apart=6.0):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.3
    return rng.normal(size=(n, 2)) * np.where(label, 0.7, 1.3)[:, None] + apart * label[:, None]


def noisy_groups(seed=0):
    """Rows with gaps, errors, weights and groups."""
    rng = np.random.default_rng(seed)
    x = two_clusters(seed)
    x[rng.random(x.shape) < 0.15] = np.nan
    sigma = rng.uniform(0.2, 0.8, size=x.shape)
    weights = rng.choice([1.0, 2.0], size=len(x))
    return mx.Observations(x, mx.noise.from_errors(sigma), row_weights=weights, groups=np.arange(len(x)) % 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mean_has_the_error_of_theory(kind):
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(300, 1))
    fit = mx.fit(mx.Model(1), x, rng=0)
    found = bootstrap(fit, x, 400, kind=kind, rng=1)
    sd = np.sqrt(fit.mixture.covariances[0, 0, 0])
    # The standard error of a standard deviation of 400 draws is 3.5 % of it.
    assert found.standard_errors["means"][0, 0] == pytest.approx(sd / np.sqrt(300), rel=0.12)
    kurtosis = np.mean((x - x.mean()) ** 4) / np.var(x) ** 2
    expected = sd**2 * np.sqrt((2.0 if kind == "parametric" else kurtosis - 1.0) / 300)
    assert found.standard_errors["covariances"][0, 0, 0] == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_errors_weights_and_groups_agree_with_the_information(kind):
    obs = noisy_groups()
    fit = mx.fit(mx.Model(2), obs, rng=0)
    found = bootstrap(fit, obs, 200, kind=kind, rng=1)
    sure = mx.standard_errors(fit, obs, method="observed" if kind == "parametric" else "sandwich")
    assert len(found.mixtures) == 200
    assert found.unclear == 0
    assert found.means.shape == (200, 2, 2)
    assert found.covariances.shape == (200, 2, 2, 2)
    assert found.weights.shape == (200, 2, 2)
    # A row of weight 2 counts as two for the information and for weights; drawn anew it is one that weighs more.
    wide = 1.2 if kind == "weighted" else 1.6
    for name in ("weights", "means", "covariances"):
        ratio = found.standard_errors[name] / getattr(sure, name)
        assert (ratio > 1 / wide).all(), name
        assert (ratio < wide).all(), name


def test_a_ladder_with_a_law_and_a_background_keeps_its_order():
    rng = np.random.default_rng(2)
    copies = np.minimum(rng.poisson(0.8, size=500), 3)
    x = 4.0 * copies[:, None] + rng.normal(size=(500, 1))
    x[:20] = rng.uniform(-6, 20, size=(20, 1))
    design = np.stack([np.ones(4), np.arange(4)], axis=-1)[:, None, :]
    model = mx.Model(
        4, covariance="tied", weights="poisson", means=mx.means.Ladder(design),
        background=mx.UniformBackground([-6.0], [20.0], weight=0.05),
    )  # fmt: skip
    start = mx.Mixture(np.full(4, 0.25), 4.0 * np.arange(4)[:, None], np.ones((4, 1, 1)), rates=1.0)
    fit = mx.fit(model, x, start=start)
    found, sure = bootstrap(fit, x, 100, rng=1), mx.standard_errors(fit, x)
    for name in ("rates", "theta", "background"):
        assert found.standard_errors[name] == pytest.approx(getattr(sure, name), rel=0.35), name
    assert (np.diff(found.means[:, :, 0], axis=1) > 3.0).all()


def test_mixtures_of_factors():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) + 4.0 * np.repeat([0, 1], 100)[:, None]
    x[rng.random(x.shape) < 0.1] = np.nan
    obs = mx.Observations(x, groups=np.arange(200) % 2)
    fit = mx.fit(mx.FactorModel(2, 1), obs, rng=0)
    found = bootstrap(fit, obs, 20, rng=0)
    assert found.means.shape == (20, 2, 6)
    assert set(found.standard_errors) == {"weights", "means"}
    assert (np.abs(found.means - fit.mixture.component_means()) < 1.0).all()
    with pytest.raises(mx.DataError, match="factors turn from refit to refit"):
        _ = found.covariances


@pytest.mark.parametrize("kind", KINDS)
def test_angles_have_the_errors_of_theory_wherever_the_circle_is_cut(kind):
    """Mardia & Jupp (2000), section 5.3.1: variances 1 / (n kappa A) and 1 / (n (1 - A / kappa - A^2))."""
    kappa, n = 4.0, 400
    x = np.random.default_rng(0).vonmises(0.0, kappa, size=(n, 1)) % (2 * np.pi)
    fit = mx.fit(mx.CircularModel(1, prior=None), x)
    found = bootstrap(fit, x, 400, kind=kind, rng=1)
    length = i1e(kappa) / i0e(kappa)
    assert found.standard_errors["means"][0, 0] == pytest.approx(1 / np.sqrt(n * kappa * length), rel=0.15)
    error = 1 / np.sqrt(n * (1 - length / kappa - length**2))
    assert found.standard_errors["concentrations"][0, 0] == pytest.approx(error, rel=0.25)
    low, high = found.interval(lambda mixture: mixture.directions[0, 0])
    assert low < fit.mixture.directions[0, 0] < high < low + 0.2


def test_angles_and_columns_with_gaps_errors_weights_and_groups():
    rng = np.random.default_rng(3)
    green = rng.random(300) < 0.4
    x = np.column_stack([np.where(green, 120.0, 0.0) + 15.0 * rng.normal(size=300), 3.0 * green + rng.normal(size=300)])
    noise = mx.noise.from_errors(np.column_stack([rng.uniform(2.0, 9.0, 300), rng.uniform(0.1, 0.4, 300)]))
    x[rng.random(x.shape) < 0.1] = np.nan
    obs = mx.Observations(x, noise, row_weights=rng.choice([1.0, 2.0], 300), groups=np.arange(300) % 2)
    fit = mx.fit(mx.CircularModel(2, angles=[0], period=360), obs, rng=0)
    for kind in KINDS:
        found = bootstrap(fit, obs, 20, kind=kind, rng=0)
        assert found.unclear == 0
        assert set(found.standard_errors) == {"weights", "means", "covariances", "concentrations"}
        assert (np.abs(found.means - fit.mixture.component_means())[..., 0] < 20.0).all()
        sd = found.standard_errors["means"]
        # About 15 degrees and 1 unit, over the root of the rows.
        assert sd == pytest.approx(np.array([[15.0, 1.0], [15.0, 1.0]]) / np.sqrt([[150.0], [110.0]]), rel=0.6)


def test_replicates_do_not_depend_on_threads():
    x = two_clusters(n=150)
    fit = mx.fit(mx.Model(2), x, rng=0)
    one, two = (bootstrap(fit, x, 6, rng=3, workers=workers) for workers in (1, 2))
    np.testing.assert_array_equal(one.means, two.means)


# --- labels ----------------------------------------------------------------------------------------------------------


def random_mixture(rng, k=4, d=2):
    root = rng.normal(size=(k, d, d))
    return mx.Mixture(rng.dirichlet(np.ones(k)), 5.0 * rng.normal(size=(k, d)), root @ root.transpose(0, 2, 1))


def test_distances_are_those_of_an_integral():
    one = mx.Mixture([0.4, 0.6], [[0.0], [3.0]], [[[1.0]], [[4.0]]])
    other = mx.Mixture([0.4, 0.6], [[1.0], [2.0]], [[[0.25]], [[9.0]]])
    x = np.linspace(-40, 40, 400_001)
    density = [
        [np.exp(-((x - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) for m, v in zip(
            mixture.means[:, 0], mixture.covariances[:, 0, 0], strict=True)]
        for mixture in (one, other)
    ]  # fmt: skip
    by_sum = [[-np.log(np.sum(np.sqrt(p * q)) * (x[1] - x[0])) for q in density[1]] for p in density[0]]
    np.testing.assert_allclose(bhattacharyya(one, other), by_sum, rtol=1e-6)


def test_distances_of_components_with_angles_are_those_of_an_integral():
    one = mx.CircularMixture([0.4, 0.6], directions=[[350.0], [90.0]], concentrations=[[0.0], [8.0]], period=360)
    other = mx.CircularMixture([0.4, 0.6], directions=[[10.0], [270.0]], concentrations=[[300.0], [1.5]], period=360)
    x = np.linspace(0.0, 360.0, 100_000, endpoint=False)[:, None]
    alone = [[np.exp(mixture.evolve(weights=w).log_density(x)) for w in np.eye(2)] for mixture in (one, other)]
    by_sum = [[-np.log(np.sum(np.sqrt(p * q)) * 0.0036) for q in alone[1]] for p in alone[0]]
    np.testing.assert_allclose(bhattacharyya(one, other), by_sum, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(bhattacharyya(other, other)), 0.0, atol=1e-12)


def test_components_with_angles_are_found_again():
    rng = np.random.default_rng(5)
    directions, order = rng.uniform(0.0, 360.0, (4, 1)), np.array([2, 0, 3, 1])
    plain = random_mixture(rng)
    mixture = mx.CircularMixture(
        plain.weights, plain.means, plain.covariances, directions=directions, concentrations=np.full((4, 1), 9.0),
        angles=[1], period=360,
    )  # fmt: skip
    found = match(mixture, reordered(mixture, order))
    np.testing.assert_array_equal(order[found.order], np.arange(4))


def test_labels_are_found_again():
    rng = np.random.default_rng(5)
    mixture, order = random_mixture(rng), np.array([2, 0, 3, 1])
    found = match(mixture, reordered(mixture, order))
    assert found.clear
    np.testing.assert_array_equal(order[found.order], np.arange(4))


def test_components_without_spread_have_distances():
    flat = mx.Mixture([0.5, 0.5], [[0.0], [1.0]], np.zeros((2, 1, 1)))
    found = match(flat, reordered(flat, np.array([1, 0])))
    assert found.clear
    assert found.order.tolist() == [1, 0]


def test_unclear_labels_are_counted():
    """Two components at nearly one place: each refit could have either label."""
    x = np.random.default_rng(3).normal(size=(120, 1))
    with np.errstate(all="ignore"):
        fit = mx.fit(mx.Model(2, covariance="tied", prior=mx.prior.Dirichlet(3.0)), x, rng=0)
    with pytest.warns(UserWarning, match=r"the components could have other labels"):
        found = bootstrap(fit, x, 40, rng=0)
    assert found.unclear > 2
    assert "unclear" in repr(found)


def test_lost_components_are_counted():
    """Three rows far out, too few for a covariance once some of them are not drawn."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=(60, 1)), [[20.0], [20.5], [21.0]]])
    start = mx.Mixture([0.95, 0.05], [[0.0], [20.5]], [[[1.0]], [[0.2]]])
    fit = mx.fit(mx.Model(2), x, start=start)
    with pytest.warns(UserWarning, match="refits lost a component and are left out"):
        found = bootstrap(fit, x, 40, kind="rows", rng=0)
    assert sum(found.lost.values()) + len(found.mixtures) == 40
    assert sum(found.lost.values()) > 2


# --- intervals -------------------------------------------------------------------------------------------------------


def test_intervals_are_quantiles():
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(200, 1))
    found = bootstrap(mx.fit(mx.Model(1), x, rng=0), x, 100, rng=1)
    draws, value = np.sort(found.means[:, 0, 0]), float(found.mixture.means[0, 0])
    low, high = found.interval(lambda mixture: mixture.means[0, 0], 0.8)
    assert draws[9] <= low <= draws[10]
    assert draws[89] <= high <= draws[90]
    turned = found.interval(lambda mixture: mixture.means[0, 0], 0.8, "basic")
    assert turned == pytest.approx((2 * value - high, 2 * value - low))


def test_bias_correction_undoes_a_shift_of_the_median():
    draws, value = np.random.default_rng(1).normal(size=(200_000, 1)) + 0.5, np.zeros(1)
    low, high = INTERVALS["bias_corrected"](draws, value, 0.95)
    assert low[0] == pytest.approx(-1.96 - 0.5, abs=0.1)
    assert high[0] == pytest.approx(1.96 - 0.5, abs=0.1)
    low, high = INTERVALS["basic"](draws, value, 0.95)
    assert low[0] == pytest.approx(-1.96 - 0.5, abs=0.1)
    assert high[0] == pytest.approx(1.96 - 0.5, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_weight_four_is_the_row_four_times(kind):
    x = np.random.default_rng(0).normal(size=(200, 1))
    heavy, many = mx.Observations(x, row_weights=np.full(200, 4.0)), np.repeat(x, 4, axis=0)
    one, other = (
        bootstrap(mx.fit(mx.Model(1), rows), rows, 300, kind=kind, rng=0).standard_errors["means"][0, 0]
        for rows in (heavy, many)
    )
    assert one == pytest.approx(other, rel=0.15)
    assert other == pytest.approx(x.std() / np.sqrt(800), rel=0.15)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    x = two_clusters(n=100)
    fit = mx.fit(mx.Model(2), x, rng=0)
    for options, words in (
        ({"kind": "jackknife"}, "kind must be one of 'parametric', 'weighted', 'rows'; got 'jackknife'"),
        ({"n": 1}, "n must be a whole number of replicates, 2 or more; got 1"),
        ({"rng": -1}, "rng must be a seed"),
    ):
        with pytest.raises(mx.DataError, match=words):
            bootstrap(fit, x, **options)
    with pytest.raises(mx.DataError, match=r"fit must be what mixsci\.fit returns, .* got Mixture"):
        bootstrap(fit.mixture, x)
    with pytest.raises(mx.DataError, match="these are not the rows of the fit"):
        bootstrap(fit, x[:-1])
    found = bootstrap(fit, x, 10, rng=0)
    with pytest.raises(mx.DataError, match=r"level 0\.95 needs 40 replicates or more; got 10: raise n"):
        found.interval(lambda mixture: mixture.means)
    with pytest.raises(mx.DataError, match="kind must be one of 'percentile', 'basic', 'bias_corrected'; got 't'"):
        found.interval(lambda mixture: mixture.means, 0.5, "t")
    with pytest.raises(mx.DataError, match="level must lie between 0 and 1; got 95"):
        found.interval(lambda mixture: mixture.means, 95)
