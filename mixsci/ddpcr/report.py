"""A quantified plate as one HTML page that needs nothing beside it: to be looked at, signed, printed and sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci import report as pages
from mixsci.ddpcr import dmiqe, plot
from mixsci.ddpcr.portrait import Portrait, flags_of, number, portrait, results_of, targets_of, wells_of

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import Quantification, QuantifiedAssay

Progress = Callable[[str, int, int], None]
Row = Mapping[Any, Any]

_MOST_NAMED = 12


def report(
    q: Quantification,
    path: str | Path,
    progress: Progress | None = None,
    *,
    portraits: Mapping[str, Portrait] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the page; returns its path.

    Args:
        q: a quantified plate.
        path: of the file; one that is there is replaced.
        progress: told (what, done, all) as wells are drawn.
        portraits: of the wells, where they are at hand.
        pictures: PNG of every well, where they are at hand.
    """
    if portraits is None or pictures is None:
        portraits, pictures = draw(q, progress)
    path = Path(path)
    path.write_text(as_html(q, portraits, pictures), encoding="utf-8", newline="\n")
    return path


def draw(q: Quantification, progress: Progress | None = None) -> tuple[dict[str, Portrait], dict[str, bytes]]:
    """Portrait and PNG of every well that was quantified."""
    portraits, pictures = {}, {}
    names = wells_of(q)
    for done, name in enumerate(names):
        if progress is not None:
            progress("drawing wells", done, len(names))
        portraits[name] = portrait(q, name)
        pictures[name] = plot.well_picture(portraits[name])
    return portraits, pictures


def as_html(q: Quantification, portraits: Mapping[str, Portrait], pictures: Mapping[str, bytes]) -> str:
    """The page; every name in it is escaped.

    Args:
        q: a quantified plate.
        portraits: of its wells. pictures: PNG of each.
    """
    channels = list(dict.fromkeys(name for assay in q.assays for name in assay.group.channels))
    compared = list(_compared(q))
    return pages.render(
        _PAGE,
        title=_title(q),
        summary=_summary(q),
        verdict=_verdict(q),
        plates=[(name, pages.embedded(plot.plate_picture(q, name))) for name in targets_of(q)],
        strips=[(name, pages.embedded(plot.droplets_picture(q, name, portraits))) for name in channels],
        flags=_flags(q),
        interval=f"{100 * q.settings.level:g} % interval",
        results=[_result(row) for row in _records(results_of(q))],
        copies=bool(q.results["CNV"].notna().any()),
        pairs=list(_pairs(q)),
        merged=[_merged(row) for row in _records(q.results[q.results["MergedWells"] != ""])],
        controls=list(_controls(q)),
        compared=compared,
        agreement=pages.embedded(plot.instrument_picture(q)) if compared else "",
        wells=[_well(q, name, pictures[name]) for name in wells_of(q)],
        unusable=[(name, well.problem) for name, well in q.plate.wells.items() if well.problem],
        checklist=[(row["Item"], row["Value"], row["Note"]) for row in _records(dmiqe.table(q))],
        facts=_facts(q),
        fits=[_fit(assay) for assay in q.assays],
        problems=_records(q.plate.problems.astype(str)),
    )


# --- what stands at the top, and at the end --------------------------------------------------------------------------


def _title(q: Quantification) -> str:
    folders = {well.source.parent.name for well in q.plate.wells.values() if well.source is not None}
    return f"Droplet digital PCR: {folders.pop()}" if len(folders) == 1 else "Droplet digital PCR"


def _summary(q: Quantification) -> str:
    wells = [well for assay in q.assays for well in assay.wells.values()]
    controls = sum(len(assay.group.controls) for assay in q.assays)
    targets = targets_of(q)
    counts = _count(len(wells), "well"), _count(controls, "control"), _count(len(targets), "target")
    return f"{', '.join(counts)} ({_few(targets)}), {sum(well.accepted for well in wells):,} droplets"


