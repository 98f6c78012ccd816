"""Columns of any table are found by their meaning and come out as the same numbers, whatever held them."""

import re

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from mixsci.errors import DataError
from mixsci.stars.catalogue import PAIRS, ROLES, UNITS, as_catalogue, column, row_count

NAN = np.nan
TRUTH = {
    "ra": np.array([10.0, 20.5, 359.25, 0.0]),
    "dec": np.array([-90.0, 0.0, 45.5, 90.0]),
    "parallax": np.array([1.5, -0.25, NAN, 3.0]),
    "parallax_error": np.array([0.125, 0.25, NAN, 0.5]),
    "pmra": np.array([-3.5, 2.0, 1.0, NAN]),
    "pmdec": np.array([0.5, -1.0, 4.0, NAN]),
    "radial_velocity": np.array([NAN, 12.5, NAN, NAN]),
    "parallax_pmra_corr": np.array([0.5, -0.25, 1.0, NAN]),
}
IDS = np.array([4267180339403392768, 2, 3, 2**60 + 1])
UNITS_OF_COLUMNS = {
    **{name: UNITS[name] for name in TRUTH if name in UNITS},
    "parallax_error": "mas",
    "parallax_pmra_corr": "",
}


def masked(values):
    return np.ma.MaskedArray(np.where(np.isnan(values), -999.0, values), np.isnan(values))


def records(order="="):
    table = np.empty(4, dtype=[("SOURCE_ID", f"{order}i8"), *((name, f"{order}f8") for name in TRUTH)])
    table["SOURCE_ID"] = IDS
    for name, values in TRUTH.items():
        table[name] = values
    return table


def fits_records():
    columns = [fits.Column("source_id", "K", array=IDS)]
    columns += [fits.Column(name, "D", array=values, unit=UNITS_OF_COLUMNS[name]) for name, values in TRUTH.items()]
    return fits.BinTableHDU.from_columns(columns).data


def nullable(name):
    return pd.Series([None if np.isnan(v) else v for v in TRUTH[name]], dtype="Float64")


def in_objects(values):
    return np.array([None if np.isnan(v) else float(v) for v in values], dtype=object)


def quantity(name):
    return TRUTH[name] * u.Unit(UNITS_OF_COLUMNS[name])


def arrow():
    pa = pytest.importorskip("pyarrow")
    listed = {name: [None if np.isnan(v) else v for v in values] for name, values in TRUTH.items()}
    return pa.table({"source_id": IDS, **listed})


