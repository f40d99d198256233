"""An atomic structure in bohr and fractional coordinates."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from dftopt.units import BOHR_IN_ANGSTROM


@dataclass(frozen=True, eq=False)
class Structure:
    """Cell, atoms and starting moments.

    Attributes:
        symbols: chemical symbol of each atom.
        numbers: atomic numbers, (atoms,).
        cell: lattice vectors as rows, (3, 3), bohr.
        frac: fractional coordinates, (atoms, 3), as given (not wrapped).
        moments: starting magnetic moments, (atoms,), bohr magnetons.
    """

    symbols: tuple[str, ...]
    numbers: np.ndarray
    cell: np.ndarray
    frac: np.ndarray
    moments: np.ndarray

    @property
    def volume(self) -> float:
        """Cell volume, bohr^3 (positive for left-handed cells too)."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def species(self) -> tuple[str, ...]:
        """The different elements, in order of first appearance."""
        return tuple(dict.fromkeys(self.symbols))

    @property
    def species_of(self) -> tuple[int, ...]:
        """Index into `species` of each atom."""
        return tuple(self.species.index(s) for s in self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)


def from_ase(atoms: Atoms) -> Structure:
    """Convert checked ASE atoms (angstrom) to a `Structure` (bohr)."""
    cell = np.asarray(atoms.cell.complete().array, float) / BOHR_IN_ANGSTROM  # a molecule may come without a cell
    return Structure(
        symbols=tuple(atoms.get_chemical_symbols()),
        numbers=np.asarray(atoms.numbers),
        cell=cell,
        frac=np.asarray(atoms.positions, float) / BOHR_IN_ANGSTROM @ np.linalg.inv(cell),
        moments=np.asarray(atoms.get_initial_magnetic_moments(), float),
    )


def reciprocal(cell: np.ndarray) -> np.ndarray:
    """Reciprocal lattice vectors as rows, with 2 pi: cell @ reciprocal.T = 2 pi 1."""
    return 2 * np.pi * np.linalg.inv(cell).T
