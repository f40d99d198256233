r"""One site that is part one element and part another: $V = (1 - \lambda) V_A + \lambda V_B$, local and nonlocal, and the
ionic charge $(1 - \lambda) Z_A + \lambda Z_B$.

The virtual crystal of alchemical derivatives: lambda is continuous, and at 0 and 1 the site is pure.

References:
    Bellaiche, Vanderbilt, Phys. Rev. B 61, 7877 (2000); von Lilienfeld, Tuckerman, J. Chem. Phys. 125, 154104 (2006).
"""  # noqa: D205

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from ase.data import atomic_numbers

from dftopt.atoms.gth import GTH
from dftopt.atoms.potentials import choose
from dftopt.errors import InputError


@dataclass(frozen=True)
class Mixed:
    """Two GTH potentials on one site, half and half until `mixed_parameters` says otherwise."""

    own: GTH
    other: GTH

    @property
    def charge(self) -> float:
        """Of the half mixture."""
        return 0.5 * (self.own.charge + self.other.charge)

    @property
    def layout(self) -> tuple[tuple[int, int], ...]:
        """Channels of both."""
        return self.own.layout + self.other.layout

    @property
    def functional(self):
        """Asked for where a free atom is to be solved: a minimization starts from another density.

        Raises:
            InputError: always.
        """
        raise InputError(f"a mixture of {self.own.element} and {self.other.element} has no free atom.")

    def parameters(self) -> dict:
        """Of the half mixture."""
        return mixed_parameters(self.own.parameters(), self.other.parameters(), 0.5)


def mixed_parameters(own: dict, other: dict, fraction) -> dict:
    """Parameters of the mixture of two GTH potentials."""
    rest = 1 - fraction
    return {
        "charge": rest * own["charge"] + fraction * other["charge"],
        "mixed": ((rest, own), (fraction, other)),
        "r": (*own["r"], *other["r"]),
        "h": (*(rest * h for h in own["h"]), *(fraction * h for h in other["h"])),
    }


@dataclass(frozen=True)
class Mixture:
    """Sites that mix: (atom, name of its species of its own, element, other element) each."""

    sites: tuple[tuple[int, str, str, str], ...] = ()

    def pseudopotentials(self, inputs: dict) -> dict:
        """Parameters of all species, those of the mixed sites included, from those of the elements and the fractions."""
        found = dict(inputs["pseudopotentials"])
        for atom, name, element, other in self.sites:
            found[name] = mixed_parameters(found[element], found[other], inputs["fractions"][atom])
        return found


def mix(model, basis, sites: Mapping[int, str]):
    """Model and basis whose mixed sites are species of their own, the mixture, and the parameters of added elements.

    Args:
        model: the model, with GTH potentials.
        basis: its basis, without symmetry but time reversal.
        sites: the other element of each atom that mixes.

    Raises:
        InputError: an atom or element that does not exist, or a potential from a file.
    """
    s = model.structure
    symbols = list(s.symbols)
    potentials, names = dict(model.potentials), list(symbols)
    found: list[tuple[int, str, str, str]] = []
    added = {}
    for atom, other in sites.items():
        if not isinstance(atom, (int, np.integer)) or not 0 <= atom < len(s):
            raise InputError(f"mix: there is no atom {atom!r}; they are numbered from 0 to {len(s) - 1}.")
        if other not in atomic_numbers:
            raise InputError(f"mix: {other!r} is no element; give a chemical symbol, such as mix={{0: 'Si'}}.")
        element = symbols[atom]
        own = model.potentials[element]
        if other not in potentials:
            family = own.name.rsplit("-q", 1)[0] if isinstance(own, GTH) else None
            potentials[other] = choose(family, (other,), model.functional.name)[1][other]
            added[other] = potentials[other].parameters()
        if not (isinstance(own, GTH) and isinstance(potentials[other], GTH)):
            raise InputError(f"mix: the potentials of {element} and {other} must both be GTH ones, not from files.")
        name = f"{element}-{other}-{atom}"
        potentials[name] = Mixed(own, potentials[other])
        names[atom] = name
        found.append((int(atom), name, element, other))
    mixed, moved = copy.copy(model), copy.copy(basis)
    mixed.__dict__["_choice"] = (model.functional, potentials, model.notes)
    mixed.__dict__["structure"] = replace(s, symbols=tuple(names))
    mixed.__dict__["n_electrons"] = model.n_electrons
    moved.model = mixed
    return mixed, moved, Mixture(tuple(found)), added