TABLES = {
    "Table": lambda: Table({"source_id": IDS, **TRUTH}),
    "Table, masked": lambda: Table({"source_id": IDS, **{name: masked(v) for name, v in TRUTH.items()}}),
    "Table, infinite": lambda: Table(
        {"source_id": IDS, **{n: np.where(np.isnan(v), np.inf, v) for n, v in TRUTH.items()}}
    ),
    "Table, minus infinity": lambda: Table(
        {"source_id": IDS, **{n: np.nan_to_num(v, nan=-np.inf) for n, v in TRUTH.items()}}
    ),
    "Table, objects": lambda: Table({"source_id": IDS, **{name: in_objects(v) for name, v in TRUTH.items()}}),
    "QTable": lambda: QTable({"source_id": IDS, **{name: quantity(name) for name in TRUTH}}),
    "QTable, masked": lambda: QTable(
        {"source_id": IDS, **{n: Masked(quantity(n), np.isnan(v)) for n, v in TRUTH.items()}}
    ),
    "DataFrame": lambda: pd.DataFrame({"source_id": IDS, **TRUTH}),
    "DataFrame, nullable": lambda: pd.DataFrame(
        {"source_id": pd.array(IDS), **{name: nullable(name) for name in TRUTH}}
    ),
    "DataFrame, objects": lambda: pd.DataFrame(
        {"source_id": IDS, **{name: in_objects(v) for name, v in TRUTH.items()}}
    ),
    "DataFrame, indexed": lambda: pd.DataFrame({"source_id": IDS, **TRUTH}).set_index("source_id"),
    "structured array": records,
    "structured array, big-endian": lambda: records(">"),
    "structured array, masked": lambda: np.ma.array(
        records(), mask=[(False, *(np.isnan(v[i]) for v in TRUTH.values())) for i in range(4)]
    ),
    "recarray": lambda: records().view(np.recarray),
    "records of FITS": fits_records,
    "mapping of arrays": lambda: {"source_id": IDS, **TRUTH},
    "mapping of lists": lambda: {"source_id": list(IDS), **{name: list(in_objects(v)) for name, v in TRUTH.items()}},
    "mapping of quantities": lambda: {"source_id": IDS, **{name: quantity(name) for name in TRUTH}},
    "mapping of Series": lambda: {"source_id": pd.Series(IDS), **{name: nullable(name) for name in TRUTH}},
    "arrow": arrow,
    "DataFrame, arrow": lambda: arrow().to_pandas(types_mapper=pd.ArrowDtype),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table_gives_the_same_numbers(kind):
    stars = as_catalogue(TABLES[kind]())
    assert stars.n_rows == len(stars) == row_count(TABLES[kind]()) == 4
    assert set(stars.values) == {name for name in TRUTH if name in ROLES}
    for role, values in stars.values.items():
        assert values.dtype == np.float64 and values.dtype.isnative
        np.testing.assert_array_equal(values, TRUTH[role])
    np.testing.assert_array_equal(stars.errors["parallax"], TRUTH["parallax_error"])
    np.testing.assert_array_equal(stars.correlations["parallax", "pmra"], TRUTH["parallax_pmra_corr"])
    assert stars.ids.tolist() == IDS.tolist() and stars.ids.dtype.isnative


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_left_as_they_were(kind):
    table = TABLES[kind]()
    stars = as_catalogue(table)
    for role in stars.values:
        stars.values[role][:] = 7.0
    np.testing.assert_array_equal(as_catalogue(table).values["pmra"], TRUTH["pmra"])


def test_whole_numbers_beside_nulls_keep_their_digits():
    frame = pd.DataFrame({"source_id": pd.array([2**60 + 1, None], dtype="Int64"), "ra": [1.0, 2.0]})
    assert as_catalogue(frame).ids.tolist() == [2**60 + 1, None]
    table = Table({"source_id": MaskedColumn([2**60 + 1, 5], mask=[False, True]), "ra": [1.0, 2.0]})
    assert as_catalogue(table).ids.tolist() == [2**60 + 1, None]
    table = Table({"HIP": [b"HIP 1", b"HIP 2"], "ra": [1.0, 2.0]})
    assert as_catalogue(table).ids.tolist() == ["HIP 1", "HIP 2"]
    assert as_catalogue({"ra": [1.0]}).ids is None


# --- units -----------------------------------------------------------------------------------------------------------

CONVERSIONS = [
    *(("ra", unit) for unit in ("rad", "hourangle", "arcmin")),
    *(("parallax", unit) for unit in ("arcsec", "uas", "deg")),
    *(("pmra", unit) for unit in ("deg / yr", "rad / s", "arcsec / kyr", "uas / d")),
    *(("radial_velocity", unit) for unit in ("cm / s", "pc / Myr", "AU / yr")),
    *(("distance", unit) for unit in ("pc", "lyr", "m")),
    ("ruwe", "percent"),
]


@pytest.mark.parametrize(("role", "unit"), CONVERSIONS)
def test_units_are_converted(role, unit):
    values = np.array([1.0, 2.5, np.nan])
    expected = (values * u.Unit(unit)).to_value(UNITS[role])
    for table in (QTable({role: values * u.Unit(unit)}), Table({role: values}, units={role: unit})):
        np.testing.assert_allclose(as_catalogue(table).values[role], expected, rtol=1e-15)
    if role != "ruwe":
        errors = as_catalogue(QTable({f"e_{role}": values * u.Unit(unit)})).errors[role]
        np.testing.assert_allclose(errors, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("role", "text"),
    [
        *(("pmra", text) for text in ("mas.yr**-1", "mas/yr", "mas yr-1", "mas.yr-1", "'mas'.yr**-1")),
        ("ra", "Angle[deg]"),
    ],
)
def test_units_are_read_as_archives_write_them(role, text):
    table = Table({role: [1.0, 2.0]})
    table[role].unit = u.Unit(text, parse_strict="silent")
    np.testing.assert_array_equal(as_catalogue(table).values[role], [1.0, 2.0])


def test_errors_of_places_are_in_mas_where_no_unit_is_given():
    stars = as_catalogue({"ra": [1.0], "ra_error": [3.6], "e_dec": [7.2] * u.arcsec, "dec": [2.0]})
    np.testing.assert_allclose(stars.errors["ra"], 3.6 / 3.6e6, rtol=1e-15)
    np.testing.assert_allclose(stars.errors["dec"], 7.2 / 3600, rtol=1e-15)


def test_a_distance_without_a_unit_is_taken_in_kpc_and_that_is_said():
    bare, said = as_catalogue({"dist": [8.0]}), as_catalogue(QTable({"dist": [8000.0] * u.pc}))
    assert bare.values["distance"] == said.values["distance"] == 8.0
    assert bare.notes("distance") == ("column dist has no unit: taken to be in kpc",)
    assert said.notes("distance") == () == bare.notes("parallax")


@pytest.mark.parametrize(
    ("role", "unit"),
    [
        ("parallax", "kpc"),  # a distance is no parallax
        ("distance", "mas"),
        ("pmra", "km / s"),
        ("pmdec", "1 / yr"),
        ("radial_velocity", "mas / yr"),
        ("ra", "km"),
        ("ruwe", "deg"),
        ("parallax", "mag"),
        ("radial_velocity", "dex(km / s)"),
        ("pmra", "furlongs"),
    ],
)
def test_a_unit_of_another_kind_is_refused(role, unit):
    table = Table({role: [1.0]})
    table[role].unit = u.Unit(unit, parse_strict="silent")
    with pytest.raises(
        DataError, match=f"column '{role}' must be in {UNITS[role] or 'no unit'}.*{re.escape(repr(unit))}"
    ):
        _ = as_catalogue(table).values[role]


def test_a_unit_that_a_reader_did_not_know_is_not_forgotten():
    table = Table({"pmra": [1.0]})
    table["pmra"].meta["unit"] = "furlongs"
    with pytest.raises(DataError, match="'furlongs'"):
        _ = as_catalogue(table).values["pmra"]


# --- names -----------------------------------------------------------------------------------------------------------

GAIA = ("ra", "dec", "parallax", "pmra", "pmdec", "radial_velocity")
# Column of the catalogue : what it is; "-" is nothing to us.
FAMILIES = {
    "Gaia DR3": " ".join(
        ["source_id:id ruwe:ruwe parallax_over_error:-"]
        + [f"{role}:{role} {role}_error:{role}_error" for role in GAIA]
        + [f"{a}_{b}_corr:{a}_{b}_corr" for a, b in PAIRS]
    ),
    "Gaia DR2 beside DR3": "dr3_source_id:id radial_velocity:radial_velocity dr2_radial_velocity:- "
    "dr2_radial_velocity_error:-",
    "Gaia DR2": "SOURCE_ID:id dr2_radial_velocity:radial_velocity dr2_radial_velocity_error:radial_velocity_error",
    "SkyCoord": "ra:ra dec:dec distance:distance pm_ra_cosdec:pmra pm_dec:pmdec radial_velocity:radial_velocity "
    "pm_ra_cosdec_error:pmra_error pm_dec_error:pmdec_error",
    "VizieR, Gaia": "RA_ICRS:ra e_RA_ICRS:ra_error DE_ICRS:dec e_DE_ICRS:dec_error Source:id Plx:parallax "
    "e_Plx:parallax_error PM:- pmRA:pmra e_pmRA:pmra_error pmDE:pmdec e_pmDE:pmdec_error RUWE:ruwe RV:radial_velocity "
    "e_RV:radial_velocity_error RADEcor:ra_dec_corr RAPlxcor:ra_parallax_corr RApmRAcor:ra_pmra_corr "
    "RApmDEcor:ra_pmdec_corr DEPlxcor:dec_parallax_corr DEpmRAcor:dec_pmra_corr DEpmDEcor:dec_pmdec_corr "
    "PlxpmRAcor:parallax_pmra_corr PlxpmDEcor:parallax_pmdec_corr pmRApmDEcor:pmra_pmdec_corr RAJ2000:- DEJ2000:-",
    "VizieR, Hipparcos": "HIP:id RAJ2000:ra DEJ2000:dec _RAJ2000:- Plx:parallax e_Plx:parallax_error pmRA:pmra "
    "pmDE:pmdec e_pmRA:pmra_error e_pmDE:pmdec_error",
    "Vasiliev": "ra:ra dec:dec parallax:parallax plxerr:parallax_error pmra:pmra pmraerr:pmra_error pmdec:pmdec "
    "pmdecerr:pmdec_error pmcorr:pmra_pmdec_corr dist:distance disterr:distance_error vlos:radial_velocity "
    "vloserr:radial_velocity_error",
    "forms of errors": "plx:parallax plx_err:parallax_error pmra:pmra sigma_pmra:pmra_error pmdec:pmdec "
    "err_pmdec:pmdec_error rv:radial_velocity rverror:radial_velocity_error corr_pmra_pmdec:pmra_pmdec_corr "
    "plx_pmra_corr:parallax_pmra_corr pmdec_plx_cor:parallax_pmdec_corr",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", [str, str.upper, str.lower])
def test_names_of_catalogues_are_recognised(family, case):
    names = dict(pair.split(":") for pair in FAMILIES[family].split())
    expected = {key: case(name) for name, key in names.items() if key != "-"}
    stars = as_catalogue({case(name): [0.5] for name in names})
    assert dict(stars.columns) == expected
    assert set(stars.values) == set(expected) & set(ROLES)
    assert {f"{role}_error" for role in stars.errors} == {key for key in expected if key.endswith("_error")}
    assert {f"{a}_{b}_corr" for a, b in stars.correlations} == {key for key in expected if key.endswith("_corr")}


def test_columns_win_over_known_names():
    table = {"pmra": [1.0], "pmra_error": [9.0], "my_pm": [2.0], "my_pm_err": [0.1], "n": [4], "pmra_pmdec_corr": [0.5]}
    table |= {"pmdec": [1.0], "pmdec_error": [1.0], "rho": [0.25]}
    stars = as_catalogue(table, columns={"pmra": "my_pm", "id": "n"})
    assert stars.values["pmra"] == 2.0 and stars.errors["pmra"] == 0.1 and stars.ids.tolist() == [4]
    assert ("pmra", "pmdec") not in stars.correlations, "the correlation belongs to the other column"
    stars = as_catalogue(table, columns={"pmra": "my_pm", "pmra_error": "pmra_error", "pmdec_pmra_corr": "rho"})
    assert (
        stars.errors["pmra"] == 9.0 and stars.correlation("pmra", "pmdec") == stars.correlation("pmdec", "pmra") == 0.25
    )
    stars = as_catalogue(table, columns={"pmra": "my_pm", "pmra_error": "pmra_error"})
    assert stars.correlation("pmra", "pmdec") == 0.5, "with Gaia's error comes Gaia's correlation"


def test_an_error_is_never_that_of_another_column():
    table = {"parallax": [1.0], "parallax_error": [0.5], "parallax_corrected": [1.1]}
    assert "parallax" not in as_catalogue(table, columns={"parallax": "parallax_corrected"}).errors
    assert "parallax" not in as_catalogue({"parallax": [1.0], "plx": [2.0], "e_plx": [0.1]}).errors
    assert as_catalogue({"parallax": [1.0], "e_plx": [0.1]}).errors["parallax"] == 0.1


def test_gaias_name_wins_and_other_rivals_are_asked_about():
    assert as_catalogue({"RV": [1.0], "radial_velocity": [2.0]}).values["radial_velocity"] == 2.0
    assert as_catalogue({"RA": [1.0], "ra": [2.0]}).values["ra"] == 2.0
    table = {"RV": [1.0], "vlos": [2.0]}
    with pytest.raises(
        DataError, match="one column must be radial_velocity; RV, vlos could be it: choose with columns="
    ):
        as_catalogue(table)
    assert as_catalogue(table, columns={"radial_velocity": "vlos"}).values["radial_velocity"] == 2.0
    with pytest.raises(DataError, match="one column must be parallax_error; plx_err, plxerr could be it"):
        as_catalogue({"plx": [1.0], "plxerr": [1.0], "plx_err": [1.0]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pm_ra": "a"}, "columns may name ra, dec, .* or id; got pm_ra"),
        ({"pmra": "b"}, "the table has no column 'b'; it has a, pmdec"),
        ({"pmra": ["a"]}, r"name of one column; pmra is \['a'\]"),
        ({"pmra": "a", "pmdec": "a"}, "another column for each role; a stands twice"),
        ({"pmra_pmdec_corr": "a", "pmdec_pmra_corr": "pmdec"}, "each correlation once"),
        (["a"], "columns must map roles to names.*got list"),
        ({"ruwe_error": "a"}, "got ruwe_error"),
    ],
)
def test_columns_are_checked(columns, message):
    with pytest.raises(DataError, match=message):
        as_catalogue({"a": [1.0], "pmdec": [2.0]}, columns=columns)


def test_what_a_catalogue_lacks_is_said_with_the_way_out():
    stars = as_catalogue({"plx": [1.0], "e_plx": [0.1], "mu": [2.0]})
    stars.require("parallax", why="space 'pm'")
    as_catalogue({"ra": [1.0]}).require("ra", errors=False)
    with pytest.raises(
        DataError,
        match=r"space 'pm' needs the columns pmra, pmra_error, .*it has plx, e_plx, mu: name yours with "
        r"columns=\{'pmra': \.\.\., 'pmra_error': \.\.\.\}",
    ):
        stars.require("parallax", "pmra", why="space 'pm'")


# --- SkyCoord --------------------------------------------------------------------------------------------------------

PLACES = {"ra": [10.0, 200.0, 300.0] * u.deg, "dec": [5.0, -60.0, 80.0] * u.deg}
MOTIONS = {"pm_ra_cosdec": [1.0, 2.0, -3.0] * u.mas / u.yr, "pm_dec": [3.0, 4.0, 5.0] * u.mas / u.yr}
DISTANCE = {"distance": [1.0, 2.0, 3.0] * u.kpc}
VELOCITY = {"radial_velocity": [10.0, 20.0, -30.0] * u.km / u.s}
NAMES = {"pm_ra_cosdec": "pmra", "pm_dec": "pmdec"}


@pytest.mark.parametrize("frame", ["icrs", "galactic", "fk5"])
@pytest.mark.parametrize(
    "parts", [(), (MOTIONS,), (DISTANCE,), (MOTIONS, DISTANCE), (VELOCITY,), (MOTIONS, DISTANCE, VELOCITY)]
)
def test_a_skycoord_gives_what_it_holds_and_no_more(frame, parts):
    held = {name: values for part in ({**PLACES}, *parts) for name, values in part.items()}
    sky = SkyCoord(**held).transform_to(frame)
    for stars in (as_catalogue(sky), as_catalogue(QTable({"place": sky, "ruwe": [1.0, 1.0, 1.0]}))):
        assert set(stars.values) - {"ruwe"} == {NAMES.get(name, name) for name in held}
        for name, values in held.items():
            role = NAMES.get(name, name)
            np.testing.assert_allclose(stars.values[role], values.to_value(UNITS[role]), rtol=1e-12, atol=1e-11)


def test_gaps_in_a_skycoord_do_not_spread():
    """astropy turns proper motions by way of velocities in space, where one gap is a gap everywhere."""
    motions = {"pm_l_cosb": [1.0, 2.0] * u.mas / u.yr, "pm_b": [3.0, 4.0] * u.mas / u.yr}
    place = {"l": [10.0, 20.0] * u.deg, "b": [5.0, 6.0] * u.deg, "frame": "galactic"}
    gappy = {"distance": [1.0, np.nan] * u.kpc, "radial_velocity": [np.nan, 5.0] * u.km / u.s}
    stars, plain = as_catalogue(SkyCoord(**place, **motions, **gappy)), SkyCoord(**place, **motions).icrs
    np.testing.assert_allclose(stars.values["pmra"], plain.pm_ra_cosdec.value, rtol=1e-12)
    np.testing.assert_allclose(stars.values["pmdec"], plain.pm_dec.value, rtol=1e-12)
    np.testing.assert_array_equal(stars.values["distance"], [1.0, np.nan])
    np.testing.assert_array_equal(stars.values["radial_velocity"], [np.nan, 5.0])


def test_a_skycoord_in_a_frame_that_is_no_rotation_is_refused_and_beside_columns_left_alone():
    sky = SkyCoord(**PLACES, **DISTANCE).galactocentric
    with pytest.raises(DataError, match="must be in the frame icrs, fk5, galactic; got galactocentric"):
        as_catalogue(sky)
    assert set(as_catalogue(QTable({"ra": PLACES["ra"], "where": sky})).values) == {"ra"}
    with pytest.raises(DataError, match="one place per star"):
        as_catalogue(SkyCoord(1 * u.deg, 2 * u.deg))


# --- what the numbers must be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"pmra": ["a", "b"]}, "column 'pmra' must hold numbers; got 'a' in row 0"),
        ({"pmra": ["1.5", "2"]}, "must hold numbers; got '1.5' in row 0"),
        ({"pmra": [1.0, "b"]}, "must hold numbers; got"),
        ({"pmra": np.array([1.0, None, "b"], dtype=object)}, "got 'b' in row 2"),
        (pd.DataFrame({"pmra": [1, "b"]}), "got 'b' in row 1"),
        ({"pmra": [True, False]}, "it holds bool"),
        ({"pmra": np.array([1j, 2])}, "it holds complex128"),
        ({"pmra": np.array(["2020-01-01"], dtype="datetime64[ns]")}, "it holds datetime64"),
        (pd.DataFrame({"pmra": pd.to_datetime(["2020-01-01"])}), "it holds datetime64"),
        ({"pmra": np.array([10**400], dtype=object)}, "larger ones"),
        ({"pmra": np.ones((3, 2))}, r"one number per row, shape \(3,\); it has \(3, 2\)"),
        (Table({"pmra": np.ones((3, 2))}), r"it has \(3, 2\)"),
        ({"pmra": [[1.0], [2.0, 3.0]]}, "lists of different lengths"),
        ({"pmra": np.array([[1.0], [2.0, 3.0]], dtype=object)}, "must hold numbers"),
        ({"dec": [0.0, 90.5, -91.0]}, "column 'dec' must lie between -90 and 90 deg; got 90.5 in rows 1 and 2"),
        ({"ra": [-400.0]}, "between -360 and 360 deg; got -400 in row 0"),
        ({"ra": [1.0, 2.0] * u.km}, "column 'ra' must be in deg"),
    ],
)
def test_values_that_are_no_numbers_of_that_kind_are_refused(table, message):
    stars = as_catalogue(table)
    with pytest.raises(DataError, match=message) as refusal:
        _ = [stars.values[role] for role in stars.values]
    assert_one_sentence(refusal)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "at least one row"),
        (Table(), "at least one row"),
        (Table(names=["ra", "dec"]), "at least one row"),
        (pd.DataFrame({"ra": []}), "at least one row"),
        (np.empty(0, dtype=[("ra", "f8")]), "at least one row"),
        (pd.DataFrame([[1.0, 2.0, 3.0]], columns=["ra", "ra", "dec"]), "names of their own; ra stands twice"),
        ({"ra": [1.0, 2.0], "dec": [1.0]}, "columns must be of one length; got ra: 2, dec: 1"),
        ({"ra": 1.0, "dec": [1.0]}, "ra is none"),
        ({"ra": "abc"}, "ra is none"),
        (np.ones((3, 2)), "the table must be an astropy Table .* got numpy.ndarray"),
        ([[1.0, 2.0]], "got list"),
        ("gaia.fits", "got str: read it with mixsci.stars.read"),
        (None, "got NoneType"),
        (np.empty((2, 2), dtype=[("ra", "f8")]), r"a structured array must have shape \(n,\); got \(2, 2\)"),
    ],
)
def test_what_is_no_table_of_stars_is_refused(table, message):
    with pytest.raises(DataError, match=message) as refusal:
        as_catalogue(table)
    assert_one_sentence(refusal)


