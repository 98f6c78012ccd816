"""Flags: chances of doublets and of outliers agree with brute force and are kept; NA where nothing is seen."""

from itertools import combinations

import anndata
import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal as normal

import mixsci as mx
from mixsci import cells
from mixsci.cells.flags import _doublets, _tails, doublets, outliers
from mixsci.cells.matrix import matrix_of
from mixsci.cells.results import write_mixture
from mixsci.engine.factor_mixture import FactorMixture
from mixsci.errors import DataError


def spread(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T / d + 0.3 * np.eye(d)


def mixture_of(rng, k=3, d=4, apart=6.0):
    return mx.Mixture(rng.dirichlet(np.full(k, 5.0)), rng.normal(0, apart, (k, d)), [spread(rng, d) for _ in range(k)])


def fitted(x, k, **options):
    """An AnnData with a mixture of k components, and its fit."""
    adata = anndata.AnnData(x)
    for name, layer in options.pop("layers", {}).items():
        adata.layers[name] = layer
    matrix = matrix_of(adata, **options)
    fit = mx.fit(mx.Model(k), matrix.obs, rng=0)
    write_mixture(adata, "mixture", fit, matrix, params=options)
    return adata, fit


def factor_mixture(rng, shifts=None):
    labels = {} if shifts is None else {"shifts": shifts, "group_labels": ("a", "b")}
    return FactorMixture(
        [0.6, 0.4], [[0.0, 0.0], [5.0, 1.0]], [np.eye(2)] * 2, loadings=rng.normal(size=(5, 2)),
        intercept=rng.normal(size=5), uniquenesses=np.full(5, 0.5), **labels,
    )  # fmt: skip


# --- doublets --------------------------------------------------------------------------------------------------------


def test_chances_of_doublets_are_those_of_bayes():
    rng = np.random.default_rng(0)
    mixture = mixture_of(rng)
    x = mixture.sample(40, rng=1)[0]
    x[:10] = (x[10:20] + x[20:30]) / 2
    x[rng.random(x.shape) < 0.3] = np.nan
    p, _ = _doublets(mixture, mx.Observations(x), 0.1, lambda a, b: (a + b) / 2)
    w, m, s = mixture.weights, mixture.means, mixture.covariances
    for row, chance in zip(x, p, strict=True):
        o = ~np.isnan(row)
        if not o.any():
            continue
        f = lambda mean, k, o=o, row=row: normal.pdf(row[o], mean[o], s[k][np.ix_(o, o)])  # noqa: E731
        pairs = sum(
            2 * w[j] * w[k] * (f((m[j] + m[k]) / 2, j) + f((m[j] + m[k]) / 2, k)) / 2
            for j, k in combinations(range(3), 2)
        )
        single = sum(w[k] * f(m[k], k) for k in range(3))
        known = 0.1 * pairs / (0.1 * pairs + (0.9 + 0.1 * (w**2).sum()) * single)
        assert chance == pytest.approx(known, rel=1e-6, abs=1e-12)


def test_simulated_doublets_are_found_and_counted():
    adata = cells.simulate_cells(4000, 12, 3, missing=0.2, separation=10.0, rng=1)
    rng = np.random.default_rng(0)
    kind, full = adata.obs["cell_type"].cat.codes.to_numpy(), np.asarray(adata.layers["complete"])
    pairs = rng.integers(0, 4000, (200, 2))
    mixed = full[pairs].mean(axis=1)
    mixed[rng.random(mixed.shape) < 0.2] = np.nan
    mixed_kinds = kind[pairs[:, 0]] != kind[pairs[:, 1]]
    both, _ = fitted(np.vstack([np.asarray(adata.X), mixed]), 3)
    doublets(both, rate=200 / 4200)
    flag = both.obs["mixture_doublet"].to_numpy(dtype=bool)
    assert flag[4000:][mixed_kinds].mean() > 0.8
    assert flag[4000:][~mixed_kinds].mean() < 0.05
    assert flag[:4000].mean() < 0.005
    # Chances add up to the number of doublets of two types.
    assert both.obs["mixture_doublet_prob"].sum() == pytest.approx(mixed_kinds.sum(), rel=0.15)
    # The pair names the clusters of both cells.
    clusters = both.obs["mixture"].cat.codes.to_numpy()[:4000][pairs]
    names = ["+".join(map(str, sorted(pair))) for pair in clusters]
    found = np.flatnonzero(flag[4000:] & mixed_kinds)
    assert np.mean([both.obs["mixture_doublet_pair"].iloc[4000 + i] == names[i] for i in found]) > 0.95


def test_fluorescence_of_two_cells_adds_up():
    rng = np.random.default_rng(0)
    t_cells, b_cells = rng.normal([5, 0], 0.4, (600, 2)), rng.normal([0, 5], 0.4, (400, 2))
    both = np.arcsinh(np.sinh(t_cells[:20]) + np.sinh(b_cells[:20]))
    adata, _ = fitted(np.vstack([t_cells, b_cells]), 2)
    joined = anndata.AnnData(np.vstack([t_cells, b_cells, both]))
    write_mixture(joined, "mixture", cells.load(adata), matrix_of(joined))
    doublets(joined, scale="arcsinh")
    assert joined.obs["mixture_doublet"].iloc[1000:].all()
    assert joined.obs["mixture_doublet"].iloc[:1000].mean() < 0.01
    assert set(joined.obs["mixture_doublet_pair"].dropna()) == {"0+1"}


# --- outliers --------------------------------------------------------------------------------------------------------


def test_one_component_has_the_tail_of_chi_square():
    rng = np.random.default_rng(0)
    mean, covariance = rng.normal(size=3), spread(rng, 3)
    x = rng.normal(0, 2, (30, 3))
    x[rng.random(x.shape) < 0.3] = np.nan
    p = _tails(mx.Mixture([1.0], [mean], [covariance]), mx.Observations(x))
    for row, chance in zip(x, p, strict=True):
        o = ~np.isnan(row)
        apart = row[o] - mean[o]
        known = chi2.sf(apart @ np.linalg.solve(covariance[np.ix_(o, o)], apart), o.sum()) if o.any() else 1.0
        assert chance == pytest.approx(known, rel=1e-8)


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_a_mixture_is_flagged_as_often_as_asked(level):
    rng = np.random.default_rng(1)
    mixture = mixture_of(rng, apart=8.0)
    x = mixture.sample(20_000, rng=2)[0]
    x[:, 0][rng.random(len(x)) < 0.3] = np.nan
    flagged = (_tails(mixture, mx.Observations(x)) <= level).mean()
    assert flagged == pytest.approx(level, abs=4 * np.sqrt(level / 20_000))


def test_overlap_makes_it_careful():
    rng = np.random.default_rng(2)
    mixture = mixture_of(rng, apart=1.0)
    x = mixture.sample(20_000, rng=3)[0]
    p, log_p = _tails(mixture, mx.Observations(x)), mixture.log_density(x)
    # The chance itself, by drawing: that of a density as low as a cell's is never above what is said.
    drawn = np.sort(mixture.log_density(mixture.sample(100_000, rng=4)[0]))
    chance = np.searchsorted(drawn, log_p) / len(drawn)
    assert (p > chance - 0.01).all()
    assert 0.3 * 0.01 < (p <= 0.01).mean() <= 0.0125


def test_mixtures_of_factors_are_flagged_as_often_as_asked():
    mixture = factor_mixture(np.random.default_rng(3))
    x = mixture.sample(20_000, rng=1)[0]
    x[::2, 1] = np.nan
    assert (_tails(mixture, mx.Observations(x)) <= 0.01).mean() == pytest.approx(0.01, abs=0.004)
    p, _ = _doublets(mixture, mx.Observations(x), 0.05, lambda a, b: (a + b) / 2)
    assert ((p >= 0) & (p <= 1)).all()
    assert p.mean() < 0.05


def test_shifts_of_batches_are_part_of_where_cells_are_expected():
    shifts = np.array([[0.0] * 5, [100.0] * 5])
    plain, shifted = factor_mixture(np.random.default_rng(3)), factor_mixture(np.random.default_rng(3), shifts)
    x = plain.sample(300, rng=1)[0]
    batch = np.repeat(["a", "b"], 150)
    moved = mx.Observations(x + shifts[(batch == "b").astype(int)], groups=batch)
    np.testing.assert_allclose(_tails(shifted, moved), _tails(plain, mx.Observations(x)), rtol=1e-6)
    halfway = lambda a, b: (a + b) / 2  # noqa: E731
    np.testing.assert_allclose(
        _doublets(shifted, moved, 0.1, halfway)[0], _doublets(plain, mx.Observations(x), 0.1, halfway)[0], rtol=1e-6
    )


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.fixture
def clustered():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (150, 3)), rng.normal(8, 1, (100, 3))])
    x[rng.random(x.shape) < 0.2] = np.nan
    x[7] = np.nan
    x[8] = [40.0, np.nan, -40.0]
    x[9] = 4.0
    return fitted(x, 2)[0]


