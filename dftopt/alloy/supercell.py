"""Periodic supercells of the parent lattice: numbers of their sites, and which sites make up each cluster."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms

from dftopt.alloy.clusters import Orbit
from dftopt.alloy.parent import Parent
from dftopt.errors import InputError


@dataclass(frozen=True, eq=False)
class Supercell:
    """A supercell whose sites are numbered by cell (row-major in the box of the Hermite normal form), then basis site.

    Args:
        parent: the lattice.
        matrix: (3, 3) rows are its vectors in primitive ones, whole numbers.
    """

    parent: Parent
    matrix: np.ndarray

    @classmethod
    def of(cls, parent: Parent, size) -> "Supercell":
        """`size` conventional cells along each axis.

        Raises:
            InputError: not three whole positive numbers.
        """
        edges = np.asarray(size)
        if edges.shape != (3,) or edges.dtype.kind not in "iu" or (edges < 1).any():
            raise InputError(f"size = {size!r} must be three whole positive numbers of conventional cells.")
        return cls(parent, edges[:, None] * parent.conventional)

    @cached_property
    def hermite(self) -> np.ndarray:
        """Row Hermite normal form: upper triangular, the same for every choice of vectors of one lattice."""
        return hermite(self.matrix)

    @property
    def key(self) -> bytes:
        """Equal for equal lattices."""
        return self.hermite.tobytes()

    @property
    def cells(self) -> int:
        """Number of primitive cells."""
        return int(np.prod(np.diag(self.hermite)))

    def __len__(self) -> int:
        """Number of sites."""
        return self.cells * len(self.parent.basis)

    @cached_property
    def sites(self) -> np.ndarray:
        """(n, 4) every site once, in the order of their numbers."""
        box = np.diag(self.hermite)
        grid = np.stack(np.meshgrid(*map(np.arange, box), indexing="ij"), -1).reshape(-1, 3)
        b = len(self.parent.basis)
        return np.concatenate([np.tile(np.arange(b), len(grid))[:, None], np.repeat(grid, b, 0)], 1)

    def index(self, sites: np.ndarray) -> np.ndarray:
        """Numbers (...) of sites (..., 4) anywhere in space."""
        h = self.hermite
        x = sites[..., 1:].astype(np.int64).copy()
        for i in range(3):
            x -= np.floor_divide(x[..., i], h[i, i])[..., None] * h[i]
        return ((x[..., 0] * h[1, 1] + x[..., 1]) * h[2, 2] + x[..., 2]) * len(self.parent.basis) + sites[..., 0]

    def clusters(self, orbit: Orbit) -> np.ndarray:
        """(cells x m, k) numbers of the sites of every cluster of an orbit."""
        cells = self.sites[:: len(self.parent.basis), 1:]
        every = np.repeat(orbit.instances[None], len(cells), 0)
        every[..., 1:] += cells[:, None, None]
        return self.index(every).reshape(-1, orbit.order)

    def neighbours(self, vectors: np.ndarray) -> np.ndarray:
        """(n, z) numbers of the neighbours at `vectors` (basis, z, 4) of every site."""
        near = vectors[self.sites[:, 0]].copy()
        near[..., 1:] += self.sites[:, None, 1:]
        return self.index(near)

    def atoms(self, symbols, vacancy: str | None = None) -> Atoms:
        """ASE Atoms on the ideal sites; the symbol `vacancy` is left out."""
        made = [(s, p) for s, p in zip(symbols, self.parent.position(self.sites), strict=True) if s != vacancy]
        atoms = Atoms([s for s, _ in made], [p for _, p in made], cell=self.matrix @ self.parent.cell, pbc=True)
        atoms.wrap()
        return atoms


def hermite(matrix) -> np.ndarray:
    """Row Hermite normal form (3, 3) of whole numbers: upper triangular, positive, entries above the diagonal reduced.

    Raises:
        InputError: the rows are linearly dependent.
    """
    h = [[int(x) for x in row] for row in np.asarray(matrix)]
    for c in range(3):
        for r in range(c + 1, 3):
            while h[r][c]:
                q = h[c][c] // h[r][c]
                h[c], h[r] = h[r], [a - q * b for a, b in zip(h[c], h[r], strict=True)]
        if h[c][c] == 0:
            raise InputError(f"The vectors {np.asarray(matrix).tolist()} of a supercell are linearly dependent.")
        if h[c][c] < 0:
            h[c] = [-a for a in h[c]]
        for r in range(c):
            q = h[r][c] // h[c][c]
            h[r] = [a - q * b for a, b in zip(h[r], h[c], strict=True)]
    return np.array(h)
