"""Laws of copies and shapes of states: maxima by brute force, closed forms, and whole fits that recover the rates."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import xlogy
from scipy.stats import binom, poisson

import mixsci as mx
from mixsci.engine import storage
from mixsci.engine.em.archive import REGISTRY
from tests.engine.test_storage import identical

Binomial, Blend, LinkedDuplex, Multiplex, Occupancy, Poisson = (
    mx.weights.Binomial, mx.weights.Blend, mx.weights.LinkedDuplex, mx.weights.Multiplex, mx.weights.Occupancy,
    mx.weights.Poisson,
)  # fmt: skip
GROUPS = 3


def bernstein(rows, places):
    """Polynomials of degree rows - 1 along a path, each of sum 1."""
    at = (np.arange(places) + 0.5) / places
    basis = binom.pmf(np.arange(rows)[:, None], rows - 1, at)
    return basis / basis.sum(axis=1, keepdims=True)


PATH = np.vstack([bernstein(3, 6), np.eye(6)[-1:]])
#: Name -> law and number of components.
LAWS = {
    "one locus": (Binomial(1), 2),
    "four loci": (Binomial(4), 5),
    "tail": (Poisson("tail"), 4),
    "truncated": (Poisson("truncated", classes=5), 5),
    "duplex": (Multiplex([1, 1]), 4),
    "one target": (Multiplex([1]), 2),
    "ladders": (Multiplex([Poisson(classes=3), Binomial(2), 1]), 18),
    "linked": (LinkedDuplex(), 4),
    "own shapes": (Occupancy(Multiplex([1, 1]), [1, 2, 3, [0.2, 0.8]]), 8),
    "shared shapes": (Occupancy(Multiplex([1, 2]), [[0.9, 0.1], 3], shape_of_state=(0, 1, 1, 0, 1, 1)), 16),
    "blends": (Occupancy(LinkedDuplex(), [Blend(np.eye(2), [3.0, 1.0]), Blend(PATH)], (0, 1, 1, 1)), 20),
    "a held blend": (Occupancy(Binomial(1), [Blend(np.eye(2), held=[0.7, 0.3]), Blend(PATH, 0.5)]), 8),
    "free states": (Occupancy(mx.weights.Free(dirichlet=2.0), [2, Blend(PATH)]), 8),
}


def nobody(k):
    return np.zeros(k, dtype=bool)


def counts_of(name, rng, groups=GROUPS):
    """Counts (G, K) that no law fits exactly, some of them zero."""
    k = LAWS[name][1]
    counts = rng.gamma(0.7, 100.0, size=(groups, k))
    counts[rng.random(counts.shape) < 0.1] = 0.0
    counts[:, 0] += 1.0
    return counts


def found_for(name, counts):
    law, k = LAWS[name]
    return law.maximise(counts, *law.start(k, len(counts)), nobody(k))


def expected_density(law, counts, weights):
    return float(xlogy(counts, np.maximum(weights, 1e-300)).sum()) + law.log_prior(weights)


@pytest.mark.parametrize("name", LAWS)
def test_no_other_parameters_are_better(name):
    rng = np.random.default_rng(1)
    law, k = LAWS[name]
    for _ in range(5):
        counts = counts_of(name, rng)
        weights, rates = found_for(name, counts)
        best, vector = expected_density(law, counts, weights), law.pack(weights, rates, nobody(k))
        for far in np.concatenate([10.0 ** rng.uniform(-4, 0.5, size=(100, 1)), 10.0 ** rng.uniform(-9, -5, (100, 1))]):
            other, _ = law.unpack(vector + far * rng.normal(size=len(vector)), weights, rates, nobody(k))
            assert expected_density(law, counts, other) <= best + 1e-12 * abs(best)


@pytest.mark.parametrize("name", LAWS)
def test_weights_are_shares_and_the_maximum_is_where_a_step_ends(name):
    rng = np.random.default_rng(2)
    law, k = LAWS[name]
    counts = counts_of(name, rng)
    weights, rates = found_for(name, counts)
    for each in (law.start(k, GROUPS)[0], weights):
        assert each.shape == (GROUPS, k)
        assert (each >= 0).all()
        np.testing.assert_allclose(each.sum(axis=1), 1.0, rtol=1e-12)
    again, rates_again = law.maximise(counts, weights, rates, nobody(k))
    np.testing.assert_allclose(again, weights, rtol=1e-7, atol=1e-12)
    if rates is not None:
        np.testing.assert_allclose(rates_again, rates, rtol=1e-12)
        assert rates.shape == (GROUPS, *law.start(k, 1)[1].shape[1:])
        law.check(rates, k)


@pytest.mark.parametrize("name", LAWS)
def test_coordinates_come_back_and_any_vector_is_a_law(name):
    rng = np.random.default_rng(3)
    law, k = LAWS[name]
    weights, rates = found_for(name, counts_of(name, rng))
    vector = law.pack(weights, rates, nobody(k))
    again, rates_again = law.unpack(vector, weights, rates, nobody(k))
    np.testing.assert_allclose(again, weights, rtol=1e-9, atol=1e-12)
    if rates is not None:
        np.testing.assert_allclose(rates_again, rates, rtol=1e-12)
    spread = law.spread(weights, nobody(k))
    assert spread.shape == vector.shape
    assert (np.isfinite(spread) & (spread > 0)).all()
    extremes = [np.zeros(len(vector)), np.full(len(vector), -1e300), np.full(len(vector), 1e300)]
    for other in [*extremes, *(rng.normal(size=len(vector)) * 10.0**size for size in (-3, 0, 3, 300))]:
        wild, _ = law.unpack(other, weights, rates, nobody(k))
        assert (wild >= 0).all()
        np.testing.assert_allclose(wild.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_as_many_parameters_are_free_as_move_the_weights(name):
    rng = np.random.default_rng(4)
    law, k = LAWS[name]
    weights, rates = found_for(name, counts_of(name, rng))
    vector = 0.3 * rng.normal(size=law.pack(weights, rates, nobody(k)).shape)
    vector[vector.size // 2 :] = np.abs(vector[vector.size // 2 :]) + 0.2
    step = 1e-5 * np.eye(len(vector))
    moved = [law.unpack(vector + s * each, weights, rates, nobody(k))[0] for each in step for s in (1, -1)]
    slopes = (np.array(moved[::2]) - np.array(moved[1::2])).reshape(len(vector), -1) / 2e-5
    assert law.n_free(k, GROUPS, nobody(k)) == np.linalg.matrix_rank(slopes, tol=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_changes_nothing_it_is_given(name):
    rng = np.random.default_rng(5)
    law, k = LAWS[name]
    counts = counts_of(name, rng)
    weights, rates = found_for(name, counts)
    given = [value for value in (counts, weights, rates) if value is not None]
    for value in given:
        value.flags.writeable = False
    law.maximise(counts, weights, rates, nobody(k))
    law.unpack(law.pack(weights, rates, nobody(k)), weights, rates, nobody(k))
    law.spread(weights, nobody(k))
    with pytest.raises(FrozenInstanceError):
        law.anything = 1


@pytest.mark.parametrize("name", LAWS)
def test_a_group_without_rows_keeps_its_rates(name):
    law, k = LAWS[name]
    counts = counts_of(name, np.random.default_rng(6))
    weights, rates = found_for(name, counts)
    counts[1] = 0.0
    after, rates_after = law.maximise(counts, weights, rates, nobody(k))
    np.testing.assert_allclose(after.sum(axis=1), 1.0, rtol=1e-12)
    if rates is not None:
        np.testing.assert_array_equal(rates_after[1], rates[1])


def in_span(law, weights):
    """Whether every shape is one that the law can have."""
    return all(
        np.abs(shape.shares(shape.coefficients(q)) - q).max() < 1e-9
        for shape, q in zip(law.shapes, law.shares(weights), strict=True)
        if isinstance(shape, Blend)
    )


@pytest.mark.parametrize("name", [name for name in LAWS if isinstance(LAWS[name][0], Occupancy)])
def test_steps_to_moving_counts_never_lower_the_density(name):
    """The M-step starts from the shape before: whatever that is, it gains."""
    rng = np.random.default_rng(7)
    law, k = LAWS[name]
    weights, rates = law.start(k, GROUPS)
    for _ in range(100):
        counts = counts_of(name, rng) * 10.0 ** rng.uniform(-4, 3)
        before = expected_density(law, counts, weights)
        weights, rates = law.maximise(counts, weights, rates, nobody(k))
        assert in_span(law, weights)
        assert expected_density(law, counts, weights) >= before - 1e-12 * abs(before)


# --- one target ------------------------------------------------------------------------------------------------------


def test_one_locus_is_presence_or_absence():
    counts = np.random.default_rng(0).gamma(1.0, 50.0, size=(20, 2))
    one = Binomial(1).maximise(counts, *Binomial(1).start(2, 20), nobody(2))
    other = Poisson().maximise(counts, *Poisson().start(2, 20), nobody(2))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    np.testing.assert_allclose(one[1], -np.log(counts[:, 0] / counts.sum(axis=1)), rtol=1e-12)


@pytest.mark.parametrize("loci", [1, 2, 4, 30])
@pytest.mark.parametrize("rate", [1e-9, 0.01, 1.0, 20.0])
def test_loci_are_lit_as_scipy_has_it_and_give_lambda_back(loci, rate):
    law = Binomial(loci)
    weights = law.weights(np.array([rate]))
    lit, dark = binom.pmf(np.arange(loci + 1), loci, -np.expm1(-rate / loci)), np.exp(-rate / loci)
    # Of p near one no digits are left to say how near.
    expected = lit if dark > 0.5 else binom.pmf(np.arange(loci + 1), loci, dark)[::-1]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-9, atol=1e-300)
    _, back = law.maximise(1e4 * weights, weights, np.ones(1), nobody(loci + 1))
    assert back[0] == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("law", [Binomial(1), Binomial(3), Poisson(), Poisson(classes=4), Multiplex([1, 1])], ids=repr)
def test_a_full_group_can_come_back(law):
    """Every row positive: lambda has no maximum, and the empty class must keep a weight to be found again."""
    k = law.size or 2
    counts = np.zeros((1, k))
    counts[0, -1] = 1e4
    weights, rates = law.maximise(counts, *law.start(k, 1), nobody(k))
    assert weights[0, -1] == 1.0
    assert np.isfinite(rates).all()
    margins = law.margins(weights) if isinstance(law, Multiplex) else [weights]
    assert all(margin[0, 0] > 0 for margin in margins)


# --- several targets -------------------------------------------------------------------------------------------------


def test_states_are_all_combinations_and_their_weights_products():
    law = Multiplex([Poisson(classes=3), Binomial(2), 1])
    rates = np.array([[0.7, 1.3, 0.2], [2.0, 0.01, 3.0]])
    assert law.states.tolist() == [list(state) for state in product(range(3), range(3), range(2))]
    for group, (a, b, c) in enumerate(rates):
        first = [*poisson.pmf([0, 1], a), poisson.sf(1, a)]
        second, third = binom.pmf([0, 1, 2], 2, -np.expm1(-b / 2)), [np.exp(-c), -np.expm1(-c)]
        expected = [first[i] * second[j] * third[m] for i, j, m in law.states]
        np.testing.assert_allclose(law.weights(rates)[group], expected, rtol=1e-12)


def test_each_target_of_a_duplex_follows_its_own_margin():
    counts = np.random.default_rng(1).gamma(1.0, 100.0, size=(10, 4))
    _, rates = found_for("duplex", counts)
    total = counts.sum(axis=1)
    np.testing.assert_allclose(rates[:, 0], -np.log((counts[:, 0] + counts[:, 1]) / total), rtol=1e-12)
    np.testing.assert_allclose(rates[:, 1], -np.log((counts[:, 0] + counts[:, 2]) / total), rtol=1e-12)


def test_linked_molecules_light_the_droplets_they_should():
    """Against the sum over how many molecules of each kind a droplet holds."""
    rates = np.array([[0.3, 0.9, 0.5], [1.2, 0.02, 0.0], [0.0, 0.4, 2.0]])
    n = np.arange(60)
    for got, (a, b, c) in zip(LinkedDuplex().weights(rates), rates, strict=True):
        chance = np.einsum("i,j,k->ijk", *(poisson.pmf(n, rate) for rate in (a, b, c)))
        first, second = (n[:, None, None] + n > 0), (n[None, :, None] + n > 0)
        expected = [chance[(first == i) & (second == j)].sum() for i, j in LinkedDuplex().states]
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


def test_without_linked_molecules_targets_are_independent():
    rates = np.random.default_rng(2).gamma(1.0, 1.0, size=(20, 2))
    linked = LinkedDuplex().weights(np.column_stack([rates, np.zeros(20)]))
    np.testing.assert_allclose(linked, Multiplex([1, 1]).weights(rates), rtol=1e-12)
    assert LinkedDuplex().states.tolist() == Multiplex([1, 1]).states.tolist()


def test_linkage_is_the_instruments_formula():
    counts = np.array([[9000.0, 400.0, 500.0, 800.0]])
    n00, n01, n10, _ = counts[0]
    _, rates = found_for("linked", counts)
    linkage = np.log(counts.sum() * n00 / ((n00 + n01) * (n00 + n10)))
    np.testing.assert_allclose(rates[0, 2], linkage, rtol=1e-12)
    assert rates[0, 0] + rates[0, 2] == pytest.approx(-np.log((n00 + n01) / counts.sum()), rel=1e-12)
    assert rates[0, 1] + rates[0, 2] == pytest.approx(-np.log((n00 + n10) / counts.sum()), rel=1e-12)


def test_fewer_doubles_than_chance_mean_no_linkage_and_rates_of_the_margins():
    counts = np.array([[5000.0, 3000.0, 3000.0, 100.0]])
    _, rates = found_for("linked", counts)
    _, margins = found_for("duplex", counts)
    np.testing.assert_allclose(rates[0, :2], margins[0], rtol=1e-12)
    assert rates[0, 2] <= 1e-12


def climbed(counts):
    """The greatest expected log-likelihood that rates >= 0 reach, by brute force from several starts."""
    law = LinkedDuplex()

    def loss(rates):
        return -float(xlogy(counts, np.maximum(law.weights(rates[None])[0], 1e-300)).sum()) / counts.sum()

    starts = product([1e-3, 0.3, 3.0], repeat=3)
    found = [minimize(loss, start, bounds=[(0.0, 40.0)] * 3, tol=1e-13) for start in starts]
    return -min(each.fun for each in found) * counts.sum()


@pytest.mark.parametrize("zeros", [(), *((i,) for i in range(4)), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_linked_rates_are_the_greatest_that_brute_force_finds(zeros):
    rng = np.random.default_rng([3, *zeros])
    for _ in range(3):
        counts = np.ceil(rng.gamma(0.5, 200.0, size=4))
        counts[list(zeros)] = 0.0
        weights, rates = found_for("linked", counts[None])
        assert (rates >= 0).all()
        best = float(xlogy(counts, np.maximum(weights[0], 1e-300)).sum())
        assert best >= climbed(counts) - 1e-7 * counts.sum()


# --- shapes ----------------------------------------------------------------------------------------------------------


def random_blend(rng):
    """A smooth basis with loose rows beside it, and counts that may be few or in few places."""
    places = int(rng.integers(10, 40))
    basis = np.vstack([bernstein(int(rng.integers(2, 7)), places), np.eye(places)[: rng.integers(0, 3)]])
    counts = rng.poisson(rng.choice([0.1, 1.0, 30.0, 3000.0]), size=places).astype(float)
    counts[0] += 1.0
    if rng.random() < 0.3:
        counts[1:][rng.random(places - 1) < 0.8] = 0.0
    return Blend(basis, prior_counts=rng.choice([0.0, 0.0, 0.5, 3.0])), counts


@pytest.mark.parametrize("seed", range(40))
def test_a_blend_is_the_one_maximum_there_is(seed):
    """Where the density is concave, its slope proves it: none upwards, none at all along rows that are in use."""
    rng = np.random.default_rng(seed)
    blend, counts = random_blend(rng)
    c = blend.coefficients(blend.maximise(counts, blend.shares(rng.dirichlet(np.full(len(blend.basis), 0.3)))))
    prior = blend.prior_counts
    pull = blend.basis @ (counts / np.where(counts > 0, blend.shares(c), 1.0))
    slope = (pull + np.where(c > 0, prior / np.where(c > 0, c, 1.0), 0.0)) / (counts.sum() + prior.sum()) - 1.0
    assert slope.max() < 1e-6
    assert np.abs(slope * c).max() < 1e-6
    assert (c[prior > 0] > 0).all()


def test_a_share_of_zero_is_found_and_left_again():
    blend = Blend(np.eye(3))
    empty = blend.maximise(np.array([5.0, 0.0, 5.0]), blend.shares([0.4, 0.4, 0.2]))
    np.testing.assert_allclose(empty, [0.5, 0.0, 0.5], atol=1e-12)
    np.testing.assert_allclose(blend.maximise(np.array([5.0, 5.0, 10.0]), empty), [0.25, 0.25, 0.5], rtol=1e-9)


def test_prior_counts_are_rows_seen_before():
    blend = Blend(np.eye(3), prior_counts=[1.0, 2.0, 0.0])
    q = blend.maximise(np.array([4.0, 1.0, 2.0]), np.full(3, 1 / 3))
    np.testing.assert_allclose(q, np.array([5.0, 3.0, 2.0]) / 10, rtol=1e-9)
    assert blend.log_prior(q) == pytest.approx(np.log(0.5) + 2 * np.log(0.3), rel=1e-9)
    law = Occupancy(Binomial(1), [1, blend])
    weights, _ = law.maximise(np.array([[5.0, 4.0, 1.0, 2.0]]), *law.start(4, 1), nobody(4))
    assert law.log_prior(weights) == pytest.approx(np.log(0.5) + 2 * np.log(0.3), rel=1e-9)


def test_shares_of_the_rows_are_read_back_from_the_shape():
    rng = np.random.default_rng(8)
    blend = Blend(PATH)
    for _ in range(50):
        c = rng.dirichlet(np.full(4, 0.4))
        np.testing.assert_allclose(blend.coefficients(blend.shares(c)), c, atol=1e-12)
    outside = blend.coefficients(np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(outside, [0.0, 1.0, 0.0, 0.0] if PATH[1, 1] > PATH[0, 1] else [1.0, 0, 0, 0], atol=1e-9)


def test_states_of_one_shape_share_their_counts():
    law = Occupancy(Multiplex([1, 1]), [[0.9, 0.1], 3], shape_of_state=(0, 1, 1, 1))
    assert law.state_of_component == (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    counts = np.random.default_rng(9).gamma(1.0, 50.0, size=(2, 11))
    weights, rates = law.maximise(counts, *law.start(11, 2), nobody(11))
    pooled = counts[:, 2:].reshape(2, 3, 3).sum(axis=(0, 1))
    states = np.column_stack([counts[:, :2].sum(axis=1), *counts[:, 2:].reshape(2, 3, 3).sum(axis=2).T])
    np.testing.assert_allclose(law.shares(weights)[1], pooled / pooled.sum(), rtol=1e-12)
    np.testing.assert_allclose(law.state_weights(counts), states, rtol=1e-12)
    pi, alone = Multiplex([1, 1]).maximise(states, *Multiplex([1, 1]).start(4, 2), nobody(4))
    np.testing.assert_allclose(rates, alone, rtol=1e-12)
    within = np.concatenate([[0.9, 0.1], *[pooled / pooled.sum()] * 3])
    np.testing.assert_allclose(weights, pi[:, law.state_of_component] * within, rtol=1e-12)
    assert law.n_free(11, 2, nobody(11)) == 2 * 2 + 2


# --- whole fits ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plate:
    """Droplets of two targets in two channels, with rain on the way to every positive state, and what made them."""

    obs: mx.Observations
    rates: Any
    start: mx.Mixture
    model: mx.Model


STEPS = 6
RAIN = Blend(np.vstack([bernstein(2, STEPS), np.eye(STEPS)[-1:]]), prior_counts=[0.5, 0.5, 0.0])
TAIL = Blend(np.eye(2), prior_counts=1.0)
AT = np.append(np.linspace(0.35, 0.85, STEPS - 1), 1.0)
STATES = Multiplex([1, 1]).states
#: Where each component lies on the way from the empty droplet, in units of the two targets' steps.
PLACES = np.vstack([np.zeros((2, 2)), *(AT[:, None] * state for state in STATES[1:])])
FACTORS = np.where(np.arange(len(PLACES)) == 1, 9.0, 1.0)
TRUTH = np.array([0.9, 0.02, 0.08])


def simulate_wells(seed, rates, *, droplets=3000, linked=False):
    rng = np.random.default_rng(seed)
    law = Occupancy(LinkedDuplex() if linked else Multiplex([1, 1]), [TAIL, RAIN], (0, 1, 1, 1))
    blend = RAIN.shares([0.05, 0.05, 0.9])
    within = np.concatenate([[0.95, 0.05], *[blend] * 3])
    weights = law.law.weights(rates)[:, law.state_of_component] * within
    k, d = PLACES.shape
    labels = np.concatenate([rng.choice(k, size=droplets, p=each) for each in weights])
    x = 1000.0 + 4000.0 * PLACES[labels] + 150.0 * np.sqrt(FACTORS[labels])[:, None] * rng.normal(size=(len(labels), d))
    design = np.zeros((k, d, 2 * d))
    for j in range(d):
        design[:, j, j], design[:, j, d + j] = 1.0, PLACES[:, j]
    model = mx.Model(k, covariance=mx.covariances.Scaled(FACTORS), weights=law, means=mx.means.Ladder(design))
    start = mx.Mixture(np.full(k, 1 / k), 1200.0 + 3700.0 * PLACES, 4e4 * FACTORS[:, None, None] * np.eye(d), rates=0.5)
    wells = [f"A{well + 1:02d}" for well in range(len(rates))]
    return Plate(mx.Observations(x, groups=np.repeat(wells, droplets)), rates, start, model)


@pytest.mark.parametrize("accelerate", [True, False])
def test_a_plate_gives_its_rates_back_and_the_objective_never_falls(accelerate):
    rates = np.array([[0.05, 0.3], [0.5, 0.1], [1.5, 0.8], [0.01, 2.0], [0.2, 0.2], [0.7, 0.02]])
    plate = simulate_wells(1, rates)
    fit = mx.fit(plate.model, plate.obs, start=plate.start, accelerate=accelerate, tol=1e-9)
    assert fit.outcome.converged
    gains = np.diff(fit.history)
    assert gains.min() >= -1e-12 * abs(fit.objective)
    assert fit.mixture.rates.shape == (6, 2)
    # States do not overlap: lambda has the error of counted droplets, (e^lambda - 1) / N.
    z = (fit.mixture.rates - rates) / np.sqrt(np.expm1(rates) / 3000)
    assert np.abs(z).max() < 4
    assert (z**2).mean() < 2.2
    c = RAIN.coefficients(plate.model.weights.shares(fit.mixture.weights)[1])
    np.testing.assert_allclose(c, [0.05, 0.05, 0.9], atol=0.02)
    np.testing.assert_allclose(fit.mixture.theta, [1000.0, 1000.0, 4000.0, 4000.0], rtol=0.01)


def test_both_ways_of_climbing_end_in_the_same_place():
    plate = simulate_wells(2, np.array([[0.3, 0.4], [1.0, 0.05]]))
    one, other = (
        mx.fit(plate.model, plate.obs, start=plate.start, accelerate=each, tol=1e-11) for each in (True, False)
    )
    assert one.objective == pytest.approx(other.objective, abs=1e-4)
    np.testing.assert_allclose(one.mixture.rates, other.mixture.rates, rtol=1e-3)


def errors_of_counts(law, rates, droplets):
    """(G, T) standard errors of rates from droplets whose states are seen: the multinomial's information, inverted."""
    step = 1e-6 * np.eye(len(rates[0]))
    slopes = np.array([(law.weights(rates + each) - law.weights(rates - each)) / 2e-6 for each in step])
    information = droplets * np.einsum("agk,bgk,gk->gab", slopes, slopes, 1.0 / law.weights(rates))
    return np.sqrt(np.diagonal(np.linalg.inv(information), axis1=1, axis2=2))


