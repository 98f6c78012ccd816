"""Peak memory of a fit above the rows that it is given, each measurement in a process of its own."""

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from threadpoolctl import threadpool_limits

from .problems import Problem, noisy
from .rivals import load
from .threads import THREADS

PASSES = 3
WARM_UP_ROWS = 20_000
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def passes_of(file: str) -> Callable[[Problem], object]:
    """Some EM passes of one package, its own copy or view of the rows included."""
    return lambda problem: load(file).prepare(problem)(PASSES)


TASKS: dict[str, Callable[[Problem], object]] = {
    "passes": passes_of("ours"),
    "fit": lambda problem: load("ours").fit_from_scratch(problem, PASSES),
    "scikit-learn": passes_of("scikit_learn"),
}


def measure(task: str, n_rows: int) -> float:
    """MB (1e6 bytes) by which the task raises the peak, from a fresh process. Raises RuntimeError with its error."""
    command = [sys.executable, "-m", "tests.speed.memory", task, str(n_rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return float(json.loads(done.stdout))


def growth(task: Callable[[Problem], object], n_rows: int) -> float:
    """MB by which the peak rises above the arrays and a warm-up fit."""
    problem = noisy(n_rows, 3, 10)
    with threadpool_limits(THREADS):
        task(problem.head(WARM_UP_ROWS))
        settle()
        before = peak()
        task(problem)
    return (peak() - before) / 1e6


def settle() -> None:
    """Give freed memory back and let the peak start from the present size, where the system can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    if RESET.exists():
        RESET.write_text("5")


def peak() -> float:
    """Largest resident size so far, bytes."""
    # On Linux ru_maxrss starts from the parent's peak, which would hide what this process needs.
    if STATUS.exists():
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return 1024 * float(fields["VmHWM"].split()[0])
    import resource  # Windows has no such module, and no such measurement

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    print(json.dumps(growth(TASKS[sys.argv[1]], int(sys.argv[2]))))
