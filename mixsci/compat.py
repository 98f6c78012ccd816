"""Signatures of older packages: what they take, change and return, on the EM of this package.

They are for code that exists. In new code `mixsci.fit` finds its own start, keeps gaps apart from errors and says how
it ended.

Example:
    >>> import numpy as np
    >>> from mixsci.compat import extreme_deconvolution
    >>> ydata, variances = np.array([[1.0], [2.0], [3.0], [4.0]]), np.full((4, 1), 0.01)
    >>> xamp, xmean, xcovar = np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1))
    >>> loglike = extreme_deconvolution(ydata, variances, xamp, xmean, xcovar)
    >>> xmean.round(2)
    array([[2.5]])
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from mixsci.engine import noise
from mixsci.engine.em.splitting import candidates, rearranged
from mixsci.engine.em.start import draw_start, sketch
from mixsci.engine.em.steps import expect, iterate
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.covariances import FEWEST_ROWS
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import Bovy
from mixsci.engine.model.statistics import moments
from mixsci.engine.model.weights import Free
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray
Flags = bool | Sequence[bool] | None


# Flags are positional there, so they are positional here.
def extreme_deconvolution(
    ydata: Any, ycovar: Any, xamp: Array, xmean: Array, xcovar: Array, projection: Any = None, weight: Any = None,
    fixamp: Flags = None, fixmean: Flags = None, fixcovar: Flags = None, tol: float = 1.0e-6, maxiter: int = int(1e9),
    w: float = 0.0, logfile: str | Path | None = None, splitnmerge: int = 0, maxsnm: bool = False,  # noqa: FBT001, FBT002
    likeonly: bool = False, logweight: bool = False,  # noqa: FBT001, FBT002
) -> float:  # fmt: skip
    """Mean log-likelihood before the last step of EM; xamp, xmean and xcovar are overwritten with the mixture found.

    The function of the C package of that name (Bovy, Hogg & Roweis 2011), step by step: plain EM, which stops as soon
    as the mean log-likelihood gains tol or less, so also when it falls. The mean is over rows, not over their weights.
    With tol <= 0 or maxiter = 0 there is no step, and the value is that of the start.

    What differs: NaN in ydata is a missing value, marginalised (there it turned every parameter into NaN without a
    word), and so is a value of infinite variance. Amplitudes that do not sum to one are scaled until they do. A
    component that loses all spread where rows have no errors is refused. Components with anything fixed are neither
    merged nor split. An initial covariance that is not positive semi-definite is taken as it is, as there, but with a
    warning: what comes out may be no covariance either.

    Args:
        ydata: (N, dy) values.
        ycovar: (N, dy, dy) error covariances, or (N, dy) error *variances*, in squared units of ydata.
        xamp, xmean, xcovar: (K,), (K, dx), (K, dx, dx) initial mixture, overwritten; upper triangles of xcovar count.
        projection: (N, dy, dx) what each row sees of its latent point; None = the identity.
        weight: (N,) multiplies the log-likelihood of each row. logweight: it holds logarithms.
        fixamp, fixmean, fixcovar: None, a truth value, or K of them: what keeps its initial value.
        tol: absolute, on the mean log-likelihood. maxiter: steps at most, in each climb.
        w: covariances are (scatter + w I) / (rows + 1), in squared units of xmean; 0 = scatter / rows.
        logfile: `<logfile>_c.log` gets a protocol appended, `<logfile>_loglike.log` the path of the climbs kept.
        splitnmerge: how far down the list of Ueda et al. (2000) to try merging two components and splitting a third.
        maxsnm: try the whole list, K(K-1)(K-2)/2.
        likeonly: return the mean log-likelihood of the start and change nothing.

    Raises:
        DataError: rows that cannot be used, or arrays that cannot be overwritten.
    """
    _refuse_unwritable(xamp=xamp, xmean=xmean, xcovar=xcovar)
    k = len(xamp)
    held = _Held(_flags("fixamp", fixamp, k), _flags("fixmean", fixmean, k), _flags("fixcovar", fixcovar, k))
    row_weights = None if weight is None else np.exp(weight) if logweight else weight
    obs = Observations(ydata, _noise_of(ycovar), projection, row_weights)
    climber = _Climber(obs, held, w, tol, maxiter)
    start = _start(_amplitudes(xamp, held.weights), xmean, xcovar)
    if likeonly:
        return climber.value(start)
    end = climber.climb(start, k * (k - 1) * (k - 2) // 2 if maxsnm else splitnmerge, logfile)
    xamp[...], xmean[...], xcovar[...] = end.mixture.weights, end.mixture.means, end.mixture.covariances
    return end.path[-1] if end.path else climber.value(start)


@dataclass(frozen=True, eq=False)
class _Held:
    """(K,) masks of the amplitudes, means and covariances that stay."""

    weights: Array
    means: Array
    covariances: Array

    @property
    def any(self) -> Array:
        """(K,) components of which anything stays."""
        return self.weights | self.means | self.covariances

    @classmethod
    def all_but(cls, free: Sequence[int], k: int) -> _Held:
        """Everything stays, except of some components."""
        mask = np.ones(k, dtype=bool)
        mask[list(free)] = False
        return cls(mask, mask, mask)


@dataclass(frozen=True, eq=False)
class _End:
    """Where a climb ended, and its mean log-likelihood before every step."""

    mixture: Mixture
    path: list[float]


@dataclass(frozen=True, eq=False)
class _Climber:
    """Plain EM with the stop rule of the C package."""

    obs: Observations
    held: _Held
    w: float
    tol: float
    maxiter: int

    @property
    def n_rows(self) -> int:
        """Rows with at least one observed value: what log-likelihoods are divided by."""
        return int(self.obs.seen().any(axis=1).sum())

    def value(self, mixture: Mixture) -> float:
        """Mean log-likelihood of a mixture."""
        stats = expect(mixture, self.obs)
        _refuse_singular(stats.failures)
        return float(stats.log_likelihood / self.n_rows)

    def climb(self, start: Mixture, depth: int, logfile: str | Path | None) -> _End:
        """The end of the climb from a start, and of those that split and merge."""
        with _Protocol.at(logfile) as protocol:
            protocol.mixture("start", start)
            end = self.run(start, self.held, protocol)
            protocol.keep(end)
            end = self.split_and_merge(end, depth, protocol)
            protocol.mixture("end", end.mixture)
        return end

    def run(self, mixture: Mixture, held: _Held, protocol: _Protocol) -> _End:
        """Steps until the last gained tol or less."""
        path: list[float] = []
        gain, n_rows = 2.0 * self.tol, self.n_rows
        while gain > self.tol and len(path) < self.maxiter:
            mixture, log_likelihood = self.step(mixture, held)
            value = float(log_likelihood / n_rows)
            gain = value - path[-1] if path else gain
            path.append(value)
            protocol.value(value)
        return _End(mixture, path)

    def step(self, mixture: Mixture, held: _Held) -> tuple[Mixture, float]:
        """The next mixture and the log-likelihood of this one."""
        stats = expect(mixture, self.obs)
        _refuse_singular(stats.failures)
        # Means move as if every covariance were free, also where it is held: the latent form, for all.
        step = np.where(held.means[:, None], 0.0, moments(mixture, stats).means - mixture.means)
        scatter = moments(mixture, stats, step[None]).scatter
        weights, _ = Free().maximise(stats.counts[None], mixture.weights[None], None, held.weights)
        prior = Bovy(max(self.w, 0.0)).pseudo(mixture.n_dims)
        rows = stats.counts + prior.count
        kept = held.covariances | (rows <= FEWEST_ROWS)
        covariances = (scatter + prior.scatter) / np.where(kept, 1.0, rows)[:, None, None]
        covariances = np.where(kept[:, None, None], mixture.covariances, covariances)
        moved = _unchecked(mixture, weights=weights[0], means=mixture.means + step, covariances=covariances)
        return moved, stats.log_likelihood

    def split_and_merge(self, end: _End, depth: int, protocol: _Protocol) -> _End:
        """The end of the last climb that gained by merging two components and splitting a third."""
        if depth <= 0 or end.mixture.n_components < 3 or not end.path:
            return end
        rng = np.random.default_rng(0)  # the same arrays give the same mixture, as in C
        while (better := self._improved(end, depth, rng, protocol)) is not None:
            end = better
            protocol.keep(end)
        return end

    def _improved(self, end: _End, depth: int, rng: np.random.Generator, protocol: _Protocol) -> _End | None:
        listed = [((i, j), k) for (i, j), k in candidates(end.mixture, self.obs) if not self.held.any[[i, j, k]].any()]
        for merge, split in listed[:depth]:
            protocol.comment(f"merging {merge[0]} and {merge[1]}, splitting {split}")
            trial = self._trial(end.mixture, merge, split, rng, protocol)
            if trial is not None and trial.path[-1] > end.path[-1]:
                protocol.comment("accepted")
                return trial
        return None

    def _trial(
        self, mixture: Mixture, merge: tuple[int, int], split: int, rng: np.random.Generator, protocol: _Protocol
    ) -> _End | None:
        """A climb of three components, then of all; None where a component loses all spread."""
        three = _Held.all_but((*merge, split), mixture.n_components)
        try:
            part = self.run(rearranged(mixture, merge, split, rng), three, protocol)
            whole = self.run(part.mixture, self.held, protocol)
        except DataError:
            return None
        return _End(whole.mixture, part.path + whole.path)


@dataclass(eq=False)
class _Protocol:
    """What a climb writes down; nothing without a file."""

    path: Path | None
    lines: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, logfile: str | Path | None) -> _Protocol:
        """The protocol of one call, beginning now."""
        protocol = cls(None if logfile is None else Path(logfile))
        protocol.comment(f"extreme_deconvolution, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        return protocol

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.path is None:
            return
        with self.path.with_name(f"{self.path.name}_c.log").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.lines)
        kept = self.path.with_name(f"{self.path.name}_loglike.log")
        kept.write_text("".join(f"{line}\n" for line in self.kept), encoding="utf-8")

    def comment(self, text: str) -> None:
        """A line of words."""
        if self.path is not None:
            self.lines.append(f"#{text}")

    def value(self, value: float) -> None:
        """A mean log-likelihood."""
        if self.path is not None:
            self.lines.append(repr(value))

    def keep(self, end: _End) -> None:
        """The path of a climb that is kept."""
        if self.path is not None:
            self.kept += [*map(repr, end.path), ""]

    def mixture(self, title: str, mixture: Mixture) -> None:
        """Amplitudes, means and covariances of all components."""
        if self.path is None:
            return
        self.comment(title)
        for k in range(mixture.n_components):
            self.comment(f"component {k}: amp = {float(mixture.weights[k])}")
            self.comment(f"mean = {mixture.means[k].tolist()}")
            self.comment(f"covar = {mixture.covariances[k].tolist()}")


def _flags(name: str, flags: Flags, k: int) -> Array:
    """(K,) mask."""
    mask = np.atleast_1d(np.asarray(False if flags is None else flags, dtype=bool))
    if mask.shape not in ((1,), (k,)):
        raise DataError(f"{name} must be None, a truth value or {k} of them; got shape {mask.shape}")
    return np.broadcast_to(mask, k).copy()


def _refuse_unwritable(**arrays: Any) -> None:
    for name, array in arrays.items():
        if not (isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.flags.writeable):
            kind = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
            raise DataError(f"{name} must be a writable array of floats, it receives the result; got a {kind}")


def _refuse_singular(failures: Array) -> None:
    if failures.any():
        k = int(np.flatnonzero(failures)[0])
        raise DataError(
            f"every component must have spread where rows have no errors; component {k} has none for "
            f"{failures[k]} rows: give them errors, or use w > 0 or a wider start"
        )


def _noise_of(ycovar: Any) -> noise.Noise:
    ycovar = np.asarray(ycovar, dtype=float)
    if ycovar.ndim not in (2, 3):
        raise DataError(f"ycovar must have shape (N, dy), variances, or (N, dy, dy), covariances; got {ycovar.shape}")
    return noise.from_variances(ycovar) if ycovar.ndim == 2 else noise.from_covariances(ycovar)


def _amplitudes(xamp: Array, fixed: Array) -> Array:
    """(K,) amplitudes that sum to one: the free ones are scaled."""
    amplitudes = np.array(xamp, dtype=float)
    rest, free = 1.0 - amplitudes[fixed].sum(), amplitudes[~fixed].sum()
    usable = np.isfinite(amplitudes).all() and (amplitudes >= 0).all()
    if not usable or (free <= 0 < rest - 1e-8) or rest < -1e-8:
        raise DataError(f"xamp must be finite, not negative, and sum to one where it is fixed; got {xamp}")
    amplitudes[~fixed] *= max(rest, 0.0) / (free if free > 0 else 1.0)
    return amplitudes


def _start(amplitudes: Array, xmean: Array, xcovar: Array) -> Mixture:
    """The mixture of these arrays; the upper triangles of the covariances count."""
    checked = Mixture(amplitudes, xmean, np.zeros_like(xcovar, dtype=float))
    if not np.isfinite(xcovar).all():
        raise DataError("xcovar must be finite; it is not")
    upper = np.triu(xcovar).astype(float)
    covariances = upper + np.triu(upper, 1).swapaxes(-1, -2)
    values = np.linalg.eigvalsh(covariances)
    bad = values[:, 0] < -1e-8 * np.abs(values).max(axis=1)
    if bad.any():
        warnings.warn(
            f"xcovar of components {np.flatnonzero(bad).tolist()} is not positive semi-definite: the result may not be "
            "either; start from a covariance",
            stacklevel=3,
        )
    return _unchecked(checked, covariances=covariances)


def _unchecked(mixture: Mixture, **parts: Array) -> Mixture:
    """The mixture with other parts, not looked at: a covariance need not stay positive semi-definite here."""
    mixture = copy.copy(mixture)
    for name, value in parts.items():
        object.__setattr__(mixture, name, value)
    return mixture


class XDGMM:
    """Extreme deconvolution with the interface of astroML's class of that name.

    Plain EM that stops when the total log-likelihood gains less than tol. It begins where our k-means++ does, errors
    respected, not at a mixture fitted to X as if it had no errors. NaN in X is missing; R is available.

    Args:
        n_components: K.
        max_iter: steps at most.
        tol: absolute, on the total log-likelihood.
        verbose: print the log-likelihood after each step.
        random_state: None, a seed, or a generator of NumPy, for the start and for `sample`.

    Attributes:
        alpha: (K,) amplitudes; None before `fit`.
        mu: (K, D) means.
        V: (K, D, D) covariances, errors removed.

    Example:
        >>> import numpy as np
        >>> from mixsci.compat import XDGMM
        >>> X = np.random.default_rng(1).normal(5.0, 2.0, (500, 1))
        >>> xd = XDGMM(n_components=1).fit(X, np.ones((500, 1, 1)))
        >>> xd.mu.round(0)
        array([[5.]])
    """

    def __init__(
        self,
        n_components: int = 1,
        max_iter: int = 100,
        tol: float = 1e-5,
        verbose: bool = False,  # noqa: FBT001, FBT002 (positional there, so positional here)
        random_state: Any = None,
    ) -> None:
        self.n_components, self.max_iter, self.tol = n_components, max_iter, tol
        self.verbose, self.random_state = verbose, random_state
        self.alpha: Any = None
        self.mu: Any = None
        self.V: Any = None

    def fit(self, X: Any, Xerr: Any, R: Any = None) -> XDGMM:
        """The object itself, fitted.

        Args:
            X: (N, m) values.
            Xerr: (N, m, m) error covariances.
            R: (N, m, D) projections; None = the identity.
        """
        obs = Observations(X, Xerr, R)
        rng, model = _generator(self.random_state), Model(self.n_components)
        start = draw_start(model, sketch(obs, rng, None), rng, 0, None, None)
        best, mixture = -np.inf, start
        for step, state in enumerate(iterate(model, obs, start=start, accelerate=False)):
            mixture, gained = state.mixture, state.log_likelihood >= best + self.tol
            best = state.log_likelihood
            if self.verbose and step:
                print(f"{step}: log(L) = {best:.5g}")  # noqa: T201 (verbose asks for it)
            if not gained or step == self.max_iter:
                break
        self.alpha, self.mu, self.V = mixture.weights.copy(), mixture.means.copy(), mixture.covariances.copy()
        return self

    def logprob_a(self, X: Any, Xerr: Any) -> Array:
        """Log probabilities (N, K) of each row and component together: log alpha_k N(x | mu_k, V_k + Xerr)."""
        found, obs = self._mixture, Observations(X, Xerr)
        alone = [Mixture([1.0], found.means[[k]], found.covariances[[k]]) for k in range(found.n_components)]
        with np.errstate(divide="ignore"):
            return np.stack([one.log_density(obs) for one in alone], axis=1) + np.log(found.weights)

    def logL(self, X: Any, Xerr: Any) -> float:
        """Total log-likelihood of the rows, nats."""
        return float(self._mixture.log_density(Observations(X, Xerr)).sum())

    def sample(self, size: int | tuple[int, ...] = 1, random_state: Any = None) -> Array:
        """Latent points of shape (*size, D)."""
        shape = tuple(np.atleast_1d(size))
        rng = _generator(self.random_state if random_state is None else random_state)
        points, _ = self._mixture.sample(int(np.prod(shape)), rng=rng)
        return points.reshape(*shape, -1)

    @property
    def _mixture(self) -> Mixture:
        if self.alpha is None:
            raise DataError("alpha, mu and V must be there; they are not: call fit first")
        return Mixture(self.alpha, self.mu, self.V)


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)
