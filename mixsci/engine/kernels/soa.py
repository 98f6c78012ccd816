"""The fast kernels: rows in structure-of-arrays, in blocks, the loop over rows innermost so that it vectorises.

Symbols: T = R S R' + C, u = T^-1 (x - R mu), r = responsibilities; sums of r (counts), r R'u (g), r R'T^-1 R (F) and
r R'u u'R (summed here as Q; H = Q - F). All functions live in one file because Numba's cache does not see a changed
callee elsewhere. Triangles are packed by rows: entry (a, b) of a lower triangle is a (a + 1) / 2 + b.
Missing values are zeroed and masked: T gets an isolated 1 there, whose share of T^-1 is dropped again.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Never fastmath=True: it removes the isnan test on which the gaps stand.
# No loop both sums and stores: whether it vectorises, and so the order of its sum, would hang on where arrays lie.
# Sums may be reordered, so a term that must survive (1 - mask beside 1e-16) is selected, not added.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
_kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
# Only kernels are called from Python: their parts need no wrappers, which would cost seconds to compile.
_jit = njit(nogil=True, error_model="numpy", fastmath=_FAST, no_cpython_wrapper=True, no_cfunc_wrapper=True)

_LOG_2PI = math.log(2.0 * math.pi)
_TINY_PIVOT = 1e-15


@_jit
def exp_rows(v, n, out, floats, bits):
    """out = exp(v) for v <= 0 (0 below -708): degree-12 polynomial after halving the argument to |f| <= ln 2 / 2."""
    for i in range(n):
        x = max(v[i], -708.0)
        k = math.floor(x * 1.4426950408889634 + 0.5)
        f = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
        p = 2.08767569878681e-09
        p = p * f + 2.505210838544172e-08
        p = p * f + 2.755731922398589e-07
        p = p * f + 2.7557319223985893e-06
        p = p * f + 2.48015873015873e-05
        p = p * f + 1.984126984126984e-04
        p = p * f + 1.388888888888889e-03
        p = p * f + 8.333333333333333e-03
        p = p * f + 4.1666666666666664e-02
        p = p * f + 0.16666666666666666
        p = p * f + 0.5
        p = p * f + 1.0
        p = p * f + 1.0
        out[i] = p if v[i] >= -708.0 else 0.0
        # The float 2^52 + k + 1023 holds k + 1023 in its lowest bits: an integer without a scalar conversion.
        floats[i] = k + 4503599627371519.0
    for i in range(n):
        bits[i] = bits[i] << 52
    for i in range(n):
        out[i] *= floats[i]


@_jit
def log_rows(v, n, out, floats, bits):
    """out = log(v) for positive normal v: mantissa in [sqrt(1/2), sqrt 2), then the series of artanh."""
    for i in range(n):
        floats[i] = v[i]
    for i in range(n):
        # Adding this constant carries into the exponent where the mantissa exceeds sqrt 2.
        shifted = bits[i] + 0x00095F6198000000
        exponent = (shifted >> 52) & 0x7FF
        out[i] = float(exponent) - 1023.0
        bits[i] = bits[i] - ((exponent - 1023) << 52)
    for i in range(n):
        s = (floats[i] - 1.0) / (floats[i] + 1.0)
        z = s * s
        p = 1.0 / 21.0
        p = p * z + 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 1.0 / 5.0
        p = p * z + 1.0 / 3.0
        p = p * z + 1.0
        k = out[i]
        out[i] = k * 6.93147180369123816490e-01 + (2.0 * s * p + k * 1.90821492927058770002e-10)


@_jit
def load(x, lo, n, values, seen, constant):
    """Rows lo..lo+n of x (m, rows): values with gaps zeroed, 0/1 mask, -(seen values) log(2 pi)/2; True if any gap."""
    m = x.shape[0]
    gaps = False
    for i in range(n):
        constant[i] = 0.0
    for a in range(m):
        for i in range(n):
            value = x[a, lo + i]
            missing = math.isnan(value)
            gaps = gaps or missing
            values[a, i] = 0.0 if missing else value
            seen[a, i] = 0.0 if missing else 1.0
            constant[i] += 0.0 if missing else -0.5 * _LOG_2PI
    return gaps


@_jit
def factorise(T, m, n, tmp, product, log_det, worst, floats, bits):
    """Cholesky of T (m(m+1)/2, n) in place, reciprocals on its diagonal; log determinants; worst relative pivot."""
    for i in range(n):
        log_det[i] = 0.0
        product[i] = 1.0
        worst[i] = 1.0
    for a in range(m):
        ra = a * (a + 1) // 2
        for b in range(a + 1):
            rb = b * (b + 1) // 2
            for i in range(n):
                tmp[i] = T[ra + b, i]
            for e in range(b):
                for i in range(n):
                    tmp[i] -= T[ra + e, i] * T[rb + e, i]
            if a == b:
                for i in range(n):
                    worst[i] = min(worst[i], tmp[i] - _TINY_PIVOT * T[ra + a, i])
                    product[i] *= tmp[i]
                    T[ra + a, i] = 1.0 / math.sqrt(tmp[i])
            else:
                for i in range(n):
                    T[ra + b, i] = tmp[i] * T[rb + b, i]
        # Three pivots between logarithms: their product cannot overflow for values up to 1e50.
        if a % 3 == 2 or a == m - 1:
            log_rows(product, n, tmp, floats, bits)
            for i in range(n):
                log_det[i] += tmp[i]
                product[i] = 1.0


@_jit
def solve(T, m, n, residual, q):
    """residual (m, n) <- L^-1 residual, q = its squared length."""
    for i in range(n):
        q[i] = 0.0
    for a in range(m):
        ra = a * (a + 1) // 2
        for e in range(a):
            for i in range(n):
                residual[a, i] -= T[ra + e, i] * residual[e, i]
        for i in range(n):
            residual[a, i] *= T[ra + a, i]
            q[i] += residual[a, i] * residual[a, i]


@_jit
def invert(T, m, n, tmp):
    """Lower factor L (reciprocals on its diagonal) <- L^-1, in place."""
    for b in range(m):
        for a in range(b + 1, m):
            ra = a * (a + 1) // 2
            for i in range(n):
                tmp[i] = 0.0
            for e in range(b, a):
                re = e * (e + 1) // 2
                for i in range(n):
                    tmp[i] -= T[ra + e, i] * T[re + b, i]
            for i in range(n):
                T[ra + b, i] = tmp[i] * T[ra + a, i]


@_jit
def view(T, m, n, y, seen, gaps, u, P):
    """u = L^-T y and P = L^-T L^-1 with the isolated ones of the gaps removed (R = identity)."""
    for a in range(m):
        for i in range(n):
            u[a, i] = 0.0
        for e in range(a, m):
            re = e * (e + 1) // 2
            for i in range(n):
                u[a, i] += T[re + a, i] * y[e, i]
    for a in range(m):
        ra = a * (a + 1) // 2
        for b in range(a + 1):
            for i in range(n):
                P[ra + b, i] = 0.0
            for e in range(a, m):
                re = e * (e + 1) // 2
                for i in range(n):
                    P[ra + b, i] += T[re + a, i] * T[re + b, i]
        if gaps:
            for i in range(n):
                P[ra + a, i] = P[ra + a, i] if seen[a, i] > 0.0 else 0.0


@_jit
def view_projected(T, m, n, y, R, lo, seen, Z, u, P):
    """u = R' L^-T y and P = Z'Z with Z = L^-1 R: T holds L with reciprocals on its diagonal; R is (m, D, rows)."""
    d = R.shape[1]
    for c in range(d):
        for a in range(m):
            ra = a * (a + 1) // 2
            for i in range(n):
                Z[a, c, i] = R[a, c, lo + i] * seen[a, i]
            for e in range(a):
                for i in range(n):
                    Z[a, c, i] -= T[ra + e, i] * Z[e, c, i]
            for i in range(n):
                Z[a, c, i] *= T[ra + a, i]
        for i in range(n):
            u[c, i] = 0.0
        for a in range(m):
            for i in range(n):
                u[c, i] += Z[a, c, i] * y[a, i]
    for c in range(d):
        rc = c * (c + 1) // 2
        for b in range(c + 1):
            for i in range(n):
                P[rc + b, i] = 0.0
            for a in range(m):
                for i in range(n):
                    P[rc + b, i] += Z[a, c, i] * Z[a, b, i]


@_jit
def spread(S, C, lo, n, seen, gaps, T):
    """T = S + C over the seen values, an isolated 1 at every gap."""
    m = S.shape[0]
    for a in range(m):
        ra = a * (a + 1) // 2
        for b in range(a + 1):
            s = S[a, b]
            for i in range(n):
                T[ra + b, i] = s + C[ra + b, lo + i]
            if gaps:
                for i in range(n):
                    T[ra + b, i] *= seen[a, i] * seen[b, i]
        if gaps:
            for i in range(n):
                T[ra + a, i] = T[ra + a, i] if seen[a, i] > 0.0 else 1.0


@_jit
def spread_projected(S, C, R, lo, n, seen, Z, T):
    """T = R S R' + C over the seen values, an isolated 1 at every gap; Z (m, D, n) is room for R S."""
    m, d = R.shape[0], R.shape[1]
    for a in range(m):
        ra = a * (a + 1) // 2
        for c in range(d):
            for i in range(n):
                Z[a, c, i] = 0.0
            for e in range(d):
                s = S[e, c]
                for i in range(n):
                    Z[a, c, i] += R[a, e, lo + i] * s
        for b in range(a + 1):
            for i in range(n):
                T[ra + b, i] = C[ra + b, lo + i]
            for c in range(d):
                for i in range(n):
                    T[ra + b, i] += Z[a, c, i] * R[b, c, lo + i]
            for i in range(n):
                T[ra + b, i] *= seen[a, i] * seen[b, i]
        for i in range(n):
            T[ra + a, i] = T[ra + a, i] if seen[a, i] > 0.0 else 1.0


