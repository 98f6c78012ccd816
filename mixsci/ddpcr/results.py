"""The table of results: the columns of QuantaSoft 1.7.4 in their order, so that macros go on working, then ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.concentrations import Estimate, concentration, concentration_of
from mixsci.ddpcr.merge import Merged, merge_rates, merge_wells
from mixsci.ddpcr.plate import Plate, Well, well_name
from mixsci.ddpcr.ratios import copy_number, fractional_abundance, linkage, rate_correlation, ratio
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import QuantifiedAssay, QuantifiedWell, Settings

Array = np.ndarray

#: Columns of QuantaSoft 1.7.4.
QUANTASOFT = (
    *("Well", "ExptType", "Experiment", "Sample", "TargetType", "Target", "Status", "Concentration", "Supermix"),
    *(
        "CopiesPer20uLWell",
        "TotalConfMax",
        "TotalConfMin",
        "PoissonConfMax",
        "PoissonConfMin",
        "Positives",
        "Negatives",
    ),
    *("Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-", "Linkage", "AcceptedDroplets"),
    *("CNV", "TotalCNVMax", "TotalCNVMin", "PoissonCNVMax", "PoissonCNVMin", "ReferenceCopies", "UnknownCopies"),
    *("Ratio", "TotalRatioMax", "TotalRatioMin", "PoissonRatioMax", "PoissonRatioMin"),
    *("FractionalAbundance", "TotalFractionalAbundanceMax", "TotalFractionalAbundanceMin"),
    *("PoissonFractionalAbundanceMax", "PoissonFractionalAbundanceMin", "ReferenceAssayNumber", "TargetAssayNumber"),
    *("Threshold", "MeanAmplitudeofPositives", "MeanAmplitudeofNegatives", "MeanAmplitudeTotal"),
    *("ExperimentComments", "MergedWells", "TotalConfMax68", "TotalConfMin68", "PoissonConfMax68", "PoissonConfMin68"),
    *("TotalCNVMax68", "TotalCNVMin68", "PoissonCNVMax68", "PoissonCNVMin68"),
    *("TotalRatioMax68", "TotalRatioMin68", "PoissonRatioMax68", "PoissonRatioMin68"),
    *("TotalFractionalAbundanceMax68", "TotalFractionalAbundanceMin68"),
    *("PoissonFractionalAbundanceMax68", "PoissonFractionalAbundanceMin68"),
)
#: Columns of our own, after them.
OURS = (
    *("Assay", "Channel", "SampleType", "Law", "LawP", "Lambda", "LambdaSE", "ExpectedPositives", "SeenPositives"),
    *("SeenConcentration", "RainFraction", "Outliers", "LinkageMax", "LinkageMin", "LoB", "LoD", "AboveLoB"),
    *("DropletVolume_nL", "PositivesInstrument", "ConcentrationInstrument", "QC"),
)
_WELL_UL = 20.0
#: The level of the columns that end in 68, as the instrument has it.
_ONE_SIGMA = 0.68
#: Rates below this are none.
_NO_RATE = 2e-9
_PAIRS = ("Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-")


def table(plate: Plate, assays: Sequence[QuantifiedAssay], settings: Settings) -> pd.DataFrame:
    """One row per target and well, wells that could not be quantified among them."""
    rows = [row for assay in assays for row in _rows(plate, assay, settings)]
    rows += [_problem_row(well) for well in plate.wells.values() if well.problem]
    order = {name: i for i, name in enumerate(plate.wells)}
    rows.sort(key=lambda row: order[row["Well"]])
    return _frame(rows)


def _frame(rows: Sequence[Mapping[Any, Any]]) -> pd.DataFrame:
    """Rows as a table of all columns, in their order."""
    import pandas as pd

    return pd.DataFrame(rows).reindex(columns=[*QUANTASOFT, *OURS]).astype({"AboveLoB": "boolean"})


def _rows(plate: Plate, assay: QuantifiedAssay, settings: Settings) -> list[dict[str, Any]]:
    """The rows of an assay, well by well, from numbers found for all wells at once."""
    wide, narrow = (_estimates(assay, settings, level) for level in (settings.level, _ONE_SIGMA))
    errors = [assay.rates.standard_error(t) for t in range(len(assay.targets))]
    p_values, _ = assay.rates.freely
    pairs = _pairs(assay, wide, narrow, settings) if len(assay.targets) == 2 else {}
    copies = _copies(assay, wide, narrow, settings)
    rows = []
    for i, well in enumerate(assay.wells.values()):
        for t, target in enumerate(assay.targets):
            row = _identity(plate, assay, well.name, t) | _counts(assay, well, t)
            row |= _concentration(wide[t], narrow[t], i, well, t, settings)
            row |= {
                "Law": assay.law, "LawP": p_values[i], "Lambda": float(wide[t].value[i]) * settings.volume_nl / 1000.0,
                "LambdaSE": errors[t][i], "RainFraction": well.rain[t], "Outliers": well.outliers,
                "Threshold": well.thresholds[t], "Assay": assay.name,
            }  # fmt: skip
            row |= _limits(assay, well, t, settings) | _instrument(plate, well.name, row["Channel"], target)
            row |= {name: values[i] for name, values in (pairs | copies[t]).items()}
            rows.append(row)
    return rows


def _estimates(assay: QuantifiedAssay, settings: Settings, level: float) -> list[Estimate]:
    """For every target the concentrations (W,) of all wells with their intervals, of the chosen kind."""
    wells = list(assay.wells.values())
    volume = {"level": level, "volume_sd_nl": settings.volume_sd_nl}
    found = []
    for t in range(len(assay.targets)):
        if settings.ci == "profile":
            parts = concentration_of(*_profile(assay, t, settings, level), settings.volume_nl, **volume)
        else:
            positives, totals = [int(well.positives[t]) for well in wells], [well.accepted for well in wells]
            cv = settings.droplet_cv
            parts = concentration(positives, totals, settings.volume_nl, settings.ci, droplet_cv=cv, **volume)
        found.append(Estimate(*(np.asarray(part) for part in parts)))
    return found


def _profile(assay: QuantifiedAssay, t: int, settings: Settings, level: float) -> tuple[Array, Array, Array]:
    """Lambda (W,) of a target and the ends of its profile intervals, corrected for the spread of volumes."""
    low, high = assay.rates.interval(t, level)
    rate = np.where(assay.rates.rates[:, t] > _NO_RATE, assay.rates.rates[:, t], 0.0)
    high = np.where(np.isinf(rate), np.inf, high)
    value, lower, upper = (_corrected(part, settings) for part in (rate, np.minimum(low, rate), np.maximum(high, rate)))
    return value, lower, upper


def _corrected(rate: Array, settings: Settings) -> Array:
    """Lambda of droplets whose volumes differ (Gamma), from -ln of the share of empty ones."""
    c2 = settings.droplet_cv**2
    return np.asarray(np.expm1(rate * c2) / c2 if c2 > 0 else rate)


def _identity(plate: Plate, assay: QuantifiedAssay, well: str, t: int) -> dict[str, Any]:
    target = assay.fit.scheme.targets[t]
    channel = "" if target.channel is None else assay.group.channels[target.channel]
    rows = plate.samples[plate.samples["Well"] == well]
    own = rows[rows["Channel"] == channel]
    said = own if len(own) else rows
    kind = str(said["SampleType"].iloc[0]) if len(said) else ""
    kind = "NTC" if well in assay.group.controls else kind or "Unknown"
    return {
        "Well": well, "ExptType": "Absolute Quantification", "Experiment": "", "Supermix": "", "ExperimentComments": "",
        "Sample": str(said["Sample"].iloc[0]) if len(said) else "", "TargetType": f"{channel}{kind}",
        "Target": target.name, "Status": "OK", "MergedWells": "", "Channel": channel, "SampleType": kind,
    }  # fmt: skip


def _counts(assay: QuantifiedAssay, well: QuantifiedWell, t: int) -> dict[str, Any]:
    positives = int(well.positives[t])
    row: dict[str, Any] = {
        "Positives": positives, "Negatives": well.accepted - positives, "AcceptedDroplets": well.accepted,
        "ExpectedPositives": well.expected[t], "SeenPositives": well.seen[t],
    }  # fmt: skip
    if t < len(well.amplitudes):
        names = ("MeanAmplitudeofPositives", "MeanAmplitudeofNegatives", "MeanAmplitudeTotal")
        row |= dict(zip(names, well.amplitudes[t], strict=True))
    if len(assay.targets) == 2:
        none, second, first, both = well.states
        row |= dict(zip(_PAIRS, (both, first, second, none), strict=True))
    return row


def _concentration(
    wide: Estimate, narrow: Estimate, i: int, well: QuantifiedWell, t: int, settings: Settings
) -> dict[str, Any]:
    seen = concentration(
        min(float(well.seen[t]), well.accepted), well.accepted, settings.volume_nl, droplet_cv=settings.droplet_cv
    ).value
    return {
        "Concentration": float(wide.value[i]), "CopiesPer20uLWell": _WELL_UL * float(wide.value[i]),
        "PoissonConfMax": float(wide.high[i]), "PoissonConfMin": float(wide.low[i]),
        "PoissonConfMax68": float(narrow.high[i]), "PoissonConfMin68": float(narrow.low[i]),
        "SeenConcentration": float(seen), "DropletVolume_nL": settings.volume_nl,
    }  # fmt: skip


def _limits(assay: QuantifiedAssay, well: QuantifiedWell, t: int, settings: Settings) -> dict[str, Any]:
    found = assay.limits.get(assay.targets[t])
    if found is None:
        return {}
    blank, detected = found.per_ul(settings.volume_nl)
    return {"LoB": blank, "LoD": detected, "AboveLoB": bool(found.above(int(well.positives[t])))}


def _instrument(plate: Plate, well: str, channel: str, target: str) -> dict[str, Any]:
    """What the instrument itself called: from the droplets' own calls, and from the sheet."""
    row: dict[str, Any] = {}
    file = plate.wells[well]
    if file.calls is not None and channel in file.channels:
        row["PositivesInstrument"] = int((file.calls[:, file.channels.index(channel)] == 1).sum())
    sheet = plate.instrument
    said = sheet[(sheet["Well"] == well) & ((sheet["Channel"] == channel) if channel else (sheet["Target"] == target))]
    if len(said):
        row["ConcentrationInstrument"] = said["Concentration"].iloc[0]
        row.setdefault("PositivesInstrument", said["Positives"].iloc[0])
    return row


