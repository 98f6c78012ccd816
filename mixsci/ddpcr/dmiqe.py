"""What a paper must say of the analysis of digital PCR, filled in as far as the droplets tell.

The items are those of data analysis, and of the partitions behind it, in the checklist of dMIQE 2020 (The dMIQE Group &
Huggett 2020, Clinical Chemistry 66:1012-1029), in words of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixsci.ddpcr.portrait import number, results_of

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import Quantification, QuantifiedAssay, QuantifiedWell

Array = np.ndarray
#: Item, value, note.
Line = tuple[str, str, str]

#: Note beside what only the lab knows.
BLANK = "to be filled by the lab"
_FEW = 8
#: Rates below this are none: the likelihood is not asked further down.
_NONE = 2e-9
_INTERVALS = {
    "profile": "profile likelihood of the plate model: doubt about single droplets included",
    "instrument": "of the called droplets, as QuantaSoft has it",
    "exact": "Clopper-Pearson, of the called droplets",
    "wilson": "Wilson, of the called droplets",
}


def table(q: Quantification) -> pd.DataFrame:
    """Columns Item, Value and Note: one row per item; where Value is empty the note says who fills it.

    Example:
        >>> from mixsci import ddpcr
        >>> from mixsci.ddpcr import dmiqe
        >>> q = ddpcr.quantify(ddpcr.simulate_plate([0.1, 0.5], n_droplets=2000, controls=1, rng=1).plate)
        >>> dmiqe.table(q).set_index("Item").loc["Partition volume", "Value"]
        '0.85 nL'
    """
    import pandas as pd

    lines = [line for section in SECTIONS for line in section(q)]
    return pd.DataFrame(lines, columns=["Item", "Value", "Note"])


def interval_in_words(q: Quantification) -> str:
    """How the intervals of concentrations were found."""
    return f"{100 * q.settings.level:g} %, {_INTERVALS[q.settings.ci]}"


def volume_in_words(q: Quantification) -> str:
    """The volume of a droplet, and what is said of its error and spread."""
    settings = q.settings
    error = f" ± {settings.volume_sd_nl:g}" if settings.volume_sd_nl else ""
    spread = f", CV {100 * settings.droplet_cv:g} % between droplets" if settings.droplet_cv else ""
    return f"{settings.volume_nl:g}{error} nL{spread}"


def law_in_words(q: Quantification) -> str:
    """The law that was asked for."""
    law = q.settings.law
    return ", ".join(f"{name}={value}" for name, value in law.items()) if isinstance(law, Mapping) else str(law)


def _experiment(_q: Quantification) -> Iterator[Line]:
    yield "Experimental design", "", BLANK
    yield "Instrument, cartridges, software of acquisition", "", BLANK
    yield "Volume of reaction, of template in it, dilution of the sample", "", BLANK


def _partitions(q: Quantification) -> Iterator[Line]:
    counts = np.array([well.accepted for well in _wells(q)], dtype=float)
    span = f"from {counts.min():,.0f} to {counts.max():,.0f} in {len(counts)} wells"
    volume = counts.mean() * q.settings.volume_nl / 1000
    yield "Partitions analysed per well", _moments(counts, "{:,.0f}"), span
    yield "Partition volume", volume_in_words(q), f"where it was taken from: {BLANK}"
    yield "Volume analysed per well", f"{volume:.3g} µL", "partitions times partition volume, on average"


def _occupancy(q: Quantification) -> Iterator[Line]:
    for assay in q.assays:
        controls = set(assay.group.controls)
        for t, target in enumerate(assay.targets):
            rates = np.array([well.rates.rates[t] for name, well in assay.wells.items() if name not in controls])
            rates = np.where(rates < _NONE, 0.0, rates)[np.isfinite(rates)]
            if len(rates):
                span = f"from {rates.min():.3g} to {rates.max():.3g} in {len(rates)} wells, controls left out"
                yield f"Copies per partition, {target}", _moments(rates, "{:.3g}"), span


def _program(q: Quantification) -> Iterator[Line]:
    from mixsci import __version__

    laws = "; ".join(f"{assay.name}: {assay.law}" for assay in q.assays)
    method = (
        "Gaussian mixture of all wells of an assay: populations and rain shared, one rate and one baseline per well, "
        f"weights tied to the rate by a law ({laws}); positive = more probable than not"
    )
    yield "Program of analysis", f"mixsci {__version__}", "open source, BSD-3-Clause"
    yield "Classification of partitions", method, f"law asked for: {law_in_words(q)}"
    for assay in q.assays:
        yield from _thresholds(assay)
        fit = assay.fit.fit
        size = f"{fit.mixture.n_components} components, {fit.n_free} free parameters, {fit.n_iter} passes"
        yield f"Fit of {assay.name}", size, fit.outcome.value


def _thresholds(assay: QuantifiedAssay) -> Iterator[Line]:
    for t, target in enumerate(assay.targets):
        levels = np.array([well.thresholds[t] for well in assay.wells.values()])
        levels = levels[np.isfinite(levels)]
        if len(levels):
            said = f"{np.median(levels):,.0f}, from {levels.min():,.0f} to {levels.max():,.0f}"
            yield f"Amplitude of first positives, {target}", said, "follows from the model, in every well its own"


def _statistics(q: Quantification) -> Iterator[Line]:
    said = f"copies from the share of empty droplets, Poisson; intervals {interval_in_words(q)}"
    yield "Statistical methods", said, ""
    reference = q.settings.reference
    against = "" if reference is None else f"against {reference}, {q.settings.reference_copies:g} copies per genome"
    yield "Normalisation", against, BLANK if reference is None else ""


def _controls(q: Quantification) -> Iterator[Line]:
    for assay in q.assays:
        names = assay.group.controls
        if not names:
            yield f"Controls without template, {assay.name}", "none on the plate", "no limit of blank or of detection"
            continue
        for t, target in enumerate(assay.targets):
            held = ", ".join(str(int(assay.wells[name].positives[t])) for name in names)
            wells = f"{len(names)}: {_listed(names)}"
            yield f"Controls without template, {target}", wells, f"positive droplets: {held}"
        for target, limit in assay.limits.items():
            blank, detected = (f"{number(value)} copies/µL" for value in limit.per_ul(q.settings.volume_nl))
            yield f"Limit of blank, {target}", f"{limit.lob:g} positive droplets, {blank}", limit.method
            yield f"Limit of detection, {target}", f"{limit.lod:.1f} copies per well, {detected}", "as above"
    yield "Positive controls", "", BLANK


def _replicates(q: Quantification) -> Iterator[Line]:
    rows = results_of(q)
    finite = np.isfinite(rows["Concentration"].astype(float))
    rows = rows[finite & (rows["SampleType"] != "NTC") & (rows["Sample"].astype(str) != "")]
    found = False
    for (assay, target), own in rows.groupby(["Assay", "Target"], sort=False):
        groups = [each.to_numpy(dtype=float) for _, each in own.groupby("Sample")["Concentration"] if len(each) > 1]
        cvs = np.array([100 * each.std(ddof=1) / each.mean() for each in groups if each.mean() > 0])
        if len(cvs):
            found = True
            name = f"{target}" if len(q.assays) == 1 else f"{target} ({assay})"
            span = f"CV of the concentration: from {cvs.min():.1f} to {cvs.max():.1f} % in {len(cvs)} samples"
            yield f"Repeatability, {name}", f"median CV {np.median(cvs):.1f} %", span
    if not found:
        yield "Repeatability", "", f"no sample has two wells: {BLANK}"
    yield "Reproducibility between runs", "", BLANK


def _exclusions(q: Quantification) -> Iterator[Line]:
    lost = {name: well.problem for name, well in q.plate.wells.items() if well.problem}
    reasons = "; ".join(f"{name}: {problem}" for name, problem in list(lost.items())[:_FEW])
    yield "Wells left out", _listed(list(lost)) if lost else "none", reasons
    outliers = np.array([well.outliers for well in _wells(q)])
    said = f"{outliers.sum():,} in all, at most {outliers.max():,} in a well"
    yield "Droplets left out", said, "of no population: far below the negatives, or beside all"


def _data(_q: Quantification) -> Iterator[Line]:
    yield "Examples of positives and controls", "pictures of all wells", "in the report and in wells/"
    yield "Data", "amplitude, call and probability of every droplet", f"droplets/; where they are deposited: {BLANK}"


#: The items, section by section.
SECTIONS: tuple[Callable[[Quantification], Iterator[Line]], ...] = (
    _experiment, _partitions, _occupancy, _program, _statistics, _controls, _replicates, _exclusions, _data,
)  # fmt: skip


def _wells(q: Quantification) -> list[QuantifiedWell]:
    return [well for assay in q.assays for well in assay.wells.values()]


def _moments(values: Array, form: str) -> str:
    """Mean and standard deviation."""
    spread = f" ± {form.format(values.std(ddof=1))} (standard deviation)" if len(values) > 1 else ""
    return form.format(values.mean()) + spread


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_FEW])
    return shown + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")
