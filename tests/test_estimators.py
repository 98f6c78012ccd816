"""The scikit-learn face: its contract, its metadata, its shapes, and what it adds for gaps and errors."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn import mixture as theirs
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import mixsci as mx
from tests.test_docs import run_examples

CENTRES = np.array([[-4.0, 0.0], [4.0, 1.0]])


def draw(n=200, seed=0):
    """Rows of two components behind errors, and the covariances of these."""
    rng = np.random.default_rng(seed)
    root = rng.uniform(0.1, 1.5, (n, 2))[:, :, None] * np.eye(2)
    X = CENTRES[np.arange(n) % 2] + rng.normal(size=(n, 2)) + np.einsum("nab,nb->na", root, rng.normal(size=(n, 2)))
    return X, root**2


def run_checks(estimator, differ):
    """All of scikit-learn's checks of an estimator, of which those named are expected to fail and none is left out."""
    results = check_estimator(estimator, expected_failed_checks=differ, on_skip=None)
    assert len(results) > 40
    status = {
        name: {result["check_name"] for result in results if result["status"] == name} for name in ("skipped", "xfail")
    }
    assert status["skipped"] <= SKIPPED
    assert status["xfail"] == set(differ)


def quick(k=2, **settings):
    return mx.GaussianMixture(k, **({"random_state": 0, "n_init": 2} | settings))


# --- the contract ----------------------------------------------------------------------------------------------------

# Two components of rows drawn at random: repeated rows draw other starts than weighted ones, and labels are arbitrary.
DIFFER = {"check_sample_weight_equivalence_on_dense_data": "starts are drawn among rows, labels are arbitrary"}
# Needs an environment variable that is read before scipy is imported; no array but NumPy's is claimed.
SKIPPED = {"check_array_api_input"}


@pytest.mark.parametrize(
    ("estimator", "differ"),
    [(mx.GaussianMixture(), {}), (mx.GaussianMixture(2, covariance_type="diag", n_init=2), DIFFER)],
    ids=["one component", "two"],
)
@pytest.mark.filterwarnings("ignore::mixsci.errors.ConvergenceWarning")  # a check fits columns without any spread
def test_scikit_learn_checks_pass(estimator, differ):
    run_checks(estimator, differ)


def test_rows_may_be_a_data_frame_or_masked():
    X, _ = draw()
    X[3, 0] = np.nan
    plain = quick().fit(X)
    frame = pd.DataFrame(X, columns=["u", "v"]).convert_dtypes()
    named = quick().fit(frame)
    assert named.feature_names_in_.tolist() == ["u", "v"]
    assert named.fit_.names == ("u", "v")
    assert "sd(u)" in named.fit_.summary()
    hidden = np.ma.array(np.where(np.isnan(X), 1e9, X), mask=np.isnan(X))
    for other, rows in ((named, frame), (quick().fit(hidden), hidden)):
        np.testing.assert_array_equal(other.means_, plain.means_)
        np.testing.assert_array_equal(other.predict_proba(rows), plain.predict_proba(X))


@pytest.mark.floors
def test_it_stands_in_pipelines_searches_and_clones():
    X, _ = draw()
    pipe = make_pipeline(StandardScaler(), quick()).set_output(transform="pandas").fit(X)
    assert pipe[-1].feature_names_in_.tolist() == ["x0", "x1"]
    assert set(pipe.predict(X)) == {0, 1}
    search = GridSearchCV(quick(), {"n_components": [1, 2, 4], "covariance_type": ["full", "diag"]}, cv=3).fit(X)
    assert search.best_params_["n_components"] == 2
    fitted = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(fitted.predict(X), search.predict(X))
    copy = clone(fitted)
    assert not hasattr(copy, "fit_")
    np.testing.assert_array_equal(copy.fit(X).means_, fitted.means_)


def noises():
    X, C = draw(120)
    variances = np.diagonal(C, axis1=1, axis2=2)
    return X, {
        "array": C,
        "covariances": mx.noise.from_covariances(C),
        "variances": mx.noise.from_variances(variances),
        "one for all": mx.noise.from_errors([0.5, 1.0]),
    }


@pytest.mark.parametrize("kind", noises()[1])
def test_cross_validation_routes_errors_with_their_rows(kind):
    X, noise = noises()
    noise = noise[kind]
    by_hand = []
    for fitted, held in KFold(4).split(X):
        part = (noise, noise) if kind == "one for all" else (noise[fitted], noise[held])
        by_hand.append(quick().fit(X[fitted], noise=part[0]).score(X[held], noise=part[1]))
    with sklearn.config_context(enable_metadata_routing=True):
        np.testing.assert_array_equal(cross_val_score(quick(), X, cv=4, params={"noise": noise}), by_hand)


