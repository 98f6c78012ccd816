"""How good a fit's components are as clusters, and which of them look like artefacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.circular_mixture import refuse_angles
from mixsci.engine.em.result import Fit, fit_of
from mixsci.engine.em.steps import expect
from mixsci.engine.execution import Workers
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.hard_mixture import HardMixture
from mixsci.engine.inference.artefacts import Case, Finding, artefacts
from mixsci.engine.inference.clarity import Clarity, clarity
from mixsci.engine.inference.overlap import overlap
from mixsci.engine.inference.uncertainty import refuse_other_rows
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.observations import as_source
from mixsci.engine.tables import counted_noun
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """How clearly the components of a fit divide its rows, and what looks wrong with them; it holds no rows.

    Attributes:
        mixture: the fitted mixture.
        rows: (K,) expected rows of each component, weights of rows included.
        labelled: (K,) rows whose most probable component it is.
        certainty: (K,) mean probability of their label among these; NaN where there are none.
        entropy: (K,) what each component adds to the entropy of the rows' probabilities, nats in all.
        silhouette: (K,) mean density-based silhouette of the rows it labels: log odds of the label against the next
            best, a share of the largest that any row has (Menardi 2011); NaN where there are none.
        confusion: (K, K) of the rows of component i, as they were measured, the share that j would label.
        overlap: (K, K) the same for pairs of components, measured without gaps and errors (`mixsci.overlap`); None for
            mixtures of factors.
        findings: components that look like artefacts, with their kind and a sentence each.
    """

    mixture: Mixture
    rows: Array
    labelled: Array
    certainty: Array
    entropy: Array
    silhouette: Array
    confusion: Array
    overlap: Array | None = field(repr=False)
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        components, said = counted_noun(len(self.rows), "component"), counted_noun(len(self.findings), "warning")
        return f"Diagnosis({components}, {self.error_rate:.1%} of labels expected wrong, {said})"

    def __str__(self) -> str:
        return "\n".join([repr(self), *(f"- {sentence}" for sentence in self.warnings)])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What looks like an artefact, a sentence each."""
        return tuple(finding.sentence for finding in self.findings)

    @property
    def error_rate(self) -> float:
        """Share of the components' rows that the most probable label is expected to miss."""
        return float(1.0 - np.average(np.diagonal(self.confusion), weights=self.rows))

    def summary(self) -> pd.DataFrame:
        """A table of the components: what is here by component, its expected share of wrong labels, its warnings."""
        import pandas as pd

        kinds = [[one.kind for one in self.findings if k in one.components] for k in range(len(self.rows))]
        table = {name: getattr(self, name) for name in ("rows", "labelled", "certainty", "entropy", "silhouette")}
        table |= {"wrong": 1.0 - np.diagonal(self.confusion), "warnings": [", ".join(each) for each in kinds]}
        return pd.DataFrame(table, index=pd.RangeIndex(len(self.rows), name="component"))


def diagnose(fit: Fit, obs: Any, *, workers: Workers = None) -> Diagnosis:
    """How clearly the components of a fit divide its rows, and which of them look like artefacts.

    Two passes over the rows, and a short fit for every pair of components that share rows, which asks BIC whether one
    would do. What is looked for, by kind: "tiny", fewer rows than free numbers; "collapsed", no spread, or the floor's;
    "thin", far narrower than the others and of few rows; "lost in errors", a spread that the errors explain;
    "superfluous", two components that serve no better than one, as when a cluster is halved; "coincident", two in
    one place where a law keeps both; "at edge", a law of weights at its edge. Mixtures of factors are described, not
    searched.

    Args:
        fit: a fit of the rows.
        obs: the rows it was fitted to.
        workers: threads.

    Raises:
        DataError: not a fit of Gaussians, other rows than those of the fit, rows without a density.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> x = np.random.default_rng(0).normal(size=(400, 1))
        >>> halved = mx.diagnose(mx.fit(mx.Model(2), x, rng=0), x)
        >>> [finding.kind for finding in halved.findings]
        ['superfluous']
    """
    fit = fit_of(fit)
    refuse_angles(fit.mixture, "a diagnosis is that")
    if isinstance(fit.mixture, HardMixture):
        raise DataError(
            'hard rows belong wholly to a component: fit with assignment="soft", from start=fit.mixture, to see how '
            "clear they are"
        )
    obs = as_source(obs)
    refuse_other_rows(fit, expect(fit.mixture, obs, workers=workers))
    sums = clarity(fit.mixture, obs, workers)
    searched = isinstance(fit.model, Model)
    return _diagnosis(fit, sums, artefacts(Case(fit, obs, sums, workers)) if searched else ())


def _diagnosis(fit: Fit, sums: Clarity, findings: tuple[Finding, ...]) -> Diagnosis:
    with np.errstate(invalid="ignore"):
        certainty, log_odds = sums.sure / sums.labelled, sums.log_odds / sums.labelled
    return Diagnosis(
        mixture=fit.mixture,
        rows=sums.rows,
        labelled=sums.labelled,
        certainty=certainty,
        entropy=sums.entropy,
        silhouette=log_odds / sums.largest if sums.largest > 0 else np.zeros_like(log_odds),
        confusion=sums.given / np.maximum(sums.rows, np.finfo(float).tiny)[:, None],
        overlap=None if isinstance(fit.mixture, FactorMixture) else overlap(fit.mixture),
        findings=findings,
    )
