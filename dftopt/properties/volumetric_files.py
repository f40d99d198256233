"""Fields and Fermi surfaces as files that other programs draw: cube, XSF, BXSF.

References:
    Kokalj, the XCrySDen formats, http://www.xcrysden.org/doc/XSF.html.
"""

from pathlib import Path

import numpy as np
from ase.io.cube import write_cube
from ase.io.xsf import write_xsf

from dftopt import __version__
from dftopt.errors import InputError
from dftopt.properties.fermi_surface import FermiSurface
from dftopt.units import BOHR_IN_ANGSTROM, HARTREE_IN_EV

PER_LINE = 6


def write_field(path, atoms, field, title: str = "") -> Path:
    """Write a real field on the grid of a cell; the values stay in their unit.

    A cube file holds one period, (n1, n2, n3) values; an XSF file repeats the first planes at the end, as its readers want.

    Args:
        path: ending in .cube or .xsf.
        atoms: ASE atoms.
        field: (n1, n2, n3).
        title: what it is and its unit, on the first line.

    Returns:
        The path.

    Raises:
        InputError: another suffix, complex numbers, another shape.
    """
    path, field = Path(path), np.asarray(field)
    if field.ndim != 3 or np.iscomplexobj(field):
        raise InputError(
            f"the field has shape {field.shape} and type {field.dtype}: give real numbers (n1, n2, n3), such as psi.real."
        )
    suffix = path.suffix.lower()
    if suffix not in (".cube", ".xsf"):
        raise InputError(f"{path}: fields are written as .cube or .xsf.")
    drawn = atoms.copy()  # no calculator, whose forces the writer would ask for
    drawn.pbc = True
    title = " ".join(f"{title}, dftopt {__version__}".strip(", ").split())
    with path.open("w", encoding="utf-8") as file:
        if suffix == ".cube":
            write_cube(file, drawn, data=np.ascontiguousarray(field, float), comment=title)
            file.write("\n")
        else:
            file.write(f"# {title}\n")
            write_xsf(file, [drawn])
            _write_grid(file, drawn.cell.array, np.pad(field, [(0, 1)] * 3, mode="wrap"))
    return path


def _write_grid(file, cell, values) -> None:
    """XSF's block of a grid with its end points; ASE's writer keeps only six decimals."""
    rows = ["BEGIN_BLOCK_DATAGRID_3D", " data", " BEGIN_DATAGRID_3D_data"]
    rows += ["  " + " ".join(map(str, values.shape)), "  0.0 0.0 0.0"]
    rows += ["  " + " ".join(f"{x:.10f}" for x in v) for v in cell]
    file.write("\n".join(rows) + "\n")
    _write_numbers(file, values.reshape(-1, order="F"))  # the first index runs fastest
    file.write(" END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def write_fermi_surface(path, surface: FermiSurface, spin: int = 0, bands=None) -> Path:
    """Write bands on the full mesh, end points included, as BXSF for XCrySDen, FermiSurfer and others; eV, 1/angstrom.

    Args:
        path: ending in .bxsf.
        surface: from `fermi_surface`.
        spin: which spin.
        bands: indices; default those that cross the Fermi level.

    Returns:
        The path.

    Raises:
        InputError: another suffix, or no band crosses the Fermi level.
    """
    path = Path(path)
    if path.suffix.lower() != ".bxsf":
        raise InputError(f"{path}: Fermi surfaces are written as .bxsf.")
    chosen = surface.crossing(spin) if bands is None else [int(b) for b in bands]
    if not chosen:
        raise InputError("no band crosses the Fermi level on this mesh: an insulator, or too few k points or bands.")
    levels = np.pad(surface.levels[spin], [(0, 1)] * 3 + [(0, 0)], mode="wrap") * HARTREE_IN_EV
    reciprocal = 2 * np.pi * np.linalg.inv(surface.cell).T / BOHR_IN_ANGSTROM
    with path.open("w", encoding="utf-8") as file:
        file.write(
            f"BEGIN_INFO\n  # dftopt {__version__}, eV\n  Fermi Energy: {surface.fermi_levels[spin] * HARTREE_IN_EV:.8f}\n"
        )
        file.write("END_INFO\nBEGIN_BLOCK_BANDGRID_3D\n  band_energies\n  BEGIN_BANDGRID_3D_bands\n")
        file.write(f"    {len(chosen)}\n    {levels.shape[0]} {levels.shape[1]} {levels.shape[2]}\n    0.0 0.0 0.0\n")
        file.writelines("    " + " ".join(f"{x:.10f}" for x in b) + "\n" for b in reciprocal)
        for band in chosen:
            file.write(f"  BAND: {band + 1}\n")
            _write_numbers(file, levels[..., band].reshape(-1))  # the last index runs fastest
        file.write("  END_BANDGRID_3D\nEND_BLOCK_BANDGRID_3D\n")
    return path


def _write_numbers(file, values) -> None:
    whole = len(values) // PER_LINE * PER_LINE
    np.savetxt(file, values[:whole].reshape(-1, PER_LINE), fmt="%.8e")
    if whole < len(values):
        file.write(" ".join(f"{x:.8e}" for x in values[whole:]) + "\n")
