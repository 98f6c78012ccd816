"""One map over blocks, serial or threads; results come in block order, so sums do not depend on the threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from numbers import Integral
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from mixsci.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Blocks in flight per thread: enough to keep threads busy, few enough to keep memory small.
_AHEAD = 2
_FEW_COLUMNS = 16


def thread_count(workers: int | None) -> int:
    """Threads to use: the number asked for, or the processors this process may use."""
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise DataError(f"workers must be a number of threads, 1 or more; got {workers!r}")
    return int(workers)


def map_blocks(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, *, columns: int | None = None
) -> Iterator[Result]:
    """function(item) for every item, in order, at most a few items ahead; BLAS is held to one thread meanwhile.

    Args:
        function: what to do with each item.
        items: blocks of rows.
        workers: threads; None = all processors.
        columns: of the blocks, where known.
    """
    threads = thread_count(workers)
    with one_blas_thread(columns):
        yield from map(function, items) if threads == 1 else _map_threads(function, items, threads)


def _map_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    pool = _pool(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def one_blas_thread(columns: int | None = None) -> AbstractContextManager[object]:
    """While it lasts BLAS uses one thread: results do not depend on threads. It does so by itself for few columns."""
    few = columns is not None and columns < _FEW_COLUMNS
    return nullcontext() if few else _blas().limit(limits=1, user_api="blas")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mixsci")


if hasattr(os, "register_at_fork"):
    # A forked child has the pool but not its threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
