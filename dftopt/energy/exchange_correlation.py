"""Exchange-correlation energy of a density on a grid."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from dftopt.xc import Functional


def gradient(
    rho_G: Complex[Array, "s n1 n2 h"], G: Float[Array, "3 n1 n2 h"], fft: tuple[int, ...]
) -> Float[Array, "s 3 n1 n2 n3"]:
    """Gradient of the density on the grid, bohr^-4, through its Fourier coefficients."""
    n = fft[0] * fft[1] * fft[2]
    return jnp.fft.irfftn(1j * G * rho_G[:, None], s=fft, axes=(-3, -2, -1)) * n


def exchange_correlation(
    rho: Float[Array, "s n1 n2 n3"],
    rho_G: Complex[Array, "s n1 n2 h"],
    G: Float[Array, "3 n1 n2 h"] | None,
    volume: Float[Array, ""],
    functional: Functional,
    parameters: dict,
) -> Float[Array, ""]:
    r"""$E_{xc} = \int e(\rho, |\nabla\rho|^2) dr$ as a sum over the grid.

    The sum is not translation invariant: it changes as the atoms move against the grid by an amount that vanishes
    with a finer grid.

    Args:
        rho: density per spin channel, electrons bohr^-3.
        rho_G: its Fourier coefficients.
        G: Cartesian reciprocal vectors of the half grid, bohr^-1; needed by gradient corrections only.
        volume: cell volume, bohr^3.
        functional: which energy density.
        parameters: its adjustable numbers.

    Returns:
        Energy in hartree.

    References:
        White and Bird, Phys. Rev. B 50, 4954 (1994): the gradient correction as a function of the grid density.
    """
    if functional.kind == "none":
        return jnp.zeros(())
    fft = rho.shape[1:]
    sigma = None
    if functional.kind == "gga" and G is not None:
        g = gradient(rho_G, G, fft)
        pairs = [(0, 0)] if len(rho) == 1 else [(0, 0), (0, 1), (1, 1)]
        sigma = jnp.stack([jnp.sum(g[a] * g[b], axis=0) for a, b in pairs])
    e = functional.energy_density(rho, sigma, parameters=parameters)
    return volume / (fft[0] * fft[1] * fft[2]) * jnp.sum(e)