def _pairs(
    assay: QuantifiedAssay, wide: Sequence[Estimate], narrow: Sequence[Estimate], settings: Settings
) -> dict[str, Array]:
    """Ratio, abundance and linkage (W,) of two targets of the same droplets."""
    states = np.array([well.states for well in assay.wells.values()])
    columns = _pair(states, wide, settings, settings.level)
    lower = _pair(states, narrow, settings, _ONE_SIGMA)
    columns |= {f"{name}68": values for name, values in lower.items() if name.startswith("Poisson")}
    ones = np.ones(len(states), dtype=int)
    return columns | {"ReferenceAssayNumber": ones, "TargetAssayNumber": ones}


def _pair(states: Array, found: Sequence[Estimate], settings: Settings, level: float) -> dict[str, Array]:
    """Columns (W,) for droplets (W, 4) called for neither target, the second, the first and both."""
    none, second, first, both = states.T
    way: dict[str, Any] = {"method": "instrument"}
    if settings.ci != "instrument":
        way = {"method": "mover", "correlation": rate_correlation(both, first, second, none)}
    columns: dict[str, Array] = {}
    for name, verb in (("Ratio", ratio), ("FractionalAbundance", fractional_abundance)):
        value, low, high = verb(*found, level=level, **way)
        columns |= {name: value, f"Poisson{name}Max": high, f"Poisson{name}Min": low}
    linked = linkage(both, first, second, none, settings.volume_nl, level=level)
    return columns | {"Linkage": linked.value, "LinkageMax": linked.high, "LinkageMin": linked.low}


