"""The examples that users and newcomers read first run as they stand."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mixsci import ddpcr
from mixsci.ddpcr import formats
from tests.conftest import ROOT


def run_examples(page: str) -> dict[str, object]:
    """Run the Python blocks of a page one after the other; returns the names they leave."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": page}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.floors
@pytest.mark.parametrize("page", ["README.md", "docs/first-steps.md"])
def test_first_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples(page)
    truth = np.array([[0.0, 0.0], [6.0, 6.0]])
    found = names["fit"].mixture.means
    assert np.abs(found[np.argsort(found[:, 0])] - truth).max() < 0.4
    assert names["means"].shape == (1000, 2)
    assert names["covariances"].shape == (1000, 2, 2)
    assert (tmp_path / "model.json").exists()


def test_a_structure_added_as_the_docs_say_is_fitted():
    fit = run_examples("docs/extend/covariance.md")["fit"]
    covariance = fit.mixture.covariances[0]
    assert (covariance[2, :2] == 0).all()
    assert (covariance[:2, 2] == 0).all()
    assert covariance[0, 1] != 0
    assert fit.n_free == 3 + 4


def test_a_reader_added_as_the_docs_say_reads_a_file(tmp_path, monkeypatch):
    names = run_examples("docs/extend/ddpcr-format.md")
    monkeypatch.setitem(formats.READERS, "Fluo 9 droplets", names["READER"])
    rows = [f"{i},{-i / 4},{i + 0.5}" for i in range(60)]
    (tmp_path / "Run_B03_Amplitude.csv").write_text("\n".join(["n,fluo HEX,fluo FAM", *rows]))
    well = ddpcr.read_plate(tmp_path).wells["B03"]
    assert well.channels == ("Ch1", "Ch2")
    np.testing.assert_array_equal(well.amplitudes, [[i + 0.5, -i / 4] for i in range(60)])


def test_the_plate_of_the_docs_is_quantified_and_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ddpcr.small_plate(rng=1).write("plate")
    q = run_examples("docs/ddpcr.md")["q"]
    assert len(q.results) == 16
    assert (tmp_path / "quantified" / "results.csv").exists()


@pytest.mark.parametrize(
    "page",
    [
        *("stars.md", "stars-spaces.md", "stars-streams.md", "stars-outputs.md", "uncertainty.md"),
        *("how-many.md", "limits-that-teach.md", "limits.md", "discrete-or-continuous.md", "tails.md"),
        *("diagnostics.md", "angles.md", "anomalies.md"),
        *("cells.md", "cells-gaps.md", "cells-factors.md", "cells-gates.md", "cells-outputs.md"),
    ],
)
def test_the_pages_on_stars_cells_and_errors_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples(f"docs/{page}")
    plt.close("all")
    check = CLAIMS.get(page)
    assert check is None or check(names)


def numbers_in(page: str) -> list[list[float]]:
    """Rows of the tables of a page that hold numbers alone."""
    rows = re.findall(r"^\|([-\d.| ]*\d[-\d.| ]*)\|$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    return [[float(cell) for cell in row.split("|")] for row in rows]


#: What a page says of its own numbers.
CLAIMS = {
    "stars.md": lambda names: (
        len(names["some"].dropped) == 5
        and abs(names["naive"].mixture.means[0, 0]) > 0.4 > 2 * abs(names["whole_survey"].mixture.means[0, 0])
        and abs(names["chunked"].log_likelihood - names["whole"].log_likelihood) < 1e-4
    ),
    "stars-spaces.md": lambda names: names["kin"].names == ("v_l", "v_b"),
    "stars-streams.md": lambda names: names["fit"].bic_gain > 100,
    "stars-outputs.md": lambda names: {path.name for path in names["files"]} >= {"components.ecsv", "report.html"},
    "cells.md": lambda names: (
        names["cells"].agreement(names["adata"].obs["mixture"], names["adata"].obs["cell_type"]) > 0.9
        and names["adata"].uns["select"]["n_components"] == 3
        and names["new"].uns["mixture"]["n_variables"] == 6
    ),
    "cells-gaps.md": lambda names: (
        names["skewed"].uns["missingness"]["depends_on_intensity"]
        and names["bias"] > 0.2
        and names["cells"].agreement(names["skewed"].obs["mixture"], names["skewed"].obs["cell_type"]) > 0.8
        and names["counts"].obs["positive"].notna().all()
    ),
    "cells-factors.md": lambda names: (
        names["adata"].uns["mixture"]["params"]["n_factors"] == 3
        and names["cells"].agreement(names["adata"].obs["mixture"], names["adata"].obs["cell_type"]) > 0.9
    ),
    "cells-gates.md": lambda names: names["ranked"]["names"].dtype.names == ("0", "1", "2"),
    "cells-outputs.md": lambda names: {path.name for path in names["files"]} >= {"clusters.csv", "report.html"},
    "how-many.md": lambda names: (
        names["found"].minimum == names["merging"].mixture.n_components == 3 and names["test"].p_value == 0.05
    ),
    "limits-that-teach.md": lambda names: (
        names["apart"] == sorted(names["apart"], reverse=True)
        and names["apart"][-1] < 1e-6
        and abs(names["trapped"].log_likelihood - names["one"].log_likelihood) < 1e-6
        and "no maximum in means" in str(names["said"][0].message)
        and names["free"].log_likelihood > names["one"].log_likelihood + 50
        and names["lost"].outcome.name == "COLLAPSED"
        and names["held"].converged
    ),
    "diagnostics.md": lambda names: [one.kind for one in names["diagnosis"].findings] == ["superfluous"],
    "limits.md": lambda names: (
        numbers_in("docs/limits.md") == [[distance, *rows] for distance, rows in names["table"].items()]
        and not names["found"].resolved
        and names["blurred"] > 2 * names["table"][2.5][2]
    ),
    "discrete-or-continuous.md": lambda names: (
        names["answer"].verdict == "continuous"
        and np.ptp(names["repeated"].interval) > np.ptp(names["answer"].interval)
    ),
    "angles.md": lambda names: (
        names["chosen"].minimum == 2 and names["found"].means_[:, 0].max() > 350 and names["ax"].name == "polar"
    ),
    "tails.md": lambda names: names["low"] < names["far"].log_probability[2] < names["high"],
    "uncertainty.md": lambda names: (names["low"] < names["high"]) and (names["error"] > 0).all(),
}
