"""Frames against astropy's own transformations, great circles against their points, named streams against papers."""

import astropy.coordinates as coord
import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from mixsci.errors import DataError
from mixsci.stars.frames import FRAMES, great_circle, orientation, unit_vectors

# Koposov, Rix & Hogg 2010, appendix: from ICRS to (phi1, phi2) of GD-1.
KOPOSOV = np.array([
    [-0.4776303088, -0.1738432154, 0.8611897727],
    [0.5108445890, -0.8524449229, 0.1112450420],
    [0.7147776536, 0.4930681392, 0.4959603976],
])  # fmt: skip


def sky(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def offset(origin, rotation):
    return coord.SkyOffsetFrame(origin=origin, rotation=rotation)


SOME_FRAMES = {
    "icrs": None,
    "galactic": "galactic",
    "class": coord.Galactic,
    "supergalactic": "supergalactic",
    "fk5 of 1975": coord.FK5(equinox="J1975"),
    "GD1": "GD1",
    "Sagittarius": "Sagittarius",
    "two points": great_circle((10, 20), (50, -30)),
    "pole": great_circle(pole=(200, -45)),
    "offset in ICRS": offset(coord.ICRS(5 * u.deg, 6 * u.deg), -2 * u.rad),
    "offset in Galactic": offset(coord.Galactic(50 * u.deg, 70 * u.deg), 2 * u.rad),
}


@pytest.mark.parametrize("frame", SOME_FRAMES.values(), ids=SOME_FRAMES)
def test_positions_are_those_of_astropy(frame):
    ra, dec = sky()
    known = orientation(frame)
    expected = coord.SkyCoord(ra * u.deg, dec * u.deg).transform_to(known.frame).spherical
    lon, lat = known.position(ra, dec)
    np.testing.assert_allclose((lon - expected.lon.deg + 180) % 360, 180, rtol=0, atol=1e-11)
    np.testing.assert_allclose(lat, expected.lat.deg, rtol=0, atol=1e-11)
    assert np.all((known.wrap - 360 <= lon) & (lon <= known.wrap))
    np.testing.assert_allclose(known.matrix @ known.matrix.T, np.eye(3), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("frame", "names", "label"),
    [
        (None, ("ra", "dec"), "icrs"),
        ("Galactic", ("l", "b"), "Galactic"),
        (coord.SkyCoord([1] * u.deg, [2] * u.deg).galactic, ("l", "b"), "galactic"),
        ("GD1", ("phi1", "phi2"), "GD1"),
        (coord.FK5, ("ra", "dec"), "fk5"),
        (
            great_circle(pole=(200, -45), origin=(290, 0)),
            ("phi1", "phi2"),
            "great circle with its pole at ra 200.0000, dec -45.0000 and its origin at ra 290.0000, dec 0.0000",
        ),
    ],
)
def test_a_frame_has_names(frame, names, label):
    known = orientation(frame)
    assert (known.lon_name, known.lat_name) == names
    assert known.label == label
    assert orientation(known) is known


def test_only_icrs_stays_as_it_is():
    assert not orientation(None).turns
    assert not orientation(coord.ICRS()).turns
    assert orientation(great_circle((0, 0), (10, 10))).turns
    lon, lat = orientation(None).position([-10.0, 370.0], [1.0, 2.0])
    np.testing.assert_array_equal(lon, [350.0, 10.0])
    np.testing.assert_array_equal(lat, [1.0, 2.0])


@pytest.mark.parametrize(
    "frame",
    ["lsr", "galacticlsr", "fk4", "hcrs", "gcrs", "galactocentric", "altaz", coord.FK5(equinox=["J1975", "J2000"])],
)
def test_a_frame_that_is_no_rotation_is_refused(frame):
    with pytest.raises(DataError, match="a frame must be a rotation of ICRS"):
        orientation(frame)


@pytest.mark.parametrize(("frame", "said"), [("nonsense", "there are icrs, galactic, GD1"), (3, "got int")])
def test_what_is_no_frame_is_refused(frame, said):
    with pytest.raises(DataError, match=said):
        orientation(frame)


# --- great circles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_two_points_lie_on_the_equator_of_their_circle(seed):
    (ra, other), (dec, end) = sky(2, seed)
    known = orientation(great_circle((ra, dec), (other, end)))
    lon, lat = known.position(np.array([ra, other]), np.array([dec, end]))
    apart = coord.SkyCoord(ra * u.deg, dec * u.deg).separation(coord.SkyCoord(other * u.deg, end * u.deg)).deg
    np.testing.assert_allclose(lat, 0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(lon, [0, apart], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pole", [(30.0, 40.0), (200.0, -45.0), (0.0, 90.0), (77.0, -90.0), (10.0, 0.0)])
@pytest.mark.parametrize("origin", [None, (123.0, 12.0)])
def test_a_pole_is_where_it_was_asked_for(pole, origin):
    known = orientation(great_circle(pole=pole, origin=origin))
    np.testing.assert_allclose(known.matrix[2], unit_vectors(*pole), rtol=0, atol=1e-15)
    assert np.linalg.det(known.matrix) == pytest.approx(1)
    if origin is not None:
        assert known.position(*origin)[0] == pytest.approx(0, abs=1e-12)
        return
    zero, ahead = np.linalg.inv(known.matrix) @ unit_vectors([0.0, 1.0], [0.0, 0.0]).T[0], known.matrix[1]
    assert zero[2] == pytest.approx(0, abs=1e-15)
    assert ahead[2] >= -1e-15  # longitude grows northwards there


def test_points_may_come_as_coordinates():
    start, end = coord.SkyCoord(50 * u.deg, 10 * u.deg, frame="galactic"), coord.ICRS(10 * u.deg, 20 * u.deg)
    known = orientation(great_circle(start, end))
    again = orientation(great_circle((start.icrs.ra, start.icrs.dec), (10 * u.deg, 1200 * u.arcmin)))
    np.testing.assert_allclose(known.matrix, again.matrix, rtol=0, atol=1e-15)


def test_longitude_may_start_elsewhere_on_the_circle():
    known = orientation(great_circle((0, 0), (60, 0), origin=(20, 30)))
    lon, lat = known.position(np.array([0.0, 20.0, 60.0]), np.zeros(3))
    np.testing.assert_allclose(lon, [-20, 0, 40], rtol=0, atol=1e-12)
    np.testing.assert_allclose(lat, 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({"start": (10, 20), "end": (10, 20)}, "0 deg apart"),
        ({"start": (10, 20), "end": (190, -20)}, "180 deg apart"),
        ({"pole": (10, 20), "origin": (10, 20)}, "must not be its pole"),
        ({"start": (10, 20)}, "needs two points"),
        ({"start": (10, 20), "end": (30, 20), "pole": (1, 2)}, "needs two points"),
        ({}, "needs two points"),
        ({"start": (10, 95), "end": (30, 20)}, "start must be one point"),
        ({"start": (10, 20), "end": 5}, "end must be one point"),
        ({"pole": (float("nan"), 0)}, "pole must be one point"),
        ({"pole": (1 * u.km, 0)}, "pole must be one point"),
    ],
)
def test_what_makes_no_circle_is_refused(points, said):
    with pytest.raises(DataError, match=said):
        great_circle(**points)


# --- streams by name -------------------------------------------------------------------------------------------------


def test_gd1_is_the_published_rotation():
    np.testing.assert_allclose(orientation("gd1").matrix, KOPOSOV, rtol=0, atol=1e-9)


def test_sagittarius_is_the_frame_of_its_stars(real_data):
    stars = Table.read(real_data / "stars" / "sagittarius_vasiliev2020_subset.csv")
    lon, lat = orientation("sagittarius").position(np.asarray(stars["ra"]), np.asarray(stars["dec"]))
    # The table is rounded to 0.001 deg.
    np.testing.assert_allclose(lon, stars["Lambda"], rtol=0, atol=0.001)
    np.testing.assert_allclose(lat, stars["Beta"], rtol=0, atol=0.001)


def test_sagittarius_is_the_published_plane():
    # Law & Majewski 2010: Euler angles from Galactic axes; longitude and latitude here have the other sign.
    turn_z = lambda deg: coord.matrix_utilities.rotation_matrix(deg * u.deg, "z")  # noqa: E731 (a name for the test)
    law = (
        turn_z(180 + 14.111534) @ coord.matrix_utilities.rotation_matrix((90 - 13.46) * u.deg, "x") @ turn_z(180 + 3.75)
    )
    expected = np.diag([1, -1, -1]) @ law @ orientation("galactic").matrix
    np.testing.assert_allclose(orientation("sagittarius").matrix, expected, rtol=0, atol=1e-11)


def test_every_name_is_a_frame():
    for name, circle in FRAMES.items():
        known = orientation(name)
        assert known.label == name
        if circle is not None:
            np.testing.assert_allclose(known.matrix[2], unit_vectors(*circle.pole), rtol=0, atol=1e-14)
