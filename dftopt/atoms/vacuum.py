"""Where a structure ends: its extent, the vacuum around it, and the axes along which it is not repeated."""

from dataclasses import dataclass

import numpy as np
from ase.geometry import minkowski_reduce

from dftopt.atoms.checks import check_choice
from dftopt.atoms.structure import Structure
from dftopt.errors import InputError
from dftopt.units import BOHR_IN_ANGSTROM

COULOMB = ("periodic", "0d", "2d")
LEAST_TAIL = 1.5 / BOHR_IN_ANGSTROM  # bohr; density this far from the outermost atoms is not negligible at all
GOOD_TAIL = 3.0 / BOHR_IN_ANGSTROM  # bohr; beyond it neutral molecules are converged to about 1e-4 hartree and better
LEAST_VACUUM = 3.0 / BOHR_IN_ANGSTROM  # bohr, around a slab with a dipole correction


@dataclass(frozen=True, eq=False)
class Vacuum:
    """The axes along which the Coulomb interaction is cut, or a dipole corrected, and the atoms made whole along them.

    Attributes:
        coulomb: "periodic", "0d" or "2d".
        dipole: whether a slab's dipole is corrected.
        axis: cell vector that leaves the plane of a slab; 2 where there is none.
        radius: of the cut, bohr; zero when periodic.
        shifts: (atoms, 3) integers; frac + shifts is whole, not split by the faces of the cell.
        middle: fractional coordinate of the middle of a slab along `axis`.
        extent: largest distance of two atoms (0d) or thickness (slabs), bohr.
        tail: how far beyond the outermost atoms their electrons may reach before they see a copy, bohr.
    """

    coulomb: str
    dipole: bool
    axis: int
    radius: float
    shifts: np.ndarray
    middle: float
    extent: float
    tail: float

    @property
    def isolated(self) -> tuple[bool, bool, bool]:
        """Along which cell vectors nothing is repeated."""
        kind = self.coulomb
        return tuple(kind == "0d" or (kind == "2d" and i == self.axis) for i in range(3))  # type: ignore[return-value]

    @property
    def repeated(self) -> tuple[bool, bool, bool]:
        """Along which cell vectors the atoms are repeated."""
        return tuple(not x for x in self.isolated)  # type: ignore[return-value]

    def keeps_axis(self, rotations: np.ndarray) -> np.ndarray:
        """Which rotations (n, 3, 3) of fractional coordinates leave the normal of the slab alone, or turn it around."""
        if self.coulomb != "2d" and not self.dipole:
            return np.full(len(rotations), True)
        return np.all(np.abs(rotations[:, self.axis]) == np.eye(3, dtype=int)[self.axis], axis=1)

    def check_kpoints(self, k: np.ndarray) -> None:
        """Refuse k points (n, 3) that differ from zero along an axis without copies."""
        for i in np.flatnonzero(self.isolated):
            if np.any(np.abs(k[:, i]) > 1e-9):
                raise InputError(
                    f"coulomb = {self.coulomb!r}: nothing is repeated along {'abc'[i]}, so k points other than 0 there mean "
                    f"nothing. Use kpts with 1 (unshifted) along {'abc'[i]}."
                )


