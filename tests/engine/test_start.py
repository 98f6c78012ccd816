"""Where climbs begin: what is given is kept, what is open is drawn, and the drawing follows the units of the data."""

from __future__ import annotations

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.em.start import draw_rows as draw_sample, draw_start, sketch

NAN = float("nan")
CENTRES = np.array([[-8.0, 0.0], [8.0, 0.0], [0.0, 12.0]])


def rows(seed=0, n=400, gaps=0.0, sigma=None):
    """Rows of three clusters, their labels and latent points."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=n)
    v = CENTRES[label] + rng.normal(size=(n, 2))
    x = v if sigma is None else v + sigma * rng.normal(size=v.shape)
    x = np.where(rng.random(x.shape) < gaps, NAN, x)
    return mx.Observations(x, None if sigma is None else mx.noise.from_errors(np.full(x.shape, sigma))), label


def nearest(means, centres=CENTRES):
    """How far each centre is from the mean nearest to it."""
    return np.linalg.norm(means[None] - centres[:, None], axis=2).min(axis=1)


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(("gaps", "sigma"), [(0.0, None), (0.3, None), (0.3, 1.0)])
def test_every_kind_of_start_can_be_climbed_from(kind, gaps, sigma):
    obs, _ = rows(gaps=gaps, sigma=sigma)
    rng = np.random.default_rng(1)
    model = mx.Model(3)
    start = draw_start(model, sketch(obs, rng, 1), rng, kind, None, None)
    assert not start.open
    assert np.linalg.eigvalsh(start.covariances).min() > 0
    np.testing.assert_allclose(start.weights.sum(), 1.0)
    if kind == 0 and not gaps:
        assert nearest(start.means).max() < 3


@pytest.mark.parametrize("seed", range(5))
def test_ten_starts_find_three_clusters(seed):
    obs, _label = rows(seed, gaps=0.2, sigma=0.5)
    fit = mx.fit(mx.Model(3), obs, rng=seed)
    assert fit.converged and len(fit.starts) == 10
    assert nearest(fit.mixture.means).max() < 0.5


@pytest.mark.floors
def test_a_start_given_whole_is_where_the_climb_begins():
    obs, _ = rows()
    start = mx.Mixture([0.2, 0.3, 0.5], CENTRES + 1.0, np.tile(2 * np.eye(2), (3, 1, 1)))
    fit = mx.fit(mx.Model(3), obs, start=start, rng=0)
    assert fit.starts == ()
    assert fit.history[0] == pytest.approx(mx.expect(start, obs).log_likelihood, rel=1e-12)
    np.testing.assert_allclose(fit.mixture.means, CENTRES, atol=0.5)


@pytest.mark.parametrize("what", ["weights", "means", "covariances", "one mean", "one number", "everything"])
def test_open_parts_of_a_start_are_drawn(what):
    obs, _ = rows()
    weights, means, covariances = np.array([0.2, 0.3, 0.5]), CENTRES.copy(), np.tile(np.eye(2), (3, 1, 1))
    weights[:] = NAN if what in {"weights", "everything"} else weights
    means[:] = NAN if what in {"means", "everything"} else means
    covariances[:] = NAN if what in {"covariances", "everything"} else covariances
    means[1] = NAN if what == "one mean" else means[1]
    means[1, 0] = NAN if what == "one number" else means[1, 0]
    start = mx.Mixture(weights, means, covariances)
    assert start.open
    fit = mx.fit(mx.Model(3), obs, start=start, starts=5, rng=0)
    assert fit.converged
    assert nearest(fit.mixture.means).max() < 0.5


def test_one_open_weight_takes_what_is_left():
    obs, _ = rows()
    start = mx.Mixture([0.2, NAN, 0.5], CENTRES, np.tile(np.eye(2), (3, 1, 1)))
    model = mx.Model(3, frozen=mx.Frozen(weights=True))
    fit = mx.fit(model, obs, start=start, rng=0)
    np.testing.assert_allclose(fit.mixture.weights, [0.2, 0.3, 0.5], rtol=1e-12)


@pytest.mark.parametrize("starts", [1, 4])
def test_frozen_parts_of_a_start_come_back_bit_for_bit(starts):
    obs, _ = rows(sigma=0.3)
    rng = np.random.default_rng(0)
    start = mx.Mixture([0.3, 0.3, 0.4], CENTRES + rng.normal(size=(3, 2)), np.tile(np.diag([1.1, 0.9]), (3, 1, 1)))
    masks = {"means": [True, False, False], "covariances": [False, True, False], "weights": [False, False, True]}
    fit = mx.fit(mx.Model(3, frozen=mx.Frozen(**masks)), obs, start=start, starts=starts, rng=0)
    assert fit.converged
    for what, mask in masks.items():
        np.testing.assert_array_equal(getattr(fit.mixture, what)[mask], getattr(start, what)[mask])


def test_a_start_without_groups_is_good_for_grouped_rows():
    obs, _label = rows()
    grouped = mx.Observations(obs.x, groups=np.arange(len(obs)) % 4)
    start = mx.Mixture([0.2, 0.3, 0.5], CENTRES, np.tile(np.eye(2), (3, 1, 1)))
    fit = mx.fit(mx.Model(3, offsets="group"), grouped, start=start)
    assert fit.mixture.weights.shape == (4, 3)
    assert fit.mixture.offsets.shape == (4, 2)
    linked = mx.fit(
        mx.Model(3, weights="poisson"),
        grouped,
        start=mx.Mixture(start.weights, start.means, start.covariances, rates=0.7),
    )
    assert linked.mixture.rates.shape == (4,)
    again = mx.fit(mx.Model(3, weights="poisson"), grouped, start=linked.mixture, tol=1e-9)
    np.testing.assert_allclose(again.mixture.rates, linked.mixture.rates, rtol=1e-3)


def test_a_fit_goes_on_from_a_fit():
    obs, _ = rows()
    first = mx.fit(mx.Model(3), obs, rng=0)
    second = mx.fit(mx.Model(3), obs, start=first.mixture)
    assert second.converged
    assert second.objective >= first.objective
    assert second.n_iter <= 12


def test_columns_of_any_size_are_looked_at():
    """In raw units k-means would see the second column only."""
    rng = np.random.default_rng(0)
    x = np.column_stack(
        [np.repeat([-1.0, 1.0], 200) * 5e-3 + 1e-3 * rng.normal(size=400), 300.0 * rng.normal(size=400)]
    )
    fit = mx.fit(mx.Model(2), x, rng=0, starts=3)
    np.testing.assert_allclose(np.sort(fit.mixture.means[:, 0]), [-5e-3, 5e-3], atol=3e-4)


def test_a_column_blurred_by_noise_leads_no_start_astray():
    """The second column is nothing but error; its spread is corrected for that."""
    rng = np.random.default_rng(1)
    v = np.column_stack([np.repeat([-3.0, 3.0], 300) + rng.normal(size=600), np.zeros(600)])
    sigma = np.column_stack([np.full(600, 0.1), np.full(600, 100.0)])
    view = sketch(mx.Observations(v + sigma * rng.normal(size=v.shape), mx.noise.from_errors(sigma)), rng, 1)
    assert view.resolved[:, 0].min() > 0.9
    assert view.resolved[:, 1].max() < 0.5


def test_the_sketch_is_a_sample():
    obs = mx.Observations(np.random.default_rng(0).normal(size=(30_000, 1)))
    sample = draw_sample(obs, 500, np.random.default_rng(1))
    assert len(sample) == 500
    assert len(np.unique(sample.x)) == 500
    source = mx.from_blocks(lambda: (obs.take(slice(i, i + 1000)) for i in range(0, 30_000, 1000)))
    drawn = draw_sample(source, 500, np.random.default_rng(1))
    assert len(drawn) == 500
    assert np.isin(drawn.x, obs.x).all()
    # Rows come from all blocks alike.
    place = np.searchsorted(np.sort(obs.x[:, 0]), drawn.x[:, 0])
    assert abs(place.mean() - 15_000) < 4 * 30_000 / np.sqrt(12 * 500)


# --- starts from labels ----------------------------------------------------------------------------------------------


def test_from_labels_is_the_mixture_of_the_labelled_rows():
    obs, label = rows()
    mixture = mx.from_labels(obs, label)
    np.testing.assert_allclose(mixture.weights, np.bincount(label) / len(label))
    for k in range(3):
        np.testing.assert_allclose(mixture.means[k], obs.x[label == k].mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(mixture.covariances[k], np.cov(obs.x[label == k].T, bias=True), rtol=1e-3, atol=1e-3)
    fit = mx.fit(mx.Model(3), obs, start=mixture)
    assert fit.converged


@pytest.mark.parametrize("covariance", ["tied", "diag", "scaled"])
def test_from_labels_keeps_to_the_model(covariance):
    obs, label = rows(gaps=0.2)
    model = mx.Model(3, covariance=covariance)
    mixture = mx.from_labels(obs, label, model)
    again = model.covariance.unpack(model.covariance.pack(mixture.covariances), mixture.covariances, 0.0)
    np.testing.assert_allclose(again, mixture.covariances, rtol=1e-9, atol=1e-12)


def test_a_label_of_one_row_is_no_collapse():
    obs, label = rows()
    label = label.copy()
    label[0] = 3
    assert np.linalg.eigvalsh(mx.from_labels(obs, label).covariances).min() > 0


OBS, LABEL = rows(n=30)
BAD = {
    "text": (lambda: mx.from_labels(OBS, ["a"] * 30), "labels must be whole numbers"),
    "too few": (lambda: mx.from_labels(OBS, [0, 1]), r"shape \(n,\) = \(30,\)"),
    "negative": (lambda: mx.from_labels(OBS, np.full(30, -1)), "0 or more"),
    "a label nobody has": (
        lambda: mx.from_labels(OBS, np.full(30, 2)),
        "every label from 0 to 2 must occur; 0 does not",
    ),
    "K of others": (
        lambda: mx.fit(mx.Model(2), OBS, start=mx.from_labels(OBS, LABEL)),
        "the model's 2 components; got 3",
    ),
    "D of others": (
        lambda: mx.fit(mx.Model(1), OBS, start=mx.Mixture([1.0], [[0.0]], [[[1.0]]])),
        "the 2 dimensions of the rows; got 1",
    ),
    "all missing": (lambda: mx.fit(mx.Model(1), np.full((3, 2), NAN)), "all are missing"),
    "a column missing": (
        lambda: mx.fit(mx.Model(1), np.column_stack([OBS.x, np.full(30, NAN)])),
        "column 2 has none: leave it out",
    ),
    "a constant column": (
        lambda: mx.fit(mx.Model(1), np.column_stack([OBS.x, np.ones(30)])),
        r"column 2 \(always 1\) does not",
    ),
    "one row": (lambda: mx.fit(mx.Model(1), OBS.x[:1]), "every column must vary"),
    "more components than rows": (lambda: mx.fit(mx.Model(31), OBS), "got 30 rows and K = 31"),
    "frozen without a start": (lambda: mx.fit(mx.Model(2, frozen=mx.Frozen(means=True)), OBS), "give start="),
    "offsets without groups": (
        lambda: mx.fit(mx.Model(2, offsets="group"), OBS),
        'offsets="group" needs rows with groups',
    ),
    "groups of others": (
        lambda: mx.fit(
            mx.Model(1),
            mx.Observations(OBS.x, groups=["a", "b", "c"] * 10),
            start=mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)], group_labels=("a", "b")),
        ),
        "start must know every group of the rows",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_climb_can_begin_from_is_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
