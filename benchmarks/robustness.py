"""Two hundred structures that nobody tuned for, with the calculator's defaults: how many converge?

    python benchmarks/robustness.py [--only NAME ...] [--json robustness.jsonl] [--limit SECONDS] [--list]
    python benchmarks/robustness.py --pwx                  the same list with pw.x, its failures counted, too

Elements up to radon in several lattices, magnetic metals, salts, perovskites, slabs, vacancies, rattled supercells and
molecules, at cutoffs far below convergence (0.4 of the recommended low one), which is harder, not easier, for a minimizer.
Every structure ends as converged, as not converged (a failure), as refused with a message, or out of time. The free energy
of accepted steps must never rise. Results are appended to a file as they come: the same command goes on where it ended.
pw.x gets the same potentials, cutoff, grid, k mesh, smearing and starting moments, the same limit for the error of the
energy, and else its defaults; where both converge, their free energies are compared. Magnets that nobody announced are found
by ours alone; and barium, whose potential has projectors of l = 3, comes out 7e-5 hartree higher in pw.x 6.7, while ABINIT 9.6
agrees with ours to 5e-11.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bcc110, bulk, fcc100, fcc111, graphene, molecule
from ase.data import atomic_numbers, reference_states
from ase.units import Hartree

NATURAL = (
    "Li Be B C Na Mg Al Si K Ca Sc Ti V Cr Fe Co Ni Cu Zn Ga Ge Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Cs Ba Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po Ne Ar Kr Xe As Sb Se Te P S"
).split()
OTHER = "Li Na Mg Al Si K Ca Sc Ti V Cr Mn Cu Zn Ga Ge Sr Y Zr Nb Mo Ru Rh Pd Ag Cd In Sn Ba Hf Ta W Re Os Ir Pt Au Hg Tl Pb".split()
ROCKSALT = {
    "LiF": 4.03, "LiH": 4.08, "NaCl": 5.64, "KBr": 6.6, "MgO": 4.21, "CaO": 4.81, "SrO": 5.16, "BaO": 5.54, "TiC": 4.33, "TiN": 4.24,
    "VN": 4.14, "ZrC": 4.7, "NbC": 4.47, "HfC": 4.64, "TaC": 4.45, "PbTe": 6.46, "SnTe": 6.32, "AgCl": 5.55, "MgS": 5.2, "ScN": 4.51,
}  # fmt: skip
ZINCBLENDE = {
    "BN": 3.62,
    "SiC": 4.36,
    "AlP": 5.46,
    "GaAs": 5.65,
    "InSb": 6.48,
    "ZnS": 5.41,
    "CdTe": 6.48,
    "BeO": 3.8,
    "CuCl": 5.42,
}
CESIUM = {"CsCl": 4.12, "CsI": 4.57, "NiAl": 2.89, "TiFe": 2.98, "CuZn": 2.95, "MoTa": 3.24, "AgMg": 3.31}
PEROVSKITES = {
    "SrTiO": 3.91,
    "BaTiO": 4.0,
    "CaTiO": 3.84,
    "KNbO": 4.0,
    "NaTaO": 3.93,
    "CsPbI": 6.3,
    "SrZrO": 4.1,
    "KMgF": 3.99,
}
MOLECULES = "H2 N2 CO CO2 H2O NH3 CH4 C2H4 HCl LiH H2O2 SO2 PH3 SiH4".split()
RADICALS = "O2 NO OH CH3 O N C F CN NO2".split()

AGREE = 1e-5  # hartree per atom: the codes' constants of PBE differ, and so do densities below their threshold


def volume_of(element: str) -> float:
    """Volume per atom of the element as it is found, angstrom^3."""
    state = reference_states[atomic_numbers[element]]
    a = state.get("a")
    if state["symmetry"] == "hcp":
        return float(np.sqrt(3) / 4 * a**3 * state["c/a"])
    return (
        float({"fcc": a**3 / 4, "bcc": a**3 / 2, "diamond": a**3 / 8}.get(state["symmetry"], np.nan)) if a else np.nan
    )


def element(name: str, lattice: str | None = None) -> Atoms:
    """An element in its own lattice, else face-centred cubic, or in another one of the same volume."""
    state = reference_states[atomic_numbers[name]]
    own = state["symmetry"] if state["symmetry"] in ("fcc", "bcc", "hcp", "diamond") and "basis" not in state else None
    if lattice is None and own is not None:
        return bulk(name)
    volume = volume_of(name)
    volume = 20.0 if np.isnan(volume) else volume
    lattice = lattice or "fcc"
    return bulk(name, lattice, a=({"fcc": 4, "bcc": 2, "diamond": 8, "sc": 1}[lattice] * volume) ** (1 / 3))


def compound(name: str, lattice: str, a: float) -> Atoms:
    return bulk(name, lattice, a=a)


def perovskite(name: str, a: float) -> Atoms:
    first, second, third = (x for x in _symbols(name))
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([first, second] + [third] * 3, scaled_positions=places, cell=[a] * 3, pbc=True)


def _symbols(name: str) -> list[str]:
    out: list[str] = []
    for letter in name:
        out = [*out, letter] if letter.isupper() else [*out[:-1], out[-1] + letter]
    return out


def magnetic(atoms: Atoms, *moments: float) -> Atoms:
    atoms.set_initial_magnetic_moments(np.resize(moments, len(atoms)))
    return atoms


def rattled(atoms: Atoms, size: float = 0.1, seed: int = 1) -> Atoms:
    atoms.rattle(size, seed=seed)
    return atoms


def vacancy(atoms: Atoms) -> Atoms:
    del atoms[0]
    return atoms


def box(name: str, size: float = 6.0) -> Atoms:
    atoms = Atoms(name, cell=[size] * 3, pbc=True) if len(_symbols(name)) == 1 and name.isalpha() else molecule(name)
    atoms.set_cell([size] * 3)
    atoms.pbc = True
    atoms.center()
    return atoms


def periodic(atoms: Atoms) -> Atoms:
    atoms.pbc = True
    return atoms


def scaled(atoms: Atoms, factor: float) -> Atoms:
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)
    return atoms


def structures() -> dict[str, Callable[[], Atoms]]:
    """All of them by name."""
    out: dict[str, Callable[[], Atoms]] = {}
    for e in NATURAL:
        out[f"{e}"] = lambda e=e: element(e)
    for e in OTHER:
        own = reference_states[atomic_numbers[e]]["symmetry"]
        other = "fcc" if own == "bcc" else "bcc"
        out[f"{e} {other}"] = lambda e=e, other=other: element(e, other)
    magnets = {
        "Fe bcc magnetic": lambda: magnetic(bulk("Fe", "bcc", a=2.84), 2.2),
        "Fe bcc stretched": lambda: magnetic(bulk("Fe", "bcc", a=3.1), 3.0),
        "Fe fcc": lambda: magnetic(bulk("Fe", "fcc", a=3.6), 2.0),
        "Fe2 antiferromagnet": lambda: magnetic(bulk("Fe", "bcc", a=2.84, cubic=True), 2.0, -2.0),
        "Co hcp": lambda: magnetic(bulk("Co"), 1.6),
        "Ni fcc": lambda: magnetic(bulk("Ni"), 0.6),
        "Cr2 antiferromagnet": lambda: magnetic(bulk("Cr", "bcc", a=2.88, cubic=True), 1.0, -1.0),
        "Mn fcc": lambda: magnetic(bulk("Mn", "fcc", a=3.6), 2.0),
        "NiO": lambda: magnetic(bulk("NiO", "rocksalt", a=4.2), 1.5, 0.0),
        "MnO": lambda: magnetic(bulk("MnO", "rocksalt", a=4.45), 4.0, 0.0),
    }
    out |= magnets
    for table, lattice in ((ROCKSALT, "rocksalt"), (ZINCBLENDE, "zincblende"), (CESIUM, "cesiumchloride")):
        for name, a in table.items():
            out[f"{name} {lattice}"] = lambda name=name, lattice=lattice, a=a: compound(name, lattice, a)
    for name, a in PEROVSKITES.items():
        out[f"{name}3"] = lambda name=name, a=a: perovskite(name, a)
    out |= {
        "Al(100)": lambda: fcc100("Al", (1, 1, 3), vacuum=4.0, periodic=True),
        "Al(111)": lambda: fcc111("Al", (1, 1, 3), vacuum=4.0, periodic=True),
        "Cu(111)": lambda: fcc111("Cu", (1, 1, 3), vacuum=4.0, periodic=True),
        "Pt(111)": lambda: fcc111("Pt", (1, 1, 3), vacuum=4.0, periodic=True),
        "Ag(100)": lambda: fcc100("Ag", (1, 1, 3), vacuum=4.0, periodic=True),
        "Na(110)": lambda: bcc110("Na", (1, 1, 3), vacuum=5.0, periodic=True),
        "graphene": lambda: periodic(graphene(vacuum=4.0)),
        "Al(100) five layers": lambda: fcc100("Al", (1, 1, 5), vacuum=5.0, periodic=True),
        "Al vacancy": lambda: vacancy(bulk("Al", cubic=True)),
        "Si vacancy": lambda: vacancy(bulk("Si", cubic=True)),
        "Cu vacancy": lambda: vacancy(bulk("Cu", cubic=True)),
        "MgO vacancy": lambda: vacancy(bulk("MgO", "rocksalt", a=4.21, cubic=True)),
        "Al16 rattled": lambda: rattled(bulk("Al", cubic=True).repeat((2, 2, 1))),
        "Al4 rattled": lambda: rattled(bulk("Al", cubic=True)),
        "Si8 rattled": lambda: rattled(bulk("Si", cubic=True), 0.2),
        "Li8 rattled": lambda: rattled(bulk("Li", cubic=True).repeat((2, 2, 1)), 0.2),
        "NaCl8 rattled": lambda: rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True), 0.2),
        "Mg4 rattled": lambda: rattled(bulk("Mg").repeat((2, 1, 1)), 0.2),
        "Al32 long": lambda: rattled(bulk("Al").repeat((1, 1, 12))),
        "Si compressed": lambda: scaled(bulk("Si"), 0.85),
        "Al stretched": lambda: scaled(bulk("Al"), 1.3),
        "C stretched": lambda: scaled(bulk("C"), 1.4),
    }
    for name in MOLECULES:
        out[f"{name} molecule"] = lambda name=name: box(name)
    for name in RADICALS:
        out[f"{name} radical"] = lambda name=name: magnetic(box(name, 5.0), 1.0)
    return out


def prepared(atoms: Atoms):
    """The calculator's setup of a structure, and the cutoff in hartree."""
    from dftopt import DFTOpt
    from dftopt.atoms.cutoff import recommended_cutoff
    from dftopt.calculator.setup import build
    from dftopt.energy.model import Model

    model = Model(atoms, xc="PBE")
    ecut = 0.4 * max(recommended_cutoff(p, "low").hartree for p in model.potentials.values())
    calc = DFTOpt(ecut=ecut * Hartree, kpts={"spacing": 0.6}, txt=None)
    return build(atoms, calc.parameters), ecut


