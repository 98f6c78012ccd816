"""What a ddPCR assay looks like: its targets and where droplets with and without them lie.

The assays of `ASSAYS` and the defaults of `simulate_plate` are what was measured on plates of public repositories:

- One probe, 28 wells (definetherain): noise 245 below a gap of 10,140; positives wider than negatives by 4.5 % of the
  gap (4.5-5 % in dPCP), and as bright at 2.2 copies as at 0.04, within 2 %; wells shifted by sd 1.4 % of the gap, their
  gaps apart by 1.6 %; 0.5 % of the negatives 5 sd above the rest; of the controls' droplets 0.014 % above a quarter of
  the gap, 0.003 % above half of it; in every second well 0.1-2 % broken droplets below the negatives; wells of 10,500
  to 14,700 droplets, sd 8 %.
- Two colours, 11 wells (dPCP): the levels of "duplex" and "triplex", noise correlated by -0.27, the level of one target
  5-17 % lower beside another.
- Four loci on one dye, 5 wells (PoDCall): "ladder"; beside 1, 2 and 3 lit loci the other target keeps 69, 52 and 37 %.

Rain differs most: uniform along the way up and 0.2 of the positives in PoDCall's first channel; in definetherain about
0.03, and rarer far from the positives, as `rain_shape=(4, 1)` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError

Array = np.ndarray

_SHOWN = 6.0  # sd of the noise that a target must add to a channel to be seen there


@dataclass(frozen=True, eq=False)
class Assay:
    """The chemistry of a plate: its targets, and where their droplets lie.

    Attributes:
        targets: (T,) names.
        baseline: (C,) amplitude of an empty droplet; C is one or two channels.
        steps: (T, C) what one lit locus of a target adds to it.
        noise: (C,) standard deviation of an empty droplet.
        loci: (T,) loci that share a target's dye: 1 saturates with the first copy, 4 make a ladder.
        competition: (T, T) or one number: the step of the first target is divided by 1 + competition × the lit loci of
            the second.
        spread: standard deviation of a droplet's own step, as a share of it.
        correlation: of the noise of two channels.
        more_copies: what very many copies add to the step of one, as a share of it; every copy adds half of the rest.
        gain_drift: standard deviation of the steps of wells, as a share of them.
        rain_shape: (a, b) of the beta law of how far rain has come on its way up; (1, 1) is uniform.
        stray_shape: the same of strays; (1, 4) has most of them near the negatives.

    Raises:
        DataError: shapes that do not match, numbers out of range, or a target that no channel shows.

    Example:
        >>> from mixsci.ddpcr.assay import Assay
        >>> assay = Assay(("BRAF", "RPP30"), (1500.0, 1100.0), ((6000.0, 0.0), (0.0, 2500.0)), (90.0, 60.0))
        >>> assay.channels, assay.thresholds
        (('Ch1', 'Ch2'), array([4500., 2350.]))
    """

    targets: tuple[str, ...]
    baseline: Any
    steps: Any
    noise: Any
    loci: tuple[int, ...] = ()
    competition: Any = 0.0
    spread: float = 0.045
    correlation: float = -0.25
    more_copies: float = 0.01
    gain_drift: float = 0.01
    rain_shape: Any = (1.0, 1.0)
    stray_shape: Any = (1.0, 4.0)

    def __post_init__(self) -> None:
        n, width = len(self.targets), np.size(self.baseline)
        if not n or len(set(self.targets)) < n:
            raise DataError(f"targets must be different names, one or more; got {', '.join(self.targets) or 'none'}")
        if width not in {1, 2}:
            raise DataError(f"baseline must have one value per channel, one or two; got {width}")
        checked: dict[str, Any] = {
            "targets": tuple(map(str, self.targets)),
            "baseline": numbers(self.baseline, "baseline", (width,)),
            "steps": numbers(self.steps, "steps", (n, width)),
            "noise": numbers(self.noise, "noise", (width,), low=0.0),
            "loci": tuple(whole(loci, "loci", low=1) for loci in self.loci) or (1,) * n,
            "competition": _competition(self.competition, n),
            "correlation": float(numbers(self.correlation, "correlation", (), low=-1.0, high=1.0)),
        }
        for name in ("spread", "more_copies", "gain_drift"):
            checked[name] = float(numbers(getattr(self, name), name, (), low=0.0))
        for name in ("rain_shape", "stray_shape"):
            checked[name] = tuple(numbers(getattr(self, name), name, (2,), low=0.01).tolist())
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_targets()

    def _check_targets(self) -> None:
        if len(self.loci) != len(self.targets):
            raise DataError(f"loci must have one number for each of {len(self.targets)} targets; got {len(self.loci)}")
        for name, shows in zip(self.targets, self.shown.tolist(), strict=True):
            if not any(shows):
                raise DataError(f"steps must reach {_SHOWN:g} times the noise in a channel; those of {name} do not")

    @property
    def channels(self) -> tuple[str, ...]:
        """(C,) "Ch1", "Ch2"."""
        return tuple(f"Ch{j + 1}" for j in range(len(self.baseline)))

    @property
    def shown(self) -> Array:
        """(T, C) whether a channel shows a target: its step stands out of the noise."""
        return (self.steps > 0) & (self.steps >= _SHOWN * self.noise)

    @property
    def gaps(self) -> Array:
        """(C,) the largest step of each channel."""
        return np.abs(self.steps).max(axis=0)

    @property
    def thresholds(self) -> Array:
        """(C,) half of the way to the lowest positive level, infinite where a channel shows no target."""
        return self.baseline + np.where(self.shown, self.steps, np.inf).min(axis=0) / 2.0

    def channel_of(self, target: int) -> str:
        """The channel that shows a target; "" where two do."""
        seen = [name for name, shows in zip(self.channels, self.shown[target].tolist(), strict=True) if shows]
        return seen[0] if len(seen) == 1 else ""


def _competition(values: Any, n: int) -> Array:
    """(n, n) how each target dims each; one number holds between different ones."""
    return numbers(values, "competition", (n, n), low=0.0) * (1.0 - np.eye(n) if np.ndim(values) == 0 else 1.0)


def whole(value: Any, name: str, *, low: int) -> int:
    """A whole number not below `low`.

    Raises:
        DataError: anything else, named `name`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise DataError(f"{name} must be a whole number, {low} or more; got {value!r:.80}")
    return int(value)


