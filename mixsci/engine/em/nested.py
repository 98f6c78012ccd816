"""The fit of a model that holds a smaller one: from starts of its own, and from the smaller fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.splitting import can_be_split, misfit, split
from mixsci.engine.em.start import draw_rows
from mixsci.engine.mixture import Mixture

#: Rows on which it is seen which component fits worst.
_MOST_ROWS = 20_000
#: Halves so near to each other hardly change the objective: a climb from there ends no lower than the smaller fit.
_NEAR = 0.05


def fit_with_more(
    model: Any, obs: Any, smaller: Fit | None, *, starts: int, rng: np.random.Generator, **settings: Any
) -> Fit:
    """The best fit from fresh starts and from a fit of fewer components, of which the worst are split in two.

    Args:
        model: what is assumed.
        obs: the rows.
        smaller: a fit of the same rows whose mixtures the model holds, but for the number of components; None = none.
        starts: fresh starts.
        rng: generator of the starts.
        settings: of `mixsci.fit`.
    """
    found = fit(model, obs, starts=starts, rng=rng, **settings)
    if smaller is None or not can_be_split(model) or smaller.mixture.n_components > model.n_components:
        return found
    found = _better(found, fit(model, obs, start=_grown(smaller, obs, model, rng, 0.7), **settings))
    if found.objective < smaller.objective:
        found = _better(found, fit(model, obs, start=_grown(smaller, obs, model, rng, _NEAR), **settings))
    return found


def _grown(smaller: Fit, obs: Any, model: Any, rng: np.random.Generator, apart: float) -> Mixture:
    """The smaller mixture with its worst components split until it has as many as the model."""
    sample = draw_rows(obs, _MOST_ROWS, rng)
    mixture = smaller.mixture
    while mixture.n_components < model.n_components:
        mixture = split(mixture, int(np.argmax(misfit(mixture, sample))), apart)
    return mixture


def _better(one: Fit, other: Fit) -> Fit:
    """The fit of the higher objective, one that came to its end before one that did not."""
    return max((one, other), key=lambda found: (found.converged, found.objective))
