"""Structures that nobody tuned for converge with the calculator's defaults.

Only the cutoff (modest) and the spacing of the k points are given; functional, occupations, tolerance, number of bands and
evaluations are the defaults. Forces have to balance, and pass symmetry's verdict where it makes them vanish.
"""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, graphene, molecule
from ase.units import Hartree

from dftopt.calculator.ase_calculator import DFTOpt

SPACING = 0.7  # 1/angstrom
BOX = 2.0  # 1/angstrom: Gamma alone


def box(name, size, **options):
    atoms = molecule(name, cell=(size,) * 3, pbc=True, **options)
    atoms.center()
    return atoms


def magnetic(atoms, moment):
    atoms.set_initial_magnetic_moments([moment] * len(atoms))
    return atoms


def rattled(atoms, size=0.1):
    atoms.rattle(size, seed=7)
    return atoms


def rutile(a=4.6, c=2.95, u=0.305):
    metal, x = [[0, 0, 0], [0.5, 0.5, 0.5]], [[u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    return Atoms("Ti2O4", scaled_positions=[*metal, *x], cell=(a, a, c), pbc=True)


FAST = {  # structure, cutoff in hartree
    "H2 in a box": (lambda: box("H2", 4.0), 8),
}
SLOW = {
    "Na bcc": (lambda: bulk("Na", "bcc", a=4.2), 6),
    "Al fcc": (lambda: bulk("Al", "fcc", a=4.05), 10),
    "Cu fcc": (lambda: bulk("Cu", "fcc", a=3.62), 25),
    "Ag fcc": (lambda: bulk("Ag", "fcc", a=4.1), 20),
    "Pt fcc": (lambda: bulk("Pt", "fcc", a=3.95), 20),
    "Ni fcc, magnetic": (lambda: magnetic(bulk("Ni", "fcc", a=3.52), 0.6), 25),
    "Li bcc": (lambda: bulk("Li", "bcc", a=3.44), 15),
    "V bcc": (lambda: bulk("V", "bcc", a=3.0), 20),
    "Nb bcc": (lambda: bulk("Nb", "bcc", a=3.31), 15),
    "Fe bcc, magnetic": (lambda: magnetic(bulk("Fe", "bcc", a=2.84), 2.2), 25),
    "Mg hcp": (lambda: bulk("Mg", "hcp", a=3.2, c=5.2), 8),
    "Ti hcp": (lambda: bulk("Ti", "hcp", a=2.95, c=4.68), 15),
    "Zn hcp": (lambda: bulk("Zn", "hcp", a=2.66, c=4.95), 25),
    "C diamond": (lambda: bulk("C", "diamond", a=3.57), 20),
    "Si diamond": (lambda: bulk("Si", "diamond", a=5.47), 10),
    "Ge diamond": (lambda: bulk("Ge", "diamond", a=5.76), 10),
    "Sn diamond": (lambda: bulk("Sn", "diamond", a=6.65), 8),
    "NaCl rocksalt": (lambda: bulk("NaCl", "rocksalt", a=5.7), 15),
    "MgO rocksalt": (lambda: bulk("MgO", "rocksalt", a=4.25), 25),
    "TiN rocksalt": (lambda: bulk("TiN", "rocksalt", a=4.25), 25),
    "GaAs zincblende": (lambda: bulk("GaAs", "zincblende", a=5.75), 12),
    "SiC zincblende": (lambda: bulk("SiC", "zincblende", a=4.38), 20),
    "BN zincblende": (lambda: bulk("BN", "zincblende", a=3.62), 25),
    "CsCl": (lambda: bulk("CsCl", "cesiumchloride", a=4.2), 12),
    "NiAl, CsCl structure": (lambda: bulk("NiAl", "cesiumchloride", a=2.89), 25),
    "TiO2 rutile": (rutile, 25),
    "Si8 rattled": (lambda: rattled(bulk("Si", cubic=True)), 8),
    "Al4 rattled": (lambda: rattled(bulk("Al", cubic=True)), 8),
    "Al(100) slab": (lambda: fcc100("Al", (1, 1, 3), a=4.05, vacuum=4.0, periodic=True), 8),
    "graphene": (lambda: graphene(vacuum=3.5), 20),
    "H2O in a box": (lambda: box("H2O", 5.0), 25),
    "O2 in a box, magnetic": (lambda: box("O2", 5.0), 25),
    "CO2 in a box": (lambda: box("CO2", 5.5), 25),
}


def check(name, make, ecut):
    atoms = make()
    atoms.pbc = True
    spacing = BOX if "box" in name else SPACING
    atoms.calc = DFTOpt(ecut=ecut * Hartree, kpts={"spacing": spacing}, txt=None)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    r = atoms.calc.result
    assert r.converged and np.isfinite(energy)
    assert np.abs(forces.sum(axis=0)).max() < 1e-8 and np.isfinite(forces).all()
    print(f"\n{name}: {r.stats.iterations} iterations, {r.stats.evaluations} evaluations, {r.verdict}, "
          f"{r.basis.nk} k points, {r.stats.wall_seconds:.0f} s")  # fmt: skip
    return r


@pytest.mark.parametrize("name", FAST)
def test_fast_ones_converge(name):
    check(name, *FAST[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_slow_ones_converge(name):
    result = check(name, *SLOW[name])
    if "magnetic" in name:
        assert abs(result.magnetization) > 0.3
