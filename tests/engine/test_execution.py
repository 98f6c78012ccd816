"""One map over blocks: in order, a few ahead, errors where they belong."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import mixsci as mx
from mixsci.engine.execution import Run, map_blocks, map_runs, one_blas_thread, thread_count


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(workers):
    def slow(i):
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(map_blocks(slow, range(40), workers)) == [i * i for i in range(40)]
    assert list(map_blocks(slow, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_taken_a_few_ahead_only(workers):
    taken = []

    def endless():
        for i in itertools.count():
            taken.append(i)
            yield i

    results = map_blocks(lambda i: i, endless(), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(taken) <= 3 * workers + 4


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_in_a_block_reaches_the_caller(workers):
    def fails(i):
        if i == 5:
            raise TypeError("this block is broken")
        return i

    with pytest.raises(TypeError, match="this block is broken"):
        list(map_blocks(fails, range(20), workers))


def test_an_error_of_the_source_is_not_taken_for_no_rows():
    def broken():
        raise TypeError("the reader is broken")
        yield

    mixture = mx.Mixture([1.0], [[0.0]], [[[1.0]]])
    with pytest.raises(TypeError, match="the reader is broken"):
        mx.expect(mixture, mx.from_blocks(broken))


def test_threads_really_work_side_by_side():
    meeting = threading.Barrier(3, timeout=20)
    assert sorted(map_blocks(lambda _: meeting.wait(), range(3), 3)) == [0, 1, 2]


class Blocks:
    """A source of numbers in place of blocks."""

    def blocks(self):
        yield from "abcdefg"


@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_are_runs_of_one_in_order(workers):
    found = map_runs(lambda run: (run.number, list(run.blocks)), Blocks(), workers)
    assert list(found) == [(i, [letter]) for i, letter in enumerate("abcdefg")]


def test_a_source_with_a_map_of_its_own_does_the_work():
    asked = []

    class Elsewhere(Blocks):
        def map(self, function, workers):
            asked.append(workers)
            yield function(Run(0, "abcd"))
            yield function(Run(1, "efg"))

    assert list(map_runs(lambda run: len(run.blocks), Elsewhere(), 3)) == [4, 3]
    assert asked == [3]


def threads_of_blas(_=None):
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} or {1}


@pytest.mark.parametrize("workers", [1, 2])
def test_blas_keeps_to_one_thread_inside_blocks(workers):
    with threadpool_limits(2, "blas"):
        assert list(map_blocks(threads_of_blas, range(4), workers)) == [{1}] * 4


def test_blas_has_its_threads_back_when_the_last_block_is_done():
    """Two threads whose blocks overlap: the one that comes first leaves first."""
    inside, leave, seen = threading.Event(), threading.Event(), []

    def first():
        with one_blas_thread():
            inside.set()
            leave.wait(20)

    with threadpool_limits(2, "blas"):
        before = threads_of_blas()
        other = threading.Thread(target=first)
        other.start()
        assert inside.wait(20)
        with one_blas_thread():
            leave.set()
            other.join(20)
            seen.append(threads_of_blas())
        seen.append(threads_of_blas())
    assert seen == [{1}, before]


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two", True])
def test_workers_must_be_a_number_of_threads(workers):
    with pytest.raises(mx.DataError, match="workers must be a number of threads"):
        thread_count(workers)


def test_whole_numbers_of_any_type_are_threads():
    assert thread_count(np.int64(3)) == 3
    assert thread_count(None) >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_has_threads_of_its_own():
    """A pool made before a fork has lost its threads in the child: waiting for them would last for ever."""
    code = (
        "import os, signal, numpy as np, mixsci as mx\n"
        "x = np.random.default_rng(0).normal(size=(30_000, 2))\n"
        "m = mx.Mixture([1.0], [[0.0, 0.0]], [np.eye(2)])\n"
        "wanted = mx.expect(m, x, workers=2).log_likelihood\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(60)\n"
        "    os._exit(0 if mx.expect(m, x, workers=2).log_likelihood == wanted else 3)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=120).returncode == 0


def test_sums_do_not_depend_on_where_arrays_lie():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2048, 2)) + 4.0 * rng.integers(2, size=(2048, 1))
    sigma = rng.uniform(0.1, 0.5, size=x.shape)
    mixture = mx.Mixture([0.4, 0.6], [[0.0, 0.0], [3.0, 3.0]], np.tile(np.eye(2), (2, 1, 1)))
    kept, found = [], set()
    for _ in range(400):
        kept = [np.empty(rng.integers(1, 3000)) for _ in range(20)]
        obs = mx.Observations(x.copy(), mx.noise.from_errors(sigma.copy()))
        stats = mx.expect(mixture, obs, workers=1)
        found.add((stats.log_likelihood, stats.entropy, *stats.g.ravel(), *stats.H.ravel()))
    assert len(kept) == 20
    assert len(found) == 1
