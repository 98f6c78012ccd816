"""A fit as files: tables, pictures, plain numbers for other programs, and an HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci import plot
from mixsci.engine.em.result import Fit
from mixsci.engine.observations import Observations

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


def names_of(fit: Fit) -> list[str]:
    """(D,) names of the latent dimensions: those of the columns, or x0, x1 ..."""
    d = fit.mixture.n_dims
    return list(fit.names) if fit.names is not None and len(fit.names) == d else [f"x{j}" for j in range(d)]


def as_dict(fit: Fit) -> dict[str, Any]:
    """A fit as plain numbers and text, for JSON; standard deviations and covariances are free of the noise."""
    mixture, names = fit.mixture, names_of(fit)
    return {
        "columns": names,
        "n_rows": fit.n_rows,
        "n": fit.n,
        "set_aside": fit.set_aside,
        "outcome": fit.outcome.name,
        "converged": fit.converged,
        "n_iter": fit.n_iter,
        "log_likelihood": fit.log_likelihood,
        "n_free": fit.n_free,
        "bic": fit.bic,
        "aic": fit.aic,
        "icl": fit.icl,
        "components": [
            {
                "weight": float(mixture.pooled_weights[k]),
                "mean": dict(zip(names, mixture.means[k].tolist(), strict=True)),
                "sd": dict(zip(names, _sd(mixture.covariances)[k].tolist(), strict=True)),
                "covariance": mixture.covariances[k].tolist(),
            }
            for k in range(mixture.n_components)
        ],
    }


def rows_table(fit: Fit, obs: Observations) -> pd.DataFrame:
    """One line per row, in their order: most probable component, probabilities, log density, denoised values and sd."""
    import pandas as pd

    r, (means, covariances) = fit.mixture.responsibilities(obs), fit.mixture.posterior(obs)
    table: dict[str, Any] = {"component": fit.mixture.predict(obs)}
    table |= {f"p_{k}": r[:, k] for k in range(r.shape[1])}
    table["log_density"] = fit.mixture.log_density(obs)
    for j, name in enumerate(names_of(fit)):
        table |= {f"{name}_denoised": means[:, j], f"{name}_sd": _sd(covariances)[:, j]}
    return pd.DataFrame(table, index=pd.RangeIndex(len(obs), name="row"))


def write(fit: Fit, obs: Observations, folder: str | Path, *, title: str) -> list[Path]:
    """Write everything about a fit to a folder; returns the files.

    `model.json` (read by `mixsci.load`), `components.csv`, `rows.csv`, `picture.png`, `report.html`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in ("model.json", "components.csv", "rows.csv", "picture.png", "report.html")]
    picture = draw(fit, obs)
    fit.save(files[0])
    fit.summary().to_csv(files[1])
    rows_table(fit, obs).to_csv(files[2], float_format="%.10g")
    files[3].write_bytes(picture)
    files[4].write_text(as_html(fit, obs, title=title, picture=picture), encoding="utf-8")
    return files


def draw(fit: Fit, obs: Observations) -> bytes:
    """The mixture over its rows as a PNG: the density in one dimension, else all pairs of the first few."""
    points = obs if obs.projection is None else None
    if fit.mixture.n_dims == 1:
        ax = plot.plot_density(fit, ax=plot.blank()[0, 0], data=points)
    else:
        d = min(fit.mixture.n_dims, 5)
        ax = plot.plot_pairs(fit, axes=plot.blank(d, d, panel=(2.7, 2.4)), data=points)[0, 0]
    return plot.as_png(ax)


def as_html(fit: Fit, obs: Observations, *, title: str, picture: bytes | None = None) -> str:
    """A page about a fit with its pictures inside; every name in it is escaped.

    Args:
        fit: what was found.
        obs: the rows it was found in.
        title: what the page is called.
        picture: PNG of the mixture; None = drawn now.
    """
    history = plot.as_png(plot.plot_history(fit, ax=plot.blank()[0, 0]))
    return render(
        _PAGE,
        title=title,
        fit=fit,
        sentence=fit.outcome.value,
        components=[_component(fit, k) for k in range(fit.mixture.n_components)],
        names=names_of(fit),
        columns=_columns(obs),
        colors=plot.PALETTE,
        picture=embedded(draw(fit, obs) if picture is None else picture),
        history=embedded(history),
    )


