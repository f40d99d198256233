r"""Functions on a radial mesh: integrals, spherical Bessel transforms, and the smooth tables made from them.

A table holds $f(q)$ on $q = 0, h, 2h, \ldots$ as coefficients of B-splines of even degree centred at these points and
mirrored at q = 0, so that the interpolant is an even function of q with seven continuous derivatives, at q = 0 too.
`energy.tabulated.interpolate` evaluates it.
"""

from fractions import Fraction
from math import comb, factorial

import numpy as np
from scipy.fft import dct, idct

STEP = 0.04
"""Distance h of the points of a table, bohr^-1: a function that ends at 10 bohr is 16 points per oscillation."""
REACH = 64.0
"""Largest q of a table, bohr^-1: the density of orbitals up to 400 hartree; orbitals need half of it."""
DEGREE = 8
_MARGIN = 48  # points beyond the reach, where the mirror at the end is felt


def simpson(dr: np.ndarray) -> np.ndarray:
    r"""Weights w of $\int f dr \approx \sum_i w_i f_i$ on a mesh r(i) with derivative dr/di.

    Simpson's rule in the index; with an even number of points Simpson's 3/8 rule takes the last four.

    Args:
        dr: derivative of the radius in the index, bohr.

    Returns:
        Weights, bohr.
    """
    n = len(dr)
    if n < 3:
        w = np.full(n, 1.0)
        w[[0, -1]] = 0.5
        return w * dr
    odd = n if n % 2 else n - 3
    w = np.zeros(n)
    if odd > 1:
        w[:odd] = 2 / 3
        w[1:odd:2] = 4 / 3
        w[[0, odd - 1]] = 1 / 3
    if odd < n:
        w[-4:] += np.array([3, 9, 9, 3]) / 8
    return w * dr


def bessel(l: int, x: np.ndarray) -> np.ndarray:
    r"""$j_l(x) / x^l$ for x >= 0, an even function that is $1 / (2l+1)!!$ at 0."""
    small = x < l + 1.0
    y = np.where(small, 1.0, x)
    sine = np.sin(y)
    before, value = np.cos(y) / y**2, sine / y
    scaled = y**-2.0
    for n in range(l):  # b_{n+1} = ((2n + 1) b_n - b_{n-1}) / x^2 with b_n = j_n / x^n, b_{-1} = x j_{-1}
        before, value = value, ((2 * n + 1) * value - (before * y**2 if n == 0 else before)) * scaled
    near = x[small]
    term = np.full_like(near, 1.0 / np.prod(np.arange(1, 2 * l + 2, 2, dtype=float)))
    series = term.copy()
    for n in range(1, 24):
        term = term * (-(near**2) / (2 * n * (2 * (l + n) + 1)))
        series += term
    value[small] = series
    return value


def transform(l: int, q: np.ndarray, r: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    r"""Radial Fourier transform over $q^l$: $4\pi \int r^2 f(r) j_l(qr) dr / q^l$.

    Args:
        l: angular momentum.
        q: bohr^-1, (nq,).
        r: mesh, bohr, (nr,).
        weighted: quadrature weights times $r^2 f(r)$, (..., nr).

    Returns:
        (..., nq), smooth and even in q.
    """
    columns = (weighted * r**l).T
    rows = [bessel(l, part[:, None] * r) @ columns for part in np.array_split(q, max(1, q.size * r.size // 300_000))]
    return 4 * np.pi * np.concatenate(rows).T


def table_points() -> np.ndarray:
    """The q at which a table is computed, bohr^-1."""
    return STEP * np.arange(round(REACH / STEP) + _MARGIN + 1)


def spline(x: Fraction) -> Fraction:
    """Cardinal B-spline of degree `DEGREE`, centred at 0."""
    half = Fraction(DEGREE + 1, 2)
    terms = ((-1) ** j * comb(DEGREE + 1, j) * max(x + half - j, Fraction(0)) ** DEGREE for j in range(DEGREE + 2))
    return sum(terms, Fraction(0)) / factorial(DEGREE)


def coefficients(values: np.ndarray) -> np.ndarray:
    """Spline coefficients of values (..., nq) at `table_points`; linear in them, same shape."""
    angle = np.pi * np.arange(values.shape[-1]) / (values.shape[-1] - 1)
    response = float(spline(Fraction(0))) + sum(
        2 * float(spline(Fraction(j))) * np.cos(j * angle) for j in range(1, DEGREE // 2 + 1)
    )
    return idct(dct(values, type=1, axis=-1) / response, type=1, axis=-1)


def taps() -> np.ndarray:
    r"""Polynomials of the neighbours' weights: $B(t - k) = \sum_p M_{kp} t^p$, |t| <= 1/2, k = -DEGREE/2 ... DEGREE/2.

    Returns:
        M, (DEGREE + 1, DEGREE + 1).
    """
    half, rows = Fraction(DEGREE + 1, 2), []
    for k in range(-DEGREE // 2, DEGREE // 2 + 1):
        row = [Fraction(0)] * (DEGREE + 1)
        for j in range(DEGREE // 2 - k + 1):  # the truncated powers that have begun
            shift = half - k - j
            for p in range(DEGREE + 1):
                row[p] += (-1) ** j * comb(DEGREE + 1, j) * comb(DEGREE, p) * shift ** (DEGREE - p)
        rows.append([float(x / factorial(DEGREE)) for x in row])
    return np.array(rows)
