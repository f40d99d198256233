"""Polymer in extensional flow: extension and learned coordinates, their landscape, and the sorting of starts.

    python benchmarks/macro/polymer_learned.py [--quick] [--closure 2] [--forms fdr network linear]

At this rate and attraction a folded and a stretched state are long-lived, and unfolding times spread widely, in part by the
start. Training on chains from the default starts. On held-out starts: relative L2 error of the mean extension curve (goal
0.03) and of its covariance over times (goal 0.2), median unfolding time (first extension > 13; goal 5 %), and the AUC of
telling late from early unfolders (about their median) by the mean passage time of the equation from each start, beside that
of an oracle of many replicas of the chain itself (goal 95 % of it). Per seed: number of minima and saddles, and barriers
(goal: the same number, spread 10 %). The forms without potential are baselines.
"""

import argparse
import time

import jax.numpy as jnp
import numpy as np

import dftopt
from dftopt import macro
from dftopt.macro.passage import first_passage

EXTENDED = 13.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--closure", type=int, default=2)
    parser.add_argument(
        "--forms", nargs="+", default=["fdr", "network", "linear"], help="all but the first: seed 0 alone"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, default=None)
    parser.add_argument(
        "--dt", type=float, default=1.5, help="of the increments: long against the chatter of single beads"
    )
    parser.add_argument("--rate", type=float, default=0.3)
    parser.add_argument("--attraction", type=float, default=0.7)
    parser.add_argument("--time", type=float, default=80.0, help="of the trajectories")
    parser.add_argument("--chains", type=int, default=None)
    parser.add_argument("--starts", type=int, default=None)
    parser.add_argument("--replicas", type=int, default=None)
    parser.add_argument("--picture", default=None, help="folder for pictures of the first seed")
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    sim = macro.Polymer(rate=options.rate, attraction=options.attraction)
    chains, starts, replicas, each = (60, 24, 6, 20) if options.quick else (600, 200, 32, 100)
    chains, starts, replicas = options.chains or chains, options.starts or starts, options.replicas or replicas
    members = options.members or (2 if options.quick else 5)
    times = np.arange(0, options.time + 1, 2.0)
    clock = time.process_time()
    data = macro.sample(sim, chains, seed=0, times=times, dt=options.dt, snapshots=True, check=False)
    first = macro.trajectories(sim, starts, [0.0], seed=1, snapshots=True).states[:, 0]
    true = macro.trajectories(sim, start=jnp.repeat(jnp.asarray(first), replicas, 0), times=times, seed=2).z[..., 0]
    arrived = first_passage(true - EXTENDED, times).reshape(starts, replicas)
    capped = np.minimum(arrived, times[-1])  # not all arrive
    late = capped >= np.median(capped)
    mean_auc = lambda score: np.mean([macro.auc(score(j), late[:, j]) for j in range(replicas)])
    oracle = mean_auc(lambda j: np.delete(capped, j, 1).mean(1))
    print(
        f"{chains} chains, rate {sim.rate:g}, attraction {sim.attraction:g}; {starts} starts x {replicas}: unfolded by 10, 20, 40, "
        f"{times[-1]:g}: {', '.join(f'{(arrived < t).mean():.2f}' for t in (10, 20, 40, times[-1]))}; oracle AUC {oracle:.3f}; "
        f"start's extension alone {mean_auc(lambda j: -np.ptp(first[..., 0], axis=1)):.3f}; cpu s {time.process_time() - clock:.0f}"
    )
    print(
        " seed form     mean curve  covariance  median time (true)   AUC    minima saddles  barriers                   cpu s"
    )
    mean, covariance, median = true.mean(0), np.cov(true.T), np.quantile(arrived, 0.5, method="higher")
    for seed, form in [(s, f) for f in options.forms for s in range(options.seeds if f == options.forms[0] else 1)]:
        clock = time.process_time()
        fit = macro.fit(data, closure=options.closure, form=form, seed=seed, members=members)
        clock = time.process_time() - clock
        z0 = fit.encode(sim, first)
        paths = fit.simulate(np.repeat(z0, replicas, 0), times, starts * replicas, seed)[..., 0]
        learned = first_passage(paths - EXTENDED, times)
        found = macro.passages(fit, z0, lambda z: z[..., 0] - EXTENDED, times, each, seed)
        potential = form in ("fdr", "onsager")
        points, barriers = (fit.stationary_points(), fit.barriers()) if potential else ([], [])
        text = ", ".join(f"{b.height:.2f} +- {b.height_spread:.2f}" for b in barriers) or "none"
        relative = lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b)
        print(
            f" {seed:4d} {form:8s} {relative(paths.mean(0), mean):9.4f}  {relative(np.cov(paths.T), covariance):10.3f}  "
            f"{np.quantile(learned, 0.5, method='higher'):8.1f} ({median:.1f})     {mean_auc(lambda j, score=found.score: score):.3f}  "
            f"{sum(p.index == 0 for p in points):5d} {sum(p.index == 1 for p in points):7d}    {text:24s} {clock:6.0f}  {fit.status}"
            f"; shape recovered {100 * fit.closure.recovered if fit.closure else 0:.0f} %",
            flush=True,
        )
        if options.picture and seed == 0 and potential:
            from dftopt.calculator import macro_pictures as pictures

            pictures.landscape(f"{options.picture}/landscape.png", fit, None, points, barriers, "polymer")
            pictures.drift_field(f"{options.picture}/drift.png", fit, title="polymer")
            pictures.against_data(
                f"{options.picture}/trajectories.png",
                times,
                true[..., None],
                paths[..., None],
                ["extension"],
                "",
                "polymer",
            )


if __name__ == "__main__":
    main()
