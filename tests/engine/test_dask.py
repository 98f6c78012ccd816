"""Rows in Dask: the same results whoever does the work, data that stay where they are, and errors that say where."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import pickle
import sys
import time
import traceback
import tracemalloc
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import mixsci as mx
from mixsci.engine.em.start import draw_rows as draw_sample
from mixsci.engine.execution import DaskSource, partitions
from mixsci.engine.observations import from_dask


def find(library: str, environment: Mapping[str, str]) -> ModuleType:
    """A library of the extra `dask`; where it is absent the tests of this file are skipped, and on CI they fail."""
    try:
        return importlib.import_module(library)
    except ImportError:
        reason = f"{library} is not installed: install mixsci[dask]"
    if environment.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}; CI must not skip it", pytrace=False)
    return pytest.skip(reason, allow_module_level=True)


dask, da, dd, distributed = (
    find(library, os.environ) for library in ("dask", "dask.array", "dask.dataframe", "dask.distributed")
)

N, NAMES = 3000, ["a", "b", "c"]
CUTS = (700, 0, 1300, 1000)
WAYS = ["one thread", "two threads", "client"]


def test_an_absent_library_skips_these_tests():
    with pytest.raises(pytest.skip.Exception, match=r"mixsci\[dask\]"):
        find("a_library_that_is_absent", {})


def test_an_absent_library_fails_on_ci():
    with pytest.raises(pytest.fail.Exception, match="must not skip"):
        find("a_library_that_is_absent", {"CI": "true"})


def local_client(**options):
    """A client of two workers in this process, and no port that another test may hold."""
    options = {"set_as_default": False, "processes": False, "n_workers": 2, "threads_per_worker": 1, **options}
    return distributed.Client(dashboard_address="127.0.0.1:0", **options)


@pytest.fixture(scope="module")
def client():
    with local_client() as made:
        yield made


@pytest.fixture
def idle_client():
    with local_client() as made:
        yield made


@pytest.fixture(params=WAYS)
def workers(request):
    return {"one thread": 1, "two threads": 2}.get(request.param) or request.getfixturevalue("client")


def eventually(holds) -> bool:
    """Whether it becomes true while a scheduler of its own thread catches up."""
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


class Table:
    """The same rows as arrays, and cut into partitions of uneven length, one of them empty."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        centre = 5.0 * np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.5], [0.0, 1.5, -1.0]])
        label = rng.choice(3, size=N, p=[0.5, 0.3, 0.2])
        self.sigma = rng.uniform(0.1, 0.8, size=(N, 3))
        self.x = centre[label] + rng.normal(size=(N, 3)) + self.sigma * rng.normal(size=(N, 3))
        self.x[rng.random((N, 3)) < 0.15] = np.nan
        self.x[:5] = np.nan
        self.weights = rng.uniform(0.5, 2.0, size=N)
        self.groups = np.repeat(["north", "south", "west"], [900, 1200, 900])
        self.frame = pd.DataFrame({
            **dict(zip(NAMES, self.x.T, strict=True)),
            **{f"{name}_error": sigma for name, sigma in zip(NAMES, self.sigma.T, strict=True)},
            "weight": self.weights, "field": self.groups,
        })  # fmt: skip
        self.ends = np.cumsum([0, *CUTS])

    def array(self, values):
        return da.from_array(values, chunks=(CUTS, *values.shape[1:]))

    def unknown(self, values):
        """A dask array whose chunk lengths are not known."""
        return da.from_array(values, chunks=(500, *values.shape[1:]))[
            da.from_array(np.ones(len(values), bool), chunks=500)
        ]

    def pieces(self):
        return [self.frame.iloc[a:b] for a, b in zip(self.ends, self.ends[1:], strict=False)]

    def dask_frame(self):
        return dd.from_delayed([dask.delayed(piece) for piece in self.pieces()], meta=self.frame.iloc[:0])

    def observations(self, groups=False):
        noise = mx.noise.from_errors(self.sigma)
        return mx.Observations(self.x, noise, row_weights=self.weights, groups=self.groups if groups else None)


def observations_of(piece: pd.DataFrame) -> mx.Observations:
    noise = mx.noise.from_errors(piece[[f"{name}_error" for name in NAMES]])
    return mx.Observations(piece[NAMES], noise, row_weights=piece["weight"], groups=piece["field"])


def from_array(table: Table):
    columns = {"row_weights": table.weights, "groups": table.groups, "errors": table.sigma}
    return from_dask(table.array(table.x), **{name: table.array(values) for name, values in columns.items()})


