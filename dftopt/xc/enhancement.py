"""Exchange as that of the uniform gas times an enhancement factor of the reduced gradient."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc.slater import EXCHANGE_CONSTANT
from dftopt.xc.variables import guarded, spin_scaled

S2 = 1 / (4 * (3 * np.pi**2) ** (2 / 3))
"""s^2 = S2 sigma / rho^(8/3) of an unpolarized density."""


def enhanced(
    factor: Callable[[Float[Array, "..."]], Float[Array, "..."]],
    rho_s: Float[Array, "spin ..."],
    sigma: Float[Array, "gradient ..."],
) -> Float[Array, "..."]:
    r"""Spin-scaled exchange energy density of a GGA.

    $e_x = e_x^{LDA}(\rho) F(s^2)$, $s^2 = \sigma / [4 (3\pi^2)^{2/3} \rho^{8/3}]$.

    Args:
        factor: F as a function of s^2.
        rho_s: total density, or up and down densities, bohr^-3.
        sigma: squared gradients (total, or uu, ud, dd), bohr^-8.

    Returns:
        Energy density, hartree/bohr^3; zero where there is no density.
    """

    def unpolarized(rho, sigma):
        present, rho = guarded(rho)
        rho43 = rho * jnp.cbrt(rho)
        return jnp.where(present, EXCHANGE_CONSTANT * rho43 * factor(S2 * sigma / (rho43 * rho43)), 0.0)

    return spin_scaled(unpolarized, rho_s, sigma)


def x_arcsinh_x(x2: Float[Array, "..."], scale: float | Float[Array, ""] = 1.0) -> Float[Array, "..."]:
    """The product x arcsinh(scale x) as a function of x^2 >= 0; smooth at zero, where the derivative of the root diverges."""
    y2 = scale * scale * x2
    small = y2 < 1e-4
    y = jnp.sqrt(jnp.where(small, 1.0, y2))
    series = 1 + y2 * (-1 / 6 + y2 * (3 / 40 + y2 * (-15 / 336 + y2 * (105 / 3456))))
    return scale * x2 * jnp.where(small, series, jnp.arcsinh(y) / y)
