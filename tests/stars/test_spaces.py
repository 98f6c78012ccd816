"""Spaces of motion: values against astropy, covariances against simulation, and a reason for all that is not used."""

import astropy.coordinates as coord
import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from mixsci.engine.noise import from_covariances
from mixsci.engine.observations import Observations
from mixsci.errors import DataError
from mixsci.stars import converted
from mixsci.stars.catalogue import as_catalogue
from mixsci.stars.frames import great_circle, orientation
from mixsci.stars.geometry import AU_PER_YEAR, solar_velocity, tangent_basis, uvw_projection
from mixsci.stars.readers import read
from mixsci.stars.spaces import SPACES, Settings

MEASURED = ("parallax", "pmra", "pmdec", "radial_velocity")
PAIRS = (("parallax", "pmra", 0.3), ("parallax", "pmdec", -0.4), ("pmra", "pmdec", 0.25))
SUN = (11.0, 240.0, 7.0)
STREAM = great_circle((40.0, 10.0), (80.0, -20.0))


@pytest.fixture(scope="module")
def gaia(real_data):
    return as_catalogue(read(real_data / "stars" / "gaia_dr3_random1000.fits"))


@pytest.fixture(scope="module")
def hipparcos(real_data):
    return Table.read(real_data / "stars" / "hipparcos_db98.fits")


@pytest.fixture(scope="module")
def sagittarius(real_data):
    return as_catalogue(read(real_data / "stars" / "sagittarius_vasiliev2020_subset.csv"))


def table(n=40, seed=0, snr=50.0):
    """A catalogue with everything in it, precise parallaxes and correlated errors."""
    rng = np.random.default_rng(seed)
    parallax = rng.uniform(0.5, 5, n)
    columns = {
        "ra": rng.uniform(0, 360, n),
        "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        "parallax": parallax,
        "pmra": rng.normal(0, 20, n),
        "pmdec": rng.normal(0, 20, n),
        "radial_velocity": rng.normal(0, 50, n),
        "ruwe": np.ones(n),
        "parallax_error": parallax / snr,
        "pmra_error": rng.uniform(0.02, 0.3, n),
        "pmdec_error": rng.uniform(0.02, 0.3, n),
        "radial_velocity_error": rng.uniform(0.5, 3, n),
    }
    return columns | {f"{a}_{b}_corr": np.full(n, rho) for a, b, rho in PAIRS}


def with_distances(columns, error=0.02):
    """The same with distances in place of parallaxes."""
    kept = {name: values for name, values in columns.items() if "parallax" not in name}
    distance = 1 / columns["parallax"]
    return kept | {"distance": distance * u.kpc, "distance_error": error * distance * u.kpc}


def convert(space, columns, frame=None, **settings):
    catalogue = as_catalogue(columns) if isinstance(columns, dict) else columns
    return SPACES[space].convert(catalogue, Settings(frame=orientation(frame), **settings))


def as_sky(columns):
    return coord.SkyCoord(
        columns["ra"] * u.deg,
        columns["dec"] * u.deg,
        distance=(1 / columns["parallax"]) * u.kpc,
        pm_ra_cosdec=columns["pmra"] * u.mas / u.yr,
        pm_dec=columns["pmdec"] * u.mas / u.yr,
        radial_velocity=columns["radial_velocity"] * u.km / u.s,
    )


def one_star(n, columns):
    return {name: np.repeat(np.asarray(values)[:1], n) for name, values in columns.items()}


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_space_velocities_are_those_of_astropy(seed):
    columns = table(200, seed)
    found = convert("uvw", columns, "galactic")
    expected = as_sky(columns).galactic.velocity.d_xyz.to_value("km/s").T
    # R is orthogonal, so that its transpose takes the velocities back.
    np.testing.assert_allclose(np.einsum("nab,na->nb", found.projection, found.x), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.einsum("nab,nb->na", found.projection, expected), found.x, rtol=0, atol=1e-10)


