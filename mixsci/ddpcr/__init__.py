"""Droplet digital PCR: from a folder of droplets to concentrations.

Names load when first used, so that `import mixsci.ddpcr` costs little more than NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Public name -> module that holds it; a module of that name where it is one itself.
_PUBLIC = {
    "read_plate": "mixsci.ddpcr.read",
    "read_results": "mixsci.ddpcr.formats",
    "write_quantasoft": "mixsci.ddpcr.formats",
    "Plate": "mixsci.ddpcr.plate",
    "Well": "mixsci.ddpcr.plate",
    "quantify": "mixsci.ddpcr.quantification",
    "Quantification": "mixsci.ddpcr.quantified",
    "Estimate": "mixsci.ddpcr.concentrations",
    "concentration": "mixsci.ddpcr.concentrations",
    "concentration_of": "mixsci.ddpcr.concentrations",
    "rate": "mixsci.ddpcr.concentrations",
    "rate_interval": "mixsci.ddpcr.concentrations",
    "ratio": "mixsci.ddpcr.ratios",
    "fractional_abundance": "mixsci.ddpcr.ratios",
    "copy_number": "mixsci.ddpcr.ratios",
    "linkage": "mixsci.ddpcr.ratios",
    "rate_correlation": "mixsci.ddpcr.ratios",
    "Limits": "mixsci.ddpcr.controls",
    "limits": "mixsci.ddpcr.controls",
    "limit_of_blank": "mixsci.ddpcr.controls",
    "limit_of_detection": "mixsci.ddpcr.controls",
    "Merged": "mixsci.ddpcr.merge",
    "merge_wells": "mixsci.ddpcr.merge",
    "merge_rates": "mixsci.ddpcr.merge",
    "Assay": "mixsci.ddpcr.assay",
    "ASSAYS": "mixsci.ddpcr.assay",
    "SimulatedPlate": "mixsci.ddpcr.simulate",
    "simulate_plate": "mixsci.ddpcr.simulate",
    "small_plate": "mixsci.ddpcr.simulate",
    "dilution_series": "mixsci.ddpcr.simulate",
}
_MODULES = {"formats": "mixsci.ddpcr.formats", "plot": "mixsci.ddpcr.plot"}

__all__ = [*_PUBLIC, *_MODULES]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:
    from mixsci.ddpcr import formats as formats, plot as plot
    from mixsci.ddpcr.assay import ASSAYS as ASSAYS, Assay as Assay
    from mixsci.ddpcr.concentrations import (
        Estimate as Estimate,
        concentration as concentration,
        concentration_of as concentration_of,
        rate as rate,
        rate_interval as rate_interval,
    )
    from mixsci.ddpcr.controls import (
        Limits as Limits,
        limit_of_blank as limit_of_blank,
        limit_of_detection as limit_of_detection,
        limits as limits,
    )
    from mixsci.ddpcr.formats import read_results as read_results, write_quantasoft as write_quantasoft
    from mixsci.ddpcr.merge import Merged as Merged, merge_rates as merge_rates, merge_wells as merge_wells
    from mixsci.ddpcr.plate import Plate as Plate, Well as Well
    from mixsci.ddpcr.quantification import quantify as quantify
    from mixsci.ddpcr.quantified import Quantification as Quantification
    from mixsci.ddpcr.ratios import (
        copy_number as copy_number,
        fractional_abundance as fractional_abundance,
        linkage as linkage,
        rate_correlation as rate_correlation,
        ratio as ratio,
    )
    from mixsci.ddpcr.read import read_plate as read_plate
    from mixsci.ddpcr.simulate import (
        SimulatedPlate as SimulatedPlate,
        dilution_series as dilution_series,
        simulate_plate as simulate_plate,
        small_plate as small_plate,
    )


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mixsci.ddpcr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
