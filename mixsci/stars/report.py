"""A fit to stars as one HTML page that needs nothing beside it: to be looked at, printed and sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixsci import plot as paper, report as pages
from mixsci.stars import plot
from mixsci.stars.kinematics import Kinematics, left_out, reasons
from mixsci.stars.memberships import purity_completeness
from mixsci.stars.portrait import THRESHOLD, plural, probabilities, verdict
from mixsci.stars.streams import StreamFit
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from astropy.table import QTable

#: Thresholds whose purity and completeness are tabulated.
_THRESHOLDS = (0.1, 0.3, THRESHOLD, 0.7, 0.9, 0.99)
#: What 2 ln(Bayes factor), of which the gain in BIC is the rough value, says (Kass & Raftery 1995, section 3.2).
_EVIDENCE = ((2.0, "hardly any"), (6.0, "positive"), (10.0, "strong"), (math.inf, "very strong"))
_SPACES = {
    "pm": "proper motions",
    "pm+parallax": "proper motions and parallax together",
    "pm+rv": "proper motions and radial velocity, which may be missing",
    "tangential": "velocities across the sky",
    "uvw": "space velocities, seen through their projection where the radial velocity is missing",
}


def draw(fit: VelocityFit) -> dict[str, bytes]:
    """Name of a picture -> its PNG, for all that this fit has something to show in."""
    d = fit.mixture.n_dims
    axes = {"corner": plot.plot_corner(fit, axes=paper.blank(d, d, panel=plot.CELL))[0, 0]}
    if fit.members:
        axes["membership"] = plot.plot_membership(fit, axes=paper.blank(1, 2, panel=plot.PANEL))[0]
        axes["purity"] = plot.plot_purity(fit, ax=paper.blank()[0, 0])
    if _has_radial_velocities(fit):
        calibration = fit.calibrate_radial_velocity()
        axes["calibration"] = plot.plot_calibration(calibration, ax=paper.blank()[0, 0])
        axes["radial_velocities"] = plot.plot_radial_velocities(calibration, ax=paper.blank()[0, 0])
    if fit.choices is not None:
        axes["choices"] = plot.plot_choices(fit, ax=paper.blank()[0, 0])
    return {name: paper.as_png(ax) for name, ax in axes.items()}


def as_html(fit: VelocityFit, *, title: str = "", pictures: Mapping[str, bytes] | None = None) -> str:
    """A page about a fit with its pictures inside; every name in it is escaped.

    Args:
        fit: what `deconvolve` or `fit_stream` gives.
        title: what the page is called; "" = what was fitted.
        pictures: those of `draw`, where they are at hand.
    """
    drawn = draw(fit) if pictures is None else pictures
    found, shapes = fit.to_table(), fit.ellipsoids()
    return pages.render(
        _PAGE,
        title=title or _title(fit),
        summary=_summary(fit),
        sentence=fit.outcome.value,
        converged=fit.converged,
        facts=_facts(fit),
        lost=left_out(reasons(fit.kinematics.dropped)),
        notes=getattr(fit.kinematics, "notes", ()),
        stream=_stream(fit),
        members=_members(fit),
        names=_labels(fit, found),
        colors=[look.color for look in plot.looks(fit)],
        means=_rows(found, ["weight", *fit.latent_names]),
        widths=_rows(found, [f"sigma_{name}" for name in fit.latent_names]),
        shapes=_rows(shapes, [name for name in shapes.colnames if f"{name}_error" in shapes.colnames]),
        choices=_choices(fit.choices),
        calibration=verdict(fit.calibrate_radial_velocity()) if "calibration" in drawn else "",
        numbers=_numbers(fit),
        pictures={name: pages.embedded(png) for name, png in drawn.items()},
    )


def evidence(bic_gain: float) -> str:
    """What a gain in BIC says, in words: "none", "positive", "very strong" ...

    Example:
        >>> from mixsci.stars.report import evidence
        >>> evidence(-3.0), evidence(25.0)
        ('none', 'very strong')
    """
    return next(words for limit, words in _EVIDENCE if bic_gain < limit) if bic_gain > 0 else "none"


def _has_radial_velocities(fit: VelocityFit) -> bool:
    """Whether stars in memory have radial velocities that predictions can be held against."""
    kin = fit.kinematics
    return isinstance(kin, Kinematics) and kin.radial is not None and bool(kin.observations.seen()[:, kin.radial].any())


# --- what was fitted -------------------------------------------------------------------------------------------------


def _title(fit: VelocityFit) -> str:
    if isinstance(fit, StreamFit):
        return "A stream before its field"
    return f"Stars: {plural(fit.mixture.n_components, 'component')} of {', '.join(fit.latent_names)}"


def _summary(fit: VelocityFit) -> str:
    return f"{plural(fit.n_rows, 'star')}, {fit.kinematics.space}, {fit.kinematics.frame.label}"


def _facts(fit: VelocityFit) -> Iterator[tuple[str, str]]:
    """What was fitted to what."""
    kin, n = fit.kinematics, fit.n_rows
    units = (f"{name} ({unit.replace(' ', '')})" for name, unit in _dimensions(fit))
    yield "space", f"{kin.space}: {_SPACES.get(kin.space, kin.space)}"
    yield "dimensions", ", ".join(units)
    yield "frame", kin.frame.label
    if isinstance(fit, StreamFit):
        field = "given" if fit.n_beside is None else f"learnt from {fit.n_beside:,} beside it and held"
        yield "stars", f"{n:,} on the track; the field was {field}"
    else:
        yield "stars", f"{n:,}"
    out = int((kin.dropped["what"] == "row").sum())
    yield "rows left out", f"{out:,}" if out else "none"
    if isinstance(kin, Kinematics):
        gaps = (~kin.observations.seen()).sum(axis=0).tolist()
        absent = [f"{gap:,} without {name}" for gap, name in zip(gaps, kin.names, strict=True) if gap]
        yield "gaps", ", ".join(absent) or "none"
    if fit.source is not None:
        yield "selection", "what the survey lost is allowed for"
    if fit.mixture.background is not None:
        yield "outliers", f"{100 * fit.mixture.background.weight:.2g} % of the stars, uniform over a box"


def _dimensions(fit: VelocityFit) -> Iterator[tuple[str, str]]:
    return zip(fit.latent_names, fit.kinematics.latent_units, strict=True)


# --- the stream ------------------------------------------------------------------------------------------------------


def _stream(fit: VelocityFit) -> str:
    """Whether there is a stream, in words."""
    if not isinstance(fit, StreamFit):
        return ""
    less = "smaller" if fit.bic_gain > 0 else "larger"
    return (
        f"Evidence for a stream: {evidence(fit.bic_gain)}. BIC is {abs(fit.bic_gain):,.1f} {less} with it than with "
        f"the field alone: it adds {fit.gain:,.1f} to the log-likelihood for {plural(fit.extra, 'free parameter')}."
    )


def _members(fit: VelocityFit) -> list[dict[str, str]]:
    """How many stars a threshold takes, and how good a choice they are."""
    if not fit.members:
        return []
    return [
        {
            "threshold": f"{row['threshold']:g}",
            "n": f"{row['n']:,}",
            "purity": f"{100 * row['purity']:.1f} %" if row["n"] else "",
            "completeness": f"{100 * row['completeness']:.1f} %",
        }
        for row in purity_completeness(probabilities(fit), thresholds=_THRESHOLDS)
    ]


# --- tables ----------------------------------------------------------------------------------------------------------


def _labels(fit: VelocityFit, table: QTable) -> list[str]:
    """What each component is called."""
    if "population" in table.colnames:
        return [f"{name} {k}" for k, name in enumerate(table["population"])]
    return [str(k) for k in range(fit.mixture.n_components)]


def _rows(table: QTable, names: Sequence[str]) -> dict[str, Any]:
    """Heads and cells of some columns, each value with its standard error."""
    head, columns = [], []
    for name in names:
        unit, percent = table[name].unit, 100.0 if name == "weight" else 1.0
        words = "%" if name == "weight" else str(unit).replace(" ", "")
        head.append(f"{name.replace('sigma_', 'σ ').replace('vertex_', 'vertex ')} ({words})")
        pairs = zip(_numbers_of(table[name]), _numbers_of(table[f"{name}_error"]), strict=True)
        columns.append([_cell(percent * value, percent * error) for value, error in pairs])
    return {"head": head, "body": list(zip(*columns, strict=True))}


def _numbers_of(column: Any) -> list[float]:
    return [float(value) for value in getattr(column, "value", column)]


def _cell(value: float, error: float) -> str:
    """A value and its standard error; alone where it was held, with a question mark where the stars do not tell it."""
    if error == 0:
        return f"{value:.4g} (held)"
    return pages.plus_minus(value, error) if math.isfinite(error) else f"{value:.4g} ± ?"


def _choices(table: QTable | None) -> list[dict[str, Any]]:
    """The numbers of components that were tried."""
    if table is None:
        return []
    held = "held_out" in table.colnames
    return [
        {
            "k": int(row["n_components"]), "log_likelihood": f"{row['log_likelihood']:,.2f}", "n_free": row["n_free"],
            "bic": f"{row['bic']:,.2f}", "aic": f"{row['aic']:,.2f}", "best": bool(row["best"]),
            "held_out": f"{row['held_out']:.5f}" if held else "",
        }
        for row in table
    ]  # fmt: skip


def _numbers(fit: VelocityFit) -> list[tuple[str, str]]:
    return [
        ("log-likelihood (nats)", f"{fit.log_likelihood:,.4f}"),
        ("free parameters", str(fit.n_free)),
        ("BIC, AIC (smaller is better)", f"{fit.bic:,.2f}, {fit.aic:,.2f}"),
        ("passes over the data", str(fit.n_iter)),
        ("estimated to remain (nats)", f"{fit.gap:.2g}"),
        ("standard errors from", _METHODS.get(fit.standard_errors.method, fit.standard_errors.method)),
    ]


_METHODS = {"observed": "the curvature of the likelihood", "scores": "the scores of the stars"}

_PAGE = """{% extends "skeleton" %}
{% block style %}
  .facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; } .facts dt { color: #6a6a6a; }
  .facts dd { margin: 0; } figure { margin: .6rem 0 1.2rem; } figcaption { color: #6a6a6a; font-size: .85rem; }
  .half img { max-width: 34rem; width: 100%; } th { white-space: normal; } tr.best td { font-weight: 600; }
  @page { margin: 13mm; }
  @media print {
    body { font-size: 10pt; max-width: none; margin: 0; padding: 0; } .wide { overflow: visible; }
    table { font-size: 8pt; } th, td { padding: .1rem .35rem; } tr, figure { break-inside: avoid; }
    h2 { break-after: avoid; } img { max-height: 17cm; }
  }
{% endblock %}
{% macro cells(part) %}
<div class="wide"><table>
<thead><tr><th>component</th>{% for name in part.head %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in part.body %}<tr>
<td><span class="dot" style="background:{{ colors[loop.index0] }}"></span>{{ names[loop.index0] }}</td>
{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% macro figure(name, alt) %}
<figure{% if name not in ("corner", "membership") %} class="half"{% endif %}>
<img alt="{{ alt }}" src="{{ pictures[name] }}">
{% if caller is defined %}<figcaption>{{ caller() }}</figcaption>{% endif %}</figure>
{% endmacro %}
{% block body %}
<h1>{{ title }}</h1>
<p class="sub">{{ summary }}</p>
<p class="said{{ "" if converged else " bad" }}">{{ sentence }}</p>

<h2>What was fitted</h2>
<dl class="facts">{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
{% if lost %}<p>Not used of the table; dropped.csv names every row:</p>
<ul>{% for line in lost %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% if notes %}<p>Taken for granted:</p><ul>{% for line in notes %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}

{% if members %}
<h2>Members</h2>
{% if stream %}<p>{{ stream }}</p>{% endif %}
{% call figure("membership", "stars coloured by their probability of membership") %}Stars on the sky and in the first
two dimensions; velocities are as measured, the ellipse is free of their errors.{% endcall %}
<p>What a threshold on the probability buys, expected from the probabilities themselves:</p>
<div class="wide"><table>
<thead><tr><th>probability from</th><th>stars</th><th>purity</th><th>completeness</th></tr></thead>
<tbody>{% for row in members %}<tr><td>{{ row.threshold }}</td><td>{{ row.n }}</td><td>{{ row.purity }}</td>
<td>{{ row.completeness }}</td></tr>{% endfor %}</tbody></table></div>
{{ figure("purity", "purity and completeness against the threshold") }}
{% endif %}

<h2>Components</h2>
<p>Weights and means, ± standard error; held: not fitted here; ?: the stars do not tell.</p>
{{ cells(means) }}
<p>Standard deviations behind the errors of measurement:</p>
{{ cells(widths) }}
{% if shapes.head %}<p>Principal axes, the longest first, and the angle from the first dimension named to the longer
axis:</p>
{{ cells(shapes) }}{% endif %}

<h2>Picture</h2>
{% call figure("corner", "all pairs of dimensions with components and stars") %}Ellipses at one and two standard
deviations. Below the diagonal lie the deconvolved stars, above it, where they can be drawn, the stars as measured. On
the diagonal: the deconvolved density, and in grey what was measured, which errors widen.{% endcall %}

{% if calibration %}
<h2>Radial velocities</h2>
<p>Predicted from all else that is known of the stars that have one, as if it had not been measured. {{ calibration }}.
</p>
{{ figure("calibration", "quantiles of the measured radial velocities in their predictions") }}
{{ figure("radial_velocities", "measured against predicted radial velocities") }}
{% endif %}

{% if choices %}
<h2>Numbers of components</h2>
<div class="wide"><table>
<thead><tr><th>components</th><th>log-likelihood</th><th>free parameters</th><th>BIC</th><th>AIC</th>
{% if choices[0].held_out %}<th>held out, per star</th>{% endif %}</tr></thead>
<tbody>{% for row in choices %}<tr{% if row.best %} class="best"{% endif %}>
<td>{{ row.k }}{{ " (chosen)" if row.best }}</td><td>{{ row.log_likelihood }}</td><td>{{ row.n_free }}</td>
<td>{{ row.bic }}</td><td>{{ row.aic }}</td>{% if row.held_out %}<td>{{ row.held_out }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
{{ figure("choices", "the criterion against the number of components") }}
{% endif %}

<h2>The fit</h2>
<dl class="facts">{% for name, value in numbers %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>

<h2>Go on from here</h2>
<pre>import mixsci as mx
from astropy.table import QTable

fit = mx.load("model.json")
components = QTable.read("components.ecsv")</pre>
{% endblock %}
"""
