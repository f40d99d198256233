"""Integrals over Gaussians, from PySCF, in the form in which the energy wants them."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
from pyscf import df, gto

from dftopt.bases.handover import empty

NEGLIGIBLE = 1e-12  # products of functions with a smaller prefactor are left out of the fit
SHELLS_AT_ONCE = 2**27  # numbers computed at once


class OneElectron(NamedTuple):
    """Matrices (nao, nao) in hartree: kinetic energy, attraction by the nuclei, effective core potentials."""

    kinetic: np.ndarray
    attraction: np.ndarray
    ecp: np.ndarray


class TwoElectron(NamedTuple):
    """Repulsion of pairs of functions i <= j of the basis.

    Attributes:
        integrals: (pairs, pairs) (ij|kl), or (auxiliary, pairs) (P|ij).
        i, j: (pairs,) the functions of each pair.
        metric: Cholesky factor (auxiliary, auxiliary), lower, of (P|Q); None for exact integrals.
    """

    integrals: np.ndarray
    i: np.ndarray
    j: np.ndarray
    metric: np.ndarray | None


def one_electron(mol: gto.Mole) -> OneElectron:
    """Kinetic energy, nuclear attraction (of the charges that cores leave) and core potentials."""
    ecp = mol.intor("ECPscalar") if mol.has_ecp() else np.zeros((mol.nao_nr(),) * 2)
    return OneElectron(mol.intor_symmetric("int1e_kin"), mol.intor_symmetric("int1e_nuc"), ecp)


def exact(mol: gto.Mole) -> TwoElectron:
    """All (ij|kl), with the symmetry of each pair."""
    i, j = np.tril_indices(mol.nao_nr())
    eri = mol.intor(
        "int2e", aosym="s4", out=empty((len(i), len(i)))
    )  # as fast as unpacking those of eightfold symmetry
    return TwoElectron(eri, i, j, None)


def auxiliary_basis(mol: gto.Mole, kind: str):
    """PySCF's choice of an auxiliary basis for a functional without exact exchange, else one that serves exchange too."""
    pure = {"gga": "PBE", "mgga": "R2SCAN"}.get(kind, "LDA")
    return df.addons.predefined_auxbasis(mol, mol.basis, pure) or df.addons.make_auxbasis(mol)


def auxiliary(mol: gto.Mole, kind: str) -> gto.Mole:
    """The functions of `auxiliary_basis`."""
    return df.addons.make_auxmol(mol, auxiliary_basis(mol, kind))


def fitted_gib(mol: gto.Mole, kind: str) -> float:
    """Memory of `fitted`, with what it computes at once."""
    n = mol.nao_nr()
    pairs = (np.count_nonzero(_overlapping_pairs(mol)) + n) // 2
    whole = auxiliary(mol, kind).nao_nr()
    return 8 * (whole * pairs + min(SHELLS_AT_ONCE, whole * n * (n + 1) // 2)) / 2**30


def fitted(mol: gto.Mole, aux: gto.Mole) -> TwoElectron:
    """All (P|ij) that are not negligible, and the metric."""
    n, naux = mol.nao_nr(), aux.nao_nr()
    i, j = np.tril_indices(n)
    overlapping = _overlapping_pairs(mol)[i, j]
    i, j = i[overlapping], j[overlapping]
    rows = np.flatnonzero(overlapping)
    out = empty((naux, len(rows)))
    whole = mol + aux
    ends = aux.ao_loc_nr()
    step = max(int(ends[1:].max() - ends[:-1].max()), SHELLS_AT_ONCE // (n * (n + 1) // 2))
    first = 0
    while first < aux.nbas:
        last = first + 1
        while last < aux.nbas and ends[last + 1] - ends[first] <= step:
            last += 1
        part = whole.intor(
            "int3c2e", aosym="s2ij", shls_slice=(0, mol.nbas, 0, mol.nbas, mol.nbas + first, mol.nbas + last)
        )
        out[ends[first] : ends[last]] = part.T[:, rows] if len(rows) < part.shape[0] else part.T
        first = last
    metric = scipy.linalg.cholesky(aux.intor("int2c2e"), lower=True)
    return TwoElectron(out, i, j, metric)


def _overlapping_pairs(mol: gto.Mole) -> np.ndarray:
    """Pairs (nao, nao) whose product is not negligible, judged by the factor exp(-a b / (a + b) R^2) of their widest parts."""
    shells = mol.nbas
    at = mol.ao_loc_nr()
    bound = np.zeros((mol.nao_nr(),) * 2, bool)
    centers, reach = mol.atom_coords(), np.array([mol.bas_exp(b).min() for b in range(shells)])
    atom = np.array([mol.bas_atom(b) for b in range(shells)])
    squared = np.sum((centers[atom][:, None] - centers[atom][None]) ** 2, axis=-1)
    product = np.exp(-reach[:, None] * reach[None] / (reach[:, None] + reach[None]) * squared)  # most diffuse Gaussians
    for b in range(shells):
        for c in np.flatnonzero(product[b] > NEGLIGIBLE):
            bound[at[b] : at[b + 1], at[c] : at[c + 1]] = True
    return bound
