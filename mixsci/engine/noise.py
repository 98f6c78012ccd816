"""Measurement noise of the rows: none, one covariance for all, variances per value, a covariance per row.

Build it with `from_errors` (standard deviations), `from_variances` or `from_covariances`: no function guesses
from a shape whether numbers are sigma or sigma squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray
Rows = slice | Array
Policy = Literal["refuse", "gap"]


class Noise(Protocol):
    """What the engine asks of any kind of noise over rows of `width` values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of numbers behind it."""

    @property
    def missing(self) -> Policy:
        """What an observed value without an error is: refused, or a gap."""

    @property
    def width(self) -> int:
        """Number of values m in a row."""

    @property
    def per_row(self) -> bool:
        """Whether rows differ in noise."""

    def __getitem__(self, rows: Rows) -> Noise:
        """The noise of some rows."""

    def of_columns(self, columns: list[int]) -> Noise:
        """The noise of some of the columns."""

    def known(self) -> Array | bool:
        """(n, m) True where the noise of a value is a number or infinite; True where it always is."""

    def finite(self) -> Array | bool:
        """(n, m) True where the noise of a value is finite, so that the value says something."""

    def packed(self, n: int) -> Array:
        """(m(m+1)/2, n) lower triangles of the covariances, rows last; unusable entries are 0."""

    def covariances(self, n: int) -> Array:
        """(n, m, m) covariances; unusable entries are 0."""


@dataclass(frozen=True, eq=False)
class NoNoise:
    """Values measured without error; it has no rows of its own, so it fits any number of them and has no length."""

    width: int
    missing: Policy = "refuse"
    per_row = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.width,)

    def __getitem__(self, rows: Rows) -> NoNoise:
        return self

    def of_columns(self, columns: list[int]) -> NoNoise:
        return NoNoise(len(columns), self.missing)

    def known(self) -> bool:
        return True

    def finite(self) -> bool:
        return True

    def packed(self, n: int) -> Array:
        return np.zeros((self.width * (self.width + 1) // 2, n))

    def covariances(self, n: int) -> Array:
        return np.zeros((n, self.width, self.width))


@dataclass(frozen=True, eq=False)
class SharedNoise:
    """One noise covariance (m, m) for every row.

    It has no rows of its own: it fits any number of them, has no length, and `noise[rows]` is itself.
    """

    covariance: Array
    missing: Policy = "refuse"
    per_row = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.covariance).all():
            raise DataError(
                "a noise covariance shared by all rows must be finite; leave the column out or give every row its own"
            )
        _refuse_indefinite(self.covariance[None], None)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.covariance.shape

    @property
    def width(self) -> int:
        return len(self.covariance)

    def __getitem__(self, rows: Rows) -> SharedNoise:
        return self

    def of_columns(self, columns: list[int]) -> SharedNoise:
        return SharedNoise(self.covariance[np.ix_(columns, columns)], self.missing)

    def known(self) -> bool:
        return True

    def finite(self) -> bool:
        return True

    def packed(self, n: int) -> Array:
        lower = self.covariance[np.tril_indices(self.width)]
        return np.repeat(lower[:, None], n, axis=1)

    def covariances(self, n: int) -> Array:
        return np.broadcast_to(self.covariance, (n, self.width, self.width))


@dataclass(frozen=True, eq=False)
class DiagonalNoise:
    """A variance (n, m) for every value; infinite means that the value is missing."""

    variances: Array
    missing: Policy = "refuse"
    per_row = True

    def __post_init__(self) -> None:
        bad = np.asarray(self.variances < 0).any(axis=1)
        if bad.any():
            raise DataError(
                f"noise must not be negative; it is in {name_rows(np.asarray(bad))}: correct or blank these errors"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variances.shape

    @property
    def width(self) -> int:
        return self.variances.shape[1]

    def __len__(self) -> int:
        return len(self.variances)

    def __getitem__(self, rows: Rows) -> DiagonalNoise:
        return _unchecked(DiagonalNoise, self.variances[rows], self.missing)

    def of_columns(self, columns: list[int]) -> DiagonalNoise:
        return _unchecked(DiagonalNoise, self.variances[:, columns], self.missing)

    def known(self) -> Array:
        return ~np.isnan(self.variances)

    def finite(self) -> Array:
        return np.isfinite(self.variances)

    def packed(self, n: int) -> Array:
        out = np.zeros((self.width * (self.width + 1) // 2, n))
        for j in range(self.width):
            out[j * (j + 3) // 2] = self.variances[:, j]
        return _finite_or_zero(out)

    def covariances(self, n: int) -> Array:
        return np.where(self.finite(), self.variances, 0.0)[:, :, None] * np.eye(self.width)


@dataclass(frozen=True, eq=False)
class FullNoise:
    """A covariance (n, m, m) for every row; an infinite variance means that the value is missing."""

    matrices: Array
    missing: Policy = "refuse"
    per_row = True

    def __post_init__(self) -> None:
        for start in range(0, len(self.matrices), _ROWS):
            _refuse_indefinite(self.matrices[start : start + _ROWS], start)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.matrices.shape

    @property
    def width(self) -> int:
        return self.matrices.shape[1]

    def __len__(self) -> int:
        return len(self.matrices)

    def __getitem__(self, rows: Rows) -> FullNoise:
        return _unchecked(FullNoise, self.matrices[rows], self.missing)

    def of_columns(self, columns: list[int]) -> FullNoise:
        return _unchecked(FullNoise, self.matrices[:, columns][:, :, columns], self.missing)

    def known(self) -> Array:
        return ~np.isnan(_diagonal(self.matrices))

    def finite(self) -> Array:
        return np.isfinite(_diagonal(self.matrices))

    def packed(self, n: int) -> Array:
        out = np.empty((self.width * (self.width + 1) // 2, n))
        for t, (a, b) in enumerate(zip(*np.tril_indices(self.width), strict=True)):
            out[t] = self.matrices[:, a, b]
        return _finite_or_zero(out)

    def covariances(self, n: int) -> Array:
        seen = self.finite()
        return np.where(seen[:, :, None] & seen[:, None, :], self.matrices, 0.0)


def from_errors(sigma: Any, *, missing: Policy = "refuse") -> DiagonalNoise | SharedNoise:
    """Noise from standard deviations.

    Args:
        sigma: (n, m) one per value or (m,) one per column, in the units of x; infinite = the value is missing.
        missing: what an observed value without an error (NaN) is: "refuse" names the rows, "gap" sets the value aside.

    Raises:
        DataError: a negative error, or a shape that is neither.
    """
    sigma = _per_value(sigma, "errors", "errors are standard deviations and must not be negative; they are in")
    with np.errstate(over="ignore"):  # an error whose square is beyond all numbers says nothing: infinite = missing
        return from_variances(sigma * sigma, missing=missing)


def from_variances(variances: Any, *, missing: Policy = "refuse") -> DiagonalNoise | SharedNoise:
    """Noise from variances (n, m) or (m,), in squared units of x; see `from_errors`."""
    variances = _per_value(variances, "variances", "a variance must not be negative; it is in")
    _check_policy(missing)
    return SharedNoise(np.diag(variances), missing) if variances.ndim == 1 else DiagonalNoise(variances, missing)


def from_covariances(covariances: Any, *, missing: Policy = "refuse") -> FullNoise | SharedNoise:
    """Noise from covariances: (n, m, m) one per row or (m, m) one for all, in squared units of x; see `from_errors`."""
    covariances = as_numbers(covariances, "covariances").values.astype(float, copy=False)
    _check_policy(missing)
    if covariances.ndim in (2, 3) and covariances.shape[-1] == covariances.shape[-2]:
        return SharedNoise(covariances, missing) if covariances.ndim == 2 else FullNoise(covariances, missing)
    raise DataError(f"covariances must have shape (n, m, m) or (m, m); got {covariances.shape}")


def as_noise(noise: Any, n: int, m: int) -> Noise:
    """The noise object for x (n, m): None, a noise object, or an (n, m, m) array of covariances.

    Raises:
        DataError: a bare 2-D array (sigma or sigma squared?), or a shape that does not match x.
    """
    if noise is None:
        return NoNoise(m)
    if not isinstance(noise, NoNoise | SharedNoise | DiagonalNoise | FullNoise):
        array = np.asarray(noise)
        if array.ndim != 3:
            raise DataError(
                f"a bare noise array must hold covariances of shape (n, m, m) = {(n, m, m)}; got {array.shape}: "
                "write noise.from_errors(sigma), noise.from_variances(v) or noise.from_covariances(C)"
            )
        noise = from_covariances(array)
    if noise.width != m or (noise.per_row and len(noise) != n):
        raise DataError(f"noise must match x of shape {(n, m)}; got {_came(noise)}" + _one_column_hint(noise, n, m))
    return noise


def join_noise(parts: Sequence[Noise]) -> Noise:
    """The noise of several sets of rows, one after the other; all must be of one kind."""
    first = parts[0]
    if any(type(part) is not type(first) for part in parts):
        raise DataError("blocks of rows must all carry noise of one kind")
    if not isinstance(first, DiagonalNoise | FullNoise):
        return first
    name = _VALUES[type(first)]
    return _unchecked(type(first), np.concatenate([getattr(part, name) for part in parts]), first.missing)


_ROWS = 65_536
_VALUES: dict[type, str] = {DiagonalNoise: "variances", FullNoise: "matrices"}


def _unchecked(kind: type, values: Array, missing: Policy) -> Any:
    """Rows of a noise that has been checked as a whole."""
    noise: Any = object.__new__(kind)
    object.__setattr__(noise, _VALUES[kind], values)
    object.__setattr__(noise, "missing", missing)
    return noise


def _finite_or_zero(values: Array) -> Array:
    """Values with what is not finite set to zero, in place."""
    usable = np.isfinite(values)
    if not usable.all():
        values[~usable] = 0.0
    return values


def _per_value(values: Any, what: str, rule: str) -> Array:
    """Errors or variances (n, m) or (m,), none of them negative."""
    values = as_numbers(values, what).values.astype(float, copy=False)
    if values.ndim not in (1, 2):
        raise DataError(f"{what} must have shape (n, m) or (m,); got {values.shape}: write [{what}] for one column")
    bad = values < 0
    if bad.any():
        where = name_rows(bad.any(axis=1)) if bad.ndim == 2 else f"column {np.flatnonzero(bad)[0]}"
        raise DataError(f"{rule} {where}: correct or blank what is negative")
    return values


def _came(noise: Noise) -> str:
    if noise.per_row:
        return str(noise.shape)
    m = noise.width
    return f"noise shared by all rows, from errors of shape ({m},) or a covariance {(m, m)}"


def _one_column_hint(noise: Noise, n: int, m: int) -> str:
    one_per_row = m == 1 and not noise.per_row and noise.width == n
    return ": write sigma[:, None] for one error per row" if one_per_row else ""


def _check_policy(missing: str) -> None:
    if missing not in ("refuse", "gap"):
        raise DataError(f'missing must be "refuse" or "gap"; got {missing!r}')


def _diagonal(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _refuse_indefinite(matrices: Array, start: int | None) -> None:
    """Raise unless every covariance (n, m, m) is symmetric and positive semi-definite where it is finite.

    Args:
        start: number of the first row; None = one covariance for all rows.
    """
    seen = np.isfinite(_diagonal(matrices))
    below = (_diagonal(matrices) == -np.inf).any(axis=1)
    if below.any():
        raise DataError(f"noise variances must not be negative; they are in {name_rows(_shift(below, start))}")
    used = seen[:, :, None] & seen[:, None, :]
    matrices = np.where(used, matrices, 0.0)
    unknown = ~np.isfinite(matrices).all(axis=(1, 2))
    if unknown.any():
        raise DataError(
            f"noise covariances must be finite where both variances are; see {name_rows(_shift(unknown, start))}"
        )
    size = np.abs(_diagonal(matrices)).max(axis=1, initial=0.0)
    lopsided = np.abs(matrices - matrices.transpose(0, 2, 1)).max(axis=(1, 2), initial=0.0) > 1e-8 * size
    _refuse_covariances(lopsided, "symmetric", start)
    doubtful = np.flatnonzero(~_clearly_positive(matrices, seen))
    lowest = np.linalg.eigvalsh(matrices[doubtful])[:, 0] if len(doubtful) else np.empty(0)
    bad = np.zeros(len(matrices), dtype=bool)
    bad[doubtful] = lowest < -1e-8 * size[doubtful]
    _refuse_covariances(bad, "positive semi-definite", start)


def _refuse_covariances(bad: Array, rule: str, start: int | None) -> None:
    if bad.any() and start is None:
        raise DataError(
            f"a noise covariance shared by all rows must be {rule}; this one is not: check variances and correlations"
        )
    if bad.any():
        raise DataError(
            f"noise covariances must be {rule}; they are not in {name_rows(_shift(bad, start))}: "
            "check variances and correlations there"
        )


def _clearly_positive(matrices: Array, seen: Array) -> Array:
    """(n,) True where a Cholesky factorisation over the seen values has pivots well above rounding."""
    n, m = seen.shape
    factor = np.zeros((m, m, n))
    clear = np.ones(n, dtype=bool)
    for a in range(m):
        for b in range(a + 1):
            value = matrices[:, a, b] - (factor[a, :b] * factor[b, :b]).sum(axis=0)
            if a == b:
                clear &= (value > 1e-10 * matrices[:, a, a]) | ~seen[:, a]
                factor[a, a] = np.sqrt(np.where(value > 0, value, 1.0))
            else:
                factor[a, b] = value / factor[b, b]
    return clear


def _shift(bad: Array, start: int | None) -> Array:
    return np.concatenate([np.zeros(start or 0, dtype=bool), bad])
