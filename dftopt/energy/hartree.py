"""Hartree energy of a density in a box."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def hartree(
    rho_G: Complex[Array, "n1 n2 h"],
    kernel: Float[Array, "n1 n2 h"],
    multiplicity: Float[Array, " h"],
    volume: Float[Array, ""],
) -> Float[Array, ""]:
    r"""Electrostatic energy of a density with itself.

    $E_H = \frac{V}{2} \sum_G v(G) |\rho_G|^2$ with $\rho_G = V^{-1} \int \rho(r) e^{-iGr} dr$. The periodic v is zero at
    G = 0 (a neutralizing background); one that is cut is not, see `energy.coulomb`.

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
