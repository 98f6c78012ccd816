"""Families of covariance that cells are clustered with, and those that "auto" lets BIC choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixsci.engine.model.factors import FactorModel
from mixsci.engine.model.means import Offsets
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import InverseWishart
from mixsci.errors import DataError

Array = np.ndarray

#: Up to this many variables every entry of a covariance can be known; beyond, factors stand in for them.
FEW_VARIABLES = 30
#: Pseudo-rows of the prior on a covariance, plus the number of variables.
_PSEUDO_ROWS = 2.0


@dataclass(frozen=True)
class Assumed:
    """What is assumed of the cells besides their number of clusters.

    Attributes:
        sd: (D,) standard deviations of the observed values.
        batches: whether batches shift the variables.
        prior: True = weakly informative and free of units, None = none, or an object of `mixsci.prior`.
        n_factors: number of factors, of families that have them.
    """

    sd: Array
    batches: bool
    prior: Any
    n_factors: int


@dataclass(frozen=True)
class Family:
    """One family of covariances: its name, how its model is made, and whether factors stand behind it."""

    name: str
    make: Callable[[int, Assumed], Model | FactorModel]
    factors: bool = False


def exact(structure: str) -> Callable[[int, Assumed], Model]:
    """Models with covariances of a structure in all variables."""

    def make(k: int, assumed: Assumed) -> Model:
        # A batch shifts a variable by less than it spreads: enough to tell levels apart, and never without an end.
        offsets = Offsets(prior_sd=assumed.sd) if assumed.batches else None
        return Model(k, covariance=structure, prior=_prior(k, assumed), offsets=offsets)

    return make


def factors(loadings: str, covariance: str) -> Callable[[int, Assumed], FactorModel]:
    """Models with few factors behind the variables."""

    def make(k: int, assumed: Assumed) -> FactorModel:
        if assumed.prior is not None and assumed.prior is not True:
            raise DataError("families with factors have priors of their own: prior must be True or None")
        return FactorModel(
            k, assumed.n_factors, loadings=loadings, covariance=covariance,  # type: ignore[arg-type]
            offsets="group" if assumed.batches else None, prior=assumed.prior,
        )  # fmt: skip

    return make


FAMILIES = {
    family.name: family
    for family in (
        Family("full", exact("full")),
        Family("scaled", exact("scaled")),
        Family("tied", exact("tied")),
        Family("diag", exact("diag")),
        Family("spherical", exact("spherical")),
        Family("tied_diag", exact("tied_diag")),
        Family("tied_spherical", exact("tied_spherical")),
        Family("factor_tied", factors("common", "tied"), factors=True),
        Family("factor_free", factors("common", "full"), factors=True),
        Family("factor_own", factors("own", "tied"), factors=True),
    )
}
#: Names for several families, of which BIC takes one.
SEVERAL = {"factor": ("factor_tied", "factor_free")}
_FEW = ("full", "scaled", "tied", "factor_tied", "factor_free")


def families(covariance: Any, n_variables: int) -> tuple[Family, ...]:
    """The families that a name, or several of them, stands for.

    Raises:
        DataError: a name that is none.
    """
    asked = [covariance] if isinstance(covariance, str) else covariance
    if not isinstance(asked, Sequence) or not asked or not all(isinstance(name, str) for name in asked):
        raise DataError(f"covariance must be a name or several; got {covariance!r:.80}")
    several = SEVERAL | {"auto": _automatic(n_variables)}
    names = list(dict.fromkeys(name for one in asked for name in several.get(one, (one,))))
    unknown = [name for name in names if name not in FAMILIES]
    if unknown:
        raise DataError(f"covariance must be of {', '.join(map(repr, [*several, *FAMILIES]))}; got {unknown[0]!r:.80}")
    return tuple(FAMILIES[name] for name in names)


def _automatic(n_variables: int) -> tuple[str, ...]:
    """The families that "auto" compares."""
    if n_variables == 1:
        return ("full", "tied")
    return _FEW if n_variables <= FEW_VARIABLES else SEVERAL["factor"]


def _prior(k: int, assumed: Assumed) -> Any:
    """The prior on covariances: towards what K equal parts of the variables' spread would be, one in all."""
    if assumed.prior is not True:
        return assumed.prior
    d = len(assumed.sd)
    return InverseWishart.towards(np.diag(assumed.sd**2) * k ** (-2.0 / d), d + _PSEUDO_ROWS)
