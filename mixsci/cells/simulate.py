"""Cells whose truth is known: types, factors, batches, and gaps that depend on the value or do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.tables import as_generator, as_number
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: How far the levels of variables spread, in standard deviations within a type.
_LEVELS = 2.0
#: Rates of counts stay between exp(-3) and exp(3).
_MOST_LOG_RATE = 3.0


def simulate_cells(
    n_cells: int = 500,
    n_vars: int = 30,
    n_types: int = 4,
    *,
    n_factors: int | None = None,
    missing: float = 0.2,
    batches: int = 1,
    batch_effect: float = 1.0,
    not_at_random: float = 0.0,
    sparse: bool = False,
    separation: float = 6.0,
    rng: Any = None,
) -> AnnData:
    """Cells of several types, measured with gaps, in an AnnData that also holds what no measurement shows.

    A value is level of the variable + mean of the type + shift of the batch + noise of standard deviation 1. With
    factors the types differ in the factors alone, and values are level + loadings · factors + shift + noise.

    Args:
        n_cells, n_vars: number of cells and of variables D.
        n_types: number of types K; type 0 is the most frequent.
        n_factors: number of factors q; None = every variable by itself.
        missing: share of values that are missing.
        batches: number of batches B; cells fall into them at random.
        batch_effect: standard deviation of a batch's shift of a variable; the shifts of a variable sum to zero.
        not_at_random: by how much the log odds of a gap fall per standard deviation of the values; 0 = at random.
        sparse: whether values v become log(1 + counts) of rate exp(v / 2), stored as a sparse matrix.
        separation: distance of the closest two types, in standard deviations within a type.
        rng: seed or generator.

    Returns:
        X (n_cells x n_vars) with NaN; obs cell_type and batch; layers complete, X before the gaps; varm means (D x K),
        batch_shifts (D x B) and, with factors, loadings (D x q); obsm factors (n_cells x q); uns truth.

    Raises:
        DataError: numbers out of range.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(100, 8, 3, missing=0.5, rng=1)
        >>> adata.shape, adata.obs["cell_type"].cat.categories.tolist()
        ((100, 8), ['type_0', 'type_1', 'type_2'])
    """
    _refuse_parts(n_cells=n_cells, n_vars=n_vars, n_types=n_types, batches=batches, n_factors=n_factors)
    share, slope = _number(missing, "missing", 0.0, 0.99), _number(not_at_random, "not_at_random", -50.0, 50.0)
    effect, apart = _number(batch_effect, "batch_effect", 0.0, 1e3), _number(separation, "separation", 0.0, 1e3)
    rng = as_generator(rng)
    weights = _weights(n_types)
    kinds, runs = rng.choice(n_types, n_cells, p=weights), rng.integers(batches, size=n_cells)
    parts = _factors(kinds, n_types, n_vars, n_factors, apart, rng)
    levels, shifts = rng.normal(0.0, _LEVELS, n_vars), _shifts(batches, n_vars, effect, rng)
    values = levels + parts["signal"] + shifts[runs] + rng.standard_normal((n_cells, n_vars))
    values = _counts(values, rng) if sparse else values
    gaps = rng.random(values.shape) < _chances(values, share, slope)
    truth = {"weights": weights, "missing": share, "not_at_random": slope, "separation": apart, "batch_effect": effect}
    adata = _annotated(values, gaps, sparse=bool(sparse))
    _label(adata, {"cell_type": (kinds, n_types, "type"), "batch": (runs, batches, "batch")})
    _tell(adata, levels, shifts, parts, truth)
    return adata


def small_cells(rng: Any = 1) -> AnnData:
    """300 cells of 4 types by 20 variables in 2 batches, a quarter missing, rounded: the AnnData in data/.

    Args:
        rng: seed or generator.

    Example:
        >>> from mixsci.cells.simulate import small_cells
        >>> small_cells(rng=1).shape
        (300, 20)
    """
    adata = simulate_cells(300, 20, 4, n_factors=3, missing=0.25, batches=2, batch_effect=0.7, rng=rng)
    adata.X = adata.X.astype(np.float32).round(3)
    adata.layers["complete"] = adata.layers["complete"].astype(np.float32).round(3)
    return adata


# --- the cells -------------------------------------------------------------------------------------------------------


def _weights(n_types: int) -> Array:
    """(K,) falling shares of the types, the last about half as large as the first where there are few."""
    raw = 1.0 / (1.0 + 0.3 * np.arange(n_types))
    return np.asarray(raw / raw.sum())


def _factors(
    kinds: Array, n_types: int, n_vars: int, n_factors: int | None, separation: float, rng: np.random.Generator
) -> dict[str, Array]:
    """What cells owe to their type: signal (n, D), means (D, K); with factors loadings (D, q) and scores (n, q) too."""
    width = n_vars if n_factors is None else n_factors
    centres = _centres(n_types, width, separation, rng)
    if n_factors is None:
        return {"signal": centres[kinds], "means": centres.T}
    loadings = rng.standard_normal((n_vars, n_factors))
    scores = centres[kinds] + rng.standard_normal((len(kinds), n_factors))
    return {"signal": scores @ loadings.T, "means": loadings @ centres.T, "loadings": loadings, "scores": scores}


def _centres(n_types: int, width: int, separation: float, rng: np.random.Generator) -> Array:
    """(K, width) points of which the closest two are `separation` apart."""
    centres = rng.standard_normal((n_types, width))
    if n_types == 1:
        return centres
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(n_types, 1)]
    return np.asarray(centres * (separation / apart.min()))


def _shifts(batches: int, n_vars: int, effect: float, rng: np.random.Generator) -> Array:
    """(B, D) shifts of the batches; those of a variable sum to zero, for its level takes up the rest."""
    shifts = effect * rng.standard_normal((batches, n_vars))
    return np.asarray(shifts - shifts.mean(axis=0))


def _counts(values: Array, rng: np.random.Generator) -> Array:
    """log(1 + counts) of rates exp(v / 2)."""
    return np.log1p(rng.poisson(np.exp(np.clip(values / 2, -_MOST_LOG_RATE, _MOST_LOG_RATE)))).astype(float)


def _chances(values: Array, share: float, slope: float) -> Array:
    """(n, D) probabilities of a gap, `share` in the mean."""
    from scipy.optimize import brentq
    from scipy.special import expit

    if not share or not slope or not values.std():
        return np.full(values.shape, share)
    standard = (values - values.mean()) / values.std()
    reach = 50.0 + abs(slope) * float(np.abs(standard).max())
    level = brentq(lambda a: expit(a - slope * standard).mean() - share, -reach, reach)
    return np.asarray(expit(level - slope * standard))


# --- the AnnData -----------------------------------------------------------------------------------------------------


def _annotated(values: Array, gaps: Array, *, sparse: bool) -> AnnData:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    stored = csr_matrix if sparse else np.asarray
    obs = pd.DataFrame(index=[f"cell_{i}" for i in range(len(values))])
    var = pd.DataFrame(index=[f"marker_{j}" for j in range(values.shape[1])])
    return AnnData(stored(np.where(gaps, np.nan, values)), obs=obs, var=var, layers={"complete": stored(values)})


def _label(adata: AnnData, columns: dict[str, tuple[Array, int, str]]) -> None:
    import pandas as pd

    for name, (codes, count, prefix) in columns.items():
        adata.obs[name] = pd.Categorical.from_codes(codes, categories=pd.Index([f"{prefix}_{i}" for i in range(count)]))


def _tell(adata: AnnData, levels: Array, shifts: Array, parts: dict[str, Array], truth: dict[str, Any]) -> None:
    """Write what is true of the cells."""
    import pandas as pd

    adata.varm["means"] = pd.DataFrame(
        levels[:, None] + parts["means"], index=adata.var_names, columns=adata.obs["cell_type"].cat.categories
    )
    adata.varm["batch_shifts"] = pd.DataFrame(
        shifts.T, index=adata.var_names, columns=adata.obs["batch"].cat.categories
    )
    if "loadings" in parts:
        adata.varm["loadings"], adata.obsm["factors"] = parts["loadings"], parts["scores"]
    adata.uns["truth"] = truth


# --- arguments -------------------------------------------------------------------------------------------------------


def _refuse_parts(**counts: Any) -> None:
    for name, value in counts.items():
        none = name == "n_factors" and value is None
        if not none and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise DataError(f"{name} must be a whole number, 1 or more; got {value!r:.80}")


def _number(value: Any, name: str, low: float, high: float) -> float:
    found = as_number(value, name)
    if not low <= found <= high:
        raise DataError(f"{name} must be from {low:g} to {high:g}; got {found:g}")
    return found
