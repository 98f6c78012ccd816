"""The deconvolved distribution of velocities: how many components, where they begin, what a survey lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.em.selection import Box, draw, fit_selected
from mixsci.engine.em.state import Outcome
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.model.model import Frozen, Model
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_numbers, refuse_unknown
from mixsci.errors import DataError
from mixsci.stars.blocks import KinematicsBlocks
from mixsci.stars.kinematics import Kinematics
from mixsci.stars.velocity_fit import VelocityFit

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray

_FOLDS = 5
#: What is handed on to `mixsci.fit`.
_OPTIONS = ("starts", "max_iter", "rng", "workers", "progress", "split_and_merge", "checkpoint")
#: A uniform background reaches so far beyond the values on either side, as a share of their range.
_MARGIN = 0.02


def deconvolve(
    kin: Kinematics | KinematicsBlocks,
    n_components: int | Sequence[int] = 3,
    *,
    start: Mixture | None = None,
    frozen: Frozen | None = None,
    prior: Any = None,
    selection: Any = None,
    outliers: bool | UniformBackground = False,
    covariance: Any = "full",
    criterion: str = "bic",
    floor: float = 0.0,
    accelerate: bool = True,
    tol: float = 1e-6,
    **options: Any,
) -> VelocityFit:
    """The mixture behind noisy, partial velocities: extreme deconvolution (Bovy, Hogg & Roweis 2011).

    Args:
        kin: the stars, from `from_gaia` or `from_velocities`.
        n_components: K, or several of which the best by `criterion` is kept (`choices` shows all).
        start: a mixture to begin from, in the latent dimensions.
        frozen: `mx.Frozen(...)`: what keeps its starting value.
        prior: of `mx.prior`; Bovy's w is `mx.prior.Bovy(w)`, in squared units of the velocities.
        selection: what the survey kept: name of a measured column -> (low, high), a `Box`, or a function of x (n, m)
            that gives chances (n,). The likelihood of a star is divided by its chance to be kept.
        outliers: add a uniform component over the range of the values (spaces without projection), or this one.
        covariance: structure of the covariances, see `mx.Model`.
        criterion: "bic", or "held_out": mean log-likelihood of stars left out of the fit, in five folds.
        floor: smallest variance in any direction.
        accelerate, tol, options: of `mx.fit`: starts, max_iter, rng (0), workers, progress, split_and_merge.

    Raises:
        DataError: stars or settings that cannot be used.

    Example:
        >>> from mixsci import stars
        >>> made = stars.simulate_disc(3000, rng=1)
        >>> kin = stars.from_gaia(made.table, "uvw")
        >>> stars.deconvolve(kin, 1).to_table()["component", "U", "sigma_U"].colnames
        ['component', 'U', 'sigma_U']
    """
    if not isinstance(kin, Kinematics | KinematicsBlocks):
        raise DataError(f"kin must be Kinematics, as from_gaia makes them; got {type(kin).__name__}")
    refuse_settings("deconvolve", options, _OPTIONS)
    counts = _counts(n_components)
    omega = None if selection is None else omega_of(selection, kin)
    climb = {"start": start, "accelerate": accelerate, "tol": tol, "rng": 0} | options
    assumed = {
        "covariance": covariance, "background": box_of(outliers, kin), "prior": prior, "frozen": frozen,
        "floor": floor,
    }  # fmt: skip

    def run(k: int, rows: Any) -> tuple[Fit, Any]:
        model = Model(k, **assumed)
        return (fit(model, rows, **climb), None) if omega is None else fit_selected(model, rows, omega, **climb)

    (found, source), choices = _best(counts, run, kin, criterion, omega)
    # Names of the dimensions that were fitted, which are not always the columns.
    return VelocityFit(replace(found, names=kin.latent_names), kin, choices=choices, source=source)


def refuse_settings(function: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise where a setting is none of a function's, in the name of that function."""
    for name in given:
        if name not in known:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}; it takes {', '.join(known)} too"
            )


def _counts(n_components: Any) -> list[int]:
    listed = isinstance(n_components, list | tuple | range | np.ndarray)
    counts = list(n_components) if listed else [n_components]
    if not counts or any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in counts):
        raise DataError(f"n_components must be whole numbers, 1 or more; got {n_components!r}")
    return [int(k) for k in counts]


