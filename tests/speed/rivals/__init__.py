"""One file per package on the track, ours among them. Each file holds

NAME, DISTRIBUTION     what the table calls it, and its name on PyPI
BLAS_THREADS           the numbers of BLAS threads to try; the quickest counts
NOTES                  what a reader must know to read its figures
prepare(problem)       -> climb; climb(passes) runs exactly so many EM passes from the start and returns Parameters
breakages()            sentences about features of it that fail with the libraries installed
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from ..problems import Parameters

Climb = Callable[[int], Parameters]


def load(name: str) -> ModuleType:
    """The file of one package; raises ImportError where that package is not installed."""
    return import_module(f"{__name__}.{name}")


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def failures(features: dict[str, Callable[[], object]]) -> list[str]:
    """One sentence for every feature that raises."""
    sentences = []
    for feature, use in features.items():
        try:
            use()
        except Exception as error:
            sentences.append(f"{feature} raises {first_line(error)}")
    return sentences
