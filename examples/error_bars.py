"""Error bar of a formation energy from uncertain potentials and functional: one reverse pass.

Zinc-blende SiGe from silicon and germanium, far from converged. Every number of the GTH potentials and of PBE is taken to be
uncertain by one part in a thousand, independently of the others; the ionic charges are certain.
"""

import os

import jax
import numpy as np
from ase.build import bulk
from ase.units import Hartree

import dftopt

SMALL = "DFTOPT_SMALL" in os.environ  # what the tests run
UNCERTAINTY = 1e-3
ECUT, KPTS = (3.0, (1, 1, 1)) if SMALL else (6.0, (2, 2, 2))

functions = {}
for name, a in (("Si", 5.43), ("Ge", 5.66), ("SiGe", 5.54)):
    model = dftopt.Model(bulk(name, "zincblende" if name == "SiGe" else "diamond", a=a), xc="PBE")
    functions[name] = dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=ECUT, kpts=KPTS))


def energy(name, parameters):
    f = functions[name]
    own = {e: parameters["pseudopotentials"][e] for e in f.parameters["pseudopotentials"]}
    return f({**f.parameters, "pseudopotentials": own, "xc": parameters["xc"]})["energy"]


def formation_energy(parameters):
    """In eV per atom."""
    parts = [energy(name, parameters) for name in ("Si", "Ge")]
    return (energy("SiGe", parameters) - 0.5 * sum(parts)) / 2 * Hartree


own = functions["SiGe"].parameters
parameters = {"pseudopotentials": own["pseudopotentials"], "xc": own["xc"]}
value, gradient = jax.value_and_grad(formation_energy)(parameters)
variances = jax.tree.map(
    lambda g, x: float(np.sum((np.asarray(g) * np.asarray(x) * UNCERTAINTY) ** 2)), gradient, parameters
)
for potential in variances["pseudopotentials"].values():
    potential["charge"] = 0.0
error = np.sqrt(sum(jax.tree.leaves(variances)))
print(f"formation energy {1e3 * value:.2f} +- {1e3 * error:.2f} meV per atom; the largest parts of the error:")
for path, part in sorted(jax.tree_util.tree_leaves_with_path(variances), key=lambda x: -x[1])[:6]:
    print(f"  {1e3 * np.sqrt(part):8.3f} meV from {jax.tree_util.keystr(path)}")
