"""Pictures of cells show what is stored: places, colours, counts and words are read back from the Axes."""

import re
import warnings

import anndata as ad
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import sparse

import mixsci as mx
from mixsci import cells
from mixsci.cells import pl, tl
from mixsci.cells.holding import alone
from mixsci.cells.plot_bins import bins_of
from mixsci.cells.plot_canvas import NOTHING, clusters_of
from mixsci.errors import DataError
from mixsci.plot import PALETTE

FAMILY_LABELS = ["tied", "diag"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found():
    """Cells of three types with gaps, two of them without any value, and all results that are drawn."""
    adata = cells.simulate_cells(240, 6, 3, missing=0.3, rng=1)
    adata.X[[3, 7]] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.pp.missingness(adata, groupby="batch")
        tl.mixture(adata, 3, covariance="tied", rng=1)
        tl.factor(adata, 2, rng=1)
        tl.select(adata, [1, 2, 3, 4], covariance=FAMILY_LABELS, rng=1, starts=3)
        tl.rank_markers(adata)
        tl.held_out(adata, rng=1)
    return adata


def points(ax):
    """(m, 2) places and (m,) colours of all dots that are drawn."""
    drawn = [dots for dots in ax.collections if hasattr(dots, "get_offsets") and len(dots.get_offsets())]
    drawn = [dots for dots in drawn if dots.get_offset_transform() == ax.transData]
    colors = [np.resize([to_hex(color) for color in dots.get_facecolors()], len(dots.get_offsets())) for dots in drawn]
    return np.concatenate([np.asarray(dots.get_offsets()) for dots in drawn]), np.concatenate(colors)


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def sorted_rows(xy):
    return xy[np.lexsort(xy.T)]


def overlapping(figure):
    """Pairs of words that lie on one another once the figure is drawn."""
    figure.canvas.draw()
    texts = []
    for ax in [one for axes in figure.axes for one in (axes, *axes.child_axes)]:
        legend = ax.get_legend()
        texts += [ax.xaxis.label, ax.yaxis.label, ax._left_title, *(legend.findobj(plt.Text) if legend else [])]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [label for tick in ticks for label in (tick.label1, tick.label2) if label.get_visible()]
    seen = list(dict.fromkeys(text for text in texts if text.get_text().strip() and text.get_visible()))
    boxes = [(text.get_text(), text.get_window_extent().shrunk(0.9, 0.8)) for text in seen]
    edge = figure.bbox
    outside = [word for word, box in boxes if not (box.x0 >= edge.x0 - 1 and box.x1 <= edge.x1 + 1)]
    return outside + [
        (one, other)
        for i, (one, first) in enumerate(boxes)
        for other, second in boxes[i + 1 :]
        if first.overlaps(second)
    ]


# --- all of them -----------------------------------------------------------------------------------------------------

EVERY = {
    "selection": pl.selection,
    "missingness": lambda a, **o: pl.missingness(a, groupby="mixture", **o)["map"],
    "missingness_intensity": pl.missingness_intensity,
    "ellipses": lambda a, **o: pl.ellipses(a, "marker_0", "marker_1", **o),
    "embedding": pl.embedding,
    "entropy": pl.entropy,
    "entropy in an embedding": lambda a, **o: pl.entropy(a, basis="factor", **o),
    "proba": pl.proba,
    "markers": pl.markers,
    "density": lambda a, **o: pl.density(a, "marker_0", **o),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_plot_draws_where_it_is_told_and_saves(found, name, tmp_path):
    _, ax = plt.subplots()
    assert EVERY[name](found, ax=ax, save=tmp_path / "picture.png") is ax
    assert (tmp_path / "picture.png").stat().st_size > 5000
    assert ax.get_xlabel() or ax.get_xticklabels()


@pytest.mark.parametrize("name", EVERY)
def test_words_do_not_lie_on_one_another(found, name):
    assert not overlapping(EVERY[name](found).figure)


@pytest.mark.parametrize("name", EVERY)
def test_results_of_a_file_are_drawn_alike(found, name, tmp_path):
    found.write_h5ad(tmp_path / "cells.h5ad")
    read = ad.read_h5ad(tmp_path / "cells.h5ad")
    one, other = EVERY[name](found), EVERY[name](read)
    assert one.get_title(loc="left") == other.get_title(loc="left")
    if name != "missingness":
        np.testing.assert_array_equal(one.viewLim.get_points(), other.viewLim.get_points())


def test_plots_change_nothing(found):
    before = found.copy()
    for draw in EVERY.values():
        draw(found)
    pd.testing.assert_frame_equal(before.obs, found.obs)
    assert set(before.uns) == set(found.uns)
    np.testing.assert_array_equal(before.X, found.X)


def test_figures_are_shown_when_asked_for(found, monkeypatch):
    shown = []
    monkeypatch.setattr(plt.Figure, "show", lambda figure: shown.append(figure))  # noqa: PLW0108 (bound to it)
    ax = pl.proba(found, show=True)
    pl.proba(found)
    assert shown == [ax.figure]


# --- selection -------------------------------------------------------------------------------------------------------


def test_selection_draws_the_criterion_of_every_fit(found):
    ax = pl.selection(found)
    choices = found.uns["select"]["choices"]
    least = choices["bic"].min()
    lines = {line.get_label().split(",")[0]: line for line in ax.lines}
    for family in FAMILY_LABELS:
        own = choices["covariance"] == family
        np.testing.assert_array_equal(lines[family].get_xdata(), choices["n_components"][own])
        np.testing.assert_allclose(lines[family].get_ydata() + least, choices["bic"][own])
    assert lines["best"].get_xdata() == [found.uns["select"]["n_components"]]
    assert f"{least:,.1f}" in ax.get_ylabel()
    assert ax.get_title(loc="left") == found.uns["select"]["verdict"]
    band = next(patch for patch in ax.patches if "undecided" in patch.get_label())
    assert (band.get_y(), band.get_height()) == (0.0, 2.0)


def test_selection_knows_other_criteria_and_tables(found):
    adata = found.copy()
    choices = adata.uns["select"]["choices"]
    assert pl.selection(adata, criterion="icl").get_title(loc="left") == ""
    choices["held_out"] = np.linspace(-3.0, -1.0, len(choices["bic"]))
    choices["outcome"][-1] = "MAX_ITER" if "MAX_ITER" in mx.engine.em.state.Outcome.__members__ else "NOT_FINITE"
    ax = pl.selection(adata, criterion="held_out")
    best = next(line for line in ax.lines if line.get_label() == "best")
    # The last fit did not come to its end, so that the one before is the best of those that did.
    assert best.get_ydata()[0] == choices["held_out"][-2]
    assert pl.selection(adata, "mixture").get_xlabel() == "number of clusters K"
    adata.uns["factor"]["choices"] = {"n_factors": np.array([1, 2, 3]), "bic": np.array([30.0, 10.0, 11.0])}
    assert pl.selection(adata, "factor").get_xlabel() == "number of factors"


# --- gaps ------------------------------------------------------------------------------------------------------------


def backed(x, path):
    ad.AnnData(x).write_h5ad(path / "x.h5ad")
    return ad.read_h5ad(path / "x.h5ad", backed="r")


STORED = {
    "dense": lambda x, _: ad.AnnData(x),
    "sparse": lambda x, _: ad.AnnData(sparse.csr_matrix(x)),
    "dask": lambda x, _: ad.AnnData(da.from_array(x, chunks=(100, 7))),
    "layer": lambda x, _: ad.AnnData(np.zeros(x.shape), layers={"values": x}),
    "backed": backed,
}


@pytest.mark.parametrize("stored", STORED)
def test_a_field_is_the_share_of_gaps_of_all_its_cells(stored, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(731, 410))
    x[rng.random(x.shape) < rng.random(410)] = np.nan
    adata = STORED[stored](x, tmp_path)
    axes = pl.missingness(adata, layer="values" if stored == "layer" else None)
    gaps = np.isnan(x)
    gaps = gaps[np.argsort(gaps.sum(axis=1), kind="stable")][:, np.argsort(gaps.sum(axis=0), kind="stable")]
    mesh = axes["map"].collections[0]
    corners = np.asarray(mesh.get_coordinates())
    y, x_edges = corners[:, 0, 1].astype(int), corners[0, :, 0].astype(int)
    shares = np.asarray(mesh.get_array())
    assert shares.shape == (150, 200)
    for i, j in [(0, 0), (17, 60), (149, 199)]:
        here = gaps[y[i] : y[i + 1], x_edges[j] : x_edges[j + 1]]
        assert shares[i, j] == pytest.approx(here.mean())
    sizes = np.diff(y)[:, None] * np.diff(x_edges)
    assert (shares * sizes).sum() == pytest.approx(gaps.sum())
    above = axes["vars"].patches[0].get_data()
    np.testing.assert_allclose((above.values * np.diff(above.edges)).sum(), gaps.mean(axis=0).sum())
    right = axes["cells"].patches[0].get_data()
    np.testing.assert_allclose(right.values, [part.mean() for part in np.split(gaps.mean(axis=1), y[1:-1])])
    assert axes["vars"].get_title(loc="left").startswith(f"{100 * gaps.mean():.0f} % of 731 cells × 410 variables")


def test_groups_are_named_in_their_order(found):
    axes = pl.missingness(found, groupby="mixture")
    assert [label.get_text() for label in axes["map"].get_yticklabels()] == ["0", "1", "2", "NA"]
    counts = found.obs["mixture"].value_counts(sort=False)
    assert [line.get_ydata()[0] for line in axes["map"].lines] == np.cumsum(counts).tolist()
    few = found.copy()
    few.obs["run"] = ["most"] * 236 + list("uvwx")
    names = [label.get_text() for label in pl.missingness(few, groupby="run")["map"].get_yticklabels()]
    assert "most" in names
    assert len(names) < 5
    shown = [label.get_text() for label in axes["map"].get_xticklabels()]
    assert shown == list(found.var["missingness"].sort_values(kind="stable").index)


def test_bins_hold_everything_once_and_never_two_groups():
    rng = np.random.default_rng(1)
    values, groups = rng.random(1000), rng.choice(4, 1000, p=[0.7, 0.2, 0.099, 0.001])
    bins = bins_of(values, 50, groups)
    assert sorted(bins.order) == list(range(1000))
    assert set(bins.ends) <= set(bins.edges)
    assert (bins.sizes > 0).all()
    assert abs(len(bins.sizes) - 50) <= 4
    np.testing.assert_array_equal(bins.of_each[bins.order], np.repeat(np.arange(len(bins.sizes)), bins.sizes))
    np.testing.assert_allclose(bins.means(values)[0], values[bins.order[: bins.edges[1]]].mean())


def test_intensity_is_what_the_report_found(found):
    ax = pl.missingness_intensity(found)
    xy, _ = points(ax)
    means = np.nanmean(np.asarray(found.X), axis=0)
    np.testing.assert_allclose(xy, np.column_stack([means, np.isnan(np.asarray(found.X)).mean(axis=0)]))
    assert f"{found.uns['missingness']['rho']:.2f}".replace("-", "−") in ax.get_title(loc="left")


# --- cells -----------------------------------------------------------------------------------------------------------


def test_ellipses_are_those_of_the_fit(found):
    ax = pl.ellipses(found, "marker_0", "marker_4")
    fit, order = cells.load(found), found.uns["mixture"]["order"]
    x = np.asarray(found[:, ["marker_0", "marker_4"]].X)
    seen = np.isfinite(x)
    xy, colors = points(ax)
    np.testing.assert_array_equal(sorted_rows(xy), sorted_rows(x[seen.all(axis=1)]))
    wanted = found.obs["mixture"].cat.codes.to_numpy()[seen.all(axis=1)]
    assert sorted(colors) == sorted(PALETTE[code].lower() for code in wanted)
    for label in range(3):
        line = next(line for line in ax.lines if line.get_label() == f"_{label} at 2")
        apart = line.get_xydata() - fit.mixture.means[order[label]][[0, 4]]
        spread = fit.mixture.covariances[order[label]][np.ix_([0, 4], [0, 4])]
        np.testing.assert_allclose(np.einsum("ni,ij,nj->n", apart, np.linalg.inv(spread), apart), 4.0)
    ticks = [dots for dots in ax.collections if dots.get_offset_transform() != ax.transData]
    assert [len(dots.get_offsets()) for dots in ticks] == [
        (seen[:, 0] & ~seen[:, 1]).sum(),
        (seen[:, 1] & ~seen[:, 0]).sum(),
    ]
    assert words(ax)[-1] == "NA (2)"


def test_ellipses_of_factors_are_those_of_their_draws():
    adata = cells.simulate_cells(400, 8, 2, n_factors=2, missing=0.2, batches=2, batch_effect=8.0, rng=2)
    tl.mixture(adata, 2, covariance="factor_tied", n_factors=2, batch="batch", rng=1)
    mixture, order = cells.load(adata).mixture, adata.uns["mixture"]["order"]
    ax = pl.ellipses(adata, "marker_1", "marker_2")
    drawn, labels = mixture.of_group("batch_0").sample(200_000, rng=1)
    drawn = drawn - mixture.shifts[mixture.group_labels.index("batch_0")]
    for label in range(2):
        own = drawn[labels == order[label]][:, [1, 2]]
        line = next(line for line in ax.lines if line.get_label() == f"_{label} at 1").get_xydata()
        apart = line - own.mean(axis=0)
        size = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(np.cov(own.T)), apart)
        np.testing.assert_allclose(size, 1.0, atol=0.1)
    assert "less the shift" in ax.get_title(loc="left")
    shift = {name: mixture.shifts[g] for g, name in enumerate(mixture.group_labels)}
    x = np.asarray(adata.X)[:, [1, 2]] - np.array([shift[name][[1, 2]] for name in adata.obs["batch"]])
    np.testing.assert_allclose(sorted_rows(points(ax)[0]), sorted_rows(x[np.isfinite(x).all(axis=1)]))


def test_ellipses_of_a_representation(found):
    adata = found.copy()
    tl.mixture(adata, 2, use_rep="X_factor", rng=1, key_added="in_factors", covariance="full")
    ax = pl.ellipses(adata, "X_factor-0", "X_factor-1", key="in_factors")
    assert len(points(ax)[0]) == adata.n_obs


def test_an_embedding_has_every_cell_in_the_colour_of_its_cluster(found):
    ax = pl.embedding(found)
    xy, colors = points(ax)
    np.testing.assert_array_equal(sorted_rows(xy), sorted_rows(found.obsm["X_factor"]))
    codes = found.obs["mixture"].cat.codes.to_numpy()
    known = {
        tuple(at): PALETTE[code].lower() for at, code in zip(found.obsm["X_factor"], codes, strict=True) if code >= 0
    }
    assert all(color == known.get(tuple(at), NOTHING.lower()) for at, color in zip(xy, colors, strict=True))
    counts = found.obs["mixture"].value_counts(sort=False)
    assert words(ax) == [*(f"{name} ({count})" for name, count in counts.items()), "NA (2)"]


def test_an_embedding_has_crosses_of_its_uncertainty(found):
    ax = pl.embedding(found, "factor")
    across = ax.collections[0].get_segments()
    sd = found.obsm["X_factor_sd"]
    np.testing.assert_allclose([line[1, 0] - line[0, 0] for line in across], 2 * sd[:, 0])
    assert len(pl.embedding(found, uncertainty=False).collections) < len(ax.collections)


@pytest.mark.parametrize(
    ("color", "column"), [("entropy", "mixture_entropy"), ("prob", "mixture_prob"), ("missingness", "missingness")]
)
def test_an_embedding_is_coloured_by_numbers(found, color, column):
    ax = pl.embedding(found, color=color)
    drawn = next(dots for dots in ax.collections if dots.get_array() is not None)
    values = found.obs[column].dropna().sort_values().to_numpy()
    np.testing.assert_array_equal(np.sort(drawn.get_array()), values)
    assert len(points(ax)[0]) == found.n_obs


def test_one_dimension_and_labels_that_are_text_or_booleans(found):
    adata = found.copy()
    adata.obsm["line"] = adata.obsm["X_factor"][:, 0]
    adata.obs["early"] = np.arange(adata.n_obs) < 30
    adata.obs["word"] = ["a$b"] * adata.n_obs
    ax = pl.embedding(adata, "line", "early")
    assert words(ax) == ["False (210)", "True (30)"]
    assert not len(ax.get_yticks())
    assert words(pl.embedding(adata, "line", "word")) == [r"a\$b (240)"]


def test_ten_clusters_have_ten_colours():
    adata = ad.AnnData(np.zeros((22, 1)))
    adata.obs["k"] = pd.Categorical([str(i) for i in range(11)] * 2)
    adata.uns["k_colors"] = np.array([PALETTE[i % 8] for i in range(11)], dtype=object)
    found = clusters_of(adata, "k")
    assert len(set(found.colors)) == 11
    assert found.colors[:8] == PALETTE[:8]
    adata.obs["k"] = pd.Categorical([str(i) for i in range(22)])
    many = clusters_of(adata, "k")
    assert len(set(zip(many.colors, many.markers, strict=True))) == 22
    adata.obs["k"] = pd.Categorical(["x", "y"] * 11)
    adata.uns["k_colors"] = ["#123456", "#654321"]
    assert clusters_of(adata, "k").colors == ("#123456", "#654321")


# --- certainty -------------------------------------------------------------------------------------------------------


def test_entropy_counts_cells(found):
    ax = pl.entropy(found)
    values = found.obs["mixture_entropy"].dropna()
    line = next(line for line in ax.lines if line.get_label().startswith("all"))
    for at, share in zip(*line.get_data(), strict=True):
        assert share == pytest.approx((values > at).mean())
    assert line.get_label() == "all (238)"


def test_proba_has_means_of_the_probabilities(found):
    ax = pl.proba(found)
    mesh = ax.collections[0]
    edges = np.asarray(mesh.get_coordinates())[0, :, 0]
    shown = np.asarray(mesh.get_array())
    # No more cells than fields: each is one.
    assert (np.diff(edges) == 1).all()
    order = np.lexsort([-found.obsm["mixture_proba"].max(axis=1), found.obs["mixture"].cat.codes % 4])
    np.testing.assert_allclose(shown, found.obsm["mixture_proba"][order].T)
    many = ad.concat([found] * 5, join="outer", merge="same", index_unique="-")
    mesh = pl.proba(many).collections[0]
    sizes = np.diff(np.asarray(mesh.get_coordinates())[0, :, 0])
    np.testing.assert_allclose(np.asarray(mesh.get_array()) @ sizes, many.obsm["mixture_proba"].sum(axis=0))


# --- held out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["full", "factor_tied", "factor_own"])
def test_held_out_values_are_foretold_as_by_the_mixture_itself(family):
    shifted = family != "factor_own"
    adata = cells.simulate_cells(150, 6, 2, missing=0.2, batches=2 if shifted else 1, rng=3)
    tl.mixture(adata, 2, covariance=family, n_factors=1, batch="batch" if shifted else None, rng=1)
    tl.held_out(adata, rng=5)
    told, fit = adata.uns["mixture_held_out"], cells.load(adata)
    x, groups = np.asarray(adata.X), adata.obs["batch"].to_numpy(dtype=object) if shifted else None
    np.testing.assert_array_equal(told["value"], x[told["cell"], told["variable"]])
    rest = x.copy()
    rest[told["cell"], told["variable"]] = np.nan
    obs = mx.Observations(rest, groups=groups)
    filled, sd = fit.mixture.impute(obs)
    np.testing.assert_allclose(told["expected"], filled[told["cell"], told["variable"]], rtol=1e-7)
    np.testing.assert_allclose(told["sd"], sd[told["cell"], told["variable"]], rtol=1e-6)
    # Where values fall among draws is where they fall in their prediction.
    draws = [fit.mixture.draw(obs, rng=i) for i in range(300)]
    below = np.mean([draw[told["cell"], told["variable"]] < told["value"] for draw in draws], axis=0)
    assert np.abs(below - told["quantile"]).max() < 5 * 0.5 / np.sqrt(300)


def test_held_out_knows_errors_of_values_and_gaps():
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(500, 1)) + 0.3 * rng.normal(size=(500, 4))
    sigma = np.where(rng.random((500, 4)) < 0.5, 0.1, 2.0)
    adata = ad.AnnData(clean + sigma * rng.normal(size=(500, 4)), layers={"sd": sigma})
    tl.mixture(adata, 1, noise_layer="sd", covariance="full", rng=1)
    tl.held_out(adata, rng=1)
    told = adata.uns["mixture_held_out"]
    loud = sigma[told["cell"], told["variable"]] > 1
    assert (told["sd"][loud] > 2.0).all()
    for part in (loud, ~loud):
        assert np.mean(np.abs(told["quantile"][part] - 0.5) < 0.45) == pytest.approx(0.9, abs=0.1)


