"""An equation of state against runs one by one: what a series saves by one set of array sizes and by orbitals carried on.

    python benchmarks/eos.py [--points 10]

For each system a series of volumes, twice in one process. The first compiles; of the second, with another lattice constant
and programs that are there, time is compared with that of the same volumes one by one, each from atomic orbitals (warm).
"""

import argparse
import sys
import time

import numpy as np
from ase.build import bulk

import dftopt
from dftopt.calculator.eos import RANGE, equation_of_state

EV = 27.211386
SYSTEMS = {
    "Si2": (lambda x: bulk("Si", a=5.43 * x), {"ecut": 15 * EV, "kpts": (4, 4, 4), "xc": "LDA", "occupations": {"name": "fixed"}}),
    "Al1": (
        lambda x: bulk("Al", a=4.0 * x),
        {"ecut": 15 * EV, "kpts": (8, 8, 8), "xc": "LDA", "occupations": {"name": "marzari-vanderbilt", "width": 0.01 * EV}},
    ),
}  # fmt: skip


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10)
    points = parser.parse_args().points
    dftopt.use_cores()
    dftopt.enable_compilation_cache()
    print(
        "system  compilations per point of the first series   seconds: series  one by one, mean   ratio (goal 8 of 10)"
    )
    for name, (structure, keywords) in SYSTEMS.items():
        calculator = lambda k=keywords: dftopt.DFTOpt(**k, tol=1e-8 * EV, txt=None)
        counts: list[int] = []
        first = structure(1.0)
        first.calc = calculator()
        equation_of_state(
            first, points=points, report=lambda _, a=first, c=counts: c.append(a.calc.result.stats["compilations"])
        )
        second = structure(1.004)
        second.calc = calculator()
        start = time.perf_counter()
        curve = equation_of_state(second, points=points)
        series = time.perf_counter() - start
        alone = []
        for factor in np.linspace(1 - RANGE, 1 + RANGE, points):
            atoms = structure(1.004)
            atoms.calc = calculator()
            atoms.calc.reserve(atoms, room=(1 + RANGE) ** (1 / 3) - 1 + 1e-3)
            atoms.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
            start = time.perf_counter()
            atoms.get_potential_energy()
            alone.append(time.perf_counter() - start)
        ratio = series / np.mean(alone)
        print(
            f"{name:6s}  {str(counts):45s}  {series:15.2f}  {np.mean(alone):16.3f}   {ratio:5.2f}  {curve.verdict}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