def test_linked_molecules_are_found_in_wells():
    rates = np.array([[0.2, 0.3, 0.4], [0.5, 0.2, 0.1], [0.1, 0.1, 1.0], [0.5, 0.3, 1e-12]])
    plate = simulate_wells(3, rates, linked=True)
    found = mx.fit(plate.model, plate.obs, start=plate.start).mixture.rates
    assert found.shape == (4, 3)
    z = (found - rates) / errors_of_counts(LinkedDuplex(), rates, 3000)
    assert np.abs(z).max() < 4
    assert (z**2).mean() < 2.2
    assert (found[:3, 2] > 0.05).all()


def test_rates_of_targets_are_unbiased():
    """16 plates of two wells, relative to the error of counted droplets."""
    rates = np.array([[0.1, 1.0], [0.02, 2.0]])
    errors = []
    for seed in range(16):
        plate = simulate_wells([4, seed], rates, droplets=1500)
        found = mx.fit(plate.model, plate.obs, start=plate.start, tol=1e-7).mixture.rates
        errors.append((found - rates) / np.sqrt(np.expm1(rates) / 1500))
    z = np.mean(errors, axis=0) * np.sqrt(16)
    assert np.abs(z).max() < 4


def test_fits_with_rates_by_target_come_back_exactly(tmp_path):
    plate = simulate_wells(5, np.array([[0.3, 0.4], [1.0, 0.05]]), droplets=300)
    fit = mx.fit(plate.model, plate.obs, start=plate.start)
    fit.save(tmp_path / "fit.json")
    again = mx.load(tmp_path / "fit.json")
    assert identical(again, fit)
    np.testing.assert_array_equal(again.responsibilities(plate.obs), fit.responsibilities(plate.obs))
    on = mx.em_step(again.model, again.mixture, plate.obs)[0]
    assert identical(on, mx.em_step(fit.model, fit.mixture, plate.obs)[0])


