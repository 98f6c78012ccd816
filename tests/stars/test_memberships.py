"""Who belongs: probabilities and Bayes factors against densities written down by hand."""

import numpy as np
import pytest
from scipy.special import expit, logit, logsumexp
from scipy.stats import multivariate_normal

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError
from mixsci.stars.memberships import log_bayes_factor, membership_table, population_of


def ellipse(a, b, angle):
    """A covariance with these two dispersions."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    return turn @ np.diag([a**2, b**2]) @ turn.T


STREAM, DISC, HALO = ([-4.5, -2.5], [-2.0, -1.0], [-1.0, -3.0])
SPREAD = [ellipse(0.2, 0.1, 0.4), ellipse(1.5, 1.0, -0.3), ellipse(4.0, 3.5, 1.0)]
BOX = mx.UniformBackground([-30.0, -30.0], [30.0, 30.0], weight=0.03)
MIXTURE = mx.Mixture([0.2, 0.5, 0.3], [STREAM, DISC, HALO], SPREAD, background=BOX)


def sample(n=400, seed=0):
    """Proper motions drawn from the mixture with errors, and where each comes from."""
    rng = np.random.default_rng(seed)
    motions, label = MIXTURE.sample(n, rng=rng)
    error, rho = rng.uniform(0.05, 0.4, (n, 2)), rng.uniform(-0.6, 0.6, n)
    table = {"source_id": 1000 + np.arange(n), "ra": rng.uniform(0, 360, n), "dec": rng.uniform(-80, 80, n)}
    noise = rng.normal(size=(n, 2))
    noise[:, 1] = rho * noise[:, 0] + np.sqrt(1 - rho**2) * noise[:, 1]
    for j, name in enumerate(("pmra", "pmdec")):
        table[name], table[f"{name}_error"] = motions[:, j] + error[:, j] * noise[:, j], error[:, j]
    return stars.from_gaia(table | {"pmra_pmdec_corr": rho}), label


@pytest.fixture(scope="module")
def made():
    return sample()


@pytest.fixture(scope="module")
def kin(made):
    return made[0]


def log_densities(kin):
    """(n, 4) log of weight times density of each component and of the box, from SciPy."""
    noise = kin.observations.noise.covariances(len(kin))
    share = np.log((1 - BOX.weight) * MIXTURE.weights)
    rows = [
        [*(w + multivariate_normal.logpdf(x, m, c + e) for w, m, c in zip(share, MIXTURE.means, SPREAD, strict=True)),
         np.log(BOX.weight / 60.0**2)]
        for x, e in zip(kin.observations.x, noise, strict=True)
    ]  # fmt: skip
    return np.array(rows)


# --- against SciPy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("population", [(0,), (1,), (0, 2), (2, 0), (0, 1, 2)])
def test_bayes_factors_are_ratios_of_densities(kin, population):
    found, parts = log_bayes_factor(MIXTURE, kin, population), log_densities(kin)
    others = [j for j in range(4) if j not in population]
    weight = np.append((1 - BOX.weight) * MIXTURE.weights, BOX.weight)
    ours = logsumexp(parts[:, list(population)], axis=1) - np.log(weight[list(population)].sum())
    theirs = logsumexp(parts[:, others], axis=1) - np.log(weight[others].sum())
    np.testing.assert_allclose(found, ours - theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("population", [(0,), (1, 2), (0, 1, 2)])
def test_probabilities_are_shares_of_density(kin, population):
    table, parts = membership_table([MIXTURE], kin, population), np.exp(log_densities(kin))
    total = parts.sum(axis=1)
    expected = parts[:, list(population)].sum(axis=1) / total
    np.testing.assert_allclose(table["p_member"], expected, rtol=1e-9, atol=1e-13)
    prior = (1 - BOX.weight) * MIXTURE.weights[list(population)].sum()
    np.testing.assert_allclose(expit(table["log_bayes_factor"] + logit(prior)), expected, rtol=1e-9, atol=1e-13)
    each = np.stack([table[f"p_{k}"] for k in range(3)], axis=1)
    np.testing.assert_allclose(each, parts[:, :3] / total[:, None], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(table["p_outlier"], parts[:, 3] / total, rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(table["component"], np.where(parts.argmax(axis=1) == 3, -1, parts.argmax(axis=1)))


def test_several_mixtures_are_averaged(kin):
    moved = mx.Mixture(MIXTURE.weights, MIXTURE.means + 0.3, MIXTURE.covariances * 1.2, background=BOX)
    both = membership_table([MIXTURE, moved], kin, (0, 2))
    parts = [membership_table([mixture], kin, (0, 2)) for mixture in (MIXTURE, moved)]
    for name in ("p_member", "p_0", "p_1", "p_2", "p_outlier"):
        np.testing.assert_allclose(both[name], (parts[0][name] + parts[1][name]) / 2, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(both["p_member"], both["p_0"] + both["p_2"], rtol=1e-9, atol=1e-13)
    prior = (1 - BOX.weight) * MIXTURE.weights[[0, 2]].sum()
    np.testing.assert_allclose(expit(both["log_bayes_factor"] + logit(prior)), both["p_member"], rtol=1e-9, atol=1e-13)


def test_a_population_without_any_outliers(kin):
    bare = mx.Mixture(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    table = membership_table([bare], kin, (0,))
    np.testing.assert_allclose(table["p_member"], bare.responsibilities(kin.observations)[:, 0], rtol=1e-12)
    assert not table["p_outlier"].any()
    assert (table["component"] >= 0).all()


def test_stars_that_are_far_from_everything_have_finite_factors(kin):
    far = kin.take([0])
    far = type(far)(**{**vars(far), "observations": far.observations.valued(np.array([[-25.0, 28.0]]))})
    bare = mx.Mixture(MIXTURE.weights[:2] / 0.7, MIXTURE.means[:2], MIXTURE.covariances[:2])
    for mixture in (MIXTURE, bare):
        table = membership_table([mixture], far, (0,))
        assert np.isfinite(table["log_bayes_factor"]).all()
        assert table["p_member"][0] < 1e-12
    assert membership_table([MIXTURE], far, (0,))["p_outlier"][0] > 0.999


def test_the_table_names_stars_and_places(kin):
    table = membership_table([MIXTURE], kin.take(slice(100, 150)), ())
    np.testing.assert_array_equal(table["row"], np.arange(100, 150))
    np.testing.assert_array_equal(table["id"], 1100 + np.arange(50))
    np.testing.assert_array_equal(table["ra"].to_value("deg"), kin.lon[100:150])
    np.testing.assert_array_equal(table["dec"].to_value("deg"), kin.lat[100:150])
    # Nothing is looked for: nobody is a member of it.
    assert "p_member" not in table.colnames
    np.testing.assert_allclose(sum(table[f"p_{k}"] for k in range(3)) + table["p_outlier"], 1.0, rtol=1e-12)


@pytest.mark.parametrize("components", [(3,), (-1,), (0, 0), (0.5,), (True, False), (None,), (), "0", 1.0], ids=str)
def test_components_are_checked(components):
    with pytest.raises(DataError, match="distinct numbers from 0 to 2"):
        population_of(components, MIXTURE)


@pytest.mark.parametrize("components", [1, [1], (1,), range(1, 2), np.array([1])], ids=str)
def test_components_come_in_many_ways(components):
    assert population_of(components, MIXTURE) == (1,)


def test_a_population_needs_something_to_stand_out_from(kin):
    bare = mx.Mixture(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    with pytest.raises(DataError, match="stands out from"):
        membership_table([bare], kin, (0, 1, 2))


def test_the_verb_and_the_method_say_the_same(kin):
    found = stars.deconvolve(kin, 2, outliers=True, starts=2)
    for components in (None, 0, [1, 0]):
        ours, theirs = stars.membership(found, components=components), found.membership(components=components)
        assert ours.colnames == theirs.colnames
        assert ("p_member" in ours.colnames) == (components is not None)
        np.testing.assert_array_equal(ours["component"], theirs["component"])
    ours, theirs = stars.membership(found, kin.take([5]), components=0), found.membership(components=0)[5]
    assert (ours["p_member"][0], ours["row"][0]) == (theirs["p_member"], 5)
    for nothing in (None, kin, {"pmra": [1.0]}):
        with pytest.raises(DataError, match="fit must be"):
            stars.membership(nothing)


# --- reliability and thresholds ---------------------------------------------------------------------------------------


def test_probabilities_are_frequencies():
    kin, label = sample(20_000, seed=2)
    p, member = np.asarray(membership_table([MIXTURE], kin, (0,))["p_member"]), label == 0
    for low, high in zip(np.arange(0, 1, 0.1), np.arange(0.1, 1.1, 0.1), strict=True):
        here = (p >= low) & (p <= high)
        error = np.sqrt((p[here] * (1 - p[here])).sum()) / here.sum()
        assert member[here].mean() == pytest.approx(p[here].mean(), abs=4 * error + 1e-9)
    assert member.sum() == pytest.approx(p.sum(), abs=4 * np.sqrt((p * (1 - p)).sum()))


def test_purity_and_completeness_by_counting():
    rng = np.random.default_rng(4)
    p = rng.uniform(size=500)
    truth, thresholds = rng.uniform(size=500) < p, [0.0, 0.25, 0.5, 0.9, 1.0]
    table = stars.purity_completeness(p, truth, thresholds=thresholds)
    for row, at in zip(table, thresholds, strict=True):
        taken = p >= at
        assert row["threshold"] == at
        assert row["n"] == taken.sum()
        assert row["completeness"] == pytest.approx(p[taken].sum() / p.sum(), rel=1e-12)
        assert row["true_completeness"] == pytest.approx((taken & truth).sum() / truth.sum(), rel=1e-12)
        if taken.any():
            assert row["purity"] == pytest.approx(p[taken].mean(), rel=1e-12)
            assert row["true_purity"] == pytest.approx(truth[taken].mean(), rel=1e-12)
    assert np.isnan(table["purity"][-1]) == (p < 1).all()


def test_expected_purity_and_completeness_are_the_true_ones():
    kin, label = sample(20_000, seed=2)
    p = membership_table([MIXTURE], kin, (0,))["p_member"]
    table = stars.purity_completeness(p, label == 0)
    assert len(table) == 100
    some = table["n"] > 500
    np.testing.assert_allclose(table["purity"][some], table["true_purity"][some], atol=0.02)
    np.testing.assert_allclose(table["completeness"], table["true_completeness"], atol=0.02)
    # A higher threshold never takes more stars, and never finds more members.
    assert (np.diff(table["n"]) <= 0).all()
    assert (np.diff(table["completeness"]) <= 0).all()
    assert (np.diff(table["purity"]) >= -1e-12).all()


@pytest.mark.parametrize(
    ("p", "truth", "said"),
    [
        ([0.2, 1.2], None, "row 1"),
        ([0.2, float("nan")], None, "row 1"),
        ([], None, "probabilities"),
        ([[0.1], [0.2]], None, "shape"),
        ([0.1, 0.2], [True], "truth"),
        ("many", None, "probabilities"),
    ],
    ids=str,
)
def test_probabilities_are_checked(p, truth, said):
    with pytest.raises(DataError, match=said):
        stars.purity_completeness(p, truth)


@pytest.mark.parametrize("thresholds", ["half", [float("nan")], [[0.1, 0.2]]], ids=str)
def test_thresholds_are_checked(thresholds):
    with pytest.raises(DataError, match="thresholds"):
        stars.purity_completeness([0.1, 0.9], thresholds=thresholds)


@pytest.mark.parametrize("truth", [["stream", "field"], [0.3, 7.0], [True]], ids=str)
def test_truth_must_say_yes_or_no(truth):
    with pytest.raises(DataError, match="truth"):
        stars.purity_completeness([0.1, 0.9], truth)
