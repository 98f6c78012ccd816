"""A Gaussian mixture as a value: what was found, and everything that follows from it for given rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import logsumexp, ndtr

from mixsci.engine.evaluate import evaluate, group_codes, warn_of_unknown_groups
from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.kernels.layout import Shares, Sums
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_generator, as_number, as_numbers
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

#: Posterior moments are kept per row and component: smaller blocks keep the memory small.
_MOMENT_ROWS = 512


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(v) = sum_k w_k N(v; mu_k, Sigma_k), optionally with weights and offsets per group and a uniform background.

    Args:
        weights: (K,) or, per group, (G, K); every row sums to 1.
        means: (K, D), in the units of the data.
        covariances: (K, D, D), measurement noise removed; may be singular where rows carry noise.
        rates: linked weights only: the parameters behind the weights, (G,) or (), e.g. lambda of a Poisson law; (G, T)
            or (T,) where a law has T of them.
        theta: (p,) parameters of a ladder of means.
        offsets: (G, D) shift of every group: rows see v + b_g.
        group_labels: (G,) labels of the groups.
        group_rows: (G,) rows (their weights) of each group, for pooled weights.
        background: a `UniformBackground` with its weight.
        state_of_component: (K,) the state each component belongs to, where states have a shape (`Occupancy`).

    NaN leaves a part open: such a mixture is good for one thing, the start of a fit.

    Raises:
        DataError: shapes that do not match, weights that do not sum to one, covariances that are not symmetric
            and positive semi-definite.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> mixture = mx.Mixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
        >>> mixture.responsibilities(np.array([[0.0]])).round(3)
        array([[0.5, 0.5]])
    """

    weights: Any
    means: Any
    covariances: Any
    rates: Any = None
    theta: Any = None
    offsets: Any = None
    group_labels: tuple[Hashable, ...] | None = None
    group_rows: Any = None
    background: Any = None
    state_of_component: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances", "rates", "theta", "offsets", "group_rows"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_numbers(value, name).values.astype(float))
        _check_shapes(self)

    def __repr__(self) -> str:
        groups = "" if self.group_labels is None else f", {self.n_groups} groups"
        return f"Mixture({self.n_components} components, {self.n_dims} dimensions{groups})"

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return len(self.means)

    @property
    def n_dims(self) -> int:
        """Number of latent dimensions D."""
        return int(self.means.shape[1])

    @property
    def fewest_dims(self) -> int:
        """Fewest latent dimensions that make a mixture."""
        return 1

    @property
    def n_variables(self) -> int:
        """Number of columns that rows have: D, but for mixtures of factors."""
        return self.n_dims

    @property
    def by_component(self) -> tuple[str, ...]:
        """Names of the parts that have an entry for every component, weights aside."""
        return ("means", "covariances")

    @property
    def block_rows(self) -> int | None:
        """Rows to work on at once; None = what the rows themselves say."""
        return None

    @property
    def n_groups(self) -> int:
        """Number of groups G, 0 without groups."""
        return 0 if self.group_labels is None else len(self.group_labels)

    @property
    def open(self) -> bool:
        """Whether parts of it are NaN: left to be drawn, in a start."""
        return bool(np.isnan(self.weights).any() or np.isnan(self.means).any() or np.isnan(self.covariances).any())

    @property
    def pooled_weights(self) -> Array:
        """(K,) weights over all groups."""
        if self.weights.ndim == 1:
            return np.asarray(self.weights)
        return np.average(self.weights, axis=0, weights=self.group_rows)

    @property
    def log_weights(self) -> Array:
        """(G, K), or (1, K) without groups: log weights, -inf for none."""
        with np.errstate(divide="ignore"):
            return np.log(np.atleast_2d(self.weights))

    def evolve(self, **changes: Any) -> Self:
        """The mixture with parts changed by the engine itself, whose results are not checked again."""
        changed = object.__new__(type(self))
        changed.__dict__.update(self.__dict__, **changes)
        return changed

    # What the mixture says of rows

    def sums(self, block: Observations, backend: str = "numba") -> Sums:
        """The sums of the E-step over one block of rows."""
        return evaluate(self, block, backend=backend)[0]

    def log_density(self, obs: Any, *, workers: Workers = None) -> Array:
        """Log density (n,) of each row as measured: noise added, gaps marginalised; 0 where nothing is observed."""
        return self.shares(obs, workers=workers).log_density

    def responsibilities(self, obs: Any, *, workers: Workers = None) -> Array:
        """Probabilities (n, K) that each row comes from each component; rows sum to 1 - P(background)."""
        return self.shares(obs, workers=workers).responsibilities

    def predict(self, obs: Any, *, workers: Workers = None) -> Array:
        """The most probable component (n,) of each row; -1 where the background is more probable than any."""
        r = self.responsibilities(obs, workers=workers)
        labels = r.argmax(axis=1)
        labels[r.max(axis=1) < 1.0 - r.sum(axis=1)] = -1
        return labels

    def background_probability(self, obs: Any, *, workers: Workers = None) -> Array:
        """Probabilities (n,) that each row belongs to the uniform background; zeros without one."""
        if self.background is None:
            return np.zeros(len(as_observations(obs)))
        return np.clip(1.0 - self.responsibilities(obs, workers=workers).sum(axis=1), 0.0, 1.0)

    def posterior(self, obs: Any, *, workers: Workers = None) -> tuple[Array, Array]:
        """Means (n, D) and covariances (n, D, D) of the latent points given the rows: denoised, gaps filled.

        A row's offset is part of its latent point. Rows are taken to come from the components: where a background
        is modelled, given that they do. (Bovy, Hogg & Roweis 2011, averaged over components.)
        """
        obs = as_observations(obs)
        warn_of_unknown_groups(self, obs)
        means, covariances = np.empty((len(obs), self.n_dims)), np.empty((len(obs), self.n_dims, self.n_dims))
        for rows, (mean, covariance) in self._each(obs, self._posterior_of_block, _MOMENT_ROWS, workers):
            means[rows], covariances[rows] = mean, covariance
        return means, covariances

    def _posterior_of_block(self, block: Observations) -> tuple[Array, Array]:
        r, means, spread = self._posterior_by_component(block)
        mean = np.einsum("nk,nki->ni", r, means)
        apart = means - mean[:, None]
        covariance = np.einsum("nk,nkij->nij", r, spread + apart[..., :, None] * apart[..., None, :])
        return mean, (covariance + covariance.transpose(0, 2, 1)) / 2

    def _posterior_by_component(self, block: Observations) -> tuple[Array, Array, Array]:
        """(n, K) shares that sum to one, (n, K, D) means and (n, K, D, D) covariances of the latent points."""
        sums, shares = evaluate(self, block, keep=2)
        refuse_singular(sums.failures)
        assert shares is not None and shares.u is not None and shares.precision is not None
        r = shares.responsibilities
        total = r.sum(axis=1, keepdims=True)
        r = np.where(total > 0, r / np.where(total > 0, total, 1.0), self.pooled_weights)
        means = self.means + np.einsum("kij,nkj->nki", self.covariances, shares.u)
        codes = group_codes(self, block)
        if self.offsets is not None and codes is not None:
            means = means + np.vstack([self.offsets, np.zeros(self.n_dims)])[codes][:, None]
        return r, means, self.covariances - self.covariances @ shares.precision @ self.covariances

    def impute(self, obs: Any, *, workers: Workers = None) -> tuple[Array, Array]:
        """Rows (n, D) with their gaps filled by expected values, and the standard deviations (n, D) of what was filled.

        Observed values stay as they are, with standard deviation 0; of a gap it is that of the mixture given the row,
        the components' disagreement included.

        Raises:
            DataError: rows that see a projection, whose values are not those of the dimensions.

        Example:
            >>> import numpy as np, mixsci as mx
            >>> pair = mx.Mixture([1.0], [[0.0, 1.0]], [[[4.0, 2.0], [2.0, 4.0]]])
            >>> filled, sd = pair.impute(np.array([[2.0, np.nan]]))
            >>> filled, sd.round(3)
            (array([[2., 2.]]), array([[0.   , 1.732]]))
        """
        obs = self._rows_to_fill(obs)
        filled, sd = np.empty(obs.x.shape), np.empty(obs.x.shape)
        for rows, (values, spread) in self._each(obs, self._filled, _MOMENT_ROWS, workers):
            filled[rows], sd[rows] = values, spread
        return filled, sd

    def draw(self, obs: Any, *, rng: Any = None) -> Array:
        """Rows (n, D) with their gaps filled by one draw from the mixture given each row: for multiple imputation.

        Args:
            obs: rows as measured; observed values stay as they are.
            rng: seed or generator.
        """
        obs, rng = self._rows_to_fill(obs), as_generator(rng)
        out = np.empty(obs.x.shape)
        for rows in _parts(obs, _MOMENT_ROWS):
            out[rows] = self._drawn(obs.take(rows), rng)
        return out

    def _rows_to_fill(self, obs: Any) -> Observations:
        obs = as_observations(obs)
        if obs.projection is not None:
            raise DataError("rows that see a projection have no gaps to fill: ask posterior for their latent points")
        warn_of_unknown_groups(self, obs)
        return obs

    def _filled(self, block: Observations) -> tuple[Array, Array]:
        mean, covariance = self._posterior_of_block(block)
        seen, sd = block.seen(), np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0.0))
        return np.where(seen, block.x, mean), np.where(seen, 0.0, sd)

    def _drawn(self, block: Observations, rng: np.random.Generator) -> Array:
        r, means, spread = self._posterior_by_component(block)
        rows, labels = np.arange(len(block)), drawn_labels(r, rng)
        values, vectors = np.linalg.eigh(spread[rows, labels])
        step = np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(values.shape)
        points = means[rows, labels] + np.einsum("nij,nj->ni", vectors, step)
        return np.where(block.seen(), block.x, points)

    def component_means(self) -> Array:
        """(K, D) means of the components in the variables: `means`, but for mixtures of factors."""
        return np.asarray(self.means)

    def component_variances(self) -> Array:
        """(K, D) variances of the components in the variables."""
        return np.diagonal(self.covariances, axis1=1, axis2=2).copy()

    def forecast(self, obs: Any, view: Any, *, workers: Workers = None) -> tuple[Array, Array, Array]:
        """What rows say of another view r v of their latent points: shares, means and variances, (n, K) each.

        Given the row, r v is a mixture of K Gaussians of these moments; where a background is modelled, given that the
        row comes from the components.

        Args:
            obs: rows as measured.
            view: r, (D,) for all rows or (n, D) one for each.
            workers: threads.

        Example:
            >>> import numpy as np, mixsci as mx
            >>> disc = mx.Mixture([1.0], [[0.0, 1.0]], [[[4.0, 2.0], [2.0, 4.0]]])
            >>> shares, means, variances = disc.forecast(np.array([[2.0, np.nan]]), [0.0, 1.0])
            >>> means.round(6), variances.round(6)
            (array([[2.]]), array([[3.]]))
        """
        obs = as_observations(obs)
        view = as_numbers(view, "view").values.astype(float)
        if view.shape not in ((self.n_dims,), (len(obs), self.n_dims)):
            raise DataError(f"view must have shape (D,) = ({self.n_dims},) or (n, D); got {view.shape}")
        view = np.broadcast_to(view, (len(obs), self.n_dims))
        warn_of_unknown_groups(self, obs)
        out = np.empty((3, len(obs), self.n_components))
        for rows, (r, means, spread) in self._each(obs, self._posterior_by_component, _MOMENT_ROWS, workers):
            out[0, rows], out[1, rows] = r, np.einsum("ni,nki->nk", view[rows], means)
            out[2, rows] = np.einsum("ni,nkij,nj->nk", view[rows], spread, view[rows])
        return out[0], out[1], np.maximum(out[2], 0.0)

    def shares(self, obs: Any, *, workers: Workers = None) -> Shares:
        """Both `log_density` (n,) and `responsibilities` (n, K) of rows, from one pass over them."""
        obs = as_observations(obs)
        warn_of_unknown_groups(self, obs)
        log_density, r = np.empty(len(obs)), np.empty((len(obs), self.n_components))

        def share(block: Observations) -> Shares:
            sums, shares = evaluate(self, block, keep=1)
            refuse_singular(sums.failures)
            assert shares is not None
            return shares

        for rows, shares in self._each(obs, share, None, workers):
            log_density[rows], r[rows] = shares.log_density, shares.responsibilities
        return Shares(log_density, r, None, None)

    def _each(
        self, obs: Observations, function: Callable[[Observations], Any], size: int | None, workers: Workers
    ) -> Iterator[tuple[slice | Array, Any]]:
        """(rows, function(block of these rows)) over all rows."""
        parts = list(_parts(obs, size))
        results = map_blocks(lambda rows: function(obs.take(rows)), parts, workers, columns=obs.width)
        return zip(parts, results, strict=True)

    # Other mixtures that follow from it

    def beside(self, other: Any) -> Self:
        """The mixture with numbers that can be compared with those of another of its kind: itself, but for angles."""
        return self

    def group_code(self, label: Hashable) -> int:
        """The number of a group in `group_labels`; refuses one that is none of them."""
        labels = self.group_labels or ()
        if not labels:
            raise DataError(f"this mixture is the same for all groups: leave group= out; got {label!r}")
        if label not in labels:
            raise DataError(f"group must be one of {_few(labels)}; got {label!r}")
        return labels.index(label)

    def of_group(self, label: Hashable) -> Mixture:
        """The ordinary mixture of one group: its weights, its means shifted by its offset."""
        g = self.group_code(label)
        return Mixture(
            self.weights if self.weights.ndim == 1 else self.weights[g],
            self.means if self.offsets is None else self.means + self.offsets[g],
            self.covariances,
            rates=self.rates if np.ndim(self.rates) == 0 else self.rates[g],
            background=self.background,
            state_of_component=self.state_of_component,
        )

    def _in_group(self, label: Hashable | None) -> Mixture:
        if self.open:
            raise DataError("this mixture has parts left open (NaN): it can start a fit, and no more")
        if label is not None:
            return self.of_group(label)
        if self.weights.ndim == 1 and self.offsets is None:
            return self
        raise DataError(f"this mixture differs by group: pass group=, one of {_few(self.group_labels)}")

    def marginal(self, dims: Sequence[int], *, group: Hashable | None = None) -> Mixture:
        """The mixture of some of the dimensions, in the order asked for."""
        here, at = self._in_group(group), dims_of(dims, self.n_dims)
        if not at:
            raise DataError("a marginal needs at least one dimension; got none")
        background = None if here.background is None else here.background.marginal(at)
        return Mixture(here.weights, here.means[:, at], here.covariances[:, at][:, :, at], background=background)

    def condition(
        self, values: Mapping[int, float], errors: Mapping[int, float] | None = None, *, group: Hashable | None = None
    ) -> Mixture:
        """The mixture of the remaining dimensions, given values of the others.

        Args:
            values: dimension -> measured value.
            errors: dimension -> standard deviation of its measurement; none = exact.
            group: whose mixture, where it differs by group.

        Raises:
            DataError: nothing or everything given, an unknown dimension, or values of probability zero.
        """
        here, errors = self._in_group(group), {} if errors is None else errors
        if not (isinstance(values, Mapping) and isinstance(errors, Mapping)):
            raise DataError(f"condition needs values and errors as {{dimension: value}}; got {type(values).__name__}")
        given = dims_of(list(values), self.n_dims)
        rest = [dim for dim in range(self.n_dims) if dim not in given]
        if not given or not rest:
            raise DataError(
                f"condition needs values for some of the {self.n_dims} dimensions and must leave others; got {given}"
            )
        if set(errors) - set(values):
            raise DataError(f"errors must be those of the values {list(values)}; got errors of {list(errors)}")
        point = np.array([as_number(value, f"the value of dimension {dim}") for dim, value in values.items()])
        sigma = np.array([as_number(errors.get(dim, 0.0), f"the error of dimension {dim}") for dim in values])
        if (sigma < 0).any():
            raise DataError(f"values to condition on need errors not negative; got {dict(errors)}")
        gain, residual, log_p = _regress(here, given, rest, point, np.diag(sigma**2))
        weights, background = _shares_given(here, given, rest, point, log_p)
        means = here.means[:, rest] + np.einsum("kij,kj->ki", gain, residual)
        cross = here.covariances[:, given][:, :, rest]
        covariances = here.covariances[:, rest][:, :, rest] - gain @ cross
        return Mixture(weights, means, _nearest_semidefinite(covariances), background=background)

    # Draws and one-dimensional distribution

    def sample(self, n: int, *, rng: Any = None, group: Hashable | None = None) -> tuple[Array, Array]:
        """n latent points (n, D) and the component (n,) of each; -1 for the background (identity projection)."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise DataError(f"n must be a whole number of points; got {n!r}: write int(n)")
        if n < 0:
            raise DataError(f"n must not be negative; got {n}")
        here, rng = self._in_group(group), as_generator(rng)
        labels = rng.choice(here.n_components, size=n, p=here.weights / here.weights.sum())
        values, vectors = np.linalg.eigh(here.covariances)
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        points = here.means[labels] + np.einsum("nij,nj->ni", roots[labels], rng.standard_normal((n, here.n_dims)))
        if here.background is not None:
            strays = rng.random(n) < here.background.weight
            points[strays], labels[strays] = here.background.sample(int(strays.sum()), rng), -1
        return points, labels

    def cdf(self, t: Any, *, group: Hashable | None = None) -> Array:
        """P(v <= t) of a one-dimensional mixture, same shape as t."""
        return self._tail(t, 1.0, group)

    def sf(self, t: Any, *, group: Hashable | None = None) -> Array:
        """P(v > t) of a one-dimensional mixture, accurate far in the upper tail."""
        return self._tail(t, -1.0, group)

    def quantile(self, q: Any, *, group: Hashable | None = None) -> Array:
        """The t with P(v <= t) = q of a one-dimensional mixture, for q strictly between 0 and 1."""
        here, q = self._in_group(group), as_numbers(q, "q").values.astype(float)
        if not ((q > 0) & (q < 1)).all():
            raise DataError(f"quantiles are defined for q strictly between 0 and 1; got {q[~((q > 0) & (q < 1))][0]}")
        sigma = np.sqrt(here.covariances[:, 0, 0])
        low, high = (here.means[:, 0] - 40 * sigma).min(), (here.means[:, 0] + 40 * sigma).max()
        if here.background is not None:
            low, high = min(low, here.background.low[0]), max(high, here.background.high[0])
        low, high = np.full(q.shape, low), np.full(q.shape, high)
        # Bisection by the smaller tail keeps its digits at both ends; 200 halvings reach the last bit.
        for _ in range(200):
            middle = (low + high) / 2
            above = np.where(q < 0.5, here.cdf(middle) >= q, here.sf(middle) <= 1.0 - q)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def _tail(self, t: Any, sign: float, group: Hashable | None) -> Array:
        here, t = self._in_group(group), as_numbers(t, "t").values.astype(float)
        if here.n_dims != 1:
            raise DataError(
                f"cdf, sf and quantile need a one-dimensional mixture; take marginal([dim]) of these {here.n_dims}"
            )
        apart = sign * (t[..., None] - here.means[:, 0])
        sigma = np.sqrt(here.covariances[:, 0, 0])
        # A component without spread is a step: all of it lies at or below its mean.
        step = apart >= 0 if sign > 0 else apart > 0
        tails = np.where(sigma > 0, ndtr(apart / np.where(sigma > 0, sigma, 1.0)), step)
        tail = tails @ here.weights
        if here.background is None:
            return tail
        box = here.background.cdf(t)
        return (1.0 - here.background.weight) * tail + here.background.weight * (box if sign > 0 else 1.0 - box)

    def summary(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """A table of the components: weight (pooled over groups), mean and standard deviation of every variable."""
        import pandas as pd

        names = [str(name) for name in names] if names is not None else [f"x{j}" for j in range(self.n_variables)]
        means = self.component_means()
        table = {"weight": self.pooled_weights} | {name: means[:, j] for j, name in enumerate(names)}
        table |= self._spreads(names)
        return pd.DataFrame(table, index=pd.RangeIndex(self.n_components, name="component"))

    def _spreads(self, names: Sequence[str]) -> dict[str, Array]:
        """How wide the components are in every variable, for the table."""
        spread = np.sqrt(self.component_variances())
        return {f"sd({name})": spread[:, j] for j, name in enumerate(names)}


def drawn_labels(shares: Array, rng: np.random.Generator) -> Array:
    """A component (n,) for each row, drawn from its shares (n, K)."""
    ends = np.cumsum(shares, axis=1)
    return (rng.random((len(shares), 1)) * ends[:, -1:] > ends[:, :-1]).sum(axis=1)


def _check_shapes(mixture: Mixture) -> None:
    if mixture.means.ndim != 2 or len(mixture.means) < 1 or mixture.means.shape[1] < mixture.fewest_dims:
        raise DataError(f"means must have shape (K, D), neither of them 0; got {mixture.means.shape}")
    k, d = mixture.means.shape
    labels = None if mixture.group_labels is None else tuple(mixture.group_labels)
    object.__setattr__(mixture, "group_labels", labels)
    if labels is not None and len(set(labels)) < len(labels):
        raise DataError(f"group_labels must differ from one another; got {_few(labels)}")
    if labels is not None and mixture.weights.shape == (k,):
        object.__setattr__(mixture, "weights", np.tile(mixture.weights, (len(labels), 1)))
    if mixture.weights.shape != (k,) and (labels is None or mixture.weights.shape != (len(labels), k)):
        raise DataError(
            f"weights must have shape (K,) = ({k},), or (G, K) with group_labels; got {mixture.weights.shape}"
        )
    if mixture.covariances.shape != (k, d, d):
        raise DataError(f"covariances must have shape (K, D, D) = {(k, d, d)}; got {mixture.covariances.shape}")
    _check_extras(mixture)
    _check_numbers(mixture)


def _check_extras(mixture: Mixture) -> None:
    """Raise unless rates, theta, offsets, group_rows and states fit the components and groups."""
    (k, d), labels, groups = mixture.means.shape, mixture.group_labels, mixture.n_groups
    for name in ("rates", "theta", "offsets", "group_rows"):
        values = getattr(mixture, name)
        if values is not None and not np.isfinite(values).all():
            raise DataError(f"{name} of a mixture must be finite; they are not: leave {name} out to have them found")
    if mixture.offsets is not None and (labels is None or mixture.offsets.shape != (groups, d)):
        raise DataError(
            f"offsets must have shape (G, D) = {(groups, d)} and need group_labels; got {mixture.offsets.shape}"
        )
    rows = mixture.group_rows
    if rows is not None and (labels is None or rows.shape != (groups,)):
        raise DataError(f"group_rows must have shape (G,) = ({groups},) and need group_labels; got {rows.shape}")
    if rows is not None and ((rows < 0).any() or not rows.any()):
        raise DataError("group_rows must not be negative and not all zero; leave them out to pool groups equally")
    _check_rates(mixture)
    if mixture.theta is not None and mixture.theta.ndim != 1:
        raise DataError(f"theta must have shape (p,); got {mixture.theta.shape}")
    if mixture.state_of_component is not None and np.shape(mixture.state_of_component) != (k,):
        raise DataError(f"state_of_component must have shape (K,) = ({k},); got {np.shape(mixture.state_of_component)}")


def _check_rates(mixture: Mixture) -> None:
    """Raise unless each group has one rate or T of them, and a mixture without groups likewise."""
    if mixture.rates is None:
        return
    shape, groups = mixture.rates.shape, mixture.n_groups
    if mixture.group_labels is None and len(shape) > 1:
        raise DataError(f"rates must have shape () or (T,) without group_labels; got {shape}")
    if mixture.group_labels is not None and shape and (len(shape) > 2 or shape[0] != groups or 0 in shape):
        raise DataError(f"rates must have shape () or (G,) = ({groups},), or (G, T) for T rates each; got {shape}")


def _check_numbers(mixture: Mixture) -> None:
    if any(np.isinf(values).any() for values in (mixture.weights, mixture.means, mixture.covariances)):
        raise DataError("weights, means and covariances of a mixture must be finite; NaN leaves a part open in a start")
    weights = mixture.weights[~np.isnan(mixture.weights).any(axis=-1)] if mixture.weights.ndim == 2 else mixture.weights
    if (weights < 0).any() or (not np.isnan(weights).any() and (np.abs(weights.sum(axis=-1) - 1.0) > 1e-8).any()):
        raise DataError(f"weights must not be negative and must sum to 1; got sums {mixture.weights.sum(axis=-1)}")
    covariances = np.nan_to_num(mixture.covariances)
    size = np.abs(covariances).max(axis=(1, 2), initial=0.0)
    lopsided = np.abs(covariances - covariances.transpose(0, 2, 1)).max(axis=(1, 2), initial=0.0) > 1e-8 * size
    if lopsided.any():
        raise DataError(f"covariances must be symmetric; that of component {np.flatnonzero(lopsided)[0]} is not")
    if all_above(covariances, np.zeros(len(size))):
        return
    bad = np.linalg.eigvalsh(covariances)[:, 0] < -1e-8 * size
    if bad.any():
        raise DataError(
            f"covariances must be positive semi-definite; that of component {np.flatnonzero(bad)[0]} is not"
        )


def all_above(matrices: Array, floor: Array) -> bool:
    """Whether all eigenvalues of symmetric matrices (f, D, D) clearly exceed floor (f,): cheaper than finding them."""
    try:
        np.linalg.cholesky(matrices - floor[:, None, None] * np.eye(matrices.shape[-1]))
    except np.linalg.LinAlgError:
        return False
    return True


def refuse_singular(failures: Array) -> None:
    """Refuse components (K,) for which rows have no density."""
    if failures.any():
        k = int(np.flatnonzero(failures)[0])
        raise DataError(
            f"component {k} has no density: its covariance is singular and {failures[k]} rows carry no noise there; "
            "give the rows noise or the covariance a floor"
        )


def _parts(obs: Observations, size: int | None) -> Iterator[slice | Array]:
    for rows in obs.row_blocks():
        length = (min(rows.stop, len(obs)) - rows.start) if isinstance(rows, slice) else len(rows)
        for start in range(0, length, size or max(length, 1)):
            stop = min(start + size, length) if size else length
            yield slice(rows.start + start, rows.start + stop) if isinstance(rows, slice) else rows[start:stop]


def dims_of(dims: Sequence[int], n_dims: int) -> list[int]:
    """Distinct dimensions, counted from the front; refuses anything else."""
    dims = dims.tolist() if isinstance(dims, np.ndarray) else dims
    if isinstance(dims, str) or not isinstance(dims, Sequence):
        raise DataError(f"dimensions must be given as a list of numbers; got {dims!r}: write [0] for the first alone")
    right = all(isinstance(dim, int | np.integer) and -n_dims <= dim < n_dims for dim in dims)
    at = [int(dim) % n_dims for dim in dims] if right else []
    if len(set(at)) != len(dims):
        raise DataError(f"dimensions must be distinct numbers from 0 to {n_dims - 1}; got {list(dims)}")
    return at


def _few(labels: Sequence[Hashable] | None) -> str:
    labels = labels or ()
    return ", ".join(repr(label) for label in labels[:5]) + (" ..." if len(labels) > 5 else "")


def _regress(
    here: Mixture, given: list[int], rest: list[int], point: Array, noise: Array
) -> tuple[Array, Array, Array]:
    """Gains (K, rest, given), residuals (K, given) and log w_k N(point; mu_k, Sigma_k + noise) (K,)."""
    spread = here.covariances[:, given][:, :, given] + noise
    residual = point - here.means[:, given]
    try:
        factor = np.linalg.cholesky(spread)
    except np.linalg.LinAlgError:
        raise DataError(
            f"dimensions {given} have no spread in some component: give errors= to condition on them"
        ) from None
    half = np.linalg.solve(factor, here.covariances[:, given][:, :, rest])
    whitened = np.linalg.solve(factor, residual[..., None])[..., 0]
    gain = np.linalg.solve(factor.transpose(0, 2, 1), half).transpose(0, 2, 1)
    log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    with np.errstate(divide="ignore", over="ignore"):  # no weight, or a distance beyond all numbers: probability zero
        log_p = np.log(here.weights) - 0.5 * (len(given) * np.log(2 * np.pi) + (whitened**2).sum(axis=1)) - log_det
    return gain, residual, log_p


def _shares_given(here: Mixture, given: list[int], rest: list[int], point: Array, log_p: Array) -> tuple[Array, Any]:
    """Weights (K,) of the components and the background over the rest, given a point and their log_p (K,) there."""
    outside, inside, box = -np.inf, float(logsumexp(log_p)), here.background
    if box is not None:
        outside = float(box.marginal(given).log_density(point[:, None])[0])
        inside += float(np.log1p(-box.weight))
    total = np.logaddexp(outside, inside)
    if not np.isfinite(total):
        raise DataError(
            f"values to condition on must have some probability; {point.tolist()} in dimensions {given} have none: "
            "check their units"
        )
    # Where the background alone explains the point, it says nothing of the components.
    weights = here.weights if inside == -np.inf else np.exp(log_p - logsumexp(log_p))
    if box is None:
        return weights, None
    return weights, replace(box.marginal(rest), weight=min(float(np.exp(outside - total)), 1.0 - 1e-12))


def _nearest_semidefinite(covariances: Array) -> Array:
    """Symmetric, negative eigenvalues of rounding set to zero."""
    covariances = (covariances + covariances.transpose(0, 2, 1)) / 2
    values, vectors = np.linalg.eigh(covariances)
    if (values >= 0).all():
        return covariances
    return (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
