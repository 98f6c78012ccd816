"""What is known of a mixture in each direction, what is lost, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixsci.engine.inference.directions import free_directions
from mixsci.engine.inference.information import observed_information, row_scores
from mixsci.engine.inference.numbers import Coordinates, coordinates, slopes
from mixsci.engine.inference.yardstick import Directions, Yardstick, congruent
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.model.statistics import Stats

Array = np.ndarray

#: Curvature below this share of what complete rows would give is rounding: nothing is known of such a direction.
_NOTHING = 1e-8
#: A step that takes more than this share of a weight leads to an edge.
_LARGEST_FALL = 0.5
#: A part that a lost direction moves by more than this share of its length is named.
_NAMED = 0.1
#: Nats that a fit may have left before its standard errors are called into question.
_MOST_LEFT = 0.5


class Problem:
    """A model at a mixture: in which directions it is free, and what is known of each."""

    def __init__(self, model: Model, mixture: Mixture, stats: Stats) -> None:
        self.model, self.mixture, self.stats = model, mixture, stats
        self.coordinates: Coordinates = coordinates(model, mixture)
        self.layout = self.coordinates.layout
        self.scores = self.layout.join(slopes(mixture, stats))
        self.yardstick = Yardstick(mixture, self.layout, stats)
        free = free_directions(model, self.coordinates, self.yardstick)
        self.directions, self.held = free.directions, free.lost

    def known(self, obs: Any, method: str, workers: Any) -> tuple[Array, Array | None]:
        """Information (q, q) on the free directions, prior included, and the scatter of scores for a sandwich."""
        scatter = None
        if method != "observed":
            scatter = row_scores(self.directions, self.yardstick, obs, workers)
        extra = self.coordinates.bend(self.scores if method != "scores" else np.zeros(self.layout.size))
        if method == "scores":
            assert scatter is not None
            data = scatter
        else:
            data = observed_information(self.directions, self.yardstick, obs, workers)
        information = data - self.directions.theta @ extra @ self.directions.theta.T
        return information, scatter if method == "sandwich" else None

    @property
    def score(self) -> Array:
        """(q,) slope of the objective along the free directions."""
        return self.directions.numbers @ self.scores + self.directions.theta @ self.coordinates.prior_slope

    @property
    def centre(self) -> Array:
        """(D, q) rows that must not move: the mean of the offsets, where it is set to zero."""
        if not self.model.centred:
            return np.zeros((0, len(self.directions)))
        counts, _, _ = self.stats.grouped
        return np.einsum("g,qgd->dq", counts.sum(axis=1), self.layout.split(self.directions.numbers)["offsets"])

    def leaving(self, step: Array) -> Array:
        """Rows (c, q) that keep from a step (q,) what it takes to an edge: a spread to nothing, half of a weight."""
        parts = self.layout.split(self.directions.numbers)
        bent = np.einsum("q,qkab->kab", step, parts["covariances"])
        own, count = self.yardstick.own_roots, len(self.directions)
        values, vectors = np.linalg.eigh(np.eye(self.mixture.n_dims) + congruent(bent, own))
        flat = np.flatnonzero(~self.model.mask("covariances") & (values[:, 0] <= 0))
        sides = [parts["covariances"][:, k] @ (own[k] @ vectors[k][:, values[k] <= 0]) for k in flat]
        weights = np.atleast_2d(self.mixture.weights)
        shares = parts["weights"].reshape(count, weights.size)
        falling = -(step @ shares) > _LARGEST_FALL * np.maximum(weights, self.yardstick.least_weights).ravel()
        rows = [side.reshape(count, -1).T for side in sides] + [shares[:, falling].T]
        if "background" in parts and -(step @ parts["background"]) > _LARGEST_FALL * self.mixture.background.weight:
            rows.append(parts["background"][None])
        return np.concatenate(rows)


@dataclass(frozen=True, eq=False)
class Solved:
    """Free directions of one standard error each, lost ones by reason, and the nats that a Newton step would gain."""

    free: Directions
    lost: dict[str, Directions]
    left: float

    def remarks(self, problem: Problem) -> list[str]:
        """What must be said of the standard errors."""
        said = [_reason(problem, name, part) for name, part in self.lost.items() if len(part)]
        found = [f"some standard errors are NaN: {'; '.join(said)}"] if said else []
        if self.left > _MOST_LEFT:
            found.append(
                f"the fit has about {self.left:.2g} nats to go, so its standard errors are not those of a maximum: "
                "fit again with a smaller tol"
            )
        return found


def solve(problem: Problem, information: Array, scatter: Array | None) -> Solved:
    """Inverts the information where it is positive and the mixture can move."""
    centre, edges = problem.centre, np.zeros((0, len(information)))
    score = problem.score
    while True:
        _, inside = _seen_and_unseen(np.vstack([centre, edges]))
        values, vectors = np.linalg.eigh(inside.T @ information @ inside)
        known = values > _NOTHING
        free = inside @ (vectors[:, known] / np.sqrt(values[known]))
        rows = problem.leaving(free @ (free.T @ score))
        rows = rows[np.linalg.norm(rows @ inside, axis=1) > 1e-9 * np.linalg.norm(rows, axis=1)]
        if not len(rows):
            break
        edges = np.vstack([edges, rows])
    gain = float(((free.T @ score) ** 2).sum() / 2)
    if scatter is not None:
        spread, axes = np.linalg.eigh(free.T @ scatter @ free)
        free = free @ (axes * np.sqrt(np.maximum(spread, 0.0)))
    found = {
        "leaving": _seen_and_unseen(edges)[0],
        "unknown": inside @ vectors[:, ~known & (values >= -_NOTHING)],
        "rising": inside @ vectors[:, values < -_NOTHING],
    }
    lost = {name: problem.yardstick.of_length_one(problem.directions.combine(basis)) for name, basis in found.items()}
    return Solved(problem.directions.combine(free), problem.held | lost, gain)


def _seen_and_unseen(rows: Array) -> tuple[Array, Array]:
    """Orthonormal bases (q, .) of what rows (n, q) see, and of what they do not."""
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    _, seen, axes = np.linalg.svd(rows / np.where(size > 0, size, 1.0), full_matrices=True)
    rank = int((seen > 1e-9).sum())
    return axes[:rank].T, axes[rank:].T


def _reason(problem: Problem, name: str, lost: Directions) -> str:
    """Whose numbers the lost directions of one kind are, and why."""
    whose, parts = _listed(problem, lost), _parts_lost(problem, lost)
    return {
        "weights": f"less than half a row speaks for the weight {whose}",
        "background": "less than half a row speaks for the background",
        "rows": f"less than half a row speaks for {parts} {whose}".rstrip(),
        "theta": "theta has parts that no mean depends on",
        "flat": f"the covariance {whose} has no spread in some direction, or lies at its floor",
        "leaving": f"{parts} {whose} tend to an edge, where no spread or no weight is left",
        "unknown": f"the rows do not tell {parts} {whose}".rstrip(),
        "rising": f"the fit is no maximum in {parts} {whose}".rstrip(),
    }[name]


def _parts_lost(problem: Problem, lost: Directions) -> str:
    """What directions move, in words."""
    parts = problem.layout.split(lost.numbers)
    far = []
    for name in ("weights", "means", "offsets", "covariances", "background"):
        alone = [problem.layout.join({name: part}) for part in parts.get(name, ())]
        if alone and problem.yardstick.lengths(Directions(lost.theta, np.array(alone))).max() > _NAMED:
            far.append(name)
    return " and ".join(far)


def _listed(problem: Problem, lost: Directions) -> str:
    """The components that directions move, in words."""
    far = np.flatnonzero(problem.yardstick.by_component(lost).max(axis=0) > _NAMED)
    few, more = far[:5], f" ... ({len(far)} in all)" if len(far) > 5 else ""
    return f"of component{'s' if len(few) > 1 else ''} {', '.join(map(str, few))}{more}" if len(few) else ""
