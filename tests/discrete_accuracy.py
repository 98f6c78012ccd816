"""Size, power and intervals of `discrete_or_continuous`: `python -m tests.discrete_accuracy` (two processes).

Size: sets of three discrete types blurred by a known error (or one found from two repeats), p <= 0.05 in 3.5 to 6.5 %.
Power: the intrinsic variance equals the error's, n = 500, p <= 0.05 in more than 90 %.
Interval: it holds the intrinsic variance, as large as the error's, in 92.5 to 97.5 %.
Options: --runs N, a short trial; --only size, power or interval.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

import mixsci as mx

Array = np.ndarray

TYPES, SHARES, ERROR = np.array([8.0, 10.0, 12.5]), (0.5, 0.3, 0.2), 0.5
LEVEL, N_BOOT = 0.05, 99


@dataclass(frozen=True)
class Case:
    """What is simulated and asked, how often, and the share of sets of which it may be so."""

    name: str
    ask: str
    runs: int
    n: int
    intrinsic: float
    low: float
    high: float
    repeats: bool = False


CASES = (
    Case("size, error known", "rejects", 1000, 200, 0.0, 0.035, 0.065),
    Case("size, two repeats", "rejects", 1000, 200, 0.0, 0.035, 0.065, repeats=True),
    Case("power, error known", "rejects", 100, 500, ERROR, 0.9, 1.0),
    Case("power, two repeats", "rejects", 100, 500, ERROR, 0.9, 1.0, repeats=True),
    Case("interval, error known", "holds", 400, 200, ERROR, 0.925, 0.975),
    Case("interval, two repeats", "holds", 400, 200, ERROR, 0.925, 0.975, repeats=True),
)


def draw(seed: list[int], n: int, intrinsic: float, *, repeats: bool) -> Array:
    """(n,) values with the known error, or (n, 2) repeats whose mean has it."""
    rng = np.random.default_rng(seed)
    things = rng.choice(TYPES, size=n, p=SHARES) + rng.normal(0.0, intrinsic, size=n)
    if repeats:
        return things[:, None] + rng.normal(0.0, ERROR * np.sqrt(2.0), size=(n, 2))
    return things + rng.normal(0.0, ERROR, size=n)


def _answer(run: int, *, n: int, intrinsic: float, repeats: bool, seed: int, n_boot: int) -> mx.Discreteness:
    x = draw([seed, run, n, repeats], n, intrinsic, repeats=repeats)
    return mx.discrete_or_continuous(
        x, None if repeats else ERROR, len(TYPES), repeats=repeats, n_boot=n_boot, level=LEVEL, early_stop=True,
        starts=4, rng=run, workers=1,
    )  # fmt: skip


def rejects(run: int, **options: Any) -> bool:
    """Whether discrete types are rejected."""
    return _answer(run, n_boot=N_BOOT, **options).p_value <= LEVEL


def holds(run: int, **options: Any) -> bool:
    """Whether the interval holds the intrinsic variance; the p-value is not looked at."""
    low, high = _answer(run, n_boot=19, **options).interval[0]
    return bool(low <= options["intrinsic"] ** 2 <= high)


ASKED = {"rejects": rejects, "holds": holds}


def share(
    ask: str, *, runs: int, intrinsic: float, n: int, repeats: bool = False, seed: int = 0, workers: int = 2
) -> float:
    """Share of the sets of which it is so."""
    one = partial(ASKED[ask], n=n, intrinsic=intrinsic, repeats=repeats, seed=seed)
    if workers == 1:
        return float(np.mean([one(run) for run in range(runs)]))
    with get_context("spawn").Pool(workers) as pool:
        return float(np.mean(pool.map(one, range(runs), chunksize=4)))


def main() -> int:
    """Print the share of every case; 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=None, help="sets of each case, for a short trial")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    asked, failed = parser.parse_args(), False
    for case in CASES:
        if not case.name.startswith(asked.only):
            continue
        began, runs = time.perf_counter(), asked.runs or case.runs
        found = share(case.ask, runs=runs, intrinsic=case.intrinsic, n=case.n, repeats=case.repeats)
        kept = case.low <= found <= case.high
        failed |= not kept
        print(
            f"{case.name:22s} n {case.n:4d}  {case.ask:7s} {found:.3f}  bar {case.low:g} to {case.high:g}  "
            f"{'holds' if kept else 'FAILS'}  {runs} sets, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
