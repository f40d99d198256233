"""Energy, forces and stress of every frame of a set, to train machine-learned potentials.

Frames are computed in an order that shares work: those of the same elements one after another, cell by cell, so that
compiled programs and orbitals are used again; atoms are sorted by element for the same reason. The order of the set comes
back in what is written. A frame that cannot be computed is kept, marked, with the reason.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from dftopt.calculator.series import Failed, Series, Stopped
from dftopt.errors import InputError

STATUS, REASON = "dftopt_status", "dftopt_reason"  # in atoms.info
LABELS = ("energy", "free_energy", "forces", "stress")
CHARGES = ("charge", "total_charge")  # names under which sets hold the charge of a frame


@dataclass(frozen=True)
class Progress:
    """After a frame: its index, its numbers or why there are none, frames done and in all, and seconds left (None: unknown)."""

    index: int
    numbers: dict[str, Any] | None
    reason: str
    done: int
    total: int
    remaining: float | None


def order(frames: Sequence[Atoms]) -> list[int]:
    """Indices in the order of computation: by elements, then by cell, then as given."""

    def like(index: int):
        atoms = frames[index]
        return tuple(sorted(atoms.numbers.tolist())), tuple(np.round(atoms.cell.array, 6).ravel().tolist()), index

    first: dict[tuple, int] = {}
    for index, atoms in enumerate(frames):
        first.setdefault(tuple(sorted(atoms.numbers.tolist())), index)
    return sorted(range(len(frames)), key=lambda i: (first[like(i)[0]], like(i)))


def sorted_by_element(atoms: Atoms) -> tuple[Atoms, np.ndarray]:
    """A bare copy with atoms sorted by element, and the index that puts arrays back."""
    index = np.argsort(atoms.numbers, kind="stable")
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("initial_magmoms"):
        bare.set_initial_magnetic_moments(atoms.get_initial_magnetic_moments())
    return bare[index], np.argsort(index)


def compute(
    frames: Sequence[Atoms], series: Series, weight: Callable[[Atoms], float], retry: bool = False
) -> Iterator[Progress]:
    """Go through the frames; those that the journal of the series holds cost nothing.

    Args:
        frames: the set.
        series: computes them.
        weight: expected cost of a frame, in any unit, to tell what remains.
        retry: compute again what failed before.

    Yields:
        One `Progress` per frame.

    Raises:
        Stopped: the series was asked to stop.
    """
    todo = order(frames)
    weights = np.array([weight(frames[i]) for i in todo])
    spent = worked = 0.0
    for done, index in enumerate(todo, start=1):
        begun = time.monotonic()
        numbers, reason, fresh = _one(frames[index], series, retry)
        if fresh:  # compilation is left out: most frames find their programs
            compiling = numbers["compile_seconds"] if numbers is not None else 0.0
            spent, worked = spent + time.monotonic() - begun - compiling, worked + weights[done - 1]
        left = float(weights[done:].sum() * spent / worked) if worked else None
        yield Progress(index, numbers, reason, done, len(frames), left)


def _one(atoms: Atoms, series: Series, retry: bool) -> tuple[dict[str, Any] | None, str, bool]:
    """Numbers in the frame's order of atoms, or the reason why there are none; and whether work was done."""
    bare, back = sorted_by_element(atoms)
    found = series.known(bare)
    fresh = found is None or (retry and "failed" in found)
    if fresh:
        try:
            _refuse_charge(atoms, series)
            found = series(bare)
            if not np.all(np.isfinite(found["forces"])) or not np.isfinite(found["energy"]):
                raise Failed("energy or forces are not finite.")
        except (Stopped, OSError):
            raise
        except Exception as error:  # whatever is wrong with one frame must not end the others
            text = " ".join(str(error).split())
            reason = text if isinstance(error, (InputError, Failed)) else f"{type(error).__name__}: {text}"
            found = {"failed": reason}
            series.keep(bare, found)
    assert found is not None
    if "failed" in found:
        return None, found["failed"], fresh
    return {**found, "forces": np.array(found["forces"])[back]}, "", fresh


def _refuse_charge(atoms: Atoms, series: Series) -> None:
    """A set may say that a frame is charged; computing it neutral would label another system."""
    ours = float(series.parameters.get("charge") or 0)
    for name in CHARGES:
        theirs = atoms.info.get(name)
        if isinstance(theirs, (int, float, np.number)) and float(theirs) != ours:
            raise InputError(f"the frame says {name} = {theirs}, but charge is {ours:g}.")


def labelled(atoms: Atoms, numbers: dict[str, Any] | None, reason: str) -> Atoms:
    """A copy of a frame with its labels as ASE's results, or marked as failed; its other data stays.

    `energy` is the T -> 0 value and `free_energy` is A, to which forces and stress belong; stress in ASE's sign and order.
    """
    out = atoms.copy()
    for key in (*LABELS, STATUS, REASON):
        out.info.pop(key, None)
        out.arrays.pop(key, None)
    out.info[STATUS] = "failed" if numbers is None else "converged"
    if numbers is None:
        out.info[REASON] = reason.replace('"', "'")
        return out
    results = {name: numbers[name] for name in LABELS}
    results["stress"] = full_3x3_to_voigt_6_stress(np.array(numbers["stress"]))
    out.calc = SinglePointCalculator(out, **results)
    return out
