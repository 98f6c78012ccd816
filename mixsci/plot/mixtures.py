"""The mixture that is drawn, its dimensions by number or name, and the shares of its components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.result import Fit
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError
from mixsci.plot.paper import percent

Array = np.ndarray

#: Covariances of more variables than this are too large to be worth drawing two of.
_MOST_VARIABLES = 200
#: Names that an error message lists.
_MOST_NAMES = 30


def unwrapped(mixture: Mixture | Fit) -> Mixture:
    """The mixture of a fit; a mixture as it is."""
    return mixture.mixture if isinstance(mixture, Fit) else mixture


def mixture_of(mixture: Mixture | Fit) -> Mixture:
    """The mixture in its variables; of one of factors pooled over groups."""
    found = unwrapped(mixture)
    if isinstance(found, CircularMixture):
        raise DataError("angles are drawn by plot_circle, other columns as marginal([...]) of them")
    if found.open:
        raise DataError("a mixture to draw must have no part left open (NaN): fit it first")
    if not isinstance(found, FactorMixture):
        return found
    if found.n_variables > _MOST_VARIABLES:
        raise DataError(
            f"a mixture of factors is drawn in at most {_MOST_VARIABLES} variables; got {found.n_variables}: draw its "
            "marginal([...]) of some"
        )
    pooled = replace(found, weights=found.pooled_weights, group_labels=None, group_rows=None, shifts=None)
    return pooled.dense()


def names_of(owner: Any, names: Sequence[str] | None, count: int | None = None) -> list[str]:
    """Names of all dimensions: those given, those of the fit or the observations, or x0, x1 ..."""
    if count is None:
        count = unwrapped(owner).n_variables
    found = list(names if names is not None else getattr(owner, "names", None) or ())
    if names is not None and len(found) != count:
        raise DataError(f"names must name all {count} dimensions; got {found}")
    return [str(name) for name in found] if len(found) == count else [f"x{j}" for j in range(count)]


def place_of(dim: int | str, named: Sequence[str], rule: str, among: Sequence[int] | None = None) -> int:
    """The place of a dimension given by number or name; refuses what is not there, in the words of `rule`."""
    count, at = len(named), -1
    if isinstance(dim, str):
        at = named.index(dim) if dim in named else -1
    elif isinstance(dim, int | np.integer) and not isinstance(dim, bool) and -count <= dim < count:
        at = int(dim) % count
    among = range(count) if among is None else among
    if at not in among:
        listed = ", ".join(f"{j} {named[j]!r}" for j in list(among)[:_MOST_NAMES])
        raise DataError(f"{rule} {listed}{' ...' if len(among) > _MOST_NAMES else ''}; got {dim!r}")
    return at


def two_of(dims: Sequence[int | str], named: Sequence[str]) -> tuple[int, int]:
    """The places of two dimensions given by number or name; refuses any but two that are there."""
    rule = "dims must be two of"
    at = [place_of(dim, named, rule) for dim in ([dims] if isinstance(dims, str | int) else dims)]
    if len(set(at)) != 2 or len(at) != 2:
        raise DataError(f"{rule} the {len(named)} dimensions; got {dims!r}")
    return at[0], at[1]


def shares_of(mixture: Mixture) -> Array:
    """(K,) shares of the rows: weights, less what the background takes."""
    return mixture.pooled_weights * (1.0 - stray_of(mixture))


def stray_of(mixture: Mixture) -> float:
    """The share of the rows that the background takes."""
    return 0.0 if mixture.background is None else float(mixture.background.weight)


def share_label(mixture: Mixture, k: int) -> str:
    """Number of a component, and its share of the rows."""
    return f"{k}: {percent(float(shares_of(mixture)[k]))}"
