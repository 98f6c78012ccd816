"""All numbers of a mixture as one vector, and how they follow from the free numbers of its model.

With theta = model.pack(mixture), m(theta) the numbers and l = L(m) + log prior p, score and curvature in theta are

    dl/dtheta = J' s + dp/dtheta,    d2l/dtheta2 = J' (ds/dm) J + sum_i s_i d2m_i/dtheta2 + d2p/dtheta2

with J = dm/dtheta and s = dL/dm, which the sums of an E-step give. Only ds/dm needs further passes over the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import NamedTuple

import numpy as np
from scipy.linalg import block_diag

from mixsci.engine.mixture import Mixture
from mixsci.engine.model.covariances import Families, Proportional, Structure
from mixsci.engine.model.law import SMALLEST_WEIGHT
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import Pseudo
from mixsci.engine.model.statistics import Stats

Array = np.ndarray
Parts = dict[str, Array]

#: Step of finite differences of laws of weights, whose numbers are logarithms, log-odds and roots of shares.
_STEP = 3e-4


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each part of a mixture stands in the vector of all its numbers: part -> shape, in order."""

    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, mixture: Mixture) -> Layout:
        """The layout of the parts that a mixture has."""
        return cls({name: part.shape for name, part in parts_of(mixture).items()})

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def split(self, vectors: Array) -> Parts:
        """The parts (..., *shape) of vectors (..., size)."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        pieces = np.split(vectors, ends[:-1], axis=-1)
        lead = vectors.shape[:-1]
        return {
            name: piece.reshape(lead + shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def join(self, parts: Parts) -> Array:
        """The vector of parts; those not given are zero."""
        return np.concatenate([
            np.asarray(parts[name], dtype=float).ravel() if name in parts else np.zeros(int(np.prod(shape)))
            for name, shape in self.shapes.items()
        ])  # fmt: skip


def parts_of(mixture: Mixture) -> Parts:
    """The parts of a mixture that are numbers; the background as its weight."""
    names = ("weights", "rates", "means", "theta", "offsets", "covariances")
    parts = {name: getattr(mixture, name) for name in names if getattr(mixture, name) is not None}
    if mixture.background is not None:
        parts["background"] = np.array(mixture.background.weight)
    return parts


def moved(mixture: Mixture, change: Parts) -> Mixture:
    """The mixture with its parts changed, along a straight line."""
    parts = {name: part + change[name] for name, part in parts_of(mixture).items()}
    # A weight of next to nothing must not be rounded below zero, where no row has a density.
    parts["weights"] = np.where(np.abs(parts["weights"]) < SMALLEST_WEIGHT, 0.0, parts["weights"])
    if mixture.background is not None:
        return mixture.evolve(**parts | {"background": replace(mixture.background, weight=float(parts["background"]))})
    return mixture.evolve(**parts)


def slopes(mixture: Mixture, stats: Stats) -> Parts:
    """The score dL/dm of each part, as if all its numbers were free."""
    counts, g, _ = stats.grouped
    weights = np.atleast_2d(mixture.weights)
    found = {
        "weights": np.divide(counts, weights, out=np.zeros(counts.shape), where=weights > 0).reshape(
            mixture.weights.shape
        ),
        "means": g.sum(axis=0),
        "covariances": stats.H / 2,
    }
    if mixture.offsets is not None:
        found["offsets"] = g.sum(axis=1)
    if mixture.background is not None:
        share = mixture.background.weight
        found["background"] = np.array(
            (stats.background_count / share if share > 0 else 0.0) - counts.sum() / (1.0 - share)
        )
    return found


class Block(NamedTuple):
    """One part of theta.

    Attributes:
        jacobian: (numbers, p) derivatives of the numbers that follow from it.
        slope: (p,) of the log prior.
        bend: scores of these numbers -> (p, p) Hessian of (scores @ numbers + log prior).
        edge: (e, numbers) how numbers change where theta stands at an edge, and `at_edge` (e,) which theta do.
    """

    jacobian: Array
    slope: Array
    bend: Callable[[Array], Array]
    edge: Array
    at_edge: Array


def straight(jacobian: Array) -> Block:
    """A part without a prior whose numbers are linear in it."""
    count = jacobian.shape[1]
    return Block(jacobian, np.zeros(count), lambda _: np.zeros((count, count)), np.zeros((0, len(jacobian))), _none())


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The free numbers of a model at a mixture: parts "weights", "means", "offsets", "covariances", "background".

    `numbers` and `theta` say which rows and columns of the Jacobian each part has.
    """

    layout: Layout
    blocks: dict[str, Block]
    numbers: dict[str, Array]
    theta: dict[str, Array]

    @property
    def jacobian(self) -> Array:
        """(numbers, p)."""
        size = sum(len(at) for at in self.theta.values())
        out = np.zeros((self.layout.size, size))
        for name, block in self.blocks.items():
            out[np.ix_(self.numbers[name], self.theta[name])] = block.jacobian
        return out

    @property
    def prior_slope(self) -> Array:
        """(p,) slope of the log prior."""
        return np.concatenate([block.slope for block in self.blocks.values()])

    def bend(self, scores: Array) -> Array:
        """(p, p) what the curvature of numbers and prior adds to the Hessian, for scores (numbers,) of L."""
        return block_diag(*(block.bend(scores[self.numbers[name]]) for name, block in self.blocks.items()))


