"""Plates whose truth is known: Poisson copies in droplets, and what a reader sees of them at the end of the PCR.

Each cause has its own place: copies fall into droplets, occupied droplets light up (some of them in part: rain), wells
drift, the detector adds noise. What the defaults were measured on stands in `mixsci.ddpcr.assay`.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.assay import ASSAYS, USUAL, Assay, numbers, whole
from mixsci.ddpcr.concentrations import as_printed, concentration
from mixsci.ddpcr.formats.quantasoft import write_quantasoft
from mixsci.ddpcr.plate import (
    INSTRUMENT_COLUMNS,
    INSTRUMENT_WORDS,
    PROBLEM_COLUMNS,
    SAMPLE_COLUMNS,
    Plate,
    Well,
    clusters,
)
from mixsci.engine.tables import as_numbers
from mixsci.errors import DataError, name_rows

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

#: Mean copies per droplet above which no droplet of a plate stays empty.
MOST_COPIES = 20.0

_PLATES = ((8, 12), (16, 24))  # rows and columns
_MOST_WELLS = 384
_COUNTS_SPREAD = 0.08
_MOST_SKEW = 0.99  # a skew-normal law has less than 0.9953
_WIDE = 2.5  # noise in its tail, in units of the noise elsewhere
# Dust: share of broken droplets, what they lose of the baseline, where merged ones lie in units of the highest level.
_SHARE_BROKEN, _BROKEN, _MERGED = 0.75, (0.15, 0.5), (1.3, 1.8)
_SHEET = (
    *("Well", "ExptType", "Experiment", "Sample", "TargetType", "Target", "Status", "Concentration", "Supermix"),
    *(
        "CopiesPer20uLWell",
        "PoissonConfMax",
        "PoissonConfMin",
        "Positives",
        "Negatives",
        "AcceptedDroplets",
        "Threshold",
    ),
)


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedPlate:
    """A plate, and what no measurement shows of it.

    Attributes:
        plate: as `read_plate` reads it: droplets sorted by Ch1; calls and the instrument's results by one threshold per
            channel, half of the way up, which counts all targets that the channel shows.
        truth: one row per well and target. Lambda: mean copies per droplet; Linked: those of them on molecules that
            carry the first two targets; Concentration: copies/µL. Of the droplets drawn, dust left out: Droplets,
            Copies, Occupied, Rain (occupied, and short of the positive level), Strays (not occupied, and above the
            negative level).
        copies: well -> (n, T) copies in every droplet, in the order of the plate; -1 where it is dust.
        assay: the chemistry.
    """

    plate: Plate
    truth: pd.DataFrame
    copies: dict[str, Array]
    assay: Assay

    def __repr__(self) -> str:
        return f"Simulated{self.plate!r}"

    def write(self, folder: str | Path, *, name: str = "simulated") -> Path:
        """The folder with the plate as QuantaSoft exports it; `read_plate` reads the same droplets back.

        `NAME_A01_Amplitude.csv` ... hold the droplets, `NAME.csv` the names of samples and targets and the results of
        calling by one threshold, `truth/truth.csv` the truth.

        Args:
            folder: made if it is not there; files of the same names are replaced.
            name: what the files begin with.

        Raises:
            DataError: a folder with the droplets of another plate.
            OSError: a folder that cannot be written.
        """
        folder = Path(folder)
        files = {f"{name}_{well.name}_Amplitude.csv": well for well in self.plate.wells.values()}
        others = sorted(path.name for path in folder.glob("*_Amplitude.csv") if path.name not in files)
        if others:
            raise DataError(f"{folder} must not hold another plate; it holds {others[0]}: choose another folder")
        # In a folder of its own no reader of the plate takes it for a sheet.
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        for file, well in files.items():
            assert well.calls is not None
            codes = clusters(well.calls, well.channels)
            write_quantasoft(folder / file, well.amplitudes, codes, channels=well.channels)
        (folder / f"{name}.csv").write_text(_sheet(self.plate.instrument), encoding="utf-8", newline="\n")
        self.truth.to_csv(folder / "truth" / "truth.csv", index=False, lineterminator="\n")
        return folder


def simulate_plate(
    rates: Any,
    *,
    assay: Assay | str | None = None,
    n_droplets: int = 16_000,
    rain: Any = 0.02,
    stray: Any = 0.0005,
    drift: float = 0.015,
    skew: Any = 0.2,
    tails: Any = 0.05,
    outliers: float = 0.0,
    droplet_cv: float = 0.0,
    controls: int = 4,
    linked: Any = None,
    droplet_volume_nl: float = 0.85,
    rng: Any = None,
) -> SimulatedPlate:
    """A plate of wells with known copies per droplet, then controls without template.

    Args:
        rates: (W,) or (W, T) mean copies per droplet, linked ones included; or target -> (W,).
        assay: its chemistry, or a name in `ASSAYS`; None = "singleplex", "duplex", "triplex" by the number of targets.
        n_droplets: mean number of accepted droplets in a well.
        rain: (T,) or one: share of the positives anywhere on their way up.
        stray: (T,) or one: share of the droplets without copies, in controls too, somewhere on that way.
        drift: standard deviation of the shifts of wells, as a share of a channel's gap.
        skew: (C,) or one: skewness of the noise.
        tails: (C,) or one: share of droplets whose noise is 2.5 times as wide, upwards where it is skewed.
        outliers: share of dust: broken droplets below the negatives, merged ones above the positives.
        droplet_cv: coefficient of variation of the volumes of droplets (Gamma).
        controls: number of control wells (SampleType "NTC").
        linked: (W,) or one: copies per droplet on molecules that carry the first two targets.
        droplet_volume_nl: volume of a droplet in nL, for the concentrations of the truth.
        rng: seed or generator; every well has a stream of its own, so that more wells change nothing in the others.

    Raises:
        DataError: rates below 0 or above 20, shares outside [0, 1), more than 384 wells, shapes that do not match.

    Example:
        >>> from mixsci.ddpcr.simulate import simulate_plate
        >>> made = simulate_plate([0.1, 2.0], n_droplets=1000, controls=1, rng=1)
        >>> made.plate, made.copies["A01"].shape
        (Plate(3 wells, 2821 droplets), (996, 1))
    """
    rates, assay = _rates(rates, assay)
    controls = whole(controls, "controls", low=0)
    names = well_names(len(rates) + controls)
    told = _Conditions(assay, n_droplets, rain, stray, drift, skew, tails, outliers, droplet_cv)
    volume_nl = float(numbers(droplet_volume_nl, "droplet_volume_nl", (), low=1e-6))
    law = np.column_stack([_linked(linked, rates, assay), rates])
    law = np.vstack([law, np.zeros((controls, law.shape[1]))])
    streams = _streams(rng, len(rates), controls)
    drawn = [_draw(row[1:], row[0], told, stream) for row, stream in zip(law, streams, strict=True)]
    return _gather(names, drawn, law, controls, assay, volume_nl)


def small_plate(rng: Any = None) -> SimulatedPlate:
    """A mutant beside its wild type in six wells and two controls, about 4,000 droplets each: the plate in data/ddpcr.

    Args:
        rng: seed or generator.

    Example:
        >>> from mixsci.ddpcr.simulate import small_plate
        >>> small_plate(rng=1).truth[["Well", "SampleType", "Target", "Lambda"]].iloc[[0, 1, -1]]
            Well SampleType     Target  Lambda
        0    A01    Unknown     Mutant     0.2
        1    A01    Unknown  Wild type     0.6
        15   A08        NTC  Wild type     0.0
    """
    rates = {"Mutant": dilution_series(0.2, steps=3, replicates=2), "Wild type": 0.6}
    return simulate_plate(rates, n_droplets=4000, controls=2, rng=rng)


def dilution_series(highest: float, *, factor: float = 10.0, steps: int = 6, replicates: int = 4) -> Array:
    """(steps × replicates,) mean copies per droplet of a dilution series, for `simulate_plate`.

    Args:
        highest: copies per droplet of the first step.
        factor: by which each step is thinner than the one before.
        steps: number of steps.
        replicates: wells of each step, side by side.

    Raises:
        DataError: numbers out of range.

    Example:
        >>> from mixsci.ddpcr.simulate import dilution_series
        >>> dilution_series(2.0, factor=4.0, steps=3, replicates=2)
        array([2.   , 2.   , 0.5  , 0.5  , 0.125, 0.125])
    """
    top = float(numbers(highest, "highest", (), low=0.0, high=MOST_COPIES))
    thinner = float(numbers(factor, "factor", (), low=1.0))
    powers = np.arange(whole(steps, "steps", low=1), dtype=float)
    with np.errstate(over="ignore"):
        rates = top / thinner**powers
    return np.repeat(rates, whole(replicates, "replicates", low=1))


def well_names(n: int) -> tuple[str, ...]:
    """The first n wells in the order of the plate, row by row: of 96 wells, or of 384 where there are more.

    Example:
        >>> from mixsci.ddpcr.simulate import well_names
        >>> well_names(14)[-3:]
        ('A12', 'B01', 'B02')

    Raises:
        DataError: more than 384.
    """
    if n > _MOST_WELLS:
        raise DataError(f"a plate must have at most {_MOST_WELLS} wells; got {n}: make several plates")
    rows, columns = next(plate for plate in _PLATES if n <= plate[0] * plate[1])
    names = [f"{row}{column:02d}" for row in string.ascii_uppercase[:rows] for column in range(1, columns + 1)]
    return tuple(names[:n])


@dataclass(frozen=True, eq=False)
class _Conditions:
    """What holds in every well of a plate; the arguments of `simulate_plate`, checked."""

    assay: Assay
    n_droplets: int
    rain: Array  # (T,)
    stray: Array  # (T,)
    drift: float
    skew: Array  # (C,)
    tails: Array  # (C,)
    outliers: float
    droplet_cv: float

    def __post_init__(self) -> None:
        targets, channels = (len(self.assay.targets),), (len(self.assay.channels),)
        checked: dict[str, Any] = {
            "n_droplets": whole(self.n_droplets, "n_droplets", low=1),
            "drift": float(numbers(self.drift, "drift", (), low=0.0)),
            "skew": numbers(self.skew, "skew", channels, low=-_MOST_SKEW, high=_MOST_SKEW),
            "droplet_cv": float(numbers(self.droplet_cv, "droplet_cv", (), low=0.0, high=1.0)),
        }
        for name, shape in {"rain": targets, "stray": targets, "tails": channels, "outliers": ()}.items():
            checked[name] = numbers(getattr(self, name), name, shape, low=0.0, below=1.0)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One well: what is seen of its droplets, and what is true of them; rows sorted by the first channel."""

    amplitudes: Array  # (n, C)
    copies: Array  # (n, T), -1 = dust
    partial: Array  # (n, T) on its way up: rain where there are copies, a stray where there are none


