"""Catalogues whose truth is known: a cold stream before disc and halo, and the velocities of the solar neighbourhood.

Columns, units and gaps are those of Gaia DR3. Magnitudes, and with them errors and gaps, are drawn alike for every
population, so that they say nothing of where a star belongs. What the errors were measured on stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine.mixture import Mixture
from mixsci.engine.model.background import UniformBackground
from mixsci.engine.tables import as_number, as_numbers
from mixsci.errors import DataError
from mixsci.stars.frames import Orientation, orientation
from mixsci.stars.geometry import AU_PER_YEAR, tangent_basis, turn

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray

#: The populations of a simulated stream's catalogue; the first are the components of its mixture, the last is uniform.
POPULATIONS = ("stream", "disc", "halo", "outlier")
#: Columns of `SimulatedStream.table` and `SimulatedDisc.table` that errors blur.
MEASURED = ("parallax", "pmra", "pmdec", "radial_velocity")

#: (U, V, W) in km/s of stars near the Sun, seen from it: a disc, wide and narrow, before four moving groups.
NEIGHBOURHOOD = Mixture(
    weights=[0.55, 0.20, 0.08, 0.07, 0.06, 0.04],
    means=[
        [-10.0, -22.0, -7.0],
        [-9.0, -11.0, -7.0],
        [-38.0, -18.0, -2.0],  # Hyades
        [9.0, 4.0, -6.0],  # Sirius
        [-14.0, -24.0, -5.0],  # Pleiades
        [-20.0, -47.0, -8.0],  # Hercules
    ],
    covariances=[
        [[1200.0, 90.0, 0.0], [90.0, 500.0, 0.0], [0.0, 0.0, 290.0]],
        [[350.0, 50.0, 0.0], [50.0, 160.0, 0.0], [0.0, 0.0, 90.0]],
        [[60.0, -10.0, 5.0], [-10.0, 20.0, 0.0], [5.0, 0.0, 80.0]],
        [[50.0, 5.0, 0.0], [5.0, 18.0, 0.0], [0.0, 0.0, 60.0]],
        [[40.0, 12.0, 0.0], [12.0, 20.0, 0.0], [0.0, 0.0, 40.0]],
        [[200.0, -20.0, 0.0], [-20.0, 40.0, 0.0], [0.0, 0.0, 150.0]],
    ],
)

_FIRST_ID, _ID_STEP = 1_633_000_000_000_000_017, 2_048_000_000_033

# Stars of disc and halo around the stream, in proper motion (mas/yr), velocity (km/s) and distance (median kpc, spread
# of its logarithm); the stream itself lies at the offset from the middle of both, and has the shape of its covariance.
_DISC_SHARE = 0.6
_FIELD_MEANS = np.array([[-1.0, -3.0], [-3.0, -2.0]])
_FIELD_COVARIANCES = np.array([[[25.0, -4.0], [-4.0, 16.0]], [[9.0, 1.5], [1.5, 8.0]]])
_OFFSET = np.array([-6.2, -0.9])
_SHAPE = np.array([[1.0, 0.3], [0.3, 0.8]])
_BOX = 30.0
_MOST_CONTRAST = 4.0
_VELOCITIES = {"stream": (-85.0, 5.0), "disc": (-10.0, 40.0), "halo": (-40.0, 130.0), "outlier": (0.0, 200.0)}
_DISTANCES = {"disc": (1.5, 0.5), "halo": (6.0, 0.5), "outlier": (3.0, 0.8)}
_STREAM_DEPTH = 0.03

# Errors at a magnitude as Gaia's science-performance pages give them for DR3; of 1,000 stars of the archive the errors
# are 0.93 times that in the median, spread by 0.27 in the logarithm, their correlations by 0.22 to 0.28, one magnitude
# has 10**0.22 times the stars of the one before, and velocities end at 15.4 mag with errors 0.75 times the formula's.
_OF_PARALLAX_ERROR = {"ra": 0.80, "dec": 0.70, "parallax": 1.0, "pmra": 1.03, "pmdec": 0.89}
_ERROR_MEDIAN, _ERROR_SPREAD, _OWN_SPREAD = 0.93, 0.25, 0.10
_PARTIAL_CORRELATION = 0.42
_COUNTS_SLOPE = 0.22
_FAINTEST_VELOCITY, _VELOCITY_MEDIAN, _VELOCITY_SPREAD = 15.4, 0.75, 0.55
_NEAR_MAGNITUDES = (7.0, 16.0)
_UNITS = {
    "source_id": None,
    **dict.fromkeys(("ra", "dec", "phi1", "phi2"), "deg"),
    **dict.fromkeys(("ra_error", "dec_error", "parallax", "parallax_error"), "mas"),
    **dict.fromkeys(("pmra", "pmra_error", "pmdec", "pmdec_error", "pm_phi1", "pm_phi2"), "mas / yr"),
    **dict.fromkeys(("radial_velocity", "radial_velocity_error", "U", "V", "W"), "km / s"),
    "phot_g_mean_mag": "mag",
    "distance": "kpc",
}
_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".vot": "votable"}
_DECIMALS = {
    **dict.fromkeys(("ra", "dec"), 6),
    **dict.fromkeys(("parallax", "pmra", "pmdec"), 3),
    **dict.fromkeys(("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error"), 3),
    **dict.fromkeys(("parallax_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr"), 2),
    **dict.fromkeys(("radial_velocity", "radial_velocity_error", "phot_g_mean_mag", "ruwe"), 2),
}


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedStream:
    """A catalogue with a stream in it, and what no catalogue shows.

    Attributes:
        table: n stars with the columns of Gaia DR3: source_id, ra, dec, parallax, pmra, pmdec, radial_velocity (masked
            where a star is too faint), an error of each, parallax_pmra_corr, parallax_pmdec_corr, pmra_pmdec_corr,
            phot_g_mean_mag, ruwe.
        truth: the same stars without errors: population (of `POPULATIONS`), phi1 and phi2 (deg) and the proper motion
            pm_phi1, pm_phi2 along them (mas/yr, cos phi2 included), distance (kpc), parallax, pmra, pmdec,
            radial_velocity.
        frame: the astropy frame in which the stream lies along the equator.
        mixture: what proper motions (pm_phi1, pm_phi2) were drawn from: stream, disc, halo, and outliers in a box.
    """

    table: QTable
    truth: QTable
    frame: Any
    mixture: Mixture

    def __repr__(self) -> str:
        return f"SimulatedStream({len(self.table)} stars, {int((self.truth['population'] == 'stream').sum())} of them)"

    @property
    def mean(self) -> Array:
        """(2,) mean proper motion of the stream in its frame, mas/yr."""
        return np.asarray(self.mixture.means[0])

    @property
    def covariance(self) -> Array:
        """(2, 2) covariance of the stream's proper motions in its frame, (mas/yr)²."""
        return np.asarray(self.mixture.covariances[0])

    def write(self, path: str | Path) -> Path:
        """The file with the catalogue, and the population of each star as its last column.

        Args:
            path: ends in .ecsv, .csv, .fits or .vot; a file there is replaced.

        Raises:
            DataError: another ending.
            OSError: a file that cannot be written.
        """
        return _write(self.table, self.truth["population"], path)


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedDisc:
    """A catalogue of stars near the Sun, and what no catalogue shows.

    Attributes:
        table: n stars with the columns of `SimulatedStream.table`.
        truth: the same stars without errors: component (of the mixture), U, V and W (km/s), distance (kpc), parallax,
            pmra, pmdec, radial_velocity.
        mixture: what (U, V, W) were drawn from: toward the centre of the Galaxy, along its rotation, toward its north
            pole, in km/s, seen from the Sun.
    """

    table: QTable
    truth: QTable
    mixture: Mixture

    def __repr__(self) -> str:
        return f"SimulatedDisc({len(self.table)} stars, {self.mixture.n_components} components)"

    def write(self, path: str | Path) -> Path:
        """The file with the catalogue, and the component of each star as its last column; see `SimulatedStream`."""
        return _write(self.table, self.truth["component"], path)


