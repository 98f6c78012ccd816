"""What can go wrong, said in one sentence each: what must hold, what came, what to do."""

from __future__ import annotations

import numpy as np


class DataError(ValueError):
    """Input that cannot be used; the message names the first bad rows and says what to do."""


class FormatError(ValueError):
    """A file that is not what its reader expects."""


class ConvergenceWarning(UserWarning):
    """A fit that ended before it converged; the message carries the remedy."""


def name_rows(bad: np.ndarray, *, most: int = 5) -> str:
    """The first rows where `bad` (n,) holds, as words: "rows 3, 17 and 20" or "rows 0, 1, 2, 3, 4 ... (12 in all)"."""
    rows = np.flatnonzero(bad)
    if len(rows) == 1:
        return f"row {rows[0]}"
    if len(rows) <= most:
        return "rows " + ", ".join(str(row) for row in rows[:-1]) + f" and {rows[-1]}"
    return "rows " + ", ".join(str(row) for row in rows[:most]) + f" ... ({len(rows)} in all)"
