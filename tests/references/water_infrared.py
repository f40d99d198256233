"""Makes water_infrared.json: vibrations, infrared intensities and polarizability of water by differences of PySCF's minima."""

import json
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.units import Bohr
from pyscf import dft, gto

ATOMS = molecule("H2O")
KM_PER_MOL = 974.8801  # of e^2 / u
SOURCE = (
    "PySCF 2.14, RKS PBE/def2-SVP, grid level 3, geometry of ase.build.molecule('H2O'): force constants (hartree/bohr^2) by central "
    "differences of gradients with grid response, dipole derivatives (e) and polarizability (bohr^3) by central differences of "
    "dipole moments; frequencies cm^-1, infrared km/mol"
)


def minimum(x, field=None):
    """Gradient and dipole moment with atoms at x (bohr) in an electric field."""
    atoms = list(zip(ATOMS.get_chemical_symbols(), map(tuple, x), strict=True))
    mol = gto.M(atom=atoms, unit="Bohr", basis="def2-svp", verbose=0)
    mf = dft.RKS(mol, xc="PBE")
    mf.grids.level, mf.conv_tol, mf.conv_tol_grad = 3, 1e-13, 1e-9
    if field is not None:
        core = mf.get_hcore() + np.einsum("x,xij->ij", field, mol.intor("int1e_r", comp=3))
        mf.get_hcore = lambda *_: core
    mf.kernel()
    if field is not None:
        return None, mf.dip_moment(unit="AU", verbose=0)
    gradient = mf.nuc_grad_method()
    gradient.grid_response = True
    return gradient.kernel().ravel(), mf.dip_moment(unit="AU", verbose=0)


def slope(f, h):
    """Fourth order."""
    a = [f(m * h) for m in (1, -1, 2, -2)]
    return (8 * (a[0] - a[1]) - (a[2] - a[3])) / (12 * h)


def main() -> None:
    x = ATOMS.positions / Bohr
    rows = [slope(lambda t, e=e: np.concatenate(minimum(x + t * e.reshape(3, 3))), 5e-3) for e in np.eye(9)]
    phi, dipole = np.array(rows)[:, :9], np.array(rows)[:, 9:]
    alpha = np.array([slope(lambda t, e=e: minimum(x, t * e)[1], 1e-3) for e in np.eye(3)])
    mass = np.repeat(ATOMS.get_masses(), 3)
    squares, u = np.linalg.eigh(0.5 * (phi + phi.T) / np.sqrt(np.outer(mass, mass)) / 1822.888486)
    out = {
        "source": SOURCE, "force_constants": phi, "dipole_derivatives": dipole, "polarizability": alpha,
        "frequencies": np.sign(squares) * np.sqrt(np.abs(squares)) * 219474.6313632,
        "infrared": KM_PER_MOL * np.sum(((u / np.sqrt(mass)[:, None]).T @ dipole) ** 2, axis=1),
    }  # fmt: skip
    as_lists = {k: v if isinstance(v, str) else v.tolist() for k, v in out.items()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(as_lists))


if __name__ == "__main__":
    main()
