#!/usr/bin/env python3
"""Equations of state of elements against ABINIT with the same potentials and against all-electron codes.

    python benchmarks/acwf.py [--set gth|pseudodojo] [--elements Al Si ...] [--finer] [--json OUT]

epsilon(a, b)^2 = <(E_a - E_b)^2> / sqrt(<(E_a - <E_a>)^2> <(E_b - <E_b>)^2>) over volumes from 94 to 106 % of the mean V0,
each Birch-Murnaghan curve with its minimum at zero (Bosoni et al., Nature Reviews Physics 6, 45 (2024)). `--finer` repeats
each with a cutoff 1.3 times as high and two k points more per axis, and prints epsilon between the two: the error of
the settings. Numbers of the other codes, with their source: acwf.json. `--set pseudodojo` reads the scalar-relativistic
PseudoDojo files of Debian's abinit-data package. Results are kept in OUT, and a second start goes on from there.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import GPa, Hartree

import dftopt
from dftopt.calculator.eos import fit

HERE = Path(__file__).resolve().parent
PSEUDODOJO = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8")
FACTORS = np.linspace(0.94, 1.06, 7)
CELLS = {
    "fcc": (0.5 * (np.ones((3, 3)) - np.eye(3)), [[0, 0, 0]], 0.25),
    "bcc": (0.5 * (np.ones((3, 3)) - 2 * np.eye(3)), [[0, 0, 0]], 0.5),
    "diamond": (0.5 * (np.ones((3, 3)) - np.eye(3)), [[0, 0, 0], [0.25, 0.25, 0.25]], 0.125),
}
# element: structure, potential, cutoff (hartree), k mesh, temperature (hartree)
SETS = {
    "gth": {
        "Al": ("fcc", "GTH-PBE-q3", 15, 10, 0.005),
        "Si": ("diamond", "GTH-PBE-q4", 20, 6, 0.0),
        "C": ("diamond", "GTH-PBE-q4", 35, 6, 0.0),
        "Li": ("bcc", "GTH-PBE-q3", 45, 6, 0.01),
        "Na": ("bcc", "GTH-PBE-q9", 25, 6, 0.01),
        "Cu": ("fcc", "GTH-PBE-q11", 35, 6, 0.01),
        "Nb": ("bcc", "GTH-PBE-q13", 20, 6, 0.01),
        "Mo": ("bcc", "GTH-PBE-q14", 20, 6, 0.01),
    },
    "pseudodojo": {
        "Al": ("fcc", "Al.psp8", 20, 10, 0.005),
        "Si": ("diamond", "Si.psp8", 20, 6, 0.0),
        "Ca": ("fcc", "Ca.psp8", 28, 10, 0.005),
        "Zn": ("fcc", "Zn-sp.psp8", 40, 10, 0.005),
    },
}


def curve(element, structure, potential, ecut, k, temperature, volumes, known, keep):
    """Free energies per atom (hartree) at volumes per atom (angstrom^3); those in `known` are not calculated again."""
    shape, frac, per_atom = CELLS[structure]
    before = like = None
    for v in sorted(set(volumes) - set(known), reverse=True):  # the largest first: its basis has room for the others
        start = time.perf_counter()
        model = dftopt.Model(
            Atoms([element] * len(frac), cell=(v / per_atom) ** (1 / 3) * shape, scaled_positions=frac, pbc=True),
            xc="PBE",
            pseudopotentials={element: str(potential)},
        )
        basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=(k,) * 3, like=like)
        before = dftopt.minimize(
            model, basis, temperature=temperature, tol=1e-9, start=before or "atomic", progress=False
        )
        if not before.converged:
            raise SystemExit(f"{element} at {v:.3f} angstrom^3: {before.verdict}")
        like = basis
        keep(v, float(before.energies.free) / len(frac), time.perf_counter() - start)


def epsilon(a, b):
    """Distance of two curves (V0, E0, B0 in GPa, B0')."""
    v = np.linspace(0.94, 1.06, 401) * 0.5 * (a.v0 + b.v0)
    x, y = a.energy(v) - a.e0, b.energy(v) - b.e0
    return float(np.sqrt(np.mean((x - y) ** 2) / np.sqrt(np.var(x) * np.var(y))))


def all_electron(v0, b0, b1):
    """The reference's numbers as a curve; its B0 is in eV/angstrom^3."""
    return type(fit(FACTORS, (FACTORS - 1) ** 2))(v0, 0.0, b0 / GPa, b1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="gth")
    parser.add_argument("--elements", nargs="*")
    parser.add_argument("--finer", action="store_true")
    parser.add_argument("--json", type=Path, help="results so far and to be")
    args = parser.parse_args()
    dftopt.enable_compilation_cache()
    theirs = json.loads((HERE / "acwf.json").read_text())
    done = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}

    def curve_of(element, settings, volumes):
        """The fit, and how many seconds its energies took."""
        part = done.setdefault(json.dumps([args.set, element, settings], default=str), {})

        def keep(volume, energy, seconds):
            part[str(volume)] = energy, seconds
            if args.json:
                args.json.write_text(json.dumps(done, indent=1))

        curve(element, *settings, volumes, [v for v in volumes if str(v) in part], keep)
        energies, seconds = np.array([part[str(v)] for v in volumes]).T
        return fit(volumes, energies * Hartree), sum(seconds)

    print("element structure   V0 (A^3)  B0 (GPa)    B0'  eps(ABINIT)  eps(all-electron)  eps(finer)   seconds")
    distances, same = [], []
    for element in args.elements or SETS[args.set]:
        structure, potential, ecut, k, temperature = SETS[args.set][element]
        if args.set == "pseudodojo":
            potential = PSEUDODOJO / potential
            if not potential.exists():
                print(f"{element}: {potential} is missing (apt-get install abinit-data)")
                continue
        reference = all_electron(*theirs["all_electron"][element][structure])
        abinit = theirs[f"abinit_{args.set}"].get(element)
        if abinit and (abinit["ecut"], abinit["kpts"][0], abinit["temperature"]) != (ecut, k, temperature):
            abinit = None
        volumes = abinit["volumes"] if abinit else (reference.v0 * FACTORS).tolist()
        settings = (structure, potential, ecut, k, temperature)
        ours, seconds = curve_of(element, settings, volumes)
        distances.append(epsilon(ours, reference))
        text = f"{element:7s} {structure:9s} {ours.v0:10.4f} {ours.b0:9.3f} {ours.b1:6.3f}"
        against = ""
        if abinit:
            same.append(epsilon(ours, fit(volumes, np.array(abinit["free"]) * Hartree)))
            against = f"{same[-1]:.1e}"
        finer = ""
        if args.finer:
            better, more = curve_of(element, (structure, potential, 1.3 * ecut, k + 2, temperature), volumes)
            finer, seconds = f"{epsilon(ours, better):.4f}", seconds + more
        print(f"{text} {against:>12s} {distances[-1]:18.4f} {finer:>11s} {seconds:9.1f}", flush=True)
    print(f"median epsilon to all-electron {np.median(distances):.4f} over {len(distances)} elements")
    if same:
        print(f"largest epsilon to ABINIT with the same potential {max(same):.1e} over {len(same)} elements")
    return 0


if __name__ == "__main__":
    sys.exit(main())
