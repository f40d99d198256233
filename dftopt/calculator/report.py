"""A result as plain numbers, for JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from dftopt import __version__
from dftopt.bases.gaussians import Gaussians
from dftopt.calculator.log import COMPONENTS, TOTALS
from dftopt.units import HARTREE_IN_EV


def to_dict(result, forces=None, stress=None, input: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that a script wants from a result; units are in the names, hartree for `energies`.

    Args:
        result: the result.
        forces: (atoms, 3) hartree / bohr, None where refused.
        stress: (3, 3) hartree / bohr^3, None where refused.
        input: all that reproduces the run, see `complete_input`.
    """
    energies = {name: float(getattr(result.energies, name)) for name in (*COMPONENTS, *TOTALS)}
    gap, molecule = result.gap, isinstance(result.basis, Gaussians)
    return plain(
        {
            "converged": bool(result.converged),
            "verdict": result.verdict,
            "energies": energies,
            "energy_eV": energies["zero"] * HARTREE_IN_EV,
            "free_energy_eV": energies["free"] * HARTREE_IN_EV,
            "forces_hartree_per_bohr": forces,
            "stress_hartree_per_bohr3": stress,
            "fermi_level_hartree": result.fermi_level,
            "fermi_levels_hartree": result.fermi_levels,
            "gap_hartree": {"indirect": gap.indirect, "direct": gap.direct},
            "eigenvalues": result.eigenvalues,
            "occupations": result.occupations,
            "kpoints": result.kpoints,
            "weights": result.weights,
            "magnetization": result.magnetization,
            "absolute_magnetization": result.absolute_magnetization,
            "starts": [vars(s) for s in result.starts],
            "charge_integral_electrons": result.charge_integral,
            "force_sum_hartree_per_bohr": None if forces is None else result.force_sum,
            "residual_hartree": result.stats["residual"],
            "diagonality_hartree": result.diagonality,
            "potentials": {} if molecule else {e: p.identity for e, p in result.model.potentials.items()},
            "notes": result.notes,
            "stats": dict(result.stats),
            "input": input,
            "version": __version__,
        }
    )


def complete_input(atoms: Atoms, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Calculator keywords and structure (eV, angstrom) in the form of an input file."""
    kept = {k: v for k, v in parameters.items() if v is not None}
    structure = {
        "symbols": atoms.get_chemical_symbols(),
        "cell": atoms.cell.array,
        "positions": atoms.positions,
        "pbc": atoms.pbc,
    }
    if atoms.has("initial_magmoms"):
        structure["magmoms"] = atoms.get_initial_magnetic_moments()
    return plain({**kept, "structure": structure})


def plain(value):
    """Only what JSON knows: arrays become lists, numbers that are not finite null, other objects their type's name."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (np.generic, np.ndarray)) or hasattr(value, "__array__"):
        return plain(np.asarray(value).tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return type(value).__name__


def write_json(path, data) -> None:
    """Write plain data, one top-level key per line where it is short."""
    Path(path).write_text(json.dumps(plain(data), indent=1, allow_nan=False) + "\n", encoding="utf-8")