def simulate_stream(
    n: int = 2000,
    fraction: float = 0.05,
    *,
    frame: Any = "GD1",
    contrast: float = 1.0,
    dispersion: float = 0.15,
    phi1: tuple[float, float] = (-30.0, 30.0),
    width: float = 0.3,
    half_height: float = 4.0,
    distance: float = 8.0,
    outliers: float = 0.005,
    magnitudes: tuple[float, float] = (13.0, 20.0),
    rng: Any = None,
) -> SimulatedStream:
    """A cold stream along a great circle, before disc and halo.

    Proper motions of the stream, the disc and the halo are normal in the frame of the stream and the same all along it;
    positions of disc and halo are uniform over the footprint. Each star draws its population by itself.

    Args:
        n: number of stars.
        fraction: share of the stream.
        frame: with the stream on its equator: a name of `mixsci.stars.frames.FRAMES`, or an astropy frame.
        contrast: how far the mean proper motion of the stream is from that of the field, in units of 6.3 mas/yr: at 0
            it hides in the middle of the field, at 2 it stands nearly alone.
        dispersion: of the stream's proper motions along phi1, mas/yr; along phi2 it is 0.9 times that.
        phi1: both ends of the footprint along the stream, deg.
        width: standard deviation of the stream across its track, deg.
        half_height: of the footprint across the stream, deg.
        distance: of the stream, kpc.
        outliers: share of stars with proper motions anywhere within 30 mas/yr.
        magnitudes: brightest and faintest G; every magnitude has 1.66 times the stars of the one before.
        rng: seed or generator.

    Raises:
        DataError: numbers out of range, a frame that is no rotation of ICRS.

    Example:
        >>> from mixsci.stars.simulate import simulate_stream
        >>> made = simulate_stream(500, 0.1, rng=1)
        >>> made, made.mean.round(2), made.table["pmra"].unit
        (SimulatedStream(500 stars, 49 of them), array([-8. , -3.5]), Unit("mas / yr"))
    """
    n, rng = _whole(n), _generator(rng)
    mixture, track = _stream_mixture(fraction, outliers, contrast, dispersion), orientation(frame)
    back = replace(track, matrix=track.matrix.T, wrap=360.0)
    motions, labels = mixture.sample(n, rng=rng)
    population = np.array(POPULATIONS)[labels]
    lon, lat = _positions(population == "stream", phi1, width, half_height, rng)
    kpc, velocity = _distances(population, distance, rng), _radial_velocities(population, rng)
    ra, dec = back.position(lon, lat)
    pmra, pmdec = np.einsum("nab,nb->an", turn(lon, lat, back), motions)
    true = {"parallax": 1.0 / kpc, "pmra": pmra, "pmdec": pmdec, "radial_velocity": velocity}
    g_mag = _magnitudes(n, magnitudes, rng)
    table = _catalogue(ra, dec, true, g_mag, g_mag < _FAINTEST_VELOCITY, rng)
    table.meta.update(_where(track))
    own = {"population": population, "phi1": lon, "phi2": lat, "pm_phi1": motions[:, 0], "pm_phi2": motions[:, 1]}
    return SimulatedStream(table, _table(own | {"distance": kpc} | true), track.frame, mixture)


