"""The signatures of older packages do what those packages did."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import mixsci as mx
from mixsci.compat import XDGMM, extreme_deconvolution
from tests.test_docs import run_examples

N, K = 120, 3


def steps_of_the_paper(y, covariances, projection, mixture, steps, *, w=0.0, weight=1.0, fixed=(False, False, False)):
    """Bovy, Hogg & Roweis (2011), eqs. 13-16, row by row and component by component; the mixture and its path."""
    amp, mean, cov = (part.copy() for part in mixture)
    fixamp, fixmean, fixcovar = (np.broadcast_to(flags, len(amp)) for flags in fixed)
    weight, path = np.broadcast_to(weight, len(y)), []
    for _ in range(steps):
        log_q, b, spread = np.empty((len(y), len(amp))), {}, {}
        for i, (value, noise, view) in enumerate(zip(y, covariances, projection, strict=True)):
            for k in range(len(amp)):
                total = view @ cov[k] @ view.T + noise
                gain = cov[k] @ view.T @ np.linalg.inv(total)
                log_q[i, k] = np.log(amp[k]) + multivariate_normal.logpdf(value, view @ mean[k], total)
                b[i, k] = mean[k] + gain @ (value - view @ mean[k])
                spread[i, k] = cov[k] - gain @ view @ cov[k]
        density = logsumexp(log_q, axis=1)
        path.append((weight * density).sum() / len(y))
        q = np.exp(log_q - density[:, None]) * weight[:, None]
        rows = q.sum(axis=0)
        for k in range(len(amp)):
            if not fixmean[k]:
                mean[k] = sum(q[i, k] * b[i, k] for i in range(len(y))) / rows[k]
            if not fixcovar[k]:
                apart = {i: b[i, k] - mean[k] for i in range(len(y))}
                scatter = sum(q[i, k] * (spread[i, k] + np.outer(apart[i], apart[i])) for i in range(len(y)))
                cov[k] = (scatter + w * np.eye(len(scatter))) / (rows[k] + 1.0 if w > 0 else rows[k])
        free = rows[~fixamp]
        amp[~fixamp] = free / free.sum() * (1.0 - amp[fixamp].sum())
    return (amp, mean, cov), path


def rows(seed=1, *, m=2, full=True):
    """Values, error covariances, projections and a start in two dimensions."""
    rng = np.random.default_rng(seed)
    latent = np.array([[-4.0, 0.0], [0.0, 3.0], [5.0, -1.0]])[rng.integers(K, size=N)] + rng.normal(size=(N, 2))
    projection = rng.normal(size=(N, m, 2)) if m != 2 else np.broadcast_to(np.eye(2), (N, 2, 2)).copy()
    root = rng.normal(size=(N, m, m)) if full else rng.uniform(0.2, 1.0, (N, m))[:, :, None] * np.eye(m)
    covariances = root @ root.swapaxes(1, 2)
    noise = np.einsum("nab,nb->na", root, rng.normal(size=(N, m)))
    return np.einsum("nmd,nd->nm", projection, latent) + noise, covariances, projection


def begin():
    return (
        np.array([0.5, 0.3, 0.2]),
        np.array([[-2.0, 0.5], [0.5, 1.0], [2.0, 0.0]]),
        np.array([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]], [[2.0, -0.3], [-0.3, 2.0]]]),
    )


CASES = {
    "full errors": {},
    "variances": {"full": False},
    "one column seen": {"m": 1},
    "w": {"w": 0.7},
    "weights": {"weight": True},
    "weights and w": {"weight": True, "w": 0.7},
    "amplitudes held": {"fixed": ([True, False, False], False, False)},
    "means held": {"fixed": (False, [True, False, True], False)},
    "covariances held": {"fixed": (False, False, [False, True, False])},
    "a component held": {"fixed": ([False, True, False],) * 3, "w": 0.7},
    "all amplitudes held": {"fixed": (True, False, [True])},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_steps_are_those_of_the_paper(case):
    settings = dict(case)
    m, full = settings.pop("m", 2), settings.pop("full", True)
    y, covariances, projection = rows(m=m, full=full)
    if settings.pop("weight", False):
        settings["weight"] = np.random.default_rng(2).uniform(0.1, 3.0, N)
    wanted, path = steps_of_the_paper(y, covariances, projection, begin(), 4, **settings)
    flags = dict(zip(("fixamp", "fixmean", "fixcovar"), settings.pop("fixed", (None, None, None)), strict=True))
    ycovar = covariances if full else np.diagonal(covariances, axis1=1, axis2=2)
    found = begin()
    seen = projection if m != 2 else None
    value = extreme_deconvolution(y, ycovar, *found, projection=seen, tol=1e-300, maxiter=4, **flags, **settings)
    assert value == pytest.approx(path[-1], abs=1e-12)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


def test_it_stops_when_the_gain_is_tol_or_less_and_returns_the_value_before_the_last_step():
    y, covariances, projection = rows()
    _, path = steps_of_the_paper(y, covariances, projection, begin(), 10)
    ends = set()
    for tol in (1.0, 0.1, 0.01):
        last = int(np.argmax(np.diff(path) <= tol)) + 1
        ends.add(last)
        found = begin()
        assert extreme_deconvolution(y, covariances, *found, tol=tol) == pytest.approx(path[last], abs=1e-12)
        wanted, _ = steps_of_the_paper(y, covariances, projection, begin(), last + 1)
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-9)
    assert len(ends) == 3


def test_it_stops_when_the_log_likelihood_falls():
    y, covariances, _ = rows()
    found = begin()
    top = extreme_deconvolution(y, covariances, *found, tol=1e-4)
    lower = extreme_deconvolution(y, covariances, *found, tol=1e-300, w=1e4)
    assert lower < top
    again = [part.copy() for part in found]
    assert extreme_deconvolution(y, covariances, *again, likeonly=True) < top


@pytest.mark.parametrize("settings", [{"tol": 0.0}, {"tol": -1.0}, {"maxiter": 0}, {"likeonly": True}], ids=str)
def test_no_step_is_taken(settings):
    y, covariances, projection = rows()
    _, path = steps_of_the_paper(y, covariances, projection, begin(), 1)
    found = begin()
    assert extreme_deconvolution(y, covariances, *found, **settings) == pytest.approx(path[0], abs=1e-12)
    for ours, theirs in zip(found, begin(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.floors
def test_arrays_of_any_layout_are_overwritten_in_place():
    y, covariances, _ = rows()
    plain = begin()
    extreme_deconvolution(y, covariances, *plain, maxiter=3)
    amp, mean, cov = begin()
    strided = np.zeros(2 * K)[::2]
    strided[:] = amp
    others = (strided, np.asfortranarray(mean), cov.astype(np.float32))
    extreme_deconvolution(np.asfortranarray(y), covariances.tolist(), *others, maxiter=3)
    for ours, theirs in zip(others, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_upper_triangles_of_the_start_count():
    y, covariances, _ = rows()
    plain, lopsided = begin(), begin()
    lopsided[2][:, 1, 0] = 7.0
    values = [extreme_deconvolution(y, covariances, *found, maxiter=3) for found in (plain, lopsided)]
    assert values[0] == values[1]
    np.testing.assert_array_equal(plain[2], lopsided[2])
    np.testing.assert_array_equal(lopsided[2], lopsided[2].swapaxes(1, 2))


def test_a_start_that_is_no_covariance_is_taken_with_a_warning():
    y, covariances, projection = rows(m=1)
    start = begin()
    start[2][1] = [[1.0, 1.2], [1.2, 1.0]]
    covariances = covariances + 1.0
    wanted, _ = steps_of_the_paper(y, covariances, projection, start, 3)
    with pytest.warns(UserWarning, match=r"components \[1\] is not positive semi-definite"):
        extreme_deconvolution(y, covariances, *start, projection=projection, maxiter=3)
    np.testing.assert_allclose(start[2], wanted[2], rtol=1e-9, atol=1e-11)


def test_the_mean_is_over_rows_not_over_their_weights():
    y, covariances, _ = rows()
    once, twice, logs = begin(), begin(), begin()
    value = extreme_deconvolution(y, covariances, *once, tol=1e-300, maxiter=3)
    doubled = extreme_deconvolution(y, covariances, *twice, tol=1e-300, maxiter=3, weight=np.full(N, 2.0))
    logged = extreme_deconvolution(
        y, covariances, *logs, tol=1e-300, maxiter=3, weight=np.full(N, np.log(2.0)), logweight=True
    )
    assert doubled == pytest.approx(2 * value, abs=1e-12)
    assert logged == pytest.approx(doubled, abs=1e-12)
    np.testing.assert_allclose(once[2], twice[2], rtol=1e-12)


def test_a_missing_value_is_marginalised():
    y, covariances, projection = rows(full=False)
    y[::3, 1] = np.nan
    y[1::6, 0] = np.nan
    with_gaps = begin()
    value = extreme_deconvolution(y, covariances, *with_gaps, tol=1e-300, maxiter=3)
    # The same rows, seen through what is left of their projection; a column of zeros tells nothing of the latent point.
    seen = ~np.isnan(y)
    filled, blind = np.where(seen, y, 0.0), projection * seen[:, :, None]
    wanted, path = steps_of_the_paper(filled, np.where(seen[:, :, None], covariances, np.eye(2)), blind, begin(), 3)
    unseen = multivariate_normal.logpdf(0.0) * (~seen).sum() / N
    assert value == pytest.approx(path[-1] - unseen, abs=1e-12)
    np.testing.assert_allclose(with_gaps[2], wanted[2], rtol=1e-9, atol=1e-11)


def test_amplitudes_that_do_not_sum_to_one_are_scaled():
    y, covariances, _ = rows()
    plain, double = begin(), begin()
    double[0][:] *= 2
    values = [extreme_deconvolution(y, covariances, *found, maxiter=3) for found in (plain, double)]
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    held = begin()
    held[0][:] = [0.5, 0.6, 0.4]
    extreme_deconvolution(y, covariances, *held, maxiter=3, fixamp=[True, False, False])
    assert held[0][0] == 0.5
    assert held[0].sum() == pytest.approx(1.0)


BAD = {
    "xmean must be a writable array of floats": {"xmean": [[0.0, 0.0]] * 3},
    "xamp must be a writable array of floats, it receives the result; got a int64 array": {"xamp": np.array([1, 0, 0])},
    "ycovar must have shape": {"ycovar": np.ones(N)},
    "fixmean must be None, a truth value or 3 of them": {"fixmean": [True, False]},
    "xamp must be finite": {"xamp": np.array([1.0, 0.5, -0.5])},
    "where it is fixed": {"fixamp": True, "xamp": np.array([0.5, 0.2, 0.2])},
    "xcovar must be finite": {"xcovar": np.full((3, 2, 2), np.nan)},
    "w must be finite": {"w": np.inf},
    "every observed value needs an error": {"ycovar": np.full((N, 2), np.nan)},
}


@pytest.mark.parametrize(("message", "change"), BAD.items(), ids=BAD)
def test_what_cannot_be_used_is_refused_in_a_sentence(message, change):
    y, covariances, _ = rows()
    amp, mean, cov = begin()
    with pytest.raises(mx.DataError, match=message.partition(";")[0]):
        extreme_deconvolution(**{"ydata": y, "ycovar": covariances, "xamp": amp, "xmean": mean, "xcovar": cov} | change)


def test_a_component_without_spread_needs_errors():
    y, covariances, _ = rows()
    amp, mean, cov = begin()
    cov[2] = 0.0
    extreme_deconvolution(y, covariances, amp, mean, cov, fixcovar=[False, False, True], maxiter=3)
    assert not cov[2].any()
    with pytest.raises(mx.DataError, match="component 2 has none for 120 rows"):
        extreme_deconvolution(y, 0 * covariances, amp, mean, cov)


# --- split and merge, logs -------------------------------------------------------------------------------------------


def clusters():
    rng = np.random.default_rng(3)
    centres = np.array([[-6.0, 0.0], [0.0, 6.0], [6.0, 0.0]])
    return centres[np.arange(N) % 3] + rng.normal(size=(N, 2)), np.full((N, 2), 0.04), centres


def poor_start():
    """Two components share one cluster, the third has to hold two."""
    means = np.array([[-6.0, 0.5], [-6.0, -0.5], [3.0, 3.0]])
    return np.full(3, 1 / 3), means, np.stack([np.eye(2), np.eye(2), 9 * np.eye(2)])


@pytest.mark.parametrize("how", [{"splitnmerge": 3}, {"maxsnm": True}], ids=str)
def test_split_and_merge_leaves_a_poor_optimum(how):
    x, variances, centres = clusters()
    stuck, free = poor_start(), poor_start()
    low = extreme_deconvolution(x, variances, *stuck)
    high = extreme_deconvolution(x, variances, *free, **how)
    assert high > low + 0.1
    found = free[1][np.lexsort(free[1].T[::-1])]
    assert np.abs(found - centres).max() < 0.5
    again = poor_start()
    assert extreme_deconvolution(x, variances, *again, **how) == high
    np.testing.assert_array_equal(again[1], free[1])


def test_split_and_merge_leaves_fixed_components_alone():
    x, variances, _ = clusters()
    plain, held = poor_start(), poor_start()
    fixed = {"fixmean": [True, False, False]}
    value = extreme_deconvolution(x, variances, *plain, **fixed)
    assert extreme_deconvolution(x, variances, *held, **fixed, maxsnm=True) == value
    np.testing.assert_array_equal(held[1][0], poor_start()[1][0])


def test_logs_hold_the_path(tmp_path):
    x, variances, _ = clusters()
    name = tmp_path / "run"
    value = extreme_deconvolution(x, variances, *poor_start(), logfile=name)
    (path,) = (tmp_path / "run_loglike.log").read_text().strip().split("\n\n")
    values = [float(line) for line in path.splitlines()]
    assert values[-1] == value
    assert (np.diff(values) > 0).all()
    first = (tmp_path / "run_c.log").read_text()
    assert "component 2: amp" in first
    extreme_deconvolution(x, variances, *poor_start(), logfile=str(name), splitnmerge=3)
    assert (tmp_path / "run_c.log").read_text().startswith(first)
    kept = (tmp_path / "run_loglike.log").read_text().strip().split("\n\n")
    assert len(kept) >= 2
    assert "#accepted" in (tmp_path / "run_c.log").read_text()


# --- XDGMM -----------------------------------------------------------------------------------------------------------


def noisy(n=1500):
    rng = np.random.default_rng(4)
    x = np.where(rng.random((n, 1)) < 0.4, rng.normal([-3.0, 0.0], 1.0, (n, 2)), rng.normal([3.0, 1.0], 0.7, (n, 2)))
    root = 0.5 * rng.normal(size=(n, 2, 2))
    return x + np.einsum("nab,nb->na", root, rng.normal(size=(n, 2))), root @ root.swapaxes(1, 2)


@pytest.mark.floors
def test_xdgmm_finds_the_mixture_behind_the_errors():
    x, errors = noisy()
    xd = XDGMM(2, max_iter=300, random_state=0).fit(x, errors)
    order = np.argsort(xd.mu[:, 0])
    np.testing.assert_allclose(xd.alpha[order], [0.4, 0.6], atol=0.05)
    np.testing.assert_allclose(xd.mu[order], [[-3.0, 0.0], [3.0, 1.0]], atol=0.15)
    np.testing.assert_allclose(xd.V[order], [np.eye(2), 0.49 * np.eye(2)], atol=0.15)


def test_xdgmm_says_what_scipy_says():
    x, errors = noisy(50)
    xd = XDGMM(2, max_iter=5, random_state=0).fit(x, errors)
    wanted = np.array([
        [multivariate_normal.logpdf(x[i], xd.mu[k], xd.V[k] + errors[i]) + np.log(xd.alpha[k]) for k in range(2)]
        for i in range(50)
    ])  # fmt: skip
    np.testing.assert_allclose(xd.logprob_a(x, errors), wanted, rtol=1e-10)
    assert xd.logL(x, errors) == pytest.approx(logsumexp(wanted, axis=1).sum(), rel=1e-12)


def test_xdgmm_stops_at_max_iter_or_at_a_small_gain(capsys):
    x, errors = noisy(300)
    values = []
    for steps in (0, 1, 5):
        xd = XDGMM(2, max_iter=steps, tol=-np.inf, verbose=True, random_state=0).fit(x, errors)
        values.append(xd.logL(x, errors))
        assert capsys.readouterr().out.count("log(L)") == steps
    assert values[0] < values[1] < values[2]
    XDGMM(2, max_iter=500, tol=values[1] - values[0] + 1.0, verbose=True, random_state=0).fit(x, errors)
    assert capsys.readouterr().out.count("log(L)") == 1


def test_xdgmm_samples_again_what_a_seed_gave():
    x, errors = noisy(300)
    xd = XDGMM(2, random_state=np.random.RandomState(5)).fit(x, errors)
    assert xd.sample().shape == (1, 2)
    assert xd.sample((4, 3)).shape == (4, 3, 2)
    np.testing.assert_array_equal(xd.sample(20, random_state=1), xd.sample(20, random_state=1))
    draws = xd.sample(20_000, random_state=2)
    np.testing.assert_allclose(draws.mean(axis=0), xd.alpha @ xd.mu, atol=0.1)


def test_xdgmm_takes_gaps_and_projections():
    x, errors = noisy()
    gaps = x.copy()
    gaps[::4, 1] = np.nan
    whole = XDGMM(2, max_iter=300, random_state=0).fit(x, errors)
    holed = XDGMM(2, max_iter=300, random_state=0).fit(gaps, errors)
    view = np.array([[1.0, 1.0], [0.0, 1.0]])
    seen = XDGMM(2, max_iter=300, random_state=0).fit(x @ view.T, view @ errors @ view.T, view)
    for other in (holed, seen):
        np.testing.assert_allclose(np.sort(other.mu[:, 0]), np.sort(whole.mu[:, 0]), atol=0.1)


def test_xdgmm_must_be_fitted_first():
    with pytest.raises(mx.DataError, match="call fit first"):
        XDGMM().sample()


def test_the_page_of_the_docs_runs():
    names = run_examples("docs/compat.md")
    np.testing.assert_allclose(names["xmean"], [[1.0, -2.0]], atol=0.3)
    np.testing.assert_allclose(names["fit"].mixture.means, names["xmean"], atol=0.01)
    np.testing.assert_allclose(names["xd"].mu, names["xmean"], atol=0.01)
    assert names["loglike"] == pytest.approx(names["fit"].log_likelihood / 500, abs=1e-4)