@pytest.mark.parametrize(
    ("table", "attribute", "message"),
    [
        (
            {"e_plx": [0.1, -0.5, -1.0]},
            "errors",
            "column 'e_plx' must hold errors that are not negative; got -0.5 in rows 1 and 2",
        ),
        ({"pmra_pmdec_corr": [0.0, 1.5]}, "correlations", "between -1 and 1; got 1.5 in row 1"),
        ({"pmra_pmdec_corr": [0.0, 50.0] * u.deg}, "correlations", "must be in no unit"),
        ({"pmra_error": ["a"]}, "errors", "must hold numbers"),
    ],
)
def test_errors_and_correlations_are_checked(table, attribute, message):
    held = getattr(as_catalogue(table), attribute)
    with pytest.raises(DataError, match=message) as refusal:
        _ = [held[key] for key in held]
    assert_one_sentence(refusal)


def assert_one_sentence(refusal):
    assert "\n" not in str(refusal.value) and ". " not in str(refusal.value)


def test_a_correlation_in_percent_is_converted():
    stars = as_catalogue(QTable({"pmRApmDEcor": [50.0, -100.0] * u.percent}))
    np.testing.assert_allclose(stars.correlation("pmdec", "pmra"), [0.5, -1.0], rtol=1e-15)


def test_a_column_without_any_value_is_all_gaps():
    empty = Table({"rv": MaskedColumn(["", ""], mask=[True, True]), "plx": MaskedColumn([1, 2], mask=[True, True])})
    stars = as_catalogue(empty)
    assert np.isnan(stars.values["radial_velocity"]).all() and np.isnan(stars.values["parallax"]).all()


