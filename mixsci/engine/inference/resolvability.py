"""What rows cannot tell: whether two components are two, and how many rows it takes to know.

For a pair 1/2 N(-theta, 1) + 1/2 N(theta, 1) a row's information on theta goes as 2 theta^2: near zero it is theta^2
that rows measure, and twice as close takes many times the rows. How many follows from the divergence per row between
the mixture and the best one with the two made one, the others as they are: n rows have a likelihood ratio of about 2 n
times it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from operator import index
from typing import Any

import numpy as np
from scipy.special import chdtri, chndtr, chndtrinc

from mixsci.engine.circular_mixture import refuse_angles
from mixsci.engine.em.result import mixture_of
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.inference.climbing import climb_from
from mixsci.engine.inference.points import Points, draws_of, grid_of
from mixsci.engine.inference.separation import Line, efficient_information, information
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.noise import SharedNoise, as_noise
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_generator, as_number, is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: Draws at first and at most; more are taken while the divergence is not known to this share of itself.
_DRAWS, _MOST_DRAWS, _ENOUGH = 50_000, 800_000, 0.1
#: Remaining gain, nats per row, at which the fit of a mixture to another one ends.
_FINE = 1e-12
#: Weight of rows that is none.
_TINY = 1e-300
#: Families of covariances that stay what they are when rows are projected on the line between a pair.
_PROJECTABLE = ("full", "tied", "known")


@dataclass(frozen=True, eq=False, repr=False)
class Pair:
    """Two components of a mixture, and what rows say of their being two; `print` it for a sentence.

    Attributes:
        components: their numbers.
        half_separation: theta, half the distance of their means in units of their pooled standard deviation along it,
            noise included.
        information: Fisher information on theta of a row, all other numbers known.
        efficient_information: the same with weights, all means and covariances unknown.
        divergence: nats per row from the best mixture in which the two are one and the others as they are.
        power: chance that n_rows rows tell them apart. rows_needed: rows that do so with the chance asked for.
        n_rows, level, wanted: rows there are, level of the test, chance asked for.
        exact: whether rows were taken to be whole and without errors.
        errors: standard errors of information, efficient_information and divergence, zero where these were integrated.
    """

    components: tuple[int, int]
    half_separation: float
    information: float
    efficient_information: float
    divergence: float
    power: float
    rows_needed: float
    n_rows: int
    level: float
    wanted: float
    exact: bool
    errors: tuple[float, float, float]

    def __repr__(self) -> str:
        return f"Pair({self.components}, {self.rows_needed:.3g} rows needed)"

    def __str__(self) -> str:
        return (
            f"components {self.components[0]} and {self.components[1]}, {2 * self.half_separation:.2g} standard "
            f"deviations apart: {self.n_rows} rows{' without gaps and errors' if self.exact else ''} "
            f"{'suffice' if self.resolved else 'are too few'}; {self._needed} to "
            f"tell them apart with chance {self.wanted:g} at level {self.level:g} (with these: {self.power:.2f})"
            f"{self._open}"
        )

    @property
    def resolved(self) -> bool:
        """Whether n_rows are enough."""
        return self.n_rows >= self.rows_needed

    @property
    def _needed(self) -> str:
        return f"it takes {self.rows_needed:.3g}" if np.isfinite(self.rows_needed) else "no number is enough"

    @property
    def _open(self) -> str:
        """What draws have left open of it."""
        if self.errors[2] <= _ENOUGH * self.divergence:
            return ""
        return f"; draws leave the divergence open, {self.divergence:.2g} with a standard error of {self.errors[2]:.2g}"


@dataclass(frozen=True, eq=False, repr=False)
class Resolvability:
    """What rows say of every pair of components that was asked for; `print` it for sentences.

    Attributes:
        pairs: in the order of their numbers.
    """

    pairs: tuple[Pair, ...]

    def __repr__(self) -> str:
        return f"Resolvability({', '.join(map(repr, self.pairs))})"

    def __str__(self) -> str:
        return "\n".join(map(str, self.pairs))

    @property
    def resolved(self) -> bool:
        """Whether the rows are enough for every pair."""
        return all(pair.resolved for pair in self.pairs)

    @property
    def rows_needed(self) -> float:
        """Rows that are enough for every pair."""
        return max(pair.rows_needed for pair in self.pairs)


def resolvability(
    mixture: Any,
    n_rows: int,
    *,
    components: tuple[int, int] | None = None,
    covariance: str = "full",
    level: float = 0.05,
    power: float = 0.8,
    noise: Any = None,
    like: Any = None,
    rng: Any = None,
) -> Resolvability:
    """Can so many rows tell two components from one, and if not, how many can?

    The test in mind is that of one component in the place of the two, by their likelihoods. The ratio is taken to be
    noncentral chi-squared with twice as many degrees of freedom as the second component has numbers beside its weight
    (Wolfe 1971): good to some tens of per cent in rows, and best where these are many.

    Args:
        mixture: what is taken to be true: a `Mixture` or a `Fit`, noise removed.
        n_rows: number of rows.
        components: the two; None = every pair.
        covariance: family of the covariances that would be fitted, as in `Model`; the mixture must belong to it. Or
            "known": they would not be fitted, as where errors of known size make them; a pair must then share one.
        level: of the test, in (0, 1).
        power: chance to find the second component, in (level, 1).
        noise: an object of `mixsci.noise`: errors of the rows, one for all or one for each of n rows.
        like: `Observations` whose gaps, noise, projections and weights are those of the rows to come; instead of
            `noise`. Without either, rows are taken to be whole and without errors.
        rng: seed or generator of draws, which are needed where neither one dimension nor two components of one
            covariance leave an integral along a line.

    Raises:
        DataError: weights per group, a mixture of factors, a family the mixture does not belong to.

    Example:
        >>> import mixsci as mx
        >>> pair = mx.Mixture([0.5, 0.5], [[-1.5], [1.5]], [[[1.0]], [[1.0]]])
        >>> found = mx.resolvability(pair, 200)
        >>> found.resolved, round(found.pairs[0].information, 2)
        (True, 0.92)
        >>> blurred = mx.resolvability(pair, 200, noise=mx.noise.from_errors([1.0]))
        >>> blurred.resolved
        False
    """
    truth, design = _plain(mixture), _design(mixture, noise, like)
    test = _Test(covariance, truth.n_components, truth.n_dims, n_rows, level, power)
    test.check(truth)
    rng, pairs = as_generator(rng), _pairs(components, truth.n_components)
    return Resolvability(tuple(_judge(truth, pair, design, test, rng) for pair in pairs))


def _plain(mixture: Any) -> Mixture:
    """The mixture with nothing but weights, means, covariances and background."""
    mixture = mixture_of(mixture)
    refuse_angles(mixture, "resolvability is that")
    if isinstance(mixture, FactorMixture):
        raise DataError("resolvability is that of a Mixture of Gaussians; got FactorMixture")
    if mixture.open:
        raise DataError("this mixture has parts left open (NaN): it can start a fit, and no more")
    if mixture.weights.ndim == 2 or mixture.offsets is not None:
        raise DataError("this mixture differs by group: ask for mixture.of_group(label), or pool its weights")
    return Mixture(mixture.weights, mixture.means, mixture.covariances, background=mixture.background)


def _design(mixture: Any, noise: Any, like: Any) -> Observations:
    """Rows whose gaps, noise and projections are those of the rows to come."""
    if like is not None:
        if noise is not None or not isinstance(like, Observations) or not len(like):
            raise DataError("like must be Observations, at least one row, that carry their own noise: leave noise None")
        rows = like if like.groups is None else Observations(like.x, like.noise, like.projection, like.row_weights)
        if not rows.each_weight.any():
            raise DataError("like must have a row of weight above 0; all are 0")
        if rows.n_dims != mixture.n_dims:
            raise DataError(f"like must have the {mixture.n_dims} dimensions of the mixture; got {rows.n_dims}")
        return rows
    n = len(noise) if getattr(noise, "per_row", False) else 1
    return Observations(np.zeros((n, mixture.n_dims)), as_noise(noise, n, mixture.n_dims))


def _pairs(components: Any, k: int) -> list[tuple[int, int]]:
    if k < 2:
        raise DataError("resolvability needs two components at least; the mixture has one")
    if components is None:
        return list(combinations(range(k), 2))
    try:
        found = [index(each) for each in components]
    except TypeError:
        found = []
    if len(found) != 2 or found[0] == found[1] or not all(0 <= each < k for each in found):
        raise DataError(f"components must be two different numbers from 0 to {k - 1}; got {components!r}")
    return [(found[0], found[1])]


@dataclass(frozen=True)
class _Test:
    """K - 1 against K components of a family, at a level, with a power."""

    family: str
    n_components: int
    n_dims: int
    n_rows: int
    level: float
    power: float

    def check(self, mixture: Mixture) -> None:
        """Raise unless the numbers can be used, and the mixture belongs to the family."""
        if not is_whole(self.n_rows):
            raise DataError(f"n_rows must be a whole number, 1 or more; got {self.n_rows!r:.80}")
        if not isinstance(self.family, str):
            raise DataError(f"covariance must be the name of a family, or 'known'; got {type(self.family).__name__}")
        if not 0.0 < as_number(self.level, "level") < as_number(self.power, "power") < 1.0:
            raise DataError(f"level and power must hold 0 < level < power < 1; got {self.level} and {self.power}")
        if not (mixture.weights > 0).all():
            raise DataError("every component must have a weight above 0; leave out those that have none")
        if self.known:
            return
        near = self.model(self.n_components).covariance.maximise(
            mixture.covariances * mixture.weights[:, None, None], mixture.weights, mixture.covariances,
            self.model(1).pseudo(self.n_dims), 0.0,
        )  # fmt: skip
        if not np.allclose(near, mixture.covariances, rtol=1e-6, atol=1e-9 * np.abs(mixture.covariances).max()):
            raise DataError(f"the mixture's covariances are not {self.family!r}: choose the family they belong to")

    @property
    def known(self) -> bool:
        """Whether covariances are known."""
        return self.family == "known"

    def model(self, k: int, background: Any = None, **held: list[bool]) -> Model:
        """The model of k components, parts of some of them held."""
        if self.known:
            held["covariances"] = [True] * k
        family = "full" if self.known else self.family
        return Model(k, covariance=family, background=background, frozen=Frozen(**held))

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the ratio (Wolfe 1971)."""
        more, less = (self.model(k).n_free(self.n_dims) for k in (self.n_components, self.n_components - 1))
        return 2 * (more - less - 1)

    @property
    def threshold(self) -> float:
        """The ratio that is exceeded with chance `level` where there is no second component."""
        return float(chdtri(self.degrees, self.level))

    def power_of(self, divergence: float) -> float:
        """Chance to exceed it with n_rows rows."""
        return float(1.0 - chndtr(self.threshold, self.degrees, 2.0 * self.n_rows * max(divergence, 0.0)))

    def rows_for(self, divergence: float) -> float:
        """Rows that exceed it with chance `power`, no fewer than there are numbers to fit."""
        if divergence <= 0.0:
            return np.inf
        enough = chndtrinc(self.threshold, self.degrees, 1.0 - self.power) / (2.0 * divergence)
        return float(np.ceil(max(enough, self.model(self.n_components).n_free(self.n_dims))))