def test_a_new_fit_has_not_seen_the_values(found):
    adata = tl.held_out(found, refit=True, rng=4, copy=True)
    told = adata.uns["mixture_held_out"]
    assert told["refit"] is True
    assert 0.8 < told["coverage_90"] < 1.0
    assert "has not seen" in pl.calibration(adata)["values"].get_title(loc="left")


def test_sparse_and_backed_cells_are_held_out(tmp_path):
    adata = cells.simulate_cells(200, 6, 2, missing=0.0, sparse=True, rng=1)
    tl.mixture(adata, 2, covariance="tied", rng=1)
    tl.held_out(adata, rng=1)
    assert len(adata.uns["mixture_held_out"]["value"]) > 80
    adata.write_h5ad(tmp_path / "sparse.h5ad")
    stored = ad.read_h5ad(tmp_path / "sparse.h5ad", backed="r")
    tl.held_out(stored, rng=1, key_added="again")
    np.testing.assert_allclose(stored.uns["again"]["quantile"], adata.uns["mixture_held_out"]["quantile"], rtol=1e-7)
    assert len(points(pl.ellipses(stored, "marker_0", "marker_1"))[0]) == 200
    with pytest.raises(DataError, match="needs dense cells in memory"):
        tl.held_out(adata, refit=True)