def test_columns_that_nobody_asks_for_may_hold_anything():
    stars = as_catalogue({"pmra": [1.0], "dist": ["far"], "RV": [True], "ruwe_flag": [None], "e_pmRA": ["small"]})
    np.testing.assert_array_equal(stars.values["pmra"], [1.0])
    assert "radial_velocity" in stars.values and len(stars.values) == 3
    with pytest.raises(DataError, match="'far'"):
        _ = stars.values["distance"]
    with pytest.raises(KeyError):
        _ = stars.values["parallax"]


def test_correlations_without_a_value_are_nought_and_that_is_said():
    gaia = {f"{role}_error": [0.1, 0.1, np.nan] for role in ("parallax", "pmra", "pmdec")}
    gaia |= {"parallax": [1.0, 1.0, 1.0], "pmra": [1.0, 1.0, 1.0], "pmdec": [1.0, 1.0, 1.0]}
    stars = as_catalogue(gaia | {"pmra_pmdec_corr": [0.5, np.nan, np.nan]})
    np.testing.assert_array_equal(stars.correlation("pmdec", "pmra"), [0.5, 0.0, 0.0])
    np.testing.assert_array_equal(stars.correlation("pmra", "parallax"), [0.0, 0.0, 0.0])
    assert stars.notes("pmra", "pmdec") == ("column pmra_pmdec_corr is blank in row 1: 0 taken there",)
    assert stars.notes("parallax", "pmra") == (
        "the table has no column parallax_pmra_corr: errors taken as uncorrelated",
    )
    assert stars.notes("pmra") == ()
    with pytest.raises(DataError, match="between two of ra, dec, parallax, pmra, pmdec; got pmra and ruwe"):
        stars.correlation("pmra", "ruwe")


