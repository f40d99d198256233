"""Alloys: cluster expansions of energies, Monte Carlo and vacancy kinetics on a lattice.

Energies come from any ASE calculator. Names are imported when first used.
"""

from importlib import import_module

_HOMES = {
    "ClusterExpansion": "dftopt.alloy.expansion",
    "Parent": "dftopt.alloy.parent",
    "Supercell": "dftopt.alloy.supercell",
    "match": "dftopt.alloy.matching",
    "monte_carlo": "dftopt.alloy.equilibrium",
    "vacancy_kmc": "dftopt.alloy.kinetics",
    "free_energy": "dftopt.alloy.thermodynamics",
    "transition": "dftopt.alloy.thermodynamics",
    "hull": "dftopt.alloy.ground_states",
    "orderings": "dftopt.alloy.configurations",
    "quasirandom": "dftopt.alloy.configurations",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dftopt.alloy' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