def _draw(rates: Array, linked: float, told: _Conditions, rng: np.random.Generator) -> _Drawn:
    """A well with mean copies per droplet (T,), of which `linked` lie on molecules with the first two targets."""
    assay = told.assay
    n = max(1, round(told.n_droplets * (1.0 + _COUNTS_SPREAD * float(np.clip(rng.standard_normal(), -3.0, 3.0)))))
    copies, lit = _copies(rates, linked, n, told, rng)
    signal, partial = _signal(copies, lit, told, rng)
    steps = assay.steps * (1.0 + assay.gain_drift * rng.standard_normal((len(rates), 1)))
    empty = assay.baseline + told.drift * assay.gaps * rng.standard_normal(len(assay.baseline))
    light, noise = signal @ steps, assay.noise * _noise(n, told, rng)
    dust = np.flatnonzero(rng.random(n) < told.outliers)
    light[dust], copies[dust] = _dust(len(dust), assay, rng), -1
    amplitudes = (empty + light + noise).round(2)
    order = np.argsort(amplitudes[:, 0], kind="stable")
    return _Drawn(amplitudes[order], copies[order], partial[order])


def _copies(rates: Array, linked: float, n: int, told: _Conditions, rng: np.random.Generator) -> tuple[Array, Array]:
    """Copies (n, T) in n droplets, and how many loci of each target they light (n, T)."""
    volumes = _volumes(n, told.droplet_cv, rng)
    copies, lit = np.zeros((2, n, len(rates)), dtype=np.int16)
    for t, loci in enumerate(told.assay.loci):
        alone = rates[t] - (linked if t < 2 else 0.0)
        on_loci = rng.poisson(np.multiply.outer(volumes, np.full(loci, alone / loci)), (n, loci))
        copies[:, t], lit[:, t] = on_loci.sum(axis=1), (on_loci > 0).sum(axis=1)
    if linked > 0:
        copies[:, :2] += rng.poisson(linked * volumes, n)[:, None].astype(np.int16)
        lit[:, :2] = copies[:, :2] > 0
    return copies, lit


