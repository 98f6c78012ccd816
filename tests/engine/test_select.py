"""The number of components: criteria against their definitions, warm starts, what is kept from fits, sentences."""

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.inference.held_out import PARTS, rows_left_out, values_left_out
from mixsci.engine.inference.select import CRITERIA, Candidate, Selection
from tests import select_accuracy
from tests.separated import APART, separated_set, truth


@pytest.fixture(scope="module")
def three():
    obs, k = separated_set(2, gaps=0.3)
    assert k == 3
    return obs


@pytest.fixture(scope="module")
def selection(three):
    return mx.select(three, range(1, 5), ("full", "diag"), starts=2, rng=0)


# --- what is found ----------------------------------------------------------------------------------------------------


def test_the_sets_are_as_separated_as_they_say():
    for seed in range(12):
        means = truth(seed).means
        apart = np.linalg.norm(means[:, None] - means, axis=2)[np.triu_indices(len(means), 1)]
        assert (apart >= APART).all()
        assert len(means) == 1 + seed % 6


@pytest.mark.parametrize(("seed", "gaps", "noise"), [(0, 0.3, True), (3, 0.0, False), (3, 0.0, True), (4, 0.3, True)])
def test_bic_finds_the_number(seed, gaps, noise):
    obs, k = separated_set(seed, gaps, noise=noise)
    assert mx.select(obs, range(max(k - 1, 1), k + 2), "full", starts=2, rng=0).minimum == k


def test_a_short_run_of_the_acceptance():
    assert all(guess == k for guess, k in (select_accuracy.found(0.3, seed) for seed in (1, 8)))
    assert sum(select_accuracy.rejected(1, seed) for seed in range(8)) <= 2


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_every_criterion_finds_three_clear_components(three, criterion):
    found = mx.select(three, range(2, 5), "full", criterion, starts=2, folds=2, rng=0)
    assert found.minimum == 3
    assert found.best.mixture.n_components == 3


def test_criteria_are_as_defined(selection):
    for line in selection.table.itertuples():
        fit = selection.fits[line.n_components, line.covariance]
        assert line.bic == pytest.approx(-2 * fit.log_likelihood + fit.n_free * np.log(fit.n))
        assert line.aic == pytest.approx(-2 * fit.log_likelihood + 2 * fit.n_free)
        assert line.icl == pytest.approx(line.bic + 2 * fit.entropy)
        assert np.isnan(line.held_out)


def test_the_likelihood_never_falls_with_k(three):
    numbers = (1, 2, 3, 4, 6, 7)
    found = mx.select(three, numbers, ("full", "tied"), starts=1, rng=3)
    for name in ("full", "tied"):
        climbed = [found.fits[k, name].log_likelihood for k in numbers]
        assert (np.diff(climbed) >= -1e-6 * found.best.n).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_result_does_not_depend_on_threads(three, selection, workers):
    again = mx.select(three, range(1, 5), ("full", "diag"), starts=2, rng=0, workers=workers)
    assert again.table.equals(selection.table)


def test_all_else_is_taken_from_a_model(three):
    model = mx.Model(prior=mx.prior.InverseWishart(), background=mx.UniformBackground([-20.0] * 2, [20.0] * 2))
    found = mx.select(three, [2, 3], "full", model=model, starts=2, rng=0)
    assert found.best.mixture.background is not None
    assert found.best.log_prior != 0.0


def test_linked_weights_and_ladders_come_from_a_function():
    made = np.random.default_rng(0)
    copies = np.minimum(made.poisson(0.8, 2000), 2)
    x = (4.0 * copies + made.normal(size=2000))[:, None]

    def ladder(k, covariance):
        design = np.stack([np.ones(k), np.arange(k)], axis=-1)[:, None]
        return mx.Model(k, covariance, mx.weights.Poisson("truncated"), mx.means.Ladder(design))

    found = mx.select(x, [2, 3, 4], "tied", model=ladder, rng=0)
    assert found.minimum == 3


def test_mixtures_of_factors_are_compared_too():
    adata = np.random.default_rng(0)
    types = adata.integers(2, size=200)
    x = 4.0 * types[:, None] * np.ones(12) + adata.normal(size=(200, 12))
    found = mx.select(x, [1, 2, 3], "tied", model=mx.FactorModel(1, 1), starts=2, rng=0)
    assert found.minimum == 2


# --- what is kept from fits -------------------------------------------------------------------------------------------


