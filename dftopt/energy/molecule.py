r"""The free energy of a molecule in Gaussians: the same scalar as for a crystal, from other integrals.

    A[psi, f] = sum_i g f_i <psi_i| -nabla^2/2 + V_nuc + V_ecp |psi_i> + E_H[D] + E_xc[rho] + E_nn - T S

Orbitals are rows of real coefficients of basis functions, (s, 1, b, nao), with the one k point of something that is not
periodic, so that occupations, smearing and minimizers are those of crystals.
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dftopt.bases import integrals, quadrature
from dftopt.bases.handover import on_device
from dftopt.bases.quadrature import Blocks
from dftopt.energy import quadrature_xc
from dftopt.energy.dispersion import dispersion, dispersion_of
from dftopt.energy.free_energy import Energies
from dftopt.energy.repulsion import Repulsion, hartree_and_potential
from dftopt.xc import Functional


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Molecule:
    """Everything that the free energy of a molecule needs but orbitals and occupations.

    Attributes:
        kinetic, attraction, ecp: one-electron matrices, hartree.
        repulsion: two-electron integrals.
        blocks: values of basis functions on the quadrature grid.
        nuclear, dispersion: repulsion of the nuclei, D3 correction, hartree.
        degeneracy: electrons per full orbital, 2 or 1.
        weights: (1,), of the one k point.
        filling: electrons per reservoir: the total, or those of each spin channel where the magnetization is fixed.
        xc: parameters of the functional.
        functional: which energy density (static).
    """

    kinetic: Float[Array, "nao nao"]
    attraction: Float[Array, "nao nao"]
    ecp: Float[Array, "nao nao"]
    repulsion: Repulsion
    blocks: tuple[Blocks, ...]
    nuclear: Array
    dispersion: Array
    degeneracy: Array
    weights: Array
    filling: Array
    xc: dict
    functional: Functional = field(metadata={"static": True})

    @property
    def devices(self) -> int:
        """A molecule is on one."""
        return 1


def prepare(model, basis, magnetization: float | None = None, on_grid: bool = True) -> Molecule:
    """Integrals, and values on the grid unless told otherwise, from PySCF; the costly part of the start."""
    mol, functional = basis.mol, model.functional
    one = integrals.one_electron(mol)
    if basis.density_fit:
        two = integrals.fitted(mol, integrals.auxiliary(mol, functional.kind))
    else:
        two = integrals.exact(mol)
    filling = np.array([basis.n_electrons])
    if magnetization is not None:
        filling = 0.5 * (filling + magnetization * np.array([1.0, -1.0]))
    d3 = dispersion_of(model, (False, False, False))
    nuclear = nuclear_repulsion(mol.atom_coords(), mol.atom_charges())
    return Molecule(
        kinetic=jnp.asarray(one.kinetic), attraction=jnp.asarray(one.attraction), ecp=jnp.asarray(one.ecp),
        repulsion=Repulsion(
            on_device(two.integrals), jnp.asarray(two.i), jnp.asarray(two.j), None if two.metric is None else jnp.asarray(two.metric)
        ),
        blocks=quadrature.blocks(mol, basis.points, 0 if functional.kind in ("none", "lda") else 1) if on_grid else (),
        nuclear=jnp.asarray(nuclear),
        dispersion=jnp.zeros(()) if d3 is None else dispersion(jnp.asarray(mol.atom_coords()), jnp.eye(3), d3),
        degeneracy=jnp.asarray(2.0 if model.nspin == 1 else 1.0), weights=jnp.ones(1), filling=jnp.asarray(filling),
        xc=jax.tree.map(jnp.asarray, functional.parameters()), functional=functional,
    )  # fmt: skip


def nuclear_repulsion(positions, charges) -> float:
    r"""$\sum_{a<b} Z_a Z_b / |R_a - R_b|$, hartree."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1) + np.diag(np.full(len(charges), np.inf))
    return 0.5 * float(np.sum(np.outer(charges, charges) / apart))


def electron_weights(f: Float[Array, "s 1 b"], m: Molecule) -> Float[Array, "s b"]:
    """Electrons in each orbital."""
    return m.degeneracy * f[:, 0]


def energies_and_hpsi(
    psi: Float[Array, "s 1 b nao"], f: Float[Array, "s 1 b"], m: Molecule, entropy=0.0, extrapolation=0.5
) -> tuple[Energies, Float[Array, "s 1 b nao"], Float[Array, " s+1"]]:
    """Free energy by component, H psi, and integrals of the density on the grid (see `quadrature_xc`)."""
    c, w = psi[:, 0], electron_weights(f, m)
    density = jnp.einsum("sbi,sb,sbj->ij", c, w, c)
    e_h, j = hartree_and_potential(density, m.repulsion)
    e_xc, n, v_psi = quadrature_xc.energy_and_hpsi(c, w, m.blocks, m.functional, m.xc)
    h = m.kinetic + m.attraction + m.ecp + j
    hpsi = jnp.einsum("sbi,ij->sbj", c, h) + v_psi
    expectation = lambda matrix: jnp.sum(density * matrix)
    energies = Energies(
        kinetic=expectation(m.kinetic), local=expectation(m.attraction), nonlocal_=expectation(m.ecp), hartree=e_h, xc=e_xc,
        ewald=m.nuclear, entropy=jnp.asarray(entropy, float), extrapolation=jnp.asarray(extrapolation, float),
        dispersion=m.dispersion, dipole=jnp.zeros(()),
    )  # fmt: skip
    return energies, hpsi[:, None], n


@partial(jax.jit)
def hamiltonian(psi: Float[Array, "s 1 b nao"], f: Float[Array, "s 1 b"], m: Molecule) -> Float[Array, "s nao nao"]:
    """The Kohn-Sham matrix of a set of orbitals in the basis, hartree."""
    c, w = psi[:, 0], electron_weights(f, m)
    _, j = hartree_and_potential(jnp.einsum("sbi,sb,sbj->ij", c, w, c), m.repulsion)
    return m.kinetic + m.attraction + m.ecp + j + quadrature_xc.matrix(c, w, m.blocks, m.functional, m.xc)
