"""Weight models that find the number of components: the model's number is the most that there may be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import betaln, digamma

from mixsci.engine.model.law import SMALLEST_WEIGHT
from mixsci.engine.tables import as_number
from mixsci.errors import DataError

Array = np.ndarray

#: The share of an EM step's weight that a leap leaves at least: a weight must not be lost to a leap alone.
_INSIDE = 0.1
#: Rows left to a component that will die, but not before a smaller one.
_DYING = 1e-6


class Automatic:
    """Weights of which some may turn out to be none: one set of them, groups of rows share it."""

    linked = False
    automatic = True

    def start(self, k: int, groups: int) -> tuple[Array, None]:
        """Weights (G, K), all equal, and no rates."""
        return np.full((groups, k), 1.0 / k), None

    def settled(self, parameters: int) -> Self:
        """The law with what it takes from the model: the number of parameters of a component."""
        return self

    def n_free(self, k: int, groups: int, frozen: Array) -> int:
        """Number of free parameters."""
        return k - 1

    def pack(self, weights: Array, rates: Array | None, frozen: Array) -> Array:
        """Logarithms of the weights."""
        return np.log(np.maximum(weights[0], SMALLEST_WEIGHT))

    def unpack(self, vector: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        """Weights from such a vector: none falls below a share of `weights`."""
        found = np.exp(vector - vector.max())
        found = np.maximum(found / found.sum(), _INSIDE * weights[0])
        return np.broadcast_to(found / found.sum(), weights.shape), None

    def spread(self, weights: Array, frozen: Array) -> Array:
        """The size of each number of `pack`: what a step in it is compared with."""
        return 1.0 / np.sqrt(weights[0] + 1e-6)

    def check(self, rates: Array | None, k: int) -> None:
        """Such weights can say anything."""


@dataclass(frozen=True, eq=False)
class StickBreaking(Automatic):
    """Weights of a Dirichlet process, w_k = v_k (1 - v_1) ... (1 - v_{k-1}) with v_k ~ Beta(1, alpha).

    A fit is then variational: means, covariances and weights have a posterior, and what climbs is the evidence bound
    (Blei & Jordan 2006; the number of components is that of the bound's best, as in Kurihara, Welling & Teh 2007).
    The prior on means and covariances is `mixsci.prior.GaussWishart`, set from the data unless given.

    Args:
        alpha: concentration > 0; about alpha log(n / alpha) components are expected of n rows before they are seen.

    Raises:
        DataError: alpha that is not positive.
    """

    alpha: float = 1.0
    least_rows: ClassVar = 1.0

    def __post_init__(self) -> None:
        alpha = as_number(self.alpha, "alpha")
        if not alpha > 0:
            raise DataError(f"alpha must be positive; got {alpha}")
        object.__setattr__(self, "alpha", float(alpha))

    def sticks(self, counts: Array) -> tuple[Array, Array]:
        """a, b (K,) of the posteriors Beta(a, b) of the v_k, given expected rows (K,)."""
        later = np.cumsum(counts[::-1])[::-1] - counts
        return 1.0 + counts, self.alpha + np.maximum(later, 0.0)

    def weights(self, counts: Array) -> Array:
        """(K,) expected weights, made to sum to one."""
        a, b = self.sticks(counts)
        found = a / (a + b) * np.concatenate([[1.0], np.cumprod(b / (a + b))[:-1]])
        return found / found.sum()

    def log_weights(self, counts: Array) -> Array:
        """(K,) expected log weights: their exponentials sum to less than one."""
        a, b = self.sticks(counts)
        both = digamma(a + b)
        return digamma(a) - both + np.concatenate([[0.0], np.cumsum(digamma(b) - both)[:-1]])

    def divergence(self, counts: Array) -> float:
        """Kullback-Leibler divergence of the posteriors of the v_k from their prior, nats."""
        a, b = self.sticks(counts)
        one_by_one = betaln(1.0, self.alpha) - betaln(a, b) + (a - 1.0) * digamma(a) + (b - self.alpha) * digamma(b)
        return float(np.sum(one_by_one + (1.0 + self.alpha - a - b) * digamma(a + b)))

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        """Expected weights given counts (G, K)."""
        return np.broadcast_to(self.weights(counts.sum(axis=0)), weights.shape), None

    def log_prior(self, weights: Array) -> float:
        """Nothing: what these weights cost follows from the counts, see `divergence`."""
        return 0.0


@dataclass(frozen=True, eq=False)
class Annihilating(Automatic):
    """Weights that lose p/2 rows in every step, p the parameters of a component: one with no more rows than that dies.

    w_k is proportional to max(0, N_k - p/2), and mixtures of different numbers of components are compared by the length
    of the message that says them and their rows (Figueiredo & Jain 2002, equations 15 and 17). A fit lets components
    die one at a time; `em_step` and `iterate` leave them in place with weight zero.

    Args:
        parameters: p; None = counted by the model.

    Raises:
        DataError: a negative p.
    """

    parameters: float | None = None

    def __post_init__(self) -> None:
        if self.parameters is not None and not as_number(self.parameters, "parameters") >= 0:
            raise DataError(f"parameters of a component must not be negative; got {self.parameters}")

    def settled(self, parameters: int) -> Annihilating:
        """The law with the parameters of a component, where the user has not said them."""
        return self if self.parameters is not None else replace(self, parameters=float(parameters))

    def maximise(self, counts: Array, weights: Array, rates: Array | None, frozen: Array) -> tuple[Array, None]:
        """Weights (G, K) of least message length for counts (G, K); one of zero is that of a component that dies."""
        total = counts.sum(axis=0)
        left = np.maximum(total - self.least_rows, _DYING)
        if len(left) > 1 and total.min() <= self.least_rows:
            left[total.argmin()] = 0.0
        return np.broadcast_to(left / left.sum(), weights.shape), None

    def log_prior(self, weights: Array) -> float:
        """What the message pays for the numbers of components of these weights, up to a constant for each component."""
        return -self.least_rows * float(np.log(weights[0][weights[0] > 0]).sum())

    def message(self, weights: Array, rows: float) -> float:
        """Length of what a message says of the mixture itself, nats; minus the log-likelihood it is whole.

        Args:
            weights: (K,). rows: how many (their weights).
        """
        alive, log_rows = weights[weights > 0], float(np.log(rows / 12.0))
        each = self.least_rows * (np.log(alive) + log_rows + 1.0) + 0.5 * (log_rows + 1.0)
        return float(each.sum())

    @property
    def least_rows(self) -> float:
        """Rows that a component must have more of, p/2."""
        if self.parameters is None:
            raise DataError("these weights take the parameters of a component from a fit: use fit, or give parameters=")
        return self.parameters / 2.0


def refuse_search(model: Any, what: str) -> None:
    """Refuse weights that look for the number of components where it must be known."""
    if finds_number(model):
        raise DataError(
            f"{what} with a known number of components, {type(model.weights).__name__} weights look for it: take the "
            "number they find, mixsci.Model(fit.mixture.n_components), from start=fit.mixture"
        )


def finds_number(model: Any) -> bool:
    """Whether the model's number of components is the most that there may be."""
    return bool(getattr(model.weights, "automatic", False))
