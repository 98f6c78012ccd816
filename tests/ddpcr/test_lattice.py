"""Planted targets are found again from the populations they make, in the plane of two channels and along one."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings, strategies as st

from mixsci.ddpcr.choice import choose
from mixsci.ddpcr.landmarks import Landmarks
from mixsci.ddpcr.lattice import candidates, place
from mixsci.ddpcr.laws import Scheme, Target, parse
from mixsci.errors import DataError

ONE, TWO = ("Ch1",), ("Ch1", "Ch2")
SPREAD = 60.0


def sums(steps):
    """(S, T) states and (S, C) sums of steps of every state but the empty one."""
    states = np.array(list(product((0, 1), repeat=len(steps))))[1:]
    return states, states @ steps


def marks_of(places, masses, channels):
    """Landmarks of one plate with these populations, the largest first."""
    order = np.argsort(-masses, kind="stable")
    zero, nowhere = np.zeros((1, channels)), np.full((channels, channels), np.nan)
    masses = np.asarray(masses, dtype=float)[order]
    return Landmarks(zero, zero[0], np.full(channels, SPREAD), places[order], masses, nowhere)


def planted(seed, steps, rates, shortfall):
    """Landmarks of targets with these steps: sums fall short by competition and lie within the scatter of peaks."""
    rng = np.random.default_rng(seed)
    states, places = sums(steps)
    together = states.sum(axis=1, keepdims=True)
    places = places * (1.0 - shortfall * rng.random(places.shape) * (together > 1))
    places = places + 20.0 * rng.standard_normal(places.shape)
    p = -np.expm1(-np.array(rates))
    masses = 60_000 * np.prod(np.where(states, p, 1 - p), axis=1)
    seen = masses >= 8
    return marks_of(places[seen], masses[seen], steps.shape[1])


def apart(places, least):
    """Whether all populations, the negatives too, can be told apart."""
    everything = np.vstack([np.zeros(places.shape[1]), places])
    distance = np.linalg.norm(everything[:, None] - everything, axis=2)
    return (distance + 1e9 * np.eye(len(everything)) > least).all()


# A failing layout is as telling as the smallest that fails, and that one would take minutes.
quick = settings(max_examples=30, phases=(Phase.explicit, Phase.generate))
sizes = st.floats(1500, 9000)
rates = st.floats(0.02, 0.8)
cross_talk = st.floats(-0.1, 0.1)


@quick
@given(
    layout=st.tuples(sizes, sizes, cross_talk, cross_talk),
    occupied=st.tuples(rates, rates),
    short=st.floats(0, 0.3),
    seed=st.integers(0, 2**32 - 1),
)
def test_two_targets_are_found_along_two_channels(layout, occupied, short, seed):
    first, second, cross_1, cross_2 = layout
    steps = np.array([[first, cross_1 * min(first, second)], [cross_2 * min(first, second), second]])
    found = candidates(parse("auto", TWO), planted(seed, steps, occupied, short), TWO)[0]
    assert [target.channel for target in found.scheme.targets] == [0, 1]
    assert [target.classes for target in found.scheme.targets] == [2, 2]
    np.testing.assert_allclose(found.steps, steps, atol=100)
    assert found.unseen == ()
    assert found.masses[1:].min() > 0


@quick
@given(
    layout=st.tuples(sizes, sizes, st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    occupied=st.tuples(rates, rates, rates),
    short=st.floats(0, 0.15),
    seed=st.integers(0, 2**32 - 1),
)
def test_three_targets_are_found_in_the_plane(layout, occupied, short, seed):
    first, second, along_1, along_2 = layout
    steps = np.array([[first, 0.0], [along_1 * first, along_2 * second], [0.0, second]])
    # Populations that fall on one another are one: such a layout says nothing of its targets.
    size = np.array([first, second])
    assume(apart(sums(steps)[1] / size, 0.25))
    marks = planted(seed, steps, occupied, short)
    found = candidates(parse("auto", TWO), marks, TWO)[0]
    assert len(found.scheme.targets) == 3
    assert found.scheme.describe() == "multiplex:3"
    np.testing.assert_allclose(found.steps, steps, atol=100)
    # Every population is one of its states.
    assert (found.masses > 0).sum() == len(marks.places)


@pytest.mark.parametrize("law", ["multiplex:4", "auto"])
def test_four_targets_are_found_in_the_plane(law):
    """Droplets with three of them are too few to be seen."""
    steps = np.array([[8000.0, 0.0], [4000.0, 900.0], [2100.0, 2000.0], [0.0, 4200.0]])
    for marks in (planted(seed, steps, (0.04, 0.05, 0.04, 0.05), 0.05) for seed in range(2)):
        found = candidates(parse(law, TWO), marks, TWO)[0]
        assert len(found.scheme.targets) == 4
        np.testing.assert_allclose(found.steps, steps, atol=100)


@pytest.mark.parametrize("seed", range(3))
def test_fewer_targets_than_there_are_leave_populations_over(seed):
    steps = np.array([[5000.0, 0.0], [2000.0, 1200.0], [0.0, 1900.0]])
    marks = planted(seed, steps, (0.2, 0.3, 0.25), 0.1)
    best = candidates(parse("auto", TWO), marks, TWO)[0]
    two = candidates(parse("binary", TWO), marks, TWO)[0]
    assert len(two.scheme.targets) == 2
    assert two.cost > best.cost + 1


def test_linked_targets_stand_along_the_channels():
    steps = np.array([[5000.0, 0.0], [0.0, 2000.0]])
    found = candidates(parse("linked", TWO), planted(0, steps, (0.3, 0.3), 0.1), TWO)[0]
    assert found.scheme.linked
    np.testing.assert_allclose(found.steps, steps, atol=100)


@pytest.mark.parametrize("rungs", [2, 3, 4])
def test_rungs_of_a_ladder_are_classes(rungs):
    places = 1850.0 * np.arange(1, rungs + 1)[:, None]
    marks = marks_of(places, 4000.0 / 1.5 ** np.arange(rungs), 1)
    found = candidates(parse("auto", ONE), marks, ONE)[0]
    (target,) = found.scheme.targets
    assert (target.classes, target.kind) == (rungs + 1, "open")
    np.testing.assert_allclose(found.steps, [[1850.0]])
    np.testing.assert_allclose(found.places, [[0.0], *places])


def test_a_ladder_beside_another_target():
    ladder = np.array([[90.0, 1850.0]]) * np.arange(5)[:, None]
    first = np.array([[4000.0, 0.0], [3200.0, 0.0], [2500.0, 0.0], [2100.0, 0.0], [1900.0, 0.0]])
    places = np.vstack([ladder[1:], ladder + first])
    marks = marks_of(places, np.array([5000, 2500, 600, 190, 900, 700, 300, 70, 12]), 2)
    found = candidates(parse("auto", TWO), marks, TWO)[0]
    assert [target.classes for target in found.scheme.targets] == [2, 5]
    np.testing.assert_allclose(found.places[1:], places, atol=1e-9)


def test_no_populations_leave_the_targets_unseen():
    nothing = marks_of(np.empty((0, 2)), np.empty(0), 2)
    found = candidates(parse("auto", TWO), nothing, TWO)[0]
    assert found.unseen == (0, 1)
    assert (found.masses == 0).all()
    # Their place is a guess, far above the negatives, each along its channel.
    assert (np.diag(found.steps) > 10 * SPREAD).all()
    assert found.steps[0, 1] == found.steps[1, 0] == 0


@pytest.mark.parametrize(("law", "seen"), [("multiplex:1", 0), ("multiplex:3", 2), ("multiplex:4", 3)])
def test_more_targets_than_populations_are_refused(law, seen):
    marks = marks_of(np.array([[5000.0, 0.0], [0.0, 1900.0], [4800.0, 1800.0]])[:seen], np.full(seen, 900.0), 2)
    with pytest.raises(DataError, match=f"needs as many positive populations as targets; {seen} were found"):
        choose(parse(law, TWO), marks, TWO, [])


def test_a_population_is_given_to_one_state_at_most():
    steps = np.array([[5000.0, 0.0], [2000.0, 1200.0], [0.0, 1900.0]])
    marks = planted(1, steps, (0.2, 0.3, 0.25), 0.1)
    for found in candidates(parse("auto", TWO), marks, TWO):
        assert found.masses.sum() <= marks.masses.sum() + 1e-9
        seen = found.places[found.masses > 0]
        assert len(np.unique(seen, axis=0)) == len(seen)


def test_candidates_come_by_rising_cost():
    steps = np.array([[5000.0, 0.0], [2000.0, 1200.0], [0.0, 1900.0]])
    costs = [found.cost for found in candidates(parse("auto", TWO), planted(2, steps, (0.2, 0.3, 0.25), 0.1), TWO)]
    assert costs == sorted(costs)
    assert len(costs) > 1


def test_states_nobody_was_seen_in_lie_one_step_on():
    marks = marks_of(np.array([[1800.0], [3700.0]]), np.array([900.0, 90.0]), 1)
    like = candidates(parse("auto", ONE), marks, ONE)[0]
    found = place(Scheme((Target("A", 5, "binomial", 0),)), like, marks)
    np.testing.assert_allclose(found.places[:, 0], [0, 1800, 3700, 5500, 7300])
    np.testing.assert_allclose(found.masses, [0, 900, 90, 0, 0])


@pytest.mark.parametrize("factor", [0.01, 3.0])
def test_what_is_found_does_not_depend_on_the_unit(factor):
    steps = np.array([[5000.0, 0.0], [2000.0, 1200.0], [0.0, 1900.0]])
    marks = planted(3, steps, (0.2, 0.3, 0.25), 0.1)
    other = replace(marks, spread=factor * marks.spread, places=factor * marks.places)
    one, two = (candidates(parse("auto", TWO), each, TWO)[0] for each in (marks, other))
    np.testing.assert_allclose(two.steps, factor * one.steps, rtol=1e-9)
    assert two.cost == pytest.approx(one.cost)
