"""Motions in other frames against astropy's transformations, their covariances against simulation."""

import astropy.coordinates as coord
import astropy.units as u
import numpy as np
import pytest

from mixsci.errors import DataError
from mixsci.stars.frames import great_circle, orientation
from mixsci.stars.geometry import AU_PER_YEAR, solar_velocity, tangent_basis, to_frame, turn, uvw_projection

FRAMES = {
    "icrs": None,
    "galactic": "galactic",
    "supergalactic": "supergalactic",
    "fk5 of 1975": coord.FK5(equinox="J1975"),
    "GD1": "GD1",
    "two points": great_circle((10, 20), (50, -30)),
    "pole": great_circle(pole=(200, -45), origin=(10, 10)),
    "offset in Galactic": coord.SkyOffsetFrame(origin=coord.Galactic(50 * u.deg, 70 * u.deg), rotation=2 * u.rad),
}
every_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)


def stars(n=300, seed=0, frame="icrs"):
    """Stars with all six coordinates, as astropy holds them."""
    rng = np.random.default_rng(seed)
    return coord.SkyCoord(
        coord.SphericalRepresentation(
            rng.uniform(0, 360, n) * u.deg,
            np.degrees(np.arcsin(rng.uniform(-1, 1, n))) * u.deg,
            rng.uniform(0.1, 10, n) * u.kpc,
            differentials=coord.SphericalCosLatDifferential(
                rng.normal(0, 10, n) * u.mas / u.yr,
                rng.normal(0, 10, n) * u.mas / u.yr,
                rng.normal(0, 100, n) * u.km / u.s,
            ),
        ),
        frame=frame,
    )


def motions(sky):
    """(n, 3) proper motions along longitude and latitude in mas/yr and radial velocities in km/s."""
    moving = sky.represent_as(coord.SphericalRepresentation, coord.SphericalCosLatDifferential).differentials["s"]
    parts = moving.d_lon_coslat.to_value("mas/yr"), moving.d_lat.to_value("mas/yr"), moving.d_distance.to_value("km/s")
    return np.stack(parts, axis=-1)


def covariances(n, m, seed=1, scale=0.1):
    factors = np.random.default_rng(seed).normal(0, scale, (n, m, m))
    return factors @ factors.transpose(0, 2, 1) + 0.01 * scale**2 * np.eye(m)


def test_one_au_per_year_is_that_of_astropy():
    assert (u.au / u.yr).to(u.km / u.s) == pytest.approx(AU_PER_YEAR, rel=1e-15)


# --- projections -----------------------------------------------------------------------------------------------------


@every_frame
def test_projected_velocities_are_those_of_astropy(frame):
    sky = stars()
    there = sky.transform_to(orientation(frame).frame)
    R = uvw_projection(sky.ra, sky.dec, frame)
    x = motions(there)
    expected = np.stack([x[:, 2], *(AU_PER_YEAR * x[:, :2].T * sky.distance.kpc)], axis=-1)
    found = np.einsum("nab,nb->na", R, there.velocity.d_xyz.to_value("km/s").T)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), rtol=0, atol=1e-14)


def test_projection_has_the_lines_of_the_papers():
    # Bovy, Hogg & Roweis 2009: velocities along l and b.
    rng = np.random.default_rng(3)
    lon, b = rng.uniform(0, 2 * np.pi, 100), rng.uniform(-1.5, 1.5, 100)
    sky = coord.SkyCoord(lon * u.rad, b * u.rad, frame="galactic").icrs
    R = uvw_projection(sky.ra.deg, sky.dec.deg)
    np.testing.assert_allclose(R[:, 0].T, [np.cos(b) * np.cos(lon), np.cos(b) * np.sin(lon), np.sin(b)], atol=1e-12)
    np.testing.assert_allclose(R[:, 1].T, [-np.sin(lon), np.cos(lon), 0 * lon], rtol=0, atol=1e-12)
    np.testing.assert_allclose(R[:, 2].T, [-np.sin(b) * np.cos(lon), -np.sin(b) * np.sin(lon), np.cos(b)], atol=1e-12)
    np.testing.assert_allclose(tangent_basis(np.degrees(lon), np.degrees(b)), R, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frame", [None, "galactic", great_circle(pole=(0, 90), origin=(50, 0))])
def test_poles_have_a_projection(frame):
    pole = coord.SkyCoord(0 * u.deg, 90 * u.deg, frame="galactic").icrs
    ra = np.array([0.0, 77.0, 0.0, pole.ra.deg, pole.ra.deg - 180, 12.0])
    dec = np.array([90.0, 90.0, -90.0, pole.dec.deg, -pole.dec.deg, 90 - 1e-13])
    R = uvw_projection(ra, dec, frame)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), rtol=0, atol=1e-14)
    x, C = to_frame(np.ones((6, 2)), covariances(6, 2), (ra, dec), "galactic" if frame is None else frame)
    assert np.isfinite(x).all()
    assert np.isfinite(C).all()
    np.testing.assert_allclose(np.hypot(*x.T), np.sqrt(2), rtol=1e-14)
    # A motion turned and projected back is the same motion in space.
    lines = uvw_projection(ra, dec, frame)[:, 1:] @ orientation(frame).matrix
    turned = np.einsum("nab,nb->na", turn(ra, dec, orientation(frame)), np.ones((6, 2)))
    before = np.einsum("nab,na->nb", tangent_basis(ra, dec)[:, 1:], np.ones((6, 2)))
    np.testing.assert_allclose(np.einsum("nab,na->nb", lines, turned), before, rtol=0, atol=1e-14)


