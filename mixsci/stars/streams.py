"""A stream before its field: the field is learnt where the stream is not and held, then the stream is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.selection import draw, fit_selected
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.model.priors import InverseWishart
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError
from mixsci.stars.deconvolution import around, deconvolve, omega_of
from mixsci.stars.gaia import from_gaia
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.readers import read
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray

#: Widths of a stream that are looked for, as shares of the spread of the field in each dimension.
_WIDTHS = (0.01, 0.04, 0.15)
#: Stars that are looked at, places that are tried at once, and places from which a fit begins.
_ROWS, _PLACES, _BEGINS = 4000, 250, 5
#: Share of the stars that a stream begins with.
_SHARE = 0.03
#: Fewer stars than this per component tell nothing of a field.
_FEWEST = 20


@dataclass(frozen=True, eq=False, repr=False)
class StreamFit(VelocityFit):
    """A stream and its field; the components of the stream come first, and `members` are their numbers.

    Attributes:
        field_fit: the fit of the field, to the stars beside the stream.
        gain: log-likelihood that the stream adds on the stream's track to that of the field alone, nats.
        extra: free parameters that it takes; 2 gain - extra ln(n) > 0 where BIC wants a stream.
    """

    field_fit: VelocityFit | None = None
    gain: float = 0.0
    extra: int = 0

    @property
    def bic_gain(self) -> float:
        """By how much BIC is smaller with the stream than without; below 0 there is no evidence for one."""
        return 2.0 * self.gain - self.extra * float(np.log(self.fit.n))

    def to_table(self) -> QTable:
        """The table of `VelocityFit.to_table` with the population of each component, "stream" or "field"."""
        table = super().to_table()
        names = ["stream" if k in self.members else "field" for k in range(self.mixture.n_components)]
        table.add_column(names, index=1, name="population")
        return table

    def _meta(self) -> dict[str, Any]:
        return super()._meta() | {"gain": self.gain, "bic_gain": self.bic_gain}


def fit_stream(
    table: Any,
    frame: Any = None,
    background: int | VelocityFit = 2,
    *,
    space: str = "pm",
    stream: int = 1,
    width_deg: float = 1.0,
    gap_deg: float | None = None,
    on: Any = None,
    mean: Any = None,
    outliers: bool | UniformBackground = True,
    prior: Any = "noise",
    selection: Any = None,
    tol: float = 1e-6,
    rng: Any = 0,
    **catalogue: Any,
) -> StreamFit:
    """The proper motions of a stream before its field, and thereby its members.

    First the field: a mixture and a uniform outlier component, fitted to the stars beside the track. Its components are
    held (their weights stay free), and those of the stream are fitted to the stars on the track, from the places where
    most stars stand out from the field.

    Args:
        table: a catalogue as `from_gaia` takes it, or the `Kinematics` of one, in a frame along the stream.
        frame: along the stream: its latitude is 0 there (`great_circle`, a name of `FRAMES`, any astropy frame).
        background: number of components of the field, or a fit of it.
        space: "pm", "pm+parallax" or "pm+rv".
        stream: number of components of the stream.
        width_deg: stars within this latitude are on the track.
        gap_deg: stars beyond this latitude are beside it; None = 1.5 width_deg.
        on: (n,) of bool, rows of the table on the track, in place of the two widths; all others are beside it.
        mean: (D,) a guess of the stream's mean in the frame; None = looked for.
        outliers: a uniform component over the range of the values, or this one.
        prior: on the covariances, of `mx.prior`. "noise" = one star more in every component, as far from its mean as
            the median error in every dimension: few stars do not collapse below what their errors resolve.
        selection, tol, rng: as in `deconvolve`.
        catalogue: of `from_gaia`: columns, zero_point, max_ruwe, reflex.

    Raises:
        DataError: too few stars on the track or beside it, or settings that cannot be used.

    Example:
        >>> from mixsci import stars
        >>> made = stars.simulate_stream(2000, 0.08, rng=3)
        >>> found = stars.fit_stream(made.table, frame=made.frame)
        >>> found.members, [bool(abs(a - b) < 0.3) for a, b in zip(found.mixture.means[0], made.mean)]
        ((0,), [True, True])
    """
    kin = _stars(table, space, frame, catalogue)
    if stream < 1:
        raise DataError(f"a stream must have at least one component; got {stream}")
    here, beside = _sides(kin, on, width_deg, gap_deg)
    box = outliers if isinstance(outliers, UniformBackground) else around(kin.observations) if outliers else None
    if isinstance(background, VelocityFit):
        field = background
    else:
        _refuse_few(beside, background, "beside the track: make gap_deg smaller, or take a larger part of the sky")
        away = kin.take(beside)
        field = deconvolve(
            away, background, outliers=box or False, prior=_prior(prior, away), selection=selection, tol=tol, rng=rng
        )  # fmt: skip
    _refuse_few(here, stream, "on the track: widen width_deg")
    track = kin.take(here)
    return _StreamSearch(track, field, box, _prior(prior, track), selection, tol).run(stream, mean)


def _prior(prior: Any, stars: Kinematics) -> Any:
    """The prior as an object: one pseudo-star at the median error, where it is called "noise"."""
    if not isinstance(prior, str):
        return prior
    if prior != "noise":
        raise DataError(f'prior must be "noise", None or an object of mx.prior; got {prior!r}')
    variances = np.diagonal(stars.observations.noise.covariances(len(stars)), axis1=1, axis2=2)
    median = np.nanmedian(np.where(stars.observations.seen(), variances, np.nan), axis=0)
    return InverseWishart(np.diag(median), dof=-float(len(median))) if (median > 0).all() else None


def _stars(table: Any, space: str, frame: Any, catalogue: Mapping[str, Any]) -> Kinematics:
    """The stars of a catalogue; those that are kinematics already as they are."""
    if isinstance(table, Kinematics):
        if frame is not None or catalogue:
            raise DataError("Kinematics have their frame already: give frame= and the like to from_gaia")
        return table
    table = read(table) if isinstance(table, str | Path) else table
    kin = from_gaia(table, space, frame=frame, **catalogue)
    if not isinstance(kin, Kinematics):
        raise DataError("a stream is fitted to stars in memory: read its part of the sky first")
    return kin


def _sides(kin: Kinematics, on: Any, width: float, gap: float | None) -> tuple[Array, Array]:
    """Masks (n,) of the stars on the track and beside it."""
    if on is not None:
        mask = np.asarray(on)
        if mask.dtype != bool or mask.shape not in ((kin.n_table,), (len(kin),)):
            raise DataError(f"on must be ({kin.n_table},) of bool, one per row; got {mask.dtype} {mask.shape}")
        mask = mask if len(mask) == len(kin) else mask[kin.rows]
        return mask, ~mask
    width = as_number(width, "width_deg")
    gap = 1.5 * width if gap is None else as_number(gap, "gap_deg")
    if not 0 < width <= gap:
        raise DataError(f"0 < width_deg <= gap_deg must hold; got {width} and {gap}")
    away = np.abs(kin.lat)
    if np.isnan(away).any():
        raise DataError("stars without a position are neither on nor beside a track: give ra and dec, or on=")
    return away <= width, away > gap


def _refuse_few(chosen: Array, components: int, where: str) -> None:
    least = _FEWEST * components
    if chosen.sum() < least:
        raise DataError(f"there must be at least {least} stars {where}; got {int(chosen.sum())}")


@dataclass(frozen=True, eq=False)
class _StreamSearch:
    """The stars on the track and everything that stays the same while components of the stream are added."""

    track: Kinematics
    field: VelocityFit
    box: UniformBackground | None
    prior: Any
    selection: Any
    tol: float

    def run(self, stream: int, mean: Any) -> StreamFit:
        """The stream with so many components, added one by one."""
        found = alone = self._climb(self._with([], [], 0.0), 0, self.tol)
        for k in range(stream):
            begins = self._begins(found.mixture) if mean is None or k else [self._begin_at(mean)]
            short = [self._climb(self._added(found.mixture, *begin), k + 1, 1e-4) for begin in begins]
            best = max(short, key=lambda each: each.objective)
            found = self._climb(best.mixture, k + 1, self.tol)
        omega = None if self.selection is None else omega_of(self.selection, self.track)
        whole = StreamFit(
            replace(found, names=self.track.latent_names),
            self.track,
            members=tuple(range(stream)),
            source=None if omega is None else draw(self.track.observations, omega, found.mixture),
            field_fit=self.field,
            gain=found.log_likelihood - alone.log_likelihood,
            extra=found.n_free - alone.n_free,
        )
        if whole.bic_gain < 0:
            warnings.warn(
                f"there is no evidence of a stream: BIC is larger by {-whole.bic_gain:.1f} with it than without",
                UserWarning,
                stacklevel=3,
            )
        return whole

    def _climb(self, start: Mixture, stream: int, tol: float) -> Fit:
        """A fit from a start whose first components are the stream; those of the field keep means and covariances."""
        held = np.arange(start.n_components) >= stream
        model = Model(
            start.n_components, background=self.box, prior=self.prior if stream else None,
            frozen=Frozen(means=held, covariances=held),
        )  # fmt: skip
        if self.selection is None:
            return fit(model, self.track.observations, start=start, tol=tol)
        omega = omega_of(self.selection, self.track)
        return fit_selected(model, self.track.observations, omega, start=start, tol=tol)

    def _with(self, means: Any, covariances: Any, share: float) -> Mixture:
        """The field with components of a stream of this share before it."""
        field = self.field.mixture
        s, d = len(means), field.n_dims
        return Mixture(
            np.concatenate([np.full(s, share / max(s, 1)), (1.0 - share) * field.weights]),
            np.concatenate([np.reshape(means, (s, d)), field.means]),
            np.concatenate([np.reshape(covariances, (s, d, d)), field.covariances]),
            background=None if self.box is None else field.background or self.box,
        )

    def _added(self, mixture: Mixture, mean: Array, covariance: Array) -> Mixture:
        """A mixture with one more component, the last of the stream."""
        at = mixture.n_components - self.field.mixture.n_components
        return Mixture(
            np.insert((1.0 - _SHARE) * mixture.weights, at, _SHARE),
            np.insert(mixture.means, at, mean, axis=0),
            np.insert(mixture.covariances, at, covariance, axis=0),
            background=mixture.background,
        )

    def _begin_at(self, mean: Any) -> tuple[Array, Array]:
        point = as_numbers(mean, "mean").values.astype(float)
        d = self.field.mixture.n_dims
        if point.shape != (d,) or not np.isfinite(point).all():
            raise DataError(f"mean must be {d} numbers, {', '.join(self.track.latent_names)}; got {point.tolist()}")
        return point, np.diag((_WIDTHS[1] * _spread(self.field.mixture)) ** 2)

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
            covariance = np.diag((width * _spread(self.field.mixture)) ** 2)
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