def _verdict(q: Quantification) -> dict[str, Any]:
    """One sentence about the flags, and whether there are any."""
    wells = list(dict.fromkeys(q.qc["Well"]))
    if not wells:
        return {"bad": False, "text": "No well is flagged."}
    return {"bad": True, "text": f"{_count(len(q.qc), 'flag')} in {_count(len(wells), 'well')}: {_few(wells)}."}


def _facts(q: Quantification) -> list[tuple[str, str]]:
    """What was asked for, and what was assumed."""
    laws = [(f"law of {assay.name}", assay.law) for assay in q.assays]
    asked = ("law asked for", dmiqe.law_in_words(q))
    return [("droplet volume", dmiqe.volume_in_words(q)), *laws, asked, ("intervals", dmiqe.interval_in_words(q))]


def _fit(assay: QuantifiedAssay) -> dict[str, Any]:
    fit = assay.fit.fit
    return {
        "name": assay.name, "law": assay.law, "wells": len(assay.wells), "components": fit.mixture.n_components,
        "free": fit.n_free, "passes": fit.n_iter, "outcome": fit.outcome.value, "converged": fit.converged,
        "bic": f"{fit.bic:,.1f}", "resolution": ", ".join(f"{value:.1f}" for value in assay.fit.resolution),
    }  # fmt: skip


# --- tables ----------------------------------------------------------------------------------------------------------


def _records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    return rows.to_dict("records")


