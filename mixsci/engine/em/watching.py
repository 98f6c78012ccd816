"""Watching a climb: each function wraps the iterator of states and hands every state on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from mixsci.engine.em.state import State

Item = TypeVar("Item")


def record(states: Iterator[State], history: list[float]) -> Iterator[State]:
    """Append the objective of every state to `history`."""
    for state in states:
        history.append(state.objective)
        yield state


def of_state(_: int, state: State) -> str:
    """Passes, objective and estimated gap."""
    return f"pass {state.iteration}, objective {state.objective:.6g}, gap {state.gap:.2g}"


def progress(items: Iterable[Item], title: str, say: Callable[[int, Any], str] = of_state) -> Iterator[Item]:
    """Show on standard error what is said of each item, by number and item; nothing where it is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    with console.status(title) as status:
        for number, item in enumerate(items, 1):
            status.update(f"{title}: {say(number, item)}")
            yield item


def every(states: Iterator[State], seconds: float, act: Callable[[State], None]) -> Iterator[State]:
    """Call `act` on a state whenever so many seconds have passed since the last time."""
    last = time.monotonic()
    for state in states:
        if time.monotonic() - last >= seconds:
            act(state)
            last = time.monotonic()
        yield state


def counted(items: Iterable[Item], title: str, total: int, *, show: bool) -> Iterator[Item]:
    """Show on standard error how many items of so many have come."""
    return progress(items, title, lambda number, _: f"{number} of {total}") if show else iter(items)
