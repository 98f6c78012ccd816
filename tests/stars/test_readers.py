"""Catalogues come back from files as they went in, whole or in blocks, and damaged files are told in one sentence."""

import gzip
import sys
import warnings

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from mixsci.errors import DataError, FormatError
from mixsci.stars.catalogue import as_catalogue
from mixsci.stars.columns import read_unit
from mixsci.stars.readers import read, read_blocks

WITH_UNITS = [".fits", ".fit", ".fits.gz", ".vot", ".votable", ".xml", ".vot.gz", ".ecsv", ".ecsv.gz", ".parquet"]
TEXT = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".txt": " ", ".dat": " "}
FORMATS = {"fit": "fits", "vot": "votable", "xml": "votable", "ecs": "ascii.ecsv", "par": "parquet"}


def stars(n=5):
    rng = np.random.default_rng(3)
    gaps = np.arange(n) % 2 == 1
    return QTable(
        {
            "source_id": 4267180339403392768 + np.arange(n),
            "ra": rng.uniform(0, 360, n) * u.deg,
            "pmra": rng.normal(size=n) * u.mas / u.yr,
            "rv": Masked(rng.normal(size=n) * u.km / u.s, mask=gaps),
            "n": MaskedColumn(np.arange(n), mask=~gaps),
            "name": [f"star {i}" for i in range(n)],
        }
    )


def write(table, path):
    """The table in a file, as astropy writes it."""
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
    if path.name.endswith(("vot.gz", "ecsv.gz")):
        plain = path.with_suffix("")
        write(table, plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    else:
        table.write(path, format=FORMATS[path.name.partition(".")[2][:3]])
    return path


def same(a, b):
    assert a.colnames == b.colnames and len(a) == len(b)
    for name in a.colnames:
        assert getattr(a[name], "unit", None) == getattr(b[name], "unit", None), name
        gaps = [np.broadcast_to(getattr(column, "mask", False), len(a)) for column in (a[name], b[name])]
        np.testing.assert_array_equal(*gaps, err_msg=name)
        seen = [np.asarray(getattr(column, "unmasked", column))[~gaps[0]] for column in (a[name], b[name])]
        np.testing.assert_array_equal(*seen, err_msg=name)


# --- whole files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", WITH_UNITS)
def test_values_units_and_gaps_come_back(tmp_path, ending):
    table = read(write(stars(), tmp_path / f"t{ending}"))
    assert isinstance(table, QTable)
    same(table, stars())


@pytest.mark.parametrize("ending", TEXT)
def test_text_comes_back(tmp_path, ending):
    frame = pd.DataFrame({"source_id": [2**60 + 1, 2], "pmra": [1.5, np.nan], "name": ["a", "b"]})
    frame.to_csv(tmp_path / f"t{ending}", sep=TEXT[ending], index=False, na_rep="NaN")
    table = read(str(tmp_path / f"t{ending}"))
    assert table["source_id"].tolist() == [2**60 + 1, 2] and table["name"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(as_catalogue(table).values["pmra"], [1.5, np.nan])


def test_gaias_own_files_are_ecsv_with_another_ending_and_null(tmp_path):
    text = (
        "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: source_id, datatype: int64}\n"
        "# - {name: pmra, unit: mas.yr**-1, datatype: float64}\n# - {name: l, unit: deg, datatype: float64}\n"
        "source_id,pmra,l\n5,1.5,2.0\n6,null,3.0\n"
    )
    path = tmp_path / "GaiaSource_000000-003111.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table = read(path)
    assert table["pmra"].unit == u.mas / u.yr and table["l"].unit == u.deg
    assert table["pmra"].mask.tolist() == [False, True] and table["source_id"].tolist() == [5, 6]


@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".parquet"])
def test_a_skycoord_comes_back_and_is_understood(tmp_path, ending):
    sky = SkyCoord(
        [10.0, 20.0] * u.deg, [5.0, 6.0] * u.deg, pm_ra_cosdec=[1, 2] * u.mas / u.yr, pm_dec=[3, 4] * u.mas / u.yr
    )
    found = as_catalogue(read(write(QTable({"place": sky}), tmp_path / f"t{ending}")))
    assert set(found.values) == {"ra", "dec", "pmra", "pmdec"}
    np.testing.assert_allclose(found.values["pmdec"], [3.0, 4.0], rtol=1e-14)


