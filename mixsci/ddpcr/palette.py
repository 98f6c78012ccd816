"""Colours of droplets: those of Okabe and Ito, which colour-blind readers tell apart.

Grey is a droplet without any target. The first target is blue and the last green, as the instruments have them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

INK, PALE, WARNING, NEGATIVE = "#262626", "#9A9A9A", "#D55E00", "#8F8F8F"
BLUE, GREEN, ORANGE, PURPLE, SKY, VIOLET = "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#6B4C9A"
#: Number of targets -> colour of each code (`mixsci.ddpcr.portrait.codes_of`).
_CODES = {
    1: (NEGATIVE, BLUE),
    2: (NEGATIVE, GREEN, BLUE, ORANGE),
    3: (NEGATIVE, GREEN, PURPLE, ORANGE, BLUE, SKY, VIOLET, WARNING),
}
_FOUR = (BLUE, PURPLE, ORANGE, GREEN)
#: Of targets side by side.
TARGETS = (BLUE, GREEN, ORANGE, PURPLE, SKY, VIOLET)
#: Of concentrations, from none to the highest.
HEAT = ("#F4F8FB", "#9CCBE6", "#0072B2", "#00304C")


def colors_of_codes(channels: Sequence[str], n_targets: int) -> tuple[str, ...]:
    """(2^T,) colours of the codes of targets; one that lights in the second channel alone is green.

    >>> from mixsci.ddpcr.palette import colors_of_codes
    >>> colors_of_codes(("Ch1", "Ch2"), 2)
    ('#8F8F8F', '#009E73', '#0072B2', '#E69F00')
    """
    if n_targets == 1 and tuple(channels) == ("Ch2",):
        return NEGATIVE, GREEN
    return _CODES.get(n_targets) or tuple(_mixed(code) for code in range(2 ** len(_FOUR)))


def darker(color: str, depth: float = 0.28) -> str:
    """A colour on its way to black; black is depth 1.

    >>> darker("#FF8000", 0.5)
    '#804000'
    """
    return _hex((1.0 - depth) * _rgb(color))


def _mixed(code: int) -> str:
    """The colour of a code of four targets: that of its target, or the mean of those it holds, darker."""
    held = [_rgb(color) for t, color in enumerate(_FOUR) if code >> (len(_FOUR) - 1 - t) & 1]
    if not held:
        return NEGATIVE
    return _hex(np.mean(held, axis=0) * (1.0 if len(held) == 1 else 0.7))


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)


def _hex(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(level):02X}" for level in rgb.tolist())