def test_cells_without_a_value_are_na(clustered, tmp_path):
    doublets(clustered)
    outliers(clustered)
    obs = clustered.obs
    names = ["mixture_doublet", "mixture_doublet_prob", "mixture_doublet_pair", "mixture_outlier", "mixture_outlier_p"]
    assert obs.iloc[7][names].isna().all()
    assert obs["mixture_outlier"].iloc[8]
    assert (obs["mixture_doublet"].dtype, obs["mixture_outlier"].dtype) == ("boolean", "boolean")
    np.testing.assert_array_equal(obs["mixture_doublet_pair"].isna(), ~obs["mixture_doublet"].fillna(value=False))
    clustered.write_h5ad(tmp_path / "flagged.h5ad")
    back = anndata.read_h5ad(tmp_path / "flagged.h5ad")
    for name in names:
        # What a category of text is stored as is the reader's choice.
        assert back.obs[name].astype(object).equals(obs[name].astype(object))


def test_a_copy_leaves_the_original_alone(clustered):
    before = set(clustered.obs)
    assert "mine_outlier" in outliers(clustered, key_added="mine", copy=True).obs
    assert "mine_doublet" in doublets(clustered, key_added="mine", copy=True).obs
    assert set(clustered.obs) == before


def test_the_values_of_the_fit_are_looked_at():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (150, 3)), rng.normal(8, 1, (100, 3))])
    adata, fit = fitted(np.zeros_like(x), 2, layers={"log": x}, layer="log")
    outliers(adata)
    np.testing.assert_allclose(adata.obs["mixture_outlier_p"], _tails(fit.mixture, mx.Observations(x)))
    adata.layers["far"] = x + 50.0
    outliers(adata, layer="far")
    assert adata.obs["mixture_outlier"].all()


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (doublets, {"key": "other"}, "key must name results of a fit"),
        (doublets, {"rate": 0.0}, "rate must lie between 0 and 1"),
        (doublets, {"scale": "sqrt"}, "scale must be one of 'linear', 'log', 'log1p', 'arcsinh'"),
        (outliers, {"level": 1.0}, "level must lie between 0 and 1"),
        (outliers, {"level": "low"}, "level must be one number"),
        (outliers, {"key_added": "a/b"}, "without a slash"),
        (outliers, {"layer": "nothing"}, "layer must be in layers"),
    ],
)
def test_what_cannot_be_flagged_is_refused(clustered, verb, arguments, message):
    with pytest.raises(DataError, match=message):
        verb(clustered, **arguments)


def test_variables_of_the_fit_must_be_there(clustered):
    with pytest.raises(DataError, match="must all be there, in their order: 0, 1, 2"):
        outliers(clustered[:, [0, 1]].copy())


def test_one_cluster_has_no_doublets_of_two():
    adata, _ = fitted(np.random.default_rng(0).normal(size=(100, 2)), 1)
    with pytest.raises(DataError, match="doublets are of two clusters; this mixture has one"):
        doublets(adata)