def _volumes(n: int, cv: float, rng: np.random.Generator) -> Array:
    """(n,) volumes of droplets around 1, or (1,) where all are alike."""
    return rng.gamma(cv**-2, cv**2, n) if cv > 0 else np.ones(1)


def _signal(copies: Array, lit: Array, told: _Conditions, rng: np.random.Generator) -> tuple[Array, Array]:
    """How far droplets stand up the steps of each target (n, T), and which are on their way there: rain and strays."""
    assay = told.assay
    signal, partial = lit.astype(float), np.zeros(lit.shape, dtype=bool)
    for t in range(lit.shape[1]):
        positive, dark = np.flatnonzero(lit[:, t]), np.flatnonzero(lit[:, t] == 0)
        rain = positive[rng.random(len(positive)) < told.rain[t]]
        signal[rain, t] += rng.beta(assay.rain_shape[0], assay.rain_shape[1], len(rain)) - 1.0
        spare = copies[positive, t] - lit[positive, t]
        gain = 1.0 + assay.more_copies * (1.0 - np.exp2(-spare.astype(float)))
        signal[positive, t] *= gain * (1.0 + assay.spread * rng.standard_normal(len(positive)))
        strays = dark[rng.random(len(dark)) < told.stray[t]]
        signal[strays, t] = rng.beta(assay.stray_shape[0], assay.stray_shape[1], len(strays))
        partial[rain, t] = partial[strays, t] = True
    if assay.competition.any():
        signal /= 1.0 + signal @ assay.competition.T
    return signal, partial


