r"""Phonons by finite displacements: which atoms to move, and what follows from the forces. The bookkeeping is phonopy's.

Force constants are $\Phi_{i\alpha, j\beta} = -\partial F_{i\alpha} / \partial u_{j\beta}$, from forces on all atoms of a
supercell in which one atom is moved; frequencies are the roots of the eigenvalues of the dynamical matrix. Symmetry leaves
few displacements to compute, and an atom is moved both ways where no operation maps one way onto the other, so that the
cubic term cancels. Forces in error by dF put a frequency off by about dF / (2 m u omega): 1e-6 hartree/bohr at u = 0.01
angstrom are 0.1 cm^-1 for silicon.

References:
    Togo, Chaput, Tadano, Tanaka, J. Phys.: Condens. Matter 35, 353001 (2023).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from dftopt.errors import InputError

DISTANCE = 0.01  # angstrom
TOL = 2.7e-11  # eV per atom (1e-12 hartree): forces to about 1e-6 hartree/bohr
THZ_IN_PER_CM = 33.35640951981521
THZ_IN_MEV = 4.135667696923859
IMAGINARY = -0.1  # THz: below this a mode is called imaginary, above it is numerical noise of an acoustic one


@dataclass(frozen=True)
class Phonons:
    """Frequencies in THz; imaginary ones are negative.

    Attributes:
        gamma: at q = 0, ascending, with the sum rule; `gamma_raw` without it.
        q: (points, 3) fractional, along the path; `bands` (points, modes) there.
        dos_frequencies: where `dos` (states per THz and cell) is given.
        mesh: of the density of states.
        lowest: the lowest frequency found on path and mesh, and its q.
        force_constants: (atoms, supercell atoms, 3, 3), eV/angstrom^2.
    """

    gamma: np.ndarray
    gamma_raw: np.ndarray
    q: np.ndarray
    bands: np.ndarray
    dos_frequencies: np.ndarray
    dos: np.ndarray
    mesh: tuple[int, int, int]
    lowest: tuple[float, tuple[float, ...]]
    force_constants: np.ndarray

    @property
    def is_stable(self) -> bool:
        """Whether no mode is imaginary beyond noise."""
        return self.lowest[0] > IMAGINARY


def phonopy() -> Any:
    """The package.

    Raises:
        InputError: it is not installed.
    """
    try:
        import phonopy as package
    except ImportError:
        raise InputError(
            "phonons need the package phonopy: pip install 'dftopt[phonons]', or pip install phonopy."
        ) from None
    return package


def prepare(atoms: Atoms, supercell: tuple[int, int, int], distance: float = DISTANCE):
    """A `phonopy.Phonopy` with the displacements that have to be computed.

    Args:
        atoms: the cell whose phonons are wanted; q points and bands belong to it.
        supercell: how often it is repeated along each axis.
        distance: by which an atom is moved, angstrom.

    Raises:
        InputError: phonopy is missing, or it cannot use the structure.
    """
    package = phonopy()
    from phonopy.structure.atoms import PhonopyAtoms

    if len(supercell) != 3 or any(int(n) != n or n < 1 for n in supercell):
        raise InputError(f"supercell = {supercell!r}: three whole numbers of at least 1 are needed, such as 2 2 2.")
    if not 1e-4 <= distance <= 0.3:
        raise InputError(
            f"distance = {distance!r} angstrom: an atom is moved by 0.0001 to 0.3 angstrom, 0.01 is typical."
        )
    moments = atoms.get_initial_magnetic_moments()
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
        magnetic_moments=moments.tolist() if np.any(moments) else None,
    )
    try:
        phonon = package.Phonopy(cell, supercell_matrix=np.diag(supercell), primitive_matrix=np.eye(3))
        phonon.generate_displacements(distance=distance)
    except RuntimeError as error:
        raise InputError(f"phonopy cannot make displacements of this structure: {error}.") from None
    return phonon


def displaced(phonon) -> list[Atoms]:
    """The supercells whose forces are needed, in phonopy's order."""
    return [_ase(cell) for cell in phonon.supercells_with_displacements]


def _ase(cell) -> Atoms:
    atoms = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, masses=cell.masses, pbc=True)
    if cell.magnetic_moments is not None:
        atoms.set_initial_magnetic_moments(cell.magnetic_moments)
    return atoms


def solve(phonon, forces, path, mesh: tuple[int, int, int], sum_rule: bool = True) -> Phonons:
    """Frequencies from the forces on the displaced supercells.

    Args:
        phonon: from `prepare`.
        forces: (displacements, supercell atoms, 3), eV/angstrom, in the order of `displaced`.
        path: ASE `BandPath` of the cell, or (points, 3) fractional q.
        mesh: of q points for the density of states, Gamma-centred.
        sum_rule: make the force constants symmetric and their sums zero, as translations demand.
    """
    phonon.forces = np.asarray(forces, float)
    phonon.produce_force_constants()
    raw = frequencies(phonon, [[0, 0, 0]])[0]
    if sum_rule:
        phonon.symmetrize_force_constants()
    gamma = frequencies(phonon, [[0, 0, 0]])[0]
    q = np.asarray(getattr(path, "kpts", path), float)
    bands = frequencies(phonon, q)
    phonon.run_mesh(mesh, is_gamma_center=True)
    on_mesh, mesh_q = np.asarray(phonon.mesh.frequencies), np.asarray(phonon.mesh.qpoints)
    span = max(on_mesh.max() - on_mesh.min(), 1e-3)
    phonon.run_total_dos(
        freq_min=on_mesh.min() - 0.05 * span, freq_max=on_mesh.max() + 0.05 * span, freq_pitch=span / 400
    )
    dos = phonon.total_dos
    everything, points = np.concatenate([bands, on_mesh]), np.concatenate([q, mesh_q])
    worst = int(everything.min(axis=1).argmin())
    lowest = (float(everything[worst].min()), tuple(float(x) for x in points[worst]))
    return Phonons(
        gamma, raw, q, bands, np.asarray(dos.frequency_points), np.asarray(dos.dos), mesh, lowest, np.asarray(phonon.force_constants)
    )  # fmt: skip


def frequencies(phonon, q) -> np.ndarray:
    """(points, modes) THz, ascending; imaginary ones negative."""
    phonon.run_qpoints(np.asarray(q, float))
    return np.sort(np.asarray(phonon.qpoints.frequencies), axis=1)


def supercell_mesh(size, supercell) -> tuple[int, int, int]:
    """The k mesh of a supercell that is at least as dense as that of its cell; the same points where sizes divide."""
    a, b, c = (-(-int(n) // int(s)) for n, s in zip(size, supercell, strict=True))
    return a, b, c
