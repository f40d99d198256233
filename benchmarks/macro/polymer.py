"""Polymer in extensional flow: which flow rates hold two long-lived states, and how unfolding times spread.

    python benchmarks/macro/polymer.py [--rates 0.15 0.17 ...] [--chains 64] [--time 200]

Chains start folded (relaxed without flow) and straight. Printed per rate: the share that is folded (extension < 8) over the
second half from either start, the numbers of changes between extended (> 13) and folded (< 5) per chain and time, hence
lifetimes; quantiles of the unfolding time (first extension > 13) from folded starts and from the default starts (ideal
chains), and how well the start tells fast from slow unfolders: AUC of an oracle, the mean unfolding time of other replicas
from the same start.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from dftopt import macro
from dftopt.macro import random

FOLDED, EXTENDED = 5.0, 13.0


def changes(extension):
    """Numbers of unfoldings and foldings, and the times spent folded and extended, per record of (chains, T)."""
    state = np.full(len(extension), 0)
    counts, spent = np.zeros(2), np.zeros(2)
    for e in extension.T:
        new = np.where(e > EXTENDED, 2, np.where(e < FOLDED, 1, state))
        counts += [((state == 1) & (new == 2)).sum(), ((state == 2) & (new == 1)).sum()]
        spent += [(new == 1).sum(), (new == 2).sum()]
        state = new
    return counts, spent


def first_passage(extension, dt):
    """Time of the first record beyond EXTENDED; infinity if none."""
    beyond = extension > EXTENDED
    return np.where(beyond.any(-1), beyond.argmax(-1) * dt, np.inf)


def auc(score, late):
    """Area under the curve of telling `late` by `score`."""
    if late.all() or not late.any():
        return np.nan
    rank = np.argsort(np.argsort(score)) + 1.0
    n = late.sum()
    return (rank[late].sum() - n * (n + 1) / 2) / (n * (~late).sum())


def oracle(sim, starts, replicas, times, seed):
    """AUC of the mean unfolding time of half of the replicas for that of another replica."""
    tiled = jnp.repeat(starts, replicas, axis=0)
    z = macro.trajectories(sim, start=tiled, times=times, seed=seed).z[..., 0]
    t = np.minimum(first_passage(z, times[1] - times[0]), times[-1]).reshape(len(starts), replicas)
    late = t[:, 0] > np.median(t[:, 0])
    return auc(t[:, 1:].mean(1), late), t


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.14, 0.15, 0.16, 0.17, 0.18, 0.2])
    parser.add_argument("--attraction", type=float, default=macro.Polymer().attraction)
    parser.add_argument("--beads", type=int, default=macro.Polymer().beads)
    parser.add_argument("--chains", type=int, default=64)
    parser.add_argument("--time", type=float, default=200.0)
    parser.add_argument("--micro-dt", type=float, default=macro.Polymer().micro_dt)
    options = parser.parse_args()
    make = lambda rate: macro.Polymer(options.beads, rate, options.attraction, micro_dt=options.micro_dt)
    keys = random.split(jax.random.key(0), options.chains)
    ideal = jax.jit(jax.vmap(make(0.0).initial))(keys)
    rest = macro.trajectories(make(0.0), start=ideal, times=[40.0], snapshots=True)
    print(f"without flow: extension {rest.z.mean():.2f}")
    straight = jnp.zeros(ideal.shape).at[:, :, 0].set(1.3 * (jnp.arange(options.beads) - (options.beads - 1) / 2))
    times = np.arange(0.0, options.time + 0.5, 0.5)
    print(
        " rate  folded share from  lifetimes          unfolding time 10/50/90 %, share within the run      oracle  cpu s"
    )
    print("       folded straight   folded  extended    from folded               from ideal chains          AUC")
    for rate in options.rates:
        clock = time.process_time()
        sim = make(rate)
        start = jnp.concatenate([jnp.asarray(rest.states[:, 0]), straight, ideal])
        z = macro.trajectories(sim, start=start, times=times, seed=1).z[..., 0].reshape(3, options.chains, -1)
        share = [(part[:, len(times) // 2 :] < 8).mean() for part in z]
        counts, spent = changes(z.reshape(-1, z.shape[-1]))
        life = spent * 0.5 / np.maximum(counts, 1)
        passage = [first_passage(z[i], 0.5) for i in (0, 2)]
        text = ["/".join(f"{np.quantile(p, q, method='higher'):5.1f}" for q in (0.1, 0.5, 0.9)) for p in passage]
        value, _ = oracle(sim, ideal, 16, times[: len(times) // 2 + 1 : 2], 2)
        within = [np.isfinite(p).mean() for p in passage]
        print(f"{rate:5.3f}  {share[0]:6.2f} {share[1]:8.2f}  {life[0]:7.1f} {life[1]:9.1f}    ", end="")
        print(
            f"{text[0]} {within[0]:5.2f}   {text[1]} {within[1]:5.2f}    {value:.3f}  {time.process_time() - clock:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
