"""How far two labellings of cells agree, and whether clusters follow a column that looks like a batch."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Words of column names that speak of how cells were measured, not of what they are.
_BATCH = re.compile(
    r"(^|[_\W])(batch|set|run|plate|donor|lane|chip|array|replicate|rep|library|pool|flowcell|channel|day|date|experiment|"
    r"dataset|study|site|file|sample_id|well|acquisition)(es|s|_?id|_?name|_?\d+)?($|[_\W])",
    re.IGNORECASE,
)
#: Clusters follow a batch from this agreement on.
FOLLOWS = 0.2


def agreement(one: Any, other: Any) -> float:
    """Adjusted Rand index of two labellings (n,): 1 = the same, 0 = as by chance (Hubert & Arabie 1985, eq. 5).

    Example:
        >>> agreement(["a", "a", "b", "b"], [1, 1, 0, 0])
        1.0
    """
    _, a = np.unique(np.asarray(one), return_inverse=True)
    _, b = np.unique(np.asarray(other), return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1.0)
    pairs, rows, columns = (_pairs(part).sum() for part in (table, table.sum(axis=1), table.sum(axis=0)))
    chance = rows * columns / max(_pairs(np.array(float(len(a)))), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == chance else float((pairs - chance) / (most - chance))


def warn_of_batches(adata: AnnData, codes: Array, batch: str | None) -> None:
    """One sentence for every column that looks like a batch and that the clusters follow."""
    if batch is not None or codes.max(initial=0) < 1:
        return
    seen = codes >= 0
    for name in adata.obs.columns:
        if not (isinstance(name, str) and _BATCH.search(name)):
            continue
        labels = adata.obs[name][seen].astype(str).to_numpy()
        levels = len(np.unique(labels))
        if not 2 <= levels <= len(labels) / 3:
            continue
        follows = agreement(codes[seen], labels)
        if follows > FOLLOWS:
            warnings.warn(
                f"the clusters follow obs column {name!r} (adjusted Rand index {follows:.2f}), which looks like a "
                f"batch: pass batch={name!r} to estimate its shifts with the rest",
                UserWarning,
                stacklevel=3,
            )


def _pairs(counts: Array) -> Array:
    return counts * (counts - 1.0) / 2.0
