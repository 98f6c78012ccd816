"""Clear clusters are called clear; every artefact is found where it is, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import mixsci as mx
from mixsci.engine.inference.artefacts import ARTEFACTS, merged
from mixsci.engine.inference.diagnosis import diagnose
from mixsci.engine.inference.overlap import overlap
from tests.problems import random_covariances


def two_clusters(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0.0, 1.0, (300, 2)), rng.normal(5.0, 1.5, (200, 2))])


def fitted(model, obs, **options):
    return mx.fit(model, obs, rng=0, **options), obs


def labelled(model, x, labels):
    return fitted(model, x, start=mx.from_labels(x, labels))


# --- overlap ---------------------------------------------------------------------------------------------------------


def test_overlap_in_one_dimension_is_the_integral():
    mixture = mx.Mixture([0.5, 0.3, 0.2], [[0.0], [1.5], [0.4]], [[[1.0]], [[0.3]], [[9.0]]])
    found = overlap(mixture)
    sd = np.sqrt(mixture.covariances[:, 0, 0])
    density = lambda k, t: mixture.weights[k] * norm.pdf(t, mixture.means[k, 0], sd[k])  # noqa: E731
    t = np.linspace(-40.0, 40.0, 2_000_001)
    for i in range(3):
        for j in {0, 1, 2} - {i}:
            more = density(i, t) / mixture.weights[i] * (density(j, t) > density(i, t))
            assert found[i, j] == pytest.approx(more.sum() * (t[1] - t[0]), abs=2e-5)
    assert (np.diagonal(found) == 0).all()


@pytest.mark.parametrize("d", [2, 3, 6])
def test_overlap_in_more_dimensions_is_the_share_of_draws(d):
    rng = np.random.default_rng(d)
    mixture = mx.Mixture([0.5, 0.3, 0.2], rng.normal(size=(3, d)), random_covariances(rng, 3, d))
    found, n = overlap(mixture), 100_000
    for i in range(3):
        x = rng.multivariate_normal(mixture.means[i], mixture.covariances[i], size=n)
        logs = np.array([
            np.log(mixture.weights[j]) + multivariate_normal.logpdf(x, mixture.means[j], mixture.covariances[j])
            for j in range(3)
        ])  # fmt: skip
        share = (logs > logs[i]).mean(axis=1)
        assert np.abs(found[i] - share).max() < 4 * np.sqrt(0.25 / n)


def test_overlap_of_one_covariance_has_a_formula():
    spread = random_covariances(np.random.default_rng(1), 1, 4)[0]
    mixture = mx.Mixture([0.7, 0.3], [np.zeros(4), np.ones(4)], [spread, spread])
    apart = np.sqrt(np.ones(4) @ np.linalg.solve(spread, np.ones(4)))
    odds = np.log(0.3 / 0.7)
    expected = norm.cdf([-apart / 2 + odds / apart, -apart / 2 - odds / apart])
    np.testing.assert_allclose([overlap(mixture)[0, 1], overlap(mixture)[1, 0]], expected, atol=1e-4)


def test_overlap_of_the_same_component_is_a_toss_up_or_goes_to_the_larger():
    same = np.zeros((2, 2)), np.tile(np.eye(2), (2, 1, 1))
    np.testing.assert_array_equal(overlap(mx.Mixture([0.5, 0.5], *same)), [[0.0, 0.5], [0.5, 0.0]])
    np.testing.assert_array_equal(overlap(mx.Mixture([0.6, 0.4], *same)), [[0.0, 0.0], [1.0, 0.0]])


def test_overlap_knows_no_units_and_no_spread():
    rng = np.random.default_rng(3)
    means, spread, scale = rng.normal(size=(2, 3)), random_covariances(rng, 2, 3), np.array([1e-6, 1.0, 1e8])
    one = overlap(mx.Mixture([0.5, 0.5], means, spread))
    scaled = overlap(mx.Mixture([0.5, 0.5], means * scale, spread * np.outer(scale, scale)))
    np.testing.assert_allclose(scaled, one, atol=1e-6)
    points = overlap(mx.Mixture([0.5, 0.5], [[0.0], [1.0]], np.zeros((2, 1, 1))))
    np.testing.assert_allclose(points, 0.0, atol=1e-12)


# --- how clear -------------------------------------------------------------------------------------------------------


def rows_of_every_kind():
    rng = np.random.default_rng(5)
    x = two_clusters()
    x[rng.random(x.shape) < 0.25] = np.nan
    errors = mx.noise.from_errors(rng.uniform(0.2, 1.0, x.shape))
    return mx.Observations(x, errors, row_weights=rng.choice([0.5, 1.0, 2.0], size=len(x)), groups=np.arange(500) % 2)


def test_the_numbers_are_those_of_the_rows():
    obs = rows_of_every_kind()
    fit = mx.fit(mx.Model(2), obs, rng=0)
    found = diagnose(fit, obs)
    r, w = fit.responsibilities(obs), obs.row_weights * obs.seen().any(axis=1)
    label = r.argmax(axis=1)
    assert found.entropy.sum() == pytest.approx(fit.entropy)
    np.testing.assert_allclose(found.rows, w @ r)
    odds = np.log(r.max(axis=1) / np.maximum(r.min(axis=1), np.finfo(float).eps))
    for k in (0, 1):
        mine = w * (label == k)
        assert found.labelled[k] == pytest.approx(mine.sum())
        assert found.certainty[k] == pytest.approx(np.average(r[:, k], weights=mine))
        assert found.silhouette[k] == pytest.approx(np.average(odds, weights=mine) / odds[w > 0].max())
        np.testing.assert_allclose(found.confusion[:, k], (w * (label == k)) @ r / (w @ r))
    np.testing.assert_allclose(found.confusion.sum(axis=1), 1.0)
    assert found.error_rate == pytest.approx(1.0 - np.average(r.max(axis=1), weights=w))
    assert found.findings == ()


def test_the_expected_share_of_wrong_labels_is_that_of_the_truth():
    truth = mx.Mixture([0.6, 0.4], [[0.0], [2.0]], [[[1.0]], [[1.0]]])
    x, label = truth.sample(20_000, rng=1)
    fit = mx.fit(mx.Model(2, covariance="tied"), x, rng=0, start=truth)
    found = diagnose(fit, x)
    assert found.error_rate == pytest.approx(np.mean(fit.predict(x) != label), abs=0.015)
    np.testing.assert_allclose(found.confusion - np.diag(np.diagonal(found.confusion)), found.overlap, atol=0.01)


def test_gaps_and_errors_make_more_wrong_labels_than_the_overlap_says():
    obs = rows_of_every_kind()
    found = diagnose(mx.fit(mx.Model(2), obs, rng=0), obs)
    assert (found.confusion[[0, 1], [1, 0]] > 2 * found.overlap[[0, 1], [1, 0]]).all()


def test_rows_of_a_background_are_labelled_by_no_component():
    rng = np.random.default_rng(2)
    x = np.concatenate([two_clusters(), rng.uniform(-20.0, 25.0, (100, 2))])
    fit, _ = fitted(mx.Model(2, background=mx.UniformBackground([-20.0, -20.0], [25.0, 25.0])), x)
    found = diagnose(fit, x)
    assert found.labelled.sum() == (fit.predict(x) >= 0).sum()
    assert (found.confusion.sum(axis=1) < 1.0).all()
    assert found.findings == ()


def test_blocks_and_threads_change_nothing():
    obs = rows_of_every_kind()
    fit = mx.fit(mx.Model(2), obs, rng=0)
    whole = diagnose(fit, obs, workers=1)
    cut = diagnose(fit, mx.from_blocks(lambda: (obs.take(slice(i, i + 90)) for i in range(0, 500, 90))), workers=2)
    for name in ("rows", "labelled", "certainty", "entropy", "silhouette", "confusion"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-9)


def test_one_component_is_clear_without_being_a_cluster():
    x = two_clusters()[:300]
    found = diagnose(*fitted(mx.Model(1), x))
    np.testing.assert_array_equal(found.confusion, [[1.0]])
    np.testing.assert_array_equal(found.entropy, [0.0])
    assert found.findings == ()


def test_a_component_that_labels_no_row_has_no_certainty():
    x = np.random.default_rng(0).normal(size=(300, 1))
    same = mx.Mixture([0.6, 0.4], [[0.0], [0.0]], [[[1.0]], [[1.0]]])
    fit = mx.fit(mx.Model(2, frozen=mx.Frozen(weights=True)), x, start=same, rng=0)
    found = diagnose(fit, x)
    assert found.labelled[1] == 0
    assert np.isnan(found.certainty[1])
    assert found.certainty[0] == pytest.approx(0.6)


def test_mixtures_of_factors_are_described():
    rng = np.random.default_rng(1)
    z = two_clusters() @ rng.normal(size=(2, 9)) + 0.5 * rng.normal(size=(500, 9))
    z[rng.random(z.shape) < 0.2] = np.nan
    found = diagnose(*fitted(mx.FactorModel(2, 2), z))
    assert found.overlap is None
    assert found.error_rate < 0.05
    assert found.findings == ()


def test_the_table_and_the_words():
    x = np.random.default_rng(2).normal(size=(300, 1))
    found = diagnose(*fitted(mx.Model(2, covariance="tied"), x))
    table = found.summary()
    assert list(table.columns) == ["rows", "labelled", "certainty", "entropy", "silhouette", "wrong", "warnings"]
    assert (table["warnings"] == "superfluous").all()
    assert "1 warning" in repr(found)
    assert str(found).splitlines()[1] == f"- {found.warnings[0]}"


# --- artefacts -------------------------------------------------------------------------------------------------------


def tiny():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(200, 3)), rng.normal(12.0, 1.0, (6, 3))])
    return *labelled(mx.Model(2), x, np.arange(206) // 200), {(1,)}


def tiny_where_seen():
    """Enough rows, of which hardly any see one column."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(200, 2)), rng.normal(12.0, 1.0, (40, 2))])
    x[204:, 1] = np.nan
    return *labelled(mx.Model(2), x, np.arange(240) // 200), {(1,)}


def flat_rows():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(200, 2)), np.c_[rng.normal(8.0, 1.0, 40), np.full(40, 8.0)]])


