"""Refuse a wheel or an sdist that holds more than the package, its licence and what describes them."""

import sys
import tarfile
import zipfile
from pathlib import Path

DESCRIPTION = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}


def strangers_in_wheel(wheel: Path) -> list[str]:
    """What a wheel holds besides the package and its metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    return [name for name in names if not (name.startswith("mixsci/") or name.partition("/")[0].endswith(".dist-info"))]


def strangers_in_sdist(sdist: Path) -> list[str]:
    """What an sdist holds besides the package and what describes it."""
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers()]
    return [name for name in names if not (name.startswith("mixsci/") or name in DESCRIPTION)]


def licensed(wheel: Path) -> bool:
    """Whether a wheel carries its licence."""
    return any(name.endswith("/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


dist = Path(sys.argv[1])
(wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
strangers = strangers_in_wheel(wheel) + strangers_in_sdist(sdist)
if strangers or not licensed(wheel):
    sys.exit(f"only the package and its licence may be shipped; found {strangers}, licence {licensed(wheel)}")
print(f"{wheel.name} and {sdist.name} hold the package and its licence")
