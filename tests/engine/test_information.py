"""The kernel of rows known by their summaries agrees with every row's own dense Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import logsumexp

from mixsci.engine.kernels import information
from mixsci.engine.kernels.information import Expected, Summaries, packed, unpacked
from tests import oracles

Array = np.ndarray


@dataclass(frozen=True)
class Problem:
    q: int = 3
    k: int = 3
    n: int = 150
    groups: int = 1
    tied: bool = False
    singular: bool = False
    alike: bool = False
    weights: bool = False
    scale: float = 1.0
    few: bool = False

    def make(self) -> tuple[list[tuple[Array, Array, Array]], Summaries, Array, Array, Array]:
        """Rows as (x, R, C), the same as summaries, and log weights, means and covariances."""
        rng = np.random.default_rng([self.q, self.k, self.groups])
        means, covariances = rng.normal(size=(self.k, self.q)) * self.scale, self._covariances(rng)
        view, noise = rng.normal(size=(self.q + 3, self.q)), rng.uniform(0.2, 2.0, self.q + 3)
        rows = []
        for _ in range(self.n):
            if not self.alike:
                # Fewer values than factors: J is singular.
                m = int(rng.integers(1, self.q if self.few and self.q > 1 else self.q + 4))
                view, noise = rng.normal(size=(m, self.q)), rng.uniform(0.2, 2.0, m)
            rows.append((2.0 * self.scale * rng.normal(size=len(view)), view, np.diag(noise) * self.scale**2))
        log_weights = np.log(rng.dirichlet(np.ones(self.k), size=self.groups))
        weights = rng.choice([0.0, 0.5, 1.0, 2.0], size=self.n) if self.weights else np.ones(self.n)
        groups = np.sort(rng.integers(self.groups, size=self.n))
        return rows, self._summaries(rows, weights, groups), log_weights, means, covariances

    def _covariances(self, rng: np.random.Generator) -> Array:
        root = rng.normal(size=(1 if self.tied else self.k, self.q, self.q))
        if self.singular:
            root[:, :, -1] = 0.0
        covariances = root @ root.transpose(0, 2, 1) / self.q + (0.0 if self.singular else 0.05) * np.eye(self.q)
        if self.singular:
            covariances[0] = 0.0
        return np.tile(covariances, (self.k if self.tied else 1, 1, 1)) * self.scale**2

    def _summaries(self, rows: list[tuple[Array, Array, Array]], weights: Array, groups: Array) -> Summaries:
        h = np.array([view.T @ np.linalg.solve(noise, x) for x, view, noise in rows]).T
        J = np.array([packed(view.T @ np.linalg.solve(noise, view)) for _, view, noise in rows]).T
        c = [
            x @ np.linalg.solve(noise, x) + np.linalg.slogdet(noise)[1] + len(x) * np.log(2 * np.pi)
            for x, _, noise in rows
        ]
        J = J[:, :1] if self.alike else J
        return Summaries(np.ascontiguousarray(h), np.ascontiguousarray(J), np.array(c), weights, groups)


PROBLEMS = [
    *(Problem(q=q, k=k, tied=tied) for q in (1, 2, 5, 12) for k in (1, 4) for tied in (False, True)),
    *(Problem(q=q, few=True) for q in (2, 5)),
    *(Problem(singular=True, tied=tied) for tied in (False, True)),
    *(Problem(alike=True, tied=tied, q=q) for tied in (False, True) for q in (1, 4)),
    Problem(alike=True, singular=True, groups=3, weights=True),
    Problem(groups=3, weights=True),
    *(Problem(scale=scale, alike=alike) for scale in (1e-8, 1e8) for alike in (False, True)),
    Problem(n=1, alike=True),
    Problem(n=65),
]


def expected(problem: Problem) -> Expected:
    """What the kernel should give, from every row's own Gaussian."""
    rows, summaries, log_weights, means, covariances = problem.make()
    q, k = problem.q, problem.k
    log_p, first, second = np.empty((problem.n, k)), np.empty((problem.n, k, q)), np.empty((problem.n, k, q, q))
    for i, (x, view, noise) in enumerate(rows):
        for e in range(k):
            density, mean, spread = oracles.factors_given(x, view, noise, means[e], covariances[e])
            log_p[i, e] = log_weights[summaries.groups[i], e] + density
            first[i, e], second[i, e] = mean, spread + np.outer(mean, mean)
    log_density = logsumexp(log_p, axis=1)
    r = np.exp(log_p - log_density[:, None])
    weighed, counts = summaries.weights[:, None] * r, np.zeros(log_weights.shape)
    np.add.at(counts, summaries.groups, weighed)
    return Expected(
        log_density, r, np.einsum("nk,nkq->qn", r, first), packed(np.einsum("nk,nkij->nij", r, second)).T, counts,
        np.einsum("nk,nkq->kq", weighed, first), packed(np.einsum("nk,nkij->kij", weighed, second)),
    )  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_the_kernel_agrees_with_dense_gaussians(problem):
    _, *given = problem.make()
    got, wanted = information.run(*given), expected(problem)
    np.testing.assert_allclose(got.log_density, wanted.log_density, rtol=1e-9, atol=1e-9)
    for name in ("responsibilities", "first", "second", "counts", "means", "squares"):
        value, right = getattr(got, name), getattr(wanted, name)
        np.testing.assert_allclose(value, right, rtol=1e-8, atol=1e-9 * np.abs(right).max(), err_msg=name)


