"""Atoms, and the cell, to where forces and stress vanish: ASE's optimizers, one record of every step."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup.symmetrize import check_symmetry
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa

from dftopt.atoms.checks import check_positive, check_truth, nearest
from dftopt.calculator.files import replacing
from dftopt.errors import InputError

CELLS = ("all", "volume", "shape", "plane")
SYMPREC = 1e-3  # angstrom: atoms that are this close to symmetric positions are put there
SAME = 1e-4  # angstrom: a recorded step is recognized within this (extxyz has eight digits)
ROOM = 0.03  # by which a cell that is relaxed may grow without a second compilation
STEPS = 100
RECORDED = ("energy", "free_energy", "forces", "stress", "magmom")


@dataclass(frozen=True)
class Step:
    """One step of a relaxation.

    Attributes:
        number: from 0, the start.
        energy: free energy, plus p V under pressure; eV.
        fmax: largest force on an atom, without what constraints take, eV/angstrom.
        smax: largest component of the stress that has to vanish, GPa; None at a fixed cell.
        volume: angstrom^3.
    """

    number: int
    energy: float
    fmax: float
    smax: float | None
    volume: float


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Where a relaxation ended.

    Attributes:
        atoms: the last structure; its calculator is the one that was given.
        converged: whether forces, and stress, are below their limits.
        verdict: the same in words.
        steps: all steps.
        frames: their structures with energy, forces and, where the cell is relaxed, stress.
        symmetry: the space group that was kept, or None.
    """

    atoms: Atoms
    converged: bool
    verdict: str
    steps: list[Step]
    frames: list[Atoms] = field(repr=False)
    symmetry: str | None = None


