"""Makes pyscf_molecules.json: RKS and UKS of PySCF on the same quadrature grid, exact two-electron integrals.

python tests/references/pyscf_molecules.py
"""

import json
from pathlib import Path

import pyscf
from pyscf import dft, gto, scf

GEOMETRIES = {  # angstrom
    "H2": "H 0 0 0; H 0 0 0.74",
    "H2O": "O 0 0 0; H 0.7569503272636612 0 0.585882276618295; H -0.7569503272636612 0 0.585882276618295",
    "O2": "O 0 0 0; O 0 0 1.2075",
}
CASES = [  # molecule, basis, xc of PySCF, xc of dftopt, N_up - N_down, level, density fitted, temperature
    ("H2O", "6-31g", "pbe,pbe", "PBE", 0, 3, False, 0.0),
    ("O2", "6-31g", "lda,vwn", "lda_x+lda_c_vwn", 2, 3, False, 0.0),
    ("H2", "def2-svp", "r2scan", "r2SCAN", 0, 3, False, 0.0),
    ("H2O", "6-31g", "pbe,pbe", "PBE", 0, 3, True, 0.0),
    ("O2", "6-31g", "lda,vwn", "lda_x+lda_c_vwn", 2, 3, False, 0.02),
]


def main():
    out = []
    for name, basis, xc, ours, spin, level, fit, temperature in CASES:
        mol = gto.M(atom=GEOMETRIES[name], basis=basis, spin=spin, verbose=0)
        mf = (dft.UKS if spin else dft.RKS)(mol)
        mf.xc, mf.grids.level, mf.conv_tol = xc, level, 1e-11
        if fit:
            mf = mf.density_fit()
        if temperature:
            mf = scf.addons.smearing_(mf, sigma=temperature, method="fermi", fix_spin=True)
        mf.kernel()
        assert mf.converged
        energies, occupations = (mf.mo_energy, mf.mo_occ) if spin else ([mf.mo_energy], [mf.mo_occ])
        case = {
            "molecule": name, "basis": basis, "xc": ours, "spin": spin, "level": level, "density_fit": fit, "temperature": temperature,
            "energy": float(mf.e_free if temperature else mf.e_tot),
            "levels": [e.tolist() for e in energies], "occupations": [f.tolist() for f in occupations],
            "dipole": mf.dip_moment(unit="au", verbose=0).tolist(), "spin_squared": float(mf.spin_square()[0]),
            "mulliken": mf.mulliken_pop(verbose=0)[1].tolist(),
        }  # fmt: skip
        if not temperature:
            gradient = mf.nuc_grad_method()
            gradient.grid_response = True
            case["gradient"] = gradient.kernel().tolist()
        out.append(case)
    data = {
        "source": f"PySCF {pyscf.__version__}, this folder's pyscf_molecules.py",
        "geometries": GEOMETRIES,
        "cases": out,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(data, indent=1))


if __name__ == "__main__":
    main()
