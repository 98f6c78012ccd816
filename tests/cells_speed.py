"""Seconds and memory of mixtures of factors behind many variables: `python -m tests.cells_speed`, a few minutes.

50,000 cells of 2,000 genes, half of the values missing, under ten components in twenty factors: seconds of an EM pass
and the peak of memory of the whole process, rows in single and in double precision; then a whole fit of 1,000 cells of
200 genes in five components and five factors. Beside them stands what people do without such a model: gaps at the mean
of their gene, then scikit-learn's PCA and GaussianMixture, whole. Each part has a process of its own on at most two
cores, kernels compiled before; of the short fit the fastest run counts. The exit code says whether all bars hold.
`--profile` shows where a pass takes its time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

import mixsci as mx
from tests.speed.memory import peak

CORES = 2
CELLS, GENES, COMPONENTS, FACTORS = 50_000, 2_000, 10, 20
PASS_S, PASS_GB = 12.0, 8.0
FEW_CELLS, FEW_GENES, FEW_COMPONENTS, FEW_FACTORS = 1_000, 200, 5, 5
FIT_S = 5.0
PASSES, CHUNK = 3, 2_000


def simulate(n: int, d: int, k: int, q: int, missing: float, kind: str) -> tuple[np.ndarray, mx.FactorMixture]:
    """Rows in chunks, so that nothing but they needs memory, and the mixture they come from."""
    rng = np.random.default_rng(1)
    truth = mx.FactorMixture(
        np.full(k, 1.0 / k), 1.5 * rng.normal(size=(k, q)), np.tile(0.5 * np.eye(q), (k, 1, 1)),
        loadings=rng.normal(size=(d, q)), intercept=rng.normal(size=d), uniquenesses=rng.uniform(0.5, 2.0, size=d),
    )  # fmt: skip
    x = np.empty((n, d), dtype=kind)
    for start in range(0, n, CHUNK):
        part = x[start : start + CHUNK]
        part[:] = truth.sample(len(part), rng=rng)[0]
        part[rng.random(part.shape) < missing] = np.nan
    return x, truth


def passes(kind: str, *, profiled: bool = False) -> dict[str, Any]:
    """Seconds of every EM pass over many cells, and the peak of memory in GB."""
    x, truth = simulate(CELLS, GENES, COMPONENTS, FACTORS, 0.5, kind)
    model, climb = mx.FactorModel(COMPONENTS, FACTORS), cProfile.Profile()
    next(mx.iterate(model, x[:500], start=truth))
    began = time.perf_counter()
    states = mx.iterate(model, mx.Observations(x), start=truth)
    first, seconds = next(states), []
    read = time.perf_counter() - began
    with climb if profiled else nullcontext():
        for _ in range(PASSES):
            began = time.perf_counter()
            next(states)
            seconds.append(time.perf_counter() - began)
    if profiled:
        pstats.Stats(climb, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return {"seconds": seconds, "read": read, "gb": peak() / 1e9, "value": first.log_likelihood / CELLS}


def fit() -> dict[str, Any]:
    """Seconds of a whole fit of fewer cells."""
    x, truth = simulate(FEW_CELLS, FEW_GENES, FEW_COMPONENTS, FEW_FACTORS, 0.5, "f8")
    model, seconds = mx.FactorModel(FEW_COMPONENTS, FEW_FACTORS), []
    mx.fit(model, x[:200], rng=0, starts=1)
    for seed in range(3):
        began = time.perf_counter()
        found = mx.fit(model, x, rng=seed)
        seconds.append(time.perf_counter() - began)
    wanted = truth.log_density(x).sum()
    return {"seconds": seconds, "outcome": found.outcome.name, "gain": (found.log_likelihood - wanted) / FEW_CELLS}


def others(n: int, d: int, k: int, q: int) -> dict[str, Any]:
    """Seconds of mean imputation, PCA and GaussianMixture, and the GB of the process."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    warnings.simplefilter("ignore")  # it may stop at its 100 iterations
    x, _ = simulate(n, d, k, q, 0.5, "f8")
    began = time.perf_counter()
    scores = PCA(q, random_state=0).fit_transform(np.where(np.isnan(x), np.nanmean(x, axis=0), x))
    GaussianMixture(k, random_state=0).fit(scores)
    return {"seconds": [time.perf_counter() - began], "gb": peak() / 1e9}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "single": partial(passes, "f4"),
    "double": partial(passes, "f8"),
    "fit": fit,
    "others, many": partial(others, CELLS, GENES, COMPONENTS, FACTORS),
    "others, few": partial(others, FEW_CELLS, FEW_GENES, FEW_COMPONENTS, FEW_FACTORS),
}
PROFILED = ("single", "double")


def in_a_process(part: str, *, profiled: bool) -> dict[str, Any]:
    """What a part gives, from a fresh process."""
    command = [sys.executable, "-m", "tests.cells_speed", "--part", part, *(["--profile"] if profiled else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def report(found: dict[str, dict[str, Any]]) -> bool:
    """Prints all figures; whether every bar holds."""
    print(f"{os.cpu_count()} cores of this machine, at most {CORES} used; load {os.getloadavg()[0]:.1f}")
    kept = []
    size = f"{CELLS:,} cells x {GENES:,} genes, half missing, {COMPONENTS} components, {FACTORS} factors"
    for part in ("single", "double"):
        seconds, gb = found[part]["seconds"], found[part]["gb"]
        kept.append(max(seconds) < PASS_S and gb < PASS_GB)
        print(
            f"{size}, {part} precision: {np.median(seconds):.1f} s a pass, {max(seconds):.1f} s the slowest (bar "
            f"{PASS_S:.0f} s), {gb:.1f} GB in all (bar {PASS_GB:.0f} GB){'' if kept[-1] else '  MISSED'}; to check the "
            f"rows and see them for the first time {found[part]['read']:.1f} s"
        )
    many, few = found["others, many"], found["others, few"]
    print(
        f"  gaps at the mean, PCA({FACTORS}), GaussianMixture({COMPONENTS}): {many['seconds'][0]:.1f} s, "
        f"{many['gb']:.1f} GB"
    )
    seconds = found["fit"]["seconds"]
    kept.append(min(seconds) < FIT_S and found["fit"]["outcome"] == "CONVERGED")
    print(
        f"{FEW_CELLS:,} cells x {FEW_GENES} genes, half missing, {FEW_COMPONENTS} components, {FEW_FACTORS} factors: "
        f"{min(seconds):.1f} s the whole fit, median {np.median(seconds):.1f} s (bar {FIT_S:.0f} s), "
        f"{found['fit']['gain']:+.2f} nats a cell above the truth{'' if kept[-1] else '  MISSED'}"
    )
    print(f"  gaps at the mean, PCA({FEW_FACTORS}), GaussianMixture({FEW_COMPONENTS}): {few['seconds'][0]:.2f} s")
    return all(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="where a pass spends its time")
    told = parser.parse_args()
    if told.part is None:
        kept = report({part: in_a_process(part, profiled=told.profile) for part in PARTS})
        print(f"the bars {'hold' if kept else 'do NOT hold'}")
        return 0 if kept else 1
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    print(json.dumps(PARTS[told.part](**({"profiled": told.profile} if told.part in PROFILED else {}))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