def coordinates(model: Model, mixture: Mixture) -> Coordinates:
    """The free numbers of a model at a mixture, in the order of `model.pack`."""
    layout = Layout.of(mixture)
    place = layout.split(np.arange(layout.size))
    free = ~model.mask("covariances")
    # One block for each part of `model.pack`, and the numbers that follow from it.
    blocks = {
        "weights": (_weights(model, mixture), [place["weights"], place.get("rates", _none())]),
        "means": (straight(_means(model, mixture)), [place["means"], place.get("theta", _none())]),
        "offsets": (_offsets(model, mixture), [place.get("offsets", _none())]),
        "covariances": (_covariances(model, mixture), [place["covariances"][free]]),
        "background": (_background(mixture), [place.get("background", _none())]),
    }
    ends = np.cumsum([block.jacobian.shape[1] for block, _ in blocks.values()])
    return Coordinates(
        layout,
        {name: block for name, (block, _) in blocks.items()},
        {name: np.concatenate([part.ravel() for part in parts]) for name, (_, parts) in blocks.items()},
        {name: np.arange(end - blocks[name][0].jacobian.shape[1], end) for name, end in zip(blocks, ends, strict=True)},
    )


def _none() -> Array:
    return np.zeros(0, dtype=np.int64)


# Means, offsets and the background


def _means(model: Model, mixture: Mixture) -> Array:
    """Derivatives of means and theta."""
    if mixture.theta is not None:
        design = np.asarray(model.means.design)
        return np.vstack([design.reshape(-1, design.shape[2]), np.eye(design.shape[2])])
    free = np.repeat(~model.mask("means") & bool(model.means.free), mixture.n_dims)
    return np.eye(mixture.means.size)[:, free]


def _offsets(model: Model, mixture: Mixture) -> Block:
    if mixture.offsets is None:
        return straight(np.zeros((0, 0)))
    precision = model.offsets.precision(mixture.n_dims)
    whole = np.kron(np.eye(mixture.n_groups), precision)
    plain = straight(np.eye(mixture.offsets.size))
    return plain._replace(slope=-whole @ mixture.offsets.ravel(), bend=lambda _: -whole)


def _background(mixture: Mixture) -> Block:
    if mixture.background is None:
        return straight(np.zeros((0, 0)))
    if mixture.background.fixed:
        return straight(np.zeros((1, 0)))
    share = mixture.background.weight
    slope = share * (1.0 - share)
    return straight(np.array([[slope]]))._replace(bend=lambda score: score.reshape(1, 1) * slope * (1.0 - 2.0 * share))


# Weights: any law, by finite differences


