"""Flags: cells that look like two cells in one, and cells that the mixture does not explain."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from mixsci.cells.again import matrix_again
from mixsci.cells.annotations import refuse_key, written_to
from mixsci.cells.matrix import Matrix
from mixsci.cells.results import by_weight, load
from mixsci.engine.evaluate import group_codes
from mixsci.engine.mixture import Mixture
from mixsci.engine.observations import Observations
from mixsci.engine.tables import as_chance, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

Array = np.ndarray

#: Scale of the values -> what two cells read as one have, from what each has.
SCALES: dict[str, Callable[[Array, Array], Array]] = {
    "linear": lambda a, b: (a + b) / 2,
    "log": lambda a, b: np.logaddexp(a, b) - np.log(2.0),
    "log1p": lambda a, b: np.log1p((np.expm1(a) + np.expm1(b)) / 2),
    "arcsinh": lambda a, b: np.arcsinh(np.sinh(a) + np.sinh(b)),
}


def doublets(
    adata: AnnData,
    key: str = "mixture",
    *,
    rate: float = 0.05,
    scale: str = "linear",
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """P(doublet): how likely a cell is two cells of different clusters read as one, rather than one.

    A doublet of components j and k is expected at what two such cells have together, with the spread of either. A cell
    is a doublet with probability `rate`, and then of j and k with probability 2 w_j w_k, so that

        P = rate sum_{j<k} 2 w_j w_k f_jk(x) / [rate sum_{j<k} 2 w_j w_k f_jk(x) + (1 - rate + rate sum_k w_k^2) p(x)].

    Not found are doublets of one cluster, and those that look like a third cluster or like a component that was fitted
    to doublets: fit few components. A cell that nothing explains goes with what is nearer: look at `outliers` too.

    Args:
        adata: cells with a mixture.
        key: of the mixture.
        rate: share of cells that are doublets, before looking.
        scale: that values are on: "linear" (standardised values, factors); "log" or "log1p", two cells have their mean
            before the logarithm, as of normalised counts; "arcsinh", their sum, as of fluorescence.
        layer: whose values; None = those the mixture was fitted to.
        key_added: prefix of the columns; None = key.
        copy: return a changed copy instead.

    Returns:
        None, or the copy. Written are obs["mixture_doublet_prob"], obs["mixture_doublet"] ("boolean", P >= 1/2) and
        obs["mixture_doublet_pair"], the two clusters of a doublet ("0+2"); NA in cells with nothing observed.

    Raises:
        DataError: no mixture of this name, one component only, a rate outside (0, 1), an unknown scale.

    Example:
        >>> import anndata, numpy as np
        >>> from mixsci.cells import tl
        >>> rng = np.random.default_rng(0)
        >>> x = np.concatenate([rng.normal(0, 1, (150, 4)), rng.normal(8, 1, (150, 4)), np.full((2, 4), 4.0)])
        >>> adata = anndata.AnnData(x)
        >>> tl.mixture(adata, 2, rng=0)
        >>> doublets(adata)
        >>> np.flatnonzero(adata.obs["mixture_doublet"]).tolist()
        [300, 301]
    """
    fit, matrix, prefix = (
        load(adata, key),
        _matrix(adata, key, layer),
        _prefix(key, key_added),
    )
    p, pair = _doubted(fit.mixture, matrix, as_chance(rate, "rate"), scale)
    adata = written_to(adata, copy=copy)
    _write_flag(adata, f"{prefix}_doublet", f"{prefix}_doublet_prob", p, p >= 0.5)
    _write_pairs(adata, f"{prefix}_doublet_pair", np.where(p >= 0.5, pair, -1), np.argsort(by_weight(fit)))
    return adata if copy else None


def outliers(
    adata: AnnData,
    key: str = "mixture",
    *,
    level: float = 1e-3,
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Cells whose density is lower than the mixture itself gives a cell, with the same gaps, with chance `level`.

    The p value of a cell is the chance that a cell drawn from the mixture and observed in the same variables has a
    density as low as p(x). A component alone falls below it where the squared Mahalanobis distance exceeds
    c_k = 2 ln(w_k f_k(peak) / p(x)), so that

        p value = sum_k w_k P(chi^2 > c_k),  degrees of freedom = observed variables.

    It is exact where components do not overlap; where they do it is larger, so fewer cells are flagged. It knows the
    fitted mixture only: outliers that took part in the fit have widened it, and values that are not Gaussian within a
    cluster have more than `level` of them.

    Args:
        adata: cells with a mixture.
        key: of the mixture.
        level: chance to flag a cell that the mixture explains, in (0, 1).
        layer: whose values; None = those the mixture was fitted to.
        key_added: prefix of the columns; None = key.
        copy: return a changed copy instead.

    Returns:
        None, or the copy. Written are obs["mixture_outlier_p"] and obs["mixture_outlier"] ("boolean"); NA in cells
        with nothing observed.

    Raises:
        DataError: no mixture of this name, a level outside (0, 1).

    Example:
        >>> import anndata, numpy as np
        >>> from mixsci.cells import tl
        >>> x = np.random.default_rng(0).normal(0, 1, (300, 3))
        >>> x[0] = [7.0, -7.0, np.nan]
        >>> adata = anndata.AnnData(x)
        >>> tl.mixture(adata, 1, rng=0)
        >>> outliers(adata)
        >>> np.flatnonzero(adata.obs["mixture_outlier"]).tolist()
        [0]
    """
    found, level = load(adata, key).mixture, as_chance(level, "level")
    matrix, prefix = _matrix(adata, key, layer), _prefix(key, key_added)
    p = np.full(matrix.n_obs, np.nan)
    for rows, obs in matrix.parts():
        p[rows] = _tails(found, obs)
    p[~matrix.seen] = np.nan
    adata = written_to(adata, copy=copy)
    _write_flag(adata, f"{prefix}_outlier", f"{prefix}_outlier_p", p, p <= level)
    return adata if copy else None


