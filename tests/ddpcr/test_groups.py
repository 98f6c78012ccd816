"""Which wells share an assay, which are controls, and what their targets are called."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mixsci.ddpcr.groups import groups
from mixsci.ddpcr.plate import Well
from mixsci.errors import DataError
from tests.ddpcr.plates import plate_of

NONE = np.zeros((3, 0))


def droplets(channels):
    return np.arange(3.0 * channels).reshape(3, channels)


def plate(targets, *, channels=2, **words):
    return plate_of({name: droplets(channels) for name in targets}, targets=targets, **words)


def samples_without_channel(made, rows):
    """The samples with more targets, that no single channel shows."""
    more = pd.DataFrame([(well, "", target, "", "Unknown") for well, target in rows], columns=made.samples.columns)
    return pd.concat([made.samples, more], ignore_index=True)


# --- wells -----------------------------------------------------------------------------------------------------------


def test_wells_of_the_same_targets_share_an_assay():
    made = plate({"A01": ("VIM", "ref"), "A02": ("VIM", "ref"), "B01": ("GSTP1", "ref"), "B02": ("VIM", "ref")})
    found = groups(made, None, None)
    assert [group.wells for group in found] == [("A01", "A02", "B02"), ("B01",)]
    assert found[0].channels == ("Ch1", "Ch2")
    assert found[1].names([0, 1]) == ["GSTP1", "ref"]


def test_wells_of_other_channels_are_another_assay():
    made = plate_of({"A01": droplets(1), "A02": droplets(2), "A03": droplets(1)})
    assert [(group.wells, group.channels) for group in groups(made, None, None)] == [
        (("A01", "A03"), ("Ch1",)),
        (("A02",), ("Ch1", "Ch2")),
    ]


def test_nameless_wells_go_with_the_only_assay_that_has_names():
    made = plate({"A01": ("", ""), "A02": ("VIM", "ref"), "A10": ("VIM", "ref"), "B01": ("", "")})
    (found,) = groups(made, None, None)
    assert found.wells == ("A01", "A02", "A10", "B01")
    assert found.names([0, 1]) == ["VIM", "ref"]


def test_nameless_wells_stay_alone_beside_two_assays():
    made = plate({"A01": ("", ""), "A02": ("VIM", "ref"), "A03": ("GSTP1", "ref")})
    assert sorted(group.wells for group in groups(made, None, None)) == [("A01",), ("A02",), ("A03",)]


def test_nameless_wells_of_other_channels_stay_alone():
    wells = {"A01": droplets(1), "A02": droplets(2)}
    made = plate_of(wells, targets={"A02": ("VIM", "ref")})
    assert [group.wells for group in groups(made, None, None)] == [("A01",), ("A02",)]


def test_wells_with_a_problem_are_left_out():
    wells = {"A01": droplets(1), "A02": Well("A02", NONE, (), problem="it is empty")}
    (found,) = groups(plate_of(wells), None, None)
    assert found.wells == ("A01",)


def test_a_plate_without_a_usable_well_is_refused():
    wells = {name: Well(name, NONE, (), problem=f"{name} is empty") for name in ("A01", "A02")}
    with pytest.raises(DataError, match="at least one well must be usable; none is: A01 is empty; A02 is empty"):
        groups(plate_of(wells), None, None)
    with pytest.raises(DataError, match="at least one well"):
        groups(plate_of({}), None, None)


# --- controls --------------------------------------------------------------------------------------------------------


def test_controls_are_those_of_the_samples():
    made = plate({"A01": ("", ""), "A02": ("", ""), "H05": ("", "")}, kinds={"H05": "NTC", "A02": "PosCtrl"})
    assert groups(made, None, None)[0].controls == ("H05",)


@pytest.mark.parametrize("ntc", [["a2", "H5"], ("A02", "H05"), {"A02": 1, "H05": 2}, iter(["H05", "A02"])])
def test_controls_named_have_precedence(ntc):
    made = plate({"A01": ("", ""), "A02": ("", ""), "H05": ("", "")}, kinds={"A01": "NTC"})
    assert groups(made, ntc, None)[0].controls == ("A02", "H05")


def test_one_control_may_be_named_alone_and_none_may_be_meant():
    made = plate({"A01": ("", ""), "H05": ("", "")}, kinds={"A01": "NTC"})
    assert groups(made, "H05", None)[0].controls == ("H05",)
    assert groups(made, [], None)[0].controls == ()


@pytest.mark.parametrize(
    ("ntc", "words"),
    [
        (["B07"], "ntc names wells B07; the plate has A01"),
        (["no template"], "a well must be a row A to P and a column 1 to 24"),
        (5, "ntc must name wells, such as"),
    ],
)
def test_controls_the_plate_does_not_have_are_refused(ntc, words):
    with pytest.raises(DataError, match=words):
        groups(plate({"A01": ("", "")}), ntc, None)


def test_every_assay_has_its_own_controls():
    targets = {"A01": ("X", "r"), "A02": ("X", "r"), "B01": ("Y", "r"), "B02": ("Y", "r")}
    found = groups(plate(targets, kinds={"A02": "NTC", "B02": "NTC"}), None, None)
    assert [group.controls for group in found] == [("A02",), ("B02",)]


# --- channels --------------------------------------------------------------------------------------------------------


def test_channels_may_be_chosen():
    made = plate({"A01": ("A", "B", "C", "D")}, channels=4)
    (found,) = groups(made, None, ("Ch2", "Ch4"))
    assert found.channels == ("Ch2", "Ch4")
    assert found.names([0, 1]) == ["B", "D"]
    assert groups(made, None, ["Ch3"])[0].names([0]) == ["C"]


def test_more_than_two_channels_are_refused():
    with pytest.raises(DataError, match="well A01 has Ch1, Ch2, Ch3: choose"):
        groups(plate({"A01": ("", "", "")}, channels=3), None, None)


def test_channels_that_are_not_there_are_refused():
    with pytest.raises(DataError, match="channels must be among those of well A01, Ch1, Ch2; got Ch7"):
        groups(plate({"A01": ("", "")}), None, ["Ch7"])


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_follow_the_channels():
    (found,) = groups(plate({"A01": ("VIM", "")}), None, None)
    assert found.names([0, 1]) == ["VIM", "Ch2"]


def test_the_same_name_twice_is_told_apart():
    (found,) = groups(plate({"A01": ("VIM", "VIM")}), None, None)
    assert found.names([0, 1]) == ["VIM (1)", "VIM (2)"]


def test_two_targets_on_one_channel_are_named_together():
    made = plate({"A01": ("A", "B")})
    samples = made.samples.copy()
    extra = samples.iloc[[0]].assign(Target="C")
    (found,) = groups(replace(made, samples=pd.concat([samples, extra])), None, None)
    assert found.names([0, 1]) == ["A + C", "B"]


def test_a_target_of_the_plane_stands_between_those_of_the_channels():
    made = plate({"A01": ("TBP", "RPPH1")})
    (found,) = groups(replace(made, samples=samples_without_channel(made, [("A01", "NAGK")])), None, None)
    assert found.names([None, None, None]) == ["TBP", "NAGK", "RPPH1"]
    assert found.names([None, None, None, None]) == ["Target 1", "Target 2", "Target 3", "Target 4"]
    assert found.names([0, 1]) == ["TBP", "RPPH1"]