def _flags(q: Quantification) -> list[dict[str, Any]]:
    """Flags with their reason and the wells that share it."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for row in _records(q.qc):
        shared.setdefault((row["Flag"], row["Target"], row["Reason"]), []).append(row["Well"])
    drawn = set(wells_of(q))
    return [
        {"flag": flag, "target": target, "reason": reason, "wells": [(name, name in drawn) for name in names]}
        for (flag, target, reason), names in shared.items()
    ]


def _result(row: Row) -> dict[str, Any]:
    return {
        "well": row["Well"], "sample": _text(row["Sample"]), "target": row["Target"],
        "value": number(row["Concentration"]), "interval": _interval(row, "PoissonConf"),
        "seen": number(row["SeenConcentration"]), "positives": _whole(row["Positives"]),
        "accepted": _whole(row["AcceptedDroplets"]), "copies": number(row["CNV"]),
        "copies_interval": _interval(row, "PoissonCNV"), "flags": _text(row["QC"]),
        "blank": {True: "yes", False: "no"}.get(row["AboveLoB"], "–"), "control": row["SampleType"] == "NTC",
    }  # fmt: skip


def _pairs(q: Quantification) -> Iterator[dict[str, str]]:
    """Ratio, abundance and linkage of the wells that have two targets."""
    rows = results_of(q)
    for row in _records(rows[rows["Ratio"].notna()].drop_duplicates("Well")):
        yield {
            "well": row["Well"], "sample": _text(row["Sample"]), "of": " : ".join(q.assay_of(row["Well"]).targets),
            "ratio": _digits(row["Ratio"]), "ratio_interval": _interval(row, "PoissonRatio", _digits),
            "share": _digits(row["FractionalAbundance"]),
            "share_interval": _interval(row, "PoissonFractionalAbundance", _digits),
            "linked": number(row["Linkage"]), "linked_interval": _interval(row, "Linkage"),
        }  # fmt: skip


def _merged(row: Row) -> dict[str, str]:
    return {
        "name": row["Well"], "sample": _text(row["Sample"]), "target": row["Target"],
        "wells": row["MergedWells"].replace(",", ", "), "value": number(row["Concentration"]),
        "interval": _interval(row, "PoissonConf"), "total": _interval(row, "TotalConf"),
    }  # fmt: skip


def _controls(q: Quantification) -> Iterator[dict[str, str]]:
    for assay in q.assays:
        names = assay.group.controls
        for t, target in enumerate(assay.targets):
            row = dict.fromkeys(("blank", "detected", "positives"), "–") | {
                "method": "",
                "wells": _few(names) or "none",
            }
            limit = assay.limits.get(target)
            if limit is not None:
                blank, detected = (f"{number(value)} copies/µL" for value in limit.per_ul(q.settings.volume_nl))
                row |= {"blank": f"{limit.lob:g} droplets, {blank}", "detected": f"{limit.lod:.1f} copies, {detected}"}
                counts = [str(int(assay.wells[name].positives[t])) for name in names]
                row |= {"positives": _few(counts), "method": limit.method}
            yield row | {"target": target}


def _compared(q: Quantification) -> Iterator[dict[str, str]]:
    """What the instrument found, beside what was found here."""
    for row in _records(results_of(q)):
        theirs, ours = float(row["ConcentrationInstrument"]), float(row["Concentration"])
        if np.isfinite([theirs, ours]).all():
            inside = row["PoissonConfMin"] <= theirs <= row["PoissonConfMax"]
            yield {
                "well": row["Well"], "target": row["Target"], "ours": number(ours), "theirs": number(theirs),
                "difference": f"{100 * (ours / theirs - 1):+.1f} %" if theirs > 0 else "–",
                "interval": _interval(row, "PoissonConf"), "inside": "yes" if inside else "no",
                "positives": _whole(row["Positives"]), "positives_theirs": _whole(row["PositivesInstrument"]),
            }  # fmt: skip


def _well(q: Quantification, name: str, picture: bytes) -> dict[str, Any]:
    rows = _records(results_of(q, well=name))
    return {
        "name": name, "sample": _text(rows[0]["Sample"]), "flags": ", ".join(flags_of(q, name)),
        "numbers": [(row["Target"], number(row["Concentration"])) for row in rows], "picture": pages.embedded(picture),
    }  # fmt: skip


# --- words and numbers -----------------------------------------------------------------------------------------------


def _interval(row: Row, name: str, form: Callable[[float], str] = number) -> str:
    """An interval in words, "–" where there is none."""
    ends = [float(row[f"{name}{end}"]) for end in ("Min", "Max")]
    return "–" if np.isnan(ends).any() else " – ".join(map(form, ends))


def _digits(value: float) -> str:
    """Three digits, as of a ratio."""
    return "–" if np.isnan(value) else "∞" if np.isinf(value) else f"{value:.3g}"


def _whole(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.0f}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")


_PAGE = """{% extends "skeleton" %}
{% block style %}
  body { max-width: 68rem; } h2 { border-top: 1px solid #e3e3e3; padding-top: 1.2rem; }
  nav a { margin-right: .9rem; } a { color: #0072B2; text-decoration: none; } a:hover { text-decoration: underline; }
  table { font-size: .86rem; } td.words, th.words { text-align: left; white-space: normal; }
  td.long { min-width: 16rem; } tr.control td { background: #f6f6f6; } td.value { font-weight: 600; }
  .flag, td.lab { color: #A84300; } .grey, figcaption { color: #6a6a6a; } figcaption { font-size: .85rem; }
  .facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; } .facts dt { color: #6a6a6a; }
  .facts dd { margin: 0; } figure { margin: .6rem 0 1.2rem; } .well { border-bottom: 1px solid #eeeeee; }
  .well summary { padding: .25rem 0; cursor: pointer; } .well b { margin-right: .6rem; }
  .well span { margin-right: .9rem; }
  @page { margin: 13mm; }
  @media print {
    body { font-size: 10pt; max-width: none; margin: 0; padding: 0; } nav { display: none; } a { color: inherit; }
    .wide { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: .1rem .35rem; }
    th { white-space: normal; } td.long { min-width: 0; } thead { display: table-header-group; }
    tr, figure, .well { break-inside: avoid; } h2, h3 { break-after: avoid; }
    .plate img { max-height: 11cm; } .well img { max-height: 11cm; }
    details::details-content { content-visibility: visible; block-size: auto; }
  }
{% endblock %}
{% macro link(name) %}<a href="#{{ name }}">{{ name }}</a>{% endmacro %}
{% macro head(names) %}
<thead><tr>{% for name in names %}
<th{% if name.startswith("=") %} class="words"{% endif %}>{{ name.removeprefix("=") }}</th>
{% endfor %}</tr></thead>
{% endmacro %}
{% block body %}
<h1>{{ title }}</h1>
<p class="sub">{{ summary }}</p>
<p class="said{{ " bad" if verdict.bad }}">{{ verdict.text }}</p>
<nav><a href="#plate">Plate</a>{% if flags %}<a href="#flags">Flags</a>{% endif %}<a href="#results">Results</a>
<a href="#controls">Controls</a>{% if compared %}<a href="#instrument">Instrument</a>{% endif %}
<a href="#wells">Wells</a><a href="#dmiqe">dMIQE</a><a href="#method">Method</a></nav>

<h2 id="plate">Plate</h2>
{% for name, picture in plates %}
<figure class="plate"><img alt="concentration of {{ name }} in every well" src="{{ picture }}"></figure>
{% endfor %}
{% for name, picture in strips %}
<figure><img alt="droplets of all wells in {{ name }}" src="{{ picture }}">
<figcaption>{{ name }}: the droplets of every well, grey without the target, in colour with it, black those of no
population. The bar is where positives begin.</figcaption></figure>
{% endfor %}

{% if flags %}
<h2 id="flags">Flags</h2>
<div class="wide"><table>
{{ head(["=flag", "=target", "=wells", "=reason"]) }}
<tbody>
{% for row in flags %}
<tr><td class="words flag">{{ row.flag }}</td><td class="words">{{ row.target or "all" }}</td><td class="words">
{% for name, drawn in row.wells %}{% if drawn %}{{ link(name) }}{% else %}{{ name }}{% endif %} {% endfor %}
</td><td class="words long">{{ row.reason }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

<h2 id="results">Results</h2>
<p>Copies per µL of reaction. <em>Seen</em>: without the rain that lies where droplets of the controls come.
All columns stand in results.csv.</p>
<div class="wide"><table>
{{ head(["well", "=sample", "=target", "copies/µL", interval, "seen"]
  + (["copies per genome", interval] if copies else []) + ["positive", "of droplets", "above blank", "=flags"]) }}
<tbody>
{% for row in results %}
<tr{% if row.control %} class="control"{% endif %}><td>{{ link(row.well) }}</td><td class="words">{{ row.sample }}</td>
<td class="words">{{ row.target }}</td><td class="value">{{ row.value }}</td><td>{{ row.interval }}</td>
<td>{{ row.seen }}</td>
{% if copies %}<td>{{ row.copies }}</td><td>{{ row.copies_interval }}</td>{% endif %}
<td>{{ row.positives }}</td><td>{{ row.accepted }}</td><td>{{ row.blank }}</td>
<td class="words flag">{{ row.flags }}</td></tr>
{% endfor %}
{% for name, problem in unusable %}
<tr><td>{{ name }}</td><td class="words flag" colspan="{{ 11 if copies else 9 }}">no result: {{ problem }}</td></tr>
{% endfor %}
</tbody></table></div>

{% if merged %}
<h3>Replicates taken together</h3>
<div class="wide"><table>
{{ head(["", "=sample", "=target", "copies/µL", interval, "with the scatter between wells", "=wells"]) }}
<tbody>
{% for row in merged %}
<tr><td>{{ row.name }}</td><td class="words">{{ row.sample }}</td><td class="words">{{ row.target }}</td>
<td class="value">{{ row.value }}</td><td>{{ row.interval }}</td><td>{{ row.total }}</td>
<td class="words">{{ row.wells }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

{% if pairs %}
<h3>Two targets in a well</h3>
<div class="wide"><table>
{{ head(["well", "=sample", "=of", "ratio", interval, "first of both, %", interval, "linked copies/µL", interval]) }}
<tbody>
{% for row in pairs %}
<tr><td>{{ link(row.well) }}</td><td class="words">{{ row.sample }}</td><td class="words">{{ row.of }}</td>
<td class="value">{{ row.ratio }}</td><td>{{ row.ratio_interval }}</td><td class="value">{{ row.share }}</td>
<td>{{ row.share_interval }}</td><td class="value">{{ row.linked }}</td><td>{{ row.linked_interval }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

<h2 id="controls">Controls</h2>
<p>What a well without template may show (limit of blank), and what a sample must hold to show more (limit of
detection).</p>
<div class="wide"><table>
{{ head(["=target", "=wells", "=positive droplets", "limit of blank", "limit of detection", "=how"]) }}
<tbody>
{% for row in controls %}
<tr><td>{{ row.target }}</td><td class="words">{{ row.wells }}</td><td class="words">{{ row.positives }}</td>
<td>{{ row.blank }}</td><td>{{ row.detected }}</td><td class="words long">{{ row.method }}</td></tr>
{% endfor %}
</tbody></table></div>

{% if compared %}
<h2 id="instrument">Beside the instrument</h2>
<figure><img alt="concentrations here over those of the instrument" src="{{ agreement }}">
<figcaption>On the line both agree.</figcaption></figure>
<div class="wide"><table>
{{ head(["well", "=target", "here", interval, "instrument", "difference", "in the interval", "positive here",
  "instrument"]) }}
<tbody>
{% for row in compared %}
<tr><td>{{ link(row.well) }}</td><td class="words">{{ row.target }}</td><td class="value">{{ row.ours }}</td>
<td>{{ row.interval }}</td><td>{{ row.theirs }}</td><td>{{ row.difference }}</td><td>{{ row.inside }}</td>
<td>{{ row.positives }}</td><td>{{ row.positives_theirs }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}

<h2 id="wells">Wells</h2>
<p>Open a well to see its droplets. Ellipses: two standard deviations of a population, dotted where it holds no droplet;
pale lines: the ways of rain; at the sides, or in one channel: droplets per bin on a logarithmic scale and the curves
fitted to them, that of all droplets dotted. Droplets at the same spot are drawn once, darker the more they are.</p>
{% for well in wells %}
<details class="well"><summary><b>{{ well.name }}</b><span>{{ well.sample }}</span>
{% for target, value in well.numbers %}<span class="grey">{{ target }} {{ value }}</span>{% endfor %}
{% if well.flags %}<span class="flag">{{ well.flags }}</span>{% endif %}</summary>
<figure id="{{ well.name }}"><img loading="lazy" alt="droplets of {{ well.name }}" src="{{ well.picture }}"></figure>
</details>
{% endfor %}

<h2 id="dmiqe">For the paper (dMIQE 2020)</h2>
<div class="wide"><table>
{{ head(["=item", "=value", "=note"]) }}
<tbody>
{% for item, value, note in checklist %}
<tr><td class="words">{{ item }}</td><td class="words long">{{ value }}</td>
<td class="words{{ " lab" if "filled by the lab" in note }}">{{ note }}</td></tr>
{% endfor %}
</tbody></table></div>

<h2 id="method">How it was done</h2>
<dl class="facts">{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
<div class="wide"><table>
{{ head(["=assay", "=law", "wells", "components", "free parameters", "passes", "BIC", "distance of populations",
  "=outcome"]) }}
<tbody>
{% for fit in fits %}
<tr><td class="words">{{ fit.name }}</td><td class="words">{{ fit.law }}</td><td>{{ fit.wells }}</td>
<td>{{ fit.components }}</td><td>{{ fit.free }}</td><td>{{ fit.passes }}</td><td>{{ fit.bic }}</td>
<td>{{ fit.resolution }}</td><td class="words{{ "" if fit.converged else " flag" }}">{{ fit.outcome }}</td></tr>
{% endfor %}
</tbody></table></div>
<p class="grey">Distance of populations: from without to with each target, over the sum of both standard deviations;
below 2 they overlap.</p>
{% if problems %}
<h3>What could not be read</h3>
<div class="wide"><table>
{{ head(["well", "=file", "=problem"]) }}
<tbody>
{% for row in problems %}
<tr><td>{{ row.Well }}</td><td class="words">{{ row.File }}</td><td class="words long">{{ row.Problem }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endblock %}
"""
