"""Perdew-Burke-Ernzerhof generalized gradient approximation and its reparametrizations.

A further member of the family is one more entry in `EXCHANGE` or `CORRELATION`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc import pw92
from dftopt.xc.enhancement import enhanced
from dftopt.xc.variables import Channels, Density, density, total_sigma

GAMMA = (1 - np.log(2)) / np.pi**2

EXCHANGE = {
    "gga_x_pbe": {"kappa": 0.804, "mu": 0.2195149727645171},
    "gga_x_pbe_sol": {"kappa": 0.804, "mu": 10 / 81},
    "gga_x_pbe_r": {"kappa": 1.245, "mu": 0.2195149727645171},
}
"""PBE: Phys. Rev. Lett. 77, 3865 (1996), eq. (12) ff.; PBEsol: Phys. Rev. Lett. 100, 136406 (2008); revPBE: Zhang and
Yang, Phys. Rev. Lett. 80, 890 (1998)."""

CORRELATION = {
    "gga_c_pbe": {"beta": 0.06672455060314922, "gamma": float(GAMMA)},
    "gga_c_pbe_sol": {"beta": 0.046, "gamma": float(GAMMA)},
}
"""The same references."""

_T2 = np.pi / (16 * (3 * np.pi**2) ** (1 / 3))


def exchange(rho_s: Channels, sigma: Channels, kappa, mu):
    r"""PBE exchange energy density.

    $e_x = e_x^{LDA}(\rho) F_x(s)$, $F_x = 1 + \kappa - \kappa / (1 + \mu s^2 / \kappa)$,
    $s^2 = \sigma / [4 (3\pi^2)^{2/3} \rho^{8/3}]$, spin-scaled.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        kappa: bound of the enhancement; F -> 1 + kappa at large s.
        mu: gradient coefficient; F -> 1 + mu s^2 at small s.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew, Burke and Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996), eqs. (10) and (14).
    """

    def factor(s2):
        mu_s2 = mu * s2
        return 1 + kappa * mu_s2 / (kappa + mu_s2)  # equal to eq. (14), without its cancellation at small s

    return enhanced(factor, rho_s, sigma)


def t2_times_phi(n: Density, sigma: Float[Array, "..."], power: int) -> Float[Array, "..."]:
    r"""$\phi^p t^2$ with $t^2 = \pi\sigma / [16 (3\pi^2)^{1/3} \phi^2 \rho^{7/3}]$ and sigma of the total density."""
    t2 = _T2 * sigma / (n.rho * n.rho * n.cbrt)
    return t2 if n.polarization is None else t2 * n.polarization.phi ** (power - 2)


def epsilon_c(n: Density, sigma: Float[Array, "..."], uniform: Float[Array, "..."], beta, gamma):
    r"""$\epsilon_c + H$ per electron (hartree) of the uniform gas's energy and the squared gradient sigma (bohr^-8)."""
    gamma_phi3 = gamma if n.polarization is None else gamma * n.polarization.phi**3
    m = jnp.expm1(-uniform / gamma_phi3)
    x = beta / gamma * t2_times_phi(n, sigma, 0) / m
    return gamma_phi3 * jnp.log1p(-m / ((1 + m) * (1 + x + x * x)))


def correlation(rho_s: Channels, sigma: Channels, beta, gamma):
    r"""PBE correlation energy density.

    $e_c = \rho (\epsilon_c + H)$ with $H = \gamma\phi^3 \ln\{1 + (\beta/\gamma) t^2 (1 + x) / (1 + x + x^2)\}$,
    $x = A t^2$, $A = (\beta/\gamma) / M$, $M = \exp(-\epsilon_c / \gamma\phi^3) - 1$ and
    $t^2 = \pi\sigma / [16 (3\pi^2)^{1/3} \phi^2 \rho^{7/3}]$. It is evaluated as the identical
    $\epsilon_c + H = \gamma\phi^3 \ln\{1 - M / [(1 + M)(1 + x + x^2)]\}$:
    in the first form $\epsilon_c$ and $H$ cancel at large t.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        beta: gradient coefficient of the slowly varying limit, hartree.
        gamma: coefficient of the high-density limit, hartree.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew, Burke and Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996), eqs. (3), (7) and (8).
    """
    n = density(rho_s)
    uniform = pw92.epsilon_c(n.rs, n.polarization, pw92.PRECISE)
    return jnp.where(n.present, n.rho * epsilon_c(n, total_sigma(sigma), uniform, beta, gamma), 0.0)
