"""Orbitals and densities of a molecule on a regular grid, for cube files."""

from pathlib import Path

import numpy as np

from dftopt.errors import InputError
from dftopt.properties.molecular import density, orbitals
from dftopt.properties.volumetric_files import write_field
from dftopt.units import BOHR_IN_ANGSTROM

MARGIN = 6.0  # bohr around the nuclei
SPACING = 0.25  # bohr


def write_molecular_field(path, result, what="density", spacing: float = SPACING, margin: float = MARGIN) -> Path:
    """Write a field of a molecule as a .cube or .xsf file.

    Args:
        path: of the file.
        result: of a molecule.
        what: "density" (electrons bohr^-3), "spin" (up minus down), or an orbital: its number from 0, or (spin, number);
            orbitals are in bohr^-3/2.
        spacing: of the grid points, bohr.
        margin: around the nuclei, bohr.

    Raises:
        InputError: another `what`, an orbital that is not there, or a suffix that is not known.
    """
    atoms = result.model.atoms.copy()
    positions = atoms.positions / BOHR_IN_ANGSTROM
    low = positions.min(axis=0) - margin
    counts = np.ceil((positions.max(axis=0) + margin - low) / spacing).astype(int)
    axes = [low[i] + spacing * np.arange(counts[i]) for i in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    if what in ("density", "spin"):
        rho = density(result, points)
        values = rho.sum(axis=0) if what == "density" else rho[0] - rho[-1]
    else:
        spin, number = what if isinstance(what, tuple) else (0, what)
        present = (
            isinstance(number, (int, np.integer)) and 0 <= number < result.basis.nao and 0 <= spin < result.model.nspin
        )
        if isinstance(what, str) or not present:
            raise InputError(
                f"what = {what!r} must be 'density', 'spin', or an orbital from 0 to {result.basis.nao - 1}."
            )
        values = orbitals(result, points, spin, number)[0]
    atoms.positions -= low * BOHR_IN_ANGSTROM
    atoms.cell = counts * spacing * BOHR_IN_ANGSTROM
    return write_field(path, atoms, values.reshape(counts), f"{what} of {atoms.get_chemical_formula()}")
