"""Speed of the lattice loops: Monte Carlo swaps, vacancy jumps and energies per second, beside icet where it is installed.

    python benchmarks/alloy/speed.py

Three species on bcc, pairs to the third shell, 8 x 8 x 8 conventional cells, every number once compiled.
"""

import os
import time
from dataclasses import replace

import numpy as np
from ase.build import bulk

from dftopt.alloy import ClusterExpansion, Parent, Supercell
from dftopt.alloy.engines import engine
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.alloy.kinetics import geometry, replicas_of

PARENT = bulk("Nb", "bcc", a=3.3)
SPECIES = ("Nb", "Mo", "Ta")
KT = 0.1  # eV


def model():
    blank = ClusterExpansion.blank(Parent.of(PARENT), SPECIES, (4.7,))
    return replace(blank, coefficients=0.01 * np.random.default_rng(0).normal(size=len(blank.names)))


def timed(work, count):
    """How many per second on the clock, and per second of one core's time (what counts where others use the machine too)."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - clock), count / (time.process_time() - cpu)


def swaps(ce, kernels, replicas, count):
    rng = np.random.default_rng(1)
    cell = Supercell.of(ce.parent, (8, 8, 8))
    h = hamiltonian(ce, cell)
    states = rng.integers(3, size=(replicas, len(cell))).astype(np.int8)
    seeds = rng.integers(2**63, size=(replicas, 1)).astype(np.uint64)
    energies = kernels.totals(h, states)
    kernels.swaps(h, states, seeds, energies, np.full(replicas, KT), 10)
    return timed(lambda: kernels.swaps(h, states, seeds, energies, np.full(replicas, KT), count), replicas * count)


def jumps(ce, kernels, count):
    rng = np.random.default_rng(2)
    cell = Supercell.of(ce.parent, (8, 8, 8))
    h = hamiltonian(ce, cell, True)
    states = rng.integers(3, size=(1, len(cell))).astype(np.int8)
    states[0, 17] = 3
    where, every = geometry(h), replicas_of(h, kernels, states, 1, rng)
    barriers = np.array([0.6, 0.9, 0.7, 0.0])
    kernels.jumps(h, where, every, np.array([np.inf]), 10, barriers, 1e13, KT)
    return timed(lambda: kernels.jumps(h, where, every, np.array([np.inf]), count, barriers, 1e13, KT), count)


def energies(ce, kernels, configurations):
    cell = Supercell.of(ce.parent, (8, 8, 8))
    h = hamiltonian(ce, cell)
    codes = np.random.default_rng(3).integers(3, size=(configurations, len(cell))).astype(np.int8)
    kernels.totals(h, codes)
    return timed(lambda: kernels.totals(h, codes), codes.size)


def icet_swaps(steps=20000):
    """Trial swaps per second of icet's canonical ensemble, one process, the same clusters and sites."""
    try:
        from icet import ClusterExpansion as Expansion
        from icet import ClusterSpace
        from mchammer.calculators import ClusterExpansionCalculator
        from mchammer.ensembles import CanonicalEnsemble
    except ImportError:
        return None
    space = ClusterSpace(PARENT, [4.7], list(SPECIES))
    parameters = 0.01 * np.random.default_rng(0).normal(size=len(space))
    atoms = bulk("Nb", "bcc", a=3.3, cubic=True).repeat(8)
    atoms.symbols = np.random.default_rng(0).choice(SPECIES, len(atoms))
    calculator = ClusterExpansionCalculator(atoms, Expansion(space, parameters))
    ensemble = CanonicalEnsemble(atoms, calculator, temperature=KT / 8.617333e-5, random_seed=1)
    ensemble.run(100)
    return timed(lambda: ensemble.run(steps), steps)


def main():
    ce, fast, other = model(), engine("auto"), engine("jax")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"engine {fast.NAME}, {cores} cores, load average {os.getloadavg()[0]:.1f}\n")
    print(f"{'':44s}{'per second':>12s}{'per second of a core':>24s}   wanted")
    for name, wanted, work in (
        (
            f"Monte Carlo swaps, {cores} replicas",
            "5e6 per second on 2 cores",
            lambda: swaps(ce, fast, cores, 2_000_000),
        ),
        ("Monte Carlo swaps, one replica", "", lambda: swaps(ce, fast, 1, 2_000_000)),
        ("vacancy jumps", "8e5 per second and core", lambda: jumps(ce, fast, 1_000_000)),
        ("sites of energies", "1e6 per second", lambda: energies(ce, fast, 4000)),
        ("Monte Carlo swaps in JAX, 16 replicas", "", lambda: swaps(ce, other, 16, 2000)),
        ("icet: swaps, one process", "", icet_swaps),
    ):
        found = work()
        numbers = f"{'not installed':>36s}" if found is None else f"{found[0]:12.3e}{found[1]:24.3e}"
        print(f"{name:44s}{numbers}   {wanted}", flush=True)


if __name__ == "__main__":
    main()
