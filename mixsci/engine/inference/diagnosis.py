"""How good a clustering is: what each component has of the rows, how sure they are of it, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy

from mixsci.engine.em.result import Fit
from mixsci.engine.em.steps import expect
from mixsci.engine.execution import Workers
from mixsci.engine.inference.artefacts import Examined, Finding, findings
from mixsci.engine.inference.overlap import overlap
from mixsci.engine.inference.uncertainty import refuse_other_rows
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_generator, is_whole
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

#: Smallest share of a row that is told from none.
_LEAST = 1e-300


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What the components of a fit are worth; `print` it for sentences.

    Attributes:
        mixture: the fitted mixture.
        rows: (K,) expected rows. labelled: (K,) rows for which the component is the most probable.
        certainty: (K,) mean probability of a component among the rows that it is the most probable for.
        entropy: (K,) what its rows leave open, - sum r log r / sum r, nats.
        silhouette: (K,) mean density-based silhouette of its rows, from 0, undecided, to 1, sure (Menardi 2011).
        confusion: (K, K) share of a component's expected rows (row) that are labelled with another (column), noise and
            gaps included.
        overlap: (K, K) chance that a point of a component (row) is more probable under another (column), noise removed
            (Melnykov & Maitra 2010); exact in one dimension, else from draws.
        findings: what looks like an artefact, each with a sentence.
    """

    mixture: Mixture = field(repr=False)
    rows: Array
    labelled: Array
    certainty: Array
    entropy: Array
    silhouette: Array
    confusion: Array
    overlap: Array
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        return f"Diagnosis({len(self.rows)} components, {len(self.findings)} findings)"

    def __str__(self) -> str:
        if not self.findings:
            return f"K = {len(self.rows)}: no component looks like an artefact"
        return "\n".join(finding.sentence for finding in self.findings)

    @property
    def sure(self) -> float:
        """1 - entropy / log K over all rows: 1 where every row is sure of its component, 0 where none is."""
        if len(self.rows) == 1:
            return 1.0
        return float(1.0 - self.rows @ self.entropy / (self.rows.sum() * np.log(len(self.rows))))

    @property
    def table(self) -> pd.DataFrame:
        """A line for every component, with its largest overlap and the kinds of what was found."""
        import pandas as pd

        names = ("rows", "labelled", "certainty", "entropy", "silhouette")
        table = {name: getattr(self, name) for name in names}
        kinds = [dict.fromkeys(one.kind for one in self.findings if k in one.components) for k in range(len(self.rows))]
        table |= {"overlap": self.overlap.max(axis=1), "findings": [", ".join(each) for each in kinds]}
        return pd.DataFrame(table, index=pd.RangeIndex(len(self.rows), name="component"))


def diagnose(fit: Fit, obs: Any, *, draws: int = 10_000, rng: Any = 0, workers: Workers = None) -> Diagnosis:
    """What each component has of the rows, how sure they are of it, and which components look like artefacts.

    Found are components that are tiny (fewer rows than numbers), collapsed or without spread beyond the errors, nearly
    the same, or halves of one (merged and fitted again, BIC falls); weights and rates at an edge; fits that did not
    come to their end.

    Args:
        fit: a fit of the rows.
        obs: the rows it was fitted to, in memory.
        draws: points of each component from which overlaps are found in two dimensions or more: to 0.005 at worst.
        rng: seed or generator of these.
        workers: threads; None = all processors.

    Raises:
        DataError: not a fit, other rows than those of the fit, or rows that are not in memory.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (300, 1))])
        >>> print(mx.diagnose(mx.fit(mx.Model(2), x, rng=0), x))
        K = 2: no component looks like an artefact
    """
    obs, generator = as_observations(obs), as_generator(rng)
    if not isinstance(fit, Fit):
        raise DataError(f"fit must be what mixsci.fit returns; got {type(fit).__name__}")
    if not is_whole(draws):
        raise DataError(f"draws must be a whole number, 1 or more; got {draws!r}")
    refuse_other_rows(fit, expect(fit.mixture, obs, workers=workers))
    r, weights = fit.mixture.responsibilities(obs, workers=workers), _weights(obs)
    shares, rows = _with_background(r, fit.mixture), weights @ r
    chosen = (shares.argmax(axis=1)[:, None] == np.arange(r.shape[1])) * weights[:, None]
    labelled = chosen.sum(axis=0)
    return Diagnosis(
        mixture=fit.mixture,
        rows=rows,
        labelled=labelled,
        certainty=_mean(chosen, r.max(axis=1), labelled),
        entropy=(0.0 - weights @ xlogy(r, r)) / np.maximum(rows, _LEAST),
        silhouette=_mean(chosen, silhouettes(shares), labelled),
        confusion=(r.T @ chosen) / np.maximum(rows, _LEAST)[:, None],
        overlap=overlap(fit.mixture, int(draws), generator),
        findings=findings(Examined(fit, obs, rows, (r * weights[:, None]).T @ r, workers)),
    )


def silhouettes(shares: Array) -> Array:
    """(n,) density-based silhouettes of rows with shares (n, K): log ratios of the two largest, over their largest.

    (Menardi 2011, eq. 4.) With one component all are 1.
    """
    if shares.shape[1] == 1:
        return np.ones(len(shares))
    second, first = np.sort(np.maximum(shares, _LEAST), axis=1)[:, -2:].T
    ratio = np.log(first) - np.log(second)
    return ratio / max(float(ratio.max(initial=0.0)), _LEAST)


def _with_background(r: Array, mixture: Mixture) -> Array:
    """Shares of the rows, with that of a background as one more class."""
    if mixture.background is None:
        return r
    return np.hstack([r, np.clip(1.0 - r.sum(axis=1, keepdims=True), 0.0, 1.0)])


def _mean(chosen: Array, values: Array, counts: Array) -> Array:
    """(K,) means of values (n,) over the rows of each component; 0 where it has none."""
    return (chosen.T @ values) / np.where(counts > 0, counts, 1.0)


def _weights(obs: Observations) -> Array:
    """(n,) weights of rows, 0 of those without a value."""
    weights = np.ones(len(obs)) if obs.row_weights is None else obs.row_weights
    return np.where(obs.seen().any(axis=1), weights, 0.0)
