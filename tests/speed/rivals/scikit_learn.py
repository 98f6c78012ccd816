"""scikit-learn's GaussianMixture: complete rows, no noise."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ..problems import Parameters, Problem
from ..threads import THREADS
from . import Climb

NAME = "scikit-learn"
DISTRIBUTION = "scikit-learn"
BLAS_THREADS = (THREADS, 1)
NOTES = (
    "scikit-learn knows no noise: where rows have some, it fits the same rows as if they had none.",
    f"scikit-learn is timed with {THREADS} BLAS threads and with one, and the quicker counts: "
    "on a busy machine threads that wait for each other slow it down.",
)


def prepare(problem: Problem) -> Climb:
    """Full covariances without regularisation; tol=0 never stops it, since it asks for a change below tol."""
    start = problem.start
    precisions = np.linalg.inv(start.covariances)

    def climb(passes: int) -> Parameters:
        mixture = GaussianMixture(
            len(start.weights),
            tol=0.0,
            reg_covar=0.0,
            max_iter=passes,
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=precisions,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(problem.x)
        return Parameters(mixture.weights_, mixture.means_, mixture.covariances_)

    return climb


def breakages() -> list[str]:
    """None is known with the versions installed."""
    return []
