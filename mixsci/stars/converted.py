"""Rows of a catalogue in a space of motion, and the settings that bring them there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixsci.engine.tables import as_number
from mixsci.errors import DataError
from mixsci.stars.catalogue import Catalogue
from mixsci.stars.frames import Orientation, orientation
from mixsci.stars.geometry import plain

Array = np.ndarray

# Rows converted at a time: what is made on the way stays in the cache, and small beside the result.
_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class Converted:
    """The rows of a catalogue in a space, all n of them in their order.

    Attributes:
        x: (n, m) values, NaN = missing.
        covariances: (n, m, m) of the measurement, NaN where x is missing.
        projection: (n, m, D) from the latent velocity to x, or None for the identity.
        reasons: (n,) why a row cannot be used at all, "" where it can.
        set_aside: column of the table, (n,) rows and reason of values not used although they are there.
        lon, lat: (n,) position in the frame, deg; NaN without a position.
    """

    x: Array
    covariances: Array
    projection: Array | None
    reasons: Array
    set_aside: tuple[tuple[str, Array, str], ...]
    lon: Array
    lat: Array


@dataclass(frozen=True, eq=False)
class Settings:
    """How to convert.

    Attributes:
        frame: along whose longitude and latitude motions are given.
        zero_point: of parallaxes, mas: a number, a Quantity or (n,) of them; subtracted.
        min_parallax_snr: smallest parallax over error of a row whose velocity is made from its parallax.
        max_ruwe: largest ruwe of a row; None = no limit.
        reflex: (3,) velocity of the Sun along the axes of ICRS, km/s; None = motions stay as seen from the Sun.
        covariance: three (n,) arrays, the variance along longitude, the covariance and the variance along latitude of
            velocities in km2/s2, in place of errors of proper motions and parallaxes.

    Raises:
        DataError: limits that are no such numbers.
    """

    frame: Orientation = field(default_factory=orientation)
    zero_point: Any = None
    min_parallax_snr: float = 10.0
    max_ruwe: float | None = None
    reflex: Array | None = None
    covariance: tuple[Array, ...] | None = None

    def __post_init__(self) -> None:
        if as_number(self.min_parallax_snr, "min_parallax_snr") < 0.0:
            raise DataError(f"min_parallax_snr must not be negative; got {self.min_parallax_snr}")
        if self.max_ruwe is not None and as_number(self.max_ruwe, "max_ruwe") <= 0.0:
            raise DataError(f"max_ruwe must be above 0; got {self.max_ruwe}")

    def spread(self, n: int) -> Settings:
        """The same with what belongs to rows as n plain numbers each.

        Raises:
            DataError: another number of rows.
        """
        zero_point = None if self.zero_point is None else _per_row(self.zero_point, n, "zero_point", "mas")
        if self.covariance is None:
            return replace(self, zero_point=zero_point)
        if len(self.covariance) != 3:
            raise DataError(
                "covariance must be three arrays: variance along longitude, covariance, variance along latitude; "
                f"got {len(self.covariance)}"
            )
        covariance = tuple(_per_row(part, n, "each array of covariance", "km2 / s2") for part in self.covariance)
        return replace(self, zero_point=zero_point, covariance=covariance)

    def take(self, rows: slice) -> Settings:
        """Settings that are spread, for some of the rows."""
        return replace(
            self,
            zero_point=None if self.zero_point is None else self.zero_point[rows],
            covariance=None if self.covariance is None else tuple(part[rows] for part in self.covariance),
        )


def in_blocks(
    convert: Callable[[Catalogue, Settings], Converted], catalogue: Catalogue, settings: Settings
) -> Converted:
    """What a conversion makes of all rows, block by block.

    Args:
        convert: makes rows of a block, each on its own.
        catalogue: all n rows.
        settings: for all of them.
    """
    n = catalogue.n_rows
    settings = settings.spread(n)
    if n <= _BLOCK:
        return convert(catalogue, settings)
    whole: Converted | None = None
    aside: dict[tuple[str, str], Array] = {}
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        part = convert(catalogue.take(rows), settings.take(rows))
        whole = whole or _room(part, n)
        _put(whole, part, rows)
        for column, mask, reason in part.set_aside:
            aside.setdefault((column, reason), np.zeros(n, dtype=bool))[rows] = mask
    assert whole is not None
    return replace(whole, set_aside=tuple((column, mask, reason) for (column, reason), mask in aside.items()))


def _room(part: Converted, n: int) -> Converted:
    """Room for n rows like these."""
    room: dict[str, Any] = {name: np.empty((n, *array.shape[1:]), array.dtype) for name, array in _arrays(part).items()}
    return replace(part, **room)


def _put(whole: Converted, part: Converted, rows: slice) -> None:
    arrays = _arrays(whole)
    for name, array in _arrays(part).items():
        arrays[name][rows] = array


def _arrays(converted: Converted) -> dict[str, Array]:
    names = ("x", "covariances", "projection", "reasons", "lon", "lat")
    return {name: getattr(converted, name) for name in names if getattr(converted, name) is not None}


def _per_row(values: Any, n: int, what: str, unit: str) -> Array:
    numbers = plain(values, unit, what)
    if numbers.shape not in ((), (n,)):
        raise DataError(f"{what} must be one number or one per row, shape ({n},); got shape {numbers.shape}")
    return np.broadcast_to(numbers, (n,))
