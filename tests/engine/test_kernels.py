"""Every kernel agrees with `reference` on a table of problems."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from mixsci.engine import kernels
from mixsci.engine.kernels.layout import Parameters, Rows


@dataclass(frozen=True)
class Problem:
    d: int = 3
    k: int = 3
    gaps: float = 0.0
    noise: str = "none"
    scale: float = 1.0
    projected: bool = False
    outlier: float = 0.0
    groups: int = 1
    singular: bool = False
    weights: bool = False
    background: bool = False
    n: int = 150

    def make(self) -> tuple[Rows, Parameters]:
        rng = np.random.default_rng([self.d, self.k, int(100 * self.gaps), self.groups])
        n, d, k = self.n, self.d, self.k
        m = d + 1 if self.projected and d < 3 else max(1, d - 1) if self.projected else d
        root = rng.normal(size=(k, d, d))
        covariances = root @ root.transpose(0, 2, 1) / d + 0.05 * np.eye(d)
        if self.singular:
            root[:, :, -1] = 0.0
            covariances = root @ root.transpose(0, 2, 1)
            covariances[0] = 0.0
        x = 2.0 * rng.normal(size=(m, n))
        x[:, 0] += self.outlier
        x[rng.random(x.shape) < self.gaps] = np.nan
        root = rng.normal(size=(n, m, m)) if self.noise == "full" else rng.normal(size=(1, m, m))
        noise = root @ root.transpose(0, 2, 1) / m + 0.1 * np.eye(m)
        a, b = np.tril_indices(m)
        weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=n) if self.weights else np.ones(n)
        weights[np.isnan(x).all(axis=0)] = 0.0
        log_weights = np.log(rng.dirichlet(np.ones(k), size=self.groups))
        rows = Rows(
            x * self.scale,
            noise[0] * self.scale**2 if self.noise == "shared" else np.zeros((m, m)),
            np.ascontiguousarray(noise[:, a, b].T) * self.scale**2 if self.noise == "full" else None,
            rng.normal(size=(m, d, n)) if self.projected else None,
            weights,
            np.log(rng.random(n) * 0.01 * self.scale**-m) if self.background else np.full(n, -np.inf),
            np.sort(rng.integers(self.groups, size=n)),
        )
        return rows, Parameters(log_weights, rng.normal(size=(k, d)) * self.scale, covariances * self.scale**2)


PROBLEMS = [
    *(Problem(d=d, k=k, gaps=g) for d, k, g in itertools.product((1, 2, 5, 12), (1, 3, 8), (0.0, 0.3, 0.9))),
    *(
        Problem(d=d, gaps=g, noise=noise)
        for d, g, noise in itertools.product((1, 4, 12), (0.0, 0.5), ("shared", "full"))
    ),
    *(Problem(d=d, gaps=g, noise="full", projected=True) for d, g in itertools.product((1, 2, 3, 6), (0.0, 0.4))),
    *(
        Problem(scale=s, gaps=0.2, noise=noise)
        for s, noise in itertools.product((1e-8, 1e8), ("none", "shared", "full"))
    ),
    *(Problem(d=12, scale=s, noise="full", k=2) for s in (1e-8, 1e8)),
    *(Problem(singular=True, noise=noise, gaps=0.3) for noise in ("shared", "full")),
    *(Problem(outlier=1e6, noise=noise) for noise in ("none", "full")),
    *(Problem(weights=True, groups=4, background=True, gaps=0.3, noise=noise) for noise in ("none", "shared", "full")),
    Problem(d=20, k=2, n=60),
    Problem(d=20, k=2, n=60, gaps=0.5, groups=3, background=True, weights=True),
]


def applicable(rows: Rows) -> list[str]:
    """Kernels that take these rows."""
    if rows.projection is not None:
        return ["projected"]
    if rows.noise is not None:
        return ["rowwise"]
    return ["rowwise", "blas", "patterns"] + ([] if np.isnan(rows.x).any() else ["shared"])


def close(got: np.ndarray, expected: np.ndarray, size: np.ndarray | float) -> None:
    """Equal to 1e-10 of the entry or of the largest sum of this kind (H is a difference of two sums of size F)."""
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10 * float(np.max(np.abs(size), initial=1e-300)))


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_kernels_agree_with_the_reference(problem: Problem) -> None:
    rows, parameters = problem.make()
    expected, _ = kernels.run(rows, parameters, backend="reference")
    assert expected.failures.sum() == 0
    for name in applicable(rows):
        got, _ = kernels.run(rows, parameters, backend=name)
        close(got.counts, expected.counts, expected.counts)
        close(got.g, expected.g, expected.g)
        close(got.F, expected.F, expected.F)
        close(got.H, expected.H, expected.F)
        np.testing.assert_allclose(got.log_likelihood, expected.log_likelihood, rtol=1e-10)
        np.testing.assert_allclose(got.entropy, expected.entropy, rtol=1e-9, atol=1e-10 * rows.weights.sum())
        np.testing.assert_allclose(got.background, expected.background, rtol=1e-10)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_per_row_results_agree_with_the_reference(problem: Problem) -> None:
    rows, parameters = problem.make()
    _, expected = kernels.run(rows, parameters, backend="reference", keep=2)
    for name in [name for name in applicable(rows) if name not in ("patterns", "shared")]:
        _, got = kernels.run(rows, parameters, backend=name, keep=2)
        assert got is not None and expected is not None
        np.testing.assert_allclose(got.log_density, expected.log_density, rtol=1e-10, atol=1e-10)
        for value, wanted in zip(got[1:], expected[1:], strict=True):
            close(value, wanted, wanted)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_densities_and_responsibilities_alone_agree_with_the_reference(problem: Problem) -> None:
    rows, parameters = problem.make()
    sums, expected = kernels.run(rows, parameters, backend="reference", keep=1)
    assert expected is not None
    for name in applicable(rows):
        got_sums, got = kernels.run(rows, parameters, backend=name, keep=1)
        assert got is not None
        np.testing.assert_allclose(got.log_density, expected.log_density, rtol=1e-10, atol=1e-10)
        close(got.responsibilities, expected.responsibilities, 1.0)
        close(got_sums.counts, sums.counts, sums.counts)


@pytest.mark.parametrize("name", ["rowwise", "patterns", "blas"])
def test_a_singular_spread_is_counted_and_leaves_no_nan(name: str) -> None:
    rows, parameters = Problem(singular=True).make()
    expected, _ = kernels.run(rows, parameters, backend="reference")
    got, _ = kernels.run(rows, parameters, backend=name)
    assert got.failures.sum() > 0
    np.testing.assert_array_equal(got.failures > 0, expected.failures > 0)
    for value in got[:4]:
        assert np.isfinite(value).all()


def test_the_fastest_kernel_is_chosen_from_plain_facts() -> None:
    assert kernels.choose(Problem().make()[0]) == "shared"
    assert kernels.choose(Problem(gaps=0.3, n=500).make()[0]) == "patterns"
    assert kernels.choose(Problem(d=12, gaps=0.3).make()[0]) == "rowwise"
    assert kernels.choose(Problem(d=20, n=50).make()[0]) == "blas"
    assert kernels.choose(Problem(noise="full").make()[0]) == "rowwise"
    assert kernels.choose(Problem(projected=True).make()[0]) == "projected"
