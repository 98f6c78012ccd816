"""A fit on disk while it runs: enough to go on to the identical result."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mixsci.engine import storage
from mixsci.engine.em.archive import REGISTRY
from mixsci.engine.em.state import State
from mixsci.engine.em.steps import Memory
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_generator
from mixsci.errors import DataError

Resumed = tuple[Mixture, Memory, list[float], tuple[float, ...]]


class Checkpoint:
    """A file that a fit writes every few seconds and from which it goes on.

    Args:
        path: the file; it is removed when the fit has converged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.saved: dict[str, Any] | None = storage.read(self.path, REGISTRY) if self.path.exists() else None
        if self.saved is not None and not (isinstance(self.saved, dict) and "memory" in self.saved):
            raise DataError(f"checkpoint {self.path} holds something else, perhaps a saved fit: name another file")
        if not self.path.parent.is_dir():
            raise DataError(f"checkpoint {self.path} needs a folder that exists: make {self.path.parent} first")
        self.seed: Any = None
        self.history: list[float] = []

    def generator(self, rng: Any) -> np.random.Generator:
        """The generator of this fit: as it stood when the saved one began, else made from `rng`."""
        generator = as_generator(rng)
        if self.saved is not None:
            generator = np.random.Generator(getattr(np.random, self.saved["seed"]["bit_generator"])())
            generator.bit_generator.state = self.saved["seed"]
        self.seed = generator.bit_generator.state
        return generator

    def resume(self, model: Model, mark: str) -> Resumed | None:
        """Where the saved fit stood, or None; refuses the checkpoint of another fit."""
        if self.saved is None:
            return None
        if self.saved["model"] != storage.encode(model) or self.saved["mark"] != mark:
            raise DataError(
                f"checkpoint {self.path} is of another model, rows or start: remove it, or name another file"
            )
        return self.saved["mixture"], self.saved["memory"], list(self.saved["history"]), self.saved["starts"]

    def write(self, model: Model, mark: str, state: State, starts: tuple[float, ...]) -> None:
        """Save where the climb stands."""
        storage.write(self.path, {
            "seed": self.seed, "model": storage.encode(model), "mark": mark,
            "mixture": state.mixture, "memory": state.memory, "history": self.history[:-1], "starts": starts,
        })  # fmt: skip

    @staticmethod
    def mark(obs: Any, n_rows: int, start: Mixture | None) -> str:
        """What tells these rows and this start from others: a digest of the values, where they are in memory."""
        digest = hashlib.sha256(repr(storage.encode(start)).encode())
        if isinstance(obs, Observations):
            for block in obs.blocks():
                digest.update(np.ascontiguousarray(block.x).tobytes())
        return f"{n_rows} rows, {digest.hexdigest()[:32]}"

    def remove(self) -> None:
        """Remove the file: the fit is done."""
        self.path.unlink(missing_ok=True)
