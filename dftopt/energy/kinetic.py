"""Kinetic energy of plane-wave orbitals."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float


def kinetic(psi: Complex[Array, "bands npw"], half_q2: Float[Array, " npw"]) -> Float[Array, " bands"]:
    r"""Expectation value $\langle\psi|-\nabla^2/2|\psi\rangle = \sum_G |c_G|^2 |k+G|^2/2$ of each band.

    Args:
        psi: coefficients.
        half_q2: $|k+G|^2/2$ in hartree, zero on padding.

    Returns:
        Hartree per band.
    """
    return jnp.sum((psi.real**2 + psi.imag**2) * half_q2, axis=-1)
