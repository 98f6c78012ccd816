"""The components behind the states of an assay: levels, shapes, spreads, and rain as a smooth path."""

from dataclasses import replace

import numpy as np
import pytest

from mixsci.ddpcr.lattice import Placed
from mixsci.ddpcr.laws import Scheme, Target
from mixsci.ddpcr.states import layout, share_spreads

SPREAD = {1: np.array([100.0]), 2: np.array([55.0, 50.0])}


def placed(scheme, steps, unseen=()):
    """A scheme whose states lie at the sums of steps."""
    steps = np.array(steps, dtype=float)
    return Placed(scheme, steps, scheme.states @ steps, np.zeros(len(scheme.states)), 0.0, unseen)


def plan_of(scheme, steps, masses=None, unseen=()):
    channels = np.shape(steps)[1]
    masses = np.full(len(scheme.states), 1000.0) if masses is None else masses
    return layout(placed(scheme, steps, unseen), SPREAD[channels], masses)


SINGLE = Scheme((Target("A", channel=0),))
DUPLEX = Scheme((Target("A", channel=0), Target("B", channel=1)))
TRIPLEX = Scheme((Target("A"), Target("B"), Target("C")))
LADDER = Scheme((Target("A", 5, "binomial", 0),))
BESIDE = Scheme((Target("A", 2, "binomial", 0), Target("B", 5, "binomial", 1)))
CASES = {
    "single": (SINGLE, [[6000.0]]),
    "duplex": (DUPLEX, [[4900.0, -110.0], [0.0, 1800.0]]),
    "triplex": (TRIPLEX, [[4900.0, -110.0], [1950.0, 1170.0], [0.0, 1800.0]]),
    "ladder": (LADDER, [[1850.0]]),
    "beside a ladder": (BESIDE, [[4000.0, 220.0], [65.0, 1880.0]]),
}
plans = pytest.mark.parametrize(("scheme", "steps"), CASES.values(), ids=CASES)


def cores(plan):
    return [k for k, part in enumerate(plan.parts) if part.kind == "core"]


# --- components ------------------------------------------------------------------------------------------------------


@plans
def test_every_state_has_a_core_a_tail_and_components_side_by_side(scheme, steps):
    plan = plan_of(scheme, steps)
    for kind in ("core", "tail"):
        states = [part.state for part in plan.parts if part.kind == kind]
        assert states == list(range(len(scheme.states)))
    assert (np.diff(plan.state_of) >= 0).all()
    np.testing.assert_array_equal(plan.state_of, [part.state for part in plan.parts])


@plans
def test_paths_lead_from_without_a_target_to_with_it(scheme, steps):
    plan = plan_of(scheme, steps)
    for part in plan.parts:
        low, high = scheme.states[part.low], scheme.states[part.high]
        if part.target < 0:
            assert part.low == part.high == part.state
            assert part.at == 0
        else:
            np.testing.assert_array_equal(high - low, np.eye(len(low), dtype=int)[part.target])
            assert 0 < part.at < 1
            # Rain has the target, a stray has not.
            assert part.state == (part.high if part.kind == "rain" else part.low)
    rained = {(part.state, part.target) for part in plan.parts if part.kind == "rain"}
    binary = [t for t, target in enumerate(scheme.targets) if target.classes == 2]
    assert rained == {(s, t) for s in range(len(scheme.states)) for t in binary if scheme.states[s, t]}


@plans
def test_means_follow_the_levels(scheme, steps):
    """Levels that add up are met exactly by level vectors, and rain lies on the straight way between them."""
    plan = plan_of(scheme, steps)
    places = scheme.states @ np.array(steps)
    vectors = np.linalg.lstsq(plan.levels, places, rcond=None)[0]
    np.testing.assert_allclose(plan.levels @ vectors, places, atol=1e-8)
    theta = np.concatenate([vectors.ravel(), np.zeros(len(plan.skewed))])
    means = plan.means().means(theta)
    np.testing.assert_allclose(means[cores(plan)], places, atol=1e-8)
    for k, part in enumerate(plan.parts):
        expected = places[part.low] + part.at * (places[part.high] - places[part.low])
        np.testing.assert_allclose(means[k], expected, atol=1e-8)


@plans
def test_weights_of_states_are_those_of_the_law(scheme, steps):
    plan = plan_of(scheme, steps)
    begun, rates = plan.weights().start(len(plan.parts), 3)
    np.testing.assert_allclose(begun.sum(axis=1), 1)
    assert (begun >= 0).all()
    by_state = np.stack([begun[:, plan.state_of == s].sum(axis=1) for s in range(len(scheme.states))], axis=1)
    np.testing.assert_allclose(by_state, scheme.law.weights(rates), rtol=1e-9, atol=1e-15)


