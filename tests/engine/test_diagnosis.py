"""What is said of components: sums by hand, overlaps of closed form, and problems that have one defect each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import mixsci as mx
from mixsci.engine.inference.artefacts import CHECKS
from mixsci.engine.inference.diagnosis import diagnose, silhouettes
from mixsci.engine.inference.overlap import overlap


def two_clusters(seed=0, n=400, d=2, apart=5.0):
    rng = np.random.default_rng(seed)
    label = np.arange(n) < 0.4 * n
    return rng.normal(size=(n, d)) * np.where(label, 0.8, 1.2)[:, None] + apart * label[:, None]


def start_at(means, sd=1.0):
    means = np.atleast_2d(means).astype(float)
    k, d = means.shape
    return mx.Mixture(np.full(k, 1 / k), means, np.tile(sd**2 * np.eye(d), (k, 1, 1)))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_are_sums_over_rows():
    x = two_clusters(apart=2.0)
    x[::9, 0] = np.nan
    x[3] = np.nan
    weights = np.random.default_rng(1).choice([0.0, 1.0, 2.0], size=len(x))
    obs = mx.Observations(x, row_weights=weights)
    fit = mx.fit(mx.Model(2), obs, start=start_at([[2.0, 2.0], [0.0, 0.0]]))
    found, r = diagnose(fit, obs), fit.responsibilities(obs)
    weights[3] = 0.0
    labels = r.argmax(axis=1)
    np.testing.assert_allclose(found.rows, weights @ r)
    for k in range(2):
        mine = weights * (labels == k)
        assert found.labelled[k] == pytest.approx(mine.sum())
        assert found.certainty[k] == pytest.approx(mine @ r[:, k] / mine.sum())
        assert found.entropy[k] == pytest.approx(-(weights @ (r[:, k] * np.log(r[:, k]))) / (weights @ r[:, k]))
        ratio = np.abs(np.log(r[:, 0] / r[:, 1]))
        assert found.silhouette[k] == pytest.approx(mine @ (ratio / ratio.max()) / mine.sum())
        for j in range(2):
            expected = (weights * r[:, k]) @ (labels == j) / (weights @ r[:, k])
            assert found.confusion[k, j] == pytest.approx(expected)
    assert found.sure == pytest.approx(1.0 - fit.entropy / (fit.n * np.log(2)))
    assert list(found.table.columns) == [
        *("rows", "labelled", "certainty", "entropy", "silhouette", "overlap", "findings")
    ]  # fmt: skip


def test_silhouettes_know_no_infinity():
    shares = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.7, 0.1]])
    found = silhouettes(shares)
    assert found[0] == 1.0
    assert found[1] == 0.0
    assert 0.0 < found[2] < 1.0
    np.testing.assert_array_equal(silhouettes(np.ones((3, 1))), 1.0)


def test_rows_of_the_background_are_nobodys():
    rng = np.random.default_rng(2)
    x = np.concatenate([two_clusters(2), rng.uniform(-20, 20, size=(80, 2))])
    model = mx.Model(2, background=mx.UniformBackground([-20.0, -20.0], [20.0, 20.0], weight=0.1))
    fit = mx.fit(model, x, start=start_at([[5.0, 5.0], [0.0, 0.0]]))
    found = diagnose(fit, x)
    assert found.labelled.sum() == (fit.predict(x) >= 0).sum() < len(x)
    assert found.findings == ()


# --- overlap ---------------------------------------------------------------------------------------------------------


def by_integral(mixture, i, j):
    x = np.linspace(-60, 60, 600_001)
    density = [
        w * norm.pdf(x, m, np.sqrt(v))
        for w, m, v in zip(mixture.weights, mixture.means[:, 0], mixture.covariances[:, 0, 0], strict=True)
    ]
    return np.sum(density[i] * (density[j] > density[i])) * (x[1] - x[0]) / mixture.weights[i]


@pytest.mark.parametrize(
    "mixture",
    [
        mx.Mixture([0.3, 0.5, 0.2], [[0.0], [1.0], [3.0]], [[[1.0]], [[1.0]], [[4.0]]]),
        mx.Mixture([0.9, 0.1], [[0.0], [0.3]], [[[1.0]], [[1.0]]]),
        mx.Mixture([0.5, 0.5], [[2.0], [2.0]], [[[1.0]], [[9.0]]]),
        mx.Mixture([0.02, 0.98], [[2.0], [2.0]], [[[1.0]], [[1.21]]]),
    ],
)
def test_overlap_in_one_dimension_is_an_integral(mixture):
    found = overlap(mixture, 1, np.random.default_rng(0))
    k = mixture.n_components
    expected = [[0.0 if i == j else by_integral(mixture, i, j) for j in range(k)] for i in range(k)]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_overlap_in_two_dimensions_is_that_along_their_line():
    """Equal covariances: the chance is that of one dimension, the distance of the means in standard deviations."""
    covariance = np.array([[2.0, 0.8], [0.8, 1.0]])
    step = np.array([1.5, -0.5])
    mixture = mx.Mixture([0.4, 0.6], np.array([[0.0, 0.0], step]), [covariance, covariance])
    apart = np.sqrt(step @ np.linalg.solve(covariance, step))
    cut = apart / 2 - np.log(0.6 / 0.4) / apart
    found = overlap(mixture, 100_000, np.random.default_rng(0))
    assert found[0, 1] == pytest.approx(norm.sf(cut), abs=6e-3)
    assert found[1, 0] == pytest.approx(norm.sf(apart - cut), abs=6e-3)


def test_overlap_of_values_and_of_factors():
    flat = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], np.zeros((2, 2, 2)))
    np.testing.assert_array_equal(overlap(flat, 100, np.random.default_rng(0)), 0.0)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 6)) + 1.2 * np.repeat([0, 1], 100)[:, None]
    fit = mx.fit(mx.FactorModel(2, 1), x, rng=0)
    dense = overlap(fit.mixture.dense(), 40_000, np.random.default_rng(1))
    np.testing.assert_allclose(overlap(fit.mixture, 40_000, np.random.default_rng(0)), dense, atol=0.012)


# --- one defect each -------------------------------------------------------------------------------------------------


def unfinished():
    x = two_clusters(apart=4.0)
    with pytest.warns(mx.ConvergenceWarning):
        return mx.fit(mx.Model(2), x, start=start_at([[4.0, 4.0], [0.0, 0.0]]), max_iter=2, tol=1e-12), x


def tiny():
    x = np.concatenate([two_clusters(), [[30.0, 30.0], [31.0, 30.2], [30.4, 31.0], [30.1, 30.6]]])
    prior = mx.prior.InverseWishart(scale=np.eye(2), dof=3.0)
    return mx.fit(mx.Model(3, prior=prior), x, start=start_at([[5.0, 5.0], [0.0, 0.0], [30.0, 30.0]])), x


def collapsed():
    """Eight rows almost on a line."""
    along = np.linspace(19.0, 21.0, 8)[:, None]
    x = np.concatenate([two_clusters(), along * [1.0, -1.0] + 1e-4 * np.random.default_rng(5).normal(size=(8, 2))])
    return mx.fit(mx.Model(3), x, start=start_at([[5.0, 5.0], [0.0, 0.0], [20.0, -20.0]])), x


def at_the_floor():
    """Half the rows have the same value."""
    x = np.concatenate([np.random.default_rng(6).normal(5.0, 1.0, size=(200, 1)), np.zeros((200, 1))])
    return mx.fit(mx.Model(2, floor=1e-4), x, start=start_at([[0.0], [5.0]])), x


def below_noise():
    rng = np.random.default_rng(7)
    sigma = rng.uniform(0.5, 1.5, size=(300, 1))
    spread = np.where(np.arange(300) < 150, 0.0, 2.0)[:, None]
    x = np.where(np.arange(300) < 150, 0.0, 20.0)[:, None] + (0.7 * sigma + spread) * rng.normal(size=(300, 1))
    obs = mx.Observations(x, mx.noise.from_errors(sigma))
    return mx.fit(mx.Model(2), obs, start=start_at([[0.0], [20.0]]), tol=1e-9), obs


def duplicates():
    x = two_clusters()
    single = mx.fit(mx.Model(2), x, rng=0).mixture
    doubled = [0, 0, 1]
    start = mx.Mixture(
        single.weights[doubled] * [0.5, 0.5, 1.0], single.means[doubled], single.covariances[doubled]
    )  # fmt: skip
    return mx.fit(mx.Model(3), x, start=start), x


def halves():
    """One wide Gaussian in two halves, of one covariance with the other component."""
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 9.0])
    return mx.fit(mx.Model(3), x, start=start_at([[-1.0, 0.0], [1.0, 0.0], [9.0, 9.0]])), x


def empty():
    x = two_clusters()
    mixture = mx.fit(mx.Model(2), x, rng=0).mixture
    start = mx.Mixture(
        np.append(mixture.weights * (1 - 1e-5), 1e-5),
        np.vstack([mixture.means, [[60.0, 60.0]]]),
        np.concatenate([mixture.covariances, np.eye(2)[None]]),
    )
    return mx.fit(mx.Model(3), x, start=start), x


def rows_of_no_background():
    x = two_clusters(n=4000)
    model = mx.Model(2, background=mx.UniformBackground([-8.0, -8.0], [12.0, 12.0], weight=0.01))
    return mx.fit(model, x, start=start_at([[5.0, 5.0], [0.0, 0.0]]), tol=1e-9), x


def no_positive_droplet():
    x = np.random.default_rng(9).normal(size=(300, 1))
    model = mx.Model(2, weights="poisson", covariance="tied", means=mx.means.Fixed([[0.0], [40.0]]))
    start = mx.Mixture([0.5, 0.5], [[0.0], [40.0]], np.ones((2, 1, 1)), rates=0.5)
    return mx.fit(model, x, start=start), x


DEFECTS = {
    "unfinished": (unfinished, "unfinished", ()),
    "tiny": (tiny, "tiny", (2,)),
    "collapsed": (collapsed, "collapsed", (2,)),
    "at the floor": (at_the_floor, "collapsed", (0,)),
    "below noise": (below_noise, "below noise", (0,)),
    "duplicates": (duplicates, "duplicates", (0, 1)),
    "halves": (halves, "halves", (0, 1)),
    "empty": (empty, "at edge", (2,)),
    "no background": (rows_of_no_background, "at edge", ()),
    "no positive": (no_positive_droplet, "at edge", ()),
}


def test_every_check_has_its_problem():
    assert {kind for _, kind, _ in DEFECTS.values()} == set(CHECKS)


@pytest.mark.parametrize("name", DEFECTS)
def test_one_defect_is_found_and_no_other(name):
    make, kind, components = DEFECTS[name]
    fit, x = make()
    found = diagnose(fit, x, draws=500)
    assert [(one.kind, one.components) for one in found.findings] == [(kind, components)], str(found)
    assert str(found) == found.findings[0].sentence
    for k in components:
        assert found.table["findings"][k] == kind


HEALTHY = {
    "plain": {},
    "tied": {"covariance": "tied"},
    "diagonal": {"covariance": "diag"},
    "prior": {"prior": mx.prior.InverseWishart()},
    "floor": {"floor": 1e-3},
    "frozen": {"frozen": mx.Frozen(covariances=True)},
    "groups with offsets": {"offsets": "group"},
}


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_fit_has_no_findings(name, noise):
    rng = np.random.default_rng(1)
    x = two_clusters(1)
    sigma = rng.uniform(0.2, 0.6, size=x.shape)
    x[rng.random(x.shape) < 0.2] = np.nan
    x = x + sigma * rng.normal(size=x.shape) if noise else x
    groups = np.arange(len(x)) % 2 if "groups" in name else None
    obs = mx.Observations(x, mx.noise.from_errors(sigma) if noise else None, groups=groups)
    fit = mx.fit(mx.Model(2, **HEALTHY[name]), obs, start=start_at([[5.0, 5.0], [0.0, 0.0]]))
    assert diagnose(fit, obs, draws=500).findings == ()


def test_skewed_clusters_are_no_halves():
    """Two Gaussians that BIC asks for are no artefact, near to one another as they may lie."""
    rng = np.random.default_rng(3)
    x = rng.exponential(size=(800, 1))
    fit = mx.fit(mx.Model(2), x, rng=0)
    assert fit.bic < mx.fit(mx.Model(1), x).bic
    assert diagnose(fit, x).findings == ()


def test_factors_and_threads():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) + 4.0 * np.repeat([0, 1], 100)[:, None]
    fit = mx.fit(mx.FactorModel(2, 1), x, rng=0)
    one, two = (diagnose(fit, x, draws=500, workers=workers) for workers in (1, 2))
    assert one.findings == ()
    np.testing.assert_array_equal(one.overlap, two.overlap)
    np.testing.assert_array_equal(one.entropy, two.entropy)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused():
    x = two_clusters()
    fit = mx.fit(mx.Model(2), x, rng=0)
    with pytest.raises(mx.DataError, match=r"fit must be what mixsci\.fit returns; got Mixture"):
        diagnose(fit.mixture, x)
    with pytest.raises(mx.DataError, match="these are not the rows of the fit"):
        diagnose(fit, x + 1.0)
    with pytest.raises(mx.DataError, match="draws must be a whole number, 1 or more; got 0"):
        diagnose(fit, x, draws=0)
    with pytest.raises(mx.DataError, match="rows in memory"):
        diagnose(replace(fit), mx.from_blocks(lambda: [x]))
