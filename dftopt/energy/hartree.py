"""Hartree energy of a periodic density, and the Coulomb kernel."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def coulomb_kernel(G2: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$v(G) = 4\pi/G^2$, hartree bohr^3 / e^2, and 0 at G = 0 (neutralizing background).

    The same kernel serves the Hartree energy, the long-ranged part of the local potential and the Ewald sum.
    """
    return jnp.where(G2 > 0, 4 * jnp.pi / jnp.where(G2 > 0, G2, 1.0), 0.0)  # double where: finite gradient at G = 0


def hartree(
    rho_G: Complex[Array, "n1 n2 h"],
    kernel: Float[Array, "n1 n2 h"],
    multiplicity: Float[Array, " h"],
    volume: Float[Array, ""],
) -> Float[Array, ""]:
    r"""Electrostatic energy of a density with itself in a neutralizing background.

    $E_H = \frac{V}{2} \sum_G v(G) |\rho_G|^2$ with $\rho_G = V^{-1} \int \rho(r) e^{-iGr} dr$.

    Args:
        rho_G: Fourier coefficients of the density on the half grid of a real transform, bohr^-3.
        kernel: v(G) of the same grid.
        multiplicity: 2 for planes that stand for G and -G, else 1.
        volume: cell volume, bohr^3.

    Returns:
        Energy in hartree.

    References:
        Payne et al., Rev. Mod. Phys. 64, 1045 (1992), section II.
    """
    return 0.5 * volume * jnp.sum(multiplicity * kernel * (rho_G.real**2 + rho_G.imag**2))  # abs()**2: NaN Hessian at 0
