"""Simulated catalogues follow the laws they were told, and their truth is that of their stars."""

import time

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from scipy import stats

import mixsci as mx
from mixsci.errors import DataError
from mixsci.stars.frames import great_circle
from mixsci.stars.simulate import (
    MEASURED,
    NEIGHBOURHOOD,
    POPULATIONS,
    simulate_disc,
    simulate_stream,
    small_catalogue,
)
from tests.conftest import ROOT

# A p-value below this, at a fixed seed, is a broken law and no accident.
RARE = 1e-4
UNITS = {
    "source_id": None,
    **dict.fromkeys(("ra", "dec"), "deg"),
    **dict.fromkeys(("ra_error", "dec_error", "parallax", "parallax_error"), "mas"),
    **dict.fromkeys(("pmra", "pmra_error", "pmdec", "pmdec_error"), "mas / yr"),
    **dict.fromkeys(("radial_velocity", "radial_velocity_error"), "km / s"),
    **dict.fromkeys(("parallax_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr", "ruwe"), None),
    "phot_g_mean_mag": "mag",
}


def plain(column):
    """Numbers of a column, NaN where it is masked."""
    values = getattr(column, "value", column)
    gaps = getattr(values, "mask", np.zeros(len(column), dtype=bool))
    return np.where(gaps, np.nan, np.asarray(getattr(values, "unmasked", values), dtype=float))


def noise(table, names=("pmra", "pmdec")):
    """(n, m, m) covariances of the errors of some columns of a catalogue."""
    sigma = np.stack([plain(table[f"{name}_error"]) for name in names], axis=1)
    covariances = sigma[:, :, None] * sigma[:, None, :]
    for a, first in enumerate(names):
        for b, second in enumerate(names[:a]):
            covariances[:, a, b] *= plain(table[f"{second}_{first}_corr"])
            covariances[:, b, a] = covariances[:, a, b]
    return covariances


def seen(table):
    """(n,) whether a catalogue has a radial velocity."""
    return np.isfinite(plain(table["radial_velocity"]))


def in_frame(made):
    """Observed proper motions (n, 2) along the stream, and their covariances, turned by astropy alone."""
    table, turned = made.table, []
    for motion in [(plain(table["pmra"]), plain(table["pmdec"])), (1.0, 0.0), (0.0, 1.0)]:
        pmra, pmdec = (np.broadcast_to(part, len(table)) * u.mas / u.yr for part in motion)
        coord = SkyCoord(table["ra"], table["dec"], pm_ra_cosdec=pmra, pm_dec=pmdec).transform_to(made.frame)
        turned.append(coord.proper_motion.value.T)
    observed, *sides = turned
    turn = np.stack(sides, axis=2)
    return observed, turn @ noise(table) @ turn.transpose(0, 2, 1)


