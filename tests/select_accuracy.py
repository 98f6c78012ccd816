"""Is the number of components found, and is the test of it honest? `python -m tests.select_accuracy` (two processes).

Two questions, with their bars:

    number  of 200 sets of one to six well-separated components (`tests.separated`), complete and with 30 % of values
            missing, BIC over K = 1 to 8 finds the true K in 95 % or more
    size    rows drawn from one Gaussian, and from two: the bootstrap test of K against K + 1 at 0.05 rejects the truth
            in 0.05 +- 0.015 of 1,000 sets, with 99 replicates

The test stops early, which never changes its decision. `--only number`, `--runs 100` for a part; exit code 1 where a
bar does not hold. About twenty minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

import mixsci as mx
from tests.separated import separated_set

SETS, LEAST_FOUND, OFFERED, STARTS = 200, 0.95, range(1, 9), 3
TESTS, LEVEL, MARGIN, REPLICATES = 1000, 0.05, 0.015, 99
#: Rows, and standard deviations between two components, of the sets whose null is true.
NULLS = {1: (100, 0.0), 2: (100, 5.0)}
_SEED = 20261128


def found(gaps: float, seed: int) -> tuple[int, int]:
    """The number that BIC takes for a set, and the true one."""
    obs, k = separated_set(seed, gaps)
    return mx.select(obs, OFFERED, "full", starts=STARTS, rng=seed, workers=1).minimum, k


def rejected(k: int, seed: int) -> bool:
    """Whether the test calls for a component more than the K that a set has."""
    rng, (n, apart) = np.random.default_rng([_SEED, k, seed]), NULLS[k]
    x = rng.normal(size=(n, 1)) + apart * (rng.random((n, 1)) < 0.5) * (k > 1)
    null, alternative = (mx.Model(number, covariance="tied") for number in (k, k + 1))
    test = mx.likelihood_ratio_test(
        x, null, alternative, REPLICATES, starts=2, tol=1e-4, level=LEVEL, early_stop=True, rng=seed, workers=1
    )
    return test.p_value <= LEVEL


def number(pool: Any, runs: int) -> bool:
    """The share of sets whose number is found."""
    holds = True
    for gaps in (0.0, 0.3):
        start, answers = time.perf_counter(), each(pool, partial(found, gaps), runs)
        right = np.mean([guess == truth for guess, truth in answers])
        missed = sorted((truth, guess) for guess, truth in answers if guess != truth)
        holds &= bool(right >= LEAST_FOUND)
        print(
            f"number  {gaps:4.0%} missing  {runs} sets  found in {right:6.1%} (at least {LEAST_FOUND:.0%})  "
            f"{time.perf_counter() - start:.0f} s" + (f"  (true, taken): {missed}" if missed else ""), flush=True,
        )  # fmt: skip
    return holds


def size(pool: Any, runs: int) -> bool:
    """The share of sets in which the truth is rejected."""
    holds = True
    for k in NULLS:
        start = time.perf_counter()
        share = float(np.mean(each(pool, partial(rejected, k), runs)))
        holds &= abs(share - LEVEL) <= MARGIN
        error = np.sqrt(share * (1 - share) / runs)
        print(
            f"size    K = {k} against {k + 1}  {runs} sets  rejected in {share:.3f} +- {error:.3f} "
            f"({LEVEL} +- {MARGIN})  {time.perf_counter() - start:.0f} s", flush=True,
        )  # fmt: skip
    return holds


def each(pool: Any, function: Callable[[int], Any], runs: int) -> list[Any]:
    """What a function gives for every seed, in any order."""
    answers: Iterable[Any] = pool.imap_unordered(function, range(runs), chunksize=1)
    return list(answers)


QUESTIONS: dict[str, tuple[Callable[[Any, int], bool], int]] = {"number": (number, SETS), "size": (size, TESTS)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(QUESTIONS))
    parser.add_argument("--runs", type=int, help="sets of each question, for a trial")
    arguments = parser.parse_args()
    asked = [arguments.only] if arguments.only else list(QUESTIONS)
    with get_context("spawn").Pool(2) as pool:
        answers = [QUESTIONS[name][0](pool, arguments.runs or QUESTIONS[name][1]) for name in asked]
    print("the bars hold" if all(answers) else "the bars do NOT hold")
    return 0 if all(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
