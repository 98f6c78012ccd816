"""pygmmis: extreme deconvolution in NumPy, components shared out to a pool of processes."""

import multiprocessing
from contextlib import AbstractContextManager
from functools import partial
from unittest import mock

import pygmmis

from ..problems import Parameters, Problem, noisy
from ..threads import THREADS
from . import Climb, failures

NAME = "pygmmis"
DISTRIBUTION = "pygmmis"
BLAS_THREADS = (THREADS,)
NOTES = (
    f"pygmmis works in a pool of {THREADS} processes and without its cutoff, "
    "so that every row counts for every component.",
    "pygmmis takes its new covariances about the old means, so they differ from those of EM until it has converged.",
)


def prepare(problem: Problem) -> Climb:
    """Extreme deconvolution from the common start; tol=0 never stops it, since it asks for a change below tol."""

    def climb(passes: int) -> Parameters:
        mixture = at_start(problem.start)
        with pool_of(THREADS):
            pygmmis.fit(mixture, problem.x, covar=problem.noise, init_method="none", cutoff=None, tol=0, maxiter=passes)
        return Parameters(mixture.amp, mixture.mean, mixture.covar)

    return climb


def at_start(start: Parameters) -> pygmmis.GMM:
    """A pygmmis mixture with the common start written into it."""
    mixture = pygmmis.GMM(*start.means.shape)
    mixture.amp[:], mixture.mean[:], mixture.covar[:] = start.weights, start.means, start.covariances
    return mixture


def pool_of(processes: int) -> AbstractContextManager[object]:
    """A context in which pygmmis, which has no such option, uses so many processes."""
    pool = partial(multiprocessing.Pool, processes=processes)
    return mock.patch.multiple(multiprocessing, Pool=pool, cpu_count=lambda: processes)


def breakages() -> list[str]:
    """Frozen components and split-and-merge, tried on a few rows."""
    return failures(
        {
            "pygmmis.fit(frozen=[0])": partial(brief_fit, frozen=[0]),
            "pygmmis.fit(split_n_merge=1)": partial(brief_fit, split_n_merge=1),
            "pygmmis.fit(split_n_merge=1, cutoff=5)": partial(brief_fit, split_n_merge=1, cutoff=5),
        }
    )


def brief_fit(**options: object) -> None:
    """Two passes over a few rows with the options given."""
    few = noisy(200, 2, 3)
    with pool_of(THREADS):
        pygmmis.fit(at_start(few.start), few.x, covar=few.noise, init_method="none", maxiter=2, **options)
