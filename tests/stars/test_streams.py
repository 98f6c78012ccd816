"""A stream before its field: what was put in is found, members are those who are, and where there is none none is."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import vstack

import mixsci as mx
from mixsci import stars
from mixsci.errors import DataError


@pytest.fixture(scope="module")
def made():
    return stars.simulate_stream(1200, 0.08, rng=3)


@pytest.fixture(scope="module")
def found(made):
    return stars.fit_stream(made.table, frame=made.frame)


def truth_of(made, table):
    """Who of the stars of a table of members is truly of the stream."""
    return np.asarray(made.truth["population"] == "stream")[table["row"]]


def z_of(found, made, k=0):
    """Deviations of the stream's means and dispersions from the truth in standard errors."""
    errors, spread = found.standard_errors, np.diag(made.covariance)
    sigma = np.sqrt(np.diag(found.mixture.covariances[k]))
    mean = (found.mixture.means[k] - made.mean) / errors.means[k]
    return np.concatenate([mean, (sigma**2 - spread) / np.diag(errors.covariances[k])])


# --- what was put in is found -----------------------------------------------------------------------------------------


def test_the_stream_is_found_where_it_is(made, found):
    assert found.converged
    assert found.members == (0,)
    assert np.abs(z_of(found, made)).max() < 3.5
    assert np.abs(found.mixture.means[0] - made.mean).max() < 0.15
    assert found.bic_gain > 50


def test_streams_of_many_seeds_are_found():
    z = []
    for seed in range(4):
        made = stars.simulate_stream(1000, 0.1, rng=seed)
        found = stars.fit_stream(made.table, frame=made.frame)
        assert found.bic_gain > 0
        z.append(z_of(found, made)[:2])
    z = np.array(z)
    assert np.abs(z).max() < 4
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert np.sqrt((z**2).mean()) < 1.7


def test_members_are_those_who_are(made, found):
    table = found.membership()
    p, member = np.asarray(table["p_member"]), truth_of(made, table)
    assert len(table) == (np.abs(made.truth["phi2"].value) <= 1).sum()
    # Expected numbers are true numbers, within what chance allows.
    assert member.sum() == pytest.approx(p.sum(), abs=4 * np.sqrt((p * (1 - p)).sum()))
    curve = stars.purity_completeness(p, member, thresholds=[0.5])
    assert curve["true_purity"][0] > 0.85
    assert curve["true_completeness"][0] > 0.85
    assert curve["purity"][0] == pytest.approx(curve["true_purity"][0], abs=0.1)
    assert table["log_bayes_factor"][member].mean() > 2 > -2 > table["log_bayes_factor"][~member].mean()


def test_share_of_the_stream_is_that_of_the_track(made, found):
    table = found.to_table()
    assert list(table["population"]) == ["stream", "field", "field"]
    track = np.abs(made.truth["phi2"].value) <= 1
    share = (made.truth["population"][track] == "stream").mean()
    inside = 1 - found.mixture.background.weight
    assert table["weight"][0] * inside == pytest.approx(share, abs=4 * table["weight_error"][0])
    assert table.meta["bic_gain"] == found.bic_gain
    assert table.meta["frame"] == found.kinematics.frame.label


def test_the_field_is_held(found):
    field = found.field_fit.mixture
    np.testing.assert_array_equal(found.mixture.means[1:], field.means)
    np.testing.assert_array_equal(found.mixture.covariances[1:], field.covariances)
    table = found.to_table()
    assert (table["pm_phi1_error"][1:] == 0).all()
    assert (table["sigma_pm_phi1_error"][1:] == 0).all()
    assert table["pm_phi1_error"][0] > 0


def test_the_field_is_learnt_beside_the_stream(made, found):
    beside = np.flatnonzero(np.abs(made.truth["phi2"].value) > 1.5)
    np.testing.assert_array_equal(found.field_fit.kinematics.rows, beside)
    on = np.flatnonzero(np.abs(made.truth["phi2"].value) <= 1.0)
    np.testing.assert_array_equal(found.kinematics.rows, on)


def test_gain_is_that_over_the_field_alone(found):
    # The field with its own shares refitted on the track, by plain steps of EM.
    field, rows = found.field_fit.mixture, found.kinematics.observations
    frozen = mx.Frozen(means=[True, True], covariances=[True, True])
    alone = mx.fit(mx.Model(2, background=field.background, frozen=frozen), rows, start=field, tol=1e-9)
    assert found.gain == pytest.approx(found.log_likelihood - alone.log_likelihood, abs=0.01)
    # A mean of two, a covariance of three, a share.
    assert found.extra == 6
    assert found.bic_gain == pytest.approx(2 * found.gain - 6 * np.log(len(rows)), abs=0.02)


def test_the_same_stream_is_found_every_time(made, found):
    again = stars.fit_stream(made.table, frame=made.frame)
    np.testing.assert_array_equal(again.mixture.means, found.mixture.means)
    assert again.log_likelihood == found.log_likelihood
    order = np.random.default_rng(0).permutation(len(made.table))
    mixed = stars.fit_stream(made.table[order], frame=made.frame)
    np.testing.assert_allclose(mixed.mixture.means[0], found.mixture.means[0], atol=0.02)


