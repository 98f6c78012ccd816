"""Quantified plates whose pictures, reports and files are looked at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixsci.ddpcr.plate import Well
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate
from tests.ddpcr.plates import one_target

#: Names that mean something to HTML, to a formula, to a table, or to a spreadsheet.
SCRIPT, DOLLARS, COMMA, FORMULA = "<script>alert(1)</script>", "-RT $x$", 'BRAF, "V600E"', "=1+1"


@pytest.fixture(scope="session")
def outputs_duplex():
    """Three wells of two targets, a control, and a well that could not be read; names that need care; merged."""
    made = simulate_plate({COMMA: [0.02, 0.3, 0.3], "RPP30": [0.5, 0.6, 0.6]}, n_droplets=2500, controls=1, rng=3)
    plate = made.plate
    names = {"A01": SCRIPT, "A02": DOLLARS, "A03": DOLLARS, "A04": FORMULA}
    lost = Well("B02", np.empty((0, 0)), (), problem="B02_Amplitude.csv is empty: export it again")
    problem = {"Well": "B02", "File": "B02_Amplitude.csv", "Problem": "it is empty"}
    plate = replace(
        plate,
        wells={**plate.wells, "B02": lost},
        samples=plate.samples.assign(Sample=plate.samples["Well"].map(names)),
        problems=pd.DataFrame([problem], dtype=object),
    )
    return quantify(plate, law="binary", merge="Sample", reference="RPP30")


@pytest.fixture(scope="session")
def outputs_single():
    """Four wells of one target and two controls, without results of an instrument."""
    made, _ = one_target()
    return quantify(replace(made.plate, instrument=made.plate.instrument.iloc[:0]))


@pytest.fixture(scope="session")
def outputs_two_assays():
    """Two wells each of two assays, one of them in the second channel alone; no controls."""
    first = simulate_plate([0.1, 0.4], n_droplets=1200, controls=0, rng=4).plate
    wells = dict(first.wells)
    for name, well in first.wells.items():
        other = f"B{name[1:]}"
        wells[other] = Well(other, well.amplitudes[::2], ("Ch2",))
    moved = first.samples.assign(Well=first.samples["Well"].str.replace("A", "B"), Channel="Ch2", Target="Other")
    samples = pd.concat([first.samples, moved], ignore_index=True)
    return quantify(replace(first, wells=wells, samples=samples, instrument=first.instrument.iloc[:0]))


@pytest.fixture(scope="session")
def outputs_saturated():
    """A well without a single negative beside one with few positives, on a plate of 384; no samples are named."""
    plate = simulate_plate([0.1, 18.0], n_droplets=600, controls=1, rng=6).plate
    wells = {name.replace("A02", "P24"): well for name, well in plate.wells.items()}
    wells["P24"] = replace(wells["P24"], name="P24", calls=None)
    samples = plate.samples.assign(Well=plate.samples["Well"].replace("A02", "P24"), Sample="")
    wells = dict(sorted(wells.items()))
    return quantify(replace(plate, wells=wells, samples=samples, instrument=plate.instrument.iloc[:0]), law="binary")
