"""astroML's XDGMM: extreme deconvolution in NumPy, one matrix at a time."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
from astroML.density_estimation import XDGMM, xdeconv

from ..problems import Parameters, Problem, noisy
from ..threads import THREADS
from . import Climb, failures

NAME = "astroML"
DISTRIBUTION = "astroML"
BLAS_THREADS = (THREADS,)
NOTES = (
    "astroML takes no start: its first guess (a scikit-learn fit) is replaced by the common start for the timing. "
    "One of its passes evaluates the likelihood a second time, as its own loop does.",
)


def prepare(problem: Problem) -> Climb:
    """Extreme deconvolution from the common start; tol = -inf never stops it."""
    start = problem.start

    def climb(passes: int) -> Parameters:
        mixture = XDGMM(len(start.weights), max_iter=passes, tol=-np.inf)
        with mock.patch.object(xdeconv, "GaussianMixture", first_guess(start)):
            mixture.fit(problem.x, problem.noise)
        return Parameters(mixture.alpha, mixture.mu, mixture.V)

    return climb


def first_guess(start: Parameters) -> mock.Mock:
    """A stand-in for the scikit-learn class, whose fit returns the common start."""
    guess = SimpleNamespace(weights_=start.weights, means_=start.means, covariances_=start.covariances)
    return mock.Mock(return_value=mock.Mock(fit=mock.Mock(return_value=guess)))


def breakages() -> list[str]:
    """Its own first guess, densities and sampling, tried on a few rows."""
    few = noisy(200, 2, 3)
    mixture = XDGMM(3, max_iter=2, random_state=0)
    return failures(
        {
            "XDGMM.fit": lambda: mixture.fit(few.x, few.noise),
            "XDGMM.logprob_a": lambda: mixture.logprob_a(few.x, few.noise),
            "XDGMM.sample": lambda: mixture.sample(10),
        }
    )