def _weights(model: Model, mixture: Mixture) -> Block:
    law, frozen = model.weights, model.mask("weights")
    weights = np.atleast_2d(mixture.weights)
    rates = mixture.rates if mixture.rates is None or mixture.weights.ndim == 2 else mixture.rates[None]
    # A weight of zero would stay zero.
    alive = np.maximum(weights, SMALLEST_WEIGHT)
    at = law.pack(weights, rates, frozen)

    def numbers(vector: Array) -> Array:
        found, moved_rates = law.unpack(vector, alive, rates, frozen)
        parts = [found, np.empty(0) if moved_rates is None else moved_rates, np.array([law.log_prior(found)])]
        return np.concatenate([part.ravel() for part in parts])

    slope, edge, at_edge = derivatives(numbers, at, np.full(len(at), _STEP))

    def bend(scores: Array) -> Array:
        own = scores[: weights.size].reshape(weights.shape)
        # Weights of a group have a sum: a score common to all of them says nothing, and would only be rounded.
        own = own - (weights * own).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        pull = np.concatenate([own.ravel(), np.zeros(len(slope) - weights.size - 1), [1.0]])
        return hessian(lambda vector: pull @ numbers(vector), at, np.full(len(at), _STEP), slope[: weights.size])

    return Block(slope[:-1], slope[-1], bend, edge[:, :-1], at_edge)


def derivatives(function: Callable[[Array], Array], at: Array, steps: Array) -> tuple[Array, Array, Array]:
    """Derivatives (numbers, p) of a function by five-point differences.

    Returns:
        the derivatives; the change (e, numbers) by a step up at each of the coordinates (e,) that cannot go down.
    """
    here = function(at)
    out, edge, at_edge = np.zeros((len(here), len(at))), [], []
    for a, step in enumerate(steps):
        up, down = function(_step(at, a, step)), function(_step(at, a, -step))
        if (down == here).all() and (up != here).any():
            edge.append(up - here)
            at_edge.append(a)
            continue
        far = function(_step(at, a, 2 * step)) - function(_step(at, a, -2 * step))
        out[:, a] = (8.0 * (up - down) - far) / (12.0 * step)
    return out, np.array(edge).reshape(len(edge), len(here)), np.array(at_edge, dtype=np.int64)


def hessian(function: Callable[[Array], float], at: Array, steps: Array, numbers: Array) -> Array:
    """Second derivatives (p, p) of a function; zero between coordinates that no row of `numbers` (n, p) shares."""
    touched = (numbers != 0).astype(float)
    out, here = np.zeros((len(at), len(at))), function(at)
    for a, b in np.argwhere(np.triu(touched.T @ touched)):
        h, k = steps[a], steps[b]
        if a == b:
            out[a, a] = (function(_step(at, a, h)) - 2.0 * here + function(_step(at, a, -h))) / h**2
            continue
        corners = [sign * function(_step(_step(at, a, i * h), b, j * k)) for i, j, sign in _CORNERS]
        out[a, b] = out[b, a] = sum(corners) / (4.0 * h * k)
    return out


_CORNERS = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))


def _step(at: Array, a: int, step: float) -> Array:
    there = at.copy()
    there[a] += step
    return there


# Covariances: a structure of your own by finite differences, those of the table exactly


def _covariances(model: Model, mixture: Mixture) -> Block:
    free = ~model.mask("covariances")
    if not free.any():
        return straight(np.zeros((0, 0)))
    return covariance_block(model.covariance, mixture.covariances[free], model.pseudo(mixture.n_dims))


@singledispatch
def covariance_block(structure: Structure, covariances: Array, pseudo: Pseudo) -> Block:
    """How covariances (K, D, D) follow from the numbers of their structure."""
    at = structure.pack(covariances)
    size = structure.spread(covariances, np.ones(len(covariances)))
    # A step must not leave the positive definite matrices.
    sd = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 1e-300))
    narrow = np.linalg.eigvalsh(covariances / (sd[:, :, None] * sd[:, None, :]))[:, 0].min()
    steps = _STEP * size * max(float(narrow), 1e-6)

    def numbers(vector: Array) -> Array:
        found = structure.unpack(vector, covariances, 0.0)
        return np.append(found.ravel(), structure.log_prior(found, pseudo))

    slope, edge, at_edge = derivatives(numbers, at, steps)

    def bend(scores: Array) -> Array:
        pull = np.append(scores, 1.0)
        return hessian(lambda vector: pull @ numbers(vector), at, steps, slope[:-1])

    return Block(slope[:-1], slope[-1], bend, edge[:, :-1], at_edge)


