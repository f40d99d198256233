"""A result by the names that ASE's getters look for."""

from typing import Any

import numpy as np

from dftopt.minimization.result import Result
from dftopt.units import HARTREE_IN_EV


def outputs(result: Result) -> dict[str, Any]:
    """What is known without further work, by ASE's names, in eV."""
    ns, nk, nb = result.eigenvalues.shape
    return {
        "natoms": len(result.model.structure),
        "nbands": nb,
        "nkpts": nk,
        "nspins": ns,
        "magmom": float(result.magnetization),
        "energy": float(result.energies.zero) * HARTREE_IN_EV,
        "free_energy": float(result.energies.free) * HARTREE_IN_EV,
        "fermi_level": float(result.fermi_level) * HARTREE_IN_EV,
        "kpoint_weights": np.array(result.weights),
        "ibz_kpoints": np.array(result.kpoints),
        "eigenvalues": result.eigenvalues * HARTREE_IN_EV,
        "occupations": result.occupations * (2 / ns),
    }