def test_rows_of_one_J_say_the_same_however_it_is_given():
    _, rows, *mixture = Problem(alike=True, q=4, groups=2, weights=True).make()
    every = rows._replace(J=np.ascontiguousarray(np.broadcast_to(rows.J, (len(rows.J), len(rows.c)))))
    for one, other in zip(information.run(rows, *mixture), information.run(every, *mixture), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_the_result_does_not_hang_on_where_rows_lie_in_a_block():
    _, rows, *mixture = Problem(n=150).make()
    whole = information.run(rows, *mixture)
    part = Summaries(*(np.ascontiguousarray(each[..., 3:]) for each in rows))
    np.testing.assert_array_equal(information.run(part, *mixture).log_density[64:], whole.log_density[67:])


def test_a_component_without_weight_takes_no_row():
    _, rows, _, means, covariances = Problem(k=2).make()
    with np.errstate(divide="ignore"):
        found = information.run(rows, np.log([[1.0, 0.0]]), means, covariances)
    np.testing.assert_array_equal(found.responsibilities[:, 1], 0.0)
    assert np.isfinite(found.log_density).all()


def test_roots_of_covariances_are_triangular_even_where_these_are_singular():
    for covariances in (np.array([np.diag([1.0, 4.0])]), np.array([[[1.0, 1.0], [1.0, 1.0]]]), np.zeros((2, 2, 2))):
        roots, _ = information.roots_of(covariances)
        np.testing.assert_allclose(roots @ roots.transpose(0, 2, 1), covariances, atol=1e-12)
        np.testing.assert_array_equal(np.triu(roots, 1), 0.0)


def test_triangles_are_packed_by_rows():
    matrix = np.array([[1.0, 2.0, 4.0], [2.0, 3.0, 5.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(packed(matrix), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    np.testing.assert_array_equal(unpacked(packed(matrix), 3), matrix)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_values_are_read_with_gaps_and_noise(kind):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, size=(7, 4)).astype(kind)
    noise = rng.uniform(0.1, 1.0, size=(7, 4))
    noise[2, 1] = np.inf
    if x.dtype.kind == "f":
        x[3, 2] = np.nan
    levels, codes, psi = rng.normal(size=(2, 4)), rng.integers(2, size=7), np.array([0.5, 1.0, 2.0, 3.0])
    found = information.read(x, levels, codes, psi, noise)
    seen = ~np.isnan(x.astype(float)) & np.isfinite(noise)
    apart = np.where(seen, x - levels[codes], 0.0)
    spread = psi + np.where(seen, noise, 1.0)
    np.testing.assert_array_equal(found.apart, apart)
    np.testing.assert_allclose(found.share, np.where(seen, psi / spread, 0.0), rtol=1e-15)
    terms = np.where(seen, apart**2 / spread + np.log(2 * np.pi * spread), 0.0)
    np.testing.assert_allclose(found.c, terms.sum(axis=1), rtol=1e-14)
    np.testing.assert_array_equal(found.seen, seen.sum(axis=1))


def test_rows_without_gaps_share_one_row_of_shares():
    found = information.read(np.ones((5, 3)), np.zeros((1, 3)), np.zeros(5, dtype=int), np.ones(3), np.zeros((1, 3)))
    np.testing.assert_array_equal(found.share, np.ones((1, 3)))
