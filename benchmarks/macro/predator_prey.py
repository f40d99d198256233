"""Predator and prey learned from a fifth of the line (K = 5) and from all of it: distance of learned and true trajectories.

    python benchmarks/macro/predator_prey.py [--quick]

n = 100 and 200 cells, noise 0.02, time step 0.01. Maximum mean discrepancy (squared, Gaussian kernel of the median
distance) between learned and true trajectories of the means, from the same starts, with the largest of 50 discrepancies of
two halves of the true ones (what chance alone gives); variance of the means over that of n = 100 (goal 1/n within 10 %).
"""

import argparse
import time

import jax
import numpy as np
from scipy.spatial.distance import cdist

import dftopt
from dftopt import macro


def mmd(a, b, scale):
    """Unbiased squared maximum mean discrepancy of trajectories (N, T, d)."""
    k = lambda x, y: np.exp(-(cdist(x.reshape(len(x), -1), y.reshape(len(y), -1)) ** 2) / (2 * scale**2))
    own = lambda x: (k(x, x).sum() - len(x)) / (len(x) * (len(x) - 1))
    return own(a) + own(b) - 2 * k(a, b).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    trajectories, count, replicas = (60, 100, 40) if options.quick else (200, 300, 80)
    times = np.arange(0, 20.5, 0.5)
    variance = {}
    print("   n   patch  MMD^2       (chance)   std learned / true   cpu s: sample  fit")
    for n in (100, 200):
        sim = macro.PredatorPrey(n)
        one = sim.initial(jax.random.key(3))
        start = np.tile(np.asarray(one), (count, 1, 1))
        true = macro.trajectories(sim, start=start, times=times, seed=1).z
        variance[n] = true[:, 20:].var(0).mean(0)
        flat = true.reshape(count, -1)
        scale = np.median(cdist(flat, flat))
        rng = np.random.default_rng(0)
        halves = [np.split(rng.permutation(count)[: count // 2 * 2], 2) for _ in range(50)]
        chance = max(mmd(true[i], true[j], scale) for i, j in halves)
        for patch in (n // 5, None):
            clock = [time.process_time()]
            R = replicas * (1 if patch else 5)  # the same microscopic work
            data = macro.sample(sim, trajectories, patch, 2, dt=0.01, replicas=replicas if patch else R, check=False)
            clock.append(time.process_time())
            fit = macro.fit(data)
            clock.append(time.process_time())
            learned = fit.simulate(true[:, 0], times, count, 5)
            ratio = learned[:, 20:].std(0).mean(0) / true[:, 20:].std(0).mean(0)
            print(
                f" {n:4d}   {patch or n:4d}  {mmd(learned, true, scale):+.2e}  {chance:.2e}   {ratio[0]:.3f} {ratio[1]:.3f}  "
                f"     {clock[1] - clock[0]:10.1f} {clock[2] - clock[1]:6.1f}  {fit.status}",
                flush=True,
            )
    ratio = variance[100] / variance[200]
    print(f"variance of the means, n = 100 over n = 200: {ratio[0]:.3f} {ratio[1]:.3f} (1/n: 2)")


if __name__ == "__main__":
    main()