def test_components_alone_make_up_the_mixture(found):
    mixture = cells.load(found).mixture
    obs = mx.Observations(np.asarray(found.X))
    parts = np.array([one.log_density(obs) for one in alone(mixture)])
    whole = np.log((mixture.pooled_weights[:, None] * np.exp(parts)).sum(axis=0))
    np.testing.assert_allclose(whole, mixture.log_density(obs), atol=1e-10)


def test_calibration_draws_what_was_kept(found):
    told = found.uns["mixture_held_out"]
    axes = pl.calibration(found)
    centre, scale = told["centre"][told["variable"]], told["scale"][told["variable"]]
    xy, _ = points(axes["values"])
    wanted = np.column_stack([told["expected"] - centre, told["value"] - centre]) / scale[:, None]
    np.testing.assert_allclose(sorted_rows(xy), sorted_rows(wanted))
    bars = axes["quantiles"].patches[0].get_data()
    np.testing.assert_allclose(bars.values, np.histogram(told["quantile"], 20, (0, 1), density=True)[0])
    inside = np.mean(np.abs(told["quantile"] - 0.5) <= 0.45)
    assert told["coverage_90"] == inside
    assert f"90 % intervals hold {100 * inside:.0f} %" in axes["quantiles"].get_title(loc="left")
    assert not overlapping(axes["values"].figure)
    figure, two = plt.subplots(1, 2)
    assert list(pl.calibration(found, ax=two).values()) == list(two)
    assert len(figure.axes) == 2


