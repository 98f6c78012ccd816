"""Tails of a mixture: against SciPy where it has digits, against asymptotics where it has none."""

import numpy as np
import pytest
from scipy.stats import norm

import mixsci as mx

CHANNEL = mx.Mixture([0.95, 0.05], [[0.2], [-0.5]], [[[1.0]], [[16.0]]])


def chance(t, sign=1.0):
    """P(v > t), or with sign -1 P(v < t), of the channel."""
    sigma = np.sqrt(CHANNEL.covariances[:, 0, 0])
    return norm.sf(sign * (np.asarray(t)[..., None] - CHANNEL.means[:, 0]) / sigma) @ CHANNEL.weights


@pytest.mark.parametrize("side", ["above", "below", "both"])
def test_tails_are_those_of_scipy(side):
    d, mean = np.array([0.5, 2.0, 5.0, 20.0]), CHANNEL.weights @ CHANNEL.means[:, 0]
    far = mx.tails(CHANNEL, d, side=side)
    above, below = chance(mean + d), chance(mean - d, -1.0)
    expected = {"above": above, "below": below, "both": above + below}[side]
    np.testing.assert_allclose(far.probability, expected, rtol=1e-12)
    x, _ = CHANNEL.sample(400_000, rng=0)
    assert far.sd == pytest.approx(x.std(), rel=0.01)
    np.testing.assert_allclose(far.gaussian, norm.sf(d / far.sd) * (2 if side == "both" else 1), rtol=1e-12)


def test_far_out_the_ratio_is_still_a_number():
    far = mx.tails(CHANNEL, 400.0, side="above", centre=0.0)
    assert far.probability == 0.0 == far.gaussian
    widest = norm.logsf(400.5 / 4.0) + np.log(0.05)
    assert far.log_probability == pytest.approx(widest, rel=1e-12)
    assert np.isfinite(far.log10_ratio)
    assert far.log10_ratio > 1000


def test_one_gaussian_loses_nothing():
    far = mx.tails(mx.Mixture([1.0], [[3.0]], [[[4.0]]]), [1.0, 10.0, 60.0])
    np.testing.assert_allclose(far.log10_ratio, 0.0, atol=1e-9)
    np.testing.assert_allclose(far.equivalent_sigmas, [0.5, 5.0, 30.0], rtol=1e-9)
    np.testing.assert_allclose(far.loss_db, 0.0, atol=1e-8)


def test_the_loss_is_the_amplitude_that_a_gaussian_needs_less():
    """A Gaussian whose threshold is nearer by that many decibels errs as often."""
    far = mx.tails(CHANNEL, 8.0, side="above", centre=0.0)
    nearer = far.sigmas * 10 ** (-far.loss_db / 20)
    assert norm.sf(nearer) == pytest.approx(far.probability, rel=1e-9)
    assert far.loss_db > 0


def test_a_threshold_on_the_wrong_side_is_lost():
    lopsided = mx.Mixture([0.9, 0.1], [[1.0], [-9.0]], 0.01 * np.ones((2, 1, 1)))
    assert mx.tails(lopsided, 0.5, side="above").loss_db == np.inf


def test_a_mirror_swaps_the_sides():
    mirror = mx.Mixture(CHANNEL.weights, -CHANNEL.means, CHANNEL.covariances)
    here, there = mx.tails(CHANNEL, 3.0, side="above"), mx.tails(mirror, 3.0, side="below")
    assert here.log_probability == pytest.approx(there.log_probability, rel=1e-12)


@pytest.mark.parametrize("side", ["above", "below", "both"])
def test_a_background_ends_with_its_box(side):
    box = mx.UniformBackground([-10.0], [20.0], weight=0.2)
    mixture = mx.Mixture([1.0], [[0.0]], [[[1.0]]], background=box)
    far = mx.tails(mixture, [9.0, 15.0], side=side, centre=0.0)
    expected = {"above": [11 / 30, 5 / 30], "below": [1 / 30, 0.0], "both": [12 / 30, 5 / 30]}[side]
    np.testing.assert_allclose(far.probability, 0.2 * np.array(expected), atol=1e-12)
    assert far.sd == pytest.approx(np.sqrt(0.8 + 0.2 * (25 + 75) - 1.0))


def test_a_component_without_spread_is_a_step():
    mixture = mx.Mixture([0.9, 0.1], [[0.0], [5.0]], [[[1.0]], [[0.0]]])
    found = mx.tails(mixture, [4.0, 6.0], side="above", centre=0.0).probability
    np.testing.assert_allclose(found, [0.1 + 0.9 * norm.sf(4), 0.9 * norm.sf(6)], rtol=1e-9)


def test_a_fit_and_a_group_are_taken():
    grouped = mx.Mixture([[1.0, 0.0], [0.0, 1.0]], CHANNEL.means, CHANNEL.covariances, group_labels=("a", "b"))
    assert mx.tails(grouped, 1.0, group="b").sd == pytest.approx(4.0)
    fit = mx.fit(mx.Model(1), CHANNEL.sample(200, rng=1)[0], rng=0)
    assert mx.tails(fit, 1.0).sd == pytest.approx(np.sqrt(fit.mixture.covariances[0, 0, 0]))


@pytest.mark.parametrize(
    ("mixture", "options", "message"),
    [
        (CHANNEL, {"distance": 0.0}, "above 0"),
        (CHANNEL, {"distance": [1.0, np.nan]}, "finite"),
        (CHANNEL, {"distance": 1.0, "side": "left"}, "side must be one of"),
        (CHANNEL, {"distance": 1.0, "centre": np.inf}, "centre must be finite"),
        (mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)]), {"distance": 1.0}, r"marginal\(\[dim\]\)"),
        (mx.Mixture([1.0], [[0.0]], [[[0.0]]]), {"distance": 1.0}, "no spread"),
        ("channel", {"distance": 1.0}, "a Mixture or a Fit"),
    ],
)
def test_what_has_no_tails_is_refused(mixture, options, message):
    with pytest.raises(mx.DataError, match=message):
        mx.tails(mixture, **options)
