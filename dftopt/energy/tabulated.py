"""Tabulated pseudopotentials in reciprocal space: tables as smooth functions of |q|."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.atoms.radial import DEGREE, REACH, STEP, taps
from dftopt.energy.coulomb import ion

WIDTH = 0.5**0.5  # bohr: erf(r) / r is the potential of a Gaussian of this width
_TAPS = taps()


def interpolate(table: Float[Array, "*functions points"], q2: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Functions of |q| from their tables, zero beyond the tables' reach.

    $f(q) = \sum_k c_{|i+k|} B(t - k)$ with i the nearest point, t = q/h - i and B the B-spline of degree 8 centred at 0.
    It is even in q; around q = 0 it is written as a polynomial in $q^2$, so that all derivatives exist there.

    Args:
        table: coefficients, see `atoms.radial.coefficients`.
        q2: squared wave vectors, bohr^-2.
    """
    first = q2 < (STEP / 2) ** 2
    x = jnp.sqrt(jnp.where(first, 1.0, q2)) / STEP
    i = jnp.where(first, 0, jnp.floor(x + 0.5)).astype(jnp.int32)
    i = jnp.minimum(i, round(REACH / STEP))
    t = jnp.where(first, 0.0, x - i)
    t2 = jnp.where(first, q2 / STEP**2, t * t)
    total = jnp.zeros((*table.shape[:-1], *q2.shape))
    for k, row in enumerate(_TAPS, start=-DEGREE // 2):
        even, odd = row[DEGREE] * jnp.ones_like(t2), jnp.zeros_like(t2)
        for p in range(DEGREE - 2, -1, -2):
            even, odd = even * t2 + row[p], odd * t2 + row[p + 1]
        total = total + jnp.take(table, jnp.abs(i + k), axis=-1) * (even + t * odd)
    return jnp.where(q2 <= REACH**2, total, 0.0)


def form_factor(G2: Float[Array, "..."], p: dict, kernel: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Local potential of one ion times the volume, hartree bohr^3, see `energy.local.form_factor`.

    $v(G) = -Z v_C(G) e^{-G^2/4} + s(G)$ with the table $s(G) = \int (v(r) + Z\,\mathrm{erf}(r)/r) e^{-iGr} dr$.
    """
    return p["charge"] * ion(kernel, G2, WIDTH) + interpolate(p["local"], G2)


def alpha(p: dict) -> Float[Array, ""]:
    r"""$\int (v(r) + Z/r) dr = s(0) + \pi Z$, hartree bohr^3."""
    return interpolate(p["local"], jnp.zeros(())) + jnp.pi * p["charge"]