def test_every_row_is_left_out_once(three):
    parts = list(rows_left_out(three, 5, np.random.default_rng(0)))
    assert {len(part.seen) for part in parts} == {4 * len(three) // 5}
    # Rows in which nothing is observed count for nothing.
    assert sum(part.size for part in parts) == three.seen().any(axis=1).sum() < len(three)


def test_hidden_values_are_foretold_by_the_conditional_density():
    rng = np.random.default_rng(1)
    covariance = np.array([[2.0, 1.2], [1.2, 1.0]])
    x = rng.multivariate_normal([0.0, 0.0], covariance, 300)
    obs = mx.Observations(x, mx.noise.from_errors([0.5, 0.3]))
    fit = mx.fit(mx.Model(1), obs, rng=0)
    total = fit.covariances[0] + np.diag([0.25, 0.09])
    for part in values_left_out(obs, 2, np.random.default_rng(0)):
        expected = 0.0
        for row, left in zip(x, part.seen.x, strict=True):
            gone, kept = np.isnan(left), ~np.isnan(left)
            apart = row - fit.means[0]
            gain = total[np.ix_(gone, kept)] @ np.linalg.inv(total[np.ix_(kept, kept)])
            mean, variance = gain @ apart[kept], total[np.ix_(gone, gone)] - gain @ total[np.ix_(kept, gone)]
            if gone.any():
                expected -= 0.5 * float(
                    (apart[gone] - mean) @ np.linalg.solve(variance, apart[gone] - mean)
                    + np.linalg.slogdet(2 * np.pi * variance)[1]
                )
        assert part.score(fit) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("criterion", list(PARTS))
def test_rows_that_count_for_nothing_change_nothing(criterion):
    x = np.random.default_rng(0).normal(size=(40, 2))
    x[30:35] = np.nan
    obs = mx.Observations(x, row_weights=np.repeat([1.0, 0.0], [35, 5]))
    # Leaving out one row at a time leaves out rows without weight and rows without values, too.
    found = mx.select(obs, [1, 2], "full", criterion, starts=1, folds=40, rng=0)
    assert all(np.isfinite(one.foretold).all() for one in found.candidates)
    if criterion == "cross_validation":
        assert len(found.candidates[0].foretold) == 30


def test_a_row_of_weight_two_is_foretold_twice(three):
    twice = mx.Observations(three.x, row_weights=np.full(len(three), 2.0))
    once, doubled = (next(iter(rows_left_out(obs, 3, np.random.default_rng(0)))) for obs in (three, twice))
    fit = mx.fit(mx.Model(3), three, rng=0)
    assert doubled.score(fit) == pytest.approx(2 * once.score(fit))
    assert doubled.size == 2 * once.size


# --- sentences and pictures -------------------------------------------------------------------------------------------


class _Fit:
    def __init__(self, bic, converged=True):
        self.bic, self.converged = bic, converged


def line(k, bic, covariance="full", *, converged=True):
    return Candidate(k, covariance, _Fit(bic, converged))


def test_numbers_within_two_are_undecided():
    found = Selection((line(1, 50.0), line(2, 10.0), line(3, 11.5), line(3, 11.0, "diag")), "bic")
    assert (
        found.verdict
        == "K is undecided: BIC cannot tell K = 2 and 3 apart; more than the largest that was tried may serve as well"
    )


def test_a_clear_number_is_named_with_its_lead():
    found = Selection((line(1, 50.0), line(2, 10.0), line(3, 25.0)), "bic")
    assert found.verdict == "K = 2 (full): by BIC it is ahead of K = 3 by 15"
    assert "the largest that was tried" in Selection((line(1, 50.0), line(2, 10.0)), "bic").verdict
    assert "the only number" in Selection((line(1, 50.0),), "bic").verdict


def test_fits_that_failed_come_last():
    found = Selection((line(1, 50.0), line(2, 10.0, converged=False)), "bic")
    assert found.minimum == 1


def test_the_elbow_comes_before_a_long_slow_fall():
    heights = [100.0, 40.0, 12.0, 10.0, 8.5, 7.5]
    found = Selection(tuple(line(k, height) for k, height in enumerate(heights, 1)), "bic")
    assert (found.elbow, found.minimum) == (3, 6)
    assert Selection((line(1, 10.0), line(2, 50.0)), "bic").elbow == 1
    assert Selection((line(3, 10.0),), "bic").elbow == 3
    assert Selection((line(1, np.inf), line(2, 9.0), line(3, 1.0)), "bic").elbow == 3
    # All K = 3 and no less are called for: the elbow is there, however steep the way.
    assert Selection(tuple(line(k, height) for k, height in enumerate([100.0, 50.0, 1.0, 5.0], 1)), "bic").elbow == 3


def test_differences_smaller_than_their_error_over_folds_are_undecided():
    near = Candidate(2, "full", _Fit(0.0), (-1.0, -2.0, -3.0), "cross_validation")
    other = Candidate(3, "full", _Fit(0.0), (-1.2, -1.7, -3.2), "cross_validation")
    far = Candidate(1, "full", _Fit(0.0), (-2.0, -3.0, -4.0), "cross_validation")
    assert Selection((far, near, other), "cross_validation").verdict.startswith("K is undecided")
    assert Selection((far, near), "cross_validation").verdict.startswith("K = 2")


def test_the_picture_marks_minimum_and_elbow(selection):
    ax = selection.plot()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert f"minimum, K = {selection.minimum}" in labels
    assert f"elbow, K = {selection.elbow}" in labels
    assert "BIC" in ax.get_ylabel()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"criterion": "luck"}, "criterion must be one of 'bic'"),
        ({"n_components": [0, 1]}, "n_components must be whole numbers, 1 or more"),
        ({"n_components": []}, "n_components must be whole numbers"),
        ({"covariance": "round"}, "covariance must be one of"),
        ({"covariance": []}, "covariance must be a name or several"),
        ({"folds": 1, "criterion": "held_out"}, "folds must be a whole number, 2 or more"),
        ({"model": 3}, "model must be a mixsci.Model or a function"),
        ({"model": mx.Model(1, frozen=mx.Frozen(means=[True]))}, "frozen parts keep the value of a start"),
        ({"model": mx.Model(weights=mx.weights.StickBreaking())}, "fits are compared with a known number"),
    ],
)
def test_bad_input_ends_in_a_sentence(three, arguments, sentence):
    with pytest.raises(mx.DataError, match=sentence):
        mx.select(three, **arguments)


