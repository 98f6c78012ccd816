"""What is saved comes back bit for bit, and nothing else is mistaken for it."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine import storage
from mixsci.engine.em.archive import REGISTRY
from tests.problems import random_problem


def plain(value):
    """A NumPy scalar as the number it is."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value


def identical(a, b):
    """Equality to the last bit, through arrays and dataclasses."""
    a, b = map(plain, (a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if is_dataclass(a):
        return type(a) is type(b) and all(
            identical(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.init
        )
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or (isinstance(a, float) and np.isnan(a) and np.isnan(b)))


@pytest.mark.parametrize("seed", range(0, 56, 3))
def test_every_kind_of_model_and_mixture_comes_back_exactly(tmp_path, seed):
    problem = random_problem(seed)
    mixture, _ = mx.em_step(problem.model, problem.start, problem.obs)
    path = tmp_path / "both.json"
    storage.write(path, (problem.model, mixture))
    model, again = storage.read(path, REGISTRY)
    assert identical(again, mixture)
    assert identical(model, problem.model)
    one, two = mx.em_step(problem.model, mixture, problem.obs)[0], mx.em_step(model, again, problem.obs)[0]
    assert identical(one, two)


@pytest.mark.floors
def test_a_fit_comes_back_exactly(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 2))
    obs = mx.Observations(x, mx.noise.from_errors([0.1, 0.2]), groups=["a", "b"] * 40)
    fit = mx.fit(mx.Model(2, offsets="group", prior=mx.prior.Bovy(0.1)), obs, rng=0)
    fit.save(tmp_path / "fit.json")
    again = mx.load(tmp_path / "fit.json")
    assert identical(again, fit)
    np.testing.assert_array_equal(again.log_density(obs), fit.log_density(obs))
    assert again.bic == fit.bic


NUMBERS = [0.1, -0.0, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan, 1 / 3, 2**53 + 1.0]


def test_every_float_keeps_its_bits():
    text = json.dumps(storage.encode(np.array(NUMBERS)), allow_nan=False)
    again = storage.decode(json.loads(text), {})
    np.testing.assert_array_equal(again.view(np.int64), np.array(NUMBERS).view(np.int64))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        10**30,
        "text",
        "µ",
        (),
        (1, (2.5, "a")),
        [1, None],
        {"a": 1, (1, 2): "b", 3: [4]},
        mx.Outcome.CONVERGED,
        np.arange(6).reshape(2, 3),
        np.array([True, False]),
        np.empty((0, 3)),
        np.array(2.5),
        np.float64(1.5),
        np.int64(7),
    ],
    ids=repr,
)
def test_values_survive_a_round_trip(value):
    again = storage.decode(json.loads(json.dumps(storage.encode(value), allow_nan=False)), REGISTRY)
    assert identical(again, value.item() if isinstance(value, np.generic) else value)
    assert isinstance(again, Enum) == isinstance(value, Enum)


def test_what_cannot_be_saved_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "fit.json"
    storage.write(path, "old")
    with pytest.raises(mx.DataError):
        storage.write(path, object())
    assert storage.read(path, REGISTRY) == "old"
    assert list(tmp_path.iterdir()) == [path]


BAD = {
    "text": ("hello", "must be JSON"),
    "binary": (b"\xff\xfe\x00", "must be JSON"),
    "another JSON": ('{"a": 1}', "lacks the mark"),
    "a list": ("[1, 2]", "lacks the mark"),
    "a newer version": ('{"format": "mixsci", "version": 99, "content": 1}', "version 99; this mixsci reads 1"),
    "no content": ('{"format": "mixsci", "version": 1}', "damaged"),
    "a stranger": ('{"format": "mixsci", "version": 1, "content": {"type": "os.system", "fields": {}}}', "damaged"),
    "an empty mark": ('{"format": "mixsci", "version": 1, "content": {}}', "damaged"),
    "an unknown mark": ('{"format": "mixsci", "version": 1, "content": {"pickle": "x"}}', "damaged"),
    "broken fields": (
        '{"format": "mixsci", "version": 1, "content": {"type": "mixture.Mixture", "fields": {"weights": 1}}}',
        "damaged",
    ),
    "broken shape": (
        '{"format": "mixsci", "version": 1, "content": {"array": {"shape": [3], "dtype": "<f8", "values": [1.0]}}}',
        "damaged",
    ),
    "no array": ('{"format": "mixsci", "version": 1, "content": {"array": 3}}', "damaged"),
    "an enumeration without the name": (
        '{"format": "mixsci", "version": 1, "content": {"enum": ["state.Outcome", "NEVER"]}}',
        "damaged",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_other_files_are_refused_in_one_line(tmp_path, case):
    text, message = BAD[case]
    path = tmp_path / "x.json"
    path.write_bytes(text) if isinstance(text, bytes) else path.write_text(text, encoding="utf-8")
    with pytest.raises(mx.FormatError, match=message) as caught:
        mx.load(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "fit.json"
    mx.fit(mx.Model(1), np.random.default_rng(0).normal(size=(20, 1)), rng=0).save(path)
    text = path.read_text()
    for length in (0, 1, len(text) // 2, len(text) - 1):
        path.write_text(text[:length])
        with pytest.raises(mx.FormatError):
            mx.load(path)


@pytest.mark.filterwarnings("ignore::mixsci.errors.ConvergenceWarning")
def test_a_checkpoint_is_no_fit(tmp_path):
    path = tmp_path / "checkpoint.json"
    x = np.random.default_rng(0).normal(size=(50, 2))
    mx.fit(mx.Model(2), x, rng=0, max_iter=2, tol=1e-12, checkpoint=path)
    with pytest.raises(mx.FormatError, match="holds no fit: it is a checkpoint"):
        mx.load(path)


def test_files_are_text_that_others_can_read(tmp_path):
    path = Path(tmp_path / "fit.json")
    mx.fit(mx.Model(1), np.random.default_rng(0).normal(size=(20, 1)), rng=0).save(path)
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("mixsci", 1)
