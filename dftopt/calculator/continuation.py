"""What one calculation leaves to the next: orbitals to start from, array sizes, a k mesh."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from dftopt.atoms.kpoints import KPoints
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator.extrapolation import LAST, extrapolated
from dftopt.minimization.result import Result
from dftopt.minimization.start import same_waves
from dftopt.units import BOHR_IN_ANGSTROM

FARTHEST = 0.5  # angstrom: beyond it superposed atoms are the better start
CROWDED = 1e-5  # occupation of the highest band above which a start from earlier orbitals has too few bands
STRAINED = 0.15  # beyond it a cell is another one: k mesh and array sizes are chosen anew
WASTEFUL = 2.0  # arrays larger than needed by this factor are not kept


@dataclass
class Memory:
    """The last results of one kind of calculation, newest first, and the sizes of their arrays.

    Attributes:
        results: converged, or one that was interrupted.
        sizes: see `PlaneWaves.sizes`.
        structure: of the last calculation, or that for which room was reserved.
        kpoints: of that structure.
    """

    results: list[Result] = field(default_factory=list)
    sizes: Mapping[str, int] | None = None
    structure: Any = None
    kpoints: KPoints | None = None

    def add(self, result: Result) -> None:
        """Remember a result; its predecessors stay where it converged and they are alike."""
        alike = [r for r in self.results if r.converged and usable(r, result.basis) is not None]
        self.results = [result, *(alike[: LAST - 1] if result.converged else [])]
        self.keep(result.basis.sizes, result.basis)

    def keep(self, sizes: Mapping[str, int] | None, basis) -> None:
        """Keep array sizes, and the k points of a basis."""
        self.sizes, self.structure, self.kpoints = sizes, basis.model.structure, basis.kpoints

    def _is_near(self, symbols, cell) -> bool:
        """Whether a structure has the atoms of the last one, and about its cell (bohr)."""
        last = self.structure
        if last is None or last.symbols != tuple(symbols):
            return False
        return bool(np.abs(np.linalg.inv(last.cell) @ cell - np.eye(3)).max() < STRAINED)

    def like(self, structure, ecut: float) -> Mapping[str, int] | None:
        """Array sizes to keep for a structure near the last one; ecut in hartree."""
        if self.sizes is None or not self._is_near(structure.symbols, structure.cell):
            return None
        waves = structure.volume * (2 * ecut) ** 1.5 / (6 * np.pi**2)
        return self.sizes if self.sizes["npw"] < WASTEFUL * (waves + 100) else None

    def mesh(self, atoms: Atoms) -> dict[str, Any] | None:
        """The k mesh of the last structure, for one near it (angstrom)."""
        points = self.kpoints
        if points is None or points.size is None:
            return None
        if not self._is_near(atoms.get_chemical_symbols(), atoms.cell.array / BOHR_IN_ANGSTROM):
            return None
        return {"size": points.size, "shift": points.shift}

    def start(self, basis, interrupted: bool = False) -> Result | None:
        """Orbitals to start from, None where superposed atoms are the better start.

        Args:
            basis: of the new structure.
            interrupted: whether the last result is of the same structure and may be gone on from, converged or not.
        """
        if not self.results or usable(self.results[0], basis) is None:
            return None
        if interrupted:
            return self.results[0]
        found = [r for r in self.results if r.converged and usable(r, basis) is not None]
        if isinstance(basis, Gaussians):
            return found[0] if found else None
        if not found:
            return None
        if found[0].options.kpoints_at_once is not None:  # not all are in memory: taken as they are, or not at all
            return found[0] if same_waves(found[0].basis, basis) else None
        shape = found[0].point["psi"].shape[:3]
        return extrapolated([r for r in found if r.point["psi"].shape[:3] == shape], basis)


def usable(earlier: Result, basis) -> Result | None:
    """An earlier result to start from; None if other atoms, moments or k points or large displacements make it a poor start."""
    old, new = earlier.model.structure, basis.model.structure
    if (
        old.symbols != new.symbols
        or earlier.model.nspin != basis.model.nspin
        or earlier.model.n_electrons != basis.model.n_electrons
        or not np.array_equal(old.moments, new.moments)
        or earlier.basis.nk != basis.nk
        or not np.allclose(earlier.basis.kpoints.k, basis.kpoints.k, atol=1e-9)
    ):
        return None
    moved = new.frac - old.frac
    moved = (moved - np.round(moved)) @ new.cell * BOHR_IN_ANGSTROM
    if np.linalg.norm(moved, axis=1).max() > FARTHEST:
        return None
    if earlier.point["psi"].shape[2] > basis.counts.min():
        return None
    return earlier


def has_room(result: Result) -> bool:
    """Whether bands that nobody chose, but an earlier result had, are enough here."""
    o = result.options
    return o.temperature == 0 or o.nbands is not None or result.occupations[..., -1].max() <= CROWDED