def _copies(
    assay: QuantifiedAssay, wide: Sequence[Estimate], narrow: Sequence[Estimate], settings: Settings
) -> list[dict[str, Array]]:
    """For every target its copies (W,) per genome beside the reference, where there is one."""
    if settings.reference not in assay.targets:
        return [{} for _ in assay.targets]
    base = assay.targets.index(str(settings.reference))
    method = "instrument" if settings.ci == "instrument" else "mover"
    columns: list[dict[str, Array]] = []
    for t in range(len(assay.targets)):
        columns.append({"ReferenceCopies": np.full(len(assay.wells), settings.reference_copies)})
        for suffix, each in (("", wide), ("68", narrow)) if t != base else ():
            found = copy_number(each[t], each[base], settings.reference_copies, method=method)
            columns[t] |= {"CNV": found.value} if not suffix else {}
            columns[t] |= {f"PoissonCNVMax{suffix}": found.high, f"PoissonCNVMin{suffix}": found.low}
    return columns


def _problem_row(well: Well) -> dict[str, Any]:
    return {
        "Well": well.name,
        "ExptType": "Absolute Quantification",
        "Target": "",
        "Status": "No Call",
        "MergedWells": "",
    }


def merged_rows(
    results: pd.DataFrame, assays: Sequence[QuantifiedAssay], settings: Settings, merge: str | Mapping[str, str] | None
) -> pd.DataFrame:
    """The results with rows M01, M02 ... for wells merged: by sample name, or as a mapping says."""
    if merge is None:
        return results
    label = _labels(results, merge)
    rows = []
    for assay in assays:
        groups: dict[str, list[str]] = {}
        for name in assay.wells:
            if label.get(name):
                groups.setdefault(label[name], []).append(name)
        for sample, names in groups.items():
            if len(names) > 1:
                rows.append((sample, names, assay))
    made = []
    for number, (sample, names, assay) in enumerate(rows, start=1):
        made += _merged_rows(results, f"M{number:02d}", sample, names, assay, settings)
    if not made:
        return results
    return _frame([*results.to_dict("records"), *made])


