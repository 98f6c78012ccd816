"""Tables as the instruments wrote them, and when a number of ours is the one printed there."""

import csv
import re

import numpy as np

from mixsci.ddpcr.concentrations import as_printed

QUANTASOFT = {  # file -> rows with a concentration
    "podcall_vim_4plex/quantasoft_results.csv": 10,
    "counts_quantasoft/19-3581.csv": 25,
    "counts_quantasoft/20-0109.csv": 106,
    "counts_quantasoft/20-1276.csv": 200,
}
QX_MANAGER = "counts_quantasoft/qxmanager_smn2_datatable.csv"
# QX Manager's words for columns of QuantaSoft.
SAME = {
    "Conc(copies/µL)": "Concentration",
    "Copies/uL linked molecules": "Linkage",
    "Accepted Droplets": "AcceptedDroplets",
    "Fractional Abundance": "FractionalAbundance",
    "PoissonConfidenceMax68": "PoissonConfMax68",
    "PoissonConfidenceMin68": "PoissonConfMin68",
}
CELLS = ("Ch1+Ch2+", "Ch1+Ch2-", "Ch1-Ch2+", "Ch1-Ch2-")
LEVELS = {"": 0.95, "68": 0.68}  # ending of a column -> level
NO_CALL = ("", "No Call")


def rows(path):
    """One dict of texts per row; the field that rows have beyond the header is empty."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file))
    header = [SAME.get(name, name) for name in lines[0]]
    assert all(not text for line in lines[1:] for text in line[len(header) :])
    return [dict(zip(header, line, strict=False)) for line in lines[1:]]


def pairs(path):
    """The rows of both targets of every well."""
    by_well = {}
    for row in rows(path):
        by_well.setdefault(row["Well"], []).append(row)
    assert all(len(pair) == 2 for pair in by_well.values())
    return list(by_well.values())


def parts(row, table):
    """The rows of the wells that a merged row holds."""
    by_name = {(other["Well"], other["TargetType"][:3]): other for other in table}
    return [by_name[name, row["TargetType"][:3]] for name in re.findall(r"[A-H]\d\d", row["MergedWells"])]


def columns(table, names):
    """Numbers of some columns, side by side."""
    return np.array([[float(row[name]) for name in names] for row in table])


def single(number):
    """A number kept in single precision, as QX Manager keeps rates, the droplet volume and concentrations."""
    return float(np.float32(number))


def qx_manager(estimate):
    """Copies/µL of copies per droplet, in QX Manager's arithmetic."""
    return tuple(single(single(part) / single(0.85) * 1000) for part in estimate)


def misprints(row, names, estimate):
    """Columns whose text is not what our numbers give when rounded to two digits of the width of their interval.

    The rule also says which zeros before the decimal point are digits, so nothing is allowed beyond half of the last.
    A name of None is not looked at: beside the ends at 68 % the value keeps the digits it has at 95 %.
    """
    return [
        f"{row['Well']} {name}: {row[name]} printed, {number:.10g} found"
        for name, number in zip(names, as_printed(*estimate), strict=True)
        if name and not np.isclose(float(row[name]), number, rtol=1e-12, atol=1e-12)
    ]
