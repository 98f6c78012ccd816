"""A plate as read: the droplets of its wells, what the sheets say of them, and what could not be used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixsci.errors import DataError, name_rows

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

#: Columns of `Plate.samples`.
SAMPLE_COLUMNS = ("Well", "Channel", "Target", "Sample", "SampleType")
#: Columns of `Plate.instrument` that hold words; all others hold numbers.
INSTRUMENT_WORDS = (*SAMPLE_COLUMNS, "TargetType", "Status", "MergedWells")
#: Columns of `Plate.instrument`, concentrations in copies/µL.
INSTRUMENT_COLUMNS = (
    *("Well", "Channel", "Target", "Sample", "SampleType", "TargetType", "Status"),
    *("Concentration", "PoissonConfMin", "PoissonConfMax", "Positives", "Negatives", "AcceptedDroplets", "Threshold"),
    *("Linkage", "CNV", "ReferenceCopies", "Ratio", "PoissonRatioMin", "PoissonRatioMax"),
    *("FractionalAbundance", "PoissonFractionalAbundanceMin", "PoissonFractionalAbundanceMax"),
    *("Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-", "MergedWells"),
)
#: Columns of `Plate.problems`.
PROBLEM_COLUMNS = ("Well", "File", "Problem")

MOST_CHANNELS = 6
_WELL = re.compile(r"([A-P])(0?[1-9]|1[0-9]|2[0-4])", re.IGNORECASE)
# QuantaSoft's codes by the calls of Ch1 and Ch2.
_CLUSTERS = {(0, 0): 1, (1, 0): 2, (1, 1): 3, (0, 1): 4}


@dataclass(frozen=True, eq=False, repr=False)
class Well:
    """The droplets of one well.

    Attributes:
        name: row and column of the plate, "A01"; "a1" becomes it.
        amplitudes: (n, C) fluorescence, the rows in the file's order.
        channels: (C,) "Ch1", "Ch2" ...; columns without values are left out.
        calls: (n, C) the instrument's call of each droplet: 1 positive, 0 negative, -1 unclassified or gated; None
            where the file has none.
        source: the file.
        problem: why the well cannot be quantified; "" where it can.

    Example:
        >>> from mixsci.ddpcr.plate import Well
        >>> well = Well("a1", [[1200.0, 900.0], [5400.0, 950.0]], ("Ch1", "Ch2"))
        >>> well
        Well(A01, 2 droplets in Ch1, Ch2)
        >>> well.frame()
           Ch1 Amplitude  Ch2 Amplitude
        0         1200.0          900.0
        1         5400.0          950.0

    Raises:
        DataError: a name that is no well, shapes that do not match, or amplitudes that are not finite.
    """

    name: str
    amplitudes: Array
    channels: tuple[str, ...]
    calls: Array | None = None
    source: Path | None = None
    problem: str = ""

    def __post_init__(self) -> None:
        amplitudes = np.asarray(self.amplitudes, dtype=np.float64)
        calls = None if self.calls is None else np.asarray(self.calls, dtype=np.int8)
        if amplitudes.ndim != 2 or amplitudes.shape[1] != len(self.channels):
            raise DataError(f"amplitudes must have shape (n, {len(self.channels)}); got {amplitudes.shape}")
        bad = np.asarray(~np.isfinite(amplitudes).all(axis=1))
        if bad.any():
            raise DataError(f"amplitudes must be finite numbers; they are not in {name_rows(bad)}: leave these out")
        if calls is not None and calls.shape != amplitudes.shape:
            raise DataError(f"calls must have the shape of the amplitudes, {amplitudes.shape}; got {calls.shape}")
        object.__setattr__(self, "name", well_name(self.name))
        object.__setattr__(self, "amplitudes", amplitudes)
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "calls", calls)

    def __len__(self) -> int:
        return len(self.amplitudes)

    def __repr__(self) -> str:
        words = f"{self.name}, {len(self)} droplets in {', '.join(self.channels) or 'no channel'}"
        return f"Well({words}{f'; {self.problem}' if self.problem else ''})"

    def frame(self) -> pd.DataFrame:
        """One row per droplet: "Ch1 Amplitude", ...; with calls "Cluster", or "Ch1 Call", ... beyond Ch1 and Ch2."""
        import pandas as pd

        table = pd.DataFrame({f"{name} Amplitude": self.amplitudes[:, j] for j, name in enumerate(self.channels)})
        if self.calls is None:
            return table
        if set(self.channels) <= {"Ch1", "Ch2"}:
            return table.assign(Cluster=clusters(self.calls, self.channels))
        return table.assign(**{f"{name} Call": self.calls[:, j] for j, name in enumerate(self.channels)})


@dataclass(frozen=True, eq=False, repr=False)
class Plate:
    """The wells of a plate and what is known of them.

    Attributes:
        wells: by name, in the order of the plate: A01, A02 ... H12.
        samples: at least one row for every well and channel: Well, Channel, Target, Sample, SampleType; "" where a
            sheet does not say.
        instrument: the instrument's own results where a sheet gives them (`INSTRUMENT_COLUMNS`), else no row.
        problems: what could not be used, one sentence each: Well, File, Problem.
        droplet_volume_nl: volume of a droplet in nL.
    """

    wells: dict[str, Well]
    samples: pd.DataFrame
    instrument: pd.DataFrame
    problems: pd.DataFrame
    droplet_volume_nl: float = 0.85

    def __repr__(self) -> str:
        droplets = sum(len(well) for well in self.wells.values())
        unusable = sum(bool(well.problem) for well in self.wells.values())
        return f"Plate({len(self.wells)} wells, {droplets} droplets{f', {unusable} unusable' if unusable else ''})"

    def droplets(self, well: str) -> pd.DataFrame:
        """The droplets of a well, one row each, in the file's order (`Well.frame`).

        Raises:
            DataError: a well the plate does not hold.
        """
        name = well_name(well)
        if name not in self.wells:
            raise DataError(f"the plate has no well {name}; it has {', '.join(self.wells) or 'none'}")
        return self.wells[name].frame()


def well_name(text: str) -> str:
    """Row and column as on the plate, "A01", from "a1", "A1" or "A01"; rows A to P, columns 1 to 24.

    Example:
        >>> from mixsci.ddpcr.plate import well_name
        >>> well_name("h5"), well_name("P24")
        ('H05', 'P24')

    Raises:
        DataError: anything else.
    """
    found = _WELL.fullmatch(str(text).strip())
    if not found:
        raise DataError(f"a well must be a row A to P and a column 1 to 24, such as A01; got {text!r}")
    return f"{found[1].upper()}{int(found[2]):02d}"


def clusters(calls: Array, channels: tuple[str, ...]) -> Array:
    """(n,) QuantaSoft's codes of calls in Ch1 and Ch2: 1 = both negative, 2 = Ch1+, 3 = both, 4 = Ch2+, 0 = gated.

    Args:
        calls: (n, C) 1, 0, or -1 for unclassified; a channel that is absent counts as negative.
        channels: (C,) among "Ch1" and "Ch2".
    """
    both = np.zeros((len(calls), 2), dtype=np.int8)
    for j, name in enumerate(channels):
        both[:, ("Ch1", "Ch2").index(name)] = calls[:, j]
    codes = np.zeros(len(calls), dtype=np.int64)
    for (first, second), code in _CLUSTERS.items():
        codes[(both[:, 0] == first) & (both[:, 1] == second)] = code
    return codes


def calls_of(codes: Array, channels: tuple[str, ...]) -> Array:
    """(n, C) calls of QuantaSoft's codes (n,), the reverse of `clusters`: code 0 is -1 in every channel."""
    calls = np.full((len(codes), 2), -1, dtype=np.int8)
    for pair, code in _CLUSTERS.items():
        calls[codes == code] = pair
    return calls[:, [("Ch1", "Ch2").index(name) for name in channels]]
