#!/usr/bin/env python3
"""Linear solves of the response of structures that nobody tuned for: how many products with the Hessian does each take?

    python benchmarks/linear_solves.py [--only NAME ...] [--json linear_solves.jsonl]

Structures of `robustness.py`, metals and magnets among them, with the calculator's defaults (Fermi-Dirac at 0.1 eV) at
cutoffs far below convergence and coarse meshes, unfolded. For each the response of the ground state to a displacement of the
first atom along (1, 2, 3) and to a strain is solved, and its reverse is not: it is the same operator. Each structure ends as
solved, as refused with a message, or as failed. Results are appended to a file as they come: the same command goes on where
it ended. Exit status 1 where one failed.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

from ase.units import Hartree
from robustness import structures

NAMES = (
    "Si", "Al", "H2 molecule", "Al bcc", "Ge", "Sn", "C", "SiC zincblende", "AlP zincblende", "Na", "Li", "K", "Ca", "Cu", "Ni fcc",
    "Fe bcc magnetic", "GaAs zincblende", "NaCl rocksalt", "MgO rocksalt", "TiC rocksalt", "NiAl cesiumchloride", "Al4 rattled",
    "Al vacancy", "Al(100)", "graphene", "Si compressed", "Al stretched", "O2 radical", "Fe2 antiferromagnet",
)  # fmt: skip
HIGHEST = 10.0  # hartree


def solves(name: str) -> dict:
    """Products and residuals of the linear solves of one structure; its moment."""
    import jax
    import jax.numpy as jnp

    import dftopt
    from dftopt import DFTOpt
    from dftopt.atoms.cutoff import recommended_cutoff
    from dftopt.calculator.setup import build
    from dftopt.energy.model import Model

    begun, atoms = time.perf_counter(), structures()[name]()
    low = max(recommended_cutoff(p, "low").hartree for p in Model(atoms, xc="PBE").potentials.values())
    mesh = tuple(2 if length < 4.5 else 1 for length in atoms.cell.lengths())
    setup = build(atoms, DFTOpt(ecut=min(0.4 * low, HIGHEST) * Hartree, kpts=mesh, txt=None).parameters)
    options = {k: v for k, v in setup.minimize_options.items() if k in ("temperature", "smearing", "nbands")}
    f = dftopt.differentiable(setup.model, setup.basis, **options)
    p = f.parameters
    push = jnp.zeros(p["positions"].shape).at[0].set(jnp.array([1.0, 2.0, 3.0]))
    shear = jnp.zeros((3, 3)).at[0, 1].set(1.0).at[2, 2].set(0.5)
    for key, direction in (("positions", push), ("strain", shear)):
        jax.jvp(lambda x, key=key: f({**p, key: x}).state["psi"], (p[key],), (direction,))
    return {
        "products": [s.products for s in f.solves], "residual": max(s.residual for s in f.solves), "ecut": f.basis.ecut,
        "kpoints": f.basis.nk, "moment": float(f(p)["magnetization"]), "seconds": time.perf_counter() - begun,
    }  # fmt: skip


def verdict(name: str) -> dict:
    """Of one structure."""
    import dftopt

    try:
        return {"name": name, **solves(name), "verdict": "solved"}
    except dftopt.InputError as error:
        return {"name": name, "verdict": "refused", "why": " ".join(str(error).split())}
    except dftopt.NotConverged as error:
        return {"name": name, "verdict": "failed", "why": " ".join(str(error).split())}


def line(row: dict) -> str:
    """For the table."""
    if row["verdict"] != "solved":
        return f"{row['name']:22s} {row['verdict']}: {row['why']}"
    return (
        f"{row['name']:22s} {row['ecut']:5.1f} {row['kpoints']:4d} {row['moment']:7.3f}  {row['residual']:8.0e}  "
        f"{', '.join(map(str, row['products'])):26s} {row['seconds']:5.0f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=list(NAMES), choices=list(structures()))
    parser.add_argument("--json", type=Path, default=Path("linear_solves.jsonl"))
    options = parser.parse_args()
    import dftopt

    dftopt.enable_compilation_cache()
    warnings.simplefilter("ignore")
    known = {row["name"]: row for row in map(json.loads, options.json.open())} if options.json.exists() else {}
    print("structure               ecut    k  moment  residual  products with the Hessian      s")
    rows = []
    for name in options.only:
        if name not in known:
            known[name] = verdict(name)
            with options.json.open("a") as stream:
                stream.write(json.dumps(known[name]) + "\n")
        rows.append(known[name])
        print(line(rows[-1]), flush=True)
    count = lambda word: sum(row["verdict"] == word for row in rows)
    most = max((max(row["products"]) for row in rows if row["verdict"] == "solved"), default=0)
    print(
        f"{count('solved')} of {len(rows)} solved with at most {most} products each, {count('refused')} refused, {count('failed')} failed"
    )
    return int(count("failed") > 0)


if __name__ == "__main__":
    sys.exit(main())