@pytest.mark.parametrize("name", LAWS)
def test_every_law_comes_back_from_a_file(tmp_path, name):
    law, k = LAWS[name]
    storage.write(tmp_path / "law.json", law)
    again = storage.read(tmp_path / "law.json", REGISTRY)
    counts = counts_of(name, np.random.default_rng(10))
    one, two = (each.maximise(counts, *each.start(k, GROUPS), nobody(k)) for each in (law, again))
    assert identical(one, two)
    assert identical(again, law)


def test_a_fit_without_groups_has_one_rate_for_each_target():
    plate = simulate_wells(6, np.array([[0.3, 0.9]]))
    x = plate.obs.x
    fit = mx.fit(plate.model, x, start=plate.start)
    assert fit.mixture.rates.shape == (2,)
    np.testing.assert_allclose(fit.mixture.rates, [0.3, 0.9], rtol=0.1)
    grouped = mx.fit(plate.model, plate.obs, start=fit.mixture)
    assert grouped.mixture.rates.shape == (1, 2)
    np.testing.assert_allclose(grouped.mixture.rates[0], fit.mixture.rates, rtol=1e-3)
    well = grouped.mixture.of_group("A01")
    np.testing.assert_array_equal(well.rates, grouped.mixture.rates[0])
    assert well.state_of_component == plate.model.weights.state_of_component


