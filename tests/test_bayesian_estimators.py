"""The estimator that finds its number of components: scikit-learn's contract, and what is left of those offered."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.mixture import BayesianGaussianMixture as Theirs

import mixsci as mx
from tests.bayesian_accuracy import DEFAULT, found
from tests.test_docs import run_examples
from tests.test_estimators import DIFFER, run_checks

WEIGHTS = ("stick-breaking", "annihilating")
CENTRES = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 7.0]])


def draw(n=300, seed=0, *, gaps=0.0):
    """Rows of three components behind errors, and the variances of these."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.2, 1.0, (n, 2))
    X = CENTRES[np.arange(n) % 3] + rng.normal(size=(n, 2)) + sigma * rng.normal(size=(n, 2))
    X[rng.random(X.shape) < gaps] = np.nan
    return X, mx.noise.from_errors(sigma)


def quick(weights="stick-breaking", k=6, **settings):
    return mx.BayesianGaussianMixture(k, weights=weights, **({"random_state": 0, "n_init": 2} | settings))


@pytest.mark.parametrize(("weights", "differ"), [("stick-breaking", DIFFER), ("annihilating", {})], ids=WEIGHTS)
@pytest.mark.filterwarnings("ignore::mixsci.errors.ConvergenceWarning")  # a check fits columns without any spread
def test_scikit_learn_checks_pass(weights, differ):
    run_checks(mx.BayesianGaussianMixture(2, weights=weights, n_init=1), differ)


def test_parameters_are_named_as_in_scikit_learn():
    ours, theirs = mx.BayesianGaussianMixture().get_params(), Theirs().get_params()
    assert set(ours) - set(theirs) == {"weights"}
    assert set(theirs) - set(ours) == {
        "init_params", "verbose_interval", "warm_start", "weight_concentration_prior_type",
    }  # fmt: skip


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("gaps", "errors"), [(0.0, False), (0.25, True)])
def test_components_that_rows_do_not_need_are_gone(weights, gaps, errors):
    X, noise = draw(gaps=gaps)
    found = quick(weights).fit(X, noise=noise if errors else None)
    assert found.n_components_ == len(found.weights_) == len(found.means_) == len(found.covariances_) == 3
    assert found.weights_.sum() == pytest.approx(1.0)
    apart = np.linalg.norm(found.means_[:, None] - CENTRES, axis=2)
    assert apart.min(axis=0).max() < 0.5
    assert found.converged_
    assert found.lower_bound_ == pytest.approx(found.fit_.objective / found.fit_.n)


@pytest.mark.parametrize(
    ("kind", "shape"),
    list({
        "full": (3, 2, 2), "tied": (2, 2), "diag": (3, 2), "spherical": (3,), "tied_diag": (2,), "tied_spherical": (),
    }.items()),
)  # fmt: skip
def test_every_covariance_finds_the_number(kind, shape):
    X, _ = draw(gaps=0.1)
    found = quick(covariance_type=kind).fit(X)
    assert found.n_components_ == 3
    assert found.covariances_.shape == found.precisions_.shape == shape


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_units_of_columns_change_nothing(weights):
    X, _ = draw(gaps=0.2)
    units = np.array([0.01, 100.0])
    plain = quick(weights, reg_covar=0.0, tol=1e-12).fit(X)
    scaled = quick(weights, reg_covar=0.0, tol=1e-12).fit(X * units)
    np.testing.assert_allclose(scaled.means_ / units, plain.means_, atol=1e-5)
    np.testing.assert_allclose(scaled.predict_proba(X * units), plain.predict_proba(X), atol=1e-5)


def test_weight_two_is_the_row_twice():
    X, _ = draw()
    # Sticks are broken off in the order of the weights, which must be plain to see.
    X = np.concatenate([X[0::3], X[1::3][:60], X[2::3][:30]])
    twice = np.arange(len(X)) % 2 == 0
    # A prior that is given does not depend on how often a row is listed.
    settings = {"covariance_prior": np.eye(2), "mean_prior": [0.0, 0.0], "tol": 1e-10}
    weighted = quick(**settings).fit(X, sample_weight=1.0 + twice)
    repeated = quick(**settings).fit(np.concatenate([X, X[twice]]))
    np.testing.assert_allclose(weighted.means_, repeated.means_, atol=1e-4)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-6)