def test_searches_and_pipelines_route_errors():
    X, C = draw(120)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(quick(), {"n_components": [1, 2]}, cv=3).fit(X, noise=C)
        pipe = make_pipeline(StandardScaler(with_std=False), quick()).fit(X, noise=C)
        assert pipe.score(X, noise=C) == pytest.approx(
            quick().fit(X - X.mean(axis=0), noise=C).score(X - X.mean(axis=0), noise=C)
        )
    np.testing.assert_array_equal(search.best_estimator_.means_, quick().fit(X, noise=C).means_)


def test_score_without_the_errors_that_fit_knew_warns():
    X, C = draw()
    with pytest.warns(UserWarning, match="enable_metadata_routing"):
        quick().fit(X, noise=C).score(X)


# --- parameters ------------------------------------------------------------------------------------------------------

SHAPES = {
    "full": (2, 3, 3),
    "tied": (3, 3),
    "diag": (2, 3),
    "spherical": (2,),
    "tied_diag": (3,),
    "tied_spherical": (),
    "scaled": (2, 3, 3),
}


@pytest.mark.parametrize(("covariance_type", "shape"), SHAPES.items())
def test_covariances_and_precisions_have_the_shape_of_their_kind(covariance_type, shape):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3)) * [1.0, 2.0, 0.5] + 6.0 * (np.arange(300) % 2)[:, None]
    gm = quick(covariance_type=covariance_type).fit(X)
    assert np.shape(gm.covariances_) == np.shape(gm.precisions_) == np.shape(gm.precisions_cholesky_) == shape
    whole = gm.fit_.mixture.covariances
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        np.testing.assert_allclose(gm.precisions_ @ gm.covariances_, np.broadcast_to(np.eye(3), shape), atol=1e-10)
        assert not np.tril(gm.precisions_cholesky_, -1).any()
        np.testing.assert_array_equal(np.broadcast_to(gm.covariances_, whole.shape), whole)
    else:
        np.testing.assert_allclose(gm.precisions_ * gm.covariances_, np.ones(shape))
        np.testing.assert_allclose(gm.precisions_cholesky_**2, gm.precisions_)
        variances = np.diagonal(whole, axis1=1, axis2=2)
        packed = gm.covariances_ if covariance_type != "spherical" else gm.covariances_[:, None]
        np.testing.assert_array_equal(np.broadcast_to(packed, variances.shape), variances)
    again = quick(covariance_type=covariance_type, weights_init=gm.weights_, means_init=gm.means_)
    again = again.set_params(precisions_init=gm.precisions_).fit(X)
    assert again.lower_bounds_[0] == pytest.approx(gm.lower_bound_, abs=1e-10)


def test_a_covariance_object_gives_matrices():
    X, _ = draw()
    gm = quick(covariance_type=mx.covariances.Scaled([1.0, 4.0])).fit(X)
    np.testing.assert_allclose(gm.covariances_[1], 4.0 * gm.covariances_[0])
    assert gm.precisions_.shape == (2, 2, 2)


def test_a_singular_covariance_has_no_precision():
    rng = np.random.default_rng(2)
    gm = mx.GaussianMixture(1, reg_covar=0.0).fit(
        np.c_[rng.normal(size=50), np.zeros(50)], noise=mx.noise.from_errors([0.1, 0.1])
    )
    assert np.linalg.eigvalsh(gm.covariances_[0])[0] == pytest.approx(0.0, abs=1e-6)
    gm.covariances_ = np.diag([1.0, 0.0])[None]
    assert not hasattr(gm, "precisions_")
    with pytest.raises(AttributeError, match="reg_covar > 0"):
        _ = gm.precisions_cholesky_


def test_reg_covar_is_a_floor_and_not_added():
    X, _ = draw()
    low, high = quick(reg_covar=0.0).fit(X), quick(reg_covar=1e-3).fit(X)
    np.testing.assert_allclose(low.covariances_, high.covariances_, atol=1e-5)
    assert np.linalg.eigvalsh(quick(reg_covar=9.0).fit(X).covariances_).min() == pytest.approx(9.0)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data", "random"])
def test_every_way_to_begin_finds_the_components(init_params):
    X, C = draw(300)
    X[::9, 1] = np.nan
    gm = quick(init_params=init_params, n_init=3, reg_covar=0.0).fit(X, noise=C)
    assert gm.converged_
    np.testing.assert_allclose(gm.means_[np.argsort(gm.means_[:, 0])], CENTRES, atol=0.4)
    again = quick(init_params=init_params, n_init=3, reg_covar=0.0).fit(X, noise=C)
    np.testing.assert_array_equal(gm.means_, again.means_)