def _judge(
    mixture: Mixture, pair: tuple[int, int], design: Observations, test: _Test, rng: np.random.Generator
) -> Pair:
    _refuse_unlike(mixture, pair, test)
    line, points, (divergence, error) = _problem(mixture, pair, design, test, rng)
    info, info_error = information(line, points)
    rest, rest_error = efficient_information(line, points, test.model(mixture.n_components, mixture.background))
    return Pair(
        components=pair, half_separation=line.half, information=info, efficient_information=rest,
        divergence=divergence, power=test.power_of(divergence), rows_needed=test.rows_for(divergence),
        n_rows=test.n_rows, level=test.level, wanted=test.power, exact=_is_whole(design) and not design.has_noise,
        errors=(info_error, rest_error, error),
    )  # fmt: skip


def _is_whole(design: Observations) -> bool:
    return design.projection is None and bool(design.seen().all())


def _problem(
    mixture: Mixture, pair: tuple[int, int], design: Observations, test: _Test, rng: np.random.Generator
) -> tuple[Line, Points, tuple[float, float]]:
    """The line between a pair, points that stand for the rows, and the divergence with its error."""
    whole = _is_whole(design) and not design.noise.per_row
    if whole and isinstance(design.noise, SharedNoise):
        # Noise that all rows share is a wider mixture.
        mixture = mixture.evolve(covariances=mixture.covariances + design.noise.covariance)
        design = Observations(design.x)
    line = Line(mixture, *pair, _blur(design))
    if whole and mixture.background is None and (mixture.n_dims == 1 or _projectable(mixture, test)):
        flat = mixture if mixture.n_dims == 1 else _projected(line)
        line, points = Line(flat, *pair, np.zeros((1, 1))), grid_of(flat)
        return line, points, _divergence(line, points, test)
    n = _DRAWS
    while True:
        points = draws_of(mixture, design, n, rng)
        found = _divergence(line, points, test)
        if found[1] <= _ENOUGH * found[0] or n >= _MOST_DRAWS:
            return line, points, found
        n *= 4


