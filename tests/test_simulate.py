"""Simulated rows are what their truth says, and the data in data/ are made again by the command beside them."""

import re
import shlex

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mixsci as mx
from mixsci.cli import app
from tests.conftest import ROOT

TWO = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [6.0, -3.0]], [np.eye(2), [[2.0, 0.8], [0.8, 1.0]]])


def within(found, truth, sd):
    """Whether an estimate lies within four standard errors of the truth."""
    return bool((np.abs(np.asarray(found) - truth) < 4.0 * np.asarray(sd)).all())


def test_latent_points_follow_the_mixture():
    n = 20_000
    made = mx.simulate.rows(TWO, n, rng=1)
    assert within(np.mean(made.labels == 0), 0.3, np.sqrt(0.21 / n))
    second = made.latent[made.labels == 1]
    assert within(second.mean(axis=0), [6.0, -3.0], np.sqrt([2.0, 1.0]) / np.sqrt(len(second)))
    assert within(np.cov(second.T)[0, 1], 0.8, np.sqrt((2.0 + 0.64) / len(second)))
    np.testing.assert_array_equal(made.observations.x, made.latent)


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (mx.noise.from_errors([0.5, 2.0]), [[0.25, 0.0], [0.0, 4.0]]),
        (mx.noise.from_errors(np.full((8000, 2), [0.5, 2.0])), [[0.25, 0.0], [0.0, 4.0]]),
        (mx.noise.from_covariances([[1.0, 0.6], [0.6, 2.0]]), [[1.0, 0.6], [0.6, 2.0]]),
    ],
)
def test_noise_has_the_covariance_asked_for(noise, expected):
    made = mx.simulate.rows(TWO, 8000, noise=noise, rng=2)
    apart = made.observations.x - made.latent
    expected = np.array(expected)
    sd = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 8000)
    assert within(apart.T @ apart / 8000, expected, sd)


def test_gaps_fall_in_the_shares_asked_for():
    made = mx.simulate.rows(TWO, 8000, gaps=[0.1, 0.6], rng=3)
    share = np.isnan(made.observations.x).mean(axis=0)
    assert within(share, [0.1, 0.6], np.sqrt([0.09 / 8000, 0.24 / 8000]))


def test_a_mask_of_gaps_is_kept():
    mask = np.random.default_rng(4).random((50, 2)) < 0.5
    made = mx.simulate.rows(TWO, 50, gaps=mask, rng=4)
    np.testing.assert_array_equal(np.isnan(made.observations.x), mask)


def test_rows_see_the_projection_of_their_point():
    projection = np.random.default_rng(5).normal(size=(40, 1, 2))
    made = mx.simulate.rows(TWO, 40, projection=projection, rng=5)
    np.testing.assert_allclose(made.observations.x, np.einsum("nmd,nd->nm", projection, made.latent), rtol=1e-12)


def test_groups_have_their_own_weights_and_offsets():
    grouped = mx.Mixture(
        [[1.0, 0.0], [0.0, 1.0]],
        TWO.means,
        TWO.covariances,
        offsets=[[100.0, 0.0], [0.0, 0.0]],
        group_labels=("a", "b"),
    )
    groups = ["a", "b"] * 200
    made = mx.simulate.rows(grouped, 400, groups=groups, rng=6)
    np.testing.assert_array_equal(made.labels, [0, 1] * 200)
    assert (made.latent[::2, 0] > 90).all()
    assert made.observations.group_labels == ("a", "b")


def test_the_same_seed_gives_the_same_rows():
    first, second = (mx.simulate.rows(TWO, 30, gaps=0.2, rng=7).observations.x for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("gaps", [-0.1, 1.5, [0.1, 0.2, 0.3], np.ones((3, 2), dtype=bool)])
def test_gaps_that_make_no_sense_are_refused(gaps):
    with pytest.raises(mx.DataError, match="gaps must be shares"):
        mx.simulate.rows(TWO, 10, gaps=gaps, rng=1)


def test_too_few_groups_are_refused():
    grouped = mx.Mixture([[0.5, 0.5]], TWO.means, TWO.covariances, group_labels=("a",))
    with pytest.raises(mx.DataError, match="groups must have shape"):
        mx.simulate.rows(grouped, 10, groups=["a"] * 9, rng=1)


def test_a_star_has_an_error_wherever_it_has_a_value():
    stars = mx.simulate.star_catalogue(500, rng=1)
    for name in mx.simulate.STAR_COLUMNS:
        assert (stars[name].notna() == stars[f"{name}_error"].notna()).all()
        assert (stars[f"{name}_error"].dropna() > 0).all()
    assert set(stars["population"]) == set(mx.simulate.STAR_POPULATIONS)
    assert stars["vlos"].isna().mean() > stars["pmra"].isna().mean() > 0


def test_data_are_made_again_by_the_command_beside_them(tmp_path):
    rows = re.findall(
        r"^\| `([\w.]+)` .*\| `mixsci (.+)` \|$", (ROOT / "data/SOURCES.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name for name, _ in rows} == {path.name for path in (ROOT / "data").iterdir()} - {"SOURCES.md"}
    for name, command in rows:
        arguments = shlex.split(command.replace(f"data/{name}", str(tmp_path / name)))
        assert CliRunner().invoke(app, arguments).exit_code == 0
        made, kept = tables_in(tmp_path / name), tables_in(ROOT / "data" / name)
        assert made.keys() == kept.keys()
        for path, table in made.items():
            # The last digit printed may differ between machines: 0.001 of a star, 0.01 of an amplitude.
            pd.testing.assert_frame_equal(table, kept[path], atol=2e-3 if name == "stars.csv" else 2e-2)


def tables_in(path):
    """Every table of a file or folder, by its path inside; ECSV is CSV below its comments, an AnnData its parts."""
    if path.suffix == ".h5ad":
        return parts_of(anndata.read_h5ad(path))
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    ecsv = {"comment": "#", "sep": " "}
    return {
        file.relative_to(path).as_posix(): pd.read_csv(file, **ecsv if file.suffix == ".ecsv" else {}) for file in files
    }


def parts_of(adata):
    """Every part of an AnnData as a table."""
    parts = {"obs": adata.obs, "var": adata.var, "X": pd.DataFrame(adata.X)}
    for part in ("layers", "obsm", "varm"):
        parts |= {f"{part}/{name}": pd.DataFrame(value) for name, value in getattr(adata, part).items() if name}
    return parts | {"uns": pd.json_normalize(dict(adata.uns))}
