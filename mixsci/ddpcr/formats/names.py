"""What names say: of files which well, of columns which channel."""

from __future__ import annotations

import re
from pathlib import Path

from mixsci.ddpcr.plate import well_name

_WELL = re.compile(r"(?<![A-Za-z0-9])([A-Pa-p](?:0?[1-9]|1[0-9]|2[0-4]))(?![A-Za-z0-9])")
_ENDING = re.compile(r"amplitudes?|rawdata", re.IGNORECASE)
_CHANNEL = re.compile(r"(?:ch|channel)[ ._]?([1-6])[ ._]?amplitude", re.IGNORECASE)


def well_in(path: Path) -> str:
    """The well a file is named after, "A01" of "Big test 6.12.12_A01_Amplitude.csv": the last before the ending; or "".

    Example:
        >>> from pathlib import Path
        >>> from mixsci.ddpcr.formats.names import well_in
        >>> well_in(Path("Big test 6.12.12_A8_Amplitude.csv"))
        'A08'
    """
    endings = list(_ENDING.finditer(path.stem))
    found = _WELL.findall(path.stem[: endings[-1].start()] if endings else path.stem)
    return well_name(found[-1]) if found else ""


def names_amplitudes(path: Path) -> bool:
    """Whether a file is named as files of droplets are."""
    return bool(_ENDING.search(path.stem))


def channel_of(name: str) -> str:
    """The channel whose amplitudes a column holds, "Ch1" of "Ch1 Amplitude", "Ch1.Amplitude", "Ch1Amplitude"; or ""."""
    found = _CHANNEL.fullmatch(name.strip())
    return f"Ch{found[1]}" if found else ""


def plain(name: str) -> str:
    """A name in small letters and digits, + and − kept: the same however blanks, signs and µ are written.

    Example:
        >>> from mixsci.ddpcr.formats.names import plain
        >>> plain("Conc(copies/µL)"), plain("Ch1+Ch2-")
        ('conccopiesl', 'ch1+ch2-')
    """
    return re.sub(r"[^a-z0-9+-]", "", name.lower())