def simulate_disc(
    n: int = 10_000,
    *,
    mixture: Mixture = NEIGHBOURHOOD,
    without_velocity: float = 0.95,
    distances_pc: tuple[float, float] = (50.0, 300.0),
    rng: Any = None,
) -> SimulatedDisc:
    """Stars around the Sun, all over the sky, with three-dimensional velocities from a mixture.

    Args:
        n: number of stars.
        mixture: of (U, V, W) in km/s; the default is a disc and four moving groups.
        without_velocity: share of the stars without a radial velocity; the brightest have one.
        distances_pc: nearest and farthest, pc; the stars fill the space between evenly.
        rng: seed or generator.

    Raises:
        DataError: numbers out of range, a mixture that is not one of three dimensions.

    Example:
        >>> from mixsci.stars.simulate import simulate_disc
        >>> made = simulate_disc(200, rng=1)
        >>> made, int((~made.table["radial_velocity"].mask).sum())
        (SimulatedDisc(200 stars, 6 components), 10)
    """
    n, rng = _whole(n), _generator(rng)
    missing = _number(without_velocity, "without_velocity", 0.0, 1.0)
    near, far = _pair(distances_pc, "distances_pc", 1.0, 1e5)
    if not isinstance(mixture, Mixture) or mixture.n_dims != 3:
        raise DataError(f"mixture must be a Mixture of (U, V, W), three dimensions; got {mixture!r:.80}")
    points, labels = mixture.sample(n, rng=rng)
    kpc = np.cbrt(rng.uniform(near**3, far**3, n)) / 1000.0
    ra, dec = rng.uniform(0.0, 360.0, n), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    velocity = np.einsum("nai,ni->na", tangent_basis(ra, dec), points @ orientation("galactic").matrix)
    pmra, pmdec = velocity[:, 1:].T / (AU_PER_YEAR * kpc)
    true = {"parallax": 1.0 / kpc, "pmra": pmra, "pmdec": pmdec, "radial_velocity": velocity[:, 0]}
    g_mag = _magnitudes(n, _NEAR_MAGNITUDES, rng)
    brightest = np.zeros(n, dtype=bool)
    brightest[np.argsort(g_mag, kind="stable")[: n - round(missing * n)]] = True
    own = {"component": labels, "U": points[:, 0], "V": points[:, 1], "W": points[:, 2], "distance": kpc}
    return SimulatedDisc(_catalogue(ra, dec, true, g_mag, brightest, rng), _table(own | true), mixture)