def test_what_is_given_to_begin_from_is_begun_from():
    X, _ = draw()
    means = CENTRES + 0.5
    given = {"weights_init": [0.3, 0.7], "means_init": means, "precisions_init": np.tile(np.eye(2) / 4, (2, 1, 1))}
    gm = quick(**given).fit(X)
    start = mx.Mixture([0.3, 0.7], means, np.tile(4 * np.eye(2), (2, 1, 1)))
    assert gm.lower_bounds_[0] == pytest.approx(mx.expect(start, X).log_likelihood / len(X), rel=1e-12)
    for name, value in given.items():
        for init_params in ("kmeans", "k-means++", "random"):
            partly = quick(init_params=init_params, **{name: value}).fit(X)
            assert partly.lower_bound_ == pytest.approx(gm.lower_bound_, abs=1e-4)


def test_warm_start_goes_on():
    X, _ = draw()
    gm = quick(warm_start=True).fit(X)
    before = gm.means_
    gm.fit(X)
    assert gm.lower_bounds_[0] == pytest.approx(gm.lower_bound_, abs=1e-5)
    np.testing.assert_allclose(gm.means_, before, atol=1e-2)


BAD = {
    "n_components must be": {"n_components": 0},
    "covariance must be one of": {"covariance_type": "round"},
    "init_params must be": {"init_params": "centre"},
    "weights must have shape": {"weights_init": [1.0]},
    "means must have shape": {"means_init": [0.0, 1.0]},
    "precisions_init must have shape": {"precisions_init": np.eye(2)},
    "precisions_init must be symmetric and positive": {"precisions_init": np.tile(-np.eye(2), (2, 1, 1))},
    "tol must be positive": {"tol": 0.0},
    "max_iter must be": {"max_iter": 0},
    "floor must be": {"reg_covar": -1.0},
    "alpha must be at least 1": {"weight_concentration_prior": 0.1},
}


@pytest.mark.parametrize(("message", "change"), BAD.items(), ids=BAD)
def test_settings_that_cannot_be_used_are_refused_in_a_sentence(message, change):
    X, _ = draw()
    with pytest.raises(mx.DataError, match=message):
        quick(**({"k": change["n_components"]} if "n_components" in change else change)).fit(X)


def test_the_random_state_may_be_a_generator():
    X, _ = draw()
    found = [
        quick(random_state=state).fit(X).means_
        for state in (np.random.default_rng(3), np.random.RandomState(3), 3, None)
    ]
    for means in found:
        np.testing.assert_allclose(means[np.argsort(means[:, 0])], CENTRES, atol=0.5)


def test_priors_background_and_laws_of_weights_reach_the_engine():
    X, _ = draw()
    prior = mx.prior.InverseWishart.towards(np.eye(2), 1e4)
    pulled = quick(prior=prior, weight_concentration_prior=1e4).fit(X)
    np.testing.assert_allclose(pulled.covariances_, np.tile(np.eye(2), (2, 1, 1)), atol=0.05)
    np.testing.assert_allclose(pulled.weights_, 0.5, atol=1e-3)
    assert pulled.lower_bound_ == pytest.approx((pulled.fit_.log_likelihood + pulled.fit_.log_prior) / len(X))
    stray = np.r_[X, np.random.default_rng(4).uniform(-50, 50, (60, 2)), [[40.0, 40.0]]]
    box = quick(reg_covar=0.1, background=mx.UniformBackground([-50, -50], [50, 50])).fit(stray)
    assert (box.predict(stray)[200:] == -1).mean() > 0.9
    assert (box.predict(X) == -1).mean() < 0.05
    assert box.predict_proba(stray)[-1].sum() < 0.01
    counts = np.random.default_rng(1).poisson(0.7, 400)[:, None] * 10.0
    ladder = counts + np.random.default_rng(2).normal(size=(400, 1))
    law = quick(4, weights=mx.weights.Poisson(), n_init=8).fit(ladder)
    assert law.fit_.mixture.rates == pytest.approx(0.7, abs=0.15)


# --- what rows say ---------------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_fit():
    X, C = draw()
    X[5] = np.nan
    weights = np.random.default_rng(3).uniform(0.0, 2.0, len(X))
    gm = quick().fit(X, noise=C, sample_weight=weights)
    obs = mx.Observations(X, C, row_weights=weights)
    seen = {"noise": C, "sample_weight": weights}
    np.testing.assert_array_equal(gm.predict_proba(X, noise=C), gm.fit_.responsibilities(obs))
    np.testing.assert_array_equal(gm.predict(X, noise=C), gm.fit_predict(X, noise=C, sample_weight=weights))
    np.testing.assert_array_equal(gm.score_samples(X, noise=C), gm.fit_.log_density(obs))
    assert gm.score_samples(X, noise=C)[5] == pytest.approx(0.0, abs=1e-12)
    used = weights * (np.arange(len(X)) != 5)
    mean = used @ gm.score_samples(X, noise=C) / used.sum()
    assert gm.score(X, **seen) == pytest.approx(mean, rel=1e-12)
    assert gm.bic(X, **seen) == pytest.approx(gm.fit_.bic, rel=1e-12)
    assert gm.aic(X, **seen) == pytest.approx(gm.fit_.aic, rel=1e-12)
    assert gm.icl(X, **seen) == pytest.approx(gm.fit_.icl, rel=1e-12)
    assert gm.lower_bound_ == pytest.approx(mean, rel=1e-12)
    assert gm.lower_bounds_[-1] == pytest.approx(gm.lower_bound_, rel=1e-12)
    np.testing.assert_array_equal(gm.denoise(X, noise=C)[0], gm.fit_.posterior(obs)[0])


