"""Tao-Perdew-Staroverov-Scuseria meta-GGA."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc import pbe, pw92
from dftopt.xc.enhancement import enhanced
from dftopt.xc.variables import (
    POLARIZATION_THRESHOLD,
    RS,
    Channels,
    Density,
    density,
    guarded,
    iso_orbital,
    polarization,
)

EXCHANGE = {"b": 0.40, "c": 1.59096, "e": 1.537, "kappa": 0.804, "mu": 0.21951}
CORRELATION = {"beta": 0.06672455060314922, "d": 2.8}

_MU_GE = 10 / 81


def _over_tau(tau_w: Float[Array, "..."], tau: Float[Array, "..."]) -> Float[Array, "..."]:
    """tau_W / tau of both in units of the uniform gas's; finite where tau vanishes, and tau_W with it."""
    return tau_w / jnp.where(tau > 1e-12, tau, 1e-12)


def mgga_x_tpss(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    b,
    c,
    e,
    kappa,
    mu,
) -> Float[Array, "..."]:
    r"""TPSS exchange energy density, spin-scaled: $F_x = 1 + \kappa - \kappa / (1 + x/\kappa)$.

    With $p = s^2$, $z = \tau_W / \tau$ and
    $\tilde q = \frac{9}{20} (\alpha - 1) / [1 + b \alpha (\alpha - 1)]^{1/2} + \frac23 p$,
    $x (1 + e^{1/2} p)^2 = [\frac{10}{81} + c z^2 / (1 + z^2)^2] p + \frac{146}{2025} \tilde q^2
    - \frac{73}{405} \tilde q [\frac12 (\frac35 z)^2 + \frac12 p^2]^{1/2} + \frac{1}{\kappa} (\frac{10}{81} p)^2
    + 2 e^{1/2} \frac{10}{81} (\frac35 z)^2 + e \mu p^3$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        b: see above.
        c: see above; with e set by the hydrogen atom.
        e: see above.
        kappa: bound of F - 1.
        mu: gradient coefficient at large s.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Tao, Perdew, Staroverov and Scuseria, Phys. Rev. Lett. 91, 146401 (2003), eqs. (5) to (10).
    """
    sqrt_e = jnp.sqrt(e)

    def factor(p, alpha):
        tau = alpha + 5 / 3 * p
        z = _over_tau(5 / 3 * p, tau)
        z2 = z * z
        q = 9 / 20 * (alpha - 1) / jnp.sqrt(1 + b * alpha * (alpha - 1)) + 2 / 3 * p
        root = 3 / 5 * z * jnp.sqrt((1 + tau * tau) / 2)  # p = 3 z tau / 5: no root of a sum that may vanish
        x = (_MU_GE + c * z2 / ((1 + z2) * (1 + z2))) * p + 146 / 2025 * q * q - 73 / 405 * q * root
        x = x + _MU_GE * _MU_GE / kappa * p * p + 2 * sqrt_e * _MU_GE * 9 / 25 * z2 + e * mu * p * p * p
        x = x / ((1 + sqrt_e * p) * (1 + sqrt_e * p))
        return 1 + kappa * x / (kappa + x)

    return enhanced(factor, rho_s, sigma, tau_s)


def _one_channel(rho: Float[Array, "..."], sigma: Float[Array, "..."], beta) -> Float[Array, "..."]:
    """PBE correlation per electron (hartree) of the density of one spin alone; zero where there is none."""
    present, rho = guarded(rho)
    cbrt = jnp.cbrt(rho)
    spin = polarization(jnp.ones(()), jnp.zeros(()), jnp.ones(()))
    n = Density(present, rho, cbrt, RS / cbrt, spin)
    sigma = jnp.where(sigma >= 0, sigma, 0.0)
    energy = pbe.epsilon_c(n, sigma, pw92.epsilon_polarized(n.rs, pw92.PRECISE), beta, pbe.GAMMA)
    return jnp.where(present, energy, 0.0)


