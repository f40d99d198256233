#!/usr/bin/env python3
"""Molecules beside PySCF: energy, wall time, evaluations and peak memory, on the same cores in one run.

    python benchmarks/vs_pyscf.py [C6H6 caffeine ...] [--basis def2-svp] [--xc PBE] [--level 3] [--threads 2] [--json OUT]

Each program runs in a process of its own, twice; the second run is the one that counts, integrals, grid and all (warm), and
the first minus the second is shown as "start". PySCF, which has nothing to compile, runs once where the density is
fitted. It fits the density where dftopt does, with the same auxiliary basis, and starts from the same superposed atoms; both
converge to 1e-9 Ha. At the end: geometric mean of the ratios, and exponents of wall time against the number of basis
functions over all systems with a fitted density. Run it on an idle machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
from molecules import SYSTEMS

PYSCF = {"PBE": "pbe,pbe", "LDA": "lda,pw", "r2SCAN": "r2scan"}


def ours(name, basis, xc, level):
    import dftopt

    dftopt.enable_compilation_cache()

    def once():
        start = time.perf_counter()
        model = dftopt.Model(SYSTEMS[name](), xc=xc)
        gaussians = dftopt.Gaussians(model, basis=basis, grid=level)
        result = dftopt.minimize(model, gaussians, tol=1e-9 / len(model.atoms), progress=False)
        found = {
            "energy": float(result.energies.total), "converged": result.converged, "steps": result.stats["evaluations"],
            "functions": gaussians.nao, "fitted": gaussians.density_fit,
        }  # fmt: skip
        return time.perf_counter() - start, found

    first, _ = once()  # nothing of it is held during the second
    second, found = once()
    return {**found, "seconds": [first, second]}


def pyscf(name, basis, xc, level):
    from pyscf import dft, gto

    from dftopt import Gaussians, Model

    atoms = SYSTEMS[name]()
    fitted = Gaussians(Model(atoms, xc=xc), basis=basis, grid=level).density_fit
    seconds = []
    for _ in range(1 if fitted else 2):
        start = time.perf_counter()
        mol = gto.M(
            atom=list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True)), basis=basis, verbose=0
        )
        mf = dft.RKS(mol, xc=PYSCF[xc])
        mf.grids.level, mf.conv_tol = level, 1e-9
        if fitted:
            mf = mf.density_fit()
        mf.kernel()
        seconds.append(time.perf_counter() - start)
    return {
        "energy": float(mf.e_tot),
        "converged": bool(mf.converged),
        "seconds": seconds,
        "steps": mf.cycles,
        "functions": mol.nao,
    }


def child(who, name, options):
    """One program in a process of its own."""
    command = [
        sys.executable,
        __file__,
        name,
        "--who",
        who,
        "--basis",
        options.basis,
        "--xc",
        options.xc,
        "--level",
        str(options.level),
    ]
    n = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "MKL_NUM_THREADS": n}
    cores = lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    done = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=cores)
    if done.returncode:
        return {
            "error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
        }
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--basis", default="def2-svp")
    parser.add_argument("--xc", default="PBE", choices=list(PYSCF))
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    parser.add_argument("--who", choices=("ours", "pyscf"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.who:
        found = {"ours": ours, "pyscf": pyscf}[options.who](
            options.systems[0], options.basis, options.xc, options.level
        )
        found["memory_MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return 0
    rows = {}
    what = f"{options.threads} threads, {options.xc}/{options.basis}/{options.level}"
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {what}")
    print("system      functions       dE (Ha)   ours (s)  PySCF (s)  ratio   steps      start (s)    memory (MiB)")
    for name in options.systems:
        a, b = child("ours", name, options), child("pyscf", name, options)
        rows[name] = {"ours": a, "pyscf": b}
        if "error" in a or "error" in b:
            print(f"{name:12s}", a.get("error", ""), b.get("error", ""), flush=True)
            continue
        ta, tb = a["seconds"][-1], b["seconds"][-1]
        start = a["seconds"][0] - ta, b["seconds"][0] - tb
        kind, off = "fitted" if a["fitted"] else "exact", a["energy"] - b["energy"]
        print(
            f"{name:12s} {a['functions']:4d} {kind:6s} {off:12.1e} {ta:10.2f} {tb:10.2f} {ta / tb:6.2f}  {a['steps']:3d} "
            f"{b['steps']:3d}  {start[0]:6.1f} {start[1]:6.1f}  {a['memory_MiB']:6.0f} {b['memory_MiB']:6.0f}",
            flush=True,
        )
    good = {n: r for n, r in rows.items() if "error" not in r["ours"] and "error" not in r["pyscf"]}
    if good:
        ratios = [r["ours"]["seconds"][-1] / r["pyscf"]["seconds"][-1] for r in good.values()]
        print(f"geometric mean of the ratios {np.exp(np.mean(np.log(ratios))):.2f}")
    large = [r for r in good.values() if r["ours"]["fitted"]]
    if len(large) > 1:
        n = np.log([r["ours"]["functions"] for r in large])
        for who in ("ours", "pyscf"):
            print(
                f"{who}: seconds grow as functions^{np.polyfit(n, np.log([r[who]['seconds'][-1] for r in large]), 1)[0]:.2f}"
            )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