def test_space_velocities_of_gaia_stars_are_those_of_astropy(gaia):
    found = convert("uvw", gaia, "galactic")
    whole = np.flatnonzero((found.reasons == "") & ~np.isnan(found.x).any(axis=1))
    assert len(whole) >= 14
    sky = as_sky({role: gaia.values[role][whole] for role in ("ra", "dec", *MEASURED)})
    velocity = np.einsum("nab,na->nb", found.projection[whole], found.x[whole])
    np.testing.assert_allclose(velocity, sky.galactic.velocity.d_xyz.to_value("km/s").T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("frame", [None, "galactic", "GD1", STREAM], ids=["icrs", "galactic", "GD1", "stream"])
def test_every_space_shows_what_astropy_shows(frame):
    columns = table()
    there = as_sky(columns).transform_to(orientation(frame).frame)
    sphere = there.represent_as(coord.SphericalRepresentation, coord.SphericalCosLatDifferential)
    moving = sphere.differentials["s"]
    pm = np.stack([moving.d_lon_coslat.to_value("mas/yr"), moving.d_lat.to_value("mas/yr")], axis=-1)
    across = AU_PER_YEAR * pm / columns["parallax"][:, None]
    rv, parallax = columns["radial_velocity"][:, None], columns["parallax"][:, None]
    expected = {
        "pm": pm,
        "pm+parallax": np.hstack([pm, parallax]),
        "pm+rv": np.hstack([pm, rv]),
        "tangential": across,
        "uvw": np.hstack([rv, across]),
    }
    for name, x in expected.items():
        found = convert(name, columns, frame)
        np.testing.assert_allclose(found.x, x, rtol=0, atol=1e-9)
        np.testing.assert_allclose((found.lon - sphere.lon.deg + 180) % 360, 180, rtol=0, atol=1e-11)
        np.testing.assert_allclose(found.lat, sphere.lat.deg, rtol=0, atol=1e-11)
        assert not found.set_aside
        assert set(found.reasons) == {""}
        assert (found.projection is None) == (name != "uvw")


@pytest.mark.parametrize("space", SPACES)
def test_corrected_motions_are_those_of_astropy(space):
    columns = table()
    solar = coord.CartesianDifferential(SUN * u.km / u.s)
    frame = coord.Galactocentric(galcen_v_sun=solar)
    seen = as_sky(columns).transform_to(frame)
    velocity = coord.CartesianDifferential(seen.velocity.d_xyz + solar.d_xyz[:, None])
    place = seen.cartesian.without_differentials().with_differentials(velocity)
    still = frame.realize_frame(place).transform_to(coord.Galactic())
    pm = np.stack([still.pm_l_cosb.to_value("mas/yr"), still.pm_b.to_value("mas/yr")], axis=-1)
    across, rv = AU_PER_YEAR * pm / columns["parallax"][:, None], still.radial_velocity.to_value("km/s")[:, None]
    expected = {
        "pm": pm,
        "pm+parallax": np.hstack([pm, columns["parallax"][:, None]]),
        "pm+rv": np.hstack([pm, rv]),
        "tangential": across,
        "uvw": np.hstack([rv, across]),
    }[space]
    for given in (columns, with_distances(columns)):
        if space != "pm+parallax" or given is columns:
            found = convert(space, given, "galactic", reflex=solar_velocity(SUN))
            np.testing.assert_allclose(found.x, expected, rtol=0, atol=1e-8)


def test_names_follow_the_frame():
    galactic, stream, icrs = orientation("galactic"), orientation(STREAM), orientation(None)
    assert SPACES["pm"].names(icrs) == ("pmra", "pmdec")
    assert SPACES["pm+parallax"].names(stream) == ("pm_phi1", "pm_phi2", "parallax")
    assert SPACES["pm+rv"].names(galactic) == ("pm_l", "pm_b", "radial_velocity")
    assert SPACES["tangential"].names(galactic) == SPACES["tangential"].latent_names(galactic) == ("v_l", "v_b")
    assert SPACES["uvw"].names(galactic) == ("v_r", "v_l", "v_b")
    assert SPACES["uvw"].latent_names(galactic) == ("U", "V", "W")
    assert SPACES["uvw"].latent_names(stream) == ("v_x", "v_y", "v_z")


@pytest.mark.parametrize("space", SPACES)
def test_units_go_with_names(space):
    known = SPACES[space]
    for frame in (orientation(None), orientation(STREAM)):
        assert len(known.names(frame)) == len(known.units())
        assert len(known.latent_names(frame)) == len(known.latent_units())
    assert all(u.Unit(unit).is_equivalent(u.mas / u.yr) or unit in ("km / s", "mas") for unit in known.units())
    assert known.name == space


# --- covariances -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [None, "galactic"])
def test_errors_go_through_the_slopes_of_the_velocity(frame):
    columns = table(30)
    catalogue = as_catalogue(columns)
    found = convert("uvw", catalogue, frame)
    slopes = np.empty((30, 3, 4))
    for j, role in enumerate(MEASURED):
        step = 1e-4 * columns["parallax"]
        up, down = ({**columns, role: columns[role] + sign * step} for sign in (1, -1))
        slopes[:, :, j] = (convert("uvw", up, frame).x - convert("uvw", down, frame).x) / (2 * step)[:, None]
    sigma = np.stack([columns[f"{role}_error"] for role in MEASURED], axis=-1)
    rho = np.eye(4)
    for a, b, value in PAIRS:
        i, j = MEASURED.index(a), MEASURED.index(b)
        rho[i, j] = rho[j, i] = value
    errors = sigma[:, :, None] * rho * sigma[:, None, :]
    expected = slopes @ errors @ slopes.transpose(0, 2, 1)
    np.testing.assert_allclose(found.covariances, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("space", "source", "reflex"),
    [
        ("pm", "parallax", SUN),
        ("pm", "distance", SUN),
        ("pm+parallax", "parallax", None),
        ("pm+parallax", "parallax", SUN),
        ("pm+parallax", "distance", SUN),
        ("pm+rv", "parallax", SUN),
        ("tangential", "distance", None),
        ("uvw", "parallax", None),
        ("uvw", "distance", SUN),
    ],
)
def test_covariances_are_those_of_simulated_catalogues(space, source, reflex):
    draws = 200_000
    columns = {name: values[4:5] for name, values in table(5, seed=11, snr=40.0).items()}
    roles = MEASURED
    if source == "distance":
        if space == "pm+parallax":
            columns |= {
                "distance": 1 / columns["parallax"] * u.kpc,
                "distance_error": 0.03 / columns["parallax"] * u.kpc,
            }
            roles = (*MEASURED, "distance")
        else:
            columns, roles = with_distances(columns, error=0.03), ("distance", *MEASURED[1:])
    rho = np.eye(len(roles))
    for a, b, value in PAIRS:
        if a in roles:
            rho[roles.index(a), roles.index(b)] = rho[roles.index(b), roles.index(a)] = value
    catalogue = as_catalogue(columns)
    sigma = np.array([catalogue.errors[role][0] for role in roles])
    mean = np.array([catalogue.values[role][0] for role in roles])
    drawn = np.random.default_rng(2).multivariate_normal(mean, sigma[:, None] * rho * sigma, draws, method="cholesky")
    many = one_star(draws, {name: getattr(values, "value", values) for name, values in columns.items()})
    many |= {role: drawn[:, j] * (u.kpc if role == "distance" else 1) for j, role in enumerate(roles)}
    if "distance_error" in many:
        many["distance_error"] = many["distance_error"] * u.kpc
    settings = {"reflex": solar_velocity(reflex), "min_parallax_snr": 20.0}
    found = convert(space, columns, "galactic", **settings)
    simulated = convert(space, many, "galactic", **settings)
    size = np.sqrt(np.diagonal(found.covariances[0]))
    scale = size[:, None] * size
    np.testing.assert_allclose(np.cov(simulated.x.T) / scale, found.covariances[0] / scale, rtol=0, atol=0.02)
    np.testing.assert_allclose(simulated.x.mean(axis=0), found.x[0], rtol=0, atol=0.05 * size.max())


# --- real catalogues -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("frame", [None, "galactic", "sagittarius"])
@pytest.mark.parametrize("reflex", [None, SUN], ids=["as seen", "corrected"])
def test_every_space_takes_gaia(gaia, space, frame, reflex):
    found = convert(space, gaia, frame, reflex=solar_velocity(reflex))
    used = found.reasons == ""
    poor = gaia.values["parallax"] < 10 * gaia.errors["parallax"]
    np.testing.assert_array_equal(used, ~poor if space in ("tangential", "uvw") else np.ones(1000, dtype=bool))
    assert not found.set_aside
    seen = ~np.isnan(found.x[used])
    missing = np.isnan(gaia.values["radial_velocity"])[used]
    for j, name in enumerate(SPACES[space].names(orientation(frame))):
        np.testing.assert_array_equal(~seen[:, j], missing if name in ("v_r", "radial_velocity") else False)
    pairs = seen[:, :, None] & seen[:, None, :]
    assert np.isfinite(found.covariances[used][pairs]).all()
    assert np.isnan(found.covariances[used][~pairs]).all()
    assert np.isfinite([found.lon, found.lat]).all()
    # The engine's own checks: covariances are symmetric and positive, projections finite.
    projection = None if found.projection is None else found.projection[used]
    Observations(found.x[used], from_covariances(found.covariances[used]), projection)


def test_a_poor_parallax_is_named_and_never_divided_by(gaia):
    found = convert("uvw", gaia, "galactic")
    parallax, snr = gaia.values["parallax"], gaia.values["parallax"] / gaia.errors["parallax"]
    negative, poor = parallax <= 0, (parallax > 0) & (snr < 10)
    assert negative.sum() > 100
    for row in np.flatnonzero(negative):
        assert found.reasons[row] == f"parallax {parallax[row]:.3f} mas is not above 0"
    for row in np.flatnonzero(poor):
        assert found.reasons[row] == f"parallax over error {np.floor(10 * snr[row]) / 10:.1f} is below 10"
    assert np.isnan(found.x[negative | poor][:, 1:]).all()


def test_hipparcos_velocities_are_those_of_the_file(hipparcos):
    given = tuple(np.asarray(hipparcos[name]) for name in ("c_ll", "c_lb", "c_bb"))
    found = convert("uvw", as_catalogue(hipparcos), "galactic", covariance=given)
    assert set(found.reasons) == {""}
    assert np.isnan(found.x[:, 0]).all()
    # Its l and b are of older constants; seen along them the motions are those of its columns.
    R = tangent_basis(np.asarray(hipparcos["l"]), np.asarray(hipparcos["b"]))[:, 1:]
    velocity = np.einsum("nab,na->nb", found.projection[:, 1:], found.x[:, 1:])
    along, across = np.einsum("nab,nb->na", R, velocity).T
    np.testing.assert_allclose(along, hipparcos["vl"], rtol=0, atol=0.105)
    np.testing.assert_allclose(across, hipparcos["vb"], rtol=0, atol=0.19)
    np.testing.assert_array_equal(found.covariances[:, 1, 2], given[1])
    np.testing.assert_array_equal(found.covariances[:, 2, 2], given[2])


def test_hipparcos_directions_have_the_published_lines(hipparcos):
    lon, b = (np.radians(np.asarray(hipparcos[name], dtype=float)) for name in ("l", "b"))
    lines = np.stack([
        np.stack([-np.sin(lon), np.cos(lon), 0 * lon], axis=-1),
        np.stack([-np.sin(b) * np.cos(lon), -np.sin(b) * np.sin(lon), np.cos(b)], axis=-1),
    ], axis=1)  # fmt: skip
    np.testing.assert_allclose(tangent_basis(hipparcos["l"], hipparcos["b"])[:, 1:], lines, rtol=0, atol=1e-15)


def test_hipparcos_without_errors_is_told_what_is_missing(hipparcos):
    for space in SPACES:
        with pytest.raises(DataError, match=r"pmra_error, pmdec_error.*columns="):
            convert(space, as_catalogue(hipparcos))


def test_velocities_without_an_error_are_set_aside(sagittarius):
    for space in ("pm+rv", "uvw"):
        found = convert(space, sagittarius, "galactic")
        (column, rows, reason), *others = found.set_aside
        assert (column, reason, not others) == ("vlos", "vlos has no error", True)
        assert rows.sum() == 23
        assert np.isnan(found.x[rows][:, SPACES[space].units().index("km / s")]).all()
        assert set(found.reasons) == {""}


# --- what is not used, and why ---------------------------------------------------------------------------------------


def with_values(columns, **changes):
    """The same with single values changed: role={row: value}."""
    columns = {name: np.array(values) for name, values in columns.items()}
    for name, values in changes.items():
        for row, value in values.items():
            columns[name][row] = value
    return columns


NAN = float("nan")
LEFT_OUT = {
    "no motion": ("pm", {"pmra": {2: NAN}, "pmdec": {2: NAN}}, "no pmra and no pmdec"),
    "motion (0, 0)": ("pm", {"pmra": {2: 0}, "pmdec": {2: 0}}, "proper motion (0, 0) stands for an absent one"),
    "no errors": ("pm", {"pmra_error": {2: NAN}, "pmdec_error": {2: NAN}}, "pmra has no error"),
    "half a motion": ("pm", {"pmra": {2: NAN}}, "pmdec alone cannot be turned to galactic"),
    "no position": ("pm+rv", {"ra": {2: NAN}}, "no position"),
    "ruwe": ("pm", {"ruwe": {2: 1.401}}, "ruwe 1.41 is above 1.4"),
    "no ruwe": ("pm", {"ruwe": {2: NAN}}, "no ruwe to compare with 1.4"),
    "zero parallax": ("tangential", {"parallax": {2: 0}}, "parallax 0.000 mas is not above 0"),
    "exact negative parallax": (
        "tangential",
        {"parallax": {2: -0.301}, "parallax_error": {2: 0}},
        "parallax -0.301 mas is not above 0",
    ),
    "poor parallax": (
        "uvw",
        {"parallax": {2: 0.32999}, "parallax_error": {2: 0.1}},
        "parallax over error 3.2 is below 10",
    ),
    "no parallax": ("uvw", {"parallax": {2: NAN}}, "no parallax"),
    "no error of parallax": ("tangential", {"parallax_error": {2: NAN}}, "no error of its parallax"),
    "half a velocity": ("tangential", {"pmdec": {2: NAN}}, "pmra alone cannot be turned to galactic"),
    "nothing at all": (
        "uvw",
        {"pmra": {2: NAN}, "pmdec": {2: NAN}, "radial_velocity": {2: NAN}},
        "no pmra and no pmdec and no radial_velocity",
    ),
}


@pytest.mark.parametrize(("space", "changes", "reason"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_row_left_out_has_its_reason(space, changes, reason):
    found = convert(space, with_values(table(5), **changes), "galactic", max_ruwe=1.4)
    assert list(found.reasons) == ["", "", reason, "", ""]
    assert not found.set_aside
    used = found.reasons == ""
    np.testing.assert_array_equal(found.x[used], convert(space, table(5), "galactic").x[used])


SET_ASIDE = {
    "motion (0, 0)": (
        "pm+parallax",
        {"pmra": {2: 0}, "pmdec": {2: 0}},
        {
            "pmra": "proper motion (0, 0) stands for an absent one",
            "pmdec": "proper motion (0, 0) stands for an absent one",
        },
        [True, True, False],
    ),
    "no error of one": ("pm", {"pmra_error": {2: NAN}}, {"pmra": "pmra has no error"}, [True, False]),
    "half a motion turned": (
        "pm+rv",
        {"pmra": {2: NAN}},
        {"pmdec": "pmdec alone cannot be turned to galactic"},
        [True, True, False],
    ),
    "half a velocity turned": (
        "uvw",
        {"pmdec": {2: NAN}},
        {"pmra": "pmra alone cannot be turned to galactic"},
        [False, True, True],
    ),
    "no error of velocity": (
        "uvw",
        {"radial_velocity_error": {2: NAN}},
        {"radial_velocity": "radial_velocity has no error"},
        [True, False, False],
    ),
}


@pytest.mark.parametrize(("space", "changes", "said", "gaps"), SET_ASIDE.values(), ids=SET_ASIDE)
def test_a_value_set_aside_has_its_reason(space, changes, said, gaps):
    frame = None if space == "pm" else "galactic"
    found = convert(space, with_values(table(5), **changes), frame)
    assert {column: reason for column, _, reason in found.set_aside} == said
    assert all(list(np.flatnonzero(rows)) == [2] for _, rows, _ in found.set_aside)
    assert set(found.reasons) == {""}
    np.testing.assert_array_equal(np.isnan(found.x), [[row == 2 and gap for gap in gaps] for row in range(5)])
    Observations(found.x, from_covariances(found.covariances), found.projection)


def test_half_a_motion_stays_where_nothing_turns():
    found = convert("pm", with_values(table(5), pmra={2: NAN}))
    np.testing.assert_array_equal(np.isnan(found.x), [[row == 2, False] for row in range(5)])
    assert not found.set_aside
    assert set(found.reasons) == {""}


def test_a_correction_without_a_distance_is_no_correction():
    columns = with_values(table(5), parallax={2: NAN, 3: NAN}, radial_velocity={3: NAN})
    found = convert("pm+rv", columns, reflex=solar_velocity(SUN))
    said = "no distance by which to correct pmra for the Sun's motion"
    assert list(found.reasons) == ["", "", "", said, ""]
    assert [(column, list(np.flatnonzero(rows))) for column, rows, _ in found.set_aside] == [
        ("pmra", [2]),
        ("pmdec", [2]),
    ]
    np.testing.assert_array_equal(np.isnan(found.x[2]), [True, True, False])


def test_a_negative_parallax_corrects_without_division():
    columns = with_values(table(5), parallax={2: -0.2})
    found, seen = convert("pm", columns, reflex=solar_velocity(SUN)), convert("pm", columns)
    sun = tangent_basis(columns["ra"], columns["dec"])[:, 1:] @ solar_velocity(SUN)
    np.testing.assert_allclose(found.x, seen.x + sun * columns["parallax"][:, None] / AU_PER_YEAR, rtol=1e-12)


def test_no_column_of_positions_is_needed_where_nothing_turns():
    columns = {name: values for name, values in table().items() if name not in ("ra", "dec")}
    for space in ("pm", "pm+parallax", "pm+rv", "tangential"):
        found = convert(space, columns)
        np.testing.assert_allclose(found.x, convert(space, table()).x, rtol=1e-15)
        assert np.isnan([found.lon, found.lat]).all()
    for space in ("pm", "tangential"):
        with pytest.raises(DataError, match="needs the columns ra, dec"):
            convert(space, columns, "galactic")
    with pytest.raises(DataError, match="needs the columns ra, dec"):
        convert("uvw", columns)


def test_no_column_of_radial_velocities_is_needed_for_space_velocities():
    columns = {name: values for name, values in table().items() if "radial" not in name}
    found, whole = convert("uvw", columns, "galactic"), convert("uvw", table(), "galactic")
    assert np.isnan(found.x[:, 0]).all()
    np.testing.assert_array_equal(found.x[:, 1:], whole.x[:, 1:])
    np.testing.assert_array_equal(found.covariances[:, 1:, 1:], whole.covariances[:, 1:, 1:])
    with pytest.raises(DataError, match="needs the columns radial_velocity, radial_velocity_error"):
        convert("pm+rv", columns)


MISSING = {
    "pm": ("pmra_error", "pmra_error"),
    "pm+parallax": ("parallax_error", "parallax_error"),
    "pm+rv": ("radial_velocity_error", "radial_velocity_error"),
    "tangential": ("parallax", "parallax"),
    "uvw": ("radial_velocity_error", "radial_velocity_error"),
}


@pytest.mark.parametrize(("space", "names"), MISSING.items())
def test_columns_that_are_missing_are_named(space, names):
    dropped, said = names
    columns = {name: values for name, values in table().items() if name != dropped}
    with pytest.raises(DataError, match=rf"space '{space.replace('+', '[+]')}'.* {said}\b"):
        convert(space, columns, "galactic")


# --- distances, zero points, limits ----------------------------------------------------------------------------------


def test_a_distance_goes_before_a_parallax():
    columns = table(5)
    distance = np.array([1.0, NAN, 2.0, 3.0, NAN])
    error = np.array([0.1, NAN, NAN, 0.1, NAN])
    columns |= {"distance": distance * u.kpc, "distance_error": error * u.kpc}
    columns["parallax"] = np.where(np.arange(5) == 4, -1.0, columns["parallax"])
    found = convert("tangential", columns)
    kpc = np.array([1.0, 1 / columns["parallax"][1], 1 / columns["parallax"][2], 3.0])
    np.testing.assert_allclose(found.x[:4, 0], AU_PER_YEAR * kpc * columns["pmra"][:4], rtol=1e-14)
    assert list(found.reasons) == ["", "", "", "", "parallax -1.000 mas is not above 0"]
    assert [(column, list(np.flatnonzero(rows))) for column, rows, _ in found.set_aside] == [("distance", [2])]


def test_a_distance_must_be_above_zero_and_there():
    columns = with_distances(table(4))
    columns["distance"] = [1.0, -2.0, 0.0, NAN] * u.kpc
    found = convert("uvw", columns)
    assert list(found.reasons) == [
        "", "distance -2 kpc is not above 0", "distance 0 kpc is not above 0", "no distance with an error",
    ]  # fmt: skip


def test_a_distance_without_its_error_needs_one():
    columns = with_distances(table(4))
    del columns["distance_error"]
    with pytest.raises(DataError, match=r"parallaxes or distances.* needs the columns distance_error"):
        convert("tangential", columns)


@pytest.mark.parametrize("zero_point", [-0.04, -40 * u.uas, np.full(10, -0.04), np.full(10, -0.04) * u.mas])
def test_the_zero_point_is_subtracted(zero_point):
    columns = table(10)
    moved = {**columns, "parallax": columns["parallax"] + 0.04}
    for space in ("pm+parallax", "tangential", "uvw"):
        found, expected = convert(space, columns, zero_point=zero_point), convert(space, moved)
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-13)
        np.testing.assert_allclose(found.covariances, expected.covariances, rtol=1e-12)
    corrected = convert("pm", columns, zero_point=zero_point, reflex=solar_velocity(SUN))
    np.testing.assert_allclose(corrected.x, convert("pm", moved, reflex=solar_velocity(SUN)).x, rtol=1e-13)


def test_the_smallest_signal_to_noise_is_for_the_user_to_choose():
    columns = table(10, snr=7.0)
    assert all(reason == "parallax over error 7.0 is below 10" for reason in convert("tangential", columns).reasons)
    assert set(convert("tangential", columns, min_parallax_snr=5).reasons) == {""}
    assert set(convert("pm+parallax", columns).reasons) == {""}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_parallax_snr": -1}, "min_parallax_snr must not be negative"),
        ({"min_parallax_snr": NAN}, "min_parallax_snr must be finite"),
        ({"max_ruwe": 0}, "max_ruwe must be above 0"),
        ({"zero_point": [0.1, 0.2]}, r"zero_point must be one number or one per row, shape \(5,\)"),
        ({"zero_point": 3 * u.km}, "zero_point must be in mas"),
        ({"covariance": (np.ones(5), np.ones(5))}, "covariance must be three arrays"),
        ({"covariance": (np.ones(5), np.ones(4), np.ones(5))}, "each array of covariance must be"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(DataError, match=said):
        convert("tangential", table(5), **settings)


def test_a_covariance_of_velocities_belongs_to_velocities():
    given = (np.full(5, 4.0), np.full(5, 1.0), np.array([9.0, 9.0, NAN, 9.0, 9.0]))
    found = convert("tangential", table(5), "galactic", covariance=given)
    np.testing.assert_array_equal(found.covariances[0], [[4, 1], [1, 9]])
    assert list(found.reasons) == ["", "", "no covariance of its velocity", "", ""]
    half = convert("tangential", with_values(table(5), pmdec={0: NAN}), covariance=given)
    np.testing.assert_array_equal(half.covariances[0], [[4, NAN], [NAN, NAN]])
    with pytest.raises(DataError, match="space 'pm' has none of"):
        convert("pm", table(5), covariance=given)


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_blocks_change_nothing(space, monkeypatch):
    columns = with_values(table(50), pmra={3: 0, 20: NAN}, pmdec={3: 0}, radial_velocity_error={4: NAN, 44: NAN})
    columns = with_values(columns, parallax={7: -1, 21: 0.01}, ruwe={13: 9})
    settings = {
        "zero_point": np.linspace(-0.1, 0.1, 50),
        "reflex": solar_velocity(SUN),
        "max_ruwe": 2.0,
    }
    whole = convert(space, columns, "GD1", **settings)
    monkeypatch.setattr(converted, "_BLOCK", 7)
    parts = convert(space, columns, "GD1", **settings)
    np.testing.assert_array_equal(parts.reasons, whole.reasons)
    for name in ("x", "covariances", "lon", "lat"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-11, atol=1e-11)
    assert (parts.projection is None) == (whole.projection is None)
    if whole.projection is not None:
        np.testing.assert_allclose(parts.projection, whole.projection, rtol=0, atol=1e-14)
    assert {c: (list(rows), r) for c, rows, r in parts.set_aside} == {
        c: (list(rows), r) for c, rows, r in whole.set_aside
    }


def test_rows_at_poles_are_finite():
    columns = table(4)
    pole = coord.SkyCoord(0 * u.deg, 90 * u.deg, frame="galactic").icrs
    columns["ra"], columns["dec"] = np.array([0, 90, pole.ra.deg, pole.ra.deg - 180]), np.array([90, -90, 0, 0.0])
    columns["dec"][2:] = pole.dec.deg, -pole.dec.deg
    for frame in (None, "galactic"):
        for space in SPACES:
            found = convert(space, columns, frame, reflex=solar_velocity(SUN))
            assert np.isfinite(found.x).all()
            assert np.isfinite(found.covariances).all()
        np.testing.assert_array_equal(found.projection, uvw_projection(columns["ra"], columns["dec"], frame))
