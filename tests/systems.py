"""The few small systems that all tests share: each new shape costs seconds of compilation."""

from functools import lru_cache

import numpy as np
from ase.build import bulk

import dftopt

ECUT = 6.0  # hartree; far from converged, exact all the same


@lru_cache
def silicon(symmetry: bool = True):
    """Two atoms, insulator."""
    model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
    return model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 2, 2), symmetry=symmetry)


@lru_cache
def aluminium(symmetry: bool = True):
    """One atom, metal."""
    model = dftopt.Model(bulk("Al", a=4.05), xc="LDA")
    return model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 2, 2), symmetry=symmetry)


@lru_cache
def low_symmetry_silicon(xc: str = "PBE"):
    """Displaced and sheared: inversion and time reversal alone."""
    atoms = bulk("Si", a=5.43)
    atoms.positions[0] += [0.11, -0.07, 0.05]
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + [[0.01, 0.02, 0], [0, -0.015, 0.01], [0.005, 0, 0.02]]), scale_atoms=True
    )
    model = dftopt.Model(atoms, xc=xc)
    return model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=(2, 1, 1))


@lru_cache
def rattled_aluminium():
    """Four atoms, metal, no symmetry."""
    atoms = bulk("Al", a=4.05, cubic=True)
    atoms.rattle(0.1, seed=3)
    model = dftopt.Model(atoms, xc="LDA")
    return model, dftopt.PlaneWaves(model, ecut=5.0, kpts=(1, 1, 1))


METAL = {"temperature": 0.01, "nbands": 8, "tol": 1e-12}


@lru_cache
def silicon_result():
    return dftopt.minimize(*silicon(), tol=1e-12, progress=False)


@lru_cache
def aluminium_result():
    return dftopt.minimize(*aluminium(), progress=False, **METAL)