@_jit
def residuals(values, mean, n, seen, gaps, out):
    """out (m, n) = x - mu over the seen values."""
    for a in range(values.shape[0]):
        centre = mean[a]
        for i in range(n):
            out[a, i] = values[a, i] - centre
        if gaps:
            for i in range(n):
                out[a, i] *= seen[a, i]


@_jit
def residuals_projected(values, mean, R, lo, n, seen, out):
    """out (m, n) = x - R mu over the seen values."""
    for a in range(values.shape[0]):
        for i in range(n):
            out[a, i] = values[a, i]
        for c in range(len(mean)):
            centre = mean[c]
            for i in range(n):
                out[a, i] -= R[a, c, lo + i] * centre
        for i in range(n):
            out[a, i] *= seen[a, i]


@_jit
def share(log_p, log_background, lo, n, r, background, scale, spread, log_density, tmp, floats, bits):
    """Responsibilities of a block from log_p (K, n), not yet normalised: `scale` holds the reciprocal of their sum.

    Fills r (K, n), background (n,) (if there is one), log_density (n,) and spread (n,) = sum over classes of p log p.
    """
    K = log_p.shape[0]
    known = log_background.shape[0] > 0
    top = scale
    for i in range(n):
        # A row that no class can have made: keep the arithmetic finite, its log density is then -inf.
        top[i] = -1e300
    for k in range(K):
        for i in range(n):
            top[i] = max(top[i], log_p[k, i])
    if known:
        for i in range(n):
            top[i] = max(top[i], log_background[lo + i])
    for i in range(n):
        log_density[i] = 0.0
        spread[i] = 0.0
        background[i] = 0.0
    if known:
        for i in range(n):
            tmp[i] = max(log_background[lo + i] - top[i], -800.0)
        exp_rows(tmp, n, background, floats, bits)
        for i in range(n):
            log_density[i] = background[i]
            spread[i] = background[i] * tmp[i]
    for k in range(K):
        for i in range(n):
            tmp[i] = max(log_p[k, i] - top[i], -800.0)
        exp_rows(tmp, n, r[k], floats, bits)
        for i in range(n):
            log_density[i] += r[k, i]
            spread[i] += r[k, i] * tmp[i]
    finish(n, top, background, spread, log_density, tmp, floats, bits)


