"""Annihilating weights: the message length of the paper, components that die one at a time, the number found."""

from __future__ import annotations

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.em.pruning import missed_least, without
from mixsci.engine.model.variational import assumed
from tests.separated import separated_set

PRIOR = mx.prior.InverseWishart()


def message_length(fit, parameters):
    """Equation 15 of Figueiredo & Jain (2002), in nats."""
    w, n = fit.mixture.pooled_weights, fit.n
    k = len(w)
    first = parameters / 2 * np.sum(np.log(n * w / 12)) + k / 2 * np.log(n / 12) + k * (parameters + 1) / 2
    return first - fit.log_likelihood


@pytest.mark.parametrize(
    ("covariance", "parameters"), [("full", 5), ("diag", 4), ("spherical", 3), ("tied", 2), ("scaled", 3)]
)
def test_the_model_counts_the_parameters_of_a_component(covariance, parameters):
    model = assumed(mx.Model(4, covariance=covariance, weights="annihilating"), 2)
    assert model.weights.least_rows == parameters / 2


@pytest.mark.parametrize("covariance", ["full", "spherical"])
def test_the_objective_is_minus_the_message_length(covariance):
    obs, _ = separated_set(8, gaps=0.2)
    fit = mx.fit(mx.Model(8, covariance=covariance, weights="annihilating"), obs, rng=0)
    p = mx.Model(1, covariance=covariance).n_free(obs.n_dims)
    assert fit.objective == pytest.approx(-message_length(fit, p), rel=1e-12)
    assert fit.history[-1] == pytest.approx(fit.objective, rel=1e-12)
    assert np.diff(fit.history).min(initial=0.0) > -1e-9 * abs(fit.objective)


def test_weights_lose_half_a_component_and_the_smallest_dies_first():
    law = mx.weights.Annihilating(parameters=4.0)
    held = np.zeros(4, dtype=bool)
    weights, _ = law.maximise(np.array([[10.0, 7.0, 5.0, 4.0]]), np.full((1, 4), 0.25), None, held)
    np.testing.assert_allclose(weights[0], np.array([8.0, 5.0, 3.0, 2.0]) / 18.0)
    weights, _ = law.maximise(np.array([[10.0, 1.5, 0.5, 6.0]]), np.full((1, 4), 0.25), None, held)
    assert weights[0, 2] == 0.0
    assert 0.0 < weights[0, 1] < 1e-3
    alone, _ = law.maximise(np.array([[1.0]]), np.ones((1, 1)), None, held[:1])
    assert alone[0, 0] == 1.0


def test_weights_are_the_maximum_of_their_objective():
    """sum N_k log w_k plus the log prior, over all weights that sum to one."""
    law, counts, rng = mx.weights.Annihilating(parameters=3.0), np.array([[20.0, 9.0, 5.0]]), np.random.default_rng(0)
    best, _ = law.maximise(counts, np.full((1, 3), 1 / 3), None, np.zeros(3, dtype=bool))

    def objective(weights):
        return float((counts * np.log(weights)).sum() + law.log_prior(weights))

    others = [objective(rng.dirichlet(50.0 * best[0])[None]) for _ in range(200)]
    assert max(others) <= objective(best)


HARD = {"complete": {}, "gaps": {"gaps": 0.3}, "noise": {"noise": True}, "both": {"gaps": 0.3, "noise": True}}


@pytest.mark.parametrize("kind", HARD)
def test_a_fit_finds_the_number_of_components(kind):
    obs, k = separated_set(16, **HARD[kind])
    fit = mx.fit(mx.Model(10, weights="annihilating", prior=PRIOR), obs, rng=1)
    assert fit.converged
    assert fit.mixture.n_components == fit.model.n_components == k
    assert fit.n_free == mx.Model(k).n_free(obs.n_dims)


