"""The uniform strain at which silicon's band gap has a wanted value: Newton steps with the derivative of the gap.

The three valence bands at Gamma are degenerate and the conduction band has several equal minima, so the gap has no gradient in all
six strains. Along a uniform strain they stay together, and forward mode gives the derivative.
"""

import os

import jax
import jax.numpy as jnp
from ase.build import bulk
from ase.units import Hartree

import dftopt

SMALL = "DFTOPT_SMALL" in os.environ  # what the tests run


model = dftopt.Model(bulk("Si", a=5.43), xc="LDA")
f = dftopt.differentiable(model, dftopt.PlaneWaves(model, ecut=3.0 if SMALL else 6.0, kpts=(2, 2, 2)))


def gap(strain):
    return f({**f.parameters, "strain": strain * jnp.eye(3)})["gap"]


wanted = gap(0.0) + 0.05 / Hartree
strain = 0.0
for _step in range(6):
    value, slope = jax.jvp(gap, (strain,), (1.0,))
    print(f"strain {strain:+.6f}   gap {value * Hartree:.6f} eV   d gap / d strain {slope * Hartree:+.4f} eV")
    if abs(value - wanted) < 1e-8:
        break
    strain += float((wanted - value) / slope)
