"""Exchange factors that share the gradient coefficient of PBE: RPBE of Hammer, Hansen and Norskov, and Wu-Cohen."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc import pbe
from dftopt.xc.enhancement import enhanced
from dftopt.xc.variables import Channels

RPBE = pbe.EXCHANGE["gga_x_pbe"]
WU_COHEN = pbe.EXCHANGE["gga_x_pbe"]

_MU_GE = 10 / 81  # second order of the slowly varying gas


def gga_x_rpbe(rho_s: Channels, sigma: Channels, kappa, mu) -> Float[Array, "..."]:
    r"""RPBE exchange energy density, $F_x = 1 + \kappa (1 - e^{-\mu s^2 / \kappa})$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        kappa: bound of the enhancement; F -> 1 + kappa at large s.
        mu: gradient coefficient; F -> 1 + mu s^2 at small s.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Hammer, Hansen and Norskov, Phys. Rev. B 59, 7413 (1999), eq. (15).
    """
    return enhanced(lambda s2: 1 - kappa * jnp.expm1(-mu / kappa * s2), rho_s, sigma)


def gga_x_wc(rho_s: Channels, sigma: Channels, kappa, mu) -> Float[Array, "..."]:
    r"""Wu-Cohen exchange energy density.

    $F_x = 1 + \kappa - \kappa / (1 + x / \kappa)$ with
    $x = \frac{10}{81} s^2 + (\mu - \frac{10}{81}) s^2 e^{-s^2} + \ln(1 + c s^4)$ and
    $c = \frac{146}{2025} \frac49 - \frac{73}{405} \frac23 + \mu - \frac{10}{81}$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        kappa: bound of the enhancement; F -> 1 + kappa at large s.
        mu: gradient coefficient; F -> 1 + mu s^2 at small s.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Wu and Cohen, Phys. Rev. B 73, 235116 (2006), eqs. (8) and (9); c with the digits of Tran, Laskowski, Blaha and
        Schwarz, Phys. Rev. B 75, 115131 (2007).
    """
    c = 146 / 2025 * (4 / 9) - 73 / 405 * (2 / 3) + (mu - _MU_GE)

    def factor(s2):
        x = s2 * (_MU_GE + (mu - _MU_GE) * jnp.exp(-s2)) + jnp.log1p(c * s2 * s2)
        return 1 + kappa * x / (kappa + x)

    return enhanced(factor, rho_s, sigma)
