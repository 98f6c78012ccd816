"""The prior that keeps von Mises components from collapsing onto one angle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.kernels import circular
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Concentration:
    """Conjugate prior on every concentration of a von Mises mixture: rows that each component has seen besides.

    They lie about the component's own direction with concentration `kappa`, so that turning all angles changes nothing:
    log p = rows (A(kappa) kappa_k - log I0(kappa_k)), and no component collapses onto one angle.

    Args:
        kappa: one number or (A,); None = from the data's dispersion 1 - R, shared out as in one dimension:
            1 - A(kappa) = (1 - R) / K^2.
        rows: how many rows, 0 or more; a quarter of one hardly moves a component that has a few of its own.

    Raises:
        DataError: a number that is negative or not finite.
    """

    kappa: Any = None
    rows: float = 0.25

    def __post_init__(self) -> None:
        rows = as_number(self.rows, "rows of a Concentration prior")
        kappa = None if self.kappa is None else as_numbers(self.kappa, "kappa").values.astype(float)
        if rows < 0 or (kappa is not None and (kappa.ndim > 1 or not (np.isfinite(kappa) & (kappa >= 0)).all())):
            raise DataError(f"a Concentration prior needs kappa and rows that are not negative; got {self!r}")
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "kappa", kappa)

    def resolve(self, dispersion: Array, k: int) -> Concentration:
        """The prior with its concentration set from the data's dispersion (A,) where it was left open."""
        return self if self.kappa is not None else replace(self, kappa=circular.concentration(dispersion / k**2))

    def missing(self, n_angles: int) -> Array:
        """(A,) what the resultants of its rows lack to their number."""
        if self.kappa is None:
            raise DataError("this Concentration prior takes kappa from data: use it through fit, or give kappa=")
        if self.kappa.ndim and len(self.kappa) != n_angles:
            raise DataError(
                f"kappa of a Concentration prior must be one number or ({n_angles},); got {self.kappa.shape}"
            )
        return np.broadcast_to(self.rows * circular.lack(self.kappa), (n_angles,))

    def log_density(self, concentrations: Array) -> float:
        """Log prior density of concentrations (K, A), up to a constant."""
        # A kappa - log I0 = -(1 - A) kappa - log(I0 e^-kappa)
        lost = self.missing(concentrations.shape[1]) * concentrations
        return -float((lost + self.rows * circular.log_normaliser(concentrations)).sum())
