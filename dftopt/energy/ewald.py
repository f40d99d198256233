"""Electrostatic energy of point ions: in a neutralizing background, or alone where the interaction is cut."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from dftopt.atoms.structure import reciprocal
from dftopt.atoms.vacuum import Vacuum
from dftopt.bases.grid import lattice_points
from dftopt.energy.coulomb import PERIODIC, Coulomb

_DECAY = 6.3  # erfc(6.3) = 5e-19 and exp(-6.3^2) = 6e-18: both sums stop below roundoff, room for strain included


@dataclass(frozen=True, eq=False)
class EwaldSums:
    """Static part of the sums.

    Attributes:
        splitting: eta, bohr^-1.
        R: lattice vectors (integers) of the copies of the cell.
        G: reciprocal vectors (integers).
        shifts: (atoms, 3) integers that make a molecule or slab whole; zero along repeated axes.
        wrap: 1 along repeated axes, where pair vectors are taken to the nearest copy, else 0.
    """

    splitting: float
    R: np.ndarray
    G: np.ndarray
    shifts: np.ndarray | float = 0.0
    wrap: np.ndarray | float = 1.0


def ewald_sums(cell: np.ndarray, vacuum: Vacuum | None = None) -> EwaldSums:
    """Choose the splitting and the vectors that must be summed for a cell (rows, bohr).

    With the interaction cut at z = R between slabs of thickness D, the smooth part must have ended at R - D.
    """
    splitting = float(np.sqrt(np.pi) / abs(np.linalg.det(cell)) ** (1 / 3))
    if vacuum is None or not any(vacuum.isolated):
        shifts, wrap = np.zeros((1, 3)), np.ones(3)
    else:
        shifts, wrap = vacuum.shifts.astype(float), np.array(vacuum.repeated, float)
        if vacuum.coulomb == "0d":
            return EwaldSums(splitting, np.zeros((1, 3), int), np.zeros((1, 3), int), shifts, wrap)
        splitting = max(splitting, _DECAY / (vacuum.radius - vacuum.extent))
    reach = _DECAY / splitting + 0.5 * np.linalg.norm(cell, axis=1).sum()  # pair vectors are wrapped into half a cell
    R = lattice_points(cell, reach)
    R = R[np.all((R == 0) | (wrap > 0), axis=1)]
    return EwaldSums(splitting, R, lattice_points(reciprocal(cell), 2 * splitting * _DECAY), shifts, wrap)


def ewald(
    frac: Float[Array, "atoms 3"],
    charges: Float[Array, " atoms"],
    cell: Float[Array, "3 3"],
    sums: EwaldSums,
    coulomb: Coulomb = PERIODIC,
) -> Float[Array, ""]:
    r"""Energy of point charges, independent of the splitting $\eta$.

    $E = \frac12 \sum_{ijR}' Z_i Z_j \frac{\mathrm{erfc}(\eta r)}{r}
    + \frac{1}{2V} \sum_G v(G) |S(G)|^2 e^{-G^2/4\eta^2}
    - \frac{\eta}{\sqrt\pi} \sum_i Z_i^2 - \frac{\pi}{2 V \eta^2} (\sum_i Z_i)^2$.

    For slabs v(G) is the kernel that is cut between them, R runs over the plane, and the last term, which belongs to the
    background, is absent; the result is that of a two-dimensional Ewald sum, a charged plane having the potential
    $-2\pi\sigma|z|$. For molecules the sum is over pairs, $\sum_{i<j} Z_i Z_j / r$.

    Args:
        frac: fractional positions.
        charges: ionic charges.
        cell: lattice vectors as rows, bohr.
        sums: from `ewald_sums` of about the same cell.
        coulomb: the interaction.

    Returns:
        Energy in hartree.

    References:
        Ewald, Ann. Phys. 369, 253 (1921); Sohier, Calandra, Mauri, Phys. Rev. B 96, 075448 (2017), appendix (slabs).
    """
    frac = frac + sums.shifts
    d = frac[:, None] - frac[None]
    d = d - jnp.round(d) * sums.wrap
    if coulomb.kind == "0d":
        other = ~jnp.eye(len(frac), dtype=bool)
        r = jnp.sqrt(jnp.where(other, jnp.sum((d @ cell) ** 2, axis=-1), 1.0))
        return 0.5 * jnp.einsum("i,j,ij->", charges, charges, jnp.where(other, 1 / r, 0.0))
    eta = sums.splitting
    volume = jnp.abs(jnp.linalg.det(cell))
    r2 = jnp.sum(((d[:, :, None] + sums.R) @ cell) ** 2, axis=-1)
    itself = jnp.eye(len(frac), dtype=bool)[:, :, None] & jnp.all(jnp.asarray(sums.R) == 0, axis=1)
    r = jnp.sqrt(jnp.where(itself, 1.0, r2))
    real = 0.5 * jnp.einsum("i,j,ijR->", charges, charges, jnp.where(itself, 0.0, erfc(eta * r) / r))
    G = sums.G @ (2 * jnp.pi * jnp.linalg.inv(cell).T)
    kernel = coulomb.kernel(G, cell) * jnp.exp(-jnp.sum(G**2, axis=-1) / (4 * eta**2))
    S = jnp.exp(2j * jnp.pi * (sums.G @ frac.T)) @ charges
    total = (
        real + 0.5 / volume * jnp.sum(kernel * (S.real**2 + S.imag**2)) - eta / jnp.sqrt(jnp.pi) * jnp.sum(charges**2)
    )
    return total if coulomb.kind == "2d" else total - jnp.pi * jnp.sum(charges) ** 2 / (2 * volume * eta**2)


def image_energy(cell: np.ndarray, charge: float) -> float:
    r"""Energy by which the copies of a charge in their background lower its energy, hartree (negative).

    That of a lattice of point charges, $-q^2 \alpha_M / 2L$ in a cube, for any cell: the leading term of Makov and
    Payne. A charge in a medium of dielectric constant $\epsilon$ feels $1/\epsilon$ of it.

    References:
        Makov, Payne, Phys. Rev. B 51, 4014 (1995); Leslie, Gillan, J. Phys. C 18, 973 (1985).
    """
    sums = ewald_sums(np.asarray(cell))
    energy = jax.jit(lambda q, a: ewald(jnp.zeros((1, 3)), q, a, sums))
    return float(energy(np.full(1, float(charge)), np.asarray(cell)))