def _merged_rows(
    results: pd.DataFrame, number: str, sample: str, names: list[str], assay: QuantifiedAssay, settings: Settings
) -> list[dict[str, Any]]:
    """A row for every target of wells merged, with what the targets say together."""
    wells = [assay.wells[name] for name in names]
    found = [_merge(assay, wells, t, settings) for t in range(len(assay.targets))]
    rows = [
        _merged_row(results, number, sample, names, target, each, settings)
        for target, each in zip(assay.targets, found, strict=True)
    ]
    together: dict[str, Any] = {}
    if len(found) == 2:
        states = np.sum([well.states for well in wells], axis=0, keepdims=True)
        parts = [Estimate(*(np.atleast_1d(part) for part in each.concentration)) for each in found]
        together = {name: values[0] for name, values in _pair(states, parts, settings, settings.level).items()}
    return [row | together for row in rows]


def _merge(assay: QuantifiedAssay, wells: Sequence[QuantifiedWell], t: int, settings: Settings) -> Merged:
    """One target of several wells; wells with no droplet left without it are merged by their counts."""
    volume: dict[str, Any] = {"level": settings.level, "volume_sd_nl": settings.volume_sd_nl}
    droplets = [well.accepted for well in wells]
    numbers = [well.number for well in wells]
    rate, low, high = (part[numbers] for part in _profile(assay, t, settings, settings.level))
    if settings.ci == "profile" and np.isfinite(high).all():
        return merge_rates(rate, low, high, droplets, settings.volume_nl, **volume)
    ci = "exact" if settings.ci == "profile" else settings.ci
    scatter = "instrument" if ci == "instrument" else "moments"
    positives = [int(well.positives[t]) for well in wells]
    cv = settings.droplet_cv
    return merge_wells(positives, droplets, settings.volume_nl, ci, scatter=scatter, droplet_cv=cv, **volume)


def _labels(results: pd.DataFrame, merge: str | Mapping[str, str]) -> dict[str, str]:
    """Well -> the group it is merged into."""
    if isinstance(merge, Mapping):
        named = {well_name(well): str(group) for well, group in merge.items()}
        strangers = [well for well in named if well not in set(results["Well"])]
        if strangers:
            raise DataError(f"merge names wells {', '.join(strangers)}; the results have none such")
        return named
    if str(merge).lower() != "sample":
        raise DataError(f'merge must be None, "Sample" or a mapping well -> group; got {merge!r}')
    return dict(zip(results["Well"], results["Sample"].fillna("").astype(str), strict=True))


def _merged_row(
    results: pd.DataFrame, number: str, sample: str, names: list[str], target: str, found: Merged, settings: Settings
) -> dict[str, Any]:
    own = results[results["Well"].isin(names) & (results["Target"] == target)]
    first = own.iloc[0]
    kept = ("ExptType", "TargetType", "Target", "Assay", "Channel", "SampleType", "Law")
    sums = ("Positives", "Negatives", "AcceptedDroplets", "ExpectedPositives", "SeenPositives", "Outliers", *_PAIRS)
    value = float(found.concentration.value)
    return {
        **{name: first[name] for name in kept},
        **{name: own[name].sum() for name in sums if own[name].notna().any()},
        "Well": number, "Sample": sample, "Status": "OK", "MergedWells": ",".join(names), "Concentration": value,
        "CopiesPer20uLWell": _WELL_UL * value, "PoissonConfMax": float(found.concentration.high),
        "PoissonConfMin": float(found.concentration.low), "TotalConfMax": float(found.total.high),
        "TotalConfMin": float(found.total.low), "Lambda": value * settings.volume_nl / 1000.0,
        "DropletVolume_nL": settings.volume_nl,
    }  # fmt: skip
