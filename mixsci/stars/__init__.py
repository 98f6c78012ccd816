"""Stars: from a catalogue to deconvolved velocities and stream members.

Names load when first used, so that `import mixsci.stars` costs little more than NumPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Public name -> module that holds it.
_PUBLIC = {
    "read": "mixsci.stars.readers",
    "read_blocks": "mixsci.stars.readers",
    "as_catalogue": "mixsci.stars.catalogue",
    "Catalogue": "mixsci.stars.catalogue",
    "from_gaia": "mixsci.stars.gaia",
    "from_velocities": "mixsci.stars.kinematics",
    "Kinematics": "mixsci.stars.kinematics",
    "KinematicsBlocks": "mixsci.stars.blocks",
    "SPACES": "mixsci.stars.spaces",
    "gaia_covariance": "mixsci.stars.covariances",
    "uvw_projection": "mixsci.stars.geometry",
    "to_frame": "mixsci.stars.geometry",
    "great_circle": "mixsci.stars.frames",
    "FRAMES": "mixsci.stars.frames",
    "deconvolve": "mixsci.stars.deconvolution",
    "VelocityFit": "mixsci.stars.velocity_fit",
    "fit_stream": "mixsci.stars.streams",
    "StreamFit": "mixsci.stars.streams",
    "Box": "mixsci.engine.em.selection",
    "membership": "mixsci.stars.memberships",
    "purity_completeness": "mixsci.stars.memberships",
    "Calibration": "mixsci.stars.forecasts",
    "plot_corner": "mixsci.stars.plot",
    "plot_membership": "mixsci.stars.plot",
    "plot_purity": "mixsci.stars.plot",
    "plot_choices": "mixsci.stars.plot",
    "plot_calibration": "mixsci.stars.plot",
    "plot_radial_velocities": "mixsci.stars.plot",
    "simulate_stream": "mixsci.stars.simulate",
    "simulate_disc": "mixsci.stars.simulate",
    "SimulatedStream": "mixsci.stars.simulate",
    "SimulatedDisc": "mixsci.stars.simulate",
}
_MODULES = {"plot": "mixsci.stars.plot"}

__all__ = [*_PUBLIC, *_MODULES]  # noqa: PLE0604 (all are strings)

if TYPE_CHECKING:
    from mixsci.engine.em.selection import Box as Box
    from mixsci.stars.blocks import KinematicsBlocks as KinematicsBlocks
    from mixsci.stars.catalogue import Catalogue as Catalogue, as_catalogue as as_catalogue
    from mixsci.stars.covariances import gaia_covariance as gaia_covariance
    from mixsci.stars.deconvolution import deconvolve as deconvolve
    from mixsci.stars.forecasts import Calibration as Calibration
    from mixsci.stars.frames import FRAMES as FRAMES, great_circle as great_circle
    from mixsci.stars.gaia import from_gaia as from_gaia
    from mixsci.stars.geometry import to_frame as to_frame, uvw_projection as uvw_projection
    from mixsci.stars.kinematics import Kinematics as Kinematics, from_velocities as from_velocities
    from mixsci.stars.memberships import membership as membership, purity_completeness as purity_completeness
    from mixsci.stars.plot import (
        plot_calibration as plot_calibration,
        plot_choices as plot_choices,
        plot_corner as plot_corner,
        plot_membership as plot_membership,
        plot_purity as plot_purity,
        plot_radial_velocities as plot_radial_velocities,
    )
    from mixsci.stars.readers import read as read, read_blocks as read_blocks
    from mixsci.stars.simulate import (
        SimulatedDisc as SimulatedDisc,
        SimulatedStream as SimulatedStream,
        simulate_disc as simulate_disc,
        simulate_stream as simulate_stream,
    )
    from mixsci.stars.spaces import SPACES as SPACES
    from mixsci.stars.streams import StreamFit as StreamFit, fit_stream as fit_stream
    from mixsci.stars.velocity_fit import VelocityFit as VelocityFit


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'mixsci.stars' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
