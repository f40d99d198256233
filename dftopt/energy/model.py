"""The physics of a calculation: atoms, functional, potentials. No discretization."""

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms

from dftopt import xc as _xc
from dftopt.atoms import checks
from dftopt.atoms.gth import GTH
from dftopt.atoms.potentials import choose
from dftopt.atoms.structure import Structure, from_ase
from dftopt.atoms.tabulated import Tabulated
from dftopt.energy import dispersion
from dftopt.errors import DFTOptWarning, InputError


@dataclass(frozen=True, eq=False)
class Model:
    """What is computed, whatever the basis.

    Args:
        atoms: ASE atoms (angstrom), periodic along all three cell vectors for plane waves.
        xc: "LDA" (Slater + PW92), "PBE", "PBEsol", "none", or libxc names joined by "+"; default
            what the potentials' files name, else PBE.
        pseudopotentials: per element the name of a GTH potential ("GTH-PADE-q4") or family ("GTH-PBE") or the path of a
            norm-conserving UPF or psp8 file; or one family, or one folder with a file per element, for all; default the
            GTH family that fits the functional (GTH-PADE for LDA and "none", else GTH-PBE).
        spinpol: collinear spin; the initial magnetic moments of the atoms are where it starts (those of free atoms
            where none is set).
        charge: total charge in units of e. In a periodic cell a uniform background neutralizes it; with coulomb="0d"
            there is none.
        dispersion: None, or "d3bj": D3 with Becke-Johnson damping for a GGA or meta-GGA, by the package dftd3.
        force: let atoms pass that are closer than half the sum of their covalent radii.

    Raises:
        InputError: anything wrong with atoms, functional or potentials, before anything is allocated.
    """

    atoms: Atoms
    xc: str | None = None
    pseudopotentials: Any = None
    spinpol: bool = False
    charge: float = 0
    dispersion: str | None = None
    force: bool = field(default=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.atoms, Atoms):
            raise InputError(
                f"atoms must be an ase.Atoms object, not {type(self.atoms).__name__}: ase.io.read(file) gives one."
            )
        for name in ("spinpol", "force"):
            object.__setattr__(self, name, checks.check_truth(name, getattr(self, name)))
        object.__setattr__(self, "atoms", self.atoms.copy())  # a later change of the caller's atoms must not reach us
        checks.check_atoms(self.atoms, periodic=(False, False, False), force=self.force)
        _ = self.functional, self.potentials
        if self.notes:
            warnings.warn("; ".join(self.notes) + ".", DFTOptWarning, stacklevel=3)
        if self.dispersion is not None:
            dispersion.check(self.dispersion, self.functional, self.atoms.numbers)
        self._check_charge()
        if self.spinpol:
            checks.check_moments(self.atoms.get_initial_magnetic_moments(), self.n_electrons, len(self.atoms))

    def _check_charge(self) -> None:
        if isinstance(self.charge, bool) or not isinstance(self.charge, (int, float, np.number)):
            raise InputError(f"charge = {self.charge!r} must be a number, in units of e: 1 takes one electron away.")
        if not np.isfinite(float(self.charge)) or self.n_electrons <= 0:
            raise InputError(
                f"charge = {self.charge!r} leaves {self.n_electrons:g} of the {self.n_electrons + self.charge:g} valence "
                "electrons, at least part of one is needed. Lower it, or take potentials with more valence electrons."
            )

    @cached_property
    def _choice(self):
        species = tuple(dict.fromkeys(self.atoms.get_chemical_symbols()))
        return choose(self.pseudopotentials, species, self.xc)

    @property
    def functional(self) -> _xc.Functional:
        """The exchange-correlation functional."""
        return self._choice[0]

    @property
    def potentials(self) -> dict[str, GTH | Tabulated]:
        """Potential of each element."""
        return self._choice[1]

    @property
    def notes(self) -> tuple[str, ...]:
        """What is legal but worth knowing: potentials that were made for another functional."""
        return self._choice[2]

    @cached_property
    def structure(self) -> Structure:
        """The atoms in bohr."""
        return from_ase(self.atoms)

    @property
    def nspin(self) -> int:
        """Number of spin channels of the density: 1, or 2 with spin polarization."""
        return 2 if self.spinpol else 1

    @cached_property
    def n_electrons(self) -> float:
        """Valence electrons per cell."""
        return float(sum(self.potentials[s].charge for s in self.atoms.get_chemical_symbols()) - self.charge)

    def inputs(self) -> dict:
        """The continuous inputs of the energy, which everything can be differentiated in.

        Returns:
            `positions` (atoms, 3) bohr; `strain` (3, 3), zero, r -> (1 + strain) r; `pseudopotentials` per element;
            `xc` per term of the functional.
        """
        s = self.structure
        return {
            "positions": s.frac @ s.cell,
            "strain": np.zeros((3, 3)),
            "pseudopotentials": {e: p.parameters() for e, p in self.potentials.items()},
            "xc": self.functional.parameters(),
        }
