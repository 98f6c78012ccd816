"""The examples that users and newcomers read first run as they stand."""

import re

import numpy as np
import pytest

from tests.conftest import ROOT


def run_examples(page: str) -> dict[str, object]:
    """Run the Python blocks of a page one after the other; returns the names they leave."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {"__name__": page}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.floors
@pytest.mark.parametrize("page", ["README.md", "docs/first-steps.md"])
def test_first_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_examples(page)
    truth = np.array([[0.0, 0.0], [6.0, 6.0]])
    found = names["fit"].mixture.means
    assert np.abs(found[np.argsort(found[:, 0])] - truth).max() < 0.4
    assert names["means"].shape == (1000, 2)
    assert names["covariances"].shape == (1000, 2, 2)
    assert (tmp_path / "model.json").exists()


def test_a_structure_added_as_the_docs_say_is_fitted():
    fit = run_examples("docs/extend/covariance.md")["fit"]
    covariance = fit.mixture.covariances[0]
    assert (covariance[2, :2] == 0).all()
    assert (covariance[:2, 2] == 0).all()
    assert covariance[0, 1] != 0
    assert fit.n_free == 3 + 4
