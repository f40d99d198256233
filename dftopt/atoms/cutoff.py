"""Plane-wave cutoffs estimated from the potentials."""

import numpy as np

from dftopt.atoms import gth
from dftopt.atoms.atomic_orbitals import free_atom
from dftopt.atoms.gth import GTH
from dftopt.atoms.tabulated import Tabulated
from dftopt.errors import InputError

RESIDUAL = 1e-4  # hartree
ALLOWANCE = 1.15
FALLBACK = 40.0  # hartree


def estimated_cutoff(potential: GTH | Tabulated) -> float:
    r"""Plane-wave cutoff (hartree) that suits a potential; an estimate, printed as one.

    GTH: see `gth.estimated_cutoff`. Tables: beyond the cutoff, less 15 %, each orbital of the free atom keeps less than
    1e-4 hartree of its kinetic energy, $\int_{q_c}^\infty q^4 |\phi(q)|^2 dq / 2\int q^2 |\phi(q)|^2 dq$. For the
    PseudoDojo files O-GGA and Si-GGA this gives 42 and 12 hartree; their own hints are 34 to 58 and 10 to 26. (The decay
    of the projectors says little: those of optimized potentials reach to 100 hartree and more, where the orbitals have
    long decayed.) Where the atom cannot be solved, the cutoff that the file suggests, or 40.
    """
    if isinstance(potential, GTH):
        return gth.estimated_cutoff(potential)
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
