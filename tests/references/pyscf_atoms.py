"""Spherical GTH atoms by PySCF: three-dimensional grids, Cartesian shells, no line of code shared with dftopt.

python tests/references/pyscf_atoms.py > tests/references/pyscf_atoms.json
"""

import json
import sys

import numpy as np
import pyscf
from pyscf import dft, gto
from pyscf.scf import atom_hf_pp, atom_ks

CASES = [
    ("H", "GTH-PADE-q1", "lda,pw", (1,)), ("O", "GTH-PADE-q6", "lda,pw", (2, 4)), ("Al", "GTH-PADE-q3", "lda,pw", (2, 1)),
    ("Si", "GTH-PADE-q4", "lda,pw", (2, 2)), ("Zn", "GTH-PADE-q12", "lda,pw", (2, 0, 10)), ("C", "GTH-PBE-q4", "pbe,pbe", (2, 2)),
    ("Si", "GTH-PBE-q4", "pbe,pbe", (2, 2)), ("Ti", "GTH-PBE-q12", "pbe,pbe", (4, 6, 2)), ("Ga", "GTH-PBE-q13", "pbe,pbe", (2, 1, 10)),
]  # fmt: skip


class Atom(atom_ks.AtomSphAverageRKS):
    """With the pseudopotential, and electrons per l from `electrons`."""

    def get_hcore(self, mol=None):
        mol, c, w = self.mol, self.grids.coords, self.grids.weights
        ao = dft.numint.eval_ao(mol, c)
        v = atom_hf_pp.get_pp_loc_part1_rs(mol, c)
        analytic = mol.intor("int1e_kin") + atom_hf_pp.get_pp_nl(mol) + atom_hf_pp.get_pp_loc_part2(mol)
        return analytic + np.einsum("g,gi,gj->ij", w * v, ao, ao, optimize=True)

    def momenta(self, c):
        """The l of each orbital."""
        mol = self.mol
        l = np.concatenate([[mol.bas_angular(b)] * (2 * mol.bas_angular(b) + 1) for b in range(mol.nbas)])
        return np.argmax([np.sum(c[l == k] ** 2, axis=0) for k in range(4)], axis=0)

    def get_occ(self, mo_energy=None, mo_coeff=None):
        of, occ = self.momenta(mo_coeff), np.zeros_like(mo_energy)
        for l, left in enumerate(self.electrons):
            where = np.flatnonzero(of == l)
            where = where[np.argsort(mo_energy[where], kind="stable")]
            for shell in where.reshape(-1, 2 * l + 1):
                occ[shell] = min(left, 2 * (2 * l + 1)) / (2 * l + 1)
                left = max(0, left - 2 * (2 * l + 1))
        return occ


def solve(element, name, xc, electrons, ratio=1.6, low=0.012, high=120.0):
    count = int(np.ceil(np.log(high / low) / np.log(ratio))) + 1
    basis = [[l, [low * ratio**i, 1]] for l in range(len(electrons)) for i in range(count)]
    mol = gto.M(atom=f"{element} 0 0 0", basis={element: basis}, pseudo={element: name}, spin=None, verbose=0)
    mf = Atom(mol)
    mf.xc, mf.electrons, mf.init_guess, mf.conv_tol, mf.max_cycle = xc, electrons, "1e", 1e-11, 300
    mf.damp, mf.diis_start_cycle = 0.5, 12
    mf.grids.atom_grid, mf.grids.prune = (150, 194), None
    mf.grids.build()
    mf.kernel()
    assert mf.converged, (element, name)
    of, levels = mf.momenta(mf.mo_coeff), {}
    for l, n in enumerate(electrons):
        e = np.sort(mf.mo_energy[of == l])[:: 2 * l + 1]
        levels["spdf"[l]] = [round(float(x), 8) for x in e[: -(-n // (2 * (2 * l + 1)))]]
    return {"energy": round(float(mf.e_tot), 8), "levels": levels}


if __name__ == "__main__":
    out = {"source": f"PySCF {pyscf.__version__}, hartree"}
    for case in CASES:
        out[f"{case[0]} {case[1]}"] = solve(*case)
        print(case, file=sys.stderr)
    json.dump(out, sys.stdout, indent=1)
