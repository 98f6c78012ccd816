"""Angles in scikit-learn: its contract, names of columns, units, gaps, and what a Gaussian mixture gets wrong."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import mixsci as mx
from tests.test_estimators import DIFFER, run_checks


def hues(n=300, seed=0):
    """Reds on both sides of 0, greens, and the lightness of each; some greys without a hue."""
    rng = np.random.default_rng(seed)
    green = rng.random(n) < 0.4
    hue = np.where(green, rng.normal(130.0, 20.0, n), rng.normal(0.0, 12.0, n)) % 360
    table = pd.DataFrame({"lightness": np.where(green, 60.0, 35.0) + 8.0 * rng.normal(size=n), "hue": hue})
    table.loc[rng.random(n) < 0.2, "hue"] = np.nan
    return table, green


def quick(k=2, **settings):
    return mx.VonMisesMixture(k, **({"random_state": 0, "n_init": 3, "period": 360} | settings))


@pytest.mark.parametrize(
    ("estimator", "differ"),
    [(mx.VonMisesMixture(), {}), (mx.VonMisesMixture(2, n_init=2), DIFFER)],
    ids=["one component", "two"],
)
@pytest.mark.filterwarnings("ignore::mixsci.errors.ConvergenceWarning")  # a check fits columns without any spread
def test_scikit_learn_checks_pass(estimator, differ):
    run_checks(estimator, differ)


def test_angles_are_named_or_numbered():
    table, green = hues()
    named = quick(angles=["hue"]).fit(table)
    numbered = quick(angles=[1]).fit(table.to_numpy())
    np.testing.assert_array_equal(named.means_, numbered.means_)
    assert quick(angles="hue").fit(table).kappas_.shape == (2, 1)
    assert "kappa(hue)" in named.fit_.summary()
    assert named.means_.shape == (2, 2)
    assert named.covariances_.shape == (2, 1, 1)
    reds = int(named.means_[:, 0].argmin())
    assert np.abs((named.means_[reds, 1] + 180) % 360 - 180) < 3
    assert named.means_[1 - reds, 1] == pytest.approx(130, abs=6)
    right = (named.predict(table) == reds) == ~green
    assert right.mean() > 0.97
    again = pickle.loads(pickle.dumps(named))
    np.testing.assert_array_equal(again.predict_proba(table), named.predict_proba(table))


def test_criteria_are_those_of_the_fit():
    table, _ = hues()
    found = quick(angles=["hue"]).fit(table)
    for name in ("bic", "aic", "icl"):
        assert getattr(found, name)(table) == pytest.approx(getattr(found.fit_, name))
    assert found.score(table) * len(table) == pytest.approx(found.fit_.log_likelihood)
    assert found.lower_bound_ == pytest.approx(found.lower_bounds_[-1])
    assert found.fit_.n_free == 1 + 2 * (2 + 2)
    assert np.diff(found.lower_bounds_).min(initial=0.0) > -1e-12
    weight = np.arange(len(table)) % 3
    repeated = table.loc[table.index.repeat(weight)]
    assert found.score(table, sample_weight=weight) == pytest.approx(found.score(repeated))


def test_gaps_are_filled_and_rows_drawn():
    table, _ = hues()
    found = quick(angles=[1]).fit(table.to_numpy())
    filled = found.impute(table.to_numpy())
    seen = table.notna().to_numpy()
    np.testing.assert_array_equal(filled[seen], table.to_numpy()[seen])
    assert ((filled[:, 1] >= 0) & (filled[:, 1] < 360)).all()
    rows, labels = found.sample(500)
    assert rows.shape == (500, 2)
    assert found.predict(rows).shape == labels.shape
    assert (found.predict(rows) == labels).mean() > 0.95


def test_reds_are_one_colour_on_the_circle_and_two_on_a_line():
    hue = hues(600)[0][["hue"]].dropna().to_numpy()
    k = range(1, 6)
    assert min(k, key=lambda k: quick(k).fit(hue).bic(hue)) == 2
    line = min(k, key=lambda k: mx.GaussianMixture(k, n_init=3, random_state=0).fit(hue).bic(hue))
    assert line >= 3


def test_it_stands_in_searches_and_clones():
    table, _ = hues()
    search = GridSearchCV(quick(angles=["hue"]), {"n_components": [1, 2]}, cv=3).fit(table)
    assert search.best_params_ == {"n_components": 2}
    assert not hasattr(clone(search.best_estimator_), "fit_")
    with sklearn.config_context(enable_metadata_routing=True):
        noise = mx.noise.from_errors(np.tile([2.0, 8.0], (len(table), 1)))
        scores = cross_val_score(quick(angles=["hue"]), table, cv=3, params={"noise": noise})
    assert np.isfinite(scores).all()


def test_groups_errors_and_a_background():
    table, green = hues()
    found = quick(angles=["hue"]).fit(table, groups=green, noise=mx.noise.from_errors([2.0, 5.0]))
    assert found.weights_.shape == (2, 2)
    assert found.weights_.max(axis=1).min() > 0.9
    sharp = quick(angles=["hue"]).fit(table, groups=green)
    assert (found.kappas_ > sharp.kappas_).all()
    box = mx.UniformBackground([0.0, 0.0], [100.0, 360.0])
    scattered = pd.DataFrame(np.random.default_rng(0).uniform(box.low, box.high, (100, 2)), columns=table.columns)
    robust = quick(angles=["hue"], background=box).fit(pd.concat([table, scattered]))
    strays = robust.predict(pd.DataFrame({"lightness": [99.0, 35.0], "hue": [250.0, 1.0]}))
    assert strays[0] == -1 < strays[1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: quick(angles=["colour"]).fit(hues()[0]), "'colour' is none of"),
        (lambda: quick(angles=[2]).fit(hues()[0]), "columns of X, 0 to 1"),
        (lambda: quick(period=-1).fit(hues()[0]), "period must be positive"),
        (lambda: quick(angles=[1]).fit(hues()[0]).sample(0), "1 or more"),
        (lambda: quick(angles=[1]).fit(hues()[0]).score(np.full((3, 2), np.nan)), "at least one value"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_cannot_be_is_refused_in_a_sentence(ask, message):
    with pytest.raises(mx.DataError, match=message):
        ask()
