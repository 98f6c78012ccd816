"""Is lambda unbiased? 200 simulated ladders for every law and rate: `python -m tests.lambda_bias` (two processes)."""

from __future__ import annotations

import sys
import time
from itertools import product
from multiprocessing import get_context

import numpy as np

import mixsci as mx

ROWS, SPACING, GROUPS = 10_000, 4.0, 4
RATES, LASTS = (0.01, 0.1, 1.0, 2.0, 4.0), ("tail", "truncated", "open")
#: Components of an open law: P(k >= K) < 1e-9 for every rate above.
OPEN = {0.01: 5, 0.1: 7, 1.0: 13, 2.0: 17, 4.0: 23}


def classes(last: str, rate: float) -> int:
    """Components of the ladder."""
    return OPEN[rate] if last == "open" else 5


def draw(rng: np.random.Generator, last: str, rate: float, *, hard: bool) -> tuple[mx.Observations, np.ndarray]:
    """A ladder drawn by the law as the model takes it (hard: with gaps, errors and groups), and lambda per group."""
    k = classes(last, rate)
    rates = rate * np.array([0.5, 1.0, 1.5, 2.0]) if hard else np.array([rate])
    codes = np.arange(ROWS) % len(rates)
    weights = mx.weights.Poisson(last).weights(rates, k).cumsum(axis=1)
    copies = (rng.random(ROWS)[:, None] > weights[codes]).sum(axis=1)
    # Two channels where values may be missing: one of them then still tells.
    d = 2 if hard else 1
    v = SPACING * copies[:, None] + rng.normal(size=(ROWS, d))
    if not hard:
        return mx.Observations(v), rates
    sigma = rng.uniform(0.2, 0.8, size=v.shape)
    x = v + sigma * rng.normal(size=v.shape)
    x[rng.random(x.shape) < 0.2] = np.nan
    return mx.Observations(x, mx.noise.from_errors(sigma), groups=codes), rates


def estimate(obs: mx.Observations, last: str, rate: float) -> np.ndarray:
    """lambda of every group, from a start on the ladder."""
    k, d = classes(last, rate), obs.n_dims
    design = np.zeros((k, d, 2 * d))
    for j in range(d):
        design[:, j, j], design[:, j, d + j] = 1.0, np.arange(k)
    model = mx.Model(k, covariance="tied", weights=mx.weights.Poisson(last), means=mx.means.Ladder(design))
    means = np.repeat(SPACING * np.arange(k)[:, None], d, axis=1)
    start = mx.Mixture(np.full(k, 1 / k), means, np.tile(np.eye(d), (k, 1, 1)), rates=rate)
    return np.atleast_1d(mx.fit(model, obs, start=start, tol=1e-8, workers=1).mixture.rates)


def z_score(last: str, rate: float, *, runs: int, hard: bool = False, seed: int = 0) -> float:
    """The mean error of lambda over the runs (and groups, relative to each one's lambda), in its standard errors."""
    rng = np.random.default_rng([seed, LASTS.index(last), RATES.index(rate), hard])
    errors = []
    for _ in range(runs):
        obs, truth = draw(rng, last, rate, hard=hard)
        errors.append((estimate(obs, last, rate) / truth - 1).mean())
    return float(np.mean(errors) / (np.std(errors, ddof=1) / np.sqrt(runs)))


def _case(case: tuple[str, float, bool]) -> str:
    last, rate, hard = case
    began = time.perf_counter()
    z = z_score(last, rate, runs=200, hard=hard)
    what = "gaps, noise, groups" if hard else "complete"
    verdict, seconds = "" if abs(z) < 4 else "BIASED ", time.perf_counter() - began
    return f"{last:10s} lambda {rate:<5g} {what:20s} z = {z:+.2f}  {verdict}{seconds:.0f} s"


def main() -> int:
    """Print z of every case; 1 if any is biased."""
    cases = [*product(LASTS, RATES, (False,)), *product(("tail",), RATES, (True,))]
    failed = False
    with get_context("spawn").Pool(2) as pool:
        for line in pool.imap(_case, cases):
            print(line, flush=True)
            failed |= "BIASED" in line
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
