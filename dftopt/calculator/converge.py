r"""The cutoff and k mesh that a wanted accuracy needs, found by raising both.

Why differences. The total energy falls with the cutoff, and slowly: most of what is missing belongs to the cores of the
atoms, where the potentials are steep, and is the same in every structure that holds the same atoms. In the difference of
two structures it cancels. Silicon (GTH, LDA) at 10 hartree is 70 meV/atom above its energy at 14 hartree, while the
difference below changes by 3 meV/atom, which is the noise of plane waves that enter one by one. What a calculation is made
for (which structure is lower, how stiff it is, where atoms move) is a difference. Hence what is watched here is, with
`quantity` =

- "energy": E(V+) - E(V-) per atom, the structure expanded and compressed by 1.5 % along every axis. Volume changes the
  density of plane waves, so this is a harder case than moving atoms in a fixed cell;
- "forces": the forces on all atoms. Where symmetry makes them vanish, every atom is first moved by 0.05 angstrom;
- "stress": all components, of the structure as it is.

Why k points behave differently. The sum over a mesh of a smooth periodic function converges exponentially with the
density of the mesh: in insulators few points are enough. In a metal the occupation jumps at the Fermi surface; smearing
of width T makes it smooth on the scale of T, so a smaller width needs a denser mesh. Errors of meshes alternate in sign
and do not cancel between structures whose Fermi surfaces differ: a value that agrees with its neighbour by chance is
common, which is why two more meshes have to agree with the recommended one. Cutoff and mesh hardly influence each other,
so they are raised one after the other, and not on a grid.

Recommended is the first setting whose value lies within half the accuracy of all later ones, of which there are at least
two; the other half is left for what lies beyond the last one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.units import GPa

from dftopt.atoms import kpoints
from dftopt.calculator.series import Series, own_grid
from dftopt.errors import InputError
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

UNITS = {"energy": "eV/atom", "forces": "eV/angstrom", "stress": "GPa"}
ACCURACIES = {"energy": 1e-3, "forces": 0.01, "stress": 0.1}
STRAIN = 0.015  # of each axis, both ways
MOVED = 0.05  # angstrom
SYMMETRIC = 1e-3  # eV/angstrom: forces below this are taken to vanish by symmetry
SAFETY = 0.5  # part of the accuracy that the settings computed may use up
LATER = 2  # settings that have to agree with the recommended one
LOWEST, HIGHEST, STEP = 0.5, 2.5, 0.1  # of the default cutoff
SPACINGS = (0.6, 0.1)  # 1/angstrom: coarsest and finest mesh
FINER = 0.85  # from one mesh to the next


@dataclass(frozen=True)
class Point:
    """One setting.

    Attributes:
        setting: cutoff in eV, or the mesh.
        value: what is watched, in the unit of `UNITS`, flattened.
        total: total energy per atom of the first structure, eV.
        iterations, seconds: what it cost.
    """

    setting: Any
    value: np.ndarray
    total: float
    iterations: int
    seconds: float


@dataclass(frozen=True)
class Axis:
    """One quantity against one setting, "ecut" or "kpts".

    Attributes:
        name: of the setting.
        points: in the order of the settings.
        accuracy: wanted, in the unit of the quantity.
    """

    name: str
    points: tuple[Point, ...]
    accuracy: float

    @property
    def errors(self) -> np.ndarray:
        """Largest deviation of each value from all later ones; NaN for the last."""
        values = [p.value for p in self.points]
        later = [max((np.abs(w - v).max() for w in values[i + 1 :]), default=np.nan) for i, v in enumerate(values)]
        return np.array(later)

    @property
    def recommended(self) -> int | None:
        """Index of the first setting that agrees with all later ones, at least two; None if there is none."""
        good = np.flatnonzero(self.errors[:-LATER] <= SAFETY * self.accuracy)
        return int(good[0]) if len(good) else None


def check(atoms: Atoms, quantity: str) -> None:
    """Refuse what cannot be watched.

    Raises:
        InputError: an unknown quantity, or forces of a single atom.
    """
    if quantity not in UNITS:
        raise InputError(f"quantity = {quantity!r} is unknown: {', '.join(UNITS)}.")
    if quantity == "forces" and len(atoms) == 1:
        raise InputError("the force on a single atom vanishes by symmetry at every setting: watch energy or stress.")


def probes(atoms: Atoms, quantity: str, series: Series, **coarse) -> dict[str, Atoms]:
    """The structures that are computed at every setting.

    Args:
        atoms: the structure.
        quantity: one of `UNITS`.
        series: computes; for "forces" it is asked whether those of the structure vanish.
        **coarse: the setting at which it is asked.

    """
    check(atoms, quantity)
    if quantity == "energy":
        return {name: strained(atoms, sign * STRAIN) for name, sign in (("expanded", 1), ("compressed", -1))}
    if quantity == "stress":
        return {"as given": atoms}
    forces = np.array(series(atoms, "as given", **coarse)["forces"])
    if np.abs(forces).max() > SYMMETRIC:
        return {"as given": atoms}
    moved = atoms.copy()
    moved.set_constraint()
    direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
    moved.positions += MOVED * direction / np.linalg.norm(direction, axis=1)[:, None]
    return {"moved": moved}


def strained(atoms: Atoms, strain: float) -> Atoms:
    """The structure with every axis longer by a fraction; atoms move along."""
    out = atoms.copy()
    out.set_constraint()
    out.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
    return out


def observe(structures: dict[str, Atoms], quantity: str, series: Series, setting, **changed) -> Point:
    """All structures at one setting; `changed` holds `ecut` (eV) and `kpts`."""
    if len(structures) > 1:  # one FFT grid for all, that of the largest
        changed["fft"] = own_grid(max(structures.values(), key=lambda a: a.get_volume()), changed["ecut"])
    found = {name: series(a, name, **changed) for name, a in structures.items()}
    first = next(iter(found.values()))
    natoms = len(next(iter(structures.values())))
    if quantity == "energy":
        value = np.array([(found["expanded"]["energy"] - found["compressed"]["energy"]) / natoms])
    elif quantity == "forces":
        value = np.array(first["forces"]).ravel()
    else:
        value = np.array(first["stress"])[np.triu_indices(3)] / GPa
    iterations, seconds = (sum(f[key] for f in found.values()) for key in ("iterations", "seconds"))
    return Point(setting, value, first["energy"] / natoms, iterations, seconds)


def raise_until(
    name: str, settings: Iterable, accuracy: float, compute: Callable[[Any], Point], tell: Callable[[Axis], None]
) -> Axis:
    """Raise a setting until one can be recommended, or until there are no more."""
    axis = Axis(name, (), accuracy)
    for setting in settings:
        axis = Axis(name, (*axis.points, compute(setting)), accuracy)
        tell(axis)
        if axis.recommended is not None:
            break
    return axis


def cutoffs(default: float, highest: float | None = None) -> list[float]:
    """Cutoffs to try (eV): from half the default in steps of a tenth of it, whole hartree; at most 2.5 times the default."""
    step = max(1.0, round(STEP * default / HARTREE_IN_EV))
    first = max(2.0, round(LOWEST * default / HARTREE_IN_EV))
    last = (HIGHEST * default if highest is None else highest) / HARTREE_IN_EV
    return [float(c) * HARTREE_IN_EV for c in np.arange(first, last + 1e-9, step)]


def meshes(atoms: Atoms, finest: float | None = None) -> list[tuple[int, int, int]]:
    """Gamma-centred meshes to try, from 0.6 1/angstrom spacing down to 0.1, each different from the one before."""
    cell, out = atoms.cell.array / BOHR_IN_ANGSTROM, []
    spacing, last = SPACINGS[0], finest or SPACINGS[1]
    while spacing > last * (1 - 1e-9):
        size = kpoints.size_from_spacing(cell, spacing * BOHR_IN_ANGSTROM)
        if size not in out:
            out.append(size)
        spacing *= FINER
    return out
