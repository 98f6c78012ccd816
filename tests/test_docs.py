"""The examples that users read first run as they stand."""

import re

import pytest

from tests.conftest import ROOT


@pytest.mark.floors
@pytest.mark.parametrize("page", ["README.md", "docs/first-steps.md"])
def test_examples_run(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    means, covariances = names["means"], names["covariances"]
    assert means.shape == (1000, 2)
    assert covariances.shape == (1000, 2, 2)
    assert (tmp_path / "model.json").exists()
