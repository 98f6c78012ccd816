"""From a plate to concentrations: one mixture for the wells of an assay, then every well's lambda with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.calls import Calls, calls, rain_fraction, reach_of_controls, threshold
from mixsci.ddpcr.choice import choose
from mixsci.ddpcr.concentrations import INTERVALS
from mixsci.ddpcr.controls import Limits, limits
from mixsci.ddpcr.groups import Group, groups, usable
from mixsci.ddpcr.landmarks import landmarks
from mixsci.ddpcr.laws import parse
from mixsci.ddpcr.plate import Plate, well_name
from mixsci.ddpcr.plate_model import AssayFit, fit_assay
from mixsci.ddpcr.shifts import settled
from mixsci.ddpcr.well_rates import PlateRates, WellRates, plate_rates
from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_number
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
        return _calls(assay, assay.wells[well_name(well)], self.plate)

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


def quantify(
    plate: Plate,
    law: Any = "auto",
    *,
    ntc: Sequence[str] | None = None,
    ci: str = "profile",
    merge: str | Mapping[str, str] | None = None,
    targets: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    reference: str | None = None,
    reference_copies: float = 2.0,
    level: float = 0.95,
    volume_sd_nl: float = 0.0,
    droplet_cv: float = 0.0,
    progress: Progress | None = None,
) -> Quantification:
    """Concentrations of every target in every well of a plate.

    The wells of an assay are one mixture: populations and rain are the plate's, lambda and the baseline are the well's,
    and lambda ties the weights of the populations. What the negatives look like is learned from the controls above all.

    Args:
        plate: what `read_plate` gives.
        law: "auto", "binary", "poisson", "poisson:M", "multiplex:T", "linked", or one for each channel, as
            {"Ch1": "binary", "Ch2": "multiplex:4"} or "Ch1=binary,Ch2=multiplex:4" (`mixsci.ddpcr.laws.parse`).
        ntc: wells without template; None = those the samples name so.
        ci: "profile" (misclassification included), or of the called droplets "instrument", "exact" or "wilson".
        merge: "Sample" adds a row for the wells of every sample name, a mapping well -> group one for every group.
        targets: names of the targets, in the order of the channels; in a plane of more targets than channels by rising
            angle from the first channel. None = what the samples say.
        channels: one or two channels to use; None = all.
        reference: target of known copies per genome: gives CNV.
        reference_copies: so many.
        level: of confidence.
        volume_sd_nl: standard deviation of the droplet volume: widens the intervals.
        droplet_cv: coefficient of variation of the volumes of droplets: corrects lambda.
        progress: told (what, done, all) on the way.

    Raises:
        DataError: no usable well, or settings that cannot be used, in one sentence.

    Example:
        >>> from mixsci import ddpcr
        >>> made = ddpcr.simulate_plate([0.1, 0.5], n_droplets=2000, controls=1, rng=1)
        >>> q = ddpcr.quantify(made.plate)
        >>> q.results[["Well", "Target", "Concentration"]].round(-1)
          Well  Target  Concentration
        0  A01  Target          120.0
        1  A02  Target          590.0
        2  A03  Target            0.0
    """
    plate = usable(plate)
    settings = _settings(plate, law, ci, level, volume_sd_nl, droplet_cv, reference, reference_copies)
    found = []
    for group in groups(plate, ntc, channels):
        request = parse(law, group.channels)
        found.append(_quantify_group(plate, group, request, targets, progress))
    _check_reference(reference, found)
    from mixsci.ddpcr.qc import flags
    from mixsci.ddpcr.results import merged_rows, table

    results = table(plate, tuple(found), settings)
    qc = flags(plate, tuple(found), results)
    results = merged_rows(results, tuple(found), settings, merge)
    return Quantification(plate, tuple(found), settings, _with_flags(results, qc), qc)


def _settings(
    plate: Plate, law: Any, ci: str, level: float, volume_sd_nl: float, droplet_cv: float, reference: str | None,
    reference_copies: float,
) -> Settings:  # fmt: skip
    known = ("profile", *INTERVALS)
    if ci not in known:
        raise DataError(f"ci must be one of {', '.join(known)}; got {ci!r}")
    numbers = {
        "level": as_number(level, "level"), "volume_sd_nl": as_number(volume_sd_nl, "volume_sd_nl"),
        "droplet_cv": as_number(droplet_cv, "droplet_cv"),
        "reference_copies": as_number(reference_copies, "reference_copies"),
    }  # fmt: skip
    if not 0 < numbers["level"] < 1:
        raise DataError(f"level must be between 0 and 1, such as 0.95; got {level}")
    for name in ("volume_sd_nl", "droplet_cv"):
        if numbers[name] < 0:
            raise DataError(f"{name} must not be negative; got {numbers[name]:g}")
    if numbers["reference_copies"] <= 0:
        raise DataError(f"reference_copies must be positive; got {numbers['reference_copies']:g}")
    return Settings(law, ci, volume_nl=plate.droplet_volume_nl, reference=reference, **numbers)


def _check_reference(reference: str | None, found: Sequence[QuantifiedAssay]) -> None:
    known = list(dict.fromkeys(target for assay in found for target in assay.targets))
    if reference is not None and reference not in known:
        raise DataError(f"reference must be one of the targets {', '.join(known)}; got {reference!r}")


def _quantify_group(
    plate: Plate, group: Group, request: Any, targets: Sequence[str] | None, progress: Progress | None
) -> QuantifiedAssay:
    droplets = [_amplitudes(plate, name, group.channels) for name in group.wells]
    controls = [group.wells.index(name) for name in group.controls]
    _tell(progress, "finding populations", 0, len(droplets))
    marks = landmarks(droplets, controls)
    placed = choose(request, marks, group.channels, droplets)
    _tell(progress, "fitting the plate", 0, len(droplets))
    fit = fit_assay(group.wells, droplets, marks, placed)
    fit = fit.named(_names(targets, group, fit))
    return _count(plate, group, fit, progress)


def _names(targets: Sequence[str] | None, group: Group, fit: AssayFit) -> list[str]:
    along = [target.channel for target in fit.scheme.targets]
    if targets is None:
        return group.names(along)
    if len(targets) != len(along) or len(set(targets)) != len(targets):
        raise DataError(f"targets must be {len(along)} different names; got {', '.join(map(str, targets))}")
    return [str(target) for target in targets]


def _count(plate: Plate, group: Group, fit: AssayFit, progress: Progress | None) -> QuantifiedAssay:
    """The rates of every well, and its droplets called."""
    mixtures = [settled(fit, number) for number in range(len(group.wells))]
    rates = plate_rates(fit, mixtures)
    chosen = group.controls or group.wells
    numbers = {group.wells.index(name): _amplitudes(plate, name, group.channels) for name in chosen}
    reach = reach_of_controls(fit, mixtures, rates.weights, numbers)
    wells = {}
    for number, name in enumerate(group.wells):
        _tell(progress, "counting droplets", number, len(group.wells))
        wells[name] = _well(plate, group, fit, number, mixtures[number], WellRates(rates, number), reach)
    found = QuantifiedAssay(group, fit, rates, wells, reach)
    return replace(found, limits=_limits(found))


def _well(
    plate: Plate, group: Group, fit: AssayFit, number: int, mixture: Mixture, rates: WellRates, reach: Array
) -> QuantifiedWell:
    name = group.wells[number]
    x = _amplitudes(plate, name, group.channels)
    found = calls(fit, number, mixture, rates.weights, x, reach)
    accepted, called = found.accepted, found.called
    n_targets = called.shape[1]
    codes = called[accepted] @ (1 << np.arange(n_targets)[::-1])
    states = np.bincount(codes, minlength=2**n_targets)
    amplitudes = np.full((n_targets, 3), np.nan)
    for t, target in enumerate(fit.scheme.targets):
        if target.channel is not None:
            values = x[accepted, target.channel]
            for i, chosen in enumerate((called[accepted, t], ~called[accepted, t], np.ones(len(values), dtype=bool))):
                amplitudes[t, i] = values[chosen].mean() if chosen.any() else 0.0
    return QuantifiedWell(
        name, number, mixture, rates, states, int((~accepted).sum()), found.positive.sum(axis=0),
        found.seen.sum(axis=0), amplitudes, rain_fraction(fit, mixture, rates.weights),
        np.array([threshold(fit, mixture, rates.weights, t) for t in range(n_targets)]),
    )  # fmt: skip


def _calls(assay: QuantifiedAssay, well: QuantifiedWell, plate: Plate) -> Calls:
    x = _amplitudes(plate, well.name, assay.group.channels)
    return calls(assay.fit, well.number, well.mixture, well.rates.weights, x, assay.reach)


def _limits(assay: QuantifiedAssay) -> dict[str, Limits]:
    controls = [assay.wells[name] for name in assay.group.controls]
    if not controls:
        return {}
    droplets = [well.accepted for well in controls]
    return {
        target: limits([int(well.positives[t]) for well in controls], droplets)
        for t, target in enumerate(assay.targets)
    }


def _amplitudes(plate: Plate, name: str, channels: tuple[str, ...]) -> Array:
    well = plate.wells[name]
    if well.channels == channels:
        return well.amplitudes
    return well.amplitudes[:, [well.channels.index(channel) for channel in channels]]


def _with_flags(results: pd.DataFrame, qc: pd.DataFrame) -> pd.DataFrame:
    """The results with the flags of each row in its column QC."""
    said: dict[tuple[str, str], list[str]] = {}
    for well, target, flag in zip(qc["Well"], qc["Target"], qc["Flag"], strict=True):
        said.setdefault((well, target), []).append(flag)
    flags = [
        "; ".join(dict.fromkeys(said.get((well, ""), []) + said.get((well, target), [])))
        for well, target in zip(results["Well"], results["Target"], strict=True)
    ]
    return results.assign(QC=flags)


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
