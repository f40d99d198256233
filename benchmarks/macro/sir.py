"""Epidemic on a lattice: by how much mean field misses the final size, and the chance of an outbreak.

python benchmarks/macro/sir.py
"""

import jax
import numpy as np
from scipy.optimize import brentq

from dftopt import macro
from dftopt.macro import random


def final_size(R0, s0):
    """Mean field: 1 - s at the end, s = s0 exp(-R0 (1 - s))."""
    return brentq(lambda size: 1 - size - s0 * np.exp(-R0 * size), 1 - s0, 1.0)


def main():
    print(
        "64 x 64 sites, 128 epidemics, 2 % infected at the start (mean and spread over epidemics); then from one person"
    )
    print(
        "  beta  movement density     R0   final size          mean field   too high by   peak of i   outbreaks from 1"
    )
    for beta, movement, density in ((4, 1, 0.8), (3, 1, 0.8), (4, 2, 0.8), (4, 8, 0.8), (4, 32, 0.8), (4, 0.5, 1.0)):
        sim = macro.SIRLattice(64, float(beta), 1.0, float(movement), density)
        keys = random.split(jax.random.key(0), 128)
        some = round(0.02 * sim.people)
        start = jax.jit(jax.vmap(lambda key, sim=sim, some=some: sim.initial(key, infected=some)))(keys)
        paths = macro.trajectories(sim, start=start, times=np.arange(0, 41, 1.0))
        size = 1 - paths.z[:, -1, 0]
        one = jax.jit(jax.vmap(lambda key, sim=sim: sim.initial(key, infected=1)))(keys)
        outbreak = (1 - macro.trajectories(sim, start=one, times=[0.0, 40.0], seed=1).z[:, -1, 0] > 0.05).mean()
        R0 = beta * density
        mean_field = final_size(R0, 1 - some / sim.people)
        print(
            f"  {beta:4.1f} {movement:9.1f} {density:7.2f} {R0:6.2f}   {size.mean():.3f} +- {size.std():.3f}     {mean_field:.3f}"
            f"       {100 * (mean_field / size.mean() - 1):5.1f} %     {paths.z[..., 1].mean(0).max():.3f}       {outbreak:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