def _noise(n: int, told: _Conditions, rng: np.random.Generator) -> Array:
    """(n, C) skew-normal noise of mean 0 and standard deviation 1, the wide tail aside, correlated between channels."""
    delta = _delta(told.skew)
    centre = delta * np.sqrt(2.0 / np.pi)
    noise = np.sqrt(1.0 - delta**2) * rng.standard_normal((n, len(delta)))
    if delta.any():
        noise += delta * np.abs(rng.standard_normal(noise.shape))
    noise[rng.random(noise.shape) < told.tails] *= _WIDE
    noise = (noise - centre) / np.sqrt(1.0 - centre**2)
    if len(delta) == 2:
        r = told.assay.correlation
        noise[:, 1] = r * noise[:, 0] + np.sqrt(1.0 - r**2) * noise[:, 1]
    return noise


def _delta(skew: Array) -> Array:
    """The parameter delta of skew-normal laws (Azzalini 1985) from their skewness, which has a closed form."""
    power = np.abs(skew) ** (2.0 / 3.0)
    return np.sign(skew) * np.sqrt(np.pi / 2.0 * power / (power + ((4.0 - np.pi) / 2.0) ** (2.0 / 3.0)))


def _dust(n: int, assay: Assay, rng: np.random.Generator) -> Array:
    """(n, C) light of dust beyond an empty droplet: broken droplets are dim, merged ones bright in any channel."""
    dim = np.where(assay.baseline > 0, np.minimum(assay.baseline, assay.gaps), assay.gaps)
    highest = (np.maximum(assay.steps, 0.0) * np.array(assay.loci)[:, None]).sum(axis=0)
    broken = rng.random((n, 1)) < _SHARE_BROKEN
    return np.where(broken, -rng.uniform(*_BROKEN, (n, 1)) * dim, rng.uniform(*_MERGED, (n, 1)) * highest)


