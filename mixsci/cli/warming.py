"""The command that compiles kernels ahead of the first fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from mixsci.cli.console import note, say
from mixsci.cli.tables import climb

if TYPE_CHECKING:
    from mixsci.engine.observations import Observations


def warmup() -> None:
    """Compile the kernels ahead of the first fit; they are kept on disk."""
    began = time.perf_counter()
    for kind, work in _kinds_of_work():
        work()
        note(f"{kind} ready after {time.perf_counter() - began:.1f} s")
    say(f"mixsci is warm ({time.perf_counter() - began:.1f} s)")


def _kinds_of_work() -> Iterator[tuple[str, Callable[[], Any]]]:
    for kind, obs in _kinds_of_rows():
        yield kind, partial(_fit_and_ask, obs)
    yield "factors of cells", _fit_factors
    yield "plates of droplets", _quantify_small_plate


def _fit_and_ask(obs: Observations) -> None:
    from mixsci.engine.model.model import Model

    climb(Model(2, floor=1e-3), obs, starts=1, seed=0).mixture.posterior(obs)


def _fit_factors() -> None:
    """Cells that are complete, that have gaps, and that have errors, in batches, with factors of all or of each."""
    import numpy as np

    from mixsci.engine.model.factors import FactorModel
    from mixsci.engine.noise import from_errors
    from mixsci.engine.observations import Observations

    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 6)) + rng.normal(0.0, 0.3, (120, 6))
    gappy, batches = np.where(rng.random(x.shape) < 0.2, np.nan, x), np.arange(120) % 2
    for model, obs in (
        (FactorModel(2, 2), Observations(x)),
        (FactorModel(2, 2), Observations(gappy.astype(np.float32))),
        (FactorModel(2, 2, offsets="group"), Observations(gappy, groups=batches)),
        (FactorModel(2, 1, loadings="own"), Observations(gappy, from_errors(np.full(x.shape, 0.1)))),
    ):
        climb(model, obs, starts=1, seed=0).mixture.impute(obs)


def _quantify_small_plate() -> None:
    from mixsci.ddpcr.quantification import quantify
    from mixsci.ddpcr.simulate import simulate_plate

    made = simulate_plate({"Target 1": 0.3, "Target 2": 0.5}, n_droplets=500, controls=1, rng=0)
    quantify(made.plate, "binary")


def _kinds_of_rows() -> Iterator[tuple[str, Observations]]:
    """A few rows of every kind that has a kernel of its own."""
    import numpy as np

    from mixsci.engine.noise import from_covariances, from_errors
    from mixsci.engine.observations import Observations

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-4.0, 1.0, (40, 3)), rng.normal(4.0, 1.0, (40, 3))])
    gappy = x.copy()
    gappy[::4, 0] = np.nan
    sigma = rng.uniform(0.1, 0.5, x.shape)
    yield "complete rows", Observations(x)
    yield "rows with gaps", Observations(gappy)
    yield "rows with errors", Observations(gappy, from_errors(sigma))
    yield "rows with covariances", Observations(x, from_covariances(sigma[:, :, None] ** 2 * np.eye(3)))
    views = np.broadcast_to(np.eye(3)[:2], (len(x), 2, 3)) + 0.1 * rng.normal(size=(len(x), 2, 3))
    yield "projected rows", Observations(np.einsum("nmd,nd->nm", views, x), from_errors(sigma[:, :2]), views)
    wide = np.concatenate([rng.normal(-4.0, 1.0, (60, 20)), rng.normal(4.0, 1.0, (60, 20))])
    yield "wide rows", Observations(wide)