def test_proper_motions_of_exactly_nought_are_found():
    stars = as_catalogue({"pmra": [0.0, 0.0, 1.0, np.nan], "pmdec": [0.0, 2.0, 0.0, 0.0]})
    assert stars.zero_motions.tolist() == [True, False, False, False]
    assert as_catalogue({"pmra": [0.0]}).zero_motions.tolist() == [False]


@pytest.mark.parametrize("rows", [slice(1, 3), [3, 0], np.array([False, True, True, False])])
def test_some_rows_are_those_rows(rows):
    stars = as_catalogue(TABLES["Table, masked"]())
    some = stars.take(rows)
    assert some.n_rows == len(IDS[rows]) and some.ids.tolist() == IDS[rows].tolist()
    for role in stars.values:
        np.testing.assert_array_equal(some.values[role], TRUTH[role][rows])
    np.testing.assert_array_equal(some.errors["parallax"], TRUTH["parallax_error"][rows])
    np.testing.assert_array_equal(
        some.take([1]).correlation("parallax", "pmra"), stars.correlation("parallax", "pmra")[rows][1:2]
    )


@pytest.mark.parametrize("kind", TABLES)
def test_one_column_of_any_table(kind):
    np.testing.assert_array_equal(column(TABLES[kind](), "pmdec", "mas / yr"), TRUTH["pmdec"])
    with pytest.raises(DataError, match="the table has no column 'vl'; it has"):
        column(TABLES[kind](), "vl", "km / s")


