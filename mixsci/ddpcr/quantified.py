"""What was found on a plate: concentrations, the wells and assays behind them, and doors to pictures and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.calls import Calls, calls
from mixsci.ddpcr.controls import Limits
from mixsci.ddpcr.groups import Group
from mixsci.ddpcr.plate import Plate, well_name
from mixsci.ddpcr.plate_model import AssayFit
from mixsci.ddpcr.well_rates import PlateRates, WellRates
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.engine.em.result import Fit

Array = np.ndarray
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Settings:
    """How a plate was quantified.

    Attributes:
        law: as asked for. ci: "profile", "instrument", "exact" ...; level: of confidence.
        volume_nl: of a droplet. volume_sd_nl: its standard deviation. droplet_cv: between droplets of a well.
        reference: target with known copies per genome. reference_copies: so many.
    """

    law: Any
    ci: str
    level: float
    volume_nl: float
    volume_sd_nl: float
    droplet_cv: float
    reference: str | None
    reference_copies: float


@dataclass(frozen=True, eq=False, repr=False)
class QuantifiedWell:
    """One well: where its states lie, what it says of its rates, and its droplets counted.

    Attributes:
        name: of the well. number: in its assay.
        mixture: the plate's, with the states where this well has them.
        rates: the likelihood of its lambdas.
        states: (2^T,) droplets called with and without each target, the last target's call changing fastest.
        outliers: droplets of no population.
        expected: (T,) expected droplets with each target. seen: (T,) those beyond the reach of the controls.
        amplitudes: (T, 3) mean amplitude of called positives, negatives and all, in the target's channel.
        rain: (T,) share of the positives on their way up. thresholds: (T,) amplitude that separates the calls.
    """

    name: str
    number: int
    mixture: Mixture
    rates: WellRates
    states: Array
    outliers: int
    expected: Array
    seen: Array
    amplitudes: Array
    rain: Array
    thresholds: Array

    @property
    def accepted(self) -> int:
        """Droplets of the assay."""
        return int(self.states.sum())

    @property
    def positives(self) -> Array:
        """(T,) droplets called positive for each target."""
        n_targets = len(self.expected)
        held = np.array([[code >> (n_targets - 1 - t) & 1 for code in range(2**n_targets)] for t in range(n_targets)])
        return np.asarray(held @ self.states)


@dataclass(frozen=True, eq=False, repr=False)
class QuantifiedAssay:
    """The wells of one assay: the plate model, and what follows for each well.

    Attributes:
        group: the wells, channels and controls. fit: the plate model. rates: the likelihood of all lambdas.
        wells: by name.
        reach: (T,) how far towards each target a control's droplets come, as a share of the way.
        limits: target -> limit of blank and of detection, where there are controls.
    """

    group: Group
    fit: AssayFit
    rates: PlateRates
    wells: dict[str, QuantifiedWell]
    reach: Array
    limits: dict[str, Limits] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its targets."""
        return ", ".join(self.targets)

    @property
    def targets(self) -> tuple[str, ...]:
        """(T,) names of the targets."""
        return tuple(target.name for target in self.fit.scheme.targets)

    @property
    def law(self) -> str:
        """The law in words."""
        return self.fit.scheme.describe()

    def __repr__(self) -> str:
        return f"QuantifiedAssay({self.name}; {self.law}, {len(self.wells)} wells)"