def render(page: str, *, title: str, **values: Any) -> str:
    """An HTML page that needs nothing beside it; every value in it is escaped.

    Args:
        page: a Jinja template that extends "skeleton" and fills its blocks `body` and, with rules of its own, `style`.
        title: what the page is called.
        values: what else the template names.
    """
    from jinja2 import DictLoader, Environment, StrictUndefined

    from mixsci import __version__

    templates = DictLoader({"skeleton": _SKELETON, "page": page})
    environment = Environment(
        loader=templates, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page").render(title=title, version=__version__, **values)


def embedded(png: bytes) -> str:
    """A picture as the source of an <img>."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def plus_minus(mean: float, sd: float) -> str:
    """Mean and standard deviation to the digits that matter, "-2.68 ± 0.16"."""
    largest = max(abs(mean), sd)
    if sd > 0 and 1e-4 <= largest < 1e6 and sd > 1e-6 * largest:
        digits = max(0, 1 - int(np.floor(np.log10(sd))))
        return f"{mean:.{digits}f} ± {sd:.{digits}f}"
    return f"{mean:.6g} ± {sd:.2g}"


def _sd(covariances: Array) -> Array:
    """(n, D) standard deviations of covariances (n, D, D)."""
    return np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))


def _component(fit: Fit, k: int) -> dict[str, Any]:
    """What the page shows of a component: weight, a cell per dimension, correlations."""
    mixture = fit.mixture
    sd = _sd(mixture.covariances)[k]
    scale = np.where(sd > 0, sd, 1.0)
    return {
        "weight": f"{100 * mixture.pooled_weights[k]:.1f} %",
        "cells": [plus_minus(mean, s) for mean, s in zip(mixture.means[k], sd, strict=True)],
        "correlations": [[f"{v:.2f}" for v in row] for row in mixture.covariances[k] / np.outer(scale, scale)],
    }


def _columns(obs: Observations) -> list[dict[str, Any]]:
    """What the page says of each column as measured."""
    names, seen = obs.names or [f"x{j}" for j in range(obs.width)], obs.seen()
    variances = np.diagonal(obs.noise.covariances(len(obs)), axis1=1, axis2=2)
    return [
        {
            "name": name,
            "observed": int(seen[:, j].sum()),
            "missing": int((~seen[:, j]).sum()),
            "aside": int(obs.set_aside[j]),
            "error": f"{np.sqrt(np.median(variances[seen[:, j], j])):.3g}"
            if obs.has_noise and seen[:, j].any()
            else "none",
        }
        for j, name in enumerate(names)
    ]


_SKELETON = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #262626; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
  .sub { color: #6a6a6a; margin-top: 0; } img { max-width: 100%; height: auto; }
  .said { padding: .6rem .9rem; border-left: 4px solid #009E73; background: #f3f8f6; }
  .said.bad { border-color: #D55E00; background: #fbf3ee; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e3e3e3; white-space: nowrap; }
  th { font-weight: 600; border-bottom: 2px solid #bdbdbd; } th:first-child, td:first-child { text-align: left; }
  .dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
  pre { background: #f5f5f5; padding: .7rem .9rem; overflow-x: auto; }
  details { margin: .4rem 0; } footer { margin-top: 3rem; color: #6a6a6a; font-size: .85rem; }
{% block style %}{% endblock %}
</style>
</head>
<body>
{% block body %}{% endblock %}
<footer>mixsci {{ version }}</footer>
</body>
</html>
"""
_PAGE = """{% extends "skeleton" %}
{% block body %}
<h1>{{ title }}</h1>
<p class="sub">{{ fit.mixture.n_components }} component{{ "s" if fit.mixture.n_components > 1 }} fitted to
{{ fit.n_rows }} rows</p>
<p class="said{{ "" if fit.converged else " bad" }}">{{ sentence }}</p>

<h2>Components</h2>
<p>Mean ± standard deviation of the points behind the measurements: noise is taken out, gaps are integrated out.</p>
<div class="wide"><table>
<tr><th>component</th><th>weight</th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for component in components %}<tr>
<td><span class="dot" style="background:{{ colors[loop.index0 % colors|length] }}"></span>
{{ loop.index0 }}</td><td>{{ component.weight }}</td>
{% for cell in component.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>

<h2>Picture</h2>
<p>Ellipses at one and two standard deviations over the rows as measured (grey), which the noise spreads further.</p>
<img alt="the fitted mixture over the measured rows" src="{{ picture }}">

<h2>What was measured</h2>
<div class="wide"><table>
<tr><th>column</th><th>observed</th><th>missing</th><th>set aside</th><th>median error</th></tr>
{% for column in columns %}<tr><td>{{ column.name }}</td><td>{{ column.observed }}</td><td>{{ column.missing }}</td>
<td>{{ column.aside }}</td><td>{{ column.error }}</td></tr>
{% endfor %}</table></div>
<p>Set aside: observed without an error, counted as missing.</p>

{% if names|length > 1 %}<h2>Correlations within components</h2>
{% for component in components %}<details><summary>Component {{ loop.index0 }}</summary><div class="wide"><table>
<tr><th></th>{% for name in names %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in component.correlations %}<tr><td>{{ names[loop.index0] }}</td>
{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}</table></div></details>
{% endfor %}{% endif %}

<h2>The fit</h2>
<div class="wide"><table>
<tr><td>log-likelihood (nats)</td><td>{{ "%.6f"|format(fit.log_likelihood) }}</td></tr>
<tr><td>free parameters</td><td>{{ fit.n_free }}</td></tr>
<tr><td>BIC, AIC, ICL (smaller is better)</td>
<td>{{ "%.3f, %.3f, %.3f"|format(fit.bic, fit.aic, fit.icl) }}</td></tr>
<tr><td>passes over the data</td><td>{{ fit.n_iter }}</td></tr>
<tr><td>estimated to remain (nats)</td><td>{{ "%.2g"|format(fit.gap) }}</td></tr>
</table></div>
<img alt="what each pass still had to gain" src="{{ history }}">

<h2>Go on from here</h2>
<pre>import mixsci as mx

fit = mx.load("model.json")
print(fit.summary())</pre>
{% endblock %}
"""
