"""What a picture of a well shows: its states by name and place, its droplets by call, the curves fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.ddpcr.calls import Calls
from mixsci.ddpcr.laws import Scheme
from mixsci.ddpcr.palette import INK, WARNING, colors_of_codes, darker
from mixsci.ddpcr.plate import well_name
from mixsci.ddpcr.quantified import amplitudes

if TYPE_CHECKING:
    import pandas as pd

    from mixsci.ddpcr.quantified import Quantification, QuantifiedAssay, QuantifiedWell

Array = np.ndarray

#: Code of a droplet of no population.
OUTLIER = -1
#: A state with fewer expected droplets than this is not there.
FEWEST = 1.0
#: Bins of a histogram.
BINS = 160
#: Curves are drawn down to so many droplets in a bin.
_LEAST = 0.1


@dataclass(frozen=True, eq=False)
class Portrait:
    """One well as fitted, ready to be drawn.

    Attributes:
        assay: the wells it was fitted with. well: itself.
        x: (n, C) amplitudes of its droplets, in the file's order.
        codes: (n,) what each was called: the sum of 2^(T-1-t) over its targets t, `OUTLIER` for no population.
        title: its name and sample. lines: what is said of every target and of flags, each with its colour.
    """

    assay: QuantifiedAssay
    well: QuantifiedWell
    x: Array
    codes: Array
    title: str
    lines: tuple[tuple[str, str], ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """(C,) names."""
        return self.assay.group.channels

    @property
    def scheme(self) -> Scheme:
        """The targets."""
        return self.assay.fit.scheme

    @cached_property
    def colors(self) -> tuple[str, ...]:
        """(2^T + 1,) colours of the codes; that of `OUTLIER` comes last."""
        return (*colors_of_codes(self.channels, len(self.assay.targets)), INK)

    @cached_property
    def code_of_state(self) -> Array:
        """(S,) what a droplet in each state is called."""
        return codes_of(self.scheme.states > 0)

    @cached_property
    def weights(self) -> Array:
        """(K,) share of the well's droplets in each component: the state's by its lambda, times the shape's."""
        return self.assay.fit.layout.weigh(self.well.rates.weights, self.well.mixture.weights)

    @property
    def cores(self) -> Array:
        """(S,) the component at the heart of each state."""
        return self.assay.fit.layout.cores

    @property
    def levels(self) -> Array:
        """(S, C) amplitudes of the states in this well."""
        return np.asarray(self.well.mixture.means[self.cores])

    @property
    def spreads(self) -> Array:
        """(S, C, C) covariances of their cores."""
        return np.asarray(self.well.mixture.covariances[self.cores])

    @property
    def present(self) -> Array:
        """(S,) whether a state holds droplets."""
        return np.asarray(self.well.rates.counted >= FEWEST)

    @cached_property
    def shown(self) -> Array:
        """(S,) whether a state is drawn: where droplets are, and where those of each target alone would be."""
        return np.asarray(self.present | ((self.scheme.states > 0).sum(axis=1) <= 1))

    @cached_property
    def rain_paths(self) -> list[tuple[int, int]]:
        """(low, high) states between which droplets of the higher one are strewn."""
        parts = self.assay.fit.layout.parts
        return sorted({(part.low, part.high) for part in parts if part.kind == "rain"})

    @cached_property
    def corners(self) -> tuple[Array, Array]:
        """(C,) and (C,): where a picture begins and ends, droplets and states inside, and room for a line above."""
        reach = 2.2 * np.sqrt(np.diagonal(self.spreads, axis1=1, axis2=2))[self.shown]
        inside = np.concatenate([self.x, self.levels[self.shown] - reach, self.levels[self.shown] + reach])
        low, high = inside.min(axis=0), inside.max(axis=0)
        return low - 0.03 * (high - low), high + np.array([0.03, 0.09])[: len(low)] * (high - low)

    def along(self, channel: int) -> list[tuple[int, float]]:
        """(number, threshold) of the targets that light along a channel."""
        own = [t for t, target in enumerate(self.scheme.targets) if target.channel == channel]
        return [(t, float(self.well.thresholds[t])) for t in own]

    def edges(self, channel: int) -> Array:
        """(BINS + 1,) edges of the histogram of a channel."""
        return np.linspace(self.corners[0][channel], self.corners[1][channel], BINS + 1)

    def bars(self, channel: int) -> list[tuple[int, Array]]:
        """The code and the droplets in each bin (BINS,) of everything called in the well."""
        x, edges = self.x[:, channel], self.edges(channel)
        return [(int(code), np.histogram(x[self.codes == code], edges)[0]) for code in np.unique(self.codes)]

    def curves(self, channel: int, grid: Array) -> Array:
        """(S, t) expected droplets of each state in a bin around amplitudes grid (t,) of a channel."""
        mixture, width = self.well.mixture, np.diff(self.edges(channel))[0]
        sd = np.sqrt(mixture.covariances[:, channel, channel])
        z = (grid[:, None] - mixture.means[:, channel]) / sd
        each = width * self.well.accepted * self.weights * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * sd)
        state_of = self.assay.fit.layout.state_of
        return np.stack([each[:, state_of == s].sum(axis=1) for s in range(len(self.levels))])

    def lines_along(self, channel: int) -> tuple[Array, list[tuple[str, Array]]]:
        """Amplitudes (t,), and the curves (t,) of all states with their colours, that of all droplets last.

        In a plane states that are called alike are one curve. Far below one droplet a curve is NaN.
        """
        edges = self.edges(channel)
        grid = np.linspace(edges[0], edges[-1], 3 * BINS + 1)
        each, codes = self.curves(channel, grid), self.code_of_state
        if len(self.channels) > 1:
            codes = np.unique(codes)
            each = np.stack([each[self.code_of_state == code].sum(axis=0) for code in codes])
        curves = np.vstack([each, each.sum(axis=0)])
        curves[curves < _LEAST] = np.nan
        inks = [*(darker(self.colors[code]) for code in codes), INK]
        return grid, list(zip(inks, curves, strict=True))


