"""A stream before its field: the field is learnt where the stream is not and held, then the stream is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.em.state import Outcome
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.priors import InverseWishart
from mixsci.engine.tables import as_number
from mixsci.errors import DataError
from mixsci.stars.blocks import blocks_of
from mixsci.stars.deconvolution import box_of, deconvolve, refuse_settings
from mixsci.stars.kinematics import Kinematics, conversion, require_same, tell
from mixsci.stars.readers import read
from mixsci.stars.stream_search import Search
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray

#: Fewer stars than this per component tell nothing of a field.
_FEWEST = 20
#: A stream with fewer expected stars than this has lost them all.
_EMPTY = 1e-3
#: Draws of a stream that memberships are averaged over: the error of an average is then below 0.01.
_DRAWS = 128
#: What is handed on to `from_gaia`.
_CATALOGUE = ("columns", "zero_point", "min_parallax_snr", "max_ruwe", "covariance", "reflex")
_SPACES = ("pm", "pm+parallax", "pm+rv", "tangential")


@dataclass(frozen=True, eq=False, repr=False)
class StreamFit(VelocityFit):
    """A stream and its field; the components of the stream come first, and `members` are their numbers.

    Attributes:
        field_fit: the fit of the field, to the stars beside the stream; None where a mixture was given.
        gain: log-likelihood that the stream adds on the stream's track to that of the field alone, nats.
        draws: mixtures that the stars leave open; memberships are averages over the fit and them.
        extra: free parameters that it takes; 2 gain - extra ln(n) > 0 where BIC wants a stream.
    """

    field_fit: VelocityFit | None = None
    gain: float = 0.0
    extra: int = 0
    draws: tuple[Mixture, ...] = field(default=(), repr=False)

    @property
    def n_beside(self) -> int | None:
        """Stars beside the track that the field was fitted to; None where a mixture was given."""
        return None if self.field_fit is None else int(self.field_fit.fit.n_rows)

    @property
    def bic_gain(self) -> float:
        """By how much BIC is smaller with the stream than without; below 0 there is no evidence for one."""
        return 2.0 * self.gain - self.extra * float(np.log(self.fit.n))

    @property
    def _judges(self) -> list[Mixture]:
        """The fit and what its stars leave open: few make a stream, and each of them has pulled it its way."""
        return [self.mixture, *self.draws]

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
    background: int | VelocityFit | Mixture = 2,
    *,
    space: str | None = None,
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

    First the field, a mixture and uniform outliers, is fitted to the stars beside the track. Its components are held
    (their weights stay free), and the stream is fitted to the stars on the track, from where most stand out.

    Args:
        table: a catalogue as `from_gaia` takes it, or the `Kinematics` of one, in a frame along the stream.
        frame: along the stream: its latitude is 0 there (`great_circle`, a name of `FRAMES`, any astropy frame).
        background: components of the field, or a fit or mixture of it.
        space: "pm" (the default), "pm+parallax", "pm+rv" or "tangential".
        stream: number of components of the stream.
        width_deg: stars within this latitude are on the track.
        gap_deg: stars beyond this latitude are beside it; None = 1.5 width_deg.
        on: (n,) of bool, rows of the table on the track, in place of the two widths; all others are beside it.
        mean: (D,) a guess of the stream's mean in the frame; None = looked for.
        outliers: a uniform component over the range of the values, or this one.
        prior: on the covariances, of `mx.prior`. "noise" = one star more in every component, as far from its mean as
            the median error in every dimension: few stars do not collapse below what their errors resolve.
        selection, tol: as in `deconvolve`. rng: of the starts of the field.
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
    refuse_settings("fit_stream", catalogue, _CATALOGUE)
    kin = _stars(table, space, frame, catalogue, framed=on is not None)
    here, beside = _sides(kin, on, width_deg, gap_deg)
    _refuse_few(here, _whole(stream, "stream"), "on the track: widen width_deg")
    box, track = box_of(outliers, kin), kin.take(here)
    fit_it = partial(deconvolve, outliers=box or False, selection=selection, tol=tol, rng=rng)
    field = _field(background, kin, beside, prior, fit_it)
    mixture = field if isinstance(field, Mixture) else field.mixture
    box = mixture.background if outliers is True and mixture.background is not None else box
    found = Search(track, mixture, box, _prior(prior, track), selection, tol).run(stream, mean)
    return _told(*found, track, stream, None if isinstance(field, Mixture) else field)


def _told(
    best: Fit, alone: Fit, source: Any, track: Kinematics, stream: int, field: VelocityFit | None
) -> StreamFit:  # fmt: skip
    """The fit with a stream beside the one without."""
    outcome = best.outcome
    rows = best.mixture.weights[:stream] * best.n
    if outcome is Outcome.EMPTY_COMPONENT and (rows > _EMPTY).all():
        # A part of the field that has no star on the track is no failure.
        outcome = Outcome.CONVERGED
    whole = StreamFit(
        replace(best, names=track.latent_names, outcome=outcome),
        track,
        members=tuple(range(stream)),
        source=source,
        field_fit=field,
        gain=best.log_likelihood - alone.log_likelihood,
        extra=best.n_free - alone.n_free,
    )
    whole = replace(whole, draws=_draws(whole))
    if whole.bic_gain < 0:
        warnings.warn(
            f"there is no evidence of a stream: BIC is larger by {-whole.bic_gain:.1f} with it than without",
            UserWarning,
            stacklevel=3,
        )
    return whole


def _draws(found: StreamFit) -> tuple[Mixture, ...]:
    """What the stars leave open of a stream and its field; nothing where they have no standard errors."""
    with warnings.catch_warnings():
        # What the stars do not tell is said where standard errors are asked for.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return tuple(found.standard_errors.draws(_DRAWS))
        except DataError:
            return ()


def _field(
    background: Any, kin: Kinematics, beside: Array, prior: Any, fit_it: Callable[..., VelocityFit]
) -> VelocityFit | Mixture:  # fmt: skip
    """The field: one given, of the space and frame of the stars, or a fit to the stars beside the track."""
    if isinstance(background, VelocityFit):
        require_same(kin, background.kinematics)
        return background
    if isinstance(background, Mixture):
        if background.n_dims != len(kin.latent_names):
            raise DataError(f"a field must have dimensions {', '.join(kin.latent_names)}; got {background.n_dims}")
        return background
    k, away = _whole(background, "background"), kin.take(beside)
    _refuse_few(beside, k, "beside the track: make gap_deg smaller, or take a larger part of the sky")
    return fit_it(away, k, prior=_prior(prior, away))


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise DataError(f"{name} must be a whole number of components, 1 or more; got {value!r}")
    return int(value)


def _prior(prior: Any, stars: Kinematics) -> Any:
    """The prior as an object: one pseudo-star at the median error, where it is called "noise"."""
    if not isinstance(prior, str):
        return prior
    if prior != "noise":
        raise DataError(f'prior must be "noise", None or an object of mx.prior; got {prior!r}')
    variances = np.diagonal(stars.observations.noise.covariances(len(stars)), axis1=1, axis2=2)
    median = np.nanmedian(np.where(stars.observations.seen(), variances, np.nan), axis=0)
    return InverseWishart(np.diag(median), dof=-float(len(median))) if (median > 0).all() else None


def _stars(table: Any, space: str | None, frame: Any, catalogue: Mapping[str, Any], *, framed: bool) -> Kinematics:
    """The stars of a catalogue; those that are kinematics already as they are."""
    if isinstance(table, Kinematics):
        if frame is not None or catalogue or space not in (None, table.space):
            raise DataError("Kinematics have their space and frame already: give these to from_gaia")
        kin = table
    elif frame is None and not framed:
        raise DataError("a stream needs frame=, along it (great_circle makes one), or on=, the rows on its track")
    else:
        space = "pm" if space is None else space
        _refuse_space(space)
        convert = conversion(space, frame=frame, **catalogue)
        table = read(table) if isinstance(table, str | Path) else table
        if blocks_of(table, convert) is not None:
            raise DataError("a stream is fitted to stars in memory: read its part of the sky first")
        kin = convert(table)
        tell(kin, stacklevel=4)
    _refuse_space(kin.space)
    return kin


def _refuse_space(space: Any) -> None:
    if space not in _SPACES:
        raise DataError(f"a stream is fitted in one of {', '.join(map(repr, _SPACES))}; got {space!r}")


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
