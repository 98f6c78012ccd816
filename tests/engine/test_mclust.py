"""Old Faithful and iris as R's mclust fits them: at least its likelihood, its criteria where optima are the same."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import mixsci as mx
from tests import mclust_reference
from tests.mclust_reference import FAMILIES, NEAR_SINGULAR, TOLERANCE, Reference, least_share, refit, rows

#: A component of seven flowers, all but flat: the likelihood grows without bound on the way there.
SINGULAR = {"iris VVV 4"}


@pytest.fixture(scope="module")
def references(real_data):
    return mclust_reference.references()


@cache
def our_fit(theirs: Reference) -> mx.Fit:
    return refit(theirs, starts=theirs.starts)


def hard_entropy(fit: mx.Fit, x: np.ndarray) -> float:
    """What mclust takes for the entropy: that every row belongs to its most probable component, minus its log."""
    return -float(np.log(fit.responsibilities(x).max(axis=1)).sum())


def test_the_reference_is_whole(references):
    assert len(references) == 72
    assert {(row.data, row.family, row.k) for row in references} == {
        (data, family, k) for data in ("faithful", "iris") for family in FAMILIES for k in range(1, 7)
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("data", ["faithful", "iris"])
def test_log_likelihood_is_at_least_that_of_mclust(references, data, family):
    """Six fits each, K from 1 to 6; equal numbers of free parameters."""
    for theirs in (row for row in references if (row.data, row.family) == (data, family)):
        ours = our_fit(theirs)
        assert ours.converged, theirs.name
        assert ours.n_free == theirs.n_free, theirs.name
        assert ours.log_likelihood >= theirs.log_likelihood - TOLERANCE, theirs.name
        assert (least_share(ours, data) < NEAR_SINGULAR) == (theirs.name in SINGULAR), theirs.name
        if abs(ours.log_likelihood - theirs.log_likelihood) < TOLERANCE:
            assert_equal_criteria(ours, theirs)


def assert_equal_criteria(ours: mx.Fit, theirs: Reference) -> None:
    """BIC up to sign; ICL up to sign with the entropy as mclust takes it, which is never more than ours."""
    x, rounding = rows(theirs.data), 2.5 * TOLERANCE
    assert ours.bic == pytest.approx(-theirs.bic, abs=rounding), theirs.name
    hard = ours.bic + 2 * hard_entropy(ours, x)
    assert ours.icl >= hard, theirs.name
    # A flat optimum moves responsibilities further than the likelihood.
    assert hard == pytest.approx(-theirs.icl, abs=20 * rounding), theirs.name


def test_mclust_s_icl_is_the_bic_of_the_classification_likelihood(references):
    theirs = next(row for row in references if row.name == "iris VVV 3")
    fit, x = our_fit(theirs), rows("iris")
    hard = mx.HardMixture(fit.weights, fit.means, fit.covariances)
    criterion = -2 * hard.log_density(x).sum() + fit.n_free * np.log(fit.n)
    assert criterion == pytest.approx(-theirs.icl, abs=0.02)
    assert criterion == pytest.approx(fit.bic + 2 * hard_entropy(fit, x), rel=1e-12)


def test_split_and_merge_never_takes_a_collapse_for_a_gain(references):
    theirs = next(row for row in references if row.name == "faithful VVV 4")
    fit = mx.fit(mx.Model(4), rows(theirs.data), rng=3, split_and_merge=True)
    assert fit.converged
