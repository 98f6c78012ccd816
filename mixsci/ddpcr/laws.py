"""What a droplet can hold: the targets of an assay, their states, and the law that ties weights to lambda."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from mixsci.engine.model.weights import Binomial, LinkedDuplex, Multiplex, Poisson
from mixsci.errors import DataError

Array = np.ndarray

_SPEC = re.compile(r"(?P<name>auto|binary|poisson|multiplex|linked)(?::(?P<number>\d+))?$")
_MOST_TARGETS = 4
_MOST_CLASSES = 8


@dataclass(frozen=True)
class Target:
    """What one probe (or several on one dye) counts.

    Attributes:
        name: of the target.
        classes: brightness classes, 0 to classes - 1; 2 = negative or positive.
        kind: what a class is: "binomial" = so many of classes - 1 tied loci lit, "poisson" = so many copies or, in the
            last, more; "open" = still to be found out.
        channel: the channel along which it lights; None = a direction of its own in the plane of two channels.
    """

    name: str
    classes: int = 2
    kind: str = "binomial"
    channel: int | None = None

    @property
    def law(self) -> Any:
        """The engine's weight model of its classes."""
        return Poisson(classes=self.classes) if self.kind == "poisson" else Binomial(self.classes - 1)

    def describe(self) -> str:
        """The law in a word: "binary", "multiplex:4", "poisson:3"."""
        if self.classes == 2:
            return "binary"
        return f"multiplex:{self.classes - 1}" if self.kind == "binomial" else f"poisson:{self.classes - 1}"


@dataclass(frozen=True)
class Scheme:
    """The targets of an assay; `linked` = two targets that may sit on one molecule."""

    targets: tuple[Target, ...]
    linked: bool = False

    @cached_property
    def states(self) -> Array:
        """(S, T) class of every target in every state, the last target fastest."""
        return np.array(list(product(*(range(target.classes) for target in self.targets))))

    @property
    def law(self) -> Any:
        """The engine's weight model of the states."""
        if self.linked:
            return LinkedDuplex()
        return Multiplex([target.law for target in self.targets])

    @property
    def n_rates(self) -> int:
        """Numbers behind the weights of a well."""
        return 3 if self.linked else len(self.targets)

    def rates(self, found: Array) -> Array:
        """Copies per droplet (..., T) of the targets from the law's own rates (..., R)."""
        if not self.linked:
            return found
        return np.stack([found[..., 0] + found[..., 2], found[..., 1] + found[..., 2]], axis=-1)

    def positive(self, t: int) -> Array:
        """(S,) whether target t is there."""
        return self.states[:, t] > 0

    def single(self, t: int) -> int:
        """The state of target t in its first class, all others absent."""
        wanted = np.arange(len(self.targets)) == t
        return int(np.flatnonzero((self.states == wanted).all(axis=1))[0])

    def beside(self, state: int, t: int, more: int) -> int:
        """The state with so many more of target t, all else the same."""
        counts = self.states[state].copy()
        counts[t] += more
        return int(np.ravel_multi_index(tuple(counts), [target.classes for target in self.targets]))

    def named(self, names: Sequence[str]) -> Scheme:
        """The same with other names."""
        targets = tuple(replace(target, name=name) for target, name in zip(self.targets, names, strict=True))
        return replace(self, targets=targets)

    def describe(self) -> str:
        """The law in words, target by target."""
        if self.linked:
            return "linked"
        if len(self.targets) > 1 and all(target.channel is None for target in self.targets):
            return f"multiplex:{len(self.targets)}"
        kinds = [target.describe() for target in self.targets]
        return kinds[0] if len(set(kinds)) == 1 else ", ".join(
            f"{target.name} {kind}" for target, kind in zip(self.targets, kinds, strict=True)
        )  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a user asks of the law: one specification for each channel, or one for the plane of two."""

    per_channel: tuple[str, ...] = ()
    plane: str = ""

    def kinds(self, channel: int) -> tuple[str, ...]:
        """The kinds of law that the target along a channel may have."""
        spec = self.per_channel[channel] if self.per_channel else self.plane
        return ("poisson",) if spec == "poisson" else ("binomial", "poisson")


def parse(law: Any, channels: Sequence[str]) -> Request:
    """The request behind law=.

    Args:
        law: "auto", "binary", "poisson" or "poisson:2" (up to so many copies told apart), "multiplex:T", "linked"; or
            one of them for each channel, as a mapping {"Ch1": "binary", "Ch2": "multiplex:4"} or text
            "Ch1=binary,Ch2=multiplex:4". On one channel "multiplex:T" is T loci on one dye whose steps cannot be told
            apart (one lambda), on the plane of two channels T targets each in a direction of its own.
        channels: names of the channels.

    Raises:
        DataError: a law nobody knows, or one that these channels cannot carry.
    """
    if isinstance(law, str) and "=" in law:
        law = dict(part.strip().partition("=")[::2] for part in law.split(","))
    if isinstance(law, Mapping):
        strangers = [str(name) for name in law if name not in channels]
        if strangers:
            raise DataError(f"law names channels {', '.join(strangers)}; the plate has {', '.join(channels)}")
        return Request(per_channel=tuple(_checked(law.get(name, "auto"), single=True) for name in channels))
    spec = _checked(law, single=len(channels) == 1)
    if spec == "linked" and len(channels) != 2:
        raise DataError(f'law="linked" needs two channels; these wells have {len(channels)}')
    if len(channels) == 2 and (spec.startswith("multiplex") or spec in {"auto", "linked"}):
        return Request(plane=spec)
    return Request(per_channel=(spec,) * len(channels))


def _checked(spec: Any, *, single: bool) -> str:
    match = _SPEC.match(spec.strip().lower()) if isinstance(spec, str) else None
    if match is None:
        raise DataError(
            'law must be "auto", "binary", "poisson", "multiplex:T" or "linked", or one of them for each channel '
            f'("Ch1=binary,Ch2=multiplex:4"); got {spec!r}'
        )
    name, number = match["name"], match["number"]
    if name in {"auto", "binary", "linked"} and number:
        raise DataError(f'law="{name}" takes no number; got {spec!r}')
    if name == "linked" and single:
        raise DataError('law="linked" speaks of two channels at once: give it for the plate, not for one channel')
    if name == "multiplex":
        most = _MOST_CLASSES - 1 if single else _MOST_TARGETS
        if number is None or not 1 <= int(number) <= most:
            raise DataError(f'law="multiplex:T" needs a number T from 1 to {most} here; got {spec!r}')
    if name == "poisson" and number and not 1 <= int(number) < _MOST_CLASSES:
        raise DataError(f'law="poisson:M" needs a number M from 1 to {_MOST_CLASSES - 1}; got {spec!r}')
    return spec.strip().lower()


def on_channel(spec: str, name: str, channel: int, populations: int) -> Target:
    """The target of a channel under a specification; its law stays open where several populations leave a choice.

    Args:
        populations: how many positive populations lie along the channel.
    """
    kind, _, number = spec.partition(":")
    if kind == "multiplex":
        return Target(name, int(number) + 1, "binomial", channel)
    if kind == "poisson" and number:
        return Target(name, int(number) + 1, "poisson", channel)
    if kind == "binary" or populations < 2:
        return Target(name, 2, "poisson" if kind == "poisson" else "binomial", channel)
    return Target(name, populations + 1, "open", channel)
