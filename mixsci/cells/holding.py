"""Held-out values: how well they are foretold from the others of their cells, and how honest the errors are."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from mixsci.cells.again import matrix_again
from mixsci.cells.annotations import refuse_key, written_to
from mixsci.cells.clusterings import one_seed
from mixsci.cells.matrix import Matrix
from mixsci.cells.results import as_storable, load
from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.factor_mixture import FactorMixture, variances_of
from mixsci.engine.inference.held_out import hide
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_generator, as_number
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: About so many values are hidden at most: with more, fewer cells take part.
_MOST = 100_000
#: Cells worked on at once.
_ROWS = 4096
#: Intervals whose coverage is counted.
LEVELS = (0.5, 0.9)


def held_out(
    adata: AnnData,
    key: str = "mixture",
    *,
    share: float = 0.1,
    refit: bool = False,
    key_added: str | None = None,
    rng: Any = None,
    random_state: Any = None,
    workers: Any = None,
    copy: bool = False,
) -> AnnData | None:
    """Hide some observed values, foretell each from the others of its cell, and keep both.

    The stored fit has seen the values that are hidden here: what it says of them is a little too good, the more so the
    fewer the cells are for the fit's parameters. With `refit` the same model is fitted again without them.

    Args:
        adata: with the results of `mixture` or `factor`.
        key: their name.
        share: share of the observed values to hide; where that is more than about 100,000, in fewer cells.
        refit: fit again without the hidden values, which takes as long as the fit did.
        key_added: name of what is kept; None = f"{key}_held_out".
        rng, random_state: seed or generator.
        workers: threads of the new fit.
        copy: return a changed copy.

    Returns:
        The copy, if asked for. Written is uns[key_added] with a line for every hidden value: `cell` and `variable`
        (numbers; `names` has those of the variables), `value`, `expected`, `sd` (error of the value included) and
        `quantile`, where the value falls in its prediction, uniform in [0, 1] where the model is right. For all:
        `centre` and `scale` (D,), mean and standard deviation of the variables; `r2`, 1 - the mean squared error in
        those units over that of the means; `coverage_50` and `coverage_90`, shares of values in their central
        intervals; `share`, `refit`. `mixsci.cells.pl.calibration` draws it.

    Raises:
        DataError: no such results, a share out of range, nothing to hide, a new fit of cells that are not in memory.

    Example:
        >>> from mixsci import cells
        >>> adata = cells.simulate_cells(400, 8, 3, missing=0.2, rng=1)
        >>> cells.tl.mixture(adata, 3, covariance="tied", rng=1)
        >>> cells.tl.held_out(adata, rng=1)
        >>> found = adata.uns["mixture_held_out"]
        >>> bool(found["r2"] > 0.3), bool(0.85 < found["coverage_90"] < 0.95)
        (True, True)
    """
    adata, share = written_to(adata, copy=copy), _share(share)
    name = f"{key}_held_out" if key_added is None else key_added
    refuse_key(name)
    found, matrix, seed = load(adata, key), matrix_again(adata, key), as_generator(one_seed(rng, random_state))
    kept = _kept(found, matrix, share, seed, refit=refit, workers=workers)
    adata.uns[name] = as_storable(kept | _sums(kept, matrix) | {
        "names": list(matrix.names), "input": matrix.label, "share": share, "refit": bool(refit), "key": key,
    })  # fmt: skip
    return adata if copy else None


def _share(share: Any) -> float:
    share = as_number(share, "share")
    if not 0.0 < share < 1.0:
        raise DataError(f"share must be between 0 and 1; got {share:g}")
    return share


_FIELDS = ("cell", "variable", "value", "expected", "sd", "quantile")


@dataclass(frozen=True, eq=False)
class Hidden:
    """Some cells of which values are hidden.

    Attributes:
        cells: (b,) numbers of the cells.
        obs: the b cells with all their values.
        at: (b, D) True where a value is hidden.
    """

    cells: Array
    obs: Observations
    at: Array

    @property
    def rest(self) -> Observations:
        """The cells without what is hidden."""
        return self.obs.valued(np.where(self.at, np.nan, self.obs.x))


def _kept(
    found: Fit, matrix: Matrix, share: float, rng: np.random.Generator, *, refit: bool, workers: Any
) -> dict[str, Array]:
    """A line for every hidden value."""
    cells = _cells(matrix, share, rng)
    parts: Iterable[Hidden]
    if refit:
        parts, found = _without(found, matrix, cells, share, rng, workers)
    else:
        parts = _hidden(matrix, cells, share, rng)
    told = [_foretold(found.mixture, one) for one in parts]
    kept = {field: np.concatenate([one[field] for one in told] or [np.empty(0)]) for field in _FIELDS}
    if not len(kept["value"]):
        raise DataError(f"there must be a value to hide; of {int(matrix.counts.sum())} a share of {share:g} is none")
    return kept


def _cells(matrix: Matrix, share: float, rng: np.random.Generator) -> Array:
    """(n,) True for cells that take part."""
    wanted = share * float(matrix.counts.sum())
    return np.asarray(matrix.seen & (rng.random(matrix.n_obs) < min(1.0, _MOST / max(wanted, 1.0))))


def _hidden(matrix: Matrix, cells: Array, share: float, rng: np.random.Generator) -> Iterator[Hidden]:
    """Cells that take part, in blocks, with what is hidden of them."""
    for rows, obs in matrix.parts():
        own = np.flatnonzero(cells[rows])
        for start in range(0, len(own), _ROWS):
            few = own[start : start + _ROWS]
            block = obs.take(few)
            yield Hidden(rows.start + few, block, block.seen() & (rng.random(block.x.shape) < share))


def _without(
    found: Fit, matrix: Matrix, cells: Array, share: float, rng: np.random.Generator, workers: Any
) -> tuple[list[Hidden], Fit]:
    """The fit of the same model to what is left, and what was hidden from it."""
    obs = matrix.obs
    if not isinstance(obs, Observations):
        raise DataError("a new fit without hidden values needs dense cells in memory: leave refit=False, or load them")
    at, _ = hide(obs, obs.seen() & (rng.random(obs.x.shape) < share) & cells[:, None])
    whole = Hidden(np.arange(len(obs)), obs, at)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = fit(found.model, whole.rest, rng=rng, workers=workers)
    some = np.flatnonzero(at.any(axis=1))
    blocks = (some[start : start + _ROWS] for start in range(0, len(some), _ROWS))
    return [Hidden(few, obs.take(few), at[few]) for few in blocks], again


def _foretold(mixture: Mixture, hidden: Hidden) -> dict[str, Array]:
    """A line for every hidden value: its prediction is a Gaussian for each component, mixed by what the rest says."""
    rest, (rows, columns) = hidden.rest, np.nonzero(hidden.at)
    shares = mixture.responsibilities(rest)[rows].T
    # Of whole blocks, one at a time, only what was hidden is kept.
    parts = np.array([[of[rows, columns] for of in one.impute(rest)] for one in alone(mixture)])
    noise = np.broadcast_to(variances_of(hidden.obs), hidden.at.shape)[rows, columns]
    means, variances = parts[:, 0], parts[:, 1] ** 2 + noise
    value = hidden.obs.x[rows, columns]
    expected = (shares * means).sum(axis=0)
    variance = (shares * (variances + (means - expected) ** 2)).sum(axis=0)
    sd = np.sqrt(np.maximum(variances, np.finfo(float).tiny))
    return {
        "cell": hidden.cells[rows], "variable": columns, "value": value, "expected": expected,
        "sd": np.sqrt(variance), "quantile": np.clip((shares * ndtr((value - means) / sd)).sum(axis=0), 0.0, 1.0),
    }  # fmt: skip


def alone(mixture: Mixture) -> Iterator[Mixture]:
    """Each component as a mixture of its own, with the shifts of the groups."""
    for k in range(mixture.n_components):
        own = slice(k, k + 1)
        changes: dict[str, Any] = {
            "weights": np.ones((mixture.n_groups, 1)) if mixture.weights.ndim == 2 else np.ones(1),
            "means": mixture.means[own], "covariances": mixture.covariances[own], "background": None, "rates": None,
            "theta": None, "state_of_component": None,
        }  # fmt: skip
        if isinstance(mixture, FactorMixture) and mixture.own:
            for name in ("loadings", "intercept", "doubt", "scale"):
                value = getattr(mixture, name)
                # A prior's scale may be one for all components.
                changes[name] = value if value is None or len(value) == 1 else value[own]
        yield replace(mixture, **changes)


def _sums(kept: dict[str, Array], matrix: Matrix) -> dict[str, Any]:
    """What the lines say in single numbers."""
    centre = _centres(matrix)
    scale = np.where(matrix.sd > 0, matrix.sd, 1.0)
    errors = (kept["value"] - kept["expected"]) / scale[kept["variable"]]
    plain = (kept["value"] - centre[kept["variable"]]) / scale[kept["variable"]]
    apart = np.abs(kept["quantile"] - 0.5)
    return {
        "centre": centre, "scale": scale, "r2": float(1.0 - (errors**2).sum() / max((plain**2).sum(), 1e-300)),
        **{f"coverage_{100 * level:.0f}": float((apart <= level / 2).mean()) for level in LEVELS},
    }  # fmt: skip


def _centres(matrix: Matrix) -> Array:
    """(D,) means of the observed values."""
    sums = np.zeros(len(matrix.names))
    for _, obs in matrix.parts():
        sums += np.where(obs.seen(), obs.x, 0.0).sum(axis=0)
    return np.asarray(sums / np.maximum(matrix.counts, 1))