def fisher_errors(covariance, noises):
    """Standard errors of the mean (2,) and of the covariance's (11, 12, 22) of one noisy normal population."""
    precision = np.linalg.inv(covariance + noises)
    of_mean = np.sqrt(np.diag(np.linalg.inv(precision.sum(axis=0))))
    sides = np.array([[[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]], dtype=float)
    half = np.einsum("nij,ajk->naik", precision, sides)
    information = 0.5 * np.einsum("naij,nbji->ab", half, half)
    return of_mean, np.sqrt(np.diag(np.linalg.inv(information)))


@pytest.fixture(scope="module")
def made():
    return simulate_stream(20_000, 0.1, outliers=0.02, rng=11)


@pytest.fixture(scope="module")
def disc():
    return simulate_disc(20_000, without_velocity=0.5, rng=12)


# --- the catalogue ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("simulate", [simulate_stream, simulate_disc])
def test_columns_and_units_are_those_of_gaia(simulate):
    made = simulate(30, rng=1)
    assert isinstance(made.table, QTable)
    assert {name: getattr(made.table[name], "unit", None) for name in made.table.colnames} == {
        name: unit and u.Unit(unit) for name, unit in UNITS.items()
    }
    assert len(np.unique(made.table["source_id"])) == 30
    assert made.table["source_id"].dtype == np.int64
    # Catalogues are joined by numbers that no float64 holds.
    assert (made.table["source_id"].astype(float).astype(np.int64) != made.table["source_id"]).any()


def test_counts_are_those_of_the_shares(made):
    found = [(made.truth["population"] == name).sum() for name in POPULATIONS]
    expected = 20_000 * np.array([0.1, 0.88 * 0.6, 0.88 * 0.4, 0.02])
    assert sum(found) == 20_000
    assert stats.chisquare(found, expected).pvalue > RARE


def test_outliers_take_their_share_from_the_field_alone():
    population = simulate_stream(5000, 0.3, outliers=0.4, rng=13).truth["population"]
    found = [(population == name).sum() for name in POPULATIONS]
    assert stats.chisquare(found, 5000 * np.array([0.3, 0.3 * 0.6, 0.3 * 0.4, 0.4])).pvalue > RARE


def test_positions_fill_the_footprint(made):
    truth = made.truth
    stream = truth["population"] == "stream"
    lat = plain(truth["phi2"])
    assert stats.kstest(plain(truth["phi1"]), stats.uniform(-30, 60).cdf).pvalue > RARE
    assert stats.kstest(lat[stream], stats.norm(0, 0.3).cdf).pvalue > RARE
    reach = np.sin(np.radians(4.0))
    assert stats.kstest(np.sin(np.radians(lat[~stream])), stats.uniform(-reach, 2 * reach).cdf).pvalue > RARE


def test_a_wide_stream_ends_with_the_footprint():
    lat = plain(simulate_stream(5000, 1.0, outliers=0.0, width=2.0, half_height=2.0, rng=3).truth["phi2"])
    assert np.abs(lat).max() <= 2.0
    assert stats.kstest(lat, stats.truncnorm(-1, 1, scale=2.0).cdf).pvalue > RARE


@pytest.mark.parametrize("frame", ["GD1", "galactic", great_circle((229.0, 0.0), (240.0, 6.0)), None])
def test_truth_in_the_frame_is_truth_on_the_sky(frame):
    made = simulate_stream(200, 0.5, frame=frame, rng=4)
    truth, table = made.truth, made.table
    motion = {"pm_ra_cosdec": truth["pmra"], "pm_dec": truth["pmdec"]}
    seen = SkyCoord(table["ra"], table["dec"], **motion).transform_to(made.frame)
    np.testing.assert_allclose(seen.spherical.lon.wrap_at(180 * u.deg).deg, plain(truth["phi1"]), atol=1e-9)
    np.testing.assert_allclose(seen.spherical.lat.deg, plain(truth["phi2"]), atol=1e-9)
    expected = np.stack([plain(truth["pm_phi1"]), plain(truth["pm_phi2"])])
    np.testing.assert_allclose(seen.proper_motion.value, expected, atol=1e-9)


def test_the_table_says_where_the_stream_lies():
    made = simulate_stream(5, frame=great_circle((10.0, 20.0), (40.0, 50.0)), rng=1)
    meta = made.table.meta
    again = great_circle(pole=(meta["pole_ra"], meta["pole_dec"]), origin=(meta["zero_ra"], meta["zero_dec"]))
    seen = SkyCoord(made.table["ra"], made.table["dec"]).transform_to(again).spherical
    np.testing.assert_allclose(seen.lon.wrap_at(180 * u.deg).deg, plain(made.truth["phi1"]), atol=1e-5)
    np.testing.assert_allclose(seen.lat.deg, plain(made.truth["phi2"]), atol=1e-5)


# --- the populations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stream", "disc", "halo"])
def test_a_fit_of_one_population_finds_its_moments(made, name):
    rows = made.truth["population"] == name
    observed, covariances = (values[rows] for values in in_frame(made))
    obs = mx.Observations(observed, mx.noise.from_covariances(covariances))
    found = mx.fit(mx.Model(1), obs, tol=1e-9, rng=1).mixture
    k = POPULATIONS.index(name)
    of_mean, of_covariance = fisher_errors(made.mixture.covariances[k], covariances)
    assert (np.abs(found.means[0] - made.mixture.means[k]) < 4 * of_mean).all()
    apart = (found.covariances[0] - made.mixture.covariances[k])[[0, 0, 1], [0, 1, 1]]
    assert (np.abs(apart) < 4 * of_covariance).all()


def test_a_fit_of_all_finds_the_stream(made):
    observed, covariances = in_frame(made)
    obs = mx.Observations(observed, mx.noise.from_covariances(covariances))
    box = mx.UniformBackground(made.mixture.background.low, made.mixture.background.high, weight=0.02)
    found = mx.fit(mx.Model(3, background=box), obs, start=made.mixture, rng=1).mixture
    # Scores of mean and share at the truth; rows of unsure membership say less.
    p = made.mixture.responsibilities(obs)[:, 0]
    apart = np.linalg.solve(made.covariance + covariances, (observed - made.mean)[:, :, None])[:, :, 0]
    scores = np.column_stack([p[:, None] * apart, p / 0.1 - (1 - p) / 0.9])
    errors = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    share = found.weights[0] * (1 - found.background.weight)
    assert (np.abs(np.append(found.means[0] - made.mean, share - 0.1)) < 4 * errors).all()


def test_the_true_mixture_knows_who_belongs_to_the_stream(made):
    observed, covariances = in_frame(made)
    p = made.mixture.responsibilities(mx.Observations(observed, mx.noise.from_covariances(covariances)))[:, 0]
    stream = made.truth["population"] == "stream"
    for low, high in [(0.0, 0.05), (0.05, 0.3), (0.3, 0.7), (0.7, 0.95), (0.95, 1.0)]:
        here = (p >= low) & (p <= high)
        sd = np.sqrt((p[here] * (1 - p[here])).sum())
        assert abs(stream[here].sum() - p[here].sum()) < 4 * sd


def test_populations_move_and_lie_as_told(made):
    truth = made.truth
    for name, (middle, spread) in {"stream": (-85, 5), "disc": (-10, 40), "halo": (-40, 130)}.items():
        velocity = plain(truth["radial_velocity"][truth["population"] == name])
        assert stats.kstest(velocity, stats.norm(middle, spread).cdf).pvalue > RARE
    for name, (middle, spread) in {"stream": (8, 0.03), "disc": (1.5, 0.5), "halo": (6, 0.5)}.items():
        kpc = plain(truth["distance"][truth["population"] == name])
        assert stats.kstest(kpc, stats.lognorm(spread, scale=middle).cdf).pvalue > RARE
    outliers = truth["population"] == "outlier"
    for name in ("pm_phi1", "pm_phi2"):
        assert stats.kstest(plain(truth[name][outliers]), stats.uniform(-30, 60).cdf).pvalue > RARE
    np.testing.assert_allclose(plain(truth["parallax"]) * plain(truth["distance"]), 1.0)


def test_contrast_moves_the_stream_out_of_the_field():
    streams = [simulate_stream(1, contrast=contrast, rng=1) for contrast in (0.0, 0.5, 1.0, 2.0)]
    first = streams[0].mixture
    field = mx.Mixture([0.6, 0.4], first.means[1:], first.covariances[1:])
    assert (np.diff(field.log_density(np.array([stream.mean for stream in streams]))) < 0).all()
    np.testing.assert_allclose(streams[0].mean, field.weights @ field.means)
    np.testing.assert_allclose(np.hypot(*(streams[2].mean - streams[0].mean)), 6.3, atol=0.05)


def test_the_defaults_are_findable_and_not_trivial():
    for fraction in (0.01, 0.1):
        made = simulate_stream(20_000, fraction, rng=5)
        observed, covariances = in_frame(made)
        p = made.mixture.responsibilities(mx.Observations(observed, mx.noise.from_covariances(covariances)))[:, 0]
        stream = made.truth["population"] == "stream"
        chosen = p > 0.5
        assert (stream & chosen).sum() > 0.2 * stream.sum()
        assert 0.5 < stream[chosen].mean() < 0.99


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["made", "disc"])
def test_errors_are_as_large_and_as_correlated_as_stated(kind, request):
    one = request.getfixturevalue(kind)
    names = MEASURED[:3]
    apart = np.stack([plain(one.table[name]) - plain(one.truth[name]) for name in names], axis=1)
    covariances = noise(one.table, names)
    chi2 = np.einsum("ni,nij,nj->n", apart, np.linalg.inv(covariances), apart)
    assert stats.kstest(chi2, stats.chi2(3).cdf).pvalue > RARE
    # Each pair by itself: products of standard errors have the correlation as their mean.
    z = apart / np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        r = covariances[:, a, b] / np.sqrt(covariances[:, a, a] * covariances[:, b, b])
        for side in (r > 0.1, r < -0.1):
            products = (z[side, a] * z[side, b]) - r[side]
            assert abs(products.mean()) < 4 * products.std() / np.sqrt(side.sum())


