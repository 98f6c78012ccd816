"""What comes through the doors is checked there: one sentence says what must hold, what came and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine import storage
from mixsci.engine.em.archive import REGISTRY
from mixsci.engine.model.covariances import Full

TWO = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [3.0, 1.0]], [np.eye(2), np.eye(2)])
BOXED = mx.Mixture(TWO.weights, TWO.means, TWO.covariances, background=mx.UniformBackground([-9, -9], [9, 9], 0.1))
GROUPS = ("a", "b")


def grouped(**parts):
    return mx.Mixture(TWO.weights, TWO.means, TWO.covariances, group_labels=GROUPS, **parts)


def lone(**parts):
    return mx.Mixture(TWO.weights, TWO.means, TWO.covariances, **parts)


BAD = {
    "a value beyond": (
        lambda: TWO.condition({0: 1e200}),
        r"some probability; \[1e\+200\] in dimensions \[0\] have none",
    ),
    "beyond the box": (lambda: BOXED.condition({0: 1e200}), "must have some probability"),
    "text given": (lambda: TWO.condition({0: "a"}), "value of dimension 0 must be one number; got 'a'"),
    "nothing given": (lambda: TWO.condition({0: None}), "value of dimension 0 must be one number; got None"),
    "an error in words": (lambda: TWO.condition({0: 1.0}, {0: "a"}), "error of dimension 0 must be one number"),
    "a list given": (lambda: TWO.condition([1.0]), "as {dimension: value}; got list"),
    "half a draw": (lambda: TWO.sample(2.5), r"n must be a whole number of points; got 2.5: write int\(n\)"),
    "a float of draws": (lambda: TWO.sample(10.0), "whole number of points; got 10.0"),
    "a marginal of a number": (lambda: TWO.marginal(0), r"list of numbers; got 0: write \[0\]"),
    "a marginal of text": (lambda: TWO.marginal(["a"]), r"distinct numbers from 0 to 1; got \['a'\]"),
    "a marginal of lists": (lambda: TWO.marginal([[0], [0, 1]]), "distinct numbers from 0 to 1"),
    "cdf of text": (lambda: TWO.marginal([0]).cdf("a"), "t must be .*numbers"),
    "quantile of text": (lambda: TWO.marginal([0]).quantile("a"), "q must be .*numbers"),
    "offsets of others": (lambda: grouped(offsets=np.zeros((3, 2))), r"\(G, D\) = \(2, 2\) .*; got \(3, 2\)"),
    "NaN offsets": (lambda: grouped(offsets=np.full((2, 2), np.nan)), "offsets of a mixture must be finite"),
    "rates of others": (lambda: grouped(rates=[1.0, 2.0, 3.0]), r"rates must have shape \(\) or \(G,\) = \(2,\)"),
    "rates by target of others": (lambda: grouped(rates=np.ones((3, 2))), r"or \(G, T\) .*; got \(3, 2\)"),
    "no rates": (lambda: grouped(rates=np.ones((2, 0))), r"rates must have shape .*; got \(2, 0\)"),
    "rates without groups": (lambda: lone(rates=[[1.0, 2.0]]), r"\(\) or \(T,\) without group_labels; got \(1, 2\)"),
    "infinite rates": (lambda: grouped(rates=[1.0, np.inf]), "rates of a mixture must be finite"),
    "rates in words": (lambda: lone(rates="a"), "rates must be .*numbers"),
    "theta of two dimensions": (lambda: lone(theta=np.ones((2, 2))), r"theta must have shape \(p,\); got \(2, 2\)"),
    "NaN theta": (lambda: lone(theta=[np.nan]), "theta of a mixture must be finite"),
    "group_rows of others": (lambda: grouped(group_rows=[1.0]), r"group_rows must have shape \(G,\) = \(2,\)"),
    "group_rows alone": (lambda: lone(group_rows=[1.0]), "need group_labels"),
    "negative group_rows": (lambda: grouped(group_rows=[1.0, -1.0]), "group_rows must not be negative"),
    "no group_rows": (lambda: grouped(group_rows=[0.0, 0.0]), "not all zero"),
    "infinite group_rows": (lambda: grouped(group_rows=[1.0, np.inf]), "group_rows of a mixture must be finite"),
    "states of others": (lambda: lone(state_of_component=(0,)), r"state_of_component must have shape \(K,\) = \(2,\)"),
    "offsets' prior in words": (lambda: mx.Offsets("a"), "prior_sd of offsets must be .*numbers"),
    "offsets' prior infinite": (lambda: mx.Offsets(np.inf), r"positive and finite.* got inf: None means no prior"),
    "offsets' prior NaN": (lambda: mx.Offsets(np.nan), "positive and finite"),
    "no w": (lambda: mx.prior.Bovy(None), "w must be one number; got None"),
    "many w": (lambda: mx.prior.Bovy(np.ones((2, 2))), "w must be one number; got array"),
    "Dirichlet in words": (lambda: mx.prior.Dirichlet("a"), "Dirichlet alpha must be .*numbers"),
    "weights' Dirichlet in words": (lambda: mx.weights.Free("a"), "Dirichlet alpha must be .*numbers"),
    "dof in words": (lambda: mx.prior.InverseWishart(dof="a"), "dof .* must be one number; got 'a'"),
    "NaN dof": (lambda: mx.prior.InverseWishart(dof=np.nan), "dof .* must be finite; got nan"),
    "scale in words": (lambda: mx.prior.InverseWishart("a"), "inverse-Wishart scale must be .*numbers"),
    "mode in words": (lambda: mx.prior.InverseWishart.towards("a", 5), "the mode .* must be .*numbers"),
    "pseudo-count in words": (lambda: mx.prior.InverseWishart.towards([[1.0]], "a"), "pseudo_count must be one number"),
    "fixed weights in words": (lambda: mx.weights.Fixed("a"), "fixed weights must be .*numbers"),
    "fixed means in words": (lambda: mx.means.Fixed("a"), "fixed means must be .*numbers"),
    "a ragged ladder": (lambda: mx.means.Ladder([[[1.0]], [[1.0, 2.0]]]), "ladder's design must be .* one length"),
    "a ladder in words": (lambda: mx.means.Ladder([[["a"]]]), "ladder's design must be numbers; got 'a'"),
    "a ladder's fixed part in words": (
        lambda: mx.means.Ladder([[[1.0]]], "a"),
        "ladder's fixed part must be .*numbers",
    ),
    "a ladder's fixed part NaN": (lambda: mx.means.Ladder([[[1.0]]], np.nan), "ladder's fixed part must be finite"),
    "a box in words": (lambda: mx.UniformBackground("a", "b"), "low of a background's box must be .*numbers"),
    "a box without weight": (lambda: mx.UniformBackground(0, 1, None), "weight must be one number; got None"),
    "all background": (lambda: mx.UniformBackground(0, 1, 1.0), r"weight must be in \[0, 1\); got 1.0"),
    "rows of a number": (lambda: mx.effective_rows(3.0), r"row_weights must have shape \(n,\); got \(\)"),
    "rows of nothing": (lambda: mx.effective_rows(None), "row_weights must be .*; got NoneType"),
    "one error": (lambda: mx.noise.from_errors(-0.1), r"errors must have shape \(n, m\) or \(m,\); got \(\)"),
    "a negative column": (
        lambda: mx.noise.from_errors([1.0, -1.0]),
        "must not be negative; they are in column 1: correct",
    ),
    "a negative row": (
        lambda: mx.noise.from_errors([[1.0], [-1.0]]),
        "must not be negative; they are in row 1: correct",
    ),
    "a negative variance": (
        lambda: mx.noise.from_variances([-1.0]),
        "a variance must not be negative; it is in column 0",
    ),
    "errors of one column": (
        lambda: mx.Observations(np.zeros((5, 1)), mx.noise.from_errors(np.ones(5))),
        r"x of shape \(5, 1\); got .*errors of shape \(5,\).*: write sigma\[:, None\]",
    ),
    "shared and indefinite": (
        lambda: mx.noise.from_covariances([[1.0, 2.0], [2.0, 1.0]]),
        "shared by all rows must be positive semi-definite; this one is not",
    ),
    "shared and lopsided": (
        lambda: mx.noise.from_covariances([[1.0, 0.2], [0.1, 1.0]]),
        "shared by all rows must be symmetric; this one is not",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case):
    call, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_shared_noise_is_in_no_row():
    for call in (BAD["a negative column"][0], BAD["shared and indefinite"][0], BAD["shared and lopsided"][0]):
        with pytest.raises(mx.DataError) as caught:
            call()
        assert "row 0" not in str(caught.value)


def test_a_background_that_explains_all_leaves_a_mixture():
    given = BOXED.condition({0: 8.9}, {0: 1e-9}).background.weight
    narrow = mx.Mixture([0.5, 0.5], TWO.means, 1e-6 * TWO.covariances, background=BOXED.background)
    far = narrow.condition({0: 8.0})
    assert 0.1 < given < far.background.weight == 1.0 - 1e-12
    assert far.weights.sum() == pytest.approx(1.0)
    wide = mx.UniformBackground([-1e200, -9], [1e200, 9], 0.1)
    alone = mx.Mixture(TWO.weights, TWO.means, TWO.covariances, background=wide).condition({0: 1e199})
    assert alone.background.weight == 1.0 - 1e-12
    np.testing.assert_array_equal(alone.weights, TWO.weights)


def test_a_group_keeps_the_states_and_the_rate():
    whole = grouped(rates=[1.0, 2.0], state_of_component=(0, 1), offsets=[[0.0, 0.0], [1.0, 1.0]], group_rows=[3, 4])
    assert whole.of_group("b").state_of_component == (0, 1)
    assert whole.of_group("b").rates == 2.0
    assert grouped(rates=1.5).of_group("b").rates == 1.5


# --- files -----------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Mine(Full):
    """A structure that no file may name."""


ROWS = np.random.default_rng(0).normal(size=(40, 1))


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        (mx.Model(1, covariance=Mine()), None, "got tests.engine.test_doors.Mine: name it in REGISTRY of"),
        (mx.Model(1), [Colour.RED] * 40, "got tests.engine.test_doors.Colour"),
        (mx.Model(1), [frozenset({1})] * 40, r"cannot save frozenset .*labels must be numbers or text: convert them"),
        (mx.Model(1), [b"a"] * 40, "cannot save bytes"),
    ],
)
def test_a_fit_that_could_not_be_read_back_is_not_written(tmp_path, model, labels, message):
    fit = mx.fit(model, mx.Observations(ROWS, groups=labels), rng=0)
    with pytest.raises(mx.DataError, match=message) as caught:
        fit.save(tmp_path / "fit.json")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_class_named_in_the_registry_is_saved_and_read(tmp_path, monkeypatch):
    monkeypatch.setitem(REGISTRY, "test_doors.Mine", Mine)
    mx.fit(mx.Model(1, covariance=Mine()), ROWS, rng=0).save(tmp_path / "fit.json")
    assert isinstance(mx.load(tmp_path / "fit.json").model.covariance, Mine)
    monkeypatch.undo()
    with pytest.raises(mx.FormatError, match=r"names a class this mixsci does not know: test_doors\.Mine$"):
        mx.load(tmp_path / "fit.json")


def test_an_unknown_enumeration_is_named(tmp_path):
    path = tmp_path / "fit.json"
    storage.write(path, mx.Outcome.CONVERGED)
    path.write_text(path.read_text().replace("state.Outcome", "state.Other"))
    with pytest.raises(mx.FormatError, match=r"names a class this mixsci does not know: state\.Other"):
        mx.load(path)
