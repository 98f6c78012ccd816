"""Distances for velocities and for the motion of the Sun: from a distance column where there is one, else parallaxes.

A velocity needs the distance itself, which only a precise parallax gives; the motion of the Sun across the sky is
linear in the parallax, so that there any parallax serves, negative ones too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixsci.stars.catalogue import Catalogue
from mixsci.stars.covariances import correlation
from mixsci.stars.ledger import Ledger

Array = np.ndarray

_BARE = "distances without a column of errors are not used"

# 10, and rounding: 0.7 / 0.1 is below 7.
_TENTHS = 10.0 * (1.0 + 1e-12)


@dataclass(frozen=True, eq=False)
class Depths:
    """Distances in kpc, or their inverses in 1/kpc = mas, with what their errors share with other values.

    Attributes:
        values: (n,), NaN where unknown.
        variance: (n,) of values.
        shared: (n, m) covariance of values with m roles of the catalogue.
    """

    values: Array
    variance: Array
    shared: Array

    def fill(self, other: Depths) -> Depths:
        """Those of another where these are unknown."""
        gaps = np.isnan(self.values)
        return Depths(
            np.where(gaps, other.values, self.values),
            np.where(gaps, other.variance, self.variance),
            np.where(gaps[:, None], other.shared, self.shared),
        )


def distances(
    catalogue: Catalogue, ledger: Ledger, zero_point: Array | None, min_snr: float, *, why: str, errors: bool = True
) -> Depths:
    """Distances in kpc, sharing errors with pmra and pmdec; rows that have none are left out.

    The distance of the catalogue is taken where it has one with its error, else 1 / parallax where parallax over error
    reaches `min_snr`, to first order in the error: d = 1/p, cov(d, .) = -cov(p, .) / p^2.

    Args:
        catalogue: with distances or parallaxes.
        ledger: what is left out is noted here.
        zero_point: (n,) mas, subtracted from parallaxes.
        min_snr: smallest parallax over error.
        why: what needs distances, for the message.
        errors: whether errors are needed; without them variances are 0 and any parallax above 0 serves.
    """
    _require_one(catalogue, why, errors=errors)
    n, roles = catalogue.n_rows, ("pmra", "pmdec")
    found = Depths(np.full(n, np.nan), np.zeros(n), np.zeros((n, 2)))
    if _has(catalogue, "distance", errors=errors):
        found = _given(catalogue, ledger, 2, errors=errors)
        ledger.leave_out_by(found.values <= 0.0, found.values, lambda kpc: f"distance {kpc:g} kpc is not above 0")
    elif "distance" in catalogue.values:
        ledger.set_aside("distance", ~np.isnan(catalogue.values["distance"]), _BARE)
    if not np.isnan(found.values).any():
        return found
    if _has(catalogue, "parallax", errors=errors):
        parallaxes = _parallaxes(catalogue, zero_point, roles, errors=errors)
        wanted = np.isnan(found.values)
        _leave_out_poor(catalogue, ledger, wanted, parallaxes, min_snr, errors=errors)
        good = np.where(wanted & ~ledger.out, parallaxes.values, np.nan)
        by_parallax = Depths(1.0 / good, parallaxes.variance / good**4, -parallaxes.shared / good[:, None] ** 2)
        return found.fill(by_parallax)
    ledger.leave_out(np.isnan(found.values), "no distance with an error" if errors else "no distance")
    return found


def nearness(
    catalogue: Catalogue, ledger: Ledger, zero_point: Array | None, roles: tuple[str, ...], *, why: str
) -> Depths:
    """Inverse distances in 1/kpc, sharing errors with the roles; parallaxes of any sign where there is no distance."""
    n = catalogue.n_rows
    found = Depths(np.full(n, np.nan), np.zeros(n), np.zeros((n, len(roles))))
    _require_one(catalogue, why, errors=True)
    if "distance" in catalogue.values and "distance" not in catalogue.errors:
        ledger.set_aside("distance", ~np.isnan(catalogue.values["distance"]), _BARE)
    if _has(catalogue, "distance", errors=True):
        given = _given(catalogue, ledger, len(roles), errors=True)
        ledger.set_aside("distance", given.values <= 0.0, "it is not above 0")
        kpc = np.where(given.values > 0.0, given.values, np.nan)
        found = Depths(1.0 / kpc, given.variance / kpc**4, given.shared)
    if _has(catalogue, "parallax", errors=True):
        found = found.fill(_parallaxes(catalogue, zero_point, roles, errors=True))
    return found


def parallax_values(catalogue: Catalogue, zero_point: Array | None) -> Array:
    """(n,) parallaxes in mas, their zero point subtracted (Lindegren et al. 2021, A&A 649, A4)."""
    values = catalogue.values["parallax"]
    return values if zero_point is None else values - zero_point


def _has(catalogue: Catalogue, role: str, *, errors: bool) -> bool:
    return role in catalogue.values and (role in catalogue.errors or not errors)


def _require_one(catalogue: Catalogue, why: str, *, errors: bool) -> None:
    """Refuse a catalogue with neither parallaxes nor distances, by the name of the one it has half of."""
    if not any(_has(catalogue, role, errors=errors) for role in ("parallax", "distance")):
        half = "distance" if "distance" in catalogue.values and "parallax" not in catalogue.values else "parallax"
        catalogue.require(half, errors=errors, why=f"{why} (parallaxes or distances)")


def _given(catalogue: Catalogue, ledger: Ledger, m: int, *, errors: bool) -> Depths:
    """The distances of a catalogue, where they have errors."""
    kpc, n = catalogue.values["distance"], catalogue.n_rows
    if not errors:
        return Depths(kpc, np.zeros(n), np.zeros((n, m)))
    error = catalogue.errors["distance"]
    ledger.set_aside("distance", ~np.isnan(kpc) & np.isnan(error), "{} has no error")
    return Depths(np.where(np.isnan(error), np.nan, kpc), error**2, np.zeros((n, m)))


def _parallaxes(catalogue: Catalogue, zero_point: Array | None, roles: tuple[str, ...], *, errors: bool) -> Depths:
    """Parallaxes, NaN where they have no error."""
    values, n = parallax_values(catalogue, zero_point), catalogue.n_rows
    if "parallax" not in catalogue.errors:
        return Depths(values, np.zeros(n), np.zeros((n, len(roles))))
    error = catalogue.errors["parallax"]
    shared = np.zeros((n, len(roles)))
    for j, role in enumerate(roles):
        if role == "parallax":
            shared[:, j] = error**2
        elif role in catalogue.errors:
            shared[:, j] = correlation(catalogue, "parallax", role) * error * catalogue.errors[role]
    unknown = np.isnan(error) & errors
    return Depths(np.where(unknown, np.nan, values), error**2, shared)


def _leave_out_poor(
    catalogue: Catalogue, ledger: Ledger, wanted: Array, parallaxes: Depths, min_snr: float, *, errors: bool
) -> None:
    """Leave out rows whose parallax is missing, not above 0, or below `min_snr` errors."""
    values, error = parallaxes.values, np.sqrt(parallaxes.variance)
    bare = ~np.isnan(catalogue.values["parallax"]) & errors
    nothing = "parallax" if "distance" not in catalogue.values else "parallax or distance"
    ledger.leave_out(wanted & np.isnan(values) & bare, f"no error of its {nothing}")
    ledger.leave_out(wanted & np.isnan(values), f"no {nothing}")
    ledger.leave_out_by(wanted & (values <= 0.0), np.round(values, 3), lambda p: f"parallax {p:.3f} mas is not above 0")
    poor = wanted & (values > 0.0) & (values < min_snr * error)
    snr = np.divide(values, error, out=np.zeros_like(values), where=poor)
    # Rounded down, so that 9.98 does not read as 10.
    ledger.leave_out_by(
        poor, np.floor(snr * _TENTHS) / 10.0, lambda ratio: f"parallax over error {ratio:.1f} is below {min_snr:g}"
    )
