"""Split and merge: leave a poor optimum by merging two components that share rows and splitting one that fits badly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

if TYPE_CHECKING:
    from mixsci.engine.em.task import Ended, Task

Array = np.ndarray

_TRIALS = 5
_ROUNDS = 20


def split_and_merge(task: Task, ended: Ended, rng: np.random.Generator, trials: int = _TRIALS) -> Ended:
    """The best end of the climbs that merging two and splitting a third component leads to (Ueda et al. 2000).

    Candidates are tried in the order of Ueda's criteria; the first that gains is taken, until none of `trials` does.
    """
    require_free(task.model)
    for _ in range(_ROUNDS):
        better = _improved(task, ended, rng, trials)
        if better is None:
            return ended
        ended = better
    return ended


def require_free(model: Any) -> None:
    """Refuse models whose components cannot be merged and split."""
    if not isinstance(model, Model):
        raise DataError("split_and_merge goes with mixsci.Model: give a mixture of factors more starts")
    masked = model.anything_frozen
    if model.n_components < 3 or masked or model.weights.linked or not model.means.free or model.offsets is not None:
        raise DataError(
            "split_and_merge needs 3 or more components with free weights and means, nothing frozen and no offsets"
        )


def _improved(task: Task, ended: Ended, rng: np.random.Generator, trials: int) -> Ended | None:
    for merge, split in candidates(ended.state.mixture, task.sample)[:trials]:
        trial = rearranged(ended.state.mixture, merge, split, rng)
        found = task.retry(trial)
        if found.state.objective > ended.state.objective + task.tol * ended.state.row_weight:
            return found
    return None


def candidates(mixture: Mixture, sample: Observations) -> list[tuple[tuple[int, int], int]]:
    """((i, j), k): components to merge and to split, most promising first.

    Merge where responsibilities overlap: r_i'r_j. Split where the rows that a component takes differ most from what it
    says of them: sum f log(f / p_k), with f the responsibilities normalised over rows. (Ueda et al. 2000)
    """
    r, log_density = mixture.responsibilities(sample), mixture.log_density(sample)
    overlap = r.T @ r
    share = r / np.maximum(r.sum(axis=0), 1e-300)
    weights = np.maximum(mixture.pooled_weights, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_component = np.where(share > 0, np.log(r) + log_density[:, None] - np.log(weights), 0.0)
    misfit = (xlogy(share, share) - share * log_component).sum(axis=0)
    k = mixture.n_components
    pairs = sorted(((i, j) for i in range(k) for j in range(i)), key=lambda pair: -overlap[pair])
    worst = np.argsort(-misfit, kind="stable")
    return [(pair, int(split)) for pair in pairs for split in worst if split not in pair]


def rearranged(mixture: Mixture, merge: tuple[int, int], split: int, rng: np.random.Generator) -> Mixture:
    """The mixture with two components merged, their moments kept, and one split in a random direction of its spread."""
    i, j = merge
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances.copy()
    share = mixture.pooled_weights[[i, j]]
    share = share / share.sum() if share.sum() > 0 else np.array([0.5, 0.5])
    centre = share @ means[[i, j]]
    apart = means[[i, j]] - centre
    spread = np.einsum("k,kab->ab", share, covariances[[i, j]] + apart[:, :, None] * apart[:, None, :])
    values, vectors = np.linalg.eigh(covariances[split])
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    step = 0.5 * root @ rng.standard_normal(mixture.n_dims)
    size = max(float(np.exp(np.mean(np.log(np.maximum(values, 1e-12 * max(values[-1], 1e-300)))))), 1e-300)
    half = weights[..., split] / 2
    weights[..., i] += weights[..., j]
    weights[..., j], weights[..., split] = half, half
    means[i], means[j], means[split] = centre, means[split] + step, means[split] - step
    covariances[i], covariances[j], covariances[split] = (
        spread,
        size * np.eye(mixture.n_dims),
        size * np.eye(mixture.n_dims),
    )
    return replace(mixture, weights=weights, means=means, covariances=covariances)
