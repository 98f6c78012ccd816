"""The report is one page that asks for nothing from elsewhere, escapes every name, and says all that was found."""

import base64
import html.parser
import re

import pytest

import mixsci
from mixsci.ddpcr import dmiqe, plot
from mixsci.ddpcr.portrait import number, portrait, results_of, wells_of
from mixsci.ddpcr.report import as_html, draw, report
from tests.ddpcr.conftest import COMMA, DOLLARS, FORMULA, SCRIPT

VOID = {"meta", "img"}


class Page(html.parser.HTMLParser):
    """The tags of a page: that they close, where they point, what stands in the tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.links, self.names, self.rows = [], [], [], [], set(), []
        self.text, self._cell = "", None
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.sources += [given["src"]] if "src" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.names |= {given["id"]} if "id" in given else set()
        assert not any(name.startswith("on") for name in given)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data):
        self.text += data
        if self._cell is not None:
            self._cell.append(data)


@pytest.fixture(scope="module")
def duplex(outputs_duplex, tmp_path_factory):
    path = report(outputs_duplex, tmp_path_factory.mktemp("report") / "report.html")
    return path.read_text("utf-8")


def quick(q):
    """The page of a plate with a mark in place of every picture."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plate_picture", "well_picture", "droplets_picture", "instrument_picture"):
            patch.setattr(plot, name, lambda *_: b"\x89PNG")
        return as_html(q, *draw(q))


@pytest.fixture(scope="module")
def single(outputs_single):
    return quick(outputs_single)


@pytest.fixture(scope="module")
def two_assays(outputs_two_assays):
    return quick(outputs_two_assays)


def test_a_page_needs_nothing_beside_it(duplex, single, two_assays):
    for text in (duplex, single, two_assays):
        page = Page(text)
        assert all(source.startswith("data:image/png;base64,") for source in page.sources)
        assert all(link.startswith("#") for link in page.links)
        assert {link[1:] for link in page.links} <= page.names
        assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
        assert "http" not in text
        assert "url(" not in text
        assert not re.search(r"\bnan\b|\binf\b|None|np\.|<bound|Undefined", page.text)
        assert f"mixsci {mixsci.__version__}" in page.text


def test_names_of_users_are_text(duplex):
    assert "<script" not in duplex
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in duplex
    page = Page(duplex)
    for name in (SCRIPT, DOLLARS, FORMULA, COMMA):
        assert name in page.text


def test_every_well_has_a_picture_to_open(duplex, outputs_duplex):
    page = Page(duplex)
    wells = wells_of(outputs_duplex)
    assert page.tags.count("details") == len(wells)
    assert set(wells) <= page.names
    # A heat map for each target, a strip for each channel, one beside the instrument, and the wells.
    assert len(page.sources) == 2 + 2 + 1 + len(wells)
    assert all(base64.b64decode(source.partition(",")[2]).startswith(b"\x89PNG") for source in page.sources)


def test_results_of_every_well_and_target(duplex, outputs_duplex):
    rows = Page(duplex).rows
    for row in results_of(outputs_duplex).itertuples():
        found = next(each for each in rows if each[0] == row.Well and each[2] == row.Target and len(each) == 12)
        interval = f"{number(row.PoissonConfMin)} – {number(row.PoissonConfMax)}"
        assert found[3:6] == [number(row.Concentration), interval, number(row.SeenConcentration)]
        counts = [f"{row.Positives:,.0f}", f"{row.AcceptedDroplets:,.0f}"]
        assert found[8:11] == [*counts, "yes" if row.AboveLoB else "no"]
    assert ["B02", "no result: B02_Amplitude.csv is empty: export it again"] in rows


def test_copies_ratios_and_replicates(duplex, outputs_duplex):
    rows, results = Page(duplex).rows, outputs_duplex.results.set_index(["Well", "Target"])
    row = results.loc["A02", COMMA]
    assert any(each[:1] == ["A02"] and each[6] == number(row["CNV"]) for each in rows if len(each) == 12)
    pair = next(each for each in rows if each[:1] == ["A02"] and each[2:3] == [f"{COMMA} : RPP30"])
    assert pair[3] == f"{row['Ratio']:.3g}"
    assert pair[5] == f"{row['FractionalAbundance']:.3g}"
    assert pair[7] == number(row["Linkage"])
    merged = next(each for each in rows if each[:1] == ["M01"])
    assert merged[1:4] == [DOLLARS, COMMA, number(results.loc["M01", COMMA]["Concentration"])]
    assert merged[-1] == "A02, A03"