def at_its_floor():
    return *fitted(mx.Model(2, floor=1e-3), flat_rows()), {(1,)}


def falling():
    with pytest.warns(mx.ConvergenceWarning):
        return *fitted(mx.Model(2), flat_rows()), {(1,)}


def without_spread():
    """All rows of a cluster repeat a value to its fifth digit."""
    rng = np.random.default_rng(0)
    return *fitted(mx.Model(2), np.concatenate([rng.normal(size=(200, 1)), rng.normal(8.0, 1e-5, (40, 1))])), {(1,)}


def thin():
    rng = np.random.default_rng(0)
    along = rng.normal(size=14)
    x = np.concatenate([rng.normal(size=(200, 2)), np.c_[along + 1.0, along - 1.0 + 0.01 * rng.normal(size=14)]])
    return *labelled(mx.Model(2), x, np.arange(214) // 200), {(1,)}


def lost_in_errors():
    rng = np.random.default_rng(0)
    latent = np.concatenate([np.zeros((200, 2)), rng.normal(8.0, 2.0, (200, 2))])
    obs = mx.Observations(latent + rng.normal(size=latent.shape), mx.noise.from_errors([1.0, 1.0]))
    fit, _ = fitted(mx.Model(2), obs)
    return fit, obs, {(int(np.argmin(fit.mixture.covariances[:, 0, 0])),)}


def halved():
    return *fitted(mx.Model(2, covariance="tied"), np.random.default_rng(2).normal(size=(300, 1))), {(0, 1)}


def one_too_many():
    x = two_clusters()
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    fit, _ = fitted(mx.Model(3), x)
    near = np.argsort(fit.mixture.means.sum(axis=1))
    apart = np.diff(fit.mixture.means[near].sum(axis=1))
    pair = near[:2] if apart[0] < apart[1] else near[1:]
    return fit, x, {tuple(sorted(int(k) for k in pair))}


def ladder_rows(rate, classes):
    rng = np.random.default_rng(0)
    copies = rng.poisson(rate, 600)
    return (6.0 * copies + rng.normal(size=600))[copies < classes][:, None]


def too_short_a_law():
    model = mx.Model(3, weights=mx.weights.Poisson("truncated"), covariance="tied")
    return *fitted(model, ladder_rows(1.5, 3)), {(2,)}


def in_a_trap():
    """Droplets of none and of one copy share two components, as the law of too large a rate wants it."""
    rows = ladder_rows(0.7, 5)
    start = mx.Mixture([0.2] * 5, [[0.0], [0.0], [6.0], [12.0], [18.0]], np.ones((5, 1, 1)), rates=1.6)
    return *fitted(mx.Model(5, weights="poisson", covariance="tied"), rows, start=start), {(0, 1)}


def no_positives():
    model = mx.Model(2, weights="poisson", means=mx.means.Fixed([[0.0], [9.0]]), covariance="tied")
    return *fitted(model, ladder_rows(1.0, 1)), {(0, 1)}


DEFECTS = {
    "tiny": (tiny, tiny_where_seen),
    "collapsed": (at_its_floor, falling, without_spread),
    "thin": (thin,),
    "lost in errors": (lost_in_errors,),
    "superfluous": (halved, one_too_many),
    "coincident": (in_a_trap,),
    "at edge": (too_short_a_law, no_positives),
}


@pytest.mark.parametrize(("kind", "make"), [(kind, make) for kind, makes in DEFECTS.items() for make in makes])
def test_a_defect_is_found_and_no_other(kind, make):
    fit, obs, components = make()
    found = diagnose(fit, obs).findings
    assert {one.kind for one in found} == {kind}
    assert {one.components for one in found} == components
    assert all(str(one) == one.sentence for one in found)


def test_every_kind_of_artefact_has_a_problem():
    assert set(DEFECTS) == set(ARTEFACTS)


def healthy_offsets():
    shift = 2.0 * (np.arange(500) % 2)
    return fitted(
        mx.Model(2, offsets="group"), mx.Observations(two_clusters() + shift[:, None], groups=np.arange(500) % 2)
    )


def healthy_projections():
    rng = np.random.default_rng(1)
    views = rng.normal(size=(500, 2, 2))
    x = np.einsum("nij,nj->ni", views, two_clusters()) + 0.3 * rng.normal(size=(500, 2))
    return fitted(mx.Model(2), mx.Observations(x, mx.noise.from_errors([0.3, 0.3]), views))


def healthy_ladder():
    rungs = mx.means.Ladder([[[1.0, k]] for k in range(5)], np.zeros((5, 1)))
    model = mx.Model(5, weights=mx.weights.Poisson("truncated"), means=rungs, covariance="tied")
    return fitted(model, ladder_rows(0.7, 5))


def healthy_prior():
    return fitted(mx.Model(2, prior=mx.prior.InverseWishart()), two_clusters())


def narrow_but_many():
    """A stream in a field: a hundred times narrower, and real."""
    rng = np.random.default_rng(0)
    return fitted(mx.Model(2), np.concatenate([rng.normal(0, 10.0, (400, 2)), rng.normal(3.0, 0.1, (150, 2))]))


@pytest.mark.parametrize(
    "make",
    [healthy_offsets, healthy_projections, healthy_ladder, healthy_prior, narrow_but_many],
    ids=lambda f: f.__name__,
)
def test_a_healthy_fit_has_no_warning(make):
    assert diagnose(*make()).warnings == ()


def test_merging_keeps_the_moments():
    mixture = mx.Mixture([0.5, 0.3, 0.2], [[0.0], [2.0], [9.0]], [[[1.0]], [[0.5]], [[2.0]]])
    one = merged(mixture, 0, 1)
    whole = mx.Mixture([0.625, 0.375], mixture.means[:2], mixture.covariances[:2])
    mean = whole.weights @ whole.means[:, 0]
    assert one.weights[0] == pytest.approx(0.8)
    assert one.means[0, 0] == pytest.approx(mean)
    second = whole.weights @ (whole.covariances[:, 0, 0] + whole.means[:, 0] ** 2)
    assert one.covariances[0, 0, 0] == pytest.approx(second - mean**2)


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_diagnosed_is_refused():
    x = two_clusters()
    fit, _ = fitted(mx.Model(2), x)
    with pytest.raises(mx.DataError, match="these are not the rows of the fit"):
        diagnose(fit, x[:-1])
    with pytest.raises(mx.DataError, match="fit must be what"):
        diagnose(fit.mixture, x)
    hard, _ = fitted(mx.Model(2, covariance="tied_spherical", weights="equal", assignment="hard"), x)
    with pytest.raises(mx.DataError, match='assignment="soft"'):
        diagnose(hard, x)


def test_overlap_of_what_is_no_gaussian_mixture_is_refused():
    rng = np.random.default_rng(1)
    z = two_clusters() @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(500, 6))
    fit, _ = fitted(mx.FactorModel(2, 1), z)
    for bad in (fit, mx.Mixture([0.5, 0.5], [[np.nan], [1.0]], np.ones((2, 1, 1)))):
        with pytest.raises(mx.DataError, match="overlap is that of"):
            overlap(bad)
    with pytest.raises(mx.DataError, match="a mixture is needed"):
        overlap("mixture")
