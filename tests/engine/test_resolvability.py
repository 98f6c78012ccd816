"""What rows cannot tell: against integrals, finite differences, and simulated tests."""

import numpy as np
import pytest

import mixsci as mx
from mixsci.engine.inference.climbing import climb_from

GRID = np.linspace(-40.0, 40.0, 160_001)
STEP = GRID[1] - GRID[0]


def pair(theta, weight=0.5, variances=(1.0, 1.0)):
    return mx.Mixture([1 - weight, weight], [[-theta], [theta]], [[[v]] for v in variances])


def log_density(numbers):
    """Of a one-dimensional mixture on the grid: weights but the last, means, variances."""
    k = (len(numbers) + 1) // 3
    weights = np.append(numbers[: k - 1], 1 - numbers[: k - 1].sum())
    means, variances = numbers[k - 1 : 2 * k - 1], numbers[2 * k - 1 :]
    each = -0.5 * (GRID[:, None] - means) ** 2 / variances - 0.5 * np.log(2 * np.pi * variances) + np.log(weights)
    return np.logaddexp.reduce(each, axis=1)


def numbers_of(mixture):
    return np.concatenate([mixture.weights[:-1], mixture.means[:, 0], mixture.covariances[:, 0, 0]])


def whole_information(mixture):
    """(p, p) Fisher information on all numbers, by finite differences on a fine grid."""
    at = numbers_of(mixture)
    steps = 1e-5 * np.eye(len(at))
    scores = np.array([(log_density(at + step) - log_density(at - step)) / 2e-5 for step in steps])
    return (scores * np.exp(log_density(at))) @ scores.T * STEP


@pytest.mark.parametrize("theta", [0.05, 0.3, 1.0, 1.7, 3.0])
def test_the_information_is_that_of_an_integral(theta):
    found = mx.resolvability(pair(theta), 100).pairs[0]
    here, there = (np.exp(-0.5 * (GRID + sign * theta) ** 2) / np.sqrt(8 * np.pi) for sign in (1, -1))
    slope = there * (GRID - theta) - here * (GRID + theta)
    whole = np.sum(slope**2 / np.maximum(here + there, 1e-300)) * STEP
    assert found.half_separation == pytest.approx(theta)
    assert found.information == pytest.approx(whole, abs=1e-10)
    assert found.errors == (0.0, 0.0, 0.0)


def test_close_pairs_tell_two_theta_squared():
    assert mx.resolvability(pair(0.05), 100).pairs[0].information == pytest.approx(2 * 0.05**2, rel=0.02)
    assert mx.resolvability(pair(0.005), 100).pairs[0].information == pytest.approx(2 * 0.005**2, rel=2e-4)


@pytest.mark.parametrize(
    "mixture",
    [
        pair(1.5),
        pair(1.0, weight=0.2, variances=(1.0, 2.5)),
        mx.Mixture([0.5, 0.2, 0.3], [[-2.0], [0.5], [3.0]], [[[1.0]], [[0.5]], [[2.0]]]),
    ],
)
def test_unknown_numbers_cost_information(mixture):
    found = mx.resolvability(mixture, 100, components=(0, 1)).pairs[0]
    whole, at = whole_information(mixture), numbers_of(mixture)
    k = mixture.n_components
    unit = np.sqrt(np.average(at[2 * k - 1 : 2 * k + 1], weights=mixture.weights[:2]))
    slope, step = np.zeros(len(at)), np.zeros(len(at))
    slope[k - 1 : k + 1], step[k - 1 : k + 1] = [-0.5 / unit, 0.5 / unit], [-unit, unit]
    assert found.information == pytest.approx(step @ whole @ step, rel=1e-5)
    assert found.efficient_information == pytest.approx(1 / (slope @ np.linalg.solve(whole, slope)), rel=1e-4)
    assert found.efficient_information < found.information


def test_the_divergence_is_that_from_the_best_single_component():
    mixture = pair(1.2, weight=0.3, variances=(1.0, 0.5))
    p = np.exp(log_density(numbers_of(mixture)))
    mean = np.sum(p * GRID) * STEP
    variance = np.sum(p * (GRID - mean) ** 2) * STEP
    expected = np.sum(p * np.log(np.maximum(p, 1e-300))) * STEP + 0.5 * np.log(2 * np.pi * np.e * variance)
    assert mx.resolvability(mixture, 50).pairs[0].divergence == pytest.approx(expected, rel=1e-6)


def test_a_known_spread_needs_far_fewer_rows():
    """Near zero the rows measure theta squared, at n theta^4 / 2 (variance known) or n theta^8 / 6 (not known)."""
    known = mx.resolvability(pair(0.2), 1, covariance="known").pairs[0]
    free = mx.resolvability(pair(0.2), 1, covariance="tied").pairs[0]
    assert 2 * known.divergence == pytest.approx(0.2**4 / 2, rel=0.06)
    assert 2 * free.divergence == pytest.approx(0.2**8 / 6, rel=0.2)
    assert known.rows_needed < free.rows_needed / 50
    assert free.efficient_information < known.efficient_information <= known.information