def _gather(
    names: tuple[str, ...], drawn: list[_Drawn], law: Array, controls: int, assay: Assay, volume_nl: float
) -> SimulatedPlate:
    """Wells to a plate and its truth; law (W, 1 + T): linked and all copies per droplet, controls last."""
    import pandas as pd

    wells = {
        name: Well(name, each.amplitudes, assay.channels, each.amplitudes > assay.thresholds)
        for name, each in zip(names, drawn, strict=True)
    }
    samples = _samples(names, _labels(law, controls), assay)
    problems = pd.DataFrame(columns=list(PROBLEM_COLUMNS), dtype=object)
    plate = Plate(wells, samples, _results(wells, samples, assay, volume_nl), problems, volume_nl)
    kinds = ["Unknown"] * (len(drawn) - controls) + ["NTC"] * controls
    truths = [_truth(*each, assay, volume_nl) for each in zip(names, kinds, law, drawn, strict=True)]
    copies = {name: each.copies for name, each in zip(names, drawn, strict=True)}
    return SimulatedPlate(plate, pd.concat(truths, ignore_index=True), copies, assay)


def _labels(law: Array, controls: int) -> list[tuple[str, str]]:
    """Sample and its type of every well: wells of the same law are replicates of one sample."""
    known: dict[tuple[float, ...], int] = {}
    found = [known.setdefault(tuple(row), len(known) + 1) for row in law[: len(law) - controls].tolist()]
    return [*((f"Sample {number}", "Unknown") for number in found), *[("NTC", "NTC")] * controls]


def _samples(names: Sequence[str], labels: Sequence[tuple[str, str]], assay: Assay) -> pd.DataFrame:
    """Every target of every well at its channel, and channels without a target."""
    import pandas as pd

    targets = [(assay.channel_of(t), name) for t, name in enumerate(assay.targets)]
    bare = [(channel, "") for channel in assay.channels if channel not in dict(targets)]
    in_order = sorted([*targets, *bare], key=lambda each: (not each[0], each[0]))
    rows = [(well, *each, *label) for well, label in zip(names, labels, strict=True) for each in in_order]
    return pd.DataFrame(rows, columns=list(SAMPLE_COLUMNS), dtype=object)


def _results(wells: Mapping[str, Well], samples: pd.DataFrame, assay: Assay, volume_nl: float) -> pd.DataFrame:
    """What an instrument prints that calls by one threshold per channel, as `Plate.instrument`."""
    table = samples.assign(TargetType=samples["SampleType"], Status="OK", MergedWells="")
    table = table.reindex(columns=list(INSTRUMENT_COLUMNS))
    table = table.astype({name: float for name in INSTRUMENT_COLUMNS if name not in INSTRUMENT_WORDS})
    for j, channel in enumerate(assay.channels):
        here = (table["Channel"] == channel).to_numpy()
        calls = [wells[name].calls for name in table.loc[here, "Well"]]
        n = np.array([len(each) for each in calls if each is not None], dtype=float)
        k = np.array([each[:, j].sum() for each in calls if each is not None], dtype=float)
        value, low, high = as_printed(*concentration(k, n, volume_nl))
        called = np.isfinite(value)
        ends = {"PoissonConfMin": np.where(called, low, np.nan), "PoissonConfMax": np.where(called, high, np.nan)}
        found = {"Concentration": np.where(called, value, np.nan), **ends, "Positives": k, "Negatives": n - k}
        threshold = assay.thresholds[j].round(2) if np.isfinite(assay.thresholds[j]) else np.nan
        for column, values in {**found, "AcceptedDroplets": n, "Threshold": threshold}.items():
            table.loc[here, column] = values
    return table


def _truth(name: str, kind: str, law: Array, drawn: _Drawn, assay: Assay, volume_nl: float) -> pd.DataFrame:
    """What is true of one well, a row per target."""
    import pandas as pd

    occupied, empty = drawn.copies > 0, drawn.copies == 0
    columns = {
        "Well": name,
        "SampleType": kind,
        "Target": assay.targets,
        "Lambda": law[1:],
        "Linked": np.where(np.arange(len(assay.targets)) < 2, law[0], 0.0),
        "Concentration": law[1:] * 1000.0 / volume_nl,
        "Droplets": int((drawn.copies[:, 0] >= 0).sum()),
        "Copies": np.where(occupied, drawn.copies, 0).sum(axis=0),
        "Occupied": occupied.sum(axis=0),
        "Rain": (drawn.partial & occupied).sum(axis=0),
        "Strays": (drawn.partial & empty).sum(axis=0),
    }
    return pd.DataFrame(columns)