# --- markers ---------------------------------------------------------------------------------------------------------


def test_markers_are_the_best_of_each_cluster(found):
    ax = pl.markers(found, n_vars=2)
    ranked = found.uns["rank_genes_groups"]["names"]
    names = list(dict.fromkeys(str(name) for group in "012" for name in ranked[group][:2]))
    assert [label.get_text() for label in ax.get_xticklabels()] == names
    dots = ax.collections[0]
    means = pd.DataFrame(found.varm["mixture_means"], index=found.var_names).loc[names]
    low, high = means.min(axis=1), means.max(axis=1)
    scaled = means.sub(low, axis=0).div(high - low, axis=0)
    np.testing.assert_allclose(dots.get_array(), scaled.to_numpy().ravel())
    observed = found.uns["rank_genes_groups"]["observed"].loc[names].to_numpy().ravel()
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().max(), observed / observed.max())


def test_markers_without_a_ranking_are_all_variables(found):
    adata = found.copy()
    del adata.uns["rank_genes_groups"]
    assert len(pl.markers(adata).get_xticklabels()) == 6
    assert len(pl.markers(adata, var_names=["marker_3"]).get_xticklabels()) == 1


# --- what cannot be drawn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda a: pl.selection(a, "nothing"),
            "of tl.select in uns, of which there are mixture, select; got 'nothing'",
        ),
        (lambda a: pl.selection(a, criterion="held_out"), "one that was looked at, 'bic', 'aic', 'icl'"),
        (lambda a: pl.missingness(a, layer="x"), "layer must be in layers, one of complete"),
        (lambda a: pl.missingness(a, groupby="x"), "groupby must name a column of obs"),
        (lambda a: pl.missingness_intensity(a, key="x"), "of pp.missingness in uns, of which there are missingness"),
        (lambda a: pl.ellipses(a, "marker_0", "z"), "variables of the fit, marker_0, .* got 'z'"),
        (lambda a: pl.ellipses(a, "marker_0", "marker_1", key="x"), "of tl.mixture in uns, of which there are mixture"),
        (lambda a: pl.embedding(a, "x"), "basis must be in obsm, one of mixture_proba, X_factor"),
        (lambda a: pl.embedding(a, color="x"), "color must name a column of obs"),
        (lambda a: pl.embedding(a, key="x"), "key must name a column of obs"),
        (lambda a: pl.embedding(a, dims=(0, 2)), "dims must be two of the dimensions 0 to 1"),
        (lambda a: pl.embedding(a, "mixture_proba", uncertainty=True), "obsm must hold mixture_proba_sd"),
        (lambda a: pl.entropy(a, key="x"), "key must name a column of obs"),
        (lambda a: pl.proba(a, key="x"), "obsm must hold x_proba"),
        (lambda a: pl.calibration(a, key="factor"), "of tl.held_out in uns, of which there are mixture_held_out"),
        (lambda a: pl.calibration(a, ax=plt.subplots()[1]), "two Axes, of values and of quantiles; got 1"),
        (lambda a: pl.markers(a, key="x"), "varm must hold x_means"),
        (lambda a: pl.markers(a, var_names=["z"]), "var_names must be variables, of marker_0"),
        (lambda a: pl.markers(a, n_vars=0), "n_vars must be a whole number"),
        (lambda a: pl.markers(a, key_markers="x"), "one of rank_genes_groups; got 'x'"),
        (lambda a: tl.held_out(a, share=1.0), "share must be between 0 and 1; got 1"),
        (lambda a: tl.held_out(a, "x"), "key must name results of a fit in uns"),
        (lambda a: tl.held_out(a, share=1e-12, rng=1), "there must be a value to hide"),
        (lambda _: pl.proba("cells"), "the first argument must be an AnnData; got str"),
    ],
)
def test_what_cannot_be_drawn_is_refused(found, draw, message):
    with pytest.raises(DataError, match=message) as caught:
        draw(found)
    assert not re.search(r"\.\s+[A-Z]", str(caught.value))
