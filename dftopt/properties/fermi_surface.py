"""Levels on the full mesh of k points, for pictures of the Fermi surface."""

from dataclasses import dataclass

import numpy as np

from dftopt.atoms import kpoints
from dftopt.errors import InputError
from dftopt.properties.bands import eigenvalues_at
from dftopt.properties.dos import finer_mesh


@dataclass(frozen=True, eq=False)
class FermiSurface:
    """Bands on a Gamma-centred mesh.

    Attributes:
        levels: (spin, n1, n2, n3, band), hartree, at k = i / n; periodic, the end points are not repeated.
        fermi_levels: of each spin, hartree; they differ where the magnetization was held fixed.
        cell: (3, 3) rows, bohr.
    """

    levels: np.ndarray
    fermi_levels: tuple[float, ...]
    cell: np.ndarray

    def crossing(self, spin: int = 0) -> list[int]:
        """Bands that have levels below and above the Fermi level."""
        e = self.levels[spin].reshape(-1, self.levels.shape[-1])
        fermi = self.fermi_levels[spin]
        return [int(b) for b in np.flatnonzero((e.min(axis=0) < fermi) & (e.max(axis=0) > fermi))]


def fermi_surface(result, kpts=None, nbands: int | None = None) -> FermiSurface:
    """Levels on a full mesh, unfolded from the points that symmetry leaves.

    Args:
        result: a converged result.
        kpts: a finer Gamma-centred mesh (n1, n2, n3), whose levels are computed in the result's potential; default the
            result's own.
        nbands: bands on that mesh.

    Raises:
        NotConverged: the result did not converge.
        InputError: the result's k points are shifted or no mesh, and kpts is not given.
    """
    result.require_converged("The Fermi surface")
    if kpts is None:
        points, e = result.basis.kpoints, result.eigenvalues
        if points.size is None or np.any(np.array(points.shift) != 0):
            raise InputError(
                "the Fermi surface needs a Gamma-centred mesh, and the result's k points are "
                f"{'explicit' if points.size is None else 'shifted'}: give kpts=(n1, n2, n3), for which levels are computed."
            )
    else:
        points = finer_mesh(result, kpts)
        e = eigenvalues_at(result, points.k, nbands)
    fermi = tuple(float(x) for x in np.resize(result.fermi_levels, len(e)))
    return FermiSurface(e[:, kpoints.unfold(points)], fermi, result.model.structure.cell)
