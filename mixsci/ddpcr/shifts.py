"""How far each state of a well lies from where the plate has it: baselines drift, and so do gains, state by state."""

from __future__ import annotations

import numpy as np

from mixsci.ddpcr.plate_model import AssayFit
from mixsci.engine.em.steps import expect
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.linear import precisions
from mixsci.engine.observations import Observations

Array = np.ndarray

#: States are expected within this share of the largest step between states ...
_DRIFT = 0.02
#: ... or of the spread of the negatives, where that is more.
_LEAST = 0.5
_PASSES = 6
#: A state moves where so many droplets say so; with fewer it would look for some in its neighbours' tails.
_ENOUGH = 30.0
#: Moves below this share of the spread of the negatives end the search.
_STILL = 1e-3


def settled(found: AssayFit, well: int) -> Mixture:
    """The mixture of one well with each state moved to where the well's droplets have it.

    The shift of a state has a normal prior, and a state with few droplets stays where the plate has it. With the score
    g_k and the information N_k Sigma_k^-1 of its components, the most probable shift is
    (sum_k N_k Sigma_k^-1 + P)^-1 sum_k g_k, in a few passes.
    """
    here = found.binned.of(well)
    rows = Observations(found.binned.x[here], row_weights=found.binned.counts[here])
    mixture = found.fit.mixture.of_group(well)
    prior = np.diag(1.0 / _prior_sd(found) ** 2)
    inverse, _ = precisions(mixture.covariances)
    shifts = np.zeros_like(found.levels)
    begun = mixture.means
    for _ in range(_PASSES):
        moved = mixture.evolve(means=begun + found.layout.on_path(shifts))
        stats = expect(moved, rows)
        before = shifts.copy()
        for state in range(len(shifts)):
            own = (found.layout.state_of == state) & (found.layout.at == 0)
            if stats.counts[own].sum() < _ENOUGH:
                continue
            information = np.einsum("k,kij->ij", stats.counts[own], inverse[own]) + prior
            shifts[state] += np.linalg.solve(information, stats.g[own].sum(axis=0) - prior @ shifts[state])
        if (np.abs(shifts - before) < _STILL * found.marks.spread).all():
            break
    return mixture.evolve(means=begun + found.layout.on_path(shifts))


def _prior_sd(found: AssayFit) -> Array:
    """(C,) standard deviation of the shifts of states."""
    range_ = np.ptp(found.levels, axis=0)
    return np.maximum(_DRIFT * range_, _LEAST * found.marks.spread)
