"""From the columns of Gaia, and of catalogues like it, to kinematics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixsci.stars.blocks import KinematicsBlocks, blocks_of
from mixsci.stars.kinematics import Kinematics, conversion, tell
from mixsci.stars.readers import read


def from_gaia(
    table: Any,
    space: str = "pm",
    columns: Mapping[str, str] | None = None,
    frame: Any = None,
    zero_point: Any = None,
    min_parallax_snr: float | None = None,
    *,
    max_ruwe: float | None = None,
    covariance: Sequence[str] | None = None,
    reflex: Any = None,
) -> Kinematics | KinematicsBlocks:
    """The stars of a catalogue in a space, errors and correlations carried along.

    Args:
        table: astropy Table or QTable, DataFrame, structured array, mapping of arrays, or the path of a file. Larger
            than memory: a list of parquet or FITS files (of one, too) or a folder of them; a list of tables, or a
            function that gives tables one after the other; a Dask data frame. These give `KinematicsBlocks`, with which
            everything works alike.
        space: "pm", "pm+parallax", "pm+rv", "tangential" or "uvw"; see `mixsci.stars.spaces`.
        columns: role -> name of the column, where its name is not recognised.
        frame: of the motions: an astropy frame or the name of one; None = ICRS, for "uvw" Galactic.
        zero_point: of the parallaxes, mas, subtracted: a number, an array or a column (Lindegren et al. 2021).
        min_parallax_snr: stars with a smaller parallax over error are left out where parallaxes are divided by; 10.
        max_ruwe: stars with a larger RUWE are left out.
        covariance: names of the columns with the covariances (v_lon, v_lon), (v_lon, v_lat), (v_lat, v_lat), in
            (km/s)², for tables without errors of parallax and proper motion.
        reflex: True, or the Sun's velocity: what the Sun's motion adds is taken away; needs distances.

    Raises:
        DataError: columns that are missing, or no star that can be used.

    Warns:
        UserWarning: one sentence that counts what was left out (`dropped` names every row), one with `notes`; of many
            tables those of the first.

    Example:
        >>> from mixsci import stars
        >>> made = stars.simulate_stream(200, rng=1)
        >>> stars.from_gaia(made.table, "pm", frame=made.frame)
        Kinematics(200 stars in pm: pm_phi1, pm_phi2)
    """
    convert = conversion(
        space, columns, frame, zero_point, min_parallax_snr,
        max_ruwe=max_ruwe, covariance=covariance, reflex=reflex,
    )  # fmt: skip
    blocks = blocks_of(table, convert)
    if blocks is not None:
        first = blocks.first()
        if len(first):
            tell(first, where="in the first table: ")
        return blocks
    found = convert(read(table) if isinstance(table, str | Path) else table)
    tell(found)
    return found
