"""Rows drawn anew keep the design of the rows they stand for."""

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.inference.redrawing import redraw, unfolded


def test_gaps_noise_and_weights_are_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2))
    x[::3, 1] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors([0.5, 0.1]), row_weights=np.arange(50.0))
    new = redraw(mx.Mixture([1.0], [[4.0, -4.0]], [np.eye(2)]), obs, rng)
    np.testing.assert_array_equal(np.isnan(new.x), np.repeat(np.isnan(x), np.arange(50), axis=0))
    assert new.each_weight.sum() == obs.each_weight.sum()
    assert new.noise is obs.noise
    assert np.abs(np.nanmean(new.x, axis=0) - [4.0, -4.0]).max() < 0.8


def test_every_row_comes_from_the_mixture_of_its_group():
    labels = np.array(["near", "far"])[np.arange(400) % 2]
    truth = mx.Mixture([[1.0, 0.0], [0.0, 1.0]], [[0.0], [100.0]], [[[1.0]], [[1.0]]], group_labels=("near", "far"))
    new = redraw(truth, mx.Observations(np.zeros((400, 1)), groups=labels), np.random.default_rng(0))
    assert (new.x[labels == "near"] < 10).all()
    assert (new.x[labels == "far"] > 90).all()


def test_rows_are_seen_through_their_projection():
    view = np.array([[1.0, 1.0]])
    obs = mx.Observations(np.zeros((300, 1)), projection=view)
    new = redraw(mx.Mixture([1.0], [[3.0, 4.0]], [1e-6 * np.eye(2)]), obs, np.random.default_rng(0))
    np.testing.assert_allclose(new.x, 7.0, atol=0.01)


def test_weights_become_rows():
    obs = mx.Observations(np.arange(4.0)[:, None], row_weights=[2.5, 0.0, 1.0, 3.0])
    rows = unfolded(obs)
    assert rows.x[:, 0].tolist() == [0.0, 0.0, 0.0, 2.0, 3.0, 3.0, 3.0]
    assert rows.row_weights.tolist() == [1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert unfolded(rows).x.shape == rows.x.shape
    plain = mx.Observations(obs.x)
    assert unfolded(plain) is plain
    with pytest.raises(mx.DataError, match="these say 3,000,000,000"):
        unfolded(mx.Observations(obs.x, row_weights=[3e9, 0.0, 0.0, 0.0]))
