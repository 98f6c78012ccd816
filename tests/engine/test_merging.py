"""Merging components: entropies against their definition, every number of clusters, gaps, weights and groups."""

import numpy as np
import pytest
from scipy.special import xlogy

import mixsci as mx


@pytest.fixture(scope="module")
def banana():
    """Rows of a bent cluster and a round one, and a fit that takes four components for them."""
    rng = np.random.default_rng(1)
    angle = rng.uniform(0.0, np.pi, 400)
    bent = 3.0 * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.2 * rng.normal(size=(400, 2))
    x = np.concatenate([bent, rng.normal([0.0, -6.0], 0.5, (200, 2))])
    x[::11, 0] = np.nan
    return x, mx.fit(mx.Model(4), x, rng=0)


def entropy(shares):
    return -float(xlogy(shares, shares).sum())


def test_a_bent_cluster_is_put_together_first(banana):
    x, fit = banana
    labels = mx.merge_components(fit, x).labels(x, 2)
    assert sorted(np.bincount(labels).tolist()) == [200, 400]
    assert len(set(labels[:400])) == 1


def test_each_step_is_the_merge_that_removes_most(banana):
    x, fit = banana
    found, shares = mx.merge_components(fit, x), fit.responsibilities(x)
    for k in range(4, 1, -1):
        now = found.probabilities(x, k)
        assert found.entropy[k] == pytest.approx(entropy(now), abs=1e-8)
        candidates = []
        for i in range(k):
            for j in range(i):
                rest = np.delete(now, [i, j], axis=1)
                candidates.append(entropy(np.column_stack([rest, now[:, i] + now[:, j]])))
        assert found.entropy[k - 1] == pytest.approx(min(candidates), abs=1e-8)
    assert found.entropy[1] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(found.probabilities(x, 4), shares)
    np.testing.assert_allclose(found.probabilities(x, 1), 1.0)


def test_clusters_hold_every_component_once(banana):
    x, fit = banana
    for k, clusters in mx.merge_components(fit, x).clusters.items():
        assert len(clusters) == k
        assert sorted(sum(clusters, ())) == [0, 1, 2, 3]


def test_a_row_of_weight_two_counts_twice(banana):
    x, fit = banana
    weights = np.where(np.arange(len(x)) % 3 == 0, 2.0, 1.0)
    doubled = np.repeat(x, weights.astype(int), axis=0)
    one = mx.merge_components(fit, mx.Observations(x, row_weights=weights))
    other = mx.merge_components(fit, doubled)
    assert one.clusters == other.clusters
    assert one.entropy[3] == pytest.approx(other.entropy[3])


def test_blocks_and_groups_give_the_same(banana):
    x, fit = banana
    whole = mx.merge_components(fit, x)
    parts = mx.merge_components(fit, mx.from_blocks(lambda: [x[:250], x[250:]]))
    assert whole.clusters == parts.clusters
    grouped = mx.fit(mx.Model(3), mx.Observations(x, groups=np.arange(len(x)) % 2), rng=0)
    found = mx.merge_components(grouped, mx.Observations(x, groups=np.arange(len(x)) % 2))
    assert set(found.clusters) == {1, 2, 3}


def test_rows_of_a_background_stay_outside():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 0.3, (200, 2)), rng.normal(4, 0.3, (200, 2)), rng.uniform(-10, 10, (60, 2))])
    model = mx.Model(2, background=mx.UniformBackground([-10.0] * 2, [10.0] * 2))
    labels = mx.merge_components(mx.fit(model, x, rng=0), x).labels(x, 1)
    assert set(labels) == {-1, 0}
    assert (labels[:400] == 0).mean() > 0.95


def test_an_elbow_where_entropy_stops_falling(banana):
    x, fit = banana
    assert 2 <= mx.merge_components(fit, x).elbow <= 4


def test_bad_input_ends_in_a_sentence(banana):
    x, fit = banana
    with pytest.raises(mx.DataError, match="n_clusters must be from 1 to 4"):
        mx.merge_components(fit, x).labels(x, 5)
    with pytest.raises(mx.DataError, match="a Mixture or a Fit"):
        mx.merge_components(3, x)


def test_empty_rows_and_rows_without_weight_change_nothing():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(-3, 1, (100, 2)), rng.normal(3, 1, (100, 2))])
    fit = mx.fit(mx.Model(4), x, rng=0)
    one = mx.merge_components(fit, x)
    more = mx.Observations(
        np.vstack([x, np.full((400, 2), np.nan), np.zeros((50, 2))]), row_weights=np.repeat([1.0, 0.0], [600, 50])
    )
    other = mx.merge_components(fit, more)
    assert other.clusters == one.clusters
    assert other.entropy == pytest.approx(one.entropy)
    assert other.elbow == one.elbow


def test_components_far_apart_are_not_merged():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(12.0 * k, 1.0, (60, 2)) for k in range(5)])
    assert mx.merge_components(mx.fit(mx.Model(5), x, rng=0), x).elbow == 5
