"""Mixtures with angles against scipy's densities, numerical integrals and the laws that turning and EM obey."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import i0e, i1e

import mixsci as mx
from mixsci.engine.circular_mixture import TURN, wrapped
from mixsci.engine.em.circular_task import by_weight
from mixsci.engine.kernels import circular

PROBLEMS = range(12)


def turned_apart(a, b, period):
    """Distances on the circle."""
    return np.abs((np.asarray(a) - b + period / 2) % period - period / 2)


def random_mixture(rng, k, a, d, period, labels=None):
    root = rng.normal(size=(k, d, d))
    weights = rng.dirichlet(np.full(k, 4.0), size=len(labels) if labels else None)
    return mx.CircularMixture(
        weights, 3.0 * rng.normal(size=(k, d)), root @ root.transpose(0, 2, 1) + 0.3 * np.eye(d),
        directions=rng.uniform(0, 1, size=(k, a)) * period, concentrations=np.exp(rng.normal(1.5, 1.0, size=(k, a))),
        angles=sorted(rng.choice(a + d, a, replace=False).tolist()), period=period, group_labels=labels,
    )  # fmt: skip


def random_problem(seed):
    """Rows with angles, a model and a start: gaps, weights, errors, groups and a background come and go."""
    rng = np.random.default_rng(seed)
    k, a, d = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(seed % 3)
    period = np.array([TURN, 360.0, 24.0])[rng.integers(3, size=a)]
    labels = ("left", "right") if seed % 4 == 3 else None
    truth = random_mixture(rng, k, a, d, period)
    x, _ = truth.sample(150, rng=rng)
    x[rng.random(x.shape) < (0.0, 0.25)[seed % 2]] = np.nan
    unit = np.ones(a + d)
    unit[list(truth.angles)] = period / TURN
    noise = mx.noise.from_errors(unit * rng.uniform(0.0, 0.5, size=x.shape)) if seed % 3 == 1 else None
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=len(x)) if seed % 5 == 2 else None
    groups = rng.choice(labels, len(x)) if labels else None
    low, high = np.full(a + d, -15.0), np.full(a + d, 15.0)
    low[list(truth.angles)], high[list(truth.angles)] = 0.0, period
    background = mx.UniformBackground(low, high, weight=0.1) if seed % 6 == 4 else None
    model = mx.CircularModel(
        k, angles=truth.angles, period=period, background=background, prior=None if seed % 2 else True,
        covariance=("full", "diag", "spherical")[seed % 3], floor=1e-6,
    )  # fmt: skip
    obs = mx.Observations(x, noise, None, weights, groups)
    start = random_mixture(rng, k, a, d, period, obs.group_labels)
    start = replace(start, angles=truth.angles, background=background)
    return model.resolve(np.full(d, 2.0), np.full(a, 0.5)), obs, start


# --- the density -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [0.0, 1e-3, 0.7, 5.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("period", [TURN, 360.0, 24.0])
def test_density_is_that_of_scipy(kappa, period):
    reach = min(np.pi, 8 / np.sqrt(kappa + 1))
    t = 1.3 + np.linspace(-reach, reach, 41)
    one = mx.CircularMixture([1.0], directions=[[1.3 * period / TURN]], concentrations=[[kappa]], period=period)
    theirs = stats.vonmises.logpdf(t, kappa, loc=1.3) if kappa else np.full(41, -np.log(TURN))
    ours = one.log_density((t * period / TURN)[:, None])
    np.testing.assert_allclose(ours, theirs + np.log(TURN / period), rtol=1e-10, atol=1e-10)
    assert np.isfinite(ours).all()


@pytest.mark.parametrize("seed", PROBLEMS)
def test_log_density_is_the_sum_over_components(seed):
    _, obs, mixture = random_problem(seed)
    obs = mx.Observations(obs.x, row_weights=obs.row_weights, groups=None if obs.groups is None else obs.groups)
    mixture = mixture.of_group(mixture.group_labels[0]) if mixture.n_groups else mixture
    shares = mixture.shares(obs)
    for row, density, r in list(zip(obs.x, shares.log_density, shares.responsibilities, strict=True))[:15]:
        p = np.array([component_density(mixture, k, row) for k in range(mixture.n_components)])
        outside = 0.0
        if mixture.background is not None:
            p, outside = p * (1 - mixture.background.weight), np.exp(mixture.background.log_density(row[:, None])[0])
        np.testing.assert_allclose(density, np.log(p.sum() + outside), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(r, p / (p.sum() + outside), atol=1e-10)


def component_density(mixture, k, row):
    """w_k times the density of what is seen of a row, from scipy."""
    p = mixture.weights[k]
    for a, j in enumerate(mixture.angles):
        if np.isfinite(row[j]):
            unit = TURN / mixture.period[a]
            p *= stats.vonmises.pdf(row[j] * unit, mixture.concentrations[k, a], mixture.directions[k, a] * unit) * unit
    seen = [d for d, j in enumerate(mixture.ordinary) if np.isfinite(row[j])]
    if seen:
        values = row[[mixture.ordinary[d] for d in seen]]
        p *= stats.multivariate_normal(mixture.means[k, seen], mixture.covariances[k][np.ix_(seen, seen)]).pdf(values)
    return p


@pytest.mark.parametrize(("kappa", "sigma"), [(3.0, 0.4), (50.0, 0.05), (0.2, 2.0), (1e4, 0.02)])
def test_an_error_is_a_convolution(kappa, sigma):
    one = mx.CircularMixture([1.0], directions=[[0.1]], concentrations=[[kappa]])
    x = np.array([[0.12], [2.0], [5.0]])
    found = one.log_density(mx.Observations(x, mx.noise.from_errors([sigma])))
    sharp = float(circular.concentration(-np.expm1(-(sigma**2) / 2)))
    t = np.linspace(-np.pi, np.pi, 400_001)[:-1]
    for value, density in zip(x[:, 0], found, strict=True):
        log_p = stats.vonmises.logpdf(t, kappa, loc=0.1) + stats.vonmises.logpdf(value - t, sharp)
        top = log_p.max()
        assert density == pytest.approx(top + np.log(np.exp(log_p - top).mean() * TURN), abs=1e-9)


def test_an_error_is_nearly_normal():
    sigma, kappa = 0.3, 6.0
    one = mx.CircularMixture([1.0], directions=[[np.pi]], concentrations=[[kappa]])
    for value in (np.pi, 2.5, 1.5):
        found = np.exp(one.log_density(mx.Observations([[value]], mx.noise.from_errors([sigma])))[0])
        wanted = integrate.quad(
            lambda e, at=value: stats.norm.pdf(e, 0, sigma) * stats.vonmises.pdf(at - e, kappa, np.pi), -3, 3
        )[0]
        assert found == pytest.approx(wanted, rel=0.02)


def test_no_error_and_an_error_of_zero_are_the_same():
    one = mx.CircularMixture([1.0], directions=[[1.0]], concentrations=[[1e5]])
    x = 1.0 + np.linspace(-0.01, 0.01, 11)[:, None]
    mixed = mx.noise.from_errors(np.r_[1.0, np.zeros(10)][:, None])
    np.testing.assert_allclose(
        one.log_density(mx.Observations(x, mixed))[1:], one.log_density(x)[1:], rtol=0, atol=1e-8
    )


def test_the_concentration_inverts_the_mean_length():
    kappa = np.concatenate([[0.0], np.geomspace(1e-6, 1e10, 400)])
    missing = circular.lack(kappa)
    np.testing.assert_allclose(missing[kappa < 1e3], ((i0e(kappa) - i1e(kappa)) / i0e(kappa))[kappa < 1e3], rtol=1e-12)
    # For large kappa 1 - A = 1 / (2 kappa) + 1 / (8 kappa^2) + ...
    far = kappa > 1e4
    np.testing.assert_allclose(missing[far], (0.5 + 0.125 / kappa[far]) / kappa[far], rtol=1e-8)
    np.testing.assert_allclose(circular.concentration(missing), kappa, rtol=1e-10, atol=1e-9)
    assert circular.concentration(np.array([0.0, 1.0])) == pytest.approx([circular.LARGEST, 0.0])


# --- the climb -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", PROBLEMS)
@pytest.mark.parametrize("accelerate", [False, True])
def test_the_objective_never_falls(seed, accelerate):
    model, obs, start = random_problem(seed)
    states = mx.iterate(model, obs, start=start, accelerate=accelerate)
    objectives = [state.objective for state, _ in zip(states, range(40), strict=False)]
    assert np.diff(objectives).min() > -1e-9 * abs(objectives[0])
    assert objectives[-1] > objectives[0]


@pytest.mark.parametrize("seed", PROBLEMS)
def test_sums_are_the_score(seed):
    model, obs, mixture = random_problem(seed)
    mixture = mx.em_step(model, mixture, obs)[0]
    found, unit = mx.expect(mixture, obs), TURN / mixture.period
    for name, score in (
        ("directions", mixture.concentrations * found.sines * unit),
        ("concentrations", found.seen * circular.lack(mixture.concentrations) - found.versines),
    ):
        for at in np.ndindex(score.shape):
            step = 1e-5 * max(1.0, getattr(mixture, name)[at])
            up, down = (moved(mixture, name, at, sign * step) for sign in (1, -1))
            slope = (mx.expect(up, obs).log_likelihood - mx.expect(down, obs).log_likelihood) / (2 * step)
            assert score[at] == pytest.approx(slope, rel=1e-4, abs=1e-4)


def moved(mixture, name, at, step):
    values = getattr(mixture, name).copy()
    values[at] += step
    return replace(mixture, **{name: values})


@pytest.mark.parametrize("seed", PROBLEMS)
def test_packing_is_undone_and_blocks_add(seed):
    model, obs, mixture = random_problem(seed)
    mixture = mx.em_step(model, mixture, obs)[0]
    again = model.unpack(model.pack(mixture), mixture)
    for name in ("weights", "means", "covariances", "concentrations"):
        np.testing.assert_allclose(getattr(again, name), getattr(mixture, name), rtol=1e-9, atol=1e-9)
    assert turned_apart(again.directions, mixture.directions, mixture.period).max() < 1e-9
    assert model.sizes(mixture).shape == model.pack(mixture).shape
    whole, parts = mx.expect(mixture, obs), mx.expect(mixture, obs.take(slice(0, 70)))
    parts += mx.expect(mixture, obs.take(slice(70, None)))
    for name in vars(whole):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-9)


def test_a_single_component_is_scipys_fit():
    x = np.random.default_rng(0).vonmises(2.0, 3.0, size=400)
    kappa, loc, _ = stats.vonmises.fit(x, fscale=1)
    found = mx.fit(mx.CircularModel(prior=None), x[:, None], rng=0)
    assert found.mixture.directions[0, 0] == pytest.approx(loc, abs=1e-6)
    assert found.mixture.concentrations[0, 0] == pytest.approx(kappa, rel=1e-6)
    assert found.bic == pytest.approx(-2 * stats.vonmises.logpdf(x, kappa, loc).sum() + 2 * np.log(400))


def mixed_truth():
    return mx.CircularMixture(
        [0.5, 0.3, 0.2], [[0.0, 1.0], [4.0, -1.0], [8.0, 3.0]], [np.eye(2), np.diag([0.5, 2.0]), 0.7 * np.eye(2)],
        directions=[[355.0], [100.0], [230.0]], concentrations=[[20.0], [6.0], [60.0]], angles=[1], period=360.0,
    )  # fmt: skip


@pytest.mark.parametrize("blur", [0.0, 0.4])
def test_parameters_are_recovered_with_gaps_and_errors(blur):
    truth, rng = mixed_truth(), np.random.default_rng(3)
    x, _ = truth.sample(2500, rng=rng)
    errors = blur * np.array([1.0, 25.0, 1.0])
    x = x + errors * rng.normal(size=x.shape)
    x[rng.random(x.shape) < 0.2] = np.nan
    obs = mx.Observations(x, mx.noise.from_errors(errors) if blur else None)
    fit = mx.fit(mx.CircularModel(3, angles=[1], period=360), obs, rng=0, starts=3)
    assert fit.converged
    found = fit.mixture
    assert np.abs(found.weights - truth.weights).max() < 0.03
    assert turned_apart(found.directions, truth.directions, 360).max() < 3
    assert np.abs(np.log(found.concentrations / truth.concentrations)).max() < 0.25
    assert np.abs(found.means - truth.means).max() < 0.2
    assert np.abs(found.covariances - truth.covariances).max() < 0.25


@pytest.mark.parametrize("n_dims", [0, 2])
def test_turning_all_angles_changes_nothing(n_dims):
    truth = mixed_truth() if n_dims else mx.CircularMixture(
        [0.6, 0.4], directions=[[10.0, 80.0], [200.0, 300.0]], concentrations=[[5.0, 9.0], [12.0, 3.0]], period=360.0
    )  # fmt: skip
    x, _ = truth.sample(400, rng=5)
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    shift = np.zeros(x.shape[1])
    shift[list(truth.angles)] = 77.7
    model = mx.CircularModel(3, angles=truth.angles, period=360)
    here, there = (mx.fit(model, rows, rng=1, starts=3) for rows in (x, x + shift))
    assert there.log_likelihood == pytest.approx(here.log_likelihood, abs=1e-6)
    assert there.starts == pytest.approx(here.starts, abs=1e-6)
    assert turned_apart(there.mixture.directions, here.mixture.directions + 77.7, 360).max() < 1e-4
    np.testing.assert_allclose(there.mixture.concentrations, here.mixture.concentrations, rtol=1e-5)
    np.testing.assert_allclose(there.mixture.means, here.mixture.means, rtol=1e-5, atol=1e-5)


def test_units_and_turns_do_not_matter():
    x, _ = mixed_truth().marginal([1]).sample(300, rng=5)
    fits = [
        mx.fit(mx.CircularModel(2, period=period), x * period / 360, rng=0) for period in (360.0, TURN, 24.0)
    ]  # fmt: skip
    wound = mx.fit(mx.CircularModel(2, period=360), x + 360 * np.random.default_rng(0).integers(-3, 4, x.shape), rng=0)
    for fit, period in zip([*fits, wound], (360.0, TURN, 24.0, 360.0), strict=True):
        assert fit.log_likelihood == pytest.approx(fits[0].log_likelihood + 300 * np.log(360 / period), abs=1e-6)
        assert turned_apart(fit.mixture.directions * 360 / period, fits[0].mixture.directions, 360).max() < 1e-5
        assert ((fit.mixture.directions >= 0) & (fit.mixture.directions < period)).all()
    assert wrapped(np.array([-1e-20, 360.0, -90.0]), 360.0).tolist() == [0.0, 0.0, 270.0]


def test_narrow_components_far_apart():
    rng = np.random.default_rng(0)
    x = np.concatenate([1e-3 * rng.normal(size=500), 3.0 + 1e-3 * rng.normal(size=500)])[:, None] % TURN
    fit = mx.fit(mx.CircularModel(2, prior=None), x, rng=0)
    np.testing.assert_allclose(fit.mixture.concentrations, 1e6, rtol=0.2)
    assert turned_apart(np.sort(fit.mixture.directions[:, 0]), [3.0, TURN], TURN).max() < 1e-3
    start = replace(fit.mixture, concentrations=np.full((2, 1), 1e3), directions=[[0.5], [2.5]])
    climbed = [state.objective for state, _ in zip(mx.iterate(fit.model, x, start=start), range(12), strict=False)]
    assert np.diff(climbed).min() > -1e-8
    assert climbed[-1] == pytest.approx(fit.objective, abs=1e-3)


def test_no_component_collapses_onto_an_angle():
    x = np.concatenate([np.random.default_rng(0).uniform(0, 360, 200), np.full(4, 42.0)])[:, None]
    start = mx.CircularMixture(
        [0.98, 0.02], directions=[[200.0], [42.0]], concentrations=[[0.1], [1e8]], period=360
    )  # fmt: skip
    none = mx.fit(mx.CircularModel(2, period=360, prior=None), x, start=start)
    weak = mx.fit(mx.CircularModel(2, period=360), x, start=start)
    assert none.mixture.concentrations.max() == pytest.approx(circular.LARGEST)
    assert weak.mixture.concentrations.max() < 200
    same = mx.fit(mx.CircularModel(1, prior=None), np.full((20, 1), 2.0), rng=0)
    assert same.mixture.concentrations[0, 0] == pytest.approx(circular.LARGEST)
    assert np.isfinite(same.log_likelihood)


def test_the_number_of_components_is_found_by_bic():
    x, _ = mixed_truth().marginal([1]).sample(500, rng=2)
    fits = {k: mx.fit(mx.CircularModel(k, period=360), x, rng=0) for k in range(1, 5)}
    assert min(fits, key=lambda k: fits[k].bic) == 3
    assert [fits[k].n_free for k in fits] == [3 * k - 1 for k in fits]


def test_a_background_takes_what_belongs_nowhere():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.vonmises(0.0, 80.0, 400), rng.uniform(0, TURN, 100)])[:, None]
    found = mx.fit(mx.CircularModel(background=mx.UniformBackground([-1.0], [-1.0 + TURN])), x, rng=0).mixture
    assert found.background.weight == pytest.approx(0.2, abs=0.05)
    assert found.predict(np.array([[0.05], [3.0]])).tolist() == [0, -1]
    _, labels = found.sample(1000, rng=0)
    assert (labels == -1).mean() == pytest.approx(0.2, abs=0.05)


def test_groups_have_weights_of_their_own():
    truth, rng = mixed_truth().marginal([1]), np.random.default_rng(0)
    left, right = (replace(truth, weights=w).sample(400, rng=rng)[0] for w in ([0.8, 0.1, 0.1], [0.1, 0.1, 0.8]))
    obs = mx.Observations(np.concatenate([left, right]), groups=["left"] * 400 + ["right"] * 400)
    fit = mx.fit(mx.CircularModel(3, period=360), obs, rng=0)
    reds = int(turned_apart(fit.mixture.directions[:, 0], 355, 360).argmin())
    assert fit.mixture.weights[:, reds] == pytest.approx([0.8, 0.1], abs=0.06)
    assert fit.of_group("left").weights == pytest.approx(fit.mixture.weights[0])
    assert fit.n_free == 2 * 2 + 6


# --- what follows from a mixture -------------------------------------------------------------------------------------


def test_gaps_are_filled_as_the_joint_density_says():
    truth = mixed_truth()
    x = np.array([[0.2, np.nan, 1.0], [np.nan, 95.0, np.nan], [np.nan, np.nan, np.nan]])
    filled, sd = truth.impute(x)
    grid = np.linspace(0, 360, 7201)[:-1]
    rows = np.column_stack([np.full(7200, 0.2), grid, np.full(7200, 1.0)])
    p = np.exp(truth.log_density(rows))
    resultant = (p * np.exp(1j * np.radians(grid))).sum() / p.sum()
    assert turned_apart(filled[0, 1], np.degrees(np.angle(resultant)), 360) < 1e-6
    assert sd[0, 1] == pytest.approx(np.degrees(np.sqrt(-2 * np.log(np.abs(resultant)))))
    r = truth.responsibilities(x)
    assert filled[1, 0] == pytest.approx(r[1] @ truth.means[:, 0])
    assert filled[2, [0, 2]] == pytest.approx(truth.weights @ truth.means)
    assert (sd[~np.isnan(x)] == 0).all()
    draws = np.array([truth.draw(x[:2], rng=seed) for seed in range(300)])
    assert np.abs(draws[:, 1, 0].mean() - filled[1, 0]) < 4 * sd[1, 0] / np.sqrt(300)
    assert turned_apart(np.degrees(np.angle(np.exp(1j * np.radians(draws[:, 0, 1])).mean())), filled[0, 1], 360) < 5


def test_marginals_and_samples_agree():
    truth = mixed_truth()
    x, labels = truth.sample(20_000, rng=0)
    assert np.bincount(labels) / len(x) == pytest.approx(truth.weights, abs=0.01)
    assert type(truth.marginal([2, 0])) is mx.Mixture
    gappy = np.where([True, False, True], np.nan, x[:5])
    np.testing.assert_allclose(truth.marginal([1]).log_density(x[:5, [1]]), truth.log_density(gappy))
    np.testing.assert_allclose(truth.marginal([2, 1, 0]).log_density(x[:5, ::-1]), truth.log_density(x[:5]))
    # The density integrates to one per unit of the columns.
    grid = np.linspace(0, 360, 721)[:-1, None]
    assert np.exp(truth.marginal([1]).log_density(grid)).sum() * 0.5 == pytest.approx(1.0)


def test_fits_are_saved_pickled_and_gone_on_with(tmp_path):
    x, _ = mixed_truth().sample(300, rng=0)
    model = mx.CircularModel(2, angles=[1], period=360)
    fit = mx.fit(model, x, rng=0, checkpoint=tmp_path / "climb.json")
    fit.save(tmp_path / "fit.json")
    for again in (mx.load(tmp_path / "fit.json"), pickle.loads(pickle.dumps(fit))):
        np.testing.assert_array_equal(again.log_density(x), fit.log_density(x))
        assert repr(again) == repr(fit)
    assert repr(fit.mixture) == "CircularMixture(2 components, 1 angles, 2 other columns)"
    assert list(fit.summary()) == ["weight", "x0", "x1", "x2", "kappa(x1)", "sd(x0)", "sd(x2)"]
    more = mx.fit(model, x, start=fit.mixture)
    assert more.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-4)


def test_threads_and_blocks_change_nothing():
    x, _ = mixed_truth().sample(3000, rng=0)
    model = mx.CircularModel(3, angles=[1], period=360)
    one, four = (mx.fit(model, x, rng=0, starts=2, workers=workers) for workers in (1, 4))
    np.testing.assert_array_equal(one.mixture.directions, four.mixture.directions)
    blocks = mx.from_blocks(lambda: iter([x[:1500], x[1500:]]))
    start = by_weight(one.mixture)
    assert mx.fit(model, blocks, start=start).log_likelihood == pytest.approx(one.log_likelihood, abs=1e-4)


# --- what is refused -------------------------------------------------------------------------------------------------

GOOD = mx.CircularMixture([1.0], [[0.0]], [[[1.0]]], directions=[[1.0]], concentrations=[[2.0]], angles=[1])
ROWS = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: mx.CircularMixture([1.0], directions=[[1.0]], concentrations=[[-1.0]]), "not negative"),
        (lambda: mx.CircularMixture([1.0], directions=[[1.0]], concentrations=[[1.0, 2.0]]), "shape"),
        (lambda: mx.CircularMixture([1.0], directions=[[1.0]], concentrations=[[1.0]], period=0), "positive"),
        (lambda: mx.CircularMixture([1.0], [[0.0]], [[[1.0]]], directions=[[1.0]], concentrations=[[1.0]]), "angles"),
        (lambda: replace(GOOD, angles=[5]), "distinct numbers of columns, from 0 to 1"),
        (lambda: replace(GOOD, background=mx.UniformBackground([0, 0], [1, 7])), "at most a period"),
        (lambda: replace(GOOD, background=mx.UniformBackground([0], [1])), "2 columns"),
        (lambda: GOOD.condition({0: 1.0}), "impute or draw"),
        (lambda: GOOD.posterior(ROWS), "impute or draw"),
        (lambda: GOOD.forecast(ROWS, [1.0]), "impute or draw"),
        (lambda: GOOD.cdf(0.0), "no left end"),
        (lambda: GOOD.log_density(ROWS[:, :1]), "2 columns"),
        (lambda: GOOD.log_density(mx.Observations(ROWS, projection=np.eye(2))), "projection"),
        (lambda: GOOD.log_density(mx.Observations(ROWS, np.full((30, 2, 2), 0.1))), "correlated"),
        (lambda: GOOD.of_group("a"), "leave group= out"),
        (lambda: mx.CircularModel(0), "whole number"),
        (lambda: mx.CircularModel(weights="poisson"), "free or fixed"),
        (lambda: mx.CircularModel(angles=[0, 0]), "distinct"),
        (lambda: mx.CircularModel(angles=[-1]), "distinct"),
        (lambda: mx.CircularModel(period=[360.0, 24.0], angles=[0]), "each of the 1 angles"),
        (lambda: mx.CircularModel(prior="strong"), "prior"),
        (lambda: mx.CircularModel(prior=[mx.prior.Concentration(), mx.prior.Concentration()]), "at most one"),
        (lambda: mx.prior.Concentration(rows=-1.0), "not negative"),
        (lambda: mx.em_step(mx.CircularModel(1, angles=[1]), GOOD, ROWS), "from data"),
        (lambda: mx.fit(mx.CircularModel(1, angles=[4]), ROWS), "numbers of columns, from 0 to 1"),
        (lambda: mx.CircularModel(1, angles=["hue"]), "finds by name"),
        (lambda: mx.CircularModel(1, angles=3.5), "distinct numbers of columns, from 0; got 3.5"),
        (lambda: mx.fit(mx.CircularModel(1), np.ones((30, 1))), "angle 0 does not, be it one sample"),
        (lambda: mx.fit(mx.CircularModel(1), ROWS[:, :1] * 1e20), "take whole turns off"),
        (lambda: mx.fit(mx.CircularModel(2, angles=[1]), ROWS, start=GOOD), "components"),
        (lambda: mx.fit(mx.CircularModel(1, angles=[0]), ROWS, start=GOOD), "angles"),
        (lambda: mx.fit(mx.CircularModel(1, angles=[1], period=9), ROWS, start=GOOD), "periods"),
        (lambda: mx.fit(mx.CircularModel(1, angles=[1]), ROWS, start=GOOD, starts=3), "climbed from once"),
        (lambda: mx.fit(mx.CircularModel(1), ROWS, start=mx.Mixture([1.0], [[0.0]], [[[1.0]]])), "CircularMixture"),
        (lambda: mx.fit(mx.Model(1), ROWS[:, :1], start=GOOD), "CircularModel"),
        (lambda: mx.fit(mx.CircularModel(9), ROWS[:5]), "as many rows"),
        (lambda: mx.fit(mx.CircularModel(1), np.column_stack([ROWS, np.full(30, np.nan)])), "column 2 has none"),
        (lambda: mx.fit(mx.CircularModel(1), ROWS, split_and_merge=True), "split"),
        (lambda: mx.diagnose(mx.fit(mx.CircularModel(1), ROWS), ROWS), "a diagnosis is that of Gaussians"),
        (lambda: mx.tails(GOOD.marginal([1]), 1.0), "tails are those of Gaussians"),
        (lambda: mx.resolvability(GOOD, 100), "resolvability is that of Gaussians"),
        (lambda: mx.overlap(GOOD), "overlap is that of Gaussians"),
        (lambda: mx.standard_errors(mx.fit(mx.CircularModel(1), ROWS), ROWS), "standard errors"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(ask, message):
    with pytest.raises(mx.DataError, match=message):
        ask()


def test_true_angles_are_those_of_an_integral():
    """Two components, an angle with an error and an ordinary column; the error as the mixture assumes it."""
    mixture = mx.CircularMixture(
        [0.3, 0.7], [[0.0], [2.0]], [[[1.0]], [[0.5]]], directions=[[350.0], [60.0]], concentrations=[[3.0], [8.0]],
        angles=[0], period=360,
    )  # fmt: skip
    sigma, row = np.array([25.0, 0.6]), np.array([[20.0, 1.2]])
    mean, sd = mixture.denoise(mx.Observations(row, mx.noise.from_errors(sigma)))
    sharp = circular.concentration(-np.expm1(-(np.radians(sigma[0]) ** 2) / 2.0))
    t, v = np.linspace(0, TURN, 720, endpoint=False), np.linspace(-8.0, 12.0, 2001)
    grid = np.stack(np.meshgrid(np.degrees(t), v, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(mixture.log_density(grid)).reshape(len(t), len(v))
    density *= np.exp(sharp * np.cos(t - np.radians(20.0)))[:, None] * stats.norm.pdf(1.2, v, sigma[1])
    density /= density.sum()
    z = (density.sum(axis=1) * np.exp(1j * t)).sum()
    assert mean[0, 0] == pytest.approx(np.degrees(np.angle(z)) % 360, abs=1e-6)
    assert sd[0, 0] == pytest.approx(np.degrees(np.sqrt(-2 * np.log(np.abs(z)))), abs=1e-6)
    middle = density.sum(axis=0) @ v
    assert mean[0, 1] == pytest.approx(middle, abs=1e-6)
    assert sd[0, 1] == pytest.approx(np.sqrt(density.sum(axis=0) @ (v - middle) ** 2), abs=1e-6)


def test_without_errors_rows_are_what_they_are_and_gaps_as_imputed():
    rows = np.array([[200.0, 1.0], [np.nan, 1.0]])
    mixture = mx.CircularMixture(
        [0.5, 0.5], [[0.0], [2.0]], np.ones((2, 1, 1)), directions=[[350.0], [60.0]], concentrations=[[3.0], [8.0]],
        angles=[0], period=360,
    )  # fmt: skip
    for found, filled in zip(mixture.denoise(rows), mixture.impute(rows), strict=True):
        np.testing.assert_allclose(found, filled, atol=1e-6)