def ours(atoms: Atoms, limit: float) -> dict:
    """Our verdict."""
    from dftopt import InputError
    from dftopt.minimization.ground_state import minimize

    begun = time.perf_counter()
    try:
        setup, ecut = prepared(atoms)
        stop = lambda step: time.perf_counter() - begun > limit
        r = minimize(setup.model, setup.basis, **setup.minimize_options, progress=stop)
    except InputError as error:
        return {"status": "refused", "verdict": str(error)}
    rise = float(np.max(np.diff(r.history), initial=0.0))
    late = not r.converged and time.perf_counter() - begun > limit
    return {
        "status": "converged" if r.converged else "out of time" if late else "not converged",
        "verdict": r.verdict, "evaluations": r.stats["evaluations"], "rise": rise, "ecut": ecut, "kpoints": r.basis.nk,
        "free_energy": float(r.energies.free), "magnetization": r.magnetization, "seconds": time.perf_counter() - begun,
        "finite": bool(np.isfinite(r.eigenvalues).all() and np.isfinite(r.forces(allow_unconverged=True)).all()),
    }  # fmt: skip


def theirs(atoms: Atoms, limit: float) -> dict:
    """The verdict of pw.x."""
    import pwx

    setup, _ = prepared(atoms)
    o = setup.minimize_options
    same = {key: o[key] for key in ("temperature", "smearing") if key in o}
    with tempfile.TemporaryDirectory() as folder:
        name = pwx.write(folder, setup.model, setup.basis, nbands=None, tol=o.get("tol", 1e-8), steps=100, **same)
        begun = time.perf_counter()
        try:
            text, wall, memory = pwx.launch(folder, name, limit=limit)
            run = pwx.parse(text, wall, memory)
        except subprocess.TimeoutExpired:
            return {"status": "out of time", "seconds": limit}
        except (pwx.PWFailed, IndexError) as error:  # what it prints when it stops has no energy
            said = [line.strip() for line in str(error).splitlines() if line.strip(" %")]
            verdict = next(
                (b for a, b in zip(said, said[1:], strict=False) if a.startswith("Error in routine")), said[-1]
            )
            return {"status": "failed", "verdict": verdict, "seconds": time.perf_counter() - begun}
    if not run.converged:
        return {"status": "not converged", "seconds": run.process_seconds}
    return {
        "status": "converged", "free_energy": run.free_energy, "iterations": run.iterations, "seconds": run.process_seconds,
    }  # fmt: skip


