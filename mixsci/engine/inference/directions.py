"""In which directions a mixture is free to move, each about one standard error long, and in which nothing holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixsci.engine.em.steps import COLLAPSED
from mixsci.engine.inference.numbers import Coordinates
from mixsci.engine.inference.yardstick import FEWEST_ROWS, Directions, Yardstick, congruent
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model, overall_variances

Array = np.ndarray

#: Singular values below this share of the largest belong to directions in which nothing moves: of differences, exact.
_STILL, _STILL_EXACT = 1e-7, 1e-11
#: A covariance without noise, floor or prior is flat where it is this many times as narrow as one that collapsed.
_NARROW = 10.0 * COLLAPSED


@dataclass(frozen=True, eq=False)
class Free:
    """The free directions, and by reason those that are lost, each of length one."""

    directions: Directions
    lost: dict[str, Directions]


def free_directions(model: Model, coordinates: Coordinates, yardstick: Yardstick) -> Free:
    """The directions in which a mixture can move from here, and those in which nothing holds it, or an edge.

    Reasons: "weights" and "background" (too few rows for a weight), "rows" (too few for a mean or a covariance),
    "theta" (no mean depends on it), "flat" (a covariance without spread, or at its floor).
    """
    parts = {
        "weights": _of_weights(coordinates, yardstick),
        "means": _of_means(coordinates, yardstick),
        "offsets": _of_offsets(model, yardstick),
        "covariances": _of_covariances(model, coordinates, yardstick),
        "background": _of_background(coordinates, yardstick),
    }
    whole = coordinates.jacobian
    placed = {name: _placed(coordinates, whole, name, basis) for name, (basis, _) in parts.items()}
    lost: dict[str, Directions] = {}
    for name, (_, reasons) in parts.items():
        for reason, basis in reasons.items():
            found = [lost[reason]] if reason in lost else []
            lost[reason] = Directions.joined(*found, _placed(coordinates, whole, name, basis))
    shares = _shares(coordinates, yardstick, lost["weights"])
    lost["weights"] = Directions.joined(_at_edge(coordinates, whole), shares)
    return Free(
        Directions.joined(*placed.values()),
        {reason: yardstick.of_length_one(found) for reason, found in lost.items()},
    )


def _placed(coordinates: Coordinates, jacobian: Array, name: str, basis: Array) -> Directions:
    """Directions whose part of theta is given by the columns of a basis (p_part, q)."""
    theta = np.zeros((basis.shape[1], jacobian.shape[1]))
    theta[:, coordinates.theta[name]] = basis.T
    return Directions(theta, theta @ jacobian.T)


def _at_edge(coordinates: Coordinates, jacobian: Array) -> Directions:
    """One step inwards for every weight that stands at an edge of its law."""
    block, count = coordinates.blocks["weights"], len(coordinates.blocks["weights"].edge)
    theta, numbers = np.zeros((count, jacobian.shape[1])), np.zeros((count, len(jacobian)))
    theta[np.arange(count), coordinates.theta["weights"][block.at_edge]] = 1.0
    numbers[:, coordinates.numbers["weights"]] = block.edge
    return Directions(theta, numbers)


def _shares(coordinates: Coordinates, yardstick: Yardstick, lost: Directions) -> Directions:
    """Lost directions of weights, with rounding taken from the changes of those that hardly move."""
    parts, weights = coordinates.layout.split(lost.numbers), np.atleast_2d(yardstick.mixture.weights)
    free = coordinates.blocks["weights"].jacobian[: weights.size].any(axis=1).reshape(weights.shape)
    changed = parts["weights"].reshape(len(lost), *weights.shape)
    changed = np.where(np.abs(changed) > _STILL * weights, changed, 0.0)
    share = np.where(free, weights, 0.0)
    share = share / np.maximum(share.sum(axis=1, keepdims=True), 1e-300)
    changed = changed - changed.sum(axis=2, keepdims=True) * share
    numbers = lost.numbers.copy()
    numbers[:, coordinates.numbers["weights"][: weights.size]] = changed.reshape(len(lost), weights.size)
    return Directions(lost.theta, numbers)


Basis = tuple[Array, dict[str, Array]]


def _of_weights(coordinates: Coordinates, yardstick: Yardstick) -> Basis:
    """Directions of the weights; lost are those that less than half a row speaks for.

    The numbers of laws are logarithms, log-odds and roots of shares: they need no scaling among themselves.
    """
    block, weights = coordinates.blocks["weights"], np.atleast_2d(yardstick.mixture.weights)
    rows = np.repeat(yardstick.group_rows, weights.shape[1])
    share = np.maximum(weights.ravel(), 1e-300)
    inner = np.eye(block.jacobian.shape[1])[:, np.setdiff1d(np.arange(block.jacobian.shape[1]), block.at_edge)]
    slope = block.jacobian[: share.size] @ inner
    size, axes = _svd(np.sqrt(rows / share)[:, None] * slope)
    told = size**2 >= FEWEST_ROWS
    # Logarithms of weights change where a direction is lost, and stand still where it moves nothing.
    change, turn = _svd((slope / share[:, None]) @ axes[~told].T)
    return inner @ (axes[told].T / size[told]), {"weights": inner @ axes[~told].T @ turn[change > _STILL].T}


def _of_means(coordinates: Coordinates, yardstick: Yardstick) -> Basis:
    """Directions of the means; lost are those of a ladder's theta that move none, and those with too few rows."""
    k, d = yardstick.mixture.means.shape
    jacobian = coordinates.blocks["means"].jacobian[: k * d].reshape(k, d, -1)
    rooted = yardstick.roots.transpose(0, 2, 1) @ jacobian
    moving, still = split_rows(rooted.reshape(k * d, -1), _STILL_EXACT)
    told, untold = _by_rows(rooted @ moving, yardstick.rows)
    return moving @ told, {"theta": still, "rows": moving @ untold}