def heights(cell: np.ndarray) -> np.ndarray:
    """Distance between the two faces of the cell along each axis."""
    return 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def largest_gaps(frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The widest layer without atoms along each axis: its fractional width and where it ends (the first atom above)."""
    x = np.sort(frac % 1.0, axis=0)
    gaps = np.diff(x, axis=0, append=x[:1] + 1)
    i = gaps.argmax(axis=0)
    return gaps.max(axis=0), x[(i + 1) % len(x), np.arange(3)]


def find_vacuum(
    s: Structure,
    coulomb: str = "periodic",
    dipole: bool = False,
    pbc=(True, True, True),
    charge: float = 0,
    force: bool = False,
) -> Vacuum:
    """Choose the axis and check the room.

    Args:
        s: the structure.
        coulomb: "periodic", "0d" or "2d".
        dipole: correct the dipole of a slab.
        pbc: which axes are periodic; a single one that is not is the axis of "2d" and of the dipole correction, else
            the one with the widest vacuum.
        charge: of the cell; slabs have to be neutral.
        force: let boxes pass that are too small, unless atoms would not interact.

    Raises:
        InputError: an unknown name, axes that do not fit, or a box that is too small.
    """
    check_choice("coulomb", coulomb, COULOMB)
    if dipole and coulomb != "periodic":
        raise InputError(
            f"dipole_correction = True goes with coulomb = 'periodic': with {coulomb!r} no copy of the dipole is left. "
            "Leave it out."
        )
    if charge and (coulomb == "2d" or dipole):
        raise InputError(
            f"charge = {charge:g}: the field of a charged slab reaches to infinity, so coulomb = '2d' and dipole_correction "
            "are for neutral slabs. Use coulomb = 'periodic', where a background neutralizes the cell."
        )
    h, (gaps, above) = heights(s.cell), largest_gaps(s.frac)
    axis = _slab_axis(pbc, gaps * h, coulomb, dipole) if coulomb == "2d" or dipole else 2
    cut = above - 0.5 * gaps  # in the middle of the gap
    shifts = -np.floor(s.frac - cut).astype(int)
    middle = float(cut[axis] + 0.5)
    if coulomb == "0d":
        whole = (s.frac + shifts) @ s.cell
        extent = float(max(np.linalg.norm(whole - x, axis=1).max() for x in whole))
        radius = 0.5 * float(np.linalg.norm(minkowski_reduce(s.cell)[0], axis=1).min())
        found = Vacuum(coulomb, dipole, axis, radius, shifts, middle, extent, 0.5 * (radius - extent))
        _check_sphere(found, force)
        return found
    shifts = np.where((np.arange(3) == axis) & (coulomb == "2d" or dipole), shifts, 0)
    extent = float((1 - gaps[axis]) * h[axis])
    radius = 0.5 * float(h[axis]) if coulomb == "2d" else 0.0
    tail = 0.5 * (radius - extent) if coulomb == "2d" else 0.5 * float(gaps[axis] * h[axis])
    found = Vacuum(coulomb, dipole, axis, radius, shifts, middle, extent, tail)
    if coulomb == "2d":
        _check_slab(found, force)
    elif dipole and 2 * tail < LEAST_VACUUM and not force:
        raise InputError(
            f"dipole_correction = True: the widest vacuum along {'abc'[axis]} is {2 * tail * BOHR_IN_ANGSTROM:.2f} angstrom "
            f"thick, too thin for the jump of the correcting potential. Give at least {LEAST_VACUUM * BOHR_IN_ANGSTROM:g}, "
            "better 8 angstrom."
        )
    return found


def _slab_axis(pbc, widths, coulomb, dipole) -> int:
    open_axes = [i for i in range(3) if not pbc[i]]
    if len(open_axes) > 1:
        what = f"coulomb = {coulomb!r}" if not dipole else "dipole_correction = True"
        raise InputError(
            f"{what} is for slabs, which repeat along two axes, but atoms.pbc = {[bool(x) for x in pbc]}. "
            "Set pbc = True along the two axes of the plane, or use coulomb = '0d' for a molecule."
        )
    return open_axes[0] if open_axes else int(np.argmax(widths))


def _check_sphere(v: Vacuum, force: bool) -> None:
    a = BOHR_IN_ANGSTROM
    need = 2 * (v.extent + 2 * GOOD_TAIL) * a
    if v.extent >= v.radius or (v.tail < LEAST_TAIL and not force):
        raise InputError(
            f"coulomb = '0d': the atoms reach over {v.extent * a:.2f} angstrom, and the shortest distance to their copies is "
            f"{2 * v.radius * a:.2f} angstrom. The box has to hold twice the molecule and its electrons: make every cell "
            f"vector at least {need:.1f} angstrom long, such as atoms.cell = [{need:.1f}] * 3."
        )


def _check_slab(v: Vacuum, force: bool) -> None:
    a = BOHR_IN_ANGSTROM
    need = 2 * (v.extent + 2 * GOOD_TAIL) * a
    if v.extent >= v.radius or (v.tail < LEAST_TAIL and not force):
        raise InputError(
            f"coulomb = '2d': the slab is {v.extent * a:.2f} angstrom thick and the cell {2 * v.radius * a:.2f} angstrom high "
            f"along {'abc'[v.axis]}. The cell has to hold twice the slab and its electrons: make it at least {need:.1f} "
            f"angstrom high, atoms.center(vacuum={(need - v.extent * a) / 2:.1f}, axis={v.axis})."
        )
