"""Becke's 1988 exchange and its reparametrization for van der Waals functionals."""

import numpy as np
from jaxtyping import Array, Float

from dftopt.xc.enhancement import enhanced, x_arcsinh_x
from dftopt.xc.variables import S2, Channels

EXCHANGE = {
    "gga_x_b88": {"beta": 0.0042, "gamma": 6.0},
    "gga_x_optb88_vdw": {"beta": 0.00336865923905927, "gamma": 6.98131700797731},
}
"""Becke, Phys. Rev. A 38, 3098 (1988); Klimes, Bowler and Michaelides, J. Phys. Condens. Matter 22, 022201 (2010)."""

_CHANNEL_CONSTANT = 1.5 * (3 / (4 * np.pi)) ** (1 / 3)
_X2 = 2 ** (2 / 3) / S2


def exchange(rho_s: Channels, sigma: Channels, beta, gamma) -> Float[Array, "..."]:
    r"""B88 exchange energy density.

    $e_x = e_x^{LDA} - \sum_s \beta \rho_s^{4/3} x_s^2 / (1 + \gamma \beta x_s \sinh^{-1} x_s)$,
    $x_s = |\nabla\rho_s| / \rho_s^{4/3}$.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.
        beta: gradient coefficient, fitted to atoms.
        gamma: 6 gives the right exchange potential energy density of an exponential tail.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Becke, Phys. Rev. A 38, 3098 (1988), eq. (8).
    """

    def factor(s2):
        x2 = _X2 * s2
        return 1 + beta / _CHANNEL_CONSTANT * x2 / (1 + gamma * beta * x_arcsinh_x(x2))

    return enhanced(factor, rho_s, sigma)