def _of_offsets(model: Model, yardstick: Yardstick) -> Basis:
    """Directions of each group's offset; lost are those of groups with too few rows."""
    offsets = yardstick.mixture.offsets
    if offsets is None:
        return np.zeros((0, 0)), {}
    groups, d = offsets.shape
    counts = yardstick.stats.grouped[0]
    some = (counts.sum(axis=1) >= FEWEST_ROWS) | (model.offsets.prior_sd is not None)
    shares = np.where(some[:, None], np.maximum(counts, 1e-8), 1.0)
    information = np.einsum("gk,kab,kcb->gac", shares, yardstick.roots, yardstick.roots)
    basis = np.zeros((groups, d, groups, d))
    for g, root in enumerate(np.linalg.cholesky(information)):
        basis[g, :, g] = np.linalg.inv(root).T
    flat = basis.reshape(groups * d, groups * d)
    return flat[:, np.repeat(some, d)], {"rows": flat[:, np.repeat(~some, d)]}


def _of_background(coordinates: Coordinates, yardstick: Yardstick) -> Basis:
    """The share of the background; lost where too few rows speak for it."""
    jacobian = coordinates.blocks["background"].jacobian
    if not jacobian.size:
        return np.zeros((0, 0)), {}
    rows = (yardstick.group_rows.sum() + yardstick.stats.background_count) * float(jacobian[0, 0])
    one, none = np.ones((1, 1)), np.zeros((1, 0))
    return (one / np.sqrt(rows), {}) if rows >= FEWEST_ROWS else (none, {"background": one})


def _of_covariances(model: Model, coordinates: Coordinates, yardstick: Yardstick) -> Basis:
    """Directions of the covariances; lost are those that change a flat side of one, and those with too few rows."""
    free, d = ~model.mask("covariances"), yardstick.mixture.n_dims
    if not free.any():
        return np.zeros((0, 0)), {}
    changes = coordinates.blocks["covariances"].jacobian.reshape(int(free.sum()), d, d, -1)
    flat = [side for side, is_free in zip(flat_sides(model, yardstick.mixture), free, strict=True) if is_free]
    sides = [np.einsum("abp,bc->cap", change, side) for change, side in zip(changes, flat, strict=True)]
    still, moving = split_rows(np.concatenate([side.reshape(-1, changes.shape[-1]) for side in sides]), _STILL)
    whitened = np.moveaxis(congruent(np.moveaxis(changes @ moving, -1, 0), yardstick.roots[free]), 0, -1)
    said = whitened.reshape(len(changes), d * d, -1) / np.sqrt(2.0)
    basis, _ = split_rows(said.reshape(len(changes) * d * d, -1), _STILL_EXACT)
    told, untold = _by_rows(said @ basis, yardstick.rows[free] + model.pseudo(d).count)
    return moving @ basis @ told, {"flat": still, "rows": moving @ basis @ untold}


def flat_sides(model: Model, mixture: Mixture) -> list[Array]:
    """For each component the directions (D, c) in which its covariance has no spread or lies at its floor."""
    scale = np.sqrt(overall_variances(mixture))
    values, vectors = np.linalg.eigh(mixture.covariances / (scale[:, None] * scale))
    low, axes = np.linalg.eigh(mixture.covariances)
    at_floor = (model.floor > 0) & (low <= model.floor * (1.0 + 1e-9) + 1e-14 * low[:, -1:])
    return [
        np.hstack([(vectors[k] / scale[:, None])[:, values[k] <= _NARROW], axes[k][:, at_floor[k]]])
        for k in range(len(values))
    ]


def split_rows(rows: Array, least: float) -> tuple[Array, Array]:
    """Two bases (p, .) that span everything: directions that rows (n, p) see, and those in which all of them are zero.

    Columns of very different units do not hide one another.
    """
    norm = np.linalg.norm(rows, axis=0)
    norm = np.where(norm > 0, norm, 1.0)
    size, axes = _svd(rows / norm)
    seen = size > least * size.max(initial=0.0)
    return (axes[seen] / norm).T, (axes[~seen] / norm).T


def _by_rows(said: Array, rows: Array) -> tuple[Array, Array]:
    """Directions (q, .) that at least half a row speaks for, each a standard error long, and the others.

    Args:
        said: (K, n, q) what a row of each component says of every direction. rows: (K,) how many rows there are.
    """
    k, n, q = said.shape
    one, axes = _svd(said.reshape(k * n, q))
    whole = axes.T / np.maximum(one, 1e-300)
    size, turn = _svd((np.sqrt(rows)[:, None, None] * (said @ whole)).reshape(k * n, q))
    told = size**2 >= FEWEST_ROWS
    return whole @ (turn[told].T / size[told]), whole @ turn[~told].T


def _svd(rows: Array) -> tuple[Array, Array]:
    """Singular values (p,), and by rows the right singular vectors (p, p), of rows (n, p)."""
    n, p = rows.shape
    if not p:
        return np.zeros(0), np.zeros((0, 0))
    square = np.linalg.qr(rows, mode="r") if n > p else np.vstack([rows, np.zeros((p - n, p))])
    _, size, axes = np.linalg.svd(square)
    return size, axes
