"""SCAN, the strongly constrained and appropriately normed meta-GGA.

Both halves join a functional of a slowly varying density (alpha = 1) with one of a single orbital (alpha = 0) by a
switching function of the iso-orbital indicator alpha = (tau - tau_W) / tau_unif.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc import pbe, pw92
from dftopt.xc.enhancement import enhanced
from dftopt.xc.variables import Channels, Density, Polarization, density, iso_orbital

EXCHANGE = {"c1": 0.667, "c2": 0.8, "d": 1.24, "k1": 0.065, "h0": 1.174, "a1": 4.9479}
CORRELATION = {"c1": 0.64, "c2": 1.5, "d": 0.7, "b1": 0.0285764, "b2": 0.0889, "b3": 0.125541}
"""Sun, Ruzsinszky and Perdew, Phys. Rev. Lett. 115, 036402 (2015), supplement."""

MU = 10 / 81
_B2 = np.sqrt(5913 / 405000)
_B1 = 511 / 13500 / (2 * _B2)
_B3 = 0.5
_CHI = 0.12802585262625815
BETA = 0.06672455060314922


def switch(alpha: Float[Array, "..."], c1, c2, d) -> Float[Array, "..."]:
    r"""$f(\alpha) = e^{-c_1 \alpha / (1 - \alpha)}$ below 1, $-d\, e^{c_2 / (1 - \alpha)}$ above; 1 at 0 and 0 at 1."""
    distance = 1 - alpha
    at_one = jnp.abs(distance) < 1e-3  # the exponentials, and all their derivatives, are below 1e-250 there
    below = distance > 0
    exponent = jnp.where(below, -c1 * alpha, c2) / jnp.where(at_one, 1.0, distance)
    return jnp.where(at_one, 0.0, jnp.where(below, 1.0, -d) * jnp.exp(jnp.where(at_one, 0.0, exponent)))


def join_exchange(x: Float[Array, "..."], f: Float[Array, "..."], s2: Float[Array, "..."], k1, h0, a1):
    r"""$F_x = [h_1 + f (h_0 - h_1)] g(s)$, $h_1 = 1 + k_1 - k_1 / (1 + x/k_1)$, $g = 1 - e^{-a_1 s^{-1/2}}$."""
    h1 = 1 + k1 * x / (k1 + x)
    s2 = jnp.where(s2 > 1e-8, s2, 1e-8)  # g is 1 to all digits there, but its derivatives need a root of s
    return (h1 + f * (h0 - h1)) * -jnp.expm1(-a1 / jnp.sqrt(jnp.sqrt(s2)))


def mgga_x_scan(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    c1,
    c2,
    d,
    k1,
    h0,
    a1,
) -> Float[Array, "..."]:
    r"""SCAN exchange energy density, spin-scaled.

    $F_x$ of `join_exchange` with the `switch` f and
    $x = \mu s^2 [1 + (b_4 s^2/\mu) e^{-|b_4| s^2/\mu}] + [b_1 s^2 + b_2 (1 - \alpha) e^{-b_3 (1 - \alpha)^2}]^2$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        c1: decay of the switch below alpha = 1.
        c2: decay of the switch above alpha = 1.
        d: limit of -f at large alpha.
        k1: bound of h1 - 1.
        h0: enhancement of a single orbital.
        a1: decay with s that non-uniform scaling demands.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Sun, Ruzsinszky and Perdew, Phys. Rev. Lett. 115, 036402 (2015), eqs. (3) to (9) of the supplement.
    """
    b4 = MU * MU / k1 - 1606 / 18225 - _B1 * _B1

    def factor(s2, alpha):
        b4_s2 = b4 * s2
        from_one = 1 - alpha
        square = _B1 * s2 + _B2 * from_one * jnp.exp(-_B3 * from_one * from_one)
        x = s2 * (MU + b4_s2 * jnp.exp(-jnp.abs(b4_s2) / MU)) + square * square
        return join_exchange(x, switch(alpha, c1, c2, d), s2, k1, h0, a1)

    return enhanced(factor, rho_s, sigma, tau_s)


def g_c(spin: Polarization | None) -> Float[Array, "..."] | float:
    r"""$G_c = [1 - 2.363 (d_x - 1)] (1 - \zeta^{12})$, $d_x = [(1+\zeta)^{4/3} + (1-\zeta)^{4/3}] / 2$."""
    if spin is None:
        return 1.0
    q = spin.plus * spin.minus  # 1 - zeta^12 = 1 - (1 - q)^6
    return (1 - 2.363 * (2 ** (1 / 3) - 1) * spin.f) * q * (6 - q * (15 - q * (20 - q * (15 - q * (6 - q)))))


def uniform_at_zero(rs: Float[Array, "..."], b1, b2, b3) -> Float[Array, "..."]:
    r"""$-b_1 / (1 + b_2 r_s^{1/2} + b_3 r_s)$, hartree."""
    return -b1 / (1 + b2 * jnp.sqrt(rs) + b3 * rs)


def single_orbital(n: Density, s2: Float[Array, "..."], b1, b2, b3) -> Float[Array, "..."]:
    r"""$\epsilon_0 = (\epsilon_u + b_1 \ln\{1 + w_0 [1 - (1 + 4 \chi s^2)^{-1/4}]\}) G_c$, $w_0 = e^{-\epsilon_u/b_1} - 1$.

    Evaluated as $b_1 \ln\{1 - (1 + 4\chi s^2)^{-1/4} w_0 / (1 + w_0)\} G_c$, where the two terms do not cancel.
    """
    g = 1 / jnp.sqrt(jnp.sqrt(1 + 4 * _CHI * s2))
    return b1 * jnp.log1p(jnp.expm1(uniform_at_zero(n.rs, b1, b2, b3) / b1) * g) * g_c(n.polarization)


def slowly_varying(n: Density, sigma: Float[Array, "..."], uniform: Float[Array, "..."], shift=None):
    r"""$\epsilon_1 = \epsilon_c + \gamma\phi^3 \ln\{1 + w_1 [1 - (1 + 4 y)^{-1/4}]\}$ per electron, hartree.

    $w_1 = e^{-\epsilon_c/\gamma\phi^3} - 1$, $y = \beta(r_s) t^2 / (\gamma w_1)$,
    $\beta(r_s) = \beta (1 + 0.1 r_s) / (1 + 0.1778 r_s)$; evaluated without the cancellation of $\epsilon_c$.

    Args:
        n: the density.
        sigma: its squared gradient, bohr^-8.
        uniform: $\epsilon_c$ of the uniform gas, hartree.
        shift: what is subtracted from y, times $\gamma\phi^3 w_1$, hartree; `None` for nothing.
    """
    gamma_phi3 = pbe.GAMMA if n.polarization is None else pbe.GAMMA * n.polarization.phi**3
    w1 = jnp.expm1(-uniform / gamma_phi3)
    beta = BETA * (1 + 0.1 * n.rs) / (1 + 0.1778 * n.rs)
    y = beta / pbe.GAMMA * pbe.t2_times_phi(n, sigma, 0) / w1
    if shift is not None:
        y = y - shift / (gamma_phi3 * w1)
    g = 1 / jnp.sqrt(jnp.sqrt(1 + 4 * y))
    return gamma_phi3 * jnp.log1p(-w1 / (1 + w1) * g)


def mgga_c_scan(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    c1,
    c2,
    d,
    b1,
    b2,
    b3,
) -> Float[Array, "..."]:
    r"""SCAN correlation energy density, $\rho [\epsilon_1 + f(\alpha) (\epsilon_0 - \epsilon_1)]$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        c1: decay of the switch below alpha = 1.
        c2: decay of the switch above alpha = 1.
        d: limit of -f at large alpha.
        b1: high-density limit of the single orbital's energy, hartree.
        b2: see `uniform_at_zero`.
        b3: see `uniform_at_zero`.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Sun, Ruzsinszky and Perdew, Phys. Rev. Lett. 115, 036402 (2015), eqs. (10) to (28) of the supplement.
    """
    n = density(rho_s)
    v = iso_orbital(n, rho_s, sigma, tau_s)
    e0 = single_orbital(n, v.s2, b1, b2, b3)
    e1 = slowly_varying(n, v.sigma, pw92.epsilon_c(n.rs, n.polarization, pw92.PRECISE))
    return jnp.where(n.present, n.rho * (e1 + switch(v.alpha, c1, c2, d) * (e0 - e1)), 0.0)
