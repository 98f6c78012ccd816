"""Split and merge: leave a poor optimum by merging two components that share rows and splitting one that fits badly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from mixsci.engine.em.task import rank
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.model.model import Model, overall_variances
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
    refuse_search(model, "split_and_merge goes")
    masked = model.anything_frozen
    if model.n_components < 3 or masked or model.weights.linked or not model.means.free or model.offsets is not None:
        raise DataError(
            "split_and_merge needs 3 or more components with free weights and means, nothing frozen and no offsets"
        )


def split(mixture: Mixture, k: int, apart: float = 0.7) -> Mixture:
    """A mixture of one component more: component k in two along its longest axis, its moments and all else kept.

    Axes are measured in standard deviations of the whole mixture: which is the longest does not hang on units.

    Args:
        apart: distance of each half from the old mean, in standard deviations along that axis, below 1.
    """
    sd = np.sqrt(overall_variances(mixture))
    values, vectors = np.linalg.eigh(mixture.covariances[k] / np.outer(sd, sd))
    step = apart * np.sqrt(max(values[-1], 0.0)) * vectors[:, -1] * sd
    weights = np.concatenate([mixture.weights, mixture.weights[..., k : k + 1] / 2], axis=-1)
    weights[..., k] /= 2
    means = np.vstack([mixture.means, mixture.means[k] - step])
    means[k] += step
    covariances = np.concatenate([mixture.covariances, mixture.covariances[k : k + 1]])
    covariances[[k, -1]] -= np.outer(step, step)
    return replace(mixture, weights=weights, means=means, covariances=covariances)


def can_be_split(model: Any) -> bool:
    """Whether a mixture of this model may have a component more and still be one of its kind."""
    return isinstance(model, Model) and model.means.free and not (model.weights.linked or model.anything_frozen)


def misfit(mixture: Mixture, sample: Observations) -> Array:
    """(K,) by how much the rows that a component takes differ from what it says of them (Ueda et al. 2000)."""
    # One thread: it may run in one of several that work side by side.
    shares = mixture.shares(sample, workers=1)
    r, log_density = shares.responsibilities, shares.log_density
    share = r / np.maximum(r.sum(axis=0), 1e-300)
    weights = np.maximum(mixture.pooled_weights, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_component = np.where(share > 0, np.log(r) + log_density[:, None] - np.log(weights), 0.0)
    return np.asarray((xlogy(share, share) - share * log_component).sum(axis=0))


def _improved(task: Task, ended: Ended, rng: np.random.Generator, trials: int) -> Ended | None:
    for merge, split in candidates(ended.state.mixture, task.sample)[:trials]:
        trial = rearranged(ended.state.mixture, merge, split, rng)
        found = task.retry(trial)
        usable, objective = rank(ended)
        if rank(found) > (usable, objective + task.tol * ended.state.row_weight):
            return found
    return None


def candidates(mixture: Mixture, sample: Observations) -> list[tuple[tuple[int, int], int]]:
    """((i, j), k): components to merge and to split, most promising first.

    Merge where responsibilities overlap: r_i'r_j. Split where the rows that a component takes differ most from what it
    says of them: sum f log(f / p_k), with f the responsibilities normalised over rows. (Ueda et al. 2000)
    """
    r = mixture.responsibilities(sample)
    overlap, worst = r.T @ r, np.argsort(-misfit(mixture, sample), kind="stable")
    k = mixture.n_components
    pairs = sorted(((i, j) for i in range(k) for j in range(i)), key=lambda pair: -overlap[pair])
    return [(pair, int(split)) for pair in pairs for split in worst if split not in pair]


def moments_of_both(mixture: Mixture, i: int, j: int) -> tuple[Array, Array]:
    """Mean (D,) and covariance (D, D) of two components together."""
    share = mixture.pooled_weights[[i, j]]
    share = share / share.sum() if share.sum() > 0 else np.array([0.5, 0.5])
    centre = share @ mixture.means[[i, j]]
    apart = mixture.means[[i, j]] - centre
    return centre, np.einsum("k,kab->ab", share, mixture.covariances[[i, j]] + apart[:, :, None] * apart[:, None, :])


def rearranged(mixture: Mixture, merge: tuple[int, int], split: int, rng: np.random.Generator) -> Mixture:
    """The mixture with two components merged, their moments kept, and one split in a random direction of its spread."""
    i, j = merge
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances.copy()
    centre, spread = moments_of_both(mixture, i, j)
    sd = np.sqrt(overall_variances(mixture))
    values, vectors = np.linalg.eigh(covariances[split] / np.outer(sd, sd))
    root = sd[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
    step = 0.5 * root @ rng.standard_normal(mixture.n_dims)
    size = max(float(np.exp(np.mean(np.log(np.maximum(values, 1e-12 * max(values[-1], 1e-300)))))), 1e-300)
    half = weights[..., split] / 2
    weights[..., i] += weights[..., j]
    weights[..., j], weights[..., split] = half, half
    means[i], means[j], means[split] = centre, means[split] + step, means[split] - step
    covariances[i], covariances[j], covariances[split] = (
        spread,
        size * np.diag(sd**2),
        size * np.diag(sd**2),
    )
    return replace(mixture, weights=weights, means=means, covariances=covariances)
