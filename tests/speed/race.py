"""Interleaved timing of several packages on one problem: first one, then the other, again and again."""

import gc
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from .problems import Array, Parameters, Problem
from .rivals import Climb, first_line, load
from .threads import THREADS


@dataclass
class Lane:
    """One package on one problem: its times, its result, or the error that ended its race."""

    file: str
    problem: Problem
    passes: int
    name: str = ""
    short: list[float] = field(default_factory=list)
    long: list[float] = field(default_factory=list)
    result: Parameters | None = None
    error: str | None = None
    climb: Climb | None = None

    def enter(self) -> None:
        """Make ready, and run one pass unseen: compilation and first touches are not timed."""
        self.name = self.file
        rival = load(self.file)
        self.name = rival.NAME
        self.climb = rival.prepare(self.problem)
        self.climb(1)

    def run(self) -> None:
        """Time a climb of one pass and one that is longer by `passes`."""
        assert self.climb is not None
        seconds, _ = clock(self.climb, 1)
        self.short.append(seconds)
        seconds, self.result = clock(self.climb, 1 + self.passes)
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


def race(files: list[str], problem: Problem, passes: int, repeats: int) -> list[Lane]:
    """The lanes after so many rounds. Setting-up cancels: a pass is the difference of two climbs over their passes."""
    lanes = [Lane(file, problem, passes) for file in files]
    with threadpool_limits(THREADS):
        for lane in lanes:
            attempt(lane, Lane.enter)
        for _ in range(repeats):
            for lane in lanes:
                attempt(lane, Lane.run)
    return lanes


def attempt(lane: Lane, step) -> None:
    """Take a step unless the lane has failed; a rival that raises keeps its row, with the error."""
    if lane.error is None:
        try:
            step(lane)
        except Exception as error:
            lane.error = first_line(error)


def disagreement(one: Parameters, other: Parameters, x: Array) -> float:
    """Largest difference of any weight, mean or covariance, in units of the spread of the columns."""
    scale = x.std(axis=0)
    return max(
        np.abs(one.weights - other.weights).max(),
        np.abs((one.means - other.means) / scale).max(),
        np.abs((one.covariances - other.covariances) / np.outer(scale, scale)).max(),
    )
