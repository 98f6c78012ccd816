"""Cells: clusters, factors and gates from matrices with gaps, as functions of an AnnData.

`pp` prepares, `tl` fits and writes results into the AnnData, `pl` draws them. Names load when first used, so that
`import mixsci.cells` costs little more than NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Public name -> module that holds it.
_PUBLIC = {
    "agreement": "mixsci.cells.labellings",
    "load": "mixsci.cells.results",
    "read": "mixsci.cells.readers",
    "simulate_cells": "mixsci.cells.simulate",
    "write_report": "mixsci.cells.write",
}
_MODULES = {
    "pp": "mixsci.cells.pp",
    "tl": "mixsci.cells.tl",
    "pl": "mixsci.cells.pl",
}

__all__ = [*_PUBLIC, *_MODULES]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:
    from mixsci.cells.labellings import agreement as agreement
    from mixsci.cells.readers import read as read
    from mixsci.cells.results import load as load
    from mixsci.cells.simulate import simulate_cells as simulate_cells
    from mixsci.cells.write import write_report as write_report


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mixsci.cells' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