def test_gaia_is_read_without_a_warning(real_data):
    table = read(real_data / "stars" / "gaia_dr3_random1000.fits")
    assert len(table) == 1000 and len(table.colnames) == 152
    assert table["pmra"].unit == u.mas / u.yr and table["phot_g_mean_flux"].unit == u.electron / u.s
    assert table["logg_gspphot"].unit is None and table["logg_gspphot"].meta["unit"] == "log(cm.s**-2)"
    assert (~table["radial_velocity"].mask).sum() == 24
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = Table.read(real_data / "stars" / "gaia_dr3_random1000.fits")
    found = as_catalogue(table)
    for role, values in found.values.items():
        np.testing.assert_array_equal(values, np.ma.filled(plain[found.columns[role]].astype(float), np.nan))


@pytest.mark.parametrize(("file", "roles"), [("hipparcos_db98.fits", 5), ("sagittarius_vasiliev2020_subset.csv", 7)])
def test_other_real_catalogues_are_read(real_data, file, roles):
    assert len(as_catalogue(read(real_data / "stars" / file)).values) == roles


def odd_fits(path, rows=5):
    """A file with what makes FITS tables difficult: nulls, scales, unsigned numbers, units nobody knows."""
    columns = [
        fits.Column("plx", "I", unit="mas", null=-99, array=np.where(np.arange(rows) % 3 == 2, -99, np.arange(rows))),
        fits.Column("scaled", "I", null=-1, unit="km/s", array=np.where(np.arange(rows) % 3 == 1, -1, np.arange(rows))),
        fits.Column("unsigned", "J", bzero=2**31, array=np.full(rows, 2**32 - 1, dtype=np.uint32)),
        fits.Column("pmra", "E", unit="furlongs", array=np.arange(rows)),
        fits.Column("flag", "3A", unit="mas", array=["yes"] * rows),
        fits.Column("vector", "2E", unit="mas.yr**-1", array=np.ones((rows, 2))),
    ]
    first = fits.BinTableHDU(np.array([(1.0,)], dtype=[("x", "f8")]), name="OTHER")
    fits.HDUList(
        [fits.PrimaryHDU(np.ones((2, 2))), first, fits.BinTableHDU.from_columns(columns, name="STARS")]
    ).writeto(path)
    fits.setval(path, "TSCAL2", value=0.5, ext=2)
    fits.setval(path, "TZERO2", value=10.0, ext=2)
    return path


def test_oddities_of_fits(tmp_path):
    path = odd_fits(tmp_path / "odd.fits")
    table = read(path, hdu="stars")
    assert table["plx"].mask.tolist() == [False, False, True, False, False]
    assert table["scaled"].mask.tolist() == [False, True, False, False, True]
    assert table["scaled"][2] == 11.0 * u.km / u.s and table["unsigned"][0] == 2**32 - 1
    assert table["vector"].unit == u.mas / u.yr and table["flag"].meta["unit"] == "mas"
    assert table["pmra"].unit is None and table["pmra"].meta["unit"] == "furlongs"
    with pytest.raises(DataError, match="'furlongs'"):
        _ = as_catalogue(table).values["pmra"]
    same(table, read(path, hdu=2))
    assert read(path).colnames == ["x"], "without hdu the first table"
    records = fits.getdata(path, 2)
    np.testing.assert_array_equal(
        as_catalogue(records, {"radial_velocity": "scaled"}).values["radial_velocity"][:3], [10, np.nan, 11]
    )


@pytest.mark.parametrize("hdu", ["nothing", 0, 7])
def test_a_table_that_is_not_in_the_file_is_named_with_those_that_are(tmp_path, hdu):
    with pytest.raises(FormatError, match=f"it holds no table {hdu!r}; its tables are 1 OTHER, 2 STARS"):
        read(odd_fits(tmp_path / "odd.fits"), hdu=hdu)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("mas.yr**-1", u.mas / u.yr),
        ("Angle[deg]", u.deg),
        ("'electron'.s**-1", u.electron / u.s),
        ("km s-1", u.km / u.s),
        ("'dex'", u.dex),
        ("log(cm.s**-2)", None),
        ("furlongs", None),
    ],
)
def test_units_of_archives(text, unit):
    assert read_unit(text) == unit


def image(path):
    fits.PrimaryHDU(np.ones((3, 3))).writeto(path)
    return path.read_bytes()


