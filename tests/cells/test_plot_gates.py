"""Pictures of gates show what was written: densities, thresholds, cells and words are read back from the Axes."""

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy.stats import norm

from mixsci.cells import plot_gates as plot
from mixsci.cells.gates import gate
from mixsci.errors import DataError


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def gated():
    """Cells of two batches with a marker that has gaps, one without positive cells, and a pair."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, 900, p=[0.3, 0.4, 0.3])
    x = np.array([[0, 0, 0, 0], [7, 6, 0, 0], [7, 0, 7, 0]])[kind] + rng.normal(size=(900, 4))
    x[::10, 0] = np.nan
    batch = np.tile(["a", "b"], 450)
    x[batch == "b", 0] += 10.0
    obs = pd.DataFrame({"batch": batch}, index=[str(i) for i in range(900)])
    adata = anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=["CD3/$", "CD4", "CD8", "flat"]))
    gate(adata, "CD3/$", by="batch", rng=0)
    gate(adata, [("CD4", "CD8"), "flat"], rng=0)
    gate(adata, "CD4", parent="CD8_pos", rng=0, key_added="children")
    adata.obs["mixture"] = pd.Categorical.from_codes(np.where(np.arange(900) < 5, -1, kind), ["0", "1", "2"])
    adata.uns["mixture_colors"] = np.array(["#111111", "#222222", "#333333"], dtype=object)
    return adata


def words(ax):
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def curve(ax, label):
    return next(line.get_xydata().T for line in ax.lines if line.get_label() == label)


def line_of(adata, marker, group="", key="gates"):
    table = adata.uns[key]["thresholds"]
    return table[(table["marker"] == marker) & (table["group"] == group)].iloc[0]


def test_one_marker_shows_the_mixture_and_the_threshold(gated):
    ax = plot.gate(gated, "CD3/$", group="b")
    table = gated.uns["gates"]["populations"]
    table = table[(table["gate"] == "CD3_$") & (table["group"] == "b")]
    grid, density = curve(ax, "all")
    known = sum(one.weight * norm.pdf(grid, one.mean, one.sd) for one in table.itertuples())
    np.testing.assert_allclose(density, known)
    found = line_of(gated, "CD3/$", "b")
    assert curve(ax, "threshold (95 %)")[0].tolist() == [found["threshold"]] * 2
    span = next(patch for patch in ax.patches if np.isclose(patch.get_x(), found["low"]))
    assert span.get_x() + span.get_width() == pytest.approx(found["high"])
    # Every cell of the batch with a value is a part of the histogram, which has area one.
    bars = [patch for patch in ax.patches if to_hex(patch.get_facecolor()) == "#dddddd"]
    assert sum(bar.get_width() * bar.get_height() for bar in bars) == pytest.approx(1.0)
    assert f"{found['n_cells']} cells" in ax.get_title(loc="left")
    assert "in b" in ax.get_title(loc="left")


def test_the_second_axis_has_the_chances_of_the_cells(gated):
    ax = plot.gate(gated, "CD3/$", group="a")
    right = next(other for other in ax.figure.axes if other is not ax)
    x, p = right.lines[0].get_xydata().T
    here = (gated.obs["batch"] == "a") & gated.obs["CD3_$_pos"].notna()
    order = np.argsort(gated[here.to_numpy(), "CD3/$"].X[:, 0])
    np.testing.assert_array_equal(p, gated.obs.loc[here, "CD3_$_pos_prob"].to_numpy()[order])
    assert (np.diff(x) >= 0).all()


def test_without_positive_cells_there_is_no_threshold(gated):
    ax = plot.gate(gated, "flat")
    assert ax.figure.axes == [ax]
    assert words(ax) == ["negative, 100 %", "all"]
    assert ax.get_title(loc="left") == "0 % positive, 900 cells"


def test_a_child_says_of_whom(gated):
    assert "positive of CD8_pos" in plot.gate(gated, "CD4", key="children").get_title(loc="left")


@pytest.mark.parametrize("name", [("CD4", "CD8"), "CD4_CD8"])
def test_a_pair_shows_cells_and_populations(gated, name):
    ax = plot.gate(gated, name)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("CD4", "CD8")
    assert sum(len(dots.get_offsets()) for dots in ax.collections) == 900
    names = gated.obs["CD4_CD8"].value_counts(normalize=True)
    assert sum(f"{word.split(',')[0]}" in names.index for word in words(ax)) == (names > 0).sum()
    assert sum(len(line.get_xdata()) == 181 for line in ax.lines) == 2 * line_of(gated, "CD4")["n_populations"]
    marks = {line.get_xdata()[0] for line in ax.lines} | {line.get_ydata()[0] for line in ax.lines}
    assert {line_of(gated, "CD4")["threshold"], line_of(gated, "CD8")["threshold"]} <= marks


def test_densities_count_the_cells_of_every_cluster(gated):
    ax = plot.density(gated, "CD3/$")
    seen = ~np.isnan(np.asarray(gated.X)[:, 0])
    counts = gated.obs["mixture"][seen].value_counts(sort=False)
    assert words(ax) == [f"{name} ({count})" for name, count in counts.items()]
    assert ax.get_legend().get_title().get_text() == "mixture"
    bars = sum(patch.get_height() for patch in ax.patches if hasattr(patch, "get_height"))
    assert bars == counts.sum()
    assert {to_hex(patch.get_edgecolor()) for patch in ax.patches if not hasattr(patch, "get_height")} == {
        "#111111", "#222222", "#333333"
    }  # fmt: skip


def test_axes_and_files_are_those_asked_for(gated, tmp_path):
    _, ax = plt.subplots()
    assert plot.gate(gated, "flat", ax=ax, save=tmp_path / "gate.png") is ax
    assert plot.density(gated, "flat", save=tmp_path / "density.png").get_xlabel() == "flat"
    assert {path.name for path in tmp_path.iterdir()} == {"gate.png", "density.png"}


def test_words_do_not_lie_on_one_another(gated):
    for ax in (plot.gate(gated, "CD3/$", group="a"), plot.gate(gated, ("CD4", "CD8")), plot.density(gated, "CD4")):
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in [*ax.get_legend().get_texts(), ax.xaxis.label, ax.yaxis.label]]
        boxes += [other.yaxis.label.get_window_extent() for other in ax.figure.axes if other is not ax]
        assert not [1 for i, box in enumerate(boxes) for other in boxes[:i] if box.overlaps(other)]
        edge = ax.figure.bbox
        assert all(box.x0 >= edge.x0 and box.x1 <= edge.x1 for box in boxes)


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (plot.gate, {"marker": "CD99"}, "marker must be one that was gated, of CD3_"),
        (plot.gate, {"marker": "CD3/$"}, "has a gate in each group: pass group=, one of a, b"),
        (plot.gate, {"marker": "CD3/$", "group": "c"}, "group must be one of a, b; got 'c'"),
        (plot.gate, {"marker": "flat", "key": "nothing"}, "uns must hold the gates under 'nothing'"),
        (plot.density, {"variable": "CD99"}, "there must be a variable 'CD99'"),
        (plot.density, {"variable": "CD4", "key": "nothing"}, "key must name a column of obs"),
    ],
)
def test_what_cannot_be_drawn_is_refused(gated, verb, arguments, message):
    with pytest.raises(DataError, match=message):
        verb(gated, **arguments)
