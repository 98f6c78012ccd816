"""How means may move: freely, not at all, or along a ladder of few parameters; and the offsets of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixsci.engine.model.linear import climb
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray


class MeanModel(Protocol):
    """What a model of the means can do."""

    free: bool

    def step(
        self, information: Array, score: Array, still: list[Array], theta: Array | None
    ) -> tuple[Array, Array | None]:
        """Changes (K, D) of the means, and the new theta.

        Args:
            information: (K, D, D) and score (K, D) of the means; still: directions (c, D) in which each must not move.
        """

    def n_free(self, k: int, d: int) -> int:
        """Number of free parameters."""

    def place(self, means: Array) -> tuple[Array, Array | None]:
        """The means nearest to (K, D) that the model allows, and their theta."""


@dataclass(frozen=True, eq=False)
class Free:
    """Every mean goes where its rows are."""

    free = True

    def step(self, information: Array, score: Array, still: list[Array], theta: Array | None) -> tuple[Array, None]:
        return np.array([climb(*each) for each in zip(information, score, still, strict=True)]), None

    def n_free(self, k: int, d: int) -> int:
        return k * d

    def place(self, means: Array) -> tuple[Array, None]:
        return means, None


@dataclass(frozen=True, eq=False)
class Fixed:
    """Means held at given values (K, D)."""

    values: Any
    free = False

    def __post_init__(self) -> None:
        values = as_numbers(self.values, "fixed means").values.astype(float)
        if values.ndim != 2 or not np.isfinite(values).all():
            raise DataError(f"fixed means must be finite, of shape (K, D); got {values.shape}")
        object.__setattr__(self, "values", values)

    def step(self, information: Array, score: Array, still: list[Array], theta: Array | None) -> tuple[Array, None]:
        return np.zeros_like(score), None

    def n_free(self, k: int, d: int) -> int:
        return 0

    def place(self, means: Array) -> tuple[Array, None]:
        if means.shape != self.values.shape:
            raise DataError(f"fixed means must have shape (K, D) = {means.shape}; got {self.values.shape}")
        return self.values, None


@dataclass(frozen=True, eq=False)
class Ladder:
    """Means linear in few parameters: mu_k = A_k theta + fixed_k.

    Args:
        design: (K, D, p) matrices A_k.
        fixed: (K, D) part that does not move.

    Raises:
        DataError: shapes that do not match.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> design = np.stack([np.ones(3), np.arange(3)], axis=-1)[:, None, :]  # mu_k = theta_0 + k theta_1
        >>> rungs = mx.means.Ladder(design)
        >>> rungs.means(np.array([10.0, 2.0])).ravel()
        array([10., 12., 14.])
    """

    design: Any
    fixed: Any = 0.0
    free = False

    def __post_init__(self) -> None:
        design = as_numbers(self.design, "a ladder's design").values.astype(float)
        if design.ndim != 3 or not np.isfinite(design).all():
            raise DataError(f"a ladder's design must be finite, of shape (K, D, p); got {design.shape}")
        part = as_numbers(self.fixed, "a ladder's fixed part").values.astype(float)
        if not np.isfinite(part).all():
            raise DataError("a ladder's fixed part must be finite; it is not: write 0 where a mean is the ladder alone")
        try:
            fixed = np.broadcast_to(part, design.shape[:2])
        except ValueError:
            raise DataError(
                f"a ladder's fixed part must have shape (K, D) = {design.shape[:2]}; got {part.shape}"
            ) from None
        object.__setattr__(self, "design", design)
        object.__setattr__(self, "fixed", fixed.copy())

    def means(self, theta: Array) -> Array:
        """(K, D) means for theta (p,)."""
        return self.fixed + self.design @ theta

    def step(self, information: Array, score: Array, still: list[Array], theta: Array | None) -> tuple[Array, Array]:
        assert theta is not None
        whole = np.einsum("kia,kij,kjb->ab", self.design, information, self.design)
        held = [rows @ design for rows, design in zip(still, self.design, strict=True) if len(rows)]
        change = climb(whole, np.einsum("kia,ki->a", self.design, score), np.concatenate(held) if held else None)
        return self.design @ change, theta + change

    def n_free(self, k: int, d: int) -> int:
        return int(np.linalg.matrix_rank(self.design.reshape(-1, self.design.shape[2])))

    def place(self, means: Array) -> tuple[Array, Array]:
        if means.shape != self.fixed.shape:
            raise DataError(
                f"a ladder's design must have shape (K, D, p) with (K, D) = {means.shape}; got {self.design.shape}"
            )
        theta = np.linalg.lstsq(self.design.reshape(means.size, -1), (means - self.fixed).ravel(), rcond=None)[0]
        return self.means(theta), theta


MEANS: dict[str, MeanModel] = {"free": Free()}


@dataclass(frozen=True, eq=False)
class Offsets:
    """Every group has a shift b_g of its own: the baseline drift of a well, the batch effect of a run.

    Args:
        prior_sd: standard deviation of a Gaussian prior on offsets, one number or (D,), in the units of x; None = none.
    """

    prior_sd: Any = None

    def __post_init__(self) -> None:
        if self.prior_sd is None:
            return
        sd = as_numbers(self.prior_sd, "prior_sd of offsets").values
        if sd.ndim > 1 or not (np.isfinite(sd) & (sd > 0)).all():
            raise DataError(
                "prior_sd of offsets must be positive and finite, one number or (D,); "
                f"got {sd.tolist()}: None means no prior"
            )

    def precision(self, d: int) -> Array:
        """Prior precision (D, D)."""
        if self.prior_sd is None:
            return np.zeros((d, d))
        if np.shape(self.prior_sd) not in ((), (d,)):
            raise DataError(
                f"prior_sd of offsets must be one number or (D,) = ({d},); got shape {np.shape(self.prior_sd)}"
            )
        return np.diag(np.broadcast_to(1.0 / np.asarray(self.prior_sd, dtype=float) ** 2, d))

    def log_prior(self, offsets: Array) -> float:
        """Log prior density of offsets (G, D), up to a constant."""
        return -0.5 * float(np.einsum("gi,ij,gj->", offsets, self.precision(offsets.shape[1]), offsets))

    def step(self, information: Array, score: Array, still: Array, offsets: Array) -> Array:
        """Changes (G, D) of the offsets from information (G, D, D) and score (G, D) at the means just made."""
        prior = self.precision(offsets.shape[1])
        score = score - offsets @ prior
        return np.array([climb(info + prior, part, still) for info, part in zip(information, score, strict=True)])
