"""Epidemic on a lattice learned from patches, against direct simulations and mean field.

    python benchmarks/macro/epidemic.py [--quick] [--coordinates 4] [--patches 16 32]

64 x 64 sites. Coordinates: susceptible, infected, contacts, second, third and shared contacts (the first 2 to 6). Per fit:

- R^2 of the drift of each coordinate on held-out epidemics against the macroscopic drift: that of all sites (explicit rates)
  averaged over 32 microscopic states of nearly equal coordinates (goal 0.95); "single": against single microscopic states,
  of which the coordinates leave a part open;
- largest difference of the mean infected curve from 2 % infected relative to its peak (goal 5 %);
- final size (goal 3 %, and 3 times closer than mean field);
- probability of an outbreak (final size beyond 5 %) from one infected person (goal 0.05).
"""

import argparse
import time

import jax
import numpy as np

import dftopt
from dftopt import macro
from dftopt.macro import random
from dftopt.macro.sir import OBSERVABLES


def starts(sim, infected, count, seed):
    keys = random.split(jax.random.key(seed), count)
    return jax.jit(jax.vmap(lambda key: sim.initial(key, infected)))(keys)


def cells(x, rows, size=32):
    """Rows of points x cut in halves at medians, along each axis in turn, down to cells of fewer than 2 x size."""
    parts = [rows]
    for axis in range(100):
        if all(len(part) < 2 * size for part in parts):
            return parts
        halves = []
        for part in parts:
            order = part[np.argsort(x[part, axis % x.shape[1]])]
            halves += np.array_split(order, 2) if len(part) >= 2 * size else [part]
        parts = halves


def score(learned, true):
    """R^2 of each coordinate."""
    return 1 - ((learned - true) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)


def whole(data):
    """States that are alive, their drift averaged over all patches, and coordinates per infected person."""
    z = data.states
    b = np.zeros_like(z)
    np.add.at(b, data.snapshot, data.b_hat)
    b = b[z[:, 1] > 0] / (len(data) / len(z))
    z = z[z[:, 1] > 0]
    x = z.copy()
    x[:, 2:] /= z[:, 1:2]
    return z, b, x


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--patches", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--coordinates", nargs="+", type=int, default=[4], choices=(2, 3, 4, 5, 6))
    parser.add_argument("--forms", nargs="+", default=["network", "onsager", "linear"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trajectories", type=int, default=None)
    parser.add_argument("--estimator", default="auto")
    parser.add_argument("--beta", type=float, default=macro.SIRLattice().beta)
    parser.add_argument("--movement", type=float, default=macro.SIRLattice().movement)
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    trajectories, count = (48, 64) if options.quick else (200, 256)
    trajectories = options.trajectories or trajectories
    make = lambda k: macro.SIRLattice(beta=options.beta, movement=options.movement, observables=OBSERVABLES[:k])
    sim = make(6)
    times = np.arange(0, 30.5, 0.5)
    some = round(0.02 * sim.people)
    true = macro.trajectories(sim, start=starts(sim, some, count, 1), times=times, seed=2).z
    one = macro.trajectories(sim, start=starts(sim, 1, 4 * count, 3), times=[0.0, 30.0], seed=4).z
    size, outbreak = 1 - true[:, -1, 0].mean(), (1 - one[:, -1, 0] > 0.05).mean()
    peak = true[..., 1].mean(0).max()
    z, step, curve = true[:, 0, :2].mean(0), 0.01, []
    for i in range(3001):
        curve += [z[1]] if i % 50 == 0 else []
        z = z + step * np.asarray(make(2).mean_field(z))
    away = abs(np.array(curve) - true[..., 1].mean(0)).max() / peak
    print(f"direct: final size {size:.4f}, peak {peak:.4f}, outbreaks {outbreak:.3f} ({4 * count} epidemics)")
    print(
        f"mean field: infected curve {100 * away:.1f} %, final size {1 - z[0]:.4f} ({100 * ((1 - z[0]) / size - 1):+.1f} %)"
    )
    print(
        " coord patch seed form      R^2 of the drift (single states)                     curve   final size        outbreaks"
        "  cpu s: sample  fit"
    )
    for k in options.coordinates:
        sim = make(k)
        at = np.asarray(sim.times)
        test = whole(macro.sample(sim, trajectories, 32, 99, times=at, estimator="rates", check=False))
        parts = cells(test[2], np.arange(len(test[0])))
        average = lambda b, parts=parts: np.array([b[part].mean(0) for part in parts])
        for patch in options.patches:
            for seed in range(options.seeds):
                clock = time.process_time()
                data = macro.sample(sim, trajectories, patch, seed, times=at, estimator=options.estimator, check=False)
                sampled = time.process_time() - clock
                for form in options.forms:
                    clock = time.process_time()
                    fit = macro.fit(data, form=form, seed=seed)
                    clock = time.process_time() - clock
                    b = fit.drift(test[0])
                    of_cells, single = score(average(b), average(test[1])), score(b, test[1])
                    paths = fit.simulate(true[:, 0, :k], times, count, 0, equation="mean")
                    alone = fit.simulate(one[:, 0, :k], times[::10], len(one), 1, equation="mean")
                    away = abs(paths[..., 1].mean(0) - true[..., 1].mean(0)).max() / peak
                    learned = 1 - paths[:, -1, 0].mean()
                    r2 = " ".join(f"{a:.3f}" for a in of_cells) + " (" + " ".join(f"{a:.2f}" for a in single) + ")"
                    print(
                        f"  {k:4d} {patch:5d} {seed:4d} {form:8s}  {r2:52s} {100 * away:5.1f} %  {learned:.4f}"
                        f" ({100 * (learned / size - 1):+.1f} %)   {(1 - alone[:, -1, 0] > 0.05).mean():.3f}"
                        f"    {sampled:8.1f} {clock:8.1f}  {fit.status}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