def test_a_start_brings_its_rates_and_its_shapes():
    plate = simulate_wells(7, np.array([[0.3, 0.9], [1.0, 0.1]]), droplets=500)
    fit = mx.fit(plate.model, plate.obs, start=plate.start)
    again = next(mx.iterate(plate.model, plate.obs, start=fit.mixture)).mixture
    np.testing.assert_allclose(again.rates, fit.mixture.rates, rtol=1e-12)
    np.testing.assert_allclose(again.weights, fit.mixture.weights, rtol=1e-9, atol=1e-15)
    lone = mx.Mixture(fit.mixture.weights[1], fit.mixture.means, fit.mixture.covariances, rates=fit.mixture.rates[1])
    tiled = next(mx.iterate(plate.model, plate.obs, start=lone)).mixture
    np.testing.assert_allclose(tiled.rates, np.tile(fit.mixture.rates[1], (2, 1)), rtol=1e-12)


def test_a_start_may_know_more_groups_than_the_rows_have():
    plate = simulate_wells(8, np.array([[0.3, 0.9], [1.0, 0.1]]), droplets=500)
    fit = mx.fit(plate.model, plate.obs, start=plate.start)
    first = plate.obs.take(np.arange(500))
    again = next(mx.iterate(plate.model, first, start=fit.mixture)).mixture
    np.testing.assert_allclose(again.rates, fit.mixture.rates, rtol=1e-12)


