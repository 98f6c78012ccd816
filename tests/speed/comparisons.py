"""What is compared: every line of the table, with its target."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from .problems import Problem, complete, noisy

REPEATS, QUICK_REPEATS = 5, 2
QUICK_SHARE, QUICK_ROWS = 10, 1_000
MEMORY_ROWS = 5_000_000


@dataclass(frozen=True)
class Speed:
    """Ours against one rival: so many rows of d columns, K components, passes per climb, and the ratio to reach."""

    name: str
    make: Callable[[int, int, int], Problem]
    n_rows: int
    d: int
    n_components: int
    rival: str
    passes: int
    target: float
    # False where the rival leaves the noise out: its passes then lead elsewhere.
    same_model: bool = True

    def problem(self, quick: bool) -> Callable[[], Problem]:
        """Makes the rows when called; a tenth of them in a quick run."""
        n_rows = max(QUICK_ROWS, self.n_rows // QUICK_SHARE) if quick else self.n_rows
        return partial(self.make, n_rows, self.d, self.n_components)


@dataclass(frozen=True)
class Memory:
    """Peak memory of one task above its rows and a warm-up fit; None where a rival is shown for comparison."""

    name: str
    task: str
    what: str
    target_mb: float | None


SPEED = (
    Speed("complete-3", complete, 300_000, 3, 10, "scikit_learn", passes=4, target=8),
    Speed("complete-10", complete, 200_000, 10, 10, "scikit_learn", passes=4, target=6),
    Speed("complete-50", complete, 20_000, 50, 10, "scikit_learn", passes=8, target=2),
    Speed("noise-3", noisy, 300_000, 3, 10, "scikit_learn", passes=4, target=4, same_model=False),
    Speed("xd-2-astroml", noisy, 2_000, 2, 3, "astroml", passes=5, target=100),
    Speed("xd-3-astroml", noisy, 5_000, 3, 10, "astroml", passes=1, target=100),
    Speed("xd-2-pygmmis", noisy, 2_000, 2, 3, "pygmmis", passes=40, target=20),
    Speed("xd-3-pygmmis", noisy, 20_000, 3, 10, "pygmmis", passes=5, target=20),
)

MEMORY = (
    Memory("memory-passes", "passes", "mixsci, full noise, Observations and 3 passes", 200),
    Memory("memory-fit", "fit", "mixsci, full noise, fit from its own starts", 200),
    Memory("memory-scikit-learn", "scikit-learn", "scikit-learn, no noise, 3 passes", None),
)