def from_unknown(table: Table):
    columns = {"row_weights": table.weights, "groups": table.groups, "errors": table.sigma}
    return from_dask(table.unknown(table.x), **{name: table.unknown(values) for name, values in columns.items()})


def from_frame(table: Table):
    frame = table.dask_frame()
    errors = frame[[f"{name}_error" for name in NAMES]]
    return from_dask(frame[NAMES], row_weights=frame["weight"], groups=frame["field"], errors=errors)


def from_function(table: Table):
    return from_dask(table.dask_frame(), convert=observations_of)


def from_delayed(table: Table):
    return DaskSource([dask.delayed(piece) for piece in table.pieces()], observations_of)


SOURCES = [from_array, from_unknown, from_frame, from_function, from_delayed]


def same_mixture(a: mx.Mixture, b: mx.Mixture) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("weights", "means", "covariances"))


def some_mixture() -> mx.Mixture:
    return mx.Mixture([0.5, 0.3, 0.2], 4.0 * np.eye(3), np.tile(2.0 * np.eye(3), (3, 1, 1)))


# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.floors
@pytest.mark.parametrize("make", SOURCES)
def test_sums_are_those_of_the_rows_in_memory(make, client):
    """Gaps, errors, weights and an empty partition; and the same to the last bit whoever adds."""
    table = Table()
    mixture = some_mixture()
    whole, source = mx.expect(mixture, table.observations()), make(table)
    here = mx.expect(mixture, source, workers=1)
    for field in fields(whole):
        np.testing.assert_allclose(getattr(here, field.name), getattr(whole, field.name), rtol=1e-11, atol=1e-9)
    with dask.config.set(scheduler="synchronous"):
        alone = mx.expect(mixture, source)
    for other in (alone, mx.expect(mixture, source, workers=2), mx.expect(mixture, source, workers=client)):
        for field in fields(whole):
            assert np.array_equal(getattr(other, field.name), getattr(here, field.name)), field.name


@pytest.mark.parametrize("make", [from_array, from_frame])
def test_a_fit_is_that_of_the_rows_in_memory(make, client):
    table = Table()
    model = mx.Model(3, offsets="group")
    source, obs = make(table), table.observations(groups=True)
    start = mx.fit(model, obs, rng=0, starts=2, tol=1e-3).mixture
    whole = mx.fit(model, obs, start=start, tol=1e-10)
    found = [mx.fit(model, source, start=start, tol=1e-10, workers=who) for who in (1, 2, client)]
    assert found[0].objective == pytest.approx(whole.objective, rel=1e-9)
    assert (found[0].n_rows, found[0].n) == (whole.n_rows, pytest.approx(whole.n, rel=1e-12))
    np.testing.assert_allclose(found[0].mixture.means, whole.mixture.means, atol=1e-4)
    for label in ("north", "south", "west"):
        ours, theirs = found[0].mixture.of_group(label), whole.mixture.of_group(label)
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-4)
    for other in found[1:]:
        assert other.objective == found[0].objective
        assert other.history == found[0].history
        assert same_mixture(other.mixture, found[0].mixture)


def test_starts_are_drawn_alike_whoever_draws_them(client):
    """Rows fewer than a sample: the starts, and so all of the fit, are those of the rows in memory."""
    table = Table()
    noise, cuts = mx.noise.from_errors([0.3, 0.4, 0.5]), (1000, 1000, 1000)
    source = from_dask(da.from_array(table.x, chunks=(cuts, 3)), noise=noise)
    whole = mx.fit(mx.Model(3), mx.Observations(table.x, noise), rng=5, starts=2, tol=1e-9)
    found = [mx.fit(mx.Model(3), source, rng=5, starts=2, tol=1e-9, workers=who) for who in (1, 2, client)]
    np.testing.assert_allclose(found[0].starts, whole.starts, rtol=1e-8)
    assert found[0].objective == pytest.approx(whole.objective, rel=1e-9)
    assert all(same_mixture(other.mixture, found[0].mixture) for other in found)
    assert [fit.n_iter for fit in found] == [found[0].n_iter] * 3


def test_names_and_labels_come_from_the_partitions(workers):
    fit = mx.fit(mx.Model(2), from_frame(Table()), rng=0, starts=1, tol=1e-2, workers=workers)
    assert fit.names == ("a", "b", "c")
    assert fit.mixture.group_labels == ("north", "south", "west")


