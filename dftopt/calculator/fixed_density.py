"""What a calculator hands out for k points that are not its own, and the points of its mesh."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.abc import GetOutputsMixin
from ase.dft.kpoints import BandPath, monkhorst_pack
from ase.spectrum.band_structure import BandStructure, get_band_structure

from dftopt.atoms.kpoints import KPoints
from dftopt.calculator import setup
from dftopt.errors import InputError

NPOINTS = 60  # of a band path


class FixedDensity(GetOutputsMixin):
    """Levels in the potential of an earlier calculation, with ASE's getters; eV.

    Attributes:
        atoms: the structure.
        results: eigenvalues, k points and Fermi level, by ASE's names.
        path: the band path, if the k points are one.
    """

    def __init__(self, atoms: Atoms, results: dict, path: BandPath | None):
        self.atoms = atoms
        self.results = results
        self.path = path

    def _outputmixin_get_results(self) -> Mapping[str, Any]:
        return self.results

    def band_structure(self) -> BandStructure:
        """The levels as ASE's `BandStructure`; its reference is the Fermi level."""
        if self.path is None:
            return get_band_structure(calc=self)
        return BandStructure(self.path, self.results["eigenvalues"], reference=self.results["fermi_level"])


def points_of(kpts, result, parameters: Mapping[str, Any]) -> tuple[BandPath | None, np.ndarray, np.ndarray]:
    """Band path (if it is one), fractional points and weights of what `DFTOpt.fixed_density` is given.

    Raises:
        InputError: a path that the lattice does not have, or a wrong mesh.
    """
    if isinstance(kpts, str):
        kpts = {"path": kpts, "npoints": NPOINTS}
    path = None
    if isinstance(kpts, Mapping) and "path" in kpts:
        try:
            path = result.model.atoms.cell.bandpath(**kpts)
        except (KeyError, TypeError, ValueError) as error:
            have = ", ".join(result.model.atoms.cell.bandpath(npoints=0).special_points)
            raise InputError(
                f"kpts = {dict(kpts)!r} is not a path of this lattice ({error}); its special points are {have}."
            ) from None
    elif isinstance(kpts, BandPath):
        path = kpts
    if path is not None:
        return path, path.kpts, np.full(len(path.kpts), 1 / len(path.kpts))
    if not isinstance(kpts, Mapping) and np.ndim(kpts) == 2:
        return None, np.asarray(kpts, float), np.full(len(kpts), 1 / len(kpts))
    points = setup.build(result.model.atoms, {**parameters, "kpts": kpts, "weights": None}).basis.kpoints
    return None, points.k, points.weights


def full_mesh(points: KPoints) -> np.ndarray:
    """All fractional points of a mesh, before reduction by symmetry, in ASE's order."""
    if points.size is None:
        return points.k
    n = np.array(points.size)
    return monkhorst_pack(points.size) + ((n - 1) / 2 - (n - 1) // 2 + np.array(points.shift)) / n


def to_irreducible(points: KPoints) -> np.ndarray:
    """For each of `full_mesh` the equivalent one of the reduced mesh."""
    full = full_mesh(points)
    out = np.full(len(full), -1)
    for rotation in points.symmetry.rotations:
        for sign in (1, -1):
            difference = full[:, None] - points.k @ (sign * rotation)
            same = np.all(np.abs(difference - np.round(difference)) < 1e-6, axis=-1)
            out = np.where((out < 0) & same.any(axis=1), same.argmax(axis=1), out)
    return out
