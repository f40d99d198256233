r"""Second derivatives of integrals over Gaussians in the positions of the atoms, contracted at once; host side, from PySCF.

The derivative of a function in the position of its atom is minus its gradient: signs cancel in second derivatives. With D
symmetric and $(ij|kl)$ the repulsion of two pairs, the three ways in which two derivatives meet in
$\frac12 D_{ij} D_{kl} (ij|kl)$ are counted 4, 4 and 8 times: in one function, in both of a pair, in one of each pair.
"""

import numpy as np
from pyscf import gto
from pyscf.hessian.rhf import Hessian
from pyscf.scf.hf import RHF
from pyscf.scf.jk import get_jk


def second_derivatives(mol: gto.Mole, density: np.ndarray, weighted: np.ndarray) -> np.ndarray:
    r"""$D \cdot h_{xy} + \frac12 D \cdot (ij|kl)_{xy} \cdot D - W \cdot S_{xy}$, (N, 3, N, 3), hartree/bohr^2.

    Args:
        mol: the molecule.
        density: D (nao, nao), symmetric.
        weighted: W (nao, nao), the density weighted with energies, symmetric.
    """
    n, nao = mol.natm, mol.nao_nr()
    core = Hessian(RHF(mol)).hcore_generator(mol)
    out = np.array([[np.einsum("xyij,ij->xy", core(a, b), density) for b in range(n)] for a in range(n)])
    slices = mol.aoslice_by_atom()
    of = [slice(*s) for s in slices[:, 2:]]
    nine = lambda m: np.asarray(m).reshape(3, 3, nao, -1)
    repel = lambda name, sum_, dm, **more: nine(get_jk(mol, dm, sum_, name, comp=9, **more))
    same = 2 * nine(mol.intor("int1e_ipipovlp", comp=9)) * -weighted
    same += 2 * repel("int2e_ipip1", "ijkl,lk->ij", density, aosym="s2kl") * density
    pair = 2 * nine(mol.intor("int1e_ipovlpip", comp=9)) * -weighted
    pair += 2 * repel("int2e_ipvip1", "ijkl,lk->ij", density, aosym="s2kl") * density
    for a in range(n):
        out[a, a] += same[:, :, of[a]].sum(axis=(2, 3))
        for b in range(n):
            out[a, b] += pair[:, :, of[a], of[b]].sum(axis=(2, 3))
    shells = (0, mol.nbas)
    for b in range(n):
        part = (*shells, *shells, *slices[b, :2], *shells)
        across = 4 * repel("int2e_ip1ip2", "ijkl,lk->ij", density[:, of[b]], shls_slice=part) * density
        for a in range(n):
            out[a, b] += across[:, :, of[a]].sum(axis=(2, 3))
    return out.transpose(0, 2, 1, 3)
