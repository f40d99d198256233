"""Macroscopic dynamics learned from small simulations; arrays only, none of the density functional floors.

Names are imported when first used.
"""

from importlib import import_module

_HOMES = {
    "AlloyOrdering": "dftopt.macro.alloy_ordering",
    "CurieWeiss": "dftopt.macro.curie_weiss",
    "Ising": "dftopt.macro.ising",
    "Polymer": "dftopt.macro.polymer",
    "PredatorPrey": "dftopt.macro.predator_prey",
    "SIRLattice": "dftopt.macro.sir",
    "sample": "dftopt.macro.sampling",
    "upsample": "dftopt.macro.upsampling",
    "lag_check": "dftopt.macro.lags",
    "trajectories": "dftopt.macro.whole_system",
    "Simulator": "dftopt.macro.simulator",
    "Increments": "dftopt.macro.data",
    "from_trajectories": "dftopt.macro.data",
    "join": "dftopt.macro.data",
    "fit": "dftopt.macro.fitting",
    "Fit": "dftopt.macro.fitted",
    "load": "dftopt.macro.files",
    "choose_closure": "dftopt.macro.closure",
    "passages": "dftopt.macro.passage",
    "response": "dftopt.macro.passage",
    "control": "dftopt.macro.passage",
    "auc": "dftopt.macro.passage",
    "stationary_density": "dftopt.macro.stationary",
    "relaxation_times": "dftopt.macro.stationary",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'dftopt.macro' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
