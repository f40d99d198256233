r"""The energy of a molecule whose orbitals are deformed together: $\psi(r) \to |\det dT/dr|^{1/2}\, \psi(T(r))$.

Orthonormality is kept exactly. With $R = T^{-1}$ and j = det dR/ds every term is a sum over quadrature points s of the plain
orbitals: the deformed ones have at R(s), where the weight is w j, the values $j^{-1/2} \psi$ and the gradients
$j^{-1/2} R'^{-T} (\nabla\psi - \frac12 \psi \nabla \ln j)$. Kinetic energy, attraction and Hartree energy are those of the plain orbitals,
exactly, and their change on the grid, so that quadrature matters for the change alone; the change of the Hartree energy comes
from a fit of both densities by `even_tempered` functions, $\frac12 b^T V^{-1} b$ with $b_P = \int v_P n$.

References:
    Petkov, Stoitsov, Kryachko, Int. J. Quantum Chem. 29, 149 (1986); Kryachko, Ludena, Density functional theory: foundations
    reviewed, Phys. Rep. 544, 123 (2014).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.bases import deformation, even_tempered, quadrature
from dftopt.energy import quadrature_xc
from dftopt.energy.free_energy import Energies
from dftopt.energy.molecule import Molecule, prepare
from dftopt.energy.repulsion import hartree_and_potential

TIGHTEST = 0.95  # of |grad u|: beyond it, the map counts as not invertible


class Sums(NamedTuple):
    """Sums over points: of one density matrix, or matrices (..., nao, nao).

    Attributes:
        kinetic: energy, hartree.
        attraction: by the nuclei, hartree.
        charges: integrals with the fitting potentials (P,).
    """

    kinetic: Array
    attraction: Array
    charges: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Deformable:
    """What the energy needs.

    Attributes:
        molecule: integrals, without a grid.
        values: (blocks, nao, 4, p) basis functions and gradients.
        coords: (blocks, p, 3) bohr.
        weights: (blocks, p) bohr^3.
        positions: of the nuclei.
        charges: the same.
        widths: of the map's displacements.
        fit: of the densities.
        plain: sums on the grid without deformation.
    """

    molecule: Molecule
    values: Float[Array, "n nao c p"]
    coords: Float[Array, "n p 3"]
    weights: Float[Array, "n p"]
    positions: Float[Array, "atoms 3"]
    charges: Float[Array, " atoms"]
    widths: Float[Array, " m"]
    fit: even_tempered.Fit
    plain: Sums


def deformable(model, basis, level: int | None = None, highest: int = 4, ratio: float = 2.0, widths=deformation.WIDTHS):
    """Integrals and values on the grid of a basis, or on another level's.

    Args:
        model: the model.
        basis: its `dftopt.Gaussians`.
        level: of the quadrature grid; default the basis set's.
        highest: angular momentum of the fitting functions.
        ratio: of their exponents.
        widths: exponents of the displacements, bohr^-2.
    """
    mol = basis.mol
    grid = basis.points if level is None else quadrature.points(mol, level)
    size = quadrature.block_size(basis.nao, 4)
    number = -(-len(grid.weights) // size)
    more = number * size - len(grid.weights)
    coords = np.concatenate([grid.coords, np.repeat(grid.coords[-1:], more, axis=0)]).reshape(number, size, 3)
    positions, charges = jnp.asarray(mol.atom_coords()), jnp.asarray(mol.atom_charges(), dtype=float)
    blocks = (
        jnp.asarray(np.stack([quadrature.values(mol, c, 1) for c in coords])),
        jnp.asarray(coords),
        jnp.asarray(np.pad(grid.weights, (0, more)).reshape(number, size)),
    )
    fit = even_tempered.fit(even_tempered.functions(mol, highest, ratio))
    return Deformable(
        prepare(model, basis, on_grid=False), *blocks, positions, charges, jnp.asarray(widths, dtype=float), fit,
        _plain(blocks, positions, charges, fit),
    )  # fmt: skip


def _attraction(r, positions, charges):
    distance = jnp.sqrt(jnp.sum((r[:, None] - positions) ** 2, axis=-1))
    return -jnp.sum(charges / distance, axis=1)


@jax.jit
def _plain(blocks, positions, charges, fit: even_tempered.Fit) -> Sums:
    """Sums for every pair of functions; those of a density matrix are products with them."""

    def one(carry, block):
        v, s, w = block
        pairs = v[:, None, 0] * v[None, :, 0] * w
        part = Sums(
            kinetic=0.5 * jnp.einsum("acp,bcp->ab", v[:, 1:], v[:, 1:] * w),
            attraction=pairs @ _attraction(s, positions, charges),
            charges=jnp.einsum("abp,Pp->abP", pairs, even_tempered.potentials(s, positions, fit)),
        )
        return jax.tree.map(jnp.add, carry, part), None

    nao, n = blocks[0].shape[1], fit.root.shape[0]
    zero = Sums(jnp.zeros((nao, nao)), jnp.zeros((nao, nao)), jnp.zeros((nao, nao, n)))
    return jax.lax.scan(one, zero, blocks)[0]


def energies(psi: Float[Array, "s b nao"], w: Float[Array, "s b"], theta: dict, d: Deformable) -> Energies:
    """Energy by component, hartree; NaN where the map is not invertible."""
    m = d.molecule
    density = jnp.einsum("sbi,sb,sbj->ij", psi, w, psi)
    plain = Sums(*(jnp.tensordot(density, x, 2) for x in d.plain))
    blocks = (d.values, d.coords, d.weights)

    @jax.checkpoint
    def one(carry, block):
        values, s, weights = block
        at = deformation.mapped(s, theta, d.positions, d.widths)
        g = deformed(jnp.einsum("sba,acp->sbcp", psi, values), at)
        weights = weights * at.determinant
        rho = jnp.einsum("sb,sbp->p", w, g[:, :, 0] ** 2) * weights
        x = quadrature_xc.fields(g, w, m.functional.kind)
        part = (
            Sums(
                kinetic=0.5 * jnp.einsum("sb,sbcp,p->", w, g[:, :, 1:] ** 2, weights),
                attraction=rho @ _attraction(at.x, d.positions, d.charges),
                charges=even_tempered.potentials(at.x, d.positions, d.fit) @ rho,
            ),
            jnp.sum(weights * quadrature_xc.energy_density(x, m.functional, m.xc)),
        )
        return (jax.tree.map(jnp.add, carry[0], part), jnp.maximum(carry[1], jnp.max(at.stretch))), None

    zero = (jax.tree.map(jnp.zeros_like, plain), jnp.zeros(()))
    ((sums, e_xc), stretch), _ = jax.lax.scan(one, (zero, jnp.zeros(())), blocks)
    change = jax.tree.map(jnp.subtract, sums, plain)
    fitted, changed = d.fit.root.T @ plain.charges, d.fit.root.T @ change.charges
    e_h = hartree_and_potential(density, m.repulsion)[0] + fitted @ changed + 0.5 * changed @ changed
    expectation = lambda matrix: jnp.sum(density * matrix)
    none = jnp.zeros(())
    return Energies(
        kinetic=expectation(m.kinetic) + change.kinetic, local=expectation(m.attraction) + change.attraction, nonlocal_=none,
        hartree=e_h, xc=jnp.where(stretch < TIGHTEST, e_xc, jnp.nan), ewald=m.nuclear, entropy=none, extrapolation=none,
        dispersion=m.dispersion, dipole=none,
    )  # fmt: skip


def deformed(g: Float[Array, "s b c p"], at: deformation.Places) -> Float[Array, "s b c p"]:
    """Values and gradients of orbitals at the images of points, from those of the plain ones at the points."""
    values, gradients = g[:, :, :1], g[:, :, 1:]
    turned = jnp.linalg.inv(at.jacobian)
    moved = jnp.einsum("pji,sbjp->sbip", turned, gradients - 0.5 * values * at.slope.T)
    return jnp.concatenate([values, moved], axis=2) / jnp.sqrt(at.determinant)