def truncated(path):
    write(stars(2000), path)
    return path.read_bytes()[: path.stat().st_size // 2]


BROKEN = {
    "empty.fits": (b"", "must hold a table; it is empty"),
    "empty.csv": (b"", "must hold a table; it is empty"),
    "text.fits": (b"hello world" * 500, "cannot be read as a table: No SIMPLE card found"),
    "image.fits": (image, "cannot be read as a table: it holds no table"),
    "half.fits": (truncated, "cannot be read as a table: File may have been truncated"),
    "half.fits.gz": (truncated, "cannot be read as a table"),
    "half.vot": (truncated, "cannot be read as a table"),
    "half.parquet": (truncated, "cannot be read as a table"),
    "page.xml": (b"<html><body>404</body></html>", "cannot be read as a table: File does not appear to be a VOTABLE"),
    "text.vot": (b"ra,dec\n1,2\n", "cannot be read as a table"),
    "none.vot": (b'<VOTABLE version="1.3"/>', "cannot be read as a table"),
    "text.ecsv": (b"ra,dec\n1,2\n", "cannot be read as a table"),
    "short.ecsv": (b"# %ECSV 1.0\n# ---\n", "cannot be read as a table"),
    "numbers.csv": (b"1,2\n3,4\n", "its first line must name the columns"),
    "bytes.csv": (b"a,b\n\x00\x01\xff,2\n", "it is not text"),
    "names.csv": (b"ra,dec\n", "at least one row"),
    "text.csv.gz": (b"ra,dec\n1,2\n", "cannot be read as a table"),
    "text.parquet": (b"ra,dec\n1,2\n", "cannot be read as a table"),
    "stars.docx": (b"PK", r"must end in one of \.fits, .*: convert it first"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_told_in_one_sentence(tmp_path, name):
    content, message = BROKEN[name]
    path = tmp_path / name
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path.write_bytes(content(tmp_path / f"of_{name}") if callable(content) else content)
    with pytest.raises(FormatError, match=message) as refusal:
        read(path)
    said = str(refusal.value)
    assert said.startswith(str(path)) and said.count(str(path)) == 1 and "\n" not in said and ". " not in said


def test_a_table_without_rows_is_refused(tmp_path):
    for ending in (".fits", ".vot", ".ecsv"):
        with pytest.raises(FormatError, match="at least one row"):
            read(write(stars()[:0], tmp_path / f"t{ending}"))


def test_a_file_that_is_not_there_is_an_oserror(tmp_path):
    for name in ("none.fits", "none.csv", "none.parquet"):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / name)
        if not name.endswith("csv"):
            with pytest.raises(FileNotFoundError):
                read_blocks(tmp_path / name)
    (tmp_path / "folder.fits").mkdir()
    with pytest.raises(IsADirectoryError):
        read(tmp_path / "folder.fits")


def test_hdu_is_for_fits(tmp_path):
    with pytest.raises(DataError, match=r"hdu chooses a table of a FITS file; .*t\.ecsv is none"):
        read(write(stars(), tmp_path / "t.ecsv"), hdu=1)
    with pytest.raises(DataError, match="hdu chooses a table of a FITS file"):
        list(read_blocks(write(stars(), tmp_path / "t.parquet"), hdu=1))


@pytest.mark.parametrize("reader", [read, lambda path: list(read_blocks(path))])
def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch, reader):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FormatError, match=r"parquet needs pyarrow: python -m pip install 'mixsci\[io\]'"):
        reader(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", ["plain", "nullable", "categories", "arrow"])
def test_parquet_of_pandas(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"ra": [1.0, np.nan, 3.0], "source_id": [2**60 + 1, 2, 3], "kind": ["a", "b", "a"]})
    if kind == "nullable":
        frame = frame.convert_dtypes()
        frame.loc[2, ["source_id", "kind"]] = pd.NA
    if kind == "categories":
        frame["kind"] = frame["kind"].astype("category")
    if kind == "arrow":
        field = pa.field("ra", pa.float32(), metadata={"unit": "arcsec"})
        table = pa.table({"ra": pa.array([3600.0, None, 10800.0], pa.float32()), "kind": ["a", None, "c"]})
        pa.parquet.write_table(table.cast(pa.schema([field, table.schema.field("kind")])), tmp_path / "t.parquet")
    else:
        frame.to_parquet(tmp_path / "t.parquet")
    whole, blocks = read(tmp_path / "t.parquet"), list(read_blocks(tmp_path / "t.parquet", rows=2))
    assert [len(block) for block in blocks] == [2, 1]
    for i, found in enumerate(as_catalogue(table) for table in (whole[:2], blocks[0])):
        np.testing.assert_allclose(found.values["ra"], [1.0, np.nan], rtol=1e-7, err_msg=str(i))
    for table in (whole, blocks[0]):
        assert table["kind"][0] == "a" and (kind == "arrow" or table["source_id"][0] == 2**60 + 1)
    if kind == "nullable":
        assert whole["source_id"].mask.tolist() == whole["kind"].mask.tolist() == [False, False, True]


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".parquet"])
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_blocks_are_the_rows_of_the_whole(tmp_path, ending, rows):
    path = write(stars(), tmp_path / f"t{ending}")
    blocks = list(read_blocks(path, rows))
    assert [len(block) for block in blocks] == [len(range(5)[i : i + rows]) for i in range(0, 5, rows)]
    whole = stars()
    for i, block in enumerate(blocks):
        same(block, whole[i * rows : (i + 1) * rows])


