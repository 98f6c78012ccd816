"""Rows as measured: gaps, noise, projections, groups and weights are exactly what they say; bad input is named."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import mixsci as mx
from mixsci.engine.observations import join, observe
from tests import oracles
from tests.problems import NOISES, draw_rows, random_covariances

NAN = float("nan")


def some_mixture(rng, k=3, d=2, obs=None, *, background=False):
    """A mixture of k components; with the groups of `obs`, weights and offsets of their own."""
    labels = None if obs is None else obs.group_labels
    groups = 0 if labels is None else len(labels)
    box = mx.UniformBackground(np.full(obs.width, -30.0), np.full(obs.width, 30.0), weight=0.1) if background else None
    return mx.Mixture(
        rng.dirichlet(np.ones(k), size=groups) if groups else rng.dirichlet(np.ones(k)),
        2 * rng.normal(size=(k, d)),
        random_covariances(rng, k, d),
        offsets=rng.normal(size=(groups, d)) if groups else None,
        group_labels=labels,
        background=box,
    )


CASES = [
    (noise, projection, groups, background)
    for noise, projection, groups, background in itertools.product(
        NOISES, ("none", "shared", "rows"), (0, 3), (False, True)
    )
    if not (background and projection == "rows")
]


@pytest.mark.parametrize(("noise", "projection", "groups", "background"), CASES)
def test_densities_are_those_of_row_by_row_marginals(noise, projection, groups, background):
    """log_density, responsibilities, posterior and the sums of expect, against scipy, to 1e-10."""
    rng = np.random.default_rng(len(noise) + 10 * groups)
    obs, _ = draw_rows(
        rng,
        2 * rng.normal(size=(3, 2)),
        n=50,
        noise=noise,
        projection=projection,
        groups=groups,
        gaps=0.3,
        row_weights=True,
    )
    mixture = some_mixture(rng, obs=obs, background=background)
    terms = oracles.log_terms(mixture, obs)
    expected = oracles.log_density(mixture, obs)
    np.testing.assert_allclose(mixture.log_density(obs), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        mixture.responsibilities(obs), np.exp(terms - expected[:, None])[:, :-1], rtol=1e-9, atol=1e-12
    )
    for backend in ("numba", "reference"):
        stats = mx.expect(mixture, obs, backend=backend)
        assert stats.log_likelihood == pytest.approx(oracles.log_likelihood(mixture, obs), rel=1e-10)
        assert stats.row_weight == oracles.row_weights(obs).sum()
    means, covariances = oracles.posterior(mixture, obs)
    got = mixture.posterior(obs)
    np.testing.assert_allclose(got[0], means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got[1], covariances, rtol=1e-8, atol=1e-8)


def test_the_dense_oracle_agrees_with_scipy():
    rng = np.random.default_rng(0)
    obs, _ = draw_rows(
        rng, rng.normal(size=(3, 2)), n=40, noise="full", projection="rows", groups=2, gaps=0.3, row_weights=True
    )
    mixture = some_mixture(rng, obs=obs)
    dense = oracles.dense_log_likelihood(obs, mixture.weights, mixture.means, mixture.covariances, mixture.offsets)
    assert dense == pytest.approx(oracles.log_likelihood(mixture, obs), rel=1e-12)


@pytest.mark.floors
def test_weight_two_is_the_row_twice_and_weight_zero_the_row_absent():
    rng = np.random.default_rng(1)
    obs, _ = draw_rows(rng, rng.normal(size=(2, 2)), n=60, noise="full", groups=2, gaps=0.2, row_weights=False)
    count = rng.integers(3, size=60)
    mixture = some_mixture(rng, k=2, obs=obs)
    weighted = mx.Observations(
        obs.x, obs.noise, row_weights=count, groups=[obs.group_labels[code] for code in obs.groups]
    )
    repeated = obs.take(np.repeat(np.arange(60), count))
    a, b = mx.expect(mixture, weighted), mx.expect(mixture, repeated)
    for name in ("counts", "g", "F", "H", "log_likelihood", "entropy", "row_weight"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-10, atol=1e-10)


def test_a_row_with_nothing_observed_says_nothing():
    rng = np.random.default_rng(2)
    mixture = some_mixture(rng)
    empty = mx.Observations(np.full((1, 2), NAN), mx.noise.from_errors([0.1, 0.2]))
    assert mixture.log_density(empty)[0] == 0.0
    np.testing.assert_allclose(mixture.responsibilities(empty)[0], mixture.weights, rtol=1e-12)
    mean, covariance = mixture.posterior(empty)
    centre = mixture.weights @ mixture.means
    spread = np.einsum("k,kij->ij", mixture.weights, mixture.covariances)
    apart = mixture.means - centre
    np.testing.assert_allclose(mean[0], centre)
    np.testing.assert_allclose(covariance[0], spread + np.einsum("k,ki,kj->ij", mixture.weights, apart, apart))
    stats = mx.expect(mixture, empty)
    assert (stats.log_likelihood, stats.row_weight, stats.n_rows) == (0.0, 0.0, 1)
    assert not stats.counts.any()


@pytest.mark.parametrize("noise", ["errors", "full"])
def test_an_infinite_variance_is_a_gap(noise):
    rng = np.random.default_rng(3)
    x, away = rng.normal(size=(30, 2)), rng.random((30, 2)) < 0.3
    if noise == "errors":
        sigma = rng.uniform(0.1, 0.5, size=x.shape)
        given = [mx.noise.from_errors(np.where(away, np.inf, sigma)), mx.noise.from_errors(sigma)]
    else:
        matrices = random_covariances(rng, 30, 2)
        blanked = matrices.copy()
        row, column = np.nonzero(away)
        blanked[row, column, :], blanked[row, :, column], blanked[row, column, column] = NAN, NAN, np.inf
        given = [mx.noise.from_covariances(blanked), mx.noise.from_covariances(matrices)]
    mixture = some_mixture(rng)
    infinite, gap = mx.Observations(x, given[0]), mx.Observations(np.where(away, NAN, x), given[1])
    np.testing.assert_array_equal(infinite.seen(), gap.seen())
    np.testing.assert_allclose(mixture.log_density(infinite), mixture.log_density(gap), rtol=1e-13)


@pytest.mark.parametrize("groups", [0, 4])
def test_blocks_hold_every_row_once(groups):
    rng = np.random.default_rng(4)
    n = 40_000
    obs = mx.Observations(np.arange(n, dtype=float)[:, None], groups=rng.integers(groups, size=n) if groups else None)
    blocks = list(obs.blocks())
    rows = np.concatenate([block.x[:, 0] for block in blocks])
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.sort(rows), np.arange(n))
    if groups:
        assert all((np.diff(block.groups) >= 0).all() for block in blocks)
        np.testing.assert_array_equal(np.concatenate([block.groups for block in blocks]), obs.groups[rows.astype(int)])


@pytest.mark.parametrize(("noise", "projection"), [*itertools.product(NOISES, ("none", "shared", "rows"))])
def test_taking_and_joining_rows_changes_nothing(noise, projection):
    rng = np.random.default_rng(5)
    obs, _ = draw_rows(
        rng, rng.normal(size=(2, 2)), n=40, noise=noise, projection=projection, groups=3, gaps=0.2, row_weights=True
    )
    again = join([obs.take(slice(0, 15)), obs.take(np.arange(15, 40))])
    mixture = some_mixture(rng, k=2, obs=obs)
    np.testing.assert_array_equal(mixture.log_density(again), mixture.log_density(obs))
    np.testing.assert_array_equal(again.row_weights, obs.row_weights)
    backwards = obs.take(np.arange(40)[::-1])
    np.testing.assert_allclose(mixture.log_density(backwards)[::-1], mixture.log_density(obs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("noise", "projection"), [*itertools.product(NOISES, ("none", "shared", "rows"))])
def test_observed_rows_have_the_gaps_and_the_noise_of_others(noise, projection):
    rng = np.random.default_rng(6)
    like, latent = draw_rows(rng, rng.normal(size=(2, 2)), n=4000, noise=noise, projection=projection, gaps=0.2)
    new = observe(latent, like, rng)
    view = np.stack([oracles.view_of(like, i) for i in range(len(like))])
    residual = new.x - np.einsum("nmd,nd->nm", view, latent)
    np.testing.assert_array_equal(np.isnan(new.x), np.isnan(like.x))
    variances = np.diagonal(like.noise.covariances(len(like)), axis1=1, axis2=2)
    if noise == "none":
        np.testing.assert_allclose(np.nan_to_num(residual), 0.0, atol=1e-12)
    else:
        assert np.nanmean(residual**2 / variances) == pytest.approx(1.0, abs=0.1)


# --- whatever numbers come in ----------------------------------------------------------------------------------------

X = np.arange(12.0).reshape(6, 2) ** 1.5
KINDS = {
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "int": X.astype(int),
    "uint8": X.astype(np.uint8),
    "bool": X > 5,
    "Fortran": np.asfortranarray(X),
    "reversed": X[::-1, ::-1][::-1, ::-1],
    "big-endian": X.astype(">f8"),
    "object": X.astype(object),
    "lists": X.tolist(),
    "frame": pd.DataFrame(X, columns=["a", "b"]),
    "nullable": pd.DataFrame(X, columns=["a", "b"]).convert_dtypes(),
    "longdouble": X.astype(np.longdouble),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_number_will_do(kind):
    mixture = some_mixture(np.random.default_rng(0))
    expected = mixture.log_density(np.asarray(KINDS[kind], dtype=float))
    np.testing.assert_allclose(mixture.log_density(KINDS[kind]), expected, rtol=1e-12)


GAPPED = np.array([[1.0, NAN], [NAN, 2.0]])
GAPS = {
    "None": [[1, None], [None, 2]],
    "NA in objects": np.array([[1, pd.NA], [pd.NA, 2.0]], dtype=object),
    "masked": np.ma.masked_array([[1, 7], [8, 2]], mask=[[0, 1], [1, 0]]),
    "masked floats": np.ma.masked_array([[1.0, np.inf], [NAN, 2]], mask=[[0, 1], [1, 0]]),
    "masked text": np.ma.masked_array(np.array([[1, "x"], ["y", 2]], dtype=object), mask=[[0, 1], [1, 0]]),
    "Int64": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([None, 2], dtype="Float64")}),
    "objects in a frame": pd.DataFrame({"a": [1, None], "b": [pd.NA, 2.0]}, dtype=object),
}


@pytest.mark.parametrize("kind", GAPS)
def test_missing_values_come_in_many_forms(kind):
    np.testing.assert_array_equal(np.asarray(mx.Observations(GAPS[kind]).x, dtype=float), GAPPED)


def test_names_of_columns_are_kept():
    frame = pd.DataFrame({"u": [1.0, 2.0, 4.0], 7: [0.5, 1.5, 2.0]})
    obs = mx.Observations(frame)
    assert obs.names == ("u", "7")
    assert obs.take(slice(1)).names == obs.names
    assert list(mx.fit(mx.Model(1), obs).summary().columns) == ["weight", "u", "7", "sd(u)", "sd(7)"]


def test_the_input_is_not_changed():
    x, sigma = np.array([[1.0, NAN], [0.0, 2.0], [3.0, 1.0]]), np.full((3, 2), 0.1)
    kept = x.copy(), sigma.copy()
    x.setflags(write=False)
    sigma.setflags(write=False)
    mx.fit(mx.Model(1, offsets="group"), mx.Observations(x, mx.noise.from_errors(sigma), groups=[0, 1, 1]), rng=0)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(sigma, kept[1])


# --- groups ----------------------------------------------------------------------------------------------------------

LABELS = {
    "text": (["b", "a", "b"], ("a", "b")),
    "numbers": (np.array([3, 1, 3]), (1, 3)),
    "tuples": ([("b", 1), ("a", 2), ("b", 1)], (("a", 2), ("b", 1))),
    "mixed": (["b", 1, "b"], ("b", 1)),
    "categories": (pd.Categorical(["b", "a", "b"]), ("a", "b")),
    "series": (pd.Series(["b", "a", "b"], index=[5, 6, 7]), ("a", "b")),
    "range": (range(3), (0, 1, 2)),
}


@pytest.mark.parametrize("kind", LABELS)
def test_groups_may_have_labels_of_any_hashable_kind(kind):
    given, expected = LABELS[kind]
    obs = mx.Observations(np.zeros((3, 1)), groups=given)
    assert obs.group_labels == expected
    assert [obs.group_labels[code] for code in obs.groups] == list(given)


def test_rows_of_unknown_groups_get_pooled_weights_and_no_offset():
    known = mx.Observations([[0.0], [1.0]], groups=["a", "b"])
    mixture = some_mixture(np.random.default_rng(0), k=2, d=1, obs=known)
    pooled = mx.Mixture(mixture.pooled_weights, mixture.means, mixture.covariances)
    stranger = mx.Observations([[0.3], [0.4]], groups=["c", "a"])
    with pytest.warns(UserWarning, match="1 rows belong to no group of the mixture"):
        density = mixture.log_density(stranger)
    assert density[0] == pytest.approx(pooled.log_density([[0.3]])[0])
    assert density[1] == pytest.approx(mixture.of_group("a").log_density([[0.4]])[0])


# --- bad input is named ----------------------------------------------------------------------------------------------

ROWS = np.random.default_rng(0).normal(size=(6, 2))
BAD = {
    "no columns": (lambda: mx.Observations(np.empty((3, 0))), r"x must have shape \(n rows, m columns\); got \(3, 0\)"),
    "one dimension": (lambda: mx.Observations([1.0, 2.0]), r"write x\[:, None\]"),
    "a number": (lambda: mx.Observations(3.0), r"x must have shape"),
    "nothing": (lambda: mx.Observations(None), "x must be an array of numbers or a data frame; got NoneType"),
    "a word": (lambda: mx.Observations("rows.csv"), "x must be an array of numbers or a data frame; got str"),
    "a dictionary": (lambda: mx.Observations({"a": [1]}), "got dict"),
    "ragged rows": (lambda: mx.Observations([[1.0, 2.0], [3.0]]), "rows of one length"),
    "complex": (lambda: mx.Observations([[1j]]), "x must be real numbers"),
    "text": (lambda: mx.Observations(np.array([[1, 2], [3, "x"]], dtype=object)), "got 'x' at row 1, column 1"),
    "text in a frame": (
        lambda: mx.Observations(pd.DataFrame({"a": [1, 2], "b": [1, "x"]})),
        "column 'b' has 'x' in row 1",
    ),
    "dates": (lambda: mx.Observations(pd.DataFrame({"a": pd.date_range("2020", periods=2)})), "column 'a' has"),
    "a number too large": (lambda: mx.Observations([[10**400]]), "x must be numbers"),
    "one name twice": (lambda: mx.Observations(pd.DataFrame([[1, 2]], columns=["a", "a"])), "'a' stands twice"),
    "inf": (
        lambda: mx.Observations([[1.0], [2.0], [np.inf]]),
        "x must be finite .* got inf in row 2: write missing values as NaN",
    ),
    "many infs": (lambda: mx.Observations(np.full((9, 1), -np.inf)), r"rows 0, 1, 2, 3, 4 \.\.\. \(9 in all\)"),
    "too large": (lambda: mx.Observations([[1e60]]), "at most 1e\\+50 in size; got 1e\\+60 in row 0"),
    "too small": (
        lambda: mx.Observations(ROWS * [1.0, 1e-150]),
        "x must reach 1e-100 in size; column 1: .*choose units nearer",
    ),
    "bare errors": (lambda: mx.Observations(ROWS, np.ones((6, 2))), "write noise.from_errors"),
    "noise of others": (
        lambda: mx.Observations(ROWS, mx.noise.from_errors(np.ones((5, 2)))),
        r"noise must match x of shape \(6, 2\)",
    ),
    "no error": (
        lambda: mx.Observations(ROWS, mx.noise.from_errors([[1, NAN]] + [[1, 1]] * 4 + [[NAN, 1]])),
        r'2 have none \(column 0: 1, column 1: 1\), in rows 0 and 5: .*missing="gap"',
    ),
    "projection of another shape": (
        lambda: mx.Observations(ROWS, projection=np.ones((3, 3))),
        "projection must have shape",
    ),
    "a projection in words": (lambda: mx.Observations(ROWS, projection="xyz"), "projection must be an array"),
    "projection unknown": (lambda: mx.Observations(ROWS, projection=np.full((2, 2), NAN)), "must be finite"),
    "projection of a row unknown": (
        lambda: mx.Observations(ROWS, projection=np.where(np.arange(6)[:, None, None] == 3, NAN, np.ones((6, 2, 2)))),
        "projection must be finite where x is observed; it is not in row 3",
    ),
    "negative row weights": (
        lambda: mx.Observations(ROWS, row_weights=[1, -1, 1, 1, -1, 1]),
        "they are not in rows 1 and 4",
    ),
    "unknown row weights": (lambda: mx.Observations(ROWS, row_weights=np.full(6, NAN)), "finite and not negative"),
    "row weights of others": (lambda: mx.Observations(ROWS, row_weights=[1, 1]), r"shape \(n,\) = \(6,\); got \(2,\)"),
    "groups of others": (
        lambda: mx.Observations(ROWS, groups=["a"]),
        r"groups must have shape \(n,\) = \(6,\); got \(1,\)",
    ),
    "no group": (lambda: mx.Observations(ROWS, groups=["a", None, "a", NAN, pd.NA, "a"]), "rows 1, 3 and 4 has none"),
    "one group for all": (lambda: mx.Observations(ROWS, groups="a"), "groups must have shape"),
    "lists as labels": (lambda: mx.Observations(ROWS, groups=[["a"]] * 6), "hashable"),
    "blocks without a function": (lambda: mx.from_blocks(ROWS), "from_blocks needs a function"),
    "no rows": (lambda: mx.expect(some_mixture(np.random.default_rng(0)), np.empty((0, 2))), "at least one row"),
    "no blocks": (lambda: mx.fit(mx.Model(1), mx.from_blocks(lambda: iter(()))), "at least one row"),
    "blocks of two widths": (lambda: mx.fit(mx.Model(1), mx.from_blocks(lambda: [ROWS, ROWS[:, :1]])), "same columns"),
    "blocks of two kinds of noise": (
        lambda: mx.fit(
            mx.Model(1), mx.from_blocks(lambda: [ROWS, mx.Observations(ROWS, mx.noise.from_errors([1, 1]))])
        ),
        "noise of one kind",
    ),
    "other dimensions": (
        lambda: some_mixture(np.random.default_rng(0)).log_density(ROWS[:, :1]),
        "2 dimensions; got 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_in_one_line(case):
    make, message = BAD[case]
    with pytest.raises(mx.DataError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_an_empty_block_is_passed_over():
    mixture = some_mixture(np.random.default_rng(0))
    source = mx.from_blocks(lambda: iter([ROWS[:0], ROWS[:4], ROWS[4:4], ROWS[4:]]))
    assert mx.expect(mixture, source).log_likelihood == pytest.approx(
        mx.expect(mixture, ROWS).log_likelihood, rel=1e-13
    )
    assert mixture.log_density(ROWS[:0]).shape == (0,)
    assert mixture.posterior(ROWS[:0])[1].shape == (0, 2, 2)


def test_observations_say_little():
    assert (
        repr(mx.Observations(ROWS, mx.noise.from_errors(np.ones((6, 2)))))
        == "Observations(6 rows x 2 columns, DiagonalNoise)"
    )
