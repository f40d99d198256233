"""The physics of a calculation: atoms, functional, potentials. No discretization."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from ase import Atoms

from dftopt import xc as _xc
from dftopt.atoms import checks, gth
from dftopt.atoms.structure import Structure, from_ase
from dftopt.errors import InputError


@dataclass(frozen=True, eq=False)
class Model:
    """What is computed, whatever the basis.

    Args:
        atoms: ASE atoms (angstrom), periodic along all three cell vectors for plane waves.
        xc: "LDA" (Slater + PW92), "PBE", "PBEsol", "none", or libxc names joined by "+"; default PBE.
        pseudopotentials: per element the name of a GTH potential ("GTH-PADE-q4") or family ("GTH-PBE"), or one family
            for all; default the family that fits the functional (GTH-PADE for LDA and "none", else GTH-PBE).
        spinpol: collinear spin; not available in this version.
        charge: total charge in units of e; only 0 in this version.
        dispersion: only None in this version.
        force: let atoms pass that are closer than half the sum of their covalent radii.

    Raises:
        InputError: anything wrong with atoms, functional or potentials, before anything is allocated.
    """

    atoms: Atoms
    xc: str | None = None
    pseudopotentials: str | Mapping[str, str] | None = None
    spinpol: bool = False
    charge: float = 0
    dispersion: str | None = None
    force: bool = field(default=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.atoms, Atoms):
            raise InputError(
                f"atoms must be an ase.Atoms object, not {type(self.atoms).__name__}: ase.io.read(file) gives one."
            )
        object.__setattr__(self, "atoms", self.atoms.copy())  # a later change of the caller's atoms must not reach us
        checks.check_atoms(self.atoms, periodic=(False, False, False), force=self.force)
        if self.charge:
            raise InputError(f"charge={self.charge} is not available yet: only neutral cells. Leave charge at 0.")
        if self.dispersion is not None:
            raise InputError(f"dispersion={self.dispersion!r} is not available yet. Leave it at None.")
        if self.spinpol:
            raise InputError("spinpol=True is not available yet: only unpolarized calculations. Leave it at False.")
        _ = self.functional, self.potentials

    @cached_property
    def functional(self) -> _xc.Functional:
        """The exchange-correlation functional."""
        return _xc.functional(self.xc if self.xc is not None else "PBE")

    @cached_property
    def structure(self) -> Structure:
        """The atoms in bohr."""
        return from_ase(self.atoms)

    @property
    def nspin(self) -> int:
        """Number of spin channels of the density: 1, or 2 with spin polarization."""
        return 2 if self.spinpol else 1

    @cached_property
    def potentials(self) -> dict[str, gth.GTH]:
        """GTH potential of each element."""
        chosen = self.pseudopotentials
        species = tuple(dict.fromkeys(self.atoms.get_chemical_symbols()))
        if chosen is None:
            chosen = gth.family_for(self.functional.terms)
        if isinstance(chosen, str):
            chosen = dict.fromkeys(species, chosen)
        unknown = [e for e in chosen if e not in species]
        if unknown:
            raise InputError(
                f"pseudopotentials names {unknown[0]!r}, which is not in the structure ({', '.join(species)})."
            )
        out = {}
        for element in species:
            name = str(chosen.get(element, gth.family_for(self.functional.terms)))
            if name.lower().endswith((".upf", ".psp8")):
                raise InputError(
                    f"pseudopotentials[{element!r}] = {name!r}: UPF and psp8 files are not available yet; "
                    f"name a GTH potential such as {gth.family_for(self.functional.terms)!r}."
                )
            out[element] = gth.load(element, name)
        return out

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
