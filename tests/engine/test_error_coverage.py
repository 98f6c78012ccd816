"""Intervals hold the truth about as often as they say: a short form of `python -m tests.error_coverage`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.error_coverage import PROBLEMS, SAME, apart, held, labels

RUNS = 15


@pytest.mark.parametrize("name", PROBLEMS)
def test_intervals_hold_the_truth(name):
    found = np.array([held(name, run) for run in range(RUNS)])
    assert found.shape == (RUNS, len(labels(name)))
    # 15 sets of 8 or 9 numbers, some of which hang together: a share of 0.95 is known to 0.025 or so.
    assert 0.87 < found.mean() <= 1.0


def test_fits_from_their_own_starts_end_where_those_from_the_truth_do():
    assert abs(apart("plain", 0)) < SAME
