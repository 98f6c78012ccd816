"""Plates made by hand, and quantified plates that several tests look at."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

from mixsci.ddpcr.plate import INSTRUMENT_COLUMNS, PROBLEM_COLUMNS, SAMPLE_COLUMNS, Plate, Well
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate

VOLUME_UL = 0.85e-3
#: Where droplets of `one_probe` with and without the target lie, and how they scatter there.
NEGATIVE, POSITIVE, NOISE, WIDER_NOISE = 1000.0, 6000.0, 100.0, 200.0
#: Numbers of a row of results that follow from the droplets.
NUMBERS = [
    *("Concentration", "PoissonConfMax", "PoissonConfMin", "Positives", "Negatives", "AcceptedDroplets"),
    *("Lambda", "LambdaSE", "ExpectedPositives", "SeenPositives", "SeenConcentration", "RainFraction", "Outliers"),
    *("Linkage", "Ratio", "FractionalAbundance"),
]


def one_probe(rng, rate, n=3000):
    """(n, 1) droplets of one probe without rain, and how many of them are positive."""
    positive = rng.random(n) < -np.expm1(-rate)
    level, noise = np.where(positive, POSITIVE, NEGATIVE), np.where(positive, WIDER_NOISE, NOISE)
    return (level + noise * rng.standard_normal(n))[:, None], int(positive.sum())


def plate_of(wells, *, kinds=(), targets=(), samples=()):
    """A plate of droplets (n, C) by well.

    Args:
        wells: name -> (n, C) amplitudes, or a `Well`.
        kinds: well -> SampleType, "Unknown" where none is given. targets: well -> (C,) names. samples: well -> name.
    """
    made = {name: well if isinstance(well, Well) else _well(name, well) for name, well in wells.items()}
    kinds, targets, samples = dict(kinds), dict(targets), dict(samples)
    rows = [
        (name, channel, target, samples.get(name, ""), kinds.get(name, "Unknown"))
        for name, well in made.items()
        for channel, target in zip(well.channels, targets.get(name, ("",) * len(well.channels)), strict=True)
    ]
    return Plate(made, _table(rows, SAMPLE_COLUMNS), _table([], INSTRUMENT_COLUMNS), _table([], PROBLEM_COLUMNS))


def _well(name, amplitudes):
    return Well(name, amplitudes, tuple(f"Ch{c + 1}" for c in range(np.shape(amplitudes)[1])))


def _table(rows, columns):
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def with_droplets(plate, change):
    """The plate with other amplitudes in every well."""
    wells = {name: replace(well, amplitudes=change(well.amplitudes)) for name, well in plate.wells.items()}
    return replace(plate, wells=wells)


def by_target(results):
    """The rows of wells that were quantified, by well and target."""
    return results[results["Lambda"].notna()].set_index(["Well", "Target"])


@cache
def one_target():
    """Four wells of one target and two controls: as simulated, and quantified."""
    made = simulate_plate([0.02, 0.3, 1.5, 4.0], n_droplets=4000, controls=2, rng=7)
    return made, quantify(made.plate)


@cache
def two_targets():
    """Two pairs of wells of two targets and a control: as simulated, and quantified."""
    rates = {"Mutant": [0.02, 0.02, 0.3, 0.3], "Wild type": [0.5, 0.5, 0.8, 0.8]}
    made = simulate_plate(rates, n_droplets=2000, controls=1, rng=8)
    samples = made.plate.samples
    named = samples["Well"].map({"A01": "low", "A02": "low", "A03": "high", "A04": "high"}).fillna("blank")
    plate = replace(made.plate, samples=samples.assign(Sample=named))
    return replace(made, plate=plate), quantify(plate, merge="Sample", reference="Wild type")
