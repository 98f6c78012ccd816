"""mixsci: Observations made once, then plain EM passes."""

import mixsci as mx

from ..problems import Parameters, Problem
from ..threads import THREADS
from . import Climb

NAME = "mixsci"
DISTRIBUTION = "mixsci"
BLAS_THREADS = (THREADS,)
NOTES = ()


def prepare(problem: Problem) -> Climb:
    """Plain EM on two threads; its rows are checked here, once."""
    observations, model, start = translate(problem)

    def climb(passes: int) -> Parameters:
        mixture = start
        for _ in range(passes):
            mixture, _ = mx.em_step(model, mixture, observations, workers=THREADS)
        return Parameters(mixture.weights, mixture.means, mixture.covariances)

    return climb


def fit_from_scratch(problem: Problem, passes: int) -> object:
    """A fit with its own starts, cut short after some passes: what a user's memory must hold."""
    observations, model, _ = translate(problem)
    return mx.fit(model, observations, starts=2, max_iter=passes, rng=0, workers=THREADS)


def translate(problem: Problem) -> tuple[mx.Observations, mx.Model, mx.Mixture]:
    """The problem in the words of mixsci."""
    noise = None if problem.noise is None else mx.noise.from_covariances(problem.noise)
    start = problem.start
    mixture = mx.Mixture(start.weights, start.means, start.covariances)
    return mx.Observations(problem.x, noise=noise), mx.Model(n_components=len(start.weights)), mixture


def breakages() -> list[str]:
    """None is known; a failure shows in the table itself."""
    return []
