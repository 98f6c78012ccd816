"""A fitted mixture and how it was found."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixsci.engine import storage
from mixsci.engine.em.state import Outcome
from mixsci.engine.mixture import Mixture
from mixsci.engine.model.model import Model
from mixsci.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def fit_of(found: Any) -> Fit:
    """The `Fit` that is meant: one itself, that of a fitted estimator, the best of a selection.

    Raises:
        DataError: anything else.
    """
    for each in (found, getattr(found, "fit_", None), getattr(found, "best", None)):
        if isinstance(each, Fit):
            return each
    raise DataError(
        f"fit must be what mixsci.fit returns, a fitted estimator or a selection; got {type(found).__name__}"
    )


def mixture_of(found: Any) -> Mixture:
    """The mixture that is meant: one itself, or that of what `fit_of` takes.

    Raises:
        DataError: anything else.
    """
    if isinstance(found, Mixture):
        return found
    try:
        return fit_of(found).mixture
    except DataError:
        raise DataError(
            f"a mixture is needed, a Mixture or a Fit, a fitted estimator or a selection; got {type(found).__name__}"
        ) from None


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted mixture and how it was found; it never holds the data.

    Methods of `Mixture` (log_density, responsibilities, posterior, ...) are handed on to `mixture`.

    Attributes:
        model: what was assumed. mixture: what was found.
        log_likelihood: total, nats, of `mixture`. log_prior: log prior density, up to a constant.
        entropy: of the responsibilities.
        n: sum of the weights of rows with at least one observed value. n_rows: all rows.
        n_free: number of free parameters.
        outcome: how the climb ended; its value says what to do. gap: estimated remaining gain, total, nats.
        n_iter: passes over the data of the last climb. history: its objectives.
        starts: objectives that the short starts reached.
        names: names of the columns.
        set_aside: observed values set aside because they had no error.
    """

    model: Model
    mixture: Mixture
    log_likelihood: float
    log_prior: float
    entropy: float
    n: float
    n_rows: int
    n_free: int
    outcome: Outcome
    gap: float
    n_iter: int
    history: tuple[float, ...]
    starts: tuple[float, ...] = ()
    names: tuple[str, ...] | None = None
    set_aside: int = 0

    def __repr__(self) -> str:
        return f"Fit({self.mixture!r}, log-likelihood {self.log_likelihood:.6g}, {self.outcome.name})"

    def __getattr__(self, name: str) -> Any:
        # Only what a mixture offers is handed on; copying and pickling look for other names before `mixture` is there.
        mixture = self.__dict__.get("mixture")
        offered = hasattr(type(mixture), name) or name in getattr(mixture, "__dataclass_fields__", ())
        if name.startswith("_") or mixture is None or not offered:
            raise AttributeError(f"a Fit has no attribute {name!r}")
        return getattr(mixture, name)

    @property
    def objective(self) -> float:
        """What was climbed: log-likelihood plus log prior."""
        return self.log_likelihood + self.log_prior

    @property
    def converged(self) -> bool:
        """Whether the climb came to its end."""
        return self.outcome.converged

    @property
    def bic(self) -> float:
        """Bayesian information criterion, -2 L + n_free log n; smaller is better."""
        return -2 * self.log_likelihood + self.n_free * float(np.log(self.n))

    @property
    def aic(self) -> float:
        """Akaike information criterion, -2 L + 2 n_free; smaller is better."""
        return -2 * self.log_likelihood + 2 * self.n_free

    @property
    def icl(self) -> float:
        """Integrated completed likelihood, BIC + 2 entropy (Biernacki, Celeux & Govaert 2000); smaller is better."""
        return self.bic + 2 * self.entropy

    def summary(self) -> pd.DataFrame:
        """A table of the components under the names of the columns."""
        return self.mixture.summary(self.names_of_variables)

    def marginal(self, dims: Sequence[int | str], *, group: Hashable | None = None) -> Mixture:
        """The mixture of some of the dimensions, by number or name."""
        return self.mixture.marginal([self._dim(dim) for dim in dims], group=group)

    def condition(
        self,
        values: dict[int | str, float],
        errors: dict[int | str, float] | None = None,
        *,
        group: Hashable | None = None,
    ) -> Mixture:
        """The mixture of the other dimensions given values of some, by number or name; see `Mixture.condition`."""
        named = {self._dim(dim): value for dim, value in values.items()}
        return self.mixture.condition(named, {self._dim(dim): s for dim, s in (errors or {}).items()}, group=group)

    def save(self, path: str | Path) -> None:
        """Write the fit to a JSON file that `mixsci.load` reads back exactly."""
        storage.write(path, self)

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the mixture, over the rows where `data=` is given.

        Its density in one dimension, else the ellipses of the first two; of angles the first on its circle. Options are
        those of `plot_density`, `plot_ellipses` and `plot_circle` in `mixsci.plot`.
        """
        from mixsci.plot import plot_fit

        return plot_fit(self, ax=ax, **options)

    @property
    def names_of_variables(self) -> tuple[str, ...] | None:
        """Names of what the mixture is of; None where rows saw a projection of it, or had no names."""
        return self.names if self.names is not None and len(self.names) == self.mixture.n_variables else None

    def _dim(self, dim: int | str) -> int:
        if not isinstance(dim, str):
            return dim
        names = self.names_of_variables or ()
        if dim not in names:
            raise DataError(f"dimensions are named {', '.join(names) or 'by number'}; got {dim!r}")
        return names.index(dim)
