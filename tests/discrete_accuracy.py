"""Size and power of `discrete_or_continuous`: `python -m tests.discrete_accuracy` (two processes); --runs N is short.

Size: sets of three discrete types blurred by a known error (or one found from two repeats), p <= 0.05 in 3.5 to 6.5 %.
Power: the intrinsic variance equals the error's, n = 500, p <= 0.05 in more than 90 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

import mixsci as mx

Array = np.ndarray

TYPES, SHARES, ERROR = np.array([8.0, 10.0, 12.5]), (0.5, 0.3, 0.2), 0.5
LEVEL, N_BOOT = 0.05, 99


@dataclass(frozen=True)
class Case:
    """What is simulated, how often, and the share of rejections that is allowed."""

    name: str
    runs: int
    n: int
    intrinsic: float
    low: float
    high: float
    repeats: bool = False


CASES = (
    Case("size, error known", 1000, 200, 0.0, 0.035, 0.065),
    Case("size, two repeats", 1000, 200, 0.0, 0.035, 0.065, repeats=True),
    Case("power, error known", 100, 500, ERROR, 0.9, 1.0),
    Case("power, two repeats", 100, 500, ERROR, 0.9, 1.0, repeats=True),
)


def draw(seed: list[int], n: int, intrinsic: float, *, repeats: bool) -> Array:
    """(n,) values with the known error, or (n, 2) repeats whose mean has it."""
    rng = np.random.default_rng(seed)
    things = rng.choice(TYPES, size=n, p=SHARES) + rng.normal(0.0, intrinsic, size=n)
    if repeats:
        return things[:, None] + rng.normal(0.0, ERROR * np.sqrt(2.0), size=(n, 2))
    return things + rng.normal(0.0, ERROR, size=n)


def _rejects(run: int, *, n: int, intrinsic: float, repeats: bool, seed: int) -> bool:
    x = draw([seed, run, n, repeats], n, intrinsic, repeats=repeats)
    answer = mx.discrete_or_continuous(
        x, None if repeats else ERROR, len(TYPES), repeats=repeats, n_boot=N_BOOT, level=LEVEL, early_stop=True,
        starts=4, rng=run, workers=1,
    )  # fmt: skip
    return answer.p_value <= LEVEL


def rejected(*, runs: int, intrinsic: float, n: int, repeats: bool = False, seed: int = 0, workers: int = 2) -> Array:
    """(runs,) whether discrete types were rejected."""
    ask = partial(_rejects, n=n, intrinsic=intrinsic, repeats=repeats, seed=seed)
    if workers == 1:
        return np.array([ask(run) for run in range(runs)])
    with get_context("spawn").Pool(workers) as pool:
        return np.array(pool.map(ask, range(runs), chunksize=4))


def main() -> int:
    """Print the share of rejections of every case; 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=None, help="sets of each case, for a short trial")
    asked, failed = parser.parse_args().runs, False
    for case in CASES:
        began = time.perf_counter()
        share = rejected(runs=asked or case.runs, intrinsic=case.intrinsic, n=case.n, repeats=case.repeats).mean()
        holds = case.low <= share <= case.high
        failed |= not holds
        print(
            f"{case.name:20s} n {case.n:4d}  rejected {share:.3f}  bar {case.low:g} to {case.high:g}  "
            f"{'holds' if holds else 'FAILS'}  {asked or case.runs} sets, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