def test_it_goes_with_projections_weights_groups_offsets_and_a_background():
    rng = np.random.default_rng(2)
    centres = np.array([[-6.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    latent = centres[rng.integers(3, size=600)] + rng.normal(size=(600, 2))
    model = mx.Model(7, weights="annihilating", prior=PRIOR)
    views = rng.normal(size=(600, 2, 2))
    seen = mx.Observations(np.einsum("nmd,nd->nm", views, latent), projection=views)
    codes = np.arange(600) % 2
    shifted = mx.Observations(latent + 2.0 * codes[:, None], groups=codes)
    strays = np.concatenate([latent, rng.uniform(-12, 12, size=(60, 2))])
    box = mx.UniformBackground([-12, -12], [12, 12])
    heavy = mx.Observations(latent, row_weights=rng.choice([0.5, 1.0, 2.0], size=600))
    assert mx.fit(model, seen, rng=0).mixture.n_components == 3
    assert mx.fit(model, heavy, rng=0).mixture.n_components == 3
    grouped = mx.fit(mx.Model(7, weights="annihilating", offsets="group", prior=PRIOR), shifted, rng=0)
    assert grouped.mixture.n_components == 3
    np.testing.assert_array_equal(grouped.mixture.weights[0], grouped.mixture.weights[1])
    assert abs(np.diff(grouped.mixture.offsets[:, 0])[0] - 2.0) < 0.4
    ringed = mx.fit(mx.Model(7, weights="annihilating", background=box, prior=PRIOR), strays, rng=0)
    assert ringed.mixture.n_components == 3


def test_a_component_that_others_replace_is_missed_least():
    """Of two halves of one cluster and a cluster that is smaller than either, one of the halves goes."""
    rng = np.random.default_rng(0)
    x = mx.Observations(np.concatenate([rng.normal(size=(400, 2)), rng.normal([9, 0], 1, size=(60, 2))]))
    mixture = mx.Mixture([0.45, 0.43, 0.12], [[-0.5, 0], [0.5, 0], [9, 0]], np.tile(np.eye(2), (3, 1, 1)))
    assert missed_least(mixture, x) in (0, 1)
    left = without(mixture, 0)
    np.testing.assert_allclose(left.weights, np.array([0.43, 0.12]) / 0.55)
    np.testing.assert_array_equal(left.means, mixture.means[1:])


def test_em_steps_leave_dead_components_in_place():
    x = np.random.default_rng(1).normal(size=(60, 2))
    model = mx.Model(3, weights="annihilating", prior=mx.prior.InverseWishart(scale=np.eye(2)))
    mixture = mx.Mixture([0.5, 0.49, 0.01], [[0, 0], [0.2, 0], [30, 30]], np.tile(np.eye(2), (3, 1, 1)))
    for _ in range(5):
        mixture, stats = mx.em_step(model, mixture, x)
    assert mixture.weights[2] == 0.0
    assert mixture.n_components == 3
    assert np.isfinite(stats.log_likelihood)


def test_fits_are_saved(tmp_path):
    obs, k = separated_set(7)
    fit = mx.fit(mx.Model(5, weights="annihilating"), obs, rng=0)
    fit.save(tmp_path / "fit.json")
    back = mx.load(tmp_path / "fit.json")
    assert back.mixture.n_components == k
    assert back.objective == fit.objective
    assert back.model.weights.parameters == fit.model.weights.parameters


X = np.random.default_rng(0).normal(size=(50, 2))
REFUSED = {
    "parameters": (lambda: mx.weights.Annihilating(-1.0), "must not be negative"),
    "frozen": (
        lambda: mx.fit(
            mx.Model(2, weights="annihilating", frozen=mx.Frozen(means=True)), X, start=mx.from_labels(X, CODES)
        ),
        "nothing frozen",
    ),
    "factors": (
        lambda: mx.fit(mx.Model(2, weights="annihilating", covariance=mx.covariances.Scaled([1, 4])), X),
        "covariances without factors",
    ),
    "no parameters": (lambda: mx.weights.Annihilating().least_rows, "parameters of a component"),
    "bootstrap": (lambda: mx.bootstrap(mx.fit(mx.Model(2, weights="annihilating"), X, rng=0), X), "known number"),
}
CODES = (np.arange(50) % 2).astype(int)


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_in_a_sentence(case):
    act, sentence = REFUSED[case]
    with pytest.raises(mx.DataError, match=sentence):
        act()