def portrait(q: Quantification, well: str, calls: Calls | None = None) -> Portrait:
    """The portrait of a well; `calls` of its droplets where they are at hand.

    Raises:
        DataError: a well that was not quantified.
    """
    assay, name = q.assay_of(well), well_name(well)
    x = amplitudes(q.plate, name, assay.group.channels)
    found = q.calls(name) if calls is None else calls
    codes = np.where(found.accepted, codes_of(found.called), OUTLIER)
    rows = results_of(q, well=name)
    sample = next((str(text) for text in rows["Sample"] if str(text)), "")
    title = f"{name}  {short(sample, 48)}" if sample else name
    return Portrait(assay, assay.wells[name], x, codes, title, tuple(_lines(q, assay, name, rows)))


def _lines(q: Quantification, assay: QuantifiedAssay, well: str, rows: pd.DataFrame) -> list[tuple[str, str]]:
    colors = colors_of_codes(assay.group.channels, len(assay.targets))
    lines = []
    for t, row in enumerate(rows.to_dict("records")):
        blank = "" if above_blank(row["AboveLoB"]) else ", not above blank"
        value, low, high = (number(row[name]) for name in ("Concentration", "PoissonConfMin", "PoissonConfMax"))
        said = f"{short(str(row['Target']), 26)}  {value} [{low}, {high}] copies/µL{blank}"
        lines.append((said, darker(colors[1 << (len(assay.targets) - 1 - t)])))
    flags = flags_of(q, well)
    return [*lines, (f"flags: {', '.join(flags)}", WARNING)] if flags else lines


def results_of(q: Quantification, target: str | None = None, well: str | None = None) -> pd.DataFrame:
    """Rows of the results: wells with a result, merged ones left out; of one target, or of one well."""
    chosen = (q.results["MergedWells"] == "") & (q.results["Status"] == "OK")
    if target is not None:
        chosen &= q.results["Target"] == target
    if well is not None:
        chosen &= q.results["Well"] == well
    return q.results[chosen]


def flags_of(q: Quantification, well: str) -> list[str]:
    """The flags of a well, each once."""
    return [str(flag) for flag in dict.fromkeys(q.qc.loc[q.qc["Well"] == well, "Flag"])]


def targets_of(q: Quantification) -> list[str]:
    """The targets of a plate, those of the first assay first."""
    return list(dict.fromkeys(target for assay in q.assays for target in assay.targets))


def wells_of(q: Quantification) -> list[str]:
    """The wells that were quantified, in the order of the plate."""
    found = {name for assay in q.assays for name in assay.wells}
    return [name for name in q.plate.wells if name in found]


def above_blank(said: Any) -> bool:
    """Whether a well shows more than a blank, as the results have it; true where nothing is known of blanks."""
    import pandas as pd

    return True if pd.isna(said) else bool(said)


def codes_of(called: Array) -> Array:
    """(n,) codes of targets called (n, T): the sum of 2^(T-1-t), so that the last target changes fastest."""
    return np.asarray(called @ (1 << np.arange(called.shape[1])[::-1]))


def names_of_codes(targets: tuple[str, ...]) -> list[str]:
    """(2^T,) what a droplet of each code holds, in words.

    >>> from mixsci.ddpcr.portrait import names_of_codes
    >>> names_of_codes(("BRAF", "RPP30"))
    ['negative', 'RPP30', 'BRAF', 'BRAF + RPP30']
    """
    found = []
    for code in range(2 ** len(targets)):
        held = [target for t, target in enumerate(targets) if code >> (len(targets) - 1 - t) & 1]
        found.append(" + ".join(held) or "negative")
    return found


def apart(points: Array, codes: Array, corners: tuple[Array, Array], spots: tuple[int, ...]) -> tuple[Array, Array]:
    """One droplet for each spot of a picture that holds any of its code: index (m,), and how many lie there (m,).

    Args:
        points: (n, D) places. codes: (n,) kinds of droplets, from `OUTLIER` up.
        corners: (D,) each, of the picture. spots: (D,) along its sides.
    """
    low, high = corners
    most = np.array(spots) - 1
    cell = np.clip((points - low) / (high - low) * spots, 0, most).astype(np.int64)
    kinds = codes - OUTLIER
    keys = np.ravel_multi_index((kinds, *cell.T), (int(kinds.max(initial=0)) + 1, *spots))
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return first, counts


def number(value: float) -> str:
    """A concentration to the digits that matter, "–" where there is none.

    >>> from mixsci.ddpcr.portrait import number
    >>> [number(value) for value in (1356.2, 54.86, 6.511, 0.163, 0.082, 0, float("nan"))]
    ['1356', '54.9', '6.51', '0.16', '0.082', '0', '–']
    """
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    digits = next((digits for least, digits in ((99.95, 0), (9.995, 1), (0.1, 2)) if abs(value) >= least), 3)
    return "0" if value == 0 else f"{value:.{digits}f}"


def short(text: str, most: int) -> str:
    """Text cut to so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