@pytest.mark.parametrize("kind", ["made", "disc"])
def test_radial_velocities_are_as_exact_as_stated_and_few(kind, request):
    one = request.getfixturevalue(kind)
    velocity, error = plain(one.table["radial_velocity"]), plain(one.table["radial_velocity_error"])
    seen = np.isfinite(velocity)
    np.testing.assert_array_equal(seen, np.isfinite(error))
    z = (velocity - plain(one.truth["radial_velocity"]))[seen] / error[seen]
    assert stats.kstest(z, stats.norm.cdf).pvalue > RARE
    g_mag = plain(one.table["phot_g_mean_mag"])
    assert g_mag[seen].max() <= g_mag[~seen].min()
    if kind == "made":
        assert 0.04 < seen.mean() < 0.09


def test_magnitudes_and_errors_say_nothing_of_the_population(made):
    for name in ("phot_g_mean_mag", "pmra_error", "ruwe"):
        values = plain(made.table[name])
        groups = [values[made.truth["population"] == population] for population in POPULATIONS]
        assert stats.kruskal(*groups).pvalue > RARE


def test_errors_are_those_of_gaia(real_data):
    # Units of other columns are not those of FITS, which astropy says.
    with pytest.warns(u.UnitsWarning):
        real = QTable.read(real_data / "stars" / "gaia_dr3_random1000.fits")
    made = simulate_stream(40_000, magnitudes=(13.0, 21.0), rng=6).table
    for low in range(16, 21):
        for name in ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error"):
            ours, theirs = (
                np.nanmedian(plain(table[name])[np.floor(plain(table["phot_g_mean_mag"])) == low])
                for table in (made, real)
            )
            assert abs(np.log(ours / theirs)) < 0.2
    for name in ("parallax_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr"):
        assert abs(np.std(plain(made[name])) - np.nanstd(plain(real[name]))) < 0.06
    ours, theirs = (
        plain(table["radial_velocity_error"])[(plain(table["phot_g_mean_mag"]) > 14) & seen(table)]
        for table in (made, real)
    )
    assert abs(np.log(np.median(ours) / np.median(theirs))) < 4 * 0.55 * np.sqrt(np.pi / 2 / len(theirs))


