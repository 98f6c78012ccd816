"""The law of a plate is found from the droplets of its populations."""

import numpy as np
import pytest

from mixsci.ddpcr.choice import best_law, choose
from mixsci.ddpcr.landmarks import landmarks
from mixsci.ddpcr.laws import Scheme, Target, parse
from mixsci.ddpcr.simulate import simulate_plate

TWO = ("Ch1", "Ch2")
OPEN = Target("A", 7, "open", 0)


def drawn(law, rates, n=5000, classes=7, seed=0):
    """(W, K) droplets in the classes of wells that obey a law."""
    weights = Scheme((law,)).law.weights(np.array(rates, dtype=float)[:, None])
    counts = np.random.default_rng(seed).multinomial(n, weights)
    return np.pad(counts, ((0, 0), (0, classes - counts.shape[1]))).astype(float)


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loci", [2, 3, 4, 5])
def test_loci_on_one_dye_are_counted(loci, seed):
    found = best_law(OPEN, drawn(Target("A", loci + 1), [0.0, 0.5, 1.5, 2.5], seed=seed))
    assert (found.kind, found.classes) == ("binomial", loci + 1)
    assert (found.name, found.channel) == ("A", 0)


@pytest.mark.parametrize("seed", range(3))
def test_copies_are_told_from_loci(seed):
    found = best_law(OPEN, drawn(Target("A", 5, "poisson"), [0.0, 0.4, 1.2, 2.0], seed=seed))
    assert (found.kind, found.classes) == ("poisson", 5)


def test_one_positive_class_is_binary():
    found = best_law(OPEN, drawn(Target("A"), [0.0, 0.01, 0.5, 3.0]))
    assert (found.kind, found.classes) == ("binomial", 2)


def test_a_few_droplets_in_a_higher_class_leave_it_binary():
    counts = drawn(Target("A"), [0.0, 0.01, 0.5, 3.0])
    counts[2, 2] = 1
    assert best_law(OPEN, counts).classes == 2


@pytest.mark.parametrize("kind", ["binomial", "poisson"])
def test_only_laws_asked_for_are_weighed(kind):
    for law in (Target("A", 5), Target("A", 5, "poisson")):
        assert best_law(OPEN, drawn(law, [0.0, 0.5, 1.5, 2.5]), (kind,)).kind == kind


def test_controls_say_nothing_of_the_law():
    counts = drawn(Target("A", 5), [0.5, 1.5])
    empty = np.zeros((6, 7))
    empty[:, 0] = 5000
    assert best_law(OPEN, np.vstack([counts, empty])) == best_law(OPEN, counts)


# --- droplets --------------------------------------------------------------------------------------------------------


def wells(law, rates, gap, noise=100.0, n=4000, seed=0):
    """Droplets of one channel whose classes lie a gap apart."""
    rng = np.random.default_rng(seed)
    weights = Scheme((law,)).law.weights(np.array(rates, dtype=float)[:, None])
    found = []
    for row in weights:
        level = rng.choice(len(row), n, p=row)
        found.append((1000.0 + gap * level + noise * (1 + 0.3 * level) * rng.standard_normal(n))[:, None])
    return found


def chosen(droplets, law="auto"):
    marks = landmarks(droplets, [0])
    return choose(parse(law, ("Ch1",)), marks, ("Ch1",), droplets)


@pytest.mark.parametrize(
    ("law", "rates"),
    [
        (Target("A"), [0.0, 0.3, 1.0]),
        (Target("A", 4), [0.0, 0.6, 1.5, 2.5]),
        (Target("A", 5), [0.0, 0.6, 1.5, 2.5]),
        (Target("A", 5, "poisson"), [0.0, 0.4, 1.0, 1.8]),
    ],
    ids=["binary", "three loci", "four loci", "copies"],
)
def test_law_of_droplets_is_found(law, rates):
    found = chosen(wells(law, rates, 1500.0))
    (target,) = found.scheme.targets
    assert (target.kind, target.classes) == (law.kind, law.classes)
    np.testing.assert_allclose(found.places[1, 0], 1500.0, atol=60)


@pytest.mark.parametrize("law", ["binary", "multiplex:3", "poisson:4"])
def test_a_law_asked_for_is_not_chosen_anew(law):
    (target,) = chosen(wells(Target("A", 5), [0.0, 0.6, 1.5, 2.5], 1500.0), law).scheme.targets
    assert target.describe() == law


# --- simulated plates ------------------------------------------------------------------------------------------------


def scheme_of(rates, seed, assay=None):
    """The scheme found for a simulated plate of two channels, its last well a control."""
    made = simulate_plate(rates, assay=assay, n_droplets=3000, controls=1, rng=seed)
    droplets = [well.amplitudes for well in made.plate.wells.values()]
    marks = landmarks(droplets, [len(droplets) - 1])
    return choose(parse("auto", TWO), marks, TWO, droplets).scheme


@pytest.mark.parametrize("seed", [1, 5, 7, 10, 11, 12])
@pytest.mark.parametrize("rates", [[[0.02, 0.5], [0.3, 0.8]] * 2, [[0.1, 0.1], [1.0, 1.0]]], ids=["few", "many"])
def test_clumps_of_rain_are_no_target(rates, seed):
    found = scheme_of(rates, seed)
    assert found.describe() == "binary"
    assert [target.channel for target in found.targets] == [0, 1]


@pytest.mark.parametrize(
    "rates",
    [[[0.1, 1.2], [0.3, 0.4]], [[0.3, 2.0], [0.5, 1.5]], [[0.01, 1.0], [0.02, 1.0]]],
    ids=["low", "high", "equal"],
)
def test_a_ladder_beside_a_target_is_found(rates):
    found = scheme_of(rates, 0, "ladder")
    assert [target.describe() for target in found.targets] == ["binary", "multiplex:4"]


@pytest.mark.parametrize("seed", range(3))
def test_three_targets_are_found(seed):
    found = scheme_of([[0.1, 0.2, 0.3], [0.05, 0.1, 0.02]], seed)
    assert found.describe() == "multiplex:3"
