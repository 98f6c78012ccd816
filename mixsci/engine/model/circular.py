"""Mixtures of rows with angles: what is assumed, the sums over rows, and the M-step of von Mises components.

The M-step of directions is closed; that of concentrations inverts A(kappa) = I1 / I0 (Banerjee et al. 2005). Sums are
of the angle less the component's last direction, so that narrow components keep their digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mixsci.engine.circular_mixture import TURN, CircularMixture, columns_of, periods_of, wrapped
from mixsci.engine.evaluate import evaluate
from mixsci.engine.kernels import circular
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.concentration import Concentration
from mixsci.engine.model.covariances import STRUCTURES
from mixsci.engine.model.model import Model, choice
from mixsci.engine.model.priors import InverseWishart
from mixsci.engine.model.statistics import Stats
from mixsci.engine.model.weights import WEIGHTS, Fixed, Free
from mixsci.engine.observations import Observations
from mixsci.engine.tables import is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: A component with fewer expected angles keeps its direction: there is nothing to turn it.
_FEWEST_ROWS = 1e-8


@dataclass(frozen=True, eq=False)
class CircularStats(Stats):
    """Sums over rows with angles: those of a mixture for the ordinary columns, and of the angles.

    They are the score: dL/ddirection = kappa sines (per radian), dL/dkappa = seen (1 - A(kappa)) - versines.

    Attributes:
        seen: (K, A) expected angles per component: sum of r.
        sines, versines: (K, A) sums of r sin d and r (1 - cos d), d the true angle less the direction.
    """

    seen: Array
    sines: Array
    versines: Array


def circular_stats(mixture: CircularMixture, block: Observations, backend: str = "numba") -> CircularStats:
    """The sums of the E-step over one block of rows."""
    view = mixture.view(block, backend)
    r = view.weights[:, None] * view.responsibilities
    groups, (k, d) = max(mixture.n_groups, 1), mixture.means.shape
    codes = np.zeros(len(r), dtype=np.int64) if view.codes is None else view.codes
    counts = (codes[:, None] == np.arange(groups)).astype(float).T @ r
    g, f, h = np.zeros((groups, k, d)), np.zeros((groups, k, d, d)), np.zeros((k, d, d))
    if view.ordinary is not None:
        for j, one in enumerate(mixture.alone):
            own, _ = evaluate(one, view.ordinary.weighted(r[:, j]), backend=backend)
            g[:, j], f[:, j], h[j] = own.g[:groups, 0], own.F[:groups, 0], own.H[0]
    grouped = slice(None) if mixture.n_groups else 0
    row_weight = float(view.weights.sum())
    background = max(row_weight - float(r.sum()), 0.0) if mixture.background is not None else 0.0
    return CircularStats(
        counts=counts[grouped], background_count=background, g=g[grouped], F=f[grouped], H=h,
        log_likelihood=float(view.weights @ view.log_density), entropy=view.entropy, n_rows=len(block),
        row_weight=row_weight, failures=view.failures, seen=r.T @ view.whirl.angles,
        sines=np.einsum("nk,nka->ka", r, view.whirl.sine), versines=np.einsum("nk,nka->ka", r, view.whirl.versine),
    )  # fmt: skip


#: A dispersion 1 - R is not thought smaller than this; one that is stands for angles that do not vary.
LEAST_DISPERSION = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class CircularModel:
    """What is assumed of a mixture of rows with angles: von Mises components, Gaussian in the other columns.

    Args:
        n_components: K.
        angles: (A,) columns that are angles; None = all.
        period: of every angle or (A,) of each, in its units: 2 pi, 360, 24 (hours), 180 (axes).
        covariance: of the ordinary columns, as of a `Model`.
        weights: "free", "equal" or `mixsci.weights.Free(...)`; per group where rows have groups.
        background: None or `UniformBackground(low, high)` over all columns: low 0, high the period for a whole circle.
        prior: True, priors that know no units and keep components from collapsing: `mixsci.prior.InverseWishart()` and
            `Concentration()`; or such an object, or several; None, maximum likelihood.
        floor: smallest eigenvalue allowed to a covariance, squared units.

    Raises:
        DataError: an unknown name, or choices that exclude each other.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> hours = np.random.default_rng(0).vonmises(0.0, 4.0, size=(200, 1)) * 24 / (2 * np.pi)
        >>> fit = mx.fit(mx.CircularModel(period=24), hours % 24, rng=0)
        >>> fit.n_free, bool(22 < fit.mixture.directions[0, 0] or fit.mixture.directions[0, 0] < 2)
        (2, True)
    """

    n_components: int = 1
    angles: Any = None
    period: Any = TURN
    covariance: Any = "full"
    weights: Any = "free"
    background: UniformBackground | None = None
    prior: Any = True
    floor: float = 0.0

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (a frozen dataclass sets itself up)
        if not is_whole(self.n_components):
            raise DataError(f"n_components must be a whole number, 1 or more; got {self.n_components!r}")
        put("n_components", int(self.n_components))
        if self.angles is not None:
            put("angles", columns_of(self.angles, None))
        put("period", periods_of(self.period, None if self.angles is None else len(self.angles)))
        put("covariance", choice("covariance", self.covariance, STRUCTURES))
        put("weights", choice("weights", self.weights, WEIGHTS))
        if not isinstance(self.weights, Free | Fixed):
            raise DataError(f"a mixture with angles has free or fixed weights; got {type(self.weights).__name__}")
        put("prior", _priors(self.prior))
        assert self.ordinary(1)

    def __repr__(self) -> str:
        angles = "all angles" if self.angles is None else f"angles in {list(self.angles)}"
        return f"CircularModel({self.n_components} components, {angles}, {type(self.weights).__name__} weights)"

    @cached_property
    def _plain(self) -> Model:
        """What is assumed of weights and ordinary columns."""
        return self._model(self.covariance, [each for each in self.prior if not isinstance(each, Concentration)])

    @cached_property
    def _flat(self) -> Model:
        """What is assumed of weights where there are no ordinary columns."""
        free = [each for each in self.prior if not hasattr(each, "pseudo") and not isinstance(each, Concentration)]
        return self._model("full", free)

    def _model(self, covariance: Any, prior: list[Any]) -> Model:
        return Model(
            self.n_components, covariance=covariance, weights=self.weights, background=self.background, prior=prior,
            floor=self.floor,
        )  # fmt: skip

    def ordinary(self, d: int) -> Model:
        """What is assumed of all but angles, where there are so many ordinary columns."""
        return self._plain if d else self._flat

    @property
    def _on_angles(self) -> Concentration:
        """The prior on concentrations; of no rows where there is none."""
        found = [each for each in self.prior if isinstance(each, Concentration)]
        return found[0] if found else Concentration(rows=0.0, kappa=0.0)

    @property
    def pseudo_is_set(self) -> bool:
        """Whether a prior keeps covariances from collapsing."""
        return self._plain.pseudo_is_set

    def mask(self, what: str) -> Array:
        """(K,) nothing is frozen."""
        return np.zeros(self.n_components, dtype=bool)

    def columns(self, width: int) -> tuple[int, ...]:
        """Which of so many columns are angles."""
        return columns_of(self.angles, width)

    def periods(self, width: int) -> Array:
        """(A,) period of each angle, where there are so many columns."""
        count = len(self.columns(width))
        return np.broadcast_to(periods_of(self.period, count), count)

    def resolve(self, spread: Array, dispersion: Array) -> CircularModel:
        """The model with everything set that it takes from the data.

        Args:
            spread: (D,) standard deviations of the ordinary columns. dispersion: (A,) of the angles, 1 - R.

        Raises:
            DataError: angles that do not vary, from which no prior follows.
        """
        if (dispersion <= LEAST_DISPERSION).any() and any(_is_open(each) for each in self.prior):
            raise DataError(
                f"every angle must vary; angle {int(np.argmin(dispersion))} does not, be it one sample or equal ones: "
                "leave it out, or give prior=mixsci.prior.Concentration(kappa=...)"
            )
        resolved = []
        for each in self.prior:
            if isinstance(each, Concentration):
                resolved.append(each.resolve(dispersion, self.n_components))
            elif len(spread) and hasattr(each, "resolve"):
                resolved.append(each.resolve(spread, self.n_components))
            else:
                resolved.append(each)
        return replace(self, prior=resolved)

    def maximise(self, mixture: CircularMixture, stats: CircularStats) -> CircularMixture:
        """M-step: the mixture of greatest expected posterior density given `stats` of `mixture`."""
        found: Any = self.ordinary(mixture.n_dims).maximise(mixture, stats)
        seen, sines, versines = stats.seen, stats.sines, stats.versines
        length = np.hypot(seen - versines, sines)
        # seen - length, without the digits that their difference loses.
        short = (2.0 * seen * versines - versines**2 - sines**2) / np.maximum(seen + length, 1e-300)
        prior = self._on_angles
        total = seen + prior.rows
        kappa = circular.concentration((short + prior.missing(mixture.n_angles)) / np.maximum(total, 1e-300))
        there = (seen > _FEWEST_ROWS) & (length > 0)
        turned = np.where(there, np.arctan2(sines, seen - versines), 0.0) * (mixture.period / TURN)
        return found.evolve(
            directions=wrapped(mixture.directions + turned, mixture.period),
            concentrations=np.where(total > _FEWEST_ROWS, kappa, mixture.concentrations),
        )

    def log_prior(self, mixture: CircularMixture) -> float:
        """Log prior density of a mixture, up to a constant."""
        ordinary = self.ordinary(mixture.n_dims).log_prior(mixture)
        return ordinary + self._on_angles.log_density(mixture.concentrations)

    def n_free(self, n_variables: int, n_groups: int = 0) -> int:
        """Number of free parameters of a mixture of so many columns, angles among them, with G groups."""
        angles = len(self.columns(n_variables))
        d = n_variables - angles
        return self.ordinary(d).n_free(d, n_groups) + 2 * self.n_components * angles

    # The coordinates in which a fit is accelerated: log(1 + kappa) along the direction, smooth where kappa vanishes

    def pack(self, mixture: CircularMixture) -> Array:
        """The free numbers of a mixture as one vector; `unpack` is its inverse."""
        turn = mixture.directions * (TURN / mixture.period)
        size = np.log1p(mixture.concentrations)
        whirl = [size * np.cos(turn), size * np.sin(turn)]
        return np.concatenate([self.ordinary(mixture.n_dims).pack(mixture), np.ravel(whirl)])

    def unpack(self, vector: Array, like: CircularMixture) -> CircularMixture:
        """The mixture with these free numbers, all else as in `like`."""
        ordinary, whirl = np.split(vector, [len(vector) - 2 * like.directions.size])
        found: Any = self.ordinary(like.n_dims).unpack(ordinary, like)
        along, across = whirl.reshape(2, *like.directions.shape)
        kappa = np.minimum(np.expm1(np.minimum(np.hypot(along, across), 700.0)), circular.LARGEST)
        turned = np.arctan2(across, along) * (like.period / TURN)
        return found.evolve(directions=wrapped(turned, like.period), concentrations=kappa)

    def sizes(self, mixture: CircularMixture) -> Array:
        """For every number of `pack` the size of a step that matters, about its standard error times sqrt(rows)."""
        pooled = np.maximum(mixture.pooled_weights, 1e-6)
        whirl = np.broadcast_to(np.sqrt(2.0 / pooled)[:, None], (2, *mixture.directions.shape))
        return np.concatenate([self.ordinary(mixture.n_dims).sizes(mixture), whirl.ravel()])


def _is_open(prior: Any) -> bool:
    return isinstance(prior, Concentration) and prior.kappa is None


def _priors(prior: Any) -> tuple[Any, ...]:
    """The priors as a tuple, at most one of them on concentrations; a `Model` looks at the others."""
    if prior is True:
        return (InverseWishart(), Concentration())
    if prior is None or prior is False:
        return ()
    found = tuple(prior) if isinstance(prior, list | tuple) else (prior,)
    if sum(isinstance(each, Concentration) for each in found) > 1:
        raise DataError("prior must hold at most one Concentration; got several")
    return found