# --- the solar neighbourhood -----------------------------------------------------------------------------------------


def test_velocities_near_the_sun_are_those_of_the_mixture(disc):
    truth = disc.truth
    points = np.stack([plain(truth[name]) for name in "UVW"], axis=1)
    labels = np.asarray(truth["component"])
    counts = np.bincount(labels, minlength=6)
    assert stats.chisquare(counts, 20_000 * NEIGHBOURHOOD.weights).pvalue > RARE
    for k in range(6):
        z = np.linalg.solve(
            np.linalg.cholesky(NEIGHBOURHOOD.covariances[k]), (points[labels == k] - disc.mixture.means[k]).T
        )
        assert stats.kstest(z.ravel(), stats.norm.cdf).pvalue > RARE
        assert (np.abs(z.mean(axis=1)) < 4 / np.sqrt(counts[k])).all()


def test_the_sky_near_the_sun_is_that_of_astropy(disc):
    truth, table = disc.truth[:500], disc.table[:500]
    seen = SkyCoord(
        table["ra"], table["dec"], distance=truth["distance"],
        pm_ra_cosdec=truth["pmra"], pm_dec=truth["pmdec"], radial_velocity=truth["radial_velocity"],
    ).galactic.velocity  # fmt: skip
    expected = np.stack([plain(truth[name]) for name in "UVW"])
    np.testing.assert_allclose(seen.d_xyz.to_value(u.km / u.s), expected, atol=1e-9)