@dataclass(frozen=True, eq=False, repr=False)
class Quantification:
    """Concentrations of a plate and everything behind them.

    Attributes:
        plate: as read. assays: the plate models, one for each set of targets. settings: what was asked for.
        results: one row per well and target, the columns of QuantaSoft 1.7.4 in their order, then ours
            (docs/ddpcr.md says what each holds).
        qc: what a person should look at: Well, Target, Flag, Reason.
    """

    plate: Plate
    assays: tuple[QuantifiedAssay, ...]
    settings: Settings
    results: pd.DataFrame
    qc: pd.DataFrame

    def __repr__(self) -> str:
        wells = sum(len(assay.wells) for assay in self.assays)
        said = "; ".join(f"{assay.name}: {assay.law}" for assay in self.assays)
        return f"Quantification({wells} wells; {said}; {len(self.qc)} flags)"

    @property
    def plate_fit(self) -> Fit:
        """The engine's fit of the only assay.

        Raises:
            DataError: more than one assay: take `assays[i].fit.fit`.
        """
        if len(self.assays) > 1:
            raise DataError(f"this plate has {len(self.assays)} assays: take the fit of one, q.assays[0].fit.fit")
        return self.assays[0].fit.fit

    @property
    def lob(self) -> dict[str, Limits]:
        """Target -> limit of blank and of detection from its controls."""
        return {target: found for assay in self.assays for target, found in assay.limits.items()}

    def assay_of(self, well: str) -> QuantifiedAssay:
        """The assay that holds a well.

        Raises:
            DataError: a well that was not quantified, with the reason.
        """
        name = well_name(well)
        for assay in self.assays:
            if name in assay.wells:
                return assay
        known = self.plate.wells.get(name)
        reason = known.problem if known is not None else "the plate has no such well"
        raise DataError(f"well {name} was not quantified: {reason or 'it holds no droplets'}")

    def calls(self, well: str) -> Calls:
        """Probabilities and calls of the droplets of a well."""
        assay = self.assay_of(well)
        found = assay.wells[well_name(well)]
        x = amplitudes(self.plate, found.name, assay.group.channels)
        called = calls(assay.fit, found.number, found.mixture, found.rates.weights, x, assay.reach)
        return replace(called, alone=4) if assay.group.channels == ("Ch2",) else called

    def droplets(self, well: str) -> pd.DataFrame:
        """The droplets of a well in the file's order: amplitudes, Cluster, P(target) of each target, P(outlier).

        Raises:
            DataError: a well that was not quantified.
        """
        assay, found = self.assay_of(well), self.calls(well)
        table = self.plate.droplets(well)
        table = table[[f"{name} Amplitude" for name in self.plate.wells[well_name(well)].channels]].assign(
            Cluster=found.clusters()
        )
        for t, target in enumerate(assay.targets):
            table[f"P({target})"] = found.positive[:, t]
        return table.assign(**{"P(outlier)": found.outlier})

    def to_csv(self, path: str | Path) -> Path:
        """The results as a file; returns its path."""
        self.results.to_csv(path, index=False, lineterminator="\n")
        return Path(path)

    def write(self, folder: str | Path, *, pictures: bool = True, progress: Progress | None = None) -> list[Path]:
        """Everything a lab takes away: results, droplets, pictures, report and model; returns the files.

        Args:
            folder: made if it is not there.
            pictures: draw plate.png, one picture per well, and the report around them.
            progress: told (what, done, all) as files are written.
        """
        from mixsci.ddpcr.write import write

        return write(self, Path(folder), pictures=pictures, progress=progress)

    def plot_plate(self, ax: Any = None, **kwargs: Any) -> Any:
        """The plate as a heat map of concentrations (`mixsci.ddpcr.plot.plate`)."""
        from mixsci.ddpcr import plot

        return plot.plate(self, ax=ax, **kwargs)

    def plot_well(self, well: str, ax: Any = None, **kwargs: Any) -> Any:
        """The droplets of a well with what was fitted to them (`mixsci.ddpcr.plot.well`)."""
        from mixsci.ddpcr import plot

        return plot.well(self, well, ax=ax, **kwargs)

    def report(self, path: str | Path, *, progress: Progress | None = None) -> Path:
        """A self-contained HTML page; returns its path."""
        from mixsci.ddpcr.report import report

        return report(self, Path(path), progress=progress)


def amplitudes(plate: Plate, name: str, channels: tuple[str, ...]) -> Array:
    """(n, C) amplitudes of a well in these channels."""
    well = plate.wells[name]
    if well.channels == channels:
        return well.amplitudes
    return well.amplitudes[:, [well.channels.index(channel) for channel in channels]]
