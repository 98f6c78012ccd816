"""A mixture of rows with angles: von Mises components for these, Gaussian ones for the other columns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
from scipy.special import entr

from mixsci.engine.evaluate import evaluate, group_codes, warn_of_unknown_groups
from mixsci.engine.execution import Workers
from mixsci.engine.kernels import circular
from mixsci.engine.kernels.circular import Seen
from mixsci.engine.kernels.information import shares_of
from mixsci.engine.kernels.layout import Shares
from mixsci.engine.mixture import Mixture, dims_of, drawn_labels, refuse_singular
from mixsci.engine.noise import NoNoise
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_generator, as_numbers, is_whole
from mixsci.errors import DataError, name_rows

Array = np.ndarray

TURN = 2.0 * np.pi
_PARTS = ("directions", "concentrations")
#: Turns from which on an angle has lost its digits.
_MOST_TURNS = 1e9


@dataclass(frozen=True, eq=False, repr=False)
class CircularMixture(Mixture):
    """p(x) = sum_k w_k prod_a VM(x_a; m_ka, kappa_ka) N(x_o; mu_k, Sigma_k), angles a and ordinary columns o.

    Given the component, angles are independent of one another and of all else. Gaps are marginalised exactly, and so
    are Gaussian errors of ordinary columns; the error of an angle is von Mises with the mean resultant length of a
    wrapped normal error of that standard deviation (`kernels/circular.py`).

    Args:
        weights: (K,) or, per group, (G, K).
        means, covariances: (K, D), (K, D, D) of the ordinary columns; None where there are none.
        directions: (K, A) mean directions, in the units of the angles.
        concentrations: (K, A) kappa >= 0; 0 is uniform, the standard deviation in radians is about 1 / sqrt(kappa).
        angles: (A,) columns that are angles; None = all.
        period: of every angle or (A,) of each: 2 pi, 360, 24 h, or 180 for the axes of things without a head.
        group_labels, group_rows, background: as of a `Mixture`; the box of a background spans all columns.

    Raises:
        DataError: shapes that do not match, kappa below 0, a period that is not positive.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> where = [[0.0], [120.0]]
        >>> hues = mx.CircularMixture([0.5, 0.5], directions=where, concentrations=[[8.0], [8.0]], period=360)
        >>> hues.predict(np.array([[350.0], [10.0], [100.0]]))
        array([0, 0, 1])
    """

    means: Any = None
    covariances: Any = None
    directions: Any = None
    concentrations: Any = None
    angles: Any = None
    period: Any = TURN

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (a frozen dataclass sets itself up)
        k = len(as_numbers(self.concentrations, "concentrations").values) if self.means is None else 0
        put("means", np.zeros((k, 0)) if self.means is None else self.means)
        put("covariances", np.zeros((k, 0, 0)) if self.covariances is None else self.covariances)
        super().__post_init__()
        for name in _PARTS:
            put(name, as_numbers(getattr(self, name), name).values.astype(float))
        _check_angles(self)
        put("angles", columns_of(self.angles, self.n_variables))
        put("period", np.broadcast_to(periods_of(self.period, self.n_angles), self.n_angles).copy())
        put("directions", wrapped(self.directions, self.period))
        _check_box(self)

    def __repr__(self) -> str:
        groups = "" if self.group_labels is None else f", {self.n_groups} groups"
        ordinary = f", {self.n_dims} other columns" if self.n_dims else ""
        return f"CircularMixture({self.n_components} components, {self.n_angles} angles{ordinary}{groups})"

    @property
    def fewest_dims(self) -> int:
        """Rows may be all angles."""
        return 0

    @property
    def by_component(self) -> tuple[str, ...]:
        """Names of the parts that have an entry for every component, weights aside."""
        return (*super().by_component, *_PARTS)

    @property
    def n_angles(self) -> int:
        """Number of angles A."""
        return int(self.directions.shape[1])

    @property
    def n_variables(self) -> int:
        """Number of columns, angles and others."""
        return self.n_dims + self.n_angles

    @cached_property
    def ordinary(self) -> list[int]:
        """Columns that are not angles, D of them."""
        return [j for j in range(self.n_variables) if j not in self.angles]

    @cached_property
    def alone(self) -> tuple[Mixture, ...]:
        """Each component's Gaussian by itself."""
        one = np.ones((self.n_groups, 1) if self.n_groups else 1)
        parts = zip(self.means, self.covariances, strict=True)
        return tuple(Mixture(one, mean[None], spread[None], group_labels=self.group_labels) for mean, spread in parts)

    def evolve(self, **changes: Any) -> Self:
        """The mixture with parts changed by the engine itself, whose results are not checked again."""
        changed = super().evolve(**changes)
        changed.__dict__.pop("alone", None)
        return changed

    # What the mixture says of rows

    def view(self, block: Observations, backend: str = "numba") -> View:
        """What a block of rows is under the mixture."""
        self.refuse_others(block)
        halves = halved(block, self.angles, self.period)
        whirl = circular.see(halves.angles, halves.errors, *self.radians)
        log_p, failures = np.zeros((len(block), self.n_components)), np.zeros(self.n_components, dtype=np.int64)
        if halves.ordinary is not None:
            for k, one in enumerate(self.alone):
                sums, shares = evaluate(one, halves.ordinary, keep=1, backend=backend)
                assert shares is not None
                log_p[:, k], failures[k] = shares.log_density, sums.failures[0]
        log_p += whirl.log_density + (whirl.angles @ np.log(TURN / self.period))[:, None]
        codes = group_codes(self, block)
        density, r = self._shared(log_p, codes, block)
        density = np.where(block.seen().any(axis=1), density, 0.0)
        return View(halves.ordinary, whirl, density, r, block.seen_weight, failures, codes)

    @property
    def radians(self) -> tuple[Array, Array]:
        """Mean directions (K, A), in radians, and concentrations (K, A)."""
        return self.directions * (TURN / self.period), self.concentrations

    def beside(self, other: Any) -> Self:
        """The mixture with directions that lie within half a period of those of another, a `CircularMixture`."""
        low = other.directions - self.period / 2.0
        return self.evolve(directions=low + wrapped(self.directions - low, self.period))

    def _shared(self, log_p: Array, codes: Array | None, block: Observations) -> tuple[Array, Array]:
        """Log densities (n,) and responsibilities (n, K), those of a background left out."""
        with np.errstate(divide="ignore"):
            log_weights = self.log_weights
            if self.n_groups:
                log_weights = np.vstack([log_weights, np.log(self.pooled_weights)])
        log_p = log_p + log_weights[0 if codes is None else codes]
        if self.background is None:
            return shares_of(log_p)
        x = np.array(block.x, dtype=float)
        low = np.asarray(self.background.low)[list(self.angles)]
        x[:, self.angles] = low + wrapped(x[:, self.angles] - low, self.period)
        outside = self.background.log_density(np.where(block.seen(), x, np.nan).T)
        density, r = shares_of(np.column_stack([log_p + np.log1p(-self.background.weight), outside]))
        return density, r[:, :-1]

    def shares(self, obs: Any, *, workers: Workers = None) -> Shares:
        """Both `log_density` (n,), per unit of every column, and `responsibilities` (n, K), from one pass over rows."""
        obs = as_observations(obs)
        self.refuse_others(obs)
        warn_of_unknown_groups(self, obs)
        log_density, r = np.empty(len(obs)), np.empty((len(obs), self.n_components))
        for rows, found in self._each(obs, self.view, None, workers):
            refuse_singular(found.failures)
            log_density[rows], r[rows] = found.log_density, found.responsibilities
        return Shares(log_density, r, None, None)

    def refuse_others(self, block: Observations) -> None:
        """Refuse rows of other columns, or through a projection."""
        if block.width != self.n_variables:
            raise DataError(f"rows must have the mixture's {self.n_variables} columns; got {block.width}")
        refuse_projection(block)

    def impute(self, obs: Any, *, workers: Workers = None) -> tuple[Array, Array]:
        """Rows (n, m) with their gaps filled, and the standard deviations (n, m) of what was filled.

        An angle is filled with the mean direction of the mixture given the row; its standard deviation is the circular
        one, sqrt(-2 log R) in the units of the angle (Mardia & Jupp 2000, section 2.3), infinite where R is 0.
        """
        return super().impute(obs, workers=workers)

    def denoise(self, obs: Any, *, workers: Workers = None) -> tuple[Array, Array]:
        """True values (n, m) expected given the rows, errors taken off and gaps filled; standard deviations (n, m).

        Of an angle it is the mean direction of the true one, and the circular standard deviation, as in `impute`; both
        are exact under the von Mises errors that the mixture assumes.

        Example:
            >>> import numpy as np, mixsci as mx
            >>> reds = mx.CircularMixture([1.0], directions=[[0.0]], concentrations=[[50.0]], period=360)
            >>> measured = mx.Observations([[20.0]], mx.noise.from_errors([8.0]))
            >>> reds.denoise(measured)[0].round(1)
            array([[10.2]])
        """
        obs = self._rows_to_fill(obs)
        mean, sd = np.empty(obs.x.shape), np.empty(obs.x.shape)
        for rows, (values, spread) in self._each(obs, self._expected, None, workers):
            mean[rows], sd[rows] = values, spread
        return mean, sd

    def _filled(self, block: Observations) -> tuple[Array, Array]:
        mean, sd = self._expected(block)
        seen = block.seen()
        return np.where(seen, block.x, mean), np.where(seen, 0.0, sd)

    def _expected(self, block: Observations) -> tuple[Array, Array]:
        """Mean directions and means (n, m) of the true values given the rows, and their standard deviations."""
        found = self.view(block)
        mean, sd = np.zeros(block.x.shape), np.zeros(block.x.shape)
        turn, kappa = self.radians
        total = found.responsibilities.sum(axis=1, keepdims=True)
        share = np.where(total > 0, found.responsibilities / np.where(total > 0, total, 1.0), self.pooled_weights)
        known = 1.0 - found.whirl.versine + 1j * found.whirl.sine
        vector = np.where(found.whirl.angles[:, None] > 0, known, 1.0 - circular.lack(kappa)) * np.exp(1j * turn)
        resultant = np.einsum("nk,nka->na", share, vector)
        mean[:, self.angles] = wrapped(np.angle(resultant) * (self.period / TURN), self.period)
        length = np.clip(np.abs(resultant), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            sd[:, self.angles] = np.sqrt(-2.0 * np.log(length)) * (self.period / TURN)
        if found.ordinary is not None:
            parts = [one.posterior(found.ordinary, workers=1) for one in self.alone]
            values, spreads = (np.stack(each, axis=1) for each in zip(*parts, strict=True))
            middle = np.einsum("nk,nkd->nd", share, values)
            inside = np.diagonal(spreads, axis1=2, axis2=3) + (values - middle[:, None]) ** 2
            mean[:, self.ordinary], sd[:, self.ordinary] = middle, np.sqrt(np.einsum("nk,nkd->nd", share, inside))
        return mean, sd

    def _drawn(self, block: Observations, rng: np.random.Generator) -> Array:
        found = self.view(block)
        labels = drawn_labels(found.responsibilities, rng)
        out = np.empty(block.x.shape)
        out[:, self.angles] = self._angles_of(labels, rng)
        if found.ordinary is not None:
            drawn = np.stack([one.draw(found.ordinary, rng=rng) for one in self.alone])
            out[:, self.ordinary] = drawn[labels, np.arange(len(block))]
        return np.where(block.seen(), block.x, out)

    def _angles_of(self, labels: Array, rng: np.random.Generator) -> Array:
        """(n, A) angles drawn from components (n,)."""
        turn, kappa = self.radians
        return wrapped(rng.vonmises(turn[labels], kappa[labels]) * (self.period / TURN), self.period)

    # Other mixtures that follow from it, draws, a table

    def of_group(self, label: Hashable) -> CircularMixture:
        """The mixture of one group: its weights."""
        return self.evolve(weights=self.weights[self.group_code(label)], group_labels=None, group_rows=None)

    def _in_group(self, label: Hashable | None) -> CircularMixture:
        if label is not None:
            return self.of_group(label)
        if self.weights.ndim == 1:
            return self
        raise DataError(f"this mixture differs by group: pass group=, one of {self.group_labels}")

    def sample(self, n: int, *, rng: Any = None, group: Hashable | None = None) -> tuple[Array, Array]:
        """n rows (n, m) of all columns and the component (n,) of each; -1 for the background."""
        here, rng = self._in_group(group), as_generator(rng)
        if not is_whole(n) and n != 0:
            raise DataError(f"n must be a whole number of rows, not negative; got {n!r}")
        labels = rng.choice(here.n_components, size=int(n), p=here.weights / here.weights.sum())
        rows = np.empty((int(n), self.n_variables))
        rows[:, self.angles] = self._angles_of(labels, rng)
        values, vectors = np.linalg.eigh(self.covariances)
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        step = np.einsum("nij,nj->ni", roots[labels], rng.standard_normal((int(n), self.n_dims)))
        rows[:, self.ordinary] = self.means[labels] + step
        if self.background is not None:
            strays = rng.random(int(n)) < self.background.weight
            rows[strays], labels[strays] = self.background.sample(int(strays.sum()), rng), -1
        return rows, labels

    def marginal(self, dims: Sequence[int], *, group: Hashable | None = None) -> Mixture:
        """The mixture of some of the columns, in the order asked for; an ordinary one where none is an angle."""
        here, at = self._in_group(group), dims_of(dims, self.n_variables)
        if not at:
            raise DataError("a marginal needs at least one column; got none")
        background = None if here.background is None else here.background.marginal(at)
        plain = [self.ordinary.index(j) for j in at if j in self.ordinary]
        whirl = [self.angles.index(j) for j in at if j in self.angles]
        means, covariances = self.means[:, plain], self.covariances[:, plain][:, :, plain]
        if not whirl:
            return Mixture(here.weights, means, covariances, background=background)
        return CircularMixture(
            here.weights, means, covariances, background=background, directions=self.directions[:, whirl],
            concentrations=self.concentrations[:, whirl], period=self.period[whirl],
            angles=[place for place, j in enumerate(at) if j in self.angles],
        )  # fmt: skip

    def component_means(self) -> Array:
        """(K, m) mean directions of angles and means of the other columns, in the units of the columns."""
        out = np.empty((self.n_components, self.n_variables))
        out[:, self.angles], out[:, self.ordinary] = self.directions, self.means
        return out

    def component_variances(self) -> NoReturn:
        """Not offered: an angle has a concentration instead."""
        raise DataError("angles have concentrations in place of variances: see concentrations and covariances")

    def _spreads(self, names: Sequence[str]) -> dict[str, Array]:
        sd = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))
        kappas = {f"kappa({names[j]})": self.concentrations[:, a] for a, j in enumerate(self.angles)}
        return kappas | {f"sd({names[j]})": sd[:, d] for d, j in enumerate(self.ordinary)}

    def posterior(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: see `denoise`, `impute` and `draw`."""
        raise DataError("a mixture with angles has no Gaussian posterior: ask denoise, or impute or draw for its gaps")

    def condition(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: see `impute` and `draw`."""
        raise DataError("a mixture with angles is conditioned row by row: give the row with gaps to impute or draw")

    def forecast(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: angles have no linear views."""
        raise DataError("a mixture with angles has no linear views: give rows with gaps to impute or draw")

    def cdf(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: a circle has no left end."""
        raise DataError("a circle has no left end: take marginal([column]) of an ordinary column for cdf, sf, quantile")

    sf = quantile = cdf


class View(NamedTuple):
    """Rows under a mixture.

    Attributes:
        ordinary: the columns that are not angles, or None. whirl: what angles say.
        log_density: (n,). responsibilities: (n, K). weights: (n,), 0 where nothing is seen.
        failures: (K,) rows for which a component has no density. codes: (n,) groups, or None.
    """

    ordinary: Observations | None
    whirl: Seen
    log_density: Array
    responsibilities: Array
    weights: Array
    failures: Array
    codes: Array | None

    @property
    def entropy(self) -> float:
        """- sum of r log r over rows and classes, a background being one."""
        r = self.responsibilities
        rest = np.clip(1.0 - r.sum(axis=1), 0.0, 1.0)
        return float(self.weights @ (entr(r).sum(axis=1) + entr(np.where(rest > 1e-12, rest, 0.0))))


class Halves(NamedTuple):
    """Ordinary columns of rows, or None; their angles (n, A), and errors of these (n, A) or (1, A) or None, radians."""

    ordinary: Observations | None
    angles: Array
    errors: Array | None


def halved(block: Observations, angles: Sequence[int], period: Array) -> Halves:
    """Rows with their angles apart, in radians; refuses errors that tie angles to anything."""
    at, rest = list(angles), [j for j in range(block.width) if j not in angles]
    far: Array = np.abs(np.where(block.seen()[:, at], block.x[:, at], 0.0)) > _MOST_TURNS * period
    if far.any():
        raise DataError(
            f"angles must be within {_MOST_TURNS:.0e} periods of 0, or their digits are lost; those of "
            f"{name_rows(np.asarray(far.any(axis=1)))} are not: take whole turns off, or check the period"
        )
    turned = np.where(block.seen()[:, at], wrapped(np.asarray(block.x[:, at], dtype=float), period), np.nan)
    return Halves(block.of_columns(rest) if rest else None, turned * (TURN / period), _errors(block, at, TURN / period))


def _errors(block: Observations, at: list[int], unit: Array) -> Array | None:
    """Standard deviations (n, A) or (1, A) of angles, radians; None without errors."""
    noise = block.noise
    if isinstance(noise, NoNoise):
        return None
    covariances = noise.covariances(len(block) if noise.per_row else 1)
    others = covariances[:, at].copy()
    others[:, np.arange(len(at)), at] = 0.0
    if others.any():
        where = name_rows(others.any(axis=(1, 2))) if noise.per_row else "all rows"
        raise DataError(f"errors of angles must not be correlated with others; they are in {where}: set these to 0")
    variances = np.diagonal(covariances, axis1=1, axis2=2)[:, at]
    return np.sqrt(variances) * unit if variances.any() else None


def wrapped(values: Array, period: Array) -> Array:
    """Angles brought into [0, period)."""
    turned = np.mod(values, period)
    # A hair below zero rounds up to the period itself.
    return np.where(turned >= period, 0.0, turned)


def columns_of(angles: Any, width: int | None) -> tuple[int, ...]:
    """Columns that are angles, checked; all of them where None. Without a width there may be any number of columns."""
    if angles is None:
        return tuple(range(width or 0))
    if any(isinstance(j, str) for j in np.ravel(np.asarray(angles, dtype=object))):
        raise DataError(f"angles must be numbers of columns, which VonMisesMixture finds by name; got {angles!r:.80}")
    found, most = list(angles) if isinstance(angles, Iterable) else [angles], np.inf if width is None else width
    right = all(isinstance(j, int | np.integer) and not isinstance(j, bool) and 0 <= j < most for j in found)
    if not right or not len(found) or len(set(found)) < len(found):
        last = "" if width is None else f" to {width - 1}"
        raise DataError(f"angles must be distinct numbers of columns, from 0{last}; got {angles!r:.80}")
    return tuple(int(j) for j in found)


def periods_of(period: Any, count: int | None) -> Array:
    """Period () or (A,) of the angles, checked; A is not looked at where None."""
    found = as_numbers(period, "period").values.astype(float)
    if found.ndim > 1 or not (np.isfinite(found) & (found > 0)).all():
        raise DataError(f"period must be positive and finite, one number or one for each angle; got {period!r}")
    if count is not None and found.ndim and len(found) != count:
        raise DataError(f"period must be one number or one for each of the {count} angles; got {len(found)}")
    return found


def refuse_angles(mixture: Any, what: str) -> None:
    """Refuse a mixture with angles where a question is one of Gaussians alone."""
    if isinstance(mixture, CircularMixture):
        raise DataError(f"{what} of Gaussians: a mixture with angles has marginal([...]) of its other columns for that")


def refuse_projection(block: Observations) -> None:
    """Refuse rows that see a projection."""
    if block.projection is not None:
        raise DataError("angles are seen as they are: rows with a projection do not fit a mixture with angles")


def _check_angles(mixture: CircularMixture) -> None:
    """Raise unless directions and concentrations fit the components."""
    k, shape = mixture.n_components, mixture.directions.shape
    if len(shape) != 2 or len(mixture.directions) != k or not shape[1] or mixture.concentrations.shape != shape:
        raise DataError(
            f"directions and concentrations must have shape (K, A), K = {k}, A >= 1; got {shape} and "
            f"{mixture.concentrations.shape}"
        )
    good = np.isfinite(mixture.concentrations) & (mixture.concentrations >= 0)
    if not good.all() or not np.isfinite(mixture.directions).all():
        raise DataError("directions must be finite and concentrations finite and not negative; they are not")
    if mixture.angles is None and mixture.n_dims:
        raise DataError(f"angles must say which of the {mixture.n_variables} columns are angles; it is None")
    if mixture.angles is not None and len(np.atleast_1d(mixture.angles)) != shape[1]:
        raise DataError(f"angles must name a column for each of the {shape[1]} directions; got {mixture.angles!r}")
    if any(getattr(mixture, name) is not None for name in ("offsets", "theta", "rates", "state_of_component")):
        raise DataError("a mixture with angles has neither offsets nor laws: leave them out")


def _check_box(mixture: CircularMixture) -> None:
    """Raise unless a background's box spans all columns, and no angle more than once."""
    box = mixture.background
    if box is None:
        return
    if len(box.low) != mixture.n_variables:
        raise DataError(
            f"a background's box must have the {mixture.n_variables} columns of the rows; got {len(box.low)}"
        )
    wide = (box.high - box.low)[list(mixture.angles)]
    if (wide > mixture.period * (1.0 + 1e-9)).any():
        raise DataError(f"a background must span at most a period of an angle; got {wide.max():g}: end it there")