def test_the_rows_of_a_known_spread_have_the_power_stated():
    """The test of variance, the best against a symmetric pair, needs fewer still; that of free weights about these."""
    found = mx.resolvability(pair(0.5), 1, covariance="known")
    n, rng = int(found.rows_needed), np.random.default_rng(3)
    x = rng.normal(size=(2000, n)) + 0.5 * rng.choice([-1, 1], size=(2000, n))
    null = rng.normal(size=(2000, n))
    power = np.mean(x.var(axis=1) > np.quantile(null.var(axis=1), 0.95))
    assert 0.8 < power < 0.97


@pytest.mark.parametrize("family", ["full", "tied", "known"])
def test_all_that_matters_lies_on_the_line_between_a_pair(family):
    """A pair of one covariance in three dimensions says what its projection says, but for the degrees of freedom."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    means = np.stack([np.zeros(3), root @ [3.0, 0.0, 0.0]])
    solid = mx.Mixture([0.3, 0.7], means, np.tile(root @ root.T, (2, 1, 1)))
    flat = mx.resolvability(pair(1.5, weight=0.7), 100, covariance=family).pairs[0]
    found = mx.resolvability(solid, 100, covariance=family).pairs[0]
    for name in ("half_separation", "information", "efficient_information", "divergence"):
        assert getattr(found, name) == pytest.approx(getattr(flat, name), rel=1e-6)
    assert found.rows_needed > flat.rows_needed


def test_draws_agree_with_the_integral():
    solid = mx.Mixture([0.5, 0.5], [[-1.2, 0.0], [1.2, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    whole = mx.resolvability(solid, 100).pairs[0]
    # Errors of next to nothing that differ by row leave nothing to integrate along one line.
    noise = mx.noise.from_errors(1e-9 * np.ones((5, 2)))
    drawn = mx.resolvability(solid, 100, noise=noise, rng=0).pairs[0]
    names = ("information", "efficient_information", "divergence")
    for name, error in zip(names, drawn.errors, strict=True):
        assert 0 < error < 0.1 * getattr(whole, name)
        assert abs(getattr(drawn, name) - getattr(whole, name)) < 5 * error


def test_noise_is_a_wider_mixture():
    blurred = mx.resolvability(pair(1.5), 100, noise=mx.noise.from_errors([0.8])).pairs[0]
    wide = mx.resolvability(pair(1.5, variances=(1.64, 1.64)), 100).pairs[0]
    sharp = mx.resolvability(pair(1.5), 100).pairs[0]
    assert blurred.rows_needed == wide.rows_needed > sharp.rows_needed
    assert blurred.information == pytest.approx(wide.information)


def test_a_row_whose_value_is_missing_tells_nothing():
    solid = mx.Mixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    half = mx.Observations([[0.0, 0.0], [np.nan, 0.0]])
    whole = mx.resolvability(solid, 100).pairs[0]
    found = mx.resolvability(solid, 100, like=half, rng=1).pairs[0]
    assert abs(found.information - whole.information / 2) < 5 * found.errors[0]
    assert found.rows_needed > 1.7 * whole.rows_needed


def test_a_projection_that_hides_the_line_hides_the_pair():
    solid = mx.Mixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    blind = mx.Observations([[0.0]], projection=np.array([[0.0, 1.0]]))
    found = mx.resolvability(solid, 100, like=blind, rng=1).pairs[0]
    assert found.information == pytest.approx(0.0, abs=1e-12)
    assert not found.resolved


def test_every_pair_of_three_and_a_background():
    mixture = mx.Mixture(
        [0.4, 0.3, 0.3], [[-6.0], [0.0], [1.0]], np.ones((3, 1, 1)), background=mx.UniformBackground([-20.0], [20.0])
    )
    found = mx.resolvability(mixture, 300, rng=0)
    assert [each.components for each in found.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert [each.resolved for each in found.pairs] == [True, True, False]
    assert not found.resolved
    assert found.rows_needed == found.pairs[2].rows_needed
    assert str(found).count("\n") == 2
    assert "components 1 and 2" in str(found.pairs[2])
    assert "too few" in str(found.pairs[2])


def test_one_place_and_two_spreads_are_told_by_spread():
    found = mx.resolvability(mx.Mixture([0.5, 0.5], [[0.0], [0.0]], [[[1.0]], [[9.0]]]), 1000).pairs[0]
    assert found.half_separation == 0.0
    assert np.isfinite(found.rows_needed)


def test_types_that_only_errors_blur_are_a_pair_too():
    """Without a spread of their own: errors that differ by row, and the same for all."""
    point = mx.Mixture([0.5, 0.5], [[-1.2], [1.2]], np.zeros((2, 1, 1)))
    shared = mx.resolvability(point, 100, noise=mx.noise.from_errors([1.0])).pairs[0]
    drawn = mx.resolvability(point, 100, noise=mx.noise.from_errors(np.ones((4, 1))), rng=0).pairs[0]
    assert drawn.half_separation == pytest.approx(shared.half_separation)
    assert abs(drawn.divergence - shared.divergence) < 5 * drawn.errors[2]
    with pytest.raises(mx.DataError, match="give the rows noise"):
        mx.resolvability(point, 100)


def test_what_draws_leave_open_is_said():
    close = mx.Mixture([0.5, 0.5], [[-0.1], [0.1]], np.ones((2, 1, 1)))
    found = mx.resolvability(close, 100, noise=mx.noise.from_errors(np.ones((4, 1))), rng=0).pairs[0]
    assert "draws leave the divergence open" in str(found)


def test_power_rises_with_rows_and_is_the_one_asked_for():
    needed = mx.resolvability(pair(1.0), 1, power=0.9).pairs[0].rows_needed
    powers = [mx.resolvability(pair(1.0), int(n)).pairs[0].power for n in (needed / 4, needed, 4 * needed)]
    assert powers[0] < powers[1] < powers[2]
    assert powers[1] == pytest.approx(0.9, abs=0.002)


def test_the_rows_stated_have_the_power_stated():
    """Likelihood ratios of simulated rows, judged by those of rows from one component."""
    theta, sets, rng = 1.25, 50, np.random.default_rng(7)
    n = int(mx.resolvability(pair(theta), 1, covariance="tied").rows_needed)

    def ratio(x):
        one = climb_from(mx.Model(1), x, mx.Mixture([1.0], [x.mean(axis=0)], [np.cov(x.T, ddof=0).reshape(1, 1)]))
        two = [
            climb_from(mx.Model(2, covariance="tied"), x, pair_at(x, split)).log_likelihood for split in (0.2, 0.5, 0.8)
        ]
        return 2 * (max(two) - one.log_likelihood)

    def pair_at(x, split):
        low, high = x[x <= np.quantile(x, split)], x[x > np.quantile(x, split)]
        return mx.Mixture([split, 1 - split], [[low.mean()], [high.mean()]], np.full((2, 1, 1), low.var() + high.var()))

    null = [ratio(rng.normal(size=(n, 1))) for _ in range(sets)]
    found = [ratio(rng.normal(size=(n, 1)) + theta * rng.choice([-1, 1], size=(n, 1))) for _ in range(sets)]
    assert 0.65 < np.mean(np.array(found) > np.quantile(null, 0.95)) < 0.95


@pytest.mark.parametrize(
    ("mixture", "options", "message"),
    [
        (mx.Mixture([1.0], [[0.0]], [[[1.0]]]), {}, "needs two components"),
        (pair(1.0), {"components": (0, 2)}, "two different numbers from 0 to 1"),
        (pair(1.0), {"components": (1, 1)}, "two different numbers"),
        (pair(1.0), {"components": 1}, "two different numbers"),
        (pair(1.0), {"components": "ab"}, "two different numbers"),
        (pair(1.0), {"level": 0.9}, "0 < level < power < 1"),
        (pair(1.0), {"noise": np.ones((1, 1, 1, 1))}, "bare noise array"),
        (pair(1.0), {"like": np.ones((3, 1))}, "like must be Observations"),
        (pair(1.0), {"like": mx.Observations([[0.0, 0.0]])}, "1 dimensions of the mixture"),
        (pair(1.0, variances=(1.0, 2.0)), {"covariance": "tied"}, "choose the family"),
        (pair(1.0, variances=(1.0, 2.0)), {"covariance": "known"}, "equal for a pair"),
        (pair(1.0, weight=0.0), {}, "weight above 0"),
        ("mixture", {}, "a Mixture or a Fit"),
        (
            mx.FactorMixture(
                [1.0], [[0.0]], [[[1.0]]], loadings=[[2.0], [1.0]], intercept=[0.0, 5.0], uniquenesses=[1.0, 1.0]
            ),
            {},
            "got FactorMixture",
        ),
        (mx.Mixture([[0.5, 0.5]] * 2, [[0.0], [1.0]], np.ones((2, 1, 1)), group_labels="ab"), {}, "of_group"),
        (mx.Mixture([np.nan, np.nan], [[0.0], [1.0]], np.ones((2, 1, 1))), {}, "left open"),
    ],
)
def test_what_cannot_be_asked_is_refused(mixture, options, message):
    with pytest.raises(mx.DataError, match=message):
        mx.resolvability(mixture, 100, **options)


def test_no_rows_are_refused():
    with pytest.raises(mx.DataError, match="1 or more"):
        mx.resolvability(pair(1.0), 0)


def test_rows_of_a_design_count_by_their_weights():
    mixture = mx.Mixture([0.5, 0.5], [[-1.5, 0.0], [1.5, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    design = np.array([[0.0, 0.0], [np.nan, 0.0]])
    weighted = mx.resolvability(mixture, 100, like=mx.Observations(design, row_weights=[1.0, 9.0]), rng=0)
    repeated = mx.resolvability(mixture, 100, like=mx.Observations(design[[0] + 9 * [1]]), rng=0)
    assert weighted.rows_needed == pytest.approx(repeated.rows_needed, rel=0.05)
    assert weighted.rows_needed > 1000
