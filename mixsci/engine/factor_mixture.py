"""A mixture in few factors behind many variables: x = loadings v + intercept + shift + e, v from a mixture.

With loadings common to all components it is a mixture of common factor analysers (Baek, McLachlan & Flack 2010); with
loadings of their own, one of factor analysers (Ghahramani & Hinton 1996).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from mixsci.engine.evaluate import group_codes, warn_of_unknown_groups
from mixsci.engine.execution import Workers
from mixsci.engine.kernels import information
from mixsci.engine.kernels.information import Expected, Summaries, Values, packed, shares_of, triangle, unpacked
from mixsci.engine.kernels.layout import Shares
from mixsci.engine.mixture import Mixture, dims_of, drawn_labels
from mixsci.engine.noise import DiagonalNoise, NoNoise, SharedNoise
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_generator, as_numbers
from mixsci.errors import DataError

Array = np.ndarray

#: Rows of a block, and values: matrix products want many rows, memory few values.
_ROWS, _FEWEST_ROWS, _VALUES = 1024, 128, 1 << 22
_PARTS = ("loadings", "intercept", "uniquenesses", "shifts", "doubt", "scale")


@dataclass(frozen=True, eq=False, repr=False)
class FactorMixture(Mixture):
    """p(x) = sum_k w_k N(x; L mu_k + m, L Sigma_k L' + Psi), gaps and noise per value marginalised exactly.

    `weights`, `means` and `covariances` are those of the q factors; `posterior` speaks of the factors, `impute`,
    `draw`, `sample`, `summary` and `component_means` of the D variables.

    Args:
        loadings: (D, q) of all components, or (K, D, q) of each.
        intercept: (D,) or (K, D), in the units of the variables.
        uniquenesses: (D,) variances of what the factors leave, Psi > 0.
        shifts: (G, D) shift of every group, or None.
        doubt: (C, D, q(q+1)/2) covariances of loadings in units of Psi, triangles packed by rows, and `scale` (C, q, q)
            the covariance of their prior, C = 1 or K; while a fit with priors climbs, else None.

    Raises:
        DataError: shapes that do not match, uniquenesses that are not positive.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> one = mx.FactorMixture(
        ...     [1.0], [[0.0]], [[[1.0]]], loadings=[[2.0], [1.0]], intercept=[0.0, 5.0], uniquenesses=[1.0, 1.0]
        ... )
        >>> filled, sd = one.impute(np.array([[2.5, np.nan]]))
        >>> filled, sd.round(3)
        (array([[2.5, 6. ]]), array([[0.   , 1.095]]))
    """

    loadings: Any = None
    intercept: Any = None
    uniquenesses: Any = None
    shifts: Any = None
    doubt: Any = None
    scale: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in _PARTS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_numbers(value, name).values.astype(float))
        _check(self)

    def __repr__(self) -> str:
        groups = "" if self.group_labels is None else f", {self.n_groups} groups"
        factors = f"{self.n_dims} {'own' if self.own else 'common'} factors"
        return f"FactorMixture({self.n_components} components, {factors}, {self.n_variables} variables{groups})"

    @property
    def n_variables(self) -> int:
        """Number of variables D."""
        return int(self.loadings.shape[-2])

    @property
    def own(self) -> bool:
        """Whether every component has loadings of its own."""
        return bool(self.loadings.ndim == 3)

    @property
    def by_component(self) -> tuple[str, ...]:
        """Names of the parts that have an entry for every component, weights aside."""
        return (*super().by_component, "loadings", "intercept") if self.own else super().by_component

    @property
    def block_rows(self) -> int:
        """Rows to work on at once."""
        return int(np.clip(_VALUES // self.n_variables, _FEWEST_ROWS, _ROWS))

    @cached_property
    def analysers(self) -> tuple[Analyser, ...]:
        """The common analyser, or that of each component."""
        many = self.loadings if self.own else self.loadings[None]
        level = self.intercept if self.own else self.intercept[None]
        doubt = [None] * len(many) if self.doubt is None else self.doubt
        parts = zip(many, level, doubt, strict=True)
        return tuple(Analyser(each, at, self.uniquenesses, self.shifts, unsure) for each, at, unsure in parts)

    def evolve(self, **changes: Any) -> Self:
        """The mixture with parts changed by the engine itself, whose results are not checked again."""
        changed = super().evolve(**changes)
        changed.__dict__.pop("analysers", None)
        return changed

    # What the mixture says of rows

    def expected(self, block: Observations) -> list[tuple[View, Expected]]:
        """How every analyser sees the rows of a block, and what their factors are under it.

        With common loadings there is one, and responsibilities are its; with own loadings there is one for each
        component, each with a single component of weight one, and responsibilities (n, K) are put into all of them.
        """
        self.refuse_others(block)
        codes, log_weights = self.codes_of(block), self._log_weights
        views = [analyser.view(block, codes) for analyser in self.analysers]
        if not self.own:
            return [(views[0], information.run(views[0].summaries, log_weights, self.means, self.covariances))]
        alone = [_under(self, k, view.summaries) for k, view in enumerate(views)]
        log_p = log_weights[codes] + np.stack([each.log_density for each in alone], axis=1)
        density, r = shares_of(log_p)
        return [
            (view, each._replace(log_density=density, responsibilities=r))
            for view, each in zip(views, alone, strict=True)
        ]

    def codes_of(self, block: Observations) -> Array:
        """(n,) codes of the rows' groups, 0 without groups, G where the mixture does not know the group."""
        codes = group_codes(self, block)
        return np.zeros(len(block), dtype=np.int64) if codes is None else np.asarray(codes, dtype=np.int64)

    @property
    def _log_weights(self) -> Array:
        """(G, K), or (G + 1, K) with the pooled weights of groups that are not known."""
        weights = np.atleast_2d(self.weights)
        with np.errstate(divide="ignore"):
            return np.log(np.vstack([weights, self.pooled_weights]) if self.n_groups else weights)

    def shares(self, obs: Any, *, workers: Workers = None) -> Shares:
        """Both `log_density` (n,) and `responsibilities` (n, K) of rows, from one pass over them."""
        obs = as_observations(obs)
        self.refuse_others(obs)
        warn_of_unknown_groups(self, obs)
        log_density, r = np.empty(len(obs)), np.empty((len(obs), self.n_components))
        for rows, found in self._each(obs, lambda block: self.expected(block)[0][1], _ROWS, workers):
            log_density[rows], r[rows] = found.log_density, found.responsibilities
        return Shares(log_density, r, None, None)

    def posterior(self, obs: Any, *, workers: Workers = None) -> tuple[Array, Array]:
        """Means (n, q) and covariances (n, q, q) of the factors given the rows: fewer values, larger covariances.

        Raises:
            DataError: components with factors of their own, which have no common meaning.
        """
        if self.own and self.n_components > 1:
            raise DataError("components with loadings of their own share no factors: use common loadings for scores")
        return super().posterior(obs, workers=workers)

    def _posterior_of_block(self, block: Observations) -> tuple[Array, Array]:
        _, found = self.expected(block)[0]
        return found.first.T, _spread_of(found)

    def _filled(self, block: Observations) -> tuple[Array, Array]:
        seen, codes, found = block.seen(), self.codes_of(block), self.expected(block)
        mean, square = np.zeros(seen.shape), np.zeros(seen.shape)
        shares = found[0][1].responsibilities.T if self.own else [np.ones(len(block))]
        for share, analyser, (_, one) in zip(shares, self.analysers, found, strict=True):
            level, along = analyser.level(codes), one.first.T @ analyser.loadings.T
            # E (l'v + m)^2 = E (l'v)^2 + 2 m E l'v + m^2
            twice = one.second.T @ (_products(analyser.loadings) * _twice_off_diagonal(self.n_dims)).T
            mean += share[:, None] * (along + level)
            square += share[:, None] * (twice + 2.0 * level * along + level**2 + self.uniquenesses)
        sd = np.sqrt(np.maximum(square - mean**2, 0.0))
        return np.where(seen, block.x, mean), np.where(seen, 0.0, sd)

    def _drawn(self, block: Observations, rng: np.random.Generator) -> Array:
        """A draw of what is missing: the component, its factors, then what they leave."""
        labels, codes, out = drawn_labels(self.responsibilities(block, workers=1), rng), self.codes_of(block), []
        for k in range(self.n_components):
            rows = np.flatnonzero(labels == k)
            analyser = self.analysers[k if self.own else 0]
            one = _under(self, k, analyser.view(block.take(rows), codes[rows]).summaries)
            values, vectors = np.linalg.eigh(_spread_of(one))
            step = np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(values.shape)
            factors = one.first.T + np.einsum("nij,nj->ni", vectors, step)
            left = np.sqrt(self.uniquenesses) * rng.standard_normal((len(rows), self.n_variables))
            out.append(factors @ analyser.loadings.T + analyser.level(codes[rows]) + left)
        back = np.argsort(np.argsort(labels, kind="stable"), kind="stable")
        return np.where(block.seen(), block.x, np.concatenate(out)[back])

    def refuse_others(self, block: Observations) -> None:
        """Refuse rows of other variables, or whose errors are correlated."""
        if block.projection is not None:
            raise DataError("a factor mixture sees its variables as they are: rows with a projection do not fit it")
        if block.width != self.n_variables:
            raise DataError(f"rows must have the mixture's {self.n_variables} variables; got {block.width}")
        variances_of(block)

    # Of the variables

    def component_means(self) -> Array:
        """(K, D) means of the components in the variables, shifts of groups left out."""
        if self.own:
            return np.einsum("kdq,kq->kd", self.loadings, self.means) + self.intercept
        return np.asarray(self.means @ self.loadings.T + self.intercept)

    def component_variances(self) -> Array:
        """(K, D) variances of the components in the variables."""
        loadings = np.broadcast_to(self.loadings, (self.n_components, self.n_variables, self.n_dims))
        inside = np.einsum("kdi,kij,kdj->kd", loadings, self.covariances, loadings)
        return np.asarray(inside + self.uniquenesses)

    def sample(self, n: int, *, rng: Any = None, group: Hashable | None = None) -> tuple[Array, Array]:
        """n rows (n, D) of all variables and the component (n,) of each."""
        here, rng = self._in_group(group), as_generator(rng)
        latent = Mixture(here.weights, here.means, here.covariances)
        factors, labels = latent.sample(n, rng=rng)
        if self.own:
            clean = np.einsum("ndq,nq->nd", here.loadings[labels], factors) + here.intercept[labels]
        else:
            clean = factors @ here.loadings.T + here.intercept
        return clean + np.sqrt(self.uniquenesses) * rng.standard_normal(clean.shape), labels

    def of_group(self, label: Hashable) -> FactorMixture:
        """The mixture of one group: its weights, its shift in the intercept."""
        alone = Mixture.of_group(self, label)
        shift = 0.0 if self.shifts is None else self.shifts[self.group_code(label)]
        return FactorMixture(
            alone.weights, alone.means, alone.covariances, loadings=self.loadings, intercept=self.intercept + shift,
            uniquenesses=self.uniquenesses,
        )  # fmt: skip

    def _in_group(self, label: Hashable | None) -> FactorMixture:
        if label is not None:
            return self.of_group(label)
        if self.weights.ndim == 1 and self.shifts is None:
            return self
        raise DataError(f"this mixture differs by group: pass group=, one of {self.group_labels}")

    def marginal(self, dims: Sequence[int], *, group: Hashable | None = None) -> FactorMixture:
        """The mixture of some of the variables, in the order asked for."""
        here, at = self if group is None else self.of_group(group), dims_of(dims, self.n_variables)
        return replace(
            here, loadings=here.loadings[..., at, :], intercept=here.intercept[..., at],
            uniquenesses=here.uniquenesses[at], shifts=None if here.shifts is None else here.shifts[:, at], doubt=None,
            scale=None,
        )  # fmt: skip

    def condition(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: the mixture given some variables has no factors in common; see `impute` and `draw`."""
        raise DataError("a factor mixture is conditioned row by row: give the row with gaps to impute or draw")

    def forecast(self, *_: Any, **__: Any) -> NoReturn:
        """Not offered: see `posterior` for the factors and `impute` for the variables."""
        raise DataError("a factor mixture forecasts its variables: give rows with gaps to impute or draw")

    def dense(self, *, group: Hashable | None = None) -> Mixture:
        """The same density as a `Mixture` of the D variables, with covariances (K, D, D).

        Example:
            >>> import mixsci as mx
            >>> parts = dict(loadings=[[2.0], [1.0]], intercept=[0.0, 5.0], uniquenesses=[1.0, 1.0])
            >>> mx.FactorMixture([1.0], [[0.0]], [[[1.0]]], **parts).dense().covariances
            array([[[5., 2.],
                    [2., 2.]]])
        """
        here = self._in_group(group)
        loadings = np.broadcast_to(here.loadings, (here.n_components, here.n_variables, here.n_dims))
        covariances = loadings @ here.covariances @ loadings.transpose(0, 2, 1) + np.diag(here.uniquenesses)
        return Mixture(here.weights, here.component_means(), (covariances + covariances.transpose(0, 2, 1)) / 2)

    def cdf(self, t: Any, *, group: Hashable | None = None) -> Array:
        """P(x <= t) of a single variable, same shape as t."""
        return self._single(group).cdf(t)

    def sf(self, t: Any, *, group: Hashable | None = None) -> Array:
        """P(x > t) of a single variable, accurate far in the upper tail."""
        return self._single(group).sf(t)

    def quantile(self, q: Any, *, group: Hashable | None = None) -> Array:
        """The t with P(x <= t) = q of a single variable, for q strictly between 0 and 1."""
        return self._single(group).quantile(q)

    def _single(self, group: Hashable | None) -> Mixture:
        if self.n_variables != 1:
            raise DataError(
                f"cdf, sf and quantile need a single variable; take marginal([variable]) of these {self.n_variables}"
            )
        return self.dense(group=group)


@dataclass(frozen=True, eq=False)
class Analyser:
    """x = loadings v + intercept + shift + e: what turns rows into summaries of their factors."""

    loadings: Array
    intercept: Array
    uniquenesses: Array
    shifts: Array | None
    doubt: Array | None

    @cached_property
    def _slopes(self) -> Array:
        """(q, D) loadings over Psi."""
        return np.ascontiguousarray((self.loadings / self.uniquenesses[:, None]).T)

    @cached_property
    def _information(self) -> Array:
        """(q(q+1)/2, D) what an exact value of each variable says of the factors, E l l' / Psi."""
        found = _products(self.loadings) / self.uniquenesses[:, None]
        # Uncertain loadings say less: E l l' = l l' + their covariance.
        return np.ascontiguousarray((found if self.doubt is None else found + self.doubt).T)

    @cached_property
    def _levels(self) -> Array:
        """(G + 1, D) what is expected without factors in each group and in one that is not known, or (1, D)."""
        if self.shifts is None:
            return self.intercept[None]
        return self.intercept + np.vstack([self.shifts, np.zeros(len(self.intercept))])

    def level(self, codes: Array) -> Array:
        """(n, D) or (1, D) what is expected of rows without factors."""
        return self._levels if self.shifts is None else self._levels[codes]

    def view(self, block: Observations, codes: Array) -> View:
        """Rows of a block as this analyser sees them."""
        noise, row = variances_of(block), np.zeros_like(codes) if self.shifts is None else codes
        values = information.read(block.x, self._levels, row, self.uniquenesses, noise)
        weighed = values.share * values.apart if noise.any() else values.apart
        weights = block.each_weight
        summaries = Summaries(
            h=self._slopes @ weighed.T, J=self._information @ values.share.T, c=values.c,
            weights=np.where(values.seen > 0, weights, 0.0), groups=np.ascontiguousarray(codes),
        )  # fmt: skip
        return View(summaries, values, weighed)


class View(NamedTuple):
    """Rows as an analyser sees them: their summaries, their values, and share times distance (n, D) of each value."""

    summaries: Summaries
    values: Values
    weighed: Array


def _under(mixture: FactorMixture, k: int, rows: Summaries) -> Expected:
    """What the factors of rows are if they come from component k."""
    alone = rows._replace(groups=np.zeros(len(rows.groups), dtype=np.int64))
    return information.run(alone, np.zeros((1, 1)), mixture.means[k : k + 1], mixture.covariances[k : k + 1])


def _spread_of(found: Expected) -> Array:
    """(n, q, q) covariances of the factors given each row."""
    mean = found.first.T
    return unpacked(found.second.T, mean.shape[1]) - mean[:, :, None] * mean[:, None, :]


def _products(vectors: Array) -> Array:
    """(D, q(q+1)/2) lower triangles of the products l l' of vectors (D, q)."""
    a, b = triangle(vectors.shape[-1])
    return vectors[:, a] * vectors[:, b]


def _twice_off_diagonal(q: int) -> Array:
    """(q(q+1)/2,) how often an entry of a packed triangle stands in the whole matrix."""
    return packed(2.0 - np.eye(q))


def variances_of(block: Observations) -> Array:
    """(n, D) or (1, D) variances of the errors, 0 without; refuses errors that are correlated."""
    noise = block.noise
    if isinstance(noise, NoNoise):
        return np.zeros((1, block.width))
    if isinstance(noise, DiagonalNoise):
        return np.atleast_2d(noise.variances)
    if isinstance(noise, SharedNoise) and not (noise.covariance - np.diag(np.diag(noise.covariance))).any():
        return np.diag(noise.covariance)[None]
    raise DataError("a factor mixture takes errors of single values: use mixsci.noise.from_errors or from_variances")


def _check(mixture: FactorMixture) -> None:
    """Raise unless loadings, intercept, uniquenesses and shifts fit one another."""
    k, q = mixture.means.shape
    loadings = mixture.loadings
    if (
        loadings is None
        or loadings.ndim not in (2, 3)
        or loadings.shape[-1] != q
        or len(loadings) != (k if loadings.ndim == 3 else loadings.shape[0])
    ):
        raise DataError(f"loadings must have shape (D, q) or (K, D, q) with K, q = {k}, {q}; got {np.shape(loadings)}")
    d = loadings.shape[-2]
    if not d:
        raise DataError("a factor mixture has one variable or more; got none")
    level = (k, d) if mixture.own else (d,)
    for name, shape in {"intercept": level, "uniquenesses": (d,)}.items():
        if np.shape(getattr(mixture, name)) != shape:
            raise DataError(f"{name} must have shape {shape} to match loadings; got {np.shape(getattr(mixture, name))}")
    shifts = (mixture.n_groups, d)
    if mixture.shifts is not None and (mixture.shifts.shape != shifts or mixture.group_labels is None):
        raise DataError(f"shifts must have shape (G, D) = {shifts} and need group_labels; got {mixture.shifts.shape}")
    for name in ("loadings", "intercept", "shifts"):
        if not np.isfinite(np.asarray(0.0 if getattr(mixture, name) is None else getattr(mixture, name))).all():
            raise DataError(f"{name} of a factor mixture must be finite; they are not")
    good = np.isfinite(mixture.uniquenesses) & (mixture.uniquenesses > 0)
    if not good.all():
        raise DataError(f"uniquenesses must be positive and finite; got {mixture.uniquenesses[~good][0]}")
    if mixture.offsets is not None or mixture.background is not None:
        raise DataError("a factor mixture has shifts in place of offsets, and no background")