# --- what a mixture says of cells ------------------------------------------------------------------------------------


def _doubted(mixture: Mixture, matrix: Matrix, rate: float, scale: str) -> tuple[Array, Array]:
    """(n,) P(doublet), NaN where nothing is observed, and the likeliest pair."""
    if mixture.n_components < 2:
        raise DataError("doublets are of two clusters; this mixture has one")
    refuse_unknown(scale, SCALES, "scale")
    p, pair = np.full(matrix.n_obs, np.nan), np.full(matrix.n_obs, -1)
    for rows, obs in matrix.parts():
        p[rows], pair[rows] = _doublets(mixture, obs, rate, SCALES[scale])
    p[~matrix.seen] = np.nan
    return p, pair


def _doublets(mixture: Mixture, obs: Observations, rate: float, together: Callable[[Array, Array], Array]) -> Any:
    """(n,) P(doublet), and the number j K + k of the likeliest pair."""
    k, weights = mixture.n_components, _weights(mixture, obs)
    centres = _centres(mixture, obs)
    single = np.log(1.0 - rate + rate * (weights**2).sum(axis=1)) + mixture.log_density(obs)
    total, best, pair = np.full(len(obs), -np.inf), np.full(len(obs), -np.inf), np.zeros(len(obs), dtype=int)
    # f_jk is half N(x; m, Sigma_j) and half N(x; m, Sigma_k), m the value together: component j seen from x + mu_j - m.
    for j, other in permutations(range(k), 2):
        moved = obs.valued(obs.x + centres(j) - together(centres(j), centres(other)))
        with np.errstate(divide="ignore"):
            here = np.log(rate * weights[:, other]) + _log_parts(mixture, moved, j)
        total = np.logaddexp(total, here)
        pair = np.where(here > best, min(j, other) * k + max(j, other), pair)
        best = np.maximum(best, here)
    return np.exp(total - np.logaddexp(total, single)), pair


def _tails(mixture: Mixture, obs: Observations) -> Array:
    """(n,) chance of a density as low as that of each cell."""
    log_p, weights, seen = mixture.log_density(obs), _weights(mixture, obs), obs.seen()
    freedom, centres = np.maximum(seen.sum(axis=1), 1), _centres(mixture, obs)
    p = np.zeros(len(obs))
    for k in range(mixture.n_components):
        peak = _log_parts(mixture, obs.valued(np.where(seen, centres(k), np.nan)), k)
        p += weights[:, k] * chi2.sf(np.maximum(2.0 * (peak - log_p), 0.0), freedom)
    return np.minimum(p, 1.0)


def _log_parts(mixture: Mixture, obs: Observations, k: int) -> Array:
    """(n,) ln w_k f_k, what component k adds to the density."""
    with np.errstate(divide="ignore"):
        return np.asarray(mixture.log_density(obs) + np.log(mixture.responsibilities(obs)[:, k]))


def _weights(mixture: Mixture, obs: Observations) -> Array:
    """(n, K) weights of the components, those of each cell's group."""
    return mixture.responsibilities(obs.valued(np.full(obs.x.shape, np.nan)))


def _centres(mixture: Mixture, obs: Observations) -> Callable[[int], Array]:
    """Component -> (n, D) where its cells are expected, offsets of groups included."""
    means, codes = mixture.component_means(), group_codes(mixture, obs)
    shifts = getattr(mixture, "shifts", None) if mixture.offsets is None else mixture.offsets
    if shifts is None or codes is None:
        return lambda k: np.broadcast_to(means[k], obs.x.shape)
    # Groups that the mixture does not know come last.
    shift = np.vstack([shifts, np.zeros(means.shape[1])])[codes]
    return lambda k: means[k] + shift


# --- in and out ------------------------------------------------------------------------------------------------------


def _matrix(adata: AnnData, key: str, layer: str | None) -> Matrix:
    """The values the mixture was fitted to, or the same variables of another layer."""
    return matrix_again(adata, key) if layer is None else matrix_again(adata, key, layer=layer)


def _prefix(key: str, key_added: str | None) -> str:
    prefix = key if key_added is None else key_added
    refuse_key(prefix)
    return prefix


def _write_flag(adata: AnnData, name: str, chance_name: str, p: Array, flag: Array) -> None:
    import pandas as pd

    adata.obs[chance_name] = p
    adata.obs[name] = pd.arrays.BooleanArray(flag, np.isnan(p))


def _write_pairs(adata: AnnData, name: str, pairs: Array, labels: Array) -> None:
    """Pairs j K + k of components under the numbers of their clusters; -1 is NA."""
    import pandas as pd

    used = np.unique(pairs[pairs >= 0])
    words = ["+".join(map(str, sorted(int(labels[k]) for k in divmod(int(pair), len(labels))))) for pair in used]
    codes = np.where(pairs >= 0, np.searchsorted(used, pairs), -1)
    adata.obs[name] = pd.Categorical.from_codes(codes, pd.Index(words, dtype=object))
