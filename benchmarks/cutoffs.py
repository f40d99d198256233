"""Plane-wave cutoffs of GTH potentials, measured: the table that `dftopt` recommends from.

    python benchmarks/cutoffs.py [Si O GTH-PADE:Si GTH-PBE-q4:Ge ...]

Per potential three structures with the same atoms: compressed and expanded by 6 % in volume, and with one atom moved by
4 % of the bond (a crystal of one atom is sheared instead). The error of a cutoff is the largest difference of two errors
against a cutoff that is far higher, per atom: what is the same in all structures cancels, as it does in whatever is
computed. Crystals are the elements' own (1 or 2 atoms), or molecules in a tight cell; k points are a few general ones
without symmetry, since at points of symmetry plane waves enter in larger groups. All cutoffs run in the arrays of the
highest, so that nothing is compiled again; sums over its FFT grid leave the (smaller) error of the grid out.

Plane waves that enter one by one make this difference noisy, while the total error falls smoothly. The difference is a
fraction of it (root mean square over all cutoffs tried; 5 to 20 % for valence electrons, less with semicore shells), so
the table holds the cutoffs at which this fraction of the total error is 10, 3 and 1 meV/atom. Measurements are kept in
cutoffs.json beside this script and not repeated; the table of the package is written from them.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii, reference_states

import dftopt
from dftopt.atoms import gth
from dftopt.atoms.cutoff import FRACTION, LEVELS, kinetic_tail, tail_energy
from dftopt.units import HARTREE_IN_EV

DATA = Path(__file__).with_suffix(".json")
PACKAGE = Path(dftopt.__file__).parent / "atoms" / "cutoffs.json"
MOLECULES = {"H": 0.74, "N": 1.10, "O": 1.21, "F": 1.41, "Cl": 1.99}  # bond, angstrom
GAP = 2.3  # angstrom between a molecule and its copies, along and across
CRYSTALS = {"B": ("diamond", 3.2), "P": ("sc", 2.4), "S": ("sc", 2.57), "Ga": ("fcc", 4.24), "As": ("sc", 2.65),
            "Br": ("sc", 2.66), "I": ("sc", 3.0), "In": ("fcc", 4.8), "Mn": ("fcc", 3.5), "Se": ("sc", 2.8),
            "Te": ("sc", 3.16), "Bi": ("sc", 3.2), "Sb": ("sc", 3.1), "Hg": ("fcc", 5.0)}  # fmt: skip
STRAIN, MOVED, SHEAR = 0.06, 0.04, 0.04
TEMPERATURE = 0.01  # hartree
TOL = 3e-7  # hartree per atom: 0.01 meV
EMPTY = 3  # bands
TAILS = (1e-4, 3e-4, 9e-4, 3e-3, 9e-3, 0.025, 0.07, 0.2)  # hartree: kinetic energy of the free atom beyond the cutoffs
HARD = 80.0  # hartree: potentials beyond this do without the first of them, and with one k point
ENOUGH = 15.0  # meV/atom


def structures(element: str) -> list[Atoms]:
    """Expanded, compressed, and distorted."""
    start = reference(element)
    out = []
    for sign in (1, -1):
        out.append(start.copy())
        out[-1].set_cell(start.cell * (1 + sign * STRAIN) ** (1 / 3), scale_atoms=True)
    out.append(start.copy())
    if len(start) == 1:
        out[-1].set_cell(start.cell @ np.diag([1 + SHEAR, 1 + SHEAR, (1 + SHEAR) ** -2]), scale_atoms=True)
    else:
        out[-1].positions[1] += MOVED * start.get_distance(0, 1, mic=True, vector=True)
    return out


def reference(element: str) -> Atoms:
    """A molecule in a tight cell, or a crystal of one or two atoms near its equilibrium volume."""
    if element in MOLECULES:
        bond = MOLECULES[element]
        return Atoms([element] * 2, [[0, 0, 0], [0, 0, bond]], cell=[GAP, GAP, GAP + bond], pbc=True)
    if element in CRYSTALS:
        return bulk(element, CRYSTALS[element][0], a=CRYSTALS[element][1])
    known = reference_states[atomic_numbers[element]] or {}
    if known.get("symmetry") in ("fcc", "bcc", "hcp", "diamond"):
        return bulk(element)
    return bulk(element, "fcc", a=2 * covalent_radii[atomic_numbers[element]] * 2**0.5)


def general_points(volume: float, cutoff: float) -> np.ndarray:
    """A few points without symmetry: the R3 sequence. More for a small cell, one where plane waves are many."""
    step = 1.2207440846057596 ** -np.arange(1, 4)
    count = int(np.clip(round(80 / volume), 2, 4)) if cutoff < HARD else 1
    return (0.5 + np.arange(1, count + 1)[:, None] * step) % 1 - 0.5


def cutoffs_to_try(potential: gth.GTH, highest: float | None) -> list[int]:
    """From the highest down, each with about 3 times the kinetic energy beyond it."""
    found = [round(kinetic_tail(potential, t)) for t in TAILS]
    top = round(highest or (found[1] if found[0] > HARD else found[0]))
    return sorted({e for e in found if 3 <= e < top} | {top}, reverse=True)


def measure(potential: gth.GTH, highest: float | None = None) -> dict:
    """Errors (meV/atom) against cutoffs (hartree), from the highest down to the first beyond 15 meV/atom."""
    cpu = time.process_time()
    xc = "LDA" if potential.name.startswith("GTH-PADE") else "PBE"
    tried = cutoffs_to_try(potential, highest)
    made = structures(potential.element)
    natoms = len(made[0])
    kpts = general_points(made[0].get_volume(), tried[0])
    models = [dftopt.Model(a, xc=xc, pseudopotentials={potential.element: potential.name}) for a in made]
    options = {
        "temperature": TEMPERATURE,
        "tol": TOL,
        "progress": False,
        "nbands": int(models[0].n_electrons) // 2 + EMPTY,
    }
    weights = np.full(len(kpts), 1 / len(kpts))
    last: list = ["atomic"] * len(models)
    left = tail_energy(potential, tried[0]) * HARTREE_IN_EV * 1e3
    sizes, highest_energies, rows = None, np.zeros(len(models)), []
    for ecut in tried:
        for i, model in enumerate(models):
            basis = dftopt.PlaneWaves(model, ecut=ecut, kpts=kpts, weights=weights, symmetry=False, like=sizes)
            sizes = sizes or basis.sizes
            last[i] = dftopt.minimize(model, basis, start=last[i], **options)
            if not last[i].converged:
                raise RuntimeError(f"{potential.element} {potential.name} at {ecut} Ha: {last[i].verdict}")
        free = np.array([float(r.energies.free) for r in last])
        if not rows:
            highest_energies = free
        errors = (free - highest_energies) / natoms * HARTREE_IN_EV * 1e3
        rows.append({"ecut": ecut, "difference": float(np.ptp(errors)), "total": float(errors.mean()) + left})
        print(
            "  {ecut:4d} Ha  difference {difference:9.3f}  total {total:10.2f} meV/atom".format(**rows[-1]), flush=True
        )
        if np.ptp(errors) > ENOUGH:
            break
    return {
        "xc": xc,
        "structure": f"{made[0].get_chemical_formula()}, {made[2].get_volume():.2f} angstrom^3",
        "kpoints": len(kpts),
        "rows": rows,
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def fraction(rows: list[dict]) -> float:
    """Differences over totals, root mean square over the cutoffs below the highest."""
    return float(np.sqrt(np.mean([(r["difference"] / r["total"]) ** 2 for r in rows[1:]])))


def crossing(rows: list[dict], limit: float) -> int:
    """Whole hartree at which fraction x total falls below a limit (meV/atom); its logarithm is linear in between."""
    log = np.log([fraction(rows) * r["total"] for r in rows])
    ecut = np.array([r["ecut"] for r in rows], float)
    i = int(np.clip(np.searchsorted(log, np.log(limit)), 1, len(rows) - 1))
    slope = (ecut[i] - ecut[i - 1]) / (log[i] - log[i - 1])
    return int(np.ceil(ecut[i] + slope * (np.log(limit) - log[i])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("potentials", nargs="*", help="such as Si, GTH-PADE:Si, GTH-PBE-q4:Ge (default family GTH-PBE)")
    parser.add_argument("--highest", type=float, help="the highest cutoff, hartree")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument(
        "--json", type=Path, default=DATA, help="where measurements are kept (default: beside this script)"
    )
    options = parser.parse_args()
    dftopt.enable_compilation_cache()
    known = json.loads(options.json.read_text()) if options.json.exists() else {}
    for text in options.potentials:
        name, element = text.split(":") if ":" in text else ("GTH-PBE", text)
        potential = gth.load(element, name)
        key = f"{element} {potential.name}"
        if key in known and not options.again:
            continue
        print(key, flush=True)
        try:
            known[key] = measure(potential, options.highest)
        except (RuntimeError, dftopt.InputError) as error:
            print(f"  {error}", flush=True)
            continue
        print(f"  {cutoffs(known[key])} Ha, {known[key]['cpu_seconds']:.0f} CPU seconds", flush=True)
        options.json.write_text(dump(known))
    print(table(known))
    if options.json == DATA:
        PACKAGE.write_text(dump(package(known)))
        print(f"\n{len(known)} potentials in {PACKAGE}")


def cutoffs(found: dict) -> dict[str, int]:
    """Hartree by level."""
    return {name: crossing(found["rows"], limit) for name, limit in LEVELS.items()}


def package(known: dict) -> dict:
    """Low, normal and high by element and potential."""
    out: dict = {}
    for key in sorted(known, key=lambda k: (atomic_numbers[k.split()[0]], k)):
        element, name = key.split()
        out.setdefault(element, {})[name] = list(cutoffs(known[key]).values())
    return out


def table(known: dict) -> str:
    """What was measured, beside the cutoffs that the rule alone would give."""
    lines = ["potential                 fraction   low normal  high    rule   low normal  high"]
    for key, found in known.items():
        element, name = key.split()
        rule = [kinetic_tail(gth.load(element, name), x / FRACTION / HARTREE_IN_EV / 1e3) for x in LEVELS.values()]
        measured = " ".join(f"{x:5d}" for x in cutoffs(found).values())
        lines.append(
            f"{key:24s} {fraction(found['rows']):9.3f} {measured}         " + " ".join(f"{x:5.0f}" for x in rule)
        )
    return "\n".join(lines)


def dump(data: dict) -> str:
    """JSON with one entry per line."""
    return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in data.items()) + "\n}\n"


if __name__ == "__main__":
    main()
