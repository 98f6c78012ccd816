"""Seconds and memory of the fits that astronomers wait for: `python -m tests.stars_speed`, about a minute.

Ten components behind the Hipparcos stars, from the published start to the log-likelihood per row at which the package
of Bovy, Hogg & Roweis ends, and to the end of the climb; then a million stars with the columns of Gaia, 95 % of them
without a radial velocity, from the table to five components of (U, V, W), with the peak of memory above the table. Each
part has a process of its own on at most two cores, kernels compiled before; of the short ones the fastest of some runs
counts. The exit code says whether all bars hold. `--profile` shows where the time of the million goes.
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
from typing import Any

import numpy as np

import mixsci as mx
from mixsci import stars
from tests.conftest import ROOT
from tests.speed.memory import peak, settle

CORES = 2
TARGET = -8.755791742  # log-likelihood per row at which the C package stops
TO_TARGET_S, TO_END_S = 0.3, 1.5
ROWS, COMPONENTS, WITHOUT_VELOCITY = 1_000_000, 5, 0.95
MILLION_S, MILLION_MB = 30.0, 1000.0
RUNS, WARM_ROWS = 7, 20_000


def hipparcos() -> dict[str, Any]:
    """Seconds of every run of the two climbs, and the log-likelihood per row that they end at."""
    folder = os.environ.get("MIXSCI_REAL_DATA") or ROOT.parent / "shared" / "data"
    data = (ROOT / folder) / "stars"
    published = json.loads((data / "bhr2009_k10.json").read_text())
    start = mx.Mixture(*(published[name] for name in ("amp", "mean", "covar")))
    kin, prior = stars.from_velocities(stars.read(data / "hipparcos_db98.fits")), mx.prior.Bovy(4.0)

    def to_target() -> float:
        climb = mx.iterate(mx.Model(10, prior=prior), kin.observations, start=start)
        reached = (state.log_likelihood / len(kin) for state in climb)
        return next((at for at in reached if at >= TARGET), -np.inf)

    def to_end() -> float:
        found = stars.deconvolve(kin, 10, start=start, prior=prior, tol=1e-6)
        return found.log_likelihood / len(kin) if found.converged else -np.inf

    return {"target": timed(to_target), "end": timed(to_end)}


def timed(task: Callable[[], float]) -> dict[str, Any]:
    """Seconds of some runs after one that compiles, and what the task gives."""
    value, seconds = task(), []
    for _ in range(RUNS):
        began = time.perf_counter()
        value = task()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "value": value}


def million(*, profiled: bool = False) -> dict[str, Any]:
    """Seconds of conversion and fit of a million stars, and the MB that both need above the table."""
    made = stars.simulate_disc(ROWS, without_velocity=WITHOUT_VELOCITY, rng=1)
    warnings.simplefilter("ignore", UserWarning)  # stars with poor parallaxes are counted below
    stars.deconvolve(stars.from_gaia(made.table[:WARM_ROWS], "uvw"), COMPONENTS)
    settle()
    before, profile = peak(), cProfile.Profile()
    began, worked = time.perf_counter(), time.process_time()
    with profile if profiled else nullcontext():
        kin = stars.from_gaia(made.table, "uvw")
        converted = time.perf_counter()
        found = stars.deconvolve(kin, COMPONENTS)
    ended, worked = time.perf_counter(), time.process_time() - worked
    if profiled:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return {
        "convert": converted - began, "fit": ended - converted, "mb": (peak() - before) / 1e6, "stars": len(kin),
        "cpu": worked, "outcome": found.outcome.name, "iterations": found.n_iter,
    }  # fmt: skip


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"hipparcos": hipparcos, "million": million}


def in_a_process(part: str, *, profiled: bool) -> dict[str, Any]:
    """What a part gives, from a fresh process."""
    command = [sys.executable, "-m", "tests.stars_speed", "--part", part, *(["--profile"] if profiled else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def report(hip: dict[str, Any], far: dict[str, Any]) -> bool:
    """Prints all figures; whether every bar holds."""
    print(f"{os.cpu_count()} cores of this machine, at most {CORES} used; load {os.getloadavg()[0]:.1f}")
    kept = []
    for name, what, bar in (("target", f"to {TARGET} per row", TO_TARGET_S), ("end", "to tol=1e-6", TO_END_S)):
        seconds, value = hip[name]["seconds"], hip[name]["value"]
        kept.append(min(seconds) < bar and value >= TARGET)
        print(
            f"Hipparcos, 10 components, {what}: {min(seconds):.2f} s, median {np.median(seconds):.2f} s (bar {bar} s), "
            f"ends at {value:.9f}{'' if kept[-1] else '  MISSED'}"
        )
    total = far["convert"] + far["fit"]
    kept.append(total < MILLION_S and far["mb"] < MILLION_MB and far["outcome"] == "CONVERGED")
    print(
        f"{ROWS:,} stars ({far['stars']:,} used), {COMPONENTS} components: {total:.1f} s (bar {MILLION_S:.0f} s), "
        f"{far['mb']:.0f} MB above the table (bar {MILLION_MB:.0f} MB){'' if kept[-1] else '  MISSED'}\n"
        f"  conversion {far['convert']:.1f} s, fit {far['fit']:.1f} s ({far['iterations']} passes, {far['outcome']}); "
        f"{far['cpu']:.1f} s of processors"
    )
    return all(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="where the time of the million goes")
    told = parser.parse_args()
    if told.part is None:
        hip = in_a_process("hipparcos", profiled=False)
        kept = report(hip, in_a_process("million", profiled=told.profile))
        print(f"the bars {'hold' if kept else 'do NOT hold'}")
        return 0 if kept else 1
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    found = million(profiled=told.profile) if told.part == "million" else hipparcos()
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
