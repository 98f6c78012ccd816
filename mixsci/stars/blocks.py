"""Catalogues larger than memory: tables that come one after the other, each converted where it lies, in every pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.execution import DaskSource, Run
from mixsci.engine.observations import Observations, from_blocks
from mixsci.errors import DataError
from mixsci.stars.catalogue import as_catalogue, row_count
from mixsci.stars.frames import Orientation
from mixsci.stars.kinematics import Conversion, Kinematics
from mixsci.stars.readers import read_blocks

if TYPE_CHECKING:
    from astropy.table import Table

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class KinematicsBlocks:
    """Stars that are never in memory all at once; `from_gaia` makes it of tables, files or a Dask data frame.

    Fits are exact: every pass goes over all rows and adds up sums, and what a table is converted to is forgotten once
    they are taken (a Dask cluster keeps it on its workers).

    Attributes:
        conversion: what makes kinematics of a table.
        tables: a function that gives the tables anew, or partitions of Dask.
    """

    conversion: Conversion
    tables: Callable[[], Iterable[Any]] | DaskSource

    def __repr__(self) -> str:
        return f"KinematicsBlocks({self.space}: {', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the m measured columns."""
        return self.conversion.space.names(self.frame)

    @property
    def units(self) -> tuple[str, ...]:
        """Their units."""
        return self.conversion.space.units()

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Names of the D dimensions that are fitted."""
        return self.conversion.space.latent_names(self.frame)

    @property
    def latent_units(self) -> tuple[str, ...]:
        """Their units."""
        return self.conversion.space.latent_units()

    @property
    def space(self) -> str:
        """Name of the space."""
        return self.conversion.space.name

    @property
    def reflex(self) -> Array | None:
        """(3,) velocity of the Sun that was added, km/s, or None."""
        return self.conversion.settings.reflex

    @property
    def frame(self) -> Orientation:
        """The frame of the sky that motions refer to."""
        return self.conversion.settings.frame

    def first(self) -> Kinematics:
        """The stars of the first table.

        Raises:
            DataError: no table, or one that cannot be converted.
        """
        some = self
        if isinstance(self.tables, DaskSource):
            some = replace(self, tables=DaskSource(self.tables.delayed[:1], self.tables.convert))
        found = next(some.kinematics(), None)
        if found is None:
            raise DataError("there must be at least one table; there is none")
        return found

    @cached_property
    def observations(self) -> Any:
        """A source of the rows, as fits take it."""
        if isinstance(self.tables, DaskSource):
            return DaskSource(self.tables.parts, _Observed(self.conversion))
        convert = _Observed(self.conversion)
        return from_blocks(lambda: map(convert, self._tables()))

    def _tables(self) -> Iterator[Any]:
        assert not isinstance(self.tables, DaskSource)
        found = self.tables()
        if not isinstance(found, Iterable):
            raise DataError(f"the function must give tables, one after the other; got {type(found).__name__}")
        return iter(found)

    def kinematics(self) -> Iterator[Kinematics]:
        """The stars of each table, rows numbered through all of them."""
        if isinstance(self.tables, DaskSource):
            source = DaskSource(self.tables.parts, _Alone(self.conversion))
            found: Iterator[tuple[Kinematics, int]] = source.map(_only)
        else:
            found = (_converted(self.conversion, table) for table in self._tables())
        first = 0
        for stars, n in found:
            stars.dropped["row"] += first
            yield replace(stars, rows=stars.rows + first)
            first += n

    @cached_property
    def dropped(self) -> Table:
        """Everything that is left out, by row; made by a pass over all tables when first asked for."""
        from astropy.table import vstack

        return vstack([stars.dropped for stars in self.kinematics()])


def blocks_of(tables: Any, conversion: Conversion) -> KinematicsBlocks | None:
    """Blocks, where `tables` is many tables: a folder, a list or function of tables, a Dask data frame; else None.

    Raises:
        DataError: an iterator that can be gone through only once.
    """
    whole = replace(conversion, whole=True)
    if hasattr(tables, "to_delayed"):
        return KinematicsBlocks(whole, DaskSource(tables, _Observed(whole)))
    listed = isinstance(tables, list | tuple) and len(tables) > 0
    files = isinstance(tables, str | Path) and Path(tables).is_dir()
    if files or (listed and all(isinstance(part, str | Path) for part in tables)):
        columns = _needed(next(iter(read_blocks(tables, rows=1))), whole)
        return KinematicsBlocks(whole, lambda: read_blocks(tables, columns=columns))
    if listed:
        if all(type(part).__name__ == "Delayed" for part in tables):
            return KinematicsBlocks(whole, DaskSource(tables, _Observed(whole)))
        return KinematicsBlocks(whole, lambda: iter(tables))
    if callable(tables) and not hasattr(tables, "columns"):
        return KinematicsBlocks(whole, tables)
    if isinstance(tables, Iterator):
        raise DataError(
            "tables must be there for every pass; an iterator can be gone through once: give a function that makes it"
        )
    return None


@dataclass(frozen=True)
class _Observed:
    """The rows of a table, ready for a pass; nothing else of it is kept."""

    conversion: Conversion

    def __call__(self, table: Any) -> Observations:
        return _converted(self.conversion, table)[0].observations


@dataclass(frozen=True)
class _Alone:
    """The stars of one partition, as one block."""

    conversion: Conversion

    def __call__(self, table: Any) -> _One:
        return _One(_converted(self.conversion, table))


@dataclass(frozen=True)
class _One:
    value: Any

    def blocks(self) -> Iterator[Any]:
        return iter((self.value,))


def _only(run: Run) -> Any:
    return next(iter(run.blocks))


def _needed(table: Any, conversion: Conversion) -> list[str]:
    """The columns of a table that its conversion looks at."""
    zero_point = conversion.settings.zero_point
    named = [*(conversion.covariance or ()), *([zero_point] if isinstance(zero_point, str) else [])]
    return list(dict.fromkeys([*as_catalogue(table, conversion.columns).columns.values(), *named]))


def _converted(conversion: Conversion, table: Any) -> tuple[Kinematics, int]:
    """The stars of a table and the number of its rows."""
    stars = conversion(table) if row_count(table) else conversion.nothing()
    return stars, stars.n_table