def test_priors_of_scikit_learn_mean_the_same():
    """With its prior, complete rows and as many components as there are, the posteriors agree."""
    X, _ = draw(400)
    prior = {
        "weight_concentration_prior": 0.5, "mean_precision_prior": 0.7, "mean_prior": [1.0, 2.0],
        "degrees_of_freedom_prior": 4.0, "covariance_prior": np.array([[2.0, 0.3], [0.3, 1.0]]),
    }  # fmt: skip
    ours = quick(k=3, tol=1e-12, reg_covar=0.0, **prior).fit(X)
    theirs = Theirs(n_components=3, tol=1e-12, reg_covar=1e-12, max_iter=10_000, random_state=0, **prior).fit(X)
    order = [int(np.linalg.norm(theirs.means_ - mean, axis=1).argmin()) for mean in ours.means_]
    np.testing.assert_allclose(ours.means_, theirs.means_[order], atol=1e-3)
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_[order], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(ours.weights_, theirs.weights_[order], atol=2e-3)


@pytest.mark.parametrize("scale", [2.0, [2.0, 2.0], [[2.0, 0.0], [0.0, 2.0]]])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_scale_of_the_prior_may_be_a_number_variances_or_a_matrix(scale, weights):
    X, _ = draw(90)
    plain = quick(weights, covariance_prior=2.0 * np.eye(2)).fit(X)
    np.testing.assert_array_equal(quick(weights, covariance_prior=scale).fit(X).covariances_, plain.covariances_)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_groups_share_weights_and_rows_may_be_projections(weights):
    X, noise = draw()
    grouped = quick(weights).fit(X, noise=noise, groups=np.arange(len(X)) % 2)
    assert grouped.n_components_ == 3
    rows = np.atleast_2d(grouped.weights_)
    np.testing.assert_array_equal(rows, np.tile(rows[0], (len(rows), 1)))
    turned = np.array([[0.6, -0.8], [0.8, 0.6]])
    seen = quick(weights).fit(X @ turned.T, projection=turned)
    assert seen.n_components_ == 3
    assert np.linalg.norm(seen.means_[:, None] - CENTRES, axis=2).min(axis=0).max() < 0.5


@pytest.mark.parametrize("weights", WEIGHTS)
def test_it_is_cloned_pickled_and_its_fit_saved(weights, tmp_path):
    X, _ = draw(120, gaps=0.1)
    found = clone(quick(weights)).fit(X)
    found.fit_.save(tmp_path / "fit.json")
    back = mx.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(back.responsibilities(X), found.predict_proba(X))
    assert back.objective == found.fit_.objective
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).predict(X), found.predict(X))


def test_no_more_components_than_rows_are_offered():
    X, _ = draw(5)
    assert 1 <= quick(k=10).fit(X).n_components_ <= 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": "free"}, "weights must be one of 'stick-breaking', 'annihilating'; got 'free'"),
        ({"weights": "annihilating", "mean_prior": [0.0, 0.0]}, 'mean_prior goes with weights="stick-breaking"'),
        ({"weight_concentration_prior": 0.0}, "must be positive; got 0"),
        ({"mean_prior": [0.0]}, r"\(2,\)"),
        ({"covariance_prior": -1.0}, "positive definite"),
        ({"degrees_of_freedom_prior": 0.5}, "above D - 1 = 1; got 0.5"),
        ({"covariance_type": "scaled"}, "stick-?[Bb]reaking weights go with full, diagonal or spherical"),
        ({"n_components": 0}, "n_components must be a whole number, 1 or more; got 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(settings, words):
    X, _ = draw(60)
    with pytest.raises(mx.DataError, match=f"(?i){words}"):
        quick().set_params(**settings).fit(X)


def test_the_command_of_accuracy_counts():
    assert found("gaps", DEFAULT, 3) == (4, 4)


def test_the_docs_find_what_they_say():
    names = run_examples("docs/automatic-k.md")
    assert names["found"].n_components_ == names["fit"].mixture.n_components == 3


def test_posteriors_go_by_scikit_learns_names():
    x = np.random.default_rng(0).normal(size=(300, 2)) + 9.0 * (np.arange(300) % 3 == 0)[:, None]
    found = mx.BayesianGaussianMixture(4, random_state=0).fit(x)
    a, b = found.weight_concentration_
    assert a == pytest.approx([201.0, 101.0], abs=0.1)
    assert b == pytest.approx([101.0, 1.0], abs=0.1)
    assert found.mean_precision_ == pytest.approx([200.01, 100.01], abs=0.1)
    assert found.degrees_of_freedom_ == pytest.approx([202.0, 102.0], abs=0.1)