def test_stars_fill_the_space_around_the_sun(disc):
    pc = 1000 * plain(disc.truth["distance"])
    assert stats.kstest(pc**3, stats.uniform(50**3, 300**3 - 50**3).cdf).pvalue > RARE
    assert stats.kstest(plain(disc.table["ra"]), stats.uniform(0, 360).cdf).pvalue > RARE
    assert stats.kstest(np.sin(np.radians(plain(disc.table["dec"]))), stats.uniform(-1, 2).cdf).pvalue > RARE


@pytest.mark.parametrize("share", [0.0, 0.95, 1.0])
def test_velocities_are_missing_in_the_share_asked_for(share):
    table = simulate_disc(200, without_velocity=share, rng=1).table
    assert np.isnan(plain(table["radial_velocity"])).sum() == 200 * share


def test_a_million_stars_take_seconds():
    began = time.perf_counter()
    assert len(simulate_disc(1_000_000, rng=1).table) == 1_000_000
    assert time.perf_counter() - began < 20


# --- seeds and files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("simulate", [simulate_stream, simulate_disc, lambda _, rng: small_catalogue(rng)])
def test_a_seed_gives_the_same_stars(simulate):
    first, again, other = (simulate(50, rng=rng) for rng in (7, np.random.default_rng(7), 8))
    for name in first.table.colnames:
        np.testing.assert_array_equal(plain(first.table[name]), plain(again.table[name]))
    assert (plain(first.table["pmra"]) != plain(other.table["pmra"])).any()


@pytest.mark.parametrize("ending", [".ecsv", ".csv", ".fits", ".vot"])
@pytest.mark.parametrize("simulate", [simulate_stream, simulate_disc])
def test_files_hold_the_catalogue_and_the_truth(simulate, ending, tmp_path):
    made = simulate(60, rng=2)
    path = made.write(tmp_path / f"stars{ending}")
    made.write(path)
    back = QTable.read(path)
    label = "population" if "population" in made.truth.colnames else "component"
    assert back.colnames == [*made.table.colnames, label]
    assert [str(each) for each in back[label]] == [str(each) for each in made.truth[label]]
    assert label not in made.table.colnames
    for name in made.table.colnames:
        np.testing.assert_array_equal(plain(back[name]), plain(made.table[name]))
        if ending != ".csv":
            assert getattr(back[name], "unit", None) == getattr(made.table[name], "unit", None)


def test_the_small_catalogue_is_small(tmp_path):
    made = small_catalogue()
    path = made.write(tmp_path / "stars.ecsv")
    assert path.stat().st_size < 250_000
    assert 1000 <= len(made.table) <= 1500
    assert 0 < np.isfinite(plain(made.table["radial_velocity"])).sum() < 200
    for name, decimals in {"pmra": 3, "parallax_pmra_corr": 2, "radial_velocity": 2}.items():
        values = plain(made.table[name])
        np.testing.assert_array_equal(values, values.round(decimals))
    full = simulate_stream(1200, 0.08, rng=1).table
    for name in made.table.colnames:
        np.testing.assert_allclose(plain(made.table[name]), plain(full[name]), atol=0.0051)


def test_the_catalogue_in_data_is_the_small_one(tmp_path):
    made = small_catalogue(rng=1)
    kept, again = QTable.read(ROOT / "data" / "stars_stream.ecsv"), QTable.read(made.write(tmp_path / "stars.ecsv"))
    assert kept.colnames == again.colnames
    assert kept.meta == again.meta
    np.testing.assert_array_equal(kept["population"], again["population"])
    for name in made.table.colnames:
        np.testing.assert_allclose(plain(kept[name]), plain(again[name]), atol=0.0101)