def test_one_column_in_another_unit():
    np.testing.assert_allclose(column(Table({"v": [1.0]}, units=["m / s"]), "v", "km / s"), [0.001], rtol=1e-15)
    assert row_count({}) == 0
    with pytest.raises(DataError, match="'c' must be in km2 / s2"):
        column(Table({"c": [1.0]}, units=["km / s"]), "c", "km2 / s2")


# --- real catalogues -------------------------------------------------------------------------------------------------


def test_gaia(real_data):
    stars = as_catalogue(fits.getdata(real_data / "stars" / "gaia_dr3_random1000.fits"))
    assert stars.n_rows == 1000 and stars.columns["id"] == "source_id"
    assert set(stars.values) == set(ROLES) - {"distance"} and len(stars.correlations) == 10
    assert set(stars.errors) == set(ROLES) - {"distance", "ruwe"}
    assert np.isfinite(stars.values["radial_velocity"]).sum() == 24
    assert (stars.values["parallax"] / stars.errors["parallax"] > 10).sum() == 65
    assert stars.notes(*ROLES) == (), "Gaia gives every correlation of what it measured"


def test_sagittarius(real_data):
    stars = as_catalogue(pd.read_csv(real_data / "stars" / "sagittarius_vasiliev2020_subset.csv"))
    found = {"parallax_error": "plxerr", "distance": "dist", "distance_error": "disterr", "radial_velocity": "vlos"}
    assert found.items() <= stars.columns.items() and stars.columns["radial_velocity_error"] == "vloserr"
    assert set(stars.values) == set(ROLES) - {"ruwe"} and set(stars.errors) == set(stars.values) - {"ra", "dec"}
    measured = np.isfinite(stars.values["radial_velocity"])
    assert measured.sum() == 98 and np.isnan(stars.errors["radial_velocity"][measured]).sum() == 23


def test_hipparcos(real_data):
    stars = as_catalogue(fits.getdata(real_data / "stars" / "hipparcos_db98.fits"))
    assert set(stars.values) == {"ra", "dec", "parallax", "pmra", "pmdec"} and not stars.errors
    assert stars.columns["parallax"] == "plx" and stars.columns["id"] == "hip" and stars.n_rows == 11865
