"""The search for a stream: places where more stars stand than the field explains, and climbs from there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.selection import fit_selected
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError
from mixsci.stars.deconvolution import omega_of
from mixsci.stars.kinematics import Kinematics

Array = np.ndarray

#: Widths of a stream that are looked for, as shares of the spread of the field in each dimension.
_WIDTHS = (0.01, 0.04, 0.15)
#: Stars that are looked at, places that are tried at once, and places from which a fit begins.
_ROWS, _PLACES, _BEGINS = 4000, 250, 5
#: Share of the stars that a stream begins with.
_SHARE = 0.03


@dataclass(frozen=True, eq=False)
class Search:
    """What stays the same while components of a stream are added.

    Attributes:
        track: the stars on the track.
        field: the mixture beside it.
        box: a uniform component of outliers, or None.
        prior: on the covariances of the stream.
        selection: what the survey kept.
        tol: of the last climb.
    """

    track: Kinematics
    field: Mixture
    box: UniformBackground | None
    prior: Any
    selection: Any
    tol: float

    def run(self, stream: int, mean: Any) -> tuple[Fit, Fit, Any]:
        """A fit with so many components of a stream, found one by one, before those of the field; one without any.

        Last comes the source of the first where a survey lost stars, else None.
        """
        found, source = self._climb(replace(self.field, background=self.box), 0)
        alone = found
        for k in range(stream):
            begins = self._begins(found.mixture) if mean is None or k else [self._begin_at(mean)]
            # Where a survey lost stars is no matter for where the stream stands out.
            short = [self._fit(self._added(found.mixture, *begin), k + 1, 1e-4) for begin in begins]
            best = max(short, key=lambda each: each.objective)
            found, source = self._climb(best.mixture, k + 1)
        return found, alone, source

    def _climb(self, start: Mixture, stream: int) -> tuple[Fit, Any]:
        if self.selection is None:
            return self._fit(start, stream, self.tol), None
        omega = omega_of(self.selection, self.track)
        return fit_selected(self._model(start, stream), self.track.observations, omega, start=start, tol=self.tol)

    def _fit(self, start: Mixture, stream: int, tol: float) -> Fit:
        return fit(self._model(start, stream), self.track.observations, start=start, tol=tol)

    def _model(self, start: Mixture, stream: int) -> Model:
        """The first components are the stream; those of the field keep means and covariances."""
        held = np.arange(start.n_components) >= stream
        return Model(
            start.n_components, background=self.box, prior=self.prior if stream else None,
            frozen=Frozen(means=held, covariances=held),
        )  # fmt: skip

    def _added(self, mixture: Mixture, mean: Array, covariance: Array) -> Mixture:
        """A mixture with one more component, the last of the stream."""
        at = mixture.n_components - self.field.n_components
        return Mixture(
            np.insert((1.0 - _SHARE) * mixture.weights, at, _SHARE),
            np.insert(mixture.means, at, mean, axis=0),
            np.insert(mixture.covariances, at, covariance, axis=0),
            background=mixture.background,
        )

    def _begin_at(self, mean: Any) -> tuple[Array, Array]:
        point = as_numbers(mean, "mean").values.astype(float)
        d = self.field.n_dims
        if point.shape != (d,) or not np.isfinite(point).all():
            raise DataError(f"mean must be {d} numbers, {', '.join(self.track.latent_names)}; got {point.tolist()}")
        return point, np.diag((_WIDTHS[1] * _spread(self.field)) ** 2)

    def _begins(self, mixture: Mixture) -> list[tuple[Array, Array]]:
        """Places and covariances where more stars stand than the mixture explains, the clearest first."""
        rows = self.track.observations
        some = np.random.default_rng(0).permutation(len(rows))[:_ROWS]
        rows = rows.take(np.sort(some))
        places = _places(rows, mixture)
        if not len(places):
            raise DataError("a stream is looked for among stars that have all values; none has: give mean=")
        explained = mixture.log_density(rows)
        found = []
        for width in _WIDTHS:
            covariance = np.diag((width * _spread(self.field)) ** 2)
            excess = _excess(rows, places, covariance, explained)
            found += [(excess[i], places[i], covariance) for i in _apart(places, excess, covariance)]
        found.sort(key=lambda each: -each[0])
        return [(place, covariance) for _, place, covariance in found[:_BEGINS]]


def _spread(mixture: Mixture) -> Array:
    """(D,) standard deviations of a mixture as a whole."""
    apart = mixture.means - mixture.weights @ mixture.means
    inside = np.diagonal(mixture.covariances, axis1=1, axis2=2)
    return np.asarray(np.sqrt(mixture.weights @ (inside + apart**2)))


def _places(rows: Observations, mixture: Mixture) -> Array:
    """(p, D) places to try: where the complete rows are; a value nobody measured is what the field would have."""
    x: Array = rows.x
    filled = np.where(rows.seen(), x, np.nan)
    gaps = np.isnan(filled).all(axis=0)
    filled[:, gaps] = (mixture.weights @ mixture.means)[gaps]
    return filled[~np.isnan(filled).any(axis=1)]


def _excess(rows: Observations, places: Array, covariance: Array, explained: Array) -> Array:
    """(p,) how clearly each place holds more rows than are explained: the sum of N / p - 1 over its own noise.

    The sum is the slope of the log-likelihood in the share of a component there, its noise that slope's spread.
    """
    out = np.empty(len(places))
    for start in range(0, len(places), _PLACES):
        at = places[start : start + _PLACES]
        k = len(at)
        tried = Mixture(np.full(k, 1.0 / k), at, np.tile(covariance, (k, 1, 1)))
        with np.errstate(divide="ignore"):
            log_density = np.log(tried.responsibilities(rows)) + tried.log_density(rows)[:, None] + np.log(k)
        ratio = np.exp(np.minimum(log_density - explained[:, None], 300.0)) - 1.0
        out[start : start + k] = ratio.sum(axis=0) / np.sqrt((ratio**2).sum(axis=0))
    return out


def _apart(places: Array, excess: Array, covariance: Array) -> list[int]:
    """The clearest places, none within three widths of a clearer one."""
    sd = np.sqrt(np.diag(covariance))
    kept: list[int] = []
    for i in np.argsort(-excess):
        if all((np.abs(places[i] - places[j]) > 3.0 * sd).any() for j in kept):
            kept.append(int(i))
        if len(kept) == _BEGINS:
            break
    return kept