def test_repr_is_short():
    assert repr(simulate_stream(10, 0.0, rng=1)) == "SimulatedStream(10 stars, 0 of them)"
    assert repr(simulate_disc(10, rng=1)) == "SimulatedDisc(10 stars, 6 components)"


# --- bad arguments ---------------------------------------------------------------------------------------------------


def test_extremes_that_are_allowed():
    assert (simulate_stream(20, 1.0, outliers=0.0, rng=1).truth["population"] == "stream").all()
    assert (simulate_stream(20, 0.0, outliers=0.0, rng=1).truth["population"] != "stream").all()
    cold = simulate_stream(20, 1.0, outliers=0.0, dispersion=0.0, rng=1)
    np.testing.assert_allclose(plain(cold.truth["pm_phi1"]), cold.mean[0])
    assert len(simulate_stream(1, rng=1).table) == len(simulate_disc(1, rng=1).table) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number of stars, 1 or more; got 0"),
        ({"n": 10.0}, "n must be a whole number"),
        ({"n": True}, "n must be a whole number"),
        ({"n": "many"}, "n must be a whole number"),
        ({"fraction": -0.1}, "fraction must be from 0 to 1; got -0.1"),
        ({"fraction": 1.1}, "fraction must be from 0 to 1"),
        ({"fraction": np.nan}, "fraction must be finite"),
        ({"fraction": "half"}, "fraction must be one number"),
        ({"fraction": [0.1, 0.2]}, "fraction must be one number"),
        ({"outliers": 1.0}, "outliers must be from 0 to 0.99"),
        ({"fraction": 0.9, "outliers": 0.2}, "at most 1 together; got 0.9 and 0.2"),
        ({"contrast": -1}, "contrast must be from 0 to 4"),
        ({"dispersion": -0.1}, "dispersion must be from 0 to 5"),
        ({"dispersion": np.inf}, "dispersion must be finite"),
        ({"phi1": (30, -30)}, "phi1 must be two numbers, the lower first"),
        ({"phi1": 30}, "phi1 must be two numbers"),
        ({"phi1": (0, 300)}, "from -180 to 180"),
        ({"phi1": (np.nan, 1)}, "phi1 must be two numbers"),
        ({"phi1": "all"}, "phi1 must be"),
        ({"width": 0}, "width must be from 1e-06 to 4; got 0"),
        ({"width": 9, "half_height": 4}, "width must be from 1e-06 to 4; got 9"),
        ({"half_height": 90}, "half_height must be from 0.01 to 80"),
        ({"distance": 0}, "distance must be from 0.05 to 200"),
        ({"magnitudes": (20, 13)}, "magnitudes must be two numbers"),
        ({"magnitudes": (13, 25)}, "magnitudes must be two numbers"),
        ({"frame": "nowhere"}, "frame"),
        ({"frame": 7}, "frame"),
        ({"frame": "fk4"}, "rotation"),
        ({"rng": "seed"}, "rng must be a whole number from 0 on"),
        ({"rng": -1}, "rng must be"),
    ],
)
def test_bad_streams_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        simulate_stream(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -5}, "n must be a whole number"),
        ({"mixture": None}, "mixture must be a Mixture of"),
        ({"mixture": mx.Mixture([1.0], [[0.0, 0.0]], np.eye(2)[None])}, "three dimensions; got Mixture"),
        ({"without_velocity": 1.5}, "without_velocity must be from 0 to 1"),
        ({"distances_pc": (300, 50)}, "distances_pc must be two numbers"),
        ({"distances_pc": (0, 50)}, "distances_pc must be two numbers"),
        ({"rng": object()}, "rng must be"),
    ],
)
def test_bad_discs_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        simulate_disc(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["stars", "stars.parquet", "stars.txt"])
def test_files_of_other_kinds_are_refused(name, tmp_path):
    with pytest.raises(DataError, match=r"must end in \.ecsv, \.csv, \.fits, \.vot; got stars"):
        simulate_stream(5, rng=1).write(tmp_path / name)
    assert not list(tmp_path.iterdir())
