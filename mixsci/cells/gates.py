"""Gates: which cells are positive for a marker, how surely, and from which value on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, expit, logsumexp, ndtr
from scipy.stats import norm

from mixsci.cells.annotations import column_of, labels_of, listed, refuse_key, refuse_others, written_to
from mixsci.cells.matrix import matrix_of
from mixsci.engine.em.fit import fit
from mixsci.engine.em.result import Fit
from mixsci.engine.inference.uncertainty import standard_errors
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.engine.model.priors import InverseWishart
from mixsci.engine.tables import as_chance, counted_noun, refuse_unknown
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

Array = np.ndarray

#: Where gates go in uns unless said otherwise.
KEY = "gates"
CRITERIA = ("bic", "icl")
#: Cells with the marker that a gate needs.
FEWEST = 10
#: A marker of a pair whose sides are more in doubt than this has no positive population; of one marker BIC says so.
_MOST_DOUBT = 0.75
#: Power of the entropy of the shares by which rare sides count less: a few odd cells far out are no population of note.
_RARE = 0.25
#: Points between the outer means where a crossing is looked for.
_GRID = 801


def gate(
    adata: AnnData,
    markers: Any,
    *,
    n_components: int | Sequence[int] = (1, 2, 3),
    criterion: str = "bic",
    by: str | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    parent: str | Sequence[str] | None = None,
    level: float = 0.95,
    rng: Any = None,
    copy: bool = False,
) -> AnnData | None:
    """Which cells are positive for each marker: P(positive), and the threshold where it is 1/2, with its interval.

    The observed values of a marker get 1, 2 ... populations, of which BIC takes one. In order of their means they are
    cut where (1 - doubt) h^(1/4) is largest: doubt is the mean entropy of a cell's side over h, that of a side drawn
    blindly (0 = told apart, 1 = not at all), and h keeps a few odd cells far out from being a side. A dim population
    goes with what it is harder to tell from; one population has no positive cells.
    P(positive) of one marker never falls as its value grows, even where a wide population overtakes a narrow one again.
    The interval is by the delta method, with `mixsci.standard_errors(method="sandwich")`.

    Args:
        adata: cells by variables, on a scale where populations are near Gaussian (arcsinh, log).
        markers: "CD3", one gate; ["CD3", "CD19"], one each; ("CD3", "CD19") or [("CD3", "CD19")], one of two
            dimensions: each marker is judged by both, a gap in one is marginalised.
        n_components: numbers of populations to try; more for pairs, say range(1, 7).
        criterion: "bic", or "icl", which does not split one population that is not Gaussian.
        by: column of obs with groups, such as batches: each has a gate of its own.
        layer: whose values; None = X.
        key_added: where in uns, and before the names in obs; None = "gates", and nothing. Other gates there stay.
        parent: gate columns of obs: only cells inside all of them are gated. "~CD19_pos" = outside.
        level: of the intervals.
        rng: seed or generator of the starts.
        copy: return a changed copy instead.

    Returns:
        None, or the copy. Written: obs["CD3_pos"] ("boolean"; NA at gaps and outside the parent, so that the mean is
        the share of the parent), obs["CD3_pos_prob"]; of a pair also obs["CD3_CD19"], "CD3+CD19-" and so on; tables
        "thresholds" (with a sentence), "populations" and "bic" in uns["gates"]. A "/" in a name is "_" in obs.

    Raises:
        DataError: markers unknown, repeated, with fewer than 10 values or one value only (a warning, and NA, where that
            is so in some groups); a parent that is no column of booleans.

    Example:
        >>> import anndata, numpy as np, pandas as pd
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(0, 1, 300), rng.normal(6, 1, 100), [np.nan]])[:, None]
        >>> adata = anndata.AnnData(x, var=pd.DataFrame(index=["CD3"]))
        >>> gate(adata, "CD3", rng=0)
        >>> adata.uns["gates"]["thresholds"]["sentence"].iloc[0]
        'CD3: 2 populations, positive above 3.09 (95 %: 2.76 to 3.41), 25.2 % of 400 cells; 1 cell without a value'
    """
    refuse_key(key := KEY if key_added is None else key_added)
    gates = _asked(adata, markers, parent, Options(n_components, criterion, by or "", layer or "", level, rng))
    adata = written_to(adata, copy=copy)
    _write(adata, gates, key)
    return adata if copy else None


@dataclass(frozen=True, eq=False)
class Options:
    """How gates are made; see `gate`. `parent` is noted as text."""

    tried: Any
    criterion: str
    by: str
    layer: str
    level: float
    rng: Any
    parent: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tried", _numbers(self.tried))
        object.__setattr__(self, "level", as_chance(self.level, "level"))
        refuse_unknown(self.criterion, CRITERIA, "criterion")


@dataclass(frozen=True, eq=False)
class Side:
    """What lies on the positive side of one marker.

    Attributes:
        positive: (K,) which populations do. doubt: how little the two sides are told apart, 0 to 1; NaN without.
        threshold: where both sides have one density; NaN where there is no such value. low, high: its interval.
    """

    positive: Array
    doubt: float = np.nan
    threshold: float = np.nan
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True, eq=False)
class Gate:
    """Populations of one marker or a pair in one group, and what follows for its cells.

    Attributes:
        names: of the markers. group: "" without groups.
        rows: (n,) cells of the group inside the parent.
        x: (r, D) their values; p: (r, D) P(positive), NaN where the marker is a gap.
        fits: one for each number of populations tried. chosen: the best.
        sides: one for each marker.
        options: how it was made.
    """

    names: tuple[str, ...]
    group: str
    rows: Array
    x: Array
    p: Array
    fits: tuple[Fit, ...]
    chosen: Fit
    sides: tuple[Side, ...]
    options: Options

    @property
    def label(self) -> str:
        """The name of the gate."""
        return column_name("_".join(self.names))


# --- what is asked for -----------------------------------------------------------------------------------------------


def _asked(adata: AnnData, markers: Any, parent: Any, options: Options) -> list[Gate]:
    """All gates: those of each marker or pair, in each group."""
    refuse_others(adata)
    wanted, inside = _wanted(adata, markers), _inside(adata, parent)
    groups = labels_of(adata, options.by, "by") if options.by else None
    values = _values(adata, wanted, options.layer or None)
    options = replace(options, parent=parent if isinstance(parent, str) else ", ".join(parent or ()))
    columns = [(names, np.column_stack([values[name] for name in names])) for names in wanted]
    return [made for names, x in columns for made in _gates(names, x, inside, groups, options)]


def _wanted(adata: AnnData, markers: Any) -> list[tuple[str, ...]]:
    """The markers of every gate, each known and asked for once."""
    one = isinstance(markers, str) or (isinstance(markers, tuple) and len(markers) == 2 and _are_names(markers))
    listing = [markers] if one or not np.iterable(markers) else list(markers)
    wanted = [(each,) if isinstance(each, str) else each for each in listing]
    for each in wanted:
        if not isinstance(each, tuple | list) or not 1 <= len(each) <= 2 or not _are_names(each):
            raise DataError(f"markers must be names, or pairs of names; got {each!r:.80}")
    names = [name for each in wanted for name in each]
    if not names:
        raise DataError("markers must name at least one variable; got none")
    _refuse_names(adata, names)
    return [tuple(each) for each in wanted]


def _are_names(each: Any) -> bool:
    return all(isinstance(name, str) for name in each)


def _refuse_names(adata: AnnData, names: list[str]) -> None:
    unknown = [name for name in names if name not in adata.var_names]
    if unknown:
        raise DataError(f"markers must be names of variables, one of {listed(adata.var_names)}; got {unknown[0]!r}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"each marker has one gate; {twice[0]!r} is asked for twice")
    shared = [name for name in names if (adata.var_names == name).sum() > 1]
    if shared:
        raise DataError(f"{shared[0]!r} names several variables: call adata.var_names_make_unique() first")


def _numbers(n_components: Any) -> tuple[int, ...]:
    tried = [n_components] if isinstance(n_components, int | np.integer) else n_components
    right = np.iterable(tried) and not isinstance(tried, str) and len(list(tried)) > 0
    if not right or not all(isinstance(k, int | np.integer) and not isinstance(k, bool) and k > 0 for k in tried):
        raise DataError(f"n_components must be whole numbers of populations, each at least 1; got {n_components!r}")
    return tuple(sorted({int(k) for k in tried}))


def _inside(adata: AnnData, parent: Any) -> Array:
    """(n,) cells inside all parents; a cell that is NA in one is outside."""
    inside = np.ones(adata.n_obs, dtype=bool)
    for name in [parent] if isinstance(parent, str) else parent or ():
        column = column_of(adata, "obs", name.removeprefix("~"), "parent")
        if column.dtype not in ("bool", "boolean"):
            raise DataError(f"parent must be a column of booleans, such as 'CD3_pos'; obs[{name!r}] is {column.dtype}")
        called = column.astype("boolean")
        inside &= (~called if name.startswith("~") else called).fillna(value=False).to_numpy(dtype=bool)
    if not inside.any():
        raise DataError(f"parent must leave cells to gate; no cell is inside {parent!r}")
    return inside


def _values(adata: AnnData, wanted: list[tuple[str, ...]], layer: str | None) -> dict[str, Array]:
    """(n,) values of every marker."""
    names = [name for each in wanted for name in each]
    matrix = matrix_of(adata, layer=layer, mask_var=adata.var_names.isin(names))
    x = np.concatenate([part.x for _, part in matrix.parts()])
    return {name: x[:, j].astype(float) for j, name in enumerate(matrix.names)}


# --- one gate --------------------------------------------------------------------------------------------------------


def _gates(names: tuple[str, ...], x: Array, inside: Array, groups: Array | None, options: Options) -> list[Gate]:
    """The gates of all groups; groups that cannot have one are named in a warning."""
    if groups is None:
        _refuse_values(x[inside], " and ".join(names))
        return [_gate(names, x, "", inside, options)]
    parts = [(group, inside & (groups == group)) for group in sorted(set(groups[inside]))]
    bad = [(group, reason) for group, rows in parts if (reason := _reason(x[rows]))]
    if len(bad) == len(parts):
        raise DataError(f"{' and '.join(names)} can be gated in no group; {bad[0][0]} has {bad[0][1]}")
    if bad:
        sentence = ", ".join(f"{group} has {reason}" for group, reason in bad[:5])
        warnings.warn(f"{' and '.join(names)} is left NA in {len(bad)} groups: {sentence}", UserWarning, stacklevel=5)
    left = {group for group, _ in bad}
    return [_gate(names, x, group, rows, options) for group, rows in parts if group not in left]


def _refuse_values(x: Array, name: str) -> None:
    reason = _reason(x)
    if reason:
        raise DataError(f"{name} must have {FEWEST} values that are not all the same to be gated; it has {reason}")


def _reason(x: Array) -> str:
    """Why values (r, D) cannot be gated; "" where they can."""
    for column in x.T:
        seen = column[~np.isnan(column)]
        if len(seen) < FEWEST:
            return f"{len(seen)} values"
        if np.ptp(seen) == 0:
            return f"{len(seen)} times the value {seen[0]:.4g}"
    return ""


def _gate(names: tuple[str, ...], x: Array, group: str, rows: Array, options: Options) -> Gate:
    x = x[rows]
    seen = ~np.isnan(x).all(axis=1)
    fits = tuple(fit(Model(k, prior=InverseWishart()), x[seen], rng=options.rng) for k in options.tried)
    chosen = min(fits, key=lambda found: float(getattr(found, options.criterion)))
    sides = _sides(chosen, x[seen], options.level)
    return Gate(names, group, rows, x, _chances(chosen.mixture, sides, x), fits, chosen, sides, options)


def _sides(chosen: Fit, x: Array, level: float) -> tuple[Side, ...]:
    """Where each marker is cut, and how surely."""
    mixture, d = chosen.mixture, x.shape[1]
    cuts = [_cut(mixture.marginal([j]), x[:, [j]]) for j in range(d)]
    none = np.zeros(mixture.n_components, dtype=bool)
    sides = [Side(none) if mixture.n_components == 1 or (d == 2 and cut.doubt > _MOST_DOUBT) else cut for cut in cuts]
    crossed = {j: side for j, side in enumerate(sides) if np.isfinite(side.threshold)}
    if not crossed:
        return tuple(sides)
    ends = _intervals(chosen, x, crossed, level)
    return tuple(
        Side(side.positive, side.doubt, side.threshold, *ends[j]) if j in crossed else side
        for j, side in enumerate(sides)
    )


def _cut(mixture: Mixture, x: Array) -> Side:
    """The populations of one dimension cut in two where the sides of cells are least in doubt."""
    order = np.argsort(mixture.means[:, 0], kind="stable")
    r = mixture.responsibilities(x[~np.isnan(x[:, 0])])
    cuts = [np.isin(np.arange(len(order)), order[j:]) for j in range(1, len(order))]
    if not cuts:
        return Side(np.zeros(1, dtype=bool))
    found = [_doubt(r[:, positive].sum(axis=1)) for positive in cuts]
    best = int(np.argmax([(1.0 - doubt) * blind**_RARE for doubt, blind in found]))
    return Side(cuts[best], found[best][0], _crossing(mixture, cuts[best]))


def _doubt(p: Array) -> tuple[float, float]:
    """Mean entropy of the sides of cells over that of a side drawn blindly, and the latter, in bits."""
    p = np.clip(p, 0.0, 1.0)
    blind = float(entr(p.mean()) + entr(1.0 - p.mean()))
    return (float((entr(p) + entr(1.0 - p)).mean()) / blind if blind > 0 else 1.0), blind / np.log(2.0)


def _log_odds(mixture: Mixture, positive: Array, t: Any) -> Array:
    """ln of the density of the positive side over that of the other, at t, in one dimension."""
    sigma = np.sqrt(mixture.covariances[:, 0, 0])
    with np.errstate(divide="ignore"):
        parts = np.log(mixture.weights) + norm.logpdf(np.asarray(t)[..., None], mixture.means[:, 0], sigma)
    return np.asarray(logsumexp(parts[..., positive], axis=-1) - logsumexp(parts[..., ~positive], axis=-1))


def _crossing(mixture: Mixture, positive: Array) -> float:
    """The value between the outer means where the positive side overtakes and a cut misplaces fewest; NaN if none."""
    means = mixture.means[:, 0]
    grid = np.linspace(means.min(), means.max(), _GRID)
    ahead = _log_odds(mixture, positive, grid) > 0
    starts = np.flatnonzero(~ahead[:-1] & ahead[1:])
    if not len(starts):
        return np.nan
    best = starts[np.argmin(_misplaced(mixture, positive, grid[starts]))]
    return float(brentq(lambda t: float(_log_odds(mixture, positive, t)), grid[best], grid[best + 1]))


def _misplaced(mixture: Mixture, positive: Array, t: Array) -> Array:
    """Share of cells on the wrong side of a cut at t."""
    apart = (t[:, None] - mixture.means[:, 0]) / np.sqrt(mixture.covariances[:, 0, 0])
    return ndtr(np.where(positive, apart, -apart)) @ mixture.weights


def _intervals(chosen: Fit, x: Array, crossed: Mapping[int, Side], level: float) -> dict[int, tuple[float, float]]:
    """Intervals of thresholds by the delta method; dt = -d(log-odds) / slope, for the log-odds are 0 at t."""

    def moved(mixture: Mixture) -> Array:
        return np.array(
            [
                side.threshold - _log_odds(mixture.marginal([j]), side.positive, side.threshold) / slopes[j]
                for j, side in crossed.items()
            ]
        )

    slopes = {j: _slope(chosen.mixture.marginal([j]), side) for j, side in crossed.items()}
    # Numbers the rows say nothing of are NaN, and so is an interval that hangs on them: the sentence says so.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        low, high = standard_errors(chosen, x, method="sandwich").interval(moved, level)
    return {j: (float(low[i]), float(high[i])) for i, j in enumerate(crossed)}


def _slope(mixture: Mixture, side: Side) -> float:
    step = 1e-4 * float(np.sqrt(mixture.covariances[:, 0, 0].min()))
    ends = _log_odds(mixture, side.positive, side.threshold + np.array([-step, step]))
    return float((ends[1] - ends[0]) / (2 * step))


def _chances(mixture: Mixture, sides: tuple[Side, ...], x: Array) -> Array:
    """(r, D) P(positive) of each marker, NaN at gaps."""
    if x.shape[1] == 1:
        p = np.full(x.shape, np.nan)
        seen = ~np.isnan(x[:, 0])
        p[seen, 0] = _rising(mixture, sides[0], x[seen, 0])
        return p
    # Far out the widest population takes all: a cell beyond the outer means is judged no worse than at them.
    inner = np.clip(x, mixture.means.min(axis=0), mixture.means.max(axis=0))
    here, there = (_summed(mixture.responsibilities(values), sides) for values in (x, inner))
    p = np.where(x > inner, np.maximum(here, there), np.where(x < inner, np.minimum(here, there), here))
    return np.where(np.isnan(x), np.nan, p)


def _summed(r: Array, sides: tuple[Side, ...]) -> Array:
    """(r, D) responsibilities (r, K) summed over the positive populations of each marker."""
    return np.column_stack([r[:, side.positive].sum(axis=1) for side in sides])


def _rising(mixture: Mixture, side: Side, x: Array) -> Array:
    """(r,) P(positive) that never falls as x grows: at least 1/2 from the threshold on, at most 1/2 below it."""
    if not side.positive.any():
        return np.zeros(len(x))
    at = np.unique(np.concatenate([x, np.linspace(mixture.means.min(), mixture.means.max(), _GRID)]))
    p = expit(_log_odds(mixture, side.positive, at))
    above = at >= side.threshold
    p[above] = np.maximum.accumulate(p[above])
    p[~above] = np.minimum.accumulate(p[~above][::-1])[::-1]
    return p[np.searchsorted(at, x)]


# --- what is written -------------------------------------------------------------------------------------------------


def _write(adata: AnnData, gates: list[Gate], key: str) -> None:
    """Calls into obs, numbers into uns."""
    for names in dict.fromkeys(made.names for made in gates):
        _write_calls(adata, names, [made for made in gates if made.names == names], key)
    new = {name: _table(lines(gates)) for name, lines in _TABLES.items()}
    adata.uns[key] = _merged(adata.uns[key], new) if key in adata.uns else new


def _write_calls(adata: AnnData, names: tuple[str, ...], gates: list[Gate], key: str) -> None:
    import pandas as pd

    p = np.full((adata.n_obs, len(names)), np.nan)
    for made in gates:
        p[made.rows] = made.p
    for name, chances in zip(names, p.T, strict=True):
        adata.obs[f"{column_name(name, key)}_pos"] = pd.arrays.BooleanArray(chances >= 0.5, np.isnan(chances))
        adata.obs[f"{column_name(name, key)}_pos_prob"] = chances
    if len(names) == 2:
        corners = [f"{names[0]}{i}{names[1]}{j}" for i in "-+" for j in "-+"]
        codes = np.where(np.isnan(p).any(axis=1), -1, (p >= 0.5) @ [2, 1])
        adata.obs[column_name("_".join(names), key)] = pd.Categorical.from_codes(
            codes.astype(np.int64), pd.Index(corners)
        )


def column_name(name: str, key: str = KEY) -> str:
    """The name of a marker or a pair in obs, with the key of its gates before it; in a file a slash opens a folder."""
    return ("" if key == KEY else f"{key}_") + name.replace("/", "_")


def _merged(old: Mapping[str, pd.DataFrame], new: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """New lines below those of other gates; gates whose marker has a new one go."""
    import pandas as pd

    known = old["thresholds"]
    gone = set(known["gate"][known["marker"].isin(set(new["thresholds"]["marker"]))])
    return {
        name: _numbered(pd.concat([old[name][~old[name]["gate"].isin(gone)], lines])) for name, lines in new.items()
    }


def _table(lines: Iterator[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return _numbered(pd.DataFrame(list(lines)))


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    # Files keep no other index than text.
    return table.set_axis([str(i) for i in range(len(table))], axis=0)


def _threshold_lines(gates: list[Gate]) -> Iterator[dict[str, Any]]:
    for made in gates:
        for j, side in enumerate(made.sides):
            p = made.p[:, j]
            yield {
                "gate": made.label, "marker": made.names[j], "group": made.group,
                "layer": made.options.layer, "by": made.options.by, "parent": made.options.parent,
                "n_cells": int((~np.isnan(p)).sum()), "n_gaps": int(np.isnan(p).sum()),
                "n_populations": made.chosen.n_components, "share": float(np.mean(p[~np.isnan(p)] >= 0.5)),
                "threshold": side.threshold, "low": side.low, "high": side.high, "level": made.options.level,
                "doubt": side.doubt, "sentence": _sentence(made, j),
            }  # fmt: skip


def _population_lines(gates: list[Gate]) -> Iterator[dict[str, Any]]:
    for made in gates:
        mixture = made.chosen.mixture
        for number, k in enumerate(np.lexsort(mixture.means.T[::-1])):
            mean, covariance = mixture.means[k], mixture.covariances[k]
            pair = len(mean) == 2
            sd = np.sqrt(np.diag(covariance))
            yield {
                "gate": made.label, "group": made.group, "population": number, "weight": float(mixture.weights[k]),
                "mean": float(mean[0]), "sd": float(sd[0]), "positive": bool(made.sides[0].positive[k]),
                "mean_2": float(mean[1]) if pair else np.nan, "sd_2": float(sd[1]) if pair else np.nan,
                "positive_2": bool(pair and made.sides[-1].positive[k]),
                "correlation": float(covariance[0, 1] / sd.prod()) if pair else np.nan,
            }  # fmt: skip


def _bic_lines(gates: list[Gate]) -> Iterator[dict[str, Any]]:
    for made in gates:
        for found in made.fits:
            yield {
                "gate": made.label, "group": made.group, "n_populations": found.n_components,
                "log_likelihood": float(found.log_likelihood), "n_free": int(found.n_free), "bic": float(found.bic),
                "icl": float(found.icl), "chosen": found is made.chosen,
            }  # fmt: skip


_TABLES = {"thresholds": _threshold_lines, "populations": _population_lines, "bic": _bic_lines}


def _sentence(made: Gate, j: int) -> str:
    """What was found for one marker, in words."""
    p, side = made.p[:, j], made.sides[j]
    n, gaps, k = int((~np.isnan(p)).sum()), int(np.isnan(p).sum()), made.chosen.n_components
    name = made.names[j] + (f" in {made.group}" if made.group else "")
    positive = f"{np.mean(p[~np.isnan(p)] >= 0.5):.1%}".replace("%", " %") + f" of {_cells(n)}"
    words = f"{name}: {counted_noun(k, 'population')}, {_verdict(side, made.options.level)}"
    words += f", {positive}" if side.positive.any() else f" among {_cells(n)}"
    words += f"; {_cells(gaps)} without a value" if gaps else ""
    return words + ("; the sides are hardly told apart" if side.doubt > _MOST_DOUBT else "")


def _verdict(side: Side, level: float) -> str:
    if not side.positive.any():
        return "none of them positive"
    if np.isnan(side.threshold):
        return "but at no value one side overtakes the other"
    if np.isnan(side.low):
        return f"positive above {side.threshold:.3g} (no interval: the values say too little)"
    return f"positive above {side.threshold:.3g} ({level * 100:g} %: {side.low:.3g} to {side.high:.3g})"


def _cells(n: int) -> str:
    return counted_noun(n, "cell")
