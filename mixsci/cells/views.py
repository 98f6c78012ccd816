"""Cells from where their clusters lie farthest apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from mixsci.cells.again import matrix_again
from mixsci.cells.results import load
from mixsci.engine.evaluate import group_codes
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray
#: Cells -> their places (b, d).
Places = Callable[[Observations], Array]

#: Cells worked on at once.
_ROWS = 1024
#: Share of the spread within clusters that is added to it, so that it can be divided by.
_RIDGE = 1e-6


def view(adata: AnnData, key: str = "mixture", *, most: int = 5000) -> tuple[Array, Array]:
    """Where cells lie in the two directions that separate clusters best (Fisher 1936), gaps filled, batches aligned.

    Directions maximise the spread of the means of the clusters over the spread within them; a unit is the standard
    deviation within clusters. A cell lies at its expected place, so one of which little is known lies near the mean.

    Args:
        adata: with the results of `tl.mixture`.
        key: their name.
        most: cells that are shown; of more, as many at regular distances.

    Returns:
        (m,) numbers of the cells, and (m, 2) their places; (m, 1) where the fit has one dimension.

    Example:
        >>> from mixsci import cells
        >>> from mixsci.cells.views import view
        >>> adata = cells.simulate_cells(200, 6, 3, missing=0.2, rng=1)
        >>> cells.tl.mixture(adata, 3, covariance="tied", rng=1)
        >>> view(adata)[1].shape
        (200, 2)
    """
    mixture, matrix = load(adata, key).mixture, matrix_again(adata, key)
    step = max(1, -(-int(matrix.seen.sum()) // most))
    shown = np.flatnonzero(matrix.seen)[::step]
    means, within, places = _space(mixture, matrix.sd)
    directions = _directions(means, within, mixture.pooled_weights)
    found = []
    for rows, obs in matrix.parts():
        own = shown[(shown >= rows.start) & (shown < rows.stop)] - rows.start
        starts = range(0, len(own), _ROWS)
        found += [places(obs.take(own[start : start + _ROWS])) @ directions for start in starts]
    centre = mixture.pooled_weights @ means @ directions
    return shown, np.concatenate(found) - centre


def _directions(means: Array, within: Array, weights: Array) -> Array:
    """(d, 2) directions, the best first; (d, 1) where there is one dimension only."""
    apart = means - weights @ means
    between = (weights[:, None] * apart).T @ apart
    within = within + _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    vectors = eigh(between, within)[1][:, ::-1][:, :2]
    # The first cluster that stands out lies to the right, above.
    signs = np.sign((apart @ vectors)[np.abs(apart @ vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.asarray(vectors * np.where(signs == 0, 1.0, signs))


def _space(mixture: Mixture, sd: Array) -> tuple[Array, Array, Places]:
    """Means (K, d) and the spread within clusters (d, d) where they are compared, and how cells get there."""
    weights = mixture.pooled_weights
    if isinstance(mixture, FactorMixture) and mixture.own:
        # Factors of one cluster say nothing of those of another: compared are expected values, each in its own unit.
        scale = np.where(sd > 0, sd, 1.0)
        return mixture.component_means() / scale, np.eye(len(scale)), lambda obs: mixture.impute(obs)[0] / scale
    return mixture.means, np.einsum("k,kij->ij", weights, mixture.covariances), lambda obs: _aligned(mixture, obs)


def _aligned(mixture: Mixture, obs: Observations) -> Array:
    """(b, d) expected latent points, less the shifts of their batches."""
    points, codes = mixture.posterior(obs)[0], group_codes(mixture, obs)
    if mixture.offsets is None or codes is None:
        return np.asarray(points)
    return np.asarray(points - np.vstack([mixture.offsets, np.zeros(mixture.n_dims)])[codes])
