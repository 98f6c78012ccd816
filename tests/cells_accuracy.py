"""How well cells are sorted where values are missing: `python -m tests.cells_accuracy`, about half an hour.

Every part takes real cells whose kinds are known, gives mixsci what a user would, with its default settings, and
compares what comes back with the known kinds by the adjusted Rand index (ARI). Labels are used to score alone. Beside
it stand what users do otherwise: fill gaps with the mean, by nearest neighbours or by regression, then scikit-learn's
mixture; and the same fillings with our own mixture, which shows what integrating over gaps adds to the prior.

    flow         2,500 gated cells x 7 markers, 10, 30 and 50 % of the values hidden at random
    wine         178 wines x 13 measurements of `sklearn.datasets`, 30 % hidden
    scope2       59 single cells x 4,538 peptides in 6 runs, half of the values missing as measured
    guo          437 single cells x 48 genes, complete and 50 % hidden
    methylation  83 single cells x 5,000 regions, three quarters missing as measured

`--only flow` runs one of them. The exit code says whether every bar holds. Files are looked for as the tests do.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - without it there is none to import
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.mixture import GaussianMixture

from mixsci import cells
from mixsci.errors import DataError

SEED = 20261128
REPEATS = 5

#: The markers that tell the gated kinds of cells apart: all fluorescences but viability, the reporter, CD45, which all
#: have, and an empty channel.
MARKERS = ("CD8", "TCRyd", "TCRb", "NK1/1", "CD4", "CD19", "CD3")
FLOW_CELLS, FLOW_KINDS = 2500, 6
FLOW_LEAST = {0.1: 0.95, 0.3: 0.88, 0.5: 0.75}
#: What the best of the fillings must be behind by, where much is missing.
FLOW_LEAD = 0.10
WINE_HIDDEN, WINE_LEAST = 0.3, 0.80
SCOPE2_LEAST = {None: 0.85, 2: 0.93}
GUO_KINDS, GUO_LEAST = 10, {0.0: 0.78, 0.5: 0.75}
METHYLATION_LEAST = 0.99
#: Log-likelihoods per cell that agree, and from how many of the seeds they must.
AGREE, OF_SEEDS = 0.01, 4


class Bar(NamedTuple):
    """What was asked and whether it holds."""

    text: str
    holds: bool


def real_data() -> Path:
    """Where real cells are looked for."""
    return Path(os.environ.get("MIXSCI_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


# --- what the cells are ----------------------------------------------------------------------------------------------


def flow_cells(folder: Path) -> anndata.AnnData:
    """2,500 gated cells, drawn once and for all, and the seven markers."""
    every = anndata.read_h5ad(folder / "cells" / "flow_68983.h5ad")
    gated = np.flatnonzero(every.obs["manual_gate"] != "Unlabeled")
    rows = np.sort(np.random.default_rng(0).choice(gated, FLOW_CELLS, replace=False))
    return every[rows, list(MARKERS)].copy()


def wines() -> anndata.AnnData:
    """The wines and their growers."""
    x, grower = load_wine(return_X_y=True)
    return anndata.AnnData(x, obs=pd.DataFrame({"grower": grower.astype(str)}, index=[str(i) for i in range(len(x))]))


def scope2_cells(folder: Path) -> anndata.AnnData:
    """Single cells of both kinds and every peptide with three values or more."""
    every = anndata.read_h5ad(folder / "cells" / "scope2_peptides.h5ad")
    single = every[every.obs["sample_type"].isin(["sc_h", "sc_u"]).to_numpy()].copy()
    return single[:, np.isfinite(single.X).sum(axis=0) >= 3].copy()


def guo_cells(folder: Path) -> anndata.AnnData:
    """Cells of mouse embryos of up to 64 cells, and their ten kinds."""
    table = pd.read_csv(folder / "cells" / "guo2010_normalised_labelled.csv.gz", index_col=0)
    kinds, names = table.index.astype(str), [str(i) for i in range(len(table))]
    return anndata.AnnData(
        table.to_numpy(dtype=float),
        obs=pd.DataFrame({"kind": kinds}, index=names),
        var=pd.DataFrame(index=table.columns),
    )


def methylation_cells(folder: Path) -> anndata.AnnData:
    """Calls 0 and 1 in cells of two cultures."""
    return anndata.read_h5ad(folder / "cells" / "scmt_methylation_cpg_islands.h5ad")


def hidden(adata: anndata.AnnData, share: float, number: int) -> anndata.AnnData:
    """The cells with a share of their values hidden at random; the same for the same number."""
    rng = np.random.default_rng([SEED, round(100 * share), number])
    part = adata.copy()
    x = np.array(part.X, dtype=float)
    x[rng.random(x.shape) < share] = np.nan
    part.X = x
    return part


# --- how they are sorted ---------------------------------------------------------------------------------------------


class Sorted(NamedTuple):
    """How a fit sorted the cells."""

    ari: float
    per_cell: float
    what: str


def ours(adata: anndata.AnnData, truth: str, k: int, seed: int, **settings) -> Sorted:
    """The clusters of `tl.mixture`; cells without a value, which get none, count as a cluster of their own."""
    found = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.tl.mixture(found, k, rng=seed, **settings)
    fit, params = cells.load(found), found.uns["mixture"]["params"]
    factors = f" {params['n_factors']}" if params.get("n_factors") else ""
    ari = adjusted_rand_score(adata.obs[truth], found.obs["mixture"].cat.codes)
    return Sorted(float(ari), float(fit.log_likelihood / fit.n), f"{params['covariance']}{factors}")


IMPUTERS = {"mean": SimpleImputer(), "KNN": KNNImputer(), "iterative": IterativeImputer(random_state=0)}


def filled(adata: anndata.AnnData, how: str) -> anndata.AnnData:
    """The cells, scaled to mean 0 and sd 1, with their gaps filled."""
    x = (adata.X - np.nanmean(adata.X, axis=0)) / np.nanstd(adata.X, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.AnnData(IMPUTERS[how].fit_transform(x), obs=adata.obs, var=adata.var)


def theirs(adata: anndata.AnnData, truth: str, k: int, seed: int) -> float:
    """ARI of scikit-learn's mixture of cells without gaps."""
    found = GaussianMixture(k, n_init=5, random_state=seed).fit_predict(adata.X)
    return float(adjusted_rand_score(adata.obs[truth], found))


