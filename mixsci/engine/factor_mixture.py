"""A mixture in few factors behind many variables: x = loadings v + intercept + shift + e, v from a mixture.

With loadings common to all components it is a mixture of common factor analysers (Baek, McLachlan & Flack 2010); with
loadings of their own, one of factor analysers (Ghahramani & Hinton 1996).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mixsci.engine.evaluate import group_codes, warn_of_unknown_groups
from mixsci.engine.execution import Workers
from mixsci.engine.kernels import information
from mixsci.engine.kernels.information import Expected, Summaries
from mixsci.engine.kernels.layout import Shares
from mixsci.engine.mixture import Mixture, drawn_labels
from mixsci.engine.noise import DiagonalNoise, NoNoise, SharedNoise
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_generator, as_numbers
from mixsci.errors import DataError

Array = np.ndarray

_LOG_2PI = float(np.log(2.0 * np.pi))
#: Rows worked on at once: matrix products want many, memory few.
_ROWS = 1024


@dataclass(frozen=True, eq=False, repr=False)
class FactorMixture(Mixture):
    """p(x) = sum_k w_k N(x; L mu_k + m, L Sigma_k L' + Psi), gaps and noise per value marginalised exactly.

    `weights`, `means` and `covariances` are those of the q factors; `posterior` speaks of the factors, `impute`,
    `draw`, `sample` and `component_means` of the D variables.

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
        >>> one = mx.FactorMixture([1.0], [[0.0]], [[[1.0]]], loadings=[[2.0], [1.0]], intercept=[0, 5], uniquenesses=[1, 1])
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
        for name in ("loadings", "intercept", "uniquenesses", "shifts", "doubt", "scale"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_numbers(value, name).values.astype(float))
        _check(self)

    def __repr__(self) -> str:
        groups = "" if self.group_labels is None else f", {self.n_groups} groups"
        own = " of their own" if self.own else ""
        return f"FactorMixture({self.n_components} components, {self.n_dims} factors{own}, {self.n_variables} variables{groups})"

    @property
    def n_variables(self) -> int:
        """Number of variables D."""
        return int(self.loadings.shape[-2])

    @property
    def own(self) -> bool:
        """Whether every component has loadings of its own."""
        return bool(self.loadings.ndim == 3)

    @property
    def analysers(self) -> Iterator[Analyser]:
        """The common analyser, or that of each component."""
        many = self.loadings if self.own else self.loadings[None]
        level = self.intercept if self.own else self.intercept[None]
        for c, (loadings, intercept) in enumerate(zip(many, level, strict=True)):
            doubt = None if self.doubt is None else self.doubt[c]
            yield Analyser(loadings, intercept, self.uniquenesses, self.shifts, doubt)

    # What the mixture says of rows

    def expected(self, block: Observations) -> list[tuple[View, Expected]]:
        """How every analyser sees the rows of a block, and what their factors are under it.

        With common loadings there is one, and responsibilities are its; with own loadings there is one for each
        component, each with a single component of weight one, and responsibilities (n, K) are put into all of them.
        """
        self.refuse_others(block)
        codes, weights = group_codes(self, block), np.atleast_2d(self.weights)
        codes = np.zeros(len(block), dtype=np.int64) if codes is None else codes
        if (codes >= len(weights)).any():
            weights = np.vstack([weights, self.pooled_weights])
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        views = [analyser.view(block, codes) for analyser in self.analysers]
        if not self.own:
            return [(views[0], information.run(views[0].summaries, log_weights, self.means, self.covariances))]
        alone = [
            information.run(view.summaries, np.zeros((len(weights), 1)), self.means[k : k + 1], self.covariances[k : k + 1])
            for k, view in enumerate(views)
        ]  # fmt: skip
        log_p = log_weights[codes] + np.stack([each.log_density for each in alone], axis=1)
        top = log_p.max(axis=1, keepdims=True)
        p = np.exp(log_p - top)
        total = p.sum(axis=1, keepdims=True)
        density, r = (top + np.log(total))[:, 0], p / total
        return [
            (view, each._replace(log_density=density, responsibilities=r))
            for view, each in zip(views, alone, strict=True)
        ]

    def _shares(self, obs: Any, workers: Workers) -> Shares:
        obs = as_observations(obs)
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
        means = found.first.T
        return means, unpacked(found.second.T, self.n_dims) - means[:, :, None] * means[:, None, :]

    def _filled(self, block: Observations) -> tuple[Array, Array]:
        seen = block.seen()
        mean, square = np.zeros(seen.shape), np.zeros(seen.shape)
        found = self.expected(block)
        shares = found[0][1].responsibilities.T if self.own else [np.ones(len(block))]
        for share, analyser, (view, one) in zip(shares, self.analysers, found, strict=True):
            level = view.level
            expected = one.first.T @ analyser.loadings.T
            # E (l'v + m)^2 = E (l'v)^2 + 2 m E l'v + m^2
            twice = one.second.T @ (packed_products(analyser.loadings) * _twice_off_diagonal(self.n_dims)).T
            mean += share[:, None] * (expected + level)
            square += share[:, None] * (twice + 2.0 * level * expected + level**2 + self.uniquenesses)
        sd = np.sqrt(np.maximum(square - mean**2, 0.0))
        return np.where(seen, block.x, mean), np.where(seen, 0.0, sd)

    def _drawn(self, block: Observations, rng: np.random.Generator) -> Array:
        """A draw of what is missing: the component, its factors, then what they leave."""
        labels = drawn_labels(self.responsibilities(block, workers=1), rng)
        codes = group_codes(self, block)
        codes = np.zeros(len(block), dtype=np.int64) if codes is None else codes
        many = list(self.analysers)
        out = np.empty(block.x.shape)
        for k in np.unique(labels):
            analyser, rows = many[k if self.own else 0], np.flatnonzero(labels == k)
            view = analyser.view(block.take(rows), np.zeros(len(rows), dtype=np.int64) if self.shifts is None else codes[rows])
            alone = view.summaries._replace(groups=np.zeros(len(rows), dtype=np.int64))
            one = information.run(alone, np.zeros((1, 1)), self.means[k : k + 1], self.covariances[k : k + 1])
            mean = one.first.T
            spread = unpacked(one.second.T, self.n_dims) - mean[:, :, None] * mean[:, None, :]
            values, vectors = np.linalg.eigh(spread)
            step = np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(mean.shape)
            factors = mean + np.einsum("nij,nj->ni", vectors, step)
            left = np.sqrt(self.uniquenesses) * rng.standard_normal((len(rows), self.n_variables))
            out[rows] = factors @ analyser.loadings.T + view.level + left
        return np.where(block.seen(), block.x, out)

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
        assert self.group_labels is not None
        shift = 0.0 if self.shifts is None else self.shifts[self.group_labels.index(label)]
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
        here, at = self if group is None else self.of_group(group), np.asarray(dims)
        if at.ndim != 1 or not len(at) or at.dtype.kind not in "iu" or not (np.abs(at + 0.5) < self.n_variables).all():
            raise DataError(f"variables must be numbers from 0 to {self.n_variables - 1}, one or more; got {dims!r}")
        return replace(
            here, loadings=here.loadings[..., at, :], intercept=here.intercept[..., at],
            uniquenesses=here.uniquenesses[at], shifts=None if here.shifts is None else here.shifts[:, at], doubt=None,
            scale=None,
        )  # fmt: skip

    def condition(self, *_: Any, **__: Any) -> Mixture:
        """Not offered: the mixture given some variables has no factors in common; see `impute` and `draw`."""
        raise DataError("a factor mixture is conditioned row by row: give the row with gaps to impute or draw")


class Analyser(NamedTuple):
    """x = loadings v + intercept + shift + e: what turns rows into summaries of their factors."""

    loadings: Array
    intercept: Array
    uniquenesses: Array
    shifts: Array | None
    doubt: Array | None

    def view(self, block: Observations, codes: Array) -> View:
        """Rows of a block as this analyser sees them."""
        x, seen = np.asarray(block.x, dtype=float), block.seen()
        level = self.intercept
        if self.shifts is not None:
            level = level + np.vstack([self.shifts, np.zeros(len(level))])[codes]
        apart = np.where(seen, x - level, 0.0)
        noise = variances_of(block)
        spread = self.uniquenesses if noise is None else self.uniquenesses + np.where(seen, noise, 0.0)
        share = seen * (self.uniquenesses / spread)
        precision = share / self.uniquenesses
        weighed = precision * apart
        # Uncertain loadings say less: E l l' = l l' + their covariance.
        products = packed_products(self.loadings)
        if self.doubt is not None:
            products = products + self.uniquenesses[:, None] * self.doubt
        size = seen @ np.log(spread) if np.ndim(spread) == 1 else np.where(seen, np.log(spread), 0.0).sum(axis=1)
        weights = np.ones(len(x)) if block.row_weights is None else block.row_weights
        summaries = Summaries(
            h=self.loadings.T @ weighed.T,
            J=np.ascontiguousarray(products.T) @ precision.T,
            c=(weighed * apart).sum(axis=1) + size + seen.sum(axis=1) * _LOG_2PI,
            weights=np.where(seen.any(axis=1), weights, 0.0),
            groups=np.ascontiguousarray(codes, dtype=np.int64),
        )
        return View(summaries, apart, share, level)


class View(NamedTuple):
    """Rows as an analyser sees them: x minus its level (n, D) and share = Psi / (Psi + noise), 0 where missing."""

    summaries: Summaries
    apart: Array
    share: Array
    level: Array


def packed_products(vectors: Array) -> Array:
    """(D, q(q+1)/2) lower triangles of the products l l' of vectors (D, q)."""
    a, b = np.tril_indices(vectors.shape[-1])
    return vectors[..., a] * vectors[..., b]


def _twice_off_diagonal(q: int) -> Array:
    """(q(q+1)/2,) how often an entry of a packed triangle stands in the whole matrix."""
    a, b = np.tril_indices(q)
    return np.where(a == b, 1.0, 2.0)


def unpacked(triangles: Array, q: int) -> Array:
    """Symmetric matrices (..., q, q) from packed lower triangles (..., q(q+1)/2)."""
    out = np.empty((*triangles.shape[:-1], q, q))
    a, b = np.tril_indices(q)
    out[..., a, b] = triangles
    out[..., b, a] = triangles
    return out


def variances_of(block: Observations) -> Array | None:
    """Variances of the errors, (n, D) or (D,), None without; refuses errors that are correlated."""
    noise = block.noise
    if isinstance(noise, NoNoise):
        return None
    if isinstance(noise, DiagonalNoise):
        return np.asarray(noise.variances)
    if isinstance(noise, SharedNoise) and not (noise.covariance - np.diag(np.diag(noise.covariance))).any():
        return np.diag(noise.covariance)
    raise DataError("a factor mixture takes errors of single values: use mixsci.noise.from_errors or from_variances")


def _check(mixture: FactorMixture) -> None:
    """Raise unless loadings, intercept, uniquenesses and shifts fit one another."""
    k, q = mixture.means.shape
    loadings = mixture.loadings
    if loadings is None or loadings.ndim not in (2, 3) or loadings.shape[-1] != q or len(loadings) != (
        k if loadings.ndim == 3 else loadings.shape[0]
    ):
        raise DataError(f"loadings must have shape (D, q) or (K, D, q) with K, q = {k}, {q}; got {np.shape(loadings)}")
    d = loadings.shape[-2]
    level = (k, d) if mixture.own else (d,)
    for name, shape in {"intercept": level, "uniquenesses": (d,)}.items():
        if np.shape(getattr(mixture, name)) != shape:
            raise DataError(f"{name} must have shape {shape} to match loadings; got {np.shape(getattr(mixture, name))}")
    shifts = (mixture.n_groups, d)
    if mixture.shifts is not None and (mixture.shifts.shape != shifts or mixture.group_labels is None):
        raise DataError(f"shifts must have shape (G, D) = {shifts} and need group_labels; got {mixture.shifts.shape}")
    if not (np.isfinite(mixture.uniquenesses) & (mixture.uniquenesses > 0)).all():
        raise DataError("uniquenesses must be positive and finite")
    if mixture.offsets is not None or mixture.background is not None:
        raise DataError("a factor mixture has shifts in place of offsets, and no background")


__all__ = ["Analyser", "FactorMixture", "View", "packed_products", "unpacked", "variances_of"]