def test_blocks_of_oddities_are_those_of_the_whole(tmp_path):
    path = odd_fits(tmp_path / "odd.fits")
    whole = read(path, hdu=2)
    for i, block in enumerate(read_blocks(path, 2, hdu="STARS")):
        same(block, whole[2 * i : 2 * i + 2])
        assert block["pmra"].meta["unit"] == "furlongs"


@pytest.mark.parametrize("ending", [".fits", ".parquet"])
def test_blocks_of_some_columns(tmp_path, ending):
    path = write(stars(), tmp_path / f"t{ending}")
    for block in read_blocks(path, 3, ["rv", "ra"]):
        assert block.colnames == ["rv", "ra"] and block["rv"].unit == u.km / u.s and block["rv"].mask.any()
    with pytest.raises(DataError, match="the table has no column pmdec; it has source_id, ra, pmra, rv"):
        next(read_blocks(path, 3, ["ra", "pmdec"]))


def test_row_groups_make_blocks_of_the_size_asked_for(tmp_path):
    pytest.importorskip("pyarrow")
    pd.DataFrame({"ra": np.arange(20.0)}).to_parquet(tmp_path / "t.parquet", row_group_size=3)
    sizes = {rows: [len(block) for block in read_blocks(tmp_path / "t.parquet", rows)] for rows in (2, 3, 7, 100)}
    assert sizes == {2: [2, 1] * 6 + [2], 3: [3] * 6 + [2], 7: [6, 6, 6, 2], 100: [20]}
    joined = np.concatenate([block["ra"] for block in read_blocks(tmp_path / "t.parquet", 7)])
    np.testing.assert_array_equal(joined, np.arange(20.0))


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    whole = stars(6)
    for folder, rows in (("Norder=0", slice(0, 2)), ("Norder=1", slice(2, 4)), ("Norder=2", slice(4, 6))):
        (tmp_path / "dataset" / folder).mkdir(parents=True)
        write(whole[rows], tmp_path / "dataset" / folder / "Npix=1.fits")
    (tmp_path / "dataset" / "_metadata").write_bytes(b"x")
    (tmp_path / "dataset" / "data_thumbnail.parquet").write_bytes(b"x")
    for path in (tmp_path, sorted(tmp_path.rglob("*.fits"))):
        for _ in range(2):
            blocks = list(read_blocks(path))
            assert [len(block) for block in blocks] == [2, 2, 2]
            np.testing.assert_array_equal(np.concatenate([block["ra"].value for block in blocks]), whole["ra"].value)


def test_a_reader_of_blocks_may_be_left_early(tmp_path):
    for ending in (".fits", ".parquet"):
        blocks = read_blocks(write(stars(), tmp_path / f"t{ending}"), 2)
        assert len(next(blocks)) == 2
        blocks.close()


def test_what_reads_blocks_leaves_the_warnings_of_others_alone(tmp_path):
    blocks = read_blocks(write(stars(), tmp_path / "t.fits"), 2)
    next(blocks)
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
    blocks.close()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rows": 0}, DataError, "rows must be a whole number of at least 1; got 0"),
        ({"rows": 2.5}, DataError, "got 2.5"),
        ({"rows": True}, DataError, "got True"),
        ({"columns": "ra"}, DataError, r"a list of names; got 'ra': write \['ra'\]"),
        ({"path": []}, DataError, "at least one file"),
        ({"path": "t.csv"}, FormatError, "must end in one of .parquet, .fits, .fit"),
    ],
)
def test_what_blocks_are_asked_for_is_checked_at_once(tmp_path, arguments, error, message):
    path = write(stars(), tmp_path / "t.fits")
    with pytest.raises(error, match=message):
        read_blocks(**{"path": path, **arguments})


def test_a_folder_without_catalogues_and_damaged_files_in_one(tmp_path):
    with pytest.raises(FormatError, match="must hold files that end in one of"):
        read_blocks(tmp_path)
    write(stars(), tmp_path / "a.fits")
    (tmp_path / "b.fits").write_bytes(truncated(tmp_path / "c.fits"))
    blocks = read_blocks(tmp_path)
    assert len(next(blocks)) == 5
    with pytest.raises(FormatError, match=r"b\.fits cannot be read as a table: File may have been truncated"):
        next(blocks)
    (tmp_path / "b.fits").write_bytes(b"")
    with pytest.raises(FormatError, match=r"b\.fits must hold a table; it is empty"):
        read_blocks(tmp_path)