def test_noise_and_projection_of_every_row(workers):
    rng = np.random.default_rng(3)
    n = 400
    v = rng.normal(size=(n, 3)) * [1.0, 2.0, 0.5] + [1.0, -2.0, 0.0]
    projection = rng.normal(size=(n, 2, 3))
    root = rng.normal(size=(n, 2, 2)) / 2
    covariances = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(2)
    error = np.einsum("nab,nb->na", np.linalg.cholesky(covariances), rng.normal(size=(n, 2)))
    x = np.einsum("nmd,nd->nm", projection, v) + error
    mixture = mx.Mixture([1.0], [[0.9, -2.1, 0.1]], [np.diag([1.0, 4.0, 0.3])])
    cut = lambda values: da.from_array(values, chunks=(150, *values.shape[1:]))  # noqa: E731
    source = from_dask(cut(x), noise=cut(covariances), projection=cut(projection))
    whole = mx.expect(mixture, mx.Observations(x, covariances, projection))
    found = mx.expect(mixture, source, workers=workers)
    assert found.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.H, whole.H, rtol=1e-10, atol=1e-9)


def test_a_shared_projection_and_gaps_for_errors_unknown(workers):
    rng = np.random.default_rng(4)
    x, sigma, view = (
        rng.normal(size=(300, 2)),
        rng.uniform(0.1, 0.4, size=(300, 2)),
        np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
    )
    sigma[::11, 1] = np.nan
    source = from_dask(
        da.from_array(x, chunks=(100, 1)), errors=da.from_array(sigma, chunks=(60, 2)), missing="gap", projection=view
    )
    obs = mx.Observations(x, mx.noise.from_errors(sigma, missing="gap"), view)
    start = mx.Mixture([1.0], [[0.0, 0.0, 0.0]], [np.eye(3)])
    found = mx.fit(mx.Model(1), source, start=start, tol=1e-9, workers=workers)
    whole = mx.fit(mx.Model(1), obs, start=start, tol=1e-9)
    assert found.objective == pytest.approx(whole.objective, rel=1e-9)
    assert found.set_aside == whole.set_aside == 28


def test_labels_unlike_in_every_partition_find_their_group(workers):
    """Codes count anew in every partition: only labels say which group a row belongs to."""
    rng = np.random.default_rng(5)
    groups = np.array(["b"] * 100 + ["a", "b"] * 50 + ["a"] * 100)
    x = rng.normal(size=(300, 1)) + (groups == "b")[:, None]
    cut = lambda values: da.from_array(values, chunks=(100, *values.shape[1:]))  # noqa: E731
    fit = mx.fit(mx.Model(1, offsets="group"), from_dask(cut(x), groups=cut(groups)), rng=0, tol=1e-10, workers=workers)
    assert fit.mixture.group_labels == ("b", "a")
    for label in ("a", "b"):
        assert fit.mixture.of_group(label).means[0, 0] == pytest.approx(x[groups == label].mean(), abs=1e-4)


def test_text_and_whole_numbers_of_a_frame(workers):
    frame = dd.from_pandas(
        pd.DataFrame({"a": pd.array([1, None, 3, 5], dtype="Int64"), "b": [0.5, 1.5, 2.0, 2.5]}), npartitions=2
    )
    mixture = mx.Mixture([1.0], [[2.0, 1.0]], [np.eye(2)])
    wanted = mx.expect(mixture, [[1.0, 0.5], [np.nan, 1.5], [3.0, 2.0], [5.0, 2.5]]).log_likelihood
    assert mx.expect(mixture, from_dask(frame), workers=workers).log_likelihood == pytest.approx(wanted, rel=1e-13)
    with pytest.raises(mx.DataError, match="partition 0: x must be numbers; column 'c' has 'no'"):
        mx.expect(mixture, from_dask(frame.assign(c="no")), workers=workers)


# --- where the rows are, and what travels ----------------------------------------------------------------------------

CONVERTED: list[int] = []


def counted(piece: pd.DataFrame) -> mx.Observations:
    CONVERTED.append(len(piece))
    return observations_of(piece)


def test_a_client_converts_every_partition_once(client):
    source = from_dask(Table().dask_frame(), convert=counted)
    CONVERTED.clear()
    fit = mx.fit(mx.Model(2), source, rng=0, starts=2, tol=1e-2, workers=client)
    again = mx.fit(mx.Model(3), source, rng=0, starts=2, tol=1e-2, workers=client)
    assert fit.n_iter + again.n_iter > 4
    assert sorted(CONVERTED) == sorted(CUTS)


