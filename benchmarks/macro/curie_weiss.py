"""Curie-Weiss learned from patches of 8 x 8 to 64 x 64 spins, against its exact drift and diffusion.

    python benchmarks/macro/curie_weiss.py [--quick] [--form onsager]

Settings are the same for every patch. Printed per beta, field and patch: rms error of the drift over its maximum and
largest relative error of D over the 2 to 98 % range of the visited m (goals 2 % and 5 %); stationary standard deviation
over the exact one (goal within 5 %) where the stationary state has one peak, the largest deviation of the mean of a
30-unit transient from that of direct simulations (goal 0.03); standard deviation of the drift over the members of the
ensemble, in the same unit as its error. `--quick`: one seed and fewer trajectories.

The estimator of steps sees the drift through noise: below the transition, where the drift is small, 100 trajectories with 64
replicas leave an error of 2 to 5 %, 300 with 256 of 1 to 2 %. Their simulation takes 1 (patch 64) to 10 (patch 8) minutes of CPU.
"""

import argparse
import time

import jax.numpy as jnp
import numpy as np

import dftopt
from dftopt import macro


def stationary(sim):
    """Mean and standard deviation of m of the exact stationary law (detailed balance of the number of up spins)."""
    n = sim.n
    m = (2 * np.arange(n + 1) - n) / n
    t = np.tanh(sim.beta * (m + sim.field))
    up, down = (n - np.arange(n + 1)) * (1 + t) / 2, np.arange(n + 1) * (1 - t) / 2
    log_p = np.concatenate([[0], np.cumsum(np.log(up[:-1]) - np.log(down[1:]))])
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ m
    return mean, np.sqrt(p @ (m - mean) ** 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--form", default="onsager")
    parser.add_argument("--estimators", nargs="+", default=["rates", "steps"])
    parser.add_argument("--patches", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--cases", nargs="+", default=["0.9:0", "1.2:0.1", "1.2:0"], metavar="BETA:FIELD")
    parser.add_argument("--trajectories", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=None, help="of each patch, for the estimator of steps")
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    trajectories, seeds = (40, 1) if options.quick else (300, 2)
    trajectories, seeds = options.trajectories or trajectories, options.seeds or seeds
    times = np.arange(0, 30.5, 0.5)
    print(
        f"Curie-Weiss, 4096 spins, form {options.form}, {trajectories} trajectories of 30 sweeps, one patch tiling each"
    )
    print(" beta field estimator patch seed  drift rms  (spread)  D      std/exact  transient  cpu s: sample  fit")
    for beta, field in (map(float, case.split(":")) for case in options.cases):
        sim = macro.CurieWeiss(4096, beta, field)
        true = None
        for estimator in options.estimators:
            for patch in options.patches:
                for seed in range(seeds):
                    cpu = [time.process_time()]
                    replicas = 2 if estimator == "rates" else options.replicas or (64 if options.quick else 256)
                    data = macro.sample(
                        sim, trajectories, patch, seed, estimator=estimator, check=False, replicas=replicas
                    )
                    cpu.append(time.process_time())
                    fit = macro.fit(data, form=options.form, seed=seed)
                    cpu.append(time.process_time())
                    low, high = np.quantile(data.states[:, 0], (0.02, 0.98))
                    m = np.linspace(low, high, 201)
                    b, D = np.asarray(sim.drift(m)), np.asarray(sim.diffusion(m))
                    learned, spread = fit.drift(m[:, None], spread=True)
                    rms = np.sqrt(np.mean((learned[:, 0] - b) ** 2)) / abs(b).max()
                    worst = np.max(abs(fit.diffusion(m[:, None])[:, 0, 0] / D - 1))
                    if true is None:
                        start = jnp.asarray(np.where(np.arange(4096) < 0.75 * 4096, 1, -1), jnp.int8)
                        true = macro.trajectories(sim, start=jnp.tile(start, (64, 1)), times=times).z.mean(0)[:, 0]
                    paths = fit.simulate([0.5], times, n=500, seed=seed)
                    text = "     -  "
                    if beta < 1 or field:
                        late = fit.simulate(paths[:, -1], np.arange(0, 60.5, 2.0), n=500, seed=seed + 1)[:, 10:]
                        text = f"{late.std() / stationary(sim)[1]:8.3f}"
                    print(
                        f" {beta:4.1f} {field:5.2f} {estimator:9s} {patch:5d} {seed:4d}  {rms:9.5f} "
                        f"{spread.mean() / abs(b).max():9.5f} {worst:7.4f} {text} {abs(paths.mean(0)[:, 0] - true).max():10.4f}"
                        f"  {cpu[1] - cpu[0]:8.1f} {cpu[2] - cpu[1]:8.1f}  {fit.status}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
