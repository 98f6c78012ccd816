"""Kinematics: rows of a table ready for a fit, in order, with a name and a reason for everything left out."""

import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError
from mixsci.stars.geometry import AU_PER_YEAR, tangent_basis

DISC = mx.Mixture(
    [0.7, 0.3],
    [[-10.0, -20.0, -7.0], [30.0, -60.0, 5.0]],
    [
        [[900.0, 80.0, -20.0], [80.0, 400.0, 10.0], [-20.0, 10.0, 250.0]],
        [[200.0, 0.0, 0.0], [0.0, 1600.0, 90.0], [0.0, 90.0, 300.0]],
    ],
)


def catalogue(n=300, seed=0, **changes):
    """Near stars with everything that Gaia has, half of them without a radial velocity."""
    table = stars.simulate_disc(n, mixture=DISC, without_velocity=0.5, rng=seed).table
    for name, values in changes.items():
        for row, value in values.items():
            table[name][row] = value * (table[name].unit or 1)
    return table


def velocities(n=60, seed=0, *, radial=True):
    """A table of velocities that are made already, as plain numbers."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    x = np.einsum("nab,nb->na", tangent_basis(lon, lat), DISC.sample(n, rng=rng)[0])
    columns = {"name": [f"star {i}" for i in range(n)], "l": lon, "b": lat, "vl": x[:, 1], "vb": x[:, 2]}
    columns |= {"c_ll": rng.uniform(1, 9, n), "c_lb": rng.uniform(-0.9, 0.9, n), "c_bb": rng.uniform(1, 9, n)}
    columns |= {"rv": x[:, 0], "rv_error": rng.uniform(0.5, 3, n)} if radial else {}
    return Table(columns)


def without(kin, line):
    """The rows with one line of values, noise and projection taken out, written down by hand."""
    rest = [j for j in range(3) if j != line]
    noise = kin.observations.noise.covariances(len(kin))[:, rest][:, :, rest]
    projection = kin.observations.projection[:, rest]
    return mx.Observations(kin.observations.x[:, rest], mx.noise.from_covariances(noise), projection)


# --- a radial velocity that is missing --------------------------------------------------------------------------------


def test_a_missing_radial_velocity_is_a_line_of_the_projection_less():
    kin = stars.from_gaia(catalogue(), "uvw", min_parallax_snr=0)
    missing = np.flatnonzero(np.isnan(kin.observations.x[:, 0]))
    assert 100 < len(missing) < 200
    gap, less = kin.take(missing).observations, without(kin.take(missing), 0)
    np.testing.assert_allclose(DISC.log_density(gap), DISC.log_density(less), rtol=1e-13, atol=0)
    np.testing.assert_allclose(DISC.responsibilities(gap), DISC.responsibilities(less), rtol=0, atol=1e-13)
    for ours, theirs in zip(DISC.posterior(gap), DISC.posterior(less), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)
    sums, same = mx.expect(DISC, gap), mx.expect(DISC, less)
    assert sums.log_likelihood == pytest.approx(same.log_likelihood, rel=1e-13)
    for name in ("counts", "g", "F", "H"):
        np.testing.assert_allclose(getattr(sums, name), getattr(same, name), rtol=1e-11, atol=1e-11)


def test_sums_over_mixed_rows_are_those_of_both_kinds():
    kin = stars.from_gaia(catalogue(), "uvw", min_parallax_snr=0)
    gap = np.isnan(kin.observations.x[:, 0])
    parts = [mx.expect(DISC, without(kin.take(gap), 0)), mx.expect(DISC, kin.take(~gap).observations)]
    whole = mx.expect(DISC, kin.observations)
    for name in ("log_likelihood", "counts", "g", "F", "H"):
        np.testing.assert_allclose(getattr(whole, name), sum(getattr(part, name) for part in parts), rtol=1e-11)


def test_a_column_that_nobody_has_changes_nothing():
    table = catalogue()
    table["radial_velocity"].mask = True
    kin = stars.from_gaia(table, "uvw", min_parallax_snr=0)
    assert (kin.names, kin.latent_names, kin.radial) == (("v_l", "v_b"), ("U", "V", "W"), None)
    del table["radial_velocity"], table["radial_velocity_error"]
    bare = stars.from_gaia(table, "uvw", min_parallax_snr=0)
    table = catalogue()
    table["radial_velocity"].mask[1:] = True
    one = stars.from_gaia(table, "uvw", min_parallax_snr=0).take(slice(1, None))
    assert one.names == ("v_r", "v_l", "v_b")
    np.testing.assert_array_equal(DISC.log_density(kin.observations), DISC.log_density(bare.observations))
    np.testing.assert_allclose(DISC.log_density(one.observations), DISC.log_density(bare.observations)[1:], rtol=1e-13)


# --- velocities that are made already ---------------------------------------------------------------------------------


def test_velocities_go_through_as_they_are():
    table = velocities()
    kin = stars.from_velocities(table, v_rad="rv", v_rad_error="rv_error", id="name")
    assert (kin.names, kin.units) == (("v_r", "v_l", "v_b"), ("km / s",) * 3)
    for j, name in enumerate(("rv", "vl", "vb")):
        np.testing.assert_array_equal(kin.observations.x[:, j], table[name])
    noise = kin.observations.noise.covariances(len(kin))
    expected = {(0, 0): table["rv_error"] ** 2, (1, 1): table["c_ll"], (1, 2): table["c_lb"], (2, 2): table["c_bb"]}
    for (a, b), values in expected.items():
        np.testing.assert_allclose(noise[:, a, b], values, rtol=1e-15)
        np.testing.assert_array_equal(noise[:, a, b], noise[:, b, a])
    assert not noise[:, 0, 1:].any()
    np.testing.assert_array_equal(kin.observations.projection, tangent_basis(table["l"], table["b"]))
    np.testing.assert_array_equal(kin.ids, table["name"])
    np.testing.assert_array_equal([kin.lon, kin.lat], [table["l"], table["b"]])


def test_velocities_in_any_unit_and_kind_of_table():
    table = velocities()
    plain = stars.from_velocities(table, v_rad="rv", v_rad_error="rv_error")
    with_units = QTable(table)
    for name in ("vl", "vb", "rv", "rv_error"):
        with_units[name] = (table[name].value * u.km / u.s).to(u.pc / u.Myr)
    for name in ("c_ll", "c_lb", "c_bb"):
        with_units[name] = (table[name].value * (u.km / u.s) ** 2).to((u.m / u.s) ** 2)
    with_units["l"], with_units["b"] = (table["l"] * u.deg).to(u.rad), (table["b"] * u.deg).to(u.arcmin)
    for other in (with_units, table.to_pandas(), table.as_array(), {name: table[name] for name in table.colnames}):
        kin = stars.from_velocities(other, v_rad="rv", v_rad_error="rv_error")
        np.testing.assert_allclose(kin.observations.x, plain.observations.x, rtol=1e-12)
        np.testing.assert_allclose(
            kin.observations.noise.covariances(60), plain.observations.noise.covariances(60), rtol=1e-12
        )
        np.testing.assert_allclose(kin.observations.projection, plain.observations.projection, atol=1e-13)


def test_velocities_that_cannot_be_used_are_named():
    table = velocities()
    for column, row in (("l", 2), ("vb", 5), ("c_lb", 9), ("rv", 11), ("rv_error", 13)):
        table[column][row] = np.nan
    with pytest.warns(UserWarning, match="left out .*all are named"):
        kin = stars.from_velocities(table, v_rad="rv", v_rad_error="rv_error", id="name")
    assert [tuple(row) for row in kin.dropped] == [
        (2, "star 2", "row", "no position"),
        (5, "star 5", "row", "no velocity across the line of sight"),
        (9, "star 9", "row", "no covariance of its velocity"),
        (13, "star 13", "rv", "rv has no error"),
    ]
    np.testing.assert_array_equal(kin.rows, np.setdiff1d(np.arange(60), [2, 5, 9]))
    np.testing.assert_array_equal(kin.rows[np.isnan(kin.observations.x[:, 0])], [11, 13])
    assert np.isfinite(kin.observations.x[:, 1:]).all()


def test_velocities_along_another_frame_are_latent_there():
    kin = stars.from_velocities(velocities(), frame="icrs")
    assert (kin.names, kin.latent_names) == (("v_ra", "v_dec"), ("v_x", "v_y", "v_z"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"covariance": "c_ll"}, "covariance must name three columns"),
        ({"covariance": ("c_ll", "c_bb")}, "covariance must name three columns"),
        ({"v_rad": "rv"}, "v_rad and v_rad_error go together"),
        ({"v_rad_error": "rv_error"}, "v_rad and v_rad_error go together"),
        ({"v_lon": "v_x"}, "v_x"),
        ({"id": "number"}, "number"),
        ({"lon": "name"}, "name"),
        ({"frame": "nowhere"}, "nowhere"),
    ],
    ids=str,
)
def test_settings_of_velocities_are_checked(settings, said):
    with pytest.raises(DataError, match=said):
        stars.from_velocities(velocities(), **settings)


@pytest.mark.parametrize("change", [{"c_ll": -1.0}, {"c_lb": 100.0}], ids=str)
def test_a_covariance_that_is_none_is_refused(change):
    table = velocities()
    for name, value in change.items():
        table[name][7] = value
    with pytest.raises(DataError, match=r"positive.*row 7|row.* 7.*positive"):
        stars.from_velocities(table)


def test_an_infinite_covariance_is_no_covariance():
    table = velocities()
    table["c_ll"][7] = np.inf
    with pytest.warns(UserWarning, match="left out 1 row: no covariance"):
        assert len(stars.from_velocities(table)) == 59


def test_negative_errors_of_radial_velocities_are_refused():
    table = velocities()
    table["rv_error"][7] = -2.0
    with pytest.raises(DataError, match="rv_error"):
        stars.from_velocities(table, v_rad="rv", v_rad_error="rv_error")


# --- rows and what is said of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", stars.SPACES)
def test_rows_stay_in_order_and_are_accounted_for(space):
    table = catalogue(
        parallax={3: -0.4, 4: np.nan}, pmra={7: np.nan, 9: 0.0}, pmdec={7: np.nan, 9: 0.0}, pmra_error={11: np.nan},
        radial_velocity={9: np.nan},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="left out"):
        kin = stars.from_gaia(table, space, min_parallax_snr=0)
    out = kin.dropped["row"][kin.dropped["what"] == "row"]
    assert len(set(out)) == len(out)
    np.testing.assert_array_equal(np.sort([*kin.rows, *out]), np.arange(300))
    assert (np.diff(kin.rows) > 0).all()
    np.testing.assert_array_equal(kin.ids, np.asarray(table["source_id"])[kin.rows])
    np.testing.assert_array_equal(kin.dropped["id"], np.asarray(table["source_id"])[kin.dropped["row"]])
    assert (np.diff(kin.dropped["row"]) >= 0).all()
    assert all(kin.dropped["reason"])
    # A motion of (0, 0) is none, and a parallax alone is worth keeping where it is fitted.
    assert np.isin(9, kin.rows) == (space == "pm+parallax")
    assert np.isnan(kin.observations.x[kin.rows == 9][:, :2]).all()
    assert np.isfinite(kin.observations.x).any(axis=1).all()


def test_what_a_row_says_does_not_depend_on_others():
    table = catalogue()
    whole = stars.from_gaia(table, "uvw", min_parallax_snr=0)
    order = np.random.default_rng(3).permutation(300)[:120]
    some = stars.from_gaia(table[order], "uvw", min_parallax_snr=0)
    np.testing.assert_array_equal(some.observations.x, whole.observations.x[order])
    np.testing.assert_array_equal(some.observations.projection, whole.observations.projection[order])
    np.testing.assert_array_equal(
        some.observations.noise.covariances(120), whole.observations.noise.covariances(300)[order]
    )


def test_warnings_count_and_show_where_they_were_caused():
    table = catalogue(parallax=dict.fromkeys(range(5), -1.0))
    with pytest.warns(UserWarning, match="left out") as told:
        stars.from_gaia(table, "uvw", min_parallax_snr=0)
    assert "5 rows" in str(told[0].message)
    assert told[0].filename == __file__


def test_a_row_that_is_refused_is_named_by_its_number_in_the_table():
    table = catalogue(parallax={3: -0.4}, parallax_pmra_corr={6: 0.99}, parallax_pmdec_corr={6: -0.99})
    table["pmra_pmdec_corr"][6] = 0.99
    with pytest.raises(DataError, match=r"row 6\b"):
        stars.from_gaia(table, "uvw", min_parallax_snr=0)
    made = velocities()
    made["l"][3], made["c_lb"][7] = np.nan, 100.0
    with pytest.raises(DataError, match=r"row 7\b"):
        stars.from_velocities(made)


def test_no_star_at_all_is_refused_with_the_reasons():
    table = catalogue(20, parallax=dict.fromkeys(range(20), -1.0))
    with pytest.raises(DataError, match=r"at least one star must be usable; none is .*20 rows"):
        stars.from_gaia(table, "uvw")
    for empty in (catalogue(20)[:0], velocities()[:0]):
        with pytest.raises(DataError):
            stars.from_gaia(empty) if "pmra" in empty.colnames else stars.from_velocities(empty)


def test_taking_stars():
    kin = stars.from_gaia(catalogue(), "pm", frame="galactic")
    for rows in (slice(10, 200, 7), [5, 3, 8], np.arange(300) % 3 == 0):
        some, at = kin.take(rows), np.arange(300)[rows]
        np.testing.assert_array_equal(some.observations.x, kin.observations.x[at])
        np.testing.assert_array_equal(some.rows, at)
        np.testing.assert_array_equal([some.lon, some.lat], [kin.lon[at], kin.lat[at]])
        np.testing.assert_array_equal(some.ids, kin.ids[at])
        assert (some.names, some.n_table) == (kin.names, 300)


def test_a_table_is_left_as_it_was():
    table = catalogue()
    before = table.copy()
    stars.from_gaia(table, "uvw", min_parallax_snr=0)
    assert table.colnames == before.colnames
    for name in table.colnames:
        np.testing.assert_array_equal(np.ma.filled(table[name], 0), np.ma.filled(before[name], 0))


def test_kinematics_can_be_sent_elsewhere():
    kin = stars.from_gaia(catalogue(), "uvw", min_parallax_snr=0)
    again = pickle.loads(pickle.dumps(kin))
    np.testing.assert_array_equal(again.observations.x, kin.observations.x)
    assert (again.names, again.frame.label, str(again)) == (kin.names, kin.frame.label, str(kin))


def test_repr_is_short_and_says_what_is_left_out():
    table = catalogue(parallax={3: -0.4})
    with pytest.warns(UserWarning, match="left out"):
        kin = stars.from_gaia(table, "uvw", min_parallax_snr=0)
    assert repr(kin) == "Kinematics(299 stars in uvw: v_r, v_l, v_b, 1 left out)"


# --- settings of from_gaia --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"space": "xyz"}, r'space must be one of "?\'pm\''),
        ({"space": None}, "space must be one of"),
        ({"covariance": ("a", "b")}, "three columns"),
        ({"covariance": ("a", "b", "c"), "space": "uvw"}, "column"),
        ({"columns": {"pmra": "nothing"}}, "nothing"),
        ({"columns": {"speed": "pmra"}}, "speed"),
        ({"frame": "nowhere"}, "nowhere"),
        ({"space": "uvw", "min_parallax_snr": -1}, "min_parallax_snr"),
        ({"space": "uvw", "min_parallax_snr": "ten"}, "min_parallax_snr"),
        ({"max_ruwe": 0}, "max_ruwe"),
        ({"space": "uvw", "zero_point": [1.0, 2.0]}, "zero_point"),
        ({"space": "uvw", "zero_point": "offset"}, "offset"),
        ({"reflex": "very"}, "velocity of the Sun"),
    ],
    ids=str,
)
def test_settings_are_checked(settings, said):
    with pytest.raises(DataError, match=said):
        stars.from_gaia(catalogue(), **settings)


def test_a_zero_point_may_be_a_column():
    table = catalogue()
    table["zpt"] = np.linspace(-0.05, -0.01, 300)
    by_name = stars.from_gaia(table, "uvw", zero_point="zpt", min_parallax_snr=0)
    by_value = stars.from_gaia(table, "uvw", zero_point=np.asarray(table["zpt"]), min_parallax_snr=0)
    np.testing.assert_array_equal(by_name.observations.x, by_value.observations.x)
    bare = stars.from_gaia(table, "uvw", min_parallax_snr=0)
    parallax = table["parallax"].to_value("mas")
    expected = bare.observations.x[:, 1:] * (parallax / (parallax - table["zpt"]))[:, None]
    np.testing.assert_allclose(by_name.observations.x[:, 1:], expected, rtol=1e-12)


def test_given_covariances_are_taken_as_they_are():
    table = catalogue()
    rng = np.random.default_rng(5)
    a, c, b = rng.uniform(1, 4, 300), rng.uniform(-0.5, 0.5, 300), rng.uniform(1, 4, 300)
    table["c_ll"], table["c_lb"], table["c_bb"] = a, c, b
    for name in ("parallax_error", "pmra_error", "pmdec_error"):
        del table[name]
    kin = stars.from_gaia(table, "tangential", frame="galactic", covariance=("c_ll", "c_lb", "c_bb"))
    noise = kin.observations.noise.covariances(300)
    np.testing.assert_allclose(noise[:, [0, 0, 1], [0, 1, 1]].T, [a, c, b], rtol=1e-15)
    speed = np.hypot(*kin.observations.x.T)
    motion = np.hypot(table["pmra"].to_value("mas / yr"), table["pmdec"].to_value("mas / yr"))
    np.testing.assert_allclose(speed, AU_PER_YEAR * motion / table["parallax"].to_value("mas"), rtol=1e-12)


def test_a_large_ruwe_is_left_out_and_named():
    table = catalogue()
    limit = float(np.median(table["ruwe"]))
    with pytest.warns(UserWarning, match="left out 1[45][0-9] rows: ruwe ... is above"):
        kin = stars.from_gaia(table, "pm", max_ruwe=limit)
    np.testing.assert_array_equal(kin.rows, np.flatnonzero(np.asarray(table["ruwe"]) <= limit))


def test_the_view_is_the_line_of_sight():
    kin = stars.from_gaia(catalogue(), "uvw", min_parallax_snr=0)
    np.testing.assert_allclose(kin.view, kin.observations.projection[:, 0], rtol=0, atol=1e-14)
    moving = stars.from_gaia(catalogue(), "pm+rv")
    np.testing.assert_array_equal(moving.view, np.tile([0.0, 0.0, 1.0], (300, 1)))
    for space in ("pm", "pm+parallax", "tangential"):
        with pytest.raises(DataError, match='"uvw" and "pm\\+rv"'):
            _ = stars.from_gaia(catalogue(), space, min_parallax_snr=0).view
