"""Small solids whose linear response other codes have computed, at low cutoffs."""

from dataclasses import dataclass
from functools import lru_cache

from ase import Atoms
from ase.build import bulk

import dftopt


@dataclass(frozen=True)
class Solid:
    """What fixes a calculation; hartree."""

    name: str
    structure: str
    lengths: dict
    ecut: float
    kpts: tuple[int, int, int]
    nbands: int
    temperature: float = 0.0
    moment: float = 0.0
    potential: str = "GTH-PADE"

    def atoms(self) -> Atoms:
        """The structure."""
        atoms = bulk(self.name, self.structure, **self.lengths)
        atoms.set_initial_magnetic_moments([self.moment] * len(atoms))
        return atoms


SOLIDS = {
    "alas": Solid("AlAs", "zincblende", {"a": 5.61}, 8.0, (2, 2, 2), 4),
    "mg": Solid("Mg", "hcp", {"a": 3.2, "c": 5.2}, 6.0, (3, 3, 2), 8, 0.01, potential="GTH-PADE-q2"),
    "fe": Solid("Fe", "bcc", {"a": 3.0}, 10.0, (2, 2, 2), 14, 0.01, moment=3.0),
}


@lru_cache
def basis_of(name: str):
    """Plane waves with all symmetry."""
    s = SOLIDS[name]
    model = dftopt.Model(s.atoms(), xc="LDA", pseudopotentials=s.potential, spinpol=bool(s.moment))
    return dftopt.PlaneWaves(model, ecut=s.ecut, kpts=s.kpts)