def small_catalogue(rng: Any = 1) -> SimulatedStream:
    """A stream of 8 % in 1,200 stars, its numbers rounded as a paper prints them: the catalogue in data/.

    Args:
        rng: seed or generator.

    Example:
        >>> from mixsci.stars.simulate import small_catalogue
        >>> small_catalogue(rng=1)
        SimulatedStream(1200 stars, 88 of them)
    """
    made = simulate_stream(1200, 0.08, rng=rng)
    for name, decimals in _DECIMALS.items():
        made.table[name] = _rounded(made.table[name], decimals)
    return made


# --- the stream ------------------------------------------------------------------------------------------------------


def _stream_mixture(fraction: float, outliers: float, contrast: float, dispersion: float) -> Mixture:
    """Proper motions (mas/yr, in the frame) of stream, disc and halo, with outliers in a box."""
    share = _number(fraction, "fraction", 0.0, 1.0)
    uniform = _number(outliers, "outliers", 0.0, 0.99)
    if share + uniform > 1.0:
        raise DataError(f"fraction and outliers must be at most 1 together; got {share:g} and {uniform:g}")
    apart = _number(contrast, "contrast", 0.0, _MOST_CONTRAST)
    sigma = _number(dispersion, "dispersion", 0.0, 5.0)
    # The weights of a mixture share out what its background leaves.
    inside = min(share / (1.0 - uniform), 1.0)
    weights = [inside, (1.0 - inside) * _DISC_SHARE, (1.0 - inside) * (1.0 - _DISC_SHARE)]
    middle = _DISC_SHARE * _FIELD_MEANS[0] + (1.0 - _DISC_SHARE) * _FIELD_MEANS[1]
    means = np.vstack([middle + apart * _OFFSET, _FIELD_MEANS])
    covariances = np.concatenate([sigma**2 * _SHAPE[None], _FIELD_COVARIANCES])
    box = UniformBackground([-_BOX, -_BOX], [_BOX, _BOX], weight=uniform, fixed=True)
    return Mixture(weights, means, covariances, background=box)


