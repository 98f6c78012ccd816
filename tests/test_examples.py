"""Every example runs as it stands, without a warning, and finds what it set out to find."""

import re
import runpy

import matplotlib.pyplot as plt
import pytest

from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_the_gallery_lists_every_example_once():
    listed = re.findall(r"^\| `(\w+)\.py`", (ROOT / "docs" / "examples.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == [path.stem for path in EXAMPLES]


def exit_code(path):
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:  # an optional library is not there
        return stop.code
    return 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert not exit_code(path)
    plt.close("all")
    printed = capsys.readouterr().out
    if printed.startswith("skipped: "):
        pytest.skip(printed)
    assert "Converged" in printed
    assert "nan" not in printed.lower()
