"""A fit that knows posteriors of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

from mixsci.engine.em.result import Fit
from mixsci.engine.variational_mixture import VariationalMixture


@dataclass(frozen=True, eq=False, repr=False)
class VariationalFit(Fit):
    """A fit with posteriors of its parameters; `mixture` is that of the expected ones, `objective` the evidence bound.

    Attributes:
        variational: the mixture with its posteriors.
    """

    variational: VariationalMixture | None = None
