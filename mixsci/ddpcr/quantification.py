"""From a plate to concentrations: one mixture for the wells of an assay, then every well's lambda with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.calls import calls, rain_fraction, reach_of_controls, threshold
from mixsci.ddpcr.choice import choose
from mixsci.ddpcr.concentrations import INTERVALS
from mixsci.ddpcr.controls import Limits, limits
from mixsci.ddpcr.groups import Group, groups, usable
from mixsci.ddpcr.landmarks import landmarks
from mixsci.ddpcr.laws import parse
from mixsci.ddpcr.plate import Plate
from mixsci.ddpcr.plate_model import AssayFit, fit_assay
from mixsci.ddpcr.qc import flags
from mixsci.ddpcr.quantified import (
    Progress,
    Quantification,
    QuantifiedAssay,
    QuantifiedWell,
    Settings,
    amplitudes,
)
from mixsci.ddpcr.results import merged_rows, table
from mixsci.ddpcr.shifts import settled
from mixsci.ddpcr.well_rates import WellRates, plate_rates
from mixsci.engine.mixture import Mixture
from mixsci.engine.tables import as_number
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


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
        law: "auto", "binary", "poisson", "multiplex:T", "linked", or one for each channel (`mixsci.ddpcr.laws.parse`).
        ntc: wells without template; None = those the samples name so.
        ci: "profile" (misclassification included), or of the called droplets "instrument", "exact" or "wilson".
        merge: "Sample" adds a row for the wells of every sample name, a mapping well -> group one for every group.
        targets: their names, by channel, in a plane by rising angle from Ch1; None = what the samples say.
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
        1  A02  Target          620.0
        2  A03  Target            0.0
    """
    plate = usable(plate)
    settings = _settings(plate, law, ci, level, volume_sd_nl, droplet_cv, reference, reference_copies)
    found = []
    for group in groups(plate, ntc, channels):
        request = parse(law, group.channels)
        found.append(_quantify_group(plate, group, request, targets, progress))
    _check_reference(reference, found)
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
    droplets = [amplitudes(plate, name, group.channels) for name in group.wells]
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
    numbers = {group.wells.index(name): amplitudes(plate, name, group.channels) for name in chosen}
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
    x = amplitudes(plate, name, group.channels)
    found = calls(fit, number, mixture, rates.weights, x, reach)
    accepted, called = found.accepted, found.called
    n_targets = called.shape[1]
    codes = called[accepted] @ (1 << np.arange(n_targets)[::-1])
    states = np.bincount(codes, minlength=2**n_targets)
    means = np.full((n_targets, 3), np.nan)
    for t, target in enumerate(fit.scheme.targets):
        if target.channel is not None:
            values = x[accepted, target.channel]
            for i, chosen in enumerate((called[accepted, t], ~called[accepted, t], np.ones(len(values), dtype=bool))):
                means[t, i] = values[chosen].mean() if chosen.any() else 0.0
    return QuantifiedWell(
        name, number, mixture, rates, states, int((~accepted).sum()), found.positive.sum(axis=0),
        found.seen.sum(axis=0), means, rain_fraction(fit, mixture, rates.weights),
        np.array([threshold(fit, mixture, rates.weights, t) for t in range(n_targets)]),
    )  # fmt: skip


def _limits(assay: QuantifiedAssay) -> dict[str, Limits]:
    controls = [assay.wells[name] for name in assay.group.controls]
    if not controls:
        return {}
    droplets = [well.accepted for well in controls]
    return {
        target: limits([int(well.positives[t]) for well in controls], droplets)
        for t, target in enumerate(assay.targets)
    }


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
