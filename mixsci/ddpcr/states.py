"""The states of an assay as components: where each lies, its core, its tails, its lean, and the rain below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import comb

from mixsci.ddpcr.lattice import Placed
from mixsci.ddpcr.laws import Scheme
from mixsci.engine.model.means import Ladder
from mixsci.engine.model.shapes import Blend
from mixsci.engine.model.weights import Free, Occupancy

Array = np.ndarray

#: Covariances of the parts of a population, beside that of its core ...
WIDER = {"core": 1.0, "tail": 9.0, "shoulder": 2.25, "skirt": 6.0}
#: ... and how far they lean, in units of one shift that all populations share.
LEAN = {"core": 0.0, "tail": 0.0, "shoulder": 1.0, "skirt": 2.5}
#: What the next locus on a dye takes of another target's signal, beside the one before it.
_COMPETITION = 0.75
#: Steps of a rain path lie at most so many standard deviations of the negatives apart, as far as they suffice ...
_STEP = 2.5
_MOST_STEPS = {1: 40, 2: 16}
_FEWEST_STEPS = 4
#: ... and each is blurred along the path as a stretch of one step is wide: the path has no ripples.
_BLUR = 12.0**-0.5
#: Strays of the negatives reach this far towards the positives.
_STRAY, _STRAY_LADDER = 0.75, 0.3
_BASIS = {"rain": 4, "stray": 3}
#: Pseudo-droplets behind each shape, and how they are shared between its parts.
_PSEUDO = 20.0
_SHARES = {"core": 0.9, "tail": 0.05, "shoulder": 0.02, "skirt": 0.005, "rain": 0.02, "stray": 0.0005}


@dataclass(frozen=True)
class Part:
    """One component: a step `at` on the way from state `low` to state `high`, or what it is called of state `low`."""

    state: int
    kind: str
    low: int
    high: int
    at: float = 0.0
    target: int = -1


@dataclass(frozen=True, eq=False)
class Layout:
    """The components behind the states of a scheme.

    Attributes:
        scheme: the targets.
        pairs: pairs of targets whose levels do not add up.
        bends: for every target the powers of its class that its level follows.
        steps: (T,) steps of the rain paths of each target.
        guessed: (T, C) step of a target without a positive population, which stays as it is; NaN for all others.
        n_channels: C.
    """

    scheme: Scheme
    pairs: tuple[tuple[int, int], ...]
    bends: tuple[int, ...]
    steps: tuple[int, ...]
    guessed: Array
    n_channels: int

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The components in order: state by state."""
        return tuple(part for state in range(len(self.scheme.states)) for part in self._of_state(state))

    def _of_state(self, state: int) -> list[Part]:
        found = [Part(state, kind, state, state) for kind in WIDER]
        for t, steps in enumerate(self.steps):
            low, high = self._path(state, t)
            kind, end = ("rain", 1.0) if self.scheme.states[state, t] else ("stray", self._stray_end(t))
            if kind == "rain" and self.scheme.targets[t].classes > 2:
                # Between the rungs of a ladder rain cannot be told from the rungs' own tails.
                continue
            places = (np.arange(steps) + 0.5) / steps
            found += [Part(state, kind, low, high, float(at), t) for at in places[places <= end]]
        return found

    def _stray_end(self, t: int) -> float:
        """How far towards target t its strays come."""
        return _STRAY if self.scheme.targets[t].classes == 2 else _STRAY_LADDER

    def _path(self, state: int, t: int) -> tuple[int, int]:
        """The states between which droplets of a state are strewn for the sake of target t."""
        if self.scheme.states[state, t]:
            return self.scheme.beside(state, t, -1), state
        return state, self.scheme.beside(state, t, 1)

    @cached_property
    def state_of(self) -> Array:
        """(K,) state of each component."""
        return np.array([part.state for part in self.parts])

    @cached_property
    def cores(self) -> Array:
        """(S,) component that is the core of each state."""
        return np.flatnonzero([part.kind == "core" for part in self.parts])

    def weigh(self, of_states: Array, like: Array) -> Array:
        """(K,) weights of components whose states weigh (S,), shared within a state as weights `like` (K,) are."""
        return np.asarray(of_states[self.state_of] * like / np.bincount(self.state_of, weights=like)[self.state_of])

    @cached_property
    def at(self) -> Array:
        """(K,) how far along its path each component lies, 0 off the paths."""
        return np.array([part.at for part in self.parts])

    @cached_property
    def low(self) -> Array:
        """(K,) the state each path begins at; the own state off the paths."""
        return np.array([part.low for part in self.parts])

    @cached_property
    def high(self) -> Array:
        """(K,) the state each path leads to."""
        return np.array([part.high for part in self.parts])

    @cached_property
    def levels(self) -> Array:
        """(S, B) how the level of a state follows from the plate's few level vectors."""
        columns = [np.ones(len(self.scheme.states))]
        for t, bends in enumerate(self.bends):
            if np.isnan(self.guessed[t]).any():
                columns += [comb(self.scheme.states[:, t], power) for power in range(1, bends + 1)]
        # Each further lit locus takes less from another target's signal than the one before.
        dimmed = (1.0 - _COMPETITION**self.scheme.states) / (1.0 - _COMPETITION)
        columns += [dimmed[:, t] * dimmed[:, u] for t, u in self.pairs]
        return np.stack(columns, axis=-1).astype(float)

    def means(self) -> Ladder:
        """Means of the components: the last numbers of theta are the lean."""
        eye = np.eye(self.n_channels)
        levels = self.on_path(self.levels)
        along = np.einsum("kb,ij->kibj", levels, eye).reshape(len(levels), self.n_channels, -1)
        aside = np.array([LEAN.get(part.kind, 0.0) for part in self.parts])
        design = np.concatenate([along, np.einsum("k,ij->kij", aside, eye[:, self.skewed])], axis=2)
        return Ladder(design, fixed=self.on_path(self.held))

    def on_path(self, of_states: Array) -> Array:
        """(K, .) values (S, .) of the states for their components, along a path in proportion."""
        at = self.at[:, None]
        return np.asarray((1.0 - at) * of_states[self.low] + at * of_states[self.high])

    @cached_property
    def held(self) -> Array:
        """(S, C) part of the states' levels that is not estimated: steps of targets nobody has seen."""
        return np.asarray(self.scheme.states @ np.nan_to_num(self.guessed))

    @cached_property
    def skewed(self) -> list[int]:
        """Channels in which populations may lean: in a ladder's, a lean cannot be told from the next rung."""
        ladders = {target.channel for target in self.scheme.targets if target.classes > 2}
        return [c for c in range(self.n_channels) if c not in ladders]

    def weights(self, *, free: bool = False) -> Occupancy:
        """Weights of the components: the law of the states, or none, times the shape of each."""
        shapes, of_state = self._shapes()
        return Occupancy(Free() if free else self.scheme.law, shapes, shape_of_state=of_state)

    def _shapes(self) -> tuple[list[Blend], list[int]]:
        """The different shapes, and which of them each state has: states with rain for the same targets share one."""
        patterns = [tuple(row) for row in self.scheme.states > 0]
        kinds = list(dict.fromkeys(patterns))
        return [self._shape(patterns.index(kind)) for kind in kinds], [kinds.index(row) for row in patterns]

    def shares(self) -> Array:
        """(K,) shares of the components in their states to begin from."""
        shapes, of_state = self._shapes()
        begun = [shape.shares(shape.prior_counts / shape.prior_counts.sum()) for shape in shapes]
        return np.concatenate([begun[place] for place in of_state])

    def _shape(self, state: int) -> Blend:
        """The shape of a state: parts that are on their own, and smooth densities along its paths."""
        parts = self._of_state(state)
        rows: list[Array] = []
        prior: list[float] = []
        for kind in WIDER:
            rows.append(np.array([float(part.kind == kind) for part in parts]))
            prior.append(_SHARES[kind])
        for t in sorted({part.target for part in parts} - {-1}):
            on_path = np.array([part.target == t for part in parts])
            kind = parts[int(np.flatnonzero(on_path)[0])].kind
            basis = _smooth(
                np.array([part.at for part in parts]), on_path, kind, 1.0 if kind == "rain" else self._stray_end(t)
            )
            rows += list(basis)
            prior += [_SHARES[kind] / len(basis)] * len(basis)
        return Blend(np.array(rows), prior_counts=_PSEUDO * np.array(prior))

    def covariances(self, of_states: Array, places: Array, spread: Array) -> tuple[Array, Array]:
        """Covariances (K, C, C) to begin from, and which of them (K,) are held: those along the paths.

        Args:
            of_states: (S, C, C). places: (S, C) levels of the states. spread: (C,) of the negatives.
        """
        out = np.empty((len(self.parts), self.n_channels, self.n_channels))
        for k, part in enumerate(self.parts):
            inside = (1.0 - part.at) * of_states[part.low] + part.at * of_states[part.high]
            if part.target < 0:
                inside = WIDER[part.kind] * inside
            else:
                step = _BLUR * (places[part.high] - places[part.low]) / self.steps[part.target]
                inside = inside + np.outer(step, step)
            out[k] = (inside + inside.T) / 2
        return out, np.array([part.target >= 0 for part in self.parts])

    def families(self, codes: Sequence[int]) -> tuple[list[float], list[int]]:
        """Factors and codes of the covariances that are estimated; codes (S,) says which states share theirs."""
        free = [part for part in self.parts if part.target < 0]
        return [WIDER[part.kind] for part in free], [codes[part.state] for part in free]