def test_one_star_has_one_projection():
    assert uvw_projection(10.0, 20.0).shape == (3, 3)
    assert uvw_projection([10.0], 20.0 * u.deg).shape == (1, 3, 3)
    np.testing.assert_allclose(uvw_projection(10.0, 20.0), uvw_projection([10.0], [1200.0] * u.arcmin)[0], atol=1e-15)


def test_left_handed_frames_turn_too():
    # gala's frame of the Sagittarius stream is one.
    ra, dec = np.array([10.0, 200.0]), np.array([20.0, -50.0])
    right = orientation("sagittarius")
    left = orientation("sagittarius")
    object.__setattr__(left, "matrix", np.diag([1.0, -1.0, 1.0]) @ right.matrix)
    flipped = np.diag([-1.0, 1.0]) @ turn(ra, dec, right)
    np.testing.assert_allclose(turn(ra, dec, left), flipped, rtol=0, atol=1e-15)


# --- proper motions --------------------------------------------------------------------------------------------------


@every_frame
@pytest.mark.parametrize("own", ["icrs", "galactic"])
def test_proper_motions_are_those_of_astropy(frame, own):
    sky = stars(frame=own)
    x, C = to_frame(motions(sky), None, sky, frame)
    assert C is None
    np.testing.assert_allclose(x, motions(sky.transform_to(orientation(frame).frame)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(10))
def test_proper_motions_in_any_offset_frame_are_those_of_astropy(seed):
    rng = np.random.default_rng(seed)
    origin = coord.ICRS(rng.uniform(0, 360) * u.deg, rng.uniform(-89, 89) * u.deg)
    frame = coord.SkyOffsetFrame(origin=origin, rotation=rng.uniform(-180, 180) * u.deg)
    sky = stars(50, seed)
    x, _ = to_frame(motions(sky), None, sky, frame)
    np.testing.assert_allclose(x, motions(sky.transform_to(frame)), rtol=0, atol=1e-10)


@every_frame
def test_covariances_turn_as_their_motions_do(frame):
    sky = stars(20)
    x, C = motions(sky), covariances(20, 4)
    x = np.column_stack([x, np.arange(20.0)])
    step = np.linalg.cholesky(C)
    found, turned = to_frame(x, C, sky, frame)
    # Exact: a rotation is linear, so its factor is the difference of two rotated motions.
    factor = np.stack([to_frame(x + step[:, :, j], None, sky, frame)[0] - found for j in range(4)], axis=-1)
    np.testing.assert_allclose(turned, factor @ factor.transpose(0, 2, 1), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[:, 2:], x[:, 2:])


def test_there_and_back_is_where_it_was():
    sky = stars(50)
    x, C = motions(sky)[:, :2], covariances(50, 2)
    there = to_frame(x, C, sky, "GD1")
    back = to_frame(*there, sky.transform_to(orientation("GD1").frame), None)
    np.testing.assert_allclose(back[0], x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(back[1], C, rtol=0, atol=1e-14)


def test_a_missing_motion_is_missing_in_both_directions():
    x, C = to_frame([[1.0, np.nan], [1.0, 2.0]], covariances(2, 2), ([1.0, 2.0], [3.0, 4.0]), "galactic")
    np.testing.assert_array_equal(np.isnan(x), [[True, True], [False, False]])
    assert np.isfinite(C[1]).all()


# --- the motion of the Sun -------------------------------------------------------------------------------------------


def still(sky):
    """The same stars as seen from a place at rest in the Galaxy where the Sun is, by astropy's own frames."""
    frame = coord.Galactocentric()
    seen = sky.transform_to(frame)
    place, solar = seen.cartesian.without_differentials(), frame.galcen_v_sun.xyz
    # astropy's way back to us takes the velocity of the Sun away again.
    moving = place.with_differentials(coord.CartesianDifferential(seen.velocity.d_xyz + solar[:, None]))
    return coord.SkyCoord(frame.realize_frame(moving)).transform_to(sky.frame)


def test_the_correction_takes_the_sun_to_rest():
    sky = stars()
    x, _ = to_frame(motions(sky), None, sky, "galactic", True)
    np.testing.assert_allclose(x, motions(still(sky).galactic), rtol=0, atol=1e-9)


def test_a_star_at_rest_in_the_galaxy_does_not_move_once_corrected():
    frame = coord.Galactocentric()
    rng = np.random.default_rng(5)
    place = coord.CartesianRepresentation(rng.normal(0, 10, (3, 30)) * u.kpc)
    at_rest = place.with_differentials(coord.CartesianDifferential(np.zeros((3, 30)) * u.km / u.s))
    sky = coord.SkyCoord(frame.realize_frame(at_rest)).icrs
    assert np.abs(motions(sky)).min() > 0
    x, _ = to_frame(motions(sky), None, sky, "GD1", True)
    np.testing.assert_allclose(x, 0, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "reflex",
    [
        [12.9, 245.6, 7.78],
        [12.9, 245.6, 7.78] * u.km / u.s,
        [12900.0, 245600.0, 7780.0] * u.m / u.s,
        coord.CartesianDifferential([12.9, 245.6, 7.78] * u.km / u.s),
        coord.CartesianRepresentation([12.9, 245.6, 7.78] * u.km / u.s),
        coord.Galactocentric(),
    ],
)
def test_a_velocity_of_the_sun_may_come_in_many_ways(reflex):
    with coord.galactocentric_frame_defaults.set("v4.0"):
        np.testing.assert_allclose(solar_velocity(reflex), solar_velocity(True), rtol=0, atol=1e-12)
        assert np.linalg.norm(solar_velocity(True)) == pytest.approx(np.linalg.norm([12.9, 245.6, 7.78]), abs=1e-10)


def test_no_correction_is_no_velocity():
    assert solar_velocity(None) is None
    assert solar_velocity(False) is None


def test_errors_of_distances_widen_covariances_as_simulated():
    rng = np.random.default_rng(8)
    draws = 200_000
    sky, C = coord.SkyCoord([40] * u.deg, [-15] * u.deg), covariances(1, 2)
    mean, kpc, error = np.array([[2.0, -3.0]]), 2.0, 0.08
    _, spread = to_frame(mean, C, sky, "GD1", True, distance=kpc, distance_error=error)
    x = rng.multivariate_normal(mean[0], C[0], draws)
    many = coord.SkyCoord(np.full(draws, 40) * u.deg, np.full(draws, -15) * u.deg)
    simulated, _ = to_frame(x, None, many, "GD1", True, distance=kpc + error * rng.standard_normal(draws))
    size = np.sqrt(np.diag(spread[0])[:, None] * np.diag(spread[0]))
    np.testing.assert_allclose(np.cov(simulated.T) / size, spread[0] / size, rtol=0, atol=0.02)
    assert np.all(np.diag(spread[0]) > 1.2 * np.diag(to_frame(mean, C, sky, "GD1")[1][0]))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[1.0, 2.0]], None, ([1.0, 2.0], [3.0, 4.0]), None), "n = 2 as the coordinates"),
        (([[1.0]], None, ([1.0], [3.0]), None), "m >= 2"),
        (([[1.0, 2.0]], np.eye(2), ([1.0], [3.0]), None), r"shape \(1, 2, 2\)"),
        (([[1.0, 2.0]], None, ([1.0], [93.0]), None), "within 90 deg; got 93.0 in row 0"),
        (([[1.0, 2.0]], None, 5, None), "coord must be a SkyCoord"),
        (([[1.0, 2.0]] * u.km, None, ([1.0], [3.0]), None), "x must be in mas / yr"),
        (([[1.0, 2.0]], None, ([1.0], [3.0]), None, True), "needs distances"),
        (([[1.0, 2.0]], None, coord.ICRS([1.0] * u.deg, [3.0] * u.deg), None, True), "needs distances"),
        (([[1.0, 2.0]], None, ([1.0], [3.0]), None, [1, 2]), "reflex must be True"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said):
    with pytest.raises(DataError, match=said):
        to_frame(*arguments)


def test_distances_that_are_not_above_zero_are_refused():
    with pytest.raises(DataError, match="distances must be above 0; they are not in row 1"):
        to_frame(np.ones((2, 2)), None, ([1, 2], [3, 4]), None, True, distance=[1.0, 0.0])


def test_quantities_are_converted():
    plain, spread = to_frame([[1.0, 2.0]], covariances(1, 2), ([1.0], [3.0]), "galactic", True, distance=[2.0])
    x, C = to_frame(
        [[0.001, 0.002]] * u.arcsec / u.yr,
        covariances(1, 2) * (u.mas / u.yr) ** 2,
        ([60.0] * u.arcmin, [3.0] * u.deg),
        coord.Galactic(),
        True,
        distance=[2000.0] * u.pc,
    )
    np.testing.assert_allclose(x, plain, rtol=1e-12)
    np.testing.assert_allclose(C, spread, rtol=1e-12)