def test_flags_and_controls(duplex, outputs_duplex):
    page = Page(duplex)
    for row in outputs_duplex.qc.itertuples():
        line = next(each for each in page.rows if each[0] == row.Flag and row.Well in each[2].split())
        assert line[1] == (row.Target or "all")
        assert line[3] == row.Reason
    limit = outputs_duplex.lob["RPP30"]
    row = next(each for each in page.rows if each[0] == "RPP30" and each[1] == "A04")
    assert row[3].startswith(f"{limit.lob:g} droplets, ")
    assert row[5] == limit.method
    assert f"{len(outputs_duplex.qc)} flags in 5 wells" in page.text


def test_a_plate_without_flags_says_so(outputs_two_assays):
    q = outputs_two_assays
    clean = type(q)(q.plate, q.assays, q.settings, q.results.assign(QC=""), q.qc.iloc[:0])
    page = Page(quick(clean))
    assert "No well is flagged." in page.text
    assert "flags" not in page.names


def test_beside_the_instrument(duplex, single, outputs_duplex):
    rows = Page(duplex).rows
    for row in results_of(outputs_duplex).itertuples():
        found = next(each for each in rows if each[0] == row.Well and each[1] == row.Target and len(each) == 9)
        assert found[2] == number(row.Concentration)
        assert found[4] == number(row.ConcentrationInstrument)
        if row.ConcentrationInstrument > 0:
            assert found[5] == f"{100 * (row.Concentration / row.ConcentrationInstrument - 1):+.1f} %"
        assert found[6] == ("yes" if row.PoissonConfMin <= row.ConcentrationInstrument <= row.PoissonConfMax else "no")
    assert "instrument" not in Page(single).names


def test_the_checklist_the_method_and_what_could_not_be_read(duplex, outputs_duplex):
    page = Page(duplex)
    for row in dmiqe.table(outputs_duplex).itertuples():
        cells = [" ".join(cell.split()) for cell in (row.Item, row.Value, row.Note)]
        assert cells in page.rows
    fit = outputs_duplex.assays[0].fit.fit
    assert any(row[0] == outputs_duplex.assays[0].name and row[-1] == fit.outcome.value for row in page.rows)
    assert ["B02", "B02_Amplitude.csv", "it is empty"] in page.rows
    assert "0.85 nL" in page.text


def test_a_saturated_well_has_no_upper_end(outputs_saturated):
    q = outputs_saturated
    assert q.assays[0].wells["P24"].accepted == q.assays[0].wells["P24"].positives[0]
    page = Page(as_html(q, *draw(q)))
    row = next(each for each in page.rows if each[0] == "P24")
    assert row[3] == "∞"
    assert row[4].endswith(" – ∞")
    assert not re.search(r"\bnan\b|\binf\b", page.text)


def test_assays_side_by_side(two_assays, outputs_two_assays):
    page = Page(two_assays)
    # Two heat maps, two strips, and the wells.
    assert len(page.sources) == 4 + len(wells_of(outputs_two_assays))
    assert sum(row[:2] in (["Target", "binary"], ["Other", "binary"]) for row in page.rows) == 2
    assert "none" in next(row for row in page.rows if row[0] == "Other" and len(row) == 6)


def test_drawing_tells_how_far_it_is(outputs_two_assays):
    told = []
    portraits, pictures = draw(outputs_two_assays, lambda *what: told.append(what))
    assert told == [("drawing wells", done, 4) for done in range(4)]
    assert list(portraits) == list(pictures) == ["A01", "A02", "B01", "B02"]


def test_pictures_at_hand_are_used(outputs_single, tmp_path):
    portraits = {name: portrait(outputs_single, name) for name in wells_of(outputs_single)}
    marked = dict.fromkeys(portraits, b"a picture")
    path = report(outputs_single, str(tmp_path / "page.html"), portraits=portraits, pictures=marked)
    assert path == tmp_path / "page.html"
    assert path.read_text("utf-8").count(base64.b64encode(b"a picture").decode()) == len(portraits)


def test_96_wells_stay_below_20_megabytes(duplex, outputs_duplex):
    largest = max(len(source) for source in Page(duplex).sources)
    assert 96 * largest + len(duplex) < 20e6
