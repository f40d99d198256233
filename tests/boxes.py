"""Atoms in boxes for the tests of charge and vacuum, and for pw.x, which made `references/pwscf_boxes.json`."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr

POTENTIALS = {"Mg": "GTH-PADE-q2", "Na": "GTH-PADE-q9", "Ga": "GTH-PADE-q3", "As": "GTH-PADE-q5"}  # else GTH-PADE


def pair():
    """Two atoms in a box that is far too small for exact electrostatics, and cheap."""
    positions = np.array([[6.3, 6.45, 4.6], [5.8, 6.65, 9.0]])
    return Atoms("MgSi", positions=positions * Bohr, cell=np.diag([12.0, 12.5, 13.0]) * Bohr, pbc=True)


def silicon():
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.1, 0.05, 0.0]
    return atoms


def sodium():
    return Atoms("Na", [[3.0, 3.0, 3.0]], cell=[6.0] * 3, pbc=True)


def ammonium():
    corners = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.03 / np.sqrt(3)
    corners[1] += 0.05
    return Atoms("NH4", positions=corners + 3.0, cell=[6.0] * 3, pbc=True)


def gallium_arsenide(height: float = 16.0):
    """A buckled layer with a dipole along its normal."""
    a = 4.0
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height]]
    middle = height / 2
    positions = [[0, 0, middle - 0.5], [0.1, 2 / np.sqrt(3) * a / 2, middle + 0.5]]
    return Atoms("GaAs", positions=positions, cell=cell, pbc=True)


def potentials_of(atoms):
    return {e: POTENTIALS.get(e, "GTH-PADE") for e in sorted(set(atoms.get_chemical_symbols()))}


# name: (atoms, charge, ecut in hartree, k points, temperature in hartree, bands, FFT box)
CHARGED = {
    "pair+": (pair, 1, 4.0, (1, 1, 1), 0.01, 6, (24, 24, 24)),
    "pair-": (pair, -1, 4.0, (1, 1, 1), 0.01, 6, (24, 24, 24)),
    "silicon++": (silicon, 2, 8.0, (2, 2, 2), 0.01, 8, (20, 20, 20)),
    "silicon-": (silicon, -1, 8.0, (2, 2, 2), 0.01, 10, (20, 20, 20)),
    "sodium+": (sodium, 1, 10.0, (1, 1, 1), 0.0, 4, (40, 40, 40)),
    "ammonium+": (ammonium, 1, 12.0, (1, 1, 1), 0.0, 4, (40, 40, 40)),
}
SLAB = {"ecut": 12.0, "fft": (24, 24, 96)}
