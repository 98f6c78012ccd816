"""Catalogues in blocks: whatever the blocks, the numbers are those of the whole, which is never there at once."""

import os
import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from astropy.table import QTable, Table, vstack

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError, FormatError
from tests.engine.test_dask import find, local_client

DISC = mx.Mixture(
    [0.7, 0.3],
    [[-10.0, -20.0, -7.0], [30.0, -90.0, 5.0]],
    [np.diag([900.0, 400.0, 250.0]), np.diag([300.0, 500.0, 300.0])],
)
CUTS = (0, 350, 350, 700, 1200)
SETTINGS = {"space": "uvw", "min_parallax_snr": 5.0}


@pytest.fixture(scope="module")
def table():
    """A catalogue in which some rows and some values cannot be used."""
    made = stars.simulate_disc(1200, mixture=DISC, without_velocity=0.6, rng=1).table
    rng = np.random.default_rng(2)
    made["parallax"][rng.choice(1200, 30, replace=False)] *= -1
    made["radial_velocity_error"].mask[np.flatnonzero(~made["radial_velocity"].mask)[:40]] = True
    made["zpt"] = rng.uniform(-0.05, 0.0, 1200)
    return made


@pytest.fixture(scope="module")
def parts(table):
    """The same in four tables, one of them without rows."""
    return [table[low:high] for low, high in pairwise(CUTS)]


@pytest.fixture(scope="module")
def whole(table):
    with pytest.warns(UserWarning, match="left out"):
        return stars.from_gaia(table, **SETTINGS)


@pytest.fixture(scope="module")
def fit(whole):
    return stars.deconvolve(whole, 2)