def numbers(
    values: Any, name: str, shape: tuple[int, ...], *, low: float = -np.inf, high: float = np.inf, below: float = np.inf
) -> Array:
    """Finite numbers of a shape; one stands for all.

    Raises:
        DataError: other shapes, numbers out of range, named `name`.
    """
    limits = {"at least": low, "at most": high, "below": below}
    words = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if np.isfinite(limit))
    must = f"{name} must be {'numbers of shape ' + str(shape) if shape else 'one number'}{', ' if words else ''}{words}"
    try:
        found = np.broadcast_to(as_numbers(values, name).values, shape).astype(float)
    except ValueError:
        raise DataError(f"{must}; got {values!r:.80}") from None
    if not (np.isfinite(found) & (found >= low) & (found <= high) & (found < below)).all():
        raise DataError(f"{must}; got {values!r:.80}")
    return found


#: Name -> assay with the levels, noise and competition of a measured plate (see the head of this module).
ASSAYS = {
    "singleplex": Assay(("Target",), (8650.0,), ((10140.0,),), (245.0,)),
    "duplex": Assay(
        targets=("Target 1", "Target 2"),
        baseline=(1250.0, 1170.0),
        steps=((4900.0, -110.0), (0.0, 1800.0)),
        noise=(54.0, 50.0),
        competition=((0.0, 0.05), (0.0, 0.0)),
    ),
    "triplex": Assay(
        targets=("Target 1", "Target 2", "Target 3"),
        baseline=(1250.0, 1170.0),
        steps=((4900.0, -110.0), (0.0, 1800.0), (1950.0, 1170.0)),
        noise=(54.0, 50.0),
        competition=((0.0, 0.05, 0.18), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ),
    "ladder": Assay(
        targets=("Target", "Reference"),
        baseline=(1290.0, 7700.0),
        steps=((4000.0, 220.0), (65.0, 1880.0)),
        noise=(80.0, 205.0),
        loci=(1, 4),
        competition=((0.0, 0.45), (0.0, 0.0)),
        spread=0.06,
        correlation=-0.1,
    ),
}
#: Number of targets -> the assay that is meant where none is told.
USUAL = {1: "singleplex", 2: "duplex", 3: "triplex"}
