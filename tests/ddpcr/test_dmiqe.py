"""The checklist says what the droplets tell, and marks what only the lab knows."""

from dataclasses import replace

import numpy as np
import pytest

import mixsci
from mixsci.ddpcr import dmiqe
from mixsci.ddpcr.portrait import results_of
from tests.ddpcr.conftest import COMMA


def items(q):
    return {row.Item: (row.Value, row.Note) for row in dmiqe.table(q).itertuples()}


def test_every_item_has_a_value_or_a_blank_for_the_lab(outputs_duplex, outputs_single, outputs_two_assays):
    for q in (outputs_duplex, outputs_single, outputs_two_assays):
        table = dmiqe.table(q)
        assert list(table) == ["Item", "Value", "Note"]
        assert table["Item"].is_unique
        empty = table[table["Value"] == ""]
        assert empty["Note"].str.contains(dmiqe.BLANK).all()
        assert not table.astype(str).apply(lambda column: column.str.contains(r"\bnan\b|\binf\b|None")).to_numpy().any()
    blank = {name for name, (value, _) in items(outputs_single).items() if not value}
    assert {"Experimental design", "Normalisation", "Positive controls", "Reproducibility between runs"} <= blank


def test_partitions_and_copies(outputs_duplex):
    found = items(outputs_duplex)
    wells = outputs_duplex.assays[0].wells
    counts = np.array([well.accepted for well in wells.values()])
    said, span = found["Partitions analysed per well"]
    assert said == f"{counts.mean():,.0f} ± {counts.std(ddof=1):,.0f} (standard deviation)"
    assert span == f"from {counts.min():,} to {counts.max():,} in 4 wells"
    assert found["Partition volume"] == ("0.85 nL", f"where it was taken from: {dmiqe.BLANK}")
    assert found["Volume analysed per well"][0] == f"{counts.mean() * 0.85e-3:.3g} µL"
    rates = np.array([wells[name].rates.rates[1] for name in ("A01", "A02", "A03")])
    said, span = found["Copies per partition, RPP30"]
    assert said == f"{rates.mean():.3g} ± {rates.std(ddof=1):.3g} (standard deviation)"
    assert span.endswith("in 3 wells, controls left out")


def test_volume_with_error_and_spread(outputs_single):
    settings = replace(outputs_single.settings, volume_sd_nl=0.02, droplet_cv=0.03)
    said = dmiqe.volume_in_words(replace(outputs_single, settings=settings))
    assert said == "0.85 ± 0.02 nL, CV 3 % between droplets"


def test_program_and_method(outputs_duplex):
    found = items(outputs_duplex)
    assert found["Program of analysis"][0] == f"mixsci {mixsci.__version__}"
    assert "law (" + outputs_duplex.assays[0].name + ": binary)" in found["Classification of partitions"][0]
    assert found["Classification of partitions"][1] == "law asked for: binary"
    fit = outputs_duplex.assays[0].fit.fit
    assert found[f"Fit of {outputs_duplex.assays[0].name}"] == (
        f"{fit.mixture.n_components} components, {fit.n_free} free parameters, {fit.n_iter} passes",
        fit.outcome.value,
    )
    levels = [well.thresholds[1] for well in outputs_duplex.assays[0].wells.values()]
    said = f"{np.median(levels):,.0f}, from {min(levels):,.0f} to {max(levels):,.0f}"
    assert found["Amplitude of first positives, RPP30"][0] == said
    assert found["Normalisation"] == ("against RPP30, 2 copies per genome", "")


@pytest.mark.parametrize(
    ("ci", "said"), [("profile", "plate model"), ("exact", "Clopper-Pearson"), ("wilson", "Wilson")]
)
def test_intervals_in_words(outputs_single, ci, said):
    settings = replace(outputs_single.settings, ci=ci, level=0.9)
    words = dmiqe.interval_in_words(replace(outputs_single, settings=settings))
    assert words.startswith("90 %, ")
    assert said in words


def test_laws_in_words(outputs_single):
    asked = {"Ch1": "binary", "Ch2": "multiplex:4"}
    settings = replace(outputs_single.settings, law=asked)
    assert dmiqe.law_in_words(replace(outputs_single, settings=settings)) == "Ch1=binary, Ch2=multiplex:4"


def test_controls_and_limits(outputs_single, outputs_two_assays):
    found, limit = items(outputs_single), outputs_single.lob["Target"]
    held = [int(outputs_single.assays[0].wells[name].positives[0]) for name in ("A05", "A06")]
    assert found["Controls without template, Target"] == ("2: A05, A06", f"positive droplets: {held[0]}, {held[1]}")
    assert found["Limit of blank, Target"][0].startswith(f"{limit.lob:g} positive droplets, ")
    assert found["Limit of blank, Target"][1] == limit.method
    assert found["Limit of detection, Target"][0].startswith(f"{limit.lod:.1f} copies per well, ")
    said = items(outputs_two_assays)
    assert said["Controls without template, Other"] == ("none on the plate", "no limit of blank or of detection")


def test_replicates(outputs_duplex, outputs_single):
    found = items(outputs_duplex)
    rows = results_of(outputs_duplex, COMMA).set_index("Well")["Concentration"]
    pair = rows.loc[["A02", "A03"]].to_numpy()
    cv = 100 * pair.std(ddof=1) / pair.mean()
    assert found[f"Repeatability, {COMMA}"][0] == f"median CV {cv:.1f} %"
    alone = replace(outputs_single, results=outputs_single.results.assign(Sample=outputs_single.results["Well"]))
    assert items(alone)["Repeatability"] == ("", f"no sample has two wells: {dmiqe.BLANK}")


def test_what_was_left_out(outputs_duplex, outputs_single):
    assert items(outputs_duplex)["Wells left out"] == ("B02", "B02: B02_Amplitude.csv is empty: export it again")
    assert items(outputs_single)["Wells left out"] == ("none", "")
    lost = sum(well.outliers for well in outputs_single.assays[0].wells.values())
    assert items(outputs_single)["Droplets left out"][0].startswith(f"{lost} in all, ")
