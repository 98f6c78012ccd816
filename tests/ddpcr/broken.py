"""Small files of every format, and the ten ways to break a file, each with the words that must be said of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

#: Droplets of a made file: more than the fewest that count.
MANY = 60
HEALTHY = "Run_B01_Amplitude.csv"


@dataclass(frozen=True)
class Lines:
    """A file as lines: those down to the names, and those below."""

    name: str
    top: tuple[str, ...]
    rows: tuple[str, ...]
    #: Place of a number that must be one.
    number: int = 0
    #: Place of what a line says of its well.
    said: int = 0
    #: Places of two columns whose names are exchanged.
    swap: tuple[int, int] = (0, 1)
    end: str = "\n"

    def write(self, folder: Path, name: str = "") -> Path:
        path = folder / (name or self.name)
        path.write_bytes(self.end.join([*self.top, *self.rows, ""]).encode())
        return path

    @classmethod
    def read(cls, path: Path, top: int = 1, **where) -> "Lines":
        """A real file."""
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return cls(path.name, tuple(lines[:top]), tuple(line for line in lines[top:]), **where)


def made(name: str, top: tuple[str, ...], row: Callable[[int], str], **where) -> Lines:
    return Lines(name, top, tuple(row(i) for i in range(MANY)), **where)


QX_MANAGER = (
    "Target Value of 0 = negative",
    "Target Value of 1 = positive",
    "Target Value of u = unclassified (Advanced Classification Mode)",
    "",
)
#: Files of droplets in A01, except where a real one is of another well.
DROPLETS = {
    "QuantaSoft": made(
        "Run_A01_Amplitude.csv",
        ("Ch1 Amplitude,Ch2 Amplitude,Cluster",),
        lambda i: f"{1000 + i}.5,{2000 + i}.25,{1 + i % 4}",
    ),
    "dotted": made(
        "Run_A01_Amplitude.csv",
        ('"Ch1.Amplitude","Ch2.Amplitude"',),
        lambda i: f"{1000 + i}.5,{2000 + i}.25",
    ),
    "QX100, two channels": made(
        "Run_A01_Amplitude.csv",
        ("Assay1 Amplitude,Assay2 Amplitude",),
        lambda i: f"{1000 + i}.5,{2000 + i}.25,",
    ),
    "QX Manager": made(
        "Run_A01_Amplitude.csv",
        (*QX_MANAGER, "Ch1Amplitude,Ch2Amplitude,VIC1,FAM2,"),
        lambda i: f"{1000 + i}.5,{2000 + i}.25,{'01u'[i % 3]},{i % 2},",
    ),
    "Stilla": made(
        "Run_A01_RawData.csv",
        ("x,y,Blue,Green,index",),
        lambda i: f"{i}.5,{i}.75,{1000 + i}.5,{2000 + i}.25,{i}",
        number=3,
        swap=(2, 3),
    ),
    "long table": made(
        "droplets.csv",
        ("Well,Ch1 Amplitude,Ch2 Amplitude",),
        lambda i: f"A1,{1000 + i}.5,{2000 + i}.25",
        number=1,
        swap=(1, 2),
    ),
}


def real_droplets(real_data: Path) -> dict[str, Lines]:
    """Real files of every format there is, the tiny one of QX Manager repeated to be long enough."""
    folder = real_data / "ddpcr"
    manager = Lines.read(folder / "formats" / "qxmanager_header_A01_Amplitude.csv", top=5)
    return {
        "podcall": Lines.read(folder / "podcall_vim_4plex" / "VIM_4Plex_A04_Amplitude.csv"),
        "dpcp": Lines.read(folder / "dpcp_dilution" / "dilution20200313_A01_Amplitude.csv", end="\r\n"),
        "definetherain": Lines.read(
            folder / "definetherain_albumin" / "Big test 6.12.12_A08_Amplitude.csv", end="\r\n"
        ),
        "qxmanager": replace(manager, rows=manager.rows * 20),
    }


def real_sheets(real_data: Path) -> dict[str, Lines]:
    """Real sheets of every format there is."""
    folder = real_data / "ddpcr"
    counts, formats = folder / "counts_quantasoft", folder / "formats"
    clusters = Lines.read(formats / "qx600_cluster_data_q4ddpcr.csv", top=5, number=5, said=5)
    return {
        "QuantaSoft 1.6": Lines.read(formats / "quantasoft_16_results.csv", number=7, said=7),
        "QuantaSoft 1.7.4": Lines.read(folder / "podcall_vim_4plex" / "quantasoft_results.csv", number=7, said=7),
        "merged wells": Lines.read(counts / "19-3581.csv", number=7, said=7),
        "QX Manager": Lines.read(counts / "qxmanager_smn2_datatable.csv", number=6, said=6),
        "QX600": replace(clusters, rows=clusters.rows[: clusters.rows.index("")], end="\r\n"),
        "dpcp": Lines.read(folder / "dpcp_dilution" / "Template_sampleTable.csv", number=1, end="\r\n"),
        "definetherain": Lines.read(folder / "definetherain_albumin" / "plate_layout.csv", said=2),
    }


def exchange(line: str, places: tuple[int, int]) -> str:
    values = line.split(",")
    first, second = places
    values[first], values[second] = values[second], values[first]
    return ",".join(values)


def with_value(line: str, place: int, value: str) -> str:
    values = line.split(",")
    values[place] = value
    return ",".join(values)


def cut(lines: Lines, folder: Path) -> None:
    path = lines.write(folder)
    last = lines.rows[-1]
    whole = path.read_bytes()
    end = len(lines.end) + len(last) - last.index(",") + 1
    path.write_bytes(whole[:-end])


def empty(lines: Lines, folder: Path) -> None:
    (folder / lines.name).write_bytes(b"")


def binary(lines: Lines, folder: Path) -> None:
    (folder / lines.name).write_bytes(bytes(range(256)) * 40)


def other_delimiter(lines: Lines, folder: Path) -> None:
    path = lines.write(folder)
    path.write_bytes(path.read_bytes().replace(b",", b"|"))


def swapped_names(lines: Lines, folder: Path) -> None:
    replace(lines, top=(*lines.top[:-1], exchange(lines.top[-1], lines.swap))).write(folder)


def text_in_numbers(lines: Lines, folder: Path) -> None:
    rows = list(lines.rows)
    rows[2] = with_value(rows[2], lines.number, "abc")
    replace(lines, rows=tuple(rows)).write(folder)


def duplicate_file(lines: Lines, folder: Path) -> None:
    lines.write(folder)
    lines.write(folder, f"copy {lines.name}")


def duplicate_line(lines: Lines, folder: Path) -> None:
    """The second line again, saying something else."""
    again = with_value(lines.rows[1], lines.said, "7")
    replace(lines, rows=(*lines.rows, again)).write(folder)


def no_rows(lines: Lines, folder: Path) -> None:
    replace(lines, rows=()).write(folder)


def one_row(lines: Lines, folder: Path) -> None:
    replace(lines, rows=lines.rows[:1]).write(folder)


def ten_million(lines: Lines, folder: Path) -> None:
    top = lines.end.join([*lines.top, ""]).encode()
    block = (lines.rows[0] + lines.end).encode() * 50_000
    with (folder / lines.name).open("wb") as file:
        file.write(top)
        for _ in range(200):
            file.write(block)


def ten_million_lines(lines: Lines, folder: Path) -> None:
    """Short lines: those of results would fill gigabytes."""
    ten_million(replace(lines, rows=("A01",)), folder)


#: Way of breaking -> what does it to a file of droplets, and what must be said; None where nothing is lost.
BREAKS: dict[str, tuple[Callable[[Lines, Path], None], str | None]] = {
    "cut mid-line": (cut, r"ends in the middle of line \d+"),
    "empty": (empty, "is empty"),
    "binary": (binary, "must be a text file"),
    "wrong delimiter": (other_delimiter, "separated by commas, semicolons or tabs; it has .*[|]"),
    "swapped header": (swapped_names, None),
    "text in numbers": (text_in_numbers, r"line (4|8) holds 'abc' as"),
    "duplicate well": (duplicate_file, "must stand in one file; it stands in .* and "),
    "no droplets": (no_rows, "holds no droplets"),
    "one droplet": (one_row, "must have at least 50 droplets; it has 1"),
    "10 million droplets": (ten_million, "must hold at most [15],000,000 droplets"),
}
#: The same for sheets.
SHEET_BREAKS: dict[str, tuple[Callable[[Lines, Path], None], str | None]] = {
    "cut mid-line": (cut, r"ends in the middle of line \d+"),
    "empty": (empty, "is empty"),
    "binary": (binary, "must be a text file"),
    "wrong delimiter": (other_delimiter, "separated by commas, semicolons or tabs"),
    "swapped header": (swapped_names, "must name a well such as A01|must hold wells"),
    "text in numbers": (text_in_numbers, r"line (4|8) holds 'abc' as|none is in line 4"),
    "duplicate well": (duplicate_line, "which differ: none is used|holds one twice"),
    "no droplets": (no_rows, "must hold a line for each well"),
    "one droplet": (one_row, None),
    "10 million droplets": (ten_million_lines, "must hold at most 100,000 lines"),
}
