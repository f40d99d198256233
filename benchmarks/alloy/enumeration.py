"""Free energy, entropy and heat capacity of Nb5Mo5Ta6 on 16 sites: all configurations against Monte Carlo.

    python benchmarks/alloy/enumeration.py [--samples N]

The 2,018,016 configurations of our own expansion (pairs to the fifth shell, triplets to 4.7 angstrom) are summed exactly;
Monte Carlo with parallel tempering and thermodynamic integration has to give the same within 0.1 meV/atom.
"""

import argparse
import time
import warnings
from itertools import combinations

import numpy as np
from ase.units import kB
from nbmota import expansion

from dftopt import enable_compilation_cache
from dftopt.alloy import Supercell, free_energy
from dftopt.alloy.hamiltonian import hamiltonian
from dftopt.errors import DFTOptWarning

TEMPERATURES = np.array([600.0, 900.0, 1500.0, 3000.0])
COUNTS = {"Nb": 5, "Mo": 5, "Ta": 6}


def configurations(counts) -> np.ndarray:
    """All codes with these numbers of each."""
    n = sum(counts)
    first = np.array(list(combinations(range(n), counts[0])))
    second = np.array(list(combinations(range(n - counts[0]), counts[1])))
    out = np.full((len(first), len(second), n), 2, np.int8)
    rest = np.ones((len(first), n), bool)
    np.put_along_axis(rest, first, False, 1)
    rest = np.nonzero(rest)[1].reshape(len(first), -1)
    np.put_along_axis(out, first[:, None], 0, 2)
    np.put_along_axis(out, rest[:, second], 1, 2)
    return out.reshape(-1, n)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1500)
    options = parser.parse_args()
    enable_compilation_cache()
    warnings.simplefilter("ignore", DFTOptWarning)
    ce = expansion(6.0, 4.7)
    cell = Supercell.of(ce.parent, (2, 2, 2))
    codes = configurations([COUNTS[s] for s in ce.species])
    begun = time.perf_counter()
    levels = hamiltonian(ce, cell).energy(codes)
    print(f"{len(codes)} configurations in {time.perf_counter() - begun:.1f} s")
    begun = time.perf_counter()
    got = free_energy(
        ce, supercell=cell, composition=COUNTS, temperatures=TEMPERATURES, samples=options.samples, sweeps=10,
        equilibration=2000, replicas=2, shells=1,
    )  # fmt: skip
    print(f"Monte Carlo in {time.perf_counter() - begun:.1f} s\n")
    print("T (K)   F exact      F         error   (meV/atom)   S exact    S (k_B)   C exact    C      error (k_B)")
    worst = 0.0
    for i, T in enumerate(TEMPERATURES):
        x = -(levels - levels.min()) * 16 / (kB * T)
        Z = np.exp(x).sum()
        F = levels.min() - kB * T * np.log(Z) / 16
        E = np.exp(x) @ levels / Z
        C = 16 * (np.exp(x) @ (levels - E) ** 2 / Z) / (kB * T) ** 2
        S = (E - F) / (kB * T)
        worst = max(worst, 1e3 * abs(got.free[i] - F))
        print(
            f"{T:5.0f} {1e3 * F:10.4f} {1e3 * got.free[i]:10.4f} {1e3 * got.free_error[i]:8.4f} {S:22.5f} {got.entropy[i]:9.5f} "
            f"{C:9.4f} {got.heat_capacity[i]:9.4f} {got.heat_capacity_error[i]:8.4f}"
        )
    print(f"largest difference of F: {worst:.4f} meV/atom (wanted: 0.1)")
    return 0 if worst <= 0.1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
