"""Upsampled snapshots against direct simulation: energies, correlations, susceptibility.

python benchmarks/macro/upsampling.py

Each small snapshot is part of several large ones, so these are not independent: snapshots are joined within groups of 16,
and errors are from the scatter of the means of groups.
"""

import time

import jax
import numpy as np

from dftopt import macro
from dftopt.macro import checkerboard, random

GROUP = 16
sweeps = jax.jit(jax.vmap(checkerboard.sweeps, (0, 0, None, None, None)))


def equilibrium(L, T, copies, seed):
    keys = random.split(jax.random.key(seed), copies)
    start = jax.vmap(lambda key: macro.Ising(L, T).initial(key, 0.0))(keys)
    return np.asarray(sweeps(start, random.split(jax.random.key(seed + 1), copies), 2000, T, 0.0))


def correlation(state, r):
    return (state * (np.roll(state, r, 1) + np.roll(state, r, 2)) / 2.0).mean((1, 2))


def compare(name, pairs):
    text = []
    for a, b in pairs:
        groups = a.reshape(-1, GROUP).mean(1)
        error = np.sqrt(groups.var(ddof=1) / len(groups) + b.var() / len(b))
        text.append(f"{a.mean():.4f} / {b.mean():.4f} ({(a.mean() - b.mean()) / error:+.1f})")
    print(f"  {name}: " + ", ".join(text), flush=True)


def main():
    copies = 256
    groups = np.arange(copies) // GROUP
    print("Ising 16 x 16 to 64 x 64, upsampled / direct (deviation in sigma): energy, <s s'> at 2, 4, 8, 16, n <m^2>")
    for T in (2.5, 2.8, 3.2):
        clock = time.perf_counter()
        large = macro.upsample(equilibrium(16, T, copies, 1), 16, macro.Ising(64, T), seed=0, groups=groups).astype(
            float
        )
        clock = time.perf_counter() - clock
        direct = equilibrium(64, T, copies, 5).astype(float)
        rows = [(-2 * correlation(large, 1), -2 * correlation(direct, 1))]
        rows += [(correlation(large, r), correlation(direct, r)) for r in (2, 4, 8, 16)]
        rows += [tuple(4096 * x.mean((1, 2)) ** 2 for x in (large, direct))]
        compare(f"T = {T} ({clock:.0f} s)", rows)
    print(
        "Predator and prey, 25 cells to 200: variances of u and v, v v' at 1, 4, n times the variance of the mean of v"
    )
    sims = {n: macro.PredatorPrey(n) for n in (25, 200)}
    states = {
        n: macro.trajectories(sim, copies, [40.0], seed=n, snapshots=True).states[:, 0] for n, sim in sims.items()
    }
    away = [x - [0.4, 0.6] for x in (macro.upsample(states[25], 8, sims[200], seed=0, groups=groups), states[200])]
    rows = [tuple((x[..., c] ** 2).mean(1) * 1e4 for x in away) for c in (0, 1)]
    rows += [tuple((x[..., 1] * np.roll(x[..., 1], r, 1)).mean(1) * 1e4 for x in away) for r in (1, 4)]
    rows += [tuple(200 * x[..., 1].mean(1) ** 2 * 1e4 for x in away)]
    compare("times 1e4", rows)


if __name__ == "__main__":
    main()
