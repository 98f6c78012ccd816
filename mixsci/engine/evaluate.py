"""One block of rows under a mixture: to the kernel and back, through groups, offsets, background and projection."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np

from mixsci.engine import kernels
from mixsci.engine.kernels.layout import Parameters, Rows, Shares, Sums
from mixsci.engine.observations import Observations
from mixsci.errors import DataError

Array = np.ndarray


class Mixture(Protocol):
    """What is asked of a mixture here; `mixsci.engine.mixture.Mixture` has all of it."""

    @property
    def group_labels(self) -> tuple[Hashable, ...] | None:
        """(G,) labels or None."""

    @property
    def weights(self) -> Array:
        """(K,) or (G, K)."""

    @property
    def means(self) -> Array:
        """(K, D)."""

    @property
    def covariances(self) -> Array:
        """(K, D, D)."""

    @property
    def offsets(self) -> Array | None:
        """(G, D) or None."""

    @property
    def background(self) -> Any:
        """A uniform background or None."""

    @property
    def n_dims(self) -> int:
        """Number of latent dimensions D."""

    @property
    def n_groups(self) -> int:
        """Number of groups G, 0 without groups."""

    @property
    def open(self) -> bool:
        """Whether parts of it are NaN."""

    @property
    def pooled_weights(self) -> Array:
        """(K,) weights over all groups."""


def evaluate(
    mixture: Mixture, block: Observations, *, keep: kernels.Keep = 0, backend: str = "numba"
) -> tuple[Sums, Shares | None]:
    """Sums over a block of rows and, with `keep`, per-row results, all in the latent dimensions of the mixture."""
    if block.n_dims != mixture.n_dims:
        raise DataError(f"rows must speak of the mixture's {mixture.n_dims} dimensions; got {block.n_dims}")
    if mixture.open:
        raise DataError("this mixture has parts left open (NaN): it can start a fit, but says nothing of rows")
    codes = group_codes(mixture, block)
    parameters = _parameters(mixture, known=codes is None or bool((codes < mixture.n_groups).all()))
    rows = _rows(mixture, block, codes)
    shared = block.projection if block.projection is not None and block.projection.ndim == 2 else None
    if shared is None:
        return kernels.run(rows, parameters, keep=keep, backend=backend)
    sums, shares = kernels.run(rows, _project(parameters, shared), keep=keep, backend=backend)
    return _unproject_sums(sums, shared), _unproject_shares(shares, shared)


def group_codes(mixture: Mixture, block: Observations) -> Array | None:
    """Codes (n,) of the rows in the mixture's groups, unknown labels the code after the last; None without groups."""
    if mixture.group_labels is None or block.groups is None:
        return None if mixture.group_labels is None else np.full(len(block), mixture.n_groups)
    if block.group_labels is mixture.group_labels:
        return block.groups
    known = {label: code for code, label in enumerate(mixture.group_labels)}
    return np.array([known.get(label, mixture.n_groups) for label in block.group_labels or ()], dtype=np.int64)[
        block.groups
    ]


def warn_of_unknown_groups(mixture: Mixture, obs: Observations) -> None:
    """One warning that counts the rows whose group the mixture does not know."""
    codes = group_codes(mixture, obs)
    unknown = 0 if codes is None else int((codes == mixture.n_groups).sum())
    if unknown:
        warnings.warn(
            f"{unknown} rows belong to no group of the mixture: they get pooled weights and no offset", stacklevel=3
        )


def _parameters(mixture: Mixture, *, known: bool) -> Parameters:
    weights = np.atleast_2d(mixture.weights)
    if not known:
        weights = np.vstack([weights, mixture.pooled_weights])
    share = 1.0 if mixture.background is None else 1.0 - mixture.background.weight
    with np.errstate(divide="ignore"):
        # One memory layout: another one would be compiled for again.
        means, covariances = np.ascontiguousarray(mixture.means), np.ascontiguousarray(mixture.covariances)
        return Parameters(np.log(weights) + np.log(share), means, covariances)


def _rows(mixture: Mixture, block: Observations, codes: Array | None) -> Rows:
    rows = block.rows()
    if mixture.background is not None:
        rows = rows._replace(log_background=mixture.background.log_density(rows.x, block.projection))
    if codes is None:
        return rows
    if mixture.offsets is not None:
        # The kernels know no offsets: a row of group g sees its data moved by -R b_g.
        offsets = np.vstack([mixture.offsets, np.zeros(mixture.n_dims)])
        rows.x[:] -= _view(block.projection, offsets[codes])
    return rows._replace(groups=np.ascontiguousarray(codes))


def _view(projection: Array | None, latent: Array) -> Array:
    """(m, n) R v of latent points (n, D)."""
    if projection is None:
        return latent.T
    if projection.ndim == 2:
        return projection @ latent.T
    return np.einsum("nmd,nd->mn", np.nan_to_num(projection), latent)


def _project(parameters: Parameters, projection: Array) -> Parameters:
    log_weights, means, covariances = parameters
    return Parameters(log_weights, means @ projection.T, projection @ covariances @ projection.T)


def _unproject_sums(sums: Sums, projection: Array) -> Sums:
    back = projection.T
    return sums._replace(g=sums.g @ projection, F=back @ sums.F @ projection, H=back @ sums.H @ projection)


def _unproject_shares(shares: Shares | None, projection: Array) -> Shares | None:
    if shares is None or shares.u is None or shares.precision is None:
        return shares
    return shares._replace(u=shares.u @ projection, precision=projection.T @ shares.precision @ projection)
