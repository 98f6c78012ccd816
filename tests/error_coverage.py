"""How often standard errors hold the truth: `python -m tests.error_coverage` (two processes); --runs N is short.

Each problem is simulated 2,000 times with 2,000 rows, fitted, and every 95 % interval value -+ 1.96 standard errors is
looked at: means, logarithms of variances, log-odds of weights and log lambda. Each must hold the truth in 93.5 to
96.5 % of the sets, all together in 94.3 to 95.7 %. Fits start at the truth, so that components keep their names; on the
first sets of each problem fits from starts of their own must end there, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

import mixsci as mx

Array = np.ndarray

ROWS, RUNS, LEVEL = 2_000, 2_000, 0.95
CELL, POOLED = (0.935, 0.965), (0.943, 0.957)
#: Sets of each problem on which ordinary fits are compared, and the nats by which they may differ.
COMPARED, SAME = 10, 1e-3

CLUSTERS = mx.Mixture(
    [0.4, 0.6], [[0.0, 0.0], [6.0, -5.0]], [[[1.0, 0.4], [0.4, 0.8]], [[1.5, -0.5], [-0.5, 1.0]]]
)  # fmt: skip
RATE, SPACING = 1.0, 6.0


def _ladder() -> tuple[mx.Model, mx.Mixture]:
    """Classes of 0, 1, 2 and 3 or more copies, evenly spaced along one direction, all equally wide."""
    copies = np.arange(4)
    design = np.zeros((4, 2, 4))
    for j in range(2):
        design[:, j, j], design[:, j, 2 + j] = 1.0, copies
    law, theta = mx.weights.Poisson("tail"), np.array([1.0, 2.0, SPACING, SPACING / 2])
    model = mx.Model(4, covariance="tied", weights=law, means=mx.means.Ladder(design))
    spread = np.tile([[1.0, 0.3], [0.3, 1.0]], (4, 1, 1))
    weights = law.weights(np.array([RATE]), 4)[0]
    return model, mx.Mixture(weights, design @ theta, spread, rates=RATE, theta=theta)


@dataclass(frozen=True)
class Problem:
    """A model, its truth, and how rows are seen."""

    model: mx.Model
    truth: mx.Mixture
    numbers: dict[str, Callable[[mx.Mixture], Array]]
    gaps: float = 0.0
    errors: tuple[float, float] | None = None

    def draw(self, rng: np.random.Generator) -> mx.Observations:
        """A set of rows."""
        noise = None if self.errors is None else mx.noise.from_errors(rng.uniform(*self.errors, size=(ROWS, 2)))
        return mx.simulate.rows(self.truth, ROWS, noise=noise, gaps=self.gaps, rng=rng).observations

    def all_numbers(self, mixture: mx.Mixture) -> Array:
        """What intervals are asked for, one after the other."""
        return np.concatenate([np.ravel(number(mixture)) for number in self.numbers.values()])


def variances(mixture: mx.Mixture) -> Array:
    """(K, D) logarithms."""
    return np.log(np.diagonal(mixture.covariances, axis1=1, axis2=2))


#: Each number once: weights of two components have one log-odds, tied covariances are those of the first.
OF_CLUSTERS = {
    "mean": lambda mixture: mixture.means,
    "log variance": variances,
    "log-odds of a weight": lambda mixture: np.log(mixture.weights[0] / mixture.weights[1]),
}
OF_LADDER = {
    "mean": lambda mixture: mixture.means[[0, -1]],
    "log variance": lambda mixture: variances(mixture)[0],
    "log-odds of a weight": lambda mixture: np.log(mixture.weights[0] / (1.0 - mixture.weights[0])),
    "log lambda": lambda mixture: np.log(mixture.rates),
}
PROBLEMS = {
    "plain": Problem(mx.Model(2), CLUSTERS, OF_CLUSTERS),
    "gaps": Problem(mx.Model(2), CLUSTERS, OF_CLUSTERS, gaps=0.3),
    "noise": Problem(mx.Model(2), CLUSTERS, OF_CLUSTERS, errors=(0.2, 1.2)),
    "linked weights": Problem(*_ladder(), OF_LADDER),
}


def held(name: str, run: int) -> Array:
    """Whether each interval holds the truth, for one set."""
    problem = PROBLEMS[name]
    obs = problem.draw(np.random.default_rng([list(PROBLEMS).index(name), run]))
    fit = mx.fit(problem.model, obs, start=problem.truth, tol=1e-9, workers=1)
    sure, truth = mx.standard_errors(fit, obs, workers=1), problem.all_numbers(problem.truth)
    low, high = sure.interval(problem.all_numbers, LEVEL)
    return (low <= truth) & (truth <= high)


def apart(name: str, run: int) -> float:
    """Nats by which a fit from its own starts ends higher than one that starts at the truth."""
    problem = PROBLEMS[name]
    obs = problem.draw(np.random.default_rng([list(PROBLEMS).index(name), run]))
    ours = mx.fit(problem.model, obs, start=problem.truth, tol=1e-9, workers=1)
    return mx.fit(problem.model, obs, tol=1e-9, rng=run, workers=1).objective - ours.objective


def labels(name: str) -> list[str]:
    """What each number of a problem is."""
    problem = PROBLEMS[name]
    return [
        f"{what} {index + 1}" if np.size(number(problem.truth)) > 1 else what
        for what, number in problem.numbers.items()
        for index in range(np.size(number(problem.truth)))
    ]


def main() -> int:
    """Print the share of every cell; 1 if a bar does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="sets of each problem, for a short trial")
    runs, failed, everything = parser.parse_args().runs, False, []
    with get_context("spawn").Pool(2) as pool:
        for name in PROBLEMS:
            began = time.perf_counter()
            found = np.array(pool.map(partial(held, name), range(runs), chunksize=10))
            for label, share in zip(labels(name), found.mean(axis=0), strict=True):
                failed |= not CELL[0] <= share <= CELL[1]
                print(f"{name:15s} {label:24s} {_verdict(share, CELL)}", flush=True)
            everything.append(found)
            worst = np.abs(pool.map(partial(apart, name), range(min(COMPARED, runs)))).max()
            failed |= worst > SAME
            print(f"{name:15s} fits from their own starts end within {worst:.1e} nats, bar {SAME:g}", flush=True)
            print(f"{name:15s} {runs} sets of {ROWS} rows, {time.perf_counter() - began:.0f} s", flush=True)
    share = float(np.concatenate([found.ravel() for found in everything]).mean())
    failed |= not POOLED[0] <= share <= POOLED[1]
    print(f"{'all':40s} {_verdict(share, POOLED)}")
    return int(failed)


def _verdict(share: float, bar: tuple[float, float]) -> str:
    holds = "holds" if bar[0] <= share <= bar[1] else "FAILS"
    return f"{100 * share:6.2f} %  bar {100 * bar[0]:g} to {100 * bar[1]:g}  {holds}"


if __name__ == "__main__":
    sys.exit(main())
