"""Truncated samples: the same optimum as the exact likelihood where that is known, and honest refusals."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import mixsci as mx
from mixsci.engine.em.selection import Box, Selected, draw, fit_selected
from mixsci.engine.em.stopping import rounding

LOW = -0.3


@pytest.fixture(scope="module")
def kept():
    """Values of a unit normal, with errors, of which those above LOW were kept; and their errors."""
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.1, 0.9, 3000)
    x = rng.normal(size=3000) + sigma * rng.normal(size=3000)
    return x[x > LOW], sigma[x > LOW]


def exact(x, sigma):
    """Mean, standard deviation and log-likelihood at the maximum of the truncated likelihood, from SciPy."""

    def cost(at):
        spread = np.sqrt(np.exp(2 * at[1]) + sigma**2)
        return -(norm.logpdf(x, at[0], spread) - norm.logsf(LOW, at[0], spread)).sum()

    found = minimize(cost, [0.3, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 2000})
    return found.x[0], np.exp(found.x[1]), -found.fun


@pytest.mark.parametrize("noisy", [False, True])
def test_equals_the_exact_truncated_likelihood(kept, noisy):
    x, sigma = kept
    sigma = sigma if noisy else np.zeros_like(sigma)
    obs = mx.Observations(x[:, None], mx.noise.from_errors(sigma[:, None]) if noisy else None)
    fit, _ = fit_selected(mx.Model(1), obs, Box([LOW], [np.inf]), rng=0)
    mean, sd, log_likelihood = exact(x, sigma)
    # Standard errors are about 0.1 and 0.05: the fixed draws cost a small part of them.
    assert fit.mixture.means[0, 0] == pytest.approx(mean, abs=0.01)
    assert np.sqrt(fit.mixture.covariances[0, 0, 0]) == pytest.approx(sd, abs=0.005)
    # Rows of a class share one chance to be kept, where the exact likelihood has one for each error.
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=0.5)
    assert fit.n == len(x)


def turned(low, rng, n=600):
    """Both coordinates of points in the plane, each seen from its own side with errors of its own; the first > low."""
    angle = rng.uniform(0.0, np.pi, n)
    cos, sin = np.cos(angle), np.sin(angle)
    views = np.stack([np.stack([cos, sin], axis=-1), np.stack([-sin, cos], axis=-1)], axis=1)
    sigma = rng.uniform(0.05, 0.4, (n, 2))
    points = rng.multivariate_normal([0.4, -0.6], [[1.5, 0.3], [0.3, 0.6]], n)
    x = np.einsum("nij,nj->ni", views, points) + sigma * rng.normal(size=(n, 2))
    kept = x[:, 0] > low
    return x[kept], sigma[kept], views[kept]


def exact_in_the_plane(x, sigma, views, low):
    """Means and covariances (5,) at the maximum of the truncated likelihood of such rows, one by one, from SciPy."""

    def parts(at):
        root = np.array([[np.exp(at[2]), 0.0], [at[3], np.exp(at[4])]])
        return at[:2], root @ root.T

    def cost(at):
        mean, spread = parts(at)
        middle = views @ mean
        wide = views @ spread @ np.swapaxes(views, 1, 2) + np.eye(2) * (sigma**2)[:, None]
        off = x - middle
        square = (off * np.linalg.solve(wide, off[..., None])[..., 0]).sum(axis=1)
        kept = norm.logsf(low, middle[:, 0], np.sqrt(wide[:, 0, 0]))
        return (0.5 * square + 0.5 * np.log(np.linalg.det(wide)) + kept).sum()

    found = minimize(cost, [0.4, -0.6, 0.2, 0.2, -0.3], method="BFGS", options={"gtol": 1e-3})
    assert np.abs(found.jac).max() < 1e-2
    return numbers_of(*parts(found.x))


def numbers_of(mean, spread):
    return np.concatenate([mean, spread[np.triu_indices(2)]])


@pytest.mark.parametrize("low", [0.0, 0.8])
def test_rows_seen_each_from_its_own_side_equal_the_exact_truncated_likelihood(low):
    x, sigma, views = turned(low, np.random.default_rng(4))
    obs, best = mx.Observations(x, mx.noise.from_errors(sigma), views), exact_in_the_plane(x, sigma, views, low)
    for omega in (Box([low, -np.inf], [np.inf, np.inf]), lambda x: (x[:, 0] > low).astype(float)):
        fit, source = fit_selected(mx.Model(1), obs, omega, rng=0)
        errors = mx.standard_errors(fit, source)
        off = numbers_of(fit.mixture.means[0], fit.mixture.covariances[0]) - best
        # What rows have in common does not average out: with the same draws in every row 0.3 standard errors are left.
        assert np.abs(off / numbers_of(errors.means[0], errors.covariances[0])).max() < 0.05


def test_a_sample_that_tells_little_still_has_its_exact_maximum():
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.05, 0.5, (300, 2))
    x = rng.normal(size=(300, 2)) + sigma * rng.normal(size=(300, 2))
    x, sigma = x[x[:, 0] > LOW], sigma[x[:, 0] > LOW]
    best = exact_in_the_plane(x, sigma, np.broadcast_to(np.eye(2), (len(x), 2, 2)), LOW)
    # The truth is 0, with an error of about 0.7: so flat a top is lost where draws err alike in every class.
    assert best[0] == pytest.approx(-0.77, abs=0.02)
    fit, _ = fit_selected(
        mx.Model(1), mx.Observations(x, mx.noise.from_errors(sigma)), Box([LOW, -np.inf], [np.inf] * 2)
    )
    np.testing.assert_allclose(numbers_of(fit.mixture.means[0], fit.mixture.covariances[0]), best, atol=0.02)


def test_never_falls_and_repeats():
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 1, 1500), rng.normal(4, 0.5, 500)])
    obs = mx.Observations(x[x > LOW, None], mx.noise.from_errors([0.2]))
    first, again = (fit_selected(mx.Model(2), obs, Box([LOW], [np.inf]), rng=0, workers=w)[0] for w in (1, 2))
    assert (np.diff(first.history) >= -rounding(first.log_likelihood)).all()
    assert first.log_likelihood == again.log_likelihood
    assert (first.mixture.means == again.mixture.means).all()


def test_score_is_the_slope_of_the_likelihood(kept):
    x, sigma = kept
    obs = mx.Observations(x[:, None], mx.noise.from_errors(sigma[:, None]))
    at = mx.Mixture([0.4, 0.6], [[0.5], [-0.2]], [[[0.8]], [[1.4]]])
    source = draw(obs, Box([LOW], [np.inf]), at)
    stats, step = mx.expect(at, source), 1e-5

    def moved(**change):
        return mx.expect(at.evolve(**change), source).log_likelihood

    for k in range(2):
        up, down = at.means.copy(), at.means.copy()
        up[k], down[k] = up[k] + step, down[k] - step
        assert stats.g[k, 0] == pytest.approx((moved(means=up) - moved(means=down)) / (2 * step), rel=1e-5, abs=1e-3)
        up, down = at.covariances.copy(), at.covariances.copy()
        up[k], down[k] = up[k] + step, down[k] - step
        slope = (moved(covariances=up) - moved(covariances=down)) / (2 * step)
        assert stats.H[k, 0, 0] / 2 == pytest.approx(slope, rel=1e-5, abs=1e-3)


def test_a_chance_that_falls_smoothly():
    rng = np.random.default_rng(8)
    x = rng.multivariate_normal([1.0, -1.0], [[1.0, 0.6], [0.6, 2.0]], size=12_000)

    def omega(x):
        return 1.0 / (1.0 + np.exp(-2.0 * x[:, 0]))

    kept = x[rng.random(len(x)) < omega(x)]
    plain = mx.fit(mx.Model(1), kept, rng=0)
    selected, source = fit_selected(mx.Model(1), mx.Observations(kept), omega, rng=0)
    assert mx.expect(selected.mixture, source).log_likelihood == selected.log_likelihood
    assert abs(plain.mixture.means[0, 0] - 1.0) > 0.15
    np.testing.assert_allclose(selected.mixture.means[0], [1.0, -1.0], atol=0.06)
    np.testing.assert_allclose(selected.mixture.covariances[0], [[1.0, 0.6], [0.6, 2.0]], atol=0.12)


def test_projections_and_a_background():
    rng = np.random.default_rng(9)
    n = 600
    angle = rng.uniform(0, np.pi, n)
    projection = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, None]
    x = (projection @ rng.multivariate_normal([0.5, -0.5], [[1.0, 0.3], [0.3, 0.6]], n)[..., None])[..., 0]
    keep = x[:, 0] > -0.8
    obs = mx.Observations(x[keep], projection=projection[keep])
    fit, _ = fit_selected(mx.Model(1), obs, Box([-0.8], [np.inf]), rng=0)
    np.testing.assert_allclose(fit.mixture.means[0], [0.5, -0.5], atol=0.2)
    box = mx.UniformBackground([-6.0], [6.0], weight=0.1)
    y = np.concatenate([rng.normal(0, 1, 3000), rng.uniform(-6, 6, 300)])
    y = y[y > -0.5]
    fit, _ = fit_selected(mx.Model(1, background=box), mx.Observations(y[:, None]), Box([-0.5], [np.inf]), rng=0)
    assert fit.mixture.background.weight == pytest.approx(1 / 11, abs=0.03)
    assert fit.mixture.means[0, 0] == pytest.approx(0.0, abs=0.2)


def test_a_selection_that_keeps_everything_changes_nothing():
    x = np.random.default_rng(1).normal(size=(300, 2))
    plain = mx.fit(mx.Model(1), x, rng=0)
    whole, _ = fit_selected(mx.Model(1), mx.Observations(x), Box([-np.inf] * 2, [np.inf] * 2), rng=0)
    np.testing.assert_allclose(whole.mixture.means, plain.mixture.means, atol=1e-12)
    assert isinstance(draw(mx.Observations(x), lambda x: np.ones(len(x)), plain.mixture), Selected)


@pytest.mark.parametrize(
    ("omega", "said"),
    [
        (lambda x: np.full(len(x), 2.0), r"chances in \[0, 1\]; got 2.0 in rows 0, 1"),
        (lambda _: np.ones(3), r"one chance per row, \(20,\); got \(3,\)"),
        (lambda x: (x[:, 0] > x[4, 0]).astype(float), "keeps none like row"),
        (Box([0.0, -np.inf], [1.0, np.inf]), "missing has none"),
    ],
)
def test_refusals(omega, said):
    x = np.random.default_rng(1).uniform(size=(20, 2))
    x[4, 0] = np.nan if isinstance(omega, Box) else x[4, 0]
    with pytest.raises(mx.DataError, match=said):
        fit_selected(mx.Model(1), mx.Observations(x), omega)


def test_a_box_is_checked():
    with pytest.raises(mx.DataError, match="low < high"):
        Box([1.0], [0.0])