@_jit
def finish(n, scale, background, spread, log_density, tmp, floats, bits):
    """From the top of each row in `scale` and the sum below it in `log_density` to what `share` promises."""
    for i in range(n):
        background[i] /= max(log_density[i], 1e-300)
        spread[i] /= max(log_density[i], 1e-300)
        tmp[i] = max(log_density[i], 1e-300)
    log_rows(tmp, n, log_density, floats, bits)
    for i in range(n):
        possible = tmp[i] > 1e-300
        spread[i] = spread[i] - log_density[i] if possible else 0.0
        log_density[i] = scale[i] + log_density[i] if possible else -math.inf
        scale[i] = 1.0 / tmp[i] if possible else 0.0


@_jit
def blank_failures(n, worst, weights, lo, every, log_p, u, P):
    """Rows whose T is singular say nothing of a component; counts `every` one, or those that weigh."""
    count = 0
    for i in range(n):
        if not (worst[i] > 0.0):
            count += 1 if every or weights[lo + i] > 0.0 else 0
            log_p[i] = -math.inf
            for a in range(u.shape[0]):
                u[a, i] = 0.0
            for t in range(P.shape[0]):
                P[t, i] = 0.0
    return count


@_jit
def weigh(n, background, scale, spread, log_density, weights, lo, sums):
    """Put the row weights into `scale`; add log-likelihood, entropy and the background's count to sums (3,)."""
    likelihood = 0.0
    entropy = 0.0
    count = 0.0
    for i in range(n):
        w = weights[lo + i]
        likelihood += w * log_density[i] if w > 0.0 else 0.0
        entropy -= w * spread[i]
        count += w * background[i]
    for i in range(n):
        scale[i] *= weights[lo + i]
    sums[0] += likelihood
    sums[1] += entropy
    sums[2] += count