def compare(rows: dict, path: Path, limit: float, names: list[str]) -> None:
    """Run pw.x where it was not, and print both."""
    known = structures()
    done = {row["name"]: row for row in map(json.loads, path.open())} if path.exists() else {}
    warnings.simplefilter("ignore")
    for name in names:
        if name not in done and rows.get(name, {}).get("status") != "refused":
            done[name] = {"name": name, **theirs(known[name](), limit)}
            with path.open("a") as stream:
                stream.write(json.dumps(done[name]) + "\n")
            print(f"{name:24s} pw.x: {done[name]['status']:14s} {done[name]['seconds']:6.1f} s  {done[name].get('verdict', '')}",
                  flush=True)  # fmt: skip
    print(f"\npw.x, {len(done)} structures")
    for status in ("converged", "not converged", "failed", "out of time"):
        named = [name for name, row in done.items() if row["status"] == status]
        print(f"{status:14s} {len(named):4d}" + ("" if status == "converged" else "  " + ", ".join(named)))
    both = [n for n in done if done[n]["status"] == rows.get(n, {}).get("status") == "converged"]
    gaps = {n: (rows[n]["free_energy"] - done[n]["free_energy"]) / len(known[n]()) for n in both}
    close = [n for n in both if abs(gaps[n]) <= AGREE]
    print(f"both converged {len(both):4d}: {len(close)} agree to {AGREE:g} hartree per atom")
    for title, chosen in (("ours is lower", -1), ("pw.x is lower", 1)):
        apart = sorted((n for n in both if chosen * gaps[n] > AGREE), key=lambda n: -abs(gaps[n]))
        print(f"{title:14s} {len(apart):4d}  " + ", ".join(f"{n} ({gaps[n]:+.1e})" for n in apart))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--json", type=Path, default=Path("robustness.jsonl"))
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one structure")
    parser.add_argument("--list", action="store_true")
    parser.add_argument(
        "--pwx", action="store_true", help="pw.x, too; what it finds is kept beside the file, as NAME.pwx.jsonl"
    )
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = structures()
    if options.list:
        print("\n".join(known), f"\n{len(known)} structures")
        return
    if options.one:
        warnings.simplefilter("ignore")
        import dftopt

        dftopt.enable_compilation_cache()
        for name in options.one:
            row = {"name": name, **ours(known[name](), options.limit)}
            with options.json.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(f"{name:24s} {row['status']:14s} {row.get('evaluations', 0):4d} evaluations {row.get('seconds', 0):6.0f} s  "
                  f"{row['verdict'][:90]}", flush=True)  # fmt: skip
        return
    done = [json.loads(line)["name"] for line in options.json.open()] if options.json.exists() else []
    todo = [name for name in (options.only or known) if name not in done]
    if options.pwx and shutil.which("pw.x") is None:
        parser.error("pw.x is not installed (Debian and Ubuntu: apt-get install quantum-espresso)")
    for i in range(0, len(todo), 10):  # a process for ten, so that a crash takes no more with it
        command = [
            sys.executable,
            __file__,
            "--json",
            str(options.json),
            "--limit",
            str(options.limit),
            "--one",
            *todo[i : i + 10],
        ]
        subprocess.run(command, check=False, env=os.environ)
    rows = {row["name"]: row for row in map(json.loads, options.json.open())}
    print(f"\n{len(rows)} of {len(known)} structures")
    for status in ("converged", "refused", "not converged", "out of time"):
        names = [name for name, row in rows.items() if row["status"] == status]
        print(f"{status:14s} {len(names):4d}" + ("" if status == "converged" else "  " + ", ".join(names)))
    crashed = [name for name in (options.only or known) if name not in rows]
    print(f"{'no result':14s} {len(crashed):4d}  " + ", ".join(crashed))
    print(
        f"largest rise of the free energy between accepted steps: {max(r.get('rise', 0.0) for r in rows.values()):.1e} hartree"
    )
    print("not finite: " + (", ".join(n for n, r in rows.items() if not r.get("finite", True)) or "none"))
    if options.pwx:
        compare(rows, options.json.with_suffix(".pwx.jsonl"), options.limit, options.only or list(known))


if __name__ == "__main__":
    main()
