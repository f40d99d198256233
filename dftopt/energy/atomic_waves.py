r"""Bloch sums of atomic orbitals in plane waves."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dftopt.energy.nonlocal_ import solid_harmonics


def shells_of(orbitals_of, species) -> tuple[tuple, tuple]:
    """Radial parts and angular momenta of the atomic orbitals of each species, as `atomic_waves` wants them.

    Args:
        orbitals_of: mapping from element to a sequence of `AtomicOrbital`.
        species: elements in order.
    """
    radial = tuple(tuple((o.exponents, o.fourier_coefficients) for o in orbitals_of[e]) for e in species)
    return radial, tuple(tuple(o.l for o in orbitals_of[e]) for e in species)


def atomic_waves(
    kG: Float[Array, "npw 3"], mask: Float[Array, " npw"], cell, frac, radial, layout, species_of
) -> Complex[Array, "orbitals npw"]:
    r"""Coefficients $(-i)^l q^l Y_{lm}(q) \phi(q) e^{-iq\tau} / \sqrt V$ of all atomic orbitals at one k point.

    Args:
        kG: fractional k + G.
        mask: 1 on plane waves, 0 on padding.
        cell: lattice vectors (rows), bohr.
        frac: fractional positions of the atoms.
        radial: of `shells_of`.
        layout: of `shells_of`, static.
        species_of: index of each atom's species, static.

    Returns:
        By atom, shell, m.
    """
    q = kG @ (2 * jnp.pi * jnp.linalg.inv(cell).T)
    scale = mask / jnp.sqrt(jnp.abs(jnp.linalg.det(cell)))
    q2 = jnp.sum(q**2, axis=-1)
    at_origin = []
    for ls, shells in zip(layout, radial, strict=True):
        rows = [
            (-1j) ** l * solid_harmonics(l, q) * (jnp.exp(-q2[:, None] / (4 * a)) @ c)
            for l, (a, c) in zip(ls, shells, strict=True)
        ]
        at_origin.append(jnp.concatenate(rows) * scale)
    return jnp.concatenate([at_origin[s] * jnp.exp(-2j * np.pi * (kG @ frac[i])) for i, s in enumerate(species_of)])