def test_threads_convert_in_every_pass():
    source = from_dask(Table().dask_frame(), convert=counted)
    CONVERTED.clear()
    for _ in range(3):
        mx.expect(some_mixture(), source, workers=2)
    assert sorted(CONVERTED) == sorted(3 * CUTS)


def test_a_client_is_left_as_it_was(idle_client):
    """Between passes the converted partitions alone are kept, and they go with the source."""
    source = from_array(Table())
    mx.fit(mx.Model(2), source, rng=0, starts=1, tol=1e-2, workers=idle_client)
    assert eventually(lambda: len(idle_client.futures) == len(CUTS))
    del source
    gc.collect()
    assert eventually(lambda: not idle_client.futures)


def test_rows_that_a_cluster_lost_are_made_again(client):
    source = from_dask(Table().dask_frame(), convert=counted)
    first = mx.expect(some_mixture(), source, workers=client)
    CONVERTED.clear()
    client.cancel(source.kept[client])
    assert mx.expect(some_mixture(), source, workers=client).log_likelihood == first.log_likelihood
    assert sorted(CONVERTED) == sorted(CUTS)


def test_rows_in_memory_stay_there(client, monkeypatch):
    obs = Table().observations()
    blocks = mx.from_blocks(lambda: (obs.take(slice(i, i + 500)) for i in range(0, N, 500)))
    for verb in ("submit", "map", "compute", "persist", "scatter"):
        monkeypatch.setattr(client, verb, lambda *_, **__: pytest.fail("nothing is to be sent"))
    for rows in (obs, blocks):
        theirs = mx.expect(some_mixture(), rows, workers=client)
        assert theirs.log_likelihood == mx.expect(some_mixture(), rows, workers=2).log_likelihood
    assert np.array_equal(some_mixture().predict(obs, workers=client), some_mixture().predict(obs))


def test_the_active_client_works_where_none_is_named(client):
    source = from_dask(Table().dask_frame(), convert=counted)
    with client.as_current():
        theirs = mx.expect(some_mixture(), source)
        assert list(source.kept) == [client]
        named = mx.expect(some_mixture(), source, workers=1)
    assert theirs.log_likelihood == named.log_likelihood


@pytest.mark.floors
@pytest.mark.parametrize("make", ["array", "frame"])
def test_rows_that_a_cluster_holds_are_worked_on_there(make, client):
    table = Table()
    mixture = some_mixture()
    wanted = mx.expect(mixture, table.x).log_likelihood
    rows = client.persist(da.from_array(table.x, chunks=1000) if make == "array" else table.dask_frame()[NAMES])
    source = from_dask(rows)
    del rows
    gc.collect()
    assert mx.expect(mixture, source, workers=client).log_likelihood == pytest.approx(wanted, rel=1e-12)
    with client.as_current():
        assert sum(len(block) for block in source.blocks()) == N
    with pytest.raises(mx.DataError, match="pass its client as workers="):
        mx.expect(mixture, source, workers=2)


def test_a_source_larger_than_memory_is_never_there_whole():
    n, chunk = 1_500_000, 50_000
    x = da.random.default_rng(0).normal(size=(n, 2), chunks=(chunk, 2))
    source = from_dask(x, noise=mx.noise.from_errors([0.1, 0.2]))
    mixture = mx.Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    mx.expect(mixture, from_dask(x[:chunk]), workers=2)
    tracemalloc.start()
    try:
        stats = mx.expect(mixture, source, workers=2)
        sample = draw_sample(source, 1000, np.random.default_rng(0), workers=2, n_rows=n)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (stats.n_rows, len(sample)) == (n, 1000)
    assert peak < n * 2 * 8 / 3


def test_no_more_rows_are_brought_here_than_a_sample_needs(workers):
    x = np.arange(30_000.0)[:, None]
    source, brought = from_dask(da.from_array(x, chunks=(3000, 1))), []

    class Watched:
        blocks = source.blocks

        def map(self, function, workers):
            for rows, keys in source.map(function, workers):
                brought.append(sum(len(block) for block in rows))
                assert brought[-1] == len(keys)
                yield rows, keys

    sample = draw_sample(Watched(), 500, np.random.default_rng(1), workers=workers, n_rows=len(x))
    assert len(brought) == 10
    assert 500 < sum(brought) < 800
    assert len(np.unique(sample.x)) == len(sample) == 500
    # Rows come from all partitions alike, in order.
    assert (np.diff(sample.x[:, 0]) > 0).all()
    assert abs(sample.x.mean() - 15_000) < 4 * 30_000 / np.sqrt(12 * 500)
    alone = draw_sample(source, 500, np.random.default_rng(1), workers=1, n_rows=len(x))
    assert np.array_equal(alone.x, sample.x)


