"""A clustering as one HTML page that needs nothing beside it: to be looked at, printed and sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci import plot as paper, report as pages
from mixsci.cells import pl
from mixsci.cells.annotations import listed
from mixsci.cells.plot_canvas import colors_of
from mixsci.cells.results import load
from mixsci.cells.tabulated import choices_table, clusters_table, markers_table
from mixsci.cells.views import view

if TYPE_CHECKING:
    from anndata import AnnData

#: Markers of a cluster that are told.
_MARKERS = 5
_FAMILIES = {
    "full": "a covariance of its own for each cluster",
    "scaled": "one shape of covariance, a size for each cluster",
    "tied": "one covariance for all clusters",
    "diag": "variables unrelated within a cluster, spreads of its own for each",
    "tied_diag": "variables unrelated within a cluster, the same spreads in all",
    "spherical": "one spread in all directions, of its own for each cluster",
    "tied_spherical": "one spread in all directions and clusters",
    "factor_tied": "few factors common to all clusters, which spread alike in them",
    "factor_free": "few factors common to all clusters, each with a spread of its own",
    "factor_own": "factors of its own for each cluster",
}
_PANEL = (6.4, 4.2)


def draw(adata: AnnData, key: str = "mixture") -> dict[str, bytes]:
    """Name of a picture -> its PNG, for all that there is something to show of."""
    entry = adata.uns[key]
    params = entry["params"]
    axes = {"clusters": _view(adata, key)}
    if f"{key}_markers" in adata.uns:
        axes["markers"] = pl.markers(adata, key, key_markers=f"{key}_markers", ax=_blank())
        axes["pair"] = pl.ellipses(adata, *_pair(adata, key), key, ax=_blank())
    axes["proba"] = pl.proba(adata, key, ax=_blank())
    axes["entropy"] = pl.entropy(adata, key, ax=_blank())
    if len(np.unique(entry["choices"]["n_components"])) > 1:
        axes["choices"] = pl.selection(adata, key, ax=_blank())
    if "use_rep" not in params and "missingness" in adata.uns:
        groups = params.get("batch")
        axes["missingness"] = pl.missingness(adata, layer=params.get("layer"), groupby=groups, ax=_blank(7.6))["map"]
        if math.isfinite(adata.uns["missingness"]["rho"]):
            axes["intensity"] = pl.missingness_intensity(adata, ax=_blank())
    if f"{key}_held_out" in adata.uns:
        both = paper.blank(1, 2, panel=(4.6, 3.8))[0]
        axes["held_out"] = pl.calibration(adata, key, ax=both)["values"]
    return {name: paper.as_png(ax) for name, ax in axes.items()}


def as_html(
    adata: AnnData, key: str = "mixture", *, title: str = "", pictures: Mapping[str, bytes] | None = None
) -> str:
    """A page about a clustering with its pictures inside; every name in it is escaped.

    Args:
        adata: with the results of `tl.mixture`.
        key: their name.
        title: what the page is called; "" = how many clusters of how many cells.
        pictures: those of `draw`, where they are at hand.
    """
    entry, fit = adata.uns[key], load(adata, key)
    drawn = draw(adata, key) if pictures is None else pictures
    n = len(entry["weights"])
    return pages.render(
        _PAGE,
        title=title or f"{n} clusters of {adata.n_obs:,} cells",
        summary=f"{adata.n_obs:,} cells, {len(entry['names']):,} variables of {entry['input']}, {n} clusters",
        sentence=fit.outcome.value,
        converged=fit.converged,
        verdict=entry["verdict"],
        facts=_facts(adata, key),
        clusters=_clusters(adata, key),
        colors=colors_of(adata, key, n),
        batches=[str(name) for name in entry.get("batches", ())],
        warning=_warning(adata, key),
        choices=_choices(adata, key),
        held=_held_out(adata, key),
        numbers=_numbers(fit),
        key=key,
        pictures={name: pages.embedded(png) for name, png in drawn.items()},
    )


# --- pictures --------------------------------------------------------------------------------------------------------


def _blank(width: float = _PANEL[0]) -> Any:
    return paper.blank(panel=(width, _PANEL[1]))[0, 0]


def _view(adata: AnnData, key: str) -> Any:
    """Cells from where clusters lie farthest apart."""
    from anndata import AnnData

    rows, places = view(adata, key)
    columns = [key, f"{key}_prob", f"{key}_entropy"]
    shown = AnnData(obs=adata.obs[columns].iloc[rows].copy(), obsm={"X_direction": places})
    shown.uns = {name: adata.uns[name] for name in (key, f"{key}_colors")}
    return pl.embedding(shown, "direction", key=key, ax=_blank())


def _pair(adata: AnnData, key: str) -> tuple[str, str]:
    """The two variables that tell clusters apart best: of the greatest effects, one each."""
    found = markers_table(adata, f"{key}_markers").reset_index()
    used = found[found["variable"].isin([str(name) for name in adata.uns[key]["names"]])]
    order = used.assign(size=used["effects"].abs()).sort_values("size", ascending=False)
    best = list(dict.fromkeys(order["variable"]))
    return (best[0], best[1]) if len(best) > 1 else (best[0], best[0])


# --- words and tables ------------------------------------------------------------------------------------------------


def _facts(adata: AnnData, key: str) -> Iterator[tuple[str, str]]:
    """What was fitted to what."""
    entry = adata.uns[key]
    params = entry["params"]
    yield "cells", f"{adata.n_obs:,}"
    empty = adata.n_obs - int(entry["n_seen"])
    if empty:
        yield "without a value", f"{empty:,}, which belong to no cluster"
    yield "values", f"{len(entry['names']):,} variables of {entry['input']}: {listed(entry['names'], 6)}"
    if "use_rep" not in params and "missingness" in adata.var:
        share = float(adata.var.loc[list(entry["names"]), "missingness"].mean())
        yield (
            "missing",
            f"{100 * share:.1f} % of the values, in {int(entry['n_patterns']):,} patterns" if share else "none",
        )
    yield "zeros", "are missing values" if params.get("zeros") == "missing" else "are values"
    if "noise_layer" in params:
        yield "errors", f"of every value, from layer {params['noise_layer']}"
    if "batch" in params:
        yield (
            "batches",
            f"{params['batch']}: {listed(entry['batches'])}; each shifts variables and has shares of its own",
        )
    family = str(params["covariance"])
    q = int(params["n_factors"])
    yield "covariance", f"{family}: {_FAMILIES.get(family, family)}" + (f"; {q} factor{'s' * (q > 1)}" if q else "")


def _clusters(adata: AnnData, key: str) -> list[dict[str, Any]]:
    found, marks = clusters_table(adata, key).reset_index(), _marks(adata, key)
    shares = [str(name) for name in found if str(name).startswith("weight_")]
    return [
        {
            "name": row["cluster"], "weight": f"{100 * row['weight']:.1f} %", "n": f"{row['n_cells']:,.0f}",
            "shares": [f"{100 * row[share]:.1f} %" for share in shares],
            "prob": f"{row['mean_prob']:.3f}" if math.isfinite(row["mean_prob"]) else "",
            "markers": ", ".join(marks.get(str(row["cluster"]), ())),
        }
        for row in found.to_dict("records")
    ]  # fmt: skip


def _marks(adata: AnnData, key: str) -> dict[str, list[str]]:
    """The first markers of every cluster, with effects and their standard errors."""
    if f"{key}_markers" not in adata.uns:
        return {}
    first = markers_table(adata, f"{key}_markers").groupby(level="cluster", sort=False).head(_MARKERS).reset_index()
    found: dict[str, list[str]] = {}
    for row in first.to_dict("records"):
        told = f"{row['variable']} {pages.plus_minus(row['effects'], row['effects_se'])}"
        found.setdefault(str(row["cluster"]), []).append(told)
    return found


def _warning(adata: AnnData, key: str) -> str:
    """What is to be said of gaps that depend on intensity."""
    said = adata.uns.get("missingness", {})
    if "use_rep" in adata.uns[key]["params"] or not said.get("depends_on_intensity", False):
        return ""
    return (
        f"Values are missing where they are {'low' if said['rho'] < 0 else 'high'} (rank correlation "
        f"{said['rho']:.2f}): gaps are taken as missing at random, so means and filled gaps may be off."
    )


def _choices(adata: AnnData, key: str) -> list[dict[str, Any]]:
    table = choices_table(adata, key)
    return [
        {
            "k": row["n_components"], "family": row["covariance"], "q": row["n_factors"] or "", "n_free": row["n_free"],
            "log_likelihood": f"{row['log_likelihood']:,.2f}", "seen_bic": f"{row['seen_bic']:,.2f}",
            "bic": f"{row['bic']:,.2f}", "taken": bool(row["taken"]),
            "ended": str(row["outcome"]).lower().replace("_", " "),
        }
        for row in table.to_dict("records")
    ]  # fmt: skip


def _held_out(adata: AnnData, key: str) -> str:
    """How hidden values are foretold, in a sentence."""
    said = adata.uns.get(f"{key}_held_out")
    if said is None:
        return ""
    return (
        f"{len(said['value']):,} observed values were hidden and foretold from the others of their cells: R² = "
        f"{said['r2']:.2f} beside the mean of the variable; {100 * said['coverage_50']:.0f} % lie in their 50 % "
        f"interval, {100 * said['coverage_90']:.0f} % in their 90 % interval"
        + ("" if said["refit"] else ". The fit has seen these values, so both are a little too good")
    )


def _numbers(fit: Any) -> list[tuple[str, str]]:
    return [
        ("log-likelihood (nats)", f"{fit.log_likelihood:,.4f}"),
        ("free parameters", f"{fit.n_free:,}"),
        ("BIC, ICL (smaller is better)", f"{fit.bic:,.2f}, {fit.icl:,.2f}"),
        ("passes over the data", str(fit.n_iter)),
        ("estimated to remain (nats)", f"{fit.gap:.2g}"),
    ]


_PAGE = """{% extends "skeleton" %}
{% block style %}
  .facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; } .facts dt { color: #6a6a6a; }
  .facts dd { margin: 0; } figure { margin: .6rem 0 1.2rem; } figcaption { color: #6a6a6a; font-size: .85rem; }
  img { max-width: 40rem; width: 100%; } th { white-space: normal; } tr.best td { font-weight: 600; }
  th.words, td.words { white-space: normal; text-align: left; }
  @page { margin: 13mm; }
  @media print {
    body { font-size: 10pt; max-width: none; margin: 0; padding: 0; } .wide { overflow: visible; }
    table { font-size: 8pt; } th, td { padding: .1rem .35rem; } tr, figure { break-inside: avoid; }
    h2 { break-after: avoid; } img { max-height: 17cm; }
  }
{% endblock %}
{% macro figure(name, alt) %}
{% if name in pictures %}<figure><img alt="{{ alt }}" src="{{ pictures[name] }}">
<figcaption>{{ caller() }}</figcaption></figure>{% endif %}
{% endmacro %}
{% block body %}
<h1>{{ title }}</h1>
<p class="sub">{{ summary }}</p>
<p class="said{{ "" if converged else " bad" }}">{{ sentence }} {{ verdict }}.</p>
{% if warning %}<p class="said bad">{{ warning }}</p>{% endif %}

<h2>What was fitted</h2>
<dl class="facts">{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>

<h2>Clusters</h2>
<div class="wide"><table>
<thead><tr><th>cluster</th><th>share</th>{% for name in batches %}<th>in {{ name }}</th>{% endfor %}<th>cells</th>
<th>mean probability</th>{% if clusters[0].markers %}<th class="words">marked by</th>{% endif %}</tr></thead>
<tbody>{% for row in clusters %}<tr>
<td><span class="dot" style="background:{{ colors[loop.index0] }}"></span>{{ row.name }}</td><td>{{ row.weight }}</td>
{% for share in row.shares %}<td>{{ share }}</td>{% endfor %}<td>{{ row.n }}</td><td>{{ row.prob }}</td>
{% if row.markers %}<td class="words">{{ row.markers }}</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
<p>Cells count for the cluster they most probably belong to; shares are those of the mixture.</p>
{% if clusters[0].markers %}<p>Beside a marker stands its difference from all other cells in standard deviations, ±
standard error: the clusters were found in these values, so read it as an order.</p>{% endif %}
{% call figure("clusters", "cells in the two directions that separate clusters best") %}Cells in the two directions that
separate the clusters best, gaps filled with what is expected; a unit is the standard deviation within clusters.
{% endcall %}
{% call figure("markers", "means of the clusters in their markers") %}Markers of every cluster: colour is the mean, area
the share of cells that have a value.{% endcall %}
{% call figure("pair", "cells in the two strongest markers with ellipses") %}The two strongest markers; ellipses at one
and two standard deviations.{% endcall %}

<h2>How sure cells are</h2>
{% call figure("proba", "probabilities of clusters for cells") %}The probability of every cluster for every cell.
{% endcall %}
{% call figure("entropy", "share of cells above an entropy") %}Entropy is 0 where a cell belongs to one cluster and 1
where it could be of any.{% endcall %}

{% if "missingness" in pictures %}
<h2>Gaps</h2>
{% call figure("missingness", "map of missing values") %}Where values are missing.{% endcall %}
{% call figure("intensity", "share of gaps against the mean of variables") %}Gaps that depend on intensity are not
missing at random.{% endcall %}
{% endif %}

{% if held %}
<h2>Hidden values</h2>
<p>{{ held }}.</p>
{% call figure("held_out", "hidden values beside what was foretold") %}Left: what was foretold and what was measured.
Right: where values fall in their predictions, even where errors are honest.{% endcall %}
{% endif %}

{% if choices|length > 1 %}
<h2>What was compared</h2>
<div class="wide"><table>
<thead><tr><th>clusters</th><th>covariance</th><th>factors</th><th>log-likelihood</th><th>free parameters</th>
<th>BIC as seen</th><th>BIC</th><th>ended</th></tr></thead>
<tbody>{% for row in choices %}<tr{% if row.taken %} class="best"{% endif %}>
<td>{{ row.k }}{{ " (taken)" if row.taken }}</td><td>{{ row.family }}</td><td>{{ row.q }}</td>
<td>{{ row.log_likelihood }}</td><td>{{ row.n_free }}</td>
<td>{{ row.seen_bic }}</td><td>{{ row.bic }}</td><td>{{ row.ended }}</td></tr>
{% endfor %}</tbody></table></div>
<p>Smaller is better. Among covariances with the same number of clusters BIC as seen decides, in which every parameter
counts with the cells that speak of it; among numbers of clusters BIC.</p>
{% call figure("choices", "the criterion against the number of clusters") %}BIC over the number of clusters; in the grey
band fits cannot be told apart.{% endcall %}
{% endif %}

<h2>The fit</h2>
<dl class="facts">{% for name, value in numbers %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>

<h2>Go on from here</h2>
<pre>import anndata
from mixsci import cells

adata = anndata.read_h5ad("clustered.h5ad")  # the file with the results
adata.obs[["{{ key }}", "{{ key }}_prob", "{{ key }}_entropy"]]
fit = cells.load(adata, "{{ key }}")</pre>
{% endblock %}
"""
