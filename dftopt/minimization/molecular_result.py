"""What a minimization of a molecule returns: the result of a crystal, with one k point and a molecule's properties."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dftopt.errors import InputError
from dftopt.minimization.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class MolecularResult(Result):
    """The minimum of the free energy of a molecule in Gaussians. Hartree and bohr.

    Fields are those of `Result`, with these meanings: `energies.local` is the attraction by the nuclei, `.nonlocal_` that
    of effective core potentials, `.ewald` the repulsion of the nuclei; `eigenvalues` and `occupations` (spin, 1, orbital) are
    of all orbitals of the basis, zero is the vacuum; `psi` (spin, 1, orbital, function) holds their coefficients as rows;
    `potential` is None: it is computed from the orbitals where it is needed; `point` holds the orbitals at which the
    descent ended.
    """

    @property
    def coefficients(self) -> np.ndarray:
        """Orbitals as columns (spin, function, orbital), as quantum chemistry programs keep them."""
        return np.asarray(self.psi)[:, 0].swapaxes(1, 2)

    def density_matrix(self) -> np.ndarray:
        """One-particle density matrix per spin (spin, function, function); electrons of both spins where there is one."""
        w = (2.0 / self.model.nspin) * np.asarray(self.occupations)[:, 0]
        c = np.asarray(self.psi)[:, 0]
        return np.einsum("sbi,sb,sbj->sij", c, w, c, optimize=True)

    @cached_property
    def _forces(self) -> np.ndarray:
        from dftopt.properties.molecular_forces import forces

        return forces(self)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was chosen: basis, integrals, core potentials."""
        return self.basis.notes

    def stress(self, allow_unconverged: bool = False) -> np.ndarray:
        """A molecule has none.

        Raises:
            InputError: always.
        """
        raise InputError("A molecule in Gaussians has no cell and hence no stress.")

    def density(self, points=None) -> np.ndarray:
        """Electron density (spin, n) at Cartesian points (n, 3), bohr; default those of the quadrature grid."""
        from dftopt.properties.molecular import density

        return density(self, points)

    def dipole(self) -> np.ndarray:
        r"""Dipole moment $\sum_a Z_a R_a - \int \rho\, r\, dr$ (3,), e bohr; that of an ion is about its centre of nuclear charge."""
        from dftopt.properties.molecular import dipole

        return dipole(self)

    def charges(self, kind: str = "mulliken") -> np.ndarray:
        """Charges of the atoms (atoms,), units of e.

        Args:
            kind: "mulliken" or "loewdin".

        Raises:
            InputError: another kind.
        """
        from dftopt.properties.molecular import populations

        return np.asarray(self.basis.mol.atom_charges()) - populations(self, kind).sum(axis=0)

    def moments(self, kind: str = "mulliken") -> np.ndarray:
        """Magnetic moments of the atoms (atoms,), bohr magnetons; see `charges`."""
        from dftopt.properties.molecular import populations

        n = populations(self, kind)
        return n[0] - n[-1]

    @property
    def spin_squared(self) -> float:
        r"""<S^2> of the determinant, $S_z (S_z + 1) + N_\downarrow - \sum_{ij} |\langle\uparrow_i|\downarrow_j\rangle|^2$."""
        from dftopt.properties.molecular import spin_squared

        return spin_squared(self)

    def to_pyscf(self):
        """A mean-field object of PySCF with these orbitals, energies and occupations, for its post-processing."""
        from dftopt.properties.molecular import to_pyscf

        return to_pyscf(self)

    def save(self, path) -> None:
        """Write everything to an HDF5 file that `dftopt.load` reads; replaces it atomically."""
        from dftopt.properties.molecular_files import save

        save(self, path)
