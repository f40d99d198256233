"""Epidemic on a lattice learned from patches, against direct simulations and mean field.

    python benchmarks/macro/epidemic.py [--quick]

64 x 64 sites. R^2 of the drift against that of all sites (explicit rates) on held-out snapshots (goal 0.95), largest
difference of the mean infected curve from 2 % infected relative to its peak (goal 5 %), final size (goal 3 %, and 3 times
closer than mean field), probability of an outbreak (final size beyond 5 %) from one infected person (goal 0.05).
"""

import argparse
import time

import jax
import numpy as np

import dftopt
from dftopt import macro
from dftopt.macro import random


def starts(sim, infected, count, seed):
    keys = random.split(jax.random.key(seed), count)
    return jax.jit(jax.vmap(lambda key: sim.initial(key, infected)))(keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--patches", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--coordinates", type=int, default=3, choices=(2, 3), help="3: with the contacts")
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    trajectories, count = (48, 64) if options.quick else (200, 256)
    sim = macro.SIRLattice(observables=("susceptible", "infected", "contacts")[: options.coordinates])
    times = np.arange(0, 30.5, 0.5)
    some = round(0.02 * sim.people)
    true = macro.trajectories(sim, start=starts(sim, some, count, 1), times=times, seed=2).z
    one = macro.trajectories(sim, start=starts(sim, 1, count, 3), times=[0.0, 30.0], seed=4).z
    size, outbreak = 1 - true[:, -1, 0].mean(), (1 - one[:, -1, 0] > 0.05).mean()
    z, step = true[0, 0, :2].copy(), 0.01
    for _ in range(int(30 / step)):
        z = z + step * np.asarray(macro.SIRLattice().mean_field(z))
    print(
        f"direct: final size {size:.4f}, outbreaks {outbreak:.3f}, peak {true[..., 1].mean(0).max():.4f}; mean field {1 - z[0]:.4f}"
    )
    print(" patch  form      R^2 of drift  infected curve  final size   outbreaks   cpu s: sample  fit")
    test = macro.sample(sim, 16, None, 99, times=np.arange(0, 15.0), check=False)
    for patch in options.patches:
        clock = time.process_time()
        data = macro.sample(sim, trajectories, patch, 0, times=np.arange(0, 20.5, 1.0), check=False)
        sampled = time.process_time() - clock
        for form in ("onsager", "network", "linear"):
            clock = time.process_time()
            fit = macro.fit(data, form=form)
            clock = time.process_time() - clock
            away = ((fit.drift(test.z0) - test.b_hat) ** 2).sum(0) / ((test.b_hat - test.b_hat.mean(0)) ** 2).sum(0)
            paths = absorbed(fit.simulate(true[:, 0], times, count, 0), sim.people)
            single = absorbed(fit.simulate(one[:, 0], times, count, 1), sim.people)
            curve = abs(paths[..., 1].mean(0) - true[..., 1].mean(0)).max() / true[..., 1].mean(0).max()
            learned = 1 - paths[:, -1, 0].mean()
            print(
                f"  {patch:4d}  {form:8s}  {1 - away[0]:.3f} {1 - away[1]:.3f} {1 - away[-1]:.3f} {100 * curve:8.1f} %     "
                f"{learned:.4f} ({100 * (learned / size - 1):+.1f} %)  "
                f"{(1 - single[:, -1, 0] > 0.05).mean():.3f}      {sampled:6.1f} {clock:6.1f}  {fit.status}",
                flush=True,
            )


def absorbed(z, people):
    """Paths that stay where the infected have become fewer than half a person."""
    out = np.array(z)
    for path in out:
        gone = np.flatnonzero(path[:, 1] < 0.5 / people)
        if gone.size:
            path[gone[0] :] = path[gone[0]]
    return out


if __name__ == "__main__":
    main()
