"""Results of a fit in an AnnData: written so that they survive a file, and read back bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.cells.annotations import listed, refuse_key, refuse_others
from mixsci.cells.matrix import Matrix
from mixsci.engine.em import archive
from mixsci.engine.em.result import Fit
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from mixsci.plot.paper import PALETTE

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Assignment:
    """To which components n cells belong; components are numbered by falling weight.

    Attributes:
        proba: (n, K) probabilities; those of a cell without a value are the weights.
        log_density: (n,) log density of the observed values, NaN for a cell without any.
        seen: (n,) True for cells with a value.
    """

    proba: Array
    log_density: Array
    seen: Array

    def __repr__(self) -> str:
        n, k = self.proba.shape
        return f"Assignment({n} cells, {k} components)"

    @property
    def codes(self) -> Array:
        """(n,) the most probable component; -1 for a cell without a value."""
        return np.where(self.seen, self.proba.argmax(axis=1), -1)

    @property
    def prob(self) -> Array:
        """(n,) its probability; NaN for a cell without a value."""
        return np.where(self.seen, self.proba.max(axis=1), np.nan)

    @property
    def entropy(self) -> Array:
        """(n,) -sum_k r_k log r_k / log K, from 0 = certain to 1 = anything goes; NaN for a cell without a value."""
        r, k = self.proba, self.proba.shape[1]
        if k == 1:
            return np.where(self.seen, 0.0, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(r > 0, r * np.log(r), 0.0)
        # Rounding could leave a certain cell at -0 and an even one above 1.
        return np.where(self.seen, np.clip(-terms.sum(axis=1) / np.log(k), 0.0, 1.0), np.nan)


def by_weight(fit: Fit) -> Array:
    """(K,) components of a fit by falling weight: the number of a label -> the number of its component."""
    return np.argsort(-fit.mixture.pooled_weights, kind="stable")


def assign(fit: Fit, matrix: Matrix) -> Assignment:
    """To which components of a fit the cells of a matrix belong; sparse, lazy and backed ones block by block."""
    return assign_rows(fit, matrix, lambda obs: obs)


def assign_rows(fit: Fit, matrix: Matrix, view: Callable[[Observations], Observations]) -> Assignment:
    """To which components of a fit the cells of a matrix belong, each block of them as `view` makes it fit the fit."""
    order = by_weight(fit)
    proba, log_density = np.empty((matrix.n_obs, len(order))), np.empty(matrix.n_obs)
    for rows, block in matrix.parts():
        shares = fit.mixture.shares(view(block))
        proba[rows], log_density[rows] = shares.responsibilities[:, order], shares.log_density
    return Assignment(proba, np.where(matrix.seen, log_density, np.nan), matrix.seen)


def write_mixture(
    adata: AnnData, key: str, fit: Fit, matrix: Matrix, *, params: Mapping[str, Any] | None = None
) -> Assignment:
    """Write a fit and what it says of the cells into an AnnData; `load` reads the fit back.

    Written are obs[key] (category of "0", "1", ... by falling weight, missing for a cell without a value),
    obs[f"{key}_prob"], obs[f"{key}_entropy"], obs[f"{key}_log_density"], obsm[f"{key}_proba"] (n x K),
    varm[f"{key}_means"] (n_vars x K, NaN for variables that were not used), uns[f"{key}_colors"] and uns[key]. Of the
    last, weights and means are in the order of the labels; the fit keeps its own, `order` leads from one to the other.

    Args:
        adata: changed.
        key: name of the results.
        fit: of the cells of `matrix`.
        matrix: the values of `adata` that were fitted.
        params: what the fit was asked for; numbers, texts, lists and dictionaries of them, None is left out.

    Returns:
        What was written of the cells.

    Raises:
        DataError: a key with a slash, a matrix of other cells.

    Example:
        >>> import mixsci as mx
        >>> from mixsci import cells
        >>> from mixsci.cells.matrix import matrix_of
        >>> adata = cells.simulate_cells(200, 5, 2, rng=1)
        >>> matrix = matrix_of(adata)
        >>> fit = mx.fit(mx.Model(2), matrix.obs, rng=1)
        >>> write_mixture(adata, "mixture", fit, matrix)
        Assignment(200 cells, 2 components)
        >>> adata.obs["mixture"].cat.categories.tolist(), cells.load(adata).bic == fit.bic
        (['0', '1'], True)
    """
    refuse_others(adata)
    refuse_key(key)
    if matrix.n_obs != adata.n_obs:
        raise DataError(f"the matrix must hold the {adata.n_obs} cells of the AnnData; got {matrix.n_obs} cells")
    found = assign(fit, matrix)
    write_assignment(adata, key, found)
    means = fit.mixture.component_means()[by_weight(fit)].T
    # Those of an earlier fit with this key may be of other variables.
    adata.varm.pop(f"{key}_means", None)
    if matrix.columns is not None:
        adata.varm[f"{key}_means"] = spread_over_variables(means, matrix.columns, adata.n_vars)
    adata.uns[key] = as_storable(_facts(fit, matrix, means) | {"params": dict(params or {})})
    return found


def write_assignment(adata: AnnData, key: str, found: Assignment) -> None:
    """Write what is known of the cells: label, probability, entropy, log density, all probabilities, colours."""
    import pandas as pd

    names = [str(k) for k in range(found.proba.shape[1])]
    adata.obs[key] = pd.Categorical.from_codes(found.codes, categories=pd.Index(names))
    adata.obs[f"{key}_prob"] = found.prob
    adata.obs[f"{key}_entropy"] = found.entropy
    adata.obs[f"{key}_log_density"] = found.log_density
    adata.obsm[f"{key}_proba"] = found.proba
    adata.uns[f"{key}_colors"] = as_storable([PALETTE[k % len(PALETTE)] for k in range(len(names))])


def load(adata: AnnData, key: str = "mixture") -> Fit:
    """The fit that was written into an AnnData, bit for bit.

    Args:
        adata: with results, perhaps read from a file.
        key: their name, `key_added` of the fit.

    Raises:
        DataError: no fit of this name.
        FormatError: one that is damaged, or of a newer mixsci.

    Example:
        See `mixsci.cells.tl.mixture`, which writes it.
    """
    found: Fit = archive.from_text(str(entry_of_fit(adata, key)["fit"]), f"uns[{key!r}]")
    return found


def entry_of_fit(adata: AnnData, key: Any) -> Mapping[str, Any]:
    """What uns holds of a fit; refuses a key that names none."""
    refuse_others(adata)
    entry = adata.uns.get(key) if isinstance(key, str) else None
    if not isinstance(entry, Mapping) or "fit" not in entry:
        held = [name for name, value in adata.uns.items() if isinstance(value, Mapping) and "fit" in value]
        raise DataError(f"key must name results of a fit in uns, of which there are {listed(held)}; got {key!r:.80}")
    return entry


def spread_over_variables(values: Array, columns: Array, n_vars: int) -> Array:
    """(n_vars, K) values (D, K) at the variables they are of, NaN at the others."""
    spread = np.full((n_vars, values.shape[1]), np.nan)
    spread[columns] = values
    return spread


def as_storable(value: Any) -> Any:
    """A value that h5ad holds and gives back: None is left out of dictionaries, lists are arrays, the rest is text."""
    if isinstance(value, Mapping):
        return {str(name): as_storable(part) for name, part in value.items() if part is not None}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset | range):
        value = np.array([as_storable(part) for part in value])
    if not isinstance(value, np.ndarray):
        return repr(value)
    # Text comes back from a file as objects, so that is how it is written.
    return value if value.dtype.kind in "fiub" else np.array([str(part) for part in value], dtype=object)


def _facts(fit: Fit, matrix: Matrix, means: Array) -> dict[str, Any]:
    """Single numbers and small arrays that say what was found and how, the whole fit as text among them."""
    order = by_weight(fit)
    grouped = fit.mixture.weights.ndim == 2
    return {
        "weights": fit.mixture.pooled_weights[order],
        "batch_weights": fit.mixture.weights[:, order] if grouped else None,
        "batches": [str(label) for label in fit.mixture.group_labels] if fit.mixture.group_labels else None,
        "order": order,
        "means": means if matrix.columns is None else None,
    } | facts_of_fit(fit, matrix)


def facts_of_fit(fit: Fit, matrix: Matrix) -> dict[str, Any]:
    """What is said of every fit, the whole of it as text included."""
    from mixsci import __version__

    return {
        "names": np.array(matrix.names),
        "input": matrix.label,
        "bic": fit.bic,
        "icl": fit.icl,
        "log_likelihood": fit.log_likelihood,
        "n_free": fit.n_free,
        "outcome": fit.outcome.name,
        "converged": fit.converged,
        "history": np.array(fit.history),
        "n_patterns": matrix.n_patterns,
        "n_seen": int(matrix.seen.sum()),
        "version": __version__,
        "fit": archive.to_text(fit),
    }