@covariance_block.register
def _(structure: Families, covariances: Array, pseudo: Pseudo) -> Block:
    k, d = covariances.shape[:2]
    codes, factors = structure.families(k)
    each = structure.numbers(np.zeros((1, d, d))).shape[1]
    shapes = structure.matrices(np.eye(each), d)
    jacobian = np.zeros((k, d, d, codes.max() + 1, each))
    for j, (code, factor) in enumerate(zip(codes, factors, strict=True)):
        jacobian[j, :, :, code] = factor * np.moveaxis(shapes, 0, -1)
    jacobian = jacobian.reshape(k * d * d, -1)
    # A prior speaks once of each family: of its first member.
    share = np.array([float(j == np.flatnonzero(codes == code)[0]) for j, code in enumerate(codes)])
    prior = _Prior(covariances, pseudo, share, factors)
    return straight(jacobian)._replace(slope=prior.slope.ravel() @ jacobian, bend=lambda _: prior.bend(jacobian))


@covariance_block.register
def _(structure: Proportional, covariances: Array, pseudo: Pseudo) -> Block:
    k, d = covariances.shape[:2]
    numbers = structure.pack(covariances)
    sizes, a, b = numbers[:k], *np.tril_indices(d)
    shape, units = np.zeros((d, d)), np.zeros((len(a), d, d))
    shape[a, b] = shape[b, a] = numbers[k:]
    units[np.arange(len(a)), a, b] = units[np.arange(len(a)), b, a] = 1.0
    by_size = np.einsum("kj,ab->kabj", np.eye(k), shape)
    by_shape = np.einsum("k,jab->kabj", sizes, units)
    jacobian = np.concatenate([by_size, by_shape], axis=-1).reshape(k * d * d, -1)
    prior = _Prior(covariances, pseudo, np.full(k, 1.0 / k), np.ones(k))

    def bend(scores: Array) -> Array:
        pull = scores.reshape(k, d, d) + prior.slope
        cross = np.einsum("kab,jab->kj", pull, units)
        return prior.bend(jacobian) + np.block([[np.zeros((k, k)), cross], [cross.T, np.zeros((len(a), len(a)))]])

    return straight(jacobian)._replace(slope=prior.slope.ravel() @ jacobian, bend=bend)


class _Prior:
    """Derivatives of sum_k share_k log p(Sigma_k / factor_k), with p the density of a `Pseudo`."""

    def __init__(self, covariances: Array, pseudo: Pseudo, share: Array, factors: Array) -> None:
        self.none = pseudo.count == 0 and not pseudo.scatter.any()
        self.count, self.share, self.shape = pseudo.count, share, covariances.shape
        if not self.none:
            self.inverse = np.linalg.inv(covariances)
            self.pull = factors[:, None, None] * self.inverse @ pseudo.scatter @ self.inverse

    @property
    def slope(self) -> Array:
        """(K, D, D)."""
        if self.none:
            return np.zeros(self.shape)
        return np.asarray(self.share[:, None, None] * (self.pull - self.count * self.inverse) / 2)

    def bend(self, jacobian: Array) -> Array:
        """(p, p) second derivatives along the columns of a Jacobian (K D D, p)."""
        if self.none:
            return np.zeros((jacobian.shape[1],) * 2)
        change = jacobian.T.reshape(-1, *self.shape)
        inside = change @ self.inverse
        right = self.share[:, None, None] * (change @ (self.count / 2 * self.inverse - self.pull))
        found = np.einsum("pkab,qkba->pq", inside, right)
        return (found + found.T) / 2
