"""Starts given of mixtures with angles: what is refused, and the part that an ordinary mixture shares with them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.circular import CircularModel
from mixsci.errors import DataError

_SHARED = ("weights", "group_labels", "group_rows", "background")


def refuse_other_start(model: CircularModel, start: Any, width: int, labels: tuple[Hashable, ...] | None) -> None:
    """Refuse a start that is not one for this model and rows of so many columns."""
    if not isinstance(start, CircularMixture):
        raise DataError(f"start must be a CircularMixture, as rows have angles; got {type(start).__name__}")
    if start.open:
        raise DataError("start must be whole where rows have angles; got NaN in it: leave start out to draw one")
    ours = (model.n_components, width, list(model.columns(width)), model.periods(width).tolist())
    theirs = (start.n_components, start.n_variables, list(start.angles), start.period.tolist())
    for what, asked, given in zip(("components", "columns", "angles", "periods"), ours, theirs, strict=True):
        if asked != given:
            raise DataError(f"start must have the {what} of the model and the rows, {asked}; got {given}")
    if start.background is not None and model.background is None:
        raise DataError("start has a background, the model has none: give the model one, or start without")
    if start.group_labels is not None and not (labels and set(labels) <= set(start.group_labels)):
        raise DataError("start must know every group of the rows, and rows have groups where it has: start without")


def ordinary_part(start: CircularMixture) -> Mixture:
    """Weights, background and ordinary columns as a mixture; of one column that says nothing where there are none."""
    k = start.n_components
    means, covariances = (start.means, start.covariances) if start.n_dims else (np.zeros((k, 1)), np.ones((k, 1, 1)))
    return Mixture(means=means, covariances=covariances, **{name: getattr(start, name) for name in _SHARED})


def with_ordinary_part(start: CircularMixture, plain: Mixture) -> CircularMixture:
    """The start with these weights, background and ordinary columns."""
    parts = _SHARED if not start.n_dims else (*_SHARED, "means", "covariances")
    whole = {field.name: getattr(start, field.name) for field in fields(start)}
    return CircularMixture(**whole | {name: getattr(plain, name) for name in parts})
