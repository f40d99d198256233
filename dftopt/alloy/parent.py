"""The parent lattice: primitive cell, conventional cell and symmetry of the sites that species share."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import spglib
from ase import Atoms

from dftopt.errors import InputError

TOLERANCE = 1e-3  # angstrom, of symmetry and of equal distances


@dataclass(frozen=True, eq=False)
class Parent:
    """A lattice whose sites are all alike: bcc, fcc, hcp and others with one kind of site.

    A site is a row (b, x, y, z) of integers: the basis site b in the cell x, y, z.

    Args:
        cell: (3, 3) rows are the vectors of the primitive cell, angstrom.
        basis: (sites, 3) fractional coordinates in it.
        conventional: (3, 3) rows are the conventional vectors in primitive ones, whole numbers.
        rotations: (operations, 3, 3), of fractional column vectors.
        images: (operations, sites) basis site to which each is sent, and
        shifts: (operations, sites, 3) the cell it is sent to.
    """

    cell: np.ndarray
    basis: np.ndarray
    conventional: np.ndarray
    rotations: np.ndarray
    images: np.ndarray
    shifts: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms) -> "Parent":
        """The lattice of the atoms of one cell, whatever their species.

        Raises:
            InputError: no cell in three directions, no symmetry found, or sites of more than one kind.
        """
        if not isinstance(atoms, Atoms):
            raise InputError(f"parent = {atoms!r} must be ASE Atoms, such as ase.build.bulk('Nb', 'bcc', a=3.3).")
        if len(atoms) == 0 or abs(np.linalg.det(atoms.cell[:])) < 1e-6:
            raise InputError("parent must have a cell in three directions and at least one atom.")
        given = (atoms.cell[:], atoms.get_scaled_positions(), np.ones(len(atoms), int))
        primitive, found = _symmetry(given)
        if found is None:
            raise InputError("The symmetry of the parent lattice cannot be found: are two of its atoms at one place?")
        cell, basis, _ = primitive
        kinds = len(set(found.equivalent_atoms.tolist()))
        if kinds > 1:
            raise InputError(
                f"The parent lattice has {kinds} kinds of sites; all sites must be equivalent (bcc, fcc, hcp)."
            )
        conventional = np.linalg.inv(found.transformation_matrix).T
        whole = np.rint(conventional).astype(int)
        if abs(conventional - whole).max() > 1e-3:
            raise InputError("The conventional cell of the parent does not consist of primitive ones.")
        moved = np.einsum("oij,bj->obi", found.rotations, basis) + found.translations[:, None]
        away = moved[:, :, None] - basis[None, None]
        shifts = np.rint(away)
        gap = np.linalg.norm((away - shifts) @ cell, axis=-1)
        images = gap.argmin(-1)
        if gap.min(-1).max() > 10 * TOLERANCE:
            raise InputError("The symmetry of the parent lattice does not map its sites onto each other.")
        shifts = np.take_along_axis(shifts, images[..., None, None], 2)[:, :, 0].astype(int)
        return cls(np.array(cell), np.array(basis), whole, np.array(found.rotations), images, shifts)

    def position(self, sites: np.ndarray) -> np.ndarray:
        """Cartesian positions (..., 3) of sites (..., 4), angstrom."""
        return (self.basis[sites[..., 0]] + sites[..., 1:]) @ self.cell

    def moved(self, sites: np.ndarray) -> np.ndarray:
        """Images (operations, ..., 4) of sites (..., 4) under every symmetry."""
        b = sites[..., 0]
        cells = np.einsum("oij,...j->o...i", self.rotations, sites[..., 1:]) + self.shifts[:, b]
        return np.concatenate([self.images[:, b][..., None], cells], -1)

    def neighbours(self, cutoff: float) -> np.ndarray:
        """Sites (n, 4) within the cutoff (angstrom) of basis site 0 in the cell 0, itself left out."""
        reach = np.ceil(cutoff * np.linalg.norm(np.linalg.inv(self.cell), axis=0)).astype(int) + 1
        span = [np.arange(-r, r + 1) for r in reach]
        grid = np.stack(np.meshgrid(np.arange(len(self.basis)), *span, indexing="ij"), -1).reshape(-1, 4)
        away = np.linalg.norm(self.position(grid) - self.position(np.zeros(4, int)), axis=-1)
        return grid[(away > TOLERANCE) & (away < cutoff + TOLERANCE)]

    @cached_property
    def nearest(self) -> float:
        """Distance of nearest neighbours, angstrom."""
        return float(self.shells(2 * (self.volume * 2) ** (1 / 3))[0])

    @property
    def volume(self) -> float:
        """Per site, cubic angstrom."""
        return abs(float(np.linalg.det(self.cell))) / len(self.basis)

    def shells(self, cutoff: float) -> np.ndarray:
        """Distances of the neighbour shells within the cutoff, angstrom."""
        sites = self.neighbours(cutoff)
        away = np.sort(np.linalg.norm(self.position(sites) - self.position(np.zeros(4, int)), axis=-1))
        return away[np.r_[True, np.diff(away) > 10 * TOLERANCE]] if away.size else away

    def shell_vectors(self, shell: int) -> np.ndarray:
        """(basis, z, 4) the neighbours of each basis site in shell 1, 2, ...: rows (b, x, y, z) relative to its cell."""
        radius = self.nearest
        while len(self.shells(radius)) < shell:
            radius *= 1.2
        distance = self.shells(radius)[shell - 1]
        near = self.neighbours(distance)
        away = np.linalg.norm(self.position(near) - self.position(np.zeros(4, int)), axis=-1)
        near = near[abs(away - distance) < 10 * TOLERANCE]
        out = []
        for b in range(len(self.basis)):
            operation = int(np.argmax(self.images[:, 0] == b))
            moved = self.moved(near)[operation]
            moved[:, 1:] -= self.shifts[operation, 0]
            out.append(moved[np.lexsort(moved.T[::-1])])
        return np.stack(out)


def _symmetry(given):
    """Primitive cell and its symmetry by spglib; None where it finds nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # announces that failures will be raised
        try:
            primitive = spglib.standardize_cell(given, to_primitive=True, no_idealize=True, symprec=TOLERANCE)
            return primitive, spglib.get_symmetry_dataset(primitive, symprec=TOLERANCE) if primitive else None
        except getattr(spglib, "SpglibError", RuntimeError):
            return None, None