def test_rows_not_in_memory_are_compared_by_bic_alone(three):
    source = mx.from_blocks(lambda: [three])
    assert mx.select(source, [1, 2, 3], "full", starts=2, rng=0).minimum == 3
    with pytest.raises(mx.DataError, match="needs them in memory"):
        mx.select(source, [1, 2], "full", "held_out", starts=2, rng=0)


def test_units_of_a_column_decide_nothing():
    rng = np.random.default_rng(147)
    x = np.concatenate([
        rng.normal([-2, 0], 1, (40, 2)), rng.normal([2, 0], 1, (40, 2)), rng.normal([0, 3], [1, 0.4], (14, 2))
    ])  # fmt: skip
    one, other = (mx.select(x * unit, [1, 2, 3], "full", rng=0) for unit in (np.ones(2), np.array([1.0, 1e4])))
    assert one.minimum == other.minimum
    shift = 2.0 * len(x) * np.log(1e4)
    bics = ([fit.bic for fit in found.fits.values()] for found in (one, other))
    np.testing.assert_allclose(np.subtract(*reversed(list(bics))), shift, atol=1e-3)


def apart(distance, n=60):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) + distance * (np.arange(n) % 2)[:, None]


def test_the_same_fits_are_judged_by_another_criterion():
    found = mx.select(apart(3.0), [1, 2], "full", starts=2, rng=0)
    assert found.by("icl").best is found.fits[found.by("icl").minimum, "full"]
    assert "ICL" in found.by("icl").verdict
    with pytest.raises(mx.DataError, match="'held_out' needs fits of its own"):
        found.by("held_out")
    with pytest.raises(mx.DataError, match="criterion must be one of 'bic'"):
        found.by("foo")


def test_in_one_dimension_full_and_diagonal_are_one():
    found = mx.select(apart(5.0)[:, :1], [1, 2], starts=2, rng=0)
    assert list(found.fits) == [(1, "full"), (2, "full")]


def test_one_fold_decides_nothing():
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(-2, 1, 50), rng.normal(2, 1, 50)])[:9, None]
    found = mx.select(x, [1, 2], "tied", criterion="held_out", folds=2, rng=1, starts=2)
    assert len(found.candidates[0].foretold) == 1
    assert "undecided" in found.verdict


def test_a_covariance_that_serves_as_well_is_named():
    found = mx.select(apart(6.0), [1, 2], ("spherical", "diag"), starts=2, rng=0)
    near = found.fits[2, "diag"].bic - found.fits[2, "spherical"].bic
    assert found.covariances == (("spherical", "diag") if near < 2.0 else ("spherical",))
    assert ("spherical or diag" in found.verdict) == (near < 2.0)
