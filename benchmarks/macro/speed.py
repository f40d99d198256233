"""Seconds for 10,000 learned trajectories of 1,000 steps, by form and number of coordinates (goal 10 s).

python benchmarks/macro/speed.py [--steps 1000]

CPU seconds count all threads: on c idle cores the wall time is a c-th of them.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import dftopt
from dftopt import macro

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "macro"))
from synthetic import increments  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    warnings.simplefilter("ignore")  # the fits are short: only their speed counts
    print(f"10,000 trajectories of {options.steps} steps: seconds of cpu (wall)")
    for d in (1, 2, 3):
        z = np.random.default_rng(0).normal(size=(2000, d))
        data = increments(-z, np.tile(np.eye(d), (2000, 1, 1)), z)
        for form in ("onsager", "fdr"):
            fit = macro.fit(data, form=form, epochs=10, members=5)
            times = np.array([0.0, 1.0])
            fit.simulate(np.zeros(d), times, 10000, step=1.0)
            clock = time.process_time(), time.perf_counter()
            fit.simulate(np.zeros(d), times, 10000, step=1.0 / options.steps)
            clock = time.process_time() - clock[0], time.perf_counter() - clock[1]
            print(f"  {d} coordinates, {form:8s} {clock[0]:7.1f} ({clock[1]:.1f})", flush=True)


if __name__ == "__main__":
    main()
