"""Electrostatic energy of point ions in a neutralizing background."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from dftopt.atoms.structure import reciprocal
from dftopt.bases.grid import lattice_points
from dftopt.energy.hartree import coulomb_kernel

_DECAY = 6.3  # erfc(6.3) = 5e-19 and exp(-6.3^2) = 6e-18: both sums stop below roundoff, room for strain included


@dataclass(frozen=True, eq=False)
class EwaldSums:
    """Static part of the sums: splitting parameter (bohr^-1), lattice vectors and reciprocal vectors (integers)."""

    splitting: float
    R: np.ndarray
    G: np.ndarray


def ewald_sums(cell: np.ndarray) -> EwaldSums:
    """Choose the splitting and the vectors that must be summed for a cell (rows, bohr)."""
    splitting = float(np.sqrt(np.pi) / abs(np.linalg.det(cell)) ** (1 / 3))
    reach = _DECAY / splitting + 0.5 * np.linalg.norm(cell, axis=1).sum()  # pair vectors are wrapped into half a cell
    return EwaldSums(splitting, lattice_points(cell, reach), lattice_points(reciprocal(cell), 2 * splitting * _DECAY))


def ewald(
    frac: Float[Array, "atoms 3"], charges: Float[Array, " atoms"], cell: Float[Array, "3 3"], sums: EwaldSums
) -> Float[Array, ""]:
    r"""Ewald energy, independent of the splitting $\eta$.

    $E = \frac12 \sum_{ijR}' Z_i Z_j \frac{\mathrm{erfc}(\eta r)}{r}
    + \frac{1}{2V} \sum_G v(G) |S(G)|^2 e^{-G^2/4\eta^2}
    - \frac{\eta}{\sqrt\pi} \sum_i Z_i^2 - \frac{\pi}{2 V \eta^2} (\sum_i Z_i)^2$.

    Args:
        frac: fractional positions.
        charges: ionic charges.
        cell: lattice vectors as rows, bohr.
        sums: from `ewald_sums` of about the same cell.

    Returns:
        Energy in hartree.

    References:
        Ewald, Ann. Phys. 369, 253 (1921).
    """
    eta = sums.splitting
    volume = jnp.abs(jnp.linalg.det(cell))
    d = frac[:, None] - frac[None]
    d = d - jnp.round(d)
    r2 = jnp.sum(((d[:, :, None] + sums.R) @ cell) ** 2, axis=-1)
    itself = jnp.eye(len(frac), dtype=bool)[:, :, None] & jnp.all(jnp.asarray(sums.R) == 0, axis=1)
    r = jnp.sqrt(jnp.where(itself, 1.0, r2))
    real = 0.5 * jnp.einsum("i,j,ijR->", charges, charges, jnp.where(itself, 0.0, erfc(eta * r) / r))
    G2 = jnp.sum((sums.G @ (2 * jnp.pi * jnp.linalg.inv(cell).T)) ** 2, axis=1)
    S = jnp.exp(2j * jnp.pi * (sums.G @ frac.T)) @ charges
    recip = 0.5 / volume * jnp.sum(coulomb_kernel(G2) * (S.real**2 + S.imag**2) * jnp.exp(-G2 / (4 * eta**2)))
    total = jnp.sum(charges)
    return real + recip - eta / jnp.sqrt(jnp.pi) * jnp.sum(charges**2) - jnp.pi * total**2 / (2 * volume * eta**2)
