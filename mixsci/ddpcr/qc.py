"""What a person should look at before signing: a flag and a reason, well by well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixsci.ddpcr.plate import Plate

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import QuantifiedAssay, QuantifiedWell

Array = np.ndarray
Flag = tuple[str, str, str, str]

#: Fewer accepted droplets than the instrument's own rule asks for.
FEW_DROPLETS = 10_000
_FEW_NEGATIVES = 100
_SATURATED = 0.05
_MANY_OUTLIERS = 0.02
_MUCH_RAIN = 0.10
_ENOUGH_POSITIVES = 50
_MISFIT = 1e-3
_FAR_BASELINE = 6.0
_RESOLUTION = 3.5
_DISAGREES = 0.10
_FEW_IN_CONTROL = 3


def flags(plate: Plate, assays: Sequence[QuantifiedAssay], results: pd.DataFrame) -> pd.DataFrame:
    """Columns Well, Target ("" = the whole well), Flag and Reason."""
    import pandas as pd

    found = [(name, "", "no call", well.problem) for name, well in plate.wells.items() if well.problem]
    for assay in assays:
        found += _of_assay(assay)
        for well in assay.wells.values():
            found += [*_of_well(assay, well), *_of_targets(assay, well)]
    found += _against_instrument(results)
    order = {name: i for i, name in enumerate(plate.wells)}
    found.sort(key=lambda flag: order.get(flag[0], -1))
    return pd.DataFrame(found, columns=["Well", "Target", "Flag", "Reason"])


def _of_assay(assay: QuantifiedAssay) -> Iterator[Flag]:
    """Flags of the plate model stand on every well of the assay."""
    if not assay.fit.fit.converged:
        for name in assay.wells:
            yield name, "", "not converged", assay.fit.fit.outcome.value
    for t in assay.fit.unseen:
        for name in assay.wells:
            yield (
                name, assay.targets[t], "no positives on the plate",
                "no population of positives beside one of negatives was found on the plate: add a control of each kind",
            )  # fmt: skip
    for t, resolution in enumerate(assay.fit.resolution):
        if resolution < _RESOLUTION and t not in assay.fit.unseen:
            for name in assay.wells:
                yield (
                    name, assay.targets[t], "populations overlap",
                    f"without and with it lie only {resolution:.1f} times the sum of their standard deviations apart",
                )  # fmt: skip


def _of_well(assay: QuantifiedAssay, well: QuantifiedWell) -> Iterator[Flag]:
    if well.accepted < FEW_DROPLETS:
        yield (
            well.name,
            "",
            "few droplets",
            f"{well.accepted} accepted droplets; the instrument asks for {FEW_DROPLETS}",
        )
    everything = well.accepted + well.outliers
    if well.outliers > _MANY_OUTLIERS * everything:
        yield (
            well.name, "", "outliers",
            f"{well.outliers} of {everything} droplets belong to no population (dust, torn or merged droplets)",
        )  # fmt: skip
    shift, usual = assay.fit.drift(well.number)
    if shift > _FAR_BASELINE:
        yield (
            well.name,
            "",
            "baseline",
            f"its baseline lies {shift:.0f} times the usual drift ({usual}) from the plate's",
        )
    p_value, freedom = well.rates.freely
    if p_value < _MISFIT / len(assay.wells):
        yield (
            well.name, "", "law",
            f"its populations do not follow the law {assay.law} (p = {p_value:.1g}, {freedom} degrees of freedom): "  # noqa: ISC004
            "linked targets, another law, or populations misplaced in this well",
        )  # fmt: skip


def _of_targets(assay: QuantifiedAssay, well: QuantifiedWell) -> Iterator[Flag]:
    for t, target in enumerate(assay.targets):
        positives = int(well.positives[t])
        negatives = well.accepted - positives
        if negatives < min(_FEW_NEGATIVES, _SATURATED * well.accepted):
            yield well.name, target, "saturated", f"only {negatives} droplets without the target: dilute the sample"
        if positives >= _ENOUGH_POSITIVES and well.rain[t] > _MUCH_RAIN:
            yield well.name, target, "rain", f"{100 * well.rain[t]:.0f} % of the positives are rain"
        if well.name in assay.group.controls and positives > _FEW_IN_CONTROL:
            yield (
                well.name,
                target,
                "control with positives",
                f"{positives} positive droplets in a well without template",
            )


def _against_instrument(results: pd.DataFrame) -> Iterator[Flag]:
    """Wells where the instrument's own concentration lies outside our interval and far from our value."""
    columns = ("Well", "Target", "ConcentrationInstrument", "Concentration", "PoissonConfMin", "PoissonConfMax")
    droplets = results["AcceptedDroplets"] * results["DropletVolume_nL"] / 1000.0
    for *row, volume_ul in zip(*(results[name] for name in columns), droplets, strict=True):
        well, target, theirs, ours, low, high = row
        if not np.isfinite([theirs, ours]).all() or low <= theirs <= high:
            continue
        if abs(theirs - ours) > max(_DISAGREES * ours, _FEW_IN_CONTROL / volume_ul):
            yield (
                str(well),
                str(target),
                "instrument differs",
                f"the instrument has {theirs:.4g}, here {ours:.4g} copies/µL",
            )
