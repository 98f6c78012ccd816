"""Covariances by their principal sides, and steps that keep them positive: narrow sides shrink, all of them turn.

With Sigma = L diag(s) L' and the sides s ascending, a change dSigma = L d L' leads to

    L (1 + U) diag(max(s + diag(d), s / 10)) (1 + U)' L',    U_ij = d_ij / s_j for i < j,

which agrees with Sigma + dSigma to first order, and lets a side without any spread turn as freely as a wide one.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

#: The share of a side that a step leaves at least, and sides below which all are alike.
_INSIDE, _NOTHING = 0.1, 1e-14
#: How many times a standard error is wider than a narrow side, and nats for which that is not made narrower still.
_NARROW, _NO_GAIN = 1e6, 1e-7


class Sides:
    """The sides of covariances (K, D, D).

    Args:
        covariances: the covariances. scale: (D,) units of the columns. floor: least eigenvalue allowed.
    """

    def __init__(self, covariances: Array, scale: Array, floor: float) -> None:
        sizes, vectors = np.linalg.eigh(covariances / (scale[:, None] * scale))
        self.sizes = np.maximum(sizes, _NOTHING)
        self.axes, self.back = scale[:, None] * vectors, vectors.transpose(0, 2, 1) / scale
        #: (K, D) what each side has above the floor.
        self.above = np.maximum(self.sizes - floor * (self.back**2).sum(axis=2), _NOTHING)

    def stepped(self, changes: Array) -> Array:
        """(..., K, D, D) the covariances changes (..., K, D, D) away."""
        inside = self.back @ changes @ self.back.transpose(0, 2, 1)
        sizes = np.maximum(self.sizes + np.diagonal(inside, axis1=-2, axis2=-1), _INSIDE * self.sizes)
        sizes = sizes[..., None, :]
        root = self.axes @ (np.eye(inside.shape[-1]) + np.triu(inside, 1) / sizes)
        return np.asarray((root * sizes) @ np.swapaxes(root, -1, -2))

    def shares(self, changes: Array) -> Array:
        """(q, K, D, D) changes as shares of the side they change: of the wider one where they turn it."""
        inside = self.back @ changes @ self.back.transpose(0, 2, 1)
        wider = np.maximum(self.sizes[:, :, None], self.sizes[:, None, :])
        d = np.arange(wider.shape[1])
        wider[:, d, d] = self.above
        return np.asarray(inside / wider)

    def walls(self, shares: Array, rest: Array) -> Array:
        """(q, q) curvature of a slope that drives sides to nothing: in their logarithms, and where they turn.

        A step that knows of it ends at the wall, and does not carry others along (Coleman & Li 1996, affine scaling).

        Args:
            shares: (q, K, D, D) of each direction. rest: (q,) the slope, as a step.
        """
        own = np.diagonal(shares, axis1=2, axis2=3)
        drive = np.tensordot(rest, own, 1)
        # What a narrow side could still gain is not worth a step, and at last its slope would be rounding.
        narrow = np.where(np.abs(own).max(axis=0) > _NARROW, _NO_GAIN, 0.0)
        drive = np.where(drive > 0, (drive + narrow) ** 2 / np.maximum(drive, 1e-12), 0.0)
        weights = 2.0 * np.triu(drive[:, :, None] * self.sizes[:, None, :] / self.above[:, :, None], 1)
        d = np.arange(weights.shape[1])
        weights[:, d, d] = drive
        flat = (shares * np.sqrt(weights)).reshape(len(shares), -1)
        return np.asarray(flat @ flat.T)
