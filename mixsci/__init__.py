"""Gaussian mixtures for real scientific data: gaps, measurement errors and weights tied by physics, in one EM engine.

Names load when first used, so that `import mixsci` costs little more than NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> module that holds it; a module of that name where it is one itself.
_PUBLIC = {
    "Observations": "mixsci.engine.observations",
    "from_blocks": "mixsci.engine.observations",
    "from_dask": "mixsci.engine.observations",
    "effective_rows": "mixsci.engine.observations",
    "Mixture": "mixsci.engine.mixture",
    "HardMixture": "mixsci.engine.hard_mixture",
    "FactorMixture": "mixsci.engine.factor_mixture",
    "FactorModel": "mixsci.engine.model.factors",
    "CircularMixture": "mixsci.engine.circular_mixture",
    "CircularModel": "mixsci.engine.model.circular",
    "Model": "mixsci.engine.model.model",
    "Frozen": "mixsci.engine.model.model",
    "Offsets": "mixsci.engine.model.means",
    "UniformBackground": "mixsci.engine.model.background",
    "Fit": "mixsci.engine.em.result",
    "fit": "mixsci.engine.em.fit",
    "Outcome": "mixsci.engine.em.state",
    "State": "mixsci.engine.em.state",
    "iterate": "mixsci.engine.em.steps",
    "em_step": "mixsci.engine.em.steps",
    "expect": "mixsci.engine.em.steps",
    "from_labels": "mixsci.engine.em.start",
    "load": "mixsci.engine.em.archive",
    "select": "mixsci.engine.inference.select",
    "Selection": "mixsci.engine.inference.select",
    "likelihood_ratio_test": "mixsci.engine.inference.likelihood_ratio",
    "LikelihoodRatioTest": "mixsci.engine.inference.likelihood_ratio",
    "merge_components": "mixsci.engine.inference.merging",
    "Merging": "mixsci.engine.inference.merging",
    "standard_errors": "mixsci.engine.inference.uncertainty",
    "StandardErrors": "mixsci.engine.inference.uncertainty",
    "bootstrap": "mixsci.engine.inference.bootstrap",
    "Bootstrap": "mixsci.engine.inference.bootstrap",
    "profile_interval": "mixsci.engine.inference.profile",
    "anomaly_chances": "mixsci.engine.inference.anomaly",
    "tails": "mixsci.engine.inference.tails",
    "Tails": "mixsci.engine.inference.tails",
    "diagnose": "mixsci.engine.inference.diagnosis",
    "Diagnosis": "mixsci.engine.inference.diagnosis",
    "overlap": "mixsci.engine.inference.overlap",
    "resolvability": "mixsci.engine.inference.resolvability",
    "Resolvability": "mixsci.engine.inference.resolvability",
    "discrete_or_continuous": "mixsci.engine.inference.discreteness",
    "Discreteness": "mixsci.engine.inference.discreteness",
    "GaussianMixture": "mixsci.estimators",
    "BayesianGaussianMixture": "mixsci.bayesian_estimators",
    "VonMisesMixture": "mixsci.circular_estimators",
    "DataError": "mixsci.errors",
    "FormatError": "mixsci.errors",
    "ConvergenceWarning": "mixsci.errors",
}
_MODULES = {
    "noise": "mixsci.engine.noise",
    "weights": "mixsci.engine.model.weights",
    "means": "mixsci.engine.model.means",
    "covariances": "mixsci.engine.model.covariances",
    "prior": "mixsci.engine.model.priors",
    "compat": "mixsci.compat",
    "cells": "mixsci.cells",
    "ddpcr": "mixsci.ddpcr",
    "stars": "mixsci.stars",
    "plot": "mixsci.plot",
    "simulate": "mixsci.simulate",
}

__all__ = ["__version__", *_PUBLIC, *_MODULES]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:
    from mixsci import (
        cells as cells,
        compat as compat,
        ddpcr as ddpcr,
        plot as plot,
        simulate as simulate,
        stars as stars,
    )
    from mixsci.bayesian_estimators import BayesianGaussianMixture as BayesianGaussianMixture
    from mixsci.circular_estimators import VonMisesMixture as VonMisesMixture
    from mixsci.engine import noise as noise
    from mixsci.engine.circular_mixture import CircularMixture as CircularMixture
    from mixsci.engine.em.archive import load as load
    from mixsci.engine.em.fit import fit as fit
    from mixsci.engine.em.result import Fit as Fit
    from mixsci.engine.em.start import from_labels as from_labels
    from mixsci.engine.em.state import Outcome as Outcome, State as State
    from mixsci.engine.em.steps import em_step as em_step, expect as expect, iterate as iterate
    from mixsci.engine.factor_mixture import FactorMixture as FactorMixture
    from mixsci.engine.hard_mixture import HardMixture as HardMixture
    from mixsci.engine.inference.bootstrap import Bootstrap as Bootstrap, bootstrap as bootstrap
    from mixsci.engine.inference.diagnosis import Diagnosis as Diagnosis, diagnose as diagnose
    from mixsci.engine.inference.discreteness import (
        Discreteness as Discreteness,
        discrete_or_continuous as discrete_or_continuous,
    )
    from mixsci.engine.inference.likelihood_ratio import (
        LikelihoodRatioTest as LikelihoodRatioTest,
        likelihood_ratio_test as likelihood_ratio_test,
    )
    from mixsci.engine.inference.merging import Merging as Merging, merge_components as merge_components
    from mixsci.engine.inference.overlap import overlap as overlap
    from mixsci.engine.inference.profile import profile_interval as profile_interval
    from mixsci.engine.inference.resolvability import Resolvability as Resolvability, resolvability as resolvability
    from mixsci.engine.inference.select import Selection as Selection, select as select
    from mixsci.engine.inference.tails import Tails as Tails, tails as tails
    from mixsci.engine.inference.uncertainty import (
        StandardErrors as StandardErrors,
        standard_errors as standard_errors,
    )
    from mixsci.engine.mixture import Mixture as Mixture
    from mixsci.engine.model import (
        covariances as covariances,
        means as means,
        priors as prior,  # noqa: F401 (a public name of another kind)
        weights as weights,
    )
    from mixsci.engine.model.background import UniformBackground as UniformBackground
    from mixsci.engine.model.circular import CircularModel as CircularModel
    from mixsci.engine.model.factors import FactorModel as FactorModel
    from mixsci.engine.model.means import Offsets as Offsets
    from mixsci.engine.model.model import Frozen as Frozen, Model as Model
    from mixsci.engine.observations import (
        Observations as Observations,
        effective_rows as effective_rows,
        from_blocks as from_blocks,
        from_dask as from_dask,
    )
    from mixsci.errors import (
        ConvergenceWarning as ConvergenceWarning,
        DataError as DataError,
        FormatError as FormatError,
    )


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mixsci' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
