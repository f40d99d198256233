"""Silicon through ASE: energy, forces, stress, a short relaxation, an equation of state, bands.

Run with `python examples/ase_silicon.py`; the cutoff and mesh are too small for anything but a look.
"""

import numpy as np
from ase.build import bulk
from ase.eos import EquationOfState
from ase.optimize import BFGS
from ase.units import GPa

from dftopt import DFTOpt


def main():
    atoms = bulk("Si")
    atoms.positions[1] += (0.08, 0.02, -0.05)
    atoms.calc = DFTOpt(xc="LDA", ecut=250, kpts=(3, 3, 3), txt="ase_silicon.txt")
    print(f"energy          {atoms.get_potential_energy():.6f} eV")
    print(f"largest force   {np.abs(atoms.get_forces()).max():.4f} eV/angstrom")
    print(f"pressure        {-atoms.get_stress()[:3].mean() / GPa:.2f} GPa")

    BFGS(atoms).run(fmax=0.01)  # every step starts from the orbitals of the last one

    volumes, energies = [], []
    for scale in (0.97, 0.985, 1.0, 1.015, 1.03):
        strained = atoms.copy()
        strained.set_cell(atoms.cell * scale, scale_atoms=True)
        strained.calc = atoms.calc
        volumes.append(strained.get_volume())
        energies.append(strained.get_potential_energy())
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    print(f"volume          {volume:.3f} angstrom^3, bulk modulus {modulus / GPa:.1f} GPa")

    atoms.get_potential_energy()
    bands = atoms.calc.band_structure("LGXWKG", npoints=40)  # the ground state stays as it is
    bands.plot(filename="ase_silicon.png", emin=bands.reference - 13, emax=bands.reference + 6)


if __name__ == "__main__":
    main()
