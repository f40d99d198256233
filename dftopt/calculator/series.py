"""Many structures with the same keywords: each starts from the orbitals of the one before it, and is kept when done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

import dftopt
from dftopt.bases import grid
from dftopt.calculator import checkpoints
from dftopt.calculator.continuation import Memory, has_room
from dftopt.calculator.journal import Journal, key_of
from dftopt.calculator.setup import Setup, build
from dftopt.errors import InputError, NotConverged
from dftopt.minimization.result import Result
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

ROOM = 0.03  # by which a cell may grow before anything is compiled again


class Stopped(NotConverged):
    """The work was asked to end; what is finished is kept."""


class Failed(NotConverged):
    """One structure did not converge."""


class Series:
    """Energies, forces and stress of structures, in ASE's units and conventions.

    What a journal holds already is not computed again. With spin polarization every structure starts from its own moments:
    orbitals of another one could lead to its magnetic state instead of the lowest.

    Args:
        parameters: calculator keywords, eV.
        journal: of finished structures; None keeps nothing.
        stop: whether to end now, asked between blocks of iterations.
        state: where the structure at work saves its orbitals; None: nowhere.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        journal: Journal | None = None,
        stop: Callable[[], bool] = lambda: False,
        state: Path | None = None,
    ):
        self.parameters = dict(parameters)
        self._journal, self._stop, self._state = journal, stop, state
        self._memories: dict[str, Memory] = {}

    def known(self, atoms: Atoms, **changed) -> dict[str, Any] | None:
        """Numbers of a structure that the journal holds, or None."""
        key = key_of(atoms, **changed)
        return self._journal[key] if self._journal is not None and key in self._journal else None

    def keep(self, atoms: Atoms, data: Mapping[str, Any], **changed) -> None:
        """Put numbers of a structure, or {"failed": reason}, into the journal."""
        if self._journal is not None:
            self._journal.add(key_of(atoms, **changed), data)

    def __call__(self, atoms: Atoms, slot: str = "", **changed) -> dict[str, Any]:
        """Numbers of a structure, see `numbers`.

        Args:
            atoms: the structure.
            slot: structures with one name start from each other.
            **changed: keywords that differ from those of the series.

        Raises:
            InputError: the structure or a keyword is wrong.
            Failed: it did not converge.
            Stopped: `stop` said so.
        """
        found = self.known(atoms, **changed)
        if found is not None and "failed" not in found:
            return found
        if self._stop():
            raise Stopped("stopped before the next structure.")
        memory = self._memories.setdefault(slot, Memory())
        memories = [memory, *(m for m in self._memories.values() if m is not memory)]
        setup = _build(atoms, {**self.parameters, **changed}, memories)
        result = self._minimize(setup, memory)
        if result.status == "interrupted":
            if self._state is not None:
                result.save(self._state)
            raise Stopped("stopped; the structure at work is saved.")
        if not result.converged:
            raise Failed(f"{result.verdict}.")
        memory.add(result)
        data = numbers(result)
        self.keep(atoms, data, **changed)
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        return data

    def _minimize(self, setup: Setup, memory: Memory) -> Result:
        start = self._saved(setup)
        if start is None and setup.model.nspin == 1:
            start = memory.start(setup.basis)
        result = self._from(setup, start)
        if start is None or result.status == "interrupted" or (result.converged and has_room(result)):
            return result
        return self._from(setup, None)  # the earlier orbitals were a poor start

    def _from(self, setup: Setup, start: Result | None) -> Result:
        begin = "atomic" if start is None else start
        progress = lambda step: self._stop()
        if self._state is None:
            return dftopt.minimize(setup.model, setup.basis, **setup.minimize_options, start=begin, progress=progress)
        return checkpoints.minimize(setup, self._state, begin, progress)

    def _saved(self, setup: Setup) -> Result | None:
        """The state that an earlier process left of this structure."""
        if self._state is None or not self._state.exists():
            return None
        try:
            saved = dftopt.load(self._state)
        except InputError:  # damaged: the structure starts anew
            return None
        return None if checkpoints.difference(saved, setup) else saved


def _build(atoms: Atoms, parameters: dict[str, Any], memories: list[Memory]) -> Setup:
    """A calculation in the arrays of an earlier one where it fits, always on its own FFT grid.

    A grid that depends on the structures before would make numbers depend on their order.
    """

    def like(structure, ecut: float):
        sizes = next((found for memory in memories if (found := memory.like(structure, ecut)) is not None), None)
        return None if sizes is None else {k: n for k, n in sizes.items() if not k.startswith("fft")}

    setup = build(atoms, parameters, like, ROOM)
    if parameters.get("fft") is None and setup.basis.fft != own_grid(atoms, setup.basis.ecut * HARTREE_IN_EV):
        return build(atoms, parameters, None, ROOM)
    return setup


def own_grid(atoms: Atoms, ecut: float) -> tuple[int, ...]:
    """The FFT grid that a structure gets when it comes alone; ecut in eV."""
    largest = grid.largest_indices(atoms.cell.array / BOHR_IN_ANGSTROM, 2 * np.sqrt(2 * ecut / HARTREE_IN_EV))
    return tuple(grid.next_smooth(int(n)) for n in 2 * largest + 1)


def numbers(result: Result) -> dict[str, Any]:
    """Energy (T -> 0) and free energy (eV), forces (eV/angstrom), stress (3, 3; eV/angstrom^3, ASE's sign), and how they were got."""
    return {
        "energy": float(result.energies.zero) * HARTREE_IN_EV,
        "free_energy": float(result.energies.free) * HARTREE_IN_EV,
        "forces": (np.asarray(result.forces()) * (HARTREE_IN_EV / BOHR_IN_ANGSTROM)).tolist(),
        "stress": (np.asarray(result.stress()) * (HARTREE_IN_EV / BOHR_IN_ANGSTROM**3)).tolist(),
        "magmom": float(result.magnetization),
        "iterations": int(result.stats["iterations"]),
        "seconds": float(result.stats["wall_seconds"]),
        "compile_seconds": float(result.stats["compile_seconds"]),
    }