def test_every_row_is_as_likely_to_be_drawn():
    x = np.arange(200.0)[:, None]
    source = from_dask(da.from_array(x, chunks=((20, 150, 30), 1)))
    times = np.zeros(200)
    for seed in range(200):
        drawn = draw_sample(source, 20, np.random.default_rng(seed), workers=1, n_rows=200).x[:, 0].astype(int)
        assert len(np.unique(drawn)) == len(drawn) == 20
        times[drawn] += 1
    # A row is drawn in one of ten draws: 20 times, with a variance of 18.
    assert ((times - 20) ** 2 / 18).sum() < 200 + 5 * np.sqrt(2 * 200)


def test_dask_knows_what_rows_weigh():
    obs = Table().observations(groups=True)
    assert sys.getsizeof(obs) > obs.x.nbytes + obs.noise.variances.nbytes + obs.row_weights.nbytes + obs.groups.nbytes
    assert sys.getsizeof(obs) < 2.5 * (obs.x.nbytes + obs.noise.variances.nbytes)
    assert sys.getsizeof(obs.take(slice(0, 10))) < sys.getsizeof(obs) / 50


def test_sources_pickle_and_say_little(client):
    source = from_frame(Table())
    first = mx.expect(some_mixture(), source, workers=client)
    again = pickle.loads(pickle.dumps(source))
    assert repr(again) == "DaskSource(4 partitions)"
    assert mx.expect(some_mixture(), again, workers=1).log_likelihood == first.log_likelihood


def test_blocks_are_those_of_each_partition():
    source = from_array(Table())
    assert [len(block) for block in source.blocks() if len(block)] == [700, 1300, 1000]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_bad_rows_are_named_with_their_partition(workers):
    table = Table()
    x = table.x.copy()
    x[705, 1] = np.inf
    with pytest.raises(mx.DataError, match=r"^partition 2: x must be finite .* in row 5:") as caught:
        mx.fit(mx.Model(2), from_dask(table.array(x)), workers=workers, rng=0)
    package = Path(mx.__file__).parent
    ours = [Path(frame.filename) for frame in traceback.extract_tb(caught.value.__traceback__)[1:]]
    assert all(package in path.parents for path in ours)


def test_bad_rows_of_a_sum_are_named_with_their_partition(workers):
    with pytest.raises(mx.DataError, match=r"^partition 0: rows must speak of the mixture's 3 dimensions; got 2"):
        mx.expect(some_mixture(), from_dask(da.zeros((10, 2))), workers=workers)


def unreadable(piece):
    raise mx.FormatError("column parallax must be there; this file has none")


def careless(piece):
    raise KeyError("parallax")


def forgetful(piece):
    return np.asarray(piece)


def test_errors_of_a_reader_reach_the_caller(workers, caplog):
    frame = Table().dask_frame()
    with pytest.raises(mx.FormatError, match=r"^partition 0: column parallax"):
        mx.expect(some_mixture(), from_dask(frame, convert=unreadable), workers=workers)
    with pytest.raises(mx.DataError, match=r"^partition 0: convert must give Observations; got ndarray"):
        mx.expect(some_mixture(), from_dask(frame, convert=forgetful), workers=workers)
    assert not caplog.records
    source = from_dask(frame, convert=careless)
    for _ in range(2):
        with pytest.raises(KeyError, match="parallax"):
            mx.expect(some_mixture(), source, workers=workers)


