"""The frame of common factors: what may be turned, stretched and moved in them while the mixture stays the same."""

from __future__ import annotations

import numpy as np

from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.kernels.information import packed, unpacked
from mixsci.engine.model.factor_sums import FactorStats

Array = np.ndarray


def total_covariance(mixture: FactorMixture) -> tuple[Array, Array]:
    """Mean (q,) and covariance (q, q) of all factors."""
    weights = mixture.pooled_weights
    mean = weights @ mixture.means
    apart = mixture.means - mean
    return mean, np.einsum("k,kij->ij", weights, mixture.covariances) + (weights[:, None] * apart).T @ apart


def in_frame(mixture: FactorMixture, turn: Array | None = None) -> FactorMixture:
    """The same mixture with factors of total covariance one, perhaps turned: the loadings take the change."""
    values, vectors = np.linalg.eigh(total_covariance(mixture)[1])
    root = np.sqrt(np.maximum(values, np.finfo(float).tiny))
    forth, back = (vectors * root) @ vectors.T, (vectors / root) @ vectors.T
    if turn is not None:
        forth, back = forth @ turn, turn.T @ back
    changes = {
        "loadings": mixture.loadings @ forth,
        "means": mixture.means @ back.T,
        "covariances": symmetric(back @ mixture.covariances @ back.T),
    }
    if mixture.doubt is not None:
        changes["doubt"] = packed(forth.T @ unpacked(mixture.doubt, len(values)) @ forth)
        changes["scale"] = symmetric(forth.T @ mixture.scale @ forth)
    return mixture.evolve(**changes)


def own_frame(mixture: FactorMixture) -> FactorMixture:
    """The same mixture with loadings of each component's own, whose factors are N(0, I)."""
    k, q = mixture.means.shape
    values, vectors = np.linalg.eigh(mixture.covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    many = np.broadcast_to(mixture.loadings, (k, mixture.n_variables, q))
    return mixture.evolve(
        loadings=many @ roots, intercept=mixture.component_means(), means=np.zeros((k, q)),
        covariances=np.tile(np.eye(q), (k, 1, 1)), doubt=None, scale=None,
    )  # fmt: skip


def moved(mixture: FactorMixture, by: Array) -> FactorMixture:
    """The same mixture with factors moved by -`by` (q,): the intercept takes the change."""
    return mixture.evolve(means=mixture.means - by, intercept=mixture.intercept + mixture.loadings @ by)


def centred(mixture: FactorMixture, stats: FactorStats) -> FactorMixture:
    """The mixture with its factors moved to where uncertain loadings do least harm: the bound rises."""
    (sums,) = stats.regressions
    doubt, rows, along = unpacked(mixture.doubt[0], mixture.n_dims), sums.one.sum(axis=0), sums.v.sum(axis=0)
    whole, pull = np.einsum("d,dij->ij", rows, doubt), np.einsum("dij,dj->i", doubt, along)
    return moved(mixture, np.linalg.lstsq(whole, pull, rcond=None)[0])


def principal(mixture: FactorMixture) -> FactorMixture:
    """The mixture as users get it: what is uncertain of loadings left out, factors of mean zero and covariance one.

    Factors come in the order of what they explain, each turned so that most of its loadings are positive; the shifts
    of groups have mean zero over rows. Loadings of components' own come in that order too.
    """
    plain = _level(mixture.evolve(doubt=None, scale=None))
    if plain.own:
        return plain.evolve(loadings=np.array([each @ _turn(each, plain.uniquenesses) for each in plain.loadings]))
    plain = in_frame(moved(plain, total_covariance(plain)[0]))
    return in_frame(plain, _turn(plain.loadings, plain.uniquenesses))


def _level(mixture: FactorMixture) -> FactorMixture:
    """The same mixture with shifts of mean zero over rows."""
    if mixture.shifts is None:
        return mixture
    level = np.average(mixture.shifts, axis=0, weights=mixture.group_rows)
    return mixture.evolve(shifts=mixture.shifts - level, intercept=mixture.intercept + level)


def _turn(loadings: Array, uniquenesses: Array) -> Array:
    """(q, q) the turn after which factors explain apart from one another, most first, and more up than down."""
    says = (loadings / uniquenesses[:, None]).T @ loadings
    turn = np.linalg.eigh(says)[1][:, ::-1]
    return turn * np.where((loadings @ turn / np.sqrt(uniquenesses)[:, None]).sum(axis=0) < 0, -1.0, 1.0)


def symmetric(matrices: Array) -> Array:
    """Matrices (..., q, q) without the lopsidedness of rounding."""
    return np.asarray((matrices + np.swapaxes(matrices, -1, -2)) / 2)
