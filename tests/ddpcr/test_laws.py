"""Laws: what a user may ask for, the states that follow, and weights that are those of Poisson copies in droplets."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from mixsci.ddpcr.laws import Request, Scheme, Target, on_channel, parse
from mixsci.errors import DataError

ONE, TWO = ("Ch1",), ("Ch1", "Ch2")
rates = st.floats(1e-4, 6.0)


def weights(scheme, *values):
    return scheme.law.weights(np.array([values], dtype=float))[0]


# --- states and their weights ----------------------------------------------------------------------------------------


@given(rates, rates, rates)
def test_independent_targets_light_independently(a, b, c):
    scheme = Scheme((Target("A"), Target("B"), Target("C")))
    assert scheme.n_rates == 3
    p = -np.expm1(-np.array([a, b, c]))
    expected = [np.prod(np.where(state, p, 1 - p)) for state in product((0, 1), repeat=3)]
    np.testing.assert_allclose(weights(scheme, a, b, c), expected, rtol=1e-10)
    np.testing.assert_array_equal(scheme.states, list(product((0, 1), repeat=3)))


@given(rates, st.integers(1, 7))
def test_loci_on_one_dye_are_binomial(rate, loci):
    scheme = Scheme((Target("A", loci + 1),))
    expected = stats.binom.pmf(np.arange(loci + 1), loci, -np.expm1(-rate / loci))
    np.testing.assert_allclose(weights(scheme, rate), expected, rtol=1e-9, atol=1e-14)


@given(rates, st.integers(1, 7))
def test_copies_that_can_be_told_apart_are_poisson(rate, most):
    scheme = Scheme((Target("A", most + 1, "poisson"),))
    expected = [*stats.poisson.pmf(np.arange(most), rate), stats.poisson.sf(most - 1, rate)]
    np.testing.assert_allclose(weights(scheme, rate), expected, rtol=1e-9, atol=1e-14)


@given(rates)
def test_one_class_of_either_law_is_negative_or_positive(rate):
    for kind in ("binomial", "poisson"):
        np.testing.assert_allclose(weights(Scheme((Target("A", 2, kind),)), rate), [np.exp(-rate), -np.expm1(-rate)])


@given(rates, rates)
def test_a_ladder_beside_a_single_target(a, b):
    scheme = Scheme((Target("A", 2, channel=0), Target("B", 5, channel=1)))
    single = [np.exp(-a), -np.expm1(-a)]
    ladder = stats.binom.pmf(np.arange(5), 4, -np.expm1(-b / 4))
    np.testing.assert_allclose(weights(scheme, a, b), np.outer(single, ladder).ravel(), rtol=1e-8, atol=1e-14)
    np.testing.assert_array_equal(scheme.positive(0), np.repeat([False, True], 5))
    np.testing.assert_array_equal(scheme.positive(1), np.tile([False, True, True, True, True], 2))


@given(rates, rates, rates)
def test_linked_targets(a, b, c):
    """Copies of the first alone, of the second alone and of both: a droplet is empty of a target without its two."""
    scheme = Scheme((Target("A"), Target("B")), linked=True)
    none, no_first, no_second = np.exp(-(a + b + c)), np.exp(-(a + c)), np.exp(-(b + c))
    expected = [none, no_first - none, no_second - none, 1 - no_first - no_second + none]
    np.testing.assert_allclose(weights(scheme, a, b, c), expected, rtol=1e-7, atol=1e-13)
    np.testing.assert_allclose(scheme.rates(np.array([a, b, c])), [a + c, b + c])
    assert scheme.n_rates == 3


def test_rates_of_unlinked_targets_are_the_laws_own():
    found = np.array([[0.1, 2.0]])
    assert Scheme((Target("A"), Target("B"))).rates(found) is found


def test_new_names_change_nothing_else():
    scheme = Scheme((Target("A", 2, channel=0), Target("B", 5, channel=1))).named(["VIM", "ladder"])
    assert [target.name for target in scheme.targets] == ["VIM", "ladder"]
    assert [target.classes for target in scheme.targets] == [2, 5]
    assert scheme.describe() == "VIM binary, ladder multiplex:4"


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (Scheme((Target("A"),)), "binary"),
        (Scheme((Target("A", 5),)), "multiplex:4"),
        (Scheme((Target("A", 4, "poisson"),)), "poisson:3"),
        (Scheme((Target("A", channel=0), Target("B", channel=1))), "binary"),
        (Scheme((Target("A"), Target("B"), Target("C"))), "multiplex:3"),
        (Scheme((Target("A"), Target("B")), linked=True), "linked"),
    ],
)
def test_laws_in_words(scheme, words):
    assert scheme.describe() == words


# --- what a user asks for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "channels", "request_"),
    [
        ("auto", ONE, Request(("auto",))),
        ("binary", ONE, Request(("binary",))),
        ("poisson:2", ONE, Request(("poisson:2",))),
        ("multiplex:4", ONE, Request(("multiplex:4",))),
        (" Binary ", TWO, Request(("binary", "binary"))),
        ("auto", TWO, Request(plane="auto")),
        ("multiplex:3", TWO, Request(plane="multiplex:3")),
        ("linked", TWO, Request(plane="linked")),
        ({"Ch2": "multiplex:4"}, TWO, Request(("auto", "multiplex:4"))),
        ("Ch1=binary, Ch2=multiplex:4", TWO, Request(("binary", "multiplex:4"))),
    ],
)
def test_requests(law, channels, request_):
    assert parse(law, channels) == request_


@pytest.mark.parametrize(
    ("law", "channels", "words"),
    [
        ("triplex", ONE, 'law must be "auto", "binary"'),
        (None, ONE, "got None"),
        (3, ONE, "got 3"),
        ("", ONE, "law must be"),
        ("binary:2", ONE, "takes no number"),
        ("auto:2", TWO, "takes no number"),
        ("linked", ONE, 'law="linked"'),
        ({"Ch1": "linked"}, TWO, "speaks of two channels"),
        ("multiplex", ONE, "needs a number T from 1 to 7"),
        ("multiplex:8", ONE, "from 1 to 7"),
        ("multiplex:0", ONE, "from 1 to 7"),
        ("multiplex:5", TWO, "from 1 to 4"),
        ("poisson:0", ONE, "from 1 to 7"),
        ("poisson:8", ONE, "from 1 to 7"),
        ({"Ch3": "binary"}, TWO, "law names channels Ch3; the plate has Ch1, Ch2"),
        ("Ch9=binary", ONE, "Ch9"),
        ("Ch1=binary,Ch2", TWO, "law must be"),
    ],
)
def test_laws_nobody_knows_are_refused(law, channels, words):
    with pytest.raises(DataError, match=words):
        parse(law, channels)


@pytest.mark.parametrize(
    ("spec", "populations", "kind", "classes"),
    [
        ("binary", 4, "binomial", 2),
        ("auto", 1, "binomial", 2),
        ("auto", 0, "binomial", 2),
        ("auto", 4, "open", 5),
        ("poisson", 1, "poisson", 2),
        ("poisson", 3, "open", 4),
        ("poisson:3", 1, "poisson", 4),
        ("multiplex:4", 1, "binomial", 5),
    ],
)
def test_a_law_stays_open_where_populations_leave_a_choice(spec, populations, kind, classes):
    target = on_channel(spec, "A", 1, populations)
    assert (target.name, target.channel, target.kind, target.classes) == ("A", 1, kind, classes)


def test_only_poisson_stays_poisson():
    assert parse("poisson", ONE).kinds(0) == ("poisson",)
    assert set(parse("auto", TWO).kinds(1)) == {"binomial", "poisson"}