def relax(
    atoms: Atoms,
    cell: str | None = None,
    fmax: float = 0.01,
    smax: float = 0.1,
    pressure: float = 0.0,
    steps: int = STEPS,
    symmetry: bool = True,
    optimizer: Callable = BFGS,
    trajectory=None,
    resume: bool | Sequence[Atoms] = False,
    report: Callable[[Step], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Relaxation:
    """Relax positions, and the cell if asked for.

    Args:
        atoms: with a calculator, which any ASE calculator may be; its constraints hold (`FixAtoms` and others). Changed.
        cell: None (fixed), "all", "volume" (keeps the shape), "shape" (keeps the volume) or "plane" (a slab's, with its
            vacuum along z).
        fmax: largest force allowed on an atom, eV/angstrom.
        smax: largest component of the stress allowed, GPa, where the cell is relaxed.
        pressure: outside, GPa; with cell "all" or "volume".
        steps: at most this many.
        symmetry: keep the space group of the start (atoms within `SYMPREC` of it are put there first). It is not kept
            where constraints, or different moments on equal atoms, break it.
        optimizer: an optimizer of ASE, or a function that makes one of atoms or a filter and `logfile=`.
        trajectory: file of all steps, .traj or .extxyz, complete after every step.
        resume: go on from the steps in `trajectory` (True), or from frames: they are gone through again without
            computing, so that the optimizer knows what it knew.
        report: called after every step.
        stop: asked after every step; True ends the relaxation, not converged.

    Returns:
        The `Relaxation`.

    Raises:
        InputError: wrong options, before anything is computed; frames of other atoms.
    """
    calc = atoms.calc
    if calc is None:
        raise InputError("relax needs atoms with a calculator: atoms.calc = DFTOpt(...).")
    check(atoms, cell, fmax, smax, pressure, steps)
    frames = _frames(resume, trajectory)
    if frames:
        _check_frames(frames, atoms)
        atoms.set_cell(frames[0].cell.array)
        atoms.set_positions(frames[0].positions, apply_constraint=False)
    theirs = list(atoms.constraints)
    group = keep_symmetry(atoms) if check_truth("symmetry", symmetry) else None
    if hasattr(calc, "reserve"):
        calc.reserve(atoms, room=ROOM if cell else 0.0)
    recorded = Recorded(calc, frames, ("forces", "stress") if cell else ("forces",), theirs)
    atoms.calc = recorded
    record: list[Step] = []
    target = atoms if cell is None else _filter(atoms, cell, pressure * GPa)
    converged = stopped = False
    try:
        for _ in optimizer(target, logfile=None).irun(fmax=0.0, steps=steps):
            step = _step(atoms, cell, pressure, len(record))
            known = len(record) < recorded.replayed
            record.append(step)
            if trajectory is not None and not known:
                _save(trajectory, recorded.frames)
            if report is not None:
                report(step)
            converged = step.fmax <= fmax and (step.smax is None or step.smax <= smax)
            stopped = stop is not None and not converged and bool(stop())
            if converged or stopped:
                break
    finally:
        atoms.calc = calc
        atoms.set_constraint(theirs)
    last = record[-1]
    size = f"largest force {last.fmax:.4f} eV/angstrom" + (
        f", stress {last.smax:.3f} GPa" if last.smax is not None else ""
    )
    if converged:
        verdict = f"converged in {len(record) - 1} steps: {size}"
    else:
        verdict = f"not converged: {'stopped' if stopped else 'ended'} after {len(record) - 1} steps: {size}"
    return Relaxation(atoms, converged, verdict, record, recorded.frames, group)


# ---------------------------------------------------------------------------------------------------- checks


def check(atoms: Atoms, cell, fmax, smax, pressure, steps) -> None:
    """Check the options of `relax`.

    Raises:
        InputError: names the option, its value and the remedy.
    """
    if cell is not None and cell not in CELLS:
        raise InputError(f"cell = {cell!r} is unknown: {nearest(str(cell), CELLS)} None keeps the cell.")
    check_positive("fmax", fmax, "eV/angstrom", "0.01 is typical.")
    check_positive("smax", smax, "GPa", "0.1 is typical.")
    if isinstance(steps, bool) or int(steps) != steps or steps < 1:
        raise InputError(f"steps = {steps!r} must be a whole number of at least 1.")
    if pressure and cell not in ("all", "volume"):
        raise InputError(
            f"pressure = {pressure:g} GPa needs a cell that can change its volume: cell = 'all' or 'volume'."
        )
    if not np.isfinite(pressure):
        raise InputError(f"pressure = {pressure!r} must be a finite number of GPa.")
    if cell == "plane" and (
        np.abs(atoms.cell.array[:2, 2]).max() > 1e-6 or np.abs(atoms.cell.array[2, :2]).max() > 1e-6
    ):
        raise InputError("cell = 'plane' needs the first two cell vectors in the xy plane and the third along z.")


def _frames(resume, trajectory) -> list[Atoms]:
    if resume is False or resume is None:
        return []
    if resume is not True:
        return list(resume)
    if trajectory is None:
        raise InputError("resume=True goes on from a trajectory: name its file.")
    path = Path(trajectory)
    if not path.exists():
        return []
    try:
        return list(ase.io.iread(path, index=":"))
    except Exception as error:  # every reader fails in its own way
        raise InputError(
            f"the trajectory {path} cannot be read ({type(error).__name__}: {error}): remove it."
        ) from None


def _check_frames(frames: list[Atoms], atoms: Atoms) -> None:
    if not np.array_equal(frames[0].numbers, atoms.numbers):
        raise InputError(
            f"the trajectory is of {frames[0].get_chemical_formula()}, the structure is {atoms.get_chemical_formula()}: "
            "a relaxation goes on with the same atoms."
        )


# ---------------------------------------------------------------------------------------------------- symmetry and cell


def keep_symmetry(atoms: Atoms) -> str | None:
    """Put atoms onto the symmetry of their space group and add the constraint that keeps it.

    Returns:
        Name of the group; None where there is none to keep.
    """
    if atoms.cell.rank < 3 or not all(atoms.pbc):
        return None
    found = check_symmetry(atoms, SYMPREC)
    if found is None or len(found.rotations) <= 1 or not _moments_allow(atoms) or not _constraints_allow(atoms):
        return None
    with warnings.catch_warnings():  # ASE warns of other constraints, which have been checked
        warnings.simplefilter("ignore")
        atoms.set_constraint([FixSymmetry(atoms, symprec=SYMPREC), *atoms.constraints])
    return f"{found.international} ({found.number})"


def _moments_allow(atoms: Atoms) -> bool:
    """Whether equal atoms have moments of equal size: else the group of the atoms is not that of the electrons."""
    sizes = np.abs(atoms.get_initial_magnetic_moments())
    return all(np.ptp(sizes[atoms.numbers == z]) < 1e-6 for z in set(atoms.numbers))


def _constraints_allow(atoms: Atoms) -> bool:
    """Whether the group maps fixed atoms onto fixed atoms; other constraints than `FixAtoms` may break it."""
    if any(not isinstance(c, FixAtoms) for c in atoms.constraints):
        return False
    fixed = np.zeros(len(atoms), bool)
    for constraint in atoms.constraints:
        fixed[constraint.index] = True
    if not fixed.any():
        return True
    bare = atoms.copy()
    bare.set_constraint()
    return all(np.array_equal(fixed[np.asarray(image)], fixed) for image in FixSymmetry(bare, symprec=SYMPREC).symm_map)


def _filter(atoms: Atoms, cell: str, pressure: float):
    mask = [True, True, False, False, False, True] if cell == "plane" else None
    return FrechetCellFilter(
        atoms, mask, scalar_pressure=pressure, hydrostatic_strain=cell == "volume", constant_volume=cell == "shape"
    )


def _stress_left(atoms: Atoms, cell: str, pressure: float) -> float:
    """Largest component of the stress that the relaxation has to make vanish, GPa."""
    s = voigt_6_to_full_3x3_stress(atoms.get_stress()) / GPa + pressure * np.eye(3)
    if cell == "volume":
        return float(abs(np.trace(s)) / 3)
    if cell == "shape":
        s = s - np.trace(s) / 3 * np.eye(3)
    if cell == "plane":
        s = s[:2, :2]
    return float(np.abs(s).max())


def _step(atoms: Atoms, cell: str | None, pressure: float, number: int) -> Step:
    energy, volume = (
        atoms.get_potential_energy(force_consistent=True),
        atoms.get_volume() if atoms.cell.rank == 3 else 0.0,
    )
    fmax = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    smax = None if cell is None else _stress_left(atoms, cell, pressure)
    return Step(number, float(energy + pressure * GPa * volume), fmax, smax, float(volume))


# ---------------------------------------------------------------------------------------------------- record


class Recorded(Calculator):
    """A calculator that notes every structure, and first goes through those of an earlier run without computing.

    Args:
        calc: what computes.
        frames: of an earlier run.
        wanted: properties computed for every structure beside the energy.
        constraints: kept in the frames.
    """

    implemented_properties = list(RECORDED)

    def __init__(self, calc, frames: Sequence[Atoms], wanted: Sequence[str], constraints: Sequence):
        super().__init__()
        self._calc, self._old, self._wanted, self._constraints = calc, list(frames), tuple(wanted), list(constraints)
        self.frames: list[Atoms] = []
        self.replayed = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Results of the recorded structure if it is this one, else of the calculator."""
        super().calculate(atoms, properties, system_changes)
        n = len(self.frames)
        if n < len(self._old) and self.replayed == n and self._is(self._old[n]):
            self.results = dict(self._old[n].calc.results)
            self.replayed += 1
        else:
            inner = self.atoms.copy()  # type: ignore[union-attr]
            inner.set_constraint()
            for name in ("energy", *self._wanted):
                self.results[name] = self._calc.get_property(name, inner)
            self.results |= {k: v for k, v in self._calc.results.items() if k in ("free_energy", "magmom")}
        self.results.setdefault("free_energy", self.results["energy"])
        frame = self.atoms.copy()  # type: ignore[union-attr]
        frame.set_constraint(self._constraints)
        frame.calc = SinglePointCalculator(frame, **self.results)
        self.frames.append(frame)

    def _is(self, frame: Atoms) -> bool:
        now = self.atoms
        assert now is not None
        return (
            frame.calc is not None
            and {"energy", *self._wanted} <= frame.calc.results.keys()
            and np.abs(frame.cell.array - now.cell.array).max() < SAME
            and np.abs(frame.positions - now.positions).max() < SAME
        )


def _save(path, frames: Sequence[Atoms]) -> None:
    path = Path(path)
    with replacing(path) as part:
        ase.io.write(part, list(frames), format="traj" if path.suffix == ".traj" else "extxyz")