# --- nothing is found where there is nothing --------------------------------------------------------------------------


def test_where_there_is_no_stream_none_is_wanted():
    gains = []
    for seed in range(20):
        empty = stars.simulate_stream(400, 0.0, rng=seed)
        # Every tenth learns its field by itself, the others know the true one.
        truth = mx.Mixture(
            empty.mixture.weights[1:] / empty.mixture.weights[1:].sum(), empty.mixture.means[1:],
            empty.mixture.covariances[1:], background=empty.mixture.background,
        )  # fmt: skip
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = stars.fit_stream(empty.table, frame=empty.frame, background=truth if seed % 10 else 2)
        gains.append(found.bic_gain)
        assert any("no evidence of a stream" in str(each.message) for each in told) == (found.bic_gain < 0)
    assert np.sum(np.array(gains) < 0) >= 18


def test_a_warning_says_so_where_it_was_caused():
    empty = stars.simulate_stream(400, 0.0, rng=0)
    with pytest.warns(UserWarning, match="no evidence of a stream: BIC is larger by") as told:
        stars.fit_stream(empty.table, frame=empty.frame)
    assert told[-1].filename == __file__


# --- other ways to ask ------------------------------------------------------------------------------------------------


def test_stars_may_come_as_kinematics(made, found):
    kin = stars.from_gaia(made.table, frame=made.frame)
    again = stars.fit_stream(kin)
    np.testing.assert_array_equal(again.mixture.means, found.mixture.means)
    np.testing.assert_array_equal(again.membership()["p_member"], found.membership()["p_member"])
    with pytest.raises(DataError, match="have their space and frame already"):
        stars.fit_stream(kin, frame=made.frame)
    with pytest.raises(DataError, match="have their space and frame already"):
        stars.fit_stream(kin, max_ruwe=1.4)


def test_a_file_will_do(made, found, tmp_path):
    made.table.write(tmp_path / "stars.fits")
    again = stars.fit_stream(tmp_path / "stars.fits", frame="GD1")
    np.testing.assert_allclose(again.mixture.means, found.mixture.means, rtol=1e-9)


def test_the_track_may_be_given_by_rows(made, found):
    on = np.abs(made.truth["phi2"].value) <= 1
    given = stars.fit_stream(made.table, frame=made.frame, on=on)
    np.testing.assert_array_equal(given.kinematics.rows, np.flatnonzero(on))
    np.testing.assert_array_equal(given.field_fit.kinematics.rows, np.flatnonzero(~on))
    np.testing.assert_allclose(given.mixture.means[0], found.mixture.means[0], atol=0.05)
    # Where no frame is given motions stay along right ascension and declination.
    bare = stars.fit_stream(made.table, on=on)
    assert bare.latent_names == ("pmra", "pmdec")


def test_rows_of_the_track_are_rows_of_the_table(made):
    table = made.table.copy()
    table["ruwe"][:50] = 9.0
    on = np.abs(made.truth["phi2"].value) <= 1
    with pytest.warns(UserWarning, match="ruwe") as told:
        found = stars.fit_stream(table, frame=made.frame, on=on, max_ruwe=2.0)
    assert told[0].filename == __file__
    assert set(found.kinematics.rows) <= set(np.flatnonzero(on))
    assert found.kinematics.rows.min() >= 50


@pytest.mark.parametrize("kind", ["fit", "mixture"])
def test_the_field_may_be_given(made, found, kind):
    field = found.field_fit if kind == "fit" else found.field_fit.mixture
    again = stars.fit_stream(made.table, frame=made.frame, background=field)
    np.testing.assert_array_equal(again.mixture.means, found.mixture.means)
    assert again.bic_gain == found.bic_gain
    assert again.field_fit is (found.field_fit if kind == "fit" else None)


def test_a_guess_leads_to_the_same_stream(made, found):
    guessed = stars.fit_stream(made.table, frame=made.frame, mean=made.mean + 0.3)
    np.testing.assert_allclose(guessed.mixture.means[0], found.mixture.means[0], atol=0.02)
    assert guessed.log_likelihood == pytest.approx(found.log_likelihood, abs=0.1)


def test_a_stream_of_two_components(made):
    # A second stream on the same track, elsewhere in proper motion.
    other = stars.simulate_stream(80, 1.0, outliers=0.0, rng=8)
    kin = stars.from_gaia(vstack([made.table, other.table], metadata_conflicts="silent"), frame=made.frame)
    moved = kin.observations.x.copy()
    moved[1200:] += np.array([3.0, -6.0]) - made.mean
    kin = type(kin)(**{**vars(kin), "observations": kin.observations.valued(moved)})
    found = stars.fit_stream(kin, stream=2)
    assert found.members == (0, 1)
    means = found.mixture.means[:2]
    for wanted in (made.mean, [3.0, -6.0]):
        assert np.abs(means - wanted).max(axis=1).min() < 0.2
    table = found.membership()
    member = np.concatenate([np.asarray(made.truth["population"] == "stream"), np.ones(80, dtype=bool)])[table["row"]]
    assert ((np.asarray(table["p_member"]) > 0.5) == member).mean() > 0.95
    assert list(found.to_table()["population"]) == ["stream", "stream", "field", "field"]
    assert found.extra == 12