def _spin_coefficient(n: Density, sigma: Channels) -> Float[Array, "..."] | float:
    r"""$C(\zeta, \xi)$ of eqs. (13) and (14), $\xi = |\nabla\zeta| / 2 (3\pi^2 \rho)^{1/3}$ and $|\nabla\zeta|^2 \ge 0$."""
    spin = n.polarization
    if spin is None:
        return 0.53
    mixed = spin.plus * spin.minus > POLARIZATION_THRESHOLD  # else C is multiplied by zero, but its slope diverges
    plus, minus = jnp.where(mixed, spin.plus, 1.0), jnp.where(mixed, spin.minus, 1.0)
    plus43, minus43 = plus * jnp.cbrt(plus), minus * jnp.cbrt(minus)
    grad_zeta2 = minus * minus * sigma[0] - 2 * plus * minus * sigma[1] + plus * plus * sigma[2]
    xi2 = jnp.where(grad_zeta2 >= 0, grad_zeta2, 0.0) / (4 * (3 * np.pi**2) ** (2 / 3) * (n.rho * n.cbrt) ** 2)
    ratio = plus43 * minus43 / (plus43 * minus43 + xi2 * (plus43 + minus43) / 2)
    ratio = jnp.where(mixed, ratio, 0.0)
    c0 = 0.53 + spin.zeta2 * (0.87 + spin.zeta2 * (0.50 + spin.zeta2 * 2.26))
    return c0 * ratio**4


def mgga_c_tpss(
    rho_s: Channels,
    sigma: Channels,
    tau_s: Channels,
    beta,
    d,
) -> Float[Array, "..."]:
    r"""TPSS correlation energy density, $\rho \epsilon (1 + d \epsilon z^3)$.

    $\epsilon = \epsilon^{PBE} (1 + C z^2) - (1 + C) z^2 \sum_s (\rho_s/\rho) \tilde\epsilon_s$, where
    $\tilde\epsilon_s$ is the larger of $\epsilon^{PBE}$ and that of the density of spin s alone, $z = \tau_W / \tau$ and
    $C = (0.53 + 0.87 \zeta^2 + 0.50 \zeta^4 + 2.26 \zeta^6)
    \{1 + \xi^2 [(1+\zeta)^{-4/3} + (1-\zeta)^{-4/3}] / 2\}^{-4}$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        tau_s: kinetic energy densities (total, or up and down), hartree/bohr^3.
        beta: gradient coefficient of the PBE correlation, hartree.
        d: coefficient of the second order, hartree^-1.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Tao, Perdew, Staroverov and Scuseria, Phys. Rev. Lett. 91, 146401 (2003), eqs. (11) to (14).
    """
    n = density(rho_s)
    v = iso_orbital(n, rho_s, sigma, tau_s)
    pbe_c = pbe.epsilon_c(n, v.sigma, pw92.epsilon_c(n.rs, n.polarization, pw92.PRECISE), beta, pbe.GAMMA)
    if n.polarization is None:
        alone = _one_channel(n.rho / 2, v.sigma / 4, beta)
        own = jnp.where(alone >= pbe_c, alone, pbe_c)
    else:
        alone = _one_channel(jnp.stack(rho_s), jnp.stack(v.sigma_s[::2]), beta)
        fractions = jnp.stack([n.polarization.plus, n.polarization.minus]) / 2
        own = jnp.sum(fractions * jnp.where(alone >= pbe_c, alone, pbe_c), axis=0)
    z = _over_tau(5 / 3 * v.s2, v.tau)
    z2 = z * z
    c = _spin_coefficient(n, v.sigma_s)
    epsilon = pbe_c * (1 + c * z2) - (1 + c) * z2 * own
    return jnp.where(n.present, n.rho * epsilon * (1 + d * epsilon * z2 * z), 0.0)
