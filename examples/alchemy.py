"""From aluminium to silicon on one site: the free energy of the mixture and its derivative, against finite differences.

The electrons follow the ionic charge, 3 + lambda, so that the cell stays neutral.
"""

import os

import jax
import numpy as np
from ase.build import bulk

import dftopt

SMALL = "DFTOPT_SMALL" in os.environ  # what the tests run

model = dftopt.Model(bulk("Al", a=4.05), xc="LDA")
basis = dftopt.PlaneWaves(model, ecut=3.0 if SMALL else 6.0, kpts=(2, 1, 1) if SMALL else (2, 2, 2))
f = dftopt.differentiable(model, basis, mix={0: "Si"}, temperature=0.02, nbands=8)


def free_energy(fraction):
    p = f.parameters
    return f({**p, "fractions": p["fractions"].at[0].set(fraction), "electrons": 3.0 + fraction})["free_energy"]


H = 1e-3
print("lambda   free energy (Ha)   derivative (Ha)   finite difference")
errors = []
for x in np.array([0.5]) if SMALL else np.linspace(0, 1, 6):
    value, slope = jax.value_and_grad(free_energy)(x)
    a = [free_energy(x + m * H) for m in (1, -1, 2, -2)]
    numeric = (8 * (a[0] - a[1]) - (a[2] - a[3])) / (12 * H)
    errors.append(abs(slope - numeric))
    print(f"{x:6.2f}   {value:16.8f}   {slope:15.8f}   {numeric:17.8f}")
