"""Slater exchange of the uniform electron gas."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.xc.variables import Channels, guarded, spin_scaled

EXCHANGE_CONSTANT = -0.75 * (3 / np.pi) ** (1 / 3)


def _unpolarized(rho: Float[Array, "..."]) -> Float[Array, "..."]:
    present, rho = guarded(rho)
    return jnp.where(present, EXCHANGE_CONSTANT * rho * jnp.cbrt(rho), 0.0)


def lda_x(rho_s: Channels) -> Float[Array, "..."]:
    r"""Exchange energy density of the uniform gas.

    $e_x = -\frac34 (3/\pi)^{1/3} \rho^{4/3}$, spin-scaled.

    Args:
        rho_s: total density, or up and down densities, bohr^-3.

    Returns:
        Energy density, hartree/bohr^3.

    References:
        Dirac, Proc. Cambridge Philos. Soc. 26, 376 (1930); Slater, Phys. Rev. 81, 385 (1951).
    """
    return spin_scaled(_unpolarized, rho_s)
