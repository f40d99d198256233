"""A thousand small calculations in one process: does memory grow, is anything compiled again?

    python benchmarks/many_calculations.py [--calculations 1000] [--json many.json]

Four shapes in turn: silicon (fixed occupations), aluminium at varied volumes (Fermi-Dirac, stress), a hydrogen molecule at Gamma
and one in Gaussians; every calculation with other positions, energy and forces read. Resident memory is read when every shape
was there a few times, so that all is compiled, and at the end; in between nothing may be compiled.
"""

import argparse
import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from ase import Atoms
from ase.build import bulk

WARM = 40  # calculations after which every shape has been seen ten times


def resident() -> float:
    """MiB of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def rattled(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """The structure with every atom moved by about 0.01 angstrom."""
    moved = atoms.copy()
    moved.positions += rng.normal(0, 0.01, moved.positions.shape)
    return moved


def calculations(seed: int) -> Iterator[Callable[[], float]]:
    """Energies of structures nobody saw before, of four shapes in turn."""
    from dftopt import DFTOpt, Model, PlaneWaves, minimize

    rng = np.random.default_rng(seed)
    quiet = {"txt": None}
    si, al = bulk("Si"), bulk("Al")
    h2 = Atoms("H2", [[2.5, 2.5, 2.2], [2.5, 2.5, 2.95]], cell=[5] * 3, pbc=True)
    moving = h2.copy()
    moving.calc = DFTOpt(mode="pw", ecut=200, kpts=(1, 1, 1), symmetry=False, **quiet)
    alone = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
    alone.calc = DFTOpt(mode="gaussian", basis="sto-3g", **quiet)
    model = Model(si, xc="PBE")
    si_sizes = PlaneWaves(model, ecut=4, kpts=(2, 2, 2), symmetry=False)
    al_sizes = PlaneWaves(Model(al, xc="PBE"), ecut=4, kpts=(2, 2, 2))

    def silicon() -> float:
        model = Model(rattled(si, rng), xc="PBE")
        found = minimize(
            model, PlaneWaves(model, ecut=4, kpts=(2, 2, 2), symmetry=False, like=si_sizes), progress=False
        )
        return float(np.sum(found.forces())) + found.energies.free

    def aluminium() -> float:
        strained = al.copy()
        strained.set_cell(al.cell * (1 + rng.uniform(-1e-3, 0)), scale_atoms=True)
        model = Model(strained, xc="PBE")
        found = minimize(
            model, PlaneWaves(model, ecut=4, kpts=(2, 2, 2), like=al_sizes), temperature=0.01, progress=False
        )
        return float(np.sum(found.stress())) + found.energies.free

    def hydrogen() -> float:
        moving.positions = rattled(h2, rng).positions
        return moving.get_potential_energy() + float(np.sum(moving.get_forces()))

    def molecule() -> float:
        alone.positions[1, 2] = 0.74 + rng.uniform(-0.05, 0.05)
        return alone.get_potential_energy() + float(np.sum(alone.get_forces()))

    while True:
        yield from (silicon, aluminium, hydrogen, molecule)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calculations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.calculations <= WARM:
        parser.error(f"--calculations has to be above {WARM}, after which memory is compared")

    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **k: (
            compiled.append(k.get("fun_name", "?")) if event.endswith("backend_compile_duration") else None
        )
    )
    begun, memory, first = time.perf_counter(), [], 0
    for i, calculation in zip(range(1, options.calculations + 1), calculations(options.seed), strict=False):
        energy = calculation()
        if not np.isfinite(energy):
            raise SystemExit(f"calculation {i} ({calculation.__name__}) gave {energy}")
        if i == WARM:
            first = len(compiled)
        if i >= WARM and (i - WARM) % max((options.calculations - WARM) // 8, 1) == 0:
            memory.append(resident())
            print(f"{i:5d} calculations {time.perf_counter() - begun:7.1f} s  {memory[-1]:8.1f} MiB  "
                  f"{len(compiled) - first} compiled since the first {WARM}", flush=True)  # fmt: skip
    growth = memory[-1] / memory[0] - 1
    again = sorted(set(compiled[first:]))
    print(f"memory grew by {growth:.2%}; compiled again: {', '.join(again) or 'nothing'}")
    if options.json:
        options.json.write_text(json.dumps({"growth": growth, "memory_MiB": memory, "compiled_again": again}, indent=1))


if __name__ == "__main__":
    main()
