"""Fits as files, and which classes such a file may name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixsci.engine import storage
from mixsci.engine.em.acceleration import Anderson
from mixsci.engine.em.state import Outcome
from mixsci.engine.em.steps import Memory
from mixsci.engine.mixture import Mixture
from mixsci.engine.model import covariances, means, priors, weights
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.model import Frozen, Model
from mixsci.errors import FormatError

if TYPE_CHECKING:
    from mixsci.engine.em.result import Fit

REGISTRY = storage.registry_of(
    Mixture, Model, Frozen, UniformBackground, Outcome, Anderson, Memory,
    covariances.Full, covariances.Diagonal, covariances.Spherical, covariances.Scaled, covariances.Proportional,
    weights.Free, weights.Fixed, weights.Poisson, weights.Occupancy,
    means.Free, means.Fixed, means.Ladder, means.Offsets,
    priors.InverseWishart, priors.Bovy, priors.Dirichlet,
)  # fmt: skip


def save(fit: Fit, path: str | Path) -> None:
    """Write a fit to a JSON file."""
    storage.write(path, fit)


def load(path: str | Path) -> Any:
    """Read a fit (or mixture) that `Fit.save` wrote; every number comes back bit for bit.

    Raises:
        FormatError: not such a file, or a damaged one.
    """
    from mixsci.engine.em.result import Fit

    found = storage.read(path, REGISTRY | storage.registry_of(Fit))
    if not isinstance(found, Fit | Mixture):
        raise FormatError(f"{path} holds no fit: it is a checkpoint; give it to fit(checkpoint=...)")
    return found
