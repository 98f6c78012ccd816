"""Interleaved timing of several packages on one problem: first one, then the other, again and again."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from .problems import Array, Parameters, Problem
from .rivals import Climb, first_line, load
from .threads import THREADS


@dataclass
class Lane:
    """One package on one problem: its times, the result of its first pass, or the error that ended its race."""

    file: str
    problem: Problem
    passes: int
    blas_threads: int = THREADS
    name: str = ""
    short: list[float] = field(default_factory=list)
    long: list[float] = field(default_factory=list)
    first: Parameters | None = None
    error: str | None = None
    climb: Climb | None = None

    def enter(self) -> None:
        """Make ready, and run one pass unseen: compilation and first touches are not timed."""
        self.climb = load(self.file).prepare(self.problem)
        self.climb(1)

    def run(self) -> None:
        """Time a climb of one pass and one that is longer by `passes`."""
        assert self.climb is not None
        seconds, self.first = clock(self.climb, 1)
        self.short.append(seconds)
        seconds, _ = clock(self.climb, 1 + self.passes)
        self.long.append(seconds)

    @property
    def best(self) -> float:
        """Seconds per pass from the quickest climbs: a busy machine only ever adds time."""
        return (min(self.long) - min(self.short)) / self.passes if self.long else np.nan

    @property
    def typical(self) -> float:
        """Seconds per pass, median over the repeats."""
        return float(np.median(np.subtract(self.long, self.short))) / self.passes if self.long else np.nan


def clock(climb: Climb, passes: int) -> tuple[float, Parameters]:
    """Wall seconds of a climb, and where it arrived."""
    gc.collect()
    begin = perf_counter()
    result = climb(passes)
    return perf_counter() - begin, result


def race(files: list[str], problem: Problem, passes: int, repeats: int) -> list[list[Lane]]:
    """The lanes of every file after so many rounds, the quickest lane of a file first.

    Setting-up cancels: a pass is the difference of two climbs, divided by the difference of their passes.
    """
    lanes = [lanes_of(file, problem, passes) for file in files]
    for step in [Lane.enter, *[Lane.run] * repeats]:
        for lane in chain(*lanes):
            attempt(lane, step)
    return [sorted(group, key=lambda lane: (lane.error is not None, lane.best)) for group in lanes]


def lanes_of(file: str, problem: Problem, passes: int) -> list[Lane]:
    """One lane for every number of BLAS threads that the package is tried with."""
    try:
        package = load(file)
    except Exception as error:
        return [Lane(file, problem, passes, name=file, error=first_line(error))]
    return [Lane(file, problem, passes, threads, name=package.NAME) for threads in package.BLAS_THREADS]


def attempt(lane: Lane, step: Callable[[Lane], None]) -> None:
    """Take a step unless the lane has failed; a package that raises keeps its row, with the error."""
    if lane.error is None:
        try:
            with threadpool_limits(lane.blas_threads):
                step(lane)
        except Exception as error:
            lane.error = first_line(error)


def disagreement(one: Parameters, other: Parameters, x: Array) -> tuple[float, float]:
    """Largest difference of any mean and of any covariance, in units of the spread of the columns."""
    scale = x.std(axis=0)
    means = np.abs((one.means - other.means) / scale).max()
    return means, np.abs((one.covariances - other.covariances) / np.outer(scale, scale)).max()