def in_blocks(given, **settings):
    """Stars of which the first table is told of, and that is all that is told."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "in the first table: left out", UserWarning)
        return stars.from_gaia(given, **(SETTINGS | settings))


def plain(table):
    """The table as a data frame with NaN where it is masked, as files of others have it."""
    columns = {name: np.asarray(np.ma.filled(table[name].astype(float), np.nan)) for name in table.colnames[1:]}
    return Table({"source_id": np.asarray(table["source_id"])} | columns).to_pandas()


def files(parts, folder, ending):
    """A folder with a file for every part, in two folders of its own."""
    for i, part in enumerate(parts):
        place = folder / "abc"[i // 2]
        place.mkdir(exist_ok=True)
        if ending == "parquet":
            plain(part).to_parquet(place / f"{i}.parquet")
        else:
            Table.from_pandas(plain(part)).write(place / f"{i}.fits")
    return folder


# What a user may give for stars that are not in memory.
GIVEN = ["list", "function", "frames", "parquet", "fits", "paths", "folder"]


@pytest.fixture(params=GIVEN)
def given(request, parts, tmp_path):
    if request.param in ("list", "function"):
        return parts if request.param == "list" else lambda: iter(parts)
    if request.param == "frames":
        return [plain(part) for part in parts]
    full = [part for part in parts if len(part)]
    folder = files(full, tmp_path, "fits" if request.param == "fits" else "parquet")
    if request.param == "paths":
        return sorted(folder.glob("*/*.parquet"))
    if request.param in ("parquet", "fits"):
        whole = vstack(full)
        path = tmp_path / f"all.{request.param}"
        plain(whole).to_parquet(path) if request.param == "parquet" else whole.write(path)
        return [str(path)]
    return folder


# --- the numbers of the whole -----------------------------------------------------------------------------------------


def test_blocks_are_what_the_whole_is(given, whole):
    blocks = in_blocks(given)
    assert isinstance(blocks, stars.KinematicsBlocks)
    for name in ("names", "units", "latent_names", "latent_units", "space"):
        assert getattr(blocks, name) == getattr(whole, name)
    assert repr(blocks) == "KinematicsBlocks(uvw: v_r, v_l, v_b)"
    for _ in range(2):
        found = list(blocks.kinematics())
        np.testing.assert_array_equal(np.concatenate([kin.rows for kin in found]), whole.rows)
        x = np.concatenate([kin.observations.x for kin in found])
        np.testing.assert_allclose(x, whole.observations.x, rtol=1e-13)
        np.testing.assert_array_equal(np.concatenate([kin.lon for kin in found]), whole.lon)
        ids = np.concatenate([kin.ids for kin in found if len(kin)])
        np.testing.assert_array_equal(ids, whole.ids)


def test_everything_left_out_is_named_by_its_row_in_the_whole(given, table, whole):
    blocks = in_blocks(given)
    negative = np.asarray(table["parallax"]) <= 0
    bare = ~table["radial_velocity"].mask & table["radial_velocity_error"].mask & ~negative
    assert len(whole.dropped) == negative.sum() + bare.sum()
    for name in ("row", "id", "what", "reason"):
        np.testing.assert_array_equal(blocks.dropped[name], whole.dropped[name])


def test_sums_over_blocks_are_those_of_the_whole(given, whole):
    ours, theirs = (
        mx.expect(DISC, in_blocks(given).observations),
        mx.expect(DISC, whole.observations),
    )
    for name in ("log_likelihood", "counts", "g", "F", "H"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-10, atol=1e-10)


def test_fits_to_blocks_are_those_of_the_whole(given, fit):
    found = stars.deconvolve(in_blocks(given), 2, start=fit.mixture)
    assert found.converged
    assert found.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-6 * fit.n_rows)
    np.testing.assert_allclose(found.mixture.means, fit.mixture.means, atol=0.05)
    assert (found.n_rows, found.latent_names) == (fit.n_rows, ("U", "V", "W"))


def test_a_fit_to_blocks_needs_no_start(parts, fit):
    found = stars.deconvolve(in_blocks(parts), 2, starts=2)
    assert found.log_likelihood == pytest.approx(fit.log_likelihood, abs=2e-6 * fit.n_rows)
    ours, theirs = found.to_table(), fit.to_table()
    assert ours.colnames == theirs.colnames
    for name in ("weight", "U", "sigma_V", "cov_U_W", "U_error", "sigma_V_error"):
        np.testing.assert_allclose(np.asarray(ours[name]), np.asarray(theirs[name]), rtol=0.02, atol=0.5)
    assert ours.meta["n_rows"] == theirs.meta["n_rows"] == 1170


def test_tables_of_stars_come_block_by_block(given, fit):
    blocks = in_blocks(given)
    for verb in ("membership", "denoised", "predict_radial_velocity"):
        tables = getattr(fit, verb)(blocks)
        assert iter(tables) is iter(tables)  # one by one, not a list
        ours, theirs = vstack(list(tables)), getattr(fit, verb)()
        assert ours.colnames == theirs.colnames
        for name in theirs.colnames:
            np.testing.assert_allclose(
                np.asarray(ours[name], dtype=float), np.asarray(theirs[name], dtype=float), rtol=1e-9, atol=1e-9
            )


def test_a_fit_to_blocks_speaks_of_any_stars(parts, whole):
    blocks = in_blocks(parts)
    found = stars.deconvolve(blocks, 2, starts=2)
    everything = vstack(list(found.membership(components=0)))
    np.testing.assert_allclose(everything["p_member"], found.membership(whole, components=0)["p_member"], rtol=1e-9)
    np.testing.assert_allclose(
        vstack(list(stars.membership(found, components=0)))["p_member"], everything["p_member"], rtol=1e-12
    )
    assert found.calibrate_radial_velocity(whole).p_value > 0
    with pytest.raises(DataError, match="in memory"):
        found.calibrate_radial_velocity()


@pytest.mark.parametrize("space", stars.SPACES)
def test_every_space_comes_in_blocks(parts, table, space):
    with pytest.warns(UserWarning, match="left out"):
        whole = stars.from_gaia(table, space, min_parallax_snr=5.0, max_ruwe=1.2)
    blocks = in_blocks(parts, space=space, max_ruwe=1.2)
    found, theirs = (stars.deconvolve(kin, 1, starts=1) for kin in (blocks, whole))
    assert found.n_rows == len(whole)
    assert found.log_likelihood == pytest.approx(theirs.log_likelihood, abs=2e-6 * len(whole))
    assert found.to_table().colnames == theirs.to_table().colnames


def test_what_the_first_table_lost_is_told(parts, table):
    with pytest.warns(
        UserWarning, match=r"in the first table: left out .* rows?: parallax .*named in \.dropped"
    ) as told:
        stars.from_gaia(parts, **SETTINGS)
    assert len(told) == 1
    assert told[0].filename == __file__
    bare = table["ra", "dec", "pmra", "pmdec", "pmra_error", "pmdec_error"]
    with pytest.warns(UserWarning, match="no column pmra_pmdec_corr"):
        stars.from_gaia([bare])


# --- tables that differ -----------------------------------------------------------------------------------------------


def test_a_column_that_some_tables_lack_is_a_gap_there(parts, table, whole):
    some = [part.copy() for part in parts]
    for name in ("radial_velocity", "radial_velocity_error"):
        some[0].remove_column(name)
    blocks = in_blocks(some)
    first = next(blocks.kinematics())
    assert first.names == ("v_r", "v_l", "v_b")
    assert np.isnan(first.observations.x[:, 0]).all()
    sums = mx.expect(DISC, blocks.observations)
    covered = table.copy()
    covered["radial_velocity"].mask[: len(parts[0])] = True
    with pytest.warns(UserWarning, match="left out"):
        expected = mx.expect(DISC, stars.from_gaia(covered, **SETTINGS).observations)
    assert sums.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)


def test_a_table_of_which_no_star_can_be_used_is_left_out(parts, whole):
    bad = parts[0].copy()
    bad["parallax"] = -np.abs(bad["parallax"])
    blocks = in_blocks([bad, *parts])
    assert mx.expect(DISC, blocks.observations).n_rows == len(whole)
    assert (blocks.dropped["row"] < len(bad)).sum() == len(bad)
    np.testing.assert_array_equal(np.concatenate([kin.rows for kin in blocks.kinematics()]), whole.rows + len(bad))


def test_blocks_of_which_no_star_can_be_used_are_refused(parts):
    bad = [part.copy() for part in parts]
    for part in bad:
        part["parallax"] = -np.abs(part["parallax"])
    with pytest.raises(DataError, match="at least one"):
        stars.deconvolve(in_blocks(bad), 1)


def test_a_zero_point_may_be_a_column_or_a_number(parts, table, tmp_path):
    for zero_point in ("zpt", -0.02):
        with pytest.warns(UserWarning, match="left out"):
            whole = stars.from_gaia(table, zero_point=zero_point, **SETTINGS)
        path = tmp_path / "some.fits"
        table.write(path, overwrite=True)
        for given in (parts, [path]):
            blocks = in_blocks(given, zero_point=zero_point)
            x = np.concatenate([kin.observations.x for kin in blocks.kinematics()])
            np.testing.assert_allclose(x, whole.observations.x, rtol=1e-13)


def test_only_the_columns_that_are_needed_are_read(table, tmp_path):
    # A column that no table could hold as numbers is not looked at.
    named = table["source_id", "ra", "dec", "pmra", "pmdec", "pmra_error", "pmdec_error", "pmra_pmdec_corr"]
    named["comment"] = np.array(["x" * 200] * len(table))
    named.write(tmp_path / "some.fits")
    kin = next(stars.from_gaia([tmp_path / "some.fits"]).kinematics())
    np.testing.assert_array_equal(kin.observations.x[:, 0], table["pmra"].to_value("mas / yr"))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_an_iterator_is_refused_with_the_way_out(parts):
    for given in ((part for part in parts), iter(parts)):
        with pytest.raises(DataError, match="give a function"):
            stars.from_gaia(given)


def test_a_function_that_gives_the_same_iterator_again_is_found_out(parts):
    once = iter(parts)
    blocks = in_blocks(lambda: once)
    with pytest.raises(DataError):
        stars.deconvolve(blocks, 2)


def test_a_zero_point_for_every_row_has_no_place_in_blocks(parts, table):
    with pytest.raises(DataError, match="zero_point"):
        mx.expect(DISC, in_blocks(parts, zero_point=np.zeros(len(table))).observations)


@pytest.mark.parametrize("given", [[], list, lambda: None, lambda: [1, 2], [1, 2]], ids=range(5))
def test_what_is_no_list_of_tables_is_refused(given):
    with pytest.raises(DataError):
        stars.deconvolve(stars.from_gaia(given), 1)


def test_columns_that_a_table_lacks_are_named(parts):
    some = [part.copy() for part in parts]
    some[2].remove_column("pmra_error")
    with pytest.raises(DataError, match="pmra_error"):
        stars.deconvolve(stars.from_gaia(some), 1)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path / "none.parquet", [tmp_path / "none.fits"]):
        with pytest.raises(OSError, match="none"):
            stars.from_gaia(path)
    with pytest.raises((DataError, FormatError)):
        stars.from_gaia(tmp_path)


@pytest.mark.parametrize(
    "settings", [{"selection": {"v_r": (-1e3, 1e3)}}, {"outliers": True}, {"criterion": "held_out"}]
)
def test_what_needs_stars_in_memory_says_so(parts, settings):
    space = "pm" if "outliers" in settings else "uvw"
    with pytest.raises(DataError, match="blocks"):
        stars.deconvolve(in_blocks(parts, space=space), [1, 2], **settings)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_whole_is_never_there_at_once():
    one = stars.simulate_disc(3000, mixture=DISC, rng=3).table
    blocks, small = (stars.from_gaia(lambda n=n: (one for _ in range(n)), "uvw", min_parallax_snr=0) for n in (30, 3))
    assert mx.expect(DISC, small.observations, workers=2).n_rows == 9000
    peaks = []
    for source, n in ((small, 9000), (blocks, 90_000)):
        tracemalloc.start()
        assert mx.expect(DISC, source.observations, workers=2).n_rows == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Values, covariances and projections of all rows would take 90,000 x 21 numbers of 8 bytes.
    assert peaks[1] < 0.5 * 90_000 * 21 * 8
    # A few blocks are on their way at a time, however many there are.
    assert peaks[1] < 3 * peaks[0]


# --- Dask -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dd():
    return find("dask.dataframe", os.environ)


@pytest.fixture(scope="module")
def partitioned(dd, table):
    return dd.from_pandas(plain(table), npartitions=5, sort=False)


@pytest.fixture(scope="module")
def client(dd):
    with local_client() as made:
        yield made


def test_dask_gives_the_numbers_of_the_whole(partitioned, whole, fit):
    blocks = in_blocks(partitioned)
    sums, expected = mx.expect(DISC, blocks.observations), mx.expect(DISC, whole.observations)
    assert sums.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    found = stars.deconvolve(blocks, 2, start=fit.mixture)
    assert found.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-6 * fit.n_rows)
    for name in ("row", "id", "what", "reason"):
        np.testing.assert_array_equal(blocks.dropped[name], whole.dropped[name])
    ours = vstack(list(found.membership(components=0)))
    theirs = found.membership(whole, components=0)
    np.testing.assert_array_equal(ours["row"], theirs["row"])
    np.testing.assert_allclose(ours["p_member"], theirs["p_member"], rtol=1e-9)


def test_a_dask_cluster_gives_the_same_to_the_last_bit(partitioned, client, whole):
    blocks = in_blocks(partitioned)
    here, there = (stars.deconvolve(blocks, 2, starts=2, workers=workers) for workers in (2, client))
    assert there.log_likelihood == here.log_likelihood
    np.testing.assert_array_equal(there.mixture.means, here.mixture.means)
    for _ in range(2):
        found = list(blocks.kinematics())
        np.testing.assert_array_equal(np.concatenate([kin.rows for kin in found]), whole.rows)


def test_a_partition_without_rows_is_no_trouble(dd, table, whole):
    frame = plain(table)
    gaps = dd.concat([dd.from_pandas(frame[low:high], npartitions=1) for low, high in pairwise(CUTS)])
    blocks = in_blocks(gaps[gaps["ra"] >= 0])
    assert mx.expect(DISC, blocks.observations).n_rows == len(whole)
    np.testing.assert_array_equal(blocks.dropped["row"], whole.dropped["row"])


def test_a_list_of_delayed_tables(dd, parts, whole):
    dask = find("dask", os.environ)
    delayed = [dask.delayed(QTable)(part) for part in parts]
    blocks = in_blocks(delayed)
    assert mx.expect(DISC, blocks.observations).n_rows == len(whole)


def test_a_partition_that_cannot_be_converted_is_named(dd, table):
    frame = plain(table)
    frame.loc[800, "pmra_error"] = -1.0
    with pytest.raises(DataError, match=r"partition 3.*pmra_error"):
        stars.deconvolve(in_blocks(dd.from_pandas(frame, npartitions=5, sort=False)), 2)
