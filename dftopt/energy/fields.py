"""From sums over orbitals to the fields on the grid that the energy of the density needs.

All forward transforms are one call, and so are all inverse ones: transforms that could run at the same time wait for
each other's threads in XLA's FFT on a CPU, for ever where all threads wait.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from dftopt.energy.prepared import Prepared

_SPACE = (-3, -2, -1)


class Fields(NamedTuple):
    """What potentials and functionals see, per spin channel.

    Attributes:
        rho_G: coefficients of the valence density, electrons bohr^-3.
        rho: density on the grid, with half the core density of the core correction in each spin channel.
        gradient: its gradient, bohr^-4; None for LDA.
        tau: kinetic energy density of the valence, hartree bohr^-3; None but for meta-GGAs.
    """

    rho_G: Complex[Array, "s n1 n2 h"]
    rho: Float[Array, "s n1 n2 n3"]
    gradient: Float[Array, "s 3 n1 n2 n3"] | None
    tau: Float[Array, "s n1 n2 n3"] | None


def coefficients(summed: Float[Array, "s *fields"], prepared: Prepared) -> Complex[Array, "s *coefficients"]:
    r"""Fourier coefficients of sums over orbitals such as $\sum f |\psi(r)|^2$, per volume, averaged over the space group.

    Args:
        summed: (s, n1, n2, n3), or (s, 2, n1, n2, n3) with the kinetic energy density, from `orbital_terms`.
        prepared: the prepared arrays.
    """
    n = prepared.fft[0] * prepared.fft[1] * prepared.fft[2]
    field_G = jnp.fft.rfftn(summed, axes=_SPACE) / (n * prepared.volume)
    if prepared.symmetrizer is None:
        return field_G
    flat = field_G.reshape(-1, *field_G.shape[-3:])
    return jax.vmap(prepared.symmetrizer)(flat).reshape(field_G.shape)


def to_real(field_G: Complex[Array, "m n1 n2 h"], fft: tuple[int, int, int]) -> Float[Array, "m n1 n2 n3"]:
    """Fields on the grid from their coefficients."""
    return jnp.fft.irfftn(field_G, s=fft, axes=_SPACE) * (fft[0] * fft[1] * fft[2])


def fields(summed: Float[Array, "s *fields"], prepared: Prepared) -> Fields:
    """See `Fields`.

    References:
        Louie, Froyen, Cohen, Phys. Rev. B 26, 1738 (1982): the core density in exchange and correlation.
    """
    ns = len(summed)
    field_G = coefficients(summed, prepared)
    rho_G, tau_G = (field_G, None) if summed.ndim == 4 else (field_G[:, 0], field_G[:, 1])
    with_core = rho_G if prepared.core is None else rho_G + prepared.core / ns
    as_given = prepared.symmetrizer is None and prepared.core is None
    wanted = [] if as_given else [with_core]
    if prepared.G is not None:
        wanted.append((1j * prepared.G * with_core[:, None]).reshape(-1, *with_core.shape[1:]))
    if tau_G is not None:
        wanted.append(tau_G)
    real = to_real(jnp.concatenate(wanted), prepared.fft) if wanted else jnp.zeros((0, *prepared.fft))
    given = summed if summed.ndim == 4 else summed[:, 0]
    rho, real = (given / prepared.volume, real) if as_given else (real[:ns], real[ns:])
    gradient = None if prepared.G is None else real[: 3 * ns].reshape(ns, 3, *prepared.fft)
    return Fields(rho_G, rho, gradient, None if tau_G is None else real[-ns:])


def density(summed: Float[Array, "s *fields"], prepared: Prepared) -> Float[Array, "s n1 n2 n3"]:
    """Valence density on the grid, electrons bohr^-3."""
    rho = summed if summed.ndim == 4 else summed[:, 0]
    if prepared.symmetrizer is None:
        return rho / prepared.volume
    return to_real(coefficients(rho, prepared), prepared.fft)