def layout(placed: Placed, spread: Array, masses: Array) -> Layout:
    """The components for the states of a scheme that hold about masses (S,) droplets, with negatives of spread (C,)."""
    scheme, n_channels = placed.scheme, placed.places.shape[1]
    bends, steps = [], []
    for t, target in enumerate(scheme.targets):
        held = [masses[scheme.states[:, t] == k].sum() >= FEWEST for k in range(1, target.classes)]
        bends.append(max(1, min(sum(held), 3, target.classes - 1)))
        one = placed.places[scheme.single(t)]
        wanted = np.ceil(np.sqrt(((one / spread) ** 2).sum()) / _STEP)
        steps.append(int(np.clip(wanted, _FEWEST_STEPS, _MOST_STEPS[n_channels])))
    pairs = [
        (t, u)
        for t in range(len(scheme.targets))
        for u in range(t + 1, len(scheme.targets))
        if masses[(scheme.states[:, t] > 0) & (scheme.states[:, u] > 0)].sum() >= FEWEST
    ]
    guessed = np.full((len(scheme.targets), n_channels), np.nan)
    for t in placed.unseen:
        guessed[t] = placed.steps[t]
    return Layout(scheme, tuple(pairs), tuple(bends), tuple(steps), guessed, n_channels)


#: States with fewer droplets on the plate say nothing of their own place or spread.
FEWEST = 30.0


def share_spreads(scheme: Scheme, masses: Array) -> list[int]:
    """(S,) number of the covariance each state uses: its own, or that of a state with one class less."""
    base: list[int] = []
    for state, counts in enumerate(scheme.states):
        if state == 0 or masses[state] >= FEWEST * 3:
            base.append(state)
            continue
        # A sparse state looks most like the one it becomes when its weakest evidence goes.
        t = max((t for t in range(len(counts)) if counts[t]), key=lambda t: (sum(counts > 0) > 1, counts[t], -t))
        below = scheme.beside(state, t, -1)
        base.append(state if below == 0 else base[below])
    order = list(dict.fromkeys(base))
    return [order.index(state) for state in base]


def _smooth(at: Array, on_path: Array, kind: str, end: float) -> Array:
    """Bernstein polynomials along a path (B, J), each a distribution over its steps."""
    number = min(_BASIS[kind], int(on_path.sum()))
    x = np.clip(at / end, 0.0, 1.0)
    rows = np.stack([comb(number - 1, b) * x**b * (1 - x) ** (number - 1 - b) for b in range(number)])
    rows = np.where(on_path, rows, 0.0)
    return rows / rows.sum(axis=1, keepdims=True)
