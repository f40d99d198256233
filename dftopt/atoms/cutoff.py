r"""Plane-wave cutoffs recommended for potentials: measured where they were, else from the free atom.

A cutoff $E_c$ leaves out plane waves, which raises the energy by about the kinetic energy of the free atom's orbitals
beyond it (`tail_energy`). Energy differences need a fraction of that: what belongs to the core regions is the same in all
structures with the same atoms. `benchmarks/cutoffs.py` measured the fraction, and with it the cutoffs in cutoffs.json.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dftopt.atoms import gth
from dftopt.atoms.atomic_orbitals import free_atom
from dftopt.atoms.gth import GTH
from dftopt.atoms.tabulated import Tabulated
from dftopt.errors import InputError
from dftopt.units import HARTREE_IN_EV

LEVELS = {"low": 10.0, "normal": 3.0, "high": 1.0}  # errors of energy differences, meV/atom
TABLE = Path(__file__).with_name("cutoffs.json")
Q = np.linspace(0, 60, 6001)  # bohr^-1
FRACTION = 0.1  # of the total error that energy differences show
RESIDUAL = 1e-4  # hartree
ALLOWANCE = 1.15
FALLBACK = 40.0  # hartree


@dataclass(frozen=True)
class Cutoff:
    """A recommended cutoff.

    Attributes:
        hartree: the cutoff.
        source: "measured", or what it was estimated from.
    """

    hartree: float
    source: str

    @property
    def measured(self) -> bool:
        """Whether it was measured for this very potential."""
        return self.source == "measured"


def recommended_cutoff(potential: GTH | Tabulated, level: str = "normal") -> Cutoff:
    """The plane-wave cutoff that suits a potential.

    Args:
        potential: a GTH potential or one from a file.
        level: wanted error of energy differences: "low" 10, "normal" 3, "high" 1 meV/atom.

    Returns:
        A measured cutoff where there is one; else, for GTH, that at which 10 % of `tail_energy` is the wanted error
        (scaled to a measured potential of the same element and valence where there is one); else see `of_file`.

    Raises:
        InputError: no such level.
    """
    if level not in LEVELS:
        raise InputError(f"the cutoff level {level!r} is unknown: {', '.join(LEVELS)}.")
    if isinstance(potential, Tabulated):
        return Cutoff(of_file(potential), "the free atom's orbitals")
    known = measured().get(potential.element, {})
    if potential.name in known:
        return Cutoff(float(known[potential.name][list(LEVELS).index(level)]), "measured")
    limit = LEVELS[level] / 1e3 / HARTREE_IN_EV / FRACTION
    try:
        rule = kinetic_tail(potential, limit)
        for name, values in known.items():
            sibling = gth.load(potential.element, name)
            if sibling.electrons == potential.electrons:
                scale = values[list(LEVELS).index(level)] / kinetic_tail(sibling, limit)
                return Cutoff(float(np.ceil(scale * rule)), f"that of {name}")
        return Cutoff(float(np.ceil(rule)), "the free atom's orbitals")
    except InputError:
        return Cutoff(gth.estimated_cutoff(potential), "the width of its projectors")


def estimated_cutoff(potential: GTH | Tabulated) -> float:
    """Hartree, see `recommended_cutoff`."""
    return recommended_cutoff(potential).hartree


@lru_cache(maxsize=1)
def measured() -> dict[str, dict[str, list[float]]]:
    """Cutoffs (low, normal, high; hartree) by element and name of the potential."""
    return json.loads(TABLE.read_text())


@lru_cache(maxsize=256)
def _tail(potential: GTH | Tabulated) -> np.ndarray:
    total = np.zeros_like(Q)
    for orbital in free_atom(potential).orbitals:
        square = (orbital.fourier(Q**2) * Q**orbital.l) ** 2
        total += orbital.occupation * 0.5 * np.cumsum((Q**4 * square)[::-1])[::-1] / np.sum(Q**2 * square)
    return total


def tail_energy(potential: GTH | Tabulated, ecut: float) -> float:
    r"""Kinetic energy (hartree) of the free atom beyond a cutoff (hartree).

    $\frac12 \sum_i f_i \int_{q_c}^\infty q^4 |\phi_i(q)|^2 dq / \int q^2 |\phi_i(q)|^2 dq$ with $q_c = \sqrt{2 E_c}$.
    """
    return float(np.interp(np.sqrt(2 * ecut), Q, _tail(potential)))


def kinetic_tail(potential: GTH | Tabulated, energy: float) -> float:
    """The cutoff (hartree) beyond which the free atom keeps less than an energy (hartree), see `tail_energy`."""
    return float(Q[np.argmax(_tail(potential) < energy)] ** 2 / 2)


def of_file(potential: Tabulated) -> float:
    r"""Cutoff (hartree) estimated for a potential from a file.

    Beyond the cutoff, less 15 %, each orbital of the free atom keeps less than 1e-4 hartree of its kinetic energy,
    $\int_{q_c}^\infty q^4 |\phi(q)|^2 dq / 2\int q^2 |\phi(q)|^2 dq$. For the PseudoDojo files O-GGA and Si-GGA this
    gives 42 and 12 hartree; their own hints are 34 to 58 and 10 to 26. (The decay of the projectors says little: those of
    optimized potentials reach to 100 hartree and more, where the orbitals have long decayed.) Where the atom cannot be
    solved, the cutoff that the file suggests, or 40.
    """
    try:
        orbitals = free_atom(potential).orbitals
    except InputError:
        return float(np.ceil(potential.suggested_cutoff or FALLBACK))
    q = np.linspace(0, 40, 4001)
    highest = 0.0
    for orbital in orbitals:
        square = (orbital.fourier(q**2) * q**orbital.l) ** 2
        beyond = 0.5 * np.cumsum((q**4 * square)[::-1])[::-1] / np.sum(q**2 * square)
        highest = max(highest, q[np.argmax(beyond < RESIDUAL)])
    return float(np.ceil(ALLOWANCE * highest**2 / 2))