def _best(
    counts: Sequence[int],
    run: Callable[[int, Any], tuple[Fit, Any]],
    kin: Kinematics | KinematicsBlocks,
    criterion: str,
    omega: Any,
) -> tuple[tuple[Fit, Any], QTable | None]:
    """The best of several fits, and the table of all; no table for a single one."""
    from astropy.table import QTable

    refuse_unknown(criterion, CRITERIA, "criterion")
    if len(counts) == 1:
        return run(counts[0], kin.observations), None
    found = [run(k, kin.observations) for k in counts]
    fits = [each for each, _ in found]
    scores = CRITERIA[criterion](fits, counts, run, kin, omega)
    table = QTable({
        "n_components": counts, "log_likelihood": [each.log_likelihood for each in fits],
        "n_free": [each.n_free for each in fits], "bic": [each.bic for each in fits],
        "aic": [each.aic for each in fits], "converged": [each.converged for each in fits],
    })  # fmt: skip
    if criterion == "held_out":
        table["held_out"] = scores
    usable = [each.outcome not in (Outcome.COLLAPSED, Outcome.NOT_FINITE) for each in fits]
    best = int(np.argmax(np.where(usable, scores, -np.inf)))
    table["best"] = np.arange(len(counts)) == best
    return found[best], table


def _by_bic(fits: Sequence[Fit], *_: Any) -> list[float]:
    return [-found.bic for found in fits]


def _by_held_out(fits: Sequence[Fit], counts: Sequence[int], run: Any, kin: Any, omega: Any) -> list[float]:
    """Mean log density of every star under fits to the other folds."""
    if not isinstance(kin, Kinematics):
        raise DataError('held-out stars must be in memory: choose by criterion="bic", or pass one of the blocks')
    del fits
    fold = np.random.default_rng(0).permutation(len(kin)) % _FOLDS
    scores = []
    for k in counts:
        total = 0.0
        for f in range(_FOLDS):
            found, _ = run(k, kin.observations.take(np.flatnonzero(fold != f)))
            total += _log_likelihood(found.mixture, kin.observations.take(np.flatnonzero(fold == f)), omega)
        scores.append(total / len(kin))
    return scores


def _log_likelihood(mixture: Mixture, rows: Observations, omega: Any) -> float:
    """Of rows under a mixture, given that a survey kept them."""
    total = float(mixture.log_density(rows).sum())
    if omega is None:
        return total
    source = draw(rows, omega, mixture)
    return total - float(source.kept @ np.log1p(-source.lost(mixture)[0]))


#: Name of a criterion -> scores of fits, the larger the better.
CRITERIA: dict[str, Callable[..., list[float]]] = {"bic": _by_bic, "held_out": _by_held_out}


def omega_of(selection: Any, kin: Kinematics | KinematicsBlocks) -> Callable[[Array], Array]:
    """What a survey kept, as a function of the measured values."""
    if not isinstance(kin, Kinematics):
        raise DataError("a selection needs stars in memory: pass one of the blocks")
    if isinstance(selection, Mapping):
        unknown = [str(name) for name in selection if name not in kin.names]
        if unknown:
            raise DataError(f"a selection must name measured columns, {', '.join(kin.names)}; got {', '.join(unknown)}")
        ends = [_ends(name, selection.get(name, (-np.inf, np.inf))) for name in kin.names]
        return Box([low for low, _ in ends], [high for _, high in ends])
    if not callable(selection):
        raise DataError(f"a selection must be limits by column, a Box or a function; got {type(selection).__name__}")
    if isinstance(selection, Box) and len(selection.low) != len(kin.names):
        raise DataError(f"a Box must have the {len(kin.names)} dimensions of {', '.join(kin.names)}")
    given: Callable[[Array], Array] = selection
    return given


def _ends(name: str, limits: Any) -> tuple[float, float]:
    """Two limits as plain numbers; a blank one sets none."""
    listed = list(limits) if isinstance(limits, list | tuple | np.ndarray) else []
    if len(listed) != 2:
        raise DataError(f"a selection must give {name} as (low, high); got {limits!r}")
    low, high = (np.inf if end is None else float(as_numbers(end, f"a limit of {name}").values) for end in listed)
    return -np.inf if listed[0] is None else low, high


def box_of(outliers: Any, kin: Kinematics | KinematicsBlocks) -> UniformBackground | None:
    """The uniform component that was asked for: one given, True for the range of the values, or none."""
    if isinstance(outliers, UniformBackground):
        return outliers
    if not isinstance(outliers, bool):
        raise DataError(f"outliers must be True, False or a UniformBackground; got {outliers!r}")
    if not outliers:
        return None
    if not isinstance(kin, Kinematics):
        raise DataError("the range of stars in blocks is not known: pass outliers=mx.UniformBackground(low, high)")
    return around(kin.observations)


def around(obs: Observations) -> UniformBackground:
    """A uniform background over the range of the values."""
    if obs.projection is not None:
        raise DataError("outliers are uniform in what is measured, which has no one box in this space: leave them out")
    low, high = np.nanmin(obs.x, axis=0), np.nanmax(obs.x, axis=0)
    margin = _MARGIN * np.maximum(high - low, 1e-12)
    return UniformBackground(low - margin, high + margin, weight=0.01)