@plans
def test_shares_begin_as_distributions_in_their_states(scheme, steps):
    plan = plan_of(scheme, steps)
    np.testing.assert_allclose(np.bincount(plan.state_of, plan.shares()), 1)
    kinds = np.array([part.kind for part in plan.parts])
    assert plan.shares()[kinds == "core"].min() > 0.5
    assert plan.shares()[kinds == "stray"].sum() < 0.01 * len(scheme.states)


def test_rain_is_smooth():
    """Even rain is flat between the populations: its steps leave no ripples of more than 1 %."""
    plan = plan_of(SINGLE, [[6000.0]])
    covariances, held = plan.covariances(np.array([[[1e4]], [[4e4]]]), np.array([[0.0], [6000.0]]), SPREAD[1])
    rain = [k for k, part in enumerate(plan.parts) if part.kind == "rain"]
    assert held[rain].all()
    means = np.array([6000.0 * plan.parts[k].at for k in rain])
    sds = np.sqrt(covariances[rain, 0, 0])
    at = np.linspace(1000, 5000, 400)
    density = (np.exp(-0.5 * ((at[:, None] - means) / sds) ** 2) / sds).mean(axis=1) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(density, 1 / 6000, rtol=0.01)


# --- spreads ---------------------------------------------------------------------------------------------------------


@plans
def test_covariances_are_positive(scheme, steps):
    plan = plan_of(scheme, steps)
    channels = np.shape(steps)[1]
    of_states = np.array([np.diag((SPREAD[channels] * (1 + s)) ** 2) for s in range(len(scheme.states))])
    found, held = plan.covariances(of_states, scheme.states @ np.array(steps), SPREAD[channels])
    np.testing.assert_array_equal(found, np.swapaxes(found, 1, 2))
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(found[cores(plan)], of_states)
    np.testing.assert_array_equal(held, plan.at > 0)
    factors, codes = plan.families(list(range(len(scheme.states))))
    assert len(factors) == len(codes) == (~held).sum()
    for k, factor, code in zip(np.flatnonzero(~held), factors, codes, strict=True):
        np.testing.assert_allclose(found[k], factor * of_states[code])
        assert code == plan.state_of[k]


def test_states_with_many_droplets_have_a_spread_of_their_own():
    assert share_spreads(DUPLEX, np.full(4, 1000.0)) == [0, 1, 2, 3]


def test_sparse_states_take_the_spread_of_one_with_a_class_less():
    # States: none, B, A, both.
    assert share_spreads(DUPLEX, np.array([9000.0, 900.0, 900.0, 3.0])) in ([0, 1, 2, 1], [0, 1, 2, 2])
    ladder = share_spreads(LADDER, np.array([5000.0, 2000.0, 600.0, 40.0, 0.0]))
    assert ladder == [0, 1, 2, 2, 2]


def test_positives_never_take_the_spread_of_the_negatives():
    codes = share_spreads(TRIPLEX, np.array([9000.0] + [0.0] * 7))
    assert codes[0] == 0
    assert 0 not in codes[1:]


# --- what the droplets are too few to say ----------------------------------------------------------------------------


def test_targets_bend_each_other_where_droplets_with_both_are_seen():
    many = plan_of(DUPLEX, CASES["duplex"][1])
    few = plan_of(DUPLEX, CASES["duplex"][1], np.array([9000.0, 900.0, 900.0, 3.0]))
    assert many.pairs == ((0, 1),)
    assert few.pairs == ()
    assert few.levels.shape[1] == many.levels.shape[1] - 1


def test_a_target_nobody_has_seen_keeps_its_guess():
    plan = plan_of(DUPLEX, [[4900.0, -110.0], [0.0, 2000.0]], np.array([9000.0, 0.0, 900.0, 0.0]), unseen=(1,))
    theta = np.zeros(plan.levels.shape[1] * 2 + len(plan.skewed))
    means = plan.means().means(theta)[cores(plan)]
    np.testing.assert_allclose(means, [[0, 0], [0, 2000], [0, 0], [0, 2000]])
    assert plan.levels.shape[1] == 2


def test_ladders_do_not_lean():
    assert plan_of(*CASES["beside a ladder"]).skewed == [0]
    assert plan_of(*CASES["duplex"]).skewed == [0, 1]
    assert plan_of(*CASES["ladder"]).skewed == []


def test_new_names_keep_the_components():
    plan = plan_of(*CASES["duplex"])
    assert replace(plan, scheme=plan.scheme.named(["x", "y"])).parts == plan.parts
