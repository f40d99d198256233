"""dftopt: density functional theory as the minimum of one differentiable free energy.

Names are imported when first used, so that `import dftopt` and the command line's help stay fast. Importing the package
switches JAX to double precision, the only global state that it sets.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if "jax" in sys.modules:
    sys.modules["jax"].config.update("jax_enable_x64", True)
else:  # which JAX reads when it is imported: arrays that a script makes before its first calculation are double, too
    os.environ["JAX_ENABLE_X64"] = "1"

__version__ = "0.1.0"

_HOMES = {
    "Model": "dftopt.energy.model",
    "PlaneWaves": "dftopt.bases.planewaves",
    "Gaussians": "dftopt.bases.gaussians",
    "minimize": "dftopt.minimization.ground_state",
    "free_energy": "dftopt.minimization.unconstrained",
    "free_energy_parameters": "dftopt.minimization.unconstrained",
    "Result": "dftopt.minimization.result",
    "stability": "dftopt.minimization.stability",
    "differentiable": "dftopt.properties.differentiable",
    "response": "dftopt.properties.linear_response.response",
    "bands": "dftopt.properties.bands",
    "eigenvalues_at": "dftopt.properties.bands",
    "dos": "dftopt.properties.dos",
    "projections": "dftopt.properties.projections",
    "loewdin_charges": "dftopt.properties.projections",
    "pdos": "dftopt.properties.pdos",
    "fat_bands": "dftopt.properties.pdos",
    "fermi_surface": "dftopt.properties.fermi_surface",
    "orbital": "dftopt.properties.volumetric",
    "potential": "dftopt.properties.volumetric",
    "planar_average": "dftopt.properties.planar",
    "work_function": "dftopt.properties.planar",
    "write_field": "dftopt.properties.volumetric_files",
    "warm_up": "dftopt.minimization.minibatch",
    "local_scaling": "dftopt.minimization.local_scaling",
    "basis_parameters": "dftopt.minimization.basis_parameters",
    "basis_energy": "dftopt.minimization.basis_parameters",
    "optimize_basis": "dftopt.minimization.basis_parameters",
    "write_molecular_field": "dftopt.properties.molecular_fields",
    "write_fermi_surface": "dftopt.properties.volumetric_files",
    "load": "dftopt.properties.files",
    "DFTOpt": "dftopt.calculator.ase_calculator",
    "restart": "dftopt.calculator.restart",
    "relax": "dftopt.calculator.relax",
    "equation_of_state": "dftopt.calculator.eos",
    "enable_compilation_cache": "dftopt.precision",
    "use_cores": "dftopt.precision",
    "InputError": "dftopt.errors",
    "NotConverged": "dftopt.errors",
    "DFTOptWarning": "dftopt.errors",
}
__all__ = ["__version__", "alloy", "macro", *_HOMES]

if TYPE_CHECKING:
    from dftopt.bases.gaussians import Gaussians
    from dftopt.bases.planewaves import PlaneWaves
    from dftopt.calculator.ase_calculator import DFTOpt
    from dftopt.calculator.eos import equation_of_state
    from dftopt.calculator.relax import relax
    from dftopt.calculator.restart import restart
    from dftopt.energy.model import Model
    from dftopt.errors import DFTOptWarning, InputError, NotConverged
    from dftopt.minimization.basis_parameters import basis_energy, basis_parameters, optimize_basis
    from dftopt.minimization.ground_state import minimize
    from dftopt.minimization.local_scaling import local_scaling
    from dftopt.minimization.minibatch import warm_up
    from dftopt.minimization.result import Result
    from dftopt.minimization.stability import stability
    from dftopt.minimization.unconstrained import free_energy, free_energy_parameters
    from dftopt.precision import enable_compilation_cache, use_cores
    from dftopt.properties.bands import bands, eigenvalues_at
    from dftopt.properties.differentiable import differentiable
    from dftopt.properties.dos import dos
    from dftopt.properties.fermi_surface import fermi_surface
    from dftopt.properties.files import load
    from dftopt.properties.linear_response.response import response
    from dftopt.properties.molecular_fields import write_molecular_field
    from dftopt.properties.pdos import fat_bands, pdos
    from dftopt.properties.planar import planar_average, work_function
    from dftopt.properties.projections import loewdin_charges, projections
    from dftopt.properties.volumetric import orbital, potential
    from dftopt.properties.volumetric_files import write_fermi_surface, write_field


_FLOORS = ("alloy", "macro")  # subpackages with names of their own


def __getattr__(name: str):
    if name in _FLOORS:
        return import_module(f"dftopt.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'dftopt' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
