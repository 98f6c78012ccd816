"""Rows as measured: values with gaps, noise, projection, weights and groups. Checked once, here, at the door."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from mixsci.engine.execution import DaskSource, is_dask
from mixsci.engine.kernels.layout import Rows
from mixsci.engine.noise import NoNoise, Policy, as_noise, from_covariances, from_errors, join_noise
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

Array = np.ndarray

#: Blocks hold about a sixteenth of the rows, within these bounds on rows and values: their size depends on the rows
#: alone, so that sums are bit-identical for any number of threads.
_BLOCKS, _FEWEST_ROWS, _MOST_ROWS, _MOST_VALUES = 16, 2048, 16_384, 1 << 18
#: Squares and products of a few such values stay finite.
LARGEST = np.float64(1e50)
#: A column whose values are all smaller has squares that vanish.
SMALLEST = np.float64(1e-100)


class Source(Protocol):
    """Anything that gives its rows block by block, the same blocks every time it is asked.

    One whose rows lie elsewhere may also have `map(function, workers)`, which does the work there (see `map_runs`).
    """

    def blocks(self) -> Iterator[Observations]:
        """Blocks of rows, each small enough to work on at once."""


@dataclass(frozen=True, eq=False, repr=False)
class Observations:
    """Noisy, partial, linear views of latent points: x_i = R_i v_i + e_i.

    Args:
        x: (n, m) values; NaN, masked or pd.NA = missing. Array, masked array or DataFrame (its names are kept).
        noise: None, an object of `mixsci.noise`, or (n, m, m) covariances; an infinite variance = missing.
        projection: (m, D) one R for all rows, (n, m, D) one per row, or None for the identity.
        row_weights: (n,) >= 0; weight 2 is the row twice, weight 0 the row absent.
        groups: (n,) labels of any hashable kind (wells, batches, fields).

    Attributes:
        groups: (n,) codes into group_labels, or None.
        names: column names of x, or None.
        set_aside: (m,) observed values set aside because their noise is unknown (`missing="gap"`).

    Raises:
        DataError: infinite values, an observed value without an error, covariances that are not positive semi-definite,
            shapes that do not match; the message names the first bad rows.

    Example:
        >>> import mixsci as mx
        >>> obs = mx.Observations([[1.0, 2.0], [float("nan"), 0.5]], noise=mx.noise.from_errors([0.1, 0.2]))
        >>> obs.n_rows, obs.n_dims
        (2, 2)
    """

    x: Any
    noise: Any = None
    projection: Any = None
    row_weights: Any = None
    groups: Any = None
    group_labels: tuple[Hashable, ...] | None = field(init=False, default=None)
    names: tuple[str, ...] | None = field(init=False, default=None)
    set_aside: Any = field(init=False, default=None)
    order: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        numbers = as_numbers(self.x, "x")
        x = numbers.values
        if x.ndim != 2 or not x.shape[1]:
            raise DataError(f"x must have shape (n rows, m columns); got {x.shape}" + _one_column_hint(x))
        n, m = x.shape
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731 (a frozen dataclass sets itself up)
        put("x", x)
        put("names", numbers.names)
        put("noise", as_noise(self.noise, n, m))
        put("projection", _projection(self.projection, n, m))
        put("row_weights", _row_weights(self.row_weights, n))
        if self.groups is not None:
            codes, labels = _group_codes(self.groups, n)
            put("groups", codes)
            put("group_labels", labels)
            put("order", np.argsort(codes, kind="stable"))
        put("set_aside", _check_values(self))

    def __repr__(self) -> str:
        noise = "" if isinstance(self.noise, NoNoise) else f", {type(self.noise).__name__}"
        return f"Observations({self.n_rows} rows x {self.width} columns{noise})"

    def __len__(self) -> int:
        return len(self.x)

    def __sizeof__(self) -> int:
        """Bytes of the arrays: by it Dask knows what it would cost to move or keep these rows."""
        arrays = (*vars(self).values(), *vars(self.noise).values())
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays if isinstance(array, Array))

    @property
    def n_rows(self) -> int:
        """Number of rows n."""
        return len(self.x)

    @property
    def width(self) -> int:
        """Number of columns m."""
        return int(self.x.shape[1])

    @property
    def n_dims(self) -> int:
        """Number of latent dimensions D."""
        return self.width if self.projection is None else int(self.projection.shape[-1])

    @property
    def has_noise(self) -> bool:
        """Whether rows carry measurement noise."""
        return not isinstance(self.noise, NoNoise)

    @property
    def each_weight(self) -> Array:
        """(n,) weights of the rows, 1 where none were given."""
        return np.ones(len(self)) if self.row_weights is None else np.asarray(self.row_weights, dtype=float)

    @property
    def seen_weight(self) -> Array:
        """(n,) the same, 0 of a row in which nothing is observed."""
        return np.where(self.seen().any(axis=1), self.each_weight, 0.0)

    def take(self, rows: slice | Array) -> Observations:
        """Some of the rows, in the order asked for; group codes and labels stay those of the whole."""
        part = object.__new__(Observations)
        groups = None if self.groups is None else self.groups[rows]
        per_row = self.projection is not None and self.projection.ndim == 3
        for name, value in {
            "x": self.x[rows],
            "noise": self.noise[rows],
            "projection": self.projection[rows] if per_row else self.projection,
            "row_weights": None if self.row_weights is None else self.row_weights[rows],
            "groups": groups,
            "group_labels": self.group_labels,
            "names": self.names,
            "set_aside": self.set_aside,
            "order": None if groups is None else np.argsort(groups, kind="stable"),
        }.items():
            object.__setattr__(part, name, value)
        if np.any(self.set_aside):
            unknown = ~np.isnan(part.x) & ~np.broadcast_to(part.noise.known(), part.x.shape)
            object.__setattr__(part, "set_aside", unknown.sum(axis=0))
        return part

    def of_columns(self, columns: list[int]) -> Observations:
        """Some of the columns of rows that see no projection, which are not checked again."""
        new = self._with("x", self.x[:, columns])
        names = None if self.names is None else tuple(self.names[j] for j in columns)
        new.__dict__.update(noise=self.noise.of_columns(columns), names=names, set_aside=self.set_aside[columns])
        return new

    def valued(self, x: Array) -> Observations:
        """The same rows with other values (n, m), which are not checked again."""
        return self._with("x", x)

    def weighted(self, row_weights: Array) -> Observations:
        """The same rows with other weights (n,), which are not checked again."""
        return self._with("row_weights", row_weights)

    def _with(self, name: str, value: Array) -> Observations:
        new = object.__new__(Observations)
        new.__dict__.update(self.__dict__, **{name: value})
        return new

    @property
    def block_rows(self) -> int:
        """Rows in a block."""
        most = max(min(_MOST_ROWS, _MOST_VALUES // self.width), 128)
        # Wide rows come with matrices to factorise for every block: they want many rows to share them.
        fewest = min(max(_FEWEST_ROWS, 100 * self.width), most)
        return int(np.clip(-(-self.n_rows // _BLOCKS), fewest, most))

    def row_blocks(self, size: int | None = None) -> Iterator[slice | Array]:
        """The rows of each block, `block_rows` or `size` of them: slices, or indices that sort the rows by group."""
        size = size or self.block_rows
        for start in range(0, self.n_rows, size):
            rows = slice(start, start + size)
            yield rows if self.order is None else self.order[rows]

    def blocks(self, size: int | None = None) -> Iterator[Observations]:
        """The rows in blocks of `block_rows` or `size` of them, sorted by group."""
        if self.n_rows <= (size or self.block_rows) and self.order is None:
            yield self
            return
        for rows in self.row_blocks(size):
            yield self.take(rows)

    def seen(self) -> Array:
        """(n, m) True where a value is observed and its noise finite."""
        return ~np.isnan(self.x) & self.noise.finite()

    def rows(self) -> Rows:
        """The block as kernels take it, without background and groups; a shared projection is left to the caller."""
        x = np.array(self.x.T, dtype=float, order="C")
        finite = self.noise.finite()
        if not np.all(finite):
            x[~finite.T] = np.nan
        missing = np.isnan(x)
        gappy = bool(missing.any())
        n, m = self.x.shape
        weights = self.each_weight
        return Rows(
            x=x,
            shared_noise=np.zeros((m, m)) if self.noise.per_row else self.noise.covariances(1)[0],
            noise=self.noise.packed(n) if self.noise.per_row else None,
            projection=_rows_last(self.projection, missing),
            weights=np.where(missing.all(axis=0), 0.0, weights) if gappy else weights,
            log_background=np.empty(0),
            groups=np.zeros(n, dtype=np.int64),
        )


@dataclass(frozen=True)
class BlockSource:
    """Rows that come from an iterator made anew for every pass."""

    make: Callable[[], Iterable[Any]]

    def blocks(self, size: int | None = None) -> Iterator[Observations]:
        for part in self.make():
            yield from as_observations(part).blocks(size)


@dataclass(frozen=True, eq=False)
class InBlocks:
    """Rows cut into blocks of another size than theirs."""

    rows: Observations | BlockSource
    size: int

    def blocks(self) -> Iterator[Observations]:
        return self.rows.blocks(self.size)


def in_blocks(source: Any, size: int | None) -> Any:
    """A source whose blocks have so many rows, where they can be cut anew; else as it is."""
    return source if size is None or not isinstance(source, Observations | BlockSource) else InBlocks(source, size)


def from_blocks(make: Callable[[], Iterable[Any]]) -> BlockSource:
    """A source of rows larger than memory.

    Args:
        make: called at the start of every pass; gives an iterator of `Observations` (or arrays), the same every time.
    """
    if not callable(make):
        raise DataError(
            f"from_blocks needs a function that gives the blocks anew for every pass; got {type(make).__name__}"
        )
    return BlockSource(make)


def from_dask(
    x: Any,
    noise: Any = None,
    projection: Any = None,
    row_weights: Any = None,
    groups: Any = None,
    *,
    errors: Any = None,
    missing: Policy = "refuse",
    convert: Callable[[Any], Observations] | None = None,
) -> DaskSource:
    """A source of rows that lie in Dask, as its partitions: chunks of rows, the number of which may be unknown.

    Rows never lie in one place all at once: see `DaskSource`. What differs by row is a dask array, data frame or series
    with the partitions of x.

    Args:
        x: dask array or data frame (n, m); NaN or NA = missing.
        noise: None, an object of `mixsci.noise` shared by all rows, or dask array (n, m, m) of covariances.
        projection: (m, D) array shared by all rows, or dask array (n, m, D).
        row_weights: dask array or series (n,) >= 0.
        groups: dask array or series (n,) of labels.
        errors: instead of `noise`, standard deviations: dask array or data frame (n, m).
        missing: what an observed value without an error is, "refuse" or "gap" (see `mixsci.noise.from_errors`).
        convert: instead of all these, a function that makes the value of a partition `Observations`. A worker runs it.
            x may then be any Dask collection, or a list of delayed objects.

    Raises:
        DataError: what is not in Dask, or not in the partitions of x. What is wrong with the rows themselves is said
            when a worker first sees them, with the number of the partition.

    Example:
        >>> import dask.array as da, mixsci as mx
        >>> x = da.random.default_rng(0).normal(2.0, 1.0, size=(10_000, 1), chunks=(1_000, 1))
        >>> source = mx.from_dask(x, noise=mx.noise.from_errors([0.5]))
        >>> mx.fit(mx.Model(1), source, rng=0).mixture.means.round(1)
        array([[2.]])
    """
    given = {"noise": noise, "projection": projection, "row_weights": row_weights, "groups": groups, "errors": errors}
    given = {name: value for name, value in given.items() if value is not None}
    if convert is not None:
        if given:
            raise DataError(f"convert makes Observations whole: leave {' and '.join(given)} to it")
        return DaskSource(x, convert)
    if noise is not None and errors is not None:
        raise DataError("rows have one noise: give noise or errors, not both")
    in_dask = {name: value for name, value in {"x": x, **given}.items() if is_dask(value)}
    shared = {name: value for name, value in given.items() if name not in in_dask}
    _check_columns(x, in_dask, shared)
    return DaskSource(in_dask, _FromColumns(shared.get("noise"), shared.get("projection"), missing))


@dataclass(frozen=True, eq=False)
class _FromColumns:
    """Observations of one partition, from the values of its columns by name and from what all rows share."""

    noise: Any
    projection: Any
    missing: Policy

    def __call__(self, part: Mapping[str, Any]) -> Observations:
        noise = self.noise
        if "errors" in part:
            noise = from_errors(part["errors"], missing=self.missing)
        elif "noise" in part:
            noise = from_covariances(part["noise"], missing=self.missing)
        return Observations(
            part["x"], noise, part.get("projection", self.projection), part.get("row_weights"), part.get("groups")
        )


_AXES = {
    "x": ("n", "m"), "noise": ("n", "m", "m"), "errors": ("n", "m"), "projection": ("n", "m", "D"),
    "row_weights": ("n",), "groups": ("n",),
}  # fmt: skip


def _check_columns(x: Any, in_dask: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Refuse columns of a Dask source that are in memory although they differ by row, or have the wrong axes."""
    if "x" not in in_dask:
        raise DataError(f"from_dask needs a dask array or data frame; got {type(x).__name__}: write Observations(x)")
    for name, rows in in_dask.items():
        axes = getattr(rows, "ndim", None)
        if not isinstance(axes, int) or axes != len(_AXES[name]):
            raise DataError(
                f"{name} in Dask must be an array or data frame with axes ({', '.join(_AXES[name])}); got "
                f"{type(rows).__name__}" + (f" with {axes}" if isinstance(axes, int) else "")
            )
    for name, value in shared.items():
        fits = (name == "noise" and getattr(value, "per_row", True) is False) or (
            name == "projection" and np.ndim(value) == 2
        )
        if not fits:
            raise DataError(f"{name} that differs by row must lie in Dask as x does; got {type(value).__name__}")