def _blur(design: Observations) -> Array:
    """(D, D) mean noise of the rows in the dimensions of the mixture; none where they see a projection."""
    if design.projection is not None:
        return np.zeros((design.n_dims, design.n_dims))
    seen = design.each_weight @ design.seen()
    total = np.tensordot(design.each_weight, design.noise.covariances(len(design)), 1)
    return np.asarray(total / np.sqrt(np.maximum(seen[:, None] * seen, _TINY)))


def _refuse_unlike(mixture: Mixture, pair: tuple[int, int], test: _Test) -> None:
    one, other = mixture.covariances[pair[0]], mixture.covariances[pair[1]]
    if test.known and not np.allclose(one, other, rtol=1e-9, atol=0.0):
        raise DataError(f"covariances that are known must be equal for a pair; those of components {pair} are not")


def _projectable(mixture: Mixture, test: _Test) -> bool:
    """Whether all that tells the components apart lies on one line."""
    one, other = mixture.covariances[0], mixture.covariances[-1]
    return mixture.n_components == 2 and test.family in _PROJECTABLE and np.allclose(one, other, rtol=1e-9, atol=0.0)


def _projected(line: Line) -> Mixture:
    """The pair of unit variance along its line."""
    places = (line.mixture.means - line.mixture.means[line.first]) @ line.gauge
    return Mixture(line.mixture.weights, places[:, None], np.ones((2, 1, 1)))


