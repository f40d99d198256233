"""Derivatives of integrals in the positions of the nuclei, contracted with density matrices; host side, from PySCF.

All return the derivative of a scalar, (atoms, 3) in hartree/bohr. Basis functions move with their atoms.
"""

import numpy as np
import scipy.linalg
from pyscf import gto
from pyscf.scf import _vhf

AT_ONCE = 2**26  # numbers computed at once


def _by_atom(mol: gto.Mole, per_function: np.ndarray) -> np.ndarray:
    """Sums (atoms, 3) of (3, functions) over the functions of each atom."""
    return np.stack([per_function[:, a:b].sum(axis=1) for *_, a, b in mol.aoslice_by_atom()])


def one_electron(mol: gto.Mole, density: np.ndarray, energy_weighted: np.ndarray) -> np.ndarray:
    r"""$\sum D_{ij}\, d h_{ij} - \sum W_{ij}\, d S_{ij}$, h the kinetic energy, attraction and core potentials.

    Args:
        mol: the molecule.
        density: D (nao, nao) of both spins.
        energy_weighted: W (nao, nao), sum over spins: what keeps the orbitals orthonormal.
    """
    # int1e_ip* are <grad i | . | j>; a function's derivative in its atom is minus its gradient, and either index moves
    bra = -(mol.intor("int1e_ipkin", comp=3) + mol.intor("int1e_ipnuc", comp=3))
    if mol.has_ecp():
        bra -= mol.intor("ECPscalar_ipnuc", comp=3)
    out = 2 * _by_atom(mol, np.einsum("xij,ij->xi", bra, density))
    out -= 2 * _by_atom(mol, -np.einsum("xij,ij->xi", mol.intor("int1e_ipovlp", comp=3), energy_weighted))
    charges = mol.atom_charges()
    cores = set(mol._ecpbas[:, gto.ATOM_OF]) if mol.has_ecp() else set()
    for a in range(mol.natm):  # the potential of each nucleus moves too
        with mol.with_rinv_at_nucleus(a):
            pull = -charges[a] * mol.intor("int1e_iprinv", comp=3)
            if a in cores:
                pull = pull + mol.intor("ECPscalar_iprinv", comp=3)
        out[a] += 2 * np.einsum("xij,ij->x", pull, density)
    return out


def exact_repulsion(mol: gto.Mole, density: np.ndarray) -> np.ndarray:
    r"""$\frac12 \sum D_{ij} D_{kl}\, d(ij|kl)$."""
    j = _vhf.direct_mapdm(
        mol._add_suffix("int2e_ip1"), "s2kl", "lk->s1ij", density, 3, mol._atm, mol._bas, mol._env
    )  # (grad i j | kl) D_kl
    return -2 * _by_atom(mol, np.einsum("xij,ij->xi", np.asarray(j).reshape(3, *density.shape), density))


def fitted_repulsion(mol: gto.Mole, aux: gto.Mole, density: np.ndarray) -> np.ndarray:
    r"""$c^T db - \frac12 c^T dV c$ with $V c = b$: the derivative of $\frac12 b^T V^{-1} b$."""
    whole, n = mol + aux, mol.nbas
    ends = aux.ao_loc_nr()
    step = max(1, AT_ONCE // (3 * mol.nao_nr() ** 2))
    ranges, first = [], 0
    while first < aux.nbas:
        last = first + 1
        while last < aux.nbas and ends[last + 1] - ends[first] <= step:
            last += 1
        ranges.append((first, last))
        first = last
    shells = lambda r: (0, n, 0, n, n + r[0], n + r[1])
    b = np.concatenate([np.einsum("ijp,ij->p", whole.intor("int3c2e", shls_slice=shells(r)), density) for r in ranges])
    c = scipy.linalg.solve(aux.intor("int2c2e"), b, assume_a="pos")
    moved, on_aux = np.zeros((3, mol.nao_nr())), np.zeros((3, aux.nao_nr()))
    for r in ranges:
        part = slice(ends[r[0]], ends[r[1]])
        moved -= 2 * np.einsum(
            "xijp,ij,p->xi", whole.intor("int3c2e_ip1", shls_slice=shells(r)), density, c[part], optimize=True
        )
        on_aux[:, part] -= np.einsum("xijp,ij->xp", whole.intor("int3c2e_ip2", shls_slice=shells(r)), density) * c[part]
    on_aux += np.einsum("xpq,p,q->xp", aux.intor("int2c2e_ip1", comp=3), c, c)
    return _by_atom(mol, moved) + _by_atom(aux, on_aux)


def nuclear_repulsion(mol: gto.Mole) -> np.ndarray:
    """Derivative of the repulsion of the nuclei."""
    z, x = mol.atom_charges(), mol.atom_coords()
    apart = x[:, None] - x
    r = np.linalg.norm(apart, axis=-1) + np.diag(np.full(len(z), np.inf))
    return -np.einsum("ab,abx->ax", np.outer(z, z) / r**3, apart)
