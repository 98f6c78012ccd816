"""Which classes a saved file may name, and reading fits back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixsci.engine import storage
from mixsci.engine.circular_mixture import CircularMixture
from mixsci.engine.em.acceleration import Anderson
from mixsci.engine.em.result import Fit
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import Memory
from mixsci.engine.em.variational_fit import VariationalFit
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.engine.hard_mixture import HardMixture
from mixsci.engine.mixture import Mixture
from mixsci.engine.model import covariances, means, occupancy, priors, shapes, targets, weights
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.circular import CircularModel
from mixsci.engine.model.concentration import Concentration
from mixsci.engine.model.factors import FactorModel
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.model.variational import VariationalModel
from mixsci.engine.variational_mixture import VariationalMixture
from mixsci.errors import FormatError

REGISTRY = storage.registry_of(
    Fit, Mixture, HardMixture, Model, FactorMixture, FactorModel, Frozen, UniformBackground, Outcome, Anderson, Memory,
    CircularMixture, CircularModel,
    covariances.Full, covariances.Diagonal, covariances.Spherical, covariances.Scaled, covariances.Proportional,
    VariationalFit, VariationalMixture, VariationalModel, weights.StickBreaking, weights.Annihilating,
    weights.Free, weights.Fixed, weights.Poisson,
    targets.Binomial, targets.Multiplex, targets.LinkedDuplex, occupancy.Occupancy, shapes.Blend,
    means.Free, means.Fixed, means.Ladder, means.Offsets,
    priors.InverseWishart, priors.Bovy, priors.Dirichlet, priors.GaussWishart, Concentration,
)  # fmt: skip
# Files written before these laws had a module of their own.
REGISTRY["weights.Occupancy"] = occupancy.Occupancy


def load(path: str | Path) -> Any:
    """Read a fit (or mixture) that `Fit.save` wrote; every number comes back bit for bit.

    Raises:
        FormatError: not such a file, or a damaged one.
    """
    return _fit_in(storage.read(path, REGISTRY), path)


def to_text(fit: Any) -> str:
    """A fit (or mixture) as the text of the file that `Fit.save` writes."""
    return storage.to_text(fit)


def from_text(text: str, where: str = "the text") -> Any:
    """The fit (or mixture) that `to_text` made text of; every number comes back bit for bit.

    Raises:
        FormatError: not such a text, or a damaged one; the message calls it `where`.
    """
    return _fit_in(storage.from_text(text, REGISTRY, where), where)


def _fit_in(found: Any, where: str | Path) -> Any:
    if not isinstance(found, Fit | Mixture):
        raise FormatError(f"{where} holds no fit: it is a checkpoint; give it to fit(checkpoint=...)")
    return found