def most_that_agree(values: Iterable[float]) -> int:
    """How many of the values lie within `AGREE` of one another, at most."""
    at = np.array(list(values))
    return int(max(((at >= low) & (at <= low + AGREE)).sum() for low in at))


def listed(values: Iterable[float], digits: int = 3) -> str:
    return "  ".join(f"{value:.{digits}f}" for value in values)


def line(name: str, values: list[float], note: str = "") -> None:
    print(f"{name:34s} {np.mean(values):.3f}   {listed(values)}   {note}", flush=True)


# --- parts -----------------------------------------------------------------------------------------------------------


def flow(folder: Path) -> list[Bar]:
    adata, bars = flow_cells(folder), []
    print(f"{adata.n_obs} cells x {adata.n_vars} markers, K = {FLOW_KINDS}; ARI: mean, then each mask")
    for share, least in FLOW_LEAST.items():
        masks = [hidden(adata, share, number) for number in range(REPEATS)]
        exact = [ours(part, "manual_gate", FLOW_KINDS, seed) for seed, part in enumerate(masks)]
        scores = [one.ari for one in exact]
        print(f"{100 * share:.0f} % hidden")
        line("mixsci", scores, ", ".join(one.what for one in exact))
        baselines = {}
        for how in IMPUTERS:
            full = [filled(part, how) for part in masks]
            baselines[how] = [theirs(part, "manual_gate", FLOW_KINDS, seed) for seed, part in enumerate(full)]
            line(f"{how} + scikit-learn", baselines[how])
            # BIC takes full covariances in every mask: they are asked for, which saves the time of the others.
            same = [ours(part, "manual_gate", FLOW_KINDS, seed, covariance="full") for seed, part in enumerate(full)]
            line(f"{how} + our mixture", [one.ari for one in same])
        bars.append(at_least(f"{100 * share:.0f} % hidden, mean ARI", np.mean(scores), least))
        if share < 0.2:
            lead = np.min(np.array(scores) - np.max(list(baselines.values()), axis=0))
            bars.append(at_least(f"{100 * share:.0f} % hidden, least lead over the best filling", lead, 0.0))
        else:
            lead = np.mean(scores) - max(np.mean(each) for each in baselines.values())
            bars.append(at_least(f"{100 * share:.0f} % hidden, lead over the best filling", lead, FLOW_LEAD))
    return bars


def wine(folder: Path) -> list[Bar]:
    masks = [hidden(wines(), WINE_HIDDEN, number) for number in range(REPEATS)]
    print(f"178 wines x 13 measurements, K = 3, {100 * WINE_HIDDEN:.0f} % hidden; ARI: mean, then each mask")
    found = [ours(part, "grower", 3, seed) for seed, part in enumerate(masks)]
    line("mixsci", [one.ari for one in found], ", ".join(one.what for one in found))
    bare = [ours(part, "grower", 3, seed, covariance="full", prior=None).ari for seed, part in enumerate(masks)]
    line("full covariance without prior", bare)
    for how in IMPUTERS:
        full = [filled(part, how) for part in masks]
        line(f"{how} + scikit-learn", [theirs(part, "grower", 3, seed) for seed, part in enumerate(full)])
        line(f"{how} + our mixture", [ours(part, "grower", 3, seed).ari for seed, part in enumerate(full)])
    return [at_least("mean ARI", np.mean([one.ari for one in found]), WINE_LEAST)]


