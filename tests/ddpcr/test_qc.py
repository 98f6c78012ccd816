"""Every flag stands where its defect was planted, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from mixsci.ddpcr.plate import Well
from mixsci.ddpcr.qc import FEW_DROPLETS, flags
from mixsci.ddpcr.quantification import quantify
from mixsci.ddpcr.simulate import simulate_plate
from mixsci.engine.em.result import Outcome
from tests.ddpcr.plates import NEGATIVE, NOISE, POSITIVE, one_probe, one_target, plate_of

RATES = {"A01": 0.3, "A02": 0.05, "A03": 1.0, "A04": 0.6, "A05": 0.0}
KINDS = {"A05": "NTC"}


def droplets(seed=1, n=11_000, rates=RATES):
    rng = np.random.default_rng(seed)
    return {name: one_probe(rng, rate, n)[0] for name, rate in rates.items()}


def flagged(q):
    """The flags, well by well."""
    found = {}
    for well, flag in zip(q.qc["Well"], q.qc["Flag"], strict=True):
        found.setdefault(well, []).append(flag)
    return found


def planted(change, *, n=3000, **options):
    """Flags of a plate whose first well was changed, but for the droplets that are few on purpose."""
    wells = droplets(n=n)
    wells["A01"] = change(wells["A01"], np.random.default_rng(9))
    q = quantify(plate_of(wells, kinds=KINDS), **options)
    found = {well: [flag for flag in said if flag != "few droplets"] for well, said in flagged(q).items()}
    return {well: said for well, said in found.items() if said}, q


def reason(q, flag):
    return q.qc.query("Flag == @flag")["Reason"].iloc[0]


# --- nothing to say --------------------------------------------------------------------------------------------------


def test_a_good_plate_has_no_flags():
    q = quantify(plate_of(droplets(), kinds=KINDS))
    assert q.qc.empty
    assert list(q.qc.columns) == ["Well", "Target", "Flag", "Reason"]
    assert (q.results["QC"] == "").all()


# --- planted defects -------------------------------------------------------------------------------------------------


def test_few_droplets():
    wells = droplets(n=FEW_DROPLETS + 500)
    wells["A02"] = wells["A02"][: FEW_DROPLETS - 1]
    q = quantify(plate_of(wells, kinds=KINDS))
    assert flagged(q) == {"A02": ["few droplets"]}
    assert "9999 accepted droplets" in reason(q, "few droplets")


def test_no_call():
    wells = droplets(n=1000) | {"B01": Well("B01", np.empty((0, 0)), (), problem="the file is cut in line 7")}
    q = quantify(plate_of(wells, kinds=KINDS))
    assert flagged(q)["B01"] == ["no call"]
    assert reason(q, "no call") == "the file is cut in line 7"


@pytest.mark.parametrize("share", [0.03, 0.01])
def test_outliers(share):
    def dusty(x, rng):
        dust = rng.uniform(NEGATIVE - 40 * NOISE, NEGATIVE - 12 * NOISE, (round(share * len(x)), 1))
        return np.concatenate([x, dust])

    found, q = planted(dusty)
    assert found == ({"A01": ["outliers"]} if share > 0.02 else {})
    if found:
        assert "90 of 3090 droplets belong to no population" in reason(q, "outliers")


def test_baseline():
    found, q = planted(lambda x, _: x + 1500.0)
    assert found == {"A01": ["baseline"]}
    assert "times the usual drift" in reason(q, "baseline")


def test_saturated():
    wells = droplets(n=3000, rates=RATES | {"A01": 5.0})
    q = quantify(plate_of(wells, kinds=KINDS))
    assert "saturated" in flagged(q)["A01"]
    assert sum("saturated" in said for said in flagged(q).values()) == 1
    negatives = int((wells["A01"] < 3500).sum())
    assert f"only {negatives} droplets without the target: dilute" in reason(q, "saturated")


def test_a_small_well_is_not_taken_for_a_saturated_one():
    wells = droplets(n=3000)
    wells["A01"] = wells["A01"][:80]
    assert flagged(quantify(plate_of(wells, kinds=KINDS)))["A01"] == ["few droplets"]


def test_rain():
    made = simulate_plate([0.5, 0.3], rain=0.2, n_droplets=3000, controls=1, rng=1)
    q = quantify(made.plate)
    assert all("rain" in flagged(q)[well] for well in ("A01", "A02"))
    assert "rain" not in flagged(q)["A03"]
    assert "% of the positives are rain" in reason(q, "rain")


@pytest.mark.parametrize("clean", [0, 3])
def test_a_control_with_positives(clean):
    """Alone or beside clean ones: its own droplets are no excuse for it."""
    others = [f"A{6 + i:02d}" for i in range(clean)]
    wells = droplets(n=3000, rates=RATES | dict.fromkeys(others, 0.0))
    wells["A05"][:40] = POSITIVE
    q = quantify(plate_of(wells, kinds=dict.fromkeys(["A05", *others], "NTC")))
    assert "control with positives" in flagged(q)["A05"]
    assert "40 positive droplets in a well without template" in reason(q, "control with positives")
    assert sum("control with positives" in said for said in flagged(q).values()) == 1


def test_a_control_with_three_positives_is_let_pass():
    wells = droplets(n=3000)
    wells["A05"][:3] = POSITIVE
    assert "control with positives" not in flagged(quantify(plate_of(wells, kinds=KINDS)))["A05"]


@pytest.mark.parametrize(("gap", "wider"), [(900.0, 4), (500.0, 1)])
def test_populations_that_overlap(gap, wider):
    rng = np.random.default_rng(2)
    wells = {}
    for name, rate in RATES.items():
        positive = rng.random(4000) < -np.expm1(-rate)
        noise = np.where(positive, wider * NOISE, NOISE)
        wells[name] = (NEGATIVE + gap * positive + noise * rng.standard_normal(4000))[:, None]
    q = quantify(plate_of(wells, kinds=KINDS), law="binary")
    assert all("populations overlap" in said for said in flagged(q).values())
    assert set(flagged(q)) == set(RATES)
    assert "times the sum of their standard deviations apart" in reason(q, "populations overlap")


def test_no_positives_on_the_plate():
    q = quantify(plate_of(droplets(n=1000, rates=dict.fromkeys(RATES, 0.0)), kinds=KINDS))
    assert all("no positives on the plate" in said for said in flagged(q).values())
    assert "add a control" in reason(q, "no positives on the plate")


def test_a_broken_law():
    """Targets on one molecule are not independent: said where they are linked, not where they are not."""
    made = simulate_plate([[0.4, 0.4], [0.4, 0.4]], linked=[0.3, 0.0], n_droplets=2000, controls=1, rng=3)
    q = quantify(made.plate, law="binary")
    assert "law" in flagged(q)["A01"]
    assert "law" not in flagged(q)["A02"] + flagged(q)["A03"]
    assert "do not follow the law binary" in reason(q, "law")
    assert q.results.query("Well == 'A01'")["LawP"].max() < 1e-6 < q.results.query("Well == 'A02'")["LawP"].min()


@pytest.mark.parametrize(
    ("factor", "differs"), [(1.0, False), (1.08, False), (1.5, True), (0.5, True), (np.nan, False)]
)
def test_an_instrument_that_differs(factor, differs):
    _, q = one_target()
    rows = q.results.assign(ConcentrationInstrument=q.results["Concentration"])
    rows.loc[rows["Well"] == "A02", "ConcentrationInstrument"] *= factor
    found = flags(q.plate, q.assays, rows)
    said = found[found["Flag"] == "instrument differs"]
    assert said["Well"].tolist() == ["A02"] * differs
    if differs:
        theirs, ours = rows.set_index("Well").loc["A02", ["ConcentrationInstrument", "Concentration"]]
        assert said["Reason"].item() == f"the instrument has {theirs:.4g}, here {ours:.4g} copies/µL"


def test_a_climb_that_did_not_end():
    _, q = one_target()
    (assay,) = q.assays
    stopped = replace(assay.fit.fit, outcome=Outcome.MAX_ITER)
    halted = replace(assay, fit=replace(assay.fit, fit=stopped))
    found = flags(q.plate, (halted,), q.results)
    said = found[found["Flag"] == "not converged"]
    assert said["Well"].tolist() == list(assay.wells)
    assert set(said["Reason"]) == {Outcome.MAX_ITER.value}
    assert "not converged" not in set(q.qc["Flag"])


# --- where flags stand -----------------------------------------------------------------------------------------------


def test_flags_stand_in_the_results():
    wells = droplets(n=3000, rates=RATES | {"A01": 5.0})
    q = quantify(plate_of(wells, kinds=KINDS))
    said = q.results.set_index("Well")["QC"]
    assert said["A01"].split("; ") == ["few droplets", "saturated"]
    for well in wells:
        assert set(said[well].split("; ")) == set(flagged(q)[well])


def test_flags_come_in_the_order_of_the_plate():
    _, q = one_target()
    order = list(q.plate.wells)
    places = [order.index(well) for well in q.qc["Well"]]
    assert places == sorted(places)