def _where(frame: Orientation) -> dict[str, float]:
    """Where in ICRS (deg) the north pole and the zero point of a frame lie."""
    back = replace(frame, matrix=frame.matrix.T, wrap=360.0)
    (pole_ra, zero_ra), (pole_dec, zero_dec) = back.position(np.zeros(2), np.array([90.0, 0.0]))
    found = {"pole_ra": pole_ra, "pole_dec": pole_dec, "zero_ra": zero_ra, "zero_dec": zero_dec}
    return {name: round(float(angle), 6) for name, angle in found.items()}


def _positions(
    stream: Array, phi1: Any, width: float, half_height: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """(n,) along and across the track, deg; across it normal where `stream` (n,), elsewhere even over the sky."""
    from scipy.special import ndtr, ndtri

    half = _number(half_height, "half_height", 0.01, 80.0)
    sigma = _number(width, "width", 1e-6, half)
    along, u = rng.uniform(*_pair(phi1, "phi1", -180.0, 180.0), len(stream)), rng.random(len(stream))
    even = np.degrees(np.arcsin(np.sin(np.radians(half)) * (2.0 * u - 1.0)))
    low = ndtr(-half / sigma)
    return along, np.where(stream, sigma * ndtri(low + (1.0 - 2.0 * low) * u), even)


def _distances(population: Array, stream: float, rng: np.random.Generator) -> Array:
    """(n,) kpc: log-normal in each population."""
    known = {"stream": (_number(stream, "distance", 0.05, 200.0), _STREAM_DEPTH), **_DISTANCES}
    middle, spread = (np.array([known[name][i] for name in POPULATIONS]) for i in (0, 1))
    k = _numbered(population)
    return middle[k] * np.exp(spread[k] * rng.standard_normal(len(k)))


def _radial_velocities(population: Array, rng: np.random.Generator) -> Array:
    """(n,) km/s: normal in each population."""
    middle, spread = (np.array([_VELOCITIES[name][i] for name in POPULATIONS]) for i in (0, 1))
    k = _numbered(population)
    return middle[k] + spread[k] * rng.standard_normal(len(k))


def _numbered(population: Array) -> Array:
    """(n,) place of each star's population in `POPULATIONS`."""
    return np.argmax(population[:, None] == np.array(POPULATIONS), axis=1)


# --- what a survey makes of it ---------------------------------------------------------------------------------------


def _catalogue(
    ra: Array, dec: Array, true: Mapping[str, Array], g_mag: Array, has_velocity: Array, rng: np.random.Generator
) -> QTable:
    """The stars as Gaia DR3 lists them, velocities masked where there is none; positions are exact to their errors."""
    from astropy.utils.masked import Masked

    errors, correlations = _errors(g_mag, rng), _correlations(len(g_mag), rng)
    noise = dict(zip(("parallax", "pmra", "pmdec"), _correlated(correlations, rng), strict=True))
    noise["radial_velocity"] = rng.standard_normal(len(g_mag))
    columns: dict[str, Any] = {
        "source_id": _FIRST_ID + _ID_STEP * np.arange(len(g_mag), dtype=np.int64),
        "ra": ra,
        "ra_error": errors["ra"],
        "dec": dec,
        "dec_error": errors["dec"],
    }
    for name in MEASURED:
        columns[name] = true[name] + errors[name] * noise[name]
        columns[f"{name}_error"] = errors[name]
    for name in ("radial_velocity", "radial_velocity_error"):
        columns[name] = Masked(columns[name], mask=~has_velocity)
    columns |= correlations
    columns |= {"phot_g_mean_mag": g_mag, "ruwe": _ruwe(len(g_mag), rng)}
    return _table(columns)


def _errors(g_mag: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Standard errors (n,) at magnitudes (n,): mas, mas/yr and km/s."""
    n, z = len(g_mag), 10.0 ** (0.4 * (np.maximum(g_mag, 13.0) - 15.0))
    of_star = _ERROR_MEDIAN * np.exp(_ERROR_SPREAD * rng.standard_normal(n))
    parallax = np.sqrt(40.0 + 800.0 * z + 30.0 * z**2) / 1000.0 * of_star
    errors = {
        name: factor * parallax * np.exp(_OWN_SPREAD * rng.standard_normal(n))
        for name, factor in _OF_PARALLAX_ERROR.items()
    }
    velocity = 0.12 + 6.0 * np.exp(0.9 * (g_mag - 14.7))
    errors["radial_velocity"] = _VELOCITY_MEDIAN * velocity * np.exp(_VELOCITY_SPREAD * rng.standard_normal(n))
    return errors


def _correlations(n: int, rng: np.random.Generator) -> dict[str, Array]:
    """Correlations (n,) of the errors of parallax and proper motion; partial ones are uniform, so that all fit."""
    first, second, partial = rng.uniform(-_PARTIAL_CORRELATION, _PARTIAL_CORRELATION, (3, n))
    third = first * second + partial * np.sqrt((1.0 - first**2) * (1.0 - second**2))
    return {"parallax_pmra_corr": first, "parallax_pmdec_corr": second, "pmra_pmdec_corr": third}


def _correlated(correlations: Mapping[str, Array], rng: np.random.Generator) -> Array:
    """(3, n) standard normal numbers with the correlations (n,) of parallax, pmra and pmdec."""
    first, second, third = correlations.values()
    z = rng.standard_normal((3, len(first)))
    rest = np.sqrt(1.0 - first**2)
    slope = (third - first * second) / rest
    last = np.sqrt(1.0 - second**2 - slope**2)
    return np.stack([z[0], first * z[0] + rest * z[1], second * z[0] + slope * z[1] + last * z[2]])


def _ruwe(n: int, rng: np.random.Generator) -> Array:
    """(n,) near 1, and far above it for one star in twenty."""
    bad = rng.random(n) < 0.05
    return 1.02 + 0.06 * rng.standard_normal(n) + np.where(bad, rng.exponential(0.6, n), 0.0)


def _magnitudes(n: int, limits: Any, rng: np.random.Generator) -> Array:
    """(n,) G magnitudes, more of them the fainter they are."""
    low, high = (10.0 ** (_COUNTS_SLOPE * limit) for limit in _pair(limits, "magnitudes", 3.0, 21.0))
    return np.log10(rng.uniform(low, high, n)) / _COUNTS_SLOPE


def _table(columns: Mapping[str, Any]) -> QTable:
    """Columns with their units."""
    from astropy import units as u
    from astropy.table import QTable

    made = QTable()
    for name, values in columns.items():
        unit = _UNITS.get(name)
        made[name] = values if unit is None else values * u.Unit(unit)
    return made


def _rounded(column: Any, decimals: int) -> Any:
    from astropy.utils.masked import Masked

    # Rounding a masked column as a whole would lose its mask.
    masked = isinstance(column, Masked)
    return Masked(column.unmasked.round(decimals), mask=column.mask) if masked else column.round(decimals)


def _write(table: QTable, last: Any, path: str | Path) -> Path:
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"the name of the file must end in {', '.join(_FORMATS)}; got {path.name}")
    table = table.copy()
    table[last.info.name] = last
    table.write(path, format=kind, overwrite=True)
    return path


# --- arguments -------------------------------------------------------------------------------------------------------


def _whole(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n must be a whole number of stars, 1 or more; got {n!r:.80}")
    return int(n)


def _number(value: Any, name: str, low: float, high: float) -> float:
    found = as_number(value, name)
    if not low <= found <= high:
        raise DataError(f"{name} must be from {low:g} to {high:g}; got {found:g}")
    return found


def _pair(values: Any, name: str, low: float, high: float) -> tuple[float, float]:
    found = as_numbers(values, name).values
    if found.shape != (2,) or not low <= found[0] < found[1] <= high:
        raise DataError(f"{name} must be two numbers, the lower first, from {low:g} to {high:g}; got {values!r:.80}")
    return float(found[0]), float(found[1])


def _generator(rng: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise DataError(f"rng must be a whole number from 0 on, or a numpy generator; got {rng!r:.80}") from None
