#!/usr/bin/env python3
"""Where random batches of quadrature points pay: time and memory to 1e-6 Ha, against the deterministic minimizer.

    python benchmarks/minibatch.py [H2O C6H6 ...] [--basis 6-31g] [--xc PBE] [--levels 1 3 5] [--batches 128 512 2048] [--steps 150]

For each molecule and grid: the deterministic descent alone, and a warm-up by batches of a size, uniform or importance sampled,
followed by the same descent. Columns: energy above the minimum after the warm-up (full grid), scatter of one batch, evaluations
of the finish, seconds of warm-up and finish (second run, compiled), and of the deterministic run; memory that the values of
basis functions take, of a batch and of the grid.
"""

import argparse
import sys
import time

import numpy as np
from molecules import plain

import dftopt


def timed(function):
    function()
    start = time.perf_counter()
    out = function()
    return out, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=["H2O", "CH3OH", "C6H6"])
    parser.add_argument("--basis", default="6-31g")
    parser.add_argument("--xc", default="PBE")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    for name in options.systems:
        for level in options.levels:
            model = dftopt.Model(plain(name), xc=options.xc)
            basis = dftopt.Gaussians(model, basis=options.basis, grid=level)
            run = lambda m=model, b=basis, **o: dftopt.minimize(m, b, tol=1e-6 / len(m.atoms), progress=False, **o)
            exact = float(dftopt.minimize(model, basis, tol=1e-10, progress=False).energies.total)
            alone, seconds = timed(run)
            size = 8 * basis.nao * (1 if options.xc == "LDA" else 4) / 2**20
            n = len(basis.points.weights)
            grid = f"{n} points, {size * n:.0f} MiB of values"
            print(
                f"{name} level {level}: {grid}; deterministic {alone.stats['evaluations']} evaluations, {seconds:.2f} s"
            )
            for sampling in ("uniform", "importance"):
                for batch in options.batches:
                    go = lambda m=model, b=basis, k=batch, s=sampling: dftopt.warm_up(
                        m, b, steps=options.steps, batch=k, sampling=s
                    )
                    warm, warming = timed(go)
                    result, finishing = timed(lambda w=warm, r=run: r(start=w))
                    above = float(result.history[0]) - exact
                    print(
                        f"  {sampling:10s} {batch:5d}: {above:9.1e} Ha above, scatter {warm.spread:.1e} Ha, {size * batch:5.1f} MiB; "
                        f"finish {result.stats['evaluations']:2d} evaluations, {warming:.2f} + {finishing:.2f} s, "
                        f"error {float(result.energies.total) - exact:.1e} Ha",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    np.set_printoptions(precision=3)
    sys.exit(main())
