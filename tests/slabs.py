"""A slab that several tests share."""

from functools import lru_cache

from ase.build import fcc100
from systems import METAL

import dftopt


@lru_cache
def slab():
    """Two layers of aluminium with 10 angstrom of vacuum; the input of tests/references/pwscf_slab.py."""
    atoms = fcc100("Al", (1, 1, 2), a=4.05, vacuum=5.0)
    atoms.pbc = True
    model = dftopt.Model(atoms, xc="LDA", pseudopotentials="GTH-PADE-q3")
    basis = dftopt.PlaneWaves(model, ecut=5.0, kpts=(2, 2, 1), fft=(12, 12, 45))
    return dftopt.minimize(model, basis, progress=False, **METAL)
