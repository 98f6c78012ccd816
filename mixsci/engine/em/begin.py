"""From a mixture that a user gives to one that a climb can begin at: what the model adds is added."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from functools import singledispatch
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.circular_begin import ordinary_part, refuse_other_start, with_ordinary_part
from mixsci.engine.em.factor_begin import columns_of, complete_factors, lacks_factors
from mixsci.engine.execution import Run, Workers, map_runs
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.circular import CircularModel
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.model.model import Model, overall_variances
from mixsci.engine.model.priors import no_prior
from mixsci.engine.model.variational import assumed
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray
Labels = tuple[Hashable, ...] | None

#: EM never leaves a direction without spread, so a free covariance begins with this share of the mixture's variance.
_LEAST_SPREAD = 1e-6


@singledispatch
def ready(model: Any, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    """Model and start, complete for these rows."""
    if not isinstance(model, Model):
        raise DataError(f"model must be a Model, FactorModel or CircularModel; got {type(model).__name__}")
    labels = labels_of(obs, workers)
    check_start(model, start, obs, labels)
    model = assumed(model, start.n_dims)
    return model, complete(model, start, labels)


@singledispatch
def ready_for_step(model: Any, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    """Model and start, complete for these rows; as they are where nothing is lacking.

    Cheap enough for every step: a source of blocks is not asked for its groups.
    """
    if not isinstance(start, Mixture):
        return ready(model, start, obs, workers)
    labels = obs.group_labels if isinstance(obs, Observations) else start.group_labels
    model = assumed(model, start.n_dims)
    if start.n_components == model.n_components and not _lacks(model, start, labels):
        return model, start
    check_start(model, start, obs, labels)
    return model, complete(model, start, labels)


@ready.register
def _(model: FactorModel, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    columns, labels = columns_of(obs, workers), labels_of(obs, workers)
    if model.variances is None:
        columns.refuse_poor()
        model = model.resolve(columns.variances)
    return model, complete_factors(model, start, columns, labels)


@ready_for_step.register
def _(model: FactorModel, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    labels = obs.group_labels if isinstance(obs, Observations) else getattr(start, "group_labels", None)
    return ready(model, start, obs, workers) if lacks_factors(model, start, labels) else (model, start)


@ready.register
def _(model: CircularModel, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    labels = labels_of(obs, workers)
    refuse_other_start(model, start, getattr(obs, "width", getattr(start, "n_variables", 0)), labels)
    plain = complete(model.ordinary(start.n_dims), ordinary_part(start), labels)
    return model, with_ordinary_part(start, plain)


@ready_for_step.register
def _(model: CircularModel, start: Any, obs: Any, workers: Workers = None) -> tuple[Any, Any]:
    return ready(model, start, obs, workers)


@dataclass(frozen=True)
class Facts:
    """What one pass learns of the rows, whatever the mixture; `a + b` joins two runs of them.

    Attributes:
        n_rows: rows, empty ones too.
        weighted: whether any row has a weight above zero.
        set_aside: values set aside because their noise is unknown.
        labels: of the groups, in the order in which blocks bring them.
    """

    n_rows: int = 0
    weighted: bool = False
    set_aside: int = 0
    labels: tuple[Hashable, ...] = ()

    def __add__(self, other: Facts) -> Facts:
        return Facts(
            self.n_rows + other.n_rows,
            self.weighted or other.weighted,
            self.set_aside + other.set_aside,
            tuple(dict.fromkeys((*self.labels, *other.labels))),
        )


def facts_of(obs: Any, workers: Workers = None) -> Facts:
    """Number, groups and weights of the rows, counted where they lie."""
    if isinstance(obs, Observations):
        return _facts_of_block(obs)
    return sum(map_runs(_facts_of_run, obs, workers), Facts())


def _facts_of_run(run: Run) -> Facts:
    return sum((_facts_of_block(block) for block in run.blocks), Facts())


def _facts_of_block(block: Observations) -> Facts:
    weighted = block.row_weights is None or bool(block.row_weights.any())
    return Facts(len(block), weighted, int(block.set_aside.sum()), block.group_labels or ())


def labels_of(obs: Any, workers: Workers = None) -> Labels:
    """Labels of the groups of the rows, in the order in which blocks bring them; None without groups."""
    return facts_of(obs, workers).labels or None


def check_start(model: Model, start: Any, obs: Any, labels: Labels) -> None:
    """Refuse a start that is not one for this model and these rows."""
    if not isinstance(start, Mixture):
        raise DataError(f"start must be a Mixture; got {type(start).__name__}")
    if isinstance(start, CircularMixture):
        raise DataError("start is a CircularMixture, the model knows no angles: use CircularModel")
    if isinstance(start, FactorMixture):
        raise DataError("start is a FactorMixture, the model is not one of factors: use FactorModel, or start.dense()")
    if start.n_components != model.n_components:
        raise DataError(f"start must have the model's {model.n_components} components; got {start.n_components}")
    if isinstance(obs, Observations) and start.n_dims != obs.n_dims:
        raise DataError(f"start must have the {obs.n_dims} dimensions of the rows; got {start.n_dims}")
    if start.group_labels is not None and labels is None:
        raise DataError(
            "start differs by group, the rows have no groups: give groups=, or start from start.of_group(label)"
        )
    if start.group_labels is not None and set(labels or ()) - set(start.group_labels):
        raise DataError(
            "start must know every group of the rows: start from a mixture without groups, or of these groups"
        )
    for what, given, taken in (
        ("offsets", start.offsets, model.offsets),
        ("a background", start.background, model.background),
    ):
        if given is not None and taken is None:
            raise DataError(f"start has {what}, the model has none: give the model {what}, or start without")
    _refuse_open_frozen(model, start)


def _refuse_open_frozen(model: Model, start: Mixture) -> None:
    """A frozen weight may be open: it takes what the others leave; a frozen mean or covariance cannot be made up."""
    for name in ("means", "covariances"):
        open_ = np.isnan(getattr(start, name)).reshape(model.n_components, -1).any(axis=1)
        lost = np.flatnonzero(open_ & model.mask(name))
        if len(lost):
            raise DataError(f"frozen {name} must be given in the start; those of component {lost[0]} are NaN")


def complete(model: Model, start: Mixture, labels: Labels) -> Mixture:
    """A start given whole, brought to what the model allows, with everything the model adds to it."""
    groups = len(labels or ())
    changes: dict[str, Any] = {"state_of_component": getattr(model.weights, "state_of_component", None)}
    if labels and start.group_labels is None:
        changes["group_labels"] = labels
        changes["weights"] = np.tile(np.atleast_2d(start.weights), (groups, 1))[:groups]
        changes["rates"] = None if start.rates is None else np.array([start.rates] * groups)
    if model.offsets is not None and start.offsets is None:
        changes["offsets"] = np.zeros((groups, start.n_dims))
    changes["means"], changes["theta"] = model.means.place(start.means)
    changes["covariances"] = _allowed_covariances(model, start)
    if model.background is not None:
        fixed = model.background.fixed or start.background is None
        changes["background"] = model.background if fixed else replace(model.background, weight=start.background.weight)
    return _with_weights(model, _of_kind(model, replace(start, **changes)))


def _of_kind(model: Model, start: Mixture) -> Mixture:
    """The start as the kind of mixture that the model is of."""
    if type(start) is model.kind:
        return start
    return model.kind(**{field.name: getattr(start, field.name) for field in fields(Mixture)})


def _lacks(model: Model, start: Mixture, labels: Labels) -> bool:
    """Whether a step from this start would miss something."""
    rates = model.weights.start(model.n_components, 1)[1] if model.weights.linked else None
    return bool(
        type(start) is not model.kind
        or (labels and start.group_labels is None)
        or (model.offsets is None) != (start.offsets is None)
        or (model.background is None) != (start.background is None)
        or (rates is not None and _shape_of_rates(start) != (*start.weights.shape[:-1], *rates.shape[1:]))
        or (hasattr(model.means, "design") != (start.theta is not None))
    )


def _shape_of_rates(start: Mixture) -> tuple[int, ...] | None:
    return None if start.rates is None else start.rates.shape


def _rates_of(start: Mixture, shape: tuple[int, ...]) -> Array:
    """The start's rates as the law has them, (G,) or (G, T), with G = 1 where rows have no groups.

    One rate stands for all of a group's, and one of a start without groups for every group's.
    """
    grouped = start.weights.ndim == 2
    known = start.rates if grouped else start.rates[None]
    if known.size == np.prod(shape):
        return np.asarray(known.reshape(shape))
    if known.ndim > 1:
        here = shape if grouped else shape[1:]
        raise DataError(f"rates of the start must have shape {here}, as the law of weights; got {start.rates.shape}")
    return np.broadcast_to(known.reshape(-1, *(1 for _ in shape[1:])), shape)


def _allowed_covariances(model: Model, start: Mixture) -> Array:
    """The start's covariances as the structure allows them, none without spread; frozen ones as they are."""
    free = ~model.mask("covariances")
    out = start.covariances.copy()
    if not free.any():
        return out
    least = _LEAST_SPREAD * overall_variances(start)
    size = np.sqrt(least)
    flat = free & (np.linalg.eigvalsh(out / (size[:, None] * size))[:, 0] < 1e-6)
    out[flat] += np.diag(least)
    counts = np.maximum(start.pooled_weights[free], 1e-3)
    scatter = out[free] * counts[:, None, None]
    allowed = model.covariance.maximise(scatter, counts, out[free], no_prior(start.n_dims), model.floor)
    if not np.allclose(allowed, out[free], rtol=1e-12, atol=0):
        out[free] = allowed
    return out


def _with_weights(model: Model, start: Mixture) -> Mixture:
    """The start with weights that obey the law: by its rates if it has them, else those nearest to its weights."""
    given, none = np.atleast_2d(start.weights), np.zeros(model.n_components, dtype=bool)
    if not model.weights.linked:
        if getattr(model.weights, "shared", False):
            given = np.broadcast_to(start.pooled_weights, given.shape)
        return replace(start, weights=given if start.weights.ndim == 2 else given[0], rates=None)
    weights, rates = model.weights.start(model.n_components, len(given))
    if start.rates is None or rates is None:
        weights, rates = model.weights.maximise(given, given if rates is None else weights, rates, none)
    else:
        known = _rates_of(start, rates.shape)
        weights, rates = model.weights.unpack(model.weights.pack(given, known, none), given, known, none)
    grouped = start.weights.ndim == 2
    return replace(
        start, weights=weights if grouped else weights[0], rates=rates if grouped or rates is None else rates[0]
    )
