"""Where climbs of mixtures of factors begin: what the variables are, and from a start given to a complete one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from mixsci.engine.execution import Run, Workers, map_runs
from mixsci.engine.factor_mixture import FactorMixture, variances_of
from mixsci.engine.kernels.information import packed
from mixsci.engine.model.factor_frame import own_frame
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray
Labels = tuple[Hashable, ...] | None

#: A column varies where its values differ by more than rounding, as a share of their size.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Columns:
    """What one pass learns of the variables; `a + b` joins rows.

    Attributes:
        count: (D,) observed values, by the weights of their rows. mean: (D,) of them.
        square: (D,) sums of squares about it.
        names: of the columns, or None.
    """

    count: Array
    mean: Array
    square: Array
    names: tuple[str, ...] | None = None

    def __add__(self, other: Columns) -> Columns:
        if len(self.count) != len(other.count):
            raise DataError(
                f"blocks of rows must have the same columns; got {len(self.count)} and {len(other.count)} of them"
            )
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros(len(count)), where=count > 0)
        apart = other.mean - self.mean
        square = self.square + other.square + apart**2 * self.count * share
        return Columns(count, self.mean + apart * share, square, self.names)

    @property
    def variances(self) -> Array:
        """(D,) variances of the observed values, noise and differences of groups included."""
        return np.asarray(self.square / np.where(self.count > 0, self.count, 1.0))

    def refuse_poor(self) -> None:
        """Refuse variables without values, or whose values are all the same."""
        names = self.names or tuple(f"column {j}" for j in range(len(self.count)))
        flat = np.sqrt(self.variances) <= _ROUNDING * np.abs(self.mean)
        for bad, what in ((self.count == 0, "an observed value"), (flat, "values that differ")):
            if bad.any():
                listed = ", ".join(names[j] for j in np.flatnonzero(bad)[:5]) + (" ..." if bad.sum() > 5 else "")
                raise DataError(
                    f"every variable must have {what}; {int(bad.sum())} have not ({listed}): leave them out"
                )


def columns_of(obs: Any, workers: Workers = None) -> Columns:
    """What the variables of the rows are; refuses rows that a mixture of factors cannot read."""
    found = [part for part in map_runs(_columns_of_run, obs, workers) if part is not None]
    if not found:
        raise DataError("there must be at least one row; got none")
    return reduce(add, found)


def _columns_of_run(run: Run) -> Columns | None:
    parts = [_columns_of_block(block) for block in run.blocks if len(block)]
    return reduce(add, parts) if parts else None


def _columns_of_block(block: Observations) -> Columns:
    if block.projection is not None:
        raise DataError("a factor mixture sees its variables as they are: rows with a projection do not fit it")
    variances_of(block)
    seen, weights = block.seen(), block.each_weight
    x = np.where(seen, block.x, 0.0).astype(float, copy=False)
    count = weights @ seen
    mean = weights @ x / np.where(count > 0, count, 1.0)
    apart = np.where(seen, x - mean, 0.0)
    return Columns(count, mean, np.einsum("n,nd,nd->d", weights, apart, apart), block.names)


def complete_factors(model: FactorModel, start: Any, columns: Columns, labels: Labels) -> FactorMixture:
    """A start given whole, brought to what the model allows, with everything the model adds to it.

    Args:
        model: with the variances of the variables. start: what the user gave. labels: of the groups of the rows.
    """
    _refuse_others(model, start, columns, labels)
    changes: dict[str, Any] = {"uniquenesses": np.maximum(start.uniquenesses, model.floors)}
    if labels and start.group_labels is None:
        changes["group_labels"] = labels
    if model.offsets and start.shifts is None:
        changes["shifts"] = np.zeros((len(labels or start.group_labels), start.n_variables))
    if getattr(model.weights, "shared", False) and start.n_groups:
        changes["weights"] = np.broadcast_to(start.pooled_weights, start.weights.shape)
    whole = replace(start, **changes)
    return certain(model, _allowed(model, whole), columns)


def lacks_factors(model: FactorModel, start: Any, labels: Labels) -> bool:
    """Whether a step from this start would miss something."""
    if not isinstance(start, FactorMixture) or model.variances is None or start.open:
        return True
    return bool(
        (start.n_components, start.n_dims) != (model.n_components, model.n_factors)
        or start.n_variables != len(model.variances)
        or bool(labels) != bool(start.n_groups)
        or (start.shifts is None) != (model.offsets is None)
        or (start.doubt is None) == bool(model.prior)
        or _allowed(model, start) is not start
    )


def _allowed(model: FactorModel, mixture: FactorMixture) -> FactorMixture:
    """The mixture with the loadings and covariances that the model allows; as it is where it has them."""
    spreads = mixture.covariances
    if model.own:
        standard = mixture.own and not mixture.means.any() and (spreads == np.eye(mixture.n_dims)).all()
        return mixture if standard else own_frame(mixture)
    if model.covariance == "full" or (spreads == spreads[0]).all():
        return mixture
    pooled = np.einsum("k,kij->ij", mixture.pooled_weights, spreads)
    return mixture.evolve(covariances=np.broadcast_to(pooled, spreads.shape).copy())


def certain(model: FactorModel, mixture: FactorMixture, columns: Columns) -> FactorMixture:
    """The mixture with a first guess of what is known of its loadings, where the model has priors and it has none."""
    if not model.prior:
        return mixture.evolve(doubt=None, scale=None)
    if mixture.doubt is not None:
        return mixture
    q, many = mixture.n_dims, mixture.loadings if mixture.own else mixture.loadings[None]
    least = 1e-3 * np.eye(q)
    scale = np.array([(each / mixture.uniquenesses[:, None]).T @ each / len(each) + least for each in many])
    rows = (columns.count / len(many))[:, None, None] * np.eye(q)
    doubt = packed(np.linalg.inv(np.linalg.inv(scale)[:, None] + rows))
    return mixture.evolve(scale=scale, doubt=doubt)


def _refuse_others(model: FactorModel, start: Any, columns: Columns, labels: Labels) -> None:
    """Refuse a start that is not one for this model and these rows."""
    if not isinstance(start, FactorMixture):
        raise DataError(f"start must be a FactorMixture, as the model is one of factors; got {type(start).__name__}")
    for what, theirs, ours in (
        ("components", start.n_components, model.n_components),
        ("factors", start.n_dims, model.n_factors),
        ("variables", start.n_variables, len(columns.count)),
    ):
        if theirs != ours:
            raise DataError(f"start must have {ours} {what}; got {theirs}")
    if start.own and not model.own:
        raise DataError('start has loadings of its components\' own: use FactorModel(loadings="own")')
    if start.open:
        raise DataError("start must be whole for a mixture of factors; got NaN in it: leave start out to draw one")
    if start.shifts is not None and not model.offsets:
        raise DataError('start has shifts, the model has none: use FactorModel(offsets="group")')
    if start.group_labels is not None and not set(labels or ()) <= set(start.group_labels):
        raise DataError("start must know every group of the rows: start from a mixture of these groups, or of none")
    if start.group_labels is not None and not labels:
        raise DataError("start differs by group, the rows have no groups: give groups=, or start.of_group(label)")