def test_gaps_are_filled_and_nothing_else():
    X, C = draw(400)
    X[:, 1] += 3.0 * X[:, 0]
    C = C * 0.01
    whole = X.copy()
    X[::4, 1] = np.nan
    X[1::4, 0] = np.nan
    gm = quick().fit(X, noise=C)
    filled = gm.impute(X, noise=C)
    gap = np.isnan(X)
    np.testing.assert_array_equal(filled[~gap], X[~gap])
    plain = np.where(gap, np.nanmean(X, axis=0), X)
    assert np.abs(filled[gap] - whole[gap]).mean() < 0.25 * np.abs(plain[gap] - whole[gap]).mean()
    assert gm.impute(X.astype(np.float32)).dtype == np.float64
    np.testing.assert_array_equal(gm.impute(whole, noise=C), whole)


@pytest.mark.parametrize("per_row", [False, True])
def test_gaps_are_filled_through_a_projection(per_row):
    X, _ = draw(300)
    view = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    seen = X @ view.T
    seen[::2, 2] = np.nan
    seen[1::2, 0] = np.nan
    noise = mx.noise.from_errors(np.full(3, 1e-4))
    projection = np.tile(view, (300, 1, 1)) if per_row else view
    gm = quick().fit(seen, noise=noise, projection=projection)
    assert gm.means_.shape == (2, 2)
    assert gm.n_features_in_ == 3
    filled = gm.impute(seen, noise=noise, projection=projection)
    np.testing.assert_allclose(filled, X @ view.T, atol=1e-2)


def test_groups_have_weights_of_their_own():
    X, _ = draw(400)
    field = np.where(np.arange(400) < 200, "north", "south")
    X = X[np.r_[np.arange(0, 400, 2), np.arange(400)[:200]]]
    gm = quick().fit(X, groups=field)
    assert gm.weights_.shape == (2, 2)
    south = gm.predict_proba(X, groups=field)
    assert south.shape == (400, 2)
    with pytest.warns(UserWarning, match="no group"):
        gm.predict_proba(X)
    with pytest.raises(mx.DataError, match="group"):
        gm.sample(5)
    assert gm.sample(50, group="north")[0].shape == (50, 2)


def test_samples_come_again_from_a_seed():
    X, _ = draw()
    gm = quick().fit(X)
    points, labels = gm.sample(500)
    assert points.shape == (500, 2)
    assert set(labels) == {0, 1}
    np.testing.assert_array_equal(gm.sample(500)[0], points)
    with pytest.raises(mx.DataError, match="n_samples must be 1 or more"):
        gm.sample(0)


def test_rows_without_any_value_cannot_be_scored():
    X, _ = draw()
    with pytest.raises(mx.DataError, match="at least one value"):
        quick().fit(X).score(np.full((3, 2), np.nan))


def test_labels_agree_with_scikit_learn():
    X, _ = draw(400)
    ours, reference = quick().fit(X), theirs.GaussianMixture(2, random_state=0).fit(X)
    order = np.argsort(ours.means_[:, 0]), np.argsort(reference.means_[:, 0])
    np.testing.assert_allclose(ours.means_[order[0]], reference.means_[order[1]], atol=0.02)
    same = np.argsort(order[0])[ours.predict(X)] == np.argsort(order[1])[reference.predict(X)]
    assert same.mean() > 0.99


def test_the_page_of_the_docs_runs():
    names = run_examples("docs/estimators.md")
    found = names["gm"].means_
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], [[0.0, 0.0], [6.0, 3.0]], atol=0.4)
    assert len(names["scores"]) == 3
    assert names["search"].best_params_["n_components"] == 2
    assert not np.isnan(names["filled"]).any()


def test_columns_that_the_floor_swallows_are_named():
    x = np.random.default_rng(0).normal(size=(60, 2)) * [1.0, 1e-4]
    with pytest.warns(UserWarning, match=r"reg_covar=1e-06 allows for; 1 have variances down to \S+: scale them"):
        mx.GaussianMixture(1, random_state=0).fit(x)
    mx.GaussianMixture(1, random_state=0, reg_covar=1e-12).fit(x)  # a warning would be an error
