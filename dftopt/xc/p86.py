"""Perdew's 1986 correlation."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc import pz81
from dftopt.xc.variables import Channels, density, total_sigma

PARAMETERS = {"alpha": 0.023266, "beta": 7.389e-6, "gamma": 8.723, "delta": 0.472, "f": 1.745 * 0.11}

_C_X, _C_0 = 0.001667, 0.002568


def gga_c_p86(rho_s: Channels, sigma: Channels, alpha, beta, gamma, delta, f) -> Float[Array, "..."]:
    r"""P86 correlation energy density over the Perdew-Zunger uniform gas.

    $e_c = \rho \epsilon_c + e^{-\Phi} C(r_s) \sigma / [d(\zeta) \rho^{4/3}]$ with
    $C = 0.001667 + (0.002568 + \alpha r_s + \beta r_s^2) / (1 + \gamma r_s + \delta r_s^2 + 10^4 \beta r_s^3)$,
    $\Phi = f [C(0) / C(r_s)] \sigma^{1/2} / \rho^{7/6}$ and $d = \{[(1+\zeta)^{5/3} + (1-\zeta)^{5/3}] / 2\}^{1/2}$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        alpha: see C, hartree/bohr.
        beta: see C, hartree/bohr^2.
        gamma: see C, bohr^-1.
        delta: see C, bohr^-2.
        f: cutoff of the gradient expansion, 1.745 times 0.11.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Perdew, Phys. Rev. B 33, 8822 (1986), eqs. (4) to (9).
    """
    n = density(rho_s)
    total = total_sigma(sigma)
    numerator = _C_0 + n.rs * (alpha + n.rs * beta)
    c = _C_X + numerator / (1 + n.rs * (gamma + n.rs * (delta + n.rs * (1e4 * beta))))
    steep = total > 1e-60  # the root's derivative diverges at zero, where sigma takes care that nothing is lost
    slope = jnp.where(steep, jnp.sqrt(jnp.where(steep, total, 1.0)), 0.0)
    decay = jnp.exp(-f * (_C_X + _C_0) / c * slope / (n.rho * jnp.sqrt(n.cbrt)))
    gradient = decay * c * total / (n.rho * n.cbrt)
    if n.polarization is not None:
        gradient = gradient / jnp.sqrt(n.polarization.ds)
    return jnp.where(n.present, n.rho * pz81.epsilon_c(n.rs, n.polarization) + gradient, 0.0)
