"""Is one component more than the rows ask for? The likelihood-ratio test, its null distribution by bootstrap."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from mixsci.engine.em.fit import check_settings, fit
from mixsci.engine.em.nested import fit_with_more
from mixsci.engine.em.result import Fit
from mixsci.engine.em.watching import counted
from mixsci.engine.execution import Workers, map_blocks
from mixsci.engine.inference.redrawing import most_extreme, p_value, redraw, replicates
from mixsci.engine.model.automatic import refuse_search
from mixsci.engine.model.model import Model
from mixsci.engine.observations import Observations, as_observations
from mixsci.engine.tables import as_chance, as_generator, is_whole
from mixsci.errors import DataError

Array = np.ndarray

#: Nats per row that fits may fall short of one another without a word.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTest:
    """A test of a null model against one that holds it.

    Attributes:
        statistic: twice the gain in log-likelihood, nats; not negative.
        p_value: (1 + replicates at least as extreme) / (1 + replicates); where the test stopped early, replicates at
            least as extreme / replicates (Besag & Clifford 1991).
        statistics: (b,) of the replicates, drawn from the fitted null.
        null, alternative: the fits of the rows themselves.
        stopped: whether it stopped before all replicates, when p could no longer reach the level.
    """

    statistic: float
    p_value: float
    statistics: Array
    null: Fit = field(repr=False)
    alternative: Fit = field(repr=False)
    stopped: bool = False

    def __repr__(self) -> str:
        count = len(self.statistics)
        least = not self.stopped and not (self.statistics >= self.statistic).any()
        note = ", stopped early" if self.stopped else ", the least that so many can give" if least else ""
        return (
            f"LikelihoodRatioTest(2 log ratio = {self.statistic:.4g}, p = {self.p_value:.3g} from {count} "
            f"replicates{note})"
        )


def likelihood_ratio_test(
    obs: Any, null: Any, alternative: Any, n_boot: int = 99, *, starts: int = 5, tol: float = 1e-5,
    max_iter: int = 10_000, level: float = 0.05, early_stop: bool = False, rng: Any = None, workers: Workers = None,
    progress: bool = False,
) -> LikelihoodRatioTest:  # fmt: skip
    """Test a null model against a larger one, most often K components against K + 1.

    The ratio of likelihoods of mixtures has no chi-squared distribution: the null lies at an edge where parameters of
    the alternative mean nothing. So rows are drawn anew from the fitted null, with the gaps, errors, projections,
    weights and groups of the rows given, and both models are fitted to them as they are to the rows (McLachlan 1987).

    Args:
        obs: `Observations`, an array or data frame (NaN = missing), in memory.
        null, alternative: numbers of components, `Model`s, or fits of them, of which the second holds the first.
        n_boot: replicates at most; with 99 the smallest p is 0.01.
        starts: fresh starts of each fit of the alternative, which also begins from the null with a component split.
        tol, max_iter: of each fit, as in `mixsci.fit`.
        level: the level at which the test will be read; it matters to `early_stop` alone.
        early_stop: stop as soon as p cannot come down to the level: the decision is the same, most often far sooner.
        rng: seed or generator.
        workers: threads, which share the replicates among them. The result does not depend on it.
        progress: show on standard error how many replicates are done.

    Raises:
        DataError: models of which the second has no more free parameters or lacks what the first has, that hold parts
            fixed at a start, or whose fits are of no likelihood; rows that are not in memory or cannot be fitted.

    Example:
        >>> import numpy as np, mixsci as mx
        >>> rng = np.random.default_rng(1)
        >>> x = np.concatenate([rng.normal(-2, 1, (60, 1)), rng.normal(2, 1, (60, 1))])
        >>> mx.likelihood_ratio_test(x, 1, 2, n_boot=19, rng=0).p_value
        0.05
    """
    obs, rng, level = _in_memory(obs), as_generator(rng), as_chance(level, "level")
    if not is_whole(n_boot):
        raise DataError(f"n_boot must be a whole number, 1 or more; got {n_boot!r}")
    check_settings(tol, max_iter, starts)
    pair = Pair(_model(null, "null"), _model(alternative, "alternative"), starts, {"tol": tol, "max_iter": max_iter})
    with warnings.catch_warnings():
        # Replicates may hold a component that dies or collapses: what counts is their likelihood.
        warnings.simplefilter("ignore")
        small, large = pair.fits(obs, rng, workers)
        if large.n_free <= small.n_free:
            raise DataError(
                f"the alternative must have more free parameters than the null; got {large.n_free} and {small.n_free}"
            )
        statistic, short = ratio(small, large), small.log_likelihood - large.log_likelihood
        again = map_blocks(partial(pair.again, small, obs), rng.spawn(int(n_boot)), workers, columns=obs.width)
        most = most_extreme(int(n_boot), level) if early_stop else None
        drawn = replicates(counted(again, "replicates", int(n_boot), show=progress), statistic, most)
    if short > _ROUNDING * len(obs):
        warnings.warn(
            f"the alternative ends {short:.3g} nats below the null, which it must hold: choose a larger model, or more "
            "starts",
            stacklevel=2,
        )
    p, stopped = p_value(drawn, statistic, int(n_boot)), len(drawn) < n_boot
    return LikelihoodRatioTest(statistic, p, drawn, small, large, stopped)


@dataclass(frozen=True, eq=False)
class Pair:
    """The two models and how each is fitted; the alternative has whatever the null has."""

    null: Any
    alternative: Any
    starts: int
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        if type(self.null) is not type(self.alternative) or _place(self.null) != _place(self.alternative):
            raise DataError(
                f"null and alternative must be models of one kind, of the same angles and periods; got {self.null!r} "
                f"and {self.alternative!r}"
            )
        for part, what in (("background", "a background"), ("offsets", "offsets")):
            if getattr(self.null, part, None) is not None and getattr(self.alternative, part, None) is None:
                raise DataError(f"the alternative must hold the null, which has {what}: give both {what}, or neither")

    def fits(self, obs: Observations, rng: np.random.Generator, workers: Workers) -> tuple[Fit, Fit]:
        """Both models fitted to rows."""
        small = fit(self.null, obs, starts=self.starts, rng=rng, workers=workers, **self.settings)
        return small, self._larger(small, obs, rng, workers)

    def again(self, null: Fit, like: Observations, rng: np.random.Generator) -> float:
        """The statistic of rows drawn anew from the fitted null."""
        rows = redraw(null.mixture, like, rng)
        small = fit(self.null, rows, start=null.mixture, workers=1, **self.settings)
        return ratio(small, self._larger(small, rows, rng, 1))

    def _larger(self, small: Fit, obs: Observations, rng: np.random.Generator, workers: Workers) -> Fit:
        return fit_with_more(
            self.alternative, obs, small, starts=self.starts, rng=rng, workers=workers, **self.settings
        )


def _place(model: Any) -> Any:
    """What the densities of a model are of, beside its kind."""
    return [np.atleast_1d(getattr(model, name)).tolist() for name in ("angles", "period") if hasattr(model, name)]


def ratio(small: Fit, large: Fit) -> float:
    """Twice the gain in log-likelihood: the larger model holds the smaller, so that it cannot be negative."""
    return max(2.0 * (large.log_likelihood - small.log_likelihood), 0.0)


def _model(model: Any, what: str) -> Any:
    if is_whole(model):
        return Model(int(model))
    model = model.model if isinstance(model, Fit) else model
    if not hasattr(model, "n_components") or not hasattr(model, "maximise"):
        raise DataError(f"{what} must be a number of components, a Model or a Fit; got {type(model).__name__}")
    if getattr(model, "anything_frozen", False):
        raise DataError(f"{what} holds parts at a start, and replicates have none: test models without frozen parts")
    refuse_search(model, "likelihoods are compared")
    if getattr(model, "assignment", "soft") != "soft":
        raise DataError(f'{what} must be fitted by likelihood: choose assignment="soft"')
    return model


def _in_memory(obs: Any) -> Observations:
    if hasattr(obs, "blocks") and not isinstance(obs, Observations):
        raise DataError("rows drawn anew are seen as yours are, which must be in memory: test a sample of them")
    return as_observations(obs)
