"""Rows that a selection kept: the likelihood of each is divided by the chance to be kept.

    L = sum_i [log p(x_i | theta) - log a_i(theta)],    a_i = integral of Omega(x) p(x | theta, C_i, R_i) dx

The chance to be lost, b = 1 - a, is a mean over fixed draws x_m of a density q: b(theta) = mean of (1 - Omega) p / q.
With the draws as rows of weights N / (1 - b) (1 - Omega) p / (q M) every EM step is one of this very L: it never falls,
and the same rows give the same L. Rows of alike noise share their draws; every such class has others, so that the
errors of b average out over rows. Along what a box leaves free the integral is exact. Far from q the mean says nothing:
L is then minus infinity, and a climb that gets there begins anew with other draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import iterate
from mixsci.engine.execution import Workers
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.model.statistics import Stats
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_numbers
from mixsci.errors import ConvergenceWarning, DataError, name_rows

Array = np.ndarray
Omega = Callable[[Array], Array]

#: Draws per row, and the fewest and most in all; a row with a projection of its own is a class of its own, and has as
#: many as the last at least.
_DRAWS_PER_ROW, _FEWEST_DRAWS, _MOST_DRAWS, _DRAWS_ALONE = 32, 1 << 17, 1 << 21, 256
#: On the way to where a climb begins, fewer do: one in so many.
_ROUGH = 8
#: Classes of alike noise.
_CLASSES = 16
#: Draws come half from the mixture itself, half from one this much wider.
_WIDER = 4.0
#: Draws far from the mixture say nothing of it: they are made anew after so many steps, until these move it by less
#: than this many standard errors.
_STEPS, _MOST_ROUNDS, _NEAR = 12, 40, 0.05
#: Draws of uneven weight are worth fewer even ones: below this share they are too far from the mixture.
_LEAST_EFFECTIVE = 0.25
#: Fewer rows than this that were lost in all change L by less nats: how well draws tell them does not matter.
_FEWEST_LOST = 1e-3
#: Whole climbs at most, each with draws of the last, until one moves by less than this share of a standard error that
#: all rows would give; those of the rows that were kept are larger still.
_MOST_CLIMBS, _SETTLED = 6, 0.1
_SEED = 20_090_101
_REMEDY = "use fewer components, a prior, or a wider selection"


@dataclass(frozen=True, eq=False)
class Box:
    """Omega of a box: 1 within low <= x <= high, 0 outside; an infinite corner sets no bound.

    Args:
        low, high: (m,) corners in the units of x.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        low, high = (np.atleast_1d(np.asarray(corner, dtype=float)) for corner in (self.low, self.high))
        if low.ndim != 1 or low.shape != high.shape or not (low < high).all():
            raise DataError(f"a box needs low < high of one shape (m,); got {low.tolist()} and {high.tolist()}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def order(self) -> list[int]:
        """The dimensions, those with a bound first."""
        return [int(j) for j in np.argsort(~self.bounded, kind="stable")]

    @property
    def bounded(self) -> Array:
        """(m,) which dimensions have a bound."""
        return np.isfinite(self.low) | np.isfinite(self.high)

    def __call__(self, x: Array) -> Array:
        """Chances (n,) of rows (n, m): NaN where a value that has a bound is missing."""
        bounded = self.bounded
        inside = ((x >= self.low) & (x <= self.high) | ~bounded).all(axis=1).astype(float)
        return np.where((np.isnan(x) & bounded).any(axis=1), np.nan, inside)


@dataclass(frozen=True, eq=False, repr=False)
class Selected:
    """A source of the rows that were kept, with fixed draws that stand for those that were not.

    Attributes:
        observed: the n rows that were kept.
        draws: rows that were lost, as they might have been.
        factors: (M,) (1 - Omega) / (q M_c) of each draw.
        classes: (M,) class of each draw.
        kept: (C,) rows (their weights) kept in each class.
    """

    observed: Observations
    draws: Observations
    factors: Array
    classes: Array
    kept: Array

    def blocks(self) -> Iterator[Observations]:
        """The rows that were kept, in blocks."""
        return self.observed.blocks()

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns."""
        return self.observed.names

    def lost(self, mixture: Mixture, workers: Workers = None) -> tuple[Array, Array]:
        """(C,) chance of a row of each class to be lost, and (M,) what each draw adds to it."""
        each = self.factors * np.exp(mixture.log_density(self.draws, workers=workers))
        return np.bincount(self.classes, each, minlength=len(self.kept)), each

    def complete(self, mixture: Mixture, kept: Stats, expect: Callable[[Mixture, Observations], Stats]) -> Stats:
        """The sums over the rows that were kept, those over the rows that were lost added."""
        if not len(self.draws):
            return kept
        lost, each = self.lost(mixture)
        uneven = each.sum() ** 2 < _LEAST_EFFECTIVE * len(each) * (each @ each)
        if (lost >= 1.0).any() or (uneven and self.kept @ lost > _FEWEST_LOST):
            return replace(kept, log_likelihood=-np.inf)
        unseen = expect(mixture, self.draws.weighted((self.kept / (1.0 - lost))[self.classes] * each))
        return replace(
            kept + unseen,
            log_likelihood=kept.log_likelihood - float(self.kept @ np.log1p(-lost)),
            entropy=kept.entropy, n_rows=kept.n_rows, row_weight=kept.row_weight,
        )  # fmt: skip


def fit_selected(
    model: Model, obs: Observations, omega: Omega, *, start: Mixture | None = None, **options: Any
) -> tuple[Fit, Selected]:
    """The mixture behind rows that a selection kept, and the source it was fitted to.

    Args:
        model: what is assumed of all rows, kept or lost.
        obs: the rows that were kept.
        omega: values (n, m) as measured -> chances (n,) in [0, 1] that a row like them is kept.
        start: a mixture to begin from.
        options: of `mixsci.fit`.

    Raises:
        DataError: a chance outside [0, 1], or rows that could not have been kept.
    """
    _check(omega, obs)
    if model.assignment != "soft":
        raise DataError('rows that a selection lost belong to no one component: use assignment="soft"')
    found = fit(model, obs, start=start, **options)
    model, mixture = found.model, _approach(found.model, obs, omega, found.mixture)
    options = {name: value for name, value in options.items() if name not in ("starts", "split_and_merge")}
    for _ in range(_MOST_CLIMBS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            source = draw(obs, omega, mixture)
            found = fit(model, source, start=mixture, **options)
        moved, mixture = _moved(model, mixture, found.mixture, found.n), found.mixture
        if found.converged and moved < _SETTLED:
            return found, source
    if found.outcome is Outcome.NOT_FINITE:
        raise DataError(f"the rows that were kept must tell how many were lost; they do not: {_REMEDY}")
    warnings.warn(
        f"the rows that were kept hardly tell how many were lost: {_REMEDY}", ConvergenceWarning, stacklevel=2
    )
    return found, source


def _approach(model: Model, obs: Observations, omega: Omega, mixture: Mixture) -> Mixture:
    """A mixture from which the draws of a last climb can be made: few steps at a time, then new draws."""
    for _ in range(_MOST_ROUNDS):
        before = mixture
        states = islice(iterate(model, draw(obs, omega, before, _ROUGH), start=before), _STEPS + 1)
        for state in states:
            if not np.isfinite(state.objective):
                break
            mixture = state.mixture
        if _moved(model, before, mixture, len(obs)) < _NEAR:
            break
    return mixture


def draw(obs: Observations, omega: Omega, mixture: Mixture, fewer: int = 1) -> Selected:
    """The rows, with draws of a mixture in place of those that were lost; one draw in `fewer`."""
    matter = getattr(omega, "bounded", np.ones(obs.width, dtype=bool))
    classes = _classes(obs, matter)
    kept = np.bincount(classes, obs.row_weights)
    like = _cycled(classes, fewer)
    made = np.bincount(classes[like])
    wide = _widened(mixture)
    draws = _valued(obs.take(like), wide, made, getattr(omega, "order", range(obs.width)))
    lost = 1.0 - _chances(omega, draws.x, "draws of what may have been lost, ")
    some = np.flatnonzero(lost > 0)
    # What the selection does not look at is left open: the integral over it is exact.
    draws, of_class = draws.valued(np.where(matter, draws.x, np.nan)).take(some), classes[like][some]
    factors = lost[some] / made[of_class]
    if len(some):
        factors = factors * np.exp(-wide.log_density(draws))
    return Selected(obs, draws, factors, of_class, kept)


def _check(omega: Omega, obs: Observations) -> None:
    if not isinstance(obs, Observations) or obs.groups is not None:
        raise DataError("a selection needs rows in memory and without groups: fit each group by itself")
    chances = _chances(omega, obs.x)
    if (chances == 0).any():
        raise DataError(f"rows must be such as the selection keeps; it keeps none like {name_rows(chances == 0)}")


def _chances(omega: Omega, x: Array, which: str = "") -> Array:
    """(n,) chances to be kept, checked: those of what was never seen matter as much as those of the rows."""
    chances = as_numbers(omega(x), "the chances of a selection").values.astype(float)
    if chances.shape != (len(x),):
        raise DataError(f"a selection must give one chance per row, ({len(x)},); got {chances.shape}")
    unknown = ~((chances >= 0) & (chances <= 1))
    if unknown.any():
        raise DataError(
            f"a selection must give chances in [0, 1]; got {chances[unknown][0]} in {which}{_first(x, unknown)}: one "
            "whose selected value is missing has none, leave it out; beyond what a survey saw the chance is 0"
        )
    return chances


def _first(x: Array, bad: Array) -> str:
    return f"{name_rows(bad)}, x = {x[bad][0].tolist()}"


def _classes(obs: Observations, matter: Array) -> Array:
    """(n,) class of each row: rows of alike noise in what is selected; a row with a projection is one by itself."""
    n = len(obs)
    if obs.projection is not None and obs.projection.ndim == 3:
        if n * _DRAWS_ALONE > _MOST_DRAWS:
            raise DataError(
                f"a selection of rows with projections of their own can be fitted for at most "
                f"{_MOST_DRAWS // _DRAWS_ALONE} rows; got {n}: fit a part of them"
            )
        return np.arange(n)
    if not obs.noise.per_row:
        return np.zeros(n, dtype=np.int64)
    variances = np.diagonal(obs.noise.covariances(n), axis1=1, axis2=2)
    size = (variances / np.nanvar(obs.x, axis=0))[:, matter].sum(axis=1)
    return np.asarray(np.argsort(np.argsort(size, kind="stable"), kind="stable") * min(_CLASSES, n) // n)


def _cycled(classes: Array, fewer: int) -> Array:
    """(M,) the row each draw is like: a power of two of draws for every class, its rows in turn."""
    rows = np.bincount(classes)
    alone = len(rows) == len(classes) and len(rows) > _CLASSES
    each = np.maximum(_DRAWS_PER_ROW * rows, _FEWEST_DRAWS // len(rows)) / fewer
    wanted = np.maximum(each, _DRAWS_ALONE) if alone else np.minimum(each, max(_MOST_DRAWS // len(rows), 2))
    counts = np.broadcast_to(2 ** np.ceil(np.log2(wanted)).astype(int), rows.shape)
    order = np.argsort(classes, kind="stable")
    ends = np.cumsum(rows)
    return np.concatenate([np.resize(order[end - n : end], m) for n, end, m in zip(rows, ends, counts, strict=True)])


def _widened(mixture: Mixture) -> Mixture:
    """Half the mixture, half one with wider components: it reaches where the mixture may go."""
    return Mixture(
        np.tile(mixture.weights, 2) / 2,
        np.tile(mixture.means, (2, 1)),
        np.concatenate([mixture.covariances, _WIDER * mixture.covariances]),
        background=mixture.background,
    )


def _valued(like: Observations, mixture: Mixture, made: Array, order: Sequence[int]) -> Observations:
    """Rows with the noise, projection and gaps of given ones, values from even points in the cube; `made` per class.

    The first coordinate of the points moves the first dimension in `order` alone: an edge across it is seen sharply.
    """
    points = _even(len(like), like.width)
    # Components take their exact shares of the draws, one after the other: only where each draw lies is left to points.
    turn = np.concatenate([(np.arange(m) + 0.5) / m for m in made])
    share = 0.0 if mixture.background is None else mixture.background.weight
    component = np.searchsorted(np.cumsum(mixture.weights)[:-1], np.maximum(turn - share, 0.0) / (1.0 - share))
    mean, spread = mixture.means[component], mixture.covariances[component]
    if like.projection is not None:
        seen = np.nan_to_num(like.projection)
        mean = np.einsum("...md,nd->nm" if seen.ndim == 2 else "nmd,nd->nm", seen, mean)
        spread = seen @ spread @ np.swapaxes(seen, -1, -2)
    x = mean + np.einsum("nab,nb->na", _roots(spread + like.noise.covariances(len(like)), list(order)), ndtri(points))
    if mixture.background is not None:
        outside = turn < share
        box = mixture.background
        x[outside] = box.low + (box.high - box.low) * points[outside]
    return like.valued(np.where(np.isnan(like.x), np.nan, x))


def _roots(covariances: Array, order: list[int]) -> Array:
    """(n, m, m) A with A A' = covariances; lower triangular where the dimensions are taken in this order."""
    m = len(order)
    sorted_ = covariances[:, order][:, :, order]
    least = 1e-14 * np.trace(sorted_, axis1=1, axis2=2)[:, None, None]
    roots = np.empty_like(covariances)
    roots[:, order] = np.linalg.cholesky(sorted_ + least * np.eye(m))
    return roots


def _even(m: int, d: int) -> Array:
    """(m, d) points spread evenly over the open unit cube, the same every time (Sobol, moved by one random vector).

    Any stretch of them is even too, by points of its own: were the same used for every class, all would err alike.
    """
    shift = np.random.default_rng(_SEED).random(d)
    points = qmc.Sobol(d, scramble=False).random_base2((m - 1).bit_length())[:m]
    return np.asarray(np.clip((points + shift) % 1.0, 1e-12, 1.0 - 1e-12))


def _moved(model: Model, before: Mixture, after: Mixture, n: float) -> float:
    """The largest change of a free number, in units of about its standard error."""
    step = np.abs(model.pack(after) - model.pack(before)) / model.sizes(after)
    return float(step.max(initial=0.0) * np.sqrt(n))
