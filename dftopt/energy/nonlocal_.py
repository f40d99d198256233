"""Nonlocal part of pseudopotentials: separable projectors."""

from math import factorial, gamma, pi, sqrt

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dftopt.energy.tabulated import interpolate


def laguerre(n: int, a: float, x):
    """Generalized Laguerre polynomial L_n^(a)(x) by its recurrence."""
    previous, current = jnp.zeros_like(x), jnp.ones_like(x)
    for i in range(n):
        previous, current = current, ((2 * i + 1 + a - x) * current - (i + a) * previous) / (i + 1)
    return current


def radial(l: int, i: int, q2: Float[Array, "..."], r: Float[Array, ""]) -> Float[Array, "..."]:
    r"""Radial Fourier transform of projector i = 1, 2, 3 of angular momentum l, divided by $q^l$.

    $4\pi \int r'^2 j_l(q r') p_{il}(r') dr' / q^l$ with
    $p_{il} = \sqrt2\, r'^{\,l+2(i-1)} e^{-r'^2/2r^2} / [r^{l+(4i-1)/2} \sqrt{\Gamma(l+(4i-1)/2)}]$; with n = i - 1 the
    integral is $\sqrt{\pi/2}\, 2^n n!\, r^{2n+2l+3} e^{-x} L_n^{(l+1/2)}(x)$, $x = q^2 r^2/2$.

    References:
        Hartwigsen, Goedecker, Hutter, Phys. Rev. B 58, 3641 (1998), equations 3 and 4.
    """
    n = i - 1
    x = q2 * r**2 / 2
    norm = 4 * pi * sqrt(2.0) / sqrt(gamma(l + (4 * i - 1) / 2)) * sqrt(pi / 2) * 2**n * factorial(n)
    return norm * r ** (l + 1.5) * jnp.exp(-x) * laguerre(n, l + 0.5, x)


def solid_harmonics(l: int, q: Float[Array, "... 3"]) -> Float[Array, "m ..."]:
    """Real solid harmonics q^l Y_lm(q), m = -l ... l: polynomials, so smooth at q = 0 (l up to 3)."""
    x, y, z = q[..., 0], q[..., 1], q[..., 2]
    q2 = x * x + y * y + z * z
    if l == 0:
        return jnp.full((1, *x.shape), sqrt(1 / (4 * pi)))
    if l == 1:
        return sqrt(3 / (4 * pi)) * jnp.stack([y, z, x])
    if l == 2:
        c = sqrt(15 / (4 * pi))
        return c * jnp.stack([x * y, y * z, (3 * z * z - q2) / sqrt(12), z * x, (x * x - y * y) / 2])
    if l == 3:
        c = sqrt(7 / (16 * pi))
        return c * jnp.stack(
            [
                sqrt(5 / 2) * y * (3 * x * x - y * y),
                2 * sqrt(15) * x * y * z,
                sqrt(3 / 2) * y * (5 * z * z - q2),
                z * (5 * z * z - 3 * q2),
                sqrt(3 / 2) * x * (5 * z * z - q2),
                sqrt(15) * z * (x * x - y * y),
                sqrt(5 / 2) * x * (x * x - 3 * y * y),
            ]
        )
    raise ValueError(f"solid harmonics are implemented up to l = 3, not l = {l}")


def radial_parts(layout, p: dict, q2: Float[Array, "..."]) -> list[Float[Array, "n ..."]]:
    """Radial Fourier transforms over q^l of the projectors of each channel, see `radial` and `tabulated`."""
    if not layout:
        return []
    if "projectors" in p:
        last = np.cumsum([n for _, n in layout])[:-1]
        return jnp.split(interpolate(jnp.concatenate(p["projectors"]), q2), last)  # compiled once for all channels
    return [jnp.stack([radial(l, i + 1, q2, r) for i in range(n)]) for (l, n), r in zip(layout, p["r"], strict=True)]


def species_projectors(layout, p: dict, q: Float[Array, "... 3"]) -> Complex[Array, "projectors ..."]:
    """Projectors of one ion at the origin, (-i)^l p_il(|q|) Y_lm(q), in the order (channel, m, i)."""
    q2 = jnp.sum(q**2, axis=-1)
    rows = []
    for (l, _), parts in zip(layout, radial_parts(layout, p, q2), strict=True):
        ylm = solid_harmonics(l, q)
        rows.append(((-1j) ** l * ylm[:, None] * parts[None]).reshape(-1, *q2.shape))
    return jnp.concatenate(rows) if rows else jnp.zeros((0, *q2.shape), complex)


def species_coupling(layout, p: dict) -> Float[Array, "projectors projectors"]:
    """Block-diagonal coupling matrix of one ion in the order of `species_projectors`, hartree."""
    size = sum((2 * l + 1) * n for l, n in layout)
    out = jnp.zeros((size, size))
    at = 0
    for (l, n), h in zip(layout, p["h"], strict=True):
        for _ in range(2 * l + 1):
            out = out.at[at : at + n, at : at + n].set(h)
            at += n
    return out


def nonlocal_(
    psi: Complex[Array, "bands npw"],
    projectors: Complex[Array, "projectors npw"],
    coupling: Float[Array, "projectors projectors"],
) -> Float[Array, " bands"]:
    r"""$\langle\psi|V_{nl}|\psi\rangle = \sum_{pq} \langle\psi|\beta_p\rangle D_{pq} \langle\beta_q|\psi\rangle$ per band.

    Args:
        psi: coefficients.
        projectors: $\beta_p(k+G)$ with structure factor and $V^{-1/2}$.
        coupling: D, hartree.

    Returns:
        Hartree per band.
    """
    b = psi @ projectors.conj().T
    return jnp.sum(b.real * (b.real @ coupling) + b.imag * (b.imag @ coupling), axis=-1)
