"""Memory and time against the number of k points: all at once, and a block of them on the device at a time.

    python benchmarks/blocks_of_k.py [--meshes 6 9 12] [--at-once 32] [--ecut 15] [--json OUT]

Aluminium (15 Ha, cold smearing), k points reduced by time reversal alone. Each calculation is a process of its own, whose
anonymous memory is looked at every 20 ms; what it holds when the basis is made is taken off (Python, JAX, spheres of
plane waves). Files on disk that the system keeps in memory do not count: it takes them back when it needs the room.
"""

import argparse
import json
import subprocess
import sys
import threading
import time

import numpy as np


def anonymous() -> float:
    """MiB of this process that no file holds."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


def one(mesh: int, at_once: int | None, ecut: float) -> dict:
    """One calculation."""
    from ase.build import bulk

    import dftopt

    dftopt.enable_compilation_cache()
    model = dftopt.Model(bulk("Al", a=4.05))
    basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=(mesh,) * 3, symmetry=False)
    options = {"temperature": 0.005, "smearing": "marzari-vanderbilt", "kpoints_at_once": at_once, "progress": False}
    small = dftopt.PlaneWaves(model, ecut=ecut, kpts=(4, 4, 4), symmetry=False)
    dftopt.minimize(model, small, **{**options, "kpoints_at_once": None if at_once is None else 16}, maxiter=2)
    _ = basis.npw
    peak, before, over = [0.0], anonymous(), threading.Event()

    def watch():
        while not over.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = dftopt.minimize(model, basis, **options)
    seconds = time.perf_counter() - start
    over.set()
    watcher.join()
    waves = basis.nk * result.point["psi"].shape[2] * basis.npw * 16 / 2**20
    return {
        "kpoints": basis.nk, "MiB": peak[0] - before, "orbitals MiB": waves, "seconds": seconds, "converged": result.converged,
        "free": float(result.energies.free), "evaluations": result.stats["evaluations"],
    }  # fmt: skip


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshes", type=int, nargs="+", default=[6, 9, 12])
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--ecut", type=float, default=15.0)
    parser.add_argument("--json")
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one[0], options.one[1] or None, options.ecut)))
        return 0
    print(
        "k points  orbitals (MiB)   all at once: MiB  evaluations  seconds   in blocks: MiB  evaluations  seconds   dA (Ha)"
    )
    rows = []
    for mesh in options.meshes:
        pair = []
        for at_once in (0, options.at_once):
            command = [sys.executable, __file__, "--ecut", str(options.ecut), "--one", str(mesh), str(at_once)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            pair.append(json.loads(done.stdout.strip().splitlines()[-1]))
        a, b = pair
        rows.append(pair)
        shown = lambda x: f"{x['MiB']:15.0f}  {x['evaluations']:11d}  {x['seconds']:7.1f}"
        off = f"{b['free'] - a['free']:9.1e}"
        print(f"{a['kpoints']:8d}  {a['orbitals MiB']:14.1f}   {shown(a)}   {shown(b)}  {off}", flush=True)
    k = np.log([a["kpoints"] for a, _ in rows])
    if len(rows) > 1:
        slope = lambda i, what: np.polyfit(k, np.log([max(r[i][what], 1e-3) for r in rows]), 1)[0]
        print(f"memory grows as k points^{slope(0, 'MiB'):.2f} all at once, ^{slope(1, 'MiB'):.2f} in blocks; "
              f"time as ^{slope(0, 'seconds'):.2f} and ^{slope(1, 'seconds'):.2f}")  # fmt: skip
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