def effective_rows(row_weights: Any) -> float:
    """How many equal rows importance weights are worth, (sum w)^2 / sum w^2 (Kish 1965).

    Importance weights have no natural sum: scale them to this one, w * effective_rows(w) / sum(w), before they count as
    rows in BIC, tolerances and standard errors. Weights that mean "this row occurs w times" stay as they are.

    Example:
        >>> import mixsci as mx
        >>> mx.effective_rows([1.0, 1.0, 1.0, 0.0])
        3.0
    """
    values = as_numbers(row_weights, "row_weights").values
    if values.ndim != 1:
        raise DataError(f"row_weights must have shape (n,); got {values.shape}")
    weights = _row_weights(values, len(values))
    if weights is None or not weights.any():
        raise DataError("row_weights must not all be zero")
    return float(weights.sum() ** 2 / np.sum(weights**2))


def as_observations(data: Any) -> Observations:
    """Observations as they are; anything else is x, without noise.

    Raises:
        DataError: rows that are not in memory.
    """
    if isinstance(data, Observations):
        return data
    if is_dask(data):
        raise DataError(
            "rows in Dask must be handed over as from_dask(x), or for results row by row computed first; "
            f"got a dask {type(data).__name__}"
        )
    if callable(getattr(data, "blocks", None)):
        raise DataError(f"results row by row need rows in memory; got {type(data).__name__}: ask part by part")
    return Observations(data)