@pytest.mark.parametrize("space", ["pm+parallax", "pm+rv"])
def test_streams_in_more_dimensions(made, found, space):
    wide = stars.fit_stream(made.table, frame=made.frame, space=space)
    assert wide.bic_gain > 0
    np.testing.assert_allclose(wide.mixture.means[0, :2], found.mixture.means[0], atol=0.1)
    p = wide.membership()["p_member"]
    member = truth_of(made, wide.membership())
    assert member.sum() == pytest.approx(p.sum(), abs=5 * np.sqrt((p * (1 - p)).sum()) + 1)


def test_without_outliers_there_are_none(made):
    found = stars.fit_stream(made.table, frame=made.frame, outliers=False)
    assert found.mixture.background is None
    assert not found.membership()["p_outlier"].any()
    assert np.abs(found.mixture.means[0] - made.mean).max() < 0.15


def test_a_frame_may_be_made_of_two_points(made, found):
    # Along the same track motions are the same, wherever longitudes begin.
    points = SkyCoord([-25.0, 20.0] * u.deg, [0.0, 0.0] * u.deg, frame=made.frame).icrs
    circle = stars.great_circle(points[0], points[1])
    again = stars.fit_stream(made.table, frame=circle)
    np.testing.assert_array_equal(again.kinematics.rows, found.kinematics.rows)
    np.testing.assert_allclose(again.mixture.means, found.mixture.means, atol=1e-3)
    ours, theirs = (fit.mixture.responsibilities(fit.kinematics.observations) for fit in (again, found))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    # Averages over 128 draws of what the fit leaves open agree as far as so few draws go.
    np.testing.assert_allclose(again.membership()["p_member"], found.membership()["p_member"], atol=5e-3)


# --- what is refused --------------------------------------------------------------------------------------------------

YES = np.ones(1200, dtype=bool)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frame": None}, "frame=, along it"),
        ({"frame": "nowhere"}, "nowhere"),
        ({"background": 0}, "background"),
        ({"background": 2.5}, "background"),
        ({"background": "two"}, "background"),
        ({"background": 500}, "beside the track"),
        ({"background": mx.Mixture([1.0], [[0.0]], [[[1.0]]])}, "dimensions pm_phi1, pm_phi2"),
        ({"space": "uvw"}, "'pm'"),
        ({"space": "xyz"}, "in one of 'pm'"),
        ({"stream": 0}, "stream"),
        ({"stream": 1.5}, "stream"),
        ({"stream": "one"}, "stream"),
        ({"stream": 100}, "on the track"),
        ({"width_deg": -1}, "width_deg"),
        ({"width_deg": "wide"}, "width_deg"),
        ({"width_deg": 2, "gap_deg": 1}, "gap_deg"),
        ({"width_deg": 1e-4}, "20 stars on the track: widen width_deg"),
        ({"width_deg": 3.0, "gap_deg": 3.999}, "40 stars beside the track"),
        ({"on": YES[:5]}, "on must be"),
        ({"on": ~YES}, "on the track"),
        ({"on": YES}, "beside the track"),
        ({"on": YES * 1}, "on must be"),
        ({"on": "all"}, "on must be"),
        ({"mean": [1.0]}, "mean must be 2 numbers"),
        ({"mean": [np.nan, 1.0]}, "mean must be 2 numbers"),
        ({"mean": ["a", "b"]}, "mean"),
        ({"outliers": 2.0}, "outliers must be"),
        ({"outliers": mx.UniformBackground([0.0], [1.0])}, "box|outliers"),
        ({"prior": 3}, "prior"),
        ({"prior": "strong"}, "prior must be"),
        ({"tol": 0}, "tol"),
        ({"selection": {"pmra": (0, 1)}}, "pm_phi1, pm_phi2; got pmra"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_settings_are_checked(made, settings, said):
    with pytest.raises(DataError, match=said):
        stars.fit_stream(made.table, **({"frame": made.frame} | settings))


def test_a_field_of_another_frame_is_refused(made):
    other = stars.deconvolve(stars.from_gaia(made.table), 1)
    with pytest.raises(DataError, match="space and frame"):
        stars.fit_stream(made.table, frame=made.frame, background=other)


def test_stars_in_blocks_are_refused(made):
    with pytest.raises(DataError, match="in memory"):
        stars.fit_stream([made.table, made.table], frame=made.frame)


def test_stars_without_a_place_need_to_be_told_where_they_are(made):
    table = made.table.copy()
    del table["ra"], table["dec"]
    kin = stars.from_gaia(table)
    with pytest.raises(DataError, match="on="):
        stars.fit_stream(kin)
    assert stars.fit_stream(kin, on=np.abs(made.truth["phi2"].value) <= 1).bic_gain > 0