@_jit
def collect(r, scale, n, u, P, tmp, counts, g, F, Q):
    """Add weighted sums of one component over a block to counts (scalar array), g (D,), F and Q (packed)."""
    d = u.shape[0]
    total = 0.0
    for i in range(n):
        r[i] *= scale[i]
    for i in range(n):
        total += r[i]
    counts[0] += total
    if total == 0.0:
        return
    for a in range(d):
        ra = a * (a + 1) // 2
        s = 0.0
        for i in range(n):
            tmp[i] = r[i] * u[a, i]
        for i in range(n):
            s += tmp[i]
        g[a] += s
        for b in range(a + 1):
            s = 0.0
            f = 0.0
            for i in range(n):
                s += tmp[i] * u[b, i]
                f += r[i] * P[ra + b, i]
            Q[ra + b] += s
            F[ra + b] += f


@_jit
def put(block, lo, n, out):
    """Copy a block of n rows to its place."""
    for i in range(n):
        out[lo + i] = block[i]


@_jit
def put_scaled(block, scale, lo, n, out):
    """Copy a block of n rows, scaled, to its place."""
    for i in range(n):
        out[lo + i] = block[i] * scale[i]


@_kernel
def rowwise(
    x,
    C,
    R,
    weights,
    log_background,
    segments,
    log_weights,
    means,
    S,
    size,
    counts,
    g,
    F,
    Q,
    sums,
    failures,
    keep,
    log_density,
    r,
    u,
    P,
):
    """Rows that differ in noise, gaps or projection: sums over them and, where asked, what each row says.

    x (m, rows), C (m(m+1)/2, rows), R (m, D, rows) or None for the identity; segments (s, 3): start, stop, group.
    Adds to counts (G, K, 1), g (G, K, D), F (G, K, D(D+1)/2), Q (K, D(D+1)/2), sums (log-likelihood, entropy,
    background count), failures (K,): rows where T was singular. keep >= 1 fills log_density (rows,) and r (K, rows),
    keep == 2 also u (K, D, rows) and P (K, D(D+1)/2, rows).
    """
    m, K, d = x.shape[0], means.shape[0], means.shape[1]
    tri = d * (d + 1) // 2
    values, seen, y = np.empty((m, size)), np.empty((m, size)), np.empty((m, size))
    room = np.empty((10, size))
    constant, q, log_det, worst, tmp = room[0], room[1], room[2], room[3], room[4]
    product, scale, spread_, density, background = room[5], room[6], room[7], room[8], room[9]
    T, u_, P_ = np.empty((m * (m + 1) // 2, size)), np.empty((K, d, size)), np.empty((K, tri, size))
    Z = np.empty((m, d, size))
    log_p, r_ = np.empty((K, size)), np.empty((K, size))
    bits = np.empty(size, np.int64)
    floats = bits.view(np.float64)
    for segment in range(segments.shape[0]):
        group = segments[segment, 2]
        for lo in range(segments[segment, 0], segments[segment, 1], size):
            n = min(size, segments[segment, 1] - lo)
            gaps = load(x, lo, n, values, seen, constant)
            for k in range(K):
                # `R is None` is settled when Numba compiles: the plain kernel does not carry the projected one.
                if R is None:
                    spread(S[k], C, lo, n, seen, gaps, T)
                    residuals(values, means[k], n, seen, gaps, y)
                else:
                    spread_projected(S[k], C, R, lo, n, seen, Z, T)
                    residuals_projected(values, means[k], R, lo, n, seen, y)
                factorise(T, m, n, tmp, product, log_det, worst, floats, bits)
                solve(T, m, n, y, q)
                if R is None:
                    invert(T, m, n, tmp)
                    view(T, m, n, y, seen, gaps, u_[k], P_[k])
                else:
                    view_projected(T, m, n, y, R, lo, seen, Z, u_[k], P_[k])
                log_weight = log_weights[group, k]
                failed = False
                for i in range(n):
                    log_p[k, i] = log_weight + constant[i] - 0.5 * (q[i] + log_det[i])
                    failed = failed or not (worst[i] > 0.0)
                if failed:
                    failures[k] += blank_failures(n, worst, weights, lo, keep > 0, log_p[k], u_[k], P_[k])
            share(log_p, log_background, lo, n, r_, background, scale, spread_, density, tmp, floats, bits)
            if keep >= 1:
                put(density, lo, n, log_density)
                for k in range(K):
                    put_scaled(r_[k], scale, lo, n, r[k])
            if keep == 2:
                for k in range(K):
                    for a in range(d):
                        put(u_[k, a], lo, n, u[k, a])
                    for a in range(tri):
                        put(P_[k, a], lo, n, P[k, a])
            weigh(n, background, scale, spread_, density, weights, lo, sums)
            for k in range(K):
                collect(r_[k], scale, n, u_[k], P_[k], tmp, counts[group, k], g[group, k], F[group, k], Q[k])


@_jit
def invert_spread(S, C, dims, L):
    """L (o, o) <- inverse Cholesky factor of S + C over `dims`; returns its log determinant, NaN where singular."""
    o = len(dims)
    log_det = 0.0
    for a in range(o):
        for b in range(a + 1):
            value = S[dims[a], dims[b]] + C[dims[a], dims[b]]
            scale = value
            for e in range(b):
                value -= L[a, e] * L[b, e]
            if a == b:
                if not value > _TINY_PIVOT * scale:
                    return math.nan
                log_det += math.log(value)
                L[a, a] = math.sqrt(value)
            else:
                L[a, b] = value / L[b, b]
    for b in range(o):
        L[b, b] = 1.0 / L[b, b]
        for a in range(b + 1, o):
            value = 0.0
            for e in range(b, a):
                value -= L[a, e] * L[e, b]
            L[a, b] = value / L[a, a]
    return log_det


@_jit
def unwhiten(L, dims, count, first, second, counts, g, F, Q):
    """Sums of whitened residuals z = L (x - mu) of one segment -> counts, g = L'sum z, F = n L'L, Q = L'(sum zz')L."""
    o = len(dims)
    counts[0] += count
    half = np.zeros((o, o))
    for a in range(o):
        for b in range(o):
            for e in range(o):
                value = second[a, e] if a >= e else second[e, a]
                if e >= b:
                    half[a, b] += value * L[e, b]
    for a in range(o):
        s = 0.0
        for e in range(a, o):
            s += L[e, a] * first[e]
        g[dims[a]] += s
        for b in range(a + 1):
            f = 0.0
            s = 0.0
            for e in range(a, o):
                f += L[e, a] * L[e, b]
                s += L[e, a] * half[e, b]
            at = dims[a] * (dims[a] + 1) // 2 + dims[b]
            F[at] += count * f
            Q[at] += s


@_jit
def whiten_rows(x, lo, n, L, dims, mean, residual, z, q):
    """z (o, n) = L (x - mu) over the seen `dims`, q = squared length."""
    o = len(dims)
    for a in range(o):
        centre = mean[dims[a]]
        for i in range(n):
            residual[a, i] = x[dims[a], lo + i] - centre
    for i in range(n):
        q[i] = 0.0
    for a in range(o):
        c = L[a, 0]
        for i in range(n):
            z[a, i] = c * residual[0, i]
        for b in range(1, a + 1):
            c = L[a, b]
            for i in range(n):
                z[a, i] += c * residual[b, i]
        for i in range(n):
            q[i] += z[a, i] * z[a, i]


@_kernel
def grouped(
    x, C, weights, log_background, segments, seen, log_weights, means, S, size, counts, g, F, Q, sums, failures,
    keep, log_density, shares,
):  # fmt: skip
    """Sums over rows that share one noise covariance C (m, m), in segments of one pattern of gaps and one group.

    One factorisation per segment's pattern and component. segments (s, 4): start, stop, group, pattern; seen (p, m).
    Adds to the same sums as `rowwise`; with `keep` fills log_density (n,) and shares (K, n) of the rows.
    """
    m, K = x.shape[0], means.shape[0]
    residual, z = np.empty((m, size)), np.empty((K, m, size))
    room = np.empty((6, size))
    q, tmp, scale, spread_, density, background = room[0], room[1], room[2], room[3], room[4], room[5]
    log_p, r = np.empty((K, size)), np.empty((K, size))
    bits = np.empty(size, np.int64)
    floats = bits.view(np.float64)
    L, log_det = np.zeros((K, m, m)), np.zeros(K)
    count, first, second = np.zeros(K), np.zeros((K, m)), np.zeros((K, m, m))
    pattern = -1
    dims = np.flatnonzero(seen[0])
    for segment in range(segments.shape[0]):
        start, stop, group = segments[segment, 0], segments[segment, 1], segments[segment, 2]
        if segments[segment, 3] != pattern:
            pattern = segments[segment, 3]
            dims = np.flatnonzero(seen[pattern])
            for k in range(K):
                log_det[k] = invert_spread(S[k], C, dims, L[k])
        o = len(dims)
        constant = -0.5 * _LOG_2PI * o
        for k in range(K):
            count[k] = 0.0
            first[k] = 0.0
            second[k] = 0.0
            if math.isnan(log_det[k]):
                for i in range(start, stop):
                    failures[k] += 1 if keep > 0 or weights[i] > 0.0 else 0
        for lo in range(start, stop, size):
            n = min(size, stop - lo)
            for k in range(K):
                base = log_weights[group, k] + constant - 0.5 * log_det[k]
                if o == 0 or math.isnan(log_det[k]):
                    z[k] = 0.0
                    log_p[k] = -math.inf if math.isnan(log_det[k]) else log_weights[group, k]
                    continue
                whiten_rows(x, lo, n, L[k], dims, means[k], residual, z[k], q)
                for i in range(n):
                    log_p[k, i] = base - 0.5 * q[i]
            share(log_p, log_background, lo, n, r, background, scale, spread_, density, tmp, floats, bits)
            if keep > 0:
                put(density, lo, n, log_density)
                for k in range(K):
                    put_scaled(r[k], scale, lo, n, shares[k])
            weigh(n, background, scale, spread_, density, weights, lo, sums)
            for k in range(K):
                collect_whitened(r[k], scale, n, z[k], o, tmp, count, k, first[k], second[k])
        for k in range(K):
            if not math.isnan(log_det[k]):
                unwhiten(L[k], dims, count[k], first[k], second[k], counts[group, k], g[group, k], F[group, k], Q[k])


@_jit
def collect_whitened(r, scale, n, z, o, tmp, count, k, first, second):
    """Add r-weighted sums of z (o, n) to count[k], first (o,), second (o, o, lower triangle)."""
    s = 0.0
    for i in range(n):
        r[i] *= scale[i]
    for i in range(n):
        s += r[i]
    count[k] += s
    for a in range(o):
        s = 0.0
        for i in range(n):
            tmp[i] = r[i] * z[a, i]
        for i in range(n):
            s += tmp[i]
        first[a] += s
        for b in range(a + 1):
            s = 0.0
            for i in range(n):
                s += tmp[i] * z[b, i]
            second[a, b] += s