def as_source(data: Any) -> Any:
    """A source of rows as it is; anything else as `Observations`."""
    return data if not is_dask(data) and callable(getattr(data, "blocks", None)) else as_observations(data)


def join(parts: Sequence[Observations]) -> Observations:
    """The rows of several observations of one kind, one after the other; groups are matched by label."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    if any(part.width != first.width for part in parts):
        raise DataError(
            f"blocks of rows must have the same columns; got {sorted({part.width for part in parts})} of them"
        )
    per_row = first.projection is not None and first.projection.ndim == 3
    weights = [part.each_weight for part in parts]
    labels = [(part.group_labels or ())[code] for part in parts if part.groups is not None for code in part.groups]
    whole = Observations(
        np.concatenate([part.x for part in parts]),
        join_noise([part.noise for part in parts]),
        np.concatenate([part.projection for part in parts]) if per_row else first.projection,
        None if all(part.row_weights is None for part in parts) else np.concatenate(weights),
        labels or None,
    )
    object.__setattr__(whole, "names", first.names)
    return whole


def observe(latent: Array, like: Observations, rng: np.random.Generator) -> Observations:
    """New latent points (n, D) with the gaps, noise, projection, weights and groups of given rows."""
    n, m = like.x.shape
    if like.projection is None:
        clean = latent
    else:
        clean = np.einsum(
            "...md,nd->nm" if like.projection.ndim == 2 else "nmd,nd->nm", np.nan_to_num(like.projection), latent
        )
    values, vectors = np.linalg.eigh(like.noise.covariances(n))
    error = np.einsum("nab,nb->na", vectors, np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal((n, m)))
    new = like.take(slice(None))
    object.__setattr__(new, "x", np.where(like.seen(), clean + error, np.nan))
    return new


def _one_column_hint(x: Array) -> str:
    return ": write x[:, None] for one column" if x.ndim == 1 else ""


def _projection(projection: Any, n: int, m: int) -> Array | None:
    if projection is None:
        return None
    projection = as_numbers(projection, "projection").values.astype(float, copy=False)
    fits = projection.shape[:-1] in ((m,), (n, m)) and projection.ndim in (2, 3) and projection.shape[-1] > 0
    if not fits:
        raise DataError(
            f"projection must have shape (m, D) = ({m}, D) or (n, m, D) = ({n}, {m}, D); got {projection.shape}"
        )
    if projection.ndim == 2 and not np.isfinite(projection).all():
        raise DataError("a projection shared by all rows must be finite")
    return projection


def _row_weights(weights: Any, n: int) -> Array | None:
    if weights is None:
        return None
    weights = as_numbers(weights, "row_weights").values.astype(float)
    if weights.shape != (n,):
        raise DataError(f"row_weights must have shape (n,) = ({n},); got {weights.shape}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise DataError(f"row_weights must be finite and not negative; they are not in {name_rows(bad)}")
    return weights


def _group_codes(groups: Any, n: int) -> tuple[Array, tuple[Hashable, ...]]:
    """Codes (n,) and the labels they stand for, sorted where labels can be."""
    listed = isinstance(groups, Sequence) and not isinstance(groups, str)
    labels = groups if listed else np.asarray(groups)
    shape = (len(groups),) if listed else labels.shape
    if shape != (n,):
        raise DataError(f"groups must have shape (n,) = ({n},); got {shape}")
    values = list(groups) if listed else labels.tolist()
    if not all(isinstance(value, Hashable) for value in values):
        raise DataError("labels of groups must be hashable: numbers, text, tuples of them")
    bad = np.array([_no_label(value) for value in values], dtype=bool)
    if bad.any():
        raise DataError(f"every row must have a group; {name_rows(bad)} has none: name one or leave these rows out")
    distinct = list(dict.fromkeys(values))
    with suppress(TypeError):
        distinct.sort()
    code = {label: i for i, label in enumerate(distinct)}
    return np.array([code[value] for value in values], dtype=np.int64), tuple(distinct)


def _no_label(value: Hashable) -> bool:
    """Whether it stands for no group: None, NaN, NaT or NA."""
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or value != value  # noqa: PLR0124 (NaN differs from itself)


def _rows_last(projection: Array | None, missing: Array) -> Array | None:
    if projection is None or projection.ndim == 2:
        return None
    rows_last = np.ascontiguousarray(projection.transpose(1, 2, 0))
    return np.where(missing[:, None, :], 0.0, rows_last) if missing.any() else rows_last


def _check_values(obs: Observations) -> Array:
    """Refuse infinite, far too large, far too small or noise-less values; count those set aside."""
    aside, largest = np.zeros(obs.width, dtype=np.int64), np.zeros(obs.width)
    for start in range(0, obs.n_rows, _MOST_ROWS):
        block = obs.take(slice(start, start + _MOST_ROWS))
        _check_finite(block, start)
        largest = np.fmax(largest, np.fmax.reduce(np.abs(block.x), axis=0))
        unknown = ~np.isnan(block.x) & ~np.broadcast_to(block.noise.known(), block.x.shape)
        aside += unknown.sum(axis=0)
        if block.projection is not None and block.projection.ndim == 3:
            _check_projection(block, start)
    tiny = (largest > 0) & (largest < SMALLEST)
    if tiny.any():
        raise DataError(
            f"x must reach {SMALLEST:.0e} in size; {_columns(obs, tiny, largest)}: choose units nearer to one"
        )
    if aside.any() and obs.noise.missing == "refuse":
        whole = ~np.isnan(obs.x) & ~obs.noise.known()
        raise DataError(
            f"every observed value needs an error; {int(aside.sum())} have none ({_columns(obs, aside, aside)}), in "
            f'{name_rows(whole.any(axis=1))}: give them, or pass missing="gap" to set these values aside'
        )
    return aside


def _columns(obs: Observations, chosen: Array, values: Array) -> str:
    names = obs.names or [f"column {j}" for j in range(obs.width)]
    return ", ".join(f"{names[j]}: {values[j]}" for j in np.flatnonzero(chosen))


def _check_finite(block: Observations, start: int) -> None:
    with np.errstate(invalid="ignore"):
        bad = np.abs(block.x) > LARGEST
    if bad.any():
        rows = np.concatenate([np.zeros(start, dtype=bool), bad.any(axis=1)])
        first = block.x[bad][0]
        raise DataError(
            f"x must be finite and at most {LARGEST:.0e} in size; got {first} in {name_rows(rows)}: "
            "write missing values as NaN and choose units nearer to one"
        )


def _check_projection(block: Observations, start: int) -> None:
    bad = (~np.isfinite(block.projection).all(axis=2) & block.seen()).any(axis=1)
    if bad.any():
        rows = np.concatenate([np.zeros(start, dtype=bool), bad])
        raise DataError(f"projection must be finite where x is observed; it is not in {name_rows(rows)}")