def test_ctrl_c_leaves_the_client_idle(idle_client, monkeypatch):
    source, calls, gather = from_array(Table()), [], idle_client.gather

    def pressed(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return gather(*args, **kwargs)

    monkeypatch.setattr(idle_client, "gather", pressed)
    start = mx.Mixture(
        np.full((3, 2), 0.5),
        [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
        np.tile(np.eye(3), (2, 1, 1)),
        group_labels=("north", "south", "west"),
    )
    fit = mx.fit(mx.Model(2), source, start=start, workers=idle_client)
    assert fit.outcome is mx.Outcome.INTERRUPTED
    assert len(calls) == 6
    assert eventually(lambda: len(idle_client.futures) == len(CUTS) and not any(idle_client.processing().values()))
    assert mx.expect(fit.mixture, source, workers=idle_client).log_likelihood == fit.log_likelihood


def test_a_client_must_be_one_that_answers():
    source = from_array(Table())
    with local_client() as gone:
        mx.expect(some_mixture(), source, workers=gone)
    with pytest.raises(mx.DataError, match="must be running and synchronous; this one is closed"):
        mx.expect(some_mixture(), source, workers=gone)

    async def run():
        async with local_client(asynchronous=True, set_as_default=True) as other:
            with pytest.raises(mx.DataError, match="must be running and synchronous"):
                mx.expect(some_mixture(), source, workers=other)
            # It is not taken for the active one either.
            return mx.expect(some_mixture(), source)

    assert asyncio.run(run()).n_rows == N


X = np.zeros((6, 2))
REFUSED = {
    "an array in memory": (lambda: from_dask(X), "from_dask needs a dask array or data frame; got ndarray"),
    "a delayed object": (lambda: from_dask(dask.delayed(X)), r"x in Dask must .* axes \(n, m\); got Delayed"),
    "one axis": (lambda: from_dask(da.zeros(6)), r"axes \(n, m\); got Array with 1"),
    "noise without a name": (lambda: from_dask(da.zeros((6, 2)), noise=da.ones((6, 2))), r"noise .* axes \(n, m, m\)"),
    "errors in one axis": (lambda: from_dask(da.zeros((6, 6)), errors=da.ones(6)), r"errors .* axes \(n, m\)"),
    "errors in memory": (lambda: from_dask(da.zeros((6, 2)), errors=X), "errors that differs by row must lie in Dask"),
    "noise in memory": (
        lambda: from_dask(da.zeros((6, 2)), noise=mx.noise.from_errors(X + 1)),
        "noise that differs by row must lie in Dask as x does; got DiagonalNoise",
    ),
    "projections in memory": (
        lambda: from_dask(da.zeros((6, 2)), projection=np.zeros((6, 2, 2))),
        "projection that differs by row",
    ),
    "groups in memory": (lambda: from_dask(da.zeros((6, 2)), groups=list("aabbab")), "groups that differs by row"),
    "two noises": (
        lambda: from_dask(da.zeros((6, 2)), noise=mx.noise.from_errors([1, 1]), errors=da.ones((6, 2))),
        "give noise or errors, not both",
    ),
    "convert and noise": (
        lambda: from_dask(da.zeros((6, 2)), noise=mx.noise.from_errors([1, 1]), convert=observations_of),
        "convert makes Observations whole: leave noise to it",
    ),
    "fewer errors than rows": (
        lambda: from_dask(da.zeros((6, 2)), errors=da.ones((5, 2))),
        "errors must have the 6 rows of x; got 5",
    ),
    "partitions unlike": (
        lambda: from_dask(dd.from_pandas(pd.DataFrame(X), npartitions=2), row_weights=da.ones(6, chunks=2)),
        "must have the partitions of x; got {'x': 2, 'row_weights': 3} of them",
    ),
    "divisions unlike": (
        lambda: from_dask(
            dd.from_pandas(pd.DataFrame(X), npartitions=2),
            errors=dd.from_pandas(pd.DataFrame(X, index=range(1, 7)), npartitions=2),
        ),
        "errors must have the divisions of x",
    ),
    "no function": (lambda: DaskSource(da.zeros((6, 2)), "read"), "convert must be a function .*; got str"),
    "no partitions": (lambda: partitions([1, 2]), "partitions must be a dask array.*; got list"),
    "one delayed object": (lambda: partitions(dask.delayed(X)), "list of delayed objects; got Delayed"),
    "no rows": (lambda: mx.expect(some_mixture(), DaskSource([], mx.Observations)), "at least one row; got none"),
    "Dask itself": (
        lambda: mx.expect(some_mixture(), da.zeros((6, 3))),
        r"handed over as from_dask\(x\).*; got a dask Array",
    ),
    "a frame itself": (
        lambda: mx.em_step(mx.Model(3), some_mixture(), dd.from_pandas(pd.DataFrame(X), npartitions=1)),
        r"from_dask\(x\)",
    ),
    "results row by row": (
        lambda: some_mixture().predict(from_dask(da.zeros((6, 3)))),
        "need rows in memory; got DaskSource",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(case):
    make, message = REFUSED[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_column_named_blocks_is_a_column():
    frame = pd.DataFrame({"blocks": [1.0, 2.0, 3.0]})
    mixture = mx.Mixture([1.0], [[0.0]], [[[1.0]]])
    assert mx.expect(mixture, frame).log_likelihood == mx.expect(mixture, frame.to_numpy()).log_likelihood
