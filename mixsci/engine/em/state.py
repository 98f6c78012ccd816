"""One point of a climb, and how a climb can end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mixsci.engine.mixture import Mixture


class Outcome(Enum):
    """How a fit ended; each value is the sentence for the user, with the remedy."""

    CONVERGED = "Converged: the estimated remaining gain is below tol."
    MAX_ITER = "Stopped at max_iter before the estimated remaining gain fell below tol: raise max_iter or tol."
    STALLED = "Stopped where rounding hides any further gain, above the tol asked for: raise tol."
    COLLAPSED = (
        "A component collapsed onto fewer points than it has parameters, where the likelihood has no maximum: "
        "use fewer components, a floor, a prior (mixsci.prior.InverseWishart()) or a tied covariance."
    )
    EMPTY_COMPONENT = "Converged, but a component has lost all its rows: use fewer components or more starts."
    INTERRUPTED = "Interrupted: this is the best mixture so far; give checkpoint= to go on from it later."
    NOT_FINITE = "The log-likelihood stopped being finite: scale the columns nearer to one and check the noise."

    def __str__(self) -> str:
        return str(self.value)

    @property
    def converged(self) -> bool:
        """Whether the climb came to its end."""
        return self in (Outcome.CONVERGED, Outcome.EMPTY_COMPONENT)


@dataclass(frozen=True, eq=False)
class State:
    """One point of the climb; every number is of `mixture` itself, not of the one before the step.

    Attributes:
        iteration: passes over the data so far.
        mixture: the mixture.
        log_likelihood: total, nats. log_prior: log prior density, up to a constant.
        gap: estimated remaining gain of the objective (their sum), total, nats; infinite while unknown.
        entropy: of the responsibilities. row_weight: rows seen (their weights). counts: expected rows per component.
        memory: what the accelerator remembers.
    """

    iteration: int
    mixture: Mixture
    log_likelihood: float
    log_prior: float
    gap: float
    entropy: float = 0.0
    row_weight: float = 0.0
    counts: Any = None
    memory: Any = field(default=None, repr=False)

    @property
    def objective(self) -> float:
        """What is climbed and never falls: log-likelihood plus log prior."""
        return self.log_likelihood + self.log_prior
