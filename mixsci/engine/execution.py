"""One map over blocks, serial, threads or Dask; results come in order, so sums do not depend on who did the work."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from numbers import Integral
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from mixsci.errors import DataError, FormatError

if TYPE_CHECKING:
    from distributed import Client

    #: Who works: a number of threads, a client of dask.distributed, or None for what there is.
    Workers = int | Client | None
else:
    Workers = Any

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Blocks in flight per thread: enough to keep threads busy, few enough to keep memory small.
_AHEAD = 2
_FEW_COLUMNS = 16
#: Results fetched from a Dask client at once.
_FETCHED = 64
#: Errors that are sentences for the user already.
_OURS = (DataError, FormatError)


class Run(NamedTuple):
    """Blocks of rows that follow one another and lie in one place; runs are numbered from 0."""

    number: int
    blocks: Iterable[Any]


def thread_count(workers: Workers) -> int:
    """Threads to use here: the number asked for, or the processors this process may use."""
    if workers is None or _is("distributed.Client", workers):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise DataError(
            f"workers must be a number of threads, 1 or more, or a client of dask.distributed; got {workers!r}"
        )
    return int(workers)


def map_runs(
    function: Callable[[Run], Result], source: Any, workers: Workers = None, *, columns: int | None = None
) -> Iterator[Result]:
    """function(run) for all rows of a source, in order, done where the rows lie.

    A source with a `map` of its own is asked for it; the blocks of any other are runs of one block each, worked on by
    threads of this process, also where `workers` is a Dask client: rows in its memory are not sent anywhere.

    Args:
        function: what to do with each run; for a Dask client it must be one that can be sent.
        source: anything with `blocks()`, perhaps with `map(function, workers)`.
        workers: who works; None = all processors, or the active Dask client for rows in Dask.
        columns: of the blocks, where known.
    """
    own = getattr(source, "map", None)
    if own is not None:
        yield from own(function, workers)
        return
    runs = (Run(number, (block,)) for number, block in enumerate(source.blocks()))
    yield from map_blocks(function, runs, thread_count(workers), columns=columns)


def map_blocks(
    function: Callable[[Item], Result], items: Iterable[Item], workers: Workers = None, *, columns: int | None = None
) -> Iterator[Result]:
    """function(item) for every item, in order, at most a few items ahead; BLAS is held to one thread meanwhile.

    Args:
        function: what to do with each item.
        items: blocks of rows.
        workers: threads; None = all processors.
        columns: of the blocks, where known.
    """
    threads = thread_count(workers)

    def work(item: Item) -> Result:
        with one_blas_thread(columns):
            return function(item)

    with one_blas_thread(columns):
        yield from map(function, items) if threads == 1 else _map_threads(work, items, threads)


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
    return nullcontext() if few else _one_blas_thread()


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    _EVERYONE.enter()
    try:
        # Some libraries are limited thread by thread: everyone does it for itself.
        with _blas().limit(limits=1, user_api="blas"):
            yield
    finally:
        _EVERYONE.leave()


class _Everyone:
    """Holds libraries that are limited as a whole to one thread while anyone is inside; the last to leave lets go.

    They obey the thread that limited them first, so one thread does it for all.
    """

    def __init__(self) -> None:
        self.inside = 0
        self.limit: Any = None
        self.renew()

    def renew(self) -> None:
        self.lock, self.keeper = Lock(), ThreadPoolExecutor(1, thread_name_prefix="mixsci-blas")

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit = self.keeper.submit(lambda: _blas().limit(limits=1, user_api="blas").__enter__()).result()
            self.inside += 1

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                # When Python ends there may be no thread to do it, and no need.
                with suppress(RuntimeError):
                    self.keeper.submit(self.limit.__exit__, None, None, None).result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mixsci")


@cache
def _blas() -> ThreadpoolController:
    # SciPy, and Numba through it, has a BLAS of its own: what is loaded later would not be found.
    import_module("scipy.linalg")
    return ThreadpoolController()


_EVERYONE = _Everyone()
if hasattr(os, "register_at_fork"):
    # A forked child has the pools but not their threads.
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=_EVERYONE.renew)


# Dask


@dataclass(frozen=True, eq=False, repr=False)
class DaskSource:
    """Rows in the partitions of a Dask collection, which stay where they are: the work is sent to them.

    With a client of dask.distributed every partition is converted once, by a worker, and kept there as long as this
    source lives; only mixtures and sums travel. Without one the partitions are made and converted anew in every pass,
    by threads of this process and no more of them at a time than threads. The results are the same to the last bit.

    Args:
        parts: a dask array (its chunks of rows), data frame, series or bag; a list of delayed objects; or several
            collections by name whose rows belong together, the value of a partition is then a dictionary.
        convert: what the value of a partition is as `Observations`; it must be one that can be sent to workers.

    Example:
        >>> import dask, numpy as np, mixsci as mx
        >>> parts = [dask.delayed(np.full)((10, 1), float(i)) for i in range(3)]
        >>> source = DaskSource(parts, mx.Observations)
        >>> sum(len(block) for block in source.blocks())
        30
    """

    parts: Any
    convert: Callable[[Any], Any]
    delayed: list[Any] = field(init=False)
    kept: dict[Client, list[Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.convert):
            raise DataError(
                f"convert must be a function from a partition to Observations; got {type(self.convert).__name__}"
            )
        several = isinstance(self.parts, Mapping)
        object.__setattr__(self, "delayed", side_by_side(self.parts) if several else partitions(self.parts))

    def __repr__(self) -> str:
        return f"DaskSource({len(self.delayed)} partitions)"

    def __reduce__(self) -> tuple[Any, ...]:
        return DaskSource, (self.parts, self.convert)

    def blocks(self) -> Iterator[Any]:
        """The rows in blocks, brought into this process one partition after the other."""
        for found in self.map(_blocks_of, _client_for(None) or 1):
            yield from found

    def map(self, function: Callable[[Run], Result], workers: Workers = None) -> Iterator[Result]:
        """function(run) for every partition, in order; see `map_runs`."""
        client = _client_for(workers)
        found = self._here(function, thread_count(workers)) if client is None else self._there(function, client)
        for result in found:
            if isinstance(result, Exception):
                raise result
            yield result

    def _here(self, function: Callable[[Run], Result], threads: int) -> Iterator[Result | Exception]:
        from dask.base import compute
        from dask.local import get_sync

        def work(at: tuple[int, Any]) -> Result | Exception:
            (part,) = compute(at[1], scheduler=get_sync)
            return _work(function, _convert(self.convert, part, at[0]), at[0])

        if _holds_futures(self.parts):
            raise DataError("rows that lie on a Dask cluster must be worked on there: pass its client as workers=")
        yield from map_blocks(work, enumerate(self.delayed), threads)

    def _there(self, function: Callable[[Run], Result], client: Client) -> Iterator[Result | Exception]:
        from distributed import wait

        if not self.delayed:
            return
        rows, numbers = self._rows(client), range(len(self.delayed))
        # Sent once and from worker to worker, not once for every partition.
        sent = client.submit(_same, function, pure=False)
        results = client.map(_work, [sent] * len(rows), rows, numbers, pure=False)
        try:
            for start in range(0, len(results), _FETCHED):
                fetched = results[start : start + _FETCHED]
                # Ctrl-C while it gathers makes the client complain for every result.
                with client.as_current():
                    wait(fetched)
                yield from client.gather(fetched)
        finally:
            sent.release()
            for result in results:
                result.release()

    def _rows(self, client: Client) -> list[Any]:
        """The converted partitions on the workers: those of an earlier pass while they are there."""
        kept = self.kept.get(client)
        if kept is None or any(rows.status not in ("pending", "finished") for rows in kept):
            from dask.delayed import delayed

            work, convert = delayed(_convert, pure=False), delayed(self.convert, pure=False, traverse=False)
            kept = client.compute([work(convert, part, i) for i, part in enumerate(self.delayed)])
            self.kept[client] = kept
        return kept


def partitions(rows: Any) -> list[Any]:
    """Delayed objects, one for each partition: chunks of rows of a dask array, parts of a data frame, series or bag.

    Raises:
        DataError: what is neither a Dask collection nor a list of delayed objects.
    """
    if _is("dask.array.Array", rows):
        rows = rows.rechunk(dict.fromkeys(range(1, rows.ndim), -1))
        # The optimiser forgets results that a cluster holds already.
        parts = rows.to_delayed(optimize_graph=not _holds_futures(rows))
    else:
        parts = rows if _is("dask.delayed.Delayed", rows) or not hasattr(rows, "to_delayed") else rows.to_delayed()
    parts = parts.ravel().tolist() if isinstance(parts, np.ndarray) else parts
    if not isinstance(parts, Sequence) or not all(_is("dask.delayed.Delayed", part) for part in parts):
        raise DataError(
            "partitions must be a dask array, data frame, series or bag, or a list of delayed objects; "
            f"got {type(rows).__name__}"
        )
    return list(parts)


def side_by_side(named: Mapping[str, Any]) -> list[Any]:
    """Delayed dictionaries name -> value, one for each partition, of collections whose rows belong together.

    Raises:
        DataError: other partitions than those of the first collection.
    """
    from dask.delayed import delayed

    (first, model), *_ = named.items()
    parts = {name: partitions(_cut_like(model, rows, first, name)) for name, rows in named.items()}
    counts = {name: len(found) for name, found in parts.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"everything in Dask must have the partitions of {first}; got {counts} of them")
    return [delayed(dict)(**dict(zip(parts, row, strict=True))) for row in zip(*parts.values(), strict=True)]


def _cut_like(model: Any, rows: Any, first: str, name: str) -> Any:
    """The rows of a collection cut where those of the first one are, as far as it is known where that is."""
    if all(_is("dask.array.Array", collection) for collection in (model, rows)):
        wanted, chunks = model.chunks[0], rows.chunks[0]
        if np.isnan(sum(wanted) + sum(chunks)) or wanted == chunks:
            return rows
        if sum(wanted) != sum(chunks):
            raise DataError(f"{name} must have the {sum(wanted)} rows of {first}; got {sum(chunks)}")
        return rows.rechunk({0: wanted})
    known = all(getattr(collection, "known_divisions", False) for collection in (model, rows))
    if known and model.divisions != rows.divisions:
        raise DataError(f"{name} must have the divisions of {first}: take both from one data frame, or repartition one")
    return rows


def _convert(convert: Callable[[Any], Any], part: Any, number: int) -> Any:
    """Partition `number` as observations, or the error that says why it cannot be: no worker fails over it."""
    try:
        rows = convert(part)
    except _OURS as error:
        return _named(error, number)
    if callable(getattr(rows, "blocks", None)):
        return rows
    return _named(DataError(f"convert must give Observations; got {type(rows).__name__}"), number)


def _work(function: Callable[[Run], Result], rows: Any, number: int) -> Result | Exception:
    """function(run) of a converted partition, or the error in it."""
    if isinstance(rows, Exception):
        return rows
    try:
        with one_blas_thread():
            return function(Run(number, rows.blocks()))
    except _OURS as error:
        return _named(error, number)


def _named(error: Exception, number: int) -> Exception:
    return type(error)(f"partition {number}: {error}")


def _same(function: Callable[[Run], Result]) -> Callable[[Run], Result]:
    return function


def _blocks_of(run: Run) -> list[Any]:
    return list(run.blocks)


def is_dask(rows: Any) -> bool:
    """Whether it is a Dask collection or a delayed object."""
    return hasattr(rows, "__dask_graph__")


def _is(kind: str, value: Any) -> bool:
    """Whether it is of a kind of Dask's, which can only be where its module is loaded."""
    module, _, name = kind.rpartition(".")
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def _client_for(workers: Workers) -> Client | None:
    """The client to work for rows in Dask: the one given, or without any word the active one."""
    if workers is None and "distributed" in sys.modules:
        from distributed import default_client

        try:
            active = default_client()
        except ValueError:
            return None
        return None if active.asynchronous else active
    if not _is("distributed.Client", workers):
        return None
    client: Any = workers
    if client.asynchronous or client.status != "running":
        raise DataError(f"a Dask client must be running and synchronous; this one is {client.status}: connect anew")
    return client


def _holds_futures(parts: Any) -> bool:
    """Whether results that lie on a cluster stand in the graph of Dask collections."""
    if isinstance(parts, Mapping):
        return any(_holds_futures(rows) for rows in parts.values())
    if not is_dask(parts):
        # Delayed objects of one collection share their graph.
        return any(_holds_futures(part) for part in partitions(parts)[:1])
    graph = dict(parts.__dask_graph__()) if "distributed" in sys.modules else {}
    return any(_is("distributed.Future", value) for value in graph.values())