def _divergence(line: Line, points: Points, test: _Test) -> tuple[float, float]:
    """Nats per row between a mixture and the best one in which a pair is one, with the standard error."""
    mixture, others = line.mixture, [True] * (line.mixture.n_components - 2) + [False]
    model = test.model(len(others), mixture.background, weights=[True] * len(others), means=others, covariances=others)
    start = _merged(line, line.within if test.known else None)
    fitted = climb_from(model, points.weighted, start, gap=_FINE * len(points.weights), workers=None).mixture
    return points.mean(mixture.log_density(points.rows) - fitted.log_density(points.rows))


def _merged(line: Line, covariance: Array | None) -> Mixture:
    """The mixture with two components made one of their joint mean, and of a covariance or their joint one."""
    mixture, pair = line.mixture, line.pair
    weights = mixture.weights[pair]
    mean = np.average(mixture.means[pair], axis=0, weights=weights)
    if covariance is None:
        apart = mixture.means[pair] - mean
        spread = mixture.covariances[pair] + apart[:, :, None] * apart[:, None, :]
        covariance = np.average(spread, axis=0, weights=weights)
    return Mixture(
        np.append(np.delete(mixture.weights, pair), weights.sum()),
        np.vstack([np.delete(mixture.means, pair, axis=0), mean]),
        np.concatenate([np.delete(mixture.covariances, pair, axis=0), covariance[None]]),
        background=mixture.background,
    )
