"""Exchange-correlation energy of a density on a grid."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dftopt.xc import Functional

FLOOR = 1e-14  # electrons per bohr^3 and spin, where there are electrons of the other spin


def floored(rho: Float[Array, "2 n1 n2 n3"], gradient, tau):
    """Spin fields as the functional sees them: a channel that is empty where the other is not counts as 1e-14, uniform.

    The potential of an empty channel goes as the cube root of its density: that of roundoff (1e-17) is 1e-6 hartree, and
    gradients of roundoff make it arbitrary. ABINIT has the same floor. Values change, derivatives pass: the potential is
    that of the floored fields. (For PBE's correlation it grows as the density to the power -1/3.)
    """
    empty = (rho < FLOOR) & (jnp.sum(rho, axis=0) > 100 * FLOOR)
    rho = rho + jax.lax.stop_gradient(jnp.where(empty, FLOOR - rho, 0.0))
    if gradient is not None:
        gradient = gradient - jax.lax.stop_gradient(jnp.where(empty[:, None], gradient, 0.0))
    if tau is not None:
        uniform = 0.3 * (6 * jnp.pi**2) ** (2 / 3) * FLOOR ** (5 / 3)
        tau = tau + jax.lax.stop_gradient(jnp.where(empty, uniform - tau, 0.0))
    return rho, gradient, tau


def exchange_correlation(
    rho: Float[Array, "s n1 n2 n3"],
    gradient: Float[Array, "s 3 n1 n2 n3"] | None,
    tau: Float[Array, "s n1 n2 n3"] | None,
    volume: Float[Array, ""],
    functional: Functional,
    parameters: dict,
) -> Float[Array, ""]:
    r"""$E_{xc} = \int e(\rho, |\nabla\rho|^2, \tau) dr$ as a sum over the grid.

    The sum is not translation invariant: it changes as the atoms move against the grid by an amount that vanishes
    with a finer grid.

    Args:
        rho: density per spin channel, electrons bohr^-3.
        gradient: its gradient, bohr^-4; needed by gradient corrections only.
        tau: kinetic energy density per spin channel, hartree bohr^-3; needed by meta-GGAs only.
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
    if len(rho) == 2:
        rho, gradient, tau = floored(rho, gradient, tau)
    if gradient is not None:
        pairs = [(0, 0)] if len(rho) == 1 else [(0, 0), (0, 1), (1, 1)]
        sigma = jnp.stack([jnp.sum(gradient[a] * gradient[b], axis=0) for a, b in pairs])
    e = functional.energy_density(rho, sigma, tau, parameters=parameters)
    return volume / (fft[0] * fft[1] * fft[2]) * jnp.sum(e)