def test_starts_are_drawn_for_laws_of_several_targets():
    plate = simulate_wells(9, np.array([[0.5, 0.9], [1.0, 0.7]]), droplets=300)
    fit = mx.fit(mx.Model(4, covariance="tied", weights=Multiplex([1, 1])), plate.obs, rng=0, starts=2)
    assert fit.mixture.rates.shape == (2, 2)
    assert np.isfinite(fit.log_likelihood)


def test_files_of_before_are_read():
    """Occupancy once stood in another module, and a file names the module."""
    law = Occupancy(Poisson(), (1, 2))
    written = storage.encode(law)
    assert written["type"] == "occupancy.Occupancy"
    written["type"] = "weights.Occupancy"
    del written["fields"]["shape_of_state"]
    del written["fields"]["law"]["fields"]["classes"]
    again = storage.decode(written, REGISTRY)
    assert identical(again, law)


# --- what is refused -------------------------------------------------------------------------------------------------


def begin(law, k, **mixture):
    start = mx.Mixture(np.full(k, 1 / k), np.arange(k)[:, None], np.ones((k, 1, 1)), **mixture)
    return mx.fit(mx.Model(k, weights=law, covariance="tied"), np.arange(50.0)[:, None], start=start)


BAD = {
    "half a locus": (lambda: Binomial(1.5), "loci must be a whole number, 1 or more; got 1.5"),
    "no locus": (lambda: Binomial(0), "loci must be a whole number"),
    "one class": (lambda: Poisson(classes=1), "classes must be a whole number, 2 or more"),
    "true classes": (lambda: Poisson(classes=True), "classes must be a whole number"),
    "classes of others": (lambda: Poisson(classes=3).start(4, 1), "law has 3 classes; it was asked for 4"),
    "no classes": (lambda: Poisson().weights(np.ones(1)), "state classes="),
    "components of others": (lambda: begin(Multiplex([1, 1]), 3), "Multiplex law has 4 classes; it was asked for 3"),
    "a number of targets": (lambda: Multiplex(2), "laws of a multiplex must be a list"),
    "no targets": (lambda: Multiplex([]), "laws of a multiplex must be a list"),
    "a target without classes": (lambda: Multiplex([1, Poisson()]), r"stated classes; .*Poisson\(classes=4\)"),
    "a target of many": (lambda: Multiplex([LinkedDuplex()]), "law of one rate"),
    "zero loci of a target": (lambda: Multiplex([0]), "number of loci"),
    "one number for shapes": (lambda: Occupancy(Poisson(), 3), "shapes must be a list, one for every state; got 3"),
    "no shapes": (lambda: Occupancy(Poisson(), []), "shapes must be a list"),
    "text for shapes": (lambda: Occupancy(Poisson(), "ab"), "shapes must be a list"),
    "a word for a shape": (lambda: Occupancy(Poisson(), [1, "a"]), "a state's shape is a number"),
    "shares that do not add": (lambda: Occupancy(Poisson(), [1, [0.5, 0.6]]), "weights that sum to 1"),
    "a law in words": (lambda: Occupancy("poisson", [1, 2]), "must be an object such as Poisson"),
    "states of others": (lambda: Occupancy(Multiplex([1, 1]), [1, 2, 2]), "has 4 states, the shapes are of 3"),
    "shapes of too few states": (lambda: Occupancy(Multiplex([1, 1]), [1, 2], (0, 1)), "has 4 states, .* of 2"),
    "a shape that is not there": (lambda: Occupancy(Poisson(), [1, 2], (0, 2)), "one of the shapes 0 to 1"),
    "a shape not in use": (lambda: Occupancy(Poisson(), [1, 2], (0, 0)), "use them all"),
    "states in words": (lambda: Occupancy(Poisson(), [1, 2], "ab"), "shape_of_state must be .*numbers"),
    "states with gaps": (lambda: Occupancy(Poisson(), [1, 2], [[0], [1, 1]]), "shape_of_state must be a table"),
    "shapes of others": (lambda: begin(Occupancy(Poisson(), [1, 2]), 4), "3 sub-components in all; the model has 4"),
    "a flat basis": (lambda: Blend([0.5, 0.5]), r"must be \(B, J\).*; got shape \(2,\)"),
    "an empty basis": (lambda: Blend(np.empty((0, 3))), r"must be \(B, J\)"),
    "a negative basis": (lambda: Blend([[1.5, -0.5]]), "not negative"),
    "a basis with NaN": (lambda: Blend([[np.nan, 1.0]]), "not negative"),
    "a basis in words": (lambda: Blend("a"), "basis of a blend must be .*numbers"),
    "rows that do not add": (lambda: Blend([[0.5, 0.4]]), r"every row with sum 1; got sums \[0.9\]"),
    "one row twice": (lambda: Blend([[1.0, 0.0], [1.0, 0.0]]), "their rank is 1: leave out"),
    "priors of others": (lambda: Blend(np.eye(2), [1.0, 1.0, 1.0]), r"one number or \(B,\) = \(2,\)"),
    "a negative prior": (lambda: Blend(np.eye(2), -1.0), "finite and not negative"),
    "held shares of others": (lambda: Blend(np.eye(2), held=[1.0]), r"must be \(B,\) = \(2,\)"),
    "held shares that do not add": (lambda: Blend(np.eye(2), held=[0.5, 0.6]), "with sum 1"),
    "rates of other targets": (
        lambda: begin(Multiplex([1, 1]), 4, rates=[1.0, 2.0, 3.0]),
        r"rates of the start must have shape \(2,\), as the law of weights; got \(3,\)",
    ),
    "offsets' prior of others": (
        lambda: mx.fit(
            mx.Model(1, offsets=mx.Offsets([1.0, 2.0, 3.0])),
            mx.Observations(np.random.default_rng(0).normal(size=(20, 2)), groups=["a", "b"] * 10),
        ),
        r"prior_sd of offsets must be one number or \(D,\) = \(2,\); got shape \(3,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_law_is_refused_in_one_sentence(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
