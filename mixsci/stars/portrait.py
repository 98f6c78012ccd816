"""What pictures show of a fit: its stars, thinned where they are very many, and its dimensions as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixsci.errors import DataError
from mixsci.stars.blocks import KinematicsBlocks
from mixsci.stars.forecasts import Calibration
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.memberships import membership
from mixsci.stars.velocity_fit import VelocityFit

Array = np.ndarray

#: About so many stars are shown where there are more; members are always shown.
MOST = 20_000
#: A star counts as a member at or above this probability.
THRESHOLD = 0.5
#: Uniform quantiles are denied where chance would give such a distance more rarely than this.
_LEVEL = 0.01

_ANGLES = {"ra": r"\alpha", "dec": r"\delta", "phi1": r"\phi_1", "phi2": r"\phi_2", "l": "l", "b": "b"}
_KINDS = {"pm": r"\mu", "v": "v"}
_SYMBOLS = {
    "pmra": r"$\mu_{\alpha*}$",
    "pmdec": r"$\mu_\delta$",
    "parallax": r"$\varpi$",
    "radial_velocity": r"$v_\mathrm{r}$",
    "v_r": r"$v_\mathrm{r}$",
    "v_x": "$v_x$",
    "v_y": "$v_y$",
    "v_z": "$v_z$",
}


@dataclass(frozen=True, eq=False)
class Portrait:
    """Stars as pictures show them: s of n.

    Attributes:
        n: stars there are.
        lon, lat: (s,) position in the frame, deg; NaN where it is not known.
        denoised: (s, D) deconvolved velocities, the means of what is known of each star.
        observed: (s, D) values as measured, a gap NaN; None where what is measured is a projection.
        errors: (s, D) their standard errors, or None.
        p: (s,) probabilities of membership, or None without a population.
        outlier: (s,) of bool, more probably outside all components than of one.
    """

    n: int
    lon: Array
    lat: Array
    denoised: Array
    observed: Array | None
    errors: Array | None
    p: Array | None
    outlier: Array

    def __len__(self) -> int:
        return len(self.denoised)

    @property
    def values(self) -> Array:
        """(s, D) values as measured where they can be drawn, else the deconvolved ones."""
        return self.denoised if self.observed is None else self.observed


def portrait(
    fit: VelocityFit,
    kin: Kinematics | KinematicsBlocks | None = None,
    *,
    components: Sequence[int] | None = None,
    threshold: float = THRESHOLD,
    most: int = MOST,
) -> Portrait:
    """The stars of a fit as pictures show them.

    Args:
        fit: what was found.
        kin: the stars; None = those of the fit.
        components: the population looked for; None = the members of the fit.
        threshold: stars of this probability or more are always shown.
        most: of more stars than this a random share is shown, always the same.

    Raises:
        DataError: no stars, or stars of another space or frame than the fit's.
    """
    stars = fit.kinematics if kin is None else kin
    if not isinstance(stars, Kinematics | KinematicsBlocks):
        raise DataError(f"stars must be Kinematics, as from_gaia makes them; got {type(stars).__name__}")
    n = fit.n_rows if isinstance(stars, KinematicsBlocks) and kin is None else count(stars)
    if not n:
        raise DataError("a picture needs at least one star; got none")
    rng, share = np.random.default_rng(0), min(1.0, most / n)
    blocks = stars.kinematics() if isinstance(stars, KinematicsBlocks) else iter([stars])
    found = [_drawn(fit, block, rng, share, components, threshold) for block in blocks if len(block)]
    return _joined(n, found)


def count(stars: Kinematics | KinematicsBlocks) -> int:
    """How many stars there are, after a pass over them where they are blocks."""
    return len(stars) if isinstance(stars, Kinematics) else sum(map(len, stars.kinematics()))


def probabilities(fit: VelocityFit) -> Array:
    """(n,) probabilities of membership of the stars that a fit with members was made from."""
    found = fit.membership()
    tables = [found] if isinstance(fit.kinematics, Kinematics) else found
    return np.concatenate([np.asarray(table["p_member"]) for table in tables])


def plural(n: int, what: str) -> str:
    """A count of things in words.

    Example:
        >>> from mixsci.stars.portrait import plural
        >>> plural(1, "star"), plural(1200, "star")
        ('1 star', '1,200 stars')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def verdict(calibration: Calibration) -> str:
    """What the Kolmogorov-Smirnov test says of predicted radial velocities."""
    said = "cannot be told from" if calibration.p_value >= _LEVEL else "differ from"
    return f"Quantiles {said} uniform ones: KS distance {calibration.ks:.2g}, p = {calibration.p_value:.2g}"


def symbol(name: str) -> str:
    r"""How a dimension is written in a picture.

    Example:
        >>> from mixsci.stars.portrait import symbol
        >>> print(symbol("pm_phi1"), symbol("v_l"), symbol("U"))
        $\mu_{\phi_1}$ $v_{l}$ U
    """
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    kind, _, angle = name.partition("_")
    if kind in _KINDS and angle:
        return f"${_KINDS[kind]}_{{{_angle(angle)}}}$"
    return _plain(name)


def sky(name: str) -> str:
    """How a longitude or latitude is written in a picture, with its unit."""
    return f"${_angle(name)}$ (deg)"


def label(name: str, unit: str) -> str:
    """A dimension with its unit, as axes are labelled.

    Example:
        >>> from mixsci.stars.portrait import label
        >>> label("U", "km / s")
        'U (km/s)'
    """
    return f"{symbol(name)} ({unit.replace(' ', '')})"


def _angle(name: str) -> str:
    return _ANGLES.get(name) or rf"\mathrm{{{_letters(name)}}}"


def _letters(name: str) -> str:
    return "".join(sign for sign in name if sign.isalnum())


def _plain(name: str) -> str:
    # A dollar sign would open a formula: names are text.
    return name.replace("$", r"\$")


def _drawn(
    fit: VelocityFit,
    stars: Kinematics,
    rng: np.random.Generator,
    share: float,
    components: Sequence[int] | None,
    threshold: float,
) -> Portrait:
    """The stars of one block that are shown."""
    table = membership(fit, stars, components=components)
    p = np.asarray(table["p_member"]) if "p_member" in table.colnames else None
    kept = rng.random(len(stars)) < share
    if p is not None:
        kept |= p >= threshold
    shown = stars.take(kept)
    denoised = fit.denoised(shown)
    observations, plain = shown.observations, shown.observations.projection is None
    variances = np.diagonal(observations.noise.covariances(len(shown)), axis1=1, axis2=2) if plain else None
    return Portrait(
        len(stars), shown.lon, shown.lat, np.stack([denoised[name].value for name in fit.latent_names], axis=1),
        observations.x if plain else None, None if variances is None else np.sqrt(variances),
        None if p is None else p[kept], np.asarray(table["p_outlier"])[kept] > THRESHOLD,
    )  # fmt: skip


def _joined(n: int, parts: Sequence[Portrait]) -> Portrait:
    def together(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    names = ("lon", "lat", "denoised", "observed", "errors", "p", "outlier")
    return Portrait(n, *(together(name) for name in names))