def _sheet(results: pd.DataFrame) -> str:
    """Results as QuantaSoft 1.7.4 exports them: its rows have one field more than its header."""
    printed = results.assign(
        ExptType="Absolute Quantification",
        Experiment="ABS",
        TargetType=results["Channel"] + results["TargetType"],
        Supermix="",
        CopiesPer20uLWell=results["Concentration"] * 20.0,
    )
    text = printed[list(_SHEET)].to_csv(index=False, lineterminator=",\n", float_format="%.10g")
    return text.replace(",\n", "\n", 1)


def _rates(rates: Any, assay: Assay | str | None) -> tuple[Array, Assay]:
    """Copies per droplet (W, T) and the assay they belong to."""
    named = as_numbers(_columns(rates) if isinstance(rates, Mapping) else rates, "rates")
    found = named.values.astype(float)
    if found.ndim not in {1, 2} or not found.size:
        raise DataError(f"rates must have shape (W,) or (W, T), not empty; got {found.shape}")
    found = found.reshape(len(found), -1)
    bad: Array = ~((found >= 0) & (found <= MOST_COPIES))
    if bad.any():
        raise DataError(
            f"rates must be copies per droplet from 0 to {MOST_COPIES:g}; got {found[bad][0]:g} in "
            f"{name_rows(np.any(bad, axis=1))}: multiply copies/µL by the droplet's volume in µL"
        )
    chosen = _assay(assay, found.shape[1], named.names)
    if named.names is not None:
        found = found[:, [named.names.index(target) for target in chosen.targets]]
    return found, chosen


def _columns(rates: Mapping[Any, Any]) -> pd.DataFrame:
    """A table (W, T) of target -> (W,); one number holds for every well."""
    import pandas as pd

    values = {str(name): np.atleast_1d(as_numbers(column, f"rates of {name}").values) for name, column in rates.items()}
    try:
        return pd.DataFrame(dict(zip(values, np.broadcast_arrays(*values.values()), strict=True)))
    except ValueError:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in values.items())
        raise DataError(f"rates must have as many numbers (W,) for every target; got {shapes}") from None


def _assay(assay: Assay | str | None, n: int, names: tuple[str, ...] | None) -> Assay:
    """The assay told, or the usual one of n targets; names of targets given with the rates hold for one of `ASSAYS`."""
    if assay is None and n not in USUAL:
        raise DataError(f"an assay must be given for {n} targets; only 1, 2 and 3 have a usual one")
    found = USUAL[n] if assay is None else assay
    if isinstance(found, str):
        if found not in ASSAYS:
            raise DataError(f"assay must be an Assay or one of {', '.join(ASSAYS)}; got {found!r}")
        found = ASSAYS[found]
        if names is not None and len(names) == len(found.targets):
            found = replace(found, targets=names)
    if not isinstance(found, Assay):
        raise DataError(f"assay must be an Assay or one of {', '.join(ASSAYS)}; got {found!r:.80}")
    if n != len(found.targets) or (names is not None and set(names) != set(found.targets)):
        came = ", ".join(names) if names is not None else f"{n} columns"
        raise DataError(f"rates must hold the targets of the assay, {', '.join(found.targets)}; got {came}")
    return found


def _linked(linked: Any, rates: Array, assay: Assay) -> Array:
    """(W,) copies per droplet on molecules that carry the first two targets."""
    found = numbers(0.0 if linked is None else linked, "linked", (len(rates),), low=0.0)
    if not found.any():
        return found
    if rates.shape[1] < 2 or assay.loci[:2] != (1, 1):
        raise DataError("linked copies need two targets first in the assay that have one locus each")
    if (found > rates[:, :2].min(axis=1)).any():
        raise DataError("linked copies are counted in the rates of both targets, and must not exceed the lower of them")
    return found


def _streams(rng: Any, wells: int, controls: int) -> list[np.random.Generator]:
    """A stream of random numbers for each well; neither more wells nor more controls change the others."""
    try:
        ours, theirs = np.random.default_rng(rng).spawn(2)
    except (TypeError, ValueError):
        raise DataError(f"rng must be a whole number from 0 on, or a numpy generator; got {rng!r:.80}") from None
    return [*ours.spawn(wells), *theirs.spawn(controls)]
