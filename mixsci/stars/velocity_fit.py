"""The distribution behind a catalogue as astronomers read it: tables with units, errors and the frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mixsci.engine.em.result import Fit
from mixsci.engine.inference.uncertainty import StandardErrors, standard_errors
from mixsci.engine.mixture import Mixture
from mixsci.errors import DataError
from mixsci.stars.blocks import KinematicsBlocks
from mixsci.stars.ellipsoids import dispersions, round_tilt, tilt
from mixsci.stars.forecasts import Calibration, calibrate, forecast
from mixsci.stars.kinematics import Kinematics, require_same, star_table
from mixsci.stars.memberships import membership_table, population_of

if TYPE_CHECKING:
    from astropy.table import QTable

Array = np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class VelocityFit:
    """A mixture fitted to kinematics, deconvolved: means and covariances are those of the stars, errors taken out.

    What a `Fit` offers (`bic`, `converged`, `mixture`, `sample`, ...) it offers too.

    Attributes:
        fit: the fit itself.
        kinematics: the stars it was fitted to.
        members: numbers of the components that are the population looked for: the stream of `fit_stream`; () = none.
        choices: table of the numbers of components that were tried, or None.
        source: the rows as fitted, with what a selection lost.
    """

    fit: Fit
    kinematics: Kinematics | KinematicsBlocks
    members: tuple[int, ...] = ()
    choices: QTable | None = None
    source: Any = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.mixture!r} of {', '.join(self.latent_names)}, {self.fit.outcome.name})"

    def __getattr__(self, name: str) -> Any:
        # Copying and pickling look for names before `fit` is there.
        if name.startswith("_") or "fit" not in self.__dict__:
            raise AttributeError(f"a VelocityFit has no attribute {name!r}")
        return getattr(self.fit, name)

    @property
    def mixture(self) -> Mixture:
        """What was found."""
        return self.fit.mixture

    @property
    def latent_names(self) -> tuple[str, ...]:
        """Names of the D dimensions: U, V, W; or pmra, pmdec ..."""
        return self.kinematics.latent_names

    @property
    def units(self) -> tuple[Any, ...]:
        """(D,) astropy units of the dimensions."""
        from astropy.units import Unit

        return tuple(Unit(unit) for unit in self.kinematics.latent_units)

    @cached_property
    def standard_errors(self) -> StandardErrors:
        """Standard errors of everything that was free, found when first asked for.

        From the curvature of the likelihood; from the scores of the stars where there are very many, or where the fit
        ended so far from a summit, on a plateau, that the curvature has no sign (`standard_errors.method` says which).
        """
        found = self._found_errors()
        unknown = np.flatnonzero(self._unknown(found))
        if len(unknown):
            warnings.warn(
                "the stars do not tell all of components "
                f"{', '.join(map(str, unknown))}, whose standard errors are NaN "
                "there: use fewer components, or a prior",
                UserWarning,
                stacklevel=2,
            )
        return found

    def _found_errors(self) -> StandardErrors:
        if self.source is not None:
            return self._errors("observed")
        found = self._errors("auto")
        return self._errors("scores") if self._unknown(found).any() else found

    def _errors(self, method: Literal["auto", "observed", "scores"]) -> StandardErrors:
        rows = self.kinematics.observations if self.source is None else self.source
        with warnings.catch_warnings():
            # A share of outliers at zero is no news; components are spoken of by the caller.
            warnings.simplefilter("ignore", UserWarning)
            return standard_errors(self.fit, rows, method=method)

    def _unknown(self, found: StandardErrors) -> Array:
        """(K,) components of which a standard error is NaN; of a stream and its field those of the stream."""
        spread = np.isnan(found.covariances).any(axis=(1, 2))
        unknown = np.isnan(found.weights) | np.isnan(found.means).any(axis=1) | spread
        asked = np.isin(np.arange(len(unknown)), self.members) | (len(self.members) == 0)
        return np.asarray(unknown & asked)

    # Tables

    def to_table(self) -> QTable:
        """One row per component with its weight, means, dispersions and covariances, each with its standard error.

        Columns: component, weight; for every dimension U its mean `U` and dispersion `sigma_U`; `cov_U_V` for every
        pair; each with `_error`. What was frozen has error 0. Units are those of the dimensions; `meta` holds frame,
        space, log-likelihood, BIC, rows and the share of outliers.
        """
        from astropy.table import QTable

        errors, table = self.standard_errors, QTable()
        table["component"] = np.arange(self.mixture.n_components)
        table["weight"], table["weight_error"] = self.mixture.weights, errors.weights
        for j, (name, unit) in enumerate(zip(self.latent_names, self.units, strict=True)):
            sigma = np.sqrt(self.mixture.covariances[:, j, j])
            table[name], table[f"{name}_error"] = self.mixture.means[:, j] * unit, errors.means[:, j] * unit
            table[f"sigma_{name}"] = sigma * unit
            table[f"sigma_{name}_error"] = _halved(errors.covariances[:, j, j], sigma) * unit
        for (a, first), (b, second) in _pairs(self.latent_names):
            unit = self.units[a] * self.units[b]
            table[f"cov_{first}_{second}"] = self.mixture.covariances[:, a, b] * unit
            table[f"cov_{first}_{second}_error"] = errors.covariances[:, a, b] * unit
        table.meta.update(self._meta())
        return table

    def ellipsoids(self) -> QTable:
        """One row per component with its principal dispersions and the angles of its ellipsoid, with standard errors.

        Columns: component; sigma_1 >= sigma_2 >= ... (where all dimensions have one unit); the angle from the first
        dimension towards each other one, `tilt_U_V` ...; of U, V, W the first is called vertex_deviation, that of U and
        W tilt; each with `_error`. An angle of a round ellipse means nothing: its error is large, or NaN.
        """
        from astropy import units as u
        from astropy.table import QTable

        table = QTable({"component": np.arange(self.mixture.n_components)})
        if len(set(self.units)) == 1:
            values, errors = self.standard_errors.of(lambda mixture: dispersions(mixture.covariances))
            for j in range(values.shape[1]):
                table[f"sigma_{j + 1}"] = values[:, j] * self.units[0]
                table[f"sigma_{j + 1}_error"] = errors[:, j] * self.units[0]
        for (a, first), (b, second) in _pairs(self.latent_names):
            if self.units[a] != self.units[b]:
                continue
            name = _ANGLES.get((first, second), f"tilt_{first}_{second}")
            angle = tilt(self.mixture.covariances, a, b)
            _, error = self.standard_errors.of(_tilts(a, b, angle))
            round_ = (np.diff(_ends(self.mixture.covariances, a, b)) == 0.0)[:, 0]
            table[name], table[f"{name}_error"] = angle * u.deg, np.where(round_, np.nan, error) * u.deg
        table.meta.update(self._meta())
        return table

    def _meta(self) -> dict[str, Any]:
        background = self.mixture.background
        return {
            "space": self.kinematics.space,
            "frame": self.kinematics.frame.label,
            "reflex": self.kinematics.reflex is not None,
            "n_rows": self.fit.n_rows,
            "log_likelihood": self.fit.log_likelihood,
            "bic": self.fit.bic,
            "outcome": self.fit.outcome.name,
            "outlier_share": 0.0 if background is None else background.weight,
        }

    # Stars

    def membership(self, kin: Kinematics | None = None, *, components: Sequence[int] | int | None = None) -> Any:
        """One row per star: the probability that it is of the population, the log Bayes factor, and of each component.

        Columns: see `mixsci.stars.memberships.membership_table`.

        Args:
            kin: the stars; None = those of the fit. For blocks of stars an iterator of tables comes back.
            components: numbers of the components that are the population; None = `members`.
        """
        population = self.members if components is None else population_of(components, self.mixture)
        return self._each(kin, lambda stars: membership_table(self._judges, stars, population))

    @property
    def _judges(self) -> list[Mixture]:
        """The mixtures whose average says who is a member."""
        return [self.mixture]

    def denoised(self, kin: Kinematics | None = None) -> Any:
        """One row per star, taken to be no outlier: its deconvolved velocity, errors and covariances, with units.

        Gaps are filled: a velocity along the line of sight that was not measured is what the others of its kind have.
        """
        return self._each(kin, self._denoised)

    def _denoised(self, kin: Kinematics) -> QTable:
        means, covariances = self.mixture.posterior(kin.observations)
        table = star_table(kin)
        for j, (name, unit) in enumerate(zip(self.latent_names, self.units, strict=True)):
            table[name], table[f"{name}_error"] = means[:, j] * unit, np.sqrt(covariances[:, j, j]) * unit
        for (a, first), (b, second) in _pairs(self.latent_names):
            table[f"cov_{first}_{second}"] = covariances[:, a, b] * (self.units[a] * self.units[b])
        return table

    def predict_radial_velocity(self, kin: Kinematics | None = None) -> Any:
        """One row per star: the radial velocity expected from all else that was measured of it; see `forecast`.

        A measured radial velocity is not used for its own prediction.
        """
        return self._each(kin, lambda stars: forecast(self.mixture, stars))

    def calibrate_radial_velocity(self, kin: Kinematics | None = None) -> Calibration:
        """How predicted radial velocities fare on the stars that have one: quantiles, uniform where all is well."""
        stars = self.kinematics if kin is None else kin
        if not isinstance(stars, Kinematics):
            raise DataError("a calibration needs stars in memory: pass one of the blocks")
        require_same(stars, self.kinematics)
        return calibrate(self.mixture, stars)

    def _each(self, kin: Any, function: Any) -> Any:
        stars = self.kinematics if kin is None else kin
        if not isinstance(stars, Kinematics | KinematicsBlocks):
            raise DataError(f"stars must be Kinematics, as from_gaia makes them; got {type(stars).__name__}")
        require_same(stars, self.kinematics)
        return function(stars) if isinstance(stars, Kinematics) else _mapped(function, stars)

    def write(self, folder: str | Path, *, pictures: bool = True) -> list[Path]:
        """Write tables, pictures, model and report to a folder; returns the files."""
        from mixsci.stars.write import write

        return write(self, folder, pictures=pictures)


#: Angles with a name of their own.
_ANGLES = {("U", "V"): "vertex_deviation", ("U", "W"): "tilt"}


def _ends(covariances: Array, a: int, b: int) -> Array:
    """(K, 2) variances along the axes of the ellipses in two dimensions."""
    pair = np.ix_(range(len(covariances)), [a, b], [a, b])
    return np.linalg.eigvalsh(covariances[pair])


def _tilts(a: int, b: int, about: Array) -> Callable[[Mixture], Array]:
    """The tilts of a mixture's components in two dimensions, near given ones."""
    return lambda mixture: round_tilt(tilt(mixture.covariances, a, b), about)


def _mapped(function: Any, blocks: KinematicsBlocks) -> Iterator[Any]:
    return (function(stars) for stars in blocks.kinematics() if len(stars))


def _pairs(names: Sequence[str]) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    numbered = list(enumerate(names))
    return [(one, other) for i, one in enumerate(numbered) for other in numbered[i + 1 :]]


def _halved(variance_error: Array, sigma: Array) -> Array:
    """Standard errors of standard deviations from those of variances."""
    return np.divide(variance_error, 2.0 * sigma, out=np.full_like(sigma, np.nan), where=sigma > 0)