def scope2(folder: Path) -> list[Bar]:
    adata, bars = scope2_cells(folder), []
    print(f"{adata.n_obs} cells x {adata.n_vars} peptides in {adata.obs['set'].nunique()} runs, K = 2; each seed")
    for factors, least in SCOPE2_LEAST.items():
        found = [ours(adata, "sample_type", 2, seed, batch="set", n_factors=factors) for seed in range(REPEATS)]
        name = "factors by BIC" if factors is None else f"{factors} factors"
        line(f"ARI, {name}", [one.ari for one in found], ", ".join(one.what for one in found))
        agree = most_that_agree(one.per_cell for one in found)
        print(f"log-likelihood per cell: {listed((one.per_cell for one in found), 4)}")
        bars.append(at_least(f"{name}, least ARI", min(one.ari for one in found), least))
        bars.append(at_least(f"{name}, seeds whose log-likelihood agrees to {AGREE}", agree, OF_SEEDS))
    # With five factors the runs are what two clusters find, with two the kinds of cells.
    return [*bars, *(warned(adata, factors) for factors in (2, 5))]


def warned(adata: anndata.AnnData, factors: int) -> Bar:
    """Whether a warning says that the clusters follow the runs, where they do and only there."""
    blind = adata.copy()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cells.tl.mixture(blind, 2, n_factors=factors, rng=0)
    follows = cells.agreement(blind.obs["mixture"], blind.obs["set"])
    sentences = [str(one.message) for one in said if "pass batch='set'" in str(one.message)]
    print(f"without batch, {factors} factors: agreement with the runs {follows:.2f}", *sentences, sep="; ")
    what = "warned" if sentences else "not warned"
    return Bar(
        f"without batch, {factors} factors: {what} at agreement {follows:.2f}", (follows > 0.2) == bool(sentences)
    )


def guo(folder: Path) -> list[Bar]:
    adata, bars = guo_cells(folder), []
    print(f"{adata.n_obs} cells x {adata.n_vars} genes, K = {GUO_KINDS}; mean, then each seed or mask")
    for share, least in GUO_LEAST.items():
        parts = [hidden(adata, share, number) for number in range(REPEATS)]
        found = [ours(part, "kind", GUO_KINDS, seed, covariance="factor") for seed, part in enumerate(parts)]
        line(f"{100 * share:.0f} % hidden", [one.ari for one in found], ", ".join(one.what for one in found))
        bars.append(at_least(f"{100 * share:.0f} % hidden, mean ARI", np.mean([one.ari for one in found]), least))
        print(f"log-likelihood per cell: {listed((one.per_cell for one in found), 4)}")
        if share == 0.0:
            agree = most_that_agree(one.per_cell for one in found)
            bars.append(at_least(f"complete, seeds whose log-likelihood agrees to {AGREE}", agree, OF_SEEDS))
    return bars


def methylation(folder: Path) -> list[Bar]:
    adata, curves = methylation_cells(folder), []
    print(f"{adata.n_obs} cells x {adata.n_vars} regions; area under the curve of 2i against Serum, each seed")
    for seed in range(REPEATS):
        found = adata.copy()
        cells.tl.factor(found, rng=seed)
        curves.append(area(found))
    line(f"factor 1 of {found.obsm['X_factor'].shape[1]}", curves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.tl.select(found, range(1, 5), rng=0)
    verdict, choices = found.uns["select"]["verdict"], pd.DataFrame(found.uns["select"]["choices"])
    best = np.sort(choices.groupby("n_components")["bic"].min())
    print(f"select: {verdict}")
    print(choices[["n_components", "covariance", "n_factors", "bic"]].round(2).to_string(index=False))
    return [
        at_least("least area under the curve", min(curves), METHYLATION_LEAST),
        Bar(f"K is called undecided where BIC differs by less than 2 (by {best[1] - best[0]:.2f})",
            ("undecided" in verdict) == bool(best[1] - best[0] < 2)),
        Bar("logit of calls is refused", refuses_logit(adata)),
    ]  # fmt: skip


def area(adata: anndata.AnnData) -> float:
    """Area under the curve of factor 1, either end up."""
    found = float(roc_auc_score(adata.obs["culture"] == "2i", adata.obsm["X_factor"][:, 0]))
    return max(found, 1.0 - found)


def refuses_logit(adata: anndata.AnnData) -> bool:
    try:
        cells.pp.transform(adata, "logit", copy=True)
    except DataError as error:
        print(f"logit: {error}")
        return True
    return False


def at_least(what: str, figure: float, least: float) -> Bar:
    return Bar(f"{what}: {figure:.3f} (at least {least:.2f})", bool(figure >= least))


PARTS: dict[str, Callable[[Path], list[Bar]]] = {
    "flow": flow, "wine": wine, "scope2": scope2, "guo": guo, "methylation": methylation,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(PARTS), help="one part of it")
    told = parser.parse_args()
    folder, kept = real_data(), True
    for name in [told.only] if told.only else PARTS:
        print(f"=== {name}")
        began = time.perf_counter()
        bars = PARTS[name](folder)
        for bar in bars:
            print(f"    {'holds ' if bar.holds else 'MISSED'}  {bar.text}")
        print(f"    {time.perf_counter() - began:.0f} s\n", flush=True)
        kept = kept and all(bar.holds for bar in bars)
    print(f"the bars {'hold' if kept else 'do NOT hold'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
