"""Which wells of a plate share an assay, and which of them are its controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.plate import Plate, Well, well_name
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: A well with fewer droplets is not quantified.
FEWEST_DROPLETS = 50


@dataclass(frozen=True)
class Group:
    """Wells with the same channels and targets.

    Attributes:
        channels: names of the channels.
        named: (channel, target) as the samples have it; "" for a target that two channels show, or a nameless one.
        wells: names of the wells. controls: those of them without template.
    """

    channels: tuple[str, ...]
    named: tuple[tuple[str, str], ...]
    wells: tuple[str, ...]
    controls: tuple[str, ...]

    def names(self, channels: Sequence[int | None]) -> list[str]:
        """Names for targets along these channels (None: in the plane, by rising angle from the first channel)."""
        aside = [target for where, target in self.named if where not in self.channels and target]
        if len(self.channels) == len(channels) == len(aside) == len(self.named) == 1:
            return aside
        along = {channel: [target for where, target in self.named if where == channel] for channel in self.channels}
        if all(channel is not None for channel in channels):
            return _distinct([" + ".join(along[self.channels[c]]) or self.channels[c] for c in channels])  # type: ignore[index]
        ordered = [*along[self.channels[0]], *aside, *along[self.channels[-1]]]
        return ordered if len(ordered) == len(channels) else [f"Target {t + 1}" for t in range(len(channels))]


def usable(plate: Plate) -> Plate:
    """The plate as it can be quantified: wells of too few droplets are a problem, channels without signal left out.

    Raises:
        DataError: no channel with signal.
    """
    import pandas as pd

    wells = {name: _enough(well) for name, well in plate.wells.items()}
    said = [(name, "", well.problem) for name, well in wells.items() if well is not plate.wells[name]]
    good = [well for well in wells.values() if not well.problem]
    channels = dict.fromkeys(channel for well in good for channel in well.channels)
    silent = [channel for channel in channels if all(_constant(well, channel) for well in good)]
    if good and len(silent) == len(channels):
        raise DataError(f"amplitudes must vary; those of {', '.join(silent)} are the same in all droplets")
    if silent:
        wells = {name: _without(well, silent) for name, well in wells.items()}
        said += [("", "", f"{channel} is left out: all droplets have the same amplitude") for channel in silent]
    problems = pd.concat([plate.problems, pd.DataFrame(said, columns=plate.problems.columns)], ignore_index=True)
    return replace(plate, wells=wells, problems=problems if said else plate.problems)


def _enough(well: Well) -> Well:
    if well.problem or len(well) >= FEWEST_DROPLETS:
        return well
    return replace(well, problem=f"it has {len(well)} droplets; at least {FEWEST_DROPLETS} are needed")


def _constant(well: Well, channel: str) -> bool:
    return channel not in well.channels or not np.ptp(well.amplitudes[:, well.channels.index(channel)])


def _without(well: Well, silent: Sequence[str]) -> Well:
    kept = [j for j, channel in enumerate(well.channels) if channel not in silent]
    calls = None if well.calls is None else well.calls[:, kept]
    channels = tuple(well.channels[j] for j in kept)
    return replace(well, amplitudes=well.amplitudes[:, kept], channels=channels, calls=calls)


def groups(plate: Plate, ntc: Any, channels: Sequence[str] | None) -> list[Group]:
    """The assays of a plate: wells that can be quantified, by channels and targets.

    Args:
        plate: as read.
        ntc: wells without template; None = those whose SampleType is "NTC".
        channels: the channels to use; None = all.

    Raises:
        DataError: controls or channels the plate does not have, no usable well, or more than two channels.
    """
    controls = _controls(plate, ntc)
    by_key: dict[Any, list[str]] = {}
    for name, well in plate.wells.items():
        if not well.problem:
            used = _channels(well, channels)
            by_key.setdefault((used, _named(plate.samples, name, used)), []).append(name)
    if not by_key:
        reasons = dict.fromkeys(well.problem for well in plate.wells.values())
        raise DataError(f"at least one well must be usable; none is: {'; '.join(list(reasons)[:3])}")
    by_key = _join_nameless(by_key)
    return [
        Group(used, named, tuple(names), tuple(name for name in names if name in controls))
        for (used, named), names in by_key.items()
    ]


def _join_nameless(by_key: dict[Any, list[str]]) -> dict[Any, list[str]]:
    """Wells whose targets nobody names go with the only assay of their channels that has names."""
    out = {key: list(names) for key, names in by_key.items()}
    for key in [key for key in out if not any(target for _, target in key[1])]:
        others = [other for other in out if other[0] == key[0] and other != key]
        if len(others) == 1:
            out[others[0]] = sorted(out[others[0]] + out.pop(key), key=_plate_order)
    return out


def _plate_order(name: str) -> tuple[str, int]:
    return name[0], int(name[1:])


def _named(samples: pd.DataFrame, well: str, used: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    rows = samples[samples["Well"] == well]
    pairs = zip(rows["Channel"].astype(str), rows["Target"].astype(str).str.strip(), strict=True)
    kept = [(channel, target) for channel, target in pairs if target and (channel in used or not channel)]
    return tuple(dict.fromkeys(kept))


def _controls(plate: Plate, ntc: Any) -> set[str]:
    if ntc is None:
        rows = plate.samples[plate.samples["SampleType"] == "NTC"]
        return set(rows["Well"])
    given = [ntc] if isinstance(ntc, str) else ntc
    if not isinstance(given, Iterable):
        raise DataError(f'ntc must name wells, such as ["H05", "F04"]; got {ntc!r}')
    names = [well_name(name) for name in given]
    absent = [name for name in names if name not in plate.wells]
    if absent:
        raise DataError(f"ntc names wells {', '.join(absent)}; the plate has {', '.join(plate.wells)}")
    return set(names)


def _channels(well: Well, channels: Sequence[str] | None) -> tuple[str, ...]:
    used = well.channels if channels is None else tuple(name for name in well.channels if name in channels)
    if not used:
        asked = ", ".join(channels or ())
        raise DataError(f"channels must be among those of well {well.name}, {', '.join(well.channels)}; got {asked}")
    if len(used) > 2:
        raise DataError(
            f"one or two channels are fitted together; well {well.name} has {', '.join(used)}: "
            f"choose two of them, such as {used[0]} and {used[1]}"
        )
    return used


def _distinct(names: list[str]) -> list[str]:
    """Names made different by their place where they are not."""
    return names if len(set(names)) == len(names) else [f"{name} ({i + 1})" for i, name in enumerate(names)]
