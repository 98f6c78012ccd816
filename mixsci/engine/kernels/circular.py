"""Angles under von Mises components: densities, and what blurred or missing angles say of the true ones.

p(t) = exp(kappa cos(t - mu)) / (2 pi I0(kappa)), of mean resultant length A(kappa) = I1(kappa) / I0(kappa) (Mardia &
Jupp 2000, section 3.5). Everything is in half-angle sines and in 1 - A, so that large concentrations keep their digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import i0e, i1e

Array = np.ndarray

#: No component is narrower than this concentration: a standard deviation of 1e-5 radians.
LARGEST = 1e10
#: No error is smaller than that of this concentration, 3e-8 radians.
_SHARPEST = 1e15
_TURN = 2.0 * np.pi
#: From here on the asymptotic series of the Bessel functions have all digits.
_FAR, _TERMS = 40.0, 24
_NEWTON = 50
#: Newton squares its error: after a step this small nothing but rounding is left.
_LAST_STEP = 1e-9


class Seen(NamedTuple):
    """What n rows say of A angles under K components.

    Attributes:
        log_density: (n, K) per radian of every angle seen, summed over them.
        sine, versine: (n, K, A) expected sin and 1 - cos of true angle less mean direction; 0 where not seen.
        angles: (n, A) 1.0 where an angle is seen.
    """

    log_density: Array
    sine: Array
    versine: Array
    angles: Array


def _series(order: int) -> Array:
    """(T,) coefficients of I_order(x) e^-x sqrt(2 pi x) in powers of 1 / x (Abramowitz & Stegun 9.7.1)."""
    odd = 2.0 * np.arange(1, _TERMS) - 1.0
    steps = -(4.0 * order**2 - odd**2) / (8.0 * np.arange(1, _TERMS))
    return np.concatenate([[1.0], np.cumprod(steps)])


_SERIES = _series(0)
_LACK = _series(0) - _series(1)


def log_normaliser(kappa: Array) -> Array:
    """log(I0(kappa) exp(-kappa)): a von Mises density per radian is exp(-2 kappa sin^2(t / 2) - this) / (2 pi)."""
    return np.log(i0e(kappa))


def lack(kappa: Array) -> Array:
    """1 - A(kappa), what the mean resultant length lacks to one; about 1 / (2 kappa) for large kappa."""
    kappa = np.asarray(kappa, dtype=float)
    far = kappa > _FAR
    near = np.where(far, 1.0, kappa)
    close = (i0e(near) - i1e(near)) / i0e(near)
    if not far.any():
        return close
    x = 1.0 / np.where(far, kappa, _FAR)
    return np.where(
        far, np.polynomial.polynomial.polyval(x, _LACK) / np.polynomial.polynomial.polyval(x, _SERIES), close
    )


def concentration(missing: Array, most: float = LARGEST) -> Array:
    """kappa in [0, most] with 1 - A(kappa) = missing, for missing in [0, 1]: Newton's method to full precision."""
    missing = np.clip(np.asarray(missing, dtype=float), lack(np.array(most)), 1.0)
    length = 1.0 - missing
    # Banerjee et al. (2005), equation 4.4, for the circle.
    kappa = length * (2.0 - length**2) / (missing * (1.0 + length))
    for _ in range(_NEWTON):
        short = lack(kappa)
        # dA/dkappa = 1 - A/kappa - A^2
        slope = short * (2.0 - short) - np.divide(1.0 - short, kappa, out=np.full(kappa.shape, 0.5), where=kappa > 1e-8)
        slope = np.where(kappa > 1e-8, slope, 0.5)
        moved = (short - missing) / np.where(slope > 0, slope, np.inf)
        kappa = np.clip(kappa + moved, kappa / 4.0, most)
        if (np.abs(moved) <= _LAST_STEP * kappa).all():
            break
    return kappa


def distances(directions: Array, concentrations: Array, others: Array, their_concentrations: Array) -> Array:
    """(K, L) Bhattacharyya distances of components, -log of the integral of sqrt(p q), summed over angles.

    Args:
        directions, concentrations: (K, A) radians and kappa. others, their_concentrations: (L, A) of other components.
    """
    kappa, other = concentrations[:, None] / 2.0, their_concentrations / 2.0
    chord = 2.0 * np.sin((directions[:, None] - others) / 2.0) ** 2
    less, length = _resultant(kappa, other, chord)
    logs = log_normaliser(concentrations)[:, None] + log_normaliser(their_concentrations)
    return (logs / 2.0 - log_normaliser(length) - less).sum(axis=-1)


def _resultant(kappa: Array, other: Array, chord: Array) -> tuple[Array, Array]:
    """The length of the sum of two vectors, less the sum of both lengths; and the length itself.

    Args:
        kappa, other: lengths of the two. chord: 1 - cos of the angle between them.
    """
    whole = kappa + other
    length = np.sqrt(np.maximum(whole**2 - 2.0 * kappa * other * chord, 0.0))
    return -2.0 * kappa * other * chord / np.where(whole > 0, length + whole, 1.0), length


def see(angles: Array, errors: Array | None, directions: Array, concentrations: Array) -> Seen:
    """What rows say of their angles under each component.

    With errors the true angle is von Mises about the direction and the error von Mises about zero, with the mean
    resultant length exp(-sigma^2 / 2) of a wrapped normal error: then both the density of the blurred angle and the
    true angle given it, again von Mises, are exact.

    Args:
        angles: (n, A) radians, NaN = missing.
        errors: (n, A) or (1, A) standard deviations sigma, radians, or None.
        directions, concentrations: (K, A) mean directions, radians, and kappa.
    """
    seen = ~np.isnan(angles)
    apart = np.where(seen, angles, 0.0)[:, None] - directions
    chord, sine = 2.0 * np.sin(apart / 2.0) ** 2, np.sin(apart)
    if errors is None:
        density = -concentrations * chord - log_normaliser(concentrations)
        versine = chord
    else:
        density, sine, versine = _blurred(chord, sine, errors[:, None], concentrations)
    there = seen[:, None]
    density = np.where(there, density - np.log(_TURN), 0.0).sum(axis=2)
    return Seen(density, np.where(there, sine, 0.0), np.where(there, versine, 0.0), seen.astype(float))


def _blurred(chord: Array, sine: Array, errors: Array, kappa: Array) -> tuple[Array, Array, Array]:
    """Log density less log(1 / 2 pi), and expected sine and versine of the true angle, where angles have errors."""
    sharp = concentration(-np.expm1(-(errors**2) / 2.0), _SHARPEST)
    # The resultant of kappa at the direction and `sharp` at the angle measured.
    less, length = _resultant(kappa, sharp, chord)
    density = less + log_normaliser(length) - log_normaliser(kappa) - log_normaliser(sharp)
    short = lack(length)
    # Sine and versine of the resultant's direction less the component's.
    safe = np.where(length > 0, length, 1.0)
    turned = sharp * sine / safe
    aside = np.where(length > 0, (less + sharp * chord) / safe, 0.0)
    return density, (1.0 - short) * turned, short + (1.0 - short) * aside
